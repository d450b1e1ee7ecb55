/* "groups": the queue by domain, site, sender, reason ...: how much, the oldest and the newest,
 * why, and the next try; with their ages for the shape of the queue. Made of the index's cells
 * where these know all that is asked for, else of the messages. */
#include "qmgr/admin_query.h"

#include "base/must.h"
#include "queue/reason.h"

#include <stdlib.h>
#include <sysexits.h>

enum {
    GROUP_KEY_MAX = 320,
    GROUPS_MAX = 200000, /* told apart; what is more is one group */
    GROUPS_SHOWN = 100,
    GROUPS_SHOWN_MAX = 10000,
    AGES = 7,
    LOOK_CELLS = 16,
    LOOK_GROUPS = 64,
};

enum group_by { BY_DOMAIN, BY_SITE, BY_REASON, BY_STATE, BY_SENDER, BY_SENDER_DOMAIN, BY_LISTENER,
                BY_COUNT };

static const struct by {
    const char *name;
    enum queue_kind kind;
} bys[BY_COUNT] = {
    [BY_DOMAIN] = { "domain", QUEUE_RCPTS },
    [BY_SITE] = { "site", QUEUE_RCPTS },
    [BY_REASON] = { "reason", QUEUE_RCPTS },
    [BY_STATE] = { "state", QUEUE_RCPTS },
    [BY_SENDER] = { "sender", QUEUE_MESSAGES },
    [BY_SENDER_DOMAIN] = { "sender-domain", QUEUE_MESSAGES },
    [BY_LISTENER] = { "listener", QUEUE_MESSAGES },
};

/* The upper ends of the columns of the shape; the last has none. */
static const int64_t age_ends_ms[AGES - 1] = { 5 * 60000,    15 * 60000,   60 * 60000,
                                               4 * 3600000, 24 * 3600000, 72 * 3600000 };

struct group {
    struct hash_node node;
    struct heap_node rank;
    uint64_t messages, recipients, bytes, shared, oldest, newest, last;
    uint64_t ages[AGES];
    int64_t next_ms;
    char key[];
};

enum phase { PLAN, FEED_CELLS, FEED_ROWS, RANK, SAY };

struct grouping {
    struct query y;
    enum group_by by;
    bool shape;
    enum phase phase;
    struct hash groups;
    struct hash_node *at; /* RANK: the next */
    struct heap best;
    struct group **shown;
    size_t n, said;
    struct queue_walk walk;
    bool walking;
    struct sched_now now; /* when it was asked: columns do not move */
    struct query_sum all;
};

static void groups_gone(struct admin_ask *a)
{
    struct grouping *g = a->own;
    if (g->walking)
        queue_walk_end(&g->walk);
    for (struct hash_node *n = hash_next(&g->groups, NULL), *next; n; n = next) {
        next = hash_next(&g->groups, n);
        hash_remove(&g->groups, n);
        free(CONTAINER(n, struct group, node));
    }
    hash_free(&g->groups);
    heap_free(&g->best);
    free(g->shown);
    query_free(&g->y);
    free(g);
    a->own = NULL;
}

/* --- keys --- */

static struct span class_of(struct span reason, char room[QUEUE_CLASS_MAX])
{
    return span_of(room, queue_reason_class(reason, room));
}

static struct span place_of(struct span site, struct span dest) { return site.n ? site : dest; }

static struct span cell_key(enum group_by by, const struct sched_cell_info *c,
                            char room[QUEUE_CLASS_MAX])
{
    switch (by) {
    case BY_DOMAIN: return c->domain;
    case BY_SITE: return place_of(c->site, c->dest);
    case BY_REASON: return class_of(c->reason, room);
    case BY_STATE: return span_str(queue_state_name(c->state));
    case BY_SENDER: return c->sender;
    case BY_SENDER_DOMAIN: return c->sender_domain;
    default: return c->listener;
    }
}

static struct span rcpt_key(enum group_by by, const struct sched_rcpt_info *r,
                            char room[QUEUE_CLASS_MAX])
{
    switch (by) {
    case BY_DOMAIN: return r->addr.domain;
    case BY_SITE: return place_of(r->site, r->dest);
    case BY_REASON: return class_of(r->reason, room);
    default: return span_str(queue_state_name(sched_queue_state(r)));
    }
}

