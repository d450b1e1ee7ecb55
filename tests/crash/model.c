#include "model.h"

#include "base/must.h"
#include "vfs/vfs_faulty.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

void model_init(struct model *m) { memset(m, 0, sizeof *m); }

void model_fail(struct model *m, const char *fmt, ...)
{
    va_list ap;
    if (m->why[0])
        return;
    va_start(ap, fmt);
    vsnprintf(m->why, sizeof m->why, fmt, ap);
    va_end(ap);
}

struct model_message *model_get(struct model *m, uint64_t seq)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->list[i].seq == seq)
            return &m->list[i];
    return NULL;
}

struct model_message *model_add(struct model *m, uint64_t seq)
{
    MUST(m->n < MODEL_MESSAGES_MAX);
    struct model_message *g = &m->list[m->n++];
    memset(g, 0, sizeof *g);
    g->seq = seq;
    return g;
}

bool model_live(const struct model_message *g)
{
    if (g->state != ACKED)
        return false;
    for (uint32_t i = 0; i < g->rcpts; i++)
        if (!g->rcpt[i].final_issued)
            return true;
    return false;
}

static void fill(uint64_t z, size_t n, char *to)
{
    z = z * 0x9e3779b97f4a7c15u + 12345;
    for (size_t i = 0; i < n; i++) {
        z = z * 6364136223846793005u + 1442695040888963407u;
        to[i] = (char)(z >> 56);
    }
}

void model_content(uint64_t seq, size_t n, char *to) { fill(seq, n, to); }
void model_blocks(uint64_t seq, size_t n, char *to) { fill(~seq, n, to); }

void model_flushed(struct model *m)
{
    for (size_t i = 0; i < m->n; i++) {
        struct model_message *g = &m->list[i];
        for (uint32_t k = 0; k < g->rcpts; k++) {
            g->rcpt[k].final_flushed = g->rcpt[k].final_issued;
            g->rcpt[k].attempts_flushed = g->rcpt[k].attempts_issued;
        }
    }
}

/* --- what the spool tells --- */

static void on_receipt(void *ctx, const struct receipt *r)
{
    struct model *m = ctx;
    struct model_message *g = model_get(m, receipt_seq(r));
    if (!g || g->state != PENDING || receipt_txn(r) != g->seq + 1) {
        model_fail(m, "a receipt for nothing");
        return;
    }
    g->state = ACKED;
    if (getenv("SPOOL_TRACE"))
        printf("# receipt %llu\n", (unsigned long long)g->seq);
    struct model_message *about = g->bound_seq ? model_get(m, g->bound_seq) : NULL;
    if (about)
        about->rcpt[g->bound_rcpt].final_issued = about->rcpt[g->bound_rcpt].final_flushed = true;
}

void model_report_done(struct model *m, const struct model_message *g)
{
    struct model_message *about = g->bound_seq ? model_get(m, g->bound_seq) : NULL;
    if (about)
        about->rcpt[g->bound_rcpt].reporting = false;
}

static void on_refused(void *ctx, uint64_t txn, int error)
{
    struct model *m = ctx;
    struct model_message *g = model_get(m, txn - 1);
    (void)error;
    if (vfs_faulty_crashed(m->vfs))
        return;
    if (!g || g->state != PENDING) {
        model_fail(m, "a refusal of nothing");
        return;
    }
    g->state = REFUSED;
    model_report_done(m, g);
    g->refused_at = m->good_flushes;
}

static void on_message(void *ctx, const struct spool_message_info *info)
{
    struct model *m = ctx;
    struct model_message *g = model_get(m, info->env->seq);
    if (!g)
        model_fail(m, "message %llu was never written", (unsigned long long)info->env->seq);
    else if (g->found)
        model_fail(m, "message %llu is told twice", (unsigned long long)g->seq);
    else if (info->env->rcpt_count != g->rcpts)
        model_fail(m, "message %llu has other recipients", (unsigned long long)g->seq);
    if (!g)
        return;
    g->found = true;
    g->info = *info;
}

