/* `spool cat` and `spool export`: messages out of the spool, byte for byte. */
#include "base/must.h"
#include "base/num.h"
#include "cli/spool_in.h"
#include "cli/term.h"
#include "vfs/vfs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

enum { PIECE_BYTES = 256 << 10, ENVELOPE_BYTES_MAX = 128 << 20, PATH_BYTES_MAX = 8192 };

/* Takes pieces of a message; 0 or -errno. */
typedef int piece_fn(void *ctx, const char *p, size_t n, uint64_t off);

/* 0, or -errno of reading or of fn. */
static int copy_message(struct spool *s, uint64_t seq, bool damaged, piece_fn *fn, void *ctx)
{
    int rc = 0;
    uint64_t off = 0;
    struct spool_reader *r = damaged ? spool_reader_open_damaged(s, seq, &rc)
                                     : spool_reader_open(s, seq, &rc);
    if (!r)
        return rc > 0 ? -rc : rc;
    char *piece = must_alloc(PIECE_BYTES);
    ssize_t n;
    while ((n = spool_reader_read(r, off, piece, PIECE_BYTES)) > 0) {
        rc = fn(ctx, piece, (size_t)n, off);
        if (rc)
            break;
        off += (uint64_t)n;
    }
    if (rc == 0 && n < 0)
        rc = (int)n;
    free(piece);
    spool_reader_close(&r);
    return rc;
}

/* --- cat --- */

static int to_stdout(void *ctx, const char *p, size_t n, uint64_t off)
{
    (void)ctx;
    (void)off;
    return fwrite(p, 1, n, stdout) == n ? 0 : -EPIPE;
}

/* Lines and tabs stay; what else a terminal would obey is shown. */
static int to_eyes(void *ctx, const char *p, size_t n, uint64_t off)
{
    struct buf b;
    (void)ctx;
    (void)off;
    buf_init(&b, 4 * PIECE_BYTES + 1);
    for (struct span rest = span_of(p, n); rest.n;) {
        size_t text = 0;
        while (text < rest.n && rest.p[text] != '\n' && rest.p[text] != '\t')
            text++;
        bool line = text < rest.n && rest.p[text] == '\n';
        struct span shown = span_to(rest, text);
        if (line && span_ends(shown, SPAN("\r")))
            shown.n--;
        term_put_text(&b, shown);
        if (text < rest.n)
            buf_putc(&b, rest.p[text]);
        rest = span_from(rest, text + 1);
    }
    bool good = cli_print(&b);
    buf_free(&b);
    return good ? 0 : -EPIPE;
}

static const char *kind_name(uint8_t kind)
{
    static const char *const names[] = { "waiting", "delivered", "relayed", "expanded", "failed",
                                         "expired", "deferred", "removed", "held", "released",
                                         "delay reported", "unknown" };
    return kind < sizeof names / sizeof *names ? names[kind] : "other";
}

static void put_outcome(struct json *j, const struct spool_outcome *o)
{
    json_str(j, "state", span_str(kind_name(o->kind)));
    json_bool(j, "final", o->final);
    if (o->released)
        json_bool(j, "released", true);
    if (o->duplicate)
        json_bool(j, "duplicate", true);
    json_uint(j, "attempts", o->attempts);
    json_int(j, "at_ms", o->at_ms);
    if (o->next_ms)
        json_int(j, "next_try_ms", o->next_ms);
    if (o->status.n)
        json_str(j, "status", o->status);
    struct span before, reason = spool_decision(o, &before);
    if (reason.n)
        json_str(j, "reason", reason);
    if (before.n)
        json_str(j, "before", before);
    if (o->remote.n)
        json_str(j, "relay", o->remote);
}

