/* virtusertable: addresses of hosted domains. */
#include "route/impl.h"

bool route_is_virtual(const struct route_tables *t, const struct route_address *addr)
{
    struct span entry;
    return t->map[ROUTE_VIRTUSERTABLE] && route_names_has(t->virtuals, addr, &entry);
}

/* "%1@example.net" with what the key left open; "%%" is a percent sign. */
static bool fill(struct span value, const struct span part[3], struct arena *a, struct span *out)
{
    struct buf b;
    buf_init(&b, ROUTE_TEXT_MAX);
    for (size_t i = 0; i < value.n; i++) {
        char c = value.p[i], next = i + 1 < value.n ? value.p[i + 1] : 0;
        if (c != '%' || (next != '%' && (next < '1' || next > '3'))) {
            buf_putc(&b, c);
            continue;
        }
        if (next == '%')
            buf_putc(&b, '%');
        else
            buf_puts(&b, part[next - '1']);
        i++;
    }
    *out = b.failed ? SPAN_NONE : arena_dup(a, buf_span(&b));
    buf_free(&b);
    return out->p != NULL;
}

static int look(const struct route_tables *t, struct trail *trail, struct span user,
                const char *middle, struct span domain, struct map_hit *hit)
{
    char key[MAP_KEY_MAX];
    size_t m = strlen(middle), n = user.n + m + domain.n;
    if (n > sizeof key)
        return 0;
    memcpy(key, user.p, user.n);
    memcpy(key + user.n, middle, m);
    memcpy(key + user.n + m, domain.p, domain.n);
    return route_look(t, ROUTE_VIRTUSERTABLE, route_fold(key, n), trail, hit);
}

int route_virtual(const struct route_tables *t, const struct route_address *addr, struct arena *a,
                  struct trail *trail, struct span *value_r)
{
    struct span domain = dns_name_span(&addr->name);
    struct span whole = route_address_unquoted(addr->local, a), user = whole, detail = SPAN_NONE;
    struct map_hit hit;
    size_t plus = span_find(whole, '+');
    if (!route_is_virtual(t, addr))
        return 0;
    bool detailed = plus > 0 && plus < whole.n;
    if (detailed) {
        user = span_to(whole, plus);
        detail = span_from(whole, plus + 1);
    }
    int found = look(t, trail, whole, "@", domain, &hit);
    if (found == 0 && detailed)
        found = look(t, trail, user, "+*@", domain, &hit);
    if (found == 0 && detailed)
        found = look(t, trail, user, "@", domain, &hit);
    if (found == 0 && detailed)
        found = look(t, trail, SPAN(""), "+*@", domain, &hit);
    if (found == 0)
        found = look(t, trail, SPAN(""), "@", domain, &hit);
    if (found != 1)
        return found;
    const struct span part[3] = { user, detail, detailed ? span_from(whole, plus) : SPAN_NONE };
    return fill(hit.value, part, a, value_r) ? 1 : -1;
}
