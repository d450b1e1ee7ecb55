#include "cli/sendmail_letter.h"

#include "base/must.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { IN_MEMORY_MAX = 1 << 20, RCPTS_MAX = 10000 };

void store_init(struct store *s)
{
    *s = (struct store){ .fd = -1 };
    buf_init(&s->mem, IN_MEMORY_MAX);
}

void store_free(struct store *s)
{
    buf_free(&s->mem);
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}

/* A file without a name, wherever one can be had. */
static int unnamed_file(void)
{
    const char *dir = getenv("TMPDIR");
    int fd = open(dir && dir[0] == '/' ? dir : "/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        fd = open("/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    return fd < 0 ? memfd_create("message", MFD_CLOEXEC) : fd;
}

static bool write_all(int fd, struct span s)
{
    while (s.n) {
        ssize_t n = write(fd, s.p, s.n);
        if (n < 0 && errno != EINTR)
            return false;
        s = span_from(s, n > 0 ? (size_t)n : 0);
    }
    return true;
}

bool store_put(struct store *s, struct span bytes)
{
    s->size += bytes.n;
    if (s->fd < 0 && bytes.n <= buf_room(&s->mem))
        return buf_puts(&s->mem, bytes);
    if (s->fd < 0) {
        s->fd = unnamed_file();
        if (s->fd < 0 || !write_all(s->fd, buf_span(&s->mem)))
            return false;
        buf_free(&s->mem);
    }
    return write_all(s->fd, bytes);
}

/* Up to n bytes from `at`; 0 at the end, -1 as read(2). */
static ssize_t store_read(const struct store *s, uint64_t at, char *to, size_t n)
{
    if (s->fd >= 0)
        return pread(s->fd, to, n, (off_t)at);
    struct span rest = span_to(span_from(buf_span(&s->mem), at), n);
    if (rest.n)
        memcpy(to, rest.p, rest.n);
    return (ssize_t)rest.n;
}

ssize_t letter_read(const struct letter *l, uint64_t at, char *to, size_t n)
{
    if (at >= l->header.len)
        return store_read(&l->body, at - l->header.len, to, n);
    struct span rest = span_to(span_from(buf_span(&l->header), at), n);
    memcpy(to, rest.p, rest.n);
    return (ssize_t)rest.n;
}

static bool has(const struct letter *l, struct span addr)
{
    for (size_t i = 0; i < l->rcpt_count; i++)
        if (span_eq(l->rcpts[i].rcpt.addr, addr))
            return true;
    return false;
}

bool letter_add(struct letter *l, struct span addr, int exit, struct span reply)
{
    if (has(l, addr))
        return true;
    if (l->rcpt_count == RCPTS_MAX)
        return false;
    if (l->rcpt_count == l->rcpt_room) {
        l->rcpt_room = l->rcpt_room ? 2 * l->rcpt_room : 16;
        l->rcpts = must_realloc(l->rcpts, must_mul(l->rcpt_room, sizeof *l->rcpts));
    }
    l->rcpts[l->rcpt_count++] = (struct letter_rcpt){
        .rcpt = { .addr = arena_dup(l->arena, addr), .notify = l->f->notify },
        .state = reply.n ? LETTER_FAILED : LETTER_OPEN,
        .exit = exit,
        .reply = arena_dup(l->arena, reply),
    };
    return true;
}

size_t letter_count(const struct letter *l, enum letter_state state)
{
    size_t n = 0;
    for (size_t i = 0; i < l->rcpt_count; i++)
        n += l->rcpts[i].state == state;
    return n;
}
