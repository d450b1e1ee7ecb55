/* The channels to deliver: jobs out, content as it is asked for, results back. */
#include "qmgr/reroute.h"
#include "qmgr/way.h"

#include "base/must.h"
#include "config/rules.h"
#include "proto/lists.h"
#include "smtp/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    ANSWER_LATE_MS = 300000, /* beyond the longest attempt */
    LATE_LOOKS = 60,         /* once a second at most: time in which we, and it, could run */
    KEEPER_INDEX_SHIFT = 48,
    CONTENT_PIECE_MAX = 256 << 10,
    JOB_ARENA_MAX = 16 << 20,
    TEXT_KEPT = 1024,
};

static struct job *job_find(struct qmgr *q, const struct deliver_peer *p, uint64_t id)
{
    struct hash_node *n = hash_get(&q->jobs, span_of(&id, sizeof id));
    struct job *j = n ? CONTAINER(n, struct job, node) : NULL;
    return j && j->at == p ? j : NULL;
}

static void job_free(struct qmgr *q, struct job *j)
{
    if (j->watch)
        live_job_over(q, j);
    hash_remove(&q->jobs, &j->node);
    list_remove(&j->want_node);
    spool_reader_close(&j->reader);
    j->at->jobs--;
    arena_free(&j->arena);
    free(j);
}

static struct job *job_new(struct qmgr *q, struct deliver_peer *p, const struct sched_job *sj,
                           const struct dest *d)
{
    struct job *j = NEW(struct job);
    j->arena = arena_new(JOB_ARENA_MAX);
    j->id = sj->id;
    j->seq = sj->seq;
    j->at = p;
    j->flags = sj->flags;
    j->dest = arena_dup(j->arena, sj->dest);
    j->mailer = arena_dup(j->arena, d->mailer);
    j->rcpt_count = sj->rcpt_count;
    j->rcpts = arena_alloc(j->arena, sj->rcpt_count * sizeof *j->rcpts);
    j->got = arena_alloc(j->arena, sj->rcpt_count * sizeof *j->got);
    j->outcomes = arena_alloc(j->arena, sj->rcpt_count * sizeof *j->outcomes);
    j->verdicts = arena_alloc(j->arena, sj->rcpt_count * sizeof *j->verdicts);
    MUST(j->rcpts && j->got && j->outcomes && j->verdicts);
    memcpy(j->rcpts, sj->rcpts, sj->rcpt_count * sizeof *j->rcpts);
    j->begun_ms = loop_mono_ms(q->env->loop);
    hash_add(&q->jobs, &j->node, span_of(&j->id, sizeof j->id));
    p->jobs++;
    return j;
}

/* The least busy one; the one that kept the connection when there is one. */
static struct deliver_peer *choose(struct qmgr *q, uint64_t keeper)
{
    struct deliver_peer *best = NULL;
    uint64_t kept_at = keeper >> KEEPER_INDEX_SHIFT;
    struct deliver_peer *kept = kept_at && kept_at <= PEERS_MAX ? &q->delivers[kept_at - 1] : NULL;
    if (kept && kept->channel && !channel_full(kept->channel))
        return kept;
    for (int i = 0; i < PEERS_MAX; i++) {
        struct deliver_peer *p = &q->delivers[i];
        if (p->channel && !channel_full(p->channel) && (!best || p->jobs < best->jobs))
            best = p;
    }
    return best;
}

/* --- a job goes out --- */

static void put_addr(struct buf *b, struct sched_addr a)
{
    size_t at = b->len;
    wire_put_u32(b, 0);
    sched_addr_put(b, a);
    wire_set_u32(b->mem + b->off + at, (uint32_t)(b->len - at - 4));
}

/* Addresses from the schedule; DSN parameters, which few messages have, from the spool. */
static void put_rcpts(struct qmgr *q, const struct job *j, const struct envelope *env,
                      struct buf *b)
{
    size_t at = b->len;
    wire_put_u32(b, 0);
    for (uint32_t i = 0; i < j->rcpt_count; i++) {
        struct sched_rcpt_info r;
        MUST(sched_rcpt(q->sched, j->seq, j->rcpts[i], &r));
        put_addr(b, r.addr);
        bool known = env && j->rcpts[i] < env->rcpt_count;
        wire_put_bytes(b, known ? env->rcpts[j->rcpts[i]].orcpt : SPAN_NONE);
        wire_put_u8(b, r.notify);
    }
    wire_set_u32(b->mem + b->off + at, (uint32_t)(b->len - at - 4));
}

