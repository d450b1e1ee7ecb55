/* What qmgr says: mail that is old, by site, and how much there is. */
#include "watch/inside.h"

#include "alarm/letter.h"
#include "base/must.h"
#include "proto/watch_qmgr.h"

#include <stdlib.h>
#include <string.h>

enum { MINUTE_MS = 60 * 1000, EXPIRY_SLACK_MS = 2 * 60 * MINUTE_MS,
       EXPIRY_LASTS_MS = 45 * MINUTE_MS, UNSITED_SLACK_MS = 10 * MINUTE_MS };

static size_t keep(char *to, struct span s)
{
    s = span_to(s, SITE_NAME_MAX);
    if (s.n)
        memcpy(to, s.p, s.n);
    return s.n;
}

static struct old_site *site_of(struct watch *w, struct span name)
{
    name = span_to(name, SITE_NAME_MAX);
    for (size_t i = 0; i < w->site_count; i++)
        if (span_eq(span_of(w->sites[i].site, w->sites[i].site_len), name))
            return &w->sites[i];
    if (w->site_count == SITES_MAX)
        return NULL;
    struct old_site *s = &w->sites[w->site_count++];
    *s = (struct old_site){ .age_ms = -1 };
    s->site_len = keep(s->site, name);
    return s;
}

static void on_old_cell(struct watch *w, struct channel *ch, const struct msg_old_cell *m)
{
    (void)ch;
    struct old_site *s = m->q == w->facts_q ? site_of(w, m->site.n ? m->site : m->domain) : NULL;
    if (!s)
        return;
    s->unsited |= !m->site.n;
    if (s->old && !span_eq(span_of(s->domain, s->domain_len), span_to(m->domain, SITE_NAME_MAX)))
        s->domains = true;
    s->old += m->old;
    if (m->age_ms <= s->age_ms)
        return;
    s->age_ms = m->age_ms;
    s->domain_len = keep(s->domain, m->domain);
    s->reason_len = keep(s->reason, m->reason);
}

static void put_site(struct buf *b, const struct old_site *s)
{
    buf_printf(b, "%llu %s waited for too long, the oldest for ", (unsigned long long)s->old,
               s->old == 1 ? "recipient has" : "recipients have");
    alarm_put_age(b, s->age_ms);
    buf_printf(b, " (%.*s%s)", (int)s->domain_len, s->domain, s->domains ? " and others" : "");
    if (s->reason_len)
        buf_printf(b, ": %.*s", (int)s->reason_len, s->reason);
}

/* No mail should be older: the longest that is configured. */
static int64_t expiry_ms(const struct config *c)
{
    int64_t ms = c->retry.expire_after_ms;
    for (size_t i = 0; i < c->n_rules; i++)
        if (c->rules[i].expire_after_ms > ms)
            ms = c->rules[i].expire_after_ms;
    return ms + EXPIRY_SLACK_MS;
}

/* A qmgr that has just begun knows the sites of its mail only when each was tried again. Until
 * then such mail may be what was told of under its site's name. */
static bool may_be_known(const struct watch *w, const struct old_site *s)
{
    return s->unsited && loop_mono_ms(w->env->loop) < w->unsited_until_ms;
}

/* Much of it, or one that is very old. */
static bool is_old(const struct config_alarm *c, const struct old_site *s)
{
    bool many = c->site_age_ms && s->age_ms >= c->site_age_ms && s->old >= c->site_recipients;
    return many || (c->site_age_any_ms && s->age_ms >= c->site_age_any_ms);
}

static struct span name_of(const struct old_site *s) { return span_of(s->site, s->site_len); }

static void see_site(struct watch *w, struct span subject, const struct old_site *s)
{
    struct buf b;
    buf_init(&b, ALARM_TEXT_MAX * 2);
    put_site(&b, s);
    watch_saw(w, ALARM_SITE_AGE, subject, true, "%s", buf_cstr(&b));
    buf_free(&b);
}

