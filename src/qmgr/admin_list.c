/* What is in the queue, as JSON: messages and totals. */
#include "qmgr/admin_query.h"
#include "qmgr/cause.h"
#include "qmgr/kept.h"

#include "base/must.h"
#include "proto/lists.h"

#include <stdlib.h>
#include <sysexits.h>

/* --- list --- */

static int64_t next_of(const struct qmgr *q, const struct sched_rcpt_info *r)
{
    return cause_next_ms(q, sched_queue_state(r), r->dest, r->next_try_ms);
}

static void put_rcpt(struct json *j, const struct sched_rcpt_info *r, struct qmgr *q,
                     struct sched_now now, const struct envelope_rcpt *stored)
{
    int64_t next_ms = next_of(q, r);

    json_open(j, NULL);
    admin_put_addr(j, "to", r->addr);
    if (r->marks & QMGR_EXPANDED)
        json_bool(j, "expanded", true);
    if (stored && stored->own_sender)
        json_str(j, "sender", stored->sender);
    if (r->released)
        json_bool(j, "released", true);
    json_str(j, "state", cause_state(r));
    cause_put_then(j, r);
    json_uint(j, "attempts", r->attempts);
    if (r->warned)
        json_bool(j, "warned", true);
    if (next_ms)
        json_int(j, "next_try_ms", cause_wall(now, next_ms));
    cause_put_turn(j, q, r, now);
    if (r->reason.n)
        json_str(j, "reason", r->reason);
    if (r->before.n)
        json_str(j, "before", r->before);
    cause_put_frozen(j, q, r);
    if (r->dest.n)
        json_str(j, "destination", r->dest);
    if (r->site.n)
        json_str(j, "site", r->site);
    if (r->duplicate)
        json_bool(j, "duplicate", true);
    json_close(j);
}

/* What only the stored envelope has, of the few recipients that have it. */
static const struct envelope_rcpt *own_sender(struct qmgr *q, uint64_t seq, uint32_t rcpt,
                                              const struct sched_rcpt_info *r)
{
    const struct envelope *env =
        r->marks & QMGR_OWN_SENDER ? store_envelope(q, seq) : NULL;
    return env && rcpt < env->rcpt_count ? &env->rcpts[rcpt] : NULL;
}

/* In order of age a list streams. Any other order is of the first `limit` of that order, which
 * are kept while all the others are looked at. With "head" the first row says how many there are,
 * and where; for mailq. */
struct list_kept {
    uint64_t age;
    uint64_t number;
    char text[48];
};

struct listing {
    struct query y;
    bool head; /* is to be said */
    struct query_sum sum;
    struct list_kept *rooms, *spare; /* NULL: in order of age. One more than may be kept */
    struct kept kept;
    size_t said;
    bool found_all;
    uint32_t part; /* of the message at hand */
};

enum { LIST_SORTED = 1000, LIST_SORTED_MAX = 10000, KEEP_UNITS = 4 };

static void list_gone(struct admin_ask *a)
{
    struct listing *l = a->own;
    query_free(&l->y);
    kept_free(&l->kept);
    free(l->rooms);
    free(l);
    a->own = NULL;
}

static void put_client(struct json *j, const struct sched_msg_info *m)
{
    struct netaddr client;
    struct buf b;
    query_client(m, &client);
    if (client.family == NETADDR_NONE)
        return;
    buf_init(&b, NETADDR_TEXT_MAX);
    netaddr_put_ip(&b, &client);
    json_str(j, "client", buf_span(&b));
    buf_free(&b);
}

static void put_message(struct json *j, const struct sched_msg_info *m, struct sched_now now,
                        uint32_t part)
{
    json_str(j, "id", span_str(queueid_make(m->seq, m->received_ms).text));
    if (part)
        json_uint(j, "part", part);
    json_int(j, "received_ms", m->received_ms);
    json_int(j, "age_ms", now.wall_ms - m->received_ms);
    json_uint(j, "size", m->size_bytes);
    if (m->flags & ENVELOPE_8BITMIME)
        json_bool(j, "eightbit", true);
    admin_put_addr(j, "sender", m->sender);
    json_str(j, "listener", sched_msg_listener(m->here));
    put_client(j, m);
    json_uint(j, "rcpts", m->rcpt_count);
    json_uint(j, "waiting", m->live_count);
}

