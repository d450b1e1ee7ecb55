/* Maildir: written and flushed in tmp/, then linked into new/, and the directory flushed. Nobody
 * who reads it sees a part of a message, and no lock is needed. */
#include "local/outlet.h"

#include "base/buf.h"
#include "base/must.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TRIES = 10, NAME_BYTES = 320 };

struct maildir {
    struct outlet o;
    char *path, *host;
    int dir, fd; /* the Maildir; the file in tmp/ */
    struct buf waiting;
    uint64_t size;
    char name[NAME_BYTES];
};

static struct maildir *of(struct outlet *o) { return CONTAINER(o, struct maildir, o); }

/* Makes what is missing, for its owner alone. */
static bool make_dirs(struct maildir *m)
{
    static const char *const inside[] = { "tmp", "new", "cur" };
    bool made = mkdir(m->path, 0700) == 0;
    m->dir = open(m->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (m->dir < 0)
        return false;
    for (size_t i = 0; i < sizeof inside / sizeof *inside; i++)
        if (mkdirat(m->dir, inside[i], 0700) == 0)
            made = true;
        else if (errno != EEXIST)
            return false;
    if (!made)
        return true;
    char *slash = strrchr(m->path, '/'), *parent = NULL;
    if (slash)
        parent = must_strndup(m->path, slash == m->path ? 1 : (size_t)(slash - m->path));
    bool ok = fsync(m->dir) == 0;
    if (parent)
        outlet_sync_dir(AT_FDCWD, parent); /* not ours to open: then not ours to flush */
    free(parent);
    return ok;
}

/* "/" and ":" cannot stand in the name of a message (https://cr.yp.to/proto/maildir.html). */
static void make_name(struct maildir *m)
{
    char host[200];
    size_t n = 0;
    for (const char *p = m->host; *p && n + 1 < sizeof host; p++)
        if (*p != '/' && *p != ':')
            host[n++] = *p;
    host[n] = 0;
    int64_t ms = loop_wall_ms(m->o.loop);
    snprintf(m->name, sizeof m->name, "%" PRId64 ".M%06uP%ldR%016" PRIx64 ".%s", ms / 1000,
             (unsigned)(ms % 1000) * 1000, (long)getpid(), loop_random_u64(m->o.loop), host);
}

static void tmp_path(const struct maildir *m, char *to)
{
    snprintf(to, NAME_BYTES + 8, "tmp/%s", m->name);
}

static void maildir_open(struct outlet *o)
{
    struct maildir *m = of(o);
    char tmp[NAME_BYTES + 8];
    if (!make_dirs(m)) {
        outlet_errno(o, errno, "cannot use", m->path);
        return;
    }
    for (int i = 0; i < TRIES && m->fd < 0; i++) {
        make_name(m);
        tmp_path(m, tmp);
        m->fd = openat(m->dir, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (m->fd < 0 && errno != EEXIST)
            break;
    }
    if (m->fd < 0)
        outlet_errno(o, errno, "cannot write into", m->path);
    else
        o->state = OUTLET_OPEN;
}

static void flush_waiting(struct maildir *m)
{
    if (!outlet_put(m->fd, buf_span(&m->waiting)))
        outlet_errno(&m->o, errno, "cannot write into", m->path);
    m->size += m->waiting.len;
    buf_reset(&m->waiting);
}

static void maildir_write(struct outlet *o, struct span text)
{
    struct maildir *m = of(o);
    while (text.n && o->state == OUTLET_OPEN) {
        struct span piece = span_to(text, buf_room(&m->waiting));
        buf_puts(&m->waiting, piece);
        text = span_from(text, piece.n);
        if (buf_room(&m->waiting) == 0)
            flush_waiting(m);
    }
}

/* A name in new/ is never replaced: link fails where rename would not. The size in the name
 * spares readers that count quotas a look into each file. */
static bool into_new(struct maildir *m)
{
    char tmp[NAME_BYTES + 8], to[NAME_BYTES + 40];
    tmp_path(m, tmp);
    snprintf(to, sizeof to, "new/%s,S=%" PRIu64, m->name, m->size);
    if (linkat(m->dir, tmp, m->dir, to, 0) == 0)
        return unlinkat(m->dir, tmp, 0) == 0 || errno == ENOENT;
    if (errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS)
        return false;
    return renameat2(m->dir, tmp, m->dir, to, RENAME_NOREPLACE) == 0; /* knows no links */
}

static void maildir_finish(struct outlet *o)
{
    struct maildir *m = of(o);
    flush_waiting(m);
    if (o->state != OUTLET_OPEN)
        return;
    if (fsync(m->fd) != 0 || !into_new(m) || !outlet_sync_dir(m->dir, "new"))
        outlet_errno(o, errno, "cannot store in", m->path);
    else
        outlet_done(o, 250, "2.0.0", "Delivered to Maildir");
}

static void maildir_free(struct outlet *o)
{
    struct maildir *m = of(o);
    char tmp[NAME_BYTES + 8];
    if (m->fd >= 0) {
        tmp_path(m, tmp);
        if (o->state != OUTLET_DONE || o->code != 250)
            unlinkat(m->dir, tmp, 0);
        close(m->fd);
    }
    if (m->dir >= 0)
        close(m->dir);
    buf_free(&m->waiting);
    free(m->path);
    free(m->host);
    free(m);
}

struct outlet *maildir_new(struct loop *l, const char *path, const char *host)
{
    static const struct outlet_ops ops = { maildir_open, maildir_write, maildir_finish,
                                           maildir_free };
    struct maildir *m = NEW(struct maildir);
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    m->o = (struct outlet){ .ops = &ops, .loop = l };
    m->path = must_strndup(path, n);
    m->host = must_strndup(host, strlen(host));
    m->dir = m->fd = -1;
    buf_init(&m->waiting, OUTLET_WRITE_BYTES);
    return &m->o;
}
