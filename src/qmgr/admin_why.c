/* Why is it still here? What the schedule knows of one message, or of all mail for an address, a
 * domain, a site or a host: who waits, for what, behind which place, and what that place allows
 * now. The words are the command line's; this gives it the facts as rows:
 *
 *   {"kind":"now", ...}        the gateway itself: who is away, how many deliveries there are
 *   {"kind":"message", ...}    and {"kind":"recipient", ...} for each of it, and
 *   {"kind":"attempt", ...}    for each that is kept (attempt_json; "of" another message), or
 *   {"kind":"group", ...}      and {"kind":"reason", ...} for each reason, with the number
 *   {"kind":"place", ...}      for each destination that was met, with its site */
#include "qmgr/admin.h"

#include "attempt/attempt.h"
#include "base/must.h"
#include "proto/lists.h"

#include <stdlib.h>
#include <sysexits.h>

enum {
    RCPTS_SHOWN = 200,  /* of a message */
    REASONS_MAX = 40,   /* told apart */
    PLACES_MAX = 20,
    PLACES_SEEN = 2000, /* remembered while looking */
    ATTEMPTS_SHOWN = 20,
    LOOK_MESSAGES = 32, /* between two looks at the clock */
};

/* One reason, however many wait for it. Texts that differ in addresses and numbers only are one. */
struct why_reason {
    struct hash_node node;
    enum sched_state state;
    uint64_t recipients;
    uint64_t seq; /* of the oldest message */
    int64_t received_ms;
    size_t key_len, text_len;
    char bytes[]; /* state and shape; the text of the oldest */
};

struct why_place {
    struct hash_node node;
    uint64_t recipients;
    size_t len;
    char key[];
};

struct why_scan {
    struct span target; /* in the ask's word */
    bool whole;         /* it is an address */
    struct hash reasons, places;
    uint64_t messages, bytes, by_name, by_host, other_reasons;
    uint64_t states[SCHED_LIVE];
    uint64_t oldest_seq;
    int64_t oldest_ms, newest_ms, next_ms; /* next_ms: monotonic; 0: none */
};

/* --- rows --- */

static int64_t wall_of(struct sched_now now, int64_t mono_ms)
{
    return now.wall_ms + (mono_ms - now.mono_ms);
}

static void put_addr(struct json *j, const char *key, struct sched_addr addr)
{
    struct buf b;
    buf_init(&b, ENVELOPE_ADDR_MAX + 8);
    sched_addr_put(&b, addr);
    json_str(j, key, buf_span(&b));
    buf_free(&b);
}

static struct json begin_row(struct buf *b, const char *kind)
{
    buf_init(b, ADMIN_ROW_MAX);
    struct json j = json_writer(b);
    json_open(&j, NULL);
    json_str(&j, "kind", span_str(kind));
    return j;
}

static void end_row(struct admin_ask *a, struct json *j, struct buf *b)
{
    json_close(j);
    admin_row(a, b);
    buf_free(b);
}

static void send_now(struct admin_ask *a)
{
    struct qmgr *q = a->q;
    struct buf b;
    int delivers = 0;
    for (int i = 0; i < PEERS_MAX; i++)
        delivers += q->delivers[i].channel != NULL;
    struct json j = begin_row(&b, "now");
    json_int(&j, "now_ms", loop_wall_ms(q->env->loop));
    json_bool(&j, "router", q->router != NULL);
    json_int(&j, "delivers", delivers);
    json_bool(&j, "spool_stuck", store_stuck(q));
    json_uint(&j, "jobs", sched_totals(q->sched).jobs);
    json_uint(&j, "jobs_max", q->config->deliver.connections);
    json_bool(&j, "finishing", q->finishing);
    end_row(a, &j, &b);
}

static void put_states(struct json *j, const uint64_t n[SCHED_LIVE])
{
    json_open(j, "recipients");
    for (int s = 0; s < SCHED_LIVE; s++)
        if (n[s])
            json_uint(j, sched_state_name((enum sched_state)s), n[s]);
    json_close(j);
}

