/* freeze: names for which nothing is started: destinations and sites by their keys, and domains of
 * recipients, which wait at a destination of their own, "frozen:DOMAIN". Thawing sends what waits
 * through the router again.
 *
 * A place may have its mail in shares: "mx:a.example by:big" (of a delivery rule), "mx:a.example
 * from:<owner-list@b.example>" (a sender of its own). Its name alone stands for all of them; the
 * whole key for one. */
#include "base/domain.h"
#include "sched/inside.h"

enum { FROZEN_MAX = 1000, NAME_MAX_BYTES = 512 };

#define FROZEN_DEST "frozen:"

static struct span folded(struct span name, char out[NAME_MAX_BYTES])
{
    return span_of(out, domain_fold(span_to(name, NAME_MAX_BYTES), out, NAME_MAX_BYTES));
}

static bool is_frozen(const struct sched *s, struct span name)
{
    char text[NAME_MAX_BYTES];
    return s->frozen.n && hash_get(&s->frozen, folded(name, text));
}

bool sched_frozen_domain(const struct sched *s, struct span domain)
{
    return domain.n && is_frozen(s, domain);
}

static struct span without_share(struct span key)
{
    static const char *const shares[] = { " by:", " from:<" };
    for (size_t i = 0; i < key.n; i++)
        for (size_t k = 0; key.p[i] == ' ' && k < sizeof shares / sizeof *shares; k++)
            if (span_starts(span_from(key, i), span_str(shares[k])))
                return span_to(key, i);
    return key;
}

bool sched_frozen_key(const struct sched *s, struct span key)
{
    if (!s->frozen.n)
        return false;
    if (span_starts(key, SPAN(FROZEN_DEST)))
        key = span_from(key, strlen(FROZEN_DEST));
    return is_frozen(s, key) || is_frozen(s, without_share(key));
}

bool sched_frozen_apart(struct span key) { return span_starts(key, SPAN(FROZEN_DEST)); }

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

/* Whether a name, in lower case, may stand for this key: most are left out at a glance, as there
 * may be very many. */
static bool may_concern(struct span key, struct span name)
{
    if (span_starts(key, SPAN(FROZEN_DEST)))
        key = span_from(key, strlen(FROZEN_DEST));
    return span_istarts(key, name);
}

static void apply_to_domain(struct sched *s, struct span name)
{
    struct hash_node *n = hash_get(&s->domains, name);
    if (n)
        CONTAINER(n, struct sched_name, node)->frozen = is_frozen(s, name);
}

/* Every destination and site: a name may stand for many of them. Destinations that are idle may
 * not be freed under way: sched_dest_update frees none that was idle before. */
static void apply(struct sched *s, struct span name)
{
    apply_to_domain(s, name);
    for (struct list *l = s->all_sites.next; l != &s->all_sites; l = l->next) {
        struct sched_site *t = CONTAINER(l, struct sched_site, all);
        struct span key = span_of(t->key, t->key_len);
        if (!may_concern(key, name))
            continue;
        bool frozen = t->key_len && sched_frozen_key(s, key);
        if (frozen != t->gate.frozen) {
            t->gate.frozen = frozen;
            sched_site_update(s, t);
        }
    }
    for (struct hash_node *n = hash_next(&s->dests, NULL); n; n = hash_next(&s->dests, n)) {
        struct sched_dest *d = CONTAINER(n, struct sched_dest, node);
        if (!may_concern(n->key, name))
            continue;
        bool frozen = sched_frozen_key(s, n->key);
        if (frozen != d->gate.frozen) {
            d->gate.frozen = frozen;
            sched_dest_update(s, d);
        }
    }
    sched_routes_changed(s);
}

bool sched_freeze(struct sched *s, struct span name)
{
    char text[NAME_MAX_BYTES];
    name = folded(name, text);
    if (!name.n || hash_get(&s->frozen, name) || s->frozen.n >= FROZEN_MAX)
        return false;
    sched_name_get(&s->frozen, name);
    apply(s, name);
    return true;
}

static void forget(struct sched *s, struct hash_node *node)
{
    sched_name_put(&s->frozen, CONTAINER(node, struct sched_name, node));
}

static bool has_name(const struct sched *s, struct span key, struct span *name_r)
{
    char text[NAME_MAX_BYTES];
    struct hash_node *n = key.n ? hash_get(&s->frozen, folded(key, text)) : NULL;
    if (n)
        *name_r = n->key;
    return n != NULL;
}

bool sched_frozen_as(const struct sched *s, const struct sched_rcpt_info *r, struct span *name_r)
{
    struct span dest = r->dest;
    if (!r->frozen)
        return false;
    if (span_starts(dest, SPAN(FROZEN_DEST)))
        dest = span_from(dest, strlen(FROZEN_DEST));
    return has_name(s, r->addr.domain, name_r) || has_name(s, dest, name_r) ||
           has_name(s, without_share(dest), name_r) || has_name(s, r->site, name_r) ||
           has_name(s, without_share(r->site), name_r);
}

bool sched_thaw(struct sched *s, struct span name)
{
    char text[NAME_MAX_BYTES];
    name = folded(name, text);
    struct hash_node *node = hash_get(&s->frozen, name);
    if (!node)
        return false;
    forget(s, node);
    apply(s, name);
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
