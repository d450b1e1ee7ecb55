#include "cli/spool.h"

#include "cli/spool_in.h"
#include "notes/notes.h"
#include "vfs/vfs.h"

#include <errno.h>
#include <stdio.h>
#include <sysexits.h>

static const char usage[] =
    "usage: postern spool check [--dir DIR]...\n"
    "       postern spool cat [--dir DIR]... ID\n"
    "       postern spool export [--dir DIR]... [--damaged] TODIR [ID]...\n"
    "\n"
    "check   reads every record of the spool, content too, and says what is wrong with it\n"
    "cat     the message, as it would be delivered (on a terminal what that would obey is shown\n"
    "        as \\xHH); with --json its envelope and what became of each recipient instead\n"
    "export  each message (or those named) as the file TODIR/ID.eml; with --damaged also what\n"
    "        can still be read of damaged ones, as TODIR/ID.damaged.eml\n"
    "\n"
    "All three only read, and may be used while the gateway runs.\n"
    "\n"
    "  -C FILE    the configuration that names the spool's directories\n"
    "             (" CLI_CONFIG_FILE ")\n"
    "  --dir DIR  a directory of the spool instead of those of the configuration\n"
    "  --json     one JSON object on standard output\n"
    "\n"
    "exit status: 0 sound, 65 damage found, 66 no such message or spool, 77 not allowed to read\n"
    "it, 64 usage\n";

/* --- the spool --- */

static int find_dirs(struct spool_request *rq)
{
    struct config *cfg;
    if (rq->dirs.n == 0) {
        int rc = cli_load(&rq->a, &cfg);
        if (rc != EX_OK)
            return rc;
        for (size_t i = 0; i < cfg->spool.directories.n; i++)
            spool_dirs_add(&rq->dirs, rq->vfs, cfg->spool.directories.v[i]);
        config_free(&cfg);
    }
    if (rq->dirs.n == 0)
        return cli_fail(&rq->a, EX_NOINPUT, "spool.directories: nothing there matches");
    return EX_OK;
}

int spool_open_to_read(struct spool_request *rq, struct spool **s_r)
{
    struct spool_config sc = { .directories = (const char *const *)rq->dirs.v,
                               .directory_count = rq->dirs.n,
                               .read_only = true };
    struct spool_calls calls = { 0 };
    struct err e = { "" };
    if (spool_open(rq->vfs, &sc, &calls, 0, s_r, &e) != 0)
        return cli_fail(&rq->a, EX_NOINPUT, "%s", e.text);
    return EX_OK;
}

const char *spool_read_error(int error)
{
    switch (error < 0 ? -error : error) {
    case ENOENT: return "it is not in the spool (any more)";
    case EILSEQ: return "it is damaged: its checksum is wrong (see spool check)";
    case ENOMEM: return "its envelope is too large";
    default: return "it cannot be read";
    }
}

int spool_find(struct spool_request *rq, struct spool *s, const char *id, struct arena *a,
               struct envelope *env_r, uint64_t *size_r)
{
    uint64_t seq;
    if (!queueid_seq(span_str(id), &seq))
        return cli_fail(&rq->a, EX_USAGE, "\"%.100s\" is no queue id", id);
    int rc = spool_envelope(s, seq, a, env_r, size_r);
    if (rc == 0 && !span_eq(span_str(envelope_id(env_r).text), span_str(id)))
        rc = -ENOENT;
    if (rc == 0)
        return EX_OK;
    return cli_fail(&rq->a, rc == -EILSEQ ? EX_DATAERR : EX_NOINPUT, "%s: %s", id,
                    spool_read_error(rc));
}

/* --- check --- */

enum { EVENTS_SHOWN = 1000 };

struct check {
    struct buf text;
    struct json j;
    bool json;
    bool denied; /* to this user: nothing is known of it */
    uint64_t events;
};

