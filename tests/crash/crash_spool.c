/* The crash test of the spool. A random workload (inline and streamed mail, outcomes, reports,
 * compaction, restarts, one or two directories) runs on the faulty disk, again and again, with
 * a fault at every single operation: a crash (what was not flushed is kept, dropped, torn or
 * reordered), an I/O error, a full disk, a short write. Then the disk comes back, the spool
 * recovers (also through a second crash, during recovery), and what it tells must fit what it
 * acknowledged: nothing lost, nothing altered, nothing risen, no id given twice, a report and
 * its outcome together or not at all.
 *
 *   crash_spool [--long] [--seed N] [--only OP FAULT SEED] [TEST]
 *
 * The same seed gives the same run. A failure prints the line that repeats it. */
#include "crash.h"
#include "model.h"

#include "base/must.h"
#include "vfs/vfs_faulty.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { OPEN_TXNS = 4, STEPS = 90 };

static const char *const dirs[] = { "/s", "/t" };
static const char *const fault_names[] = { "none", "crash", "EIO", "ENOSPC", "short" };

struct run {
    struct vfs *vfs;
    struct spool *s;
    struct model *m;
    struct spool_config config;
    uint64_t rng;
    int64_t now;
    uint64_t open_txns[OPEN_TXNS]; /* seq of streamed messages on the way; 0 = free */
    bool lie;
    uint64_t again_op; /* a second fault after the first one; 0: none */
    enum vfs_fault again;
    struct buf keep; /* bytes the batch points to */
};

static uint64_t roll(struct run *r, uint64_t n) { return crash_roll(&r->rng, n); }

/* --- the workload --- */

static uint64_t lease(struct run *r)
{
    uint32_t n = 1 + (uint32_t)roll(r, 3);
    uint64_t first = spool_lease_ids(r->s, n, r->now);
    if (first && first <= r->m->id_high)
        model_fail(r->m, "id %llu is given twice", (unsigned long long)first);
    if (first)
        r->m->id_high = first + n - 1;
    return first;
}

static struct model_message *new_message(struct run *r, size_t max_bytes)
{
    uint64_t seq = lease(r);
    if (!seq)
        return NULL;
    struct model_message *g = model_add(r->m, seq);
    g->rcpts = roll(r, 4) ? 1 + (uint32_t)roll(r, 3) : 1 + (uint32_t)roll(r, MODEL_RCPTS_MAX);
    g->content_bytes = roll(r, 8) ? 1 + roll(r, max_bytes) : 0;
    g->block_bytes = roll(r, 3) ? roll(r, 100) : 0;
    if (g->content_bytes > 10 && roll(r, 3) == 0) {
        g->cut.offset = roll(r, g->content_bytes);
        g->cut.bytes = roll(r, g->content_bytes - g->cut.offset + 1);
    }
    return g;
}

/* Room for bytes that must stay until the flush. */
static char *keep(struct run *r, size_t n)
{
    char *at = buf_space(&r->keep, n);
    MUST(at != NULL);
    buf_added(&r->keep, n);
    return at;
}

static void commit(struct run *r, struct model_message *g, const struct spool_outcome *bound)
{
    struct envelope_rcpt rcpts[MODEL_RCPTS_MAX];
    struct span content[2], blocks[2];
    for (uint32_t i = 0; i < g->rcpts; i++)
        rcpts[i] = (struct envelope_rcpt){ .addr = SPAN("someone@example.net") };
    struct envelope env = { .seq = g->seq, .received_ms = r->now, .sender = SPAN("a@b"),
                            .rcpts = rcpts, .rcpt_count = g->rcpts };
    struct spool_commit c = { .txn = g->seq + 1, .env = &env, .blocks = blocks, .block_count = 2,
                              .cuts = &g->cut, .cut_count = g->cut.bytes ? 1 : 0,
                              .bound = bound, .bound_count = bound ? 1 : 0 };
    char *block = keep(r, g->block_bytes);
    model_blocks(g->seq, g->block_bytes, block);
    blocks[0] = span_of(block, g->block_bytes / 2);
    blocks[1] = span_of(block + g->block_bytes / 2, g->block_bytes - g->block_bytes / 2);
    if (!g->streamed) {
        char *text = keep(r, g->content_bytes);
        model_content(g->seq, g->content_bytes, text);
        content[0] = span_of(text, g->content_bytes / 3);
        content[1] = span_of(text + g->content_bytes / 3,
                             g->content_bytes - g->content_bytes / 3);
        c.content = content;
        c.content_count = 2;
    }
    if (spool_commit(r->s, &c) < 0)
        g->state = ABORTED;
}

