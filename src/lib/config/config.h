/* config: the checked configuration as the roles see it.
 *
 * A file is read once, by a process without privilege: config_parse finds every mistake of the
 * file in one run (report.h), and what passes is a struct config, which travels to the roles as
 * bytes (config_put, config_get). Every field below is one row of the table of options
 * (table.h), under the same name with its unit added; help, default and limits stand there and
 * in postern.conf(5). All texts and arrays live in the configuration's own arena: they are valid
 * until config_free, and are never changed. */
#ifndef POSTERN_CONFIG_CONFIG_H
#define POSTERN_CONFIG_CONFIG_H

#include "base/arena.h"
#include "base/netaddr.h"
#include "base/wire.h"
#include "config/report.h"

enum {
    CONFIG_FILE_MAX = 1 << 20,  /* bytes of a file */
    CONFIG_WIRE_MAX = 16 << 20, /* bytes of the flattened form: the limit for config_put's buf */
    CONFIG_LISTENS_MAX = 64,
    CONFIG_RULES_MAX = 64,
    CONFIG_RULE_RETRIES_MAX = 16,
    CONFIG_LIST_MAX = 4096,     /* items of one list */
    CONFIG_TEXT_MAX = 4096,     /* bytes of one text */
};

struct config_texts {
    const struct span *v;
    size_t n;
};

struct config_addrs {
    const struct netaddr *v;
    size_t n;
};

struct config_cidrs {
    const struct cidr *v;
    size_t n;
};

enum config_tls { CONFIG_TLS_OFF, CONFIG_TLS_OPTIONAL, CONFIG_TLS_REQUIRED };
enum config_delivery {
    CONFIG_DELIVER,    /* at once */
    CONFIG_QUEUE_ONLY, /* waits for a queue run */
    CONFIG_DEFER,      /* as queue_only, and no DNS question either before it */
    CONFIG_HOLD,       /* waits until somebody releases it */
};
enum config_newline { CONFIG_NEWLINE_REJECT, CONFIG_NEWLINE_NORMALISE };
enum config_dnssec { CONFIG_DNSSEC_AUTO, CONFIG_DNSSEC_ON, CONFIG_DNSSEC_OFF };
enum config_eightbit { CONFIG_EIGHTBIT_SEND, CONFIG_EIGHTBIT_BOUNCE };
enum config_tls_version { CONFIG_TLS_1_2, CONFIG_TLS_1_3 };
enum config_syslog { /* order of the table's words; config_syslog_facility gives syslog(3)'s */
    CONFIG_SYSLOG_OFF,
    CONFIG_SYSLOG_MAIL,
    CONFIG_SYSLOG_DAEMON,
    CONFIG_SYSLOG_USER,
    CONFIG_SYSLOG_LOCAL0, /* ... LOCAL7 follow */
};

/* Health checks that are always there, for listen { refuse_when } beside those of check { }. */
#define CONFIG_CHECK_NAMES "next_hop", "dns", "disk", "queue"
enum { CONFIG_CHECK_NAME_MAX = 64 };

struct config_check { /* what an admin has watch look at */
    struct span name;             /* of the section: check "filter" */
    struct span connect;          /* "host:port"; "" = none */
    struct span expect;           /* what it is to say first; "" = the connection is enough */
    struct span lookup;           /* a name that is to have an address; "" = none */
    struct config_addrs server;   /* who is asked; none: resolver */
    int64_t every_ms, timeout_ms; /* of one look */
    uint64_t fail_after, ok_after; /* looks in a row */
};

struct config_listen {
    struct span name;                 /* of the section: listen "mx" */
    struct config_addrs address;      /* at least one; the port is always set */
    enum config_tls tls;              /* optional: offered when tls.certificate is set */
    enum config_delivery delivery;
    enum config_newline bare_newline; /* what a bare CR or LF in data does */
    struct config_cidrs normalise_from; /* clients whose bare newlines are normalised even so */
    struct span greeting;             /* text of the 220 behind the host name; "" = the usual */
    struct config_texts refuse_when;  /* names of checks: while one fails it greets with 421 */
};

