/* MAIL and RCPT: a flight of them is read, asked about as a whole, and answered in order. */
#include "smtp/server_int.h"

static struct command_caps caps_of(const struct smtp_server *s)
{
    const struct smtp_server_config *c = s->config;
    return (struct command_caps){ .eightbitmime = c->eightbitmime, .smtputf8 = c->smtputf8,
                                  .dsn = c->dsn, .auth = c->auth.n > 0,
                                  .delivery = s->local };
}

/* A syntax error or the like: no policy was involved. */
static void say_wrong(struct smtp_server *s, const struct reply *r)
{
    reply_put(&s->out, r, s->txn && s->txn->env.flags & ENVELOPE_SMTPUTF8);
    server_bad(s);
}

static bool mail_allowed(struct smtp_server *s)
{
    if (s->config->need_helo && !s->helo) {
        server_say(s, 503, "5.0.0", "Polite people say HELO first");
        server_bad(s);
    } else if (s->txn) {
        server_say(s, 503, "5.5.0", "Sender already specified");
        server_bad(s);
    } else if (s->putting_off) {
        server_say(s, 451, "4.3.0", "Temporary failure, please try again later");
    } else {
        return true;
    }
    return false;
}

void server_mail(struct smtp_server *s, struct span arg, struct span line)
{
    (void)line;
    struct command_mail m;
    struct reply bad;
    struct buf scratch;
    struct command_caps caps = caps_of(s);
    uint64_t max = s->config->message_bytes;
    if (!mail_allowed(s))
        return;
    buf_init(&scratch, s->config->command_bytes + 256);
    if (command_mail(arg, &caps, &m, &bad, &scratch) < 0)
        say_wrong(s, &bad);
    else if (max && m.size > max)
        server_say(s, 552, "5.2.3", "Message size exceeds fixed maximum message size (%llu)",
                   (unsigned long long)max);
    else if (!server_txn_begin(s, &m))
        server_say(s, 451, "4.3.0", "Temporary failure, please try again later");
    else
        s->txn->mail_open = true;
    buf_free(&scratch);
}

static struct span rcpt_address(const struct smtp_server *s, const struct command_rcpt *c)
{
    struct arena *a = s->txn->flight_arena;
    struct span addr = address_normal(a, &c->to);
    bool bare = s->config->postmaster.n && span_ieq(addr, SPAN("postmaster"));
    return bare ? arena_dup(a, s->config->postmaster) : addr;
}

/* Appends to the flight; false: its memory is used up. */
static bool flight_add(struct smtp_server *s, const struct command_rcpt *c)
{
    struct txn *t = s->txn;
    if (t->flight_count == t->flight_room) {
        size_t room = t->flight_room ? 2 * t->flight_room : 4;
        struct flight_rcpt *grown = arena_alloc(t->flight_arena, room * sizeof *grown);
        if (!grown)
            return false;
        if (t->flight_count)
            memcpy(grown, t->flight, t->flight_count * sizeof *grown);
        t->flight = grown;
        t->flight_room = room;
    }
    struct flight_rcpt f = { .rcpt = { .addr = rcpt_address(s, c),
                                       .orcpt = arena_dup(t->flight_arena, c->orcpt),
                                       .notify = c->notify },
                             .typed = arena_dup(t->flight_arena, c->to.typed) };
    if (!f.rcpt.addr.p || !f.rcpt.orcpt.p || !f.typed.p)
        return false;
    t->flight[t->flight_count++] = f;
    return true;
}

static void rcpt_in_txn(struct smtp_server *s, struct span arg, struct span line)
{
    struct txn *t = s->txn;
    struct command_rcpt c;
    struct reply bad;
    struct buf scratch;
    struct command_caps caps = caps_of(s);
    buf_init(&scratch, s->config->command_bytes + 256);
    if (command_rcpt(arg, &caps, t->env.flags & ENVELOPE_SMTPUTF8, &c, &bad, &scratch) < 0) {
        /* Replies go out in order: first those of the flight before it. */
        if (!server_flight_first(s, line) && s->state != STATE_CLOSED) {
            if (s->txn)
                say_wrong(s, &bad);
            else
                server_rcpt(s, arg, line);
        }
    } else if (!flight_add(s, &c)) {
        if (server_flight_pending(s)) {
            if (!server_flight_first(s, line) && s->state != STATE_CLOSED)
                server_rcpt(s, arg, line);
        } else {
            server_say(s, 452, "4.5.3", "Too many recipients");
        }
    }
    buf_free(&scratch);
}

