/* The inside of a spool, shared by the files of this folder and by nothing else. */
#ifndef POSTERN_SPOOL_INSIDE_H
#define POSTERN_SPOOL_INSIDE_H

#include "base/hash.h"
#include "spool/format.h"
#include "spool/table.h"

struct dir {
    char *path;
    struct vfs_file *lock;
    struct segment *active; /* takes the appends; NULL: one is made when needed */
    bool out, low, reserve_ready;
    bool clings; /* some of its segments do */
    int failures;
    int64_t retry_ms; /* when an `out` one is tried again */
};

struct range {
    uint64_t from, to;
};

struct ranges {
    struct range *list;
    size_t n, cap;
};

/* Final outcomes in a segment that must outlive the commit records they are about (tombs: they
 * keep the dead from rising), by the segment of those. */
struct tomb {
    uint64_t home, bytes;
};

enum seg_state {
    SEG_ACTIVE,
    SEG_SEALED, /* ends in an index; never written again */
    SEG_CLOSED, /* has no index and is never written nor flushed again */
};

struct segment {
    struct hash_node node; /* in spool.by_gen */
    uint64_t gen, salt;
    struct dir *dir;
    struct vfs_file *file; /* opened when needed */
    enum seg_state state;
    uint16_t slot;
    uint64_t end;     /* of what has been written */
    uint64_t flushed; /* of what is known to be on the disk */
    uint64_t ahead;   /* zeros are written up to here */
    uint64_t begun;   /* of extents: the disk was told to begin up to here */
    uint64_t vouched; /* the end behind the note that all before it was flushed; 0: none */
    uint64_t live;    /* bytes of records that still matter, tombs not among them */
    struct tomb *tombs;
    size_t tomb_count;
    struct buf entries; /* of the index, not written yet */
    uint64_t *chunks;   /* offsets of the index records written */
    size_t chunk_count, chunk_cap;
    uint64_t footer_off;  /* SEG_SEALED */
    struct ranges holes;  /* parts that a scan passes over: void, dropped or damaged */
    unsigned refs;        /* readers */
    unsigned pins;        /* extents of open transactions */
    uint64_t homes, lasts, extents; /* commit records, ends of chains, extents that are live: as
                                       long as there is one, the segment stays */
    bool damaged;         /* never unlinked: renamed when empty */
    bool twins;           /* holds older copies of moved messages: must be freed first */
    bool unsettled;       /* recovery could not make sure of its last part: moved first */
    bool stuck;           /* could not be read to its end by compaction */
    bool clings;          /* stuck, too: could not be unlinked; until its directory works again */
    bool carried;         /* all of it stands elsewhere: only the unlinking is left. What was not
                             carried was about messages of which no copy was left elsewhere, and
                             none comes to be: the dead are not moved */
    bool unlinked;
};

/* A transaction with extents. */
struct txn {
    struct hash_node node;
    uint64_t key, seq, bytes;
    struct extent *extents;
    size_t n, cap;
    bool failed;
    bool damaged; /* moving: a checksum of the source was wrong */
};

enum item_kind {
    ITEM_COMMIT,
    ITEM_MOVE,     /* a commit record moved by compaction */
    ITEM_OUTCOME,
    ITEM_SNAPSHOT, /* all outcomes of a message merged */
    ITEM_TOMB,
    ITEM_COPY,     /* a record of unknown type, carried on */
    ITEM_STORY,    /* the first to be left out when something fails */
};

/* A record waiting in the batch. */
struct item {
    enum item_kind kind;
    uint32_t type;       /* enum rec_type */
    size_t at, meta_len; /* in batch.metas: 32 bytes of head, then the meta */
    size_t span_at, span_count; /* the body, in batch.spans */
    uint64_t body_len, off;
    uint32_t body_crc, rcpts;
    uint64_t key, seq;   /* the caller's transaction; the message committed */
    size_t group_at;     /* of the group to be patched, within the meta; 0: none */
    uint64_t group_seq;
    uint32_t previous;   /* number + 1 of the item before with the same group_seq */
    struct txn *txn;
    bool refused;
    int error;
    int64_t at_ms;
};

