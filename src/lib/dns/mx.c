#include "dns/mx_impl.h"

#include "base/must.h"

#include <stdlib.h>

enum { A = 0, AAAA = 1 };

/* splitmix64: the seed is random already; this only spreads it. */
uint64_t mx_draw(struct dns_mx *m)
{
    uint64_t z = m->lots += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

struct span mx_text(struct dns_mx *m, const char *fmt, ...)
{
    struct buf b;
    va_list ap;
    buf_init(&b, 4096);
    va_start(ap, fmt);
    buf_vprintf(&b, fmt, ap);
    va_end(ap);
    struct span s = arena_dup(m->arena, span_to(buf_span(&b), DNS_PLAN_TEXT_MAX));
    buf_free(&b);
    return s;
}

static void fail_hop(struct mx_hop *h, enum dns_plan_verdict verdict, const char *code,
                     struct span text)
{
    h->verdict = verdict;
    h->code = span_str(code);
    h->text = text;
}

/* name NULL: an address literal. The caller keeps within max_hosts. */
static struct mx_host *add_host(struct dns_mx *m, size_t hop, uint16_t pref,
                                const struct dns_name *name, const struct netaddr *literal)
{
    struct mx_host *h = NULL;
    struct netaddr ipv4;
    if (m->host_count < m->p.max_hosts)
        h = arena_alloc(m->arena, sizeof *h);
    if (!h) {
        m->plan.flags |= DNS_PLAN_HOSTS_CUT;
        return NULL;
    }
    *h = (struct mx_host){ .hop = (uint32_t)hop, .pref = pref, .ttl_s = DNS_TTL_FOREVER,
                           .secure = true, .lot = mx_draw(m) };
    h->port = m->hops[hop].hop.port ? m->hops[hop].hop.port : m->p.port;
    m->hosts[m->host_count++] = h;
    if (!literal && dns_name_is_ipv4(dns_name_span(name), &ipv4))
        literal = &ipv4; /* an MX may not name an address, but some do */
    if (literal) {
        int kind = literal->family == NETADDR_V4 ? A : AAAA;
        h->literal = *literal;
        h->addrs[kind][h->n[kind]++] = *literal;
        h->addrs[kind][0].port = h->port;
    } else {
        h->name = *name;
        h->ask[A] = m->p.no_ipv4 ? ASK_NONE : ASK_WANTED;
        h->ask[AAAA] = m->p.no_ipv6 ? ASK_NONE : ASK_WANTED;
    }
    return h;
}

static void start_hop(struct dns_mx *m, size_t i, const struct dns_hop *from)
{
    struct mx_hop *h = &m->hops[i];
    h->hop = *from;
    h->hop.host = arena_dup(m->arena, from->host);
    h->ttl_s = DNS_TTL_FOREVER;
    h->secure = true;
    if (from->literal) {
        add_host(m, i, 0, NULL, &from->addr);
        return;
    }
    enum dns_name_error bad = dns_name_from(from->host, &h->name);
    if (bad) {
        h->name.n = 0;
        fail_hop(h, DNS_PLAN_FAIL, "5.1.2", mx_text(m, "Invalid host name \"%.*s\": %s",
                 SPAN_ARG(span_to(from->host, 256)), dns_name_error_text(bad)));
        trail_say(m->p.trail, TRAIL_FAIL, "name", from->host, "%s", dns_name_error_text(bad));
    } else if (from->bracketed) {
        add_host(m, i, 0, &h->name, NULL);
    } else {
        h->ask = ASK_WANTED;
    }
}

struct dns_mx *dns_mx_new(const struct dns_mx_params *p, const struct dns_hop *hops, size_t n)
{
    MUST(n > 0 && n <= DNS_HOPS_MAX && p->port);
    struct dns_mx *m = NEW(struct dns_mx);
    m->p = *p;
    m->lots = p->seed;
    if (!p->max_hosts || p->max_hosts > DNS_PLAN_HOSTS_MAX)
        m->p.max_hosts = DNS_PLAN_HOSTS_MAX;
    if (!p->max_addrs || p->max_addrs > DNS_PLAN_ADDRS_MAX)
        m->p.max_addrs = p->max_addrs ? DNS_PLAN_ADDRS_MAX : 40;
    if (!p->max_host_addrs || p->max_host_addrs > HOST_ADDRS_MAX)
        m->p.max_host_addrs = p->max_host_addrs ? HOST_ADDRS_MAX : 20;
    m->arena = arena_new(MX_ARENA_BYTES);
    m->hosts = arena_alloc(m->arena, m->p.max_hosts * sizeof *m->hosts);
    m->hop_count = n;
    for (size_t i = 0; i < n; i++)
        start_hop(m, i, &hops[i]);
    return m;
}

void dns_mx_free(struct dns_mx **m)
{
    if (!*m)
        return;
    arena_free(&(*m)->arena);
    free(*m);
    *m = NULL;
}

static uint16_t type_of(int kind) { return kind == A ? DNS_A : DNS_AAAA; }

/* Every place that waits for this question's answer is marked: it is asked once. */
static void mark_asked(struct dns_mx *m, const struct dns_question *q)
{
    for (size_t i = 0; q->type == DNS_MX && i < m->hop_count; i++)
        if (m->hops[i].ask == ASK_WANTED && dns_name_eq(&m->hops[i].name, &q->name))
            m->hops[i].ask = ASK_ASKED;
    for (size_t i = 0; i < m->host_count; i++)
        for (int kind = A; kind <= AAAA; kind++)
            if (m->hosts[i]->ask[kind] == ASK_WANTED && q->type == type_of(kind) &&
                dns_name_eq(&m->hosts[i]->name, &q->name))
                m->hosts[i]->ask[kind] = ASK_ASKED;
}

bool dns_mx_next(struct dns_mx *m, struct dns_question *q_r)
{
    for (size_t i = 0; i < m->hop_count; i++)
        if (m->hops[i].ask == ASK_WANTED) {
            *q_r = (struct dns_question){ .name = m->hops[i].name, .type = DNS_MX };
            mark_asked(m, q_r);
            return true;
        }
    for (size_t i = 0; i < m->host_count; i++)
        for (int kind = A; kind <= AAAA; kind++)
            if (m->hosts[i]->ask[kind] == ASK_WANTED) {
                *q_r = (struct dns_question){ .name = m->hosts[i]->name, .type = type_of(kind) };
                mark_asked(m, q_r);
                return true;
            }
    return false;
}

bool dns_mx_done(const struct dns_mx *m)
{
    for (size_t i = 0; i < m->hop_count; i++)
        if (m->hops[i].ask == ASK_WANTED || m->hops[i].ask == ASK_ASKED)
            return false;
    for (size_t i = 0; i < m->host_count; i++)
        for (int kind = A; kind <= AAAA; kind++)
            if (m->hosts[i]->ask[kind] == ASK_WANTED || m->hosts[i]->ask[kind] == ASK_ASKED)
                return false;
    return true;
}

static int by_pref(const void *a, const void *b)
{
    const struct dns_record *const *x = a, *const *y = b;
    return (*x)->pref < (*y)->pref ? -1 : (*x)->pref > (*y)->pref;
}

static bool has_host(const struct dns_mx *m, size_t hop, struct span name)
{
    for (size_t i = 0; i < m->host_count; i++)
        if (m->hosts[i]->hop == hop && span_eq(dns_name_span(&m->hosts[i]->name), name))
            return true;
    return false;
}

/* The MX set, best first, so that a limit leaves out the worst. Equals are shuffled before the
 * sort, so that the limit is fair among them. */
static void add_mx_hosts(struct dns_mx *m, size_t hop, const struct dns_answer *ans)
{
    const struct dns_record **order = must_calloc(ans->count + 1, sizeof *order);
    size_t n = 0;
    for (size_t i = 0; i < ans->count; i++)
        if (ans->records[i].name.n)
            order[n++] = &ans->records[i];
    for (size_t i = n; i > 1; i--) {
        size_t j = mx_draw(m) % i;
        const struct dns_record *swap = order[i - 1];
        order[i - 1] = order[j];
        order[j] = swap;
    }
    qsort(order, n, sizeof *order, by_pref);
    for (size_t i = 0; i < n; i++) {
        struct dns_name name;
        if (dns_name_from(order[i]->name, &name) != DNS_NAME_OK)
            trail_say(m->p.trail, TRAIL_NOTE, "MX", order[i]->name, "no host can have this name");
        else if (!has_host(m, hop, order[i]->name))
            add_host(m, hop, order[i]->pref, &name, NULL);
    }
    free(order);
}

/* RFC 7505: one record, and its target is the root. A root among others is ignored. */
static bool is_null_mx(const struct dns_answer *ans)
{
    for (size_t i = 0; i < ans->count; i++)
        if (ans->records[i].name.n)
            return false;
    return ans->count > 0 && !ans->odd;
}

/* "MX: no usable answer from 192.0.2.53:53 after seconds": libunbound does not tell silence from a
 * server that fails; the time does. Reasons are told apart by their words, so it is no number:
 * that is in plan.took_ms. */
static struct span failure(struct dns_mx *m, const char *type, const struct dns_answer *ans)
{
    enum { PART_MAX = 200, LONG_MS = 1000 };
    bool waited = ans->status != DNS_TIMEOUT && ans->took_ms >= LONG_MS;
    return mx_text(m, "%s: %s%s%.*s%s%s%.*s", type,
                   ans->status == DNS_TIMEOUT ? "no answer in time" : "no usable answer",
                   ans->server.n ? " from " : "", SPAN_ARG(span_to(ans->server, PART_MAX)),
                   waited ? " after seconds" : "", ans->why.n ? ", " : "",
                   SPAN_ARG(span_to(ans->why, PART_MAX)));
}

static uint32_t took_of(const struct dns_answer *ans)
{
    return ans->took_ms < 0 ? 0 : ans->took_ms < UINT32_MAX ? (uint32_t)ans->took_ms : UINT32_MAX;
}

static void told_mx(struct dns_mx *m, size_t i, const struct dns_answer *ans)
{
    struct mx_hop *h = &m->hops[i];
    h->ask = ASK_TOLD;
    h->ttl_s = ans->ttl_s;
    h->secure = ans->security == DNS_SECURE;
    switch (ans->status) {
    case DNS_RECORDS:
        h->mx = true;
        if (is_null_mx(ans))
            fail_hop(h, DNS_PLAN_FAIL, "5.1.10",
                     mx_text(m, "%s does not accept mail (null MX)", h->name.s));
        else
            add_mx_hosts(m, i, ans);
        break;
    case DNS_NODATA:
        m->plan.flags |= DNS_PLAN_IMPLICIT;
        if (!span_ieq(ans->canon, dns_name_span(&h->name)))
            h->alias = arena_dup(m->arena, ans->canon);
        trail_say(m->p.trail, TRAIL_NOTE, "MX", dns_name_span(&h->name),
                  "no MX: the domain itself is tried");
        add_host(m, i, 0, &h->name, NULL);
        break;
    case DNS_NXDOMAIN:
        fail_hop(h, DNS_PLAN_FAIL, "5.1.2",
                 mx_text(m, "Host unknown (Name server: %s: host not found)", h->name.s));
        break;
    default:
        h->took_ms = took_of(ans);
        /* never taken for "no MX": mail would go to the wrong host (RFC 5321 5.1) */
        fail_hop(h, DNS_PLAN_LATER, "4.4.3",
                 mx_text(m, "Name server: %s: host name lookup failure (%.*s)", h->name.s,
                         SPAN_ARG(failure(m, "MX", ans))));
    }
}

static void told_addrs(struct dns_mx *m, struct mx_host *h, int kind, const struct dns_answer *ans)
{
    h->ask[kind] = ASK_TOLD;
    h->status[kind] = ans->status;
    if (ans->status >= DNS_SERVFAIL && !h->failed.n)
        h->failed = failure(m, kind ? "AAAA" : "A", ans);
    if (ans->status >= DNS_SERVFAIL && took_of(ans) > h->took_ms)
        h->took_ms = took_of(ans);
    if (ans->status < DNS_SERVFAIL && ans->ttl_s < h->ttl_s)
        h->ttl_s = ans->ttl_s;
    h->secure = h->secure && ans->security == DNS_SECURE;
    for (size_t i = 0; i < ans->count; i++) {
        struct netaddr a = ans->records[i].addr;
        if (netaddr_is_any(&a)) /* would be ourselves by another name */
            continue;
        if (h->n[kind] == m->p.max_host_addrs) {
            m->plan.flags |= DNS_PLAN_ADDRS_CUT;
            break;
        }
        a.port = h->port;
        h->addrs[kind][h->n[kind]++] = a;
    }
}

void dns_mx_told(struct dns_mx *m, const struct dns_question *q, const struct dns_answer *ans)
{
    MUST(!m->planned);
    dns_answer_trail(m->p.trail, q, ans);
    for (size_t i = 0; q->type == DNS_MX && i < m->hop_count; i++)
        if (m->hops[i].ask == ASK_ASKED && dns_name_eq(&m->hops[i].name, &q->name))
            told_mx(m, i, ans);
    for (size_t i = 0; i < m->host_count; i++)
        for (int kind = A; kind <= AAAA; kind++)
            if (m->hosts[i]->ask[kind] == ASK_ASKED && q->type == type_of(kind) &&
                dns_name_eq(&m->hosts[i]->name, &q->name))
                told_addrs(m, m->hosts[i], kind, ans);
}
