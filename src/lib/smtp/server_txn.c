/* The transaction: made at MAIL, destroyed on every exit by the one function that does it. */
#include "smtp/server_int.h"

#include <stdlib.h>

enum {
    RCPT_BYTES = 16,         /* what a recipient takes in an envelope beside its texts */
    FIRST_BYTES = 16 * 1024, /* sender, envid and the first recipients */
};

void server_set(char **text, struct span value)
{
    char *copy = value.n ? must_strndup(value.p, value.n) : NULL;
    free(*text);
    *text = copy;
}

/* RFC 3848, and RFC 6531 4.3 for UTF8SMTP. */
static struct span protocol(const struct smtp_server *s, bool utf8)
{
    static const char *const names[2][4] = {
        { "ESMTP", "ESMTPS", "ESMTPA", "ESMTPSA" },
        { "UTF8SMTP", "UTF8SMTPS", "UTF8SMTPA", "UTF8SMTPSA" },
    };
    if (s->local)
        return SPAN("local");
    if (!s->esmtp)
        return SPAN("SMTP");
    return span_str(names[utf8][(s->tls_version ? 1 : 0) + (s->auth ? 2 : 0)]);
}

bool server_txn_begin(struct smtp_server *s, const struct command_mail *m)
{
    uint64_t seq, id;
    MUST(!s->txn);
    if (!s->ops->lease(s->ctx, &seq, &id))
        return false;
    struct txn *t = NEW(struct txn);
    t->id = id;
    t->rcpt_bytes_max = must_add(s->config->envelope_bytes, FIRST_BYTES);
    t->arena = arena_new(must_add(t->rcpt_bytes_max, FIRST_BYTES));
    t->flight_arena = arena_new(FLIGHT_BYTES_MAX);
    t->deadline_ms = s->now.mono_ms + s->config->transaction_ms;
    t->declared_bytes = m->size;
    t->mail_typed = arena_dup(t->flight_arena, m->from.typed);
    t->env = (struct envelope){
        .seq = seq,
        .received_ms = s->now.wall_ms,
        .flags = m->flags | s->config->envelope_flags | (s->tls_version ? ENVELOPE_TLS : 0),
        .sender = address_normal(t->arena, &m->from),
        .envid = arena_dup(t->arena, m->envid),
        .client_ip = span_str(s->ip),
        .client_name = span_str(s->name),
        .helo = span_str(s->helo),
        .proto = protocol(s, m->flags & ENVELOPE_SMTPUTF8),
        .listener = s->config->listener,
        .auth = span_str(s->auth),
    };
    MUST(t->mail_typed.p && t->env.sender.p && t->env.envid.p); /* a line is far below the limits */
    s->txn = t;
    return true;
}

void server_txn_end(struct smtp_server *s, enum smtp_server_end how)
{
    struct txn *t = s->txn;
    if (!t)
        return;
    s->txn = NULL;
    s->stalled = false;
    uint64_t id = t->id;
    arena_free(&t->flight_arena);
    arena_free(&t->arena);
    free(t->env.rcpts);
    free(t);
    s->ops->end(s->ctx, id, how);
}

bool server_txn_add(struct txn *t, const struct envelope_rcpt *rcpt)
{
    size_t bytes = rcpt->addr.n + rcpt->orcpt.n + RCPT_BYTES;
    struct envelope_rcpt kept = *rcpt;
    if (bytes > t->rcpt_bytes_max - t->rcpt_bytes)
        return false;
    kept.addr = arena_dup(t->arena, rcpt->addr);
    kept.orcpt = rcpt->orcpt.n ? arena_dup(t->arena, rcpt->orcpt) : SPAN("");
    if (!kept.addr.p || !kept.orcpt.p)
        return false;
    if (t->env.rcpt_count == t->rcpt_room) {
        t->rcpt_room = t->rcpt_room ? 2 * t->rcpt_room : 4;
        t->env.rcpts = must_realloc(t->env.rcpts, must_mul(t->rcpt_room, sizeof kept));
    }
    t->rcpt_bytes += bytes;
    t->env.rcpts[t->env.rcpt_count++] = kept;
    return true;
}

void server_txn_refuse(struct smtp_server *s, const struct reply *r)
{
    struct txn *t = s->txn;
    if (t->refused.code)
        return; /* the first reason stands */
    t->refused = *r;
    t->refused.text = arena_dup(t->arena, span_to(r->text, REPLY_LINES_MAX * REPLY_LINE_MAX));
    if (!t->refused.text.p)
        t->refused.text = SPAN("Message refused");
}
