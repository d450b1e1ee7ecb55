/* The arguments of MAIL and RCPT: a path, then ESMTP parameters, each by a line of a table. */
#include "envelope/envelope.h"
#include "smtp/command.h"

#include "base/json.h"
#include "base/must.h"
#include "base/num.h"

enum { ENVID_MAX = 100, ORCPT_MAX = 500 }; /* RFC 3461 5.4 */

struct param_read {
    const struct command_caps *caps;
    struct command_mail *mail;
    struct command_rcpt *rcpt;
    struct reply *bad;
    struct buf *scratch;
    unsigned seen; /* bit per line of the table */
    bool utf8;
};

static int refuse(struct param_read *p, unsigned code, const char *enhanced, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

static int refuse(struct param_read *p, unsigned code, const char *enhanced, const char *fmt, ...)
{
    *p->bad = (struct reply){ .code = (unsigned short)code };
    MUST(strlen(enhanced) < sizeof p->bad->enhanced);
    memcpy(p->bad->enhanced, enhanced, strlen(enhanced));
    va_list ap;
    va_start(ap, fmt);
    buf_vprintf(p->scratch, fmt, ap);
    va_end(ap);
    p->bad->text = buf_span(p->scratch);
    return -1;
}

/* xtext of RFC 3461 4: "+" and two upper-case hexadecimal digits, or a printable character. */
static bool is_xtext(struct span s)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c < 33 || c > 126 || c == '=')
            return false;
        if (c != '+')
            continue;
        if (s.n - i < 3 || !memchr(hex, s.p[i + 1], 16) || !memchr(hex, s.p[i + 2], 16))
            return false;
        i += 2;
    }
    return true;
}

/* RFC 6533 3: with the type utf-8, UTF-8 may stand for itself. */
static bool is_utf8_text(struct span s)
{
    while (s.n > 0) {
        size_t n = utf8_length(s);
        if (n == 0 || (n == 1 && (s.p[0] < 33 || s.p[0] == 127)))
            return false;
        s = span_from(s, n);
    }
    return true;
}

static int read_size(struct param_read *p, struct span v)
{
    if (v.n == 0 || v.n > 20 || !num_u64(v, &p->mail->size))
        return refuse(p, 501, "5.5.4", "Bad argument \"%.*s\" to SIZE", SPAN_ARG(v));
    return 1;
}

static int read_body(struct param_read *p, struct span v)
{
    if (span_ieq(v, SPAN("8BITMIME")))
        p->mail->flags |= ENVELOPE_8BITMIME;
    else if (!span_ieq(v, SPAN("7BIT")))
        return refuse(p, 501, "5.5.4", "Unknown BODY type %.*s", SPAN_ARG(v));
    return 1;
}

static int read_smtputf8(struct param_read *p, struct span v)
{
    if (v.p) /* "=": RFC 6531 3.4 gives it no value */
        return refuse(p, 501, "5.5.4", "SMTPUTF8 takes no value");
    p->mail->flags |= ENVELOPE_SMTPUTF8;
    return 1;
}

static int read_ret(struct param_read *p, struct span v)
{
    if (span_ieq(v, SPAN("FULL")))
        p->mail->flags |= ENVELOPE_RET_FULL;
    else if (span_ieq(v, SPAN("HDRS")))
        p->mail->flags |= ENVELOPE_RET_HDRS;
    else
        return refuse(p, 501, "5.5.2", "Bad argument \"%.*s\" to RET", SPAN_ARG(v));
    return 1;
}

static int read_envid(struct param_read *p, struct span v)
{
    if (v.n == 0 || v.n > ENVID_MAX || !is_xtext(v))
        return refuse(p, 501, "5.5.4", "Syntax error in ENVID parameter value");
    p->mail->envid = v;
    return 1;
}

/* AUTH=<> or AUTH=xtext (RFC 4954 5): who submitted it elsewhere, in words we do not trust. */
static int read_auth(struct param_read *p, struct span v)
{
    if (v.n == 0 || (!is_xtext(v) && !span_eq(v, SPAN("<>"))))
        return refuse(p, 501, "5.5.4", "Syntax error in AUTH parameter value");
    return 1;
}

