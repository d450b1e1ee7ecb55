/* sendmail's "to=" lines (field order as in its section 4.3 of the reference), and the events. */
#include "qmgr/inside.h"

#include "base/must.h"
#include "smtp/client.h"

#include <stdio.h>

enum { ADDRESS_SHOWN = 256, TEXT_SHOWN = 300, ADDRESSES_PER_LINE = 25 };

static void put_hms(struct buf *b, int64_t ms)
{
    int64_t s = ms > 0 ? ms / 1000 : 0;
    if (s >= 86400)
        buf_printf(b, "%lld+", (long long)(s / 86400));
    s %= 86400;
    buf_printf(b, "%02d:%02d:%02d", (int)(s / 3600), (int)(s / 60 % 60), (int)(s % 60));
}

static void put_addr(struct qmgr *q, struct buf *b, uint64_t seq, uint32_t rcpt)
{
    struct sched_rcpt_info r;
    struct buf addr;
    buf_init(&addr, ENVELOPE_ADDR_MAX + 8);
    if (sched_rcpt(q->sched, seq, rcpt, &r))
        sched_addr_put(&addr, r.addr);
    buf_putc(b, '<');
    log_text(b, buf_span(&addr), ADDRESS_SHOWN);
    buf_putc(b, '>');
    buf_free(&addr);
}

static void put_relay(struct buf *b, const struct fact *f)
{
    if (!f->host.n)
        return;
    buf_putz(b, ", relay=");
    log_text(b, f->host, ADDRESS_SHOWN);
    if (f->host.p[0] != '[' && f->host.p[0] != '/')
        buf_putc(b, '.');
    if (f->relay.family != NETADDR_NONE) {
        buf_putz(b, " [");
        netaddr_put_ip(b, &f->relay);
        buf_putc(b, ']');
    }
}

static bool is_permanent(const struct fact *f)
{
    return f->kind == SPOOL_FAILED || f->kind == SPOOL_EXPIRED;
}

/* sendmail's words for it; what the peer said stands in reply=. */
struct span say_failure(const struct fact *f)
{
    if ((f->code == 550 && span_eq(f->stage, SPAN("RCPT"))) ||
        span_eq(f->enhanced, SPAN("5.1.1")))
        return SPAN("User unknown");
    return f->reply.n ? SPAN("Service unavailable") : f->text;
}

static void put_stat(struct buf *b, const struct fact *f)
{
    struct span words = f->reply.n ? f->reply : f->text;
    buf_putz(b, ", stat=");
    switch (f->kind) {
    case SPOOL_DELIVERED:
    case SPOOL_RELAYED:
        buf_putz(b, "Sent (");
        log_text(b, f->text, TEXT_SHOWN);
        buf_putc(b, ')');
        break;
    case SPOOL_HELD:
        buf_putz(b, f->waits ? "queued: " : "held: ");
        log_text(b, f->text, TEXT_SHOWN);
        break;
    case SPOOL_EXPANDED:
        buf_putz(b, "expanded (");
        log_text(b, f->text, TEXT_SHOWN);
        buf_putc(b, ')');
        break;
    case SPOOL_REMOVED: buf_putz(b, f->deleted ? "deleted" : "discarded"); break;
    case SPOOL_EXPIRED:
        buf_putz(b, "Cannot send message for too long: ");
        log_text(b, words, TEXT_SHOWN);
        break;
    case SPOOL_FAILED: log_text(b, say_failure(f), TEXT_SHOWN); break;
    default:
        buf_putz(b, f->kind == SPOOL_UNKNOWN ? "Deferred (possible duplicate): " : "Deferred: ");
        log_text(b, words, TEXT_SHOWN);
    }
}

static bool same(const struct fact *a, const struct fact *b)
{
    return a->kind == b->kind && span_eq(a->reply, b->reply) && span_eq(a->text, b->text) &&
           span_eq(a->host, b->host);
}

