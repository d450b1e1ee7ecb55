/* text: the part for people. First what happened, to whom, why and what can be done; then the
 * facts. */
#include "dsn/parts.h"

#include "base/num.h"
#include "mail/date.h"
#include "mail/untrusted.h"

/* Our own words, wrapped; `indent` blanks before each line. */
static void put_words(struct buf *out, int indent, const char *words)
{
    struct span rest = span_str(words), word;
    int column = 0;
    while ((word = span_word(&rest)).n > 0) {
        if (column && column + 1 + (int)word.n > DSN_WRAP) {
            buf_puts(out, SPAN("\r\n"));
            column = 0;
        }
        if (column) {
            buf_putc(out, ' ');
            column++;
        }
        for (; column < indent; column++)
            buf_putc(out, ' ');
        buf_puts(out, word);
        column += (int)word.n;
    }
    buf_puts(out, SPAN("\r\n"));
}

static void put_untrusted(struct buf *out, struct span s, size_t max_bytes)
{
    untrusted_put(out, s, UNTRUSTED_UTF8, max_bytes);
}

static void put_address(struct buf *out, struct span addr)
{
    buf_putc(out, '<');
    put_untrusted(out, addr, DSN_TEXT_MAX);
    buf_putc(out, '>');
}

static const char *headline(const struct dsn_report *r)
{
    if (r->double_bounce)
        return "A message without a sender who could be told was not delivered. It is probably "
               "itself a report about other mail.";
    if (r->kind == DSN_FAILURE)
        return "Your mail was not delivered, and we have stopped trying:";
    if (r->kind == DSN_DELAY)
        return "Your mail has not been delivered yet. This is only a notice: you need not do "
               "anything and should not send it again. We go on trying:";
    return dsn_has_arrived(r) ? "Your mail has arrived:" : "Your mail was passed on:";
}

bool dsn_has_arrived(const struct dsn_report *r)
{
    for (size_t i = 0; i < r->rcpt_count; i++)
        if (!r->rcpts[i].mailbox)
            return false;
    return true;
}

static void put_expired(struct buf *out, const struct dsn_report *r, const struct dsn_rcpt *rcpt)
{
    enum { SECOND_MS = 1000, MINUTE_MS = 60 * SECOND_MS, WORDS_MAX = 1000 };
    int64_t age_ms = rcpt->waited_ms ? rcpt->waited_ms : r->now_ms - r->env->received_ms;
    struct buf b;
    buf_init(&b, WORDS_MAX);
    age_ms -= age_ms % (age_ms > MINUTE_MS ? MINUTE_MS : SECOND_MS);
    buf_putz(&b, rcpt->ended ? "An administrator of our mail system has ended the time for which "
                               "we try. It could not be handed over"
                             : "Its time was over: it could not be handed over");
    if (age_ms > 0) { /* else the clock was set meanwhile */
        buf_putz(&b, " for ");
        num_put_duration(&b, age_ms);
    }
    if (rcpt->limit_ms && !rcpt->ended) {
        buf_putz(&b, ", and we try for ");
        num_put_duration(&b, rcpt->limit_ms);
    }
    buf_putz(&b, rcpt->untried         ? "; there was no attempt."
                 : rcpt->last_status.n ? ". What happened last:"
                                       : ".");
    put_words(out, 4, buf_cstr(&b));
    buf_free(&b);
}

/* Nobody was there who could say anything: it is we who know why. */
static void put_untried(struct buf *out, const struct dsn_rcpt *rcpt)
{
    if (rcpt->expired && (!rcpt->reply.n || rcpt->ended)) /* who did it was said */
        return;
    put_words(out, 4, rcpt->expired  ? "The reason:"
                      : rcpt->reply.n ? "It has not been sent so far. The reason:"
                                      : "It has not been sent so far.");
    if (rcpt->reply.n) {
        buf_puts(out, SPAN("    "));
        put_untrusted(out, rcpt->reply, DSN_TEXT_MAX);
        buf_puts(out, SPAN("\r\n"));
    }
}

static void put_success(struct buf *out, const struct dsn_rcpt *rcpt)
{
    put_words(out, 4, rcpt->expanded && rcpt->mailbox
                          ? "It was given to the mailing list, which sends it to its members."
                      : rcpt->expanded
                          ? "This address stands for several others, and your mail goes on to "
                            "them; you will hear no more of it unless something goes wrong."
                      : rcpt->mailbox
                          ? "It was put into the mailbox."
                          : "It was handed to a mail system that sends no such receipts itself; "
                            "you will hear no more of it unless something goes wrong.");
}

