/* When the whole file is read: what the features, lists and defaults of sendmail come to. */
#include "mc/impl.h"

#include "base/num.h"
#include "config/table.h"

/* --- maps and lists --- */

/* The path of "hash -o -T<TMPF> /etc/mail/access"; *optional_r: there was a -o. */
static struct span map_path(struct span spec, bool *optional_r)
{
    struct span word;
    *optional_r = false;
    while ((word = span_word(&spec)).n) {
        if (span_eq(word, SPAN("-o")))
            *optional_r = true;
        else if (word.p[0] == '/')
            return word;
    }
    return SPAN_NONE;
}

struct span mc_map(struct mc *m, struct span spec, const char *name, struct mc_place place)
{
    static const char *const types[] = { "hash", "btree", "dbm", "text", "cdb" };
    static const char *const foreign[] = { "ldap", "nis", "nisplus", "sequence", "program",
                                           "socket", "userdb", "dns", "ph", "regex", "null" };
    struct span rest = spec, type = span_word(&rest);
    bool optional = false;
    if (spec.n == 0)
        return mc_format(m, "text:/etc/mail/%s", name);
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        if (span_ieq(type, span_str(foreign[i]))) {
            mc_not_carried(m, place, name, "its map is of a type that is not known here: make "
                                           "a text of it");
            return SPAN_NONE;
        }
    struct span path = map_path(spec.p[0] == '/' ? spec : rest, &optional);
    bool known = spec.p[0] == '/';
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        known |= span_ieq(type, span_str(types[i]));
    if (!known || path.n == 0) {
        mc_say(m, CONFIG_ERROR, place, known ? spec : type,
               known ? NULL : config_suggest_among(types, sizeof types / sizeof *types, type),
               known ? "%s: \"%.*s\" names no file" : "%s: \"%.*s\" is no map of sendmail's",
               name, SPAN_ARG(span_to(spec, 60)));
        return SPAN_NONE;
    }
    if (span_ends(path, SPAN(".db")))
        path.n -= 3;
    return mc_format(m, optional ? "text:-o %.*s" : "text:%.*s", SPAN_ARG(path));
}

void mc_words(struct mc *m, struct span s, struct mc_place place, const char *what,
              mc_word_fn *each)
{
    while (!m->stop && s.n) {
        size_t end = 0;
        while (end < s.n && !strchr(", \t\r\n", s.p[end]))
            end++;
        if (end)
            each(m, mc_dup(m, span_to(s, end)), place, what);
        s = span_from(s, end + 1);
    }
}

void mc_words_of_file(struct mc *m, struct span path, bool must, struct mc_place place,
                      const char *what, mc_word_fn *each)
{
    struct buf text;
    struct err e = { "there are no files here" };
    struct span word = span_word(&path), name;
    if (span_eq(word, SPAN("-o"))) {
        must = false;
        word = span_word(&path);
    }
    name = mc_dup(m, word);
    buf_init(&text, CONFIG_FILE_MAX);
    if (m->world->read && m->world->read(m->world->ctx, name.p, &text, &e)) {
        for (struct span s = buf_span(&text); s.n && !m->stop;) {
            size_t nl = span_find(s, '\n');
            struct span first = mc_first_word(span_to(s, nl));
            if (first.n)
                each(m, mc_dup(m, first), place,
                     mc_format(m, "%s, %.*s", what, SPAN_ARG(name)).p);
            s = span_from(s, nl + 1);
        }
    } else if (must) {
        mc_say(m, CONFIG_ERROR, place, name, NULL, "%s: %s", what, e.text);
    }
    buf_free(&text);
}

/* --- defaults --- */