static void put_place(struct buf *b, const struct spool_event *e)
{
    buf_putz(b, e->directory ? e->directory : "spool");
    if (e->segment)
        buf_printf(b, " segment %llu offset %llu", (unsigned long long)e->segment,
                   (unsigned long long)e->offset);
    if (e->seq)
        buf_printf(b, " message %llu", (unsigned long long)e->seq);
}

static void on_event(void *ctx, const struct spool_event *e)
{
    struct check *c = ctx;
    const char *words = spool_event_text(e->kind);
    c->denied |= e->error == EACCES;
    if (!words || ++c->events > EVENTS_SHOWN)
        return;
    if (!c->json) {
        put_place(&c->text, e);
        buf_printf(&c->text, ": %s%s%s (%llu bytes)\n", words, e->error ? ": " : "",
                   e->error ? strerror(e->error) : "", (unsigned long long)e->bytes);
        return;
    }
    json_open(&c->j, NULL);
    json_str(&c->j, "directory", span_str(e->directory));
    json_uint(&c->j, "segment", e->segment);
    json_uint(&c->j, "offset", e->offset);
    json_uint(&c->j, "bytes", e->bytes);
    json_uint(&c->j, "message", e->seq);
    json_str(&c->j, "text", span_str(words));
    json_close(&c->j);
}

/* What was decided and told stands beside the segments. */
static bool check_notes(struct check *c, const struct spool_request *rq)
{
    bool sound = true;
    for (size_t i = 0; i < rq->dirs.n; i++) {
        int r = notes_check(rq->vfs, rq->dirs.v[i]);
        if (!r)
            continue;
        sound = false;
        c->denied |= r == -EACCES;
        if (!c->json) {
            buf_printf(&c->text, "%s/notes: %s\n", rq->dirs.v[i],
                       r == -EILSEQ ? "damaged" : strerror(-r));
            continue;
        }
        json_open(&c->j, NULL);
        json_str(&c->j, "directory", span_str(rq->dirs.v[i]));
        json_str(&c->j, "text", r == -EILSEQ ? SPAN("its notes are damaged")
                                             : span_str(strerror(-r)));
        json_close(&c->j);
    }
    return sound;
}

struct count {
    const char *name;
    uint64_t n;
};

static void put_report(struct check *c, const struct spool_report *r, bool sound)
{
    const struct count counts[] = {
        { "segments", r->segments },         { "sealed", r->sealed },
        { "records", r->records },           { "messages", r->messages },
        { "outcomes", r->outcomes },         { "bytes", r->bytes },
        { "dropped", r->dropped },           { "damaged", r->damaged },
        { "bad_messages", r->bad_messages }, { "bad_indexes", r->bad_indexes },
    };
    if (c->json) {
        json_close_array(&c->j);
        json_bool(&c->j, "ok", sound);
    }
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        if (c->json)
            json_uint(&c->j, counts[i].name, counts[i].n);
        else
            buf_printf(&c->text, "%-13s %llu\n", counts[i].name, (unsigned long long)counts[i].n);
    }
    if (c->json)
        json_close(&c->j);
    else
        buf_putz(&c->text, sound ? "the spool is sound" : "THE SPOOL IS DAMAGED");
    buf_putc(&c->text, '\n');
}

static int spool_do_check(struct spool_request *rq)
{
    struct spool_report report = { 0 };
    struct check c = { .json = rq->a.json };
    struct err e = { "" };
    buf_init(&c.text, 4 << 20);
    c.j = json_writer(&c.text);
    if (c.json) {
        json_open(&c.j, NULL);
        json_open_array(&c.j, "found");
    }
    int rc = spool_check(rq->vfs, (const char *const *)rq->dirs.v, rq->dirs.n, on_event, &c,
                         &report, &e);
    if (rc >= 0 && !check_notes(&c, rq))
        rc = 1;
    if (rc >= 0)
        put_report(&c, &report, rc == 0);
    if (rc < 0)
        rc = cli_fail(&rq->a, EX_NOINPUT, "%s", e.text);
    else if (c.denied)
        rc = cli_fail(&rq->a, EX_NOPERM, "%s", strerror(EACCES));
    else
        rc = !cli_print(&c.text) ? cli_fail(&rq->a, EX_IOERR, "the output cannot be written")
             : rc                ? EX_DATAERR
                                 : EX_OK;
    buf_free(&c.text);
    return rc;
}

