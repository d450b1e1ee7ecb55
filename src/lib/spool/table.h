/* table: the live messages by counter, 40 bytes each and 4 to 8 of buckets. Entries never move,
 * so that pointers to them stay good until the entry is removed. */
#ifndef POSTERN_SPOOL_TABLE_H
#define POSTERN_SPOOL_TABLE_H

#include "base/span.h"

enum entry_flag {
    ENTRY_EXTENTS = 1, /* content lies in extents */
    ENTRY_STARTED = 2, /* recovery: on_message was called */
    ENTRY_BROKEN = 4,  /* the chain of its outcomes has a gap: rewrite it */
    ENTRY_STORIES = 16, /* its chain may have some */
    ENTRY_DUE = 8,     /* stands in the list of messages whose outcomes get merged */
};

struct entry {
    uint32_t seq_low;
    uint16_t seq_high, slot; /* slot of the segment that holds the commit record */
    uint32_t off8, size8;    /* of the commit record, in units of 8 bytes */
    uint32_t last_off8;      /* the newest record with outcomes of it */
    uint16_t last_slot, flags; /* last_slot 0: none */
    uint32_t rcpts;
    uint32_t final;       /* one bit per recipient; with more than 32, number of a bitmap */
    uint32_t chain_bytes; /* of outcome records since they were last merged */
    uint32_t next;
};

struct table {
    struct entry **chunks;
    size_t chunk_count;
    uint32_t *buckets;
    uint32_t size, count, free; /* size: buckets, a power of two; free: first unused entry */
    uint32_t **bitmaps;         /* [0] of each: bits set */
    size_t bitmap_count;
    uint32_t bitmap_free; /* first unused bitmap number, linked through bitmaps_next */
    uint32_t *bitmap_next;
};

void table_free(struct table *t);
struct entry *table_get(const struct table *t, uint64_t seq);
struct entry *table_add(struct table *t, uint64_t seq, uint32_t rcpts); /* not in it yet */
void table_remove(struct table *t, struct entry *e);

static inline uint64_t entry_seq(const struct entry *e)
{
    return (uint64_t)e->seq_high << 32 | e->seq_low;
}

/* Marks a recipient final; false when it was already, or is none of the message's. */
bool table_final(struct table *t, struct entry *e, uint32_t rcpt);
bool table_is_final(const struct table *t, const struct entry *e, uint32_t rcpt);
bool table_all_final(const struct table *t, const struct entry *e);
void table_clear_final(struct table *t, struct entry *e);

uint64_t table_memory(const struct table *t);
/* Walks all; NULL starts. The table must not change meanwhile. */
struct entry *table_next(const struct table *t, const struct entry *e, size_t *at);

#endif
