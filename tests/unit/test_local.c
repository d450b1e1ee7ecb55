/* The three outlets of local, on a real file system and with real programs. */
#include "local/outlet.h"

#include "base/buf.h"
#include "test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[64];
static int changes;

static void on_changed(void *ctx)
{
    (void)ctx;
    changes++;
}

static char *in_dir(const char *name)
{
    static char path[4][256];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[0], "%s/%s", dir, name);
    return path[turn];
}

static void make_dir(void)
{
    snprintf(dir, sizeof dir, "/tmp/test_local.XXXXXX");
    if (!mkdtemp(dir))
        abort();
}

static void drop_dir(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        execl("/bin/rm", "rm", "-rf", dir, (char *)NULL);
        _exit(1);
    }
    waitpid(pid, NULL, 0);
}

static struct span slurp(const char *path)
{
    static char text[1 << 20];
    int fd = open(path, O_RDONLY);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text);
    if (fd >= 0)
        close(fd);
    return span_of(text, n < 0 ? 0 : (size_t)n);
}

static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
        abort();
    close(fd);
}

static void begin(struct outlet *o)
{
    o->changed = on_changed;
    outlet_open(o);
}

static void until_not(struct loop *l, struct outlet *o, enum outlet_state state)
{
    for (int i = 0; i < 2000 && o->state == state; i++)
        loop_turn(l, 50);
}

/* --- Maildir --- */

static int count_files(const char *path, char *name_r, size_t size)
{
    DIR *d = opendir(path);
    int n = 0;
    for (struct dirent *e; d && (e = readdir(d));)
        if (e->d_name[0] != '.') {
            n++;
            snprintf(name_r, size, "%s/%s", path, e->d_name);
        }
    if (d)
        closedir(d);
    return n;
}

static void maildir(void)
{
    char name[512];
    struct stat st;
    make_dir();
    struct loop *l = loop_new();
    for (int i = 1; i <= 3; i++) {
        struct outlet *o = maildir_new(l, in_dir("M/"), "a/b:c.example");
        begin(o);
        CHECK_INT(o->state, OUTLET_OPEN);
        CHECK_INT(count_files(in_dir("M/tmp"), name, sizeof name), 1);
        outlet_write(o, SPAN("Subject: x\n"));
        outlet_write(o, SPAN("\nFrom here\n"));
        outlet_finish(o);
        CHECK_INT(o->state, OUTLET_DONE);
        CHECK_INT(o->code, 250);
        outlet_free(&o);
        CHECK_INT(count_files(in_dir("M/tmp"), name, sizeof name), 0);
        CHECK_INT(count_files(in_dir("M/new"), name, sizeof name), i);
    }
    CHECK_SPAN(slurp(name), SPAN("Subject: x\n\nFrom here\n"));
    CHECK(strstr(name, "abc.example") && strstr(name, ",S=22"));
    CHECK(stat(name, &st) == 0 && (st.st_mode & 0777) == 0600);
    CHECK(stat(in_dir("M"), &st) == 0 && (st.st_mode & 0777) == 0700);
    loop_free(&l);
    drop_dir();
}

static void maildir_taken_back(void)
{
    char name[512];
    make_dir();
    struct loop *l = loop_new();
    struct outlet *o = maildir_new(l, in_dir("M"), "h");
    begin(o);
    outlet_write(o, SPAN("half"));
    outlet_free(&o);
    CHECK_INT(count_files(in_dir("M/tmp"), name, sizeof name), 0);
    CHECK_INT(count_files(in_dir("M/new"), name, sizeof name), 0);
    o = maildir_new(l, in_dir("no/such/M"), "h");
    begin(o);
    CHECK_INT(o->state, OUTLET_DONE);
    CHECK_INT(o->code, 451);
    outlet_free(&o);
    loop_free(&l);
    drop_dir();
}

/* --- mbox --- */

static struct outlet *mbox(struct loop *l, const char *name, int64_t wait_ms)
{
    struct outlet *o = mbox_new(l, in_dir(name), "From a@b Fri Nov 20 08:46:30 2026\n", wait_ms);
    begin(o);
    return o;
}

