/* May it? What smtpd asks about a sender and recipients when they are named. Nothing of it is
 * remembered here: what a recipient has become goes back to smtpd, which has it put into the
 * envelope. Where next hops are asked about recipients the answer waits for them. */
#include "router/inside.h"

#include "base/must.h"
#include "proto/lists.h"
#include "proto/smtpd_router.h"

#include <stdlib.h>

enum {
    VERDICTS_MAX = CHANNEL_FRAME_MAX - 65536, /* of one flight; what comes on top is put off */
    TARGETS_MAX = 512 << 10,                  /* of one recipient */
};

static void put_refusal(struct buf *b, const struct route_reply *r)
{
    struct buf text;
    buf_init(&text, ENVELOPE_TEXT_MAX);
    buf_printf(&text, "%.*s %.*s", SPAN_ARG(r->code), SPAN_ARG(r->text));
    struct list_verdict v = { .code = r->reply, .text = buf_span(&text) };
    list_put_verdict(b, &v);
    buf_free(&text);
}

static const struct route_reply too_many = {
    .reply = 452, .code = SPAN("4.5.3"), .text = SPAN("Too many recipients at once, send fewer")
};

/* The recipient alone, unchanged: nothing to tell. */
static bool is_itself(const struct route_accept *out, struct span rcpt)
{
    const struct route_target *t = out->targets;
    return out->target_count == 1 && !t->flags && !t->own_sender && span_eq(t->addr, rcpt);
}

static bool put_targets(struct buf *b, const struct route_accept *out)
{
    for (size_t i = 0; i < out->target_count; i++) {
        const struct route_target *t = &out->targets[i];
        struct envelope_rcpt e = { .addr = t->addr, .flags = t->flags,
                                   .own_sender = t->own_sender, .sender = t->sender };
        if (t->addr.n > ENVELOPE_ADDR_MAX || t->sender.n > ENVELOPE_ADDR_MAX)
            return false;
        list_put_target(b, &e);
    }
    return !b->failed;
}

static void put_accepted(struct buf *b, const struct route_accept *whole,
                         const struct route_accept *out, struct span rcpt)
{
    struct buf targets;
    buf_init(&targets, TARGETS_MAX);
    struct list_verdict v = { .discard = whole->discard || out->discard,
                              .hold = out->quarantine.n ? out->quarantine : whole->quarantine,
                              .rcpt = rcpt };
    v.hold = span_to(v.hold, ENVELOPE_TEXT_MAX);
    bool fits = v.discard || is_itself(out, rcpt) || put_targets(&targets, out);
    v.targets = buf_span(&targets);
    if (fits && b->len + v.targets.n + v.hold.n + rcpt.n < VERDICTS_MAX)
        list_put_verdict(b, &v);
    else
        put_refusal(b, &too_many);
    buf_free(&targets);
}

/* What the tables say of the client and the sender holds for each recipient as well. */
static bool accept_front(struct router *r, const struct route_client *client, struct span sender,
                         struct route_accept *whole_r)
{
    struct route_accept out;
    *whole_r = (struct route_accept){ 0 };
    if (!route_accept_client(r->tables, client, r->arena, NULL, &out)) {
        whole_r->reply = out.reply;
        return false;
    }
    whole_r->discard = out.discard;
    whole_r->quarantine = out.quarantine;
    if (!route_accept_sender(r->tables, client, sender, r->arena, NULL, &out)) {
        whole_r->reply = out.reply;
        return false;
    }
    whole_r->discard |= out.discard;
    if (out.quarantine.n)
        whole_r->quarantine = out.quarantine;
    return true;
}

/* --- waiting for next hops --- */

/* A recipient that its next hop is asked about; what was decided before stands in verdicts. */
struct flight_rcpt {
    struct flight *f;
    size_t begin, end;   /* of its verdict in f->verdicts */
    struct buf refusal;  /* in its place; empty: the next hop has no objection */
    char *sender, *rcpt;
};

struct flight {
    struct list node; /* in r->flights */
    struct client *c;
    uint64_t life, q;
    struct buf verdicts;
    struct flight_rcpt *rcpts;
    size_t count, size, pending;
    bool read; /* all of the question */
    bool rewrites;
};

static void rcpt_free(struct flight_rcpt *w)
{
    buf_free(&w->refusal);
    free(w->sender);
    free(w->rcpt);
}

static void flight_free(struct flight *f)
{
    for (size_t i = 0; i < f->count; i++)
        rcpt_free(&f->rcpts[i]);
    list_remove(&f->node);
    buf_free(&f->verdicts);
    free(f->rcpts);
    free(f);
}

void flight_free_all(struct router *r)
{
    LIST_EACH(n, &r->flights)
        flight_free(CONTAINER(n, struct flight, node));
}

static void say_verdicts(struct flight *f)
{
    struct buf whole;
    struct span all = buf_span(&f->verdicts);
    size_t at = 0;
    buf_init(&whole, CHANNEL_FRAME_MAX - 1024);
    for (size_t i = 0; i < f->count; i++) {
        const struct flight_rcpt *w = &f->rcpts[i];
        if (!w->refusal.len)
            continue;
        buf_puts(&whole, span_from(span_to(all, w->begin), at));
        buf_puts(&whole, buf_span(&w->refusal));
        at = w->end;
    }
    buf_puts(&whole, span_from(all, at));
    struct msg_flight_verdict said = { .q = f->q, .rewrites = f->rewrites,
                                       .verdicts = buf_span(&whole) };
    if (f->c->channel && f->life == f->c->life)
        send_flight_verdict(f->c->channel, &said);
    buf_free(&whole);
}

