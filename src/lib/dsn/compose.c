#include "dsn/parts.h"

#include "mail/date.h"
#include "mail/headerwalk.h"
#include "mail/untrusted.h"

enum { BOUNDARY_MAX = 64 };

struct shape {       /* what the report will be made of */
    bool full;       /* the whole message comes back */
    bool global;     /* the types of RFC 6533 */
    bool high;       /* the original part has octets above 127 */
    char boundary[BOUNDARY_MAX];
};

bool dsn_has_high(struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] >= 128)
            return true;
    return false;
}

bool dsn_line(struct span *s, struct span *line_r)
{
    if (s->n == 0)
        return false;
    size_t end = span_find(*s, '\n');
    *line_r = span_to(*s, end);
    *s = span_from(*s, end + 1);
    if (line_r->n && line_r->p[line_r->n - 1] == '\r')
        line_r->n--;
    return true;
}

bool dsn_reply_line(struct span *reply, int *count, struct span *line_r)
{
    while (*count < DSN_REPLY_LINES && dsn_line(reply, line_r)) {
        *line_r = span_trim_lines(*line_r);
        if (line_r->n == 0)
            continue;
        ++*count;
        return true;
    }
    return false;
}

static struct span original(const struct dsn_report *r, const struct shape *shape)
{
    return shape->full ? r->content : r->header;
}

/* Random, and tried against the one part whose bytes are not ours (RFC 2046 5.1.1). */
static void choose_boundary(const struct dsn_report *r, struct shape *shape)
{
    struct span in = original(r, shape);
    for (uint64_t salt = 0;; salt++) {
        struct buf b;
        buf_init(&b, BOUNDARY_MAX);
        buf_printf(&b, "=_%s.%016llx", r->id.text, (unsigned long long)(r->random + salt));
        memcpy(shape->boundary, buf_cstr(&b), b.len + 1);
        bool taken = in.n && memmem(in.p, in.n, shape->boundary, b.len);
        buf_free(&b);
        if (!taken)
            return;
    }
}

static const char *subject(const struct dsn_report *r)
{
    if (r->double_bounce)
        return "Undeliverable, and no sender to tell";
    if (r->kind == DSN_FAILURE)
        return "Your mail was not delivered";
    return r->kind == DSN_DELAY ? "Your mail is delayed; we go on trying" : "Your mail has arrived";
}

/* The Message-Id of the original, so that mail programs show the report beside it. */
static void put_reference(struct buf *out, const struct dsn_report *r)
{
    struct headerwalk w;
    headerwalk_init(&w, SPAN("none"));
    headerwalk_input(&w, r->header);
    struct span id = headerwalk_msgid(&w);
    if (id.n < 3 || id.n >= HEADERWALK_MSGID_MAX || id.p[0] != '<' || id.p[id.n - 1] != '>' ||
        !untrusted_clean(id, UNTRUSTED_ASCII) || span_find(id, ' ') < id.n)
        return;
    buf_puts(out, SPAN("In-Reply-To: "));
    buf_puts(out, id);
    buf_puts(out, SPAN("\r\nReferences: "));
    buf_puts(out, id);
    buf_puts(out, SPAN("\r\n"));
}

static void put_top(struct buf *out, const struct dsn_report *r, const struct shape *shape)
{
    buf_puts(out, SPAN("Date: "));
    mail_date_put(out, r->now_ms, r->zone_min);
    buf_puts(out, SPAN("\r\nFrom: Mail Delivery System <MAILER-DAEMON@"));
    buf_puts(out, r->hostname);
    buf_puts(out, SPAN(">\r\nTo: <"));
    untrusted_put(out, r->to, UNTRUSTED_UTF8, DSN_TEXT_MAX);
    buf_puts(out, SPAN(">\r\nSubject: "));
    buf_putz(out, subject(r));
    buf_puts(out, SPAN("\r\nMessage-ID: <"));
    buf_putz(out, r->id.text);
    buf_putc(out, '@');
    buf_puts(out, r->hostname);
    buf_puts(out, SPAN(">\r\n"));
    put_reference(out, r);
    buf_puts(out, SPAN("Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"
                       "Content-Type: multipart/report; report-type="));
    buf_putz(out, shape->global ? "global-delivery-status" : "delivery-status");
    buf_printf(out, ";\r\n\tboundary=\"%s\"\r\n", shape->boundary);
}

static void begin_part(struct buf *out, const struct shape *shape, const char *type, bool high)
{
    buf_printf(out, "\r\n--%s\r\nContent-Type: %s\r\nContent-Transfer-Encoding: %s\r\n\r\n",
               shape->boundary, type, high ? "8bit" : "7bit");
}

static void put_original(struct buf *out, const struct dsn_report *r, const struct shape *shape)
{
    if (shape->full) {
        begin_part(out, shape, shape->global ? "message/global" : "message/rfc822", shape->high);
        buf_puts(out, r->content);
        return;
    }
    begin_part(out, shape, shape->global ? "message/global-headers" : "text/rfc822-headers",
               shape->high);
    dsn_put_header(out, r->header);
}

/* The two parts of our own are made apart first: whether they need 8bit is seen only then. */
static bool put_parts(struct buf *out, const struct dsn_report *r, struct shape *shape)
{
    struct buf text, fields;
    buf_init(&text, DSN_OUT_MAX);
    buf_init(&fields, DSN_OUT_MAX);
    dsn_put_text(&text, r);
    dsn_put_fields(&fields, r, shape->global);
    bool text_high = dsn_has_high(buf_span(&text));
    bool fields_high = dsn_has_high(buf_span(&fields));
    put_top(out, r, shape);
    if (text_high || fields_high || shape->high)
        buf_puts(out, SPAN("Content-Transfer-Encoding: 8bit\r\n"));
    buf_puts(out, SPAN("\r\nThis is a report in the form of RFC 3464.\r\n"));
    begin_part(out, shape, text_high ? "text/plain; charset=utf-8" : "text/plain", text_high);
    buf_puts(out, buf_span(&text));
    begin_part(out, shape,
               shape->global ? "message/global-delivery-status" : "message/delivery-status",
               fields_high);
    buf_puts(out, buf_span(&fields));
    put_original(out, r, shape);
    buf_printf(out, "\r\n--%s--\r\n", shape->boundary);
    shape->high = shape->high || text_high || fields_high;
    bool ok = !text.failed && !fields.failed && !out->failed;
    buf_free(&text);
    buf_free(&fields);
    return ok;
}

bool dsn_compose(const struct dsn_report *r, struct buf *out, uint32_t *flags_r)
{
    if (r->rcpt_count == 0 || r->rcpt_count > DSN_RCPTS_MAX || out->failed)
        return false;
    struct shape shape = {
        .full = r->content.n && r->kind == DSN_FAILURE && dsn_content_fits(r->content),
        .global = (r->env->flags & ENVELOPE_SMTPUTF8) != 0,
    };
    shape.high = dsn_has_high(original(r, &shape));
    choose_boundary(r, &shape);
    size_t before = out->len;
    if (!put_parts(out, r, &shape)) {
        buf_cut(out, before);
        out->failed = false;
        return false;
    }
    *flags_r = ENVELOPE_DSN | (shape.high ? ENVELOPE_8BITMIME : 0) |
               (dsn_has_high(r->to) ? ENVELOPE_SMTPUTF8 | ENVELOPE_8BITMIME : 0);
    return true;
}