static void put_inline(struct run *r)
{
    for (uint64_t n = 1 + roll(r, 4); n; n--) {
        struct model_message *g = new_message(r, 2000);
        if (g)
            commit(r, g, NULL);
    }
}

static void stream(struct run *r)
{
    size_t i = roll(r, OPEN_TXNS);
    struct model_message *g = r->open_txns[i] ? model_get(r->m, r->open_txns[i]) : NULL;
    if (!g) {
        g = new_message(r, MODEL_CONTENT_MAX);
        if (!g || !g->content_bytes)
            return;
        g->streamed = true;
        r->open_txns[i] = g->seq;
    }
    static char text[MODEL_CONTENT_MAX];
    size_t n = 1 + roll(r, 3000);
    if (n > g->content_bytes - g->sent)
        n = g->content_bytes - g->sent;
    model_content(g->seq, g->content_bytes, text);
    int failed = spool_extent(r->s, g->seq + 1, g->seq, span_of(text + g->sent, n));
    g->sent += n;
    if (failed || roll(r, 12) == 0) {
        spool_abort(r->s, g->seq + 1);
        g->state = ABORTED;
        r->open_txns[i] = 0;
    } else if (g->sent == g->content_bytes) {
        commit(r, g, NULL);
        r->open_txns[i] = 0;
    }
}

static bool is_free(const struct model_rcpt *r) { return !r->final_issued && !r->reporting; }

static bool has_free(const struct model_message *g)
{
    for (uint32_t i = 0; i < g->rcpts; i++)
        if (is_free(&g->rcpt[i]))
            return g->state == ACKED;
    return false;
}

static struct model_message *some_live(struct run *r)
{
    if (!r->m->n)
        return NULL;
    for (int tries = 0; tries < 20; tries++) {
        struct model_message *g = &r->m->list[roll(r, r->m->n)];
        if (has_free(g))
            return g;
    }
    return NULL;
}

static uint32_t some_rcpt(struct run *r, const struct model_message *g)
{
    uint32_t i = (uint32_t)roll(r, g->rcpts);
    while (!is_free(&g->rcpt[i]))
        i = (i + 1) % g->rcpts;
    return i;
}

static void story(struct run *r, struct model_message *g, const struct spool_outcome *list,
                  size_t n)
{
    uint32_t rcpts[3];
    char text[MODEL_STORY_MAX];
    size_t used = 0;
    for (size_t i = 0; i < n; i++) {
        if (list[i].final)
            continue;
        bool twice = false;
        for (size_t k = 0; k < used; k++)
            twice |= rcpts[k] == list[i].rcpt;
        if (!twice)
            rcpts[used++] = list[i].rcpt;
    }
    if (!used)
        return;
    for (size_t i = 0; i < used; i++)
        g->rcpt[rcpts[i]].attempt_told =
            g->rcpt[rcpts[i]].attempts_issued > g->rcpt[rcpts[i]].attempt_told
                ? g->rcpt[rcpts[i]].attempts_issued
                : g->rcpt[rcpts[i]].attempt_told;
    size_t bytes = model_story(g, rcpts, used, text);
    /* A disk that is low on space takes none. */
    spool_story(r->s, g->seq, &(struct spool_story){ rcpts, used, span_of(text, bytes) });
}

static void outcome(struct run *r)
{
    struct model_message *g = some_live(r);
    struct spool_outcome list[3];
    size_t n = 1 + roll(r, 3), used = 0;
    for (size_t i = 0; i < n && g && has_free(g); i++) {
        uint32_t rcpt = some_rcpt(r, g);
        bool final = roll(r, 5) != 0;
        list[used++] = (struct spool_outcome){
            .seq = g->seq, .rcpt = rcpt, .kind = final ? SPOOL_DELIVERED : SPOOL_DEFERRED,
            .final = final, .attempts = ++g->rcpt[rcpt].attempts_issued, .at_ms = r->now,
            .status = SPAN("4.7.1"), .diag = SPAN("so it went, and this is what was said"),
        };
        g->rcpt[rcpt].final_issued = final;
    }
    if (used && spool_outcome(r->s, list, used) < 0)
        model_fail(r->m, "an outcome of message %llu is refused", (unsigned long long)g->seq);
    else if (used && roll(r, 3))
        story(r, g, list, used);
}

