#include "qmgr/keep.h"

#include "base/must.h"
#include "proto/watch_qmgr.h"
#include "spool/dirs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ALARM_KEY "alarm "

enum { AGAIN_MS = 10 * 1000, STAGED_MAX_BYTES = 4 << 20, ALARMS_KEPT_MAX = 2000 };

struct keeper {
    struct notes *notes;
    struct buf staged; /* of watch: messages with their lengths */
    size_t staged_count;
    int error;        /* of the last flush */
    int64_t again_ms; /* monotonic */
};

struct notes *keep_notes(struct qmgr *q) { return q->keeper->notes; }

static void say(struct qmgr *q, enum event_name name, const char *text)
{
    event_begin(q->env->events, name);
    event_str(q->env->events, FIELD_path, SPAN("notes"));
    event_str(q->env->events, FIELD_text, span_str(text));
    event_end(q->env->events);
    log_line(q->env->events, name == EVENT_spool_notice ? EVENT_NOTICE : EVENT_ALARM,
             "spool notes: %s", text);
}

void keep_open(struct qmgr *q, const struct spool_dirs *dirs)
{
    struct err err;
    unsigned damaged;
    q->keeper = NEW(struct keeper);
    buf_init(&q->keeper->staged, STAGED_MAX_BYTES);
    q->keeper->notes = notes_open(q->env->vfs, (const char *const *)dirs->v, dirs->n,
                                  loop_random_u64(q->env->loop), &damaged, &err);
    if (damaged)
        say(q, EVENT_spool_damage, err.text);
}

void keep_free(struct qmgr *q)
{
    if (!q->keeper)
        return;
    notes_free(&q->keeper->notes);
    buf_free(&q->keeper->staged);
    free(q->keeper);
    q->keeper = NULL;
}

int keep_flush(struct qmgr *q)
{
    struct keeper *k = q->keeper;
    int before = k->error;
    k->error = notes_flush(k->notes);
    k->again_ms = loop_mono_ms(q->env->loop) + AGAIN_MS;
    if (k->error && !before)
        say(q, EVENT_spool_failed, strerror(-k->error));
    else if (!k->error && before)
        say(q, EVENT_spool_notice, "written again");
    return k->error;
}

/* Also a directory that did not take them when another one did. */
void keep_upkeep(struct qmgr *q)
{
    if (notes_dirty(q->keeper->notes) && loop_mono_ms(q->env->loop) >= q->keeper->again_ms)
        keep_flush(q);
}

/* --- for watch --- */

void keep_unstage(struct qmgr *q)
{
    if (q->keeper)
        buf_reset(&q->keeper->staged);
}

void keep_stage(struct qmgr *q, const struct msg_keep *m)
{
    struct buf *b = &q->keeper->staged;
    size_t at = wire_begin_bytes(b);
    msg_keep_put(b, m);
    if (!b->failed)
        wire_end_bytes(b, at);
}

/* A kind and a subject: a kind has no blanks in it. */
static void put_key(struct buf *b, const struct msg_keep *m)
{
    buf_putz(b, ALARM_KEY);
    buf_puts(b, m->alarm);
    buf_putc(b, ' ');
    buf_puts(b, m->subject);
}

void keep_staged(struct qmgr *q)
{
    struct keeper *k = q->keeper;
    struct wire w = wire_reader(buf_span(&k->staged));
    bool whole = !k->staged.failed;
    if (whole)
        notes_drop_all(k->notes, SPAN(ALARM_KEY));
    for (int i = 0; whole && w.rest.n && i < ALARMS_KEPT_MAX; i++) {
        struct span value = wire_get_bytes(&w, STAGED_MAX_BYTES);
        struct msg_keep m;
        struct buf key;
        buf_init(&key, NOTES_KEY_MAX);
        if (msg_keep_get(value, &m))
            put_key(&key, &m);
        if (key.len && !key.failed)
            notes_set(k->notes, buf_span(&key), value);
        buf_free(&key);
    }
    buf_reset(&k->staged);
    keep_flush(q);
}

static void tell_one(void *ctx, struct span key, struct span value)
{
    struct msg_keep m;
    (void)key;
    if (!msg_keep_get(value, &m))
        return;
    struct msg_kept said = { .alarm = m.alarm, .subject = m.subject, .text = m.text,
                             .since_ms = m.since_ms, .told_ms = m.told_ms, .told = m.told };
    send_kept(ctx, &said);
}

void keep_tell(struct qmgr *q, struct channel *watch, uint64_t question)
{
    struct msg_kept_end end = { .q = question };
    notes_each(q->keeper->notes, SPAN(ALARM_KEY), tell_one, watch);
    send_kept_end(watch, &end);
}
