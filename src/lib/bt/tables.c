/* The rule sets that look into tables: Mailertable, SmartTable, MailerToTriple, CanonLocal, and
 * virtusertable's part of Parse1. */
#include "bt/inside.h"

/* "< VALUE > ADDRESS" taken apart. */
static bool unglue(struct toks in, struct toks *value_r, struct toks *addr_r)
{
    size_t end = toks_find(in, ">");
    *value_r = toks_to(toks_from(in, 1), end ? end - 1 : 0);
    *addr_r = toks_from(in, end + 1);
    return toks_is(in, 0, "<") && end < in.n;
}

/* %0..%3 and %% of a value. */
static struct toks fill(struct bt *t, struct span value, const struct span args[4])
{
    struct buf b;
    buf_init(&b, 8192);
    for (size_t i = 0; i < value.n; i++) {
        char c = i + 1 < value.n && value.p[i] == '%' ? value.p[i + 1] : 0;
        if (c >= '0' && c <= '3')
            buf_puts(&b, args[c - '0']);
        else if (c == '%')
            buf_putc(&b, '%');
        else
            buf_putc(&b, value.p[i]);
        i += c == '%' || (c >= '0' && c <= '3');
    }
    struct span text = arena_dup(t->arena, buf_span(&b));
    buf_free(&b);
    return toks_of(t->arena, text);
}

static bool names_mailer(struct toks v)
{
    return v.n > 1 && !toks_is(v, 0, "[") && toks_is(v, 1, ":");
}

static struct toks glue(struct bt *t, struct toks front, struct toks value, struct toks addr)
{
    struct toks head = toks_cat(t->arena, front, bt_text(t, "<"));
    head = toks_cat(t->arena, toks_cat(t->arena, head, value), bt_text(t, ">"));
    return toks_cat(t->arena, head, addr);
}

static const struct toks none = { NULL, 0 };

/* --- Mailertable: "a . b . < c . d > addr": a . b were tried, .c.d comes next --- */

struct toks bt_mailertable(struct bt *t, struct toks in)
{
    size_t open = toks_find(in, "<");
    struct toks front = toks_to(in, open), name, addr;
    struct span value;
    if (!unglue(toks_from(in, open), &name, &addr))
        return in;
    size_t dot = toks_find(name, ".");
    if (dot == 1 && dot + 1 < name.n) {
        struct toks parent = toks_from(name, dot);
        struct toks part = toks_cat(t->arena, front, toks_to(name, 1));
        struct span args[4] = { [0] = SPAN_NONE, [1] = toks_join(t->arena, part) };
        int found = t->world.find(t->world.ctx, "mailertable", toks_lower(t->arena, parent),
                                  &value);
        struct toks words = found == 1 ? fill(t, value, args) : none;
        if (found == 1 && names_mailer(words))
            return bt_call(t, "MailerToTriple", bt_mailer_to_triple,
                           glue(t, none, words, addr));
        part = toks_cat(t->arena, part, bt_text(t, "."));
        return bt_call(t, "Mailertable", bt_mailertable,
                       glue(t, part, toks_from(parent, 1), addr));
    }
    struct span args[4] = { [0] = SPAN_NONE,
                            [1] = toks_join(t->arena, toks_cat(t->arena, front, name)) };
    if (t->world.find(t->world.ctx, "mailertable", SPAN("."), &value) == 1) {
        struct toks words = fill(t, value, args);
        if (names_mailer(words))
            return bt_call(t, "MailerToTriple", bt_mailer_to_triple,
                           glue(t, none, words, addr));
    }
    return addr;
}

/* --- SmartTable --- */

struct toks bt_smarttable(struct bt *t, struct toks in)
{
    struct span f = toks_lower(t->arena, toks_of(t->arena, t->sender)), value;
    size_t at = span_rfind(f, '@');
    int found = f.n ? t->world.find(t->world.ctx, "smarttable", f, &value) : 0;
    if (found == 0 && at < f.n)
        found = t->world.find(t->world.ctx, "smarttable", span_from(f, at), &value);
    if (found == 0 && !f.n)
        found = t->world.find(t->world.ctx, "smarttable", SPAN("@"), &value);
    if (found != 1)
        return in;
    return bt_call(t, "MailerToTriple", bt_mailer_to_triple,
                   glue(t, none, toks_of(t->arena, value), in));
}

/* --- MailerToTriple --- */

static struct toks triple(struct bt *t, struct toks mailer, struct toks host, struct toks user)
{
    struct toks out = toks_cat(t->arena, bt_text(t, "$#"), mailer);
    out = toks_cat(t->arena, toks_cat(t->arena, out, bt_text(t, "$@")), host);
    return toks_cat(t->arena, toks_cat(t->arena, out, bt_text(t, "$:")), user);
}

/* "error:5.7.1:550 text", "error:nouser:550 text", "error:text" */
static struct toks refuse(struct bt *t, struct toks rest)
{
    struct toks error = bt_text(t, "error");
    size_t colon = toks_find(rest, ":");
    bool dsn = colon == 5 && toks_is(rest, 1, ".") && toks_is(rest, 3, ".");
    if ((dsn || colon == 1) && colon + 1 < rest.n)
        return triple(t, error, toks_to(rest, colon), toks_from(rest, colon + 1));
    return toks_cat(t->arena, bt_text(t, "$# error $:"), rest);
}

