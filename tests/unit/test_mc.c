/* Macro files of sendmail's: what each becomes, and what is said about it. */
#include "mc/impl.h"

#include "config/files.h"
#include "config/show.h"
#include "test.h"

#include <unistd.h>

/* --- the frame: one text imported and parsed --- */

static struct mc_lines lines;
static struct buf native, said;
static struct config *cfg;
static struct arena *arena;
static size_t errors, notices;

static bool few_files(void *ctx, const char *path, struct buf *text, struct err *e)
{
    static const char *const files[][2] = {
        { "/etc/mail/local-host-names", "# ours\na.example\n  b.example # too\n\n" },
        { "/dir/more.m4", "define(`confMAX_HOP', `31')dnl\n\ndefine(`confNOPE', `1')dnl\n" },
        { "/dir/self.m4", "include(`self.m4')\n" },
        { "/dir/relay", "relay.example\n10.2\n" },
        { "/etc/mail/trusted-users", "listmaster\n" },
    };
    (void)ctx;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (strcmp(path, files[i][0]) == 0)
            return buf_putz(text, files[i][1]);
    err_set(e, "%s: No such file or directory", path);
    return false;
}

static bool no_files(void *ctx, const char *path, struct buf *text, struct err *e)
{
    (void)ctx;
    (void)text;
    err_set(e, "%s: No such file or directory", path);
    return false;
}

static void forget(void)
{
    config_free(&cfg);
    arena_free(&arena);
    buf_free(&native);
    buf_free(&said);
}

/* True: no mistake. The result is in the variables above until the next call. */
static bool import_with(const char *text, mc_read_fn *read)
{
    struct mc_world world = { .hostname = SPAN("mx.example.net"), .read = read };
    struct config_report *report = config_report_new();
    forget();
    buf_init(&native, CONFIG_FILE_MAX);
    buf_init(&said, 1 << 20);
    arena = arena_new(MC_MEMORY_MAX);
    mc_import(span_str(text), SPAN("/dir/test.mc"), &world, arena, &native, &lines, report);
    notices = config_report_notices(report);
    config_report_put_text(&said, report);
    config_parse(buf_span(&native), SPAN("native"), &cfg, report);
    errors = config_report_errors(report);
    config_report_put_text(&said, report);
    config_report_free(&report);
    return errors == 0;
}

static bool import(const char *text) { return import_with(text, no_files); }

/* The same, in a file that has the usual first and last lines and so no notice of its own. */
static bool lines_of(const char *text)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    buf_printf(&b, "OSTYPE(`linux')dnl\nFEATURE(`no_default_msa')dnl\n%s\nMAILER(`smtp')dnl\n",
               text);
    bool good = import_with(buf_cstr(&b), few_files);
    buf_free(&b);
    return good;
}

static bool says(const char *what)
{
    if (strstr(buf_cstr(&said), what))
        return true;
    printf("# said: %s", buf_cstr(&said));
    return false;
}

static bool has(const char *line)
{
    if (strstr(buf_cstr(&native), line))
        return true;
    printf("# native: %s\n# said: %s", buf_cstr(&native), buf_cstr(&said));
    return false;
}

static struct span item(const struct config_texts *t, size_t i)
{
    return i < t->n ? t->v[i] : SPAN("(none)");
}

/* --- m4 --- */

static void quotes_and_names(void)
{
    CHECK(lines_of("define(`A', `a`b'c')dnl A\ndefine(QUEUE_DIR, `/q/*')\n"
                   "define(`confDOMAIN_NAME', `A.example')"));
    CHECK_SPAN(cfg->hostname, SPAN("abc.example"));
    CHECK_SPAN(item(&cfg->spool.directories, 0), SPAN("/q/*"));
    CHECK(lines_of("define(`CERT', `MAIL_SETTINGS_DIR`'certs')define(`confSERVER_CERT', "
                   "`CERT/a.pem')define(`confSERVER_KEY',`CERT/a.key')"));
    CHECK_SPAN(item(&cfg->tls.certificate, 0), SPAN("/etc/mail/certs/a.pem"));
    CHECK(lines_of("define(`confMAX_HOP', `30')define(`confMAX_HOP',\n   `40')"));
    CHECK_INT(cfg->limits.hops, 40);
    CHECK(lines_of("define(`confMAX_HOP', `30')undefine(`confMAX_HOP')"));
    CHECK_INT(cfg->limits.hops, 100);
    CHECK(lines_of("define(`two', `$2$1')define(`confMAX_HOP', two(`0', `5'))"));
    CHECK_INT(cfg->limits.hops, 50);
}

