/* sendmail's command line, as sendmail reads it: getopt's ways, its messages, its exit codes. */
#include "cli/sendmail.h"

#include "base/must.h"
#include "base/num.h"
#include "envelope/envelope.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

/* One flag's value; NULL when the flag has none. Returns a status of sysexits.h. */
typedef int flag_fn(struct sendmail_flags *f, const char *value);

static int say(const char *what, const char *value)
{
    fprintf(stderr, "%s%s\n", what, value);
    return EX_USAGE;
}

/* --- the flags --- */

static int set_mode(struct sendmail_flags *f, const char *v)
{
    static const char modes[] = "msvpPtidDhH";
    char text[2] = { v[0], '\0' };
    if (v[0] == 'a') /* ARPANET: SMTP in disguise, long gone */
        v = "s";
    if (v[0] == 'z')
        return say("Frozen configurations unsupported", "");
    if (!v[0] || !strchr(modes, v[0]))
        return say("Invalid operation mode ", text);
    f->mode = (enum sendmail_mode)v[0];
    return EX_OK;
}

static int set_config(struct sendmail_flags *f, const char *v)
{
    f->config = v;
    return EX_OK;
}

static int set_sender(struct sendmail_flags *f, const char *v)
{
    f->sender = v;
    return EX_OK;
}

static int set_full_name(struct sendmail_flags *f, const char *v)
{
    f->full_name = v;
    return EX_OK;
}

static int set_header(struct sendmail_flags *f, const char *v)
{
    (void)v;
    f->recipients_from_header = true;
    return EX_OK;
}

static int set_dot(struct sendmail_flags *f, const char *v)
{
    (void)v;
    f->dot_is_text = true;
    return EX_OK;
}

static int set_verbose(struct sendmail_flags *f, const char *v)
{
    (void)v;
    f->verbose = true;
    return EX_OK;
}

static int set_gateway(struct sendmail_flags *f, const char *v)
{
    (void)v;
    f->extract_only = true;
    return EX_OK;
}

static int set_nothing(struct sendmail_flags *f, const char *v)
{
    (void)f;
    (void)v;
    return EX_OK;
}

static int set_body(struct sendmail_flags *f, const char *v)
{
    if (span_ieq(span_str(v), SPAN("8BITMIME")))
        f->flags |= ENVELOPE_8BITMIME;
    else if (span_ieq(span_str(v), SPAN("7BIT")))
        f->flags &= ~(uint32_t)ENVELOPE_8BITMIME;
    else
        return say("Illegal body type ", v);
    return EX_OK;
}

static int set_notify(struct sendmail_flags *f, const char *v)
{
    static const struct {
        const char *word;
        uint8_t bit;
    } words[] = { { "never", NOTIFY_NEVER }, { "success", NOTIFY_SUCCESS },
                  { "failure", NOTIFY_FAILURE }, { "delay", NOTIFY_DELAY } };
    struct span rest = span_str(v);
    uint8_t bits = 0;
    do {
        struct span word = span_to(rest, span_find(rest, ','));
        uint8_t bit = 0;
        rest = span_from(rest, word.n + 1);
        for (size_t i = 0; i < sizeof words / sizeof *words; i++)
            if (span_ieq(span_trim(word), span_str(words[i].word)))
                bit = words[i].bit;
        if (!bit || ((bits | bit) & NOTIFY_NEVER && bits))
            return say("Invalid -N argument", "");
        bits |= bit;
    } while (rest.n);
    f->notify = bits;
    return EX_OK;
}

static int set_return(struct sendmail_flags *f, const char *v)
{
    f->flags &= ~(uint32_t)(ENVELOPE_RET_FULL | ENVELOPE_RET_HDRS);
    if (span_ieq(span_str(v), SPAN("full")))
        f->flags |= ENVELOPE_RET_FULL;
    else if (span_ieq(span_str(v), SPAN("hdrs")))
        f->flags |= ENVELOPE_RET_HDRS;
    else
        return say("Invalid -R value", "");
    return EX_OK;
}

static int set_envid(struct sendmail_flags *f, const char *v)
{
    for (const char *c = v; *c; c++)
        if (*c <= ' ' || *c > '~' || *c == '=')
            return say("Invalid syntax in -V flag", "");
    f->envid = v;
    return EX_OK;
}

static int set_hops(struct sendmail_flags *f, const char *v)
{
    uint64_t n;
    if (!num_upto(span_str(v), 10000, &n))
        return say("Bad hop count ", v);
    f->hops = (unsigned)n;
    return EX_OK;
}

static int set_tag(struct sendmail_flags *f, const char *v)
{
    f->tag = v;
    return EX_OK;
}

