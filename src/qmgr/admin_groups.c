/* "groups": the queue by domain, site, sender, reason ...: how much, the oldest and the newest,
 * why, and the next try; with their ages for the shape of the queue. Made of the index's cells
 * where these know all that is asked for, else of the messages. */
#include "qmgr/admin_query.h"
#include "qmgr/cause.h"
#include "qmgr/kept.h"

#include "base/must.h"
#include "queue/reason.h"

#include <stdlib.h>
#include <sysexits.h>

enum {
    TABLES = 32, /* so that none of them grows by much at once */
    CELL_UNITS = 4,
    GROUP_UNITS = 2,
    GROUP_KEY_MAX = 320,
    GROUPS_MAX = 200000, /* told apart; what is more is one group */
    GROUPS_SHOWN = 100,
    GROUPS_SHOWN_MAX = 10000,
    AGES = 7,
    NEAR_BITS = 16,
    NEAR = 4,      /* places for one mark */
    NEAR_SOON = 4, /* messages ahead: where their group is noted is fetched, */
    SOON = 2,      /* and the group */
};

enum group_by { BY_DOMAIN, BY_SITE, BY_REASON, BY_STATE, BY_SENDER, BY_SENDER_DOMAIN, BY_LISTENER,
                BY_CLIENT, BY_COUNT };

#define STATE (SCHED_WALK_RCPTS | SCHED_WALK_STATE)

static const struct by {
    const char *name;
    enum queue_kind kind;
    unsigned memory; /* that is looked at of each recipient, SCHED_WALK_ */
} bys[BY_COUNT] = {
    [BY_DOMAIN] = { "domain", QUEUE_RCPTS, STATE | SCHED_WALK_NUMBER },
    [BY_SITE] = { "site", QUEUE_RCPTS, STATE | SCHED_WALK_PLACE },
    [BY_REASON] = { "reason", QUEUE_RCPTS, STATE | SCHED_WALK_PLACE },
    [BY_STATE] = { "state", QUEUE_RCPTS, STATE },
    [BY_SENDER] = { "sender", QUEUE_MESSAGES, STATE | SCHED_WALK_SENDER },
    [BY_SENDER_DOMAIN] = { "sender-domain", QUEUE_MESSAGES, STATE },
    [BY_LISTENER] = { "listener", QUEUE_MESSAGES, STATE | SCHED_WALK_SENDER },
    [BY_CLIENT] = { "client", QUEUE_CLIENTS, STATE | SCHED_WALK_TEXT },
};

/* The upper ends of the columns of the shape; the last has none. */
static const int64_t age_ends_ms[AGES - 1] = { 5 * 60000,    15 * 60000,   60 * 60000,
                                               4 * 3600000, 24 * 3600000, 72 * 3600000 };

struct group { /* what a look at a message needs comes first */
    uint64_t messages, recipients, bytes, oldest, newest;
    int64_t next_ms;
    int64_t rank; /* more is better */
    uint64_t domain, other[2]; /* of a reason: a hash; ages of messages of two domains, or 0 */
    uint64_t ages[AGES], shared;
    struct hash_node node;
    char key[];
};

enum phase { PLAN, FEED_CELLS, FEED_ROWS, RANK, SORT, SAY, FORGET };

struct grouping {
    struct query y;
    enum group_by by;
    bool shape;
    enum phase phase;
    struct hash groups[TABLES];
    /* Those met last, by their marks: mostly the right ones. */
    struct near {
        uint64_t mark;
        struct group *group;
    } near[(1 << NEAR_BITS) + NEAR];
    size_t group_count;
    size_t table;         /* RANK: that is gone through, */
    struct hash_node *at; /* its next one; NULL: its first */
    struct kept best, named; /* named: the best by name, when that is asked for */
    size_t moved, said;
    uint32_t look_at, look_said; /* recipients of the next row's oldest; + 1 of one with a reason */
    struct queue_walk walk;
    bool walking;
    struct sched_now now; /* when it was asked: columns do not move */
    struct query_sum all, looked; /* the groups' sum; of messages that were looked at, each once */
    uint64_t looked_age;
};