static struct group *group_of(struct grouping *g, struct span key)
{
    key = span_to(key, GROUP_KEY_MAX);
    struct hash_node *n = hash_get(&g->groups, key);
    if (!n && g->groups.n >= GROUPS_MAX) {
        key = SPAN("(others)");
        n = hash_get(&g->groups, key);
    }
    if (n)
        return CONTAINER(n, struct group, node);
    struct group *new = must_alloc(sizeof *new + key.n);
    new->oldest = UINT64_MAX;
    if (key.n)
        memcpy(new->key, key.p, key.n);
    hash_add(&g->groups, &new->node, span_of(new->key, key.n));
    return new;
}

static void take_next(struct group *to, int64_t next_ms)
{
    if (next_ms && (!to->next_ms || next_ms < to->next_ms))
        to->next_ms = next_ms;
}

/* --- from cells --- */

static void cell_ages(const struct grouping *g, const struct queue_cell *c, struct group *to)
{
    uint64_t younger = c->ages.count;
    for (int i = 0; i < AGES - 1; i++) {
        uint64_t older =
            queue_set_below(&c->ages, sched_age_at(g->now.wall_ms - age_ends_ms[i]));
        to->ages[i] += younger - older;
        younger = older;
    }
    to->ages[AGES - 1] += younger;
}

static void feed_cell(struct grouping *g, struct queue_cell *c)
{
    struct sched_cell_info info;
    char room[QUEUE_CLASS_MAX];
    uint64_t oldest, newest;
    sched_cell(c, &info);
    if (query_cell(&g->y, c, &info) != QUEUE_YES)
        return;
    struct group *to = group_of(g, cell_key(g->by, &info, room));
    MUST(queue_set_from(&c->ages, 0, &oldest) && queue_set_max(&c->ages, &newest));
    to->messages += c->messages;
    to->bytes += c->bytes;
    to->shared += c->shared;
    to->recipients += c->kind == QUEUE_RCPTS ? c->ages.count : 0;
    to->oldest = oldest < to->oldest ? oldest : to->oldest;
    to->newest = newest > to->newest ? newest : to->newest;
    take_next(to, info.next_try_ms);
    if (g->shape)
        cell_ages(g, c, to);
}

static bool feed_cells(struct grouping *g, int64_t begun_ns)
{
    struct queue_cell *c;
    if (!g->walking) {
        queue_walk_begin(&g->walk, sched_index(g->y.a->q->sched), bys[g->by].kind);
        g->walking = true;
    }
    for (size_t n = 1; (c = queue_walk_next(&g->walk)) != NULL; n++) {
        feed_cell(g, c);
        if (n % LOOK_CELLS == 0 && query_time_is_up(&g->y, begun_ns))
            return false;
    }
    queue_walk_end(&g->walk);
    g->walking = false;
    return true;
}

/* --- from messages --- */

static int column_of(const struct grouping *g, int64_t received_ms)
{
    int i = 0;
    while (i < AGES - 1 && g->now.wall_ms - received_ms >= age_ends_ms[i])
        i++;
    return i;
}

static void feed_one(struct grouping *g, const struct sched_msg_info *m, struct span key,
                     uint64_t recipients, int64_t next_ms)
{
    struct group *to = group_of(g, key);
    if (to->last != m->age) {
        to->messages++;
        to->bytes += m->size_bytes;
        to->last = m->age;
    }
    to->recipients += recipients;
    to->oldest = m->age < to->oldest ? m->age : to->oldest;
    to->newest = m->age > to->newest ? m->age : to->newest;
    to->ages[column_of(g, m->received_ms)] += recipients;
    take_next(to, next_ms);
}

static void feed_message(struct grouping *g, const struct sched_msg_info *m)
{
    struct sched_rcpt_info r;
    struct buf sender;
    char room[QUEUE_CLASS_MAX];
    uint64_t n = 0;
    int64_t next_ms = 0;
    buf_init(&sender, ENVELOPE_ADDR_MAX + 8);
    sched_addr_put(&sender, m->sender);
    for (uint32_t i = 0; sched_msg_rcpt(m->here, i, &r); i++) {
        if (!query_rcpt(&g->y, m, &r))
            continue;
        n++;
        if (bys[g->by].kind == QUEUE_RCPTS)
            feed_one(g, m, rcpt_key(g->by, &r, room), 1, r.next_try_ms);
        else if (r.next_try_ms && (!next_ms || r.next_try_ms < next_ms))
            next_ms = r.next_try_ms;
    }
    if (bys[g->by].kind == QUEUE_MESSAGES && n)
        feed_one(g, m, g->by == BY_SENDER          ? buf_span(&sender)
                       : g->by == BY_SENDER_DOMAIN ? m->sender.domain
                                                   : sched_msg_listener(m->here),
                 n, next_ms);
    buf_free(&sender);
}

