/* line: who waits, in turns by sender over a whole site. A line is what waits of one sender at one
 * destination; a seat is one sender's at one site, with a turn for each of its lines in its turn.
 * As long as few wait at a site they share a line at each destination, and all lines one seat;
 * and nothing is looked up. */
#include "sched/inside.h"

#include <stdlib.h>

/* So many of any sender stand together at a site: few are soon gone, and most queues are short. */
enum { TOGETHER = 8 };

struct sched_seat_more { /* of one sender */
    struct sched_seat seat;
    struct hash_node node;
    uint64_t key[2]; /* the turns, the sender */
};

struct sched_line_more { /* of a second, third ... sender */
    struct sched_line line;
    struct hash_node node;
    uint64_t key[2]; /* the queue, the sender */
};

static struct span key_of(const uint64_t key[2])
{
    return span_of((const char *)key, 2 * sizeof *key);
}

/* A sender's number is a keyed hash already: nobody chooses it. */
static uint64_t hash_of(const uint64_t key[2])
{
    uint64_t h = (key[0] ^ key[1]) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 32;
}

/* Up to the first + or =, or the first digit behind a - _ or . : the rest of an address that is
 * made for each message (of a list, or to have its bounces) says nothing about who sent it. */
static struct span sender_stem(struct span local)
{
    for (size_t i = 1; i < local.n; i++) {
        char c = local.p[i], before = local.p[i - 1];
        bool part = before == '-' || before == '_' || before == '.';
        if (c == '+' || c == '=' || (part && ascii_isdigit(c)))
            return span_to(local, i);
    }
    return local;
}

/* A number that stands for it as long as anything of it waits; never 0. */
static uint64_t sender_of(const struct sched *s, const struct sched_rcpt *r)
{
    const struct sched_msg *m = sched_msg_of(r);
    struct span local = span_of(sched_msg_text(m), m->sender_len);
    if (m->sender_whole)
        local = span_to(local, span_rfind(local, '@'));
    uint64_t domain = (uintptr_t)m->sender_domain;
    return (hash_bytes(s->cfg.seed, sender_stem(local)) ^ domain * 0x9e3779b97f4a7c15u) | 1;
}

static bool few(const struct sched_site *t) { return t->n[SCHED_READY] <= TOGETHER; }

/* --- seats --- */

void sched_turns_init(struct sched_turns *t)
{
    list_init(&t->seats);
    t->own.turns = t;
    list_init(&t->own.lines);
    list_init(&t->own.turn);
}

static struct sched_seat *seat_for(struct sched *s, const struct sched_line *l)
{
    struct sched_site *site = l->dest->site;
    struct sched_turns *t = l->queue == &l->dest->ready ? &site->ready : &site->backlog;
    if (!l->sender || few(site))
        return &t->own;
    uint64_t key[2] = { (uintptr_t)t, l->sender };
    struct hash_node *n = hash_get_by(&s->seats, hash_of(key), key_of(key));
    if (n)
        return &CONTAINER(n, struct sched_seat_more, node)->seat;
    if (s->seats.n >= s->seats.max)
        return &t->own;
    struct sched_seat_more *m = NEW(struct sched_seat_more);
    m->seat.turns = t;
    list_init(&m->seat.lines);
    list_init(&m->seat.turn);
    memcpy(m->key, key, sizeof key);
    hash_add_by(&s->seats, &m->node, hash_of(m->key), key_of(m->key));
    return &m->seat;
}

static void stand_up(struct sched *s, struct sched_line *l)
{
    struct sched_seat *seat = l->seat;
    if (!seat)
        return;
    list_remove(&l->turn);
    l->seat = NULL;
    if (!list_empty(&seat->lines))
        return;
    list_remove(&seat->turn);
    seat->turns->n--;
    if (seat == &seat->turns->own)
        return;
    struct sched_seat_more *m = CONTAINER(seat, struct sched_seat_more, seat);
    hash_remove(&s->seats, &m->node);
    free(m);
}

static void sit_down(struct sched *s, struct sched_line *l)
{
    l->seat = seat_for(s, l);
    list_append(&l->seat->lines, &l->turn);
    if (list_linked(&l->seat->turn))
        return;
    list_append(&l->seat->turns->seats, &l->seat->turn);
    l->seat->turns->n++;
}

void sched_queue_open(struct sched *s, struct sched_queue *q)
{
    for (struct list *l = q->lines.next; l != &q->lines; l = l->next)
        sit_down(s, CONTAINER(l, struct sched_line, link));
}

