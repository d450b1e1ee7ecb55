/* Questions: one slot, since a session does one thing at a time. */
#include "smtp/server_int.h"

static const struct {
    const char *name;
    void (*verdict)(struct smtp_server *, const struct smtp_server_verdict *);
} hooks[SMTP_HOOKS] = {
    [SMTP_HOOK_CONNECT] = { "connect", server_greet },
    [SMTP_HOOK_HELO] = { "helo", server_helo_verdict },
    [SMTP_HOOK_MAIL] = { "mail", server_flight_verdict },
    [SMTP_HOOK_HEADER] = { "header", server_content_verdict },
    [SMTP_HOOK_CHUNK] = { "chunk", server_content_verdict },
    [SMTP_HOOK_END] = { "end", server_end_verdict },
    [SMTP_HOOK_AUTH] = { "auth", server_auth_verdict },
};

const char *smtp_server_hook_name(enum smtp_server_hook hook)
{
    MUST(hook < SMTP_HOOKS);
    return hooks[hook].name;
}

void server_ask(struct smtp_server *s, struct smtp_server_question *q)
{
    MUST(!s->question.id);
    if (!(s->config->ask & SMTP_ASK(q->hook))) {
        hooks[q->hook].verdict(s, NULL);
        return;
    }
    int64_t more_ms = q->hook == SMTP_HOOK_CONNECT ? s->config->connect_ms : 0;
    s->question = (struct question){ .id = ++s->last_question, .hook = q->hook,
                                     .deadline_ms = s->now.mono_ms + s->config->answer_ms +
                                                    more_ms };
    q->id = s->question.id;
    q->client_ip = span_str(s->ip);
    q->client_name = span_str(s->name);
    q->auth = span_str(s->auth);
    q->tls = s->tls_version != NULL;
    if (q->hook != SMTP_HOOK_HELO)
        q->helo = span_str(s->helo);
    if (s->txn) {
        q->envelope = &s->txn->env;
        q->content_bytes = s->txn->bytes;
        if (s->txn->by != BY_NONE)
            q->header = &s->txn->header;
    }
    s->ops->ask(s->ctx, q);
}

static void deliver(struct smtp_server *s, const struct smtp_server_verdict *v)
{
    enum smtp_server_hook hook = s->question.hook;
    s->question.id = 0;
    s->progress_ms = s->now.mono_ms; /* the client's clock starts anew: we had kept it waiting */
    hooks[hook].verdict(s, v);
}

bool smtp_server_answer(struct smtp_server *s, uint64_t question_id,
                        const struct smtp_server_verdict *v, struct smtp_server_time now)
{
    if (!question_id || question_id != s->question.id)
        return false;
    s->now = now;
    deliver(s, v);
    return true;
}

void server_ask_expire(struct smtp_server *s)
{
    deliver(s, &(struct smtp_server_verdict){ 0 });
}

struct reply server_verdict(const struct smtp_server_verdict *v, size_t i)
{
    if (!v)
        return (struct reply){ 0 };
    if (i >= v->count)
        return (struct reply){ .code = 451, .enhanced = "4.3.0",
                               .text = SPAN("Temporary failure, please try again later") };
    struct reply r = v->replies[i];
    MUST(r.code == 0 || (r.code >= 200 && r.code <= 599));
    MUST(memchr(r.enhanced, '\0', sizeof r.enhanced));
    return r;
}
