/* What deliver cannot open itself, having neither files nor sockets of the file system: a
 * delivery on this host, and an LMTP server's socket. master makes a process for it and gives us
 * a descriptor, on which LMTP is spoken as with any other host. */
#include "deliver/inside.h"

#include "base/must.h"
#include "dsn/dsn.h"
#include "mail/delivery.h"
#include "proto/master_child.h"
#include "route/value.h"

#include <stdlib.h>

enum { VALUE_ARENA_MAX = 64 << 10 };

/* route.local_delivery = lmtp:... makes of every local recipient one of that server. */
void local_configure(struct deliver *d)
{
    struct err e;
    struct delivery how;
    struct span value = d->config->route.local_delivery;
    arena_free(&d->mailboxes_arena);
    d->mailboxes_arena = arena_new(VALUE_ARENA_MAX);
    d->mailboxes = (struct route_dest){ .mailer = ROUTE_LOCAL };
    if (delivery_parse(value, &how, &e) && how.kind == DELIVERY_LMTP &&
        !route_value(value, SPAN_NONE, d->mailboxes_arena, &d->mailboxes, &e)) {
        log_line(d->env->events, EVENT_WARNING, "route.local_delivery: %s", e.text);
        d->mailboxes.mailer = ROUTE_LOCAL;
    }
}

static bool copy_server(struct job *j, const struct route_dest *to)
{
    size_t bytes = to->hop_count * sizeof *to->hops;
    j->dest.path = arena_dup(j->arena, to->path);
    j->dest.hops = arena_alloc(j->arena, bytes ? bytes : 1);
    j->dest.hop_count = to->hop_count;
    if (!j->dest.path.p || !j->dest.hops)
        return false;
    for (size_t i = 0; i < to->hop_count; i++) {
        j->dest.hops[i] = to->hops[i];
        j->dest.hops[i].host = arena_dup(j->arena, to->hops[i].host);
    }
    return true;
}

void local_take(struct job *j)
{
    struct route_dest *d = &j->dest;
    if (d->mailer == ROUTE_LOCAL && j->d->mailboxes.mailer == ROUTE_LMTP &&
        copy_server(j, &j->d->mailboxes))
        d->mailer = ROUTE_LMTP;
    j->once = d->mailer == ROUTE_LOCAL || d->mailer == ROUTE_PROGRAM || d->mailer == ROUTE_FILE;
    j->by_local = j->once || (d->mailer == ROUTE_LMTP && d->path.n);
    j->lmtp = j->by_local || d->mailer == ROUTE_LMTP;
}

/* A command line is no address: the `local` has it from master. */
void local_substitute(struct job *j)
{
    bool other = j->dest.mailer == ROUTE_PROGRAM || j->dest.mailer == ROUTE_FILE;
    for (size_t i = 0; other && i < j->now_count; i++)
        j->now_rcpts[i].addr = j->dest.mailer == ROUTE_FILE ? SPAN("file") : SPAN("program");
}

/* --- asking master --- */

static enum local_kind kind_of(const struct route_dest *d)
{
    return d->mailer == ROUTE_PROGRAM ? LOCAL_PROGRAM
           : d->mailer == ROUTE_FILE  ? LOCAL_FILE
           : d->mailer == ROUTE_LMTP  ? LOCAL_SOCKET
                                      : LOCAL_MAILBOX;
}

static const struct envelope_rcpt *next_rcpt(const struct job *j)
{
    for (size_t i = 0; i < j->rcpt_count; i++)
        if (j->states[i].waits && !j->states[i].told)
            return &j->rcpts[i];
    return &j->rcpts[0];
}

/* Whom the sender wrote to, where it is known. */
static struct span original_of(const struct envelope_rcpt *r, struct buf *b)
{
    if (span_istarts(r->orcpt, SPAN("rfc822;")) &&
        dsn_xtext_decode(b, span_from(r->orcpt, 7), ENVELOPE_ADDR_MAX))
        return buf_span(b);
    return SPAN_NONE;
}

void local_ask(struct job *j)
{
    struct deliver *d = j->d;
    const struct envelope_rcpt *r = next_rcpt(j);
    struct buf b;
    if (!d->env->ask_local) { /* no master: tests in one process */
        local_no_answer(j);
        return;
    }
    buf_init(&b, ENVELOPE_ADDR_MAX);
    j->question = ++d->next_question;
    hash_add(&d->questions, &j->question_node, span_of(&j->question, sizeof j->question));
    struct msg_local_ask m = { .q = j->question,
                               .kind = (uint8_t)kind_of(&j->dest),
                               .user = j->dest.user,
                               .detail = j->dest.detail,
                               .target = j->dest.path,
                               .original = original_of(r, &b),
                               .rcpt = r->addr };
    /* A program or file is no address of anybody: its alias is. */
    if (m.original.n && (m.kind == LOCAL_PROGRAM || m.kind == LOCAL_FILE))
        m.rcpt = m.original;
    d->env->ask_local(d->env, &m);
    buf_free(&b);
    loop_timer_at(d->env->loop, &j->patience, j->deadline_ms);
}

static void deny(struct job *j, struct span text)
{
    struct smtp_outcome o = { .result = SMTP_DEFERRED,
                              .cause = SMTP_CAUSE_LOCAL,
                              .stage = SMTP_STAGE_CONNECT,
                              .enhanced = SPAN("4.3.2"),
                              .text = text };
    job_no_local(j, &o);
}

static void settle(struct deliver *d, struct job *j)
{
    if (j->question)
        hash_remove(&d->questions, &j->question_node);
    loop_timer_stop(d->env->loop, &j->patience);
    j->question = 0;
}

void local_no_answer(struct job *j)
{
    settle(j->d, j);
    deny(j, SPAN("no process for the delivery could be had in time"));
}

void local_said(void *role, uint64_t q, int fd, struct span text)
{
    struct deliver *d = role;
    struct hash_node *n = hash_get(&d->questions, span_of(&q, sizeof q));
    struct job *j = n ? CONTAINER(n, struct job, question_node) : NULL;
    if (!j || !j->by_local) {
        if (fd >= 0)
            loop_close(d->env->loop, fd);
        return;
    }
    settle(d, j);
    if (fd >= 0)
        conn_adopt(d, j, fd);
    else
        deny(j, text);
}
