/* Which files the submission spool has. inotify tells of new ones; a timer looks all the same. */
#include "pickup/inside.h"

#include "base/must.h"
#include "submit/where.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

static void on_notify(void *ctx, int ready)
{
    struct pickup *p = ctx;
    char events[8192]; /* that something is new is all that matters */
    (void)ready;
    while (read(p->notify, events, sizeof events) > 0)
        continue;
    p->more = true;
    pickup_work(p);
}

bool scan_open(struct pickup *p, struct err *err)
{
    struct buf path;
    buf_init(&path, CONFIG_TEXT_MAX);
    submit_put_directory(&path, p->config);
    const char *name = buf_cstr(&path);
    p->dir = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (p->dir < 0)
        err_errno(err, "%s", name);
    p->notify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (p->dir >= 0 && p->notify >= 0 && inotify_add_watch(p->notify, name, IN_MOVED_TO) >= 0)
        loop_io_add(p->env->loop, &p->notify_io, p->notify, LOOP_READ, on_notify, p);
    buf_free(&path);
    return p->dir >= 0;
}

void scan_close(struct pickup *p)
{
    loop_io_del(p->env->loop, &p->notify_io);
    if (p->notify >= 0)
        close(p->notify);
    if (p->dir >= 0)
        close(p->dir);
    p->notify = p->dir = -1;
}

static void say_bad(struct pickup *p, const char *name, const char *why)
{
    struct events *e = p->env->events;
    event_begin(e, EVENT_submission_bad);
    event_str(e, FIELD_path, span_str(name));
    event_str(e, FIELD_text, span_str(why));
    event_end(e);
    struct buf *b = log_begin(e, EVENT_ALARM);
    buf_putz(b, "submission spool: ");
    log_text(b, span_str(name), DROP_NAME_MAX * 2);
    buf_printf(b, " set aside: %s", why);
    log_end(e);
}

/* For a person to look at; never tried again. */
void scan_set_aside(struct pickup *p, const char *name, const char *why)
{
    char to[DROP_NAME_MAX + 8];
    snprintf(to, sizeof to, "bad-%s", name);
    say_bad(p, name, why);
    if (renameat(p->dir, name, p->dir, to) == 0 || errno == ENOENT)
        return;
    /* No file at all, but a link or a directory of somebody's who jokes. */
    if (unlinkat(p->dir, name, 0) != 0)
        unlinkat(p->dir, name, AT_REMOVEDIR);
}

/* Old as our own clock has it: what the directory says about other clocks is not asked. */
static void look_at_tmp(struct pickup *p, const char *name)
{
    struct stat st;
    int64_t now_s = loop_wall_ms(p->env->loop) / 1000;
    if (fstatat(p->dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        st.st_mtim.tv_sec + TMP_STALE_S < now_s)
        unlinkat(p->dir, name, 0);
}

static void add(struct pickup *p, const char *name)
{
    size_t n = strlen(name);
    if (n >= DROP_NAME_MAX - 8 || hash_get(&p->names, span_of(name, n)))
        return;
    struct mail *m = NEW(struct mail);
    m->p = p;
    m->fd = m->socket = -1;
    memcpy(m->name, name, n + 1);
    hash_add(&p->names, &m->by_name, span_str(m->name));
    list_append(&p->waiting, &m->node);
}

void scan_read(struct pickup *p)
{
    int fd = openat(p->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    size_t taken = 0;
    p->more = false;
    if (!dir) {
        if (fd >= 0)
            close(fd);
        return;
    }
    for (struct dirent *d; (d = readdir(dir));) {
        struct span name = span_str(d->d_name);
        if (span_starts(name, SPAN(DROP_TMP_PREFIX)))
            look_at_tmp(p, d->d_name);
        if (!span_starts(name, SPAN(DROP_PREFIX)))
            continue;
        if (taken++ == NAMES_MAX) {
            p->more = true;
            break;
        }
        add(p, d->d_name);
    }
    closedir(dir);
}
