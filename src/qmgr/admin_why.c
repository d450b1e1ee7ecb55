/* Why is it still here? What the schedule knows of one message, or of all mail for an address, a
 * domain, a site or a host: who waits, for what, behind which place, and what that place allows
 * now. The words are the command line's; this gives it the facts as rows:
 *
 *   {"kind":"now", ...}        the gateway itself: who is away, how many deliveries there are
 *   {"kind":"message", ...}    and {"kind":"recipient", ...} for each of it, and
 *   {"kind":"attempt", ...}    for each that is kept (attempt_json; "of" another message), or
 *   {"kind":"group", ...}      and {"kind":"reason", ...} for each reason, with the number, and
 *   {"kind":"domain", ...}     for those whose mail goes through a host
 *   {"kind":"place", ...}      for each destination that was met, with its site
 *   {"kind":"delivery", ...}   for each delivery of it that is under way (cause_way.c)
 *   {"kind":"host", ...}       for each host heard of there lately: its last word
 *   {"kind":"frozen", ...}     when nothing waits for it, and nothing would be started
 *   {"kind":"rule", ...}       of a name whose mail is sent another way */
#include "qmgr/cause.h"

#include "attempt/attempt.h"
#include "base/must.h"
#include "proto/lists.h"
#include "qmgr/reroute.h"
#include "queue/reason.h"

#include <stdlib.h>
#include <sysexits.h>

enum {
    RCPTS_SHOWN = 200, /* of a message */
    LOOKED_MAX = 10000, /* of a message's recipients, for the attempts of others */
    REASONS_SHOWN = 40,
    CLASS_UNITS = 4,   /* of a slice's work, for a reason's class */
    ATTEMPTS_SHOWN = 20,
    STORIES_BYTES_MAX = 64 << 20,
    DECIDED_RCPTS_MAX = 1000, /* of a message: of more, the records would take too long to read */
    OTHERS_MAX = 4, /* sites at which others' attempts are looked for */
};

/* One message, in slices: between two of them it may go. */
enum phase {
    HEAD, ASK, COUNT, REASONS, FIRSTS, ENDED_FIRSTS, LIVE, FINAL, PLACES, STORIES, ATTEMPTS,
    UNDER_WAY, END
};

/* What another message met last at a site, where some recipients wait for that one's sake. */
struct other {
    struct span site;
    struct queueid id; /* empty: it is the message's own attempt, */
    bool own;          /* and `site` its destination */
    int64_t at_ms; /* 0: there is none */
    struct spool_story story; /* for these recipients */
};

struct look {
    uint64_t seq;
    enum phase phase;
    uint32_t at, shown; /* recipients */
    struct span asked;  /* an address or domain (in a->word): others are not meant; or empty */
    uint64_t meant;     /* recipients, of which those in `alike` are told apart */
    struct hash reasons, alike; /* struct cause_tally; oldest: the first of them, by its number */
    struct hash places;
    struct arena *decided_mem;
    struct spool_outcome *decided; /* the last record of each recipient that has one */
    size_t decided_count;
    struct arena *mem;
    struct spool_story *stories; /* newest first */
    size_t story_count, story_at;
    struct queueid of; /* the message whose stories these are, when it is another one; or empty */
    struct other others[OTHERS_MAX];
    size_t other_count, other_at;
    bool told; /* some of them are */
    struct way *way; /* of its jobs; NULL: there are none */
};

/* --- recipients --- */

static void put_hops(struct json *j, const struct route_dest *d)
{
    struct buf hops;
    buf_init(&hops, ROUTE_KEY_MAX);
    if (route_dest_has_hops(d))
        dns_hops_put(&hops, d->hops, d->hop_count);
    json_str(j, "rerouted", d->queue);
    json_str(j, "hops", buf_span(&hops));
    json_str(j, "rerouted_as", d->matched);
    buf_free(&hops);
}

