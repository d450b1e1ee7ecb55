/* zone: a small staged DNS in memory, from text: the twin of the real DNS for tests and the
 * simulator. It answers as a recursive resolver would, with packets.
 *
 *   # comment
 *   example.net      60  MX  10 mx1.example.net     (the TTL may be left out: 60)
 *   mx1.example.net      A   192.0.2.1
 *   www.example.net      CNAME  example.net
 *   null.example         MX  0 .
 *   slow.example         TIMEOUT                     (every type; "slow.example MX TIMEOUT": one)
 *   broken.example       SERVFAIL
 *
 * A name with any line, or with lines of names below it, exists: other types are NODATA. Other
 * names are NXDOMAIN. Both carry an SOA with a TTL of 30 s. */
#ifndef POSTERN_DNS_ZONE_H
#define POSTERN_DNS_ZONE_H

#include "base/err.h"
#include "dns/backend.h"

struct dns_zone;

struct dns_zone *dns_zone_new(void);
void dns_zone_free(struct dns_zone **z);
/* Adds lines; false at the first bad one, e says which. */
bool dns_zone_add(struct dns_zone *z, struct span text, struct err *e);
/* Takes out every line of this name. */
void dns_zone_remove(struct dns_zone *z, struct span name);

/* Puts the answer packet; DNS_TIMEOUT puts nothing. */
enum dns_status dns_zone_answer(const struct dns_zone *z, const struct dns_question *q,
                                struct buf *packet);

/* The zone as a backend: it answers at once; TIMEOUT names never. */
struct dns_backend dns_zone_backend(struct dns_zone *z);
/* Questions answered, TIMEOUT ones included. */

#endif
