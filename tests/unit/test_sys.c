/* What a locked-up process can still do, and cannot: each in a child that reports by its exit
 * status. Needs of the system that are missing are printed as skips. */
#include "test.h"

#include "base/must.h"
#include "sys/privilege.h"
#include "sys/proc.h"
#include "sys/sandbox.h"
#include "tls/keyserver.h"
#include "tls/tls.h"

#include <openssl/evp.h>
#include <openssl/pem.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Runs fn in a child; its result is the exit status, or 256 + signal. */
static int in_child(int (*fn)(const void *), const void *arg)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0)
        _exit(fn(arg));
    int status;
    MUST(pid > 0 && waitpid(pid, &status, 0) == pid);
    return WIFSIGNALED(status) ? 256 + WTERMSIG(status) : WEXITSTATUS(status);
}

struct place {
    char dir[64];
    char inside[80], outside[80];
};

static void place_make(struct place *p)
{
    *p = (struct place){ .dir = "/tmp/test-sys-XXXXXX" };
    MUST(mkdtemp(p->dir));
    chmod(p->dir, 0755);
    snprintf(p->inside, sizeof p->inside, "%s/in", p->dir);
    snprintf(p->outside, sizeof p->outside, "%s/out", p->dir);
    MUST(mkdir(p->inside, 0777) == 0 && mkdir(p->outside, 0777) == 0);
    chmod(p->inside, 0777);
    chmod(p->outside, 0777);
}

static void place_remove(struct place *p)
{
    const char *names[] = { "in/f", "in/g", "in/pid", "out/f", "out/g", "in", "out" };
    char path[200];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", p->dir, names[i]);
        remove(path);
    }
    rmdir(p->dir);
}

/* ---- the filter of every role ---- */

enum {
    DOES_ACCEPT = 1,
    DOES_CONNECT = 2,
    DOES_READ = 4,
    DOES_WRITE = 8,
    DOES_PAIR = 16,
    DOES_LOOK = 32,
    DOES_ADDRESS = 64,
};

struct expectation {
    const char *role;
    unsigned does;
};

static const struct expectation expected[] = {
    { "smtpd", DOES_ACCEPT },  { "router", DOES_READ | DOES_ADDRESS },
    { "resolver", DOES_CONNECT | DOES_READ }, { "qmgr", DOES_READ | DOES_WRITE },
    { "deliver", DOES_CONNECT }, { "keyring", 0 }, { "control", DOES_ACCEPT },
    { "pickup", DOES_ACCEPT | DOES_PAIR | DOES_READ | DOES_WRITE },
    { "watch", DOES_CONNECT | DOES_READ }, { "local", DOES_READ | DOES_WRITE | DOES_LOOK },
};

static bool denied(long rc) { return rc == -1 && errno == EPERM; }

/* Forbidden for all of them. The number of the first thing that went wrong, or 0. */
static int forbidden_for_all(void)
{
    char *argv[] = { (char *)"/bin/true", NULL };
    if (!denied(execve("/bin/true", argv, argv)))
        return 1;
    if (!denied(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0)) || !denied(fork()))
        return 2;
    if (!denied(syscall(SYS_ptrace, 0, 0, 0, 0)))
        return 3;
    if (!denied(socket(AF_PACKET, SOCK_RAW, 0)) || !denied(socket(AF_UNIX, SOCK_STREAM, 0)))
        return 4;
    if (mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED)
        return 5;
    if (!denied(kill(getppid(), SIGCONT)))
        return 6;
    if (!denied(chroot("/")) || !denied(syscall(SYS_setuid, 0)) ||
        !denied(syscall(SYS_mount, 0, 0, 0, 0, 0)))
        return 7;
    if (!denied(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)) || !denied(listen(0, 1)))
        return 8;
    struct rlimit lim = { 4096, 4096 };
    if (!denied(setrlimit(RLIMIT_NOFILE, &lim)))
        return 9;
    return 0;
}

