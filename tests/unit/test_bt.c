/* bt: address test mode. The two traces of the posts to the letter, and the result of every form
 * of address and table value that sendmail was seen to give (user names changed). */
#include "test.h"

#include "bt/bt.h"

struct row {
    const char *table, *key, *value;
};

struct stage {
    struct bt t;
    const struct row *rows;
    size_t n;
    struct buf out;
};

static struct stage stage;

static bool has(void *ctx, const char *table)
{
    (void)ctx;
    return strcmp(table, "genericstable") != 0;
}

static int find(void *ctx, const char *table, struct span key, struct span *value_r)
{
    struct stage *s = ctx;
    for (size_t i = 0; i < s->n; i++) {
        if (strcmp(s->rows[i].table, table) == 0 && span_eq(span_str(s->rows[i].key), key)) {
            *value_r = span_str(s->rows[i].value);
            return 1;
        }
    }
    return 0;
}

static enum bt_canon canon(void *ctx, struct span name, struct span *canon_r)
{
    (void)ctx;
    *canon_r = span_eq(name, SPAN("paladinny.com")) ? SPAN("paladinny.no-ip.biz") : name;
    if (span_eq(name, SPAN("servfail.test")))
        return BT_CANON_LATER;
    return span_ends(name, SPAN("nx.test")) || ascii_isdigit(name.p[name.n - 1])
               ? BT_CANON_UNKNOWN
               : BT_CANON_GOOD;
}

static bool is_local(void *ctx, struct span domain)
{
    (void)ctx;
    return span_eq(domain, SPAN("drj.com")) || span_eq(domain, SPAN("drjemgw2.drj.com")) ||
           span_eq(domain, SPAN("drjemgw2")) || span_eq(domain, SPAN("[127.0.0.20]"));
}

static bool is_virtual(void *ctx, struct span domain)
{
    (void)ctx;
    return span_eq(domain, SPAN("virt.test"));
}

static struct span rewrite(void *ctx, bool header, bool sender, struct span addr)
{
    (void)ctx;
    (void)header;
    (void)sender;
    return addr;
}

static const struct row table[] = {
    { "mailertable", ".wild.test", "relay:[10.0.0.1]" },
    { "mailertable", ".part.test", "relay:%1.inner.test" },
    { "mailertable", "brack.test", "relay:[h1.test]:[h2.test]" },
    { "mailertable", "loc.test", "local:root" },
    { "mailertable", "same.test", "local:" },
    { "mailertable", "err.test", "error:5.7.1:550 Mail to this domain is prohibited" },
    { "mailertable", "pm.test", "esmtp:postmaster@[h.test]" },
    { "mailertable", "bare.test", "hostonly" },
    { "smarttable", "@aicpa.org", "relay:[127.0.0.2]" },
    { "smarttable", "vip@corp.test", "relayhost.test" },
    { "virtusertable", "info@virt.test", "root" },
    { "virtusertable", "chain@virt.test", "info@virt.test" },
    { "virtusertable", "gone@virt.test", "error:nouser 550 No such user here" },
    { "virtusertable", "@virt.test", "%1@drjemgw2.drj.com" },
};

static void begin(void)
{
    stage = (struct stage){ .rows = table, .n = sizeof table / sizeof *table };
    buf_init(&stage.out, 1 << 20);
    stage.t = (struct bt){
        .world = { has, find, canon, is_local, is_virtual, rewrite, &stage },
        .arena = arena_new(4 << 20), .out = &stage.out, .hostname = SPAN("drjemgw2.drj.com"),
    };
}

static void end(void)
{
    arena_free(&stage.t.arena);
    buf_free(&stage.out);
}

/* The whole session of "RULESETS ADDRESS": the trace stays in stage.out. */
static struct toks run(const char *sets, const char *addr)
{
    struct toks at = toks_of(stage.t.arena, span_str(addr));
    struct span rest = span_str(sets);
    while (rest.n) {
        struct span name = span_to(rest, span_find(rest, ','));
        rest = span_from(rest, name.n + 1);
        bt_rules(&stage.t, name, at, &at);
    }
    return at;
}

