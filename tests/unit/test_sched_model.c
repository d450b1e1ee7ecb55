/* sched under random operations on simulated time, against what a naive model knows: every
 * recipient is in exactly one state and one list, concurrency is never above its limit, nothing
 * starts before it is due, nothing due is forgotten, and in the end every recipient has exactly
 * one final outcome; and no sender has more of a site's turns than another that waits there. A
 * failing seed is printed and repeats the run: test_sched_model SEED. */
#include "sched_each.h"
#include "base/must.h"
#include "base/num.h"
#include "sched/sched.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { MESSAGES_MAX = 4000, RCPTS_MAX = 12, DESTS = 12, SITES = 4, JOBS_MAX = 128, ASKS_MAX = 4096,
       RATE_MAX = 100 };
enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR };

struct model_rcpt {
    bool live, in_job, held, waiting;
    int finals;              /* outcomes told: at most one */
    int64_t not_before_ms;   /* of the last deferral */
    bool pushed;             /* retried by hand since */
};
struct model_msg {
    bool known, gone;
    int64_t received_ms;
    uint32_t rcpt_count;
    struct model_rcpt rcpts[RCPTS_MAX];
};
struct model_job {
    bool used;
    struct sched_job job;
    uint32_t rcpts[RCPTS_MAX];
    int64_t end_ms;
    int dest;
};
struct world {
    struct sched *s;
    struct sched_config cfg;
    uint64_t random;
    int64_t now_ms, wall_skew_ms;
    struct model_msg msgs[MESSAGES_MAX];
    uint64_t msg_count;
    struct model_job jobs[JOBS_MAX];
    struct sched_ask asks[ASKS_MAX];
    size_t ask_count;
    bool dead[SITES];     /* no host answers */
    struct sched_rule rules[SITES - 1]; /* of mx1 ... */
    struct begun {
        int64_t ms[RATE_MAX];
        uint64_t n;
    } begun[SITES];
    bool good;            /* the end: everything works */
    bool asks_sites, always_found;  /* before anything begins; and there always is an answer */
    bool site_asked[DESTS];
    struct sched_ahead pass;
    uint64_t yields, routed, expired, warned;
};

static uint64_t seed_now;

#define HOLDS(cond) \
    do { \
        if (!(cond)) { \
            printf("not ok sched_model: seed %" PRIu64 ": %s:%d: %s\n", seed_now, __FILE__, \
                   __LINE__, #cond); \
            exit(1); \
        } \
    } while (0)

static uint64_t draw(struct world *w, uint64_t below)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return (w->random >> 11) % below;
}

static struct sched_now now(const struct world *w)
{
    return (struct sched_now){ w->now_ms, 1790000000000 + w->now_ms + w->wall_skew_ms };
}

static void check_verdict(struct world *w, uint64_t seq, const struct sched_verdict *v)
{
    struct model_rcpt *r = &w->msgs[seq].rcpts[v->rcpt];
    HOLDS(r->live);
    r->in_job = false;
    r->pushed = false;
    r->held = v->state == SCHED_HELD;
    if (v->state >= SCHED_LIVE) {
        r->live = false;
        r->finals++;
    }
    r->not_before_ms = v->state == SCHED_DEFERRED ? v->next_try_ms : 0;
    HOLDS(v->state != SCHED_DEFERRED || v->next_try_ms >= w->now_ms);
    HOLDS(v->next_try_ms <= w->now_ms + w->cfg.retry_max_ms * 5 / 4);
}

static void add_message(struct world *w)
{
    if (w->msg_count == MESSAGES_MAX)
        return;
    uint64_t seq = w->msg_count++;
    struct model_msg *m = &w->msgs[seq];
    struct sched_entry_rcpt rcpts[RCPTS_MAX] = { 0 };
    char addrs[RCPTS_MAX][32];
    m->known = true;
    m->rcpt_count = 1 + (draw(w, 3) ? 0 : (uint32_t)draw(w, RCPTS_MAX));
    uint32_t flags = draw(w, 12) == 0 ? ENVELOPE_QUEUE_ONLY : draw(w, 15) == 0 ? ENVELOPE_HOLD : 0;
    for (uint32_t i = 0; i < m->rcpt_count; i++) {
        int n = snprintf(addrs[i], sizeof addrs[i], "u%u@d%u.example", i, (unsigned)draw(w, 50));
        rcpts[i].addr = span_of(addrs[i], (size_t)n);
        m->rcpts[i] = (struct model_rcpt){ .live = true, .held = flags == ENVELOPE_HOLD,
                                           .waiting = flags == ENVELOPE_QUEUE_ONLY };
    }
    m->received_ms = w->now_ms;
    char sender[32];
    int sent = snprintf(sender, sizeof sender, "s%u@example", (unsigned)draw(w, 6));
    struct sched_entry e = { .seq = seq, .received_ms = now(w).wall_ms, .flags = flags,
                             .sender = span_of(sender, (size_t)sent), .size_bytes = 1000,
                             .rcpts = rcpts, .rcpt_count = m->rcpt_count };
    HOLDS(sched_add(w->s, &e, now(w)));
}

