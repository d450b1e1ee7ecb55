/* Opening and closing. */
#include "spool/spool.h"

#include "base/list.h"
#include "base/must.h"
#include "spool/inside.h"

#include <errno.h>
#include <stdlib.h>

enum { LOAD_TRIES = 5 };

static void set_default(uint64_t *v, uint64_t to)
{
    if (!*v)
        *v = to;
}

static void set_config(struct spool *s, const struct spool_config *config)
{
    struct spool_config *c = &s->config;
    *c = *config;
    c->directories = NULL;
    set_default(&c->segment_size_bytes, 64 << 20);
    set_default(&c->inline_max_bytes, 128 << 10);
    set_default(&c->free_min_bytes, 64 << 20);
    set_default(&c->free_min_inodes, 100);
    set_default(&c->reserve_bytes, 8 << 20);
    set_default(&c->lease_step, 1 << 20);
    set_default(&c->stories_kept, 3);
    if (c->stories_kept > UINT8_MAX)
        c->stories_kept = UINT8_MAX;
    set_default(&c->ahead_bytes, 64 << 10);
    if (c->ahead_bytes > 64 << 10)
        c->ahead_bytes = 64 << 10;
    s->dir_count = config->directory_count;
    s->dirs = must_calloc(s->dir_count, sizeof *s->dirs);
    for (size_t i = 0; i < s->dir_count; i++)
        s->dirs[i].path = must_strndup(config->directories[i], strlen(config->directories[i]));
}

static struct spool *make(struct vfs *vfs, const struct spool_config *config,
                          const struct spool_calls *calls, int64_t now_ms)
{
    struct spool *s = NEW(struct spool);
    s->vfs = vfs;
    if (calls)
        s->calls = *calls;
    s->now_ms = now_ms;
    set_config(s, config);
    hash_init(&s->by_gen, config->salt, 0);
    hash_init(&s->txns, config->salt, 0);
    batch_init(&s->batch);
    batch_init(&s->spare);
    buf_init(&s->prologue, (size_t)1 << 40);
    s->lsn = 1;
    s->id_high = 1;
    return s;
}

static int lock_dir(struct spool *s, struct dir *d)
{
    struct buf b;
    buf_init(&b, 8192);
    MUST(buf_printf(&b, "%s/lock", d->path));
    int r = vfs_lock(s->vfs, buf_cstr(&b), &d->lock);
    buf_free(&b);
    return r;
}

static int lock_all(struct spool *s, struct err *err)
{
    for (size_t i = 0; i < s->dir_count && !s->config.read_only; i++) {
        struct dir *d = &s->dirs[i];
        int r = lock_dir(s, d);
        if (r == -EWOULDBLOCK) {
            err_set(err, "%s: in use by another process", d->path);
            return r;
        }
        if (r < 0) { /* recover() finds out what is wrong with it */
            errno = -r;
            err_errno(err, "%s/lock", d->path);
        }
    }
    return 0;
}

static void free_segments(struct spool *s)
{
    for (size_t i = 0; i < s->slot_count; i++) {
        if (s->slots[i])
            MUST(!s->slots[i]->refs);
        if (s->slots[i])
            seg_remove(s, s->slots[i]);
    }
    free(s->slots);
    hash_free(&s->by_gen);
}

void spool_close(struct spool **sp)
{
    struct spool *s = *sp;
    if (!s)
        return;
    compact_stop(s);
    batch_free(s, &s->batch);
    batch_free(s, &s->spare);
    for (struct hash_node *n = hash_next(&s->txns, NULL), *next; n; n = next) {
        next = hash_next(&s->txns, n);
        txn_free(s, CONTAINER(n, struct txn, node), false);
    }
    hash_free(&s->txns);
    seg_dying_close(s);
    free_segments(s);
    table_free(&s->table);
    for (size_t i = 0; i < s->dir_count; i++) {
        vfs_close(&s->dirs[i].lock);
        free(s->dirs[i].path);
    }
    free(s->dirs);
    buf_free(&s->prologue);
    free(s->iov);
    free(s->voids);
    free(s->due);
    free(s);
    *sp = NULL;
}

/* Beside a running daemon a segment may go between the listing and the reading: what was in it
 * has been moved to a new one, so everything is looked at again. The caller is told of a message
 * only when the listing held. */
static int open_once(struct vfs *vfs, const struct spool_config *config,
                     const struct spool_calls *calls, int64_t now_ms, struct spool **s_r,
                     struct err *err)
{
    struct spool *s = make(vfs, config, calls, now_ms);
    int r = lock_all(s, err);
    if (r == 0)
        r = recover(s, err);
    if (r < 0) {
        spool_close(&s);
        return r;
    }
    *s_r = s;
    return 0;
}

int spool_open(struct vfs *vfs, const struct spool_config *config, const struct spool_calls *calls,
               int64_t now_ms, struct spool **s_r, struct err *err)
{
    *s_r = NULL;
    err->text[0] = '\0';
    if (!config->directory_count || config->directory_count > SPOOL_DIRECTORIES_MAX) {
        err_set(err, "a spool needs 1 to %d directories", SPOOL_DIRECTORIES_MAX);
        return -1;
    }
    int r = -ENOENT;
    for (int i = 0; i < LOAD_TRIES && r == -ENOENT; i++) {
        r = open_once(vfs, config, calls, now_ms, s_r, err);
        if (!config->read_only)
            break;
    }
    if (r < 0) {
        if (!err->text[0])
            err_set(err, "%s: cannot be read", config->directories[0]);
        return -1;
    }
    struct spool *s = *s_r;
    s->id_next = s->id_high;
    if (config->read_only)
        return 0;
    for (size_t i = 0; i < s->dir_count; i++)
        if (!s->dirs[i].out)
            space_reserve(s, &s->dirs[i]);
    space_poll(s);
    return 0;
}

void spool_configure(struct spool *s, const struct spool_config *config)
{
    struct spool_config *c = &s->config;
    if (config->segment_size_bytes)
        c->segment_size_bytes = config->segment_size_bytes;
    if (config->free_min_bytes)
        c->free_min_bytes = config->free_min_bytes;
    if (config->reserve_bytes)
        c->reserve_bytes = config->reserve_bytes;
    if (config->stories_kept && config->stories_kept <= UINT8_MAX)
        c->stories_kept = config->stories_kept;
    if (config->inline_max_bytes > c->inline_max_bytes)
        c->inline_max_bytes = config->inline_max_bytes;
}

struct spool_stat spool_stat(const struct spool *s)
{
    struct spool_stat stat = s->stat;
    stat.memory_bytes = table_memory(&s->table);
    for (size_t i = 0; i < s->slot_count; i++)
        if (s->slots[i])
            stat.disk_bytes += s->slots[i]->end;
    return stat;
}
