/* shape: is this really the input of a signature? A raw RSA private operation on chosen bytes
 * would decrypt; these checks allow only what a signer would have made. */
#ifndef POSTERN_TLS_SHAPE_H
#define POSTERN_TLS_SHAPE_H

#include "base/span.h"

/* `block` is an EMSA-PSS encoding (RFC 8017 9.1.1) for a modulus of `modulus_bits`, with
 * SHA-256, 384 or 512 for hash and mask, and a salt as long as the hash (RFC 8446 4.2.3). */
bool shape_is_pss(struct span block, int modulus_bits);

/* `info` is a DigestInfo (RFC 8017 9.2) of SHA-256, 384 or 512. */
bool shape_is_digest_info(struct span info);

#endif
