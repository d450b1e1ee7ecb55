#include "smtpd/inside.h"

#include "base/must.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void listener_add(struct smtpd *d, int fd, const struct netaddr *a, struct span section)
{
    struct listener *l = NEW(struct listener);
    l->d = d;
    l->fd = fd;
    l->address = *a;
    snprintf(l->section, sizeof l->section, "%.*s", SPAN_ARG(section));
    list_append(&d->next_listeners, &l->node);
}

/* The family and the address, without the port and without the padding before it. */
static struct span client_key(const struct netaddr *a)
{
    return span_of(a, offsetof(struct netaddr, ip) + sizeof a->ip);
}

static struct client_count *count_client(struct smtpd *d, const struct netaddr *peer)
{
    struct hash_node *n = hash_get(&d->clients, client_key(peer));
    if (!n) {
        struct client_count *c = NEW(struct client_count);
        c->address = *peer;
        hash_add(&d->clients, &c->node, client_key(&c->address));
        n = &c->node;
    }
    struct client_count *c = CONTAINER(n, struct client_count, node);
    c->count++;
    return c;
}

void client_uncount(struct smtpd *d, struct client_count **cp)
{
    struct client_count *c = *cp;
    *cp = NULL;
    if (!c || --c->count)
        return;
    hash_remove(&d->clients, &c->node);
    free(c);
}

/* The limits are the gateway's; each of the N smtpd has its share of them. */
static uint64_t share(const struct smtpd *d, uint64_t limit)
{
    uint64_t n = d->gen->config->processes.smtpd ? d->gen->config->processes.smtpd : 1;
    uint64_t part = limit / n;
    return part ? part : 1;
}

/* Chance spreads the few connections of one client unevenly: he is refused here at twice the
 * share only, or he would hear of too many long before there are. */
static uint64_t client_share(const struct smtpd *d, uint64_t limit)
{
    uint64_t part = 2 * share(d, limit);
    return part < limit ? part : limit;
}

static const char *over_limit(struct smtpd *d, const struct client_count *c)
{
    const struct config_limits *l = &d->gen->config->limits;
    if (d->session_count >= share(d, l->connections))
        return "421 4.3.2 Too many connections, try again later\r\n";
    if (c->count > client_share(d, l->connections_per_client))
        return "421 4.7.0 Too many connections from your address\r\n";
    return NULL;
}

static const char unwell_text[] =
    "421 4.3.2 Not accepting mail at the moment, try another server or try again later\r\n";

/* listen { refuse_when }: the check that fails, or empty. What was said of health a while ago is
 * worth nothing. */
static struct span unwell(const struct smtpd *d, const struct config_listen *listen)
{
    for (size_t i = 0; i < listen->refuse_when.n && d->failing_count; i++)
        for (size_t c = 0; c < d->failing_count; c++)
            if (loop_mono_ms(d->env->loop) <= d->failing[c].until_ms &&
                span_eq(listen->refuse_when.v[i], span_str(d->failing[c].name)))
                return listen->refuse_when.v[i];
    return SPAN_NONE;
}

static void accepted(struct listener *l, int fd, const struct netaddr *peer)
{
    struct smtpd *d = l->d;
    const struct config *cfg = d->gen->config;
    size_t section = 0;
    while (section < cfg->n_listens &&
           !span_eq(cfg->listens[section].name, span_str(l->section)))
        section++;
    struct client_count *c = count_client(d, peer);
    bool gone = section == cfg->n_listens;
    struct span check = gone ? SPAN_NONE : unwell(d, &cfg->listens[section]);
    const char *no = gone      ? "421 4.3.2 This listener is going away\r\n"
                     : check.n ? unwell_text
                               : over_limit(d, c);
    if (no) {
        loop_write(d->env->loop, fd, no, strlen(no));
        loop_close(d->env->loop, fd);
        say_refused(d, peer, span_str(l->section), check, span_str(no));
        client_uncount(d, &c);
        return;
    }
    session_new(d, fd, peer, &cfg->listens[section], section, c, NULL);
}

/* Who waits in the kernel's queue makes the listener readable without end: look again later. */
static void pause_accepting(struct smtpd *d, int error)
{
    log_line(d->env->events, EVENT_WARNING, "cannot accept connections: %s", strerror(error));
    LIST_EACH(n, &d->listeners)
        loop_io_want(d->env->loop, &CONTAINER(n, struct listener, node)->io, 0);
    loop_timer_in(d->env->loop, &d->accept_again, ACCEPT_AGAIN_MS);
}

void smtpd_accept_again(void *ctx)
{
    struct smtpd *d = ctx;
    LIST_EACH(n, &d->listeners)
        loop_io_want(d->env->loop, &CONTAINER(n, struct listener, node)->io, LOOP_READ);
}

static void on_connection(void *ctx, int ready)
{
    struct listener *l = ctx;
    (void)ready;
    for (int i = 0; i < ACCEPT_AT_ONCE; i++) {
        struct netaddr peer;
        int fd = loop_accept(l->d->env->loop, l->fd, &peer);
        if (fd < 0) {
            if (errno != EAGAIN && errno != EWOULDBLOCK)
                pause_accepting(l->d, errno);
            return;
        }
        accepted(l, fd, &peer);
    }
}

static void free_listeners(struct smtpd *d, struct list *head)
{
    LIST_EACH(n, head) {
        struct listener *l = CONTAINER(n, struct listener, node);
        if (l->keep)
            continue;
        list_remove(n);
        if (l->open)
            loop_io_del(d->env->loop, &l->io);
        loop_close(d->env->loop, l->fd);
        free(l);
    }
}

static struct listener *listener_at(struct smtpd *d, const struct netaddr *a)
{
    LIST_EACH(n, &d->listeners) {
        struct listener *l = CONTAINER(n, struct listener, node);
        if (netaddr_eq(&l->address, a))
            return l;
    }
    return NULL;
}

/* One that stays goes on as it is: it is the same socket, and epoll would go on reporting a closed
 * copy of it for as long as anybody has another. */
static void keep_what_stays(struct smtpd *d)
{
    LIST_EACH(n, &d->next_listeners) {
        struct listener *l = CONTAINER(n, struct listener, node);
        struct listener *old = listener_at(d, &l->address);
        if (!old)
            continue;
        old->keep = true;
        memcpy(old->section, l->section, sizeof old->section);
        list_remove(n);
        loop_close(d->env->loop, l->fd);
        free(l);
    }
}

void smtpd_listen(struct smtpd *d)
{
    loop_timer_stop(d->env->loop, &d->listen_late);
    keep_what_stays(d);
    free_listeners(d, &d->listeners);
    LIST_EACH(n, &d->listeners)
        CONTAINER(n, struct listener, node)->keep = false;
    LIST_EACH(n, &d->next_listeners) {
        struct listener *l = CONTAINER(n, struct listener, node);
        list_remove(n);
        list_append(&d->listeners, n);
        loop_io_add(d->env->loop, &l->io, l->fd, LOOP_READ, on_connection, l);
        l->open = true;
    }
}

void smtpd_unlisten(struct smtpd *d)
{
    loop_timer_stop(d->env->loop, &d->listen_late);
    free_listeners(d, &d->listeners);
    free_listeners(d, &d->next_listeners);
}
