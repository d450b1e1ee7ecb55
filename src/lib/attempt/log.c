/* The dialogue of an attempt, gathered while it runs: bytes are copied and no more, as most of
 * it is of no use to anybody. Entry: length u16 of what follows, kind u8, at_ms u32, code u16,
 * text. */
#include "attempt/log.h"

#include <string.h>

void attempt_log_init(struct attempt_log *l, size_t max_bytes)
{
    *l = (struct attempt_log){ .max_bytes = max_bytes, .head_bytes = max_bytes / 4 };
    buf_init(&l->b, max_bytes + LOG_ENTRY_MAX);
}

void attempt_log_free(struct attempt_log *l) { buf_free(&l->b); }

void attempt_log_reset(struct attempt_log *l)
{
    buf_reset(&l->b);
    l->left_out = 0;
    l->secret = false;
}

size_t log_entry_size(struct span rest)
{
    if (rest.n < LOG_HEAD_BYTES)
        return 0;
    size_t n = 2 + ((size_t)(unsigned char)rest.p[0] | (size_t)(unsigned char)rest.p[1] << 8);
    return n >= LOG_HEAD_BYTES && n <= LOG_ENTRY_MAX && n <= rest.n ? n : 0;
}

uint32_t log_cut_middle(struct buf *b, size_t head_bytes, size_t want_bytes)
{
    struct span all = buf_span(b);
    uint32_t gone = 0;
    size_t from = 0, to;
    for (size_t n; (n = log_entry_size(span_from(all, from))) && from + n <= head_bytes;)
        from += n;
    to = from;
    for (size_t n; to - from < want_bytes && (n = log_entry_size(span_from(all, to))); gone++)
        to += n;
    char *mem = b->mem + b->off;
    memmove(mem + from, mem + to, b->len - to);
    b->len -= to - from;
    return gone;
}

struct span attempt_open_part(struct span line, bool secret)
{
    if (secret)
        return SPAN_NONE;
    if (!span_istarts(line, SPAN("AUTH ")))
        return line;
    struct span words = line;
    span_word(&words);
    struct span mechanism = span_word(&words);
    return span_of(line.p, (size_t)(mechanism.p + mechanism.n - line.p));
}

/* At once: this runs for every line of every message. */
static void put_entry(struct buf *b, enum attempt_kind kind, uint32_t at_ms, int code,
                      struct span text, struct span more)
{
    size_t n = text.n + more.n, len = LOG_HEAD_BYTES - 2 + n;
    char *to = buf_space(b, LOG_HEAD_BYTES + n);
    if (!to)
        return;
    to[0] = (char)len;
    to[1] = (char)(len >> 8);
    to[2] = (char)kind;
    wire_set_u32(to + 3, at_ms);
    to[7] = (char)code;
    to[8] = (char)(code >> 8);
    if (text.n)
        memcpy(to + LOG_HEAD_BYTES, text.p, text.n);
    if (more.n)
        memcpy(to + LOG_HEAD_BYTES + text.n, more.p, more.n);
    buf_added(b, LOG_HEAD_BYTES + n);
}

void attempt_log_add(struct attempt_log *l, enum attempt_kind kind, uint32_t at_ms, int code,
                     struct span text)
{
    struct span more = SPAN_NONE;
    if (!l->max_bytes)
        return;
    if (kind == ATTEMPT_OURS) {
        struct span shown = attempt_open_part(text, l->secret);
        if (shown.n < text.n || l->secret)
            more = l->secret ? SPAN("(a credential)") : SPAN(" (a credential)");
        text = shown;
    } else if (kind == ATTEMPT_PEER) {
        l->secret = code == 334;
    }
    size_t text_max = l->max_bytes / 8 < ATTEMPT_TEXT_MAX ? l->max_bytes / 8 : ATTEMPT_TEXT_MAX;
    if (text.n > text_max - more.n && !more.n)
        more = SPAN("...");
    text = span_to(text, text_max - more.n);
    size_t n = LOG_HEAD_BYTES + text.n + more.n;
    if (l->b.len + n > l->max_bytes) /* some at once: it is a long one */
        l->left_out += log_cut_middle(&l->b, l->head_bytes, n > l->max_bytes / 8 ? n
                                                                              : l->max_bytes / 8);
    put_entry(&l->b, kind, at_ms, code, text, more);
}

void attempt_log_append(struct attempt_log *to, const struct attempt_log *from)
{
    struct span rest = buf_span(&from->b);
    to->left_out += from->left_out;
    for (size_t n; (n = log_entry_size(rest)); rest = span_from(rest, n)) {
        if (to->b.len + n > to->max_bytes)
            to->left_out += log_cut_middle(&to->b, to->head_bytes, n);
        if (to->b.len + n <= to->max_bytes)
            buf_puts(&to->b, span_to(rest, n));
        else
            to->left_out++;
    }
}