static bool has_alarm(const struct watch *w, const struct old_site *s)
{
    struct span name = name_of(s);
    struct alarm ignored;
    return alarms_find(w->alarms, ALARM_SITE_AGE, &name, &ignored);
}

static void add_other(struct old_site *all, const struct old_site *s)
{
    uint64_t old = all->old + s->old;
    bool domains = all->old > 0;
    if (s->age_ms > all->age_ms)
        *all = *s;
    all->old = old;
    all->domains |= domains;
}

/* Those that have an alarm of their own keep it; beyond a number of them the others are one. */
static void see_old_sites(struct watch *w)
{
    struct old_site others = { .age_ms = -1 };
    size_t left = SITES_TOLD_MAX;
    for (int known = 1; known >= 0; known--)
        for (size_t i = 0; i < w->site_count; i++) {
            struct old_site *s = &w->sites[i];
            if (s->told || !is_old(&w->config->alarm, s) || has_alarm(w, s) < known)
                continue;
            if (left) {
                see_site(w, name_of(s), s);
                s->told = true;
                left--;
            } else if (!known) {
                add_other(&others, s);
            }
        }
    if (others.old)
        see_site(w, SPAN("other sites"), &others);
}

/* What was released, or slept, or was down with us, is given a time of its own after that. */
static unsigned expiry_looks(const struct config_alarm *c)
{
    uint64_t looks = c->interval_ms ? (uint64_t)(EXPIRY_LASTS_MS / c->interval_ms) + 1 : 0;
    return (unsigned)(looks > c->raise_after ? looks : c->raise_after);
}

static void judge_expiry(struct watch *w, const struct old_site *oldest)
{
    struct buf age, b;
    buf_init(&age, 64);
    alarm_put_age(&age, oldest ? oldest->age_ms : 0);
    buf_init(&b, ALARM_TEXT_MAX);
    buf_printf(&b, "mail to %.*s is %s old, older than retry.expire_after allows",
               oldest ? (int)oldest->domain_len : 0, oldest ? oldest->domain : "", buf_cstr(&age));
    struct alarm_look look = { .kind = ALARM_EXPIRY, .text = buf_span(&b),
                               .bad = oldest && oldest->age_ms > expiry_ms(w->config),
                               .raise_after = expiry_looks(&w->config->alarm) };
    alarms_look(w->alarms, &look, watch_now(w));
    buf_free(&age);
    buf_free(&b);
}

static void judge_sites(struct watch *w)
{
    const struct old_site *oldest = NULL;
    bool any = alarms_any(w->alarms, ALARM_SITE_AGE), open = false;
    for (size_t i = 0; i < w->site_count; i++) {
        struct old_site *s = &w->sites[i];
        if (!oldest || s->age_ms > oldest->age_ms)
            oldest = s;
        s->told = any && may_be_known(w, s);
        open |= s->told && is_old(&w->config->alarm, s);
    }
    see_old_sites(w);
    if (open)
        alarms_unknown(w->alarms, ALARM_SITE_AGE);
    else
        alarms_round(w->alarms, ALARM_SITE_AGE);
    judge_expiry(w, oldest);
}

