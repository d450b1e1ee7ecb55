/* Where a job is: at which host, what it waits for and since when. Looked up when somebody asks,
 * so that a delivery which nobody asks about says nothing of itself. */
#include "deliver/inside.h"

#include "smtp/reply_parse.h"

enum { WORDS_MAX = 512 };

static void put_stage(enum smtp_stage stage, bool lmtp, struct buf *b)
{
    if (stage == SMTP_STAGE_GREETING)
        buf_putz(b, "waits for its greeting");
    else if (stage == SMTP_STAGE_DATA)
        buf_putz(b, "waits for the reply to DATA");
    else if (stage == SMTP_STAGE_FINAL)
        buf_putz(b, "waits for the reply to the end of the message");
    else if (stage == SMTP_STAGE_IDLE)
        buf_putz(b, "is about to go on");
    else
        buf_printf(b, "waits for the reply to %s", smtp_stage_name(stage, lmtp));
}

static void put_content(const struct job *j, struct buf *b)
{
    if (j->content_asked)
        buf_putz(b, "waits for more of the message from the spool");
    else
        buf_printf(b, "takes the message: %llu of %llu bytes are on their way",
                   (unsigned long long)j->sent_bytes, (unsigned long long)j->size_bytes);
}

static int64_t talking(const struct job *j, struct msg_here *m, struct buf *words)
{
    int64_t since_ms;
    enum smtp_stage stage = smtp_client_waits(j->conn->client, &since_ms);
    bool tls = stage == SMTP_STAGE_STARTTLS && j->conn->tls;
    m->doing = HERE_TALKING;
    m->stage = (uint8_t)stage;
    if (tls)
        buf_putz(words, "waits for the TLS handshake");
    else if (stage == SMTP_STAGE_BLOCK)
        put_content(j, words);
    else
        put_stage(stage, j->lmtp, words);
    return since_ms;
}

static int64_t asking(const struct job *j, struct buf *words)
{
    if (j->by_local) {
        buf_putz(words, "waits for a process of this host to take it");
        return j->begun_ms;
    }
    talk_put_asking(j, words);
    return j->asked_ms;
}

/* What it waits for, as words; since when. */
static int64_t look(const struct job *j, struct msg_here *m, struct buf *words)
{
    const struct conn *c = j->conn;
    if (c) {
        m->host = span_str(c->host);
        m->relay = c->addr;
    }
    if (c && c->client)
        return talking(j, m, words);
    m->doing = c ? HERE_CONNECTING : j->question ? HERE_ASKING : HERE_IN_LINE;
    if (c)
        buf_putz(words, "waits for the connection");
    else if (j->question)
        return asking(j, words);
    else
        buf_putz(words, "waits for the end of another connection there");
    return c ? c->opened_ms : j->begun_ms;
}

static void tell(struct job *j, uint64_t q)
{
    struct msg_here m = { .q = q, .job = j->id };
    struct buf words, story;
    buf_init(&words, WORDS_MAX);
    buf_init(&story, ATTEMPT_MAX_BYTES);
    m.ms = loop_mono_ms(j->d->env->loop) - look(j, &m, &words);
    m.text = buf_span(&words);
    record_so_far(j, &story);
    m.story = buf_span(&story);
    send_here(j->d->qmgr, &m);
    buf_free(&words);
    buf_free(&story);
}

static bool has_to_do_with(const struct job *j, const struct netaddr *at)
{
    if (j->conn && netaddr_same_ip(&j->conn->addr, at))
        return true;
    for (size_t i = 0; j->have_plan && i < j->plan.addr_count; i++)
        if (netaddr_same_ip(&j->plan.addrs[i].addr, at))
            return true;
    return false;
}

void where_asked(struct deliver *d, const struct msg_where *m)
{
    struct wire w = wire_reader(m->jobs);
    unsigned n = 0;
    while (w.rest.n && !w.bad && n < HERE_MAX) {
        struct job *j = upstream_job(d, wire_get_u64(&w));
        if (j && !w.bad) {
            tell(j, m->q);
            n++;
        }
    }
    struct hash_node *node = m->at.family != NETADDR_NONE ? hash_next(&d->jobs, NULL) : NULL;
    for (; node && n < HERE_MAX; node = hash_next(&d->jobs, node)) {
        struct job *j = CONTAINER(node, struct job, node);
        if (!has_to_do_with(j, &m->at))
            continue;
        tell(j, m->q);
        n++;
    }
    struct msg_here_end end = { .q = m->q };
    send_here_end(d->qmgr, &end);
}

/* --- to who begins to look on --- */

static void replay_reply(struct job *j, const struct attempt_entry *e)
{
    struct span rest = e->text;
    for (bool more = true; more;) {
        struct span line = span_to(rest, span_find(rest, '\n'));
        struct buf b;
        more = line.n < rest.n;
        rest = span_from(rest, line.n + 1);
        buf_init(&b, ATTEMPT_TEXT_MAX * 4 + 16);
        buf_printf(&b, "%d%c", e->code, more ? '-' : ' ');
        reply_clean(&b, line, ATTEMPT_TEXT_MAX * 4);
        talk_replay(j, (struct msg_talk){ .kind = TALK_PEER, .text = buf_span(&b) });
        buf_free(&b);
    }
}

static void replay_host(struct job *j, const struct attempt_entry *e)
{
    size_t space = span_rfind(e->text, ' ');
    struct msg_talk m = { .kind = e->kind == ATTEMPT_HOST ? TALK_CONNECTING : TALK_CACHED,
                          .host = e->text };
    if (space < e->text.n && netaddr_parse(span_from(e->text, space + 1), 0, &m.relay, NULL))
        m.host = span_to(e->text, space);
    talk_replay(j, m);
}

static void replay(struct job *j, struct span log)
{
    struct attempt a = { .log = log };
    struct attempt_entry e;
    while (attempt_next(&a, &e)) {
        if (e.kind == ATTEMPT_HOST || e.kind == ATTEMPT_KEPT)
            replay_host(j, &e);
        else if (e.kind == ATTEMPT_PEER)
            replay_reply(j, &e);
        else if (e.kind != ATTEMPT_OPEN)
            talk_replay(j, (struct msg_talk){ .text = e.text,
                                              .kind = e.kind == ATTEMPT_OURS ? TALK_OURS
                                                                             : TALK_NOTE });
    }
}

void where_watch(struct job *j, uint64_t watch)
{
    struct buf words;
    struct msg_here m = { .q = 0 };
    struct conn *c = j->conn;
    j->watch = watch;
    replay(j, buf_span(&j->log.b));
    if (c) {
        conn_watch(c, j);
        talk_replay(j, (struct msg_talk){ .kind = c->was_open ? TALK_CACHED : TALK_CONNECTING,
                                          .host = span_str(c->host), .relay = c->addr });
        replay(j, buf_span(&c->log.b));
    }
    buf_init(&words, WORDS_MAX);
    int64_t ms = loop_mono_ms(j->d->env->loop) - look(j, &m, &words);
    buf_printf(&words, ", for %lld s so far", (long long)(ms / 1000));
    talk_replay(j, (struct msg_talk){ .kind = TALK_NOTE, .text = buf_span(&words) });
    buf_free(&words);
}
