/* Whichever way a query takes (by the index's cells, by looking at every message) it finds what a
 * look at each message by itself finds, for random filters over a random queue; where the cells
 * are the answer to a count, that is right; and so are groups of what it finds. A failing seed is
 * printed and repeats the run: TEST_SEED=N. */
#include "sched_each.h"
#include "qmgr/admin_query.h"
#include "qmgr_rig.h"
#include "test.h"

#include "base/must.h"
#include "proto/control.h"
#include "queue/reason.h"

#include <inttypes.h>

enum { MAILS = 1500, ROUNDS = 12, FILTERS = 60, WORDS_MAX = 4, WORD_BYTES = 96 };

struct world {
    struct rig *r;
    struct sched *s;
    uint64_t random, next_seq, exact, by_cells, by_all, found, groups;
    struct channel *desk; /* of who asks for groups */
    struct buf rows;      /* of the answer, a line each */
    bool ended;
};

static uint64_t below(struct world *w, uint64_t n)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return w->random % n;
}

/* A pattern with a number in the place of its "#". */
static struct span filled(char *to, size_t n, const char *pattern, uint64_t number)
{
    size_t at = strcspn(pattern, "#");
    const char *rest = pattern + at + (pattern[at] == '#');
    if (pattern[at])
        snprintf(to, n, "%.*s%u%s", (int)at, pattern, (unsigned)number, rest);
    else
        snprintf(to, n, "%s", pattern);
    return span_str(to);
}

/* --- the queue --- */

static const char *const forms[] = { "450 4.2.1 mailbox busy, id #", "451 4.7.1 greylisted",
                                     "Connection refused by mx#.example.net", "" };

static struct span reason_text(struct world *w, char *to, size_t n)
{
    return filled(to, n, forms[below(w, 4)], below(w, 12) + 10000);
}

static void add(struct world *w)
{
    static const uint8_t lens[] = { 0, 4, 4, 16 };
    char addrs[3][64], reasons[3][64], sender[64], listener[8];
    struct sched_entry_rcpt rcpts[3];
    uint32_t n = 1 + (uint32_t)below(w, 3);
    struct sched_now now = qmgr_now(w->r->q);
    for (uint32_t i = 0; i < n; i++) {
        snprintf(addrs[i], sizeof addrs[i], "u%u@d%u.example", (unsigned)below(w, 50),
                 (unsigned)below(w, 12));
        rcpts[i] = (struct sched_entry_rcpt){
            .addr = span_str(addrs[i]),
            .reason = reason_text(w, reasons[i], sizeof reasons[i]),
            .held = below(w, 3) == 0,
            .quarantined = below(w, 4) == 0,
            .next_try_wall_ms = below(w, 3) ? now.wall_ms + (int64_t)below(w, 900000) : 0,
        };
    }
    snprintf(sender, sizeof sender, "s%u@o%u.example", (unsigned)below(w, 30),
             (unsigned)below(w, 5));
    snprintf(listener, sizeof listener, "l%u", (unsigned)below(w, 3));
    struct sched_entry e = { .seq = w->next_seq++, .received_ms = now.wall_ms,
                             .size_bytes = below(w, 5000), .sender = span_str(sender),
                             .listener = span_str(listener), .rcpts = rcpts, .rcpt_count = n,
                             .client_len = lens[below(w, 4)],
                             .client = { 10, 0, (uint8_t)below(w, 2), (uint8_t)below(w, 6) } };
    MUST(sched_add(w->s, &e, now));
}

static void change(struct world *w)
{
    char text[64];
    uint64_t seq = 1 + below(w, w->next_seq);
    switch (below(w, 6)) {
    case 0: sched_hold(w->s, seq, SCHED_ALL, SPAN("held by somebody")); break;
    case 1: sched_release(w->s, seq, SCHED_ALL, reason_text(w, text, sizeof text),
                          qmgr_now(w->r->q)); break;
    case 2: sched_delete(w->s, seq, (uint32_t)below(w, 3)); break;
    case 3: sched_retry(w->s, seq, SCHED_ALL, qmgr_now(w->r->q)); break;
    case 4:
        snprintf(text, sizeof text, "d%u.example", (unsigned)below(w, 12));
        sched_freeze(w->s, span_str(text));
        break;
    default:
        snprintf(text, sizeof text, "d%u.example", (unsigned)below(w, 12));
        sched_thaw(w->s, span_str(text));
        break;
    }
    while (sched_next_gone(w->s, &seq))
        ;
}

