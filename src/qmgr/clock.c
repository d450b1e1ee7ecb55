/* clock: whether the wall's clock is to be believed. Ages begin with it once, when the spool is
 * read; a clock that was wrong then (a battery that died, before the time came from the network)
 * would make all mail look old, and end it.
 *
 * While we run the time is noted now and then. A start at which the clock is far from the last
 * note is doubted: mail is as old as it was then, and an alarm says so, until the clock comes back
 * to where it might be, or nobody has set it for a day, or an administrator believes it. A clock
 * that is set far while we run is noted for a day as if it was not, so that a start meanwhile
 * doubts it. Where nothing waits there is nothing to lose, and no doubt.
 *
 * Mail that came by a clock which was far behind bears that time for good. Once the right time is
 * known, what the wrong clock said, and by how much, is noted, for the starts to come; of the last
 * times that this happened. */
#include "qmgr/admin.h"
#include "qmgr/keep.h"

#include "base/must.h"
#include "base/num.h"
#include "proto/lists.h"

#include <stdlib.h>
#include <sysexits.h>

#define NOTE "clock"
#define WRONG SPAN("wrong") /* from, to, and by how much; and so on */
#define BELIEVE "postern queue clock believe"

enum { MINUTE_MS = 60 * 1000, NOTE_EVERY_MS = 15 * MINUTE_MS, HOUR_MS = 60 * MINUTE_MS,
       FAR_MS = 48 * HOUR_MS, AGREES_MS = 24 * HOUR_MS, WRONGS_MAX = 16 };

struct clock {
    struct sched_now begun; /* when the spool was read */
    int64_t last_ms;        /* wall: as it was noted before that */
    uint64_t upto;          /* ids of the mail that was there */
    bool doubted;
    int64_t ahead_ms;       /* of the monotonic clock, when seen last, */
    int64_t trusted_ms;     /* and as it is noted */
    int64_t set_ms;         /* monotonic: when that was seen to change */
    int64_t noted_ms;       /* monotonic */
};

static bool is_far(int64_t ms) { return ms > FAR_MS || ms < -FAR_MS; }

static int64_t ahead(struct sched_now now) { return now.wall_ms - now.mono_ms; }

static void put_doubt(struct buf *b, int64_t away_ms)
{
    buf_putz(b, "at the start the clock was ");
    num_put_duration(b, (away_ms < 0 ? -away_ms : away_ms) / MINUTE_MS * MINUTE_MS);
    buf_printf(b, " %s when the gateway ran last: ", away_ms < 0 ? "before" : "after");
    buf_putz(b, away_ms < 0 ? "it is, or was, wrong"
                            : "it was down for so long, or the clock is wrong; mail counts as old "
                              "as it was then, for a day or until " BELIEVE);
}

static void say(struct qmgr *q, enum event_name event, struct span text)
{
    event_begin(q->env->events, event);
    event_str(q->env->events, FIELD_text, text);
    event_end(q->env->events);
    log_line(q->env->events, event == EVENT_clock_doubted ? EVENT_ALARM : EVENT_NOTICE,
             "clock: %.*s", SPAN_ARG(text));
}

bool clock_doubt(const struct qmgr *q, struct buf *why)
{
    if (q->clock && q->clock->doubted)
        put_doubt(why, q->clock->begun.wall_ms - q->clock->last_ms);
    return q->clock && q->clock->doubted;
}

/* The time as it was noted by the process before; false: it was not. */
static bool noted(struct qmgr *q, int64_t *ms_r)
{
    struct decision d;
    struct span unused;
    if (!decision_get(q, NOTE, SPAN_NONE, &unused, &d))
        return false;
    struct wire w = wire_reader(d.what);
    *ms_r = wire_get_i64(&w);
    return !w.bad;
}

