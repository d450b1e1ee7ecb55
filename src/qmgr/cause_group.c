/* All mail of an address, a domain, a site or a host. Of a domain, a site or a host the index
 * (queue/index.h) knows it all: its cells are gone through, of which there are thousands where
 * there are a million messages. Of an address the messages of its domain are looked at. Both in
 * slices; what changes between two of them may be counted or not. */
#include "qmgr/admin_query.h"
#include "qmgr/hosts.h"
#include "qmgr/cause.h"
#include "qmgr/keep.h"
#include "qmgr/reroute.h"

#include "attempt/attempt.h"
#include "base/domain.h"
#include "base/must.h"
#include "config/rules.h"
#include "queue/reason.h"

#include <stdlib.h>
#include <sysexits.h>

enum {
    REASONS_SHOWN = 20,
    DOMAINS_SHOWN = 20,
    ALIASES_MAX = 8, /* names of one address */
    CELL_UNITS = 4,  /* of a slice's work, for a cell */
    ROW_UNITS = 256, /* for a reason, a domain, a place */
    FEW = 1000,      /* messages that are told apart where cells share some */
    KEY_MAX = QUEUE_CLASS_MAX + 1,
};

/* Before a reason's class stands its state, as one byte: 'A' + this. As people name them, but for
 * what is put off with its site (or destination), which others are for themselves. */
enum { WITH_SITE = QUEUE_STATES, STATES };

static const char *state_name(int state)
{
    return queue_state_name(state == WITH_SITE ? QUEUE_DEFERRED : (enum queue_state)state);
}

enum phase { NAMES, CELLS, ROWS, GROUP, REASONS, DOMAINS, PLACES, ASK, UNDER_WAY, END };

struct cause_scan {
    enum phase phase;
    struct query y;
    bool queried; /* y is to be freed */
    struct span target; /* in the ask's word */
    struct span host;   /* the same without the brackets of a literal */
    struct netaddr ip;  /* it is one; or NETADDR_NONE */
    bool whole, local;  /* it is an address; one of this host without a domain */
    struct buf names;   /* of a host that is asked for by its address */
    struct span aliases[ALIASES_MAX];
    size_t alias_count;
    struct way *way; /* a question to the delivers; NULL: there is none */
    struct queue_walk walk;
    bool walking;
    bool rows_needed; /* cells do not know it all */
    struct hash reasons, places, domains;
    struct queue_set few; /* ages: those of the first FEW messages */
    uint64_t messages, bytes, shared_cells, by_name, by_host, other_reasons, other_domains;
    uint64_t states[STATES];
    uint64_t oldest, newest; /* ages */
    int64_t next_ms;         /* monotonic; 0: none */
    bool at_turn;            /* some are held back by no time, */
    bool new;                /* or may be: it is not known yet at which site they are */
    size_t reasons_said;
    uint32_t look_at; /* recipient of the next reason's oldest message */
};

static void scan_gone(struct admin_ask *a)
{
    struct cause_scan *w = a->own;
    if (w->walking)
        queue_walk_end(&w->walk);
    if (w->queried)
        query_free(&w->y);
    way_free(&w->way);
    cause_tallies_free(&w->reasons);
    cause_tallies_free(&w->places);
    cause_tallies_free(&w->domains);
    queue_set_free(&w->few);
    buf_free(&w->names);
    free(w);
}

/* --- is it meant? --- */

static bool name_char(char c) { return ascii_isalnum(c) || c == '-' || c == '.' || c == '_'; }

/* "mx:mx1.example,mx2.example" names mx2.example, "host:[192.0.2.1]:25" names 192.0.2.1, and both
 * name themselves, with and without the share of a rule. */
static bool key_names(struct span key, struct span host)
{
    struct span plain = config_rules_plain_site(key);
    if (span_ieq(key, host) || span_ieq(plain, host))
        return true;
    key = plain;
    if (!host.n || host.n > key.n)
        return false;
    char first = ascii_lower(host.p[0]);
    for (size_t i = span_find(key, ':'); i + host.n <= key.n; i++) {
        if (ascii_lower(key.p[i]) != first || (i > 0 && name_char(key.p[i - 1])))
            continue;
        bool ends = i + host.n == key.n || !name_char(key.p[i + host.n]);
        if (ends && span_istarts(span_from(key, i), host))
            return true;
    }
    return false;
}

