/* The parts of the queue's index: sets against an array, classes of reasons, the language of
 * filters. The whole against a model: test_queue_model. */
#include "base/must.h"
#include "queue/filter.h"
#include "queue/index.h"
#include "queue/reason.h"
#include "test.h"

#include <stdlib.h>

/* --- sets --- */

enum { VALUES = 3000, STEPS = 200000 };

struct naive {
    uint32_t times[VALUES]; /* how often each is in it */
    uint64_t count;
};

static bool naive_from(const struct naive *n, uint64_t from, uint64_t *v_r)
{
    while (from < VALUES && !n->times[from])
        from++;
    *v_r = from;
    return from < VALUES;
}

static void same(const struct queue_set *s, const struct naive *n, uint64_t from)
{
    uint64_t a = 0, b = 0, below = 0;
    bool got = queue_set_from(s, from, &a), wanted = naive_from(n, from, &b);
    CHECK_INT(got, wanted);
    CHECK(!got || a == b);
    for (uint64_t v = 0; v < from && v < VALUES; v++)
        below += n->times[v];
    CHECK(queue_set_below(s, from) == below);
    CHECK(s->count == n->count);
    got = queue_set_max(s, &a);
    CHECK_INT(got, n->count > 0);
    CHECK(!got || !naive_from(n, a + 1, &b));
    CHECK(!got || n->times[a]);
}

/* Fills and empties in turns, mostly in order as mail comes, so that chunks are made, split,
 * merged and given back. */
static void sets(void)
{
    struct queue_set s = { 0 };
    struct naive *n = NEW(struct naive);
    uint64_t x = 88172645463325252u, next = 0;
    for (int step = 0; step < STEPS; step++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        bool filling = (step / 20000) % 2 == 0;
        uint64_t v = (x >> 20) % 3 ? x % VALUES : next++ % VALUES;
        if (filling ? x % 5 != 0 : x % 5 == 0) {
            CHECK_INT(queue_set_add(&s, v), n->times[v] == 0);
            n->times[v]++;
            n->count++;
        } else if (n->times[v]) {
            n->times[v]--;
            n->count--;
            CHECK_INT(queue_set_remove(&s, v), n->times[v] == 0);
        }
        if (step % 50 == 0 || n->count < 4)
            same(&s, n, (x >> 8) % (VALUES + 2));
    }
    queue_set_free(&s);
    CHECK(s.count == 0 && s.cap == 0);
    free(n);
}

/* Pinned cells stay; walks survive what happens under them. */
static void walks(void)
{
    static const int parts[40];
    struct queue_index ix;
    struct queue_walk w;
    struct queue_cell *cells[40], *c;
    queue_index_init(&ix, 7);
    for (int i = 0; i < 40; i++) {
        struct queue_key key = { &parts[i], NULL, NULL, 1 };
        cells[i] = queue_cell_get(&ix, QUEUE_RCPTS, &key);
        CHECK(queue_cell_get(&ix, QUEUE_RCPTS, &key) == cells[i]);
        queue_cell_add(cells[i], 5, 100, false);
    }
    queue_cell_pin(cells[3]);
    queue_cell_remove(&ix, cells[3], 5, 100, false);
    int seen = 0;
    queue_walk_begin(&w, &ix, QUEUE_RCPTS);
    for (; (c = queue_walk_next(&w)) != NULL; seen++)
        if (seen == 10) /* the next one, and one further on, go away while it stands there */
            for (int i = 12; i < 20; i++)
                queue_cell_remove(&ix, cells[i], 5, 100, false);
    queue_walk_end(&w);
    CHECK_INT(seen, 40 - 1 - 8);
    queue_cell_unpin(&ix, cells[3]);
    for (int i = 0; i < 40; i++)
        if (i != 3 && (i < 12 || i >= 20))
            queue_cell_remove(&ix, cells[i], 5, 100, false);
    queue_index_free(&ix);
}

