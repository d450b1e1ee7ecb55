#include "smtp/command.h"

#include "base/num.h"

static const struct {
    const char *word;
    enum command_verb verb;
    const char *name;
} verbs[] = {
    { "MAIL", COMMAND_MAIL, "mail" },       { "RCPT", COMMAND_RCPT, "rcpt" },
    { "DATA", COMMAND_DATA, "data" },       { "BDAT", COMMAND_BDAT, "bdat" },
    { "EHLO", COMMAND_EHLO, "ehlo" },       { "HELO", COMMAND_HELO, "helo" },
    { "QUIT", COMMAND_QUIT, "quit" },       { "RSET", COMMAND_RSET, "rset" },
    { "NOOP", COMMAND_NOOP, "noop" },       { "STARTTLS", COMMAND_STARTTLS, "starttls" },
    { "AUTH", COMMAND_AUTH, "auth" },       { "VRFY", COMMAND_VRFY, "vrfy" },
    { "EXPN", COMMAND_EXPN, "expn" },       { "HELP", COMMAND_HELP, "help" },
    { "ETRN", COMMAND_REFUSED, "etrn" },    { "VERB", COMMAND_REFUSED, "verb" },
    { "TURN", COMMAND_ABSENT, "turn" },     { "SEND", COMMAND_ABSENT, "send" },
    { "SOML", COMMAND_ABSENT, "soml" },     { "SAML", COMMAND_ABSENT, "saml" },
    { "GET", COMMAND_NOT_SMTP, "get" },     { "POST", COMMAND_NOT_SMTP, "post" },
    { "PUT", COMMAND_NOT_SMTP, "put" },     { "HEAD", COMMAND_NOT_SMTP, "head" },
    { "CONNECT", COMMAND_NOT_SMTP, "connect" }, { "USER", COMMAND_NOT_SMTP, "user" },
};

static bool has_controls(struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        if (((unsigned char)s.p[i] < 32 && s.p[i] != '\t') || s.p[i] == 127)
            return true;
    return false;
}

struct command command_read(struct span line)
{
    struct span rest = line;
    struct span word = span_word(&rest);
    struct command c = { .verb = COMMAND_UNKNOWN, .name = "unknown", .word = word,
                         .arg = span_trim(rest) };
    if (has_controls(line))
        return c;
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        if (span_ieq(word, span_str(verbs[i].word))) {
            c.verb = verbs[i].verb;
            c.name = verbs[i].name;
            break;
        }
    }
    return c;
}

int command_bdat(struct span arg, uint64_t *octets_r, bool *last_r)
{
    struct span number = span_word(&arg), last = span_word(&arg);
    if (!num_u64(number, octets_r) || *octets_r > INT64_MAX || arg.n > 0)
        return -1;
    *last_r = last.n > 0;
    return last.n == 0 || span_ieq(last, SPAN("LAST")) ? 1 : -1;
}
