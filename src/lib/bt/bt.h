/* bt: address test mode, `sendmail -bt`: the decisions for an address told as sendmail's rule sets
 * tell them, line by line, so that who knows those traces reads on where he was. It is a
 * rendering, with sendmail's order and sendmail's habit of rewriting a domain to its canonical
 * name; the gateway decides by route/route.h, and cli/bt.c adds a line where that differs.
 * Pure: tables and DNS are asked through struct bt_world. */
#ifndef POSTERN_BT_BT_H
#define POSTERN_BT_BT_H

#include "bt/tokens.h"

enum bt_canon { BT_CANON_GOOD, BT_CANON_UNKNOWN, BT_CANON_LATER };

struct bt_world {
    /* "mailertable" "smarttable" "virtusertable" is in use at all. */
    bool (*has)(void *ctx, const char *table);
    /* 1: value_r, valid until the end of the line; 0: not there; -1: it cannot say. */
    int (*find)(void *ctx, const char *table, struct span key, struct span *value_r);
    /* The name at the end of the CNAMEs; GOOD: canon_r, valid as above, without a dot behind. */
    enum bt_canon (*canon)(void *ctx, struct span name, struct span *canon_r);
    /* A name, or "[192.0.2.1]", of this host: sendmail's class w. */
    bool (*is_local)(void *ctx, struct span domain);
    /* A domain that virtusertable has keys of. */
    bool (*is_virtual)(void *ctx, struct span domain);
    /* addr (without focus) as genericstable and masquerading have it. */
    struct span (*rewrite)(void *ctx, bool header, bool sender, struct span addr);
    void *ctx;
};

struct bt {
    struct bt_world world;
    struct arena *arena;     /* of one line; reset by the caller */
    struct buf *out;
    struct span hostname;    /* $j */
    struct span smart_host;  /* $S */
    struct span sender;      /* $f */
    unsigned depth;
    bool later;              /* the DNS could not say: status 75 */
    bool error;              /* a result was the error mailer */
};

/* The rule set `name` ("3", "canonify", "0", "parse", "Parse1" ...) on words. False: there is no
 * such one. */
bool bt_rules(struct bt *t, struct span name, struct toks in, struct toks *out_r);

/* What a result "$# MAILER $@ HOST $: USER" says. */
struct bt_triple {
    struct toks mailer, host, user;
};
bool bt_triple(struct toks t, struct bt_triple *r);

/* The rule sets of a mailer for an address, as /try and the end of /parse show them: 1 or 2, the
 * mailer's own, final. */
struct toks bt_mailer_rules(struct bt *t, struct span mailer, bool header, bool sender,
                            struct toks in);

#endif
