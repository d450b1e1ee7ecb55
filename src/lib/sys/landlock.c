#include "sys/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The kernel's numbers (linux/landlock.h), here because the header of the system we are built on
 * may be older than the kernel we run on. */
enum {
    FS_EXECUTE = 1 << 0,
    FS_WRITE_FILE = 1 << 1,
    FS_READ_FILE = 1 << 2,
    FS_READ_DIR = 1 << 3,
    FS_REMOVE_DIR = 1 << 4,
    FS_REMOVE_FILE = 1 << 5,
    FS_MAKE_CHAR = 1 << 6,
    FS_MAKE_DIR = 1 << 7,
    FS_MAKE_REG = 1 << 8,
    FS_MAKE_SOCK = 1 << 9,
    FS_MAKE_FIFO = 1 << 10,
    FS_MAKE_BLOCK = 1 << 11,
    FS_MAKE_SYM = 1 << 12,
    FS_REFER = 1 << 13,     /* from ABI 2 */
    FS_TRUNCATE = 1 << 14,  /* from ABI 3 */
    FS_IOCTL_DEV = 1 << 15, /* from ABI 5 */
    FS_ABI1 = (1 << 13) - 1,
    NET_BIND_TCP = 1 << 0, /* from ABI 4 */
    NET_CONNECT_TCP = 1 << 1,
    SCOPE_ABSTRACT_UNIX = 1 << 0, /* from ABI 6 */
    SCOPE_SIGNAL = 1 << 1,
    CREATE_VERSION = 1 << 0,
    RULE_PATH_BENEATH = 1,
};

struct ruleset_attr {
    uint64_t handled_fs, handled_net, scoped;
};

struct path_beneath_attr {
    uint64_t allowed;
    int32_t fd;
} __attribute__((packed));

int landlock_abi(void)
{
    long v = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_VERSION);
    return v > 0 ? (int)v : 0;
}

static uint64_t handled_by(int abi)
{
    return FS_ABI1 | (abi >= 2 ? FS_REFER : 0) | (abi >= 3 ? FS_TRUNCATE : 0) |
           (abi >= 5 ? FS_IOCTL_DEV : 0);
}

static uint64_t allowed_by(unsigned may, bool directory, uint64_t handled)
{
    uint64_t bits = 0;
    if (may & MAY_READ)
        bits |= FS_READ_FILE | FS_READ_DIR;
    if (may & MAY_WRITE)
        bits |= FS_WRITE_FILE | FS_TRUNCATE | FS_REMOVE_DIR | FS_REMOVE_FILE | FS_MAKE_DIR |
                FS_MAKE_REG | FS_REFER;
    if (!directory) /* what only makes sense for a directory is refused for a file */
        bits &= FS_READ_FILE | FS_WRITE_FILE | FS_TRUNCATE;
    return bits & handled;
}

/* 1 added, 0 the path does not exist, -1 failed (errno). */
static int add_rule(int ruleset, const struct landlock_rule *rule, uint64_t handled)
{
    int fd = open(rule->path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR ? 0 : -1;
    struct stat st;
    int rc = fstat(fd, &st);
    if (rc == 0) {
        struct path_beneath_attr attr = {
            .allowed = allowed_by(rule->may, S_ISDIR(st.st_mode), handled),
            .fd = fd,
        };
        if (attr.allowed)
            rc = (int)syscall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &attr, 0);
    }
    int saved = errno;
    close(fd);
    errno = saved;
    return rc == 0 ? 1 : -1;
}

int landlock_prepare(const struct landlock_rule *rules, size_t n, bool tcp, struct err *missed,
                     struct err *why)
{
    int abi = landlock_abi();
    struct ruleset_attr attr = { .handled_fs = handled_by(abi) };
    size_t size = abi >= 6 ? 24 : abi >= 4 ? 16 : 8;
    missed->text[0] = 0;
    if (abi >= 4 && !tcp)
        attr.handled_net = NET_BIND_TCP | NET_CONNECT_TCP;
    if (abi >= 6)
        attr.scoped = SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL;
    if (abi == 0) {
        err_set(why, "the kernel has no Landlock");
        return -1;
    }
    int fd = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
    if (fd < 0) {
        err_errno(why, "Landlock");
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        int rc = add_rule(fd, &rules[i], attr.handled_fs);
        if (rc < 0) {
            err_errno(why, "Landlock: %s", rules[i].path);
            close(fd);
            return -1;
        }
        if (rc == 0)
            err_set(missed, "%.400s does not exist", rules[i].path);
    }
    return fd;
}

bool landlock_enforce(int fd, struct err *why)
{
    long rc = syscall(SYS_landlock_restrict_self, fd, 0);
    if (rc != 0)
        err_errno(why, "Landlock");
    close(fd);
    return rc == 0;
}
