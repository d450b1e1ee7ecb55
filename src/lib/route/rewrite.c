/* The sender's address as others are to see it: genericstable first, by address and then by
 * user; what is not in it is masqueraded, if it is one of ours and not exposed. */
#include "route/relay.h"

bool route_rewrites(const struct route_tables *t, const struct route_client *client)
{
    if (!t->map[ROUTE_GENERICSTABLE] && !t->masquerade_as.n)
        return false;
    return route_trusted(t, client, NULL) == 1;
}

static struct span joined(struct arena *a, struct span user, struct span domain)
{
    struct buf b;
    buf_init(&b, MAP_KEY_MAX);
    buf_printf(&b, "%.*s@%.*s", SPAN_ARG(user), SPAN_ARG(domain));
    struct span s = b.failed ? SPAN_NONE : arena_dup(a, buf_span(&b));
    buf_free(&b);
    return s;
}

/* user+detail@domain, user@domain, user+detail, user. */
static bool in_generics(const struct route_tables *t, const struct route_address *addr,
                        struct span domain, struct arena *a, struct trail *trail,
                        struct span *value_r)
{
    struct map_hit hit;
    size_t plus = span_find(addr->local, '+');
    bool detailed = plus > 0 && plus < addr->local.n;
    for (int i = 0; i < 4; i++) {
        struct span user = i % 2 ? span_to(addr->local, plus) : addr->local;
        struct span key = i < 2 ? joined(a, user, domain) : user;
        if ((i % 2 && !detailed) ||
            route_look(t, ROUTE_GENERICSTABLE, route_lower(key, a), trail, &hit) != 1)
            continue;
        *value_r = arena_dup(a, span_trim(hit.value));
        return value_r->n > 0;
    }
    return false;
}

static bool is_exposed(const struct route_tables *t, struct span user)
{
    for (size_t i = 0; i < t->exposed_users_count; i++)
        if (span_ieq(t->exposed_users[i], user))
            return true;
    return false;
}

static bool is_masqueraded(const struct route_tables *t, enum route_place place,
                           const struct route_address *addr, bool local)
{
    struct span entry;
    bool here = place == ROUTE_HEADER_SENDER ||
                (place == ROUTE_ENVELOPE_SENDER && t->masquerade_envelope) ||
                (place == ROUTE_HEADER_RCPT && t->masquerade_all);
    bool ours = local && (!t->masquerade_limited || addr->kind == ROUTE_ADDR_LOCAL_PART);
    return here && t->masquerade_as.n && !is_exposed(t, addr->local) &&
           (ours || route_names_has(t->masquerade_domains, addr, &entry));
}

struct span route_rewrite_sender(const struct route_tables *t, enum route_place place,
                                 struct span text, struct arena *a, struct trail *trail)
{
    struct route_address addr = route_address(text);
    struct span entry, value, out = text;
    if (!text.n || addr.kind == ROUTE_ADDR_BAD)
        return text;
    bool local = route_is_local(t, &addr, &entry);
    bool bare = addr.kind == ROUTE_ADDR_LOCAL_PART;
    struct span host = t->masquerade_as.n ? t->masquerade_as : t->hostname;
    bool generic = place == ROUTE_HEADER_SENDER ||
                   (place == ROUTE_ENVELOPE_SENDER && t->masquerade_envelope) ||
                   (place == ROUTE_HEADER_RCPT && t->masquerade_all);
    if (generic && t->map[ROUTE_GENERICSTABLE] &&
        (local || route_names_has(t->generics_domains, &addr, &entry)) &&
        in_generics(t, &addr, bare ? t->hostname : addr.domain, a, trail, &value)) {
        out = span_find(value, '@') < value.n ? value : joined(a, value, host);
    } else if (is_masqueraded(t, place, &addr, local)) {
        out = joined(a, addr.local, t->masquerade_as);
        trail_say(trail, TRAIL_MATCH, "masquerade_as", text, "%.*s", SPAN_ARG(out));
    } else if (bare) {
        out = joined(a, addr.local, t->hostname);
    }
    return out.p ? out : text;
}