/* Small content goes along, read straight into the channel where it is not at hand; large is read
 * as deliver asks for it. 0 or errno. */
static int put_content(struct job *j, uint64_t size, struct span at_hand, struct buf *b)
{
    bool inlined = size <= JOB_INLINE_MAX;
    if (at_hand.n)
        wire_put_bytes(b, at_hand);
    else
        wire_put_u32(b, inlined ? (uint32_t)size : 0);
    if (!inlined || size == 0 || at_hand.n)
        return 0;
    char *to = buf_space(b, size);
    ssize_t got = to ? spool_reader_read(j->reader, 0, to, size) : -ENOMEM;
    if (got >= 0)
        buf_added(b, (size_t)got);
    spool_reader_close(&j->reader);
    return got < 0 ? (int)-got : (uint64_t)got < size ? EIO : 0;
}

#define RET_FLAGS ((uint32_t)(ENVELOPE_RET_FULL | ENVELOPE_RET_HDRS))

/* All of a job's recipients have the same sender. NULL: the envelope's; or errno in *error_r: it
 * has its own, which cannot be read. */
static const struct envelope_rcpt *own_sender(struct qmgr *q, const struct job *j, int *error_r)
{
    struct sched_rcpt_info r;
    if (!sched_rcpt(q->sched, j->seq, j->rcpts[0], &r) || !(r.marks & QMGR_OWN_SENDER))
        return NULL;
    const struct envelope *env = store_envelope(q, j->seq);
    *error_r = env && j->rcpts[0] < env->rcpt_count ? 0 : EIO;
    return *error_r ? NULL : &env->rcpts[j->rcpts[0]];
}

_Static_assert((int)RECENT_ONE_BYTES <= (int)JOB_INLINE_MAX,
               "what is at hand goes along with its job");

static int send_out(struct qmgr *q, struct job *j, const struct sched_job *sj,
                    const struct dest *d)
{
    struct sched_msg_info m;
    int error = 0;
    MUST(sched_msg(q->sched, j->seq, &m));
    struct span at_hand = SPAN_NONE;
    if (!recent_get(q->recent, j->seq, &at_hand)) {
        j->reader = spool_reader_open(q->spool, j->seq, &error);
        if (!j->reader)
            return error;
    }
    const struct envelope_rcpt *own = own_sender(q, j, &error);
    if (error)
        return error;
    const struct envelope *stored =
        sj->flags & (QMGR_HAS_DSN | QMGR_SHOWN) ? store_envelope(q, j->seq) : NULL;
    bool shown = sj->flags & QMGR_SHOWN && !own;
    if (shown && !stored)
        return EIO;
    uint64_t size = j->reader ? spool_reader_size(j->reader) : at_hand.n;
    /* The fields of struct msg_job, in their order. */
    struct buf *b = channel_begin(j->at->channel, MSG_job);
    wire_put_u64(b, j->id);
    wire_put_u64(b, j->seq);
    wire_put_i64(b, m.received_ms);
    wire_put_bytes(b, span_of(d->bytes + d->key_len + d->mailer_len, d->codec_len));
    wire_put_bytes(b, config_rules_classes_in(sj->dest));
    if (own)
        wire_put_bytes(b, own->sender);
    else if (shown)
        wire_put_bytes(b, stored->shown);
    else
        put_addr(b, m.sender);
    wire_put_u32(b, sj->flags & ~(QMGR_HAS_DSN | QMGR_SHOWN | (own ? RET_FLAGS : 0)));
    wire_put_bytes(b, stored && !own ? stored->envid : SPAN_NONE);
    put_rcpts(q, j, stored, b);
    wire_put_u64(b, size);
    wire_put_u64(b, sj->keeper & ((UINT64_C(1) << KEEPER_INDEX_SHIFT) - 1));
    wire_put_u8(b, sj->instead);
    error = put_content(j, size, at_hand, b);
    if (error)
        channel_cancel(j->at->channel);
    else
        channel_end(j->at->channel);
    return error;
}

/* The spool cannot give the content: that is for the admin, and the recipients wait. */
static void content_broken(struct qmgr *q, struct job *j, int error)
{
    struct job_rcpt *g = j->got;
    log_line(q->env->events, EVENT_ALARM, "%llu: its content cannot be read from the spool: %s",
             (unsigned long long)j->seq, strerror(error));
    event_begin(q->env->events, EVENT_spool_failed);
    event_str(q->env->events, FIELD_text, SPAN("the content of a message cannot be read"));
    event_end(q->env->events);
    for (uint32_t i = 0; i < j->rcpt_count; i++) {
        g[i].told = true;
        g[i].kind = SCHED_OUT_DEFERRED;
        g[i].enhanced = SPAN("4.3.0");
        g[i].text = SPAN("our spool could not be read");
    }
}

