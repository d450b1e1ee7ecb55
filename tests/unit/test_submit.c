/* What local programs hand in: address lists, lines, headers, and the submission spool's files. */
#include "mail/addrlist.h"
#include "mail/compose.h"
#include "submit/drop.h"
#include "submit/file.h"
#include "submit/where.h"
#include "test.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

/* "a@b|c@d|!why": the addresses of a list, errors by their words */
static void read_list(const char *text, struct buf *out)
{
    struct addrlist l;
    struct span addr;
    int got;
    buf_reset(out);
    addrlist_init(&l, span_str(text));
    while ((got = addrlist_next(&l, &addr)) != 0) {
        if (out->len)
            buf_putc(out, '|');
        if (got > 0)
            buf_puts(out, addr.n ? addr : SPAN("<>"));
        else
            buf_printf(out, "!%s", l.why);
    }
    addrlist_free(&l);
}

static void address_lists(void)
{
    static const struct {
        const char *text, *want;
    } cases[] = {
        { "a@b.example", "a@b.example" },
        { " a@b , c@d ", "a@b|c@d" },
        { "Joe Doe <a@b>, \"Doe, J.\" <c@d>", "a@b|c@d" },
        { "J. R. \"Bob\" Doe <a@b>", "a@b" },
        { "a@b (Joe, of (nested) b), c@d", "a@b|c@d" },
        { "undisclosed-recipients:;", "" },
        { "undisclosed-recipients: ;\r\n", "" },
        { "List: a@b, Joe <c@d>;, e@f", "a@b|c@d|e@f" },
        { "List: a@b", "a@b" },
        { "root", "root" },
        { "<>", "<>" },
        { "", "" },
        { ",,a@b,,", "a@b" },
        { "a@b,\r\n\tc@d\r\n", "a@b|c@d" },
        { "<@r1,@r2:a@b>", "a@b" },
        { "\"a b\"@c", "\"a b\"@c" },
        { "a @ b . example", "a@b.example" },
        { "u@[IPv6:::1], v@[1.2.3.4]", "u@[IPv6:::1]|v@[1.2.3.4]" },
        { "<a@b, c@d", "!Unbalanced '<'|c@d" },
        { "a@b>, c@d", "!Unbalanced '>'|c@d" },
        { "two words, c@d", "!Syntax error in mailbox address|c@d" },
        { "\"unclosed, a@b, c@d", "!Unbalanced quotes or comments|a@b|c@d" },
        { "(unclosed a@b, c@d", "!Unbalanced quotes or comments|c@d" },
        { "a@b;c@d", "a@b;c@d" },
        { "=?utf-8?q?J=C3=B6rg?= <a@b>", "a@b" },
    };
    struct buf got;
    buf_init(&got, 4096);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        read_list(cases[i].text, &got);
        if (!span_eq(buf_span(&got), span_str(cases[i].want)))
            printf("# \"%s\"\n", cases[i].text);
        CHECK_SPAN(buf_span(&got), span_str(cases[i].want));
    }
    buf_free(&got);
}

/* All ways of cutting the input in two give the same lines. */
static void lines_case(const char *in, bool dot, const char *want, bool done)
{
    size_t n = strlen(in);
    for (size_t cut = 0; cut <= n; cut++) {
        struct compose_lines l;
        struct buf out;
        buf_init(&out, 4096);
        compose_lines_init(&l, dot);
        CHECK(compose_lines_put(&l, span_of(in, cut), &out));
        CHECK(compose_lines_put(&l, span_of(in + cut, n - cut), &out));
        CHECK_INT(l.done, done);
        CHECK(compose_lines_end(&l, &out));
        CHECK_SPAN(buf_span(&out), span_str(want));
        buf_free(&out);
    }
}

static void lines(void)
{
    lines_case("a\nb\n", true, "a\r\nb\r\n", false);
    lines_case("a\r\nb", true, "a\r\nb\r\n", false);
    lines_case("10%\r20%\rdone\n", true, "10%\r\n20%\r\ndone\r\n", false);
    lines_case("a\r\r\nb\n", true, "a\r\nb\r\n", false);
    lines_case("a\n.\nb\n", true, "a\r\n", true);
    lines_case("a\r\n.\r\nb\n", true, "a\r\n", true);
    lines_case("a\n.\nb\n", false, "a\r\n.\r\nb\r\n", false);
    lines_case("a\n..\n.b\n.", true, "a\r\n..\r\n.b\r\n", false);
    lines_case("From joe Mon Jan 1\nTo: a\n\nFrom x\n", true, "To: a\r\n\r\nFrom x\r\n", false);
    lines_case("From: a\n", true, "From: a\r\n", false);
    lines_case("Fro", true, "Fro\r\n", false);
    lines_case("\n\n", true, "\r\n\r\n", false);
    lines_case("", true, "", false);
}

