#include "sched/inside.h"

enum {
    TIMES = 3, /* what it usually takes there, and then it is silent: */
    SILENT_MOST_MS = 60000,
    RECENT_MS = 60000,
    AHEAD = 2, /* jobs at a site since it last answered */
    MANY = 8,  /* hung jobs: more than one of so many that all jobs are */
};

/* Of all jobs: one at least. */
void sched_shares_configure(struct sched *s)
{
    static const uint8_t kept[SCHED_SHARES] = { 0, 1, 2, 4 }; /* eighths for the others */
    uint32_t max = s->cfg.jobs_max;
    for (int i = 0; i < SCHED_SHARES; i++)
        s->shares.most[i] = max - (uint32_t)((uint64_t)max * kept[i] / 8);
}

/* While many hang that began in trust, an answer from before they did says no more than theirs. */
static bool answered_before(const struct sched *s, const struct sched_trust *k)
{
    return s->shares.jobs[SCHED_HUNG] > s->cfg.jobs_max / MANY && k->ok_ms <= s->shares.hung_ms;
}

static int kind_of(const struct sched *s, const struct sched_site *t)
{
    const struct sched_trust *k = &t->trust;
    bool trouble = k->trouble || t->gate.half_open;
    if (trouble || !k->works || answered_before(s, k))
        return t->gate.active ? SCHED_FURTHER : trouble ? SCHED_TROUBLE : SCHED_NEW;
    if (k->usual_ms >= SCHED_LONG_MS)
        return t->gate.active ? SCHED_LONG : SCHED_WORKS;
    return k->unanswered < AHEAD && s->seen_ms - k->ok_ms < RECENT_MS ? SCHED_ANSWERS
                                                                      : SCHED_WORKS;
}

/* Hung jobs do not count, up to as many as there may be others. */
static uint32_t uncounted(const struct sched *s)
{
    uint32_t hung = s->shares.jobs[SCHED_HUNG];
    return hung < s->cfg.jobs_max ? hung : s->cfg.jobs_max;
}

/* What its next job counts as. */
static int account_of(int kind)
{
    return kind == SCHED_FURTHER ? SCHED_NEW : kind == SCHED_LONG ? SCHED_WORKS : kind;
}

enum sched_share sched_share_of(const struct sched *s, const struct sched_site *t)
{
    int kind = kind_of(s, t);
    if (kind == SCHED_FURTHER && t->trust.trouble)
        return SCHED_TROUBLE;
    return (enum sched_share)account_of(kind);
}

void sched_shares_init(struct sched *s)
{
    for (int i = 0; i < SCHED_KINDS; i++)
        list_init(&s->shares.runnable[i]);
    heap_init(&s->shares.silent);
}

void sched_shares_free(struct sched *s) { heap_free(&s->shares.silent); }

void sched_share_update(struct sched *s, struct sched_site *t, bool want)
{
    int kind = want ? kind_of(s, t) : t->trust.kind;
    if (list_linked(&t->runnable)) {
        if (want && t->trust.kind == kind)
            return;
        list_remove(&t->runnable);
    }
    t->trust.kind = (uint8_t)kind;
    if (!want)
        return;
    t->trust.waits = ++s->shares.serial;
    list_append(&s->shares.runnable[kind], &t->runnable);
}

static uint64_t waits_since(const struct sched_shares *h, int kind)
{
    return CONTAINER(h->runnable[kind].next, struct sched_site, runnable)->trust.waits;
}

static int earlier(const struct sched_shares *h, int best, int kind)
{
    if (list_empty(&h->runnable[kind]))
        return best;
    return best < 0 || waits_since(h, kind) < waits_since(h, best) ? kind : best;
}

/* Each share bounds its own jobs and those of all that are trusted less; so one may start where
 * no bound on the way to it is reached. Of those it is the one that waits the longest. A
 * further job at a site not known to work comes after the first ones of all new ones, and leaves
 * them a quarter, and more while jobs hang: it need not be sure of a turn, since more is known when
 * the first one ends. One at a site that takes long leaves an eighth to the others that work. */
