/* One world of days from its first moment to its verdict. */
#include "days.h"

#include "base/must.h"
#include "spool/spool.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    QUIET_MS = 2 * MINUTE_MS,
    TURN_MAX_MS = 10 * SECOND_MS,
    TURNS_MAX = 12000000,
    FAILURES_MAX = 40,
    FLUSH_MAX_NS = 15000000,
};

#define WALL_MS INT64_C(1790000000000)

static const char common[] =
    "hostname = \"gw.example\"\n"
    "postmaster = \"postmaster@src.example\"\n"
    "spool { directories = {\"/spool/q1\"} free_min = 64K inline_max = 8K\n"
    "        segment_size = 1M reserve = 64K }\n"
    "listen \"mx\" { address = {\"10.0.0.1:25\"} tls = off }\n"
    "dns { servers = {\"10.0.0.53\"} timeout = 10s }\n"
    "timeout { connect = 20s initial = 1m helo = 1m mail = 1m rcpt = 1m data_init = 1m\n"
    "          data_block = 1m data_final = 2m rset = 20s quit = 20s misc = 20s attempt = 8m }\n"
    "processes { smtpd = 2 deliver = 2 }\n";

static struct config *read_config(const struct play *p)
{
    struct config *c = NULL;
    struct buf text, b;
    buf_init(&text, 1 << 16);
    buf_init(&b, 1 << 20);
    buf_putz(&text, common);
    buf_printf(&text,
               "retry { first = %llds max = %llds warn_after = %llds expire_after = %llds }\n"
                      "deliver { tls = off concurrency_max = %u }\n",
               (long long)p->retry_first_ms / SECOND_MS, (long long)p->retry_max_ms / SECOND_MS,
               (long long)p->warn_ms / SECOND_MS, (long long)p->expire_ms / SECOND_MS,
               p->concurrency);
    buf_putz(&text, p->config ? p->config : "relay { from = {\"10.2.0.0/16\"} }\n");
    struct config_report *r = config_report_new();
    if (!config_parse(buf_span(&text), SPAN("sim.conf"), &c, r))
        config_report_put_text(&b, r);
    fputs(buf_cstr(&b), stderr);
    MUST(c);
    config_report_free(&r);
    buf_free(&text);
    buf_free(&b);
    return c;
}

/* A flush takes its time. */
static void on_flush(void *ctx)
{
    struct world *w = ctx;
    loop_sim_advance(w->l, 50000 + (int64_t)chance(w, FLUSH_MAX_NS));
}

/* --- events --- */

void days_at(struct days *d, const struct event *e)
{
    size_t i = d->event_count++;
    MUST(d->event_count <= EVENTS_MAX);
    for (; i > 0 && d->events[i - 1].at_ms > e->at_ms; i--)
        d->events[i] = d->events[i - 1];
    d->events[i] = *e;
}

static const enum role_id mortals[] = { ROLE_SMTPD, ROLE_ROUTER, ROLE_RESOLVER, ROLE_DELIVER,
                                        ROLE_QMGR };

static void plan_events(struct days *d)
{
    const struct play *p = d->play;
    for (const struct event *e = p->events; e && e->at_ms; e++)
        if (e->what != SET_CLOCK || !d->no_jumps)
            days_at(d, e);
    for (unsigned i = 0; i < p->kills; i++) {
        struct event e = { .at_ms = 1 + (int64_t)chance(&d->w, (uint64_t)p->spread_ms),
                           .what = KILL,
                           .role = mortals[chance(&d->w, 5)] };
        days_at(d, &e);
    }
}

static void each_of(struct days *d, const struct event *e)
{
    for (int i = 0; i < PROCS; i++) {
        struct proc *p = &d->w.procs[i];
        if (!p->ops || p->id != e->role)
            continue;
        if (e->what == AWAY)
            proc_away(p, e->ms);
        else if (one_in(&d->w, 2) || i + 1 == PROCS || d->w.procs[i + 1].id != e->role) {
            proc_kill(p);
            return;
        }
    }
}

/* Between two turns: no process sees it happen. */
static void do_event(struct days *d, const struct event *e)
{
    struct world *w = &d->w;
    switch (e->what) {
    case KILL:
    case AWAY: each_of(d, e); break;
    case SET_CLOCK:
        say(w, "the clock is set by %lld s", (long long)e->ms / SECOND_MS);
        loop_sim_jump_wall(w->l, e->ms);
        break;
    case SLEEP:
        say(w, "the machine sleeps for %lld s", (long long)e->ms / SECOND_MS);
        excuse_now(w);
        loop_sim_advance(w->l, e->ms * 1000000);
        excuse_now(w);
        break;
    case STOP: procs_stop(w); break;
    case MUTE_RESOLVER:
        say(w, "the resolver does not answer for %lld s", (long long)e->ms / SECOND_MS);
        d->mute_until_ms = since(d) + e->ms;
        break;
    case UNWIRE:
        for (int i = 0; i < DELIVERS; i++)
            proc_unwire(proc_of(w, ROLE_DELIVER, i));
        break;
    }
}

