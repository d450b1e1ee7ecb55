#include "qmgr/admin_query.h"

#include "base/must.h"
#include "base/num.h"
#include "config/table.h"
#include "proto/lists.h"

#include <stdlib.h>
#include <sysexits.h>

#define BIT QUERY_FIELD

enum {
    AHEAD = 12, /* so many messages are fetched before they are looked at, */
    NEXT = 8,   /* and what they refer to, */
    NOW = 6,    /* and what that does */
    RCPT_FIELDS = QUERY_RCPT_FIELDS,
    ADDRESS_FIELDS = BIT(QUEUE_TO) | BIT(QUEUE_DOMAIN),
};

bool query_time_is_up(const struct query *y, int64_t begun_ns)
{
    (void)begun_ns;
    return admin_slice_spent(y->slice, ADMIN_CLOCK_UNITS);
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

/* A name that is wrong would mean nothing, without a word. Mail may wait of one that is no longer
 * there. */
static int check_listener(const struct query *y, struct span word, struct err *err)
{
    const struct config *cfg = y->q->config;
    struct span name = span_from(word, span_starts(word, SPAN("!")));
    if (!span_starts(name, SPAN("listener=")))
        return 1;
    name = span_from(name, 9);
    bool known = span_find(name, '*') < name.n || span_ieq(name, SPAN("submit")) ||
                 sched_walk_listener(y->q->sched, name);
    for (size_t i = 0; i < cfg->n_listens && !known; i++)
        known = span_ieq(name, cfg->listens[i].name);
    if (known)
        return 1;
    const char *like = config_suggest_listener(cfg, name);
    err_set(err, "there is no listener \"%.*s\"%s%s%s", SPAN_ARG(span_to(name, 80)),
            like ? "; did you mean \"" : "", like ? like : "", like ? "\"?" : "");
    return -1;
}

bool query_init(struct query *y, struct admin_ask *a, struct wire *args,
                int (*other)(struct admin_ask *a, struct span arg, struct err *err))
{
    struct span arg;
    struct err err = { "" };
    *y = (struct query){ .q = a->q, .a = a, .slice = &a->now, .filter = queue_filter_new(),
                         .limit = UINT64_MAX };
    while (list_next_text(args, &arg)) {
        int rc = take_option(y, arg, &err);
        rc = rc ? rc : other ? other(a, arg, &err) : 0;
        rc = rc ? rc : queue_filter_word(y->filter, arg, &err);
        rc = rc == 1 ? check_listener(y, arg, &err) : rc;
        if (rc == 0)
            err_set(&err, "\"%.*s\" is no condition", SPAN_ARG(span_to(arg, 80)));
        if (rc <= 0) {
            admin_end(a, EX_USAGE, err.text);
            return false;
        }
    }
    hash_init(&y->reasons, loop_random_u64(y->q->env->loop), 0);
    y->fields = queue_filter_fields(y->filter);
    y->wants = queue_filter_wants(y->filter);
    return true;
}

bool query_add(struct query *y, struct span word)
{
    struct err err;
    int rc = queue_filter_word(y->filter, word, &err);
    y->fields = queue_filter_fields(y->filter);
    y->wants = queue_filter_wants(y->filter);
    return rc == 1;
}

void query_again(struct query *y, bool every)
{
    query_plan_drop(y);
    y->every = every;
    y->cursor = y->ahead_slice = 0;
    y->looked = y->rest = 0;
}

void query_free(struct query *y)
{
    query_plan_drop(y);
    free(y->meant);
    hash_free(&y->reasons);
    queue_filter_free(&y->filter);
}

/* --- facts --- */

static struct queue_addr addr_of(struct sched_addr a)
{
    return (struct queue_addr){ .local = a.local, .domain = a.domain, .whole = a.whole };
}

void query_ip(struct span ip, struct netaddr *a_r)
{
    *a_r = (struct netaddr){ .family = ip.n == 4    ? NETADDR_V4
                                       : ip.n == 16 ? NETADDR_V6
                                                    : NETADDR_NONE };
    if (ip.n)
        memcpy(a_r->ip, ip.p, ip.n);
}

void query_client(const struct sched_msg_info *m, struct netaddr *a_r)
{
    query_ip(sched_msg_client(m->here), a_r);
}

static void message_facts(const struct query *y, const struct sched_msg_info *m,
                          struct queueid *id, struct queue_facts *x)
{
    *x = (struct queue_facts){
        .known = BIT(QUEUE_FROM) | BIT(QUEUE_LISTENER) | BIT(QUEUE_AGE) | BIT(QUEUE_SIZE) |
                 BIT(QUEUE_ID) | BIT(QUEUE_CLIENT),
        .from = addr_of(m->sender),
        .size_bytes = m->size_bytes,
    };
    if (y->fields & BIT(QUEUE_AGE))
        x->age_ms = loop_wall_ms(y->q->env->loop) - m->received_ms;
    if (y->fields & BIT(QUEUE_LISTENER))
        x->listener = sched_msg_listener(m->here);
    if (y->fields & (BIT(QUEUE_ID) | BIT(QUEUE_TARGET))) {
        *id = queueid_make(m->seq, m->received_ms);
        x->id = span_str(id->text);
    }
    if (y->fields & BIT(QUEUE_CLIENT))
        query_client(m, &x->client);
}

static void rcpt_facts(const struct sched_rcpt_info *r, struct queue_facts *x)
{
    x->known |= RCPT_FIELDS;
    x->to = addr_of(r->addr);
    x->site = r->site;
    x->dest = r->dest;
    x->reason = r->reason;
    x->before = r->before;
    x->place_number = r->place_hash;
    x->reason_number = r->reason_hash;
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
    return queue_filter_rcpt(y->filter, &x) != 0;
}

/* The first one noted that is as old as that or younger. */
static size_t meant_from(const struct query *y, uint64_t age)
{
    size_t low = 0, high = y->meant_n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (y->meant[mid] < age)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static bool is_meant(const struct query *y, uint64_t age)
{
    size_t at = y->noted ? meant_from(y, age) : 0;
    return !y->noted || (at < y->meant_n && y->meant[at] == age);
}

bool query_message(const struct query *y, const struct sched_msg_info *m)
{
    struct queue_facts x;
    struct queueid id;
    struct sched_rcpt_info r;
    uint32_t wants = y->wants, got = 0;
    if (!is_meant(y, m->age))
        return false;
    message_facts(y, m, &id, &x);
    for (uint32_t i = 0; sched_msg_rcpt(m->here, i, &r) && (got & wants) != wants; i++) {
        if (r.state >= SCHED_LIVE)
            continue;
        rcpt_facts(&r, &x);
        got |= queue_filter_rcpt(y->filter, &x);
    }
    return (got & wants) == wants;
}

/* Where the address is all that is asked for, the rest is not looked up. */
static bool next_rcpt(const struct query *y, const struct sched_msg_info *m, uint32_t i,
                      struct sched_rcpt_info *r)
{
    bool address_only = !(y->fields & RCPT_FIELDS & ~ADDRESS_FIELDS);
    return address_only ? sched_msg_rcpt_addr(m->here, i, r) : sched_msg_rcpt(m->here, i, r);
}

/* Whether it holds by what they have together; MAYBE: the slice is over before that is known. */
static enum queue_match any_rcpt(struct query *y, const struct sched_msg_info *m,
                                 struct queue_facts *x)
{
    struct sched_rcpt_info r;
    r.next_try_ms = r.frozen = r.quarantined = false; /* where they are not asked for */
    r.site = r.dest = r.reason = r.before = SPAN_NONE;
    r.place_hash = r.reason_hash = 0;
    uint32_t wants = y->wants;
    y->got = y->looked ? y->got : 0;
    for (uint32_t i = y->looked; next_rcpt(y, m, i, &r); i++) {
        if (r.state < SCHED_LIVE) {
            rcpt_facts(&r, x);
            y->got |= queue_filter_rcpt(y->filter, x);
            if ((y->got & wants) == wants) {
                y->whole = m->rcpt_count == 1;
                return QUEUE_YES;
            }
        }
        if (i && admin_slice_spent(y->slice, 1)) { /* the first one goes with its message */
            y->looked = i + 1;
            return QUEUE_MAYBE;
        }
    }
    return QUEUE_NO;
}

static enum queue_match message_holds(struct query *y, const struct sched_msg_info *m)
{
    struct queue_facts x;
    struct queueid id;
    y->whole = true;
    if (m->live_count == 0)
        return QUEUE_NO;
    if (!y->fields)
        return QUEUE_YES;
    if (y->fields & ~ADDRESS_FIELDS)
        message_facts(y, m, &id, &x);
    else
        x = (struct queue_facts){ .known = 0 }; /* nothing of the message is asked for */
    enum queue_match whole = QUEUE_MAYBE;
    if (y->fields & ~RCPT_FIELDS)
        whole = queue_filter_match(y->filter, &x);
    if (whole != QUEUE_MAYBE)
        return whole;
    y->whole = false;
    return any_rcpt(y, m, &x);
}

/* --- the way --- */

void query_changed(struct query *y) { y->ahead_slice = 0; }

void query_rest(struct query *y, uint32_t rcpt) { y->rest = rcpt; }

static void find_head(struct query *y, size_t i)
{
    if (!queue_set_from(&y->cells[i]->ages, y->cursor + 1, &y->heads[i]))
        y->heads[i] = UINT64_MAX;
}

/* What was known before this slice may be gone. */
static void look_anew(struct query *y)
{
    if (y->ahead_slice == y->slice->serial)
        return;
    y->ahead_slice = y->slice->serial;
    y->ahead_n = y->ahead_at = 0;
    for (size_t i = 0; i < y->cell_count; i++)
        find_head(y, i);
    admin_slice_spent(y->slice, y->cell_count);
}

static bool next_of_cells(struct query *y, struct sched_msg_info *m_r)
{
    uint64_t least = UINT64_MAX;
    for (size_t i = 0; i < y->cell_count; i++) {
        if (y->heads[i] <= y->cursor)
            find_head(y, i);
        least = y->heads[i] < least ? y->heads[i] : least;
    }
    return least != UINT64_MAX && sched_age_get(y->q->sched, least, m_r);
}

/* What a look at a message takes. */
static unsigned memory_of(const struct query *y)
{
    uint32_t f = y->fields, addresses = BIT(QUEUE_FROM) | BIT(QUEUE_TO) | BIT(QUEUE_CLIENT);
    unsigned what = y->memory;
    if (f & RCPT_FIELDS || f & addresses)
        what |= SCHED_WALK_RCPTS;
    if (f & (addresses | BIT(QUEUE_TARGET)))
        what |= SCHED_WALK_TEXT;
    if (f & (ADDRESS_FIELDS | BIT(QUEUE_TARGET)))
        what |= SCHED_WALK_DOMAIN;
    if (f & RCPT_FIELDS & ~ADDRESS_FIELDS)
        what |= SCHED_WALK_PLACE;
    if (f & BIT(QUEUE_LISTENER))
        what |= SCHED_WALK_SENDER;
    return what;
}

static bool next_of_all(struct query *y, struct sched_msg_info *m_r)
{
    unsigned what = memory_of(y);
    if (y->ahead_at == y->ahead_n) {
        y->ahead_n = sched_walk(y->q->sched, y->cursor, y->ahead, QUERY_AHEAD);
        y->ahead_at = 0;
        for (size_t i = 0; i < y->ahead_n && i < AHEAD; i++)
            sched_walk_soon(y->ahead[i], what);
    }
    if (y->ahead_at == y->ahead_n)
        return false;
    if (y->ahead_at + AHEAD < y->ahead_n)
        sched_walk_soon(y->ahead[y->ahead_at + AHEAD], what);
    if (what && y->ahead_at + NEXT < y->ahead_n)
        sched_walk_next(y->ahead[y->ahead_at + NEXT], what);
    if (what && y->ahead_at + NOW < y->ahead_n)
        sched_walk_now(y->ahead[y->ahead_at + NOW], what);
    sched_msg_show(y->ahead[y->ahead_at++], m_r);
    return true;
}

static bool next_of_meant(struct query *y, struct sched_msg_info *m_r)
{
    for (size_t i = meant_from(y, y->cursor + 1); i < y->meant_n; i++)
        if (sched_age_get(y->q->sched, y->meant[i], m_r))
            return true;
    return false;
}

/* The candidate at hand in the slice before, if there is more to look at and it is still there. */
static bool same_again(struct query *y, struct sched_msg_info *m_r)
{
    bool again = (y->looked || y->rest) && sched_age_get(y->q->sched, y->cursor, m_r);
    if (!again)
        y->looked = y->rest = 0;
    return again;
}

static bool next_candidate(struct query *y, struct sched_msg_info *m_r)
{
    if (same_again(y, m_r))
        return true;
    if (y->noted)
        return next_of_meant(y, m_r);
    if (y->only)
        return sched_msg(y->q->sched, y->only, m_r) && m_r->age > y->cursor;
    return y->by_cells ? next_of_cells(y, m_r) : next_of_all(y, m_r);
}

enum query_got query_next(struct query *y, int64_t begun_ns, struct sched_msg_info *m_r)
{
    if (query_plan(y, begun_ns) == QUERY_LATER)
        return QUERY_LATER;
    look_anew(y);
    while (next_candidate(y, m_r)) {
        enum queue_match match = QUEUE_YES;
        y->cursor = m_r->age;
        if (!y->rest)
            match = message_holds(y, m_r);
        if (match == QUEUE_MAYBE)
            return QUERY_LATER;
        y->looked = 0;
        bool over = admin_slice_spent(y->slice, 1 + y->cell_count / 8);
        if (match == QUEUE_YES)
            return QUERY_ONE;
        if (over)
            return QUERY_LATER;
    }
    return QUERY_END;
}

const struct sched_msg *query_peek(const struct query *y, size_t n)
{
    size_t at = y->ahead_at + n - 1;
    return y->ahead_slice == y->slice->serial && at < y->ahead_n ? y->ahead[at] : NULL;
}

static bool count_rcpts(struct query *y, const struct sched_msg_info *m, struct query_sum *sum)
{
    struct sched_rcpt_info r;
    if (y->whole) {
        sum->recipients += m->live_count;
        return true;
    }
    for (uint32_t i = y->rest; sched_msg_rcpt(m->here, i, &r); i++) {
        sum->recipients += query_rcpt(y, m, &r);
        if (admin_slice_spent(y->slice, 1)) {
            query_rest(y, i + 1);
            return false;
        }
    }
    query_rest(y, 0);
    return true;
}

/* False: the slice is over. */
static bool count_message(struct query *y, const struct sched_msg_info *m, struct query_sum *sum)
{
    if (!y->rest) {
        sum->messages++;
        sum->bytes += m->size_bytes;
    }
    return count_rcpts(y, m, sum) && !y->slice->over;
}

enum query_got query_count(struct query *y, int64_t begun_ns, bool sure, struct query_sum *sum)
{
    enum { FEW = 1000 }; /* recipients: it costs nothing to be sure */
    struct sched_msg_info m;
    enum query_got got = query_plan(y, begun_ns);
    sure |= y->sum.recipients <= FEW;
    if (got == QUERY_END && y->exact && !(sure && y->sum.shared)) {
        *sum = y->sum;
        return QUERY_END;
    }
    while (got != QUERY_LATER && (got = query_next(y, begun_ns, &m)) == QUERY_ONE)
        if (!count_message(y, &m, sum))
            return QUERY_LATER;
    return got;
}

static void note(struct query *y, uint64_t age)
{
    if (y->meant_n == y->meant_cap) {
        y->meant_cap = y->meant_cap ? must_mul(y->meant_cap, 2) : 64;
        y->meant = must_realloc(y->meant, must_mul(y->meant_cap, sizeof *y->meant));
    }
    y->meant[y->meant_n++] = age;
}

enum query_got query_note(struct query *y, int64_t begun_ns, struct query_sum *sum)
{
    struct sched_msg_info m;
    enum query_got got;
    while ((got = query_next(y, begun_ns, &m)) == QUERY_ONE) {
        if (!y->rest)
            note(y, m.age);
        if (!count_message(y, &m, sum))
            return QUERY_LATER;
    }
    if (got == QUERY_END) {
        y->noted = true;
        queue_filter_any_stage(y->filter);
        query_again(y, true);
    }
    return got;
}