struct config_spool {
    struct config_texts directories; /* absolute; may be glob patterns, expanded by the spool */
    uint64_t free_min_bytes;         /* less free space: new mail gets 452 */
    uint64_t inline_max_bytes;       /* content above it is written in extents as it arrives */
    uint64_t segment_size_bytes;     /* a segment file is sealed at this size */
    uint64_t reserve_bytes;          /* kept aside for outcomes when the disk is full */
    int64_t flush_late_ms;           /* non-final outcomes are flushed this late at most */
};

struct config_queue {
    int64_t run_ms; /* between queue runs for queue_only; 0 = only when asked */
};

struct config_certs { /* tls {} */
    struct config_texts certificate; /* paths of PEM chains; .v[i] belongs to key.v[i] */
    struct config_texts key;
    enum config_tls_version min_version;
};

struct config_relay {
    struct config_cidrs from;    /* clients that may send anywhere */
    struct config_texts domains; /* lower case; ".x" = everything below x */
    struct span recipients;      /* map of the recipients of domains; "" = all are taken */
    bool verify;                 /* ask the next hop whether it knows a recipient of domains */
    int64_t verify_timeout_ms, verify_keep_ms, verify_keep_bad_ms;
    uint64_t verify_cache;       /* entries */
};

struct config_route { /* map specifications are texts "text:/path", "" = none */
    struct config_texts local; /* lower case */
    struct span access, virtusertable, aliases, mailertable, smarttable, genericstable;
    struct span local_users;   /* "passwd", "any", or a map */
    bool canonical;               /* the mailertable knows canonical names too */
    int64_t canonical_timeout_ms; /* and they are waited for so long */
    bool delay_checks, blocklist_recipients;
    uint64_t alias_depth, alias_targets;
    struct config_texts generics_domains, masquerade_domains, exposed_users;
    struct span masquerade_as; /* "" = none */
    bool masquerade_local, masquerade_envelope, masquerade_all;
    struct span smart_host; /* "[host]:port" and the like; "" = none */
    struct span local_delivery; /* mail/delivery.h */
};

struct config_local { /* deliveries on this host */
    int64_t timeout_ms;      /* one delivery */
    int64_t lock_wait_ms;    /* for the locks of an mbox; then it is deferred */
    uint64_t processes;      /* deliveries at once */
    bool programs;           /* |program and /file of aliases */
    struct span program_user, root_user, group; /* "" = none */
};

struct config_dns {
    struct config_addrs servers; /* the port is always set; none: those of resolv_conf */
    struct span resolv_conf;     /* path */
    enum config_dnssec dnssec;
    struct span trust_anchor;    /* path */
    int64_t timeout_ms;          /* one question, all its packets */
    uint64_t cache_size_bytes;
    int64_t cache_ttl_max_ms, negative_ttl_max_ms;
};

struct config_timeout { /* the SMTP client's clocks */
    int64_t connect_ms, initial_ms, helo_ms, starttls_ms, mail_ms, rcpt_ms, data_init_ms,
        data_block_ms, data_final_ms, rset_ms, quit_ms, misc_ms;
    int64_t attempt_ms; /* one whole attempt, all addresses together */
};

struct config_server { /* the SMTP server's clocks and patience */
    int64_t greeting_pause_ms; /* a client that talks before it is over is refused; 0 = none */
    int64_t command_ms;        /* waiting for the client, a command or a block of data */
    int64_t transaction_ms;    /* one message from MAIL to the last dot */
    int64_t starttls_ms;       /* the handshake */
    int64_t question_ms;       /* router or filter; then the question's default answer */
    int64_t commit_ms;         /* qmgr's answer to the end of data; then 451 */
    uint64_t bad_commands;     /* this many errors of one client: 421 and close */
    bool reverse_names;        /* the client's name is looked up before the greeting */
    int64_t reverse_timeout_ms; /* and waited for so long; then there is none */
};

struct config_retry {
    int64_t first_ms, max_ms;
    int64_t warn_after_ms;   /* 0 = no warning */
    int64_t expire_after_ms;
};

struct config_attempts {
    uint64_t kept;       /* stories of each recipient; 0 = none */
    uint64_t size_bytes; /* of one */
};