static int as_expected(unsigned does)
{
    int fd = open("/etc/hostname", O_RDONLY);
    if (does & DOES_READ ? fd < 0 && denied(fd) : !denied(fd))
        return 20;
    struct stat st;
    if (does & DOES_READ ? stat("/", &st) != 0 : !denied(stat("/", &st)))
        return 21;
    fd = open("/nowhere/f", O_WRONLY | O_CREAT, 0600);
    if (does & DOES_WRITE ? errno != ENOENT : !denied(fd))
        return 22;
    int rc = unlink("/nowhere/f");
    if (does & DOES_WRITE ? errno != ENOENT : !denied(rc))
        return 23;
    fd = socket(AF_INET, SOCK_STREAM, 0);
    if (does & DOES_CONNECT ? fd < 0 : !denied(fd))
        return 24;
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(1),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (does & (DOES_ADDRESS | DOES_CONNECT)
            ? fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof at) != 0 : !denied(fd))
        return 28;
    if (!denied(socket(AF_UNIX, SOCK_DGRAM, 0)))
        return 29;
    int pair[2]; /* libraries of those who connect make pairs, too */
    rc = socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    if (does & (DOES_PAIR | DOES_CONNECT) ? rc != 0 : !denied(rc))
        return 26;
    rc = kill(0x3fffffff, 0); /* no process has it; Landlock answers for those that are there */
    if (does & DOES_LOOK ? errno != ESRCH : !denied(rc))
        return 27;
    rc = accept4(0, NULL, NULL, 0);
    if (does & DOES_ACCEPT ? errno == EPERM : !denied(rc))
        return 25;
    return 0;
}

/* What every loop needs goes on working. */
static int works_for_all(const int *pair)
{
    int other[2], fd = -1;
    char byte, control[CMSG_SPACE(sizeof(int))];
    struct iovec iov = { &byte, 1 };
    struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
                        .msg_controllen = sizeof control };
    if (pipe2(other, O_CLOEXEC) != 0)
        return 40;
    *CMSG_FIRSTHDR(&m) = (struct cmsghdr){ CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
    memcpy(CMSG_DATA(CMSG_FIRSTHDR(&m)), &other[1], sizeof(int));
    byte = 'x';
    if (sendmsg(pair[0], &m, MSG_NOSIGNAL) != 1 || recvmsg(pair[1], &m, MSG_CMSG_CLOEXEC) != 1)
        return 41;
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(int));
    if (write(fd, "y", 1) != 1 || read(other[0], &byte, 1) != 1 || byte != 'y')
        return 42;
    struct epoll_event ev = { .events = EPOLLIN };
    int ep = epoll_create1(0);
    if (ep < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, pair[1], &ev) != 0 || epoll_wait(ep, &ev, 1, 1) != 0)
        return 43;
    for (size_t size = 1; size < 64 << 20; size *= 4) { /* through brk, mmap and mremap */
        char *p = realloc(malloc(size), size * 2);
        if (!p)
            return 44;
        p[size] = 1;
        free(p);
    }
    struct stat st;
    time_t now = time(NULL);
    struct tm tm;
    if (fstat(pair[0], &st) != 0 || !localtime_r(&now, &tm) || prctl(PR_SET_NAME, "works") != 0)
        return 45;
    if (signal(SIGUSR1, SIG_IGN) == SIG_ERR || raise(SIGUSR1) != 0)
        return 46;
    return 0;
}

static int lock_and_try(const void *arg)
{
    const struct expectation *e = arg;
    int pair[2];
    struct sandbox_report report;
    struct err why;
    struct landlock_rule all = { "/", MAY_READ | MAY_WRITE };
    struct sandbox_params params = { .paths = &all, .path_count = 1, .files = 64 };
    sandbox_report_init(&report);
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0)
        return 90;
    if (!sandbox_apply(e->role, &params, &report, &why))
        return 91;
    if (!report.seccomp || !report.no_new_privs || report.files < 64)
        return 92;
    int rc = forbidden_for_all();
    rc = rc ? rc : as_expected(e->does);
    rc = rc ? rc : works_for_all(pair);
    sandbox_report_free(&report);
    return rc;
}

static void roles_are_locked(void)
{
    if (sandbox_sanitized())
        TEST_SKIP("a build with sanitizers");
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        int rc = in_child(lock_and_try, &expected[i]);
        if (rc != 0)
            TEST_FAIL("%s: step %d", expected[i].role, rc);
    }
}

static int kill_on_exec(const void *arg)
{
    (void)arg;
    struct sandbox_report report;
    struct err why;
    sandbox_report_init(&report);
    struct sandbox_params params = { .deny = CALLFILTER_KILL };
    if (!sandbox_apply("smtpd", &params, &report, &why) || !report.seccomp)
        return 1;
    execl("/bin/true", "true", NULL);
    return 2;
}

static void kill_is_a_choice(void)
{
    if (sandbox_sanitized())
        TEST_SKIP("a build with sanitizers");
    CHECK_INT(in_child(kill_on_exec, NULL), 256 + SIGSYS);
}