static int set_traffic(struct sendmail_flags *f, const char *v)
{
    f->traffic_log = v;
    return EX_OK;
}

static int set_debug_file(struct sendmail_flags *f, const char *v)
{
    f->debug_file = v;
    return EX_OK;
}

static int set_error_mode(struct sendmail_flags *f, const char *v)
{
    if (v[0] && !strchr("pmeqw", v[0]))
        return say("Illegal error mode ", v);
    f->error_mode = v[0] ? v[0] : 'p';
    return EX_OK;
}

static int set_delivery_mode(struct sendmail_flags *f, const char *v)
{
    if (v[0] && !strchr("biqd", v[0]) && strcmp(v, "queueonly") != 0)
        return say("Unknown delivery mode ", v);
    f->delivery_mode = v[0];
    return EX_OK;
}

static int set_quarantine(struct sendmail_flags *f, const char *v)
{
    f->quarantine = true;
    f->quarantine_reason = v && v[0] ? v : NULL;
    return EX_OK;
}

/* --- queue runs: -q, -q30m, -qp30m, -qf, -qGgroup, -q[!]Rsub ... --- */

static int add_match(struct sendmail_flags *f, char what, bool not, const char *text)
{
    if (f->match_count == SENDMAIL_MATCHES_MAX)
        return say("too many -q options", "");
    f->matches[f->match_count++] = (struct sendmail_match){ what, not, text };
    return EX_OK;
}

static int bad_time_unit(struct span time)
{
    while (time.n > 1 && ascii_isdigit(time.p[0]))
        time = span_from(time, 1);
    fprintf(stderr, "Invalid time unit `%c'\n", time.p[0]);
    return EX_USAGE;
}

static int set_queue(struct sendmail_flags *f, const char *v)
{
    bool not = v && v[0] == '!';
    f->run_asked = true;
    if (!v || !v[0])
        return EX_OK;
    if (not)
        v++;
    if (strchr("RSI", v[0]) && v[0] && v[1])
        return add_match(f, v[0], not, v + 1);
    if (v[0] == 'Q') {
        f->run_quarantined = true;
        return v[1] ? add_match(f, 'Q', not, v + 1) : EX_OK;
    }
    if (v[0] == 'L') /* lost mail: there is none, as no id has this in it */
        return add_match(f, 'I', false, "?");
    if (v[0] == 'G') {
        f->run_group = v + 1;
        return EX_OK;
    }
    if (v[0] == 'f' && !v[1]) {
        f->run_foreground = true;
        return EX_OK;
    }
    f->run_persistent = v[0] == 'p';
    struct span time = span_str(v + f->run_persistent);
    uint64_t minutes;
    if (!time.n || num_duration_ms(time, &f->run_every_ms))
        return EX_OK;
    if (!num_upto(time, 1000000, &minutes)) /* a number alone is minutes */
        return bad_time_unit(time);
    f->run_every_ms = (int64_t)minutes * 60000;
    return EX_OK;
}

/* --- options: -ox, -Oname=value --- */

static int set_long_option(struct sendmail_flags *f, const char *v)
{
    if (f->option_count == SENDMAIL_OPTIONS_MAX)
        return say("too many options", "");
    f->options[f->option_count++] = v;
    struct span name = span_to(span_str(v), span_find(span_str(v), '='));
    const char *value = v[name.n] == '=' ? v + name.n + 1 : "";
    if (span_ieq(name, SPAN("DeliveryMode")))
        return set_delivery_mode(f, value);
    if (span_ieq(name, SPAN("ErrorMode")))
        return set_error_mode(f, value);
    if (span_ieq(name, SPAN("IgnoreDots")))
        f->dot_is_text = true;
    else if (span_ieq(name, SPAN("Verbose")))
        f->verbose = true;
    return sendmail_option_known(name);
}

/* Letters of old that mean nothing to a gateway are taken in silence, as sendmail takes them. */
static int set_option(struct sendmail_flags *f, const char *v)
{
    char text[2] = { v[0], '\0' };
    switch (v[0]) {
    case 'i': return set_dot(f, NULL);
    case 'v': return set_verbose(f, NULL);
    case 'd': return set_delivery_mode(f, v + 1);
    case 'e': return set_error_mode(f, v + 1);
    case '\0': return EX_OK;
    default: break;
    }
    if (strchr("789aAbBcCDEfFgGhHIjJkKlLmMnoOpPqQrRsStTuUVwWxXyYzZ#", v[0]))
        return EX_OK;
    fprintf(stderr, "readcf: unknown option name %s\n", text);
    return EX_SOFTWARE;
}

