#include "submit/drop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { COPY_BYTES = 64 << 10, TRIES_MAX = 10000 };

static bool write_all(int fd, const char *p, size_t n)
{
    while (n) {
        ssize_t put = write(fd, p, n);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return false;
        p += put;
        n -= (size_t)put;
    }
    return true;
}

static bool copy(int from, int to, uint64_t max_bytes, struct err *err)
{
    char bytes[COPY_BYTES];
    uint64_t total = 0;
    for (;;) {
        ssize_t n = read(from, bytes, sizeof bytes);
        if (n == 0)
            return true;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            err_errno(err, "reading the message");
            return false;
        }
        total += (uint64_t)n;
        if (max_bytes && total > max_bytes) {
            err_set(err, "the message is too large");
            return false;
        }
        if (!write_all(to, bytes, (size_t)n)) {
            err_errno(err, "writing the message");
            return false;
        }
    }
}

/* The name that says that the message is whole may only come when its bytes are safe, and the
 * caller may only hear of it when the name is. */
static bool settle(int dir, int fd, const char *tmp, const char *name, struct err *err)
{
    if (fsync(fd) == 0 && renameat(dir, tmp, dir, name) == 0) {
        if (fsync(dir) == 0)
            return true;
        err_errno(err, "flushing the directory");
        unlinkat(dir, name, 0);
        return false;
    }
    err_errno(err, "flushing the message");
    return false;
}

/* Whoever was killed left his behind: the next number then. */
static int create(int dir, char tmp[DROP_NAME_MAX])
{
    int fd = -1;
    for (unsigned n = 0; n < TRIES_MAX; n++) {
        snprintf(tmp, DROP_NAME_MAX, DROP_TMP_PREFIX "%lx-%x", (unsigned long)getpid(), n);
        fd = openat(dir, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd >= 0 || errno != EEXIST)
            break;
    }
    return fd;
}

/* The final name has the file's own number in it: no other file has that while this one lives. */
static bool fill(int dir, int fd, const char *tmp, int from, uint64_t max_bytes, struct err *err)
{
    char name[DROP_NAME_MAX];
    struct stat st;
    if (fstat(fd, &st) != 0 || fchmod(fd, DROP_MODE) != 0) {
        err_errno(err, "%s", tmp);
        return false;
    }
    snprintf(name, sizeof name, DROP_PREFIX "%llx-%lx", (unsigned long long)st.st_ino,
             (unsigned long)getpid());
    return copy(from, fd, max_bytes, err) && settle(dir, fd, tmp, name, err);
}

int drop_open(const char *directory, struct err *err)
{
    int dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (dir < 0)
        err_errno(err, "%s", directory);
    return dir;
}

bool drop_into(int dir, int from, uint64_t max_bytes, struct err *err)
{
    char tmp[DROP_NAME_MAX];
    int fd = create(dir, tmp);
    if (fd < 0) {
        err_errno(err, "making a file in the submission spool");
        return false;
    }
    bool ok = fill(dir, fd, tmp, from, max_bytes, err);
    if (!ok)
        unlinkat(dir, tmp, 0);
    close(fd);
    return ok;
}

bool drop_message(const char *directory, int from, uint64_t max_bytes, struct err *err)
{
    int dir = drop_open(directory, err);
    bool ok = dir >= 0 && drop_into(dir, from, max_bytes, err);
    if (dir >= 0)
        close(dir);
    return ok;
}
