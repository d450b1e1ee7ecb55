/* The names that define() gives a value: each that sendmail 8.17 has, and what becomes of it. */
#include "mc/impl.h"

#include "base/num.h"
#include "config/table.h"

enum how {
    SAME,  /* nothing to carry: text says why */
    NOT,   /* is not carried over: text says why */
    TIME,  /* option = a duration; unit is that of a bare number */
    COUNT, /* option = a number; 0 means no limit, and leaves the default */
    SIZE,  /* option = bytes */
    TEXT,  /* option = the text */
    LIST,  /* option = its words, between commas */
    USED,  /* something else asks for it: text says what */
    CALL,
    TRUE,  /* text says why it is not carried when it is not True */
    FALSE, /* the same for False */
};

struct define {
    const char *name;
    enum how how;
    char unit;
    const char *option;
    const char *text;
    void (*fn)(struct mc *m, const struct mc_macro *d);
};

/* --- those with a shape of their own --- */

static void wrong_value(struct mc *m, const struct mc_macro *d, const char *takes)
{
    mc_say(m, CONFIG_ERROR, d->place, d->value, NULL, "%.*s cannot be \"%.*s\": it takes %s",
           SPAN_ARG(d->name), SPAN_ARG(span_to(d->value, 60)), takes);
}

static void delivery_mode(struct mc *m, const struct mc_macro *d)
{
    bool exact;
    const char *mode = mc_delivery(d->value, &exact);
    if (!mode) {
        mc_say(m, CONFIG_ERROR, d->place, d->value, NULL,
               "%.*s cannot be \"%.*s\": it is one of " MC_DELIVERY_WORDS, SPAN_ARG(d->name),
               SPAN_ARG(span_to(d->value, 60)));
        return;
    }
    if (!exact)
        mc_say(m, CONFIG_NOTICE, d->place, d->value, NULL,
               "\"%.*s\" is taken by its first letter, as sendmail does: %s",
               SPAN_ARG(span_to(d->value, 60)), mode);
    mc_set(m, "listen.delivery", span_str(mode), d->place, "confDELIVERY_MODE");
    mc_set(m, "submit.delivery", span_str(mode), d->place, "confDELIVERY_MODE");
}

static void dont_expand_cnames(struct mc *m, const struct mc_macro *d)
{
    bool v = false;
    if (!mc_true(d->value, &v))
        wrong_value(m, d, "True or False");
    else
        mc_set(m, "route.canonical", v ? SPAN("off") : SPAN("on"), d->place,
               "confDONT_EXPAND_CNAMES");
}

/* "$w.example.net": the short name of this machine; "$j" the full one. */
static struct span with_names(struct mc *m, struct span s)
{
    struct buf b;
    buf_init(&b, 4096);
    struct span host = m->world->hostname;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i], n = i + 1 < s.n ? s.p[i + 1] : 0;
        if (c == '$' && n == 'w')
            buf_puts(&b, span_to(host, span_find(host, '.')));
        else if (c == '$' && n == 'm')
            buf_puts(&b, span_from(host, span_find(host, '.') + 1));
        else if (c == '$' && n == 'j')
            buf_puts(&b, m->hostname.n ? m->hostname : host);
        else {
            buf_putc(&b, c);
            continue;
        }
        i++;
    }
    struct span r = mc_dup(m, buf_span(&b));
    buf_free(&b);
    return r;
}

static void domain_name(struct mc *m, const struct mc_macro *d)
{
    m->hostname = with_names(m, d->value);
    mc_set_text(m, "hostname", m->hostname, d->place, "confDOMAIN_NAME");
}

static void drop_macros(struct mc *m, const struct mc_macro *d, struct span s, struct buf *out)
{
    bool dropped = false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] != '$' || i + 1 == s.n) {
            buf_putc(out, s.p[i]);
            continue;
        }
        i++;
        if (s.p[i] == 'v')
            buf_putz(out, "Postern");
        else if (s.p[i] == 'j')
            buf_puts(out, m->hostname);
        else
            dropped = true;
    }
    if (dropped)
        mc_say(m, CONFIG_NOTICE, d->place, d->value, NULL,
               "%.*s: the greeting is a fixed text: what $b and the like stand for is left out",
               SPAN_ARG(d->name));
}

/* sendmail puts ESMTP behind the first word, which is $j in every example there is; here the
 * greeting begins with the host name and ESMTP by itself. */
static void greeting(struct mc *m, const struct mc_macro *d)
{
    struct span s = d->value, first = span_word(&s);
    struct buf b;
    if (!span_eq(first, SPAN("$j")) && !span_ieq(first, m->hostname))
        mc_say(m, CONFIG_NOTICE, d->place, first, NULL,
               "%.*s: the greeting begins with the host name, not with \"%.*s\"",
               SPAN_ARG(d->name), SPAN_ARG(span_to(first, 60)));
    s = span_trim(span_to(s, span_find(s, '\n')));
    buf_init(&b, 4096);
    drop_macros(m, d, s, &b);
    struct span text = span_trim(buf_span(&b));
    while (text.n && strchr(";/,", text.p[text.n - 1]) && text.p[text.n - 1])
        text = span_trim(span_to(text, text.n - 1));
    if (span_ends(text, SPAN(" at"))) /* "ready at $b" */
        text.n -= 3;
    mc_set_text(m, "listen.greeting", mc_dup(m, text), d->place, "confSMTP_LOGIN_MSG");
    buf_free(&b);
}

