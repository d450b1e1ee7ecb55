/* fields: message/delivery-status (RFC 3464) and message/global-delivery-status (RFC 6533). */
#include "dsn/parts.h"

#include "base/json.h"
#include "mail/date.h"
#include "mail/untrusted.h"

static enum untrusted_kind kind_of(bool utf8) { return utf8 ? UNTRUSTED_UTF8 : UNTRUSTED_ASCII; }

static void put_field(struct buf *out, const char *name, struct span value, bool utf8)
{
    buf_putz(out, name);
    buf_puts(out, SPAN(": "));
    untrusted_put(out, value, kind_of(utf8), DSN_TEXT_MAX);
    buf_puts(out, SPAN("\r\n"));
}

static void put_date(struct buf *out, const char *name, int64_t wall_ms, int zone_min)
{
    buf_putz(out, name);
    buf_puts(out, SPAN(": "));
    mail_date_put(out, wall_ms, zone_min);
    buf_puts(out, SPAN("\r\n"));
}

static void put_message_fields(struct buf *out, const struct dsn_report *r, bool utf8)
{
    const struct envelope *e = r->env;
    if (e->envid.n) {
        struct buf envid;
        buf_init(&envid, ENVELOPE_TEXT_MAX);
        dsn_xtext_decode(&envid, e->envid, ENVELOPE_TEXT_MAX);
        put_field(out, "Original-Envelope-Id", buf_span(&envid), utf8);
        buf_free(&envid);
    }
    buf_puts(out, SPAN("Reporting-MTA: dns; "));
    buf_puts(out, r->hostname);
    buf_puts(out, SPAN("\r\n"));
    if (e->helo.n && e->client_ip.n) {
        buf_puts(out, SPAN("Received-From-MTA: dns; "));
        untrusted_put(out, e->helo, UNTRUSTED_ASCII, DSN_NAME_MAX);
        buf_puts(out, SPAN(" (["));
        untrusted_put(out, e->client_ip, UNTRUSTED_COMMENT, DSN_NAME_MAX);
        buf_puts(out, SPAN("])\r\n"));
    }
    put_date(out, "Arrival-Date", e->received_ms, r->zone_min);
    struct queueid id = envelope_id(e);
    put_field(out, "X-Postern-Queue-Id", span_str(id.text), false);
}

/* A code point as \x{HEX}: utf-8-addr-xtext of RFC 6533 3, for reports that are plain ASCII. */
static void put_code_point(struct buf *out, struct span utf8)
{
    static const unsigned char mask[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
    uint32_t v = (unsigned char)utf8.p[0] & mask[utf8.n];
    for (size_t i = 1; i < utf8.n; i++)
        v = v << 6 | ((unsigned char)utf8.p[i] & 0x3f);
    buf_printf(out, "\\x{%X}", v);
}

static void put_addr_xtext(struct buf *out, struct span addr)
{
    size_t end = out->len + DSN_TEXT_MAX;
    for (size_t n; addr.n > 0 && out->len < end && !out->failed; addr = span_from(addr, n)) {
        n = utf8_length(addr);
        bool plain = n == 1 && untrusted_clean(span_to(addr, 1), UNTRUSTED_ASCII) &&
                     addr.p[0] != '\\' && addr.p[0] != '+' && addr.p[0] != '=';
        if (n > 1)
            put_code_point(out, span_to(addr, n));
        else if (plain)
            buf_putc(out, addr.p[0]);
        else
            buf_printf(out, "\\x{%02X}", (unsigned char)addr.p[0]);
        n = n ? n : 1;
    }
}

static void put_address(struct buf *out, const char *name, struct span addr, bool utf8)
{
    bool high = dsn_has_high(addr);
    if (high && !utf8) {
        buf_putz(out, name);
        buf_puts(out, SPAN(": utf-8; "));
        put_addr_xtext(out, addr);
        buf_puts(out, SPAN("\r\n"));
        return;
    }
    buf_putz(out, name);
    buf_putz(out, high ? ": utf-8; " : ": rfc822; ");
    untrusted_put(out, addr, kind_of(utf8), DSN_TEXT_MAX);
    buf_puts(out, SPAN("\r\n"));
}

static bool type_ok(struct span type)
{
    for (size_t i = 0; i < type.n; i++)
        if (!ascii_isalnum(type.p[i]) && type.p[i] != '-')
            return false;
    return type.n > 0 && type.n <= 32;
}

static void put_utf8(struct buf *out, uint32_t v)
{
    static const unsigned char first[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
    int n = v < 0x80 ? 1 : v < 0x800 ? 2 : v < 0x10000 ? 3 : 4;
    buf_putc(out, (char)(first[n] | v >> (6 * (n - 1))));
    for (int i = n - 2; i >= 0; i--)
        buf_putc(out, (char)(0x80 | (v >> (6 * i) & 0x3f)));
}

/* The length of an EmbeddedUnicodeChar at the start of s; 0: there is none, or of no character
 * that may be shown. */
static size_t embedded(struct span s, uint32_t *v_r)
{
    static const char hex[] = "0123456789ABCDEF";
    uint32_t v = 0;
    size_t i = 3;
    if (!span_starts(s, SPAN("\\x{")))
        return 0;
    for (const char *at; i < s.n && i < 9 && s.p[i] != '}'; i++) {
        at = memchr(hex, ascii_upper(s.p[i]), 16);
        if (!at)
            return 0;
        v = v << 4 | (uint32_t)(at - hex);
    }
    bool good = i > 3 && i < s.n && s.p[i] == '}' && v >= 0x20 && v <= 0x10ffff &&
                (v < 0x7f || v > 0x9f) && (v < 0xd800 || v > 0xdfff);
    *v_r = v;
    return good ? i + 1 : 0;
}

/* utf-8-addr-xtext and -unitext of RFC 6533 3 as what they mean. */
static void put_plain(struct buf *out, struct span addr)
{
    uint32_t v;
    for (size_t n; addr.n > 0; addr = span_from(addr, n)) {
        n = embedded(addr, &v);
        if (n)
            put_utf8(out, v);
        else
            buf_putc(out, addr.p[0]);
        n = n ? n : 1;
    }
}

enum dsn_orcpt dsn_orcpt_addr(struct buf *addr, struct span orcpt)
{
    size_t semicolon = span_find(orcpt, ';');
    struct span type = span_to(orcpt, semicolon), value = span_from(orcpt, semicolon + 1);
    if (semicolon == orcpt.n || !type_ok(type))
        return DSN_ORCPT_NONE;
    if (!span_ieq(type, SPAN("utf-8"))) {
        dsn_xtext_decode(addr, value, ENVELOPE_TEXT_MAX);
        return DSN_ORCPT_PLAIN;
    }
    put_plain(addr, value);
    return DSN_ORCPT_UTF8;
}

/* Without a readable type there is nothing to report. An address of the type utf-8 stands in a
 * global report as it is, else encoded (RFC 6533 3). */
static void put_orcpt(struct buf *out, struct span orcpt, bool utf8)
{
    struct span type = span_to(orcpt, span_find(orcpt, ';'));
    struct buf addr;
    buf_init(&addr, ENVELOPE_TEXT_MAX);
    enum dsn_orcpt kind = dsn_orcpt_addr(&addr, orcpt);
    bool international = kind == DSN_ORCPT_UTF8;
    if (kind == DSN_ORCPT_NONE) {
        buf_free(&addr);
        return;
    }
    buf_puts(out, SPAN("Original-Recipient: "));
    buf_puts(out, type);
    buf_putc(out, ';');
    if ((international || dsn_has_high(buf_span(&addr))) && !(international && utf8))
        put_addr_xtext(out, buf_span(&addr));
    else
        untrusted_put(out, buf_span(&addr), kind_of(utf8), DSN_TEXT_MAX);
    buf_puts(out, SPAN("\r\n"));
    buf_free(&addr);
}

bool dsn_status_ok(struct span s)
{
    size_t part = 0, digits = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '.') {
            if (digits == 0)
                return false;
            part++;
            digits = 0;
        } else if (!ascii_isdigit(s.p[i]) || ++digits > 3) {
            return false;
        }
    }
    return part == 2 && digits > 0 && s.n && s.p[1] == '.' && strchr("245", s.p[0]);
}

