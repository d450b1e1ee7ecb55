/* The inside of the verb `postern spool`. */
#ifndef POSTERN_CLI_SPOOL_IN_H
#define POSTERN_CLI_SPOOL_IN_H

#include "base/json.h"
#include "cli/args.h"
#include "spool/dirs.h"

enum { SPOOL_IDS_MAX = 1000 };

struct spool_request {
    struct cli_args a;
    const char *what; /* check, cat, export */
    const char *to;   /* export: the directory */
    const char *ids[SPOOL_IDS_MAX];
    size_t n;
    bool damaged; /* export: also what is damaged, as far as it can be read */
    struct vfs *vfs;
    struct spool_dirs dirs;
};

int spool_do_cat(struct spool_request *rq);
int spool_do_export(struct spool_request *rq);

/* The spool, only to be read. EX_OK, or a status with everything said. */
int spool_open_to_read(struct spool_request *rq, struct spool **s_r);
/* The message an id names; its envelope with bytes in a. EX_OK, or said. */
int spool_find(struct spool_request *rq, struct spool *s, const char *id, struct arena *a,
               struct envelope *env_r, uint64_t *size_r);
/* "it is damaged", for -errno of reading a message. */
const char *spool_read_error(int error);

#endif
