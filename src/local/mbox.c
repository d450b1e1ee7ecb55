/* mbox: one file for all messages, each begun by a "From " line. A line of the message that
 * begins with "From " gets a ">" in front, as mail.local writes it: this is the one place where
 * Postern changes a byte of a message.
 *
 * Two locks, since readers use one or the other: fcntl's on the file, then the dot-lock
 * FILE.lock, taken without waiting and both let go again when either is held, so that no two
 * programs can wait for each other. A dot-lock with the number of a process that has gone is
 * removed; that is done only under the fcntl lock, and so by one of us at a time. Where we may
 * not make files beside the mailbox the fcntl lock stands alone. */
#include "local/outlet.h"

#include "base/buf.h"
#include "base/must.h"
#include "base/num.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TRY_MS = 200, STALE_S = 600 };

struct mbox {
    struct outlet o;
    char *path, *lock_path, *new_path, *from_line;
    int fd;
    bool dot_locked, made, null_device;
    bool line_begins;
    off_t begin; /* of this message: back to here when it fails */
    struct buf waiting;
    struct buf start; /* of the line that begins */
    struct loop_timer timer;
    int64_t lock_until_ms, lock_wait_ms;
};

static struct mbox *of(struct outlet *o) { return CONTAINER(o, struct mbox, o); }

/* --- locks --- */

/* 1 ours now, 0 somebody has it, -1 errno. */
static int lock_file(struct mbox *m)
{
    struct flock whole = { .l_type = F_WRLCK };
    if (fcntl(m->fd, F_SETLK, &whole) == 0)
        return 1;
    return errno == EAGAIN || errno == EACCES ? 0 : -1;
}

/* Left behind: by a process of this host that is no more; or old, and nobody can be asked. */
static bool is_stale(struct mbox *m)
{
    char text[32];
    struct stat st;
    uint64_t pid;
    int fd = open(m->lock_path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, text, sizeof text);
    bool known = fstat(fd, &st) == 0;
    close(fd);
    if (n > 0 && num_upto(span_trim_lines(span_of(text, (size_t)n)), 1u << 30, &pid) && pid > 0) {
        bool there = kill((pid_t)pid, 0) == 0;
        if (there || errno == ESRCH)
            return !there;
    }
    return known && loop_wall_ms(m->o.loop) / 1000 - st.st_mtime > STALE_S;
}

/* Never replaces one; where rename cannot promise that, link does. */
static bool put_in_place(struct mbox *m)
{
    if (renameat2(AT_FDCWD, m->new_path, AT_FDCWD, m->lock_path, RENAME_NOREPLACE) == 0)
        return true;
    return (errno == EINVAL || errno == ENOSYS) && link(m->new_path, m->lock_path) == 0;
}

/* It appears with its number in it: whoever is killed here leaves none that says nothing. Beside
 * it there is one file only, as one of us at a time is here, and what is left of it is replaced. */
static int make_dot_lock(struct mbox *m)
{
    char pid[24];
    unlink(m->new_path);
    int fd = open(m->new_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0 && (errno == EACCES || errno == EPERM || errno == EROFS))
        return 1;
    if (fd < 0)
        return errno == EEXIST ? 0 : -1;
    int n = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    m->dot_locked = outlet_put(fd, span_of(pid, (size_t)n)) && put_in_place(m);
    int error = errno;
    close(fd);
    unlink(m->new_path);
    errno = error;
    return m->dot_locked ? 1 : errno == EEXIST ? 0 : -1;
}

static int dot_lock(struct mbox *m)
{
    int rc = make_dot_lock(m);
    if (rc == 0 && is_stale(m) && unlink(m->lock_path) == 0)
        rc = make_dot_lock(m);
    return rc;
}

static void unlock(struct mbox *m)
{
    if (m->dot_locked)
        unlink(m->lock_path);
    m->dot_locked = false;
    if (m->fd >= 0)
        close(m->fd); /* and with it its lock */
    m->fd = -1;
}

/* --- the file --- */

