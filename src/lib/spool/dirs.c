#include "spool/dirs.h"

#include "base/buf.h"
#include "base/must.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_MAX_BYTES = 8192 };

struct search {
    struct spool_dirs *dirs;
    const char *parent, *pattern;
};

static void on_name(void *ctx, const char *name)
{
    struct search *s = ctx;
    if (fnmatch(s->pattern, name, FNM_PERIOD) != 0 || s->dirs->n == SPOOL_DIRECTORIES_MAX)
        return;
    struct buf b;
    buf_init(&b, PATH_MAX_BYTES);
    buf_printf(&b, "%s%s%s", s->parent, strcmp(s->parent, "/") == 0 ? "" : "/", name);
    if (!b.failed)
        s->dirs->v[s->dirs->n++] = must_strndup(buf_cstr(&b), b.len);
    buf_free(&b);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void spool_dirs_add(struct spool_dirs *d, struct vfs *vfs, struct span path)
{
    if (span_find(path, '*') == path.n && span_find(path, '?') == path.n) {
        if (d->n < SPOOL_DIRECTORIES_MAX)
            d->v[d->n++] = must_strndup(path.p, path.n);
        return;
    }
    size_t slash = span_rfind(path, '/');
    struct span above = slash == path.n ? SPAN(".") : slash == 0 ? SPAN("/") : span_to(path, slash);
    struct span last = slash == path.n ? path : span_from(path, slash + 1);
    char *parent = must_strndup(above.p, above.n), *pattern = must_strndup(last.p, last.n);
    struct search s = { .dirs = d, .parent = parent, .pattern = pattern };
    size_t first = d->n;
    vfs_list(vfs, parent, on_name, &s);
    qsort(d->v + first, d->n - first, sizeof *d->v, by_name);
    free(parent);
    free(pattern);
}

void spool_dirs_free(struct spool_dirs *d)
{
    for (size_t i = 0; i < d->n; i++)
        free(d->v[i]);
    d->n = 0;
}

const char *spool_event_text(enum spool_event_kind kind)
{
    switch (kind) {
    case SPOOL_EVENT_DAMAGED: return "damaged bytes set aside";
    case SPOOL_EVENT_MESSAGE_DAMAGED: return "a message fails its checksum";
    case SPOOL_EVENT_INDEX_DAMAGED: return "an index is bad; its records are read";
    case SPOOL_EVENT_UNREADABLE: return "cannot be read; set aside";
    case SPOOL_EVENT_FLUSH_FAILED: return "a flush failed; the segment is closed";
    case SPOOL_EVENT_WRITE_FAILED: return "a write failed";
    case SPOOL_EVENT_DIRECTORY_OUT: return "the directory is not written to any more";
    case SPOOL_EVENT_RESERVE_USED: return "the disk is full; outcomes use the reserve";
    case SPOOL_EVENT_DROPPED:
        return "records behind the last known flush dropped: unfinished, or damaged since";
    case SPOOL_EVENT_DIRECTORY_BACK: return "the directory is written to again";
    default: return NULL;
    }
}
