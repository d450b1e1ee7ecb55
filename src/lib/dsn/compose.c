#include "dsn/parts.h"

#include "mail/date.h"
#include "mail/headerwalk.h"
#include "mail/untrusted.h"

enum { BOUNDARY_MAX = 64 };

struct shape {       /* what the report will be made of */
    bool full;       /* the whole message comes back */
    bool global;     /* the types of RFC 6533 */
    bool eight;      /* octets above 127 go as they are: `to` has some, too */
    bool high;       /* so some stand in it */
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
    if (r->kind == DSN_DELAY)
        return "Your mail is delayed; we go on trying";
    return dsn_has_arrived(r) ? "Your mail has arrived" : "Your mail was passed on";
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

struct part {
    const char *type;
    struct buf body;
    bool high;    /* it has octets above 127 */
    bool as_is;   /* and may not be encoded */
};

static void put_part(struct buf *out, const struct shape *shape, const struct part *p)
{
    bool encode = p->high && !shape->eight && !p->as_is;
    buf_printf(out, "\r\n--%s\r\nContent-Type: %s\r\nContent-Transfer-Encoding: %s\r\n\r\n",
               shape->boundary, p->type,
               encode    ? "quoted-printable"
               : p->high ? "8bit"
                         : "7bit");
    if (encode)
        dsn_put_qp(out, buf_span(&p->body));
    else
        buf_puts(out, buf_span(&p->body));
}

/* message/global and its kin may be encoded (RFC 6532 3.7, RFC 6533 8), as may what is text;
 * message/rfc822 may not (RFC 2046 5.2.1). */
static void fill_original(struct part *p, const struct dsn_report *r, const struct shape *shape)
{
    if (shape->full) {
        p->type = shape->global ? "message/global" : "message/rfc822";
        p->as_is = !shape->global;
        buf_puts(&p->body, r->content);
        return;
    }
    p->type = shape->global ? "message/global-headers" : "text/rfc822-headers";
    dsn_put_header(&p->body, r->header);
}

/* All are made apart first: what each needs is seen only then. */
static bool put_parts(struct buf *out, const struct dsn_report *r, struct shape *shape)
{
    enum { TEXT, FIELDS, ORIGINAL, PARTS };
    struct part parts[PARTS] = { 0 };
    bool ok = true;
    for (size_t i = 0; i < PARTS; i++)
        buf_init(&parts[i].body, DSN_OUT_MAX + (i == ORIGINAL ? r->content.n : 0));
    dsn_put_text(&parts[TEXT].body, r);
    dsn_put_fields(&parts[FIELDS].body, r, shape->global);
    fill_original(&parts[ORIGINAL], r, shape);
    for (size_t i = 0; i < PARTS; i++) {
        struct part *p = &parts[i];
        p->high = dsn_has_high(buf_span(&p->body));
        shape->high = shape->high || (p->high && (shape->eight || p->as_is));
    }
    parts[TEXT].type = parts[TEXT].high ? "text/plain; charset=utf-8" : "text/plain";
    parts[FIELDS].type =
        shape->global ? "message/global-delivery-status" : "message/delivery-status";
    put_top(out, r, shape);
    if (shape->high)
        buf_puts(out, SPAN("Content-Transfer-Encoding: 8bit\r\n"));
    buf_puts(out, SPAN("\r\nThis is a report in the form of RFC 3464.\r\n"));
    for (size_t i = 0; i < PARTS; i++) {
        put_part(out, shape, &parts[i]);
        ok = ok && !parts[i].body.failed;
        buf_free(&parts[i].body);
    }
    buf_printf(out, "\r\n--%s--\r\n", shape->boundary);
    return ok && !out->failed;
}

bool dsn_compose(const struct dsn_report *r, struct buf *out, uint32_t *flags_r)
{
    if (r->rcpt_count == 0 || r->rcpt_count > DSN_RCPTS_MAX || out->failed)
        return false;
    struct shape shape = {
        .full = r->content.n && r->kind == DSN_FAILURE && dsn_content_fits(r->content),
        .global = (r->env->flags & ENVELOPE_SMTPUTF8) != 0,
        .eight = dsn_has_high(r->to),
    };
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
