/* The index of groups and the order of age, under random operations on the schedule, against a
 * naive model that looks at every recipient. A failing seed is printed and repeats the run:
 * test_queue_model SEED. */
#include "sched_each.h"
#include "base/must.h"
#include "base/num.h"
#include "queue/reason.h"
#include "sched/sched.h"
#include "sched/walk.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { STEPS = 30000, LOOK_EVERY = 500, JOBS_MAX = 40, CELLS_MAX = 20000, RCPTS_MAX = 5,
       REASON_EVERY = 50 };

static uint64_t seed_now;

#define HOLDS(cond) \
    do { \
        if (!(cond)) { \
            printf("not ok queue_model: seed %" PRIu64 ": %s:%d: %s\n", seed_now, __FILE__, \
                   __LINE__, #cond); \
            exit(1); \
        } \
    } while (0)

struct world {
    struct sched *s;
    uint64_t random, next_seq;
    struct sched_now now;
    struct sched_job jobs[JOBS_MAX];
    uint32_t job_rcpts[JOBS_MAX];
    size_t job_count;
    uint64_t looks, members, reasons;
};

static uint64_t below(struct world *w, uint64_t n)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return w->random % n;
}

/* --- operations --- */

static struct span name(char *to, size_t n, const char *before, uint64_t i, const char *after)
{
    snprintf(to, n, "%s%u%s", before, (unsigned)i, after);
    return span_str(to);
}

static void add(struct world *w)
{
    static const uint8_t client_lens[] = { 0, 4, 16 };
    struct sched_entry_rcpt rcpts[RCPTS_MAX];
    char addrs[RCPTS_MAX][64], sender[64], listener[32];
    uint32_t n = 1 + (uint32_t)below(w, below(w, 3) ? 1 : RCPTS_MAX);
    for (uint32_t i = 0; i < n; i++)
        rcpts[i] = (struct sched_entry_rcpt){
            .addr = name(addrs[i], sizeof addrs[i], "r@d", below(w, 7), ".example"),
            .held = below(w, 20) == 0,
            .quarantined = below(w, 2) == 0,
            .reason = below(w, 4) ? SPAN_NONE : SPAN("451 4.7.1 later"),
            .next_try_wall_ms = below(w, 10) ? 0 : w->now.wall_ms + (int64_t)below(w, 90000000),
            .attempts = below(w, 10) == 0,
        };
    struct sched_entry e = { .seq = w->next_seq ^ below(w, 4), /* not quite in order */
                             .received_ms = w->now.wall_ms - (int64_t)below(w, 5000),
                             .size_bytes = below(w, 100000),
                             .flags = below(w, 30) ? 0 : ENVELOPE_QUEUE_ONLY,
                             .sender = name(sender, sizeof sender, "s@o", below(w, 9), ".example"),
                             .listener = name(listener, sizeof listener, "l", below(w, 3), ""),
                             .client_len = client_lens[below(w, 3)],
                             .client = { 192, 0, 2, (uint8_t)below(w, 9) },
                             .rcpts = rcpts,
                             .rcpt_count = n };
    w->next_seq += 4;
    HOLDS(sched_add(w->s, &e, w->now));
}

static void route(struct world *w)
{
    struct sched_ask asks[32];
    size_t n = sched_next_to_route(w->s, w->now, asks, 1 + below(w, 32));
    for (size_t i = 0; i < n; i++) {
        struct sched_verdict v;
        char text[64];
        uint64_t dice = below(w, 20);
        enum sched_decision d = dice < 16  ? SCHED_TO
                                : dice < 17 ? SCHED_NO
                                : dice < 18 ? SCHED_NOT_NOW
                                : dice < 19 ? SCHED_HOLD
                                            : SCHED_WAIT;
        sched_routed(w->s, asks[i].seq, asks[i].rcpt, d,
                     name(text, sizeof text, "dest", below(w, 6), ""), w->now, &v);
    }
}

static void start(struct world *w)
{
    struct sched_job *j = &w->jobs[w->job_count];
    char site[32];
    if (w->job_count == JOBS_MAX || !sched_next_job(w->s, w->now, j))
        return;
    w->job_rcpts[w->job_count++] = j->rcpt_count;
    if (below(w, 2))
        sched_bind(w->s, j->id, name(site, sizeof site, "site", below(w, 3), ""));
}

