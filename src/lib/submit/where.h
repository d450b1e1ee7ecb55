/* where: the places of submission, as configured or derived: they stand beside the control socket
 * and the spool, so that two gateways on one machine have their own without being told. */
#ifndef POSTERN_SUBMIT_WHERE_H
#define POSTERN_SUBMIT_WHERE_H

#include "config/config.h"

/* The group that may write into the submission spool: of the set-gid helper. */
#define SUBMIT_GROUP "postern-drop"

/* Appended without a NUL; buf_cstr makes a C string of it. */
void submit_put_socket(struct buf *b, const struct config *cfg);
void submit_put_directory(struct buf *b, const struct config *cfg);

#endif