static const char *const keys[DESTS] = { "d0", "d1", "d2", "d3", "d4", "d5",
                                         "d6", "d7", "d8", "d9", "d10", "d11" };

static void answer_ask(struct world *w, size_t i)
{
    struct sched_ask ask = w->asks[i];
    w->asks[i] = w->asks[--w->ask_count];
    uint64_t dice = w->good ? 99 : draw(w, 100);
    enum sched_decision d = dice < 2 ? SCHED_NO : dice < 5 ? SCHED_NOT_NOW : dice < 6 ? SCHED_HOLD
                            : dice < 7 ? SCHED_DISCARD : SCHED_TO;
    /* Mostly the same place each time, as routes are. */
    uint64_t dest = draw(w, 20) ? (ask.seq + ask.rcpt / 3) % DESTS : draw(w, DESTS);
    struct span text = d == SCHED_TO ? span_str(keys[dest]) : SPAN("the router said so");
    struct sched_verdict v;
    if (d == SCHED_TO && !w->asks_sites)
        sched_place(w->s, text, SPAN_NONE, (uint32_t)(dest % SITES));
    if (ask.ahead) {
        if (d == SCHED_TO)
            sched_routed_ahead(w->s, &ask, text, now(w));
        return;
    }
    if (sched_routed(w->s, ask.seq, ask.rcpt, d, text, now(w), &v))
        check_verdict(w, ask.seq, &v);
    w->routed++;
}

/* The rate as a rule of plain counting: as many as it allows and no more in any such time. */
static void check_rate(struct world *w, int site)
{
    const struct sched_rule *rule = site ? &w->rules[site - 1] : NULL;
    if (!rule || !rule->rate)
        return;
    struct begun *b = &w->begun[site];
    int64_t *oldest = &b->ms[b->n++ % rule->rate];
    HOLDS(b->n <= rule->rate || *oldest + rule->rate_ms <= w->now_ms);
    *oldest = w->now_ms;
}

/* Of some places more after a reload: until then nothing may begin there (take_job looks). */
static void tell_rules(struct world *w)
{
    struct span key;
    uint64_t dest;
    for (uint64_t n = w->good ? DESTS : draw(w, 5); n && sched_next_to_rule(w->s, &key); n--) {
        HOLDS(num_u64(span_from(key, 1), &dest));
        sched_place(w->s, key, SPAN_NONE, (uint32_t)(dest % SITES));
    }
}

static struct span site_of(int dest)
{
    static const char *const sites[SITES] = { "mx0", "mx1", "mx2", "mx3" };
    return span_str(sites[dest % SITES]);
}

/* Each destination is asked about once, and answered when it pleases. */
static void answer_sites(struct world *w, bool patient)
{
    struct span key;
    while (sched_next_to_place(w->s, &key) ||
           (draw(w, 2) && sched_next_to_place_ahead(w->s, &key))) {
        uint64_t dest;
        HOLDS(w->asks_sites && num_u64(span_from(key, 1), &dest) && !w->site_asked[dest]);
        w->site_asked[dest] = true;
    }
    for (int i = 0; i < DESTS; i++) {
        if (!w->site_asked[i] || (patient && draw(w, 3)))
            continue;
        bool found = w->always_found || w->good || draw(w, 8);
        w->site_asked[i] = false;
        sched_place(w->s, span_str(keys[i]), found ? site_of(i) : SPAN_NONE,
                    (uint32_t)(i % SITES));
        sched_placed(w->s, span_str(keys[i]), w->now_ms + 1 + (int64_t)draw(w, 2 * HOUR), found);
    }
}

