/* What any program hands to sendmail -t: lines, header and addresses, cut anywhere. */
#include "base/must.h"
#include "mail/addrlist.h"
#include "mail/compose.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void read_lists(struct span header)
{
    struct compose_field f;
    while (compose_next_field(&header, &f)) {
        struct addrlist l;
        struct span addr;
        size_t count = 0;
        addrlist_init(&l, f.value);
        while (addrlist_next(&l, &addr) != 0)
            MUST(++count <= f.value.n + 1);
        addrlist_free(&l);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 2)
        return 0;
    struct compose_lines l;
    struct buf text, out;
    size_t cut = data[0] < n - 1 ? data[0] : n - 1, end = 0;
    bool empty;
    buf_init(&text, 4 * n + 64);
    buf_init(&out, 8 * n + 4096);
    compose_lines_init(&l, data[1] & 1);
    MUST(compose_lines_put(&l, span_of(data + 1, cut), &text));
    MUST(compose_lines_put(&l, span_of(data + 1 + cut, n - 1 - cut), &text));
    MUST(compose_lines_end(&l, &text));
    struct span s = buf_span(&text);
    MUST(!s.n || span_ends(s, SPAN("\r\n")));
    for (size_t i = 0; i < s.n; i++)
        MUST(s.p[i] != (i + 1 < s.n && s.p[i + 1] == '\n' ? '\n' : '\r') || i + 1 == s.n ||
             s.p[i + 1] == '\n');
    if (compose_header_end(s, true, &end, &empty) == 1) {
        struct compose_facts f = { .sender = SPAN("a@b"), .host = SPAN("h"), .unique = SPAN("1") };
        MUST(end <= s.n);
        MUST(compose_header_put(&out, span_to(s, end), &f));
        MUST(span_ends(buf_span(&out), SPAN("\r\n\r\n")));
        read_lists(span_to(s, end));
    }
    read_lists(span_of(data, n));
    buf_free(&text);
    buf_free(&out);
    return 0;
}
