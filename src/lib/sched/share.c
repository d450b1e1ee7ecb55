#include "sched/inside.h"

enum {
    TIMES = 3, /* what it usually takes there, and then it is silent: */
    SILENT_MOST_MS = 60000,
    RECENT_MS = 60000,
    AHEAD = 2, /* jobs at a site since it last answered */
};

/* Of all jobs: one at least. */
static uint32_t most(const struct sched *s, int share)
{
    static const uint8_t kept[SCHED_SHARES] = { 0, 1, 2, 4 }; /* eighths for the others */
    uint32_t max = s->cfg.jobs_max;
    return max - (uint32_t)((uint64_t)max * kept[share] / 8);
}

/* A further job at a site that never answered counts like one at a site in trouble. */
enum sched_share sched_share_of(const struct sched *s, const struct sched_site *t)
{
    const struct sched_trust *k = &t->trust;
    if (!k->works)
        return k->trouble || t->gate.half_open || t->gate.active ? SCHED_TROUBLE : SCHED_NEW;
    return k->unanswered < AHEAD && s->seen_ms - k->ok_ms < RECENT_MS ? SCHED_ANSWERS
                                                                      : SCHED_WORKS;
}

void sched_shares_init(struct sched *s)
{
    for (int i = 0; i < SCHED_SHARES; i++)
        list_init(&s->shares.runnable[i]);
    heap_init(&s->shares.silent);
}

void sched_shares_free(struct sched *s) { heap_free(&s->shares.silent); }

void sched_share_update(struct sched *s, struct sched_site *t, bool want)
{
    enum sched_share share = sched_share_of(s, t);
    if (list_linked(&t->runnable)) {
        if (want && t->trust.share == share)
            return;
        list_remove(&t->runnable);
    }
    t->trust.share = (uint8_t)share;
    if (want)
        list_append(&s->shares.runnable[share], &t->runnable);
}

/* Each share bounds its own jobs and those of all that are trusted less; so one may start where
 * no bound on the way to it is reached. Of those the one whose last turn is the longest ago. */
static int next_share(const struct sched *s)
{
    const struct sched_shares *h = &s->shares;
    uint32_t jobs = s->job_count;
    int best = -1;
    for (int i = 0; i < SCHED_SHARES && jobs < most(s, i); i++) {
        if (!list_empty(&h->runnable[i]) && (best < 0 || h->served[i] < h->served[best]))
            best = i;
        jobs -= h->jobs[i];
    }
    return best;
}

bool sched_share_any(const struct sched *s) { return next_share(s) >= 0; }

struct sched_site *sched_share_turn(struct sched *s)
{
    struct sched_shares *h = &s->shares;
    for (int i; (i = next_share(s)) >= 0;) {
        struct sched_site *t = CONTAINER(list_first(&h->runnable[i]), struct sched_site, runnable);
        sched_share_update(s, t, true); /* what it answered may be long ago by now */
        if (t->trust.share != i)
            continue;
        h->served[i] = ++h->serial;
        return t;
    }
    return NULL;
}

struct sched_share_info sched_share(const struct sched *s, enum sched_share share)
{
    struct sched_share_info info = { .max = most(s, share), .jobs = s->job_count };
    for (int i = 0; i < (int)share; i++)
        info.jobs -= s->shares.jobs[i];
    return info;
}

bool sched_share_crowded(const struct sched *s, const struct sched_site *t)
{
    if (!list_linked(&t->runnable))
        return false;
    for (int i = 0; i <= t->trust.share; i++) {
        struct sched_share_info info = sched_share(s, (enum sched_share)i);
        if (info.jobs >= info.max)
            return true;
    }
    return false;
}

void sched_share_begin(struct sched *s, struct sched_site *t, struct sched_job_slot *j)
{
    int64_t silent_ms = (int64_t)t->trust.usual_ms * TIMES;
    if (silent_ms < SCHED_SILENT_MS)
        silent_ms = SCHED_SILENT_MS;
    j->share = (uint8_t)sched_share_of(s, t);
    s->shares.jobs[j->share]++;
    t->trust.unanswered += t->trust.unanswered < UINT8_MAX;
    heap_add(&s->shares.silent, &j->silent, j->begun_ms + silent_ms);
}

void sched_share_end(struct sched *s, struct sched_job_slot *j)
{
    MUST(s->shares.jobs[j->share] > 0);
    s->shares.jobs[j->share]--;
    s->shares.silent_jobs -= !heap_linked(&j->silent);
    heap_remove(&s->shares.silent, &j->silent);
}

void sched_share_learn(struct sched *s, struct sched_site *t, enum sched_news news,
                       int64_t begun_ms, int64_t now_ms)
{
    struct sched_trust *k = &t->trust;
    if (news == SCHED_NEWS_OK) {
        int64_t took_ms = now_ms - begun_ms;
        *k = (struct sched_trust){ .ok_ms = now_ms, .works = true, .share = k->share };
        k->usual_ms = (uint32_t)(took_ms < SILENT_MOST_MS / TIMES ? took_ms
                                                                  : SILENT_MOST_MS / TIMES);
    } else if (news == SCHED_NEWS_DOWN || news == SCHED_NEWS_BUSY) {
        k->works = false;
        k->trouble = true;
    }
    sched_site_update(s, t);
}

/* What began in the trust that its site works takes its place among the others now. */
void sched_share_listen(struct sched *s, int64_t now_ms)
{
    struct sched_shares *h = &s->shares;
    for (struct heap_node *n; (n = heap_min(&h->silent)) != NULL && n->key <= now_ms;) {
        struct sched_job_slot *j = CONTAINER(n, struct sched_job_slot, silent);
        struct sched_site *t = j->dest->site;
        heap_remove(&h->silent, n);
        h->silent_jobs++;
        t->trust.works = false;
        t->trust.trouble = true;
        if (j->share < SCHED_NEW) {
            h->jobs[j->share]--;
            h->jobs[j->share = SCHED_NEW]++;
        }
        sched_site_update(s, t);
    }
}