void sched_queue_shut(struct sched *s, struct sched_queue *q)
{
    for (struct list *l = q->lines.next; l != &q->lines; l = l->next)
        stand_up(s, CONTAINER(l, struct sched_line, link));
}

struct sched_line *sched_turns_next(const struct sched_turns *t)
{
    const struct list *seat = list_first(&t->seats);
    if (!seat)
        return NULL;
    const struct list *lines = &CONTAINER(seat, struct sched_seat, turn)->lines;
    return CONTAINER(list_first(lines), struct sched_line, turn);
}

/* A line that has grown at the seat of all gets one of its own. */
void sched_line_pass(struct sched *s, struct sched_line *l)
{
    struct sched_seat *seat = l->seat;
    if (!seat) /* those that go first */
        return;
    list_remove(&seat->turn);
    list_append(&seat->turns->seats, &seat->turn);
    if (seat == &seat->turns->own && l->sender && !few(l->dest->site)) {
        stand_up(s, l);
        sit_down(s, l);
        return;
    }
    list_remove(&l->turn);
    list_append(&seat->lines, &l->turn);
}

static void go_first(struct sched_line *l)
{
    struct sched_seat *seat = l->seat;
    list_remove(&l->turn);
    list_prepend(&seat->lines, &l->turn);
    list_remove(&seat->turn);
    list_prepend(&seat->turns->seats, &seat->turn);
}

void sched_queue_first(struct sched_queue *q)
{
    struct list *l = list_first(&q->lines);
    if (l)
        go_first(CONTAINER(l, struct sched_line, link));
}

/* --- lines --- */

static void line_init(struct sched_line *l, struct sched_dest *d, struct sched_queue *q)
{
    list_init(&l->rcpts);
    list_init(&l->turn);
    list_init(&l->link);
    l->dest = d;
    l->queue = q;
}

void sched_queue_init(struct sched_queue *q, struct sched_dest *d)
{
    line_init(&q->own, d, q);
    list_init(&q->lines);
    q->more = 0;
}

void sched_granted_init(struct sched_line *l, struct sched_dest *d) { line_init(l, d, NULL); }

static struct sched_line *find(struct sched *s, struct sched_queue *q, uint64_t sender)
{
    uint64_t key[2] = { (uintptr_t)q, sender };
    struct hash_node *n = q->more ? hash_get_by(&s->lines, hash_of(key), key_of(key)) : NULL;
    return n ? &CONTAINER(n, struct sched_line_more, node)->line : NULL;
}

static struct sched_line *make(struct sched *s, struct sched_queue *q, uint64_t sender)
{
    struct sched_line_more *m = NEW(struct sched_line_more);
    line_init(&m->line, q->own.dest, q);
    m->line.sender = sender;
    m->key[0] = (uintptr_t)q;
    m->key[1] = sender;
    hash_add_by(&s->lines, &m->node, hash_of(m->key), key_of(m->key));
    q->more++;
    return &m->line;
}

/* With very many senders waiting, the rest of them share the queue's own line. */
static struct sched_line *line_for(struct sched *s, struct sched_queue *q, uint64_t sender)
{
    struct sched_line *l = find(s, q, sender);
    if (l)
        return l;
    if (list_empty(&q->own.rcpts))
        q->own.sender = sender;
    if (q->own.sender == sender)
        return &q->own;
    if (!few(q->own.dest->site) && s->lines.n < s->lines.max)
        return make(s, q, sender);
    q->own.sender = 0;
    return &q->own;
}

void sched_queue_add(struct sched *s, struct sched_queue *q, struct sched_rcpt *r, bool front)
{
    struct sched_line *l = line_for(s, q, sender_of(s, r));
    if (front)
        list_prepend(&l->rcpts, &r->at.link);
    else
        list_append(&l->rcpts, &r->at.link);
    if (!list_linked(&l->link))
        list_append(&q->lines, &l->link);
    if (l->dest->open && !l->seat)
        sit_down(s, l);
    if (front && l->seat)
        go_first(l);
}

/* Where it stood may be empty now. */
void sched_line_left(struct sched *s, struct list *rcpts)
{
    struct sched_line *l = CONTAINER(rcpts, struct sched_line, rcpts);
    struct sched_queue *q = l->queue;
    if (!q)
        return;
    list_remove(&l->link);
    stand_up(s, l);
    if (l == &q->own)
        return;
    struct sched_line_more *m = CONTAINER(l, struct sched_line_more, line);
    hash_remove(&s->lines, &m->node);
    q->more--;
    free(m);
}
