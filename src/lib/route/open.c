/* The maps of the tables, each with the check of its entries: what cannot work is an error with
 * its line when the file is read, not at three in the morning when the first mail meets it. */
#include "route/expand.h"

#include "route/access.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

/* A key of a regex: map: what it matches is its own matter. */
static bool is_pattern(struct span key) { return key.n && key.p[0] == '/'; }

static bool check_domain_of(struct span key, size_t at, struct err *e)
{
    struct dns_name name;
    struct netaddr literal;
    struct span domain = span_from(key, at + 1);
    enum dns_name_error bad = dns_name_from(domain, &name);
    if (!bad || (domain.n && domain.p[0] == '[' && netaddr_parse_literal(domain, &literal)))
        return true;
    err_set(e, "the key \"%.*s\": the domain is none: %s", SPAN_ARG(key),
            dns_name_error_text(bad));
    return false;
}

static bool check_mailertable(void *unused, struct span key, struct span value, struct err *e)
{
    struct arena *a = arena_new(1 << 16);
    struct route_dest d;
    bool good = is_pattern(key)
                    ? span_find(value, '$') < value.n || route_value(value, SPAN("x"), a, &d, e)
                    : route_check_entry(unused, key, value, e);
    arena_free(&a);
    return good;
}

static bool check_smarttable(void *unused, struct span key, struct span value, struct err *e)
{
    struct arena *a = arena_new(1 << 16);
    struct route_dest d;
    size_t at = span_rfind(key, '@');
    (void)unused;
    bool good = is_pattern(key) || at >= key.n || key.n == 1 || check_domain_of(key, at, e);
    if (good && !(is_pattern(key) && span_find(value, '$') < value.n))
        good = route_value_or_hops(value, a, &d, e);
    arena_free(&a);
    return good;
}

static bool check_one_address(struct span value, struct err *e)
{
    struct route_address a = route_address(value);
    for (size_t i = 0; i < value.n; i++)
        if (value.p[i] == ' ' || value.p[i] == '\t' || value.p[i] == ',') {
            err_set(e, "\"%.*s\" is not one address; a list belongs into the aliases",
                    SPAN_ARG(value));
            return false;
        }
    if (a.kind == ROUTE_ADDR_BAD && memmem(value.p, value.n, "@%", 2) == NULL) {
        err_set(e, "\"%.*s\" is no address: %s", SPAN_ARG(value), a.text);
        return false;
    }
    return true;
}

static bool check_virtual(void *unused, struct span key, struct span value, struct err *e)
{
    struct route_dest d = { 0 };
    size_t at = span_rfind(key, '@');
    (void)unused;
    if (is_pattern(key)) {
        err_set(e, "the keys of a virtusertable say which domains are ours, and a pattern does "
                "not: use text:, hash:, cdb: or inline:");
        return false;
    }
    if (at == key.n) {
        err_set(e, "the key \"%.*s\" has no domain: write user@domain or @domain", SPAN_ARG(key));
        return false;
    }
    if (!check_domain_of(key, at, e))
        return false;
    if (span_istarts(value, SPAN("error:")))
        return route_value_error(span_trim(span_from(value, 6)), &d, e);
    return check_one_address(value, e);
}

static bool check_generics(void *unused, struct span key, struct span value, struct err *e)
{
    size_t at = span_rfind(key, '@');
    (void)unused;
    return (at == key.n || check_domain_of(key, at, e)) && check_one_address(value, e);
}

static bool check_recipients(void *unused, struct span key, struct span value, struct err *e)
{
    size_t at = span_rfind(key, '@');
    (void)unused;
    (void)value;
    if (is_pattern(key))
        return true;
    if (at == key.n) {
        err_set(e, "the key \"%.*s\" has no domain: write user@domain, or @domain for all of it",
                SPAN_ARG(key));
        return false;
    }
    return check_domain_of(key, at, e);
}

static bool check_alias(void *unused, struct span key, struct span value, struct err *e)
{
    struct span item;
    (void)unused;
    (void)key;
    while (route_list_next(&value, &item)) {
        if (item.n > 1 && item.p[0] == '"')
            item = span_from(item, 1);
        if (span_istarts(item, SPAN(":include:")) &&
            !span_starts(span_trim(span_from(item, 9)), SPAN("/"))) {
            err_set(e, "\"%.*s\": the path of the file must be absolute", SPAN_ARG(item));
            return false;
        }
    }
    return true;
}

void route_map_params(enum route_table which, struct map_params *p)
{
    static bool (*const checks[ROUTE_TABLES])(void *, struct span, struct span, struct err *) = {
        [ROUTE_MAILERTABLE] = check_mailertable, [ROUTE_ACCESS] = route_access_entry,
        [ROUTE_VIRTUSERTABLE] = check_virtual,   [ROUTE_ALIASES] = check_alias,
        [ROUTE_SMARTTABLE] = check_smarttable,   [ROUTE_GENERICSTABLE] = check_generics,
        [ROUTE_RECIPIENTS] = check_recipients,
    };
    p->check = checks[which];
    p->empty_values = which == ROUTE_RECIPIENTS || which == ROUTE_USERS;
    p->format = which == ROUTE_ALIASES ? MAP_FORMAT_ALIASES : MAP_FORMAT_LINES;
}

struct map *route_open_table(enum route_table which, struct span spec, uint64_t seed,
                             struct map_report *r)
{
    struct map_params p = { .seed = seed };
    if (which == ROUTE_USERS && span_eq(spec, SPAN("passwd")))
        return route_open_passwd(seed, r);
    route_map_params(which, &p);
    return map_open(spec, &p, r);
}

/* --- the users of the system --- */

/* The file itself, not getpwnam: what answers that opens sockets, and this process has none. Who
 * keeps users elsewhere names a map, or says "any". */
static const char passwd[] = "/etc/passwd";

struct map *route_open_passwd(uint64_t seed, struct map_report *r)
{
    struct map *m = map_ram_new(span_str(passwd), seed);
    char line[4096];
    FILE *f = fopen(passwd, "re");
    if (!f) {
        map_report_error(r, span_str(passwd), 0, "%s", strerror(errno));
        map_free(&m);
        return NULL;
    }
    for (uint32_t n = 1; fgets(line, sizeof line, f); n++) {
        struct span s = span_trim_lines(span_str(line)), name = span_to(s, span_find(s, ':'));
        if (name.n && name.n < s.n && name.p[0] != '#' && name.p[0] != '+' && name.p[0] != '-')
            map_ram_set(m, name, SPAN_NONE, n);
    }
    fclose(f);
    return m;
}

bool route_passwd_changed(struct route_tables *t)
{
    struct stat st;
    if (stat(passwd, &st) != 0)
        return false;
    int64_t at_ns = st.st_mtim.tv_sec * 1000000000ll + st.st_mtim.tv_nsec;
    bool changed = t->passwd_ns != at_ns || t->passwd_inode != (int64_t)st.st_ino;
    t->passwd_ns = at_ns;
    t->passwd_inode = (int64_t)st.st_ino;
    return changed;
}

bool route_refresh_passwd(struct route_tables *t, struct map_report *r)
{
    struct map *m = route_passwd_changed(t) ? route_open_passwd(t->seed, r) : NULL;
    if (!m)
        return false;
    map_free(&t->map[ROUTE_USERS]);
    t->map[ROUTE_USERS] = m;
    return true;
}
