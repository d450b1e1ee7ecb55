#include "qmgr_rig.h"

#include "attempt/attempt.h"
#include "base/must.h"
#include "loop/sim.h"
#include "proto/lists.h"
#include "route/dest.h"
#include "smtp/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define WALL_MS INT64_C(1790000000000)

enum { LEASE = 100, INLINE_MAX = 8 << 10, CONTENT_MAX = 256 << 10 };

static const char config_text[] =
    "hostname = \"gw.example\"\n"
    "postmaster = \"%s\"\n"
    "spool { directories = {\"/spool\"} free_min = 64K inline_max = 8K\n"
    "        segment_size = 1M reserve = 64K }\n"
    "listen \"mx\" { address = {\"10.0.0.1:25\"} tls = off }\n"
    "relay { from = {\"10.2.0.0/16\"} }\n"
    "dns { servers = {\"10.0.0.53\"} }\n"
    "retry { first = 20s max = 10m warn_after = 1h expire_after = 4h }\n"
    "timeout { attempt = 20h }\n"
    "deliver { tls = off }\n";

/* --- the ledger --- */

struct rig_address *rig_address(struct rig *r, const char *text)
{
    for (size_t i = 0; i < r->address_count; i++)
        if (strcmp(r->addresses[i].text, text) == 0)
            return &r->addresses[i];
    MUST(r->address_count < RIG_ADDRESSES_MAX);
    struct rig_address *a = &r->addresses[r->address_count++];
    snprintf(a->text, sizeof a->text, "%s", text);
    return a;
}

static struct rig_address *address_of(struct rig *r, struct span s)
{
    char text[128];
    snprintf(text, sizeof text, "%.*s", SPAN_ARG(s));
    return rig_address(r, text);
}

/* Of a message whose sender cannot be told, the sender's name stands in the double bounce. */
static bool done_with(struct rig *r, const struct rig_mail *m, const struct rig_address *a)
{
    if (a->delivered || a->reported)
        return true;
    return strncmp(m->sender, "bad", 3) == 0 && rig_address(r, m->sender)->reported;
}

const char *rig_wrong(struct rig *r)
{
    for (size_t i = 0; i < r->mail_count; i++) {
        const struct rig_mail *m = &r->mails[i];
        for (unsigned k = 0; k < m->rcpt_count; k++) {
            const struct rig_address *a = rig_address(r, m->rcpts[k]);
            if (m->committed ? !done_with(r, m, a) : m->refused && done_with(r, m, a))
                return a->text;
        }
    }
    return r->altered ? "altered content" : NULL;
}

const char *rig_twice(struct rig *r)
{
    const char *wrong = rig_wrong(r);
    for (size_t i = 0; i < r->mail_count && !wrong; i++) {
        for (unsigned k = 0; k < r->mails[i].rcpt_count && !wrong; k++) {
            const struct rig_address *a = rig_address(r, r->mails[i].rcpts[k]);
            if (a->delivered + a->reported > 1 || a->success > 1 || a->delayed > 1)
                wrong = a->text;
        }
    }
    return wrong;
}

/* --- the router --- */

static void put_destination(struct buf *b, struct span rcpt)
{
    struct arena *a = arena_new(65536);
    struct route_dest d = { .mailer = ROUTE_ERROR, .reply = 550, .code = SPAN("5.1.2"),
                            .text = SPAN("no such place"), .queue = SPAN("error") };
    struct dns_hop hop = { .host = SPAN("10.9.9.9"), .bracketed = true, .literal = true,
                           .addr = { .family = NETADDR_V4, .ip = { 10, 9, 9, 9 } } };
    struct dns_hop domain = { .host = span_from(rcpt, span_rfind(rcpt, '@') + 1) };
    char queue[128];
    snprintf(queue, sizeof queue, "mx:%.*s", SPAN_ARG(domain.host));
    if (span_ends(domain.host, SPAN(".mx")))
        d = (struct route_dest){ .mailer = ROUTE_ESMTP, .hops = &domain, .hop_count = 1,
                                 .queue = span_str(queue) };
    else if (!span_starts(rcpt, SPAN("none")))
        d = (struct route_dest){ .mailer = ROUTE_RELAY, .hops = &hop, .hop_count = 1,
                                 .queue = SPAN("host:[10.9.9.9]") };
    route_dest_put(b, &d);
    arena_free(&a);
}

