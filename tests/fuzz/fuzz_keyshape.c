/* The shape checks before an RSA private operation, on any bytes and any modulus. */
#include "tls/shape.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 1)
        return 0;
    struct span s = span_of(data + 1, n - 1);
    shape_is_digest_info(s);
    if (s.n > 0 && s.n <= 1024)
        shape_is_pss(s, (int)s.n * 8 - data[0] % 8);
    return 0;
}
