/* The spool without faults, and with single ones: what is promised in spool/spool.h. The crash
 * test (tests/crash/crash_spool.c) does the rest. */
#include "test.h"

#include "base/must.h"
#include "spool/spool.h"
#include "vfs/vfs_faulty.h"

#include <errno.h>
#include <unistd.h>

enum { LOG_MAX = 4096 };

/* A spool on a faulty disk, and what it told. */
struct bed {
    struct vfs *vfs;
    struct spool *s;
    struct spool_config config;
    uint64_t receipts[LOG_MAX], refused[LOG_MAX], found[LOG_MAX];
    size_t receipt_count, refused_count, found_count;
    int refused_error;
    size_t events[32];
    struct spool_outcome outcome; /* the last replayed; texts are not kept */
    size_t outcome_count;
    struct spool_message_info info;
    size_t found_rcpts;
    int64_t now;
};

static const char *const one_dir[] = { "/s" };
static const char *const two_dirs[] = { "/s", "/t" };

static void on_message(void *ctx, const struct spool_message_info *m)
{
    struct bed *b = ctx;
    b->found[b->found_count++ % LOG_MAX] = m->env->seq;
    b->info = *m;
    b->found_rcpts = m->env->rcpt_count;
}

static void on_outcome(void *ctx, const struct spool_outcome *o)
{
    struct bed *b = ctx;
    b->outcome = *o;
    b->outcome_count++;
}

static void on_receipt(void *ctx, const struct receipt *r)
{
    struct bed *b = ctx;
    b->receipts[b->receipt_count++ % LOG_MAX] = receipt_txn(r);
}

static void on_refused(void *ctx, uint64_t txn, int error)
{
    struct bed *b = ctx;
    b->refused[b->refused_count++ % LOG_MAX] = txn;
    b->refused_error = error;
}

static void on_event(void *ctx, const struct spool_event *e)
{
    struct bed *b = ctx;
    b->events[e->kind]++;
    if (getenv("SPOOL_TRACE"))
        printf("# event %d segment %" PRIu64 " offset %" PRIu64 " bytes %" PRIu64 " seq %" PRIu64
               " error %d\n", (int)e->kind, e->segment, e->offset, e->bytes, e->seq, e->error);
}

static void start(struct bed *b)
{
    struct spool_calls calls = { b, on_message, on_outcome, on_receipt, on_refused, on_event };
    struct err err;
    b->found_count = b->outcome_count = 0;
    if (spool_open(b->vfs, &b->config, &calls, ++b->now, &b->s, &err) < 0) {
        printf("# %s\n", err.text);
        abort();
    }
}

static void again(struct bed *b)
{
    spool_close(&b->s);
    start(b);
}

static struct bed *bed_new(size_t dirs)
{
    struct bed *b = NEW(struct bed);
    b->vfs = vfs_faulty(1);
    b->now = 1000000;
    b->config = (struct spool_config){
        .directories = dirs == 1 ? one_dir : two_dirs, .directory_count = dirs, .salt = 42,
        .segment_size_bytes = 64 * 1024, .reserve_bytes = 16 * 1024, .lease_step = 1000,
        .free_min_bytes = 20 * 1024, .ahead_bytes = 4096,
    };
    start(b);
    return b;
}

static void bed_free(struct bed *b)
{
    spool_close(&b->s);
    vfs_free(&b->vfs);
    free(b);
}

/* The content of message `seq` is made of its number. */
static size_t content_of(uint64_t seq, size_t n, char *to)
{
    uint64_t z = seq * 0x9e3779b97f4a7c15u + 1;
    for (size_t i = 0; i < n; i++) {
        z = z * 6364136223846793005u + 1442695040888963407u;
        to[i] = (char)(z >> 56);
    }
    return n;
}

enum { CONTENT = 1500 };
static char content[LOG_MAX][CONTENT]; /* batches need it until the flush */

static uint64_t put_rcpts(struct bed *b, size_t rcpts)
{
    uint64_t seq = spool_lease_ids(b->s, 1, b->now);
    static struct envelope_rcpt list[200];
    for (size_t i = 0; i < rcpts; i++)
        list[i] = (struct envelope_rcpt){ .addr = SPAN("you@example.net") };
    struct envelope env = { .seq = seq, .received_ms = b->now, .sender = SPAN("me@example.org"),
                            .helo = SPAN("client"), .rcpts = list, .rcpt_count = rcpts };
    char *text = content[seq % LOG_MAX];
    content_of(seq, CONTENT, text);
    struct span parts[] = { span_of(text, 1000), span_of(text + 1000, CONTENT - 1000) };
    struct span block = SPAN("Received: by us\r\n");
    struct spool_commit c = { .txn = seq + 7, .env = &env, .blocks = &block, .block_count = 1,
                              .content = parts, .content_count = 2 };
    return seq && spool_commit(b->s, &c) == 0 ? seq : 0;
}

static uint64_t put(struct bed *b) { return put_rcpts(b, 1); }

static uint64_t put_flushed(struct bed *b)
{
    uint64_t seq = put(b);
    return spool_flush(b->s, ++b->now) == 0 ? seq : 0;
}

static bool reads_right(struct bed *b, uint64_t seq)
{
    char want[CONTENT], got[CONTENT + 100];
    content_of(seq, CONTENT, want);
    ssize_t n = spool_read(b->s, seq, 0, got, sizeof got);
    return n == 17 + CONTENT && memcmp(got, "Received: by us\r\n", 17) == 0 &&
           memcmp(got + 17, want, CONTENT) == 0;
}

static int done_with(struct bed *b, uint64_t seq, uint32_t rcpt, uint8_t kind, bool final)
{
    struct spool_outcome o = { .seq = seq, .rcpt = rcpt, .kind = kind, .final = final,
                               .attempts = 1, .at_ms = b->now, .next_ms = b->now + 1000,
                               .status = SPAN("4.4.1"), .diag = SPAN("no answer"),
                               .remote = SPAN("mx.example.net") };
    return spool_outcome(b->s, &o, 1);
}

