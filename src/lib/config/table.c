#include "config/table.h"

#include "config/check.h"
#include "config/rules.h"

/* How to add an option: a field in config.h and a row here; then TEST_REWRITE=1 with
 * tests/unit/test_config brings the manual page up to date. A capability that is not built yet
 * gets `.later`: then the option is known, and using it is reported by name. */

#define LIVE CONFIG_LIVE
#define AT(field) .offset = offsetof(struct config, field)
#define IN_LISTEN(field) .offset = offsetof(struct config_listen, field)
#define IN_RULE(field) .offset = offsetof(struct config_rule, field)
#define IN_CHECK(field) .offset = offsetof(struct config_check, field)
#define SECOND 1000ull
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)
#define K 1024ull
#define M (K * K)
#define G (M * K)

static const struct config_section sections[] = {
    { "", false, "options outside of sections" },
    { "spool", false, "where and how accepted mail is kept" },
    { "listen", true, "one listener each: where mail comes in" },
    { "queue", false, "queue runs" },
    { "tls", false, "certificates" },
    { "relay", false, "who may send where" },
    { "route", false, "where mail goes" },
    { "local", false, "deliveries on this host" },
    { "dns", false, "how DNS is asked" },
    { "timeout", false, "the SMTP client's clocks, one for each stage" },
    { "server", false, "the SMTP server's clocks and patience" },
    { "retry", false, "when a deferred message is tried again" },
    { "attempts", false, "what is kept of attempts, for `postern why`" },
    { "report", false, "what reports about mail bring back" },
    { "limits", false, "what is taken in at most" },
    { "deliver", false, "how mail is sent out" },
    { "delivery_rule", true, "what is otherwise for some sites, domains, senders or listeners: the "
                             "first rule that holds" },
    { "processes", false, "how many processes, and their restart" },
    { "log", false, "log and events" },
    { "control", false, "the socket of the command line" },
    { "submit", false, "mail of programs on this machine: sendmail, pickup" },
    { "alarm", false, "what the gateway watches about itself, and who is told" },
    { "check", true, "what else is looked at: each is an alarm while it fails, and a listener can "
                     "refuse by it" },
    { "privilege", false, "users of the processes, when started as root" },
    { "sandbox", false, "what the kernel keeps the processes from" },
};

static const struct config_word tls_words[] = {
    { "off", NULL }, { "optional", NULL }, { "required", NULL }, { NULL, NULL },
};
static const struct config_word rule_tls_words[] = {
    { "same", NULL }, { "off", NULL }, { "optional", NULL }, { "required", NULL }, { NULL, NULL },
};
static const struct config_word delivery_words[] = {
    { "deliver", NULL }, { "queue_only", NULL }, { "defer", NULL }, { "hold", NULL },
    { NULL, NULL },
};
static const struct config_word newline_words[] = {
    { "reject", NULL }, { "normalise", NULL }, { NULL, NULL },
};
static const struct config_word dnssec_words[] = {
    { "auto", NULL }, { "on", NULL }, { "off", NULL }, { NULL, NULL },
};
static const struct config_word return_words[] = {
    { "headers", NULL }, { "full", NULL }, { NULL, NULL },
};
static const struct config_word eightbit_words[] = {
    { "send", NULL }, { "bounce", NULL }, { NULL, NULL },
};
static const struct config_word version_words[] = {
    { "1.2", NULL }, { "1.3", NULL }, { NULL, NULL },
};
static const struct config_word syslog_words[] = {
    { "off", NULL },    { "mail", NULL },   { "daemon", NULL }, { "user", NULL },
    { "local0", NULL }, { "local1", NULL }, { "local2", NULL }, { "local3", NULL },
    { "local4", NULL }, { "local5", NULL }, { "local6", NULL }, { "local7", NULL },
    { NULL, NULL },
};

