/* The webhook: news of alarms are posted to a URL as JSON. libcurl speaks HTTP; the address comes
 * from resolver, and waiting is the loop's. One at a time, in order; what fails is tried again
 * at later looks. Redirections are not followed: the URL is the admin's word. */
#include "watch/inside.h"

#include "base/must.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    NOTES_MAX = 16,
    TRIES_MAX = 20,
    TIMEOUT_S = 30,
    HTTPS_PORT = 443,
    HTTP_PORT = 80,
    RESOLVE_MAX = 1024,
    BODY_MAX = 64 << 10, /* of an answer that is read: nobody looks at it */
};

struct note {
    struct list node;
    struct buf json;
    unsigned tries;
};

struct hook_socket {
    struct list node;
    struct hook *h;
    struct loop_io io;
};

struct hook {
    struct watch *w;
    CURLM *multi;
    CURL *easy; /* of the note that is on its way; NULL: none */
    struct curl_slist *headers, *resolve;
    struct list notes, sockets;
    size_t note_count;
    bool busy; /* the first note is on its way */
    struct again again;
    struct where where;
    struct loop_timer timer;
    size_t body_bytes; /* of the answer to it */
    char error[CURL_ERROR_SIZE];
};

/* --- libcurl's waiting --- */

static void check_done(struct hook *h);

static void act(struct hook *h, curl_socket_t fd, int what)
{
    int running;
    curl_multi_socket_action(h->multi, fd, what, &running);
    check_done(h);
}

static void on_ready(void *ctx, int ready)
{
    struct hook_socket *s = ctx;
    act(s->h, s->io.fd, (ready & LOOP_READ ? CURL_CSELECT_IN : 0) |
                            (ready & LOOP_WRITE ? CURL_CSELECT_OUT : 0));
}

static void on_timer(void *ctx) { act(ctx, CURL_SOCKET_TIMEOUT, 0); }

static void socket_free(struct hook_socket *s)
{
    loop_io_del(s->h->w->env->loop, &s->io);
    list_remove(&s->node);
    free(s);
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *assigned)
{
    struct hook *h = ctx;
    struct hook_socket *s = assigned;
    struct loop *l = h->w->env->loop;
    int want = (what & CURL_POLL_IN ? LOOP_READ : 0) | (what & CURL_POLL_OUT ? LOOP_WRITE : 0);
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (s)
            socket_free(s);
        return 0;
    }
    if (s) {
        loop_io_want(l, &s->io, want);
        return 0;
    }
    s = NEW(struct hook_socket);
    s->h = h;
    list_append(&h->sockets, &s->node);
    loop_io_add(l, &s->io, fd, want, on_ready, s);
    curl_multi_assign(h->multi, fd, s);
    return 0;
}

static int on_set_timer(CURLM *multi, long wait_ms, void *ctx)
{
    struct hook *h = ctx;
    (void)multi;
    if (wait_ms < 0)
        loop_timer_stop(h->w->env->loop, &h->timer);
    else
        loop_timer_in(h->w->env->loop, &h->timer, wait_ms);
    return 0;
}

static size_t on_body(char *p, size_t size, size_t n, void *ctx)
{
    struct hook *h = ctx;
    (void)p;
    h->body_bytes += size * n;
    return h->body_bytes > BODY_MAX ? 0 : size * n; /* 0: enough, that ends it */
}

/* --- one note --- */

static struct note *first(struct hook *h)
{
    struct list *n = list_first(&h->notes);
    return n ? CONTAINER(n, struct note, node) : NULL;
}

static void note_free(struct hook *h, struct note *n)
{
    list_remove(&n->node);
    buf_free(&n->json);
    h->note_count--;
    free(n);
}

static void hang_up(struct hook *h)
{
    if (h->easy) {
        curl_multi_remove_handle(h->multi, h->easy);
        curl_easy_cleanup(h->easy);
    }
    curl_slist_free_all(h->resolve);
    curl_slist_free_all(h->headers);
    h->easy = NULL;
    h->resolve = h->headers = NULL;
}

static void begin(struct hook *h);

/* why NULL: it was taken. */
static void end(struct hook *h, const char *why)
{
    struct note *n = first(h);
    struct events *e = h->w->env->events;
    hang_up(h);
    h->busy = false;
    event_begin(e, why ? EVENT_webhook_failed : EVENT_webhook_told);
    event_int(e, FIELD_attempts, ++n->tries);
    if (why)
        event_str(e, FIELD_text, span_str(why));
    event_end(e);
    if (why) {
        struct buf *b = log_begin(e, EVENT_WARNING);
        buf_putz(b, "alarm.webhook: ");
        log_text(b, span_str(why), sizeof h->error);
        log_end(e);
    }
    if (!why || n->tries >= TRIES_MAX)
        note_free(h, n);
    if (why) { /* at a later look */
        again_later(&h->again, loop_mono_ms(h->w->env->loop), h->w->config->alarm.interval_ms);
        return;
    }
    h->again = (struct again){ 0 };
    begin(h);
}

static void check_done(struct hook *h)
{
    CURLMsg *m;
    int left;
    char why[CURL_ERROR_SIZE + 64];
    while (h->easy && (m = curl_multi_info_read(h->multi, &left))) {
        if (m->msg != CURLMSG_DONE)
            continue;
        long code = 0;
        CURLcode rc = m->data.result;
        curl_easy_getinfo(h->easy, CURLINFO_RESPONSE_CODE, &code);
        bool heard = rc == CURLE_OK || (rc == CURLE_WRITE_ERROR && h->body_bytes > BODY_MAX);
        if (!heard)
            snprintf(why, sizeof why, "%s", h->error[0] ? h->error : curl_easy_strerror(rc));
        else
            snprintf(why, sizeof why, "it answers with status %ld", code);
        end(h, heard && code / 100 == 2 ? NULL : why);
    }
}