static void put_gate(struct json *j, const char *key, const struct sched_place_info *p,
                     struct sched_now now)
{
    uint64_t n[SCHED_LIVE];
    for (int s = 0; s < SCHED_LIVE; s++)
        n[s] = p->rcpts[s];
    json_open(j, key);
    if (p->key.n)
        json_str(j, "name", p->key);
    put_states(j, n);
    json_uint(j, "active", p->active);
    if (p->limit)
        json_uint(j, "limit", p->limit);
    if (p->limit_max)
        json_uint(j, "limit_max", p->limit_max);
    if (p->rule)
        json_uint(j, "rule", p->rule);
    if (p->rate) {
        json_uint(j, "rate", p->rate);
        json_int(j, "rate_ms", p->rate_ms);
    }
    if (p->interval_us)
        json_int(j, "interval_us", p->interval_us);
    if (p->slow)
        json_uint(j, "slowed", p->slow);
    if (p->paced_until_ms)
        json_int(j, "paced_until_ms", wall_of(now, p->paced_until_ms));
    if (p->down_until_ms)
        json_int(j, "down_until_ms", wall_of(now, p->down_until_ms));
    if (p->down_level)
        json_uint(j, "failures", p->down_level);
    if (p->why.n)
        json_str(j, "why", p->why);
    json_close(j);
}

static void send_place(struct admin_ask *a, struct span key)
{
    struct sched_now now = qmgr_now(a->q);
    struct sched_place_info dest, site;
    struct buf b;
    if (!sched_dest(a->q->sched, key, &dest) || !sched_site_of(a->q->sched, key, &site))
        return;
    struct json j = begin_row(&b, "place");
    json_str(&j, "name", dest.key);
    put_gate(&j, "destination", &dest, now);
    put_gate(&j, "site", &site, now);
    end_row(a, &j, &b);
}

/* --- places that were met --- */

static void place_seen(struct hash *places, struct span key)
{
    if (!key.n)
        return;
    struct hash_node *n = hash_get(places, key);
    if (n) {
        CONTAINER(n, struct why_place, node)->recipients++;
        return;
    }
    if (places->n >= PLACES_SEEN)
        return;
    struct why_place *p = must_alloc(sizeof *p + key.n);
    *p = (struct why_place){ .recipients = 1, .len = key.n };
    memcpy(p->key, key.p, key.n);
    hash_add(places, &p->node, span_of(p->key, p->len));
}

static int by_recipients(const void *a, const void *b)
{
    const struct why_place *x = *(struct why_place *const *)a, *y = *(struct why_place *const *)b;
    if (x->recipients != y->recipients)
        return x->recipients < y->recipients ? 1 : -1;
    return span_cmp(span_of(x->key, x->len), span_of(y->key, y->len));
}

static void send_places(struct admin_ask *a, struct hash *places)
{
    struct why_place **all = must_calloc(places->n + 1, sizeof *all);
    size_t n = 0;
    for (struct hash_node *h = hash_next(places, NULL); h; h = hash_next(places, h))
        all[n++] = CONTAINER(h, struct why_place, node);
    qsort(all, n, sizeof *all, by_recipients);
    for (size_t i = 0; i < n && i < PLACES_MAX; i++)
        send_place(a, span_of(all[i]->key, all[i]->len));
    free(all);
}

static void places_free(struct hash *places)
{
    for (struct hash_node *h; (h = hash_next(places, NULL));) {
        hash_remove(places, h);
        free(CONTAINER(h, struct why_place, node));
    }
    hash_free(places);
}

/* --- one message --- */

static void send_rcpt(struct admin_ask *a, uint32_t rcpt, const struct sched_rcpt_info *r)
{
    struct sched_now now = qmgr_now(a->q);
    struct buf b;
    struct json j = begin_row(&b, "recipient");
    json_uint(&j, "rcpt", rcpt);
    put_addr(&j, "to", r->addr);
    json_str(&j, "state", span_str(sched_state_name(r->state)));
    json_bool(&j, "final", r->state >= SCHED_LIVE);
    json_uint(&j, "attempts", r->attempts);
    json_bool(&j, "expanded", r->marks & QMGR_EXPANDED);
    json_bool(&j, "released", r->released);
    json_bool(&j, "warned", r->warned);
    json_bool(&j, "duplicate", r->duplicate);
    if (r->next_try_ms)
        json_int(&j, "next_try_ms", wall_of(now, r->next_try_ms));
    if (r->reason.n)
        json_str(&j, "reason", r->reason);
    if (r->dest.n)
        json_str(&j, "destination", r->dest);
    if (r->site.n)
        json_str(&j, "site", r->site);
    end_row(a, &j, &b);
}

