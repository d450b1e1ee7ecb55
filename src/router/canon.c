/* Canonical names of recipients' domains. A name that is not known is waited for, but not for
 * long, and not each anew while no name server answers: then all go without until one does. */
#include "router/inside.h"

#include "base/hash.h"
#include "base/must.h"
#include "dns/name.h"
#include "proto/router_resolver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    KNOWN_MAX_MS = 5 * 60 * 1000, /* resolver's cache is behind it */
    FAILED_MS = 10 * 1000,
    PAUSE_MS = 30 * 1000, /* from one look whether a server answers again to the next */
    LATE_MAX = 3,         /* so many names without one answer between: as good as no server */
    STALE_MAX = 24 * 3600 * 1000, /* what was known still counts while nobody answers */
};

struct waiter {
    struct list node;
    void (*fn)(void *ctx, struct span canon, struct span why);
    void *ctx;
};

/* A domain's canonical name: known, or being asked for. */
struct canon {
    struct hash_node by_domain, by_q; /* by_q while it is asked for */
    struct list age;                  /* in n->known, the oldest first; not while it is asked for */
    struct canons *n;
    uint64_t q;                       /* 0: known */
    int64_t until_ms;
    struct loop_timer deadline;
    struct list waiters;
    struct dns_name domain, name;
    char why[128];
};

struct canons {
    struct router *r;
    struct channel *channel; /* to resolver, not owned; NULL: it is away */
    struct hash domains, asked;
    struct list known;
    uint64_t next_q, alive_q; /* alive_q: the question whether a server answers; 0: none */
    struct loop_timer look;   /* its deadline, or when the next one is due */
    size_t waiters;
    unsigned late;    /* names without an answer in time since the last answer */
    bool paused;      /* nobody is asked for names... */
    bool said;        /* ...and that has been said */
    char why[128];    /* the words for it */
};

/* --- one name --- */

static void canon_free(struct canon *c)
{
    struct canons *n = c->n;
    hash_remove(&n->domains, &c->by_domain);
    if (c->q)
        hash_remove(&n->asked, &c->by_q);
    list_remove(&c->age);
    loop_timer_stop(n->r->env->loop, &c->deadline);
    LIST_EACH(node, &c->waiters) {
        list_remove(node);
        free(CONTAINER(node, struct waiter, node));
        n->waiters--;
    }
    free(c);
}

/* It is known now, if only that it cannot be. */
static void canon_end(struct canon *c, int64_t keep_ms)
{
    struct canons *n = c->n;
    hash_remove(&n->asked, &c->by_q);
    c->q = 0;
    c->until_ms = loop_mono_ms(n->r->env->loop) + keep_ms;
    loop_timer_stop(n->r->env->loop, &c->deadline);
    list_append(&n->known, &c->age);
    struct list waiting;
    list_init(&waiting);
    LIST_EACH(node, &c->waiters) {
        list_remove(node);
        list_append(&waiting, node);
    }
    /* c may go while they are told: whoever is told may ask again. */
    struct dns_name name = c->name;
    char why[sizeof c->why];
    memcpy(why, c->why, sizeof why);
    LIST_EACH(told, &waiting) {
        struct waiter *w = CONTAINER(told, struct waiter, node);
        list_remove(told);
        n->waiters--;
        w->fn(w->ctx, dns_name_span(&name), span_str(why));
        free(w);
    }
}

static void canon_failed(struct canon *c, const char *why)
{
    snprintf(c->why, sizeof c->why, "%s", why);
    canon_end(c, FAILED_MS);
}

/* --- does any name server answer? --- */

static void look(struct canons *n)
{
    n->alive_q = ++n->next_q;
    loop_timer_in(n->r->env->loop, &n->look, n->r->config->route.canonical_timeout_ms);
    struct msg_ask_alive m = { .q = n->alive_q };
    send_ask_alive(n->channel, &m);
}

