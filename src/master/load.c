#include "master/load.h"

#include "base/must.h"
#include "mc/mc.h"
#include "sys/privilege.h"
#include "sys/userdb.h"
#include "tls/cert.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    REPORT_MAX = 256 << 10,
    VERDICT_OK = 'k',
    VERDICT_BAD = 'b',
    PEM_FILE_MAX = 256 << 10,
};

/* What the checking process works on: it writes its answer into `out` and ends. */
struct task {
    const char *path;         /* of the configuration, as it was asked for */
    struct span file;         /* the one that is read instead of a .cf, or the same */
    int in;                   /* that file */
    const struct config *cfg; /* whose certificates are looked at */
};

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

/* --- in the checking process --- */

/* The rest of what master has open (the ends of its channels) is not its business. */
static void close_others(int a, int b)
{
    unsigned lo = (unsigned)(a < b ? a : b), hi = (unsigned)(a < b ? b : a);
    unsigned first = STDERR_FILENO + 1;
    if (lo > first)
        close_range(first, lo - 1, 0);
    if (hi > lo + 1 && hi > first)
        close_range(lo < first ? first : lo + 1, hi - 1, 0);
    close_range(hi < first ? first : hi + 1, ~0U, 0);
}

/* Whoever parses what a person wrote needs no right at all. */
static void become_nobody(void)
{
    struct user nobody;
    struct err e;
    if (privilege_is_root() && userdb_user("nobody", &nobody, &e))
        privilege_drop(nobody.uid, nobody.gid, &e);
}

/* One verdict byte, u32 count of mistakes, then the flat form or the report. */
static void check(const struct task *t, int out)
{
    become_nobody();
    struct buf text, answer;
    buf_init(&text, CONFIG_FILE_MAX + 65536);
    buf_init(&answer, CONFIG_WIRE_MAX);
    struct config *cfg = NULL;
    struct config_report *report = config_report_new();
    bool ok = read_all(t->in, &text) &&
              mc_parse(buf_span(&text), t->file, t->path, &cfg, report);
    wire_put_u8(&answer, ok ? VERDICT_OK : VERDICT_BAD);
    wire_put_u32(&answer, (uint32_t)config_report_errors(report));
    if (ok)
        config_put(&answer, cfg);
    else
        config_report_put_text(&answer, report);
    write_all(out, buf_span(&answer));
}

static unsigned wrong(struct buf *report, const char *option, struct span path, const char *why)
{
    buf_printf(report, "%s: %.*s: %s\n", option, SPAN_ARG(path), why);
    return 1;
}

static unsigned read_pem(const char *option, struct span path, struct buf *b, struct buf *report)
{
    char *name = must_strndup(path.p, path.n);
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    free(name);
    buf_init(b, PEM_FILE_MAX);
    if (fd < 0)
        return wrong(report, option, path, strerror(errno));
    if (!read_all(fd, b))
        return wrong(report, option, path, "cannot be read, or is too large");
    return 0;
}

static unsigned check_pair(struct span crt, struct span key, const struct buf pem[2],
                           struct buf *report)
{
    struct cert_facts facts;
    struct key_id id;
    struct err e = { "" };
    if (!cert_facts(buf_span(&pem[0]), &facts, &e))
        return wrong(report, "tls.certificate", crt, e.text);
    if (!cert_key_id(buf_span(&pem[1]), &id, &e))
        return wrong(report, "tls.key", key, e.text);
    if (!key_id_eq(&facts.key, &id))
        return wrong(report, "tls.key", key, "is not the key of its certificate");
    return 0;
}

/* The files are opened with all rights, and looked at with none. */
static void check_certs(const struct task *t, int out)
{
    const struct config_certs *c = &t->cfg->tls;
    size_t n = c->certificate.n < c->key.n ? c->certificate.n : c->key.n;
    struct buf (*pem)[2] = must_calloc(n + 1, sizeof *pem), report, answer;
    bool *unread = must_calloc(n + 1, sizeof *unread);
    unsigned count = 0;
    buf_init(&report, REPORT_MAX);
    buf_init(&answer, REPORT_MAX + 8);
    for (size_t i = 0; i < n; i++) {
        unsigned bad = read_pem("tls.certificate", c->certificate.v[i], &pem[i][0], &report);
        bad += read_pem("tls.key", c->key.v[i], &pem[i][1], &report);
        unread[i] = bad > 0;
        count += bad;
    }
    become_nobody();
    for (size_t i = 0; i < n; i++)
        if (!unread[i])
            count += check_pair(c->certificate.v[i], c->key.v[i], pem[i], &report);
    wire_put_u32(&answer, count);
    buf_puts(&answer, buf_span(&report));
    write_all(out, buf_span(&answer));
}

/* --- in master --- */

/* Lets a process of its own do it; what it wrote is in *answer (made here). False: it could not
 * be started. */
static bool in_child(void (*work)(const struct task *, int), const struct task *t,
                     struct buf *answer)
{
    int p[2];
    buf_init(answer, CONFIG_WIRE_MAX + REPORT_MAX);
    if (pipe2(p, O_CLOEXEC) != 0)
        return false;
    pid_t pid = fork();
    if (pid == 0) {
        close_others(t->in, p[1]);
        work(t, p[1]);
        _exit(0);
    }
    close(p[1]);
    bool got = pid > 0 && read_all(p[0], answer);
    close(p[0]);
    int status = 0;
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return got;
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
    struct task t = { .path = path, .in = -1 };
    struct buf answer, file;
    struct err e;
    *count_r = 1;
    buf_init(&file, CONFIG_TEXT_MAX);
    bool named = mc_source(path, &file, &e);
    if (named)
        t.in = open(buf_cstr(&file), O_RDONLY | O_CLOEXEC);
    t.file = buf_span(&file); /* after buf_cstr, which may move it */
    if (named && t.in < 0)
        err_errno(&e, "%s", path);
    if (t.in < 0) {
        buf_printf(text, "%s\n", e.text);
        buf_free(&file);
        return NULL;
    }
    bool got = in_child(check, &t, &answer);
    close(t.in);
    struct config *cfg = got ? take(buf_span(&answer), text, count_r) : NULL;
    if (!cfg && text->len == 0)
        buf_printf(text, "%s: the checking process ended without an answer\n", path);
    buf_free(&answer);
    buf_free(&file);
    return cfg;
}

bool master_load_certs(const struct config *cfg, struct buf *text, unsigned *count_r)
{
    struct task t = { .cfg = cfg };
    struct buf answer;
    bool got = in_child(check_certs, &t, &answer);
    struct wire w = wire_reader(buf_span(&answer));
    unsigned count = wire_get_u32(&w);
    if (!got || w.bad) {
        buf_putz(text, "the process that checks certificates ended without an answer\n");
        count = 1;
    } else {
        buf_puts(text, w.rest);
    }
    *count_r += count;
    buf_free(&answer);
    return count == 0;
}
