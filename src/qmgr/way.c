#include "qmgr/way.h"

#include "base/must.h"

#include <stdlib.h>
#include <string.h>

enum { TEXTS_MAX = HERE_MAX * (80 << 10) };

struct way {
    struct list node; /* in q->ways, from way_ask on */
    struct qmgr *q;
    uint64_t number;
    void (*done)(void *ctx);
    void *ctx;
    struct loop_timer timer; /* the end; also when nobody is asked */
    struct arena *texts;
    struct way_job jobs[HERE_MAX];
    size_t n, of;
    bool asked[PEERS_MAX]; /* and no answer yet */
    bool over;
};

static void on_time(void *ctx)
{
    struct way *w = ctx;
    w->over = true;
    list_remove(&w->node);
    w->done(w->ctx);
}

struct way *way_new(struct qmgr *q, void (*done)(void *ctx), void *ctx)
{
    struct way *w = NEW(struct way);
    w->q = q;
    w->done = done;
    w->ctx = ctx;
    w->number = ++q->next_way;
    w->texts = arena_new(TEXTS_MAX);
    loop_timer_init(&w->timer, on_time, w);
    return w;
}

void way_free(struct way **at)
{
    struct way *w = *at;
    *at = NULL;
    if (!w)
        return;
    loop_timer_stop(w->q->env->loop, &w->timer);
    list_remove(&w->node);
    arena_free(&w->texts);
    free(w);
}

void way_add(struct way *w, const struct job *j)
{
    size_t at = w->n;
    w->of++;
    while (at > 0 && w->jobs[at - 1].begun_ms > j->begun_ms)
        at--;
    if (at == HERE_MAX)
        return;
    w->n += w->n < HERE_MAX;
    memmove(&w->jobs[at + 1], &w->jobs[at], (w->n - 1 - at) * sizeof *w->jobs);
    w->jobs[at] = (struct way_job){ .id = j->id, .begun_ms = j->begun_ms };
}

static const struct job *job_at(const struct way *w, uint64_t id, const struct deliver_peer *p)
{
    struct hash_node *n = hash_get(&w->q->jobs, span_of(&id, sizeof id));
    const struct job *j = n ? CONTAINER(n, struct job, node) : NULL;
    return j && j->at == p ? j : NULL;
}

static bool ask_one(struct way *w, struct deliver_peer *p, const struct netaddr *at)
{
    struct msg_where m = { .q = w->number };
    struct buf ids;
    if (at)
        m.at = *at;
    buf_init(&ids, sizeof(uint64_t) * HERE_MAX);
    for (size_t i = 0; i < w->n; i++)
        if (job_at(w, w->jobs[i].id, p))
            wire_put_u64(&ids, w->jobs[i].id);
    m.jobs = buf_span(&ids);
    bool any = m.jobs.n || (at && p->jobs);
    if (any)
        send_where(p->channel, &m);
    buf_free(&ids);
    return any;
}

void way_ask(struct way *w, const struct netaddr *at)
{
    struct qmgr *q = w->q;
    bool any = false;
    for (int i = 0; i < PEERS_MAX; i++) {
        w->asked[i] = q->delivers[i].channel && ask_one(w, &q->delivers[i], at);
        any |= w->asked[i];
    }
    list_append(&q->ways, &w->node);
    loop_timer_in(q->env->loop, &w->timer, any ? WAY_WAIT_MS : 0);
}

bool way_done(const struct way *w) { return w->over; }

const struct way_job *way_jobs(const struct way *w, size_t *n_r, size_t *of_r)
{
    *n_r = w->n;
    *of_r = w->of;
    return w->jobs;
}

/* --- from the delivers --- */

static struct way *way_of(const struct deliver_peer *p, uint64_t number)
{
    LIST_EACH(n, &p->q->ways) {
        struct way *w = CONTAINER(n, struct way, node);
        if (w->number == number && w->asked[p->index])
            return w;
    }
    return NULL;
}

static struct way_job *find(struct way *w, uint64_t id)
{
    for (size_t i = 0; i < w->n; i++)
        if (w->jobs[i].id == id)
            return &w->jobs[i];
    return NULL;
}

static struct span kept(struct way *w, struct span s)
{
    struct span copy = arena_dup(w->texts, s);
    return copy.p ? copy : SPAN_NONE;
}

void way_here(struct deliver_peer *p, const struct msg_here *m)
{
    struct way *w = way_of(p, m->q);
    const struct job *j = w ? job_at(w, m->job, p) : NULL;
    if (!j || m->doing >= HERE_DOINGS || m->stage >= SMTP_STAGES)
        return;
    if (!find(w, m->job))
        way_add(w, j);
    struct way_job *at = find(w, m->job);
    if (!at || at->told) /* there are too many; or it has been told: its memory is bounded */
        return;
    at->told = true;
    at->doing = (enum here_doing)m->doing;
    at->stage = (enum smtp_stage)m->stage;
    at->ms = m->ms;
    at->relay = m->relay;
    at->host = kept(w, m->host);
    at->text = kept(w, m->text);
    at->story = kept(w, m->story);
}

void way_here_end(struct deliver_peer *p, const struct msg_here_end *m)
{
    struct way *w = way_of(p, m->q);
    bool more = false;
    if (!w)
        return;
    w->asked[p->index] = false;
    for (int i = 0; i < PEERS_MAX; i++)
        more |= w->asked[i];
    if (!more) /* in another turn: the channel's other messages are handled first */
        loop_timer_in(w->q->env->loop, &w->timer, 0);
}
