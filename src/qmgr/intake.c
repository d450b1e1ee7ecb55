/* Mail from smtpd: leases, extents and commits in, receipts back. A commit joins the batch of
 * this turn; its spans lie in the channel's memory, which stays until the turn's end.
 *
 * Small mail does not stand behind large: the extents of a turn are written when its batch has
 * been flushed and answered, smtpd has credit for no more than a window of them, and while small
 * mail comes in the credit comes back only after a pause as long as the writing took, so that
 * half of the loop is free for it. Deliveries are slower than that anyway. */
#include "qmgr/inside.h"

#include "base/must.h"

#include <errno.h>
#include <stdlib.h>

enum { LEASE_MAX = 65536, TXN_INDEX_SHIFT = 48, PACE_MIN_NS = 1000000 };

static void refuse(struct smtpd_peer *p, uint64_t txn, int error)
{
    struct msg_not_committed m = { .txn = txn, .code = 451 };
    m.text = SPAN("4.3.0 The message could not be stored, try again later");
    if (error == ENOSPC) {
        m.code = 452;
        m.text = SPAN("4.3.1 Insufficient disk space; try again later");
    }
    if (p->channel)
        send_not_committed(p->channel, &m);
}

/* A transaction's number carries its smtpd's index: one cannot speak for another. */
static bool owns(const struct smtpd_peer *p, uint64_t txn)
{
    return txn >> TXN_INDEX_SHIFT == (uint64_t)p->index + 1;
}

static void on_lease(struct smtpd_peer *p, struct channel *ch, const struct msg_lease *m)
{
    struct qmgr *q = p->q;
    uint32_t n = m->count < LEASE_MAX ? m->count : LEASE_MAX;
    uint64_t first = n ? spool_lease_ids(q->spool, n, loop_wall_ms(q->env->loop)) : 0;
    if (first)
        q->leased_upto = first + n;
    struct msg_leased said = { .first = first, .count = first ? n : 0 };
    send_leased(ch, &said);
}

static struct stream *stream_of(struct smtpd_peer *p, uint64_t txn, bool make)
{
    struct hash_node *n = hash_get(&p->streams, span_of(&txn, sizeof txn));
    if (n || !make)
        return n ? CONTAINER(n, struct stream, node) : NULL;
    struct stream *s = NEW(struct stream);
    s->txn = txn;
    hash_add(&p->streams, &s->node, span_of(&s->txn, sizeof s->txn));
    return s;
}

static void stream_forget(struct smtpd_peer *p, struct stream *s)
{
    hash_remove(&p->streams, &s->node);
    free(s);
}

/* --- extents --- */

bool intake_small(const struct qmgr *q)
{
    return q->small_ms && loop_mono_ms(q->env->loop) - q->small_ms < SMALL_RECENT_MS;
}

static void write_extent(struct qmgr *q, struct waiting_extent *w)
{
    struct stream *s = stream_of(w->from, w->txn, false);
    if (s && !s->error)
        s->error = -spool_extent(q->spool, w->txn, w->seq, w->data);
    w->txn = 0;
}

/* Of one transaction (0: of all). */
static void write_extents(struct qmgr *q, uint64_t txn)
{
    int64_t begun_ns = loop_fresh_ns(q->env->loop);
    for (size_t i = 0; i < q->waiting_count; i++)
        if (q->waiting[i].txn && (!txn || q->waiting[i].txn == txn))
            write_extent(q, &q->waiting[i]);
    q->pace_ns += loop_fresh_ns(q->env->loop) - begun_ns;
}

static void drop_extents(struct qmgr *q, const struct smtpd_peer *p, uint64_t txn)
{
    for (size_t i = 0; i < q->waiting_count; i++)
        if (q->waiting[i].from == p && (!txn || q->waiting[i].txn == txn))
            q->waiting[i].txn = 0;
}

/* While small mail comes in most of the window is kept back: what is written in one turn is what
 * a small message may have to wait for. EXTENT_SMALL_BYTES are always out: large mail goes on. */
