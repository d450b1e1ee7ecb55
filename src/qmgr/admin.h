/* What the files of qmgr's admin side share: one question of control's, from asked to ended.
 *
 * Questions are answered in slices, of which a turn of the loop has one, whoever asks: behind the
 * turn's commits and their receipts. While small mail comes in a slice in which something was said
 * is followed by a pause at least as long, as the writing of extents is (intake.c), and so are the
 * slices in which something was changed, once they are half a millisecond together: a pause is a
 * whole one. Those that only look are not: their answer is to come soon. */
#ifndef POSTERN_QMGR_ADMIN_H
#define POSTERN_QMGR_ADMIN_H

#include "base/json.h"
#include "qmgr/inside.h"

enum {
    /* A slice takes no more than a millisecond: it is over a little before, and after so many
     * units of work whatever the clock says. A recipient or a cell that is looked at is one, or
     * more where more is done. While small mail comes in it is shorter: a message finds a slice
     * under way as often as not, and its flush has what that slice recorded to write, too. */
    ADMIN_SLICE_UNITS = 16384,
    ADMIN_SLICE_NS = 800000,
    ADMIN_SLICE_SMALL_NS = 250000,
    ADMIN_BURST_NS = 500000,
    ADMIN_CLOCK_UNITS = 64,       /* between two looks at the clock */
    ADMIN_UNIT_BYTES = 16,        /* of a row: a unit */
    ADMIN_SLICE_BYTES = ADMIN_SLICE_UNITS * ADMIN_UNIT_BYTES,
    ADMIN_CHANGE_UNITS = 16,      /* for a recipient that is changed */
    ADMIN_ROW_MAX = CHANNEL_FRAME_MAX - 64,
    ADMIN_PART_BYTES = 64 << 10,  /* a row's recipients beyond it go into another row */
    ADMIN_PLACES = 1000,          /* destinations and sites shown when no number is given */
    ADMIN_PLACES_MAX = 10000,
    ADMIN_ASKS_MAX = 64,          /* questions at once; control has fewer connections */
};

/* One slice. */
struct admin_slice {
    struct loop *loop;
    int64_t begun_ns, begun_cpu_ns, end_ns;
    uint64_t serial;          /* of those before, and this */
    uint32_t units, clock_at; /* done; at the last look at the clock */
    bool over;                /* it is to end */
};
void admin_slice_begin(struct admin_slice *s, const struct qmgr *q);
bool admin_slice_look(struct admin_slice *s); /* at the clock */
/* So much has been done: true when the slice is to end. */
static inline bool admin_slice_spent(struct admin_slice *s, size_t units)
{
    s->units += (uint32_t)(units < ADMIN_SLICE_UNITS ? units : ADMIN_SLICE_UNITS);
    return s->units - s->clock_at < ADMIN_CLOCK_UNITS ? s->over : admin_slice_look(s);
}

struct admin_ask {
    struct list node;
    struct qmgr *q;
    uint64_t number;            /* control's name for it; 0: nobody waits any more */
    struct buf who, word;       /* word: a target, as it is compared */
    /* The next slice, when there are any: once the question has been taken in, and again as the
     * one before said. It ends the question by admin_end. */
    void (*slice)(struct admin_ask *a);
    bool ready;                 /* the next slice may begin */
    bool ended;                 /* by the slice that runs now */
    bool said;                  /* a row, in this slice */
    bool changed;               /* something, in this slice */
    bool stop;                  /* what changes something is to end where it is */
    struct admin_slice now;
    int64_t told_ms;            /* when control heard of it last */
    uint64_t limit, done, failed;
    void *own;                  /* of the verb: freed by own_gone when nobody waits any more */
    void (*own_gone)(struct admin_ask *a);
    /* Instead of own_gone at once, when what is to be freed is much: slices that free it, and end
     * the question. NULL: none. */
    void (*bury)(struct admin_ask *a);
};

/* What the slices have cost since it was last asked. */
struct admin_cost {
    uint64_t slices, units, units_max;
    int64_t longest_ns, all_ns;
    int64_t cpu_longest_ns; /* the same without what others had of the processor, and the disk */
};
struct admin_cost admin_cost(struct qmgr *q);

/* One row; b is a whole JSON object. */
void admin_row(struct admin_ask *a, const struct buf *b);
void admin_say(struct admin_ask *a, struct span row);
/* Ends the question: status ADMIN_OK, or of sysexits.h with a text for a person. Within a slice
 * the memory stays until that returns. */
void admin_end(struct admin_ask *a, uint8_t status, const char *text);
static inline bool admin_spent(struct admin_ask *a, size_t units)
{
    return admin_slice_spent(&a->now, units);
}
/* The slice is over: the next one begins when control has passed on what this one said, or in
 * one of the next turns when it said nothing. */
void admin_next(struct admin_ask *a);
/* It begins now; for who has waited for something else. */
void admin_again(struct admin_ask *a);
/* The next one begins when control has passed on what was said. */
void admin_slice_over(struct admin_ask *a);

void admin_put_addr(struct json *j, const char *key, struct sched_addr addr);

/* admin_sites.c */
void admin_put_states(struct json *j, const uint64_t n[QUEUE_STATES]);

/* admin_list.c */
void admin_list(struct admin_ask *a, struct wire *args);
void admin_count(struct admin_ask *a, struct wire *args);
void admin_sites(struct admin_ask *a, struct wire *args);

/* admin_groups.c */
void admin_groups(struct admin_ask *a, struct wire *args);

/* admin_select.c: acts; what each does is in admin_deeds.c */
void admin_act(struct admin_ask *a, struct wire *args);
void admin_hold(struct admin_ask *a, struct wire *args);
void admin_release(struct admin_ask *a, struct wire *args);
void admin_delete(struct admin_ask *a, struct wire *args);

/* admin_freeze.c, clock.c, admin_reroute.c, admin_export.c */
void admin_freeze(struct admin_ask *a, struct wire *args);
void admin_thaw(struct admin_ask *a, struct wire *args);
void admin_run(struct admin_ask *a, struct wire *args);
void admin_clock(struct admin_ask *a, struct wire *args);
void admin_reroute(struct admin_ask *a, struct wire *args);
void admin_export(struct admin_ask *a, struct wire *args);

/* admin_why.c */
void admin_why(struct admin_ask *a, struct wire *args);

/* admin_freeze.c */
#define ADMIN_NO_NAME "that is no domain, destination or site: no addresses, and no patterns " \
                      "(`queue sites` has the names)"
/* The name of a domain, destination or site as it is kept: as it is compared (base/domain.h), a
 * domain without a dot at its end. False: it can be the name of nothing. */
bool admin_put_name(struct qmgr *q, struct span given, struct buf *to);

/* admin_live.c */
void admin_live(struct admin_ask *a, struct wire *args);
void admin_live_free(struct qmgr *q); /* all runs */

/* hosts.c */
void admin_hosts(struct admin_ask *a, struct wire *args);

#endif