static void on_outcome(void *ctx, const struct spool_outcome *o)
{
    struct model *m = ctx;
    struct model_message *g = model_get(m, o->seq);
    if (!g || !g->found || o->rcpt >= g->rcpts) {
        model_fail(m, "an outcome of nothing");
        return;
    }
    struct model_rcpt *r = &g->rcpt[o->rcpt];
    r->final_found |= o->final;
    r->attempts_found = o->attempts;
}

static void on_event(void *ctx, const struct spool_event *e)
{
    struct model *m = ctx;
    if (getenv("SPOOL_TRACE"))
        printf("# event %d segment %llu offset %llu bytes %llu seq %llu error %d\n", (int)e->kind,
               (unsigned long long)e->segment, (unsigned long long)e->offset,
               (unsigned long long)e->bytes, (unsigned long long)e->seq, e->error);
    if (vfs_faulty_crashed(m->vfs))
        return; /* a dead disk does not read: no wonder */
    if (e->kind == SPOOL_EVENT_DAMAGED || e->kind == SPOOL_EVENT_MESSAGE_DAMAGED ||
        e->kind == SPOOL_EVENT_INDEX_DAMAGED)
        m->damage_events++;
    else if (e->kind == SPOOL_EVENT_DROPPED || e->kind == SPOOL_EVENT_UNREADABLE)
        m->loud_events++;
}

const struct spool_calls model_calls = {
    .on_message = on_message, .on_outcome = on_outcome, .on_receipt = on_receipt,
    .on_refused = on_refused, .on_event = on_event,
};

/* --- comparing --- */

void model_forget_found(struct model *m)
{
    for (size_t i = 0; i < m->n; i++) {
        m->list[i].found = false;
        for (uint32_t k = 0; k < m->list[i].rcpts; k++) {
            m->list[i].rcpt[k].final_found = false;
            m->list[i].rcpt[k].attempts_found = 0;
        }
    }
}

static ssize_t read_all(struct spool *s, uint64_t seq, char *to, size_t max)
{
    int error;
    struct spool_reader *r = spool_reader_open(s, seq, &error);
    size_t done = 0;
    ssize_t got = r ? 1 : -error;
    while (got > 0 && done < max) {
        got = spool_reader_read(r, done, to + done, max - done < 700 ? max - done : 700);
        done += got > 0 ? (size_t)got : 0;
    }
    spool_reader_close(&r);
    return got < 0 ? got : (ssize_t)done;
}

/* 1: as it was; 0: the spool says that it is damaged; -1: other bytes. */
static int compare_bytes(struct spool *s, const struct model_message *g)
{
    static char want[2 * MODEL_CONTENT_MAX], got[2 * MODEL_CONTENT_MAX];
    model_blocks(g->seq, g->block_bytes, want);
    model_content(g->seq, g->content_bytes, want + g->block_bytes);
    size_t n = g->block_bytes + g->content_bytes - g->cut.bytes;
    char *at = want + g->block_bytes + g->cut.offset;
    memmove(at, at + g->cut.bytes, g->content_bytes - g->cut.offset - g->cut.bytes);
    ssize_t have = read_all(s, g->seq, got, sizeof got);
    if (have == -EILSEQ || have == -EIO)
        return 0;
    return have >= 0 && (size_t)have == n && memcmp(want, got, n) == 0 ? 1 : -1;
}

/* --- stories: seq, n, and for each recipient its index and attempt; then made-up bytes --- */

enum { STORY_HEAD = 12 };

static size_t story_bytes(uint64_t seq, uint32_t attempt)
{
    return 200 + (seq * 977 + attempt * 131) % (MODEL_STORY_MAX - 600);
}

size_t model_story(const struct model_message *g, const uint32_t *rcpts, size_t n, char *to)
{
    uint32_t count = (uint32_t)n;
    memcpy(to, &g->seq, 8);
    memcpy(to + 8, &count, 4);
    for (size_t i = 0; i < n; i++) {
        memcpy(to + STORY_HEAD + 8 * i, &rcpts[i], 4);
        memcpy(to + STORY_HEAD + 8 * i + 4, &g->rcpt[rcpts[i]].attempts_issued, 4);
    }
    size_t head = STORY_HEAD + 8 * n;
    size_t bytes = story_bytes(g->seq, g->rcpt[rcpts[0]].attempts_issued);
    model_content(g->seq, bytes, to + head);
    return head + bytes;
}

