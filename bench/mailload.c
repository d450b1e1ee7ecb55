/* mailload - SMTP load source and counting sink, single-threaded epoll, C11.
 *
 *   mailload sink   -p PORT [-h ADDR] -n N [-r RUN] [-T idle_s] [-W first_s] [-x K] [-g linger_ms]
 *   mailload source -p PORT [-h ADDR] -n N [-r RUN] [-c CONC] [-s SIZE] [-m PER_CONN] [-P] [-b
 * ADDRS] [-o FIRST_SEQ] [-D K] [-f K]
 *
 * Each message carries  X-Mailload: RUN SEQ NS LINES HASH  (NS = CLOCK_MONOTONIC at
 * start of that message's transaction).  The sink reports count, unique, lost,
 * duplicate, corrupted, and end-to-end latency.  Both print one JSON line.
 * sink: exits when all N sequence numbers were seen (plus linger_ms to catch
 *       duplicates), or idle_s after the last message, or first_s with none.
 *       -x K: answer every K-th end of data with 451 (not counted).
 * source: -m 0 = keep connections for ever, -m 1 = a connection per message;
 *       -P = pipeline MAIL/RCPT/DATA; -b K = spread over 127.0.0.1..K;
 *       -D K = recipients in dest0.example .. dest(K-1).example, in turn;
 *       -f K = K senders in a hundred domains, mixed.
 * both: -l FILE = at the end, one line per number: source "SEQ accepted|unsure|failed",
 *       sink "SEQ COUNT" for what arrived (also at SIGUSR1), so that what was accepted can be
 *       told from the rest.
 *       4xx or a broken connection before the final dot is retried (counted);
 *       a break after the final dot counts as "unsure" and is not retried.  */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}
static void die(const char *m)
{
    perror(m);
    exit(2);
}
/* A line's own hash, then one step of the whole's: the lines' do not wait for one another. */
static uint64_t mix(uint64_t h, const char *p, size_t n)
{
    uint64_t line = n * 0x9E3779B97F4A7C15u, v;
    while (n >= 8) {
        memcpy(&v, p, 8);
        line = (line ^ v) * 0xff51afd7ed558ccdu;
        line ^= line >> 32;
        p += 8;
        n -= 8;
    }
    v = 0;
    memcpy(&v, p, n);
    h = (h ^ line ^ v) * 0xff51afd7ed558ccdu;
    return h ^ (h >> 32);
}