static void conditions_and_comments(void)
{
    CHECK(lines_of("ifdef(`confX_', `FEATURE(`nonsense')', `define(`confMAX_HOP', `33')')"));
    CHECK_INT(cfg->limits.hops, 33);
    CHECK(lines_of("ifelse(`a', `b', `FEATURE(`nonsense')', `define(`confMAX_HOP', `34')')"));
    CHECK_INT(cfg->limits.hops, 34);
    CHECK(lines_of("# FEATURE(`nonsense') `\ndnl FEATURE(`nonsense') it's\n"
                   "divert(-1)\nanything, MISSPELT(`x') at all\ndivert(0)dnl"));
    CHECK_INT(notices, 0);
}

static void mistakes_of_m4(void)
{
    CHECK(!import("divert(0)dnl\ndefine(`confMAX_HOP', `30)dnl\nFEATURE(`mailertabel')\n"));
    CHECK(says("/dir/test.mc:2:23: a quote (`) is opened here and never closed (')"));
    CHECK(says("/dir/test.mc:3:10: sendmail has no FEATURE \"mailertabel\""));
    CHECK(!import("FEATURE(`mailertable'\n"));
    CHECK(says("1:1: the arguments of FEATURE have no closing parenthesis"));
    CHECK(!lines_of("define(`x', `x y x')define(`y', `z')define(`z', `y')y"));
    CHECK(says("macros stand for one another without end"));
    CHECK(!lines_of("esyscmd(`id')"));
    CHECK(says("esyscmd runs a command"));
    CHECK(!lines_of("FEATRUE(`mailertable')dnl"));
    CHECK(says("FEATRUE is no macro of sendmail's; did you mean \"FEATURE\"?"));
    CHECK(!lines_of("FEATURE(`mailertable')dln"));
    CHECK(says("did you mean \"dnl\"?"));
}

static void files_within(void)
{
    CHECK(!lines_of("include(`more.m4')dnl"));
    CHECK_INT(errors, 1);
    CHECK(says("test.mc:3:1: /dir/more.m4:3: sendmail has no name \"confNOPE\""));
    CHECK(!lines_of("include(`self.m4')"));
    CHECK(says("files include one another without end"));
    CHECK(!lines_of("include(`/none.m4')"));
    CHECK(says("include: /none.m4: No such file"));
    CHECK(lines_of("sinclude(`/none.m4')include(`/usr/share/sendmail/cf/m4/cf.m4')"));
    CHECK_INT(notices, 0);
}

/* --- names --- */

static void table_is_whole(void)
{
    struct mc_row r, other;
    for (size_t i = 0; mc_table_define(i, &r); i++) {
        if (r.option ? !config_option_named(span_str(r.option)) : !r.text)
            TEST_FAIL("%s: %s", r.name, r.option ? r.option : "says nothing");
        struct buf b;
        buf_init(&b, 256);
        buf_printf(&b, "define(`%s', `1')", r.name);
        lines_of(buf_cstr(&b));
        buf_free(&b);
        if (strstr(buf_cstr(&said), "sendmail has no"))
            TEST_FAIL("%s: %s", r.name, buf_cstr(&said));
        if (!r.nothing && !r.option && !strstr(buf_cstr(&said), r.name) &&
            !strstr(r.name, "conf") && strcmp(r.name, "DATABASE_MAP_TYPE"))
            TEST_FAIL("%s is passed over in silence", r.name);
        for (size_t j = 0; j < i; j++) {
            mc_table_define(j, &other);
            if (strcmp(r.name, other.name) == 0)
                TEST_FAIL("%s stands there twice", r.name);
        }
    }
    for (size_t i = 0; mc_table_feature(i, &r); i++) {
        if (r.option ? !config_option_named(span_str(r.option)) : !r.text)
            TEST_FAIL("%s: %s", r.name, r.option ? r.option : "says nothing");
        for (size_t j = 0; j < i; j++) {
            mc_table_feature(j, &other);
            CHECK(strcmp(r.name, other.name) != 0);
        }
    }
}

