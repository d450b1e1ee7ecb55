/* A `local` for each delivery on this host: forked when deliver asks for one, and as many at once
 * as local.processes says; others wait here, in the order in which they came. Nothing that comes
 * from deliver is acted upon but the kind of the delivery: it is the new process that looks the
 * user up, so that a slow user database holds nobody else. */
#include "base/must.h"
#include "mail/delivery.h"
#include "master/inside.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    WAITING_MAX = 10000,   /* beyond, deliver hears no */
    GRACE_MS = 30000,      /* a process that is this late after local.timeout is killed */
};

struct local_process {
    struct list node; /* in m->locals */
    struct child_slot slot;
    struct loop_timer late;
};

struct local_wait {
    struct list node; /* in m->local_waits */
    struct child_slot *by;
    pid_t by_pid; /* the very process that asked */
    struct buf body;
};

/* --- answers --- */

static void say(struct child_slot *by, uint64_t q, int fd, struct span text)
{
    struct msg_local_said said = { .q = q, .ok = fd >= 0, .text = text };
    msg_local_said_put(channel_begin(by->channel, MSG_local_said), &said);
    channel_end_fd(by->channel, fd);
}

/* --- processes --- */

static void on_late(void *ctx)
{
    struct local_process *p = ctx;
    log_line(p->slot.master->events, EVENT_WARNING,
             "local[%d] is still there long after local.timeout and is killed",
             (int)p->slot.pid);
    kill(p->slot.pid, SIGKILL);
}

static void drop(struct local_process *p)
{
    struct master *m = p->slot.master;
    loop_timer_stop(m->loop, &p->late);
    channel_free(&p->slot.channel);
    list_remove(&p->node);
    m->local_count--;
    free(p);
}

static struct local_process *fork_one(struct master *m)
{
    struct local_process *p = NEW(struct local_process);
    p->slot = (struct child_slot){ .master = m, .role = ROLE_LOCAL };
    loop_timer_init(&p->late, on_late, p);
    list_append(&m->locals, &p->node);
    m->local_count++;
    if (!child_fork(m, &p->slot)) {
        drop(p);
        return NULL;
    }
    loop_timer_in(m->loop, &p->late, m->config->local.timeout_ms + GRACE_MS);
    return p;
}

static void start(struct child_slot *by, const struct msg_local_ask *ask)
{
    struct master *m = by->master;
    struct local_process *p = NULL;
    int fds[2];
    if (loop_pair(m->loop, fds) != 0) {
        say(by, ask->q, -1, SPAN("master cannot make a socket pair"));
        return;
    }
    p = fork_one(m);
    if (!p) {
        close(fds[0]);
        close(fds[1]);
        say(by, ask->q, -1, SPAN("master cannot start a process"));
        return;
    }
    struct msg_local_job job = { .kind = ask->kind,
                                 .user = ask->user,
                                 .detail = ask->detail,
                                 .target = ask->target,
                                 .rcpt = ask->rcpt,
                                 .original = ask->original };
    give_logs(m, &p->slot);
    give_config(m, &p->slot);
    msg_local_job_put(channel_begin(p->slot.channel, MSG_local_job), &job);
    channel_end_fd(p->slot.channel, fds[0]);
    give_start(m, &p->slot);
    say(by, ask->q, fds[1], SPAN_NONE);
}

/* --- those who wait --- */

static void wait_free(struct local_wait *w)
{
    list_remove(&w->node);
    w->by->master->local_wait_count--;
    buf_free(&w->body);
    free(w);
}

static void start_waiting(struct master *m)
{
    while (m->local_count < m->config->local.processes && !list_empty(&m->local_waits)) {
        struct local_wait *w = CONTAINER(list_first(&m->local_waits), struct local_wait, node);
        struct msg_local_ask ask;
        bool there = w->by->pid == w->by_pid && w->by->channel;
        if (there && msg_local_ask_get(buf_span(&w->body), &ask))
            start(w->by, &ask);
        wait_free(w);
    }
}

static void wait_for_room(struct child_slot *by, const struct msg_local_ask *ask)
{
    struct master *m = by->master;
    if (m->local_wait_count >= WAITING_MAX) {
        say(by, ask->q, -1, SPAN("too many deliveries wait already: see local.processes"));
        return;
    }
    struct local_wait *w = NEW(struct local_wait);
    w->by = by;
    w->by_pid = by->pid;
    buf_init(&w->body, CHANNEL_FRAME_MAX);
    msg_local_ask_put(&w->body, ask);
    list_append(&m->local_waits, &w->node);
    m->local_wait_count++;
}

/* The name comes from an address: what is no user's name does not even start a process. */
void local_asked(struct child_slot *by, const struct msg_local_ask *ask)
{
    struct master *m = by->master;
    bool mailbox = ask->kind == LOCAL_MAILBOX;
    if (ask->kind >= LOCAL_KINDS || (mailbox && !delivery_user_ok(ask->user)))
        say(by, ask->q, -1, SPAN("this is no name of a user"));
    else if (m->stopping)
        say(by, ask->q, -1, SPAN("the gateway stops"));
    else if (m->local_count < m->config->local.processes)
        start(by, ask);
    else
        wait_for_room(by, ask);
}

/* --- ends --- */

static void say_end(struct master *m, pid_t pid, int status)
{
    char how[64];
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return;
    snprintf(how, sizeof how, WIFSIGNALED(status) ? "killed by signal %d" : "exit code %d",
             WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    event_begin(m->events, EVENT_child_died);
    event_str(m->events, FIELD_role, SPAN("local"));
    event_int(m->events, FIELD_pid, pid);
    event_str(m->events, FIELD_text, span_str(how));
    event_end(m->events);
}

void locals_reap(struct master *m)
{
    LIST_EACH(n, &m->locals) {
        struct local_process *p = CONTAINER(n, struct local_process, node);
        int status;
        if (waitpid(p->slot.pid, &status, WNOHANG) != p->slot.pid)
            continue;
        say_end(m, p->slot.pid, status);
        drop(p);
    }
    if (!m->stopping)
        start_waiting(m);
}

void locals_kill(struct master *m)
{
    LIST_EACH(n, &m->locals)
        kill(CONTAINER(n, struct local_process, node)->slot.pid, SIGKILL);
}

void locals_free(struct master *m)
{
    LIST_EACH(n, &m->local_waits)
        wait_free(CONTAINER(n, struct local_wait, node));
    LIST_EACH(n, &m->locals)
        drop(CONTAINER(n, struct local_process, node));
}