static void post_trace(const char *addr, const char *const *lines)
{
    struct buf want;
    begin();
    buf_init(&want, 1 << 16);
    for (; *lines; lines++) {
        buf_putz(&want, *lines);
        buf_putc(&want, '\n');
    }
    run("3,0", addr);
    if (!span_eq(buf_span(&want), buf_span(&stage.out)))
        printf("# %s\n", buf_cstr(&stage.out));
    CHECK_SPAN(buf_span(&stage.out), buf_span(&want));
    buf_free(&want);
    end();
}

static void gmail(void)
{
    static const char *const lines[] = {
        "canonify           input: test @ gmail . com",
        "Canonify2          input: test < @ gmail . com >",
        "Canonify2        returns: test < @ gmail . com . >",
        "canonify         returns: test < @ gmail . com . >",
        "parse              input: test < @ gmail . com . >",
        "Parse0             input: test < @ gmail . com . >",
        "Parse0           returns: test < @ gmail . com . >",
        "ParseLocal         input: test < @ gmail . com . >",
        "ParseLocal       returns: test < @ gmail . com . >",
        "Parse1             input: test < @ gmail . com . >",
        "Mailertable        input: < gmail . com > test < @ gmail . com . >",
        "Mailertable        input: gmail . < com > test < @ gmail . com . >",
        "Mailertable      returns: test < @ gmail . com . >",
        "Mailertable      returns: test < @ gmail . com . >",
        "SmartTable         input: test < @ gmail . com . >",
        "SmartTable       returns: test < @ gmail . com . >",
        "MailerToTriple     input: < > test < @ gmail . com . >",
        "MailerToTriple   returns: test < @ gmail . com . >",
        "Parse1           returns: $# esmtp $@ gmail . com . $: test < @ gmail . com . >",
        "parse            returns: $# esmtp $@ gmail . com . $: test < @ gmail . com . >",
        NULL,
    };
    post_trace("test@gmail.com", lines);
}

static void paladinny(void)
{
    static const char *const lines[] = {
        "canonify           input: test @ paladinny . com",
        "Canonify2          input: test < @ paladinny . com >",
        "Canonify2        returns: test < @ paladinny . no-ip . biz . >",
        "canonify         returns: test < @ paladinny . no-ip . biz . >",
        "parse              input: test < @ paladinny . no-ip . biz . >",
        "Parse0             input: test < @ paladinny . no-ip . biz . >",
        "Parse0           returns: test < @ paladinny . no-ip . biz . >",
        "ParseLocal         input: test < @ paladinny . no-ip . biz . >",
        "ParseLocal       returns: test < @ paladinny . no-ip . biz . >",
        "Parse1             input: test < @ paladinny . no-ip . biz . >",
        "Mailertable        input: < paladinny . no-ip . biz > test < @ paladinny . no-ip . "
        "biz . >",
        "Mailertable        input: paladinny . < no-ip . biz > test < @ paladinny . no-ip . "
        "biz . >",
        "Mailertable        input: paladinny . no-ip . < biz > test < @ paladinny . no-ip . "
        "biz . >",
        "Mailertable      returns: test < @ paladinny . no-ip . biz . >",
        "Mailertable      returns: test < @ paladinny . no-ip . biz . >",
        "Mailertable      returns: test < @ paladinny . no-ip . biz . >",
        "SmartTable         input: test < @ paladinny . no-ip . biz . >",
        "SmartTable       returns: test < @ paladinny . no-ip . biz . >",
        "MailerToTriple     input: < > test < @ paladinny . no-ip . biz . >",
        "MailerToTriple   returns: test < @ paladinny . no-ip . biz . >",
        "Parse1           returns: $# esmtp $@ paladinny . no-ip . biz . $: "
        "test < @ paladinny . no-ip . biz . >",
        "parse            returns: $# esmtp $@ paladinny . no-ip . biz . $: "
        "test < @ paladinny . no-ip . biz . >",
        NULL,
    };
    post_trace("test@paladinny.com", lines);
}

static bool said(const char *text) { return strstr(buf_cstr(&stage.out), text) != NULL; }

