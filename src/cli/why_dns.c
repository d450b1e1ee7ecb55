/* A name server's failure, asked for anew: which of the servers says what. libunbound, which the
 * gateway asks by, does not tell a refusal from silence. */
#include "cli/why_words.h"

#include "base/buf.h"
#include "dns/answer.h"
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

/* By UDP, once. */
static const char *ask_server(const struct netaddr *server, struct span query)
{
    struct sockaddr_storage ss;
    char packet[PACKET_MAX];
    socklen_t len = netaddr_to_sockaddr(server, &ss);
    int fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct pollfd p = { .fd = fd, .events = POLLIN };
    const char *said = NULL;
    if (fd < 0 || connect(fd, (struct sockaddr *)&ss, len) != 0 ||
        send(fd, query.p, query.n, 0) < 0) {
        said = strerror(errno);
    } else if (poll(&p, 1, WAIT_MS) <= 0) {
        said = "no answer within 2 seconds";
    } else {
        ssize_t n = recv(fd, packet, sizeof packet, 0);
        said = n < 0 ? strerror(errno) : words_of(packet, n, query);
    }
    if (fd >= 0)
        close(fd);
    return said;
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
    size_t n = servers_of(&cfg->dns, servers);
    for (size_t i = 0; i < n && i < ASKED_MAX; i++) {
        struct buf name;
        buf_init(&name, NETADDR_TEXT_MAX + 8);
        if (!servers[i].port)
            servers[i].port = 53;
        netaddr_put(&name, &servers[i]);
        json_array_append_new(list, json_pack("{s:s,s:s%,s:s%,s:s}", "server", buf_cstr(&name),
                                              "type", q->type.p, q->type.n, "name", q->name.p,
                                              q->name.n, "said", ask_server(&servers[i], query)));
        buf_free(&name);
    }
}

json_t *why_ask_servers(const struct why *w, const struct config *cfg)
{
    json_t *list = json_array();
    for (size_t i = 0; i < w->route_count && !json_array_size(list); i++) {
        struct question q;
        struct buf query;
        const json_t *lookup = w->routes[i].target.lookup;
        if (!why_is(json_object_get(lookup, "plan"), "verdict", "later") ||
            !failed_question(lookup, &q))
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
