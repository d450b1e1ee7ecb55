/* The crash test of the notes (src/lib/notes). A random workload of notes set, dropped and
 * flushed, with restarts, in one or two directories, runs on the faulty disk again and again with
 * a fault at every operation. Afterwards what is found must be what was flushed last, or what a
 * flush that did not say so was writing; and one bad byte or a directory that does not read is
 * told.
 *
 *   crash_notes [--long] [--seed N] [TEST]
 *
 * The same seed gives the same run. */
#include "crash.h"

#include "base/must.h"
#include "notes/notes.h"
#include "vfs/vfs_faulty.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEYS = 6, STEPS = 25, OPS_MAX = 400, ABSENT = 0, TRIED_MAX = STEPS + 2,
       WHY_MAX = 600 };

static const char *const dirs[] = { "/s", "/t" };

/* A value is a number, told of a key by its length and bytes. */
struct state {
    uint32_t value[KEYS];
};

struct run {
    struct vfs *vfs;
    struct notes *n;
    uint64_t rng;
    size_t dir_count;
    struct state now, flushed, tried[TRIED_MAX]; /* tried: by flushes since, that did not say so */
    size_t tried_count;
    bool lie;
    char why[WHY_MAX];
};

static uint64_t roll(struct run *r, uint64_t n) { return crash_roll(&r->rng, n); }

static struct span key_of(size_t i, char room[16])
{
    snprintf(room, 16, "key %zu", i);
    return span_str(room);
}

static struct span value_of(uint32_t v, char room[NOTES_VALUE_MAX])
{
    size_t n = 4 + v * 2654435761u % (NOTES_VALUE_MAX - 4);
    memset(room, (int)(v % 251), n);
    memcpy(room, &v, 4);
    return span_of(room, n);
}

static void set(struct run *r)
{
    char key[16], value[NOTES_VALUE_MAX];
    size_t i = roll(r, KEYS);
    if (r->now.value[i] && roll(r, 3) == 0) {
        MUST(notes_drop(r->n, key_of(i, key)));
        r->now.value[i] = ABSENT;
        return;
    }
    r->now.value[i] = 1 + (uint32_t)roll(r, 1 << 30);
    MUST(notes_set(r->n, key_of(i, key), value_of(r->now.value[i], value)));
}

static void flush(struct run *r)
{
    r->tried[r->tried_count++] = r->now;
    if (notes_flush(r->n) < 0)
        return;
    r->flushed = r->now;
    r->tried_count = 0;
}

static void fail(struct run *r, const char *why)
{
    if (!r->why[0])
        snprintf(r->why, sizeof r->why, "%s", why);
}

/* What memory has; a value that is not whole is a failure. */
static struct state state_of(struct run *r)
{
    struct state s = { { 0 } };
    char key[16], want[NOTES_VALUE_MAX];
    for (size_t i = 0; i < KEYS; i++) {
        struct span same, got;
        if (!notes_find(r->n, key_of(i, key), &same, &got))
            continue;
        if (got.n >= 4)
            memcpy(&s.value[i], got.p, 4);
        if (!s.value[i] || !span_eq(got, value_of(s.value[i], want)))
            fail(r, "a value is not whole");
    }
    return s;
}