static void report(struct run *r)
{
    struct model_message *g = some_live(r);
    uint64_t about = g ? g->seq : 0;
    if (!g)
        return;
    uint32_t rcpt = some_rcpt(r, g);
    struct model_message *dsn = new_message(r, 500);
    if (!dsn)
        return;
    struct spool_outcome o = { .seq = about, .rcpt = rcpt, .kind = SPOOL_FAILED, .final = true };
    dsn->bound_seq = about;
    dsn->bound_rcpt = rcpt;
    model_get(r->m, about)->rcpt[rcpt].reporting = true;
    commit(r, dsn, &o);
    if (dsn->state != ABORTED)
        return;
    model_report_done(r->m, dsn);
    dsn->bound_seq = 0;
}

static void note_flush(struct run *r, int result)
{
    if (vfs_faulty_crashed(r->vfs))
        return;
    if (spool_dirty_since(r->s) < 0)
        model_flushed(r->m);
    if (result >= 0)
        r->m->good_flushes++;
    buf_reset(&r->keep);
}

static void flush(struct run *r)
{
    bool any = spool_batch_bytes(r->s) > 0;
    int result = spool_flush(r->s, r->now);
    note_flush(r, any ? result : -1);
}

static void compact(struct run *r)
{
    bool any = spool_batch_bytes(r->s) > 0;
    int result = spool_compact(r->s, r->now, 500 + roll(r, 12000));
    note_flush(r, any ? result : -1);
}

static bool start(struct run *r)
{
    struct spool_calls calls = model_calls;
    struct err err;
    calls.ctx = r->m;
    model_forget_found(r->m);
    return spool_open(r->vfs, &r->config, &calls, r->now, &r->s, &err) == 0;
}

/* The process ends and begins again; the disk and its cache live on. */
static void restart(struct run *r)
{
    if (r->now % 2) { /* a clean end */
        flush(r);
        spool_vouch(r->s);
    }
    spool_close(&r->s);
    memset(r->open_txns, 0, sizeof r->open_txns);
    buf_reset(&r->keep);
    if (!start(r) || vfs_faulty_crashed(r->vfs))
        return;
    model_check(r->m, r->s, true);
    model_adopt(r->m);
}

static void step(struct run *r)
{
    uint64_t what = roll(r, 20);
    r->now += 1 + (int64_t)roll(r, 700);
    if (getenv("SPOOL_TRACE"))
        printf("# step %d, after operation %d\n", (int)what, (int)vfs_faulty_ops(r->vfs));
    switch (what) {
    case 0: case 1: case 2: case 3: put_inline(r); break;
    case 4: case 5: case 6: stream(r); break;
    case 7: case 8: case 9: outcome(r); break;
    case 10: case 11: report(r); break;
    case 12: case 13: compact(r); break;
    case 14: if (roll(r, 6) == 0) restart(r); break;
    default: flush(r); break;
    }
}

static void work(struct run *r)
{
    for (int i = 0; i < STEPS && r->s && !vfs_faulty_crashed(r->vfs) && !r->m->why[0]; i++) {
        step(r);
        if (r->again_op && vfs_faulty_ops(r->vfs) + 1 >= r->again_op) {
            vfs_faulty_plan(r->vfs, vfs_faulty_ops(r->vfs) + 1 + r->again_op % 3, r->again);
            r->again_op = 0;
        }
    }
}

/* --- runs --- */

static struct run *run_new(uint64_t seed, bool lie)
{
    struct run *r = NEW(struct run);
    r->vfs = vfs_faulty(seed);
    r->m = NEW(struct model);
    r->m->vfs = r->vfs;
    r->rng = seed;
    r->now = 1000;
    r->config = (struct spool_config){
        .directories = dirs, .directory_count = 1 + roll(r, 2), .salt = seed * 7919,
        .segment_size_bytes = 12 * 1024, .inline_max_bytes = 4096, .free_min_bytes = 4096,
        .reserve_bytes = 8192, .lease_step = 40, .ahead_bytes = roll(r, 2) ? 1 : 1024,
    };
    buf_init(&r->keep, 1 << 26);
    MUST(buf_space(&r->keep, 1 << 20) != NULL); /* never moves within a batch */
    r->lie = lie;
    return r;
}

