/* What the two makers of loops share: the inside of struct loop. Only for files of this room. */
#ifndef POSTERN_LOOP_IMPL_H
#define POSTERN_LOOP_IMPL_H

#include "loop/loop.h"

/* What differs between the kernel and the simulator. */
struct loop_ops {
    void (*free)(struct loop *l);
    void (*clock)(const struct loop *l, int64_t *mono_ns_r, int64_t *wall_ms_r);
    int64_t (*cpu_ns)(void); /* NULL: none is used */
    void (*random)(struct loop *l, void *p, size_t n);
    /* Waits for descriptors (at most wait_ms; -1 = no limit) and calls their handlers. */
    void (*wait)(struct loop *l, int64_t wait_ms);
    void (*io_set)(struct loop *l, struct loop_io *io, bool added);
    void (*io_del)(struct loop *l, struct loop_io *io);
    int (*listen)(struct loop *l, const struct netaddr *at, int backlog, struct err *err);
    int (*accept)(struct loop *l, int fd, struct netaddr *peer_r);
    int (*connect)(struct loop *l, const struct netaddr *to, const struct netaddr *from);
    int (*connect_result)(struct loop *l, int fd);
    int (*pair)(struct loop *l, int fds_r[2]);
    bool (*local_addr)(struct loop *l, int fd, struct netaddr *addr_r);
    bool (*is_local)(struct loop *l, const struct netaddr *ip);
    ssize_t (*read)(struct loop *l, int fd, void *p, size_t n);
    ssize_t (*writev)(struct loop *l, int fd, const struct iovec *iov, int n);
    ssize_t (*write_fd)(struct loop *l, int fd, const void *p, size_t n, int passed);
    ssize_t (*read_fds)(struct loop *l, int fd, void *p, size_t n, int *fds_r, size_t max_fds,
                        size_t *nfds_r);
    void (*close)(struct loop *l, int fd);
};

struct loop {
    const struct loop_ops *ops;
    void *impl;
    int64_t mono_ns, wall_ms;
    struct heap timers;
    struct list hooks[LOOP_STAGES];
    bool stopping;
};

void loop_init(struct loop *l, const struct loop_ops *ops, void *impl);
void loop_update_clock(struct loop *l);

/* socket.c, for real.c */
int loop_real_listen(struct loop *l, const struct netaddr *at, int backlog, struct err *err);
int loop_real_accept(struct loop *l, int fd, struct netaddr *peer_r);
int loop_real_connect(struct loop *l, const struct netaddr *to, const struct netaddr *from);
int loop_real_connect_result(struct loop *l, int fd);
int loop_real_pair(struct loop *l, int fds_r[2]);
bool loop_real_local_addr(struct loop *l, int fd, struct netaddr *addr_r);
bool loop_real_is_local(struct loop *l, const struct netaddr *ip);
ssize_t loop_real_write_fd(struct loop *l, int fd, const void *p, size_t n, int passed);
ssize_t loop_real_read_fds(struct loop *l, int fd, void *p, size_t n, int *fds_r, size_t max_fds,
                           size_t *nfds_r);

#endif