static void walk_end(struct grouping *g)
{
    if (g->walking)
        queue_walk_end(&g->walk);
    g->walking = false;
}

/* False: the slice is over, and there are more. */
static bool forget_groups(struct admin_ask *a)
{
    struct grouping *g = a->own;
    for (size_t i = 0; i < TABLES; i++)
        for (struct hash_node *n = hash_next(&g->groups[i], NULL), *next; n; n = next) {
            next = hash_next(&g->groups[i], n);
            hash_remove(&g->groups[i], n);
            free(CONTAINER(n, struct group, node));
            if (admin_spent(a, GROUP_UNITS))
                return false;
        }
    return true;
}

static void groups_gone(struct admin_ask *a)
{
    struct grouping *g = a->own;
    while (!forget_groups(a))
        ;
    walk_end(g);
    for (size_t i = 0; i < TABLES; i++)
        hash_free(&g->groups[i]);
    kept_free(&g->best);
    kept_free(&g->named);
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
    case BY_REASON: return c->folded ? c->reason : class_of(c->reason, room);
    case BY_STATE: return span_str(queue_state_name(c->state));
    case BY_SENDER: return c->sender;
    case BY_SENDER_DOMAIN: return c->sender_domain;
    case BY_CLIENT: return c->client;
    default: return c->listener;
    }
}

/* Of recipient i of m. */
static struct span rcpt_key(enum group_by by, const struct sched_msg_info *m, uint32_t i,
                            const struct sched_rcpt_info *r, char room[QUEUE_CLASS_MAX])
{
    struct span class;
    switch (by) {
    case BY_DOMAIN: return r->addr.domain;
    case BY_SITE: return place_of(r->site, r->dest);
    case BY_REASON:
        class = r->reason.n ? sched_msg_rcpt_class(m->here, i) : SPAN_NONE;
        return class.n ? class : class_of(r->reason, room);
    default: return span_str(queue_state_name(sched_queue_state(r)));
    }
}

static struct hash *table_of(struct grouping *g, struct span key)
{
    return &g->groups[hash_bytes(0, key) % TABLES];
}

/* Of texts without a number: most are one text for all that have it, and its place is a mark of it.
 * A client's is its address. */
static uint64_t mark_of(const struct grouping *g, struct span key)
{
    uint64_t x = (uintptr_t)key.p;
    if (g->by == BY_CLIENT) { /* the last bytes differ */
        size_t n = key.n < sizeof x ? key.n : sizeof x;
        x = 0;
        if (n)
            memcpy(&x, key.p + key.n - n, n);
    }
    return x;
}

static struct near *near_of(struct grouping *g, uint64_t mark)
{
    return g->near + (mark * UINT64_C(0x9e3779b97f4a7c15) >> (64 - NEAR_BITS));
}

static struct group *group_find(struct grouping *g, struct span key)
{
    struct hash *table = table_of(g, key);
    struct hash_node *n = hash_get(table, key);
    if (!n && g->group_count >= GROUPS_MAX) {
        key = SPAN("(others)");
        table = table_of(g, key);
        n = hash_get(table, key);
    }
    if (n)
        return CONTAINER(n, struct group, node);
    struct group *new = must_alloc(sizeof *new + key.n);
    new->oldest = UINT64_MAX;
    if (key.n)
        memcpy(new->key, key.p, key.n);
    hash_add(table, &new->node, span_of(new->key, key.n));
    g->group_count++;
    return new;
}

/* The number, unless it is 0, is of this text alone (a keyed hash, as in queue_facts): nothing is
 * compared. */
static struct group *group_of(struct grouping *g, struct span key, uint64_t number)
{
    key = span_to(key, GROUP_KEY_MAX);
    uint64_t mark = number ? number : mark_of(g, key);
    struct near *near = near_of(g, mark);
    int i = 0;
    for (; i < NEAR && near[i].group; i++)
        if (near[i].mark == mark && (number || span_eq(near[i].group->node.key, key)))
            return near[i].group;
    i = i < NEAR ? i : 0;
    near[i] = (struct near){ mark, group_find(g, key) };
    return near[i].group;
}

