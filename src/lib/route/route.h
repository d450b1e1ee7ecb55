/* route: may this client send that, what does the recipient become, and where does it go? Pure:
 * tables in, decision and trail out; no network.
 *
 * Two moments decide. When mail is taken in, access rules, virtusertable and aliases say whether
 * a recipient is accepted and which addresses it stands for; those go into the envelope. At each
 * attempt mailertable, smarttable, smart_host and DNS say where an address goes now, so that an
 * edited table works on mail that is queued already.
 *
 * The order, which is sendmail's: form of the address; access (Connect:, From:, To:); relaying;
 * virtusertable; local names and aliases, each new address from the start; then, at the attempt,
 * local names; literals; mailertable; smarttable; smart_host; MX.
 *
 * Every function takes a NULL trail. With one, each key that was looked up is one step, also
 * those that were not there: what = "access" "virtusertable" "aliases" "local" "mailertable"
 * "smarttable" "smart_host" "mx" ..., key, source = file, line, said = the value. */
#ifndef POSTERN_ROUTE_ROUTE_H
#define POSTERN_ROUTE_ROUTE_H

#include "config/config.h"
#include "maps/map.h"
#include "route/dest.h"
#include "trail/trail.h"

enum {
    ROUTE_DEPTH_MAX = 10,        /* default of route.alias_depth, as sendmail's */
    ROUTE_TARGETS_MAX = 1000,    /* default of route.alias_targets: of one recipient */
    ROUTE_INCLUDE_MAX = 1 << 20, /* bytes of one :include: file */
};

/* What the tables ask of the machine. NULL functions: what stands beside them. */
struct route_world {
    /* Whether ip is one of this host's, for recipients user@[ip] and for next hops that are our
     * own wildcard listeners. NULL: the addresses of the listeners, and loopback. */
    bool (*is_own_ip)(void *ctx, const struct netaddr *ip);
    /* The text of an :include: file, at most ROUTE_INCLUDE_MAX. NULL: it is read. */
    bool (*read_file)(void *ctx, struct span path, struct buf *text, struct err *e);
    /* For trails: what is known of a recipient that the next hop is to be asked about, whose mail
     * goes to `queue` (route_dest.queue). NULL: nothing. */
    void (*verified)(void *ctx, struct span rcpt, struct span queue, struct buf *text);
    void *ctx;
};

struct route_tables;

/* All maps of a configuration, opened, checked and owned by the tables. cfg is copied. NULL: r
 * has every error, with file and line or beginning with the option's name. */
struct route_tables *route_load(const struct config *cfg, uint64_t seed,
                                const struct route_world *world, struct map_report *r);
/* Rereads the maps whose file has changed. A bad one keeps its old table and says so in r. True:
 * something is different now, and queued mail is to be routed again. */
bool route_refresh(struct route_tables *t, struct map_report *r);
void route_tables_free(struct route_tables **t);
size_t route_entries(const struct route_tables *t); /* of all maps */

/* What no load refuses but somebody should know: rules hidden by others, duplicates, entries
 * that never match. Each is a warning with file and line in r. */
void route_check(const struct route_tables *t, struct map_report *r);

/* The same for the maps of a configuration, into its report: what no load takes is an error,
 * what route_check finds a notice, each with file and line. Reads the files. */
void route_check_files(const struct config *cfg, struct config_report *report);

/* --- when mail is taken in --- */

enum route_client_name {
    ROUTE_NAME_UNKNOWN, /* not looked up */
    ROUTE_NAME_GOOD,    /* the name leads back to the address */
    ROUTE_NAME_FAILED,  /* no name found */
    ROUTE_NAME_FORGED,  /* a name that does not lead back */
};

struct route_client {
    struct netaddr ip;     /* NETADDR_NONE: mail of our own making or of a user of this host */
    struct span auth;      /* authenticated identity; empty = none */
    struct span host;      /* verified reverse name; empty = none */
    enum route_client_name name; /* for the words of the reply only */
};

struct route_reply {
    uint16_t reply;   /* 550 */
    struct span code; /* "5.7.1" */
    struct span text; /* "<x@y>... Relaying denied" */
};

enum { ROUTE_EXPANDED = 1 << 0 }; /* the value of ENVELOPE_RCPT_EXPANDED */

struct route_target {
    struct span addr;   /* an address, "|program", "/file" */
    uint8_t flags;
    bool own_sender;    /* sender takes the envelope sender's place for this one (owner-LIST) */
    struct span sender; /* empty = the null sender */
};

struct route_accept {
    bool refused;
    struct route_reply reply;      /* when refused */
    bool discard;                  /* say yes and throw the whole message away */
    struct span quarantine;        /* why the whole message is held; empty = it is not */
    bool verify;                   /* relay.verify: the next hop is to be asked first */
    struct route_target *targets;  /* of a recipient that is accepted: at least one */
    size_t target_count;
};

/* The three questions, in this order; each may be asked alone. True: accepted (flags may be
 * set). False: out->refused with the reply. Spans live in `a` or in the tables (valid until
 * route_refresh). With route.delay_checks the first two accept, and the third asks all.
 *
 * A recipient is relayed for a client that is in relay.from, authenticated or has Connect:...
 * RELAY; else only to local names, relay.domains, To:... RELAY, domains of the virtusertable,
 * `error:` entries of the mailertable, and the postmaster (RFC 5321 4.5.1). For clients that are
 * not trusted a local part with % ! or @ is not relayed. What the tables refuse for good or for
 * now (error:) is said at once. */