static void headers_end(void)
{
    size_t end;
    bool empty;
    CHECK_INT(compose_header_end(SPAN("To: a\r\nCc: b\r\n\r\nbody\r\n"), false, &end, &empty), 1);
    CHECK_INT(end, 16);
    CHECK(empty);
    CHECK_INT(compose_header_end(SPAN("To: a\r\n folded\r\nno field\r\n"), false, &end, &empty), 1);
    CHECK_INT(end, 16);
    CHECK(!empty);
    CHECK_INT(compose_header_end(SPAN("To: a\r\nCc"), false, &end, &empty), 0);
    CHECK_INT(compose_header_end(SPAN("To: a\r\nCc: x\r\n"), true, &end, &empty), 1);
    CHECK_INT(end, 14);
    CHECK_INT(compose_header_end(SPAN(" starts with a blank\r\n"), false, &end, &empty), 1);
    CHECK_INT(end, 0);
    CHECK_INT(compose_header_end(SPAN("Subject : x\r\n\r\n"), false, &end, &empty), 1);
    CHECK_INT(end, 15);
}

static void header_case(const char *header, struct span name, const char *want)
{
    struct compose_facts f = { .sender = SPAN("joe@host.example"), .full_name = name,
                               .host = SPAN("host.example"), .unique = SPAN("1.2"),
                               .wall_ms = 0 };
    struct buf out;
    buf_init(&out, 4096);
    CHECK(compose_header_put(&out, span_str(header), &f));
    CHECK_SPAN(buf_span(&out), span_str(want));
    buf_free(&out);
}

#define DATE "Date: Thu, 1 Jan 1970 00:00:00 +0000\r\n"
#define ID "Message-Id: <1.2@host.example>\r\n"

static void headers_completed(void)
{
    header_case("To: a@b\r\n", SPAN_NONE, DATE "From: joe@host.example\r\n" ID "To: a@b\r\n\r\n");
    header_case("To: a@b\r\n", SPAN("Joe Doe"),
                DATE "From: Joe Doe <joe@host.example>\r\n" ID "To: a@b\r\n\r\n");
    header_case("", SPAN("Doe, J. \"Joe\""),
                DATE "From: \"Doe, J. \\\"Joe\\\"\" <joe@host.example>\r\n" ID "\r\n");
    header_case("Full-Name: Jane\r\nTo: a@b\r\n", SPAN("Joe"),
                DATE "From: Jane <joe@host.example>\r\n" ID "To: a@b\r\n\r\n");
    header_case("DATE: x\r\nfrom: y\r\nmessage-id: z\r\nBcc: c@d,\r\n e@f\r\nSubject: s\r\n",
                SPAN_NONE, "DATE: x\r\nfrom: y\r\nmessage-id: z\r\nSubject: s\r\n\r\n");
    header_case("Date: x\r\nFrom: y\r\nResent-To: r@s\r\nResent-Bcc: t@u\r\n", SPAN_NONE,
                "Resent-Date: Thu, 1 Jan 1970 00:00:00 +0000\r\n"
                "Resent-From: joe@host.example\r\nResent-Message-Id: <1.2@host.example>\r\n"
                "Date: x\r\nFrom: y\r\nResent-To: r@s\r\n\r\n");
}

static void recipient_fields(void)
{
    CHECK(compose_names_recipients(SPAN("TO"), false));
    CHECK(compose_names_recipients(SPAN("Bcc"), false));
    CHECK(!compose_names_recipients(SPAN("Reply-To"), false));
    CHECK(!compose_names_recipients(SPAN("To"), true));
    CHECK(compose_names_recipients(SPAN("resent-cc"), true));
    CHECK(compose_is_resent(SPAN("To: a\r\nResent-Cc: b\r\n")));
    CHECK(!compose_is_resent(SPAN("To: a\r\nResent-Date: b\r\n")));
}

/* --- the submission spool --- */

static void files(void)
{
    struct envelope_rcpt rcpts[] = {
        { .addr = SPAN("a@b"), .notify = NOTIFY_NEVER },
        { .addr = SPAN("\"x y\"@b"), .orcpt = SPAN("rfc822;a+2Bb@c") },
        { .addr = SPAN("c@d"), .notify = NOTIFY_SUCCESS | NOTIFY_DELAY },
    };
    struct submit_file f = { .sender = SPAN("s@t"), .envid = SPAN("E+31"),
                             .flags = ENVELOPE_8BITMIME | ENVELOPE_RET_HDRS | ENVELOPE_DEFER,
                             .rcpts = rcpts, .rcpt_count = 3, .size_bytes = 12345 };
    struct submit_file g;
    struct buf b;
    struct arena *a = arena_new(1 << 20);
    size_t head;
    const char *why = NULL;
    buf_init(&b, 4096);
    CHECK(submit_file_put(&b, &f));
    size_t n = b.len;
    buf_putz(&b, "content");
    for (size_t cut = 0; cut < n; cut++)
        CHECK_INT(submit_file_get(span_to(buf_span(&b), cut), a, &g, &head, &why), 0);
    CHECK_INT(submit_file_get(buf_span(&b), a, &g, &head, &why), 1);
    CHECK_INT(head, n);
    CHECK_SPAN(g.sender, f.sender);
    CHECK_SPAN(g.envid, f.envid);
    CHECK_INT(g.flags, f.flags);
    CHECK_INT(g.size_bytes, 12345);
    CHECK_INT(g.rcpt_count, 3);
    for (size_t i = 0; i < 3; i++) {
        CHECK_SPAN(g.rcpts[i].addr, rcpts[i].addr);
        CHECK_SPAN(g.rcpts[i].orcpt, rcpts[i].orcpt);
        CHECK_INT(g.rcpts[i].notify, rcpts[i].notify);
    }
    struct envelope_rcpt evil = { .addr = SPAN("a@b>\nrcpt <c@d") };
    f.rcpts = &evil;
    f.rcpt_count = 1;
    CHECK(!submit_file_put(&b, &f));
    buf_free(&b);
    arena_free(&a);
}

