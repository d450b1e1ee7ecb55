/* value: the right-hand side of a mailertable: MAILER:REST.
 *   relay:HOPS esmtp:HOPS smtp:HOPS   next hops as dns/hop.h reads them; also smtp8: dsmtp:
 *   lmtp:HOPS lmtp:/path              LMTP; port 24 where none is written, or a UNIX socket
 *   local: local:USER                 this host: the same user, or that one
 *   error:D.S.N:CODE TEXT             also error:D.S.N:TEXT, error:CODE TEXT, error:WORD TEXT with
 *                                     WORD one of sendmail's (nouser nohost unavailable ...)
 *   discard: hold:REASON
 * %1 in a host or user is what the key's leading dot stood for. */
#ifndef POSTERN_ROUTE_VALUE_H
#define POSTERN_ROUTE_VALUE_H

#include "route/dest.h"

enum { ROUTE_LMTP_PORT = 24, ROUTE_PATH_MAX = 107 /* what a struct sockaddr_un takes */ };

/* part is for %1. Sets everything but user (for a plain "local:"), matched and queue. False: e
 * says what is wrong. Spans point into `a`. */
bool route_value(struct span value, struct span part, struct arena *a, struct route_dest *d_r,
                 struct err *e);

/* The same where a value may be next hops alone, meaning relay: smart_host. */
bool route_value_or_hops(struct span value, struct arena *a, struct route_dest *d_r,
                         struct err *e);

/* What may stand behind "error:". Sets reply, code and text; *d_r is otherwise left alone. */
bool route_value_error(struct span s, struct route_dest *d_r, struct err *e);
bool route_is_enhanced(struct span s); /* "5.7.1" (RFC 3463 2) */

/* For map_params.check: is this entry of a mailertable one that route will understand? */
bool route_check_entry(void *unused, struct span key, struct span value, struct err *e);

#endif
