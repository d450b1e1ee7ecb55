#include "route/value.h"

#include "base/num.h"

bool route_is_enhanced(struct span s)
{
    /* RFC 3463 2: class "." subject "." detail, each number of 1 to 3 digits */
    int dots = 0, digits = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '.' && digits) {
            dots++;
            digits = 0;
        } else if (!ascii_isdigit(s.p[i]) || ++digits > 3) {
            return false;
        }
    }
    return dots == 2 && digits && s.n > 1 && s.p[1] == '.';
}

/* "550" or "550 text" at the start of *s: taken off; 0 = none. */
static uint16_t take_reply(struct span *s)
{
    uint64_t v;
    if (s->n < 3 || (s->n > 3 && s->p[3] != ' ') || !num_upto(span_to(*s, 3), 999, &v) || v < 100)
        return 0;
    *s = span_trim(span_from(*s, 3));
    return (uint16_t)v;
}

/* sendmail's words (its usersmtp.c exit names) and what they say. */
static const struct {
    const char *word, *code;
    uint16_t reply;
} words[] = {
    { "nouser", "5.1.1", 550 },      { "nohost", "5.1.2", 550 },  { "usage", "5.5.4", 501 },
    { "unavailable", "5.3.0", 554 }, { "protocol", "5.5.0", 554 }, { "config", "5.3.5", 554 },
    { "tempfail", "4.3.0", 451 },
};

static bool take_word(struct span *s, struct route_dest *d)
{
    struct span rest = *s, word = span_to(*s, span_find(*s, ' '));
    word = span_to(word, span_find(word, ':'));
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (span_ieq(word, span_str(words[i].word))) {
            d->code = span_str(words[i].code);
            d->reply = words[i].reply;
            *s = span_trim(span_from(rest, word.n + 1));
            return true;
        }
    return false;
}

bool route_value_error(struct span s, struct route_dest *d, struct err *e)
{
    struct span code = span_to(s, span_find(s, ':'));
    code = span_to(code, span_find(code, ' '));
    if (route_is_enhanced(code)) {
        d->code = code;
        s = span_trim(span_from(s, code.n + 1));
    } else {
        take_word(&s, d);
    }
    uint16_t reply = take_reply(&s);
    if (reply)
        d->reply = reply;
    if (!d->reply)
        d->reply = d->code.n && d->code.p[0] == '4' ? 451 : 550;
    if (!d->code.n)
        d->code = d->reply < 500 ? SPAN("4.0.0") : SPAN("5.0.0");
    d->text = s.n ? s : SPAN("Mail to this address is not accepted");
    if (d->reply < 400 || d->reply > 599) {
        err_set(e, "the reply code %u is not 4yz or 5yz", d->reply);
        return false;
    }
    if (d->reply / 100 != d->code.p[0] - '0') {
        err_set(e, "the reply code %u and %.*s say different things: both must begin with 4 or 5",
                d->reply, SPAN_ARG(d->code));
        return false;
    }
    return true;
}

static bool parse_hops(struct span s, struct arena *a, struct route_dest *d, struct err *e)
{
    struct dns_hop hops[DNS_HOPS_MAX];
    if (!s.n) {
        err_set(e, "the host is missing behind \"%s:\"", route_mailer_name(d->mailer));
        return false;
    }
    if (!dns_hops_parse(s, hops, &d->hop_count, e))
        return false;
    d->hops = arena_alloc(a, d->hop_count * sizeof *hops);
    if (d->hops)
        memcpy(d->hops, hops, d->hop_count * sizeof *hops);
    else
        err_set(e, "out of room");
    return d->hops != NULL;
}

/* "/path" or "unix:/path" is a socket of this machine; else hops, whose usual port is that of
 * LMTP's customary servers. */
static bool parse_lmtp(struct span s, struct arena *a, struct route_dest *d, struct err *e)
{
    struct span path = span_istarts(s, SPAN("unix:")) ? span_from(s, 5) : s;
    if (path.n && path.p[0] == '/') {
        if (path.n > ROUTE_PATH_MAX) {
            err_set(e, "the path of a socket is longer than %d bytes", ROUTE_PATH_MAX);
            return false;
        }
        d->path = path;
        return true;
    }
    if (!parse_hops(s, a, d, e))
        return false;
    for (size_t i = 0; i < d->hop_count; i++)
        if (!d->hops[i].port)
            d->hops[i].port = ROUTE_LMTP_PORT;
    return true;
}

