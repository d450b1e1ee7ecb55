#include "base/buf.h"

#include "base/must.h"

#include <stdio.h>
#include <stdlib.h>

void buf_init(struct buf *b, size_t max_bytes)
{
    MUST(max_bytes > 0);
    *b = (struct buf){ .max = max_bytes };
}

void buf_free(struct buf *b)
{
    free(b->mem);
    *b = (struct buf){ .max = b->max };
}

void buf_reset(struct buf *b)
{
    b->off = b->len = 0;
    b->failed = false;
}

static void make_room(struct buf *b, size_t n)
{
    size_t need = must_add(b->len, n);
    if (b->off + need <= b->cap)
        return;
    /* Moving is allowed only when it frees at least as much as it copies: takes from the front
     * of a long queue stay linear in all. */
    if (need <= b->cap && b->off >= b->len) {
        memmove(b->mem, b->mem + b->off, b->len);
        b->off = 0;
        return;
    }
    size_t cap = b->cap ? b->cap : 64;
    while (cap < need)
        cap = must_mul(cap, 2);
    char *mem = must_realloc(NULL, cap);
    if (b->len)
        memcpy(mem, b->mem + b->off, b->len);
    free(b->mem);
    b->mem = mem;
    b->cap = cap;
    b->off = 0;
}

char *buf_space(struct buf *b, size_t n)
{
    if (n > b->max - b->len) {
        b->failed = true;
        return NULL;
    }
    make_room(b, n);
    return b->mem + b->off + b->len;
}

void buf_added(struct buf *b, size_t n)
{
    MUST(b->off + b->len + n <= b->cap);
    b->len += n;
}

bool buf_put(struct buf *b, const void *p, size_t n)
{
    if (n == 0)
        return true;
    char *to = buf_space(b, n);
    if (!to)
        return false;
    memcpy(to, p, n);
    b->len += n;
    return true;
}

bool buf_puts(struct buf *b, struct span s) { return buf_put(b, s.p, s.n); }
bool buf_putc(struct buf *b, char c) { return buf_put(b, &c, 1); }
bool buf_putz(struct buf *b, const char *cstr) { return buf_put(b, cstr, strlen(cstr)); }

/* First into what room there is (mostly enough), then once more into what it takes. */
bool buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    make_room(b, 1);
    size_t free_bytes = b->cap - b->off - b->len;
    int n = vsnprintf(b->mem + b->off + b->len, free_bytes, fmt, ap);
    MUST(n >= 0);
    bool ok = (size_t)n <= b->max - b->len;
    if (ok && (size_t)n >= free_bytes) {
        make_room(b, (size_t)n + 1); /* vsnprintf's NUL is not counted against the limit */
        vsnprintf(b->mem + b->off + b->len, (size_t)n + 1, fmt, again);
    }
    va_end(again);
    if (ok)
        b->len += (size_t)n;
    else
        b->failed = true;
    return ok;
}

bool buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    bool ok = buf_vprintf(b, fmt, ap);
    va_end(ap);
    return ok;
}

bool buf_putu(struct buf *b, uint64_t v)
{
    char digits[20];
    size_t i = sizeof digits;
    do {
        digits[--i] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    return buf_put(b, digits + i, sizeof digits - i);
}

void buf_take(struct buf *b, size_t n)
{
    MUST(n <= b->len);
    b->off += n;
    b->len -= n;
    if (b->len == 0)
        b->off = 0;
}

void buf_cut(struct buf *b, size_t len)
{
    MUST(len <= b->len);
    b->len = len;
}

const char *buf_cstr(struct buf *b)
{
    make_room(b, 1);
    b->mem[b->off + b->len] = '\0';
    return b->mem + b->off;
}
