/* Where an address goes at an attempt: mailertable with canonical names, smarttable, own
 * listeners, what was released; and sendmail's tables of results, row by row. */
#include "test.h"

#include "base/must.h"
#include "route/route.h"

static struct arena *arena;

#define N(list) (sizeof list / sizeof *(list))

static const struct span local[] = { SPAN("drj.com"), SPAN("localhost") };

static struct map *open_map(enum route_table which, const char *text)
{
    struct map_report r;
    struct buf spec;
    if (!text)
        return NULL;
    map_report_init(&r);
    buf_init(&spec, 1 << 16);
    buf_printf(&spec, "inline:%s", text);
    struct map *m = route_open_table(which, buf_span(&spec), 7, &r);
    if (!m)
        printf("not ok map: %s\n", buf_cstr(&r.lines));
    MUST(m);
    buf_free(&spec);
    map_report_free(&r);
    return m;
}

static struct route_tables *make(const char *mailertable, const char *smarttable,
                                 const char *smart_host, const struct config *cfg)
{
    struct map_report r;
    struct route_params p = {
        .mailertable = open_map(ROUTE_MAILERTABLE, mailertable),
        .smarttable = open_map(ROUTE_SMARTTABLE, smarttable), .smart_host = span_str(smart_host),
        .local = local, .local_count = N(local), .hostname = SPAN("drjemgw2.drj.com"),
        .config = cfg,
    };
    map_report_init(&r);
    struct route_tables *t = route_tables_new(&p, &r);
    MUST(t);
    map_report_free(&r);
    return t;
}

static void drop(struct route_tables **t)
{
    for (int i = 0; i < ROUTE_TABLES; i++) {
        struct map *m = route_map(*t, (enum route_table)i);
        map_free(&m);
    }
    route_tables_free(t);
}

/* "relay:[h] by mailertable k", "?" when the canonical name is needed. */
static const char *where(const struct route_tables *t, const char *sender, const char *rcpt,
                         const char *canon, bool released, struct trail *trail)
{
    static char text[2048];
    struct route_dest d;
    struct buf b;
    struct route_ask ask = { .sender = span_str(sender), .rcpt = span_str(rcpt),
                             .released = released, .canon_known = canon != NULL,
                             .canon = span_str(canon) };
    buf_init(&b, sizeof text - 1);
    if (!route_find(t, &ask, arena, trail, &d)) {
        buf_putz(&b, "?");
    } else {
        route_dest_put_value(&b, &d);
        buf_printf(&b, " by %.*s", SPAN_ARG(d.matched));
        if (d.own_listener.n)
            buf_printf(&b, " own %.*s %u", SPAN_ARG(d.own_listener), d.own_delivery);
        struct buf wire;
        struct route_dest back;
        buf_init(&wire, 1 << 16);
        route_dest_put(&wire, &d);
        struct wire w = wire_reader(buf_span(&wire));
        MUST(route_dest_get(&w, arena, &back) && wire_done(&w));
        MUST(back.mailer == d.mailer && span_eq(back.queue, d.queue) &&
              span_eq(back.detail, d.detail) && span_eq(back.path, d.path) &&
              span_eq(back.own_listener, d.own_listener) && back.own_delivery == d.own_delivery);
        buf_free(&wire);
    }
    snprintf(text, sizeof text, "%s", buf_cstr(&b));
    buf_free(&b);
    arena_reset(arena);
    return text;
}

#define WANT(want, ...)                                                                            \
    do {                                                                                           \
        const char *got_ = where(t, __VA_ARGS__, NULL);                                            \
        if (strcmp(got_, want) != 0)                                                               \
            TEST_FAIL("\"%s\", want \"%s\"", got_, want);                                          \
    } while (0)

/* Section by section what sendmail answers for a mailertable value; where it fails or falls
 * silent, our load refuses the value, and says so here. */