/* Of the n-th message after the one at hand, where there may be very many groups; 0: none. */
static uint64_t number_ahead(const struct grouping *g, size_t n)
{
    const struct sched_msg *m = query_peek(&g->y, n);
    if (!m || (g->by != BY_SENDER && g->by != BY_DOMAIN))
        return 0;
    return g->by == BY_SENDER ? sched_msg_sender_hash(m) : sched_msg_domain_hash(m);
}

/* The groups of those that come soon are fetched. */
static void group_soon(struct grouping *g)
{
    uint64_t then = number_ahead(g, NEAR_SOON), soon = number_ahead(g, SOON);
    const struct near *near = near_of(g, soon);
    if (then)
        __builtin_prefetch(near_of(g, then));
    for (int i = 0; soon && i < NEAR && near[i].group; i++) {
        if (near[i].mark != soon)
            continue;
        __builtin_prefetch(near[i].group);
        __builtin_prefetch(&near[i].group->next_ms);
    }
}

/* One reason of many domains is told without the name of one of them. */
static void take_domain(struct group *to, uint64_t hash, uint64_t age)
{
    hash |= 1;
    if (!to->domain) {
        to->domain = hash;
        to->other[0] = age;
    } else if (to->domain != hash && !to->other[1]) {
        to->other[1] = age;
    }
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
    struct group *to = group_of(g, cell_key(g->by, &info, room), 0);
    MUST(queue_set_from(&c->ages, 0, &oldest) && queue_set_max(&c->ages, &newest));
    to->messages += c->messages;
    to->bytes += c->bytes;
    to->shared += c->shared;
    to->recipients += c->kind == QUEUE_RCPTS ? c->ages.count : 0;
    to->oldest = oldest < to->oldest ? oldest : to->oldest;
    to->newest = newest > to->newest ? newest : to->newest;
    take_next(to, cause_next_ms(g->y.a->q, info.state, info.dest, info.next_try_ms));
    if (g->by == BY_REASON)
        take_domain(to, hash_bytes(0, info.domain), oldest);
    if (g->shape)
        cell_ages(g, c, to);
}

