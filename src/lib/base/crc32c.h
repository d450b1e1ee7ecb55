/* crc32c: the Castagnoli checksum (RFC 3720 B.4), by the processor's instruction where it has
 * one. Chainable: crc32c(crc32c(0, a), b) == crc32c(0, a b). */
#ifndef POSTERN_BASE_CRC32C_H
#define POSTERN_BASE_CRC32C_H

#include "base/span.h"

uint32_t crc32c(uint32_t crc, const void *p, size_t n);
uint32_t crc32c_soft(uint32_t crc, const void *p, size_t n); /* for tests: the table way */

#endif
