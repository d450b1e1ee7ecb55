/* What was sent, what was acknowledged, what arrived, and what must hold of it. */
#include "world.h"

#include "base/must.h"
#include "base/num.h"
#include "spool/spool.h"

#include <stdio.h>
#include <stdlib.h>

enum { SMALL_MAX = 3000, MEDIUM_MAX = 40000, LARGE_MAX = 200000, LINE_MAX_BYTES = 900,
       CONTENT_MAX = LARGE_MAX + 4096, SPREAD_PART = 3 };

/* --- making them --- */

static const char *const good[] = { "a.example", "b.example", "c.example", "d.example",
                                    "[10.1.0.1]" };
static const char *const bad[] = { "refused.example", "late.example", "nx.example",
                                   "dead.example", "mute.example" };

static void make_rcpt(struct world *w, struct message *m, struct rcpt *r, size_t i)
{
    bool is_bad = one_in(w, 12);
    const char *domain = is_bad ? bad[chance(w, sizeof bad / sizeof *bad)]
                                : good[chance(w, sizeof good / sizeof *good)];
    r->kind = is_bad ? KIND_BAD : KIND_GOOD;
    snprintf(r->address, sizeof r->address, "r%u-%zu@%s", m->n, i, domain);
    memcpy(r->named, r->address, sizeof r->named);
    if (w->temper.maps && domain == good[0] && one_in(w, 2))
        snprintf(r->named, sizeof r->named, "r%u-%zu@v.example", m->n, i);
}

/* The list of world.c: one RCPT, two recipients. */
static void make_list(struct message *m)
{
    static const char *const members[] = { "m1@a.example", "m2@b.example" };
    m->rcpt_count = 2;
    memset(m->rcpts, 0, sizeof m->rcpts);
    snprintf(m->rcpts[0].named, ADDRESS_MAX, "list@gw.example");
    for (int i = 0; i < 2; i++)
        snprintf(m->rcpts[i].address, ADDRESS_MAX, "%s", members[i]);
    snprintf(m->owner, sizeof m->owner, "boss@src.example");
}

static size_t make_size(struct world *w)
{
    uint64_t dice = w->temper.large ? 12 + chance(w, 8) : chance(w, 20);
    return 20 + chance(w, dice < 16 ? SMALL_MAX : dice < 19 ? MEDIUM_MAX : LARGE_MAX);
}

static int64_t make_due(struct world *w)
{
    const struct temper *t = &w->temper;
    uint64_t all = (uint64_t)w->opt.fault_ms * (SPREAD_PART - 1) / SPREAD_PART;
    if (!t->burst_ms)
        return (int64_t)chance(w, all);
    return (int64_t)(chance(w, t->bursts) * (all / t->bursts) + chance(w, (uint64_t)t->burst_ms));
}

void ledger_make(struct world *w)
{
    w->messages = must_calloc(w->opt.messages, sizeof *w->messages);
    for (unsigned n = 0; n < w->opt.messages; n++) {
        struct message *m = &w->messages[n];
        m->n = n + 1;
        if (!one_in(w, 15))
            snprintf(m->sender, sizeof m->sender, "s%u@src.example", m->n);
        m->rcpt_count = one_in(w, 3) ? 1 + chance(w, RCPTS_MAX) : 1;
        for (size_t i = 0; i < m->rcpt_count; i++)
            make_rcpt(w, m, &m->rcpts[i], i);
        if (w->temper.maps && m->sender[0] && one_in(w, 8))
            make_list(m);
        m->bytes = make_size(w);
        m->eightbit = one_in(w, 4);
        m->notify = one_in(w, 5);
        m->due_ms = loop_mono_ms(w->l) + make_due(w);
    }
}

void ledger_free(struct world *w)
{
    free(w->messages);
    free(w->excuses);
}

/* --- content --- */

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static void put_line(struct buf *b, uint64_t *rng, bool eightbit)
{
    size_t n = next_random(rng) % 8 ? next_random(rng) % 80 : next_random(rng) % LINE_MAX_BYTES;
    if (next_random(rng) % 6 == 0) /* dots where they are dangerous */
        buf_put(b, "....", 1 + next_random(rng) % 4);
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)(' ' + next_random(rng) % 95);
        buf_putc(b, (char)(eightbit && c > 'p' ? c | 0x80 : c));
    }
    buf_putz(b, "\r\n");
}

void message_content(const struct message *m, struct buf *b)
{
    uint64_t rng = m->n * 0x1234567u + m->bytes;
    buf_reset(b);
    buf_printf(b, "X-Sim: %u\r\nFrom: <%s>\r\nTo: <%s>\r\nSubject: message %u\r\n\r\n", m->n,
               m->sender, m->rcpts[0].address, m->n);
    while (b->len < m->bytes)
        put_line(b, &rng, m->eightbit);
    MUST(!b->failed);
}