/* --- reasons --- */

static void classes(void)
{
    static const char *const table[][2] = {
        { "", "" },
        { "450 4.7.1 <a@b.example>: Recipient address rejected: Greylisted for 300 seconds",
          "450 4.7.1 <*>: Recipient address rejected: Greylisted for * seconds" },
        { "451 4.3.0 queue file 9BC0A1345XYZ is busy", "451 4.3.0 queue file * is busy" },
        { "Connection refused by mx1.example.", "Connection refused by *" },
        { "Name server: x: host name lookup failure", "Name server: *: host name lookup failure" },
        { "451 4.3.0 deferred. See e.g. mx.example, 450-4.7.1",
          "451 4.3.0 deferred. See e.g. *, *" },
        { "421 Too  many\tconnections from 192.0.2.1", "421 Too many connections from *" },
        { "450 4.2.1 mailbox u1 of host12 busy, id=Q0000001 try in 5m",
          "450 4.2.1 mailbox * of * busy, id=* try in 5m" },
        { "421 4.7.0 [TSS04] no ipv6 here, tlsv1.2", "421 4.7.0 [TSS04] no ipv6 here, *" },
        { "552 5.2.2 mailbox full (1732104000)", "552 5.2.2 mailbox full (*)" },
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char out[QUEUE_CLASS_MAX];
        size_t n = queue_reason_class(span_str(table[i][0]), out);
        CHECK_SPAN(span_of(out, n), span_str(table[i][1]));
    }
    char many[5000], out[QUEUE_CLASS_MAX];
    memset(many, 'x', sizeof many);
    CHECK(queue_reason_class(span_of(many, sizeof many), out) == QUEUE_CLASS_MAX);
}

static void two_reasons_are_one(void)
{
    static const char *const table[][3] = {
        { "Name server: a.example: host name lookup failure (MX)",
          "Name server: b: host name lookup failure (MX)",
          "Name server: (various): host name lookup failure (MX)" },
        { "451 4.7.1 <a@b>: wait 300 seconds", "451 4.7.1 <c@d>: wait 301 seconds",
          "451 4.7.1 <(various)>: wait (various) seconds" },
        { "same", "same", "same" },
        { "one thing", "other", "(various) thing" },
        { "one", "", "one" },
        { "", "two", "" },
        { "a (b) c", "a [b]", "a (b) c" },
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct buf b;
        buf_init(&b, 1000);
        queue_reason_fold(&b, span_str(table[i][0]), span_str(table[i][1]));
        CHECK_SPAN(buf_span(&b), span_str(table[i][2]));
        buf_free(&b);
    }
}

/* --- filters --- */

static struct queue_facts whole(void)
{
    struct queue_facts x = {
        .known = (1u << QUEUE_FIELDS) - 1,
        .from_domain_known = true,
        .to_domain_known = true,
        .id = SPAN("9BC0A100000001"),
        .from = { .local = SPAN("ann"), .domain = SPAN("sender.example") },
        .to = { .local = SPAN("bob"), .domain = SPAN("dest.example") },
        .site = SPAN("mx:mx1.dest.example,mx2.dest.example"),
        .dest = SPAN("mx:dest.example"),
        .listener = SPAN("mx"),
        .reason = SPAN("mailbox busy, id 77"),
        .before = SPAN("451 greylisted"),
        .state = QUEUE_DEFERRED,
        .age_ms = 3 * 3600000,
        .size_bytes = 20000,
    };
    MUST(netaddr_parse_ip(SPAN("192.0.2.7"), &x.client));
    return x;
}

static struct queue_filter *filter_of(const char *words)
{
    struct queue_filter *f = queue_filter_new();
    struct span rest = span_str(words);
    struct err err;
    while (rest.n) {
        struct span word = span_to(rest, span_find(rest, ' '));
        rest = span_from(rest, word.n + 1);
        MUST(queue_filter_word(f, word, &err) == 1);
    }
    return f;
}

