/* What a server says it can do (RFC 5321 4.1.1.1), read from the reply to EHLO or LHLO. */
#include "smtp/client_private.h"

#include "base/num.h"

static const struct {
    struct span keyword;
    uint32_t bit;
} known[] = {
    { { "PIPELINING", 10 }, SMTP_EXT_PIPELINING },
    { { "SIZE", 4 }, SMTP_EXT_SIZE },
    { { "8BITMIME", 8 }, SMTP_EXT_8BITMIME },
    { { "SMTPUTF8", 8 }, SMTP_EXT_SMTPUTF8 },
    { { "DSN", 3 }, SMTP_EXT_DSN },
    { { "CHUNKING", 8 }, SMTP_EXT_CHUNKING },
    { { "STARTTLS", 8 }, SMTP_EXT_STARTTLS },
    { { "ENHANCEDSTATUSCODES", 19 }, SMTP_EXT_ENHANCED },
    { { "XDELIVERY", 9 }, SMTP_EXT_XDELIVERY },
};

static void read_line(struct smtp_client *c, struct span line)
{
    struct span keyword = span_word(&line);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (!span_ieq(keyword, known[i].keyword))
            continue;
        c->caps |= known[i].bit;
        uint64_t size;
        if (known[i].bit == SMTP_EXT_SIZE && num_u64(span_word(&line), &size))
            c->size_limit = size; /* 0 = no fixed limit (RFC 1870 4) */
    }
}

void client_caps_read(struct smtp_client *c, struct span text)
{
    c->caps = SMTP_EXT_ESMTP;
    c->size_limit = 0;
    size_t n = span_find(text, '\n'); /* the first line is a greeting, whatever its words */
    while (n < text.n) {
        text = span_from(text, n + 1);
        n = span_find(text, '\n');
        read_line(c, span_trim(span_to(text, n)));
    }
    c->caps &= ~c->conf->disable;
}
