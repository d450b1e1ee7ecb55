/* Rule set 0 (parse): from an address in focus to mailer, host and user. */
#include "bt/inside.h"

/* --- Parse0: addresses that make no sense, and our own name taken off --- */

static struct toks wrong(struct bt *t, const char *code, const char *text)
{
    return bt_text(t, "$# error $@ %s $: \"%s\"", code, text);
}

static bool empty_label(struct toks host)
{
    for (size_t i = 0; i + 1 < host.n; i++)
        if (toks_is(host, i, ".") && toks_is(host, i + 1, "."))
            return true;
    return toks_is(host, 0, ".");
}

static bool bad_form(struct bt *t, const struct focus *f, struct toks *out)
{
    const char *code = "5.1.3", *text = NULL;
    size_t close = toks_find(f->host, "]");
    bool literal = toks_is(f->host, 0, "[") && close < f->host.n;
    if (!f->before.n)
        text = "553 User address required";
    else if (!f->host.n)
        text = "553 Hostname required";
    else if (toks_is(f->before, 0, ":") && toks_find(f->before, ";") < f->before.n)
        text = "553 List:; syntax illegal for recipient addresses";
    else if (literal && close + 1 < f->host.n && !toks_is(f->host, close + 1, ":"))
        code = "5.1.2", text = "553 Invalid address";
    else if (!literal && toks_find(f->host, ":") < f->host.n)
        text = "553 Colon illegal in host name part";
    else if (empty_label(f->host))
        code = "5.1.2", text = "553 Invalid host name";
    else if (toks_find(f->host, "@") < f->host.n)
        code = "5.1.2", text = "553 Invalid route address";
    else if (toks_find(f->before, "@") < f->before.n || toks_find(f->before, ",") < f->before.n)
        text = "553 Invalid route address";
    if (text)
        *out = wrong(t, code, text);
    return text != NULL;
}

static bool routed(struct toks user)
{
    return toks_find(user, "%") < user.n || toks_find(user, "!") < user.n ||
           toks_find(user, "@") < user.n;
}

static struct toks dequote(struct bt *t, struct toks user)
{
    struct span s = user.n == 1 ? user.v[0] : SPAN_NONE;
    if (s.n < 2 || s.p[0] != '"' || s.p[s.n - 1] != '"')
        return user;
    struct span *word = arena_alloc(t->arena, sizeof *word);
    if (!word)
        return user;
    *word = span_of(s.p + 1, s.n - 2);
    return (struct toks){ word, word->n ? 1 : 0 };
}

/* The host is one of ours: its words, in lower case, without the dot. */
static bool is_ours(struct bt *t, const struct focus *f)
{
    bool dotted;
    struct toks host = bt_host(f, &dotted);
    return dotted && t->world.is_local(t->world.ctx, toks_lower(t->arena, host));
}

static struct toks again(struct bt *t, struct toks in)
{
    struct toks c = bt_call(t, "canonify", bt_canonify, in);
    return bt_call(t, "Parse0", bt_parse0, c);
}

struct toks bt_parse0(struct bt *t, struct toks in)
{
    struct focus f = bt_focus(in);
    struct toks out = in;
    if (f.found && !f.before.n && !f.host.n) /* the null address */
        return in;
    if (f.found && bad_form(t, &f, &out))
        return out;
    if (f.found && is_ours(t, &f)) {
        f.before = dequote(t, f.before);
        if (!f.before.n)
            return wrong(t, "5.1.3", "553 User address required");
        return routed(f.before) ? again(t, f.before) : bt_unfocus(t, &f);
    }
    if (f.found)
        return in;
    out = dequote(t, in);
    if (!out.n)
        return wrong(t, "5.1.3", "553 User address required");
    return routed(out) ? again(t, out) : out;
}

/* --- ParseLocal: FEATURE(redirect) --- */

struct toks bt_parse_local(struct bt *t, struct toks in)
{
    struct focus f = bt_focus(in);
    bool dotted;
    struct toks host = bt_host(&f, &dotted);
    if (!f.found || host.n < 3 || !toks_is(host, host.n - 1, "REDIRECT"))
        return in;
    struct toks there = toks_cat(t->arena, bt_text(t, "@"), toks_to(host, host.n - 2));
    struct toks user = toks_cat(t->arena, bt_text(t, "<"), f.before);
    user = toks_cat(t->arena, toks_cat(t->arena, user, there), bt_text(t, ">"));
    return toks_cat(t->arena,
                    bt_text(t, "$# error $@ 5.1.1 $: \"551 User has moved; please try \""), user);
}