static int next_kind(const struct sched *s)
{
    const struct sched_shares *h = &s->shares;
    uint32_t aside = uncounted(s), jobs = s->job_count - aside;
    int best = -1;
    for (int i = 0; i < SCHED_SHARES && jobs < h->most[i]; i++) {
        best = earlier(h, best, i);
        if (i == SCHED_NEW && list_empty(&h->runnable[i]) &&
            jobs + aside < h->most[SCHED_TROUBLE])
            best = earlier(h, best, SCHED_FURTHER);
        if (i == SCHED_WORKS && jobs < h->most[SCHED_NEW])
            best = earlier(h, best, SCHED_LONG);
        jobs -= h->jobs[i];
    }
    return best;
}

bool sched_share_any(const struct sched *s) { return next_kind(s) >= 0; }

struct sched_site *sched_share_turn(struct sched *s)
{
    struct sched_shares *h = &s->shares;
    for (int i; (i = next_kind(s)) >= 0;) {
        struct sched_site *t = CONTAINER(list_first(&h->runnable[i]), struct sched_site, runnable);
        sched_share_update(s, t, true); /* what it answered may be long ago by now */
        if (t->trust.kind == i)
            return t;
    }
    return NULL;
}

struct sched_share_info sched_share(const struct sched *s, enum sched_share share)
{
    struct sched_share_info info = { .max = s->shares.most[share],
                                     .jobs = s->job_count - uncounted(s) };
    for (int i = 0; i < (int)share; i++)
        info.jobs -= s->shares.jobs[i];
    return info;
}

bool sched_share_crowded(const struct sched *s, const struct sched_site *t,
                         struct sched_share_info *full_r)
{
    const struct sched_shares *h = &s->shares;
    bool further = t->trust.kind == SCHED_FURTHER;
    int last = account_of(t->trust.kind);
    uint32_t aside = uncounted(s), jobs = s->job_count - aside;
    if (!list_linked(&t->runnable))
        return false;
    for (int i = 0; i <= last; jobs -= h->jobs[i++]) {
        *full_r = (struct sched_share_info){ jobs, h->most[i] };
        if (jobs >= h->most[i])
            return true;
    }
    jobs += h->jobs[last];
    *full_r = further ? (struct sched_share_info){ jobs + aside, h->most[SCHED_TROUBLE] }
                      : (struct sched_share_info){ jobs, h->most[SCHED_NEW] };
    return (further || t->trust.kind == SCHED_LONG) && full_r->jobs >= full_r->max;
}

void sched_share_begin(struct sched *s, struct sched_site *t, struct sched_job_slot *j)
{
    j->share = (uint8_t)account_of(kind_of(s, t));
    int64_t silent_ms = (int64_t)t->trust.usual_ms * TIMES;
    int64_t least_ms = j->share < SCHED_NEW ? SCHED_HUNG_MS : SCHED_SILENT_MS;
    if (silent_ms < least_ms)
        silent_ms = least_ms;
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
        k->works = true;
        k->trouble = false;
        k->ok_ms = now_ms;
        k->unanswered = 0;
        k->usual_ms = (uint32_t)(took_ms < SILENT_MOST_MS / TIMES ? took_ms
                                                                  : SILENT_MOST_MS / TIMES);
    } else if (news == SCHED_NEWS_DOWN || news == SCHED_NEWS_BUSY) {
        k->works = false;
        k->trouble = true;
    }
    sched_site_update(s, t);
}

/* A site loses its trust at once. What began in that trust makes room for another job: else many
 * sites that stop at one moment would have all there are, before anything is known of them. */
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
            if (h->jobs[j->share = SCHED_HUNG]++ == s->cfg.jobs_max / MANY)
                h->hung_ms = j->begun_ms;
        }
        sched_site_update(s, t);
    }
}

int64_t sched_share_wake_ms(const struct sched *s)
{
    const struct sched_shares *h = &s->shares;
    const struct heap_node *n = heap_min(&h->silent);
    for (int i = 0; n && i < SCHED_KINDS; i++)
        if (!list_empty(&h->runnable[i]))
            return n->key;
    return INT64_MAX;
}