/* keyring's work, every call it makes, under the strictest filter. */
static int sign_locked_up(const void *arg)
{
    (void)arg;
    struct err why;
    struct sandbox_report report;
    sandbox_report_init(&report);
    EVP_PKEY *key = EVP_EC_gen("P-256");
    BIO *text = BIO_new(BIO_s_mem());
    char *p;
    if (!key || PEM_write_bio_PrivateKey(text, key, NULL, NULL, 0, NULL, NULL) != 1 ||
        !tls_warm_up(&why))
        return 1;
    struct span pem = span_of(NULL, (size_t)BIO_get_mem_data(text, &p));
    pem.p = p;
    struct sandbox_params params = { .deny = CALLFILTER_KILL };
    if (!sandbox_apply("keyring", &params, &report, &why) || !report.seccomp)
        return 2;
    struct keyserver *ks = keyserver_new(1000);
    if (!keyserver_set_keys(ks, &pem, 1, &why) || !keyserver_tick(ks, 0))
        return 3;
    struct key_request r = { .op = KEY_OP_ECDSA, .data = SPAN("0123456789abcdef0123456789abcdef") };
    struct buf in, out;
    buf_init(&in, KEY_REQUEST_MAX);
    buf_init(&out, KEY_REPLY_MAX);
    unsigned char *der = NULL;
    int n = i2d_PUBKEY(key, &der);
    EVP_Digest(der, (size_t)n, r.key.bytes, NULL, EVP_sha256(), NULL);
    key_request_put(&in, &r);
    return keyserver_request(ks, buf_span(&in), &out) == KEY_OK ? 0 : 4;
}

static void keyring_works_locked_up(void)
{
    if (sandbox_sanitized())
        TEST_SKIP("a build with sanitizers");
    CHECK_INT(in_child(sign_locked_up, NULL), 0);
}

/* master: its children inherit the filter, and must be able to do their own locking. */
static int master_then_child(const void *arg)
{
    (void)arg;
    struct sandbox_report report;
    struct err why;
    sandbox_report_init(&report);
    struct sandbox_params params = { 0 };
    if (!sandbox_apply("master", &params, &report, &why) || !report.seccomp)
        return 1;
    if (!denied(syscall(SYS_mount, 0, 0, 0, 0, 0)) || !denied(syscall(SYS_bpf, 0, 0, 0)))
        return 2;
    pid_t pid = fork();
    if (pid == 0) {
        execl("/bin/true", "true", NULL);
        _exit(1);
    }
    int status;
    if (waitpid(pid, &status, 0) != pid || status != 0)
        return 3;
    return in_child(lock_and_try, &expected[0]) ? 4 : 0;
}

static void master_may_start_children(void)
{
    if (sandbox_sanitized())
        TEST_SKIP("a build with sanitizers");
    CHECK_INT(in_child(master_then_child, NULL), 0);
}

/* ---- files by path ---- */

static bool can_create(const char *dir, const char *name)
{
    char path[200];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    if (fd < 0)
        return false;
    bool ok = write(fd, "x", 1) == 1 && ftruncate(fd, 0) == 0;
    close(fd);
    return ok;
}

static int only_inside(const void *arg)
{
    const struct place *p = arg;
    struct sandbox_report report;
    struct err why;
    char from[200], to[200];
    int before = open(p->outside, O_RDONLY | O_DIRECTORY);
    struct landlock_rule rules[] = { { p->inside, MAY_READ | MAY_WRITE },
                                     { "/nowhere", MAY_READ } };
    struct sandbox_params params = { .paths = rules, .path_count = 2 };
    sandbox_report_init(&report);
    if (before < 0 || !sandbox_apply("qmgr", &params, &report, &why) || !report.landlock)
        return 1;
    if (!strstr(buf_cstr(&report.missing), "/nowhere does not exist"))
        return 2;
    if (!can_create(p->inside, "f"))
        return 3;
    if (can_create(p->outside, "f") || errno != EACCES)
        return 4;
    if (open("/etc/passwd", O_RDONLY) >= 0 || errno != EACCES)
        return 5;
    snprintf(from, sizeof from, "%s/f", p->inside);
    snprintf(to, sizeof to, "%s/g", p->inside);
    if (rename(from, to) != 0)
        return 6;
    snprintf(from, sizeof from, "%s/g", p->outside);
    if (rename(to, from) == 0)
        return 7;
    return unlink(to) == 0 ? 0 : 8;
}

