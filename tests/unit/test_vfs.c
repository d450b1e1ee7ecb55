/* The faulty twin must fail as disks do, or the spool's crash tests prove nothing; and the real
 * one must do what the twin promises. */
#include "test.h"

#include "vfs/vfs_faulty.h"

#include <errno.h>
#include <unistd.h>

static struct vfs_file *make(struct vfs *v, const char *path)
{
    struct vfs_file *f;
    if (vfs_open(v, path, VFS_WRITE | VFS_CREATE, &f) < 0)
        abort();
    return f;
}

static void count_name(void *ctx, const char *name)
{
    (void)name;
    ++*(int *)ctx;
}

static int names_in(struct vfs *v, const char *dir)
{
    int n = 0;
    return vfs_list(v, dir, count_name, &n) < 0 ? -1 : n;
}

static void both_do_the_same(struct vfs *v, const char *dir)
{
    char path[256], other[256], text[16] = "";
    snprintf(path, sizeof path, "%s/a", dir);
    snprintf(other, sizeof other, "%s/b", dir);
    CHECK_INT(vfs_mkdir(v, dir), 0);
    CHECK_INT(vfs_mkdir(v, dir), 0);
    struct vfs_file *f, *g, *l;
    CHECK_INT(vfs_open(v, path, VFS_WRITE, &f), -ENOENT);
    CHECK_INT(vfs_open(v, path, VFS_WRITE | VFS_CREATE | VFS_EXCL, &f), 0);
    CHECK_INT(vfs_open(v, path, VFS_WRITE | VFS_CREATE | VFS_EXCL, &g), -EEXIST);
    struct iovec iov[3] = { { (void *)"ab", 2 }, { (void *)"", 0 }, { (void *)"cde", 3 } };
    CHECK_INT(vfs_pwritev(f, iov, 3, 4), 0);
    CHECK_INT(vfs_size(f), 9);
    CHECK_INT(vfs_pread(f, text, sizeof text, 2), 7);
    CHECK(memcmp(text, "\0\0abcde", 7) == 0);
    CHECK_INT(vfs_pread(f, text, 4, 9), 0);
    CHECK_INT(vfs_truncate(f, 6), 0);
    CHECK_INT(vfs_size(f), 6);
    CHECK_INT(vfs_fdatasync(f), 0);
    CHECK_INT(vfs_rename(v, path, other), 0);
    CHECK_INT(names_in(v, dir), 1);
    CHECK_INT(vfs_unlink(v, path), -ENOENT);
    CHECK_INT(vfs_unlink(v, other), 0);
    CHECK_INT(vfs_pread(f, text, 2, 4), 2); /* an open file outlives its name */
    CHECK_INT(vfs_sync_dir(v, dir), 0);
    vfs_close(&f);
    CHECK_INT(vfs_lock(v, path, &l), 0);
    CHECK_INT(vfs_lock(v, path, &g), -EWOULDBLOCK);
    vfs_close(&l);
    CHECK_INT(vfs_lock(v, path, &l), 0);
    vfs_close(&l);
    CHECK_INT(vfs_unlink(v, path), 0);
    struct vfs_space space;
    CHECK_INT(vfs_space(v, dir, &space), 0);
    CHECK(space.free_bytes > 0);
}

static void posix_and_twin_agree(void)
{
    char dir[] = "/tmp/test_vfs_XXXXXX";
    struct vfs *v = vfs_posix(), *w = vfs_faulty(1);
    CHECK(mkdtemp(dir) != NULL);
    both_do_the_same(v, dir);
    both_do_the_same(w, dir);
    rmdir(dir);
    vfs_free(&v);
    vfs_free(&w);
}

/* Over many seeds, an unflushed write must be seen kept, dropped and torn; a flushed one never
 * changes. */
static void unflushed_bytes_are_lost_in_every_way(void)
{
    int kept = 0, dropped = 0, torn = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct vfs *v = vfs_faulty(seed);
        struct vfs_file *f = make(v, "/d/f");
        char a[2048], b[2048], got[4096];
        memset(a, 'a', sizeof a);
        memset(b, 'b', sizeof b);
        CHECK_INT(vfs_pwrite(f, a, sizeof a, 0), 0);
        CHECK_INT(vfs_fdatasync(f), 0);
        CHECK_INT(vfs_sync_dir(v, "/d"), 0);
        CHECK_INT(vfs_pwrite(f, b, sizeof b, sizeof a), 0);
        vfs_close(&f);
        vfs_faulty_reboot(v, seed);
        f = make(v, "/d/f");
        ssize_t n = vfs_pread(f, got, sizeof got, 0);
        CHECK(n >= (ssize_t)sizeof a && memcmp(got, a, sizeof a) == 0);
        if (n == sizeof got && memcmp(got + sizeof a, b, sizeof b) == 0)
            kept++;
        else if (n == sizeof a)
            dropped++;
        else
            torn++;
        vfs_close(&f);
        vfs_free(&v);
    }
    CHECK(kept > 20);
    CHECK(dropped > 20);
    CHECK(torn > 20);
}

