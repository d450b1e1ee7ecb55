/* postern-drop: the only program of ours with a right of its own. It is set-gid of the group that
 * may write into the submission spool, and does one thing: standard input becomes a file there.
 *
 *   postern-drop DIRECTORY
 *
 * The caller may be anybody with any environment, descriptors and signals. The directory must be
 * one that was made for this (its group is ours, its mode the agreed one), the file belongs to the
 * caller, and its name is made here: nothing else can be reached with the group's right. */
#include "submit/drop.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
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

/* Of the directory that is open: who may rename what is above it changes nothing any more. */
static bool is_ours(int dir)
{
    struct stat st;
    bool set_gid = getegid() != getgid();
    return fstat(dir, &st) == 0 && S_ISDIR(st.st_mode) &&
           (!set_gid || (st.st_gid == getegid() && (st.st_mode & 07777) == DROP_DIRECTORY_MODE));
}

int main(int argc, char **argv)
{
    struct err err;
    int rc = EX_NOPERM;
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
    int dir = drop_open(argv[1], &err);
    if (dir >= 0 && !is_ours(dir))
        err_set(&err, "%s is no submission spool", argv[1]);
    else if (dir >= 0 && drop_into(dir, STDIN_FILENO, message_max, &err))
        return EX_OK;
    else if (dir >= 0)
        rc = EX_TEMPFAIL;
    fprintf(stderr, "postern-drop: %s\n", err.text);
    return rc;
}