/* Until there is nothing left to do. */
static bool compact_all(struct bed *b)
{
    int r = 1;
    for (int i = 0; i < 10000 && r == 1; i++)
        r = spool_compact(b->s, ++b->now, 8192);
    return r == 0;
}

/* --- tests --- */

static void a_message_survives(void)
{
    struct bed *b = bed_new(1);
    uint64_t seq = put(b);
    CHECK(seq != 0);
    CHECK(!spool_has(b->s, seq));
    CHECK_INT(spool_batch_count(b->s), 1);
    CHECK_INT(spool_flush(b->s, b->now), 0);
    CHECK_INT(b->receipt_count, 1);
    CHECK_INT(b->receipts[0], seq + 7);
    CHECK(spool_has(b->s, seq));
    CHECK(reads_right(b, seq));
    spool_close(&b->s);
    vfs_faulty_reboot(b->vfs, 1);
    start(b);
    CHECK_INT(b->found_count, 1);
    CHECK_INT(b->found[0], seq);
    CHECK_INT(b->found_rcpts, 1);
    CHECK_INT(b->info.content_bytes, CONTENT);
    CHECK_INT(b->info.size_bytes, CONTENT + 17);
    CHECK(reads_right(b, seq));
    struct arena *a = arena_new(1 << 20);
    struct envelope env;
    uint64_t size;
    CHECK_INT(spool_envelope(b->s, seq, a, &env, &size), 0);
    CHECK_SPAN(env.sender, SPAN("me@example.org"));
    CHECK_SPAN(env.rcpts[0].addr, SPAN("you@example.net"));
    CHECK_INT(size, CONTENT + 17);
    arena_free(&a);
    bed_free(b);
}

static void ids_are_never_given_twice(void)
{
    struct bed *b = bed_new(2);
    uint64_t last = 0;
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < 5; i++) {
            uint64_t first = spool_lease_ids(b->s, 300, b->now);
            CHECK(first > last);
            last = first + 299;
        }
        spool_close(&b->s);
        vfs_faulty_reboot(b->vfs, (uint64_t)round);
        start(b);
    }
    bed_free(b);
}

static void a_delivered_message_is_gone(void)
{
    struct bed *b = bed_new(1);
    uint64_t one = put(b), two = put_rcpts(b, 2);
    CHECK_INT(spool_flush(b->s, b->now), 0);
    CHECK_INT(done_with(b, one, 0, SPOOL_DELIVERED, true), 0);
    CHECK_INT(done_with(b, two, 1, SPOOL_DELIVERED, true), 0);
    CHECK_INT(done_with(b, two, 2, SPOOL_DELIVERED, true), -EINVAL);
    CHECK_INT(spool_dirty_since(b->s), b->now);
    CHECK_INT(spool_flush(b->s, b->now), 0);
    CHECK_INT(spool_dirty_since(b->s), -1);
    CHECK(!spool_has(b->s, one));
    CHECK(spool_has(b->s, two));
    CHECK_INT(done_with(b, one, 0, SPOOL_DELIVERED, true), -ENOENT);
    again(b);
    CHECK_INT(b->found_count, 1);
    CHECK_INT(b->found[0], two);
    CHECK_INT(b->outcome_count, 1);
    CHECK_INT(b->outcome.rcpt, 1);
    CHECK(b->outcome.final);
    CHECK_INT(done_with(b, two, 0, SPOOL_FAILED, true), 0);
    CHECK_INT(spool_flush(b->s, b->now), 0);
    again(b);
    CHECK_INT(b->found_count, 0);
    CHECK_INT(spool_stat(b->s).live_bytes, 0);
    bed_free(b);
}

static void many_recipients_and_the_whole(void)
{
    struct bed *b = bed_new(1);
    uint64_t many = put_rcpts(b, 150), whole = put_rcpts(b, 40);
    CHECK_INT(spool_flush(b->s, b->now), 0);
    for (uint32_t i = 0; i < 149; i++) {
        CHECK_INT(done_with(b, many, i, SPOOL_DELIVERED, true), 0);
        if (i % 10 == 0)
            CHECK_INT(spool_flush(b->s, b->now), 0);
    }
    CHECK_INT(done_with(b, whole, SPOOL_RCPT_ALL, SPOOL_REMOVED, true), 0);
    CHECK_INT(spool_flush(b->s, b->now), 0);
    CHECK(!spool_has(b->s, whole));
    again(b);
    CHECK(!spool_has(b->s, whole));
    CHECK_INT(b->found_count, 1);
    CHECK_INT(b->outcome_count, 149);
    struct arena *a = arena_new(1 << 24);
    struct spool_outcome *list;
    size_t n;
    CHECK_INT(spool_outcomes(b->s, many, a, &list, &n), 0);
    CHECK_INT(n, 149);
    CHECK_INT(list[148].rcpt, 148);
    CHECK_SPAN(list[5].diag, SPAN("no answer"));
    arena_free(&a);
    CHECK_INT(done_with(b, many, 149, SPOOL_DELIVERED, true), 0);
    CHECK_INT(spool_flush(b->s, b->now), 0);
    CHECK(!spool_has(b->s, many));
    bed_free(b);
}

