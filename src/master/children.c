#include "base/must.h"
#include "base/num.h"
#include "master/inside.h"
#include "role/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STEADY_MS = 60000 }; /* whoever ran this long starts its back-off anew */

static void on_restart(void *ctx)
{
    struct child_slot *c = ctx;
    if (!c->pid && !c->master->stopping)
        child_spawn(c->master, c);
}

static void plan(struct master *m, enum role_id role, uint64_t count)
{
    for (uint64_t i = 0; i < count && m->child_count < CHILDREN_MAX; i++) {
        struct child_slot *c = &m->children[m->child_count++];
        *c = (struct child_slot){ .master = m, .role = role, .index = (int)i };
        loop_timer_init(&c->restart, on_restart, c);
    }
}

/* Half the processors take mail in and a quarter sends it: qmgr and the kernel want some too.
 * One of each on a small machine batches best (bench/RESULTS.md). */
void children_settle_counts(struct config *cfg)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    uint64_t n = cores > 1 ? (uint64_t)cores : 1;
    if (!cfg->processes.smtpd)
        cfg->processes.smtpd = n < 4 ? 1 : n / 2 > 16 ? 16 : n / 2;
    if (!cfg->processes.deliver)
        cfg->processes.deliver = n < 8 ? 1 : n / 4 > 8 ? 8 : n / 4;
}

void children_plan(struct master *m)
{
    plan(m, ROLE_QMGR, 1);
    plan(m, ROLE_ROUTER, 1);
    plan(m, ROLE_RESOLVER, 1);
    plan(m, ROLE_KEYRING, 1);
    plan(m, ROLE_CONTROL, 1);
    plan(m, ROLE_PICKUP, 1);
    plan(m, ROLE_WATCH, 1);
    plan(m, ROLE_DELIVER, m->config->processes.deliver);
    plan(m, ROLE_SMTPD, m->config->processes.smtpd);
}

/* --- messages from a child --- */

static void on_child_ready(struct child_slot *c, struct channel *ch,
                           const struct msg_child_ready *msg)
{
    struct master *m = c->master;
    (void)ch;
    c->ready = true;
    c->generation = msg->generation;
    if (msg->untaken.n)
        reload_untaken(m, c->role, msg);
    reload_settle(m);
    if (m->starting && children_all_ready(m)) {
        m->starting = false;
        if (m->ready_fd && write(m->ready_fd, "\n", 1) == 1)
            close(m->ready_fd);
        m->ready_fd = 0;
        event_begin(m->events, EVENT_gateway_started);
        event_str(m->events, FIELD_text, SPAN("Postern " POSTERN_VERSION));
        event_int(m->events, FIELD_pid, getpid());
        event_str(m->events, FIELD_path, span_str(m->config_path));
        event_end(m->events);
        log_line(m->events, EVENT_INFO, "starting daemon (Postern " POSTERN_VERSION "): %zu %s",
                 m->listener_count, m->listener_count == 1 ? "listener" : "listeners");
        if (m->queue_run_ms < 0)
            log_line(m->events, EVENT_NOTICE, "-q without an interval: the queue is never run by "
                     "itself; what waits for a run waits until one is asked for");
    }
}

static void on_reload_ask(struct child_slot *c, struct channel *ch,
                          const struct msg_reload_ask *msg)
{
    struct buf text;
    buf_init(&text, 256 << 10);
    if (!master_reload(c->master, msg->who, &msg->q, &text)) {
        struct msg_master_said said = { .q = msg->q, .text = buf_span(&text) };
        send_master_said(ch, &said);
    }
    buf_free(&text);
}

static void on_stop_ask(struct child_slot *c, struct channel *ch, const struct msg_stop_ask *msg)
{
    struct msg_master_said said = { .q = msg->q, .ok = 1, .text = SPAN("stopping") };
    send_master_said(ch, &said);
    channel_flush(ch);
    master_stop(c->master, msg->who);
}

