/* FEATURE(`name', ...): each that sendmail has, and what becomes of it. */
#include "mc/impl.h"

#include "base/num.h"
#include "config/table.h"

enum how {
    SAME,  /* nothing to carry: text says why */
    NOT,   /* is not carried over: text says why */
    MAP,   /* option = the map of the second argument, or /etc/mail/NAME */
    ON,    /* option = on */
    LATER, /* is looked at when the file is read: text says what it does, for the list */
    CALL,
};

struct feature {
    const char *name;
    enum how how;
    const char *option; /* of MAP and ON */
    const char *text;
    void (*fn)(struct mc *m, const struct mc_call *c);
};

static struct span arg(const struct mc_call *c, size_t i)
{
    return i <= c->n ? span_trim_lines(c->v[i]) : SPAN_NONE;
}

static void greet_pause(struct mc *m, const struct mc_call *c)
{
    uint64_t ms = 0;
    if (arg(c, 2).n && !num_upto(arg(c, 2), 3600000, &ms))
        mc_say(m, CONFIG_ERROR, c->place, arg(c, 2), NULL,
               "greet_pause takes milliseconds, not \"%.*s\"",
               SPAN_ARG(span_to(arg(c, 2), 60)));
    else if (arg(c, 2).n)
        mc_set(m, "server.greeting_pause", mc_format(m, "%ums", (unsigned)ms), c->place,
               "FEATURE(greet_pause)");
}

static void access_db(struct mc *m, const struct mc_call *c)
{
    struct span spec = mc_map(m, arg(c, 2), "access", c->place);
    if (spec.n)
        mc_set_text(m, "route.access", spec, c->place, "FEATURE(access_db)");
    for (size_t i = 3; i <= c->n; i++)
        if (arg(c, i).n && !span_eq(arg(c, i), SPAN("skip")) &&
            !span_eq(arg(c, i), SPAN("lookupdotdomain")))
            mc_say(m, CONFIG_NOTICE, c->place, arg(c, i), NULL,
                   "access_db: \"%.*s\" is not carried over", SPAN_ARG(span_to(arg(c, i), 60)));
}

static void delay_checks(struct mc *m, const struct mc_call *c)
{
    mc_set(m, "route.delay_checks", SPAN("on"), c->place, "FEATURE(delay_checks)");
    if (arg(c, 2).n)
        mc_not_carried(m, c->place, "delay_checks with friend or hater",
                       "there are no Spam: keys in access");
}

static void nullclient(struct mc *m, const struct mc_call *c)
{
    struct span hub = arg(c, 2);
    if (hub.n == 0) {
        mc_say(m, CONFIG_ERROR, c->place, SPAN_NONE, NULL, "nullclient has no hub");
        return;
    }
    mc_smart_host(m, hub, c->place, "FEATURE(nullclient)");
    mc_not_carried(m, c->place, "nullclient's masquerading",
                   "MASQUERADE_AS and masquerade_envelope say it; all mail goes to the hub");
}

static void local_procmail(struct mc *m, const struct mc_call *c)
{
    struct span path = arg(c, 2).n ? arg(c, 2) : SPAN("/usr/bin/procmail");
    mc_set_text(m, "route.local_delivery",
                mc_format(m, "program:%.*s -Y -a %%d -d %%u", SPAN_ARG(path)), c->place,
                "FEATURE(local_procmail)");
    if (arg(c, 3).n)
        mc_say(m, CONFIG_NOTICE, c->place, arg(c, 3), NULL,
               "local_procmail: its arguments are not carried over: say route.local_delivery");
}

static void nocanonify(struct mc *m, const struct mc_call *c)
{
    mc_set(m, "route.canonical", SPAN("off"), c->place, "FEATURE(nocanonify)");
}

static void limited_masquerade(struct mc *m, const struct mc_call *c)
{
    mc_set(m, "route.masquerade_local", SPAN("off"), c->place, "FEATURE(limited_masquerade)");
}

static void promiscuous_relay(struct mc *m, const struct mc_call *c)
{
    mc_add(m, "relay.from", SPAN("0.0.0.0/0"), c->place, "FEATURE(promiscuous_relay)");
    mc_add(m, "relay.from", SPAN("::/0"), c->place, "FEATURE(promiscuous_relay)");
}

static void trusted_file(struct mc *m, const struct mc_call *c);

#define NO_BLOCKLISTS "lists of bad hosts in the DNS are not in this release"
#define NO_LDAP "there is no LDAP"
#define NO_UUCP "there is no UUCP"
#define NO_AUTH "SMTP AUTH is not in this release"
#define NO_RATES "limits.connections and limits.connections_per_client bound sessions; there " \
                 "is no limit of their rate"
#define NO_LOCAL_PROGRAM "local mail is delivered by the gateway itself"
#define UNRESOLVABLE "senders are not refused for a domain that does not resolve"