static void the_newest_outcome_counts(void)
{
    struct bed *b = bed_new(2);
    uint64_t seq = put_flushed(b);
    for (int i = 0; i < 100; i++) {
        struct spool_outcome o = { .seq = seq, .kind = SPOOL_DEFERRED, .attempts = (uint32_t)i + 1,
                                   .diag = SPAN("Connection refused, and a rather long story") };
        CHECK_INT(spool_outcome(b->s, &o, 1), 0);
        if (i % 3)
            CHECK_INT(spool_flush(b->s, ++b->now), 0);
        if (i % 20 == 19)
            CHECK(compact_all(b));
    }
    CHECK_INT(spool_flush(b->s, ++b->now), 0);
    CHECK(compact_all(b));
    struct arena *a = arena_new(1 << 20);
    struct spool_outcome *list;
    size_t n;
    CHECK_INT(spool_outcomes(b->s, seq, a, &list, &n), 0);
    CHECK_INT(n, 1);
    CHECK_INT(list[0].attempts, 100);
    again(b);
    CHECK_INT(b->outcome.attempts, 100);
    CHECK(b->outcome_count < 60); /* merged ones are not told again */
    CHECK_INT(spool_outcomes(b->s, seq, a, &list, &n), 0);
    CHECK_INT(list[0].attempts, 100);
    arena_free(&a);
    bed_free(b);
}

static uint64_t put_streamed(struct bed *b, size_t pieces, size_t bytes,
                             const struct spool_cut *cut)
{
    uint64_t seq = spool_lease_ids(b->s, 1, b->now);
    char *text = must_alloc(pieces * bytes);
    content_of(seq, pieces * bytes, text);
    for (size_t i = 0; i < pieces; i++)
        if (spool_extent(b->s, seq, seq, span_of(text + i * bytes, bytes)) < 0)
            abort();
    free(text);
    struct envelope_rcpt rcpt = { .addr = SPAN("x@y") };
    struct envelope env = { .seq = seq, .rcpts = &rcpt, .rcpt_count = 1 };
    struct span blocks[] = { SPAN("A: 1\r\n"), SPAN("B: 2\r\n") };
    struct spool_commit c = { .txn = seq, .env = &env, .blocks = blocks, .block_count = 2,
                              .cuts = cut, .cut_count = cut ? 1 : 0 };
    return spool_commit(b->s, &c) == 0 ? seq : 0;
}

static void streamed_content_and_cuts(void)
{
    struct bed *b = bed_new(1);
    enum { PIECES = 10, BYTES = 20000 };
    struct spool_cut cut = { 19990, 30 };
    uint64_t seq = put_streamed(b, PIECES, BYTES, &cut), small = put(b);
    CHECK_INT(spool_flush(b->s, b->now), 0);
    CHECK_INT(b->receipt_count, 2);
    for (int round = 0; round < 3; round++) {
        char *want = must_alloc(PIECES * BYTES), *got = must_alloc(PIECES * BYTES);
        content_of(seq, PIECES * BYTES, want);
        memmove(want + cut.offset, want + cut.offset + cut.bytes,
                PIECES * BYTES - cut.offset - cut.bytes);
        int error;
        struct spool_reader *r = spool_reader_open(b->s, seq, &error);
        CHECK(r != NULL);
        CHECK_INT(spool_reader_size(r), PIECES * BYTES - 30 + 12);
        CHECK_INT(spool_reader_read(r, 0, got, 12), 12);
        CHECK(memcmp(got, "A: 1\r\nB: 2\r\n", 12) == 0);
        for (size_t at = 0; at < PIECES * BYTES - 30; at += 777) {
            size_t n = PIECES * BYTES - 30 - at < 777 ? PIECES * BYTES - 30 - at : 777;
            CHECK_INT(spool_reader_read(r, 12 + at, got, 777), n);
            CHECK(memcmp(got, want + at, n) == 0);
        }
        CHECK_INT(spool_reader_read(r, PIECES * BYTES, got, 10), 0);
        CHECK(reads_right(b, small));
        CHECK_INT(spool_verify(b->s, seq), 0);
        spool_reader_close(&r);
        free(want);
        free(got);
        if (round == 0)
            again(b);
        if (round == 1) /* a lot of dead mail around it, so that it moves */
            for (int i = 0; i < 300; i++) {
                uint64_t dead = put_flushed(b);
                CHECK_INT(done_with(b, dead, 0, SPOOL_DELIVERED, true), 0);
                if (i % 50 == 0)
                    CHECK(compact_all(b));
            }
    }
    bed_free(b);
}

static void an_abort_leaves_dead_bytes_only(void)
{
    struct bed *b = bed_new(1);
    char data[30000] = "x";
    for (uint64_t txn = 1; txn < 20; txn++) {
        CHECK_INT(spool_extent(b->s, txn, txn, span_of(data, sizeof data)), 0);
        CHECK(spool_stat(b->s).live_bytes >= sizeof data);
        spool_abort(b->s, txn);
        CHECK_INT(spool_stat(b->s).live_bytes, 0);
    }
    spool_abort(b->s, 99);
    CHECK(compact_all(b));
    CHECK(spool_stat(b->s).segments <= 1);
    again(b);
    CHECK_INT(b->found_count, 0);
    bed_free(b);
}

static void report_and_outcome_are_one(void)
{
    struct bed *b = bed_new(1);
    uint64_t seq = put_flushed(b), id = spool_lease_ids(b->s, 1, b->now);
    struct envelope_rcpt rcpt = { .addr = SPAN("me@example.org") };
    struct envelope env = { .seq = id, .rcpts = &rcpt, .rcpt_count = 1, .flags = ENVELOPE_DSN };
    struct spool_outcome o = { .seq = seq, .kind = SPOOL_FAILED, .final = true };
    struct span text = SPAN("it failed");
    struct spool_commit c = { .txn = 5, .env = &env, .content = &text, .content_count = 1,
                              .bound = &o, .bound_count = 1 };
    CHECK_INT(spool_commit(b->s, &c), 0);
    CHECK(spool_has(b->s, seq));
    CHECK_INT(spool_flush(b->s, b->now), 0);
    CHECK(!spool_has(b->s, seq));
    CHECK(spool_has(b->s, id));
    again(b);
    CHECK(!spool_has(b->s, seq));
    CHECK(spool_has(b->s, id));
    o.seq = seq;
    env.seq = id + 1;
    CHECK_INT(spool_commit(b->s, &c), -ENOENT);
    bed_free(b);
}

