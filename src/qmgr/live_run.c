/* One message of a run: its recipients are set going, and waited for until each has had its
 * attempt or it is clear that it will have none now. */
#include "qmgr/live.h"

#include "base/must.h"

#include <stdlib.h>

enum { LOOK_RCPTS = 500 };

static struct live_run *live_run_of(const struct live *l, uint64_t seq)
{
    LIST_EACH(n, &l->runs) {
        struct live_run *r = CONTAINER(n, struct live_run, node);
        if (r->seq == seq)
            return r;
    }
    return NULL;
}

void live_run_free(struct live *l, struct live_run *r)
{
    list_remove(&r->node);
    l->run_count--;
    free(r->rcpts);
    free((char *)r->held.p);
    free(r);
}

/* What waited for a queue run does not wait for one again, after a restart either. A run of all is
 * kept as a whole (keep_run). */
static void record_run(struct live *l, uint64_t seq, uint32_t rcpt,
                       const struct sched_rcpt_info *info)
{
    struct spool_outcome o = { .seq = seq,
                               .rcpt = rcpt,
                               .kind = SPOOL_RELEASED,
                               .no_dsn = info->warned,
                               .released = true,
                               .attempts = info->attempts,
                               .at_ms = loop_wall_ms(l->q->env->loop),
                               .diag = info->reason };
    spool_outcome(l->q->spool, &o, 1);
    store_flush_soon(l->q, 1);
}

/* Sets one recipient going. False: it is not going to be tried now. */
static bool kick(struct live *l, uint64_t seq, uint32_t rcpt, const struct sched_rcpt_info *info)
{
    struct sched *s = l->q->sched;
    struct sched_now now = qmgr_now(l->q);
    struct sched_place_info place;
    if (info->state == SCHED_WAITING && l->chosen)
        record_run(l, seq, rcpt, info);
    if (info->state == SCHED_HELD)
        sched_release(s, seq, rcpt, SPAN_NONE, now);
    if (l->always) {
        sched_retry(s, seq, rcpt, now);
        return true;
    }
    bool down = info->dest.n && sched_dest(s, info->dest, &place) &&
                (place.down_until_ms || place.site_down_until_ms);
    if (down && (info->state == SCHED_DEFERRED || info->state == SCHED_READY))
        return false;
    sched_due(s, seq, rcpt, now);
    return true;
}

/* What may go in one job is set going in one piece, or it would take two. */
static bool piece_over(struct live *l, uint32_t rcpt)
{
    return admin_slice_spent(&l->slice, ADMIN_CHANGE_UNITS) && rcpt % JOB_RCPTS_MAX == 0;
}

void live_run_alone(struct live *l, const struct sched_msg_info *m)
{
    struct sched_rcpt_info info;
    struct sched_msg_info now = *m;
    uint64_t seq = m->seq;
    for (uint32_t i = l->y.rest; sched_msg_rcpt(now.here, i, &info); i++) {
        if (query_rcpt(&l->y, &now, &info)) {
            kick(l, seq, i, &info);
            if (!sched_msg(l->q->sched, seq, &now))
                break;
        }
        if (piece_over(l, i + 1)) {
            query_rest(&l->y, i + 1);
            return;
        }
    }
    query_rest(&l->y, 0);
}

static bool is_at(const struct live_run *r, uint32_t rcpt, enum live_rcpt state)
{
    return rcpt < r->rcpt_count && (r->rcpts[rcpt] & LIVE_RCPT_STATE) == state;
}

static void close_rcpt(struct live_run *r, uint32_t rcpt)
{
    r->rcpts[rcpt] += LIVE_HEARD - LIVE_OPEN;
    r->open--;
}

static struct live_run *run_new(struct live *l, const struct sched_msg_info *m)
{
    struct live_run *r = NEW(struct live_run);
    r->seq = m->seq;
    r->number = l->begun;
    r->rcpt_count = m->rcpt_count;
    r->rcpts = must_calloc(m->rcpt_count, 1);
    list_append(&l->runs, &r->node);
    l->run_count++;
    return r;
}

