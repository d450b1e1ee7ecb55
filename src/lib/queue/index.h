/* index: the queue in groups, kept with each change. Pure.
 *
 * A cell is everything that agrees in all that groups are made of: recipients of one domain,
 * destination, class of reason and state; or messages of one sender and listener; or messages of
 * one client and listener. Each recipient is in one cell and each message in one of each of the
 * other kinds; each cell knows its number, bytes, and its members in order of age. A group ("all
 * for example.com", "all of this reason") is the sum of its cells, of which there are thousands
 * where there are a million recipients.
 *
 * Drawback: a message with recipients in several cells counts in each of them, so that the sum
 * of messages is an upper bound where `shared` is not 0. Recipients are exact.
 *
 * The parts of a key are pointers that the owner keeps alive as long as the cell has members. */
#ifndef POSTERN_QUEUE_INDEX_H
#define POSTERN_QUEUE_INDEX_H

#include "base/hash.h"
#include "base/list.h"
#include "queue/set.h"

enum queue_kind { QUEUE_RCPTS, QUEUE_MESSAGES, QUEUE_CLIENTS, QUEUE_KINDS };

struct queue_key {
    /* RCPTS: domain, place, class;  MESSAGES: domain, listener, address;
     * CLIENTS: client, listener, nothing */
    const void *a, *b, *c;
    uint64_t state;        /* the owner's; RCPTS only */
};

struct queue_cell {
    struct hash_node node;
    struct list all; /* of its kind, in order of making */
    struct queue_key key;
    enum queue_kind kind;
    uint32_t pins;
    uint64_t messages, bytes;
    uint64_t shared;       /* recipients whose message has others, too */
    struct queue_set ages; /* of each member; its count is the number of members */
    struct queue_set dues; /* of those that have one */
};

struct queue_index {
    struct {
        struct hash hash;
        struct list all;
    } kinds[QUEUE_KINDS];
    struct list walks;
};

void queue_index_init(struct queue_index *ix, uint64_t seed);
void queue_index_free(struct queue_index *ix); /* nothing may be in it */

/* The cell of a key, made when there is none yet; a member is to be added at once. */
struct queue_cell *queue_cell_get(struct queue_index *ix, enum queue_kind kind,
                                  const struct queue_key *key);
/* age: a number that orders by age, one for each message. */
void queue_cell_add(struct queue_cell *c, uint64_t age, uint64_t bytes, bool shared);
/* Frees the cell with its last member, unless it is pinned. */
void queue_cell_remove(struct queue_index *ix, struct queue_cell *c, uint64_t age, uint64_t bytes,
                       bool shared);
void queue_cell_due(struct queue_cell *c, int64_t due_ms);
void queue_cell_undue(struct queue_cell *c, int64_t due_ms);
bool queue_cell_next_due(const struct queue_cell *c, int64_t *due_ms_r);

/* A cell that is pinned stays where it is, even empty (its key must not be looked at then). */
void queue_cell_pin(struct queue_cell *c);
void queue_cell_unpin(struct queue_index *ix, struct queue_cell *c);

/* Goes over all cells of a kind, with changes in between: each that is there from begin to end
 * comes once. */
struct queue_walk {
    struct list node;
    struct queue_index *ix;
    enum queue_kind kind;
    struct list *next;
};
void queue_walk_begin(struct queue_walk *w, struct queue_index *ix, enum queue_kind kind);
struct queue_cell *queue_walk_next(struct queue_walk *w); /* NULL: the end; empty ones left out */
void queue_walk_end(struct queue_walk *w);

#endif
