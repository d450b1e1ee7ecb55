/* Host names for `postern send`: it runs by itself, without the resolver process. */
#include "cli/send_run.h"

#include <unbound.h>

static void add(struct send_options *o, uint8_t family, const void *ip, size_t n, uint16_t port)
{
    if (o->addr_count == SEND_ADDRS_MAX)
        return;
    struct netaddr *a = &o->addrs[o->addr_count++];
    *a = (struct netaddr){ .family = family, .port = port };
    memcpy(a->ip, ip, n);
}

static int ask(struct send_options *o, struct ub_ctx *ub, const char *name, uint16_t port, int v6)
{
    enum { TYPE_A = 1, TYPE_AAAA = 28, CLASS_IN = 1 };
    struct ub_result *r = NULL;
    int rc = ub_resolve(ub, name, v6 ? TYPE_AAAA : TYPE_A, CLASS_IN, &r);
    for (size_t i = 0; rc == 0 && r->havedata && r->data[i]; i++)
        if (r->len[i] == (v6 ? 16 : 4))
            add(o, v6 ? NETADDR_V6 : NETADDR_V4, r->data[i], v6 ? 16 : 4, port);
    if (rc == 0 && r->rcode != 0 && r->rcode != 3) /* neither an answer nor NXDOMAIN */
        rc = UB_SERVFAIL;
    ub_resolve_free(r);
    return rc;
}

bool send_lookup(struct send_options *o, const char *name, uint16_t port, struct err *e)
{
    static const uint8_t loopback4[4] = { 127, 0, 0, 1 }, loopback6[16] = { [15] = 1 };
    if (span_ieq(span_str(name), SPAN("localhost"))) {
        add(o, NETADDR_V4, loopback4, 4, port);
        add(o, NETADDR_V6, loopback6, 16, port);
        return true;
    }
    struct ub_ctx *ub = ub_ctx_create();
    if (!ub) {
        err_set(e, "%s: no resolver", name);
        return false;
    }
    ub_ctx_resolvconf(ub, NULL);
    int rc = ask(o, ub, name, port, 0);
    if (rc == 0)
        rc = ask(o, ub, name, port, 1);
    ub_ctx_delete(ub);
    if (o->addr_count)
        return true;
    if (rc)
        err_set(e, "%s: DNS does not answer: %s", name, ub_strerror(rc));
    else
        err_set(e, "%s: DNS knows no address of it", name);
    return false;
}
