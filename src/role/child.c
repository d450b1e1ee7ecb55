#include "role/child.h"

#include "base/must.h"
#include "base/num.h"
#include "proto/master_child.h"
#include "role/confine.h"
#include "role/logs.h"
#include "role/role.h"
#include "sys/proc.h"
#include "vfs/vfs.h"

#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sysexits.h>
#include <unistd.h>

enum { ORPHAN_FINISH_MS = 30000, HEAP_KEPT_BYTES = 4 << 20, PEERS_HELD_MAX = 256 };

/* A channel that came before the start. */
struct held_peer {
    enum role_id role;
    int index, fd;
};

struct child {
    enum role_id id;
    const struct role_ops *ops;
    struct role_env env;
    void *role;
    struct channel *master;
    struct buf config_bytes;
    uint64_t generation, have_generation; /* being read; read whole */
    struct config *next; /* a reload that is not complete yet */
    const struct config *config; /* owned by the role; for confine */
    char *instance_id;
    int line_fd, event_fd;
    bool started, finishing, failed;
    struct held_peer held[PEERS_HELD_MAX];
    size_t held_count;
};

static void give_up(struct child *c, const struct err *e)
{
    if (c->env.events)
        log_line(c->env.events, EVENT_ALARM, "%s: %s", role_name(c->id), e->text);
    dprintf(STDERR_FILENO, "postern: %s: %s\n", role_name(c->id), e->text);
    c->failed = true;
    loop_stop(c->env.loop);
}

/* The first configuration makes the role; a later one waits for config_done. */
static void take_config(struct child *c, struct config *cfg)
{
    if (c->role) {
        config_free(&c->next);
        c->next = cfg;
        return;
    }
    struct err e = { "" };
    c->env.events = logs_new(c->env.loop, cfg, role_name(c->id), c->line_fd, c->event_fd);
    c->line_fd = c->event_fd = -1;
    c->config = cfg;
    c->role = c->ops->make(&c->env, cfg, &e);
    if (!c->role)
        give_up(c, &e);
}

static void on_config_part(struct child *c, struct channel *ch, const struct msg_config_part *m)
{
    (void)ch;
    if (m->generation != c->generation) {
        buf_reset(&c->config_bytes);
        c->generation = m->generation;
    }
    buf_puts(&c->config_bytes, m->part);
    if (!m->last)
        return;
    struct wire w = wire_reader(buf_span(&c->config_bytes));
    struct config *cfg = c->config_bytes.failed ? NULL : config_get(&w);
    buf_free(&c->config_bytes);
    c->have_generation = c->generation;
    c->generation = 0;
    struct err e;
    err_set(&e, "the configuration master sent cannot be read");
    if (cfg)
        take_config(c, cfg);
    else if (!c->role)
        give_up(c, &e);
}

static void on_config_done(struct child *c, struct channel *ch, const struct msg_config_done *m)
{
    struct config *next = c->next;
    if (!next || !c->role || !c->ops->reload)
        return;
    c->next = NULL;
    c->config = next;
    logs_follow(c->env.events, next);
    c->env.untaken.text[0] = '\0';
    c->ops->reload(c->role, next);
    struct msg_child_ready ready = { .generation = m->generation,
                                     .untaken = span_str(c->env.untaken.text) };
    send_child_ready(ch, &ready);
}

static void on_start(struct child *c, struct channel *ch, const struct msg_start *m)
{
    free(c->instance_id);
    c->instance_id = must_strndup(m->instance_id.p, m->instance_id.n);
    c->env.instance_id = c->instance_id;
    struct err e = { "" };
    if (!c->role || c->failed)
        return;
    if (!confine(c->id, c->config, c->env.events, &e) || !c->ops->start(c->role, &e)) {
        give_up(c, &e);
        return;
    }
    c->started = true;
    for (size_t i = 0; i < c->held_count; i++)
        c->ops->peer(c->role, c->held[i].role, c->held[i].index, c->held[i].fd);
    c->held_count = 0;
    struct msg_child_ready ready = { .generation = c->have_generation };
    send_child_ready(ch, &ready);
}

static void begin_finish(struct child *c, int64_t within_ms)
{
    if (c->finishing)
        return;
    c->finishing = true;
    if (c->started)
        c->ops->finish(c->role, within_ms);
    else
        loop_stop(c->env.loop);
}

