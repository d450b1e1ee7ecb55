/* spool: accepted mail on stable storage, as a log of records in segment files. The format is
 * specified at the top of write.c.
 *
 * Everything is synchronous and of one thread. Files are reached through the vfs only, wall time
 * is the caller's. A message is named by its counter `seq` (envelope/queueid.h) alone; where it
 * lies is the spool's business and changes when compaction moves it.
 *
 * The life of a message:
 *   spool_lease_ids            a counter of its own
 *   spool_extent ...           content above inline_max, as it arrives (not flushed)
 *   spool_commit               into the batch
 *   spool_flush                one write, one flush -> on_receipt: it exists from here on
 *   spool_outcome ...          per recipient; the last final one removes the message
 *
 * Memory: about 44 bytes per live message, plus one bit per recipient where there are more than
 * 32. The envelope is given to on_message at start and can be read back (spool_envelope); the
 * caller keeps of it what it wants. */
#ifndef POSTERN_SPOOL_SPOOL_H
#define POSTERN_SPOOL_SPOOL_H

#include "base/arena.h"
#include "base/err.h"
#include "envelope/envelope.h"
#include "receipt/receipt.h"
#include "vfs/vfs.h"

#include <sys/types.h>

struct spool;
struct spool_reader;

enum {
    SPOOL_DIRECTORIES_MAX = 32,
    SPOOL_BLOCKS_MAX = 64,     /* prepended header blocks of one message */
    SPOOL_CUTS_MAX = 1024,     /* ranges cut from one message */
    SPOOL_DIAG_MAX = 1024,     /* longer texts of an outcome are cut to these */
    SPOOL_STATUS_MAX = 32,
    SPOOL_REMOTE_MAX = 255,
    SPOOL_STORY_MAX = 64 << 10,
};

#define SPOOL_RCPT_ALL UINT32_MAX /* an outcome of the message as a whole */

/* Zero means the default. Nothing is kept beyond spool_open but copies. */
struct spool_config {
    const char *const *directories; /* must exist; no two the same */
    size_t directory_count;
    uint64_t segment_size_bytes; /* 64M; a segment is sealed when it has grown to this */
    uint64_t inline_max_bytes;   /* 128K; more content in a commit record is refused */
    uint64_t free_min_bytes;     /* 64M; less free than this: SPOOL_SPACE_LOW */
    uint64_t free_min_inodes;    /* 100 */
    uint64_t reserve_bytes;      /* 8M set aside in each directory, so that outcomes still fit
                                    when the disk is full */
    uint64_t lease_step;         /* 1M counters are persisted at once */
    uint64_t ahead_bytes;        /* zeros written behind a small batch, which make the next
                                    flushes cheaper (no growth of the file); 64K; 1 = none */
    uint64_t stories_kept;       /* of each recipient; 3 */
    uint64_t salt;               /* random; marks this spool's records (any number in tests) */
    bool read_only;              /* takes no lock and writes nothing: for `spool cat`, `export`,
                                    `check` beside a running daemon */
};

/* --- what the spool tells --- */

enum spool_outcome_kind { /* kept as they are; only `final` matters to the spool */
    SPOOL_DELIVERED = 1,
    SPOOL_RELAYED = 2,   /* to a next hop without DSN (RFC 3464 2.3.3) */
    SPOOL_EXPANDED = 3,
    SPOOL_FAILED = 4,
    SPOOL_EXPIRED = 5,
    SPOOL_DEFERRED = 6,
    SPOOL_REMOVED = 7,   /* by an administrator */
    SPOOL_HELD = 8,
    SPOOL_RELEASED = 9,
    SPOOL_DELAY_REPORTED = 10,
    SPOOL_UNKNOWN = 11,  /* outcome_unknown: dropped after the final dot */
};

