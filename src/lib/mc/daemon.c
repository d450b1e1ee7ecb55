/* DAEMON_OPTIONS and CLIENT_OPTIONS: "Key=value, Key=value". sendmail looks at the first letter
 * of a key and takes no notice of the rest; here a key is one of the table or a mistake. */
#include "mc/impl.h"

#include "base/num.h"
#include "base/netaddr.h"
#include "config/check.h"
#include "config/table.h"

struct options { /* of one call */
    const struct mc_call *call;
    struct span name, addr, port, family, delivery, modifiers;
};

/* at: where the value goes, or a reason why it goes nowhere. */
static const struct key {
    const char *name;
    size_t at;
    const char *why;
} keys[] = {
    { "Name", offsetof(struct options, name), NULL },
    { "Addr", offsetof(struct options, addr), NULL },
    { "Address", offsetof(struct options, addr), NULL },
    { "Port", offsetof(struct options, port), NULL },
    { "Family", offsetof(struct options, family), NULL },
    { "DeliveryMode", offsetof(struct options, delivery), NULL },
    { "Modifiers", offsetof(struct options, modifiers), NULL },
    { "Modifier", offsetof(struct options, modifiers), NULL },
    { "M", offsetof(struct options, modifiers), NULL },
    { "InputMailFilters", 0, "mail filters (milter) are not in this release" },
    { "Listen", 0, "the queue of connections is as long as the system allows" },
    { "Children", 0, "limits.connections is for all listeners together" },
    { "ReceiveSize", 0, "the system sizes the buffers of a connection" },
    { "SendSize", 0, "the system sizes the buffers of a connection" },
    { "DelayLA", 0, "the load average is not looked at" },
    { "QueueLA", 0, "the load average is not looked at" },
    { "RefuseLA", 0, "the load average is not looked at" },
};
enum { KEYS = sizeof keys / sizeof *keys };

static const struct modifier {
    char letter;
    bool daemon, client;
    const char *why; /* NULL: nothing to carry */
} modifiers[] = {
    { 'a', true, false, "SMTP AUTH is not in this release: relay.from says who may send" },
    { 'b', true, false, "mail goes out from the address the system chooses, or "
                        "deliver.source_address" },
    { 'c', true, false, NULL }, /* host names are never rewritten */
    { 'f', true, false, "senders without a domain are not refused" },
    { 'h', true, true, "EHLO says hostname" },
    { 'r', true, false, NULL }, /* bodies are not looked into */
    { 's', true, false, "TLS from the first byte is not in this release, STARTTLS is" },
    { 'u', true, false, NULL },
    { 'A', true, true, NULL },
    { 'C', true, false, NULL },
    { 'E', true, false, NULL }, /* there is no ETRN */
    { 'O', true, false, "an address that cannot be listened at is an error" },
    { 'S', true, true, "it is said by tls of the listener, or deliver.tls" },
    { 'D', false, true, "it is said by deliver.tls" },
};

static const struct key *key_find(struct span name)
{
    for (size_t i = 0; i < KEYS; i++)
        if (span_ieq(span_str(keys[i].name), name))
            return &keys[i];
    return NULL;
}

static void unknown_key(struct mc *m, const struct mc_call *c, struct span key)
{
    const char *names[KEYS];
    for (size_t i = 0; i < KEYS; i++)
        names[i] = keys[i].name;
    mc_say(m, CONFIG_ERROR, c->place, key, config_suggest_among(names, KEYS, key),
           "%.*s has no key \"%.*s\"", SPAN_ARG(c->v[0]), SPAN_ARG(span_to(key, 60)));
}

static void one_option(struct mc *m, struct options *o, struct span s)
{
    size_t eq = span_find(s, '=');
    struct span key = span_trim_lines(span_to(s, eq));
    struct span value = span_trim_lines(span_from(s, eq + 1));
    const struct key *k = key_find(key);
    if (!k) {
        unknown_key(m, o->call, key);
    } else if (eq == s.n || value.n == 0) {
        mc_say(m, CONFIG_ERROR, o->call->place, key, NULL, "%s has no value: write %s=...",
               k->name, k->name);
    } else if (k->why) {
        mc_say(m, CONFIG_NOTICE, o->call->place, key, NULL, "%s is not carried over: %s", k->name,
               k->why);
    } else {
        *(struct span *)(void *)((char *)o + k->at) = value;
    }
}

