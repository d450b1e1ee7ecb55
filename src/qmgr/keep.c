#include "qmgr/keep.h"

#include "base/domain.h"
#include "base/must.h"
#include "proto/watch_qmgr.h"
#include "qmgr/reroute.h"
#include "spool/dirs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ALARM_KEY "alarm "
#define RUN "run"

enum { AGAIN_MS = 10 * 1000, STAGED_MAX_BYTES = 2 << 20, ALARMS_KEPT_MAX = 2000 };

struct keeper {
    struct notes *notes;
    struct buf staged; /* of watch: messages with their lengths */
    int error;        /* of the last flush; above 0: some directories lack it */
    int64_t again_ms; /* monotonic */
    int64_t ran_ms;   /* wall: the last queue run before this process; -1: none is known */
    uint64_t ran_upto; /* no message before this process has a counter from here on */
};

struct notes *keep_notes(struct qmgr *q) { return q->keeper->notes; }

static void say(struct qmgr *q, enum event_name name, const char *text)
{
    event_begin(q->env->events, name);
    event_str(q->env->events, FIELD_path, SPAN("notes"));
    event_str(q->env->events, FIELD_text, span_str(text));
    event_end(q->env->events);
    log_line(q->env->events, name == EVENT_spool_notice ? EVENT_WARNING : EVENT_ALARM,
             "spool notes: %s", text);
}

static void freeze_again(void *ctx, struct span name, const struct decision *d)
{
    struct qmgr *q = ctx;
    (void)d;
    sched_freeze(q->sched, name);
}

/* What a directory's notes being lost or away means. */
static void say_lost(struct qmgr *q, const struct err *lost, bool damaged, size_t dirs)
{
    struct err text;
    const char *how = damaged     ? ""
                      : dirs == 1 ? " (it is new, or was lost)"
                                  : " (it is new, was lost, or is a disk that is not mounted: mail "
                                    "that lies on that waits unseen until a start with it)";
    err_set(&text, "%s%s; %s", lost->text, how,
            dirs == 1 ? "nothing is frozen or rerouted any more, and alarms are told anew"
                      : "what was decided while no other directory could be written is not known "
                        "any more: postern queue freeze and reroute --list show what is");
    say(q, damaged ? EVENT_spool_damage : EVENT_spool_notice, text.text);
}

void keep_open(struct qmgr *q, const struct spool_dirs *dirs)
{
    struct err err;
    unsigned damaged;
    q->keeper = NEW(struct keeper);
    buf_init(&q->keeper->staged, STAGED_MAX_BYTES);
    q->keeper->notes = notes_open(q->env->vfs, (const char *const *)dirs->v, dirs->n,
                                  loop_random_u64(q->env->loop), loop_wall_ms(q->env->loop),
                                  &damaged, &err);
    if (err.text[0])
        say_lost(q, &err, damaged > 0, dirs->n);
    decisions_each(q, KEEP_FROZEN, freeze_again, q);
    reroutes_restore(q);
    struct decision run;
    struct span unused;
    q->keeper->ran_ms = decision_get(q, RUN, SPAN_NONE, &unused, &run) ? run.at_ms : -1;
    q->keeper->ran_upto = spool_ids_upto(q->spool);
    sched_run_before(q->sched, q->keeper->ran_ms);
    if (err.text[0])
        keep_flush(q); /* where a copy is missing the next loss would be of them all */
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
    reroutes_note(q);
    k->error = notes_flush(k->notes);
    k->again_ms = loop_mono_ms(q->env->loop) + AGAIN_MS;
    if (k->error < 0 && before >= 0)
        say(q, EVENT_spool_failed, strerror(-k->error));
    else if (k->error > 0 && before <= 0)
        say(q, EVENT_spool_failed, "not written in every directory: the others alone have what "
                                   "was decided last");
    else if (!k->error && before)
        say(q, EVENT_spool_notice, "written again");
    return k->error < 0 ? k->error : 0;
}

