/* Content scanned whole and scanned in pieces is the same. First byte: policy and DATA or BDAT;
 * second: length of the pieces. What comes out holds no CR or LF but in CRLFs, whatever went
 * in, and the end is only ever a CRLF.CRLF. */
#include "base/buf.h"
#include "base/must.h"
#include "smtp/data.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static size_t scan(struct data_scan *d, struct span s, size_t piece, struct buf *out, bool *end_r)
{
    size_t used = 0, one;
    while (used < s.n && !*end_r) {
        struct span rest = span_to(span_from(s, used), piece), given;
        while (rest.n > 0 && !*end_r) {
            *end_r = data_scan_next(d, rest, &one, &given);
            rest = span_from(rest, one);
            used += one;
            MUST(buf_puts(out, given));
        }
    }
    return used;
}

static bool crlf_only(struct span s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '\n' || (s.p[i] == '\r' && (i + 1 == s.n || s.p[i + 1] != '\n')))
            return false;
        i += s.p[i] == '\r';
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 3)
        return 0;
    struct span s = span_of(data + 2, n - 2);
    enum data_policy policy = data[0] & 1 ? DATA_NORMALISE : DATA_REJECT;
    struct data_scan a, b;
    struct buf out_a, out_b;
    bool end_a = false, end_b = false;
    buf_init(&out_a, 4 * n + 16);
    buf_init(&out_b, 4 * n + 16);
    data_scan_init(&a, policy, !(data[0] & 2));
    b = a;
    size_t used_a = scan(&a, s, SIZE_MAX, &out_a, &end_a);
    size_t used_b = scan(&b, s, data[1] ? data[1] : 1, &out_b, &end_b);
    MUST(end_a == end_b && used_a == used_b && a.bad == b.bad);
    struct span whole = span_to(s, used_a), given = buf_span(&out_a);
    bool dropped = a.bad && policy == DATA_REJECT;
    MUST(dropped ? given.n <= s.n : span_eq(given, buf_span(&out_b)));
    MUST(!end_a || span_eq(whole, SPAN(".\r\n")) || span_ends(whole, SPAN("\r\n.\r\n")));
    MUST(end_a || data[0] & 2 || !memmem(s.p, s.n, "\r\n.\r\n", 5));
    MUST(dropped || crlf_only(given));
    buf_free(&out_a);
    buf_free(&out_b);
    return 0;
}