static void send_message(struct admin_ask *a, const struct sched_msg_info *m)
{
    struct qmgr *q = a->q;
    struct buf b;
    const struct envelope *env = store_envelope(q, m->seq);
    struct json j = begin_row(&b, "message");
    json_str(&j, "id", span_str(queueid_make(m->seq, m->received_ms).text));
    json_int(&j, "received_ms", m->received_ms);
    json_uint(&j, "size", m->size_bytes);
    put_addr(&j, "sender", m->sender);
    json_uint(&j, "rcpts", m->rcpt_count);
    json_uint(&j, "waiting", m->live_count);
    json_int(&j, "expire_after_ms", q->config->retry.expire_after_ms);
    json_bool(&j, "readable", env != NULL);
    if (env && env->hold.n)
        json_str(&j, "hold", env->hold);
    end_row(a, &j, &b);
}

/* --- the attempts that are kept --- */

static void send_attempt(struct admin_ask *a, const struct spool_story *t, struct span of)
{
    struct attempt at;
    struct buf b;
    if (!attempt_get(t->text, &at))
        return;
    struct json j = begin_row(&b, "attempt");
    if (of.n)
        json_str(&j, "of", of);
    json_open_array(&j, "recipients");
    for (size_t i = 0; i < t->n && i < RCPTS_SHOWN; i++)
        json_uint(&j, NULL, t->rcpts[i]);
    json_close_array(&j);
    attempt_json(&j, &at);
    end_row(a, &j, &b);
}

/* Newest first; returns how many there are. of: of another message, which is named, one. */
static size_t send_attempts(struct admin_ask *a, uint64_t seq, struct span of)
{
    enum { STORIES_BYTES_MAX = 64 << 20 };
    struct arena *mem = arena_new(STORIES_BYTES_MAX);
    struct spool_story *list;
    size_t n = 0;
    if (spool_stories(a->q->spool, seq, mem, &list, &n) < 0)
        n = 0;
    for (size_t i = 0; i < n && i < (of.n ? 1 : ATTEMPTS_SHOWN); i++)
        send_attempt(a, &list[i], of);
    arena_free(&mem);
    return n;
}

/* It waits for a place where the attempts of others have failed: the last of those. */
static void send_attempt_of_another(struct admin_ask *a, const struct sched_msg_info *m)
{
    struct sched_rcpt_info r;
    struct sched_msg_info other;
    for (uint32_t i = 0; i < m->rcpt_count; i++) {
        if (!sched_rcpt(a->q->sched, m->seq, i, &r) || r.state >= SCHED_LIVE || !r.dest.n)
            continue;
        const struct dest *d = dest_find(a->q, r.dest);
        if (!d || !d->failed_seq || !sched_msg(a->q->sched, d->failed_seq, &other))
            continue;
        struct queueid id = queueid_make(other.seq, other.received_ms);
        send_attempts(a, other.seq, span_str(id.text));
        return;
    }
}

/* Those that wait first, as far as they are shown. */
static void send_rcpts(struct admin_ask *a, const struct sched_msg_info *m, struct hash *places)
{
    struct sched_rcpt_info r;
    uint32_t shown = 0;
    for (int final = 0; final < 2; final++) {
        for (uint32_t i = 0; i < m->rcpt_count && shown < RCPTS_SHOWN; i++) {
            if (!sched_rcpt(a->q->sched, m->seq, i, &r) || (r.state >= SCHED_LIVE) != final)
                continue;
            send_rcpt(a, i, &r);
            shown++;
            if (!final)
                place_seen(places, r.dest);
        }
    }
}

static void why_message(struct admin_ask *a, uint64_t seq)
{
    struct sched_msg_info m;
    struct hash places;
    if (!sched_msg(a->q->sched, seq, &m)) {
        admin_end(a, EX_NOINPUT, "no such message is in the queue");
        return;
    }
    hash_init(&places, loop_random_u64(a->q->env->loop), PLACES_SEEN);
    send_now(a);
    send_message(a, &m);
    send_rcpts(a, &m, &places);
    send_places(a, &places);
    places_free(&places);
    if (!send_attempts(a, seq, SPAN_NONE))
        send_attempt_of_another(a, &m);
    admin_end(a, ADMIN_OK, "");
}

/* --- all mail of an address, a domain, a site or a host --- */

static bool name_char(char c) { return ascii_isalnum(c) || c == '-' || c == '.' || c == '_'; }

/* "mx:mx1.example,mx2.example" names mx2.example, "host:[192.0.2.1]:25" names 192.0.2.1. */
static bool key_names(struct span key, struct span host)
{
    for (size_t i = 0; i + host.n <= key.n; i++) {
        bool begins = i == 0 || !name_char(key.p[i - 1]);
        bool ends = i + host.n == key.n || !name_char(key.p[i + host.n]);
        if (begins && ends && span_istarts(span_from(key, i), host))
            return true;
    }
    return false;
}

