/* Which delivery_rule holds. */
#include "test.h"

#include "config/rules.h"

#include <stdlib.h>

static const char text[] =
    "hostname = \"h\" listen \"mx\" { address = \"1.2.3.4\" }"
    "delivery_rule \"outlook\" { mx = \"*.outlook.example\" }"
    "delivery_rule \"bulk-google\" { sender = \"@.lists.example\" mx = \"*.google.example\" }"
    "delivery_rule \"google\" { mx = {\"*.google.example\", \"g.example\"} }"
    "delivery_rule \"reports\" { sender = \"<>\" domain = \"a.example\" }"
    "delivery_rule \"bulk\" { sender = {\"@.lists.example\", \"ann@x.example\"} }"
    "delivery_rule \"below\" { domain = {\".b.example\", \"[192.0.2.1]\"} }"
    "delivery_rule \"late\" { listener = \"submit\" }"
    "delivery_rule \"one\" { site = \"mx:only.example\" }";

static struct config *conf(void)
{
    struct config *c;
    struct config_report *r = config_report_new();
    if (!config_parse(span_str(text), SPAN("t"), &c, r))
        abort();
    config_report_free(&r);
    return c;
}

static const char *domain = NULL; /* the recipient's, where it is not the next hop's */

static bool holds(const struct config *c, const char *sender, const char *listener,
                  const char *hop, const char *site, const char *classes, const char *name,
                  const char *key)
{
    struct buf b, k;
    buf_init(&b, 4096);
    buf_init(&k, 4096);
    struct span d = span_str(hop), at = span_str(site), to = domain ? span_str(domain) : d;
    config_rules_classes(c, span_str(sender), span_str(listener), to, d, &b);
    uint32_t rule = config_rules_at(c, buf_span(&b), d, at);
    struct span got = rule ? c->rules[rule - 1].name : SPAN("");
    config_rules_put_site(c, rule, at, &k);
    bool good = span_eq(buf_span(&b), span_str(classes)) && span_eq(got, span_str(name)) &&
                span_eq(buf_span(&k), span_str(key)) &&
                span_eq(config_rules_plain_site(buf_span(&k)), at);
    if (!good)
        printf("# classes \"%.*s\", rule \"%.*s\", site \"%.*s\"\n", SPAN_ARG(buf_span(&b)),
               SPAN_ARG(got), SPAN_ARG(buf_span(&k)));
    buf_free(&b);
    buf_free(&k);
    return good;
}

static void the_first_that_holds(void)
{
    struct config *c = conf();
    const char *google = "mx:alt1.google.example,alt2.google.example";
    CHECK(holds(c, "u@x.example", "mx", "c.example", "mx:mx.c.example", "", "", "mx:mx.c.example"));
    CHECK(holds(c, "u@x.example", "mx", "c.example", google, "", "google", google));
    CHECK(holds(c, "u@x.example", "mx", "c.example", "", "", "", ""));
    CHECK(holds(c, "n@a.lists.example", "mx", "c.example", google, "bulk-google,bulk",
                "bulk-google", "mx:alt1.google.example,alt2.google.example by:bulk-google"));
    /* What holds for the whole of a site comes first here: one share of it for all. */
    CHECK(holds(c, "n@a.lists.example", "mx", "c.example", "mx:eu.OUTLOOK.example",
                "bulk-google,bulk", "outlook", "mx:eu.OUTLOOK.example"));
    CHECK(holds(c, "n@a.lists.example", "mx", "c.example", "mx:mx.c.example",
                "bulk-google,bulk", "bulk", "mx:mx.c.example by:bulk"));
    CHECK(holds(c, "n@lists.example", "mx", "c.example", "mx:q.example", "", "", "mx:q.example"));
    CHECK(holds(c, "ANN@X.example", "mx", "c.example", "host:[g.example]:25", "bulk", "google",
                "host:[g.example]:25"));
    CHECK(holds(c, "", "mx", "a.example", "mx:q.example", "reports", "reports",
                "mx:q.example by:reports"));
    CHECK(holds(c, "", "submit", "c.example", "mx:q.example", "late", "late",
                "mx:q.example by:late"));
    /* Nothing behind a rule that holds wherever the mail goes is of interest. */
    CHECK(holds(c, "u@x.example", "submit", "s.b.example", "mx:q.example", "", "below",
                "mx:q.example by:below"));
    CHECK(holds(c, "u@x.example", "mx", "b.example", "mx:only.example", "", "one",
                "mx:only.example"));
    CHECK(holds(c, "u@x.example", "mx", "[192.0.2.1]", "host:[192.0.2.1]", "", "below",
                "host:[192.0.2.1] by:below"));
    config_free(&c);
}

