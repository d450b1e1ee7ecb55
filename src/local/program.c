/* program: started by its words, without a shell, in a process group of its own, with a clean
 * environment; it reads the message from its standard input. Its exit code is the outcome
 * (sysexits.h, as sendmail understands it), the first line it prints is kept for the log. */
#include "local/outlet.h"

#include "base/buf.h"
#include "base/must.h"
#include "sys/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

enum { IN_FULL = 64 << 10, IN_MAX = 1 << 20, SAID_MAX = 256, READ_BYTES = 4096 };

struct program {
    struct outlet o;
    const char *const *words, *const *env;
    const char *dir, *first;
    pid_t pid; /* 0: none, or gone */
    int in, out; /* our ends: its input, what it prints */
    struct loop_io in_io, out_io;
    struct loop_signal on_child;
    struct buf waiting, said;
    bool line_said, ended;
};

static struct program *of(struct outlet *o) { return CONTAINER(o, struct program, o); }

static void close_in(struct program *p)
{
    loop_io_del(p->o.loop, &p->in_io);
    if (p->in >= 0)
        close(p->in);
    p->in = -1;
}

static void close_out(struct program *p)
{
    loop_io_del(p->o.loop, &p->out_io);
    if (p->out >= 0)
        close(p->out);
    p->out = -1;
}

/* --- what it prints --- */

/* The first line that is not empty, with nothing in it that could be more than text. */
static void keep(struct program *p, struct span s)
{
    for (size_t i = 0; i < s.n && !p->line_said; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '\n')
            p->line_said = p->said.len > 0;
        else if (buf_room(&p->said))
            buf_putc(&p->said, c < 0x20 || c >= 0x7f ? '?' : (char)c);
    }
}

/* False: nothing is there now. */
static bool read_some(struct program *p)
{
    char text[READ_BYTES];
    ssize_t n = p->out >= 0 ? read(p->out, text, sizeof text) : 0;
    if (n > 0)
        keep(p, span_of(text, (size_t)n));
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        close_out(p);
    return n > 0;
}

static void on_out(void *ctx, int ready)
{
    (void)ready;
    read_some(ctx);
}

/* --- its input --- */

static void write_some(struct program *p)
{
    while (p->in >= 0 && p->waiting.len) {
        ssize_t n = write(p->in, buf_span(&p->waiting).p, p->waiting.len);
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0 && errno != EINTR) /* it does not want the rest: its exit code counts */
            close_in(p);
        else if (n > 0)
            buf_take(&p->waiting, (size_t)n);
    }
    if (p->in < 0)
        buf_reset(&p->waiting);
    else if (p->ended && !p->waiting.len)
        close_in(p);
    if (p->in >= 0)
        loop_io_want(p->o.loop, &p->in_io, p->waiting.len ? LOOP_WRITE : 0);
    p->o.full = p->waiting.len > IN_FULL;
}

static void on_in(void *ctx, int ready)
{
    struct program *p = ctx;
    bool was_full = p->o.full;
    (void)ready;
    write_some(p);
    if (was_full && !p->o.full)
        p->o.changed(p->o.ctx);
}

static void program_write(struct outlet *o, struct span text)
{
    struct program *p = of(o);
    if (p->in < 0)
        return;
    MUST(buf_puts(&p->waiting, text)); /* full said so long before */
    write_some(p);
}

static void program_finish(struct outlet *o)
{
    struct program *p = of(o);
    p->ended = true;
    write_some(p);
}

/* --- its end --- */

struct meaning {
    int exit;
    unsigned code;
    const char *enhanced, *words;
};

/* What is not in the table is put off: a script that fails is a thing to mend, not the sender's
 * fault. */
static struct meaning meaning_of(int code)
{
    static const struct meaning table[] = {
        { EX_OK, 250, "2.0.0", "Delivered to program" },
        { EX_USAGE, 554, "5.3.0", "the program was called wrongly" },
        { EX_DATAERR, 554, "5.6.0", "the program does not like the message" },
        { EX_NOINPUT, 550, "5.2.0", "the program lacks an input file" },
        { EX_NOUSER, 550, "5.1.1", "User unknown" },
        { EX_NOHOST, 550, "5.1.2", "Host unknown" },
        { EX_UNAVAILABLE, 554, "5.0.0", "Service unavailable" },
        { EX_CANTCREAT, 550, "5.2.0", "the program cannot make its output" },
        { EX_PROTOCOL, 554, "5.5.0", "Remote protocol error" },
        { EX_NOPERM, 550, "5.7.0", "Insufficient permission" },
        { EX_CONFIG, 554, "5.3.5", "the program has a mistake in its configuration" },
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].exit == code)
            return table[i];
    return (struct meaning){ code, 451, "4.3.0", "the program asks to be run again" };
}