static void line(struct qmgr *q, uint64_t seq, const struct sched_msg_info *m,
                 const struct fact *f, size_t n)
{
    struct events *e = q->env->events;
    struct buf *b = log_begin(e, EVENT_INFO);
    buf_putz(b, queueid_make(seq, m->received_ms).text);
    buf_putz(b, ": to=");
    for (size_t i = 0; i < n; i++) {
        if (i)
            buf_putc(b, ',');
        put_addr(q, b, seq, f[i].rcpt);
    }
    buf_putz(b, ", delay=");
    put_hms(b, loop_wall_ms(q->env->loop) - m->received_ms);
    buf_putz(b, ", xdelay=");
    put_hms(b, f->xdelay_ms);
    buf_putz(b, ", mailer=");
    buf_puts(b, f->mailer);
    buf_putz(b, ", pri=");
    buf_putu(b, m->size_bytes + 30000u * m->rcpt_count);
    put_relay(b, f);
    buf_putz(b, ", dsn=");
    log_text(b, f->enhanced, 16);
    if (f->reply.n && f->kind != SPOOL_DELIVERED && f->kind != SPOOL_RELAYED) {
        buf_putz(b, ", reply=");
        log_text(b, f->reply, TEXT_SHOWN);
    }
    put_stat(b, f);
    log_end(e);
}

static enum event_name event_of(const struct fact *f)
{
    switch (f->kind) {
    case SPOOL_DELIVERED:
    case SPOOL_RELAYED:
    case SPOOL_EXPANDED:
    case SPOOL_REMOVED: return EVENT_delivered;
    case SPOOL_UNKNOWN: return EVENT_outcome_unknown;
    case SPOOL_HELD: return EVENT_held;
    default: return is_permanent(f) ? EVENT_failed : EVENT_deferred;
    }
}

static void put_event_relay(struct events *e, const struct fact *f)
{
    struct buf b;
    if (!f->host.n)
        return;
    buf_init(&b, 512);
    buf_puts(&b, span_to(f->host, 256));
    if (f->relay.family != NETADDR_NONE) {
        buf_putc(&b, ' ');
        netaddr_put(&b, &f->relay);
    }
    event_str(e, FIELD_relay, buf_span(&b));
    buf_free(&b);
}

static void put_result(struct events *e, const struct fact *f, const struct sched_msg_info *m,
                       int64_t now)
{
    event_str(e, FIELD_mailer, f->mailer);
    event_str(e, FIELD_dsn, f->enhanced);
    event_str(e, FIELD_stat, f->text);
    if (f->reply.n)
        event_str(e, FIELD_reply, f->reply);
    event_int(e, FIELD_delay_ms, now - m->received_ms);
    event_int(e, FIELD_xdelay_ms, f->xdelay_ms);
    event_int(e, FIELD_attempts, f->attempts);
    if (f->dest.n)
        event_str(e, FIELD_route, f->dest);
}

/* Why nobody tries on, where that was not said there, and who is told. */
static void put_end(struct qmgr *q, uint64_t seq, const struct fact *f)
{
    static const char *const whom[] = { [DSN_NONE] = "nobody", [DSN_TO_SENDER] = "sender",
                                        [DSN_TO_POSTMASTER] = "postmaster",
                                        [DSN_ALARM] = "alarm" };
    struct events *e = q->env->events;
    const struct envelope *env = store_envelope(q, seq);
    if (f->over.n)
        event_str(e, FIELD_reason, f->over);
    if (env)
        event_str(e, FIELD_told, span_str(whom[facts_due(q, env, f->rcpt, DSN_OUT_FAILED)]));
}

