/* What a session asks router: who its client is, and whether this sender may send to those. A
 * router that is away means 451 to each MAIL and RCPT, never a closed session; the greeting does
 * not wait for it, since a client that is to be refused is refused at RCPT as well. */
#include "smtpd/inside.h"

#include "base/must.h"
#include "proto/lists.h"
#include "route/route.h"

#include <stdio.h>
#include <stdlib.h>

enum { FLIGHT_REPLIES_MAX = 1024 };

const struct reply ask_away = { .code = 451, .enhanced = "4.3.0",
                                .text = SPAN("Temporarily unable to take mail, try again later") };
static const struct reply reply_full = {
    .code = 452, .enhanced = "4.3.1", .text = SPAN("Insufficient disk space; try again later")
};

/* "5.7.1 text" as another process put it. What only its own folly explains is a 451. */
struct reply ask_refusal(unsigned code, struct span text)
{
    struct reply r = { .code = (unsigned short)code };
    struct span enhanced = span_word(&text);
    if (code < 400 || code > 599)
        return ask_away;
    snprintf(r.enhanced, sizeof r.enhanced, "%.*s", SPAN_ARG(enhanced));
    r.text = span_trim(text);
    return r;
}

static void question_begin(struct session *s, uint64_t q, uint64_t question_id)
{
    MUST(!s->q);
    s->q = q;
    s->question_id = question_id;
    hash_add(&s->d->questions, &s->q_node, span_of(&s->q, sizeof s->q));
}

static uint64_t question_end(struct session *s)
{
    uint64_t id = s->question_id;
    if (s->q)
        hash_remove(&s->d->questions, &s->q_node);
    s->q = s->question_id = 0;
    return id;
}

static struct session *by_question(struct smtpd *d, uint64_t q)
{
    struct hash_node *n = hash_get(&d->questions, span_of(&q, sizeof q));
    return n ? CONTAINER(n, struct session, q_node) : NULL;
}

/* --- the client: the greeting waits for its name, and for the pause --- */

static void set_name(struct session *s, enum route_client_name state, struct span name)
{
    free(s->name);
    s->name = name.n ? must_strndup(name.p, name.n) : NULL;
    s->name_state = (uint8_t)state;
}

/* RFC 5321 3.1: 220 or 554; without an enhanced code, as nothing is agreed upon yet. 421 for what
 * passes, since only that makes a client come again. */
static struct reply greeting_refused(struct session *s, struct buf *text)
{
    struct span words = buf_span(&s->greet.text);
    span_word(&words);
    buf_printf(text, "%.*s %.*s", SPAN_ARG(s->gen->config->hostname), SPAN_ARG(span_trim(words)));
    return (struct reply){ .code = s->greet.code >= 500 ? 554 : 421, .text = buf_span(text) };
}

static void greet(struct session *s)
{
    if (s->greet.pausing || s->greet.asking)
        return;
    struct buf text;
    buf_init(&text, 2048);
    struct reply r = { .code = 0 };
    if (s->greet.code) {
        r = greeting_refused(s, &text);
        say_client_refused(s, s->greet.code, buf_span(&s->greet.text));
    }
    struct smtp_server_verdict v = { .replies = &r, .count = 1, .name = span_str(s->name) };
    bool busy = s->busy;
    s->busy = true;
    smtp_server_answer(s->server, s->greet.question, &v, session_now(s));
    s->busy = busy;
    buf_free(&text);
    buf_free(&s->greet.text);
    session_run(s);
}

static bool wants_router(const struct session *s)
{
    const struct config *c = s->gen->config;
    bool reverse = c->server.reverse_names && !netaddr_is_loopback(&s->client);
    return s->d->router && (reverse || c->route.access.n);
}

