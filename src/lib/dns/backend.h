/* backend: whoever can be asked a question of the DNS: libunbound (dns/engine.h) or a staged zone
 * (dns_zone_backend). */
#ifndef POSTERN_DNS_BACKEND_H
#define POSTERN_DNS_BACKEND_H

#include "dns/cache.h"

struct dns_backend {
    /* Starts to ask and returns a number for cancel (0: none is needed). done is called once,
     * maybe before ask returns, or never (then the caller's deadline ends it by cancel); raw and
     * its spans live only during the call, raw->asked_ms is not set. */
    uint64_t (*ask)(void *ctx, const struct dns_question *q,
                    void (*done)(void *arg, const struct dns_raw *raw), void *arg);
    /* done is not called any more. Fine when it was called already. */
    void (*cancel)(void *ctx, uint64_t id);
    /* Forgets what it keeps itself, failures as well; nothing is out then. NULL: it keeps none. */
    void (*forget)(void *ctx);
    void *ctx;
    struct span servers; /* who is asked, as text; alive as long as ctx; may be empty */
};

#endif
