/* Between the two files of -bs. */
#ifndef POSTERN_CLI_SENDMAIL_BS_H
#define POSTERN_CLI_SENDMAIL_BS_H

#include "base/buf.h"

enum { BS_OUT_BYTES = 16384, READ_BYTES = 16384 };

struct sendmail_flags;
struct sendmail_conf;

struct talk {
    int fd;               /* to the gateway; -1: it is away */
    struct buf in, reply; /* of standard input; of the gateway */
    bool eof, gone;
    int code;             /* of the last reply */
    struct {
        char bytes[BS_OUT_BYTES];
        size_t n;
    } out;
};

/* The next line of standard input without its end, valid until *taken_r bytes are taken off t->in.
 * False at the end. */
bool bs_line(struct talk *t, struct span *line_r, size_t *taken_r);

/* Without a gateway: the commands are answered here, messages go into the submission spool. */
void bs_away(struct talk *t, const struct sendmail_flags *f, const struct sendmail_conf *conf);

#endif
