/* "export": the content of all messages that a filter means, as it would be delivered, in rows of
 * hexadecimal digits: {"id":..,"begin":true}, {"content":".."} ..., {"id":..,"whole":true}. */
#include "qmgr/admin_query.h"

#include "base/must.h"
#include "sched/walk.h"

#include <stdlib.h>
#include <string.h>

enum { PART_BYTES = 32 << 10 };

struct exporting {
    struct query y;
    struct spool_reader *reader; /* of the message at hand; NULL: none */
    struct queueid id;
    uint64_t offset, looked_to;
};

static void export_gone(struct admin_ask *a)
{
    struct exporting *x = a->own;
    spool_reader_close(&x->reader);
    query_free(&x->y);
    free(x);
    a->own = NULL;
}

static void row(struct admin_ask *a, const struct exporting *x, const char *what, const char *error)
{
    struct buf b;
    buf_init(&b, 1024);
    struct json j = json_writer(&b);
    json_open(&j, NULL);
    json_str(&j, "id", span_str(x->id.text));
    if (error)
        json_str(&j, "error", span_str(error));
    else
        json_bool(&j, what, true);
    json_close(&j);
    admin_row(a, &b);
    buf_free(&b);
}

static void begin(struct admin_ask *a, struct exporting *x, const struct sched_msg_info *m)
{
    int error = 0;
    x->id = queueid_make(m->seq, m->received_ms);
    x->offset = 0;
    x->reader = spool_reader_open(a->q->spool, m->seq, &error);
    if (!x->reader) {
        row(a, x, NULL, strerror(error));
        return;
    }
    struct events *e = a->q->env->events;
    event_begin(e, EVENT_admin_exported);
    event_str(e, FIELD_id, span_str(x->id.text));
    event_str(e, FIELD_text, buf_span(&a->who));
    event_end(e);
    log_line(e, EVENT_INFO, "%s: exported by %.*s", x->id.text, SPAN_ARG(buf_span(&a->who)));
    row(a, x, "begin", NULL);
}

static void part(struct admin_ask *a, struct exporting *x)
{
    static const char digits[] = "0123456789abcdef";
    char bytes[PART_BYTES];
    ssize_t n = spool_reader_read(x->reader, x->offset, bytes, sizeof bytes);
    if (n <= 0) {
        row(a, x, "whole", n < 0 ? strerror((int)-n) : NULL);
        spool_reader_close(&x->reader);
        return;
    }
    struct buf b;
    buf_init(&b, ADMIN_ROW_MAX);
    buf_putz(&b, "{\"content\":\"");
    for (ssize_t i = 0; i < n; i++) {
        buf_putc(&b, digits[(unsigned char)bytes[i] >> 4]);
        buf_putc(&b, digits[bytes[i] & 15]);
    }
    buf_putz(&b, "\"}");
    admin_row(a, &b);
    buf_free(&b);
    x->offset += (uint64_t)n;
}

static void export_slice(struct admin_ask *a)
{
    struct exporting *x = a->own;
    struct sched_msg_info m;
    do {
        if (x->reader) {
            part(a, x);
            continue;
        }
        enum query_got got = query_next(&x->y, 0, &m);
        if (got == QUERY_END || (got == QUERY_ONE && m.age > x->looked_to)) {
            admin_end(a, ADMIN_OK, "");
            return;
        }
        if (got == QUERY_ONE)
            begin(a, x, &m);
    } while (!a->now.over);
    admin_next(a);
}

void admin_export(struct admin_ask *a, struct wire *args)
{
    struct exporting *x = NEW(struct exporting);
    a->own = x;
    a->own_gone = export_gone;
    if (!query_init(&x->y, a, args, NULL))
        return;
    x->looked_to = sched_walk_end(a->q->sched);
    a->slice = export_slice;
}
