/* bench/sched: what the queue costs in memory and time: N messages (1,000,000) of one recipient
 * to 10,000 domains, by malloc's own accounting; then all of them routed, deferred, and gone.
 * Prints one line per phase; fails above the limit given for issue "1,000,000 queued". */
#include "base/must.h"
#include "base/num.h"
#include "sched/sched.h"

#include <malloc.h>
#include <stdio.h>
#include <time.h>

enum { DOMAINS = 10000, BATCH = 256, BYTES_MAX = 300 };

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static size_t used_bytes(void)
{
    struct mallinfo2 i = mallinfo2();
    return i.uordblks + i.hblkhd;
}

static double phase_began;
static size_t bytes_began;

static void phase(const char *what, uint64_t n)
{
    double now = seconds();
    printf("%-34s %6.0f ns each  %6.1f bytes each\n", what, (now - phase_began) * 1e9 / (double)n,
           (double)(used_bytes() - bytes_began) / (double)n);
    phase_began = seconds();
}

static void fill(struct sched *s, uint64_t n, struct sched_now now, bool deferred)
{
    char sender[64], rcpt[64];
    for (uint64_t i = 1; i <= n; i++) {
        int ns = snprintf(sender, sizeof sender, "newsletter%u@customer%u.example.com",
                          (unsigned)(i % 977), (unsigned)(i % 401));
        int nr = snprintf(rcpt, sizeof rcpt, "some.person%u@domain%05u.example.org", (unsigned)i,
                          (unsigned)(i % DOMAINS));
        struct sched_entry_rcpt r = {
            .addr = span_of(rcpt, (size_t)nr),
            .reason = deferred ? SPAN("Connection timed out with mx.example.org.") : SPAN_NONE,
            .next_try_wall_ms = deferred ? now.wall_ms + (int64_t)(i % 7200) * 1000 + 1 : 0,
            .attempts = deferred,
        };
        struct sched_entry e = { .seq = i * 3, .received_ms = now.wall_ms, .size_bytes = 1024,
                                 .sender = span_of(sender, (size_t)ns), .rcpts = &r,
                                 .rcpt_count = 1 };
        MUST(sched_add(s, &e, now));
    }
}

static void route(struct sched *s, struct sched_now now)
{
    struct sched_ask asks[BATCH];
    struct sched_verdict v;
    size_t n;
    while ((n = sched_next_to_route(s, now, asks, BATCH)) > 0) {
        for (size_t i = 0; i < n; i++) {
            char key[32];
            int k = snprintf(key, sizeof key, "mx:domain%05u.example.org",
                             (unsigned)(asks[i].seq / 3 % DOMAINS));
            MUST(sched_routed(s, asks[i].seq, asks[i].rcpt, SCHED_TO, span_of(key, (size_t)k),
                              now, &v));
        }
    }
}

static uint64_t run_jobs(struct sched *s, struct sched_now now, enum sched_outcome_kind kind)
{
    struct sched_outcome out = { .kind = kind, .reason = SPAN("450 4.2.0 greylisted") };
    struct sched_result res = { .outcomes = &out, .news = SCHED_NEWS_OK };
    struct sched_verdict v;
    struct sched_job job;
    uint64_t n = 0, seq;
    for (;;) {
        for (; sched_next_job(s, now, &job); n++)
            MUST(sched_job_result(s, job.id, &res, now, &v));
        while (sched_next_gone(s, &seq))
            ;
        struct sched_totals t = sched_totals(s);
        if (!t.rcpts[SCHED_PENDING] && !t.rcpts[SCHED_READY])
            return n;
        route(s, now);
    }
}

int main(int argc, char **argv)
{
    uint64_t n = 1000000;
    if (argc > 1 && !num_u64(span_str(argv[1]), &n))
        return 64;
    struct sched_config c;
    sched_config_defaults(&c);
    bytes_began = used_bytes();
    phase_began = seconds();
    struct sched *s = sched_new(&c);
    struct sched_now now = { .mono_ms = 1000, .wall_ms = 1790000000000 };
    fill(s, n, now, true);
    phase("loaded, all deferred", n);
    double loaded = (double)(used_bytes() - bytes_began) / (double)n;
    now.mono_ms += 8000 * 1000;
    now.wall_ms += 8000 * 1000;
    route(s, now);
    phase("all due and routed", n);
    MUST(run_jobs(s, now, SCHED_OUT_DEFERRED) == n);
    phase("all tried and deferred", n);
    now.mono_ms += 30000 * 1000;
    MUST(run_jobs(s, now, SCHED_OUT_DELIVERED) == n);
    phase("all tried again and delivered", n);
    MUST(sched_totals(s).messages == 0);
    sched_free(&s);
    printf("%.1f MB for %llu queued\n", loaded * (double)n / 1e6, (unsigned long long)n);
    return loaded <= BYTES_MAX ? 0 : 1;
}
