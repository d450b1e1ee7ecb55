/* What is in the queue, as JSON: messages, totals, destinations and sites. */
#include "qmgr/admin_query.h"

#include "base/must.h"
#include "base/num.h"
#include "proto/lists.h"

#include <stdlib.h>
#include <sysexits.h>

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

static void put_addr(struct json *j, const char *key, struct sched_addr addr)
{
    struct buf b;
    buf_init(&b, ENVELOPE_ADDR_MAX + 8);
    sched_addr_put(&b, addr);
    json_str(j, key, buf_span(&b));
    buf_free(&b);
}

/* --- list --- */

static void put_rcpt(struct json *j, const struct sched_rcpt_info *r, struct sched_now now,
                     const struct envelope_rcpt *stored)
{
    json_open(j, NULL);
    put_addr(j, "to", r->addr);
    if (r->marks & QMGR_EXPANDED)
        json_bool(j, "expanded", true);
    if (stored && stored->own_sender)
        json_str(j, "sender", stored->sender);
    if (r->released)
        json_bool(j, "released", true);
    json_str(j, "state", span_str(sched_state_name(r->state)));
    if (r->state < SCHED_LIVE)
        json_str(j, "waits_as", span_str(queue_state_name(sched_queue_state(r))));
    json_uint(j, "attempts", r->attempts);
    if (r->next_try_ms)
        json_int(j, "next_try_ms", now.wall_ms + (r->next_try_ms - now.mono_ms));
    if (r->reason.n)
        json_str(j, "reason", r->reason);
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

/* A message with many recipients takes several rows, which say so. Returns the bytes sent. Of a
 * message that was looked for by its recipients, those are shown. */
static size_t send_message(struct admin_ask *a, const struct query *y,
                           const struct sched_msg_info *m)
{
    struct qmgr *q = a->q;
    struct sched_now now = qmgr_now(q);
    size_t bytes = 0;
    for (uint32_t i = 0, part = 0; i < m->rcpt_count || part == 0; part++) {
        struct buf b;
        struct sched_rcpt_info r;
        buf_init(&b, ADMIN_ROW_MAX);
        struct json j = json_writer(&b);
        json_open(&j, NULL);
        json_str(&j, "id", span_str(queueid_make(m->seq, m->received_ms).text));
        if (part)
            json_uint(&j, "part", part);
        json_int(&j, "received_ms", m->received_ms);
        json_int(&j, "age_ms", now.wall_ms - m->received_ms);
        json_uint(&j, "size", m->size_bytes);
        put_addr(&j, "sender", m->sender);
        json_str(&j, "listener", sched_msg_listener(m->here));
        json_uint(&j, "rcpts", m->rcpt_count);
        json_uint(&j, "waiting", m->live_count);
        json_open_array(&j, "recipients");
        for (; i < m->rcpt_count && b.len < ADMIN_PART_BYTES; i++)
            if (sched_msg_rcpt(m->here, i, &r) && (!y->fields || query_rcpt(y, m, &r)))
                put_rcpt(&j, &r, now, own_sender(q, m->seq, i, &r));
        json_close_array(&j);
        json_close(&j);
        bytes += b.len;
        admin_row(a, &b);
        buf_free(&b);
    }
    return bytes;
}

/* In order of age a list streams. Any other order is of the first `limit` of that order, which
 * are kept while all the others are looked at. */
struct list_kept {
    uint64_t age;
    uint64_t number;
    char text[48];
};

struct listing {
    struct query y;
    struct list_kept *kept;
    size_t n, max, said;
    bool found_all;
};

enum { LIST_SORTED = 1000, LIST_SORTED_MAX = 10000 };

static void list_gone(struct admin_ask *a)
{
    struct listing *l = a->own;
    query_free(&l->y);
    free(l->kept);
    free(l);
    a->own = NULL;
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

static void sort_key(const struct query *y, const struct sched_msg_info *m, struct list_kept *k)
{
    struct sched_rcpt_info r;
    *k = (struct list_kept){ .age = m->age };
    if (y->sort == QUERY_SIZE) {
        k->number = UINT64_MAX - m->size_bytes; /* the largest first */
        return;
    }
    k->number = y->sort == QUERY_NEXT ? UINT64_MAX : 0;
    for (uint32_t i = 0; sched_msg_rcpt(m->here, i, &r); i++) {
        if (!query_rcpt(y, m, &r))
            continue;
        if (y->sort == QUERY_DOMAIN) {
            struct span d = span_to(r.addr.domain, sizeof k->text);
            if (d.n)
                memcpy(k->text, d.p, d.n);
            return;
        }
        if (r.next_try_ms && (uint64_t)r.next_try_ms < k->number)
            k->number = (uint64_t)r.next_try_ms;
    }
}

/* A binary heap with the worst in front. */
static void keep_sift(struct listing *l, size_t at)
{
    for (;;) {
        size_t worst = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < l->n; child++)
            if (kept_cmp(&l->kept[child], &l->kept[worst]) > 0)
                worst = child;
        if (worst == at)
            return;
        struct list_kept k = l->kept[at];
        l->kept[at] = l->kept[worst];
        l->kept[worst] = k;
        at = worst;
    }
}

static void keep(struct listing *l, const struct sched_msg_info *m)
{
    struct list_kept k;
    sort_key(&l->y, m, &k);
    if (l->n < l->max) {
        size_t at = l->n++;
        for (; at && kept_cmp(&l->kept[(at - 1) / 2], &k) < 0; at = (at - 1) / 2)
            l->kept[at] = l->kept[(at - 1) / 2];
        l->kept[at] = k;
    } else if (l->n && kept_cmp(&k, &l->kept[0]) < 0) {
        l->kept[0] = k;
        keep_sift(l, 0);
    }
}

/* False: the slice is over. */
static bool find_all(struct admin_ask *a, struct listing *l, int64_t begun_ns)
{
    struct sched_msg_info m;
    enum query_got got;
    size_t n = 0;
    while ((got = query_next(&l->y, begun_ns, &m)) == QUERY_ONE) {
        keep(l, &m);
        if (++n % 64 == 0 && query_time_is_up(&l->y, begun_ns))
            return false;
    }
    (void)a;
    if (got == QUERY_LATER)
        return false;
    qsort(l->kept, l->n, sizeof *l->kept, kept_cmp);
    return l->found_all = true;
}

static enum query_got list_next(struct admin_ask *a, struct listing *l, int64_t begun_ns,
                                struct sched_msg_info *m)
{
    if (!l->kept)
        return query_next(&l->y, begun_ns, m);
    while (l->said < l->n)
        if (sched_age_get(a->q->sched, l->kept[l->said++].age, m))
            return QUERY_ONE;
    return QUERY_END;
}

static void list_slice(struct admin_ask *a)
{
    struct listing *l = a->own;
    struct sched_msg_info m;
    int64_t begun_ns = loop_fresh_ns(a->q->env->loop);
    size_t rows = 0, bytes = 0;
    if (l->kept && !l->found_all && !find_all(a, l, begun_ns)) {
        admin_slice_over(a);
        return;
    }
    while (a->done < l->y.limit) {
        enum query_got got = list_next(a, l, begun_ns, &m);
        if (got == QUERY_END)
            break;
        if (got == QUERY_ONE) {
            bytes += send_message(a, &l->y, &m);
            a->done++;
        }
        if (got == QUERY_LATER || admin_enough(a, begun_ns, ++rows, bytes)) {
            admin_slice_over(a);
            return;
        }
    }
    admin_end(a, ADMIN_OK, "");
}

void admin_list(struct admin_ask *a, struct wire *args)
{
    struct listing *l = NEW(struct listing);
    a->own = l;
    a->own_gone = list_gone;
    if (!query_init(&l->y, a, args, NULL))
        return;
    if (l->y.sort == QUERY_COUNT) {
        admin_end(a, EX_USAGE, "messages are sorted by age, size, domain or next");
        return;
    }
    if (l->y.sort != QUERY_AGE) {
        l->max = l->y.limit == UINT64_MAX        ? LIST_SORTED
                 : l->y.limit > LIST_SORTED_MAX ? LIST_SORTED_MAX
                                                : (size_t)l->y.limit;
        l->kept = must_calloc(l->max + 1, sizeof *l->kept);
    }
    a->slice = list_slice;
    list_slice(a);
}

/* --- count --- */

static void put_states(struct json *j, const uint64_t n[SCHED_LIVE])
{
    json_open(j, "recipients");
    for (int s = 0; s < SCHED_LIVE; s++)
        json_uint(j, sched_state_name((enum sched_state)s), n[s]);
    json_close(j);
}

static void count_all(struct admin_ask *a)
{
    struct sched_totals t = sched_totals(a->q->sched);
    struct spool_stat st = spool_stat(a->q->spool);
    struct buf b;
    buf_init(&b, 8192);
    struct json j = json_writer(&b);
    json_open(&j, NULL);
    json_uint(&j, "messages", t.messages);
    json_uint(&j, "bytes", t.bytes);
    put_states(&j, t.rcpts);
    json_uint(&j, "jobs", t.jobs);
    json_uint(&j, "destinations", t.dests);
    json_uint(&j, "sites", t.sites);
    json_uint(&j, "spool_disk_bytes", st.disk_bytes);
    json_uint(&j, "spool_segments", st.segments);
    json_bool(&j, "spool_full", a->q->full);
    json_close(&j);
    admin_row(a, &b);
    buf_free(&b);
    admin_end(a, ADMIN_OK, "");
}

static void say_sum(struct admin_ask *a, const struct query *y, const struct query_sum *sum)
{
    struct buf b;
    buf_init(&b, 1024);
    struct json j = json_writer(&b);
    json_open(&j, NULL);
    json_uint(&j, "messages", sum->messages);
    if (sum->shared)
        json_bool(&j, "messages_at_most", true);
    json_uint(&j, "bytes", sum->bytes);
    if (!y->planned || y->kind == QUEUE_RCPTS || !y->exact)
        json_uint(&j, "matching", sum->recipients);
    json_close(&j);
    admin_row(a, &b);
    buf_free(&b);
    admin_end(a, ADMIN_OK, "");
}

struct counting {
    struct query y;
    struct query_sum sum;
};

static void count_gone(struct admin_ask *a)
{
    struct counting *c = a->own;
    query_free(&c->y);
    free(c);
    a->own = NULL;
}

static void count_one(struct counting *c, const struct sched_msg_info *m)
{
    struct sched_rcpt_info r;
    c->sum.messages++;
    c->sum.bytes += m->size_bytes;
    for (uint32_t i = 0; sched_msg_rcpt(m->here, i, &r); i++)
        c->sum.recipients += query_rcpt(&c->y, m, &r);
}

/* Where the cells of the index are the answer, nothing is looked at. */
static void count_slice(struct admin_ask *a)
{
    struct counting *c = a->own;
    struct sched_msg_info m;
    int64_t begun_ns = loop_fresh_ns(a->q->env->loop);
    enum query_got got = query_plan(&c->y, begun_ns);
    if (got == QUERY_END && c->y.exact) {
        say_sum(a, &c->y, &c->y.sum);
        return;
    }
    for (size_t n = 1; got != QUERY_LATER; n++) {
        got = query_next(&c->y, begun_ns, &m);
        if (got == QUERY_END) {
            say_sum(a, &c->y, &c->sum);
            return;
        }
        if (got == QUERY_ONE)
            count_one(c, &m);
        if (n % 64 == 0 && query_time_is_up(&c->y, begun_ns))
            break;
    }
    admin_slice_over(a);
}

void admin_count(struct admin_ask *a, struct wire *args)
{
    if (!args->rest.n) {
        count_all(a);
        return;
    }
    struct counting *c = NEW(struct counting);
    a->own = c;
    a->own_gone = count_gone;
    if (!query_init(&c->y, a, args, NULL))
        return;
    a->slice = count_slice;
    count_slice(a);
}

/* --- destinations and sites: those that wait longest in line, a bounded number --- */

struct place {
    struct heap_node node; /* by how many wait there */
    bool is_site;
    struct sched_place_info info;
};

struct places {
    struct heap heap; /* the least of those kept is at its root */
    struct place *kept;
    size_t n, max;
    uint64_t seen;
    bool sites;
};

static uint64_t live_of(const struct sched_place_info *p)
{
    uint64_t n = 0;
    for (int s = 0; s < SCHED_LIVE; s++)
        n += p->rcpts[s];
    return n;
}

static void on_place(void *arg, const struct sched_place_info *p)
{
    struct places *all = arg;
    enum { DOWN_FIRST = 1 << 30 };
    uint64_t live = live_of(p);
    int64_t weight = (int64_t)live + (p->down_until_ms ? DOWN_FIRST : 0);
    struct place *at;
    if (!live && !p->active && !p->down_until_ms)
        return;
    all->seen++;
    if (all->n < all->max) {
        at = &all->kept[all->n++];
    } else {
        struct heap_node *least = heap_min(&all->heap);
        if (!least || least->key >= weight)
            return;
        heap_remove(&all->heap, least);
        at = CONTAINER(least, struct place, node);
    }
    *at = (struct place){ .is_site = all->sites, .info = *p };
    heap_add(&all->heap, &at->node, weight);
}

static int by_weight(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    if (x->node.key != y->node.key)
        return x->node.key < y->node.key ? 1 : -1;
    return span_cmp(x->info.key, y->info.key);
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

static void send_place(struct admin_ask *a, const struct place *p)
{
    struct sched_now now = qmgr_now(a->q);
    uint64_t n[SCHED_LIVE];
    struct buf b;
    buf_init(&b, ADMIN_ROW_MAX);
    struct json j = json_writer(&b);
    for (int s = 0; s < SCHED_LIVE; s++)
        n[s] = p->info.rcpts[s];
    json_open(&j, NULL);
    json_str(&j, p->is_site ? "site" : "destination", p->info.key);
    if (!p->is_site && p->info.site.n)
        json_str(&j, "site", p->info.site);
    put_states(&j, n);
    json_uint(&j, "active", p->info.active);
    if (p->info.limit)
        json_uint(&j, "limit", p->info.limit);
    put_pace(&j, &p->info, a->q->config);
    if (p->info.down_until_ms) {
        json_int(&j, "down_until_ms", now.wall_ms + (p->info.down_until_ms - now.mono_ms));
        json_uint(&j, "failures", p->info.down_level);
    }
    if (p->info.why.n)
        json_str(&j, "why", p->info.why);
    json_close(&j);
    admin_row(a, &b);
    buf_free(&b);
}

void admin_sites(struct admin_ask *a, struct wire *args)
{
    if (!take_limit(a, args, ADMIN_PLACES, ADMIN_PLACES_MAX))
        return;
    struct places all = { .max = a->limit };
    all.kept = must_calloc(all.max ? all.max : 1, sizeof *all.kept);
    heap_init(&all.heap);
    sched_each_dest(a->q->sched, on_place, &all);
    all.sites = true;
    sched_each_site(a->q->sched, on_place, &all);
    qsort(all.kept, all.n, sizeof *all.kept, by_weight);
    for (size_t i = 0; i < all.n; i++)
        send_place(a, &all.kept[i]);
    if (all.seen > all.n) {
        struct buf b;
        buf_init(&b, 128);
        buf_printf(&b, "{\"not_shown\":%llu}", (unsigned long long)(all.seen - all.n));
        admin_row(a, &b);
        buf_free(&b);
    }
    heap_free(&all.heap);
    free(all.kept);
    admin_end(a, ADMIN_OK, "");
}
