#include "sys/proc.h"

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

bool proc_standard_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 &&
            open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDWR) != fd)
            return false;
    return true;
}

void proc_close_from(int lowest)
{
    if (close_range((unsigned)lowest, UINT_MAX, 0) == 0)
        return;
    struct rlimit lim; /* a kernel before 5.9 */
    int top = 1 << 20;
    if (getrlimit(RLIMIT_NOFILE, &lim) == 0 && lim.rlim_cur < (rlim_t)top)
        top = (int)lim.rlim_cur;
    for (int fd = lowest; fd < top; fd++)
        close(fd);
}

/* The kernel's struct sched_attr, the first 48 bytes: the C library has had it for a short time. */
struct turns {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime_ns, deadline_ns, period_ns;
};

void proc_short_turns(void)
{
    enum { TURN_NS = 500000 };
    struct turns t = { .size = sizeof t };
    if (syscall(SYS_sched_getattr, 0, &t, sizeof t, 0) != 0 || t.policy != SCHED_OTHER ||
        t.runtime_ns <= TURN_NS) /* 0: a kernel before 6.12 */
        return;
    t.runtime_ns = TURN_NS;
    syscall(SYS_sched_setattr, 0, &t, 0);
}