/* False: what stands there is not to be written to; errno or the outlet's reply says why. */
static bool is_good_file(struct mbox *m)
{
    struct stat st, now;
    const char *what = NULL;
    if (fstat(m->fd, &st) != 0)
        return false;
    if (S_ISCHR(st.st_mode) && strcmp(m->path, "/dev/null") == 0) {
        m->null_device = true;
        return true;
    }
    if (!S_ISREG(st.st_mode))
        what = "it is no regular file";
    else if (st.st_nlink > 1)
        what = "it has another name (hard link)";
    else if (lstat(m->path, &now) != 0 || now.st_ino != st.st_ino || now.st_dev != st.st_dev)
        what = "it was replaced just now";
    if (!what)
        return true;
    outlet_done(&m->o, 451, "4.2.0", "cannot write into %s: %s", m->path, what);
    return false;
}

static int open_file(struct mbox *m)
{
    int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
    m->fd = open(m->path, flags);
    if (m->fd < 0 && errno == ENOENT) {
        m->fd = open(m->path, flags | O_CREAT | O_EXCL, 0600);
        m->made = m->fd >= 0;
        if (m->fd < 0 && errno == EEXIST)
            m->fd = open(m->path, flags);
    }
    return m->fd;
}

/* A message begins behind an empty line, whatever was left at the end of the file. */
static bool put_gap(struct mbox *m)
{
    char last[2] = "\n\n";
    size_t n = m->begin < 2 ? (size_t)m->begin : 2;
    if (n == 0)
        return true;
    if (pread(m->fd, last + 2 - n, n, m->begin - (off_t)n) != (ssize_t)n)
        return false;
    if (last[1] != '\n')
        buf_putz(&m->waiting, "\n\n");
    else if (last[0] != '\n' || n == 1)
        buf_putc(&m->waiting, '\n');
    return true;
}

static void begin(struct mbox *m)
{
    m->begin = lseek(m->fd, 0, SEEK_END);
    if (m->begin < 0 || !put_gap(m)) {
        outlet_errno(&m->o, errno, "cannot read", m->path);
        return;
    }
    buf_putz(&m->waiting, m->from_line);
    m->line_begins = true;
    m->o.state = OUTLET_OPEN;
}

/* One try: done (open or failed), or 0: later. */
static bool try_to_open(struct mbox *m)
{
    if (open_file(m) < 0) {
        outlet_errno(&m->o, errno, "cannot open", m->path);
        return true;
    }
    int locked = lock_file(m);
    bool failed = locked < 0;
    if (locked > 0 && !is_good_file(m)) {
        if (m->o.state != OUTLET_DONE)
            outlet_errno(&m->o, errno, "cannot look at", m->path);
        return true;
    }
    if (m->null_device) {
        m->o.state = OUTLET_OPEN;
        return true;
    }
    if (locked > 0)
        failed = (locked = dot_lock(m)) < 0;
    if (failed)
        outlet_errno(&m->o, errno, "cannot lock", m->path);
    else if (locked)
        begin(m);
    else
        unlock(m);
    return failed || locked;
}

static void on_timer(void *ctx)
{
    struct mbox *m = ctx;
    bool done = try_to_open(m);
    if (!done && loop_mono_ms(m->o.loop) >= m->lock_until_ms) {
        outlet_done(&m->o, 451, "4.2.0", "%s is locked by another program", m->path);
        done = true;
    }
    if (done)
        m->o.changed(m->o.ctx);
    else
        loop_timer_in(m->o.loop, &m->timer, TRY_MS);
}

static void mbox_open(struct outlet *o)
{
    struct mbox *m = of(o);
    m->lock_until_ms = loop_mono_ms(o->loop) + m->lock_wait_ms;
    if (!try_to_open(m))
        loop_timer_in(o->loop, &m->timer, TRY_MS);
}

/* --- the message --- */

static void flush_waiting(struct mbox *m)
{
    if (!outlet_put(m->fd, buf_span(&m->waiting)))
        outlet_errno(&m->o, errno, "cannot write into", m->path);
    buf_reset(&m->waiting);
}

static void put(struct mbox *m, struct span text)
{
    while (text.n && m->o.state == OUTLET_OPEN) {
        struct span piece = span_to(text, buf_room(&m->waiting));
        buf_puts(&m->waiting, piece);
        text = span_from(text, piece.n);
        if (buf_room(&m->waiting) == 0)
            flush_waiting(m);
    }
}

