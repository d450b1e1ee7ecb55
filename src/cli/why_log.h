/* why_log: what the log still knows of mail that is not in the queue (any more). Reads the event
 * log (log.events), or where there is none the text log (log.file), and those that logrotate has
 * put aside beside it ("LOG.1", "LOG.2.gz", "LOG-20261120.gz"), the newest first, as far as that is
 * worth it. */
#ifndef POSTERN_CLI_WHY_LOG_H
#define POSTERN_CLI_WHY_LOG_H

#include "base/span.h"

#include <jansson.h>

struct config;

enum why_log_kind { WHY_LOG_ID, WHY_LOG_ADDRESS, WHY_LOG_NAME }; /* NAME: a domain or a host */

struct why_log {
    json_t *events; /* array, oldest first: events, or {"line":...} of a text log */
    json_t *files;  /* array: {"path", "read": bool, "why": of one that was not read} */
    bool kept;      /* a file is configured; else all is empty */
};

/* An id, an address, or else a name. */
enum why_log_kind why_log_kind(struct span word);
void why_log_read(const struct config *cfg, const char *word, struct why_log *l_r);
void why_log_free(struct why_log *l);

#endif
