/* A name server's failure, asked for anew: which of the servers says what. libunbound, which the
 * gateway asks by, does not tell a refusal from silence. */
#include "cli/why_words.h"

#include "base/buf.h"
#include "dns/answer.h"
#include "dns/hop.h"
#include "dns/servers.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ASKED_MAX = 3, WAIT_MS = 2000, PACKET_MAX = 1500, RCODE = 3, RCODES = 6 };

struct question {
    struct span type, name;
};

/* The first question of a look-up that failed. */
static bool failed_question(const json_t *lookup, struct question *q)
{
    const json_t *trail = json_object_get(lookup, "trail");
    const json_t *steps = json_is_array(trail) ? trail : json_object_get(trail, "steps");
    for (size_t i = 0; i < json_array_size(steps); i++) {
        const json_t *step = json_array_get(steps, i);
        q->type = row_text(step, "what");
        q->name = row_text(step, "key");
        if (why_is(step, "verdict", "fail") && dns_type_from(q->type) && q->name.n)
            return true;
    }
    return false;
}

/* Of one that was not waited for to its end: its first. */
static bool late_question(const struct why_route *r, struct question *q)
{
    struct dns_hop hops[DNS_HOPS_MAX];
    struct span text = row_text(r->forced ? r->rcpt : r->target.route, "hops");
    size_t n;
    struct err e;
    if (!r->late || !dns_hops_parse(text, hops, &n, &e) || hops[0].literal)
        return false;
    *q = (struct question){ .type = hops[0].bracketed ? SPAN("A") : SPAN("MX"),
                            .name = hops[0].host };
    return true;
}

static bool is_silent(const struct why_route *r, struct question *q)
{
    const json_t *lookup = r->target.lookup;
    return late_question(r, q) || (why_is(json_object_get(lookup, "plan"), "verdict", "later") &&
                                   failed_question(lookup, q));
}

/* RFC 1035 4.1. False: it is no name. */
static bool put_query(struct buf *b, const struct question *q)
{
    static const char head[] = "\x01\0\0\x01\0\0\0\0\0\0"; /* after the id: RD, one question */
    struct timespec now;
    struct span rest = q->name;
    uint16_t type = dns_type_from(q->type);
    clock_gettime(CLOCK_MONOTONIC, &now);
    buf_putc(b, (char)(now.tv_nsec >> 8));
    buf_putc(b, (char)now.tv_nsec);
    buf_puts(b, span_of(head, sizeof head - 1));
    while (rest.n) {
        struct span label = span_to(rest, span_find(rest, '.'));
        if (!label.n || label.n > 63)
            return false;
        buf_putc(b, (char)label.n);
        buf_puts(b, label);
        rest = span_from(rest, label.n + 1);
    }
    buf_putc(b, 0);
    buf_putc(b, (char)(type >> 8));
    buf_putc(b, (char)type);
    buf_putc(b, 0);
    buf_putc(b, 1);
    return !b->failed;
}

static const char *words_of(const char *packet, ssize_t n, struct span query)
{
    static const char *const rcodes[RCODES] = { "it answers", "FORMERR", "SERVFAIL",
                                                "no such name (NXDOMAIN)", "NOTIMP", "REFUSED" };
    if (n < 12 || memcmp(packet, query.p, 2) != 0)
        return "something that is no answer";
    int rcode = packet[RCODE] & 15;
    return rcode < RCODES ? rcodes[rcode] : "a failure of a rare kind";
}

/* By UDP, once. NULL: it is to be heard of; else fd_r is not open any more. */
static const char *send_query(const struct netaddr *server, struct span query, int *fd_r)
{
    struct sockaddr_storage ss;
    socklen_t len = netaddr_to_sockaddr(server, &ss);
    int fd = *fd_r = socket(ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&ss, len) == 0 &&
        send(fd, query.p, query.n, 0) >= 0)
        return NULL;
    const char *said = strerror(errno);
    if (fd >= 0)
        close(fd);
    *fd_r = -1;
    return said;
}

