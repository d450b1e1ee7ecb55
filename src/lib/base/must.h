/* must: assertions that stay on in production, and allocation that cannot fail.
 * A process that meets a broken invariant or has no memory left ends at once, by abort: its
 * parent restarts it, and nothing accepted depends on what it held (ARCHITECTURE.md, "If a
 * process dies"). Inputs from outside are never the subject of MUST. */
#ifndef POSTERN_BASE_MUST_H
#define POSTERN_BASE_MUST_H

#include <stddef.h>

#define MUST(cond) \
    do { \
        if (__builtin_expect(!(cond), 0)) \
            must_fail(__FILE__, __LINE__, #cond); \
    } while (0)

_Noreturn void must_fail(const char *file, int line, const char *what);

void *must_alloc(size_t size);              /* zeroed; never NULL */
void *must_calloc(size_t count, size_t size); /* overflow-checked */
void *must_realloc(void *p, size_t size);
char *must_strndup(const char *s, size_t n); /* NUL-terminated copy */

#define NEW(type) ((type *)must_alloc(sizeof(type)))

/* a + b and a * b with overflow as a failed MUST, for sizes made of our own limits. */
size_t must_add(size_t a, size_t b);
size_t must_mul(size_t a, size_t b);

#endif