struct spool_outcome {
    uint64_t seq;
    uint32_t rcpt;     /* index in the envelope, or SPOOL_RCPT_ALL */
    uint8_t kind;      /* enum spool_outcome_kind */
    bool final;        /* this recipient (or, with SPOOL_RCPT_ALL, the message) is done for good */
    bool no_dsn;       /* final, and noted that no report is due; not final: its delay has been
                          reported (a newer outcome takes the place of DELAY_REPORTED) */
    bool duplicate;    /* not final: an earlier one was UNKNOWN, so that it may have arrived */
    bool released;     /* it was parked and has been let go: what would park it is passed over */
    uint32_t attempts; /* so far */
    int64_t at_ms, next_ms; /* wall time: when it happened; next attempt, 0 = none */
    int64_t noted_ms;       /* not kept: when it is recorded, if that is not at_ms (0) */
    struct span status; /* "4.4.1" */
    struct span diag;   /* what the next hop (or we) said; of HELD and RELEASED who it was, and
                           behind a LF what was said last before (spool_decision) */
    struct span remote; /* which next hop */
};

/* The diag of an outcome, without what was said before it: that is in *before_r, mostly empty. */
struct span spool_decision(const struct spool_outcome *o, struct span *before_r);

enum spool_event_kind {
    SPOOL_EVENT_DAMAGED = 1,   /* bytes known to have been flushed do not read: alarm. directory,
                                  segment, offset, bytes */
    SPOOL_EVENT_DROPPED,       /* unfinished records behind the last flush: never acknowledged.
                                  directory, segment, offset, bytes */
    SPOOL_EVENT_MESSAGE_DAMAGED, /* seq: the content of a message fails its checksum */
    SPOOL_EVENT_INDEX_DAMAGED, /* segment: its index is bad; its records are read instead */
    SPOOL_EVENT_FLUSH_FAILED,  /* segment, error: closed for good */
    SPOOL_EVENT_WRITE_FAILED,  /* segment, error */
    SPOOL_EVENT_DIRECTORY_OUT, /* directory, error: not written to any more: alarm */
    SPOOL_EVENT_DIRECTORY_BACK,
    SPOOL_EVENT_RESERVE_USED,  /* directory: the disk is full; outcomes live on the reserve */
    SPOOL_EVENT_UNREADABLE,    /* segment (0 = the directory), error: alarm. Met at the start,
                                  nothing is compacted until a start without it: what does not
                                  read now may hold the newest outcomes of what does */
    SPOOL_EVENT_SEALED,        /* segment, bytes */
    SPOOL_EVENT_FREED,         /* segment, bytes: unlinked by compaction */
};

struct spool_event {
    enum spool_event_kind kind;
    const char *directory; /* or NULL */
    uint64_t segment;      /* generation, the number in the file's name; 0 = none */
    uint64_t offset, bytes, seq;
    int error;             /* errno, positive; 0 = none */
};

struct spool_message_info {
    const struct envelope *env;
    uint64_t content_bytes; /* as received */
    uint64_t size_bytes;    /* as delivered: blocks + content - cuts */
};

/* Every pointer passed lives for the call only. None of these may call spool_flush,
 * spool_compact, spool_lease_ids or spool_close; spool_commit and spool_outcome are fine
 * (they go into the next batch). Any may be NULL. */
struct spool_calls {
    void *ctx;
    /* Only inside spool_open: every live message, then its outcomes so far, oldest first (for
     * one recipient the last one counts; a message's come after its on_message, but those of
     * several messages mix). Messages come in no special order. */
    void (*on_message)(void *ctx, const struct spool_message_info *m);
    void (*on_outcome)(void *ctx, const struct spool_outcome *o);
    /* Only inside spool_flush (and spool_compact, which flushes first). */
    void (*on_receipt)(void *ctx, const struct receipt *r);
    void (*on_refused)(void *ctx, uint64_t txn, int error); /* ENOSPC: 452, else 451 */
    void (*on_event)(void *ctx, const struct spool_event *e);
};

/* --- open and close --- */

/* Takes the lock of every directory, recovers, replays to calls->on_message and on_outcome.
 * 0 and *s_r, or -1 and err: nothing to write to, or another process holds the lock. A directory
 * that fails is taken out with an event as long as one is left. */
int spool_open(struct vfs *vfs, const struct spool_config *config, const struct spool_calls *calls,
               int64_t now_ms, struct spool **s_r, struct err *err);

/* Writes nothing: what was not flushed is gone (without on_refused). Readers must be closed
 * before. Accepts NULL in *s; sets it to NULL. */
