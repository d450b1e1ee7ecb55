/* Submission: standard input becomes a letter. All of it is read before anything is said to the
 * gateway: recipients may stand in the header, and a slow sender must not hold a session. */
#include "cli/sendmail_letter.h"

#include "base/must.h"
#include "mail/address.h"
#include "mail/addrlist.h"
#include "mail/compose.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

enum { READ_BYTES = 64 << 10, ARENA_MAX = 64 << 20, NAME_MAX_BYTES = 256, UNIQUE_MAX = 64 };

struct caller {
    char name[NAME_MAX_BYTES], full_name[NAME_MAX_BYTES];
};

/* --- who calls --- */

/* "J. & Doe,Room 1,..." of the user jane is "J. Jane Doe" (finger's old habit). */
static void read_gecos(struct caller *c, const char *gecos)
{
    struct buf b;
    buf_init(&b, NAME_MAX_BYTES - 1);
    for (; *gecos && *gecos != ','; gecos++) {
        if (*gecos != '&') {
            buf_putc(&b, *gecos);
            continue;
        }
        buf_putc(&b, ascii_upper(c->name[0]));
        buf_putz(&b, c->name[0] ? c->name + 1 : "");
    }
    snprintf(c->full_name, sizeof c->full_name, "%.*s", SPAN_ARG(buf_span(&b)));
    buf_free(&b);
}

static void find_caller(struct caller *c)
{
    struct passwd *pw = getpwuid(getuid());
    *c = (struct caller){ "", "" };
    if (pw) {
        snprintf(c->name, sizeof c->name, "%s", pw->pw_name);
        read_gecos(c, pw->pw_gecos ? pw->pw_gecos : "");
    } else {
        snprintf(c->name, sizeof c->name, "uid%lu", (unsigned long)getuid());
    }
}

/* --- addresses --- */

static const char *address_wrong(enum address_error e)
{
    return e == ADDRESS_UNBALANCED ? "Unbalanced '<'"
           : e == ADDRESS_NO_HOST  ? "Hostname required"
           : e == ADDRESS_TOO_LONG ? "Address too long"
           : e == ADDRESS_BAD_HOST ? "Invalid host name"
                                   : "User address required";
}

/* As the envelope has it: a name alone is of this host. */
static enum address_error qualify(struct letter *l, struct span text, struct span *addr_r)
{
    struct address a;
    enum address_error e = address_read(text, &a);
    if (e != ADDRESS_OK)
        return e;
    *addr_r = address_normal(l->arena, &a);
    if (a.utf8)
        l->flags |= ENVELOPE_SMTPUTF8;
    if (a.null || a.domain.n)
        return addr_r->p ? ADDRESS_OK : ADDRESS_TOO_LONG;
    struct buf b;
    buf_init(&b, ADDRESS_MAX);
    buf_puts(&b, *addr_r);
    buf_putc(&b, '@');
    buf_puts(&b, l->conf->hostname);
    *addr_r = arena_dup(l->arena, buf_span(&b));
    bool whole = !b.failed && addr_r->p;
    buf_free(&b);
    return whole ? ADDRESS_OK : ADDRESS_TOO_LONG;
}

static bool add_wrong(struct letter *l, struct span typed, const char *why)
{
    struct buf b;
    buf_init(&b, 2 * ADDRESS_MAX);
    buf_puts(&b, span_to(typed, ADDRESS_MAX));
    buf_printf(&b, "... %s", why);
    bool ok = letter_add(l, typed, EX_USAGE, buf_span(&b));
    buf_free(&b);
    return ok;
}

static bool add_list(struct letter *l, struct span text)
{
    struct addrlist list;
    struct span addr, full;
    bool ok = true;
    int got;
    addrlist_init(&list, text);
    while (ok && (got = addrlist_next(&list, &addr)) != 0) {
        enum address_error e = ADDRESS_OK;
        if (got > 0)
            e = addr.n ? qualify(l, addr, &full) : ADDRESS_NO_USER;
        if (got < 0 || e != ADDRESS_OK)
            ok = add_wrong(l, list.typed, got < 0 ? list.why : address_wrong(e));
        else
            ok = letter_add(l, full, 0, SPAN_NONE);
    }
    addrlist_free(&list);
    return ok;
}