static void a_failed_flush_acknowledges_nothing(void)
{
    struct bed *b = bed_new(1);
    uint64_t before = put_flushed(b), lost = put(b);
    CHECK_INT(done_with(b, before, 0, SPOOL_DEFERRED, false), 0);
    vfs_faulty_plan(b->vfs, vfs_faulty_ops(b->vfs) + 2, FAULT_EIO); /* the flush */
    CHECK_INT(spool_flush(b->s, b->now), -EIO);
    CHECK_INT(b->refused_count, 1);
    CHECK_INT(b->refused[0], lost + 7);
    CHECK_INT(b->refused_error, EIO);
    CHECK_INT(b->events[SPOOL_EVENT_FLUSH_FAILED], 1);
    CHECK(!spool_has(b->s, lost));
    CHECK(reads_right(b, before));
    uint64_t after = put_flushed(b);
    CHECK(after != 0);
    again(b); /* without a crash: the page cache still shows the failed batch */
    CHECK_INT(b->found_count, 2);
    CHECK(!spool_has(b->s, lost));
    CHECK(reads_right(b, before) && reads_right(b, after));
    CHECK_INT(b->outcome_count, 1); /* written again by itself */
    CHECK_INT(b->outcome.seq, before);
    CHECK(compact_all(b));
    again(b);
    CHECK_INT(b->found_count, 2);
    CHECK(reads_right(b, before) && reads_right(b, after));
    bed_free(b);
}

static void a_full_disk_refuses_mail_and_takes_outcomes(void)
{
    struct bed *b = bed_new(1);
    uint64_t first = put_flushed(b), last = first;
    vfs_faulty_capacity(b->vfs, 256 * 1024);
    for (int i = 0; i < 1000; i++) {
        uint64_t seq = put(b);
        if (!seq || spool_flush(b->s, b->now) < 0)
            break;
        last = seq;
    }
    CHECK(last > first + 50);
    CHECK_INT(put(b), 0); /* -ENOSPC from now on */
    CHECK_INT(spool_space(b->s, b->now += 2000), SPOOL_SPACE_LOW);
    for (uint64_t seq = first; seq < first + 60; seq++) {
        CHECK_INT(done_with(b, seq, 0, SPOOL_DELIVERED, true), 0);
        CHECK_INT(spool_flush(b->s, ++b->now), 0);
        CHECK(!spool_has(b->s, seq));
        if (seq % 10 == 0)
            CHECK(compact_all(b));
    }
    CHECK(reads_right(b, last));
    CHECK(compact_all(b)); /* finds the room that the dead leave */
    b->now += 2000;
    CHECK_INT(spool_space(b->s, b->now), SPOOL_SPACE_OK);
    CHECK(put_flushed(b) != 0);
    again(b);
    CHECK_INT(b->found_count, last - first - 60 + 1 + 1);
    bed_free(b);
}

static void a_dead_directory_is_taken_out(void)
{
    struct bed *b = bed_new(2);
    uint64_t first = put_flushed(b), second = put_flushed(b);
    vfs_faulty_break(b->vfs, "/t/");
    int refused = 0;
    for (int i = 0; i < 20; i++)
        refused += put_flushed(b) == 0;
    CHECK(refused >= 1 && refused <= 3);
    CHECK_INT(b->events[SPOOL_EVENT_DIRECTORY_OUT], 1);
    CHECK(reads_right(b, first) && reads_right(b, second));
    vfs_faulty_break(b->vfs, NULL);
    b->now += 60000;
    for (int i = 0; i < 4; i++)
        CHECK(put_flushed(b) != 0);
    CHECK_INT(b->events[SPOOL_EVENT_DIRECTORY_BACK], 1);
    again(b);
    CHECK_INT(b->found_count, 2 + 20 - refused + 4);
    bed_free(b);
}

static void sealed_segments_are_read_by_index(void)
{
    struct bed *b = bed_new(1);
    for (int i = 0; i < 300; i++)
        CHECK(put_flushed(b) != 0);
    CHECK(b->events[SPOOL_EVENT_SEALED] >= 5);
    again(b);
    CHECK_INT(b->found_count, 300);
    for (size_t i = 0; i < 300; i++)
        CHECK(reads_right(b, b->found[i]));
    CHECK_INT(b->events[SPOOL_EVENT_DAMAGED] + b->events[SPOOL_EVENT_INDEX_DAMAGED], 0);
    bed_free(b);
}

struct first_segment {
    const char *dir;
    char path[64];
};

static void on_name(void *ctx, const char *name)
{
    struct first_segment *f = ctx;
    if (strstr(name, ".seg"))
        snprintf(f->path, sizeof f->path, "%s/%s", f->dir, name);
}

/* Behind so many others that a start keeps it open no longer than it looks at it. */
static void an_empty_segment_beside_many(void)
{
    enum { SEGMENTS = 270 };
    struct bed *b = bed_new(1);
    struct first_segment f = { .dir = "/t" };
    struct vfs_file *file;
    b->config.segment_size_bytes = 6000;
    again(b);
    while (b->events[SPOOL_EVENT_SEALED] < SEGMENTS)
        CHECK(put_flushed(b) != 0);
    size_t messages = b->receipt_count;
    static const char *const other_first[] = { "/t", "/s" };
    b->config.directories = other_first;
    b->config.directory_count = 2;
    again(b);
    CHECK(spool_lease_ids(b->s, 1000, b->now) != 0); /* noted in both */
    spool_close(&b->s);
    vfs_list(b->vfs, "/t", on_name, &f);
    CHECK_INT(vfs_open(b->vfs, f.path, VFS_WRITE, &file), 0);
    CHECK_INT(vfs_truncate(file, 4096), 0); /* its head was all that reached the disk */
    vfs_close(&file);
    start(b);
    CHECK_INT(b->found_count, messages);
    CHECK(put_flushed(b) != 0 && put_flushed(b) != 0);
    again(b);
    CHECK_INT(b->found_count, messages + 2);
    bed_free(b);
}