/* --- the client's side --- */

bool message_taken(const struct message *m)
{
    for (size_t i = 0; i < m->rcpt_count; i++)
        if (!m->rcpts[i].acks)
            return false;
    return true;
}

struct message *ledger_next(struct world *w)
{
    struct message *best = NULL;
    for (unsigned n = 0; n < w->opt.messages; n++) {
        struct message *m = &w->messages[n];
        if (!m->in_hand && m->due_ms <= loop_mono_ms(w->l) && !message_taken(m) &&
            (!best || m->due_ms < best->due_ms))
            best = m;
    }
    return best;
}

/* --- the next hops' side --- */

/* Something went wrong since a little (an attempt) before the first of the two. */
static bool excused(const struct world *w, int64_t first_ms)
{
    return w->excuse_count && w->excuses[w->excuse_count - 1] >= first_ms - ATTEMPT_MS;
}

static struct rcpt *rcpt_of(struct message *m, struct span address)
{
    for (size_t i = 0; i < m->rcpt_count; i++)
        if (span_ieq(span_str(m->rcpts[i].address), address))
            return &m->rcpts[i];
    return NULL;
}

/* The message whose mark stands in this content; *at_r: where its own bytes begin. */
static struct message *marked(struct world *w, struct span content, size_t *at_r)
{
    static const struct span mark = { "X-Sim: ", 7 };
    for (size_t at = 0; at < content.n;) {
        struct span line = span_to(span_from(content, at), span_find(span_from(content, at), '\n'));
        if (span_starts(line, mark)) {
            uint64_t n;
            struct span number = span_trim_lines(span_from(line, mark.n));
            *at_r = at;
            return num_upto(number, w->opt.messages, &n) && n ? &w->messages[n - 1] : NULL;
        }
        at += line.n + 1;
    }
    return NULL;
}

static bool only_received(struct span head)
{
    while (head.n) {
        struct span line = span_to(head, span_find(head, '\n'));
        if (!span_starts(line, SPAN("Received:")) && line.p[0] != ' ' && line.p[0] != '\t')
            return false;
        head = span_from(head, line.n + 1);
    }
    return true;
}

static struct copy *copy_of(struct rcpt *r, struct span id)
{
    for (size_t i = 0; i < r->copy_count; i++)
        if (span_eq(span_str(r->copies[i].id), id))
            return &r->copies[i];
    return NULL;
}

/* The same message of the gateway's went out before: a fault must explain it. Another one must
 * have been sent. */
static void check_copy(struct world *w, const struct message *m, struct rcpt *r, struct span id)
{
    struct copy *c = copy_of(r, id);
    if (c && !excused(w, c->last_ms))
        fail(w, "message %u was delivered to %s twice, and nothing had gone wrong", m->n,
             r->address);
    if (!c && r->copy_count == r->sent)
        fail(w, "message %u was delivered to %s more often than it was sent", m->n, r->address);
    if (!c && r->copy_count < COPIES_MAX && id.n < sizeof c->id) {
        c = &r->copies[r->copy_count++];
        memcpy(c->id, id.p, id.n);
    }
    if (c)
        c->last_ms = loop_mono_ms(w->l);
}

/* head: what the gateway put in front. */
static struct span id_in(struct span head)
{
    const char *at = memmem(head.p, head.n, " id ", 4);
    struct span rest = at ? span_from(head, (size_t)(at - head.p) + 4) : SPAN_NONE;
    size_t n = 0;
    while (n < rest.n && rest.p[n] != ' ' && rest.p[n] != '\r' && rest.p[n] != ';')
        n++;
    return span_to(rest, n);
}

static void delivered(struct world *w, struct message *m, struct rcpt *r, struct span head)
{
    w->deliveries++;
    say(w, "message %u arrived for %s", m->n, r->address);
    if (r->kind == KIND_BAD)
        fail(w, "message %u was delivered to %s, which takes nothing", m->n, r->address);
    w->duplicates += r->delivered++ > 0;
    check_copy(w, m, r, id_in(head));
    if (r->delivered == 1 && !r->reported)
        w->last_good_ms = loop_mono_ms(w->l);
}

static void check_bytes(struct world *w, const struct message *m, struct span content, size_t at)
{
    struct buf want;
    buf_init(&want, CONTENT_MAX);
    message_content(m, &want);
    if (!span_eq(span_from(content, at), buf_span(&want)))
        fail(w, "message %u was altered: %zu bytes came, %zu were sent", m->n, content.n - at,
             want.len);
    if (!only_received(span_to(content, at)))
        fail(w, "message %u has other things than Received in front", m->n);
    buf_free(&want);
}

