/* explain: questions of an admin about the tables: arguments, verbs and what the JSON says. */
#include "test.h"

#include "base/must.h"
#include "explain/route.h"

static struct {
    struct buf wire, json;
    struct err e;
    struct explain_args args;
} q;

static bool read_args(const char *const *args)
{
    buf_free(&q.wire);
    buf_init(&q.wire, 1 << 20);
    for (; *args; args++)
        wire_put_bytes(&q.wire, span_str(*args));
    struct wire w = wire_reader(buf_span(&q.wire));
    q.e.text[0] = 0;
    return explain_args_get(&w, &q.args, &q.e);
}
#define ARGS(...) read_args((const char *const[]){ __VA_ARGS__, NULL })

static void arguments(void)
{
    CHECK(ARGS("rcpt=a=b@c", "from=", "expanded", "canon=", "key=x y"));
    CHECK_SPAN(q.args.rcpt, SPAN("a=b@c"));
    CHECK_SPAN(q.args.key, SPAN("x y"));
    CHECK(q.args.has_rcpt && q.args.has_canon && q.args.has_key && q.args.expanded);
    CHECK(!q.args.released && q.args.canon.n == 0 && q.args.from.n == 0);
    CHECK(!ARGS("nosuch=1") && strstr(q.e.text, "nosuch"));
    CHECK(!ARGS("expanded=yes") && q.e.text[0]);
    CHECK(!ARGS("rcpt") && q.e.text[0]);
    struct wire cut = wire_reader(SPAN("\x09\0\0\0rcpt"));
    CHECK(!explain_args_get(&cut, &q.args, &q.e));
}

static struct route_tables *tables(struct map **map)
{
    struct map_report r;
    struct route_params p = { .hostname = SPAN("mx.example.net") };
    map_report_init(&r);
    *map = map_open(SPAN("inline:to.example relay:[192.0.2.1]; real.example hold:why"),
                    &(struct map_params){ .seed = 1 }, &r);
    p.mailertable = *map;
    struct route_tables *t = route_tables_new(&p, &r);
    MUST(t && r.errors == 0);
    map_report_free(&r);
    return t;
}

static bool ask(const struct route_tables *t, const char *verb)
{
    struct arena *a = arena_new(1 << 20);
    buf_free(&q.json);
    buf_init(&q.json, EXPLAIN_JSON_MAX);
    q.e.text[0] = 0;
    bool good = explain_route(t, span_str(verb), &q.args, a, &q.json, &q.e);
    arena_free(&a);
    return good && !q.json.failed;
}

static bool says(const char *text) { return strstr(buf_cstr(&q.json), text) != NULL; }

static void answers(void)
{
    struct map *map;
    struct route_tables *t = tables(&map);
    CHECK(ARGS("rcpt=u@to.example") && ask(t, "route"));
    CHECK(says("\"value\":\"relay:[192.0.2.1]\"") && says("\"hops\":\"[192.0.2.1]\""));
    CHECK(says("\"what\":\"mailertable\""));
    CHECK(ARGS("rcpt=u@alias.example") && ask(t, "route"));
    CHECK(says("\"need_canon\":\"alias.example\"") && !says("\"dest\""));
    CHECK(ARGS("rcpt=u@alias.example", "canon=real.example") && ask(t, "route"));
    CHECK(says("\"mailer\":\"hold\"") && says("\"text\":\"why\""));
    CHECK(ARGS("rcpt=u@alias.example", "canon=") && ask(t, "route"));
    CHECK(says("\"value\":\"esmtp:alias.example\""));
    CHECK(ARGS("rcpt=u@else.example", "client=192.0.2.9") && ask(t, "accept"));
    CHECK(says("\"accepted\":false") && says("\"reply\":550"));
    CHECK(ARGS("table=mailertable", "key=to.example") && ask(t, "map"));
    CHECK(says("\"found\":1") && says("\"value\":\"relay:[192.0.2.1]\""));
    CHECK(ARGS("table=mailertable", "key=no.example") && ask(t, "map") && says("\"found\":0"));
    CHECK(ARGS("table=smarttable", "key=x") && ask(t, "map") && says("\"in_use\":false"));
    route_tables_free(&t);
    map_free(&map);
}

static void refusals(void)
{
    struct map *map;
    struct route_tables *t = tables(&map);
    CHECK(ARGS("from=x") && !ask(t, "route") && strstr(q.e.text, "rcpt="));
    CHECK(ARGS("rcpt=x") && !ask(t, "nosuch") && q.e.text[0]);
    CHECK(ARGS("rcpt=x", "client=1.2.3") && !ask(t, "accept") && q.e.text[0]);
    CHECK(ARGS("table=nosuch") && !ask(t, "map") && q.e.text[0]);
    CHECK(ARGS("rcpt=x", "type=XX") && !ask(t, "rewrite") && q.e.text[0]);
    route_tables_free(&t);
    map_free(&map);
    buf_free(&q.wire);
    buf_free(&q.json);
}

static const struct test tests[] = { TEST(arguments), TEST(answers), TEST(refusals) };
TEST_MAIN(tests)
