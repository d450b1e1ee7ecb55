/* A run of chosen messages, from its beginning to its end. The messages are not listed anywhere:
 * the run counts them, then goes through the queue again in order of age, in slices, and leaves
 * alone what has come since it began. */
#include "qmgr/live.h"

#include "base/must.h"

#include <stdlib.h>

enum {
    KEPT_BYTES = 256 << 10, /* names of sites with a connection that is kept */
    LOOK_MS = 50,         /* between looks at what is waited for */
    WORD_MS = 2000,       /* without anything to say: a sign of life */
    CLOSE_MS = 10000,     /* for the last connections to end */
    UNREACHED_MAX = 3,
};

static void turn(void *ctx);

struct live *live_new(struct admin_ask *a)
{
    struct live *l = NEW(struct live);
    l->q = a->q;
    l->ask = a;
    l->id = ++a->q->next_live;
    l->window = 1;
    l->may_say = true;
    l->arena = arena_new(KEPT_BYTES);
    list_init(&l->runs);
    hash_init(&l->ahead, loop_random_u64(a->q->env->loop), 0);
    buf_init(&l->out, LIVE_OUT_MAX);
    buf_init(&l->words, LIVE_WORDS_MAX);
    buf_init(&l->who, LIVE_WORDS_MAX);
    buf_puts(&l->who, buf_span(&a->who));
    loop_timer_init(&l->turn, turn, l);
    l->next = a->q->lives;
    a->q->lives = l;
    return l;
}

void live_free(struct live *l)
{
    struct live **at = &l->q->lives;
    while (*at != l)
        at = &(*at)->next;
    *at = l->next;
    LIST_EACH(n, &l->runs)
        live_run_free(l, CONTAINER(n, struct live_run, node));
    for (struct hash_node *n; (n = hash_next(&l->ahead, NULL)) != NULL;)
        live_run_was(l, CONTAINER(n, struct live_ahead, node)->seq);
    hash_free(&l->ahead);
    loop_timer_stop(l->q->env->loop, &l->turn);
    query_free(&l->y);
    arena_free(&l->arena);
    buf_free(&l->out);
    buf_free(&l->words);
    buf_free(&l->who);
    free(l);
}

void live_soon(struct live *l) { loop_timer_in(l->q->env->loop, &l->turn, 1); }

/* When it is known how many, once: after the count, or when all of them are going. */
static void note(struct live *l, uint64_t messages)
{
    struct events *e = l->q->env->events;
    struct span who = buf_span(&l->who), words = buf_span(&l->words);
    if (!who.n)
        return;
    event_begin(e, EVENT_queue_run);
    event_int(e, FIELD_count, (int64_t)messages);
    event_str(e, FIELD_text, who);
    event_str(e, FIELD_reason, words);
    event_end(e);
    log_line(e, EVENT_INFO, "queue run asked by %.*s: %s%.*s, %llu message%s", SPAN_ARG(who),
             words.n ? "of " : "of all", SPAN_ARG(words), (unsigned long long)messages,
             messages == 1 ? "" : "s");
    buf_reset(&l->who);
}

void live_begin(struct live *l)
{
    l->said_ms = loop_mono_ms(l->q->env->loop);
    l->last_age = sched_walk_end(l->q->sched);
    l->phase = LIVE_COUNT;
    live_soon(l);
}

/* Whether what is held may be meant. */
static bool tries_held(const struct live *l)
{
    struct queue_facts held = { .known = QUERY_FIELD(QUEUE_STATE), .state = QUEUE_HELD };
    struct queue_facts quarantined = { .known = held.known, .state = QUEUE_QUARANTINED };
    return queue_filter_match(l->y.filter, &held) != QUEUE_NO ||
           queue_filter_match(l->y.filter, &quarantined) != QUEUE_NO;
}

void live_abandon(struct live *l)
{
    l->ask = NULL;
    if (tries_held(l)) { /* and is to be held again: it goes on as it is, and is not told */
        buf_free(&l->out);
        l->silent = true;
        l->window = LIVE_WINDOW_MAX;
        live_soon(l);
        return;
    }
    if (l->phase == LIVE_COUNT)
        query_again(&l->y, false);
    else if (l->busy) /* the last one comes again */
        l->y.cursor--;
    query_changed(&l->y);
    l->phase = LIVE_ALONE;
    LIST_EACH(n, &l->runs) /* the others have been set going */
        live_run_free(l, CONTAINER(n, struct live_run, node));
    buf_free(&l->out);
    if (!l->chosen)
        sched_run_queue(l->q->sched); /* in one step, whatever their number */
    live_soon(l);
}

/* --- through the queue --- */

static bool turn_over(const struct live *l, int64_t begun_ns)
{
    return query_time_is_up(&l->y, begun_ns);
}