static void end(struct world *w)
{
    static const char *const reasons[] = { "450 4.2.1 mailbox busy, id 7A3345X1",
                                           "450 4.2.1 mailbox busy, id 9B99217Z",
                                           "Connection refused by mx.example" };
    if (!w->job_count)
        return;
    size_t at = below(w, w->job_count);
    struct sched_outcome out[SCHED_JOB_RCPTS_MAX];
    struct sched_verdict v[SCHED_JOB_RCPTS_MAX];
    bool down = below(w, 4) == 0;
    for (uint32_t i = 0; i < w->job_rcpts[at]; i++)
        out[i] = (struct sched_outcome){
            .kind = down            ? SCHED_OUT_SITE
                    : below(w, 3)   ? SCHED_OUT_DEFERRED
                    : below(w, 4)   ? SCHED_OUT_DELIVERED
                                    : SCHED_OUT_FAILED,
            .reason = span_str(reasons[below(w, 3)]),
        };
    struct sched_result res = { .outcomes = out,
                                .news = down ? SCHED_NEWS_DOWN : SCHED_NEWS_OK,
                                .why = down ? SPAN("no host answers") : SPAN_NONE };
    if (below(w, 20))
        HOLDS(sched_job_result(w->s, w->jobs[at].id, &res, w->now, v));
    else
        HOLDS(sched_job_lost(w->s, w->jobs[at].id, w->now, v));
    w->job_count--;
    w->jobs[at] = w->jobs[w->job_count];
    w->job_rcpts[at] = w->job_rcpts[w->job_count];
}

/* A domain, a destination or a site. */
static struct span name_of_any(struct world *w, char *to, size_t n)
{
    static const char *const kinds[][2] = { { "d", ".example" }, { "dest", "" }, { "site", "" } };
    uint64_t kind = below(w, 3);
    return name(to, n, kinds[kind][0], below(w, 3), kinds[kind][1]);
}

static void by_hand(struct world *w)
{
    struct sched_msg_info m;
    uint64_t seq = 1 + below(w, w->next_seq + 1);
    while (seq <= w->next_seq && !sched_msg(w->s, seq, &m))
        seq++;
    if (seq > w->next_seq)
        return;
    uint32_t rcpt = below(w, 2) ? SCHED_ALL : (uint32_t)below(w, m.rcpt_count);
    char text[64];
    switch (below(w, 8)) {
    case 6: sched_freeze(w->s, name_of_any(w, text, sizeof text)); break;
    case 7:
        for (int i = 0; i < 3; i++)
            sched_thaw(w->s, name_of_any(w, text, sizeof text));
        break;
    case 0: sched_hold(w->s, m.seq, rcpt, SPAN("held by somebody")); break;
    case 1: sched_release(w->s, m.seq, rcpt, SPAN("released by x"), w->now); break;
    case 2: sched_delete(w->s, m.seq, rcpt); break;
    case 3: sched_run_queue(w->s); break;
    case 4: sched_routes_changed(w->s); break;
    default: sched_retry(w->s, m.seq, rcpt, w->now); break;
    }
}

static void events(struct world *w)
{
    struct sched_event ev;
    while (sched_next_event(w->s, w->now, &ev))
        if (ev.kind == SCHED_EVENT_EXPIRED && below(w, 5) == 0)
            sched_hold_failed(w->s, ev.seq, ev.rcpt, SPAN("nobody to be told"), SPAN("no"));
}

static void step(struct world *w)
{
    uint64_t dice = below(w, 100), seq;
    int64_t ms = (int64_t)below(w, below(w, 200) ? 2000 : 12 * 3600000);
    w->now.mono_ms += ms;
    w->now.wall_ms += ms;
    if (dice < 25)
        add(w);
    else if (dice < 45)
        route(w);
    else if (dice < 65)
        start(w);
    else if (dice < 85)
        end(w);
    else if (dice < 95)
        by_hand(w);
    else
        events(w);
    if (below(w, 3) == 0)
        while (sched_next_gone(w->s, &seq))
            ;
}

/* --- the naive model: what all recipients together say --- */

struct sum {
    char key[400];
    uint64_t messages, recipients, bytes, oldest, newest, last;
    int64_t next_ms;
};

struct sums {
    struct sum *v;
    size_t n;
};

static struct sum *sum_of(struct sums *all, struct span key)
{
    for (size_t i = 0; i < all->n; i++)
        if (span_eq(span_str(all->v[i].key), key))
            return &all->v[i];
    HOLDS(all->n < CELLS_MAX && key.n < sizeof all->v->key);
    struct sum *s = &all->v[all->n++];
    *s = (struct sum){ .oldest = UINT64_MAX };
    memcpy(s->key, key.p, key.n);
    return s;
}

static void count(struct sum *s, const struct sched_msg_info *m, int64_t next_ms)
{
    if (s->last != m->age) { /* messages come one after the other */
        s->messages++;
        s->bytes += m->size_bytes;
    }
    s->last = m->age;
    s->recipients++;
    s->oldest = m->age < s->oldest ? m->age : s->oldest;
    s->newest = m->age > s->newest ? m->age : s->newest;
    if (next_ms && (!s->next_ms || next_ms < s->next_ms))
        s->next_ms = next_ms;
}