void spool_close(struct spool **s);
/* After a reload: segment_size, free_min, reserve (for the next one that is made), and inline_max
 * where it has grown (mail that began under the larger one may still come). 0: as it was. */
void spool_configure(struct spool *s, const struct spool_config *config);

/* --- writing --- */

/* n (<= lease_step) consecutive counters, never given out before nor after; returns the first,
 * or 0 when no directory takes the note (as good as EIO). A flush once per lease_step. */
uint64_t spool_lease_ids(struct spool *s, uint32_t n, int64_t now_ms);
/* All counters that were ever given out are below this. */
uint64_t spool_ids_upto(const struct spool *s);

/* Appends content of transaction `txn` (any number of the caller's, not 0, in use once at a
 * time) to the active segment at once, unflushed; `data` is free again on return. The first
 * call begins the transaction. Pieces of 64K..1M are best; at most 65536 of them. 0, or -errno:
 * then the transaction is dead (commit will refuse it too) and the caller aborts it. New mail is
 * refused here with -ENOSPC when space is low. */
int spool_extent(struct spool *s, uint64_t txn, uint64_t seq, struct span data);
void spool_abort(struct spool *s, uint64_t txn); /* its extents become dead bytes; unknown: fine */

struct spool_cut { /* a range of the content as received that is not delivered */
    uint64_t offset, bytes;
};

struct spool_commit {
    uint64_t txn;               /* comes back in the receipt */
    const struct envelope *env; /* copied; env->seq from spool_lease_ids */
    const struct span *blocks;  /* put in front of the content, in this order */
    size_t block_count;
    const struct spool_cut *cuts; /* ascending, apart from each other, within the content */
    size_t cut_count;
    const struct span *content; /* inline content; none when it came by spool_extent */
    size_t content_count;
    /* A report: the outcomes (of one other message) that caused it. They and the report become
     * durable together or not at all, and use the reserve when the disk is full. */
    const struct spool_outcome *bound;
    size_t bound_count;
};

/* Adds to the batch; the bytes of blocks and content must stay until spool_flush returns, the
 * rest is copied. 0, or -errno and nothing was added (no callback will come; extents are
 * aborted): -ENOSPC low on space, -EIO dead transaction, -E2BIG beyond a limit, -EINVAL. */
int spool_commit(struct spool *s, const struct spool_commit *c);

/* Adds outcomes (all of one message, each recipient final at most once) to the batch; texts are
 * copied. They are facts: if a flush fails they stay for the next one. -ENOENT when the message
 * is not (or no longer) in the spool, -EINVAL for an index beyond its recipients.
 * The message is removed when its last recipient is final, in memory at the next flush. */
int spool_outcome(struct spool *s, const struct spool_outcome *o, size_t n);

/* What people may want to know later of what happened to some recipients of one message: any
 * bytes (attempt/attempt.h). The last ones of each recipient are kept as long as it has no final
 * outcome and nothing goes wrong: nothing may rely on them. Copied into the batch. -ENOENT,
 * -EINVAL (longer than SPOOL_STORY_MAX, no such recipient), -ENOSPC (a directory is low). */
struct spool_story {
    const uint32_t *rcpts; /* indices in the envelope */
    size_t n;
    struct span text;
};
int spool_story(struct spool *s, uint64_t seq, const struct spool_story *story);

/* Writes the batch with one write and one flush, then calls on_receipt for each committed
 * message in order, or on_refused. 0, or -errno of what failed last (the batch may have gone
 * through in part: outcomes survive a full disk that refuses messages). Empty: 0, no flush. */
int spool_flush(struct spool *s, int64_t now_ms);

/* Before a clean end, after spool_flush: notes that all was flushed. Without the note, damage to
 * the last batch cannot be told from a batch that a crash cut off (it is dropped in silence). */
void spool_vouch(struct spool *s);

size_t spool_batch_count(const struct spool *s);  /* messages waiting for spool_flush */
uint64_t spool_batch_bytes(const struct spool *s); /* of them and of outcomes, content included */
/* When the oldest outcome that waits for a flush was recorded, or -1: flush within a second of
 * it. */
int64_t spool_dirty_since(const struct spool *s);