/* The rule for its domain, unless it has a way of its own. */
static void put_rule(struct json *j, struct qmgr *q, struct sched_addr addr,
                     const struct route_dest *d)
{
    struct reroute_rule rule;
    struct route_dest by;
    if (!reroute_rule_for(q, sched_addr_domain(addr), SPAN_NONE, q->routed, &rule, &by) ||
        !span_eq(by.matched, d->matched))
        return;
    json_str(j, "reroute_rule", rule.name);
    cause_put_who(j, rule.who, rule.since_ms);
}

static void put_rerouted(struct json *j, struct qmgr *q, uint64_t seq, uint32_t rcpt,
                         struct sched_addr addr)
{
    struct route_dest d;
    if (reroute_find(q, seq, rcpt, q->routed, &d)) {
        put_hops(j, &d);
        put_rule(j, q, addr, &d);
    }
    arena_reset(q->routed);
}

/* When the delivery that has it began; 0: none has. */
static int64_t active_since(const struct qmgr *q, uint64_t seq, uint32_t rcpt)
{
    for (struct hash_node *n = hash_next(&q->jobs, NULL); n; n = hash_next(&q->jobs, n)) {
        const struct job *j = CONTAINER(n, struct job, node);
        for (uint32_t i = 0; j->seq == seq && i < j->rcpt_count; i++)
            if (j->rcpts[i] == rcpt)
                return j->begun_ms;
    }
    return 0;
}

static void load_decided(struct admin_ask *a, const struct sched_msg_info *m)
{
    struct look *l = a->own;
    l->decided_mem = arena_new(STORIES_BYTES_MAX);
    if (m->rcpt_count > DECIDED_RCPTS_MAX ||
        spool_outcomes(a->q->spool, m->seq, l->decided_mem, &l->decided, &l->decided_count) < 0)
        l->decided_count = 0;
}

/* When a person held it, or let it go; 0: nobody did, or the record is not on the disk yet. */
static int64_t decided_ms(const struct look *l, uint32_t rcpt, const struct sched_rcpt_info *r)
{
    uint8_t kind = r->state == SCHED_HELD ? SPOOL_HELD : SPOOL_RELEASED;
    for (size_t i = 0; i < l->decided_count; i++)
        if (l->decided[i].rcpt == rcpt && l->decided[i].kind == kind)
            return l->decided[i].at_ms;
    return 0;
}

static void put_decided(struct json *j, const struct look *l, uint32_t rcpt,
                        const struct sched_rcpt_info *r)
{
    int64_t at_ms = decided_ms(l, rcpt, r);
    if (at_ms)
        json_int(j, "decided_ms", at_ms);
    if (r->before.n)
        json_str(j, "before", r->before);
}

/* Whom an end would be told, and whether somebody was told of a delay; of what cannot be read in
 * the spool it is not known. */
static void put_told(struct json *j, struct qmgr *q, uint64_t seq, uint32_t rcpt, bool late)
{
    static const char *const whom[] = { [DSN_NONE] = "nobody", [DSN_TO_SENDER] = "sender",
                                        [DSN_TO_POSTMASTER] = "postmaster",
                                        [DSN_ALARM] = "alarm" };
    const struct envelope *env = store_envelope(q, seq);
    if (!env)
        return;
    json_bool(j, "warned", late && facts_due(q, env, rcpt, DSN_OUT_DELAYED) != DSN_NONE);
    json_str(j, "tells", span_str(whom[facts_due(q, env, rcpt, DSN_OUT_FAILED)]));
}

/* Behind its site's back-off. */
static bool waits_with_site(const struct sched_rcpt_info *r)
{
    return r->state == SCHED_READY && r->next_try_ms && !r->frozen;
}

