/* smtpd: SMTP sessions in. It holds no key, opens no file and asks no DNS. */
#include "smtpd/inside.h"

#include "base/must.h"
#include "proto/master_child.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static void on_turn_over(void *ctx)
{
    struct smtpd *d = ctx;
    d->turn_bytes = 0;
}

static void on_listen_late(void *ctx) { smtpd_listen(ctx); }

static void on_finish_late(void *ctx)
{
    struct smtpd *d = ctx;
    d->env->done(d->env);
}

static void *smtpd_make(struct role_env *env, struct config *cfg, struct err *err)
{
    struct smtpd *d = NEW(struct smtpd);
    d->env = env;
    list_init(&d->generations);
    list_init(&d->listeners);
    list_init(&d->next_listeners);
    list_init(&d->sessions);
    list_init(&d->waiting_credit);
    hash_init(&d->clients, loop_random_u64(env->loop), 0);
    hash_init(&d->questions, loop_random_u64(env->loop), 0);
    hash_init(&d->txns, loop_random_u64(env->loop), 0);
    buf_init(&d->tickets, TICKET_KEYS_MAX);
    buf_init(&d->read_buf, READ_BYTES);
    loop_hook_init(&d->turn_over, LOOP_STAGE_WORK, on_turn_over, d);
    loop_timer_init(&d->listen_late, on_listen_late, d);
    loop_timer_init(&d->finish, on_finish_late, d);
    loop_timer_init(&d->accept_again, smtpd_accept_again, d);
    tls_warm_up(err); /* before the process is closed in; a failure shows at the first use */
    d->gen = NULL;
    /* The certificates come after the configuration: the generation is made at start. */
    struct generation *g = NEW(struct generation);
    g->refs = 1;
    g->d = d;
    g->config = cfg;
    list_append(&d->generations, &g->node);
    d->gen = g;
    return d;
}

static void smtpd_peer(void *role, enum role_id peer, int index, int fd)
{
    struct smtpd *d = role;
    (void)index;
    switch (peer) {
    case ROLE_ROUTER: backend_router(d, fd); break;
    case ROLE_QMGR: backend_qmgr(d, fd); break;
    case ROLE_KEYRING: backend_keyring(d, fd); break;
    case ROLE_PICKUP: backend_pickup(d, fd); break;
    case ROLE_WATCH: backend_watch(d, fd); break;
    default: close(fd); break;
    }
}

static void smtpd_listener(void *role, int fd, const struct netaddr *a, struct span section)
{
    listener_add(role, fd, a, section);
}

static void smtpd_file(void *role, int kind, int index, struct span path, int fd)
{
    struct smtpd *d = role;
    (void)path;
    if (kind == MASTER_FILE_CERT && index >= 0 && index < CERTS_MAX) {
        char *text = must_alloc(CERT_FILE_MAX);
        ssize_t n = read(fd, text, CERT_FILE_MAX);
        free(d->certs[index]);
        d->certs[index] = text;
        d->cert_bytes[index] = n > 0 ? (size_t)n : 0;
    }
    close(fd);
}

/* The next reload brings all anew: one that is no longer configured must not stay. */
static void forget_certs(struct smtpd *d)
{
    for (int i = 0; i < CERTS_MAX; i++) {
        free(d->certs[i]);
        d->certs[i] = NULL;
    }
}

static bool change_generation(struct smtpd *d, struct config *cfg, struct err *err)
{
    struct generation *next = generation_new(d, cfg, err);
    forget_certs(d);
    bool ok = !err->text[0];
    if (!ok)
        log_line(d->env->events, EVENT_WARNING, "TLS is not offered: %s", err->text);
    generation_drop(&d->gen);
    d->gen = next;
    return ok;
}

static bool smtpd_start(void *role, struct err *err)
{
    struct smtpd *d = role;
    struct config *cfg = d->gen->config;
    d->gen->config = NULL;
    d->started = true;
    /* A certificate that cannot be used is said, and mail flows without TLS. */
    change_generation(d, cfg, err);
    /* With qmgr's first lease it opens: who connects before that waits in the kernel rather than
     * hear 451. When qmgr stays away it opens all the same. */
    if (d->ids_left)
        smtpd_listen(d);
    else
        loop_timer_in(d->env->loop, &d->listen_late, LISTEN_LATE_MS);
    return true;
}

static void smtpd_reload(void *role, struct config *next)
{
    struct err e = { "" };
    change_generation(role, next, &e);
    smtpd_listen(role);
}

static void smtpd_finish(void *role, int64_t within_ms)
{
    struct smtpd *d = role;
    d->finishing = true;
    smtpd_unlisten(d);
    if (list_empty(&d->sessions)) {
        d->env->done(d->env);
        return;
    }
    loop_timer_in(d->env->loop, &d->finish, within_ms);
    LIST_EACH(n, &d->sessions) {
        session_run(CONTAINER(n, struct session, node)); /* see shut_when_free */
    }
}

static void free_hash(struct hash *h)
{
    MUST(h->n == 0);
    hash_free(h);
}

static void smtpd_free(void *role)
{
    struct smtpd *d = role;
    d->finishing = false;
    smtpd_unlisten(d);
    LIST_EACH(n, &d->sessions)
        session_free(CONTAINER(n, struct session, node));
    channel_free(&d->router);
    channel_free(&d->qmgr);
    channel_free(&d->keyring);
    channel_free(&d->pickup);
    channel_free(&d->watch);
    generation_drop(&d->gen);
    free_hash(&d->clients);
    free_hash(&d->questions);
    free_hash(&d->txns);
    forget_certs(d);
    buf_free(&d->tickets);
    buf_free(&d->read_buf);
    loop_hook_cancel(&d->turn_over);
    loop_timer_stop(d->env->loop, &d->finish);
    loop_timer_stop(d->env->loop, &d->listen_late);
    loop_timer_stop(d->env->loop, &d->accept_again);
    free(d);
}

const struct role_ops smtpd_role = {
    .make = smtpd_make,
    .peer = smtpd_peer,
    .listener = smtpd_listener,
    .file = smtpd_file,
    .start = smtpd_start,
    .reload = smtpd_reload,
    .finish = smtpd_finish,
    .free = smtpd_free,
};