static void max_children(struct mc *m, const struct mc_macro *d)
{
    uint64_t n;
    if (!num_upto(d->value, 1000000, &n)) {
        wrong_value(m, d, "a number");
        return;
    }
    if (n == 0)
        return;
    mc_set(m, "limits.connections", d->value, d->place, "confMAX_DAEMON_CHILDREN");
    if (n < 100)
        mc_set(m, "limits.connections_per_client", d->value, d->place,
               "confMAX_DAEMON_CHILDREN: not more than all together");
}

static void eight_bit(struct mc *m, const struct mc_macro *d)
{
    char c = d->value.n ? ascii_lower(d->value.p[0]) : 0;
    if (c != 'p' && c != 's' && c != 'm') {
        wrong_value(m, d, "pass8, strict or mimify");
        return;
    }
    if (c == 'm')
        mc_not_carried(m, d->place, "confEIGHT_BIT_HANDLING",
                       "content is never rewritten; deliver.eightbit sends it as it is, or "
                       "bounces");
    else
        mc_set(m, "deliver.eightbit", c == 's' ? SPAN("bounce") : SPAN("send"), d->place,
               "confEIGHT_BIT_HANDLING");
}

static void privacy(struct mc *m, const struct mc_macro *d)
{
    static const struct {
        const char *flag;
        bool same;
    } flags[] = {
        { "public", true }, { "needmailhelo", false }, { "needexpnhelo", true },
        { "noexpn", true }, { "needvrfyhelo", true }, { "novrfy", true },
        { "restrictmailq", false }, { "restrictqrun", false }, { "restrictexpand", true },
        { "noetrn", true }, { "nobodyreturn", false }, { "noreceipts", false },
        { "noverb", true }, { "authwarnings", true }, { "noactualrecipient", false },
        { "goaway", true },
    };
    enum { N = sizeof flags / sizeof *flags };
    const char *names[N];
    for (size_t i = 0; i < N; i++)
        names[i] = flags[i].flag;
    for (struct span s = d->value; s.n;) {
        size_t comma = span_find(s, ','), i = 0;
        struct span flag = span_trim_lines(span_to(s, comma));
        s = span_from(s, comma + 1);
        while (i < N && !span_ieq(flag, span_str(names[i])))
            i++;
        if (flag.n && i == N)
            mc_say(m, CONFIG_ERROR, d->place, flag, config_suggest_among(names, N, flag),
                   "%.*s has no flag \"%.*s\"", SPAN_ARG(d->name), SPAN_ARG(span_to(flag, 60)));
        else if (flag.n && !flags[i].same)
            mc_say(m, CONFIG_NOTICE, d->place, flag, NULL, "%.*s: %s is not carried over",
                   SPAN_ARG(d->name), names[i]);
    }
}

/* "user:group": groups go with users here. */
static struct span user_of(struct span s)
{
    size_t colon = span_find(s, ':'), dot = span_find(s, '.');
    return span_trim(span_to(s, colon < dot ? colon : dot));
}

static void run_as(struct mc *m, const struct mc_macro *d)
{
    mc_set_text(m, "privilege.user", user_of(d->value), d->place, "confRUN_AS_USER");
}

static void default_user(struct mc *m, const struct mc_macro *d)
{
    mc_set_text(m, "local.program_user", user_of(d->value), d->place, "confDEF_USER_ID");
}

static void smart_host(struct mc *m, const struct mc_macro *d)
{
    mc_smart_host(m, with_names(m, d->value), d->place, "SMART_HOST");
}

static void smart_host_mailer(struct mc *m, struct span mailer, struct mc_place place)
{
    static const char *const smtp[] = { "relay", "smtp", "esmtp", "smtp8", "dsmtp" };
    for (size_t i = 0; i < sizeof smtp / sizeof *smtp; i++)
        if (span_ieq(mailer, span_str(smtp[i])))
            return;
    mc_say(m, CONFIG_ERROR, place, mailer, NULL,
           "the mailer of a smart host is one that speaks SMTP, not \"%.*s\"",
           SPAN_ARG(span_to(mailer, 60)));
}

/* "mailer:host"; "[a]:[b]" is a list. */
void mc_smart_host(struct mc *m, struct span s, struct mc_place place, const char *what)
{
    size_t colon = span_find(s, ':');
    uint64_t port;
    s = span_trim(s);
    if (s.n == 0)
        return;
    if (s.p[0] != '[' && colon < s.n && !num_upto(span_from(s, colon + 1), 65535, &port)) {
        smart_host_mailer(m, span_to(s, colon), place);
        s = span_from(s, colon + 1);
    }
    size_t close = s.n && s.p[0] == '[' ? span_find(s, ']') : 0;
    size_t next = close + span_find(span_from(s, close), ':');
    if (next < s.n && !num_upto(span_from(s, next + 1), 65535, &port)) {
        mc_say(m, CONFIG_NOTICE, place, s, NULL,
               "%s: only the first host is carried over: give one name with several MX, or "
               "list them in the mailertable under \".\"", what);
        s = span_to(s, next);
    }
    mc_set_text(m, "route.smart_host", s, place, what);
}

/* Several files are one list of aliases to sendmail. */
static void alias_file(struct mc *m, const struct mc_macro *d)
{
    struct span s = d->value, first = span_trim(span_to(s, span_find(s, ',')));
    struct span path = first;
    size_t slash = span_find(first, '/');
    if (slash < first.n)
        path = span_from(first, slash); /* "dbm -o /etc/mail/aliases", "hash:/etc/mail/aliases" */
    mc_set_text(m, "route.aliases", mc_format(m, "text:%.*s", SPAN_ARG(path)), d->place,
                "ALIAS_FILE");
    if (span_find(s, ',') < s.n)
        mc_say(m, CONFIG_NOTICE, d->place, span_from(s, span_find(s, ',') + 1), NULL,
               "ALIAS_FILE: only the first file is carried over: put the others into it");
}