/* Ours, for local users only: sendmail's -odq and -odd. */
static int read_delivery(struct param_read *p, struct span v)
{
    if (span_ieq(v, SPAN("queue_only")))
        p->mail->flags |= ENVELOPE_QUEUE_ONLY;
    else if (span_ieq(v, SPAN("defer")))
        p->mail->flags |= ENVELOPE_DEFER;
    else
        return refuse(p, 501, "5.5.4", "Bad argument \"%.*s\" to XDELIVERY", SPAN_ARG(v));
    return 1;
}

static int read_notify(struct param_read *p, struct span v)
{
    static const struct {
        const char *word;
        uint8_t bit;
    } words[] = { { "NEVER", NOTIFY_NEVER }, { "SUCCESS", NOTIFY_SUCCESS },
                  { "FAILURE", NOTIFY_FAILURE }, { "DELAY", NOTIFY_DELAY } };
    struct span rest = v;
    uint8_t bits = 0;
    bool more = true;
    while (more) {
        size_t n = span_find(rest, ',');
        uint8_t bit = 0;
        for (size_t i = 0; i < sizeof words / sizeof *words; i++)
            if (span_ieq(span_to(rest, n), span_str(words[i].word)))
                bit = words[i].bit;
        /* NEVER stands alone (RFC 3461 4.1). */
        if (!bit || ((bits | bit) & NOTIFY_NEVER && bits))
            return refuse(p, 501, "5.5.4", "Bad argument \"%.*s\"  to NOTIFY", SPAN_ARG(v));
        bits |= bit;
        more = n < rest.n;
        rest = span_from(rest, n + 1);
    }
    p->rcpt->notify = bits;
    return 1;
}

static int read_orcpt(struct param_read *p, struct span v)
{
    size_t semi = span_find(v, ';');
    struct span type = span_to(v, semi), text = span_from(v, semi + 1);
    bool ok = semi > 0 && text.n > 0 && v.n <= ORCPT_MAX;
    for (size_t i = 0; i < type.n; i++)
        ok = ok && (ascii_isalnum(type.p[i]) || type.p[i] == '-');
    bool utf8 = p->utf8 && span_ieq(type, SPAN("utf-8"));
    if (!ok || !(utf8 ? is_utf8_text(text) : is_xtext(text)))
        return refuse(p, 501, "5.5.4", "Syntax error in ORCPT parameter value");
    p->rcpt->orcpt = v;
    return 1;
}

enum { FOR_MAIL = 1, FOR_RCPT = 2 };

static bool offer_always(const struct command_caps *c) { return c != NULL; }
static bool offer_8bit(const struct command_caps *c) { return c->eightbitmime; }
static bool offer_utf8(const struct command_caps *c) { return c->smtputf8; }
static bool offer_dsn(const struct command_caps *c) { return c->dsn; }
static bool offer_auth(const struct command_caps *c) { return c->auth; }
static bool offer_delivery(const struct command_caps *c) { return c->delivery; }

static const struct {
    const char *name;
    int with;
    bool (*offered)(const struct command_caps *);
    int (*read)(struct param_read *, struct span value);
} params[] = {
    { "SIZE", FOR_MAIL, offer_always, read_size },
    { "BODY", FOR_MAIL, offer_8bit, read_body },
    { "SMTPUTF8", FOR_MAIL, offer_utf8, read_smtputf8 },
    { "RET", FOR_MAIL, offer_dsn, read_ret },
    { "ENVID", FOR_MAIL, offer_dsn, read_envid },
    { "AUTH", FOR_MAIL, offer_auth, read_auth },
    { "XDELIVERY", FOR_MAIL, offer_delivery, read_delivery },
    { "NOTIFY", FOR_RCPT, offer_dsn, read_notify },
    { "ORCPT", FOR_RCPT, offer_dsn, read_orcpt },
};