/* What was begun for it is no more than its rule allows, counted by hand. */
static void check_concurrency(struct world *w, int dest)
{
    uint32_t n = 0, site = (uint32_t)dest % SITES;
    for (int i = 0; i < JOBS_MAX; i++)
        n += w->jobs[i].used && (uint32_t)w->jobs[i].dest % SITES == site;
    HOLDS(n <= (site ? w->rules[site - 1].site_max : w->cfg.site_max));
}

static bool take_job(struct world *w)
{
    struct sched_job job;
    struct model_job *j = w->jobs;
    while (j < w->jobs + JOBS_MAX && j->used)
        j++;
    if (j == w->jobs + JOBS_MAX || !sched_next_job(w->s, now(w), &job))
        return false;
    w->yields++;
    struct model_msg *m = &w->msgs[job.seq];
    HOLDS(m->known && !m->gone && job.rcpt_count > 0 && job.rcpt_count <= w->cfg.job_rcpts_max);
    for (uint32_t i = 0; i < job.rcpt_count; i++) {
        struct model_rcpt *r = &m->rcpts[job.rcpts[i]];
        HOLDS(r->live && !r->in_job && !r->held && !r->waiting);
        HOLDS(r->pushed || r->not_before_ms <= w->now_ms);
        r->in_job = true;
        j->rcpts[i] = job.rcpts[i];
    }
    if (job.site.n) {
        struct sched_place_info p;
        int site = job.site.p[2] - '0';
        HOLDS(sched_site_of(w->s, job.dest, &p) && span_eq(p.key, job.site));
        HOLDS(p.active <= p.limit && p.limit <= p.limit_max);
        HOLDS(p.limit_max == (site ? w->rules[site - 1].site_max : w->cfg.site_max));
        check_rate(w, site);
        HOLDS(!job.probe || p.active >= 1);
    }
    *j = (struct model_job){ .used = true, .job = job };
    uint64_t dest;
    HOLDS(num_u64(span_from(job.dest, 1), &dest));
    j->dest = (int)dest;
    for (uint32_t i = 0; i < job.rcpt_count; i++)
        j->rcpts[i] = job.rcpts[i];
    j->end_ms = w->now_ms + (int64_t)draw(w, 10 * SECOND);
    if (w->always_found) {
        HOLDS(span_eq(job.site, site_of(j->dest)));
        check_concurrency(w, j->dest);
    } else if (draw(w, 3)) {
        sched_place(w->s, job.dest, site_of(j->dest), (uint32_t)(j->dest % SITES));
    }
    return true;
}

static void finish_job(struct world *w, struct model_job *j)
{
    struct sched_outcome out[RCPTS_MAX];
    struct sched_verdict v[RCPTS_MAX];
    struct sched_result res = { .outcomes = out, .news = SCHED_NEWS_OK };
    bool dead = !w->good && w->dead[j->dest % SITES];
    uint64_t dice = w->good ? 99 : draw(w, 100);
    j->used = false;
    if (dice < 3) {
        HOLDS(sched_job_lost(w->s, j->job.id, now(w), v));
    } else {
        if (dead)
            res.news = draw(w, 4) ? SCHED_NEWS_DOWN : SCHED_NEWS_BUSY;
        else if (dice < 6)
            res.news = SCHED_NEWS_DEST_DOWN;
        else if (dice < 9)
            res.news = SCHED_NEWS_NONE;
        else if (dice < 14)
            res.news = SCHED_NEWS_SLOW;
        for (uint32_t i = 0; i < j->job.rcpt_count; i++) {
            uint64_t k = w->good ? 99 : draw(w, 100);
            enum sched_outcome_kind kind = res.news != SCHED_NEWS_OK && draw(w, 4)
                                               ? SCHED_OUT_SITE
                                           : k < 10 ? SCHED_OUT_FAILED
                                           : k < 30 ? SCHED_OUT_DEFERRED
                                           : k < 33 ? SCHED_OUT_UNKNOWN
                                           : k < 36 ? SCHED_OUT_STALE
                                           : dead ? SCHED_OUT_DEFERRED
                                                  : SCHED_OUT_DELIVERED;
            out[i] = (struct sched_outcome){ kind, SPAN("words of the peer") };
        }
        HOLDS(sched_job_result(w->s, j->job.id, &res, now(w), v));
    }
    HOLDS(!sched_job_lost(w->s, j->job.id, now(w), NULL));
    for (uint32_t i = 0; i < j->job.rcpt_count; i++) {
        HOLDS(v[i].rcpt == j->rcpts[i]);
        check_verdict(w, j->job.seq, &v[i]);
    }
}

