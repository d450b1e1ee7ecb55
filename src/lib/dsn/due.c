#include "dsn/dsn.h"

static enum dsn_due failure_due(const struct envelope *e, const struct envelope_rcpt *rcpt,
                                struct span postmaster)
{
    bool report = (e->flags & ENVELOPE_DSN) != 0;
    if (report || e->sender.n == 0) {
        /* RFC 3461 4.1: NEVER is for whoever sent it; our own reports do not ask for silence. */
        if (!report && (rcpt->notify & NOTIFY_NEVER))
            return DSN_NONE;
        return span_ieq(rcpt->addr, postmaster) ? DSN_ALARM : DSN_TO_POSTMASTER;
    }
    if (rcpt->notify && !(rcpt->notify & NOTIFY_FAILURE))
        return DSN_NONE;
    return DSN_TO_SENDER;
}

enum dsn_due dsn_due(const struct envelope *e, const struct envelope_rcpt *rcpt,
                     enum dsn_outcome outcome, struct span postmaster)
{
    uint8_t asked = rcpt->notify;
    if (outcome == DSN_OUT_FAILED)
        return failure_due(e, rcpt, postmaster);
    if ((e->flags & ENVELOPE_DSN) || e->sender.n == 0 || outcome == DSN_OUT_PASSED_ON ||
        (asked & NOTIFY_NEVER))
        return DSN_NONE;
    if (outcome == DSN_OUT_DELAYED)
        return !asked || (asked & NOTIFY_DELAY) ? DSN_TO_SENDER : DSN_NONE;
    return asked & NOTIFY_SUCCESS ? DSN_TO_SENDER : DSN_NONE;
}

bool dsn_wants_full(const struct envelope *e, enum dsn_kind kind, bool by_default)
{
    bool asked = e->flags & (ENVELOPE_RET_FULL | ENVELOPE_RET_HDRS);
    return kind == DSN_FAILURE && (asked ? (e->flags & ENVELOPE_RET_FULL) != 0 : by_default);
}