/* A mailertable or a smart host has mail to a domain go elsewhere: its rule holds there. */
static void a_domain_that_goes_elsewhere(void)
{
    struct config *c = conf();
    const char *relay = "host:[relay.example]:25", *google = "mx:g.example";
    domain = "s.b.example";
    CHECK(holds(c, "u@x.example", "mx", "relay.example", relay, "below", "below",
                "host:[relay.example]:25 by:below"));
    CHECK(holds(c, "ann@x.example", "mx", "relay.example", relay, "bulk", "bulk",
                "host:[relay.example]:25 by:bulk"));
    CHECK(holds(c, "u@x.example", "mx", "relay.example", google, "below", "google", google));
    CHECK(holds(c, "u@x.example", "mx", "a.b.example", relay, "", "below",
                "host:[relay.example]:25 by:below"));
    domain = "a.example";
    CHECK(holds(c, "", "mx", "relay.example", relay, "reports", "reports",
                "host:[relay.example]:25 by:reports"));
    CHECK(holds(c, "u@x.example", "mx", "relay.example", relay, "", "", relay));
    domain = "c.example"; /* by the name of its next hop */
    CHECK(holds(c, "u@x.example", "mx", "[192.0.2.1]", "host:[192.0.2.1]", "", "below",
                "host:[192.0.2.1] by:below"));
    domain = NULL;
    config_free(&c);
}

static void patterns_and_rates(void)
{
    const struct { const char *pattern, *text; bool good; } globs[] = {
        { "*", "", true }, { "a*c", "abbc", true }, { "a*c", "abcd", false },
        { "*.x.y", "a.x.x.y", true }, { "*ab*ab", "abab", true }, { "*ab*abc", "abab", false },
        { "A", "a", true }, { "", "a", false }, { "a**", "a", true },
    };
    for (size_t i = 0; i < sizeof globs / sizeof *globs; i++)
        CHECK(config_glob(span_str(globs[i].pattern), span_str(globs[i].text)) == globs[i].good);
    uint32_t n;
    int64_t ms;
    CHECK(config_rate_parse(SPAN("100/m"), &n, &ms) && n == 100 && ms == 60000);
    CHECK(config_rate_parse(SPAN("1/s"), &n, &ms) && n == 1 && ms == 1000);
    CHECK(config_rate_parse(SPAN("7/h"), &n, &ms) && n == 7 && ms == 3600000);
    const char *bad[] = { "", "/s", "0/s", "1/d", "1/", "1", "1/ss", "-1/s", "1000001/s" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(!config_rate_parse(span_str(bad[i]), &n, &ms));
}

/* A sender is no pattern: one that looks like it would match nothing. */
static void senders(void)
{
    static const char *const good[] = { "<>", "ann@x.example", "@x.example", "@.x.example" };
    static const char *const bad[] = { "*@x.example", "ann@*.example", "@*.example", "*", "ann" };
    struct err e;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        CHECK(check_rule_sender(span_str(good[i]), &e));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(!check_rule_sender(span_str(bad[i]), &e));
}

static const struct test tests[] = { TEST(the_first_that_holds), TEST(a_domain_that_goes_elsewhere),
                                    TEST(patterns_and_rates), TEST(senders) };
TEST_MAIN(tests)