/* Also a directory that did not take them when another one did. */
void keep_upkeep(struct qmgr *q)
{
    reroutes_note(q);
    if (notes_dirty(q->keeper->notes) && loop_mono_ms(q->env->loop) >= q->keeper->again_ms)
        keep_flush(q);
}

/* --- decisions: "KIND NAME" is at_ms i64, who, what --- */

static struct span decision_key(const char *kind, struct span name, char room[NOTES_KEY_MAX])
{
    size_t n = strlen(kind);
    if (n + 1 + name.n > NOTES_KEY_MAX)
        return SPAN_NONE;
    memcpy(room, kind, n);
    room[n++] = ' ';
    n += domain_fold(name, room + n, NOTES_KEY_MAX - n);
    return span_of(room, n);
}

bool decision_set(struct qmgr *q, const char *kind, struct span name, struct span who,
                  struct span what)
{
    char room[NOTES_KEY_MAX];
    struct span key = decision_key(kind, name, room);
    struct buf value;
    buf_init(&value, NOTES_VALUE_MAX);
    wire_put_i64(&value, loop_wall_ms(q->env->loop));
    wire_put_bytes(&value, who);
    wire_put_bytes(&value, what);
    bool ok = key.n && !value.failed && notes_set(q->keeper->notes, key, buf_span(&value));
    buf_free(&value);
    return ok;
}

bool decision_drop(struct qmgr *q, const char *kind, struct span name)
{
    char room[NOTES_KEY_MAX];
    struct span key = decision_key(kind, name, room);
    return key.n && notes_drop(q->keeper->notes, key);
}

static bool decode(struct span value, struct decision *d_r)
{
    struct wire w = wire_reader(value);
    d_r->at_ms = wire_get_i64(&w);
    d_r->who = wire_get_bytes(&w, NOTES_VALUE_MAX);
    d_r->what = wire_get_bytes(&w, NOTES_VALUE_MAX);
    return !w.bad;
}

bool decision_get(struct qmgr *q, const char *kind, struct span name, struct span *name_r,
                  struct decision *d_r)
{
    char room[NOTES_KEY_MAX];
    struct span key = decision_key(kind, name, room), found, value;
    if (!key.n || !notes_find(q->keeper->notes, key, &found, &value) || !decode(value, d_r))
        return false;
    *name_r = span_from(found, strlen(kind) + 1);
    return true;
}

struct each {
    size_t skip;
    void (*fn)(void *ctx, struct span name, const struct decision *d);
    void *ctx;
};

static void each_decision(void *ctx, struct span key, struct span value)
{
    struct each *e = ctx;
    struct decision d;
    if (decode(value, &d))
        e->fn(e->ctx, span_from(key, e->skip), &d);
}

void decisions_each(struct qmgr *q, const char *kind,
                    void (*fn)(void *ctx, struct span name, const struct decision *d), void *ctx)
{
    char room[NOTES_KEY_MAX];
    struct each e = { strlen(kind) + 1, fn, ctx };
    notes_each(q->keeper->notes, decision_key(kind, SPAN_NONE, room), each_decision, &e);
}

static void count_one(void *ctx, struct span name, const struct decision *d)
{
    (void)name;
    (void)d;
    ++*(size_t *)ctx;
}

size_t decisions_count(struct qmgr *q, const char *kind)
{
    size_t n = 0;
    decisions_each(q, kind, count_one, &n);
    return n;
}

int keep_run(struct qmgr *q)
{
    decision_set(q, RUN, SPAN_NONE, SPAN_NONE, SPAN_NONE);
    return keep_flush(q);
}

bool keep_ran(struct qmgr *q, uint64_t seq)
{
    struct sched_msg_info m;
    return q->keeper->ran_ms >= 0 && seq < q->keeper->ran_upto &&
           sched_msg(q->sched, seq, &m) && m.received_ms <= q->keeper->ran_ms;
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
