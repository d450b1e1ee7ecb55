/* Health checks: each is looked at on its own clock, is an alarm while it fails, and is told to
 * smtpd, which refuses by it (listen { refuse_when }). next_hop and dns are two that are always
 * there; disk and queue are not looked at here: they fail while one of some alarms is present. */
#include "watch/inside.h"

#include "alarm/letter.h"
#include "base/must.h"
#include "base/num.h"
#include "dns/hop.h"
#include "proto/watch_smtpd.h"

#include <stdio.h>
#include <stdlib.h>

enum { FIRST_LOOK_MS = 1000, DEFAULT_PORT = 25, HOLD_LOOKS = 3, HOLD_SLACK_MS = 15000 };

enum check_how { CHECK_ALARMS, CHECK_CONNECT, CHECK_LOOKUP, CHECK_SERVER, CHECK_DNS };

struct check {
    struct list node; /* in w->checks */
    struct watch *w;
    enum check_how how;
    /* spans are the configuration's */
    struct span name, subject, expect;
    enum alarm_kind kind;
    uint32_t kinds; /* of CHECK_ALARMS: bits */
    struct buf hop;
    const struct config_addrs *servers; /* of CHECK_SERVER */
    struct dns_question question;
    unsigned fail_after, ok_after;
    int64_t every_ms, timeout_ms;
    unsigned looks; /* those that were over, up to fail_after */
    bool open;      /* a look is under way: */
    int64_t until_ms;
    struct where where, other;
    bool other_asked, where_failed, other_failed; /* of CHECK_DNS */
    struct greet *greet;
    struct loop_timer next, late;
};

/* --- what is known --- */

static bool is_of(const struct check *c, enum alarm_kind kind, struct span subject)
{
    return c->how == CHECK_ALARMS ? (c->kinds >> kind) & 1
                                  : c->kind == kind && span_eq(c->subject, subject);
}

static bool fails(const struct check *c, struct alarm *alarm_r)
{
    if (c->how != CHECK_ALARMS)
        return alarms_find(c->w->alarms, c->kind, &c->subject, alarm_r);
    for (int kind = 0; kind < ALARM_KINDS; kind++)
        if (is_of(c, (enum alarm_kind)kind, SPAN_NONE) &&
            alarms_find(c->w->alarms, (enum alarm_kind)kind, NULL, alarm_r))
            return true;
    return false;
}

static struct check *check_named(struct watch *w, struct span name)
{
    LIST_EACH(n, &w->checks) {
        struct check *c = CONTAINER(n, struct check, node);
        if (span_eq(c->name, name))
            return c;
    }
    return NULL;
}

static bool is_refused_by(const struct config_listen *l, struct span check)
{
    for (size_t i = 0; i < l->refuse_when.n; i++)
        if (span_eq(l->refuse_when.v[i], check))
            return true;
    return false;
}

static bool any_refuses_by(const struct watch *w, struct span check)
{
    for (size_t i = 0; i < w->config->n_listens; i++)
        if (is_refused_by(&w->config->listens[i], check))
            return true;
    return false;
}

/* --- telling smtpd, and the listeners' changes --- */

/* A process that began knows nothing until it has looked often enough to raise an alarm. */
static void say_to(const struct check *c, struct channel *smtpd)
{
    struct alarm ignored;
    bool bad = fails(c, &ignored);
    struct msg_check m = { .name = c->name,
                           .fails = bad,
                           .within_ms = HOLD_LOOKS * c->every_ms + c->timeout_ms + HOLD_SLACK_MS };
    if ((bad || c->looks >= c->fail_after) && smtpd && channel_open(smtpd))
        send_check(smtpd, &m);
}

void checks_say(struct watch *w, struct channel *smtpd)
{
    LIST_EACH(n, &w->checks)
        say_to(CONTAINER(n, struct check, node), smtpd);
}

static void say_refuses(struct watch *w, struct span listener, const struct check *c,
                        const struct alarm *a)
{
    struct events *e = w->env->events;
    event_begin(e, EVENT_listener_refuses);
    event_str(e, FIELD_listener, listener);
    event_str(e, FIELD_check, c->name);
    event_str(e, FIELD_text, a->text);
    event_end(e);
    struct buf *b = log_begin(e, EVENT_WARNING);
    buf_printf(b, "listener %.*s refuses mail with 421: check %.*s fails: ", SPAN_ARG(listener),
               SPAN_ARG(c->name));
    log_text(b, a->text, ALARM_TEXT_MAX);
    log_end(e);
}

