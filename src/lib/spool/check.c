/* Looking at a whole spool without changing it. */
#include "base/must.h"
#include "spool/inside.h"

#include <errno.h>

struct check {
    struct spool_report *report;
    void (*on_event)(void *ctx, const struct spool_event *e);
    void *ctx;
};

static void on_event(void *ctx, const struct spool_event *e)
{
    struct check *c = ctx;
    switch (e->kind) {
    case SPOOL_EVENT_DAMAGED:
    case SPOOL_EVENT_UNREADABLE: c->report->damaged++; break;
    case SPOOL_EVENT_DROPPED: c->report->dropped++; break;
    case SPOOL_EVENT_MESSAGE_DAMAGED: c->report->bad_messages++; break;
    case SPOOL_EVENT_INDEX_DAMAGED: c->report->bad_indexes++; break;
    default: break;
    }
    if (c->on_event)
        c->on_event(c->ctx, e);
}

/* The records themselves, whether an index speaks for them or not. */
static void scan(struct spool *s, struct segment *seg, struct check *c)
{
    struct rec r;
    struct cursor *cursor = cursor_new(s, seg, true);
    c->report->segments++;
    c->report->sealed += seg->state == SEG_SEALED;
    c->report->bytes += seg->end;
    while (cursor_next(cursor, &r) == 1) {
        c->report->records++;
        c->report->outcomes += r.type == REC_OUTCOME;
    }
    const struct ranges *bad = cursor_bad(cursor);
    for (size_t i = 0; i < bad->n; i++)
        seg_emit(s, seg, SPOOL_EVENT_DAMAGED, bad->list[i].from,
                 bad->list[i].to - bad->list[i].from, 0);
    cursor_free(&cursor);
}

struct verify {
    struct spool *s;
    struct check *c;
};

static void verify(void *ctx, uint64_t seq)
{
    struct verify *v = ctx;
    uint64_t bad = v->c->report->bad_messages;
    v->c->report->messages++;
    if (spool_verify(v->s, seq) < 0 && v->c->report->bad_messages == bad)
        v->c->report->bad_messages++; /* without a word of its own: its file is gone */
}

int spool_check(struct vfs *vfs, const char *const *directories, size_t n,
                void (*event)(void *ctx, const struct spool_event *e), void *ctx,
                struct spool_report *report_r, struct err *err)
{
    struct check c = { report_r, event, ctx };
    struct spool_config config = { .directories = directories, .directory_count = n,
                                   .read_only = true };
    struct spool_calls calls = { .ctx = &c, .on_event = on_event };
    struct spool *s;
    *report_r = (struct spool_report){ 0 };
    if (spool_open(vfs, &config, &calls, 0, &s, err) < 0)
        return -1;
    for (size_t i = 0; i < s->slot_count; i++)
        if (s->slots[i])
            scan(s, s->slots[i], &c);
    struct verify v = { s, &c };
    spool_each(s, verify, &v);
    spool_close(&s);
    return report_r->damaged || report_r->bad_messages || report_r->bad_indexes;
}