static void note(struct qmgr *q, int64_t mono_ms)
{
    struct buf b;
    buf_init(&b, 16);
    wire_put_i64(&b, mono_ms + q->clock->trusted_ms);
    decision_set(q, NOTE, SPAN_NONE, SPAN_NONE, buf_span(&b));
    buf_free(&b);
    q->clock->noted_ms = mono_ms;
    keep_flush(q);
}

/* --- what a wrong clock said --- */

/* Between these two times, as the wall's clock said, it was behind by so much. */
struct wrong {
    int64_t from_ms, to_ms, behind_ms;
};

/* Those that are noted, the newest last. */
static size_t wrongs_noted(struct qmgr *q, struct wrong v[WRONGS_MAX])
{
    struct decision d;
    struct span unused;
    size_t n = 0;
    if (!decision_get(q, NOTE, WRONG, &unused, &d))
        return 0;
    struct wire w = wire_reader(d.what);
    for (; n < WRONGS_MAX && w.rest.n && !w.bad; n++) {
        v[n].from_ms = wire_get_i64(&w);
        v[n].to_ms = wire_get_i64(&w);
        v[n].behind_ms = wire_get_i64(&w);
    }
    return n - w.bad;
}

static void note_wrongs(struct qmgr *q, const struct wrong *v, size_t n)
{
    struct buf b;
    buf_init(&b, WRONGS_MAX * sizeof *v);
    for (size_t i = 0; i < n; i++) {
        wire_put_i64(&b, v[i].from_ms);
        wire_put_i64(&b, v[i].to_ms);
        wire_put_i64(&b, v[i].behind_ms);
    }
    if (n)
        decision_set(q, NOTE, WRONG, SPAN_NONE, buf_span(&b));
    else
        decision_drop(q, NOTE, WRONG);
    buf_free(&b);
    keep_flush(q);
}

/* A clock without a battery begins at the same time again and again. Mail of a time that it told
 * more than once counts as the youngest that it may be, so that none ends early. */
static void note_wrong(struct qmgr *q, struct wrong new)
{
    struct wrong v[WRONGS_MAX];
    size_t n = wrongs_noted(q, v), kept = 0;
    if (new.behind_ms < FAR_MS)
        return;
    for (size_t i = 0; i < n; i++) {
        if (v[i].to_ms < new.from_ms || v[i].from_ms > new.to_ms) {
            v[kept++] = v[i];
            continue;
        }
        new.from_ms = v[i].from_ms < new.from_ms ? v[i].from_ms : new.from_ms;
        new.to_ms = v[i].to_ms > new.to_ms ? v[i].to_ms : new.to_ms;
        new.behind_ms = v[i].behind_ms > new.behind_ms ? v[i].behind_ms : new.behind_ms;
    }
    size_t lost = kept == WRONGS_MAX;
    memmove(v, v + lost, (kept - lost) * sizeof *v);
    v[kept - lost] = new;
    note_wrongs(q, v, kept - lost + 1);
}

/* The clock is back by so much: it had been right before it was set forward. */
static void forget_wrong(struct qmgr *q, int64_t by_ms)
{
    struct wrong v[WRONGS_MAX];
    size_t n = wrongs_noted(q, v), kept = 0;
    for (size_t i = 0; i < n; i++)
        if (is_far(v[i].behind_ms - by_ms))
            v[kept++] = v[i];
    if (kept < n)
        note_wrongs(q, v, kept);
}

static void apply_wrongs(struct qmgr *q)
{
    struct wrong v[WRONGS_MAX];
    size_t n = wrongs_noted(q, v);
    for (size_t i = 0; i < n; i++) /* of no time twice: note_wrong */
        if (v[i].behind_ms > 0)
            sched_clock_was(q->sched, v[i].from_ms, v[i].to_ms, v[i].behind_ms, q->clock->begun);
}

/* --- doubt --- */