static void on_local_ask(struct child_slot *c, struct channel *ch,
                         const struct msg_local_ask *msg)
{
    (void)ch;
    local_asked(c, msg);
}

PROTO_HANDLER(child_ready, struct child_slot *, on_child_ready)
PROTO_HANDLER(reload_ask, struct child_slot *, on_reload_ask)
PROTO_HANDLER(stop_ask, struct child_slot *, on_stop_ask)
PROTO_HANDLER(local_ask, struct child_slot *, on_local_ask)

static const struct channel_type ready_types[] = { PROTO_TYPE(child_ready),
                                                   PROTO_TYPE(reload_ask), PROTO_TYPE(stop_ask) };

static const struct channel_type deliver_types[] = { PROTO_TYPE(child_ready),
                                                     PROTO_TYPE(local_ask) };

/* The exit that follows says more: see children_reap. */
static void on_closed(void *ctx, struct channel *ch, const char *why)
{
    (void)ctx;
    (void)ch;
    (void)why;
}

/* Only control and deliver may ask for more than being counted as ready. */
static const struct channel_ops *ops_of(enum role_id role)
{
    static const struct channel_ops plain = { ready_types, 1, on_closed, NULL },
                                    control = { ready_types, 3, on_closed, NULL },
                                    deliver = { deliver_types, 2, on_closed, NULL };
    return role == ROLE_CONTROL ? &control : role == ROLE_DELIVER ? &deliver : &plain;
}

/* --- starting and ending --- */

static _Noreturn void become_child(struct child_slot *c, int fd)
{
    char index[16];
    snprintf(index, sizeof index, "%d", c->index);
    const char *argv[] = { "postern", "--role", role_name(c->role), index, NULL };
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (fd != CHILD_MASTER_FD)
        dup2(fd, CHILD_MASTER_FD);
    else
        fcntl(fd, F_SETFD, 0);
    /* The very binary that runs: not what has been installed in its place since. */
    execv("/proc/self/exe", (char *const *)argv);
    dprintf(STDERR_FILENO, "postern: cannot execute itself: %s\n", strerror(errno));
    _exit(71);
}

static void later(struct master *m, struct child_slot *c)
{
    if (c->backoff_ms >= m->config->processes.restart_max_ms) {
        event_begin(m->events, EVENT_child_restart_delayed);
        event_str(m->events, FIELD_role, span_str(role_name(c->role)));
        event_int(m->events, FIELD_ms, c->backoff_ms);
        event_int(m->events, FIELD_count, c->deaths);
        event_end(m->events);
    }
    if (!c->backoff_ms) /* it could not even be started */
        c->backoff_ms = m->config->processes.restart_first_ms;
    loop_timer_in(m->loop, &c->restart, c->backoff_ms);
}

bool child_fork(struct master *m, struct child_slot *c)
{
    int fds[2];
    if (loop_pair(m->loop, fds) != 0) {
        log_line(m->events, EVENT_ALARM, "cannot make a socket pair: %s", strerror(errno));
        return false;
    }
    pid_t pid = fork();
    if (pid == 0)
        become_child(c, fds[1]);
    close(fds[1]);
    if (pid < 0) {
        log_line(m->events, EVENT_ALARM, "cannot fork: %s", strerror(errno));
        close(fds[0]);
        return false;
    }
    c->pid = pid;
    c->ready = false;
    c->started_ms = loop_mono_ms(m->loop);
    c->channel = channel_new(m->loop, fds[0], role_name(c->role), ops_of(c->role), c);
    return true;
}

static void tell_death(struct master *m, struct channel *watch, const struct child_slot *dead,
                       size_t at)
{
    struct msg_child_died msg = { .role = (uint8_t)dead->role,
                                  .age_ms = loop_mono_ms(m->loop) - dead->died[at].at_ms,
                                  .text = span_str(dead->died[at].how) };
    send_child_died(watch, &msg);
}