static void run_free(struct run *r)
{
    spool_close(&r->s);
    vfs_free(&r->vfs);
    buf_free(&r->keep);
    free(r->m);
    free(r);
}

/* The disk comes back; perhaps the machine goes down again while the spool recovers. */
static bool come_back(struct run *r, uint64_t seed)
{
    spool_close(&r->s);
    vfs_faulty_reboot(r->vfs, seed);
    for (int again = (int)(seed % 3); again; again--) {
        vfs_faulty_plan(r->vfs, 1 + seed / 3 % 12, FAULT_CRASH);
        start(r);
        spool_close(&r->s);
        vfs_faulty_reboot(r->vfs, seed * 31 + (uint64_t)again);
    }
    if (!start(r))
        model_fail(r->m, "does not open again");
    return r->s && model_check(r->m, r->s, true);
}

static void use_ids(struct run *r)
{
    for (int i = 0; i < 3; i++)
        if (!lease(r))
            model_fail(r->m, "no id to be had");
}

/* Life goes on: everything still there after compaction, and after another crash at rest. */
static void afterwards(struct run *r, uint64_t seed)
{
    use_ids(r);
    model_adopt(r->m);
    memset(r->open_txns, 0, sizeof r->open_txns);
    buf_reset(&r->keep);
    put_inline(r);
    outcome(r);
    flush(r);
    for (int i = 0; i < 1000 && spool_compact(r->s, ++r->now, 4000) == 1; i++)
        ;
    if (spool_dirty_since(r->s) >= 0)
        model_fail(r->m, "outcomes cannot be written");
    spool_close(&r->s);
    vfs_faulty_reboot(r->vfs, seed ^ 5);
    if (getenv("SPOOL_TRACE"))
        printf("# third start\n");
    if (!start(r))
        model_fail(r->m, "does not open a third time");
    else
        model_check(r->m, r->s, false);
}

/* One run with one fault; true when every promise was kept. why_r gets 512 bytes. */
static bool one(uint64_t seed, uint64_t op, enum vfs_fault fault, uint64_t crash_seed, bool lie,
                char *why_r)
{
    struct run *r = run_new(seed, lie);
    vfs_faulty_lie(r->vfs, lie);
    vfs_faulty_plan(r->vfs, op, fault);
    if (crash_seed % 2) { /* and a second fault some time later */
        r->again_op = op + 1 + crash_seed / 2 % 40;
        r->again = (enum vfs_fault)(1 + crash_seed / 80 % 4);
    }
    if (start(r))
        work(r);
    if (!r->m->why[0] && come_back(r, crash_seed))
        afterwards(r, crash_seed);
    bool good = !r->m->why[0];
    memcpy(why_r, r->m->why, sizeof r->m->why);
    run_free(r);
    return good;
}

static uint64_t count_ops(uint64_t seed)
{
    struct run *r = run_new(seed, false);
    if (start(r))
        work(r);
    uint64_t n = vfs_faulty_ops(r->vfs);
    run_free(r);
    return n;
}

/* A fault at every operation of one workload: how many runs broke a promise. */
static size_t every_operation(uint64_t seed, int crashes, bool lie, size_t *runs)
{
    char why[512];
    size_t broken = 0;
    uint64_t ops = count_ops(seed);
    for (uint64_t op = 1; op <= ops; op++) {
        for (int k = 0; k < crashes + 3; k++) {
            enum vfs_fault fault = k < crashes ? FAULT_CRASH
                                               : (enum vfs_fault)(FAULT_EIO + k - crashes);
            uint64_t crash_seed = seed * 1000003 + op * 101 + (uint64_t)k;
            ++*runs;
            if (one(seed, op, fault, crash_seed, lie, why))
                continue;
            if (!broken++ && !lie)
                printf("# crash_spool --seed %llu --only %llu %s %llu: %s\n",
                       (unsigned long long)seed, (unsigned long long)op, fault_names[fault],
                       (unsigned long long)crash_seed, why);
        }
    }
    return broken;
}

static bool a_fault_at_every_operation(uint64_t seed, bool longer)
{
    size_t runs = 0, broken = 0;
    for (uint64_t i = 0; i < (longer ? 200u : 6u); i++)
        broken += every_operation(seed + i, longer ? 12 : 4, false, &runs);
    printf("# %zu runs\n", runs);
    return broken == 0;
}