static void compaction_keeps_the_bound(void)
{
    for (size_t dirs = 1; dirs <= 2; dirs++) {
        struct bed *b = bed_new(dirs);
        uint64_t kept[200];
        size_t n = 0;
        for (int i = 0; i < 2000; i++) {
            uint64_t seq = put_flushed(b);
            CHECK(seq != 0);
            if (i % 10 == 0)
                kept[n++] = seq;
            else
                CHECK_INT(done_with(b, seq, 0, SPOOL_DELIVERED, true), 0);
            spool_compact(b->s, ++b->now, 32 * 1024);
            struct spool_stat stat = spool_stat(b->s);
            CHECK(stat.disk_bytes <=
                  2 * stat.live_bytes + (1 + dirs) * b->config.segment_size_bytes + 65536);
        }
        CHECK(spool_stat(b->s).moved_bytes > 0);
        for (size_t i = 0; i < n; i++)
            CHECK(reads_right(b, kept[i]));
        again(b);
        CHECK_INT(b->found_count, n);
        for (size_t i = 0; i < n; i++)
            CHECK(reads_right(b, kept[i]));
        for (size_t i = 0; i < n; i++)
            CHECK_INT(done_with(b, kept[i], 0, SPOOL_DELIVERED, true), 0);
        CHECK_INT(spool_flush(b->s, b->now), 0);
        CHECK(compact_all(b));
        CHECK(spool_stat(b->s).segments <= dirs);
        CHECK_INT(spool_stat(b->s).live_bytes, 0);
        bed_free(b);
    }
}

/* --- stories --- */

enum { STORY = 3000 };

static int tell(struct bed *b, uint64_t seq, uint32_t attempt, const uint32_t *rcpts, size_t n)
{
    char text[STORY];
    content_of(seq * 1000 + attempt, sizeof text, text);
    memcpy(text, &attempt, sizeof attempt);
    for (size_t i = 0; i < n; i++)
        if (done_with(b, seq, rcpts[i], SPOOL_DEFERRED, false) < 0)
            return -1;
    return spool_story(b->s, seq, &(struct spool_story){ rcpts, n, span_of(text, sizeof text) });
}

/* The attempts whose stories are there about a recipient, newest first; 0 behind them. */
static void stories_about(struct bed *b, uint64_t seq, uint32_t rcpt, uint32_t got[4])
{
    struct arena *a = arena_new(1 << 20);
    struct spool_story *list;
    size_t n = 0, found = 0;
    char want[STORY];
    memset(got, 0, 4 * sizeof *got);
    if (spool_stories(b->s, seq, a, &list, &n) < 0)
        n = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t attempt;
        memcpy(&attempt, list[i].text.p, sizeof attempt);
        content_of(seq * 1000 + attempt, sizeof want, want);
        memcpy(want, &attempt, sizeof attempt);
        MUST(span_eq(list[i].text, span_of(want, sizeof want)));
        for (size_t k = 0; k < list[i].n; k++)
            if (list[i].rcpts[k] == rcpt && found < 4)
                got[found++] = attempt;
    }
    arena_free(&a);
}

#define CHECK_STORIES(b, seq, rcpt, x, y, z) \
    do { \
        uint32_t stories_[4]; \
        stories_about(b, seq, rcpt, stories_); \
        CHECK_INT(stories_[0], x); \
        CHECK_INT(stories_[1], y); \
        CHECK_INT(stories_[2], z); \
        CHECK_INT(stories_[3], 0); \
    } while (0)

/* Other mail comes and goes, so that what stays is moved. */
static void churn(struct bed *b, int n)
{
    for (int i = 0; i < n; i++) {
        uint64_t seq = put_flushed(b);
        done_with(b, seq, 0, SPOOL_DELIVERED, true);
        spool_compact(b->s, ++b->now, 32 * 1024);
    }
}

static void the_last_stories_are_kept(void)
{
    static const uint32_t both[] = { 0, 1 };
    struct bed *b = bed_new(2);
    uint64_t seq = put_rcpts(b, 2);
    CHECK_INT(spool_flush(b->s, ++b->now), 0);
    for (uint32_t i = 1; i <= 12; i++) {
        CHECK_INT(tell(b, seq, i, both, i % 4 == 0 ? 2 : 1), 0);
        CHECK_INT(spool_flush(b->s, ++b->now), 0);
        churn(b, 20);
        CHECK_STORIES(b, seq, 0, i, i > 1 ? i - 1 : 0, i > 2 ? i - 2 : 0);
    }
    CHECK_STORIES(b, seq, 1, 12, 8, 4);
    again(b);
    CHECK_INT(b->outcome.seq, seq);
    CHECK_STORIES(b, seq, 0, 12, 11, 10);
    CHECK_STORIES(b, seq, 1, 12, 8, 4);
    uint64_t moved = spool_stat(b->s).moved_bytes;
    churn(b, 300);
    CHECK(spool_stat(b->s).moved_bytes > moved); /* with its message */
    CHECK_STORIES(b, seq, 1, 12, 8, 4);
    again(b);
    CHECK_STORIES(b, seq, 0, 12, 11, 10);
    CHECK_INT(done_with(b, seq, 0, SPOOL_DELIVERED, true), 0);
    CHECK_INT(spool_flush(b->s, ++b->now), 0);
    churn(b, 300);
    CHECK_STORIES(b, seq, 0, 0, 0, 0);
    CHECK_STORIES(b, seq, 1, 12, 8, 4);
    CHECK_INT(done_with(b, seq, 1, SPOOL_DELIVERED, true), 0);
    CHECK_INT(spool_flush(b->s, ++b->now), 0);
    CHECK(compact_all(b));
    CHECK_INT(spool_stat(b->s).live_bytes, 0);
    again(b);
    CHECK_INT(b->found_count, 0);
    bed_free(b);
}

