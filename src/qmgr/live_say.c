/* What is told of a run: rows of JSON, kept until control asks for them. */
#include "qmgr/cause.h"
#include "qmgr/live.h"
#include "qmgr/keep.h"

#include "base/must.h"
#include "smtp/client.h"

enum { ROW_MAX = 32 << 10, SHOWN_RCPTS = 25 };

static struct json begin(struct buf *b)
{
    buf_init(b, ROW_MAX);
    struct json j = json_writer(b);
    json_open(&j, NULL);
    return j;
}

/* A row that does not fit (a reader who has gone to sleep over 4M of them) is left out. */
static void add(struct live *l, struct json *j)
{
    json_close(j);
    buf_putc(j->out, '\n');
    if (l->ask && !j->out->failed && j->out->len <= buf_room(&l->out))
        buf_puts(&l->out, buf_span(j->out));
    else
        l->left_out++;
    buf_free(j->out);
}

static void put_rcpt(struct live *l, struct json *j, const char *key, uint64_t seq, uint32_t rcpt)
{
    struct sched_rcpt_info info;
    if (sched_rcpt(l->q->sched, seq, rcpt, &info))
        admin_put_addr(j, key, info.addr);
    else
        json_str(j, key, SPAN_NONE);
}

static struct span directory(const struct live *l)
{
    const struct config_texts *d = &l->q->config->spool.directories;
    return d->n ? d->v[0] : SPAN_NONE;
}

void live_say_total(struct live *l)
{
    struct buf b;
    struct json j = begin(&b);
    json_uint(&j, "total", l->total);
    json_str(&j, "directory", directory(l));
    add(l, &j);
}

static void put_message(struct live *l, struct json *j, const struct sched_msg_info *m)
{
    json_str(j, "id", span_str(queueid_make(m->seq, m->received_ms).text));
    json_uint(j, "of", l->total > l->begun ? l->total : l->begun);
    json_uint(j, "size", m->size_bytes);
    json_int(j, "age_ms", loop_wall_ms(l->q->env->loop) - m->received_ms);
    admin_put_addr(j, "sender", m->sender);
}

/* What it follows is in a delivery, and does not only wait for its turn. */
static bool follows_delivery(const struct live *l, const struct live_run *r)
{
    struct sched_rcpt_info info;
    for (uint32_t i = 0; i < r->rcpt_count; i++)
        if (r->rcpts[i] & LIVE_FOLLOWED && sched_rcpt(l->q->sched, r->seq, i, &info) &&
            info.state == SCHED_ACTIVE)
            return true;
    return false;
}

void live_say_run(struct live *l, const struct live_run *r, const struct sched_msg_info *m)
{
    struct buf b;
    struct json j = begin(&b);
    json_uint(&j, "run", r->number);
    put_message(l, &j, m);
    if (r->follows)
        json_bool(&j, follows_delivery(l, r) ? "under_way" : "asked_already", true);
    add(l, &j);
}

static bool is_under_way(const struct sched_msg_info *m)
{
    enum { LOOKED = 1000 };
    struct sched_rcpt_info r;
    for (uint32_t i = 0; i < LOOKED && sched_msg_rcpt(m->here, i, &r); i++)
        if (r.state == SCHED_ACTIVE)
            return true;
    return false;
}

void live_say_locked(struct live *l, const struct sched_msg_info *m)
{
    struct buf b;
    struct json j = begin(&b);
    json_uint(&j, "locked", l->begun);
    put_message(l, &j, m);
    json_bool(&j, "under_way", is_under_way(m));
    add(l, &j);
}

void live_say_ran(struct live *l, const struct live_run *r)
{
    struct buf b;
    struct json j = begin(&b);
    json_uint(&j, "ran", r->number);
    add(l, &j);
}

void live_say_job(struct live *l, const struct live_run *r, const struct job *job)
{
    struct buf b;
    struct json j = begin(&b);
    json_uint(&j, "job", job->id);
    json_uint(&j, "run_number", r->number);
    json_str(&j, "mailer", job->mailer);
    json_str(&j, "destination", span_to(job->dest, 1024));
    json_open_array(&j, "to");
    for (uint32_t i = 0; i < job->rcpt_count && i < SHOWN_RCPTS; i++)
        put_rcpt(l, &j, NULL, job->seq, job->rcpts[i]);
    json_close_array(&j);
    json_uint(&j, "rcpts", job->rcpt_count);
    add(l, &j);
}

static const char *const talk_names[TALK_KINDS] = {
    [TALK_CONNECTING] = "connecting", [TALK_CACHED] = "cached",   [TALK_OURS] = "ours",
    [TALK_PEER] = "peer",             [TALK_NOTE] = "note",       [TALK_CLOSING] = "closing",
    [TALK_CLOSED] = "closed",
};

