#include "sys/proc.h"

#include "base/num.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

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

void proc_title_init(struct proc_title *t, int argc, char **argv)
{
    *t = (struct proc_title){ .start = argv[0] };
    char *end = argv[0];
    for (int i = 0; i < argc && argv[i] == end; i++) /* the strings stand one behind the other */
        end += strlen(argv[i]) + 1;
    t->room = (size_t)(end - argv[0]);
}

void proc_title_set(struct proc_title *t, const char *name, const char *title)
{
    prctl(PR_SET_NAME, name, 0, 0, 0);
    if (t->room == 0)
        return;
    size_t n = strlen(title);
    if (n > t->room - 1)
        n = t->room - 1;
    memcpy(t->start, title, n);
    memset(t->start + n, 0, t->room - n);
}

static pid_t read_pid(int fd)
{
    char text[32];
    uint64_t pid;
    ssize_t n = pread(fd, text, sizeof text, 0);
    if (n <= 0 || !num_upto(span_trim_lines(span_of(text, (size_t)n)), INT_MAX, &pid))
        return 0;
    return (pid_t)pid;
}

static bool write_pid(int fd)
{
    char text[32];
    int n = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    return ftruncate(fd, 0) == 0 && pwrite(fd, text, (size_t)n, 0) == n;
}

int proc_lock(const char *path, pid_t *holder_r, struct err *why)
{
    *holder_r = 0;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0) {
        err_errno(why, "%s", path);
        return -1;
    }
    struct flock whole = { .l_type = F_WRLCK };
    if (fcntl(fd, F_OFD_SETLK, &whole) != 0) {
        if (errno == EAGAIN || errno == EACCES) {
            *holder_r = read_pid(fd);
            err_set(why, "%s: held by process %ld", path, (long)*holder_r);
        } else {
            err_errno(why, "%s", path);
        }
        goto err0;
    }
    if (!write_pid(fd)) {
        err_errno(why, "%s", path);
        goto err0;
    }
    return fd;
err0:
    close(fd);
    return -1;
}

pid_t proc_lock_holder(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT ? 0 : -1;
    pid_t pid = 0;
    struct flock whole = { .l_type = F_WRLCK }; /* only asks: nobody's own lock fails by it */
    if (fcntl(fd, F_OFD_GETLK, &whole) != 0)
        pid = -1;
    else if (whole.l_type != F_UNLCK && (pid = read_pid(fd)) == 0)
        pid = -1; /* somebody holds it, but who? */
    close(fd);
    return pid;
}
