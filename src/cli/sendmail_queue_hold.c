/* -Q: quarantine, which is our holding. -Q"reason" -qRsub holds what matches, -Q -qQ releases. */
#include "cli/sendmail_queue.h"

#include "cli/ask.h"
#include "cli/term.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>

enum { IDS_AT_ONCE = 500, ID_MAX = 32, REASON_MAX = 256 };

/* Messages of one turn: found, then changed on a connection of its own, while the first one
 * waits with the rest. */
struct batch {
    char ids[IDS_AT_ONCE][ID_MAX];
    char reasons[IDS_AT_ONCE][REASON_MAX]; /* of those that are held */
    size_t n;
};

struct hold {
    const struct sendmail_flags *f;
    struct queue_asker find, change;
    struct batch batch;
    char directory[1024];
    uint64_t total, changed;
    bool told;
};

static const char denied[] = "You do not have permission to process the queue";

static void say_changed(void *ctx, struct span line)
{
    struct hold *h = ctx;
    json_t *row = ctl_json(line, 1 << 20);
    struct span id = row_text(row, "id"), error = row_text(row, "error");
    struct buf b;
    buf_init(&b, 4096);
    if (id.n && !error.n) {
        term_put_text(&b, id);
        buf_putz(&b, h->f->quarantine_reason ? ": Quarantined with \""
                                             : ": Removed quarantine of \"");
        if (h->f->quarantine_reason)
            term_put_text(&b, span_str(h->f->quarantine_reason));
        for (size_t i = 0; !h->f->quarantine_reason && i < h->batch.n; i++)
            if (span_eq(span_str(h->batch.ids[i]), id))
                term_put_text(&b, span_str(h->batch.reasons[i]));
        buf_putz(&b, "\"\n");
        h->changed++;
    }
    cli_print(&b);
    buf_free(&b);
    json_decref(row);
}

static int change(struct hold *h)
{
    const char *args[IDS_AT_ONCE + 1];
    char reason[REASON_MAX];
    size_t n = 0;
    if (!h->batch.n)
        return EX_OK;
    if (h->f->quarantine_reason) {
        snprintf(reason, sizeof reason, "reason=%s", h->f->quarantine_reason);
        args[n++] = reason;
    }
    for (size_t i = 0; i < h->batch.n; i++)
        args[n++] = h->batch.ids[i];
    int rc = sendmail_queue_open(&h->change, h->f, denied);
    if (rc == EX_OK)
        rc = ctl_run(&h->change.ctl, h->f->quarantine_reason ? "hold" : "release", args, n,
                     say_changed, h);
    sendmail_queue_close(&h->change);
    h->batch.n = 0;
    return rc == EX_NOINPUT ? EX_OK : rc; /* gone meanwhile */
}

static void take_message(struct hold *h, const json_t *row)
{
    const json_t *rcpts = json_object_get(row, "recipients");
    char *reason = h->batch.reasons[h->batch.n];
    if (row_int(row, "part"))
        return;
    reason[0] = '\0';
    for (size_t i = 0; i < json_array_size(rcpts) && !reason[0]; i++) {
        const json_t *r = json_array_get(rcpts, i);
        struct span s = row_text(r, "reason"), state = row_text(r, "state");
        if (span_eq(state, SPAN("held")) || span_eq(state, SPAN("quarantined")))
            snprintf(reason, REASON_MAX, "%.*s", SPAN_ARG(s));
    }
    struct span id = row_text(row, "id");
    snprintf(h->batch.ids[h->batch.n++], ID_MAX, "%.*s", SPAN_ARG(id));
}

static void take_total(struct hold *h, const json_t *row)
{
    struct span d = row_text(row, "directory");
    h->total = (uint64_t)row_int(row, "total");
    snprintf(h->directory, sizeof h->directory, "%.*s", SPAN_ARG(d));
    if (h->total)
        printf("Processing %s:\n", h->directory);
    else
        printf("%s: no matches\n", h->directory);
}

static int take(struct hold *h, struct span line)
{
    json_t *row = ctl_json(line, 1 << 20);
    if (json_object_get(row, "recipients"))
        take_message(h, row);
    else if (row)
        take_total(h, row);
    json_decref(row);
    return h->batch.n == IDS_AT_ONCE ? change(h) : EX_OK;
}

static int find(struct hold *h)
{
    struct queue_args a;
    struct span line;
    sendmail_queue_listed(&a, h->f);
    a.v[a.n++] = "head";
    int rc = EX_OK;
    enum ctl_got got = ctl_ask(&h->find.ctl, "list", a.v, a.n) ? CTL_ROW : CTL_ERROR;
    while (rc == EX_OK && got == CTL_ROW && (got = ctl_next(&h->find.ctl, &line)) == CTL_ROW)
        rc = take(h, line);
    if (rc == EX_OK && got == CTL_ERROR)
        rc = sendmail_queue_failed(&h->find);
    return rc == EX_OK ? change(h) : rc;
}

int sendmail_quarantine(const struct sendmail_flags *f)
{
    static const struct hold none = { 0 };
    struct hold h = none;
    h.f = f;
    if (!f->match_count && !f->run_quarantined) {
        fprintf(stderr, "%s: -Q needs -qR, -qS or -qI to say which messages\n", f->name);
        return EX_USAGE;
    }
    int rc = sendmail_queue_open(&h.find, f, denied);
    if (rc == EX_OK)
        rc = find(&h);
    if (rc == EX_OK && h.total)
        printf("%llu change%s\n", (unsigned long long)h.changed, h.changed == 1 ? "" : "s");
    sendmail_queue_close(&h.find);
    return rc;
}
