/* show: a configuration, and single options, for people. */
#ifndef POSTERN_CONFIG_SHOW_H
#define POSTERN_CONFIG_SHOW_H

#include "base/json.h"
#include "config/table.h"

/* "spool.free_min = 512M  # default" or "# FILE:LINE", one line for each option; a listener's
 * options are "listen.mx.tls". */
void config_show(struct buf *b, const struct config *cfg);
void config_show_json(struct buf *b, const struct config *cfg);
/* A file that says the same, with every option in it. */
void config_show_file(struct buf *b, const struct config *cfg);
/* Everything the table knows about one option; cfg NULL: without the present value. */
void config_explain(struct buf *b, const struct config_option *o, const struct config *cfg);
/* The list of options in postern.conf(5): mdoc subsections. */
void config_show_mdoc(struct buf *b);
/* A delivery_rule by its number (config/rules.h): "delivery_rule "big" (FILE:LINE): mx = {...},
 * rate = "2/s"", or as an object: what the file says of it. */
void config_show_rule(struct buf *b, const struct config *cfg, uint32_t rule);
void config_show_rule_json(struct json *j, const char *key, const struct config *cfg,
                           uint32_t rule);
void config_explain_json(struct buf *b, const struct config_option *o, const struct config *cfg);

#endif
