#include "config/files.h"

#include "config/bind.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

bool config_read_file(const char *path, struct buf *text, struct err *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        err_errno(e, "%s", path);
        return false;
    }
    ssize_t n = 0;
    do {
        buf_added(text, (size_t)n);
        char *to = buf_space(text, 16384);
        if (!to) {
            err_set(e, "%s: the file is too large: %d bytes are allowed", path, CONFIG_FILE_MAX);
            close(fd);
            return false;
        }
        n = read(fd, to, 16384);
    } while (n > 0);
    if (n < 0)
        err_errno(e, "%s", path);
    close(fd);
    return n == 0;
}

struct files {
    const struct config *cfg;
    struct config_report *report;
    const struct config_option *o;
    struct config_pos pos;
};

static void wrong(const struct files *f, const char *path, const char *why)
{
    struct buf name;
    buf_init(&name, 256);
    config_option_put_name(&name, f->o);
    config_report_add(f->report, CONFIG_ERROR, f->pos, NULL, "%s: %.200s: %s", buf_cstr(&name),
                      path, why);
    buf_free(&name);
}

static void check_readable(const struct files *f, const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0 || access(path, R_OK) != 0)
        wrong(f, path, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        wrong(f, path, "is not a file");
}

static void check_directory(const struct files *f, const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0)
        wrong(f, path, strerror(errno));
    else if (!S_ISDIR(st.st_mode))
        wrong(f, path, "is not a directory");
}

static void check_directories(const struct files *f, const char *pattern)
{
    glob_t g;
    int rc = glob(pattern, GLOB_NOSORT, NULL, &g);
    if (rc == GLOB_NOMATCH)
        wrong(f, pattern, "there is no such directory: it has to be made before the first start");
    else if (rc != 0)
        wrong(f, pattern, "its directory cannot be read");
    for (size_t i = 0; rc == 0 && i < g.gl_pathc; i++)
        check_directory(f, g.gl_pathv[i]);
    if (rc == 0)
        globfree(&g);
}

static void check_parent(const struct files *f, const char *path)
{
    struct buf dir;
    size_t slash = span_rfind(span_str(path), '/');
    buf_init(&dir, CONFIG_TEXT_MAX + 1);
    buf_put(&dir, path, slash ? slash : 1);
    check_directory(f, buf_cstr(&dir));
    buf_free(&dir);
}

static void check_user_exists(const struct files *f, const char *user)
{
    if (geteuid() == 0 && !getpwnam(user))
        wrong(f, user, "there is no such user");
}

static void check_text(const struct files *f, struct span s)
{
    struct buf b;
    if (s.n == 0)
        return;
    buf_init(&b, CONFIG_TEXT_MAX + 1);
    buf_puts(&b, s);
    const char *text = buf_cstr(&b);
    if (f->o->flags & CONFIG_READABLE)
        check_readable(f, text);
    if (f->o->flags & CONFIG_PARENT)
        check_parent(f, text);
    if (f->o->flags & CONFIG_USER)
        check_user_exists(f, text);
    if (f->o->flags & CONFIG_DIRECTORY)
        check_directories(f, text);
    buf_free(&b);
}

static void check_option(struct files *f)
{
    const void *field = config_option_value(f->o, f->cfg, NULL);
    const struct config_setting *s =
        setting_find(f->cfg->settings, f->cfg->n_settings, f->o, 0);
    f->pos = s ? (struct config_pos){ s->line, s->col } : (struct config_pos){ 0 };
    if (f->o->type == CONFIG_TEXT)
        check_text(f, *(const struct span *)field);
    const struct config_texts *texts = field;
    for (size_t i = 0; f->o->type == CONFIG_TEXTS && i < texts->n; i++)
        check_text(f, texts->v[i]);
}

void config_check_files(const struct config *cfg, struct config_report *report)
{
    size_t n;
    const struct config_option *o = config_options(&n);
    for (size_t i = 0; i < n; i++) {
        struct files f = { .cfg = cfg, .report = report, .o = &o[i] };
        bool as_root_only = strcmp(o[i].section, "privilege") == 0;
        if (config_section_of(o[i].section) == CONFIG_OF_ALL && (!as_root_only || geteuid() == 0))
            check_option(&f);
    }
}
