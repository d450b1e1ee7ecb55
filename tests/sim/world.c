/* One world from its first moment to its verdict. */
#include "world.h"

#include "base/must.h"
#include "spool/spool.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    QUIET_MS = 2 * MINUTE_MS, /* nothing left for so long: done */
    SETTLE_MS = 20 * HOUR_MS, /* after the faults: else it is a stall */
    TURNS_MAX = 4000000,      /* beyond, somebody spins */
    FAILURES_MAX = 40,
    FLUSH_MAX_NS = 15000000,
};

#define WALL_MS INT64_C(1790000000000)

static const char config_text[] =
    "hostname = \"gw.example\"\n"
    "postmaster = \"postmaster@src.example\"\n"
    "spool { directories = {\"/spool/q1\", \"/spool/q2\"} free_min = 64K inline_max = 8K\n"
    "        segment_size = 1M reserve = 64K }\n"
    "listen \"mx\" { address = {\"10.0.0.1:25\"} tls = off }\n"
    "dns { servers = {\"10.0.0.53\"} timeout = 10s }\n"
    "timeout { connect = 20s initial = 1m helo = 1m mail = 1m rcpt = 1m data_init = 1m\n"
    "          data_block = 1m data_final = 2m rset = 20s quit = 20s misc = 20s attempt = 8m }\n"
    "server { command = 2m transaction = 10m question = 20s commit = 1m }\n"
    "retry { first = 20s max = 10m warn_after = 1h expire_after = 4h }\n"
    "deliver { tls = off }\n"
    "processes { smtpd = 2 deliver = 2 }\n";

/* Of some worlds: what is sent to v.example goes to a.example, and a list goes to two. */
static const char maps_text[] =
    "relay { from = {} }\n"
    "route { access = \"inline:Connect:10.2 RELAY; From:spam.example REJECT\"\n"
    "        virtusertable = \"inline:@v.example %1@a.example\"\n"
    "        aliases = \"inline:list: m1@a.example, m2@b.example; owner-list: boss@src.example\"\n"
    "        mailertable = \"inline:d.example relay:[10.1.0.5]; .no.example error:nohost\"\n"
    "        local_users = \"any\" local = {\"gw.example\"} }\n";

static struct config *read_config(bool maps)
{
    struct config *c = NULL;
    struct buf text;
    buf_init(&text, 1 << 16);
    buf_putz(&text, config_text);
    buf_putz(&text, maps ? maps_text : "relay { from = {\"10.2.0.0/16\"} }\n");
    struct config_report *r = config_report_new();
    if (!config_parse(buf_span(&text), SPAN("sim.conf"), &c, r)) {
        struct buf b;
        buf_init(&b, 1 << 20);
        config_report_put_text(&b, r);
        fputs(buf_cstr(&b), stderr);
        buf_free(&b);
    }
    MUST(c);
    config_report_free(&r);
    buf_free(&text);
    return c;
}

/* A flush takes its time. */
static void on_flush(void *ctx)
{
    struct world *w = ctx;
    loop_sim_advance(w->l, 50000 + (int64_t)chance(w, FLUSH_MAX_NS));
}

static void on_net_fault(void *ctx) { excuse_now(ctx); }

static void set_temper(struct world *w)
{
    struct temper *t = &w->temper;
    t->client_idle_ms = one_in(w, 2) ? 20 * SECOND_MS : SECOND_MS;
    t->burst_ms = one_in(w, 4) ? 0 : 1 + (int64_t)chance(w, 5 * SECOND_MS);
    t->bursts = 1 + (unsigned)chance(w, 6);
    t->sink_think_ms = one_in(w, 3) ? 1 + (int64_t)chance(w, 20 * SECOND_MS) : 0;
    t->large = one_in(w, 5);
    t->maps = one_in(w, 2);
}

static void make(struct world *w, const struct options *opt)
{
    w->opt = *opt;
    w->zone = sinks_zone;
    w->l = loop_sim_new(opt->seed, WALL_MS);
    w->begun_ms = loop_mono_ms(w->l);
    w->faults_until_ms = w->begun_ms + opt->fault_ms;
    w->address = (struct netaddr){ .family = NETADDR_V4, .ip = { 10, 0, 0, 1 }, .port = 25 };
    w->disk = vfs_faulty(chance(w, UINT64_MAX));
    vfs_faulty_on_flush(w->disk, on_flush, w);
    vfs_faulty_lie(w->disk, opt->lie);
    loop_sim_on_strike(w->l, on_net_fault, w);
    set_temper(w);
    w->config = read_config(w->temper.maps);
    faults_begin(w);
    ledger_make(w);
    sinks_make(w);
    procs_boot(w);
    clients_make(w);
}