static void queue_dir(struct mc *m, const struct mc_macro *d)
{
    mc_add(m, "spool.directories", d->value, d->place, "QUEUE_DIR");
}

static void helo_name(struct mc *m, const struct mc_macro *d)
{
    if (!span_ieq(with_names(m, d->value), m->hostname))
        mc_not_carried(m, d->place, "confHELO_NAME", "EHLO says hostname");
}

static void ident(struct mc *m, const struct mc_macro *d)
{
    int64_t ms;
    if (!mc_time_ms(d->value, 's', &ms))
        wrong_value(m, d, "a time like 5m or 90s");
    else if (ms)
        mc_not_carried(m, d->place, "confTO_IDENT", "clients are never asked by ident");
}

/* --- the table --- */

#define NO_AUTH "SMTP AUTH is not in this release"
#define NO_MILTER "mail filters (milter) are not in this release"
#define NO_LOAD "the load average is not looked at: limits and deliver.connections bound the work"
#define NO_LDAP "there is no LDAP"
#define NO_UUCP "there is no UUCP"
#define NO_PROGRAMS "there is no such mailer: SMTP, LMTP and local mailboxes are"
#define NO_CLASSES "mail has no classes of urgency: the time is the same for all"
#define NO_QFILES "the spool has no file for each message"
#define NO_REWRITE "content and headers of relayed mail are never rewritten"
#define NO_COUNTING "the next try is reckoned from the number of tries alone"
#define ONE_RUN "deliver.connections and deliver.concurrency_max bound the work"
#define NO_CLIENT_CERT "no client certificate is shown, and none is asked for"
#define TLS_LIBRARY "tls.min_version says what is spoken; the rest is OpenSSL's default"
#define NO_MATCHING "local users are known by their names alone"
#define FIXED_MODES "files of the spool are readable by their owner only"
#define OWN_RESOLVER "DNS is asked by the gateway's own resolver: see dns"
#define NO_SHELL "programs run without a shell, as the recipient's user"
#define MAILER_DETAIL "mailers have no flags, arguments and limits of their own"
#define NO_LOOSE "what sendmail thinks unsafe about files does not matter here"

#define T(name_, option_, unit_) { name_, TIME, unit_, option_, NULL, NULL }
#define IS_SAME(name_, text_) { name_, SAME, 0, NULL, text_, NULL }
#define IS_NOT(name_, text_) { name_, NOT, 0, NULL, text_, NULL }
#define FN(name_, option_, fn_) { name_, CALL, 0, option_, NULL, fn_ }

