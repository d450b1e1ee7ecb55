#include "route/names.h"

#include "base/hash.h"
#include "base/list.h"
#include "base/must.h"

#include <stdlib.h>

struct entry {
    struct hash_node node;
    char text[DNS_NAME_MAX + 3];
};

struct route_names {
    struct hash hash;
};

struct route_names *route_names_new(uint64_t seed)
{
    struct route_names *n = NEW(struct route_names);
    hash_init(&n->hash, seed, 0);
    return n;
}

void route_names_free(struct route_names **n)
{
    if (!*n)
        return;
    for (struct hash_node *node = hash_next(&(*n)->hash, NULL), *next; node; node = next) {
        next = hash_next(&(*n)->hash, node);
        hash_remove(&(*n)->hash, node);
        free(CONTAINER(node, struct entry, node));
    }
    hash_free(&(*n)->hash);
    free(*n);
    *n = NULL;
}

/* "[192.0.2.1]" and "[IPv6:::1]" in one form. */
static struct span literal_text(const struct netaddr *a, struct buf *b)
{
    buf_reset(b);
    netaddr_put_literal(b, a);
    return buf_span(b);
}

static void add(struct route_names *n, struct span text)
{
    if (hash_get(&n->hash, text))
        return;
    struct entry *e = NEW(struct entry);
    MUST(text.n < sizeof e->text);
    memcpy(e->text, text.p, text.n);
    hash_add(&n->hash, &e->node, span_of(e->text, text.n));
}

bool route_names_add(struct route_names *n, struct span name, struct err *e)
{
    struct dns_name low;
    struct netaddr literal;
    struct buf b;
    bool below = name.n && name.p[0] == '.';
    buf_init(&b, DNS_NAME_MAX + 2);
    if (name.n && name.p[0] == '[') {
        bool good = netaddr_parse_literal(name, &literal);
        if (good)
            add(n, literal_text(&literal, &b));
        else
            err_set(e, "bad address literal \"%.*s\"", SPAN_ARG(name));
        buf_free(&b);
        return good;
    }
    enum dns_name_error bad = dns_name_from(span_from(name, below), &low);
    if (bad) {
        err_set(e, "bad domain \"%.*s\": %s%s", SPAN_ARG(name), dns_name_error_text(bad),
                span_find(name, '*') < name.n ? " (\".example.net\" is all below example.net)"
                                              : "");
        return false;
    }
    if (below)
        buf_putc(&b, '.');
    buf_puts(&b, dns_name_span(&low));
    add(n, buf_span(&b));
    buf_free(&b);
    return true;
}

static bool has(const struct route_names *n, struct span text, struct span *entry_r)
{
    struct hash_node *node = hash_get(&n->hash, text);
    if (node)
        *entry_r = node->key;
    return node != NULL;
}

bool route_names_has(const struct route_names *n, const struct route_address *a,
                     struct span *entry_r)
{
    struct span name = dns_name_span(&a->name);
    if (a->kind == ROUTE_ADDR_LITERAL) {
        struct buf b;
        buf_init(&b, NETADDR_TEXT_MAX);
        bool found = has(n, literal_text(&a->literal, &b), entry_r);
        buf_free(&b);
        return found;
    }
    if (a->kind != ROUTE_ADDR_DOMAIN)
        return false;
    if (has(n, name, entry_r))
        return true;
    for (size_t dot = span_find(name, '.'); dot < name.n; dot = span_find(name, '.')) {
        name = span_from(name, dot);
        if (has(n, name, entry_r))
            return true;
        name = span_from(name, 1);
    }
    return false;
}
