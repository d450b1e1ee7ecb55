/* What the files of this room share. */
#ifndef POSTERN_BT_INSIDE_H
#define POSTERN_BT_INSIDE_H

#include "bt/bt.h"

enum { BT_DEPTH_MAX = 50 }; /* sendmail's MAXRULERECURSION */

typedef struct toks bt_rule_fn(struct bt *t, struct toks in);

/* fn between its two lines. */
struct toks bt_call(struct bt *t, const char *name, bt_rule_fn *fn, struct toks in);
struct toks bt_text(struct bt *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static inline bool bt_resolved(struct toks t) { return toks_is(t, 0, "$#"); }

/* An address in focus: BEFORE < @ HOST > AFTER. */
struct focus {
    bool found;
    struct toks before, host, after;
};
struct focus bt_focus(struct toks t);
struct toks bt_unfocus(struct bt *t, const struct focus *f);
/* The host without the dot that stands for "canonical". */
struct toks bt_host(const struct focus *f, bool *dotted_r);

bt_rule_fn bt_canonify, bt_canonify2, bt_parse, bt_parse0, bt_parse_local, bt_parse1,
    bt_mailertable, bt_smarttable, bt_mailer_to_triple, bt_canon_local, bt_recurse, bt_final;
/* virtusertable for an address in focus. True: decided. */
bool bt_virtual(struct bt *t, const struct focus *f, struct toks *out);

#endif