/* The name that tells instances apart: of the file, without its directory and ending. */
static struct span instance(const struct mc *m)
{
    size_t slash = span_rfind(m->file, '/');
    struct span s = slash < m->file.n ? span_from(m->file, slash + 1) : m->file;
    if (span_ends(s, SPAN(".mc")))
        s.n -= 3;
    for (size_t i = 0; i < s.n; i++)
        if (!ascii_isalnum(s.p[i]) && !strchr("-_.", s.p[i]))
            return SPAN("mc");
    return s.n && s.p[0] != '.' ? s : SPAN("mc");
}

/* The value that is set for an option, with its quotes. */
static struct span set_value(const struct mc *m, const char *section, const char *name)
{
    for (size_t i = 0; i < m->n_items; i++)
        if (m->items[i].section && strcmp(m->items[i].section, section) == 0 &&
            strcmp(m->items[i].name, name) == 0)
            return m->items[i].value;
    return SPAN_NONE;
}

/* What lies beside a place that the file names would be that of another instance too, when both
 * name places in one directory: /mqueue/c* and /mqueue/q*. */
static void own_neighbour(struct mc *m, const char *section, const char *name, const char *option)
{
    struct span path = set_value(m, section, name), id = instance(m);
    if (path.n < 2 || mc_is_set(m, option))
        return;
    path = span_from(span_to(path, path.n - 1), 1); /* the quotes */
    size_t slash = span_rfind(path, '/');
    if (slash < path.n)
        mc_derive_text(m, option, mc_format(m, "%.*s/submit-%.*s", SPAN_ARG(span_to(path, slash)),
                                            SPAN_ARG(id)), "from the name of the file");
}

/* sendmail.mc is the instance of the machine and has the usual places; any other has places of
 * its own name, so that two run side by side. */
static void places(struct mc *m)
{
    static const char why[] = "from the name of the file";
    struct span name = instance(m);
    bool usual = span_eq(name, SPAN("sendmail"));
    if (!usual) {
        own_neighbour(m, "spool", "directories", "submit.directory");
        own_neighbour(m, "control", "socket", "submit.socket");
    }
    if (!mc_is_set(m, "spool.directories"))
        mc_derive_item(m, "spool.directories",
                       usual ? SPAN("/var/spool/postern/q*")
                             : mc_format(m, "/var/spool/postern-%.*s/q*", SPAN_ARG(name)), why);
    if (!mc_is_set(m, "control.socket"))
        mc_derive_text(m, "control.socket",
                       usual ? SPAN("/run/postern/control")
                             : mc_format(m, "/run/postern/%.*s/control", SPAN_ARG(name)), why);
}

static struct span value_of(struct mc *m, const char *name, struct span otherwise)
{
    struct mc_macro *d = m4_find(m, span_str(name));
    return d && !d->gone ? m4_expand(m, d->value, d->place) : otherwise;
}

static void local_names(struct mc *m)
{
    mc_derive_item(m, "route.local", m->hostname, "the name of this host");
    mc_derive_item(m, "route.local", SPAN("localhost"), "sendmail's default");
    if (mc_has_feature(m, "use_cw_file"))
        mc_words_of_file(m, value_of(m, "confCW_FILE", SPAN("/etc/mail/local-host-names")), true,
                         mc_feature_place(m, "use_cw_file"), "FEATURE(use_cw_file)",
                         mc_local_name);
}

static void relaying(struct mc *m)
{
    size_t dot = span_find(m->hostname, '.');
    mc_derive_item(m, "relay.from", SPAN("127.0.0.0/8"), "sendmail's default");
    mc_derive_item(m, "relay.from", SPAN("::1/128"), "sendmail's default");
    if (mc_has_feature(m, "relay_entire_domain") && dot < m->hostname.n)
        mc_relay_name(m, span_from(m->hostname, dot + 1),
                      mc_feature_place(m, "relay_entire_domain"),
                      "FEATURE(relay_entire_domain)");
    mc_words_of_file(m, value_of(m, "confCR_FILE", SPAN("-o /etc/mail/relay-domains")), false,
                     (struct mc_place){ 0 }, "the domains we relay for", mc_relay_name);
}

