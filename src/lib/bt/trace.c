/* The lines themselves, the names of the rule sets, and those of the mailers. */
#include "bt/inside.h"

/* A trace line: name, "input" or "returns", the words. */
static void bt_line(struct bt *t, const char *name, const char *what, struct toks words)
{
    buf_printf(t->out, "%-16.16s %7s:", name, what);
    toks_put(t->out, words);
    buf_putc(t->out, '\n');
}

struct toks bt_call(struct bt *t, const char *name, bt_rule_fn *fn, struct toks in)
{
    bt_line(t, name, "input", in);
    if (t->depth >= BT_DEPTH_MAX) {
        buf_printf(t->out, "rewrite: excessive recursion (max %d), ruleset %s\n", BT_DEPTH_MAX,
                   name);
        return bt_text(t, "$# error $@ 5.3.5 $: \"554 rules loop\"");
    }
    t->depth++;
    struct toks out = fn(t, in);
    t->depth--;
    bt_line(t, name, "returns", out);
    return out;
}

struct toks bt_text(struct bt *t, const char *fmt, ...)
{
    struct buf b;
    va_list ap;
    buf_init(&b, 4096);
    va_start(ap, fmt);
    buf_vprintf(&b, fmt, ap);
    va_end(ap);
    struct span text = arena_dup(t->arena, buf_span(&b));
    buf_free(&b);
    return toks_of(t->arena, text);
}

bool bt_triple(struct toks t, struct bt_triple *r)
{
    *r = (struct bt_triple){ .mailer = { NULL, 0 } };
    if (!bt_resolved(t))
        return false;
    size_t user = toks_find(t, "$:"), host = toks_find(t, "$@");
    if (host > user)
        host = user;
    r->mailer = toks_to(toks_from(t, 1), host - 1);
    r->host = host < user ? toks_to(toks_from(t, host + 1), user - host - 1) : r->host;
    r->user = toks_from(t, user + 1);
    return true;
}

/* --- the mailers' own rule sets --- */

static struct toks unchanged(struct bt *t, struct toks in)
{
    (void)t;
    return in;
}

/* Addresses without a domain get one. */
static struct toks masq_smtp(struct bt *t, struct toks in)
{
    struct focus f = bt_focus(in);
    return f.found ? in : toks_cat(t->arena, in, bt_text(t, "< @ *LOCAL* >"));
}

static struct toks masq(struct bt *t, struct toks in, bool header, bool sender)
{
    struct span plain = toks_join(t->arena, bt_final(t, in));
    struct span new = t->world.rewrite(t->world.ctx, header, sender, plain);
    if (span_eq(new, plain))
        return in;
    struct toks words = toks_of(t->arena, new);
    size_t at = toks_rfind(words, "@");
    struct focus f = { at < words.n, toks_to(words, at), toks_from(words, at + 1), { NULL, 0 } };
    if (f.found)
        f.host = toks_cat(t->arena, f.host, bt_text(t, "."));
    return bt_unfocus(t, &f);
}
static struct toks masq_env(struct bt *t, struct toks in) { return masq(t, in, false, true); }
static struct toks masq_hdr(struct bt *t, struct toks in) { return masq(t, in, true, true); }
static struct toks masq_hdr_rcpt(struct bt *t, struct toks in) { return masq(t, in, true, false); }

static struct toks qualify(struct bt *t, struct toks in)
{
    struct focus f = bt_focus(in);
    if (f.found && toks_is(f.host, 0, "*LOCAL*"))
        f.host = toks_cat(t->arena, toks_of(t->arena, t->hostname), bt_text(t, "."));
    return bt_unfocus(t, &f);
}

static struct toks env_to_smtp(struct bt *t, struct toks in)
{
    in = bt_call(t, "PseudoToReal", unchanged, in);
    return qualify(t, bt_call(t, "MasqSMTP", masq_smtp, in));
}

static struct toks env_from_smtp(struct bt *t, struct toks in)
{
    in = bt_call(t, "PseudoToReal", unchanged, in);
    in = bt_call(t, "MasqSMTP", masq_smtp, in);
    return qualify(t, bt_call(t, "MasqEnv", masq_env, in));
}

