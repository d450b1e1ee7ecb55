/* freeze: names for which nothing is started: destinations and sites by their keys, and domains of
 * recipients, which wait at a destination of their own, "frozen:DOMAIN". Thawing sends what waits
 * through the router again. */
#include "sched/inside.h"

enum { FROZEN_MAX = 1000, NAME_MAX_BYTES = 512 };

#define FROZEN_DEST "frozen:"

static struct span lower(struct span name, char out[NAME_MAX_BYTES])
{
    size_t n = name.n < NAME_MAX_BYTES ? name.n : NAME_MAX_BYTES;
    for (size_t i = 0; i < n; i++)
        out[i] = ascii_lower(name.p[i]);
    return span_of(out, n);
}

static bool is_frozen(const struct sched *s, struct span name)
{
    char text[NAME_MAX_BYTES];
    return s->frozen.n && hash_get(&s->frozen, lower(name, text));
}

bool sched_frozen_key(const struct sched *s, struct span key)
{
    if (span_starts(key, SPAN(FROZEN_DEST)))
        key = span_from(key, strlen(FROZEN_DEST));
    return is_frozen(s, key);
}

struct span sched_frozen_dest(const struct sched *s, const struct sched_rcpt *r, struct span key,
                              struct buf *room)
{
    struct span domain = sched_name_span(r->domain);
    if (!domain.n || !is_frozen(s, domain))
        return key;
    buf_putz(room, FROZEN_DEST);
    buf_puts(room, domain);
    return buf_span(room);
}

static void apply_dest(struct sched *s, struct span key, bool on)
{
    struct hash_node *node = hash_get(&s->dests, key);
    if (!node)
        return;
    struct sched_dest *d = CONTAINER(node, struct sched_dest, node);
    d->gate.frozen = on;
    sched_dest_update(s, d);
}

static void apply(struct sched *s, struct span name, bool on)
{
    char key[NAME_MAX_BYTES + sizeof FROZEN_DEST];
    struct hash_node *node = hash_get(&s->sites, name);
    if (node) {
        struct sched_site *t = CONTAINER(node, struct sched_site, node);
        t->gate.frozen = on;
        sched_site_update(s, t);
    }
    memcpy(key, FROZEN_DEST, strlen(FROZEN_DEST));
    memcpy(key + strlen(FROZEN_DEST), name.p, name.n);
    apply_dest(s, name, on);
    apply_dest(s, span_of(key, strlen(FROZEN_DEST) + name.n), on);
    sched_routes_changed(s);
}

bool sched_freeze(struct sched *s, struct span name)
{
    char text[NAME_MAX_BYTES];
    name = lower(name, text);
    if (!name.n || hash_get(&s->frozen, name) || s->frozen.n >= FROZEN_MAX)
        return false;
    sched_name_get(&s->frozen, name);
    apply(s, name, true);
    return true;
}

static void forget(struct sched *s, struct hash_node *node)
{
    sched_name_put(&s->frozen, CONTAINER(node, struct sched_name, node));
}

bool sched_thaw(struct sched *s, struct span name)
{
    char text[NAME_MAX_BYTES];
    name = lower(name, text);
    struct hash_node *node = hash_get(&s->frozen, name);
    if (!node)
        return false;
    forget(s, node);
    apply(s, name, false);
    return true;
}

void sched_each_frozen(const struct sched *s, void (*fn)(void *, struct span name), void *arg)
{
    for (struct hash_node *n = NULL; (n = hash_next(&s->frozen, n)) != NULL;)
        fn(arg, n->key);
}

void sched_frozen_free(struct sched *s)
{
    for (struct hash_node *n; (n = hash_next(&s->frozen, NULL)) != NULL;)
        forget(s, n);
    hash_free(&s->frozen);
}