/* Whoever is not carried over is named; who is carried over is not. */
static void each_feature(void)
{
    struct mc_row r;
    for (size_t i = 0; mc_table_feature(i, &r); i++) {
        struct buf b;
        buf_init(&b, 256);
        buf_printf(&b, "FEATURE(`%s'%s)", r.name,
                   strcmp(r.name, "nullclient") == 0 ? ", `hub.example'" : "");
        if (!lines_of(buf_cstr(&b)))
            TEST_FAIL("%s: %s", r.name, buf_cstr(&said));
        buf_free(&b);
        if (notices && !strstr(buf_cstr(&said), r.name) && strncmp(r.name, "relay_", 6))
            TEST_FAIL("%s: %s", r.name, buf_cstr(&said));
        if (r.nothing && notices)
            TEST_FAIL("%s: %s", r.name, buf_cstr(&said));
    }
}

static void each_macro(void)
{
    const char *name;
    for (size_t i = 0; mc_table_macro(i, &name); i++) {
        struct buf b;
        buf_init(&b, 256);
        buf_printf(&b, "%s(`%s')\nRx\n", name,
                   strstr(name, "_OPTIONS") ? "Name=x" :
                   strstr(name, "FILE") ? "/etc/mail/trusted-users" :
                   strcmp(name, "OSTYPE") == 0 ? "linux" :
                   strcmp(name, "MAILER") == 0 ? "smtp" :
                   strcmp(name, "FEATURE") == 0 ? "redirect" : "x.example");
        lines_of(buf_cstr(&b));
        buf_free(&b);
        if (errors)
            TEST_FAIL("%s: %s", name, buf_cstr(&said));
    }
}

static void times(void)
{
    static const struct {
        const char *name;
        size_t at;
    } stages[] = {
        { "CONNECT", offsetof(struct config, timeout.connect_ms) },
        { "INITIAL", offsetof(struct config, timeout.initial_ms) },
        { "HELO", offsetof(struct config, timeout.helo_ms) },
        { "MAIL", offsetof(struct config, timeout.mail_ms) },
        { "RCPT", offsetof(struct config, timeout.rcpt_ms) },
        { "DATAINIT", offsetof(struct config, timeout.data_init_ms) },
        { "DATABLOCK", offsetof(struct config, timeout.data_block_ms) },
        { "DATAFINAL", offsetof(struct config, timeout.data_final_ms) },
        { "RSET", offsetof(struct config, timeout.rset_ms) },
        { "QUIT", offsetof(struct config, timeout.quit_ms) },
        { "MISC", offsetof(struct config, timeout.misc_ms) },
        { "COMMAND", offsetof(struct config, server.command_ms) },
        { "STARTTLS", offsetof(struct config, timeout.starttls_ms) },
    };
    for (size_t i = 0; i < sizeof stages / sizeof *stages; i++) {
        struct buf b;
        buf_init(&b, 256);
        buf_printf(&b, "define(`confTO_%s', `1m30s')", stages[i].name);
        CHECK(lines_of(buf_cstr(&b)));
        buf_free(&b);
        CHECK_INT(*(const int64_t *)(const void *)((const char *)cfg + stages[i].at), 90000);
        CHECK_INT(notices, 0);
    }
    CHECK(lines_of("define(`confTO_QUEUERETURN', `3')define(`confTO_QUEUEWARN', `6')"));
    CHECK_INT(cfg->retry.expire_after_ms, 3 * 86400000);
    CHECK_INT(cfg->retry.warn_after_ms, 6 * 3600000);
    CHECK(lines_of("define(`confTO_QUEUERETURN', `3h')")); /* before the usual warning */
    CHECK_INT(cfg->retry.warn_after_ms, 0);
    CHECK(lines_of("define(`confTO_QUEUERETURN', `3h')define(`confTO_QUEUEWARN', `5h')"));
    CHECK_INT(cfg->retry.warn_after_ms, 0);
    CHECK(lines_of("define(`confMIN_QUEUE_AGE', `6h')"));
    CHECK_INT(cfg->retry.max_ms, 6 * 3600000);
    CHECK(lines_of("define(`confTO_DATAFINAL', `1h')")); /* longer than a whole attempt */
    CHECK(cfg->timeout.attempt_ms > 3600000);
    CHECK(!lines_of("define(`confTO_HELO', `1x')"));
    CHECK(says("3:24: confTO_HELO cannot be \"1x\": it takes a time like 5m or 1h30m"));
    CHECK(!lines_of("define(`confTO_QUEUERETURN', `400d')")); /* config's own reader says it */
    CHECK(says("retry.expire_after must be"));
    CHECK(lines_of("define(`confTO_MAIL', `0')"));
    CHECK(says("every wait has an end here"));
}

