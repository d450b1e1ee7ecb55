#include "config/config.h"

static void force_delivery(enum config_delivery *to, enum config_delivery by)
{
    if (*to != CONFIG_HOLD) /* what holds mail goes on holding it */
        *to = by;
}

void config_force(struct config *cfg, const struct config_forced *forced)
{
    cfg->forced = *forced;
    if (forced->queue_run_ms)
        cfg->queue.run_ms = forced->queue_run_ms > 0 ? forced->queue_run_ms : 0;
    if (!forced->deliveries)
        return;
    force_delivery(&cfg->submit.delivery, forced->delivery);
    for (size_t i = 0; i < cfg->n_listens; i++)
        force_delivery(&cfg->listens[i].delivery, forced->delivery);
}