static enum queue_match match(const char *words, const struct queue_facts *x)
{
    struct queue_filter *f = filter_of(words);
    enum queue_match m = queue_filter_match(f, x);
    queue_filter_free(&f);
    return m;
}

static void filters(void)
{
    static const struct { const char *words; bool yes; } table[] = {
        { "", true },
        { "to=bob@dest.example", true },    { "to=BOB@Dest.Example", true },
        { "to=bob", false },                { "to=dest.example", true },
        { "to=@dest.example", true },       { "to=*@dest.*", true },
        { "to~ob@de", true },               { "to=<>", false },
        { "!to=carl@dest.example", true },  { "to=carl to=bob@dest.example", true },
        { "!to=carl !to=bob@dest.example", false },
        { "from~ann", true },               { "from=ann@sender.example to=x@y", false },
        { "domain=dest.example", true },    { "domain=est.example", false },
        { "domain~est.ex", true },          { "site=mx:mx1.dest.example*", true },
        { "site=mx:dest.example", true },   { "listener=submission", false },
        { "reason~BUSY", true },            { "reason=mailbox*", true },
        { "reason~Grey", true },            { "reason=451*", true },
        { "reason~451x", false },           { "!reason~451", false },
        { "state=deferred", true },         { "state=held,deferred", true },
        { "!state=deferred", false },       { "age>2h", true },
        { "age<2h", false },                { "age>2h age<4h", true },
        { "age>2h age<3h", false },         { "size>10K size<1M", true },
        { "domain=.example", true },        { "domain=.dest.example", false },
        { "domain=.ample", false },         { "!domain=.EX*", false },
        { "to=.example", true },            { "to=@.example", true },
        { "to=@.com", false },              { "from=bob@.example", false },
        { "site=mx2.dest.example", true },  { "site=*2.dest.example", true },
        { "site=mx3.dest.example", false }, { "site=mx", false },
        { "site=dest.example", true },      { "site~mx2", true },
        { "target=MX2.dest.example", true }, { "target=mx3.dest.example", false },
        { "size>10k", true },               { "size<100KB", true },
        { "size>20000", false },            { "client=192.0.2.0/24", true },
        { "client=192.0.2.8", false },      { "client~0.2.7", true },
        { "id~BC0", true },                 { "id=9BC0A100000001", true },
        { "id=9BC0A100000002", false },     { "id~bc0a", true },
        { "id=9bc0a100000001", false },     { "id=9bc0a*", true },
        { "target=dest.EXAMPLE", true },    { "target=est.example", false },
        { "target=BOB@dest.example", true }, { "target=carl@dest.example", false },
        { "target=mx:dest.example", true }, { "target=mx1.dest.*", false },
        { "target=9BC0A100000001", true },  { "target=9BC0A200000001", false },
        { "target=*", false },              { "!target=dest.example", false },
        { "target=other.example target=dest.example", true },
        { "any.from~ann", true },           { "any.from~carl", false },
        { "any.from~carl any.from~ANN", true },
        { "any.!from~carl any.!from~ann", true }, /* sendmail's: one of them is enough */
        { "any.!from~ann any.from~carl", false },
        { "any.!from~ann any.id~BC0", false },    /* of each field */
        { "!from~carl !from~ann any.from~ann", false },
        { "any.age<1h any.age>2h", true },
        { "domain=dest.example.", true },   { "to=bob@dest.example.", true },
        { "to=<bob@dest.example>", true },  { "to=bob@dest.example,", true },
        { "site=mx2.dest.example.", true }, { "id=9BC0A100000001:", true },
        { "target=<bob@dest.example>", true }, { "target=@dest.example", true },
        { "target=dest.example.", true },   { "target=9BC0A100000001:", true },
        { "to~example.", false },           { "domain=.", false },
        { "any.!from=*", false },           { "any.from=*", true },
    };
    struct queue_facts x = whole();
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (match(table[i].words, &x) != (table[i].yes ? QUEUE_YES : QUEUE_NO))
            TEST_FAIL("\"%s\"", table[i].words);
    x.from = (struct queue_addr){ .local = SPAN_NONE };
    CHECK_INT(match("from=<>", &x), QUEUE_YES);
    x.to = (struct queue_addr){ .local = SPAN("Bob@DEST.example"), .whole = true };
    CHECK_INT(match("to=dest.example domain=dest.EXAMPLE", &x), QUEUE_YES);
    x.client.family = NETADDR_NONE;
    CHECK_INT(match("client=0.0.0.0/0", &x), QUEUE_NO);
}

