#include "dns/engine.h"

#include "base/list.h"
#include "base/must.h"
#include "dns/servers.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unbound.h>
#include <unbound-event.h>
#include <unistd.h>

/* libunbound's SEC_* of the event callback */
enum { SEC_INSECURE = 0, SEC_BOGUS = 1, SEC_SECURE = 2 };

/* One question in libunbound, or held back while auto finds out (async_id 0, in e->held). */
struct query {
    struct list node; /* in e->queries or e->held */
    struct dns_engine *e;
    struct dns_question q;
    int async_id;
    bool *gone;       /* set when it ends; for send_query */
    void (*done)(void *arg, const struct dns_raw *raw);
    void *arg;
};

struct dns_engine {
    struct loop *loop;
    struct ub_ctx *validating; /* NULL: off */
    struct ub_ctx *plain;      /* NULL: always validated */
    bool probing;
    int probe_id;
    struct loop_timer probe_deadline;
    struct loop_hook settle;   /* contexts are not deleted inside their own callbacks */
    char probe_why[256];
    bool probe_good;
    struct list queries, held;
    struct buf servers; /* as text, for provenance */
    struct netaddr asked[DNS_SERVERS_MAX];
    size_t asked_count;
    char *anchor;
    void (*say)(void *ctx, bool validating, const char *why);
    void *say_ctx;
};

/* --- libunbound's configuration --- */

static void put_config(struct buf *b, const struct dns_engine_params *p)
{
    buf_putz(b,
             "server:\n"
             "  do-not-query-localhost: no\n" /* a resolver on this host is the usual case */
             "  do-daemonize: no\n"
             "  use-syslog: no\n"
             "  outgoing-range: 1024\n"
             "  num-queries-per-thread: 1024\n"
             "  outgoing-num-tcp: 32\n"
             "  edns-buffer-size: 1232\n"
             "  minimal-responses: yes\n" /* the SOA of a negative answer stays */
             "  rrset-roundrobin: no\n"
             "  unknown-server-time-limit: 200\n"
             "  infra-host-ttl: 60\n" /* a server that was away is tried again soon */
             "  infra-keep-probing: yes\n"
             "  unblock-lan-zones: yes\n"
             "  insecure-lan-zones: yes\n"
             "  local-zone: \"test.\" nodefault\n" /* the servers answer, not a built-in list */
             "  local-zone: \"invalid.\" nodefault\n"
             "  local-zone: \"home.arpa.\" nodefault\n"
             "  val-log-level: 2\n" /* gathers why_bogus; the log itself is off */
             "  module-config: \"validator iterator\"\n"
             "forward-zone:\n"
             "  name: \".\"\n"
             "  forward-no-cache: yes\n");
    for (size_t i = 0; i < p->server_count; i++) {
        buf_putz(b, "  forward-addr: ");
        netaddr_put_ip(b, &p->servers[i]);
        buf_printf(b, "@%u\n", p->servers[i].port ? p->servers[i].port : 53);
    }
}

/* libunbound reads options such as forward-no-cache from a file only. */
static bool configure(struct ub_ctx *ctx, struct span text, struct err *e)
{
    char path[64];
    int fd = memfd_create("unbound.conf", MFD_CLOEXEC);
    bool good = fd >= 0 && write(fd, text.p, text.n) == (ssize_t)text.n;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int rc = good ? ub_ctx_config(ctx, path) : UB_READFILE;
    if (rc)
        err_set(e, "libunbound's configuration: %s", ub_strerror(rc));
    if (fd >= 0)
        close(fd);
    return rc == 0;
}

static void drop_ctx(struct ub_ctx **ctx)
{
    if (!*ctx)
        return;
    ub_ctx_delete(*ctx);
    *ctx = NULL;
}

static struct ub_ctx *make_ctx(struct loop *l, const struct dns_engine_params *p,
                               const char *anchor, struct err *e)
{
    struct event_base *base = loop_event_base(l);
    struct ub_ctx *ctx = base ? ub_ctx_create_event(base) : NULL;
    struct buf text;
    int rc = 0;
    if (!ctx) {
        err_set(e, "libunbound cannot start");
        return NULL;
    }
    ub_ctx_debugout(ctx, NULL);
    buf_init(&text, 8192);
    put_config(&text, p);
    bool good = configure(ctx, buf_span(&text), e);
    buf_free(&text);
    if (good && anchor && access(anchor, R_OK) != 0) {
        err_errno(e, "the trust anchor %s", anchor);
        good = false;
    }
    if (good && anchor)
        rc = ub_ctx_add_ta_file(ctx, anchor);
    if (good && !rc) /* any call that makes it read its files now, while they can be reached */
        rc = ub_ctx_data_remove(ctx, "nothing.invalid.");
    if (rc)
        err_set(e, "libunbound with the trust anchor %s: %s", anchor ? anchor : "(none)",
                ub_strerror(rc));
    if (!good || rc) {
        drop_ctx(&ctx);
        return NULL;
    }
    return ctx;
}