static bool feed_cells(struct grouping *g)
{
    struct queue_cell *c;
    if (!g->walking) {
        queue_walk_begin(&g->walk, sched_index(g->y.a->q->sched), bys[g->by].kind);
        g->walking = true;
    }
    while ((c = queue_walk_next(&g->walk)) != NULL) {
        feed_cell(g, c);
        if (admin_spent(g->y.a, CELL_UNITS + (g->shape ? c->ages.n / CELL_UNITS : 0)))
            return false;
    }
    walk_end(g);
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

static void feed_one(const struct grouping *g, const struct sched_msg_info *m, struct group *to,
                     uint64_t recipients, int64_t next_ms)
{
    if (to->newest != m->age) { /* they come in order of age */
        to->messages++;
        to->bytes += m->size_bytes;
    }
    to->recipients += recipients;
    to->oldest = m->age < to->oldest ? m->age : to->oldest;
    to->newest = m->age > to->newest ? m->age : to->newest;
    if (g->shape)
        to->ages[column_of(g, m->received_ms)] += recipients;
    take_next(to, next_ms);
}

/* As cause_next_ms, without a look-up. */
static int64_t next_of(const struct sched_msg_info *m, uint32_t i, const struct sched_rcpt_info *r)
{
    bool ready = !r->next_try_ms && sched_queue_state(r) == QUEUE_READY;
    return ready ? sched_msg_rcpt_paced_ms(m->here, i) : r->next_try_ms;
}

static struct span message_key(enum group_by by, const struct sched_msg_info *m, struct buf *room)
{
    struct span sender;
    switch (by) {
    case BY_SENDER:
        if (sched_msg_sender(m->here, &sender))
            return sender;
        sched_addr_put(room, m->sender);
        return buf_span(room);
    case BY_SENDER_DOMAIN: return m->sender.domain;
    case BY_CLIENT: return sched_msg_client(m->here);
    default: return sched_msg_listener(m->here);
    }
}

static struct group *message_group(struct grouping *g, const struct sched_msg_info *m)
{
    struct buf text;
    buf_init(&text, ENVELOPE_ADDR_MAX + 8);
    uint64_t number = g->by == BY_SENDER ? sched_msg_sender_hash(m->here) : 0;
    struct group *to = group_of(g, message_key(g->by, m, &text), number);
    buf_free(&text);
    return to;
}

static struct group *rcpt_group(struct grouping *g, const struct sched_msg_info *m, uint32_t i,
                                const struct sched_rcpt_info *r)
{
    char room[QUEUE_CLASS_MAX];
    uint64_t number = g->by == BY_DOMAIN ? r->domain_hash : g->by == BY_SITE ? r->place_hash : 0;
    return group_of(g, rcpt_key(g->by, m, i, r, room), number);
}

/* Where all of a message is meant, the rest is not looked up. */
static bool next_rcpt(const struct grouping *g, const struct sched_msg_info *m, uint32_t i,
                      struct sched_rcpt_info *r)
{
    if (!g->y.whole || g->by == BY_SITE || g->by == BY_REASON)
        return sched_msg_rcpt(m->here, i, r);
    bool is_there = sched_msg_rcpt_state(m->here, i, r);
    if (is_there && g->by == BY_DOMAIN)
        sched_msg_rcpt_domain(m->here, i, r);
    return is_there;
}

/* Ends early when the slice is over; then the message comes again. */
static void feed_message(struct grouping *g, const struct sched_msg_info *m)
{
    struct sched_rcpt_info r;
    uint64_t n = 0;
    int64_t next_ms = 0;
    bool of_rcpts = bys[g->by].kind == QUEUE_RCPTS;
    uint32_t i = g->y.rest;
    for (bool over = false; !over && next_rcpt(g, m, i, &r); i++) {
        over = admin_spent(g->y.a, GROUP_UNITS);
        if (g->y.whole ? r.state >= SCHED_LIVE : !query_rcpt(&g->y, m, &r))
            continue;
        n++;
        int64_t next = next_of(m, i, &r);
        struct group *to = of_rcpts ? rcpt_group(g, m, i, &r) : NULL;
        if (to)
            feed_one(g, m, to, 1, next);
        if (to && g->by == BY_REASON)
            take_domain(to, r.domain_hash, m->age);
        else if (!to && next && (!next_ms || next < next_ms))
            next_ms = next;
    }
    query_rest(&g->y, i < m->rcpt_count ? i : 0);
    if (n && g->looked_age != m->age) { /* they come in order of age */
        g->looked_age = m->age;
        g->looked.messages++;
        g->looked.bytes += m->size_bytes;
    }
    if (!of_rcpts && n)
        feed_one(g, m, message_group(g, m), n, next_ms);
}

static bool feed_rows(struct grouping *g)
{
    struct sched_msg_info m;
    enum query_got got;
    while ((got = query_next(&g->y, 0, &m)) == QUERY_ONE) {
        group_soon(g);
        feed_message(g, &m);
        if (g->y.slice->over)
            return false;
    }
    return got == QUERY_END;
}

/* --- the first of them --- */

static int by_name(const void *pa, const void *pb)
{
    const struct group *a = pa, *b = pb;
    return span_cmp(a->node.key, b->node.key);
}

static int by_rank(const void *pa, const void *pb)
{
    const struct group *a = pa, *b = pb;
    if (a->rank != b->rank)
        return a->rank > b->rank ? -1 : 1;
    return by_name(a, b);
}

static struct kept *shown_of(struct grouping *g)
{
    return g->y.sort == QUERY_DOMAIN ? &g->named : &g->best;
}

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
    x->rank = rank_of(g, x);
    g->all.messages += x->messages;
    g->all.recipients += x->recipients;
    g->all.bytes += x->bytes;
    g->all.shared += x->shared;
    kept_offer(&g->best, x);
}

static bool rank_all(struct grouping *g)
{
    for (; g->table < TABLES; g->table++, g->at = NULL) {
        const struct hash *table = &g->groups[g->table];
        struct hash_node *node = g->at ? g->at : hash_next(table, NULL);
        for (; node; node = g->at) {
            g->at = hash_next(table, node);
            rank(g, CONTAINER(node, struct group, node));
            if (g->at && admin_spent(g->y.a, GROUP_UNITS))
                return false;
        }
    }
    return true;
}

