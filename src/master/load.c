#include "master/load.h"

#include "base/must.h"
#include "sys/privilege.h"
#include "sys/userdb.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { REPORT_MAX = 256 << 10, VERDICT_OK = 'k', VERDICT_BAD = 'b' };

static bool read_all(int fd, struct buf *b)
{
    for (;;) {
        char *to = buf_space(b, buf_room(b) < 65536 ? buf_room(b) : 65536);
        if (!to || buf_room(b) == 0)
            return false;
        ssize_t got = read(fd, to, buf_room(b) < 65536 ? buf_room(b) : 65536);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return false;
        if (got == 0)
            return true;
        buf_added(b, (size_t)got);
    }
}

static void write_all(int fd, struct span s)
{
    while (s.n) {
        ssize_t put = write(fd, s.p, s.n);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return;
        s = span_from(s, (size_t)put);
    }
}

/* In the child: one verdict byte, u32 count of mistakes, then the flat form or the report. */
static void check(int in, int out, const char *path)
{
    struct buf text, answer;
    buf_init(&text, CONFIG_FILE_MAX + 65536);
    buf_init(&answer, CONFIG_WIRE_MAX);
    struct config *cfg = NULL;
    struct config_report *report = config_report_new();
    bool ok = read_all(in, &text) && config_parse(buf_span(&text), span_str(path), &cfg, report);
    wire_put_u8(&answer, ok ? VERDICT_OK : VERDICT_BAD);
    wire_put_u32(&answer, (uint32_t)config_report_errors(report));
    if (ok)
        config_put(&answer, cfg);
    else
        config_report_put_text(&answer, report);
    write_all(out, buf_span(&answer));
    _exit(0);
}

/* Whoever parses what a person wrote needs no right at all. */
static void become_nobody(void)
{
    struct user nobody;
    struct err e;
    if (privilege_is_root() && userdb_user("nobody", &nobody, &e))
        privilege_drop(nobody.uid, nobody.gid, &e);
}

static struct config *take(struct span answer, struct buf *text, unsigned *count_r)
{
    struct wire w = wire_reader(answer);
    uint8_t verdict = wire_get_u8(&w);
    *count_r = wire_get_u32(&w);
    if (!w.bad && verdict == VERDICT_OK)
        return config_get(&w);
    if (!w.bad)
        buf_puts(text, w.rest);
    return NULL;
}

struct config *master_load(const char *path, struct buf *text, unsigned *count_r)
{
    int in = open(path, O_RDONLY | O_CLOEXEC), p[2];
    *count_r = 1;
    if (in < 0 || pipe2(p, O_CLOEXEC) != 0) {
        buf_printf(text, "%s: %s\n", path, strerror(errno));
        if (in >= 0)
            close(in);
        return NULL;
    }
    pid_t pid = fork();
    if (pid == 0) {
        become_nobody();
        check(in, p[1], path);
    }
    close(in);
    close(p[1]);
    struct buf answer;
    buf_init(&answer, CONFIG_WIRE_MAX + REPORT_MAX);
    bool got = pid > 0 && read_all(p[0], &answer);
    close(p[0]);
    int status = 0;
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    struct config *cfg = got ? take(buf_span(&answer), text, count_r) : NULL;
    if (!cfg && text->len == 0)
        buf_printf(text, "%s: the checking process ended without an answer\n", path);
    buf_free(&answer);
    return cfg;
}
