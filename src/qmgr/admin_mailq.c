/* "mailq": the queue as `mailq` shows it, chosen by the arguments of match_take. First a row with
 * the number of messages that are meant, then one for each (more for a message with many
 * recipients), in slices. */
#include "qmgr/live.h"

#include "base/must.h"
#include "proto/lists.h"

#include <stdlib.h>
#include <sysexits.h>

struct mailq {
    struct match match;
    uint64_t total;
};

static void gone(struct admin_ask *a)
{
    struct mailq *m = a->own;
    match_free(&m->match);
    free(m);
}

static void put_addr(struct json *j, const char *key, struct sched_addr addr)
{
    struct buf b;
    buf_init(&b, ENVELOPE_ADDR_MAX + 8);
    sched_addr_put(&b, addr);
    json_str(j, key, buf_span(&b));
    buf_free(&b);
}

static void put_rcpt(struct json *j, const struct sched_rcpt_info *r)
{
    json_open(j, NULL);
    put_addr(j, "to", r->addr);
    json_str(j, "state", span_str(sched_state_name(r->state)));
    if (r->attempts)
        json_uint(j, "attempts", r->attempts);
    if (r->warned)
        json_bool(j, "warned", true);
    if (r->reason.n)
        json_str(j, "reason", r->reason);
    json_close(j);
}

static size_t send_message(struct admin_ask *a, const struct sched_msg_info *m)
{
    struct qmgr *q = a->q;
    size_t bytes = 0;
    for (uint32_t i = 0, part = 0; i < m->rcpt_count || part == 0; part++) {
        struct buf b;
        struct sched_rcpt_info r;
        buf_init(&b, ADMIN_ROW_MAX);
        struct json j = json_writer(&b);
        json_open(&j, NULL);
        json_str(&j, "id", span_str(queueid_make(m->seq, m->received_ms).text));
        json_uint(&j, "part", part);
        json_int(&j, "received_ms", m->received_ms);
        json_uint(&j, "size", m->size_bytes);
        json_uint(&j, "rcpts", m->rcpt_count);
        json_bool(&j, "eightbit", m->flags & ENVELOPE_8BITMIME);
        put_addr(&j, "sender", m->sender);
        json_open_array(&j, "recipients");
        for (; i < m->rcpt_count && b.len < ADMIN_PART_BYTES; i++)
            if (sched_rcpt(q->sched, m->seq, i, &r) && r.state < SCHED_LIVE)
                put_rcpt(&j, &r);
        json_close_array(&j);
        json_close(&j);
        bytes += b.len;
        admin_row(a, &b);
        buf_free(&b);
    }
    return bytes;
}

static void list_slice(struct admin_ask *a)
{
    struct mailq *mq = a->own;
    struct sched_msg_info m;
    int64_t begun_ns = loop_fresh_ns(a->q->env->loop);
    size_t looked = 0, bytes = 0;
    while (sched_cursor_next(a->q->sched, a->cursor, &m)) {
        a->cursor = m.seq;
        if (match_message(&mq->match, a->q, &m))
            bytes += send_message(a, &m);
        if (admin_enough(a, begun_ns, ++looked % ADMIN_SLICE_ROWS, bytes)) {
            admin_slice_over(a);
            return;
        }
    }
    admin_end(a, ADMIN_OK, "");
}

static void say_total(struct admin_ask *a)
{
    struct mailq *mq = a->own;
    const struct config_texts *d = &a->q->config->spool.directories;
    struct buf b;
    buf_init(&b, 8192);
    struct json j = json_writer(&b);
    json_open(&j, NULL);
    json_uint(&j, "total", mq->total);
    json_uint(&j, "queued", sched_totals(a->q->sched).messages);
    json_str(&j, "directory", d->n ? d->v[0] : SPAN_NONE);
    json_close(&j);
    admin_row(a, &b);
    buf_free(&b);
    a->cursor = 0;
    a->own_turns = false;
    a->slice = list_slice;
    admin_slice_over(a);
}

static void count_slice(struct admin_ask *a)
{
    struct mailq *mq = a->own;
    struct sched_msg_info m;
    int64_t begun_ns = loop_fresh_ns(a->q->env->loop);
    for (size_t looked = 0; sched_cursor_next(a->q->sched, a->cursor, &m);) {
        a->cursor = m.seq;
        mq->total += match_message(&mq->match, a->q, &m);
        if (admin_enough(a, begun_ns, ++looked % ADMIN_SLICE_ROWS, 0))
            return;
    }
    say_total(a);
}

void admin_mailq(struct admin_ask *a, struct wire *args)
{
    struct mailq *mq = NEW(struct mailq);
    struct span arg;
    bool good = true;
    match_init(&mq->match);
    a->own = mq;
    a->own_gone = gone;
    while (good && list_next_text(args, &arg))
        good = match_take(&mq->match, arg);
    if (!good) {
        admin_end(a, EX_USAGE, "messages cannot be chosen by this");
        return;
    }
    struct sched_totals t = sched_totals(a->q->sched);
    a->slice = count_slice;
    a->own_turns = true;
    if (match_is_all(&mq->match) && !mq->match.held && !t.rcpts[SCHED_HELD]) {
        mq->total = t.messages;
        say_total(a);
    }
}