static void give_credit(struct qmgr *q)
{
    uint64_t keep_bytes = intake_small(q) ? EXTENT_WINDOW_BYTES - EXTENT_SMALL_BYTES : 0;
    for (int i = 0; i < PEERS_MAX; i++) {
        struct smtpd_peer *p = &q->smtpds[i];
        struct msg_taken m = { 0 };
        if (p->untold_bytes > keep_bytes)
            m.bytes = p->untold_bytes - keep_bytes;
        if (!p->channel || !m.bytes)
            continue;
        p->untold_bytes -= m.bytes;
        send_taken(p->channel, &m);
        channel_flush(p->channel);
    }
}

void intake_paced(void *ctx)
{
    struct qmgr *q = ctx;
    q->pace_ns = 0;
    give_credit(q);
}

/* A pause is a millisecond at least: what was written for less than that is added up. */
void intake_extents(void *ctx)
{
    struct qmgr *q = ctx;
    write_extents(q, 0);
    q->waiting_count = 0;
    if (!intake_small(q))
        q->pace_ns = 0;
    if (loop_timer_set(&q->pace))
        return;
    if (q->pace_ns >= PACE_MIN_NS)
        loop_timer_in(q->env->loop, &q->pace, q->pace_ns / PACE_MIN_NS);
    else
        give_credit(q);
}

static void on_extent(struct smtpd_peer *p, struct channel *ch, const struct msg_extent *m)
{
    struct qmgr *q = p->q;
    (void)ch;
    if (!owns(p, m->txn))
        return;
    stream_of(p, m->txn, true)->bytes += m->data.n;
    p->untold_bytes += m->data.n;
    if (q->waiting_count == EXTENTS_MAX) {
        write_extents(q, 0);
        q->waiting_count = 0;
    }
    q->waiting[q->waiting_count++] = (struct waiting_extent){ p, m->txn, m->seq, m->data };
    loop_hook_ask(q->env->loop, &q->extents);
}

static void on_abort_txn(struct smtpd_peer *p, struct channel *ch, const struct msg_abort_txn *m)
{
    (void)ch;
    struct stream *s = owns(p, m->txn) ? stream_of(p, m->txn, false) : NULL;
    if (!s)
        return;
    drop_extents(p->q, p, m->txn);
    spool_abort(p->q->spool, m->txn);
    stream_forget(p, s);
}

struct batch_item *batch_add(struct qmgr *q)
{
    if (q->batch_count == BATCH_MAX)
        store_flush(q);
    struct batch_item *item = &q->batch[q->batch_count++];
    *item = (struct batch_item){ 0 };
    loop_hook_ask(q->env->loop, &q->flush);
    return item;
}

/* A counter names one message for ever: it must have been leased, and stand in this batch once
 * (the spool knows those before). */
static bool seq_is_good(struct qmgr *q, uint64_t seq)
{
    if (seq >= q->leased_upto)
        return false;
    for (size_t i = 0; i + 1 < q->batch_count; i++)
        if (q->batch_seqs[i] == seq)
            return false;
    return true;
}

/* 0, or the errno of the refusal; then nothing is in the batch. */
static int commit(struct smtpd_peer *p, const struct msg_commit *m, const struct stream *s)
{
    struct qmgr *q = p->q;
    struct batch_item *item = batch_add(q);
    struct wire w = wire_reader(m->envelope);
    if (!envelope_get(&w, q->turn, &item->env) || !wire_done(&w) ||
        !seq_is_good(q, item->env.seq)) {
        q->batch_count--;
        return EINVAL;
    }
    q->batch_seqs[q->batch_count - 1] = item->env.seq;
    item->txn = m->txn;
    item->from = p;
    struct spool_commit c = { .txn = m->txn,
                              .env = &item->env,
                              .blocks = &m->headers,
                              .block_count = m->headers.n ? 1 : 0,
                              .content = &m->content,
                              .content_count = s && !m->content.n ? 0 : 1 };
    int r = s && s->error ? -s->error : spool_commit(q->spool, &c);
    item->size_bytes = m->headers.n + m->content.n + (s ? s->bytes : 0);
    if (r != 0)
        q->batch_count--;
    else if (!s)
        recent_put(q->recent, item->env.seq, m->headers, m->content);
    return -r;
}

