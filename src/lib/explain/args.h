/* args: what an admin asks of router and resolver over the admin socket, and the command line of
 * itself when no gateway runs: texts "NAME=VALUE", or a NAME alone.
 *
 *   accept  rcpt=A [from=A] [client=IP] [host=NAME] [auth=NAME]
 *   route   rcpt=A [from=A] [canon=NAME] [expanded] [released]
 *   map     table=mailertable key=K
 *   lookup  hops=HOPS                      (dns/hop.h)
 *   ask     name=NAME type=MX
 *
 * A missing from= is the null sender; canon= with nothing behind it means "known to have none". */
#ifndef POSTERN_EXPLAIN_ARGS_H
#define POSTERN_EXPLAIN_ARGS_H

#include "base/err.h"
#include "base/wire.h"

enum { EXPLAIN_ARG_MAX = 4096 };

struct explain_args {
    struct span rcpt, from, client, host, auth, canon, table, key, hops, name, type;
    struct span canon_why; /* not of the question: why there is no canonical name */
    bool has_rcpt, has_canon, has_key;
    bool expanded, released;
};

/* Reads texts (wire_put_bytes, one behind another) to their end; the spans look into them.
 * False: e names what is not understood. */
bool explain_args_get(struct wire *w, struct explain_args *a_r, struct err *e);

#endif
