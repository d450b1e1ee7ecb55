/* Nothing more is started for a domain, a destination or a site. It outlives this process, and is
 * on stable storage when it is answered. */
#include "qmgr/admin.h"
#include "qmgr/keep.h"

#include "base/must.h"
#include "proto/lists.h"

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
                const struct decision *d)
{
    struct buf b;
    buf_init(&b, 8192);
    struct json j = json_writer(&b);
    json_open(&j, NULL);
    json_str(&j, "id", name);
    json_str(&j, "action", span_str(action));
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
    row(a, name, "frozen", known ? &d : NULL);
}

/* It holds in any case. */
static void end(struct admin_ask *a, int error)
{
    if (error)
        admin_end(a, EX_IOERR, KEEP_NOT_WRITTEN);
    else
        admin_end(a, ADMIN_OK, "");
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
    if (list_next_text(args, &second)) {
        admin_end(a, EX_USAGE, "freeze takes one domain, destination or site");
        return;
    }
    if (!sched_freeze(q->sched, name)) {
        admin_end(a, EX_NOINPUT, "it is frozen already, or too much is");
        return;
    }
    bool kept = decision_set(q, KEEP_FROZEN, name, buf_span(&a->who), SPAN_NONE);
    int error = keep_flush(q);
    say_event(a, EVENT_admin_frozen, "frozen", name);
    row(a, name, "frozen: nothing is started for it until it is thawed; deliveries that run now "
                 "end as they end", NULL);
    end(a, kept ? error : -1);
}

void admin_thaw(struct admin_ask *a, struct wire *args)
{
    struct span name, second;
    if (!list_next_text(args, &name) || list_next_text(args, &second)) {
        admin_end(a, EX_USAGE, "thaw takes one domain, destination or site");
        return;
    }
    if (!sched_thaw(a->q->sched, name)) {
        admin_end(a, EX_NOINPUT, "it is not frozen");
        return;
    }
    decision_drop(a->q, KEEP_FROZEN, name);
    int error = keep_flush(a->q);
    say_event(a, EVENT_admin_thawed, "thawed", name);
    row(a, name, "thawed", NULL);
    loop_hook_ask(a->q->env->loop, &a->q->work);
    end(a, error);
}
