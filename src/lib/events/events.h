/* events: everything a process has to say, as one stream with two faces.
 *
 * An event has a name from one table (events.c) and fields from that table's line for it; it is
 * written as one JSON object a line. Beside it stand sendmail's log lines for people and for the
 * scripts they have ("from=<...>, size=...", "to=<...>, stat=..."). Both are collected in memory
 * during a turn and leave at its end with one O_APPEND write per file, so that the log costs two
 * system calls a turn. When a file cannot be written the text is dropped and counted: the log
 * never stalls mail (event log_lost says how much, once writing works again).
 *
 * Control bytes and bytes that are not UTF-8 are escaped reversibly: in lines as \xHH and
 * backslash as \\ ; in JSON as base/json.h says. */
#ifndef POSTERN_EVENTS_EVENTS_H
#define POSTERN_EVENTS_EVENTS_H

#include "base/buf.h"
#include "loop/loop.h"

/* Who must act: nobody, nobody yet, the admin soon, the admin now. */
enum event_severity { EVENT_INFO, EVENT_NOTICE, EVENT_WARNING, EVENT_ALARM };

/* X(NAME, severity, fields as a list of F_name) */
#define EVENT_FIELDS(X) \
    X(id) X(from) X(to) X(size) X(nrcpts) X(proto) X(listener) X(client) X(helo) X(tls) \
    X(relay) X(dsn) X(stat) X(delay_ms) X(xdelay_ms) X(mailer) X(host) X(stage) X(reply) X(text) \
    X(role) X(pid) X(count) X(path) X(reason) X(site) X(next_try) X(attempts) X(ms) \
    X(commit_ms) X(route) X(bytes) X(generation) X(option) X(alarm) X(subject) X(check) \
    X(told) /* who hears of a failure: "sender", "postmaster", "nobody", "alarm" */ \
    X(stored) /* bytes: of a message with our headers; `size` is what the client sent */

#define EVENT_TABLE(X) \
    X(gateway_started, EVENT_INFO, F(text) F(pid) F(path)) \
    X(gateway_stopping, EVENT_INFO, F(text)) \
    X(config_reloaded, EVENT_INFO, F(generation) F(count)) \
    X(config_refused, EVENT_WARNING, F(text) F(count)) \
    X(config_notice, EVENT_NOTICE, F(text) F(option)) \
    X(alarm_raised, EVENT_ALARM, F(alarm) F(subject) F(text)) \
    X(alarm_repeated, EVENT_ALARM, F(alarm) F(subject) F(text) F(ms)) \
    X(alarm_cleared, EVENT_NOTICE, F(alarm) F(subject) F(text) F(ms)) \
    X(webhook_told, EVENT_INFO, F(attempts)) \
    X(webhook_failed, EVENT_WARNING, F(attempts) F(text)) \
    X(listener_refuses, EVENT_WARNING, F(listener) F(check) F(text)) \
    X(listener_accepts, EVENT_NOTICE, F(listener) F(ms)) \
    X(alarm_mailed, EVENT_INFO, F(to) F(relay) F(text)) \
    X(alarm_not_mailed, EVENT_WARNING, F(to) F(relay) F(text)) \
    X(child_started, EVENT_INFO, F(role) F(pid)) \
    X(child_ended, EVENT_INFO, F(role) F(pid) F(text)) \
    X(child_died, EVENT_WARNING, F(role) F(pid) F(text)) \
    X(child_restart_delayed, EVENT_ALARM, F(role) F(ms) F(count)) \
    X(peer_lost, EVENT_WARNING, F(role) F(text)) \
    X(sandbox, EVENT_NOTICE, F(role) F(text)) \
    X(connected, EVENT_INFO, F(client) F(listener)) \
    X(refused, EVENT_NOTICE, F(client) F(listener) F(reason) F(check) F(reply)) \
    X(disconnected, EVENT_INFO, F(client) F(listener) F(stage) F(text) F(count)) \
    X(rejected, EVENT_NOTICE, \
      F(id) F(client) F(listener) F(stage) F(from) F(to) F(reply) F(reason)) \
    X(received, EVENT_INFO, \
      F(id) F(from) F(size) F(stored) F(nrcpts) F(proto) F(listener) F(client) F(helo) F(tls) \
          F(ms) F(commit_ms)) \
    X(rewritten, EVENT_INFO, F(id) F(text)) \
    X(discarded, EVENT_NOTICE, F(id) F(client) F(listener) F(from) F(size) F(nrcpts)) \
    X(not_received, EVENT_NOTICE, \
      F(id) F(from) F(size) F(nrcpts) F(client) F(listener) F(reply) F(reason)) \
    X(tls_started, EVENT_INFO, F(client) F(host) F(tls) F(listener)) \
    X(tls_failed, EVENT_NOTICE, F(client) F(host) F(text) F(listener)) \
    X(routed, EVENT_INFO, F(id) F(to) F(route) F(text)) \
    X(attempt, EVENT_INFO, F(site) F(host) F(relay) F(stage) F(text) F(ms) F(count)) \
    X(delivered, EVENT_INFO, \
      F(id) F(to) F(relay) F(mailer) F(dsn) F(stat) F(reply) F(delay_ms) F(xdelay_ms) \
          F(attempts) F(route)) \
    X(deferred, EVENT_INFO, \
      F(id) F(to) F(relay) F(mailer) F(dsn) F(stat) F(reply) F(stage) F(delay_ms) F(xdelay_ms) \
          F(attempts) F(next_try) F(route)) \
    X(failed, EVENT_INFO, \
      F(id) F(to) F(relay) F(mailer) F(dsn) F(stat) F(reply) F(stage) F(delay_ms) F(xdelay_ms) \
          F(attempts) F(route) F(reason) F(told)) \
    X(outcome_unknown, EVENT_WARNING, \
      F(id) F(to) F(relay) F(stage) F(text) F(attempts) F(next_try)) \
    X(held, EVENT_NOTICE, F(id) F(to) F(reason)) \
    X(dsn_sent, EVENT_INFO, F(id) F(to) F(stat) F(text)) \
    X(double_bounce, EVENT_WARNING, F(id) F(to) F(text)) \
    X(bounce_held, EVENT_ALARM, F(id) F(text)) \
    X(eightbit_sent, EVENT_NOTICE, F(id) F(host)) \
    X(site_backed_off, EVENT_NOTICE, F(site) F(ms) F(text)) \
    X(site_probed, EVENT_INFO, F(site) F(id)) \
    X(site_back, EVENT_NOTICE, F(site)) \
    X(site_slowed, EVENT_NOTICE, F(site) F(count) F(ms) F(text)) \
    X(site_restored, EVENT_NOTICE, F(site)) \
    X(queue_run, EVENT_INFO, F(count) F(text) F(reason)) \
    X(admin_held, EVENT_NOTICE, F(id) F(count) F(text)) \
    X(admin_released, EVENT_NOTICE, F(id) F(count) F(text)) \
    X(admin_deleted, EVENT_NOTICE, F(id) F(count) F(text)) \
    X(admin_retried, EVENT_NOTICE, F(id) F(count) F(text)) \
    X(admin_bounced, EVENT_NOTICE, F(id) F(count) F(text)) \
    X(admin_expired, EVENT_NOTICE, F(id) F(count) F(text)) \
    X(admin_rerouted, EVENT_NOTICE, F(id) F(relay) F(count) F(text)) \
    X(admin_reroute_back, EVENT_NOTICE, F(id) F(count) F(text)) \
    X(admin_reroute_ruled, EVENT_NOTICE, F(host) F(relay) F(text)) \
    X(admin_reroute_withdrawn, EVENT_NOTICE, F(host) F(relay) F(text)) \
    X(admin_frozen, EVENT_NOTICE, F(host) F(text)) \
    X(admin_thawed, EVENT_NOTICE, F(host) F(text)) \
    X(clock_doubted, EVENT_ALARM, F(text)) \
    X(clock_believed, EVENT_NOTICE, F(text)) \
    X(admin_exported, EVENT_NOTICE, F(id) F(text)) \
    X(submission_bad, EVENT_ALARM, F(path) F(text)) \
    X(spool_opened, EVENT_INFO, F(count) F(bytes) F(ms) F(text)) \
    X(spool_damage, EVENT_ALARM, F(path) F(text) F(count)) \
    X(spool_failed, EVENT_ALARM, F(path) F(text)) \
    X(spool_full, EVENT_ALARM, F(path) F(bytes) F(text)) \
    X(spool_notice, EVENT_NOTICE, F(path) F(text)) \
    X(recipient_verified, EVENT_INFO, F(to) F(host) F(reply) F(ms)) \
    X(recipient_unknown, EVENT_NOTICE, F(to) F(host) F(reply) F(ms)) \
    X(recipient_unverified, EVENT_INFO, F(to) F(host) F(text) F(ms)) \
    X(map_reloaded, EVENT_INFO, F(path) F(count)) \
    X(map_refused, EVENT_WARNING, F(path) F(text)) \
    X(dns_notice, EVENT_NOTICE, F(host) F(text)) \
    X(limit_reached, EVENT_WARNING, F(text) F(client) F(listener) F(count)) \
    X(log_lost, EVENT_ALARM, F(path) F(bytes))

