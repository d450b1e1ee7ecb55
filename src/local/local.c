/* local: one delivery on this host, then the process ends. master has forked it for one user; it
 * becomes that user before it reads a byte of the message. It sees neither the spool nor the
 * network. */
#include "local/inside.h"

#include "base/must.h"
#include "sys/privilege.h"
#include "sys/sandbox.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { ARENA_MAX = 1 << 20 };

void local_refuse(struct local *l, unsigned code, const char *enhanced, const char *fmt, ...)
{
    va_list ap;
    if (l->code)
        return;
    va_start(ap, fmt);
    vsnprintf(l->text, sizeof l->text, fmt, ap);
    va_end(ap);
    snprintf(l->enhanced, sizeof l->enhanced, "%s", enhanced);
    l->code = code;
}

void local_over(struct local *l) { l->env->done(l->env); }

/* --- whose --- */

static bool find_user(struct local *l, struct span name)
{
    struct err e;
    char *text = must_strndup(name.p, name.n);
    int found = userdb_find(text, &l->user, &e);
    free(text);
    if (found < 0)
        local_refuse(l, 451, "4.3.0", "%s", e.text);
    else if (found == 0 && l->job.kind == LOCAL_MAILBOX)
        local_refuse(l, 550, "5.1.1", "<%.*s>... User unknown", SPAN_ARG(name));
    else if (found == 0)
        local_refuse(l, 451, "4.3.5", "%s: see local.program_user and privilege", e.text);
    return found > 0;
}

static struct span wanted_user(const struct local *l)
{
    const struct config_privilege *p = &l->config->privilege;
    switch (l->job.kind) {
    case LOCAL_MAILBOX: return l->job.user;
    case LOCAL_SOCKET: return p->deliver.n ? p->deliver : p->user;
    default: return l->config->local.program_user;
    }
}

/* Root's mail belongs into somebody's mailbox. It waits for the alias: on a new gateway it would
 * bounce to its sender, who is root as often as not. */
static bool instead_of_root(struct local *l)
{
    struct span other = l->config->local.root_user;
    if (l->user.uid != 0)
        return true;
    if (l->job.kind != LOCAL_MAILBOX) {
        local_refuse(l, 451, "4.3.5", "nothing is run as root: see local.program_user");
        return false;
    }
    if (other.n && find_user(l, other) && l->user.uid != 0)
        return true;
    local_refuse(l, 451, "4.3.5", "nothing is delivered as root: set local.root_user for "
                 "this mail, or an alias of %.*s for what comes", SPAN_ARG(l->job.user));
    return false;
}

/* Started by another user than root we can be nobody else. */
static bool choose_user(struct local *l)
{
    struct user self;
    if (privilege_is_root())
        return find_user(l, wanted_user(l)) && instead_of_root(l);
    userdb_self(&self);
    if (l->job.kind != LOCAL_MAILBOX) {
        l->user = self;
        return true;
    }
    if (!find_user(l, l->job.user))
        return false;
    if (l->user.uid == self.uid)
        return true;
    local_refuse(l, 451, "4.3.0", "this gateway runs as %s and cannot deliver for %.*s: start it "
                 "as root", self.name, SPAN_ARG(l->job.user));
    return false;
}

/* --- where to --- */

static bool programs_allowed(struct local *l)
{
    if (l->config->local.programs)
        return true;
    local_refuse(l, 550, "5.7.0", "programs and files of aliases are not in use here: see "
                 "local.programs");
    return false;
}

static bool choose_how(struct local *l)
{
    struct err e;
    switch (l->job.kind) {
    case LOCAL_PROGRAM:
        l->how = (struct delivery){ DELIVERY_PROGRAM, l->job.target };
        return programs_allowed(l);
    case LOCAL_FILE:
        l->how = (struct delivery){ DELIVERY_MBOX, l->job.target };
        return programs_allowed(l);
    case LOCAL_SOCKET:
        l->path = l->job.target;
        return true;
    default:
        break;
    }
    if (delivery_parse(l->config->route.local_delivery, &l->how, &e) &&
        l->how.kind != DELIVERY_LMTP)
        return true;
    local_refuse(l, 451, "4.3.5", "route.local_delivery: it is not for this process");
    return false;
}

static bool fill_path(struct local *l)
{
    struct delivery_names n = { span_str(l->user.name), l->job.detail, span_str(l->user.home),
                                SPAN_NONE };
    struct err e = { "" };
    struct buf b;
    bool ok = true;
    if (l->how.kind == DELIVERY_PROGRAM || l->job.kind == LOCAL_SOCKET)
        return true;
    buf_init(&b, DELIVERY_PATH_MAX);
    if (l->job.kind == LOCAL_FILE) /* as it is: percent signs mean nothing in aliases */
        ok = buf_puts(&b, l->how.rest) && l->how.rest.n && l->how.rest.p[0] == '/';
    else
        ok = delivery_path(&b, l->how.rest, &n, &e);
    while (b.len > 1 && buf_span(&b).p[b.len - 1] == '/')
        buf_cut(&b, b.len - 1);
    l->path = arena_dup(l->arena, buf_span(&b));
    buf_free(&b);
    if (!ok)
        local_refuse(l, 550, "5.1.3", "%s", e.text[0] ? e.text : "this file cannot be written to");
    return ok;
}

