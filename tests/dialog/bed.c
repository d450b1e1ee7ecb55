#include "bed.h"

#include "base/must.h"
#include "base/num.h"
#include "receipt/mint.h"

bool bed_rule_set(struct bed_rule *r, struct span key, struct span reply)
{
    uint64_t code;
    struct span word = span_word(&reply), enhanced = span_word(&reply), text = span_trim(reply);
    *r = (struct bed_rule){ 0 };
    if (!num_upto(word, 599, &code) || enhanced.n >= sizeof r->reply.enhanced ||
        key.n >= sizeof r->key || text.n >= sizeof r->text)
        return false;
    if (key.n)
        memcpy(r->key, key.p, key.n);
    if (text.n)
        memcpy(r->text, text.p, text.n);
    r->reply.code = (unsigned short)code;
    if (enhanced.n && !span_eq(enhanced, SPAN("-")))
        memcpy(r->reply.enhanced, enhanced.p, enhanced.n);
    r->reply.about_address = span_find(key, '@') < key.n;
    return true;
}

bool bed_rule_add(struct bed *b, struct span key, struct span reply)
{
    return b->rule_count < BED_RULES_MAX && bed_rule_set(&b->rules[b->rule_count++], key, reply);
}

static struct reply reply_for(const struct bed *b, const char *key)
{
    for (size_t i = 0; i < b->rule_count; i++) {
        if (strcmp(b->rules[i].key, key) == 0) {
            struct reply r = b->rules[i].reply;
            r.text = span_str(b->rules[i].text);
            return r;
        }
    }
    return (struct reply){ 0 };
}

static bool answer_now(struct bed *b, uint64_t id)
{
    struct reply replies[BED_ITEMS_MAX];
    struct smtp_server_verdict v = { .replies = replies, .count = b->items,
                                     .identity = SPAN("someone") };
    for (size_t i = 0; i < b->items; i++)
        replies[i] = reply_for(b, b->keys[i]);
    return smtp_server_answer(b->s, id, &v, b->now);
}

static void set_key(char *key, struct span s)
{
    size_t n = s.n < BED_TEXT_MAX ? s.n : BED_TEXT_MAX - 1;
    if (n)
        memcpy(key, s.p, n);
    key[n] = '\0';
}

static void on_ask(void *ctx, const struct smtp_server_question *q)
{
    struct bed *b = ctx;
    MUST(q->id > b->question && q->item_count <= BED_ITEMS_MAX);
    MUST((q->hook == SMTP_HOOK_MAIL) == (q->item_count > 0));
    b->question = q->id;
    b->hook = q->hook;
    b->asked[q->hook]++;
    b->items = q->item_count ? q->item_count : 1;
    set_key(b->keys[0], span_str(smtp_server_hook_name(q->hook)));
    for (size_t i = 0; i < q->item_count; i++)
        set_key(b->keys[i], q->items[i].address);
    if (q->hook == SMTP_HOOK_AUTH) { /* by what is said: "auth PLAIN abc" */
        struct buf key;
        buf_init(&key, 4096);
        buf_printf(&key, "auth %.*s", SPAN_ARG(q->text));
        set_key(b->keys[0], buf_span(&key));
        buf_free(&key);
    }
    if (!(b->late & SMTP_ASK(q->hook)))
        MUST(answer_now(b, q->id));
}

static bool on_lease(void *ctx, uint64_t *seq_r, uint64_t *txn_r)
{
    struct bed *b = ctx;
    if (b->no_lease)
        return false;
    *seq_r = ++b->seq;
    *txn_r = b->txn = b->seq + 1000;
    b->leased++;
    buf_reset(&b->content);
    return true;
}

static bool on_content(void *ctx, uint64_t txn, struct span bytes)
{
    struct bed *b = ctx;
    MUST(txn == b->txn && bytes.n > 0 && b->credit_bytes > 0 && !b->committing);
    MUST(buf_puts(&b->content, bytes));
    b->credit_bytes = bytes.n < b->credit_bytes ? b->credit_bytes - bytes.n : 0;
    return b->credit_bytes > 0;
}

static void on_commit(void *ctx, const struct smtp_server_commit *c)
{
    struct bed *b = ctx;
    MUST(c->txn == b->txn && c->content_bytes == b->content.len && !b->committing);
    MUST(c->envelope->rcpt_count > 0 && c->envelope->seq == b->seq);
    b->committed_bytes = c->content_bytes;
    buf_reset(&b->head);
    buf_puts(&b->head, c->head);
    b->committing = true;
    if (b->hold_commit)
        return;
    if (b->refuse_commit.reply.code)
        MUST(bed_refused(b, &b->refuse_commit));
    else
        MUST(bed_committed(b));
}