/* --- the questions --- */

static void word(struct world *w, char to[WORD_BYTES])
{
    static const char *const kinds[] = {
        "client=10.0.1.#", "client=10.0.#.0/24", "client~0.#",        "listener=l#",
        "from=s#@o1.example", "from=o#.example", "from~s1#",          "domain=d#.example",
        "domain=d1*",      "to=u#@d3.example",    "to~u4#",            "size>#00",
        "state=held",      "state=deferred,ready", "state=frozen",       "state=quarantined",
        "reason~busy",     "reason~1000#",        "reason~mx1000#",    "reason~nowhere",
        "reason~id *",     "reason=450*1000#",    "reason=*refused*",   "reason~greylisted",
        "reason=451 4.7.1 greylisted",             "reason~1#",         "target=d#.example",
        "reason=450 4.2.1 mailbox busy, id 1000#", "reason~frozen by",
        "reason~administrator; before that: 45#",  "reason=held*; before that: *1000#",
    };
    const char *any = below(w, 8) ? "" : "any.", *not = below(w, 5) ? "" : "!";
    char text[WORD_BYTES / 2];
    const char *kind = kinds[below(w, sizeof kinds / sizeof *kinds)];
    filled(text, sizeof text, kind, below(w, 3));
    snprintf(to, WORD_BYTES, "%s%s%s", any, not, text);
}

struct answer {
    uint64_t messages, bytes, recipients, ages; /* ages: all of them, xor */
};

static void take(struct answer *a, const struct query *y, const struct sched_msg_info *m)
{
    struct sched_rcpt_info r;
    a->messages++;
    a->bytes += m->size_bytes;
    a->ages ^= m->age * UINT64_C(0x9e3779b97f4a7c15);
    for (uint32_t i = 0; sched_msg_rcpt(m->here, i, &r); i++)
        a->recipients += query_rcpt(y, m, &r);
}

static struct answer found(struct world *w, struct query *y, bool every)
{
    struct answer a = { 0 };
    struct sched_msg_info m;
    enum query_got got = QUERY_LATER;
    query_again(y, every);
    while (got != QUERY_END) {
        admin_slice_begin(y->slice, w->r->q);
        while ((got = query_next(y, 0, &m)) == QUERY_ONE)
            take(&a, y, &m);
    }
    return a;
}

static struct answer each(struct world *w, const struct query *y)
{
    struct answer a = { 0 };
    struct sched_msg_info m;
    for (uint64_t at = 0; sched_each(w->s, &at, &m);)
        if (m.live_count && query_message(y, &m))
            take(&a, y, &m);
    return a;
}

static bool same(const struct answer *a, const struct answer *b)
{
    return a->messages == b->messages && a->bytes == b->bytes && a->ages == b->ages &&
           a->recipients == b->recipients;
}

/* Whether the sum is what the messages say; exact ones may count shared messages twice. */
static bool counted(struct world *w, struct query *y, const struct answer *want)
{
    struct query_sum sum = { 0 };
    query_again(y, false);
    do
        admin_slice_begin(y->slice, w->r->q);
    while (query_count(y, 0, false, &sum) == QUERY_LATER);
    w->exact += y->exact;
    if (sum.shared ? sum.messages < want->messages : sum.messages != want->messages)
        return false;
    return (y->exact && y->kind != QUEUE_RCPTS) || sum.recipients == want->recipients;
}

/* --- groups --- */

static const char *const bys[] = { "domain", "site", "reason", "state", "sender", "sender-domain",
                                   "listener", "client" };
enum { BYS = 8 };

struct tally {
    char key[QUEUE_CLASS_MAX + 1];
    uint64_t messages, recipients, bytes, last;
    int64_t oldest_ms;
};

static void key_text(size_t by, const struct sched_msg_info *m, const struct sched_rcpt_info *r,
                     struct buf *to)
{
    char class[QUEUE_CLASS_MAX];
    struct netaddr client;
    query_client(m, &client);
    switch (by) {
    case 0: buf_puts(to, r->addr.domain); break;
    case 1: buf_puts(to, r->site.n ? r->site : r->dest); break;
    case 2: buf_puts(to, span_of(class, queue_reason_class(r->reason, class))); break;
    case 3: buf_puts(to, span_str(queue_state_name(sched_queue_state(r)))); break;
    case 4: sched_addr_put(to, m->sender); break;
    case 5: buf_puts(to, m->sender.domain); break;
    case 6: buf_puts(to, sched_msg_listener(m->here)); break;
    default:
        if (client.family != NETADDR_NONE)
            netaddr_put_ip(to, &client);
    }
}

