/* route.local_delivery and an alias's command, with names an attacker chose: filling in makes no
 * word more, no path that leads elsewhere. First line: detail and sender; the rest: the text. */
#include "base/must.h"
#include "mail/delivery.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static size_t count(const char *const *words)
{
    size_t i = 0;
    while (words[i])
        i++;
    return i;
}

static void command(struct span text, const struct delivery_names *names)
{
    const char *plain[DELIVERY_WORDS_MAX + 1], *filled[DELIVERY_WORDS_MAX + 1];
    struct arena *a = arena_new(1 << 20);
    struct err e;
    bool ok = delivery_command(text, NULL, a, plain, &e);
    if (ok)
        MUST(plain[0][0] == '/' && count(plain) <= DELIVERY_WORDS_MAX);
    if (delivery_command(text, names, a, filled, &e))
        MUST(ok && count(filled) == count(plain));
    arena_free(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct span all = span_of(data, n < 4096 ? n : 4096);
    size_t line = span_find(all, '\n');
    struct span name = span_to(all, line), text = span_from(all, line + 1);
    struct delivery_names names = { SPAN("ann"), name, SPAN("/home/ann"), name };
    struct delivery d;
    struct err e;
    struct buf b;
    buf_init(&b, DELIVERY_PATH_MAX);
    if (delivery_parse(text, &d, &e) && delivery_path(&b, d.rest, &names, &e)) {
        MUST(b.len > 0 && buf_span(&b).p[0] == '/');
        bool used = memmem(d.rest.p, d.rest.n, "%d", 2) && !memmem(d.rest.p, d.rest.n, "%%", 2);
        MUST(!used || span_find(name, '/') == name.n);
    }
    command(text, &names);
    buf_free(&b);
    return 0;
}