/* A message with many recipients takes several rows, which say so. Of a message that was looked
 * for by its recipients, those are shown. False: the slice is over before the last of them. */
static bool send_message(struct admin_ask *a, struct listing *l, const struct sched_msg_info *m)
{
    enum { AT_LEAST = 64 }; /* in a row, if there are so many */
    struct qmgr *q = a->q;
    struct sched_now now = qmgr_now(q);
    struct buf b;
    struct sched_rcpt_info r;
    uint32_t i = l->y.rest;
    l->part = i ? l->part + 1 : 0;
    buf_init(&b, ADMIN_ROW_MAX);
    struct json j = json_writer(&b);
    json_open(&j, NULL);
    put_message(&j, m, now, l->part);
    json_open_array(&j, "recipients");
    for (uint32_t n = 0; i < m->rcpt_count && b.len < ADMIN_PART_BYTES &&
                         (n < AT_LEAST || !admin_spent(a, 1)); i++, n++)
        if (sched_msg_rcpt(m->here, i, &r) && query_rcpt(&l->y, m, &r))
            put_rcpt(&j, &r, q, now, own_sender(q, m->seq, i, &r));
    json_close_array(&j);
    json_close(&j);
    admin_row(a, &b);
    buf_free(&b);
    query_rest(&l->y, i < m->rcpt_count ? i : 0);
    return i >= m->rcpt_count;
}

static int kept_cmp(const void *pa, const void *pb)
{
    const struct list_kept *a = pa, *b = pb;
    int by_text = memcmp(a->text, b->text, sizeof a->text);
    if (by_text)
        return by_text;
    if (a->number != b->number)
        return a->number < b->number ? -1 : 1;
    return a->age < b->age ? -1 : a->age > b->age;
}

static void begin_key(const struct query *y, const struct sched_msg_info *m, struct list_kept *k)
{
    *k = (struct list_kept){ .age = m->age };
    if (y->sort == QUERY_SIZE)
        k->number = UINT64_MAX - m->size_bytes; /* the largest first */
    else if (y->sort == QUERY_NEXT)
        k->number = UINT64_MAX;
}

/* True: no other recipient matters. */
static bool key_of(const struct query *y, const struct sched_rcpt_info *r, struct list_kept *k)
{
    if (y->sort == QUERY_DOMAIN) {
        struct span d = span_to(r->addr.domain, sizeof k->text);
        if (d.n)
            memcpy(k->text, d.p, d.n);
        return true;
    }
    int64_t next_ms = next_of(y->a->q, r);
    if (next_ms && (uint64_t)next_ms < k->number)
        k->number = (uint64_t)next_ms;
    return false;
}

/* False: the slice is over; the message comes again, and k is to be as it is now. */
static bool sort_key(struct query *y, const struct sched_msg_info *m, struct list_kept *k)
{
    struct sched_rcpt_info r;
    uint32_t i = y->rest;
    bool found = y->sort == QUERY_SIZE, over = false;
    if (!i)
        begin_key(y, m, k);
    for (; !found && !over && sched_msg_rcpt(m->here, i, &r); i++) {
        found = query_rcpt(y, m, &r) && key_of(y, &r, k);
        over = i && admin_slice_spent(y->slice, 1); /* the first one goes with its message */
    }
    over = over && !found && i < m->rcpt_count;
    query_rest(y, over ? i : 0);
    return !over;
}

/* What is not kept is the room for the next. */
static void keep(struct listing *l, const struct sched_msg_info *m)
{
    struct list_kept *k = l->spare ? l->spare : &l->rooms[l->kept.n];
    if (sort_key(&l->y, m, k))
        l->spare = kept_offer(&l->kept, k);
}

/* False: the slice is over. */
static bool find_all(struct admin_ask *a, struct listing *l, int64_t begun_ns)
{
    struct sched_msg_info m;
    enum query_got got = QUERY_END;
    while (!l->found_all && (got = query_next(&l->y, begun_ns, &m)) == QUERY_ONE) {
        keep(l, &m);
        if (admin_spent(a, KEEP_UNITS)) /* recipients: sort_key */
            return false;
    }
    if (got == QUERY_LATER)
        return false;
    if (!l->found_all)
        kept_sort(&l->kept);
    l->found_all = true;
    while (kept_step(&l->kept))
        if (admin_spent(a, KEEP_UNITS))
            return false;
    return true;
}