static bool is_through(const struct cause_scan *w, struct span dest, struct span site)
{
    if (key_names(dest, w->host) || key_names(site, w->host))
        return true;
    for (size_t i = 0; i < w->alias_count; i++)
        if (key_names(dest, w->aliases[i]) || key_names(site, w->aliases[i]))
            return true;
    return false;
}

bool cause_is_address(struct span target, struct sched_addr addr)
{
    size_t at = addr.local.n;
    if (!addr.domain.n)
        return span_ieq(addr.local, target);
    at = addr.whole ? span_rfind(addr.local, '@') : at;
    return at + 1 + addr.domain.n == target.n && target.p[at] == '@' &&
           span_ieq(span_to(addr.local, at), span_to(target, at)) &&
           span_ieq(addr.domain, span_from(target, at + 1));
}

/* --- what was found --- */

struct found {
    int state;
    struct span reason, dest, domain;
    bool by_name, placed;
    uint64_t recipients, age; /* of the oldest */
    int64_t next_ms;
};

static int state_of(enum sched_state at, enum queue_state state)
{
    return at == SCHED_READY && state == QUEUE_DEFERRED ? WITH_SITE : (int)state;
}

static struct span reason_key(int state, struct span reason, char room[KEY_MAX])
{
    room[0] = (char)('A' + state);
    return span_of(room, 1 + queue_reason_class(reason, room + 1));
}

static void see(struct cause_scan *w, const struct found *f)
{
    char room[KEY_MAX];
    *(f->by_name ? &w->by_name : &w->by_host) += f->recipients;
    w->states[f->state] += f->recipients;
    if (f->next_ms && (!w->next_ms || f->next_ms < w->next_ms))
        w->next_ms = f->next_ms;
    *(f->placed ? &w->at_turn : &w->new) |= f->state == QUEUE_READY && !f->next_ms;
    if (f->dest.n)
        cause_tally_add(&w->places, f->dest, f->recipients, f->age);
    struct cause_tally *t = cause_tally_add(&w->reasons, reason_key(f->state, f->reason, room),
                                        f->recipients, f->age);
    if (!t)
        w->other_reasons += f->recipients;
    if (!f->by_name && !cause_tally_add(&w->domains, f->domain, f->recipients, f->age))
        w->other_domains++;
}

static void see_ages(struct cause_scan *w, uint64_t oldest, uint64_t newest)
{
    w->oldest = oldest < w->oldest ? oldest : w->oldest;
    w->newest = newest > w->newest ? newest : w->newest;
}

/* --- from cells --- */

/* A message that is in several cells is counted in each of them: of few messages it is seen which
 * are the same. */
static void see_few(struct cause_scan *w, const struct queue_cell *c)
{
    uint64_t age = 0;
    if (w->messages <= FEW)
        while (queue_set_from(&c->ages, age, &age) && w->few.count <= FEW)
            queue_set_add(&w->few, age++);
}

static void count_few(struct admin_ask *a, struct cause_scan *w)
{
    struct sched_msg_info m;
    uint64_t age = 0, messages = 0, bytes = 0;
    if (w->shared_cells < 2 || w->few.count > FEW || w->messages > FEW || !w->few.count)
        return;
    while (queue_set_from(&w->few, age, &age)) {
        if (sched_age_get(a->q->sched, age++, &m)) { /* else it has gone since */
            messages++;
            bytes += m.size_bytes;
        }
    }
    if (!messages)
        return;
    w->messages = messages;
    w->bytes = bytes;
    w->shared_cells = 0;
}

static void see_cell(struct admin_ask *a, struct cause_scan *w, struct queue_cell *c)
{
    struct sched_cell_info info;
    uint64_t oldest, newest;
    sched_cell(c, &info);
    if (w->whole || !info.domain.n) {
        w->rows_needed |= !w->whole || span_ieq(info.domain, span_from(w->target,
                                                    span_rfind(w->target, '@') + 1));
        if (w->whole)
            return;
    }
    bool by_name = info.domain.n && span_ieq(info.domain, w->target);
    if (!by_name && !is_through(w, info.dest, info.site))
        return;
    MUST(queue_set_from(&c->ages, 0, &oldest) && queue_set_max(&c->ages, &newest));
    w->messages += c->messages;
    w->bytes += c->bytes;
    see_few(w, c);
    w->shared_cells += c->shared > 0; /* a message may be in several of them */
    see_ages(w, oldest, newest);
    struct found f = { .state = state_of(info.at, info.state), .reason = info.reason,
                       .dest = info.dest, .domain = info.domain, .by_name = by_name,
                       .placed = info.site.n > 0,
                       .recipients = c->ages.count, .age = oldest,
                       .next_ms = cause_next_ms(a->q, info.state, info.dest, info.next_try_ms) };
    see(w, &f);
}