static void mailertable_rows(void)
{
    static const struct {
        const char *value, *want; /* NULL: refused at load */
    } rows[] = {
        { "relay:host.dom", "relay:host.dom" },
        { "relay:[host.dom]", "relay:[host.dom]" },
        { "relay:[127.0.0.38]", "relay:[127.0.0.38]" },
        { "relay:[h1]:[h2]", "relay:[h1]:[h2]" },
        { "relay:[h1]:2525:[h2]", "relay:[h1]:2525:[h2]" },
        { "esmtp:h", "esmtp:h" },
        { "smtp:h", "smtp:h" },
        { "smtp8:h", "smtp8:h" },
        { "dsmtp:h", "dsmtp:h" },
        { "lmtp:[h]", "lmtp:[h]:24" },
        { "lmtp:[h]:2003", "lmtp:[h]:2003" },
        { "lmtp:/run/lmtp.sock", "lmtp:/run/lmtp.sock" },
        { "lmtp:unix:/run/lmtp.sock", "lmtp:/run/lmtp.sock" },
        { "esmtp:postmaster@[h]", NULL }, /* the recipient is never replaced */
        { "local:root", "local:root" },
        { "local:root+x", "local:root+x" },
        { "local:", "local:user" },
        { "local:%1", "local:user" },
        { "procmail:/etc/mail/x.rc", NULL },
        { "error:5.7.1:550 text", "error:5.7.1:550 text" },
        { "error:4.3.0:451 text", "error:4.3.0:451 text" },
        { "error:nohost text", "error:5.1.2:550 text" },
        { "discard:x", "discard:" },
        { "hold:until monday", "hold:until monday" },
        { "nosuchmailer:host", NULL },
        { "hostonly", NULL },
        { "relay:", NULL },
    };
    for (size_t i = 0; i < N(rows); i++) {
        struct map_report r;
        char spec[256], want[256];
        map_report_init(&r);
        snprintf(spec, sizeof spec, "inline:k.test %s", rows[i].value);
        struct map *m = route_open_table(ROUTE_MAILERTABLE, span_str(spec), 1, &r);
        if (!m != !rows[i].want || (!m && r.errors != 1))
            TEST_FAIL("%s is %s: %s", rows[i].value, m ? "taken" : "refused",
                      buf_cstr(&r.lines));
        map_report_free(&r);
        map_free(&m);
        if (!rows[i].want)
            continue;
        struct route_tables *t = make(spec + 7, NULL, "", NULL);
        snprintf(want, sizeof want, "%s by mailertable k.test", rows[i].want);
        WANT(want, "s@x", "user@k.test", NULL, false);
        drop(&t);
    }
}

/* Addresses and results; what is dropped on purpose (% and ! routing) is a local name here. */
static void address_rows(void)
{
    static const struct {
        const char *rcpt, *want;
    } rows[] = {
        { "root", "local:root by local" },
        { "root@drj.com", "local:root by local" },
        { "root@localhost", "local:root by local" },
        { "root@[127.0.0.20]", "local:root by local" },
        { "root@drjemgw2.drj.com", "local:root by local" },
        { "root+detail@drj.com", "local:root+detail by local" },
        { "nosuchuser", "local:nosuchuser by local" },
        { "user%gmail.com@drj.com", "local:user%gmail.com by local" },
        { "host!user", "local:host!user by local" },
        { "host!user@gmail.com", "esmtp:gmail.com by mx" },
        { "@drj.com:user@gmail.com", "esmtp:gmail.com by mx" },
        { "user@gmail.com.", "esmtp:gmail.com by mx" },
        { "User@GMAIL.COM", "esmtp:gmail.com by mx" },
        { "\"quoted user\"@gmail.com", "esmtp:gmail.com by mx" },
        { "\"quoted user\"@drj.com", "local:quoted user by local" },
        { "user@127.0.0.38", "esmtp:[127.0.0.38] by mx" },
        { "user@", "error:5.1.3:553 Hostname required by syntax" },
        { "@gmail.com", "error:5.1.3:553 User address required by syntax" },
        { "user@@gmail.com", "error:5.1.3:553 Invalid route address by syntax" },
        { "user@gmail.com@drj.com", "error:5.1.3:553 Invalid route address by syntax" },
        { "user@gmail..com", "error:5.1.2:553 Invalid host name by syntax" },
        { "joe@x.REDIRECT",
          "error:5.1.1:551 User has moved; please try <joe@x> by redirect" },
        { "user@nx.test", "esmtp:nx.test by mx" },
    };
    struct route_tables *t = make(NULL, NULL, "", NULL);
    for (size_t i = 0; i < N(rows); i++)
        WANT(rows[i].want, "s@x", rows[i].rcpt, NULL, false);
    drop(&t);
}

