/* A whole session. The input is a script: each byte of 0xF0 and above is something that happens
 * (an answer, credit, time, the end of the line ...), what stands between them are packets. The
 * first byte chooses the configuration. The test bed checks the rest; here: balance at the end,
 * and that a 250 for a message comes from a receipt. */
#include "../dialog/bed.h"
#include "base/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void happen(struct bed *b, unsigned what)
{
    static const struct bed_rule full = { .text = "full",
                                          .reply = { .code = 452, .enhanced = "4.3.1" } };
    switch (what & 15) {
    case 0: bed_answer(b, b->question); break;
    case 1: b->late = ~0u; break;
    case 2: b->late = 0; break;
    case 3: b->credit_bytes = 1; break;
    case 4: b->credit_bytes = SIZE_MAX; bed_resume(b); break;
    case 5: b->hold_commit = !b->hold_commit; break;
    case 6: bed_committed(b); bed_pump(b); break;
    case 7: bed_refused(b, &full); bed_pump(b); break;
    case 8: bed_clock(b, 31 * 1000); break;
    case 9: bed_clock(b, 301 * 1000); break;
    case 10: bed_tls(b); break;
    case 11: smtp_server_lost(b->s); break;
    case 12: smtp_server_shutdown(b->s); bed_pump(b); break;
    case 13: b->no_lease = !b->no_lease; break;
    default: break; /* the end of a packet, no more */
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct bed b;
    if (n == 0 || n > 100000)
        return 0;
    bed_init(&b);
    b.config.ask = data[0] & 1 ? ~0u : 0;
    b.late = data[0] & 2 ? ~0u : 0;
    b.client.normalise = data[0] & 4;
    b.config.starttls = data[0] & 8;
    b.config.auth = data[0] & 1 ? SPAN("LOGIN") : SPAN("");
    b.config.message_bytes = data[0] & 16 ? 20 : 0;
    b.config.recipients = data[0] & 32 ? 2 : 1000;
    bed_rule_add(&b, SPAN("auth LOGIN"), SPAN("334 - VXNlcm5hbWU6"));
    bed_rule_add(&b, SPAN("no@b"), SPAN("550 5.1.1 User unknown"));
    bed_start(&b);
    for (size_t i = 1, end; i < n; i = end + 1) {
        for (end = i; end < n && data[end] < 0xf0;)
            end++;
        bed_input(&b, span_of(data + i, end - i));
        if (end < n)
            happen(&b, data[end]);
    }
    smtp_server_free(&b.s);
    MUST(b.ended[0] + b.ended[1] + b.ended[2] + b.ended[3] == b.leased);
    MUST(b.ended[SMTP_END_COMMITTED] == b.accepted);
    bed_free(&b);
    return 0;
}