/* The attempt that the story says it is of; 0: it is none of ours, or about others. */
static uint32_t story_attempt(const struct model_message *g, struct span t, uint32_t rcpt)
{
    static char want[MODEL_STORY_MAX];
    uint64_t seq;
    uint32_t n, of, attempt, first = 0, found = 0;
    if (t.n < STORY_HEAD)
        return 0;
    memcpy(&seq, t.p, 8);
    memcpy(&n, t.p + 8, 4);
    size_t head = STORY_HEAD + 8 * (size_t)n;
    if (seq != g->seq || n > MODEL_RCPTS_MAX || t.n < head)
        return 0;
    for (uint32_t i = 0; i < n; i++) {
        memcpy(&of, t.p + STORY_HEAD + 8 * i, 4);
        memcpy(&attempt, t.p + STORY_HEAD + 8 * i + 4, 4);
        first = i ? first : attempt;
        found = of == rcpt ? attempt : found;
    }
    size_t bytes = story_bytes(seq, first);
    model_content(seq, bytes, want);
    return t.n == head + bytes && memcmp(t.p + head, want, bytes) == 0 ? found : 0;
}

static void check_story(struct model *m, const struct model_message *g,
                        const struct spool_story *t, uint32_t *last, uint32_t *count)
{
    unsigned long long seq = g->seq;
    for (size_t i = 0; i < t->n; i++) {
        uint32_t rcpt = t->rcpts[i];
        uint32_t attempt = rcpt < g->rcpts ? story_attempt(g, t->text, rcpt) : 0;
        if (!attempt) {
            model_fail(m, "message %llu has a story that nobody told", seq);
            return;
        }
        if (attempt > g->rcpt[rcpt].attempt_told || (last[rcpt] && attempt > last[rcpt]))
            model_fail(m, "message %llu: the story of attempt %u of recipient %u stands wrong",
                       seq, attempt, rcpt);
        if (++count[rcpt] > MODEL_STORIES_KEPT)
            model_fail(m, "message %llu has more stories than are to be kept", seq);
        last[rcpt] = attempt;
    }
}

/* There need not be any; those that are there are whole, about whom they were, newest first. */
static void check_stories(struct model *m, struct spool *s, const struct model_message *g)
{
    uint32_t last[MODEL_RCPTS_MAX] = { 0 }, count[MODEL_RCPTS_MAX] = { 0 };
    struct spool_story *list;
    size_t n = 0;
    struct arena *a = arena_new(16 << 20);
    if (spool_stories(s, g->seq, a, &list, &n) < 0)
        n = 0;
    for (size_t i = 0; i < n; i++)
        check_story(m, g, &list[i], last, count);
    m->stories_found += n;
    arena_free(&a);
}

/* Was not acknowledged, and may have reached the disk all the same: no void note can be known to
 * have followed it. */
static bool may_be_there(const struct model *m, const struct model_message *g)
{
    return g->state == PENDING || (g->state == REFUSED && m->good_flushes <= g->refused_at);
}

static void check_found(struct model *m, struct spool *s, const struct model_message *g,
                        bool crashed)
{
    unsigned long long seq = g->seq;
    if (compare_bytes(s, g) != 1)
        model_fail(m, "message %llu is altered", seq);
    if (g->info.content_bytes != g->content_bytes)
        model_fail(m, "message %llu has another size", seq);
    if (g->state != ACKED && !(crashed && may_be_there(m, g)))
        model_fail(m, "message %llu was %s and has come back", seq,
                   g->state == REFUSED ? "refused" : "never committed");
    check_stories(m, s, g);
    bool left = false;
    for (uint32_t i = 0; i < g->rcpts; i++) {
        const struct model_rcpt *r = &g->rcpt[i];
        left |= !r->final_flushed;
        if (r->final_flushed && !r->final_found)
            model_fail(m, "message %llu: final outcome of recipient %u is forgotten", seq, i);
        if (r->final_found && !r->final_issued)
            model_fail(m, "message %llu: recipient %u final unasked", seq, i);
        if (!r->final_found && (r->attempts_found < r->attempts_flushed ||
                                r->attempts_found > r->attempts_issued))
            model_fail(m, "message %llu: recipient %u has attempt %u, not %u..%u", seq, i,
                       r->attempts_found, r->attempts_flushed, r->attempts_issued);
    }
    if (!left)
        model_fail(m, "message %llu was done with and has come back", seq);
}

