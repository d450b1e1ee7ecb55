/* What is taken in, and what a recipient becomes. */
#include "test.h"

#include "base/must.h"
#include "route/route.h"

static struct arena *arena;

#define N(list) (sizeof list / sizeof *(list))

static const struct span local[] = { SPAN("drj.com"), SPAN("localhost") };
static const struct span from[] = { SPAN("127.0.0.1"), SPAN("10.0.0.0/8") };
static const struct span domains[] = { SPAN("example.net"), SPAN(".example.net"),
                                       SPAN("virt.relayed") };

/* --- the files that lists stand in --- */

static bool read_file(void *ctx, struct span path, struct buf *text, struct err *e)
{
    static const struct {
        const char *path, *text;
    } files[] = {
        { "/lists/sales", "ann@example.net\n# nobody\n\n  bob@example.net, carl@example.net\n" },
        { "/lists/loop", ":include:/lists/loop\nann@example.net\n" },
        { "/lists/loop1", ":include:/lists/loop2\n" },
        { "/lists/loop2", ":include:/lists/loop1\n" },
        { "/lists/bad", "ann@example.net\n|/bin/evil, /etc/passwd\n" },
        { "/lists/nested", ":include:/lists/sales\nstaff\n" },
        { "/lists/empty", "" },
    };
    (void)ctx;
    for (size_t i = 0; i < N(files); i++)
        if (span_eq(path, span_str(files[i].path)))
            return buf_putz(text, files[i].text);
    err_set(e, "is not there");
    return false;
}

static struct map *open_map(enum route_table which, const char *text)
{
    struct map_report r;
    if (!text)
        return NULL;
    map_report_init(&r);
    char *spec = must_calloc(strlen(text) + 16, 1);
    snprintf(spec, strlen(text) + 16, "inline:%s", text);
    struct map *m = route_open_table(which, span_str(spec), 7, &r);
    if (!m)
        printf("not ok map %s: %s\n", route_table_name(which), buf_cstr(&r.lines));
    MUST(m);
    free(spec);
    map_report_free(&r);
    return m;
}

struct texts {
    const char *access, *virtusertable, *aliases, *mailertable, *smarttable, *recipients, *users;
    bool delay_checks, blocklist;
    uint64_t targets;
};

static struct route_tables *tables_of(const struct texts *x)
{
    struct map_report r;
    struct route_params p = {
        .access = open_map(ROUTE_ACCESS, x->access),
        .virtusertable = open_map(ROUTE_VIRTUSERTABLE, x->virtusertable),
        .aliases = open_map(ROUTE_ALIASES, x->aliases),
        .mailertable = open_map(ROUTE_MAILERTABLE, x->mailertable),
        .smarttable = open_map(ROUTE_SMARTTABLE, x->smarttable),
        .relay_recipients = open_map(ROUTE_RECIPIENTS, x->recipients),
        .local_users = open_map(ROUTE_USERS, x->users),
        .local = local, .local_count = N(local), .relay_from = from, .relay_from_count = N(from),
        .relay_domains = domains, .relay_domains_count = N(domains),
        .hostname = SPAN("drjemgw2.drj.com"), .delay_checks = x->delay_checks,
        .blocklist_recipients = x->blocklist, .alias_targets = x->targets,
        .world = { .read_file = read_file }, .seed = 3,
    };
    map_report_init(&r);
    struct route_tables *t = route_tables_new(&p, &r);
    MUST(t);
    map_report_free(&r);
    return t;
}

static void free_tables(struct route_tables **t)
{
    for (int i = 0; i < ROUTE_TABLES; i++) {
        struct map *m = route_map(*t, (enum route_table)i);
        map_free(&m);
    }
    route_tables_free(t);
}

/* --- a question and its answer as one line --- */

struct who {
    const char *ip, *host, *auth, *sender;
};

