#include "sys/callfilter.h"

#include "base/must.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    SET_BASE = 1 << 0,    /* memory, time, signals, a loop, open descriptors */
    SET_CHANNEL = 1 << 1, /* talk over sockets it was given */
    SET_ACCEPT = 1 << 2,  /* take connections on listeners it was given */
    SET_CONNECT = 1 << 3, /* make internet sockets and connect them */
    SET_READ = 1 << 4,    /* open files for reading */
    SET_WRITE = 1 << 5,   /* open, write, flush, rename and remove files */
    SET_PAIR = 1 << 7,    /* make connected pairs of sockets */
    SET_LOOK = 1 << 8,    /* whether a process is there (signal 0) */
    SET_ADDRESS = 1 << 9, /* whether an address is this host's own: UDP sockets, connected */
    SET_MASTER = 1 << 6,  /* all but what nobody needs: children and local deliveries inherit it */
};

/* The table. What a role is handed (descriptors) needs no right here. */
static const struct callfilter_role roles[] = {
    { "smtpd", SET_BASE | SET_CHANNEL | SET_ACCEPT, false, false, false },
    { "router", SET_BASE | SET_CHANNEL | SET_READ | SET_ADDRESS, true, false, false },
    { "resolver", SET_BASE | SET_CHANNEL | SET_CONNECT | SET_READ, true, true, false },
    { "qmgr", SET_BASE | SET_CHANNEL | SET_READ | SET_WRITE, true, false, false },
    { "deliver", SET_BASE | SET_CHANNEL | SET_CONNECT, false, true, false },
    { "keyring", SET_BASE | SET_CHANNEL, false, false, true },
    { "control", SET_BASE | SET_CHANNEL | SET_ACCEPT, false, false, false },
    { "pickup", SET_BASE | SET_CHANNEL | SET_ACCEPT | SET_PAIR | SET_READ | SET_WRITE, true, false,
      false },
    { "watch", SET_BASE | SET_CHANNEL | SET_CONNECT | SET_READ, true, true, false },
    { "local", SET_BASE | SET_CHANNEL | SET_READ | SET_WRITE | SET_LOOK, true, false, false },
    { "master", SET_MASTER, true, true, false },
};

static const char *const base_calls[] = {
    /* descriptors that are open */
    "read", "readv", "pread64", "preadv", "write", "writev", "close", "lseek", "fstat",
    "fcntl", "dup", "dup2", "dup3", "sendfile", "splice", "ioctl",
    /* memory (mmap and mprotect never executable: see add_guarded) */
    "munmap", "mremap", "madvise", "brk", "membarrier",
    /* time and waiting */
    "clock_gettime", "clock_getres", "gettimeofday", "time", "nanosleep", "clock_nanosleep",
    "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll",
    "select", "pselect6", "timerfd_create", "timerfd_settime", "timerfd_gettime", "eventfd2",
    "pipe2", "restart_syscall", "sched_yield",
    /* signals, to itself only where the call can say so */
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigpending", "rt_sigtimedwait",
    "sigaltstack", "signalfd4",
    /* itself */
    "getpid", "gettid", "getppid", "getuid", "geteuid", "getgid", "getegid", "getresuid",
    "getresgid", "getgroups", "getrusage", "times", "uname", "sysinfo", "getrlimit",
    "sched_getaffinity", "getcpu", "getrandom", "futex", "set_robust_list", "rseq",
    "exit", "exit_group", NULL,
};

static const char *const channel_calls[] = {
    "recvfrom", "recvmsg", "recvmmsg", "sendto", "sendmsg", "sendmmsg", "shutdown", "getsockopt",
    "setsockopt", "getsockname", "getpeername", NULL,
};

static const char *const accept_calls[] = { "accept", "accept4", NULL };

/* socket itself is guarded: internet families only. socketpair is libunbound's and libevent's. */
static const char *const connect_calls[] = { "connect", "bind", "socketpair", NULL };

static const char *const address_calls[] = { "connect", NULL };

static const char *const pair_calls[] = { "socketpair", NULL };

/* open and openat are guarded: without a right to write. */
static const char *const read_calls[] = {
    "stat", "lstat", "newfstatat", "statx", "access", "faccessat", "faccessat2", "readlink",
    "readlinkat", "getdents64", "fstatfs", "statfs", "fadvise64", "readahead", "getcwd",
    "memfd_create", "inotify_init1", "inotify_add_watch", "inotify_rm_watch", NULL,
};

static const char *const write_calls[] = {
    "open", "openat", "pwrite64", "pwritev", "pwritev2", "fsync", "fdatasync", "sync_file_range",
    "syncfs", "ftruncate", "truncate", "fallocate", "rename", "renameat", "renameat2", "unlink",
    "unlinkat", "mkdir", "mkdirat", "rmdir", "link", "linkat", "flock", "copy_file_range",
    "utimensat", "umask", "fchmod", NULL,
};

/* Nobody in this house, its children included, has business with these. */
static const char *const never_calls[] = {
    "ptrace", "process_vm_readv", "process_vm_writev", "kexec_load", "kexec_file_load",
    "init_module", "finit_module", "delete_module", "bpf", "perf_event_open", "userfaultfd",
    "reboot", "swapon", "swapoff", "mount", "umount2", "move_mount", "open_tree", "fsopen",
    "fsmount", "pivot_root", "acct", "add_key", "keyctl", "request_key", "settimeofday",
    "clock_settime", "adjtimex", "clock_adjtime", "iopl", "ioperm", "quotactl", "lookup_dcookie",
    "nfsservctl", "personality", "sethostname", "setdomainname", "vhangup", "unshare", "setns",
    NULL,
};

