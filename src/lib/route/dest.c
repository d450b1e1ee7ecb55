#include "route/dest.h"

/* The version of the binary form; a reader refuses others. */
enum { DEST_VERSION = 2 };

static const char *const names[ROUTE_MAILERS] = {
    [ROUTE_RELAY] = "relay",     [ROUTE_ESMTP] = "esmtp", [ROUTE_SMTP] = "smtp",
    [ROUTE_SMTP8] = "smtp8",     [ROUTE_DSMTP] = "dsmtp", [ROUTE_LMTP] = "lmtp",
    [ROUTE_LOCAL] = "local",     [ROUTE_PROGRAM] = "prog", [ROUTE_FILE] = "*file*",
    [ROUTE_ERROR] = "error",     [ROUTE_DISCARD] = "discard", [ROUTE_HOLD] = "hold",
};

const char *route_mailer_name(enum route_mailer m) { return m < ROUTE_MAILERS ? names[m] : "?"; }

bool route_mailer_from(struct span name, enum route_mailer *m_r)
{
    for (int m = 0; m < ROUTE_MAILERS; m++)
        if (m != ROUTE_PROGRAM && m != ROUTE_FILE && span_ieq(name, span_str(names[m]))) {
            *m_r = (enum route_mailer)m;
            return true;
        }
    return false;
}

void route_dest_put_value(struct buf *out, const struct route_dest *d)
{
    buf_printf(out, "%s:", route_mailer_name(d->mailer));
    switch (d->mailer) {
    case ROUTE_RELAY:
    case ROUTE_ESMTP:
    case ROUTE_SMTP:
    case ROUTE_SMTP8:
    case ROUTE_DSMTP:
        dns_hops_put(out, d->hops, d->hop_count);
        break;
    case ROUTE_LMTP:
        buf_puts(out, d->path);
        dns_hops_put(out, d->hops, d->hop_count);
        break;
    case ROUTE_LOCAL:
        buf_puts(out, d->user);
        if (d->detail.n)
            buf_printf(out, "+%.*s", SPAN_ARG(d->detail));
        break;
    case ROUTE_PROGRAM:
    case ROUTE_FILE:
        buf_puts(out, d->path);
        break;
    case ROUTE_ERROR:
        buf_printf(out, "%.*s:%u ", SPAN_ARG(d->code), d->reply);
        buf_puts(out, d->text);
        break;
    case ROUTE_HOLD:
        buf_puts(out, d->text);
        break;
    default:
        break;
    }
}

static void route_dest_json(struct json *j, const char *key, const struct route_dest *d)
{
    struct buf hops;
    json_open(j, key);
    json_str(j, "mailer", span_str(route_mailer_name(d->mailer)));
    if (d->hop_count) {
        json_open_array(j, "next_hops");
        for (size_t i = 0; i < d->hop_count; i++) {
            buf_init(&hops, DNS_HOPS_TEXT_MAX);
            dns_hop_put(&hops, &d->hops[i]);
            json_str(j, NULL, buf_span(&hops));
            buf_free(&hops);
        }
        json_close_array(j);
    }
    if (d->mailer == ROUTE_LOCAL)
        json_str(j, "user", d->user);
    if (d->detail.n)
        json_str(j, "detail", d->detail);
    if (d->path.n)
        json_str(j, "path", d->path);
    if (d->own_listener.n)
        json_str(j, "own_listener", d->own_listener);
    if (d->mailer == ROUTE_ERROR) {
        json_uint(j, "reply", d->reply);
        json_str(j, "code", d->code);
    }
    if (d->text.n)
        json_str(j, "text", d->text);
    json_str(j, "matched", d->matched);
    json_str(j, "queue", d->queue);
    json_close(j);
}

void route_dest_show_json(struct json *j, const struct route_dest *d)
{
    struct buf b;
    buf_init(&b, ROUTE_KEY_MAX);
    route_dest_json(j, "dest", d);
    if (d->hop_count) {
        dns_hops_put(&b, d->hops, d->hop_count);
        json_str(j, "hops", buf_span(&b));
    }
    buf_reset(&b);
    route_dest_put_value(&b, d);
    json_str(j, "value", buf_span(&b));
    buf_free(&b);
}

