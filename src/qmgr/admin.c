/* What control asks on behalf of a person. Answers that may be long come in slices, so that a list
 * of a million messages delays no mail; what changes something is answered when it is on disk. */
#include "qmgr/admin.h"

#include "base/must.h"
#include "proto/lists.h"

#include <stdlib.h>
#include <sysexits.h>

enum { TELL_MS = 1000, NS_PER_MS = 1000000 };

struct admin_state {
    struct list asks; /* struct admin_ask, in the order of their turns */
    size_t count;
    struct admin_ask *running;
    struct loop_timer turn; /* the turn of the next slice, */
    struct loop_hook step;  /* which begins when the turn's mail has been answered */
    int64_t rest_until_ns, owed_ns; /* owed: of slices that changed something since the last */
    struct admin_cost cost;
};

static const struct verb {
    const char *name;
    bool args; /* takes any */
    void (*fn)(struct admin_ask *a, struct wire *args);
} verbs[] = {
#define VERB(name, args) { #name, args, admin_##name },
    ADMIN_QMGR_VERBS(VERB)
#undef VERB
};

/* --- one question --- */

static void said(struct qmgr *q, uint64_t number, uint8_t end, struct span text)
{
    struct msg_admin_said m = { .q = number, .end = end, .text = text };
    if (q->control && number)
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

void admin_say(struct admin_ask *a, struct span row)
{
    a->said = true;
    admin_spent(a, row.n / ADMIN_UNIT_BYTES + 1);
    said(a->q, a->number, 0, row);
}

void admin_row(struct admin_ask *a, const struct buf *b)
{
    admin_say(a, b->failed ? SPAN("{\"error\":\"a row is too long to be shown\"}") : buf_span(b));
}

void admin_end(struct admin_ask *a, uint8_t status, const char *text)
{
    said(a->q, a->number, status, span_str(text));
    a->ended = true;
    if (a != a->q->admin->running)
        ask_free(a);
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

/* --- slices --- */

void admin_slice_begin(struct admin_slice *s, const struct qmgr *q)
{
    struct loop *l = q->env->loop;
    int64_t begun_ns = loop_fresh_ns(l);
    *s = (struct admin_slice){ .loop = l,
                               .begun_ns = begun_ns,
                               .begun_cpu_ns = loop_cpu_ns(l),
                               .end_ns = begun_ns + (intake_small(q) ? ADMIN_SLICE_SMALL_NS
                                                                     : ADMIN_SLICE_NS),
                               .serial = s->serial + 1 };
}

bool admin_slice_look(struct admin_slice *s)
{
    s->clock_at = s->units;
    return s->over = s->over || s->units >= ADMIN_SLICE_UNITS ||
                     loop_fresh_ns(s->loop) >= s->end_ns;
}

static struct admin_ask *next_ready(const struct admin_state *s)
{
    LIST_EACH(n, &s->asks)
        if (CONTAINER(n, struct admin_ask, node)->ready)
            return CONTAINER(n, struct admin_ask, node);
    return NULL;
}

/* A timer even when it is for now: a hook that asked for itself would come again in this turn.
 * Within a slice it is not known yet how long the pause is: on_step comes here again. */
static void go_on(struct qmgr *q)
{
    struct admin_state *s = q->admin;
    if (s->running || !next_ready(s) || loop_timer_set(&s->turn))
        return;
    int64_t rest_ns = s->rest_until_ns - loop_fresh_ns(q->env->loop);
    loop_timer_in(q->env->loop, &s->turn,
                  rest_ns > 0 && intake_small(q) ? (rest_ns + NS_PER_MS - 1) / NS_PER_MS : 0);
}

static void set_ready(struct admin_ask *a)
{
    a->ready = true;
    go_on(a->q);
}

void admin_again(struct admin_ask *a) { set_ready(a); }

void admin_slice_over(struct admin_ask *a)
{
    a->told_ms = loop_mono_ms(a->q->env->loop);
    said(a->q, a->number, 0, SPAN_NONE);
}

void admin_put_addr(struct json *j, const char *key, struct sched_addr addr)
{
    struct buf b;
    buf_init(&b, ENVELOPE_ADDR_MAX + 8);
    sched_addr_put(&b, addr);
    json_str(j, key, buf_span(&b));
    buf_free(&b);
}

/* Now and then control is told all the same: it waits no longer than a minute. */
void admin_next(struct admin_ask *a)
{
    bool told = loop_mono_ms(a->q->env->loop) - a->told_ms < TELL_MS;
    if (a->number && (a->said || !told))
        admin_slice_over(a);
    else
        set_ready(a);
}

static void note_cost(struct admin_state *s, const struct admin_ask *a, int64_t took_ns)
{
    s->cost.slices++;
    s->cost.units += a->now.units;
    int64_t cpu_ns = loop_cpu_ns(a->now.loop) - a->now.begun_cpu_ns;
    if (cpu_ns > s->cost.cpu_longest_ns)
        s->cost.cpu_longest_ns = cpu_ns;
    s->cost.all_ns += took_ns;
    if (took_ns > s->cost.longest_ns)
        s->cost.longest_ns = took_ns;
    if (a->now.units > s->cost.units_max)
        s->cost.units_max = a->now.units;
}

static void note_rest(struct admin_state *s, const struct admin_ask *a, int64_t now_ns,
                      int64_t took_ns)
{
    s->owed_ns += a->changed ? took_ns : 0;
    if (a->said)
        s->rest_until_ns = now_ns + took_ns;
    if (s->owed_ns < ADMIN_BURST_NS)
        return;
    s->rest_until_ns = now_ns + s->owed_ns;
    s->owed_ns = 0;
}

struct admin_cost admin_cost(struct qmgr *q)
{
    struct admin_cost c = q->admin->cost;
    q->admin->cost = (struct admin_cost){ 0 };
    return c;
}

static void on_turn(void *ctx)
{
    struct qmgr *q = ctx;
    loop_hook_ask(q->env->loop, &q->admin->step);
}

static void on_step(void *ctx)
{
    struct qmgr *q = ctx;
    struct admin_state *s = q->admin;
    struct admin_ask *a = next_ready(s);
    if (!a)
        return;
    list_remove(&a->node);
    list_append(&s->asks, &a->node);
    a->ready = a->said = a->changed = false;
    s->running = a;
    admin_slice_begin(&a->now, q);
    a->slice(a);
    s->running = NULL;
    int64_t now_ns = loop_fresh_ns(q->env->loop), took_ns = now_ns - a->now.begun_ns;
    note_cost(s, a, took_ns);
    note_rest(s, a, now_ns, took_ns);
    if (a->ended)
        ask_free(a);
    go_on(q);
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
    a->told_ms = loop_mono_ms(q->env->loop);
    admin_slice_begin(&a->now, q);
    v->fn(a, &args); /* a may be gone */
    a = ask_find(q, m->q);
    if (a && a->slice)
        set_ready(a);
}

static void on_admin_more(struct qmgr *q, struct channel *ch, const struct msg_admin_more *m)
{
    (void)ch;
    struct admin_ask *a = ask_find(q, m->q);
    if (a && a->slice)
        set_ready(a);
}

/* What it is in the middle of is put away, and nobody is told. */
static void on_admin_gone(struct qmgr *q, struct channel *ch, const struct msg_admin_gone *m)
{
    (void)ch;
    struct admin_ask *a = ask_find(q, m->q);
    if (!a || !a->bury) {
        if (a)
            ask_free(a);
        return;
    }
    a->number = 0;
    a->slice = a->bury;
    set_ready(a);
}

static void on_admin_stop(struct qmgr *q, struct channel *ch, const struct msg_admin_stop *m)
{
    (void)ch;
    struct admin_ask *a = ask_find(q, m->q);
    if (a)
        a->stop = true; /* its next slice looks */
}

PROTO_HANDLER(admin_ask, struct qmgr *, on_admin_ask)
PROTO_HANDLER(admin_more, struct qmgr *, on_admin_more)
PROTO_HANDLER(admin_gone, struct qmgr *, on_admin_gone)
PROTO_HANDLER(admin_stop, struct qmgr *, on_admin_stop)

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
                                                 PROTO_TYPE(admin_gone), PROTO_TYPE(admin_stop) };
    static const struct channel_ops ops = { types, 4, on_gone, NULL };
    if (!q->admin) {
        q->admin = NEW(struct admin_state);
        list_init(&q->admin->asks);
        loop_timer_init(&q->admin->turn, on_turn, q);
        loop_hook_init(&q->admin->step, LOOP_STAGE_LOG, on_step, q);
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
    loop_hook_cancel(&q->admin->step);
    free(q->admin);
    q->admin = NULL;
}