static int only_read(const void *arg)
{
    const struct place *p = arg;
    struct sandbox_report report;
    struct err why;
    char path[200];
    snprintf(path, sizeof path, "%s/f", p->inside);
    if (!can_create(p->inside, "f"))
        return 1;
    struct landlock_rule rule = { p->inside, MAY_READ };
    struct sandbox_params params = { .paths = &rule, .path_count = 1 };
    sandbox_report_init(&report);
    if (!sandbox_apply("qmgr", &params, &report, &why) || !report.landlock)
        return 2;
    if (open(path, O_RDONLY) < 0)
        return 3;
    return open(path, O_WRONLY) < 0 && unlink(path) != 0 && !can_create(p->inside, "g") ? 0 : 4;
}

static void landlock_holds(void)
{
    if (sandbox_sanitized())
        TEST_SKIP("a build with sanitizers");
    if (landlock_abi() == 0)
        TEST_SKIP("this kernel has no Landlock");
    struct place p;
    place_make(&p);
    int rc = in_child(only_inside, &p), rc2 = in_child(only_read, &p);
    place_remove(&p);
    CHECK_INT(rc, 0);
    CHECK_INT(rc2, 0);
}

/* ---- the user ---- */

static int drop_all(const void *arg)
{
    const struct place *p = arg;
    struct user nobody;
    struct err why;
    struct sandbox_report report;
    sandbox_report_init(&report);
    if (!userdb_user("nobody", &nobody, &why))
        return 1;
    struct sandbox_params params = { .user = &nobody, .empty_root = p->inside };
    if (chmod(p->inside, 0755) != 0 || !sandbox_apply("smtpd", &params, &report, &why))
        return 2;
    if (!report.root || !report.dropped || getuid() != nobody.uid || geteuid() != nobody.uid ||
        getegid() != nobody.gid)
        return 3;
    if (getgroups(0, NULL) > 1)
        return 4;
    if (setuid(0) == 0 || setgid(0) == 0)
        return 5;
    if (sandbox_sanitized())
        return 0;
    return report.empty_root && open("/etc/passwd", O_RDONLY) < 0 ? 0 : 6;
}

static int drop_only(const void *arg)
{
    (void)arg;
    struct err why;
    struct stat st;
    if (privilege_drop(0, 0, &why) || privilege_drop(65534, 0, &why))
        return 1;
    if (!privilege_drop(65534, 65533, &why))
        return 2;
    if (setresuid(0, 0, 0) == 0 || setresgid(0, 0, 0) == 0 || getuid() != 65534)
        return 3;
    return stat("/etc/shadow", &st) == 0 && open("/etc/shadow", O_RDONLY) >= 0 ? 4 : 0;
}

static int bad_root(const void *arg)
{
    const struct place *p = arg;
    struct err why;
    if (privilege_empty_root(p->dir, &why) || !strstr(why.text, "empty directory"))
        return 1; /* not empty */
    if (chmod(p->inside, 0777) != 0 || privilege_empty_root(p->inside, &why))
        return 2; /* anybody could write into it */
    return privilege_empty_root("/nowhere", &why) ? 3 : 0;
}

static void drop_is_for_good(void)
{
    if (!privilege_is_root())
        TEST_SKIP("not root");
    struct place p;
    place_make(&p);
    int bad = in_child(bad_root, &p), only = in_child(drop_only, NULL);
    int all = in_child(drop_all, &p);
    place_remove(&p);
    CHECK_INT(bad, 0);
    CHECK_INT(only, 0);
    CHECK_INT(all, 0);
}

static int ordinary(const void *arg)
{
    (void)arg;
    struct err why;
    struct user other = { .uid = 4242, .gid = 4242 };
    struct sandbox_report report;
    sandbox_report_init(&report);
    if (privilege_is_root() && setuid(65534) != 0)
        return 1;
    struct sandbox_params params = { .user = &other, .empty_root = "/nowhere" };
    uid_t before = getuid();
    if (!sandbox_apply("deliver", &params, &report, &why) || report.dropped || getuid() != before)
        return 2;
    if (!strstr(buf_cstr(&report.missing), "calling user"))
        return 3;
    return sandbox_sanitized() || (report.seccomp && report.no_new_privs) ? 0 : 4;
}

static void ordinary_user_is_told(void) { CHECK_INT(in_child(ordinary, NULL), 0); }

static int switched_off(const void *arg)
{
    (void)arg;
    struct err why;
    struct sandbox_report report;
    sandbox_report_init(&report);
    struct sandbox_params params = { .off = true };
    if (!sandbox_apply("smtpd", &params, &report, &why) || report.seccomp || report.landlock)
        return 1;
    if (!strstr(buf_cstr(&report.missing), "configuration"))
        return 2;
    buf_reset(&report.missing);
    params.off = false;
    if (!sandbox_apply("stranger", &params, &report, &why) || report.seccomp)
        return 3;
    return strstr(buf_cstr(&report.missing), "does not know") ? 0 : 4;
}