bool route_dest_make_queue(struct route_dest *d, struct arena *a)
{
    struct buf b;
    buf_init(&b, ROUTE_KEY_MAX);
    if (d->own_listener.n) {
        buf_printf(&b, "listener:%.*s", SPAN_ARG(d->own_listener));
    } else if (d->mailer == ROUTE_LMTP && d->path.n) {
        buf_printf(&b, "lmtp:%.*s", SPAN_ARG(d->path));
    } else if (route_dest_has_hops(d)) {
        bool one = d->hop_count == 1;
        bool mx = one && !d->hops[0].bracketed && !d->hops[0].literal;
        buf_printf(&b, "%s%s:", d->mailer == ROUTE_SMTP ? "smtp+" :
                                d->mailer == ROUTE_LMTP ? "lmtp+" : "",
                   mx ? "mx" : one ? "host" : "list");
        dns_hops_put(&b, d->hops, d->hop_count);
    } else {
        /* Each user, program and file of this host is a site of its own. */
        buf_putz(&b, route_mailer_name(d->mailer));
        if (d->mailer == ROUTE_LOCAL && d->user.n)
            buf_printf(&b, ":%.*s%s%.*s", SPAN_ARG(d->user), d->detail.n ? "+" : "",
                       SPAN_ARG(d->detail));
        if (d->mailer == ROUTE_PROGRAM || d->mailer == ROUTE_FILE)
            buf_printf(&b, ":%.*s", SPAN_ARG(d->path));
    }
    d->queue = b.failed ? SPAN_NONE : arena_dup(a, buf_span(&b));
    buf_free(&b);
    return d->queue.p != NULL;
}

void route_dest_put(struct buf *out, const struct route_dest *d)
{
    struct buf hops;
    buf_init(&hops, DNS_HOPS_TEXT_MAX);
    dns_hops_put(&hops, d->hops, d->hop_count);
    wire_put_u8(out, DEST_VERSION);
    wire_put_u8(out, (uint8_t)d->mailer);
    wire_put_bytes(out, buf_span(&hops));
    wire_put_bytes(out, d->user);
    wire_put_bytes(out, d->detail);
    wire_put_bytes(out, d->path);
    wire_put_bytes(out, d->own_listener);
    wire_put_u8(out, d->own_delivery);
    wire_put_u16(out, d->reply);
    wire_put_bytes(out, d->code);
    wire_put_bytes(out, d->text);
    wire_put_bytes(out, d->matched);
    wire_put_bytes(out, d->queue);
    buf_free(&hops);
}

static bool get_hops(struct span text, struct arena *a, struct route_dest *d)
{
    struct dns_hop hops[DNS_HOPS_MAX];
    struct err e;
    if (!dns_hops_parse(text, hops, &d->hop_count, &e))
        return false;
    d->hops = arena_alloc(a, d->hop_count * sizeof *hops);
    if (d->hops)
        memcpy(d->hops, hops, d->hop_count * sizeof *hops);
    return d->hops != NULL;
}

bool route_dest_get(struct wire *w, struct arena *a, struct route_dest *d)
{
    *d = (struct route_dest){ 0 };
    bool known = wire_get_u8(w) == DEST_VERSION;
    uint8_t mailer = wire_get_u8(w);
    struct span hops = wire_get_bytes(w, DNS_HOPS_TEXT_MAX);
    d->mailer = mailer;
    d->user = wire_get_bytes(w, ROUTE_TEXT_MAX);
    d->detail = wire_get_bytes(w, ROUTE_TEXT_MAX);
    d->path = wire_get_bytes(w, ROUTE_TEXT_MAX);
    d->own_listener = wire_get_bytes(w, ROUTE_TEXT_MAX);
    d->own_delivery = wire_get_u8(w);
    d->reply = wire_get_u16(w);
    d->code = wire_get_bytes(w, 16);
    d->text = wire_get_bytes(w, ROUTE_TEXT_MAX);
    d->matched = wire_get_bytes(w, ROUTE_TEXT_MAX);
    d->queue = wire_get_bytes(w, ROUTE_KEY_MAX);
    if (w->bad || !known || mailer >= ROUTE_MAILERS ||
        (route_dest_has_hops(d) && !(d->mailer == ROUTE_LMTP && d->path.n)
             ? !get_hops(hops, a, d) : hops.n > 0))
        w->bad = true;
    return !w->bad;
}
