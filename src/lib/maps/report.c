#include "maps/map.h"

void map_report_init(struct map_report *r)
{
    *r = (struct map_report){ 0 };
    buf_init(&r->lines, MAP_REPORT_MAX);
}

void map_report_free(struct map_report *r) { buf_free(&r->lines); }

static void __attribute__((format(printf, 5, 0)))
put(struct map_report *r, struct span source, uint32_t line, bool warning, const char *fmt,
    va_list ap)
{
    struct buf one;
    size_t head;
    buf_init(&one, 2048);
    buf_puts(&one, span_to(source, 512));
    if (line)
        buf_printf(&one, ":%u", line);
    buf_printf(&one, ": %s: ", warning ? "warning" : "error");
    head = one.len;
    buf_vprintf(&one, fmt, ap);
    if (r->say)
        r->say(r->say_ctx, source, line, warning, span_from(buf_span(&one), head));
    buf_putc(&one, '\n');
    if (!one.failed && buf_room(&r->lines) >= one.len)
        buf_puts(&r->lines, buf_span(&one));
    buf_free(&one);
}

void map_report_error(struct map_report *r, struct span source, uint32_t line, const char *fmt,
                      ...)
{
    va_list ap;
    va_start(ap, fmt);
    put(r, source, line, false, fmt, ap);
    va_end(ap);
    r->errors++;
}

void map_report_warning(struct map_report *r, struct span source, uint32_t line, const char *fmt,
                        ...)
{
    va_list ap;
    va_start(ap, fmt);
    put(r, source, line, true, fmt, ap);
    va_end(ap);
    r->warnings++;
}
