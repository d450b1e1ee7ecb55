/* The resolver over libunbound, against a staged server on loopback; and over the zone alone,
 * where only the resolver is meant. */
#include "test.h"

#include "dnsserver.h"

#include "dns/engine.h"
#include "dns/resolver.h"
#include "dns/servers.h"

#include <time.h>

struct bench {
    struct loop *loop;
    struct dnsserver server;
    struct dns_engine *engine;
    struct dns_resolver *r;
    bool said, validating;
    char why[256];
};

static void say(void *ctx, bool validating, const char *why)
{
    struct bench *b = ctx;
    b->said = true;
    b->validating = validating;
    snprintf(b->why, sizeof b->why, "%s", why);
}

static void add(struct dns_zone *z, const char *text)
{
    struct err e = { "" };
    if (!dns_zone_add(z, span_str(text), &e)) {
        printf("not ok zone: %s\n", e.text);
        exit(1);
    }
}

static struct dns_resolver_params quick(void)
{
    return (struct dns_resolver_params){ .deadline_ms = 3000,
                                         .cache = { .fail_ttl_s = 0, .max_ttl_s = 3600 } };
}

static void start_p(struct bench *b, const char *zone, enum dns_dnssec dnssec, size_t dead,
                    struct dns_resolver_params rp)
{
    struct err e = { "" };
    struct netaddr servers[2];
    *b = (struct bench){ .loop = loop_new() };
    struct dns_zone *z = dns_zone_new();
    add(z, zone);
    dnsserver_start(&b->server, b->loop, z);
    netaddr_parse(SPAN("127.0.0.1:9"), 53, &servers[0], NULL); /* nobody is there */
    servers[dead] = b->server.addr;
    b->engine = dns_engine_new(b->loop, &(struct dns_engine_params){
        .servers = servers, .server_count = dead + 1, .dnssec = dnssec, .say = say, .say_ctx = b,
        .trust_anchor = "/usr/share/dns/root.key" }, &e);
    if (!b->engine) {
        printf("not ok engine: %s\n", e.text);
        exit(1);
    }
    b->r = dns_resolver_new(b->loop, &rp, dns_engine_backend(b->engine));
}

static void start(struct bench *b, const char *zone)
{
    start_p(b, zone, DNS_DNSSEC_OFF, 0, quick());
}

static void stop(struct bench *b)
{
    dns_resolver_free(&b->r);
    dns_engine_free(&b->engine);
    dnsserver_stop(&b->server);
    loop_free(&b->loop);
}

struct got {
    struct dns_ask ask;
    bool done, cached;
    enum dns_status status;
    uint32_t ttl_s;
    size_t count;
    char text[2000];
    int *left;
};

static void on_answer(void *ctx, const struct dns_question *q, const struct dns_answer *ans)
{
    struct got *g = ctx;
    struct buf b;
    (void)q;
    buf_init(&b, sizeof g->text - 1);
    dns_answer_text(&b, ans);
    snprintf(g->text, sizeof g->text, "%s", buf_cstr(&b));
    buf_free(&b);
    g->status = ans->status;
    g->ttl_s = ans->ttl_s;
    g->count = ans->count;
    g->cached = ans->cached;
    g->done = true;
    if (g->left)
        --*g->left;
}

static void ask(struct bench *b, struct got *g, const char *name, uint16_t type)
{
    struct dns_question q = { .type = type };
    MUST(dns_name_from(span_str(name), &q.name) == DNS_NAME_OK);
    int *left = g->left;
    *g = (struct got){ .left = left };
    dns_ask(b->r, &g->ask, &q, on_answer, g);
}

static int64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void run_for(struct bench *b, int64_t ms)
{
    for (int64_t end = now_ms() + ms, now; (now = now_ms()) < end;)
        loop_turn(b->loop, (int)(end - now));
}

static bool wait_for(struct bench *b, const bool *done, int64_t ms)
{
    for (int64_t end = now_ms() + ms; !*done && now_ms() < end;)
        loop_turn(b->loop, 50);
    return *done;
}