static const struct feature features[] = {
    { "accept_unqualified_senders", SAME, NULL, "senders without a domain are taken", NULL },
    { "accept_unresolvable_domains", SAME, NULL, UNRESOLVABLE, NULL },
    { "access_db", CALL, "route.access", NULL, access_db },
    { "allmasquerade", ON, "route.masquerade_all", NULL, NULL },
    { "always_add_domain", SAME, NULL, "local mail has its domain", NULL },
    { "authinfo", NOT, NULL, NO_AUTH, NULL },
    { "badmx", NOT, NULL, "an MX that is an address is used as one", NULL },
    { "bcc", NOT, NULL, "headers of relayed mail stay as they are", NULL },
    { "bestmx_is_local", NOT, NULL, "name the domains with LOCAL_DOMAIN", NULL },
    { "bitdomain", NOT, NULL, "there is no BITNET", NULL },
    { "blacklist_recipients", ON, "route.blocklist_recipients", NULL, NULL },
    { "block_bad_helo", NOT, NULL, "the name in EHLO refuses nobody", NULL },
    { "blocklist_recipients", ON, "route.blocklist_recipients", NULL, NULL },
    { "check_cert_altnames", NOT, NULL, "certificates of next hops are not checked", NULL },
    { "check_other", NOT, NULL, "server.bad_commands counts the errors of a client", NULL },
    { "compat_check", NOT, NULL, "there are no Compat: keys in access", NULL },
    { "conncontrol", NOT, NULL, NO_RATES, NULL },
    { "delay_checks", CALL, "route.delay_checks", NULL, delay_checks },
    { "dnsbl", NOT, NULL, NO_BLOCKLISTS, NULL },
    { "domainmap", NOT, NULL, "virtusertable does it for single domains", NULL },
    { "domaintable", NOT, NULL, "domains in addresses are never rewritten; virtusertable can",
      NULL },
    { "drac", NOT, NULL, "relay.from and access say who may send", NULL },
    { "enhdnsbl", NOT, NULL, NO_BLOCKLISTS, NULL },
    { "generics_entire_domain", LATER, "route.generics_domains",
      "the domains below those of GENERICS_DOMAIN too", NULL },
    { "genericstable", MAP, "route.genericstable", NULL, NULL },
    { "greet_pause", CALL, "server.greeting_pause", NULL, greet_pause },
    { "ldap_routing", NOT, NULL, NO_LDAP, NULL },
    { "limited_masquerade", CALL, "route.masquerade_local", NULL, limited_masquerade },
    { "local_lmtp", NOT, NULL, NO_LOCAL_PROGRAM, NULL },
    { "local_no_masquerade", NOT, NULL, "senders are rewritten when mail comes in, wherever it "
                                        "goes", NULL },
    { "local_procmail", CALL, "route.local_delivery", NULL, local_procmail },
    { "lookupdotdomain", SAME, NULL, "keys of access that begin with a dot are found", NULL },
    { "loose_relay_check", SAME, NULL, "an address has one domain: % and ! are not looked into",
      NULL },
    { "mailertable", MAP, "route.mailertable", NULL, NULL },
    { "masquerade_entire_domain", LATER, "route.masquerade_domains",
      "the domains below those of MASQUERADE_DOMAIN too", NULL },
    { "masquerade_envelope", ON, "route.masquerade_envelope", NULL, NULL },
    { "msp", NOT, NULL, "programs hand in mail through submit.socket: a submit.mc is not needed",
      NULL },
    { "mtamark", NOT, NULL, NO_BLOCKLISTS, NULL },
    { "no_default_msa", LATER, NULL, "no listener on port 587", NULL },
    { "nocanonify", CALL, "route.canonical", NULL, nocanonify },
    { "nopercenthack", SAME, NULL, "% in a local part has no meaning", NULL },
    { "notsticky", SAME, NULL, "local users are looked up in the same way with and without a "
                               "domain", NULL },
    { "nouucp", SAME, NULL, NO_UUCP, NULL },
    { "nullclient", CALL, "route.smart_host", NULL, nullclient },
    { "prefixmod", NOT, NULL, "keys of access have sendmail's own tags only", NULL },
    { "preserve_local_plus_detail", NOT, NULL, "user+detail is delivered to user", NULL },
    { "preserve_luser_host", NOT, NULL, "unknown local users are refused", NULL },
    { "promiscuous_relay", CALL, "relay.from", NULL, promiscuous_relay },
    { "queuegroup", NOT, NULL, "there is one queue", NULL },
    { "ratecontrol", NOT, NULL, NO_RATES, NULL },
    { "redirect", SAME, NULL, "an alias to user@new.example.REDIRECT is always answered with 551",
      NULL },
    { "relay_based_on_MX", NOT, NULL, "relay.domains names the domains: whoever sets an MX "
                                      "does not decide", NULL },
    { "relay_entire_domain", LATER, NULL, "the domain of this host and all below it", NULL },
    { "relay_hosts_only", LATER, NULL, "RELAY_DOMAIN without the domains below", NULL },
    { "relay_local_from", NOT, NULL, "anybody can write a local sender", NULL },
    { "relay_mail_from", NOT, NULL, "anybody can write any sender", NULL },
    { "require_rdns", NOT, NULL, "clients without a name are taken", NULL },
    { "rhsbl", NOT, NULL, NO_BLOCKLISTS, NULL },
    { "smarttable", MAP, "route.smarttable", NULL, NULL },
    { "smrsh", NOT, NULL, "programs run without a shell", NULL },
    { "stickyhost", NOT, NULL, "there is no LOCAL_RELAY", NULL },
    { "sts", NOT, NULL, "MTA-STS is not in this release", NULL },
    { "tls_failures", NOT, NULL, "deliver.tls says what happens without TLS", NULL },
    { "tls_session_features", NOT, NULL, "deliver.tls and tls of a listener are for all peers",
      NULL },
    { "use_client_ptr", NOT, NULL, "clients are known by their address and verified name", NULL },
    { "use_ct_file", CALL, "submit.trusted_users", NULL, trusted_file },
    { "use_cw_file", LATER, "route.local", "the names in confCW_FILE", NULL },
    { "uucpdomain", NOT, NULL, NO_UUCP, NULL },
    { "virtuser_entire_domain", NOT, NULL, "virtusertable has keys for each domain", NULL },
    { "virtusertable", MAP, "route.virtusertable", NULL, NULL },
    { "vnet", NOT, NULL, NO_UUCP, NULL },
};
enum { FEATURES = sizeof features / sizeof *features };