static void take_events(struct world *w)
{
    struct sched_event ev;
    while (sched_next_event(w->s, now(w), &ev)) {
        struct model_msg *m = &w->msgs[ev.seq];
        struct model_rcpt *r = &m->rcpts[ev.rcpt];
        HOLDS(r->live && !r->held && !r->waiting);
        if (ev.kind == SCHED_EVENT_WARN) {
            HOLDS(w->now_ms >= m->received_ms + w->cfg.warn_after_ms);
            w->warned++;
            continue;
        }
        HOLDS(!r->in_job && w->now_ms >= m->received_ms + w->cfg.expire_after_ms);
        r->live = false;
        r->finals++;
        w->expired++;
    }
    uint64_t seq;
    while (sched_next_gone(w->s, &seq)) {
        struct model_msg *m = &w->msgs[seq];
        HOLDS(m->known && !m->gone);
        m->gone = true;
        for (uint32_t i = 0; i < m->rcpt_count; i++)
            HOLDS(!m->rcpts[i].live && m->rcpts[i].finals == 1);
    }
}

static void act(struct world *w)
{
    uint64_t seq = 1 + draw(w, w->msg_count - 1);
    struct model_msg *m = &w->msgs[seq];
    uint32_t i = draw(w, 2) ? SCHED_ALL : (uint32_t)draw(w, m->rcpt_count);
    uint64_t what = draw(w, 6);
    if (what == 0)
        sched_hold(w->s, seq, i, SPAN("held by hand"));
    else if (what == 1)
        sched_release(w->s, seq, i, SPAN_NONE, now(w));
    else if (what == 2 && draw(w, 4) == 0)
        sched_delete(w->s, seq, i);
    else if (what == 3)
        sched_retry(w->s, seq, i, now(w));
    /* The model learns what came of it; the other checks hold that against the flow. */
    for (uint32_t k = 0; k < m->rcpt_count && !m->gone; k++) {
        struct sched_rcpt_info r;
        struct model_rcpt *mr = &m->rcpts[k];
        HOLDS(sched_rcpt(w->s, seq, k, &r));
        if (mr->live && r.state >= SCHED_LIVE) {
            HOLDS(what == 2 && r.state == SCHED_DELETED && (i == SCHED_ALL || i == k));
            mr->live = false;
            mr->finals++;
        }
        mr->held = r.state == SCHED_HELD;
        mr->waiting = r.state == SCHED_WAITING;
        mr->pushed = mr->pushed || ((what == 1 || what == 3) && (i == SCHED_ALL || i == k));
    }
}

static void wake_all(struct world *w)
{
    if (draw(w, 2))
        sched_run_queue(w->s);
    else
        sched_routes_changed(w->s);
    for (uint64_t k = 1; k < w->msg_count; k++)
        for (uint32_t i = 0; i < w->msgs[k].rcpt_count; i++)
            w->msgs[k].rcpts[i].waiting = false;
}

/* Counts everything by hand and compares with the totals; when nothing can move at this moment,
 * looks for somebody who should have moved. */