/* In the hands of another run that is looked on at. */
static bool has_other(const struct live *l, uint64_t seq)
{
    for (const struct live *o = l->q->lives; o; o = o->next)
        if (o != l && live_run_of(o, seq))
            return true;
    return false;
}

/* Another run waits for this one, and does not only follow. */
static bool others(const struct live *l, uint64_t seq, uint32_t rcpt)
{
    for (const struct live *o = l->q->lives; o; o = o->next) {
        const struct live_run *r = o != l ? live_run_of(o, seq) : NULL;
        if (r && is_at(r, rcpt, LIVE_OPEN) && !(r->rcpts[rcpt] & LIVE_FOLLOWED))
            return true;
    }
    return false;
}

void live_run_begin(struct live *l, const struct sched_msg_info *m)
{
    l->begun++;
    if (!l->follow && has_other(l, m->seq)) {
        live_say_locked(l, m);
        return;
    }
    l->busy = true;
    live_run_look(l, run_new(l, m));
}

/* False: the slice is over. */
static bool find(struct live *l, struct live_run *r, const struct sched_msg_info *m)
{
    struct sched_rcpt_info info;
    for (uint32_t begun = r->at; sched_msg_rcpt(m->here, r->at, &info); r->at++) {
        if (admin_slice_spent(&l->slice, 1) && r->at > begun)
            return false;
        if ((info.state == SCHED_ACTIVE && !l->follow) || !query_rcpt(&l->y, m, &info))
            continue;
        bool follows = l->follow && (info.state == SCHED_ACTIVE || others(l, r->seq, r->at));
        if (info.frozen && !follows) {
            live_say_frozen(l, &info);
            r->frozen = true;
            continue;
        }
        r->rcpts[r->at] = LIVE_OPEN | (follows ? LIVE_FOLLOWED : 0);
        r->follows |= follows;
        r->open++;
    }
    return true;
}

static void was_held(struct live_run *r, uint32_t rcpt, const struct sched_rcpt_info *info)
{
    r->rcpts[rcpt] |= LIVE_WAS_HELD | (info->released ? LIVE_WAS_RELEASED : 0);
    if (!r->held.p)
        r->held = span_of(must_strndup(info->reason.p ? info->reason.p : "", info->reason.n),
                          info->reason.n);
}

/* False: the slice is over. */
static bool go(struct live *l, struct live_run *r)
{
    struct sched_rcpt_info info;
    for (uint32_t begun = r->at; r->at < r->rcpt_count; r->at++) {
        if (r->at > begun && piece_over(l, r->at))
            return false;
        if (!is_at(r, r->at, LIVE_OPEN) || r->rcpts[r->at] & LIVE_FOLLOWED ||
            !sched_rcpt(l->q->sched, r->seq, r->at, &info) || info.state >= SCHED_LIVE ||
            info.state == SCHED_ACTIVE)
            continue;
        if (info.state == SCHED_HELD)
            was_held(r, r->at, &info);
        if (!kick(l, r->seq, r->at, &info)) {
            live_say_state(l, r, r->at, &info);
            close_rcpt(r, r->at);
        }
    }
    return true;
}

static struct live *live_of(struct qmgr *q, uint64_t id)
{
    struct live *l = q->lives;
    while (l && l->id != id)
        l = l->next;
    return l;
}

static bool is_followed(const struct live_run *r, const struct job *j)
{
    for (uint32_t i = 0; i < j->rcpt_count; i++)
        if (is_at(r, j->rcpts[i], LIVE_OPEN) && r->rcpts[j->rcpts[i]] & LIVE_FOLLOWED)
            return true;
    return false;
}

/* Of a delivery that is under way, at which nobody looks on: what it has met so far, what it waits
 * for, and from here on what is said in it. */
static void join(struct live *l, struct live_run *r)
{
    struct hash *jobs = &l->q->jobs;
    for (struct hash_node *n = hash_next(jobs, NULL); n; n = hash_next(jobs, n)) {
        struct job *j = CONTAINER(n, struct job, node);
        bool seen = j->watch && live_of(l->q, j->watch);
        if (j->seq != r->seq || seen || !is_followed(r, j))
            continue;
        struct msg_watch m = { .watch = l->id, .job = j->id };
        j->watch = l->id;
        j->joined = true;
        r->jobs++;
        send_watch(j->at->channel, &m);
        live_say_job(l, r, j);
    }
}