static int find_sender(struct letter *l, const struct caller *c)
{
    struct addrlist list;
    struct span addr = SPAN_NONE;
    const char *given = l->f->sender ? l->f->sender : c->name;
    addrlist_init(&list, span_str(given));
    int got = addrlist_next(&list, &addr);
    bool ok = got >= 0 && qualify(l, addr, &l->sender) == ADDRESS_OK;
    addrlist_free(&list);
    if (ok)
        return EX_OK;
    printf("%s... Invalid sender address\n", given);
    return EX_USAGE;
}

/* --- the message --- */

/* What came so far is header until it is known where that ends. */
static int take_piece(struct letter *l, struct buf *piece, bool last, bool *in_body)
{
    if (!*in_body) {
        size_t end;
        bool empty;
        if (!buf_puts(&l->input, buf_span(piece)))
            return EX_DATAERR;
        buf_reset(piece);
        int got = compose_header_end(buf_span(&l->input), last, &end, &empty);
        if (got < 0)
            return EX_DATAERR;
        if (got == 0)
            return EX_OK;
        *in_body = true;
        buf_puts(piece, span_from(buf_span(&l->input), end));
        buf_cut(&l->input, end);
    }
    bool ok = store_put(&l->body, buf_span(piece));
    buf_reset(piece);
    return ok ? EX_OK : EX_IOERR;
}