/* The next look is due in a while; until then nobody waits for a name. */
static void pause_canons(struct canons *n)
{
    struct events *e = n->r->env->events;
    char when[16];
    n->paused = true;
    n->alive_q = 0;
    loop_timer_in(n->r->env->loop, &n->look, PAUSE_MS);
    time_t until = (time_t)((loop_wall_ms(n->r->env->loop) + PAUSE_MS) / 1000);
    struct tm tm;
    strftime(when, sizeof when, "%H:%M:%S", localtime_r(&until, &tm));
    snprintf(n->why, sizeof n->why,
             "no name server answers: canonical names are not looked for until %s", when);
    if (n->said)
        return;
    n->said = true;
    event_begin(e, EVENT_dns_notice);
    event_str(e, FIELD_text, span_str(n->why));
    event_end(e);
    log_line(e, EVENT_NOTICE, "dns: %s", n->why);
}

static void resume_canons(struct canons *n)
{
    n->alive_q = 0;
    n->paused = false;
    loop_timer_stop(n->r->env->loop, &n->look);
    if (n->late >= LATE_MAX)
        n->late = LATE_MAX - 1; /* one more, and they are as good as away again */
    if (!n->said)
        return;
    n->said = false;
    event_begin(n->r->env->events, EVENT_dns_notice);
    event_str(n->r->env->events, FIELD_text, SPAN("canonical names are looked for again"));
    event_end(n->r->env->events);
    log_line(n->r->env->events, EVENT_NOTICE, "dns: canonical names are looked for again");
}

static void on_look(void *ctx)
{
    struct canons *n = ctx;
    if (n->alive_q || !n->channel)
        pause_canons(n); /* no answer, or nobody to ask */
    else
        look(n);
}

/* One name may have servers of its own that are silent: only when nobody answers at all is
 * everything without canonical names. */
static void on_canon_late(void *ctx)
{
    struct canon *c = ctx;
    struct canons *n = c->n;
    n->late++;
    if (n->late >= LATE_MAX && !n->said) {
        pause_canons(n);
    } else if (!n->paused && n->channel) {
        n->paused = true;
        snprintf(n->why, sizeof n->why, "whether a name server answers is being found out");
        look(n);
    }
    canon_failed(c, "no answer in time");
}

/* --- asking --- */

/* NULL: no room, and nothing that could go. */
static struct canon *canon_new(struct canons *n, const struct dns_name *domain)
{
    if (n->domains.n >= CANON_MAX) {
        struct list *oldest = list_first(&n->known);
        if (!oldest)
            return NULL;
        canon_free(CONTAINER(oldest, struct canon, age));
    }
    struct canon *c = NEW(struct canon);
    c->n = n;
    c->domain = *domain;
    c->q = ++n->next_q;
    list_init(&c->waiters);
    loop_timer_init(&c->deadline, on_canon_late, c);
    hash_add(&n->domains, &c->by_domain, dns_name_span(&c->domain));
    hash_add(&n->asked, &c->by_q, span_of(&c->q, sizeof c->q));
    loop_timer_in(n->r->env->loop, &c->deadline, n->r->config->route.canonical_timeout_ms);
    struct msg_ask_canon m = { .q = c->q, .domain = dns_name_span(&c->domain) };
    send_ask_canon(n->channel, &m);
    return c;
}

static struct canon *canon_known(struct canons *n, const struct dns_name *domain)
{
    struct hash_node *node = hash_get(&n->domains, dns_name_span(domain));
    struct canon *c = node ? CONTAINER(node, struct canon, by_domain) : NULL;
    int64_t now = loop_mono_ms(n->r->env->loop);
    if (!c || c->q || now < c->until_ms)
        return c;
    if (n->paused && !c->why[0] && now < c->until_ms + STALE_MAX)
        return c;
    canon_free(c);
    return NULL;
}

