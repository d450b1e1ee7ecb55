/* The gateway's processes, and what master does for them: start, wire, start again. A message
 * from master arrives a little later, in order, as over its channel. */
#include "world.h"

#include "base/must.h"
#include "qmgr/inside.h"

#include <stdlib.h>
#include <unistd.h>

enum {
    GIFT_MAX_MS = 3,
    RESTART_FIRST_MS = 100,
    RESTART_MAX_MS = 30 * SECOND_MS,
    STEADY_MS = MINUTE_MS,
    FINISH_MS = 30 * SECOND_MS,
    FINISH_SLACK_MS = 2 * SECOND_MS,
    INLINE_MIN = 8 << 10,
};

struct gift {
    struct list node;
    enum { GIFT_PEER, GIFT_LISTENER, GIFT_START, GIFT_RELOAD, GIFT_FINISH } kind;
    enum role_id role;
    int index, fd;
    struct config *config;
};

static void spawn(struct proc *p);

static struct config *copy_config(const struct config *c)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    config_put(&b, c);
    struct wire w = wire_reader(buf_span(&b));
    struct config *copy = config_get(&w);
    MUST(copy);
    buf_free(&b);
    return copy;
}

/* --- gifts --- */

static void gift_free(struct proc *p, struct gift *g)
{
    list_remove(&g->node);
    loop_close(p->w->l, g->fd);
    config_free(&g->config);
    free(g);
}

static struct gift *gift(struct proc *p, int kind)
{
    struct gift *g = NEW(struct gift);
    g->kind = kind;
    g->fd = -1;
    list_append(&p->gifts, &g->node);
    if (!loop_timer_set(&p->give))
        loop_timer_in(p->w->l, &p->give, (int64_t)chance(p->w, GIFT_MAX_MS));
    return g;
}

static void give_listener(struct proc *p)
{
    if (p->id == ROLE_SMTPD)
        gift(p, GIFT_LISTENER)->fd = loop_sim_dup(p->w->l, p->w->listen_fd);
}

static void begin(struct proc *p)
{
    struct err e = { "" };
    if (p->ops->start(p->role, &e)) {
        p->started = true;
        return;
    }
    say(p->w, "%s cannot start: %s", role_name(p->id), e.text);
    loop_hook_ask(p->w->l, &p->end);
}

static void unwrap(struct proc *p, struct gift *g)
{
    int fd = g->fd;
    g->fd = -1;
    switch (g->kind) {
    case GIFT_PEER: p->ops->peer(p->role, g->role, g->index, fd); break;
    case GIFT_LISTENER: p->ops->listener(p->role, fd, &p->w->address, SPAN("mx")); break;
    case GIFT_START: begin(p); break;
    case GIFT_RELOAD:
        if (p->started)
            p->ops->reload(p->role, g->config);
        else
            config_free(&g->config);
        g->config = NULL;
        break;
    case GIFT_FINISH: p->ops->finish(p->role, FINISH_MS); break;
    }
}

static void on_give(void *ctx)
{
    struct proc *p = ctx;
    struct list *n = list_first(&p->gifts);
    if (!n)
        return;
    struct gift *g = CONTAINER(n, struct gift, node);
    list_remove(n);
    if (list_first(&p->gifts))
        loop_timer_in(p->w->l, &p->give, (int64_t)chance(p->w, GIFT_MAX_MS));
    unwrap(p, g);
    gift_free(p, g);
}

/* --- wiring, as master/give.c does it --- */

