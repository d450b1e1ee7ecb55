#include "mail/received.h"

#include "mail/date.h"
#include "mail/untrusted.h"

/* So that no line comes near the 998 of RFC 5322 2.1.1. */
enum { FIELD_MAX = 255, WORD_MAX = 64 };

static void put(struct buf *b, struct span s)
{
    untrusted_put(b, s, UNTRUSTED_COMMENT, FIELD_MAX);
}

static void put_word(struct buf *b, struct span s)
{
    untrusted_put(b, s, UNTRUSTED_COMMENT, WORD_MAX);
}

bool received_put_client(struct buf *b, struct span name, struct span ip)
{
    put(b, name);
    buf_putz(b, name.n ? " [" : "[");
    if (span_find(ip, ':') < ip.n)
        buf_putz(b, "IPv6:");
    put(b, ip);
    return buf_putc(b, ']');
}

static void put_from(struct buf *b, const struct received *r)
{
    if (r->user.n) {
        buf_putz(b, "(from ");
        put_word(b, r->user);
        buf_putz(b, "@localhost)\r\n\t");
    }
    if (r->ip.n == 0)
        return;
    buf_putz(b, "from ");
    if (r->helo.n)
        put(b, r->helo);
    else
        received_put_client(b, SPAN(""), r->ip);
    buf_putz(b, " (");
    received_put_client(b, r->name, r->ip);
    buf_putz(b, ")\r\n\t");
}

static void put_tls(struct buf *b, const struct received *r)
{
    if (r->tls_version.n == 0)
        return;
    buf_putz(b, "\r\n\t(version=");
    put_word(b, r->tls_version);
    buf_putz(b, " cipher=");
    put_word(b, r->tls_cipher);
    buf_printf(b, " bits=%u verify=NO)", r->tls_bits);
}

bool received_put(struct buf *b, const struct received *r)
{
    buf_putz(b, "Received: ");
    put_from(b, r);
    buf_putz(b, "by ");
    put(b, r->host);
    buf_putz(b, " (postern ");
    put_word(b, r->instance);
    buf_putz(b, ") with ");
    put_word(b, r->proto);
    buf_putz(b, " id ");
    put_word(b, r->queue_id);
    put_tls(b, r);
    if (r->rcpt.n && r->rcpt.n <= FIELD_MAX) {
        buf_putz(b, "\r\n\tfor <");
        untrusted_put(b, r->rcpt, UNTRUSTED_UTF8, FIELD_MAX);
        buf_putc(b, '>');
    }
    buf_putz(b, "; ");
    mail_date_put(b, r->wall_ms, r->zone_min);
    return buf_putz(b, "\r\n");
}