static void say_route(struct channel *ch, uint64_t q, struct span rcpt)
{
    struct buf b;
    buf_init(&b, 65536);
    put_destination(&b, rcpt);
    struct msg_routed said = { .q = q, .destination = buf_span(&b) };
    send_routed(ch, &said);
    buf_free(&b);
}

static void on_drip(void *ctx)
{
    struct rig *r = ctx;
    if (!r->drop_count || !r->router)
        return;
    r->drop_count--;
    say_route(r->router, r->drops[r->drop_count].q, r->drops[r->drop_count].rcpt);
    loop_timer_in(r->l, &r->drip, 10);
}

static void on_route(struct rig *r, struct channel *ch, const struct msg_route *m)
{
    if (!r->drips) {
        say_route(ch, m->q, m->rcpt);
        return;
    }
    MUST(r->drop_count < RIG_SLOW_MAX);
    r->drops[r->drop_count].q = m->q;
    r->drops[r->drop_count++].rcpt = span_str(address_of(r, m->rcpt)->text);
    loop_timer_in(r->l, &r->drip, 10);
}

/* --- deliver --- */

static void note_report(struct rig *r, struct span content)
{
    bool failed = memmem(content.p, content.n, "Action: failed", 14) != NULL;
    snprintf(r->report, sizeof r->report, "%.*s", SPAN_ARG(content));
    bool delayed = memmem(content.p, content.n, "Action: delayed", 15) != NULL;
    static const char mark[] = "\nFinal-Recipient: rfc822; ";
    for (const char *at; (at = memmem(content.p, content.n, mark, sizeof mark - 1)) != NULL;) {
        content = span_from(content, (size_t)(at - content.p) + sizeof mark - 1);
        struct rig_address *a = address_of(r, span_to(content, span_find(content, '\r')));
        *(failed ? &a->reported : delayed ? &a->delayed : &a->success) += 1;
    }
}

/* "X-Pad: " and then the byte's own place, over and over: altered bytes are seen. */
static void put_content(struct buf *b, const struct rig_mail *m)
{
    buf_printf(b, "Subject: mail %llu\r\n\r\n", (unsigned long long)m->txn);
    size_t end = b->len + m->extra_bytes;
    for (unsigned line = 0; b->len < end; line++)
        buf_printf(b, "line %u of mail %llu\r\n", line, (unsigned long long)m->txn);
}

static void check_content(struct rig *r, uint64_t seq, struct span content)
{
    for (size_t i = 0; i < r->mail_count; i++) {
        if (r->mails[i].seq != seq || r->mails[i].extra_bytes > CONTENT_MAX)
            continue;
        struct buf want;
        buf_init(&want, CONTENT_MAX * 2);
        buf_putz(&want, "Received: by gw.example\r\n");
        put_content(&want, &r->mails[i]);
        r->altered += !span_eq(buf_span(&want), content);
        buf_free(&want);
    }
}

static struct msg_result result_for(struct rig *r, struct span addr, uint8_t notify)
{
    struct rig_address *a = address_of(r, addr);
    unsigned puts_off = span_starts(addr, SPAN("tmp")) ? (unsigned)atoi(a->text + 3) : 0;
    struct msg_result m = { .result = SMTP_DELIVERED, .stage = SMTP_STAGE_FINAL, .code = 250,
                            .enhanced = SPAN("2.0.0"), .reply = SPAN("250 2.0.0 taken"),
                            .text = SPAN("taken"), .host = SPAN("hub.example") };
    a->tries++;
    if (span_starts(addr, SPAN("bad"))) {
        m.result = SMTP_FAILED;
        m.stage = SMTP_STAGE_RCPT;
        m.code = 550;
        m.enhanced = SPAN("5.1.1");
        m.reply = SPAN("550 5.1.1 nobody of that name");
        m.text = SPAN("nobody of that name");
    } else if (a->tries <= puts_off) {
        m.result = SMTP_DEFERRED;
        m.stage = SMTP_STAGE_RCPT;
        m.code = 450;
        m.enhanced = SPAN("4.2.1");
        m.reply = SPAN("450 4.2.1 busy");
        m.text = SPAN("busy");
    } else if (span_starts(addr, SPAN("down"))) {
        m = (struct msg_result){ .result = SMTP_DEFERRED, .stage = SMTP_STAGE_CONNECT,
                                 .cause = SMTP_CAUSE_LOST, .enhanced = SPAN("4.4.1"),
                                 .text = SPAN("nobody answers") };
    } else if (notify & NOTIFY_SUCCESS) {
        m.bits = RESULT_DSN_DUE;
    }
    return m;
}