/* What is set, else the option's default. */
static int64_t duration_of(const struct mc *m, const char *option)
{
    const struct config_option *o = config_option_named(span_str(option));
    int64_t ms = 0;
    struct span value = set_value(m, o->section, o->name);
    num_duration_ms(value.n ? value : span_str(o->fallback), &ms);
    return ms;
}

static void derive_duration(struct mc *m, const char *option, int64_t ms, const char *why)
{
    struct buf b;
    buf_init(&b, 64);
    num_put_duration(&b, ms);
    mc_derive(m, option, mc_dup(m, buf_span(&b)), why);
    buf_free(&b);
}

/* A stage that is longer than a whole attempt would never be reached. */
static void whole_attempt(struct mc *m)
{
    const struct config_option *o = config_option_named(SPAN("timeout.attempt"));
    int64_t longest = 0, usual = 0;
    num_duration_ms(span_str(o->fallback), &usual);
    for (size_t i = 0; i < m->n_items; i++) {
        int64_t ms;
        const struct mc_item *it = &m->items[i];
        if (it->section && strcmp(it->section, "timeout") == 0 &&
            num_duration_ms(it->value, &ms) && ms > longest)
            longest = ms;
    }
    if (longest < usual)
        return;
    derive_duration(m, "timeout.attempt", longest + usual, "longer than the longest stage");
}

/* sendmail takes any two of these; here they have to fit. */
static void fit_retries(struct mc *m)
{
    const char *warn = "retry.warn_after", *first = "retry.first", *max = "retry.max";
    int64_t first_ms = duration_of(m, first), max_ms = duration_of(m, max);
    if (duration_of(m, warn) >= duration_of(m, "retry.expire_after")) {
        mc_drop(m, warn);
        mc_derive(m, warn, SPAN("0"), "mail is returned before a warning would be due");
    }
    if (first_ms > max_ms && !mc_is_set(m, max))
        derive_duration(m, max, first_ms, "not shorter than the first");
    else if (first_ms > max_ms && !mc_is_set(m, first))
        derive_duration(m, first, max_ms, "not longer than the longest");
}

static void usual_values(struct mc *m)
{
    if (!mc_is_set(m, "limits.message_size"))
        mc_derive(m, "limits.message_size", SPAN("0"), "sendmail's default: no limit");
    mc_derive(m, "queue.run", SPAN("0"), "as with -bd and no -q30m: queue runs are asked for");
    mc_derive_text(m, "log.tag", SPAN("sendmail"), "as sendmail without -L");
    mc_derive(m, "log.syslog", SPAN("mail"), "sendmail logs there");
    if (m->local_mailer)
        mc_derive(m, "local.programs", SPAN("on"), "MAILER(local): aliases may name programs");
    if (!mc_is_set(m, "route.aliases"))
        mc_derive_text(m, "route.aliases", SPAN("text:-o /etc/mail/aliases"),
                       "sendmail's default");
}

static void hostname(struct mc *m)
{
    if (m->hostname.n)
        return;
    m->hostname = m->world->hostname;
    if (!mc_is_set(m, "hostname"))
        mc_derive_text(m, "hostname", m->hostname, "of this machine");
    if (span_find(m->hostname, '.') == m->hostname.n && config_report_errors(m->report) == 0)
        mc_say(m, CONFIG_NOTICE, (struct mc_place){ .to = 1 }, SPAN_NONE, NULL,
               "the name of this machine, \"%.*s\", has no domain: define confDOMAIN_NAME",
               SPAN_ARG(span_to(m->hostname, 60)));
}

void mc_settle(struct mc *m)
{
    const struct mc_macro *name = m4_find(m, SPAN("confDOMAIN_NAME"));
    if (!name || name->gone)
        hostname(m);
    mc_defines(m);
    local_names(m);
    mc_lists(m);
    relaying(m);
    mc_listeners(m);
    places(m);
    usual_values(m);
    whole_attempt(m);
    fit_retries(m);
}