static void event(struct qmgr *q, uint64_t seq, const struct sched_msg_info *m,
                  const struct fact *f)
{
    struct events *e = q->env->events;
    enum event_name name = event_of(f);
    struct sched_rcpt_info r = { 0 };
    struct buf addr;
    buf_init(&addr, ENVELOPE_ADDR_MAX + 8);
    if (sched_rcpt(q->sched, seq, f->rcpt, &r))
        sched_addr_put(&addr, r.addr);
    event_begin(e, name);
    event_str(e, FIELD_id, span_str(queueid_make(seq, m->received_ms).text));
    event_str(e, FIELD_to, buf_span(&addr));
    if (name == EVENT_held)
        event_str(e, FIELD_reason, f->text);
    else
        put_event_relay(e, f);
    if (name == EVENT_outcome_unknown) {
        event_str(e, FIELD_text, f->text);
        event_int(e, FIELD_attempts, f->attempts);
    } else if (name != EVENT_held) {
        put_result(e, f, m, loop_wall_ms(q->env->loop));
    }
    if (name == EVENT_deferred || name == EVENT_failed || name == EVENT_outcome_unknown)
        event_str(e, FIELD_stage, f->stage);
    if (name == EVENT_failed)
        put_end(q, seq, f);
    if (name == EVENT_deferred || name == EVENT_outcome_unknown)
        event_int(e, FIELD_next_try, f->next_wall_ms);
    event_end(e);
    buf_free(&addr);
}

void say_facts(struct qmgr *q, uint64_t seq, const struct fact *f, size_t n)
{
    struct sched_msg_info m;
    if (!sched_msg(q->sched, seq, &m))
        return;
    for (size_t i = 0; i < n; i++)
        if (!f[i].deleted) /* said as admin_deleted */
            event(q, seq, &m, &f[i]);
    for (size_t i = 0; i < n;) {
        size_t k = i + 1;
        while (k < n && k - i < ADDRESSES_PER_LINE && same(&f[i], &f[k]))
            k++;
        line(q, seq, &m, &f[i], k - i);
        i = k;
    }
}

/* A host without 8BITMIME was sent eight-bit content as it is (deliver.eightbit = send). */
void say_eightbit(struct qmgr *q, uint64_t seq, struct span host)
{
    struct events *e = q->env->events;
    struct sched_msg_info m;
    if (!sched_msg(q->sched, seq, &m))
        return;
    event_begin(e, EVENT_eightbit_sent);
    event_str(e, FIELD_id, span_str(queueid_make(seq, m.received_ms).text));
    event_str(e, FIELD_host, span_to(host, 256));
    event_end(e);
}

void say_backed_off(struct qmgr *q, struct span dest, struct span why)
{
    struct events *e = q->env->events;
    struct sched_place_info p;
    int64_t now_ms = loop_mono_ms(q->env->loop);
    int64_t until_ms = 0;
    if (!sched_dest(q->sched, dest, &p))
        return;
    struct span place = p.key;
    until_ms = p.down_until_ms;
    if (!until_ms && p.site_down_until_ms) {
        until_ms = p.site_down_until_ms;
        place = p.site.n ? p.site : p.key;
    }
    if (until_ms <= now_ms)
        return;
    event_begin(e, EVENT_site_backed_off);
    event_str(e, FIELD_site, place);
    event_int(e, FIELD_ms, until_ms - now_ms);
    event_str(e, FIELD_text, span_to(why, TEXT_SHOWN));
    event_end(e);
    struct buf *b = log_begin(e, EVENT_NOTICE);
    buf_putz(b, "site ");
    log_text(b, place, ADDRESS_SHOWN);
    buf_printf(b, " is left alone for %lld s: ", (long long)((until_ms - now_ms + 999) / 1000));
    log_text(b, why, TEXT_SHOWN);
    log_end(e);
}

void say_probed(struct qmgr *q, const struct sched_job *j)
{
    struct events *e = q->env->events;
    struct sched_msg_info m;
    struct sched_place_info p;
    if (!sched_msg(q->sched, j->seq, &m) || !sched_dest(q->sched, j->dest, &p))
        return;
    event_begin(e, EVENT_site_probed);
    event_str(e, FIELD_site, p.down_level || !j->site.n ? j->dest : j->site);
    event_str(e, FIELD_id, span_str(queueid_make(j->seq, m.received_ms).text));
    event_end(e);
}

static void say_site(struct qmgr *q, enum event_name event, struct span place, const char *words)
{
    struct events *e = q->env->events;
    event_begin(e, event);
    event_str(e, FIELD_site, place);
    event_end(e);
    struct buf *b = log_begin(e, EVENT_NOTICE);
    buf_putz(b, "site ");
    log_text(b, place, ADDRESS_SHOWN);
    buf_putc(b, ' ');
    buf_putz(b, words);
    log_end(e);
}

