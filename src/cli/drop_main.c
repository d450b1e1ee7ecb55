/* postern-drop: the only program of ours with a right of its own. It is set-gid of the group that
 * may write into the submission spool, and does one thing: standard input becomes a file there.
 *
 *   postern-drop DIRECTORY
 *
 * The caller may be anybody with any environment, descriptors and signals. The directory must be
 * one that was made for this (its group is ours, its mode the agreed one), the file belongs to the
 * caller, and its name is made here: nothing else can be reached with the group's right. */
#include "submit/drop.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

/* A message larger than any gateway takes only fills the disk. */
static const uint64_t message_max = UINT64_C(4) << 30;

/* 0, 1 and 2 must be something, or the file would become one of them. */
static bool standard_descriptors(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
    return fd > STDERR_FILENO;
}

static bool is_ours(const char *directory)
{
    struct stat st;
    if (lstat(directory, &st) != 0) {
        fprintf(stderr, "postern-drop: %s: %s\n", directory, strerror(errno));
        return false;
    }
    bool set_gid = getegid() != getgid();
    if (!S_ISDIR(st.st_mode) || (set_gid && (st.st_gid != getegid() ||
                                             (st.st_mode & 07777) != DROP_DIRECTORY_MODE))) {
        fprintf(stderr, "postern-drop: %s is no submission spool\n", directory);
        return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    struct err err;
    if (!standard_descriptors())
        return EX_OSERR;
    if (argc != 2 || argv[1][0] != '/') {
        fputs("usage: postern-drop DIRECTORY (sendmail calls it)\n", stderr);
        return EX_USAGE;
    }
    signal(SIGHUP, SIG_IGN); /* what ends the terminal does not end the mail */
    signal(SIGINT, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    umask(0);
    if (!is_ours(argv[1]))
        return EX_NOPERM;
    if (drop_message(argv[1], STDIN_FILENO, message_max, &err))
        return EX_OK;
    fprintf(stderr, "postern-drop: %s\n", err.text);
    return EX_TEMPFAIL;
}
