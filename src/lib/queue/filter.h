/* filter: which messages a question or an action is about. Pure.
 *
 * A filter is a list of words. All must hold; of several for one text field (or the state) that
 * are not negated, one:
 *
 *   word  = ["any."] ["!"] field op value        "!" negates
 *   text  : id from to domain site client listener reason target
 *           "=" the whole of it, with "*" for any bytes; "~" a part of it. Case is ASCII-blind,
 *           but for a whole id: two ids may differ in it alone. Domains are compared as A-labels
 *           (base/domain.h), but for parts and patterns.
 *           from, to: an address, "@domain", a domain, or "<>" for the null sender
 *           client: with "=" an address or a net ("192.0.2.0/24")
 *           domain, and that of from and to: ".example.com" is all below it
 *           with "=" a name may stand as in a log or in the answer of a name server: "<a@b>",
 *           "ID:", "example.com."
 *           site: with "=" a site or a destination, or one of the hosts in it
 *           reason: also what was said before that (of what is held, released or frozen), and
 *           both as lists show them: "REASON; before that: BEFORE"
 *           target: only "=", without "*": what reads as an id is that message; else the address
 *           of a recipient, its domain, its destination, its site or one of the site's hosts
 *   state : "=" one or several of ready, active, deferred, frozen, waiting, held, quarantined
 *           ("a,b")
 *   age   : ">2h" "<30m"                size : ">1M" "<10k" ">100KB"
 *
 * A filter without words holds for everything. What concerns recipients (to, domain, site, state,
 * reason, target) must hold for one and the same recipient, and such recipients alone are chosen.
 *
 * Words with "any." are sendmail's way to choose: of those for one field one is enough, negated
 * ones too, and what concerns recipients holds for the message when it does for any recipient
 * that the other words choose. All of these stay chosen. So `-qRone -q!Rtwo -qSroot` is
 * "any.to~one any.!to~two any.from~root !state=held,quarantined".
 *
 * Two steps are saved by three answers: a whole group of the index may match, may not, or it
 * depends on facts that the group does not have (QUEUE_MAYBE). */
#ifndef POSTERN_QUEUE_FILTER_H
#define POSTERN_QUEUE_FILTER_H

#include "base/err.h"
#include "base/netaddr.h"
#include "base/span.h"

enum { QUEUE_TERMS_MAX = 80, QUEUE_VALUE_MAX = 320 };

/* As people name them, everywhere. */
enum queue_state {
    QUEUE_READY,    /* to be tried as soon as it is its turn, and its site's limits let it */
    QUEUE_ACTIVE,   /* a delivery is under way */
    QUEUE_DEFERRED, /* until its next try, or the end of its site's back-off */
    QUEUE_FROZEN,   /* nothing is started for its domain, destination or site */
    QUEUE_WAITING, /* for a queue run */
    QUEUE_HELD,
    QUEUE_QUARANTINED, /* held by what the tables say of it */
    QUEUE_STATES,
};
const char *queue_state_name(enum queue_state state);
/* False: there is none of that name. */
bool queue_state_of(struct span name, enum queue_state *state_r);

enum queue_field {
    QUEUE_ID,
    QUEUE_FROM,
    QUEUE_TO,
    QUEUE_DOMAIN, /* of the recipient */
    QUEUE_SITE,   /* or destination */
    QUEUE_CLIENT,
    QUEUE_LISTENER,
    QUEUE_REASON,
    QUEUE_TARGET,
    QUEUE_STATE,
    QUEUE_AGE,
    QUEUE_SIZE,
    QUEUE_FIELDS,
};

struct queue_filter;

/* Made empty; freed by queue_filter_free, which accepts NULL in *f. */
struct queue_filter *queue_filter_new(void);
void queue_filter_free(struct queue_filter **f);

/* Adds a word. 1: taken; 0: its field is none of a filter's ("limit=10"); -1: err says what is
 * wrong with it. Everything is copied. */
int queue_filter_word(struct queue_filter *f, struct span word, struct err *err);
struct queue_facts;
/* Whether all that is asked of a reason holds for both of these (reason, before), or for neither,
 * each by itself. */
bool queue_filter_alike(const struct queue_filter *f, const struct queue_facts *a,
                        const struct queue_facts *b);
/* Nothing was asked for: it holds for everything. */
bool queue_filter_empty(const struct queue_filter *f);
/* Bits (1 << enum queue_field) of the fields it looks at. */
uint32_t queue_filter_fields(const struct queue_filter *f);

struct queue_addr { /* as the schedule has it: the domain in lower case */
    struct span local, domain;
    bool whole; /* local is the whole address */
};

/* What is known of a message or of a group. */
struct queue_facts {
    uint32_t known; /* bits 1 << enum queue_field; FROM, TO: the address with its local part */
    bool from_domain_known, to_domain_known; /* at least sender.domain (to.domain) */
    struct span id;
    struct queue_addr from, to; /* to.domain is QUEUE_DOMAIN, too */
    struct span site, dest;
    struct netaddr client;
    struct span listener, reason;
    bool reason_is_class; /* queue/reason.h: the reasons themselves may differ in its "*" */
    struct span before;   /* what was said before the reason; or empty */
    bool before_open;     /* it may be another one */
    /* Numbers, drawn by keyed hashes, of texts that many have: who has the same of site and dest,
     * or of reason, has the same texts. 0: none. A text is then compared once. */
    uint64_t place_number, reason_number;
    enum queue_state state;
    int64_t age_ms;
    uint64_t size_bytes;
};

enum queue_match { QUEUE_NO, QUEUE_YES, QUEUE_MAYBE };

/* Of a message, of a group, or of a message with one of its recipients (another one may yet have
 * what is asked of any: QUEUE_MAYBE). */
enum queue_match queue_filter_match(const struct queue_filter *f, const struct queue_facts *x);

/* A message is told by its recipients: x has all facts, of the message and one recipient. 0: it
 * is not chosen; else bits. The message is meant when the bits of its recipients together have
 * all of queue_filter_wants. */
uint32_t queue_filter_rcpt(const struct queue_filter *f, const struct queue_facts *x);
uint32_t queue_filter_wants(const struct queue_filter *f);

/* The value of a term "field=value" that all must hold for, alone of its field and without "*": a
 * shortcut for who can look it up. SPAN_NONE: there is none. */
struct span queue_filter_exact(const struct queue_filter *f, enum queue_field field);

/* From now on a term that asks for one of the states that mail goes through on its way (ready,
 * active, deferred) is content with any of them. */
void queue_filter_any_stage(struct queue_filter *f);

/* Whether one of the hosts in "mx:a.example,b.example" or "host:[192.0.2.1]:25" does. */
bool queue_place_has(struct span place, struct span pattern);

#endif