static struct got ask_now(struct bench *b, const char *name, uint16_t type)
{
    static struct got g;
    g.left = NULL;
    ask(b, &g, name, type);
    if (!wait_for(b, &g.done, 60000)) {
        dns_ask_cancel(&g.ask);
        snprintf(g.text, sizeof g.text, "NEVER ANSWERED");
    }
    return g;
}

static const char zone_text[] =
    "gw.test 60 MX 10 mx1.gw.test\ngw.test 60 MX 10 mx2.gw.test\ngw.test 60 MX 20 mx3.gw.test\n"
    "mx1.gw.test A 127.0.0.11\nmx1.gw.test AAAA ::1\nmx2.gw.test A 127.0.0.12\n"
    "mx3.gw.test CNAME real.gw.test\nreal.gw.test A 127.0.0.13\n"
    "alias.test CNAME gw.test\nnull.test MX 0 .\nimplicit.test A 127.0.0.14\n"
    "own.test MX 10 mx1.gw.test\nown.test MX 20 me.test\nme.test A 127.0.0.99\n"
    "self.test MX 10 me.test\n"
    "broken.test SERVFAIL\nslow.test TIMEOUT\nnodata.test TXT x\n"
    "good.internal A 127.0.0.15\nhost.home.arpa A 127.0.0.16\n1.0.0.10.in-addr.arpa PTR x.test\n";

static void answers(void)
{
    static const struct {
        const char *name;
        uint16_t type;
        const char *want;
    } cases[] = {
        { "mx1.gw.test", DNS_A, "127.0.0.11" },
        { "mx1.gw.test", DNS_AAAA, "::1" },
        { "mx3.gw.test", DNS_A, "127.0.0.13" },
        { "null.test", DNS_MX, "0 ." },
        { "nx.test", DNS_MX, "no such name" },
        { "mx2.gw.test", DNS_AAAA, "no such records" },
        { "broken.test", DNS_A, "no usable answer" },
        { "slow.test", DNS_A, "no answer in time" },
        { "good.internal", DNS_A, "127.0.0.15" },
        { "host.home.arpa", DNS_A, "127.0.0.16" },
        { "1.0.0.10.in-addr.arpa", DNS_PTR, "x.test" },
    };
    struct bench b;
    start(&b, zone_text);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct got g = ask_now(&b, cases[i].name, cases[i].type);
        if (strcmp(g.text, cases[i].want) != 0)
            TEST_FAIL("%s %s: %s", dns_type_name(cases[i].type), cases[i].name, g.text);
    }
    /* The name of this host stands in /etc/hosts, not in the zone. */
    char host[200] = "";
    struct dns_name name;
    gethostname(host, sizeof host - 1);
    if (dns_name_from(span_str(host), &name) == DNS_NAME_OK)
        CHECK_INT(ask_now(&b, host, DNS_A).status, DNS_NXDOMAIN);
    stop(&b);
}