bool route_accept_client(const struct route_tables *t, const struct route_client *client,
                         struct arena *a, struct trail *trail, struct route_accept *out);
bool route_accept_sender(const struct route_tables *t, const struct route_client *client,
                         struct span sender, struct arena *a, struct trail *trail,
                         struct route_accept *out);
bool route_accept_rcpt(const struct route_tables *t, const struct route_client *client,
                       struct span sender, struct span rcpt, struct arena *a,
                       struct trail *trail, struct route_accept *out);

/* --- at each attempt --- */

struct route_ask {
    struct span sender, rcpt;
    uint8_t rcpt_flags; /* ROUTE_EXPANDED: may be |program or /file */
    bool released;      /* somebody released it: rules that would park it are passed over */
    bool canon_known;   /* canon has been looked up: */
    struct span canon;  /* the canonical name (CNAME) of the recipient's domain; empty = none */
    struct span canon_why; /* why it could not be found out; for the trail */
};

/* The decision, always one: what cannot be routed is ROUTE_ERROR. Spans live in `a` or in the
 * tables.
 * False: nothing is decided and no step written; the caller is to find the canonical name of the
 * recipient's domain, set canon_known and ask again. Happens only with a mailertable that does
 * not have the name as written, and not with route.canonical = off. The recipient is never
 * rewritten.
 * A next hop that is a listener of our own is not sent to: dest_r->own_listener says which and
 * how it delivers. One that delivers at once, or released mail, passes the rule over. */
bool route_find(const struct route_tables *t, const struct route_ask *ask, struct arena *a,
                struct trail *trail, struct route_dest *dest_r);

/* Whether the next hop of d can be asked if it knows a recipient: not when that is ourselves. */
bool route_may_verify(const struct route_dest *d);

/* Whether an address is delivered on this host. */
bool route_is_local_address(const struct route_tables *t, struct span addr);
/* Its domain is one that virtusertable has keys of. */
bool route_is_virtual_address(const struct route_tables *t, struct span addr);

/* --- the sender's address, as others see it --- */

enum route_place {
    ROUTE_ENVELOPE_SENDER,
    ROUTE_HEADER_SENDER,   /* From: Sender: Reply-To: and their Resent- forms */
    ROUTE_ENVELOPE_RCPT,
    ROUTE_HEADER_RCPT,     /* To: Cc: */
};
/* genericstable and masquerading are in use, and are for mail of this client: submitted on this
 * host, or from relay.from, or authenticated. */
bool route_rewrites(const struct route_tables *t, const struct route_client *client);
/* addr as it is to be written in that place: itself, or a copy in `a`. Addresses without a
 * domain get the host name. */
struct span route_rewrite_sender(const struct route_tables *t, enum route_place place,
                                 struct span addr, struct arena *a, struct trail *trail);

/* --- for tests and tools: tables of plain values --- */

struct route_params {
    /* Borrowed; NULL = none. */
    struct map *mailertable, *access, *virtusertable, *aliases, *smarttable, *genericstable;
    struct map *relay_recipients, *local_users; /* local_users NULL: any */
    struct span smart_host;        /* next hops, or MAILER:...; empty = none */
    const struct span *local;      /* route.local and our own host names: delivered here */
    size_t local_count;
    const struct span *relay_from; /* "10.0.0.0/8", "[::1]/128", one address */
    size_t relay_from_count;
    const struct span *relay_domains; /* "example.net", ".example.net", "[192.0.2.1]" */
    size_t relay_domains_count;
    struct span postmaster;        /* everybody may write to it; empty = none */
    struct span hostname;          /* of addresses without a domain; empty = "localhost" */
    bool verify;                   /* relay.verify */
    bool no_canonical;             /* the mailertable is asked for names as written alone */
    bool delay_checks, blocklist_recipients;
    uint64_t alias_depth, alias_targets; /* 0 = the defaults */
    const struct span *generics_domains, *masquerade_domains, *exposed_users;
    size_t generics_domains_count, masquerade_domains_count, exposed_users_count;
    struct span masquerade_as;     /* empty = none */
    bool masquerade_limited;       /* local domains are not, but for those that are listed */
    bool masquerade_envelope, masquerade_all;
    const struct config *config;   /* for its listeners; may be NULL; borrowed */
    struct route_world world;
    uint64_t seed;                 /* of hashes */
};

struct route_tables *route_tables_new(const struct route_params *p, struct map_report *r);

/* A map whose entries are checked while it is read, then and at every reload: an unknown mailer,
 * an empty host, a value without a mailer is an error with file and line. */
enum route_table {
    ROUTE_MAILERTABLE, ROUTE_ACCESS, ROUTE_VIRTUSERTABLE, ROUTE_ALIASES, ROUTE_SMARTTABLE,
    ROUTE_GENERICSTABLE, ROUTE_RECIPIENTS, ROUTE_USERS, ROUTE_TABLES
};
const char *route_table_name(enum route_table which); /* "mailertable" ... */
/* One map of the tables, for who shows what stands in it; NULL: none is configured. */
struct map *route_map(const struct route_tables *t, enum route_table which);
struct map *route_open_table(enum route_table which, struct span spec, uint64_t seed,
                             struct map_report *r);

/* Only the question of relaying, without access rules. False: reply_r says no. */
bool route_relay_allowed(const struct route_tables *tables, const struct route_client *client,
                         struct span rcpt, struct arena *a, struct trail *t,
                         struct route_reply *reply_r);

#endif
