/* The header: where it ends, what it says, what it lacks. */
#include "mail/compose.h"

#include "mail/date.h"
#include "mail/untrusted.h"

enum { NAME_SHOWN_MAX = 200 };

/* Length of the field name when the line begins like a field, with what stands up to the colon;
 * 0 when it does not (RFC 5322 3.6.8; blanks before the colon are of 4.5). */
static size_t field_name(struct span line, size_t *colon_r)
{
    size_t n = 0;
    while (n < line.n && line.p[n] > ' ' && line.p[n] < 0x7f && line.p[n] != ':')
        n++;
    size_t at = n;
    while (at < line.n && ascii_isblank(line.p[at]))
        at++;
    *colon_r = at;
    return at < line.n && line.p[at] == ':' ? n : 0;
}

int compose_header_end(struct span text, bool last, size_t *end_r, bool *empty_line_r)
{
    size_t at = 0, colon;
    *empty_line_r = false;
    while (at < text.n) {
        struct span line = span_from(text, at);
        size_t lf = span_find(line, '\n');
        if (lf == line.n && !last)
            break;
        line = span_to(line, lf < line.n ? lf + 1 : lf);
        if (span_eq(line, SPAN("\r\n"))) {
            *empty_line_r = true;
            *end_r = at + 2;
            return 1;
        }
        bool continues = at > 0 && ascii_isblank(line.p[0]);
        if (!continues && !field_name(line, &colon)) {
            *end_r = at;
            return 1;
        }
        at += line.n;
        if (at > COMPOSE_HEADER_MAX)
            return -1;
    }
    *end_r = at;
    return text.n > COMPOSE_HEADER_MAX ? -1 : last ? 1 : 0;
}

bool compose_next_field(struct span *header, struct compose_field *f_r)
{
    struct span s = *header;
    size_t colon, at = 0;
    size_t n = field_name(span_to(s, span_find(s, '\n')), &colon);
    if (!n)
        return false;
    do {
        at += span_find(span_from(s, at), '\n');
        at = at < s.n ? at + 1 : s.n;
    } while (at < s.n && ascii_isblank(s.p[at]));
    f_r->whole = span_to(s, at);
    f_r->name = span_to(s, n);
    f_r->value = span_from(f_r->whole, colon + 1);
    *header = span_from(s, at);
    return true;
}

static bool is_one_of(struct span name, const char *const *names)
{
    for (; *names; names++)
        if (span_ieq(name, span_str(*names)))
            return true;
    return false;
}

bool compose_names_recipients(struct span name, bool resent)
{
    static const char *const plain[] = { "To", "Cc", "Bcc", "Apparently-To", NULL };
    static const char *const again[] = { "Resent-To", "Resent-Cc", "Resent-Bcc", NULL };
    return is_one_of(name, resent ? again : plain);
}

static bool has(struct span header, const char *name)
{
    struct compose_field f;
    while (compose_next_field(&header, &f))
        if (span_ieq(f.name, span_str(name)))
            return true;
    return false;
}

bool compose_is_resent(struct span header)
{
    struct compose_field f;
    while (compose_next_field(&header, &f))
        if (compose_names_recipients(f.name, true))
            return true;
    return false;
}

/* --- what is missing --- */

/* A word that is no atom is quoted; what cannot stand in a quoted string comes out as "?". */
static void put_name(struct buf *out, struct span name)
{
    bool plain = true;
    for (size_t i = 0; i < name.n; i++)
        plain = plain && (ascii_isalnum(name.p[i]) || name.p[i] == ' ' || name.p[i] == '-' ||
                          (unsigned char)name.p[i] > 127);
    buf_putz(out, plain ? "" : "\"");
    struct buf clean;
    buf_init(&clean, NAME_SHOWN_MAX + 8);
    untrusted_put(&clean, name, UNTRUSTED_UTF8, NAME_SHOWN_MAX);
    for (size_t i = 0; i < clean.len; i++) {
        char c = buf_span(&clean).p[i];
        if (!plain && (c == '"' || c == '\\'))
            buf_putc(out, '\\');
        buf_putc(out, c);
    }
    buf_free(&clean);
    buf_putz(out, plain ? "" : "\"");
}

static void put_from(struct buf *out, const char *name, struct span header,
                     const struct compose_facts *f)
{
    struct span full = f->full_name;
    struct compose_field field;
    for (struct span rest = header; compose_next_field(&rest, &field);)
        if (span_ieq(field.name, SPAN("Full-Name")))
            full = span_trim_lines(field.value);
    buf_putz(out, name);
    buf_putz(out, ": ");
    if (full.n) {
        put_name(out, full);
        buf_putz(out, " <");
    }
    untrusted_put(out, f->sender, UNTRUSTED_UTF8, f->sender.n);
    buf_putz(out, full.n ? ">\r\n" : "\r\n");
}

static void put_missing(struct buf *out, struct span header, const struct compose_facts *f)
{
    bool resent = compose_is_resent(header);
    const char *date = resent ? "Resent-Date" : "Date";
    const char *from = resent ? "Resent-From" : "From";
    const char *id = resent ? "Resent-Message-Id" : "Message-Id";
    if (!has(header, date)) {
        buf_putz(out, date);
        buf_putz(out, ": ");
        mail_date_put(out, f->wall_ms, f->zone_min);
        buf_putz(out, "\r\n");
    }
    if (!has(header, from))
        put_from(out, from, header, f);
    if (!has(header, id)) {
        buf_putz(out, id);
        buf_putz(out, ": <");
        buf_puts(out, f->unique);
        buf_putc(out, '@');
        untrusted_put(out, f->host, UNTRUSTED_ASCII, f->host.n);
        buf_putz(out, ">\r\n");
    }
}

bool compose_header_put(struct buf *out, struct span header, const struct compose_facts *f)
{
    static const char *const gone[] = { "Bcc", "Resent-Bcc", "Full-Name", NULL };
    struct compose_field field;
    put_missing(out, header, f);
    while (compose_next_field(&header, &field))
        if (!is_one_of(field.name, gone))
            buf_puts(out, field.whole);
    buf_putz(out, "\r\n");
    return !out->failed;
}