static void end_job(struct rig *r, struct channel *ch, uint64_t job, struct span rcpt,
                    bool reached)
{
    struct buf told;
    buf_init(&told, ATTEMPT_MAX_BYTES);
    if (span_starts(rcpt, SPAN("tmp999.1@"))) { /* as deliver tells it */
        struct attempt a = { .stage = SPAN("RCPT"), .code = 450, .said = SPAN("450 4.2.1 busy"),
                             .tls = SPAN("TLSv1.3 AES") };
        attempt_put(&told, &a, NULL, ATTEMPT_MIN_BYTES);
    } else {
        buf_putz(&told, "what happened");
    }
    bool placed = r->site && *r->site && span_ends(rcpt, SPAN(".mx"));
    /* deliver sends one only when somebody was put off; qmgr is to know whom it is about. */
    struct msg_job_done done = { .job = job, .reached = reached,
                                 .site = span_str(placed ? r->site : "hub.example"),
                                 .why = reached ? SPAN_NONE : SPAN("nobody answers"),
                                 .story = buf_span(&told) };
    send_job_done(ch, &done);
    buf_free(&told);
}

static void on_job(struct rig *r, struct channel *ch, const struct msg_job *m)
{
    struct wire w = wire_reader(m->rcpts);
    struct envelope_rcpt rcpt;
    bool any = false;
    struct wire look = w;
    r->jobs++;
    if (list_next_rcpt(&look, &rcpt) && span_starts(rcpt.addr, SPAN("slow"))) {
        MUST(r->slow_count < RIG_SLOW_MAX);
        r->slow_jobs[r->slow_count++] =
            (struct rig_slow){ m->job, address_of(r, rcpt.addr) };
        return;
    }
    if (m->content.n == m->size)
        check_content(r, m->seq, m->content);
    for (uint32_t i = 0; list_next_rcpt(&w, &rcpt); i++) {
        struct msg_result res = result_for(r, rcpt.addr, rcpt.notify);
        res.job = m->job;
        res.rcpt = i;
        send_result(ch, &res);
        if (res.result != SMTP_DELIVERED)
            continue;
        any = true;
        address_of(r, rcpt.addr)->delivered++;
    }
    if (any && m->flags & ENVELOPE_DSN)
        note_report(r, m->content);
    end_job(r, ch, m->job, rcpt.addr, any || !span_starts(rcpt.addr, SPAN("down")));
}

void rig_answer_slow(struct rig *r, uint8_t result)
{
    for (size_t i = 0; i < r->slow_count && r->deliver; i++) {
        struct msg_result res = { .job = r->slow_jobs[i].job, .result = result,
                                  .enhanced = SPAN("4.4.2"), .text = SPAN("it was slow") };
        send_result(r->deliver, &res);
        end_job(r, r->deliver, r->slow_jobs[i].job, span_str(r->slow_jobs[i].address->text), true);
        r->slow_jobs[i].address->delivered += result == SMTP_DELIVERED;
    }
    r->slow_count = 0;
}

static void on_content(struct rig *r, struct channel *ch, const struct msg_content *m)
{
    (void)r;
    (void)ch;
    (void)m;
}
static void on_let_go(struct rig *r, struct channel *ch, const struct msg_let_go *m)
{
    (void)r;
    (void)ch;
    (void)m;
}

/* --- smtpd --- */

static struct rig_mail *by_txn(struct rig *r, uint64_t txn)
{
    for (size_t i = 0; i < r->mail_count; i++)
        if (r->mails[i].txn == txn)
            return &r->mails[i];
    return NULL;
}

