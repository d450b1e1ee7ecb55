/* TLS against somebody else's program: openssl s_client and s_server over loopback. */
#include "test.h"
#include "test_cert.h"

#include "tls/client.h"
#include "tls/keyserver.h"
#include "tls/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATIENCE_MS = 60000 };

struct scene {
    char dir[64];
    struct pair rsa, ec;
    struct keyserver *ks;
    struct tls_server_ctx *server;
    uint64_t asked;
    struct buf request;
};

static void on_sign(void *arg, uint64_t id, struct span request)
{
    struct scene *s = arg;
    s->asked = id;
    buf_reset(&s->request);
    buf_puts(&s->request, request);
}

static const char *in_dir(struct scene *s, const char *name)
{
    static char path[4][128];
    static int turn;
    char *p = path[turn++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", s->dir, name);
    return p;
}

static void save(struct scene *s, const char *name, const struct pem *pem)
{
    FILE *f = fopen(in_dir(s, name), "w");
    MUST(f && fwrite(pem->text, 1, pem->n, f) == pem->n && fclose(f) == 0);
}

static void scene_open(struct scene *s)
{
    struct err why;
    *s = (struct scene){ .dir = "/tmp/test-tls-XXXXXX" };
    MUST(mkdtemp(s->dir));
    s->rsa = pair_new(EVP_RSA_gen(2048));
    s->ec = pair_new(EVP_EC_gen("P-256"));
    save(s, "rsa.crt", &s->rsa.cert);
    save(s, "rsa.key", &s->rsa.key);
    s->ks = keyserver_new(3600000);
    struct span keys[] = { pem_span(&s->rsa.key), pem_span(&s->ec.key) };
    struct tls_server_config config = {
        .chain_pem = { pem_span(&s->rsa.cert), pem_span(&s->ec.cert) },
        .chains = 2,
    };
    buf_init(&s->request, KEY_REQUEST_MAX);
    MUST(keyserver_set_keys(s->ks, keys, 2, &why) && keyserver_tick(s->ks, 0));
    s->server = tls_server_ctx_new(&config, &(struct tls_server_ops){ on_sign, s }, &why);
    struct buf tickets;
    buf_init(&tickets, TICKET_KEYS_MAX);
    MUST(s->server && keyserver_tickets(s->ks, &tickets));
    MUST(tls_server_set_tickets(s->server, buf_span(&tickets)));
    buf_free(&tickets);
}

static void scene_close(struct scene *s)
{
    const char *names[] = { "rsa.crt", "rsa.key", "session" };
    for (size_t i = 0; i < 3; i++)
        remove(in_dir(s, names[i]));
    rmdir(s->dir);
    tls_server_ctx_free(&s->server);
    keyserver_free(&s->ks);
    pair_free(&s->rsa);
    pair_free(&s->ec);
    buf_free(&s->request);
}

static int listener(int *port_r)
{
    struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof sa;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    MUST(fd >= 0 && bind(fd, (struct sockaddr *)&sa, n) == 0 && listen(fd, 5) == 0 &&
         getsockname(fd, (struct sockaddr *)&sa, &n) == 0);
    *port_r = ntohs(sa.sin_port);
    return fd;
}

/* A port for a program that is still to start: outside the range from which the kernel gives ports
 * to whoever asks for any, and not one that another test has in mind (tests/lib/ports.py). */
static int port_to_be(int *kept_r)
{
    for (int i = 0;; i++) {
        MUST(i < 1000);
        int port = 12000 + (getpid() * 31 + i) % 20000, one = 1;
        struct sockaddr_un un = { .sun_family = AF_UNIX };
        struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        int n = snprintf(un.sun_path + 1, sizeof un.sun_path - 1, "postern-test-port-%d", port);
        socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
        int mine = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        MUST(mine >= 0 && fd >= 0);
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        bool ok = bind(mine, (struct sockaddr *)&un, len) == 0 &&
                  bind(fd, (struct sockaddr *)&in, sizeof in) == 0;
        close(fd);
        if (ok) {
            *kept_r = mine;
            return port;
        }
        close(mine);
    }
}

/* The program `openssl`, its words on our pipe; its own input never ends. */
static pid_t openssl(char *const *argv, int *out_r, int *in_r)
{
    int out[2], in[2];
    MUST(pipe2(out, O_CLOEXEC) == 0 && pipe2(in, O_CLOEXEC) == 0);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        dup2(out[1], 2);
        execvp("openssl", argv);
        _exit(127);
    }
    close(out[1]);
    close(in[0]);
    *out_r = out[0];
    *in_r = in[1];
    return pid;
}

