/* The kernel's sockets for the real loop. */
#include "loop/impl.h"

#include "base/must.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int close_keep_errno(int fd)
{
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

int loop_real_listen(struct loop *l, const struct netaddr *at, int backlog, struct err *err)
{
    (void)l;
    struct sockaddr_storage sa;
    socklen_t len = netaddr_to_sockaddr(at, &sa);
    struct buf b;
    buf_init(&b, NETADDR_TEXT_MAX);
    netaddr_put(&b, at);
    char text[NETADDR_TEXT_MAX + 1];
    snprintf(text, sizeof text, "%.*s", SPAN_ARG(buf_span(&b)));
    buf_free(&b);
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        err_errno(err, "listen on %s: socket", text);
        return -1;
    }
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    /* So that "0.0.0.0:25" and "[::]:25" can stand side by side. */
    if (sa.ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    /* Inherited by what is accepted: replies are whole when we write them. */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&sa, len) != 0 || listen(fd, backlog) != 0) {
        err_errno(err, "listen on %s", text);
        return close_keep_errno(fd);
    }
    return fd;
}

static int unix_address(const char *path, struct sockaddr_un *sa, struct err *err)
{
    *sa = (struct sockaddr_un){ .sun_family = AF_UNIX };
    size_t n = strlen(path);
    if (n >= sizeof sa->sun_path) {
        err_set(err, "%s: longer than the %zu bytes a socket's path may have", path,
                sizeof sa->sun_path - 1);
        return -1;
    }
    memcpy(sa->sun_path, path, n + 1);
    return 0;
}

int loop_listen_unix(struct loop *l, const char *path, unsigned mode, struct err *err)
{
    (void)l;
    struct sockaddr_un sa;
    if (unix_address(path, &sa, err) != 0)
        return -1;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        err_errno(err, "%s: socket", path);
        return -1;
    }
    /* Whoever holds the spool's lock owns the path: an old socket is a leftover. */
    unlink(path);
    if (bind(fd, (struct sockaddr *)&sa, sizeof sa) != 0 || chmod(path, mode) != 0 ||
        listen(fd, 64) != 0) {
        err_errno(err, "listen on %s", path);
        return close_keep_errno(fd);
    }
    return fd;
}

int loop_real_accept(struct loop *l, int fd, struct netaddr *peer_r)
{
    (void)l;
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;
    int got;
    do
        got = accept4(fd, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    while (got < 0 && (errno == EINTR || errno == ECONNABORTED));
    if (got >= 0 && peer_r && !netaddr_from_sockaddr((struct sockaddr *)&sa, len, peer_r))
        *peer_r = (struct netaddr){ 0 };
    return got;
}

int loop_real_connect(struct loop *l, const struct netaddr *to, const struct netaddr *from)
{
    (void)l;
    struct sockaddr_storage sa;
    socklen_t len = netaddr_to_sockaddr(to, &sa);
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (from) {
        struct sockaddr_storage src;
        socklen_t src_len = netaddr_to_sockaddr(from, &src);
        if (bind(fd, (struct sockaddr *)&src, src_len) != 0)
            return close_keep_errno(fd);
    }
    if (connect(fd, (struct sockaddr *)&sa, len) != 0 && errno != EINPROGRESS)
        return close_keep_errno(fd);
    return fd;
}

int loop_real_connect_result(struct loop *l, int fd)
{
    (void)l;
    int e = 0;
    socklen_t len = sizeof e;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len) != 0)
        return errno;
    return e;
}

int loop_connect_unix(struct loop *l, const char *path, struct err *err)
{
    (void)l;
    struct sockaddr_un sa;
    if (unix_address(path, &sa, err) != 0)
        return -1;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof sa) != 0) {
        err_errno(err, "%s", path);
        return fd < 0 ? -1 : close_keep_errno(fd);
    }
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

enum { PAIR_BUFFER_BYTES = 1 << 20 };

int loop_real_pair(struct loop *l, int fds_r[2])
{
    (void)l;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds_r) != 0)
        return -1;
    /* Room for the content of a turn, so that one write takes it; as far as we may. */
    int bytes = PAIR_BUFFER_BYTES;
    for (int i = 0; i < 2; i++)
        if (setsockopt(fds_r[i], SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes) != 0)
            setsockopt(fds_r[i], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    return 0;
}

bool loop_real_local_addr(struct loop *l, int fd, struct netaddr *addr_r)
{
    (void)l;
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;
    return getsockname(fd, (struct sockaddr *)&sa, &len) == 0 &&
           netaddr_from_sockaddr((struct sockaddr *)&sa, len, addr_r);
}

/* The kernel speaks to an address of its own from that very address. Nothing is sent by this. */
bool loop_real_is_local(struct loop *l, const struct netaddr *ip)
{
    struct sockaddr_storage sa;
    struct netaddr from, to = *ip;
    to.port = to.port ? to.port : 1;
    socklen_t len = netaddr_to_sockaddr(&to, &sa);
    int fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool same = fd >= 0 && connect(fd, (struct sockaddr *)&sa, len) == 0 &&
                loop_real_local_addr(l, fd, &from) && netaddr_same_ip(&from, ip);
    if (fd >= 0)
        close(fd);
    return same;
}

ssize_t loop_real_write_fd(struct loop *l, int fd, const void *p, size_t n, int passed)
{
    (void)l;
    struct iovec iov = { .iov_base = (void *)p, .iov_len = n };
    union {
        char space[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } u = { 0 };
    struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
    if (passed >= 0) {
        m.msg_control = u.space;
        m.msg_controllen = sizeof u.space;
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof passed);
        memcpy(CMSG_DATA(c), &passed, sizeof passed);
    }
    ssize_t put;
    do
        put = sendmsg(fd, &m, MSG_NOSIGNAL);
    while (put < 0 && errno == EINTR);
    return put;
}

enum { FDS_AT_ONCE = 16 };

static size_t take_fds(struct msghdr *m, int *fds_r, size_t max_fds)
{
    size_t got = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int one;
            memcpy(&one, CMSG_DATA(c) + i * sizeof one, sizeof one);
            if (got < max_fds)
                fds_r[got++] = one;
            else
                close(one);
        }
    }
    return got;
}

ssize_t loop_real_read_fds(struct loop *l, int fd, void *p, size_t n, int *fds_r, size_t max_fds,
                           size_t *nfds_r)
{
    (void)l;
    struct iovec iov = { .iov_base = p, .iov_len = n };
    union {
        char space[CMSG_SPACE(sizeof(int) * FDS_AT_ONCE)];
        struct cmsghdr align;
    } u;
    struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = u.space,
                        .msg_controllen = sizeof u.space };
    ssize_t got;
    do
        got = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    *nfds_r = got >= 0 ? take_fds(&m, fds_r, max_fds) : 0;
    return got;
}
