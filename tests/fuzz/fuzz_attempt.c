/* A kept story read from anywhere: what reads can be written again, and reads the same. */
#include "attempt/attempt.h"
#include "base/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct attempt a, again;
    struct attempt_entry e;
    struct buf b, out;
    if (!attempt_get(span_of(data, size), &a))
        return 0;
    buf_init(&b, 4 * ATTEMPT_MAX_BYTES);
    buf_init(&out, 64 << 20);
    struct json j = json_writer(&out);
    json_open(&j, NULL);
    attempt_json(&j, &a);
    json_close(&j);
    attempt_put(&b, &a, NULL, ATTEMPT_MAX_BYTES);
    MUST(attempt_get(buf_span(&b), &again));
    MUST(again.at_ms == a.at_ms && span_eq(again.said, a.said) && again.dns == a.dns);
    MUST(again.addr_count == a.addr_count && span_eq(again.dest, a.dest));
    while (attempt_next(&a, &e))
        MUST(e.kind < ATTEMPT_KINDS && e.text.n <= ATTEMPT_TEXT_MAX);
    buf_free(&b);
    buf_free(&out);
    return 0;
}