/* An earlier report about the same recipient was refused, and is there after all. */
static bool another_came(struct model *m, const struct model_message *g)
{
    for (size_t i = 0; i < m->n; i++) {
        const struct model_message *o = &m->list[i];
        if (o != g && o->found && o->bound_seq == g->bound_seq && o->bound_rcpt == g->bound_rcpt)
            return true;
    }
    return false;
}

/* A report is there if and only if the outcome is that caused it. */
static void check_bound(struct model *m, const struct model_message *g)
{
    struct model_message *about = g->bound_seq ? model_get(m, g->bound_seq) : NULL;
    if (!about || !may_be_there(m, g))
        return;
    bool done = !about->found || about->rcpt[g->bound_rcpt].final_found;
    if (!g->found && (g->state == REFUSED || another_came(m, g)))
        return; /* the outcome may have been given in another way */
    if (g->found != done)
        model_fail(m, "report %llu %s, outcome of %llu %s", (unsigned long long)g->seq,
                   g->found ? "found" : "missing", (unsigned long long)about->seq,
                   done ? "found" : "missing");
}

bool model_check(struct model *m, struct spool *s, bool crashed)
{
    for (size_t i = 0; i < m->n; i++) {
        struct model_message *g = &m->list[i];
        /* A pending report's outcome counts as issued: it may have made it. */
        if (crashed && g->bound_seq && may_be_there(m, g))
            model_get(m, g->bound_seq)->rcpt[g->bound_rcpt].final_issued = true;
    }
    for (size_t i = 0; i < m->n; i++) {
        struct model_message *g = &m->list[i];
        if (g->found)
            check_found(m, s, g, crashed);
        else if (model_live(g) && !g->bound_seq)
            model_fail(m, "message %llu is missing", (unsigned long long)g->seq);
        else if (model_live(g))
            model_fail(m, "report %llu is missing", (unsigned long long)g->seq);
        if (g->found != spool_has(s, g->seq))
            model_fail(m, "message %llu: told and known differ", (unsigned long long)g->seq);
        check_bound(m, g);
    }
    if (m->damage_events)
        model_fail(m, "damage is reported where there is none");
    return !m->why[0];
}

void model_adopt(struct model *m)
{
    for (size_t i = 0; i < m->n; i++) {
        struct model_message *g = &m->list[i];
        struct model_message *about = g->bound_seq ? model_get(m, g->bound_seq) : NULL;
        model_report_done(m, g);
        if (about && may_be_there(m, g) && !g->found)
            about->rcpt[g->bound_rcpt].final_issued = false;
    }
    for (size_t i = 0; i < m->n; i++) {
        struct model_message *g = &m->list[i];
        if (g->found)
            g->state = ACKED;
        else if (g->state != ACKED)
            g->state = ABORTED;
        for (uint32_t k = 0; k < g->rcpts; k++) {
            struct model_rcpt *r = &g->rcpt[k];
            r->final_issued = r->final_flushed = g->found ? r->final_found : true;
            r->attempts_issued = r->attempts_flushed = r->attempts_found;
        }
    }
}

size_t model_count_lost(struct model *m, struct spool *s)
{
    size_t lost = 0;
    for (size_t i = 0; i < m->n; i++) {
        struct model_message *g = &m->list[i];
        int same = g->found ? compare_bytes(s, g) : 0;
        if (same < 0)
            model_fail(m, "message %llu is altered in silence", (unsigned long long)g->seq);
        lost += model_live(g) && same != 1;
    }
    return lost;
}
