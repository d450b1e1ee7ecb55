/* address: a recipient taken apart for routing. What the SMTP server let in is well-formed; what
 * comes from elsewhere may not be, so every oddity has its answer here. */
#ifndef POSTERN_ROUTE_ADDRESS_H
#define POSTERN_ROUTE_ADDRESS_H

#include "base/arena.h"
#include "base/netaddr.h"
#include "dns/name.h"

enum route_address_kind {
    ROUTE_ADDR_LOCAL_PART, /* no domain: "postmaster", "root" */
    ROUTE_ADDR_DOMAIN,
    ROUTE_ADDR_LITERAL,    /* user@[192.0.2.1] */
    ROUTE_ADDR_BAD,
};

struct route_address {
    enum route_address_kind kind;
    struct span local;     /* as written, quotes and all */
    struct span domain;    /* as written, without a dot at the end */
    struct dns_name name;  /* of a DOMAIN: lower case, A-labels */
    struct netaddr literal; /* of a LITERAL */
    const char *code, *text; /* of a BAD one: "5.1.3", "Hostname required" */
};

/* A source route in front ("@a,@b:user@c", RFC 5321 C) is dropped, as the RFC demands. The spans
 * look into addr. */
struct route_address route_address(struct span addr);

/* The local part asks to be sent on by whoever gets it: % ! or a second @, quoted or not. Such
 * mail is not relayed for strangers, since a next hop may obey it. */
bool route_address_routed(const struct route_address *a);

/* "joe@new.example.REDIRECT": sendmail's way to say that joe is joe@new.example now. */
bool route_address_moved(const struct route_address *a, struct span *domain_r);

/* A local part without its quotes: itself, or a copy in a. */
struct span route_address_unquoted(struct span local, struct arena *a);

#endif