static void on_finish(struct child *c, struct channel *ch, const struct msg_finish *m)
{
    (void)ch;
    begin_finish(c, m->within_ms);
}

static void on_master_said(struct child *c, struct channel *ch, const struct msg_master_said *m)
{
    (void)ch;
    if (c->role && c->ops->master_said)
        c->ops->master_said(c->role, m->q, m->ok, m->text);
}

static bool handle_local_said(void *ctx, struct channel *ch, struct span body, int fd)
{
    struct child *c = ctx;
    struct msg_local_said m;
    (void)ch;
    if (!msg_local_said_get(body, &m) || (fd >= 0) != m.ok) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    if (c->role && c->ops->local_said)
        c->ops->local_said(c->role, m.q, fd, m.text);
    else if (fd >= 0)
        close(fd);
    return true;
}

static bool handle_local_job(void *ctx, struct channel *ch, struct span body, int fd)
{
    struct child *c = ctx;
    struct msg_local_job m;
    (void)ch;
    if (fd < 0 || !msg_local_job_get(body, &m))
        return false;
    if (c->role && c->ops->local_job)
        c->ops->local_job(c->role, &m, fd);
    else
        close(fd);
    return true;
}

static void on_child_died(struct child *c, struct channel *ch, const struct msg_child_died *m)
{
    (void)ch;
    if (c->role && c->ops->child_died && m->role < ROLE_COUNT)
        c->ops->child_died(c->role, m->role, m->age_ms, m->text);
}

PROTO_HANDLER(child_died, struct child *, on_child_died)
PROTO_HANDLER(config_part, struct child *, on_config_part)
PROTO_HANDLER(config_done, struct child *, on_config_done)
PROTO_HANDLER(start, struct child *, on_start)
PROTO_HANDLER(finish, struct child *, on_finish)
PROTO_HANDLER(master_said, struct child *, on_master_said)

/* --- what comes with a descriptor --- */

static bool handle_peer(void *ctx, struct channel *ch, struct span body, int fd)
{
    struct child *c = ctx;
    struct msg_peer m;
    (void)ch;
    if (fd < 0 || !msg_peer_get(body, &m) || m.role >= ROLE_COUNT)
        return false;
    bool may_hold = c->held_count < PEERS_HELD_MAX;
    if (!c->role || !c->ops->peer || (!c->started && !may_hold))
        close(fd);
    else if (c->started)
        c->ops->peer(c->role, m.role, m.index, fd);
    else /* who was quick has asked already: it is read when the role can answer */
        c->held[c->held_count++] = (struct held_peer){ m.role, m.index, fd };
    return true;
}

static bool handle_listener(void *ctx, struct channel *ch, struct span body, int fd)
{
    struct child *c = ctx;
    struct msg_listener m;
    (void)ch;
    if (fd < 0 || !msg_listener_get(body, &m))
        return false;
    if (c->role && c->ops->listener)
        c->ops->listener(c->role, fd, &m.address, m.section);
    else
        close(fd);
    return true;
}

static bool handle_file(void *ctx, struct channel *ch, struct span body, int fd)
{
    struct child *c = ctx;
    struct msg_file m;
    (void)ch;
    if (fd < 0 || !msg_file_get(body, &m))
        return false;
    if (c->role && c->ops->file)
        c->ops->file(c->role, m.kind, m.index, m.path, fd);
    else
        close(fd);
    return true;
}

/* The pair of log files: lines (or "syslog"), then events. Both always come, as /dev/null when
 * there is none, so that a rotation is the same message again. */
static bool handle_log_file(void *ctx, struct channel *ch, struct span body, int fd)
{
    struct child *c = ctx;
    struct msg_log_file m;
    (void)ch;
    if (fd < 0 || !msg_log_file_get(body, &m))
        return false;
    if (m.which == 1) {
        if (c->event_fd >= 0)
            close(c->event_fd);
        c->event_fd = fd;
        if (c->env.events)
            events_set_files(c->env.events, c->line_fd, c->event_fd);
        if (c->env.events)
            c->line_fd = c->event_fd = -1;
        return true;
    }
    if (m.which == 2)
        close(fd);
    c->line_fd = m.which == 2 ? -2 : fd;
    return true;
}

