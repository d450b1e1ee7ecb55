/* Rule sets on an address; and where the gateway decides otherwise, one line that says so. */
#include "cli/bt.h"
#include "cli/term.h"

#include "dns/hop.h"

#include <stdio.h>
#include <sysexits.h>

/* --- results --- */

/* "user < @ gmail . com . >" written out: "user@gmail.com". */
static struct span plain(struct bt *t, struct toks words)
{
    struct toks out = { NULL, 0 };
    size_t open = toks_find(words, "<");
    if (!toks_is(words, open + 1, "@"))
        return toks_join(t->arena, words);
    size_t end = toks_find(toks_from(words, open), ">") + open;
    struct toks host = toks_to(toks_from(words, open + 1), end - open - 1);
    out = toks_cat(t->arena, toks_to(words, open), host);
    if (toks_is(out, out.n - 1, "."))
        out.n--;
    return toks_join(t->arena, toks_cat(t->arena, out, toks_from(words, end + 1)));
}

/* An error's text keeps its blanks. */
static struct span spaced(struct bt *t, struct toks words)
{
    struct buf b;
    if (words.n == 1 && words.v[0].n > 1 && words.v[0].p[0] == '"')
        return span_of(words.v[0].p + 1, words.v[0].n - 2);
    buf_init(&b, 8192);
    for (size_t i = 0; i < words.n; i++) {
        if (i && words.v[i].p != words.v[i - 1].p + words.v[i - 1].n)
            buf_putc(&b, ' ');
        buf_puts(&b, words.v[i]);
    }
    struct span text = arena_dup(t->arena, buf_span(&b));
    buf_free(&b);
    return text;
}

struct bt_result bt_result_of(struct bt *t, struct toks out)
{
    struct bt_triple r;
    struct bt_result res = { SPAN_NONE, SPAN_NONE, SPAN_NONE };
    if (!bt_triple(out, &r))
        return res;
    res.mailer = toks_join(t->arena, r.mailer);
    res.host = toks_join(t->arena, r.host);
    bool error = span_ieq(res.mailer, SPAN("error"));
    res.user = error ? spaced(t, r.user) : plain(t, r.user);
    size_t plus = span_find(res.user, '+');
    if (span_ieq(res.mailer, SPAN("local")) && !res.host.n && plus > 0 && plus < res.user.n) {
        res.host = span_from(res.user, plus + 1);
        res.user = span_to(res.user, plus);
    }
    if (error)
        res.mailer = SPAN("*error*");
    return res;
}

static void bt_result_put(struct buf *out, const struct bt_result *r)
{
    buf_printf(out, "mailer %.*s, ", SPAN_ARG(r->mailer));
    if (r->host.n)
        buf_printf(out, "host %.*s, ", SPAN_ARG(r->host));
    buf_printf(out, "user %.*s", SPAN_ARG(r->user));
}

/* The text behind the reply code and D.S.N. of an error's user part. */
static struct span bt_error_text(struct span user)
{
    struct span rest = user, word = span_word(&rest);
    if (word.n == 3 && ascii_isdigit(word.p[0]) && ascii_isdigit(word.p[1]))
        user = span_trim(rest);
    return user;
}

/* --- where the gateway differs --- */

static bool same_hops(struct span host, struct span ours)
{
    struct dns_hop hops[DNS_HOPS_MAX];
    struct buf b;
    struct err e;
    size_t n;
    if (span_ends(host, SPAN(".")))
        host.n--;
    if (!dns_hops_parse(host, hops, &n, &e))
        return false;
    buf_init(&b, DNS_HOPS_TEXT_MAX);
    dns_hops_put(&b, hops, n);
    bool same = span_eq(buf_span(&b), ours);
    buf_free(&b);
    return same;
}