static void finish_job(struct qmgr *q, struct job *j, struct sched_result *res);

bool deliverers_let_go(struct qmgr *q, uint64_t keeper)
{
    uint64_t index = keeper >> KEEPER_INDEX_SHIFT;
    struct msg_let_go m = { .keeper = keeper & ((UINT64_C(1) << KEEPER_INDEX_SHIFT) - 1) };
    if (!index || index > PEERS_MAX || !q->delivers[index - 1].channel)
        return false;
    send_let_go(q->delivers[index - 1].channel, &m);
    return true;
}

bool deliverers_give(struct qmgr *q, struct sched_job *sj)
{
    live_choose(q, sj);
    struct deliver_peer *p = choose(q, sj->keeper);
    const struct dest *d = dest_find(q, sj->dest);
    if (!p || !d) {
        sched_job_lost(q->sched, sj->id, qmgr_now(q), NULL);
        return false;
    }
    if (sj->keeper >> KEEPER_INDEX_SHIFT != (uint64_t)p->index + 1) { /* a name elsewhere */
        deliverers_let_go(q, sj->keeper);
        sj->keeper = 0;
    }
    struct job *j = job_new(q, p, sj, d);
    live_watch(q, j);
    if (sj->probe)
        say_probed(q, sj);
    int error = send_out(q, j, sj, d);
    if (error) {
        content_broken(q, j, error);
        finish_job(q, j, &(struct sched_result){ .news = SCHED_NEWS_NONE });
    }
    return true;
}

/* --- content --- */

static void give_content(struct qmgr *q, struct job *j)
{
    struct channel *ch = j->at->channel;
    int error = 0;
    /* It went along with the job; another address means another reading. */
    if (!j->reader)
        j->reader = spool_reader_open(q->spool, j->seq, &error);
    struct buf *b = channel_begin(ch, MSG_content);
    wire_put_u64(b, j->id);
    wire_put_u64(b, j->want_offset);
    size_t at = b->len;
    wire_put_u8(b, 0);
    wire_put_u32(b, 0);
    char *to = buf_space(b, j->want_bytes);
    ssize_t got = to && j->reader
                      ? spool_reader_read(j->reader, j->want_offset, to, j->want_bytes)
                      : -EIO;
    if (got >= 0)
        buf_added(b, (size_t)got);
    b->mem[b->off + at] = got < 0;
    wire_set_u32(b->mem + b->off + at + 1, got > 0 ? (uint32_t)got : 0);
    channel_end(ch);
}

/* All jobs of a deliver may ask in one turn: what goes beyond the turn's share waits for the
 * next, so that mail that comes in does not wait for large mail that goes out. */
void deliverers_serve(void *ctx)
{
    struct qmgr *q = ctx;
    bool small = intake_small(q);
    size_t left = small ? CONTENT_SMALL_BYTES : CONTENT_TURN_BYTES;
    LIST_EACH(n, &q->wants) {
        struct job *j = CONTAINER(n, struct job, want_node);
        if (channel_full(j->at->channel)) /* on_drained comes back to it */
            continue;
        if (!left) {
            loop_timer_in(q->env->loop, &q->serve_more, small);
            return;
        }
        if (j->want_bytes > left) /* it asks for the rest */
            j->want_bytes = (uint32_t)left;
        left -= j->want_bytes;
        list_remove(n);
        give_content(q, j);
    }
}

static void on_want(struct deliver_peer *p, struct channel *ch, const struct msg_want *m)
{
    struct qmgr *q = p->q;
    struct job *j = job_find(q, p, m->job);
    (void)ch;
    if (!j)
        return;
    j->want_offset = m->offset;
    j->want_bytes = m->count < CONTENT_PIECE_MAX ? m->count : CONTENT_PIECE_MAX;
    if (!list_linked(&j->want_node))
        list_append(&q->wants, &j->want_node);
    loop_hook_ask(q->env->loop, &q->serve);
}

/* --- results --- */