static void audit(struct world *w, bool still)
{
    uint64_t n[SCHED_LIVE] = { 0 }, messages = 0, unsited = 0;
    struct sched_msg_info mi;
    for (uint64_t age = 0; sched_each(w->s, &age, &mi);) {
        messages++;
        uint32_t live = 0;
        for (uint32_t i = 0; i < mi.rcpt_count; i++) {
            struct sched_rcpt_info r;
            HOLDS(sched_rcpt(w->s, mi.seq, i, &r));
            const struct model_rcpt *mr = &w->msgs[mi.seq].rcpts[i];
            HOLDS(mr->live == (r.state < SCHED_LIVE));
            HOLDS(mr->in_job == (r.state == SCHED_ACTIVE));
            if (r.state >= SCHED_LIVE)
                continue;
            n[r.state]++;
            live++;
            unsited += !r.dest.n || (w->asks_sites && !r.site.n);
            HOLDS(!still || r.state != SCHED_PENDING);
            HOLDS(!still || r.state != SCHED_DEFERRED || r.next_try_ms > w->now_ms);
            if (!still || r.state != SCHED_READY || r.next_try_ms > w->now_ms)
                continue;
            /* READY, no back-off, nothing moves: its site is busy or paced. */
            struct sched_place_info p, site;
            HOLDS(sched_dest(w->s, r.dest, &p) && sched_site_of(w->s, r.dest, &site));
            HOLDS(site.active > 0 || site.paced_until_ms > w->now_ms || site.crowded);
        }
        HOLDS(live == mi.live_count);
    }
    struct sched_totals t = sched_totals(w->s);
    HOLDS(t.messages == messages && t.bytes == messages * 1000);
    for (int i = 0; i < SCHED_LIVE; i++)
        HOLDS(t.rcpts[i] == n[i]);
    HOLDS(t.unsited == unsited);
    uint32_t jobs = 0;
    for (int i = 0; i < JOBS_MAX; i++)
        jobs += w->jobs[i].used;
    HOLDS(t.jobs == jobs && t.silent_jobs <= jobs);
    struct sched_share_info trouble = sched_share(w->s, SCHED_TROUBLE);
    HOLDS(trouble.jobs <= trouble.max && trouble.max > 0);
    uint32_t counted = sched_share(w->s, SCHED_ANSWERS).jobs, most = w->cfg.jobs_max;
    HOLDS(counted <= most && jobs <= counted + (t.silent_jobs < most ? t.silent_jobs : most));
}

/* Where mail goes that is not due: whatever is learned, nothing moves by it. */
static void look_ahead(struct world *w)
{
    if (w->pass.over)
        w->pass = (struct sched_ahead){ 0 };
    if (w->ask_count + 64 < ASKS_MAX && draw(w, 4) == 0)
        w->ask_count += sched_next_ahead(w->s, now(w), &w->pass, w->asks + w->ask_count,
                                         1 + draw(w, 64));
}

/* One turn of the owner's loop; true when everything that could be asked now was. */
static bool turn(struct world *w)
{
    for (int i = 0; i < JOBS_MAX; i++)
        if (w->jobs[i].used && w->jobs[i].end_ms <= w->now_ms)
            finish_job(w, &w->jobs[i]);
    tell_rules(w);
    bool patient = !w->good && draw(w, 3) == 0; /* the router takes its time */
    for (;;) {
        bool any = false;
        look_ahead(w);
        answer_sites(w, patient);
        while (take_job(w))
            any = true;
        size_t n = sched_next_to_route(w->s, now(w), w->asks + w->ask_count,
                                       w->ask_count + 64 < ASKS_MAX ? 1 + draw(w, 64) : 0);
        w->ask_count += n;
        while (w->ask_count && !(patient && draw(w, 8) == 0))
            answer_ask(w, draw(w, w->ask_count));
        if (!any && n == 0)
            break;
    }
    take_events(w);
    for (int i = 0; i < DESTS; i++)
        if (w->site_asked[i])
            return false;
    return w->ask_count == 0 && sched_share(w->s, SCHED_ANSWERS).jobs < w->cfg.jobs_max &&
           sched_next_wake(w->s, now(w), SCHED_CAN_ROUTE | SCHED_CAN_START) > w->now_ms;
}

static void advance(struct world *w)
{
    int64_t next_ms = sched_next_wake(w->s, now(w), SCHED_CAN_ROUTE | SCHED_CAN_START);
    for (int i = 0; i < JOBS_MAX; i++)
        if (w->jobs[i].used && w->jobs[i].end_ms < next_ms)
            next_ms = w->jobs[i].end_ms;
    if (next_ms == INT64_MAX)
        next_ms = w->now_ms + MINUTE;
    if (!w->good && next_ms > w->now_ms + HOUR)
        next_ms = w->now_ms + HOUR;
    if (next_ms > w->now_ms)
        w->now_ms = next_ms;
}

static void step(struct world *w)
{
    for (uint64_t k = draw(w, 4); k > 0; k--)
        add_message(w);
    if (w->msg_count > 1 && draw(w, 3) == 0)
        act(w);
    if (draw(w, 60) == 0)
        wake_all(w);
    if (draw(w, 80) == 0)
        sched_configure(w->s, &w->cfg);
    if (draw(w, 40) == 0)
        w->dead[draw(w, SITES)] ^= true;
    if (draw(w, 200) == 0) {
        sched_route_lost(w->s);
        w->ask_count = 0;
    }
    if (draw(w, 300) == 0)
        w->wall_skew_ms += (int64_t)draw(w, 20 * DAY) - 10 * DAY; /* the clock is set */
    bool still = turn(w);
    audit(w, still);
    advance(w);
    if (draw(w, 15) == 0) /* the owner was away, or the machine slept */
        w->now_ms += (int64_t)draw(w, 2 * HOUR);
}

