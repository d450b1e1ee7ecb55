/* Address test mode: one line in, what sendmail prints for it out. */
#include "cli/bt.h"

#include "base/must.h"

#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

/* --- macros and classes --- */

/* "m", or "{name}"; what stands behind it is *rest_r. */
static struct span macro_name(struct span s, struct span *rest_r)
{
    size_t close = span_find(s, '}');
    if (s.n && s.p[0] == '{' && close < s.n) {
        *rest_r = span_from(s, close + 1);
        return span_of(s.p + 1, close - 1);
    }
    *rest_r = span_from(s, 1);
    return span_to(s, 1);
}

static void put_list(struct bt_session *s, const struct config_texts *list)
{
    for (size_t i = 0; i < list->n; i++)
        buf_printf(&s->out, "%.*s\n", SPAN_ARG(list->v[i]));
}

static void put_class(struct bt_session *s, struct span name)
{
    const struct config *cfg = ask_config(s->ask);
    if (span_eq(name, SPAN("w"))) {
        const char *w = bt_macro(s, SPAN("w"));
        buf_printf(&s->out, "%.*s\n", SPAN_ARG(cfg->hostname));
        if (w && !span_eq(span_str(w), cfg->hostname))
            buf_printf(&s->out, "%s\n", w);
        put_list(s, &cfg->route.local);
    } else if (span_eq(name, SPAN("R"))) {
        put_list(s, &cfg->relay.domains);
    }
    for (size_t i = 0; i < s->class_count; i++)
        if (span_eq(name, span_str(s->classes[i].name)))
            buf_printf(&s->out, "%s\n", s->classes[i].value);
}

static void dollar_line(struct bt_session *s, struct span line)
{
    struct span rest;
    if (line.n > 1 && line.p[1] == '=') {
        put_class(s, macro_name(span_from(line, 2), &rest));
        return;
    }
    struct span name = macro_name(span_from(line, 1), &rest);
    const char *value = bt_macro(s, name);
    if (name.n)
        buf_printf(&s->out, "%s\n", value ? value : "Undefined");
}

/* .Dmvalue .Ccvalue */
static void dot_line(struct bt_session *s, struct span line)
{
    char c = line.n > 1 ? line.p[1] : 0;
    struct span value, name = macro_name(span_from(line, 2), &value);
    if (c == 'D' && name.n) {
        bt_macro_set(s, name, span_trim(value));
    } else if (c == 'C' && name.n && name.n < sizeof s->classes->name) {
        value = span_trim(value);
        if (s->class_count == BT_MACROS)
            return;
        struct bt_macro *m = &s->classes[s->class_count++];
        snprintf(m->name, sizeof m->name, "%.*s", SPAN_ARG(name));
        m->value = must_strndup(value.p, value.n);
    } else {
        buf_printf(&s->out, "Unknown \".\" command %.*s\n", SPAN_ARG(line));
    }
}

/* --- =S, =M --- */

static void equals_line(struct bt_session *s, struct span line)
{
    static const struct {
        const char *name, *does;
    } rules[] = {
        { "canonify", "the address is found in what was written; < @ domain > in focus" },
        { "Canonify2", "localhost and own literals become $j; the domain its canonical name" },
        { "parse", "Parse0, ParseLocal, Parse1" },
        { "Parse0", "addresses that make no sense are refused; our own name is taken off" },
        { "ParseLocal", "user@host.REDIRECT: 551" },
        { "Parse1", "literals; virtusertable; local; mailertable; smarttable; smart host; MX" },
        { "Mailertable", "full.name .name .parent ... \".\"" },
        { "SmartTable", "sender@domain @domain, \"@\" for the null sender" },
        { "MailerToTriple", "mailer:host becomes $# mailer $@ host $: user" },
        { "final", "< > and the dot behind a canonical name are taken off" },
    };
    static const char *const mailers[] = {
        "local): to users, programs and files of this host",
        "relay): P=[IPC] EHLO, to the hosts of a table", "esmtp): P=[IPC] EHLO",
        "smtp): P=[IPC] HELO only", "smtp8): P=[IPC] as esmtp", "dsmtp): P=[IPC] as esmtp",
        "lmtp): P=[IPC] LMTP, to a host or a socket", "*error*): refused or put off, with a text",
        "discard): accepted and thrown away", "hold): waits until somebody releases it",
    };
    struct span name = span_trim(span_from(line, 2));
    char c = line.n > 1 ? line.p[1] : 0;
    if (c == 'S') {
        for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
            if (!name.n || span_eq(name, span_str(rules[i].name)))
                buf_printf(&s->out, "S%s: %s\n", rules[i].name, rules[i].does);
    } else if (c == 'M') {
        for (size_t i = 0; i < sizeof mailers / sizeof *mailers; i++)
            buf_printf(&s->out, "mailer %zu (%s\n", i, mailers[i]);
    } else {
        buf_printf(&s->out, "Unknown \"=\" command %.*s\n", SPAN_ARG(line));
    }
}