static void on_commit(struct smtpd_peer *p, struct channel *ch, const struct msg_commit *m)
{
    (void)ch;
    if (!owns(p, m->txn)) {
        refuse(p, m->txn, EINVAL);
        return;
    }
    struct stream *s = stream_of(p, m->txn, false);
    if (s)
        write_extents(p->q, m->txn);
    else
        p->q->small_ms = loop_mono_ms(p->q->env->loop);
    int error = commit(p, m, s);
    if (error) {
        spool_abort(p->q->spool, m->txn);
        refuse(p, m->txn, error);
    }
    if (s)
        stream_forget(p, s);
}

/* --- the flush has spoken: in the order of the batch --- */

static struct batch_item *item_of(struct qmgr *q, uint64_t txn)
{
    for (size_t i = q->batch_done; i < q->batch_count; i++) {
        if (q->batch[i].txn == txn) {
            q->batch_done = i + 1;
            return &q->batch[i];
        }
    }
    MUST(!"a receipt for a message of this batch");
    return NULL;
}

/* Marks what only the stored envelope has: most mail needs no look at it when it goes out. */
static uint32_t own_flags(const struct envelope *env)
{
    bool has = env->envid.n > 0;
    for (size_t i = 0; i < env->rcpt_count && !has; i++)
        has = env->rcpts[i].orcpt.n > 0;
    return (has ? QMGR_HAS_DSN : 0) | (env->shown.n ? QMGR_SHOWN : 0);
}

struct sched_entry entry_of(const struct envelope *env, uint64_t size_bytes,
                            struct sched_entry_rcpt *rcpts)
{
    enum { TOLD = ENVELOPE_RCPT_ALIAS | ENVELOPE_RCPT_LIST };
    struct span why = env->hold;
    if (!why.n && env->flags & ENVELOPE_HOLD)
        why = SPAN("delivery = hold of its listener");
    for (size_t i = 0; i < env->rcpt_count; i++) {
        const struct envelope_rcpt *r = &env->rcpts[i];
        rcpts[i] = (struct sched_entry_rcpt){
            .addr = r->addr,
            .notify = r->notify,
            .marks = (uint8_t)((r->flags & ENVELOPE_RCPT_EXPANDED ? QMGR_EXPANDED : 0) |
                               (r->own_sender ? QMGR_OWN_SENDER : 0) |
                               (r->flags & TOLD ? QMGR_TOLD : 0)),
            .held = why.n > 0,
            .quarantined = env->hold.n > 0,
            .reason = why,
        };
    }
    struct sched_entry e = { .seq = env->seq,
                             .received_ms = env->received_ms,
                             .size_bytes = size_bytes,
                             .flags = env->flags | own_flags(env),
                             .sender = env->sender,
                             .listener = env->listener,
                             .rcpts = rcpts,
                             .rcpt_count = (uint32_t)env->rcpt_count };
    struct netaddr client;
    if (netaddr_parse_ip(env->client_ip, &client)) {
        e.client_len = client.family == NETADDR_V4 ? 4 : 16;
        memcpy(e.client, client.ip, e.client_len);
    }
    return e;
}

static void schedule(struct qmgr *q, const struct batch_item *item)
{
    const struct envelope *env = &item->env;
    struct sched_entry_rcpt few[8], *rcpts = few;
    if (env->rcpt_count > sizeof few / sizeof *few)
        rcpts = must_calloc(env->rcpt_count, sizeof *rcpts);
    struct sched_entry e = entry_of(env, item->size_bytes, rcpts);
    sched_add(q->sched, &e, qmgr_now(q));
    if (rcpts != few)
        free(rcpts);
}

