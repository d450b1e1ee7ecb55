/* What a user is called. The process is closed in when it asks, so it is the file that is read,
 * never NSS: users of a directory service have a number for a name. */
#include "pickup/inside.h"

#include "base/must.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { USERS_MAX = 1 << 20 };
static const char users_file[] = "/etc/passwd";

struct entry {
    uid_t uid;
    char name[LOCAL_USER_MAX + 1];
};

struct users {
    struct stat seen;
    struct entry *v;
    size_t n, room;
    char number[32];
};

struct users *users_new(void) { return NEW(struct users); }

void users_free(struct users **u)
{
    if (*u)
        free((*u)->v);
    free(*u);
    *u = NULL;
}

static void add(struct users *u, const struct passwd *pw)
{
    size_t n = strlen(pw->pw_name);
    if (n == 0 || n > LOCAL_USER_MAX || u->n == USERS_MAX)
        return;
    if (u->n == u->room) {
        u->room = u->room ? 2 * u->room : 64;
        u->v = must_realloc(u->v, must_mul(u->room, sizeof *u->v));
    }
    struct entry *e = &u->v[u->n++];
    e->uid = pw->pw_uid;
    memcpy(e->name, pw->pw_name, n + 1);
}

static void reread(struct users *u)
{
    struct stat now;
    if (stat(users_file, &now) != 0)
        return;
    if (u->n && now.st_mtim.tv_sec == u->seen.st_mtim.tv_sec &&
        now.st_mtim.tv_nsec == u->seen.st_mtim.tv_nsec && now.st_ino == u->seen.st_ino)
        return;
    FILE *f = fopen(users_file, "re");
    if (!f)
        return;
    u->n = 0;
    u->seen = now;
    for (struct passwd *pw; (pw = fgetpwent(f));)
        add(u, pw);
    fclose(f);
}

struct span users_name(struct users *u, uid_t uid)
{
    reread(u);
    for (size_t i = 0; i < u->n; i++) /* the first one counts, as for getpwuid */
        if (u->v[i].uid == uid)
            return span_str(u->v[i].name);
    snprintf(u->number, sizeof u->number, "uid%lu", (unsigned long)uid);
    return span_str(u->number);
}