/* Whoever talks during the pause is no mail server (the engine refuses it). */
static void ask_client(struct session *s, const struct smtp_server_question *q)
{
    const struct config *c = s->gen->config;
    s->greet.question = q->id;
    if (netaddr_is_loopback(&s->client) && c->server.reverse_names)
        set_name(s, ROUTE_NAME_GOOD, SPAN("localhost"));
    if (c->server.greeting_pause_ms > 0) {
        s->greet.pausing = true;
        loop_timer_in(s->d->env->loop, &s->pause, c->server.greeting_pause_ms);
    }
    if (wants_router(s)) {
        struct msg_ask_client m = { .q = ++s->d->next_q,
                                    .client = s->client,
                                    .listener = s->listen->name,
                                    .reverse = c->server.reverse_names };
        s->greet.asking = true;
        question_begin(s, m.q, q->id);
        send_ask_client(s->d->router, &m);
    }
    greet(s);
}

void ask_pause_over(void *ctx)
{
    struct session *s = ctx;
    s->greet.pausing = false;
    greet(s);
}

static void on_client_verdict(struct smtpd *d, struct channel *ch,
                              const struct msg_client_verdict *m)
{
    struct session *s = by_question(d, m->q);
    (void)ch;
    if (!s || !s->greet.asking)
        return;
    question_end(s);
    set_name(s, m->name_state, m->name);
    if (m->code) {
        s->greet.code = m->code;
        buf_init(&s->greet.text, 2048);
        buf_puts(&s->greet.text, span_to(m->text, 1024));
    }
    s->greet.asking = false;
    greet(s);
}

/* --- MAIL and RCPT --- */

static void answer_all(struct session *s, const struct smtp_server_question *q,
                       const struct reply *r)
{
    size_t n = q->item_count ? q->item_count : 1;
    struct reply *all = must_calloc(n, sizeof *all);
    for (size_t i = 0; i < n && r; i++)
        all[i] = *r;
    struct smtp_server_verdict v = { .replies = all, .count = n };
    smtp_server_answer(s->server, q->id, &v, session_now(s));
    free(all);
}

static void ask_flight(struct session *s, const struct smtp_server_question *q)
{
    struct smtpd *d = s->d;
    bool has_mail = !q->items[0].is_rcpt;
    struct buf rcpts;
    buf_init(&rcpts, CHANNEL_FRAME_MAX / 2);
    for (size_t i = has_mail; i < q->item_count; i++)
        wire_put_bytes(&rcpts, q->items[i].address);
    struct msg_ask_flight m = { .q = ++d->next_q,
                                .client = s->client,
                                .name_state = s->name_state,
                                .name = span_str(s->name_state == ROUTE_NAME_GOOD ? s->name : NULL),
                                .auth = q->auth,
                                .listener = s->listen->name,
                                .has_mail = has_mail,
                                .sender = has_mail ? q->items[0].address : q->envelope->sender,
                                .rcpts = buf_span(&rcpts) };
    if (rcpts.failed) {
        answer_all(s, q, &ask_away);
    } else {
        question_begin(s, m.q, q->id);
        send_ask_flight(d->router, &m);
    }
    buf_free(&rcpts);
}

/* The header has come. What router may have to say about it is waited for; a router that is away
 * puts the message off, since it is not to go out as it came. */
static void ask_rewrite(struct session *s, const struct smtp_server_question *q)
{
    bool away = s->rewriting && !s->d->router;
    uint64_t asked = away ? 0 : rewrite_ask(s, q);
    if (asked) {
        question_begin(s, asked, q->id);
        return;
    }
    if (s->rewriting) {
        rewrite_over(s);
        backend_release(s);
    }
    answer_all(s, q, away ? &ask_away : NULL);
}

/* MAIL alone is answered here: what there is to decide about a sender is decided with its
 * recipients. That saves a round trip per message of a client that does not pipeline. */
