#include "dns/cache.h"

#include "base/hash.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/must.h"

#include <stdlib.h>

struct entry {
    struct hash_node node;
    struct heap_node expiry; /* key: monotonic ms */
    struct list used;        /* most recently used first */
    struct dns_question q;
    struct dns_raw raw;      /* spans into mem */
    bool failed;
    int64_t added_ms;
    size_t bytes;
    char mem[];
};

struct dns_cache {
    struct dns_cache_params p;
    struct hash hash;
    struct heap expiry;
    struct list used;
    struct dns_cache_stats stats;
};

/* The hash key is the question's memory: type and name, without what is behind the name. */
struct key {
    char bytes[DNS_NAME_MAX + 2];
    size_t n;
};

static struct key key_of(const struct dns_question *q)
{
    struct key k = { .n = 2u + q->name.n };
    k.bytes[0] = (char)(q->type >> 8);
    k.bytes[1] = (char)q->type;
    memcpy(k.bytes + 2, q->name.s, q->name.n);
    return k;
}

static uint32_t or_else(uint32_t ttl_s, uint32_t otherwise_s)
{
    return ttl_s == DNS_NOT_KEPT ? 0 : ttl_s ? ttl_s : otherwise_s;
}

static void set_bounds(struct dns_cache *c, const struct dns_cache_params *p)
{
    c->p.max_bytes = p->max_bytes ? p->max_bytes : 32 << 20;
    c->p.max_ttl_s = or_else(p->max_ttl_s, 86400);
    c->p.max_negative_ttl_s = or_else(p->max_negative_ttl_s, 900);
    c->p.fail_ttl_s = p->fail_ttl_s;
}

struct dns_cache *dns_cache_new(const struct dns_cache_params *p)
{
    struct dns_cache *c = NEW(struct dns_cache);
    set_bounds(c, p);
    c->p.max_entries = p->max_entries ? p->max_entries : 20000;
    hash_init(&c->hash, p->seed, c->p.max_entries);
    heap_init(&c->expiry);
    list_init(&c->used);
    return c;
}

static void drop(struct dns_cache *c, struct entry *e)
{
    hash_remove(&c->hash, &e->node);
    heap_remove(&c->expiry, &e->expiry);
    list_remove(&e->used);
    c->stats.bytes -= e->bytes;
    free(e);
}

/* The least recently used leave until there is room. */
static void make_room(struct dns_cache *c, size_t entries, size_t bytes)
{
    while (c->hash.n && (c->hash.n + entries > c->p.max_entries ||
                         c->stats.bytes + bytes > c->p.max_bytes)) {
        drop(c, CONTAINER(c->used.prev, struct entry, used));
        c->stats.evicted++;
    }
}

void dns_cache_configure(struct dns_cache *c, const struct dns_cache_params *p)
{
    set_bounds(c, p);
    make_room(c, 0, 0);
}

void dns_cache_free(struct dns_cache **c)
{
    if (!*c)
        return;
    dns_cache_flush(*c, NULL, false);
    hash_free(&(*c)->hash);
    heap_free(&(*c)->expiry);
    free(*c);
    *c = NULL;
}

static struct entry *find(const struct dns_cache *c, const struct dns_question *q)
{
    struct key k = key_of(q);
    struct hash_node *node = hash_get(&c->hash, span_of(k.bytes, k.n));
    return node ? CONTAINER(node, struct entry, node) : NULL;
}

static void drop_expired(struct dns_cache *c, int64_t now_ms)
{
    for (struct heap_node *n; (n = heap_min(&c->expiry)) && n->key <= now_ms;) {
        drop(c, CONTAINER(n, struct entry, expiry));
        c->stats.expired++;
    }
}

void dns_raw_read(const struct dns_raw *raw, const struct dns_question *q, struct arena *a,
                  struct dns_answer *ans)
{
    if (!raw->packet.n) {
        *ans = (struct dns_answer){ .status = raw->status == DNS_TIMEOUT ? DNS_TIMEOUT
                                                                         : DNS_SERVFAIL };
    } else if (!dns_answer_read(raw->packet, q, a, ans)) {
        *ans = (struct dns_answer){ .status = DNS_SERVFAIL,
                                    .why = SPAN("the answer is malformed") };
    }
    if (raw->security == DNS_BOGUS) { /* whatever it says must not be used */
        ans->status = DNS_SERVFAIL;
        ans->count = 0;
        ans->ttl_s = 0;
    }
    ans->security = raw->security;
    ans->asked_ms = raw->asked_ms;
    ans->took_ms = raw->took_ms;
    ans->server = arena_dup(a, raw->server);
    if (raw->why.n)
        ans->why = arena_dup(a, raw->why);
}

