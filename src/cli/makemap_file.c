#include "cli/makemap_file.h"

#include "base/buf.h"
#include "base/must.h"

#include <cdb.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NEW_MODE = 0640 };

struct makemap_file {
    struct cdb_make make;
    char *path, *temp;
    int fd;
};

static char *joined(const char *a, const char *b)
{
    char *text = must_alloc(strlen(a) + strlen(b) + 1);
    memcpy(text, a, strlen(a));
    memcpy(text + strlen(a), b, strlen(b));
    return text;
}

/* 1: the locked file is the one at path, and ours; 0: not, so it is opened once more; -1: errno.
 * Another makemap may have renamed it away while we waited. What we have not made, and is somebody
 * else's or has another name, gives way: its owner would own the map, and may have it open. */
static int is_good(int fd, const char *path, bool made)
{
    struct stat ours, there;
    if (fstat(fd, &ours) != 0)
        return -1;
    if (stat(path, &there) != 0 || ours.st_ino != there.st_ino || ours.st_dev != there.st_dev)
        return 0;
    if (made || (ours.st_uid == geteuid() && ours.st_nlink == 1))
        return 1;
    return unlink(path) == 0 || errno == ENOENT ? 0 : -1;
}

static int open_locked(const char *path)
{
    for (;;) {
        const int flags = O_RDWR | O_NOFOLLOW | O_CLOEXEC;
        int fd = open(path, flags | O_CREAT | O_EXCL, 0600), good;
        bool made = fd >= 0;
        if (!made && errno == EEXIST) {
            fd = open(path, flags);
            if (fd < 0 && errno == ENOENT)
                continue; /* gone meanwhile */
        }
        if (fd < 0)
            return -1;
        if (flock(fd, LOCK_EX) == 0)
            good = is_good(fd, path, made);
        else
            good = errno == EINTR ? 0 : -1;
        if (good > 0)
            return fd;
        int error = errno;
        close(fd);
        errno = error;
        if (good < 0)
            return -1;
    }
}

void makemap_file_abandon(struct makemap_file **f)
{
    if (!*f)
        return;
    if ((*f)->fd >= 0) {
        cdb_make_finish(&(*f)->make); /* frees what it has */
        unlink((*f)->temp);
        close((*f)->fd);
    }
    free((*f)->path);
    free((*f)->temp);
    free(*f);
    *f = NULL;
}

struct makemap_file *makemap_file_begin(const char *path, struct err *e)
{
    struct makemap_file *f = NEW(struct makemap_file);
    f->path = joined(path, "");
    f->temp = joined(path, ".tmp");
    f->fd = open_locked(f->temp);
    if (f->fd >= 0 && ftruncate(f->fd, 0) == 0 && cdb_make_start(&f->make, f->fd) == 0)
        return f;
    err_set(e, "%s", strerror(errno));
    if (f->fd >= 0)
        close(f->fd);
    f->fd = -1;
    makemap_file_abandon(&f);
    return NULL;
}

bool makemap_file_put(struct makemap_file *f, struct span key, struct span value)
{
    return cdb_make_add(&f->make, key.p, (unsigned)key.n, value.n ? value.p : "",
                        (unsigned)value.n) == 0;
}

/* The rename is on the disk when its directory is. */
static bool flush_directory(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *dir = slash ? must_strndup(path, (size_t)(slash - path) + 1) : must_strndup(".", 1);
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool good = fd >= 0 && (fsync(fd) == 0 || errno == EINVAL);
    if (fd >= 0)
        close(fd);
    free(dir);
    return good;
}

static bool take_mode(const struct makemap_file *f)
{
    struct stat st;
    if (stat(f->path, &st) != 0)
        return fchmod(f->fd, NEW_MODE) == 0;
    /* Only root can give files away; for others the map becomes theirs, as the text is. */
    if (fchown(f->fd, st.st_uid, st.st_gid) != 0 && geteuid() == 0)
        return false;
    return fchmod(f->fd, st.st_mode & 0777) == 0;
}

bool makemap_file_commit(struct makemap_file **file, struct err *e)
{
    struct makemap_file *f = *file;
    bool good = cdb_make_finish(&f->make) == 0 && take_mode(f) && fsync(f->fd) == 0 &&
                rename(f->temp, f->path) == 0;
    if (!good) {
        err_set(e, "%s", strerror(errno));
        unlink(f->temp);
    } else if (!flush_directory(f->path)) {
        err_set(e, "%s", strerror(errno));
        good = false;
    }
    close(f->fd);
    f->fd = -1;
    makemap_file_abandon(file);
    return good;
}

bool makemap_file_each(const char *path, struct err *e,
                       void (*fn)(void *ctx, struct span key, struct span value), void *ctx)
{
    struct cdb cdb;
    unsigned at;
    int more = -1, fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || cdb_init(&cdb, fd) != 0) {
        err_set(e, "%s", strerror(errno));
        if (fd >= 0)
            close(fd);
        return false;
    }
    cdb_seqinit(&at, &cdb);
    while ((more = cdb_seqnext(&at, &cdb)) > 0) {
        const void *key = cdb_getkey(&cdb), *value = cdb_getdata(&cdb);
        if (!key || !value) {
            more = -1;
            break;
        }
        fn(ctx, span_of(key, cdb_keylen(&cdb)), span_of(value, cdb_datalen(&cdb)));
    }
    if (more < 0)
        err_set(e, "%s", "damaged, or not a map");
    cdb_free(&cdb);
    close(fd);
    return more == 0;
}