static bool set_options(struct hook *h, const char *url, const struct note *n)
{
    CURL *c = h->easy;
    struct span json = buf_span(&n->json);
    h->headers = curl_slist_append(NULL, "Content-Type: application/json");
    h->headers = curl_slist_append(h->headers, "Expect:");
    return curl_easy_setopt(c, CURLOPT_URL, url) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE, (long)json.n) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_POSTFIELDS, json.p) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_HTTPHEADER, h->headers) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_RESOLVE, h->resolve) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_WRITEDATA, h) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_ERRORBUFFER, h->error) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_TIMEOUT, (long)TIMEOUT_S) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_PROXY, "") == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_USERAGENT, "Postern/" POSTERN_VERSION) == CURLE_OK;
}

/* Host and port of the URL, as libcurl reads it; the caller frees the host. */
static char *url_host(const char *url, long *port_r)
{
    CURLU *u = curl_url();
    char *host = NULL, *port = NULL;
    *port_r = strncmp(url, "https:", 6) == 0 ? HTTPS_PORT : HTTP_PORT;
    if (curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK)
        curl_url_get(u, CURLUPART_HOST, &host, 0);
    if (host && curl_url_get(u, CURLUPART_PORT, &port, 0) == CURLUE_OK)
        *port_r = strtol(port, NULL, 10);
    curl_free(port);
    curl_url_cleanup(u);
    return host;
}

/* "host:port:addr,addr": libcurl looks up nothing itself. */
static void tell_addresses(struct hook *h, const char *url, const struct where_found *f)
{
    long port;
    char *host = url_host(url, &port);
    struct buf b;
    buf_init(&b, RESOLVE_MAX);
    buf_printf(&b, "%s:%ld:", host ? host : "", port);
    for (size_t i = 0; i < f->count; i++) {
        buf_putz(&b, i ? "," : "");
        if (f->addrs[i].family == NETADDR_V6)
            buf_putc(&b, '[');
        netaddr_put_ip(&b, &f->addrs[i]);
        if (f->addrs[i].family == NETADDR_V6)
            buf_putc(&b, ']');
    }
    if (host && host[0] != '[')
        h->resolve = curl_slist_append(NULL, buf_cstr(&b));
    buf_free(&b);
    curl_free(host);
}

static void on_where(void *ctx, const struct where_found *f)
{
    struct hook *h = ctx;
    struct span s = h->w->config->alarm.webhook;
    if (!f->count) {
        char why[300];
        snprintf(why, sizeof why, "its address is not known: %.*s", SPAN_ARG(f->why));
        end(h, why);
        return;
    }
    char *url = must_strndup(s.p, s.n);
    h->easy = curl_easy_init();
    MUST(h->easy);
    h->error[0] = '\0';
    h->body_bytes = 0;
    tell_addresses(h, url, f);
    bool ok = set_options(h, url, first(h)) &&
              curl_multi_add_handle(h->multi, h->easy) == CURLM_OK;
    free(url);
    if (ok)
        act(h, CURL_SOCKET_TIMEOUT, 0);
    else
        end(h, "the request cannot be made");
}

static void begin(struct hook *h)
{
    struct span s = h->w->config->alarm.webhook;
    if (h->busy || !s.n || list_empty(&h->notes) ||
        loop_mono_ms(h->w->env->loop) < h->again.at_ms)
        return;
    h->busy = true;
    char *url = must_strndup(s.p, s.n);
    long port;
    char *host = url_host(url, &port);
    struct buf hop;
    buf_init(&hop, 1024);
    if (host)
        buf_printf(&hop, host[0] == '[' ? "%s:%ld" : "[%s]:%ld", host, port);
    if (host)
        where_ask(h->w, &h->where, buf_span(&hop), (uint16_t)port, on_where, h);
    else
        end(h, "its URL cannot be read");
    buf_free(&hop);
    curl_free(host);
    free(url);
}

/* --- for watch.c --- */

struct hook *hook_new(struct watch *w)
{
    struct hook *h = NEW(struct hook);
    h->w = w;
    curl_global_init(CURL_GLOBAL_ALL);
    h->multi = curl_multi_init();
    MUST(h->multi);
    curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h);
    curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, on_set_timer);
    curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h);
    list_init(&h->notes);
    list_init(&h->sockets);
    loop_timer_init(&h->timer, on_timer, h);
    return h;
}

void hook_send(struct hook *h, struct span json)
{
    if (!h->w->config->alarm.webhook.n)
        return;
    if (h->note_count >= NOTES_MAX)
        return; /* it hears of what lasts when that is repeated */
    struct note *n = NEW(struct note);
    buf_init(&n->json, json.n + 1);
    buf_puts(&n->json, json);
    list_append(&h->notes, &n->node);
    h->note_count++;
    begin(h);
}

void hook_again(struct hook *h) { begin(h); }

void hook_free(struct hook **hp)
{
    struct hook *h = *hp;
    if (!h)
        return;
    where_stop(&h->where);
    hang_up(h);
    curl_multi_cleanup(h->multi);
    LIST_EACH(s, &h->sockets)
        socket_free(CONTAINER(s, struct hook_socket, node));
    LIST_EACH(n, &h->notes)
        note_free(h, CONTAINER(n, struct note, node));
    loop_timer_stop(h->w->env->loop, &h->timer);
    curl_global_cleanup();
    free(h);
    *hp = NULL;
}