/* --- reports --- */

static struct span line_after(struct span s, const char *name)
{
    const char *at = memmem(s.p, s.n, name, strlen(name));
    if (!at)
        return SPAN_NONE;
    struct span rest = span_from(s, (size_t)(at - s.p) + strlen(name));
    return rest.n ? rest : SPAN_NONE;
}

static void reported(struct world *w, struct message *m, struct span address)
{
    struct rcpt *r = rcpt_of(m, address);
    if (!r) {
        fail(w, "a report about message %u names %.*s", m->n, SPAN_ARG(address));
        return;
    }
    say(w, "message %u to %s was reported as failed", m->n, r->address);
    w->reports++;
    r->reported++;
}

static void report_arrived(struct world *w, struct span to, struct span content)
{
    size_t at;
    struct message *m = marked(w, content, &at);
    if (!m) {
        fail(w, "a report to %.*s about no message of ours", SPAN_ARG(to));
        return;
    }
    /* That a list has it is told to the sender (RFC 3461 5.2.7.1); what becomes of its members, to
     * the owner. */
    bool taken = m->owner[0] && line_after(content, "Action: delivered").p;
    const char *sender = m->owner[0] && !taken ? m->owner
                         : m->sender[0]        ? m->sender
                                               : "postmaster@src.example";
    if (!span_ieq(to, span_str(sender)))
        fail(w, "the report about message %u went to %.*s", m->n, SPAN_ARG(to));
    for (struct span s = content; (s = line_after(s, "Final-Recipient:")).n;) {
        struct span line = span_to(s, span_find(s, '\r'));
        struct span action = line_after(s, "Action: ");
        size_t semi = span_find(line, ';');
        if (span_starts(action, SPAN("failed")))
            reported(w, m, span_trim(span_from(line, semi + 1)));
    }
}

static bool is_report(struct span sender, struct span content)
{
    const char *end = memmem(content.p, content.n, "\r\n\r\n", 4);
    size_t n = end ? (size_t)(end - content.p) : content.n;
    return !sender.n && memmem(content.p, n, "multipart/report", 16);
}

void ledger_arrived(struct world *w, struct span sender, char rcpts[][ADDRESS_MAX], size_t n,
                    struct span content)
{
    if (is_report(sender, content)) {
        for (size_t i = 0; i < n; i++)
            report_arrived(w, span_str(rcpts[i]), content);
        return;
    }
    size_t at;
    struct message *m = marked(w, content, &at);
    if (!m) {
        fail(w, "something arrived that nobody sent");
        return;
    }
    check_bytes(w, m, content, at);
    if (!span_ieq(sender, span_str(m->owner[0] ? m->owner : m->sender)))
        fail(w, "message %u arrived with the sender <%.*s>", m->n, SPAN_ARG(sender));
    for (size_t i = 0; i < n; i++) {
        struct rcpt *r = rcpt_of(m, span_str(rcpts[i]));
        if (r)
            delivered(w, m, r, span_to(content, at));
        else
            fail(w, "message %u arrived for %s", m->n, rcpts[i]);
    }
}

void ledger_refused(struct world *w, const char *address)
{
    for (unsigned n = 0; n < w->opt.messages; n++) {
        struct rcpt *r = rcpt_of(&w->messages[n], span_str(address));
        if (r)
            r->refused = true;
    }
}

/* --- the end --- */

bool ledger_settled(const struct world *w)
{
    for (unsigned n = 0; n < w->opt.messages; n++) {
        const struct message *m = &w->messages[n];
        for (size_t i = 0; i < m->rcpt_count; i++)
            if (!m->rcpts[i].acks || !(m->rcpts[i].delivered || m->rcpts[i].reported))
                return false;
    }
    return true;
}

static void check_rcpt(struct world *w, const struct message *m, const struct rcpt *r)
{
    if (!r->acks)
        fail(w, "message %u to %s was never accepted", m->n, r->address);
    else if (!r->delivered && !r->reported)
        fail(w, "message %u to %s was accepted and is LOST", m->n, r->address);
    if (r->reported && r->kind == KIND_GOOD && !r->refused && !w->clock_was_set)
        fail(w, "message %u to %s was given up, and nobody had refused it", m->n, r->address);
}

void ledger_check(struct world *w)
{
    for (unsigned n = 0; n < w->opt.messages; n++)
        for (size_t i = 0; i < w->messages[n].rcpt_count; i++)
            check_rcpt(w, &w->messages[n], &w->messages[n].rcpts[i]);
    if (w->last_good_ms > w->faults_until_ms + CALM_MS)
        fail(w, "the last delivery came %lld minutes after the last fault",
             (long long)(w->last_good_ms - w->faults_until_ms) / MINUTE_MS);
}
