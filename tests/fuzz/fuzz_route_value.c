/* Mailertable values and recipients: what is accepted is written again, reads back as the same,
 * and every recipient gets a decision whose binary form comes back. */
#include "base/must.h"
#include "route/address.h"
#include "route/route.h"
#include "route/value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void value(struct span s, struct arena *a)
{
    struct route_dest d, again;
    struct err e = { "" };
    struct buf b;
    buf_init(&b, 1 << 16);
    if (route_value(s, SPAN("part"), a, &d, &e)) {
        MUST(route_dest_make_queue(&d, a) || d.hop_count > 4);
        route_dest_put_value(&b, &d);
        if (!b.failed && b.len < 1000) {
            MUST(route_value(buf_span(&b), SPAN_NONE, a, &again, &e));
            MUST(again.mailer == d.mailer && again.reply == d.reply);
            MUST(again.hop_count == d.hop_count);
        }
    } else {
        MUST(e.text[0]);
    }
    buf_free(&b);
}

static void recipient(struct span s, struct arena *a)
{
    static const struct span domains[] = { SPAN("example.net"), SPAN(".sub.example") };
    struct map_report r;
    struct route_params p = { .relay_domains = domains, .relay_domains_count = 2 };
    struct route_client stranger = { .ip = { .family = NETADDR_V4, .ip = { 192, 0, 2, 1 } } };
    struct route_reply reply;
    struct route_dest d, again;
    struct buf b;
    buf_init(&b, 1 << 16);
    map_report_init(&r);
    struct route_tables *t = route_tables_new(&p, &r);
    struct route_ask ask = { .rcpt = s, .canon_known = true };
    MUST(route_find(t, &ask, a, NULL, &d));
    route_dest_put(&b, &d);
    struct wire w = wire_reader(buf_span(&b));
    MUST((route_dest_get(&w, a, &again) && wire_done(&w)) || s.n > ROUTE_TEXT_MAX);
    if (route_relay_allowed(t, &stranger, s, a, NULL, &reply)) { /* never a way through us */
        struct route_address addr = route_address(s);
        bool here = d.mailer == ROUTE_LOCAL || d.mailer == ROUTE_ERROR;
        MUST(here || !route_address_routed(&addr));
        MUST(here || span_iends(dns_name_span(&addr.name), SPAN("example.net"))
             || span_iends(dns_name_span(&addr.name), SPAN(".sub.example")));
    } else {
        MUST(reply.reply >= 500 && reply.text.n);
    }
    route_tables_free(&t);
    map_report_free(&r);
    buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct arena *a = arena_new(1 << 20);
    value(span_of(data, n), a);
    recipient(span_of(data, n), a);
    arena_free(&a);
    return 0;
}