/* --- /mx /canon /map --- */

static void mx_line(struct bt_session *s, struct span host)
{
    json_t *row = host.n ? bt_dns(s, host, "MX") : NULL;
    const json_t *records = json_object_get(row, "records");
    struct span status = row_text(row, "status");
    struct span last = SPAN_NONE;
    size_t n = json_array_size(records);
    if (!host.n) {
        buf_putz(&s->out, "Usage: /mx address\n");
    } else if (n == 1 && !row_text(json_array_get(records, 0), "name").n) {
        buf_printf(&s->out, "getmxrr(%.*s) returns null MX (See RFC7505)\n", SPAN_ARG(host));
    } else if (span_eq(status, SPAN("nodata"))) { /* no MX: the host itself */
        buf_printf(&s->out, "getmxrr(%.*s) returns 1 value(s):\n\t%.*s.\n", SPAN_ARG(host),
                   SPAN_ARG(host));
    } else {
        bool none = span_eq(status, SPAN("nxdomain")) || (!row && ask_exit(s->ask) == EX_USAGE);
        buf_printf(&s->out, "getmxrr(%.*s) returns %d value(s):\n", SPAN_ARG(host),
                   n || none ? (int)n : -1);
    }
    /* By preference; equals in the order of the answer. */
    for (int64_t pref = 0, next; last.n == 0 && n && pref <= UINT16_MAX; pref = next) {
        next = UINT16_MAX + 1;
        for (size_t i = 0; i < n; i++) {
            const json_t *r = json_array_get(records, i);
            int64_t p = row_int(r, "pref");
            if (p == pref && row_text(r, "name").n)
                buf_printf(&s->out, "\t%.*s.\n", SPAN_ARG(row_text(r, "name")));
            if (p > pref && p < next)
                next = p;
        }
    }
    json_decref(row);
}

static void canon_line(struct bt_session *s, struct span host)
{
    struct span canon;
    if (!host.n)
        buf_putz(&s->out, "Usage: /canon address\n");
    else if (s->bt.world.canon(s, host, &canon) != BT_CANON_GOOD)
        canon = host;
    if (host.n)
        buf_printf(&s->out, "getcanonname(%.*s) returns %.*s\n", SPAN_ARG(host), SPAN_ARG(canon));
}

static void map_line(struct bt_session *s, struct span args)
{
    struct span map = span_word(&args), key = span_trim(args), value = SPAN_NONE;
    if (!map.n || !key.n) {
        buf_putz(&s->out, "Usage: /map mapname key\n");
        return;
    }
    int found, status = 0;
    if (span_eq(map, SPAN("host")))
        found = s->bt.world.canon(s, key, &value) == BT_CANON_GOOD;
    else
        found = bt_find(s, map, key, &value);
    if (found == -1)
        status = EX_TEMPFAIL;
    else if (found == 0 && span_eq(map, SPAN("aliases")))
        status = EX_NOHOST;
    if (found == -2)
        buf_printf(&s->out, "Map named \"%.*s\" not found\n", SPAN_ARG(map));
    else if (found == 1)
        buf_printf(&s->out, "map_lookup: %.*s (%.*s) returns %.*s (0)\n", SPAN_ARG(map),
                   SPAN_ARG(key), SPAN_ARG(value));
    else
        buf_printf(&s->out, "map_lookup: %.*s (%.*s) no match (%d)\n", SPAN_ARG(map),
                   SPAN_ARG(key), status);
}

static void tryflags_line(struct bt_session *s, struct span flags)
{
    for (size_t i = 0; i < flags.n; i++) {
        switch (ascii_upper(flags.p[i])) {
        case 'H': s->header = true; break;
        case 'E': s->header = false; break;
        case 'S': s->sender_side = true; break;
        case 'R': s->sender_side = false; break;
        default: break;
        }
    }
    if (!flags.n)
        buf_putz(&s->out, "Usage: /tryflags [Hh|Ee][Ss|Rr]\n");
}

/* --- lines --- */