/* --- arguments --- */

static const struct {
    const char *what;
    int (*fn)(struct spool_request *rq);
    size_t least, most;
} verbs[] = {
    { "check", spool_do_check, 0, 0 },
    { "cat", spool_do_cat, 1, 1 },
    { "export", spool_do_export, 0, SPOOL_IDS_MAX },
};
enum { VERBS = sizeof verbs / sizeof *verbs };

static int take_word(struct spool_request *rq, const char *word)
{
    const char *names[VERBS];
    if (word[0] == '-')
        return cli_usage_error(&rq->a, "unknown option", word);
    for (size_t i = 0; i < VERBS && !rq->what; i++) {
        names[i] = verbs[i].what;
        if (strcmp(word, verbs[i].what) == 0) {
            rq->what = verbs[i].what;
            return EX_OK;
        }
    }
    if (!rq->what)
        return cli_unknown(&rq->a, word, names, VERBS);
    if (!rq->to && strcmp(rq->what, "export") == 0)
        rq->to = word;
    else if (rq->n < SPOOL_IDS_MAX)
        rq->ids[rq->n++] = word;
    else
        return cli_usage_error(&rq->a, "more ids than it takes at once", NULL);
    return EX_OK;
}

static int read_args(struct spool_request *rq, int argc, char **argv)
{
    int rc = EX_OK;
    for (int i = 1; i < argc && rc == EX_OK; i++) {
        if (cli_common(&rq->a, argc, argv, &i, &rc))
            continue;
        if (strcmp(argv[i], "--damaged") == 0)
            rq->damaged = true;
        else if (strcmp(argv[i], "--dir") != 0)
            rc = take_word(rq, argv[i]);
        else if (i + 1 < argc)
            spool_dirs_add(&rq->dirs, rq->vfs, span_str(argv[++i]));
        else
            rc = cli_usage_error(&rq->a, "a directory is missing", "--dir");
    }
    return rc;
}

static int act(struct spool_request *rq)
{
    if (!rq->what)
        return cli_usage_error(&rq->a, "check, cat or export?", NULL);
    for (size_t i = 0; i < VERBS; i++) {
        if (rq->what != verbs[i].what)
            continue;
        if (rq->n < verbs[i].least || rq->n > verbs[i].most)
            return cli_usage_error(&rq->a, rq->n < verbs[i].least ? "which message?"
                                                                  : "one word too many",
                                   rq->n > verbs[i].most ? rq->ids[verbs[i].most] : NULL);
        if (strcmp(rq->what, "export") == 0 && !rq->to)
            return cli_usage_error(&rq->a, "into which directory?", NULL);
        if (rq->damaged && strcmp(rq->what, "export") != 0)
            return cli_usage_error(&rq->a, "only export takes", "--damaged");
        int rc = find_dirs(rq);
        return rc == EX_OK ? verbs[i].fn(rq) : rc;
    }
    return EX_SOFTWARE;
}

int cli_spool(int argc, char **argv)
{
    struct spool_request rq = {
        .a = { .verb = "spool", .usage = usage, .config = CLI_CONFIG_FILE }
    };
    rq.vfs = vfs_posix();
    int rc = read_args(&rq, argc, argv);
    if (rc == EX_OK && rq.a.help)
        fputs(usage, stdout);
    else if (rc == EX_OK)
        rc = act(&rq);
    spool_dirs_free(&rq.dirs);
    vfs_free(&rq.vfs);
    return rc;
}