static void trusted_user(struct mc *m, struct span word, struct mc_place place, const char *what)
{
    mc_add(m, "submit.trusted_users", word, place, what);
}

static void trusted_file(struct mc *m, const struct mc_call *c)
{
    const struct mc_macro *file = m4_find(m, SPAN("confCT_FILE"));
    mc_derive_item(m, "submit.trusted_users", SPAN("root"), "sendmail's default");
    mc_derive_item(m, "submit.trusted_users", SPAN("daemon"), "sendmail's default");
    mc_words_of_file(m, file && !file->gone ? file->value : SPAN("/etc/mail/trusted-users"), true,
                     c->place, "FEATURE(use_ct_file)", trusted_user);
}

static const struct feature *feature_find(struct span name)
{
    for (size_t i = 0; i < FEATURES; i++)
        if (span_eq(span_str(features[i].name), name))
            return &features[i];
    return NULL;
}

static void unknown_feature(struct mc *m, const struct mc_call *c)
{
    const char *names[FEATURES];
    struct span name = arg(c, 1);
    for (size_t i = 0; i < FEATURES; i++)
        names[i] = features[i].name;
    mc_say(m, CONFIG_ERROR, c->place, name, config_suggest_among(names, FEATURES, name),
           "sendmail has no FEATURE \"%.*s\"", SPAN_ARG(span_to(name, 60)));
}

static void check_order(struct mc *m, const struct mc_call *c, const struct feature *f)
{
    if (m->mailer.n)
        mc_say(m, CONFIG_NOTICE, c->place, span_str(f->name), NULL,
               "FEATURE(%s) stands behind MAILER(%.*s): sendmail wants it before", f->name,
               SPAN_ARG(span_to(m->mailer, 60)));
    if (m->n_features < sizeof m->features / sizeof *m->features)
        m->features[m->n_features++] = (struct mc_feature_seen){ f->name, c->place };
}

void mc_feature(struct mc *m, const struct mc_call *c)
{
    const struct feature *f = feature_find(arg(c, 1));
    if (!f) {
        unknown_feature(m, c);
        return;
    }
    const char *what = mc_format(m, "FEATURE(%s)", f->name).p;
    struct span spec = SPAN_NONE;
    check_order(m, c, f);
    switch (f->how) {
    case SAME: mc_same(m, what, f->text, c->place); break;
    case NOT: mc_not_carried(m, c->place, f->name, f->text); break;
    case ON: mc_set(m, f->option, SPAN("on"), c->place, what); break;
    case CALL: f->fn(m, c); break;
    case LATER: break;
    case MAP: spec = mc_map(m, arg(c, 2), f->name, c->place); break;
    }
    if (spec.n)
        mc_set_text(m, f->option, spec, c->place, what);
}

bool mc_has_feature(const struct mc *m, const char *name)
{
    for (size_t i = 0; i < m->n_features; i++)
        if (strcmp(m->features[i].name, name) == 0)
            return true;
    return false;
}

struct mc_place mc_feature_place(const struct mc *m, const char *name)
{
    for (size_t i = 0; i < m->n_features; i++)
        if (strcmp(m->features[i].name, name) == 0)
            return m->features[i].place;
    return (struct mc_place){ 0 };
}

bool mc_table_feature(size_t i, struct mc_row *row_r)
{
    if (i >= FEATURES)
        return false;
    *row_r = (struct mc_row){ .name = features[i].name, .option = features[i].option,
                              .text = features[i].text, .nothing = features[i].how == SAME };
    return true;
}