static void delivery(void)
{
    CHECK(lines_of("define(`confDELIVERY_MODE', `queueonly')"));
    CHECK_INT(cfg->listens[0].delivery, CONFIG_QUEUE_ONLY);
    CHECK(lines_of("define(`confDELIVERY_MODE', `d')"));
    CHECK_INT(cfg->listens[0].delivery, CONFIG_DEFER);
    CHECK(lines_of("define(`confDELIVERY_MODE', `background')"));
    CHECK_INT(cfg->listens[0].delivery, CONFIG_DELIVER);
    CHECK(!lines_of("define(`confDELIVERY_MODE', `xueueonly')"));
    CHECK(says("confDELIVERY_MODE cannot be \"xueueonly\": it is one of interactive, background, "
               "queueonly, defer"));
    CHECK(lines_of("define(`confDELIVERY_MODE', `qeueonly')"));
    CHECK_INT(cfg->listens[0].delivery, CONFIG_QUEUE_ONLY);
    CHECK(says("taken by its first letter"));
}

static void listeners(void)
{
    CHECK(lines_of(""));
    CHECK_INT(cfg->n_listens, 1);
    CHECK(has("address = \"0.0.0.0:25\""));
    CHECK_INT(notices, 0);
    CHECK(import("MAILER(`smtp')")); /* sendmail's defaults */
    CHECK_INT(cfg->n_listens, 2);
    CHECK(has("address = \"0.0.0.0:587\""));
    CHECK(says("listens on port 587 too"));
    CHECK(import("DAEMON_OPTIONS(`Name=a')MAILER(`smtp')"));
    CHECK_INT(cfg->n_listens, 1);
    CHECK(says("does not listen on port 587"));
    CHECK(lines_of("DAEMON_OPTIONS(`Name=a, addr=127.0.0.2,Port=submission, M=E')\n"
                   "DAEMON_OPTIONS(`Name=a, Family=inet6, DeliveryMode=defer')\n"
                   "DAEMON_OPTIONS(`Addr=IPv6:::1,\n  Port=26')"));
    CHECK_INT(cfg->n_listens, 3);
    CHECK(has("listen \"a\"") && has("\"127.0.0.2:587\""));
    CHECK(has("listen \"a-2\"") && has("\"[::]:25\"") && has("\"[::1]:26\""));
    CHECK_INT(cfg->listens[1].delivery, CONFIG_DEFER);
    CHECK(!lines_of("DAEMON_OPTIONS(`Nmae=x, Adr=1.2.3.4, Port=smpt, M=Z, Addr=host.example')"));
    CHECK(says("has no key \"Nmae\"; did you mean \"Name\"?"));
    CHECK(says("has no key \"Adr\"; did you mean \"Addr\"?"));
    CHECK(says("\"smpt\" is no port") && says("no modifier \"Z\"") && says("is not an address"));
    CHECK(!lines_of("DAEMON_OPTIONS(Name=a, Addr=127.0.0.1)define(`confPRIVACY_FLAGS', a,b)"));
    CHECK(says("DAEMON_OPTIONS has one argument too many: put `quotes' around"));
    CHECK(says("define has one argument too many"));
    CHECK(lines_of("CLIENT_OPTIONS(`Family=inet, Addr=192.0.2.1')"));
    CHECK_INT(cfg->deliver.source_address.n, 1);
}

