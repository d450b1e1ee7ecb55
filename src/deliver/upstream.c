/* The channels to qmgr and resolver. */
#include "deliver/inside.h"

#include "base/must.h"

#include <stdlib.h>
#include <string.h>

enum { HOPS_TEXT_MAX = DNS_HOPS_TEXT_MAX, PLAN_BYTES_MAX = 256 << 10, WORTH_A_WORD_MS = 1000 };

/* --- qmgr --- */

struct job *upstream_job(struct deliver *d, uint64_t id)
{
    struct hash_node *n = hash_get(&d->jobs, span_of(&id, sizeof id));
    return n ? CONTAINER(n, struct job, node) : NULL;
}

static void on_job(struct deliver *d, struct channel *ch, const struct msg_job *m)
{
    (void)ch;
    if (!upstream_job(d, m->job))
        job_begin(d, m);
}

static void on_content(struct deliver *d, struct channel *ch, const struct msg_content *m)
{
    (void)ch;
    struct job *j = upstream_job(d, m->job);
    if (j)
        job_content(j, m->offset, m->failed, m->data);
}

void upstream_want(struct job *j, size_t n)
{
    struct msg_want m = { .job = j->id, .offset = j->sent_bytes, .count = (uint32_t)n };
    if (j->d->qmgr)
        send_want(j->d->qmgr, &m);
}

void upstream_result(struct job *j, size_t i, const struct smtp_outcome *o)
{
    const struct conn *c = j->conn;
    if (j->probe) {
        probe_result(j, o);
        return;
    }
    struct msg_result m = { .job = j->id,
                            .rcpt = (uint32_t)i,
                            .result = o->result,
                            .cause = o->cause,
                            .stage = o->stage,
                            .code = (uint16_t)o->code,
                            .enhanced = o->enhanced,
                            .reply = o->reply,
                            .text = o->text };
    m.bits = (o->dsn_due ? RESULT_DSN_DUE : 0) | (o->eightbit ? RESULT_EIGHTBIT : 0) |
             (o->again ? RESULT_AGAIN : 0) |
             (o->dsn_due && (j->lmtp || j->by_local) ? RESULT_MAILBOX : 0);
    if (!j->once)
        m.host = span_str(c ? c->host : j->last_host);
    m.relay = c ? c->addr : j->last_addr;
    m.ms = record_took_ms(j);
    record_told(j, o);
    if (j->d->qmgr)
        send_result(j->d->qmgr, &m);
}

void upstream_job_done(struct job *j, const struct conn *c)
{
    if (j->probe) {
        probe_done(j);
        return;
    }
    struct msg_job_done m = { .job = j->id,
                              .site = j->plan.site,
                              .best = j->plan.order.best,
                              .all = j->plan.order.all,
                              .reached = j->reached,
                              .dns = j->dns_failed,
                              .keeper = c ? c->keeper : 0,
                              .under = c ? c->under : 0,
                              .ending = c && c->state != CONN_KEPT,
                              .tls = span_str(j->tls),
                              .why = j->why };
    struct buf story;
    buf_init(&story, ATTEMPT_MAX_BYTES);
    record_put(j, &story);
    m.story = buf_span(&story);
    if (j->d->qmgr)
        send_job_done(j->d->qmgr, &m);
    buf_free(&story);
}

void upstream_unkept(struct conn *c)
{
    struct msg_unkept m = { .site = span_str(c->site), .keeper = c->keeper };
    if (c->d->qmgr)
        send_unkept(c->d->qmgr, &m);
}

void upstream_left(struct job *j, const struct smtp_outcome *o)
{
    struct msg_left m = { .job = j->id,
                          .host = span_str(j->last_host),
                          .relay = j->last_addr,
                          .reply = o->reply,
                          .text = o->text };
    if (j->d->qmgr)
        send_left(j->d->qmgr, &m);
}

static void on_let_go(struct deliver *d, struct channel *ch, const struct msg_let_go *m)
{
    struct hash_node *n = hash_get(&d->kept, span_of(&m->keeper, sizeof m->keeper));
    (void)ch;
    struct conn *c = n ? CONTAINER(n, struct conn, keeper_node) : NULL;
    if (c)
        conn_unname(c);
    if (c && c->state == CONN_KEPT)
        conn_quit(c);
}

static void on_watch(struct deliver *d, struct channel *ch, const struct msg_watch *m)
{
    struct job *j = upstream_job(d, m->job);
    (void)ch;
    if (j) {
        where_watch(j, m->watch);
        return;
    }
    d->watched_job = m->job;
    d->watch = m->watch;
}

static void on_where(struct deliver *d, struct channel *ch, const struct msg_where *m)
{
    (void)ch;
    where_asked(d, m);
}

PROTO_HANDLER(watch, struct deliver *, on_watch)
PROTO_HANDLER(where, struct deliver *, on_where)
PROTO_HANDLER(let_go, struct deliver *, on_let_go)
PROTO_HANDLER(job, struct deliver *, on_job)
PROTO_HANDLER(content, struct deliver *, on_content)

/* Without qmgr nobody hears a result: what has not reached its final dot is dropped (it is in
 * the spool), and the connections with it. */