static void settle(struct program *p, int status)
{
    struct span said = buf_span(&p->said);
    const char *colon = said.n ? ": " : "";
    if (WIFSIGNALED(status)) {
        outlet_done(&p->o, 451, "4.3.0", "program %s was killed by signal %d%s%.*s", p->words[0],
                    WTERMSIG(status), colon, SPAN_ARG(said));
        return;
    }
    int code = WEXITSTATUS(status);
    struct meaning m = meaning_of(code);
    if (code == 0)
        outlet_done(&p->o, m.code, m.enhanced, "%s%s%.*s", m.words, colon, SPAN_ARG(said));
    else
        outlet_done(&p->o, m.code, m.enhanced, "%s (%s, exit code %d)%s%.*s", m.words,
                    p->words[0], code, colon, SPAN_ARG(said));
}

/* A grandchild that goes on in the background is not waited for. */
static void on_child(void *ctx)
{
    struct program *p = ctx;
    int status;
    if (!p->pid || waitpid(p->pid, &status, WNOHANG) != p->pid)
        return;
    p->pid = 0;
    while (read_some(p))
        ;
    close_in(p);
    close_out(p);
    settle(p, status);
    p->o.changed(p->o.ctx);
}

/* --- its beginning --- */

static _Noreturn void become(const struct program *p, pid_t parent, int in, int out)
{
    sigset_t none;
    /* Without us nobody hears its outcome, and it will be run again. */
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (getppid() != parent)
        _exit(EX_OSERR);
    sigemptyset(&none);
    for (int s = 1; s < NSIG; s++)
        signal(s, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
        _exit(EX_OSERR);
    proc_close_from(3);
    if (chdir(p->dir) != 0 && chdir("/") != 0)
        _exit(EX_OSERR);
    execve(p->words[0], (char *const *)p->words, (char *const *)p->env);
    dprintf(2, "cannot be run: %s\n", strerror(errno));
    _exit(EX_OSERR);
}

static bool spawn(struct program *p)
{
    int in[2] = { -1, -1 }, out[2] = { -1, -1 };
    if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0)
        goto err0;
    pid_t self = getpid();
    p->pid = fork();
    if (p->pid == 0)
        become(p, self, in[0], out[1]);
    if (p->pid < 0)
        goto err0;
    close(in[0]);
    close(out[1]);
    p->in = in[1];
    p->out = out[0];
    fcntl(p->in, F_SETFL, O_NONBLOCK);
    fcntl(p->out, F_SETFL, O_NONBLOCK);
    return true;
err0:
    p->pid = 0;
    for (int i = 0; i < 2; i++) {
        if (in[i] >= 0)
            close(in[i]);
        if (out[i] >= 0)
            close(out[i]);
    }
    return false;
}

static void program_open(struct outlet *o)
{
    struct program *p = of(o);
    loop_signal_add(o->loop, &p->on_child, SIGCHLD, on_child, p);
    if (!spawn(p)) {
        outlet_errno(o, errno, "cannot start", p->words[0]);
        return;
    }
    loop_io_add(o->loop, &p->in_io, p->in, 0, on_in, p);
    loop_io_add(o->loop, &p->out_io, p->out, LOOP_READ, on_out, p);
    o->state = OUTLET_OPEN;
    program_write(o, span_str(p->first));
}

static void program_free(struct outlet *o)
{
    struct program *p = of(o);
    if (p->pid > 0) {
        kill(-p->pid, SIGKILL);
        kill(p->pid, SIGKILL); /* it may not have made its group yet */
        waitpid(p->pid, NULL, 0);
    }
    loop_signal_del(&p->on_child);
    close_in(p);
    close_out(p);
    buf_free(&p->waiting);
    buf_free(&p->said);
    free(p);
}

struct outlet *program_new(struct loop *l, const char *const *words, const char *const *env,
                           const char *dir, const char *first)
{
    static const struct outlet_ops ops = { program_open, program_write, program_finish,
                                           program_free };
    struct program *p = NEW(struct program);
    p->o = (struct outlet){ .ops = &ops, .loop = l };
    p->words = words;
    p->env = env;
    p->dir = dir;
    p->first = first;
    p->in = p->out = -1;
    buf_init(&p->waiting, IN_MAX);
    buf_init(&p->said, SAID_MAX);
    return &p->o;
}
