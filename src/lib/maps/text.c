/* text: a file held in memory, and inline: the same from the configuration. */
#include "maps/impl.h"

#include "base/must.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct text_map {
    struct map map;
    struct map_params params;
    struct map_table *table;
};

static struct text_map *text_of(const struct map *m) { return (struct text_map *)(void *)m; }

static bool read_all(int fd, char *mem, size_t size, size_t *n_r)
{
    size_t n = 0;
    while (n < size) {
        ssize_t got = read(fd, mem + n, size - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return false;
        if (got == 0)
            break;
        n += (size_t)got;
    }
    *n_r = n;
    return true;
}

/* The whole file. A file that grows while it is read is read as long as it was; one more reload
 * sees the rest. False: reported. */
static bool read_file(struct text_map *t, char **mem_r, size_t *n_r, struct map_report *r)
{
    struct span path = t->map.source;
    size_t max = t->params.max_bytes ? t->params.max_bytes : (size_t)1 << 30;
    struct stat st;
    bool good = false;
    int fd = open(path.p, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        *mem_r = NULL;
        *n_r = 0;
        if (errno == ENOENT && t->params.optional) {
            map_report_warning(r, path, 0, "there is no such file: the table is empty");
            return true;
        }
        map_report_error(r, path, 0, "cannot open: %s", strerror(errno));
        return false;
    }
    if (fstat(fd, &st) != 0) {
        map_report_error(r, path, 0, "cannot read: %s", strerror(errno));
    } else if (!S_ISREG(st.st_mode)) {
        map_report_error(r, path, 0, "not a regular file");
    } else if ((uint64_t)st.st_size > max) {
        map_report_error(r, path, 0, "larger than %zu bytes", max);
    } else {
        *mem_r = must_alloc((size_t)st.st_size + 1);
        good = read_all(fd, *mem_r, (size_t)st.st_size, n_r);
        if (!good) {
            map_report_error(r, path, 0, "cannot read: %s", strerror(errno));
            free(*mem_r);
        }
    }
    close(fd);
    return good;
}

static bool text_reload(struct map *m, struct map_report *r)
{
    struct text_map *t = text_of(m);
    struct map_table *table;
    char *mem;
    size_t n;
    if (!read_file(t, &mem, &n, r))
        return false;
    if (t->params.format == MAP_FORMAT_ALIASES)
        table = map_aliases_parse(mem, n, m->source, &t->params, r);
    else
        table = map_lines_parse(mem, n, 0, m->source, &t->params, r);
    if (!table)
        return false;
    map_table_free(&t->table);
    t->table = table;
    return true;
}

static bool inline_reload(struct map *m, struct map_report *r)
{
    (void)m;
    (void)r;
    return true; /* it changes only with the configuration */
}

static int text_lookup(struct map *m, struct span key, struct map_hit *hit_r)
{
    return map_table_lookup(text_of(m)->table, key, hit_r);
}

static void text_each(const struct map *m,
                      bool (*fn)(void *ctx, struct span key, const struct map_hit *), void *ctx)
{
    map_table_each(text_of(m)->table, fn, ctx);
}

static void text_size(const struct map *m, struct map_stats *s)
{
    s->entries = map_table_entries(text_of(m)->table);
    s->bytes = map_table_bytes(text_of(m)->table);
}

static void text_free(struct map *m)
{
    map_table_free(&text_of(m)->table);
    free(m);
}

static const struct map_class text_class = {
    "text", text_free, text_lookup, text_reload, text_each, text_size,
};
static const struct map_class inline_class = {
    "inline", text_free, text_lookup, inline_reload, text_each, text_size,
};

struct map *map_text_open(struct span path, const struct map_params *p, struct map_report *r)
{
    struct text_map *t = NEW(struct text_map);
    struct map *m = &t->map;
    map_init(m, &text_class, path);
    t->params = *p;
    if (!text_reload(m, r)) {
        map_free(&m);
        return NULL;
    }
    m->loads = 1;
    return m;
}

/* "a: x; b: y" as lines of their own: a blank in front would make one continue the other. */
static size_t split_aliases(char *p, size_t n)
{
    size_t out = 0;
    bool begun = false;
    for (size_t i = 0; i < n; i++) {
        char c = p[i] == ';' ? '\n' : p[i];
        if (!begun && ascii_isblank(c))
            continue;
        begun = c != '\n';
        p[out++] = c;
    }
    return out;
}

struct map *map_inline_open(struct span text, const struct map_params *p, struct map_report *r)
{
    struct text_map *t = NEW(struct text_map);
    struct map *m = &t->map;
    map_init(m, &inline_class, SPAN("inline"));
    t->params = *p;
    char *own = must_strndup(text.n ? text.p : "", text.n);
    if (p->format == MAP_FORMAT_ALIASES)
        t->table = map_aliases_parse(own, split_aliases(own, text.n), m->source, p, r);
    else
        t->table = map_lines_parse(own, text.n, ';', m->source, p, r);
    if (!t->table) {
        map_free(&m);
        return NULL;
    }
    m->loads = 1;
    return m;
}