static void on_qmgr_gone(void *ctx, struct channel *ch, const char *why)
{
    struct deliver *d = ctx;
    (void)ch;
    (void)why;
    channel_free(&d->qmgr);
    for (struct hash_node *n; (n = hash_next(&d->jobs, NULL));)
        job_forget(d, CONTAINER(n, struct job, node));
    LIST_EACH(n, &d->conns) {
        struct conn *c = CONTAINER(n, struct conn, node);
        if (!c->probe)
            conn_free(c);
    }
    loop_timer_in(d->env->loop, &d->alone, ALONE_MS);
    deliver_check_finished(d);
}

void upstream_qmgr(struct deliver *d, int fd)
{
    static const struct channel_type types[] = { PROTO_TYPE(job), PROTO_TYPE(content),
                                                 PROTO_TYPE(let_go), PROTO_TYPE(watch),
                                                 PROTO_TYPE(where) };
    static const struct channel_ops ops = { types, 5, on_qmgr_gone, NULL };
    if (d->qmgr)
        on_qmgr_gone(d, d->qmgr, "replaced");
    loop_timer_stop(d->env->loop, &d->alone);
    d->qmgr = channel_new(d->env->loop, fd, "qmgr", &ops, d);
}

/* --- where to connect --- */

static bool all_literal(const struct route_dest *dest)
{
    for (size_t i = 0; i < dest->hop_count; i++)
        if (!dest->hops[i].literal)
            return false;
    return dest->hop_count > 0;
}

/* Whether one of our own listeners stands at that address and port: mail sent there would come
 * back. By address, never by name. */
static bool is_local(void *ctx, const struct netaddr *ip)
{
    return loop_is_local(((struct deliver *)ctx)->env->loop, ip);
}

static bool is_own(void *ctx, const struct netaddr *a)
{
    return config_listens_at(((struct deliver *)ctx)->config, a, is_local, ctx);
}

/* Addresses written as such need no DNS, and so no question. */
static void plan_here(struct job *j)
{
    struct deliver *d = j->d;
    struct dns_mx_params p = { .port = (uint16_t)d->config->deliver.port,
                               .is_own = is_own,
                               .is_own_ctx = d,
                               .seed = loop_random_u64(d->env->loop) };
    struct dns_mx *m = dns_mx_new(&p, j->dest.hops, j->dest.hop_count);
    struct buf b;
    buf_init(&b, PLAN_BYTES_MAX);
    MUST(dns_mx_done(m));
    dns_plan_put(&b, dns_mx_plan(m));
    dns_mx_free(&m);
    job_plan(j, buf_span(&b));
    buf_free(&b);
}

void upstream_ask(struct job *j)
{
    struct deliver *d = j->d;
    if (j->by_local) {
        local_ask(j);
        return;
    }
    if (all_literal(&j->dest)) {
        plan_here(j);
        return;
    }
    if (!d->resolver) {
        job_plan(j, SPAN_NONE);
        return;
    }
    struct buf hops;
    buf_init(&hops, HOPS_TEXT_MAX);
    dns_hops_put(&hops, j->dest.hops, j->dest.hop_count);
    j->question = ++d->next_question;
    j->asked = true;
    j->asked_ms = loop_mono_ms(d->env->loop);
    hash_add(&d->questions, &j->question_node, span_of(&j->question, sizeof j->question));
    struct msg_lookup m = { .q = j->question, .hops = buf_span(&hops) };
    send_lookup(d->resolver, &m);
    if (j->watch)
        loop_timer_in(d->env->loop, &j->patience, WORTH_A_WORD_MS);
    else
        loop_timer_at(d->env->loop, &j->patience, j->deadline_ms);
    buf_free(&hops);
}

static void answered(struct deliver *d, struct job *j, struct span plan)
{
    hash_remove(&d->questions, &j->question_node);
    loop_timer_stop(d->env->loop, &j->patience);
    j->question = 0;
    j->dns_ms = loop_mono_ms(d->env->loop) - j->asked_ms;
    job_plan(j, plan);
}

/* resolver keeps its own clocks: this is for one that hangs, and for who looks on meanwhile. */
void upstream_no_answer(void *ctx)
{
    struct job *j = ctx;
    if (j->by_local) {
        local_no_answer(j);
    } else if (j->watch && loop_mono_ms(j->d->env->loop) < j->deadline_ms) {
        talk_asking(j);
        loop_timer_at(j->d->env->loop, &j->patience, j->deadline_ms);
    } else {
        answered(j->d, j, SPAN_NONE);
    }
}

static void on_found(struct deliver *d, struct channel *ch, const struct msg_found *m)
{
    (void)ch;
    struct hash_node *n = hash_get(&d->questions, span_of(&m->q, sizeof m->q));
    if (n)
        answered(d, CONTAINER(n, struct job, question_node), m->plan);
}
PROTO_HANDLER(found, struct deliver *, on_found)

static void on_resolver_gone(void *ctx, struct channel *ch, const char *why)
{
    struct deliver *d = ctx;
    (void)ch;
    (void)why;
    channel_free(&d->resolver);
    for (struct hash_node *n = hash_next(&d->questions, NULL), *next; n; n = next) {
        struct job *j = CONTAINER(n, struct job, question_node);
        next = hash_next(&d->questions, n);
        if (!j->by_local)
            answered(d, j, SPAN_NONE);
    }
}

void upstream_resolver(struct deliver *d, int fd)
{
    static const struct channel_type types[] = { PROTO_TYPE(found) };
    static const struct channel_ops ops = { types, 1, on_resolver_gone, NULL };
    if (d->resolver)
        on_resolver_gone(d, d->resolver, "replaced");
    d->resolver = channel_new(d->env->loop, fd, "resolver", &ops, d);
}