static uint32_t keep_s(const struct dns_cache *c, const struct dns_answer *ans)
{
    uint32_t max = ans->status == DNS_RECORDS     ? c->p.max_ttl_s
                   : ans->status < DNS_SERVFAIL ? c->p.max_negative_ttl_s
                                                  : c->p.fail_ttl_s;
    if (ans->status >= DNS_SERVFAIL)
        return max;
    return ans->ttl_s < max ? ans->ttl_s : max;
}

static struct span keep(char **at, struct span s)
{
    char *to = *at;
    memcpy(to, s.n ? s.p : "", s.n);
    *at += s.n;
    return span_of(to, s.n);
}

void dns_cache_put(struct dns_cache *c, const struct dns_question *q, const struct dns_raw *raw,
                   const struct dns_answer *answer, int64_t now_ms)
{
    struct entry *e = find(c, q);
    struct key k = key_of(q);
    uint32_t ttl_s = keep_s(c, answer);
    if (e)
        drop(c, e);
    drop_expired(c, now_ms);
    size_t n = k.n + raw->packet.n + raw->server.n + raw->why.n;
    if (!ttl_s || sizeof *e + n > c->p.max_bytes)
        return;
    make_room(c, 1, sizeof *e + n);
    e = must_alloc(must_add(sizeof *e, n));
    char *at = e->mem;
    e->q = *q;
    e->raw = *raw;
    e->failed = answer->status >= DNS_SERVFAIL;
    struct span key = keep(&at, span_of(k.bytes, k.n));
    e->raw.packet = keep(&at, raw->packet);
    e->raw.server = keep(&at, raw->server);
    e->raw.why = keep(&at, raw->why);
    e->added_ms = now_ms;
    e->bytes = sizeof *e + n;
    MUST(hash_add(&c->hash, &e->node, key));
    heap_add(&c->expiry, &e->expiry, now_ms + (int64_t)ttl_s * 1000);
    list_prepend(&c->used, &e->used);
    c->stats.bytes += e->bytes;
    c->stats.added++;
}

/* Ages the answer: TTLs count down from when it came, rounded so that they never lie upwards. */
static void read_entry(const struct entry *e, int64_t now_ms, struct arena *a,
                       struct dns_answer *ans)
{
    uint32_t age_s = (uint32_t)((now_ms - e->added_ms + 999) / 1000);
    dns_raw_read(&e->raw, &e->q, a, ans);
    for (size_t i = 0; i < ans->count; i++)
        ans->records[i].ttl_s -= age_s < ans->records[i].ttl_s ? age_s : ans->records[i].ttl_s;
    ans->ttl_s = (uint32_t)((e->expiry.key - now_ms) / 1000);
    ans->cached = true;
}

bool dns_cache_get(struct dns_cache *c, const struct dns_question *q, int64_t now_ms,
                   struct arena *a, struct dns_answer *ans)
{
    struct entry *e = find(c, q);
    if (!e || e->expiry.key <= now_ms) {
        c->stats.misses++;
        return false;
    }
    list_remove(&e->used);
    list_prepend(&c->used, &e->used);
    read_entry(e, now_ms, a, ans);
    c->stats.hits++;
    return true;
}

size_t dns_cache_flush(struct dns_cache *c, const struct dns_name *name, bool under)
{
    size_t n = 0;
    LIST_EACH(l, &c->used) {
        struct entry *e = CONTAINER(l, struct entry, used);
        if (name && !dns_name_eq(&e->q.name, name) && !(under && dns_name_under(&e->q.name, name)))
            continue;
        drop(c, e);
        n++;
    }
    c->stats.flushed += n;
    return n;
}

size_t dns_cache_forget_failed(struct dns_cache *c)
{
    size_t n = 0;
    LIST_EACH(l, &c->used) {
        struct entry *e = CONTAINER(l, struct entry, used);
        if (!e->failed)
            continue;
        drop(c, e);
        n++;
    }
    c->stats.flushed += n;
    return n;
}

struct dns_cache_stats dns_cache_stats(const struct dns_cache *c)
{
    struct dns_cache_stats s = c->stats;
    s.entries = c->hash.n;
    return s;
}