static void deliver(struct loop *l, const char *name, const char *text, size_t cut)
{
    struct outlet *o = mbox(l, name, 1000);
    for (struct span s = span_str(text); s.n; s = span_from(s, cut))
        outlet_write(o, span_to(s, cut));
    outlet_finish(o);
    CHECK_INT(o->state, OUTLET_DONE);
    CHECK_INT(o->code, 250);
    outlet_free(&o);
}

#define FROM "From a@b Fri Nov 20 08:46:30 2026\n"

/* The quoting is the same wherever the content is cut. */
static void mbox_quotes(void)
{
    static const char text[] = "From: x\nS: y\n\nFrom me\n>From you\n From\nFrom\nFromage\n"
                               "From \nx";
    static const char want[] = FROM "From: x\nS: y\n\n>From me\n>From you\n From\nFrom\nFromage\n"
                                    ">From \nx\n\n";
    make_dir();
    struct loop *l = loop_new();
    for (size_t cut = 1; cut < sizeof text; cut++) {
        unlink(in_dir("box"));
        deliver(l, "box", text, cut);
        CHECK_SPAN(slurp(in_dir("box")), span_str(want));
    }
    struct stat st;
    CHECK(stat(in_dir("box"), &st) == 0 && (st.st_mode & 0777) == 0600);
    CHECK(access(in_dir("box.lock"), F_OK) != 0);
    loop_free(&l);
    drop_dir();
}

static void mbox_gap(void)
{
    static const struct {
        const char *before, *gap;
    } t[] = { { "x", "\n\n" }, { "x\n", "\n" }, { "x\n\n", "" }, { "\n", "\n" }, { "", "" } };
    make_dir();
    struct loop *l = loop_new();
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        char want[200];
        write_file(in_dir("box"), t[i].before);
        deliver(l, "box", "a: b\n\nc\n", 100);
        snprintf(want, sizeof want, "%s%s%sa: b\n\nc\n\n", t[i].before, t[i].gap, FROM);
        CHECK_SPAN(slurp(in_dir("box")), span_str(want));
    }
    loop_free(&l);
    drop_dir();
}

/* Somebody else's locks, each alone, keep us out; then in; then out for good. */
static void mbox_locks(void)
{
    make_dir();
    struct loop *l = loop_new();
    struct flock whole = { .l_type = F_WRLCK };
    write_file(in_dir("box"), "old\n\n");
    for (int dot = 0; dot < 2; dot++) {
        char me[32];
        snprintf(me, sizeof me, "%ld\n", (long)getpid());
        int fd = open(in_dir("box"), O_RDWR);
        if (dot)
            write_file(in_dir("box.lock"), me);
        else
            CHECK(fcntl(fd, F_OFD_SETLK, &whole) == 0);
        struct outlet *o = mbox(l, "box", 600);
        CHECK_INT(o->state, OUTLET_OPENING);
        until_not(l, o, OUTLET_OPENING);
        CHECK_INT(o->state, OUTLET_DONE);
        CHECK_INT(o->code, 451);
        CHECK(strcmp(o->enhanced, "4.2.0") == 0);
        outlet_free(&o);
        CHECK_SPAN(slurp(in_dir("box")), SPAN("old\n\n"));
        o = mbox(l, "box", 60000);
        CHECK_INT(o->state, OUTLET_OPENING);
        loop_turn(l, 300);
        close(fd);
        unlink(in_dir("box.lock"));
        until_not(l, o, OUTLET_OPENING);
        CHECK_INT(o->state, OUTLET_OPEN);
        CHECK(access(in_dir("box.lock"), F_OK) == 0);
        outlet_free(&o);
        CHECK(access(in_dir("box.lock"), F_OK) != 0);
        CHECK_SPAN(slurp(in_dir("box")), SPAN("old\n\n"));
    }
    loop_free(&l);
    drop_dir();
}