static void put_answer(struct buf *b, bool yes, const struct route_accept *out)
{
    CHECK(yes == !out->refused);
    if (!yes) {
        buf_printf(b, "%u %.*s %.*s", out->reply.reply, SPAN_ARG(out->reply.code),
                   SPAN_ARG(out->reply.text));
        return;
    }
    buf_putz(b, out->discard ? "discard " : "");
    if (out->quarantine.n)
        buf_printf(b, "quarantine:%.*s ", SPAN_ARG(out->quarantine));
    for (size_t i = 0; i < out->target_count; i++) {
        const struct route_target *t = &out->targets[i];
        buf_printf(b, "%s%.*s%s", i ? " " : "", SPAN_ARG(t->addr),
                   t->flags & ROUTE_EXPANDED ? "" : "!");
        if (t->own_sender)
            buf_printf(b, "<%.*s", SPAN_ARG(t->sender));
    }
}

static struct route_client client_of(const struct who *w)
{
    struct route_client c = { .host = span_str(w->host), .auth = span_str(w->auth) };
    if (w->ip)
        MUST(netaddr_parse_ip(span_str(w->ip), &c.ip));
    return c;
}

/* which: 'c' client, 's' sender, 'r' recipient */
static const char *answer(const struct route_tables *t, char which, const struct who *w,
                          const char *rcpt)
{
    static char text[8192];
    struct route_client c = client_of(w);
    struct route_accept out;
    struct buf b;
    buf_init(&b, sizeof text - 1);
    bool yes = which == 'c' ? route_accept_client(t, &c, arena, NULL, &out)
               : which == 's'
                   ? route_accept_sender(t, &c, span_str(w->sender), arena, NULL, &out)
                   : route_accept_rcpt(t, &c, span_str(w->sender), span_str(rcpt), arena, NULL,
                                       &out);
    put_answer(&b, yes, &out);
    snprintf(text, sizeof text, "%s", buf_cstr(&b));
    buf_free(&b);
    arena_reset(arena);
    return text;
}

#define WANT(which, who_, rcpt, want)                                                             \
    do {                                                                                          \
        const char *got_ = answer(t, which, &(who_), rcpt);                              \
        if (strcmp(got_, want) != 0)                                                              \
            TEST_FAIL("%s: \"%s\", want \"%s\"", (rcpt) ? (rcpt) : "client", got_, want);        \
    } while (0)
#define P(...) (struct who){ __VA_ARGS__ }
#define STRANGER P("203.0.113.5", "", "", "s@far.example")

/* --- access --- */

static void access_clients(void)
{
    struct route_tables *t = tables_of(&(struct texts){
        .access = "Connect:192.0.2 REJECT;Connect:192.0.2.7 OK;Connect:10.9.9.9 ERROR:4.7.1:451 "
                  "not now;spam.example 550 go away;Connect:good.spam.example OK;"
                  "Connect:IPv6:2001:db8 REJECT;Connect:IPv6:2001:db8:0:0:0:0:0:7 RELAY;"
                  "Connect:198.51 SKIP;198 REJECT;Connect:odd.example QUARANTINE:look at it;"
                  "Connect:dev.null DISCARD;Connect:203.0.113.77 ERROR:\"450 4.7.0 slowly\"" });
    WANT('c', P("192.0.2.1", "", "", ""), NULL, "550 5.7.1 Access denied");
    WANT('c', P("192.0.2.7", "", "", ""), NULL, "");
    WANT('c', P("192.0.20.1", "", "", ""), NULL, "");
    WANT('c', P("10.9.9.9", "", "", ""), NULL, "451 4.7.1 not now");
    WANT('c', P("203.0.113.5", "a.b.spam.example", "", ""), NULL, "550 5.7.1 go away");
    WANT('c', P("203.0.113.5", "good.spam.example", "", ""), NULL, "");
    WANT('c', P("203.0.113.5", "notspam.example", "", ""), NULL, "");
    WANT('c', P("2001:db8::1", "", "", ""), NULL, "550 5.7.1 Access denied");
    WANT('c', P("2001:db8::7", "", "", ""), NULL, "");
    WANT('c', P("2001:db9::7", "", "", ""), NULL, "");
    WANT('c', P("198.51.100.1", "", "", ""), NULL, "");
    WANT('c', P("198.52.100.1", "", "", ""), NULL, "550 5.7.1 Access denied");
    WANT('c', P("203.0.113.5", "odd.example", "", ""), NULL, "quarantine:look at it ");
    WANT('c', P("203.0.113.5", "dev.null", "", ""), NULL, "discard ");
    WANT('c', P("203.0.113.77", "", "", ""), NULL, "450 4.7.0 slowly");
    WANT('r', P("2001:db8::7", "", "", "s@x"), "u@gmail.com", "u@gmail.com!");
    WANT('r', P("192.0.2.7", "", "", "s@x"), "u@gmail.com",
         "550 5.7.1 <u@gmail.com>... Relaying denied");
    free_tables(&t);
}