static void send_rcpt(struct admin_ask *a, const struct sched_msg_info *m, uint32_t rcpt,
                      const struct sched_rcpt_info *r, uint64_t alike)
{
    struct sched_now now = qmgr_now(a->q);
    struct buf b;
    struct json j = cause_row(&b, "recipient");
    json_uint(&j, "rcpt", rcpt);
    if (alike)
        json_uint(&j, "alike", alike);
    admin_put_addr(&j, "to", r->addr);
    json_str(&j, "state", cause_state(r));
    cause_put_then(&j, r);
    if (r->state < SCHED_READY)
        json_bool(&j, "routing", true);
    if (waits_with_site(r))
        json_bool(&j, "with_site", true);
    json_bool(&j, "final", r->state >= SCHED_LIVE);
    json_uint(&j, "attempts", r->attempts);
    json_bool(&j, "expanded", r->marks & QMGR_EXPANDED);
    json_bool(&j, "released", r->released);
    json_bool(&j, "duplicate", r->duplicate);
    json_bool(&j, "frozen", r->frozen);
    if (r->frozen)
        cause_put_frozen(&j, a->q, r);
    if (r->next_try_ms && !r->frozen)
        json_int(&j, "next_try_ms", cause_wall(now, r->next_try_ms));
    cause_put_turn(&j, a->q, r, now);
    int64_t since_ms = r->state == SCHED_ACTIVE ? active_since(a->q, m->seq, rcpt) : 0;
    if (since_ms)
        json_int(&j, "begun_ms", cause_wall(now, since_ms));
    if (r->reason.n)
        json_str(&j, "reason", r->reason);
    put_decided(&j, a->own, rcpt, r);
    if (r->dest.n)
        json_str(&j, "destination", r->dest);
    if (r->site.n)
        json_str(&j, "site", r->site);
    if (r->state < SCHED_LIVE) {
        put_rerouted(&j, a->q, m->seq, rcpt, r->addr);
        json_int(&j, "expire_after_ms", sched_expire_ms(a->q->sched, r->dest));
        int64_t ends_ms = sched_msg_ends_ms(a->q->sched, m->here, rcpt);
        if (ends_ms != INT64_MAX)
            json_int(&j, "expires_ms", cause_wall(now, ends_ms));
        put_told(&j, a->q, m->seq, rcpt, r->warned);
    }
    cause_row_end(a, &j, &b);
}

/* What became of its addresses when it came in. */
static void put_rewritten(struct json *j, const struct envelope *env)
{
    struct span rest = env->rewritten;
    if (env->shown.n)
        json_str(j, "shown", env->shown);
    json_open_array(j, "rewritten");
    while (rest.n) {
        size_t end = span_find(rest, '\n');
        json_str(j, NULL, span_to(rest, end));
        rest = span_from(rest, end + 1);
    }
    json_close_array(j);
}

static void send_message(struct admin_ask *a, const struct sched_msg_info *m)
{
    struct qmgr *q = a->q;
    struct buf b;
    const struct envelope *env = store_envelope(q, m->seq);
    struct json j = cause_row(&b, "message");
    json_str(&j, "id", span_str(queueid_make(m->seq, m->received_ms).text));
    json_int(&j, "received_ms", m->received_ms);
    json_uint(&j, "size", m->size_bytes);
    admin_put_addr(&j, "sender", m->sender);
    json_uint(&j, "rcpts", m->rcpt_count);
    json_uint(&j, "waiting", m->live_count);
    json_str(&j, "listener", sched_msg_listener(m->here));
    json_int(&j, "expire_after_ms", q->config->retry.expire_after_ms);
    json_bool(&j, "readable", env != NULL);
    if (env && env->hold.n)
        json_str(&j, "hold", env->hold);
    if (env && env->rewritten.n)
        put_rewritten(&j, env);
    cause_row_end(a, &j, &b);
}

/* --- the attempts that are kept --- */

static void send_attempt(struct admin_ask *a, const struct spool_story *t, struct span of)
{
    struct attempt at;
    struct buf b;
    if (!attempt_get(t->text, &at))
        return;
    struct json j = cause_row(&b, "attempt");
    if (of.n)
        json_str(&j, "of", of);
    json_uint(&j, "recipient_count", t->n);
    json_open_array(&j, "recipients");
    for (size_t i = 0; i < t->n && i < JOB_RCPTS_MAX; i++)
        json_uint(&j, NULL, t->rcpts[i]);
    json_close_array(&j);
    attempt_json(&j, &at);
    cause_row_end(a, &j, &b);
}