static bool is_quiet(struct world *w)
{
    struct spool *s = procs_spool(w);
    return w->faults.over && s && ledger_settled(w) && spool_stat(s).messages == 0 &&
           spool_batch_count(s) == 0;
}

static void run(struct world *w)
{
    int64_t quiet_since = INT64_MAX;
    unsigned turns = 0;
    for (;; turns++) {
        loop_turn(w->l, SECOND_MS);
        faults_after_turn(w);
        int64_t now = loop_mono_ms(w->l);
        quiet_since = !is_quiet(w) ? INT64_MAX : quiet_since == INT64_MAX ? now : quiet_since;
        if (quiet_since != INT64_MAX && now - quiet_since > QUIET_MS)
            return;
        if (now > w->faults_until_ms + SETTLE_MS) {
            struct spool *s = procs_spool(w);
            fail(w, "%d hours after the last fault there is still mail in the spool (%llu)",
                 SETTLE_MS / HOUR_MS, s ? (unsigned long long)spool_stat(s).messages : 0);
            return;
        }
        if (turns > TURNS_MAX) {
            fail(w, "after %u turns it still runs: something spins", turns);
            return;
        }
        if (w->failures > FAILURES_MAX)
            return;
    }
}

/* What is left on the disk must be sound; only a disk that failed may leave damage. */
static void check_disk(struct world *w)
{
    static const char *const dirs[] = { "/spool/q1", "/spool/q2" };
    struct spool_report r;
    struct err e = { "" };
    int sound = spool_check(w->disk, dirs, 2, NULL, NULL, &r, &e);
    bool disk_failed = w->faults.count[FAULT_DISK_ERROR] || w->faults.count[FAULT_DISK_AWAY] ||
                       w->faults.count[FAULT_DISK_FULL];
    if (sound != 0 && !disk_failed)
        fail(w, "the spool is damaged: %llu ranges, %llu messages, %llu indexes %s",
             (unsigned long long)r.damaged, (unsigned long long)r.bad_messages,
             (unsigned long long)r.bad_indexes, e.text);
}

static void put_summary(struct world *w, struct buf *b)
{
    static const char *const names[FAULTS] = {
        "smtpd dies", "router dies", "resolver dies", "deliver dies", "qmgr dies",
        "machine dies", "disk error", "disk full", "disk away", "links", "cuts", "clock",
        "sinks", "clients", "reloads", "stops",
    };
    buf_printf(b, "%u messages in %u sessions, %u deliveries, %u twice, %u reports, %.1f h",
               w->opt.messages, w->sessions, w->deliveries, w->duplicates, w->reports,
               (double)(loop_mono_ms(w->l) - w->begun_ms) / HOUR_MS);
    const char *mark = "; ";
    for (int f = 0; f < FAULTS; f++) {
        if (!(w->faults.on & 1u << f))
            continue;
        buf_printf(b, "%s%s", mark, names[f]);
        if (w->faults.count[f])
            buf_printf(b, " %u", w->faults.count[f]);
        mark = ", ";
    }
    if (!w->faults.on)
        buf_putz(b, "; no faults");
}

static void unmake(struct world *w)
{
    clients_free(w);
    sinks_free(w);
    loop_timer_stop(w->l, &w->faults.next);
    loop_timer_stop(w->l, &w->faults.mend);
    loop_hook_cancel(&w->faults.strike);
    if (loop_sim_open(w->l) != 0)
        fail(w, "%zu descriptors were left open", loop_sim_open(w->l));
    ledger_free(w);
    config_free(&w->config);
    vfs_free(&w->disk);
    loop_free(&w->l);
}

int world_run(const struct options *opt, uint64_t *trace_r, struct buf *summary)
{
    struct world *w = NEW(struct world);
    make(w, opt);
    run(w);
    ledger_check(w);
    procs_free(w);
    check_disk(w);
    *trace_r = loop_sim_trace(w->l);
    put_summary(w, summary);
    unmake(w);
    if (w->failures)
        buf_printf(summary, ": %s", w->first_failure);
    int failures = (int)w->failures;
    free(w);
    return failures;
}
