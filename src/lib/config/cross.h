/* cross: mistakes that no option makes alone. */
#ifndef POSTERN_CONFIG_CROSS_H
#define POSTERN_CONFIG_CROSS_H

#include "config/config.h"

void cross_check(const struct config *cfg, struct config_report *report);

#endif
