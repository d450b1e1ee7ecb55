/* What became of the last attempt at each host, for `hoststat` and `postern why`: those heard of
 * last, a bounded number. */
#include "qmgr/hosts.h"

#include "base/must.h"
#include "proto/lists.h"
#include "qmgr/admin.h"
#include "smtp/client.h"

#include <stdlib.h>
#include <sysexits.h>

enum { HOSTS_MAX = 1000, NAME_MAX_BYTES = 255, TEXT_MAX_BYTES = 120, STALE_MS = 30 * 60 * 1000 };

struct host {
    struct hash_node node;
    struct list recent; /* the latest first */
    int64_t wall_ms;
    struct netaddr relay;
    char name[NAME_MAX_BYTES + 1], text[TEXT_MAX_BYTES], dest[NAME_MAX_BYTES];
    size_t name_len, text_len, dest_len;
};

struct hosts {
    struct hash by_name;
    struct list recent;
};

static void forget(struct hosts *h, struct host *host)
{
    hash_remove(&h->by_name, &host->node);
    list_remove(&host->recent);
    free(host);
}

void hosts_free(struct qmgr *q)
{
    if (!q->hosts)
        return;
    LIST_EACH(n, &q->hosts->recent)
        forget(q->hosts, CONTAINER(n, struct host, recent));
    hash_free(&q->hosts->by_name);
    free(q->hosts);
    q->hosts = NULL;
}

static struct host *host_of(struct qmgr *q, struct span name)
{
    if (!q->hosts) {
        q->hosts = NEW(struct hosts);
        hash_init(&q->hosts->by_name, loop_random_u64(q->env->loop), 0);
        list_init(&q->hosts->recent);
    }
    struct hosts *h = q->hosts;
    struct hash_node *n = hash_get(&h->by_name, name);
    if (n)
        return CONTAINER(n, struct host, node);
    if (h->by_name.n >= HOSTS_MAX)
        forget(h, CONTAINER(h->recent.prev, struct host, recent));
    struct host *host = NEW(struct host);
    memcpy(host->name, name.p, name.n);
    host->name_len = name.n;
    hash_add(&h->by_name, &host->node, span_of(host->name, host->name_len));
    return host;
}

/* words: what it said, or what is to be said of it. */
static void note(struct qmgr *q, const struct job *j, struct span name,
                 const struct netaddr *relay, bool said, struct span words)
{
    struct span dest = span_to(j->dest, NAME_MAX_BYTES);
    name = span_to(name, NAME_MAX_BYTES);
    if (!name.n)
        return;
    struct host *host = host_of(q, name);
    struct span before = SPAN("Deferred: ");
    size_t at = 0;
    if (!said)
        memcpy(host->text, before.p, at = before.n);
    words = span_to(words, TEXT_MAX_BYTES - at);
    if (words.n)
        memcpy(host->text + at, words.p, words.n);
    host->text_len = at + words.n;
    if (dest.n)
        memcpy(host->dest, dest.p, dest.n);
    host->dest_len = dest.n;
    host->relay = *relay;
    host->wall_ms = loop_wall_ms(q->env->loop);
    list_remove(&host->recent);
    list_prepend(&q->hosts->recent, &host->recent);
}

void hosts_note(struct qmgr *q, const struct job *j, const struct job_rcpt *g)
{
    bool said = g->reply.n && g->result != SMTP_UNKNOWN;
    if (g->result != SMTP_STALE)
        note(q, j, g->host, &g->relay, said, said ? g->reply : g->text);
}

void hosts_left(struct qmgr *q, const struct job *j, const struct msg_left *m)
{
    note(q, j, m->host, &m->relay, m->reply.n > 0, m->reply.n ? m->reply : m->text);
}

void hosts_each(const struct qmgr *q, void (*fn)(void *ctx, const struct host_info *h), void *ctx)
{
    if (!q->hosts)
        return;
    LIST_EACH(n, &q->hosts->recent) {
        const struct host *host = CONTAINER(n, struct host, recent);
        struct host_info h = { .name = span_of(host->name, host->name_len),
                               .text = span_of(host->text, host->text_len),
                               .dest = span_of(host->dest, host->dest_len),
                               .relay = host->relay,
                               .wall_ms = host->wall_ms };
        fn(ctx, &h);
    }
}

static void purge(struct qmgr *q)
{
    int64_t now = loop_wall_ms(q->env->loop);
    if (!q->hosts)
        return;
    LIST_EACH(n, &q->hosts->recent) {
        struct host *host = CONTAINER(n, struct host, recent);
        if (now - host->wall_ms >= STALE_MS)
            forget(q->hosts, host);
    }
}

static void row(struct admin_ask *a, const struct host *host)
{
    struct buf b;
    buf_init(&b, 4096);
    struct json j = json_writer(&b);
    json_open(&j, NULL);
    json_str(&j, "host", span_of(host->name, host->name_len));
    json_int(&j, "ago_ms", loop_wall_ms(a->q->env->loop) - host->wall_ms);
    json_str(&j, "text", span_of(host->text, host->text_len));
    json_close(&j);
    admin_row(a, &b);
    buf_free(&b);
}

/* "hosts"; with "purge": those that are half an hour old are forgotten, and nothing is said. */
void admin_hosts(struct admin_ask *a, struct wire *args)
{
    struct span arg;
    bool any = list_next_text(args, &arg);
    if (any && !span_eq(arg, SPAN("purge"))) {
        admin_end(a, EX_USAGE, "hosts takes only purge");
        return;
    }
    if (any)
        purge(a->q);
    else if (a->q->hosts)
        LIST_EACH(n, &a->q->hosts->recent)
            row(a, CONTAINER(n, struct host, recent));
    admin_end(a, ADMIN_OK, "");
}
