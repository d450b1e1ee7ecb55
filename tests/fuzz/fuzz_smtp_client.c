/* A hostile server and an unlucky owner: the input is what the server says, with bytes below 9
 * for what else may happen. The rig checks what is promised whatever comes. The first byte
 * chooses the configuration. */
#include "../dialog_client/rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void send_some(struct rig *r)
{
    static const struct span content = { "Subject: x\r\n\r\n.dot\r\nno end", 26 };
    if (r->in_message)
        return;
    r->rcpts[0] = (struct envelope_rcpt){ .addr = SPAN("b@there.test"), .notify = NOTIFY_SUCCESS };
    r->rcpts[1] = (struct envelope_rcpt){ .addr = SPAN("c@there.test") };
    r->rcpts[2] = (struct envelope_rcpt){ .addr = SPAN("\xc3\xa4@there.test") };
    r->m.sender = SPAN("a@here.test");
    r->m.rcpt_count = 3;
    r->m.size_bytes = content.n;
    rig_send(r, content);
}

static void happen(struct rig *r, int what)
{
    switch (what) {
    case 1: rig_drain(r, NULL); break;
    case 2: smtp_client_eof(r->c, SPAN_NONE, r->now); break;
    case 3:
        if (smtp_client_deadline(r->c) != INT64_MAX)
            smtp_client_tick(r->c, r->now = smtp_client_deadline(r->c));
        break;
    case 4: send_some(r); break;
    case 5: smtp_client_tls_done(r->c, r->now); break;
    case 6: r->hold = !r->hold; rig_give(r); break;
    case 7:
        if (!r->in_message)
            smtp_client_quit(r->c, r->now);
        break;
    default: smtp_client_sent(r->c, smtp_client_output(r->c).n / 2, r->now); break;
    }
}

static void play(struct rig *r, const uint8_t *data, size_t n)
{
    size_t from = 0;
    for (size_t i = 0; i < n; i++) {
        if (data[i] > 8 && data[i] != '\n' && i + 1 < n)
            continue;
        bool line = data[i] > 8;
        smtp_client_input(r->c, span_of(data + from, i - from + line), r->now);
        from = i + 1;
        if (!line)
            happen(r, data[i]);
        else if (r->now % 2 == 0) /* the usual owner writes at once */
            rig_drain(r, NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n == 0)
        return 0;
    struct rig r;
    rig_init(&r);
    r.now = data[0] & 1;
    r.conf.lmtp = data[0] & 2;
    r.conf.tls = data[0] & 4 ? SMTP_TLS_TRY : data[0] & 8 ? SMTP_TLS_REQUIRE : SMTP_TLS_OFF;
    r.conf.chunk_bytes = data[0] & 16 ? 5 : 4096;
    r.m.quit = data[0] & 32;
    r.m.flags = data[0] & 64 ? ENVELOPE_8BITMIME : 0;
    rig_start(&r);
    play(&r, data + 1, n - 1);
    if (!r.closed)
        smtp_client_eof(r.c, SPAN_NONE, r.now);
    MUST(r.closed && !r.in_message && !r.promise_broken);
    rig_free(&r);
    return 0;
}
