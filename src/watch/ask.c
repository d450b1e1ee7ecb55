/* A question to a name server of the admin's choice, by TCP (RFC 7766), which every one speaks;
 * resolver asks those of the configuration only. */
#include "watch/inside.h"

#include "base/arena.h"

enum { HEADER_BYTES = 12, RECURSE = 0x0100, CLASS_IN = 1, ANSWER_ARENA_MAX = 1 << 20 };

static void put_u16(struct buf *b, unsigned v)
{
    buf_putc(b, (char)(v >> 8));
    buf_putc(b, (char)v);
}

/* RFC 1035 4.1, 4.2.2 */
void ask_put(struct buf *b, const struct dns_question *q, uint16_t id)
{
    struct span name = dns_name_span(&q->name);
    put_u16(b, HEADER_BYTES + (unsigned)name.n + 2 + 4);
    put_u16(b, id);
    put_u16(b, RECURSE);
    put_u16(b, 1);
    for (int i = 0; i < 3; i++)
        put_u16(b, 0);
    while (name.n) {
        struct span label = span_to(name, span_find(name, '.'));
        buf_putc(b, (char)label.n);
        buf_puts(b, label);
        name = span_from(name, label.n + 1);
    }
    buf_putc(b, 0);
    put_u16(b, q->type);
    put_u16(b, CLASS_IN);
}

static unsigned u16(struct span s) { return (unsigned)(uint8_t)s.p[0] << 8 | (uint8_t)s.p[1]; }

int ask_judge(struct span in, const struct dns_question *q, uint16_t id, const char **why_r)
{
    struct dns_answer a;
    if (in.n < 2 || in.n < 2 + u16(in))
        return 0;
    struct span packet = span_to(span_from(in, 2), u16(in));
    struct arena *arena = arena_new(ANSWER_ARENA_MAX);
    bool read = packet.n >= 2 && u16(packet) == id && dns_answer_read(packet, q, arena, &a);
    *why_r = !read                      ? "its answer cannot be read"
             : a.status == DNS_NXDOMAIN ? "it says that there is no such name"
             : a.status == DNS_SERVFAIL ? "it answers with a failure"
                                        : NULL;
    arena_free(&arena);
    return *why_r ? -1 : 1;
}