static void literals(void)
{
    struct queue_facts x = whole();
    x.to = (struct queue_addr){ .local = SPAN("bob"), .domain = SPAN("[ipv6:2001:db8::1]") };
    CHECK_INT(match("domain=[IPv6:2001:0db8:0::1]", &x), QUEUE_YES);
    CHECK_INT(match("to=bob@[IPv6:2001:0db8:0::1]", &x), QUEUE_YES);
    CHECK_INT(match("target=[IPv6:2001:db8:0:0::1]", &x), QUEUE_YES);
    CHECK_INT(match("domain=[IPv6:2001:db8::2]", &x), QUEUE_NO);
    CHECK_INT(match("domain=[ipv6:*]", &x), QUEUE_YES);
}

/* What was said before is found by itself, and as a list shows it behind the reason. */
static void said_before(void)
{
    static const struct { const char *word; enum queue_match match; } table[] = {
        { "reason~id 77; before that: 451 g", QUEUE_YES },
        { "reason~ID 77; before that: 451 greylisted", QUEUE_YES },
        { "reason~id 7; before that: 451", QUEUE_NO },
        { "reason~77; before that: greylisted", QUEUE_NO },
        { "reason=mailbox busy, id 77; before that: 451 greylisted", QUEUE_YES },
        { "reason=*; before that: 45*", QUEUE_YES },
        { "reason=*; before that: 45", QUEUE_NO },
        { "!reason~; before that: ", QUEUE_NO },
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct queue_facts x = whole();
        struct queue_filter *f = queue_filter_new();
        struct err err;
        MUST(queue_filter_word(f, span_str(table[i].word), &err) == 1);
        if (queue_filter_match(f, &x) != table[i].match)
            TEST_FAIL("\"%s\"", table[i].word);
        x.before = SPAN_NONE;
        x.before_open = true;
        if (queue_filter_match(f, &x) != QUEUE_MAYBE)
            TEST_FAIL("\"%s\", before that: not known", table[i].word);
        queue_filter_free(&f);
    }
}

/* What begins with its only star is compared at the end. */
static void endings(void)
{
    static const struct { const char *words; bool yes; } table[] = {
        { "domain=*EST.example", true },    { "domain=*dest.example", true },
        { "domain=*.dest.example", false }, { "domain=*xdest.example", false },
        { "domain=*.exampl", false },       { "domain=**.example", true },
        { "domain=*t*.example", true },     { "domain=.*ple", true },
        { "domain=*", true },               { "domain=*a-long-one.dest.example", false },
    };
    struct queue_facts x = whole();
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (match(table[i].words, &x) != (table[i].yes ? QUEUE_YES : QUEUE_NO))
            TEST_FAIL("\"%s\"", table[i].words);
}