/* False, as all of these: the slice is over. */
static bool feed_cells(struct admin_ask *a)
{
    struct cause_scan *w = a->own;
    struct queue_cell *c;
    if (!w->walking)
        queue_walk_begin(&w->walk, sched_index(a->q->sched), QUEUE_RCPTS);
    w->walking = true;
    while ((c = queue_walk_next(&w->walk)) != NULL) {
        see_cell(a, w, c);
        if (admin_spent(a, CELL_UNITS))
            return false;
    }
    queue_walk_end(&w->walk);
    w->walking = false;
    return true;
}

/* --- from messages --- */

static void see_message(struct admin_ask *a, const struct sched_msg_info *m)
{
    struct cause_scan *w = a->own;
    struct sched_rcpt_info r;
    bool any = false;
    for (uint32_t i = 0; sched_msg_rcpt(m->here, i, &r); i++) {
        if (r.state >= SCHED_LIVE || !cause_is_address(w->target, r.addr))
            continue;
        enum queue_state state = sched_queue_state(&r);
        struct found f = { .state = state_of(r.state, state),
                           .reason = r.reason, .dest = r.dest, .by_name = true,
                           .placed = r.site.n > 0,
                           .recipients = 1, .age = m->age,
                           .next_ms = cause_next_ms(a->q, state, r.dest, r.next_try_ms) };
        see(w, &f);
        any = true;
    }
    if (!any)
        return;
    w->messages++;
    w->bytes += m->size_bytes;
    see_ages(w, m->age, m->age);
}

/* False: there can be none. */
static bool rows_begin(struct admin_ask *a)
{
    struct cause_scan *w = a->own;
    struct wire none = wire_reader(SPAN_NONE);
    struct buf word;
    w->local = !w->whole;
    w->queried = true;
    if (!query_init(&w->y, a, &none, NULL))
        return false;
    buf_init(&word, ENVELOPE_TEXT_MAX + 16);
    buf_putz(&word, w->whole ? "domain=" : "to=");
    buf_puts(&word, w->whole ? span_from(w->target, span_rfind(w->target, '@') + 1) : w->target);
    bool good = query_add(&w->y, buf_span(&word));
    buf_free(&word);
    return good;
}

static bool feed_rows(struct admin_ask *a)
{
    struct cause_scan *w = a->own;
    struct sched_msg_info m;
    for (;;) {
        enum query_got got = query_next(&w->y, a->now.begun_ns, &m);
        if (got != QUERY_ONE)
            return got == QUERY_END;
        see_message(a, &m);
        if (admin_spent(a, m.rcpt_count))
            return false;
    }
}

/* --- saying it --- */

static bool is_asked(const struct cause_scan *w, const struct sched_rcpt_info *r)
{
    if (w->whole || w->local)
        return cause_is_address(w->target, r->addr);
    return (r->addr.domain.n && span_ieq(r->addr.domain, w->target)) ||
           is_through(w, r->dest, r->site);
}

/* The recipient of the oldest that has it: w->look_at, behind the last one when there is none any
 * more. False: the slice is over, and it goes on there. */
static bool find_oldest(struct admin_ask *a, struct cause_scan *w, const struct cause_tally *t)
{
    struct sched_msg_info m;
    struct sched_rcpt_info r;
    char room[KEY_MAX];
    if (!sched_age_get(a->q->sched, t->oldest, &m))
        return true;
    for (; sched_msg_rcpt(m.here, w->look_at, &r); w->look_at++) {
        int state = state_of(r.state, sched_queue_state(&r));
        if (r.state < SCHED_LIVE && is_asked(w, &r) &&
            span_eq(reason_key(state, r.reason, room), t->node.key))
            return true;
        if (admin_spent(a, CELL_UNITS)) {
            w->look_at++;
            return false;
        }
    }
    return true;
}

/* Of the oldest: its own words and its id. */
static void put_oldest(struct json *j, struct qmgr *q, const struct cause_scan *w,
                       const struct cause_tally *t)
{
    struct sched_msg_info m;
    struct sched_rcpt_info r;
    if (!sched_age_get(q->sched, t->oldest, &m) || !sched_msg_rcpt(m.here, w->look_at, &r)) {
        json_str(j, "reason", span_from(t->node.key, 1)); /* it has gone since */
        return;
    }
    json_str(j, "reason", r.reason);
    json_str(j, "id", span_str(queueid_make(m.seq, m.received_ms).text));
    if (r.frozen)
        cause_put_frozen(j, q, &r);
}