static bool same(const struct bt_result *r, const struct story *st)
{
    const struct story_target *t = st->n == 1 ? &st->targets[0] : NULL;
    const json_t *dest = t ? json_object_get(t->route, "dest") : NULL;
    struct span mailer = row_text(dest, "mailer");
    struct span hops = t ? row_text(t->route, "hops") : SPAN_NONE;
    bool error = span_eq(r->mailer, SPAN("*error*"));
    if (!row_true(st->accept, "accepted") || error)
        return error == (!t || span_eq(mailer, SPAN("error")));
    if (!t) /* an alias with several members: 3,0 does not look there */
        return span_eq(r->mailer, SPAN("local"));
    if (row_text(dest, "own_listener").n)
        return false;
    if (span_eq(r->mailer, SPAN("local")))
        return !hops.n || row_true(t->given, "expanded");
    return span_eq(r->mailer, mailer) && same_hops(r->host, hops);
}

static void put_ours(struct buf *out, const struct story *st)
{
    const struct story_target *t = &st->targets[0];
    const json_t *dest = st->n ? json_object_get(t->route, "dest") : NULL;
    if (!row_true(st->accept, "accepted")) {
        buf_putz(out, "the gateway refuses it: ");
        term_put_text(out, span_str(st->why));
        return;
    }
    if (st->n != 1) {
        buf_printf(out, "it becomes %zu addresses; see postern route", st->n);
        return;
    }
    buf_putz(out, "the gateway decides ");
    term_put_text(out, row_text(t->route, "value"));
    buf_putz(out, ", by ");
    term_put_text(out, row_text(dest, "matched"));
    if (row_text(dest, "own_listener").n) {
        buf_putz(out, "; that is our own listener ");
        term_put_text(out, row_text(dest, "own_listener"));
        buf_putz(out, ", the mail waits here");
    }
}

/* The domain as it was written, and what the rules made of it. */
static bool renamed(struct span addr, struct span made)
{
    struct span was = span_from(addr, span_rfind(addr, '@'));
    struct span is = span_from(made, span_rfind(made, '@'));
    if (span_ends(was, SPAN(".")))
        was.n--;
    return was.n > 1 && is.n > 1 && !span_ieq(was, is);
}

static void say_difference(struct bt_session *s, struct span addr, const struct bt_result *r,
                           struct span canonical)
{
    struct story st;
    char *rcpt = strndup(addr.p, addr.n), *from = strndup(s->bt.sender.p ? s->bt.sender.p : "",
                                                          s->bt.sender.n);
    struct story_question q = { .sender = from, .rcpt = rcpt, .no_lookup = true };
    struct buf *out = &s->out;
    if (story_ask(s->ask, &s->args, &q, &st)) {
        bool moved = renamed(addr, canonical) && row_true(st.accept, "accepted");
        if (moved) {
            buf_putz(out, "postern: the recipient stays ");
            term_put_text(out, addr);
            buf_putz(out, "; ");
        }
        if (!same(r, &st) && !moved)
            buf_putz(out, "postern: ");
        if (!same(r, &st) || moved) {
            put_ours(out, &st);
            buf_putc(out, '\n');
        }
    }
    story_free(&st);
    free(rcpt);
    free(from);
}

/* --- "3,0 user@domain" --- */

/* Without <>, comments and quotes around it: only such an address is asked of the gateway. */
static bool is_plain(struct span addr)
{
    return addr.n && !memchr(addr.p, '<', addr.n) && !memchr(addr.p, '(', addr.n) &&
           !memchr(addr.p, ' ', addr.n) && !memchr(addr.p, ',', addr.n) &&
           !memchr(addr.p, ':', addr.n);
}

void bt_rule_line(struct bt_session *s, struct span sets, struct span addr)
{
    struct bt *t = &s->bt;
    size_t comma = span_rfind(addr, ',');
    bool canonified = false;
    struct span name = SPAN_NONE, rest = sets, canonical = SPAN_NONE;
    /* Of several addresses the last one is what is left at the end. */
    struct toks words = toks_of(t->arena, comma < addr.n ? span_from(addr, comma + 1) : addr);
    while (rest.n) {
        name = span_to(rest, span_find(rest, ','));
        rest = span_from(rest, name.n);
        t->later = false;
        if (!bt_rules(t, name, words, &words)) {
            buf_printf(&s->out, "Undefined ruleset %.*s%.*s\n", SPAN_ARG(name), SPAN_ARG(rest));
            return;
        }
        if (t->later)
            buf_printf(&s->out, "== Ruleset %.*s (%.*s) status %d\n", SPAN_ARG(rest),
                       SPAN_ARG(name), EX_TEMPFAIL);
        if (span_eq(name, SPAN("3")) || span_eq(name, SPAN("canonify"))) {
            canonified = true;
            canonical = plain(t, words);
        }
        rest = span_from(rest, 1);
    }
    struct bt_result r = bt_result_of(t, words);
    if (canonified && r.mailer.n && is_plain(addr))
        say_difference(s, addr, &r, canonical);
}

