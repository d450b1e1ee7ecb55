#include "sys/proc.h"

#include <limits.h>
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