static void a_story_is_the_first_to_go(void)
{
    static const uint32_t first[] = { 0 };
    struct bed *b = bed_new(1);
    uint64_t seq = put_flushed(b);
    CHECK_INT(tell(b, seq, 1, first, 1), 0);
    CHECK_INT(spool_flush(b->s, ++b->now), 0);
    CHECK_INT(tell(b, seq, 2, first, 1), 0);
    vfs_faulty_plan(b->vfs, vfs_faulty_ops(b->vfs) + 2, FAULT_EIO);
    CHECK_INT(spool_flush(b->s, b->now), -EIO);
    CHECK_INT(spool_flush(b->s, b->now), 0);
    CHECK_INT(tell(b, seq, 3, first, 1), 0);
    CHECK_INT(spool_flush(b->s, ++b->now), 0);
    CHECK_STORIES(b, seq, 0, 3, 1, 0);
    again(b);
    CHECK_INT(b->outcome.seq, seq);
    CHECK_STORIES(b, seq, 0, 3, 1, 0);
    CHECK_INT(spool_story(b->s, seq + 1, &(struct spool_story){ first, 1, SPAN("x") }), -ENOENT);
    CHECK_INT(spool_story(b->s, seq, &(struct spool_story){ first, 0, SPAN("x") }), -EINVAL);
    uint32_t beyond = 1;
    CHECK_INT(spool_story(b->s, seq, &(struct spool_story){ &beyond, 1, SPAN("x") }), -EINVAL);
    bed_free(b);
}

static void a_reader_outlives_its_message(void)
{
    struct bed *b = bed_new(1);
    uint64_t seq = put_streamed(b, 4, 5000, NULL);
    CHECK_INT(spool_flush(b->s, b->now), 0);
    int error;
    struct spool_reader *r = spool_reader_open(b->s, seq, &error);
    CHECK_INT(done_with(b, seq, 0, SPOOL_DELIVERED, true), 0);
    for (int i = 0; i < 200; i++) {
        uint64_t dead = put_flushed(b);
        CHECK_INT(done_with(b, dead, 0, SPOOL_DELIVERED, true), 0);
    }
    CHECK_INT(spool_flush(b->s, b->now), 0);
    CHECK(compact_all(b));
    char want[20000], got[20012];
    content_of(seq, sizeof want, want);
    CHECK_INT(spool_reader_read(r, 0, got, sizeof got), sizeof got);
    CHECK(memcmp(got + 12, want, sizeof want) == 0);
    spool_reader_close(&r);
    bed_free(b);
}

static void one_owner_many_lookers(void)
{
    struct bed *b = bed_new(2);
    uint64_t seq = put_flushed(b);
    struct spool *other;
    struct err err;
    CHECK_INT(spool_open(b->vfs, &b->config, NULL, 0, &other, &err), -1);
    CHECK(strstr(err.text, "in use") != NULL);
    struct spool_config look = b->config;
    look.read_only = true;
    uint64_t ops = vfs_faulty_ops(b->vfs);
    CHECK_INT(spool_open(b->vfs, &look, NULL, 0, &other, &err), 0);
    CHECK(spool_has(other, seq));
    CHECK_INT(spool_verify(other, seq), 0);
    spool_close(&other);
    struct spool_report report;
    CHECK_INT(spool_check(b->vfs, two_dirs, 2, NULL, NULL, &report, &err), 0);
    CHECK_INT(report.messages, 1);
    CHECK_INT(vfs_faulty_ops(b->vfs), ops);
    bed_free(b);
}

static void one_write_and_one_flush_serve_a_batch(void)
{
    struct bed *b = bed_new(1);
    uint64_t first = put_flushed(b), ids[20];
    for (int i = 0; i < 20; i++)
        ids[i] = put(b);
    CHECK_INT(done_with(b, first, 0, SPOOL_DEFERRED, false), 0);
    uint64_t ops = vfs_faulty_ops(b->vfs);
    CHECK_INT(spool_flush(b->s, b->now), 0);
    CHECK_INT(vfs_faulty_ops(b->vfs) - ops, 2);
    CHECK_INT(b->receipt_count, 21);
    for (int i = 0; i < 20; i++)
        CHECK_INT(b->receipts[i + 1], ids[i] + 7);
    ops = vfs_faulty_ops(b->vfs);
    CHECK_INT(spool_flush(b->s, b->now), 0);
    CHECK_INT(vfs_faulty_ops(b->vfs), ops); /* nothing to do */
    bed_free(b);
}

/* The same on a real file system. */
static void it_lives_on_a_real_disk(void)
{
    char dir[] = "/tmp/test_spool_XXXXXX", path[64];
    CHECK(mkdtemp(dir) != NULL);
    const char *const list[] = { dir };
    struct bed *b = bed_new(1);
    spool_close(&b->s);
    vfs_free(&b->vfs);
    b->vfs = vfs_posix();
    b->config.directories = list;
    start(b);
    uint64_t kept[50];
    for (int i = 0; i < 1000; i++) {
        uint64_t seq = put_flushed(b);
        CHECK(seq != 0);
        if (i % 20 == 0)
            kept[i / 20] = seq;
        else
            CHECK_INT(done_with(b, seq, 0, SPOOL_RELAYED, true), 0);
        if (i % 10 == 0)
            spool_compact(b->s, ++b->now, 1 << 20);
    }
    CHECK_INT(spool_flush(b->s, b->now), 0);
    CHECK(compact_all(b));
    again(b);
    CHECK_INT(b->found_count, 50);
    for (int i = 0; i < 50; i++)
        CHECK(reads_right(b, kept[i]));
    struct spool_report report;
    struct err err;
    CHECK_INT(spool_check(b->vfs, list, 1, NULL, NULL, &report, &err), 0);
    CHECK_INT(report.messages, 50);
    spool_close(&b->s);
    for (int i = 0; i < 2000; i++) {
        snprintf(path, sizeof path, "%s/%016x.seg", dir, (unsigned)i);
        vfs_unlink(b->vfs, path);
    }
    snprintf(path, sizeof path, "%s/lock", dir);
    vfs_unlink(b->vfs, path);
    snprintf(path, sizeof path, "%s/reserve", dir);
    vfs_unlink(b->vfs, path);
    CHECK_INT(rmdir(dir), 0);
    bed_free(b);
}

