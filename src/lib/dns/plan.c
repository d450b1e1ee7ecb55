#include "dns/plan.h"

/* The version of the binary form; a reader refuses others. */
enum { PLAN_VERSION = 2 };

static const char *dns_plan_flag_name(enum dns_plan_flag f)
{
    switch (f) {
    case DNS_PLAN_HOSTS_CUT: return "dns_hosts_cut";
    case DNS_PLAN_ADDRS_CUT: return "dns_addrs_cut";
    case DNS_PLAN_OWN_CUT: return "dns_own_cut";
    case DNS_PLAN_PARTIAL: return "dns_partial";
    case DNS_PLAN_IMPLICIT: return "dns_implicit_mx";
    }
    return "?";
}

void dns_plan_put(struct buf *out, const struct dns_plan *p)
{
    wire_put_u8(out, PLAN_VERSION);
    wire_put_u8(out, (uint8_t)p->verdict);
    wire_put_u8(out, (uint8_t)p->security);
    wire_put_u32(out, p->flags);
    wire_put_u32(out, p->ttl_s);
    wire_put_u32(out, p->took_ms);
    wire_put_bytes(out, p->alias);
    wire_put_bytes(out, p->code);
    wire_put_bytes(out, p->text);
    wire_put_bytes(out, p->site);
    wire_put_u16(out, (uint16_t)p->host_count);
    for (size_t i = 0; i < p->host_count; i++) {
        wire_put_bytes(out, p->hosts[i].name);
        wire_put_u16(out, p->hosts[i].pref);
    }
    wire_put_u16(out, (uint16_t)p->best_hosts);
    wire_put_u64(out, p->order.best);
    wire_put_u64(out, p->order.all);
    wire_put_u16(out, (uint16_t)p->addr_count);
    for (size_t i = 0; i < p->addr_count; i++) {
        netaddr_put_wire(out, &p->addrs[i].addr);
        wire_put_u16(out, p->addrs[i].host);
    }
}

static bool get_lists(struct wire *w, struct arena *a, struct dns_plan *p)
{
    p->host_count = wire_get_u16(w);
    if (w->bad || p->host_count > DNS_PLAN_HOSTS_MAX)
        return false;
    p->hosts = arena_alloc(a, p->host_count * sizeof *p->hosts + 1);
    for (size_t i = 0; p->hosts && i < p->host_count; i++) {
        p->hosts[i].name = wire_get_bytes(w, DNS_HOP_TEXT_MAX);
        p->hosts[i].pref = wire_get_u16(w);
    }
    p->best_hosts = wire_get_u16(w);
    p->order.best = wire_get_u64(w);
    p->order.all = wire_get_u64(w);
    p->addr_count = wire_get_u16(w);
    if (!p->hosts || w->bad || p->best_hosts > p->host_count ||
        p->addr_count > DNS_PLAN_ADDRS_MAX)
        return false;
    p->addrs = arena_alloc(a, p->addr_count * sizeof *p->addrs + 1);
    for (size_t i = 0; p->addrs && i < p->addr_count; i++) {
        p->addrs[i].addr = netaddr_get_wire(w);
        p->addrs[i].host = wire_get_u16(w);
        if (p->addrs[i].host >= p->host_count)
            return false;
    }
    return p->addrs != NULL;
}

bool dns_plan_get(struct wire *w, struct arena *a, struct dns_plan *p)
{
    *p = (struct dns_plan){ 0 };
    bool known = wire_get_u8(w) == PLAN_VERSION;
    uint8_t verdict = wire_get_u8(w), security = wire_get_u8(w);
    p->verdict = verdict;
    p->security = security;
    p->flags = wire_get_u32(w);
    p->ttl_s = wire_get_u32(w);
    p->took_ms = wire_get_u32(w);
    p->alias = wire_get_bytes(w, DNS_NAME_MAX);
    p->code = wire_get_bytes(w, 16);
    p->text = wire_get_bytes(w, DNS_PLAN_TEXT_MAX);
    p->site = wire_get_bytes(w, DNS_PLAN_SITE_MAX);
    if (!known || verdict >= DNS_PLAN_VERDICTS || security >= DNS_SECURITIES ||
        !get_lists(w, a, p) || (verdict == DNS_PLAN_OK) != (p->addr_count > 0))
        w->bad = true;
    return !w->bad;
}

void dns_plan_text(struct buf *out, const struct dns_plan *p)
{
    if (p->verdict != DNS_PLAN_OK) {
        buf_printf(out, "%.*s %.*s\n", SPAN_ARG(p->code), SPAN_ARG(p->text));
        return;
    }
    for (size_t i = 0; i < p->addr_count; i++) {
        const struct dns_plan_host *h = &p->hosts[p->addrs[i].host];
        buf_printf(out, "%u %.*s ", h->pref, SPAN_ARG(h->name));
        netaddr_put(out, &p->addrs[i].addr);
        buf_putc(out, '\n');
    }
}

static void put_addr(struct json *j, const struct dns_plan *p, size_t i)
{
    const struct dns_plan_host *h = &p->hosts[p->addrs[i].host];
    struct buf b;
    buf_init(&b, NETADDR_TEXT_MAX);
    netaddr_put(&b, &p->addrs[i].addr);
    json_open(j, NULL);
    json_str(j, "host", h->name);
    json_uint(j, "pref", h->pref);
    json_str(j, "address", buf_span(&b));
    json_close(j);
    buf_free(&b);
}

void dns_plan_json(struct json *j, const char *key, const struct dns_plan *p)
{
    static const char *const verdicts[] = { "ok", "later", "fail" };
    json_open(j, key);
    json_str(j, "verdict", span_str(verdicts[p->verdict]));
    if (p->verdict != DNS_PLAN_OK) {
        json_str(j, "code", p->code);
        json_str(j, "text", p->text);
        if (p->verdict == DNS_PLAN_LATER)
            json_uint(j, "took_ms", p->took_ms);
    } else {
        json_str(j, "site", p->site);
        if (p->ttl_s != DNS_TTL_FOREVER)
            json_uint(j, "ttl_s", p->ttl_s);
        json_str(j, "dnssec", span_str(dns_security_name(p->security)));
        if (p->alias.n)
            json_str(j, "alias", p->alias);
    }
    json_open_array(j, "flags");
    for (uint32_t f = DNS_PLAN_HOSTS_CUT; f <= DNS_PLAN_IMPLICIT; f <<= 1)
        if (p->flags & f)
            json_str(j, NULL, span_str(dns_plan_flag_name(f)));
    json_close_array(j);
    json_open_array(j, "try");
    for (size_t i = 0; i < p->addr_count; i++)
        put_addr(j, p, i);
    json_close_array(j);
    json_close(j);
}