/* "any." is asked of a message, not of each of its recipients. */
static void of_any_recipient(void)
{
    static const struct { const char *words; bool meant; unsigned chosen; } table[] = {
        { "any.to~dest", true, 7 },
        { "any.to~nobody", false, 7 },
        { "any.!to~dest", true, 7 }, /* ann's is another */
        { "any.!to~example", false, 7 },
        { "any.!to~dest any.!to~else", true, 7 },
        { "any.!to~example any.to~nobody", false, 7 },
        { "any.to~dest any.reason~full", true, 7 }, /* each has another one */
        { "to~dest any.reason~full", false, 1 },    /* whose reason is "busy" */
        { "state=held any.to~dest", false, 4 },
        { "state=held any.to~carl", true, 4 },
        { "state=held,deferred any.to~carl any.reason~busy", true, 7 },
        { "any.from~root any.to~bob", false, 0 },
    };
    static const struct { const char *local, *domain, *reason; enum queue_state state; } rcpts[] = {
        { "bob", "dest.example", "mailbox busy", QUEUE_DEFERRED },
        { "ann", "else.example", "mailbox full", QUEUE_DEFERRED },
        { "carl", "else.example", "under review", QUEUE_HELD },
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct queue_filter *f = filter_of(table[i].words);
        uint32_t got = 0, wants = queue_filter_wants(f);
        unsigned chosen = 0;
        for (size_t k = 0; k < 3; k++) {
            struct queue_facts x = whole();
            x.to = (struct queue_addr){ .local = span_str(rcpts[k].local),
                                        .domain = span_str(rcpts[k].domain) };
            x.reason = span_str(rcpts[k].reason);
            x.state = rcpts[k].state;
            uint32_t bits = queue_filter_rcpt(f, &x);
            chosen |= bits ? 1u << k : 0;
            got |= bits;
            CHECK(queue_filter_match(f, &x) != QUEUE_NO || !bits);
            CHECK(queue_filter_match(f, &x) != QUEUE_YES || (bits & wants) == wants);
        }
        if (((got & wants) == wants) != table[i].meant || chosen != table[i].chosen)
            TEST_FAIL("\"%s\": %d, %u", table[i].words, (got & wants) == wants, chosen);
        queue_filter_free(&f);
    }
}

/* Against a model that has the rules one after another: random words about random messages. */
enum { M_WORDS = 5, M_RCPTS = 3, M_FIELDS = 4, M_VALUES = 4, M_ROUNDS = 20000 };

struct m_word {
    unsigned field, value;
    bool any, negated;
};

/* A message's recipients have the fields but the first, which is its own. */
struct m_mail {
    unsigned has[M_RCPTS][M_FIELDS];
};

static bool m_word_holds(const struct m_word *w, const unsigned has[M_FIELDS])
{
    return (has[w->field] == w->value) != w->negated;
}

/* Of the words of one kind: without any, holds. */
static bool m_one_of(const struct m_word *w, unsigned field, bool any, const unsigned has[M_FIELDS])
{
    bool asked = false;
    for (int i = 0; i < M_WORDS; i++) {
        if (w[i].field != field || w[i].any != any || (!any && w[i].negated))
            continue;
        if (m_word_holds(&w[i], has))
            return true;
        asked = true;
    }
    return !asked;
}

static bool m_chosen(const struct m_word *w, const unsigned has[M_FIELDS])
{
    for (int i = 0; i < M_WORDS; i++)
        if (!w[i].any && w[i].negated && !m_word_holds(&w[i], has))
            return false;
    for (unsigned f = 0; f < M_FIELDS; f++)
        if (!m_one_of(w, f, false, has))
            return false;
    return true;
}

static bool m_meant(const struct m_word *w, const struct m_mail *m)
{
    unsigned ok = 0, chosen = 0;
    for (int r = 0; r < M_RCPTS; r++) {
        if (!m_chosen(w, m->has[r]))
            continue;
        chosen++;
        for (unsigned f = 0; f < M_FIELDS; f++)
            ok |= m_one_of(w, f, true, m->has[r]) ? 1u << f : 0;
    }
    return chosen && ok == (1u << M_FIELDS) - 1;
}