static void access_senders(void)
{
    struct route_tables *t = tables_of(&(struct texts){
        .access = "From:spammer@bad.example REJECT;From:quiet.example DISCARD;"
                  "From:odd.example QUARANTINE:under review;friend@ 550 5.7.0 no friends;"
                  "bad.example OK;deep.example REJECT;fine.deep.example OK;"
                  "From:user+list@tag.example REJECT;From:<> 451 no reports;"
                  "From:192.0.2 REJECT;From:skip.quiet.example SKIP" });
    WANT('s', P("203.0.113.5", "", "", "Spammer@BAD.example"), NULL,
         "550 5.7.1 <Spammer@BAD.example>... Access denied");
    WANT('s', P("203.0.113.5", "", "", "spammer+x@bad.example"), NULL,
         "550 5.7.1 <spammer+x@bad.example>... Access denied");
    WANT('s', P("203.0.113.5", "", "", "other@bad.example"), NULL, "");
    WANT('s', P("203.0.113.5", "", "", "x@a.quiet.example"), NULL, "discard ");
    WANT('s', P("203.0.113.5", "", "", "x@skip.quiet.example"), NULL, "");
    WANT('s', P("203.0.113.5", "", "", "x@odd.example"), NULL, "quarantine:under review ");
    WANT('s', P("203.0.113.5", "", "", "friend@any.example"), NULL, "550 5.7.0 no friends");
    WANT('s', P("203.0.113.5", "", "", "x@deep.example"), NULL,
         "550 5.7.1 <x@deep.example>... Access denied");
    WANT('s', P("203.0.113.5", "", "", "x@fine.deep.example"), NULL, "");
    WANT('s', P("203.0.113.5", "", "", "user+list@tag.example"), NULL,
         "550 5.7.1 <user+list@tag.example>... Access denied");
    WANT('s', P("203.0.113.5", "", "", "user+other@tag.example"), NULL, "");
    WANT('s', P("203.0.113.5", "", "", ""), NULL, "451 4.7.1 no reports");
    WANT('s', P("203.0.113.5", "", "", "x@[192.0.2.9]"), NULL,
         "550 5.7.1 <x@[192.0.2.9]>... Access denied");
    WANT('s', P(NULL, "", "", "x@deep.example"), NULL, ""); /* our own reports */
    free_tables(&t);
}

static void access_recipients(void)
{
    struct texts x = {
        .access = "To:gone@example.net ERROR:5.1.1:550 has left the company;To:friends.example "
                  "RELAY;To:off@ REJECT;closed@example.net REJECT;partner.example RELAY;"
                  "To:example.net OK;To:no.friends.example REJECT" };
    struct route_tables *t = tables_of(&x);
    WANT('r', STRANGER, "gone@example.net", "550 5.1.1 has left the company");
    WANT('r', P("10.1.1.1", "", "", "s@x"), "gone@example.net", "550 5.1.1 has left the company");
    WANT('r', STRANGER, "off@example.net",
         "550 5.2.1 <off@example.net>... Mailbox disabled for this recipient");
    WANT('r', STRANGER, "closed@example.net", "closed@example.net!"); /* no tag: not for To */
    WANT('r', STRANGER, "u@friends.example", "u@friends.example!");
    WANT('r', STRANGER, "u@a.friends.example", "u@a.friends.example!");
    WANT('r', STRANGER, "u%gmail.com@friends.example",
         "550 5.7.1 <u%gmail.com@friends.example>... Relaying denied");
    WANT('r', STRANGER, "u@no.friends.example",
         "550 5.2.1 <u@no.friends.example>... Mailbox disabled for this recipient");
    WANT('r', STRANGER, "u@partner.example", "u@partner.example!"); /* RELAY without a tag */
    WANT('r', STRANGER, "u@gmail.com", "550 5.7.1 <u@gmail.com>... Relaying denied");
    free_tables(&t);
    x.blocklist = true;
    t = tables_of(&x);
    WANT('r', STRANGER, "closed@example.net",
         "550 5.2.1 <closed@example.net>... Mailbox disabled for this recipient");
    WANT('r', STRANGER, "u@partner.example", "u@partner.example!");
    free_tables(&t);
}

