/* netaddr: an IPv4 or IPv6 address with an optional port, and networks of them (CIDR).
 * One form for one address: an IPv4-mapped IPv6 address (::ffff:a.b.c.d) is held as IPv4, so that
 * a client is the same whichever socket it came in by. Names are never looked up here. IPv6 zones
 * (fe80::1%eth0) are not held: link-local addresses are read, but cannot be connected to. */
#ifndef POSTERN_BASE_NETADDR_H
#define POSTERN_BASE_NETADDR_H

#include "base/buf.h"
#include "base/err.h"
#include "base/wire.h"

#include <sys/socket.h>

enum netaddr_family { NETADDR_NONE = 0, NETADDR_V4 = 4, NETADDR_V6 = 6 };

struct netaddr {
    uint8_t family;  /* enum netaddr_family */
    uint8_t ip[16];  /* network order; the first 4 bytes for IPv4, the rest 0 */
    uint16_t port;   /* host order; 0 = none */
};

enum { NETADDR_TEXT_MAX = 64 }; /* bytes any netaddr_put* and cidr_put write at most */

/* "1.2.3.4", "::1", "[::1]": the whole span, no port. */
bool netaddr_parse_ip(struct span s, struct netaddr *a_r);
/* "1.2.3.4", "1.2.3.4:25", "[::1]", "[::1]:25", "::1" (a bare IPv6 address has no port).
 * Without a port a_r->port is default_port. Port 0 may be written only when default_port is 0.
 * False fills e (may be NULL). */
bool netaddr_parse(struct span s, uint16_t default_port, struct netaddr *a_r, struct err *e);
/* An address literal as in SMTP (RFC 5321 4.1.3), brackets included: "[1.2.3.4]", "[IPv6:::1]". */
bool netaddr_parse_literal(struct span s, struct netaddr *a_r);

/* False for families other than the two, and for a length too short. */
bool netaddr_from_sockaddr(const struct sockaddr *sa, socklen_t len, struct netaddr *a_r);
/* Returns the length; 0 for NETADDR_NONE. */
socklen_t netaddr_to_sockaddr(const struct netaddr *a, struct sockaddr_storage *ss_r);

void netaddr_put_ip(struct buf *b, const struct netaddr *a);      /* 1.2.3.4  ::1  (none: "?") */
void netaddr_put(struct buf *b, const struct netaddr *a);         /* 1.2.3.4:25  [::1]:25  [::1] */
void netaddr_put_literal(struct buf *b, const struct netaddr *a); /* [1.2.3.4]  [IPv6:::1] */

bool netaddr_eq(const struct netaddr *a, const struct netaddr *b);      /* port and all */
bool netaddr_same_ip(const struct netaddr *a, const struct netaddr *b); /* ports ignored */
bool netaddr_is_any(const struct netaddr *a);                           /* 0.0.0.0 or :: */
bool netaddr_is_loopback(const struct netaddr *a);                      /* 127.0.0.0/8, ::1 */

void netaddr_put_wire(struct buf *b, const struct netaddr *a);
struct netaddr netaddr_get_wire(struct wire *w); /* sets w->bad on nonsense */

struct cidr {
    struct netaddr net; /* bits behind the prefix are 0, port is 0 */
    uint8_t bits;       /* 0..32 or 0..128 */
};

/* "10.0.0.0/8", "[::1]/128", "::1/128"; without a "/" the single address. An address with bits
 * set behind the prefix is refused, since one of the two was not meant. False fills e (or NULL). */
bool cidr_parse(struct span s, struct cidr *c_r, struct err *e);
bool cidr_match(const struct cidr *c, const struct netaddr *a);
void cidr_put(struct buf *b, const struct cidr *c); /* 10.0.0.0/8  ::1/128 */
bool cidr_eq(const struct cidr *a, const struct cidr *b);

void cidr_put_wire(struct buf *b, const struct cidr *c);
struct cidr cidr_get_wire(struct wire *w);

#endif