static void say_head(struct admin_ask *a, struct listing *l)
{
    const struct config_texts *d = &a->q->config->spool.directories;
    struct buf b;
    buf_init(&b, 8192);
    struct json j = json_writer(&b);
    json_open(&j, NULL);
    json_uint(&j, "total", l->sum.messages);
    json_str(&j, "directory", d->n ? d->v[0] : SPAN_NONE);
    json_close(&j);
    admin_row(a, &b);
    buf_free(&b);
    l->head = false;
    query_again(&l->y, false);
}

static enum query_got list_next(struct admin_ask *a, struct listing *l, int64_t begun_ns,
                                struct sched_msg_info *m)
{
    if (!l->rooms)
        return query_next(&l->y, begun_ns, m);
    for (; l->said < l->kept.n; l->said++, l->y.rest = 0) {
        const struct list_kept *k = l->kept.v[l->said];
        if (sched_age_get(a->q->sched, k->age, m))
            return QUERY_ONE;
    }
    return QUERY_END;
}

static void list_slice(struct admin_ask *a)
{
    struct listing *l = a->own;
    struct sched_msg_info m;
    int64_t begun_ns = loop_fresh_ns(a->q->env->loop);
    if (l->head) {
        if (query_count(&l->y, begun_ns, true, &l->sum) == QUERY_END)
            say_head(a, l);
        admin_next(a);
        return;
    }
    if (l->rooms && !find_all(a, l, begun_ns)) {
        admin_next(a);
        return;
    }
    while (a->done < l->y.limit) {
        enum query_got got = list_next(a, l, begun_ns, &m);
        if (got == QUERY_END)
            break;
        if (got == QUERY_ONE) {
            bool all = send_message(a, l, &m);
            a->done += all;
            l->said += all;
        }
        if (got == QUERY_LATER || a->now.over) {
            admin_next(a);
            return;
        }
    }
    admin_end(a, ADMIN_OK, "");
}

static int take_head(struct admin_ask *a, struct span arg, struct err *err)
{
    struct listing *l = a->own;
    (void)err;
    return span_eq(arg, SPAN("head")) ? l->head = true : 0;
}

void admin_list(struct admin_ask *a, struct wire *args)
{
    struct listing *l = NEW(struct listing);
    a->own = l;
    a->own_gone = list_gone;
    if (!query_init(&l->y, a, args, take_head))
        return;
    if (l->y.sort == QUERY_COUNT) {
        admin_end(a, EX_USAGE, "messages are sorted by age, size, domain or next");
        return;
    }
    if (l->y.sort != QUERY_AGE) {
        size_t max = l->y.limit == UINT64_MAX        ? LIST_SORTED
                     : l->y.limit > LIST_SORTED_MAX ? LIST_SORTED_MAX
                                                    : (size_t)l->y.limit;
        kept_init(&l->kept, max, kept_cmp);
        l->rooms = must_calloc(max + 1, sizeof *l->rooms);
    }
    a->slice = list_slice;
}

/* --- count --- */

/* Of answering questions, since this was asked last. */
static void put_cost(struct json *j, struct admin_cost c)
{
    json_open(j, "slices");
    json_uint(j, "count", c.slices);
    json_uint(j, "units", c.units);
    json_uint(j, "units_max", c.units_max);
    json_int(j, "longest_us", c.longest_ns / 1000);
    json_int(j, "cpu_longest_us", c.cpu_longest_ns / 1000);
    json_int(j, "all_us", c.all_ns / 1000);
    json_close(j);
}

struct counting {
    struct query y;
    struct query_sum sum;
    uint64_t upto; /* the age of the newest message */
    bool sure;     /* no upper bound is wanted */
    bool all; /* without a filter: */
    bool walking;
    struct queue_walk walk;
    uint64_t states[QUEUE_STATES];
};

