/* The order in which keys are searched, against a model that looks at it from the other side:
 * not "which keys does this address have" but "how well does this key fit the address". */
#include "test.h"

#include "base/must.h"
#include "route/route.h"

static struct arena *arena;

#define N(list) (sizeof list / sizeof *(list))

static uint32_t rnd(uint32_t *state, uint32_t below)
{
    *state = *state * 1664525u + 1013904223u;
    return (*state >> 8) % below;
}

static bool is(const char *a, const char *b) { return strcasecmp(a, b) == 0; }

/* A user with a detail, as keys and addresses have it. */
struct address {
    char user[32], detail[32], domain[64];
    bool detailed;
};

static struct address split(const char *text)
{
    struct address a = { .detailed = false };
    const char *at = strchr(text, '@'), *plus = memchr(text, '+', (size_t)(at - text));
    snprintf(a.user, sizeof a.user, "%.*s", (int)((plus ? plus : at) - text), text);
    if (plus)
        snprintf(a.detail, sizeof a.detail, "%.*s", (int)(at - plus - 1), plus + 1);
    snprintf(a.domain, sizeof a.domain, "%s", at + 1);
    a.detailed = plus != NULL;
    return a;
}

/* --- access --- */

static const char *const access_keys[] = {
    "u@a.b.test", "u+d@a.b.test", "u@", "u+d@", "v@", "a.b.test", "b.test", "test", "c.test",
    "v@c.test", "u@b.test",
};

/* How badly a key fits: 0 best, 99 not at all. */
static int access_rank(const char *key, const struct address *a)
{
    size_t kn = strlen(key), dn = strlen(a->domain);
    const char *at = strchr(key, '@');
    if (!at) { /* each label in front of it that it leaves out makes it worse */
        bool under = dn > kn && a->domain[dn - kn - 1] == '.' && is(a->domain + dn - kn, key);
        int labels = 0;
        for (size_t i = 0; under && i < dn - kn; i++)
            labels += a->domain[i] == '.';
        return is(key, a->domain) ? 4 : under ? 4 + labels : 99;
    }
    struct address k = split(key);
    bool whole = k.detailed == a->detailed && is(k.detail, a->detail);
    if (!is(k.user, a->user) || (k.detailed && !whole))
        return 99;
    if (!at[1])
        return whole ? 2 : 3;
    return !is(k.domain, a->domain) ? 99 : whole ? 0 : 1;
}

static void access_order(void)
{
    static const char *const senders[] = { "u@a.b.test", "u+d@a.b.test", "U+e@A.b.test", "v@c.test",
                                           "w@x.c.test", "v@a.b.test", "u@c.test", "w@other" };
    static const char *const tags[] = { "From:", "", "To:", "Connect:" };
    uint32_t state = 7;
    for (int round = 0; round < 600; round++) {
        struct map *m = map_ram_new(SPAN("ram"), 1);
        struct map_report r;
        bool in[N(access_keys)][4], skip[N(access_keys)][4];
        for (size_t i = 0; i < N(access_keys); i++)
            for (size_t tag = 0; tag < 4; tag++) {
                char key[64], value[64];
                in[i][tag] = rnd(&state, 4) == 0;
                skip[i][tag] = rnd(&state, 5) == 0;
                snprintf(key, sizeof key, "%s%s", tags[tag], access_keys[i]);
                snprintf(value, sizeof value, "550 %zu/%zu", i, tag);
                if (in[i][tag])
                    map_ram_set(m, span_str(key),
                                skip[i][tag] ? SPAN("SKIP") : span_str(value), 1);
            }
        map_report_init(&r);
        struct route_params p = { .access = m };
        struct route_tables *t = route_tables_new(&p, &r);
        for (size_t s = 0; s < N(senders); s++) {
            struct address a = split(senders[s]);
            char want[64] = "", got[128] = "";
            int best = 99 * 2;
            for (size_t i = 0; i < N(access_keys); i++)
                for (size_t tag = 0; tag < 2; tag++) {
                    int rank = access_rank(access_keys[i], &a) * 2 + (int)tag;
                    if (!in[i][tag] || rank >= best)
                        continue;
                    best = rank;
                    snprintf(want, sizeof want, "%zu/%zu", i, tag);
                    if (skip[i][tag])
                        want[0] = 0;
                }
            struct route_client c = { .ip = { .family = NETADDR_V4, .ip = { 192, 0, 2, 1 } } };
            struct route_accept out;
            arena_reset(arena);
            if (!route_accept_sender(t, &c, span_str(senders[s]), arena, NULL, &out))
                snprintf(got, sizeof got, "%.*s", SPAN_ARG(out.reply.text));
            if (strcmp(got, want) != 0)
                TEST_FAIL("round %d, %s: \"%s\", want \"%s\"", round, senders[s], got, want);
        }
        route_tables_free(&t);
        map_report_free(&r);
        map_free(&m);
    }
}

/* --- virtusertable --- */

static int virtual_rank(const char *key, const struct address *a)
{
    struct address k = split(key);
    if (!is(k.domain, a->domain))
        return 99;
    if (!k.user[0])
        return !k.detailed ? 4 : a->detailed ? 3 : 99; /* "@d", "+*@d" */
    if (!is(k.user, a->user))
        return 99;
    if (k.detailed && is(k.detail, "*"))
        return a->detailed ? 1 : 99;
    if (k.detailed)
        return a->detailed && is(k.detail, a->detail) ? 0 : 99;
    return a->detailed ? 2 : 0;
}