void live_talk(struct qmgr *q, const struct msg_talk *m)
{
    struct live *l = q->lives;
    while (l && l->id != m->watch)
        l = l->next;
    if (!l || m->kind >= TALK_KINDS)
        return;
    if (m->kind == TALK_CLOSED && l->phase == LIVE_CLOSE && l->closing)
        l->closing--;
    live_soon(l);
    bool dialogue = m->kind == TALK_OURS || m->kind == TALK_PEER;
    if (dialogue && l->out.len > LIVE_TALK_MAX) {
        l->left_out++;
        return;
    }
    struct buf b, ip;
    struct json j = begin(&b);
    buf_init(&ip, NETADDR_TEXT_MAX);
    if (m->relay.family != NETADDR_NONE)
        netaddr_put(&ip, &m->relay);
    json_uint(&j, "job", m->job);
    json_str(&j, "talk", span_str(talk_names[m->kind]));
    json_str(&j, "host", m->host);
    json_str(&j, "at", buf_span(&ip));
    json_str(&j, "text", m->text);
    add(l, &j);
    buf_free(&ip);
}

static const char *result_of(const struct fact *f)
{
    switch (f->kind) {
    case SPOOL_DELIVERED:
    case SPOOL_RELAYED: return "sent";
    case SPOOL_EXPANDED: return "expanded";
    case SPOOL_FAILED: return "failed";
    case SPOOL_EXPIRED: return "expired";
    case SPOOL_HELD: return f->waits ? "waits" : "held";
    case SPOOL_REMOVED: return f->deleted ? "deleted" : "discarded";
    case SPOOL_UNKNOWN: return "unknown";
    default: return "deferred";
    }
}

static void tally(struct live *l, const struct fact *f)
{
    switch (f->kind) {
    case SPOOL_DELIVERED:
    case SPOOL_RELAYED: l->sent++; break;
    case SPOOL_FAILED:
    case SPOOL_EXPIRED: l->failed++; break;
    case SPOOL_HELD:
    case SPOOL_EXPANDED:
    case SPOOL_REMOVED: l->other++; break;
    default: l->deferred++;
    }
}

/* Whose result it is, as rows of several deliveries come in any order. */
static void put_whose(struct live *l, struct json *j, const struct live_run *r, uint64_t job,
                      uint32_t rcpt)
{
    struct sched_msg_info m;
    json_uint(j, "result_of", r->number);
    json_uint(j, "job", job);
    if (sched_msg(l->q->sched, r->seq, &m))
        json_str(j, "id", span_str(queueid_make(m.seq, m.received_ms).text));
    put_rcpt(l, j, "to", r->seq, rcpt);
}

void live_say_result(struct live *l, const struct live_run *r, uint64_t job, const struct fact *f)
{
    struct buf b;
    struct json j = begin(&b);
    tally(l, f);
    put_whose(l, &j, r, job, f->rcpt);
    json_str(&j, "result", span_str(result_of(f)));
    json_str(&j, "dsn", f->enhanced);
    json_str(&j, "host", f->host);
    json_str(&j, "reply", f->reply);
    json_str(&j, "text", f->kind == SPOOL_FAILED ? say_failure(f) : f->text);
    json_int(&j, "ms", f->xdelay_ms);
    if (f->next_wall_ms)
        json_int(&j, "next_try_ms", f->next_wall_ms);
    add(l, &j);
}

/* The trouble of the place it waits with, where that is why it is not tried. */
static struct span reason_now(struct live *l, const struct sched_rcpt_info *info)
{
    struct sched_place_info p;
    if (info->state >= SCHED_WAITING || !info->dest.n || !sched_dest(l->q->sched, info->dest, &p))
        return info->reason;
    if (p.down_until_ms && p.why.n)
        return p.why;
    bool down = p.site_down_until_ms != 0;
    return down && sched_site_of(l->q->sched, info->dest, &p) && p.why.n ? p.why : info->reason;
}

void live_say_state(struct live *l, const struct live_run *r, uint32_t rcpt,
                    const struct sched_rcpt_info *info)
{
    struct sched_now now = qmgr_now(l->q);
    struct buf b;
    struct json j = begin(&b);
    bool held = info->state == SCHED_HELD;
    if (held || info->state == SCHED_WAITING)
        l->other++;
    else
        l->deferred++;
    put_whose(l, &j, r, 0, rcpt);
    json_str(&j, "result", held ? SPAN("held")
                           : info->state == SCHED_WAITING ? SPAN("waits") : SPAN("deferred"));
    json_bool(&j, "untried", true);
    json_str(&j, "text", reason_now(l, info));
    if (info->next_try_ms)
        json_int(&j, "next_try_ms", now.wall_ms + (info->next_try_ms - now.mono_ms));
    add(l, &j);
}