/* Many workloads, each with a few faults somewhere. */
static bool faults_here_and_there(uint64_t seed, bool longer)
{
    char why[512];
    size_t broken = 0, runs = longer ? 200000 : 3000;
    for (size_t i = 0; i < runs; i++) {
        uint64_t mine = seed + 100000 + i, op = 1 + mine * 2654435761u % 160;
        enum vfs_fault fault = (enum vfs_fault)(1 + mine % 4);
        if (one(mine, op, fault, mine * 17 + i / 7, false, why))
            continue;
        if (!broken++)
            printf("# crash_spool --seed %llu --only %llu %s %llu: %s\n",
                   (unsigned long long)mine, (unsigned long long)op, fault_names[fault],
                   (unsigned long long)(mine * 17 + i / 7), why);
    }
    printf("# %zu runs\n", runs);
    return broken == 0;
}

/* Flushes that do nothing must be found out, or the rest of this test proves nothing. */
/* A long life in two directories with a write or a flush that fails now and then: segments are
 * closed early, messages move between the directories, and older copies lie about in several. */
static bool long_one(uint64_t seed, char *why, uint64_t *stories)
{
    enum { LONG_STEPS = 1000, FAULT_EVERY = 40 };
    struct run *r = run_new(seed, false);
    r->config.directory_count = 2;
    r->config.segment_size_bytes <<= roll(r, 5);
    bool up = start(r);
    for (int i = 0; up && i < LONG_STEPS && r->s && !r->m->why[0]; i++) {
        if (roll(r, 2))
            step(r);
        else if (roll(r, 2))
            stream(r);
        else
            outcome(r);
        if (roll(r, FAULT_EVERY) == 0)
            vfs_faulty_plan(r->vfs, vfs_faulty_ops(r->vfs) + 1 + roll(r, 4),
                            roll(r, 2) ? FAULT_EIO : FAULT_SHORT);
    }
    if (!r->m->why[0] && come_back(r, seed))
        afterwards(r, seed);
    bool good = !r->m->why[0];
    memcpy(why, r->m->why, sizeof r->m->why);
    *stories += r->m->stories_found;
    run_free(r);
    return good;
}

static bool a_long_life(uint64_t seed, bool longer)
{
    char why[512];
    size_t broken = 0, runs = longer ? 20000 : 150;
    uint64_t stories = 0;
    for (size_t i = 0; i < runs; i++)
        if (!long_one(seed + i, why, &stories) && !broken++)
            printf("# long life, seed %llu: %s\n", (unsigned long long)(seed + i), why);
    printf("# %zu runs, %zu broken, %llu stories found again\n", runs, broken,
           (unsigned long long)stories);
    return broken == 0 && stories > runs;
}

static bool the_harness_sees_a_lie(uint64_t seed, bool longer)
{
    size_t runs = 0;
    (void)longer;
    return every_operation(seed, 2, true, &runs) > runs / 20;
}

/* --- damage --- */

struct files {
    char path[64][64];
    size_t n;
    const char *dir;
};

static void list_segment(void *ctx, const char *name)
{
    struct files *f = ctx;
    if (strlen(name) == 20 && strcmp(name + 16, ".seg") == 0 && f->n < 64)
        snprintf(f->path[f->n++], sizeof f->path[0], "%s/%s", f->dir, name);
}

/* One of the segment files, or "". */
static void some_segment(struct run *r, char path[64])
{
    struct files f = { .n = 0 };
    for (size_t i = 0; i < r->config.directory_count; i++) {
        f.dir = dirs[i];
        vfs_list(r->vfs, dirs[i], list_segment, &f);
    }
    memcpy(path, f.n ? f.path[roll(r, f.n)] : "", f.n ? 64 : 1);
}

static bool flip_somewhere(struct run *r)
{
    char path[64];
    struct vfs_file *file;
    some_segment(r, path);
    if (vfs_open(r->vfs, path, 0, &file) < 0)
        return false;
    uint64_t size = (uint64_t)vfs_size(file);
    vfs_close(&file);
    return vfs_faulty_flip(r->vfs, path, roll(r, size), (uint8_t)(1 + roll(r, 255)));
}