static void load_stories(struct admin_ask *a, struct look *l, uint64_t seq)
{
    arena_free(&l->mem);
    l->mem = arena_new(STORIES_BYTES_MAX);
    if (spool_stories(a->q->spool, seq, l->mem, &l->stories, &l->story_count) < 0)
        l->story_count = 0;
}

/* When it was tried itself last; 0: never, or that is not kept. */
static int64_t own_attempt(const struct look *l, uint32_t rcpt)
{
    for (size_t i = 0; i < l->story_count; i++) {
        const struct spool_story *t = &l->stories[i];
        struct attempt at;
        for (size_t k = 0; k < t->n; k++)
            if (t->rcpts[k] == rcpt && attempt_get(t->text, &at))
                return at.at_ms;
    }
    return 0;
}

/* The destination of this site (or this one itself) whose attempt failed last. */
static const struct dest *last_told(struct qmgr *q, struct span dest, struct span site)
{
    const struct dest *last = NULL;
    LIST_EACH(n, &q->told) {
        const struct dest *d = CONTAINER(n, struct dest, told);
        struct span key = span_of(d->bytes, d->key_len);
        struct sched_place_info p;
        if (span_eq(key, dest) ||
            (site.n && sched_site_of(q->sched, key, &p) && span_eq(p.key, site)))
            last = d;
    }
    return last;
}

/* What it waits for has happened to others. */
static bool waits_for_others(struct qmgr *q, const struct sched_rcpt_info *r)
{
    struct sched_place_info dest, site;
    return r->state == SCHED_READY && sched_dest(q->sched, r->dest, &dest) &&
           sched_site_of(q->sched, r->dest, &site) && (dest.why.n || site.why.n);
}

static bool add_rcpt(struct look *l, struct other *o, uint32_t rcpt)
{
    enum { AT_ONCE = 16 };
    if (o->story.n % AT_ONCE == 0) {
        uint32_t *more = arena_alloc(l->mem, (o->story.n + AT_ONCE) * sizeof *more);
        if (!more)
            return false;
        if (o->story.n)
            memcpy(more, o->story.rcpts, o->story.n * sizeof *more);
        o->story.rcpts = more;
    }
    ((uint32_t *)o->story.rcpts)[o->story.n++] = rcpt;
    return true;
}

static bool take_told(struct look *l, struct other *o, const struct dest *d)
{
    struct attempt at;
    o->story.text = arena_dup(l->mem, span_of(d->story, d->story_len));
    o->at_ms = o->story.text.p && attempt_get(o->story.text, &at) ? at.at_ms : 0;
    return o->at_ms > 0;
}

/* The message's own last attempt, which is not on disk yet. NULL: it is there, or nothing is
 * known. */
static struct other *own_at(struct admin_ask *a, struct look *l, uint32_t rcpt,
                            const struct sched_rcpt_info *r)
{
    const struct dest *d = r->dest.n ? dest_find(a->q, r->dest) : NULL;
    struct other *o = NULL;
    for (size_t i = 0; i < l->other_count && !o; i++)
        if (l->others[i].own && span_eq(l->others[i].site, r->dest))
            o = &l->others[i];
    if (!o && d && d->story && d->failed_seq == l->seq && l->other_count < OTHERS_MAX) {
        o = &l->others[l->other_count++];
        *o = (struct other){ .site = arena_dup(l->mem, r->dest), .own = true };
        take_told(l, o, d);
    }
    return o && o->at_ms > own_attempt(l, rcpt) ? o : NULL;
}