/* --- questions --- */

static void drop_query(struct query *qu)
{
    if (qu->gone)
        *qu->gone = true;
    list_remove(&qu->node);
    free(qu);
}

static void answered(void *arg, int rcode, void *packet, int packet_len, int sec, char *why,
                     int ratelimited)
{
    struct query *qu = arg;
    struct dns_raw raw = { .status = DNS_SERVFAIL, .server = buf_span(&qu->e->servers) };
    (void)ratelimited;
    if (rcode == 0 && packet && packet_len > 0)
        raw.packet = span_of(packet, (size_t)packet_len);
    raw.security = sec == SEC_BOGUS    ? DNS_BOGUS
                   : sec == SEC_SECURE ? DNS_SECURE
                                       : DNS_INSECURE;
    if (why && sec == SEC_BOGUS)
        raw.why = span_str(why);
    void (*done)(void *, const struct dns_raw *) = qu->done;
    void *done_arg = qu->arg;
    drop_query(qu); /* before done: it may ask again */
    done(done_arg, &raw);
}

static void fail(struct query *qu, const char *why)
{
    struct dns_raw raw = { .status = DNS_SERVFAIL, .why = span_str(why) };
    void (*done)(void *, const struct dns_raw *) = qu->done;
    void *arg = qu->arg;
    drop_query(qu);
    done(arg, &raw);
}

static void send_query(struct dns_engine *e, struct query *qu)
{
    char name[DNS_NAME_MAX + 2];
    int id = 0;
    bool gone = false; /* it may be answered, and freed, before ub_resolve_event returns */
    snprintf(name, sizeof name, "%s.", qu->q.name.s);
    list_remove(&qu->node);
    list_append(&e->queries, &qu->node);
    qu->gone = &gone;
    struct ub_ctx *ctx = e->validating ? e->validating : e->plain;
    int rc = ub_resolve_event(ctx, name, qu->q.type, 1, qu, answered, &id);
    if (gone)
        return;
    qu->gone = NULL;
    qu->async_id = id;
    if (rc)
        fail(qu, ub_strerror(rc));
}

static uint64_t engine_ask(void *ctx, const struct dns_question *q,
                           void (*done)(void *arg, const struct dns_raw *raw), void *arg)
{
    struct dns_engine *e = ctx;
    struct query *qu = NEW(struct query);
    qu->e = e;
    qu->q = *q;
    qu->done = done;
    qu->arg = arg;
    list_append(&e->held, &qu->node);
    uint64_t id = (uint64_t)(uintptr_t)qu;
    if (!e->probing)
        send_query(e, qu);
    return id; /* not used by the caller when done was called already */
}

static void engine_cancel(void *ctx, uint64_t id)
{
    struct dns_engine *e = ctx;
    struct query *qu = (struct query *)(uintptr_t)id;
    if (qu->async_id)
        ub_cancel(e->validating ? e->validating : e->plain, qu->async_id);
    drop_query(qu);
}

/* --- auto: does the path let signatures through? --- */

static void settle(void *ctx)
{
    struct dns_engine *e = ctx;
    e->probing = false;
    loop_timer_stop(e->loop, &e->probe_deadline);
    struct ub_ctx **gone = e->probe_good ? &e->plain : &e->validating;
    drop_ctx(gone);
    if (e->say)
        e->say(e->say_ctx, e->probe_good, e->probe_good ? "" : e->probe_why);
    while (!list_empty(&e->held))
        send_query(e, CONTAINER(list_first(&e->held), struct query, node));
}

static void found_out(struct dns_engine *e, bool good, const char *why)
{
    e->probe_good = good;
    snprintf(e->probe_why, sizeof e->probe_why, "%s", why);
    loop_hook_ask(e->loop, &e->settle);
}

