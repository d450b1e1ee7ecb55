/* The other processes, as a session's engine sees them. Each of them may be away: then the
 * answer is 451 and the session goes on (design: never a closed session). */
#include "smtpd/inside.h"

#include "base/must.h"

#include <stdlib.h>
#include <string.h>

/* --- transactions: qmgr --- */

static bool on_lease(void *ctx, uint64_t *seq_r, uint64_t *txn_r)
{
    struct session *s = ctx;
    struct smtpd *d = s->d;
    if (d->ids_left < LEASE_LOW)
        backend_want_ids(d);
    if (!d->qmgr || d->ids_left == 0)
        return false;
    s->seq = *seq_r = d->ids_first++;
    d->ids_left--;
    s->txn = *txn_r = ((uint64_t)(d->env->index + 1) << 48) | ++d->next_txn;
    hash_add(&d->txns, &s->txn_node, span_of(&s->txn, sizeof s->txn));
    buf_reset(&s->content);
    s->streamed_bytes = s->size_bytes = 0;
    s->committing = s->lost = false;
    s->begun_ns = loop_mono_ns(d->env->loop);
    return true;
}

static void send_piece(struct session *s, size_t n)
{
    struct msg_extent m = { .txn = s->txn,
                            .seq = s->seq,
                            .data = span_to(buf_span(&s->content), n) };
    send_extent(s->d->qmgr, &m);
    buf_take(&s->content, m.data.n);
    s->streamed_bytes += m.data.n;
    s->d->untaken_bytes += m.data.n;
}

static bool has_credit(const struct smtpd *d)
{
    return d->untaken_bytes < EXTENT_WINDOW_BYTES && !channel_full(d->qmgr);
}

/* Whoever has more than inline_max sends at least one: the spool takes no more inline. False:
 * there is more to be sent than there is credit for. */
static bool send_extents(struct session *s)
{
    struct smtpd *d = s->d;
    uint64_t inline_max = s->gen->config->spool.inline_max_bytes;
    size_t piece = inline_max < EXTENT_BYTES ? inline_max : EXTENT_BYTES;
    while (s->content.len >= piece && d->qmgr && has_credit(d))
        send_piece(s, piece);
    return s->content.len < piece || !d->qmgr;
}

/* At the end of the line: those who have credit take turns. */
static void wait_for_credit(struct session *s)
{
    s->no_credit = true;
    if (!list_linked(&s->credit_node))
        list_append(&s->d->waiting_credit, &s->credit_node);
}

static bool on_content(void *ctx, uint64_t txn, struct span bytes)
{
    struct session *s = ctx;
    (void)txn;
    if (s->lost) /* its first part went with the qmgr that had it: refused at the end */
        return true;
    if (targets_discard_all(s))
        return true;
    bool held = rewrite_holds(s); /* before this: it may end the header, with more behind it */
    /* Where much comes at once more will follow: room for all that can stay inline, once. */
    if (!s->content.len && bytes.n >= LARGE_BYTES)
        buf_space(&s->content, s->gen->config->spool.inline_max_bytes + READ_BYTES);
    buf_puts(&s->content, bytes);
    if (held)
        return true;
    /* What stays inline waits for nobody: it is bounded, and small mail is not to stand in a
     * line with the large that fills the channel. */
    if (!s->streamed_bytes && s->content.len <= s->gen->config->spool.inline_max_bytes)
        return true;
    if (s->no_credit || !send_extents(s))
        wait_for_credit(s);
    return !s->no_credit;
}

void backend_release(struct session *s)
{
    bool more = s->content.len > s->gen->config->spool.inline_max_bytes;
    if (more && !s->lost && !s->no_credit && s->d->qmgr && !send_extents(s))
        wait_for_credit(s);
}

static void refuse_commit(struct session *s, const struct reply *r)
{
    say_not_received(s, r->code, r->text);
    smtp_server_refused(s->server, s->txn, r, session_now(s));
}

static const struct reply too_many = { .code = 452, .enhanced = "4.5.3",
                                       .text = SPAN("Too many recipients") };

/* The envelope with what the recipients have become; false: there is nothing to be stored, and
 * the client has its answer. */
static bool make_envelope(struct session *s, const struct smtp_server_commit *c,
                          struct envelope *env_r)
{
    *env_r = *c->envelope;
    if (s->targets && !targets_apply(s, c->envelope, env_r)) {
        refuse_commit(s, &too_many);
        return false;
    }
    rewrite_envelope(s, env_r);
    if (!s->targets || env_r->rcpt_count)
        return true;
    say_discarded(s);
    smtp_server_discarded(s->server, s->txn, session_now(s));
    return false;
}