static bool addr_is(const struct why_scan *w, struct sched_addr addr)
{
    if (!w->whole && !addr.whole)
        return span_ieq(addr.domain, w->target);
    struct buf b;
    buf_init(&b, ENVELOPE_ADDR_MAX + 8);
    sched_addr_put(&b, addr);
    struct span s = buf_span(&b);
    bool is = span_ieq(w->whole ? s : span_from(s, span_rfind(s, '@') + 1), w->target);
    buf_free(&b);
    return is;
}

/* "450 <a@b.c>: come again in 287 seconds" and the same for d@b.c in 12 are one reason. */
static bool varies(struct span word)
{
    enum { CODE_MAX = 7 };
    bool digit = false, other = false;
    for (size_t i = 0; i < word.n; i++) {
        if (word.p[i] == '@')
            return true;
        digit |= ascii_isdigit(word.p[i]);
        other |= !ascii_isdigit(word.p[i]) && word.p[i] != '.';
    }
    return digit && (other || word.n > CODE_MAX);
}

static void put_shape(struct buf *b, struct span text)
{
    size_t words = 0;
    for (struct span w; (w = span_word(&text)).n; words++) {
        bool code = words < 2 && !varies(w); /* the reply's own numbers say what it is */
        bool number = w.n && ascii_isdigit(w.p[0]) && ascii_isdigit(w.p[w.n - 1]);
        buf_puts(b, varies(w) || (number && !code) ? SPAN("*") : w);
        buf_putc(b, ' ');
    }
}

static void reason_seen(struct why_scan *w, const struct sched_msg_info *m,
                        const struct sched_rcpt_info *r)
{
    struct buf b;
    buf_init(&b, SCHED_REASON_MAX * 4 + 64);
    buf_putc(&b, (char)('A' + r->state));
    put_shape(&b, r->reason);
    struct hash_node *n = hash_get(&w->reasons, buf_span(&b));
    struct why_reason *x = n ? CONTAINER(n, struct why_reason, node) : NULL;
    if (!x && w->reasons.n < REASONS_MAX) {
        x = must_alloc(sizeof *x + b.len + r->reason.n);
        *x = (struct why_reason){ .state = r->state, .seq = m->seq,
                                  .received_ms = m->received_ms, .key_len = b.len,
                                  .text_len = r->reason.n };
        memcpy(x->bytes, buf_cstr(&b), b.len);
        if (r->reason.n)
            memcpy(x->bytes + b.len, r->reason.p, r->reason.n);
        hash_add(&w->reasons, &x->node, span_of(x->bytes, x->key_len));
    }
    if (x)
        x->recipients++;
    else
        w->other_reasons++;
    buf_free(&b);
}

static void see_rcpt(struct why_scan *w, const struct sched_msg_info *m,
                     const struct sched_rcpt_info *r)
{
    w->states[r->state]++;
    if (r->next_try_ms && (!w->next_ms || r->next_try_ms < w->next_ms))
        w->next_ms = r->next_try_ms;
    place_seen(&w->places, r->dest);
    reason_seen(w, m, r);
}

static void see_message(struct admin_ask *a, const struct sched_msg_info *m)
{
    struct why_scan *w = a->own;
    struct sched_rcpt_info r;
    bool any = false;
    for (uint32_t i = 0; i < m->rcpt_count; i++) {
        if (!sched_rcpt(a->q->sched, m->seq, i, &r) || r.state >= SCHED_LIVE)
            continue;
        bool name = addr_is(w, r.addr);
        if (!name && (w->whole || !(key_names(r.dest, w->target) || key_names(r.site, w->target))))
            continue;
        w->by_name += name;
        w->by_host += !name;
        any = true;
        see_rcpt(w, m, &r);
    }
    if (!any)
        return;
    if (!w->messages++ || m->received_ms < w->oldest_ms) {
        w->oldest_ms = m->received_ms;
        w->oldest_seq = m->seq;
    }
    w->newest_ms = m->received_ms > w->newest_ms ? m->received_ms : w->newest_ms;
    w->bytes += m->size_bytes;
}

static int by_number(const void *a, const void *b)
{
    const struct why_reason *x = *(struct why_reason *const *)a;
    const struct why_reason *y = *(struct why_reason *const *)b;
    if (x->recipients != y->recipients)
        return x->recipients < y->recipients ? 1 : -1;
    return x->seq < y->seq ? -1 : x->seq > y->seq;
}