static void tables(void)
{
    CHECK(lines_of("FEATURE(`access_db')FEATURE(`mailertable', `hash -o /m/mt.db')"
                   "FEATURE(`virtusertable', `hash /m/v')FEATURE(`smarttable')"
                   "FEATURE(`genericstable')GENERICS_DOMAIN(`g.example')"));
    CHECK_SPAN(cfg->route.access, SPAN("text:/etc/mail/access"));
    CHECK_SPAN(cfg->route.mailertable, SPAN("text:-o /m/mt"));
    CHECK_SPAN(cfg->route.virtusertable, SPAN("text:/m/v"));
    CHECK_SPAN(cfg->route.smarttable, SPAN("text:/etc/mail/smarttable"));
    CHECK_SPAN(cfg->route.genericstable, SPAN("text:/etc/mail/genericstable"));
    CHECK_SPAN(item(&cfg->route.generics_domains, 0), SPAN("g.example"));
    CHECK_SPAN(cfg->route.aliases, SPAN("text:-o /etc/mail/aliases"));
    CHECK(!lines_of("FEATURE(`access_db', `hahs /m/a')"));
    CHECK(says("did you mean \"hash\"?"));
    CHECK(lines_of("FEATURE(`access_db', `ldap -k x')"));
    CHECK(says("access_db") || says("access is not carried over"));
    CHECK(lines_of("define(`ALIAS_FILE', `/a/one,/a/two')"));
    CHECK_SPAN(cfg->route.aliases, SPAN("text:/a/one"));
    CHECK(says("only the first file"));
}

static void names_of_ours(void)
{
    CHECK(lines_of("FEATURE(`use_cw_file')LOCAL_DOMAIN(`c.example d.example')"
                   "define(`confCR_FILE', `-o /dir/relay %[^\\#]')"));
    CHECK_SPAN(item(&cfg->route.local, 0), SPAN("mx.example.net"));
    CHECK_SPAN(item(&cfg->route.local, 2), SPAN("a.example"));
    CHECK_SPAN(item(&cfg->route.local, 3), SPAN("b.example"));
    CHECK_SPAN(item(&cfg->route.local, 5), SPAN("d.example"));
    CHECK_SPAN(item(&cfg->relay.domains, 0), SPAN("relay.example"));
    CHECK(has("\"10.2.0.0/16\""));
    CHECK(lines_of("RELAY_DOMAIN(`r.example')FEATURE(`relay_hosts_only')"));
    CHECK_INT(cfg->relay.domains.n, 1);
    CHECK(lines_of("RELAY_DOMAIN(`r.example')FEATURE(`relay_entire_domain')"));
    CHECK(has("\".r.example\"") && has("\"example.net\"") && has("\".example.net\""));
    CHECK(!import_with("FEATURE(`use_cw_file')\n", no_files));
    CHECK(says("1:1: FEATURE(use_cw_file): /etc/mail/local-host-names: No such file"));
    CHECK(lines_of("FEATURE(`use_ct_file')"));
    CHECK_SPAN(item(&cfg->submit.trusted_users, 2), SPAN("listmaster"));
}

static void masquerading(void)
{
    CHECK(lines_of("MASQUERADE_AS(`drj.com')MASQUERADE_DOMAIN(`corp.test')EXPOSED_USER(`root')"
                   "FEATURE(`masquerade_entire_domain')FEATURE(`masquerade_envelope')"
                   "FEATURE(`allmasquerade')FEATURE(`limited_masquerade')"));
    CHECK(!cfg->route.masquerade_local);
    CHECK_SPAN(cfg->route.masquerade_as, SPAN("drj.com"));
    CHECK_SPAN(item(&cfg->route.masquerade_domains, 1), SPAN(".corp.test"));
    CHECK_SPAN(item(&cfg->route.exposed_users, 0), SPAN("root"));
    CHECK(cfg->route.masquerade_envelope && cfg->route.masquerade_all);
}