static const struct define defines[] = {
    /* who we are, where mail lies */
    FN("confDOMAIN_NAME", "hostname", domain_name),
    FN("QUEUE_DIR", "spool.directories", queue_dir),
    FN("confDELIVERY_MODE", "listen.delivery", delivery_mode),
    FN("confSMTP_LOGIN_MSG", "listen.greeting", greeting),
    FN("confRUN_AS_USER", "privilege.user", run_as),
    { "confCONTROL_SOCKET_NAME", TEXT, 0, "control.socket", NULL, NULL },
    { "confHELO_NAME", CALL, 0, NULL, "EHLO says hostname", helo_name },

    /* timeouts */
    T("confTO_CONNECT", "timeout.connect", 'm'),
    T("confTO_INITIAL", "timeout.initial", 'm'),
    T("confTO_HELO", "timeout.helo", 'm'),
    T("confTO_MAIL", "timeout.mail", 'm'),
    T("confTO_RCPT", "timeout.rcpt", 'm'),
    T("confTO_DATAINIT", "timeout.data_init", 'm'),
    T("confTO_DATABLOCK", "timeout.data_block", 'm'),
    T("confTO_DATAFINAL", "timeout.data_final", 'm'),
    T("confTO_RSET", "timeout.rset", 'm'),
    T("confTO_QUIT", "timeout.quit", 'm'),
    T("confTO_MISC", "timeout.misc", 'm'),
    T("confTO_STARTTLS", "timeout.starttls", 'm'),
    T("confTO_COMMAND", "server.command", 'm'),
    T("confTO_QUEUERETURN", "retry.expire_after", 'd'),
    T("confTO_QUEUERETURN_NORMAL", "retry.expire_after", 'd'),
    T("confMESSAGE_TIMEOUT", "retry.expire_after", 'd'),
    T("confTO_QUEUEWARN", "retry.warn_after", 'h'),
    T("confTO_QUEUEWARN_NORMAL", "retry.warn_after", 'h'),
    T("confMIN_QUEUE_AGE", "retry.first", 'm'),
    T("confMAX_QUEUE_AGE", "retry.max", 'm'),
    T("confMCI_CACHE_TIMEOUT", "deliver.idle", 'm'),
    T("confREAD_TIMEOUT", "server.command", 'm'),
    { "confTO_IDENT", CALL, 0, NULL, "clients are never asked by ident", ident },
    IS_NOT("confTO_ACONNECT", "timeout.attempt bounds one attempt, all its addresses together"),
    IS_NOT("confTO_ICONNECT", "timeout.connect is the same for the first attempt"),
    IS_NOT("confTO_LHLO", "timeout.helo is for LMTP too"),
    IS_NOT("confTO_AUTH", NO_AUTH),
    IS_SAME("confTO_FILEOPEN", "no file of a user is waited for"),
    IS_SAME("confTO_CONTROL", "the control socket has its own patience"),
    IS_NOT("confTO_HOSTSTATUS", "what is known of a next hop is kept in memory, and shown by "
                                "postern queue sites"),
    IS_NOT("confTO_QUEUERETURN_URGENT", NO_CLASSES),
    IS_NOT("confTO_QUEUERETURN_NONURGENT", NO_CLASSES),
    IS_NOT("confTO_QUEUERETURN_DSN", "reports wait as long as other mail"),
    IS_NOT("confTO_QUEUEWARN_URGENT", NO_CLASSES),
    IS_NOT("confTO_QUEUEWARN_NONURGENT", NO_CLASSES),
    IS_NOT("confTO_QUEUEWARN_DSN", "nobody is told that a report is late"),
    IS_NOT("confTO_RESOLVER_RETRANS", "dns.timeout bounds a question with all its packets"),
    IS_NOT("confTO_RESOLVER_RETRANS_FIRST", "dns.timeout bounds a question with all its packets"),
    IS_NOT("confTO_RESOLVER_RETRANS_NORMAL",
           "dns.timeout bounds a question with all its packets"),
    IS_NOT("confTO_RESOLVER_RETRY", "dns.timeout bounds a question with all its packets"),
    IS_NOT("confTO_RESOLVER_RETRY_FIRST", "dns.timeout bounds a question with all its packets"),
    IS_NOT("confTO_RESOLVER_RETRY_NORMAL", "dns.timeout bounds a question with all its packets"),

    /* limits */
    { "confMAX_MESSAGE_SIZE", SIZE, 0, "limits.message_size", NULL, NULL },
    { "confMAX_RCPTS_PER_MESSAGE", COUNT, 0, "limits.recipients", NULL, NULL },
    { "confMAX_HOP", COUNT, 0, "limits.hops", NULL, NULL },
    { "confMAX_ALIAS_RECURSION", COUNT, 0, "route.alias_depth", NULL, NULL },
    FN("confMAX_DAEMON_CHILDREN", "limits.connections", max_children),
    { "SMTP_MAILER_MAXMSGS", COUNT, 0, "deliver.messages_per_connection", NULL, NULL },
    { "RELAY_MAILER_MAXMSGS", COUNT, 0, "deliver.messages_per_connection", NULL, NULL },
    { "SMTP_MAILER_MAXRCPTS", COUNT, 0, "deliver.recipients_per_transaction", NULL, NULL },
    IS_SAME("confMAX_MIME_HEADER_LENGTH", "headers are never altered, however long"),
    IS_NOT("confMAX_HEADERS_LENGTH", "limits.message_size bounds headers too"),
    IS_NOT("confMIN_FREE_BLOCKS", "its unit depends on the file system: say spool.free_min in "
                                  "bytes"),
    IS_NOT("confCONNECTION_RATE_THROTTLE", "limits.connections_per_client bounds sessions; there "
                                           "is no limit of their rate"),
    IS_NOT("confCONNECTION_RATE_WINDOW_SIZE", "there is no limit of the rate of sessions"),
    IS_NOT("confBAD_RCPT_THROTTLE", "server.bad_commands ends a session with too many errors"),
    IS_NOT("confMAX_NOOP_COMMANDS", "server.bad_commands ends a session with too many errors"),
    IS_NOT("confMAX_QUEUE_CHILDREN", ONE_RUN),
    IS_NOT("confMAX_RUNNERS_PER_QUEUE", ONE_RUN),
    IS_NOT("confMAX_QUEUE_RUN_SIZE", ONE_RUN),
    IS_NOT("confMCI_CACHE_SIZE", "deliver.connections bounds open connections"),
    IS_NOT("confQUEUE_LA", NO_LOAD), IS_NOT("confREFUSE_LA", NO_LOAD),
    IS_NOT("confDELAY_LA", NO_LOAD), IS_NOT("confREJECT_LOG_INTERVAL", NO_LOAD),
    IS_NOT("confQUEUE_FACTOR", NO_COUNTING), IS_NOT("confWORK_RECIPIENT_FACTOR", NO_COUNTING),
    IS_NOT("confWORK_CLASS_FACTOR", NO_COUNTING), IS_NOT("confWORK_TIME_FACTOR", NO_COUNTING),
    IS_NOT("confNICE_QUEUE_RUN", ONE_RUN), IS_NOT("confQUEUE_SORT_ORDER", NO_COUNTING),
    IS_SAME("confSEPARATE_PROC", "messages share processes"),
    IS_SAME("confFAST_SPLIT", "recipients of one message are tried side by side"),
    IS_SAME("confSINGLE_THREAD_DELIVERY", "deliver.concurrency_max bounds sessions to one site"),
    IS_SAME("confCHECKPOINT_INTERVAL", "each outcome is recorded at once"),
    { "confSAFE_QUEUE", TRUE, 0, NULL, "mail is on stable storage before it is acknowledged",
      NULL },

    /* routing */
    FN("SMART_HOST", "route.smart_host", smart_host),
    FN("ALIAS_FILE", "route.aliases", alias_file),
    { "confCW_FILE", USED, 0, "route.local", "FEATURE(use_cw_file)", NULL },
    { "confCR_FILE", USED, 0, "relay.domains", "the domains we relay for", NULL },
    { "confCT_FILE", USED, 0, "submit.trusted_users", "FEATURE(use_ct_file)", NULL },
    { "confTRUSTED_USERS", LIST, 0, "submit.trusted_users", NULL, NULL },
    { "MASQUERADE_NAME", TEXT, 0, "route.masquerade_as", NULL, NULL },
    IS_NOT("MAIL_HUB", "local mail is delivered here; a mailertable sends a domain elsewhere"),
    IS_NOT("LOCAL_RELAY", "local mail is delivered here; aliases send a user elsewhere"),
    IS_NOT("LUSER_RELAY", "unknown local users are refused; @domain in virtusertable takes all"),
    IS_NOT("confFALLBACK_MX", "a next hop in the mailertable can be a list"),
    IS_NOT("confFALLBACK_SMARTHOST", "a next hop in the mailertable can be a list"),
    IS_NOT("BITNET_RELAY", "there is no BITNET"), IS_NOT("DECNET_RELAY", "there is no DECnet"),
    IS_NOT("FAX_RELAY", NO_PROGRAMS), IS_NOT("UUCP_RELAY", NO_UUCP),
    FN("confDONT_EXPAND_CNAMES", "route.canonical", dont_expand_cnames),
    IS_SAME("confDONT_PRUNE_ROUTES", "routes in addresses are dropped (RFC 5321 appendix C)"),
    IS_SAME("confDONT_PROBE_INTERFACES", "addresses of this machine are known when needed"),
    IS_SAME("confTRY_NULL_MX_LIST", "a domain whose best MX is this host is an error of its own"),
    IS_SAME("confBIND_OPTS", OWN_RESOLVER), IS_NOT("confHOSTS_FILE", OWN_RESOLVER),
    IS_NOT("confSERVICE_SWITCH_FILE", OWN_RESOLVER),
    IS_NOT("confUSE_COMPRESSED_IPV6_ADDRESSES", "keys of access match however an address is "
                                                "written"),
    IS_NOT("confCONNECT_ONLY_TO", "a smart host sends all mail to one place"),
    IS_NOT("confSMTP_MAILER", MAILER_DETAIL), IS_NOT("confRELAY_MAILER", MAILER_DETAIL),
    IS_NOT("confLOCAL_MAILER", MAILER_DETAIL), IS_NOT("confUUCP_MAILER", NO_UUCP),
    IS_NOT("confUSERDB_SPEC", "aliases and virtusertable do it"),
    IS_NOT("confMATCH_GECOS", NO_MATCHING), IS_NOT("confMAILBOX_DATABASE", NO_MATCHING),
    IS_NOT("confBLANK_SUB", NO_MATCHING), IS_NOT("confFORWARD_PATH", ".forward files are not "
                                                                     "read: aliases are"),
    IS_SAME("confME_TOO", "a sender in a list gets its mail"),
    IS_SAME("confCHECK_ALIASES", "newaliases looks at the whole file"),
    IS_SAME("confALIAS_WAIT", "aliases are read when their file changes"),
    IS_SAME("confAUTO_REBUILD", "aliases are read when their file changes"),
    FN("confDEF_USER_ID", "local.program_user", default_user),
    IS_NOT("confDEF_GROUP_ID", NO_SHELL),
    IS_NOT("confSAFE_FILE_ENV", NO_SHELL), IS_NOT("confCON_EXPENSIVE", MAILER_DETAIL),
    IS_SAME("confDEQUOTE_OPTS", "there are no rewrite rules"),
    IS_SAME("confOPERATORS", "addresses are those of RFC 5321"),
    IS_SAME("confMUST_QUOTE_CHARS", "addresses are those of RFC 5321"),
    IS_SAME("confCOLON_OK_IN_ADDR", "addresses are those of RFC 5321"),
    IS_SAME("confLDAP_DEFAULT_SPEC", NO_LDAP), IS_NOT("confLDAP_CLUSTER", NO_LDAP),

    /* SMTP server */
    { "confPRIVACY_FLAGS", CALL, 0, NULL,
      "VRFY, EXPN, ETRN and VERB tell nothing anyway; other flags are named", privacy },
    { "confALLOW_BOGUS_HELO", FALSE, 0, NULL, "EHLO needs a name", NULL },
    { "confREJECT_NUL", FALSE, 0, NULL, "content is relayed as it is", NULL },
    IS_NOT("confREJECT_MSG", "replies have fixed texts, but for those in access"),
    IS_NOT("confRELAY_MSG", "replies have fixed texts, but for those in access"),
    IS_NOT("confRCPTREJ_MSG", "replies have fixed texts, but for those in access"),
    IS_NOT("confDELIVER_BY_MIN", "DELIVERBY is not offered"),
    IS_NOT("confRRT_IMPLIES_DSN", "Return-Receipt-To: asks for nothing"),
    IS_NOT("confINPUT_MAIL_FILTERS", NO_MILTER), IS_NOT("confMILTER_LOG_LEVEL", NO_MILTER),
    IS_NOT("confMILTER_MACROS_CONNECT", NO_MILTER), IS_NOT("confMILTER_MACROS_HELO", NO_MILTER),
    IS_NOT("confMILTER_MACROS_ENVFROM", NO_MILTER),
    IS_NOT("confMILTER_MACROS_ENVRCPT", NO_MILTER), IS_NOT("confMILTER_MACROS_DATA", NO_MILTER),
    IS_NOT("confMILTER_MACROS_EOH", NO_MILTER), IS_NOT("confMILTER_MACROS_EOM", NO_MILTER),
    IS_NOT("confAUTH_MECHANISMS", NO_AUTH), IS_NOT("confAUTH_REALM", NO_AUTH),
    IS_NOT("confAUTH_OPTIONS", NO_AUTH), IS_NOT("confAUTH_MAX_BITS", NO_AUTH),
    IS_NOT("confDEF_AUTH_INFO", NO_AUTH),
    IS_NOT("confDAEMON_OPTIONS", "write DAEMON_OPTIONS(...)"),
    IS_NOT("confCLIENT_OPTIONS", "write CLIENT_OPTIONS(...)"),

    /* TLS */
    { "confSERVER_CERT", LIST, 0, "tls.certificate", NULL, NULL },
    { "confSERVER_KEY", LIST, 0, "tls.key", NULL, NULL },
    IS_NOT("confCLIENT_CERT", NO_CLIENT_CERT), IS_NOT("confCLIENT_KEY", NO_CLIENT_CERT),
    IS_NOT("confCACERT", NO_CLIENT_CERT), IS_NOT("confCACERT_PATH", NO_CLIENT_CERT),
    IS_NOT("confCRL", NO_CLIENT_CERT), IS_NOT("confCRL_PATH", NO_CLIENT_CERT),
    IS_NOT("confCERT_FINGERPRINT_ALGORITHM", NO_CLIENT_CERT),
    IS_NOT("confTLS_SRV_OPTIONS", NO_CLIENT_CERT),
    IS_NOT("confCIPHER_LIST", TLS_LIBRARY), IS_NOT("confSERVER_SSL_OPTIONS", TLS_LIBRARY),
    IS_NOT("confCLIENT_SSL_OPTIONS", TLS_LIBRARY), IS_NOT("confSSL_ENGINE", TLS_LIBRARY),
    IS_NOT("confSSL_ENGINE_PATH", TLS_LIBRARY), IS_SAME("confDH_PARAMETERS", TLS_LIBRARY),
    IS_SAME("confRAND_FILE", TLS_LIBRARY),
    IS_NOT("confTLS_FALLBACK_TO_CLEAR", "deliver.tls says what happens without TLS"),
    { "confDANE", FALSE, 0, NULL, "DANE is not in this release", NULL },
    IS_NOT("STS_SAN", "MTA-STS is not in this release"),

    /* content, headers and reports */
    FN("confEIGHT_BIT_HANDLING", "deliver.eightbit", eight_bit),
    { "confSEVEN_BIT_INPUT", FALSE, 0, NULL, "no bit of content is stripped", NULL },
    IS_NOT("confDEF_CHAR_SET", NO_REWRITE), IS_NOT("confNO_RCPT_ACTION", NO_REWRITE),
    IS_NOT("confFROM_HEADER", NO_REWRITE), IS_NOT("confRECEIVED_HEADER", NO_REWRITE),
    IS_NOT("confMESSAGEID_HEADER", NO_REWRITE), IS_NOT("confUSE_ERRORS_TO", NO_REWRITE),
    IS_SAME("confOLD_STYLE_HEADERS", NO_REWRITE),
    IS_SAME("confSINGLE_LINE_FROM_HEADER", NO_REWRITE),
    IS_SAME("confSAVE_FROM_LINES", NO_REWRITE), IS_NOT("confFROM_LINE", NO_REWRITE),
    IS_SAME("confMIME_FORMAT_ERRORS", "reports are MIME (RFC 3464)"),
    IS_NOT("confERROR_MESSAGE", "reports have fixed texts"),
    IS_NOT("confERROR_MODE", "-oe of the sendmail command says it for each message"),
    IS_NOT("confCOPY_ERRORS_TO", "nobody gets copies of reports"),
    IS_NOT("confDOUBLE_BOUNCE_ADDRESS", "a report that cannot be delivered is an event"),
    IS_NOT("confDEAD_LETTER_DROP", "a report that cannot be delivered is an event"),
    { "confSOFT_BOUNCE", FALSE, 0, NULL, "a permanent failure is one", NULL },
    IS_NOT("confMAILER_NAME", "reports come from MAILER-DAEMON"),
    IS_SAME("confIGNORE_DOTS", "-i of the sendmail command says it"),
    IS_SAME("confDIAL_DELAY", "there is nothing to dial"),

    /* files, users, the rest of the machine */
    IS_NOT("confLOG_LEVEL", "each event has one level; the log tells what happened to each "
                            "recipient"),
    IS_NOT("confPID_FILE", "postern stop and postern reload find the gateway by its control "
                           "socket"),
    IS_NOT("confPROCESS_TITLE_PREFIX", "processes are named by their roles"),
    IS_NOT("confHOST_STATUS_DIRECTORY", "what is known of a next hop is kept in memory"),
    IS_SAME("confTEMP_FILE_MODE", FIXED_MODES), IS_SAME("confQUEUE_FILE_MODE", FIXED_MODES),
    IS_SAME("confUNSAFE_GROUP_WRITES", NO_LOOSE), IS_SAME("confDONT_BLAME_SENDMAIL", NO_LOOSE),
    IS_NOT("confTRUSTED_USER", "files of maps belong to whoever writes them"),
    IS_SAME("confDONT_INIT_GROUPS", "the processes have no groups but their own"),
    IS_SAME("confSHARED_MEMORY_KEY", NO_QFILES), IS_SAME("confSHARED_MEMORY_KEY_FILE", NO_QFILES),
    IS_SAME("confDF_BUFFER_SIZE", NO_QFILES), IS_SAME("confXF_BUFFER_SIZE", NO_QFILES),
    IS_SAME("confREQUIRES_DIR_FSYNC", NO_QFILES), IS_SAME("confUSE_MSP", "programs hand in mail "
                                                          "through submit.socket"),
    IS_SAME("confDIRECT_SUBMISSION_MODIFIERS", "programs hand in mail through submit.socket"),
    IS_SAME("confCF_VERSION", "a version of the file"),
    IS_NOT("confTIME_ZONE", "the log and headers have this machine's time zone"),
    IS_SAME("confEBINDIR", "programs are not looked for"),
    IS_SAME("VENDOR_NAME", "a name"), IS_SAME("HELP_FILE", "HELP has a fixed text"),
    IS_SAME("STATUS_FILE", "postern queue and the event stream have the figures"),
    IS_NOT("MSP_QUEUE_DIR", "submit.directory is beside the spool"),
    IS_SAME("CERT_DIR", "a folder for other names"),
    IS_SAME("MAIL_SETTINGS_DIR", "a folder for other names"),
    { "DATABASE_MAP_TYPE", USED, 0, NULL, "the text of a map is read, whatever its type", NULL },

#define MAILER_(name_) \
    IS_NOT(name_ "_MAILER_ARGS", NO_PROGRAMS), IS_NOT(name_ "_MAILER_FLAGS", NO_PROGRAMS), \
    IS_NOT(name_ "_MAILER_PATH", NO_PROGRAMS), IS_NOT(name_ "_MAILER_MAX", NO_PROGRAMS), \
    IS_NOT(name_ "_MAILER_QGRP", NO_PROGRAMS)
    MAILER_("CYRUS"), MAILER_("CYRUSV2"), MAILER_("CYRUS_BB"), MAILER_("FAX"), MAILER_("MAIL11"),
    MAILER_("PH"), MAILER_("POP"), MAILER_("PROCMAIL"), MAILER_("QPAGE"), MAILER_("SSH"),
    MAILER_("USENET"), MAILER_("UUCP"), MAILER_("XAGENT"),
#undef MAILER_
    IS_NOT("CYRUS_MAILER_USER", NO_PROGRAMS), IS_NOT("CYRUSV2_MAILER_CHARSET", NO_PROGRAMS),
    IS_NOT("CYRUSV2_MAILER_MAXMSGS", NO_PROGRAMS),
    IS_NOT("CYRUSV2_MAILER_MAXRCPTS", NO_PROGRAMS), IS_NOT("PROCMAIL_PATH", NO_PROGRAMS),
    IS_NOT("SSH_MAILER_CHARSET", NO_PROGRAMS), IS_NOT("SSH_MAILER_DIR", NO_PROGRAMS),
    IS_NOT("SSH_MAILER_HOST", NO_PROGRAMS), IS_NOT("SSH_MAILER_MAXMSGS", NO_PROGRAMS),
    IS_NOT("SSH_MAILER_MAXRCPTS", NO_PROGRAMS), IS_NOT("SSH_MAILER_USER", NO_PROGRAMS),
    IS_NOT("SSH_PATH", NO_PROGRAMS), IS_NOT("SSH_REMOTE_COMMAND", NO_PROGRAMS),
    IS_NOT("UUCP_MAILER_CHARSET", NO_UUCP), IS_NOT("UUCP_MAX_SIZE", NO_UUCP),

    IS_NOT("LOCAL_MAILER_PATH", MAILER_DETAIL), IS_NOT("LOCAL_MAILER_ARGS", MAILER_DETAIL),
    IS_NOT("LOCAL_MAILER_FLAGS", MAILER_DETAIL), IS_NOT("LOCAL_MAILER_MAX", MAILER_DETAIL),
    IS_NOT("LOCAL_MAILER_MAXMSGS", MAILER_DETAIL),
    IS_NOT("LOCAL_MAILER_MAXRCPTS", MAILER_DETAIL), IS_NOT("LOCAL_MAILER_EOL", MAILER_DETAIL),
    IS_NOT("LOCAL_MAILER_CHARSET", MAILER_DETAIL), IS_NOT("LOCAL_MAILER_QGRP", MAILER_DETAIL),
    IS_NOT("LOCAL_MAILER_DSN_DIAGNOSTIC_CODE", MAILER_DETAIL),
    IS_NOT("LOCAL_PROG_QGRP", MAILER_DETAIL), IS_NOT("LOCAL_SHELL_PATH", NO_SHELL),
    IS_NOT("LOCAL_SHELL_ARGS", NO_SHELL), IS_NOT("LOCAL_SHELL_FLAGS", NO_SHELL),
    IS_NOT("LOCAL_SHELL_DIR", NO_SHELL),
    IS_NOT("SMTP_MAILER_FLAGS", MAILER_DETAIL), IS_NOT("SMTP_MAILER_ARGS", MAILER_DETAIL),
    IS_NOT("SMTP_MAILER_MAX", MAILER_DETAIL), IS_NOT("SMTP_MAILER_LL", MAILER_DETAIL),
    IS_NOT("SMTP_MAILER_CHARSET", MAILER_DETAIL), IS_NOT("SMTP_MAILER_QGRP", MAILER_DETAIL),
    IS_NOT("ESMTP_MAILER_ARGS", MAILER_DETAIL), IS_NOT("ESMTP_MAILER_QGRP", MAILER_DETAIL),
    IS_NOT("DSMTP_MAILER_ARGS", MAILER_DETAIL), IS_NOT("DSMTP_MAILER_QGRP", MAILER_DETAIL),
    IS_NOT("SMTP8_MAILER_ARGS", MAILER_DETAIL), IS_NOT("SMTP8_MAILER_QGRP", MAILER_DETAIL),
    IS_NOT("RELAY_MAILER_FLAGS", MAILER_DETAIL), IS_NOT("RELAY_MAILER_ARGS", MAILER_DETAIL),
    IS_NOT("RELAY_MAILER_LL", MAILER_DETAIL), IS_NOT("RELAY_MAILER_CHARSET", MAILER_DETAIL),
    IS_NOT("RELAY_MAILER_QGRP", MAILER_DETAIL),
};
enum { DEFINES = sizeof defines / sizeof *defines };