static const char *hear(int fd, struct span query)
{
    char packet[PACKET_MAX];
    ssize_t n = recv(fd, packet, sizeof packet, 0);
    return n < 0 ? strerror(errno) : words_of(packet, n, query);
}

/* All at once: none waits for the others' silence. */
static void ask_servers(const struct netaddr *servers, size_t n, struct span query,
                        const char **said)
{
    struct pollfd p[ASKED_MAX];
    int64_t until_ms = ctl_now_ms() + WAIT_MS, left_ms;
    size_t silent = 0;
    for (size_t i = 0; i < n; i++) {
        p[i] = (struct pollfd){ .events = POLLIN };
        said[i] = send_query(&servers[i], query, &p[i].fd);
        silent += !said[i];
    }
    while (silent && (left_ms = until_ms - ctl_now_ms()) > 0 && poll(p, n, (int)left_ms) >= 0) {
        for (size_t i = 0; i < n; i++) {
            if (p[i].fd < 0 || !p[i].revents)
                continue;
            said[i] = hear(p[i].fd, query);
            close(p[i].fd);
            p[i].fd = -1;
            silent--;
        }
    }
    for (size_t i = 0; i < n; i++) {
        said[i] = said[i] ? said[i] : "no answer within 2 seconds";
        if (p[i].fd >= 0)
            close(p[i].fd);
    }
}

static size_t servers_of(const struct config_dns *c, struct netaddr servers[DNS_SERVERS_MAX])
{
    size_t n = 0;
    struct err e;
    for (; n < c->servers.n && n < DNS_SERVERS_MAX; n++)
        servers[n] = c->servers.v[n];
    char *path = strndup(c->resolv_conf.p ? c->resolv_conf.p : "", c->resolv_conf.n);
    if (!n && (!path || !dns_servers_read(path, servers, &n, &e)))
        n = 0;
    free(path);
    return n;
}

static void ask_all(const struct config *cfg, const struct question *q, struct span query,
                    json_t *list)
{
    struct netaddr servers[DNS_SERVERS_MAX];
    const char *said[ASKED_MAX];
    size_t n = servers_of(&cfg->dns, servers);
    n = n < ASKED_MAX ? n : ASKED_MAX;
    for (size_t i = 0; i < n; i++)
        servers[i].port = servers[i].port ? servers[i].port : 53;
    ask_servers(servers, n, query, said);
    for (size_t i = 0; i < n; i++) {
        struct buf name;
        buf_init(&name, NETADDR_TEXT_MAX + 8);
        netaddr_put(&name, &servers[i]);
        json_array_append_new(list, json_pack("{s:s,s:s%,s:s%,s:s}", "server", buf_cstr(&name),
                                              "type", q->type.p, q->type.n, "name", q->name.p,
                                              q->name.n, "said", said[i]));
        buf_free(&name);
    }
}

json_t *why_ask_servers(const struct why *w, const struct config *cfg)
{
    json_t *list = json_array();
    for (size_t i = 0; i < w->route_count && !json_array_size(list); i++) {
        struct question q;
        struct buf query;
        if (!is_silent(&w->routes[i], &q))
            continue;
        buf_init(&query, 512);
        if (put_query(&query, &q))
            ask_all(cfg, &q, buf_span(&query), list);
        buf_free(&query);
    }
    return list;
}

void why_show_servers(struct why_show *s)
{
    for (size_t i = 0; i < json_array_size(s->w->servers); i++) {
        const json_t *at = json_array_get(s->w->servers, i);
        buf_putz(s->out, "    asked itself just now, for ");
        why_put(s, row_text(at, "type"));
        buf_putz(s->out, " of ");
        why_put(s, row_text(at, "name"));
        buf_putz(s->out, ", the name server ");
        why_put(s, row_text(at, "server"));
        buf_putz(s->out, " says: ");
        why_put(s, row_text(at, "said"));
        buf_putc(s->out, '\n');
    }
}