static const struct channel_type types[] = {
    PROTO_TYPE(config_part), PROTO_TYPE(config_done), PROTO_TYPE(start), PROTO_TYPE(finish),
    PROTO_TYPE(master_said), PROTO_TYPE(child_died), { MSG_peer, "peer", handle_peer },
    { MSG_listener, "listener", handle_listener }, { MSG_file, "file", handle_file },
    { MSG_log_file, "log_file", handle_log_file },
    { MSG_local_said, "local_said", handle_local_said },
    { MSG_local_job, "local_job", handle_local_job },
};

/* master has gone: what is held is finished, and this process with it. */
static void on_master_gone(void *ctx, struct channel *ch, const char *why)
{
    struct child *c = ctx;
    (void)ch;
    if (c->env.events) {
        event_begin(c->env.events, EVENT_peer_lost);
        event_str(c->env.events, FIELD_role, SPAN("master"));
        event_str(c->env.events, FIELD_text, span_str(why));
        event_end(c->env.events);
    }
    if (c->role)
        begin_finish(c, ORPHAN_FINISH_MS);
    else
        loop_stop(c->env.loop);
}

static const struct channel_ops master_ops = {
    .types = types,
    .type_count = sizeof types / sizeof *types,
    .closed = on_master_gone,
};

static void on_done(struct role_env *env)
{
    struct child *c = env->host;
    loop_stop(c->env.loop);
}

static void ask_master(struct role_env *env, bool stop, uint64_t q, struct span who)
{
    struct child *c = env->host;
    if (stop) {
        struct msg_stop_ask m = { .q = q, .who = who };
        send_stop_ask(c->master, &m);
    } else {
        struct msg_reload_ask m = { .q = q, .who = who };
        send_reload_ask(c->master, &m);
    }
}

static void ask_local(struct role_env *env, const struct msg_local_ask *m)
{
    struct child *c = env->host;
    send_local_ask(c->master, m);
}

static void child_free(struct child *c)
{
    if (c->role)
        c->ops->free(c->role);
    config_free(&c->next);
    if (channel_open(c->master))
        channel_flush_all(c->master, 1000);
    channel_free(&c->master);
    events_free(&c->env.events);
    vfs_free(&c->env.vfs);
    buf_free(&c->config_bytes);
    free(c->instance_id);
    loop_free(&c->env.loop);
}

int child_main(int argc, char **argv)
{
    struct child c = { .line_fd = -1, .event_fd = -1 };
    uint64_t index;
    if (argc != 2 || !role_find(argv[0], &c.id) || !role_ops_of(c.id) ||
        !num_upto(span_str(argv[1]), 65535, &index)) {
        dprintf(STDERR_FILENO, "postern: --role is for the gateway's own use\n");
        return EX_USAGE;
    }
    /* Buffers of messages come and go: they are kept in the heap, not mapped anew each time. */
    mallopt(M_MMAP_THRESHOLD, HEAP_KEPT_BYTES);
    mallopt(M_TRIM_THRESHOLD, 2 * HEAP_KEPT_BYTES);
    signal(SIGPIPE, SIG_IGN);
    /* Ctrl-C at the terminal reaches the whole group: master decides when children finish. */
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    c.ops = role_ops_of(c.id);
    prctl(PR_SET_NAME, role_name(c.id)); /* what top shows; ps shows the arguments */
    if (c.id == ROLE_SMTPD || c.id == ROLE_ROUTER || c.id == ROLE_QMGR)
        proc_short_turns(); /* a client waits for each of them in turn */
    c.env = (struct role_env){ .loop = loop_new(),
                               .index = (int)index,
                               .done = on_done,
                               .ask_master = ask_master,
                               .ask_local = ask_local,
                               .host = &c };
    if (c.id == ROLE_QMGR || c.id == ROLE_WATCH)
        c.env.vfs = vfs_posix();
    buf_init(&c.config_bytes, CONFIG_WIRE_MAX);
    c.master = channel_new(c.env.loop, CHILD_MASTER_FD, "master", &master_ops, &c);
    loop_run(c.env.loop);
    bool failed = c.failed;
    child_free(&c);
    return failed ? EX_OSERR : 0;
}