static void on_receipt(void *ctx, const struct receipt *receipt)
{
    struct rig_mail *m = by_txn(ctx, receipt_txn(receipt));
    MUST(m && !m->committed && !m->refused && m->seq == receipt_seq(receipt));
    m->committed = true;
}

static bool handle_committed(void *ctx, struct channel *ch, struct span body, int fd)
{
    (void)ch;
    return fd < 0 && committed_read(body, ctx, on_receipt);
}

static void on_taken(struct rig *r, struct channel *ch, const struct msg_taken *said)
{
    (void)ch;
    r->taken_bytes += said->bytes;
}

static void on_not_committed(struct rig *r, struct channel *ch,
                             const struct msg_not_committed *said)
{
    struct rig_mail *m = by_txn(r, said->txn);
    (void)ch;
    MUST(m && !m->committed && !m->refused);
    m->refused = true;
    m->code = said->code;
}

static void on_leased(struct rig *r, struct channel *ch, const struct msg_leased *m)
{
    (void)ch;
    r->ids = m->first;
    r->ids_left = m->count;
}

static void on_space(struct rig *r, struct channel *ch, const struct msg_space *m)
{
    (void)r;
    (void)ch;
    (void)m;
}

struct rig_mail *rig_mail(struct rig *r, const char *sender, const char *rcpt)
{
    MUST(r->mail_count < RIG_MAILS_MAX);
    struct rig_mail *m = &r->mails[r->mail_count++];
    *m = (struct rig_mail){ .sender = sender, .rcpts = { rcpt }, .rcpt_count = 1,
                            .txn = UINT64_C(1) << 48 | ++r->next_txn };
    return m;
}

void rig_also(struct rig_mail *m, const char *rcpt)
{
    MUST(m->rcpt_count < RIG_RCPTS_MAX);
    m->rcpts[m->rcpt_count++] = rcpt;
}

static void send_mail(struct rig *r, struct rig_mail *m)
{
    struct envelope_rcpt rcpts[RIG_RCPTS_MAX] = { { .notify = 0 } };
    struct envelope env = { .seq = m->seq, .received_ms = loop_wall_ms(r->l),
                            .flags = m->envelope_flags,
                            .hold = m->hold ? span_str(m->hold) : SPAN_NONE,
                            .sender = span_str(m->sender), .proto = SPAN("ESMTP"),
                            .rcpts = rcpts, .rcpt_count = m->rcpt_count };
    for (unsigned i = 0; i < m->rcpt_count; i++)
        rcpts[i] = (struct envelope_rcpt){ .addr = span_str(m->rcpts[i]), .notify = m->notify,
                                             .flags = m->flags[i] };
    struct buf e, c;
    buf_init(&e, 65536);
    buf_init(&c, 4 << 20);
    envelope_put(&e, &env);
    put_content(&c, m);
    while (c.len > INLINE_MAX / 2 && m->extra_bytes > INLINE_MAX) {
        struct msg_extent x = { .txn = m->txn, .seq = m->seq,
                                .data = span_to(buf_span(&c), INLINE_MAX) };
        send_extent(r->smtpd, &x);
        r->extent_bytes += x.data.n;
        buf_take(&c, x.data.n);
    }
    if (m->extra_bytes > INLINE_MAX && c.len) {
        struct msg_extent x = { .txn = m->txn, .seq = m->seq, .data = buf_span(&c) };
        send_extent(r->smtpd, &x);
        r->extent_bytes += x.data.n;
        buf_reset(&c);
    }
    struct msg_commit commit = { .txn = m->txn, .envelope = buf_span(&e),
                                 .headers = SPAN("Received: by gw.example\r\n"),
                                 .content = buf_span(&c) };
    send_commit(r->smtpd, &commit);
    buf_free(&e);
    buf_free(&c);
}

bool rig_send(struct rig *r, struct rig_mail *m)
{
    for (int i = 0; i < 20 && r->smtpd && !r->ids_left; i++) {
        struct msg_lease ask = { .count = LEASE };
        send_lease(r->smtpd, &ask);
        rig_run(r, 1);
    }
    if (!r->smtpd || !r->ids_left)
        return false;
    r->ids_left--;
    m->seq = r->ids++;
    m->sent = true;
    send_mail(r, m);
    return true;
}