static void on_commit(void *ctx, const struct smtp_server_commit *c)
{
    struct session *s = ctx;
    struct smtpd *d = s->d;
    s->size_bytes = c->content_bytes;
    struct span msgid = headerwalk_msgid(c->header);
    s->msgid_len = (unsigned char)msgid.n;
    if (msgid.n)
        memcpy(s->msgid, msgid.p, msgid.n);
    if (!d->qmgr || s->lost || s->content.failed) {
        refuse_commit(s, &ask_away);
        return;
    }
    struct envelope env;
    if (!make_envelope(s, c, &env))
        return;
    s->rcpt_count = env.rcpt_count;
    s->committing = true;
    s->commit_ns = loop_mono_ns(d->env->loop);
    /* The tail: all content is in extents then. */
    bool streamed = s->streamed_bytes || s->content.len > s->gen->config->spool.inline_max_bytes;
    while (streamed && s->content.len)
        send_piece(s, s->content.len < EXTENT_BYTES ? s->content.len : EXTENT_BYTES);
    struct buf *b = channel_begin(d->qmgr, MSG_commit);
    wire_put_u64(b, s->txn);
    size_t at = wire_begin_bytes(b);
    envelope_put(b, &env);
    wire_end_bytes(b, at);
    size_t head = wire_begin_bytes(b), before = b->len;
    buf_puts(b, c->head);
    local_put_warning(b, s, c->envelope);
    s->stored_bytes = s->streamed_bytes + s->content.len + (b->len - before);
    wire_end_bytes(b, head);
    channel_end_tail(d->qmgr, buf_span(&s->content));
    buf_free(&s->content);
}

static void on_end(void *ctx, uint64_t txn, enum smtp_server_end how)
{
    struct session *s = ctx;
    if (!s->txn || s->txn != txn)
        return;
    (void)how;
    if (!s->committing && s->streamed_bytes && !s->lost && s->d->qmgr) {
        struct msg_abort_txn m = { .txn = txn };
        send_abort_txn(s->d->qmgr, &m);
    }
    hash_remove(&s->d->txns, &s->txn_node);
    targets_free(s);
    rewrite_free(s);
    s->txn = 0;
    s->committing = false;
    buf_free(&s->content);
}

static struct session *by_txn(struct smtpd *d, uint64_t txn)
{
    struct hash_node *n = hash_get(&d->txns, span_of(&txn, sizeof txn));
    return n ? CONTAINER(n, struct session, txn_node) : NULL;
}

static void on_receipt(void *ctx, const struct receipt *r)
{
    struct smtpd *d = ctx;
    struct session *s = by_txn(d, receipt_txn(r));
    /* Without one the client has gone meanwhile, and the message is ours all the same. */
    if (!s || !s->committing || receipt_seq(r) != s->seq)
        return;
    say_received(s);
    s->accepted++;
    s->busy = true;
    smtp_server_committed(s->server, r, session_now(s));
    s->busy = false;
    session_run(s);
}

static bool handle_committed(void *ctx, struct channel *ch, struct span body, int fd)
{
    (void)ch;
    return fd < 0 && committed_read(body, ctx, on_receipt);
}

static void on_not_committed(struct smtpd *d, struct channel *ch,
                             const struct msg_not_committed *m)
{
    (void)ch;
    struct session *s = by_txn(d, m->txn);
    if (!s || !s->committing)
        return;
    struct reply r = ask_refusal(m->code, m->text);
    s->busy = true;
    refuse_commit(s, &r);
    s->busy = false;
    session_run(s);
}

static void on_leased(struct smtpd *d, struct channel *ch, const struct msg_leased *m)
{
    (void)ch;
    d->lease_asked = false;
    if (m->count == 0)
        return;
    d->ids_first = m->first;
    d->ids_left = m->count;
    if (loop_timer_set(&d->listen_late))
        smtpd_listen(d);
}

static void on_space(struct smtpd *d, struct channel *ch, const struct msg_space *m)
{
    (void)ch;
    d->full = m->full;
}

/* Ids that are left of the last lease are given up: they were counters, not mail. */
void backend_want_ids(struct smtpd *d)
{
    if (d->lease_asked || !d->qmgr)
        return;
    struct msg_lease m = { .count = LEASE_COUNT };
    d->lease_asked = true;
    send_lease(d->qmgr, &m);
}

static void resume_waiting(struct smtpd *d)
{
    for (struct list *n; (n = list_first(&d->waiting_credit));) {
        struct session *s = CONTAINER(n, struct session, credit_node);
        if (d->qmgr && !has_credit(d))
            return;
        list_remove(n);
        s->no_credit = false;
        if (!s->lost && !rewrite_holds(s) && !send_extents(s)) {
            wait_for_credit(s);
            return;
        }
        s->busy = true;
        smtp_server_resume(s->server, session_now(s));
        s->busy = false;
        session_run(s);
    }
}

static void on_drained(void *ctx, struct channel *ch)
{
    (void)ch;
    resume_waiting(ctx);
}

static void on_taken(struct smtpd *d, struct channel *ch, const struct msg_taken *m)
{
    (void)ch;
    d->untaken_bytes -= m->bytes < d->untaken_bytes ? m->bytes : d->untaken_bytes;
    resume_waiting(d);
}