/* One of the two; the other stays. */
static int partly_off(const void *arg)
{
    bool seccomp = !arg;
    struct err why;
    struct sandbox_report report;
    sandbox_report_init(&report);
    struct sandbox_params params = { .no_seccomp = seccomp, .no_landlock = !seccomp };
    if (!sandbox_apply("smtpd", &params, &report, &why))
        return 1;
    if (seccomp ? report.seccomp : report.landlock)
        return 2;
    if (sandbox_sanitized())
        return 0;
    if (seccomp ? report.landlock != (landlock_abi() > 0) : !report.seccomp)
        return 3;
    return strstr(buf_cstr(&report.missing), seccomp ? "seccomp is switched off"
                                                     : "Landlock is switched off") ? 0 : 4;
}

static void off_is_reported(void)
{
    CHECK_INT(in_child(switched_off, NULL), 0);
    CHECK_INT(in_child(partly_off, NULL), 0);
    CHECK_INT(in_child(partly_off, ""), 0);
}

/* ---- users, descriptors ---- */

static void users_by_name_and_number(void)
{
    struct user u;
    gid_t gid;
    struct err why;
    CHECK(userdb_user("root", &u, &why));
    CHECK(u.uid == 0 && u.gid == 0 && strcmp(u.name, "root") == 0 && u.home[0] == '/');
    CHECK(userdb_user("0", &u, &why));
    CHECK(strcmp(u.name, "root") == 0);
    CHECK(userdb_user("3141592", &u, &why));
    CHECK(u.uid == 3141592 && u.gid == 3141592 && u.name[0] == 0);
    CHECK(!userdb_user("nobody-of-this-name", &u, &why));
    CHECK(strstr(why.text, "none of this name"));
    CHECK(!userdb_user("4294967295", &u, &why)); /* -1 */
    CHECK(userdb_group("root", &gid, &why) && gid == 0);
    CHECK(userdb_group("77", &gid, &why) && gid == 77);
    CHECK(!userdb_group("nobody-of-this-name", &gid, &why));
    userdb_self(&u);
    CHECK(u.uid == geteuid() && u.gid == getegid());
}

static int descriptors(const void *arg)
{
    (void)arg;
    int fd = dup2(0, 50);
    proc_close_from(40);
    return fd == 50 && fcntl(50, F_GETFD) < 0 && fcntl(0, F_GETFD) >= 0 ? 0 : 5;
}

static void descriptors_are_closed(void) { CHECK_INT(in_child(descriptors, NULL), 0); }

/* The kernel's struct sched_attr. */
struct attr {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime_ns, deadline_ns, period_ns;
};

static struct attr attr_now(void)
{
    struct attr a = { .size = sizeof a };
    syscall(SYS_sched_getattr, 0, &a, sizeof a, 0);
    return a;
}

/* Nothing else changes; where the kernel or a container does not allow it, not this either. */
static bool turns_are_as_said(void)
{
    struct attr want = attr_now();
    proc_short_turns();
    struct attr now = attr_now();
    bool may = syscall(SYS_sched_setattr, 0, &now, 0) == 0;
    if (may && want.policy == SCHED_OTHER && want.runtime_ns > 500000)
        want.runtime_ns = 500000;
    return memcmp(&now, &want, sizeof now) == 0;
}

static int turns(const void *arg)
{
    (void)arg;
    if (setpriority(PRIO_PROCESS, 0, 19) != 0 || !turns_are_as_said() || !turns_are_as_said())
        return 1;
    return getpriority(PRIO_PROCESS, 0) == 19 ? 0 : 2;
}

static int chosen_turns(const void *arg)
{
    struct sched_param none = { 0 };
    (void)arg;
    return sched_setscheduler(0, SCHED_BATCH, &none) == 0 && turns_are_as_said() ? 0 : 1;
}

static void turns_are_short(void)
{
    CHECK_INT(in_child(turns, NULL), 0);
    CHECK_INT(in_child(chosen_turns, NULL), 0);
}

static const struct test tests[] = {
    TEST(roles_are_locked), TEST(kill_is_a_choice), TEST(keyring_works_locked_up),
    TEST(master_may_start_children), TEST(landlock_holds), TEST(drop_is_for_good),
    TEST(ordinary_user_is_told), TEST(off_is_reported), TEST(users_by_name_and_number),
    TEST(descriptors_are_closed), TEST(turns_are_short),
};
TEST_MAIN(tests)