/* One damaged byte: at most one message is hit, it says so, and no other bytes are delivered. */
static bool damage_one(uint64_t seed, char *why)
{
    struct run *r = run_new(seed, false);
    if (start(r))
        work(r);
    flush(r);
    spool_close(&r->s);
    vfs_faulty_reboot(r->vfs, 0);
    r->m->damage_events = r->m->loud_events = 0;
    bool flipped = flip_somewhere(r);
    if (!r->m->why[0] && !start(r))
        model_fail(r->m, "does not open with one bad byte");
    size_t lost = r->s ? model_count_lost(r->m, r->s) : 0;
    if (lost > 1)
        model_fail(r->m, "%zu messages are lost by one bad byte", lost);
    if (lost && !r->m->damage_events && !r->m->loud_events)
        model_fail(r->m, "a message is lost and nobody is told");
    if (r->s && flipped) /* and life goes on */
        for (int i = 0; i < 300 && spool_compact(r->s, ++r->now, 4000) == 1; i++)
            ;
    if (r->s && model_count_lost(r->m, r->s) > 1)
        model_fail(r->m, "compaction makes it worse");
    memcpy(why, r->m->why, sizeof r->m->why);
    bool good = !r->m->why[0];
    run_free(r);
    return good;
}

static bool one_bad_byte(uint64_t seed, bool longer)
{
    char why[512];
    size_t broken = 0, runs = longer ? 100000 : 2000;
    for (size_t i = 0; i < runs; i++)
        if (!damage_one(seed + i, why) && !broken++)
            printf("# damage, seed %llu: %s\n", (unsigned long long)(seed + i), why);
    printf("# %zu runs\n", runs);
    return broken == 0;
}

/* A disk that does not read for a while: whatever is done meanwhile, all is there afterwards. */
static bool blind_one(uint64_t seed, char *why)
{
    struct run *r = run_new(seed, false);
    char path[64];
    if (start(r))
        work(r);
    flush(r);
    spool_close(&r->s);
    vfs_faulty_reboot(r->vfs, seed);
    some_segment(r, path);
    vfs_faulty_blind(r->vfs, roll(r, 3) ? path : dirs[0]);
    bool trouble = r->m->why[0];
    if (start(r)) {
        r->m->why[0] = '\0'; /* outcomes of what does not read are no surprise now */
        use_ids(r);
        put_inline(r);
        flush(r);
        for (int i = 0; i < 30 && spool_compact(r->s, ++r->now, 4000) == 1; i++)
            ;
    }
    spool_close(&r->s);
    vfs_faulty_blind(r->vfs, NULL);
    vfs_faulty_reboot(r->vfs, seed ^ 9);
    r->m->damage_events = 0;
    if (!start(r))
        model_fail(r->m, "does not open again");
    else if (!trouble)
        model_check(r->m, r->s, true);
    memcpy(why, r->m->why, sizeof r->m->why);
    bool good = !r->m->why[0];
    run_free(r);
    return good;
}

static bool blind_for_a_while(uint64_t seed, bool longer)
{
    char why[512];
    size_t broken = 0, runs = longer ? 100000 : 1500;
    for (size_t i = 0; i < runs; i++)
        if (!blind_one(seed + i, why) && !broken++)
            printf("# blind, seed %llu: %s\n", (unsigned long long)(seed + i), why);
    printf("# %zu runs\n", runs);
    return broken == 0;
}

/* --- main --- */

static const struct crash_test tests[] = {
    { "a_fault_at_every_operation", a_fault_at_every_operation },
    { "faults_here_and_there", faults_here_and_there },
    { "a_long_life", a_long_life },
    { "the_harness_sees_a_lie", the_harness_sees_a_lie },
    { "one_bad_byte", one_bad_byte },
    { "blind_for_a_while", blind_for_a_while },
};

static int only(uint64_t seed, char **argv)
{
    char why[512];
    enum vfs_fault fault = FAULT_NONE;
    for (int i = 0; i < 5; i++)
        if (strcmp(argv[1], fault_names[i]) == 0)
            fault = (enum vfs_fault)i;
    bool good = one(seed, strtoull(argv[0], NULL, 10), fault, strtoull(argv[2], NULL, 10), false,
                    why);
    printf("%s\n", good ? "ok" : why);
    return !good;
}

int main(int argc, char **argv)
{
    return crash_main(argc, argv, tests, sizeof tests / sizeof *tests, only);
}
