/* What recipients have become: router says it at RCPT, the envelope has it at the commit. Most
 * recipients are themselves and take no room here. */
#include "smtpd/inside.h"

#include "base/must.h"
#include "proto/lists.h"

#include <stdlib.h>
#include <string.h>

enum {
    TARGETS_BYTES_MAX = 384 << 10, /* of one transaction, as the envelope will have them */
    TARGETS_ARENA_MAX = 16 << 20,
    RCPT_BYTES = 16,               /* what a recipient takes beside its texts */
};

struct item {
    struct list node;
    struct span rcpt; /* as the client named it */
    bool discard;
    struct envelope_rcpt *to; /* none: itself */
    size_t count;
};

struct targets {
    struct arena *arena;
    struct list items; /* in the order of the RCPTs */
    struct span hold;
    size_t discards, bytes, count;
};

static struct span keep(struct targets *t, struct span s)
{
    struct span copy = arena_dup(t->arena, s);
    MUST(copy.p); /* bounded below by TARGETS_BYTES_MAX */
    return copy;
}

/* "rfc822;" and xtext (RFC 3461 4.2 and 4); empty where that cannot say it. */
static struct span original(struct targets *t, struct span addr)
{
    struct buf b;
    buf_init(&b, ENVELOPE_TEXT_MAX);
    buf_putz(&b, "rfc822;");
    for (size_t i = 0; i < addr.n; i++) {
        unsigned char c = (unsigned char)addr.p[i];
        if (c > 126) {
            b.failed = true;
            break;
        }
        if (c < 33 || c == '+' || c == '=')
            buf_printf(&b, "+%02X", c);
        else
            buf_putc(&b, (char)c);
    }
    struct span s = b.failed ? SPAN_NONE : keep(t, buf_span(&b));
    buf_free(&b);
    return s;
}

static struct targets *targets_of(struct session *s)
{
    if (s->targets)
        return s->targets;
    struct targets *t = s->targets = NEW(struct targets);
    t->arena = arena_new(TARGETS_ARENA_MAX);
    list_init(&t->items);
    return t;
}

/* How many there are and what they take; false: malformed, or too much. */
static bool measure(const struct targets *t, const struct list_verdict *v, size_t *count_r,
                    size_t *bytes_r)
{
    struct wire w = wire_reader(v->targets);
    struct envelope_rcpt e;
    *count_r = 0;
    *bytes_r = v->rcpt.n + RCPT_BYTES; /* to be told of itself */
    for (; list_next_target(&w, &e); ++*count_r)
        *bytes_r += e.addr.n + e.sender.n + v->rcpt.n + RCPT_BYTES;
    return !w.bad && t->bytes + *bytes_r <= TARGETS_BYTES_MAX &&
           t->count + *count_r <= ENVELOPE_RCPTS_MAX;
}

bool targets_add(struct session *s, const struct list_verdict *v)
{
    struct targets *t = targets_of(s);
    struct wire w = wire_reader(v->targets);
    size_t count, bytes;
    if (!measure(t, v, &count, &bytes))
        return false;
    struct item *item = arena_alloc(t->arena, sizeof *item);
    struct envelope_rcpt *to = arena_alloc(t->arena, (count ? count : 1) * sizeof *to);
    if (!item || !to)
        return false;
    *item = (struct item){ .rcpt = keep(t, v->rcpt), .discard = v->discard, .to = to,
                           .count = count };
    struct span orcpt = count ? original(t, v->rcpt) : SPAN_NONE;
    for (size_t i = 0; i < count && list_next_target(&w, &to[i]); i++) {
        to[i].addr = keep(t, to[i].addr);
        to[i].sender = keep(t, to[i].sender);
        to[i].orcpt = orcpt;
    }
    list_append(&t->items, &item->node);
    t->discards += v->discard;
    t->bytes += bytes;
    t->count += count;
    if (v->hold.n && !t->hold.n)
        t->hold = keep(t, v->hold);
    return true;
}

bool targets_discard_all(const struct session *s)
{
    const struct envelope *env = s->targets ? smtp_server_envelope(s->server) : NULL;
    return env && s->targets->discards && s->targets->discards >= env->rcpt_count;
}

