#include "base/must.h"
#include "master/inside.h"
#include "role/confine.h"
#include "submit/drop.h"
#include "submit/where.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Everybody may connect: who it is says the kernel. */
enum { SUBMIT_MODE = 0666 };

static bool make_parent(const char *path, struct err *err)
{
    char *dir = must_strndup(path, strlen(path));
    char *slash = strrchr(dir, '/');
    bool ok = true;
    if (slash && slash != dir) {
        *slash = '\0';
        ok = places_make(dir, 0755, err);
    }
    free(dir);
    return ok;
}

/* pickup's, and for writing the group's that the set-gid helper gets. Without the group (nothing
 * is installed) it is for the gateway's own user and root. */
static bool directory(const char *path, const struct user *user, struct err *err)
{
    struct user owner = *user;
    struct err none;
    userdb_group(SUBMIT_GROUP, &owner.gid, &none);
    if (!places_make(path, 0700, err) || !places_own(path, &owner, err))
        return false;
    if (chmod(path, DROP_DIRECTORY_MODE) == 0)
        return true;
    err_errno(err, "%s", path);
    return false;
}

bool submission_prepare(struct master *m, struct err *err)
{
    struct user user;
    struct buf dir, path;
    if (!confine_user(ROLE_PICKUP, m->config, &user, err))
        return false;
    buf_init(&dir, CONFIG_TEXT_MAX + 16);
    buf_init(&path, CONFIG_TEXT_MAX + 16);
    submit_put_directory(&dir, m->config);
    submit_put_socket(&path, m->config);
    bool ok = directory(buf_cstr(&dir), &user, err) && make_parent(buf_cstr(&path), err);
    if (ok)
        m->submit_fd = loop_listen_unix(m->loop, buf_cstr(&path), SUBMIT_MODE, err);
    ok = ok && m->submit_fd >= 0;
    buf_free(&dir);
    buf_free(&path);
    return ok;
}
