/* keyring: the private keys and the session-ticket keys, and nothing else. */
#include "base/must.h"
#include "ipc/channel.h"
#include "proto/master_child.h"
#include "proto/smtpd_keyring.h"
#include "role/role.h"
#include "tls/keyserver.h"
#include "tls/tls.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    CLIENTS_MAX = 64,
    KEYS_MAX = 16,
    KEY_FILE_MAX = 64 << 10,
    TICKET_ROTATE_MS = 12 * 3600 * 1000,
    REPLACED_KEPT_MS = 3600 * 1000, /* sessions begun before a reload may still begin TLS */
    PARKED_MAX = 1000,
    PARKED_MS = 2000,
};

struct keyring;

struct client {
    struct keyring *k;
    int index;
    struct channel *channel;
};

/* A request for a key that is not here: with a reload smtpd may have the new certificate before
 * we have its key. */
struct parked {
    struct list node;
    struct client *client;
    uint64_t q;
    struct buf request;
};

struct keyring {
    struct role_env *env;
    struct config *config;
    struct keyserver *server;
    struct client clients[CLIENTS_MAX];
    struct buf pem[KEYS_MAX];
    struct list parked;
    size_t parked_count;
    struct loop_timer rotate, replaced, park;
    bool finishing;
};

static void send_ticket_keys(struct keyring *k, struct client *c)
{
    struct buf b;
    buf_init(&b, TICKET_KEYS_MAX);
    if (c->channel && keyserver_tickets(k->server, &b)) {
        struct msg_tickets m = { .keys = buf_span(&b) };
        send_tickets(c->channel, &m);
    }
    if (b.mem)
        OPENSSL_cleanse(b.mem, b.cap);
    buf_free(&b);
}

static void on_rotate(void *ctx)
{
    struct keyring *k = ctx;
    if (keyserver_tick(k->server, loop_mono_ms(k->env->loop)))
        for (int i = 0; i < CLIENTS_MAX; i++)
            send_ticket_keys(k, &k->clients[i]);
    loop_timer_at(k->env->loop, &k->rotate, keyserver_next_ms(k->server));
}

static void park(struct client *c, const struct msg_sign *m)
{
    struct keyring *k = c->k;
    struct parked *p = NEW(struct parked);
    p->client = c;
    p->q = m->q;
    buf_init(&p->request, m->request.n);
    buf_puts(&p->request, m->request);
    list_append(&k->parked, &p->node);
    k->parked_count++;
    if (!loop_timer_set(&k->park))
        loop_timer_in(k->env->loop, &k->park, PARKED_MS);
}

static void unpark(struct keyring *k, struct parked *p)
{
    list_remove(&p->node);
    k->parked_count--;
    buf_free(&p->request);
    free(p);
}

/* Of this client, or of all with NULL. */
static void unpark_of(struct keyring *k, const struct client *c)
{
    LIST_EACH(n, &k->parked) {
        struct parked *p = CONTAINER(n, struct parked, node);
        if (!c || p->client == c)
            unpark(k, p);
    }
}

static void answer(struct client *c, const struct msg_sign *m, bool may_park)
{
    struct buf b;
    buf_init(&b, KEY_REPLY_MAX);
    enum key_status status = keyserver_request(c->k->server, m->request, &b);
    if (status == KEY_UNKNOWN && may_park && c->k->parked_count < PARKED_MAX) {
        park(c, m);
    } else {
        struct msg_key_signed said = { .q = m->q, .reply = buf_span(&b) };
        send_key_signed(c->channel, &said);
    }
    buf_free(&b);
}

static void on_sign(struct client *c, struct channel *ch, const struct msg_sign *m)
{
    (void)ch;
    answer(c, m, true);
}
PROTO_HANDLER(sign, struct client *, on_sign)

/* Other keys have come, or none in time. */
static void answer_parked(void *ctx)
{
    struct keyring *k = ctx;
    loop_timer_stop(k->env->loop, &k->park);
    LIST_EACH(n, &k->parked) {
        struct parked *p = CONTAINER(n, struct parked, node);
        struct msg_sign m = { .q = p->q, .request = buf_span(&p->request) };
        answer(p->client, &m, false);
        unpark(k, p);
    }
}

static void check_finished(struct keyring *k)
{
    for (int i = 0; i < CLIENTS_MAX; i++)
        if (k->clients[i].channel)
            return;
    if (k->finishing)
        k->env->done(k->env);
}

static void on_client_gone(void *ctx, struct channel *ch, const char *why)
{
    struct client *c = ctx;
    (void)ch;
    (void)why;
    unpark_of(c->k, c);
    channel_free(&c->channel);
    check_finished(c->k);
}

