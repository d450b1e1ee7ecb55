/* `postern config` as it is called: what it prints where, and its exit status. */
#include "test.h"
#include "test_cert.h"
#include "verb.h"

#include "cli/config.h"

#define CASES TEST_TOP "/tests/cases/config"

#define RUN(...) run(cli_config, (const char *const[]){ "config", __VA_ARGS__, NULL })

static void good_file(void)
{
    struct run *r = RUN("check", "-C", CASES "/gateway.conf");
    CHECK_INT(r->status, 0);
    CHECK(strstr(r->out, "good: 48 options set, 2 listeners, 0 notices\n"));
    CHECK(!strstr(r->err, "not yet in this release"));
}

static void bad_file(void)
{
    struct run *r = RUN("-C", CASES "/same-twice.conf", "check");
    CHECK_INT(r->status, 78);
    CHECK(strstr(r->err, "same-twice.conf:2:1: hostname is set already, on line 1\n"));
    CHECK(strstr(r->err, " mistakes\n"));
    CHECK_INT(r->out[0], 0);
}

static void as_json(void)
{
    struct run *r = RUN("check", "--json", "-C", CASES "/unknown-names.conf");
    CHECK_INT(r->status, 78);
    CHECK(strstr(r->out, "\"ok\":false"));
    CHECK(strstr(r->out, "\"did_you_mean\":\"postmaster\""));
    CHECK_INT(r->err[0], 0);
    r = RUN("show", "--json", "-C", CASES "/gateway.conf");
    CHECK_INT(r->status, 0);
    CHECK(strstr(r->out, "{\"name\":\"queue.run\",\"value\":\"30m\",\"default\":false,"
                         "\"line\":25}"));
}

static void no_file(void)
{
    struct run *r = RUN("check", "-C", CASES "/absent.conf");
    CHECK_INT(r->status, 66);
    CHECK(strstr(r->err, "absent.conf: No such file or directory"));
    r = RUN("check", "-C", CASES);
    CHECK_INT(r->status, 66);
}

static void files_are_looked_at(void)
{
    struct run *r = RUN("check", "--files", "-C", CASES "/files.conf");
    CHECK_INT(r->status, 78);
    CHECK(strstr(r->err, ":2:23: spool.directories: /nonexistent/q*: there is no such directory"));
    CHECK(strstr(r->err, "tls.certificate: /dev/null: is not a file"));
    CHECK(strstr(r->err, "tls.key: /nonexistent/key: No such file or directory"));
    CHECK(strstr(r->err, "/nonexistent/map: cannot open: No such file or directory"));
    CHECK(strstr(r->err, "log.file: /nonexistent: No such file"));
    CHECK(!strstr(r->err, "log.events"));
    CHECK_INT(RUN("check", "-C", CASES "/files.conf")->status, 0);
}

static void put_file(const char *dir, const char *name, struct span text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    CHECK(f && fwrite(text.p, 1, text.n, f) == text.n);
    fclose(f);
}

static void keys_belong_to_certificates(void)
{
    char dir[] = "/tmp/postern-keys-XXXXXX", conf[512], path[64];
    static const char *const names[] = { "c1", "c2", "k1", "k2", "good", "swapped" };
    CHECK(mkdtemp(dir));
    struct pair one = pair_new(EVP_EC_gen("P-256")), two = pair_new(EVP_EC_gen("P-256"));
    put_file(dir, "c1", pem_span(&one.cert));
    put_file(dir, "k1", pem_span(&one.key));
    put_file(dir, "c2", pem_span(&two.cert));
    put_file(dir, "k2", pem_span(&two.key));
    for (int swapped = 0; swapped < 2; swapped++) {
        int n = snprintf(conf, sizeof conf,
                         "hostname = \"x.example\"\ntls { certificate = { \"%s/c1\", \"%s/c2\" }\n"
                         "key = { \"%s/k1\", \"%s/k%d\" } }\n", dir, dir, dir, dir, 2 - swapped);
        put_file(dir, names[4 + swapped], span_of(conf, (size_t)n));
        snprintf(path, sizeof path, "%s/%s", dir, names[4 + swapped]);
        struct run *r = RUN("check", "--files", "-C", path);
        const char *said = strstr(r->err, "the private key does not belong to the certificate");
        CHECK(!strstr(r->err, "c1, tls.key") && !!said == swapped);
        CHECK(!!strstr(r->err, "/c2, tls.key") == swapped);
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        unlink(path);
    }
    rmdir(dir);
    pair_free(&one);
    pair_free(&two);
}