/* By name they are kept once more. False: the slice is over. */
static bool sort_all(struct grouping *g)
{
    for (; g->y.sort == QUERY_DOMAIN && g->moved < g->best.n; g->moved++) {
        kept_offer(&g->named, g->best.v[g->moved]);
        if (admin_spent(g->y.a, GROUP_UNITS))
            return false;
    }
    struct kept *shown = shown_of(g);
    if (!shown->unsorted)
        kept_sort(shown);
    while (kept_step(shown))
        if (admin_spent(g->y.a, GROUP_UNITS))
            return false;
    return true;
}

/* --- saying it --- */

/* Recipient i of m. */
static bool in_group(const struct grouping *g, const struct group *x,
                     const struct sched_msg_info *m, uint32_t i, const struct sched_rcpt_info *r)
{
    char room[QUEUE_CLASS_MAX];
    return bys[g->by].kind != QUEUE_RCPTS ||
           span_eq(span_to(rcpt_key(g->by, m, i, r, room), GROUP_KEY_MAX), x->node.key);
}

/* Of the oldest: its own last reason, and when nothing better is known its next try. It may have
 * very many recipients. False: the slice is over. */
static bool look_at_oldest(struct grouping *g, struct group *x)
{
    bool of_rcpts = bys[g->by].kind == QUEUE_RCPTS;
    struct sched_msg_info m;
    struct sched_rcpt_info r;
    if (!sched_age_get(g->y.a->q->sched, x->oldest, &m))
        return true;
    while (!(of_rcpts && g->look_said) && sched_msg_rcpt(m.here, g->look_at, &r)) {
        uint32_t i = g->look_at++;
        if (query_rcpt(&g->y, &m, &r) && in_group(g, x, &m, i, &r)) {
            if (!of_rcpts)
                take_next(x, next_of(&m, i, &r));
            if (r.reason.n && !g->look_said)
                g->look_said = g->look_at;
        }
        if (admin_spent(g->y.a, GROUP_UNITS))
            return false;
    }
    return true;
}

/* Of a message: words of the group that are others than these. */
static bool find_other(struct grouping *g, const struct group *x, uint64_t age, struct span reason,
                       struct span *other_r)
{
    enum { LOOKED = 64 };
    struct sched_msg_info m;
    struct sched_rcpt_info r;
    if (!sched_age_get(g->y.a->q->sched, age, &m))
        return false;
    for (uint32_t i = 0; i < LOOKED && sched_msg_rcpt(m.here, i, &r); i++) {
        *other_r = r.reason;
        if (query_rcpt(&g->y, &m, &r) && in_group(g, x, &m, i, &r) &&
            !span_eq(r.reason, reason))
            return true;
    }
    return false;
}

/* The oldest's, without a name that it has of its own. */
static void put_reason(struct grouping *g, const struct group *x, struct span reason,
                       struct json *j)
{
    struct span other;
    struct buf text;
    buf_init(&text, 8 * SCHED_REASON_MAX);
    if (x->other[1] && (find_other(g, x, x->other[0], reason, &other) ||
                        find_other(g, x, x->other[1], reason, &other)))
        queue_reason_fold(&text, reason, other);
    else
        buf_puts(&text, reason);
    if (text.len)
        json_str(j, "reason", buf_span(&text));
    buf_free(&text);
}

static void put_oldest(struct grouping *g, const struct group *x, struct json *j)
{
    struct sched_msg_info m;
    struct sched_rcpt_info r;
    if (!sched_age_get(g->y.a->q->sched, x->oldest, &m))
        return; /* gone since */
    json_str(j, "oldest_id", span_str(queueid_make(m.seq, m.received_ms).text));
    if (!g->look_said || !sched_msg_rcpt(m.here, g->look_said - 1, &r) || !r.reason.n)
        return;
    put_reason(g, x, r.reason, j);
    if (r.before.n)
        json_str(j, "before", r.before);
}