enum config_return { CONFIG_RETURN_HEADERS, CONFIG_RETURN_FULL };

struct config_returned { /* by reports */
    enum config_return returns; /* without RET */
    uint64_t full_max_bytes;    /* of a message that comes back in full */
};

struct config_limits {
    uint64_t message_size_bytes; /* 0 = none */
    uint64_t recipients;         /* of one message */
    uint64_t connections, connections_per_client;
    uint64_t command_length_bytes; /* one command with its CRLF */
    uint64_t line_length_bytes;  /* of content, with its CRLF; 0 = none */
    uint64_t hops;               /* Received headers */
};

struct config_deliver {
    uint64_t connections;         /* outgoing sessions of all sites together */
    uint64_t concurrency_initial, concurrency_max; /* sessions to one site */
    uint64_t messages_per_connection, recipients_per_transaction;
    int64_t idle_ms;              /* an open connection waits this long for the next message */
    enum config_eightbit eightbit;
    bool chunking;
    enum config_tls tls;
    struct config_addrs source_address; /* none, or one for each family; no ports */
    uint64_t port;                /* of a next hop that names none */
};

enum config_rule_tls { /* ... of a rule: that of deliver, or another */
    CONFIG_RULE_TLS_SAME,
    CONFIG_RULE_TLS_OFF,
    CONFIG_RULE_TLS_OPTIONAL,
    CONFIG_RULE_TLS_REQUIRED
};

struct config_rule { /* delivery_rule; config/rules.h tells which one holds. 0: as elsewhere */
    struct span name;
    struct config_texts site, mx, domain, sender, listener; /* none: any */
    uint64_t concurrency_initial, concurrency_max, messages_per_connection;
    struct span rate; /* "100/m", "" = none */
    struct config_addrs source_address;
    struct config_texts retry; /* durations, instead of: */
    int64_t retry_first_ms, retry_max_ms;
    int64_t warn_after_ms, expire_after_ms;
    enum config_rule_tls tls;
};

struct config_processes {
    uint64_t smtpd, deliver; /* 0 in the file = as many as processors; as written here */
    int64_t restart_first_ms, restart_max_ms; /* back-off of a role that dies */
    int64_t finish_ms; /* children may finish what they hold this long */
};

struct config_log {
    struct span tag;
    struct span file;   /* path, "" = none; none and syslog off = standard error */
    enum config_syslog syslog;
    struct span events; /* path of the JSON lines, "" = none */
};

struct config_control {
    struct span socket; /* path */
};

struct config_submit { /* mail of local programs: sendmail(8), pickup */
    struct span socket;    /* path; "" = submit beside control.socket: submit/where.h */
    struct span directory; /* path of the submission spool; "" = submit beside the spool */
    enum config_delivery delivery;
    struct config_texts trusted_users; /* may name any sender */
};

struct config_alarm { /* watch */
    int64_t interval_ms;      /* between two looks; 0: none */
    int64_t refuse_interval_ms, timeout_ms; /* of what a listener refuses by; of one look */
    int64_t repeat_ms;        /* while an alarm lasts; 0: told once */
    uint64_t raise_after, clear_after; /* looks in a row */
    struct config_texts to;   /* none: the postmaster */
    struct span relay;        /* next hop that is given alarm mail; "" = our own queue */
    struct span webhook;      /* URL; "" = none */
    int64_t site_age_ms;      /* 0 = no such alarm; the same for those that follow */
    uint64_t site_recipients; /* so many of that age */
    int64_t site_age_any_ms;  /* of one recipient */
    uint64_t queue_growth;    /* messages within an hour */
    uint64_t disk_free_bytes, inodes_free;
    uint64_t crashes;         /* of one role within ten minutes */
    bool dns, listeners;
    struct span next_hop;     /* "" = none is looked at */
};

struct config_privilege { /* only used when started as root; "" = user */
    struct span user;
    struct span smtpd, router, resolver, qmgr, deliver, keyring, control, pickup; /* user names */
    struct span watch;
    struct span chroot; /* an empty directory */
};

struct config_sandbox {
    bool seccomp, landlock;
};

