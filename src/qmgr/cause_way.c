/* Deliveries that are under way: at which host each is, what it waits for and since when, as its
 * deliver says it. */
#include "qmgr/cause.h"

#include "attempt/attempt.h"
#include "smtp/client.h"

static void on_done(void *ctx) { admin_again(ctx); }

struct way *cause_way(struct admin_ask *a) { return way_new(a->q, on_done, a); }

void cause_way_add(struct admin_ask *a, struct way **w, const struct job *j)
{
    if (!*w)
        *w = cause_way(a);
    way_add(*w, j);
}

static void put_story(struct json *j, struct span story)
{
    struct attempt at;
    if (!attempt_get(story, &at))
        return;
    json_open(j, "so_far");
    attempt_json(j, &at);
    json_close(j);
}

static void put_told(struct json *j, const struct way_job *at)
{
    static const char *const doings[HERE_DOINGS] = {
        [HERE_ASKING] = "asking", [HERE_IN_LINE] = "in_line", [HERE_CONNECTING] = "connecting",
        [HERE_TALKING] = "talking",
    };
    struct buf addr;
    buf_init(&addr, NETADDR_TEXT_MAX);
    if (at->relay.family != NETADDR_NONE)
        netaddr_put(&addr, &at->relay);
    json_str(j, "doing", span_str(doings[at->doing]));
    if (at->doing == HERE_TALKING)
        json_str(j, "stage", span_str(smtp_stage_name(at->stage, false)));
    json_str(j, "host", at->host);
    json_str(j, "address", buf_span(&addr));
    json_str(j, "text", at->text);
    json_int(j, "for_ms", at->ms);
    put_story(j, at->story);
    buf_free(&addr);
}

static void send_one(struct admin_ask *a, const struct way_job *at, const struct job *job,
                     size_t of)
{
    struct sched_msg_info m;
    struct buf b;
    struct json j = cause_row(&b, "delivery");
    if (sched_msg(a->q->sched, job->seq, &m))
        json_str(&j, "id", span_str(queueid_make(m.seq, m.received_ms).text));
    json_str(&j, "destination", job->dest);
    json_int(&j, "begun_ms", cause_wall(qmgr_now(a->q), job->begun_ms));
    json_uint(&j, "deliveries", of);
    json_uint(&j, "recipient_count", job->rcpt_count);
    json_open_array(&j, "recipients");
    for (uint32_t i = 0; i < job->rcpt_count && i < JOB_RCPTS_MAX; i++)
        json_uint(&j, NULL, job->rcpts[i]);
    json_close_array(&j);
    json_bool(&j, "answered", at->told);
    if (at->told)
        put_told(&j, at);
    cause_row_end(a, &j, &b);
}

void cause_send_way(struct admin_ask *a, const struct way *w)
{
    size_t n, of;
    const struct way_job *jobs = way_jobs(w, &n, &of);
    for (size_t i = 0; i < n; i++) {
        struct hash_node *node = hash_get(&a->q->jobs, span_of(&jobs[i].id, sizeof jobs[i].id));
        if (node) /* else it has ended since */
            send_one(a, &jobs[i], CONTAINER(node, struct job, node), of);
    }
}