/* A client's key is its address; that of the rest ("(others)") is no address. */
static void put_key(struct grouping *g, struct span key, struct json *j)
{
    struct netaddr client = { .family = NETADDR_NONE };
    struct buf b;
    buf_init(&b, NETADDR_TEXT_MAX);
    if (g->by == BY_CLIENT)
        query_ip(key, &client);
    if (client.family != NETADDR_NONE)
        netaddr_put_ip(&b, &client);
    json_str(j, g->by == BY_REASON ? "class" : bys[g->by].name, b.len ? buf_span(&b) : key);
    buf_free(&b);
}

static void put_group(struct grouping *g, const struct group *x, struct json *j)
{
    put_key(g, x->node.key, j);
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
    json_uint(&j, "groups", g->group_count);
    json_uint(&j, "shown", shown_of(g)->n);
    struct sched_totals t = sched_totals(g->y.a->q->sched);
    struct query_sum sum = g->looked.messages ? g->looked : g->all;
    if (queue_filter_empty(g->y.filter))
        sum = (struct query_sum){ .messages = t.messages, .bytes = t.bytes };
    json_uint(&j, "messages", sum.messages);
    if (sum.shared)
        json_bool(&j, "messages_at_most", true);
    json_uint(&j, "bytes", sum.bytes);
    json_close(&j);
    admin_row(g->y.a, &b);
    buf_free(&b);
}

/* False: the slice is over. */
static bool say(struct grouping *g)
{
    const struct kept *shown = shown_of(g);
    while (g->said < shown->n) {
        struct buf b;
        if (!look_at_oldest(g, shown->v[g->said]))
            return false;
        buf_init(&b, ADMIN_ROW_MAX);
        struct json j = json_writer(&b);
        json_open(&j, NULL);
        put_group(g, shown->v[g->said++], &j);
        g->look_at = g->look_said = 0;
        json_close(&j);
        admin_row(g->y.a, &b);
        buf_free(&b);
        if (g->y.slice->over)
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

/* False: the slice is over before that. */
static bool phase_done(struct admin_ask *a, struct grouping *g)
{
    switch (g->phase) {
    case PLAN: return query_plan(&g->y, 0) == QUERY_END;
    case FEED_CELLS: return feed_cells(g);
    case FEED_ROWS: return feed_rows(g);
    case RANK: return rank_all(g);
    case SORT: return sort_all(g);
    case SAY: return say(g);
    default: return forget_groups(a);
    }
}

static enum phase next_phase(struct grouping *g)
{
    switch (g->phase) {
    case PLAN: return after_plan(g);
    case FEED_CELLS:
    case FEED_ROWS: return RANK;
    case RANK: return SORT;
    case SORT: say_total(g); return SAY;
    default: return FORGET;
    }
}

static void groups_slice(struct admin_ask *a)
{
    struct grouping *g = a->own;
    while (phase_done(a, g)) {
        if (g->phase == FORGET) {
            admin_end(a, ADMIN_OK, "");
            return;
        }
        g->phase = next_phase(g);
    }
    admin_next(a);
}

static void bury_slice(struct admin_ask *a)
{
    struct grouping *g = a->own;
    g->phase = FORGET;
    groups_slice(a);
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
    err_set(err, "by is one of domain, site, reason, state, sender, sender-domain, listener, "
                 "client");
    return -1;
}

void admin_groups(struct admin_ask *a, struct wire *args)
{
    struct grouping *g = NEW(struct grouping);
    a->own = g;
    a->own_gone = groups_gone;
    g->now = qmgr_now(a->q);
    for (size_t i = 0; i < TABLES; i++)
        hash_init(&g->groups[i], loop_random_u64(a->q->env->loop), 0);
    if (!query_init(&g->y, a, args, take_option))
        return;
    if (g->shape && bys[g->by].kind != QUEUE_RCPTS) {
        admin_end(a, EX_USAGE, "the shape is by domain, site, reason or state");
        return;
    }
    uint64_t shown = g->y.limit == UINT64_MAX ? GROUPS_SHOWN : g->y.limit;
    if (shown > GROUPS_SHOWN_MAX)
        shown = GROUPS_SHOWN_MAX;
    g->y.limit = UINT64_MAX; /* of groups, not of messages */
    kept_init(&g->best, shown, by_rank);
    kept_init(&g->named, shown, by_name);
    g->y.memory = bys[g->by].memory;
    a->slice = groups_slice;
    a->bury = bury_slice;
}
