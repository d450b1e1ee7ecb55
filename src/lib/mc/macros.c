/* The macros of sendmail's that a .mc is written with. */
#include "mc/impl.h"

#include "config/table.h"

static struct span arg(const struct mc_call *c, size_t i)
{
    return i <= c->n ? span_trim_lines(c->v[i]) : SPAN_NONE;
}

static bool among(const char *const *names, size_t n, struct span name)
{
    for (size_t i = 0; i < n; i++)
        if (span_eq(span_str(names[i]), name))
            return true;
    return false;
}

static void do_nothing(struct mc *m, const struct mc_call *c)
{
    (void)m;
    (void)c;
}

/* --- OSTYPE, MAILER --- */

static const char *const ostypes[] = {
    "a-ux", "aix3", "aix4", "aix5", "altos", "amdahl-uts", "bsd4.3", "bsd4.4", "bsdi", "bsdi1.0",
    "bsdi2.0", "darwin", "debian", "dgux", "domainos", "dragonfly", "dynix3.2", "freebsd4",
    "freebsd5", "freebsd6", "gnu", "hpux10", "hpux11", "hpux9", "irix4", "irix5", "irix6",
    "isc4.1", "linux", "maxion", "mklinux", "mpeix", "nextstep", "openbsd", "osf1", "powerux",
    "ptx2", "qnx", "riscos4.5", "sco-uw-2.1", "sco3.2", "sinix", "solaris11", "solaris2",
    "solaris2.ml", "solaris2.pre5", "solaris8", "sunos3.5", "sunos4.1", "suse-linux", "svr4",
    "ultrix4", "unicos", "unicosmk", "unicosmp", "unixware7", "unknown", "uxpds",
};
enum { OSTYPES = sizeof ostypes / sizeof *ostypes };

static void do_ostype(struct mc *m, const struct mc_call *c)
{
    struct span name = arg(c, 1);
    if (!among(ostypes, OSTYPES, name))
        mc_say(m, CONFIG_ERROR, c->place, name, config_suggest_among(ostypes, OSTYPES, name),
               "sendmail has no OSTYPE \"%.*s\"", SPAN_ARG(span_to(name, 60)));
}

static const char *const mailers[] = {
    "cyrus", "cyrusv2", "fax", "local", "mail11", "phquery", "pop", "procmail", "qpage", "smtp",
    "ssh", "usenet", "uucp", "xagent",
};
enum { MAILERS = sizeof mailers / sizeof *mailers };

static void do_mailer(struct mc *m, const struct mc_call *c)
{
    struct span name = arg(c, 1);
    m->section = NULL;
    if (m->mailer.n == 0)
        m->mailer = name;
    m->local_mailer |= span_eq(name, SPAN("local"));
    if (!among(mailers, MAILERS, name))
        mc_say(m, CONFIG_ERROR, c->place, name, config_suggest_among(mailers, MAILERS, name),
               "sendmail has no MAILER \"%.*s\"", SPAN_ARG(span_to(name, 60)));
    else if (!span_eq(name, SPAN("local")) && !span_eq(name, SPAN("smtp")))
        mc_say(m, CONFIG_NOTICE, c->place, name, NULL,
               "MAILER(%.*s) is not carried over: mail goes by SMTP, LMTP or to local mailboxes",
               SPAN_ARG(name));
}

/* --- lists of domains and of users --- */

void mc_local_name(struct mc *m, struct span word, struct mc_place place, const char *what)
{
    mc_add(m, "route.local", word, place, what);
}

static bool is_network(struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!ascii_isdigit(s.p[i]) && s.p[i] != '.' && s.p[i] != '/')
            return false;
    return s.n > 0;
}

/* "10.1" is sendmail's way of writing 10.1.0.0/16. */
static struct span network(struct mc *m, struct span s)
{
    size_t dots = 0;
    if (span_find(s, '/') < s.n)
        return s;
    if (span_ends(s, SPAN(".")))
        s.n--;
    for (size_t i = 0; i < s.n; i++)
        dots += s.p[i] == '.';
    if (dots >= 3)
        return s;
    static const char *const rest[] = { ".0.0.0/8", ".0.0/16", ".0/24" };
    return mc_format(m, "%.*s%s", SPAN_ARG(s), rest[dots]);
}

void mc_relay_name(struct mc *m, struct span word, struct mc_place place, const char *what)
{
    if (is_network(word)) {
        mc_add(m, "relay.from", network(m, word), place, what);
        return;
    }
    if (span_istarts(word, SPAN("IPv6:"))) {
        mc_add(m, "relay.from", span_from(word, 5), place, what);
        return;
    }
    mc_add(m, "relay.domains", word, place, what);
    if (word.n && word.p[0] != '.' && !mc_has_feature(m, "relay_hosts_only"))
        mc_add(m, "relay.domains", mc_format(m, ".%.*s", SPAN_ARG(word)), place, what);
    mc_not_carried(m, place, "relaying by a client's name",
                   "relay.from and the Connect: keys of access say which clients may send "
                   "anywhere; the domain counts for recipients");
}

