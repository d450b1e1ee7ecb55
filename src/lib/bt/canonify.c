/* Rule sets 3 (canonify) and 4 (final): from text to an address in focus, and back. The comments
 * name the rules of sendmail's cf/m4/proto.m4 by what they do. */
#include "bt/inside.h"

struct focus bt_focus(struct toks t)
{
    for (size_t i = 0; i + 1 < t.n; i++) {
        if (!toks_is(t, i, "<") || !toks_is(t, i + 1, "@"))
            continue;
        struct toks rest = toks_from(t, i + 2);
        size_t end = toks_find(rest, ">");
        if (end < rest.n)
            return (struct focus){ true, toks_to(t, i), toks_to(rest, end),
                                   toks_from(rest, end + 1) };
    }
    return (struct focus){ .before = t };
}

struct toks bt_unfocus(struct bt *t, const struct focus *f)
{
    if (!f->found)
        return f->before;
    struct toks at = toks_cat(t->arena, f->before, bt_text(t, "< @"));
    struct toks host = toks_cat(t->arena, at, f->host);
    return toks_cat(t->arena, toks_cat(t->arena, host, bt_text(t, ">")), f->after);
}

struct toks bt_host(const struct focus *f, bool *dotted_r)
{
    *dotted_r = f->host.n > 1 && toks_is(f->host, f->host.n - 1, ".");
    return toks_to(f->host, f->host.n - *dotted_r);
}

/* --- Canonify2 --- */

static struct toks with_host(struct bt *t, struct focus *f, struct toks host, bool dot)
{
    f->host = dot ? toks_cat(t->arena, host, bt_text(t, ".")) : host;
    return bt_unfocus(t, f);
}

static bool is_localhost(struct bt *t, struct span host)
{
    size_t dot = span_find(t->hostname, '.');
    struct span domain = span_from(t->hostname, dot + 1);
    if (span_ieq(host, SPAN("localhost")))
        return true;
    return domain.n && host.n == domain.n + 10 && span_istarts(host, SPAN("localhost.")) &&
           span_ieq(span_from(host, 10), domain);
}

static struct toks ask_name(struct bt *t, struct focus *f, struct toks host, bool dotted)
{
    struct span canon, name = toks_lower(t->arena, host);
    if (t->world.is_local(t->world.ctx, name))
        return with_host(t, f, host, true);
    switch (t->world.canon(t->world.ctx, name, &canon)) {
    case BT_CANON_GOOD:
        if (!span_ieq(canon, name))
            host = toks_of(t->arena, canon);
        return with_host(t, f, host, true);
    case BT_CANON_LATER: t->later = true; break;
    case BT_CANON_UNKNOWN: break;
    }
    return with_host(t, f, host, dotted || t->world.is_virtual(t->world.ctx, name));
}

struct toks bt_canonify2(struct bt *t, struct toks in)
{
    struct focus f = bt_focus(in);
    bool dotted;
    struct toks host = bt_host(&f, &dotted);
    if (!f.found || !host.n)
        return in;
    struct span name = toks_lower(t->arena, host);
    bool literal = toks_is(host, 0, "[");
    if (is_localhost(t, name) || (literal && t->world.is_local(t->world.ctx, name)))
        return with_host(t, &f, toks_of(t->arena, t->hostname), true);
    if (literal)
        return in;
    if (toks_is(host, host.n - 1, "UUCP") || toks_is(host, host.n - 1, "REDIRECT"))
        return with_host(t, &f, host, true);
    return ask_name(t, &f, host, dotted);
}

/* --- canonify --- */

static struct toks focused(struct bt *t, struct toks before, struct toks host)
{
    struct focus f = { true, before, host, { NULL, 0 } };
    return bt_call(t, "Canonify2", bt_canonify2, bt_unfocus(t, &f));
}

/* "phrase: a, b;" loses its name and its end. */
static struct toks strip_group(struct toks in)
{
    size_t colon = toks_find(in, ":");
    bool double_colon = toks_is(in, colon + 1, ":");
    bool include = colon == 0 && toks_is(in, 1, "include");
    if (!toks_is(in, 0, "@") && toks_find(in, "<") == in.n && toks_find(in, "[") == in.n &&
        colon < in.n && !double_colon && !include)
        in = toks_from(in, colon + 1);
    while (in.n && toks_is(in, in.n - 1, ";"))
        in.n--;
    return in;
}

/* The innermost <>, as RFC 733 has it. */
static struct toks strip_angles(struct toks in)
{
    size_t open = toks_rfind(in, "<");
    if (open < in.n)
        in = toks_from(in, open + 1);
    return toks_to(in, toks_find(in, ">"));
}

/* "@a,@b:user@c" becomes "user@c". */
static struct toks strip_route(struct toks in)
{
    for (;;) {
        size_t comma = toks_find(in, ","), colon = toks_find(in, ":");
        size_t at = comma < in.n ? comma : colon;
        if (!toks_is(in, 0, "@") || at + 1 >= in.n || at < 2)
            return in;
        in = toks_from(in, at + 1);
    }
}

static struct toks bang(struct bt *t, struct toks in, size_t at)
{
    struct toks host = toks_to(in, at), user = toks_from(in, at + 1);
    bool domain = host.n > 2 && toks_is(host, host.n - 2, ".");
    if (!domain)
        host = toks_cat(t->arena, host, bt_text(t, ". UUCP"));
    return focused(t, user, host);
}

struct toks bt_canonify(struct bt *t, struct toks in)
{
    if (!in.n)
        return bt_text(t, "< @ >");
    struct focus f = bt_focus(in);
    if (f.found && f.host.n && f.before.n)
        return bt_call(t, "Canonify2", bt_canonify2, in);
    in = strip_group(in);
    if (!in.n)
        return bt_text(t, ": ; < @ >");
    in = strip_angles(in);
    if (!in.n)
        return bt_text(t, "< @ >");
    in = strip_route(in);
    size_t at = toks_rfind(in, "@");
    if (at < in.n)
        return focused(t, toks_to(in, at), toks_from(in, at + 1));
    at = toks_find(in, "!");
    if (at > 0 && at + 1 < in.n)
        return bang(t, in, at);
    at = toks_rfind(in, "%");
    if (at < in.n)
        return focused(t, toks_to(in, at), toks_from(in, at + 1));
    return bt_call(t, "Canonify2", bt_canonify2, in);
}

/* --- final --- */

struct toks bt_final(struct bt *t, struct toks in)
{
    struct focus f = bt_focus(in);
    bool dotted;
    struct toks host = bt_host(&f, &dotted);
    if (!f.found)
        return in;
    if (!host.n)
        return toks_to(in, 0);
    if (toks_is(host, 0, "*LOCAL*"))
        host = toks_of(t->arena, t->hostname);
    if (host.n > 2 && toks_is(host, host.n - 1, "UUCP")) /* u@h.UUCP is written h!u */
        return toks_cat(t->arena,
                        toks_cat(t->arena, toks_to(host, host.n - 2), bt_text(t, "!")), f.before);
    struct toks at = toks_cat(t->arena, f.before, bt_text(t, "@"));
    return toks_cat(t->arena, toks_cat(t->arena, at, host), f.after);
}
