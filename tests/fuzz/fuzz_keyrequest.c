/* What a taken-over smtpd could send to keyring, and what a taken-over keyring could answer. A
 * request that is understood is the same again when written; every request gets one reply. */
#include "base/must.h"
#include "tls/keyserver.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_request(struct span s)
{
    struct key_request r;
    if (!key_request_get(s, &r))
        return;
    struct buf again;
    buf_init(&again, KEY_REQUEST_MAX);
    key_request_put(&again, &r);
    MUST(span_eq(buf_span(&again), s));
    buf_free(&again);
}

static void check_tickets(struct span s)
{
    struct ticket_keys keys;
    if (!ticket_keys_get(s, &keys))
        return;
    struct buf again;
    buf_init(&again, TICKET_KEYS_MAX);
    ticket_keys_put(&again, &keys);
    MUST(span_eq(buf_span(&again), s));
    buf_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct span s = span_of(data, n);
    struct keyserver *ks = keyserver_new(0);
    struct key_reply reply;
    struct buf out;
    buf_init(&out, KEY_REPLY_MAX);
    check_request(s);
    check_tickets(s);
    key_reply_get(s, &reply);
    enum key_status status = keyserver_request(ks, s, &out);
    MUST(status != KEY_OK && key_reply_get(buf_span(&out), &reply) && reply.status == status);
    buf_free(&out);
    keyserver_free(&ks);
    return 0;
}