/* NULL: of this site nothing is known, or is to be told. */
static struct other *other_at(struct admin_ask *a, struct look *l, const struct sched_rcpt_info *r)
{
    struct span site = r->site.n ? r->site : r->dest;
    for (size_t i = 0; i < l->other_count; i++)
        if (!l->others[i].own && span_eq(l->others[i].site, site))
            return l->others[i].at_ms ? &l->others[i] : NULL;
    if (l->other_count == OTHERS_MAX)
        return NULL;
    const struct dest *d = last_told(a->q, r->dest, r->site);
    struct other *o = &l->others[l->other_count++];
    *o = (struct other){ .site = arena_dup(l->mem, site) };
    if (!d || d->failed_seq == l->seq)
        return NULL;
    o->id = d->failed_id;
    return take_told(l, o, d) ? o : NULL;
}

static bool is_meant(const struct look *l, const struct sched_rcpt_info *r)
{
    return !l->asked.n || (r->addr.domain.n && span_ieq(r->addr.domain, l->asked)) ||
           cause_is_address(l->asked, r->addr);
}

/* From *at on; false: there is none, or not among the first many. */
static bool next_meant(const struct look *l, const struct sched_msg_info *m, uint32_t *at,
                       struct sched_rcpt_info *r)
{
    for (; *at < LOOKED_MAX && sched_msg_rcpt(m->here, *at, r); ++*at)
        if (is_meant(l, r))
            return true;
    return false;
}

/* Of a site that has failed for others since it was tried itself: the last attempt there. */
static void find_others(struct admin_ask *a, struct look *l, const struct sched_msg_info *m)
{
    struct sched_rcpt_info r;
    size_t looked = 0;
    for (uint32_t i = 0; next_meant(l, m, &i, &r) && looked++ < RCPTS_SHOWN; i++) {
        struct other *o = r.state < SCHED_LIVE ? own_at(a, l, i, &r) : NULL;
        if (!o && waits_for_others(a->q, &r))
            o = other_at(a, l, &r);
        if (o && o->at_ms > own_attempt(l, i))
            l->told |= add_rcpt(l, o, i);
    }
}

/* It waits for a place where the attempts of others have failed: the last of those. */
static void load_story_of_another(struct admin_ask *a, struct look *l,
                                  const struct sched_msg_info *m)
{
    struct sched_rcpt_info r;
    size_t looked = 0;
    for (uint32_t i = 0; next_meant(l, m, &i, &r) && looked++ < RCPTS_SHOWN; i++) {
        const struct dest *d = r.state < SCHED_LIVE && r.dest.n ? dest_find(a->q, r.dest) : NULL;
        if (!d || !d->failed_seq || d->failed_seq == l->seq)
            continue;
        struct other *o = other_at(a, l, &r);
        if (o) {
            l->told = add_rcpt(l, o, i);
            return;
        }
        l->of = d->failed_id;
        load_stories(a, l, d->failed_seq);
        l->story_count = l->story_count > 1 ? 1 : l->story_count;
        for (size_t k = 0; k < l->story_count; k++)
            l->stories[k].n = 0; /* recipients of that one */
        return;
    }
}

/* False, as all of these: the slice is over. */
static bool send_stories(struct admin_ask *a, struct look *l)
{
    for (; l->other_at < l->other_count; l->other_at++) {
        if (a->now.over)
            return false;
        const struct other *o = &l->others[l->other_at];
        if (o->story.n)
            send_attempt(a, &o->story, span_str(o->id.text));
    }
    for (; l->story_at < l->story_count && l->story_at < ATTEMPTS_SHOWN; l->story_at++) {
        if (a->now.over)
            return false;
        send_attempt(a, &l->stories[l->story_at], span_str(l->of.text));
    }
    return true;
}

/* --- one message --- */

/* Its deliveries that are under way: while they are asked about, the rest is said. */
static void ask_where(struct admin_ask *a, struct look *l)
{
    for (struct hash_node *n = hash_next(&a->q->jobs, NULL); n; n = hash_next(&a->q->jobs, n)) {
        const struct job *j = CONTAINER(n, struct job, node);
        if (j->seq != l->seq)
            continue;
        cause_way_add(a, &l->way, j);
    }
    if (l->way)
        way_ask(l->way, NULL);
}

