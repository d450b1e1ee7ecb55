/* From all answers to the plan: order, our own place in it, the verdict and the site. */
#include "dns/mx_impl.h"

#include "base/hash.h"
#include "base/must.h"

#include <stdlib.h>

enum { PARTIAL_TTL_S = 60 }; /* then the hosts we know nothing of are asked for again */

static int by_rank(const void *a, const void *b)
{
    const struct mx_host *const *x = a, *const *y = b;
    if (mx_rank(*x) != mx_rank(*y))
        return mx_rank(*x) < mx_rank(*y) ? -1 : 1;
    return (*x)->lot < (*y)->lot ? -1 : (*x)->lot > (*y)->lot;
}

static struct span host_text(struct dns_mx *m, const struct mx_host *h)
{
    struct buf b;
    buf_init(&b, DNS_HOP_TEXT_MAX);
    if (h->name.n) {
        buf_puts(&b, dns_name_span(&h->name));
    } else {
        buf_putc(&b, '[');
        netaddr_put_ip(&b, &h->literal);
        buf_putc(&b, ']');
    }
    struct span s = arena_dup(m->arena, buf_span(&b));
    buf_free(&b);
    return s;
}

static bool host_is_own(const struct dns_mx *m, const struct mx_host *h)
{
    for (int kind = 0; m->p.is_own && kind < 2; kind++)
        for (size_t i = 0; i < h->n[kind]; i++)
            if (m->p.is_own(m->p.is_own_ctx, &h->addrs[kind][i]))
                return true;
    return false;
}

/* RFC 5321 5.1: where we stand in the list ourselves, our entry and all that are not better are
 * left out. Returns the first host that is us, or NULL. */
static const struct mx_host *cut_own(struct dns_mx *m)
{
    const struct mx_host *own = NULL;
    for (size_t i = 0; i < m->host_count; i++) {
        struct mx_host *h = m->hosts[i];
        h->own = host_is_own(m, h);
        if (h->own && !own)
            own = h;
    }
    for (size_t i = 0; own && i < m->host_count; i++)
        m->hosts[i]->cut = mx_rank(m->hosts[i]) >= mx_rank(own);
    if (own) {
        m->plan.flags |= DNS_PLAN_OWN_CUT;
        trail_say(m->p.trail, TRAIL_NOTE, "MX", host_text(m, own),
                  "an address of our own: this and what is not better is left out");
    }
    return own;
}

static void shuffle(struct dns_mx *m, struct netaddr *addrs, size_t n)
{
    for (size_t i = n; i > 1; i--) {
        size_t j = mx_draw(m) % i;
        struct netaddr swap = addrs[i - 1];
        addrs[i - 1] = addrs[j];
        addrs[j] = swap;
    }
}

static void add_addr(struct dns_mx *m, const struct netaddr *a)
{
    struct dns_plan *p = &m->plan;
    if (p->addr_count == m->p.max_addrs) {
        p->flags |= DNS_PLAN_ADDRS_CUT;
        return;
    }
    p->addrs[p->addr_count++] = (struct dns_plan_addr){ *a, (uint16_t)(p->host_count - 1) };
}

/* IPv6 and IPv4 in turn, so that one dead family costs one wait, not all of them. */
static void add_host_addrs(struct dns_mx *m, struct mx_host *h)
{
    shuffle(m, h->addrs[0], h->n[0]);
    shuffle(m, h->addrs[1], h->n[1]);
    for (size_t i = 0; i < h->n[0] || i < h->n[1]; i++) {
        if (i < h->n[1])
            add_addr(m, &h->addrs[1][i]);
        if (i < h->n[0])
            add_addr(m, &h->addrs[0][i]);
    }
}

static bool unknown_now(const struct mx_host *h)
{
    for (int kind = 0; kind < 2; kind++)
        if (h->ask[kind] == ASK_TOLD && h->status[kind] >= DNS_SERVFAIL)
            return true;
    return false;
}

static void least(uint32_t *ttl_s, uint32_t other)
{
    if (other < *ttl_s)
        *ttl_s = other;
}

