#include "role/confine.h"

#include "base/must.h"
#include "sys/privilege.h"
#include "submit/where.h"
#include "sys/sandbox.h"

#include <glob.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

enum { PATHS_MAX = 256, FILES_PER_SESSION = 2, FILES_SPARE = 512 };

static struct span user_name(enum role_id role, const struct config_privilege *p)
{
    const struct span of[ROLE_COUNT] = {
        [ROLE_SMTPD] = p->smtpd,       [ROLE_ROUTER] = p->router,   [ROLE_RESOLVER] = p->resolver,
        [ROLE_QMGR] = p->qmgr,         [ROLE_DELIVER] = p->deliver, [ROLE_KEYRING] = p->keyring,
        [ROLE_CONTROL] = p->control,   [ROLE_PICKUP] = p->pickup,
        [ROLE_WATCH] = p->watch,
    };
    return of[role].n ? of[role] : p->user;
}

bool confine_user(enum role_id role, const struct config *cfg, struct user *user_r,
                  struct err *err)
{
    struct span name = user_name(role, &cfg->privilege);
    if (!privilege_is_root()) {
        userdb_self(user_r);
        return true;
    }
    char *text = must_strndup(name.p, name.n);
    struct err why;
    bool ok = userdb_user(text, user_r, &why);
    if (!ok)
        err_set(err, "%s: make that user (useradd --system %s), or name another with "
                "privilege.user (confRUN_AS_USER in a .mc)", why.text, text);
    free(text);
    return ok;
}

struct paths {
    struct landlock_rule rules[PATHS_MAX];
    size_t n;
};

static void allow(struct paths *p, struct span path, unsigned may)
{
    if (path.n && p->n < PATHS_MAX)
        p->rules[p->n++] = (struct landlock_rule){ must_strndup(path.p, path.n), may };
}

static void allow_directory(struct paths *p, struct span path)
{
    size_t slash = span_rfind(path, '/');
    if (slash < path.n)
        allow(p, span_to(path, slash ? slash : 1), MAY_READ);
}

/* The directory of a file, and of the one it is a link to: files are replaced by renaming, so the
 * rule is not on the file. */
static void allow_file(struct paths *p, struct span path)
{
    char *name = must_strndup(path.p, path.n), *real = realpath(name, NULL);
    allow_directory(p, path);
    if (real && !span_eq(span_str(real), path))
        allow_directory(p, span_str(real));
    free(real);
    free(name);
}

static void allow_map(struct paths *p, struct span spec)
{
    allow_file(p, span_from(spec, span_find(spec, '/'))); /* "text:/x", "hash -o /x" */
}

/* A glob's fixed front: "/var/spool/postern/q*" gives "/var/spool/postern". */
static struct span fixed_part(struct span path)
{
    size_t star = span_find(path, '*'), mark = span_find(path, '?');
    if (star == path.n && mark == path.n)
        return path;
    struct span front = span_to(path, star < mark ? star : mark);
    return span_to(front, span_rfind(front, '/'));
}

/* A directory may be a link, to another disk: a rule on what the link stands in is none on it. */
static void allow_links(struct paths *p, struct span pattern, unsigned may)
{
    char *text = must_strndup(pattern.p, pattern.n);
    struct stat st;
    glob_t found;
    if (glob(text, GLOB_ONLYDIR, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc; i++)
            if (lstat(found.gl_pathv[i], &st) == 0 && S_ISLNK(st.st_mode))
                allow(p, span_str(found.gl_pathv[i]), may);
        globfree(&found);
    }
    free(text);
}

static void allow_spool(struct paths *p, const struct config *cfg)
{
    for (size_t i = 0; i < cfg->spool.directories.n; i++) {
        struct span pattern = cfg->spool.directories.v[i];
        allow(p, fixed_part(pattern), MAY_READ | MAY_WRITE);
        allow_links(p, pattern, MAY_READ | MAY_WRITE);
    }
}

