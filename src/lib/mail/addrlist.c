#include "mail/addrlist.h"

enum { COMMENT_DEPTH_MAX = 64 };

void addrlist_init(struct addrlist *l, struct span text)
{
    *l = (struct addrlist){ .rest = text };
    buf_init(&l->addr, ADDRLIST_ITEM_MAX);
}

void addrlist_free(struct addrlist *l) { buf_free(&l->addr); }

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

/* Offset behind the quoted string, comment or literal that begins at `at`; s.n + 1 when it does
 * not end. Comments nest (RFC 5322 3.2.2). */
static size_t behind(struct span s, size_t at)
{
    char open = s.p[at], close = open == '(' ? ')' : open == '[' ? ']' : open;
    unsigned depth = 1;
    for (at++; at < s.n; at++) {
        if (s.p[at] == '\\') {
            at++;
        } else if (s.p[at] == close) {
            if (--depth == 0)
                return at + 1;
        } else if (open == '(' && s.p[at] == '(' && depth < COMMENT_DEPTH_MAX) {
            depth++;
        }
    }
    return s.n + 1;
}

/* What one element is made of: found in one walk over it, which ends at a comma, at the end of a
 * group, or with the text. */
struct element {
    struct span phrase;  /* all that stands outside of <> */
    struct span route;   /* inside of <> */
    size_t end;          /* offset of what ends it */
    bool angle, open, stray, group;
};

/* Behind what is quoted; `at` when nothing is. An opener without an end is not to swallow the
 * addresses that follow it, and the end is looked for once only: the work stays linear. */
static size_t skip_quoted(struct span s, size_t at, unsigned *unclosed)
{
    char c = s.p[at];
    unsigned kind = c == '"' ? 1 : c == '(' ? 2 : c == '[' ? 4 : 0;
    if (!kind || *unclosed & kind)
        return at;
    size_t next = behind(s, at);
    if (next <= s.n)
        return next;
    *unclosed |= kind;
    return at;
}

static void walk(struct span s, bool in_group, unsigned *unclosed, struct element *e)
{
    *e = (struct element){ .end = 0 };
    size_t at = 0, from = 0;
    while (at < s.n) {
        char c = s.p[at];
        size_t next = skip_quoted(s, at, unclosed);
        if (next > at) {
            at = next;
            continue;
        }
        if (c == '<' && !e->angle) {
            e->angle = e->open = true;
            from = at + 1;
        } else if (c == '>' && e->open) {
            e->open = false;
            e->route = span_of(s.p + from, at - from);
        } else if (c == '<' || c == '>') {
            e->stray = true;
        } else if (!e->open && (c == ',' || (in_group && c == ';'))) {
            break;
        } else if (!e->open && !in_group && c == ':' && !e->angle) {
            e->group = true;
            break;
        } else if (e->open && c == ',' && !(from < s.n && s.p[from] == '@')) {
            break; /* "<a@b, c@d": the next one is to be found */
        }
        at++;
    }
    e->end = at;
    e->phrase = span_to(s, at);
    if (e->open)
        e->route = span_of(s.p + from, at - from);
}

/* An address loses its comments and the blanks outside of quotes; *at_r: from its first byte to
 * its last. Returns what is wrong with it: words that do not hang together ("two words"), quotes
 * without an end. */
static const char *squeeze(struct buf *to, struct span s, struct span *at_r)
{
    bool gap = false, torn = false, open = false;
    *at_r = SPAN_NONE;
    for (size_t at = 0; at < s.n;) {
        char c = s.p[at];
        if (c == '(' || is_blank(c)) {
            at = c == '(' ? behind(s, at) : at + 1;
            open = open || at > s.n;
            gap = gap || to->len > 0;
            continue;
        }
        size_t next = c == '"' || c == '[' ? behind(s, at) : at + 1;
        open = open || next > s.n;
        next = next > s.n ? s.n : next;
        char last = to->len ? buf_span(to).p[to->len - 1] : '@';
        torn = torn || (gap && last != '@' && last != '.' && c != '@' && c != '.');
        gap = false;
        buf_put(to, s.p + at, next - at);
        at_r->p = at_r->p ? at_r->p : s.p + at;
        at_r->n = (size_t)(s.p + next - at_r->p);
        at = next;
    }
    return open ? "Unbalanced quotes or comments" : torn ? "Syntax error in mailbox address" : NULL;
}

/* "@a,@b:user@host" is user@host (RFC 5322 4.4). */
static struct span without_route(struct span addr)
{
    size_t colon = span_find(addr, ':');
    return addr.n && addr.p[0] == '@' && colon < addr.n ? span_from(addr, colon + 1) : addr;
}

static int take(struct addrlist *l, const struct element *e, struct span *addr_r)
{
    buf_reset(&l->addr);
    l->typed = span_trim_lines(e->phrase);
    l->angle = e->angle;
    const char *wrong = squeeze(&l->addr, e->angle ? e->route : e->phrase, &l->at);
    *addr_r = without_route(buf_span(&l->addr));
    if (addr_r->n != l->addr.len)
        l->at = SPAN_NONE;
    if (l->addr.failed)
        l->why = "Address too long";
    else if (e->open)
        l->why = "Unbalanced '<'";
    else if (e->stray)
        l->why = "Unbalanced '>'";
    else
        l->why = wrong;
    if (l->why)
        return -1;
    return addr_r->n || e->angle ? 1 : 0;
}

int addrlist_next(struct addrlist *l, struct span *addr_r)
{
    while (l->rest.n) {
        struct element e;
        walk(l->rest, l->group, &l->unclosed, &e);
        char end = e.end < l->rest.n ? l->rest.p[e.end] : '\0';
        bool was_group = l->group;
        l->rest = span_from(l->rest, e.end + 1);
        if (e.group) { /* the display name of a group: no address */
            l->group = true;
            continue;
        }
        if (end == ';' && was_group)
            l->group = false;
        int got = take(l, &e, addr_r);
        if (got != 0)
            return got;
    }
    return 0;
}