static void fill(struct dns_mx *m)
{
    struct dns_plan *p = &m->plan;
    bool secure = true;
    p->hosts = arena_alloc(m->arena, (m->host_count + 1) * sizeof *p->hosts);
    p->addrs = arena_alloc(m->arena, (m->p.max_addrs + 1u) * sizeof *p->addrs);
    MUST(p->hosts && p->addrs); /* MX_ARENA_BYTES has room for every limit */
    for (size_t i = 0; i < m->host_count; i++) {
        struct mx_host *h = m->hosts[i];
        if (h->cut)
            continue;
        if (unknown_now(h)) {
            p->flags |= DNS_PLAN_PARTIAL;
            least(&p->ttl_s, PARTIAL_TTL_S);
        }
        if (!mx_addrs(h))
            continue;
        if (p->addr_count == m->p.max_addrs) {
            p->flags |= DNS_PLAN_ADDRS_CUT;
            break;
        }
        p->hosts[p->host_count++] = (struct dns_plan_host){ host_text(m, h), h->pref };
        add_host_addrs(m, h);
        secure = secure && h->secure && m->hops[h->hop].secure && h->name.n;
        least(&p->ttl_s, h->ttl_s);
    }
    for (size_t i = 0; i < m->hop_count; i++)
        least(&p->ttl_s, m->hops[i].ttl_s);
    p->security = secure && p->addr_count ? DNS_SECURE : DNS_INSECURE;
}

static void verdict(struct dns_plan *p, enum dns_plan_verdict v, struct span code,
                    struct span text)
{
    p->verdict = v;
    p->code = code;
    p->text = text;
}

/* No host has an address, and no hop says more: is it for now, or for ever? */
static void fail_hosts(struct dns_mx *m)
{
    const struct mx_host *gone = NULL, *unknown = NULL, *first = NULL;
    uint32_t took_ms = 0;
    for (size_t i = 0; i < m->host_count; i++) {
        const struct mx_host *h = m->hosts[i];
        if (h->cut)
            continue;
        first = first ? first : h;
        unknown = unknown ? unknown : unknown_now(h) ? h : NULL;
        took_ms = h->took_ms > took_ms ? h->took_ms : took_ms; /* they were asked side by side */
        if (h->status[0] != DNS_NXDOMAIN && h->status[1] != DNS_NXDOMAIN)
            gone = h; /* at least this name exists */
    }
    const char *domain = m->hops[0].name.s;
    m->plan.took_ms = unknown ? took_ms : 0;
    if (unknown)
        verdict(&m->plan, DNS_PLAN_LATER, SPAN("4.4.3"),
                mx_text(m, "Name server: %s: host name lookup failure (%.*s)", unknown->name.s,
                        SPAN_ARG(unknown->failed)));
    else if (!first)
        verdict(&m->plan, DNS_PLAN_FAIL, SPAN("5.4.4"),
                mx_text(m, "No MX host of %s has a usable name", domain));
    else if (!gone && (m->hops[first->hop].mx || m->hops[first->hop].hop.bracketed))
        verdict(&m->plan, DNS_PLAN_FAIL, SPAN("5.4.4"),
                mx_text(m, "No mail server of %s exists (Name server: %s: host not found)", domain,
                        first->name.s));
    else if (!gone)
        verdict(&m->plan, DNS_PLAN_FAIL, SPAN("5.1.2"),
                mx_text(m, "Host unknown (Name server: %s: host not found)", first->name.s));
    else if (m->hops[first->hop].mx)
        verdict(&m->plan, DNS_PLAN_FAIL, SPAN("5.4.4"),
                mx_text(m, "No MX host of %s has an address", domain));
    else if (m->hops[first->hop].hop.bracketed)
        verdict(&m->plan, DNS_PLAN_FAIL, SPAN("5.4.4"),
                mx_text(m, "%s has no address", first->name.s));
    else
        verdict(&m->plan, DNS_PLAN_FAIL, SPAN("5.4.4"),
                mx_text(m, "%s has neither MX nor address", first->name.s));
}

static bool better_unknown(const struct dns_mx *m)
{
    for (size_t i = 0; i < m->host_count; i++)
        if (!m->hosts[i]->cut && unknown_now(m->hosts[i]))
            return true;
    return false;
}

static void judge(struct dns_mx *m, const struct mx_host *own)
{
    const struct mx_hop *fail = NULL, *later = NULL;
    if (m->plan.addr_count)
        return;
    for (size_t i = 0; i < m->hop_count; i++) {
        const struct mx_hop *h = &m->hops[i];
        if (h->verdict == DNS_PLAN_FAIL && !fail)
            fail = h;
        if (h->verdict == DNS_PLAN_LATER && !later && (!own || i < own->hop))
            later = h;
    }
    m->plan.took_ms = later ? later->took_ms : 0;
    if (later)
        verdict(&m->plan, DNS_PLAN_LATER, later->code, later->text);
    else if (own && !better_unknown(m))
        verdict(&m->plan, DNS_PLAN_FAIL, SPAN("5.3.5"),
                mx_text(m, "mail loops back to me (%.*s is one of our own listeners)",
                        SPAN_ARG(host_text(m, own))));
    else if (fail && !m->host_count)
        verdict(&m->plan, DNS_PLAN_FAIL, fail->code, fail->text);
    else
        fail_hosts(m);
}