static void tally(struct tally *list, size_t *n, size_t max, struct span key,
                  const struct sched_msg_info *m)
{
    size_t i = 0;
    while (i < *n && !span_eq(span_str(list[i].key), key))
        i++;
    MUST(i < max && key.n < sizeof list->key);
    if (i == *n) {
        list[(*n)++] = (struct tally){ .oldest_ms = m->received_ms };
        memcpy(list[i].key, key.p, key.n);
    }
    struct tally *t = &list[i];
    t->recipients++;
    if (t->last == m->age)
        return;
    t->last = m->age;
    t->messages++;
    t->bytes += m->size_bytes;
}

static size_t tally_all(struct world *w, const struct query *y, size_t by, struct tally *list,
                        size_t max)
{
    struct sched_msg_info m;
    struct sched_rcpt_info r;
    size_t n = 0;
    for (uint64_t at = 0; sched_each(w->s, &at, &m);)
        for (uint32_t i = 0; query_message(y, &m) && sched_msg_rcpt(m.here, i, &r); i++) {
            struct buf key;
            buf_init(&key, 1024);
            buf_puts(&key, SPAN("\""));
            key_text(by, &m, &r, &key);
            buf_puts(&key, SPAN("\""));
            if (query_rcpt(y, &m, &r))
                tally(list, &n, max, buf_span(&key), &m);
            buf_free(&key);
        }
    return n;
}

static void on_admin_said(struct world *w, struct channel *ch, const struct msg_admin_said *m)
{
    struct msg_admin_more more = { .q = m->q };
    if (m->end) {
        w->ended = true;
        return;
    }
    buf_puts(&w->rows, m->text);
    buf_puts(&w->rows, SPAN("\n"));
    if (!m->text.n)
        send_admin_more(ch, &more);
}
PROTO_HANDLER(admin_said, struct world *, on_admin_said)

static void on_gone(void *ctx, struct channel *ch, const char *why)
{
    (void)ctx;
    (void)ch;
    (void)why;
}

static void desk_open(struct world *w)
{
    static const struct channel_type types[] = { PROTO_TYPE(admin_said) };
    static const struct channel_ops ops = { types, 1, on_gone, NULL };
    int fds[2];
    MUST(loop_pair(w->r->l, fds) == 0);
    qmgr_role.peer(w->r->q, ROLE_CONTROL, 0, fds[0]);
    w->desk = channel_new(w->r->l, fds[1], "qmgr", &ops, w);
}

static uint64_t number_in(struct span row, const char *name)
{
    const char *at = memmem(row.p, row.n, name, strlen(name));
    return at ? strtoull(at + strlen(name), NULL, 10) : UINT64_MAX;
}

static bool row_is(struct span row, const struct tally *t)
{
    bool at_most = memmem(row.p, row.n, "at_most", 7) != NULL;
    uint64_t messages = number_in(row, "\"messages\":"), bytes = number_in(row, "\"bytes\":"),
             recipients = number_in(row, "\"recipients\":");
    return (at_most ? messages >= t->messages : messages == t->messages && bytes == t->bytes) &&
           (recipients == UINT64_MAX || recipients == t->recipients) &&
           number_in(row, "\"oldest_ms\":") == (uint64_t)t->oldest_ms;
}

/* How many rows are as they are to be. */
static size_t rows_right(const struct world *w, size_t by, const struct tally *list, size_t n)
{
    size_t right = 0, skip = strlen(bys[by]) + 4; /* {"name": */
    struct span rest = buf_span(&w->rows);
    for (skip += by == 2 ? strlen("class") - strlen("reason") : 0; rest.n;) {
        struct span row = span_to(rest, span_find(rest, '\n'));
        rest = span_from(rest, row.n + 1);
        for (size_t i = 0; i < n; i++)
            right += span_starts(span_from(row, skip), span_str(list[i].key)) &&
                     row_is(row, &list[i]);
    }
    return right;
}

