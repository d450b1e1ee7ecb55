#include "sched/gate.h"

void sched_gate_init(struct sched_gate *g, uint32_t limit, bool is_site)
{
    *g = (struct sched_gate){ .limit = limit, .slow_start = true, .is_site = is_site };
}

void sched_gate_answers(struct sched_gate *g, uint32_t initial)
{
    if (g->half_open) {
        g->half_open = false;
        g->slow_start = true;
        if (g->limit < initial)
            g->limit = initial;
    }
    g->level = 0;
}

void sched_gate_success(struct sched_gate *g, uint32_t initial, uint32_t max)
{
    sched_gate_answers(g, initial);
    if (g->limit >= max)
        return;
    if (g->slow_start || ++g->credit >= g->limit) {
        g->limit++;
        g->credit = 0;
    }
}

void sched_gate_halve(struct sched_gate *g)
{
    if (g->limit != UINT32_MAX && g->limit > 1)
        g->limit /= 2;
    g->credit = 0;
    g->slow_start = false;
}

void sched_gate_less(struct sched_gate *g)
{
    if (g->limit != UINT32_MAX && g->limit > 1)
        g->limit--;
    g->credit = 0;
    g->slow_start = false;
}

int64_t sched_gate_backoff_ms(struct sched_gate *g, int64_t first_ms, int64_t max_ms)
{
    int64_t delay_ms = first_ms;
    for (uint32_t i = 0; i < g->level && delay_ms < max_ms; i++)
        delay_ms *= 2;
    if (g->level < UINT8_MAX)
        g->level++;
    g->half_open = true;
    return delay_ms < max_ms ? delay_ms : max_ms;
}
