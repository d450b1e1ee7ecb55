/* share: how much of all jobs each kind of site may take, so that those which do not answer, be
 * they thousands, leave room for those that do. */
#ifndef POSTERN_SCHED_SHARE_H
#define POSTERN_SCHED_SHARE_H

#include "base/heap.h"
#include "base/list.h"
#include "sched/sched.h"

struct sched_site;
struct sched_job_slot;

/* The shares and, where a job is under way: a site not known to work, and one that works and always
 * takes long. */
enum { SCHED_FURTHER = SCHED_SHARES, SCHED_LONG, SCHED_KINDS };
/* What its jobs count as, beside a share: begun where it worked, and silent since. */
enum { SCHED_HUNG = SCHED_SHARES, SCHED_ACCOUNTS };

struct sched_shares {
    struct list runnable[SCHED_KINDS]; /* sites that could start something, the next one first */
    uint64_t serial; /* of those that came to wait */
    uint32_t most[SCHED_SHARES]; /* jobs of each and of those that are trusted less */
    uint32_t jobs[SCHED_ACCOUNTS]; /* under way, by what their site was when they began */
    uint32_t silent_jobs;
    int64_t hung_ms; /* when the one began that made them many */
    struct heap silent; /* jobs that are not silent yet, by when they will be */
};

struct sched_trust { /* what is known of a site */
    int64_t ok_ms;       /* when it last took something */
    uint64_t waits;      /* for a turn, since then */
    uint32_t usual_ms;   /* how long that took */
    uint8_t unanswered;  /* jobs begun since, as far as it matters */
    uint8_t kind;        /* the list it is in */
    bool works, trouble; /* what it did last; neither: nothing yet */
};

void sched_shares_init(struct sched *s);
void sched_shares_configure(struct sched *s);
void sched_shares_free(struct sched *s);
/* A site could start something, or cannot any more; to be told after any change. */
void sched_share_update(struct sched *s, struct sched_site *t, bool want);
/* The site whose turn it is; NULL: none may start anything. */
struct sched_site *sched_share_turn(struct sched *s);
bool sched_share_any(const struct sched *s); /* might there be one? */
enum sched_share sched_share_of(const struct sched *s, const struct sched_site *t);
/* True: it could start something, but for the bound of *full_r. */
bool sched_share_crowded(const struct sched *s, const struct sched_site *t,
                         struct sched_share_info *full_r);

void sched_share_begin(struct sched *s, struct sched_site *t, struct sched_job_slot *j);
void sched_share_end(struct sched *s, struct sched_job_slot *j);
/* What a job that ended says of its site. */
void sched_share_learn(struct sched *s, struct sched_site *t, enum sched_news news,
                       int64_t begun_ms, int64_t now_ms);
/* Jobs that have become silent. */
void sched_share_listen(struct sched *s, int64_t now_ms);
/* When the next one will be that may keep something waiting; INT64_MAX: nothing waits. */
int64_t sched_share_wake_ms(const struct sched *s);

#endif