static void put_help(struct bt_session *s)
{
    buf_putz(&s->out,
             "Help for test mode:\n"
             "\n"
             "?                this help message.\n"
             ".Dmvalue         define macro `m' to `value'; .Dfuser@domain sets the sender.\n"
             ".Ccvalue         add `value' to class `c'.\n"
             "=Sruleset        what the indicated ruleset does.\n"
             "=M               the known mailers.\n"
             "-ddebug-spec     accepted.\n"
             "$m               print the value of macro $m.\n"
             "$=c              print the contents of class $=c.\n"
             "/mx host         returns the MX records for `host'.\n"
             "/parse address   parse address, returning the value of crackaddr, and\n"
             "                 the parsed address.\n"
             "/try mailer addr rewrite address into the form it will have when\n"
             "                 presented to the indicated mailer.\n"
             "/tryflags flags  set flags used by parsing: `H' or `E' (header/envelope),\n"
             "                 `S' or `R' (sender/recipient).\n"
             "/canon hostname  try to canonify hostname.\n"
             "/map mapname key look up `key' in the indicated `mapname'.\n"
             "/quit            quit address test mode.\n"
             "rules addr       run the indicated address through the named rules.\n"
             "                 Rules can be a comma separated list of rules: 3,0 user@domain.\n"
             "\n"
             "`postern route' tells the same in the gateway's own words.\n");
}

/* False: the session is over. */
static bool slash_line(struct bt_session *s, struct span line)
{
    struct span args = span_from(line, 1), verb = span_word(&args);
    args = span_trim(args);
    if (span_ieq(verb, SPAN("quit")))
        return false;
    if (span_ieq(verb, SPAN("mx")))
        mx_line(s, args);
    else if (span_ieq(verb, SPAN("canon")))
        canon_line(s, args);
    else if (span_ieq(verb, SPAN("map")))
        map_line(s, args);
    else if (span_ieq(verb, SPAN("parse")) && args.n)
        bt_parse_line(s, args);
    else if (span_ieq(verb, SPAN("parse")))
        buf_putz(&s->out, "Usage: /parse address\n");
    else if (span_ieq(verb, SPAN("try")))
        bt_try_line(s, args);
    else if (span_ieq(verb, SPAN("tryflags")))
        tryflags_line(s, args);
    else
        buf_printf(&s->out, "Unknown \"/\" command %.*s\n", SPAN_ARG(line));
    return true;
}

static void rules_line(struct bt_session *s, struct span line)
{
    struct span rest = line, sets = span_word(&rest);
    rest = span_trim(rest);
    if (rest.n)
        bt_rule_line(s, sets, rest);
    else
        buf_putz(&s->out, "No address!\n");
}

static bool take_line(struct bt_session *s, struct span line)
{
    line = span_trim_lines(line);
    switch (line.n ? line.p[0] : '#') {
    case '#':
    case '-': return true; /* -d: there is nothing more to be traced */
    case '?': put_help(s); return true;
    case '.': dot_line(s, line); return true;
    case '=': equals_line(s, line); return true;
    case '$': dollar_line(s, line); return true;
    case '/': return slash_line(s, line);
    default: rules_line(s, line); return true;
    }
}

/* -d0.1 */
static void put_identity(struct bt_session *s)
{
    buf_printf(&s->out,
               "Version Postern " POSTERN_VERSION "\n\n"
               "============ SYSTEM IDENTITY (after readcf) ============\n"
               "      (short domain name) $w = %s\n"
               "  (canonical domain name) $j = %s\n"
               "         (subdomain name) $m = %s\n"
               "              (node name) $k = %s\n"
               "========================================================\n\n",
               bt_macro(s, SPAN("w")), bt_macro(s, SPAN("j")), bt_macro(s, SPAN("m")),
               bt_macro(s, SPAN("k")));
}

static bool wants_identity(int argc, char *const *argv)
{
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i];
        if (strncmp(a, "-d", 2) == 0 && (a[2] == 0 || strncmp(a + 2, "0.", 2) == 0))
            return true;
    }
    return false;
}

int cli_bt(const char *config, const char *sender, int argc, char *const *argv)
{
    struct bt_session s;
    char line[BT_LINE_MAX];
    int rc = bt_session_open(&s, "sendmail -bt", config, sender);
    bool more = rc == EX_OK;
    if (more && wants_identity(argc, argv))
        put_identity(&s);
    if (more)
        buf_putz(&s.out, "ADDRESS TEST MODE (ruleset 3 NOT automatically invoked)\n"
                         "Enter <ruleset> <address>\n");
    while (more) {
        buf_putz(&s.out, "> ");
        more = cli_print(&s.out) && fgets(line, sizeof line, stdin) &&
               take_line(&s, span_str(line));
        arena_reset(s.bt.arena);
    }
    cli_print(&s.out);
    rc = rc ? rc : s.status;
    bt_session_close(&s);
    return rc;
}
