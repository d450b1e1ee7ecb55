/* pickup: the mail of this machine's own users. It lets their connections in and tells smtpd who
 * they are, as the kernel says; and what they left in the submission spool while no gateway was
 * there it sends the same way, as the owner of the file. */
#include "pickup/inside.h"

#include "base/must.h"
#include "proto/master_child.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ACCEPT_AT_ONCE = 32, ACCEPT_AGAIN_MS = 200 };

/* --- handing over --- */

static bool is_trusted(const struct pickup *p, struct span name)
{
    const struct config_texts *t = &p->config->submit.trusted_users;
    for (size_t i = 0; i < t->n; i++)
        if (span_eq(t->v[i], name))
            return true;
    return false;
}

static struct channel *next_smtpd(struct pickup *p)
{
    for (size_t i = 0; i < SMTPDS_MAX; i++) {
        struct smtpd_peer *s = &p->smtpds[p->turn++ % SMTPDS_MAX];
        if (s->channel && channel_open(s->channel))
            return s->channel;
    }
    return NULL;
}

bool pickup_hand_over(struct pickup *p, int fd, uid_t uid)
{
    struct channel *ch = next_smtpd(p);
    if (!ch) {
        loop_close(p->env->loop, fd);
        return false;
    }
    struct span name = users_name(p->users, uid);
    struct msg_local_session m = { .uid = (uint32_t)uid,
                                   .trusted = uid == geteuid() || is_trusted(p, name),
                                   .user = name };
    msg_local_session_put(channel_begin(ch, MSG_local_session), &m);
    channel_end_fd(ch, fd);
    return true;
}

static void let_in(struct pickup *p, int fd)
{
    static const char away[] = "421 4.3.0 Temporarily unable to take mail\r\n";
    struct ucred who;
    socklen_t n = sizeof who;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) != 0) {
        loop_close(p->env->loop, fd);
        return;
    }
    if (!next_smtpd(p))
        loop_write(p->env->loop, fd, away, sizeof away - 1);
    pickup_hand_over(p, fd, who.uid);
}

static void on_connection(void *ctx, int ready)
{
    struct pickup *p = ctx;
    (void)ready;
    for (int i = 0; i < ACCEPT_AT_ONCE; i++) {
        int fd = loop_accept(p->env->loop, p->listener, NULL);
        if (fd >= 0) {
            let_in(p, fd);
            continue;
        }
        if (errno != EAGAIN && errno != EWOULDBLOCK) {
            log_line(p->env->events, EVENT_WARNING, "cannot accept local connections: %s",
                     strerror(errno));
            loop_io_want(p->env->loop, &p->listen_io, 0);
            loop_timer_in(p->env->loop, &p->scan, ACCEPT_AGAIN_MS);
        }
        return;
    }
}

/* --- what lies in the submission spool --- */

static void begin_next(struct pickup *p)
{
    while (p->sending_count < MAILS_MAX && !list_empty(&p->waiting)) {
        struct mail *m = CONTAINER(list_first(&p->waiting), struct mail, node);
        list_remove(&m->node);
        list_append(&p->sending, &m->node);
        p->sending_count++;
        mail_begin(m);
    }
}

static void on_work(void *ctx)
{
    struct pickup *p = ctx;
    LIST_EACH(n, &p->ended) {
        list_remove(n);
        mail_free(CONTAINER(n, struct mail, node));
    }
    if (!p->started || p->finishing)
        return;
    if (p->more && list_empty(&p->waiting))
        scan_read(p);
    if (!list_empty(&p->waiting) && !next_smtpd(p))
        loop_timer_in(p->env->loop, &p->scan, AWAY_MS);
    else
        begin_next(p);
}

void pickup_work(struct pickup *p) { loop_hook_ask(p->env->loop, &p->work); }

static void on_scan(void *ctx)
{
    struct pickup *p = ctx;
    loop_timer_in(p->env->loop, &p->scan, SCAN_MS);
    if (p->listener >= 0)
        loop_io_want(p->env->loop, &p->listen_io, LOOP_READ);
    while (!list_empty(&p->partly)) {
        struct list *n = list_first(&p->partly);
        list_remove(n);
        p->partly_count--;
        list_append(&p->waiting, n);
    }
    p->more = true;
    pickup_work(p);
}

