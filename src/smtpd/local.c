/* Sessions of users of this machine. pickup takes their connections, and knows by the kernel's word
 * who they are; what they say is SMTP as everybody's. */
#include "smtpd/inside.h"

#include "proto/pickup_smtpd.h"
#include "proto/watch_smtpd.h"

#include <stdio.h>
#include <unistd.h>

static bool handle_local_session(void *ctx, struct channel *ch, struct span body, int fd)
{
    struct smtpd *d = ctx;
    struct msg_local_session m;
    (void)ch;
    if (fd < 0 || !msg_local_session_get(body, &m) || !m.user.n || m.user.n > LOCAL_USER_MAX) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    if (d->finishing) {
        loop_close(d->env->loop, fd); /* he leaves his mail in the submission spool */
        return true;
    }
    if (d->session_count >= d->gen->config->limits.connections) {
        static const char full[] = "421 4.3.2 Too many connections, try again later\r\n";
        loop_write(d->env->loop, fd, full, sizeof full - 1);
        loop_close(d->env->loop, fd);
        return true;
    }
    struct netaddr loopback;
    netaddr_parse_ip(SPAN("127.0.0.1"), &loopback);
    struct session_user user = { .name = m.user, .trusted = m.trusted };
    session_new(d, fd, &loopback, &d->gen->submit, d->gen->config->n_listens, NULL, &user);
    return true;
}

static void on_pickup_gone(void *ctx, struct channel *ch, const char *why)
{
    struct smtpd *d = ctx;
    (void)ch;
    say_lost_peer(d, "pickup", why);
    channel_free(&d->pickup);
}

void backend_pickup(struct smtpd *d, int fd)
{
    static const struct channel_type types[] = {
        { MSG_local_session, "local_session", handle_local_session }
    };
    static const struct channel_ops ops = { types, 1, on_pickup_gone, NULL };
    channel_free(&d->pickup);
    d->pickup = channel_new(d->env->loop, fd, "pickup", &ops, d);
}

/* --- watch: its own mail, and what it says of health --- */

static void on_check(struct smtpd *d, struct channel *ch, const struct msg_check *m)
{
    (void)ch;
    size_t i = 0;
    while (i < d->failing_count && !span_eq(span_str(d->failing[i].name), m->name))
        i++;
    bool known = i < d->failing_count;
    if (!m->fails) {
        if (known)
            d->failing[i] = d->failing[--d->failing_count];
        return;
    }
    if (!known && (d->failing_count == CHECKS_MAX || m->name.n > CONFIG_CHECK_NAME_MAX))
        return;
    struct check_state *c = &d->failing[i];
    d->failing_count += !known;
    snprintf(c->name, sizeof c->name, "%.*s", SPAN_ARG(m->name));
    c->until_ms = loop_mono_ms(d->env->loop) + m->within_ms;
}
PROTO_HANDLER(check, struct smtpd *, on_check)

static void on_watch_gone(void *ctx, struct channel *ch, const char *why)
{
    struct smtpd *d = ctx;
    (void)ch;
    say_lost_peer(d, "watch", why);
    channel_free(&d->watch);
}

void backend_watch(struct smtpd *d, int fd)
{
    static const struct channel_type types[] = {
        { MSG_local_session, "local_session", handle_local_session }, PROTO_TYPE(check)
    };
    static const struct channel_ops ops = { types, 2, on_watch_gone, NULL };
    channel_free(&d->watch);
    d->watch = channel_new(d->env->loop, fd, "watch", &ops, d);
}

/* His own name at our host is what an ordinary user may send as; sendmail's authwarnings. */
static bool is_own_address(const struct session *s, struct span sender)
{
    size_t at = span_rfind(sender, '@');
    struct span domain = span_from(sender, at + 1);
    return span_eq(span_to(sender, at), span_str(s->user)) &&
           (at == sender.n || span_ieq(domain, s->gen->config->hostname));
}

void local_put_warning(struct buf *b, const struct session *s, const struct envelope *env)
{
    if (!s->user[0] || s->trusted || is_own_address(s, env->sender))
        return;
    buf_printf(b, "X-Authentication-Warning: %.*s: %s set sender to ",
               SPAN_ARG(s->gen->config->hostname), s->user);
    buf_putz(b, env->sender.n ? "" : "<>");
    buf_puts(b, env->sender);
    buf_putz(b, " using -f\r\n");
}