/* --- /parse --- */

/* What stands around the address, which itself is $g. */
static void put_cracked(struct buf *out, struct span addr)
{
    size_t open = span_rfind(addr, '<'), close = span_find(addr, '>'), paren = span_find(addr, '(');
    if (open < close && close < addr.n) {
        buf_puts(out, span_to(addr, open + 1));
        buf_putz(out, "$g");
        buf_puts(out, span_from(addr, close));
    } else {
        buf_putz(out, "$g");
        if (paren < addr.n)
            buf_printf(out, " %.*s", SPAN_ARG(span_from(addr, paren)));
    }
}

static bool known_mailer(struct span name)
{
    static const char *const known[] = { "local", "relay", "esmtp", "smtp", "smtp8", "dsmtp",
                                         "lmtp",  "error", "hold",  "discard" };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (span_ieq(name, span_str(known[i])))
            return true;
    return false;
}

void bt_parse_line(struct bt_session *s, struct span addr)
{
    struct bt *t = &s->bt;
    struct toks out;
    struct bt_triple triple;
    buf_putz(&s->out, "Cracked address = ");
    put_cracked(&s->out, addr);
    buf_printf(&s->out, "\nParsing %s %s address\n", s->header ? "header" : "envelope",
               s->sender_side ? "sender" : "recipient");
    bt_rules(t, SPAN("3"), toks_of(t->arena, addr), &out);
    bt_rules(t, SPAN("0"), out, &out);
    struct bt_result r = bt_result_of(t, out);
    if (!bt_triple(out, &triple))
        return;
    if (span_eq(r.mailer, SPAN("*error*"))) {
        buf_printf(&s->out, "%.*s... %.*s\n", SPAN_ARG(addr), SPAN_ARG(bt_error_text(r.user)));
        s->status = EX_DATAERR;
    } else if (!known_mailer(r.mailer)) {
        buf_printf(&s->out, "554 5.3.5 buildaddr: unknown mailer %.*s\n", SPAN_ARG(r.mailer));
        s->status = EX_SOFTWARE;
        return;
    } else {
        struct toks user = bt_mailer_rules(t, r.mailer, s->header, s->sender_side, triple.user);
        struct span plus = r.user;
        r.user = span_ieq(r.mailer, SPAN("local")) ? plus : toks_join(t->arena, user);
    }
    bt_result_put(&s->out, &r);
    buf_putc(&s->out, '\n');
}

/* --- /try MAILER ADDRESS --- */

void bt_try_line(struct bt_session *s, struct span args)
{
    struct bt *t = &s->bt;
    struct toks words;
    struct span mailer = span_word(&args), addr = span_trim(args);
    if (!mailer.n || !addr.n) {
        buf_putz(&s->out, "Usage: /try mailer address\n");
        return;
    }
    if (!known_mailer(mailer)) {
        buf_printf(&s->out, "Unknown mailer %.*s\n", SPAN_ARG(mailer));
        return;
    }
    buf_printf(&s->out, "Trying %s %s address %.*s for mailer %.*s\n",
               s->header ? "header" : "envelope", s->sender_side ? "sender" : "recipient",
               SPAN_ARG(addr), SPAN_ARG(mailer));
    t->later = false;
    bt_rules(t, SPAN("3"), toks_of(t->arena, addr), &words);
    words = bt_mailer_rules(t, mailer, s->header, s->sender_side, words);
    buf_printf(&s->out, "Rcode = %d, addr = %.*s\n", t->later ? EX_TEMPFAIL : 0,
               SPAN_ARG(toks_join(t->arena, words)));
}