static void masqueraded(struct mc *m, struct span word, struct mc_place place, const char *what)
{
    mc_add(m, "route.masquerade_domains", word, place, what);
    if (mc_has_feature(m, "masquerade_entire_domain") && word.n && word.p[0] != '.')
        mc_add(m, "route.masquerade_domains", mc_format(m, ".%.*s", SPAN_ARG(word)), place, what);
}

static void generic(struct mc *m, struct span word, struct mc_place place, const char *what)
{
    mc_add(m, "route.generics_domains", word, place, what);
    if (mc_has_feature(m, "generics_entire_domain") && word.n && word.p[0] != '.')
        mc_add(m, "route.generics_domains", mc_format(m, ".%.*s", SPAN_ARG(word)), place, what);
}

static void exposed(struct mc *m, struct span word, struct mc_place place, const char *what)
{
    mc_add(m, "route.exposed_users", word, place, what);
}

/* What takes a list, and the same from a file. */
static const struct {
    const char *name;
    mc_word_fn *each;
    bool file;
} lists[] = {
    { "LOCAL_DOMAIN", mc_local_name, false },
    { "RELAY_DOMAIN", mc_relay_name, false },
    { "RELAY_DOMAIN_FILE", mc_relay_name, true },
    { "MASQUERADE_DOMAIN", masqueraded, false },
    { "MASQUERADE_DOMAIN_FILE", masqueraded, true },
    { "GENERICS_DOMAIN", generic, false },
    { "GENERICS_DOMAIN_FILE", generic, true },
    { "EXPOSED_USER", exposed, false },
    { "EXPOSED_USER_FILE", exposed, true },
};

/* Lists wait until all features are known. */
static void do_list(struct mc *m, const struct mc_call *c)
{
    mc_one_argument(m, c, 1);
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        if (!span_eq(span_str(lists[i].name), c->v[0]))
            continue;
        if (m->n_waiting == MC_WAITING_MAX)
            mc_limit(m, c->place, "it has too many lists");
        else
            m->waiting[m->n_waiting++] = (struct mc_waiting){
                .words = arg(c, 1), .place = c->place, .what = lists[i].name,
                .each = lists[i].each, .file = lists[i].file };
    }
}

void mc_lists(struct mc *m)
{
    for (size_t i = 0; i < m->n_waiting && !m->stop; i++) {
        const struct mc_waiting *w = &m->waiting[i];
        if (w->file)
            mc_words_of_file(m, w->words, true, w->place, w->what, w->each);
        else
            mc_words(m, w->words, w->place, w->what, w->each);
    }
}

static void do_masquerade_as(struct mc *m, const struct mc_call *c)
{
    struct span name = arg(c, 1);
    mc_one_argument(m, c, 1);
    if (name.n)
        mc_set_text(m, "route.masquerade_as", name, c->place, "MASQUERADE_AS");
}

/* --- sections of raw lines --- */