static void unsynced_names_are_lost(void)
{
    int kept = 0, lost = 0;
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct vfs *v = vfs_faulty(seed);
        struct vfs_file *f = make(v, "/d/old");
        vfs_close(&f);
        CHECK_INT(vfs_sync_dir(v, "/d"), 0);
        f = make(v, "/d/new");
        CHECK_INT(vfs_fdatasync(f), 0); /* the bytes, not the name */
        vfs_close(&f);
        vfs_faulty_reboot(v, seed);
        int n = names_in(v, "/d");
        CHECK(n == 1 || n == 2);
        *(n == 2 ? &kept : &lost) += 1;
        vfs_free(&v);
    }
    CHECK(kept > 10 && lost > 10);
}

static void a_failed_flush_lies_afterwards(void)
{
    int lost = 0;
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct vfs *v = vfs_faulty(seed);
        struct vfs_file *f = make(v, "/d/f");
        char c = 0;
        CHECK_INT(vfs_sync_dir(v, "/d"), 0);
        CHECK_INT(vfs_pwrite(f, "x", 1, 0), 0);
        vfs_faulty_plan(v, vfs_faulty_ops(v) + 1, FAULT_EIO);
        CHECK_INT(vfs_fdatasync(f), -EIO);
        CHECK_INT(vfs_fdatasync(f), 0);
        CHECK(vfs_pread(f, &c, 1, 0) == 1 && c == 'x'); /* still in the cache */
        vfs_close(&f);
        vfs_faulty_reboot(v, seed);
        f = make(v, "/d/f");
        lost += vfs_pread(f, &c, 1, 0) == 0;
        vfs_close(&f);
        vfs_free(&v);
    }
    CHECK(lost > 5 && lost < 45);
}

static void planned_faults_hit_once(void)
{
    struct vfs *v = vfs_faulty(7);
    struct vfs_file *f = make(v, "/d/f");
    CHECK_INT(vfs_faulty_ops(v), 1);
    vfs_faulty_plan(v, 2, FAULT_ENOSPC);
    CHECK_INT(vfs_pwrite(f, "abc", 3, 0), -ENOSPC);
    CHECK_INT(vfs_pwrite(f, "abc", 3, 0), 0);
    vfs_faulty_plan(v, vfs_faulty_ops(v) + 1, FAULT_SHORT);
    CHECK_INT(vfs_pwrite(f, "defgh", 5, 3), 0); /* the rest follows */
    CHECK_INT(vfs_size(f), 8);
    vfs_faulty_plan(v, vfs_faulty_ops(v) + 1, FAULT_CRASH);
    CHECK_INT(vfs_pwrite(f, "x", 1, 0), -EIO);
    CHECK(vfs_faulty_crashed(v));
    CHECK_INT(vfs_size(f), -EIO);
    vfs_close(&f);
    vfs_faulty_reboot(v, 1);
    CHECK(!vfs_faulty_crashed(v));
    vfs_free(&v);
}

static void capacity_and_broken_places(void)
{
    struct vfs *v = vfs_faulty(7);
    struct vfs_file *f = make(v, "/d/f"), *r = make(v, "/d/reserve"), *e = make(v, "/e/f");
    static char block[4096];
    vfs_faulty_capacity(v, 4 * sizeof block);
    CHECK_INT(vfs_reserve(r, 0, 2 * sizeof block), 0);
    CHECK_INT(vfs_pwrite(f, block, sizeof block, 0), 0);
    CHECK_INT(vfs_pwrite(f, block, sizeof block, sizeof block), 0);
    CHECK_INT(vfs_pwrite(f, block, sizeof block, 2 * sizeof block), -ENOSPC);
    vfs_close(&r);
    CHECK_INT(vfs_unlink(v, "/d/reserve"), 0);
    vfs_sync_dir(v, "/d");
    CHECK_INT(vfs_pwrite(f, block, sizeof block, 2 * sizeof block), 0);
    vfs_faulty_break(v, "/e/");
    CHECK_INT(vfs_pwrite(e, block, 1, 0), -EIO);
    CHECK_INT(vfs_pwrite(f, block, 1, 0), 0);
    vfs_close(&f);
    vfs_close(&e);
    vfs_free(&v);
}

static const struct test tests[] = {
    TEST(posix_and_twin_agree),
    TEST(unflushed_bytes_are_lost_in_every_way),
    TEST(unsynced_names_are_lost),
    TEST(a_failed_flush_lies_afterwards),
    TEST(planned_faults_hit_once),
    TEST(capacity_and_broken_places),
};
TEST_MAIN(tests)
