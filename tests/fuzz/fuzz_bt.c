/* Address test mode: any line, with any value in every table, ends, and what it prints are whole
 * lines of the known form. Input: a table value, LF, the sender, LF, the address. */
#include "base/must.h"
#include "bt/bt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static bool yes(void *ctx, const char *table) { return ctx && table; }
static int find(void *ctx, const char *table, struct span key, struct span *value_r)
{
    *value_r = *(struct span *)ctx;
    return table && key.n % 3 == 1;
}
static enum bt_canon canon(void *ctx, struct span name, struct span *canon_r)
{
    *canon_r = name.n % 2 ? *(struct span *)ctx : name;
    return (enum bt_canon)(name.n % 5 == 4 ? BT_CANON_LATER : name.n % 3 == 2);
}
static bool ours(void *ctx, struct span domain) { return ctx && domain.n % 4 == 3; }
static struct span rewrite(void *ctx, bool header, bool sender, struct span addr)
{
    return header && sender ? *(struct span *)ctx : addr;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct span rest = span_of(data, n), value = span_to(rest, span_find(rest, '\n'));
    rest = span_from(rest, value.n + 1);
    struct span sender = span_to(rest, span_find(rest, '\n'));
    struct buf out;
    struct toks words, first;
    struct bt_triple triple;
    buf_init(&out, 64 << 20);
    struct bt t = { .world = { yes, find, canon, ours, ours, rewrite, &value },
                    .arena = arena_new(16 << 20), .out = &out, .hostname = SPAN("mx.example.net"),
                    .smart_host = value, .sender = sender };
    first = toks_of(t.arena, span_from(rest, sender.n + 1));
    MUST(bt_rules(&t, SPAN("3"), first, &words));
    MUST(bt_rules(&t, SPAN("0"), words, &words));
    if (bt_triple(words, &triple))
        bt_mailer_rules(&t, toks_join(t.arena, triple.mailer), n % 2, n % 3 == 0, triple.user);
    MUST(bt_rules(&t, SPAN("MailerToTriple"), first, &words));
    MUST(bt_rules(&t, SPAN("Mailertable"), first, &words));
    MUST(out.len && out.mem[out.off + out.len - 1] == '\n');
    buf_free(&out);
    arena_free(&t.arena);
    return 0;
}
