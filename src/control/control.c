/* control: the admin socket. It checks who asks, hands the question on, and passes the answer
 * back as fast as the asker reads it; it changes nothing by itself. */
#include "control/inside.h"

#include "base/json.h"
#include "base/must.h"
#include "explain/dns.h"
#include "explain/route.h"
#include "proto/master_child.h"
#include "sys/privilege.h"
#include "sys/userdb.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

/* Who answers what: those who answer have the same lists. */
static const struct {
    const char *verb;
    enum role_id role;
} verbs[] = {
    { "reload", ROLE_MASTER }, { "stop", ROLE_MASTER },
    { "config", ROLE_CONTROL }, { "alarms", ROLE_WATCH },
#define VERB(name, ...) { #name, ROLE_QMGR },
    ADMIN_QMGR_VERBS(VERB)
#undef VERB
#define VERB(name, ...) { #name, ROLE_ROUTER },
    EXPLAIN_ROUTE_VERBS(VERB)
#undef VERB
#define VERB(name, ...) { #name, ROLE_RESOLVER },
    EXPLAIN_DNS_VERBS(VERB)
#undef VERB
};

static bool find_verb(const char *verb, enum role_id *role_r)
{
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        if (strcmp(verbs[i].verb, verb) == 0) {
            *role_r = verbs[i].role;
            return true;
        }
    }
    return false;
}

/* --- questions --- */

static void end_about(struct caller *cl, int exit, const char *what, const char *text)
{
    struct buf b;
    buf_init(&b, 1024);
    buf_printf(&b, "%s: %s", what, text);
    caller_end(cl, exit, buf_span(&b));
    buf_free(&b);
}

static void ask_master(struct control *c, struct caller *cl, const char *verb)
{
    if (c->env->ask_master)
        c->env->ask_master(c->env, strcmp(verb, "stop") == 0, cl->q, span_str(cl->who));
    else
        caller_end(cl, EX_UNAVAILABLE, SPAN("there is no master to ask"));
}

/* The configuration in force, flattened, in hexadecimal: what `config diff` compares with, and
 * what a question about routes needs to know of names. */
static void say_config(struct control *c, struct caller *cl)
{
    struct buf flat, row;
    buf_init(&flat, CONFIG_WIRE_MAX);
    buf_init(&row, OUT_MAX);
    config_put(&flat, c->config);
    struct span s = buf_span(&flat);
    buf_printf(&row, "{\"release\":\"%s\",\"config\":\"", POSTERN_VERSION);
    for (size_t i = 0; i < s.n && !row.failed; i++)
        buf_printf(&row, "%02x", (unsigned char)s.p[i]);
    buf_putz(&row, "\"}");
    if (flat.failed || row.failed)
        caller_end(cl, EX_SOFTWARE, SPAN("the configuration is too large to be said"));
    else
        caller_row(cl, buf_span(&row)); /* cl may be gone */
    if (!flat.failed && !row.failed && (cl = caller_find(c, c->next_q)))
        caller_end(cl, 0, SPAN_NONE);
    buf_free(&flat);
    buf_free(&row);
}

void control_ask(struct control *c, struct caller *cl, const struct control_request *r)
{
    if (!find_verb(r->verb, &cl->at)) {
        end_about(cl, EX_USAGE, r->verb, "the gateway does not know this");
        return;
    }
    if (cl->at != ROLE_MASTER && cl->at != ROLE_CONTROL && !c->peers[cl->at]) {
        end_about(cl, EX_TEMPFAIL, role_name(cl->at),
                  "away at the moment; master starts it again: try later");
        return;
    }
    cl->asked = true;
    cl->q = ++c->next_q;
    loop_timer_in(c->env->loop, &cl->deadline, ANSWER_MS);
    loop_hook_ask(c->env->loop, &cl->write); /* settles what is waited for */
    if (cl->at == ROLE_MASTER) {
        ask_master(c, cl, r->verb);
        return;
    }
    if (cl->at == ROLE_CONTROL) {
        say_config(c, cl);
        return;
    }
    struct msg_admin_ask m = { .q = cl->q,
                               .who = span_str(cl->who),
                               .verb = span_str(r->verb),
                               .args = buf_span(&r->args) };
    send_admin_ask(c->peers[cl->at], &m);
}

void control_forget(struct control *c, const struct caller *cl)
{
    struct msg_admin_gone m = { .q = cl->q };
    if (c->peers[cl->at])
        send_admin_gone(c->peers[cl->at], &m);
}

void control_stop(struct control *c, const struct caller *cl)
{
    struct msg_admin_stop m = { .q = cl->q };
    if (cl->at == ROLE_QMGR && c->peers[cl->at])
        send_admin_stop(c->peers[cl->at], &m);
}

static void on_admin_said(struct control *c, struct channel *ch, const struct msg_admin_said *m)
{
    struct caller *cl = caller_find(c, m->q);
    if (!cl || c->peers[cl->at] != ch)
        return;
    caller_alive(cl);
    if (m->end == ADMIN_OK)
        caller_end(cl, 0, SPAN_NONE);
    else if (m->end)
        caller_end(cl, m->end, m->text);
    else if (m->text.n)
        caller_row(cl, m->text);
    else
        caller_slice_over(cl);
}
PROTO_HANDLER(admin_said, struct control *, on_admin_said)

