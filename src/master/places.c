/* The places on disk the roles need: spool directories that belong to qmgr's user, the admin
 * socket. Made once, before anybody starts. */
#include "base/must.h"
#include "master/inside.h"
#include "role/confine.h"
#include "sys/privilege.h"
#include "sys/userdb.h"

#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CONTROL_MODE = 0660 };

/* mkdir -p; what is there already is fine. */
bool places_make(const char *path, mode_t mode, struct err *err)
{
    char *part = must_strndup(path, strlen(path));
    bool ok = true;
    for (char *at = part + 1; ok; at++) {
        char was = *at;
        if (was != '/' && was != '\0')
            continue;
        *at = '\0';
        ok = mkdir(part, was ? 0755 : mode) == 0 || errno == EEXIST;
        if (!ok)
            err_errno(err, "%s", part);
        *at = was;
        if (!was)
            break;
    }
    free(part);
    return ok;
}

bool places_own(const char *path, const struct user *user, struct err *err)
{
    if (!privilege_is_root())
        return true;
    if (chown(path, user->uid, user->gid) == 0)
        return true;
    err_errno(err, "%s: giving it to %s", path, user->name);
    return false;
}

/* One that stood there before keeps its owner, unless it is root's own. */
static bool take_over(const char *dir, const struct user *user, struct err *err)
{
    struct stat st;
    if (stat(dir, &st) != 0) {
        err_errno(err, "%s", dir);
        return false;
    }
    return st.st_uid != 0 || places_own(dir, user, err);
}

static bool take_over_all(const glob_t *found, const struct user *user, struct err *err)
{
    for (size_t i = 0; i < found->gl_pathc; i++)
        if (!take_over(found->gl_pathv[i], user, err))
            return false;
    return true;
}

/* "q*" that matches nothing yet becomes "q1": a first start needs no preparation by hand. */
static bool spool_directory(struct span path, const struct user *user, struct err *err)
{
    char *pattern = must_strndup(path.p, path.n);
    glob_t found;
    bool ok;
    if (strchr(pattern, '*') && glob(pattern, GLOB_ONLYDIR, NULL, &found) == 0) {
        ok = take_over_all(&found, user, err);
        globfree(&found);
    } else {
        for (char *star; (star = strchr(pattern, '*'));)
            *star = '1';
        ok = places_make(pattern, 0700, err) && take_over(pattern, user, err);
    }
    free(pattern);
    return ok;
}

static bool control_socket(struct master *m, struct err *err)
{
    struct user user;
    char *path = must_strndup(m->config->control.socket.p, m->config->control.socket.n);
    char *dir = must_strndup(path, strlen(path));
    char *slash = strrchr(dir, '/');
    bool ok = true;
    if (slash && slash != dir) {
        *slash = '\0';
        ok = places_make(dir, 0755, err);
    }
    ok = ok && confine_user(ROLE_CONTROL, m->config, &user, err);
    struct err unused;
    int other = ok ? loop_connect_unix(m->loop, path, &unused) : -1;
    if (other >= 0) {
        loop_close(m->loop, other);
        err_set(err, "another gateway answers on %s: one configuration runs once", path);
        ok = false;
    }
    if (ok) {
        m->control_fd = loop_listen_unix(m->loop, path, CONTROL_MODE, err);
        ok = m->control_fd >= 0 && places_own(path, &user, err);
    }
    free(path);
    free(dir);
    return ok;
}

bool places_prepare(struct master *m, struct err *err)
{
    struct user user;
    if (!confine_user(ROLE_QMGR, m->config, &user, err))
        return false;
    for (size_t i = 0; i < m->config->spool.directories.n; i++)
        if (!spool_directory(m->config->spool.directories.v[i], &user, err))
            return false;
    return control_socket(m, err) && submission_prepare(m, err);
}