static int by_text(const void *a, const void *b)
{
    return span_cmp(*(const struct span *)a, *(const struct span *)b);
}

/* The MX set in alphabetical order, so that two domains with the same hosts share a site. */
static void put_mx_set(struct dns_mx *m, struct buf *out)
{
    struct span *names = arena_alloc(m->arena, (m->host_count + 1) * sizeof *names);
    size_t n = 0;
    MUST(names);
    for (size_t i = 0; i < m->host_count; i++)
        if (!m->hosts[i]->cut)
            names[n++] = host_text(m, m->hosts[i]);
    qsort(names, n, sizeof *names, by_text);
    for (size_t i = 0; i < n; i++)
        buf_printf(out, "%s%.*s", i ? "," : "", SPAN_ARG(names[i]));
}

/* A set too long to be shown whole is told apart by a hash; the seed is fixed since the key must
 * be the same in every run. */
static void put_key(struct buf *out, struct span key)
{
    if (key.n <= DNS_PLAN_SITE_MAX)
        buf_puts(out, key);
    else
        buf_printf(out, "%.*s...#%016llx", SPAN_ARG(span_to(key, DNS_PLAN_SITE_MAX - 24)),
                   (unsigned long long)hash_bytes(0, key));
}

static bool by_mx(const struct dns_hop *hops, size_t n)
{
    return n == 1 && !hops->bracketed && !hops->literal;
}

bool dns_site_of(struct buf *out, const struct dns_hop *hops, size_t n)
{
    struct buf b;
    if (by_mx(hops, n))
        return false;
    buf_init(&b, DNS_HOPS_TEXT_MAX + 8);
    buf_putz(&b, n == 1 ? "host:" : "list:");
    dns_hops_put(&b, hops, n);
    put_key(out, buf_span(&b));
    buf_free(&b);
    return true;
}

static void put_site(struct dns_mx *m, struct buf *out)
{
    struct dns_hop hops[DNS_HOPS_MAX];
    struct buf b;
    for (size_t i = 0; i < m->hop_count; i++)
        hops[i] = m->hops[i].hop;
    if (dns_site_of(out, hops, m->hop_count))
        return;
    buf_init(&b, 1 << 16);
    buf_putz(&b, "mx:");
    put_mx_set(m, &b);
    if (hops->port)
        buf_printf(&b, ":%u", hops->port);
    put_key(out, buf_span(&b));
    buf_free(&b);
}

/* Sums, since equals stand in random order. */
static void make_order(struct dns_mx *m)
{
    struct dns_plan *p = &m->plan;
    bool by_name = by_mx(&m->hops[0].hop, m->hop_count);
    size_t at = 0, class = 0;
    uint32_t rank = 0;
    for (size_t i = 0; i < m->host_count && at < p->host_count; i++) {
        const struct mx_host *h = m->hosts[i];
        if (h->cut || !mx_addrs(h))
            continue;
        class += at && mx_rank(h) != rank;
        rank = mx_rank(h);
        p->best_hosts += class == 0;
        struct span name = p->hosts[at++].name;
        if (by_name && class == 0)
            p->order.best += hash_bytes(0, name);
        if (by_name)
            p->order.all += hash_bytes(class + 1, name);
    }
}

static void make_site(struct dns_mx *m)
{
    struct buf b;
    buf_init(&b, DNS_PLAN_SITE_MAX);
    put_site(m, &b);
    m->plan.site = arena_dup(m->arena, buf_span(&b));
    buf_free(&b);
}

const struct dns_plan *dns_mx_plan(struct dns_mx *m)
{
    MUST(dns_mx_done(m));
    if (m->planned)
        return &m->plan;
    m->planned = true;
    m->plan.ttl_s = DNS_TTL_FOREVER;
    qsort(m->hosts, m->host_count, sizeof *m->hosts, by_rank);
    const struct mx_host *own = cut_own(m);
    fill(m);
    judge(m, own);
    if (m->plan.verdict == DNS_PLAN_OK) {
        make_site(m);
        make_order(m);
        for (size_t i = 0; i < m->hop_count && !m->plan.alias.n; i++)
            m->plan.alias = m->hops[i].alias;
        trail_say(m->p.trail, TRAIL_DECIDED, "site", m->plan.site, "%zu hosts, %zu addresses",
                  m->plan.host_count, m->plan.addr_count);
    } else {
        trail_say(m->p.trail, TRAIL_DECIDED, "hosts", m->hops[0].hop.host, "%.*s %.*s",
                  SPAN_ARG(m->plan.code), SPAN_ARG(m->plan.text));
    }
    return &m->plan;
}