static void key_of(struct buf *b, struct span domain, struct span dest, struct span class,
                   enum queue_state state)
{
    buf_reset(b);
    buf_printf(b, "%.*s/%.*s/%.*s/%s", SPAN_ARG(domain), SPAN_ARG(dest), SPAN_ARG(class),
               queue_state_name(state));
}

/* Of a class, as the walk over reasons tells it; and whether it has told of this one. */
struct told {
    struct span class, reason;
    bool found;
};

static void on_reason(void *arg, struct span class, struct span reason, struct span before)
{
    (void)before;
    struct told *t = arg;
    t->found |= span_eq(class, t->class) && span_eq(reason, t->reason);
}

static bool is_told(const struct world *w, struct span class, struct span reason)
{
    struct told t = { .class = class, .reason = reason };
    struct sched_reason_walk walk = { 0 };
    while (sched_walk_reasons(w->s, &walk, on_reason, &t) > 0)
        ;
    return t.found;
}

/* Not the word of its place. */
static bool of_its_own(const struct world *w, const struct sched_rcpt_info *r)
{
    struct sched_place_info dest, site;
    if (r->frozen || r->state != SCHED_READY)
        return !r->frozen;
    HOLDS(sched_dest(w->s, r->dest, &dest) && sched_site_of(w->s, r->dest, &site));
    return !dest.why.n && !site.why.n;
}

/* Each by itself: how many reasons there are is what the walk is for. */
static void look_at_reason(struct world *w, const struct sched_rcpt_info *r, struct span class)
{
    if (r->reason.n && of_its_own(w, r) && w->members % REASON_EVERY == 0) {
        HOLDS(is_told(w, class, r->reason));
        w->reasons++;
    }
}

static void client_key(struct buf *b, struct span ip, struct span listener)
{
    buf_reset(b);
    for (size_t i = 0; i < ip.n; i++)
        buf_printf(b, "%u.", (unsigned char)ip.p[i]);
    buf_printf(b, "/%.*s", SPAN_ARG(listener));
}

static void look_naively(struct world *w, struct sums *rcpts, struct sums *messages,
                         struct sums *clients)
{
    struct sched_msg_info m;
    struct sched_rcpt_info r;
    struct buf b;
    buf_init(&b, 4096);
    for (uint64_t age = 0; sched_each(w->s, &age, &m);) {
        buf_reset(&b);
        sched_addr_put(&b, m.sender);
        buf_printf(&b, "/%.*s", SPAN_ARG(sched_msg_listener(m.here)));
        count(sum_of(messages, buf_span(&b)), &m, 0);
        client_key(&b, sched_msg_client(m.here), sched_msg_listener(m.here));
        count(sum_of(clients, buf_span(&b)), &m, 0);
        for (uint32_t i = 0; sched_rcpt(w->s, m.seq, i, &r); i++) {
            char class[QUEUE_CLASS_MAX];
            if (r.state >= SCHED_LIVE)
                continue;
            size_t n = queue_reason_class(r.reason, class);
            key_of(&b, r.addr.domain, r.dest, span_of(class, n), sched_queue_state(&r));
            count(sum_of(rcpts, buf_span(&b)), &m, r.next_try_ms);
            look_at_reason(w, &r, span_of(class, n));
            w->members++;
        }
    }
    buf_free(&b);
}

/* --- the index --- */

/* Cells that differ in what nobody sees (READY or on its way) are one group of the model's. */
static void add_cell(struct sums *all, struct span key, const struct queue_cell *c, int64_t next_ms)
{
    struct sum *s = sum_of(all, key);
    uint64_t oldest, newest;
    HOLDS(queue_set_from(&c->ages, 0, &oldest) && queue_set_max(&c->ages, &newest));
    s->messages += c->messages;
    s->bytes += c->bytes;
    s->recipients += c->ages.count;
    s->oldest = oldest < s->oldest ? oldest : s->oldest;
    s->newest = newest > s->newest ? newest : s->newest;
    if (next_ms && (!s->next_ms || next_ms < s->next_ms))
        s->next_ms = next_ms;
}