void canons_ask(struct canons *n, struct span domain,
                void (*fn)(void *ctx, struct span canon, struct span why), void *ctx)
{
    struct dns_name name;
    if (dns_name_from(domain, &name) != DNS_NAME_OK) {
        fn(ctx, SPAN_NONE, SPAN_NONE); /* nothing DNS could know */
        return;
    }
    struct canon *c = canon_known(n, &name);
    if (c && !c->q) {
        fn(ctx, dns_name_span(&c->name), span_str(c->why));
        return;
    }
    if (!c && n->paused) {
        fn(ctx, SPAN_NONE, span_str(n->why));
        return;
    }
    if (!c && n->channel)
        c = canon_new(n, &name);
    if (!c || n->waiters >= CANON_WAITERS_MAX) {
        fn(ctx, SPAN_NONE, c ? SPAN("too many questions at once") : SPAN("the resolver is away"));
        return;
    }
    struct waiter *w = NEW(struct waiter);
    w->fn = fn;
    w->ctx = ctx;
    list_append(&c->waiters, &w->node);
    n->waiters++;
}

bool canons_paused(struct canons *n, struct span domain, struct span *canon_r, struct span *why_r)
{
    struct dns_name name;
    if (!n->paused || dns_name_from(domain, &name) != DNS_NAME_OK)
        return false;
    struct canon *c = canon_known(n, &name);
    bool known = c && !c->q;
    *canon_r = known ? dns_name_span(&c->name) : SPAN_NONE;
    *why_r = known ? span_str(c->why) : span_str(n->why);
    return true;
}

/* --- answers --- */

void canons_answer(struct canons *n, const struct msg_canon *m)
{
    struct hash_node *node = hash_get(&n->asked, span_of(&m->q, sizeof m->q));
    if (m->ok)
        n->late = 0;
    if (!node)
        return; /* too late */
    struct canon *c = CONTAINER(node, struct canon, by_q);
    if (!m->ok) {
        char why[sizeof c->why];
        snprintf(why, sizeof why, "%.*s", (int)(m->why.n < sizeof why ? m->why.n : sizeof why - 1),
                 m->why.n ? m->why.p : "");
        canon_failed(c, why[0] ? why : "DNS gave no answer");
        return;
    }
    if (dns_name_from(m->name, &c->name) != DNS_NAME_OK || dns_name_eq(&c->name, &c->domain))
        c->name = (struct dns_name){ 0 };
    int64_t keep_ms = (int64_t)m->ttl_s * 1000;
    canon_end(c, keep_ms < KNOWN_MAX_MS ? keep_ms : KNOWN_MAX_MS);
}

void canons_alive(struct canons *n, const struct msg_alive *m)
{
    if (m->q != n->alive_q)
        return; /* too late */
    if (m->ok)
        resume_canons(n);
    else
        pause_canons(n);
}

/* --- life --- */

void canons_resolver(struct canons *n, struct channel *ch)
{
    n->channel = ch;
    if (ch)
        return;
    for (struct hash_node *node; (node = hash_next(&n->asked, NULL));)
        canon_failed(CONTAINER(node, struct canon, by_q), "the resolver went away");
    if (n->paused) /* the next one may know more */
        resume_canons(n);
}

struct canons *canons_new(struct router *r)
{
    struct canons *n = NEW(struct canons);
    n->r = r;
    hash_init(&n->domains, loop_random_u64(r->env->loop), 0);
    hash_init(&n->asked, loop_random_u64(r->env->loop), 0);
    list_init(&n->known);
    loop_timer_init(&n->look, on_look, n);
    return n;
}

/* After a reload: other servers, perhaps. */
void canons_forget(struct canons *n)
{
    LIST_EACH(node, &n->known)
        canon_free(CONTAINER(node, struct canon, age));
    n->late = 0;
    if (n->paused)
        resume_canons(n);
}

void canons_free(struct canons **pn)
{
    struct canons *n = *pn;
    *pn = NULL;
    if (!n)
        return;
    for (struct hash_node *node; (node = hash_next(&n->domains, NULL));)
        canon_free(CONTAINER(node, struct canon, by_domain));
    loop_timer_stop(n->r->env->loop, &n->look);
    hash_free(&n->domains);
    hash_free(&n->asked);
    free(n);
}