/* True: it has come to an end by that, as it is being delivered already, or gone. */
static bool found(struct live *l, struct live_run *r)
{
    struct sched_msg_info m;
    bool known = sched_msg(l->q->sched, r->seq, &m);
    if (known && !find(l, r, &m))
        return false;
    r->stage = LIVE_GO;
    r->at = 0;
    if (known && r->open) {
        live_say_run(l, r, &m);
        if (r->follows && !l->silent && l->ask)
            join(l, r);
        return false;
    }
    l->busy = false;
    if (r->frozen)
        l->untouched++;
    else if (known)
        live_say_locked(l, &m);
    live_run_free(l, r);
    return true;
}

/* The DNS is asked where its destination is: before anything is begun there, and, when that took
 * too long, by the delivery (which tells it itself to who hears the dialogue). */
static bool is_asking(const struct live *l, const struct sched_rcpt_info *info)
{
    struct sched_place_info dest;
    if (info->state == SCHED_READY)
        return sched_dest(l->q->sched, info->dest, &dest) && dest.asking;
    return l->silent && info->state == SCHED_ACTIVE && !info->site.n &&
           span_starts(info->dest, SPAN("mx:"));
}

/* Its turn will come, but not now: its site takes only so many, or is not known yet. */
static void look_at_site(struct live *l, const struct sched_rcpt_info *info, int64_t now_ms)
{
    enum { WORTH_A_WORD_MS = 1000 };
    struct sched_place_info site;
    if (now_ms - l->said_ms >= WORTH_A_WORD_MS && is_asking(l, info))
        live_say_asking(l, info->dest);
    if (info->state == SCHED_READY && sched_site_of(l->q->sched, info->dest, &site) &&
        site.paced_until_ms > now_ms + WORTH_A_WORD_MS)
        live_say_slow(l, &site);
}

/* What has not been told by a result: held or deleted meanwhile, put off by somebody else, or
 * behind a back-off that another message caused. */
static void look_at(struct live *l, struct live_run *r, uint32_t rcpt)
{
    struct sched_rcpt_info info;
    struct sched_now now = qmgr_now(l->q);
    bool known = sched_rcpt(l->q->sched, r->seq, rcpt, &info);
    bool behind = known && info.state == SCHED_READY && info.next_try_ms > now.mono_ms;
    bool follows = r->rcpts[rcpt] & LIVE_FOLLOWED;
    if (follows && others(l, r->seq, rcpt))
        return;
    if (behind && l->always && !follows) {
        sched_retry(l->q->sched, r->seq, rcpt, now);
        return;
    }
    if (known && info.frozen) {
        l->frozen++;
        live_say_untried(l, r, rcpt, "frozen", live_frozen_by(l, &info));
        close_rcpt(r, rcpt);
        return;
    }
    if (known && !behind && info.state <= SCHED_ACTIVE) {
        look_at_site(l, &info, now.mono_ms);
        return;
    }
    if (known && info.state < SCHED_LIVE)
        live_say_state(l, r, rcpt, &info);
    else
        live_say_untried(l, r, rcpt, "gone", SPAN_NONE);
    l->other += !known || info.state >= SCHED_LIVE;
    close_rcpt(r, rcpt);
}

/* What is held and is tried on request is held again when that was in vain. */
static void hold_again(struct live *l, struct live_run *r, uint32_t rcpt)
{
    struct qmgr *q = l->q;
    struct sched_rcpt_info info;
    bool held = r->rcpts[rcpt] & LIVE_WAS_HELD, released = r->rcpts[rcpt] & LIVE_WAS_RELEASED;
    r->rcpts[rcpt] &= LIVE_RCPT_STATE; /* once: somebody may let it go after that */
    if (!held || !sched_rcpt(q->sched, r->seq, rcpt, &info) || info.state >= SCHED_HELD)
        return;
    struct spool_outcome o = { .seq = r->seq,
                               .rcpt = rcpt,
                               .kind = SPOOL_HELD,
                               .no_dsn = info.warned,
                               .released = released,
                               .attempts = info.attempts,
                               .at_ms = loop_wall_ms(q->env->loop),
                               .diag = r->held };
    sched_hold_again(q->sched, r->seq, rcpt, r->held, released);
    spool_outcome(q->spool, &o, 1);
    store_flush_soon(q, 1);
}