static enum sched_outcome_kind kind_of(const struct msg_result *m)
{
    switch (m->result) {
    case SMTP_DELIVERED: return SCHED_OUT_DELIVERED;
    case SMTP_FAILED: return SCHED_OUT_FAILED;
    case SMTP_UNKNOWN: return SCHED_OUT_UNKNOWN;
    case SMTP_STALE: return SCHED_OUT_STALE;
    default: return m->bits & RESULT_AGAIN ? SCHED_OUT_STALE : SCHED_OUT_DEFERRED;
    }
}

static struct span keep(struct job *j, struct span s)
{
    struct span kept = arena_dup(j->arena, span_to(s, TEXT_KEPT));
    return kept.p ? kept : SPAN_NONE;
}

static void on_result(struct deliver_peer *p, struct channel *ch, const struct msg_result *m)
{
    struct job *j = job_find(p->q, p, m->job);
    (void)ch;
    /* One for each: a second one would use up the job's memory. */
    if (!j || m->rcpt >= j->rcpt_count || j->got[m->rcpt].told || m->stage >= SMTP_STAGES)
        return;
    struct job_rcpt *g = &j->got[m->rcpt];
    *g = (struct job_rcpt){ .kind = kind_of(m),
                            .result = m->result,
                            .cause = m->cause,
                            .stage = m->stage,
                            .bits = m->bits,
                            .code = m->code,
                            .enhanced = keep(j, m->enhanced),
                            .reply = keep(j, m->reply),
                            .text = keep(j, m->text),
                            .host = keep(j, m->host),
                            .relay = m->relay,
                            .ms = m->ms,
                            .told = true };
    hosts_note(p->q, j, g);
}

/* When the back-off of a destination or its site ends; 0: none. */
static int64_t down_until(const struct qmgr *q, struct span dest)
{
    struct sched_place_info p;
    if (!sched_dest(q->sched, dest, &p))
        return 0;
    return p.down_until_ms > p.site_down_until_ms ? p.down_until_ms : p.site_down_until_ms;
}

enum down { DOWN_NOT, DOWN_SITE, DOWN_DEST };

/* Whether the destination or its site was left alone since it worked last. */
static enum down failed_before(const struct qmgr *q, struct span dest)
{
    struct sched_place_info p, site;
    if (!sched_dest(q->sched, dest, &p) || !sched_site_of(q->sched, dest, &site))
        return DOWN_NOT;
    return site.down_level ? DOWN_SITE : p.down_level ? DOWN_DEST : DOWN_NOT;
}

static void say_change(struct qmgr *q, struct span dest)
{
    enum sched_change change = sched_change(q->sched);
    if (change == SCHED_SLOWED)
        say_slowed(q, dest);
    else if (change == SCHED_RESTORED)
        say_restored(q, dest);
}

/* *res without its outcomes: they stand in the job. */
static void finish_job(struct qmgr *q, struct job *j, struct sched_result *res)
{
    int64_t down_ms = down_until(q, j->dest);
    enum down was_down = failed_before(q, j->dest);
    if (reroute_spare(q, j, &res->why))
        res->news = SCHED_NEWS_DEST_DOWN;
    for (uint32_t i = 0; i < j->rcpt_count; i++) {
        struct job_rcpt *g = &j->got[i];
        if (!g->told) { /* deliver owes one for each: without, it may have gone out */
            g->kind = SCHED_OUT_UNKNOWN;
            g->text = SPAN("deliver gave no result");
        }
        bool site = (res->news == SCHED_NEWS_DOWN || res->news == SCHED_NEWS_CROWDED ||
                     res->news == SCHED_NEWS_DEST_DOWN) &&
                    g->kind == SCHED_OUT_DEFERRED;
        j->outcomes[i].kind = site ? SCHED_OUT_SITE : g->kind;
        j->outcomes[i].reason = g->reply.n ? g->reply : g->text; /* with its code */
    }
    res->outcomes = j->outcomes;
    if (sched_job_result(q->sched, j->id, res, qmgr_now(q), j->verdicts)) {
        say_change(q, j->dest);
        verdict_job(q, j, j->verdicts);
    }
    live_result(q, j, res);
    if (down_until(q, j->dest) > down_ms)
        say_backed_off(q, j->dest, res->why);
    else if (was_down && !failed_before(q, j->dest))
        say_back(q, j->dest, was_down == DOWN_DEST);
    job_free(q, j);
    loop_hook_ask(q->env->loop, &q->work);
}

