/* What the files of qmgr's admin side share: one question of control's, from asked to ended. */
#ifndef POSTERN_QMGR_ADMIN_H
#define POSTERN_QMGR_ADMIN_H

#include "base/json.h"
#include "qmgr/inside.h"

enum {
    ADMIN_SLICE_ROWS = 200,
    ADMIN_SLICE_BYTES = 256 << 10,
    ADMIN_SLICE_NS = 1000000,
    ADMIN_ROW_MAX = CHANNEL_FRAME_MAX - 64,
    ADMIN_PART_BYTES = 64 << 10,  /* a row's recipients beyond it go into another row */
    ADMIN_PLACES = 1000,          /* destinations and sites shown when no number is given */
    ADMIN_PLACES_MAX = 10000,
    ADMIN_ASKS_MAX = 64,          /* questions at once; control has fewer connections */
};

struct admin_ask {
    struct list node;
    struct qmgr *q;
    uint64_t number;            /* control's name for it */
    struct buf who, word;       /* word: the domain of a retry */
    /* The next slice, when there are any: called when control asks for more, or in a turn of
     * its own. It ends the question (and the memory) by admin_end. */
    void (*slice)(struct admin_ask *a);
    bool own_turns;             /* slices come by themselves: nothing is sent between */
    bool woke;                  /* a retry ended a destination's back-off */
    uint64_t cursor, limit, done, failed;
    uint64_t recipients;
    void *own;                  /* of the verb: freed by own_gone when nobody waits any more */
    void (*own_gone)(struct admin_ask *a);
};

/* One row; b is a whole JSON object. */
void admin_row(struct admin_ask *a, const struct buf *b);
void admin_say(struct admin_ask *a, struct span row);
/* Ends the question: status ADMIN_OK, or of sysexits.h with a text for a person. */
void admin_end(struct admin_ask *a, uint8_t status, const char *text);
void admin_slice_over(struct admin_ask *a);
/* Whether a slice that began at begun_ns and has sent so much is long enough. */
bool admin_enough(const struct admin_ask *a, int64_t begun_ns, size_t rows, size_t bytes);

/* admin_list.c */
void admin_list(struct admin_ask *a, struct wire *args);
void admin_count(struct admin_ask *a, struct wire *args);
void admin_sites(struct admin_ask *a, struct wire *args);

/* admin_groups.c */
void admin_groups(struct admin_ask *a, struct wire *args);

/* admin_select.c */
void admin_act(struct admin_ask *a, struct wire *args);

/* admin_freeze.c, admin_export.c */
void admin_freeze(struct admin_ask *a, struct wire *args);
void admin_thaw(struct admin_ask *a, struct wire *args);
void admin_export(struct admin_ask *a, struct wire *args);

/* admin_why.c */
void admin_why(struct admin_ask *a, struct wire *args);

/* admin_act.c */
void admin_run(struct admin_ask *a, struct wire *args);
void admin_hold(struct admin_ask *a, struct wire *args);
void admin_release(struct admin_ask *a, struct wire *args);
void admin_delete(struct admin_ask *a, struct wire *args);
void admin_retry(struct admin_ask *a, struct wire *args);

/* admin_live.c */
void admin_live(struct admin_ask *a, struct wire *args);
void admin_live_free(struct qmgr *q); /* all runs */

/* hosts.c */
void admin_hosts(struct admin_ask *a, struct wire *args);

/* admin_mailq.c */
void admin_mailq(struct admin_ask *a, struct wire *args);

#endif