static void bad_files(void)
{
    static const char *const bad[] = {
        "postern-submit 2\n",
        "postern-submit 1\nrcpt <a@b>\nsize 1\n\n",
        "postern-submit 1\nsender <s@t>\nsize 1\n\n",
        "postern-submit 1\nsender s@t\nrcpt <a@b>\nsize 1\n\n",
        "postern-submit 1\nsender <s@t> x\nrcpt <a@b>\nsize 1\n\n",
        "postern-submit 1\nsender <s@t>\nrcpt <>\nsize 1\n\n",
        "postern-submit 1\nsender <s@t>\nrcpt <a@b> uid=0\nsize 1\n\n",
        "postern-submit 1\nsender <s@t>\nrcpt <a@b>\nflags hold\nsize 1\n\n",
        "postern-submit 1\nsender <s@t>\nflags root\nrcpt <a@b>\nsize 1\n\n",
        "postern-submit 1\nsender <s@t>\nrcpt <a@b>\nsize -1\n\n",
        "postern-submit 1\nsender <s@t>\nrcpt <a@b>\nsize 1\nrcpt <c@d>\n\n",
        "postern-submit 1\nsender <s@t>\nrcpt <a@b>\n\n",
    };
    struct arena *a = arena_new(1 << 20);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct submit_file g;
        size_t head;
        const char *why = NULL;
        int got = submit_file_get(span_str(bad[i]), a, &g, &head, &why);
        if (got != -1)
            printf("# %s", bad[i]);
        CHECK_INT(got, -1);
        CHECK(why != NULL);
    }
    arena_free(&a);
}

static void dropping(void)
{
    char dir[] = "/tmp/test-submit-XXXXXX";
    struct err e = { "" };
    CHECK(mkdtemp(dir));
    FILE *from = tmpfile();
    fputs("hello", from);
    rewind(from);
    CHECK(drop_message(dir, fileno(from), 0, &e));
    rewind(from);
    CHECK(!drop_message(dir, fileno(from), 4, &e)); /* too large: nothing stays */
    DIR *d = opendir(dir);
    unsigned seen = 0;
    for (struct dirent *entry; (entry = readdir(d));) {
        if (entry->d_name[0] == '.')
            continue;
        struct stat st;
        char path[512];
        snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
        CHECK(strncmp(entry->d_name, DROP_PREFIX, strlen(DROP_PREFIX)) == 0);
        CHECK_INT(stat(path, &st), 0);
        CHECK_INT(st.st_size, 5);
        CHECK_INT(st.st_mode & 07777, DROP_MODE);
        CHECK_INT(unlink(path), 0);
        seen++;
    }
    closedir(d);
    CHECK_INT(seen, 1);
    CHECK_INT(rmdir(dir), 0);
    CHECK(!drop_message(dir, fileno(from), 0, &e));
    CHECK(e.text[0]);
    fclose(from);
}

static void places_case(const char *control, const char *spool, const char *socket,
                        const char *directory)
{
    struct config *c = config_defaults();
    struct span dirs[] = { span_str(spool) };
    struct buf b;
    buf_init(&b, 4096);
    c->control.socket = span_str(control);
    c->spool.directories = (struct config_texts){ dirs, 1 };
    submit_put_socket(&b, c);
    CHECK_SPAN(buf_span(&b), span_str(socket));
    buf_reset(&b);
    submit_put_directory(&b, c);
    CHECK_SPAN(buf_span(&b), span_str(directory));
    buf_free(&b);
    config_free(&c);
}

static void places(void)
{
    places_case("/run/postern/control", "/var/spool/postern/q*", "/run/postern/submit",
                "/var/spool/postern/submit");
    places_case("/run/a/control", "/mail/*", "/run/a/submit", "/mail/.submit");
    places_case("/tmp/x/a.ctl", "/tmp/x/spool", "/tmp/x/a.ctl.submit", "/tmp/x/spool.submit");
    places_case("/tmp/x/control", "/tmp/x/q0/", "/tmp/x/submit", "/tmp/x/submit");
}

static const struct test tests[] = {
    TEST(address_lists), TEST(lines),     TEST(headers_end), TEST(headers_completed),
    TEST(recipient_fields), TEST(files), TEST(bad_files),   TEST(dropping), TEST(places),
};
TEST_MAIN(tests)