struct batch {
    struct buf metas;
    struct item *items;
    size_t n, cap;
    struct span *spans;
    size_t span_count, span_cap;
    uint64_t bytes;
    size_t commits;
    int64_t oldest_ms; /* of outcomes; -1 = none */
    uint32_t *map;     /* message -> newest item + 1 with outcomes of it */
    size_t map_size;
    uint64_t *seqs;    /* of the messages to be committed: a hash table, 0 = free */
    size_t seqs_size;
    struct arena *bodies; /* of stories; NULL until there is one */
};

/* The tombs that were carried out of the victim: each once, however often it stands there. */
struct carried {
    struct carried_tomb {
        uint64_t seq, home; /* seq 0: unused */
        uint32_t rcpt;
    } *slots;
    size_t n, size; /* size: a power of two */
};

struct compaction {
    struct segment *victim;
    struct cursor *cursor;
    struct carried carried;
    struct txn *moving;      /* a message with extents, half moved */
    size_t next_extent;
    struct arena *arena;     /* of the slice */
    char *piece;             /* for copying extents */
};

/* A file without a name, given back to the system bit by bit (segment.c). */
struct dying_file {
    struct vfs_file *file;
    uint64_t bytes;
};

enum { DYING_MAX = 64 };

struct spool {
    struct vfs *vfs;
    struct spool_config config;
    struct spool_calls calls;
    struct dir *dirs;
    size_t dir_count, turn;
    struct segment **slots; /* [0] is never used */
    size_t slot_count;
    struct hash by_gen;
    uint64_t gen_high, lsn;
    struct table table;
    struct hash txns;
    struct batch batch, spare; /* spare: the one being flushed */
    struct buf prologue;
    struct iovec *iov;
    size_t iov_count, iov_cap;
    struct void_note *voids; /* to be noted in the next batch, or again by compaction */
    size_t void_count, voids_written;
    uint64_t id_high, id_next;
    uint64_t id_gen; /* the segment whose batch last noted id_high */
    uint64_t *due;   /* messages whose outcomes want merging */
    size_t due_count;
    struct compaction compaction;
    struct spool_stat stat;
    int64_t now_ms, space_asked_ms;
    size_t open_files, close_next;
    struct dying_file dying[DYING_MAX];
    size_t dying_count;
    bool unread; /* recovery could not read everything */
    bool busy; /* inside a callback of a flush */
};

enum { DUE_MAX = 1024, OPEN_FILES_MAX = 256 };

/* --- segment.c --- */
enum { DIR_RETRY_MS = 30 * 1000 };

/* Whether a write may be tried there. The time is that of the wall: a clock that was set back
 * meanwhile must not keep a directory out for as long as it had been ahead. */
static inline bool dir_takes(const struct spool *s, const struct dir *d)
{
    if (!d->out || d->retry_ms == INT64_MAX)
        return !d->out;
    return s->now_ms >= d->retry_ms || s->now_ms < d->retry_ms - DIR_RETRY_MS;
}

void spool_emit(struct spool *s, struct spool_event e);
void seg_emit(struct spool *s, struct segment *seg, enum spool_event_kind kind, uint64_t off,
              uint64_t bytes, int error);
struct segment *seg_add(struct spool *s, struct dir *d, uint64_t gen, uint64_t salt);
struct segment *seg_by_gen(const struct spool *s, uint64_t gen);
static inline struct segment *seg_at(const struct spool *s, uint16_t slot)
{
    return slot ? s->slots[slot] : NULL;
}
int seg_create(struct spool *s, struct dir *d); /* makes d->active: 0 or -errno */
int seg_file(struct spool *s, struct segment *seg);            /* opens it: 0 or -errno */
bool seg_dying_step(struct spool *s); /* gives back a bit of what was unlinked; false: no more */
void seg_dying_close(struct spool *s);
/* Exactly n bytes: 0, -EIO (also when the file is shorter), -errno. */
int seg_pread(struct spool *s, struct segment *seg, void *to, size_t n, uint64_t off);
void seg_failed(struct spool *s, struct segment *seg, int error); /* a write or flush failed */
void seg_note_void(struct spool *s, uint64_t gen, uint64_t from);
int seg_flush(struct spool *s, struct segment *seg); /* one fdatasync; a failure closes it */
void dir_failed(struct spool *s, struct dir *d, int error);
void dir_worked(struct spool *s, struct dir *d);
void seg_remove(struct spool *s, struct segment *seg);            /* from memory */
int seg_unlink(struct spool *s, struct segment *seg);             /* from the disk and memory */
static inline void seg_live_add(struct spool *s, struct segment *seg, uint64_t bytes)
{
    seg->live += bytes;
    s->stat.live_bytes += bytes;
}
/* Never below zero: after damage the sums may be off, which must cost no more than a copy. */
static inline void seg_live_sub(struct spool *s, struct segment *seg, uint64_t bytes)
{
    uint64_t give = bytes < seg->live ? bytes : seg->live;
    seg->live -= give;
    s->stat.live_bytes -= give;
}
void entry_set_home(struct spool *s, struct entry *e, struct segment *seg, uint64_t off,
                    uint64_t size); /* seg NULL: none */