/* "550 Access denied": of the codes that our client gives to a reply without one, these say more
 * than the peer did. */
static struct span meant(struct span status, const struct dsn_rcpt *rcpt)
{
    static const struct span guesses[] = { { "5.1.1", 5 }, { "5.1.3", 5 }, { "5.5.0", 5 },
                                           { "4.5.0", 5 } };
    struct span rest = span_from(rcpt->reply, sizeof "550 " - 1);
    if (rcpt->local || dsn_status_ok(span_word(&rest)))
        return status;
    for (size_t i = 0; i < sizeof guesses / sizeof *guesses; i++)
        if (span_eq(status, guesses[i]))
            return SPAN("5.0.0");
    return status;
}

static struct dsn_words words_of(const struct dsn_report *r, const struct dsn_rcpt *rcpt)
{
    bool last = rcpt->expired && rcpt->last_status.n;
    struct dsn_words w = dsn_explain(meant(last ? rcpt->last_status : rcpt->status, rcpt),
                                     r->kind == DSN_DELAY);
    if (rcpt->returned)
        w = (struct dsn_words){ "An administrator of our mail system has sent it back to you.",
                                "Ask there why; the address stands at the end." };
    else if (rcpt->ended)
        w.advice = "Ask our administrator why; the address stands at the end.";
    else if (rcpt->untried)
        w.advice = "Tell our administrator; the address stands at the end.";
    return w;
}

/* The address that was written, where that is another: people know that one. */
static void put_written(struct buf *out, const struct dsn_rcpt *rcpt)
{
    struct buf addr;
    buf_init(&addr, ENVELOPE_TEXT_MAX);
    if (dsn_orcpt_addr(&addr, rcpt->rcpt->orcpt) != DSN_ORCPT_NONE && addr.len &&
        !span_ieq(buf_span(&addr), rcpt->rcpt->addr)) {
        buf_puts(out, SPAN(",\r\n    for which "));
        put_address(out, buf_span(&addr));
        buf_puts(out, SPAN(" stands"));
    }
    buf_free(&addr);
}

static void put_diagnosis(struct buf *out, const struct dsn_report *r,
                          const struct dsn_rcpt *rcpt)
{
    struct dsn_words words = words_of(r, rcpt);
    put_address(out, rcpt->rcpt->addr);
    put_written(out, rcpt);
    buf_puts(out, SPAN("\r\n"));
    if (r->kind == DSN_SUCCESS) {
        put_success(out, rcpt);
        return;
    }
    if (rcpt->expired)
        put_expired(out, r, rcpt);
    if (rcpt->untried && !rcpt->returned)
        put_untried(out, rcpt);
    else if (!rcpt->expired || rcpt->last_status.n)
        put_words(out, 4, words.what);
    if (rcpt->duplicate)
        put_words(out, 4, "It had been sent completely when the other side fell silent: it may "
                          "have arrived nevertheless.");
    if (!r->double_bounce && r->kind == DSN_FAILURE)
        put_words(out, 4, words.advice);
}

/* Stages in words for those who never saw a dialogue; the names of commands stay. */
static void put_stage(struct buf *out, const struct dsn_rcpt *rcpt)
{
    static const struct {
        struct span stage;
        const char *words;
    } table[] = {
        { { "connect", 7 }, "on connecting" },
        { { "greeting", 8 }, "at its greeting" },
        { { "STARTTLS", 8 }, "on beginning TLS" },
        { { "DATA 354", 8 }, "at DATA" },
        { { "message", 7 }, "while the mail was being sent" },
        { { "DATA status", 11 }, "at the end of the data" },
        { { "DNS", 3 }, "on looking it up in the DNS" },
    };
    struct span stage = rcpt->stage;
    if (!stage.n || (!rcpt->host.n && !rcpt->ip.n && !span_eq(stage, SPAN("DNS"))))
        return; /* nobody was there to be at a stage with */
    buf_puts(out, SPAN(", "));
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (span_eq(stage, table[i].stage)) {
            buf_putz(out, table[i].words);
            return;
        }
    }
    buf_puts(out, SPAN("at "));
    put_untrusted(out, stage, DSN_NAME_MAX);
}

