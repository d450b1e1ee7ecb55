/* Which messages a queue run or a list means: sendmail's -qR -qS -qI -qQ with their negations
 * (of one kind one is enough, and each kind that is named has to hold), or one target. */
#include "qmgr/live.h"

enum { TEXTS_MAX = 256 << 10 };

void match_init(struct match *m)
{
    *m = (struct match){ .arena = arena_new(TEXTS_MAX) };
}

void match_free(struct match *m) { arena_free(&m->arena); }

static bool take_item(struct match *m, struct span s)
{
    bool not = s.n && s.p[0] == '!';
    s = span_from(s, not);
    if (m->n == LIVE_MATCHES_MAX || s.n < 2 || s.p[1] != ':' || !memchr("RSIQ", s.p[0], 4))
        return false;
    struct span text = arena_dup(m->arena, span_from(s, 2));
    m->items[m->n].what = s.p[0];
    m->items[m->n].not = not;
    m->items[m->n++].text = text;
    return text.p || !text.n;
}

bool match_take(struct match *m, struct span arg)
{
    if (span_eq(arg, SPAN("held")))
        return m->held = true;
    if (span_starts(arg, SPAN("match=")))
        return take_item(m, span_from(arg, 6));
    if (!span_starts(arg, SPAN("target=")) || arg.n == 7 || m->target.n)
        return false;
    m->target = arena_dup(m->arena, span_from(arg, 7));
    if (!queueid_seq(m->target, &m->target_seq))
        m->target_seq = 0;
    return m->target.n > 0;
}

bool match_is_all(const struct match *m) { return !m->n && !m->target.n; }

static bool contains(struct span in, struct span what)
{
    for (size_t i = 0; i + what.n <= in.n; i++)
        if (span_istarts(span_from(in, i), what))
            return true;
    return !what.n;
}

static bool item_fits(const struct match *m, char what, struct span text)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->items[i].what == what && contains(text, m->items[i].text) != m->items[i].not)
            return true;
    return false;
}

static bool names(const struct match *m, char what)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->items[i].what == what)
            return true;
    return false;
}

static bool fits_addr(const struct match *m, char what, struct sched_addr addr)
{
    struct buf b;
    buf_init(&b, ENVELOPE_ADDR_MAX + 8);
    sched_addr_put(&b, addr);
    bool fits = item_fits(m, what, buf_span(&b));
    buf_free(&b);
    return fits;
}

static bool is_target(const struct match *m, const struct sched_rcpt_info *r)
{
    struct buf b;
    if (m->target_seq || span_eq(r->dest, m->target) || (r->site.n && span_eq(r->site, m->target)))
        return true;
    buf_init(&b, ENVELOPE_ADDR_MAX + 8);
    sched_addr_put(&b, r->addr);
    struct span addr = buf_span(&b), domain = span_from(addr, span_rfind(addr, '@') + 1);
    bool whole = span_find(m->target, '@') < m->target.n;
    bool fits = span_ieq(whole ? addr : domain, m->target);
    buf_free(&b);
    return fits;
}

bool match_rcpt(const struct match *m, const struct sched_rcpt_info *r)
{
    return r->state < SCHED_LIVE && (r->state == SCHED_HELD) == m->held &&
           (!m->target.n || is_target(m, r));
}

/* One recipient is meant; of those that wait one has what -qR asks for, one that is held what
 * -qQ does. */
static bool fits_rcpts(const struct match *m, const struct qmgr *q,
                       const struct sched_msg_info *msg)
{
    bool meant = false, address = !names(m, 'R'), reason = !names(m, 'Q');
    struct sched_rcpt_info r;
    for (uint32_t i = 0; i < msg->rcpt_count && !(meant && address && reason); i++) {
        if (!sched_rcpt(q->sched, msg->seq, i, &r) || r.state >= SCHED_LIVE)
            continue;
        meant = meant || match_rcpt(m, &r);
        address = address || fits_addr(m, 'R', r.addr);
        reason = reason || (r.state == SCHED_HELD && item_fits(m, 'Q', r.reason));
    }
    return meant && address && reason;
}

bool match_message(const struct match *m, const struct qmgr *q, const struct sched_msg_info *msg)
{
    if (m->target_seq && !span_eq(span_str(queueid_make(msg->seq, msg->received_ms).text),
                                  m->target))
        return false; /* the time in it must be right as well */
    if (names(m, 'S') && !fits_addr(m, 'S', msg->sender))
        return false;
    if (names(m, 'I') &&
        !item_fits(m, 'I', span_str(queueid_make(msg->seq, msg->received_ms).text)))
        return false;
    return fits_rcpts(m, q, msg);
}