/* One turn of an owner's loop: sends, receives, answers keyring's question. False: the end. */
static bool turn(struct scene *s, struct tls *t, int fd)
{
    char bytes[4096];
    if (s->asked) {
        struct buf reply;
        uint64_t id = s->asked;
        s->asked = 0;
        buf_init(&reply, KEY_REPLY_MAX);
        keyserver_request(s->ks, buf_span(&s->request), &reply);
        MUST(tls_sign_done(s->server, id, buf_span(&reply)) == t);
        buf_free(&reply);
    }
    struct buf *out = tls_output(t);
    while (out->len) {
        ssize_t put = send(fd, buf_span(out).p, out->len, MSG_NOSIGNAL);
        if (put <= 0)
            return false;
        buf_take(out, (size_t)put);
    }
    struct pollfd p = { .fd = fd, .events = POLLIN };
    if (poll(&p, 1, PATIENCE_MS) != 1)
        return false;
    ssize_t got = recv(fd, bytes, sizeof bytes, 0);
    if (got <= 0) {
        tls_input_end(t);
        return false;
    }
    return tls_input(t, span_of(bytes, (size_t)got)) == (size_t)got;
}

/* Reads plaintext until a line end. */
static bool line(struct scene *s, struct tls *t, int fd, char *to, size_t max)
{
    size_t n = 0;
    for (;;) {
        ssize_t got = tls_read(t, to + n, max - 1 - n);
        if (got < 0)
            return false;
        n += (size_t)got;
        to[n] = 0;
        if (n && to[n - 1] == '\n')
            return true;
        if (got == 0 && !turn(s, t, fd))
            return false;
    }
}

/* s_client says hello and gets an answer; what it printed goes into `said`. 1 resumed, 0 not. */
static int serve_one(struct scene *s, char *const *argv, int fd, char *said, size_t said_max,
                     const char *version)
{
    int out, in, result = -1;
    char text[200];
    pid_t pid = openssl(argv, &out, &in);
    struct pollfd p = { .fd = fd, .events = POLLIN };
    int conn = poll(&p, 1, PATIENCE_MS) == 1 ? accept(fd, NULL, NULL) : -1;
    struct tls *t = tls_server_new(s->server, NULL);
    if (conn >= 0) {
        MUST(write(in, "hello\n", 6) == 6);
        if (line(s, t, conn, text, sizeof text) && strcmp(text, "hello\n") == 0 &&
            strcmp(tls_info(t).version, version) == 0 && tls_write(t, SPAN("welcome\n")) == 8) {
            result = tls_info(t).resumed;
            tls_close(t);
            while (turn(s, t, conn))
                ;
        } else {
            printf("# %s\n", tls_why(t));
        }
        close(conn);
    }
    close(in);
    size_t n = 0;
    for (ssize_t got; n < said_max - 1 && (got = read(out, said + n, said_max - 1 - n)) > 0;)
        n += (size_t)got;
    said[n] = 0;
    close(out);
    int status;
    kill(pid, SIGTERM);
    waitpid(pid, &status, 0);
    tls_free(&t);
    return result;
}

static bool no_openssl(void)
{
    char *argv[] = { (char *)"openssl", (char *)"version", NULL };
    int out, in, status;
    pid_t pid = openssl(argv, &out, &in);
    close(out);
    close(in);
    return waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) == 127;
}

static void s_client(void)
{
    static const struct {
        const char *version, *name, *type, *sigalg, *want;
    } cases[] = {
        { "-tls1_3", "TLSv1.3", "rsa_pss_rsae_sha256", "Peer signature type: RSA-PSS", "welcome" },
        { "-tls1_3", "TLSv1.3", "ecdsa_secp256r1_sha256", "Peer signature type: ECDSA", "welcome" },
        { "-tls1_2", "TLSv1.2", "RSA+SHA256", "Peer signature type: RSA", "welcome" },
        { "-tls1_2", "TLSv1.2", "RSA-PSS+SHA512", "Peer signature type: RSA-PSS", "welcome" },
        { "-tls1_2", "TLSv1.2", "ECDSA+SHA384", "Peer signature type: ECDSA", "welcome" },
    };
    struct scene s;
    static char said[20000];
    char address[40];
    int port;
    if (no_openssl())
        TEST_SKIP("no program openssl");
    scene_open(&s);
    int fd = listener(&port);
    snprintf(address, sizeof address, "127.0.0.1:%d", port);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *argv[] = { (char *)"openssl", (char *)"s_client", (char *)"-connect", address,
                         (char *)cases[i].version, (char *)"-sigalgs", (char *)cases[i].type,
                         NULL };
        int rc = serve_one(&s, argv, fd, said, sizeof said, cases[i].name);
        if (rc != 0 || !strstr(said, cases[i].want) || !strstr(said, cases[i].sigalg))
            TEST_FAIL("%s %s: %d, %s", cases[i].name, cases[i].type, rc, said);
    }
    close(fd);
    scene_close(&s);
}

