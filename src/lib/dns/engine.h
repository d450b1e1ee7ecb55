/* engine: the real DNS, through libunbound on the loop's libevent base: no thread, no process, no
 * /etc/hosts, no NSS. All questions go to the given servers (a stub that can validate); what
 * libunbound would keep itself it is told not to, so that our own cache and its TTLs rule. */
#ifndef POSTERN_DNS_ENGINE_H
#define POSTERN_DNS_ENGINE_H

#include "dns/backend.h"
#include "loop/loop.h"

enum dns_dnssec {
    DNS_DNSSEC_AUTO, /* validate when the path allows: the root key is asked for once */
    DNS_DNSSEC_ON,   /* validate, whatever the path does to it */
    DNS_DNSSEC_OFF,
};

struct dns_engine_params {
    const struct netaddr *servers; /* with ports */
    size_t server_count;           /* 1..DNS_SERVERS_MAX */
    enum dns_dnssec dnssec;
    const char *trust_anchor;      /* "/usr/share/dns/root.key" */
    int64_t probe_ms;              /* how long auto may find out; 0 = 5 s. Questions wait for it */
    /* Called once auto has found out, with why validation is off, and "" when it is on. May be
     * NULL. */
    void (*say)(void *ctx, bool validating, const char *why);
    void *say_ctx;
};

struct dns_engine;

/* Opens what it needs (the trust anchor) before it returns, so that the sandbox may close after.
 * NULL: e says why. */
struct dns_engine *dns_engine_new(struct loop *l, const struct dns_engine_params *p,
                                  struct err *e);
/* Questions that are out are dropped without an answer. Not from inside a callback of it. */
void dns_engine_free(struct dns_engine **e);

struct dns_backend dns_engine_backend(struct dns_engine *e);
bool dns_engine_validating(const struct dns_engine *e); /* false while it is finding out */

#endif
