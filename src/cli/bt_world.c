/* What the rules ask of the world, asked of the gateway (or of the files): tables, names, DNS. */
#include "cli/bt.h"

#include "base/must.h"

#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

/* sendmail's names of maps beside ours. */
static struct span table_name(struct span name)
{
    static const char *const names[][2] = { { "virtuser", "virtusertable" },
                                            { "generics", "genericstable" },
                                            { "alias", "aliases" },
                                            { "smart", "smarttable" } };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (span_ieq(name, span_str(names[i][0])))
            return span_str(names[i][1]);
    return name;
}

int bt_find(struct bt_session *s, struct span table, struct span key, struct span *value_r)
{
    struct ask_args args = { .n = 0 };
    ask_arg(&args, "table", table_name(table));
    if (key.p)
        ask_arg(&args, "key", key);
    json_t *row = ask_row(s->ask, "map", &args);
    int found = !row                     ? (ask_exit(s->ask) == EX_USAGE ? -2 : -1)
                : row_true(row, "in_use") ? (int)row_int(row, "found")
                                          : -2;
    if (found == 1)
        *value_r = arena_dup(s->bt.arena, row_text(row, "value"));
    json_decref(row);
    return found;
}

static bool has(void *ctx, const char *table)
{
    static const char *const names[] = { "mailertable", "smarttable", "virtusertable" };
    struct bt_session *s = ctx;
    struct span unused;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(names[i], table) != 0)
            continue;
        if (s->has[i] < 0)
            s->has[i] = bt_find(s, span_str(table), SPAN_NONE, &unused) != -2;
        return s->has[i];
    }
    return false;
}

static int find(void *ctx, const char *table, struct span key, struct span *value_r)
{
    int found = bt_find(ctx, span_str(table), key, value_r);
    return found == -2 ? 0 : found;
}

json_t *bt_dns(struct bt_session *s, struct span name, const char *type)
{
    struct ask_args args = { .n = 0 };
    ask_arg(&args, "name", name);
    ask_arg(&args, "type", span_str(type));
    return ask_row(s->ask, "ask", &args);
}

/* A CNAME in the answer to any of these renames it; any record means that it is there. */
static enum bt_canon canon(void *ctx, struct span name, struct span *canon_r)
{
    static const char *const types[] = { "MX", "A", "AAAA" };
    struct bt_session *s = ctx;
    enum bt_canon got = BT_CANON_UNKNOWN;
    struct span last = span_from(name, span_rfind(name, '.') == name.n ? 0
                                                                       : span_rfind(name, '.') + 1);
    if (last.n && ascii_isdigit(last.p[0])) /* four numbers: no name */
        return BT_CANON_UNKNOWN;
    for (size_t i = 0; i < 3 && got == BT_CANON_UNKNOWN; i++) {
        json_t *row = bt_dns(s, name, types[i]);
        struct span status = row_text(row, "status");
        if (!row && ask_exit(s->ask) == EX_USAGE)
            break;
        if (span_eq(status, SPAN("records"))) {
            *canon_r = arena_dup(s->bt.arena, row_text(row, "canon"));
            got = BT_CANON_GOOD;
        } else if (!span_eq(status, SPAN("nodata")) && !span_eq(status, SPAN("nxdomain"))) {
            got = BT_CANON_LATER;
        }
        bool nx = span_eq(status, SPAN("nxdomain"));
        json_decref(row);
        if (nx)
            break;
    }
    return got;
}

static bool ours(struct bt_session *s, struct span domain, const char *what)
{
    struct ask_args args = { .n = 0 };
    char addr[ASK_ARG_MAX];
    for (size_t i = 0; i < s->class_count; i++)
        if (strcmp(s->classes[i].name, "w") == 0 && strcmp(what, "local") == 0 &&
            span_ieq(span_str(s->classes[i].value), domain))
            return true;
    snprintf(addr, sizeof addr, "postmaster@%.*s", SPAN_ARG(domain));
    ask_arg(&args, "rcpt", span_str(addr));
    json_t *row = ask_row(s->ask, "ours", &args);
    bool is = row_true(row, what);
    json_decref(row);
    return is;
}
static bool is_local(void *ctx, struct span domain) { return ours(ctx, domain, "local"); }
static bool is_virtual(void *ctx, struct span domain) { return ours(ctx, domain, "virtual"); }