static bool paired(enum role_id a, enum role_id b)
{
#define PAIR(x, y) \
    if ((a == ROLE_##x && b == ROLE_##y) || (a == ROLE_##y && b == ROLE_##x)) \
        return true;
    ROLE_PAIRS(PAIR)
    return false;
}

static void give_end(struct proc *to, const struct proc *of, int fd)
{
    if (to->id == ROLE_DELIVER && of->id == ROLE_QMGR)
        to->qmgr_fd = fd;
    struct gift *g = gift(to, GIFT_PEER);
    g->role = of->id;
    g->index = of->index;
    g->fd = fd;
}

static void give_peers(struct proc *p)
{
    for (int i = 0; i < PROCS; i++) {
        struct proc *other = &p->w->procs[i];
        int fds[2];
        if (other == p || !other->role || !paired(p->id, other->id))
            continue;
        MUST(loop_pair(p->w->l, fds) == 0);
        give_end(p, other, fds[0]);
        give_end(other, p, fds[1]);
    }
}

/* --- life and death --- */

static void bury(struct proc *p)
{
    struct world *w = p->w;
    if (!p->role)
        return;
    if (p->disk)
        mortal_die(p->disk);
    p->ops->free(p->role);
    p->role = NULL;
    p->started = false;
    events_free(&p->env.events);
    vfs_free(&p->disk);
    LIST_EACH(n, &p->gifts)
        gift_free(p, CONTAINER(n, struct gift, node));
    loop_timer_stop(w->l, &p->give);
    loop_hook_cancel(&p->end);
    if (p->id == ROLE_SMTPD)
        w->smtpd_died_ms = loop_mono_ms(w->l);
    if (p->id == ROLE_DELIVER || p->id == ROLE_QMGR)
        excuse_now(w);
}

/* As master does when a child has ended unasked. */
static void tell_watch(struct proc *p)
{
    struct proc *watch = proc_of(p->w, ROLE_WATCH, 0);
    if (watch && watch->started)
        watch->ops->child_died(watch->role, p->id, 0, SPAN("killed"));
}

static void start_again(struct proc *p)
{
    struct world *w = p->w;
    int64_t wait = RESTART_FIRST_MS;
    if (loop_mono_ms(w->l) - p->started_ms > STEADY_MS)
        p->deaths = 0;
    for (unsigned i = 0; i < p->deaths && wait < RESTART_MAX_MS; i++)
        wait *= 2;
    p->deaths++;
    tell_watch(p);
    loop_timer_in(w->l, &p->restart, wait < RESTART_MAX_MS ? wait : RESTART_MAX_MS);
}

void proc_kill(struct proc *p)
{
    if (!p->role || p->w->stopping)
        return;
    say(p->w, "kill %s %d", role_name(p->id), p->index);
    bury(p);
    start_again(p);
}

void proc_away(struct proc *p, int64_t ms)
{
    proc_kill(p);
    loop_timer_in(p->w->l, &p->restart, ms);
}

void proc_unwire(struct proc *p)
{
    struct proc *qmgr = proc_of(p->w, ROLE_QMGR, 0);
    if (!p->role || !qmgr->role || !p->qmgr_fd)
        return;
    say(p->w, "deliver %d has no channel to qmgr any more", p->index);
    loop_sim_reset(p->w->l, p->qmgr_fd);
    p->qmgr_fd = 0;
    excuse_now(p->w);
}

static bool any_running(const struct world *w)
{
    for (int i = 0; i < PROCS; i++)
        if (w->procs[i].role)
            return true;
    return false;
}

static void on_end(void *ctx)
{
    struct proc *p = ctx;
    struct world *w = p->w;
    say(w, "%s %d has ended", role_name(p->id), p->index);
    w->endings += !w->stopping;
    bury(p);
    if (!w->stopping)
        start_again(p);
    else if (!any_running(w))
        loop_timer_in(w->l, &w->reboot, SECOND_MS);
}

static void on_done(struct role_env *env)
{
    struct proc *p = env->host;
    loop_hook_ask(p->w->l, &p->end);
}

static void on_restart(void *ctx) { spawn(ctx); }

static struct events *make_events(struct proc *p)
{
    bool trace = p->w->opt.trace;
    struct events_config ec = { .tag = role_name(p->id),
                                .role = role_name(p->id),
                                .hostname = "gw.example",
                                .line_fd = trace ? dup(STDERR_FILENO) : -1,
                                .event_fd = -1 };
    return events_new(p->w->l, &ec);
}

static void spawn(struct proc *p)
{
    struct world *w = p->w;
    struct err e = { "" };
    p->started_ms = loop_mono_ms(w->l);
    p->disk = p->id == ROLE_QMGR || p->id == ROLE_WATCH ? mortal_new(w->disk) : NULL;
    p->env = (struct role_env){ .loop = w->l,
                                .vfs = p->disk,
                                .events = make_events(p),
                                .instance_id = "simsimsim",
                                .index = p->index,
                                .done = on_done,
                                .host = p };
    p->role = p->ops->make(&p->env, copy_config(w->config), &e);
    MUST(p->role);
    give_peers(p);
    give_listener(p);
    gift(p, GIFT_START);
}

/* postern stop, and a start when all have gone. */
void procs_stop(struct world *w)
{
    if (w->stopping || loop_timer_set(&w->reboot))
        return;
    say(w, "stop");
    w->stopping = true;
    for (int i = 0; i < PROCS; i++) {
        struct proc *p = &w->procs[i];
        loop_timer_stop(w->l, &p->restart);
        if (p->role && p->started)
            gift(p, GIFT_FINISH);
        else if (p->role)
            loop_hook_ask(w->l, &p->end);
    }
    loop_timer_in(w->l, &w->stopped, FINISH_MS + FINISH_SLACK_MS);
}

/* Whoever is still there has not kept the promise to end within the time given. */
static void on_stopped(void *ctx)
{
    struct world *w = ctx;
    for (int i = 0; i < PROCS; i++)
        if (w->procs[i].role && w->stopping)
            fail(w, "%s %d was asked to finish in %d s and did not", role_name(w->procs[i].id),
                 w->procs[i].index, FINISH_MS / SECOND_MS);
}

void procs_reload(struct world *w)
{
    w->config->spool.inline_max_bytes = INLINE_MIN << chance(w, 4);
    w->config->retry.max_ms = (int64_t)(1 + chance(w, 10)) * MINUTE_MS;
    say(w, "reload");
    for (int i = 0; i < PROCS; i++) {
        struct proc *p = &w->procs[i];
        if (!p->role || !p->started)
            continue;
        give_listener(p);
        gift(p, GIFT_RELOAD)->config = copy_config(w->config);
    }
}

/* --- all of them --- */

static void on_reboot(void *ctx)
{
    struct world *w = ctx;
    w->stopping = false;
    loop_timer_stop(w->l, &w->stopped);
    for (int i = 0; i < PROCS; i++)
        if (w->procs[i].ops)
            spawn(&w->procs[i]);
}

static void add(struct world *w, size_t *n, enum role_id id, const struct role_ops *ops, int count)
{
    for (int i = 0; i < count; i++) {
        struct proc *p = &w->procs[(*n)++];
        *p = (struct proc){ .w = w, .id = id, .index = i, .ops = ops };
        list_init(&p->gifts);
        loop_timer_init(&p->give, on_give, p);
        loop_timer_init(&p->restart, on_restart, p);
        loop_hook_init(&p->end, LOOP_STAGE_LOG, on_end, p);
    }
}

void procs_boot(struct world *w)
{
    size_t n = 0;
    struct err e;
    add(w, &n, ROLE_QMGR, &qmgr_role, 1);
    add(w, &n, ROLE_ROUTER, &router_role, 1);
    add(w, &n, ROLE_RESOLVER, &resolver_twin, 1);
    add(w, &n, ROLE_DELIVER, &deliver_role, DELIVERS);
    add(w, &n, ROLE_SMTPD, &smtpd_role, SMTPDS);
    if (w->watched)
        add(w, &n, ROLE_WATCH, &watch_role, 1);
    MUST(n <= PROCS);
    w->listen_fd = loop_listen(w->l, &w->address, 64, &e);
    MUST(w->listen_fd >= 0);
    loop_timer_init(&w->reboot, on_reboot, w);
    loop_timer_init(&w->stopped, on_stopped, w);
    on_reboot(w);
}

void procs_crash(struct world *w)
{
    struct err e;
    say(w, "the machine crashes");
    for (int i = 0; i < PROCS; i++) {
        bury(&w->procs[i]);
        loop_timer_stop(w->l, &w->procs[i].restart);
        w->procs[i].deaths = 0;
    }
    w->stopping = false;
    loop_timer_stop(w->l, &w->stopped);
    loop_close(w->l, w->listen_fd);
    vfs_faulty_reboot(w->disk, chance(w, UINT64_MAX));
    w->listen_fd = loop_listen(w->l, &w->address, 64, &e);
    MUST(w->listen_fd >= 0);
    loop_timer_in(w->l, &w->reboot, 1 + (int64_t)chance(w, 2 * MINUTE_MS));
}

void procs_free(struct world *w)
{
    loop_timer_stop(w->l, &w->reboot);
    loop_timer_stop(w->l, &w->stopped);
    for (int i = 0; i < PROCS; i++) {
        bury(&w->procs[i]);
        loop_timer_stop(w->l, &w->procs[i].restart);
    }
    loop_close(w->l, w->listen_fd);
}

struct proc *proc_of(struct world *w, enum role_id id, int index)
{
    for (int i = 0; i < PROCS; i++)
        if (w->procs[i].ops && w->procs[i].id == id && w->procs[i].index == index)
            return &w->procs[i];
    return NULL;
}

struct spool *procs_spool(struct world *w)
{
    struct proc *p = proc_of(w, ROLE_QMGR, 0);
    return p->role && p->started ? ((struct qmgr *)p->role)->spool : NULL;
}