void live_say_untried(struct live *l, const struct live_run *r, uint32_t rcpt, const char *what,
                      struct span who)
{
    struct buf b, by;
    struct json j = begin(&b);
    buf_init(&by, LIVE_WORDS_MAX + 16);
    if (who.n)
        buf_printf(&by, "by %.*s", SPAN_ARG(span_to(who, LIVE_WORDS_MAX)));
    put_whose(l, &j, r, 0, rcpt);
    json_str(&j, "result", span_str(what));
    json_bool(&j, "untried", true);
    json_str(&j, "text", buf_span(&by));
    add(l, &j);
    buf_free(&by);
}

struct span live_frozen_by(struct live *l, const struct sched_rcpt_info *info)
{
    struct span name, unused;
    struct decision d;
    bool known = sched_frozen_as(l->q->sched, info, &name) &&
                 decision_get(l->q, KEEP_FROZEN, name, &unused, &d);
    return known ? d.who : SPAN_NONE;
}

/* False: it was told of before. */
static bool tell_once(struct live *l, struct span name)
{
    for (unsigned i = 0; i < l->told_count; i++)
        if (span_eq(l->told[i], name))
            return false;
    struct span kept = l->told_count < LIVE_TOLD_MAX ? arena_dup(l->arena, name) : SPAN_NONE;
    if (kept.p)
        l->told[l->told_count++] = kept;
    return kept.p != NULL;
}

void live_say_frozen(struct live *l, const struct sched_rcpt_info *info)
{
    struct span name, unused;
    struct decision d;
    struct buf b;
    l->frozen++;
    if (!sched_frozen_as(l->q->sched, info, &name) || !tell_once(l, name))
        return;
    struct json j = begin(&b);
    json_str(&j, "notice", SPAN("frozen"));
    json_str(&j, "name", name);
    if (decision_get(l->q, KEEP_FROZEN, name, &unused, &d)) {
        json_str(&j, "who", d.who);
        json_int(&j, "since_ms", d.at_ms);
    }
    add(l, &j);
}

void live_say_slow(struct live *l, const struct sched_place_info *site)
{
    struct sched_now now = qmgr_now(l->q);
    struct buf b;
    buf_init(&b, ROW_MAX);
    buf_printf(&b, "%lld %.*s", (long long)site->interval_us, SPAN_ARG(site->key));
    bool news = tell_once(l, buf_span(&b));
    buf_free(&b);
    if (!news)
        return;
    struct json j = begin(&b);
    json_str(&j, "notice", SPAN("slow"));
    json_str(&j, "name", site->key);
    json_int(&j, "until_ms", now.wall_ms + (site->paced_until_ms - now.mono_ms));
    json_int(&j, "wait_ms", site->paced_until_ms - now.mono_ms);
    json_int(&j, "one_in_ms", (site->interval_us + 999) / 1000);
    if (site->rcpts[SCHED_READY] > 1) { /* which of them comes when is the senders' turns' to say */
        json_uint(&j, "ready_there", site->rcpts[SCHED_READY]);
        json_int(&j, "last_wait_ms", cause_latest_ms(site) - now.mono_ms);
    }
    if (site->why.n)
        json_str(&j, "why", site->why);
    add(l, &j);
}

void live_say_asking(struct live *l, struct span dest)
{
    struct buf b;
    buf_init(&b, ROW_MAX);
    buf_printf(&b, "? %.*s", SPAN_ARG(dest));
    bool news = tell_once(l, buf_span(&b));
    buf_free(&b);
    if (!news)
        return;
    struct json j = begin(&b);
    json_str(&j, "notice", SPAN("asking"));
    json_str(&j, "name", dest);
    add(l, &j);
}

void live_say_end(struct live *l)
{
    struct buf b;
    struct json j = begin(&b);
    json_bool(&j, "summary", true);
    json_uint(&j, "messages", l->begun - l->untouched);
    json_uint(&j, "sent", l->sent);
    json_uint(&j, "deferred", l->deferred);
    json_uint(&j, "failed", l->failed);
    json_uint(&j, "other", l->other);
    json_uint(&j, "frozen", l->frozen);
    json_uint(&j, "left_out", l->left_out);
    json_bool(&j, "gave_up", l->gave_up);
    add(l, &j);
}

void live_flush(struct live *l)
{
    struct span s = buf_span(&l->out);
    size_t n = 0;
    if (!l->ask || !l->may_say || !s.n)
        return;
    while (s.n && n < ADMIN_SLICE_BYTES) {
        struct span row = span_to(s, span_find(s, '\n'));
        admin_say(l->ask, row);
        s = span_from(s, row.n + 1);
        n += row.n + 1;
    }
    buf_take(&l->out, n);
    l->said_ms = loop_mono_ms(l->q->env->loop);
    l->may_say = false;
    admin_slice_over(l->ask);
}
