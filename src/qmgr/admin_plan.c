/* The plan of a query: in which cells of the index may it hold, and is going through their members
 * less than looking at every message? */
#include "qmgr/admin_query.h"

#include "base/must.h"
#include "queue/reason.h"
#include "sched/walk.h"

#include <stdlib.h>

#define BIT QUERY_FIELD

enum {
    CELL_UNITS = 4,
    REASON_UNITS = 4,
    MEMBER_COST = 5,       /* of a member that is looked up by its age; of one in order: 1 */
    CELLS_TO_A_COST = 16,  /* each has its next one compared */
};

uint32_t query_kind_fields(enum queue_kind kind)
{
    static const uint32_t fields[QUEUE_KINDS] = {
        [QUEUE_RCPTS] = QUERY_RCPT_FIELDS & ~BIT(QUEUE_TO),
        [QUEUE_MESSAGES] = BIT(QUEUE_FROM) | BIT(QUEUE_LISTENER),
        [QUEUE_CLIENTS] = BIT(QUEUE_CLIENT) | BIT(QUEUE_LISTENER),
    };
    return fields[kind];
}

/* --- reasons --- */

/* A class of reasons (queue/reason.h). Unless they are mixed the filter holds for all of them or
 * for none, and one of them is as good as any. */
struct query_class {
    struct hash_node node;
    bool mixed;
    bool earlier; /* some had another one before them */
    size_t reason_len, before_len;
    char text[]; /* the class, and one of its reasons, with what was said before it */
};

static struct span reason_in(const struct query_class *c)
{
    return span_of(c->text + c->node.key.n, c->reason_len);
}

static struct span before_in(const struct query_class *c)
{
    return span_of(c->text + c->node.key.n + c->reason_len, c->before_len);
}

static struct query_class *class_in(const struct query *y, struct span class)
{
    struct hash_node *n = hash_get(&y->reasons, class);
    return n ? CONTAINER(n, struct query_class, node) : NULL;
}

static void add_class(struct query *y, struct span class, struct span reason, struct span before)
{
    struct query_class *c =
        must_alloc(must_add(sizeof *c, must_add(class.n, must_add(reason.n, before.n))));
    if (class.n)
        memcpy(c->text, class.p, class.n);
    memcpy(c->text + class.n, reason.p, reason.n);
    if (before.n)
        memcpy(c->text + class.n + reason.n, before.p, before.n);
    c->mixed = false;
    c->earlier = before.n > 0;
    c->reason_len = reason.n;
    c->before_len = before.n;
    hash_add(&y->reasons, &c->node, span_of(c->text, class.n));
}

static void on_reason(void *arg, struct span class, struct span reason, struct span before)
{
    struct query *y = arg;
    struct query_class *c = class_in(y, class);
    y->reason_units += REASON_UNITS;
    if (!c) {
        add_class(y, class, reason, before);
        return;
    }
    struct queue_facts a = { .reason = reason_in(c), .before = before_in(c) };
    struct queue_facts b = { .reason = reason, .before = before };
    c->mixed = c->mixed || !queue_filter_alike(y->filter, &a, &b);
    c->earlier = c->earlier || before.n > 0;
}

/* Of the reasons in the queue, which are not many where there are very many recipients. False: the
 * slice is over. When it begins anew, what it has seen is no other than before. */
static bool look_at_reasons(struct query *y)
{
    for (;;) {
        y->reason_units = 1;
        if (sched_walk_reasons(y->q->sched, &y->reason_walk, on_reason, y) == 0)
            return y->reasons_known = true;
        if (admin_slice_spent(y->slice, y->reason_units))
            return false;
    }
}

static void forget_reasons(struct query *y)
{
    for (struct hash_node *n = hash_next(&y->reasons, NULL), *next; n; n = next) {
        next = hash_next(&y->reasons, n);
        hash_remove(&y->reasons, n);
        free(CONTAINER(n, struct query_class, node));
    }
    y->reason_walk = (struct sched_reason_walk){ 0 };
    y->reasons_known = false;
}

/* What stands after the reason of a place, or of a freezing: what was said before that. */
static void before_facts(const struct sched_cell_info *info, const struct query_class *c,
                         struct queue_facts *x)
{
    bool own = info->state == QUEUE_FROZEN && !info->before.n;
    x->before_open = info->class.n && (!c || c->earlier || (own && c->mixed));
    if (!x->before_open)
        x->before = own && c ? reason_in(c) : info->before;
}

static void class_facts(const struct query *y, const struct sched_cell_info *info,
                        struct queue_facts *x)
{
    const struct query_class *c = class_in(y, info->class);
    x->reason = info->reason;
    x->reason_is_class = info->folded && !c; /* it has come since */
    if (!info->folded) {
        before_facts(info, c, x);
    } else if (c && c->mixed) {
        x->known &= ~BIT(QUEUE_REASON);
    } else if (c) {
        x->reason = reason_in(c);
        x->before = before_in(c);
    }
}

/* --- cells --- */