static void look_at_index(struct world *w, struct sums *rcpts, struct sums *messages,
                          struct sums *clients)
{
    struct queue_walk walk;
    struct queue_cell *c;
    struct sched_cell_info info;
    struct buf b;
    buf_init(&b, 4096);
    queue_walk_begin(&walk, sched_index(w->s), QUEUE_RCPTS);
    while ((c = queue_walk_next(&walk)) != NULL) {
        char class[QUEUE_CLASS_MAX];
        sched_cell(c, &info);
        size_t n = queue_reason_class(info.reason, class);
        key_of(&b, info.domain, info.dest, span_of(class, n), info.state);
        add_cell(rcpts, buf_span(&b), c, info.next_try_ms);
    }
    queue_walk_end(&walk);
    queue_walk_begin(&walk, sched_index(w->s), QUEUE_MESSAGES);
    while ((c = queue_walk_next(&walk)) != NULL) {
        sched_cell(c, &info);
        HOLDS(info.sender_known);
        buf_reset(&b);
        buf_printf(&b, "%.*s/%.*s", SPAN_ARG(info.sender), SPAN_ARG(info.listener));
        add_cell(messages, buf_span(&b), c, 0);
    }
    queue_walk_end(&walk);
    queue_walk_begin(&walk, sched_index(w->s), QUEUE_CLIENTS);
    while ((c = queue_walk_next(&walk)) != NULL) {
        sched_cell(c, &info);
        HOLDS(info.client_known);
        client_key(&b, info.client, info.listener);
        add_cell(clients, buf_span(&b), c, 0);
    }
    queue_walk_end(&walk);
    buf_free(&b);
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct sum *)a)->key, ((const struct sum *)b)->key);
}

/* Messages are exact only where one cell is one group; with several they are an upper bound. */
static void compare(struct sums *naive, struct sums *index, bool exact)
{
    HOLDS(naive->n == index->n);
    qsort(naive->v, naive->n, sizeof *naive->v, by_key);
    qsort(index->v, index->n, sizeof *index->v, by_key);
    for (size_t i = 0; i < naive->n; i++) {
        const struct sum *a = &naive->v[i], *b = &index->v[i];
        HOLDS(strcmp(a->key, b->key) == 0);
        HOLDS(a->recipients == b->recipients);
        HOLDS(exact ? a->messages == b->messages : a->messages <= b->messages);
        HOLDS(exact ? a->bytes == b->bytes : a->bytes <= b->bytes);
        HOLDS(a->oldest == b->oldest && a->newest == b->newest && a->next_ms == b->next_ms);
    }
}

static void look_at_order(struct world *w)
{
    struct sched_msg_info m, by_seq;
    uint64_t n = 0;
    int64_t last_ms = 0;
    uint64_t last = 0;
    for (uint64_t age = 0; sched_each(w->s, &age, &m); last = age, n++) {
        HOLDS(m.age > last && m.received_ms >= last_ms);
        HOLDS(sched_msg(w->s, m.seq, &by_seq) && by_seq.age == m.age);
        HOLDS(sched_age_get(w->s, m.age, &by_seq) && by_seq.seq == m.seq);
        last_ms = m.received_ms;
    }
    HOLDS(n == sched_totals(w->s).messages);
}

static void look(struct world *w)
{
    struct sums naive[QUEUE_KINDS], index[QUEUE_KINDS];
    for (int k = 0; k < QUEUE_KINDS; k++) {
        naive[k] = (struct sums){ .v = must_calloc(CELLS_MAX, sizeof(struct sum)) };
        index[k] = (struct sums){ .v = must_calloc(CELLS_MAX, sizeof(struct sum)) };
    }
    look_naively(w, &naive[QUEUE_RCPTS], &naive[QUEUE_MESSAGES], &naive[QUEUE_CLIENTS]);
    look_at_index(w, &index[QUEUE_RCPTS], &index[QUEUE_MESSAGES], &index[QUEUE_CLIENTS]);
    for (int k = 0; k < QUEUE_KINDS; k++)
        compare(&naive[k], &index[k], k != QUEUE_RCPTS);
    look_at_order(w);
    for (int k = 0; k < QUEUE_KINDS; k++) {
        free(naive[k].v);
        free(index[k].v);
    }
    w->looks++;
}

static void run(uint64_t seed)
{
    struct world *w = NEW(struct world);
    struct sched_config cfg;
    seed_now = seed;
    sched_config_defaults(&cfg);
    cfg.seed = seed + 1;
    w->random = seed * 0x9e3779b97f4a7c15u + 1;
    w->now = (struct sched_now){ 1000000, INT64_C(1700000000000) };
    w->next_seq = 4;
    w->s = sched_new(&cfg);
    for (int i = 0; i < STEPS; i++) {
        step(w);
        if (i % LOOK_EVERY == 0)
            look(w);
    }
    look(w);
    HOLDS(w->reasons > 100);
    sched_free(&w->s);
    printf("# seed %" PRIu64 ": %" PRIu64 " looks at %" PRIu64 " recipients in all\n", seed,
           w->looks, w->members);
    free(w);
}

int main(int argc, char **argv)
{
    uint64_t first = 1, last = 4;
    if (argc > 1 && num_u64(span_str(argv[1]), &first))
        last = first;
    for (uint64_t seed = first; seed <= last; seed++)
        run(seed);
    puts("ok queue_model");
    return 0;
}
