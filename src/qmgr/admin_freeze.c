/* Nothing more is started for a domain, a destination or a site; and a queue run. Both outlive this
 * process, and are on stable storage when they are answered. */
#include "qmgr/admin.h"
#include "qmgr/keep.h"

#include "base/domain.h"
#include "base/must.h"
#include "proto/lists.h"
#include "sched/walk.h"

#include <stdlib.h>
#include <sysexits.h>

static void say_event(struct admin_ask *a, enum event_name event, const char *past,
                      struct span name)
{
    struct events *e = a->q->env->events;
    event_begin(e, event);
    event_str(e, FIELD_host, name);
    event_str(e, FIELD_text, buf_span(&a->who));
    event_end(e);
    log_line(e, EVENT_NOTICE, "%.*s: %s by %.*s", SPAN_ARG(name), past,
             SPAN_ARG(buf_span(&a->who)));
}

static void row(struct admin_ask *a, struct span name, const char *action,
                const struct decision *d, struct span note, uint64_t waiting)
{
    struct buf b;
    buf_init(&b, 8192);
    struct json j = json_writer(&b);
    json_open(&j, NULL);
    json_str(&j, "id", name);
    json_str(&j, "action", span_str(action));
    if (note.n) {
        json_uint(&j, "recipients", waiting);
        json_str(&j, "note", note);
    }
    if (d) {
        json_str(&j, "who", d->who);
        json_int(&j, "since_ms", d->at_ms);
    }
    json_close(&j);
    admin_row(a, &b);
    buf_free(&b);
}

static void on_frozen(void *ctx, struct span name)
{
    struct admin_ask *a = ctx;
    struct decision d;
    struct span same;
    bool known = decision_get(a->q, KEEP_FROZEN, name, &same, &d);
    row(a, name, "frozen", known ? &d : NULL, SPAN_NONE, 0);
}

/* It holds in any case. */
static void end(struct admin_ask *a, int error)
{
    if (error)
        admin_end(a, EX_IOERR, KEEP_NOT_WRITTEN);
    else
        admin_end(a, ADMIN_OK, "");
}

/* --- the name --- */

static bool domain_char(char c)
{
    unsigned char u = (unsigned char)c;
    return ascii_isalnum(c) || c == '-' || c == '_' || u >= 0x80;
}

/* A domain as a recipient has it: no address, no pattern. */
static bool is_domain(struct span name)
{
    bool label = false;
    if (name.n > 2 && name.p[0] == '[' && name.p[name.n - 1] == ']')
        return true;
    for (size_t i = 0; i < name.n; i++) {
        if (name.p[i] == '.' ? !label : !domain_char(name.p[i]))
            return false;
        label = name.p[i] != '.';
    }
    return label;
}

static bool is_known_place(struct qmgr *q, struct span name)
{
    struct sched_place_info p;
    return sched_dest(q->sched, name, &p) ||
           sched_place_find(q->sched, SCHED_PLACE_SITE, name, &p);
}

/* "mx:a.example", also before there is any mail for it. */
static bool is_place(struct span name)
{
    for (size_t i = 0; i < name.n; i++)
        if ((unsigned char)name.p[i] <= ' ' || name.p[i] == '*')
            return false;
    return span_find(name, ':') < name.n && span_find(name, ':') > 0;
}

bool admin_put_name(struct qmgr *q, struct span given, struct buf *to)
{
    struct span name = given;
    bool place = is_known_place(q, given);
    if (!place && name.n > 1 && name.p[name.n - 1] == '.')
        name.n--;
    char kept[NOTES_KEY_MAX];
    if (name.n <= sizeof kept)
        buf_puts(to, span_of(kept, domain_fold(name, kept, sizeof kept)));
    return to->len && !to->failed && (place || is_domain(name) || is_place(name));
}

/* --- what waits for it, in slices --- */

struct freezing {
    struct buf name, site; /* site: one that has a host of that name */
    struct queue_walk walk;
    uint64_t waiting;
    bool known;
    int error; /* of keeping it */
};

