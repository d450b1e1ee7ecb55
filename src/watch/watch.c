/* watch: looks at the gateway's health and tells somebody. It accepts nothing and holds no
 * mail: when it is away, mail flows, and nobody is told of trouble. */
#include "watch/inside.h"

#include "alarm/letter.h"
#include "base/json.h"
#include "base/must.h"
#include "proto/control.h"

#include <stdarg.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

enum {
    CRASHES_WITHIN_MS = 10 * 60 * 1000,
    AGAIN_MAX_MS = 15 * 60 * 1000,
    TELL_MS = 5000, /* after a look, so that one letter has all it found */
    ROW_MAX = 16 << 10,
    NOTE_MAX = 4 << 20,
    NAMES_MAX = 4096, /* of listeners, for people */
};

struct alarm_now watch_now(const struct watch *w)
{
    return (struct alarm_now){ loop_mono_ms(w->env->loop), loop_wall_ms(w->env->loop) };
}

void watch_saw(struct watch *w, enum alarm_kind kind, struct span subject, bool bad,
               const char *fmt, ...)
{
    struct buf b;
    va_list ap;
    buf_init(&b, 4 * ALARM_TEXT_MAX);
    va_start(ap, fmt);
    buf_vprintf(&b, fmt, ap);
    va_end(ap);
    alarms_seen(w->alarms, kind, subject, bad, buf_span(&b), watch_now(w));
    buf_free(&b);
}

/* --- telling --- */

static void say(struct watch *w, enum alarm_news news, const struct alarm *a)
{
    static const enum event_name names[] = { [ALARM_RAISED] = EVENT_alarm_raised,
                                             [ALARM_REPEATED] = EVENT_alarm_repeated,
                                             [ALARM_CLEARED] = EVENT_alarm_cleared };
    static const char *const words[] = { [ALARM_RAISED] = "raised", [ALARM_REPEATED] = "lasts",
                                         [ALARM_CLEARED] = "over" };
    struct events *e = w->env->events;
    event_begin(e, names[news]);
    event_str(e, FIELD_alarm, span_str(alarm_kind_name(a->kind)));
    event_str(e, FIELD_subject, a->subject);
    event_str(e, FIELD_text, a->text);
    if (news != ALARM_RAISED)
        event_int(e, FIELD_ms, loop_mono_ms(w->env->loop) - a->since_ms);
    event_end(e);
    struct buf *b = log_begin(e, news == ALARM_CLEARED ? EVENT_NOTICE : EVENT_ALARM);
    buf_printf(b, "alarm %s: %s", words[news], alarm_kind_name(a->kind));
    if (a->subject.n) {
        buf_putc(b, ' ');
        log_text(b, a->subject, ALARM_SUBJECT_MAX);
    }
    buf_putz(b, ": ");
    log_text(b, a->text, ALARM_TEXT_MAX);
    log_end(e);
}

/* --- the webhook's note: {"hostname":..., "text":..., "news":[...], "present":N} --- */

static void begin_note(struct watch *w, struct json *j)
{
    json_open(j, NULL);
    json_str(j, "hostname", w->config->hostname);
    json_int(j, "time_ms", loop_wall_ms(w->env->loop));
    json_open_array(j, "news");
}

static void put_news(const struct watch *w, struct json *j, enum alarm_news news,
                     const struct alarm *a)
{
    static const char *const words[] = { [ALARM_RAISED] = "raised", [ALARM_REPEATED] = "lasts",
                                         [ALARM_CLEARED] = "over" };
    json_open(j, NULL);
    json_str(j, "news", span_str(words[news]));
    json_str(j, "alarm", span_str(alarm_kind_name(a->kind)));
    json_str(j, "title", span_str(alarm_kind_title(a->kind)));
    json_str(j, "subject", a->subject);
    json_str(j, "text", a->text);
    json_int(j, "since_ms", a->since_wall_ms);
    if (news != ALARM_CLEARED)
        check_put_refusing(w, a, j);
    json_close(j);
}

/* For the letter; empty when it is over. */
static void add_news(const struct watch *w, struct alarm_letter *l, enum alarm_news news,
                     const struct alarm *a)
{
    struct buf names;
    buf_init(&names, NAMES_MAX);
    if (news != ALARM_CLEARED)
        check_put_refusing_names(w, a, &names);
    alarm_letter_add(l, news, a, buf_span(&names));
    buf_free(&names);
}