/* A filter by site or host cannot mean them. */
static void put_unsited(struct json *j, const struct qmgr *q)
{
    uint64_t n = sched_totals(q->sched).unsited;
    if (n)
        json_uint(j, "site_unknown", n);
}

static void say_all(struct admin_ask *a, const struct counting *c)
{
    struct sched_totals t = sched_totals(a->q->sched);
    struct spool_stat st = spool_stat(a->q->spool);
    struct buf b;
    buf_init(&b, 8192);
    struct json j = json_writer(&b);
    json_open(&j, NULL);
    json_uint(&j, "messages", t.messages);
    json_uint(&j, "bytes", t.bytes);
    admin_put_states(&j, c->states);
    json_uint(&j, "jobs", t.jobs);
    json_uint(&j, "destinations", t.dests);
    json_uint(&j, "sites", t.sites);
    put_unsited(&j, a->q);
    json_uint(&j, "spool_disk_bytes", st.disk_bytes);
    json_uint(&j, "spool_segments", st.segments);
    json_bool(&j, "spool_full", a->q->full);
    json_uint(&j, "upto", c->upto);
    put_cost(&j, admin_cost(a->q));
    json_close(&j);
    admin_row(a, &b);
    buf_free(&b);
    admin_end(a, ADMIN_OK, "");
}

/* All the cells of the index: in several slices they may be of several moments. */
static void all_slice(struct admin_ask *a, struct counting *c)
{
    enum { CELL_UNITS = 2 };
    struct queue_cell *cell;
    if (!c->walking)
        queue_walk_begin(&c->walk, sched_index(a->q->sched), QUEUE_RCPTS);
    c->walking = true;
    while ((cell = queue_walk_next(&c->walk)) != NULL) {
        struct sched_cell_info info;
        sched_cell(cell, &info);
        c->states[info.state] += cell->ages.count;
        if (admin_spent(a, CELL_UNITS)) {
            admin_next(a);
            return;
        }
    }
    say_all(a, c);
}

static void say_sum(struct admin_ask *a, const struct counting *c)
{
    const struct query *y = &c->y;
    const struct query_sum *sum = &c->sum;
    struct buf b;
    buf_init(&b, 1024);
    struct json j = json_writer(&b);
    json_open(&j, NULL);
    json_uint(&j, "messages", sum->messages);
    if (sum->shared)
        json_bool(&j, "messages_at_most", true);
    json_uint(&j, "bytes", sum->bytes);
    if (!y->planned || y->kind == QUEUE_RCPTS || !y->exact)
        json_uint(&j, "recipients", sum->recipients);
    if (y->fields & (QUERY_FIELD(QUEUE_SITE) | QUERY_FIELD(QUEUE_TARGET)))
        put_unsited(&j, a->q);
    json_uint(&j, "upto", c->upto);
    json_close(&j);
    admin_row(a, &b);
    buf_free(&b);
    admin_end(a, ADMIN_OK, "");
}

static void count_gone(struct admin_ask *a)
{
    struct counting *c = a->own;
    if (c->walking)
        queue_walk_end(&c->walk);
    if (!c->all)
        query_free(&c->y);
    free(c);
    a->own = NULL;
}

/* Where the cells of the index are the answer, nothing is looked at. */
static void count_slice(struct admin_ask *a)
{
    struct counting *c = a->own;
    if (c->all) {
        all_slice(a, c);
        return;
    }
    int64_t begun_ns = loop_fresh_ns(a->q->env->loop);
    if (query_count(&c->y, begun_ns, c->sure, &c->sum) == QUERY_END)
        say_sum(a, c);
    else
        admin_next(a);
}

static int take_sure(struct admin_ask *a, struct span arg, struct err *err)
{
    struct counting *c = a->own;
    (void)err;
    return span_eq(arg, SPAN("sure")) ? c->sure = true : 0;
}

void admin_count(struct admin_ask *a, struct wire *args)
{
    struct counting *c = NEW(struct counting);
    c->upto = sched_walk_end(a->q->sched);
    c->all = !args->rest.n;
    a->own = c;
    a->own_gone = count_gone;
    if (!c->all && !query_init(&c->y, a, args, take_sure))
        return;
    a->slice = count_slice;
}