/* --- peers come and go --- */

static void on_gone(void *ctx, struct channel *ch, const char *why)
{
    struct rig *r = ctx;
    struct channel **all[] = { &r->smtpd, &r->router, &r->resolver, &r->deliver };
    (void)why;
    for (size_t i = 0; i < 4; i++)
        if (*all[i] == ch)
            channel_free(all[i]);
}

/* No aliases here. */
static void on_expand(struct rig *r, struct channel *ch, const struct msg_expand *m)
{
    struct msg_expanded said = { .q = m->q };
    if (!r->mute)
        send_expanded(ch, &said);
}
static void on_ask_site(struct rig *r, struct channel *ch, const struct msg_ask_site *m)
{
    r->sites_asked++;
    struct msg_site said = { .q = m->q, .site = span_str(r->site), .ttl_s = r->ttl_s };
    if (r->site)
        send_site(ch, &said);
}
PROTO_HANDLER(ask_site, struct rig *, on_ask_site)
PROTO_HANDLER(expand, struct rig *, on_expand)
PROTO_HANDLER(route, struct rig *, on_route)
PROTO_HANDLER(job, struct rig *, on_job)
PROTO_HANDLER(content, struct rig *, on_content)
PROTO_HANDLER(let_go, struct rig *, on_let_go)
PROTO_HANDLER(not_committed, struct rig *, on_not_committed)
PROTO_HANDLER(leased, struct rig *, on_leased)
PROTO_HANDLER(space, struct rig *, on_space)
PROTO_HANDLER(taken, struct rig *, on_taken)

static void ignore_gone(void *ctx, struct channel *ch, const char *why)
{
    (void)ctx;
    (void)ch;
    (void)why;
}

struct channel *rig_stranger(struct rig *r, enum role_id role)
{
    static const struct channel_type types[] = {
        { MSG_committed, "committed", handle_committed }, PROTO_TYPE(not_committed),
        PROTO_TYPE(leased), PROTO_TYPE(space), PROTO_TYPE(taken), PROTO_TYPE(job) };
    static const struct channel_ops ops = { types, 6, ignore_gone, NULL };
    int fds[2];
    MUST(loop_pair(r->l, fds) == 0);
    qmgr_role.peer(r->q, role, 1, fds[0]);
    channel_free(&r->stranger);
    return r->stranger = channel_new(r->l, fds[1], "qmgr", &ops, r);
}

static struct channel *wire_up(struct rig *r, enum role_id role, const struct channel_ops *ops)
{
    int fds[2];
    MUST(loop_pair(r->l, fds) == 0);
    qmgr_role.peer(r->q, role, 0, fds[0]);
    return channel_new(r->l, fds[1], "qmgr", ops, r);
}

static void on_where(struct rig *r, struct channel *ch, const struct msg_where *m)
{
    struct wire w = wire_reader(m->jobs);
    struct msg_here_end end = { .q = m->q };
    while (w.rest.n && !w.bad) {
        struct msg_here here = { .q = m->q, .job = wire_get_u64(&w), .doing = HERE_TALKING,
                                 .stage = SMTP_STAGE_RCPT, .host = SPAN("hub.example"),
                                 .text = SPAN("waits for the reply to RCPT"), .ms = 1000 };
        if (!r->silent)
            send_here(ch, &here);
    }
    if (!r->silent)
        send_here_end(ch, &end);
}
PROTO_HANDLER(where, struct rig *, on_where)

void rig_new_deliver(struct rig *r)
{
    static const struct channel_type types[] = { PROTO_TYPE(job), PROTO_TYPE(content),
                                                 PROTO_TYPE(let_go), PROTO_TYPE(where) };
    static const struct channel_ops ops = { types, 4, on_gone, NULL };
    channel_free(&r->deliver);
    r->slow_count = 0;
    r->deliver = wire_up(r, ROLE_DELIVER, &ops);
}

void rig_resolver(struct rig *r)
{
    static const struct channel_type types[] = { PROTO_TYPE(ask_site) };
    static const struct channel_ops ops = { types, 1, on_gone, NULL };
    r->resolver = wire_up(r, ROLE_RESOLVER, &ops);
}