static int take_message(struct letter *l)
{
    char bytes[READ_BYTES];
    struct compose_lines lines;
    struct buf piece;
    bool in_body = false;
    ssize_t n;
    int rc = EX_OK;
    compose_lines_init(&lines, !l->f->dot_is_text);
    buf_init(&piece, COMPOSE_HEADER_MAX + 4 * READ_BYTES);
    while (rc == EX_OK && !lines.done && (n = read(STDIN_FILENO, bytes, sizeof bytes)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            rc = EX_IOERR;
        else if (!compose_lines_put(&lines, span_of(bytes, (size_t)n), &piece))
            rc = EX_IOERR;
        else
            rc = take_piece(l, &piece, false, &in_body);
    }
    compose_lines_end(&lines, &piece);
    if (rc == EX_OK)
        rc = take_piece(l, &piece, true, &in_body);
    buf_free(&piece);
    if (rc != EX_OK)
        printf("%s: %s\n", l->f->name,
               rc == EX_DATAERR ? "the header of the message is too long"
                                : "the message cannot be read or kept");
    if (lines.eight_bit)
        l->flags |= ENVELOPE_8BITMIME;
    return rc;
}

static int header_recipients(struct letter *l)
{
    struct span header = buf_span(&l->input);
    bool resent = compose_is_resent(header);
    struct compose_field field;
    while (compose_next_field(&header, &field))
        if (compose_names_recipients(field.name, resent) && !add_list(l, field.value))
            return EX_DATAERR;
    return EX_OK;
}

/* "202611200846.K3J9..." */
static void make_unique(struct letter *l, char unique[UNIQUE_MAX])
{
    time_t now = (time_t)(loop_wall_ms(l->loop) / 1000);
    struct tm tm;
    gmtime_r(&now, &tm);
    size_t n = strftime(unique, UNIQUE_MAX, "%Y%m%d%H%M", &tm);
    snprintf(unique + n, UNIQUE_MAX - n, ".%016llx",
             (unsigned long long)loop_random_u64(l->loop));
}

static int zone_min(struct letter *l)
{
    time_t now = (time_t)(loop_wall_ms(l->loop) / 1000);
    struct tm tm;
    return localtime_r(&now, &tm) ? (int)(tm.tm_gmtoff / 60) : 0;
}

static int make_header(struct letter *l, const struct caller *c)
{
    char unique[UNIQUE_MAX];
    const char *env_name = getenv("NAME");
    make_unique(l, unique);
    struct compose_facts facts = { .sender = l->sender,
                                   .full_name = span_str(l->f->full_name),
                                   .host = l->conf->hostname,
                                   .unique = span_str(unique),
                                   .wall_ms = loop_wall_ms(l->loop),
                                   .zone_min = zone_min(l) };
    char daemon[NAME_MAX_BYTES];
    snprintf(daemon, sizeof daemon, "MAILER-DAEMON@%.*s", SPAN_ARG(l->conf->hostname));
    if (!l->sender.n)
        facts.sender = span_str(daemon);
    if (!facts.full_name.n && !l->f->sender) /* of another sender we know no name */
        facts.full_name = span_str(env_name && env_name[0] ? env_name : c->full_name);
    return compose_header_put(&l->header, buf_span(&l->input), &facts) ? EX_OK : EX_DATAERR;
}

static bool too_many_hops(const struct letter *l)
{
    uint64_t max = l->conf->config->limits.hops;
    if (l->f->hops <= max)
        return false;
    printf("Too many hops %u (%llu max): from %.*s via localhost, to %.*s\n", l->f->hops,
           (unsigned long long)max, SPAN_ARG(l->sender),
           SPAN_ARG(l->rcpt_count ? l->rcpts[0].rcpt.addr : SPAN_NONE));
    return true;
}

/* --- all of it --- */

static int send_it(struct letter *l)
{
    struct err err;
    if (!l->rcpt_count) {
        puts("No recipient addresses found in header");
        return EX_OK; /* sendmail's way */
    }
    if (too_many_hops(l))
        return EX_UNAVAILABLE;
    letter_give(l);
    if (letter_count(l, LETTER_OPEN) && !letter_drop(l, &err)) {
        printf("%s: the message was not accepted, try again later: %s\n", l->f->name, err.text);
        return EX_TEMPFAIL;
    }
    return letter_failures(l);
}

static int compose(struct letter *l)
{
    struct caller caller;
    find_caller(&caller);
    int rc = find_sender(l, &caller);
    for (int i = 0; rc == EX_OK && i < l->f->arg_count; i++)
        if (!add_list(l, span_str(l->f->args[i])))
            rc = EX_DATAERR;
    if (rc == EX_OK)
        rc = take_message(l);
    if (rc == EX_OK && l->f->recipients_from_header)
        rc = header_recipients(l);
    return rc == EX_OK ? make_header(l, &caller) : rc;
}

int sendmail_submit(const struct sendmail_flags *f)
{
    struct sendmail_conf conf;
    if (!f->recipients_from_header && !f->arg_count) {
        fputs("Recipient names must be specified\n", stderr);
        return EX_USAGE;
    }
    int rc = sendmail_conf_load(&conf, f);
    if (rc != EX_OK)
        return rc;
    struct letter l = { .f = f, .conf = &conf, .loop = loop_new(), .arena = arena_new(ARENA_MAX),
                        .envid = span_str(f->envid), .flags = f->flags };
    if (f->delivery_mode == 'q')
        l.flags |= ENVELOPE_QUEUE_ONLY;
    else if (f->delivery_mode == 'd')
        l.flags |= ENVELOPE_DEFER;
    buf_init(&l.header, 2 * COMPOSE_HEADER_MAX);
    buf_init(&l.input, COMPOSE_HEADER_MAX + 4 * READ_BYTES);
    store_init(&l.body);
    rc = compose(&l);
    if (rc == EX_OK)
        rc = send_it(&l);
    store_free(&l.body);
    buf_free(&l.header);
    buf_free(&l.input);
    free(l.rcpts);
    arena_free(&l.arena);
    loop_free(&l.loop);
    sendmail_conf_free(&conf);
    return rc;
}