static void put_envelope(struct json *j, const struct envelope *e, uint64_t size,
                         const struct spool_outcome *outcomes, size_t n)
{
    enum { TEXTS_ALWAYS = 9 }; /* the others where there is one */
    const struct {
        const char *name;
        struct span text;
    } texts[] = { { "sender", e->sender },      { "envid", e->envid },
                  { "client", e->client_ip },   { "client_name", e->client_name },
                  { "helo", e->helo },          { "proto", e->proto },
                  { "listener", e->listener },  { "auth", e->auth },
                  { "hold", e->hold },          { "shown", e->shown },
                  { "rewritten", e->rewritten } };
    json_open(j, NULL);
    json_str(j, "id", span_str(envelope_id(e).text));
    json_int(j, "received_ms", e->received_ms);
    json_uint(j, "size", size);
    json_uint(j, "flags", e->flags);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i].text.n || i < TEXTS_ALWAYS)
            json_str(j, texts[i].name, texts[i].text);
    json_open_array(j, "recipients");
    for (size_t i = 0; i < e->rcpt_count; i++) {
        json_open(j, NULL);
        json_str(j, "to", e->rcpts[i].addr);
        if (e->rcpts[i].orcpt.n)
            json_str(j, "orcpt", e->rcpts[i].orcpt);
        json_uint(j, "notify", e->rcpts[i].notify);
        if (e->rcpts[i].flags & ENVELOPE_RCPT_EXPANDED)
            json_bool(j, "expanded", true);
        if (e->rcpts[i].flags & (ENVELOPE_RCPT_ALIAS | ENVELOPE_RCPT_LIST))
            json_bool(j, "only_told", true);
        if (e->rcpts[i].own_sender)
            json_str(j, "sender", e->rcpts[i].sender);
        const struct spool_outcome *last = NULL; /* of this recipient, or of all */
        for (size_t k = 0; k < n; k++)
            if (outcomes[k].rcpt == i || outcomes[k].rcpt == SPOOL_RCPT_ALL)
                last = &outcomes[k];
        if (last)
            put_outcome(j, last);
        json_close(j);
    }
    json_close_array(j);
    json_close(j);
}

static int cat_json(struct spool_request *rq, struct spool *s, struct arena *a,
                    const struct envelope *env, uint64_t size)
{
    struct spool_outcome *list = NULL;
    struct buf out;
    size_t n = 0;
    if (spool_outcomes(s, env->seq, a, &list, &n) != 0)
        n = 0;
    buf_init(&out, ENVELOPE_BYTES_MAX);
    struct json j = json_writer(&out);
    put_envelope(&j, env, size, list, n);
    buf_putc(&out, '\n');
    bool good = cli_print(&out);
    buf_free(&out);
    return good ? EX_OK : cli_fail(&rq->a, EX_IOERR, "the output cannot be written");
}

int spool_do_cat(struct spool_request *rq)
{
    struct spool *s = NULL;
    struct envelope env;
    uint64_t size;
    struct arena *a = arena_new(ENVELOPE_BYTES_MAX);
    int rc = spool_open_to_read(rq, &s);
    if (rc == EX_OK)
        rc = spool_find(rq, s, rq->ids[0], a, &env, &size);
    if (rc == EX_OK && rq->a.json) {
        rc = cat_json(rq, s, a, &env, size);
    } else if (rc == EX_OK) {
        bool eyes = isatty(STDOUT_FILENO);
        int e = copy_message(s, env.seq, false, eyes ? to_eyes : to_stdout, NULL);
        if (e == -EPIPE || (e == 0 && fflush(stdout) != 0))
            rc = cli_fail(&rq->a, EX_IOERR, "the output cannot be written");
        else if (e)
            rc = cli_fail(&rq->a, e == -EILSEQ ? EX_DATAERR : EX_NOINPUT, "%s: %s", rq->ids[0],
                          spool_read_error(e));
    }
    spool_close(&s);
    arena_free(&a);
    return rc;
}

/* --- export --- */

struct export {
    struct spool_request *rq;
    struct spool *s;
    struct arena *arena;
    uint64_t done, failed, damaged, bytes; /* damaged: of those that failed, read in part */
    time_t told;
    bool eyes, full; /* full: nothing more can be written */
};

struct target {
    struct vfs_file *file;
    int error; /* of writing, to be told from one of reading */
};

static int to_file(void *ctx, const char *p, size_t n, uint64_t off)
{
    struct target *t = ctx;
    t->error = vfs_pwrite(t->file, p, n, off);
    return t->error;
}

static void progress(struct export *x, bool last)
{
    time_t now = time(NULL);
    if (!x->eyes || (!last && now == x->told))
        return;
    x->told = now;
    fprintf(stderr, "\r%llu message%s exported%s", (unsigned long long)x->done,
            x->done == 1 ? "" : "s", last ? "\n" : "");
}

static void export_failed(struct export *x, const char *id, const char *why)
{
    x->failed++;
    cli_fail(&x->rq->a, 0, "%s: %s", id, why);
}

/* Under a name of its own until it is whole: whoever watches the directory sees only messages
 * that are complete. 0, or -errno of reading; what was read of a damaged one is kept then. */