/* Everything works, nobody interferes: all mail must leave within its life. */
static void settle(struct world *w)
{
    w->good = true;
    for (int i = 0; i < SITES; i++)
        w->dead[i] = false;
    sched_run_queue(w->s);
    sched_route_lost(w->s);
    w->ask_count = 0;
    for (uint64_t k = 1; k < w->msg_count; k++) {
        sched_release(w->s, k, SCHED_ALL, SPAN_NONE, now(w));
        for (uint32_t i = 0; i < w->msgs[k].rcpt_count; i++)
            w->msgs[k].rcpts[i].held = w->msgs[k].rcpts[i].waiting = false;
        for (uint32_t i = 0; i < w->msgs[k].rcpt_count; i++)
            w->msgs[k].rcpts[i].pushed = true;
    }
    int64_t end_ms = w->now_ms + 10 * DAY;
    while (sched_totals(w->s).messages) {
        turn(w);
        advance(w);
        HOLDS(w->now_ms < end_ms);
    }
    for (uint64_t k = 1; k < w->msg_count; k++)
        HOLDS(w->msgs[k].gone);
}

static void draw_rules(struct world *w)
{
    static const int64_t times[] = { SECOND, MINUTE, HOUR };
    for (int i = 0; i < SITES - 1; i++) {
        struct sched_rule *r = &w->rules[i];
        sched_rule_defaults(r, &w->cfg);
        r->site_initial = 1 + (uint32_t)draw(w, 3);
        r->site_max = r->site_initial + (uint32_t)draw(w, 3);
        int64_t rate_ms = times[draw(w, 3)];
        if (draw(w, 3)) {
            r->rate = (rate_ms == HOUR ? RATE_MAX / 2 : 1) + (uint32_t)draw(w, RATE_MAX / 2);
            r->rate_ms = rate_ms;
        }
        for (r->retry_count = (uint32_t)draw(w, 4); i == 2 && r->retry_count == 0;)
            r->retry_count = (uint32_t)draw(w, 4);
        for (uint32_t k = 0; k < r->retry_count; k++)
            r->retry_ms[k] = 1 + (int64_t)draw(w, 4 * HOUR - 1);
    }
    w->cfg.rules = w->rules;
    w->cfg.rule_count = SITES - 1;
}

static void run(uint64_t seed)
{
    struct world *w = NEW(struct world);
    seed_now = seed;
    w->random = seed * 0x9e3779b97f4a7c15u + 1;
    w->now_ms = 1000;
    w->msg_count = 1; /* no seq 0: a cursor starts after it */
    sched_config_defaults(&w->cfg);
    w->cfg.seed = seed;
    w->cfg.site_initial = 1 + (uint32_t)draw(w, 4);
    w->cfg.site_max = w->cfg.site_initial + (uint32_t)draw(w, 8);
    w->cfg.job_rcpts_max = 1 + (uint32_t)draw(w, 8);
    w->cfg.jobs_max = seed % 2 ? JOBS_MAX / 2 : 1 + (uint32_t)draw(w, 12);
    w->cfg.idle_dests_max = 16;
    if (draw(w, 2)) {
        w->cfg.expire_after_ms = 8 * HOUR;
        w->cfg.warn_after_ms = 1 * HOUR;
    }
    w->cfg.places = w->asks_sites = seed % 3 > 0;
    w->always_found = seed % 3 == 1;
    draw_rules(w);
    w->s = sched_new(&w->cfg);
    for (int i = 0; i < 1000; i++)
        step(w);
    settle(w);
    sched_free(&w->s);
    printf("# seed %" PRIu64 ": %" PRIu64 " messages, %" PRIu64 " routings, %" PRIu64
           " jobs, %" PRIu64 " expired, %" PRIu64 " warned, %" PRId64 " simulated hours\n",
           seed, w->msg_count - 1, w->routed, w->yields, w->expired, w->warned, w->now_ms / HOUR);
    free(w);
}

