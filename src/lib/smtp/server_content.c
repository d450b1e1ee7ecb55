/* DATA and BDAT: content on its way through, never kept. */
#include "smtp/server_int.h"

static void content_begin(struct smtp_server *s, enum content_by by)
{
    struct txn *t = s->txn;
    t->by = by;
    data_scan_init(&t->scan, s->normalise ? DATA_NORMALISE : DATA_REJECT, by == BY_DATA);
    headerwalk_init(&t->header, s->config->instance);
}

static void refuse_size(struct smtp_server *s)
{
    struct buf text;
    buf_init(&text, 128);
    buf_printf(&text, "Message exceeds maximum fixed size (%llu)",
               (unsigned long long)s->config->message_bytes);
    struct reply r = { .code = 552, .enhanced = "5.2.3", .text = buf_span(&text) };
    server_txn_refuse(s, &r);
    buf_free(&text);
}

void server_data(struct smtp_server *s, struct span arg)
{
    struct txn *t = s->txn;
    if (arg.n)
        server_say(s, 501, "5.5.2", "Syntax error (no parameters allowed)");
    else if (!t)
        server_say(s, 503, "5.0.0", "Need MAIL command");
    else if (t->by == BY_BDAT) /* RFC 3030 2 */
        server_say(s, 503, "5.5.0", "DATA not allowed after BDAT");
    else if (t->env.rcpt_count == 0)
        server_say(s, 503, "5.0.0", "Need RCPT (recipient)");
    else {
        server_say(s, 354, "", "Enter mail, end with \".\" on a line by itself");
        content_begin(s, BY_DATA);
        s->state = STATE_DATA;
        return;
    }
    server_bad(s);
}

/* ---- BDAT (RFC 3030 2) ---- */

/* The chunk's octets come whatever we think of it: they are read and dropped, then it is
 * answered. A refused chunk ends its transaction; further chunks then meet "Need MAIL", and are
 * swallowed too, which is what the RFC asks for with pipelined chunks. */
static void swallow(struct smtp_server *s, const char *reply)
{
    s->swallowed = reply;
    s->state = STATE_SWALLOW;
}

void server_bdat(struct smtp_server *s, struct span arg)
{
    struct txn *t = s->txn;
    uint64_t max = s->config->message_bytes;
    if (command_bdat(arg, &s->octets, &s->octets_last) < 0) {
        /* How much content follows is unknown, and none of it may be taken for commands. */
        server_say_bye(s, "4.5.4", "Syntax error in BDAT; closing connection", false);
        return;
    }
    if (!t)
        swallow(s, "503 5.0.0 Need MAIL command");
    else if (t->env.rcpt_count == 0)
        swallow(s, "503 5.0.0 Need RCPT (recipient)");
    else {
        if (t->by == BY_NONE)
            content_begin(s, BY_BDAT);
        s->state = STATE_BDAT;
        if (max && (s->octets > max || t->bytes > max - s->octets))
            refuse_size(s);
    }
}

bool server_swallow_step(struct smtp_server *s, struct span in, size_t *used_r)
{
    *used_r = in.n < s->octets ? in.n : (size_t)s->octets;
    s->octets -= *used_r;
    if (s->octets > 0)
        return false;
    s->state = STATE_COMMAND;
    buf_putz(&s->out, s->swallowed);
    MUST(buf_putz(&s->out, "\r\n"));
    server_bad(s);
    return true;
}

/* ---- content ---- */

static void refuse_line(struct smtp_server *s)
{
    struct buf text;
    buf_init(&text, 128);
    buf_printf(&text, "A line of the message exceeds the maximum (%llu)",
               (unsigned long long)s->config->line_bytes);
    struct reply r = { .code = 554, .enhanced = "5.6.0", .text = buf_span(&text) };
    server_txn_refuse(s, &r);
    buf_free(&text);
}

