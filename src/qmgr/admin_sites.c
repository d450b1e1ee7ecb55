/* "sites": destinations and sites, those where most waits and those that are down, a bounded number
 * of them. All are looked at, in slices; what is kept of them are the names, and what is said of
 * one is how it is when it is said. */
#include "qmgr/admin.h"
#include "qmgr/kept.h"

#include "base/must.h"
#include "base/num.h"
#include "proto/lists.h"
#include "sched/walk.h"

#include <stdlib.h>
#include <sysexits.h>

enum { PLACE_UNITS = 4 };

struct place {
    enum sched_place_kind kind;
    uint64_t weight;
    size_t len;
    char key[]; /* of the destination, where its site has none */
};

struct places {
    struct sched_place_walk walk;
    struct kept kept; /* struct place */
    uint64_t seen;
    size_t said;
    bool all_seen;
};

static void forget_places(struct places *all)
{
    for (size_t i = 0; i < all->kept.n; i++)
        free(all->kept.v[i]);
    all->kept.n = 0;
    all->seen = 0;
}

static void places_gone(struct admin_ask *a)
{
    struct places *all = a->own;
    forget_places(all);
    kept_free(&all->kept);
    free(all);
    a->own = NULL;
}

/* --- looking --- */

static int by_weight(const void *pa, const void *pb)
{
    const struct place *a = pa, *b = pb;
    if (a->weight != b->weight)
        return a->weight > b->weight ? -1 : 1;
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    return span_cmp(span_of(a->key, a->len), span_of(b->key, b->len));
}

static uint64_t live_of(const struct sched_place_info *p)
{
    uint64_t n = 0;
    for (int s = 0; s < SCHED_LIVE; s++)
        n += p->rcpts[s];
    return n;
}

static void on_place(void *arg, enum sched_place_kind kind, struct span key,
                     const struct sched_place_info *p)
{
    struct places *all = arg;
    uint64_t down_first = p->down_until_ms ? UINT64_C(1) << 40 : 0, live = live_of(p);
    if (!live && !p->active && !p->down_until_ms)
        return;
    if (kind == SCHED_PLACE_NAMELESS && !p->active && !p->down_until_ms)
        return; /* its destination's row says it all */
    all->seen++;
    struct place *x = must_alloc(sizeof *x + key.n);
    x->kind = kind;
    x->weight = live + down_first;
    x->len = key.n;
    memcpy(x->key, key.p, key.n);
    free(kept_offer(&all->kept, x));
}

/* False: the slice is over. */
static bool look(struct admin_ask *a, struct places *all)
{
    int more;
    while ((more = sched_walk_places(a->q->sched, &all->walk, on_place, all)) != 0) {
        if (more < 0)
            forget_places(all); /* it begins anew */
        if (admin_spent(a, PLACE_UNITS))
            return false;
    }
    kept_sort(&all->kept);
    return all->all_seen = true;
}

/* --- saying --- */

void admin_put_states(struct json *j, const uint64_t n[QUEUE_STATES])
{
    json_open(j, "recipients");
    for (int s = 0; s < QUEUE_STATES; s++)
        json_uint(j, queue_state_name((enum queue_state)s), n[s]);
    json_close(j);
}

/* Those of a site whose destination alone is in back-off, or whose domain is frozen, are not told
 * from the others: the destinations' own rows have the first. */
static void place_states(const struct sched_place_info *p, uint64_t n[QUEUE_STATES])
{
    bool down = p->down_until_ms || p->site_down_until_ms;
    n[p->frozen ? QUEUE_FROZEN : QUEUE_READY] += p->rcpts[SCHED_PENDING] + p->rcpts[SCHED_ROUTING];
    n[p->frozen ? QUEUE_FROZEN : down ? QUEUE_DEFERRED : QUEUE_READY] += p->rcpts[SCHED_READY];
    n[p->frozen ? QUEUE_FROZEN : QUEUE_DEFERRED] += p->rcpts[SCHED_DEFERRED];
    n[QUEUE_ACTIVE] += p->rcpts[SCHED_ACTIVE];
    n[QUEUE_WAITING] += p->rcpts[SCHED_WAITING];
    n[QUEUE_HELD] += p->rcpts[SCHED_HELD];
}