static void one_value_each(void)
{
    CHECK(lines_of("define(`confMAX_MESSAGE_SIZE', `10485760')define(`confMAX_HOP', `17')"
                   "define(`confMAX_RCPTS_PER_MESSAGE', `100')define(`confMIN_QUEUE_AGE', `27m')"
                   "define(`confMAX_DAEMON_CHILDREN', `40')define(`confRUN_AS_USER', `m:g')"
                   "define(`confMCI_CACHE_TIMEOUT', `1m')define(`SMTP_MAILER_MAXMSGS', `7')"
                   "define(`confCONTROL_SOCKET_NAME', `/c/s')FEATURE(`greet_pause', `500')"
                   "define(`confEIGHT_BIT_HANDLING', `strict')"));
    CHECK_INT(cfg->limits.message_size_bytes, 10485760);
    CHECK_INT(cfg->limits.hops, 17);
    CHECK_INT(cfg->limits.recipients, 100);
    CHECK_INT(cfg->limits.connections, 40);
    CHECK_INT(cfg->limits.connections_per_client, 40);
    CHECK_INT(cfg->retry.first_ms, 27 * 60000);
    CHECK_INT(cfg->deliver.idle_ms, 60000);
    CHECK_INT(cfg->deliver.messages_per_connection, 7);
    CHECK_INT(cfg->deliver.eightbit, CONFIG_EIGHTBIT_BOUNCE);
    CHECK_INT(cfg->server.greeting_pause_ms, 500);
    CHECK_SPAN(cfg->privilege.user, SPAN("m"));
    CHECK_SPAN(cfg->control.socket, SPAN("/c/s"));
    CHECK_INT(notices, 0);
}

static void texts(void)
{
    CHECK(lines_of("define(`confDOMAIN_NAME', `$w.drj.com')"
                   "define(`confSMTP_LOGIN_MSG', `$j server ready at $b')"));
    CHECK_SPAN(cfg->hostname, SPAN("mx.drj.com"));
    CHECK_SPAN(cfg->listens[0].greeting, SPAN("server ready"));
    CHECK(says("the greeting is a fixed text"));
    CHECK(lines_of("define(`SMART_HOST', `relay:[10.0.0.1]:2525')"));
    CHECK_SPAN(cfg->route.smart_host, SPAN("[10.0.0.1]:2525"));
    CHECK(lines_of("define(`SMART_HOST', `[a.example]:[b.example]')"));
    CHECK_SPAN(cfg->route.smart_host, SPAN("[a.example]"));
    CHECK(says("only the first host"));
    CHECK(!lines_of("define(`SMART_HOST', `uucp-new:x')"));
    CHECK(!lines_of("define(`confPRIVACY_FLAGS', `authwarnings,novrffy')"));
    CHECK(says("has no flag \"novrffy\"; did you mean \"novrfy\"?"));
}

static void other_kinds_of_names(void)
{
    CHECK(!lines_of("define(`SMRT_HOST', `x')"));
    CHECK(says("has no name \"SMRT_HOST\"; did you mean \"SMART_HOST\"?"));
    CHECK(lines_of("define(`my_own_thing', `x')"));
    CHECK(says("defined and never used"));
    CHECK(!lines_of("OSTYPE(`linus')MAILER(`smpt')"));
    CHECK(says("did you mean \"linux\"?") && says("did you mean \"smtp\"?"));
    CHECK(import("MAILER(`smtp')\nFEATURE(`no_default_msa')\n"));
    CHECK(says("FEATURE(no_default_msa) stands behind MAILER(smtp)"));
    CHECK(lines_of("LOCAL_CONFIG\nCwx.example\nKmap hash /x\nLOCAL_RULESETS\nSx\nR$*\t$1\nSy\n"));
    CHECK(has("\"x.example\"") && says("\"Kmap hash /x\" is not carried over"));
    CHECK(says("LOCAL_RULESETS: its lines"));
    CHECK_INT(notices, 2);
    CHECK(lines_of("INPUT_MAIL_FILTER(`a', `S=x')INPUT_MAIL_FILTER(`b', `S=y')"));
    CHECK_INT(notices, 1); /* once each */
}