/* The mystery of the posts: an answer that stays after its TTL. */
static void ttl_is_obeyed(void)
{
    struct bench b;
    start(&b, "short.test 2 A 127.0.0.1\nlong.test 600 A 127.0.0.1\n");
    CHECK(strcmp(ask_now(&b, "short.test", DNS_A).text, "127.0.0.1") == 0);
    int64_t asked = now_ms();
    dns_zone_remove(b.server.zone, SPAN("short.test"));
    add(b.server.zone, "short.test 2 A 127.0.0.2\n");
    struct got g = ask_now(&b, "short.test", DNS_A);
    if (now_ms() - asked < 1500) /* else the machine stood still */
        CHECK(g.cached && strcmp(g.text, "127.0.0.1") == 0 && g.ttl_s <= 2);
    run_for(&b, 2050 - (now_ms() - asked));
    g = ask_now(&b, "short.test", DNS_A);
    CHECK(!g.cached && strcmp(g.text, "127.0.0.2") == 0);
    /* And a long one goes when it is told to: libunbound does not keep it either. */
    CHECK(strcmp(ask_now(&b, "long.test", DNS_A).text, "127.0.0.1") == 0);
    dns_zone_remove(b.server.zone, SPAN("long.test"));
    add(b.server.zone, "long.test 600 A 127.0.0.2\n");
    CHECK(ask_now(&b, "long.test", DNS_A).cached);
    struct dns_name name;
    dns_name_from(SPAN("long.test"), &name);
    CHECK_INT(dns_resolver_flush(b.r, &name, false), 1);
    g = ask_now(&b, "long.test", DNS_A);
    CHECK(!g.cached && strcmp(g.text, "127.0.0.2") == 0);
    CHECK_INT(g.ttl_s, 600);
    /* The same for "no such name": it is believed as long as its SOA says, and not longer. */
    CHECK_INT(ask_now(&b, "later.test", DNS_A).ttl_s, 30);
    add(b.server.zone, "later.test A 127.0.0.3\n");
    CHECK(ask_now(&b, "later.test", DNS_A).status == DNS_NXDOMAIN);
    dns_resolver_flush(b.r, NULL, false);
    CHECK(strcmp(ask_now(&b, "later.test", DNS_A).text, "127.0.0.3") == 0);
    stop(&b);
}

static void truncation(void)
{
    struct bench b;
    start(&b, "");
    for (int i = 0; i < 60; i++) {
        char line[200];
        snprintf(line, sizeof line,
                 "big.test MX %d a-rather-long-name-of-a-mail-host-number-%d.big.test\n", i, i);
        add(b.server.zone, line);
    }
    CHECK_INT(ask_now(&b, "big.test", DNS_MX).count, 60);
    CHECK(b.server.truncated > 0 && b.server.asked_tcp == 1);
    stop(&b);
}

static void asked_once(void)
{
    static struct got g[50];
    struct bench b;
    int left = 50;
    start(&b, zone_text);
    for (int i = 0; i < 50; i++) {
        g[i].left = &left;
        ask(&b, &g[i], "gw.test", DNS_MX);
    }
    dns_ask_cancel(&g[7].ask);
    left--;
    CHECK(wait_for(&b, &g[49].done, 60000));
    CHECK_INT(left, 0);
    CHECK(!g[7].done && g[6].count == 3);
    CHECK_INT(b.server.asked, 1);
    stop(&b);
}

static void many(void)
{
    enum { N = 3000 };
    struct got *g = must_calloc(N, sizeof *g);
    struct dns_resolver_params p = quick();
    struct bench b;
    int left = N;
    size_t most = 0;
    p.max_out = 100;
    p.deadline_ms = 60000;
    start_p(&b, "", DNS_DNSSEC_OFF, 0, p);
    for (int i = 0; i < 40; i++) {
        char line[64];
        snprintf(line, sizeof line, "h%d.many.test A 127.0.0.%d\n", i * 75, i + 1);
        add(b.server.zone, line);
    }
    for (int i = 0; i < N; i++) {
        char name[64];
        snprintf(name, sizeof name, "h%d.many.test", i);
        g[i].left = &left;
        ask(&b, &g[i], name, DNS_A);
    }
    int64_t t0 = now_ms();
    while (left && now_ms() < t0 + 600000) {
        loop_turn(b.loop, 50);
        size_t out = dns_resolver_stats(b.r).out;
        most = out > most ? out : most;
    }
    printf("# %d questions in %lld ms, %zu out at most\n", N, (long long)(now_ms() - t0), most);
    CHECK_INT(left, 0);
    CHECK(most <= 100 && most > 10);
    for (int i = 0; i < N; i++)
        CHECK_INT(g[i].status, i % 75 ? DNS_NXDOMAIN : DNS_RECORDS);
    CHECK_INT(dns_resolver_stats(b.r).out, 0);
    CHECK_INT(dns_resolver_stats(b.r).waiting, 0);
    free(g);
    stop(&b);
}

/* Names whose servers never answer must not slow down the others, nor make libunbound give up
 * on the forwarder. */