PROTO_HANDLER(not_committed, struct smtpd *, on_not_committed)
PROTO_HANDLER(leased, struct smtpd *, on_leased)
PROTO_HANDLER(space, struct smtpd *, on_space)
PROTO_HANDLER(taken, struct smtpd *, on_taken)

/* --- peers come and go --- */

/* qmgr may have made a message durable and died before it could say so: 451 then makes the
 * client send it again, a duplicate and no loss. A transaction whose content was streamed is
 * lost with qmgr and is refused at its end. */
static void on_qmgr_gone(void *ctx, struct channel *ch, const char *why)
{
    struct smtpd *d = ctx;
    (void)ch;
    say_lost_peer(d, "qmgr", why);
    channel_free(&d->qmgr);
    d->lease_asked = d->full = false;
    d->untaken_bytes = 0;
    LIST_EACH(n, &d->sessions) {
        struct session *s = CONTAINER(n, struct session, node);
        s->lost = s->lost || s->streamed_bytes;
        if (!s->txn || !s->committing)
            continue;
        s->busy = true;
        refuse_commit(s, &ask_away);
        s->busy = false;
        if (!s->txn)
            session_run(s);
    }
    resume_waiting(d);
}

static void on_keyring_gone(void *ctx, struct channel *ch, const char *why)
{
    struct smtpd *d = ctx;
    (void)ch;
    say_lost_peer(d, "keyring", why);
    channel_free(&d->keyring);
}

void backend_qmgr(struct smtpd *d, int fd)
{
    static const struct channel_type types[] = {
        { MSG_committed, "committed", handle_committed }, PROTO_TYPE(not_committed),
        PROTO_TYPE(leased), PROTO_TYPE(space), PROTO_TYPE(taken) };
    static const struct channel_ops ops = { types, 5, on_qmgr_gone, on_drained };
    if (d->qmgr)
        on_qmgr_gone(d, d->qmgr, "replaced");
    d->qmgr = channel_new(d->env->loop, fd, "qmgr", &ops, d);
    backend_want_ids(d);
}

/* --- keyring --- */

/* Requests are numbered by each generation's TLS context: ours is put in front. */
enum { GENERATION_SHIFT = 40 };

static void on_key_signed(struct smtpd *d, struct channel *ch, const struct msg_key_signed *m)
{
    (void)ch;
    LIST_EACH(n, &d->generations) {
        struct generation *g = CONTAINER(n, struct generation, node);
        if (g->number != m->q >> GENERATION_SHIFT || !g->tls)
            continue;
        uint64_t id = m->q & ((UINT64_C(1) << GENERATION_SHIFT) - 1);
        struct tls *t = tls_sign_done(g->tls, id, m->reply);
        if (t)
            session_run(tls_owner(t));
        return;
    }
}

static void on_tickets(struct smtpd *d, struct channel *ch, const struct msg_tickets *m)
{
    (void)ch;
    buf_reset(&d->tickets);
    buf_puts(&d->tickets, m->keys);
    LIST_EACH(n, &d->generations) {
        struct generation *g = CONTAINER(n, struct generation, node);
        if (g->tls)
            tls_server_set_tickets(g->tls, m->keys);
    }
}
PROTO_HANDLER(key_signed, struct smtpd *, on_key_signed)
PROTO_HANDLER(tickets, struct smtpd *, on_tickets)

void backend_sign(void *arg, uint64_t request_id, struct span request)
{
    struct generation *g = arg;
    struct smtpd *d = g->d;
    struct msg_sign m = { .q = g->number << GENERATION_SHIFT | request_id, .request = request };
    if (d->keyring) /* else: asked again when it is back, or the handshake's deadline ends it */
        send_sign(d->keyring, &m);
}

void backend_keyring(struct smtpd *d, int fd)
{
    static const struct channel_type types[] = { PROTO_TYPE(key_signed), PROTO_TYPE(tickets) };
    static const struct channel_ops ops = { types, 2, on_keyring_gone, NULL };
    if (d->keyring)
        on_keyring_gone(d, d->keyring, "replaced");
    d->keyring = channel_new(d->env->loop, fd, "keyring", &ops, d);
    LIST_EACH(n, &d->generations) {
        struct generation *g = CONTAINER(n, struct generation, node);
        if (g->tls)
            tls_sign_again(g->tls);
    }
}

void backend_forget(struct session *s)
{
    ask_forget(s);
    if (s->txn)
        hash_remove(&s->d->txns, &s->txn_node);
    targets_free(s);
    rewrite_free(s);
    s->txn = 0;
}

static void on_starttls(void *ctx)
{
    struct session *s = ctx;
    s->tls_pending = true;
}

static void on_event(void *ctx, const struct smtp_server_event *e)
{
    if (e->kind == SMTP_EVENT_NO_ANSWER)
        ask_expired(ctx);
    say_event(ctx, e);
}

const struct smtp_server_ops session_ops = {
    .ask = ask_question,
    .lease = on_lease,
    .content = on_content,
    .commit = on_commit,
    .end = on_end,
    .starttls = on_starttls,
    .event = on_event,
};