static int read_param(struct param_read *p, struct span word)
{
    size_t eq = span_find(word, '=');
    struct span name = span_to(word, eq);
    struct span value = eq < word.n ? span_from(word, eq + 1) : SPAN_NONE;
    int with = p->mail ? FOR_MAIL : FOR_RCPT;
    for (size_t i = 0; i < sizeof params / sizeof *params; i++) {
        if (!(params[i].with & with) || !params[i].offered(p->caps) ||
            !span_ieq(name, span_str(params[i].name)))
            continue;
        if (p->seen & 1u << i)
            return refuse(p, 501, "5.5.4", "Duplicate parameter %s", params[i].name);
        p->seen |= 1u << i;
        return params[i].read(p, value);
    }
    return refuse(p, 555, "5.5.4", "%.*s parameter unrecognized", SPAN_ARG(name));
}

static int refuse_address(struct param_read *p, const struct address *a, enum address_error e,
                          const char *keyword)
{
    static const struct {
        unsigned code;
        const char *enhanced, *text;
    } said[ADDRESS_ERRORS] = {
        [ADDRESS_UNBALANCED] = { 553, "5.0.0", "Unbalanced '<'" },
        [ADDRESS_NO_USER] = { 553, "5.1.3", "User address required" },
        [ADDRESS_NO_HOST] = { 553, "5.1.3", "Hostname required" },
        [ADDRESS_BAD_ROUTE] = { 553, "5.1.3", "Invalid route address" },
        [ADDRESS_BAD_HOST] = { 553, "5.1.2", "Invalid host name" },
        [ADDRESS_BAD_USER] = { 553, "5.1.3", "Syntax error in mailbox address" },
        [ADDRESS_TOO_LONG] = { 501, "5.1.3", "Path too long" },
    };
    if (e == ADDRESS_MISSING)
        return refuse(p, 501, "5.5.2", "Syntax error in parameters scanning \"%s\"", keyword);
    return refuse(p, said[e].code, said[e].enhanced, "%.*s... %s", SPAN_ARG(a->typed),
                  said[e].text);
}

/* "FROM:<path> PARAM=VALUE ...", the colon right behind the keyword, blanks behind the colon. */
static int read_all(struct param_read *p, struct span arg, struct span keyword, struct address *a)
{
    struct span rest = span_from(arg, keyword.n + 1);
    if (!span_istarts(arg, keyword) || arg.n <= keyword.n || arg.p[keyword.n] != ':')
        return refuse_address(p, NULL, ADDRESS_MISSING, keyword.p);
    enum address_error e = address_take(&rest, a);
    if (e != ADDRESS_OK)
        return refuse_address(p, a, e, keyword.p);
    for (struct span word; (word = span_word(&rest)).n > 0;)
        if (read_param(p, word) < 0)
            return -1;
    if (a->utf8 && !(p->mail ? p->mail->flags & ENVELOPE_SMTPUTF8 : p->utf8))
        return refuse(p, 553, "5.6.7", "%.*s... Address needs SMTPUTF8", SPAN_ARG(a->typed));
    return 1;
}

int command_mail(struct span arg, const struct command_caps *caps, struct command_mail *m_r,
                 struct reply *bad_r, struct buf *scratch)
{
    *m_r = (struct command_mail){ 0 };
    struct param_read p = { .caps = caps, .mail = m_r, .bad = bad_r, .scratch = scratch };
    return read_all(&p, arg, SPAN("FROM"), &m_r->from);
}

int command_rcpt(struct span arg, const struct command_caps *caps, bool utf8,
                 struct command_rcpt *r_r, struct reply *bad_r, struct buf *scratch)
{
    *r_r = (struct command_rcpt){ 0 };
    struct param_read p = { .caps = caps, .rcpt = r_r, .bad = bad_r, .scratch = scratch,
                            .utf8 = utf8 };
    if (read_all(&p, arg, SPAN("TO"), &r_r->to) < 0)
        return -1;
    if (r_r->to.null)
        return refuse(&p, 553, "5.0.0", "%.*s... User address required", SPAN_ARG(r_r->to.typed));
    return 1;
}
