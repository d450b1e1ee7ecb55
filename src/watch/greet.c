/* Does it greet? Our own listeners, and what checks look at, are connected to as a client would. Of
 * a listener any reply is good: 421 is what it says when it is busy, or unwell itself. */
#include "watch/inside.h"

#include "base/must.h"
#include "smtp/reply_parse.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { READ_BYTES = 4096, TEXT_BYTES = 200, QUESTION_MAX = 512 };

struct greet {
    struct list node;
    struct watch *w;
    struct greet_ask ask; /* without its addresses and subject: */
    char subject[ALARM_SUBJECT_MAX];
    int fd;
    struct loop_io io;
    struct loop_timer late;
    struct netaddr addrs[ADDRS_MAX];
    size_t addr_count, at; /* the one that is tried */
    bool connected;
    uint16_t id; /* of a question */
    char in[READ_BYTES];
    size_t in_len;
};

static void next(struct greet *g);

static void hang_up(struct greet *g)
{
    struct loop *l = g->w->env->loop;
    loop_timer_stop(l, &g->late);
    loop_io_del(l, &g->io);
    if (g->fd >= 0)
        loop_close(l, g->fd);
    g->fd = -1;
}

static void greet_free(struct greet *g)
{
    if (g->ask.slot)
        *g->ask.slot = NULL;
    hang_up(g);
    list_remove(&g->node);
    g->w->greet_count--;
    free(g);
}

static void end(struct greet *g, bool bad, const char *why)
{
    struct buf b;
    buf_init(&b, 3 * TEXT_BYTES);
    if (bad && g->at < g->addr_count)
        netaddr_put(&b, &g->addrs[g->at]);
    buf_printf(&b, ": %s", why);
    struct greet_ask ask = g->ask;
    char subject[ALARM_SUBJECT_MAX];
    memcpy(subject, g->subject, sizeof subject);
    greet_free(g);
    ask.fn(ask.ctx, span_str(subject), bad, buf_span(&b));
    buf_free(&b);
}

/* Of several addresses one that greets is enough. */
static void failed(struct greet *g, const char *why)
{
    if (g->at + 1 >= g->addr_count) {
        end(g, true, why);
        return;
    }
    hang_up(g);
    g->at++;
    next(g);
}

static bool is_code(const char *s)
{
    return ascii_isdigit(s[0]) && ascii_isdigit(s[1]) && ascii_isdigit(s[2]);
}

/* What is expected may be any line of a reply, of which "220-" says that there are more. */
static void judge(struct greet *g)
{
    struct buf text;
    struct span rest = span_of(g->in, g->in_len), first = span_to(rest, span_find(rest, '\n'));
    bool reply = first.n >= 3 && is_code(first.p), full = g->in_len == sizeof g->in;
    bool good = g->ask.want == GREET_REPLY && reply, more = true;
    while (!good && more && rest.n) {
        size_t n = span_find(rest, '\n');
        struct span line = span_to(rest, n);
        if (n == rest.n && !full)
            break;
        good = g->ask.want != GREET_REPLY && span_starts(line, g->ask.expect);
        more = reply && line.n > 3 && line.p[3] == '-';
        rest = span_from(rest, n + 1);
    }
    if (!good && more && !full)
        return;
    if (reply)
        loop_write(g->w->env->loop, g->fd, "QUIT\r\n", 6);
    if (good) {
        end(g, false, "");
        return;
    }
    buf_init(&text, 2 * TEXT_BYTES);
    buf_putz(&text, "it greets with ");
    reply_clean(&text, span_trim_lines(first), TEXT_BYTES);
    failed(g, buf_cstr(&text));
    buf_free(&text);
}

static void answered(struct greet *g)
{
    const char *why = NULL;
    int judged = ask_judge(span_of(g->in, g->in_len), g->ask.question, g->id, &why);
    if (judged > 0)
        end(g, false, "");
    else if (judged < 0 || g->in_len == sizeof g->in)
        failed(g, why ? why : "its answer is too long");
}

static void ask(struct greet *g)
{
    struct buf b;
    g->id = (uint16_t)loop_random_u64(g->w->env->loop);
    buf_init(&b, QUESTION_MAX);
    ask_put(&b, g->ask.question, g->id);
    loop_write(g->w->env->loop, g->fd, buf_span(&b).p, b.len); /* the first bytes always fit */
    buf_free(&b);
}

static void on_ready(void *ctx, int ready)
{
    struct greet *g = ctx;
    struct loop *l = g->w->env->loop;
    if (!g->connected) {
        int error = loop_connect_result(l, g->fd);
        if (error) {
            failed(g, strerror(error));
            return;
        }
        g->connected = true;
        if (g->ask.want == GREET_OPEN) {
            end(g, false, "");
            return;
        }
        if (g->ask.want == GREET_ANSWER)
            ask(g);
        loop_io_want(l, &g->io, LOOP_READ);
        return;
    }
    if (!(ready & LOOP_READ))
        return;
    ssize_t n = loop_read(l, g->fd, g->in + g->in_len, sizeof g->in - g->in_len);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return;
    if (n <= 0) {
        failed(g, n           ? strerror(errno)
                  : g->in_len ? "it closes the connection in the middle of what it says"
                              : "it closes the connection without a word");
        return;
    }
    g->in_len += (size_t)n;
    if (g->ask.want == GREET_ANSWER)
        answered(g);
    else if (memchr(g->in, '\n', g->in_len) || g->in_len == sizeof g->in)
        judge(g);
}