static void smarttable(void)
{
    struct route_tables *t = make(
        "gmail.com relay:[m];closed.test error:5.7.1:550 no",
        "@aicpa.org relay:[127.0.0.2];vip@corp.test relay:[vip];@corp.test relay:[corp];"
        "@ relay:[null];bare relay:[bare];@plain.test relayhost.test;@bad.test error:5.7.1:550 no;"
        "@parked.test hold:look", "", NULL);
    WANT("relay:[127.0.0.2] by smarttable @aicpa.org", "x@AICPA.org", "u@yahoo.com", "", false);
    WANT("relay:[m] by mailertable gmail.com", "x@aicpa.org", "u@gmail.com", "", false);
    WANT("local:root by local", "x@aicpa.org", "root@drj.com", "", false);
    WANT("esmtp:[192.0.2.1] by literal", "x@aicpa.org", "u@[192.0.2.1]", "", false);
    WANT("relay:[127.0.0.2] by smarttable @aicpa.org", "x@aicpa.org", "u@nx.test", "", false);
    WANT("relay:[vip] by smarttable vip@corp.test", "vip@corp.test", "u@yahoo.com", "", false);
    WANT("relay:[corp] by smarttable @corp.test", "vip+tag@corp.test", "u@yahoo.com", "", false);
    WANT("esmtp:yahoo.com by mx", "a@sub.corp.test", "u@yahoo.com", "", false);
    WANT("relay:[null] by smarttable @", "", "u@yahoo.com", "", false);
    WANT("relay:[bare] by smarttable bare", "bare", "u@yahoo.com", "", false);
    WANT("relay:relayhost.test by smarttable @plain.test", "x@plain.test", "u@yahoo.com", "",
         false);
    WANT("error:5.7.1:550 no by smarttable @bad.test", "x@bad.test", "u@yahoo.com", "", false);
    WANT("hold:look by smarttable @parked.test", "x@parked.test", "u@yahoo.com", "", false);
    WANT("esmtp:yahoo.com by mx", "x@parked.test", "u@yahoo.com", "", true);
    drop(&t);
    t = make(". relay:[all]", "@aicpa.org relay:[127.0.0.2]", "", NULL);
    WANT("relay:[all] by mailertable .", "x@aicpa.org", "u@yahoo.com", NULL, false);
    drop(&t);
    t = make(NULL, "@aicpa.org relay:[127.0.0.2]", "[smart]", NULL);
    WANT("relay:[127.0.0.2] by smarttable @aicpa.org", "x@aicpa.org", "u@yahoo.com", NULL, false);
    WANT("relay:[smart] by smart_host", "x@other.org", "u@yahoo.com", NULL, false);
    drop(&t);
}

/* paladinny.com, a CNAME of paladinny.no-ip.biz: both keys work, the one as written first. */
static void canonical(void)
{
    struct route_tables *t = make("paladinny.com relay:[as-written]", NULL, "", NULL);
    WANT("relay:[as-written] by mailertable paladinny.com", "s@x", "t@paladinny.com", NULL, false);
    WANT("relay:[as-written] by mailertable paladinny.com", "s@x", "t@paladinny.com",
         "paladinny.no-ip.biz", false);
    WANT("?", "s@x", "t@gmail.com", NULL, false);
    WANT("esmtp:gmail.com by mx", "s@x", "t@gmail.com", "", false);
    WANT("local:t by local", "s@x", "t@drj.com", NULL, false);
    WANT("esmtp:[192.0.2.1] by literal", "s@x", "t@[192.0.2.1]", NULL, false);
    drop(&t);
    t = make("paladinny.no-ip.biz relay:[canonical];.deep.test relay:[deep];. relay:[all]", NULL,
             "", NULL);
    WANT("?", "s@x", "t@paladinny.com", NULL, false);
    WANT("relay:[canonical] by mailertable paladinny.no-ip.biz", "s@x", "t@paladinny.com",
         "Paladinny.no-ip.biz.", false);
    WANT("relay:[deep] by mailertable .deep.test", "s@x", "t@paladinny.com", "a.deep.test", false);
    WANT("relay:[all] by mailertable .", "s@x", "t@paladinny.com", "other.test", false);
    WANT("relay:[all] by mailertable .", "s@x", "t@paladinny.com", "", false);
    struct trail *trail = trail_new(64);
    struct route_ask ask = { .sender = SPAN("s@x"), .rcpt = SPAN("t@paladinny.com") };
    struct route_dest d;
    struct buf b;
    buf_init(&b, 4096);
    CHECK(!route_find(t, &ask, arena, trail, &d));
    CHECK_INT(trail_count(trail), 0); /* what is asked again is not told twice */
    ask.canon_known = true;
    ask.canon = SPAN("paladinny.no-ip.biz");
    CHECK(route_find(t, &ask, arena, trail, &d));
    for (size_t i = 0; i < trail_count(trail); i++)
        buf_printf(&b, "%.*s %.*s;", SPAN_ARG(trail_step(trail, i)->what),
                   SPAN_ARG(trail_step(trail, i)->key));
    CHECK_SPAN(buf_span(&b), SPAN("local paladinny.com;mailertable paladinny.com;mailertable .com;"
                                  "canon paladinny.com;mailertable paladinny.no-ip.biz;"
                                  "route t@paladinny.com;"));
    buf_free(&b);
    trail_free(&trail);
    drop(&t);
    t = make(". relay:[all]", NULL, "", NULL); /* nothing to ask DNS for */
    WANT("relay:[all] by mailertable .", "s@x", "t@gmail.com", NULL, false);
    drop(&t);
}