void server_rcpt(struct smtp_server *s, struct span arg, struct span line)
{
    struct txn *t = s->txn;
    /* A full flight is answered before it grows further. */
    if (t && (t->flight_count >= FLIGHT_MAX ||
              t->env.rcpt_count + t->flight_count >= s->config->recipients) &&
        server_flight_pending(s)) {
        if (server_flight_first(s, line) || s->state == STATE_CLOSED)
            return;
        t = s->txn;
    }
    if (!t) {
        server_say(s, 503, "5.0.0", "Need MAIL before RCPT");
        server_bad(s);
    } else if (t->by != BY_NONE) {
        server_say(s, 503, "5.5.0", "RCPT not allowed after BDAT");
        server_bad(s);
    } else if (t->env.rcpt_count >= s->config->recipients) {
        server_say(s, 452, "4.5.3", "Too many recipients");
    } else {
        rcpt_in_txn(s, arg, line);
    }
}

bool server_flight_pending(const struct smtp_server *s)
{
    return s->txn && (s->txn->mail_open || s->txn->flight_count > 0) && !s->question.id;
}

bool server_flight_first(struct smtp_server *s, struct span line)
{
    if (!server_flight_pending(s))
        return false;
    server_flight_ask(s);
    if (!server_waiting(s))
        return false;
    if (s->part.len == 0) /* else it is in there already, as line_take assembled it */
        buf_puts(&s->part, line);
    else
        buf_cut(&s->part, line.n);
    s->held = true;
    return true;
}

void server_flight_ask(struct smtp_server *s)
{
    struct txn *t = s->txn;
    struct smtp_server_item items[FLIGHT_MAX + 1];
    size_t n = 0;
    MUST(t->flight_count <= FLIGHT_MAX);
    if (t->mail_open)
        items[n++] = (struct smtp_server_item){ .address = t->env.sender, .typed = t->mail_typed,
                                                .size_bytes = t->declared_bytes };
    for (size_t i = 0; i < t->flight_count; i++) {
        const struct flight_rcpt *f = &t->flight[i];
        items[n++] = (struct smtp_server_item){ .is_rcpt = true, .address = f->rcpt.addr,
                                                .typed = f->typed, .notify = f->rcpt.notify,
                                                .orcpt = f->rcpt.orcpt };
    }
    server_ask(s, &(struct smtp_server_question){ .hook = SMTP_HOOK_MAIL, .items = items,
                                                  .item_count = n });
}

/* One address's reply: as the verdict says, with our words where it has none. */
static void say_verdict(struct smtp_server *s, struct reply r, struct span typed,
                        const char *enhanced, const char *ok_text)
{
    if (r.code == 0)
        r.code = 250;
    if (reply_positive(&r) && r.text.n == 0) {
        memcpy(r.enhanced, enhanced, strlen(enhanced) + 1);
        r.text = span_str(ok_text);
        r.about_address = true;
    }
    server_say_reply(s, &r, typed);
}

/* The sender is refused: the transaction ends, and its recipients had none to be sent from. */
static void mail_refused(struct smtp_server *s, const struct reply *r)
{
    size_t rcpts = s->txn->flight_count;
    say_verdict(s, *r, s->txn->mail_typed, "", "");
    server_txn_end(s, SMTP_END_ABORTED);
    for (size_t i = 0; i < rcpts && s->state != STATE_CLOSED; i++)
        server_say(s, 503, "5.0.0", "Need MAIL before RCPT");
}

static void rcpt_verdict(struct smtp_server *s, const struct flight_rcpt *f, struct reply r)
{
    if (reply_positive(&r) && !server_txn_add(s->txn, &f->rcpt))
        r = (struct reply){ .code = 452, .enhanced = "4.5.3", .text = SPAN("Too many recipients") };
    say_verdict(s, r, f->typed, "2.1.5", "Recipient ok");
}

void server_flight_verdict(struct smtp_server *s, const struct smtp_server_verdict *v)
{
    struct txn *t = s->txn;
    size_t i = 0;
    if (t->mail_open) {
        struct reply r = server_verdict(v, i++);
        if (!reply_positive(&r)) {
            mail_refused(s, &r);
            return;
        }
        say_verdict(s, r, t->mail_typed, "2.1.0", "Sender ok");
        t->mail_open = false;
    }
    /* A 421 closes the session and with it the transaction. */
    for (size_t k = 0; s->txn && k < t->flight_count; k++)
        rcpt_verdict(s, &t->flight[k], server_verdict(v, i++));
    if (!s->txn)
        return;
    t->flight = NULL;
    t->flight_count = t->flight_room = 0;
    t->mail_typed = SPAN("");
    arena_reset(t->flight_arena);
}
