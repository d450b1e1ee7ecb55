#include "mail/headeraddr.h"

#include "mail/address.h"
#include "mail/compose.h"

/* Those that sendmail takes for senders and for recipients. */
static const char *const senders[] = {
    "From", "Sender", "Reply-To", "Resent-From", "Resent-Sender", "Resent-Reply-To", "Errors-To",
    "Disposition-Notification-To", NULL
};
static const char *const recipients[] = { "To", "Cc", "Bcc", "Apparently-To", "Resent-To",
                                          "Resent-Cc", "Resent-Bcc", NULL };

static bool is_one_of(struct span name, const char *const *names)
{
    while (*names && !span_ieq(name, span_str(*names)))
        names++;
    return *names != NULL;
}

void headeraddr_init(struct headeraddr *w, struct span header, bool rcpts)
{
    *w = (struct headeraddr){ .header = header, .rcpts = rcpts };
    addrlist_init(&w->list, SPAN_NONE);
}

void headeraddr_free(struct headeraddr *w) { addrlist_free(&w->list); }

static bool next_field(struct headeraddr *w)
{
    struct compose_field f;
    while (compose_next_field(&w->header, &f)) {
        w->rcpt = is_one_of(f.name, recipients);
        if (w->rcpt ? !w->rcpts : !is_one_of(f.name, senders))
            continue;
        w->field = f.name;
        w->value = span_trim_lines(f.value);
        addrlist_free(&w->list);
        addrlist_init(&w->list, f.value);
        return true;
    }
    return false;
}

static bool is_good(const struct headeraddr *w)
{
    struct address a;
    if (w->list.unclosed || !w->at.n || w->addr.n > ADDRESS_MAX)
        return false;
    if (address_read(w->addr, &a) != ADDRESS_OK || a.null)
        return false;
    bool alone = w->list.typed.n == w->value.n; /* of the field's value */
    return a.domain.n || w->list.angle || (alone && w->addr.p[0] != '"');
}

bool headeraddr_next(struct headeraddr *w)
{
    do {
        int got;
        while ((got = addrlist_next(&w->list, &w->addr)) != 0) {
            w->at = w->list.at;
            if (got > 0 && is_good(w))
                return true;
        }
    } while (next_field(w));
    return false;
}