void entry_set_last(struct spool *s, struct entry *e, struct segment *seg, uint64_t off);
void seg_unref(struct spool *s, struct segment *seg);
void seg_add_tomb(struct segment *seg, uint64_t home, uint64_t bytes);
/* Bytes of tombs still needed: the home is there, or there may be an older copy elsewhere. */
uint64_t seg_tombs(const struct spool *s, const struct segment *seg);
bool seg_any_stuck(const struct spool *s);
/* Another segment than this one holds, or may hold, older copies of messages: a tomb may be about
 * one of those, whatever its home is. */
bool seg_older_copies(const struct spool *s, const struct segment *except);
void ranges_add(struct ranges *r, uint64_t from, uint64_t to); /* kept sorted and apart */
/* The range that holds off, or NULL. */
const struct range *ranges_find(const struct ranges *r, uint64_t off);

/* --- index.c --- */
void index_add(struct segment *seg, const struct rec *r);
/* 0, or -errno: then the segment is closed without an index (its records are safe). */
int index_seal(struct spool *s, struct segment *seg);
void index_free(struct segment *seg);
void index_add_chunk(struct segment *seg, uint64_t off);

/* --- cursor.c: the records of one segment in order --- */
struct cursor;
/* From the index of a sealed segment; otherwise, and with `scan`, from the records themselves
 * up to seg->flushed, passing over bodies and holes. NULL: the index does not read. */
struct cursor *cursor_new(struct spool *s, struct segment *seg, bool scan);
/* 1: *r, whose meta is good until the next call; 0: the end; -errno. */
int cursor_next(struct cursor *c, struct rec *r);
/* Footer and last index record are whole: the sealing had come to its end. */
bool index_sound(struct spool *s, struct segment *seg);
/* What a scan found unreadable so far. */
const struct ranges *cursor_bad(const struct cursor *c);
/* -errno of a read that failed: then what seems damaged may be sound another day. */
int cursor_error(const struct cursor *c);
void cursor_free(struct cursor **c);

/* One record by its place: head and meta into `b`, and the body when body_r is given; *r and
 * *body_r point into it. `hint`: its size, when known. A sealed segment's index stands in for a
 * record whose head is damaged. 0, -EILSEQ, -errno. The body is not checked. */
int rec_read(struct spool *s, struct segment *seg, uint64_t off, uint64_t hint, struct buf *b,
             struct rec *r, struct span *body_r);

/* --- batch.c --- */
void batch_init(struct batch *b);
void batch_free(struct spool *s, struct batch *b);
/* Begins an item; its meta is then put into b->metas, and batch_end called. */
struct item *batch_begin(struct batch *b, enum item_kind kind, uint32_t type);
void batch_body(struct batch *b, struct item *it, struct span s);
void batch_end(struct spool *s, struct batch *b, struct item *it);
/* Notes that the item holds outcomes of `seq`, the group at `at` in its meta. */
void batch_group(struct batch *b, struct item *it, uint64_t seq, size_t at);
bool batch_has(const struct batch *b, uint64_t seq);
/* Notes that the batch commits this message, or (false) it does so already. */
bool batch_note_seq(struct batch *b, uint64_t seq);
bool batch_commits(const struct batch *b, uint64_t seq);
/* Writes and flushes s->batch with its effects and callbacks. */
int batch_flush(struct spool *s);
/* A batch with nothing in it, into the directory's active segment: notes id_high. */
int batch_note(struct spool *s, struct dir *d, uint64_t id_high);
void txn_free(struct spool *s, struct txn *t, bool aborted);