static void final_stays_final(void)
{
    struct bed *b = bed_new(1);
    struct arena *a = arena_new(1 << 20);
    struct spool_outcome *list;
    size_t n;
    uint64_t seq = put_rcpts(b, 2);
    CHECK_INT(spool_flush(b->s, b->now), 0);
    CHECK_INT(done_with(b, seq, 0, SPOOL_DELIVERED, true), 0);
    CHECK_INT(spool_flush(b->s, b->now), 0);
    CHECK_INT(done_with(b, seq, 0, SPOOL_DEFERRED, false), 0);
    CHECK_INT(done_with(b, seq, SPOOL_RCPT_ALL, SPOOL_HELD, false), 0);
    CHECK_INT(spool_flush(b->s, b->now), 0);
    for (int round = 0; round < 2; round++) {
        CHECK_INT(spool_outcomes(b->s, seq, a, &list, &n), 0);
        CHECK_INT(n, 2);
        CHECK(list[0].rcpt == 0 && list[0].final && list[0].kind == SPOOL_DELIVERED);
        CHECK(list[1].rcpt == SPOOL_RCPT_ALL && list[1].kind == SPOOL_HELD);
        again(b);
        CHECK_INT(b->outcome_count, 2); /* the deferral is not told */
        CHECK_INT(b->outcome.kind, SPOOL_HELD);
    }
    arena_free(&a);
    bed_free(b);
}

static void one_message_once_in_a_batch(void)
{
    enum { MANY = 300 };
    struct bed *b = bed_new(1);
    struct envelope_rcpt rcpt = { .addr = SPAN("x@y") };
    struct envelope env = { .rcpts = &rcpt, .rcpt_count = 1 };
    struct spool_commit c = { .env = &env };
    uint64_t first = spool_lease_ids(b->s, MANY, b->now);
    for (int round = 0; round < 2; round++) {
        for (uint64_t i = 0; i < MANY; i++) {
            env.seq = first + i;
            c.txn = 1000 + (uint64_t)round * MANY + i;
            CHECK_INT(spool_commit(b->s, &c), round ? -EEXIST : 0);
        }
    }
    CHECK_INT(spool_batch_count(b->s), MANY);
    CHECK_INT(spool_flush(b->s, b->now), 0);
    CHECK_INT(spool_commit(b->s, &c), -EEXIST);
    again(b);
    CHECK_INT(b->found_count, MANY);
    bed_free(b);
}

/* The last batch is damaged: after a clean end that is told as what it is. */
static void a_clean_end_vouches(void)
{
    for (int clean = 0; clean < 2; clean++) {
        struct bed *b = bed_new(1);
        CHECK(put_flushed(b) != 0);
        uint64_t at = spool_stat(b->s).disk_bytes;
        CHECK(put_flushed(b) != 0);
        if (clean) {
            spool_vouch(b->s);
            uint64_t end = spool_stat(b->s).disk_bytes;
            spool_vouch(b->s);
            CHECK_INT(spool_stat(b->s).disk_bytes, end); /* once is enough */
        }
        spool_close(&b->s);
        CHECK(vfs_faulty_flip(b->vfs, "/s/0000000000000001.seg", at + 700, 1));
        start(b);
        CHECK_INT(b->found_count, 1 + clean); /* one known as damaged, or none */
        CHECK_INT(b->events[SPOOL_EVENT_DROPPED], !clean);
        if (clean)
            CHECK_INT(spool_verify(b->s, b->found[1]), -EILSEQ);
        bed_free(b);
    }
}

/* For people: bytes as they stand where a checksum is wrong, up to what is gone. */
static void what_is_damaged_can_be_read(void)
{
    enum { PIECES = 10, BYTES = 20000, EXTENT = BYTES + 56 };
    static char want[PIECES * BYTES], got[PIECES * BYTES + 100];
    struct bed *b = bed_new(1);
    b->config.segment_size_bytes = 1 << 20;
    again(b);
    spool_lease_ids(b->s, 1, b->now); /* its note is on the disk */
    uint64_t at = spool_stat(b->s).disk_bytes;
    uint64_t seq = put_streamed(b, PIECES, BYTES, NULL);
    content_of(seq, sizeof want, want);
    CHECK_INT(spool_flush(b->s, b->now), 0);
    spool_vouch(b->s);
    spool_close(&b->s);
    CHECK(vfs_faulty_flip(b->vfs, "/s/0000000000000001.seg", at + EXTENT + 100, 1));
    CHECK(vfs_faulty_flip(b->vfs, "/s/0000000000000001.seg", at + 3 * EXTENT, 1)); /* its tag */
    start(b);
    int error;
    struct spool_reader *r = spool_reader_open(b->s, seq, &error);
    CHECK_INT(spool_reader_read(r, 0, got, sizeof got), 12 + BYTES);
    spool_reader_close(&r);
    r = spool_reader_open_damaged(b->s, seq, &error);
    CHECK_INT(spool_reader_read(r, 0, got, sizeof got), 12 + 3 * BYTES);
    char byte;
    CHECK_INT(spool_reader_read(r, 12 + 3 * BYTES, &byte, 1), -EILSEQ);
    spool_reader_close(&r);
    size_t wrong = 0;
    for (size_t i = 0; i < 3 * BYTES; i++)
        wrong += got[12 + i] != want[i];
    CHECK_INT(wrong, 1);
    bed_free(b);
}

