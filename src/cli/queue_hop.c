#include "cli/queue_hop.h"

#include "cli/ask.h"
#include "route/value.h"

#include <stdio.h>
#include <sysexits.h>

enum { ARENA_MAX = 64 << 10 };

/* NULL: nobody has answered. */
static json_t *look_up(const struct cli_args *a, const struct route_dest *d)
{
    struct ask *k;
    struct buf hops;
    struct ask_args args = { .n = 0 };
    json_t *row = NULL;
    buf_init(&hops, ASK_ARG_MAX);
    dns_hops_put(&hops, d->hops, d->hop_count);
    ask_arg(&args, "hops", buf_span(&hops));
    if (!hops.failed && ask_open(&k, a) == EX_OK && ask_running(k))
        row = ask_row(k, "lookup", &args);
    ask_close(&k);
    buf_free(&hops);
    return row;
}

/* An address needs no question. */
static bool has_name(const struct route_dest *d)
{
    bool any = false;
    for (size_t i = 0; i < d->hop_count; i++)
        any |= !d->hops[i].literal;
    return any;
}

int queue_hop_check(const struct cli_args *a, const char *hop)
{
    struct arena *arena = arena_new(ARENA_MAX);
    struct route_dest d = { .hop_count = 0 };
    struct err unused;
    bool named = route_value_or_hops(span_str(hop), arena, &d, &unused) && has_name(&d);
    json_t *row = named ? look_up(a, &d) : NULL;
    const json_t *plan = json_object_get(row, "plan");
    struct span verdict = row_text(plan, "verdict"), text = row_text(plan, "text");
    int rc = EX_OK;
    if (span_eq(verdict, SPAN("fail")))
        rc = cli_fail(a, EX_NOHOST, "nothing was rerouted: %s is no next hop: %.*s", hop,
                      SPAN_ARG(text));
    else if (span_eq(verdict, SPAN("later")))
        fprintf(stderr, "nobody can say now whether %s exists: %.*s\n", hop, SPAN_ARG(text));
    json_decref(row);
    arena_free(&arena);
    return rc;
}