static void by_the_model(void)
{
    static const char *const fields[M_FIELDS] = { "from", "to", "reason", "state" };
    static const char *const values[M_FIELDS][M_VALUES] = {
        { "a", "b", "c", "d" }, { "k", "l", "m", "n" }, { "r", "s", "t", "u" },
        { "held", "active", "deferred", "waiting" },
    };
    uint64_t x = 88172645463325252u;
    unsigned meant = 0;
    for (int round = 0; round < M_ROUNDS; round++) {
        struct m_word w[M_WORDS];
        struct m_mail m;
        struct queue_filter *f = queue_filter_new();
        struct err err;
        for (int i = 0; i < M_WORDS; i++) {
            x = x * 6364136223846793005u + 1442695040888963407u;
            w[i] = (struct m_word){ .field = (unsigned)(x >> 33) % M_FIELDS,
                                    .value = (unsigned)(x >> 40) % M_VALUES,
                                    .any = x >> 50 & 1, .negated = x >> 52 & 1 };
            char word[40];
            snprintf(word, sizeof word, "%s%s%s=%s", w[i].any ? "any." : "",
                     w[i].negated ? "!" : "", fields[w[i].field], values[w[i].field][w[i].value]);
            MUST(queue_filter_word(f, span_str(word), &err) == 1);
        }
        uint32_t got = 0;
        for (int r = 0; r < M_RCPTS; r++) {
            x = x * 6364136223846793005u + 1442695040888963407u;
            for (unsigned i = 0; i < M_FIELDS; i++)
                m.has[r][i] = i ? (unsigned)(x >> (33 + 4 * i)) % M_VALUES
                                : r ? m.has[0][0] : (unsigned)(x >> 33) % M_VALUES;
            struct queue_facts facts = whole();
            facts.from = (struct queue_addr){ .local = span_str(values[0][m.has[r][0]]) };
            facts.to = (struct queue_addr){ .local = span_str(values[1][m.has[r][1]]) };
            facts.reason = span_str(values[2][m.has[r][2]]);
            MUST(queue_state_of(span_str(values[3][m.has[r][3]]), &facts.state));
            got |= queue_filter_rcpt(f, &facts);
        }
        uint32_t wants = queue_filter_wants(f);
        CHECK_INT((got & wants) == wants, m_meant(w, &m));
        meant += m_meant(w, &m);
        queue_filter_free(&f);
    }
    CHECK(meant > M_ROUNDS / 50 && meant < M_ROUNDS / 2);
}

/* What a cell of the index knows decides, or does not. */
static void groups_decide(void)
{
    struct queue_facts x = whole();
    x.known = 1u << QUEUE_DOMAIN | 1u << QUEUE_STATE | 1u << QUEUE_REASON;
    x.to.local = SPAN_NONE;
    x.reason_is_class = true;
    x.reason = SPAN("mailbox busy, id *");
    CHECK_INT(match("domain=dest.example state=deferred", &x), QUEUE_YES);
    CHECK_INT(match("to=dest.example", &x), QUEUE_YES);
    CHECK_INT(match("to=bob@dest.example", &x), QUEUE_MAYBE);
    CHECK_INT(match("to=bob@other.example", &x), QUEUE_NO);
    CHECK_INT(match("!to=bob@other.example", &x), QUEUE_YES);
    CHECK_INT(match("to~bob", &x), QUEUE_MAYBE);
    CHECK_INT(match("age>2h domain=dest.example", &x), QUEUE_MAYBE);
    CHECK_INT(match("age>2h domain=other.example", &x), QUEUE_NO);
    CHECK_INT(match("reason~busy", &x), QUEUE_YES);
    CHECK_INT(match("reason~77", &x), QUEUE_MAYBE);
    CHECK_INT(match("reason~77 reason~busy", &x), QUEUE_YES);
    CHECK_INT(match("any.!reason~busy any.!reason~77", &x), QUEUE_MAYBE);
    CHECK_INT(match("any.state=held", &x), QUEUE_MAYBE); /* another of the message may be */
    CHECK_INT(match("any.state=held state=held", &x), QUEUE_NO);
    CHECK_INT(match("any.domain=dest.example", &x), QUEUE_YES);
    CHECK_INT(match("target=dest.example", &x), QUEUE_YES);
    CHECK_INT(match("target=bob@dest.example", &x), QUEUE_MAYBE);
    CHECK_INT(match("target=mx:other", &x), QUEUE_MAYBE); /* the destination is not known */
    x.known |= 1u << QUEUE_SITE;
    CHECK_INT(match("target=mx:other", &x), QUEUE_NO);
    CHECK_INT(match("target=bob@other.example", &x), QUEUE_NO);
    CHECK_INT(match("target=mx:dest.example", &x), QUEUE_YES);
    CHECK_INT(match("target=9BC0A100000001", &x), QUEUE_MAYBE);
}