static void check_finds_a_bad_byte(void)
{
    struct bed *b = bed_new(1);
    uint64_t seq = put_flushed(b);
    for (int i = 0; i < 5; i++)
        CHECK(put_flushed(b) != 0);
    spool_close(&b->s);
    struct spool_report report;
    struct err err;
    CHECK_INT(spool_check(b->vfs, one_dir, 1, NULL, NULL, &report, &err), 0);
    CHECK_INT(report.messages, 6);
    CHECK(vfs_faulty_flip(b->vfs, "/s/0000000000000001.seg", 4096 + 1000, 1)); /* content */
    CHECK_INT(spool_check(b->vfs, one_dir, 1, NULL, NULL, &report, &err), 1);
    CHECK_INT(report.bad_messages, 1);
    CHECK_INT(report.messages, 6);
    start(b);
    CHECK_INT(spool_verify(b->s, seq), -EILSEQ);
    for (int i = 0; i < 200; i++) {
        uint64_t dead = put_flushed(b);
        CHECK_INT(done_with(b, dead, 0, SPOOL_DELIVERED, true), 0);
    }
    CHECK(compact_all(b));
    again(b);
    CHECK_INT(spool_verify(b->s, seq), -EILSEQ); /* known also after it has been moved */
    CHECK_INT(b->found_count, 6);
    bed_free(b);
}

static void limits_are_refusals(void)
{
    struct bed *b = bed_new(1);
    static char big[200 * 1024];
    struct envelope_rcpt rcpt = { .addr = SPAN("x@y") };
    struct envelope env = { .seq = spool_lease_ids(b->s, 1, b->now), .rcpts = &rcpt,
                            .rcpt_count = 1 };
    struct span text = span_of(big, sizeof big);
    struct spool_commit c = { .txn = 1, .env = &env, .content = &text, .content_count = 1 };
    CHECK_INT(spool_commit(b->s, &c), -E2BIG);
    text.n = 100;
    struct spool_cut cuts[] = { { 10, 20 }, { 25, 5 } };
    c.cuts = cuts;
    c.cut_count = 2;
    CHECK_INT(spool_commit(b->s, &c), -EINVAL);
    c.cut_count = 1;
    env.rcpt_count = 0;
    CHECK_INT(spool_commit(b->s, &c), -EINVAL);
    env.rcpt_count = 1;
    CHECK_INT(spool_commit(b->s, &c), 0);
    CHECK_INT(spool_flush(b->s, b->now), 0);
    CHECK_INT(spool_commit(b->s, &c), -EEXIST);
    CHECK_INT(spool_read(b->s, env.seq, 0, big, sizeof big), 80);
    bed_free(b);
}

/* What cannot be freed in one directory does not keep all other space; and it is freed when that
 * works again. */
static void compaction_beside_a_dead_directory(void)
{
    struct bed *b = bed_new(2);
    uint64_t kept[30];
    size_t n = 0;
    for (int i = 0; i < 300; i++) {
        uint64_t seq = put_flushed(b);
        if (i % 10 == 0)
            kept[n++] = seq;
        else
            done_with(b, seq, 0, SPOOL_DELIVERED, true);
        spool_compact(b->s, ++b->now, 32 * 1024);
    }
    vfs_faulty_break(b->vfs, "/t/");
    for (size_t i = 2; i < n; i++)
        done_with(b, kept[i], 0, SPOOL_DELIVERED, true);
    for (int i = 0; i < 3000; i++) {
        uint64_t seq = put_flushed(b);
        if (seq)
            done_with(b, seq, 0, SPOOL_DELIVERED, true);
        b->now += 1000;
        spool_compact(b->s, b->now, 32 * 1024);
    }
    /* Of mail that is gone no more than that it is. */
    CHECK(spool_stat(b->s).disk_bytes < 30 * b->config.segment_size_bytes);
    again(b); /* the dead do not rise */
    CHECK_INT(b->found_count, 2);
    vfs_faulty_break(b->vfs, NULL);
    again(b);
    CHECK_INT(b->found_count, 2);
    CHECK(put_flushed(b) && put_flushed(b) && put_flushed(b));
    CHECK(compact_all(b));
    CHECK(spool_stat(b->s).segments <= 4);
    CHECK(reads_right(b, kept[0]) && reads_right(b, kept[1]));
    bed_free(b);
}

static const struct test tests[] = {
    TEST(a_message_survives),
    TEST(ids_are_never_given_twice),
    TEST(a_delivered_message_is_gone),
    TEST(many_recipients_and_the_whole),
    TEST(the_newest_outcome_counts),
    TEST(streamed_content_and_cuts),
    TEST(an_abort_leaves_dead_bytes_only),
    TEST(report_and_outcome_are_one),
    TEST(a_failed_flush_acknowledges_nothing),
    TEST(a_full_disk_refuses_mail_and_takes_outcomes),
    TEST(a_dead_directory_is_taken_out),
    TEST(sealed_segments_are_read_by_index),
    TEST(an_empty_segment_beside_many),
    TEST(compaction_keeps_the_bound),
    TEST(compaction_beside_a_dead_directory),
    TEST(the_last_stories_are_kept),
    TEST(a_story_is_the_first_to_go),
    TEST(a_reader_outlives_its_message),
    TEST(one_owner_many_lookers),
    TEST(one_write_and_one_flush_serve_a_batch),
    TEST(it_lives_on_a_real_disk),
    TEST(final_stays_final),
    TEST(one_message_once_in_a_batch),
    TEST(a_clean_end_vouches),
    TEST(what_is_damaged_can_be_read),
    TEST(check_finds_a_bad_byte),
    TEST(limits_are_refusals),
};
TEST_MAIN(tests)
