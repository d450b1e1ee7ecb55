#include "sys/sandbox.h"

#include "sys/privilege.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#ifdef __has_feature
#define HAS_FEATURE(x) __has_feature(x)
#else
#define HAS_FEATURE(x) 0
#endif

void sandbox_report_init(struct sandbox_report *r)
{
    *r = (struct sandbox_report){ 0 };
    buf_init(&r->missing, SANDBOX_REPORT_MAX);
}

void sandbox_report_free(struct sandbox_report *r) { buf_free(&r->missing); }

bool sandbox_sanitized(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || \
    HAS_FEATURE(address_sanitizer) || HAS_FEATURE(memory_sanitizer) || HAS_FEATURE(thread_sanitizer)
    return true;
#else
    return false;
#endif
}

static void missing(struct sandbox_report *r, const char *what)
{
    if (r->missing.len)
        buf_putz(&r->missing, "; ");
    buf_putz(&r->missing, what);
}

static void limits(const struct sandbox_params *p, struct sandbox_report *r)
{
    r->files = privilege_files(p->files);
    if (r->files < p->files) {
        struct err e;
        err_set(&e, "%llu descriptors are wanted, %llu allowed", (unsigned long long)p->files,
                (unsigned long long)r->files);
        missing(r, e.text);
    }
    privilege_no_core();
}

/* The rules are prepared while the paths can be seen, and put into force when all else is done. */
static int prepare_landlock(const struct callfilter_role *role, const struct sandbox_params *p,
                            struct sandbox_report *r)
{
    struct err missed, why;
    r->landlock_abi = landlock_abi();
    size_t n = role->opens ? p->path_count : 0;
    int fd = landlock_prepare(p->paths, n, role->network, &missed, &why);
    if (fd < 0)
        missing(r, why.text);
    else if (missed.text[0])
        missing(r, missed.text);
    return fd;
}

static bool change_user(const struct sandbox_params *p, bool lock, struct sandbox_report *r,
                        struct err *why)
{
    struct err e;
    if (!r->root) {
        if (p->user && p->user->uid != geteuid())
            missing(r, "not started as root: all roles run as the calling user");
        return true;
    }
    if (lock && p->empty_root) {
        r->empty_root = privilege_empty_root(p->empty_root, &e);
        if (!r->empty_root)
            missing(r, e.text);
    }
    if (!p->user) {
        missing(r, "no user is named for this role: it runs as root");
        return true;
    }
    r->dropped = privilege_drop(p->user->uid, p->user->gid, why);
    return r->dropped;
}

static void lock_up(const struct callfilter_role *role, const struct sandbox_params *p,
                    int landlock, struct sandbox_report *r)
{
    struct err e;
    r->no_new_privs = privilege_no_new(&e);
    if (!r->no_new_privs)
        missing(r, e.text);
    if (landlock >= 0) {
        r->landlock = landlock_enforce(landlock, &e);
        if (!r->landlock)
            missing(r, e.text);
    }
    if (p->no_landlock)
        missing(r, "Landlock is switched off by configuration");
    if (p->no_seccomp) {
        missing(r, "seccomp is switched off by configuration");
        return;
    }
    r->seccomp = callfilter_lock(role, p->deny, &e);
    if (!r->seccomp)
        missing(r, e.text);
}

/* master stays root and starts programs of others: no change of user, no Landlock. */
static void lock_up_master(const struct callfilter_role *role, const struct sandbox_params *p,
                           struct sandbox_report *r)
{
    struct err e;
    if (!r->root) {
        r->no_new_privs = privilege_no_new(&e);
        if (!r->no_new_privs)
            missing(r, e.text);
    }
    r->seccomp = callfilter_lock(role, p->deny, &e);
    if (!r->seccomp)
        missing(r, e.text);
}

bool sandbox_apply(const char *name, const struct sandbox_params *params,
                   struct sandbox_report *report, struct err *why)
{
    const struct callfilter_role *role = callfilter_role(name);
    bool master = strcmp(name, "master") == 0;
    bool lock = role && !params->off && !sandbox_sanitized();
    tzset(); /* reads the time zone's file now, or never */
    report->root = privilege_is_root();
    if (!role)
        missing(report, "the table of system calls does not know this role");
    else if (params->off)
        missing(report, "switched off by configuration");
    else if (!lock)
        missing(report, "a build with sanitizers cannot be locked up");
    limits(params, report);
    bool rules = lock && !master && !params->no_landlock;
    int landlock = rules ? prepare_landlock(role, params, report) : -1;
    if (!master && !change_user(params, lock, report, why)) {
        if (landlock >= 0)
            close(landlock);
        return false;
    }
    if (role && role->secret)
        privilege_no_peeking();
    if (lock && master)
        lock_up_master(role, params, report);
    else if (lock)
        lock_up(role, params, landlock, report);
    return true;
}
