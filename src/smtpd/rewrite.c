/* Senders as others are to see them (genericstable, masquerade_as), for mail that router says it
 * is for. The header is kept here until all of it has come, router is asked about the sender and
 * the addresses in it once, and what it says is put in their places: only those bytes change. The
 * envelope keeps its sender, and has beside it what stands in MAIL and what became of what. */
#include "smtpd/inside.h"

#include "base/must.h"
#include "mail/address.h"
#include "mail/headeraddr.h"
#include "proto/lists.h"
#include "route/route.h"

#include <stdlib.h>
#include <string.h>

enum {
    HEADER_HELD_MAX = 128 << 10, /* of a longer header nothing is changed */
    ADDRS_MAX = 2000,            /* in a header; those behind them stay as they are */
    MORE_BYTES = 32,             /* of a note: "and 1999 more\n" */
};

struct place {
    size_t at, n;    /* in the content */
    char field[32];
};

struct rewriting {
    uint64_t q;      /* the question; 0: it is not asked, or answered */
    bool over;       /* nothing is kept back any more */
    bool utf8;       /* something of what was put in needs SMTPUTF8 */
    struct place *places;
    size_t count, size;
    struct buf shown, note;
    size_t more;     /* that the note has no room for */
};

bool rewrite_wanted(const struct config *cfg)
{
    return cfg->route.genericstable.n || cfg->route.masquerade_as.n;
}

void rewrite_begin(struct session *s)
{
    if (s->rewriting || !rewrite_wanted(s->gen->config)) /* a session of before a reload */
        return;
    struct rewriting *r = s->rewriting = NEW(struct rewriting);
    buf_init(&r->shown, ENVELOPE_ADDR_MAX);
    buf_init(&r->note, ENVELOPE_TEXT_MAX);
}

void rewrite_free(struct session *s)
{
    struct rewriting *r = s->rewriting;
    if (!r)
        return;
    s->rewriting = NULL;
    buf_free(&r->shown);
    buf_free(&r->note);
    free(r->places);
    free(r);
}

bool rewrite_holds(const struct session *s)
{
    const struct rewriting *r = s->rewriting;
    return r && !r->over && (r->q || s->content.len <= HEADER_HELD_MAX);
}

/* --- the question --- */

static void put_header(struct session *s, struct buf *b, struct span header)
{
    struct rewriting *r = s->rewriting;
    struct headeraddr w;
    headeraddr_init(&w, header, s->gen->config->route.masquerade_all);
    while (headeraddr_next(&w)) {
        if (r->count == ADDRS_MAX) {
            buf_printf(&r->note, "header: more than %d addresses, the others stay\n", ADDRS_MAX);
            break;
        }
        if (r->count == r->size) {
            r->size = r->size ? 2 * r->size : 4;
            r->places = must_realloc(r->places, r->size * sizeof *r->places);
        }
        struct place *p = &r->places[r->count++];
        *p = (struct place){ .at = (size_t)(w.at.p - header.p), .n = w.at.n };
        struct span field = span_to(w.field, sizeof p->field - 1);
        memcpy(p->field, field.p, field.n);
        list_put_place(b, w.rcpt ? ROUTE_HEADER_RCPT : ROUTE_HEADER_SENDER, w.addr);
    }
    headeraddr_free(&w);
}

uint64_t rewrite_ask(struct session *s, const struct smtp_server_question *q)
{
    struct rewriting *r = s->rewriting;
    struct smtpd *d = s->d;
    struct buf b;
    if (!r || s->lost || targets_discard_all(s))
        return 0;
    buf_init(&b, CHANNEL_FRAME_MAX - 1024);
    list_put_place(&b, ROUTE_ENVELOPE_SENDER, q->envelope->sender);
    size_t header = q->header->header_bytes;
    if (!s->streamed_bytes && header <= s->content.len && header <= HEADER_HELD_MAX)
        put_header(s, &b, span_to(buf_span(&s->content), header));
    else
        buf_printf(&r->note, "header: longer than %dK, nothing is changed in it\n",
                   HEADER_HELD_MAX >> 10);
    struct msg_ask_rewrite m = { .q = r->q = ++d->next_q, .addrs = buf_span(&b) };
    send_ask_rewrite(d->router, &m);
    buf_free(&b);
    return r->q;
}

