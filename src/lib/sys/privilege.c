#include "sys/privilege.h"

#include "base/must.h"

#include <dirent.h>
#include <errno.h>
#include <grp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

bool privilege_is_root(void) { return geteuid() == 0; }

static bool is_now(uid_t uid, gid_t gid)
{
    uid_t ru, eu, su;
    gid_t rg, eg, sg, group;
    if (getresuid(&ru, &eu, &su) != 0 || getresgid(&rg, &eg, &sg) != 0)
        return false;
    if (ru != uid || eu != uid || su != uid || rg != gid || eg != gid || sg != gid)
        return false;
    int n = getgroups(1, &group);
    return n == 0 || (n == 1 && group == gid);
}

bool privilege_drop(uid_t uid, gid_t gid, struct err *why)
{
    if (!privilege_is_root())
        return true;
    if (uid == 0 || gid == 0) {
        err_set(why, "root cannot be the user or group a role runs as");
        return false;
    }
    /* The groups first: afterwards it is not allowed any more. */
    if (setgroups(1, &gid) != 0 || setresgid(gid, gid, gid) != 0 || setresuid(uid, uid, uid) != 0) {
        err_errno(why, "cannot become user %u, group %u", (unsigned)uid, (unsigned)gid);
        return false;
    }
    if (is_now(uid, gid) && setuid(0) != 0 && seteuid(0) != 0 && setgid(0) != 0 &&
        setegid(0) != 0 && is_now(uid, gid))
        return true;
    err_set(why, "user %u, group %u: the way back to root is still open", (unsigned)uid,
            (unsigned)gid);
    return false;
}

static bool is_empty(const char *dir)
{
    DIR *d = opendir(dir);
    bool empty = d != NULL;
    for (struct dirent *e; d && (e = readdir(d)) != NULL;)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            empty = false;
    if (d)
        closedir(d);
    return empty;
}

bool privilege_empty_root(const char *dir, struct err *why)
{
    struct stat st;
    MUST(privilege_is_root());
    if (lstat(dir, &st) != 0) {
        err_errno(why, "%s", dir);
        return false;
    }
    if (!S_ISDIR(st.st_mode) || st.st_uid != 0 || (st.st_mode & (S_IWGRP | S_IWOTH)) ||
        !is_empty(dir)) {
        err_set(why, "%s: must be an empty directory that only root may write", dir);
        return false;
    }
    if (chdir(dir) == 0 && chroot(".") == 0 && chdir("/") == 0)
        return true;
    err_errno(why, "%s: chroot", dir);
    return false;
}

bool privilege_no_new(struct err *why)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
        return true;
    err_errno(why, "no_new_privs");
    return false;
}

uint64_t privilege_files(uint64_t files)
{
    struct rlimit lim;
    if (getrlimit(RLIMIT_NOFILE, &lim) != 0)
        return 0;
    if (lim.rlim_cur >= files)
        return lim.rlim_cur;
    struct rlimit want = { files, lim.rlim_max > files ? lim.rlim_max : files };
    if (setrlimit(RLIMIT_NOFILE, &want) == 0)
        return files;
    want = (struct rlimit){ lim.rlim_max, lim.rlim_max };
    return setrlimit(RLIMIT_NOFILE, &want) == 0 ? want.rlim_cur : lim.rlim_cur;
}

void privilege_no_core(void)
{
    setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
}

void privilege_no_peeking(void)
{
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}