static void freezing_gone(struct admin_ask *a)
{
    struct freezing *f = a->own;
    queue_walk_end(&f->walk);
    buf_free(&f->name);
    buf_free(&f->site);
    free(f);
    a->own = NULL;
}

static void say_frozen(struct admin_ask *a, const struct freezing *f)
{
    struct buf b;
    buf_init(&b, 1024 + 3 * NOTES_KEY_MAX);
    buf_putz(&b, "until it is thawed; deliveries that run now end as they end; ");
    if (f->waiting)
        buf_printf(&b, "%llu recipient%s wait%s for it now", (unsigned long long)f->waiting,
                   f->waiting == 1 ? "" : "s", f->waiting == 1 ? "s" : "");
    else if (f->known)
        buf_putz(&b, "nothing waits for it now");
    else if (f->site.len)
        buf_printf(&b, "no mail for a domain of that name is queued, and it is a host of the site "
                       "%.*s, which is not frozen by this: postern queue freeze '%.*s'",
                   SPAN_ARG(buf_span(&f->site)), SPAN_ARG(buf_span(&f->site)));
    else if (span_find(buf_span(&f->name), ':') == f->name.len)
        buf_printf(&b, "no mail for a domain of that name is queued; a host is not frozen by this, "
                       "but by its site or destination: mx:%.*s, host:%.*s",
                   SPAN_ARG(buf_span(&f->name)), SPAN_ARG(buf_span(&f->name)));
    else
        buf_putz(&b, "nothing in the queue is known under that name: it is frozen all the same");
    uint64_t unsited = sched_totals(a->q->sched).unsited;
    if (unsited && span_find(buf_span(&f->name), ':') < f->name.len)
        buf_printf(&b, "; of %llu recipient%s it is not known yet at which site: those that turn "
                       "out to be there are frozen, too",
                   (unsigned long long)unsited, unsited == 1 ? "" : "s");
    row(a, buf_span(&f->name), "frozen", NULL, buf_span(&b), f->waiting);
    buf_free(&b);
    end(a, f->error);
}

/* What tells more than that nothing waits. */
static void look_alike(struct freezing *f, const struct sched_cell_info *c)
{
    struct span name = buf_span(&f->name);
    f->known |= span_ieq(c->domain, name);
    if (!f->site.len && c->site.n <= NOTES_KEY_MAX && queue_place_has(c->site, name))
        buf_puts(&f->site, c->site);
}

static void count_slice(struct admin_ask *a)
{
    enum { CELL_UNITS = 4 };
    struct freezing *f = a->own;
    struct queue_cell *cell;
    while ((cell = queue_walk_next(&f->walk)) != NULL) {
        struct sched_cell_info info;
        sched_cell(cell, &info);
        struct sched_rcpt_info as = { .frozen = info.state == QUEUE_FROZEN,
                                      .addr = { .domain = info.domain },
                                      .dest = info.dest, .site = info.site };
        struct span name, given = buf_span(&f->name);
        bool held_up = sched_frozen_as(a->q->sched, &as, &name); /* maybe by another name as well */
        if (held_up && (span_ieq(name, given) || span_ieq(info.site, given) ||
                        span_ieq(info.dest, given)))
            f->waiting += cell->ages.count;
        else
            look_alike(f, &info);
        if (admin_spent(a, CELL_UNITS)) {
            admin_next(a);
            return;
        }
    }
    say_frozen(a, f);
}

static void freeze(struct admin_ask *a, struct span name)
{
    struct qmgr *q = a->q;
    bool kept = decision_set(q, KEEP_FROZEN, name, buf_span(&a->who), SPAN_NONE);
    struct freezing *f = NEW(struct freezing);
    f->error = keep_flush(q);
    f->error = kept ? f->error : -1;
    f->known = is_known_place(q, name);
    buf_init(&f->name, NOTES_KEY_MAX);
    buf_puts(&f->name, name);
    buf_init(&f->site, NOTES_KEY_MAX);
    queue_walk_begin(&f->walk, sched_index(q->sched), QUEUE_RCPTS);
    say_event(a, EVENT_admin_frozen, "frozen", name);
    a->own = f;
    a->own_gone = freezing_gone;
    a->slice = count_slice;
}