static int write_message(struct export *x, const struct queueid *id, uint64_t seq, bool damaged,
                         int *write_error)
{
    struct vfs *vfs = x->rq->vfs;
    struct target t = { 0 };
    struct buf part, whole;
    buf_init(&part, PATH_BYTES_MAX);
    buf_init(&whole, PATH_BYTES_MAX);
    buf_printf(&part, "%s/.%s.%ld.part", x->rq->to, id->text, (long)getpid()); /* of this export */
    buf_printf(&whole, "%s/%s%s.eml", x->rq->to, id->text, damaged ? ".damaged" : "");
    int rc = vfs_open(vfs, buf_cstr(&part), VFS_WRITE | VFS_CREATE, &t.file);
    t.error = rc;
    if (rc == 0)
        rc = t.error = vfs_truncate(t.file, 0);
    if (rc == 0)
        rc = copy_message(x->s, seq, damaged, to_file, &t);
    bool some = damaged && t.file && !t.error && vfs_size(t.file) > 0;
    vfs_close(&t.file);
    if (rc == 0 || some)
        t.error = vfs_rename(vfs, buf_cstr(&part), buf_cstr(&whole));
    else
        vfs_unlink(vfs, buf_cstr(&part));
    buf_free(&part);
    buf_free(&whole);
    *write_error = t.error;
    if (t.error)
        return t.error;
    return some ? 0 : rc;
}

static void export_one(struct export *x, const struct envelope *env, uint64_t size)
{
    struct queueid id = envelope_id(env);
    int write_error;
    int rc = write_message(x, &id, env->seq, false, &write_error);
    if (rc == 0) {
        x->done++;
        x->bytes += size;
    } else {
        export_failed(x, id.text, write_error ? strerror(-write_error) : spool_read_error(rc));
        if (rc == -EILSEQ && !write_error && x->rq->damaged)
            x->damaged += write_message(x, &id, env->seq, true, &write_error) == 0;
        x->full = write_error != 0;
    }
    progress(x, false);
}

static void on_message(void *ctx, uint64_t seq)
{
    struct export *x = ctx;
    struct envelope env;
    uint64_t size;
    if (x->full)
        return;
    arena_reset(x->arena);
    int rc = spool_envelope(x->s, seq, x->arena, &env, &size);
    if (rc == 0) {
        export_one(x, &env, size);
    } else {
        char text[32];
        snprintf(text, sizeof text, "message %llu", (unsigned long long)seq);
        export_failed(x, text, spool_read_error(rc));
    }
}

static int export_named(struct export *x)
{
    struct envelope env;
    uint64_t size;
    int rc = EX_OK;
    for (size_t i = 0; i < x->rq->n && !x->full; i++) {
        arena_reset(x->arena);
        int found = spool_find(x->rq, x->s, x->rq->ids[i], x->arena, &env, &size);
        if (found == EX_OK)
            export_one(x, &env, size);
        else
            rc = found;
    }
    return rc;
}

static void export_summary(struct export *x)
{
    struct buf b;
    buf_init(&b, PATH_BYTES_MAX + 256);
    if (x->rq->a.json) {
        struct json j = json_writer(&b);
        json_open(&j, NULL);
        json_uint(&j, "exported", x->done);
        json_uint(&j, "failed", x->failed);
        json_uint(&j, "damaged", x->damaged);
        json_uint(&j, "bytes", x->bytes);
        json_str(&j, "directory", span_str(x->rq->to));
        json_close(&j);
    } else {
        buf_printf(&b, "%llu message%s in %s", (unsigned long long)x->done,
                   x->done == 1 ? "" : "s", x->rq->to);
        if (x->failed)
            buf_printf(&b, ", %llu failed", (unsigned long long)x->failed);
        if (x->damaged)
            buf_printf(&b, ", of %llu what could be read is there",
                       (unsigned long long)x->damaged);
    }
    buf_putc(&b, '\n');
    cli_print(&b);
    buf_free(&b);
}

int spool_do_export(struct spool_request *rq)
{
    struct export x = { .rq = rq, .eyes = isatty(STDERR_FILENO) };
    int rc = spool_open_to_read(rq, &x.s);
    if (rc != EX_OK)
        return rc;
    int made = vfs_mkdir(rq->vfs, rq->to);
    x.arena = arena_new(ENVELOPE_BYTES_MAX);
    if (made) {
        rc = cli_fail(&rq->a, EX_CANTCREAT, "%s: %s", rq->to, strerror(-made));
    } else {
        if (rq->n)
            rc = export_named(&x);
        else
            spool_each(x.s, on_message, &x);
        progress(&x, true);
        export_summary(&x);
        if (rc == EX_OK && x.failed)
            rc = x.full ? EX_CANTCREAT : EX_DATAERR;
    }
    arena_free(&x.arena);
    spool_close(&x.s);
    return rc;
}
