#include "sched/pace.h"

enum {
    SECOND_US = 1000000,
    SLACK_US = 20000,
    SLOWEST_US = 60 * SECOND_US,
    SLOWEST_NARROW_US = 32 * SECOND_US,
    STEP = 32, /* of the interval goes with each success */
    STEP_LONG = 8,
};

static int64_t slack_of(int64_t interval_us) { return interval_us < SLACK_US ? SLACK_US : 0; }

int64_t sched_pace_rule_us(uint32_t rate, int64_t rate_ms)
{
    if (!rate)
        return 0;
    int64_t us = (rate_ms * 1000 + rate - 1) / rate;
    return slack_of(us) ? (rate_ms * 1000 + SLACK_US + rate - 1) / rate : us;
}

int64_t sched_pace_interval_us(const struct sched_pace *p, int64_t rule_us, bool narrow)
{
    if (!rule_us)
        return narrow ? p->slow_us : 0;
    return p->slow_us > rule_us ? p->slow_us : rule_us;
}

int64_t sched_pace_begin(struct sched_pace *p, int64_t interval_us, int64_t now_ms)
{
    int64_t now_us = now_ms * 1000, slack_us = slack_of(interval_us);
    if (p->next_us < now_us - slack_us)
        p->next_us = now_us - slack_us;
    p->next_us += interval_us;
    int64_t at_us = p->next_us - slack_us;
    return at_us <= now_us ? now_ms : (at_us + 999) / 1000;
}

void sched_pace_trouble(struct sched_pace *p, int64_t rule_us, int64_t now_ms)
{
    int64_t slowest_us = SLOWEST_NARROW_US;
    if (rule_us)
        slowest_us = 2 * rule_us > SLOWEST_US ? 2 * rule_us : SLOWEST_US;
    p->slowed_ms = now_ms;
    if (!p->slow_us)
        p->slow_us = rule_us ? 2 * rule_us : SECOND_US;
    else
        p->slow_us *= 2;
    if (p->slow_us > slowest_us)
        p->slow_us = slowest_us;
}

void sched_pace_success(struct sched_pace *p, int64_t rule_us)
{
    p->slow_us -= p->slow_us / (p->slow_us > SECOND_US ? STEP_LONG : STEP);
    if (p->slow_us <= (rule_us ? rule_us : SLACK_US))
        p->slow_us = 0;
}

uint32_t sched_pace_doubled(const struct sched_pace *p, int64_t rule_us)
{
    uint32_t n = p->slow_us > 0;
    for (int64_t us = rule_us ? 2 * rule_us : SECOND_US; us < p->slow_us; us *= 2)
        n++;
    return n;
}