static const char *host = "127.0.0.1", *run = "r0", *list_file;
static int port, conc = 1, permsg = 1, pipelining, naddr = 1, rejectk, domains, senders;
static long N = 1000, size = 4096;
static double idle_s = 20, first_s = 60;
static int linger_ms = 500;
static int ep;
static uint32_t *lat;
static long nlat; /* microseconds */
static int cmp32(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}
static double pct(double q)
{
    return nlat ? lat[(long)(q * (double)(nlat - 1))] / 1000.0 : 0;
}
static double cpu(void)
{
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
           (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}
static volatile sig_atomic_t stop, list_now;
static void onusr1(int s)
{
    (void)s;
    list_now = 1;
}
static void onterm(int s)
{
    (void)s;
    stop = 1;
}

/* What became of each number: how often it arrived, or an initial of accepted, unsure, failed. */
static uint8_t *seen;
static void write_list(int counts)
{
    char part[4096];
    snprintf(part, sizeof part, "%s.part", list_file ? list_file : "");
    FILE *f = list_file ? fopen(part, "w") : NULL;
    for (long i = 0; f && i < N; i++) {
        const char *w = seen[i] == 'a' ? "accepted" : seen[i] == 'u' ? "unsure" : "failed";
        if (seen[i] && counts)
            fprintf(f, "%ld %d\n", i, seen[i]);
        else if (seen[i])
            fprintf(f, "%ld %s\n", i, w);
    }
    if (f && (fclose(f) || rename(part, list_file)))
        die(list_file);
}

/* ---------------------------------------------------------------- sink */
enum { RB = 65536 };
struct sk {
    int fd, data, hdr, skip;
    size_t len;
    uint64_t hash, want, t0;
    long seq, lines, wlines;
    int ours;
    size_t olen;
    char out[4096];
    char b[RB];
};
static long got, uniq, ndup, bad, foreign, conns, rejected, open_now, open_max;
static uint64_t tfirst, tlast, tuniq, t99, bytes;

static void sout(struct sk *s, const char *m)
{
    size_t n = strlen(m);
    if (s->olen + n > sizeof s->out)
        s->olen = 0;
    memcpy(s->out + s->olen, m, n);
    s->olen += n;
}
static int sflush(struct sk *s)
{
    size_t o = 0;
    while (o < s->olen) {
        ssize_t w = send(s->fd, s->out + o, s->olen - o, MSG_NOSIGNAL);
        if (w <= 0)
            return -1;
        o += (size_t)w;
    }
    s->olen = 0;
    return 0;
}
static void sdone(struct sk *s)
{
    static long eod;
    uint64_t t = now();
    if (rejectk && ++eod % rejectk == 0) {
        rejected++;
        sout(s, "451 4.3.0 try again\r\n");
        return;
    }
    got++;
    tlast = t;
    if (!tfirst)
        tfirst = t;
    if (!s->ours)
        foreign++;
    else {
        if (s->lines != s->wlines || s->hash != s->want)
            bad++;
        if (seen[s->seq])
            ndup++;
        else {
            uniq++;
            tuniq = t;
            if (uniq == (N * 99 + 99) / 100)
                t99 = t;
            lat[nlat++] = (uint32_t)((t - s->t0) / 1000);
        }
        if (seen[s->seq] < 255)
            seen[s->seq]++;
    }
    sout(s, "250 2.0.0 ok\r\n");
}
static void sline(struct sk *s, char *l, size_t n)
{ /* n without CRLF */
    if (s->data) {
        if (n == 1 && l[0] == '.') {
            s->data = 0;
            sdone(s);
            return;
        }
        if (n && l[0] == '.') {
            l++;
            n--;
        }
        if (s->hdr) {
            if (n == 0) {
                s->hdr = 0;
                return;
            }
            if (n > 12 && !memcmp(l, "X-Mailload: ", 12)) {
                char r[64];
                long q, wl;
                unsigned long long t, h;
                char k = l[n];
                l[n] = 0;
                if (sscanf(l + 12, "%63s %ld %llu %ld %llx", r, &q, &t, &wl, &h) == 5 &&
                    !strcmp(r, run) && q >= 0 && q < N) {
                    s->ours = 1;
                    s->seq = q;
                    s->t0 = t;
                    s->wlines = wl;
                    s->want = h;
                }
                l[n] = k;
            }
            return;
        }
        s->lines++;
        s->hash = mix(s->hash, l, n);
        return;
    }
    if (n < 4) {
        sout(s, "500 what\r\n");
        return;
    }
    if (!strncasecmp(l, "EHLO", 4))
        sout(s, "250-sink.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 104857600\r\n");
    else if (!strncasecmp(l, "DATA", 4)) {
        sout(s, "354 go\r\n");
        s->data = s->hdr = 1;
        s->ours = 0;
        s->hash = 0;
        s->lines = 0;
    } else if (!strncasecmp(l, "QUIT", 4)) {
        sout(s, "221 2.0.0 bye\r\n");
        s->skip = 1;
    } else
        sout(s, "250 2.1.0 ok\r\n");
}
static int sread(struct sk *s)
{
    for (;;) {
        ssize_t r = read(s->fd, s->b + s->len, RB - s->len);
        if (r == 0)
            return -1;
        if (r < 0)
            return errno == EAGAIN ? 0 : -1;
        bytes += (uint64_t)r;
        s->len += (size_t)r;
        char *p = s->b, *e = s->b + s->len, *nl;
        size_t room = RB - (s->len - (size_t)r);
        while ((nl = memchr(p, '\n', (size_t)(e - p)))) {
            size_t n = (size_t)(nl - p);
            if (n && p[n - 1] == '\r')
                n--;
            sline(s, p, n);
            p = nl + 1;
            if (s->skip)
                break;
        }
        if (s->olen && sflush(s))
            return -1;
        if (s->skip)
            return -1;
        s->len = (size_t)(e - p);
        memmove(s->b, p, s->len);
        if (s->len == RB) {
            bad++;
            s->len = 0;
        }
        if ((size_t)r < room)
            return 0;
    }
}
static int sink(void)
{
    int l = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
    setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    inet_pton(AF_INET, host, &a.sin_addr);
    if (bind(l, (void *)&a, sizeof a) || listen(l, 4096))
        die("bind/listen");
    seen = calloc((size_t)N, 1);
    lat = calloc((size_t)N, 4);
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL}, evs[256];
    epoll_ctl(ep, EPOLL_CTL_ADD, l, &ev);
    uint64_t t0 = now(), act = t0;
    while (!stop) {
        int k = epoll_wait(ep, evs, 256, 50);
        uint64_t t = now();
        if (list_now) {
            list_now = 0;
            write_list(1);
        }
        for (int i = 0; i < k; i++) {
            struct sk *s = evs[i].data.ptr;
            if (!s) {
                int fd;
                while ((fd = accept4(l, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
                    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                    s = malloc(sizeof *s);
                    memset(s, 0, offsetof(struct sk, out));
                    s->fd = fd;
                    conns++;
                    if (++open_now > open_max)
                        open_max = open_now;
                    ev.events = EPOLLIN;
                    ev.data.ptr = s;
                    epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
                    sout(s, "220 sink.example ESMTP\r\n");
                    sflush(s);
                }
                continue;
            }
            act = t;
            if (sread(s)) {
                close(s->fd);
                free(s);
                open_now--;
            }
        }
        if (uniq == N && now() - tlast > (uint64_t)linger_ms * UINT64_C(1000000))
            break;
        if (conns ? (double)(t - act) / 1e9 > idle_s : (double)(t - t0) / 1e9 > first_s)
            break;
    }
    qsort(lat, (size_t)nlat, 4, cmp32);
    write_list(1);
    printf("{\"mode\":\"sink\",\"n\":%ld,\"received\":%ld,\"unique\":%ld,\"lost\":%ld,"
           "\"duplicate\":%ld,\"corrupt\":%ld,\"foreign\":%ld,"
           "\"tempfailed\":%ld,\"conns\":%ld,\"max_open\":%ld,\"bytes\":%llu,\"first_ns\":%llu,"
           "\"last_ns\":%llu,\"last_unique_ns\":%llu,\"t99_ns\":%llu,"
           "\"lat_p50_ms\":%.2f,\"lat_p99_ms\":%.2f,\"lat_max_ms\":%.2f,\"cpu_s\":%.3f}\n",
           N, got, uniq, N - uniq, ndup, bad, foreign, rejected, conns, open_max,
           (unsigned long long)bytes, (unsigned long long)tfirst, (unsigned long long)tlast,
           (unsigned long long)tuniq, (unsigned long long)t99, pct(.5), pct(.99), pct(1), cpu());
    return uniq == N && !ndup && !bad ? 0 : 1;
}

/* -------------------------------------------------------------- source */
enum st { CONN, GREET, EHLO, MAIL, RCPT, DATA, BODY, FINAL, QUIT, WAIT };
struct sc {
    int fd, idx;
    enum st st;
    long seq;
    int left, multi;
    uint64_t t0;
    size_t in, off, hlen;
    char b[4096], h[1024];
};
static char *body;
static size_t blen;
static long blines;
static uint64_t bhash;
static long off, next, done, fail, retry, unsure, conns_out;
static uint64_t tstart, tend;
static char lasterr[200];


static void mod(struct sc *s, uint32_t e)
{
    struct epoll_event ev = {.events = e, .data.ptr = s};
    epoll_ctl(ep, EPOLL_CTL_MOD, s->fd, &ev);
}
static int put(struct sc *s, const char *m)
{
    size_t n = strlen(m);
    return send(s->fd, m, n, MSG_NOSIGNAL) == (ssize_t)n ? 0 : -1;
}
static long take(void)
{
    return next < off + N ? next++ : -1;
}
static int finished(void)
{
    return done + fail + unsure >= N;
}
static void cstart(struct sc *s)
{
    if (s->seq < 0)
        s->seq = take();
    if (s->seq < 0) {
        s->fd = -1;
        s->st = WAIT;
        s->t0 = UINT64_MAX;
        return;
    }
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int one = 1;
    if (s->fd < 0)
        die("socket");
    setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    inet_pton(AF_INET, host, &a.sin_addr);
    if (naddr > 1) {
        struct sockaddr_in b = {.sin_family = AF_INET};
        b.sin_addr.s_addr = htonl(0x7f000001u + (unsigned)(conns_out % naddr));
        setsockopt(s->fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
        bind(s->fd, (void *)&b, sizeof b);
    }
    conns_out++;
    s->in = 0;
    s->left = permsg ? permsg : -1;
    s->t0 = now();
    s->st = CONN;
    s->multi = 0;
    struct epoll_event ev = {.events = EPOLLOUT, .data.ptr = s};
    if (connect(s->fd, (void *)&a, sizeof a) && errno != EINPROGRESS) {
        close(s->fd);
        s->fd = -1;
        s->st = WAIT;
        s->t0 = now() + 20000000u;
        retry++;
        return;
    }
    epoll_ctl(ep, EPOLL_CTL_ADD, s->fd, &ev);
}
static void drop(struct sc *s)
{
    close(s->fd);
    s->fd = -1;
    s->st = WAIT;
    s->t0 = now() + 20000000u;
}
static void broken(struct sc *s)
{ /* connection or transaction failed */
    if (s->seq >= 0) {
        if (s->st == FINAL) {
            unsure++;
            seen[s->seq - off] = 'u';
            s->seq = -1;
        } else
            retry++;
    }
    drop(s);
}
static int wbody(struct sc *s)
{
    while (s->off < s->hlen + blen) {
        struct iovec v[2];
        int n = 0;
        if (s->off < s->hlen)
            v[n++] = (struct iovec){s->h + s->off, s->hlen - s->off};
        size_t bo = s->off > s->hlen ? s->off - s->hlen : 0;
        v[n++] = (struct iovec){body + bo, blen - bo};
        ssize_t w = writev(s->fd, v, n);
        if (w < 0) {
            if (errno == EAGAIN) {
                mod(s, EPOLLIN | EPOLLOUT);
                return 0;
            }
            return -1;
        }
        s->off += (size_t)w;
    }
    s->st = FINAL;
    mod(s, EPOLLIN);
    return 0;
}
static void mail_cmd(const struct sc *s, char *to, size_t n)
{
    unsigned long k = senders ? ((unsigned long)s->seq * 2654435761u >> 8) % (unsigned)senders : 0;
    if (senders)
        snprintf(to, n, "MAIL FROM:<a%lu@load%lu.example>\r\n", k, k % 100);
    else
        snprintf(to, n, "MAIL FROM:<a@load.example>\r\n");
}
static int put_mail(struct sc *s)
{
    char cmd[128];
    mail_cmd(s, cmd, sizeof cmd);
    return put(s, cmd);
}
static int put_rcpt(struct sc *s)
{
    char cmd[256], mail[128] = "", number[24] = "";
    if (pipelining)
        mail_cmd(s, mail, sizeof mail);
    if (domains)
        snprintf(number, sizeof number, "%ld", s->seq % domains);
    snprintf(cmd, sizeof cmd, "%sRCPT TO:<b@dest%s.example>\r\n%s", mail, number,
             pipelining ? "DATA\r\n" : "");
    return put(s, cmd);
}
static int begin(struct sc *s)
{ /* start a transaction on a ready connection */
    if (s->multi)
        s->t0 = now();
    s->multi = 1;
    s->hlen = (size_t)snprintf(
        s->h, sizeof s->h,
        "X-Mailload: %s %ld %llu %ld %llx\r\nFrom: <a@load.example>\r\nTo: <b@dest.example>\r\n"
        "Subject: load test %ld\r\nMessage-ID: <%s.%ld@load.example>\r\nDate: Fri, 20 Nov 2026 "
        "08:00:00 +0000\r\n"
        "MIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n",
        run, s->seq, (unsigned long long)s->t0, blines, (unsigned long long)bhash, s->seq, run,
        s->seq);
    s->off = 0;
    s->st = MAIL;
    return pipelining ? put_rcpt(s) : put_mail(s);
}
static int reply(struct sc *s, int code, const char *txt)
{
    int ok = 0;
    switch (s->st) {
    case GREET:
        ok = code == 220;
        if (ok) {
            s->st = EHLO;
            return put(s, "EHLO load.example\r\n");
        }
        break;
    case EHLO:
        ok = code == 250;
        if (ok)
            return begin(s);
        break;
    case MAIL:
        ok = code == 250;
        if (ok) {
            s->st = RCPT;
            return pipelining ? 0 : put_rcpt(s);
        }
        break;
    case RCPT:
        ok = code == 250;
        if (ok) {
            s->st = DATA;
            return pipelining ? 0 : put(s, "DATA\r\n");
        }
        break;
    case DATA:
        ok = code == 354;
        if (ok) {
            s->st = BODY;
            return wbody(s);
        }
        break;
    case FINAL:
        if (code == 250) {
            uint64_t t = now();
            done++;
            seen[s->seq - off] = 'a';
            tend = t;
            lat[nlat++] = (uint32_t)((t - s->t0) / 1000);
            s->seq = -1;
            if (s->left > 0)
                s->left--;
            if (s->left && (s->seq = take()) >= 0)
                return begin(s);
            if (!put(s, "QUIT\r\n")) {
                struct sc *d = calloc(1, sizeof *d);
                d->fd = s->fd;
                d->st = QUIT; /* the slot does not wait for 221 */
                struct epoll_event ev = {.events = EPOLLIN, .data.ptr = d};
                epoll_ctl(ep, EPOLL_CTL_MOD, d->fd, &ev);
            } else
                close(s->fd);
            s->fd = -1;
            cstart(s);
            return 1;
        }
        break;
    default:
        break;
    }
    snprintf(lasterr, sizeof lasterr, "st%d: %.150s", (int)s->st, txt);
    for (char *q = lasterr; *q; q++)
        if (*q < ' ' || *q == '"' || *q == '\\')
            *q = ' ';
    if (code >= 500 && s->seq >= 0) {
        fail++;
        seen[s->seq - off] = 'f';
        s->seq = -1;
        drop(s);
        return 1;
    }
    if (s->st == FINAL)
        s->st = BODY; /* 4xx at the end: safe to retry */
    return -1;
}
static int cread(struct sc *s)
{
    ssize_t r = read(s->fd, s->b + s->in, sizeof s->b - 1 - s->in);
    if (r == 0)
        return -1;
    if (r < 0)
        return errno == EAGAIN ? 0 : -1;
    s->in += (size_t)r;
    char *p = s->b, *e = s->b + s->in, *nl;
    while ((nl = memchr(p, '\n', (size_t)(e - p)))) {
        *nl = 0;
        if (nl - p > 3 && p[3] != '-') {
            int k = reply(s, atoi(p), p);
            if (k)
                return k;
        }
        p = nl + 1;
    }
    s->in = (size_t)(e - p);
    memmove(s->b, p, s->in);
    return s->in == sizeof s->b - 1 ? -1 : 0;
}
static int source(void)
{
    /* 64-octet lines, a tenth of them starting with a dot (stuffed on the wire) */
    size_t hdr = 330, want = size > (long)hdr + 66 ? (size_t)size - hdr : 66;
    body = malloc(want * 2 + 400);
    static const char al[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t c = 0; c < want;) {
        char l[66];
        size_t n = want - c < 66 ? (want - c < 3 ? 1 : want - c - 2) : 64;
        for (size_t i = 0; i < n; i++)
            l[i] = al[(i * 7 + (size_t)blines * 13) & 63];
        if (blines % 10 == 9)
            l[0] = '.';
        bhash = mix(bhash, l, n);
        blines++;
        if (l[0] == '.')
            body[blen++] = '.';
        memcpy(body + blen, l, n);
        blen += n;
        memcpy(body + blen, "\r\n", 2);
        blen += 2;
        c += n + 2;
    }
    memcpy(body + blen, ".\r\n", 3);
    blen += 3;
    lat = calloc((size_t)N + 1, 4);
    seen = calloc((size_t)N + 1, 1);
    struct sc *s = calloc((size_t)conc, sizeof *s);
    struct epoll_event evs[256];
    tstart = now();
    for (int i = 0; i < conc; i++) {
        s[i].idx = i;
        s[i].seq = -1;
        cstart(&s[i]);
    }
    uint64_t act = now();
    long last = 0;
    while (!stop && !finished()) {
        int k = epoll_wait(ep, evs, 256, 20);
        uint64_t t = now();
        for (int i = 0; i < k; i++) {
            struct sc *c = evs[i].data.ptr;
            if (c->fd < 0)
                continue;
            if (c->st == QUIT) {
                char z[512];
                if (read(c->fd, z, sizeof z) >= 0 || errno != EAGAIN) {
                    close(c->fd);
                    free(c);
                }
                continue;
            }
            if (c->st == CONN) {
                int er = 0;
                socklen_t el = sizeof er;
                getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &er, &el);
                if (er) {
                    snprintf(lasterr, sizeof lasterr, "connect: %s", strerror(er));
                    broken(c);
                    continue;
                }
                c->st = GREET;
                mod(c, EPOLLIN);
                continue;
            }
            if ((evs[i].events & EPOLLOUT) && c->st == BODY && wbody(c)) {
                broken(c);
                continue;
            }
            if (evs[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
                if (cread(c) < 0)
                    broken(c);
            }
        }
        static uint64_t sweep;
        if (t - sweep > 10000000u) {
            sweep = t;
            for (int i = 0; i < conc; i++)
                if (s[i].fd < 0 && s[i].st == WAIT && t > s[i].t0)
                    cstart(&s[i]);
        }
        if (done != last) {
            last = done;
            act = t;
        }
        if ((double)(t - act) / 1e9 > idle_s)
            break;
    }
    for (int i = 0; i < conc; i++)
        if (s[i].fd >= 0) {
            put(&s[i], "QUIT\r\n");
        }
    qsort(lat, (size_t)nlat, 4, cmp32);
    write_list(0);
    double el = (double)(tend - tstart) / 1e9;
    printf("{\"mode\":\"source\",\"n\":%ld,\"accepted\":%ld,\"failed\":%ld,\"unsure\":%ld,"
           "\"retries\":%ld,\"conns\":%ld,\"start_ns\":%llu,\"end_ns\":%llu,"
           "\"secs\":%.3f,\"rate\":%.1f,\"lat_p50_ms\":%.2f,\"lat_p99_ms\":%.2f,\"lat_max_ms\":%."
           "2f,\"cpu_s\":%.3f,\"last_error\":\"%s\"}\n",
           N, done, fail, unsure, retry, conns_out, (unsigned long long)tstart,
           (unsigned long long)tend, el, el > 0 ? (double)done / el : 0, pct(.5), pct(.99), pct(1),
           cpu(), lasterr);
    return done == N ? 0 : 1;
}
static void take_signals(void)
{
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, onterm);
    signal(SIGUSR1, onusr1);
    signal(SIGINT, onterm);
}
int main(int c, char **v)
{
    if (c < 2) {
        fprintf(stderr, "mailload source|sink -p PORT -n N ...\n");
        return 2;
    }
    int o;
    optind = 2;
    while ((o = getopt(c, v, "h:p:n:r:c:s:m:Pb:T:W:x:g:o:D:f:l:")) != -1)
        switch (o) {
        case 'h':
            host = optarg;
            break;
        case 'p':
            port = atoi(optarg);
            break;
        case 'n':
            N = atol(optarg);
            break;
        case 'r':
            run = optarg;
            break;
        case 'c':
            conc = atoi(optarg);
            break;
        case 's':
            size = atol(optarg);
            break;
        case 'm':
            permsg = atoi(optarg);
            break;
        case 'P':
            pipelining = 1;
            break;
        case 'b':
            naddr = atoi(optarg);
            break;
        case 'D':
            domains = atoi(optarg);
            break;
        case 'f':
            senders = atoi(optarg);
            break;
        case 'l':
            list_file = optarg;
            break;
        case 'T':
            idle_s = atof(optarg);
            break;
        case 'W':
            first_s = atof(optarg);
            break;
        case 'x':
            rejectk = atoi(optarg);
            break;
        case 'g':
            linger_ms = atoi(optarg);
            break;
        case 'o':
            off = next = atol(optarg);
            break;
        default:
            return 2;
        }
    take_signals();
    ep = epoll_create1(EPOLL_CLOEXEC);
    return v[1][1] == 'i' ? sink() : source();
}
