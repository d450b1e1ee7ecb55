/* The queue without a gateway: the spool's files, only read. Rows as the gateway would send. */
#include "cli/mailq.h"

#include "base/json.h"
#include "base/must.h"
#include "cli/args.h"
#include "cli/sendmail_queue.h"
#include "queue/filter.h"
#include "spool/dirs.h"
#include "spool/spool.h"
#include "vfs/vfs.h"

#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

enum { ENVELOPE_BYTES_MAX = 256 << 20, ROW_MAX_BYTES = 256 << 20 };

struct offline {
    struct queue_filter *filter;
    struct spool *s;
    struct arena *arena;
    uint64_t *seqs; /* of those that are meant */
    size_t n, room;
};

struct one { /* a message at hand */
    struct envelope env;
    uint64_t size;
    struct spool_outcome *outcomes;
    size_t n;
};

static bool read_one(struct offline *o, uint64_t seq, struct one *m)
{
    arena_reset(o->arena);
    m->outcomes = NULL;
    m->n = 0;
    if (spool_envelope(o->s, seq, o->arena, &m->env, &m->size) != 0)
        return false;
    if (spool_outcomes(o->s, seq, o->arena, &m->outcomes, &m->n) != 0)
        m->n = 0;
    return true;
}

/* NULL: none. */
static const struct spool_outcome *outcome_of(const struct one *m, uint32_t rcpt)
{
    const struct spool_outcome *all = NULL;
    for (size_t i = 0; i < m->n; i++) {
        if (m->outcomes[i].rcpt == rcpt)
            return &m->outcomes[i];
        if (m->outcomes[i].rcpt == SPOOL_RCPT_ALL)
            all = &m->outcomes[i];
    }
    return all;
}

static bool is_held(const struct one *m, const struct spool_outcome *o)
{
    return o ? o->kind == SPOOL_HELD : m->env.hold.n || m->env.flags & ENVELOPE_HOLD;
}

static struct span reason_of(const struct one *m, const struct spool_outcome *o)
{
    struct span before;
    return o ? spool_decision(o, &before) : m->env.hold;
}

/* --- which --- */

static struct queue_filter *filter_of(const struct sendmail_flags *f)
{
    struct queue_filter *filter = queue_filter_new();
    struct queue_args a;
    struct err err = { "" };
    sendmail_queue_listed(&a, f);
    for (size_t i = 0; i < a.n; i++) {
        if (queue_filter_word(filter, span_str(a.v[i]), &err) == 1)
            continue;
        fprintf(stderr, "%s: %s: %s\n", f->name, a.v[i], err.text);
        queue_filter_free(&filter);
        return NULL;
    }
    return filter;
}

static bool is_meant(const struct offline *o, const struct one *m)
{
    struct queueid id = envelope_id(&m->env);
    uint32_t wants = queue_filter_wants(o->filter), got = 0;
    for (size_t i = 0; i < m->env.rcpt_count; i++) {
        const struct spool_outcome *out = outcome_of(m, (uint32_t)i);
        if (out && out->final)
            continue;
        struct queue_facts x = {
            .known = 1u << QUEUE_ID | 1u << QUEUE_FROM | 1u << QUEUE_TO | 1u << QUEUE_REASON |
                     1u << QUEUE_STATE,
            .id = span_str(id.text),
            .from = { .local = m->env.sender, .whole = true },
            .to = { .local = m->env.rcpts[i].addr, .whole = true },
            .reason = reason_of(m, out),
            .state = is_held(m, out) ? QUEUE_HELD : out ? QUEUE_DEFERRED : QUEUE_WAITING,
        };
        got |= queue_filter_rcpt(o->filter, &x);
    }
    return (got & wants) == wants;
}

static void collect(void *ctx, uint64_t seq)
{
    struct offline *o = ctx;
    struct one m;
    if (!read_one(o, seq, &m) || !is_meant(o, &m))
        return;
    if (o->n == o->room) {
        o->room = o->room ? must_mul(o->room, 2) : 256;
        o->seqs = must_realloc(o->seqs, must_mul(o->room, sizeof *o->seqs));
    }
    o->seqs[o->n++] = seq;
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* --- rows --- */

static void put_rcpt(struct json *j, const struct one *m, size_t i)
{
    const struct spool_outcome *o = outcome_of(m, (uint32_t)i);
    struct span reason = reason_of(m, o);
    if (o && o->final)
        return;
    json_open(j, NULL);
    json_str(j, "to", m->env.rcpts[i].addr);
    json_str(j, "state", is_held(m, o) ? SPAN("held")
                         : o           ? SPAN("deferred") : SPAN("waiting"));
    if (o && o->attempts)
        json_uint(j, "attempts", o->attempts);
    if (reason.n)
        json_str(j, "reason", reason);
    json_close(j);
}

static void put_message(struct buf *b, const struct one *m)
{
    struct json j = json_writer(b);
    json_open(&j, NULL);
    json_str(&j, "id", span_str(envelope_id(&m->env).text));
    json_int(&j, "received_ms", m->env.received_ms);
    json_uint(&j, "size", m->size);
    json_uint(&j, "rcpts", m->env.rcpt_count);
    json_bool(&j, "eightbit", m->env.flags & ENVELOPE_8BITMIME);
    json_str(&j, "sender", m->env.sender);
    json_open_array(&j, "recipients");
    for (size_t i = 0; i < m->env.rcpt_count; i++)
        put_rcpt(&j, m, i);
    json_close_array(&j);
    json_close(&j);
}

static void put_all(struct offline *o, struct span directory,
                    void (*row)(void *, struct span), void *ctx)
{
    struct one m;
    struct buf b;
    buf_init(&b, ROW_MAX_BYTES);
    struct json j = json_writer(&b);
    json_open(&j, NULL);
    json_uint(&j, "total", o->n);
    json_str(&j, "directory", directory);
    json_close(&j);
    row(ctx, buf_span(&b));
    for (size_t i = 0; i < o->n; i++) {
        buf_reset(&b);
        if (!read_one(o, o->seqs[i], &m))
            continue;
        put_message(&b, &m);
        row(ctx, buf_span(&b));
    }
    buf_free(&b);
}

bool mailq_offline(const struct sendmail_flags *f, const struct config *cfg,
                   void (*row)(void *ctx, struct span json), void *ctx)
{
    struct offline o = { .filter = filter_of(f) };
    struct vfs *vfs = vfs_posix();
    struct spool_dirs dirs = { 0 };
    struct spool_calls calls = { 0 };
    struct err e;
    for (size_t i = 0; i < cfg->spool.directories.n; i++)
        spool_dirs_add(&dirs, vfs, cfg->spool.directories.v[i]);
    struct spool_config sc = { .directories = (const char *const *)dirs.v,
                               .directory_count = dirs.n,
                               .read_only = true };
    bool good = o.filter && dirs.n && spool_open(vfs, &sc, &calls, 0, &o.s, &e) == 0;
    if (good) {
        o.arena = arena_new(ENVELOPE_BYTES_MAX);
        spool_each(o.s, collect, &o);
        if (o.n)
            qsort(o.seqs, o.n, sizeof *o.seqs, by_number);
        put_all(&o, cfg->spool.directories.v[0], row, ctx);
        arena_free(&o.arena);
    }
    queue_filter_free(&o.filter);
    spool_close(&o.s);
    spool_dirs_free(&dirs);
    vfs_free(&vfs);
    free(o.seqs);
    return good;
}