static const struct config_option options[] = {
    { "", "hostname", CONFIG_TEXT, LIVE | CONFIG_REQUIRED | CONFIG_NONEMPTY, AT(hostname), "\"\"",
      .check = check_host,
      .help = "the name of this gateway in greetings, HELO, Received and reports" },
    { "", "postmaster", CONFIG_TEXT, LIVE, AT(postmaster), "\"\"", .check = check_mailbox,
      .help = "who gets double bounces and alarms; empty means postmaster at hostname" },
    { "", "instance_id", CONFIG_TEXT, 0, AT(instance_id), "\"\"", .check = check_instance,
      .help = "tells this gateway from others of the same name when looking for mail loops; "
              "empty means one is made when the spool is made" },

    { "spool", "directories", CONFIG_TEXTS, CONFIG_NONEMPTY | CONFIG_DIRECTORY,
      AT(spool.directories), "{\"/var/spool/postern/q*\"}", .check = check_path,
      .help = "the directories of the spool; patterns are expanded at start, batches rotate over "
              "all of them" },
    { "spool", "free_min", CONFIG_SIZE, LIVE, AT(spool.free_min_bytes), "512M",
      .help = "with less free space new mail is put off with 452" },
    { "spool", "inline_max", CONFIG_SIZE, LIVE, AT(spool.inline_max_bytes), "128K", 4 * K, 256 * K,
      .help = "content above this size is written in extents while it arrives" },
    { "spool", "segment_size", CONFIG_SIZE, LIVE, AT(spool.segment_size_bytes), "64M", 1 * M,
      2 * G, .help = "a segment file is sealed at this size" },
    { "spool", "reserve", CONFIG_SIZE, LIVE, AT(spool.reserve_bytes), "16M", 64 * K, 4 * G,
      .help = "space kept aside so that outcomes can be written when the disk is full" },
    { "spool", "flush_late", CONFIG_DURATION, LIVE, AT(spool.flush_late_ms), "1s", 0, MINUTE,
      .help = "what became of a recipient is flushed this much later at most, or once it is known "
              "of 200; a crash before that repeats the attempt; a failure and its report are "
              "flushed at once" },

    { "listen", "address", CONFIG_ADDRS, LIVE | CONFIG_REQUIRED | CONFIG_NONEMPTY,
      IN_LISTEN(address), "{}", .port = 25,
      .help = "addresses with ports; listeners may overlap, the most specific address wins" },
    { "listen", "tls", CONFIG_WORD, LIVE, IN_LISTEN(tls), "optional", .words = tls_words,
      .help = "STARTTLS: optional offers it when tls.certificate is set, required takes no mail "
              "without it" },
    { "listen", "delivery", CONFIG_WORD, LIVE, IN_LISTEN(delivery), "deliver",
      .words = delivery_words,
      .help = "deliver at once; queue_only waits for a queue run; defer also asks no DNS before; "
              "hold keeps mail until somebody releases it" },
    { "listen", "bare_newline", CONFIG_WORD, LIVE, IN_LISTEN(bare_newline), "reject",
      .words = newline_words,
      .help = "what a CR or LF of its own in a message does: refuse the message, or make it CRLF" },
    { "listen", "normalise_from", CONFIG_CIDRS, LIVE, IN_LISTEN(normalise_from), "{}",
      .help = "clients for which bare_newline is normalise in any case" },
    { "listen", "greeting", CONFIG_TEXT, LIVE, IN_LISTEN(greeting), "\"\"",
      .check = check_printable,
      .help = "the text behind host name and ESMTP in the 220 greeting; empty means the usual "
              "one" },

    { "listen", "refuse_when", CONFIG_TEXTS, LIVE, IN_LISTEN(refuse_when), "{}",
      .help = "health checks (next_hop, dns, disk, queue, and the names of check sections): while "
              "one fails clients are greeted with 421, so that they use another gateway" },

    { "queue", "run", CONFIG_DURATION, LIVE, AT(queue.run_ms), "30m", 10 * SECOND, 30 * DAY,
      .zero = true, .help = "time between queue runs for queue_only; 0 means only when asked" },

    { "tls", "certificate", CONFIG_TEXTS, LIVE | CONFIG_READABLE, AT(tls.certificate), "{}",
      .check = check_path,
      .help = "certificate chains in PEM; a list for RSA and ECDSA side by side" },
    { "tls", "key", CONFIG_TEXTS, LIVE | CONFIG_READABLE, AT(tls.key), "{}", .check = check_path,
      .help = "the private keys in PEM, in the order of the certificates" },
    { "tls", "min_version", CONFIG_WORD, LIVE, AT(tls.min_version), "1.2", .words = version_words,
      .help = "the oldest TLS version that listeners speak" },

    { "relay", "from", CONFIG_CIDRS, LIVE, AT(relay.from), "{\"127.0.0.0/8\", \"[::1]/128\"}",
      .help = "clients that may send anywhere" },
    { "relay", "domains", CONFIG_TEXTS, LIVE | CONFIG_LOWER, AT(relay.domains), "{}",
      .check = check_domain,
      .help = "domains that mail is taken for from everywhere; .example.net means all below it" },
    { "relay", "recipients", CONFIG_TEXT, LIVE, AT(relay.recipients), "\"\"",
      .check = check_map,
      .help = "map of the recipients of relay.domains: user@domain, or @domain for all of it; "
              "others get 550 at RCPT; empty means that all are taken" },
    { "relay", "verify", CONFIG_BOOL, LIVE, AT(relay.verify), "off",
      .help = "strangers' recipients of relay.domains: the next hop is asked whether it knows "
              "them, and those it does not know get 550 at RCPT" },
    { "relay", "verify_timeout", CONFIG_DURATION, LIVE, AT(relay.verify_timeout_ms), "20s", 100,
      5 * MINUTE,
      .help = "what the next hop has not answered by then is taken unasked; less than "
              "server.question" },
    { "relay", "verify_cache", CONFIG_NUMBER, LIVE, AT(relay.verify_cache), "10000", 1, 1000000,
      .help = "recipients whose answer is remembered" },
    { "relay", "verify_keep", CONFIG_DURATION, LIVE, AT(relay.verify_keep_ms), "1h", SECOND,
      30 * DAY,
      .help = "that the next hop knows a recipient is remembered for so long" },
    { "relay", "verify_keep_bad", CONFIG_DURATION, LIVE, AT(relay.verify_keep_bad_ms), "10m",
      SECOND, 30 * DAY, .help = "and that it does not, for so long" },

    { "route", "local", CONFIG_TEXTS, LIVE | CONFIG_LOWER, AT(route.local), "{}",
      .check = check_domain, .help = "domains that are delivered on this machine" },
    { "route", "access", CONFIG_TEXT, LIVE, AT(route.access), "\"\"",
      .check = check_map,
      .help = "map of what is refused and allowed, by client, sender and recipient" },
    { "route", "virtusertable", CONFIG_TEXT, LIVE, AT(route.virtusertable), "\"\"",
      .check = check_map,
      .help = "map from addresses of hosted domains to others" },
    { "route", "aliases", CONFIG_TEXT, LIVE, AT(route.aliases), "\"\"",
      .check = check_map,
      .help = "map from local names to addresses, files and programs" },
    { "route", "mailertable", CONFIG_TEXT, LIVE, AT(route.mailertable), "\"\"",
      .check = check_map,
      .help = "map from the recipient's domain to the next hop; wins over smarttable" },
    { "route", "canonical", CONFIG_BOOL, LIVE, AT(route.canonical), "on",
      .help = "where the mailertable has not the recipient's domain as it is written, its "
              "canonical name is looked for in it, too" },
    { "route", "canonical_timeout", CONFIG_DURATION, LIVE, AT(route.canonical_timeout_ms), "3s",
      100, MINUTE,
      .help = "the DNS is waited for no longer than this for a canonical name; then the mail is "
              "routed without it" },
    { "route", "smarttable", CONFIG_TEXT, LIVE, AT(route.smarttable), "\"\"",
      .check = check_map,
      .help = "map from the sender to the next hop" },
    { "route", "genericstable", CONFIG_TEXT, LIVE, AT(route.genericstable), "\"\"",
      .check = check_map,
      .help = "map from local senders, user@domain or user, to the addresses others shall see, in "
              "mail from here and from relay.from" },
    { "route", "generics_domains", CONFIG_TEXTS, LIVE | CONFIG_LOWER, AT(route.generics_domains),
      "{}", .check = check_domain,
      .help = "domains besides the local ones whose senders genericstable is asked about" },
    { "route", "masquerade_as", CONFIG_TEXT, LIVE, AT(route.masquerade_as), "\"\"",
      .check = check_host,
      .help = "the domain that senders of this host and of masquerade_domains are shown under, in "
              "mail from here and from relay.from" },
    { "route", "masquerade_domains", CONFIG_TEXTS, LIVE | CONFIG_LOWER,
      AT(route.masquerade_domains), "{}", .check = check_domain,
      .help = "domains besides the local ones that masquerade_as stands for" },
    { "route", "masquerade_local", CONFIG_BOOL, LIVE, AT(route.masquerade_local), "on",
      .help = "masquerade_as stands for the local domains; off: only for masquerade_domains and "
              "senders without a domain" },
    { "route", "masquerade_envelope", CONFIG_BOOL, LIVE, AT(route.masquerade_envelope), "off",
      .help = "genericstable and masquerade_as for the envelope sender too" },
    { "route", "masquerade_all", CONFIG_BOOL, LIVE, AT(route.masquerade_all), "off",
      .help = "genericstable and masquerade_as for the recipients in headers too" },
    { "route", "exposed_users", CONFIG_TEXTS, LIVE, AT(route.exposed_users), "{}",
      .check = check_printable,
      .help = "local users that masquerade_as is not for" },
    { "route", "local_users", CONFIG_TEXT, LIVE | CONFIG_NONEMPTY, AT(route.local_users),
      "\"passwd\"", .check = check_users,
      .help = "who has a mailbox here: passwd, the users of the system; any, nobody is refused; "
              "or a map" },
    { "route", "delay_checks", CONFIG_BOOL, LIVE, AT(route.delay_checks), "off",
      .help = "refuse clients and senders only at RCPT" },
    { "route", "blocklist_recipients", CONFIG_BOOL, LIVE, AT(route.blocklist_recipients), "off",
      .help = "keys of access without a tag are for recipients too" },
    { "route", "alias_depth", CONFIG_NUMBER, LIVE, AT(route.alias_depth), "10", 1, 100,
      .help = "aliases and virtual addresses that lead to one another, at most" },
    { "route", "alias_targets", CONFIG_NUMBER, LIVE, AT(route.alias_targets), "1000", 1, 100000,
      .help = "addresses that one recipient may stand for" },
    { "route", "smart_host", CONFIG_TEXT, LIVE, AT(route.smart_host), "\"\"",
      .check = check_next_hop,
      .help = "the next hop of everything else; brackets ask for the address instead of the MX; "
              "empty means DNS decides" },
    { "route", "local_delivery", CONFIG_TEXT, LIVE | CONFIG_NONEMPTY, AT(route.local_delivery),
      "\"mbox:/var/mail/%u\"", .check = check_delivery,
      .help = "how a local recipient gets mail: maildir:PATH, mbox:PATH, lmtp:[HOST]:PORT, "
              "lmtp:/SOCKET or program:/PATH ARGUMENTS; %u is the user, %d the detail behind +, "
              "%h the home directory, %s the sender" },

    { "local", "timeout", CONFIG_DURATION, LIVE, AT(local.timeout_ms), "5m", SECOND, DAY,
      .help = "one delivery; a program that takes longer is killed and its mail deferred" },
    { "local", "lock_wait", CONFIG_DURATION, LIVE, AT(local.lock_wait_ms), "30s", 0, HOUR,
      .help = "for a mailbox that another program has locked; then its mail is deferred" },
    { "local", "processes", CONFIG_NUMBER, LIVE, AT(local.processes), "20", 1, 200,
      .help = "deliveries at once; others wait" },
    { "local", "programs", CONFIG_BOOL, LIVE, AT(local.programs), "off",
      .help = "aliases may name programs (|program arguments) and files (/file)" },
    { "local", "program_user", CONFIG_TEXT, LIVE | CONFIG_USER, AT(local.program_user),
      "\"nobody\"", .check = check_user,
      .help = "who runs the programs and owns the files of aliases; never root" },
    { "local", "root_user", CONFIG_TEXT, LIVE | CONFIG_USER, AT(local.root_user), "\"\"",
      .check = check_user,
      .help = "whose mailbox gets mail for root that no alias names; empty means it is refused" },
    { "local", "group", CONFIG_TEXT, LIVE, AT(local.group), "\"mail\"", .check = check_user,
      .help = "group of directories like /var/mail, in which a delivery may make files" },

    { "dns", "servers", CONFIG_ADDRS, LIVE, AT(dns.servers), "{}", .port = 53,
      .help = "name servers with or without ports; empty means those of resolv_conf" },
    { "dns", "resolv_conf", CONFIG_TEXT, LIVE | CONFIG_NONEMPTY, AT(dns.resolv_conf),
      "\"/etc/resolv.conf\"", .check = check_path,
      .help = "the file that names the servers when servers is empty" },
    { "dns", "dnssec", CONFIG_WORD, LIVE, AT(dns.dnssec), "auto", .words = dnssec_words,
      .help = "validate answers; auto tries and says so once when the servers cannot" },
    { "dns", "trust_anchor", CONFIG_TEXT, LIVE | CONFIG_NONEMPTY, AT(dns.trust_anchor),
      "\"/usr/share/dns/root.key\"", .check = check_path, .help = "the keys of the root zone" },
    { "dns", "timeout", CONFIG_DURATION, LIVE, AT(dns.timeout_ms), "30s", 100, 10 * MINUTE,
      .help = "one question with all its packets" },
    { "dns", "cache_size", CONFIG_SIZE, LIVE, AT(dns.cache_size_bytes), "32M", 64 * K, 16 * G,
      .help = "memory of the cache of answers" },
    { "dns", "cache_ttl_max", CONFIG_DURATION, LIVE, AT(dns.cache_ttl_max_ms), "1d", 0, 30 * DAY,
      .help = "an answer is kept no longer than this" },
    { "dns", "negative_ttl_max", CONFIG_DURATION, LIVE, AT(dns.negative_ttl_max_ms), "1h", 0,
      DAY, .help = "that a name does not exist is kept no longer than this" },

#define STAGE(name_, field, fallback_, help_) \
    { "timeout", name_, CONFIG_DURATION, LIVE, AT(timeout.field), fallback_, 100, 7 * DAY, \
      .help = help_ }
    STAGE("connect", connect_ms, "30s", "opening a connection to one address"),
    STAGE("initial", initial_ms, "5m", "waiting for the greeting"),
    STAGE("helo", helo_ms, "5m", "reply to EHLO or HELO"),
    STAGE("starttls", starttls_ms, "2m", "reply to STARTTLS, and the handshake"),
    STAGE("mail", mail_ms, "5m", "reply to MAIL"),
    STAGE("rcpt", rcpt_ms, "5m", "reply to each RCPT"),
    STAGE("data_init", data_init_ms, "2m", "reply to DATA"),
    STAGE("data_block", data_block_ms, "3m", "each block of the message being taken"),
    STAGE("data_final", data_final_ms, "10m", "reply to the end of data"),
    STAGE("rset", rset_ms, "1m", "reply to RSET"),
    STAGE("quit", quit_ms, "1m", "reply to QUIT"),
    STAGE("misc", misc_ms, "2m", "reply to any other command"),
    STAGE("attempt", attempt_ms, "30m", "one whole attempt, all addresses together"),
#undef STAGE

    { "server", "greeting_pause", CONFIG_DURATION, LIVE, AT(server.greeting_pause_ms), "0", 0,
      5 * MINUTE,
      .help = "wait before the greeting; a client that talks before it has come is refused" },
    { "server", "command", CONFIG_DURATION, LIVE, AT(server.command_ms), "5m", 100, DAY,
      .help = "waiting for the client: the next command, or more of the message" },
    { "server", "transaction", CONFIG_DURATION, LIVE, AT(server.transaction_ms), "30m", 100, DAY,
      .help = "one whole message, from MAIL to the end of data" },
    { "server", "starttls", CONFIG_DURATION, LIVE, AT(server.starttls_ms), "1m", 100, HOUR,
      .help = "the TLS handshake" },
    { "server", "question", CONFIG_DURATION, LIVE, AT(server.question_ms), "1m", 100, HOUR,
      .help = "answer of a policy question; without one the client hears 451" },
    { "server", "commit", CONFIG_DURATION, LIVE, AT(server.commit_ms), "5m", 100, HOUR,
      .help = "the message reaching stable storage after the end of data; then the client hears "
              "451" },
    { "server", "reverse_names", CONFIG_BOOL, LIVE, AT(server.reverse_names), "on",
      .help = "look up the client's name (PTR, and back) before the greeting, for access rules, "
              "Received and the log" },
    { "server", "reverse_timeout", CONFIG_DURATION, LIVE, AT(server.reverse_timeout_ms), "5s", 100,
      5 * MINUTE, .help = "the greeting waits no longer than this for the client's name" },
    { "server", "bad_commands", CONFIG_NUMBER, LIVE, AT(server.bad_commands), "20", 1, 10000,
      .help = "after this many errors of a client it hears 421 and the connection is closed" },

    { "retry", "first", CONFIG_DURATION, LIVE, AT(retry.first_ms), "5m", SECOND, DAY,
      .help = "from the first deferral to the second attempt; the time doubles from then on" },
    { "retry", "max", CONFIG_DURATION, LIVE, AT(retry.max_ms), "4h", SECOND, 30 * DAY,
      .help = "the longest time between two attempts" },
    { "retry", "warn_after", CONFIG_DURATION, LIVE, AT(retry.warn_after_ms), "4h", SECOND,
      90 * DAY, .zero = true,
      .help = "the sender is told that mail is late; 0 means never" },
    { "retry", "expire_after", CONFIG_DURATION, LIVE, AT(retry.expire_after_ms), "5d", SECOND,
      90 * DAY, .help = "mail that could not be delivered goes back to the sender" },

    { "attempts", "kept", CONFIG_NUMBER, LIVE, AT(attempts.kept), "3", 0, 20,
      .help = "the last stories of each recipient that waits, with their SMTP dialogue; 0: none" },
    { "attempts", "size", CONFIG_SIZE, LIVE, AT(attempts.size_bytes), "4K", 1 * K, 64 * K,
      .help = "one of them at most; what does not fit is left out of the middle of the dialogue" },

    { "report", "return", CONFIG_WORD, LIVE, AT(report.returns), "headers",
      .words = return_words,
      .help = "what a report of a failure brings back of the mail when its sender did not say "
              "(RET of RFC 3461)" },
    { "report", "full_max", CONFIG_SIZE, LIVE, AT(report.full_max_bytes), "100K", 1 * K, 64 * M,
      .help = "longer mail is not brought back in full, only its header; the report says so" },

    { "limits", "message_size", CONFIG_SIZE, LIVE, AT(limits.message_size_bytes), "50M", 64 * K,
      4 * G, .zero = true, .help = "one message; announced as SIZE; 0 means no limit" },
    { "limits", "recipients", CONFIG_NUMBER, LIVE, AT(limits.recipients), "1000", 1, 100000,
      .help = "recipients of one message; their addresses take 512 kilobytes at most, which is "
              "some 10000 of usual length" },
    { "limits", "connections", CONFIG_NUMBER, LIVE, AT(limits.connections), "2000", 1, 1000000,
      .help = "sessions in, of all clients" },
    { "limits", "connections_per_client", CONFIG_NUMBER, LIVE, AT(limits.connections_per_client),
      "100", 1, 1000000, .help = "sessions in, of one client address" },
    { "limits", "command_length", CONFIG_SIZE, LIVE, AT(limits.command_length_bytes), "2K", 512,
      64 * K, .help = "one command with its CRLF" },
    { "limits", "line_length", CONFIG_SIZE, LIVE, AT(limits.line_length_bytes), "0", 1000, 1 * G,
      .zero = true,
      .help = "one line of a message with its CRLF; lines are never split; 0 means no limit" },
    { "limits", "hops", CONFIG_NUMBER, LIVE, AT(limits.hops), "100", 5, 10000,
      .help = "Received headers; more mean a mail loop" },

    { "deliver", "connections", CONFIG_NUMBER, LIVE, AT(deliver.connections), "500", 1, 100000,
      .help = "sessions out, to all sites together; while many sites hang that worked before, up "
              "to twice as many" },
    { "deliver", "concurrency_initial", CONFIG_NUMBER, LIVE, AT(deliver.concurrency_initial), "5",
      1, 10000, .help = "sessions to one site at first" },
    { "deliver", "concurrency_max", CONFIG_NUMBER, LIVE, AT(deliver.concurrency_max), "20", 1,
      10000, .help = "sessions to one site at most, with those that are kept open or being "
                      "closed; the number follows what the site takes" },
    { "deliver", "messages_per_connection", CONFIG_NUMBER, LIVE,
      AT(deliver.messages_per_connection), "100", 1, 1000000,
      .help = "then a new connection is made" },
    { "deliver", "recipients_per_transaction", CONFIG_NUMBER, LIVE,
      AT(deliver.recipients_per_transaction), "100", 1, 300,
      .help = "recipients of one message that are sent at once" },
    { "deliver", "idle", CONFIG_DURATION, LIVE, AT(deliver.idle_ms), "5s", 0, 10 * MINUTE,
      .help = "an open connection waits this long for another message of a domain with the same "
              "hosts in front, unless as many as connections do already; it ends with a reload, "
              "and with the TTL of what led to it" },
    { "deliver", "eightbit", CONFIG_WORD, LIVE, AT(deliver.eightbit), "send",
      .words = eightbit_words,
      .help = "8-bit mail to a server without 8BITMIME: send the bytes as they are, or bounce" },
    { "deliver", "chunking", CONFIG_BOOL, LIVE, AT(deliver.chunking), "on",
      .help = "use BDAT where it is offered" },
    { "deliver", "tls", CONFIG_WORD, LIVE, AT(deliver.tls), "optional", .words = tls_words,
      .help = "STARTTLS where it is offered; required defers mail where it is not" },
    { "deliver", "source_address", CONFIG_ADDRS, LIVE, AT(deliver.source_address), "{}",
      .help = "own address of outgoing connections, one for IPv4 and one for IPv6" },
    { "deliver", "port", CONFIG_NUMBER, LIVE, AT(deliver.port), "25", 1, 65535,
      .help = "port of a next hop that names none" },

    { "delivery_rule", "site", CONFIG_TEXTS, LIVE, IN_RULE(site), "{}", .check = check_pattern,
      .help = "sites, by their whole name as postern queue sites shows it; * stands for anything" },
    { "delivery_rule", "mx", CONFIG_TEXTS, LIVE, IN_RULE(mx), "{}", .check = check_pattern,
      .help = "sites one of whose MX hosts has this name; * stands for anything: "
              "*.protection.example.com" },
    { "delivery_rule", "domain", CONFIG_TEXTS, LIVE | CONFIG_LOWER, IN_RULE(domain), "{}",
      .check = check_domain,
      .help = "domains that mail is sent to: the recipient's, wherever a route has it go, or "
              "the name of the next hop; "
              ".example.net means all below it" },
    { "delivery_rule", "sender", CONFIG_TEXTS, LIVE, IN_RULE(sender), "{}",
      .check = check_rule_sender,
      .help = "senders: an address, @example.net, @.example.net for all below it, <> for reports" },
    { "delivery_rule", "listener", CONFIG_TEXTS, LIVE, IN_RULE(listener), "{}",
      .check = check_label,
      .help = "listeners that the mail came by; submit is what local programs sent" },
    { "delivery_rule", "concurrency_initial", CONFIG_NUMBER, LIVE, IN_RULE(concurrency_initial),
      "0", 1, 10000, .zero = true, .help = "as deliver.concurrency_initial; 0 means as there" },
    { "delivery_rule", "concurrency_max", CONFIG_NUMBER, LIVE, IN_RULE(concurrency_max), "0", 1,
      10000, .zero = true, .help = "as deliver.concurrency_max; 0 means as there" },
    { "delivery_rule", "messages_per_connection", CONFIG_NUMBER, LIVE,
      IN_RULE(messages_per_connection), "0", 1, 1000000, .zero = true,
      .help = "as deliver.messages_per_connection; 0 means as there" },
    { "delivery_rule", "rate", CONFIG_TEXT, LIVE, IN_RULE(rate), "\"\"", .check = check_rate,
      .help = "messages to one site that begin in a second, a minute or an hour at most, evenly: "
              "10/s, 100/m, 500/h; empty means no limit" },
    { "delivery_rule", "source_address", CONFIG_ADDRS, LIVE, IN_RULE(source_address), "{}",
      .help = "as deliver.source_address; a family that is not named here is as there" },
    { "delivery_rule", "tls", CONFIG_WORD, LIVE, IN_RULE(tls), "same", .words = rule_tls_words,
      .help = "as deliver.tls; same means as there" },
    { "delivery_rule", "retry", CONFIG_TEXTS, LIVE, IN_RULE(retry), "{}", .check = check_delay,
      .help = "times until the second attempt, the third and so on, then the last one again; in "
              "place of retry_first and retry_max" },
    { "delivery_rule", "retry_first", CONFIG_DURATION, LIVE, IN_RULE(retry_first_ms), "0s", SECOND,
      7 * DAY, .zero = true, .help = "as retry.first; 0 means as there" },
    { "delivery_rule", "retry_max", CONFIG_DURATION, LIVE, IN_RULE(retry_max_ms), "0s", SECOND,
      7 * DAY, .zero = true, .help = "as retry.max; 0 means as there" },
    { "delivery_rule", "warn_after", CONFIG_DURATION, LIVE, IN_RULE(warn_after_ms), "0s", SECOND,
      30 * DAY, .zero = true,
      .help = "as retry.warn_after; 0 means as there, and what is not below expire_after means no "
              "warning" },
    { "delivery_rule", "expire_after", CONFIG_DURATION, LIVE, IN_RULE(expire_after_ms), "0s",
      SECOND, 60 * DAY, .zero = true, .help = "as retry.expire_after; 0 means as there" },

    { "processes", "smtpd", CONFIG_NUMBER, 0, AT(processes.smtpd), "0", 0, 32,
      .help = "processes that receive; 0 means by the number of processors" },
    { "processes", "deliver", CONFIG_NUMBER, 0, AT(processes.deliver), "0", 0, 32,
      .help = "processes that send; 0 means by the number of processors" },
    { "processes", "restart_first", CONFIG_DURATION, LIVE, AT(processes.restart_first_ms),
      "100ms", 1, MINUTE,
      .help = "a process that ended is started again after this time, which doubles each time" },
    { "processes", "restart_max", CONFIG_DURATION, LIVE, AT(processes.restart_max_ms), "30s", 1,
      HOUR, .help = "the longest such time" },
    { "processes", "finish", CONFIG_DURATION, LIVE, AT(processes.finish_ms), "30s", 0, HOUR,
      .help = "on stop, a process may finish what it holds for this long" },

    { "log", "tag", CONFIG_TEXT, LIVE | CONFIG_NONEMPTY, AT(log.tag), "\"postern\"",
      .check = check_label, .help = "program name in log lines" },
    { "log", "file", CONFIG_TEXT, LIVE | CONFIG_PARENT, AT(log.file), "\"\"", .check = check_path,
      .help = "the log file; with neither file nor syslog the log goes to standard error" },
    { "log", "syslog", CONFIG_WORD, LIVE, AT(log.syslog), "off", .words = syslog_words,
      .help = "log to syslog with this facility" },
    { "log", "events", CONFIG_TEXT, LIVE | CONFIG_PARENT, AT(log.events), "\"\"",
      .check = check_path, .help = "file of the event stream: each event one line of JSON" },

    { "control", "socket", CONFIG_TEXT, CONFIG_NONEMPTY | CONFIG_PARENT, AT(control.socket),
      "\"/run/postern/control\"", .check = check_path,
      .help = "the socket that the commands talk to" },

    { "submit", "socket", CONFIG_TEXT, 0, AT(submit.socket), "\"\"", .check = check_path,
      .help = "the socket that sendmail hands mail to; empty means submit, beside the control "
              "socket" },
    { "submit", "directory", CONFIG_TEXT, 0, AT(submit.directory), "\"\"",
      .check = check_path,
      .help = "where sendmail leaves mail while the gateway is down; empty means submit, beside "
              "the spool's directories" },
    { "submit", "delivery", CONFIG_WORD, LIVE, AT(submit.delivery), "deliver",
      .words = delivery_words,
      .help = "as a listener's, for mail of programs on this machine" },
    { "submit", "trusted_users", CONFIG_TEXTS, LIVE, AT(submit.trusted_users),
      "{\"root\", \"daemon\"}", .check = check_user,
      .help = "users that may name any sender; of others X-Authentication-Warning says so" },

    { "alarm", "interval", CONFIG_DURATION, LIVE, AT(alarm.interval_ms), "1m", 200, HOUR,
      .zero = true, .help = "time between two looks at the gateway's health; 0 means none at all" },
    { "alarm", "refuse_interval", CONFIG_DURATION, LIVE, AT(alarm.refuse_interval_ms), "10s", 200,
      HOUR,
      .help = "instead, for next_hop and dns when a listener refuses by them" },
    { "alarm", "timeout", CONFIG_DURATION, LIVE, AT(alarm.timeout_ms), "10s", 100, 10 * MINUTE,
      .help = "one look at next_hop, dns or a listener is bad when it takes longer" },
    { "alarm", "raise_after", CONFIG_NUMBER, LIVE, AT(alarm.raise_after), "2", 1, 1000,
      .help = "an alarm is raised when so many looks in a row were bad" },
    { "alarm", "clear_after", CONFIG_NUMBER, LIVE, AT(alarm.clear_after), "3", 1, 1000,
      .help = "and is over when so many in a row were good" },
    { "alarm", "repeat", CONFIG_DURATION, LIVE, AT(alarm.repeat_ms), "4h", SECOND, 30 * DAY,
      .zero = true, .help = "it is told again after this time while it lasts; 0 means once" },
    { "alarm", "to", CONFIG_TEXTS, LIVE, AT(alarm.to), "{}", .check = check_mailbox,
      .help = "who gets mail about alarms; empty means the postmaster" },
    { "alarm", "relay", CONFIG_TEXT, LIVE, AT(alarm.relay), "\"\"", .check = check_next_hop,
      .help = "next hop that mail about alarms is given to at once; empty, or when it does not "
              "take it: it goes through the queue as other mail" },
    { "alarm", "webhook", CONFIG_TEXT, LIVE, AT(alarm.webhook), "\"\"", .check = check_webhook,
      .help = "URL that alarms are posted to as JSON; empty means none" },
    { "alarm", "site_age", CONFIG_DURATION, LIVE, AT(alarm.site_age_ms), "4h", SECOND, 30 * DAY,
      .zero = true, .help = "alarm when mail to one site has waited for longer; 0 means never" },
    { "alarm", "site_recipients", CONFIG_NUMBER, LIVE, AT(alarm.site_recipients), "10", 1, 1000000,
      .help = "and so many recipients there have" },
    { "alarm", "site_age_any", CONFIG_DURATION, LIVE, AT(alarm.site_age_any_ms), "1d", SECOND,
      30 * DAY, .zero = true,
      .help = "alarm when a single recipient has waited for longer; 0 means never" },
    { "alarm", "queue_growth", CONFIG_NUMBER, LIVE, AT(alarm.queue_growth), "10000", 0, 1000000000,
      .help = "alarm when the queue has grown by so many messages within an hour; 0 means never" },
    { "alarm", "disk_free", CONFIG_SIZE, LIVE, AT(alarm.disk_free_bytes), "1G",
      .help = "alarm when the spool has less free space; 0 means never" },
    { "alarm", "inodes_free", CONFIG_NUMBER, LIVE, AT(alarm.inodes_free), "10000", 0, 1000000000,
      .help = "alarm when the spool has fewer free inodes; 0 means never" },
    { "alarm", "crashes", CONFIG_NUMBER, LIVE, AT(alarm.crashes), "3", 0, 8,
      .help = "alarm when processes of one kind ended so often within ten minutes; 0 means never" },
    { "alarm", "dns", CONFIG_BOOL, LIVE, AT(alarm.dns), "on",
      .help = "alarm when the DNS does not answer: each look asks for a new name below hostname, "
              "and when that fails for another one in its top-level domain" },
    { "alarm", "listeners", CONFIG_BOOL, LIVE, AT(alarm.listeners), "on",
      .help = "alarm when a listener does not greet: each look connects to each address" },
    { "alarm", "next_hop", CONFIG_TEXT, LIVE, AT(alarm.next_hop), "\"\"", .check = check_next_hop,
      .help = "alarm when this next hop does not greet with 220; empty means none is looked at" },

    { "check", "connect", CONFIG_TEXT, LIVE, IN_CHECK(connect), "\"\"", .check = check_connect,
      .help = "host:port or [address]:port that is to take a connection; a host is one name, "
              "without MX" },
    { "check", "expect", CONFIG_TEXT, LIVE, IN_CHECK(expect), "\"\"", .check = check_printable,
      .help = "and to say a line that begins with this; empty: the connection is enough" },
    { "check", "lookup", CONFIG_TEXT, LIVE, IN_CHECK(lookup), "\"\"", .check = check_host,
      .help = "or a name that is to have an address in the DNS" },
    { "check", "server", CONFIG_ADDRS, LIVE, IN_CHECK(server), "{}", .port = 53,
      .help = "and is asked of this server itself, by TCP, which is to know it; of several, one "
              "that does is enough; none: asked as for mail, from the cache too" },
    { "check", "every", CONFIG_DURATION, LIVE, IN_CHECK(every_ms), "10s", 200, HOUR,
      .help = "time between two looks" },
    { "check", "timeout", CONFIG_DURATION, LIVE, IN_CHECK(timeout_ms), "10s", 100, 10 * MINUTE,
      .help = "a look is bad when it takes longer" },
    { "check", "fail_after", CONFIG_NUMBER, LIVE, IN_CHECK(fail_after), "2", 1, 1000,
      .help = "it fails when so many looks in a row were bad" },
    { "check", "ok_after", CONFIG_NUMBER, LIVE, IN_CHECK(ok_after), "3", 1, 1000,
      .help = "and is good again when so many in a row were" },

    { "privilege", "user", CONFIG_TEXT, CONFIG_NONEMPTY | CONFIG_USER, AT(privilege.user),
      "\"postern\"", .check = check_user, .help = "user of every process without one of its own" },
#define ROLE(role, help_) \
    { "privilege", #role, CONFIG_TEXT, CONFIG_USER, AT(privilege.role), "\"\"", \
      .check = check_user, .help = help_ }
    ROLE(smtpd, "user of the receiving processes; empty means privilege.user"),
    ROLE(router, "user of the process that reads the maps and decides"),
    ROLE(resolver, "user of the process that asks DNS"),
    ROLE(qmgr, "user of the queue manager, who owns the spool"),
    ROLE(deliver, "user of the sending processes"),
    ROLE(keyring, "user of the process that holds private keys"),
    ROLE(control, "user of the process behind the control socket"),
    ROLE(pickup, "user of the process that takes the mail of local programs"),
    ROLE(watch, "user of the process that watches the gateway's health"),
#undef ROLE
    { "privilege", "chroot", CONFIG_TEXT, CONFIG_DIRECTORY, AT(privilege.chroot),
      "\"/var/lib/postern/empty\"",
      .check = check_path,
      .help = "an empty directory as the root of processes that open no files; empty means none" },

    { "sandbox", "seccomp", CONFIG_BOOL, 0, AT(sandbox.seccomp), "on",
      .help = "filter the system calls of each process" },
    { "sandbox", "landlock", CONFIG_BOOL, 0, AT(sandbox.landlock), "on",
      .help = "restrict the files of each process, where the kernel can; a reload that names a "
              "table in a directory that had none, outside /etc, then needs a restart" },
};

const struct config_option *config_options(size_t *n_r)
{
    *n_r = sizeof options / sizeof *options;
    return options;
}

const struct config_section *config_sections(size_t *n_r)
{
    *n_r = sizeof sections / sizeof *sections;
    return sections;
}