/* What is allowed at most, and what of it at present: "why" has the cause. */
static void put_pace(struct json *j, const struct sched_place_info *p, const struct config *cfg)
{
    if (p->rule && p->rule <= cfg->n_rules) {
        json_str(j, "rule", cfg->rules[p->rule - 1].name);
        if (cfg->rules[p->rule - 1].rate.n)
            json_str(j, "rate", cfg->rules[p->rule - 1].rate);
    }
    if (p->limit_max)
        json_uint(j, "limit_max", p->limit_max);
    if (p->interval_us)
        json_uint(j, "one_in_ms", (uint64_t)(p->interval_us + 999) / 1000);
    if (p->slow)
        json_uint(j, "slowed", p->slow);
}

static void put_place(struct admin_ask *a, struct json *j, enum sched_place_kind kind,
                      struct span key, const struct sched_place_info *p)
{
    struct sched_now now = qmgr_now(a->q);
    uint64_t n[QUEUE_STATES] = { 0 };
    place_states(p, n);
    json_open(j, NULL);
    json_str(j, kind == SCHED_PLACE_DEST ? "destination" : "site", p->key);
    if (kind == SCHED_PLACE_NAMELESS)
        json_str(j, "of", key);
    if (kind == SCHED_PLACE_DEST && p->site.n)
        json_str(j, "site", p->site);
    admin_put_states(j, n);
    json_uint(j, "active", p->active);
    if (p->limit)
        json_uint(j, "limit", p->limit);
    put_pace(j, p, a->q->config);
    if (p->down_until_ms) {
        json_int(j, "down_until_ms", now.wall_ms + (p->down_until_ms - now.mono_ms));
        json_uint(j, "failures", p->down_level);
    }
    if (p->frozen)
        json_str(j, "why", SPAN(SCHED_FROZEN_REASON));
    else if (p->why.n && (p->down_until_ms || kind != SCHED_PLACE_DEST))
        json_str(j, "why", p->why); /* a destination's is over when its back-off is */
    json_close(j);
}

static bool is_frozen_site(struct qmgr *q, struct span site)
{
    struct sched_place_info p;
    return sched_place_find(q->sched, SCHED_PLACE_SITE, site, &p) && p.frozen;
}

static void send_place(struct admin_ask *a, const struct place *x)
{
    struct sched_place_info p;
    struct buf b;
    if (!sched_place_find(a->q->sched, x->kind, span_of(x->key, x->len), &p))
        return; /* gone since */
    p.frozen |= x->kind == SCHED_PLACE_DEST && p.site.n && is_frozen_site(a->q, p.site);
    buf_init(&b, ADMIN_ROW_MAX);
    struct json j = json_writer(&b);
    put_place(a, &j, x->kind, span_of(x->key, x->len), &p);
    admin_row(a, &b);
    buf_free(&b);
}

static void say_number(struct admin_ask *a, const char *key, uint64_t n)
{
    struct buf b;
    if (!n)
        return;
    buf_init(&b, 128);
    buf_printf(&b, "{\"%s\":%llu}", key, (unsigned long long)n);
    admin_row(a, &b);
    buf_free(&b);
}

static void sites_slice(struct admin_ask *a)
{
    struct places *all = a->own;
    bool more = all->all_seen || look(a, all);
    while (more && kept_step(&all->kept))
        more = !admin_spent(a, PLACE_UNITS);
    while (more && all->said < all->kept.n) {
        send_place(a, all->kept.v[all->said++]);
        more = !a->now.over;
    }
    if (!more) {
        admin_next(a);
        return;
    }
    say_number(a, "not_shown", all->seen - all->kept.n);
    say_number(a, "site_unknown", sched_totals(a->q->sched).unsited);
    admin_end(a, ADMIN_OK, "");
}

/* "limit=N" is all there is. */
static bool take_limit(struct admin_ask *a, struct wire *args, uint64_t by_default, uint64_t max)
{
    struct span arg;
    a->limit = by_default;
    while (list_next_text(args, &arg)) {
        if (!span_starts(arg, SPAN("limit=")) ||
            !num_upto(span_from(arg, 6), max, &a->limit)) {
            admin_end(a, EX_USAGE, "this verb takes only limit=NUMBER");
            return false;
        }
    }
    return true;
}

void admin_sites(struct admin_ask *a, struct wire *args)
{
    if (!take_limit(a, args, ADMIN_PLACES, ADMIN_PLACES_MAX))
        return;
    struct places *all = NEW(struct places);
    kept_init(&all->kept, a->limit, by_weight);
    a->own = all;
    a->own_gone = places_gone;
    a->slice = sites_slice;
}