static bool parse_rest(struct span rest, struct arena *a, struct route_dest *d, struct err *e)
{
    switch (d->mailer) {
    case ROUTE_RELAY:
    case ROUTE_ESMTP:
    case ROUTE_SMTP:
    case ROUTE_SMTP8:
    case ROUTE_DSMTP:
        return parse_hops(rest, a, d, e);
    case ROUTE_LMTP:
        return parse_lmtp(rest, a, d, e);
    case ROUTE_LOCAL:
        if (span_find(rest, '@') < rest.n || span_find(rest, ' ') < rest.n) {
            err_set(e, "\"local:\" takes a user of this host, not \"%.*s\"", SPAN_ARG(rest));
            return false;
        }
        d->user = rest;
        return true;
    case ROUTE_ERROR:
        return route_value_error(rest, d, e);
    case ROUTE_HOLD:
        d->text = rest.n ? rest : SPAN("held by the route");
        return true;
    default:
        return true;
    }
}

/* %1 -> part, in a copy. */
static struct span expand(struct span s, struct span part, struct arena *a)
{
    struct buf b;
    buf_init(&b, DNS_HOPS_TEXT_MAX);
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '%' && i + 1 < s.n && s.p[i + 1] == '1') {
            buf_puts(&b, part);
            i++;
        } else {
            buf_putc(&b, s.p[i]);
        }
    }
    s = b.failed ? SPAN_NONE : arena_dup(a, buf_span(&b));
    buf_free(&b);
    return s;
}

static bool finish(struct span value, struct span rest, struct arena *a, struct route_dest *d,
                   struct err *e)
{
    if (value.n > ROUTE_TEXT_MAX && !route_dest_has_hops(d)) {
        err_set(e, "the value is longer than %d bytes", ROUTE_TEXT_MAX);
        return false;
    }
    for (size_t i = 0; i < value.n; i++)
        if ((unsigned char)value.p[i] < ' ' && value.p[i] != '\t') {
            err_set(e, "a control character in the value"); /* it would stand in a reply */
            return false;
        }
    rest = arena_dup(a, rest);
    if (!rest.p) {
        err_set(e, "out of room");
        return false;
    }
    return parse_rest(rest, a, d, e);
}

bool route_value(struct span value, struct span part, struct arena *a, struct route_dest *d,
                 struct err *e)
{
    size_t colon = span_find(value, ':');
    struct span name = span_trim(span_to(value, colon));
    struct span rest = span_trim(span_from(value, colon + 1));
    *d = (struct route_dest){ 0 };
    if (colon == value.n) {
        err_set(e, "no mailer in \"%.*s\": write \"relay:%.*s\"", SPAN_ARG(value), SPAN_ARG(value));
        return false;
    }
    if (!route_mailer_from(name, &d->mailer)) {
        err_set(e, "unknown mailer \"%.*s\"; there are relay esmtp smtp smtp8 dsmtp lmtp local "
                "error discard hold",
                SPAN_ARG(name));
        return false;
    }
    if (d->mailer != ROUTE_ERROR && d->mailer != ROUTE_HOLD && memmem(rest.p, rest.n, "%1", 2))
        rest = expand(rest, part, a);
    return finish(value, rest, a, d, e);
}

static bool all_digits(struct span s)
{
    uint64_t v;
    return num_u64(s, &v);
}

bool route_value_or_hops(struct span value, struct arena *a, struct route_dest *d, struct err *e)
{
    size_t colon = span_find(value, ':');
    struct span rest = span_from(value, colon + 1);
    enum route_mailer mailer;
    /* "relay:25" is a host of that name with a port */
    if (colon < value.n && route_mailer_from(span_to(value, colon), &mailer) && !all_digits(rest))
        return route_value(value, SPAN_NONE, a, d, e);
    *d = (struct route_dest){ .mailer = ROUTE_RELAY };
    return finish(value, value, a, d, e);
}

static bool check_key(struct span key, struct err *e)
{
    struct dns_name name;
    if (span_eq(key, SPAN(".")))
        return true;
    if (span_find(key, '@') < key.n) {
        err_set(e, "the key \"%.*s\" is an address; the keys of a mailertable are domains",
                SPAN_ARG(key));
        return false;
    }
    if (key.p[0] == '[') {
        err_set(e, "the key \"%.*s\": address literals go to their address, no table is asked",
                SPAN_ARG(key));
        return false;
    }
    enum dns_name_error bad = dns_name_from(span_from(key, key.p[0] == '.'), &name);
    if (bad)
        err_set(e, "the key \"%.*s\" is no domain: %s%s", SPAN_ARG(key), dns_name_error_text(bad),
                span_find(key, '*') < key.n ? " (\".example.net\" is all below example.net)" : "");
    return !bad;
}

bool route_check_entry(void *unused, struct span key, struct span value, struct err *e)
{
    struct arena *a = arena_new(1 << 16);
    struct route_dest d;
    (void)unused;
    bool good = check_key(key, e) && route_value(value, SPAN("x"), a, &d, e);
    arena_free(&a);
    return good;
}
