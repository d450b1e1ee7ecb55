#include "sched/pace.h"

enum { SLACK_US = 20000, SLOW_US = 500000, SLOWEST_US = 60 * 1000000, CREDIT = 4 };

static int64_t slack_of(int64_t interval_us) { return interval_us < SLACK_US ? SLACK_US : 0; }

int64_t sched_pace_interval_us(const struct sched_pace *p, uint32_t rate, int64_t rate_ms,
                               bool narrow)
{
    if (!rate)
        return p->slow && narrow ? (int64_t)SLOW_US << p->slow : 0;
    int64_t us = (rate_ms * 1000 + rate - 1) / rate;
    if (slack_of(us))
        us = (rate_ms * 1000 + SLACK_US + rate - 1) / rate;
    int64_t slowest_us = 2 * us > SLOWEST_US ? 2 * us : SLOWEST_US;
    int64_t slow_us = us << p->slow;
    return slow_us < slowest_us ? slow_us : slowest_us;
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

void sched_pace_trouble(struct sched_pace *p, int64_t now_ms)
{
    p->slowed_ms = now_ms;
    p->credit = 0;
    if (p->slow < SCHED_SLOW_MAX)
        p->slow++;
}

void sched_pace_success(struct sched_pace *p)
{
    if (!p->slow || ++p->credit < CREDIT)
        return;
    p->credit = 0;
    p->slow--;
}
