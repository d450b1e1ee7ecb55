/* What deliver says by itself: the addresses it had to leave. What became of a recipient is
 * qmgr's to say. */
#include "deliver/inside.h"

static size_t waiting(const struct job *j)
{
    size_t n = 0;
    for (size_t i = 0; i < j->rcpt_count; i++)
        n += j->states[i].waits && !j->states[i].told;
    return n;
}

static const struct smtp_outcome *last_word(const struct job *j)
{
    for (size_t i = 0; i < j->rcpt_count; i++)
        if (j->states[i].waits && !j->states[i].told)
            return &j->states[i].last;
    return NULL;
}

/* "timeout waiting for input from H during client greeting", as sendmail's users know it. */
void say_left(struct job *j)
{
    struct events *e = j->d->env->events;
    const struct smtp_outcome *o = last_word(j);
    struct buf relay;
    /* once: those that wait have not been asked about, each has a connection of its own. */
    if (j->probe || j->once || !o || o->result == SMTP_STALE)
        return;
    upstream_left(j, o);
    buf_init(&relay, NETADDR_TEXT_MAX);
    netaddr_put(&relay, &j->last_addr);
    struct span words = o->reply.n ? o->reply : o->text;
    struct span host = span_str(j->last_host);
    event_begin(e, EVENT_attempt);
    event_str(e, FIELD_site, j->plan.site);
    event_str(e, FIELD_host, host);
    event_str(e, FIELD_relay, buf_span(&relay));
    event_str(e, FIELD_stage, span_str(smtp_stage_name(o->stage, false)));
    event_str(e, FIELD_text, words);
    event_int(e, FIELD_ms, loop_mono_ms(j->d->env->loop) - j->begun_ms);
    event_int(e, FIELD_count, (int64_t)waiting(j));
    event_end(e);
    struct buf *b = log_begin(e, EVENT_NOTICE);
    if (o->cause == SMTP_CAUSE_TIMEOUT && o->stage != SMTP_STAGE_CONNECT) {
        buf_printf(b, "timeout waiting for input from %.*s during client %s", SPAN_ARG(host),
                   smtp_stage_name(o->stage, false));
    } else {
        buf_printf(b, "%.*s [%.*s]: %s: ", SPAN_ARG(host), SPAN_ARG(buf_span(&relay)),
                   smtp_stage_name(o->stage, false));
        log_text(b, words, 300);
    }
    log_end(e);
    buf_free(&relay);
}