static bool feed_rows(struct grouping *g, int64_t begun_ns)
{
    struct sched_msg_info m;
    for (size_t n = 1;; n++) {
        enum query_got got = query_next(&g->y, begun_ns, &m);
        if (got == QUERY_END)
            return true;
        if (got == QUERY_ONE)
            feed_message(g, &m);
        if (got == QUERY_LATER || (n % LOOK_GROUPS == 0 && query_time_is_up(&g->y, begun_ns)))
            return false;
    }
}

/* --- the first of them --- */

/* More is better. */
static int64_t rank_of(const struct grouping *g, const struct group *x)
{
    uint64_t by_count = x->recipients ? x->recipients : x->messages;
    switch (g->y.sort) {
    case QUERY_SIZE: return (int64_t)(x->bytes & INT64_MAX);
    case QUERY_COUNT: return (int64_t)(by_count & INT64_MAX);
    case QUERY_NEXT: return x->next_ms ? -x->next_ms : INT64_MIN;
    default: return -(int64_t)(x->oldest >> 1);
    }
}

static void rank(struct grouping *g, struct group *x)
{
    int64_t key = rank_of(g, x);
    g->all.messages += x->messages;
    g->all.recipients += x->recipients;
    g->all.bytes += x->bytes;
    g->all.shared += x->shared;
    if (g->best.n >= g->y.limit) {
        struct heap_node *least = heap_min(&g->best);
        if (!least || least->key >= key)
            return;
        heap_remove(&g->best, least);
    }
    heap_add(&g->best, &x->rank, key);
}

static int by_name(const void *pa, const void *pb)
{
    const struct group *const *a = pa, *const *b = pb;
    return span_cmp((*a)->node.key, (*b)->node.key);
}

static bool rank_all(struct grouping *g, int64_t begun_ns)
{
    for (size_t n = 1; g->at; n++) {
        struct hash_node *node = g->at;
        g->at = hash_next(&g->groups, node);
        rank(g, CONTAINER(node, struct group, node));
        if (g->at && n % LOOK_GROUPS == 0 && query_time_is_up(&g->y, begun_ns))
            return false;
    }
    g->n = g->best.n;
    g->shown = must_calloc(g->n + 1, sizeof *g->shown);
    for (size_t i = g->n; i > 0; i--) { /* the least comes first */
        struct heap_node *least = heap_min(&g->best);
        g->shown[i - 1] = CONTAINER(least, struct group, rank);
        heap_remove(&g->best, least);
    }
    if (g->y.sort == QUERY_DOMAIN)
        qsort(g->shown, g->n, sizeof *g->shown, by_name);
    return true;
}

/* --- saying it --- */

static bool in_group(const struct grouping *g, const struct group *x,
                     const struct sched_rcpt_info *r)
{
    char room[QUEUE_CLASS_MAX];
    return bys[g->by].kind == QUEUE_MESSAGES ||
           span_eq(span_to(rcpt_key(g->by, r, room), GROUP_KEY_MAX), x->node.key);
}

/* Of the oldest: its own last reason, and when nothing better is known its next try. */
static void put_oldest(struct grouping *g, struct group *x, struct json *j)
{
    struct sched_msg_info m;
    struct sched_rcpt_info r;
    struct span reason = SPAN_NONE;
    if (!sched_age_get(g->y.a->q->sched, x->oldest, &m))
        return; /* gone since */
    json_str(j, "oldest_id", span_str(queueid_make(m.seq, m.received_ms).text));
    for (uint32_t i = 0; sched_msg_rcpt(m.here, i, &r); i++) {
        if (!query_rcpt(&g->y, &m, &r) || !in_group(g, x, &r))
            continue;
        if (bys[g->by].kind == QUEUE_MESSAGES)
            take_next(x, r.next_try_ms);
        if (!reason.n)
            reason = r.reason;
    }
    if (reason.n)
        json_str(j, "reason", reason);
}

static void put_group(struct grouping *g, struct group *x, struct json *j)
{
    json_str(j, bys[g->by].name, x->node.key);
    json_uint(j, "messages", x->messages);
    if (x->shared)
        json_bool(j, "messages_at_most", true);
    if (x->recipients)
        json_uint(j, "recipients", x->recipients);
    json_uint(j, "bytes", x->bytes);
    json_int(j, "oldest_ms", sched_age_ms(x->oldest));
    json_int(j, "oldest_age_ms", g->now.wall_ms - sched_age_ms(x->oldest));
    json_int(j, "newest_ms", sched_age_ms(x->newest));
    put_oldest(g, x, j);
    if (x->next_ms)
        json_int(j, "next_try_ms", g->now.wall_ms + (x->next_ms - g->now.mono_ms));
    if (!g->shape)
        return;
    json_open_array(j, "ages");
    for (int i = 0; i < AGES; i++)
        json_uint(j, NULL, x->ages[i]);
    json_close_array(j);
}