/* --- Parse1 --- */

static struct toks to_esmtp(struct bt *t, const struct focus *f, struct toks in)
{
    struct toks host = toks_cat(t->arena, bt_text(t, "$# esmtp $@"), f->host);
    return toks_cat(t->arena, toks_cat(t->arena, host, bt_text(t, "$:")), in);
}

static struct toks to_local(struct bt *t, struct toks user)
{
    return toks_cat(t->arena, bt_text(t, "$# local $:"), user);
}

/* user@[192.0.2.1]: there, or by the smart host; no table is asked. */
static struct toks literal(struct bt *t, const struct focus *f, struct toks in)
{
    struct toks out = bt_call(t, "ParseLocal", bt_parse_local, in);
    if (bt_resolved(out) || !t->smart_host.n)
        return bt_resolved(out) ? out : to_esmtp(t, f, in);
    struct toks s = toks_of(t->arena, t->smart_host);
    bool mailer = s.n > 2 && !toks_is(s, 0, "[") && toks_is(s, 1, ":");
    struct toks name = mailer ? toks_to(s, 1) : bt_text(t, "esmtp");
    struct toks host = mailer ? toks_from(s, 2) : s;
    out = toks_cat(t->arena, toks_cat(t->arena, bt_text(t, "$#"), name), bt_text(t, "$@"));
    out = toks_cat(t->arena, toks_cat(t->arena, out, host), bt_text(t, "$:"));
    return toks_cat(t->arena, out, in);
}

/* A call with "< value >" glued in front of the address. */
static struct toks glued(struct bt *t, const char *name, bt_rule_fn *fn, struct toks value,
                         struct toks in)
{
    struct toks head = toks_cat(t->arena, bt_text(t, "<"), value);
    head = toks_cat(t->arena, head, bt_text(t, ">"));
    return bt_call(t, name, fn, toks_cat(t->arena, head, in));
}

/* "MAILER:..." and not "[a]:..." */
static bool names_mailer(struct toks v)
{
    return v.n > 1 && !toks_is(v, 0, "[") && toks_is(v, 1, ":");
}

static struct toks by_mailertable(struct bt *t, struct toks host, struct toks in)
{
    struct span value;
    int found = t->world.find(t->world.ctx, "mailertable", toks_lower(t->arena, host), &value);
    struct toks words = found == 1 ? toks_of(t->arena, value) : host;
    if (found == 1 && names_mailer(words))
        return glued(t, "MailerToTriple", bt_mailer_to_triple, words, in);
    return glued(t, "Mailertable", bt_mailertable, words, in);
}

struct toks bt_parse1(struct bt *t, struct toks in)
{
    struct focus f = bt_focus(in);
    struct toks out;
    bool dotted;
    if (!f.found)
        return to_local(t, in);
    struct toks host = bt_host(&f, &dotted);
    if (toks_is(host, 0, "[") && !is_ours(t, &f))
        return literal(t, &f, in);
    if (t->world.has(t->world.ctx, "virtusertable") && bt_virtual(t, &f, &out))
        return out;
    if (is_ours(t, &f))
        return to_local(t, f.before);
    if (t->world.has(t->world.ctx, "mailertable")) {
        out = by_mailertable(t, host, in);
        if (bt_resolved(out))
            return out;
    }
    if (t->world.has(t->world.ctx, "smarttable")) {
        out = bt_call(t, "SmartTable", bt_smarttable, in);
        if (bt_resolved(out))
            return out;
    }
    out = glued(t, "MailerToTriple", bt_mailer_to_triple, toks_of(t->arena, t->smart_host), in);
    return bt_resolved(out) ? out : to_esmtp(t, &f, in);
}

struct toks bt_parse(struct bt *t, struct toks in)
{
    struct toks out = bt_call(t, "Parse0", bt_parse0, in);
    struct focus f = bt_focus(out);
    if (f.found && !f.before.n && !f.host.n)
        return to_local(t, bt_text(t, "< @ >"));
    if (!bt_resolved(out))
        out = bt_call(t, "ParseLocal", bt_parse_local, out);
    if (!bt_resolved(out))
        out = bt_call(t, "Parse1", bt_parse1, out);
    return out;
}