/* A 4yz that is about us or about its load, not about this recipient (RFC 3463: 4.3.2 system not
 * accepting, 4.4.5 congestion, 4.7.28 mail flood detected); one to MAIL too, unless it is about the
 * sender's address (4.1.x). Greylisting (450 4.7.1, 451 to RCPT) is none. */
static bool asks_for_less(const struct job_rcpt *g)
{
    if (g->code < 400 || g->code > 499)
        return false;
    const struct span *e = &g->enhanced;
    if (span_eq(*e, SPAN("4.3.2")) || span_eq(*e, SPAN("4.4.5")) || span_eq(*e, SPAN("4.7.28")))
        return true;
    return g->stage <= SMTP_STAGE_MAIL && !span_starts(*e, SPAN("4.1."));
}

/* The site closes in the middle, or says nothing: MAIL had been sent. */
static bool broke_off(const struct job_rcpt *g)
{
    bool lost = g->cause == SMTP_CAUSE_LOST && g->stage >= SMTP_STAGE_MAIL &&
                g->stage <= SMTP_STAGE_FINAL && g->kind != SCHED_OUT_STALE;
    return lost || g->cause == SMTP_CAUSE_TIMEOUT;
}

static enum sched_news news_of(const struct job *j, const struct msg_job_done *m)
{
    if (m->dns)
        return SCHED_NEWS_DEST_DOWN;
    for (uint32_t i = 0; i < j->rcpt_count && !m->reached; i++)
        if (j->got[i].code == 421)
            return SCHED_NEWS_CROWDED;
    if (!m->reached)
        return SCHED_NEWS_DOWN;
    for (uint32_t i = 0; i < j->rcpt_count; i++)
        if (j->got[i].code == 421 || broke_off(&j->got[i]))
            return SCHED_NEWS_BUSY;
    for (uint32_t i = 0; i < j->rcpt_count; i++)
        if (asks_for_less(&j->got[i]))
            return SCHED_NEWS_SLOW;
    return SCHED_NEWS_OK;
}

static void on_job_done(struct deliver_peer *p, struct channel *ch, const struct msg_job_done *m)
{
    struct qmgr *q = p->q;
    struct job *j = job_find(q, p, m->job);
    (void)ch;
    if (!j)
        return;
    bool moved = m->site.n && (q->config->n_rules ? rules_place(q, j->dest, m->site)
                                                  : sched_bind(q->sched, j->id, m->site));
    if (moved) /* resolver knows more, or deliver has an old connection */
        sites_elsewhere(q, j->dest);
    if (m->best || m->all)
        sched_set_mx(q->sched, j->dest, (struct sched_mx){ m->best, m->all });
    struct sched_result res = { .news = news_of(j, m),
                                .why = m->why,
                                .under = m->ending ? SCHED_ENDING : m->under };
    if (m->keeper && sched_may_keep(q->sched, j->id)) {
        res.keeper = m->keeper | (uint64_t)(p->index + 1) << KEEPER_INDEX_SHIFT;
    } else if (m->keeper) {
        struct msg_let_go bye = { .keeper = m->keeper };
        send_let_go(p->channel, &bye);
    }
    j->story = m->story; /* told within this call */
    finish_job(q, j, &res);
}

static void on_unkept(struct deliver_peer *p, struct channel *ch, const struct msg_unkept *m)
{
    (void)ch;
    sched_unkeep(p->q->sched, m->site,
                 m->keeper | (uint64_t)(p->index + 1) << KEEPER_INDEX_SHIFT);
}

static void on_talk(struct deliver_peer *p, struct channel *ch, const struct msg_talk *m)
{
    (void)ch;
    live_talk(p->q, m);
}

static void on_left(struct deliver_peer *p, struct channel *ch, const struct msg_left *m)
{
    const struct job *j = job_find(p->q, p, m->job);
    (void)ch;
    if (j)
        hosts_left(p->q, j, m);
}

static void on_here(struct deliver_peer *p, struct channel *ch, const struct msg_here *m)
{
    (void)ch;
    way_here(p, m);
}

static void on_here_end(struct deliver_peer *p, struct channel *ch, const struct msg_here_end *m)
{
    (void)ch;
    way_here_end(p, m);
}

PROTO_HANDLER(here, struct deliver_peer *, on_here)
PROTO_HANDLER(here_end, struct deliver_peer *, on_here_end)
PROTO_HANDLER(left, struct deliver_peer *, on_left)
PROTO_HANDLER(talk, struct deliver_peer *, on_talk)
PROTO_HANDLER(want, struct deliver_peer *, on_want)
PROTO_HANDLER(result, struct deliver_peer *, on_result)
PROTO_HANDLER(job_done, struct deliver_peer *, on_job_done)
PROTO_HANDLER(unkept, struct deliver_peer *, on_unkept)

