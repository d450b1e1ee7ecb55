#include "cli/queue_hop.h"

#include "cli/ask.h"
#include "route/value.h"

#include <stdio.h>
#include <sysexits.h>

enum { ARENA_MAX = 64 << 10 };

/* *row_r NULL: nobody has answered. A status that is not EX_OK has been said. */
static int look_up(const struct cli_args *a, const struct route_dest *d, json_t **row_r)
{
    struct ask *k;
    struct buf hops;
    struct ask_args args = { .n = 0 };
    buf_init(&hops, ASK_ARG_MAX);
    dns_hops_put(&hops, d->hops, d->hop_count);
    ask_arg(&args, "hops", buf_span(&hops));
    int rc = ask_open(&k, a);
    if (rc == EX_OK && !hops.failed && ask_running(k))
        *row_r = ask_row(k, "lookup", &args);
    ask_close(&k);
    buf_free(&hops);
    return rc;
}

int queue_hop_check(const struct cli_args *a, const char *hop)
{
    struct arena *arena = arena_new(ARENA_MAX);
    struct route_dest d = { .hop_count = 0 };
    struct err err = { "" };
    bool good = route_value_or_hops(span_str(hop), arena, &d, &err), hops = good && d.hop_count > 0;
    json_t *row = NULL;
    int rc = !good ? cli_fail(a, EX_USAGE, "%s is no next hop: %s", hop, err.text)
             : hops ? look_up(a, &d, &row) : EX_OK;
    const json_t *plan = json_object_get(row, "plan");
    struct span verdict = row_text(plan, "verdict"), text = row_text(plan, "text");
    if (span_eq(verdict, SPAN("fail")))
        rc = cli_fail(a, EX_NOHOST, "nothing was rerouted: %s is no next hop: %.*s", hop,
                      SPAN_ARG(text));
    else if (span_eq(verdict, SPAN("later")))
        fprintf(stderr, "nobody can say now whether %s exists: %.*s\n", hop, SPAN_ARG(text));
    json_decref(row);
    arena_free(&arena);
    return rc;
}
