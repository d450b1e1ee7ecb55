/* line: who waits at a destination, in turns by sender. As long as all that wait there have one
 * sender, or are few, they stand in the queue's own line and nothing is looked up. */
#include "sched/inside.h"

#include <stdlib.h>

/* So many of any sender stand in it together: few are soon gone, and most queues are short. */
enum { TOGETHER = 32 };

struct sched_line_more { /* of a second, third ... sender */
    struct sched_line line;
    struct hash_node node;
    const void *key[2]; /* the queue, the sender */
};

static void line_init(struct sched_line *l, struct sched_queue *q, const void *sender)
{
    list_init(&l->rcpts);
    list_init(&l->turn);
    l->queue = q;
    l->sender = sender;
}

void sched_queue_init(struct sched_queue *q)
{
    line_init(&q->own, q, NULL);
    list_init(&q->turns);
    q->more = 0;
}

void sched_granted_init(struct sched_line *l) { line_init(l, NULL, NULL); }

static struct sched_line *find(struct sched *s, struct sched_queue *q, const void *sender)
{
    const void *key[2] = { q, sender };
    struct hash_node *n = q->more ? hash_get(&s->lines, span_of((const char *)key, sizeof key))
                                  : NULL;
    return n ? &CONTAINER(n, struct sched_line_more, node)->line : NULL;
}

/* With very many senders waiting, the rest of them share the queue's own line. */
static struct sched_line *make(struct sched *s, struct sched_queue *q, const void *sender)
{
    if (s->lines.n >= s->lines.max)
        return &q->own;
    struct sched_line_more *m = NEW(struct sched_line_more);
    line_init(&m->line, q, sender);
    m->key[0] = q;
    m->key[1] = sender;
    hash_add(&s->lines, &m->node, span_of((const char *)m->key, sizeof m->key));
    q->more++;
    return &m->line;
}

static struct sched_line *line_for(struct sched *s, struct sched_queue *q,
                                   const struct sched_rcpt *r)
{
    const void *sender = sched_msg_of(r)->cell->key.c;
    struct sched_line *l = find(s, q, sender);
    if (l)
        return l;
    if (list_empty(&q->own.rcpts)) {
        q->own.sender = sender;
        q->added = 0;
    }
    bool same = q->own.sender == sender;
    if (!same && q->added >= TOGETHER)
        return make(s, q, sender);
    if (!same)
        q->own.sender = NULL;
    q->added += q->added < TOGETHER;
    return &q->own;
}

void sched_queue_add(struct sched *s, struct sched_queue *q, struct sched_rcpt *r, bool front)
{
    struct sched_line *l = line_for(s, q, r);
    if (!front) {
        list_append(&l->rcpts, &r->at.link);
        if (!list_linked(&l->turn))
            list_append(&q->turns, &l->turn);
        return;
    }
    list_prepend(&l->rcpts, &r->at.link);
    list_remove(&l->turn);
    list_prepend(&q->turns, &l->turn);
}

struct list *sched_queue_turn(struct sched_queue *q)
{
    struct list *t = list_first(&q->turns);
    MUST(t);
    list_remove(t);
    list_append(&q->turns, t);
    return &CONTAINER(t, struct sched_line, turn)->rcpts;
}

/* Where it stood may be empty now. */
void sched_line_left(struct sched *s, struct list *rcpts)
{
    struct sched_line *l = CONTAINER(rcpts, struct sched_line, rcpts);
    struct sched_queue *q = l->queue;
    if (!q)
        return;
    list_remove(&l->turn);
    if (l == &q->own)
        return;
    struct sched_line_more *m = CONTAINER(l, struct sched_line_more, line);
    hash_remove(&s->lines, &m->node);
    q->more--;
    free(m);
}
