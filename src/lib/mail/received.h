/* received: the trace field put in front of every message we take (RFC 5321 4.4), in the shape
 * sendmail's admins read, with our instance id in a comment for loop detection:
 *
 *   Received: from HELO (NAME [IP])
 *   <tab>by HOST (postern INSTANCE) with ESMTPS id QUEUEID
 *   <tab>(version=TLSv1.3 cipher=TLS_AES_256_GCM_SHA384 bits=256 verify=NO)
 *   <tab>for <rcpt>; Fri, 20 Nov 2026 08:46:30 +0000
 *
 * and of a user of this machine
 *
 *   Received: (from USER@localhost)
 *   <tab>by HOST (postern INSTANCE) with local id QUEUEID; ...
 */
#ifndef POSTERN_MAIL_RECEIVED_H
#define POSTERN_MAIL_RECEIVED_H

#include "base/buf.h"

enum { RECEIVED_MAX = 3072 }; /* received_put needs no more room than this */

struct received {
    struct span helo;      /* untrusted; empty = none was given */
    struct span name;      /* verified reverse name, or "" */
    struct span ip;        /* text without brackets; "" = of our own making (no "from" at all) */
    struct span host;      /* our name */
    struct span instance;  /* headerwalk_instance_ok */
    struct span proto;     /* RFC 3848 */
    struct span queue_id;
    struct span tls_version, tls_cipher; /* "" = no TLS line */
    unsigned tls_bits;
    struct span user;      /* of this machine, who handed it in; then helo, name and ip are empty */
    struct span rcpt;      /* the only recipient, or "": a list would disclose Bcc */
    int64_t wall_ms;
    int zone_min;
};

/* False only when b has no room.
 * The "for" line is left out without `rcpt`, the TLS line without TLS. */
bool received_put(struct buf *b, const struct received *r);

/* "name [ip]" or "[ip]", as replies and logs name a client; IPv6 as "[IPv6:...]". */
bool received_put_client(struct buf *b, struct span name, struct span ip);

#endif