void rig_new_router(struct rig *r)
{
    static const struct channel_type types[] = { PROTO_TYPE(route), PROTO_TYPE(expand) };
    static const struct channel_ops ops = { types, 2, on_gone, NULL };
    channel_free(&r->router);
    r->drop_count = 0;
    r->router = wire_up(r, ROLE_ROUTER, &ops);
}

static void wire_all(struct rig *r)
{
    static const struct channel_type from_smtpd[] = {
        { MSG_committed, "committed", handle_committed }, PROTO_TYPE(not_committed),
        PROTO_TYPE(leased), PROTO_TYPE(space), PROTO_TYPE(taken) };
    static const struct channel_ops smtpd_ops = { from_smtpd, 5, on_gone, NULL };
    r->ids_left = 0;
    r->smtpd = wire_up(r, ROLE_SMTPD, &smtpd_ops);
    rig_new_router(r);
    rig_new_deliver(r);
}

static void on_done(struct role_env *env)
{
    struct rig *r = env->host;
    r->done = true;
}

static struct config *read_config(const struct rig *r)
{
    struct config *c = NULL;
    struct config_report *report = config_report_new();
    char text[sizeof config_text + 512];
    int n = snprintf(text, sizeof text, config_text, r->postmaster);
    snprintf(text + n, sizeof text - (size_t)n, "%s", r->more);
    bool ok = config_parse(span_str(text), SPAN("rig.conf"), &c, report);
    MUST(ok && c);
    config_report_free(&report);
    return c;
}

void rig_start(struct rig *r)
{
    struct events_config ec = { .tag = "rig", .role = "qmgr", .hostname = "gw.example",
                                .line_fd = getenv("RIG_LOG") ? dup(2) : -1, .event_fd = -1 };
    struct err e = { "" };
    r->env = (struct role_env){ .loop = r->l, .vfs = r->disk, .instance_id = "rig",
                                .events = events_new(r->l, &ec), .done = on_done, .host = r };
    r->done = false;
    r->q = qmgr_role.make(&r->env, read_config(r), &e);
    MUST(r->q);
    if (!qmgr_role.start(r->q, &e)) {
        rig_kill(r);
        return;
    }
    wire_all(r);
}

void rig_kill(struct rig *r)
{
    if (r->q)
        qmgr_role.free(r->q);
    r->q = NULL;
    loop_timer_stop(r->l, &r->drip);
    events_free(&r->env.events);
    channel_free(&r->smtpd);
    channel_free(&r->router);
    channel_free(&r->resolver);
    channel_free(&r->deliver);
    channel_free(&r->stranger);
    r->ids_left = r->slow_count = 0;
}

void rig_reboot(struct rig *r, uint64_t seed)
{
    rig_kill(r);
    vfs_faulty_reboot(r->disk, seed);
    rig_start(r);
}

struct rig *rig_new(uint64_t seed) { return rig_new_with(seed, "ok.postmaster@gw.example"); }

static struct rig *make(uint64_t seed, const char *postmaster, const char *more)
{
    struct rig *r = NEW(struct rig);
    r->postmaster = postmaster;
    r->more = more;
    r->l = loop_sim_new(seed, WALL_MS);
    loop_timer_init(&r->drip, on_drip, r);
    r->disk = vfs_faulty(seed);
    MUST(vfs_mkdir(r->disk, "/spool") == 0);
    rig_start(r);
    return r;
}

struct rig *rig_new_with(uint64_t seed, const char *postmaster)
{
    return make(seed, postmaster, "");
}

struct rig *rig_new_config(uint64_t seed, const char *more)
{
    return make(seed, "ok.postmaster@gw.example", more);
}

void rig_free(struct rig **rp)
{
    struct rig *r = *rp;
    rig_kill(r);
    vfs_free(&r->disk);
    loop_free(&r->l);
    free(r);
    *rp = NULL;
}

void rig_turn(struct rig *r) { loop_turn(r->l, 1); }

void rig_run(struct rig *r, int64_t ms)
{
    int64_t until = loop_mono_ms(r->l) + ms;
    while (loop_mono_ms(r->l) < until) {
        int64_t left = until - loop_mono_ms(r->l);
        loop_turn(r->l, left < 60000 ? (int)left : 60000);
    }
}