static void slow_beside_good(void)
{
    enum { N = 150 };
    static struct got g[N];
    struct dns_resolver_params p = quick();
    struct bench b;
    int left = N;
    p.deadline_ms = 6000;
    start_p(&b, "good.test 0 A 127.0.0.1\n", DNS_DNSSEC_OFF, 0, p);
    for (int round = 0; round < 2; round++) {
        left = N;
        for (int i = 0; i < N; i++) {
            char line[128], name[64];
            snprintf(name, sizeof name, "s%d-%d.slow.test", round, i);
            snprintf(line, sizeof line, "%s TIMEOUT\n", name);
            add(b.server.zone, line);
            g[i].left = &left;
            ask(&b, &g[i], name, DNS_A);
        }
        int good = 0;
        int64_t t0 = now_ms(), worst = 0;
        while (left && now_ms() < t0 + 600000) {
            int64_t t = now_ms();
            struct got one = ask_now(&b, "good.test", DNS_A);
            good += one.status == DNS_RECORDS;
            if (one.status != DNS_RECORDS)
                TEST_FAIL("good.test beside slow ones: %s", one.text);
            if (now_ms() - t > worst)
                worst = now_ms() - t;
            run_for(&b, 20);
        }
        printf("# beside %d slow questions %d good ones, at most %lld ms each\n", N, good,
               (long long)worst);
        CHECK_INT(left, 0);
        CHECK(good > 2 && worst < p.deadline_ms);
        for (int i = 0; i < N; i++)
            CHECK(g[i].status >= DNS_SERVFAIL);
    }
    stop(&b);
}

/* Nothing but names without an answer for a while: the server is not thought dead for that. */
static void good_after_slow(void)
{
    static struct got g[40];
    struct dns_resolver_params p = quick();
    struct bench b;
    p.deadline_ms = 4000;
    start_p(&b, "", DNS_DNSSEC_OFF, 0, p);
    for (int i = 0; i < 20; i++) {
        char line[64];
        snprintf(line, sizeof line, "s%d.test TIMEOUT\ng%d.test A 127.0.0.1\n", i, i);
        add(b.server.zone, line);
    }
    for (int round = 0; round < 3; round++) {
        int left = 20;
        char name[32];
        int64_t t0 = now_ms();
        for (int i = 0; i < 20; i++) {
            snprintf(name, sizeof name, "s%d.test", i);
            g[i].left = &left;
            ask(&b, &g[i], name, DNS_A);
        }
        while (left && now_ms() < t0 + 60000)
            loop_turn(b.loop, 50);
        CHECK_INT(left, 0);
        printf("# slow ones given up after %lld ms\n", (long long)(now_ms() - t0));
        left = 20;
        for (int i = 20; i < 40; i++) {
            snprintf(name, sizeof name, "g%d.test", i - 20);
            g[i].left = &left;
            ask(&b, &g[i], name, (uint16_t)(round == 1 ? DNS_AAAA : DNS_A));
        }
        t0 = now_ms();
        while (left && now_ms() < t0 + 60000)
            loop_turn(b.loop, 50);
        printf("# good ones answered after %lld ms\n", (long long)(now_ms() - t0));
        for (int i = 20; i < 40; i++)
            if (g[i].status >= DNS_SERVFAIL)
                TEST_FAIL("round %d, g%d: %s", round, i, g[i].text);
        dns_resolver_flush(b.r, NULL, false);
    }
    stop(&b);
}

