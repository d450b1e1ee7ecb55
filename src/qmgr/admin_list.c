/* What is in the queue, as JSON: messages, totals, destinations and sites. */
#include "qmgr/admin.h"

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

/* A message with many recipients takes several rows, which say so. Returns the bytes sent. */
static size_t send_message(struct admin_ask *a, const struct sched_msg_info *m)
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
        json_uint(&j, "rcpts", m->rcpt_count);
        json_uint(&j, "waiting", m->live_count);
        json_open_array(&j, "recipients");
        while (i < m->rcpt_count && b.len < ADMIN_PART_BYTES)
            if (sched_rcpt(q->sched, m->seq, i++, &r))
                put_rcpt(&j, &r, now, own_sender(q, m->seq, i - 1, &r));
        json_close_array(&j);
        json_close(&j);
        bytes += b.len;
        admin_row(a, &b);
        buf_free(&b);
    }
    return bytes;
}

static void list_slice(struct admin_ask *a)
{
    struct sched_msg_info m;
    int64_t begun_ns = loop_fresh_ns(a->q->env->loop);
    size_t rows = 0, bytes = 0;
    while (a->done < a->limit && sched_cursor_next(a->q->sched, a->cursor, &m)) {
        bytes += send_message(a, &m);
        a->cursor = m.seq;
        a->done++;
        if (admin_enough(a, begun_ns, ++rows, bytes)) {
            admin_slice_over(a);
            return;
        }
    }
    admin_end(a, ADMIN_OK, "");
}

void admin_list(struct admin_ask *a, struct wire *args)
{
    if (!take_limit(a, args, UINT64_MAX, UINT64_MAX))
        return;
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

void admin_count(struct admin_ask *a, struct wire *args)
{
    struct sched_totals t = sched_totals(a->q->sched);
    struct spool_stat st = spool_stat(a->q->spool);
    struct buf b;
    (void)args;
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
