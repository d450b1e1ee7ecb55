/* What an administrator who looks on is told of a job: whom we connect to, what either side says.
 * Message content is no part of the client's trace; credentials are taken out here. A dialogue is
 * told up to a number of lines, so that a talkative peer fills no memory. */
#include "deliver/inside.h"

enum { LINES_MAX = 1500, LINE_BYTES_MAX = 1024 };

void talk_take(struct conn *c, struct job *j)
{
    c->talk = (struct talk){ .watch = j->watch, .job = j->id, .lines = LINES_MAX };
}

static void tell(struct conn *c, enum talk_kind kind, struct span text)
{
    struct talk *t = &c->talk;
    bool dialogue = kind == TALK_OURS || kind == TALK_PEER;
    if (!t->watch || !c->d->qmgr || (dialogue && !t->lines))
        return;
    t->lines -= dialogue;
    struct msg_talk m = { .watch = t->watch,
                          .job = t->job,
                          .kind = (uint8_t)kind,
                          .host = span_str(c->host),
                          .relay = c->addr,
                          .text = span_to(text, LINE_BYTES_MAX) };
    send_talk(c->d->qmgr, &m);
    if (dialogue && !t->lines)
        tell(c, TALK_NOTE, SPAN("the rest of this dialogue is too long to be shown"));
}

void talk_say(struct conn *c, enum talk_kind kind, struct span text)
{
    record_talk(c, kind, text);
    tell(c, kind, text);
}

void talk_replay(const struct job *j, struct msg_talk m)
{
    m.watch = j->watch;
    m.job = j->id;
    if (j->watch && j->d->qmgr)
        send_talk(j->d->qmgr, &m);
}

void talk_unreached(struct job *j, const struct dns_plan_addr *a, struct span why)
{
    struct msg_talk m = { .kind = TALK_CONNECTING,
                          .host = j->plan.hosts[a->host].name,
                          .relay = a->addr };
    talk_replay(j, m);
    m.kind = TALK_NOTE;
    m.text = span_to(why, LINE_BYTES_MAX);
    talk_replay(j, m);
}

void talk_put_asking(const struct job *j, struct buf *b)
{
    buf_printf(b, "asking the DNS for %s of %.*s",
               j->dest.hops[0].bracketed ? "addresses" : "the MX",
               SPAN_ARG(j->dest.hops[0].host));
}

void talk_asking(struct job *j)
{
    struct buf b;
    buf_init(&b, LINE_BYTES_MAX);
    talk_put_asking(j, &b);
    talk_replay(j, (struct msg_talk){ .kind = TALK_NOTE,
                                      .text = span_to(buf_span(&b), LINE_BYTES_MAX) });
    buf_free(&b);
}

void talk_line(void *conn, bool ours, struct span line)
{
    struct conn *c = conn;
    if (!c->talk.watch)
        return;
    if (!ours) {
        c->talk.secret = span_starts(line, SPAN("334"));
        talk_say(c, TALK_PEER, line);
        return;
    }
    struct span open = attempt_open_part(line, c->talk.secret);
    if (open.n == line.n) {
        talk_say(c, TALK_OURS, line);
        return;
    }
    struct buf b;
    buf_init(&b, LINE_BYTES_MAX);
    buf_puts(&b, open);
    buf_putz(&b, open.n ? " (a credential)" : "(a credential)");
    talk_say(c, TALK_OURS, buf_span(&b));
    buf_free(&b);
}

void talk_closing(struct conn *c)
{
    if (!c->talk.closing)
        talk_say(c, TALK_CLOSING, SPAN_NONE);
    c->talk.closing = true;
}