static void send_reason(struct admin_ask *a, struct cause_scan *w, const struct cause_tally *t)
{
    struct buf b;
    struct json j = cause_row(&b, "reason");
    json_str(&j, "state", span_str(state_name(t->key[0] - 'A')));
    if (t->key[0] - 'A' == WITH_SITE)
        json_bool(&j, "with_site", true);
    json_uint(&j, "recipients", t->recipients);
    put_oldest(&j, a->q, w, t);
    cause_row_end(a, &j, &b);
}

/* False: there are more. */
static bool send_reasons(struct admin_ask *a, struct cause_scan *w)
{
    struct cause_tally *best[REASONS_SHOWN];
    size_t n = cause_tally_best(&w->reasons, best, REASONS_SHOWN);
    while (w->reasons_said < n) {
        if (!find_oldest(a, w, best[w->reasons_said]))
            return false;
        send_reason(a, w, best[w->reasons_said++]);
        w->look_at = 0;
        if (admin_spent(a, ROW_UNITS))
            return w->reasons_said == n;
    }
    return true;
}

static bool send_domains(struct admin_ask *a, struct cause_scan *w)
{
    struct cause_tally *best[DOMAINS_SHOWN];
    size_t n = cause_tally_best(&w->domains, best, DOMAINS_SHOWN);
    for (size_t i = 0; i < n; i++) {
        struct buf b;
        struct json j = cause_row(&b, "domain");
        json_str(&j, "name", best[i]->node.key);
        json_uint(&j, "recipients", best[i]->recipients);
        cause_row_end(a, &j, &b);
    }
    return !admin_spent(a, n * ROW_UNITS);
}

static uint64_t reasons_unseen(const struct cause_scan *w)
{
    struct cause_tally *best[REASONS_SHOWN];
    size_t n = cause_tally_best(&w->reasons, best, REASONS_SHOWN);
    uint64_t all = w->by_name + w->by_host;
    for (size_t i = 0; i < n; i++)
        all -= best[i]->recipients;
    return all;
}

static const char *kind_of(const struct cause_scan *w)
{
    return w->whole || w->local ? "address" : w->by_name ? "domain" : "host";
}

static void put_times(struct admin_ask *a, struct cause_scan *w, struct json *j)
{
    struct sched_now now = qmgr_now(a->q);
    struct sched_msg_info m;
    json_int(j, "oldest_ms", sched_age_ms(w->oldest));
    json_int(j, "newest_ms", sched_age_ms(w->newest));
    if (sched_age_get(a->q->sched, w->oldest, &m))
        json_str(j, "oldest", span_str(queueid_make(m.seq, m.received_ms).text));
    if (w->next_ms)
        json_int(j, "next_try_ms", cause_wall(now, w->next_ms));
    if (w->at_turn || (w->new && !w->next_ms))
        json_bool(j, "at_its_turn", true);
}

static bool send_group(struct admin_ask *a, struct cause_scan *w)
{
    struct buf b;
    struct json j = cause_row(&b, "group");
    uint64_t unseen = reasons_unseen(w);
    count_few(a, w);
    json_str(&j, "target", w->target);
    json_str(&j, "is", span_str(kind_of(w)));
    json_uint(&j, "messages", w->messages);
    if (w->shared_cells > 1)
        json_bool(&j, "messages_at_most", true);
    json_uint(&j, "bytes", w->bytes);
    w->states[QUEUE_DEFERRED] += w->states[WITH_SITE];
    json_open(&j, "recipients");
    for (int s = 0; s < QUEUE_STATES; s++)
        if (w->states[s])
            json_uint(&j, state_name(s), w->states[s]);
    json_close(&j);
    if (w->by_name && w->by_host) /* it is a domain, and mail of others goes there, too */
        json_uint(&j, "of_others", w->by_host);
    if (w->domains.n)
        json_uint(&j, "domains", w->domains.n + w->other_domains);
    json_uint(&j, "places", w->places.n);
    put_times(a, w, &j);
    if (unseen)
        json_uint(&j, "other_reasons", unseen);
    cause_row_end(a, &j, &b);
    return !admin_spent(a, ROW_UNITS);
}

