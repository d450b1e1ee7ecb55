#include "cli/send.h"

#include "cli/args.h"
#include "cli/send_run.h"

#include "base/must.h"
#include "base/num.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

enum { MESSAGE_MAX_BYTES = 1 << 30 };

static const char usage[] =
    "usage: postern send -m HOST[:PORT] -s SENDER -r RCPT [-r RCPT]... [options] [FILE]\n"
    "\n"
    "Speaks SMTP to HOST itself and prints the dialogue, with the time each step took. The\n"
    "message comes from FILE or standard input; nothing is added to it. A LF becomes CRLF, and\n"
    "dots at the start of lines are doubled.\n"
    "\n"
    "  -m, --host HOST[:PORT]  a name (asked of DNS; its addresses, not its MX) or an address;\n"
    "                    port 25 when none is given\n"
    "  -s, --sender ADDRESS    envelope sender; \"\" or \"<>\" is the null sender\n"
    "  -r, --rcpt ADDRESS      envelope recipient\n"
    "  --helo NAME       what we call ourselves (this machine's name)\n"
    "  --tls off|try|require   STARTTLS (try); certificates are not verified\n"
    "  --lmtp            LMTP instead of SMTP\n"
    "  --bdat            BDAT (RFC 3030) instead of DATA, where the server offers it\n"
    "  --raw             the bytes as they are: no CRLF made, no dots doubled; still ended with\n"
    "                    a line of one dot, behind a CRLF\n"
    "  --utf8            ask for SMTPUTF8 (done by itself for addresses that need it)\n"
    "  --timeout TIME    for each step, like 10s (RFC 5321's own)\n"
    "  -q, --quiet       print only what was not accepted\n"
    "  --json            one JSON object instead of the dialogue\n"
    "\n"
    "exit status: 0 accepted for all recipients; 69 refused for good for some; 75 not accepted\n"
    "now (deferred, no connection, or unknown); 64 usage; 65 a bare CR in the message; 66 FILE\n"
    "cannot be read; 68 no such host\n";

static int usage_error(const char *what, const char *arg)
{
    return cli_usage_error(&(struct cli_args){ .verb = "send", .usage = usage }, what, arg);
}

/* --- the message --- */

