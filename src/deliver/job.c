/* One attempt: one message, some recipients, one destination. Addresses are asked in the order
 * of the plan; a recipient for whom nothing was handed over yet goes on to the next one within
 * this attempt. After the final dot there is no next one (design: at-least-once, said
 * honestly): smtp/client.h says so by not setting next_mx. */
#include "deliver/inside.h"

#include "base/must.h"
#include "proto/lists.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void try_next(struct job *j);

/* --- a job comes --- */

/* What holds for a recipient until an address has said something else. */
static const struct smtp_outcome not_asked = {
    .result = SMTP_DEFERRED,
    .cause = SMTP_CAUSE_ATTEMPT,
    .stage = SMTP_STAGE_CONNECT,
    .enhanced = { "4.4.7", 5 },
    .text = { "the time for this attempt ended before a host could be asked", 60 },
};

static size_t count_rcpts(struct span list)
{
    struct wire w = wire_reader(list);
    struct envelope_rcpt r;
    size_t n = 0;
    while (list_next_rcpt(&w, &r))
        n++;
    return w.bad ? 0 : n;
}

bool job_take_rcpts(struct job *j, struct span list)
{
    j->rcpt_count = count_rcpts(list);
    struct arena *a = j->arena;
    j->rcpts = arena_alloc(a, j->rcpt_count * sizeof *j->rcpts);
    j->states = arena_alloc(a, j->rcpt_count * sizeof *j->states);
    j->now_rcpts = arena_alloc(a, j->rcpt_count * sizeof *j->now_rcpts);
    j->now_index = arena_alloc(a, j->rcpt_count * sizeof *j->now_index);
    struct span copy = arena_dup(a, list);
    if (!j->rcpts || !j->states || !j->now_rcpts || !j->now_index || !copy.p)
        return false;
    struct wire w = wire_reader(copy);
    for (size_t i = 0; i < j->rcpt_count; i++) {
        list_next_rcpt(&w, &j->rcpts[i]);
        j->states[i] = (struct rcpt_state){ .waits = true, .last = not_asked };
    }
    return j->rcpt_count > 0;
}

static bool take_job(struct job *j, const struct msg_job *m)
{
    struct span codec = arena_dup(j->arena, m->destination);
    struct wire w = wire_reader(codec);
    j->id = m->job;
    j->flags = m->flags;
    j->size_bytes = m->size;
    j->classes = arena_dup(j->arena, m->classes);
    j->sender = arena_dup(j->arena, m->sender);
    j->envid = arena_dup(j->arena, m->envid);
    if (!codec.p || !route_dest_get(&w, j->arena, &j->dest) ||
        !job_take_rcpts(j, m->rcpts))
        return false;
    local_take(j);
    return true;
}

static void end(struct job *j, const struct conn *c)
{
    upstream_job_done(j, c);
    job_forget(j->d, j);
}

void job_forget(struct deliver *d, struct job *j)
{
    if (j->question)
        hash_remove(&d->questions, &j->question_node);
    loop_timer_stop(d->env->loop, &j->patience);
    if (j->probe)
        list_remove(&j->probe_node);
    else
        hash_remove(&d->jobs, &j->node);
    if (j->conn)
        j->conn->job = NULL;
    if (j->waits)
        j->waits->heir = NULL;
    attempt_log_free(&j->log);
    arena_free(&j->arena);
    free(j);
    deliver_check_finished(d);
}

/* The same for everybody who has no result yet. */
static void all(struct job *j, const struct smtp_outcome *o)
{
    for (size_t i = 0; i < j->rcpt_count; i++) {
        if (j->states[i].told)
            continue;
        j->states[i].told = true;
        upstream_result(j, i, o);
    }
}

static struct conn *named(struct deliver *d, uint64_t keeper)
{
    struct hash_node *n = keeper ? hash_get(&d->kept, span_of(&keeper, sizeof keeper)) : NULL;
    return n ? CONTAINER(n, struct conn, keeper_node) : NULL;
}

static struct span copied(struct job *j, struct span s)
{
    struct span copy = arena_dup(j->arena, s);
    return copy.p ? copy : SPAN_NONE;
}