static void on_late(void *ctx)
{
    struct greet *g = ctx;
    failed(g, !g->connected ? "no connection could be made"
              : g->in_len   ? "it does not end what it begins to say"
                            : "connected, and it says nothing");
}

static void next(struct greet *g)
{
    struct watch *w = g->w;
    g->connected = false;
    g->in_len = 0;
    g->fd = loop_connect(w->env->loop, &g->addrs[g->at], NULL);
    if (g->fd < 0) {
        failed(g, strerror(errno));
        return;
    }
    loop_io_add(w->env->loop, &g->io, g->fd, LOOP_WRITE, on_ready, g);
    loop_timer_in(w->env->loop, &g->late, g->ask.timeout_ms);
}

void greet_begin(struct watch *w, const struct greet_ask *ask)
{
    struct greet *g = NEW(struct greet);
    g->w = w;
    g->ask = *ask;
    g->fd = -1;
    snprintf(g->subject, sizeof g->subject, "%.*s", SPAN_ARG(ask->subject));
    g->addr_count = ask->count < ADDRS_MAX ? ask->count : ADDRS_MAX;
    memcpy(g->addrs, ask->addrs, g->addr_count * sizeof *ask->addrs);
    g->ask.addrs = NULL;
    loop_timer_init(&g->late, on_late, g);
    list_append(&w->greets, &g->node);
    w->greet_count++;
    if (ask->slot)
        *ask->slot = g;
    next(g);
}

void greet_stop(struct greet **slot)
{
    if (*slot)
        greet_free(*slot);
}

/* --- our own listeners --- */

static void on_listener(void *ctx, struct span subject, bool bad, struct span why)
{
    watch_saw(ctx, ALARM_LISTENER, subject, bad, "%.*s", SPAN_ARG(why));
}

static bool under_way(const struct watch *w, struct span subject)
{
    LIST_EACH(n, &w->greets) {
        const struct greet *g = CONTAINER(n, struct greet, node);
        if (g->ask.want == GREET_REPLY && span_eq(span_str(g->subject), subject))
            return true;
    }
    return false;
}

/* A wildcard is reached by the loopback address. */
static struct netaddr reachable(struct netaddr a)
{
    struct netaddr zero, loopback;
    netaddr_parse_ip(a.family == NETADDR_V6 ? SPAN("::") : SPAN("0.0.0.0"), &zero);
    netaddr_parse_ip(a.family == NETADDR_V6 ? SPAN("::1") : SPAN("127.0.0.1"), &loopback);
    zero.port = loopback.port = a.port;
    return netaddr_eq(&a, &zero) ? loopback : a;
}

static void put_subject(struct buf *b, const struct config_listen *l, size_t address)
{
    buf_printf(b, "%.*s ", SPAN_ARG(l->name));
    netaddr_put(b, &l->address.v[address]);
}

/* Of a listener that does all it may do before it greets. */
static int64_t greeting_ms(const struct config *c)
{
    int64_t names_ms = c->server.reverse_names ? c->server.reverse_timeout_ms : 0;
    return c->alarm.timeout_ms + c->server.greeting_pause_ms + names_ms;
}

static void look_at_listener(struct watch *w, const struct config_listen *l)
{
    for (size_t i = 0; i < l->address.n; i++) {
        struct netaddr to = reachable(l->address.v[i]);
        struct buf b;
        buf_init(&b, ALARM_SUBJECT_MAX);
        put_subject(&b, l, i);
        struct greet_ask ask = { .subject = buf_span(&b), .addrs = &to, .count = 1,
                                 .timeout_ms = greeting_ms(w->config),
                                 .want = GREET_REPLY, .fn = on_listener, .ctx = w };
        if (w->greet_count < GREETS_MAX && !under_way(w, buf_span(&b)))
            greet_begin(w, &ask);
        buf_free(&b);
    }
}

void greet_look(struct watch *w)
{
    for (size_t i = 0; w->config->alarm.listeners && i < w->config->n_listens; i++)
        look_at_listener(w, &w->config->listens[i]);
}

bool greet_still(void *ctx, struct span subject)
{
    const struct watch *w = ctx;
    bool found = false;
    for (size_t i = 0; w->config->alarm.listeners && i < w->config->n_listens; i++)
        for (size_t k = 0; k < w->config->listens[i].address.n && !found; k++) {
            struct buf b;
            buf_init(&b, ALARM_SUBJECT_MAX);
            put_subject(&b, &w->config->listens[i], k);
            found = span_eq(buf_span(&b), subject);
            buf_free(&b);
        }
    return found;
}

void greets_free(struct watch *w)
{
    LIST_EACH(n, &w->greets)
        greet_free(CONTAINER(n, struct greet, node));
}