static int read_message(const char *path, struct buf *b)
{
    int fd = path && strcmp(path, "-") != 0 ? open(path, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
    ssize_t n = -1;
    while (fd >= 0) {
        char *to = buf_space(b, 64 << 10);
        if (!to) {
            errno = EFBIG;
            n = -1;
            break;
        }
        n = read(fd, to, 64 << 10);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        buf_added(b, (size_t)n);
    }
    if (n < 0)
        fprintf(stderr, "postern send: %s: %s\n", path ? path : "standard input",
                strerror(errno));
    if (fd > STDIN_FILENO)
        close(fd);
    return n < 0 ? EX_NOINPUT : EX_OK;
}

/* Each LF of its own becomes CRLF. A CR of its own has no meaning in mail and is not sent. */
static int make_crlf(struct span in, struct buf *out)
{
    size_t line = 1;
    while (in.n) {
        size_t n = span_find(in, '\n');
        size_t text = n && n < in.n && in.p[n - 1] == '\r' ? n - 1 : n;
        size_t cr = span_find(span_to(in, text), '\r');
        if (cr < text) {
            fprintf(stderr, "postern send: a bare CR in line %zu of the message; "
                            "--raw would send it\n", line);
            return EX_DATAERR;
        }
        buf_put(out, in.p, text);
        buf_put(out, "\r\n", 2);
        in = span_from(in, n + 1);
        line++;
    }
    return EX_OK;
}

static int get_content(struct send_options *o, const char *path, struct buf *raw, struct buf *crlf)
{
    int rc = read_message(path, raw);
    if (rc == EX_OK && !o->raw)
        rc = make_crlf(buf_span(raw), crlf);
    o->content = buf_span(o->raw ? raw : crlf);
    if (!span_is_ascii(o->content))
        o->flags |= ENVELOPE_8BITMIME;
    return rc;
}

/* --- options --- */

struct request {
    const char *host, *file;
    struct send_options *o;
    bool have_sender;
};

static struct span unbracket(const char *s)
{
    struct span a = span_str(s);
    if (a.n >= 2 && a.p[0] == '<' && a.p[a.n - 1] == '>')
        return span_from(span_to(a, a.n - 1), 1);
    return a;
}

static int take_tls(struct send_options *o, const char *arg)
{
    static const char *const words[] = { "off", "try", "require" };
    for (int i = 0; i < 3; i++)
        if (strcmp(arg, words[i]) == 0) {
            o->tls = (enum smtp_client_tls)i;
            return -1;
        }
    return usage_error("--tls takes off, try or require", arg);
}

enum {
    OPT_HELO = 256, OPT_TLS, OPT_LMTP, OPT_BDAT, OPT_RAW, OPT_UTF8, OPT_TIMEOUT, OPT_JSON, OPT_HELP
};

/* -1: go on; otherwise the exit status. */
static int take_option(struct request *rq, int opt, char *arg)
{
    struct send_options *o = rq->o;
    switch (opt) {
    case 'm': rq->host = arg; return -1;
    case 's':
        o->sender = unbracket(arg);
        rq->have_sender = true;
        return -1;
    case 'r':
        if (o->rcpt_count == SEND_RCPTS_MAX)
            return usage_error("too many recipients", NULL);
        o->rcpts[o->rcpt_count++].addr = unbracket(arg);
        return -1;
    case 'q': o->quiet = true; return -1;
    case OPT_HELO: o->helo = span_str(arg); return -1;
    case OPT_TLS: return take_tls(o, arg);
    case OPT_LMTP: o->lmtp = true; return -1;
    case OPT_BDAT: o->bdat = true; return -1;
    case OPT_RAW: o->raw = true; return -1;
    case OPT_UTF8: o->flags |= ENVELOPE_SMTPUTF8; return -1;
    case OPT_JSON: o->json = true; return -1;
    case OPT_TIMEOUT:
        return num_duration_ms(span_str(arg), &o->timeout_ms) && o->timeout_ms > 0
                   ? -1 : usage_error("not a time", arg);
    case OPT_HELP:
        fputs(usage, stdout);
        return EX_OK;
    default: return EX_USAGE;
    }
}

static int read_options(int argc, char **argv, struct request *rq)
{
    static const struct option longs[] = {
        { "host", required_argument, NULL, 'm' },   { "sender", required_argument, NULL, 's' },
        { "rcpt", required_argument, NULL, 'r' },   { "helo", required_argument, NULL, OPT_HELO },
        { "tls", required_argument, NULL, OPT_TLS }, { "lmtp", no_argument, NULL, OPT_LMTP },
        { "bdat", no_argument, NULL, OPT_BDAT },    { "raw", no_argument, NULL, OPT_RAW },
        { "utf8", no_argument, NULL, OPT_UTF8 },
        { "timeout", required_argument, NULL, OPT_TIMEOUT },
        { "quiet", no_argument, NULL, 'q' },        { "json", no_argument, NULL, OPT_JSON },
        { "help", no_argument, NULL, OPT_HELP },    { NULL, 0, NULL, 0 },
    };
    optind = 0;
    opterr = 0;
    for (int opt; (opt = getopt_long(argc, argv, "m:s:r:qh", longs, NULL)) != -1;) {
        if (opt == '?')
            return usage_error("unknown option, or its value is missing", argv[optind - 1]);
        int rc = take_option(rq, opt == 'h' ? OPT_HELP : opt, optarg);
        if (rc >= 0)
            return rc;
    }
    if (optind < argc)
        rq->file = argv[optind++];
    if (optind < argc)
        return usage_error("one message only", argv[optind]);
    if (!rq->host || !rq->have_sender || rq->o->rcpt_count == 0)
        return usage_error("-m, -s and -r are needed", NULL);
    return -1;
}

/* HOST, HOST:PORT, 1.2.3.4:25, [::1]:25, ::1 */
static int find_host(struct send_options *o, const char *arg)
{
    struct span name = span_str(arg);
    uint64_t port = 25;
    struct err e;
    struct netaddr a;
    if (netaddr_parse(name, 25, &a, NULL)) {
        o->addrs[o->addr_count++] = a;
        struct buf text;
        buf_init(&text, NETADDR_TEXT_MAX);
        netaddr_put_ip(&text, &a);
        snprintf(o->host, sizeof o->host, "%s", buf_cstr(&text));
        buf_free(&text);
        return EX_OK;
    }
    size_t colon = span_find(name, ':');
    if (colon < name.n && (!num_upto(span_from(name, colon + 1), 65535, &port) || port == 0))
        return usage_error("HOST:PORT has no such port", arg);
    name = span_to(name, colon);
    if (name.n == 0 || name.n >= sizeof o->host)
        return usage_error("no host name", arg);
    memcpy(o->host, name.p, name.n);
    o->host[name.n] = '\0';
    if (send_lookup(o, o->host, (uint16_t)port, &e))
        return EX_OK;
    fprintf(stderr, "postern send: %s\n", e.text);
    return EX_NOHOST;
}

/* --- the end --- */

static const char *const words[] = { "accepted", "deferred", "failed", "unknown", "deferred" };

static int verdict(const struct send_options *o, const struct send_result *results)
{
    int rc = EX_OK;
    for (size_t i = 0; i < o->rcpt_count; i++) {
        if (results[i].result == SMTP_FAILED)
            rc = EX_UNAVAILABLE;
        else if (results[i].result != SMTP_DELIVERED && rc == EX_OK)
            rc = EX_TEMPFAIL;
    }
    return rc;
}

static void tell(const struct send_options *o, const struct send_result *results)
{
    fflush(stdout); /* the dialogue comes before what goes to standard error */
    for (size_t i = 0; i < o->rcpt_count; i++) {
        const struct send_result *r = &results[i];
        if (o->quiet && r->result == SMTP_DELIVERED)
            continue;
        fprintf(r->result == SMTP_DELIVERED ? stdout : stderr, "<%.*s> %s: %s%s\n",
                SPAN_ARG(o->rcpts[i].addr), words[r->result], r->text ? r->text : "",
                r->result == SMTP_UNKNOWN ? " (it may have arrived)" : "");
    }
}

static void put_results(const struct send_options *o, const struct send_result *results,
                        struct json *j)
{
    json_open_array(j, "recipients");
    for (size_t i = 0; i < o->rcpt_count; i++) {
        const struct send_result *r = &results[i];
        json_open(j, NULL);
        json_str(j, "address", o->rcpts[i].addr);
        json_str(j, "result", span_str(words[r->result]));
        if (r->code)
            json_int(j, "code", r->code);
        json_str(j, "text", span_str(r->text ? r->text : ""));
        json_close(j);
    }
    json_close_array(j);
}

static int run(struct send_options *o)
{
    struct send_result *results = must_calloc(o->rcpt_count, sizeof *results);
    struct buf out;
    buf_init(&out, 64 << 20);
    struct json j = json_writer(&out);
    json_open(&j, NULL);
    json_str(&j, "host", span_str(o->host));
    json_open_array(&j, "steps");
    send_run(o, results, &j);
    json_close_array(&j);
    put_results(o, results, &j);
    json_close(&j);
    if (o->json)
        printf("%s\n", buf_cstr(&out));
    else
        tell(o, results);
    int rc = verdict(o, results);
    for (size_t i = 0; i < o->rcpt_count; i++)
        free(results[i].text);
    free(results);
    buf_free(&out);
    return fflush(stdout) == 0 ? rc : EX_IOERR;
}

int cli_send(int argc, char **argv)
{
    struct send_options *o = NEW(struct send_options);
    struct request rq = { .o = o };
    struct buf raw, crlf;
    char self[SEND_HOST_MAX] = "";
    buf_init(&raw, MESSAGE_MAX_BYTES);
    buf_init(&crlf, (size_t)2 * MESSAGE_MAX_BYTES);
    o->tls = SMTP_TLS_TRY;
    gethostname(self, sizeof self - 1);
    o->helo = self[0] ? span_str(self) : SPAN("localhost");
    signal(SIGPIPE, SIG_IGN);
    int rc = read_options(argc, argv, &rq);
    if (rc >= 0)
        goto done;
    rc = find_host(o, rq.host);
    if (rc == EX_OK)
        rc = get_content(o, rq.file, &raw, &crlf);
    if (rc == EX_OK)
        rc = run(o);
done:
    buf_free(&raw);
    buf_free(&crlf);
    free(o);
    return rc;
}