static const struct define *define_find(struct span name)
{
    for (size_t i = 0; i < DEFINES; i++)
        if (span_eq(span_str(defines[i].name), name))
            return &defines[i];
    return NULL;
}

static const char *suggest(struct span name)
{
    const char *names[DEFINES];
    for (size_t i = 0; i < DEFINES; i++)
        names[i] = defines[i].name;
    return config_suggest_among(names, DEFINES, name);
}

void mc_define_check(struct mc *m, struct span name, struct mc_place place)
{
    if (!span_istarts(name, SPAN("conf")) || define_find(name))
        return;
    mc_say(m, CONFIG_ERROR, place, name, suggest(name), "sendmail has no name \"%.*s\"",
           SPAN_ARG(span_to(name, 60)));
}

/* --- one define --- */

static void set_time(struct mc *m, const struct define *k, const struct mc_macro *d)
{
    int64_t ms;
    struct buf b;
    if (!mc_time_ms(d->value, k->unit, &ms)) {
        wrong_value(m, d, "a time like 5m or 1h30m");
        return;
    }
    if (ms == 0 && !config_option_named(span_str(k->option))->zero) {
        mc_say(m, CONFIG_NOTICE, d->place, d->value, NULL,
               "%s of 0 means without end to sendmail: every wait has an end here, %s keeps its "
               "default", k->name, k->option);
        return;
    }
    buf_init(&b, 64);
    num_put_duration(&b, ms);
    mc_set(m, k->option, mc_dup(m, buf_span(&b)), d->place, k->name);
    buf_free(&b);
}

