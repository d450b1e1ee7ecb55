/* A report about anything: whatever the peer said and the header holds, it can be composed, and
 * every line of it ends in CRLF and is no longer than 998 octets.
 * The input: two bytes of choices, then reply, address, ORCPT and ENVID up to a NUL each, then
 * the header. */
#include "base/must.h"
#include "dsn/dsn.h"

static struct span take(struct span *s, size_t max)
{
    size_t end = span_find(*s, '\0');
    struct span field = span_to(span_to(*s, end), max);
    *s = span_from(*s, end + 1);
    return field;
}

static void check_lines(struct span s)
{
    size_t column = 0;
    for (size_t i = 0; i < s.n; i++) {
        MUST(s.p[i] != '\0');
        if (s.p[i] == '\r') {
            MUST(i + 1 < s.n && s.p[i + 1] == '\n');
            i++;
            column = 0;
            continue;
        }
        MUST(s.p[i] != '\n' && ++column <= 998);
    }
    MUST(column == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 2)
        return 0;
    unsigned choice = data[0];
    struct span rest = span_of(data + 2, n - 2);
    struct span reply = take(&rest, SIZE_MAX), addr = take(&rest, ENVELOPE_ADDR_MAX);
    struct span orcpt = take(&rest, ENVELOPE_TEXT_MAX), envid = take(&rest, ENVELOPE_TEXT_MAX);
    struct envelope_rcpt er = { .addr = addr, .orcpt = orcpt };
    struct envelope e = { .sender = addr, .envid = envid, .helo = orcpt, .client_ip = envid,
                          .rcpts = &er, .rcpt_count = 1,
                          .flags = choice & 1 ? ENVELOPE_SMTPUTF8 : 0 };
    struct dsn_rcpt rcpt = { .rcpt = &er, .status = orcpt, .reply = reply, .host = addr,
                             .ip = envid, .stage = orcpt, .local = (choice & 2) != 0,
                             .expired = (choice & 4) != 0, .duplicate = (choice & 8) != 0,
                             .last_status = orcpt, .untried = (data[1] & 1) != 0,
                             .returned = (data[1] & 2) != 0, .expanded = (data[1] & 4) != 0,
                             .attempts = data[1], .last_attempt_ms = 1, .will_retry_until_ms = 2 };
    struct dsn_report r = { .kind = (enum dsn_kind)(choice / 16 % 3), .env = &e,
                            .to = data[1] & 8 ? SPAN("a@b.example") : addr,
                            .id = queueid_make(1, 1), .hostname = SPAN("mx.example"),
                            .postmaster = SPAN("postmaster@mx.example"), .rcpts = &rcpt,
                            .rcpt_count = 1, .header = rest,
                            .content = choice & 128 ? rest : SPAN_NONE };
    struct buf out;
    buf_init(&out, DSN_OUT_MAX + n);
    uint32_t flags;
    MUST(dsn_compose(&r, &out, &flags));
    check_lines(buf_span(&out));
    for (size_t i = 0; i < out.len && !(flags & ENVELOPE_8BITMIME); i++)
        MUST((unsigned char)out.mem[out.off + i] < 128);
    buf_free(&out);
    return 0;
}