static void access_delayed(void)
{
    struct route_tables *t = tables_of(&(struct texts){
        .access = "Connect:203.0.113 REJECT;From:bad.example REJECT", .delay_checks = true });
    WANT('c', STRANGER, NULL, "");
    WANT('s', P("192.0.2.1", "", "", "x@bad.example"), NULL, "");
    WANT('r', STRANGER, "u@example.net", "550 5.7.1 Access denied");
    WANT('r', P("203.0.113.5", "", "joe", "s@x"), "u@gmail.com", "u@gmail.com!");
    WANT('r', P("192.0.2.1", "", "", "x@bad.example"), "u@example.net",
         "550 5.7.1 <x@bad.example>... Access denied");
    free_tables(&t);
}

static void access_values(void)
{
    static const char *const bad[] = {
        "a.example REJEKT", "a.example 250 ok", "a.example ERROR:5.7.1:450 both",
        "Connect: REJECT", "From:x@y perhaps",
    };
    for (size_t i = 0; i < N(bad); i++) {
        struct map_report r;
        char spec[128];
        map_report_init(&r);
        snprintf(spec, sizeof spec, "inline:%s", bad[i]);
        CHECK(!route_open_table(ROUTE_ACCESS, span_str(spec), 1, &r));
        if (r.errors != 1)
            TEST_FAIL("%s: %zu errors", bad[i], r.errors);
        map_report_free(&r);
    }
}

/* --- virtusertable --- */

static void virtual_users(void)
{
    struct route_tables *t = tables_of(&(struct texts){
        .virtusertable = "info@virt.test ann@example.net;@virt.test %1@drj.com;"
                         "nobody@virt.test error:5.1.1:550 No such user here;"
                         "bad@virt.test error:nouser 550 No such user here;"
                         "chain@virt.test info2@virt.test;info2@virt.test root;"
                         "joe+*@plus.test %1-%2@example.net;joe+x@plus.test exact@example.net;"
                         "joe@plus.test plain%3@example.net;+*@plus.test tagged-%1-%2@example.net;"
                         "self@self.test self@self.test;a@loop.test b@loop.test;"
                         "b@loop.test a@loop.test;x@virt.relayed y@example.net",
        .mailertable = "self.test relay:[in]", .users = "root x;anyone x;any x" });
    WANT('r', STRANGER, "info@virt.test", "ann@example.net");
    WANT('r', STRANGER, "Info@VIRT.test", "ann@example.net");
    WANT('r', STRANGER, "anyone@virt.test", "anyone@drjemgw2.drj.com");
    WANT('r', STRANGER, "any+plus@virt.test", "any@drjemgw2.drj.com"); /* detail dropped */
    WANT('r', STRANGER, "nosuch@virt.test", "550 5.1.1 <nosuch@virt.test>... User unknown");
    WANT('r', STRANGER, "nobody@virt.test", "550 5.1.1 No such user here");
    WANT('r', STRANGER, "bad@virt.test", "550 5.1.1 No such user here");
    WANT('r', STRANGER, "chain@virt.test", "root@drjemgw2.drj.com");
    WANT('r', STRANGER, "joe+x@plus.test", "exact@example.net");
    WANT('r', STRANGER, "joe+y@plus.test", "joe-y@example.net");
    WANT('r', STRANGER, "joe@plus.test", "plain@example.net");
    WANT('r', STRANGER, "ann+z@plus.test", "tagged-ann-z@example.net");
    WANT('r', STRANGER, "ann@plus.test", "550 5.1.1 <ann@plus.test>... User unknown");
    WANT('r', STRANGER, "self@self.test", "self@self.test!");
    WANT('r', STRANGER, "a@loop.test",
         "554 5.4.6 <a@loop.test>... aliasing/forwarding loop broken");
    WANT('r', STRANGER, "x@virt.relayed", "y@example.net");
    WANT('r', STRANGER, "other@virt.relayed", "other@virt.relayed!"); /* goes to its MX */
    WANT('r', STRANGER, "u@sub.virt.test", "550 5.7.1 <u@sub.virt.test>... Relaying denied");
    free_tables(&t);
}

