/* sendmail -bv: what would an address become, and by which mailer would it go? Tables, aliases
 * and users are looked at; nobody is connected to. */
#include "cli/bt.h"

#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

/* The words behind "550 5.1.1 <user@dom>... ". */
static struct span reply_words(struct span text)
{
    for (size_t i = 0; i + 4 <= text.n; i++)
        if (span_starts(span_from(text, i), SPAN("... ")))
            return span_from(text, i + 4);
    return text;
}

/* A member of an alias without a domain of its own got ours: it is shown as it was written. */
static struct span written(const struct bt_session *s, const struct story_target *t)
{
    struct span addr = row_text(t->given, "address"), host = s->bt.hostname;
    size_t at = span_rfind(addr, '@');
    bool ours = row_true(t->given, "expanded") && at < addr.n &&
                span_ieq(span_from(addr, at + 1), host);
    return ours ? span_to(addr, at) : addr;
}

static int refused(struct buf *out, const struct story *s, const json_t *reply)
{
    struct span code = row_text(reply, "code"), text = row_text(reply, "text");
    struct span words = reply_words(text);
    if (span_starts(words, SPAN("aliasing/forwarding loop")) ||
        span_starts(words, SPAN("User has moved")))
        buf_printf(out, "%.*s\n", SPAN_ARG(words)); /* these two stand alone */
    else
        buf_printf(out, "%s... %.*s\n", s->rcpt, SPAN_ARG(words));
    if (row_int(reply, "reply") / 100 != 4)
        return story_exit_of(code);
    buf_printf(out, "%s... deliverable: mailer *error*, host %.*s, user %d %.*s\n", s->rcpt,
               SPAN_ARG(code), (int)row_int(reply, "reply"), SPAN_ARG(words));
    return EX_OK;
}

/* "host H, " of the mailers that have one. */
static void put_host(struct buf *out, const struct story_target *t, const struct bt_result *r)
{
    const json_t *dest = json_object_get(t->route, "dest");
    struct span hops = row_text(t->route, "hops"), detail = row_text(dest, "detail");
    if (span_eq(row_text(dest, "matched"), SPAN("mx")) && r->host.n)
        hops = r->host; /* with the dot that says it was found */
    if (hops.n)
        buf_printf(out, "host %.*s, ", SPAN_ARG(hops));
    else if (detail.n)
        buf_printf(out, "host %.*s, ", SPAN_ARG(detail));
}

static int put_target(struct bt_session *s, const struct story *st, const struct story_target *t)
{
    const json_t *dest = json_object_get(t->route, "dest");
    struct span addr = written(s, t), mailer = row_text(dest, "mailer");
    struct span user = row_text(dest, "user");
    struct toks out;
    struct bt_result r = { SPAN_NONE, SPAN_NONE, SPAN_NONE };
    struct buf unused, *kept = s->bt.out;
    if (span_eq(mailer, SPAN("error")))
        return refused(&s->out, st, dest);
    if (row_text(t->route, "hops").n) { /* the host as sendmail writes it */
        buf_init(&unused, 1 << 20);
        s->bt.out = &unused;
        bt_rules(&s->bt, SPAN("3"), toks_of(s->bt.arena, addr), &out);
        bt_rules(&s->bt, SPAN("0"), out, &out);
        r = bt_result_of(&s->bt, out);
        s->bt.out = kept;
        buf_free(&unused);
    }
    bool program = span_eq(mailer, SPAN("prog")), file = span_eq(mailer, SPAN("file"));
    if (!span_eq(mailer, SPAN("local")) || !user.n)
        user = addr;
    if (program)
        buf_printf(&s->out, "\"%.*s\"... deliverable: mailer prog, user \"%.*s\"\n", SPAN_ARG(addr),
                   SPAN_ARG(addr));
    else if (file)
        buf_printf(&s->out, "%.*s... deliverable: mailer *file*, user %.*s\n", SPAN_ARG(addr),
                   SPAN_ARG(addr));
    else {
        buf_printf(&s->out, "%.*s... deliverable: mailer %.*s, ", SPAN_ARG(addr), SPAN_ARG(mailer));
        put_host(&s->out, t, &r);
        buf_printf(&s->out, "user %.*s\n", SPAN_ARG(user));
    }
    return EX_OK;
}

static void put_aliased(struct bt_session *s, const struct story *st)
{
    buf_printf(&s->out, "%s... aliased to ", st->rcpt);
    for (size_t i = 0; i < st->n; i++)
        buf_printf(&s->out, "%s%.*s", i ? ", " : "", SPAN_ARG(written(s, &st->targets[i])));
    buf_putc(&s->out, '\n');
}

static int verify(struct bt_session *s, const char *addr, const char *sender, bool verbose)
{
    struct story st;
    struct story_question q = { .sender = sender ? sender : "", .rcpt = addr, .no_lookup = true };
    int rc = EX_OK;
    arena_reset(s->bt.arena);
    if (!story_ask(s->ask, &s->args, &q, &st)) {
        rc = ask_exit(s->ask);
    } else if (!row_true(st.accept, "accepted")) {
        rc = refused(&s->out, &st, st.accept);
    } else {
        bool same = st.n == 1 &&
                    span_eq(row_text(st.targets[0].given, "address"), span_str(addr));
        if (verbose && !same)
            put_aliased(s, &st);
        for (size_t i = st.n; i > 0; i--) { /* sendmail: the last-added member first */
            int one = put_target(s, &st, &st.targets[i - 1]);
            rc = one > rc ? one : rc;
        }
    }
    story_free(&st);
    return rc;
}

int cli_bv(const char *config, const char *sender, bool verbose, char *const *addrs, int n)
{
    struct bt_session s;
    if (n < 1) {
        fputs("Recipient names must be specified\n", stdout);
        return EX_USAGE;
    }
    int rc = bt_session_open(&s, "sendmail -bv", config, sender);
    for (int i = 0, opened = rc == EX_OK; opened && i < n; i++) {
        int one = verify(&s, addrs[i], sender, verbose);
        rc = one > rc ? one : rc;
    }
    if (!cli_print(&s.out))
        rc = EX_IOERR;
    bt_session_close(&s);
    return rc;
}