static void on_end(void *ctx, uint64_t txn, enum smtp_server_end how)
{
    struct bed *b = ctx;
    MUST(txn == b->txn && how < 4);
    b->ended[how]++;
    b->committing = false;
}

static void on_starttls(void *ctx) { ((struct bed *)ctx)->handshakes++; }

static void on_event(void *ctx, const struct smtp_server_event *e)
{
    struct bed *b = ctx;
    buf_printf(&b->events, "%s %s", smtp_server_event_name(e->kind), e->stage);
    if (e->address.n)
        buf_printf(&b->events, " %.*s", SPAN_ARG(e->address));
    buf_putc(&b->events, '\n');
}

static const struct smtp_server_ops ops = { on_ask, on_lease, on_content, on_commit,
                                            on_end, on_starttls, on_event };

void bed_init(struct bed *b)
{
    *b = (struct bed){ .credit_bytes = SIZE_MAX, .bytewise = false };
    b->now = (struct smtp_server_time){ .mono_ms = 1000000, .wall_ms = 1795164390000 };
    smtp_server_config_init(&b->config);
    b->config.hostname = SPAN("mx.test");
    b->config.instance = SPAN("i1");
    b->config.listener = SPAN("mx");
    b->client = (struct smtp_server_client){ .ip = SPAN("192.0.2.9") };
    struct buf *bufs[] = { &b->kept, &b->out, &b->content, &b->head, &b->events };
    for (size_t i = 0; i < sizeof bufs / sizeof *bufs; i++)
        buf_init(bufs[i], 64 << 20);
}

void bed_start(struct bed *b)
{
    b->s = smtp_server_new(&b->config, &b->client, &ops, b, b->now);
    bed_pump(b);
}

void bed_free(struct bed *b)
{
    smtp_server_free(&b->s);
    struct buf *bufs[] = { &b->kept, &b->out, &b->content, &b->head, &b->events };
    for (size_t i = 0; i < sizeof bufs / sizeof *bufs; i++)
        buf_free(bufs[i]);
}

static size_t drain(struct bed *b)
{
    struct span out = smtp_server_output(b->s);
    buf_puts(&b->out, out);
    smtp_server_sent(b->s, out.n);
    return out.n;
}

void bed_pump(struct bed *b)
{
    size_t taken, said;
    drain(b);
    do {
        struct span in = buf_span(&b->kept);
        taken = smtp_server_input(b->s, in, b->now);
        MUST(taken <= in.n);
        buf_take(&b->kept, taken);
        said = drain(b);
    } while (taken > 0 || said > 0);
    /* Nothing stops a session but what the header lists. */
    MUST(b->kept.len == 0 || smtp_server_blocked(b->s));
}

void bed_input(struct bed *b, struct span bytes)
{
    if (!b->bytewise) {
        buf_puts(&b->kept, bytes);
        bed_pump(b);
        return;
    }
    for (size_t i = 0; i < bytes.n; i++) {
        buf_putc(&b->kept, bytes.p[i]);
        bed_pump(b);
    }
}

bool bed_answer(struct bed *b, uint64_t id)
{
    bool taken = answer_now(b, id);
    bed_pump(b);
    return taken;
}

bool bed_committed(struct bed *b)
{
    struct receipt r = receipt_mint(b->txn, b->seq);
    bool taken = smtp_server_committed(b->s, &r, b->now);
    b->accepted += taken;
    return taken;
}

bool bed_refused(struct bed *b, const struct bed_rule *why)
{
    struct reply r = why->reply;
    r.text = span_str(why->text);
    return smtp_server_refused(b->s, b->txn, &r, b->now);
}

bool bed_resume(struct bed *b)
{
    bool taken = smtp_server_resume(b->s, b->now);
    bed_pump(b);
    return taken;
}

bool bed_tls(struct bed *b)
{
    struct smtp_server_tls tls = { SPAN("TLSv1.3"), SPAN("TLS_AES_256_GCM_SHA384"), 256 };
    bool taken = smtp_server_tls_done(b->s, &tls, b->now);
    bed_pump(b);
    return taken;
}

void bed_clock(struct bed *b, int64_t ms)
{
    int64_t until = b->now.mono_ms + ms;
    for (;;) {
        int64_t at = smtp_server_timer(b->s);
        bool due = at >= 0 && at <= until;
        int64_t to = due ? (at > b->now.mono_ms ? at : b->now.mono_ms) : until;
        b->now.wall_ms += to - b->now.mono_ms;
        b->now.mono_ms = to;
        if (!due)
            return;
        smtp_server_tick(b->s, b->now);
        bed_pump(b);
        MUST(smtp_server_timer(b->s) != at); /* a tick that changes nothing would spin */
    }
}
