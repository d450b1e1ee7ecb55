/* What a child is given, in the order role/child.h promises. */
#include "base/must.h"
#include "master/inside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PART_BYTES = 256 << 10 };

void give_config(struct master *m, struct child_slot *c)
{
    struct buf flat;
    buf_init(&flat, CONFIG_WIRE_MAX);
    config_put(&flat, m->config);
    MUST(!flat.failed);
    struct span rest = buf_span(&flat);
    do {
        struct msg_config_part part = { .generation = m->generation,
                                        .part = span_to(rest, PART_BYTES) };
        rest = span_from(rest, part.part.n);
        part.last = rest.n == 0;
        send_config_part(c->channel, &part);
    } while (rest.n);
    buf_free(&flat);
}

static void give_log(struct child_slot *c, int which, int fd)
{
    struct msg_log_file msg = { .which = (uint8_t)which };
    msg_log_file_put(channel_begin(c->channel, MSG_log_file), &msg);
    channel_end_fd(c->channel, fd);
}

static int log_or_null(struct master *m, int which, int *said_r)
{
    struct err e = { "" };
    int fd = log_open(m->config, which, &e);
    *said_r = fd == -2 ? 2 : which;
    return fd < 0 ? open("/dev/null", O_WRONLY | O_CLOEXEC) : fd;
}

/* Both or none: without descriptors to spare a child goes on with those it has. */
bool give_logs(struct master *m, struct child_slot *c)
{
    int which[2], lines = log_or_null(m, 0, &which[0]), events = log_or_null(m, 1, &which[1]);
    if (lines < 0 || events < 0) {
        log_line(m->events, EVENT_ALARM, "cannot open a log for %s: %s", role_name(c->role),
                 strerror(errno));
        loop_close(m->loop, lines);
        loop_close(m->loop, events);
        return false;
    }
    give_log(c, which[0], lines);
    give_log(c, which[1], events);
    return true;
}

void give_listeners(struct master *m, struct child_slot *c)
{
    if (c->role != ROLE_SMTPD)
        return;
    for (size_t i = 0; i < m->listener_count; i++) {
        const struct listener *l = &m->listeners[i];
        struct msg_listener msg = { .address = l->address, .section = span_str(l->section) };
        msg_listener_put(channel_begin(c->channel, MSG_listener), &msg);
        channel_end_fd(c->channel, fcntl(l->fd, F_DUPFD_CLOEXEC, 0));
    }
}

/* A file that is not there is the child's to do without. False: it would be another time. */
static bool give_file(struct child_slot *c, enum master_file kind, size_t index, struct span path)
{
    char *name = must_strndup(path.p, path.n);
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    free(name);
    if (fd < 0) {
        int error = errno;
        log_line(c->master->events, EVENT_WARNING, "cannot open %.*s: %s", SPAN_ARG(path),
                 strerror(error));
        return error != EMFILE && error != ENFILE;
    }
    struct msg_file msg = { .kind = (uint8_t)kind, .index = (uint16_t)index, .path = path };
    msg_file_put(channel_begin(c->channel, MSG_file), &msg);
    channel_end_fd(c->channel, fd);
    return true;
}

static void give_socket(struct child_slot *c, enum master_file kind, int fd)
{
    struct msg_file msg = { .kind = (uint8_t)kind };
    msg_file_put(channel_begin(c->channel, MSG_file), &msg);
    channel_end_fd(c->channel, fcntl(fd, F_DUPFD_CLOEXEC, 0));
}

bool give_files(struct master *m, struct child_slot *c)
{
    bool ok = true;
    if (c->role == ROLE_CONTROL)
        give_socket(c, MASTER_FILE_CONTROL, m->control_fd);
    if (c->role == ROLE_PICKUP)
        give_socket(c, MASTER_FILE_SUBMIT, m->submit_fd);
    const struct config_certs *t = &m->config->tls;
    for (size_t i = 0; i < t->certificate.n && c->role == ROLE_SMTPD; i++)
        ok &= give_file(c, MASTER_FILE_CERT, i, t->certificate.v[i]);
    for (size_t i = 0; i < t->key.n && c->role == ROLE_KEYRING; i++)
        ok &= give_file(c, MASTER_FILE_KEY, i, t->key.v[i]);
    return ok;
}

static bool paired(enum role_id a, enum role_id b)
{
#define PAIR(x, y) \
    if ((a == ROLE_##x && b == ROLE_##y) || (a == ROLE_##y && b == ROLE_##x)) \
        return true;
    ROLE_PAIRS(PAIR)
    return false;
}

static void give_end(struct child_slot *to, const struct child_slot *of, int fd)
{
    struct msg_peer msg = { .role = (uint8_t)of->role, .index = (uint16_t)of->index };
    msg_peer_put(channel_begin(to->channel, MSG_peer), &msg);
    channel_end_fd(to->channel, fd);
}

/* A socket pair to every running process it has business with; the others take the new end in
 * place of the one that died with its predecessor. */
static bool give_peers(struct master *m, struct child_slot *c)
{
    bool ok = true;
    for (size_t i = 0; i < m->child_count; i++) {
        struct child_slot *other = &m->children[i];
        int fds[2];
        if (other == c || !other->pid || !paired(c->role, other->role))
            continue;
        if (loop_pair(m->loop, fds) != 0) {
            log_line(m->events, EVENT_ALARM, "cannot make a socket pair: %s", strerror(errno));
            ok = false;
            break;
        }
        give_end(c, other, fds[0]);
        give_end(other, c, fds[1]);
    }
    return ok;
}

void give_start(struct master *m, struct child_slot *c)
{
    struct msg_start start = { .instance_id = span_str(m->instance_id) };
    send_start(c->channel, &start);
    channel_flush(c->channel);
}

bool give_all(struct master *m, struct child_slot *c)
{
    bool ok = give_logs(m, c);
    give_config(m, c);
    ok = ok && give_files(m, c) && give_peers(m, c);
    if (!ok)
        return false;
    give_listeners(m, c);
    give_start(m, c);
    return true;
}
