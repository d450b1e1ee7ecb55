/* What control asks: questions about the tables in force, each answered with one row. Nothing is
 * waited for: what only the DNS knows, the asker finds out and asks again. */
#include "router/inside.h"

#include "base/must.h"
#include "explain/route.h"
#include "proto/control.h"

#include <stdlib.h>
#include <sysexits.h>

struct router_admin {
    struct router *r;
    struct channel *channel;
};

static void said(struct channel *ch, uint64_t q, uint8_t end, struct span text)
{
    struct msg_admin_said m = { .q = q, .end = end, .text = text };
    send_admin_said(ch, &m);
}

/* Whoever asks is not made to wait for name servers that answer nobody. */
static void without_canon(struct router *r, struct explain_args *args)
{
    struct span domain = span_from(args->rcpt, span_rfind(args->rcpt, '@') + 1);
    if (!args->has_canon)
        args->has_canon = canons_paused(r->canons, domain, &args->canon, &args->canon_why);
}

static void on_admin_ask(struct router_admin *a, struct channel *ch, const struct msg_admin_ask *m)
{
    struct wire w = wire_reader(m->args);
    struct explain_args args;
    struct err e = { "" };
    struct buf json;
    if (!a->r->tables) {
        said(ch, m->q, EX_TEMPFAIL, SPAN("the tables are still being read"));
        return;
    }
    struct arena *arena = arena_new(ANSWER_ARENA_MAX);
    buf_init(&json, EXPLAIN_JSON_MAX);
    bool good = explain_args_get(&w, &args, &e);
    if (good)
        without_canon(a->r, &args);
    if (!good || !explain_route(a->r->tables, m->verb, &args, arena, &json, &e)) {
        said(ch, m->q, EX_USAGE, span_str(e.text));
    } else if (json.failed) {
        said(ch, m->q, EX_SOFTWARE, SPAN("the answer is too long to be shown"));
    } else {
        said(ch, m->q, 0, buf_span(&json));
        said(ch, m->q, ADMIN_OK, SPAN_NONE);
    }
    buf_free(&json);
    arena_free(&arena);
}

/* There is never more of an answer, and nothing to be stopped. */
static void on_admin_more(struct router_admin *a, struct channel *ch,
                          const struct msg_admin_more *m)
{
    (void)a;
    (void)ch;
    (void)m;
}

static void on_admin_gone(struct router_admin *a, struct channel *ch,
                          const struct msg_admin_gone *m)
{
    (void)a;
    (void)ch;
    (void)m;
}

PROTO_HANDLER(admin_ask, struct router_admin *, on_admin_ask)
PROTO_HANDLER(admin_more, struct router_admin *, on_admin_more)
PROTO_HANDLER(admin_gone, struct router_admin *, on_admin_gone)

static void on_gone(void *ctx, struct channel *ch, const char *why)
{
    struct router_admin *a = ctx;
    (void)ch;
    (void)why;
    channel_free(&a->channel);
}

struct router_admin *router_admin_new(struct router *r, int fd)
{
    static const struct channel_type types[] = { PROTO_TYPE(admin_ask), PROTO_TYPE(admin_more),
                                                 PROTO_TYPE(admin_gone) };
    static const struct channel_ops ops = { types, 3, on_gone, NULL };
    struct router_admin *a = NEW(struct router_admin);
    a->r = r;
    a->channel = channel_new(r->env->loop, fd, "control", &ops, a);
    return a;
}

void router_admin_free(struct router_admin **a)
{
    if (*a)
        channel_free(&(*a)->channel);
    free(*a);
    *a = NULL;
}
