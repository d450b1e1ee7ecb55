#include "qmgr/admin_query.h"

#include "base/must.h"
#include "base/num.h"
#include "proto/lists.h"

#include <stdlib.h>
#include <sysexits.h>

#define BIT(field) (UINT32_C(1) << (field))

enum {
    LOOK_CELLS = 32,     /* between two looks at the clock */
    LOOK_MESSAGES = 128,
    RCPT_FIELDS = BIT(QUEUE_TO) | BIT(QUEUE_DOMAIN) | BIT(QUEUE_SITE) | BIT(QUEUE_REASON) |
                  BIT(QUEUE_STATE),
    RCPT_CELL_FIELDS = RCPT_FIELDS & ~BIT(QUEUE_TO),
    MESSAGE_CELL_FIELDS = BIT(QUEUE_FROM) | BIT(QUEUE_LISTENER),
};

uint32_t query_kind_fields(enum queue_kind kind)
{
    return kind == QUEUE_RCPTS ? RCPT_CELL_FIELDS : MESSAGE_CELL_FIELDS;
}

bool query_time_is_up(const struct query *y, int64_t begun_ns)
{
    return loop_fresh_ns(y->a->q->env->loop) - begun_ns >= ADMIN_SLICE_NS;
}

/* --- words --- */

static int take_option(struct query *y, struct span arg, struct err *err)
{
    static const char *const sorts[] = { "age", "size", "domain", "next", "count" };
    if (span_starts(arg, SPAN("limit="))) {
        if (num_u64(span_from(arg, 6), &y->limit))
            return 1;
        err_set(err, "limit=NUMBER");
        return -1;
    }
    if (!span_starts(arg, SPAN("sort=")))
        return 0;
    for (size_t i = 0; i < sizeof sorts / sizeof *sorts; i++) {
        if (!span_eq(span_from(arg, 5), span_str(sorts[i])))
            continue;
        y->sort = (enum query_sort)i;
        y->sorted = true;
        return 1;
    }
    err_set(err, "sort is one of age, size, domain, next, count");
    return -1;
}

bool query_init(struct query *y, struct admin_ask *a, struct wire *args,
                int (*other)(struct admin_ask *a, struct span arg, struct err *err))
{
    struct span arg;
    struct err err = { "" };
    *y = (struct query){ .a = a, .filter = queue_filter_new(), .limit = UINT64_MAX };
    while (list_next_text(args, &arg)) {
        int rc = take_option(y, arg, &err);
        rc = rc ? rc : other ? other(a, arg, &err) : 0;
        rc = rc ? rc : queue_filter_word(y->filter, arg, &err);
        if (rc == 0)
            err_set(&err, "\"%.*s\" is no condition", SPAN_ARG(span_to(arg, 80)));
        if (rc <= 0) {
            admin_end(a, EX_USAGE, err.text);
            return false;
        }
    }
    y->fields = queue_filter_fields(y->filter);
    return true;
}

void query_free(struct query *y)
{
    struct queue_index *ix = sched_index(y->a->q->sched);
    if (y->walking)
        queue_walk_end(&y->walk);
    for (size_t i = 0; i < y->cell_count; i++)
        queue_cell_unpin(ix, y->cells[i]);
    y->cell_count = 0;
    queue_filter_free(&y->filter);
}

/* --- facts --- */

static struct queue_addr addr_of(struct sched_addr a)
{
    return (struct queue_addr){ .local = a.local, .domain = a.domain, .whole = a.whole };
}

/* Of a whole address, as it was given. */
static struct queue_addr whole_addr(struct span text)
{
    return (struct queue_addr){ .local = text, .whole = true };
}

enum queue_match query_cell(const struct query *y, const struct queue_cell *c,
                            const struct sched_cell_info *info)
{
    struct queue_facts x = { .known = query_kind_fields(c->kind) };
    if (c->kind == QUEUE_RCPTS) {
        x.to = (struct queue_addr){ .domain = info->domain };
        x.to_domain_known = true;
        x.site = info->site;
        x.dest = info->dest;
        x.reason = info->reason;
        x.state = info->state;
        x.reason_is_class = true;
    } else if (info->sender_known) {
        x.from = whole_addr(info->sender);
        x.listener = info->listener;
    } else {
        x.known &= ~BIT(QUEUE_FROM);
        x.from = (struct queue_addr){ .domain = info->sender_domain };
        x.from_domain_known = true;
        x.listener = info->listener;
    }
    return queue_filter_match(y->filter, &x);
}

static void client_of(const struct sched_msg_info *m, struct netaddr *a_r)
{
    struct span ip = sched_msg_client(m->here);
    *a_r = (struct netaddr){ .family = ip.n == 4    ? NETADDR_V4
                                       : ip.n == 16 ? NETADDR_V6
                                                    : NETADDR_NONE };
    if (ip.n)
        memcpy(a_r->ip, ip.p, ip.n);
}

static void message_facts(const struct query *y, const struct sched_msg_info *m,
                          struct queueid *id, struct queue_facts *x)
{
    *x = (struct queue_facts){
        .known = BIT(QUEUE_FROM) | BIT(QUEUE_LISTENER) | BIT(QUEUE_AGE) | BIT(QUEUE_SIZE) |
                 BIT(QUEUE_ID) | BIT(QUEUE_CLIENT),
        .from = addr_of(m->sender),
        .listener = sched_msg_listener(m->here),
        .age_ms = qmgr_now(y->a->q).wall_ms - m->received_ms,
        .size_bytes = m->size_bytes,
    };
    if (y->fields & BIT(QUEUE_ID)) {
        *id = queueid_make(m->seq, m->received_ms);
        x->id = span_str(id->text);
    }
    if (y->fields & BIT(QUEUE_CLIENT))
        client_of(m, &x->client);
}

