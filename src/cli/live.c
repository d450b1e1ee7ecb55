#include "cli/live.h"

#include "base/list.h"
#include "base/must.h"
#include "cli/ask.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

enum { BLOCK_MAX = 1 << 20, ROW_MAX = 1 << 20 };

/* What is shown in one piece: a delivery, or what else is said of a message. In the order of the
 * messages; those of a message stand in front of its own last one. */
struct block {
    struct list node;
    uint64_t run, job; /* job 0: the message's own */
    json_t *about;     /* the job's row */
    struct buf text;
    bool over;
    bool late; /* what a connection still says when its last delivery has ended */
};

struct show {
    const struct live_voice *voice;
    void *ctx;
    struct list blocks;
    struct buf out;
};

static struct block *block_new(struct show *s, struct list *before, uint64_t run, uint64_t job)
{
    struct block *b = NEW(struct block);
    b->run = run;
    b->job = job;
    buf_init(&b->text, BLOCK_MAX);
    list_append(before ? before : &s->blocks, &b->node);
    return b;
}

static void block_free(struct block *b)
{
    list_remove(&b->node);
    json_decref(b->about);
    buf_free(&b->text);
    free(b);
}

static struct block *find_run(struct show *s, uint64_t run)
{
    LIST_EACH(n, &s->blocks) {
        struct block *b = CONTAINER(n, struct block, node);
        if (b->run == run && !b->job)
            return b;
    }
    return NULL;
}

static struct block *find_job(struct show *s, uint64_t job)
{
    LIST_EACH(n, &s->blocks) {
        struct block *b = CONTAINER(n, struct block, node);
        if (b->job == job && job)
            return b;
    }
    return NULL;
}

/* The first block as it grows; then the next. */
static void print(struct show *s)
{
    for (struct list *n; (n = list_first(&s->blocks)) != NULL;) {
        struct block *b = CONTAINER(n, struct block, node);
        buf_puts(&s->out, buf_span(&b->text));
        buf_reset(&b->text);
        if (!b->over)
            break;
        block_free(b);
    }
    cli_print(&s->out);
}

/* --- rows --- */

static void on_run(struct show *s, const json_t *row, const char *name,
                   void (*say)(void *, const json_t *, struct buf *))
{
    struct block *b = block_new(s, NULL, (uint64_t)row_int(row, name), 0);
    if (say)
        say(s->ctx, row, &b->text);
    b->over = strcmp(name, "locked") == 0;
    struct block *head = b;
    if (!b->over) { /* its head stands before what it consists of */
        head = block_new(s, &b->node, b->run, 0);
        buf_puts(&head->text, buf_span(&b->text));
        buf_reset(&b->text);
        head->run = 0;
        head->over = true;
    }
}

static void on_job(struct show *s, json_t *row)
{
    struct block *own = find_run(s, (uint64_t)row_int(row, "run_number"));
    struct block *b = block_new(s, own ? &own->node : NULL, own ? own->run : 0,
                                (uint64_t)row_int(row, "job"));
    b->about = json_incref(row);
}

static void on_talk(struct show *s, const json_t *row)
{
    uint64_t job = (uint64_t)row_int(row, "job");
    struct block *b = find_job(s, job);
    if (!b) {
        b = block_new(s, NULL, 0, job);
        b->late = true;
    }
    if (s->voice->talk)
        s->voice->talk(s->ctx, row, b->about, b->late || b->over, &b->text);
    if (b->late && span_eq(row_text(row, "talk"), SPAN("closed")))
        b->over = true;
}

static void on_result(struct show *s, const json_t *row)
{
    struct block *b = find_job(s, (uint64_t)row_int(row, "job"));
    if (!b)
        b = find_run(s, (uint64_t)row_int(row, "result_of"));
    if (b && s->voice->result)
        s->voice->result(s->ctx, row, &b->text);
}

static void on_over(struct block *b)
{
    if (b)
        b->over = true;
}

static void plain(struct show *s, const json_t *row,
                  void (*say)(void *, const json_t *, struct buf *))
{
    struct block *b = block_new(s, NULL, 0, 0);
    b->over = true;
    if (say)
        say(s->ctx, row, &b->text);
}

static void take(struct show *s, json_t *row)
{
    if (json_object_get(row, "talk"))
        on_talk(s, row);
    else if (json_object_get(row, "result_of"))
        on_result(s, row);
    else if (json_object_get(row, "run"))
        on_run(s, row, "run", s->voice->run);
    else if (json_object_get(row, "locked"))
        on_run(s, row, "locked", s->voice->locked);
    else if (json_object_get(row, "ran"))
        on_over(find_run(s, (uint64_t)row_int(row, "ran")));
    else if (json_object_get(row, "over"))
        on_over(find_job(s, (uint64_t)row_int(row, "job")));
    else if (json_object_get(row, "job"))
        on_job(s, row);
    else if (json_object_get(row, "notice") && s->voice->notice)
        s->voice->notice(s->ctx, row, &s->out);
    else if (json_object_get(row, "total"))
        plain(s, row, s->voice->total);
    else if (json_object_get(row, "summary"))
        plain(s, row, s->voice->summary);
    else if (json_object_get(row, "alive") && s->voice->alive)
        s->voice->alive(s->ctx, &s->out);
    print(s);
}

static void take_line(struct show *s, struct span line)
{
    json_t *row = ctl_json(line, ROW_MAX);
    if (row)
        take(s, row);
    json_decref(row);
}

int cli_live(struct ctl *c, const char *const *args, size_t n, const struct live_voice *voice,
               void *ctx)
{
    struct show s = { .voice = voice, .ctx = ctx };
    struct span line;
    list_init(&s.blocks);
    buf_init(&s.out, 64 << 20);
    enum ctl_got got = ctl_ask(c, "live", args, n) ? CTL_ROW : CTL_ERROR;
    while (got == CTL_ROW && (got = ctl_next(c, &line)) == CTL_ROW)
        take_line(&s, line);
    LIST_EACH(b, &s.blocks) /* it ended in the middle */
        CONTAINER(b, struct block, node)->over = true;
    print(&s);
    buf_free(&s.out);
    return got == CTL_OK ? EX_OK : c->exit;
}