/* Of several names each is asked about by itself: the answer says which one it is about. */
static void end_without(struct admin_ask *a, struct span name, const char *why)
{
    struct buf b;
    buf_init(&b, 2 * NOTES_KEY_MAX);
    buf_printf(&b, "%.*s %s", SPAN_ARG(span_to(name, NOTES_KEY_MAX)), why);
    admin_end(a, EX_NOINPUT, buf_cstr(&b));
    buf_free(&b);
}

static void freeze_given(struct admin_ask *a, struct span given)
{
    struct buf name;
    buf_init(&name, NOTES_KEY_MAX);
    if (!admin_put_name(a->q, given, &name))
        admin_end(a, EX_USAGE, ADMIN_NO_NAME);
    else if (!sched_freeze(a->q->sched, buf_span(&name)))
        end_without(a, buf_span(&name), "is frozen already, or too much is");
    else
        freeze(a, buf_span(&name));
    buf_free(&name);
}

/* Without a name: all that is frozen. */
void admin_freeze(struct admin_ask *a, struct wire *args)
{
    struct qmgr *q = a->q;
    struct span name, second;
    if (!list_next_text(args, &name) || !name.n) {
        sched_each_frozen(q->sched, on_frozen, a);
        admin_end(a, ADMIN_OK, "");
        return;
    }
    if (list_next_text(args, &second))
        admin_end(a, EX_USAGE, "freeze takes one domain, destination or site");
    else
        freeze_given(a, name);
}

static void thaw(struct admin_ask *a, struct span name)
{
    if (!sched_thaw(a->q->sched, name)) {
        end_without(a, name, "is not frozen");
        return;
    }
    decision_drop(a->q, KEEP_FROZEN, name);
    int error = keep_flush(a->q);
    say_event(a, EVENT_admin_thawed, "thawed", name);
    row(a, name, "thawed", NULL, SPAN_NONE, 0);
    loop_hook_ask(a->q->env->loop, &a->q->work);
    end(a, error);
}

/* Also a name that could not be frozen any more. */
void admin_thaw(struct admin_ask *a, struct wire *args)
{
    struct span given, second;
    struct buf name;
    if (!list_next_text(args, &given) || list_next_text(args, &second)) {
        admin_end(a, EX_USAGE, "thaw takes one domain, destination or site");
        return;
    }
    buf_init(&name, NOTES_KEY_MAX);
    thaw(a, admin_put_name(a->q, given, &name) ? buf_span(&name) : given);
    buf_free(&name);
}

/* --- run: a note of it is kept (keep.h) --- */

void admin_run(struct admin_ask *a, struct wire *args)
{
    struct qmgr *q = a->q;
    (void)args;
    int64_t waiting = (int64_t)sched_totals(q->sched).rcpts[SCHED_WAITING];
    sched_run_queue(q->sched);
    int error = keep_run(q);
    event_begin(q->env->events, EVENT_queue_run);
    event_int(q->env->events, FIELD_count, waiting);
    event_str(q->env->events, FIELD_text, buf_span(&a->who));
    event_end(q->env->events);
    log_line(q->env->events, EVENT_INFO, "queue run asked by %.*s: %lld recipients waited",
             SPAN_ARG(buf_span(&a->who)), (long long)waiting);
    loop_hook_ask(q->env->loop, &q->work);
    struct buf b;
    buf_init(&b, 128);
    buf_printf(&b, "{\"action\":\"run\",\"recipients\":%lld}", (long long)waiting);
    admin_row(a, &b);
    buf_free(&b);
    admin_end(a, error ? EX_IOERR : ADMIN_OK, error ? KEEP_NOT_WRITTEN : "");
}