/* Somebody wants to know it now. What is out meanwhile is asked again, and answered once. */
static void failures_forgotten(void)
{
    struct dns_resolver_params p = quick();
    struct bench b;
    struct got out = { .left = NULL };
    p.deadline_ms = 20000;
    p.cache.fail_ttl_s = 600;
    start_p(&b, zone_text, DNS_DNSSEC_OFF, 0, p);
    CHECK_INT(ask_now(&b, "gw.test", DNS_MX).count, 3);
    CHECK(ask_now(&b, "broken.test", DNS_A).status >= DNS_SERVFAIL);
    ask(&b, &out, "slow.test", DNS_A);
    run_for(&b, 100);
    dns_zone_remove(b.server.zone, SPAN("broken.test"));
    dns_zone_remove(b.server.zone, SPAN("slow.test"));
    add(b.server.zone, "broken.test A 127.0.0.1\nslow.test A 127.0.0.2\n");
    CHECK(!out.done && ask_now(&b, "broken.test", DNS_A).status >= DNS_SERVFAIL);
    dns_resolver_forget_failed(b.r);
    CHECK(wait_for(&b, &out.done, 60000) && strcmp(out.text, "127.0.0.2") == 0);
    CHECK(strcmp(ask_now(&b, "broken.test", DNS_A).text, "127.0.0.1") == 0);
    CHECK(ask_now(&b, "gw.test", DNS_MX).cached);
    unsigned asked = b.server.asked;
    dns_resolver_forget_failed(b.r); /* nothing has */
    CHECK(ask_now(&b, "broken.test", DNS_A).cached);
    CHECK_INT(b.server.asked, asked);
    stop(&b);
}

static void dead_servers(void)
{
    struct dns_resolver_params p = quick();
    struct bench b;
    p.deadline_ms = 10000;
    start_p(&b, zone_text, DNS_DNSSEC_OFF, 1, p); /* the first of two is dead */
    int64_t t0 = now_ms();
    for (int i = 0; i < 20; i++) {
        char line[128], name[64];
        snprintf(name, sizeof name, "d%d.test", i);
        snprintf(line, sizeof line, "%s A 127.0.0.1\n", name);
        add(b.server.zone, line);
        struct got g = ask_now(&b, name, DNS_A);
        if (g.status != DNS_RECORDS)
            TEST_FAIL("%s: %s", name, g.text);
    }
    printf("# with one of two servers dead: 20 questions in %lld ms\n", (long long)(now_ms() - t0));
    stop(&b);
    struct netaddr nobody;
    struct err e;
    netaddr_parse(SPAN("127.0.0.1:9"), 53, &nobody, NULL);
    start(&b, zone_text);
    dns_resolver_free(&b.r);
    dns_engine_free(&b.engine);
    b.engine = dns_engine_new(b.loop, &(struct dns_engine_params){ .servers = &nobody,
                              .server_count = 1, .dnssec = DNS_DNSSEC_OFF }, &e);
    p = quick();
    b.r = dns_resolver_new(b.loop, &p, dns_engine_backend(b.engine));
    t0 = now_ms();
    CHECK(ask_now(&b, "gw.test", DNS_MX).status >= DNS_SERVFAIL);
    CHECK(now_ms() - t0 < 30000);
    stop(&b);
}

/* auto: an unsigned path is found out once, said once, and answers come all the same. */
static void dnssec_auto(void)
{
    struct bench b;
    start_p(&b, zone_text, DNS_DNSSEC_AUTO, 0, quick());
    int64_t t0 = now_ms();
    struct got g = ask_now(&b, "gw.test", DNS_MX);
    CHECK_INT(g.count, 3);
    CHECK(b.said && !b.validating && b.why[0]);
    printf("# auto found out in %lld ms: %s\n", (long long)(now_ms() - t0), b.why);
    CHECK(!dns_engine_validating(b.engine));
    b.said = false;
    CHECK_INT(ask_now(&b, "nx.test", DNS_MX).status, DNS_NXDOMAIN);
    CHECK(!b.said);
    stop(&b);
    start_p(&b, zone_text, DNS_DNSSEC_ON, 0, quick());
    g = ask_now(&b, "gw.test", DNS_MX); /* unsigned where it must not be: not believed */
    CHECK(g.status >= DNS_SERVFAIL);
    stop(&b);
    /* the probe is out when everything ends */
    start_p(&b, zone_text, DNS_DNSSEC_AUTO, 0, quick());
    ask(&b, &g, "gw.test", DNS_MX);
    loop_turn(b.loop, 0);
    dns_ask_cancel(&g.ask);
    stop(&b);
    struct err e = { "" };
    struct netaddr s;
    struct loop *l = loop_new();
    netaddr_parse(SPAN("127.0.0.1:9"), 53, &s, NULL);
    CHECK(!dns_engine_new(l, &(struct dns_engine_params){ .servers = &s, .server_count = 1,
                          .dnssec = DNS_DNSSEC_ON, .trust_anchor = "/nonexistent/key" }, &e));
    CHECK(strstr(e.text, "/nonexistent/key"));
    loop_free(&l);
}