static void probed(void *arg, int rcode, void *packet, int packet_len, int sec, char *why,
                   int ratelimited)
{
    (void)packet;
    (void)packet_len;
    (void)ratelimited;
    found_out(arg, rcode == 0 && sec == SEC_SECURE,
              why                   ? why
              : rcode               ? "the servers do not answer for the root key"
              : sec == SEC_INSECURE ? "the root key came without signatures"
                                    : "the root key is not validated");
}

static void probe_too_late(void *ctx)
{
    struct dns_engine *e = ctx;
    if (e->probe_id)
        ub_cancel(e->validating, e->probe_id);
    found_out(e, false, "no answer for the root key in time");
}

static void start_probe(struct dns_engine *e, int64_t probe_ms)
{
    e->probing = true;
    loop_timer_in(e->loop, &e->probe_deadline, probe_ms ? probe_ms : 5000);
    int rc = ub_resolve_event(e->validating, ".", DNS_DNSKEY, 1, e, probed, &e->probe_id);
    if (rc)
        found_out(e, false, ub_strerror(rc));
}

/* --- forgetting --- */

/* A context remembers failures for seconds, and silent servers for a minute: a new one does not.
 * Nothing is out (dns_resolver_forget_failed). */
static void engine_forget(void *ctx)
{
    struct dns_engine *e = ctx;
    struct dns_engine_params p = { .servers = e->asked, .server_count = e->asked_count };
    struct ub_ctx **used = e->validating ? &e->validating : &e->plain, *fresh;
    struct err err;
    if (e->probing || !list_empty(&e->queries))
        return;
    fresh = make_ctx(e->loop, &p, e->validating ? e->anchor : NULL, &err);
    if (!fresh)
        return; /* it goes on with what it has, which is no mistake, only slower */
    drop_ctx(used);
    *used = fresh;
}

/* --- life --- */

struct dns_engine *dns_engine_new(struct loop *l, const struct dns_engine_params *p,
                                  struct err *err)
{
    MUST(p->server_count > 0 && p->server_count <= DNS_SERVERS_MAX);
    struct dns_engine *e = NEW(struct dns_engine);
    e->loop = l;
    e->say = p->say;
    e->say_ctx = p->say_ctx;
    list_init(&e->queries);
    list_init(&e->held);
    loop_timer_init(&e->probe_deadline, probe_too_late, e);
    loop_hook_init(&e->settle, LOOP_STAGE_WORK, settle, e);
    buf_init(&e->servers, DNS_SERVERS_MAX * (NETADDR_TEXT_MAX + 2));
    for (size_t i = 0; i < p->server_count; i++) {
        if (i)
            buf_putz(&e->servers, ", ");
        netaddr_put(&e->servers, &p->servers[i]);
        e->asked[e->asked_count++] = p->servers[i];
    }
    if (p->trust_anchor)
        e->anchor = must_strndup(p->trust_anchor, strlen(p->trust_anchor));
    if (p->dnssec != DNS_DNSSEC_OFF)
        e->validating = make_ctx(l, p, p->trust_anchor, err);
    if (p->dnssec != DNS_DNSSEC_ON && (e->validating || p->dnssec == DNS_DNSSEC_OFF))
        e->plain = make_ctx(l, p, NULL, err);
    if ((p->dnssec != DNS_DNSSEC_OFF && !e->validating) ||
        (p->dnssec != DNS_DNSSEC_ON && !e->plain)) {
        dns_engine_free(&e);
        return NULL;
    }
    if (p->dnssec == DNS_DNSSEC_AUTO)
        start_probe(e, p->probe_ms);
    return e;
}

void dns_engine_free(struct dns_engine **ep)
{
    struct dns_engine *e = *ep;
    if (!e)
        return;
    loop_timer_stop(e->loop, &e->probe_deadline);
    drop_ctx(&e->validating);
    drop_ctx(&e->plain);
    loop_hook_cancel(&e->settle); /* a probe under way has just been answered, by the deletion */
    struct list *const lists[] = { &e->queries, &e->held };
    for (size_t i = 0; i < 2; i++)
        while (!list_empty(lists[i]))
            drop_query(CONTAINER(list_first(lists[i]), struct query, node));
    buf_free(&e->servers);
    free(e->anchor);
    free(e);
    *ep = NULL;
}

struct dns_backend dns_engine_backend(struct dns_engine *e)
{
    return (struct dns_backend){ .ask = engine_ask, .cancel = engine_cancel,
                                 .forget = engine_forget, .ctx = e,
                                 .servers = buf_span(&e->servers) };
}

bool dns_engine_validating(const struct dns_engine *e) { return !e->probing && e->validating; }