static const char capture_conf[] =
    "hostname = \"mx1.example.net\"\n"
    "listen \"mx\" { address = {\"0.0.0.0:25\", \"10.0.0.9:2525\"} }\n"
    "listen \"capture\" { address = \"127.0.0.2:25\" delivery = hold }\n"
    "listen \"later\" { address = \"127.0.0.3:2500\" delivery = queue_only }\n";

/* The posts' setup: a sender's mail to a capture listener. It is parked, and when it is released
 * it goes where it would have gone. */
static void own_listeners(void)
{
    struct config *cfg;
    struct config_report *report = config_report_new();
    MUST(config_parse(span_str(capture_conf), SPAN("t.conf"), &cfg, report));
    struct route_tables *t = make(
        "later.test relay:[127.0.0.3]:2500;self.test relay:[127.0.0.1];.self.test relay:[hub];"
        "other.test relay:[127.0.0.1]:26;list.test relay:[127.0.0.2]:[h];"
        "lmtp.test lmtp:[127.0.0.1]:25;held.test hold:x;.test relay:[below]",
        "@aicpa.org relay:[127.0.0.2];@any.org relay:[10.0.0.9]:2525", "", cfg);
    WANT("relay:[127.0.0.2] by smarttable @aicpa.org own capture 3", "x@aicpa.org", "u@gmail.com",
         "", false);
    WANT("esmtp:gmail.com by mx", "x@aicpa.org", "u@gmail.com", "", true);
    WANT("relay:[127.0.0.3]:2500 by mailertable later.test own later 1", "s@x", "u@later.test",
         NULL, false);
    WANT("relay:[below] by mailertable .test", "s@x", "u@later.test", NULL, true);
    WANT("relay:[below] by mailertable .test", "s@x", "u@self.test", NULL, false); /* at once */
    WANT("relay:[127.0.0.1]:26 by mailertable other.test", "s@x", "u@other.test", NULL, false);
    WANT("relay:[127.0.0.2]:[h] by mailertable list.test own capture 3", "s@x", "u@list.test",
         NULL, false);
    WANT("lmtp:[127.0.0.1]:25 by mailertable lmtp.test", "s@x", "u@lmtp.test", NULL, false);
    WANT("hold:x by mailertable held.test", "s@x", "u@held.test", NULL, false);
    WANT("relay:[below] by mailertable .test", "s@x", "u@held.test", NULL, true);
    WANT("esmtp:gmail.com by mx", "s@any.org", "u@gmail.com", "", false);
    drop(&t);
    t = make(NULL, NULL, "[127.0.0.2]", cfg);
    WANT("relay:[127.0.0.2] by smart_host own capture 3", "s@x", "u@gmail.com", "", false);
    WANT("esmtp:gmail.com by mx", "s@x", "u@gmail.com", "", true);
    drop(&t);
    config_free(&cfg);
    config_report_free(&report);
}

/* --- the order of the search against a model that is written differently --- */

