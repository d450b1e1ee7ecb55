/* The whole gateway in one process, on simulated time, disk and network, with faults; a seed
 * reproduces a run.
 *
 *   sim_gateway                     the fixed seeds of `make check`
 *   sim_gateway --seed N [--trace]  one world, with everything it does on standard error
 *   sim_gateway --long [--seconds S]  fresh seeds for so long (600)
 *   --messages M   messages of one world (40); --minutes T  how long its faults go on (40)
 *   --lie          flushes do nothing: must fail
 *
 * Each world ends with the verdict of its ledger (ledger.c): every message whose client saw 250
 * was delivered unaltered or reported as failed to its sender, nothing was delivered twice
 * without a fault that explains it, no session was left without an answer, and everything
 * settles. */
#include "world.h"

#include "base/num.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

enum { FIXED_SEEDS = 20, LIE_SEEDS = 3, SUMMARY_MAX = 4096, DEFAULT_MESSAGES = 40,
       DEFAULT_MINUTES = 40, LONG_SECONDS = 600,
       WORLD_SECONDS = 200 }; /* of real time: a world takes about one */

/* The seed comes first: whatever ends this program, it is known. */
static bool run_one(const struct options *opt, uint64_t *trace_r)
{
    struct buf b;
    buf_init(&b, SUMMARY_MAX);
    printf("# seed %" PRIu64 "\n", opt->seed);
    fflush(stdout);
    alarm(WORLD_SECONDS);
    int failures = world_run(opt, trace_r, &b);
    printf("%s sim seed %" PRIu64 ": %s; trace %016" PRIx64 "\n", failures ? "not ok" : "ok",
           opt->seed, buf_cstr(&b), *trace_r);
    fflush(stdout);
    buf_free(&b);
    return failures == 0;
}

static bool same_twice(struct options opt, uint64_t seed)
{
    uint64_t one, two;
    struct buf b;
    opt.seed = seed;
    buf_init(&b, 2 * SUMMARY_MAX);
    world_run(&opt, &one, &b);
    world_run(&opt, &two, &b);
    buf_free(&b);
    printf("%s sim: seed %" PRIu64 " gives the same run twice\n", one == two ? "ok" : "not ok",
           seed);
    fflush(stdout);
    return one == two;
}

/* A simulation that cannot fail proves nothing: with flushes that lie, mail must get lost. */
static bool lie_is_seen(struct options opt)
{
    unsigned seen = 0;
    opt.lie = opt.quiet = true;
    for (uint64_t seed = 1; seed <= LIE_SEEDS; seed++) {
        uint64_t trace;
        struct buf b;
        buf_init(&b, SUMMARY_MAX);
        opt.seed = seed;
        seen += world_run(&opt, &trace, &b) != 0;
        buf_free(&b);
    }
    printf("%s sim: a disk that lies about flushes is noticed (%u of %d seeds)\n",
           seen ? "ok" : "not ok", seen, LIE_SEEDS);
    fflush(stdout);
    return seen > 0;
}

static int run_fixed(struct options opt)
{
    bool good = true;
    for (uint64_t seed = 1; seed <= FIXED_SEEDS; seed++) {
        uint64_t trace;
        opt.seed = seed;
        good = run_one(&opt, &trace) && good;
    }
    good = same_twice(opt, 3) && good;
    good = same_twice(opt, 12) && good;
    good = lie_is_seen(opt) && good;
    return good ? 0 : 1;
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int run_long(struct options opt, uint64_t seconds)
{
    double until = now_s() + (double)seconds;
    unsigned runs = 0, bad = 0;
    while (now_s() < until) {
        uint64_t trace;
        if (getrandom(&opt.seed, sizeof opt.seed, 0) != sizeof opt.seed)
            return EX_OSERR;
        opt.seed &= 0xffffffff; /* one that can be typed */
        runs++;
        bad += !run_one(&opt, &trace);
    }
    printf("# %u worlds, %u failed\n", runs, bad);
    return bad ? 1 : 0;
}

static bool number(int argc, char **argv, int *i, uint64_t *v_r)
{
    return *i + 1 < argc && num_u64(span_str(argv[++*i]), v_r);
}

int main(int argc, char **argv)
{
    struct options opt = { 0 };
    uint64_t seconds = LONG_SECONDS, messages = DEFAULT_MESSAGES, minutes = DEFAULT_MINUTES;
    bool one = false, is_long = getenv("POSTERN_LONG") != NULL, good = true;
    for (int i = 1; i < argc && good; i++) {
        const struct span a = span_str(argv[i]);
        if (span_eq(a, SPAN("--seed")))
            one = good = number(argc, argv, &i, &opt.seed);
        else if (span_eq(a, SPAN("--messages")))
            good = number(argc, argv, &i, &messages);
        else if (span_eq(a, SPAN("--minutes")))
            good = number(argc, argv, &i, &minutes);
        else if (span_eq(a, SPAN("--seconds")))
            is_long = good = number(argc, argv, &i, &seconds);
        else if (span_eq(a, SPAN("--long")))
            is_long = true;
        else if (span_eq(a, SPAN("--trace")))
            opt.trace = true;
        else if (span_eq(a, SPAN("--lie")))
            opt.lie = true;
        else
            good = false;
    }
    if (!good || messages == 0 || messages > 100000) {
        fprintf(stderr, "usage: sim_gateway [--seed N] [--messages M] [--minutes T] [--trace] "
                        "[--lie] [--long] [--seconds S]\n");
        return EX_USAGE;
    }
    opt.messages = (unsigned)messages;
    opt.fault_ms = (int64_t)minutes * MINUTE_MS;
    uint64_t trace;
    if (one)
        return run_one(&opt, &trace) ? 0 : 1;
    return is_long ? run_long(opt, seconds) : run_fixed(opt);
}