static void say_accepts(struct watch *w, const struct refusal *r)
{
    struct events *e = w->env->events;
    struct buf lasted;
    int64_t ms = loop_mono_ms(w->env->loop) - r->since_ms;
    buf_init(&lasted, 64);
    alarm_put_age(&lasted, ms);
    event_begin(e, EVENT_listener_accepts);
    event_str(e, FIELD_listener, span_str(r->listener));
    event_int(e, FIELD_ms, ms);
    event_end(e);
    log_line(e, EVENT_NOTICE, "listener %s accepts mail again, after %s", r->listener,
             buf_cstr(&lasted));
    buf_free(&lasted);
}

static struct refusal *refusal_of(struct watch *w, struct span listener)
{
    for (size_t i = 0; i < w->refusal_count; i++)
        if (span_eq(span_str(w->refusals[i].listener), listener))
            return &w->refusals[i];
    return NULL;
}

/* The first of its checks that fails; *sure_r: none of the others may. */
static struct check *failing_of(struct watch *w, const struct config_listen *l,
                                struct alarm *alarm_r, bool *sure_r)
{
    *sure_r = true;
    for (size_t i = 0; i < l->refuse_when.n; i++) {
        struct check *c = check_named(w, l->refuse_when.v[i]);
        if (c && fails(c, alarm_r))
            return c;
        *sure_r = *sure_r && c && c->looks >= c->fail_after;
    }
    return NULL;
}

static void judge_listener(struct watch *w, const struct config_listen *l, bool quiet)
{
    struct refusal *r = refusal_of(w, l->name);
    struct alarm a;
    bool sure;
    struct check *c = failing_of(w, l, &a, &sure);
    if (c && !r && w->refusal_count < REFUSALS_MAX) {
        r = &w->refusals[w->refusal_count++];
        r->since_ms = loop_mono_ms(w->env->loop);
        snprintf(r->listener, sizeof r->listener, "%.*s", SPAN_ARG(l->name));
        if (!quiet)
            say_refuses(w, l->name, c, &a);
    } else if (!c && r && sure) {
        say_accepts(w, r);
        *r = w->refusals[--w->refusal_count];
    }
}

void checks_judge(struct watch *w, bool quiet)
{
    for (size_t i = 0; i < w->config->n_listens; i++)
        judge_listener(w, &w->config->listens[i], quiet);
}

static bool refuses_by(const struct watch *w, const struct config_listen *l, const struct alarm *a)
{
    LIST_EACH(n, &w->checks) {
        const struct check *c = CONTAINER(n, struct check, node);
        if (is_of(c, a->kind, a->subject) && is_refused_by(l, c->name))
            return true;
    }
    return false;
}

void check_put_refusing(const struct watch *w, const struct alarm *a, struct json *j)
{
    json_open_array(j, "refusing");
    for (size_t i = 0; i < w->config->n_listens; i++)
        if (refuses_by(w, &w->config->listens[i], a))
            json_str(j, NULL, w->config->listens[i].name);
    json_close_array(j);
}

void check_put_refusing_names(const struct watch *w, const struct alarm *a, struct buf *b)
{
    for (size_t i = 0; i < w->config->n_listens; i++) {
        if (!refuses_by(w, &w->config->listens[i], a))
            continue;
        buf_putz(b, b->len ? ", " : "");
        buf_puts(b, w->config->listens[i].name);
    }
}

static void looked(struct check *c)
{
    c->looks += c->looks < c->fail_after;
    for (size_t i = 0; i < SMTPDS_MAX; i++)
        say_to(c, c->w->smtpds[i]);
    checks_judge(c->w, false);
}

void checks_looked(struct watch *w, enum alarm_kind kind)
{
    LIST_EACH(n, &w->checks) {
        struct check *c = CONTAINER(n, struct check, node);
        if (c->how == CHECK_ALARMS && is_of(c, kind, SPAN_NONE))
            looked(c);
    }
}

/* --- one look --- */

static void stop(struct check *c)
{
    c->open = false;
    loop_timer_stop(c->w->env->loop, &c->late);
    where_stop(&c->where);
    where_stop(&c->other);
    greet_stop(&c->greet);
}

static void seen(struct check *c, bool bad, struct span why)
{
    struct watch *w = c->w;
    struct alarm_look look = { .kind = c->kind, .subject = c->subject, .text = why, .bad = bad,
                               .raise_after = c->fail_after, .clear_after = c->ok_after };
    alarms_look(w->alarms, &look, watch_now(w));
    stop(c);
    looked(c);
    if (alarms_have_news(w->alarms, watch_now(w)))
        watch_tell(w);
}

static void on_greet(void *ctx, struct span subject, bool bad, struct span why)
{
    (void)subject;
    seen(ctx, bad, why);
}