void job_begin(struct deliver *d, const struct msg_job *m)
{
    struct job *j = NEW(struct job);
    j->d = d;
    j->arena = arena_new(JOB_BYTES_MAX);
    j->id = m->job;
    j->watch = d->watched_job == m->job ? d->watch : 0;
    d->watched_job = d->watch = 0;
    j->begun_ms = loop_mono_ms(d->env->loop);
    j->deadline_ms = j->begun_ms + d->config->timeout.attempt_ms;
    record_begin(j);
    rule_none(j);
    loop_timer_init(&j->patience, upstream_no_answer, j);
    hash_add(&d->jobs, &j->node, span_of(&j->id, sizeof j->id));
    if (!take_job(j, m)) {
        /* Our own qmgr does not send such jobs; if it does, it gets them back as lost. */
        end(j, NULL);
        return;
    }
    struct conn *c = named(d, m->keeper);
    /* The content lies in the channel's memory until the turn's end. With a connection at hand
     * the client takes it from there; otherwise it is copied, and for another address asked of
     * qmgr again. */
    j->content = m->content;
    uint64_t id = j->id;
    if (c && (c->state != CONN_KEPT || m->instead))
        conn_replace(c, j);
    else if (c)
        conn_send(c, j);
    else
        upstream_ask(j);
    struct hash_node *n = hash_get(&d->jobs, span_of(&id, sizeof id));
    if (!n)
        return;
    j = CONTAINER(n, struct job, node);
    if (j->conn && j->sent_bytes == j->size_bytes)
        j->content = SPAN_NONE;
    else
        j->content = copied(j, m->content);
}

/* --- addresses --- */

void job_plan(struct job *j, struct span plan)
{
    struct span copy = arena_dup(j->arena, plan);
    struct wire w = wire_reader(copy);
    j->have_plan = copy.p && dns_plan_get(&w, j->arena, &j->plan) && rule_take(j);
    struct smtp_outcome o = { .result = SMTP_DEFERRED,
                              .cause = SMTP_CAUSE_LOCAL,
                              .stage = SMTP_STAGE_CONNECT,
                              .enhanced = SPAN("4.4.3"),
                              .text = SPAN("the resolver gives no answer") };
    if (j->have_plan && j->plan.verdict == DNS_PLAN_OK) {
        try_next(j);
        return;
    }
    if (j->have_plan) {
        o.result = j->plan.verdict == DNS_PLAN_FAIL ? SMTP_FAILED : SMTP_DEFERRED;
        o.enhanced = j->plan.code;
        o.text = j->plan.text;
    }
    if (j->have_plan && j->plan.took_ms > j->dns_ms)
        j->dns_before_ms = j->plan.took_ms - j->dns_ms;
    j->dns_failed = o.result == SMTP_DEFERRED;
    j->reached = !j->dns_failed;
    j->why = o.text;
    all(j, &o);
    end(j, NULL);
}

static size_t gather(struct job *j)
{
    j->now_count = 0;
    for (size_t i = 0; i < j->rcpt_count; i++) {
        if (!j->states[i].waits || j->states[i].told)
            continue;
        j->now_index[j->now_count] = i;
        j->now_rcpts[j->now_count++] = j->rcpts[i];
        if (j->once)
            break;
    }
    return j->now_count;
}

/* Nobody is left to ask: what the last one said is the result. */
static void give_up(struct job *j, const struct conn *c)
{
    for (size_t i = 0; i < j->rcpt_count; i++) {
        struct rcpt_state *s = &j->states[i];
        if (s->told)
            continue;
        s->told = true;
        upstream_result(j, i, &s->last);
    }
    end(j, c);
}

static void remember(struct job *j, size_t i, const struct smtp_outcome *o)
{
    struct smtp_outcome *last = &j->states[i].last;
    *last = *o;
    last->enhanced = copied(j, o->enhanced);
    last->reply = copied(j, o->reply);
    last->text = copied(j, o->text);
    j->why = last->reply.n ? last->reply : last->text; /* with its code */
}

static void remember_for_all(struct job *j, const struct smtp_outcome *o)
{
    for (size_t i = 0; i < j->rcpt_count; i++)
        if (j->states[i].waits && !j->states[i].told)
            remember(j, i, o);
}

/* No socket, or none from the address that deliver or a delivery_rule names. */
static void say_unopened(struct job *j, const struct netaddr *to, struct smtp_outcome *o)
{
    const struct netaddr *from = conn_source(j, to);
    int error = errno;
    struct buf b;
    buf_init(&b, 256);
    if (from && error == EADDRNOTAVAIL) {
        buf_putz(&b, "source_address ");
        netaddr_put(&b, from);
        buf_putz(&b, " is no address of this host");
        o->enhanced = SPAN("4.3.5");
        o->cause = SMTP_CAUSE_LOCAL;
    } else {
        buf_putz(&b, strerror(error));
    }
    o->text = copied(j, buf_span(&b));
    buf_free(&b);
}

static void try_next(struct job *j)
{
    int64_t now = loop_mono_ms(j->d->env->loop);
    while (j->next_addr < j->plan.addr_count && now < j->deadline_ms) {
        const struct dns_plan_addr *a = &j->plan.addrs[j->next_addr++];
        if (conn_open(j->d, j, a))
            return;
        struct smtp_outcome o = { .result = SMTP_DEFERRED,
                                  .cause = SMTP_CAUSE_LOST,
                                  .stage = SMTP_STAGE_CONNECT,
                                  .next_mx = true,
                                  .enhanced = SPAN("4.4.1") };
        say_unopened(j, &a->addr, &o);
        remember_for_all(j, &o);
        record_unreached(j, a, o.text);
    }
    give_up(j, NULL);
}

