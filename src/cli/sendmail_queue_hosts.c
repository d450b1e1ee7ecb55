/* -bh, hoststat: what became of the last attempt at each host; -bH, purgestat: forgets the old. */
#include "cli/sendmail_queue.h"

#include "cli/ask.h"
#include "cli/term.h"

#include <stdio.h>
#include <sysexits.h>

enum { HOST_COLUMNS = 39, RESULT_COLUMNS = 25 };

static void put_ago(struct buf *out, int64_t ms)
{
    long long s = ms > 0 ? ms / 1000 : 0;
    char text[40];
    if (s >= 86400)
        snprintf(text, sizeof text, "%lld+%02d:%02d:%02d", s / 86400, (int)(s / 3600 % 24),
                 (int)(s / 60 % 60), (int)(s % 60));
    else
        snprintf(text, sizeof text, "%02d:%02d:%02d", (int)(s / 3600), (int)(s / 60 % 60),
                 (int)(s % 60));
    buf_printf(out, "%12s", text);
}

static void on_row(void *ctx, struct span line)
{
    const struct sendmail_flags *f = ctx;
    struct buf out, text;
    buf_init(&out, 8192);
    buf_init(&text, 4096);
    json_t *row = ctl_json(line, 16384);
    buf_putc(&out, ' ');
    term_put_text(&text, row_text(row, "host"));
    buf_puts(&out, buf_span(&text));
    for (unsigned n = term_columns(buf_span(&text)); n < HOST_COLUMNS; n++)
        buf_putc(&out, ' ');
    buf_putc(&out, ' ');
    put_ago(&out, row_int(row, "ago_ms"));
    buf_putc(&out, ' ');
    buf_reset(&text);
    term_put_text(&text, row_text(row, "text"));
    buf_puts(&out, f->verbose ? buf_span(&text) : term_cut(buf_span(&text), RESULT_COLUMNS));
    buf_putc(&out, '\n');
    if (row)
        cli_print(&out);
    json_decref(row);
    buf_free(&out);
    buf_free(&text);
}

int sendmail_hosts(const struct sendmail_flags *f)
{
    static const char *const purge[] = { "purge" };
    struct queue_asker k;
    bool only_purge = f->mode == SENDMAIL_HOSTS_PURGE;
    int rc = sendmail_queue_open(&k, f, "You are not permitted to see the state of hosts");
    if (rc == EX_OK && !only_purge)
        puts(" -------------- Hostname --------------- How long ago ---------Results---------");
    if (rc == EX_OK)
        rc = ctl_run(&k.ctl, "hosts", purge, only_purge, on_row, (void *)(uintptr_t)f);
    sendmail_queue_close(&k);
    return rc;
}