static void ends_early(void)
{
    static struct got g[20];
    struct bench b;
    start(&b, zone_text);
    for (int i = 0; i < 20; i++) {
        g[i].left = NULL;
        ask(&b, &g[i], i % 2 ? "slow.test" : "gw.test", (uint16_t)(DNS_A + i));
    }
    loop_turn(b.loop, 0);
    loop_turn(b.loop, 0);
    for (int i = 0; i < 20; i++)
        dns_ask_cancel(&g[i].ask);
    /* a new backend in mid-flight: what is out is asked again there */
    struct got again = { .left = NULL };
    ask(&b, &again, "implicit.test", DNS_A);
    loop_turn(b.loop, 0);
    dns_resolver_use(b.r, dns_zone_backend(b.server.zone));
    CHECK(wait_for(&b, &again.done, 60000));
    CHECK(again.status == DNS_RECORDS);
    dns_resolver_use(b.r, dns_engine_backend(b.engine));
    stop(&b);
}

/* --- a whole next hop --- */

struct plan_got {
    bool done;
    char text[2000];
    struct dns_lookup *l;
};

static void on_plan(void *ctx, const struct dns_plan *plan)
{
    struct plan_got *g = ctx;
    struct buf b;
    buf_init(&b, sizeof g->text - 1);
    dns_plan_text(&b, plan);
    snprintf(g->text, sizeof g->text, "%s", buf_cstr(&b));
    buf_free(&b);
    g->done = true;
}

static bool own(void *ctx, const struct netaddr *a)
{
    (void)ctx;
    return a->family == NETADDR_V4 && a->ip[3] == 99 && a->port == 25;
}

static void look(struct bench *b, struct plan_got *g, const char *text)
{
    struct dns_hop hops[DNS_HOPS_MAX];
    struct dns_mx_params p = { .port = 25, .is_own = own, .seed = 3 };
    size_t n;
    struct err e;
    *g = (struct plan_got){ .done = false };
    MUST(dns_hops_parse(span_str(text), hops, &n, &e));
    g->l = dns_lookup_start(b->r, &p, hops, n, on_plan, g);
}

static void lookups(void)
{
    static const struct {
        const char *hop, *want;
    } cases[] = {
        { "null.test", "5.1.10 null.test does not accept mail (null MX)\n" },
        { "implicit.test", "0 implicit.test 127.0.0.14:25\n" },
        { "own.test", "10 mx1.gw.test [::1]:25\n10 mx1.gw.test 127.0.0.11:25\n" },
        { "self.test", "5.3.5 mail loops back to me (me.test is one of our own listeners)\n" },
        { "self.test:26", "10 me.test 127.0.0.99:26\n" },
        { "nx.test", "5.1.2 Host unknown (Name server: nx.test: host not found)\n" },
        { "nodata.test", "5.4.4 nodata.test has neither MX nor address\n" },
        { "broken.test", "4.4.3 Name server: broken.test: host name lookup failure "
                         "(MX: no usable answer from 127.0.0.1:" },
        { "slow.test", "4.4.3 Name server: slow.test: host name lookup failure (MX: no " },
        { "[mx2.gw.test]:2600", "0 mx2.gw.test 127.0.0.12:2600\n" },
        { "[127.0.0.1]:2600", "0 [127.0.0.1] 127.0.0.1:2600\n" },
    };
    struct bench b;
    struct plan_got g;
    start(&b, zone_text);
    for (int round = 0; round < 2; round++) /* asked, then from the cache */
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            look(&b, &g, cases[i].hop);
            CHECK(!g.done); /* never before the start returns */
            CHECK(wait_for(&b, &g.done, 60000));
            if (strncmp(g.text, cases[i].want, strlen(cases[i].want)) != 0)
                TEST_FAIL("%s: %s", cases[i].hop, g.text);
        }
    unsigned asked = b.server.asked;
    look(&b, &g, "alias.test");
    CHECK(wait_for(&b, &g.done, 60000));
    CHECK(strstr(g.text, "20 mx3.gw.test 127.0.0.13:25\n"));
    CHECK(b.server.asked > asked);
    asked = b.server.asked;
    look(&b, &g, "alias.test");
    CHECK(wait_for(&b, &g.done, 60000));
    CHECK_INT(b.server.asked, asked);
    look(&b, &g, "nx2.test");
    loop_turn(b.loop, 0);
    dns_lookup_cancel(&g.l);
    look(&b, &g, "alias.test");
    dns_lookup_cancel(&g.l);
    run_for(&b, 100);
    CHECK(!g.done);
    stop(&b);
}