static struct span rewrite(void *ctx, bool header, bool sender, struct span addr)
{
    struct bt_session *s = ctx;
    struct ask_args args = { .n = 0 };
    const char type[] = { header ? 'H' : 'E', sender ? 'S' : 'R', 0 };
    ask_arg(&args, "rcpt", addr);
    ask_arg(&args, "type", span_str(type));
    json_t *row = ask_row(s->ask, "rewrite", &args);
    struct span new = row_text(row, "address");
    new = new.n ? arena_dup(s->bt.arena, new) : addr;
    json_decref(row);
    return new;
}

static struct bt_world bt_session_world(struct bt_session *s)
{
    return (struct bt_world){ has, find, canon, is_local, is_virtual, rewrite, s };
}

/* --- macros --- */

const char *bt_macro(const struct bt_session *s, struct span name)
{
    for (size_t i = 0; i < s->macro_count; i++)
        if (span_eq(name, span_str(s->macros[i].name)))
            return s->macros[i].value;
    return NULL;
}

void bt_macro_set(struct bt_session *s, struct span name, struct span value)
{
    size_t i = 0;
    while (i < s->macro_count && !span_eq(name, span_str(s->macros[i].name)))
        i++;
    if (i == BT_MACROS || name.n >= sizeof s->macros[i].name)
        return;
    if (i == s->macro_count)
        s->macro_count++;
    snprintf(s->macros[i].name, sizeof s->macros[i].name, "%.*s", SPAN_ARG(name));
    free(s->macros[i].value);
    s->macros[i].value = must_strndup(value.p ? value.p : "", value.n);
    struct span kept = span_str(s->macros[i].value);
    if (span_eq(name, SPAN("f")))
        s->bt.sender = kept;
    if (span_eq(name, SPAN("j")))
        s->bt.hostname = kept;
    if (span_eq(name, SPAN("S")))
        s->bt.smart_host = kept;
}

static void set_names(struct bt_session *s, const char *sender)
{
    const struct config *cfg = ask_config(s->ask);
    struct span j = cfg->hostname;
    size_t dot = span_find(j, '.');
    bt_macro_set(s, SPAN("j"), j);
    bt_macro_set(s, SPAN("k"), j);
    bt_macro_set(s, SPAN("w"), span_to(j, dot));
    bt_macro_set(s, SPAN("m"), span_from(j, dot + 1));
    bt_macro_set(s, SPAN("n"), SPAN("MAILER-DAEMON"));
    bt_macro_set(s, SPAN("v"), SPAN("Postern/" POSTERN_VERSION));
    bt_macro_set(s, SPAN("S"), cfg->route.smart_host);
    if (sender)
        bt_macro_set(s, SPAN("f"), span_str(sender));
}

int bt_session_open(struct bt_session *s, const char *verb, const char *config,
                    const char *sender)
{
    *s = (struct bt_session){ .args = { .verb = verb, .config = config ? config : CLI_CONFIG_FILE },
                              .has = { -1, -1, -1, -1 } };
    buf_init(&s->out, 16 << 20);
    s->bt.arena = arena_new(16 << 20);
    s->bt.out = &s->out;
    s->bt.world = bt_session_world(s);
    int rc = ask_open(&s->ask, &s->args);
    if (rc == EX_OK)
        set_names(s, sender);
    return rc == EX_NOINPUT ? EX_OSFILE : rc; /* as sendmail ends without its configuration */
}

void bt_session_close(struct bt_session *s)
{
    for (size_t i = 0; i < s->macro_count; i++)
        free(s->macros[i].value);
    for (size_t i = 0; i < s->class_count; i++)
        free(s->classes[i].value);
    ask_close(&s->ask);
    arena_free(&s->bt.arena);
    buf_free(&s->out);
}