static void rcpt_facts(const struct sched_rcpt_info *r, struct queue_facts *x)
{
    x->known |= RCPT_FIELDS;
    x->to = addr_of(r->addr);
    x->site = r->site;
    x->dest = r->dest;
    x->reason = r->reason;
    x->state = sched_queue_state(r);
}

bool query_rcpt(const struct query *y, const struct sched_msg_info *m,
                const struct sched_rcpt_info *r)
{
    struct queue_facts x;
    struct queueid id;
    if (r->state >= SCHED_LIVE)
        return false;
    if (!y->fields)
        return true;
    message_facts(y, m, &id, &x);
    rcpt_facts(r, &x);
    return queue_filter_match(y->filter, &x) == QUEUE_YES;
}

static bool message_holds(const struct query *y, const struct sched_msg_info *m)
{
    struct queue_facts x;
    struct queueid id;
    struct sched_rcpt_info r;
    if (m->live_count == 0)
        return false;
    if (!y->fields)
        return true;
    message_facts(y, m, &id, &x);
    enum queue_match whole = queue_filter_match(y->filter, &x);
    if (whole != QUEUE_MAYBE)
        return whole == QUEUE_YES;
    for (uint32_t i = 0; sched_msg_rcpt(m->here, i, &r); i++) {
        if (r.state >= SCHED_LIVE)
            continue;
        rcpt_facts(&r, &x);
        if (queue_filter_match(y->filter, &x) == QUEUE_YES)
            return true;
    }
    return false;
}

/* --- the plan --- */

static void plan_cell(struct query *y, struct queue_cell *c)
{
    struct sched_cell_info info;
    sched_cell(c, &info);
    enum queue_match match = query_cell(y, c, &info);
    if (match == QUEUE_NO)
        return;
    y->exact &= match == QUEUE_YES;
    y->candidates += c->ages.count;
    y->sum.messages += c->messages;
    y->sum.recipients += c->ages.count;
    y->sum.bytes += c->bytes;
    y->sum.shared += c->shared;
    if (y->cell_count == QUERY_CELLS_MAX) {
        y->too_many = true;
        return;
    }
    queue_cell_pin(c);
    y->cells[y->cell_count++] = c;
}

static void plan_done(struct query *y)
{
    uint64_t all = sched_totals(y->a->q->sched).messages;
    y->planned = true;
    y->by_cells = !y->too_many && y->candidates * (y->cell_count + 1) < 4 * all;
    y->exact &= !(y->fields & ~query_kind_fields(y->kind));
    if (y->by_cells)
        return;
    for (size_t i = 0; i < y->cell_count; i++)
        queue_cell_unpin(sched_index(y->a->q->sched), y->cells[i]);
    y->cell_count = 0;
}

enum query_got query_plan(struct query *y, int64_t begun_ns)
{
    struct queue_index *ix = sched_index(y->a->q->sched);
    struct queue_cell *c;
    if (y->planned)
        return QUERY_END;
    if (!y->walking) {
        bool none = !(y->fields & (RCPT_FIELDS | MESSAGE_CELL_FIELDS));
        y->planned = none; /* every message is to be looked at */
        if (none)
            return QUERY_END;
        y->kind = y->fields & MESSAGE_CELL_FIELDS && !(y->fields & RCPT_FIELDS) ? QUEUE_MESSAGES
                                                                              : QUEUE_RCPTS;
        y->exact = true;
        y->walking = true;
        queue_walk_begin(&y->walk, ix, y->kind);
    }
    for (size_t n = 1; (c = queue_walk_next(&y->walk)) != NULL; n++) {
        plan_cell(y, c);
        if (n % LOOK_CELLS == 0 && query_time_is_up(y, begun_ns))
            return QUERY_LATER;
    }
    queue_walk_end(&y->walk);
    y->walking = false;
    plan_done(y);
    return QUERY_END;
}

/* --- the way --- */

static bool next_candidate(struct query *y, struct sched_msg_info *m_r)
{
    struct sched *s = y->a->q->sched;
    if (!y->by_cells)
        return sched_age_next(s, y->cursor, m_r);
    uint64_t least = UINT64_MAX;
    for (size_t i = 0; i < y->cell_count; i++) {
        uint64_t age;
        if (queue_set_from(&y->cells[i]->ages, y->cursor + 1, &age) && age < least)
            least = age;
    }
    return least != UINT64_MAX && sched_age_get(s, least, m_r);
}

enum query_got query_next(struct query *y, int64_t begun_ns, struct sched_msg_info *m_r)
{
    if (query_plan(y, begun_ns) == QUERY_LATER)
        return QUERY_LATER;
    for (size_t n = 1; next_candidate(y, m_r); n++) {
        y->cursor = m_r->age;
        if (message_holds(y, m_r))
            return QUERY_ONE;
        if (n % LOOK_MESSAGES == 0 && query_time_is_up(y, begun_ns))
            return QUERY_LATER;
    }
    return QUERY_END;
}