/* --- nothing waits --- */

static void send_rule(struct admin_ask *a, const struct cause_scan *w)
{
    struct reroute_rule rule;
    struct buf b;
    if (!reroute_rule_get(a->q, w->target, &rule))
        return;
    struct json j = cause_row(&b, "rule");
    json_str(&j, "name", rule.name);
    json_str(&j, "nexthop", rule.hop);
    cause_put_who(&j, rule.who, rule.since_ms);
    cause_row_end(a, &j, &b);
}

static void send_nothing(struct admin_ask *a, struct cause_scan *w)
{
    struct span name;
    struct decision d;
    struct buf key;
    if (decision_get(a->q, KEEP_FROZEN, w->target, &name, &d)) {
        struct buf b;
        struct json j = cause_row(&b, "frozen");
        json_str(&j, "name", name);
        cause_put_who(&j, d.who, d.at_ms);
        cause_row_end(a, &j, &b);
    }
    buf_init(&key, ENVELOPE_TEXT_MAX + 8);
    buf_printf(&key, "mx:%.*s", SPAN_ARG(w->target));
    if (!key.failed)
        cause_tally_add(&w->places, buf_span(&key), 0, 0);
    buf_free(&key);
}

static void add_alias(struct cause_scan *w, struct span name)
{
    struct span rest = buf_span(&w->names);
    for (size_t i = 0; i < w->alias_count; rest = span_from(rest, w->aliases[i++].n))
        if (span_ieq(span_to(rest, w->aliases[i].n), name))
            return;
    if (w->alias_count == ALIASES_MAX || !name.n || span_find(name, '[') < name.n)
        return;
    buf_puts(&w->names, name);
    w->aliases[w->alias_count++] = span_of((const char *)NULL, name.n);
}

/* Names of the host with this address, as far as it was heard of lately. */
static void on_host(void *ctx, const struct host_info *h)
{
    struct cause_scan *w = ctx;
    if (w->ip.family != NETADDR_NONE && netaddr_same_ip(&w->ip, &h->relay))
        add_alias(w, h->name);
}

/* A domain without MX whose name is an alias of it: its mail goes there under its own name. And
 * the names of the host with this address, tried or not. */
static void on_story(struct cause_scan *w, struct span story)
{
    struct attempt at;
    if (!attempt_get(story, &at))
        return;
    if (at.addr_count && at.alias.n && span_ieq(at.alias, w->target))
        add_alias(w, at.addrs[0].host);
    for (size_t i = 0; w->ip.family != NETADDR_NONE && i < at.addr_count; i++)
        if (netaddr_same_ip(&w->ip, &at.addrs[i].addr))
            add_alias(w, at.addrs[i].host);
}

/* What is under way may have to do with the address, which nobody else has heard of yet. */
static void on_way(struct cause_scan *w)
{
    size_t n, of;
    const struct way_job *jobs = way_jobs(w->way, &n, &of);
    for (size_t i = 0; i < n; i++) {
        on_story(w, jobs[i].story);
        if (netaddr_same_ip(&w->ip, &jobs[i].relay))
            add_alias(w, jobs[i].host);
    }
}

static void find_names(struct admin_ask *a, struct cause_scan *w)
{
    if (w->way)
        on_way(w);
    way_free(&w->way);
    hosts_each(a->q, on_host, w);
    LIST_EACH(n, &a->q->told) {
        const struct dest *d = CONTAINER(n, struct dest, told);
        on_story(w, span_of(d->story, d->story_len));
    }
    struct span rest = buf_span(&w->names);
    for (size_t i = 0; i < w->alias_count; i++) { /* the names do not move any more */
        w->aliases[i] = span_to(rest, w->aliases[i].n);
        rest = span_from(rest, w->aliases[i].n);
    }
}

/* --- what is under way --- */

static bool any_asked(const struct qmgr *q, const struct cause_scan *w, const struct job *j)
{
    struct sched_rcpt_info r;
    for (uint32_t i = 0; i < j->rcpt_count; i++)
        if (sched_rcpt(q->sched, j->seq, j->rcpts[i], &r) && is_asked(w, &r))
            return true;
    return false;
}