static void keyring_peer(void *role, enum role_id peer, int index, int fd)
{
    static const struct channel_type types[] = { PROTO_TYPE(sign) };
    static const struct channel_ops ops = { types, 1, on_client_gone, NULL };
    struct keyring *k = role;
    if (peer != ROLE_SMTPD || index >= CLIENTS_MAX) {
        close(fd);
        return;
    }
    struct client *c = &k->clients[index];
    unpark_of(k, c);
    channel_free(&c->channel);
    *c = (struct client){ .k = k, .index = index };
    c->channel = channel_new(k->env->loop, fd, "smtpd", &ops, c);
    send_ticket_keys(k, c);
}

static void keyring_file(void *role, int kind, int index, struct span path, int fd)
{
    struct keyring *k = role;
    (void)path;
    if (kind == MASTER_FILE_KEY && index >= 0 && index < KEYS_MAX) {
        struct buf *b = &k->pem[index];
        buf_reset(b);
        ssize_t n = read(fd, buf_space(b, KEY_FILE_MAX), KEY_FILE_MAX);
        buf_added(b, n > 0 ? (size_t)n : 0);
    }
    close(fd);
}

/* The texts are wiped as soon as the keys are made of them. */
static void take_keys(struct keyring *k)
{
    struct span texts[KEYS_MAX];
    size_t n = 0;
    for (int i = 0; i < KEYS_MAX; i++)
        if (k->pem[i].len)
            texts[n++] = buf_span(&k->pem[i]);
    struct err e = { "" };
    if (n && !keyserver_set_keys(k->server, texts, n, &e))
        log_line(k->env->events, EVENT_WARNING, "tls.key: %s", e.text);
    for (int i = 0; i < KEYS_MAX; i++) {
        if (k->pem[i].mem)
            OPENSSL_cleanse(k->pem[i].mem, k->pem[i].cap);
        buf_reset(&k->pem[i]);
    }
}

static void on_replaced_old(void *ctx)
{
    struct keyring *k = ctx;
    keyserver_forget_replaced(k->server);
}

static void *keyring_make(struct role_env *env, struct config *cfg, struct err *err)
{
    struct keyring *k = NEW(struct keyring);
    tls_warm_up(err); /* before the process is closed in; a failure shows at the first use */
    k->env = env;
    k->config = cfg;
    k->server = keyserver_new(TICKET_ROTATE_MS);
    for (int i = 0; i < KEYS_MAX; i++)
        buf_init(&k->pem[i], KEY_FILE_MAX);
    list_init(&k->parked);
    loop_timer_init(&k->rotate, on_rotate, k);
    loop_timer_init(&k->replaced, on_replaced_old, k);
    loop_timer_init(&k->park, answer_parked, k);
    return k;
}

static bool keyring_start(void *role, struct err *err)
{
    (void)err;
    take_keys(role);
    on_rotate(role);
    return true;
}

static void keyring_reload(void *role, struct config *next)
{
    struct keyring *k = role;
    config_free(&k->config);
    k->config = next;
    take_keys(k);
    loop_timer_in(k->env->loop, &k->replaced, REPLACED_KEPT_MS);
    answer_parked(k);
}

static void on_finish_late(void *ctx)
{
    struct keyring *k = ctx;
    k->env->done(k->env);
}

static void keyring_finish(void *role, int64_t within_ms)
{
    struct keyring *k = role;
    k->finishing = true;
    loop_timer_stop(k->env->loop, &k->rotate);
    loop_timer_init(&k->rotate, on_finish_late, k);
    loop_timer_in(k->env->loop, &k->rotate, within_ms);
    check_finished(k);
}

static void keyring_free(void *role)
{
    struct keyring *k = role;
    loop_timer_stop(k->env->loop, &k->rotate);
    loop_timer_stop(k->env->loop, &k->replaced);
    loop_timer_stop(k->env->loop, &k->park);
    unpark_of(k, NULL);
    for (int i = 0; i < CLIENTS_MAX; i++)
        channel_free(&k->clients[i].channel);
    for (int i = 0; i < KEYS_MAX; i++)
        buf_free(&k->pem[i]);
    keyserver_free(&k->server);
    config_free(&k->config);
    free(k);
}

const struct role_ops keyring_role = {
    .make = keyring_make,
    .peer = keyring_peer,
    .file = keyring_file,
    .start = keyring_start,
    .reload = keyring_reload,
    .finish = keyring_finish,
    .free = keyring_free,
};