static void long_names(void)
{
    char name[6000];
    static const char *const endings[] = { ".conf", ".mc", ".cf" };
    memset(name, 'x', sizeof name);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        snprintf(name + sizeof name - 8, 8, "%s", endings[i]);
        struct run *r = RUN("check", "-C", name);
        CHECK_INT(r->status, 66);
        CHECK(strstr(r->err, "too long"));
    }
}

static void shown(void)
{
    struct run *r = RUN("show", "-C", CASES "/gateway.conf");
    CHECK_INT(r->status, 0);
    CHECK(strstr(r->out, "\nlisten.capture.delivery = hold  # " CASES "/gateway.conf:22\n"));
    CHECK(strstr(r->out, "\ndeliver.port = 25  # default\n"));
    CHECK_INT(RUN("show", "-C", CASES "/lists.conf")->status, 78);
}

static void explained(void)
{
    struct run *r = RUN("explain", "-C", CASES "/gateway.conf", "spool.free_min");
    CHECK_INT(r->status, 0);
    CHECK(strstr(r->out, "  default  512M\n"));
    CHECK(strstr(r->out, "gateway.conf:10\n"));
    r = RUN("explain", "-C", CASES "/gateway.conf", "retry");
    CHECK(strstr(r->out, "retry.first\n") && strstr(r->out, "retry.expire_after\n"));
    r = RUN("explain", "-C", CASES "/lists.conf", "listen.mx.tls"); /* a bad file is no obstacle */
    CHECK_INT(r->status, 0);
    CHECK(strstr(r->out, "listen.tls\n"));
    r = RUN("explain", "hostname", "-C", CASES "/gateway.conf", "queue.run", "spol.free_min");
    CHECK_INT(r->status, 64); /* but what is known is explained */
    CHECK(strstr(r->out, "hostname\n") && strstr(r->out, "queue.run\n"));
    r = RUN("explain", "-C", CASES "/gateway.conf", "spool.fre_min");
    CHECK_INT(r->status, 64);
    CHECK(strstr(r->err, "did you mean \"spool.free_min\"?"));
}

static void usage_errors(void)
{
    CHECK_INT(RUN("chek")->status, 64);
    CHECK_INT(RUN("check", "--flies")->status, 64);
    CHECK_INT(RUN("check", "-C")->status, 64);
    CHECK_INT(RUN("check", "more")->status, 64);
    CHECK_INT(RUN("explain")->status, 64);
    CHECK_INT(RUN("show", "--files", "-C", CASES "/gateway.conf")->status, 64);
    CHECK_INT(RUN("check", "--as-file", "-C", CASES "/gateway.conf")->status, 64);
    CHECK_INT(RUN("check", "--socket", "/x", "-C", CASES "/gateway.conf")->status, 64);
    CHECK_INT(RUN("show", "--json", "--as-file", "-C", CASES "/gateway.conf")->status, 64);
    CHECK_INT(run(cli_config, (const char *const[]){ "config", NULL })->status, 64);
    struct run *r = RUN("--help");
    CHECK_INT(r->status, 0);
    CHECK(strstr(r->out, "usage: postern config check"));
}

static const struct test tests[] = {
    TEST(good_file), TEST(bad_file),            TEST(as_json), TEST(no_file), TEST(long_names),
    TEST(shown),     TEST(files_are_looked_at), TEST(explained), TEST(usage_errors),
    TEST(keys_belong_to_certificates),
};
TEST_MAIN(tests)