/* --- reading: only what has been flushed --- */

bool spool_has(const struct spool *s, uint64_t seq);

/* Reads the message as it is to be delivered. The reader stays valid when the message is removed
 * or moved meanwhile. Content of an inline message is checked against its CRC here, an extent's
 * when the first byte of it is read. NULL and *error (ENOENT, EIO, EILSEQ = damaged, ENOMEM). */
struct spool_reader *spool_reader_open(struct spool *s, uint64_t seq, int *error);
/* As spool_reader_open, but also what is known to be damaged can be read: bytes whose checksum is
 * wrong as they stand, up to what is not there at all (-EILSEQ). For people, never for delivery.
 * NULL and *error where the commit record itself is gone. */
struct spool_reader *spool_reader_open_damaged(struct spool *s, uint64_t seq, int *error);
uint64_t spool_reader_size(const struct spool_reader *r);
/* Up to n bytes from `off`; 0 at the end; -EIO, -EILSEQ. */
ssize_t spool_reader_read(struct spool_reader *r, uint64_t off, char *to, size_t n);
void spool_reader_close(struct spool_reader **r); /* accepts NULL in *r; sets it to NULL */

/* One read without keeping a reader. */
ssize_t spool_read(struct spool *s, uint64_t seq, uint64_t off, char *to, size_t n);

/* All checksums of one message: 0, -EILSEQ, -EIO, -ENOENT. */
int spool_verify(struct spool *s, uint64_t seq);

/* The envelope, its bytes in `a`; size_r may be NULL. 0, -ENOENT, -EIO, -EILSEQ, -ENOMEM. */
int spool_envelope(struct spool *s, uint64_t seq, struct arena *a, struct envelope *e_r,
                   uint64_t *size_r);
/* The newest outcome of each recipient that has one (and of SPOOL_RCPT_ALL, last), in `a`. */
int spool_outcomes(struct spool *s, uint64_t seq, struct arena *a, struct spool_outcome **list_r,
                   size_t *n_r);
/* Its stories, newest first, each with the recipients of whom it is one of the last; in `a`.
 * What does not read is not there. -ENOENT, -ENOMEM. */
int spool_stories(struct spool *s, uint64_t seq, struct arena *a, struct spool_story **list_r,
                  size_t *n_r);
/* Every live message's counter, in no order; fn may read but not write. */
void spool_each(struct spool *s, void (*fn)(void *ctx, uint64_t seq), void *ctx);

/* --- space --- */

enum spool_space {
    SPOOL_SPACE_OK,
    SPOOL_SPACE_LOW, /* refuse new mail: 452 (RFC 5321 4.2.3) */
};
/* Asks the file system at most once a second of now_ms. */
enum spool_space spool_space(struct spool *s, int64_t now_ms);

/* One slice: moves up to about max_bytes of messages out of segments that are mostly dead,
 * flushes, unlinks what has become free. Pending batches are flushed first (callbacks!). 1: call
 * again soon; 0: nothing worth doing now (ask again in a second, or when space is low); -errno.
 * Keeps the disk use within 2 x live bytes plus two segments (and one more for each further
 * directory). A megabyte is a good slice. */
int spool_compact(struct spool *s, int64_t now_ms, uint64_t max_bytes);

struct spool_stat {
    uint64_t messages, live_bytes, disk_bytes, segments;
    uint64_t batches, flushes, written_bytes, moved_bytes;
    uint64_t damaged, dropped; /* ranges met since the start */
    uint64_t memory_bytes;     /* of the table of messages */
};
struct spool_stat spool_stat(const struct spool *s);

/* --- off-line --- */

struct spool_report {
    uint64_t segments, sealed, records, messages, outcomes, bytes;
    uint64_t damaged, dropped, bad_messages, bad_indexes;
};
/* Reads everything there is, content too, and changes nothing. Damage goes to on_event.
 * 0: sound; 1: damage found; -1: err. Fit for a spool in use: what appears meanwhile is left. */
int spool_check(struct vfs *vfs, const char *const *directories, size_t n,
                void (*on_event)(void *ctx, const struct spool_event *e), void *ctx,
                struct spool_report *report_r, struct err *err);

#endif
