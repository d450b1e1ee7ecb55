/* Access values: what is taken is a reply that can be sent, and every search ends with an answer;
 * a client that is refused is refused with words. */
#include "base/must.h"
#include "route/access.h"
#include "route/route.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void value(struct span s)
{
    struct route_access r;
    struct err e = { "" };
    if (!route_access_value(s, &r, &e)) {
        MUST(e.text[0]);
        return;
    }
    for (size_t i = 0; i < r.text.n; i++)
        MUST((unsigned char)r.text.p[i] >= ' ' || r.text.p[i] == '\t');
    if (r.kind != ROUTE_ACCESS_ERROR)
        return;
    MUST(r.reply >= 400 && r.reply <= 599 && r.code.n >= 5 && r.text.n);
    MUST(r.code.p[0] - '0' == r.reply / 100);
}

/* LINES "key value", then an address and a host name to ask about: the first line. */
static void search(struct span s, struct arena *a)
{
    struct span who = span_to(s, span_find(s, '\n'));
    struct map *m = map_ram_new(SPAN("ram"), 1);
    struct map_report r;
    struct route_params p = { .access = m, .blocklist_recipients = s.n & 1 };
    struct route_client c = { .ip = { .family = s.n & 2 ? NETADDR_V4 : NETADDR_V6 },
                              .host = span_to(who, 200) };
    struct route_accept out;
    struct err e;
    for (s = span_from(s, who.n + 1); s.n;) {
        struct span line = span_to(s, span_find(s, '\n')), key = span_word(&line);
        s = span_from(s, span_find(s, '\n') + 1);
        struct span right = span_trim(line);
        if (key.n && key.n < 200 && route_access_entry(NULL, key, right, &e))
            map_ram_set(m, key, right, 1);
    }
    for (size_t i = 0; i < who.n && i < 16; i++)
        c.ip.ip[i] = c.ip.family == NETADDR_V6 || i < 4 ? (uint8_t)who.p[i] : 0;
    map_report_init(&r);
    struct route_tables *t = route_tables_new(&p, &r);
    MUST(route_accept_client(t, &c, a, NULL, &out) || out.reply.text.n);
    MUST(route_accept_sender(t, &c, who, a, NULL, &out) || out.reply.text.n);
    MUST(route_accept_rcpt(t, &c, SPAN("s@x"), who, a, NULL, &out)
             ? out.target_count == 1
             : out.reply.reply >= 400 && out.reply.text.n);
    route_tables_free(&t);
    map_report_free(&r);
    map_free(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct arena *a = arena_new(1 << 20);
    value(span_of(data, n));
    search(span_of(data, n), a);
    arena_free(&a);
    return 0;
}
