/* The two commands that carry words of strangers: checked here, byte by byte, before they may
 * become part of a command. */
#include "smtp/client_private.h"

/* No control bytes, and outside quotes nothing that could end the path (RFC 5321 4.1.2). */
enum path_class client_path_check(struct span addr)
{
    bool quoted = false, escaped = false, high = false;
    for (size_t i = 0; i < addr.n; i++) {
        unsigned char c = (unsigned char)addr.p[i];
        if (c < 0x20 || c == 0x7f)
            return PATH_BAD;
        high = high || c >= 0x80;
        if (escaped)
            escaped = false;
        else if (quoted && c == '\\')
            escaped = true;
        else if (c == '"')
            quoted = !quoted;
        else if (!quoted && (c == ' ' || c == '<' || c == '>'))
            return PATH_BAD;
    }
    if (quoted || addr.n > ENVELOPE_ADDR_MAX)
        return PATH_BAD;
    return high ? PATH_UTF8 : PATH_OK;
}

/* ENVID and ORCPT come as xtext and are passed on as they are, or not at all. */
static bool param_ok(struct span v, bool utf8)
{
    for (size_t i = 0; i < v.n; i++) {
        unsigned char c = (unsigned char)v.p[i];
        if (c <= 0x20 || c == 0x7f || (c >= 0x80 && !utf8))
            return false;
    }
    return v.n > 0 && v.n <= ENVELOPE_TEXT_MAX;
}

static void put_param(struct smtp_client *c, const char *key, struct span v)
{
    if (param_ok(v, c->tx.utf8)) {
        buf_putz(&c->out, key);
        buf_puts(&c->out, v);
    }
}

void client_put_mail(struct smtp_client *c)
{
    const struct smtp_message *m = &c->tx.m;
    struct buf *b = &c->out;
    size_t start = client_cmd_begin(c);
    buf_putz(b, "MAIL FROM:<");
    buf_puts(b, m->sender);
    buf_putc(b, '>');
    if ((c->caps & SMTP_EXT_SIZE) && m->size_bytes) {
        buf_putz(b, " SIZE=");
        buf_putu(b, m->size_bytes);
    }
    if ((c->caps & SMTP_EXT_8BITMIME) && (m->flags & ENVELOPE_8BITMIME))
        buf_putz(b, " BODY=8BITMIME");
    if (c->tx.utf8)
        buf_putz(b, " SMTPUTF8");
    if ((c->caps & SMTP_EXT_XDELIVERY) && (m->flags & (ENVELOPE_QUEUE_ONLY | ENVELOPE_DEFER)))
        buf_putz(b, m->flags & ENVELOPE_DEFER ? " XDELIVERY=defer" : " XDELIVERY=queue_only");
    if (c->caps & SMTP_EXT_DSN) {
        if (m->flags & (ENVELOPE_RET_FULL | ENVELOPE_RET_HDRS))
            buf_putz(b, m->flags & ENVELOPE_RET_FULL ? " RET=FULL" : " RET=HDRS");
        put_param(c, " ENVID=", m->envid);
    }
    client_cmd_end(c, start, SMTP_STAGE_MAIL, 0);
}

static void put_notify(struct buf *b, unsigned notify)
{
    static const struct {
        unsigned bit;
        const char *word;
    } words[] = {
        { NOTIFY_SUCCESS, "SUCCESS" }, { NOTIFY_FAILURE, "FAILURE" }, { NOTIFY_DELAY, "DELAY" },
    };
    const char *before = " NOTIFY=";
    if (notify & NOTIFY_NEVER)
        buf_putz(b, " NOTIFY=NEVER");
    for (size_t i = 0; !(notify & NOTIFY_NEVER) && i < sizeof words / sizeof *words; i++)
        if (notify & words[i].bit) {
            buf_putz(b, before);
            buf_putz(b, words[i].word);
            before = ",";
        }
}

void client_put_rcpt(struct smtp_client *c, size_t i)
{
    const struct envelope_rcpt *r = &c->tx.m.rcpts[i];
    size_t start = client_cmd_begin(c);
    buf_putz(&c->out, "RCPT TO:<");
    buf_puts(&c->out, r->addr);
    buf_putc(&c->out, '>');
    if (c->caps & SMTP_EXT_DSN) {
        put_notify(&c->out, r->notify);
        put_param(c, " ORCPT=", r->orcpt);
    }
    client_cmd_end(c, start, SMTP_STAGE_RCPT, i);
}