/* --- append.c: the one writer of records --- */
void append_piece(struct spool *s, const void *p, size_t n); /* to s->iov; 0 bytes: fine */
/* The pieces go to the end of seg, which grows by `bytes` (they may be more: zeros ahead).
 * 0 or -errno; then the segment has failed, or (-ENOSPC) was cut back to where it was. */
int append_write(struct spool *s, struct segment *seg, uint64_t bytes);
/* The active segment of d, made or renewed when needed; NULL and *error. */
struct segment *append_target(struct spool *s, struct dir *d, int *error);
/* The next directory that takes writes; essential: also one that is low on space. */
struct segment *append_next(struct spool *s, bool essential, int *error);
int append_extent(struct spool *s, struct txn *t, struct span data, bool essential);

/* --- apply.c: what a flushed record means --- */
void apply_item(struct spool *s, struct segment *seg, const struct batch *b, struct item *it);
/* Notes the final outcomes of g; true when with them every recipient is final. */
bool apply_finals(struct spool *s, struct entry *e, const struct group *g);

/* --- chain.c --- */
/* Visits the records with outcomes of e, newest first. -errno when one does not read. */
int chain_walk(struct spool *s, const struct entry *e,
               int (*fn)(void *ctx, struct segment *seg, const struct rec *r,
                         const struct group *g),
               void *ctx);
/* The newest outcome of each recipient, in `a`. */
int chain_collect(struct spool *s, const struct entry *e, struct arena *a,
                  struct spool_outcome **list_r, size_t *n_r);
void chain_release(struct spool *s, const struct entry *e, bool dead); /* live bytes given back */
/* As chain_collect; who is final is told in any case, also when older records do not read. */
int chain_state(struct spool *s, const struct entry *e, struct arena *a,
                struct spool_outcome **list_r, size_t *n_r);
/* A merged record of all outcomes of e, put into the batch. */
int chain_snapshot(struct spool *s, struct entry *e, struct arena *a);
/* body: of stories, or empty; stays until the flush. */
void chain_put_snapshot(struct spool *s, uint64_t seq, const struct spool_outcome *list, size_t n,
                        struct span body);
/* What a record adds to the reasons to merge a chain: its outcomes, and a bit for its stories,
 * which would be copied. */
static inline uint32_t chain_weight(const struct rec *r, const struct group *g)
{
    enum { STORY_SHARE = 8 };
    return (uint32_t)(r->type == REC_OUTCOME
                          ? REC_HEAD_BYTES + r->head_len + r->body_len / STORY_SHARE
                          : group_cost(r, g));
}
void chain_due(struct spool *s, struct entry *e);

/* --- story.c --- */
/* Behind what the batch holds of the message; `body` stays until the flush. */
void story_put_record(struct spool *s, uint64_t seq, struct span body);
struct span batch_keep(struct batch *b, struct span s); /* a copy that lives as long as the batch */
/* The stories worth keeping, as the body of a record; empty: none. */
struct span story_body(struct spool *s, const struct entry *e, struct arena *a);

/* --- space.c --- */
void space_poll(struct spool *s); /* at most once a second */
void space_reserve(struct spool *s, struct dir *d);
bool space_release(struct spool *s); /* true when there was something to give up */

/* --- recover.c, tail.c, replay.c --- */
/* No counter and no generation is used twice, also when what used it is gone. */
static inline void note_high(struct spool *s, uint64_t id_high, uint64_t gen_high)
{
    s->id_high = id_high > s->id_high ? id_high : s->id_high;
    s->gen_high = gen_high > s->gen_high ? gen_high : s->gen_high;
}
int recover(struct spool *s, struct err *err);
/* One unsealed segment: looked through, then (all voids being known) put in order. */
struct tail;
struct tail *tail_scan(struct spool *s, struct segment *seg);
void tail_finish(struct spool *s, struct tail *t, bool newest);
void tail_free(struct tail **t);
int replay(struct spool *s);

/* --- compact.c --- */
void compact_stop(struct spool *s);

#endif