/* --- the role --- */

static void *pickup_make(struct role_env *env, struct config *cfg, struct err *err)
{
    struct pickup *p = NEW(struct pickup);
    (void)err;
    p->env = env;
    p->config = cfg;
    p->listener = p->dir = p->notify = -1;
    p->users = users_new();
    list_init(&p->waiting);
    list_init(&p->sending);
    list_init(&p->partly);
    list_init(&p->ended);
    hash_init(&p->names, loop_random_u64(env->loop), 0);
    loop_timer_init(&p->scan, on_scan, p);
    loop_hook_init(&p->work, LOOP_STAGE_WORK, on_work, p);
    return p;
}

static void on_smtpd_gone(void *ctx, struct channel *ch, const char *why)
{
    struct smtpd_peer *s = ctx;
    (void)ch;
    (void)why;
    channel_free(&s->channel);
}

static void pickup_peer(void *role, enum role_id peer, int index, int fd)
{
    struct pickup *p = role;
    static const struct channel_ops ops = { NULL, 0, on_smtpd_gone, NULL };
    if (peer != ROLE_SMTPD || index < 0 || index >= SMTPDS_MAX) {
        close(fd);
        return;
    }
    struct smtpd_peer *s = &p->smtpds[index];
    channel_free(&s->channel);
    s->p = p;
    s->channel = channel_new(p->env->loop, fd, "smtpd", &ops, s);
    if (p->started)
        on_scan(p);
}

static void drop_listener(struct pickup *p)
{
    loop_io_del(p->env->loop, &p->listen_io);
    if (p->listener >= 0)
        loop_close(p->env->loop, p->listener);
    p->listener = -1;
}

/* It is the same socket each time: the one that is watched stays. */
static void pickup_file(void *role, int kind, int index, struct span path, int fd)
{
    struct pickup *p = role;
    (void)index;
    (void)path;
    if (kind != MASTER_FILE_SUBMIT || p->listener >= 0) {
        close(fd);
        return;
    }
    p->listener = fd;
}

static void configure(struct pickup *p)
{
    smtp_client_defaults(&p->client);
    p->client.hostname = p->config->hostname;
    p->client.tls = SMTP_TLS_OFF;
}

static bool pickup_start(void *role, struct err *err)
{
    struct pickup *p = role;
    configure(p);
    if (!scan_open(p, err)) {
        log_line(p->env->events, EVENT_WARNING, "no submission spool: %s", err->text);
        err->text[0] = '\0';
    }
    p->started = true;
    if (p->listener >= 0)
        loop_io_add(p->env->loop, &p->listen_io, p->listener, LOOP_READ, on_connection, p);
    on_scan(p);
    return true;
}

static void pickup_reload(void *role, struct config *next)
{
    struct pickup *p = role;
    struct config *old = p->config;
    p->config = next;
    configure(p);
    config_free(&old);
}

/* What is under way is not lost when it is cut off: its file is still there. */
static void pickup_finish(void *role, int64_t within_ms)
{
    struct pickup *p = role;
    (void)within_ms;
    p->finishing = true;
    p->env->done(p->env);
}

static void free_all(struct list *head)
{
    LIST_EACH(n, head) {
        list_remove(n);
        mail_free(CONTAINER(n, struct mail, node));
    }
}

static void pickup_free(void *role)
{
    struct pickup *p = role;
    drop_listener(p);
    free_all(&p->waiting);
    free_all(&p->sending);
    free_all(&p->partly);
    free_all(&p->ended);
    for (size_t i = 0; i < SMTPDS_MAX; i++)
        channel_free(&p->smtpds[i].channel);
    scan_close(p);
    loop_timer_stop(p->env->loop, &p->scan);
    loop_hook_cancel(&p->work);
    hash_free(&p->names);
    users_free(&p->users);
    config_free(&p->config);
    free(p);
}

const struct role_ops pickup_role = {
    .make = pickup_make,
    .peer = pickup_peer,
    .file = pickup_file,
    .start = pickup_start,
    .reload = pickup_reload,
    .finish = pickup_finish,
    .free = pickup_free,
};