static void say_total(struct grouping *g)
{
    struct buf b;
    buf_init(&b, 1024);
    struct json j = json_writer(&b);
    json_open(&j, NULL);
    json_str(&j, "by", span_str(bys[g->by].name));
    json_uint(&j, "groups", g->groups.n);
    json_uint(&j, "shown", g->n);
    json_uint(&j, "messages", g->all.messages);
    if (g->all.shared)
        json_bool(&j, "messages_at_most", true);
    json_uint(&j, "bytes", g->all.bytes);
    json_close(&j);
    admin_row(g->y.a, &b);
    buf_free(&b);
}

/* False: the slice is over. */
static bool say(struct grouping *g, int64_t begun_ns)
{
    size_t rows = 0;
    while (g->said < g->n) {
        struct buf b;
        buf_init(&b, ADMIN_ROW_MAX);
        struct json j = json_writer(&b);
        json_open(&j, NULL);
        put_group(g, g->shown[g->said++], &j);
        json_close(&j);
        admin_row(g->y.a, &b);
        buf_free(&b);
        if (admin_enough(g->y.a, begun_ns, ++rows, 0))
            return false;
    }
    return true;
}

/* --- the question --- */

static bool cells_know_all(const struct grouping *g)
{
    return !(g->y.fields & ~query_kind_fields(bys[g->by].kind));
}

/* A reason's cells may answer "maybe": then the messages are looked at. */
static enum phase after_plan(const struct grouping *g)
{
    bool by_cells = cells_know_all(g) && (!g->y.fields || g->y.exact);
    return by_cells ? FEED_CELLS : FEED_ROWS;
}

static void groups_slice(struct admin_ask *a)
{
    struct grouping *g = a->own;
    int64_t begun_ns = loop_fresh_ns(a->q->env->loop);
    bool done = true;
    if (g->phase == PLAN && (done = query_plan(&g->y, begun_ns) == QUERY_END))
        g->phase = after_plan(g);
    if (g->phase == FEED_CELLS && (done = feed_cells(g, begun_ns)))
        g->phase = RANK;
    else if (g->phase == FEED_ROWS && (done = feed_rows(g, begun_ns)))
        g->phase = RANK;
    if (done && g->phase == RANK) {
        g->at = g->at ? g->at : hash_next(&g->groups, NULL);
        if ((done = rank_all(g, begun_ns))) {
            g->phase = SAY;
            say_total(g);
        }
    }
    if (g->phase == SAY && (done = say(g, begun_ns))) {
        admin_end(a, ADMIN_OK, "");
        return;
    }
    admin_slice_over(a);
}

static int take_option(struct admin_ask *a, struct span arg, struct err *err)
{
    struct grouping *g = a->own;
    if (span_eq(arg, SPAN("shape")))
        return g->shape = true;
    if (!span_starts(arg, SPAN("by=")))
        return 0;
    for (int i = 0; i < BY_COUNT; i++) {
        if (!span_eq(span_from(arg, 3), span_str(bys[i].name)))
            continue;
        g->by = (enum group_by)i;
        return 1;
    }
    err_set(err, "by is one of domain, site, reason, state, sender, sender-domain, listener");
    return -1;
}

void admin_groups(struct admin_ask *a, struct wire *args)
{
    struct grouping *g = NEW(struct grouping);
    a->own = g;
    a->own_gone = groups_gone;
    g->now = qmgr_now(a->q);
    hash_init(&g->groups, loop_random_u64(a->q->env->loop), 0);
    heap_init(&g->best);
    if (!query_init(&g->y, a, args, take_option))
        return;
    if (g->shape && bys[g->by].kind != QUEUE_RCPTS) {
        admin_end(a, EX_USAGE, "the shape is by domain, site, reason or state");
        return;
    }
    if (g->y.limit == UINT64_MAX)
        g->y.limit = GROUPS_SHOWN;
    if (g->y.limit > GROUPS_SHOWN_MAX)
        g->y.limit = GROUPS_SHOWN_MAX;
    a->slice = groups_slice;
    groups_slice(a);
}