/* text: one line, which is all that chat programs look at. */
static void end_note(struct watch *w, struct json *j, struct alarm_letter *l)
{
    struct buf line;
    buf_init(&line, 1024);
    buf_puts(&line, w->config->hostname);
    buf_printf(&line, ": %s: ", l->raised ? "ALARM" : l->repeated ? "still ALARM" : "all clear");
    buf_puts(&line, buf_span(&l->subject_words));
    if (l->raised + l->repeated + l->cleared > 1)
        buf_printf(&line, ", and %u more", l->raised + l->repeated + l->cleared - 1);
    json_close_array(j);
    json_uint(j, "present", alarms_present(w->alarms));
    json_str(j, "text", buf_span(&line));
    json_close(j);
    buf_free(&line);
}

static void tell_both(struct watch *w, struct span letter, const struct buf *note)
{
    post_send(w, letter);
    if (!note->failed)
        hook_send(w->hook, buf_span(note));
}

/* All news of a look is one letter. */
static void on_tell(void *ctx)
{
    struct watch *w = ctx;
    struct alarm a;
    enum alarm_news news;
    struct buf to, body, text, note;
    struct json j = json_writer(&note);
    struct alarm_letter l = { .hostname = w->config->hostname,
                              .now_wall_ms = loop_wall_ms(w->env->loop),
                              .now_mono_ms = loop_mono_ms(w->env->loop),
                              .random = loop_random_u64(w->env->loop) };
    buf_init(&to, ALARM_LETTER_MAX);
    buf_init(&body, ALARM_LETTER_MAX);
    buf_init(&text, 2 * ALARM_LETTER_MAX);
    post_put_to(w, &to);
    l.to = buf_span(&to);
    posts_again(w);
    hook_again(w->hook);
    buf_init(&note, NOTE_MAX);
    begin_note(w, &j);
    alarm_letter_begin(&l, &body);
    while ((news = alarms_news(w->alarms, watch_now(w), &a)) != ALARM_NONE) {
        say(w, news, &a);
        add_news(w, &l, news, &a);
        put_news(w, &j, news, &a);
        keep_changed(w);
    }
    end_note(w, &j, &l);
    if (alarm_letter_end(&l, alarms_present(w->alarms), &text))
        tell_both(w, buf_span(&text), &note);
    keep_send(w);
    buf_free(&to);
    buf_free(&body);
    buf_free(&text);
    buf_free(&note);
}

void again_later(struct again *a, int64_t now_ms, int64_t first_ms)
{
    int64_t ms = a->ms ? 2 * a->ms : first_ms;
    a->ms = ms < AGAIN_MAX_MS ? ms : AGAIN_MAX_MS;
    a->at_ms = now_ms + a->ms;
}

/* --- looking --- */

static void look_at_deaths(struct watch *w)
{
    int64_t since_ms = loop_mono_ms(w->env->loop) - CRASHES_WITHIN_MS;
    for (int role = 0; role < ROLE_COUNT; role++) {
        uint64_t n = 0;
        for (size_t i = 0; i < w->deaths[role].count; i++)
            n += w->deaths[role].at_ms[i] >= since_ms;
        if (n && w->config->alarm.crashes)
            watch_saw(w, ALARM_CRASHES, span_str(role_name(role)), n >= w->config->alarm.crashes,
                      "ended unasked %llu times within ten minutes, the last time by: %s",
                      (unsigned long long)n, w->deaths[role].how);
    }
    if (since_ms >= w->born_ms)
        alarms_round(w->alarms, ALARM_CRASHES);
    else /* those before this process are not remembered */
        alarms_unknown(w->alarms, ALARM_CRASHES);
}

void watch_tell(struct watch *w)
{
    int64_t soon_ms = w->config->alarm.interval_ms / 2;
    if (!loop_timer_set(&w->tell))
        loop_timer_in(w->env->loop, &w->tell, soon_ms < TELL_MS ? soon_ms : TELL_MS);
}

static void on_look(void *ctx)
{
    struct watch *w = ctx;
    int64_t interval_ms = w->config->alarm.interval_ms;
    if (!interval_ms)
        return;
    loop_timer_in(w->env->loop, &w->look, interval_ms);
    keep_look(w);
    facts_look(w);
    disk_look(w);
    look_at_deaths(w);
    greet_look(w);
    watch_tell(w);
}