void intake_receipt(void *ctx, const struct receipt *r)
{
    struct qmgr *q = ctx;
    struct batch_item *item = item_of(q, receipt_txn(r));
    if (item->from && item->from->channel)
        send_committed(item->from->channel, r);
    else if (!item->from)
        report_stored(q, item->report);
    schedule(q, item);
    if (item->env.hold.n ||
        item->env.flags & (ENVELOPE_HOLD | ENVELOPE_QUEUE_ONLY | ENVELOPE_DEFER))
        say_queued(q, &item->env);
}

/* A report that could not be stored is not lost: the outcome that causes it was bound to it and
 * did not become durable either, so the recipient is still there after a restart, and until then
 * report.c keeps it. */
void intake_refused(void *ctx, uint64_t txn, int error)
{
    struct qmgr *q = ctx;
    struct batch_item *item = item_of(q, txn);
    if (item->from)
        refuse(item->from, txn, error);
}

void intake_space(struct qmgr *q)
{
    bool full = spool_space(q->spool, loop_wall_ms(q->env->loop)) == SPOOL_SPACE_LOW;
    if (full && !q->full) {
        event_begin(q->env->events, EVENT_spool_full);
        event_str(q->env->events, FIELD_text, SPAN("new mail is put off with 452"));
        event_end(q->env->events);
        log_line(q->env->events, EVENT_ALARM,
                 "spool: less than spool.free_min is free; new mail is put off with 452");
    }
    q->full = full;
    for (int i = 0; i < PEERS_MAX; i++) {
        struct smtpd_peer *p = &q->smtpds[i];
        if (!p->channel || p->told_full == full)
            continue;
        struct msg_space m = { .full = full };
        p->told_full = full;
        send_space(p->channel, &m);
    }
}

PROTO_HANDLER(lease, struct smtpd_peer *, on_lease)
PROTO_HANDLER(extent, struct smtpd_peer *, on_extent)
PROTO_HANDLER(commit, struct smtpd_peer *, on_commit)
PROTO_HANDLER(abort_txn, struct smtpd_peer *, on_abort_txn)

void intake_forget(struct smtpd_peer *p)
{
    for (struct hash_node *n = hash_next(&p->streams, NULL), *next; n; n = next) {
        next = hash_next(&p->streams, n);
        stream_forget(p, CONTAINER(n, struct stream, node));
    }
    hash_free(&p->streams);
}

/* What it was sending is dropped; what stands in the batch is committed all the same. */
static void on_gone(void *ctx, struct channel *ch, const char *why)
{
    struct smtpd_peer *p = ctx;
    (void)ch;
    (void)why;
    for (struct hash_node *n = hash_next(&p->streams, NULL); n; n = hash_next(&p->streams, n))
        spool_abort(p->q->spool, CONTAINER(n, struct stream, node)->txn);
    drop_extents(p->q, p, 0);
    intake_forget(p);
    /* The memory of this turn's messages is the channel's: durable first, then gone. */
    if (p->q->batch_count)
        store_flush(p->q);
    channel_free(&p->channel);
    qmgr_check_finished(p->q);
}

void intake_peer(struct qmgr *q, int index, int fd)
{
    static const struct channel_type types[] = { PROTO_TYPE(lease), PROTO_TYPE(extent),
                                                 PROTO_TYPE(commit), PROTO_TYPE(abort_txn) };
    static const struct channel_ops ops = { types, 4, on_gone, NULL };
    struct smtpd_peer *p = &q->smtpds[index];
    if (p->channel)
        on_gone(p, p->channel, "replaced");
    *p = (struct smtpd_peer){ .q = q, .index = index };
    hash_init(&p->streams, loop_random_u64(q->env->loop), 0);
    p->channel = channel_new(q->env->loop, fd, "smtpd", &ops, p);
}

bool intake_any_peer(const struct qmgr *q)
{
    for (int i = 0; i < PEERS_MAX; i++)
        if (q->smtpds[i].channel)
            return true;
    return false;
}