static void talk_to(struct check *c, const struct netaddr *addrs, size_t n)
{
    int64_t left_ms = c->until_ms - loop_mono_ms(c->w->env->loop);
    n = n < ADDRS_MAX ? n : ADDRS_MAX;
    struct greet_ask ask = { .subject = c->subject, .addrs = addrs, .count = n,
                             .timeout_ms = left_ms / (int64_t)n, .expect = c->expect,
                             .question = &c->question,
                             .want = c->how == CHECK_SERVER ? GREET_ANSWER
                                     : c->expect.n          ? GREET_EXPECT
                                                            : GREET_OPEN,
                             .fn = on_greet, .ctx = c, .slot = &c->greet };
    greet_begin(c->w, &ask);
}

static void on_where(void *ctx, const struct where_found *f)
{
    struct check *c = ctx;
    if (!f->count || c->how == CHECK_LOOKUP)
        seen(c, !f->count, f->why);
    else
        talk_to(c, f->addrs, f->count);
}

/* Does the DNS answer at all? Each time a new name is asked for, which no cache knows; that there
 * is no such name is an answer. The servers of our own domain may be the ones that are mute: then,
 * or when half of the time is over, one in the top-level domain is asked for. */
static void ask_dns(struct check *c, struct where *k, where_fn *fn)
{
    struct span host = c->w->config->hostname, domain = host;
    struct buf hop;
    if (k == &c->other)
        domain = span_from(host, span_rfind(host, '.') < host.n ? span_rfind(host, '.') + 1 : 0);
    buf_init(&hop, DNS_HOP_TEXT_MAX);
    buf_printf(&hop, "[postern-look-%016llx.%.*s]",
               (unsigned long long)loop_random_u64(c->w->env->loop), SPAN_ARG(domain));
    where_ask(c->w, k, buf_span(&hop), DEFAULT_PORT, fn, c);
    buf_free(&hop);
}

static void dns_failed(struct check *c, struct span why)
{
    if (c->where_failed && c->other_failed)
        seen(c, true, why);
}

static void on_other(void *ctx, const struct where_found *f)
{
    struct check *c = ctx;
    c->other_failed = f->later;
    if (!f->later)
        seen(c, false, SPAN_NONE);
    else
        dns_failed(c, f->why);
}

static void ask_other(struct check *c)
{
    if (c->other_asked)
        return;
    c->other_asked = true;
    ask_dns(c, &c->other, on_other);
}

static void on_dns(void *ctx, const struct where_found *f)
{
    struct check *c = ctx;
    c->where_failed = f->later;
    if (!f->later)
        seen(c, false, SPAN_NONE);
    else if (c->other_asked)
        dns_failed(c, f->why);
    else
        ask_other(c);
}

static void on_late(void *ctx)
{
    struct check *c = ctx;
    struct loop *l = c->w->env->loop;
    struct buf why, ms;
    if (loop_mono_ms(l) < c->until_ms) {
        loop_timer_at(l, &c->late, c->until_ms);
        ask_other(c);
        return;
    }
    buf_init(&why, ALARM_TEXT_MAX);
    buf_init(&ms, 64);
    num_put_duration(&ms, c->timeout_ms);
    buf_printf(&why, "no answer within %s", buf_cstr(&ms));
    seen(c, true, buf_span(&why));
    buf_free(&why);
    buf_free(&ms);
}

static void on_next(void *ctx)
{
    struct check *c = ctx;
    struct loop *l = c->w->env->loop;
    bool dns = c->how == CHECK_DNS;
    loop_timer_in(l, &c->next, c->every_ms);
    if (c->open)
        return;
    c->open = true;
    c->until_ms = loop_mono_ms(l) + c->timeout_ms;
    c->other_asked = c->where_failed = c->other_failed = false;
    loop_timer_in(l, &c->late, dns ? c->timeout_ms / 2 : c->timeout_ms);
    if (dns)
        ask_dns(c, &c->where, on_dns);
    else if (c->how == CHECK_SERVER && !c->question.name.n)
        seen(c, true, SPAN("the name to look up is none"));
    else if (c->how == CHECK_SERVER)
        talk_to(c, c->servers->v, c->servers->n);
    else
        where_ask(c->w, &c->where, buf_span(&c->hop), DEFAULT_PORT, on_where, c);
}

/* --- which there are --- */

static struct check *add(struct watch *w, enum check_how how, struct span name)
{
    const struct config_alarm *a = &w->config->alarm;
    struct check *c = NEW(struct check);
    c->w = w;
    c->how = how;
    c->name = name;
    c->fail_after = (unsigned)a->raise_after;
    c->ok_after = (unsigned)a->clear_after;
    c->every_ms = a->interval_ms;
    if (how != CHECK_ALARMS && a->refuse_interval_ms < c->every_ms && any_refuses_by(w, name))
        c->every_ms = a->refuse_interval_ms;
    c->timeout_ms = a->timeout_ms;
    buf_init(&c->hop, DNS_HOP_TEXT_MAX);
    loop_timer_init(&c->next, on_next, c);
    loop_timer_init(&c->late, on_late, c);
    list_append(&w->checks, &c->node);
    return c;
}