/* --- the answer --- */

static void add_note(struct rewriting *r, const char *what, struct span old, struct span now,
                     struct span why)
{
    struct buf b;
    buf_init(&b, ENVELOPE_TEXT_MAX - MORE_BYTES);
    buf_printf(&b, "%s: %.*s became %.*s, because of %.*s\n", what, SPAN_ARG(old), SPAN_ARG(now),
               SPAN_ARG(why));
    struct span line = buf_span(&b), all = buf_span(&r->note);
    bool said = all.n && memmem(all.p, all.n, line.p, line.n);
    if (b.failed || (!said && r->note.len + line.n + MORE_BYTES > ENVELOPE_TEXT_MAX))
        r->more++;
    else if (!said)
        buf_puts(&r->note, line);
    buf_free(&b);
}

/* An address that may stand in a header and in MAIL: whatever a table says, no line ends there. */
static bool is_good(struct rewriting *r, struct span now)
{
    struct address a;
    if (!now.n || address_read(now, &a) != ADDRESS_OK || !a.domain.n)
        return false;
    r->utf8 |= a.utf8;
    return true;
}

static bool next_answer(struct wire *w, struct span *now_r, struct span *why_r)
{
    if (w->bad || !w->rest.n)
        return false;
    *now_r = wire_get_bytes(w, ENVELOPE_ADDR_MAX);
    *why_r = wire_get_bytes(w, ENVELOPE_TEXT_MAX);
    return !w->bad;
}

/* What router says of the header's addresses, in a copy of the content; what it says nothing of
 * stays. False: nothing has changed. */
static bool put_places(struct session *s, struct wire *w, struct buf *to)
{
    struct rewriting *r = s->rewriting;
    struct span content = buf_span(&s->content), now, why;
    size_t done = 0;
    for (size_t i = 0; i < r->count && next_answer(w, &now, &why); i++) {
        const struct place *p = &r->places[i];
        if (!is_good(r, now))
            continue;
        buf_puts(to, span_from(span_to(content, p->at), done));
        buf_puts(to, now);
        done = p->at + p->n;
        add_note(r, p->field, span_of(content.p + p->at, p->n), now, why);
    }
    buf_puts(to, span_from(content, done));
    return done > 0;
}

static void obey(struct session *s, struct span addrs)
{
    struct rewriting *r = s->rewriting;
    const struct envelope *env = smtp_server_envelope(s->server);
    struct wire w = wire_reader(addrs);
    struct span now, why;
    struct buf to;
    if (!env || !next_answer(&w, &now, &why))
        return;
    if (is_good(r, now)) {
        buf_puts(&r->shown, now);
        add_note(r, "envelope sender", env->sender, now, why);
    }
    buf_init(&to, s->content.max);
    bool changed = put_places(s, &w, &to);
    if (changed && !to.failed) {
        buf_free(&s->content);
        s->content = to;
        return;
    }
    buf_free(&to);
}

bool rewrite_answer(struct session *s, const struct msg_rewritten *m)
{
    struct rewriting *r = s->rewriting;
    if (!r || r->q != m->q)
        return false;
    r->q = 0;
    obey(s, m->addrs);
    rewrite_over(s);
    return true;
}

void rewrite_over(struct session *s)
{
    if (s->rewriting)
        s->rewriting->over = true;
}

/* --- the commit --- */

void rewrite_envelope(struct session *s, struct envelope *env)
{
    struct rewriting *r = s->rewriting;
    if (!r)
        return;
    if (r->more)
        buf_printf(&r->note, "and %zu more\n", r->more);
    r->more = 0;
    env->shown = buf_span(&r->shown);
    env->rewritten = span_trim_lines(buf_span(&r->note));
    env->flags |= r->utf8 ? ENVELOPE_SMTPUTF8 : 0;
}

struct span rewrite_note(const struct session *s)
{
    return s->rewriting ? buf_span(&s->rewriting->note) : SPAN_NONE;
}