static void control_master_said(void *role, uint64_t q, bool ok, struct span text)
{
    struct caller *cl = caller_find(role, q);
    if (!cl)
        return;
    if (!ok) {
        caller_end(cl, EX_CONFIG, text);
        return;
    }
    struct buf b;
    buf_init(&b, OUT_MAX);
    struct json j = json_writer(&b);
    json_open(&j, NULL);
    json_str(&j, "text", text);
    json_close(&j);
    caller_row(cl, buf_span(&b));
    buf_free(&b);
    cl = caller_find(role, q);
    if (cl)
        caller_end(cl, 0, SPAN_NONE);
}

/* --- the others --- */

static void on_gone(void *ctx, struct channel *ch, const char *why)
{
    struct control *c = ctx;
    (void)why;
    for (int role = 0; role < ROLE_COUNT; role++) {
        if (c->peers[role] != ch)
            continue;
        channel_free(&c->peers[role]);
        LIST_EACH(n, &c->clients) {
            struct caller *cl = CONTAINER(n, struct caller, node);
            if (cl->asked && !cl->ended && cl->at == (enum role_id)role)
                end_about(cl, EX_TEMPFAIL, role_name(cl->at),
                          "ended while it was asked; master starts it again: try later");
        }
    }
}

static void control_peer(void *role, enum role_id peer, int index, int fd)
{
    static const struct channel_type types[] = { PROTO_TYPE(admin_said) };
    static const struct channel_ops ops = { types, 1, on_gone, NULL };
    struct control *c = role;
    if (peer >= ROLE_COUNT || index != 0) {
        close(fd);
        return;
    }
    if (c->peers[peer])
        on_gone(c, c->peers[peer], "replaced");
    c->peers[peer] = channel_new(c->env->loop, fd, role_name(peer), &ops, c);
}

/* --- the role --- */

static void on_listen(void *ctx, int ready)
{
    (void)ready;
    callers_accept(ctx);
}

static void listen_on(struct control *c)
{
    if (c->listen_fd < 0 || c->finishing)
        return;
    c->listening = true;
    loop_io_add(c->env->loop, &c->listen_io, c->listen_fd, LOOP_READ, on_listen, c);
}

/* The socket comes once, and again as a copy with each reload: the first stays. */
static void control_file(void *role, int kind, int index, struct span path, int fd)
{
    struct control *c = role;
    (void)index;
    (void)path;
    if (kind != MASTER_FILE_CONTROL || c->listen_fd >= 0)
        close(fd);
    else
        c->listen_fd = fd;
}

/* Names are looked up before the process is shut in, where there is nobody to ask. */
static void look_up_users(struct control *c)
{
    const struct config_privilege *p = &c->config->privilege;
    const struct span names[2] = { p->control.n ? p->control : p->user, p->user };
    struct user user;
    struct err unused;
    userdb_self(&user);
    for (int i = 0; i < 2; i++) {
        char *name = must_strndup(names[i].p, names[i].n);
        if (privilege_is_root() && !userdb_user(name, &user, &unused))
            user = (struct user){ .uid = 0 };
        c->allowed[i] = user.uid;
        if (i == 0)
            snprintf(c->user, sizeof c->user, "%s", user.name);
        free(name);
    }
}

static void *control_make(struct role_env *env, struct config *cfg, struct err *err)
{
    struct control *c = NEW(struct control);
    (void)err;
    c->env = env;
    c->config = cfg;
    c->listen_fd = -1;
    list_init(&c->clients);
    look_up_users(c);
    /* The JSON reader would open a random device itself, which an empty root has not. */
    size_t seed = (size_t)loop_random_u64(env->loop);
    json_object_seed(seed ? seed : 1);
    return c;
}

static bool control_start(void *role, struct err *err)
{
    struct control *c = role;
    if (c->listen_fd < 0) {
        err_set(err, "master gave no admin socket");
        return false;
    }
    listen_on(c);
    return true;
}

static void control_reload(void *role, struct config *next)
{
    struct control *c = role;
    config_free(&c->config);
    c->config = next;
}

static void on_finish_late(void *ctx)
{
    struct control *c = ctx;
    c->env->done(c->env);
}

void control_check_finished(struct control *c)
{
    if (c->finishing && c->client_count == 0)
        c->env->done(c->env);
}

/* Who waits for an answer still gets it, as long as the others live. */
static void control_finish(void *role, int64_t within_ms)
{
    struct control *c = role;
    c->finishing = true;
    loop_io_del(c->env->loop, &c->listen_io);
    loop_timer_init(&c->finish, on_finish_late, c);
    loop_timer_in(c->env->loop, &c->finish, within_ms);
    LIST_EACH(n, &c->clients) {
        struct caller *cl = CONTAINER(n, struct caller, node);
        if (!cl->asked && !cl->ended)
            caller_end(cl, EX_TEMPFAIL, SPAN("the gateway is stopping"));
    }
    control_check_finished(c);
}

static void control_free(void *role)
{
    struct control *c = role;
    for (int i = 0; i < ROLE_COUNT; i++)
        channel_free(&c->peers[i]);
    LIST_EACH(n, &c->clients)
        caller_drop(CONTAINER(n, struct caller, node), NULL);
    loop_io_del(c->env->loop, &c->listen_io);
    loop_close(c->env->loop, c->listen_fd);
    loop_timer_stop(c->env->loop, &c->finish);
    config_free(&c->config);
    free(c);
}

const struct role_ops control_role = {
    .make = control_make,
    .peer = control_peer,
    .file = control_file,
    .start = control_start,
    .reload = control_reload,
    .finish = control_finish,
    .master_said = control_master_said,
    .free = control_free,
};
