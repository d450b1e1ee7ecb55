/* The story of an attempt that put somebody off, for those who ask why later. While a message is
 * sent its dialogue is copied into a buffer of the connection, and no more; only when something
 * else than a yes was heard anything is made of it. */
#include "deliver/inside.h"

#include <stdio.h>

void record_begin(struct job *j)
{
    const struct config_attempts *a = &j->d->config->attempts;
    attempt_log_init(&j->log, a->kept ? a->size_bytes : 0);
}

static uint32_t since(const struct job *j)
{
    return (uint32_t)(loop_mono_ms(j->d->env->loop) - j->begun_ms);
}

int64_t record_took_ms(const struct job *j) { return since(j) + j->dns_before_ms; }

void record_line(void *conn, int code, struct span text)
{
    struct conn *c = conn;
    if (c->job)
        attempt_log_add(&c->log, code ? ATTEMPT_PEER : ATTEMPT_OURS, since(c->job), code, text);
}

static void put_place(struct buf *b, struct span host, const struct netaddr *addr)
{
    buf_puts(b, host);
    if (addr->family == NETADDR_NONE)
        return;
    buf_putc(b, ' ');
    netaddr_put(b, addr);
}

/* Whom we talk to is written down when it is wanted. */
void record_talk(struct conn *c, enum talk_kind kind, struct span text)
{
    bool begins = kind == TALK_CONNECTING || kind == TALK_CACHED;
    if (begins)
        c->ended = false;
    if (!c->job || !c->log.max_bytes)
        return;
    if (begins) {
        attempt_log_reset(&c->log);
        c->was_open = kind == TALK_CACHED;
        c->begun_ms = since(c->job);
    } else if (kind == TALK_NOTE && text.n) {
        attempt_log_add(&c->log, ATTEMPT_NOTE, since(c->job), 0, text);
    }
}

void record_open(struct conn *c)
{
    if (c->job)
        attempt_log_add(&c->log, ATTEMPT_OPEN, since(c->job), 0, SPAN("connected"));
}

/* What nobody has said ends the dialogue once: a time-out, a lost connection. */
void record_no(struct conn *c, const struct smtp_outcome *o)
{
    c->job->failing = true;
    if (o->reply.n || c->ended)
        return;
    c->ended = true;
    talk_say(c, TALK_NOTE, o->text);
}

static void keep_host(struct attempt_log *to, bool was_open, uint32_t at_ms, struct span host,
                      const struct netaddr *addr)
{
    struct buf b;
    buf_init(&b, ATTEMPT_TEXT_MAX);
    put_place(&b, host, addr);
    attempt_log_add(to, was_open ? ATTEMPT_KEPT : ATTEMPT_HOST, at_ms, 0, buf_span(&b));
    buf_free(&b);
}

void record_unreached(struct job *j, const struct dns_plan_addr *a, struct span why)
{
    keep_host(&j->log, false, since(j), j->plan.hosts[a->host].name, &a->addr);
    attempt_log_add(&j->log, ATTEMPT_NOTE, since(j), 0, why);
    talk_unreached(j, a, why);
}

void record_keep(struct job *j, struct conn *c)
{
    if (j->failing || !c->client) {
        keep_host(&j->log, c->was_open, c->begun_ms, span_str(c->host), &c->addr);
        attempt_log_append(&j->log, &c->log);
    }
    if (j->failing && c->tls_text[0])
        snprintf(j->tls, sizeof j->tls, "%s", c->tls_text);
    attempt_log_reset(&c->log);
}

void record_told(struct job *j, const struct smtp_outcome *o)
{
    if (o->result == SMTP_DELIVERED || o->result == SMTP_STALE || !j->log.max_bytes)
        return;
    struct smtp_outcome *copy = arena_alloc(j->arena, sizeof *copy);
    if (!copy)
        return;
    *copy = *o;
    copy->reply = arena_dup(j->arena, o->reply);
    copy->text = arena_dup(j->arena, o->text);
    j->last_no = copy;
}

/* --- the whole --- */

static void put_dns(const struct job *j, struct attempt *a)
{
    static const enum attempt_dns verdicts[] = { ATTEMPT_DNS_OK, ATTEMPT_DNS_LATER,
                                                 ATTEMPT_DNS_FAIL };
    if (j->asked)
        a->dns = j->have_plan ? verdicts[j->plan.verdict] : ATTEMPT_DNS_LATER;
    if (!j->have_plan)
        return;
    a->dns_text = j->plan.text;
    for (size_t i = 0; i < j->plan.addr_count && i < ATTEMPT_ADDRS_MAX; i++) {
        const struct dns_plan_host *h = &j->plan.hosts[j->plan.addrs[i].host];
        a->addrs[a->addr_count++] =
            (struct attempt_addr){ .host = h->name, .addr = j->plan.addrs[i].addr,
                                   .pref = h->pref };
    }
    a->addrs_cut = j->plan.addr_count > ATTEMPT_ADDRS_MAX;
    a->alias = j->plan.alias;
}

static struct attempt attempt_of(const struct job *j)
{
    struct attempt a = { .ms = (uint32_t)record_took_ms(j),
                         .dns_ms = (uint32_t)(j->dns_ms + j->dns_before_ms),
                         .dest = j->dest.queue,
                         .matched = j->dest.matched };
    a.at_ms = loop_wall_ms(j->d->env->loop) - a.ms;
    put_dns(j, &a);
    return a;
}

void record_put(struct job *j, struct buf *b)
{
    const struct smtp_outcome *o = j->last_no;
    if (!o || !j->log.max_bytes)
        return;
    struct attempt a = attempt_of(j);
    a.stage = span_str(smtp_stage_name(o->stage, j->lmtp));
    a.code = (uint16_t)o->code;
    a.said = o->reply.n ? o->reply : o->text;
    a.tls = span_str(j->tls);
    if (j->asked && (!j->have_plan || j->plan.verdict != DNS_PLAN_OK))
        a.stage = SPAN("DNS");
    attempt_put(b, &a, &j->log, j->log.max_bytes);
}

void record_so_far(struct job *j, struct buf *b)
{
    const struct conn *c = j->conn;
    struct attempt a = attempt_of(j);
    struct attempt_log all;
    if (j->question) /* it has not answered yet */
        a.dns = ATTEMPT_DNS_NONE;
    if (c)
        a.tls = span_str(c->tls_text);
    attempt_log_init(&all, j->log.max_bytes ? j->log.max_bytes : ATTEMPT_MIN_BYTES);
    attempt_log_append(&all, &j->log);
    if (c) {
        keep_host(&all, c->was_open, c->begun_ms, span_str(c->host), &c->addr);
        attempt_log_append(&all, &c->log);
    }
    attempt_put(b, &a, &all, all.max_bytes);
    attempt_log_free(&all);
}
