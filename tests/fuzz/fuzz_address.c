/* Any text as a path. What is taken has no controls in it, and its envelope form reads back as
 * the same mailbox. */
#include "base/must.h"
#include "mail/address.h"
#include "mail/untrusted.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct span s = span_of(data, n);
    struct address a, again;
    if (address_take(&s, &a) != ADDRESS_OK)
        return 0;
    MUST(untrusted_clean(a.local, UNTRUSTED_UTF8) || a.utf8);
    MUST(!memchr(a.typed.p, '\n', a.typed.n) || a.domain.n == 0 || a.typed.p[0] == '<');
    struct arena *arena = arena_new(64 * 1024);
    struct span normal = address_normal(arena, &a), twice;
    MUST(normal.p && normal.n <= ADDRESS_MAX);
    MUST(address_read(normal, &again) == ADDRESS_OK);
    MUST(again.null == a.null && again.literal == a.literal && again.utf8 == a.utf8);
    MUST(span_eq(again.local, a.local) && span_ieq(again.domain, a.domain));
    twice = address_normal(arena, &again);
    MUST(span_eq(twice, normal));
    for (size_t i = 0; i < normal.n; i++)
        MUST((unsigned char)normal.p[i] >= 32 && normal.p[i] != 127);
    arena_free(&arena);
    return 0;
}
