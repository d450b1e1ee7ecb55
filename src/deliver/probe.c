/* Probes: router asks whether a next hop knows a recipient. A probe is a job without a message:
 * it is resolved, connected and spoken as any other, and its connection is not kept. */
#include "deliver/inside.h"

#include "base/must.h"
#include "proto/lists.h"
#include "proto/router_deliver.h"

#include <stdlib.h>

static void say(struct job *j, enum probe_verdict verdict, struct span enhanced, struct span reply)
{
    struct msg_probed m = { .q = j->id,
                            .verdict = (uint8_t)verdict,
                            .enhanced = enhanced,
                            .host = span_str(j->last_host),
                            .reply = reply };
    if (j->d->router)
        send_probed(j->d->router, &m);
    j->probe_told = true;
}

/* Only what was said to RCPT is about the recipient. A 5yz that is about the sender is not: it
 * is the null sender's, which other mail has not. */
void probe_result(struct job *j, const struct smtp_outcome *o)
{
    bool reply = o->cause == SMTP_CAUSE_REPLY && o->stage == SMTP_STAGE_RCPT;
    bool sender = span_eq(o->enhanced, SPAN("5.1.7")) || span_eq(o->enhanced, SPAN("5.1.8"));
    enum probe_verdict v = !reply || sender              ? PROBE_NO_ANSWER
                           : o->result == SMTP_DELIVERED ? PROBE_KNOWN
                           : o->result == SMTP_FAILED    ? PROBE_UNKNOWN
                                                         : PROBE_LATER;
    if (!j->probe_told)
        say(j, v, o->enhanced, o->reply.n ? o->reply : o->text);
}

void probe_done(struct job *j)
{
    if (!j->probe_told)
        say(j, PROBE_NO_ANSWER, SPAN_NONE, j->why);
}

static bool take(struct job *j, const struct msg_probe *m)
{
    struct span codec = arena_dup(j->arena, m->destination);
    struct wire w = wire_reader(codec);
    struct buf list;
    struct envelope_rcpt r = { .addr = m->rcpt };
    if (!codec.p || !route_dest_get(&w, j->arena, &j->dest) || !route_dest_has_hops(&j->dest))
        return false;
    buf_init(&list, ENVELOPE_ADDR_MAX + 64);
    list_put_rcpt(&list, &r);
    bool good = !list.failed && job_take_rcpts(j, buf_span(&list));
    buf_free(&list);
    local_take(j);
    return good && !j->by_local;
}

static void on_probe(struct deliver *d, struct channel *ch, const struct msg_probe *m)
{
    struct job *j = NEW(struct job);
    (void)ch;
    j->d = d;
    j->probe = true;
    j->id = m->q;
    j->arena = arena_new(PROBE_BYTES_MAX);
    j->begun_ms = loop_mono_ms(d->env->loop);
    j->deadline_ms = j->begun_ms + m->within_ms;
    loop_timer_init(&j->patience, upstream_no_answer, j);
    attempt_log_init(&j->log, 0); /* its story is told by what router says of it */
    list_append(&d->probes, &j->probe_node);
    if (take(j, m)) {
        upstream_ask(j);
    } else {
        probe_done(j);
        job_forget(d, j);
    }
}

PROTO_HANDLER(probe, struct deliver *, on_probe)

void probe_forget_all(struct deliver *d)
{
    LIST_EACH(n, &d->probes) {
        struct job *j = CONTAINER(n, struct job, probe_node);
        if (j->conn)
            conn_free(j->conn);
        job_forget(d, j);
    }
}

static void on_router_gone(void *ctx, struct channel *ch, const char *why)
{
    struct deliver *d = ctx;
    (void)ch;
    (void)why;
    channel_free(&d->router);
    probe_forget_all(d);
}

void probe_router(struct deliver *d, int fd)
{
    static const struct channel_type types[] = { PROTO_TYPE(probe) };
    static const struct channel_ops ops = { types, 1, on_router_gone, NULL };
    if (d->router)
        on_router_gone(d, d->router, "replaced");
    d->router = channel_new(d->env->loop, fd, "router", &ops, d);
}
