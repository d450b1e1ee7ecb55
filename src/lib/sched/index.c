/* index: what is told to the index of groups, and what its cells mean. */
#include "sched/inside.h"

#define OTHER_CLIENTS "(others)" /* no address has so many bytes */

enum {
    CLASSES_MAX = 4096,     /* of reasons */
    ADDRESSES_MAX = 100000, /* of senders, told apart; more are one group for each domain */
    CLIENTS_MAX = 100000,   /* told apart; more are one group */
};

void sched_index_init(struct sched *s)
{
    queue_index_init(&s->index, s->cfg.seed);
    hash_init(&s->classes, s->cfg.seed, CLASSES_MAX);
    hash_init(&s->listeners, s->cfg.seed, 0);
    hash_init(&s->addresses, s->cfg.seed, ADDRESSES_MAX);
    hash_init(&s->clients, s->cfg.seed, CLIENTS_MAX);
    s->many_classes = sched_name_get(&s->classes, SPAN(SCHED_OTHER_REASONS));
    s->many_addresses = sched_name_get(&s->addresses, SPAN(SCHED_OTHER_SENDERS));
    s->many_clients = sched_name_get(&s->clients, SPAN(OTHER_CLIENTS));
}

void sched_index_free(struct sched *s)
{
    sched_name_put(&s->classes, s->many_classes);
    sched_name_put(&s->addresses, s->many_addresses);
    sched_name_put(&s->clients, s->many_clients);
    struct hash *hashes[] = { &s->classes, &s->listeners, &s->addresses, &s->clients };
    for (size_t i = 0; i < sizeof hashes / sizeof *hashes; i++) {
        MUST(hashes[i]->n == 0);
        hash_free(hashes[i]);
    }
    queue_index_free(&s->index);
}

struct queue_index *sched_index(struct sched *s) { return &s->index; }

/* --- recipients --- */

static enum sched_cell_state cell_state(const struct sched_rcpt *r)
{
    switch ((enum sched_state)r->state) {
    case SCHED_READY: return CELL_READY;
    case SCHED_ACTIVE: return CELL_ACTIVE;
    case SCHED_DEFERRED: return CELL_DEFERRED;
    case SCHED_WAITING: return CELL_WAITING;
    case SCHED_HELD:
        return sched_rcpt_quarantined(r) ? CELL_QUARANTINED : CELL_HELD;
    default: return CELL_ROUTING;
    }
}

/* Alive as long as the reason is; NULL: no reason. */
static const struct sched_name *class_of(struct sched *s, struct sched_name *reason)
{
    if (!reason || reason->class)
        return reason ? reason->class : NULL;
    char text[QUEUE_CLASS_MAX];
    size_t n = queue_reason_class(sched_name_span(reason), text);
    reason->class = sched_name_get(&s->classes, span_of(text, n));
    if (!reason->class)
        reason->class = sched_name_ref(s->many_classes);
    reason->classes = &s->classes;
    return reason->class;
}

void sched_index_enter(struct sched *s, struct sched_rcpt *r)
{
    const struct sched_msg *m = sched_msg_of(r);
    MUST(!r->cell);
    struct queue_key key = { r->domain, r->dest, class_of(s, r->reason), cell_state(r) };
    r->cell = queue_cell_get(&s->index, QUEUE_RCPTS, &key);
    queue_cell_add(r->cell, m->age, m->size_bytes, m->rcpt_count > 1);
    sched_index_due(r);
}

void sched_index_due(struct sched_rcpt *r)
{
    if (r->state == SCHED_DEFERRED && heap_linked(&r->at.due))
        queue_cell_due(r->cell, r->at.due.key);
}

void sched_index_leave(struct sched *s, struct sched_rcpt *r)
{
    const struct sched_msg *m = sched_msg_of(r);
    MUST(r->cell);
    if (r->state == SCHED_DEFERRED && heap_linked(&r->at.due))
        queue_cell_undue(r->cell, r->at.due.key);
    queue_cell_remove(&s->index, r->cell, m->age, m->size_bytes, m->rcpt_count > 1);
    r->cell = NULL;
}

/* --- messages --- */

static struct sched_name *name_of(const void *p) { return (struct sched_name *)p; }

/* Found again when it is needed: a pointer to it in each message would be more memory. */
static struct queue_cell *client_cell(struct sched *s, const struct sched_msg *m,
                                      const struct sched_name *client)
{
    struct queue_key key = { client, m->cell->key.b, NULL, 0 };
    return queue_cell_get(&s->index, QUEUE_CLIENTS, &key);
}

static void client_gone(struct sched *s, const struct sched_msg *m)
{
    struct sched_name *client =
        m->client_many ? s->many_clients : sched_name_find(&s->clients, sched_msg_client(m));
    MUST(client);
    queue_cell_remove(&s->index, client_cell(s, m, client), m->age, m->size_bytes, false);
    sched_name_put(&s->clients, client);
}

