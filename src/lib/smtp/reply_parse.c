#include "smtp/reply_parse.h"

#include "base/json.h"

void reply_parser_init(struct reply_parser *p)
{
    *p = (struct reply_parser){ .fresh = true };
    buf_init(&p->line, REPLY_LINE_MAX);
    buf_init(&p->text, REPLY_TEXT_MAX);
}

void reply_parser_free(struct reply_parser *p)
{
    buf_free(&p->line);
    buf_free(&p->text);
}

/* The enhanced code of RFC 3463 at the start of the text, when its class is the code's. */
static struct span enhanced_of(struct span text, int code)
{
    size_t i = 2, dots = 1, digits = 0;
    if (text.n < 5 || text.p[0] != '0' + code / 100 || text.p[0] == '3' || text.p[1] != '.')
        return SPAN_NONE;
    for (; i < text.n && (ascii_isdigit(text.p[i]) || text.p[i] == '.'); i++) {
        if (text.p[i] == '.') {
            if (digits == 0 || ++dots > 2)
                return SPAN_NONE;
            digits = 0;
        } else if (++digits > 3) {
            return SPAN_NONE;
        }
    }
    if (dots != 2 || digits == 0 || (i < text.n && text.p[i] != ' ' && text.p[i] != '\n'))
        return SPAN_NONE;
    return span_to(text, i);
}

static int bad(struct reply_parser *p, const char *why)
{
    p->why = why;
    return -1;
}

/* One line without its end. 1: the reply is complete. */
static int take_line(struct reply_parser *p, struct span l, struct smtp_reply *r)
{
    if (l.n < 3 || l.p[0] < '2' || l.p[0] > '5' || !ascii_isdigit(l.p[1]) || !ascii_isdigit(l.p[2]))
        return bad(p, "a line without a reply code");
    if (l.n > 3 && l.p[3] != ' ' && l.p[3] != '-')
        return bad(p, "a line with no blank or dash after the reply code");
    int code = (l.p[0] - '0') * 100 + (l.p[1] - '0') * 10 + (l.p[2] - '0');
    bool last = l.n == 3 || l.p[3] == ' ';
    struct span text = span_from(l, 4);
    if (p->lines > 0 && code != p->code)
        return bad(p, "lines of one reply with different codes");
    if (++p->lines > REPLY_LINES_MAX)
        return bad(p, "a reply of too many lines");
    p->code = code;
    if (!last || p->lines > 1) {
        if ((p->lines > 1 && !buf_putc(&p->text, '\n')) || !buf_puts(&p->text, text))
            return bad(p, "a reply too long");
        text = buf_span(&p->text);
    }
    if (!last)
        return 0;
    *r = (struct smtp_reply){ .code = code, .text = text, .enhanced = enhanced_of(text, code) };
    p->fresh = true;
    return 1;
}

static void begin(struct reply_parser *p)
{
    buf_reset(&p->line);
    buf_reset(&p->text);
    p->lines = 0;
    p->fresh = false;
}

int reply_parse(struct reply_parser *p, struct span *in, struct smtp_reply *r)
{
    while (in->n) {
        if (p->fresh)
            begin(p);
        size_t room = REPLY_LINE_MAX - p->line.len;
        size_t n = span_find(span_to(*in, room), '\n');
        bool whole = n < in->n && n < room;
        if (!whole && in->n >= room)
            return bad(p, "a line too long");
        struct span l = span_to(*in, n);
        *in = span_from(*in, whole ? n + 1 : n);
        if (!whole || p->line.len) {
            buf_puts(&p->line, l);
            l = buf_span(&p->line);
        }
        if (!whole)
            return 0;
        if (l.n && l.p[l.n - 1] == '\r')
            l.n--;
        int rc = take_line(p, l, r);
        if (rc != 0)
            return rc;
        buf_reset(&p->line);
    }
    return 0;
}

/* Bytes of the character at the start of s that may be shown as they are; 0: escape one byte. */
static size_t plain_length(struct span s)
{
    unsigned char c = (unsigned char)s.p[0];
    if (c == '\\')
        return s.n > 1 && s.p[1] == 'x' ? 0 : 1;
    if (c < 0x80)
        return c >= 0x20 && c != 0x7f;
    if (c == 0xc2 && s.n > 1 && (unsigned char)s.p[1] < 0xa0)
        return 0; /* C1 controls */
    return utf8_length(s);
}

void reply_clean(struct buf *out, struct span text, size_t max_bytes)
{
    static const char hex[] = "0123456789abcdef";
    size_t start = out->len;
    while (text.n) {
        if (out->len - start + 7 > max_bytes) { /* the longest piece and the dots */
            buf_putz(out, "...");
            return;
        }
        if (text.p[0] == '\n' || (text.p[0] == '\r' && text.n > 1 && text.p[1] == '\n')) {
            if (text.p[0] == '\n')
                buf_putc(out, ' ');
            text = span_from(text, 1);
            continue;
        }
        size_t n = plain_length(text);
        if (n) {
            buf_puts(out, span_to(text, n));
        } else {
            unsigned char c = (unsigned char)text.p[0];
            char esc[4] = { '\\', 'x', hex[c >> 4], hex[c & 15] };
            buf_put(out, esc, sizeof esc);
            n = 1;
        }
        text = span_from(text, n);
    }
}