static void options_of_ours(void)
{
    CHECK(lines_of("dnl postern: queue.run = 15m\ndnl postern: listen.b.delivery = hold\n"
                   "DAEMON_OPTIONS(`Name=a, Addr=127.0.0.1')DAEMON_OPTIONS(`Name=b, "
                   "Addr=127.0.0.2')define(`confDELIVERY_MODE', `queueonly')\n"
                   "dnl postern: listen.tls = off\n"));
    CHECK_INT(cfg->queue.run_ms, 15 * 60000);
    CHECK_INT(cfg->listens[0].delivery, CONFIG_QUEUE_ONLY);
    CHECK_INT(cfg->listens[1].delivery, CONFIG_HOLD);
    CHECK_INT(cfg->listens[0].tls, CONFIG_TLS_OFF);
    CHECK(!lines_of("dnl postern: queue.rum = 15m\n"));
    CHECK(says("3:14: there is no option \"queue.rum\"; did you mean \"queue.run\"?"));
}

static void places_by_name(void)
{
    CHECK(lines_of(""));
    CHECK_SPAN(cfg->control.socket, SPAN("/run/postern/test/control"));
    CHECK_SPAN(item(&cfg->spool.directories, 0), SPAN("/var/spool/postern-test/q*"));
    struct mc_world world = { .hostname = SPAN("mx.example.net") };
    struct config_report *report = config_report_new();
    buf_reset(&native);
    mc_import(SPAN(""), SPAN("/etc/mail/sendmail.mc"), &world, arena, &native, &lines, report);
    config_report_free(&report);
    CHECK(has("socket = \"/run/postern/control\""));
    CHECK(has("\"/var/spool/postern/q*\""));
}

/* --- whole files, and what is found later --- */

static void places_of_the_mc(void)
{
    char path[] = "/tmp/test_mc_XXXXXX.mc", cf[64];
    static const char text[] = "OSTYPE(`linux')\nFEATURE(`no_default_msa')\n"
                               "define(`confDOMAIN_NAME', `a..b')\nMAILER(`smtp')\n";
    int fd = mkstemps(path, 3);
    struct err e;
    struct config_report *report = config_report_new();
    CHECK(fd >= 0 && write(fd, text, sizeof text - 1) == sizeof text - 1);
    close(fd);
    forget();
    CHECK(!mc_load(path, &cfg, report, &e) && e.text[0] == '\0');
    buf_init(&said, 1 << 20);
    config_report_put_text(&said, report);
    CHECK(says(".mc:3:28: hostname \"a..b\" is not a domain name"));
    CHECK(says("    define(`confDOMAIN_NAME', `a..b')\n"));
    snprintf(cf, sizeof cf, "%.*scf", (int)sizeof path - 3, path);
    CHECK(!mc_load(cf, &cfg, report, &e) && e.text[0] == '\0');
    config_report_put_text(&said, report);
    CHECK(says("this file is read instead of"));
    unlink(path);
    CHECK(!mc_load(cf, &cfg, report, &e));
    CHECK(strstr(e.text, "give the .mc it was made from"));
    config_report_free(&report);
}

static void put_golden(const char *name, struct buf *got)
{
    struct buf path, text;
    struct err e;
    buf_init(&path, 512);
    buf_init(&text, 1 << 20);
    buf_printf(&path, TEST_TOP "/tests/cases/mc/%s.mc", name);
    if (!config_read_file(buf_cstr(&path), &text, &e))
        return;
    struct mc_world world = { .hostname = SPAN("drjemgw2.drj.com"), .read = no_files };
    struct config_report *report = config_report_new();
    struct arena *a = arena_new(MC_MEMORY_MAX);
    struct buf file, out;
    buf_init(&file, 64);
    buf_init(&out, 1 << 20);
    buf_printf(&file, "%s.mc", name);
    bool good = mc_import(buf_span(&text), buf_span(&file), &world, a, &out, &lines, report);
    config_report_put_text(got, report);
    if (good)
        buf_puts(got, buf_span(&out));
    buf_free(&out);
    buf_free(&file);
    arena_free(&a);
    config_report_free(&report);
    buf_free(&text);
    buf_free(&path);
}

