/* Files as the maps read them, and how a change is seen. */
#include "maps/impl.h"

#include "base/must.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

struct map_stamp map_stamp_of(const struct stat *st)
{
    return (struct map_stamp){ .there = true, .dev = st->st_dev, .ino = st->st_ino,
                               .size = st->st_size, .modified = st->st_mtim,
                               .changed = st->st_ctim };
}

static bool read_all(int fd, char *mem, size_t size, size_t *n_r)
{
    size_t n = 0;
    while (n < size) {
        ssize_t got = read(fd, mem + n, size - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return false;
        if (got == 0)
            break;
        n += (size_t)got;
    }
    *n_r = n;
    return true;
}

/* What is wrong with the machine, not with the file, is tried again at the next refresh. */
static bool passing(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOMEM || error == EINTR ||
           error == EIO;
}

static bool not_opened(struct map_file *f, struct map_report *r)
{
    struct span path = f->map.source;
    struct stat st;
    int error = errno;
    if (!passing(error))
        f->map.stamp = stat(path.p, &st) == 0 ? map_stamp_of(&st) : (struct map_stamp){ 0 };
    if (error == ENOENT && f->params.optional) {
        map_report_warning(r, path, 0, "there is no such file: the table is empty");
        return true;
    }
    map_report_error(r, path, 0, "cannot open: %s", strerror(error));
    return false;
}

bool map_file_read(struct map_file *f, char **mem_r, size_t *n_r, struct map_report *r)
{
    struct span path = f->map.source;
    size_t max = f->params.max_bytes ? f->params.max_bytes : (size_t)1 << 30;
    struct stat st;
    bool good = false;
    int fd = open(path.p, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    *mem_r = NULL;
    *n_r = 0;
    if (fd < 0)
        return not_opened(f, r);
    if (fstat(fd, &st) == 0)
        f->map.stamp = map_stamp_of(&st);
    if (!f->map.stamp.there) {
        map_report_error(r, path, 0, "cannot read: %s", strerror(errno));
    } else if (!S_ISREG(st.st_mode)) {
        map_report_error(r, path, 0, "not a regular file");
    } else if ((uint64_t)st.st_size > max) {
        map_report_error(r, path, 0, "larger than %zu bytes", max);
    } else {
        *mem_r = must_alloc((size_t)st.st_size + 1);
        good = read_all(fd, *mem_r, (size_t)st.st_size, n_r);
        if (!good) {
            map_report_error(r, path, 0, "cannot read: %s", strerror(errno));
            free(*mem_r);
            *mem_r = NULL;
            f->map.stamp.there = false;
        }
    }
    close(fd);
    return good;
}

struct map *map_file_open(struct map_file *f, const struct map_class *class, struct span path,
                          const struct map_params *p, struct map_report *r)
{
    struct map *m = &f->map;
    map_init(m, class, path);
    m->file = true;
    f->params = *p;
    if (!class->reload(m, r)) {
        map_free(&m);
        return NULL;
    }
    m->loads = 1;
    return m;
}

bool map_next_line(struct span *text, struct map_line *at, struct span source,
                   struct map_report *r)
{
    while (text->n) {
        size_t lf = span_find(*text, '\n');
        struct span raw = span_to(*text, lf), s = span_trim_lines(raw);
        *text = span_from(*text, lf + 1);
        at->line++;
        if (at->line == 1 && span_starts(s, SPAN("\xef\xbb\xbf")))
            raw = s = span_from(s, 3); /* a byte order mark */
        if (!s.n || s.p[0] == '#')
            continue;
        if (raw.n > MAP_LINE_MAX)
            map_report_error(r, source, at->line, "the line is longer than %d bytes",
                             MAP_LINE_MAX);
        else if (memchr(s.p, 0, s.n))
            map_report_error(r, source, at->line, "a NUL byte: this is not a text file");
        else if (s.p != raw.p)
            map_report_error(r, source, at->line, "the line begins with white space");
        else {
            at->text = s;
            return true;
        }
    }
    return false;
}