static void settle(struct flight *f)
{
    if (!f->read || f->pending)
        return;
    say_verdicts(f);
    flight_free(f);
}

/* RFC 3463: 5.1.x and 5.0.0 are about the address; what else a host says it has said itself. */
static void refuse(struct flight_rcpt *w, const struct verify_answer *a)
{
    struct buf text;
    bool address = !a->enhanced.n || span_starts(a->enhanced, SPAN("5.1.")) ||
                   span_eq(a->enhanced, SPAN("5.0.0"));
    struct route_reply r = { .reply = 550, .code = address ? SPAN("5.1.1") : a->enhanced };
    buf_init(&text, ENVELOPE_TEXT_MAX);
    buf_printf(&text, "<%.*s>... %s; %.*s said: %.*s", SPAN_ARG(span_to(span_str(w->rcpt), 200)),
               address ? "User unknown" : "Not accepted", SPAN_ARG(span_to(a->host, 64)),
               SPAN_ARG(span_to(a->reply, 150)));
    r.text = buf_span(&text);
    put_refusal(&w->refusal, &r);
    buf_free(&text);
}

static void on_verified(void *ctx, const struct verify_answer *a)
{
    struct flight_rcpt *w = ctx;
    if (a->verdict == PROBE_UNKNOWN)
        refuse(w, a);
    w->f->pending--;
    settle(w->f);
}

/* Where to, now? As an attempt would ask. False: the canonical name is needed first. */
static bool ask_next_hop(struct flight_rcpt *w, struct route_ask *ask)
{
    static const struct verify_answer none = { .verdict = PROBE_NO_ANSWER };
    struct router *r = w->f->c->r;
    struct arena *a = arena_new(ANSWER_ARENA_MAX);
    struct route_dest d;
    ask->sender = span_str(w->sender);
    ask->rcpt = span_str(w->rcpt);
    bool found = route_find(r->tables, ask, a, NULL, &d);
    if (found && route_may_verify(&d))
        verify_ask(r->verify, &d, ask->rcpt, on_verified, w);
    else if (found)
        on_verified(w, &none);
    arena_free(&a);
    return found;
}

static void on_canon(void *ctx, struct span canon, struct span why)
{
    struct route_ask ask = { .canon_known = true, .canon = canon, .canon_why = why };
    MUST(ask_next_hop(ctx, &ask));
}

static void ask_all(struct flight *f)
{
    f->pending = f->count + 1; /* one is ours: f stays until all are asked */
    for (size_t i = 0; i < f->count; i++) {
        struct flight_rcpt *w = &f->rcpts[i];
        struct span rcpt = span_str(w->rcpt);
        struct route_ask ask = { .canon_known = false };
        if (!ask_next_hop(w, &ask))
            canons_ask(f->c->r->canons, span_from(rcpt, span_rfind(rcpt, '@') + 1), on_canon, w);
    }
    f->read = true;
    f->pending--;
    settle(f);
}

/* --- the question --- */

static void note_rcpt(struct flight *f, size_t begin, struct span sender, struct span rcpt)
{
    if (f->count == f->size) {
        f->size = f->size ? 2 * f->size : 8;
        f->rcpts = must_realloc(f->rcpts, f->size * sizeof *f->rcpts);
    }
    struct flight_rcpt *w = &f->rcpts[f->count++];
    *w = (struct flight_rcpt){ .f = f, .begin = begin, .end = f->verdicts.len };
    buf_init(&w->refusal, 2 * ENVELOPE_TEXT_MAX);
    w->sender = must_strndup(sender.n ? sender.p : "", sender.n);
    w->rcpt = must_strndup(rcpt.p, rcpt.n);
}

static void put_rcpt(struct flight *f, const struct route_client *client,
                     const struct route_accept *whole, struct span sender, struct span rcpt)
{
    struct router *r = f->c->r;
    struct route_accept out;
    size_t begin = f->verdicts.len;
    arena_reset(r->element);
    if (!route_accept_rcpt(r->tables, client, sender, rcpt, r->element, NULL, &out)) {
        put_refusal(&f->verdicts, &out.reply);
        return;
    }
    put_accepted(&f->verdicts, whole, &out, rcpt);
    if (out.verify && !out.discard && !whole->discard)
        note_rcpt(f, begin, sender, rcpt);
}

void flight_ask(struct client *c, const struct msg_ask_flight *m)
{
    struct router *r = c->r;
    struct route_client client = { .ip = m->client, .auth = m->auth, .host = m->name,
                                   .name = m->name_state };
    struct route_accept whole;
    struct wire w = wire_reader(m->rcpts);
    struct span rcpt;
    struct flight *f = NEW(struct flight);
    *f = (struct flight){ .c = c, .life = c->life, .q = m->q };
    list_append(&r->flights, &f->node);
    buf_init(&f->verdicts, CHANNEL_FRAME_MAX - 1024);
    arena_reset(r->arena);
    bool good = accept_front(r, &client, m->sender, &whole);
    f->rewrites = good && route_rewrites(r->tables, &client);
    if (m->has_mail && good)
        list_put_verdict(&f->verdicts, &(struct list_verdict){ 0 });
    else if (m->has_mail)
        put_refusal(&f->verdicts, &whole.reply);
    while (list_next_text(&w, &rcpt)) {
        if (good)
            put_rcpt(f, &client, &whole, m->sender, rcpt);
        else
            put_refusal(&f->verdicts, &whole.reply);
    }
    ask_all(f);
}