/* The latest are kept. What happened before this process comes in any order. */
static void watch_child_died(void *role, enum role_id which, int64_t age_ms, struct span how)
{
    struct watch *w = role;
    struct deaths *d = &w->deaths[which];
    int64_t at_ms = loop_mono_ms(w->env->loop) - age_ms;
    size_t oldest = 0;
    bool last = true;
    for (size_t i = 0; i < d->count; i++) {
        last &= d->at_ms[i] <= at_ms;
        if (d->at_ms[i] < d->at_ms[oldest])
            oldest = i;
    }
    if (d->count < DEATHS_MAX)
        d->at_ms[d->count++] = at_ms;
    else if (d->at_ms[oldest] <= at_ms)
        d->at_ms[oldest] = at_ms;
    if (!last)
        return;
    how = span_to(how, sizeof d->how - 1);
    if (how.n)
        memcpy(d->how, how.p, how.n);
    d->how[how.n] = '\0';
}

/* --- what control asks: the present alarms --- */

static void put_row(struct watch *w, struct buf *b, const struct alarm *a)
{
    struct json j = json_writer(b);
    json_open(&j, NULL);
    json_str(&j, "alarm", span_str(alarm_kind_name(a->kind)));
    json_str(&j, "title", span_str(alarm_kind_title(a->kind)));
    json_str(&j, "subject", a->subject);
    json_str(&j, "text", a->text);
    json_int(&j, "since_ms", a->since_wall_ms);
    json_int(&j, "age_ms", loop_mono_ms(w->env->loop) - a->since_ms);
    json_uint(&j, "told", a->told);
    check_put_refusing(w, a, &j);
    json_close(&j);
}

static void on_admin_ask(struct watch *w, struct channel *ch, const struct msg_admin_ask *m)
{
    struct msg_admin_said said = { .q = m->q };
    struct alarm a;
    uint64_t at = 0;
    if (!span_eq(m->verb, SPAN("alarms")) || m->args.n) {
        said.end = EX_USAGE;
        said.text = SPAN("watch does not know this");
        send_admin_said(ch, &said);
        return;
    }
    if (!w->config->alarm.interval_ms) {
        said.end = EX_UNAVAILABLE;
        said.text = SPAN("nothing is watched: alarm.interval is 0");
        send_admin_said(ch, &said);
        return;
    }
    while (alarms_next(w->alarms, &at, &a)) {
        struct buf b;
        buf_init(&b, ROW_MAX);
        put_row(w, &b, &a);
        said.text = buf_span(&b);
        send_admin_said(ch, &said);
        buf_free(&b);
    }
    said.end = ADMIN_OK;
    said.text = SPAN_NONE;
    send_admin_said(ch, &said);
}

/* The answer is there at once. */
static void on_admin_more(struct watch *w, struct channel *ch, const struct msg_admin_more *m)
{
    (void)w;
    (void)ch;
    (void)m;
}

static void on_admin_gone(struct watch *w, struct channel *ch, const struct msg_admin_gone *m)
{
    (void)w;
    (void)ch;
    (void)m;
}

PROTO_HANDLER(admin_ask, struct watch *, on_admin_ask)
PROTO_HANDLER(admin_more, struct watch *, on_admin_more)
PROTO_HANDLER(admin_gone, struct watch *, on_admin_gone)

static void on_control_gone(void *ctx, struct channel *ch, const char *why)
{
    struct watch *w = ctx;
    (void)ch;
    (void)why;
    channel_free(&w->control);
}

static void control_peer(struct watch *w, int fd)
{
    static const struct channel_type types[] = { PROTO_TYPE(admin_ask), PROTO_TYPE(admin_more),
                                                 PROTO_TYPE(admin_gone) };
    static const struct channel_ops ops = { types, 3, on_control_gone, NULL };
    channel_free(&w->control);
    w->control = channel_new(w->env->loop, fd, "control", &ops, w);
}

static void on_smtpd_gone(void *ctx, struct channel *ch, const char *why)
{
    struct watch *w = ctx;
    (void)why;
    for (size_t i = 0; i < SMTPDS_MAX; i++)
        if (w->smtpds[i] == ch)
            channel_free(&w->smtpds[i]);
}

static void smtpd_peer(struct watch *w, int index, int fd)
{
    static const struct channel_ops ops = { NULL, 0, on_smtpd_gone, NULL };
    channel_free(&w->smtpds[index]);
    w->smtpds[index] = channel_new(w->env->loop, fd, "smtpd", &ops, w);
    checks_say(w, w->smtpds[index]);
}

/* --- the role --- */

static struct alarms_config alarms_config_of(const struct config *c)
{
    return (struct alarms_config){ .raise_after = (unsigned)c->alarm.raise_after,
                                   .clear_after = (unsigned)c->alarm.clear_after,
                                   .repeat_ms = c->alarm.repeat_ms };
}