/* The next message that is meant, unless the turn is long enough already. */
static enum query_got next_message(struct live *l, int64_t begun_ns, struct sched_msg_info *m)
{
    enum query_got got;
    while ((got = query_next(&l->y, begun_ns, m)) == QUERY_ONE) {
        if (m->age <= l->last_age && !live_run_was(l, m->seq))
            break;
        if (turn_over(l, begun_ns))
            return QUERY_LATER;
    }
    return got;
}

static void count(struct live *l, int64_t begun_ns)
{
    if ((l->by_state ? query_note(&l->y, begun_ns, &l->sum)
                     : query_count(&l->y, begun_ns, true, &l->sum)) == QUERY_END) {
        l->total = l->sum.messages;
        query_again(&l->y, true);
        l->phase = LIVE_RUN;
        note(l, l->total);
        live_say_total(l);
    }
    live_soon(l);
}

static void alone(struct live *l, int64_t begun_ns)
{
    struct sched_msg_info m;
    enum query_got next;
    while ((next = next_message(l, begun_ns, &m)) == QUERY_ONE) {
        l->begun += !l->y.rest;
        live_run_alone(l, &m);
        query_changed(&l->y);
        if (turn_over(l, begun_ns))
            break;
    }
    loop_hook_ask(l->q->env->loop, &l->q->work);
    if (next == QUERY_END) {
        note(l, l->begun);
        live_free(l);
    } else {
        live_soon(l);
    }
}

/* --- with somebody who looks on --- */

static void close_connections(struct live *l)
{
    l->phase = LIVE_CLOSE;
    l->close_ms = loop_mono_ms(l->q->env->loop) + CLOSE_MS;
    while (l->kept_count) { /* the newest first */
        l->kept_count--;
        sched_unkeep(l->q->sched, l->kept[l->kept_count].site, l->kept[l->kept_count].keeper);
        l->closing += deliverers_let_go(l->q, l->kept[l->kept_count].keeper) && !l->silent;
    }
}

static void end(struct live *l)
{
    struct admin_ask *a = l->ask;
    if (a)
        a->own = NULL;
    live_free(l);
    if (a)
        admin_end(a, ADMIN_OK, "");
}

static bool room(const struct live *l)
{
    return !l->busy && l->run_count < l->window && l->out.len < LIVE_OUT_LOW;
}

static void run(struct live *l, int64_t begun_ns)
{
    struct sched_msg_info m;
    enum query_got next = QUERY_ONE;
    bool was = l->always;
    LIST_EACH(n, &l->runs)
        live_run_look(l, CONTAINER(n, struct live_run, node));
    if (l->unreached >= UNREACHED_MAX && !l->patient)
        l->always = false; /* the rest waits with its site, and is said to */
    l->gave_up = l->gave_up || (was && !l->always);
    while (room(l) && (next = next_message(l, begun_ns, &m)) == QUERY_ONE) {
        live_run_begin(l, &m);
        query_changed(&l->y);
        if (turn_over(l, begun_ns))
            break;
    }
    if (next == QUERY_END && !l->run_count)
        close_connections(l);
    loop_hook_ask(l->q->env->loop, &l->q->work);
    bool more = next == QUERY_LATER || l->busy || (next == QUERY_ONE && room(l)) ||
                l->phase == LIVE_CLOSE;
    loop_timer_in(l->q->env->loop, &l->turn, more ? 1 : LOOK_MS);
}

static void sign_of_life(struct live *l)
{
    int64_t now_ms = loop_mono_ms(l->q->env->loop);
    if (l->ask && l->may_say && !l->out.len && now_ms - l->said_ms >= WORD_MS)
        buf_putz(&l->out, "{\"alive\":true}\n");
}

static void turn(void *ctx)
{
    struct live *l = ctx;
    int64_t begun_ns = loop_fresh_ns(l->q->env->loop);
    if (l->q->finishing || !l->q->started)
        return;
    admin_slice_begin(&l->slice, l->q);
    l->y.slice = &l->slice;
    if (l->phase == LIVE_ALONE) {
        alone(l, begun_ns);
        return;
    }
    if (l->phase == LIVE_COUNT)
        count(l, begun_ns);
    else if (l->phase == LIVE_RUN)
        run(l, begun_ns);
    else
        loop_timer_in(l->q->env->loop, &l->turn, LOOK_MS);
    if (l->phase == LIVE_CLOSE &&
        (!l->closing || loop_mono_ms(l->q->env->loop) >= l->close_ms)) {
        l->phase = LIVE_END;
        live_say_end(l);
    }
    if (l->phase == LIVE_END && !l->out.len) { /* else it comes back when that is asked for */
        end(l);
        return;
    }
    sign_of_life(l);
    live_flush(l);
}
