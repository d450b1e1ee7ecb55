/* The model of a spool: what was asked of it, what it acknowledged, and what must therefore be
 * found after any crash. */
#ifndef POSTERN_TESTS_CRASH_MODEL_H
#define POSTERN_TESTS_CRASH_MODEL_H

#include "base/buf.h"
#include "spool/spool.h"

enum { MODEL_STORIES_KEPT = 3 };
enum { MODEL_MESSAGES_MAX = 4096, MODEL_RCPTS_MAX = 40, MODEL_CONTENT_MAX = 8192 };

enum message_state { PENDING, ACKED, REFUSED, ABORTED };

struct model_rcpt {
    bool final_issued, final_flushed;
    bool reporting; /* a report about it is on its way */
    uint32_t attempts_issued, attempts_flushed;
    uint32_t attempt_told; /* the highest one of which there was ever a story */
    /* what a replay told */
    bool final_found;
    uint32_t attempts_found;
};

struct model_message {
    uint64_t seq;
    enum message_state state;
    uint32_t rcpts;
    size_t content_bytes, block_bytes;
    struct spool_cut cut; /* bytes 0: none */
    bool streamed;
    size_t sent; /* of the content, by extents */
    uint64_t refused_at; /* number of good flushes at that time */
    uint64_t bound_seq;  /* is the report about this message's ... */
    uint32_t bound_rcpt; /* ... recipient; bound_seq 0: is none */
    struct model_rcpt rcpt[MODEL_RCPTS_MAX];
    bool found;
    struct spool_message_info info;
};

struct model {
    struct vfs *vfs; /* a refusal by a machine that has just died is not heard */
    struct model_message list[MODEL_MESSAGES_MAX];
    size_t n;
    uint64_t id_high; /* the highest counter handed out */
    uint64_t good_flushes, stories_found;
    uint64_t damage_events, loud_events; /* those that must not be; those that may */
    char why[512];    /* the first broken promise; "" = none */
};

void model_init(struct model *m);
struct model_message *model_get(struct model *m, uint64_t seq);
struct model_message *model_add(struct model *m, uint64_t seq);
bool model_live(const struct model_message *g); /* acknowledged, and a recipient left */

/* The bytes of a message are made of its counter. */
void model_content(uint64_t seq, size_t n, char *to);
void model_blocks(uint64_t seq, size_t n, char *to);

/* The story of an attempt is made of what it is about, too. `to` has room for MODEL_STORY_MAX;
 * returns its length. */
enum { MODEL_STORY_MAX = 5000 };
size_t model_story(const struct model_message *g, const uint32_t *rcpts, size_t n, char *to);

void model_report_done(struct model *m, const struct model_message *g);

/* Every outcome issued so far is on the disk. */
void model_flushed(struct model *m);

/* The spool's callbacks; ctx is the model. */
extern const struct spool_calls model_calls;

/* Before a reopening. */
void model_forget_found(struct model *m);
/* After it: compares, and sets m->why. `crashed`: what was not acknowledged may be there. */
bool model_check(struct model *m, struct spool *s, bool crashed);
/* Under damage: nothing found may differ; the number of live messages lost. */
size_t model_count_lost(struct model *m, struct spool *s);
void model_fail(struct model *m, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* What was found unasked becomes known: the caller goes on from there. */
void model_adopt(struct model *m);

#endif
