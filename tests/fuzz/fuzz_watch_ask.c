/* What a name server of a check answers, piece by piece, to the question it carries itself: nothing
 * is said before it is whole, and then the same whatever stands behind. What we ask can be read. */
#include "base/arena.h"
#include "base/must.h"
#include "watch/inside.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { FRAME_BYTES = 2, HEADER_BYTES = 12, QUESTION_MAX = 512 };

static uint16_t u16_at(struct span s, size_t off)
{
    return (uint16_t)((uint8_t)s.p[off] << 8 | (uint8_t)s.p[off + 1]);
}

static void read_back(const struct dns_question *q, uint16_t id)
{
    struct buf b;
    struct dns_name name;
    size_t off = HEADER_BYTES;
    buf_init(&b, QUESTION_MAX);
    ask_put(&b, q, id);
    struct span packet = span_from(buf_span(&b), FRAME_BYTES);
    MUST(!b.failed && packet.n == u16_at(buf_span(&b), 0) && u16_at(packet, 0) == id);
    MUST(dns_name_read(packet, &off, &name) == 1);
    MUST(span_eq(dns_name_span(&name), dns_name_span(&q->name)) && u16_at(packet, off) == q->type);
    buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct span in = span_of(data, n), packet = span_from(in, FRAME_BYTES);
    struct dns_question q = { .type = DNS_A };
    size_t off = HEADER_BYTES, whole = n >= FRAME_BYTES ? FRAME_BYTES + u16_at(in, 0) : SIZE_MAX;
    uint16_t id = packet.n >= 2 ? u16_at(packet, 0) : 0;
    const char *why = "", *again = "";
    if (packet.n <= HEADER_BYTES || dns_name_read(packet, &off, &q.name) != 1 || !q.name.n ||
        off + 2 > packet.n)
        return 0;
    q.type = u16_at(packet, off);
    read_back(&q, id);
    int judged = ask_judge(in, &q, id, &why);
    if (whole > n) {
        MUST(judged == 0);
        return 0;
    }
    MUST(judged != 0 && (judged > 0) == !why);
    MUST(ask_judge(span_to(in, whole - 1), &q, id, &again) == 0);
    MUST(ask_judge(span_to(in, whole), &q, id, &again) == judged && why == again);
    if (judged > 0) /* an answer to something else */
        MUST(ask_judge(in, &q, (uint16_t)(id + 1), &why) < 0);
    return 0;
}