static void virtual_order(void)
{
    static const char *const keys[] = { "u@v.test", "u+d@v.test", "u+*@v.test", "+*@v.test",
                                        "@v.test", "w@v.test", "@other.test", "u@other.test" };
    static const char *const rcpts[] = { "u@v.test", "U+d@V.test", "u+e@v.test", "w@v.test",
                                         "w+d@v.test", "z@v.test", "z+d@v.test", "u@other.test",
                                         "u+d@other.test" };
    uint32_t state = 99;
    for (int round = 0; round < 600; round++) {
        struct map *m = map_ram_new(SPAN("ram"), 1);
        struct map_report r;
        bool in[N(keys)];
        map_ram_set(m, SPAN("never@v.test"), SPAN("x@y"), 1); /* both domains are ours */
        map_ram_set(m, SPAN("never@other.test"), SPAN("x@y"), 1);
        for (size_t i = 0; i < N(keys); i++) {
            char value[64];
            snprintf(value, sizeof value, "r%zu.%%1.%%2%%3@far.test", i);
            if ((in[i] = rnd(&state, 2) == 0))
                map_ram_set(m, span_str(keys[i]), span_str(value), 1);
        }
        map_report_init(&r);
        struct route_params p = { .virtusertable = m };
        struct route_tables *t = route_tables_new(&p, &r);
        for (size_t s = 0; s < N(rcpts); s++) {
            struct address a = split(rcpts[s]);
            char want[128] = "no", got[128] = "no";
            int best = 99;
            for (size_t i = 0; i < N(keys); i++) {
                int rank = virtual_rank(keys[i], &a);
                if (!in[i] || rank >= best)
                    continue;
                best = rank;
                snprintf(want, sizeof want, "r%zu.%s.%s%s%s@far.test", i, a.user, a.detail,
                         a.detailed ? "+" : "", a.detail);
            }
            struct route_client c = { .ip = { .family = NETADDR_V4, .ip = { 192, 0, 2, 1 } } };
            struct route_accept out;
            arena_reset(arena);
            if (route_accept_rcpt(t, &c, SPAN("s@x"), span_str(rcpts[s]), arena, NULL, &out))
                snprintf(got, sizeof got, "%.*s", SPAN_ARG(out.targets[0].addr));
            if (strcmp(got, want) != 0)
                TEST_FAIL("round %d, %s: \"%s\", want \"%s\"", round, rcpts[s], got, want);
        }
        route_tables_free(&t);
        map_report_free(&r);
        map_free(&m);
    }
}

/* --- aliases: what is reached is what can be reached in the graph --- */

enum { NAMES = 8 };

/* Users that a name leads to: those without an alias, and those that name themselves. */
static void reach(const bool edge[NAMES][NAMES], const bool alias[NAMES], int at, bool seen[NAMES],
                  bool users[NAMES])
{
    if (seen[at])
        return;
    seen[at] = true;
    if (!alias[at] || edge[at][at])
        users[at] = true;
    for (int to = 0; alias[at] && to < NAMES; to++)
        if (edge[at][to] && to != at)
            reach(edge, alias, to, seen, users);
}

static void alias_graph(void)
{
    uint32_t state = 5;
    for (int round = 0; round < 600; round++) {
        bool edge[NAMES][NAMES] = { { false } }, alias[NAMES];
        struct map *m = map_ram_new(SPAN("ram"), 1);
        struct map_report r;
        for (int i = 0; i < NAMES; i++) {
            struct buf b;
            char name[8];
            buf_init(&b, 256);
            alias[i] = false;
            for (int k = 0; k < NAMES; k++)
                if (rnd(&state, 4) == 0) {
                    edge[i][k] = alias[i] = true;
                    buf_printf(&b, "%sn%d", b.len ? ", " : "", k);
                }
            snprintf(name, sizeof name, "n%d", i);
            if (alias[i])
                map_ram_set(m, span_str(name), buf_span(&b), 1);
            buf_free(&b);
        }
        map_report_init(&r);
        struct route_params p = { .aliases = m, .alias_depth = 50 };
        struct route_tables *t = route_tables_new(&p, &r);
        for (int i = 0; i < NAMES; i++) {
            bool seen[NAMES] = { false }, want[NAMES] = { false }, got[NAMES] = { false };
            struct route_client c = { .ip = { .family = NETADDR_NONE } };
            struct route_accept out;
            char name[8];
            snprintf(name, sizeof name, "n%d", i);
            reach(edge, alias, i, seen, want);
            arena_reset(arena);
            route_accept_rcpt(t, &c, SPAN("s@x"), span_str(name), arena, NULL, &out);
            for (size_t k = 0; k < out.target_count; k++)
                got[out.targets[k].addr.p[1] - '0'] = true;
            if (memcmp(got, want, sizeof got) != 0)
                TEST_FAIL("round %d: n%d reaches others than it should", round, i);
        }
        route_tables_free(&t);
        map_report_free(&r);
        map_free(&m);
    }
}

static const struct test tests[] = { TEST(access_order), TEST(virtual_order), TEST(alias_graph) };

int main(int argc, char **argv)
{
    arena = arena_new((size_t)1 << 24);
    int rc = test_main(tests, sizeof tests / sizeof *tests, argc, argv);
    arena_free(&arena);
    return rc;
}
