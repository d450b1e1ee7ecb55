/* What became of a recipient, in codes and in words. */
#include "smtp/client_private.h"

#include "base/must.h"

const char *smtp_stage_name(enum smtp_stage stage, bool lmtp)
{
    static const char *const names[SMTP_STAGES] = {
        [SMTP_STAGE_CONNECT] = "connect",   [SMTP_STAGE_GREETING] = "greeting",
        [SMTP_STAGE_EHLO] = "EHLO",         [SMTP_STAGE_HELO] = "HELO",
        [SMTP_STAGE_STARTTLS] = "STARTTLS", [SMTP_STAGE_MAIL] = "MAIL",
        [SMTP_STAGE_RCPT] = "RCPT",         [SMTP_STAGE_DATA] = "DATA 354",
        [SMTP_STAGE_BLOCK] = "message",     [SMTP_STAGE_FINAL] = "DATA status",
        [SMTP_STAGE_RSET] = "RSET",         [SMTP_STAGE_QUIT] = "QUIT",
        [SMTP_STAGE_IDLE] = "idle",
    };
    MUST((unsigned)stage < SMTP_STAGES);
    return lmtp && stage == SMTP_STAGE_EHLO ? "LHLO" : names[stage];
}

/* For replies that bring no enhanced code of their own. stage SMTP_STAGES: at any other one. */
static struct span default_enhanced(enum smtp_stage stage, int code)
{
    static const struct {
        enum smtp_stage stage;
        int code;
        struct span enhanced;
    } table[] = {
        { SMTP_STAGE_RCPT, 450, { "4.2.0", 5 } }, { SMTP_STAGE_RCPT, 452, { "4.5.3", 5 } },
        { SMTP_STAGE_RCPT, 550, { "5.1.1", 5 } }, { SMTP_STAGE_RCPT, 551, { "5.1.6", 5 } },
        { SMTP_STAGE_RCPT, 552, { "5.2.2", 5 } }, { SMTP_STAGE_RCPT, 553, { "5.1.3", 5 } },
        { SMTP_STAGES, 421, { "4.3.2", 5 } },     { SMTP_STAGES, 451, { "4.3.0", 5 } },
        { SMTP_STAGES, 452, { "4.3.1", 5 } },     { SMTP_STAGES, 500, { "5.5.1", 5 } },
        { SMTP_STAGES, 501, { "5.5.4", 5 } },     { SMTP_STAGES, 502, { "5.5.1", 5 } },
        { SMTP_STAGES, 503, { "5.5.1", 5 } },     { SMTP_STAGES, 504, { "5.5.4", 5 } },
        { SMTP_STAGES, 530, { "5.7.0", 5 } },     { SMTP_STAGES, 552, { "5.3.4", 5 } },
        { SMTP_STAGES, 555, { "5.5.4", 5 } },
    };
    if (stage == SMTP_STAGE_GREETING) /* as sendmail has it */
        return code >= 500 ? SPAN("5.5.0") : SPAN("4.5.0");
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if ((table[i].stage == stage || table[i].stage == SMTP_STAGES) && table[i].code == code)
            return table[i].enhanced;
    return code >= 500 ? SPAN("5.0.0") : code >= 400 ? SPAN("4.0.0") : SPAN("2.0.0");
}

/* The lines of a reply, with its enhanced code in front of the first one only. */
static void put_lines(struct buf *out, const struct smtp_reply *r)
{
    struct span rest = r->text;
    for (bool first = true; rest.n; first = false) {
        struct span line = span_to(rest, span_find(rest, '\n') + 1);
        bool again = !first && r->enhanced.n && span_starts(line, r->enhanced) &&
                     line.n > r->enhanced.n && line.p[r->enhanced.n] == ' ';
        buf_puts(out, span_from(line, again ? r->enhanced.n + 1 : 0));
        rest = span_from(rest, line.n);
    }
}

