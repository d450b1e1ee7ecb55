/* A new configuration takes the place of the old one, or is refused with words. Everything that
 * can fail is done before anything is changed. */
#include "base/must.h"
#include "master/inside.h"
#include "master/load.h"
#include "role/logs.h"

#include <stdio.h>
#include <string.h>

struct refusal {
    struct buf *text;
};

static void on_change(void *arg, const struct config_change *change)
{
    struct refusal *r = arg;
    if (!change->live)
        buf_printf(r->text, "%.*s cannot change while the gateway runs (%.*s -> %.*s)\n",
                   SPAN_ARG(change->name), SPAN_ARG(change->old_text),
                   SPAN_ARG(change->new_text));
}

/* What this machine and the command line settle, whatever the file says. */
void master_override(struct master *m, struct config *cfg)
{
    struct config_forced forced = { .queue_run_ms = m->queue_run_ms };
    if (m->delivery) {
        forced.deliveries = true;
        forced.delivery = *m->delivery;
    }
    children_settle_counts(cfg);
    config_force(cfg, &forced);
}

static struct config *load_acceptable(struct master *m, struct buf *text, unsigned *count_r)
{
    struct config *next = master_load(m->config_path, text, count_r);
    struct refusal r = { .text = text };
    struct err e = { "" };
    if (!next)
        return NULL;
    master_override(m, next);
    *count_r = (unsigned)config_diff(m->config, next, on_change, &r);
    if (master_load_certs(next, text, count_r) && *count_r == 0 && listeners_open(m, next, &e))
        return next;
    if (e.text[0]) {
        *count_r = 1;
        buf_printf(text, "%s\n", e.text);
    }
    config_free(&next);
    return NULL;
}

static void say_refused(struct master *m, struct span who, const struct buf *text, unsigned count)
{
    event_begin(m->events, EVENT_config_refused);
    event_str(m->events, FIELD_text, buf_span(text));
    event_int(m->events, FIELD_count, count);
    event_end(m->events);
    struct buf *b = log_begin(m->events, EVENT_WARNING);
    buf_printf(b, "reload asked by %.*s refused, the old configuration stays: ", SPAN_ARG(who));
    log_text(b, buf_span(text), 1000);
    log_end(m->events);
}

/* --- who has it --- */

static bool has_it(const struct master *m, uint64_t generation)
{
    for (size_t i = 0; i < m->child_count; i++) {
        const struct child_slot *c = &m->children[i];
        if (c->pid && c->ready && c->generation < generation)
            return false;
    }
    return true;
}

static void say_reloaded(struct master *m, const struct reload_wait *w)
{
    event_begin(m->events, EVENT_config_reloaded);
    event_int(m->events, FIELD_generation, (int64_t)w->generation);
    event_end(m->events);
    log_line(m->events, EVENT_INFO, "configuration %s reloaded, asked by %s", m->config_path,
             w->who);
    bool all = !w->untaken.text[0];
    struct msg_master_said said = { .q = w->q, .ok = all, .text = span_str(w->untaken.text) };
    for (size_t i = 0; w->by_control && i < m->child_count; i++)
        if (m->children[i].role == ROLE_CONTROL && m->children[i].pid)
            send_master_said(m->children[i].channel, &said);
}

void reload_untaken(struct master *m, enum role_id role, const struct msg_child_ready *msg)
{
    for (size_t i = 0; i < m->reload_count; i++)
        if (m->reloads[i].generation == msg->generation)
            err_set(&m->reloads[i].untaken, "the new configuration holds, but not all of it: %s: "
                    "%.*s", role_name(role), SPAN_ARG(msg->untaken));
}

/* Whoever asked for it may rely on it from now on: said in the order in which it was asked. */
void reload_settle(struct master *m)
{
    while (m->reload_count && has_it(m, m->reloads[0].generation)) {
        say_reloaded(m, &m->reloads[0]);
        m->reload_count--;
        memmove(m->reloads, m->reloads + 1, m->reload_count * sizeof *m->reloads);
    }
}

static void wait_for_children(struct master *m, struct span who, const uint64_t *q)
{
    struct reload_wait *w = &m->reloads[m->reload_count++];
    *w = (struct reload_wait){ .generation = m->generation, .by_control = q, .q = q ? *q : 0 };
    snprintf(w->who, sizeof w->who, "%.*s", SPAN_ARG(who));
    reload_settle(m);
}

bool master_reload(struct master *m, struct span who, const uint64_t *q, struct buf *text)
{
    unsigned count = 0;
    if (m->stopping || m->reload_count == RELOADS_MAX) {
        buf_putz(text, m->stopping ? "the gateway is stopping\n"
                                   : "too many reloads are under way\n");
        return false;
    }
    struct config *next = load_acceptable(m, text, &count);
    if (!next) {
        say_refused(m, who, text, count);
        return false;
    }
    config_free(&m->config);
    m->config = next;
    m->generation++;
    listeners_settle(m);
    logs_follow(m->events, next);
    struct err e = { "" };
    if (!logs_reopen(m, &e))
        log_line(m->events, EVENT_WARNING, "%s", e.text);
    for (size_t i = 0; i < m->child_count; i++) {
        struct child_slot *c = &m->children[i];
        if (!c->pid)
            continue;
        give_config(m, c);
        give_files(m, c);
        give_listeners(m, c);
        struct msg_config_done done = { .generation = m->generation };
        send_config_done(c->channel, &done);
        channel_flush(c->channel); /* of many listeners each child has its own descriptors */
    }
    wait_for_children(m, who, q);
    return true;
}

void master_stop(struct master *m, struct span who)
{
    if (m->stopping)
        return;
    m->stopping = true;
    event_begin(m->events, EVENT_gateway_stopping);
    event_str(m->events, FIELD_text, who);
    event_end(m->events);
    log_line(m->events, EVENT_INFO, "stopping, asked by %.*s", SPAN_ARG(who));
    listeners_close(m);
    int64_t within_ms = m->config->processes.finish_ms;
    for (size_t i = 0; i < m->child_count; i++) {
        struct child_slot *c = &m->children[i];
        struct msg_finish f = { .within_ms = within_ms };
        loop_timer_stop(m->loop, &c->restart);
        if (c->pid)
            send_finish(c->channel, &f);
    }
    /* Children keep their own clock; who is still there some time after it is killed. */
    loop_timer_in(m->loop, &m->finish_timer, within_ms + 2000);
    if (!children_any(m))
        loop_stop(m->loop);
}
