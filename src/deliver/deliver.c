/* deliver: SMTP and LMTP sessions out. It reads no spool and writes none. */
#include "deliver/inside.h"

#include "base/must.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum smtp_client_tls deliver_tls(enum config_tls tls)
{
    return tls == CONFIG_TLS_OFF        ? SMTP_TLS_OFF
           : tls == CONFIG_TLS_REQUIRED ? SMTP_TLS_REQUIRE
                                        : SMTP_TLS_TRY;
}

static void configure(struct deliver *d, struct config *cfg)
{
    struct smtp_client_config *c = &d->client_conf;
    config_free(&d->config);
    d->config = cfg;
    d->configured++;
    local_configure(d);
    smtp_client_defaults(c);
    c->hostname = cfg->hostname;
    c->tls = deliver_tls(cfg->deliver.tls);
    c->window_bytes = WINDOW_BYTES;
    c->eightbit = cfg->deliver.eightbit == CONFIG_EIGHTBIT_BOUNCE ? SMTP_EIGHTBIT_BOUNCE
                                                                  : SMTP_EIGHTBIT_SEND;
    c->disable = cfg->deliver.chunking ? 0 : SMTP_EXT_CHUNKING;
    c->timeout = (struct smtp_client_timeouts){
        .initial_ms = cfg->timeout.initial_ms,
        .helo_ms = cfg->timeout.helo_ms,
        .mail_ms = cfg->timeout.mail_ms,
        .rcpt_ms = cfg->timeout.rcpt_ms,
        .data_init_ms = cfg->timeout.data_init_ms,
        .data_block_ms = cfg->timeout.data_block_ms,
        .data_final_ms = cfg->timeout.data_final_ms,
        .rset_ms = cfg->timeout.rset_ms,
        .quit_ms = cfg->timeout.quit_ms,
        .misc_ms = cfg->timeout.misc_ms,
        .starttls_ms = cfg->timeout.starttls_ms,
    };
}

static void on_finish_late(void *ctx)
{
    struct deliver *d = ctx;
    d->env->done(d->env);
}

/* qmgr has let go of us (we were away for too long), or is away itself for long: whoever is
 * started again is given a channel to it. */
static void on_alone(void *ctx)
{
    struct deliver *d = ctx;
    log_line(d->env->events, EVENT_NOTICE, "no connection to qmgr for %d s: this process ends",
             ALONE_MS / 1000);
    d->env->done(d->env);
}

static void *deliver_make(struct role_env *env, struct config *cfg, struct err *err)
{
    struct deliver *d = NEW(struct deliver);
    struct tls_client_config tc = { .sessions_max = TLS_SESSIONS_MAX };
    d->env = env;
    list_init(&d->conns);
    list_init(&d->probes);
    hash_init(&d->jobs, loop_random_u64(env->loop), 0);
    hash_init(&d->questions, loop_random_u64(env->loop), 0);
    hash_init(&d->kept, loop_random_u64(env->loop), 0);
    d->next_keeper = loop_random_u64(env->loop) >> KEEPER_SHIFT;
    buf_init(&d->read_buf, READ_BYTES);
    loop_timer_init(&d->finish, on_finish_late, d);
    loop_timer_init(&d->alone, on_alone, d);
    configure(d, cfg);
    tls_warm_up(err);
    d->tls = tls_client_ctx_new(&tc, err);
    if (!d->tls) {
        config_free(&d->config);
        free(d);
        return NULL;
    }
    return d;
}

static void deliver_peer(void *role, enum role_id peer, int index, int fd)
{
    struct deliver *d = role;
    (void)index;
    if (peer == ROLE_QMGR)
        upstream_qmgr(d, fd);
    else if (peer == ROLE_ROUTER)
        probe_router(d, fd);
    else if (peer == ROLE_RESOLVER)
        upstream_resolver(d, fd);
    else
        close(fd);
}

static bool deliver_start(void *role, struct err *err)
{
    (void)role;
    (void)err;
    return true;
}

static void quit_kept(struct deliver *d)
{
    LIST_EACH(n, &d->conns) {
        struct conn *c = CONTAINER(n, struct conn, node);
        if (c->state == CONN_KEPT)
            conn_quit(c);
    }
}

/* What asks for TLS now, or for another address of ours, may not have done so when a connection
 * was made: none is kept over a reload. */
static void deliver_reload(void *role, struct config *next)
{
    configure(role, next);
    quit_kept(role);
}

void deliver_check_finished(struct deliver *d)
{
    if (d->finishing && d->jobs.n == 0)
        d->env->done(d->env);
}

/* No connection is kept any more; attempts under way end as they may. */
static void deliver_finish(void *role, int64_t within_ms)
{
    struct deliver *d = role;
    d->finishing = true;
    loop_timer_in(d->env->loop, &d->finish, within_ms);
    quit_kept(d);
    deliver_check_finished(d);
}

static void deliver_free(void *role)
{
    struct deliver *d = role;
    d->finishing = false;
    channel_free(&d->qmgr);
    for (struct hash_node *n; (n = hash_next(&d->jobs, NULL));)
        job_forget(d, CONTAINER(n, struct job, node));
    LIST_EACH(n, &d->conns)
        conn_free(CONTAINER(n, struct conn, node));
    channel_free(&d->router);
    probe_forget_all(d);
    channel_free(&d->resolver);
    hash_free(&d->jobs);
    hash_free(&d->questions);
    hash_free(&d->kept);
    tls_client_ctx_free(&d->tls);
    buf_free(&d->read_buf);
    loop_timer_stop(d->env->loop, &d->finish);
    loop_timer_stop(d->env->loop, &d->alone);
    arena_free(&d->mailboxes_arena);
    config_free(&d->config);
    free(d);
}

const struct role_ops deliver_role = {
    .make = deliver_make,
    .peer = deliver_peer,
    .start = deliver_start,
    .reload = deliver_reload,
    .finish = deliver_finish,
    .local_said = local_said,
    .free = deliver_free,
};