static bool same(const struct state *a, const struct state *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

static void start(struct run *r)
{
    struct err err;
    unsigned damaged;
    r->n = notes_open(r->vfs, dirs, r->dir_count, 7, 1, &damaged, &err);
    if (damaged)
        fail(r, err.text);
    struct state s = state_of(r);
    bool good = same(&s, &r->flushed);
    for (size_t i = 0; i < r->tried_count; i++)
        good |= same(&s, &r->tried[i]);
    if (!good)
        fail(r, "neither what was flushed nor what was being written");
    r->now = r->flushed = s;
    r->tried_count = 0;
}

static void restart(struct run *r)
{
    notes_free(&r->n);
    if (!vfs_faulty_crashed(r->vfs) && roll(r, 2))
        vfs_faulty_reboot(r->vfs, roll(r, 1 << 30));
    if (!vfs_faulty_crashed(r->vfs))
        start(r);
}

static void work(struct run *r)
{
    for (int i = 0; i < STEPS && r->n && !r->why[0]; i++) {
        uint64_t what = roll(r, 10);
        if (what < 6)
            set(r);
        else if (what < 9)
            flush(r);
        else
            restart(r);
    }
    if (r->n)
        flush(r);
}

/* The number of operations there were, or 0 and why. */
static uint64_t one(uint64_t seed, uint64_t op, enum vfs_fault fault, bool lie, char why[WHY_MAX])
{
    struct run r = { .vfs = vfs_faulty(seed), .rng = seed, .dir_count = 1 + seed % 2 };
    for (size_t i = 0; i < r.dir_count; i++)
        vfs_mkdir(r.vfs, dirs[i]);
    vfs_sync_dir(r.vfs, "/");
    uint64_t before = vfs_faulty_ops(r.vfs);
    vfs_faulty_plan(r.vfs, op ? before + op : 0, fault);
    vfs_faulty_lie(r.vfs, lie);
    start(&r);
    work(&r);
    uint64_t ops = vfs_faulty_ops(r.vfs) - before;
    notes_free(&r.n);
    vfs_faulty_reboot(r.vfs, seed ^ op);
    start(&r);
    set(&r);
    flush(&r); /* it goes on */
    if (r.tried_count)
        fail(&r, "it does not write any more");
    notes_free(&r.n);
    vfs_faulty_reboot(r.vfs, seed + op);
    start(&r);
    notes_free(&r.n);
    vfs_free(&r.vfs);
    memcpy(why, r.why, sizeof r.why);
    return why[0] ? 0 : ops;
}

static bool a_fault_at_every_operation(uint64_t seed, bool longer)
{
    static const enum vfs_fault faults[] = { FAULT_CRASH, FAULT_EIO, FAULT_ENOSPC, FAULT_SHORT };
    static const char *const names[] = { "crash", "EIO", "ENOSPC", "short" };
    char why[WHY_MAX] = "";
    size_t runs = 0, broken = 0;
    for (uint64_t s = seed; s < seed + (longer ? 500 : 30); s++) {
        uint64_t ops = one(s, 0, FAULT_NONE, false, why);
        for (size_t f = 0; f < 4; f++)
            for (uint64_t op = 1; op <= ops && op < OPS_MAX; op++, runs++)
                if (!one(s, op, faults[f], false, why) && why[0] && !broken++)
                    printf("# seed %llu, %s at operation %llu: %s\n", (unsigned long long)s,
                           names[f], (unsigned long long)op, why);
    }
    printf("# %zu runs\n", runs);
    return runs > 1000 && broken == 0;
}

static bool the_harness_sees_a_lie(uint64_t seed, bool longer)
{
    char why[WHY_MAX];
    size_t seen = 0;
    (void)longer;
    for (uint64_t s = seed; s < seed + 20; s++)
        seen += !one(s, 0, FAULT_NONE, true, why);
    printf("# %zu of 20\n", seen);
    return seen > 10;
}

/* Told, and with two directories made good by the other one. */
static bool damage_one(struct run *r, bool blind)
{
    struct err err;
    unsigned damaged;
    vfs_mkdir(r->vfs, dirs[0]);
    vfs_mkdir(r->vfs, dirs[1]);
    start(r);
    for (int i = 0; i < 4; i++)
        set(r);
    flush(r);
    notes_free(&r->n);
    if (blind)
        vfs_faulty_blind(r->vfs, dirs[0]);
    else
        MUST(vfs_faulty_flip(r->vfs, "/s/notes", roll(r, 24), (uint8_t)(1 + roll(r, 255))));
    bool told = notes_check(r->vfs, dirs[0]) < 0 &&
                (r->dir_count == 1 || notes_check(r->vfs, dirs[1]) == 0);
    r->n = notes_open(r->vfs, dirs, r->dir_count, 7, 1, &damaged, &err);
    vfs_faulty_blind(r->vfs, NULL);
    struct state s = state_of(r), none = { { 0 } };
    bool good = told && damaged == 1 && strstr(err.text, "/s/notes") &&
                same(&s, r->dir_count == 2 ? &r->flushed : &none);
    good = good && (r->dir_count == 1 || (notes_flush(r->n) == 0 && !notes_dirty(r->n)));
    notes_free(&r->n);
    if (r->dir_count == 2)
        start(r);
    notes_free(&r->n);
    return good && !r->why[0];
}

/* A directory that has none where another one does is told of; but not where none has. */
static bool an_absence_is_told(uint64_t seed, bool longer)
{
    struct run r = { .vfs = vfs_faulty(seed), .rng = seed, .dir_count = 2 };
    struct err err;
    unsigned damaged;
    (void)longer;
    vfs_mkdir(r.vfs, dirs[0]);
    vfs_mkdir(r.vfs, dirs[1]);
    r.n = notes_open(r.vfs, dirs, 2, 7, 1, &damaged, &err);
    bool good = !damaged && !err.text[0];
    set(&r);
    flush(&r);
    notes_free(&r.n);
    MUST(vfs_unlink(r.vfs, "/s/notes") == 0);
    for (int life = 0; life < 2; life++) { /* the next one has it again */
        r.n = notes_open(r.vfs, dirs, 2, 7, 1, &damaged, &err);
        good = good && !damaged && (strstr(err.text, "/s/notes: not there") != NULL) == !life;
        good = good && notes_flush(r.n) == 0;
        notes_free(&r.n);
    }
    vfs_free(&r.vfs);
    return good;
}

static bool damage_is_told(uint64_t seed, bool longer)
{
    size_t broken = 0;
    (void)longer;
    for (uint64_t i = 0; i < 200; i++) {
        struct run r = { .vfs = vfs_faulty(seed + i), .rng = seed + i, .dir_count = 1 + i % 2 };
        if (!damage_one(&r, i % 3 == 0) && !broken++)
            printf("# seed %llu: %s\n", (unsigned long long)(seed + i), r.why);
        vfs_free(&r.vfs);
    }
    return broken == 0;
}

/* In some lives one of two directories is away, now this one, now that: it neither reads nor
 * writes. What counts is what was written last where anything can be read. */
static bool away_one(struct run *r)
{
    struct { struct state state; uint64_t when; } disk[2] = { { .when = 0 }, { .when = 0 } };
    uint64_t when = 0;
    vfs_mkdir(r->vfs, dirs[0]);
    vfs_mkdir(r->vfs, dirs[1]);
    for (int life = 0; life < 12 && !r->why[0]; life++) {
        size_t away = roll(r, 3), newest = disk[1].when > disk[0].when; /* 2: none is */
        const char *name = away < 2 ? dirs[away] : NULL;
        unsigned damaged;
        struct err err;
        newest = newest == away ? !newest : newest;
        vfs_faulty_break(r->vfs, name);
        vfs_faulty_blind(r->vfs, name);
        r->n = notes_open(r->vfs, dirs, 2, 7, life + 1, &damaged, &err);
        r->now = state_of(r);
        if (!same(&r->now, &disk[newest].state))
            fail(r, "not what was written last");
        for (uint64_t k = roll(r, 6); k > 0; k--) {
            set(r);
            if (notes_flush(r->n) != (name != NULL))
                fail(r, "it is not told how many directories lack it");
            when++;
            for (size_t d = 0; d < 2; d++)
                if (d != away)
                    disk[d].state = r->now, disk[d].when = when;
        }
        notes_free(&r->n);
    }
    return !r->why[0];
}

static bool one_directory_is_away(uint64_t seed, bool longer)
{
    size_t broken = 0;
    for (uint64_t i = 0; i < (longer ? 20000 : 300); i++) {
        struct run r = { .vfs = vfs_faulty(seed + i), .rng = seed + i, .dir_count = 2 };
        if (!away_one(&r) && !broken++)
            printf("# seed %llu: %s\n", (unsigned long long)(seed + i), r.why);
        vfs_free(&r.vfs);
    }
    return broken == 0;
}

static const struct crash_test tests[] = {
    { "a_fault_at_every_operation", a_fault_at_every_operation },
    { "the_harness_sees_a_lie", the_harness_sees_a_lie },
    { "damage_is_told", damage_is_told },
    { "an_absence_is_told", an_absence_is_told },
    { "one_directory_is_away", one_directory_is_away },
};

int main(int argc, char **argv)
{
    return crash_main(argc, argv, tests, sizeof tests / sizeof *tests, NULL);
}