/* Its state and the class of its reason; behind that, its destination. */
struct alike_key {
    char text[1 + QUEUE_CLASS_MAX + ROUTE_KEY_MAX];
    size_t reason_n, n;
};

static void alike_key(struct alike_key *k, const struct sched_rcpt_info *r)
{
    bool ended = r->state >= SCHED_LIVE;
    int state = ended ? (int)r->state + QUEUE_STATES : (int)sched_queue_state(r);
    struct span dest = span_to(r->dest, ROUTE_KEY_MAX - 1);
    k->text[0] = (char)(2 * state + waits_with_site(r));
    k->reason_n = 1 + queue_reason_class(ended ? SPAN_NONE : r->reason, k->text + 1);
    k->n = k->reason_n;
    k->text[k->n++] = '\0';
    if (dest.n)
        memcpy(k->text + k->n, dest.p, dest.n);
    k->n += dest.n;
}

/* NULL: there are too many to be told apart. */
static struct cause_tally *alike(const struct look *l, const struct sched_rcpt_info *r)
{
    struct alike_key k;
    alike_key(&k, r);
    struct hash_node *n = hash_get(&l->alike, span_of(k.text, k.n));
    return n ? CONTAINER(n, struct cause_tally, node) : NULL;
}

/* All of them, whatever is shown. */
static bool count(struct admin_ask *a, struct look *l, const struct sched_msg_info *m)
{
    struct sched_rcpt_info r;
    for (; sched_msg_rcpt(m->here, l->at, &r); l->at++) {
        struct alike_key k;
        if (admin_spent(a, CLASS_UNITS))
            return false;
        if (!is_meant(l, &r))
            continue;
        alike_key(&k, &r);
        cause_tally_add(&l->reasons, span_of(k.text, k.reason_n), 1, l->at);
        cause_tally_add(&l->alike, span_of(k.text, k.n), 1, l->at);
        l->meant++;
    }
    l->at = 0;
    return true;
}

static void send_reasons(struct admin_ask *a, struct look *l, const struct sched_msg_info *m)
{
    struct cause_tally *best[REASONS_SHOWN];
    size_t n = m->rcpt_count > 1 ? cause_tally_best(&l->reasons, best, REASONS_SHOWN) : 0;
    for (size_t i = 0; i < n; i++) {
        struct sched_rcpt_info r;
        struct buf b;
        if (!sched_msg_rcpt(m->here, (uint32_t)best[i]->oldest, &r))
            continue;
        struct json j = cause_row(&b, "reason");
        json_str(&j, "state", cause_state(&r));
        json_bool(&j, "final", r.state >= SCHED_LIVE);
        if (waits_with_site(&r))
            json_bool(&j, "with_site", true);
        json_uint(&j, "recipients", best[i]->recipients);
        json_str(&j, "reason", r.state < SCHED_LIVE ? r.reason : SPAN_NONE);
        if (r.frozen)
            cause_put_frozen(&j, a->q, &r);
        cause_row_end(a, &j, &b);
    }
}

/* Those that wait first, as far as they are shown; firsts: one of each situation. Where not all are
 * shown, the first one of its situation that is says how many are in it. */
static bool send_rcpts(struct admin_ask *a, struct look *l, const struct sched_msg_info *m,
                       bool final, bool firsts)
{
    bool cut = l->meant > RCPTS_SHOWN;
    struct sched_rcpt_info r;
    for (; l->shown < RCPTS_SHOWN && sched_msg_rcpt(m->here, l->at, &r); l->at++) {
        if (admin_spent(a, cut ? CLASS_UNITS : 1))
            return false;
        if ((r.state >= SCHED_LIVE) != final || !is_meant(l, &r))
            continue;
        struct cause_tally *t = cut ? alike(l, &r) : NULL;
        bool first = t && t->what == 0;
        if ((firsts && !first) || (!firsts && t && t->what && t->oldest == l->at))
            continue;
        send_rcpt(a, m, l->at, &r, first ? t->recipients : 0);
        if (t)
            t->what = 1;
        l->shown++;
        if (!final && r.dest.n)
            cause_tally_add(&l->places, r.dest, 1, m->age);
    }
    l->at = 0;
    return true;
}

