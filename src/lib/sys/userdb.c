#include "sys/userdb.h"

#include "base/must.h"
#include "base/num.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ENTRY_BYTES_MAX = 1 << 20 };

/* -1, the highest number, means "unchanged" to the system calls. */
static bool is_number(const char *name, uint32_t *id_r)
{
    uint64_t v;
    if (!num_upto(span_str(name), UINT32_MAX - 1, &v))
        return false;
    *id_r = (uint32_t)v;
    return true;
}

static bool copy(char *to, size_t size, const char *from)
{
    size_t n = from ? strlen(from) : 0;
    if (n >= size)
        return false;
    if (n)
        memcpy(to, from, n);
    to[n] = 0;
    return true;
}

static int lookup_user(const char *name, uid_t uid, struct passwd *pw, char *text)
{
    struct passwd *found = NULL;
    int rc = name ? getpwnam_r(name, pw, text, ENTRY_BYTES_MAX, &found)
                  : getpwuid_r(uid, pw, text, ENTRY_BYTES_MAX, &found);
    return found ? 1 : rc == 0 || rc == ENOENT || rc == ESRCH ? 0 : -rc;
}

static bool fill(struct user *u, const struct passwd *pw)
{
    u->uid = pw->pw_uid;
    u->gid = pw->pw_gid;
    return copy(u->name, sizeof u->name, pw->pw_name) && copy(u->home, sizeof u->home, pw->pw_dir);
}

int userdb_find(const char *name, struct user *user_r, struct err *why)
{
    char *text = must_alloc(ENTRY_BYTES_MAX);
    struct passwd pw;
    uint32_t id = 0;
    bool number = is_number(name, &id);
    int found = 1;
    *user_r = (struct user){ .uid = id, .gid = id };
    int got = lookup_user(number ? NULL : name, id, &pw, text);
    if (got < 0) {
        errno = -got;
        err_errno(why, "user %s", name);
        found = -1;
    } else if (got == 0 && !number) {
        err_set(why, "user %s: there is none of this name", name);
        found = 0;
    } else if (got == 1 && !fill(user_r, &pw)) {
        err_set(why, "user %s: name or home directory is too long", name);
        found = -1;
    }
    free(text);
    return found;
}

bool userdb_user(const char *name, struct user *user_r, struct err *why)
{
    return userdb_find(name, user_r, why) > 0;
}

bool userdb_group(const char *name, gid_t *gid_r, struct err *why)
{
    uint32_t id;
    if (is_number(name, &id)) {
        *gid_r = id;
        return true;
    }
    char *text = must_alloc(ENTRY_BYTES_MAX);
    struct group gr, *found = NULL;
    int rc = getgrnam_r(name, &gr, text, ENTRY_BYTES_MAX, &found);
    if (found) {
        *gid_r = gr.gr_gid;
    } else if (rc == 0 || rc == ENOENT || rc == ESRCH) {
        err_set(why, "group %s: there is none of this name", name);
    } else {
        errno = rc;
        err_errno(why, "group %s", name);
    }
    free(text);
    return found != NULL;
}

void userdb_self(struct user *user_r)
{
    char *text = must_alloc(ENTRY_BYTES_MAX);
    struct passwd pw;
    *user_r = (struct user){ .uid = geteuid(), .gid = getegid() };
    if (lookup_user(NULL, geteuid(), &pw, text) == 1 && !fill(user_r, &pw))
        user_r->name[0] = user_r->home[0] = 0;
    user_r->uid = geteuid();
    user_r->gid = getegid();
    free(text);
}
