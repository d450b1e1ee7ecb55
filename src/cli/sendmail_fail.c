/* What could not be handed over: said, mailed back or kept, as the error mode wants it. */
#include "cli/sendmail_letter.h"

#include "base/must.h"
#include "dsn/dsn.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, PIECE_BYTES = 64 << 10 };

static int worst(const struct letter *l)
{
    int rc = EX_OK;
    for (size_t i = 0; i < l->rcpt_count; i++)
        if (l->rcpts[i].state == LETTER_FAILED)
            rc = l->rcpts[i].exit;
    return rc;
}

/* --- printed --- */

static bool names_itself(struct span reply, struct span addr)
{
    return addr.n && memmem(reply.p, reply.n, addr.p, addr.n) != NULL;
}

static void print_failures(const struct letter *l)
{
    for (size_t i = 0; i < l->rcpt_count; i++) {
        const struct letter_rcpt *r = &l->rcpts[i];
        if (r->state != LETTER_FAILED)
            continue;
        if (!names_itself(r->reply, r->rcpt.addr))
            printf("%.*s... ", SPAN_ARG(r->rcpt.addr));
        printf("%.*s\n", SPAN_ARG(r->reply));
    }
}

/* --- dead.letter --- */

static bool append(FILE *f, const struct letter *l)
{
    char bytes[PIECE_BYTES];
    time_t now = (time_t)(loop_wall_ms(l->loop) / 1000);
    struct tm tm;
    char date[64] = "";
    if (localtime_r(&now, &tm))
        strftime(date, sizeof date, "%a %b %e %H:%M:%S %Y", &tm);
    fprintf(f, "From %.*s %s\n", SPAN_ARG(l->sender.n ? l->sender : SPAN("MAILER-DAEMON")), date);
    char last = '\n';
    ssize_t n;
    for (uint64_t at = 0; (n = letter_read(l, at, bytes, sizeof bytes)) > 0; at += (uint64_t)n)
        for (ssize_t i = 0; i < n; i++) {
            if (bytes[i] == '\r') /* all of them stand before a line feed */
                continue;
            if (last == '\n' && n - i >= 5 && memcmp(bytes + i, "From ", 5) == 0)
                putc('>', f);
            putc(last = bytes[i], f);
        }
    putc('\n', f);
    return n == 0 && fflush(f) == 0 && !ferror(f);
}

static void save_dead_letter(const struct letter *l)
{
    struct passwd *pw = getpwuid(getuid());
    char path[PATH_BYTES];
    if (!pw || !pw->pw_dir || pw->pw_dir[0] != '/')
        return;
    snprintf(path, sizeof path, "%s/dead.letter", pw->pw_dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
    FILE *f = fd >= 0 ? fdopen(fd, "a") : NULL;
    if (f && append(f, l))
        printf("%s... Saved message in %s\n", path, path);
    else
        printf("%s... Cannot save message: %s\n", path, strerror(errno));
    if (f)
        fclose(f);
    else if (fd >= 0)
        close(fd);
}

/* --- mailed back --- */

static struct span status_of(const struct letter_rcpt *r)
{
    struct span rest = r->reply;
    span_word(&rest);
    struct span code = span_word(&rest);
    bool coded = code.n >= 5 && code.p[0] == '5' && code.p[1] == '.';
    return coded ? code : r->exit == EX_NOUSER ? SPAN("5.1.1") : SPAN("5.0.0");
}

static bool compose_report(const struct letter *l, struct buf *out, uint32_t *flags_r)
{
    struct envelope env = { .received_ms = loop_wall_ms(l->loop), .flags = l->flags,
                            .sender = l->sender, .envid = l->envid };
    struct dsn_rcpt *rcpts = must_calloc(DSN_RCPTS_MAX, sizeof *rcpts);
    size_t n = 0;
    for (size_t i = 0; i < l->rcpt_count && n < DSN_RCPTS_MAX; i++)
        if (l->rcpts[i].state == LETTER_FAILED)
            rcpts[n++] = (struct dsn_rcpt){ .rcpt = &l->rcpts[i].rcpt,
                                            .status = status_of(&l->rcpts[i]),
                                            .reply = l->rcpts[i].reply,
                                            .local = true,
                                            .attempts = 1,
                                            .last_attempt_ms = env.received_ms };
    struct dsn_report r = { .kind = DSN_FAILURE, .env = &env, .to = l->sender,
                            .id = queueid_make(1, env.received_ms),
                            .hostname = l->conf->hostname,
                            .postmaster = l->conf->config->postmaster, .rcpts = rcpts,
                            .rcpt_count = n, .header = buf_span(&l->header),
                            .now_ms = env.received_ms, .random = loop_random_u64(l->loop) };
    bool ok = n > 0 && dsn_compose(&r, out, flags_r);
    free(rcpts);
    return ok;
}

/* The report goes the way of the message itself. Nobody is told about a report that fails. */
static bool mail_back(struct letter *l)
{
    struct letter back = { .f = l->f, .conf = l->conf, .loop = l->loop, .arena = l->arena };
    struct err err;
    bool ok = false;
    if (!l->sender.n || (l->f->notify & NOTIFY_NEVER))
        return true;
    buf_init(&back.header, DSN_OUT_MAX);
    store_init(&back.body);
    if (compose_report(l, &back.header, &back.flags) &&
        letter_add(&back, l->sender, 0, SPAN_NONE)) {
        back.flags &= ENVELOPE_8BITMIME | ENVELOPE_SMTPUTF8;
        back.rcpts[0].rcpt.notify = NOTIFY_NEVER;
        letter_give(&back);
        ok = !letter_count(&back, LETTER_OPEN) || letter_drop(&back, &err);
    }
    store_free(&back.body);
    buf_free(&back.header);
    free(back.rcpts);
    return ok;
}

int letter_failures(struct letter *l)
{
    int rc = worst(l);
    if (rc == EX_OK)
        return rc;
    switch (l->f->error_mode) {
    case 'q': break;
    case 'm':
    case 'w':
    case 'e':
        if (!mail_back(l)) {
            print_failures(l);
            save_dead_letter(l);
        }
        break;
    default:
        print_failures(l);
        save_dead_letter(l);
        break;
    }
    return l->f->error_mode == 'e' ? EX_OK : rc;
}