struct smtp_outcome outcome_of_reply(struct smtp_client *c, enum smtp_stage stage,
                                     const struct smtp_reply *r)
{
    struct smtp_outcome o = { .cause = SMTP_CAUSE_REPLY, .stage = stage, .code = r->code };
    o.result = r->code >= 500 ? SMTP_FAILED : r->code >= 400 ? SMTP_DEFERRED : SMTP_DELIVERED;
    buf_reset(&c->text);
    buf_printf(&c->text, "%d ", r->code);
    size_t skip = c->text.len;
    if (r->enhanced.n && (c->caps & SMTP_EXT_ENHANCED))
        skip += r->enhanced.n + (r->text.n > r->enhanced.n);
    struct buf lines;
    buf_init(&lines, r->text.n + 1);
    put_lines(&lines, r);
    reply_clean(&c->text, buf_span(&lines), SMTP_CLIENT_TEXT_MAX - 8);
    buf_free(&lines);
    size_t end = c->text.len;
    buf_puts(&c->text, r->enhanced.n ? r->enhanced : default_enhanced(stage, r->code));
    struct span all = buf_span(&c->text);
    o.reply = span_trim(span_to(all, end));
    o.text = span_from(o.reply, skip);
    o.enhanced = span_from(all, end);
    return o;
}

/* "timeout waiting for input from mx.test during client MAIL" and its sisters. */
static void put_cause(struct smtp_client *c, enum smtp_cause cause, enum smtp_stage stage,
                      struct span detail)
{
    const char *name = smtp_stage_name(stage, c->conf->lmtp);
    struct buf *b = &c->text;
    if (cause == SMTP_CAUSE_TIMEOUT && stage == SMTP_STAGE_BLOCK)
        buf_printf(b, "timeout writing message to %s", c->peer);
    else if (cause == SMTP_CAUSE_TIMEOUT)
        buf_printf(b, "timeout waiting for input from %s during client %s", c->peer, name);
    else if (cause == SMTP_CAUSE_ATTEMPT)
        buf_printf(b, "the time for this attempt ended with %s during client %s", c->peer, name);
    else if (cause == SMTP_CAUSE_LOST)
        buf_printf(b, "connection to %s lost during client %s", c->peer, name);
    else if (cause == SMTP_CAUSE_PROTOCOL)
        buf_printf(b, "%s sent what is not SMTP during client %s", c->peer, name);
    else
        buf_printf(b, "stopped during client %s", name);
    if (detail.n) {
        buf_putz(b, ": ");
        reply_clean(b, detail, SMTP_CLIENT_TEXT_MAX / 2);
    }
}

struct smtp_outcome outcome_of_cause(struct smtp_client *c, enum smtp_cause cause,
                                     enum smtp_stage stage, struct span detail)
{
    struct smtp_outcome o = {
        .result = SMTP_DEFERRED, .cause = cause, .stage = stage,
        .next_mx = cause != SMTP_CAUSE_ATTEMPT && cause != SMTP_CAUSE_ABORT,
    };
    o.enhanced = cause == SMTP_CAUSE_PROTOCOL ? SPAN("4.5.0")
                 : cause == SMTP_CAUSE_ABORT  ? SPAN("4.3.2")
                                              : SPAN("4.4.2");
    buf_reset(&c->text);
    put_cause(c, cause, stage, detail);
    o.text = span_to(buf_span(&c->text), SMTP_CLIENT_TEXT_MAX);
    return o;
}

struct smtp_outcome outcome_local(struct smtp_client *c, enum smtp_result result,
                                  enum smtp_stage stage, struct span enhanced,
                                  const char *text, ...)
{
    va_list ap;
    va_start(ap, text);
    buf_reset(&c->text);
    buf_vprintf(&c->text, text, ap);
    va_end(ap);
    return (struct smtp_outcome){
        .result = result, .cause = SMTP_CAUSE_LOCAL, .stage = stage, .enhanced = enhanced,
        .text = span_to(buf_span(&c->text), SMTP_CLIENT_TEXT_MAX),
    };
}

void client_protocol_error(struct smtp_client *c, enum smtp_stage stage, const char *what)
{
    client_end(c, outcome_of_cause(c, SMTP_CAUSE_PROTOCOL, stage, span_str(what)));
}