static void put_status(struct buf *out, const struct dsn_report *r, const struct dsn_rcpt *rcpt)
{
    static const char *const otherwise[] = {
        [DSN_FAILURE] = "5.0.0", [DSN_DELAY] = "4.0.0", [DSN_SUCCESS] = "2.0.0",
    };
    buf_puts(out, SPAN("Status: "));
    buf_puts(out, dsn_status_ok(rcpt->status) ? rcpt->status : span_str(otherwise[r->kind]));
    buf_puts(out, SPAN("\r\n"));
}

/* "smtp; 550-line" and further lines folded below it (RFC 3464 2.3.6). */
static void put_diagnostic(struct buf *out, const struct dsn_rcpt *rcpt, bool utf8)
{
    struct span rest = span_to(rcpt->reply, DSN_REPLY_MAX), line;
    int lines = 0;
    while (dsn_reply_line(&rest, &lines, &line)) {
        if (lines == 1)
            buf_putz(out, rcpt->local ? "Diagnostic-Code: x-postern; "
                                      : "Diagnostic-Code: smtp; ");
        else
            buf_puts(out, SPAN("\r\n "));
        untrusted_put(out, line, kind_of(utf8), DSN_TEXT_MAX);
    }
    if (lines)
        buf_puts(out, SPAN("\r\n"));
}

static void put_rcpt(struct buf *out, const struct dsn_report *r, const struct dsn_rcpt *rcpt,
                     bool utf8)
{
    static const char *const actions[] = {
        [DSN_FAILURE] = "failed", [DSN_DELAY] = "delayed", [DSN_SUCCESS] = "relayed",
    };
    const char *action = actions[r->kind];
    if (r->kind == DSN_SUCCESS && (rcpt->mailbox || rcpt->expanded))
        action = rcpt->mailbox ? "delivered" : "expanded";
    buf_puts(out, SPAN("\r\n"));
    put_orcpt(out, rcpt->rcpt->orcpt, utf8);
    put_address(out, "Final-Recipient", rcpt->rcpt->addr, utf8);
    put_field(out, "Action", span_str(action), false);
    put_status(out, r, rcpt);
    if (rcpt->host.n) {
        buf_puts(out, SPAN("Remote-MTA: dns; "));
        untrusted_put(out, rcpt->host, UNTRUSTED_ASCII, DSN_TEXT_MAX);
        buf_puts(out, SPAN("\r\n"));
    }
    put_diagnostic(out, rcpt, utf8);
    if (rcpt->last_attempt_ms)
        put_date(out, "Last-Attempt-Date", rcpt->last_attempt_ms, r->zone_min);
    if (r->kind == DSN_DELAY && rcpt->will_retry_until_ms)
        put_date(out, "Will-Retry-Until", rcpt->will_retry_until_ms, r->zone_min);
}

void dsn_put_fields(struct buf *out, const struct dsn_report *r, bool utf8)
{
    put_message_fields(out, r, utf8);
    for (size_t i = 0; i < r->rcpt_count; i++)
        put_rcpt(out, r, &r->rcpts[i], utf8);
}