static void virtual_values(void)
{
    static const char *const bad[] = {
        "virt.test ann@x", "a@virt.test ann@x, bob@x", "a@virt..test x", "a@virt.test error:200 x",
        "a@virt.test b@c@d",
    };
    for (size_t i = 0; i < N(bad); i++) {
        struct map_report r;
        char spec[128];
        map_report_init(&r);
        snprintf(spec, sizeof spec, "inline:%s", bad[i]);
        CHECK(!route_open_table(ROUTE_VIRTUSERTABLE, span_str(spec), 1, &r));
        if (r.errors != 1)
            TEST_FAIL("%s: %zu errors", bad[i], r.errors);
        map_report_free(&r);
    }
}

/* --- aliases --- */

static const char alias_text[] =
    "postmaster: root;root: admin@example.net;"
    "sales: ann@example.net, bob@example.net, :include:/lists/sales;"
    "owner-sales: sales-admin@example.net;sales-request: ann@example.net;"
    "owner-sales-request: nobody@example.net;"
    "staff: ann@example.net, \"Dan D.\" <dan@example.net>, eve (the boss);owner-staff: eve, ann;"
    "self: self, bob@example.net;a: b;b: a;c: a, carl@example.net;"
    "back: \\root;prog: \"|/usr/bin/vacation -f a, b\";file: /var/mail/filedest;"
    "plus+*: starred@example.net;plus: plain@example.net;plus+x: exact@example.net;"
    "moved: joe@new.example.REDIRECT;gone: nosuch;virt: info@virt.test;"
    "loop: :include:/lists/loop;loop1: :include:/lists/loop1;bad: :include:/lists/bad;"
    "nested: :include:/lists/nested;missing: :include:/lists/nothere;empty: :include:/lists/empty;"
    "two: root, gone;d1: d2;d2: d3;d3: d4;d4: d5;d5: d6;d6: d7;d7: d8;d8: d9;d9: d10;d10: d11;"
    "d11: d12;d12: ann@example.net;shared: x@drj.com, x, x@localhost, X@drj.com";

static struct route_tables *alias_tables(uint64_t targets)
{
    return tables_of(&(struct texts){ .aliases = alias_text, .targets = targets,
        .virtusertable = "info@virt.test ann@example.net;e@virt.test error:5.7.1:550 no",
        .users = "root x;self x;x x;eve x;daemon x" });
}

static void aliases(void)
{
    struct route_tables *t = alias_tables(0);
    WANT('r', STRANGER, "postmaster", "admin@example.net");
    WANT('r', STRANGER, "Postmaster@drj.com", "admin@example.net");
    WANT('r', STRANGER, "daemon@drj.com", "daemon@drj.com!");
    WANT('r', STRANGER, "daemon+x@drj.com", "daemon+x@drj.com!");
    WANT('r', STRANGER, "nosuch@drj.com", "550 5.1.1 <nosuch@drj.com>... User unknown");
    WANT('r', STRANGER, "nosuch", "550 5.1.1 <nosuch>... User unknown");
    WANT('r', STRANGER, "self@drj.com", "self@drjemgw2.drj.com bob@example.net");
    WANT('r', STRANGER, "back@drj.com", "root@drjemgw2.drj.com");
    WANT('r', STRANGER, "prog@drj.com", "|/usr/bin/vacation -f a, b");
    WANT('r', STRANGER, "file@drj.com", "/var/mail/filedest");
    WANT('r', STRANGER, "plus@drj.com", "plain@example.net");
    WANT('r', STRANGER, "plus+y@drj.com", "starred@example.net");
    WANT('r', STRANGER, "plus+x@drj.com", "exact@example.net");
    WANT('r', STRANGER, "moved@drj.com",
         "551 5.1.1 User has moved; please try <joe@new.example>");
    WANT('r', STRANGER, "joe@new.example.REDIRECT",
         "551 5.1.1 User has moved; please try <joe@new.example>");
    WANT('r', P("127.0.0.1", "", "", "s@x"), "joe@new.example.REDIRECT",
         "551 5.1.1 User has moved; please try <joe@new.example>");
    WANT('r', STRANGER, "gone@drj.com", "550 5.1.1 <gone@drj.com>... User unknown");
    WANT('r', STRANGER, "two@drj.com", "admin@example.net nosuch@drjemgw2.drj.com");
    WANT('r', STRANGER, "virt@drj.com", "ann@example.net"); /* starts again */
    WANT('r', STRANGER, "shared@drj.com", "x@drjemgw2.drj.com");
    WANT('r', STRANGER, "\"|/bin/cat\"@drj.com",
         "550 5.7.1 <\"|/bin/cat\"@drj.com>... Cannot mail directly to programs");
    WANT('r', STRANGER, "|/bin/cat", "550 5.7.1 <|/bin/cat>... Cannot mail directly to programs");
    WANT('r', STRANGER, "/etc/passwd", "550 5.7.1 </etc/passwd>... Cannot mail directly to files");
    WANT('r', STRANGER, ":include:/x",
         "550 5.7.1 <:include:/x>... Cannot mail directly to :include:s");
    free_tables(&t);
}