/* --- the envelope --- */

struct build {
    struct targets *t;
    struct envelope_rcpt *rcpts;
    struct hash_node *nodes;
    struct hash seen; /* addresses, so that nobody gets it twice */
    size_t n, room;
};

static void put(struct build *b, const struct envelope_rcpt *r)
{
    MUST(b->n < b->room);
    b->rcpts[b->n++] = *r;
}

/* The first of a name stays. */
static void add(struct build *b, const struct envelope_rcpt *r)
{
    if (hash_get(&b->seen, r->addr))
        return;
    hash_add(&b->seen, &b->nodes[b->n], r->addr);
    put(b, r);
}

/* What the sender is told of at once, in the place of each success: that a list has it (RFC 3461
 * 5.2.7.1), or that it went on to several (5.2.7.3, by its way c). 0: nothing; one address only
 * hears of the success itself (5.2.7.2). */
static uint8_t told_at_once(const struct envelope_rcpt *as_named, const struct item *item)
{
    size_t members = 0;
    for (size_t i = 0; i < item->count; i++)
        members += item->to[i].own_sender;
    if (!(as_named->notify & NOTIFY_SUCCESS))
        return 0;
    if (members == item->count)
        return ENVELOPE_RCPT_LIST;
    return item->count > 1 ? ENVELOPE_RCPT_ALIAS : 0;
}

static void add_expanded(struct build *b, const struct envelope_rcpt *as_named,
                         const struct item *item)
{
    uint8_t told = told_at_once(as_named, item), notify = as_named->notify;
    if (told) {
        struct envelope_rcpt r = *as_named;
        r.notify = NOTIFY_SUCCESS;
        r.flags |= told;
        put(b, &r);
        notify &= (uint8_t)~NOTIFY_SUCCESS;
        notify = notify ? notify : NOTIFY_NEVER;
    }
    for (size_t i = 0; i < item->count; i++) {
        struct envelope_rcpt r = item->to[i];
        /* Who has another sender is told about by the wishes of that one, and nothing of what the
         * first one said goes with it (5.2.7.1 b). */
        r.notify = r.own_sender ? 0 : notify;
        if (r.own_sender)
            r.orcpt = SPAN_NONE;
        else if (as_named->orcpt.n)
            r.orcpt = as_named->orcpt;
        add(b, &r);
    }
}

/* The item of the next recipient that is named; those the engine had no room for are passed. */
static struct item *item_of(struct targets *t, struct list **at, struct span rcpt)
{
    for (struct list *n = *at; n != &t->items; n = n->next) {
        struct item *item = CONTAINER(n, struct item, node);
        if (span_eq(item->rcpt, rcpt)) {
            *at = n->next;
            return item;
        }
    }
    return NULL;
}

static void build(struct build *b, const struct envelope *env)
{
    struct list *at = b->t->items.next;
    for (size_t i = 0; i < env->rcpt_count; i++) {
        const struct envelope_rcpt *r = &env->rcpts[i];
        struct item *item = item_of(b->t, &at, r->addr);
        if (item && item->discard)
            continue;
        if (item && item->count)
            add_expanded(b, r, item);
        else
            add(b, r);
    }
}

bool targets_apply(struct session *s, const struct envelope *env, struct envelope *env_r)
{
    struct targets *t = s->targets;
    struct build b = { .t = t, .room = 2 * env->rcpt_count + t->count };
    b.rcpts = arena_alloc(t->arena, must_mul(b.room, sizeof *b.rcpts));
    b.nodes = must_calloc(b.room ? b.room : 1, sizeof *b.nodes);
    hash_init(&b.seen, loop_random_u64(s->d->env->loop), 0);
    if (b.rcpts)
        build(&b, env);
    hash_free(&b.seen);
    free(b.nodes);
    *env_r = *env;
    env_r->rcpts = b.rcpts;
    env_r->rcpt_count = b.n;
    env_r->hold = t->hold;
    return b.rcpts != NULL && b.n <= ENVELOPE_RCPTS_MAX;
}

void targets_free(struct session *s)
{
    if (!s->targets)
        return;
    arena_free(&s->targets->arena);
    free(s->targets);
    s->targets = NULL;
}