static void s_client_resumes(void)
{
    struct scene s;
    static char said[20000];
    char address[40];
    int port;
    if (no_openssl())
        TEST_SKIP("no program openssl");
    scene_open(&s);
    int fd = listener(&port);
    snprintf(address, sizeof address, "127.0.0.1:%d", port);
    for (int v = 0; v < 2; v++) {
        char *argv[] = { (char *)"openssl", (char *)"s_client", (char *)"-connect", address,
                         (char *)(v ? "-tls1_2" : "-tls1_3"), (char *)"-sess_out",
                         (char *)in_dir(&s, "session"), NULL };
        const char *name = v ? "TLSv1.2" : "TLSv1.3";
        CHECK_INT(serve_one(&s, argv, fd, said, sizeof said, name), 0);
        argv[5] = (char *)"-sess_in";
        CHECK_INT(serve_one(&s, argv, fd, said, sizeof said, name), 1);
        CHECK(strstr(said, "Reused, TLS"));
    }
    close(fd);
    scene_close(&s);
}

static int dial(int port)
{
    struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    for (int i = 0; i < 2400; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(fd, (struct sockaddr *)&sa, sizeof sa) == 0)
            return fd;
        close(fd);
        usleep(25000); /* it is still starting */
    }
    return -1;
}

/* Our client twice: the second time with the remembered session. */
static void s_server(void)
{
    struct scene s;
    struct err why;
    char accept_at[40], text[200];
    int out, in, kept = -1;
    if (no_openssl())
        TEST_SKIP("no program openssl");
    scene_open(&s);
    int port = port_to_be(&kept);
    snprintf(accept_at, sizeof accept_at, "127.0.0.1:%d", port);
    char *argv[] = { (char *)"openssl", (char *)"s_server", (char *)"-accept", accept_at,
                     (char *)"-cert", (char *)in_dir(&s, "rsa.crt"),
                     (char *)"-key", (char *)in_dir(&s, "rsa.key"),
                     (char *)"-rev", (char *)"-quiet", NULL };
    pid_t pid = openssl(argv, &out, &in);
    for (int v = 0; v < 2; v++) {
        struct tls_client_config config = { .ca_pem = pem_span(&s.rsa.cert),
                                            .max_version = v ? 0x0303 : 0 };
        struct tls_client_ctx *ctx = tls_client_ctx_new(&config, &why);
        CHECK(ctx);
        for (int again = 0; again < 2; again++) {
            struct tls_peer peer = { SPAN("mx.example.net"), SPAN("peer"), TLS_TRUST_NAME };
            int fd = dial(port);
            CHECK(fd >= 0);
            struct tls *t = tls_client_new(ctx, &peer, NULL, &why);
            while (tls_state(t) == TLS_HANDSHAKE && turn(&s, t, fd))
                ;
            CHECK_SPAN(span_str(tls_why(t)), SPAN(""));
            CHECK_INT(tls_state(t), TLS_OPEN);
            CHECK_INT(tls_write(t, SPAN("postern\n")), 8);
            CHECK(line(&s, t, fd, text, sizeof text));
            CHECK_SPAN(span_str(text), SPAN("nretsop\n"));
            CHECK_SPAN(span_str(tls_info(t).verify), SPAN("OK"));
            CHECK_SPAN(span_str(tls_info(t).version), span_str(v ? "TLSv1.2" : "TLSv1.3"));
            CHECK_INT(tls_info(t).resumed, again);
            tls_close(t);
            send(fd, buf_span(tls_output(t)).p, tls_output(t)->len, MSG_NOSIGNAL);
            close(fd);
            tls_free(&t);
        }
        tls_client_ctx_free(&ctx);
    }
    kill(pid, SIGTERM);
    int status;
    waitpid(pid, &status, 0);
    close(out);
    close(in);
    close(kept);
    scene_close(&s);
}

static const struct test tests[] = { TEST(s_client), TEST(s_client_resumes), TEST(s_server) };
TEST_MAIN(tests)