static void rcpts_facts(const struct query *y, const struct sched_cell_info *info,
                        struct queue_facts *x)
{
    x->to = (struct queue_addr){ .domain = info->domain };
    x->to_domain_known = true;
    x->site = info->site;
    x->dest = info->dest;
    x->state = info->state;
    if (y->fields & BIT(QUEUE_REASON))
        class_facts(y, info, x);
}

static void sender_facts(const struct sched_cell_info *info, struct queue_facts *x)
{
    if (info->sender_known) {
        x->from = (struct queue_addr){ .local = info->sender, .whole = true };
        return;
    }
    x->known &= ~BIT(QUEUE_FROM);
    x->from = (struct queue_addr){ .domain = info->sender_domain };
    x->from_domain_known = true;
}

enum queue_match query_cell(const struct query *y, const struct queue_cell *c,
                            const struct sched_cell_info *info)
{
    struct queue_facts x = { .known = query_kind_fields(c->kind), .listener = info->listener };
    if (c->kind == QUEUE_RCPTS)
        rcpts_facts(y, info, &x);
    else if (c->kind == QUEUE_MESSAGES)
        sender_facts(info, &x);
    else if (info->client_known)
        query_ip(info->client, &x.client);
    else
        x.known &= ~BIT(QUEUE_CLIENT);
    return queue_filter_match(y->filter, &x);
}

static void plan_cell(struct query *y, struct queue_cell *c)
{
    struct sched_cell_info info;
    sched_cell(c, &info);
    enum queue_match match = query_cell(y, c, &info);
    y->all_hold &= match == QUEUE_YES;
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

/* --- the plan --- */

static void cells_end(struct query *y)
{
    struct queue_index *ix = sched_index(y->q->sched);
    if (y->walking)
        queue_walk_end(&y->walk);
    for (size_t i = 0; i < y->cell_count; i++)
        queue_cell_unpin(ix, y->cells[i]);
    y->cell_count = 0;
    y->walking = false;
}

void query_plan_drop(struct query *y)
{
    cells_end(y);
    forget_reasons(y);
    y->planned = y->by_cells = false;
    y->tried = 0;
}

/* A kind of cells that was not tried yet: one that knows all that is asked for, or one that knows
 * something. False: there is none. */
static bool next_kind(struct query *y)
{
    bool any = false;
    for (enum queue_kind k = 0; k < QUEUE_KINDS; k++) {
        uint32_t knows = query_kind_fields(k), some = k == QUEUE_RCPTS ? QUERY_RCPT_FIELDS : knows;
        if (y->tried >> k & 1 || !(y->fields & some) || (any && (y->fields & ~knows)))
            continue;
        y->kind = k;
        any = true;
    }
    y->tried |= 1u << y->kind;
    return any;
}

static void cells_begin(struct query *y)
{
    cells_end(y);
    y->exact = y->all_hold = true;
    y->too_many = false;
    y->candidates = 0;
    y->sum = (struct query_sum){ 0 };
    queue_walk_begin(&y->walk, sched_index(y->q->sched), y->kind);
    y->walking = true;
}

/* Where the cells know all, the first rows of a list are their first members. */
static uint64_t looks(const struct query *y)
{
    bool first_rows = y->exact && y->sort == QUERY_AGE && y->limit < y->candidates;
    return first_rows ? y->limit : y->candidates;
}

static void cells_done(struct query *y)
{
    struct sched_totals t = sched_totals(y->q->sched);
    queue_walk_end(&y->walk);
    y->walking = false;
    y->exact &= !(y->fields & ~query_kind_fields(y->kind));
    if (y->all_hold) /* then no message is counted twice either */
        y->sum = (struct query_sum){ t.messages, y->sum.recipients, t.bytes, 0 };
    uint64_t cost = MEMBER_COST + y->cell_count / CELLS_TO_A_COST;
    y->by_cells = !y->too_many && looks(y) * cost < t.messages;
    y->planned = y->by_cells || y->exact || !next_kind(y);
    if (!y->by_cells)
        cells_end(y);
}

/* No plan is needed for one message, or to look at all. */
static bool is_planned(struct query *y)
{
    if (y->planned)
        return true;
    if (y->tried)
        return false;
    struct span id = queue_filter_exact(y->filter, QUEUE_ID);
    struct span target = queue_filter_exact(y->filter, QUEUE_TARGET);
    if (!queueid_seq(id, &y->only) && !queueid_seq(target, &y->only))
        y->only = 0;
    y->exact = false;
    return y->planned = y->only || y->every || !next_kind(y);
}

enum query_got query_plan(struct query *y, int64_t begun_ns)
{
    struct queue_cell *c;
    (void)begun_ns;
    while (!is_planned(y)) {
        if (y->fields & BIT(QUEUE_REASON) && !y->reasons_known && !look_at_reasons(y))
            return QUERY_LATER;
        if (!y->walking)
            cells_begin(y);
        while ((c = queue_walk_next(&y->walk)) != NULL) {
            plan_cell(y, c);
            if (admin_slice_spent(y->slice, CELL_UNITS))
                return QUERY_LATER;
        }
        cells_done(y);
    }
    return QUERY_END;
}