static void read_options(struct mc *m, struct options *o)
{
    struct span s = o->call->v[1];
    while (s.n) {
        size_t comma = span_find(s, ',');
        struct span part = span_trim_lines(span_to(s, comma));
        if (part.n)
            one_option(m, o, part);
        s = span_from(s, comma + 1);
    }
}

static void read_modifiers(struct mc *m, const struct options *o, bool client)
{
    for (size_t i = 0; i < o->modifiers.n; i++) {
        const struct modifier *found = NULL;
        for (size_t k = 0; k < sizeof modifiers / sizeof *modifiers; k++)
            if (modifiers[k].letter == o->modifiers.p[i] &&
                (client ? modifiers[k].client : modifiers[k].daemon))
                found = &modifiers[k];
        if (!found)
            mc_say(m, CONFIG_ERROR, o->call->place, o->modifiers, NULL,
                   "there is no modifier \"%c\"",
                   (unsigned char)o->modifiers.p[i] > ' ' && o->modifiers.p[i] < 0x7f
                       ? o->modifiers.p[i] : '?');
        else if (found->why)
            mc_say(m, CONFIG_NOTICE, o->call->place, o->modifiers, NULL,
                   "modifier %c is not carried over: %s", found->letter, found->why);
    }
}

static bool is_inet6(struct mc *m, const struct options *o)
{
    if (span_ieq(o->family, SPAN("inet6")))
        return true;
    if (o->family.n && !span_ieq(o->family, SPAN("inet")))
        mc_say(m, CONFIG_ERROR, o->call->place, o->family, NULL,
               "Family is inet or inet6, not \"%.*s\"", SPAN_ARG(span_to(o->family, 60)));
    return false;
}

/* "smtp", "25": "" when it is neither, which is said. */
static struct span port_of(struct mc *m, const struct options *o)
{
    static const struct {
        const char *name, *port;
    } services[] = {
        { "smtp", "25" }, { "mail", "25" }, { "submission", "587" }, { "msa", "587" },
        { "smtps", "465" }, { "submissions", "465" }, { "urd", "465" },
    };
    uint64_t n;
    for (size_t i = 0; i < sizeof services / sizeof *services; i++)
        if (span_ieq(o->port, span_str(services[i].name)))
            return span_str(services[i].port);
    if (num_upto(o->port, 65535, &n) && n > 0)
        return o->port;
    mc_say(m, CONFIG_ERROR, o->call->place, o->port, NULL,
           "\"%.*s\" is no port: a number, smtp, submission or smtps",
           SPAN_ARG(span_to(o->port, 60)));
    return SPAN_NONE;
}

static struct span listener_name(struct mc *m, struct span wish)
{
    struct err e;
    size_t twins = 0;
    if (wish.n == 0)
        wish = SPAN("Daemon");
    for (size_t i = 0; i < m->n_listeners; i++)
        twins += span_eq(m->listeners[i].name, wish) ||
                 (m->listeners[i].name.n > wish.n && m->listeners[i].name.p[wish.n] == '-' &&
                  span_starts(m->listeners[i].name, wish));
    if (!check_label(wish, &e))
        return mc_format(m, "listener-%zu", m->n_listeners + 1);
    return twins ? mc_format(m, "%.*s-%zu", SPAN_ARG(wish), twins + 1) : wish;
}

void mc_daemon_options(struct mc *m, const struct mc_call *c)
{
    struct options o = { .call = c };
    bool exact = true;
    mc_one_argument(m, c, 1);
    read_options(m, &o);
    read_modifiers(m, &o, false);
    const char *mode = o.delivery.n ? mc_delivery(o.delivery, &exact) : "";
    if (!mode)
        mc_say(m, CONFIG_ERROR, c->place, o.delivery, NULL,
               "DeliveryMode cannot be \"%.*s\": it is one of " MC_DELIVERY_WORDS,
               SPAN_ARG(span_to(o.delivery, 60)));
    if (m->n_listeners == CONFIG_LISTENS_MAX) {
        mc_limit(m, c->place, "it has too many DAEMON_OPTIONS");
        return;
    }
    struct mc_listener made = {
        .inet6 = is_inet6(m, &o), .addr = o.addr, .name = listener_name(m, o.name),
        .port = o.port.n ? port_of(m, &o) : SPAN_NONE, .delivery = span_str(mode),
        .place = c->place, .placed = true,
    };
    m->listeners[m->n_listeners++] = made;
}