void ask_question(void *ctx, const struct smtp_server_question *q)
{
    struct session *s = ctx;
    bool has_mail = q->item_count && !q->items[0].is_rcpt;
    if (q->hook == SMTP_HOOK_CONNECT)
        ask_client(s, q);
    else if (q->hook == SMTP_HOOK_HEADER)
        ask_rewrite(s, q);
    else if (has_mail && s->d->full)
        answer_all(s, q, &reply_full);
    else if (q->hook != SMTP_HOOK_MAIL || (has_mail && q->item_count == 1))
        answer_all(s, q, NULL);
    else if (!s->d->router)
        answer_all(s, q, &ask_away);
    else
        ask_flight(s, q);
}

static void answer(struct session *s, const struct reply *replies, size_t n)
{
    struct smtp_server_verdict v = { .replies = replies, .count = n };
    uint64_t id = question_end(s);
    s->busy = true;
    smtp_server_answer(s->server, id, &v, session_now(s));
    s->busy = false;
    session_run(s);
}

static struct reply reply_of(struct session *s, const struct list_verdict *v)
{
    struct reply r = { .code = 0 };
    if (v->code)
        r = ask_refusal(v->code, v->text);
    else if (list_verdict_is_rich(v) && !targets_add(s, v))
        r = (struct reply){ .code = 452, .enhanced = "4.5.3",
                            .text = SPAN("Too many recipients") };
    r.about_address = !v->code; /* router's words name it where it is to be named */
    return r;
}

static void on_flight_verdict(struct smtpd *d, struct channel *ch,
                              const struct msg_flight_verdict *m)
{
    struct session *s = by_question(d, m->q);
    struct reply replies[FLIGHT_REPLIES_MAX];
    struct list_verdict v;
    struct wire w = wire_reader(m->verdicts);
    size_t count = 0;
    (void)ch;
    if (!s || s->greet.asking)
        return;
    while (count < FLIGHT_REPLIES_MAX && list_next_verdict(&w, &v))
        replies[count++] = reply_of(s, &v);
    if (m->rewrites)
        rewrite_begin(s);
    answer(s, replies, count);
}

static void on_rewritten(struct smtpd *d, struct channel *ch, const struct msg_rewritten *m)
{
    struct session *s = by_question(d, m->q);
    struct reply go_on = { .code = 0 };
    (void)ch;
    if (!s || !rewrite_answer(s, m))
        return;
    backend_release(s);
    answer(s, &go_on, 1);
}

PROTO_HANDLER(client_verdict, struct smtpd *, on_client_verdict)
PROTO_HANDLER(flight_verdict, struct smtpd *, on_flight_verdict)
PROTO_HANDLER(rewritten, struct smtpd *, on_rewritten)

/* What router says later on is of no transaction any more. */
void ask_expired(struct session *s)
{
    question_end(s);
    s->greet.asking = false;
}

void ask_forget(struct session *s)
{
    question_end(s);
    buf_free(&s->greet.text);
    free(s->name);
    s->name = NULL;
}

/* --- router comes and goes --- */

static void on_gone(void *ctx, struct channel *ch, const char *why)
{
    struct smtpd *d = ctx;
    (void)ch;
    say_lost_peer(d, "router", why);
    channel_free(&d->router);
    for (struct hash_node *n; (n = hash_next(&d->questions, NULL));) {
        struct session *s = CONTAINER(n, struct session, q_node);
        if (s->greet.asking) {
            question_end(s);
            s->greet.asking = false;
            greet(s);
        } else {
            answer(s, &ask_away, 1);
        }
    }
}

void backend_router(struct smtpd *d, int fd)
{
    static const struct channel_type types[] = { PROTO_TYPE(client_verdict),
                                                 PROTO_TYPE(flight_verdict),
                                                 PROTO_TYPE(rewritten) };
    static const struct channel_ops ops = { types, 3, on_gone, NULL };
    if (d->router)
        on_gone(d, d->router, "replaced");
    d->router = channel_new(d->env->loop, fd, "router", &ops, d);
}