static void set_number(struct mc *m, const struct define *k, const struct mc_macro *d)
{
    uint64_t n;
    if (!num_u64(d->value, &n)) {
        wrong_value(m, d, "a number");
        return;
    }
    if (n || config_option_named(span_str(k->option))->zero)
        mc_set(m, k->option, d->value, d->place, k->name);
}

static void set_list(struct mc *m, const struct define *k, const struct mc_macro *d)
{
    struct span s = d->value;
    while (s.n) {
        size_t end = 0;
        while (end < s.n && s.p[end] != ',' && s.p[end] != ' ' && s.p[end] != '\t')
            end++;
        if (end)
            mc_add(m, k->option, span_to(s, end), d->place, k->name);
        s = span_from(s, end + 1);
    }
}

static void set_bool(struct mc *m, const struct define *k, const struct mc_macro *d)
{
    bool v;
    bool known = mc_true(d->value, &v);
    if (k->how == TRUE && !known && span_istarts(d->value, SPAN("p")))
        v = false; /* SuperSafe=PostMilter */
    else if (k->how == TRUE && !known && span_istarts(d->value, SPAN("i")))
        v = false; /* SuperSafe=Interactive */
    else if (!known) {
        wrong_value(m, d, "True or False");
        return;
    }
    if (v != (k->how == TRUE))
        mc_not_carried(m, d->place, k->name, k->text);
}