/* TEST_REWRITE=1 writes what is said now. */
static bool golden(const char *name)
{
    struct buf path, want, got;
    struct err e;
    buf_init(&path, 512);
    buf_init(&want, 1 << 20);
    buf_init(&got, 1 << 20);
    put_golden(name, &got);
    buf_printf(&path, TEST_TOP "/tests/cases/mc/%s.out", name);
    if (getenv("TEST_REWRITE")) {
        FILE *f = fopen(buf_cstr(&path), "w");
        if (f) {
            fputs(buf_cstr(&got), f);
            fclose(f);
        }
    }
    bool same = config_read_file(buf_cstr(&path), &want, &e) &&
                span_eq(buf_span(&want), buf_span(&got));
    if (!same)
        printf("# got: %s\n", buf_cstr(&got));
    buf_free(&got);
    buf_free(&want);
    buf_free(&path);
    return same;
}

static void the_posts_files(void)
{
    CHECK(golden("capture"));
    CHECK(golden("upstream"));
    CHECK(golden("misspelt"));
}

/* --- the manual page --- */

/* In lines of a decent length, none of which begins like a request. */
static void put_wrapped(struct buf *b, const char *first, const char *text)
{
    size_t col = strlen(first);
    buf_putz(b, first);
    for (const char *p = text; *p; p++) {
        size_t word = strcspn(p + 1, " ");
        bool wrap = *p == ' ' && col + word > 74 && p[1] != '.' && p[1] != '\'';
        buf_putc(b, wrap ? '\n' : *p);
        col = wrap ? 0 : col + 1;
    }
    buf_putc(b, '\n');
}

static void put_row(struct buf *b, const struct mc_row *r)
{
    buf_printf(b, ".It Ic %s\n", r->name);
    if (r->option)
        buf_printf(b, ".Ic %s%s\n", r->option, r->text ? " :" : "");
    if (r->text)
        put_wrapped(b, r->option || r->nothing ? "" : "not carried over: ", r->text);
}

static bool put_rows(struct buf *b, const char *page, const char *what,
                     bool (*row)(size_t, struct mc_row *))
{
    struct mc_row r;
    struct buf mark;
    buf_init(&mark, 256);
    buf_printf(&mark, ".\\\" the list of %s", what);
    const char *from = strstr(page, buf_cstr(&mark));
    buf_reset(&mark);
    buf_printf(&mark, ".\\\" end of the list of %s", what);
    const char *to = strstr(page, buf_cstr(&mark));
    buf_free(&mark);
    if (!from || !to)
        return false;
    from = strchr(from, '\n') + 1;
    buf_put(b, page, (size_t)(from - page));
    for (size_t i = 0; row(i, &r); i++)
        put_row(b, &r);
    return buf_putz(b, to);
}

/* TEST_REWRITE=1 brings the page up to date. */
static void manual_page(void)
{
    struct buf page, names, all;
    struct err e;
    buf_init(&page, 1 << 20);
    buf_init(&names, 1 << 20);
    buf_init(&all, 1 << 20);
    CHECK(config_read_file(TEST_TOP "/man/postern-mc.5", &page, &e));
    CHECK(put_rows(&names, buf_cstr(&page), "names", mc_table_define));
    CHECK(put_rows(&all, buf_cstr(&names), "features", mc_table_feature));
    bool same = span_eq(buf_span(&all), buf_span(&page));
    FILE *f = getenv("TEST_REWRITE") ? fopen(TEST_TOP "/man/postern-mc.5", "w") : NULL;
    if (f) {
        fputs(buf_cstr(&all), f);
        fclose(f);
    }
    buf_free(&all);
    buf_free(&names);
    buf_free(&page);
    if (!same && !f)
        TEST_FAIL("man/postern-mc.5 is not what the tables say: run with TEST_REWRITE=1");
}

static const struct test tests[] = {
    TEST(quotes_and_names), TEST(conditions_and_comments), TEST(mistakes_of_m4),
    TEST(files_within), TEST(table_is_whole), TEST(each_feature), TEST(each_macro), TEST(times),
    TEST(delivery), TEST(listeners), TEST(tables), TEST(names_of_ours), TEST(masquerading),
    TEST(one_value_each), TEST(texts), TEST(other_kinds_of_names), TEST(options_of_ours),
    TEST(places_by_name), TEST(places_of_the_mc), TEST(the_posts_files),
    TEST(manual_page),
};

int main(int argc, char **argv)
{
    int rc = test_main(tests, sizeof tests / sizeof *tests, argc, argv);
    forget();
    return rc;
}