static bool phase_done(struct admin_ask *a, struct look *l, const struct sched_msg_info *m)
{
    switch (l->phase) {
    case HEAD:
        cause_send_now(a);
        load_decided(a, m);
        send_message(a, m);
        return true;
    case ASK:
        ask_where(a, l);
        return true;
    case COUNT: return count(a, l, m);
    case REASONS:
        send_reasons(a, l, m);
        return true;
    case FIRSTS: return l->meant <= RCPTS_SHOWN || send_rcpts(a, l, m, false, true);
    case ENDED_FIRSTS: return l->meant <= RCPTS_SHOWN || send_rcpts(a, l, m, true, true);
    case LIVE: return send_rcpts(a, l, m, false, false);
    case FINAL: return send_rcpts(a, l, m, true, false);
    case PLACES:
        cause_send_places(a, &l->places, SPAN_NONE);
        return true;
    case STORIES:
        load_stories(a, l, l->seq);
        find_others(a, l, m);
        if (!l->story_count && !l->told)
            load_story_of_another(a, l, m);
        return true;
    case ATTEMPTS: return send_stories(a, l);
    case UNDER_WAY:
        if (l->way)
            cause_send_way(a, l->way);
        return true;
    case END: break;
    }
    return true;
}

static void look_slice(struct admin_ask *a)
{
    struct look *l = a->own;
    struct sched_msg_info m;
    bool there = sched_msg(a->q->sched, l->seq, &m);
    if (!there && l->phase == HEAD) {
        admin_end(a, EX_NOINPUT, "no such message is in the queue");
        return;
    }
    while (there && l->phase != END) {
        if (l->phase == UNDER_WAY && l->way && !way_done(l->way))
            return; /* its end begins the next slice */
        if (!phase_done(a, l, &m)) {
            admin_next(a);
            return;
        }
        l->phase++;
    }
    admin_end(a, ADMIN_OK, "");
}

static void look_gone(struct admin_ask *a)
{
    struct look *l = a->own;
    way_free(&l->way);
    cause_tallies_free(&l->reasons);
    cause_tallies_free(&l->alike);
    cause_tallies_free(&l->places);
    arena_free(&l->decided_mem);
    arena_free(&l->mem);
    free(l);
}

static void why_message(struct admin_ask *a, uint64_t seq, struct span asked)
{
    uint64_t seed = loop_random_u64(a->q->env->loop);
    struct look *l = a->own = NEW(struct look);
    l->seq = seq;
    buf_puts(&a->word, span_to(asked, ENVELOPE_TEXT_MAX - 1));
    l->asked = buf_span(&a->word);
    cause_tallies_init(&l->reasons, seed);
    cause_tallies_init(&l->alike, seed);
    cause_tallies_init(&l->places, seed);
    a->own_gone = look_gone;
    a->slice = look_slice;
}

/* target=ID, ADDRESS, DOMAIN, DESTINATION, SITE or HOST; of an ID also asked=ADDRESS or DOMAIN (as
 * it is compared): only these recipients of it */
void admin_why(struct admin_ask *a, struct wire *args)
{
    struct span arg = SPAN_NONE, asked = SPAN_NONE;
    uint64_t seq;
    if (!list_next_text(args, &arg) || !span_starts(arg, SPAN("target=")) || arg.n == 7) {
        admin_end(a, EX_USAGE, "this verb takes target=ID, ADDRESS, DOMAIN or HOST");
        return;
    }
    arg = span_from(arg, 7);
    if (list_next_text(args, &asked) && !span_starts(asked, SPAN("asked="))) {
        admin_end(a, EX_USAGE, "beside the target this verb takes asked=ADDRESS or DOMAIN");
        return;
    }
    if (queueid_seq(arg, &seq))
        why_message(a, seq, span_from(asked, 6));
    else
        cause_group(a, arg);
}
