#include "base/must.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Noreturn void must_fail(const char *file, int line, const char *what)
{
    fprintf(stderr, "postern: %s:%d: broken invariant: %s\n", file, line, what);
    abort();
}

void *must_alloc(size_t size)
{
    void *p = calloc(1, size ? size : 1);
    MUST(p != NULL);
    return p;
}

void *must_calloc(size_t count, size_t size) { return must_alloc(must_mul(count, size)); }

void *must_realloc(void *p, size_t size)
{
    p = realloc(p, size ? size : 1);
    MUST(p != NULL);
    return p;
}

char *must_strndup(const char *s, size_t n)
{
    char *copy = must_alloc(must_add(n, 1));
    if (n)
        memcpy(copy, s, n);
    return copy;
}

size_t must_add(size_t a, size_t b)
{
    size_t r;
    MUST(!__builtin_add_overflow(a, b, &r));
    return r;
}

size_t must_mul(size_t a, size_t b)
{
    size_t r;
    MUST(!__builtin_mul_overflow(a, b, &r));
    return r;
}