static void add_section(struct watch *w, const struct config_check *k)
{
    enum check_how how = k->connect.n ? CHECK_CONNECT : k->server.n ? CHECK_SERVER : CHECK_LOOKUP;
    struct check *c = add(w, how, k->name);
    c->question.type = DNS_A;
    if (how == CHECK_SERVER)
        dns_name_from(k->lookup, &c->question.name);
    c->servers = &k->server;
    c->kind = ALARM_CHECK;
    c->subject = k->name;
    c->expect = k->expect;
    c->fail_after = (unsigned)k->fail_after;
    c->ok_after = (unsigned)k->ok_after;
    c->every_ms = k->every_ms;
    c->timeout_ms = k->timeout_ms;
    size_t colon = span_rfind(k->connect, ':');
    if (!k->connect.n) /* one name, no MX */
        buf_printf(&c->hop, "[%.*s]", SPAN_ARG(k->lookup));
    else if (k->connect.p[0] == '[')
        buf_puts(&c->hop, k->connect);
    else
        buf_printf(&c->hop, "[%.*s]%.*s", SPAN_ARG(span_to(k->connect, colon)),
                   SPAN_ARG(span_from(k->connect, colon)));
}

void checks_begin(struct watch *w)
{
    const struct config_alarm *a = &w->config->alarm;
    struct check *c;
    if (!a->interval_ms)
        return;
    if (a->next_hop.n) {
        c = add(w, CHECK_CONNECT, SPAN("next_hop"));
        c->kind = ALARM_NEXT_HOP;
        c->subject = a->next_hop;
        c->expect = SPAN("220");
        buf_puts(&c->hop, a->next_hop);
    }
    if (a->dns) {
        c = add(w, CHECK_DNS, SPAN("dns"));
        c->kind = ALARM_DNS;
    }
    add(w, CHECK_ALARMS, SPAN("disk"))->kinds = 1u << ALARM_DISK | 1u << ALARM_INODES;
    add(w, CHECK_ALARMS, SPAN("queue"))->kinds =
        1u << ALARM_GROWTH | 1u << ALARM_QMGR | 1u << ALARM_EXPIRY;
    for (size_t i = 0; i < w->config->n_checks; i++)
        add_section(w, &w->config->checks[i]);
    LIST_EACH(n, &w->checks) {
        c = CONTAINER(n, struct check, node);
        if (c->how != CHECK_ALARMS)
            loop_timer_in(w->env->loop, &c->next,
                          c->every_ms < FIRST_LOOK_MS ? c->every_ms : FIRST_LOOK_MS);
    }
}

static void check_free(struct check *c)
{
    stop(c);
    loop_timer_stop(c->w->env->loop, &c->next);
    list_remove(&c->node);
    buf_free(&c->hop);
    free(c);
}

void checks_free(struct watch *w)
{
    LIST_EACH(n, &w->checks)
        check_free(CONTAINER(n, struct check, node));
}

/* What is looked at as before has been looked at as often; a refusal of what is no listener any
 * more, or refuses by nothing, is over. */
void checks_reload(struct watch *w, struct config *next)
{
    struct list old;
    list_init(&old);
    LIST_EACH(n, &w->checks) {
        list_remove(n);
        list_append(&old, n);
    }
    w->config = next;
    checks_begin(w);
    LIST_EACH(n, &old) {
        struct check *was = CONTAINER(n, struct check, node);
        struct check *c = check_named(w, was->name);
        if (c && c->how == was->how && span_eq(c->subject, was->subject) &&
            span_eq(buf_span(&c->hop), buf_span(&was->hop)))
            c->looks = was->looks < c->fail_after ? was->looks : c->fail_after;
        check_free(was);
    }
    for (size_t i = w->refusal_count; i-- > 0;) {
        const struct config_listen *l = NULL;
        for (size_t k = 0; k < next->n_listens; k++)
            if (span_eq(span_str(w->refusals[i].listener), next->listens[k].name))
                l = &next->listens[k];
        if (l && l->refuse_when.n)
            continue;
        say_accepts(w, &w->refusals[i]);
        w->refusals[i] = w->refusals[--w->refusal_count];
    }
}

bool checks_still(void *ctx, struct span subject)
{
    const struct watch *w = ctx;
    for (size_t i = 0; i < w->config->n_checks; i++)
        if (span_eq(subject, w->config->checks[i].name))
            return true;
    return false;
}