static void put_where(struct buf *out, const struct dsn_report *r, const struct dsn_rcpt *rcpt)
{
    if (rcpt->host.n || rcpt->ip.n) {
        put_untrusted(out, rcpt->host, DSN_NAME_MAX);
        if (rcpt->ip.n) {
            buf_putz(out, rcpt->host.n ? " [" : "[");
            put_untrusted(out, rcpt->ip, DSN_NAME_MAX);
            buf_putc(out, ']');
        }
    } else {
        buf_puts(out, r->hostname);
    }
    put_stage(out, rcpt);
    if (rcpt->tls.n) {
        buf_puts(out, SPAN(", over "));
        put_untrusted(out, rcpt->tls, DSN_NAME_MAX);
    }
    if (rcpt->last_attempt_ms && !rcpt->returned) { /* not the attempt's words are told then */
        buf_puts(out, SPAN(", "));
        mail_date_put(out, rcpt->last_attempt_ms, r->zone_min);
    }
    if (rcpt->attempts > 1 && !rcpt->returned)
        buf_printf(out, ", attempt %u", rcpt->attempts);
    buf_puts(out, SPAN(":\r\n"));
}

static void put_facts(struct buf *out, const struct dsn_report *r, const struct dsn_rcpt *rcpt)
{
    buf_puts(out, SPAN("\r\n"));
    put_address(out, rcpt->rcpt->addr);
    buf_puts(out, SPAN("\r\n    "));
    put_where(out, r, rcpt);
    struct span rest = span_to(rcpt->reply, DSN_REPLY_MAX), line;
    int lines = 0;
    while (dsn_reply_line(&rest, &lines, &line)) {
        buf_puts(out, SPAN("    "));
        put_untrusted(out, line, DSN_TEXT_MAX);
        buf_puts(out, SPAN("\r\n"));
    }
    if (r->kind == DSN_DELAY && rcpt->will_retry_until_ms) {
        buf_puts(out, SPAN("    We try until "));
        mail_date_put(out, rcpt->will_retry_until_ms, r->zone_min);
        buf_puts(out, SPAN("\r\n"));
    }
}

static void put_message_facts(struct buf *out, const struct dsn_report *r)
{
    const struct envelope *e = r->env;
    struct queueid id = envelope_id(e);
    buf_puts(out, SPAN("The mail came from "));
    put_address(out, e->sender);
    buf_puts(out, SPAN(" to "));
    buf_puts(out, r->hostname);
    buf_puts(out, SPAN(",\r\n"));
    mail_date_put(out, e->received_ms, r->zone_min);
    buf_printf(out, ", as %s", id.text);
    if (e->client_ip.n) {
        buf_puts(out, SPAN(", by way of\r\n"));
        put_untrusted(out, e->client_name.n ? e->client_name : e->helo, DSN_NAME_MAX);
        buf_puts(out, SPAN(" ["));
        put_untrusted(out, e->client_ip, DSN_NAME_MAX);
        buf_putc(out, ']');
    }
    buf_puts(out, SPAN(".\r\n"));
}

/* All of it was asked for. */
static void put_not_returned(struct buf *out, const struct dsn_report *r)
{
    if (r->too_long_bytes)
        buf_printf(out, "\r\nOf your mail only the header comes back, since it has more than %llu "
                        "bytes.\r\n", (unsigned long long)r->too_long_bytes);
    else if (r->kind == DSN_FAILURE && r->content.n && !dsn_content_fits(r->content))
        buf_puts(out, SPAN("\r\nOf your mail only the header comes back, since its lines are not "
                           "as they\r\nhave to be.\r\n"));
}

void dsn_put_text(struct buf *out, const struct dsn_report *r)
{
    put_words(out, 0, headline(r));
    for (size_t i = 0; i < r->rcpt_count; i++) {
        buf_puts(out, SPAN("\r\n"));
        put_diagnosis(out, r, &r->rcpts[i]);
    }
    buf_puts(out, SPAN("\r\n----- The facts -----\r\n\r\n"));
    put_message_facts(out, r);
    for (size_t i = 0; i < r->rcpt_count; i++)
        put_facts(out, r, &r->rcpts[i]);
    put_not_returned(out, r);
    buf_puts(out, SPAN("\r\nThis was written by the mail program at "));
    buf_puts(out, r->hostname);
    buf_puts(out, SPAN(";\r\npeople there can be reached as "));
    put_address(out, r->postmaster);
    buf_puts(out, SPAN(".\r\n"));
}
