/* buf: a growable byte queue with a limit given at birth. Bytes are put at the end and may be
 * taken from the front. Passing the limit is not an abort: the put is refused whole, returns
 * false and `failed` stays set until buf_reset, so that a writer may check once at the end. */
#ifndef POSTERN_BASE_BUF_H
#define POSTERN_BASE_BUF_H

#include "base/span.h"

#include <stdarg.h>

struct buf {
    char *mem;
    size_t off;  /* first live byte */
    size_t len;  /* live bytes */
    size_t cap;
    size_t max;  /* limit on live bytes */
    bool failed;
};

/* No memory is taken before the first put. `max_bytes` must be > 0. */
void buf_init(struct buf *b, size_t max_bytes);
void buf_free(struct buf *b);  /* releases the memory; usable again as after buf_init */
void buf_reset(struct buf *b); /* empties, clears failed, keeps the memory */

static inline struct span buf_span(const struct buf *b)
{
    return span_of(b->mem ? b->mem + b->off : NULL, b->len);
}
static inline size_t buf_room(const struct buf *b) { return b->max - b->len; }

bool buf_put(struct buf *b, const void *p, size_t n);
bool buf_puts(struct buf *b, struct span s);
bool buf_putc(struct buf *b, char c);
bool buf_putz(struct buf *b, const char *cstr);
bool buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool buf_vprintf(struct buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
bool buf_putu(struct buf *b, uint64_t v); /* decimal */

/* Space for n more bytes at the end, to be filled and then claimed with buf_added(n' <= n);
 * NULL (and failed) when the limit forbids it. */
char *buf_space(struct buf *b, size_t n);
void buf_added(struct buf *b, size_t n);

/* Drops n (<= len) bytes from the front. Cheap: memory moves only when space is needed. */
void buf_take(struct buf *b, size_t n);
void buf_cut(struct buf *b, size_t len); /* truncates to len (<= current) */

/* NUL-terminates behind the live bytes and returns them as a C string, valid until the next put. */
const char *buf_cstr(struct buf *b);

#endif
