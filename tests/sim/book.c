/* The book of these days: when each message was accepted, tried, delivered, warned about and
 * given up, and whether that is as it should be. */
#include "days.h"

#include "base/must.h"
#include "base/num.h"
#include "spool/spool.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    CONTENT_MAX = 1 << 20,
    LARGE_BYTES = 60000,
    EARLY_MS = MINUTE_MS,          /* it was received a little before it was accepted */
    SLACK_MS = 12 * MINUTE_MS,   /* an attempt under way, and the report's own way */
    /* What expired while the machine slept is tried once more; a site is left alone for a while
     * after there was no name server. */
    AFTERWARDS_MS = 45 * MINUTE_MS,
    WAIT_MS = 10 * MINUTE_MS,    /* for a slot at a site, before an attempt */
    TAKES_ALL_MS = 12 * HOUR_MS, /* for those that take a little at a time */
    SITE_MAX_MS = 30 * MINUTE_MS,
    LEVELS_KEPT = 4, /* over a restart */
    BURST = 16, /* attempts at a site in trouble before it is left alone, and a few more */
    EXCUSED = 6, /* attempts more for each process that died */
};

/* --- making them --- */

static struct host *any_host(struct days *d)
{
    uint64_t all = 0, dice;
    for (int pass = 0; pass < 2; pass++) {
        dice = pass ? chance(&d->w, all) : 0;
        for (size_t i = 0; i < d->host_count; i++) {
            uint32_t weight = d->hosts[i].plan->weight;
            weight = weight == WEIGHT_NONE ? 0 : weight ? weight : 1;
            if (!pass)
                all += weight;
            else if (dice < weight)
                return &d->hosts[i];
            else
                dice -= weight;
        }
    }
    MUST(!"a host that takes mail");
    return NULL;
}

void book_make(struct days *d)
{
    const struct play *p = d->play;
    d->count = p->mails;
    d->mails = must_calloc(d->count, sizeof *d->mails);
    for (unsigned i = 0; i < d->count; i++) {
        struct mail *m = &d->mails[i];
        m->n = i + 1;
        m->host = any_host(d);
        m->domain = m->host->plan->domains ? (unsigned)chance(&d->w, m->host->plan->domains) : 0;
        m->notify = p->plain ? NOTIFY_PLAIN : (enum notify)chance(&d->w, NOTIFIES);
        m->no_sender = !p->plain && one_in(&d->w, 20);
        m->bytes = 200 + chance(&d->w, one_in(&d->w, 10) ? LARGE_BYTES : 3000);
        m->due_ms = (int64_t)chance(&d->w, (uint64_t)p->spread_ms);
        m->accepted_ms = m->rcpt_said_ms = m->last_ms = -1;
    }
    if (p->make)
        p->make(d);
}

void book_free(struct days *d) { free(d->mails); }

void mail_sender(const struct mail *m, struct buf *b)
{
    if (m->from[0])
        buf_putz(b, m->from);
    else if (!m->no_sender)
        buf_printf(b, "s%u@src.example", m->n);
}

void mail_to(const struct mail *m, struct buf *b)
{
    buf_printf(b, "m%u@%s", m->n, m->host->plan->name);
    if (m->domain)
        buf_printf(b, "%u", m->domain);
    buf_putz(b, ".example");
}

void mail_content(const struct mail *m, struct buf *b)
{
    buf_printf(b, "X-Sim: %u\r\nSubject: message %u\r\n\r\n", m->n, m->n);
    for (unsigned i = 0; b->len < m->bytes; i++)
        buf_printf(b, "%u: the quick brown fox jumps over the lazy dog, and again\r\n", i);
}

struct mail *mail_of(struct days *d, struct span address)
{
    uint64_t n;
    if (address.n < 2 || (address.p[0] != 's' && address.p[0] != 'm'))
        return NULL;
    struct span number = span_to(span_from(address, 1), span_find(span_from(address, 1), '@'));
    return num_upto(number, d->count, &n) && n ? &d->mails[n - 1] : NULL;
}

/* --- attempts --- */

