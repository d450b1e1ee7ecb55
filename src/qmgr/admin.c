/* What control asks on behalf of a person. Answers that may be long come in slices of a
 * millisecond, so that a list of a million messages delays no mail; what changes something is
 * answered when it is on disk. */
#include "qmgr/admin.h"

#include "base/must.h"
#include "proto/lists.h"

#include <stdlib.h>
#include <sysexits.h>

struct admin_state {
    struct list asks;       /* struct admin_ask */
    size_t count;
    struct loop_timer turn; /* slices that come by themselves */
};

static const struct verb {
    const char *name;
    bool args; /* takes any */
    void (*fn)(struct admin_ask *a, struct wire *args);
} verbs[] = {
    { "list", true, admin_list },       { "groups", true, admin_groups },
    { "freeze", true, admin_freeze },   { "thaw", true, admin_thaw },
    { "export", true, admin_export },
    { "act", true, admin_act },               { "count", true, admin_count },
    { "sites", true, admin_sites },     { "run", false, admin_run },
    { "hold", true, admin_hold },       { "release", true, admin_release },
    { "delete", true, admin_delete },   { "retry", true, admin_retry },
    { "why", true, admin_why },
    { "hosts", true, admin_hosts },
    { "live", true, admin_live },       { "mailq", true, admin_mailq },
};

/* --- one question --- */

static void said(struct qmgr *q, uint64_t number, uint8_t end, struct span text)
{
    struct msg_admin_said m = { .q = number, .end = end, .text = text };
    if (q->control)
        send_admin_said(q->control, &m);
}

static void ask_free(struct admin_ask *a)
{
    if (a->own)
        a->own_gone(a);
    a->q->admin->count--;
    list_remove(&a->node);
    buf_free(&a->who);
    buf_free(&a->word);
    free(a);
}

void admin_row(struct admin_ask *a, const struct buf *b)
{
    if (b->failed)
        said(a->q, a->number, 0, SPAN("{\"error\":\"a row is too long to be shown\"}"));
    else
        said(a->q, a->number, 0, buf_span(b));
}

void admin_say(struct admin_ask *a, struct span row) { said(a->q, a->number, 0, row); }

void admin_slice_over(struct admin_ask *a) { said(a->q, a->number, 0, SPAN_NONE); }

void admin_end(struct admin_ask *a, uint8_t status, const char *text)
{
    said(a->q, a->number, status, span_str(text));
    ask_free(a);
}

bool admin_enough(const struct admin_ask *a, int64_t begun_ns, size_t rows, size_t bytes)
{
    enum { LOOK_EVERY = 16 };
    if (rows >= ADMIN_SLICE_ROWS || bytes >= ADMIN_SLICE_BYTES)
        return true;
    return rows % LOOK_EVERY == LOOK_EVERY - 1 &&
           loop_fresh_ns(a->q->env->loop) - begun_ns >= ADMIN_SLICE_NS;
}

static struct admin_ask *ask_find(struct qmgr *q, uint64_t number)
{
    LIST_EACH(n, &q->admin->asks) {
        struct admin_ask *a = CONTAINER(n, struct admin_ask, node);
        if (a->number == number)
            return a;
    }
    return NULL;
}

/* --- slices that come by themselves --- */

static void on_turn(void *ctx)
{
    struct qmgr *q = ctx;
    bool more = false;
    LIST_EACH(n, &q->admin->asks) {
        struct admin_ask *a = CONTAINER(n, struct admin_ask, node);
        if (a->own_turns)
            a->slice(a);
    }
    LIST_EACH(n, &q->admin->asks)
        more |= CONTAINER(n, struct admin_ask, node)->own_turns;
    if (more)
        loop_timer_in(q->env->loop, &q->admin->turn, 1);
}

/* --- from control --- */

static const struct verb *verb_find(struct span name)
{
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (span_eq(span_str(verbs[i].name), name))
            return &verbs[i];
    return NULL;
}

static void on_admin_ask(struct qmgr *q, struct channel *ch, const struct msg_admin_ask *m)
{
    (void)ch;
    const struct verb *v = verb_find(m->verb);
    const char *wrong = !v                              ? "qmgr does not know this verb"
                        : !v->args && m->args.n         ? "this verb takes no arguments"
                        : q->admin->count >= ADMIN_ASKS_MAX ? "too many questions at once"
                        : !q->started                   ? "the spool is still being opened"
                                                        : NULL;
    if (wrong) {
        bool later = v && !(!v->args && m->args.n);
        said(q, m->q, later ? EX_TEMPFAIL : EX_USAGE, span_str(wrong));
        return;
    }
    struct admin_ask *a = NEW(struct admin_ask);
    a->q = q;
    a->number = m->q;
    buf_init(&a->who, 256);
    buf_puts(&a->who, span_to(m->who, 256));
    buf_init(&a->word, ENVELOPE_TEXT_MAX);
    list_append(&q->admin->asks, &a->node);
    q->admin->count++;
    struct wire args = wire_reader(m->args);
    v->fn(a, &args); /* a may be gone */
    on_turn(q);
}

static void on_admin_more(struct qmgr *q, struct channel *ch, const struct msg_admin_more *m)
{
    (void)ch;
    struct admin_ask *a = ask_find(q, m->q);
    if (a && a->slice && !a->own_turns)
        a->slice(a);
}

/* What was begun and cannot be half done goes on; nobody is told. */
static void on_admin_gone(struct qmgr *q, struct channel *ch, const struct msg_admin_gone *m)
{
    (void)ch;
    struct admin_ask *a = ask_find(q, m->q);
    if (a)
        ask_free(a);
}

PROTO_HANDLER(admin_ask, struct qmgr *, on_admin_ask)
PROTO_HANDLER(admin_more, struct qmgr *, on_admin_more)
PROTO_HANDLER(admin_gone, struct qmgr *, on_admin_gone)

static void forget_all(struct qmgr *q)
{
    LIST_EACH(n, &q->admin->asks)
        ask_free(CONTAINER(n, struct admin_ask, node));
}

static void on_gone(void *ctx, struct channel *ch, const char *why)
{
    struct qmgr *q = ctx;
    (void)ch;
    (void)why;
    channel_free(&q->control);
    forget_all(q);
}

void admin_peer(struct qmgr *q, int fd)
{
    static const struct channel_type types[] = { PROTO_TYPE(admin_ask), PROTO_TYPE(admin_more),
                                                 PROTO_TYPE(admin_gone) };
    static const struct channel_ops ops = { types, 3, on_gone, NULL };
    if (!q->admin) {
        q->admin = NEW(struct admin_state);
        list_init(&q->admin->asks);
        loop_timer_init(&q->admin->turn, on_turn, q);
    }
    if (q->control)
        on_gone(q, q->control, "replaced");
    q->control = channel_new(q->env->loop, fd, "control", &ops, q);
}

void admin_free(struct qmgr *q)
{
    if (!q->admin)
        return;
    forget_all(q);
    admin_live_free(q);
    channel_free(&q->control);
    loop_timer_stop(q->env->loop, &q->admin->turn);
    free(q->admin);
    q->admin = NULL;
}