static uint32_t rnd(uint32_t *state, uint32_t below)
{
    *state = *state * 1664525u + 1013904223u;
    return (*state >> 8) % below;
}

static const char *const names[] = { "a.test", "b.a.test", "c.b.a.test", "d.test", "e.d.test",
                                     "test", "x.c.b.a.test" };
static const char *const senders[] = { "", "u@s.test", "v@s.test", "u@t.test", "w" };

/* All keys in the order of their weight: the best that is in the table wins. */
static const char *model(const char *const *keys, const bool *in, size_t n, const char *name,
                         size_t from)
{
    char best[64] = "";
    size_t best_len = 0;
    static char out[64];
    for (size_t i = 0; i < n; i++) {
        const char *k = keys[i];
        size_t kn = strlen(k), nn = strlen(name);
        if (!in[i])
            continue;
        bool exact = strcmp(k, name) == 0;
        bool below = k[0] == '.' && kn > 1 && nn > kn && strcmp(name + nn - kn, k) == 0;
        size_t weight = exact ? 1000 : below ? kn : strcmp(k, ".") == 0 && !from ? 1 : 0;
        if (weight > best_len) {
            best_len = weight;
            snprintf(best, sizeof best, "%s", k);
        }
    }
    snprintf(out, sizeof out, "%s", best);
    return out;
}

static void search_property(void)
{
    static const char *const keys[] = { "a.test", ".a.test", ".b.a.test", "b.a.test", ".test",
                                        "d.test", ".d.test", ".", "test", ".c.b.a.test" };
    static const char *const smart[] = { "@", "u@s.test", "@s.test", "@t.test", "w" };
    uint32_t state = 42;
    for (int round = 0; round < 400; round++) {
        bool in[N(keys)], sin[N(smart)];
        struct buf m, s;
        buf_init(&m, 4096);
        buf_init(&s, 4096);
        buf_putz(&m, "never.example relay:[n]");
        buf_putz(&s, "@never.example relay:[n]");
        for (size_t i = 0; i < N(keys); i++)
            if ((in[i] = rnd(&state, 3) == 0))
                buf_printf(&m, ";%s relay:[h%zu]", keys[i], i);
        for (size_t i = 0; i < N(smart); i++)
            if ((sin[i] = rnd(&state, 2) == 0))
                buf_printf(&s, ";%s relay:[s%zu]", smart[i], i);
        struct route_tables *t = make(buf_cstr(&m), buf_cstr(&s), "", NULL);
        for (size_t n = 0; n < N(names); n++)
            for (size_t k = 0; k < N(senders); k++) {
                char want[256], rcpt[64];
                const char *hit = model(keys, in, N(keys), names[n], 0);
                const char *at = strchr(senders[k], '@');
                const char *first = senders[k][0] ? senders[k] : "@", *by = NULL;
                for (size_t i = 0; i < N(smart); i++)
                    if (sin[i] && strcmp(smart[i], first) == 0)
                        by = smart[i];
                for (size_t i = 0; i < N(smart) && !by; i++)
                    if (sin[i] && at && strcmp(smart[i], at) == 0)
                        by = smart[i];
                snprintf(rcpt, sizeof rcpt, "u@%s", names[n]);
                if (hit[0])
                    snprintf(want, sizeof want, " by mailertable %s", hit);
                else if (by)
                    snprintf(want, sizeof want, " by smarttable %s", by);
                else
                    snprintf(want, sizeof want, "esmtp:%s by mx", names[n]);
                const char *got = where(t, senders[k], rcpt, "", false, NULL);
                size_t g = strlen(got), wl = strlen(want);
                if (g < wl || strcmp(got + g - wl, want) != 0)
                    TEST_FAIL("%s from %s in \"%s\" and \"%s\": %s, want %s", rcpt, senders[k],
                              buf_cstr(&m), buf_cstr(&s), got, want);
            }
        drop(&t);
        buf_free(&m);
        buf_free(&s);
    }
}

static const struct test tests[] = {
    TEST(mailertable_rows), TEST(address_rows),  TEST(smarttable),
    TEST(canonical),        TEST(own_listeners), TEST(search_property),
};

int main(int argc, char **argv)
{
    arena = arena_new((size_t)1 << 24);
    int rc = test_main(tests, sizeof tests / sizeof *tests, argc, argv);
    arena_free(&arena);
    return rc;
}
