/* way: what the delivers say of jobs that are under way, when a person asks: at which host each
 * is, what it waits for and since when. Asked on demand; one that does not answer within a second
 * is not waited for. */
#ifndef POSTERN_QMGR_WAY_H
#define POSTERN_QMGR_WAY_H

#include "qmgr/inside.h"
#include "smtp/client.h"

enum { WAY_WAIT_MS = 1000 };

struct way;

struct way_job { /* spans live as long as the question */
    uint64_t id;
    int64_t begun_ms;         /* monotonic */
    bool told;                /* else deliver did not answer */
    enum here_doing doing;
    enum smtp_stage stage;    /* of HERE_TALKING */
    int64_t ms;               /* it has waited so long, when it was asked */
    struct netaddr relay;
    struct span host, text, story;
};

/* done is called once, in a later turn, when all have answered or the time is over. */
struct way *way_new(struct qmgr *q, void (*done)(void *ctx), void *ctx);
void way_free(struct way **w); /* accepts NULL in *w; done is not called any more */
/* One to ask about: of more than HERE_MAX those that were begun first. */
void way_add(struct way *w, const struct job *j);
/* Also those that have to do with the address at, which add themselves; NULL: none. */
void way_ask(struct way *w, const struct netaddr *at);
bool way_done(const struct way *w);
/* The jobs, those that were begun first first; *of_r: of how many. */
const struct way_job *way_jobs(const struct way *w, size_t *n_r, size_t *of_r);

/* From the delivers. */
void way_here(struct deliver_peer *p, const struct msg_here *m);
void way_here_end(struct deliver_peer *p, const struct msg_here_end *m);

#endif