/* --- turns by sender, at one site of many destinations --- */

enum { SENDERS = 6, PLACES = 250, TOGETHER = 8 };

struct crowd {
    struct world *w;
    uint64_t count, begun; /* messages; jobs */
    uint64_t begun_of[SENDERS];
    struct {
        int sender;
        uint64_t since, own; /* jobs that had begun, and those of its sender */
    } msgs[MESSAGES_MAX];
};

/* The first sends to everywhere, the second as a list does, from another address each time. */
static void crowd_add(struct crowd *c, int sender)
{
    struct world *w = c->w;
    if (c->count == MESSAGES_MAX)
        return;
    uint64_t seq = c->count++, place = sender == 1 ? 7 : draw(w, PLACES);
    char from[64], dest[16];
    int n = snprintf(from, sizeof from, sender == 1 ? "s%d+%" PRIu64 "=u@x" : "s%d@x", sender, seq);
    struct span key = span_of(dest, (size_t)snprintf(dest, sizeof dest, "e%d", (int)place));
    struct sched_entry_rcpt r = { .addr = SPAN("u@y.example") };
    struct sched_entry e = { .seq = seq, .received_ms = now(w).wall_ms, .size_bytes = 1,
                             .sender = span_of(from, (size_t)n), .rcpts = &r, .rcpt_count = 1 };
    struct sched_ask ask;
    struct sched_verdict v;
    HOLDS(sched_add(w->s, &e, now(w)));
    HOLDS(sched_next_to_route(w->s, now(w), &ask, 1) == 1);
    sched_place(w->s, key, SPAN("mx0"), 0);
    HOLDS(sched_routed(w->s, ask.seq, ask.rcpt, SCHED_TO, key, now(w), &v));
    c->msgs[seq].sender = sender;
    c->msgs[seq].since = c->begun;
    c->msgs[seq].own = c->begun_of[sender];
}

/* While a message waits, as many begin of each other sender as of its own; and some, as a few
 * messages have no turns of their own. */
static bool crowd_begin(struct crowd *c)
{
    struct sched_outcome out = { SCHED_OUT_DELIVERED, SPAN_NONE };
    struct sched_result res = { .outcomes = &out, .news = SCHED_NEWS_OK };
    struct sched_verdict v;
    struct sched_job job;
    uint64_t gone;
    if (!sched_next_job(c->w->s, now(c->w), &job))
        return false;
    int sender = c->msgs[job.seq].sender;
    uint64_t waited = c->begun++ - c->msgs[job.seq].since;
    uint64_t own = c->begun_of[sender]++ - c->msgs[job.seq].own;
    HOLDS(waited <= (own + 1 + TOGETHER) * (SENDERS + 1));
    HOLDS(sched_job_result(c->w->s, job.id, &res, now(c->w), &v));
    while (sched_next_gone(c->w->s, &gone))
        ;
    return true;
}

static void run_crowd(uint64_t seed)
{
    struct world *w = NEW(struct world);
    struct crowd *c = NEW(struct crowd);
    seed_now = seed;
    *c = (struct crowd){ .w = w, .count = 1 };
    w->random = seed * 0x9e3779b97f4a7c15u + 1;
    w->now_ms = 1000;
    sched_config_defaults(&w->cfg);
    w->cfg.seed = seed;
    w->s = sched_new(&w->cfg);
    while (c->count < MESSAGES_MAX) {
        for (uint64_t k = draw(w, 4) ? 0 : draw(w, 1000), sender = draw(w, 2); k > 0; k--)
            crowd_add(c, (int)sender);
        for (uint64_t k = draw(w, 8); k > 0; k--)
            crowd_add(c, 2 + (int)draw(w, SENDERS - 2));
        for (uint64_t k = draw(w, 200); k > 0 && crowd_begin(c); k--)
            w->now_ms++;
    }
    while (crowd_begin(c))
        ;
    HOLDS(sched_totals(w->s).messages == 0);
    sched_free(&w->s);
    free(c);
    free(w);
}

int main(int argc, char **argv)
{
    uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    uint64_t last = argc > 2 ? strtoull(argv[2], NULL, 10) : argc > 1 ? first : 8;
    for (uint64_t seed = first; seed <= last; seed++)
        run(seed);
    for (uint64_t seed = first; seed <= last; seed++)
        run_crowd(seed);
    printf("ok sched_model\n");
    return 0;
}