static void send_reasons(struct admin_ask *a, struct why_scan *w)
{
    struct why_reason *all[REASONS_MAX];
    size_t n = 0;
    for (struct hash_node *h = hash_next(&w->reasons, NULL); h; h = hash_next(&w->reasons, h))
        all[n++] = CONTAINER(h, struct why_reason, node);
    qsort(all, n, sizeof *all, by_number);
    for (size_t i = 0; i < n; i++) {
        const struct why_reason *x = all[i];
        struct buf b;
        struct json j = begin_row(&b, "reason");
        json_str(&j, "state", span_str(sched_state_name(x->state)));
        json_str(&j, "reason", span_of(x->bytes + x->key_len, x->text_len));
        json_uint(&j, "recipients", x->recipients);
        json_str(&j, "id", span_str(queueid_make(x->seq, x->received_ms).text));
        end_row(a, &j, &b);
    }
}

static void send_group(struct admin_ask *a, struct why_scan *w)
{
    struct sched_now now = qmgr_now(a->q);
    struct buf b;
    struct json j = begin_row(&b, "group");
    json_str(&j, "target", w->target);
    json_str(&j, "is", w->whole ? SPAN("address") : w->by_name ? SPAN("domain") : SPAN("host"));
    json_uint(&j, "messages", w->messages);
    json_uint(&j, "bytes", w->bytes);
    put_states(&j, w->states);
    json_int(&j, "oldest_ms", w->oldest_ms);
    json_int(&j, "newest_ms", w->newest_ms);
    json_str(&j, "oldest", span_str(queueid_make(w->oldest_seq, w->oldest_ms).text));
    if (w->next_ms)
        json_int(&j, "next_try_ms", wall_of(now, w->next_ms));
    if (w->other_reasons)
        json_uint(&j, "other_reasons", w->other_reasons);
    end_row(a, &j, &b);
}

static void scan_over(struct admin_ask *a)
{
    struct why_scan *w = a->own;
    if (!w->messages) {
        admin_end(a, EX_NOINPUT, "nothing in the queue is for it");
        return;
    }
    send_now(a);
    send_group(a, w);
    send_reasons(a, w);
    send_places(a, &w->places);
    admin_end(a, ADMIN_OK, "");
}

static void scan_slice(struct admin_ask *a)
{
    struct sched_msg_info m;
    int64_t begun_ns = loop_fresh_ns(a->q->env->loop);
    for (size_t i = 1; sched_cursor_next(a->q->sched, a->cursor, &m); i++) {
        see_message(a, &m);
        a->cursor = m.seq;
        bool look = i % LOOK_MESSAGES == 0 || m.rcpt_count > LOOK_MESSAGES;
        if (look && loop_fresh_ns(a->q->env->loop) - begun_ns >= ADMIN_SLICE_NS) {
            admin_slice_over(a);
            return;
        }
    }
    scan_over(a);
}

static void scan_gone(struct admin_ask *a)
{
    struct why_scan *w = a->own;
    for (struct hash_node *h; (h = hash_next(&w->reasons, NULL));) {
        hash_remove(&w->reasons, h);
        free(CONTAINER(h, struct why_reason, node));
    }
    hash_free(&w->reasons);
    places_free(&w->places);
    free(w);
}

/* target=ID, ADDRESS, DOMAIN, DESTINATION, SITE or HOST */
void admin_why(struct admin_ask *a, struct wire *args)
{
    struct span arg = SPAN_NONE;
    uint64_t seq;
    if (!list_next_text(args, &arg) || !span_starts(arg, SPAN("target=")) || arg.n == 7) {
        admin_end(a, EX_USAGE, "this verb takes target=ID, ADDRESS, DOMAIN or HOST");
        return;
    }
    arg = span_from(arg, 7);
    if (queueid_seq(arg, &seq)) {
        why_message(a, seq);
        return;
    }
    uint64_t seed = loop_random_u64(a->q->env->loop);
    struct why_scan *w = a->own = NEW(struct why_scan);
    buf_puts(&a->word, span_to(arg, ENVELOPE_TEXT_MAX - 1));
    w->target = buf_span(&a->word);
    w->whole = span_find(w->target, '@') < w->target.n;
    hash_init(&w->reasons, seed, REASONS_MAX);
    hash_init(&w->places, seed, PLACES_SEEN);
    a->own_gone = scan_gone;
    a->slice = scan_slice;
    scan_slice(a);
}