bool live_run_look(struct live *l, struct live_run *r)
{
    if (r->stage == LIVE_FIND && found(l, r))
        return true;
    if (r->stage == LIVE_GO && go(l, r)) {
        r->stage = LIVE_WAIT;
        r->at = 0;
        l->busy = l->busy && r->adopted;
    }
    if (r->stage != LIVE_WAIT)
        return false;
    for (uint32_t i = 0; i < LOOK_RCPTS && i < r->rcpt_count && r->open; i++) {
        r->at = (r->at + 1) % r->rcpt_count;
        if (is_at(r, r->at, LIVE_OPEN))
            look_at(l, r, r->at);
    }
    if (r->open || r->jobs)
        return false;
    for (uint32_t i = 0; i < r->rcpt_count && r->held.p; i++)
        hold_again(l, r, i);
    live_say_ran(l, r);
    live_run_free(l, r);
    return true;
}

/* --- from the flow of mail --- */

void live_deleted(struct qmgr *q, uint64_t seq, uint32_t rcpt, struct span who)
{
    struct sched_rcpt_info info;
    for (struct live *l = q->lives; l; l = l->next) {
        struct live_run *r = live_run_of(l, seq);
        if (!r || !is_at(r, rcpt, LIVE_OPEN) || !sched_rcpt(q->sched, seq, rcpt, &info) ||
            info.state == SCHED_ACTIVE || info.state >= SCHED_LIVE)
            continue;
        l->other++;
        live_say_untried(l, r, rcpt, "deleted", who);
        close_rcpt(r, rcpt);
    }
}

void live_facts(struct qmgr *q, uint64_t seq, uint64_t job, const struct fact *f, size_t n)
{
    for (struct live *l = q->lives; l; l = l->next) {
        struct live_run *r = live_run_of(l, seq);
        if (!r)
            continue;
        for (size_t i = 0; i < n; i++) {
            if (!is_at(r, f[i].rcpt, LIVE_OPEN))
                continue;
            live_say_result(l, r, job, &f[i]);
            close_rcpt(r, f[i].rcpt);
        }
        live_soon(l);
    }
}

/* One who only follows hears it when there is no other. */
static struct live *onlooker(struct qmgr *q, uint64_t seq, struct live_run **r_r)
{
    struct live *found = NULL;
    for (struct live *l = q->lives; l; l = l->next) {
        struct live_run *r = live_run_of(l, seq);
        if (!r || (found && r->follows))
            continue;
        *r_r = r;
        found = l;
        if (!r->follows)
            break;
    }
    return found;
}

bool live_run_was(struct live *l, uint64_t seq)
{
    struct hash_node *n = hash_get(&l->ahead, span_of(&seq, sizeof seq));
    if (!n)
        return false;
    struct live_ahead *a = CONTAINER(n, struct live_ahead, node);
    hash_remove(&l->ahead, n);
    free(a);
    return true;
}

/* Whether the run is still to come to it. */
static bool is_ahead(const struct live *l, const struct sched_msg_info *m)
{
    return l->ask && l->phase == LIVE_RUN && m->age > l->y.cursor && m->age <= l->last_age &&
           !hash_get(&l->ahead, span_of(&m->seq, sizeof m->seq)) && query_message(&l->y, m);
}

/* All of it that is meant: so it is told of once. */
static void open_meant(struct live *l, struct live_run *r, const struct sched_msg_info *m)
{
    struct sched_rcpt_info info;
    for (uint32_t i = 0; sched_msg_rcpt(m->here, i, &info); i++) {
        if (!query_rcpt(&l->y, m, &info))
            continue;
        if (info.frozen && info.state != SCHED_ACTIVE) {
            live_say_frozen(l, &info);
            continue;
        }
        r->rcpts[i] = LIVE_OPEN;
        r->open++;
    }
}