static void allow_maps(struct paths *p, const struct config *cfg)
{
    const struct config_route *r = &cfg->route;
    const struct span maps[] = { r->mailertable,   r->access,      r->virtusertable,
                                 r->aliases,       r->smarttable,  r->genericstable,
                                 r->local_users,   cfg->relay.recipients };
    for (size_t i = 0; i < sizeof maps / sizeof *maps; i++)
        if (!span_starts(maps[i], SPAN("inline:")))
            allow_map(p, maps[i]);
    allow(p, SPAN("/etc"), MAY_READ); /* passwd, and tables that a reload names */
    /* An alias may name an :include: file anywhere; who may read it is the file's own matter. */
    if (r->aliases.n)
        allow(p, SPAN("/"), MAY_READ);
}

static void paths_of(struct paths *p, enum role_id role, const struct config *cfg)
{
    if (role == ROLE_QMGR)
        allow_spool(p, cfg);
    if (role == ROLE_PICKUP) {
        struct buf path;
        buf_init(&path, CONFIG_TEXT_MAX + 16);
        submit_put_directory(&path, cfg);
        allow(p, buf_span(&path), MAY_READ | MAY_WRITE);
        buf_free(&path);
        allow(p, SPAN("/etc"), MAY_READ); /* passwd is replaced by renaming */
    }
    if (role == ROLE_WATCH && span_starts(cfg->alarm.webhook, SPAN("https:"))) {
        allow(p, SPAN("/etc/ssl"), MAY_READ);
        allow(p, SPAN("/usr/share/ca-certificates"), MAY_READ);
        allow(p, SPAN("/usr/local/share/ca-certificates"), MAY_READ);
    }
    if (role == ROLE_WATCH) /* only how full they are: patterns are expanded */
        for (size_t i = 0; i < cfg->spool.directories.n; i++)
            allow(p, fixed_part(cfg->spool.directories.v[i]), MAY_READ);
    if (role == ROLE_ROUTER)
        allow_maps(p, cfg);
    if (role == ROLE_RESOLVER) {
        allow_file(p, cfg->dns.resolv_conf);
        allow_file(p, cfg->dns.trust_anchor);
    }
}

static void say(enum role_id role, struct events *events, const struct sandbox_report *r)
{
    if (!r->missing.len)
        return;
    event_begin(events, EVENT_sandbox);
    event_str(events, FIELD_role, span_str(role_name(role)));
    event_str(events, FIELD_text, buf_span(&r->missing));
    event_end(events);
}

bool confine(enum role_id role, const struct config *cfg, struct events *events, struct err *err)
{
    struct user user;
    struct paths paths = { .n = 0 };
    if (role == ROLE_LOCAL) /* becomes its recipient's user: local.c */
        return true;
    if (!confine_user(role, cfg, &user, err))
        return false;
    tzset(); /* the zone file is not to be found in an empty root */
    paths_of(&paths, role, cfg);
    char *empty_root = must_strndup(cfg->privilege.chroot.p, cfg->privilege.chroot.n);
    bool opens = role == ROLE_QMGR || role == ROLE_ROUTER || role == ROLE_RESOLVER ||
                 role == ROLE_PICKUP || role == ROLE_WATCH;
    struct sandbox_params params = {
        .user = &user,
        .empty_root = opens || !empty_root[0] ? NULL : empty_root,
        .paths = paths.rules,
        .path_count = paths.n,
        .files = (cfg->limits.connections + 2 * cfg->deliver.connections) * FILES_PER_SESSION +
                 FILES_SPARE,
        .off = !cfg->sandbox.seccomp && !cfg->sandbox.landlock,
        .no_seccomp = !cfg->sandbox.seccomp,
        .no_landlock = !cfg->sandbox.landlock,
    };
    struct sandbox_report report;
    sandbox_report_init(&report);
    bool ok = sandbox_apply(role_name(role), &params, &report, err);
    if (ok)
        say(role, events, &report);
    sandbox_report_free(&report);
    for (size_t i = 0; i < paths.n; i++)
        free((char *)paths.rules[i].path);
    free(empty_root);
    return ok;
}