struct toks bt_canon_local(struct bt *t, struct toks in)
{
    struct toks user, addr, local = bt_text(t, "local");
    bool dotted;
    if (!unglue(in, &user, &addr))
        return in;
    struct focus f = bt_focus(addr);
    struct toks host = bt_host(&f, &dotted), whole = addr;
    if (f.found)
        whole = toks_cat(t->arena, toks_cat(t->arena, f.before, bt_text(t, "@")), host);
    if (!user.n)
        return triple(t, local, whole, f.before);
    return triple(t, local, whole, toks_to(user, toks_find(user, "@")));
}

struct toks bt_mailer_to_triple(struct bt *t, struct toks in)
{
    struct toks value, addr;
    if (!unglue(in, &value, &addr) || !value.n)
        return addr;
    bool mailer = names_mailer(value);
    struct toks rest = toks_from(value, 2);
    if (mailer && toks_is(value, 0, "error"))
        return refuse(t, rest);
    if (mailer && toks_is(value, 0, "local"))
        return bt_call(t, "CanonLocal", bt_canon_local, glue(t, none, rest, addr));
    if (!mailer && t->world.is_local(t->world.ctx, toks_lower(t->arena, value)))
        return addr; /* a smart host that is this host */
    if (!mailer)
        return triple(t, bt_text(t, "relay"), value, addr);
    size_t at = toks_find(rest, "@");
    struct focus f = bt_focus(addr);
    if (at > 0 && at + 1 < rest.n && f.found) { /* esmtp:user@[host]: that user there */
        f = (struct focus){ true, toks_to(rest, at), toks_from(rest, at + 1), none };
        return triple(t, toks_to(value, 1), f.host, bt_unfocus(t, &f));
    }
    return triple(t, toks_to(value, 1), rest, addr);
}

/* --- virtusertable --- */

struct toks bt_recurse(struct bt *t, struct toks in)
{
    struct toks c = bt_call(t, "canonify", bt_canonify, in);
    return bt_call(t, "parse", bt_parse, c);
}

struct virtual {
    struct span user, base, detail, domain; /* user = base[+detail] */
    bool plus;
};

static int find_one(struct bt *t, struct span user, const char *middle, struct span domain,
                    struct span *value_r)
{
    struct buf b;
    buf_init(&b, 2048);
    buf_printf(&b, "%.*s%s@%.*s", SPAN_ARG(user), middle, SPAN_ARG(domain));
    int found = t->world.find(t->world.ctx, "virtusertable", buf_span(&b), value_r);
    buf_free(&b);
    return found;
}

/* user+detail@dom user++@dom user+*@dom user@dom ++@dom +*@dom @dom. *whole_r: %1 is all of the
 * user, its detail too. */
static int find_virtual(struct bt *t, const struct virtual *v, struct span *value_r,
                        bool *whole_r)
{
    const struct {
        struct span user;
        const char *middle;
        bool use;
    } forms[] = {
        { v->base, "++", v->detail.n > 0 }, { v->base, "+*", v->plus },
        { v->base, "", v->plus },           { SPAN_NONE, "++", v->detail.n > 0 },
        { SPAN_NONE, "+*", v->plus },       { SPAN_NONE, "", true },
    };
    int found = find_one(t, v->user, "", v->domain, value_r);
    *whole_r = found != 0 || !v->plus;
    for (size_t i = 0; i < sizeof forms / sizeof *forms && found == 0; i++)
        if (forms[i].use)
            found = find_one(t, forms[i].user, forms[i].middle, v->domain, value_r);
    return found;
}

bool bt_virtual(struct bt *t, const struct focus *f, struct toks *out)
{
    bool dotted;
    struct toks host = bt_host(f, &dotted);
    struct virtual v = { .user = toks_lower(t->arena, f->before),
                         .domain = toks_lower(t->arena, host) };
    struct span value, written = toks_join(t->arena, f->before);
    if (!dotted || (!t->world.is_virtual(t->world.ctx, v.domain) &&
                    !t->world.is_local(t->world.ctx, v.domain)))
        return false;
    size_t plus = span_find(v.user, '+');
    v.plus = plus > 0 && plus < v.user.n;
    v.base = span_to(v.user, plus);
    v.detail = span_from(v.user, plus + 1);
    bool whole;
    if (find_virtual(t, &v, &value, &whole) != 1)
        return false;
    struct span args[4] = { written, whole ? written : span_to(written, plus),
                            span_from(written, plus + 1), span_from(written, plus) };
    struct toks words = fill(t, value, args);
    struct toks rest = toks_from(words, 2);
    if (names_mailer(words) && toks_is(words, 0, "error") && !toks_is(rest, 1, ".") && rest.n > 1)
        *out = triple(t, bt_text(t, "error"), toks_to(rest, 1),
                      toks_from(rest, toks_is(rest, 1, ":") ? 2 : 1));
    else if (names_mailer(words) && toks_is(words, 0, "error"))
        *out = refuse(t, rest);
    else
        *out = bt_call(t, "Recurse", bt_recurse, words);
    return true;
}
