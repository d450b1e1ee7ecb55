#include "cli/live.h"

#include "base/list.h"
#include "base/must.h"
#include "cli/ask.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

enum { BLOCK_MAX = 1 << 20, ROW_MAX = 1 << 20, PATIENCE_MS = 1000 };

/* What is shown in one piece: a delivery, or what else is said of a message. In the order of the
 * messages; those of a message stand in front of its own last one, behind its head. */
struct block {
    struct list node;
    uint64_t run, job; /* job 0: the message's own; run 0: of no message */
    json_t *about;     /* the job's row, or the message's */
    struct buf text;
    bool head, over;
    bool shown; /* the message's own: something of it is */
    bool late; /* what a connection still says when its last delivery has ended */
};

struct show {
    const struct live_voice *voice;
    void *ctx;
    struct list blocks;
    uint64_t last; /* the run that was shown last */
    const struct block *front; /* the one that grows, */
    int64_t since_ms;          /* and when it said something, or came to the front */
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
        if (b->run == run && run && !b->job && !b->head)
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

static void put(struct show *s, struct block *b)
{
    struct block *own = find_run(s, b->run);
    if (b->text.len && own) {
        if (own->shown && s->last != b->run && s->voice->again)
            s->voice->again(s->ctx, own->about, &s->out);
        own->shown = true;
    }
    s->last = b->text.len ? b->run : s->last;
    buf_puts(&s->out, buf_span(&b->text));
    buf_reset(&b->text);
}

/* All of what it belongs to: from here on, that is the rest of a message. */
static bool is_over(const struct show *s, const struct block *of)
{
    LIST_EACH(n, &s->blocks) {
        const struct block *b = CONTAINER(n, struct block, node);
        if (!b->over && (b == of || (b->run && b->run == of->run)))
            return false;
    }
    return true;
}

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Messages behind the first one that is not over, as each of them is. */
static void print_others(struct show *s)
{
    LIST_EACH(n, &s->blocks) {
        struct block *b = CONTAINER(n, struct block, node);
        if (!is_over(s, b))
            continue;
        put(s, b);
        block_free(b);
    }
}

/* The first block as it grows, then the next. While it is slow, the others as well, where the
 * voice can take up the thread again. */
static void print(struct show *s)
{
    struct list *n;
    while ((n = list_first(&s->blocks)) != NULL) {
        struct block *b = CONTAINER(n, struct block, node);
        if (b->text.len || b != s->front)
            s->since_ms = now_ms();
        s->front = b;
        put(s, b);
        if (!b->over)
            break;
        block_free(b);
    }
    if (n && s->voice->again && now_ms() - s->since_ms >= PATIENCE_MS)
        print_others(s);
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
    b->about = json_incref((json_t *)row);
    if (!b->over) { /* its head stands before what it consists of */
        struct block *head = block_new(s, &b->node, b->run, 0);
        buf_puts(&head->text, buf_span(&b->text));
        buf_reset(&b->text);
        head->head = head->over = true;
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