/* What it told before it died is known; if that is nothing, all of the job comes due again soon. */
static void lose_job(struct qmgr *q, struct job *j)
{
    bool told = false;
    for (uint32_t i = 0; i < j->rcpt_count; i++)
        told |= j->got[i].told;
    if (told) {
        finish_job(q, j, &(struct sched_result){ .news = SCHED_NEWS_NONE });
        return;
    }
    for (uint32_t i = 0; i < j->rcpt_count; i++) {
        j->got[i].kind = SCHED_OUT_UNKNOWN;
        j->got[i].text = SPAN("the delivering process was lost");
    }
    if (sched_job_lost(q->sched, j->id, qmgr_now(q), j->verdicts))
        verdict_job(q, j, j->verdicts);
    job_free(q, j);
}

/* deliver died: its jobs may or may not have been delivered. They come due again, and a message
 * that had gone out may go out twice (at-least-once). */
static void on_gone(void *ctx, struct channel *ch, const char *why)
{
    struct deliver_peer *p = ctx;
    struct qmgr *q = p->q;
    (void)ch;
    (void)why;
    channel_free(&p->channel);
    struct hash_node *n = hash_next(&q->jobs, NULL), *next;
    for (; n; n = next) {
        next = hash_next(&q->jobs, n);
        struct job *j = CONTAINER(n, struct job, node);
        if (j->at == p)
            lose_job(q, j);
    }
    loop_hook_ask(q->env->loop, &q->work);
    qmgr_check_finished(q);
}

/* Every wait has a deadline: a deliver that lives but answers nothing keeps no mail. Late by the
 * clock alone is none of its doing when the machine slept: it is given some time after that. */
void deliverers_check(struct qmgr *q)
{
    int64_t late_ms = q->config->timeout.attempt_ms + ANSWER_LATE_MS;
    int64_t now_ms = loop_mono_ms(q->env->loop);
    for (struct hash_node *n = hash_next(&q->jobs, NULL); n; n = hash_next(&q->jobs, n)) {
        struct job *j = CONTAINER(n, struct job, node);
        if (now_ms - j->begun_ms <= late_ms || ++j->late < LATE_LOOKS)
            continue;
        log_line(q->env->events, EVENT_ALARM,
                 "deliver %d does not answer, far beyond timeout.attempt; its mail is taken back",
                 j->at->index);
        on_gone(j->at, j->at->channel, "it does not answer");
        return;
    }
}

static void on_drained(void *ctx, struct channel *ch)
{
    struct deliver_peer *p = ctx;
    (void)ch;
    loop_hook_ask(p->q->env->loop, &p->q->work);
    loop_hook_ask(p->q->env->loop, &p->q->serve);
}

void deliverers_peer(struct qmgr *q, int index, int fd)
{
    static const struct channel_type types[] = { PROTO_TYPE(want), PROTO_TYPE(result),
                                                 PROTO_TYPE(job_done), PROTO_TYPE(unkept),
                                                 PROTO_TYPE(talk), PROTO_TYPE(left),
                                                 PROTO_TYPE(here), PROTO_TYPE(here_end) };
    static const struct channel_ops ops = { types, 8, on_gone, on_drained };
    struct deliver_peer *p = &q->delivers[index];
    if (p->channel)
        on_gone(p, p->channel, "replaced");
    *p = (struct deliver_peer){ .q = q, .index = index };
    p->channel = channel_new(q->env->loop, fd, "deliver", &ops, p);
    channel_set_full(p->channel, JOBS_QUEUED_BYTES);
    loop_hook_ask(q->env->loop, &q->work);
}

bool deliverers_room(const struct qmgr *q)
{
    for (int i = 0; i < PEERS_MAX; i++)
        if (q->delivers[i].channel && !channel_full(q->delivers[i].channel))
            return true;
    return false;
}

bool deliverers_busy(const struct qmgr *q)
{
    for (int i = 0; i < PEERS_MAX; i++)
        if (q->delivers[i].channel)
            return true;
    return false;
}

void deliverers_free(struct qmgr *q)
{
    hosts_free(q);
    for (struct hash_node *n = hash_next(&q->jobs, NULL), *next; n; n = next) {
        next = hash_next(&q->jobs, n);
        job_free(q, CONTAINER(n, struct job, node));
    }
}
