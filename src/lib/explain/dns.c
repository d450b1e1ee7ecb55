#include "explain/dns.h"

#include "base/must.h"

#include <stdlib.h>

enum { STEPS_MAX = 128, JSON_MAX = 512 << 10 };

struct explain_dns {
    struct dns_lookup *lookup;
    struct trail *trail;
    struct dns_resolver *r;
    struct dns_question q;
    struct dns_ask ask;
    struct arena *arena;
    struct loop_hook cached; /* tells what the cache had */
    struct dns_answer found;
    void (*fn)(void *ctx, struct span json);
    void *ctx;
};

void explain_dns_cancel(struct explain_dns **xp)
{
    struct explain_dns *x = *xp;
    if (!x)
        return;
    dns_lookup_cancel(&x->lookup);
    dns_ask_cancel(&x->ask);
    loop_hook_cancel(&x->cached);
    trail_free(&x->trail);
    arena_free(&x->arena);
    free(x);
    *xp = NULL;
}

static void tell(struct explain_dns *x, struct buf *b)
{
    void (*fn)(void *, struct span) = x->fn;
    void *ctx = x->ctx;
    explain_dns_cancel(&x);
    fn(ctx, b->failed ? SPAN("{\"error\":\"the answer is too long to be shown\"}") : buf_span(b));
    buf_free(b);
}

/* --- a whole next hop --- */

static void on_plan(void *ctx, const struct dns_plan *plan)
{
    struct explain_dns *x = ctx;
    struct buf b;
    buf_init(&b, JSON_MAX);
    struct json j = json_writer(&b);
    json_open(&j, NULL);
    dns_plan_json(&j, "plan", plan);
    trail_json(&j, "trail", x->trail);
    json_close(&j);
    x->lookup = NULL;
    tell(x, &b);
}

static bool start_lookup(struct explain_dns *x, const struct dns_mx_params *p,
                         const struct explain_args *args, struct err *e)
{
    struct dns_hop hop[DNS_HOPS_MAX];
    struct dns_mx_params params = *p;
    size_t n;
    if (!dns_hops_parse(args->hops, hop, &n, e))
        return false;
    params.trail = x->trail = trail_new(STEPS_MAX);
    x->lookup = dns_lookup_start(x->r, &params, hop, n, on_plan, x);
    return true;
}

/* --- one question --- */

static void put_record(struct json *j, const struct dns_record *r)
{
    struct buf b;
    buf_init(&b, NETADDR_TEXT_MAX);
    json_open(j, NULL);
    if (r->type == DNS_MX)
        json_uint(j, "pref", r->pref);
    if (r->type == DNS_A || r->type == DNS_AAAA) {
        netaddr_put(&b, &r->addr);
        json_str(j, "address", buf_span(&b));
    } else if (r->type == DNS_TXT) {
        json_str(j, "text", r->text);
    } else {
        json_str(j, "name", r->name);
    }
    json_uint(j, "ttl_s", r->ttl_s);
    json_close(j);
    buf_free(&b);
}

static void put_answer(struct buf *b, const struct dns_question *q, const struct dns_answer *ans)
{
    struct json j = json_writer(b);
    json_open(&j, NULL);
    json_str(&j, "name", dns_name_span(&q->name));
    json_str(&j, "type", span_str(dns_type_name(q->type)));
    json_str(&j, "status", span_str(dns_status_name(ans->status)));
    if (ans->canon.n)
        json_str(&j, "canon", ans->canon);
    json_uint(&j, "ttl_s", ans->ttl_s);
    json_bool(&j, "cached", ans->cached);
    json_str(&j, "dnssec", span_str(dns_security_name(ans->security)));
    if (ans->server.n)
        json_str(&j, "server", ans->server);
    if (ans->why.n)
        json_str(&j, "why", ans->why);
    json_open_array(&j, "records");
    for (size_t i = 0; i < ans->count; i++)
        put_record(&j, &ans->records[i]);
    json_close_array(&j);
    json_close(&j);
}

static void on_answer(void *ctx, const struct dns_question *q, const struct dns_answer *ans)
{
    struct explain_dns *x = ctx;
    struct buf b;
    buf_init(&b, JSON_MAX);
    put_answer(&b, q, ans);
    tell(x, &b);
}

static void on_cached(void *ctx)
{
    struct explain_dns *x = ctx;
    on_answer(x, &x->q, &x->found);
}

static bool start_ask(struct explain_dns *x, const struct dns_mx_params *p,
                      const struct explain_args *args, struct err *e)
{
    (void)p;
    enum dns_name_error bad = dns_name_from(args->name, &x->q.name);
    x->q.type = dns_type_from(args->type);
    if (bad || !x->q.type) {
        err_set(e, "%s", bad ? dns_name_error_text(bad) : "no such type of record");
        return false;
    }
    if (dns_resolver_cached(x->r, &x->q, x->arena, &x->found))
        loop_hook_ask(dns_resolver_loop(x->r), &x->cached);
    else
        dns_ask(x->r, &x->ask, &x->q, on_answer, x);
    return true;
}

static const struct {
    const char *verb;
    bool (*start)(struct explain_dns *x, const struct dns_mx_params *p,
                  const struct explain_args *args, struct err *e);
} verbs[] = {
#define VERB(name) { #name, start_##name },
    EXPLAIN_DNS_VERBS(VERB)
#undef VERB
};
enum { VERBS = sizeof verbs / sizeof *verbs };

struct explain_dns *explain_dns_start(struct dns_resolver *r, const struct dns_mx_params *p,
                                      struct span verb, const struct explain_args *args,
                                      void (*fn)(void *ctx, struct span json), void *ctx,
                                      struct err *e)
{
    struct explain_dns *x = NEW(struct explain_dns);
    x->r = r;
    x->fn = fn;
    x->ctx = ctx;
    x->arena = arena_new(DNS_ARENA_BYTES);
    loop_hook_init(&x->cached, LOOP_STAGE_WORK, on_cached, x);
    size_t i = 0;
    while (i < VERBS && !span_eq(verb, span_str(verbs[i].verb)))
        i++;
    if (i == VERBS)
        err_set(e, "the resolver does not know this");
    if (i == VERBS || !verbs[i].start(x, p, args, e))
        explain_dns_cancel(&x);
    return x;
}