/* The first five bytes of a line, or all of a shorter one, are gathered before they are judged:
 * pieces of content may be cut anywhere. */
static struct span take_start(struct mbox *m, struct span text)
{
    while (text.n && m->start.len < 5 && m->line_begins) {
        buf_putc(&m->start, text.p[0]);
        m->line_begins = text.p[0] != '\n';
        text = span_from(text, 1);
    }
    if (m->line_begins && m->start.len < 5)
        return text;
    if (span_eq(buf_span(&m->start), SPAN("From ")))
        put(m, SPAN(">"));
    put(m, buf_span(&m->start));
    size_t n = m->start.len;
    bool ended = n && buf_span(&m->start).p[n - 1] == '\n';
    buf_reset(&m->start);
    m->line_begins = ended;
    return text;
}

static void mbox_write(struct outlet *o, struct span text)
{
    struct mbox *m = of(o);
    while (text.n && !m->null_device) {
        if (m->line_begins) {
            text = take_start(m, text);
            continue;
        }
        size_t n = span_find(text, '\n');
        struct span line = span_to(text, n < text.n ? n + 1 : text.n);
        put(m, line);
        m->line_begins = n < text.n;
        text = span_from(text, line.n);
    }
}

static void take_back(struct mbox *m)
{
    if (m->fd >= 0 && !m->null_device && ftruncate(m->fd, m->begin) == 0)
        fsync(m->fd);
}

static bool sync_parent(struct mbox *m)
{
    char *slash = strrchr(m->path, '/');
    char *dir = must_strndup(m->path, slash == m->path ? 1 : (size_t)(slash - m->path));
    /* A directory that may be written but not read, as mail directories are, cannot be flushed
     * by us; the file's own fsync makes it known on the journalling file systems. */
    bool ok = outlet_sync_dir(AT_FDCWD, dir) || errno == EACCES;
    free(dir);
    return ok;
}

static void mbox_finish(struct outlet *o)
{
    struct mbox *m = of(o);
    if (m->null_device) {
        outlet_done(o, 250, "2.0.0", "Thrown away into /dev/null");
        return;
    }
    bool whole = m->line_begins && m->start.len == 0;
    put(m, buf_span(&m->start));
    put(m, whole ? SPAN("\n") : SPAN("\n\n"));
    if (o->state == OUTLET_OPEN)
        flush_waiting(m);
    if (o->state == OUTLET_OPEN && (fsync(m->fd) != 0 || (m->made && !sync_parent(m))))
        outlet_errno(o, errno, "cannot store in", m->path);
    if (o->state == OUTLET_OPEN)
        outlet_done(o, 250, "2.0.0", "Delivered to mailbox");
    else
        take_back(m);
    unlock(m);
}

static void mbox_free(struct outlet *o)
{
    struct mbox *m = of(o);
    loop_timer_stop(o->loop, &m->timer);
    if (m->fd >= 0 && m->begin >= 0)
        take_back(m);
    unlock(m);
    buf_free(&m->waiting);
    buf_free(&m->start);
    free(m->path);
    free(m->lock_path);
    free(m->new_path);
    free(m->from_line);
    free(m);
}

struct outlet *mbox_new(struct loop *l, const char *path, const char *from_line,
                        int64_t lock_wait_ms)
{
    static const struct outlet_ops ops = { mbox_open, mbox_write, mbox_finish, mbox_free };
    struct mbox *m = NEW(struct mbox);
    struct buf lock;
    m->o = (struct outlet){ .ops = &ops, .loop = l };
    m->path = must_strndup(path, strlen(path));
    buf_init(&lock, strlen(path) + sizeof ".lock.new");
    buf_putz(&lock, path);
    buf_putz(&lock, ".lock");
    m->lock_path = must_strndup(buf_span(&lock).p, lock.len);
    buf_putz(&lock, ".new");
    m->new_path = must_strndup(buf_span(&lock).p, lock.len);
    buf_free(&lock);
    m->from_line = must_strndup(from_line, strlen(from_line));
    m->fd = -1;
    m->begin = -1;
    m->lock_wait_ms = lock_wait_ms;
    loop_timer_init(&m->timer, on_timer, m);
    buf_init(&m->waiting, OUTLET_WRITE_BYTES);
    buf_init(&m->start, 8);
    return &m->o;
}