/* --- the table --- */

static int obsolete_timeout(struct sendmail_flags *f, const char *v)
{
    (void)f;
    (void)v;
    return say("-T is obsolete: use Timeout.queuereturn", "");
}

static int refuse_silently(struct sendmail_flags *f, const char *v)
{
    (void)f;
    (void)v;
    return EX_USAGE;
}

enum arg { NO_ARG, ARG, ARG_HERE /* only when it stands in the same word */ };

static const struct {
    char letter;
    enum arg arg;
    flag_fn *fn;
} flags[] = {
    { 'A', ARG, set_nothing },     { 'B', ARG, set_body },       { 'b', ARG, set_mode },
    { 'C', ARG, set_config },      { 'D', ARG, set_debug_file }, { 'd', ARG_HERE, set_nothing },
    { 'e', ARG, set_error_mode },  { 'F', ARG, set_full_name },  { 'f', ARG, set_sender },
    { 'r', ARG, set_sender },      { 'h', ARG, set_hops },       { 'G', NO_ARG, set_gateway },
    { 'i', NO_ARG, set_dot },      { 'L', ARG, set_tag },        { 'M', ARG, set_nothing },
    { 'm', NO_ARG, set_nothing },  { 'N', ARG, set_notify },     { 'n', NO_ARG, set_nothing },
    { 'O', ARG, set_long_option }, { 'o', ARG, set_option },     { 'p', ARG, set_nothing },
    { 'Q', ARG_HERE, set_quarantine }, { 'q', ARG_HERE, set_queue }, { 'R', ARG, set_return },
    { 's', NO_ARG, set_nothing },  { 'c', NO_ARG, set_nothing }, { 't', NO_ARG, set_header },
    { 'T', ARG, obsolete_timeout }, { 'U', NO_ARG, refuse_silently }, { 'V', ARG, set_envid },
    { 'v', NO_ARG, set_verbose },  { 'X', ARG, set_traffic },
};
enum { FLAGS = sizeof flags / sizeof *flags };

/* One word "-abc". *at moves on when a flag takes the next word. */
static int read_word(struct sendmail_flags *f, int argc, char **argv, int *at)
{
    for (const char *c = argv[*at] + 1; *c; c++) {
        size_t i = 0;
        while (i < FLAGS && flags[i].letter != *c)
            i++;
        if (i == FLAGS) {
            fprintf(stderr, "%s: illegal option -- %c\n", f->name, *c);
            return EX_USAGE;
        }
        if (flags[i].arg == NO_ARG) {
            int rc = flags[i].fn(f, NULL);
            if (rc != EX_OK)
                return rc;
            continue;
        }
        const char *value = c[1] ? c + 1 : NULL;
        if (!value && flags[i].arg == ARG) {
            if (*at + 1 >= argc) {
                fprintf(stderr, "%s: option requires an argument -- %c\n", f->name, *c);
                return EX_USAGE;
            }
            value = argv[++*at];
        }
        return flags[i].fn(f, value);
    }
    return EX_OK;
}

static enum sendmail_mode mode_of(const char *name)
{
    static const struct {
        const char *name;
        enum sendmail_mode mode;
    } names[] = { { "mailq", SENDMAIL_QUEUE },    { "newaliases", SENDMAIL_ALIASES },
                  { "hoststat", SENDMAIL_HOSTS }, { "purgestat", SENDMAIL_HOSTS_PURGE },
                  { "smtpd", SENDMAIL_DAEMON } };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i].name, name) == 0)
            return names[i].mode;
    return SENDMAIL_MAIL;
}

int sendmail_flags_read(struct sendmail_flags *f, const char *name, int argc, char **argv)
{
    *f = (struct sendmail_flags){ .name = name,
                                  .mode = mode_of(name),
                                  .error_mode = 'p' };
    int at = 1;
    for (; at < argc && argv[at][0] == '-' && argv[at][1]; at++) {
        if (strcmp(argv[at], "--") == 0) {
            at++;
            break;
        }
        int rc = read_word(f, argc, argv, &at);
        if (rc != EX_OK)
            return rc;
    }
    f->args = argv + at;
    f->arg_count = argc - at;
    return EX_OK;
}

/* `postern -C file -bd -q`: only options, and one that is not ours among them. */
bool sendmail_flags_meant(int argc, char **argv)
{
    for (int i = 1; i < argc && argv[i][0] == '-'; i++) {
        if (strcmp(argv[i], "-C") == 0)
            i++;
        else if (argv[i][1] != '-' && argv[i][1] != 'C' && strcmp(argv[i], "-h") != 0)
            return true;
    }
    return false;
}