static void alias_loops(void)
{
    struct route_tables *t = alias_tables(0);
    WANT('r', STRANGER, "a@drj.com", "554 5.4.6 <a@drj.com>... aliasing/forwarding loop broken");
    WANT('r', STRANGER, "b", "554 5.4.6 <b>... aliasing/forwarding loop broken");
    WANT('r', STRANGER, "c", "carl@example.net"); /* what is no loop goes on */
    WANT('r', STRANGER, "d1", "554 5.4.6 <d1>... aliasing/forwarding loop broken");
    WANT('r', STRANGER, "d3", "ann@example.net");
    WANT('r', STRANGER, "loop", "554 5.4.6 <loop>... Too many :include: files lead to one another");
    WANT('r', STRANGER, "loop1",
         "554 5.4.6 <loop1>... Too many :include: files lead to one another");
    WANT('r', STRANGER, "empty", "554 5.4.6 <empty>... aliasing/forwarding loop broken");
    WANT('r', STRANGER, "missing",
         "451 4.2.4 <missing>... A mailing list's file cannot be read now");
    free_tables(&t);
    t = alias_tables(2);
    WANT('r', STRANGER, "sales", "554 5.2.4 <sales>... It stands for too many addresses");
    WANT('r', STRANGER, "two", "admin@example.net nosuch@drjemgw2.drj.com");
    free_tables(&t);
}

static void lists(void)
{
    struct route_tables *t = alias_tables(0);
    WANT('r', STRANGER, "sales@drj.com",
         "ann@example.net<sales-admin@example.net bob@example.net<sales-admin@example.net "
         "carl@example.net<sales-admin@example.net");
    WANT('r', P("10.1.1.1", "", "", ""), "sales", /* reports go nowhere else */
         "ann@example.net bob@example.net carl@example.net");
    WANT('r', STRANGER, "sales-request", "ann@example.net");
    WANT('r', STRANGER, "staff",
         "ann@example.net<owner-staff@drjemgw2.drj.com "
         "dan@example.net<owner-staff@drjemgw2.drj.com "
         "eve@drjemgw2.drj.com<owner-staff@drjemgw2.drj.com");
    WANT('r', STRANGER, "owner-sales", "sales-admin@example.net");
    /* what a list's file says does not run here */
    WANT('r', STRANGER, "bad",
         "ann@example.net \"|/bin/evil\"@drjemgw2.drj.com \"/etc/passwd\"@drjemgw2.drj.com");
    struct route_ask ask = { .rcpt = SPAN("\"|/bin/evil\"@drjemgw2.drj.com"),
                             .rcpt_flags = ROUTE_EXPANDED };
    struct route_dest d;
    CHECK(route_find(t, &ask, arena, NULL, &d) && d.mailer == ROUTE_ERROR && d.reply == 550);
    ask.rcpt = SPAN("|/bin/cat x@y.example");
    CHECK(route_find(t, &ask, arena, NULL, &d) && d.mailer == ROUTE_PROGRAM);
    CHECK_SPAN(d.path, SPAN("/bin/cat x@y.example"));
    ask.rcpt = SPAN("/var/mail/filedest");
    CHECK(route_find(t, &ask, arena, NULL, &d) && d.mailer == ROUTE_FILE);
    ask.rcpt_flags = 0;
    CHECK(route_find(t, &ask, arena, NULL, &d) && d.mailer == ROUTE_ERROR);
    WANT('r', STRANGER, "nested",
         "ann@example.net bob@example.net carl@example.net "
         "dan@example.net<owner-staff@drjemgw2.drj.com "
         "eve@drjemgw2.drj.com<owner-staff@drjemgw2.drj.com");
    free_tables(&t);
}

