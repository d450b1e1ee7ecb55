/* dnsserver: a staged DNS server (UDP and TCP on loopback) on the test's own loop, answering from
 * a dns_zone. Answers larger than 512 bytes come over UDP as truncated. */
#ifndef POSTERN_TESTS_UNIT_DNSSERVER_H
#define POSTERN_TESTS_UNIT_DNSSERVER_H

#include "base/must.h"
#include "dns/zone.h"
#include "loop/loop.h"

#include <stdio.h>
#include <unistd.h>

enum { DNSSERVER_CONNS = 16 };

struct dnsserver_conn {
    struct dnsserver *s;
    struct loop_io io;
    char in[1024];
    size_t n;
    bool open;
};

struct dnsserver {
    struct loop *loop;
    struct dns_zone *zone;
    struct netaddr addr;
    struct loop_io udp, tcp;
    struct dnsserver_conn conns[DNSSERVER_CONNS];
    unsigned asked, asked_tcp, truncated; /* questions seen */
    /* Answers in the zone's stead when it returns true; may be NULL. */
    bool (*instead)(void *ctx, const struct dns_question *q, struct buf *packet);
    void *instead_ctx;
};

/* 0: no answer. */
static size_t dnsserver_answer(struct dnsserver *s, const char *in, size_t n, size_t limit,
                               char *out)
{
    struct dns_question q;
    struct buf b;
    size_t off = 12;
    if (n < 17 || dns_name_read(span_of(in, n), &off, &q.name) != 1 || off + 4 > n)
        return 0;
    q.type = (uint16_t)((uint8_t)in[off] << 8 | (uint8_t)in[off + 1]);
    s->asked++;
    buf_init(&b, DNS_PACKET_MAX);
    if (s->instead && s->instead(s->instead_ctx, &q, &b))
        limit = DNS_PACKET_MAX; /* its asker spoke of more than 512 */
    else
        dns_zone_answer(s->zone, &q, &b);
    n = b.len;
    if (n > limit) { /* the header and the question, TC set */
        s->truncated++;
        b.mem[2] |= 2;
        memset(b.mem + 6, 0, 6);
        n = 12 + q.name.n + 2 + 4;
    }
    memcpy(out, b.mem ? b.mem : "", n);
    memcpy(out, in, n ? 2 : 0);
    buf_free(&b);
    return n;
}

static void dnsserver_udp(void *ctx, int ready)
{
    static char out[DNS_PACKET_MAX];
    struct dnsserver *s = ctx;
    struct sockaddr_storage from;
    char in[2048];
    (void)ready;
    for (;;) {
        socklen_t len = sizeof from;
        ssize_t n = recvfrom(s->udp.fd, in, sizeof in, MSG_DONTWAIT, (struct sockaddr *)&from,
                             &len);
        if (n < 0)
            return;
        size_t m = dnsserver_answer(s, in, (size_t)n, 512, out);
        if (m)
            sendto(s->udp.fd, out, m, 0, (struct sockaddr *)&from, len);
    }
}

static void dnsserver_conn_end(struct dnsserver_conn *c)
{
    if (!c->open)
        return;
    loop_io_del(c->s->loop, &c->io);
    close(c->io.fd);
    c->open = false;
}

static void dnsserver_read(void *ctx, int ready)
{
    static char out[DNS_PACKET_MAX + 2];
    struct dnsserver_conn *c = ctx;
    (void)ready;
    ssize_t n = read(c->io.fd, c->in + c->n, sizeof c->in - c->n);
    if (n <= 0) {
        dnsserver_conn_end(c);
        return;
    }
    c->n += (size_t)n;
    while (c->n >= 2) {
        size_t len = (size_t)(uint8_t)c->in[0] << 8 | (uint8_t)c->in[1];
        if (c->n < len + 2)
            return;
        c->s->asked_tcp++;
        size_t m = dnsserver_answer(c->s, c->in + 2, len, DNS_PACKET_MAX, out + 2);
        out[0] = (char)(m >> 8);
        out[1] = (char)m;
        if (m && write(c->io.fd, out, m + 2) < 0)
            break;
        c->n -= len + 2;
        memmove(c->in, c->in + len + 2, c->n);
    }
}

static void dnsserver_accept(void *ctx, int ready)
{
    struct dnsserver *s = ctx;
    (void)ready;
    int fd = loop_accept(s->loop, s->tcp.fd, NULL);
    for (int i = 0; fd >= 0 && i < DNSSERVER_CONNS; i++)
        if (!s->conns[i].open) {
            s->conns[i] = (struct dnsserver_conn){ .s = s, .open = true };
            loop_io_add(s->loop, &s->conns[i].io, fd, LOOP_READ, dnsserver_read, &s->conns[i]);
            return;
        }
    if (fd >= 0)
        close(fd);
}

/* Takes the zone over. */
static void dnsserver_start(struct dnsserver *s, struct loop *l, struct dns_zone *zone)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    struct err e;
    *s = (struct dnsserver){ .loop = l, .zone = zone };
    for (;;) { /* one port for both */
        netaddr_parse(SPAN("127.0.0.1:0"), 0, &s->addr, NULL);
        int tcp = loop_listen(l, &s->addr, 16, &e);
        MUST(tcp >= 0 && loop_local_addr(l, tcp, &s->addr));
        int udp = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        len = netaddr_to_sockaddr(&s->addr, &ss);
        if (bind(udp, (struct sockaddr *)&ss, len) == 0) {
            loop_io_add(l, &s->tcp, tcp, LOOP_READ, dnsserver_accept, s);
            loop_io_add(l, &s->udp, udp, LOOP_READ, dnsserver_udp, s);
            return;
        }
        close(tcp);
        close(udp);
    }
}

static void dnsserver_stop(struct dnsserver *s)
{
    for (int i = 0; i < DNSSERVER_CONNS; i++)
        dnsserver_conn_end(&s->conns[i]);
    loop_io_del(s->loop, &s->udp);
    loop_io_del(s->loop, &s->tcp);
    close(s->udp.fd);
    close(s->tcp.fd);
    dns_zone_free(&s->zone);
}

#endif