/* Behind the scan each LF is the end of a line. */
static bool lines_fit(struct smtp_server *s, struct span piece)
{
    struct txn *t = s->txn;
    if (!s->config->line_bytes)
        return true;
    while (piece.n) {
        size_t lf = span_find(piece, '\n');
        bool whole = lf < piece.n;
        t->line_bytes += whole ? lf + 1 : piece.n;
        if (t->line_bytes > s->config->line_bytes)
            return false;
        if (whole)
            t->line_bytes = 0;
        piece = span_from(piece, whole ? lf + 1 : piece.n);
    }
    return true;
}

/* A piece for the owner, unless the message is refused already. */
static void give(struct smtp_server *s, struct span piece)
{
    struct txn *t = s->txn;
    uint64_t max = s->config->message_bytes;
    if (piece.n == 0 || t->refused.code)
        return;
    if (max && piece.n > max - t->bytes) {
        refuse_size(s);
        return;
    }
    if (!lines_fit(s, piece)) {
        refuse_line(s);
        return;
    }
    t->bytes += piece.n;
    if (!t->header.done)
        headerwalk_input(&t->header, piece);
    t->chunk_due = s->config->ask & SMTP_ASK(SMTP_HOOK_CHUNK);
    if (!s->ops->content(s->ctx, t->id, piece))
        s->stalled = true;
}

/* A chunk's last octet was read. RFC 3030: a chunk that fails is answered as such, and the message
 * has failed with it. */
static void chunk_ended(struct smtp_server *s)
{
    struct txn *t = s->txn;
    struct span piece;
    if (s->octets_last) {
        data_scan_finish(&t->scan, &piece);
        give(s, piece);
        t->ended = true;
    } else if (t->refused.code || (t->scan.bad && !s->normalise)) {
        t->ended = true;
    } /* else its questions come first, then its 250: server_content_step */
}

static void read_data(struct smtp_server *s, struct span in, size_t *used_r)
{
    struct txn *t = s->txn;
    struct span piece;
    if (s->state == STATE_BDAT)
        in = span_to(in, in.n < s->octets ? in.n : (size_t)s->octets);
    int end = data_scan_next(&t->scan, in, used_r, &piece);
    give(s, piece);
    if (s->state == STATE_BDAT) {
        s->octets -= *used_r;
        if (s->octets == 0)
            chunk_ended(s);
    } else if (end) {
        t->ended = true;
    }
}

/* The next thing due before more content is read: a question, or the end. False: nothing. */
static bool content_advance(struct smtp_server *s)
{
    struct txn *t = s->txn;
    bool asks = !t->refused.code && !(t->scan.bad && !s->normalise);
    if (asks && !t->header_asked && (t->header.done || t->ended)) {
        t->header_asked = true;
        server_ask(s, &(struct smtp_server_question){ .hook = SMTP_HOOK_HEADER });
    } else if (asks && t->chunk_due) {
        t->chunk_due = false;
        server_ask(s, &(struct smtp_server_question){ .hook = SMTP_HOOK_CHUNK });
    } else if (t->ended) {
        server_finish(s);
    } else {
        return false;
    }
    return true;
}

static void chunk_reply(struct smtp_server *s)
{
    s->state = STATE_COMMAND;
    server_say(s, 250, "2.0.0", "Chunk received");
}

bool server_content_step(struct smtp_server *s, struct span in, size_t *used_r)
{
    if (content_advance(s))
        return true;
    if (s->state == STATE_BDAT && s->octets == 0) {
        if (s->octets_last || s->txn->refused.code)
            chunk_ended(s); /* BDAT 0 LAST; or a chunk of no octets that is refused */
        else
            chunk_reply(s);
        return true;
    }
    if (in.n == 0)
        return false;
    read_data(s, in, used_r);
    if (s->txn->ended)
        s->txn->pipelined_end = in.n > *used_r;
    return true;
}

void server_content_verdict(struct smtp_server *s, const struct smtp_server_verdict *v)
{
    struct reply r = server_verdict(v, 0);
    if (reply_positive(&r))
        return;
    if (r.code == 421)
        server_say_reply(s, &r, SPAN(""));
    else
        server_txn_refuse(s, &r);
}
