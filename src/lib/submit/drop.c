#include "submit/drop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum { COPY_BYTES = 64 << 10 };

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

bool drop_message(const char *directory, int from, uint64_t max_bytes, struct err *err)
{
    char tmp[DROP_NAME_MAX], name[DROP_NAME_MAX];
    uint64_t random[2];
    bool ok = false;
    int dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (dir < 0 || getrandom(random, sizeof random, 0) != sizeof random) {
        err_errno(err, "%s", directory);
        goto end;
    }
    snprintf(tmp, sizeof tmp, DROP_TMP_PREFIX "%016llx%016llx", (unsigned long long)random[0],
             (unsigned long long)random[1]);
    snprintf(name, sizeof name, DROP_PREFIX "%016llx%016llx", (unsigned long long)random[0],
             (unsigned long long)random[1]);
    int fd = openat(dir, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        err_errno(err, "%s", directory);
        goto end;
    }
    ok = fchmod(fd, DROP_MODE) == 0;
    if (!ok)
        err_errno(err, "%s", tmp);
    ok = ok && copy(from, fd, max_bytes, err);
    ok = ok && settle(dir, fd, tmp, name, err);
    if (!ok)
        unlinkat(dir, tmp, 0);
    close(fd);
end:
    if (dir >= 0)
        close(dir);
    return ok;
}