const struct callfilter_role *callfilter_role(const char *name)
{
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        if (strcmp(roles[i].name, name) == 0)
            return &roles[i];
    return NULL;
}

/* A name this architecture (or an older library) does not have is no right that is missing. */
static int add_all(scmp_filter_ctx ctx, uint32_t action, const char *const *names)
{
    for (; *names; names++) {
        int nr = seccomp_syscall_resolve_name(*names);
        if (nr == __NR_SCMP_ERROR)
            continue;
        int rc = seccomp_rule_add(ctx, action, nr, 0);
        if (rc < 0 && rc != -EDOM)
            return rc;
    }
    return 0;
}

static int add_one(scmp_filter_ctx ctx, const char *name, struct scmp_arg_cmp cmp)
{
    int nr = seccomp_syscall_resolve_name(name);
    int rc = nr == __NR_SCMP_ERROR ? 0 : seccomp_rule_add(ctx, SCMP_ACT_ALLOW, nr, 1, cmp);
    return rc == -EDOM ? 0 : rc;
}

static int add_udp(scmp_filter_ctx ctx, int family)
{
    enum { TYPE_MASK = 0xf }; /* the rest are flags */
    int rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2,
                              SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)family),
                              SCMP_A1(SCMP_CMP_MASKED_EQ, TYPE_MASK, SOCK_DGRAM));
    return rc == -EDOM ? 0 : rc;
}

/* For every role: memory is written or run, never newly made runnable; a signal (abort) goes to
 * this process; prctl renames it; limits are read; newfstatat is how the C library calls fstat. */
static int add_guarded(scmp_filter_ctx ctx, unsigned sets)
{
    int self = (int)getpid(), rc = 0;
    rc = rc ? rc : add_one(ctx, "mmap", SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    rc = rc ? rc : add_one(ctx, "mprotect", SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    rc = rc ? rc : add_one(ctx, "tgkill", SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)self));
    rc = rc ? rc : add_one(ctx, "kill", SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)self));
    rc = rc ? rc : add_one(ctx, "prctl", SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME));
    rc = rc ? rc : add_one(ctx, "prlimit64", SCMP_A2(SCMP_CMP_EQ, 0));
    if (!(sets & SET_READ))
        rc = rc ? rc : add_one(ctx, "newfstatat",
                               SCMP_A3(SCMP_CMP_MASKED_EQ, AT_EMPTY_PATH, AT_EMPTY_PATH));
    if (sets & SET_LOOK)
        rc = rc ? rc : add_one(ctx, "kill", SCMP_A1(SCMP_CMP_EQ, 0));
    if (sets & SET_CONNECT) {
        rc = rc ? rc : add_one(ctx, "socket", SCMP_A0(SCMP_CMP_EQ, AF_INET));
        rc = rc ? rc : add_one(ctx, "socket", SCMP_A0(SCMP_CMP_EQ, AF_INET6));
    }
    if (sets & SET_ADDRESS) {
        rc = rc ? rc : add_udp(ctx, AF_INET);
        rc = rc ? rc : add_udp(ctx, AF_INET6);
    }
    if ((sets & SET_READ) && !(sets & SET_WRITE)) {
        scmp_datum_t writing = O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | O_APPEND;
        rc = rc ? rc : add_one(ctx, "open", SCMP_A1(SCMP_CMP_MASKED_EQ, writing, 0));
        rc = rc ? rc : add_one(ctx, "openat", SCMP_A2(SCMP_CMP_MASKED_EQ, writing, 0));
    }
    return rc;
}

static int add_sets(scmp_filter_ctx ctx, unsigned sets)
{
    static const struct {
        unsigned set;
        const char *const *names;
    } table[] = {
        { SET_BASE, base_calls },     { SET_CHANNEL, channel_calls },
        { SET_ACCEPT, accept_calls }, { SET_CONNECT, connect_calls },
        { SET_READ, read_calls },     { SET_WRITE, write_calls },
        { SET_PAIR, pair_calls },     { SET_ADDRESS, address_calls },
    };
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof table / sizeof *table; i++)
        if (sets & table[i].set)
            rc = add_all(ctx, SCMP_ACT_ALLOW, table[i].names);
    return rc ? rc : add_guarded(ctx, sets);
}

static uint32_t action_of(enum callfilter_deny deny)
{
    return deny == CALLFILTER_KILL  ? SCMP_ACT_KILL_PROCESS
           : deny == CALLFILTER_LOG ? SCMP_ACT_LOG
                                      : SCMP_ACT_ERRNO(EPERM);
}

bool callfilter_lock(const struct callfilter_role *role, enum callfilter_deny deny, struct err *why)
{
    bool master = role->sets & SET_MASTER;
    uint32_t denied = action_of(deny);
    scmp_filter_ctx ctx = seccomp_init(master ? SCMP_ACT_ALLOW : denied);
    if (!ctx) {
        err_set(why, "seccomp: the library cannot start");
        return false;
    }
    /* no_new_privs is our caller's decision: master as root must not set it, since local
     * deliveries may run programs that are set-gid by their owner's will. */
    int rc = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_NNP, 0);
    if (rc == 0)
        seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a tree; old libraries have none */
    if (rc == 0)
        rc = master ? add_all(ctx, denied, never_calls) : add_sets(ctx, role->sets);
    if (rc == 0)
        rc = seccomp_load(ctx);
    seccomp_release(ctx);
    if (rc == 0)
        return true;
    errno = -rc;
    err_errno(why, "seccomp");
    return false;
}