static void do_section(struct mc *m, const struct mc_call *c)
{
    static const char *const names[] = {
        "LOCAL_CONFIG", "LOCAL_RULE_0", "LOCAL_RULE_1", "LOCAL_RULE_2", "LOCAL_RULE_3",
        "LOCAL_RULESETS", "LOCAL_NET_CONFIG", "LOCAL_UUCP", "MAILER_DEFINITIONS", "LOCAL_DNSBL",
        "LOCAL_SRV_FEATURES", "LOCAL_CLT_FEATURES", "LOCAL_TLS_CLIENT", "LOCAL_TLS_RCPT",
        "LOCAL_TLS_SERVER", "LOCAL_TRY_TLS",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (span_eq(span_str(names[i]), c->v[0])) {
            m->section = names[i];
            m->section_said = false;
        }
}

/* --- known, and not carried --- */

static const struct {
    const char *name, *why;
} others[] = {
    { "DOMAIN", "sendmail's folder of site files is not read: put what it sets into this file" },
    { "HACK", "sendmail's folder of hacks is not read" },
    { "SITE", "there is no UUCP" },
    { "SITECONFIG", "there is no UUCP" },
    { "UUCPSMTP", "there is no UUCP" },
    { "INPUT_MAIL_FILTER", "mail filters (milter) are not in this release" },
    { "MAIL_FILTER", "mail filters (milter) are not in this release" },
    { "TRUST_AUTH_MECH", "SMTP AUTH is not in this release" },
    { "QUEUE_GROUP", "there is one queue; its directories share the load, and each next hop has "
                     "its own turn" },
    { "MODIFY_MAILER_FLAGS", "mailers have no flags here" },
    { "LOCAL_USER", "all mail of local domains is delivered here" },
    { "LOCAL_USER_FILE", "all mail of local domains is delivered here" },
    { "LDAPROUTE_DOMAIN", "there is no LDAP" },
    { "LDAPROUTE_DOMAIN_FILE", "there is no LDAP" },
    { "LDAPROUTE_EQUIVALENT", "there is no LDAP" },
    { "LDAPROUTE_EQUIVALENT_FILE", "there is no LDAP" },
    { "MASQUERADE_EXCEPTION", "name the masqueraded domains one by one instead" },
    { "MASQUERADE_EXCEPTION_FILE", "name the masqueraded domains one by one instead" },
    { "CANONIFY_DOMAIN", "host names are never rewritten" },
    { "CANONIFY_DOMAIN_FILE", "host names are never rewritten" },
};

static void do_other(struct mc *m, const struct mc_call *c)
{
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (span_eq(span_str(others[i].name), c->v[0]))
            mc_not_carried(m, c->place, others[i].name, others[i].why);
}

/* The domains of virtusertable's keys count as ours by themselves. */
static void do_virtuser_domain(struct mc *m, const struct mc_call *c)
{
    mc_same(m, "VIRTUSER_DOMAIN", "domains with keys in virtusertable are known by them",
            c->place);
}

static const struct mc_known macros[] = {
    { .name = "VERSIONID", .fn = do_nothing, .needs_args = true },
    { .name = "OSTYPE", .fn = do_ostype, .needs_args = true },
    { .name = "FEATURE", .fn = mc_feature, .needs_args = true },
    { .name = "MAILER", .fn = do_mailer, .needs_args = true },
    { .name = "DAEMON_OPTIONS", .fn = mc_daemon_options, .needs_args = true },
    { .name = "CLIENT_OPTIONS", .fn = mc_client_options, .needs_args = true },
    { .name = "MASQUERADE_AS", .fn = do_masquerade_as, .needs_args = true },
    { .name = "VIRTUSER_DOMAIN", .fn = do_virtuser_domain, .needs_args = true },
    { .name = "VIRTUSER_DOMAIN_FILE", .fn = do_virtuser_domain, .needs_args = true },
#define LIST(name_) { .name = name_, .fn = do_list, .needs_args = true }
    LIST("LOCAL_DOMAIN"), LIST("RELAY_DOMAIN"), LIST("RELAY_DOMAIN_FILE"),
    LIST("MASQUERADE_DOMAIN"), LIST("MASQUERADE_DOMAIN_FILE"), LIST("GENERICS_DOMAIN"),
    LIST("GENERICS_DOMAIN_FILE"), LIST("EXPOSED_USER"), LIST("EXPOSED_USER_FILE"),
#undef LIST
#define SECTION(name_) { .name = name_, .fn = do_section }
    SECTION("LOCAL_CONFIG"), SECTION("LOCAL_RULE_0"), SECTION("LOCAL_RULE_1"),
    SECTION("LOCAL_RULE_2"), SECTION("LOCAL_RULE_3"), SECTION("LOCAL_RULESETS"),
    SECTION("LOCAL_NET_CONFIG"), SECTION("LOCAL_UUCP"), SECTION("MAILER_DEFINITIONS"),
    SECTION("LOCAL_DNSBL"), SECTION("LOCAL_SRV_FEATURES"), SECTION("LOCAL_CLT_FEATURES"),
    SECTION("LOCAL_TLS_CLIENT"), SECTION("LOCAL_TLS_RCPT"), SECTION("LOCAL_TLS_SERVER"),
    SECTION("LOCAL_TRY_TLS"),
#undef SECTION
#define OTHER(name_) { .name = name_, .fn = do_other, .needs_args = true }
    OTHER("DOMAIN"), OTHER("HACK"), OTHER("SITE"), OTHER("SITECONFIG"), OTHER("UUCPSMTP"),
    OTHER("INPUT_MAIL_FILTER"), OTHER("MAIL_FILTER"), OTHER("TRUST_AUTH_MECH"),
    OTHER("QUEUE_GROUP"), OTHER("MODIFY_MAILER_FLAGS"), OTHER("LOCAL_USER"),
    OTHER("LOCAL_USER_FILE"), OTHER("LDAPROUTE_DOMAIN"), OTHER("LDAPROUTE_DOMAIN_FILE"),
    OTHER("LDAPROUTE_EQUIVALENT"), OTHER("LDAPROUTE_EQUIVALENT_FILE"),
    OTHER("MASQUERADE_EXCEPTION"), OTHER("MASQUERADE_EXCEPTION_FILE"), OTHER("CANONIFY_DOMAIN"),
    OTHER("CANONIFY_DOMAIN_FILE"),
#undef OTHER
};
enum { MACROS = sizeof macros / sizeof *macros };

const struct mc_known *mc_macro_find(struct span name)
{
    for (size_t i = 0; i < MACROS; i++)
        if (span_eq(span_str(macros[i].name), name))
            return &macros[i];
    return NULL;
}

const char *mc_suggest_macro(struct span name)
{
    static const char *const m4_names[] = { "define", "undefine", "divert", "dnl", "include",
                                            "ifdef", "sinclude" };
    const char *names[MACROS + 8];
    size_t n = 0;
    for (; n < MACROS; n++)
        names[n] = macros[n].name;
    for (size_t i = 0; i < sizeof m4_names / sizeof *m4_names; i++)
        names[n++] = m4_names[i];
    return config_suggest_among(names, n, name);
}

bool mc_table_macro(size_t i, const char **name_r)
{
    if (i >= MACROS)
        return false;
    *name_r = macros[i].name;
    return true;
}
