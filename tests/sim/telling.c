/* What happens, on standard error when asked for, what must not, and what explains something. */
#include "world.h"

#include "base/must.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FAILURES_SHOWN = 10 };

void say(struct world *w, const char *fmt, ...)
{
    va_list ap;
    if (!w->opt.trace)
        return;
    dprintf(STDERR_FILENO, "%12.3f  ", (double)(loop_mono_ms(w->l) - w->begun_ms) / SECOND_MS);
    va_start(ap, fmt);
    vdprintf(STDERR_FILENO, fmt, ap);
    va_end(ap);
    dprintf(STDERR_FILENO, "\n");
}

void fail(struct world *w, const char *fmt, ...)
{
    va_list ap;
    char text[sizeof w->first_failure];
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (w->failures++ == 0)
        memcpy(w->first_failure, text, sizeof text);
    say(w, "FAILURE: %s", text);
    if (w->failures <= FAILURES_SHOWN && !w->opt.quiet)
        printf("# seed %llu, %.3f s: %s\n", (unsigned long long)w->opt.seed,
               (double)(loop_mono_ms(w->l) - w->begun_ms) / SECOND_MS, text);
}

void excuse_now(struct world *w)
{
    if (w->excuse_count == w->excuse_cap) {
        w->excuse_cap = w->excuse_cap ? 2 * w->excuse_cap : 64;
        w->excuses = must_realloc(w->excuses, w->excuse_cap * sizeof *w->excuses);
    }
    w->excuses[w->excuse_count++] = loop_mono_ms(w->l);
}