static void mistakes(void)
{
    static const struct { const char *word; int rc; } table[] = {
        { "limit=3", 0 },   { "", 0 },          { "!", 0 },         { "sort=age", 0 },
        { "to", -1 },       { "to>x", -1 },     { "to=", -1 },      { "age=2h", -1 },
        { "age>soon", -1 }, { "size>-1", -1 },  { "state=dead", -1 }, { "state=", -1 },
        { "client=mx", -1 }, { "client=192.0.2.1/24", -1 }, { "any.", 0 },
        { "any.limit=3", 0 }, { "!any.to=x", 0 }, { "any.to=", -1 }, { "target~x", -1 },
        { "target=", -1 },  { "id=nonsense", -1 }, { "size>10x", -1 }, { "size>b", -1 },
        { "domain=a@b.example", -1 }, { "domain=@b.example", -1 }, { "domain~@b", -1 },
    };
    struct queue_filter *f = queue_filter_new();
    struct err err;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        err.text[0] = '\0';
        if (queue_filter_word(f, span_str(table[i].word), &err) != table[i].rc)
            TEST_FAIL("\"%s\"", table[i].word);
        CHECK(table[i].rc == 0 || err.text[0]);
    }
    CHECK(queue_filter_empty(f));
    for (int i = 0; i < QUEUE_TERMS_MAX; i++)
        CHECK_INT(queue_filter_word(f, SPAN("to=x"), &err), 1);
    CHECK_INT(queue_filter_word(f, SPAN("to=x"), &err), -1);
    queue_filter_free(&f);
}

static void exact(void)
{
    struct queue_filter *f = queue_filter_new();
    struct err err;
    queue_filter_word(f, SPAN("domain=dest.example"), &err);
    queue_filter_word(f, SPAN("site=mx*"), &err);
    CHECK_SPAN(queue_filter_exact(f, QUEUE_DOMAIN), SPAN("dest.example"));
    CHECK(!queue_filter_exact(f, QUEUE_SITE).n && !queue_filter_exact(f, QUEUE_TO).n);
    queue_filter_word(f, SPAN("domain=other.example"), &err);
    CHECK(!queue_filter_exact(f, QUEUE_DOMAIN).n);
    queue_filter_word(f, SPAN("any.id=9BC0A100000001"), &err);
    CHECK(!queue_filter_exact(f, QUEUE_ID).n);
    queue_filter_word(f, SPAN("target=a*b@x"), &err);
    CHECK_SPAN(queue_filter_exact(f, QUEUE_TARGET), SPAN("a*b@x"));
    queue_filter_free(&f);
}

static const struct test tests[] = {
    TEST(sets),          TEST(walks),    TEST(classes),
    TEST(two_reasons_are_one), TEST(filters), TEST(endings), TEST(literals), TEST(said_before),
    TEST(of_any_recipient), TEST(by_the_model),
    TEST(groups_decide), TEST(mistakes), TEST(exact),
};
TEST_MAIN(tests)