/* An option that is used, but whose capability is not in this release. */
struct config_notice {
    struct span name; /* "route.smarttable" */
    struct span text; /* "not yet in this release: routing by sender" */
    uint32_t line;
};

/* What the command line of the gateway says, whatever the file says: a reload keeps it. */
struct config_forced {
    int64_t queue_run_ms; /* queue.run; 0: the file's; negative: no runs */
    bool deliveries;      /* `delivery` takes the place of listeners' and submit's, but of hold */
    enum config_delivery delivery;
};

struct config_setting; /* where an option was set; see config_place */

struct config {
    struct arena *arena;
    struct span file; /* its name as it was given */
    struct span hostname, postmaster, instance_id;
    struct config_spool spool;
    struct config_listen *listens;
    size_t n_listens;
    struct config_rule *rules; /* the first that holds, holds */
    size_t n_rules;
    struct config_check *checks;
    size_t n_checks;
    struct config_queue queue;
    struct config_certs tls;
    struct config_relay relay;
    struct config_route route;
    struct config_local local;
    struct config_dns dns;
    struct config_timeout timeout;
    struct config_server server;
    struct config_retry retry;
    struct config_attempts attempts;
    struct config_returned report;
    struct config_limits limits;
    struct config_deliver deliver;
    struct config_processes processes;
    struct config_log log;
    struct config_control control;
    struct config_submit submit;
    struct config_alarm alarm;
    struct config_privilege privilege;
    struct config_sandbox sandbox;
    struct config_forced forced;   /* what the command line has put in the place of values */
    struct config_notice *notices; /* to be said at start */
    size_t n_notices;
    struct config_setting *settings;
    size_t n_settings;
};

/* Reads a whole file's text. Every mistake is put into `report`; with none the checked
 * configuration is in *cfg_r (the caller's, config_free) and true is returned. Notices may be in
 * the report either way. `file` is the name for messages. Neither is kept. Touches nothing. */
bool config_parse(struct span text, struct span file, struct config **cfg_r,
                  struct config_report *report);
/* All defaults, for tests and for tools; hostname is "localhost" and nothing listens. */
struct config *config_defaults(void);
void config_free(struct config **cfg); /* accepts NULL in *cfg; sets it to NULL */

/* Line and column where an option was set: name "route.mailertable", listener "" (or "mx" and a
 * name "listen.tls"). False: it has its default. For what reads the value later and finds it
 * wrong (maps). */
bool config_place(const struct config *cfg, const char *name, struct span listener,
                  uint32_t *line_r, uint32_t *col_r);

/* The flattened form. Put fails only by b's limit (see buf). Get makes the same configuration of
 * it, the caller's; NULL for bytes that are no configuration of this very program: values are
 * checked against the table again. Reads to the end of w's bytes or sets w->bad. */
void config_force(struct config *cfg, const struct config_forced *forced);
void config_put(struct buf *b, const struct config *cfg);
struct config *config_get(struct wire *w);

/* Calls `each` for every option that differs. name "spool.free_min" or "listen.mx.tls"; a
 * listener that comes or goes is one change "listen.mx" with an empty old or new text. Old and
 * new are written as in a file, and valid during the call. live: a reload may do it. Returns the
 * number of changes that are not live. */
struct config_change {
    struct span name, old_text, new_text;
    bool live;
};
typedef void config_change_fn(void *arg, const struct config_change *change);
size_t config_diff(const struct config *a, const struct config *b, config_change_fn *each,
                   void *arg);

/* The listener that owns a local address (the most specific one: its own address with its port
 * before the wildcard with that port); NULL when none does. */
const struct config_listen *config_listen_at(const struct config *cfg, const struct netaddr *at);
/* Whether who connects to `at` reaches a listener of ours. A wildcard listener has the addresses
 * of this machine only: is_local is asked about them. */
bool config_listens_at(const struct config *cfg, const struct netaddr *at,
                       bool (*is_local)(void *ctx, const struct netaddr *ip), void *ctx);

/* syslog(3)'s facility number; -1 for off. */
int config_syslog_facility(enum config_syslog facility);

#endif