static void mbox_stale_lock(void)
{
    char gone[32];
    make_dir();
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    waitpid(pid, NULL, 0);
    snprintf(gone, sizeof gone, "%ld\n", (long)pid);
    struct loop *l = loop_new();
    write_file(in_dir("box.lock"), gone);
    deliver(l, "box", "a: b\n", 100);
    CHECK(access(in_dir("box.lock"), F_OK) != 0);
    write_file(in_dir("box.lock"), ""); /* by nobody known, but new */
    struct outlet *o = mbox(l, "box", 300);
    until_not(l, o, OUTLET_OPENING);
    CHECK_INT(o->code, 451);
    outlet_free(&o);
    loop_free(&l);
    drop_dir();
}

static void mbox_strange_files(void)
{
    make_dir();
    struct loop *l = loop_new();
    write_file(in_dir("real"), "x\n\n");
    if (symlink(in_dir("real"), in_dir("sym")) != 0 || link(in_dir("real"), in_dir("hard")) != 0 ||
        mkdir(in_dir("d"), 0700) != 0 || mkfifo(in_dir("fifo"), 0600) != 0)
        abort();
    static const char *const names[] = { "sym", "hard", "d", "fifo", "no/such" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct outlet *o = mbox(l, names[i], 300);
        CHECK_INT(o->state, OUTLET_DONE);
        CHECK_INT(o->code, 451);
        outlet_free(&o);
    }
    CHECK_SPAN(slurp(in_dir("real")), SPAN("x\n\n"));
    struct outlet *o = mbox_new(l, "/dev/null", FROM, 300);
    begin(o);
    outlet_write(o, SPAN("x\n"));
    outlet_finish(o);
    CHECK_INT(o->code, 250);
    outlet_free(&o);
    loop_free(&l);
    drop_dir();
}

/* A limit on the size of files stands for a full disk: the write fails in the middle. */
static void full(void)
{
    static char big[300 << 10];
    char name[512];
    struct rlimit was;
    memset(big, 'x', sizeof big);
    make_dir();
    struct loop *l = loop_new();
    signal(SIGXFSZ, SIG_IGN);
    write_file(in_dir("box"), "old\n\n");
    getrlimit(RLIMIT_FSIZE, &was);
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){ 200 << 10, was.rlim_max });
    struct outlet *all[] = { mbox(l, "box", 100), maildir_new(l, in_dir("M"), "h") };
    begin(all[1]);
    for (int i = 0; i < 2; i++) {
        outlet_write(all[i], span_of(big, sizeof big));
        outlet_finish(all[i]);
    }
    setrlimit(RLIMIT_FSIZE, &was);
    for (int i = 0; i < 2; i++) {
        CHECK_INT(all[i]->state, OUTLET_DONE);
        CHECK_INT(all[i]->code, 452);
        CHECK(strcmp(all[i]->enhanced, "4.2.2") == 0);
        outlet_free(&all[i]);
    }
    CHECK_SPAN(slurp(in_dir("box")), SPAN("old\n\n"));
    CHECK_INT(count_files(in_dir("M/tmp"), name, sizeof name), 0);
    CHECK_INT(count_files(in_dir("M/new"), name, sizeof name), 0);
    loop_free(&l);
    drop_dir();
}

/* --- programs --- */

static const char *const environment[] = { "PATH=/usr/bin:/bin", "HOME=/", NULL };

static void run(struct loop *l, const char *script, struct span content, unsigned code,
                const char *enhanced, const char *text)
{
    const char *words[] = { "/bin/sh", "-c", script, NULL };
    struct outlet *o = program_new(l, words, environment, dir, FROM);
    begin(o);
    CHECK_INT(o->state, OUTLET_OPEN);
    while (content.n && o->state == OUTLET_OPEN) {
        outlet_write(o, span_to(content, 50000));
        content = span_from(content, 50000);
        for (int i = 0; i < 2000 && o->full; i++)
            loop_turn(l, 50);
    }
    outlet_finish(o);
    until_not(l, o, OUTLET_OPEN);
    CHECK_INT(o->state, OUTLET_DONE);
    if (o->code != code || strcmp(o->enhanced, enhanced) != 0 || !strstr(o->text, text))
        TEST_FAIL("%s: %u %s %s", script, o->code, o->enhanced, o->text);
    outlet_free(&o);
}

