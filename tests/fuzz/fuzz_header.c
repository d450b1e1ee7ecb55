/* A header walked whole and walked in two pieces gives the same facts. The first byte says where
 * it is cut. */
#include "base/must.h"
#include "mail/headerwalk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n == 0)
        return 0;
    struct span s = span_of(data + 1, n - 1);
    size_t cut = data[0] < s.n ? data[0] : s.n;
    struct headerwalk whole, cuts;
    headerwalk_init(&whole, SPAN("i1"));
    headerwalk_init(&cuts, SPAN("i1"));
    size_t used = headerwalk_input(&whole, s);
    size_t parts = headerwalk_input(&cuts, span_to(s, cut));
    parts += headerwalk_input(&cuts, span_from(s, cut));
    MUST(used == parts && used <= s.n && whole.header_bytes == used);
    MUST(whole.done == cuts.done && (whole.done || used == s.n));
    MUST(whole.received == cuts.received && whole.ours == cuts.ours);
    MUST(whole.ours <= whole.received);
    MUST(span_eq(headerwalk_msgid(&whole), headerwalk_msgid(&cuts)));
    return 0;
}