/* The least of each minute of the last hour: what is above it has grown since. */
static void judge_growth(struct watch *w, uint64_t messages)
{
    int64_t minute = loop_mono_ms(w->env->loop) / MINUTE_MS + 1;
    size_t at = (size_t)(minute % GROWTH_SLOTS);
    uint64_t least = messages;
    if (w->growth[at].minute != minute || messages < w->growth[at].least) {
        w->growth[at].minute = minute;
        w->growth[at].least = messages;
    }
    for (size_t i = 0; i < GROWTH_SLOTS; i++) /* the machine may run for less than an hour */
        if (w->growth[i].minute && w->growth[i].minute > minute - GROWTH_SLOTS &&
            w->growth[i].least < least)
            least = w->growth[i].least;
    uint64_t limit = w->config->alarm.queue_growth;
    bool grows = messages - least >= limit;
    /* A process without an hour of memory cannot say that what was told is over, but where less
     * waits than is asked to have come. */
    bool unknown = messages >= limit && !grows && alarms_any(w->alarms, ALARM_GROWTH) &&
                   loop_mono_ms(w->env->loop) - w->born_ms < GROWTH_SLOTS * MINUTE_MS;
    if (unknown)
        alarms_unknown(w->alarms, ALARM_GROWTH);
    else if (limit)
        watch_saw(w, ALARM_GROWTH, SPAN_NONE, grows,
                  "%llu messages wait, %llu more than within the last hour",
                  (unsigned long long)messages, (unsigned long long)(messages - least));
}

static void on_facts(struct watch *w, struct channel *ch, const struct msg_facts *m)
{
    (void)ch;
    if (m->q != w->facts_q || !w->facts_open)
        return;
    w->facts_open = false;
    watch_saw(w, ALARM_QMGR, SPAN_NONE, false, "%s", "");
    judge_sites(w);
    judge_growth(w, m->messages);
    watch_saw(w, ALARM_CLOCK, SPAN_NONE, m->clock.n > 0, "%.*s", SPAN_ARG(m->clock));
    checks_looked(w, ALARM_QMGR);
    w->site_count = 0;
}

PROTO_HANDLER(old_cell, struct watch *, on_old_cell)
PROTO_HANDLER(facts, struct watch *, on_facts)
PROTO_HANDLER(kept, struct watch *, keep_on_kept)
PROTO_HANDLER(kept_end, struct watch *, keep_on_kept_end)

/* Old enough for any of the alarms. */
static int64_t old_ms(const struct config *c)
{
    int64_t ms = expiry_ms(c);
    if (c->alarm.site_age_ms && c->alarm.site_age_ms < ms)
        ms = c->alarm.site_age_ms;
    if (c->alarm.site_age_any_ms && c->alarm.site_age_any_ms < ms)
        ms = c->alarm.site_age_any_ms;
    return ms;
}

void facts_look(struct watch *w)
{
    if (w->facts_open || !w->qmgr)
        watch_saw(w, ALARM_QMGR, SPAN_NONE, true, "%s",
                  w->qmgr ? "no answer since the last look" : "it is not running");
    if (w->facts_open || !w->qmgr)
        checks_looked(w, ALARM_QMGR);
    w->facts_open = false;
    if (!w->qmgr || channel_full(w->qmgr))
        return;
    struct msg_facts_ask m = { .q = ++w->next_q,
                               .older_ms = old_ms(w->config),
                               .cells = CELLS_MAX };
    w->facts_q = m.q;
    w->facts_open = true;
    w->site_count = 0;
    send_facts_ask(w->qmgr, &m);
}

static void on_gone(void *ctx, struct channel *ch, const char *why)
{
    struct watch *w = ctx;
    (void)ch;
    (void)why;
    channel_free(&w->qmgr);
}

void facts_peer(struct watch *w, int fd)
{
    static const struct channel_type types[] = { PROTO_TYPE(old_cell), PROTO_TYPE(facts),
                                                 PROTO_TYPE(kept), PROTO_TYPE(kept_end) };
    static const struct channel_ops ops = { types, 4, on_gone, NULL };
    channel_free(&w->qmgr);
    w->facts_open = false;
    w->unsited_until_ms = loop_mono_ms(w->env->loop) + w->config->retry.max_ms + UNSITED_SLACK_MS;
    w->qmgr = channel_new(w->env->loop, fd, "qmgr", &ops, w);
    keep_peer(w);
    if (!w->sites)
        w->sites = must_calloc(SITES_MAX, sizeof *w->sites);
}

void facts_free(struct watch *w)
{
    channel_free(&w->qmgr);
    free(w->sites);
}