static void programs(void)
{
    make_dir();
    struct loop *l = loop_new();
    struct span mail = SPAN("a: b\n\nFrom c\n");
    run(l, "cat > got; pwd > where; env > env", mail, 250, "2.0.0", "Delivered");
    CHECK_SPAN(slurp(in_dir("got")), SPAN(FROM "a: b\n\nFrom c\n"));
    CHECK(span_starts(slurp(in_dir("where")), span_str(dir)));
    struct span env = slurp(in_dir("env"));
    CHECK(memmem(env.p, env.n, "HOME=/\n", 7) && !memmem(env.p, env.n, "USER", 4));
    run(l, "exit 75", mail, 451, "4.3.0", "exit code 75");
    run(l, "exit 67", mail, 550, "5.1.1", "User unknown");
    run(l, "exit 77", mail, 550, "5.7.0", "permission");
    run(l, "exit 64", mail, 554, "5.3.0", "");
    run(l, "exit 65", mail, 554, "5.6.0", "");
    run(l, "exit 69", mail, 554, "5.0.0", "");
    run(l, "exit 1", mail, 451, "4.3.0", "exit code 1");
    run(l, "kill -9 $$", mail, 451, "4.3.0", "signal 9");
    run(l, "echo; printf 'dis\\001k b\\377ad\\nmore\\n' >&2; exit 75", mail, 451, "4.3.0",
        ": dis?k b?ad");
    run(l, "sleep 1000 & exit 0", mail, 250, "2.0.0", ""); /* not waited for; ends with its test */
    run(l, "ls -l /proc/$$/fd | grep -c '[0-9] ->' > fds", mail, 250, "2.0.0", "");
    loop_free(&l);
    drop_dir();
}

static void big_content(void)
{
    static char big[3 << 20];
    make_dir();
    struct loop *l = loop_new();
    memset(big, 'y', sizeof big);
    struct span content = span_of(big, sizeof big);
    run(l, "test $(wc -c | tee n) -gt 3000000", content, 250, "2.0.0", "");
    run(l, "exec 0<&-; exit 0", content, 250, "2.0.0", ""); /* reads nothing */
    run(l, "yes | head -c 1000000", content, 250, "2.0.0", ": y"); /* prints more than it reads */
    loop_free(&l);
    drop_dir();
}

static void no_program(void)
{
    make_dir();
    struct loop *l = loop_new();
    const char *words[] = { "/no/such/program", NULL };
    struct outlet *o = program_new(l, words, environment, "/no/such/dir", "");
    begin(o);
    outlet_finish(o);
    until_not(l, o, OUTLET_OPEN);
    CHECK_INT(o->code, 451);
    CHECK(strstr(o->text, "cannot be run"));
    outlet_free(&o);
    loop_free(&l);
    drop_dir();
}

/* Given up: the whole group is gone when outlet_free returns. */
static void killed(void)
{
    make_dir();
    struct loop *l = loop_new();
    const char *words[] = { "/bin/sh", "-c", "sleep 1000 & echo $! > pid; wait", NULL };
    struct outlet *o = program_new(l, words, environment, dir, "");
    begin(o);
    for (int i = 0; i < 2000 && slurp(in_dir("pid")).n < 2; i++)
        loop_turn(l, 10);
    pid_t pid = (pid_t)strtol(slurp(in_dir("pid")).p, NULL, 10);
    CHECK(pid > 1 && kill(pid, 0) == 0);
    outlet_free(&o);
    bool gone = false;
    for (int i = 0; i < 2000 && !gone; i++) { /* a zombie until init has looked */
        char path[64];
        snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
        struct span stat = slurp(path);
        gone = stat.n == 0 || memmem(stat.p, stat.n, ") Z", 3);
        usleep(10000);
    }
    CHECK(gone);
    loop_free(&l);
    drop_dir();
}

static const struct test tests[] = {
    TEST(maildir),         TEST(maildir_taken_back), TEST(mbox_quotes), TEST(mbox_gap),
    TEST(mbox_locks),      TEST(mbox_stale_lock),    TEST(mbox_strange_files),
    TEST(full),            TEST(programs),           TEST(big_content), TEST(no_program),
    TEST(killed),
};

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN); /* as every process of ours */
    return test_main(tests, sizeof tests / sizeof *tests, argc, argv);
}