void sched_index_message(struct sched *s, struct sched_msg *m, struct span sender,
                         struct span listener)
{
    struct sched_name *address = sched_name_get(&s->addresses, sender);
    if (!address)
        address = sched_name_ref(s->many_addresses);
    struct queue_key key = { m->sender_domain, sched_name_get(&s->listeners, listener), address,
                             0 };
    m->cell = queue_cell_get(&s->index, QUEUE_MESSAGES, &key);
    queue_cell_add(m->cell, m->age, m->size_bytes, false);
    struct sched_name *client = sched_name_get(&s->clients, sched_msg_client(m));
    m->client_many = !client;
    client = client ? client : sched_name_ref(s->many_clients);
    queue_cell_add(client_cell(s, m, client), m->age, m->size_bytes, false);
}

void sched_index_message_gone(struct sched *s, struct sched_msg *m)
{
    struct queue_key key = m->cell->key;
    client_gone(s, m);
    queue_cell_remove(&s->index, m->cell, m->age, m->size_bytes, false);
    sched_name_put(&s->listeners, name_of(key.b));
    sched_name_put(&s->addresses, name_of(key.c));
    m->cell = NULL;
}

/* --- looking --- */

/* Behind a back-off: until when, as sched_rcpt has it for each of them. 0: it is not. */
static int64_t shut_until(const struct sched_dest *d)
{
    const struct sched_gate *dest = &d->gate, *site = &d->site->gate;
    int64_t until_ms = sched_gate_closed(site) ? site->wake.key : 0;
    if (!sched_gate_closed(dest))
        return until_ms;
    return dest->wake.key > until_ms ? dest->wake.key : until_ms;
}

static void show_rcpts(const struct queue_cell *c, struct sched_cell_info *c_r)
{
    static const enum queue_state states[] = {
        [CELL_ROUTING] = QUEUE_READY,     [CELL_READY] = QUEUE_READY,
        [CELL_ACTIVE] = QUEUE_ACTIVE,     [CELL_DEFERRED] = QUEUE_DEFERRED,
        [CELL_WAITING] = QUEUE_WAITING,   [CELL_HELD] = QUEUE_HELD,
        [CELL_QUARANTINED] = QUEUE_QUARANTINED,
    };
    static const enum sched_state ats[] = {
        [CELL_ROUTING] = SCHED_PENDING,   [CELL_READY] = SCHED_READY,
        [CELL_ACTIVE] = SCHED_ACTIVE,     [CELL_DEFERRED] = SCHED_DEFERRED,
        [CELL_WAITING] = SCHED_WAITING,   [CELL_HELD] = SCHED_HELD,
        [CELL_QUARANTINED] = SCHED_HELD,
    };
    const struct sched_dest *d = c->key.b;
    c_r->domain = sched_name_span(c->key.a);
    c_r->reason = c_r->class = sched_name_span(c->key.c);
    c_r->folded = c->key.c != NULL;
    c_r->state = states[c->key.state];
    c_r->at = ats[c->key.state];
    if (d) {
        c_r->dest = d->node.key;
        c_r->site = d->site->key_len ? d->site->node.key : SPAN_NONE;
    }
    queue_cell_next_due(c, &c_r->next_try_ms);
    bool ready = c->key.state == CELL_READY;
    int64_t until_ms = ready ? shut_until(d) : 0;
    const struct sched_name *why = ready ? sched_place_why(d) : NULL;
    if (why) {
        c_r->folded = false;
        c_r->reason = sched_name_span(why);
    }
    bool frozen = sched_frozen_at(c_r->at, c->key.a, d);
    if (!until_ms && !frozen)
        return;
    c_r->state = frozen ? QUEUE_FROZEN : QUEUE_DEFERRED;
    if (frozen) {
        c_r->folded = false;
        c_r->reason = SPAN(SCHED_FROZEN_REASON);
        c_r->before = sched_name_span(why);
    }
    c_r->next_try_ms = frozen ? 0 : until_ms;
}

void sched_cell(const struct queue_cell *c, struct sched_cell_info *c_r)
{
    *c_r = (struct sched_cell_info){ .next_try_ms = 0 };
    if (c->kind == QUEUE_RCPTS) {
        show_rcpts(c, c_r);
        return;
    }
    c_r->listener = sched_name_span(c->key.b);
    if (c->kind == QUEUE_CLIENTS) {
        c_r->client = sched_name_span(c->key.a);
        c_r->client_known = !span_eq(c_r->client, SPAN(OTHER_CLIENTS));
        return;
    }
    const struct sched_name *address = c->key.c;
    c_r->sender_domain = sched_name_span(c->key.a);
    c_r->sender = sched_name_span(address);
    c_r->sender_known = !span_eq(c_r->sender, SPAN(SCHED_OTHER_SENDERS));
}

enum queue_state sched_queue_state(const struct sched_rcpt_info *r)
{
    if (r->frozen)
        return QUEUE_FROZEN;
    switch (r->state) {
    case SCHED_READY: return r->next_try_ms ? QUEUE_DEFERRED : QUEUE_READY;
    case SCHED_ACTIVE: return QUEUE_ACTIVE;
    case SCHED_DEFERRED: return QUEUE_DEFERRED;
    case SCHED_WAITING: return QUEUE_WAITING;
    case SCHED_HELD: return r->quarantined ? QUEUE_QUARANTINED : QUEUE_HELD;
    default: return QUEUE_READY;
    }
}
