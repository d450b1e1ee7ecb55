#include "local/outlet.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void outlet_write(struct outlet *o, struct span lf_text)
{
    if (o->state == OUTLET_OPEN && lf_text.n)
        o->ops->write(o, lf_text);
}

void outlet_finish(struct outlet *o)
{
    if (o->state == OUTLET_OPEN)
        o->ops->finish(o);
}

void outlet_free(struct outlet **o)
{
    if (*o)
        (*o)->ops->free(*o);
    *o = NULL;
}

void outlet_done(struct outlet *o, unsigned code, const char *enhanced, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(o->text, sizeof o->text, fmt, ap);
    va_end(ap);
    snprintf(o->enhanced, sizeof o->enhanced, "%s", enhanced);
    o->code = code;
    o->full = false;
    o->state = OUTLET_DONE;
}

void outlet_errno(struct outlet *o, int error, const char *what, const char *path)
{
    bool no_room = error == ENOSPC || error == EDQUOT || error == EFBIG;
    outlet_done(o, no_room ? 452 : 451, no_room ? "4.2.2" : "4.2.0", "%s%s %s: %s",
                no_room ? "mailbox full: " : "", what, path, strerror(error));
}

bool outlet_put(int fd, struct span bytes)
{
    while (bytes.n) {
        ssize_t n = write(fd, bytes.p, bytes.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        bytes = span_from(bytes, (size_t)n);
    }
    return true;
}

bool outlet_sync_dir(int at, const char *path)
{
    int fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool ok = fsync(fd) == 0;
    int error = errno;
    close(fd);
    errno = error;
    return ok;
}