void clock_open(struct qmgr *q, uint64_t upto)
{
    struct clock *c = q->clock = NEW(struct clock);
    c->begun = qmgr_now(q);
    c->upto = upto;
    c->set_ms = c->begun.mono_ms;
    c->noted_ms = c->begun.mono_ms - NOTE_EVERY_MS;
    c->ahead_ms = c->trusted_ms = ahead(c->begun);
    apply_wrongs(q);
    if (!noted(q, &c->last_ms) || !q->recovered || !is_far(c->begun.wall_ms - c->last_ms))
        return;
    c->doubted = true;
    c->trusted_ms = c->last_ms - c->begun.mono_ms;
    if (c->begun.wall_ms > c->last_ms)
        sched_clock_doubt(q->sched, upto, c->begun.wall_ms - c->last_ms, c->begun);
    struct buf b;
    buf_init(&b, 400);
    clock_doubt(q, &b);
    say(q, EVENT_clock_doubted, buf_span(&b));
    buf_free(&b);
}

void clock_free(struct qmgr *q)
{
    free(q->clock);
    q->clock = NULL;
}

/* It was off by so much at the start. */
static void end_doubt(struct qmgr *q, int64_t off_ms, const char *why)
{
    struct clock *c = q->clock;
    c->doubted = false;
    sched_clock_doubt(q->sched, c->upto, off_ms > 0 ? off_ms : 0, c->begun);
    say(q, EVENT_clock_believed, span_str(why));
    loop_hook_ask(q->env->loop, &q->work);
}

void clock_upkeep(struct qmgr *q)
{
    struct clock *c = q->clock;
    struct sched_now now = qmgr_now(q);
    int64_t by_ms = ahead(now) - c->ahead_ms;
    c->ahead_ms += by_ms;
    if (by_ms > MINUTE_MS || by_ms < -MINUTE_MS)
        c->set_ms = now.mono_ms;
    int64_t away_ms = c->ahead_ms - c->trusted_ms, off_ms = ahead(c->begun) - c->ahead_ms;
    bool near = !is_far(away_ms), agrees = near || now.mono_ms - c->set_ms >= AGREES_MS;
    if (c->doubted && near) {
        note_wrong(q, (struct wrong){ c->begun.wall_ms, now.wall_ms + off_ms, -off_ms });
        end_doubt(q, off_ms, "it was set, and is believed");
    } else if (c->doubted && agrees) {
        end_doubt(q, 0, "nobody has set it for a day: it is believed");
    } else if (agrees && !near) {
        forget_wrong(q, -away_ms);
        note_wrong(q, (struct wrong){ c->begun.wall_ms, c->set_ms + c->trusted_ms, away_ms });
    }
    if (agrees)
        c->trusted_ms = c->ahead_ms;
    if (now.mono_ms - c->noted_ms >= NOTE_EVERY_MS)
        note(q, now.mono_ms);
}

/* --- postern queue clock [believe] --- */

static void believe(struct admin_ask *a)
{
    struct clock *c = a->q->clock;
    struct buf b;
    buf_init(&b, 400);
    buf_printf(&b, "believed by %.*s", SPAN_ARG(buf_span(&a->who)));
    end_doubt(a->q, 0, buf_cstr(&b));
    c->trusted_ms = c->ahead_ms;
    note(a->q, loop_mono_ms(a->q->env->loop));
    buf_free(&b);
}

void admin_clock(struct admin_ask *a, struct wire *args)
{
    struct span word = SPAN_NONE;
    struct buf text, b;
    if (list_next_text(args, &word) && !span_eq(word, SPAN("believe"))) {
        admin_end(a, EX_USAGE, "clock takes no word but believe");
        return;
    }
    buf_init(&text, 400);
    if (word.n && a->q->clock->doubted)
        believe(a);
    if (!clock_doubt(a->q, &text))
        buf_putz(&text, "believed");
    buf_init(&b, 1000);
    struct json j = json_writer(&b);
    json_open(&j, NULL);
    json_str(&j, "id", SPAN("clock"));
    json_str(&j, "action", buf_span(&text));
    json_close(&j);
    admin_row(a, &b);
    buf_free(&b);
    buf_free(&text);
    admin_end(a, ADMIN_OK, "");
}