/* --- relaying --- */

static void recipients(void)
{
    struct route_tables *t = tables_of(&(struct texts){
        .recipients = "ann@example.net x;bob@example.net x;@open.example.net x",
        .mailertable = "closed.example error:5.7.1:550 Mail to this domain is prohibited;"
                       "later.example error:4.3.0:451 Try again later;"
                       ".closed.example error:nouser x",
        .users = "root x" });
    WANT('r', STRANGER, "ann@example.net", "ann@example.net!");
    WANT('r', STRANGER, "Ann+tag@Example.net", "Ann+tag@Example.net!");
    WANT('r', STRANGER, "eve@example.net", "550 5.1.1 <eve@example.net>... User unknown");
    WANT('r', P("10.1.1.1", "", "", "s@x"), "eve@example.net",
         "550 5.1.1 <eve@example.net>... User unknown");
    WANT('r', STRANGER, "eve@open.example.net", "eve@open.example.net!");
    WANT('r', STRANGER, "eve@other.example.net",
         "550 5.1.1 <eve@other.example.net>... User unknown");
    WANT('r', STRANGER, "postmaster@example.net", "postmaster@example.net!");
    WANT('r', P("10.1.1.1", "", "", "s@x"), "u@gmail.com", "u@gmail.com!");
    /* `error:` entries answer everybody, others open nothing */
    WANT('r', STRANGER, "u@closed.example", "550 5.7.1 Mail to this domain is prohibited");
    WANT('r', P("10.1.1.1", "", "", "s@x"), "u@closed.example",
         "550 5.7.1 Mail to this domain is prohibited");
    WANT('r', STRANGER, "u@later.example", "451 4.3.0 Try again later");
    WANT('r', STRANGER, "u@a.closed.example", "550 5.1.1 x");
    WANT('r', STRANGER, "user@", "553 5.1.3 <user@>... Hostname required");
    WANT('r', STRANGER, "", "553 5.1.3 <>... User address required");
    free_tables(&t);
}

static void broken(void)
{
    struct map_report r;
    struct map *m[] = { map_ram_new(SPAN("ram"), 1), map_ram_new(SPAN("ram"), 1),
                        map_ram_new(SPAN("ram"), 1) };
    struct route_params p = { .access = m[0], .aliases = m[1], .local_users = m[2],
                              .relay_from = from, .relay_from_count = N(from) };
    map_report_init(&r);
    struct route_tables *t = route_tables_new(&p, &r);
    map_ram_set(m[2], SPAN("u"), SPAN(""), 1);
    WANT('r', STRANGER, "u", "u!");
    map_ram_fail(m[2], true);
    WANT('r', STRANGER, "u", "451 4.3.0 Temporary failure: the users cannot be asked");
    map_ram_fail(m[2], false);
    map_ram_fail(m[1], true);
    WANT('r', STRANGER, "u", "451 4.3.0 <u>... Temporary failure: the aliases cannot be asked");
    map_ram_fail(m[1], false);
    map_ram_fail(m[0], true);
    WANT('r', STRANGER, "u", "451 4.3.0 Temporary failure: the access table cannot be asked");
    WANT('c', STRANGER, NULL, "451 4.3.0 Temporary failure: the access table cannot be asked");
    free_tables(&t);
    map_report_free(&r);
}

static const struct test tests[] = {
    TEST(access_clients), TEST(access_senders), TEST(access_recipients), TEST(access_delayed),
    TEST(access_values),  TEST(virtual_users),  TEST(virtual_values),    TEST(aliases),
    TEST(alias_loops),    TEST(lists),          TEST(recipients),        TEST(broken),
};

int main(int argc, char **argv)
{
    arena = arena_new((size_t)1 << 24);
    int rc = test_main(tests, sizeof tests / sizeof *tests, argc, argv);
    arena_free(&arena);
    return rc;
}