/* --- the run --- */

static bool is_quiet(struct days *d)
{
    struct spool *s = procs_spool(&d->w);
    return d->next_event == d->event_count && s && since(d) >= d->play->least_ms &&
           book_open(d) == 0 && spool_stat(s).messages == 0 && spool_batch_count(s) == 0;
}

static int wait_ms(const struct days *d)
{
    int64_t wait = d->next_event < d->event_count
                       ? d->events[d->next_event].at_ms - since(d) : (int64_t)TURN_MAX_MS;
    return wait < 0 ? 0 : wait < TURN_MAX_MS ? (int)wait : TURN_MAX_MS;
}

static void run(struct days *d)
{
    struct world *w = &d->w;
    int64_t quiet_since = INT64_MAX;
    for (unsigned turns = 0;; turns++) {
        loop_turn(w->l, wait_ms(d));
        int64_t now = since(d);
        while (d->next_event < d->event_count && d->events[d->next_event].at_ms <= now)
            do_event(d, &d->events[d->next_event++]);
        w->resolver_mute = now < d->mute_until_ms;
        stage_turn(d);
        quiet_since = !is_quiet(d) ? INT64_MAX : quiet_since == INT64_MAX ? now : quiet_since;
        if ((quiet_since != INT64_MAX && now - quiet_since > QUIET_MS) ||
            w->failures > FAILURES_MAX)
            return;
        if (now > d->play->most_ms) {
            struct spool *s = procs_spool(w);
            fail(w, "it does not come to rest: %llu messages are in the spool, %u are not settled",
                 s ? (unsigned long long)spool_stat(s).messages : 0, book_open(d));
            return;
        }
        if (turns > TURNS_MAX) {
            fail(w, "after %u turns it still runs: something spins", turns);
            return;
        }
    }
}

static void make(struct days *d)
{
    static const struct loop_sim_link link = { .latency_min_us = 500, .latency_max_us = 500,
                                               .buffer_min = 4000, .buffer_max = 100000 };
    struct world *w = &d->w;
    w->zone = stage_zone;
    w->watched = d->play->watched;
    w->l = loop_sim_new(w->opt.seed, WALL_MS);
    w->begun_ms = loop_mono_ms(w->l);
    w->address = (struct netaddr){ .family = NETADDR_V4, .ip = { 10, 0, 0, 1 }, .port = 25 };
    loop_sim_link(w->l, &link);
    w->disk = vfs_faulty(chance(w, UINT64_MAX));
    vfs_faulty_on_flush(w->disk, on_flush, w);
    w->config = read_config(d->play);
    stage_make(d);
    book_make(d);
    plan_events(d);
    procs_boot(w);
    lanes_make(d);
}

static void put_summary(struct days *d, struct buf *b)
{
    unsigned attempts = 0, delivered = 0, failed = 0, delayed = 0;
    for (unsigned i = 0; i < d->count; i++) {
        attempts += d->mails[i].attempts;
        delivered += d->mails[i].delivered;
        failed += d->mails[i].failed;
        delayed += d->mails[i].delayed;
    }
    buf_printf(b, "%u messages, %u attempts, %u delivered, %u given up, %u warnings, %.1f days",
               d->count, attempts, delivered, failed, delayed, (double)since(d) / DAY_MS);
    if (d->letter_count)
        buf_printf(b, ", %u letters", d->letter_count);
}

static void unmake(struct days *d)
{
    struct world *w = &d->w;
    lanes_free(d);
    stage_free(d);
    book_free(d);
    if (loop_sim_open(w->l) != 0)
        fail(w, "%zu descriptors were left open", loop_sim_open(w->l));
    config_free(&w->config);
    vfs_free(&w->disk);
    loop_free(&w->l);
    free(w->excuses);
}

int days_run(const struct play *play, uint64_t seed, bool trace, bool no_jumps,
             uint64_t *times_r, struct buf *summary)
{
    struct days *d = NEW(struct days);
    d->play = play;
    d->no_jumps = no_jumps;
    d->w.opt = (struct options){ .seed = seed, .trace = trace };
    make(d);
    run(d);
    book_check(d);
    if (d->w.endings && !play->endings)
        fail(&d->w, "%u processes ended by themselves", d->w.endings);
    put_summary(d, summary);
    procs_free(&d->w);
    *times_r = d->times;
    unmake(d);
    int failures = (int)d->w.failures;
    if (failures)
        buf_printf(summary, ": %s", d->w.first_failure);
    free(d);
    return failures;
}