void mc_client_options(struct mc *m, const struct mc_call *c)
{
    struct options o = { .call = c };
    mc_one_argument(m, c, 1);
    read_options(m, &o);
    read_modifiers(m, &o, true);
    is_inet6(m, &o);
    if (o.addr.n)
        mc_add(m, "deliver.source_address", o.addr, c->place, "CLIENT_OPTIONS Addr");
    if (o.port.n)
        mc_say(m, CONFIG_NOTICE, c->place, SPAN("Port"), NULL,
               "Port is not carried over: the system chooses the port mail is sent from");
}

/* --- as listeners --- */

static struct span address_of(struct mc *m, const struct mc_listener *l)
{
    struct netaddr a;
    struct span host = l->addr, port = l->port.n ? l->port : SPAN("25");
    bool bracketed = host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']';
    if (bracketed)
        host = span_from(span_to(host, host.n - 1), 1);
    if (span_istarts(host, SPAN("IPv6:")))
        host = span_from(host, 5);
    if (host.n == 0)
        host = l->inet6 ? SPAN("::") : SPAN("0.0.0.0");
    if (!netaddr_parse_ip(host, &a)) {
        mc_say(m, CONFIG_ERROR, l->place, l->addr, NULL,
               "Addr=%.*s is not an address: a name cannot be listened at",
               SPAN_ARG(span_to(l->addr, 60)));
        return SPAN("127.0.0.1:25");
    }
    bool colons = span_find(host, ':') < host.n;
    return mc_format(m, "%s%.*s%s:%.*s", colons ? "[" : "", SPAN_ARG(host), colons ? "]" : "",
                     SPAN_ARG(port));
}

static void default_listener(struct mc *m, const char *name, const char *port)
{
    m->listeners[m->n_listeners++] =
        (struct mc_listener){ .name = span_str(name), .port = span_str(port) };
}

/* sendmail adds port 587 to whatever a file says, and a second instance fights for it. Here a
 * file with listeners of its own has those and no others. */
static void add_defaults(struct mc *m)
{
    bool msa = !mc_has_feature(m, "no_default_msa");
    if (m->n_listeners == 0) {
        default_listener(m, "MTA", "25");
        if (msa)
            default_listener(m, "MSA", "587");
        if (msa && config_report_errors(m->report) == 0)
            mc_say(m, CONFIG_NOTICE, (struct mc_place){ .to = 1 }, SPAN_NONE, NULL,
                   "listens on port 587 too, as sendmail does: FEATURE(`no_default_msa') is not "
                   "in the file, and no DAEMON_OPTIONS");
    } else if (msa && config_report_errors(m->report) == 0) {
        mc_say(m, CONFIG_NOTICE, m->listeners[0].place, SPAN_NONE, NULL,
               "does not listen on port 587, as sendmail would without "
               "FEATURE(`no_default_msa'): a file with DAEMON_OPTIONS has the listeners that "
               "they name; add DAEMON_OPTIONS(`Port=587, Name=MSA, M=E') for it");
    }
}

void mc_listeners(struct mc *m)
{
    add_defaults(m);
    for (size_t i = 0; i < m->n_listeners && !m->stop; i++) {
        const struct mc_listener *l = &m->listeners[i];
        struct span address = mc_quoted(m, address_of(m, l));
        mc_set_for(m, l->name, "listen.address", address, l->place,
                   l->placed ? "DAEMON_OPTIONS" : "sendmail's default");
        if (!l->placed && !m->stop)
            m->items[m->n_items - 1].placed = false;
        if (l->delivery.n)
            mc_set_for(m, l->name, "listen.delivery", l->delivery, l->place, "DeliveryMode");
    }
}