/* It counts them: repeated ones are an alarm. */
static void note_death(struct master *m, struct child_slot *dead, const char *how)
{
    size_t at = dead->died_count++ % DEATHS_KEPT;
    dead->died[at].at_ms = loop_mono_ms(m->loop);
    snprintf(dead->died[at].how, sizeof dead->died[at].how, "%s", how);
    for (size_t i = 0; i < m->child_count; i++) {
        const struct child_slot *c = &m->children[i];
        if (c->role == ROLE_WATCH && c != dead && c->channel)
            tell_death(m, c->channel, dead, at);
    }
}

/* Its own deaths, and what the one before knew. */
static void tell_deaths(struct master *m, struct child_slot *watch)
{
    for (size_t i = 0; i < m->child_count; i++)
        for (size_t at = 0; at < DEATHS_KEPT && at < m->children[i].died_count; at++)
            tell_death(m, watch->channel, &m->children[i], at);
}

void child_spawn(struct master *m, struct child_slot *c)
{
    if (!child_fork(m, c)) {
        later(m, c);
        return;
    }
    event_begin(m->events, EVENT_child_started);
    event_str(m->events, FIELD_role, span_str(role_name(c->role)));
    event_int(m->events, FIELD_pid, c->pid);
    event_end(m->events);
    if (!give_all(m, c))
        kill(c->pid, SIGKILL); /* half equipped it would go on so for ever: again, later */
    else if (c->role == ROLE_WATCH)
        tell_deaths(m, c);
}

static void say_end(struct master *m, struct child_slot *c, int status)
{
    char how[DEATH_WORDS_MAX];
    if (WIFSIGNALED(status))
        snprintf(how, sizeof how, "killed by signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else
        snprintf(how, sizeof how, "exit code %d", WEXITSTATUS(status));
    event_begin(m->events, m->stopping ? EVENT_child_ended : EVENT_child_died);
    event_str(m->events, FIELD_role, span_str(role_name(c->role)));
    event_int(m->events, FIELD_pid, c->pid);
    event_str(m->events, FIELD_text, span_str(how));
    event_end(m->events);
    if (m->stopping)
        return;
    log_line(m->events, EVENT_WARNING, "%s[%d] ended: %s", role_name(c->role), (int)c->pid, how);
    note_death(m, c, how);
}

static void ended(struct master *m, struct child_slot *c, int status)
{
    say_end(m, c, status);
    channel_free(&c->channel);
    c->pid = 0;
    c->ready = false;
    reload_settle(m);
    if (m->stopping)
        return;
    if (m->starting) {
        dprintf(STDERR_FILENO, "postern: %s could not start; the gateway ends\n",
                role_name(c->role));
        m->exit_code = WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : 70;
        master_stop(m, SPAN("a process that could not start"));
        return;
    }
    bool steady = loop_mono_ms(m->loop) - c->started_ms > STEADY_MS;
    if (steady || !c->backoff_ms) {
        c->deaths = 0;
        c->backoff_ms = m->config->processes.restart_first_ms;
    } else {
        c->backoff_ms *= 2;
    }
    if (c->backoff_ms > m->config->processes.restart_max_ms)
        c->backoff_ms = m->config->processes.restart_max_ms;
    c->deaths++;
    later(m, c);
}

void children_reap(struct master *m)
{
    for (size_t i = 0; i < m->child_count; i++) {
        struct child_slot *c = &m->children[i];
        int status;
        if (c->pid && waitpid(c->pid, &status, WNOHANG) == c->pid)
            ended(m, c, status);
    }
    locals_reap(m);
    if (m->stopping && !children_any(m))
        loop_stop(m->loop);
}

bool children_all_ready(const struct master *m)
{
    for (size_t i = 0; i < m->child_count; i++)
        if (!m->children[i].ready)
            return false;
    return true;
}

bool children_any(const struct master *m)
{
    for (size_t i = 0; i < m->child_count; i++)
        if (m->children[i].pid)
            return true;
    return m->local_count > 0;
}