/* A moment at which something falls due, put off to when there is somebody to do it. */
static int64_t awake(const struct days *d, int64_t ms)
{
    for (size_t i = 0; i < d->event_count; i++) {
        const struct event *e = &d->events[i];
        bool away = e->what == SLEEP || e->what == AWAY || e->what == MUTE_RESOLVER;
        int64_t over = e->at_ms + e->ms + AFTERWARDS_MS;
        if (away && e->at_ms <= ms && ms < over)
            ms = over;
    }
    return ms;
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* What it says is about the recipient alone: the recipient's own curve holds. */
static bool own_curve(const struct host *h)
{
    const struct host_plan *p = h->plan;
    return p->manner == GREYLISTS || (p->manner == ANSWERS && p->stage >= AT_RCPT);
}

static int64_t expire_ms(const struct host *h)
{
    return h->plan->expire_ms ? h->plan->expire_ms : h->d->play->expire_ms;
}

static int64_t warn_ms(const struct host *h)
{
    return h->plan->warn_ms ? h->plan->warn_ms : h->d->play->warn_ms;
}

static int64_t curve_ms(const struct host *h, unsigned level)
{
    const struct play *p = h->d->play;
    const int64_t *curve = h->plan->curve_ms;
    unsigned n = 0;
    while (curve[n])
        n++;
    if (n)
        return curve[level <= n ? level - 1 : n - 1];
    int64_t ms = p->retry_first_ms;
    for (unsigned i = 1; i < level && ms < p->retry_max_ms; i++)
        ms *= 2;
    return least(ms, p->retry_max_ms);
}

static void check_gap(struct mail *m, struct host *h, int64_t now)
{
    int64_t gap = now - m->last_ms, want = curve_ms(h, m->level);
    int64_t most = curve_ms(h, m->attempts); /* level may be less, as it begins anew */
    if (gap < want * 7 / 8 - SECOND_MS)
        fail(&h->d->w, "message %u: attempt %u comes %lld s after the last, not %lld s", m->n,
             m->attempts + 1, (long long)gap / SECOND_MS, (long long)want / SECOND_MS);
    if (now > awake(h->d, m->last_ms + most * 9 / 8 + WAIT_MS))
        fail(&h->d->w, "message %u: attempt %u comes only %lld s after the last, not %lld s",
             m->n, m->attempts + 1, (long long)gap / SECOND_MS, (long long)most / SECOND_MS);
}

unsigned excuses_since(const struct days *d, int64_t ms)
{
    unsigned n = 0;
    for (size_t i = d->w.excuse_count; i > 0 && d->w.excuses[i - 1] - d->w.begun_ms >= ms; i--)
        n++;
    return n;
}

/* Whatever goes wrong: no more than a site that is probed as often as it may be would see. */
static void check_number(const struct mail *m, const struct host *h, int64_t now)
{
    const struct play *p = h->d->play;
    int64_t each = least(least(p->retry_max_ms, SITE_MAX_MS), curve_ms(h, 3)) * 7 / 8;
    unsigned most = BURST + (unsigned)((now - m->accepted_ms) / each) +
                    EXCUSED * excuses_since(h->d, m->accepted_ms);
    if (m->attempts > most)
        fail(&h->d->w, "message %u was tried %u times within %lld minutes, more than %u", m->n,
             m->attempts, (long long)(now - m->accepted_ms) / MINUTE_MS, most);
}

void book_attempt(struct mail *m, struct host *h)
{
    struct days *d = h->d;
    int64_t now = since(d);
    d->times = (d->times ^ (uint64_t)now ^ (uint64_t)m->n << 48) * 0x9e3779b97f4a7c15u;
    say(&d->w, "attempt %u of message %u at %s", m->attempts + 1, m->n, h->plan->name);
    bool excused = m->last_ms < 0 || excuses_since(d, m->last_ms - ATTEMPT_MS);
    if (excused)
        m->level = m->attempts < LEVELS_KEPT ? m->attempts : LEVELS_KEPT;
    else if (own_curve(h))
        check_gap(m, h, now);
    m->level++;
    m->attempts++;
    m->last_ms = now;
    if (m->accepted_ms >= 0)
        check_number(m, h, now);
}

/* --- what arrives --- */

static struct span after(struct span s, const char *name)
{
    const char *at = memmem(s.p, s.n, name, strlen(name));
    return at ? span_from(s, (size_t)(at - s.p) + strlen(name)) : SPAN_NONE;
}

static struct span to_end(struct span s) { return span_to(s, span_find(s, '\r')); }

/* One report, however often it arrives. */
static void count_report(struct days *d, unsigned *count, char id[80], struct span message_id)
{
    if (*count && span_eq(span_str(id), message_id) && excuses_since(d, 0))
        return;
    ++*count;
    snprintf(id, 80, "%.*s", SPAN_ARG(span_to(message_id, 79)));
}

static void report_about(struct days *d, struct mail *m, struct span action, struct span id)
{
    say(&d->w, "a report: message %u %.*s", m->n, SPAN_ARG(action));
    if (span_eq(action, SPAN("failed"))) {
        if (!m->failed)
            m->failed_ms = since(d);
        count_report(d, &m->failed, m->failed_id, id);
    } else if (span_eq(action, SPAN("delayed"))) {
        if (!m->delayed)
            m->delayed_ms = since(d);
        count_report(d, &m->delayed, m->delayed_id, id);
    } else if (span_eq(action, SPAN("relayed"))) {
        m->relayed++;
    } else {
        fail(&d->w, "a report says that message %u is %.*s", m->n, SPAN_ARG(action));
    }
}

static void report_arrived(struct days *d, struct hop *hop)
{
    struct span content = buf_span(&hop->content), rest = content;
    struct span id = to_end(after(content, "Message-ID: "));
    while ((rest = after(rest, "Final-Recipient: rfc822;")).n) {
        struct mail *m = mail_of(d, span_trim(to_end(rest)));
        struct mail *owner = mail_of(d, span_str(hop->rcpts[0]));
        if (!m)
            fail(&d->w, "a report about nobody's message");
        else if (m->no_sender == (owner != NULL) || (owner && owner != m && !m->from[0]))
            fail(&d->w, "the report about message %u went to %s", m->n, hop->rcpts[0]);
        if (m)
            report_about(d, m, to_end(after(rest, "Action: ")), id);
    }
}

/* Each piece of news begins with a line that says what it is, and of what, and ends with the name
 * of the alarm. */
static void letter_arrived(struct days *d, struct span content)
{
    static const struct {
        const char *word;
        enum news news;
    } words[] = { { "\nALARM  ", RAISED }, { "\nSTILL  ", REPEATED }, { "\nOVER  ", CLEARED } };
    say(&d->w, "a letter: %.*s", SPAN_ARG(to_end(after(content, "Subject: "))));
    d->letter_count++;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        for (struct span s = content; (s = after(s, words[i].word)).n;) {
            MUST(d->piece_count < PIECES_MAX);
            struct piece *p = &d->pieces[d->piece_count++];
            p->at_ms = since(d);
            p->news = words[i].news;
            struct span subject = after(to_end(s), ": ");
            snprintf(p->kind, sizeof p->kind, "%.*s%s%.*s",
                     SPAN_ARG(span_to(to_end(after(s, "  name: ")), 20)), subject.n ? " " : "",
                     SPAN_ARG(span_to(subject, 40)));
            say(&d->w, "news: %s %d", p->kind, p->news);
        }
}

const struct piece *news_at(const struct days *d, const char *kind, enum news news, unsigned n)
{
    for (size_t i = 0; i < d->piece_count; i++)
        if (d->pieces[i].news == news && strcmp(d->pieces[i].kind, kind) == 0 && n-- == 0)
            return &d->pieces[i];
    return NULL;
}

unsigned news_count(const struct days *d, const char *kind, enum news news)
{
    unsigned n = 0;
    while (news_at(d, kind, news, n))
        n++;
    return n;
}

static void mail_arrived(struct days *d, struct host *h, struct mail *m, struct span content)
{
    struct buf want;
    buf_init(&want, CONTENT_MAX);
    mail_content(m, &want);
    if (!span_ends(content, buf_span(&want)))
        fail(&d->w, "message %u was altered", m->n);
    buf_free(&want);
    if (h != m->host)
        fail(&d->w, "message %u came to %s", m->n, h->plan->name);
    if (m->delivered++ == 0)
        m->delivered_ms = since(d);
    say(&d->w, "message %u arrived", m->n);
}

void book_arrived(struct days *d, struct host *h, struct hop *hop)
{
    struct span content = buf_span(&hop->content);
    if (strcmp(h->plan->name, "ops") == 0)
        letter_arrived(d, content);
    else if (!hop->sender[0] && memmem(content.p, content.n, "multipart/report", 16))
        report_arrived(d, hop);
    else
        for (size_t i = 0; i < hop->rcpt_count; i++) {
            struct mail *m = mail_of(d, span_str(hop->rcpts[i]));
            if (m)
                mail_arrived(d, h, m, content);
            else
                fail(&d->w, "mail for %s arrived, which nobody sent", hop->rcpts[i]);
        }
}

/* --- what must have become of each --- */

static bool wants_failure(const struct mail *m)
{
    if (m->no_sender) /* the postmaster is told */
        return m->notify != NOTIFY_ON_NEVER;
    return m->notify == NOTIFY_PLAIN || m->notify == NOTIFY_ON_FAILURE ||
           m->notify == NOTIFY_ON_SUCCESS;
}

static bool wants_delay(const struct mail *m)
{
    return !m->no_sender && (m->notify == NOTIFY_PLAIN || m->notify == NOTIFY_ON_DELAY);
}

/* A client that heard no reply to its content sends again: both may have been taken. */
static unsigned copies(const struct mail *m) { return m->contents > 1 ? m->contents : 1; }

static bool fails_at_once(const struct host *h)
{
    return h->plan->manner == ANSWERS && h->plan->reply[0] == '5' && !h->plan->until_ms;
}

static bool done(const struct mail *m)
{
    if (m->unknown && !m->acks)
        return m->code == 550;
    if (m->accepted_ms < 0)
        return false;
    if (m->unknown)
        return m->failed || !wants_failure(m);
    if (!host_never_takes(m->host))
        return m->delivered && (m->notify != NOTIFY_ON_SUCCESS || !m->host->plan->no_dsn ||
                                m->relayed || m->no_sender);
    if (!wants_failure(m))
        return since(m->host->d) > m->accepted_ms + expire_ms(m->host) + SLACK_MS;
    return m->failed > 0;
}

unsigned book_open(const struct days *d)
{
    unsigned n = 0;
    for (unsigned i = 0; i < d->count; i++)
        n += !done(&d->mails[i]);
    return n;
}

/* What the clock was set by altogether: a restart reads the clock anew. */
static int64_t clock_off_ms(const struct days *d)
{
    int64_t ms = 0;
    for (size_t i = 0; i < d->event_count && d->play->kills; i++)
        if (d->events[i].what == SET_CLOCK)
            ms += d->events[i].ms < 0 ? -d->events[i].ms : d->events[i].ms;
    return ms;
}

static void check_failed(struct days *d, const struct mail *m)
{
    int64_t end = fails_at_once(m->host) ? m->accepted_ms : m->accepted_ms + expire_ms(m->host);
    int64_t latest = awake(d, end + SLACK_MS) + clock_off_ms(d);
    unsigned want = wants_failure(m);
    if (m->delivered)
        fail(&d->w, "message %u was delivered to %s, which takes nothing", m->n,
             m->host->plan->name);
    if (m->failed < want || m->failed > want * copies(m))
        fail(&d->w, "message %u to %s (notify %d) was reported as failed %u times, not %u", m->n,
             m->host->plan->name, m->notify, m->failed, want);
    bool early = copies(m) == 1 && m->failed_ms < end - EARLY_MS - clock_off_ms(d);
    if (m->failed && (early || m->failed_ms > latest))
        fail(&d->w, "message %u to %s: accepted at %lld, was to be given up at %lld s, and was "
             "at %lld s", m->n, m->host->plan->name, (long long)m->accepted_ms / SECOND_MS,
             (long long)end / SECOND_MS, (long long)m->failed_ms / SECOND_MS);
}

static void check_delivered(struct days *d, const struct mail *m)
{
    const struct host_plan *p = m->host->plan;
    int64_t from = p->until_ms > m->accepted_ms ? p->until_ms : m->accepted_ms;
    int64_t within = p->manner == GOOD && !p->most ? SLACK_MS
                     : p->until_ms && from == m->accepted_ms ? SLACK_MS
                     : p->until_ms ? d->play->retry_max_ms * 9 / 8 + SITE_MAX_MS + SLACK_MS
                                   : (int64_t)TAKES_ALL_MS;
    /* A site that was in trouble may still be left alone. */
    if (p->until_ms && from < p->until_ms + d->play->retry_max_ms)
        within = d->play->retry_max_ms * 9 / 8 + SITE_MAX_MS + SLACK_MS;
    if (!m->delivered)
        fail(&d->w, "message %u to %s was accepted and is LOST", m->n, p->name);
    if (m->failed)
        fail(&d->w, "message %u to %s was given up", m->n, p->name);
    if (m->delivered > copies(m) && !excuses_since(d, m->accepted_ms - ATTEMPT_MS))
        fail(&d->w, "message %u to %s was delivered %u times", m->n, p->name, m->delivered);
    if (m->delivered && m->delivered_ms > awake(d, from + within) + clock_off_ms(d))
        fail(&d->w, "message %u to %s was delivered %lld minutes after it could be", m->n,
             p->name, (long long)(m->delivered_ms - from) / MINUTE_MS);
    unsigned want = m->notify == NOTIFY_ON_SUCCESS && p->no_dsn && !m->no_sender;
    if (m->relayed != want && !(want && m->relayed && excuses_since(d, m->accepted_ms)))
        fail(&d->w, "message %u to %s was reported as relayed %u times, not %u", m->n, p->name,
             m->relayed, want);
}

static void check_delay(struct days *d, const struct mail *m)
{
    int64_t warn = m->accepted_ms + warn_ms(m->host);
    int64_t end = host_never_takes(m->host) ? m->accepted_ms + expire_ms(m->host)
                  : m->delivered ? m->delivered_ms : INT64_MAX;
    bool must = wants_delay(m) && !fails_at_once(m->host) &&
                end > awake(d, warn + SLACK_MS) + clock_off_ms(d);
    if (m->delayed > copies(m) || (m->delayed && !wants_delay(m)))
        fail(&d->w, "message %u (notify %d) was reported as delayed %u times", m->n, m->notify,
             m->delayed);
    if (copies(m) == 1 && m->delayed && m->delayed_ms < warn - EARLY_MS - clock_off_ms(d))
        fail(&d->w, "message %u was reported as delayed after %lld minutes", m->n,
             (long long)(m->delayed_ms - m->accepted_ms) / MINUTE_MS);
    if (must && !m->delayed)
        fail(&d->w, "message %u to %s is late, and its sender was not told", m->n,
             m->host->plan->name);
}

static void check_mail(struct days *d, const struct mail *m)
{
    if (m->unknown) { /* taken only where nobody could be asked */
        if (m->acks ? !excuses_since(d, 0) || m->failed != wants_failure(m) : m->code != 550)
            fail(&d->w, "message %u to nobody at %s was answered with %d", m->n,
                 m->host->plan->name, m->code);
        return;
    }
    if (m->accepted_ms < 0) {
        fail(&d->w, "message %u to %s was never accepted", m->n, m->host->plan->name);
        return;
    }
    if (host_never_takes(m->host))
        check_failed(d, m);
    else
        check_delivered(d, m);
    check_delay(d, m);
}

/* A site that never answers is left alone for longer and longer: what comes again and again at
 * it is a probe in SITE_MAX_MS, and some at first and for each process that died. */
static void check_site(struct days *d, const struct host *h)
{
    enum { AT_FIRST = 60 };
    const struct host_plan *p = h->plan;
    unsigned each = excuses_since(d, 0) * d->play->concurrency;
    unsigned most = AT_FIRST + each + 2 * (unsigned)(since(d) / SITE_MAX_MS);
    bool down = p->manner >= ANSWERS && p->manner <= DEAF && p->stage <= AT_HELO && !p->until_ms;
    if (down && h->connections > most)
        fail(&d->w, "%s was connected to %u times, more than %u", p->name, h->connections, most);
}

void book_check(struct days *d)
{
    for (size_t i = 0; i < d->host_count; i++)
        check_site(d, &d->hosts[i]);
    for (unsigned i = 0; i < d->count; i++)
        check_mail(d, &d->mails[i]);
    if (d->play->check)
        d->play->check(d);
}