/* The row of all groups: each message once, or it says that it may not be so. */
static bool sum_right(struct span rows, uint64_t groups, uint64_t messages)
{
    const char *at = memmem(rows.p, rows.n, "\"groups\":", 9);
    struct span row = at ? span_from(rows, (size_t)(at - rows.p)) : SPAN_NONE;
    row = span_to(row, span_find(row, '\n'));
    bool at_most = memmem(row.p, row.n, "at_most", 7) != NULL;
    uint64_t said = number_in(row, "\"messages\":");
    return number_in(row, "\"groups\":") == groups &&
           (at_most ? said >= messages : said == messages);
}

/* The same, by something. */
static bool grouped(struct world *w, const struct query *y, struct span words, uint64_t messages)
{
    enum { GROUPS_MAX = 300 };
    static struct tally list[GROUPS_MAX];
    size_t by = below(w, BYS), n = tally_all(w, y, by, list, GROUPS_MAX);
    struct buf args;
    char text[32];
    buf_init(&args, 4096);
    snprintf(text, sizeof text, "by=%s", bys[by]);
    wire_put_bytes(&args, span_str(text));
    wire_put_bytes(&args, SPAN("limit=1000"));
    buf_puts(&args, words);
    struct msg_admin_ask m = { .q = ++w->groups, .who = SPAN("a test"), .verb = SPAN("groups"),
                               .args = buf_span(&args) };
    buf_init(&w->rows, 1 << 20);
    w->ended = false;
    send_admin_ask(w->desk, &m);
    for (int i = 0; !w->ended && i < 1000; i++)
        rig_turn(w->r);
    bool right = w->ended && rows_right(w, by, list, n) == n &&
                 sum_right(buf_span(&w->rows), n, messages);
    if (!right)
        printf("# by %s, %zu groups: %.*s\n", bys[by], n, SPAN_ARG(buf_span(&w->rows)));
    buf_free(&args);
    buf_free(&w->rows);
    return right;
}

static void ask(struct world *w, uint64_t seed)
{
    struct admin_ask a = { .q = w->r->q };
    struct query y;
    struct buf b;
    char words[WORDS_MAX][WORD_BYTES];
    size_t n = 1 + (size_t)below(w, WORDS_MAX);
    buf_init(&b, 4096);
    for (size_t i = 0; i < n; i++) {
        word(w, words[i]);
        wire_put_bytes(&b, span_str(words[i]));
    }
    struct wire args = wire_reader(buf_span(&b));
    MUST(query_init(&y, &a, &args, NULL));
    struct answer want = each(w, &y), by_plan = found(w, &y, false);
    w->by_cells += y.by_cells;
    w->by_all += !y.by_cells;
    w->found += want.messages;
    struct answer by_all = found(w, &y, true);
    if (!same(&want, &by_plan) || !same(&want, &by_all) || !counted(w, &y, &want) ||
        !grouped(w, &y, buf_span(&b), want.messages))
        TEST_FAIL("seed %" PRIu64 ": %s %s %s %s: %" PRIu64 " messages with %" PRIu64
                  " recipients; by plan %" PRIu64 ", %" PRIu64 "; by all %" PRIu64, seed,
                  words[0], n > 1 ? words[1] : "", n > 2 ? words[2] : "", n > 3 ? words[3] : "",
                  want.messages, want.recipients, by_plan.messages, by_plan.recipients,
                  by_all.messages);
    query_free(&y);
    buf_free(&b);
}

static void filters(void)
{
    const char *given = getenv("TEST_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 10) : 1;
    struct world w = { .r = rig_new(11), .random = seed * 0x9e3779b97f4a7c15u + 1, .next_seq = 1 };
    w.s = w.r->q->sched;
    desk_open(&w);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < MAILS / ROUNDS; i++)
            add(&w);
        for (int i = 0; i < MAILS / ROUNDS; i++)
            change(&w);
        for (int i = 0; i < FILTERS; i++)
            ask(&w, seed);
    }
    printf("# %" PRIu64 " by cells, %" PRIu64 " by all, %" PRIu64 " counted by cells, %" PRIu64
           " messages found\n", w.by_cells, w.by_all, w.exact, w.found);
    CHECK(w.exact > 50 && w.by_cells > 50 && w.by_all > 50 && w.found > 1000);
    channel_free(&w.desk);
    rig_free(&w.r);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = { { "query/filters", filters } };
    return test_main(tests, sizeof tests / sizeof *tests, argc, argv);
}