void say_back(struct qmgr *q, struct span dest, bool dest_alone)
{
    struct sched_place_info p;
    if (sched_dest(q->sched, dest, &p))
        say_site(q, EVENT_site_back, p.site.n && !dest_alone ? p.site : p.key, "works again");
}

/* The site asked for less, and is given less: how many at once, one in how long, and why. */
void say_slowed(struct qmgr *q, struct span dest)
{
    struct events *e = q->env->events;
    struct sched_place_info p;
    if (!sched_site_of(q->sched, dest, &p))
        return;
    struct span place = p.key.n ? p.key : dest;
    long long ms = (long long)((p.interval_us + 999) / 1000);
    event_begin(e, EVENT_site_slowed);
    event_str(e, FIELD_site, place);
    event_int(e, FIELD_count, p.limit);
    if (ms)
        event_int(e, FIELD_ms, ms);
    event_str(e, FIELD_text, span_to(p.why, TEXT_SHOWN));
    event_end(e);
    struct buf *b = log_begin(e, EVENT_NOTICE);
    buf_putz(b, "site ");
    log_text(b, place, ADDRESS_SHOWN);
    buf_printf(b, " is given less: %u at once", p.limit);
    if (ms)
        buf_printf(b, ", one in %lld ms", ms);
    buf_putz(b, ": ");
    log_text(b, p.why, TEXT_SHOWN);
    log_end(e);
}

void say_restored(struct qmgr *q, struct span dest)
{
    struct sched_place_info p;
    if (sched_site_of(q->sched, dest, &p))
        say_site(q, EVENT_site_restored, p.key.n ? p.key : dest, "is given as much as before");
}

/* Where to, and what decided: when it comes up, and when it goes another way than before. */
void say_routed(struct qmgr *q, const struct sched_ask *ask, const struct route_dest *d)
{
    struct events *e = q->env->events;
    struct sched_msg_info m;
    struct sched_rcpt_info r;
    struct buf addr;
    if (!sched_msg(q->sched, ask->seq, &m) || !sched_rcpt(q->sched, ask->seq, ask->rcpt, &r) ||
        (r.dest.n && span_eq(r.dest, d->queue)))
        return;
    buf_init(&addr, ENVELOPE_ADDR_MAX + 8);
    sched_addr_put(&addr, r.addr);
    event_begin(e, EVENT_routed);
    event_str(e, FIELD_id, span_str(queueid_make(ask->seq, m.received_ms).text));
    event_str(e, FIELD_to, buf_span(&addr));
    event_str(e, FIELD_route, d->queue);
    event_str(e, FIELD_text, d->matched);
    event_end(e);
    buf_free(&addr);
}

/* What a listener parks is said at once, as sendmail's "stat=queued" does. */
void say_queued(struct qmgr *q, const struct envelope *env)
{
    bool hold = env->hold.n || env->flags & ENVELOPE_HOLD;
    struct events *e = q->env->events;
    struct queueid id = envelope_id(env);
    for (size_t i = 0; i < env->rcpt_count; i++) {
        struct buf *b = log_begin(e, EVENT_INFO);
        buf_printf(b, "%s: to=<", id.text);
        log_text(b, env->rcpts[i].addr, ADDRESS_SHOWN);
        buf_printf(b, ">, delay=00:00:00, mailer=esmtp, pri=30000, stat=%s",
                   hold ? "held" : "queued");
        if (env->hold.n) {
            buf_putz(b, ": ");
            log_text(b, env->hold, TEXT_SHOWN);
        }
        log_end(e);
        event_begin(e, EVENT_held);
        event_str(e, FIELD_id, span_str(id.text));
        event_str(e, FIELD_to, env->rcpts[i].addr);
        event_str(e, FIELD_reason,
                  env->hold.n ? env->hold
                  : hold ? SPAN("delivery = hold of its listener")
                       : SPAN("waits for a queue run (delivery of its listener)"));
        event_end(e);
    }
}
