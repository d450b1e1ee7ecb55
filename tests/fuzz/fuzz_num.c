/* Numbers with units, and what the writers make of them: reading back gives the same value. */
#include "base/must.h"
#include "base/num.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct span s = span_of(data, n);
    int64_t ms, again;
    uint64_t v;
    num_u64(s, &v);
    num_size_bytes(s, &v);
    if (num_duration_ms(s, &ms)) {
        struct buf b;
        buf_init(&b, 128);
        num_put_duration(&b, ms);
        MUST(num_duration_ms(buf_span(&b), &again) && again == ms);
        buf_free(&b);
    }
    return 0;
}