/* One success opens a site to all that waits there: what goes out then by itself belongs to the
 * run, and is shown as well, with what else of the message is meant. */
static struct live *adopt(struct qmgr *q, const struct job *j, struct live_run **r_r)
{
    struct sched_msg_info m;
    struct live *l = q->lives;
    if (!l || !sched_msg(q->sched, j->seq, &m))
        return NULL;
    while (l && !is_ahead(l, &m))
        l = l->next;
    if (!l)
        return NULL;
    l->begun++;
    struct live_run *r = *r_r = run_new(l, &m);
    struct live_ahead *a = NEW(struct live_ahead);
    r->stage = LIVE_GO;
    r->adopted = true;
    live_say_run(l, r, &m);
    open_meant(l, r, &m);
    a->seq = m.seq;
    hash_add(&l->ahead, &a->node, span_of(&a->seq, sizeof a->seq));
    live_soon(l);
    return l;
}

static bool take_kept(struct live *l, uint64_t keeper)
{
    for (unsigned i = 0; i < l->kept_count; i++) {
        if (l->kept[i].keeper != keeper)
            continue;
        l->kept_count--;
        memmove(&l->kept[i], &l->kept[i + 1], (l->kept_count - i) * sizeof l->kept[i]);
        return true;
    }
    return false;
}

/* A connection from before the run tells little: only the run's own are used again. */
void live_choose(struct qmgr *q, struct sched_job *sj)
{
    struct live_run *r;
    struct live *mine = q->lives ? onlooker(q, sj->seq, &r) : NULL;
    bool own = false;
    for (struct live *l = q->lives; l && sj->keeper; l = l->next)
        if (take_kept(l, sj->keeper))
            own = l == mine;
    if (!mine || own || !sj->keeper)
        return;
    sj->instead = true;
}

void live_watch(struct qmgr *q, struct job *j)
{
    struct live_run *r;
    struct live *l = q->lives ? onlooker(q, j->seq, &r) : NULL;
    if (!l)
        l = adopt(q, j, &r);
    if (!l)
        return;
    j->watch = l->id;
    r->jobs++;
    if (l->silent)
        return;
    struct msg_watch m = { .watch = l->id, .job = j->id };
    send_watch(j->at->channel, &m);
    live_say_job(l, r, j);
}

void live_result(struct qmgr *q, const struct job *j, const struct sched_result *res)
{
    struct live *l = j->watch ? live_of(q, j->watch) : NULL;
    struct sched_place_info place;
    if (!l || j->joined)
        return;
    if (res->news == SCHED_NEWS_DOWN || res->news == SCHED_NEWS_DEST_DOWN)
        l->unreached++;
    else if (res->news == SCHED_NEWS_OK)
        l->unreached = 0;
    bool kept = res->keeper && res->under != SCHED_ENDING;
    if (!kept || l->kept_count == LIVE_KEPT_MAX || !sched_dest(q->sched, j->dest, &place))
        return;
    struct span site = arena_dup(l->arena, place.site);
    if (!site.p)
        return;
    l->kept[l->kept_count].keeper = res->keeper;
    l->kept[l->kept_count++].site = site;
}

void live_job_over(struct qmgr *q, const struct job *j)
{
    struct live *l = live_of(q, j->watch);
    struct live_run *r = l ? live_run_of(l, j->seq) : NULL;
    if (!r)
        return;
    MUST(r->jobs > 0);
    r->jobs--;
    for (uint32_t i = 0; i < j->rcpt_count && r->held.p; i++)
        if (is_at(r, j->rcpts[i], LIVE_HEARD)) /* with its outcome in one flush */
            hold_again(l, r, j->rcpts[i]);
    if (!l->silent && l->ask)
        buf_printf(&l->out, "{\"job\":%llu,\"over\":true}\n", (unsigned long long)j->id);
    live_soon(l);
}