static void smart_table(void)
{
    begin();
    stage.t.sender = SPAN("test@AICPA.org");
    run("3,0", "user@gmail.com");
    CHECK(said("SmartTable         input: user < @ gmail . com . >\n"
               "MailerToTriple     input: < relay : [ 127 . 0 . 0 . 2 ] > user < @ gmail . com "
               ". >\n"
               "MailerToTriple   returns: $# relay $@ [ 127 . 0 . 0 . 2 ] $: user < @ gmail . "
               "com . >\n"
               "SmartTable       returns: $# relay $@ [ 127 . 0 . 0 . 2 ] $: user < @ gmail . "
               "com . >\n"
               "Parse1           returns: $# relay $@ [ 127 . 0 . 0 . 2 ] $: user < @ gmail . "
               "com . >\n"));
    end();
}

static void results(void)
{
    static const struct {
        const char *addr, *result;
    } cases[] = {
        { "root", "$# local $: root" },
        { "root@drj.com", "$# local $: root" },
        { "root@localhost", "$# local $: root" },
        { "root@[127.0.0.20]", "$# local $: root" },
        { "root@drjemgw2", "$# local $: root" },
        { "root+detail@drj.com", "$# local $: root + detail" },
        { "nosuchuser", "$# local $: nosuchuser" },
        { "user%gmail.com@drj.com", "$# esmtp $@ gmail . com . $: user < @ gmail . com . >" },
        { "user%gmail.com", "$# esmtp $@ gmail . com . $: user < @ gmail . com . >" },
        { "@drj.com:user@gmail.com", "$# esmtp $@ gmail . com . $: user < @ gmail . com . >" },
        { "<@good.test:user@gmail.com>", "$# esmtp $@ gmail . com . $: user < @ gmail . com . >" },
        { "host!user", "$# esmtp $@ host . UUCP . $: user < @ host . UUCP . >" },
        { "host!user@gmail.com", "$# esmtp $@ gmail . com . $: host ! user < @ gmail . com . >" },
        { "user@gmail.com.", "$# esmtp $@ gmail . com . $: user < @ gmail . com . >" },
        { "User@GMAIL.COM", "$# esmtp $@ GMAIL . COM . $: User < @ GMAIL . COM . >" },
        { "\"John Doe\" <user@gmail.com>",
          "$# esmtp $@ gmail . com . $: user < @ gmail . com . >" },
        { "\"quoted user\"@gmail.com",
          "$# esmtp $@ gmail . com . $: \"quoted user\" < @ gmail . com . >" },
        { "user@127.0.0.38", "$# esmtp $@ 127 . 0 . 0 . 38 $: user < @ 127 . 0 . 0 . 38 >" },
        { "user@", "$# error $@ 5 . 1 . 3 $: \"553 Hostname required\"" },
        { "@gmail.com", "$# error $@ 5 . 1 . 3 $: \"553 User address required\"" },
        { "user@@gmail.com", "$# error $@ 5 . 1 . 3 $: \"553 Invalid route address\"" },
        { "user@gmail.com@drj.com", "$# error $@ 5 . 1 . 3 $: \"553 Invalid route address\"" },
        { "user@gmail..com", "$# error $@ 5 . 1 . 2 $: \"553 Invalid host name\"" },
        { "joe@x.REDIRECT",
          "$# error $@ 5 . 1 . 1 $: \"551 User has moved; please try \" < joe @ x >" },
        { "<>", "$# local $: < @ >" },
        { "u@nx.test", "$# esmtp $@ nx . test $: u < @ nx . test >" },
        { "u@a.b.wild.test", "$# relay $@ [ 10 . 0 . 0 . 1 ] $: u < @ a . b . wild . test . >" },
        { "u@wild.test", "$# esmtp $@ wild . test . $: u < @ wild . test . >" },
        { "u@a.b.part.test", "$# relay $@ a . b . inner . test $: u < @ a . b . part . test . >" },
        { "u@brack.test",
          "$# relay $@ [ h1 . test ] : [ h2 . test ] $: u < @ brack . test . >" },
        { "u@loc.test", "$# local $@ u @ loc . test $: root" },
        { "u@same.test", "$# local $@ u @ same . test $: u" },
        { "u@err.test", "$# error $@ 5 . 7 . 1 $: 550 Mail to this domain is prohibited" },
        { "u@pm.test", "$# esmtp $@ [ h . test ] $: postmaster < @ [ h . test ] >" },
        { "u@bare.test", "$# esmtp $@ bare . test . $: u < @ bare . test . >" },
        { "u@[10.9.8.7]", "$# esmtp $@ [ 10 . 9 . 8 . 7 ] $: u < @ [ 10 . 9 . 8 . 7 ] >" },
        { "chain@virt.test", "$# local $: root" },
        { "anyone@virt.test", "$# local $: anyone" },
        { "any+plus@virt.test", "$# local $: any" },
        { "gone@virt.test", "$# error $@ nouser $: 550 No such user here" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf got;
        begin();
        buf_init(&got, 4096);
        toks_put(&got, run("3,0", cases[i].addr));
        bool same = span_eq(span_from(buf_span(&got), 1), span_str(cases[i].result));
        if (!same)
            TEST_FAIL("%s:%s\nwant %s\n%s", cases[i].addr, buf_cstr(&got), cases[i].result,
                      buf_cstr(&stage.out));
        buf_free(&got);
        end();
    }
}

static void later_and_names(void)
{
    struct toks out;
    begin();
    run("3", "u@servfail.test");
    CHECK(stage.t.later && said("canonify         returns: u < @ servfail . test >\n"));
    CHECK(!bt_rules(&stage.t, SPAN("nosuch"), toks_of(stage.t.arena, SPAN("x")), &out));
    CHECK(bt_rules(&stage.t, SPAN("MailerToTriple"),
                   toks_of(stage.t.arena, SPAN("< relay : h > u < @ d >")), &out));
    CHECK(said("MailerToTriple   returns: $# relay $@ h $: u < @ d >\n"));
    end();
}

/* Rules that lead back to themselves end. */
static void loops_end(void)
{
    static const struct row loop[] = { { "virtusertable", "a@virt.test", "b@virt.test" },
                                       { "virtusertable", "b@virt.test", "a@virt.test" } };
    begin();
    stage.rows = loop;
    stage.n = 2;
    run("3,0", "a@virt.test");
    CHECK(said("excessive recursion"));
    end();
}

/* What the admin of the posts came to: the canonical name as the key. And a smart host. */
static void canonical_key(void)
{
    static const struct row key[] = { { "mailertable", "paladinny.no-ip.biz",
                                        "relay:barracuda.cblconsulting.com" } };
    begin();
    stage.rows = key;
    stage.n = 1;
    run("3,0", "test@paladinny.com");
    CHECK(said("parse            returns: $# relay $@ barracuda . cblconsulting . com "
               "$: test < @ paladinny . no-ip . biz . >\n"));
    CHECK(!said("Mailertable") && !said("SmartTable"));
    stage.t.smart_host = SPAN("[10.0.0.1]:2525");
    run("3,0", "u@gmail.com");
    CHECK(said("MailerToTriple     input: < [ 10 . 0 . 0 . 1 ] : 2525 > u < @ gmail . com . >\n"));
    CHECK(said("Parse1           returns: $# relay $@ [ 10 . 0 . 0 . 1 ] : 2525 "
               "$: u < @ gmail . com . >\n"));
    end();
}

static void mailer_rules(void)
{
    begin();
    struct toks c = run("3", "user@gmail.com");
    struct toks out = bt_mailer_rules(&stage.t, SPAN("esmtp"), false, false, c);
    CHECK_SPAN(toks_join(stage.t.arena, out), SPAN("user@gmail.com"));
    CHECK(said("EnvToSMTP          input: user < @ gmail . com . >\n"));
    CHECK(said("final            returns: user @ gmail . com\n"));
    out = bt_mailer_rules(&stage.t, SPAN("esmtp"), false, false, run("3", "root"));
    CHECK_SPAN(toks_join(stage.t.arena, out), SPAN("root@drjemgw2.drj.com"));
    out = bt_mailer_rules(&stage.t, SPAN("local"), false, false, run("3", "root@drj.com"));
    CHECK_SPAN(toks_join(stage.t.arena, out), SPAN("root"));
    end();
}

static const struct test tests[] = { TEST(gmail),     TEST(paladinny),       TEST(smart_table),
                                     TEST(results),   TEST(later_and_names), TEST(loops_end),
                                     TEST(mailer_rules),
                                     TEST(canonical_key) };
TEST_MAIN(tests)