static struct toks hdr_from_smtp(struct bt *t, struct toks in)
{
    in = bt_call(t, "PseudoToReal", unchanged, in);
    in = bt_call(t, "MasqSMTP", masq_smtp, in);
    return bt_call(t, "MasqHdr", masq_hdr, in);
}

static struct toks hdr_to_smtp(struct bt *t, struct toks in)
{
    in = bt_call(t, "PseudoToReal", unchanged, in);
    in = bt_call(t, "MasqSMTP", masq_smtp, in);
    return bt_call(t, "MasqHdr", masq_hdr_rcpt, in);
}

/* allmasquerade is in force for this address: else header recipients go as envelope ones. */
static bool masquerades_rcpt(struct bt *t, struct toks in)
{
    struct toks whole = qualify(t, masq_smtp(t, in));
    struct span plain = toks_join(t->arena, bt_final(t, whole));
    return !span_eq(plain, t->world.rewrite(t->world.ctx, true, false, plain));
}

/* Mail that stays here loses our own name. */
static struct toks to_l(struct bt *t, struct toks in)
{
    struct focus f = bt_focus(in);
    bool dotted;
    struct toks host = bt_host(&f, &dotted);
    if (f.found && t->world.is_local(t->world.ctx, toks_lower(t->arena, host)))
        return f.before;
    return in;
}

struct toks bt_mailer_rules(struct bt *t, struct span mailer, bool header, bool sender,
                            struct toks in)
{
    bool local = span_ieq(mailer, SPAN("local"));
    in = bt_call(t, sender ? "1" : "2", unchanged, in);
    if (local)
        in = bt_call(t, sender ? (header ? "HdrFromL" : "EnvFromL")
                               : (header ? "HdrToL" : "EnvToL"), to_l, in);
    else if (header && sender)
        in = bt_call(t, "HdrFromSMTP", hdr_from_smtp, in);
    else if (header && masquerades_rcpt(t, in))
        in = bt_call(t, "HdrFromSMTP", hdr_to_smtp, in);
    else if (sender)
        in = bt_call(t, "EnvFromSMTP", env_from_smtp, in);
    else if (span_ieq(mailer, SPAN("relay")))
        in = bt_call(t, "MasqSMTP", masq_smtp, in);
    else
        in = bt_call(t, "EnvToSMTP", env_to_smtp, in);
    return bt_call(t, "final", bt_final, in);
}

/* --- by name --- */

bool bt_rules(struct bt *t, struct span name, struct toks in, struct toks *out_r)
{
    static const struct {
        const char *number, *name; /* what may be written; the name is printed */
        bt_rule_fn *fn;
    } sets[] = {
        { "3", "canonify", bt_canonify },         { "0", "parse", bt_parse },
        { "96", "Canonify2", bt_canonify2 },      { "4", "final", bt_final },
        { NULL, "Parse0", bt_parse0 },            { NULL, "Parse1", bt_parse1 },
        { "98", "ParseLocal", bt_parse_local },   { "90", "Mailertable", bt_mailertable },
        { NULL, "SmartTable", bt_smarttable },    { "95", "MailerToTriple", bt_mailer_to_triple },
        { "97", "Recurse", bt_recurse },          { NULL, "CanonLocal", bt_canon_local },
        { "1", "1", unchanged },                  { "2", "2", unchanged },
        { "5", "localaddr", unchanged },          { NULL, "EnvToSMTP", env_to_smtp },
        { NULL, "EnvFromSMTP", env_from_smtp },   { NULL, "HdrFromSMTP", hdr_from_smtp },
        { NULL, "MasqSMTP", masq_smtp },          { NULL, "PseudoToReal", unchanged },
        { NULL, "MasqEnv", masq_env },            { NULL, "MasqHdr", masq_hdr },
        { NULL, "EnvToL", to_l },                 { NULL, "HdrToL", to_l },
    };
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        bool number = sets[i].number && span_eq(name, span_str(sets[i].number));
        if (!number && !span_eq(name, span_str(sets[i].name)))
            continue;
        struct bt_triple r;
        *out_r = bt_call(t, sets[i].name, sets[i].fn, in);
        t->error |= bt_triple(*out_r, &r) && toks_is(r.mailer, 0, "error");
        return true;
    }
    return false;
}
