/* Lists of addresses, and the files they stand in. */
#include "route/expand.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

/* The end of the item that begins at s: a comma or a line end outside quotes, brackets and
 * comments. A program's arguments may have any of them only in quotes. */
static size_t item_end(struct span s)
{
    bool quoted = false;
    int depth = 0;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '\\' && i + 1 < s.n)
            i++;
        else if (c == '\n')
            return i;
        else if (c == '"')
            quoted = !quoted;
        else if (quoted)
            continue;
        else if (c == '(')
            depth++;
        else if (c == ')' && depth)
            depth--;
        else if (c == ',' && !depth)
            return i;
    }
    return s.n;
}

/* "Name <address>" is the address. */
static struct span in_brackets(struct span s)
{
    size_t close = span_rfind(s, '>'), open = span_rfind(span_to(s, close), '<');
    if (close == s.n || open >= close || s.p[0] == '|')
        return s;
    return span_trim_lines(span_from(span_to(s, close), open + 1));
}

/* A comment at either end; one within an address makes it a bad one. */
static struct span without_comment(struct span s)
{
    if (s.n && s.p[s.n - 1] == ')' && s.p[0] != '|' && s.p[0] != '/') {
        size_t open = span_rfind(s, '(');
        if (open < s.n)
            s = span_trim_lines(span_to(s, open));
    }
    if (s.n && s.p[0] == '(') {
        size_t close = span_find(s, ')');
        s = span_trim_lines(span_from(s, close + 1));
    }
    return s;
}

bool route_list_next(struct span *list, struct span *item_r)
{
    *item_r = SPAN_NONE;
    while (list->n && (ascii_isblank(list->p[0]) || list->p[0] == '\r' || list->p[0] == '\n'))
        *list = span_from(*list, 1);
    if (!list->n)
        return false;
    if (list->p[0] == '#') {
        *list = span_from(*list, span_find(*list, '\n') + 1);
        return true;
    }
    size_t end = item_end(*list);
    *item_r = in_brackets(without_comment(span_trim_lines(span_to(*list, end))));
    *list = span_from(*list, end + 1);
    return true;
}

static bool read_all(int fd, struct buf *text, struct err *e)
{
    ssize_t n;
    do {
        char *to = buf_space(text, 16384);
        if (!to) {
            err_set(e, "more than %d bytes", ROUTE_INCLUDE_MAX - 16384);
            return false;
        }
        n = read(fd, to, 16384);
        buf_added(text, n > 0 ? (size_t)n : 0);
    } while (n > 0 || (n < 0 && errno == EINTR));
    if (n < 0)
        err_errno(e, "cannot be read");
    return n == 0;
}

bool route_read_file(struct span path, struct buf *text, struct err *e)
{
    char name[PATH_MAX];
    struct stat st;
    if (path.n >= sizeof name || memchr(path.p, 0, path.n)) {
        err_set(e, "no good path");
        return false;
    }
    memcpy(name, path.p, path.n);
    name[path.n] = 0;
    int fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); /* a FIFO must not hang */
    if (fd < 0) {
        err_errno(e, "cannot be opened");
        return false;
    }
    bool good = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    if (!good)
        err_set(e, "is not a file");
    good = good && read_all(fd, text, e);
    close(fd);
    return good;
}