static void carry(struct mc *m, const struct define *k, const struct mc_macro *d)
{
    switch (k->how) {
    case SAME: mc_same(m, k->name, k->text, d->place); break;
    case NOT: mc_not_carried(m, d->place, k->name, k->text); break;
    case TIME: set_time(m, k, d); break;
    case COUNT:
    case SIZE: set_number(m, k, d); break;
    case TEXT:
        if (d->value.n)
            mc_set_text(m, k->option, d->value, d->place, k->name);
        break;
    case LIST: set_list(m, k, d); break;
    case USED: break;
    case CALL: k->fn(m, d); break;
    case TRUE:
    case FALSE: set_bool(m, k, d); break;
    }
}

/* A name of the file's own is fine as long as something uses it. */
static void own_name(struct mc *m, const struct mc_macro *d)
{
    const char *meant = suggest(d->name);
    if (d->used || span_istarts(d->name, SPAN("conf")) || span_starts(d->name, SPAN("_")))
        return;
    if (meant)
        mc_say(m, CONFIG_ERROR, d->place, d->name, meant, "sendmail has no name \"%.*s\"",
               SPAN_ARG(span_to(d->name, 60)));
    else
        mc_say(m, CONFIG_NOTICE, d->place, d->name, NULL,
               "\"%.*s\" is defined and never used: sendmail has no such name",
               SPAN_ARG(span_to(d->name, 60)));
}

static void expand_and_carry(struct mc *m, struct mc_macro d)
{
    const struct define *k = define_find(d.name);
    if (!k || d.gone || d.place.to == 0)
        return;
    if (!d.text_only)
        d.value = m4_expand(m, d.value, d.place);
    d.value = span_trim_lines(d.value);
    carry(m, k, &d);
}

void mc_defines(struct mc *m)
{
    const struct mc_macro *name = m4_find(m, SPAN("confDOMAIN_NAME"));
    if (name) /* others speak of it */
        expand_and_carry(m, *name);
    for (size_t i = 0; i < m->n_macros && !m->stop; i++)
        if (!name || !span_eq(m->macros[i].name, name->name))
            expand_and_carry(m, m->macros[i]);
    for (size_t i = 0; i < m->n_macros && !m->stop; i++)
        if (!m->macros[i].gone && m->macros[i].place.to && !define_find(m->macros[i].name))
            own_name(m, &m->macros[i]);
}

bool mc_table_define(size_t i, struct mc_row *row_r)
{
    if (i >= DEFINES)
        return false;
    *row_r = (struct mc_row){ .name = defines[i].name, .option = defines[i].option,
                              .text = defines[i].text, .nothing = defines[i].how == SAME };
    return true;
}
