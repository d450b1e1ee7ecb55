/* Days of the whole gateway in seconds: next hops that stall, refuse, greylist, limit the rate
 * and drop at each stage, a clock that is set, a machine that sleeps, processes that die.
 *
 *   sim_days                               the fixed seeds of `make check`
 *   sim_days --play NAME --seed N [--trace]  one world, with what it does on standard error
 *   sim_days --long [--seconds S]          fresh seeds for so long (600)
 *
 * The verdict of each is its book's (book.c): every message was delivered, or given up and
 * reported at its time as its NOTIFY says, and no attempt came too early or too often. */
#include "days.h"

#include "base/num.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

static const struct play *const plays[] = {
    &play_stages, &play_clock, &play_wrong_clock, &play_sleep, &play_away, &play_fair,
    &play_rules, &play_rules_kills, &play_alarms, &play_alarms_queued,
    &play_verify, &play_verify_kills, NULL,
};

enum { SUMMARY_MAX = 4096, LONG_SECONDS = 600, WORLD_SECONDS = 200, FIXED_SEED = 5 };

/* Setting the clock hurries nothing and puts nothing off: not by a millisecond. */
static bool same_without(const struct play *p, uint64_t seed, uint64_t times)
{
    struct buf b;
    uint64_t other;
    buf_init(&b, SUMMARY_MAX);
    days_run(p, seed, false, true, &other, &b);
    buf_free(&b);
    printf("%s days %s seed %" PRIu64 ": each attempt comes when it does if the clock is not set\n",
           other == times ? "ok" : "not ok", p->name, seed);
    return other == times;
}

static bool run_one(const struct play *p, uint64_t seed, bool trace)
{
    struct buf b;
    uint64_t times;
    buf_init(&b, SUMMARY_MAX);
    printf("# %s %" PRIu64 "\n", p->name, seed);
    fflush(stdout);
    alarm(WORLD_SECONDS);
    int failures = days_run(p, seed, trace, false, &times, &b);
    printf("%s days %s seed %" PRIu64 ": %s\n", failures ? "not ok" : "ok", p->name, seed,
           buf_cstr(&b));
    bool good = failures == 0 && (!p->same || same_without(p, seed, times));
    fflush(stdout);
    buf_free(&b);
    return good;
}

static int run_fixed(void)
{
    bool good = true;
    for (const struct play *const *p = plays; *p; p++)
        good = ((*p)->longer || run_one(*p, FIXED_SEED, false)) && good;
    return good ? 0 : 1;
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int run_long(uint64_t seconds)
{
    double until = now_s() + (double)seconds;
    unsigned runs = 0, bad = 0;
    for (const struct play *const *p = plays; now_s() < until; p = p[1] ? p + 1 : plays) {
        uint32_t seed;
        if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
            return EX_OSERR;
        runs++;
        bad += !run_one(*p, seed, false);
    }
    printf("# %u worlds, %u failed\n", runs, bad);
    return bad ? 1 : 0;
}

static bool number(int argc, char **argv, int *i, uint64_t *v_r)
{
    return *i + 1 < argc && num_u64(span_str(argv[++*i]), v_r);
}

static const struct play *play_named(const char *name)
{
    for (const struct play *const *p = plays; *p; p++)
        if (strcmp((*p)->name, name) == 0)
            return *p;
    return NULL;
}

int main(int argc, char **argv)
{
    const struct play *play = NULL;
    uint64_t seed = 1, seconds = LONG_SECONDS;
    bool good = true, trace = false, is_long = getenv("POSTERN_LONG") != NULL;
    for (int i = 1; i < argc && good; i++) {
        const struct span a = span_str(argv[i]);
        if (span_eq(a, SPAN("--play")))
            good = i + 1 < argc && (play = play_named(argv[++i]));
        else if (span_eq(a, SPAN("--seed")))
            good = number(argc, argv, &i, &seed);
        else if (span_eq(a, SPAN("--seconds")))
            is_long = good = number(argc, argv, &i, &seconds);
        else if (span_eq(a, SPAN("--long")))
            is_long = true;
        else if (span_eq(a, SPAN("--trace")))
            trace = true;
        else
            good = false;
    }
    if (!good) {
        fprintf(stderr, "usage: sim_days [--play NAME] [--seed N] [--trace] [--long] "
                        "[--seconds S]\n");
        return EX_USAGE;
    }
    if (play)
        return run_one(play, seed, trace) ? 0 : 1;
    return is_long ? run_long(seconds) : run_fixed();
}