#define EVENT_ENUM_FIELD(name) FIELD_##name,
enum event_field { EVENT_FIELDS(EVENT_ENUM_FIELD) EVENT_FIELD_COUNT };
#define EVENT_ENUM_NAME(name, severity, fields) EVENT_##name,
enum event_name { EVENT_TABLE(EVENT_ENUM_NAME) EVENT_COUNT };

struct events_config {
    const char *tag;  /* "sm-mta": the name in log lines; copied */
    const char *role; /* "smtpd"; copied */
    const char *hostname; /* copied */
    int line_fd;      /* file of log lines, -1 none, -2 syslog; owned */
    int event_fd;     /* file of events, -1 none; owned */
    int facility;     /* of syslog: LOG_MAIL ...; 0 is LOG_MAIL */
    bool echo;        /* log lines also go to stderr, for people who watch */
};

struct events;

struct events *events_new(struct loop *l, const struct events_config *c);
void events_free(struct events **e); /* writes what is left */
/* New files (after rotation or reload); owned. */
void events_set_files(struct events *e, int line_fd, int event_fd);
/* Of the lines from here on; copied. The name syslog knows us by stays. */
void events_set_names(struct events *e, struct span tag, struct span hostname, int facility);

/* One event: begin, fields of its line of the table (a field that is not is a MUST), end. */
void event_begin(struct events *e, enum event_name name);
void event_str(struct events *e, enum event_field f, struct span v);
void event_int(struct events *e, enum event_field f, int64_t v);
void event_end(struct events *e);

/* One log line without date and tag and line end; `severity` goes to syslog. The buf is valid
 * until log_end; text of strangers goes in through log_text. */
struct buf *log_begin(struct events *e, enum event_severity severity);
void log_end(struct events *e);
void log_line(struct events *e, enum event_severity severity, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Escaped as said above, cut at max_bytes with "...". */
void log_text(struct buf *b, struct span s, size_t max_bytes);

#endif