static void line_is_bounded(void)
{
    static struct got g[20];
    struct dns_resolver_params p = { .deadline_ms = 300, .max_out = 4, .max_waiting = 8 };
    struct bench b = { .loop = loop_new() };
    struct dns_zone *z = dns_zone_new();
    add(z, "x.test TIMEOUT\nfast.test A 127.0.0.1\n");
    b.r = dns_resolver_new(b.loop, &p, dns_zone_backend(z));
    CHECK(ask_now(&b, "fast.test", DNS_A).status == DNS_RECORDS);
    int left = 20;
    for (int i = 0; i < 20; i++) {
        g[i].left = &left;
        ask(&b, &g[i], "x.test", (uint16_t)(i + 1));
    }
    loop_turn(b.loop, 0);
    CHECK_INT(left, 12); /* beyond 4 out and 8 in line: answered at once */
    CHECK_INT(dns_resolver_stats(b.r).refused, 8);
    CHECK_INT(dns_resolver_stats(b.r).out, 4);
    CHECK(ask_now(&b, "fast.test", DNS_A).cached); /* a full line keeps nobody from the cache */
    for (int64_t end = now_ms() + 60000; left && now_ms() < end;)
        loop_turn(b.loop, 50);
    CHECK_INT(left, 0);
    for (int i = 0; i < 20; i++)
        CHECK_INT(g[i].status, DNS_TIMEOUT);
    dns_resolver_free(&b.r);
    dns_zone_free(&z);
    loop_free(&b.loop);
}

static void resolv_conf(void)
{
    struct netaddr s[DNS_SERVERS_MAX];
    static const char text[] = "# x\nsearch a.b\nnameserver 192.0.2.1\n  nameserver\t2001:db8::1 \n"
                               "nameserver fe80::1%eth0\noptions ndots:5\nnameserver nonsense\n"
                               "nameserverx 1.2.3.4";
    CHECK_INT(dns_servers_from_resolv_conf(span_str(text), s), 2);
    CHECK(s[0].family == NETADDR_V4 && s[0].port == 53 && s[1].family == NETADDR_V6);
    CHECK_INT(dns_servers_from_resolv_conf(SPAN(""), s), 1);
    CHECK(netaddr_is_loopback(&s[0]));
    struct err e;
    size_t n = 0;
    CHECK(dns_servers_read("/nonexistent/resolv.conf", s, &n, &e) && n == 1);
    CHECK(!dns_servers_read("/tmp", s, &n, &e));
}

static const struct test tests[] = {
    TEST(answers), TEST(ttl_is_obeyed), TEST(truncation), TEST(asked_once), TEST(many),
    TEST(slow_beside_good), TEST(good_after_slow), TEST(dead_servers), TEST(dnssec_auto),
    TEST(ends_early), TEST(failures_forgotten), TEST(lookups), TEST(line_is_bounded),
    TEST(resolv_conf),
};
TEST_MAIN(tests)
