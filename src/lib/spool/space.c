/* Room on the disk, and the reserve that keeps some of it for outcomes. */
#include "base/must.h"
#include "spool/inside.h"

#include <errno.h>
#include <stdlib.h>

enum { ASK_EVERY_MS = 1000, ZEROS_BYTES = 64 * 1024 };

static char *reserve_path(const struct dir *d)
{
    struct buf b;
    buf_init(&b, 8192);
    MUST(buf_printf(&b, "%s/reserve", d->path));
    char *path = must_strndup(buf_cstr(&b), b.len);
    buf_free(&b);
    return path;
}

static int fill(struct vfs_file *f, uint64_t bytes)
{
    int r = vfs_reserve(f, 0, bytes);
    if (r != -EOPNOTSUPP)
        return r;
    char *zeros = must_alloc(ZEROS_BYTES);
    r = 0;
    for (uint64_t at = 0; at < bytes && r == 0; at += ZEROS_BYTES)
        r = vfs_pwrite(f, zeros, ZEROS_BYTES, at);
    free(zeros);
    return r;
}

void space_reserve(struct spool *s, struct dir *d)
{
    char *path = reserve_path(d);
    struct vfs_file *f;
    int r = vfs_open(s->vfs, path, VFS_WRITE | VFS_CREATE, &f);
    if (r == 0) {
        r = fill(f, s->config.reserve_bytes);
        vfs_close(&f);
        if (r < 0)
            vfs_unlink(s->vfs, path);
    }
    d->reserve_ready = r == 0;
    free(path);
}

bool space_release(struct spool *s)
{
    bool any = false;
    for (size_t i = 0; i < s->dir_count; i++) {
        struct dir *d = &s->dirs[i];
        if (!d->reserve_ready)
            continue;
        char *path = reserve_path(d);
        d->reserve_ready = false;
        if (vfs_unlink(s->vfs, path) == 0)
            any = true;
        free(path);
        spool_emit(s, (struct spool_event){ .kind = SPOOL_EVENT_RESERVE_USED,
                                            .directory = d->path });
    }
    return any;
}

static void ask(struct spool *s, struct dir *d)
{
    struct vfs_space have;
    if (vfs_space(s->vfs, d->path, &have) < 0)
        return;
    if (!d->reserve_ready && have.free_bytes >= s->config.reserve_bytes &&
        have.free_bytes - s->config.reserve_bytes >= s->config.free_min_bytes)
        space_reserve(s, d);
    d->low = !d->reserve_ready || have.free_bytes < s->config.free_min_bytes ||
             have.free_inodes < s->config.free_min_inodes;
}

void space_poll(struct spool *s)
{
    if (s->space_asked_ms && s->now_ms - s->space_asked_ms < ASK_EVERY_MS &&
        s->now_ms >= s->space_asked_ms)
        return;
    s->space_asked_ms = s->now_ms ? s->now_ms : 1;
    for (size_t i = 0; i < s->dir_count; i++)
        if (!s->dirs[i].out)
            ask(s, &s->dirs[i]);
}

enum spool_space spool_space(struct spool *s, int64_t now_ms)
{
    s->now_ms = now_ms;
    space_poll(s);
    bool any_low = false;
    for (size_t i = 0; i < s->dir_count; i++) {
        if (!s->dirs[i].low && !s->dirs[i].out)
            return SPOOL_SPACE_OK;
        any_low |= s->dirs[i].low;
    }
    return any_low ? SPOOL_SPACE_LOW : SPOOL_SPACE_OK;
}