/* /var/mail and its like belong to a group that may make files there. In a directory of the
 * user's own there is no need of it. */
static void choose_group(struct local *l)
{
    struct span group = l->config->local.group;
    struct err e;
    struct stat st;
    gid_t gid;
    size_t slash = l->path.n ? span_rfind(l->path, '/') : 0;
    if (l->how.kind != DELIVERY_MBOX || l->job.kind != LOCAL_MAILBOX || !group.n ||
        !privilege_is_root())
        return;
    char *dir = must_strndup(l->path.p, slash ? slash : 1);
    char *name = must_strndup(group.p, group.n);
    if (stat(dir, &st) == 0 && st.st_uid != l->user.uid && userdb_group(name, &gid, &e) &&
        gid != 0 && st.st_gid == gid)
        l->user.gid = gid;
    free(dir);
    free(name);
}

/* --- becoming it --- */

static bool is_link(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 && S_ISLNK(st.st_mode);
}

/* What programs do is theirs: only the user changes for them. Others reach the directory of
 * their mailbox and nothing else. */
static bool enclose(struct local *l)
{
    const struct config_sandbox *s = &l->config->sandbox;
    size_t slash = l->path.n ? span_rfind(l->path, '/') : 0;
    char *dir = must_strndup(l->path.n ? l->path.p : "/", slash ? slash : 1);
    char *box = must_strndup(l->path.p, l->path.n);
    /* A Maildir may be a link to another place. */
    struct landlock_rule near[] = { { dir, MAY_READ | MAY_WRITE }, { box, MAY_READ | MAY_WRITE } };
    bool linked = l->how.kind == DELIVERY_MAILDIR && is_link(box);
    /* Landlock's first version lets nobody link from one directory into another. */
    bool no_links = l->how.kind == DELIVERY_MAILDIR && landlock_abi() == 1;
    struct sandbox_report report;
    struct err e = { "" };
    struct sandbox_params p = { .user = &l->user,
                                .paths = near,
                                .path_count = !l->path.n ? 0 : linked ? 2 : 1,
                                .no_seccomp = !s->seccomp,
                                .no_landlock = !s->landlock,
                                .off = l->how.kind == DELIVERY_PROGRAM ||
                                       l->job.kind == LOCAL_SOCKET || no_links ||
                                       (!s->seccomp && !s->landlock) };
    sandbox_report_init(&report);
    bool ok = sandbox_apply("local", &p, &report, &e);
    sandbox_report_free(&report);
    free(dir);
    free(box);
    if (!ok)
        local_refuse(l, 451, "4.3.0", "%s", e.text);
    return ok;
}

/* As the user of deliver, and then as locked up as it is. */
static void connect_socket(struct local *l)
{
    struct err e = { "" };
    char *path = must_strndup(l->path.p, l->path.n);
    l->socket = loop_connect_unix(l->env->loop, path, &e);
    if (l->socket < 0)
        local_refuse(l, 421, "4.4.1", "%s", e.text);
    else if (!sandbox_sanitized() && l->config->sandbox.seccomp && privilege_no_new(&e))
        callfilter_lock(callfilter_role("local"), CALLFILTER_ERRNO, &e);
    free(path);
}

static bool local_start(void *role, struct err *err)
{
    struct local *l = role;
    (void)err;
    if (l->fd < 0)
        return false;
    bool ok = choose_how(l) && choose_user(l) && fill_path(l);
    if (ok)
        choose_group(l);
    ok = ok && enclose(l);
    MUST(ok || l->code); /* refused: nothing that anybody says is read any more */
    if (ok && l->job.kind == LOCAL_SOCKET)
        connect_socket(l);
    if (l->job.kind == LOCAL_SOCKET && !l->code)
        pump_begin(l);
    else
        lmtp_begin(l);
    return true;
}

/* --- the role --- */

static void *local_make(struct role_env *env, struct config *config, struct err *err)
{
    struct local *l = NEW(struct local);
    (void)err;
    l->env = env;
    l->config = config;
    l->fd = l->socket = -1;
    l->arena = arena_new(ARENA_MAX);
    return l;
}

static struct span kept(struct local *l, struct span s)
{
    struct span copy = arena_dup(l->arena, s);
    MUST(copy.p);
    return copy;
}

static void local_job(void *role, const struct msg_local_job *m, int fd)
{
    struct local *l = role;
    if (l->fd >= 0)
        close(l->fd);
    l->fd = fd;
    l->job = (struct msg_local_job){ .kind = m->kind,
                                     .user = kept(l, m->user),
                                     .detail = kept(l, m->detail),
                                     .target = kept(l, m->target),
                                     .rcpt = kept(l, m->rcpt),
                                     .original = kept(l, m->original) };
}

/* It goes on: its message is on its way to stable storage, and its clock is local.timeout. */
static void local_finish(void *role, int64_t within_ms)
{
    (void)role;
    (void)within_ms;
}

static void local_free(void *role)
{
    struct local *l = role;
    lmtp_free(l);
    pump_free(l);
    loop_io_del(l->env->loop, &l->io);
    if (l->fd >= 0)
        close(l->fd);
    arena_free(&l->arena);
    config_free(&l->config);
    free(l);
}

const struct role_ops local_role = {
    .make = local_make,
    .local_job = local_job,
    .start = local_start,
    .finish = local_finish,
    .free = local_free,
};
