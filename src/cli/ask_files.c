#include "cli/ask_files.h"

#include "base/must.h"
#include "dns/engine.h"
#include "dns/servers.h"
#include "explain/dns.h"
#include "explain/route.h"

#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

enum { ARENA_MAX = 4 << 20, TURN_MS = 1000 };

struct ask_files {
    const struct config *config;
    struct route_tables *tables;
    struct arena *arena;
    struct loop *loop;
    struct dns_engine *engine; /* NULL until the first question to the DNS */
    struct dns_resolver *dns;
    struct buf *json; /* of the question that is out */
    bool told;
};

static void say_report(const struct cli_args *a, struct map_report *r)
{
    if (r->lines.len)
        fprintf(stderr, "%s", buf_cstr(&r->lines));
    if (r->errors)
        cli_fail(a, EX_CONFIG, "the tables have %zu mistake%s", r->errors,
                 r->errors == 1 ? "" : "s");
}

int ask_files_open(struct ask_files **f_r, const struct cli_args *a, const struct config *cfg)
{
    struct ask_files *f = *f_r = NEW(struct ask_files);
    struct map_report report;
    f->config = cfg;
    f->loop = loop_new();
    f->arena = arena_new(ARENA_MAX);
    map_report_init(&report);
    f->tables = route_load(cfg, loop_random_u64(f->loop), NULL, &report);
    say_report(a, &report);
    map_report_free(&report);
    return f->tables ? EX_OK : EX_CONFIG;
}

void ask_files_close(struct ask_files **fp)
{
    struct ask_files *f = *fp;
    if (!f)
        return;
    dns_resolver_free(&f->dns);
    dns_engine_free(&f->engine);
    route_tables_free(&f->tables);
    arena_free(&f->arena);
    loop_free(&f->loop);
    free(f);
    *fp = NULL;
}

/* --- the DNS --- */

static bool start_dns(struct ask_files *f, struct err *e)
{
    static const enum dns_dnssec dnssec[] = { [CONFIG_DNSSEC_AUTO] = DNS_DNSSEC_AUTO,
                                              [CONFIG_DNSSEC_ON] = DNS_DNSSEC_ON,
                                              [CONFIG_DNSSEC_OFF] = DNS_DNSSEC_OFF };
    const struct config_dns *c = &f->config->dns;
    struct netaddr servers[DNS_SERVERS_MAX];
    size_t n = 0;
    for (; n < c->servers.n && n < DNS_SERVERS_MAX; n++)
        servers[n] = c->servers.v[n];
    char *resolv_conf = must_strndup(c->resolv_conf.p, c->resolv_conf.n);
    char *anchor = must_strndup(c->trust_anchor.p, c->trust_anchor.n);
    if (n == 0 && !dns_servers_read(resolv_conf, servers, &n, e))
        n = 0;
    struct dns_engine_params p = { .servers = servers, .server_count = n,
                                   .dnssec = dnssec[c->dnssec], .trust_anchor = anchor };
    f->engine = n ? dns_engine_new(f->loop, &p, e) : NULL;
    free(resolv_conf);
    free(anchor);
    if (!f->engine)
        return false;
    struct dns_resolver_params rp = { .cache = { .seed = loop_random_u64(f->loop) },
                                      .deadline_ms = c->timeout_ms };
    f->dns = dns_resolver_new(f->loop, &rp, dns_engine_backend(f->engine));
    return true;
}

static bool is_local(void *ctx, const struct netaddr *ip)
{
    return loop_is_local(((struct ask_files *)ctx)->loop, ip);
}

static bool is_own(void *ctx, const struct netaddr *at)
{
    return config_listens_at(((struct ask_files *)ctx)->config, at, is_local, ctx);
}

static void on_told(void *ctx, struct span json)
{
    struct ask_files *f = ctx;
    buf_puts(f->json, json);
    f->told = true;
}

static bool ask_dns(struct ask_files *f, struct span verb, const struct explain_args *args,
                    struct buf *json, struct err *e)
{
    if (!f->dns && !start_dns(f, e))
        return false;
    struct dns_mx_params p = { .port = (uint16_t)f->config->deliver.port, .is_own = is_own,
                               .is_own_ctx = f, .seed = loop_random_u64(f->loop) };
    f->json = json;
    f->told = false;
    if (!explain_dns_start(f->dns, &p, verb, args, on_told, f, e))
        return false;
    while (!f->told)
        loop_turn(f->loop, TURN_MS);
    return true;
}

/* --- questions --- */

bool ask_files_row(struct ask_files *f, const char *verb, const struct ask_args *args,
                   struct buf *json, struct err *e)
{
    struct buf wire;
    struct explain_args known;
    buf_init(&wire, 64 << 10);
    for (size_t i = 0; i < args->n; i++)
        wire_put_bytes(&wire, span_str(args->text[i]));
    struct wire w = wire_reader(buf_span(&wire));
    struct span name = span_str(verb);
    bool good = explain_args_get(&w, &known, e);
    arena_reset(f->arena);
    if (good && (span_eq(name, SPAN("lookup")) || span_eq(name, SPAN("ask"))))
        good = ask_dns(f, name, &known, json, e);
    else if (good)
        good = explain_route(f->tables, name, &known, f->arena, json, e);
    buf_free(&wire);
    return good;
}