void job_no_connection(struct job *j, const struct smtp_outcome *o)
{
    struct smtp_outcome mine = *o;
    mine.next_mx = true;
    remember_for_all(j, &mine);
    j->conn = NULL;
    say_left(j);
    try_next(j);
}

void job_no_local(struct job *j, const struct smtp_outcome *o)
{
    j->why = copied(j, o->text);
    all(j, o);
    end(j, NULL);
}

/* --- the transaction --- */

void job_rcpt_done(struct job *j, size_t i, const struct smtp_outcome *o)
{
    MUST(i < j->now_count);
    size_t r = j->now_index[i];
    struct rcpt_state *s = &j->states[r];
    bool by_user = j->once && o->code; /* this is what is wrong with the user, not with a server */
    if (o->stage > SMTP_STAGE_STARTTLS || o->result == SMTP_DELIVERED || by_user)
        j->reached = true;
    remember(j, r, o);
    if (o->result != SMTP_DELIVERED)
        record_no(j->conn, o);
    /* A kept connection that had died (RFC 5321 says nothing against closing an idle one) is
     * replaced within this attempt. */
    if ((o->next_mx && !j->by_local) || o->result == SMTP_STALE)
        return;
    s->waits = false;
    s->told = true;
    upstream_result(j, r, &s->last);
}

/* Until it has ended the peer counts it, and so does qmgr. NULL: it has, or is of no site. */
static const struct conn *ending(struct conn *c)
{
    if (c->closed || c->once)
        return NULL;
    conn_name(c);
    return c;
}

/* The session is over for this message; the connection may serve the next. */
void job_message_done(struct job *j)
{
    struct conn *c = j->conn;
    bool again = c->tls_failed && j->plain_addr != j->next_addr &&
                 j->tls_mode != CONFIG_TLS_REQUIRED;
    /* An opportunistic handshake that failed is no reason to leave this host: once more without
     * TLS. */
    if (again && j->next_addr)
        j->plain_addr = j->next_addr--;
    record_keep(j, c);
    c->job = NULL;
    j->conn = NULL;
    if (gather(j) == 0) {
        snprintf(j->tls, sizeof j->tls, "%s", c->tls_text);
        bool keep = conn_may_keep(c);
        if (keep)
            conn_keep(c);
        if (!j->have_plan)
            j->plan.site = copied(j, span_str(c->site));
        end(j, keep ? c : ending(c));
        return;
    }
    /* Somebody waits for another address: of a kept connection that had no plan, ask first. */
    say_left(j);
    if (!j->have_plan)
        upstream_ask(j);
    else if (j->next_addr < j->plan.addr_count)
        try_next(j);
    else
        give_up(j, ending(c));
}

/* --- content --- */

void job_want(struct job *j, size_t budget_bytes)
{
    struct conn *c = j->conn;
    j->budget_bytes += budget_bytes;
    if (j->content.n || j->size_bytes == 0) {
        size_t left = j->content.n - j->sent_bytes;
        size_t n = left < j->budget_bytes ? left : j->budget_bytes;
        struct span piece = span_of(j->content.p + j->sent_bytes, n);
        j->sent_bytes += n;
        j->budget_bytes -= n;
        smtp_client_content(c->client, piece, j->sent_bytes == j->content.n,
                            loop_mono_ms(j->d->env->loop));
        return;
    }
    if (j->content_asked || j->sent_bytes >= j->size_bytes)
        return;
    size_t n = j->budget_bytes < WANT_MAX ? j->budget_bytes : WANT_MAX;
    j->content_asked = n > 0;
    if (n)
        upstream_want(j, n);
}

void job_content(struct job *j, uint64_t offset, bool failed, struct span data)
{
    struct conn *c = j->conn;
    /* Else it was asked for by a transaction that has ended since (see job_rewind). */
    if (!c || !c->client || !j->content_asked || offset != j->sent_bytes ||
        data.n > j->budget_bytes)
        return;
    j->content_asked = false;
    int64_t now = loop_mono_ms(j->d->env->loop);
    if (failed || data.n == 0) {
        smtp_client_content_failed(c->client, SPAN("our spool could not be read"), now);
    } else {
        j->sent_bytes += data.n;
        j->budget_bytes -= data.n;
        smtp_client_content(c->client, data, j->sent_bytes == j->size_bytes, now);
        if (c->job == j && j->sent_bytes < j->size_bytes)
            job_want(j, 0);
    }
    conn_run(c);
}

/* A transaction begins anew with each address: so does the content. */
void job_rewind(struct job *j)
{
    j->sent_bytes = 0;
    j->budget_bytes = 0;
    j->content_asked = false;
    gather(j);
    local_substitute(j);
}
