/* What was told survives this process. watch has no file: qmgr keeps it, and gives it back to the
 * watch that begins. What somebody has to be told is kept as told only when no letter waits any
 * more: a crash before that tells it twice rather than never. */
#include "watch/inside.h"

#include "proto/watch_qmgr.h"

enum { UNSEEN_MS = 3 * 60 * 1000, UNSEEN_LOOKS = 3 };

void keep_changed(struct watch *w) { w->keep_due = true; }

void keep_peer(struct watch *w)
{
    struct msg_kept_ask m = { .q = ++w->next_q };
    keep_changed(w); /* the one before may have ended without it */
    if (!w->restored)
        send_kept_ask(w->qmgr, &m);
}

void keep_on_kept(struct watch *w, struct channel *ch, const struct msg_kept *m)
{
    struct alarm a = { .subject = m->subject, .text = m->text, .since_wall_ms = m->since_ms,
                       .told_wall_ms = m->told_ms, .told = m->told };
    (void)ch;
    if (!w->restored && alarm_kind_of(m->alarm, &a.kind))
        alarms_restore(w->alarms, &a, watch_now(w));
}

/* Long enough for each kind to be looked at as often as it takes to be over. */
void keep_on_kept_end(struct watch *w, struct channel *ch, const struct msg_kept_end *m)
{
    const struct config_alarm *c = &w->config->alarm;
    int64_t looks_ms = ((int64_t)c->clear_after + UNSEEN_LOOKS) * c->interval_ms;
    (void)ch;
    (void)m;
    if (w->restored)
        return;
    w->restored = true;
    for (size_t i = 0; i < SMTPDS_MAX; i++)
        if (w->smtpds[i])
            checks_say(w, w->smtpds[i]); /* what failed before does until it is seen to be well */
    checks_judge(w, true);
    w->unseen_at_ms = loop_mono_ms(w->env->loop) + (looks_ms > UNSEEN_MS ? looks_ms : UNSEEN_MS);
}

void keep_look(struct watch *w)
{
    if (!w->unseen_at_ms || loop_mono_ms(w->env->loop) < w->unseen_at_ms)
        return;
    if (w->facts_open || !w->qmgr)
        return; /* what it would tell was not looked at */
    alarms_unseen_over(w->alarms);
    w->unseen_at_ms = 0;
}

void keep_send(struct watch *w)
{
    struct msg_keep_end end = { 0 };
    struct alarm a;
    if (!w->keep_due || !w->restored || w->post_count || !w->qmgr || channel_full(w->qmgr))
        return;
    w->keep_due = false;
    for (uint64_t at = 0; alarms_next_told(w->alarms, &at, &a); end.alarms++) {
        struct msg_keep m = { .alarm = span_str(alarm_kind_name(a.kind)), .subject = a.subject,
                              .text = a.text, .since_ms = a.since_wall_ms,
                              .told_ms = a.told_wall_ms, .told = a.told };
        send_keep(w->qmgr, &m);
    }
    send_keep_end(w->qmgr, &end);
}