static void *watch_make(struct role_env *env, struct config *cfg, struct err *err)
{
    struct watch *w = NEW(struct watch);
    struct alarms_config ac = alarms_config_of(cfg);
    struct tls_client_config tc = { .sessions_max = 1 };
    tls_warm_up(err);
    w->tls = tls_client_ctx_new(&tc, err);
    if (!w->tls) {
        config_free(&cfg);
        free(w);
        return NULL;
    }
    w->env = env;
    w->config = cfg;
    w->born_ms = loop_mono_ms(env->loop);
    w->alarms = alarms_new(&ac);
    w->hook = hook_new(w);
    list_init(&w->wheres);
    list_init(&w->checks);
    list_init(&w->greets);
    list_init(&w->posts);
    loop_timer_init(&w->look, on_look, w);
    loop_timer_init(&w->tell, on_tell, w);
    return w;
}

static void watch_peer(void *role, enum role_id peer, int index, int fd)
{
    struct watch *w = role;
    if (peer == ROLE_SMTPD && index >= 0 && index < SMTPDS_MAX)
        smtpd_peer(w, index, fd);
    else if (peer == ROLE_QMGR)
        facts_peer(w, fd);
    else if (peer == ROLE_RESOLVER)
        where_peer(w, fd);
    else if (peer == ROLE_CONTROL)
        control_peer(w, fd);
    else
        close(fd);
}

static void begin(struct watch *w, bool otherwise)
{
    if (loop_timer_set(&w->look) && !otherwise)
        return; /* what is reloaded often is looked at all the same */
    if (w->config->alarm.interval_ms)
        loop_timer_in(w->env->loop, &w->look, w->config->alarm.interval_ms);
    else
        loop_timer_stop(w->env->loop, &w->look);
}

static bool watch_start(void *role, struct err *err)
{
    struct watch *w = role;
    (void)err;
    w->started = true;
    begin(w, true);
    checks_begin(w);
    return true;
}

static bool is_next_hop(void *ctx, struct span subject)
{
    const struct watch *w = ctx;
    return subject.n && span_eq(subject, w->config->alarm.next_hop);
}

/* What is not looked at any more is over. */
static void end_unwatched(struct watch *w)
{
    const struct config_alarm *c = &w->config->alarm;
    const bool off[ALARM_KINDS] = {
        [ALARM_SITE_AGE] = !c->site_age_ms && !c->site_age_any_ms,
        [ALARM_GROWTH] = !c->queue_growth,   [ALARM_DISK] = !c->disk_free_bytes,
        [ALARM_INODES] = !c->inodes_free,    [ALARM_CRASHES] = !c->crashes,
        [ALARM_DNS] = !c->dns,
    };
    for (int kind = 0; kind < ALARM_KINDS; kind++)
        if (off[kind] || !c->interval_ms)
            alarms_unwatched(w->alarms, kind, NULL, NULL);
    alarms_unwatched(w->alarms, ALARM_LISTENER, greet_still, w);
    alarms_unwatched(w->alarms, ALARM_NEXT_HOP, is_next_hop, w);
    alarms_unwatched(w->alarms, ALARM_CHECK, checks_still, w);
}

static void watch_reload(void *role, struct config *next)
{
    struct watch *w = role;
    struct config *old = w->config;
    struct alarms_config ac = alarms_config_of(next);
    greets_free(w); /* they may be about what is gone */
    alarms_configure(w->alarms, &ac);
    checks_reload(w, next);
    posts_reload(w);
    end_unwatched(w);
    keep_changed(w);
    begin(w, old->alarm.interval_ms != next->alarm.interval_ms);
    watch_tell(w);
    config_free(&old);
}

static void watch_finish(void *role, int64_t within_ms)
{
    struct watch *w = role;
    (void)within_ms;
    w->finishing = true;
    w->env->done(w->env);
}

static void watch_free(void *role)
{
    struct watch *w = role;
    checks_free(w);
    greets_free(w);
    posts_free(w);
    hook_free(&w->hook);
    tls_client_ctx_free(&w->tls);
    for (size_t i = 0; i < SMTPDS_MAX; i++)
        channel_free(&w->smtpds[i]);
    channel_free(&w->control);
    channel_free(&w->resolver);
    facts_free(w);
    loop_timer_stop(w->env->loop, &w->look);
    loop_timer_stop(w->env->loop, &w->tell);
    alarms_free(&w->alarms);
    config_free(&w->config);
    free(w);
}

const struct role_ops watch_role = {
    .make = watch_make,
    .peer = watch_peer,
    .start = watch_start,
    .reload = watch_reload,
    .finish = watch_finish,
    .child_died = watch_child_died,
    .free = watch_free,
};