/* Of very many the first ones that are met: one slice's work. */
static void ask_where(struct admin_ask *a, struct cause_scan *w)
{
    size_t looked = 0;
    for (struct hash_node *n = hash_next(&a->q->jobs, NULL);
         n && looked < ADMIN_SLICE_UNITS / CELL_UNITS; n = hash_next(&a->q->jobs, n)) {
        const struct job *j = CONTAINER(n, struct job, node);
        if (!hash_get(&w->places, j->dest))
            continue;
        looked += j->rcpt_count;
        if (!any_asked(a->q, w, j))
            continue;
        cause_way_add(a, &w->way, j);
    }
    if (w->way)
        way_ask(w->way, NULL);
}

/* --- the question --- */

static enum phase next_phase(struct admin_ask *a)
{
    struct cause_scan *w = a->own;
    switch (w->phase) {
    case NAMES: return CELLS;
    case CELLS:
        if (w->rows_needed && !w->messages && rows_begin(a))
            return ROWS;
        /* fall through */
    case ROWS: return GROUP;
    case GROUP: return w->messages ? REASONS : PLACES;
    case REASONS: return DOMAINS;
    case DOMAINS: return PLACES;
    case PLACES: return w->messages ? ASK : END;
    case ASK: return UNDER_WAY;
    default: return END;
    }
}

static bool phase_done(struct admin_ask *a)
{
    struct cause_scan *w = a->own;
    switch (w->phase) {
    case NAMES:
        find_names(a, w);
        return true;
    case CELLS: return feed_cells(a);
    case ROWS: return feed_rows(a);
    case GROUP:
        cause_send_now(a);
        send_rule(a, w);
        if (w->messages)
            return send_group(a, w);
        send_nothing(a, w);
        return true;
    case REASONS: return send_reasons(a, w);
    case DOMAINS: return send_domains(a, w);
    case PLACES: cause_send_places(a, &w->places, w->whole ? SPAN_NONE : w->host); return true;
    case ASK: ask_where(a, w); return true;
    default:
        if (w->way)
            cause_send_way(a, w->way);
        return true;
    }
}

/* A phase that says something does so once, also when the slice is over after it; reasons may
 * take several slices. */
static void scan_slice(struct admin_ask *a)
{
    struct cause_scan *w = a->own;
    for (bool over = false; !over && w->phase != END;) {
        if (w->way && !way_done(w->way))
            return; /* its end begins the next slice */
        over = !phase_done(a);
        if (!over || (w->phase != CELLS && w->phase != ROWS && w->phase != REASONS))
            w->phase = next_phase(a);
    }
    if (w->phase != END)
        admin_next(a);
    else if (w->messages)
        admin_end(a, ADMIN_OK, "");
    else
        admin_end(a, EX_NOINPUT, "nothing in the queue is for it");
}

/* With its domain as it is compared. */
static void put_folded(struct buf *to, struct span target)
{
    size_t at = span_rfind(target, '@');
    struct span domain = at < target.n ? span_from(target, at + 1) : target;
    char text[ENVELOPE_TEXT_MAX];
    size_t n = domain_rewritten(domain, text, sizeof text);
    buf_puts(to, span_to(target, target.n - domain.n));
    buf_puts(to, n ? span_of(text, n) : domain);
}

/* RFC 5321 4.1.3: "[192.0.2.1]" and "[IPv6:::1]" are domains, and name a host. */
static struct span host_of(struct span target)
{
    if (target.n < 3 || target.p[0] != '[' || target.p[target.n - 1] != ']')
        return target;
    target = span_of(target.p + 1, target.n - 2);
    return span_istarts(target, SPAN("IPv6:")) ? span_from(target, 5) : target;
}

void cause_group(struct admin_ask *a, struct span target)
{
    uint64_t seed = loop_random_u64(a->q->env->loop);
    struct cause_scan *w = a->own = NEW(struct cause_scan);
    a->own_gone = scan_gone;
    a->slice = scan_slice;
    put_folded(&a->word, span_to(target, ENVELOPE_TEXT_MAX - 1));
    buf_init(&w->names, 4096);
    w->target = buf_span(&a->word);
    w->host = host_of(w->target);
    if (!netaddr_parse_ip(w->host, &w->ip))
        w->ip.family = NETADDR_NONE;
    w->whole = span_find(w->target, '@') < w->target.n;
    w->oldest = UINT64_MAX;
    cause_tallies_init(&w->reasons, seed);
    cause_tallies_init(&w->places, seed);
    cause_tallies_init(&w->domains, seed);
    if (w->ip.family == NETADDR_NONE || !a->q->jobs.n)
        return;
    w->way = cause_way(a);
    way_ask(w->way, &w->ip);
}
