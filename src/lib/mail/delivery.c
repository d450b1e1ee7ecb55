#include "mail/delivery.h"

#include <string.h>

bool delivery_user_ok(struct span user)
{
    if (user.n == 0 || user.n > DELIVERY_USER_MAX || user.p[0] == '-' || user.p[0] == '.')
        return false;
    for (size_t i = 0; i < user.n; i++) {
        char c = user.p[i];
        if (!ascii_isalnum(c) && c != '_' && c != '.' && c != '-')
            return false;
    }
    return true;
}

/* --- route.local_delivery --- */

static bool percents_ok(struct span s, struct err *e)
{
    for (size_t i = 0; i < s.n; i++) {
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f) {
            err_set(e, "has a control character in it");
            return false;
        }
        if (s.p[i] != '%')
            continue;
        if (++i == s.n || !memchr("udhs%", s.p[i], 5)) {
            err_set(e, "has a %% that is none of %%u %%d %%h %%s %%%%");
            return false;
        }
    }
    return true;
}

static bool check_rest(struct delivery *d, struct err *e)
{
    bool path = d->kind == DELIVERY_MAILDIR || d->kind == DELIVERY_MBOX;
    if (d->rest.n == 0) {
        err_set(e, "names nothing behind the colon");
        return false;
    }
    if (d->kind == DELIVERY_LMTP && span_istarts(d->rest, SPAN("unix:")))
        d->rest = span_from(d->rest, 5);
    if (path && d->rest.p[0] != '/' && !span_starts(d->rest, SPAN("%h/"))) {
        err_set(e, "needs a path that begins with / or %%h/");
        return false;
    }
    return d->kind == DELIVERY_LMTP || percents_ok(d->rest, e);
}

static bool check_command(struct span command, struct err *e)
{
    const char *words[DELIVERY_WORDS_MAX + 1];
    struct arena *a = arena_new(64 << 10);
    struct err why;
    bool ok = delivery_command(command, NULL, a, words, &why);
    arena_free(&a);
    if (!ok)
        err_set(e, "has a command that cannot be run: %s", why.text);
    return ok;
}

bool delivery_parse(struct span text, struct delivery *d_r, struct err *e)
{
    static const struct {
        struct span name;
        enum delivery_kind kind;
    } kinds[] = {
        { { "maildir", 7 }, DELIVERY_MAILDIR },
        { { "mbox", 4 }, DELIVERY_MBOX },
        { { "lmtp", 4 }, DELIVERY_LMTP },
        { { "program", 7 }, DELIVERY_PROGRAM },
    };
    size_t colon = span_find(text, ':');
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (!span_ieq(span_to(text, colon), kinds[i].name))
            continue;
        *d_r = (struct delivery){ kinds[i].kind, span_trim(span_from(text, colon + 1)) };
        return check_rest(d_r, e) &&
               (d_r->kind != DELIVERY_PROGRAM || check_command(d_r->rest, e));
    }
    err_set(e, "begins with none of maildir: mbox: lmtp: program:");
    return false;
}

/* --- filling in --- */

static struct span named(char c, const struct delivery_names *n)
{
    switch (c) {
    case 'u': return n->user;
    case 'd': return n->detail;
    case 'h': return n->home;
    case 's': return n->sender;
    default: return SPAN("%");
    }
}

static void fill_in(struct buf *b, struct span with, const struct delivery_names *n)
{
    for (size_t i = 0; i < with.n; i++) {
        if (with.p[i] == '%' && i + 1 < with.n)
            buf_puts(b, named(with.p[++i], n));
        else
            buf_putc(b, with.p[i]);
    }
}

static bool leads_elsewhere(struct span name)
{
    return span_find(name, '/') < name.n || span_find(name, '\0') < name.n ||
           span_eq(name, SPAN("..")) || span_eq(name, SPAN("."));
}

bool delivery_path(struct buf *b, struct span with, const struct delivery_names *n,
                   struct err *e)
{
    for (size_t i = 0; i + 1 < with.n; i++) {
        if (with.p[i] != '%')
            continue;
        char c = with.p[++i];
        if (c == 'h' && n->home.n == 0) {
            err_set(e, "%.*s has no home directory", SPAN_ARG(n->user));
            return false;
        }
        if (c != 'h' && c != '%' && leads_elsewhere(named(c, n))) {
            err_set(e, "a path cannot be made of \"%.*s\"", SPAN_ARG(named(c, n)));
            return false;
        }
    }
    fill_in(b, with, n);
    if (b->failed || b->len == 0 || buf_span(b).p[0] != '/') {
        err_set(e, "no path comes of \"%.*s\"", SPAN_ARG(with));
        return false;
    }
    return true;
}

/* --- commands --- */

enum { WORD_END, WORD_MORE, WORD_BAD };

struct scan {
    struct span in;
    size_t at;
    char quote; /* 0, ' or " */
};

static bool shell_would_act(char c, char quote)
{
    const char *acts = quote == '"' ? "$`" : "|&;<>()$`*?[]{}~#!\n\r";
    return quote != '\'' && strchr(acts, c) != NULL;
}

/* The next character of the word: 1 in *c_r, 0 the word has ended, -1 e. */
static int next_char(struct scan *s, char *c_r, struct err *e)
{
    while (s->at < s->in.n) {
        char c = s->in.p[s->at++];
        if (c == 0 || (unsigned char)c == 0x7f) {
            err_set(e, "there is a control character in it");
            return -1;
        }
        if (s->quote && c == s->quote) {
            s->quote = 0;
        } else if (!s->quote && (c == '"' || c == '\'')) {
            s->quote = c;
        } else if (!s->quote && ascii_isblank(c)) {
            return 0;
        } else if (c == '\\' && s->quote != '\'' && s->at < s->in.n) {
            *c_r = s->in.p[s->at++];
            return 1;
        } else if (shell_would_act(c, s->quote)) {
            err_set(e, "there is no shell to understand the %c; between '' it would be taken as "
                       "it is", c >= ' ' ? c : '?');
            return -1;
        } else {
            *c_r = c;
            return 1;
        }
    }
    if (s->quote)
        err_set(e, "the quote %c has no end", s->quote);
    return s->quote ? -1 : 0;
}

static int next_word(struct scan *s, struct buf *word, struct err *e)
{
    buf_reset(word);
    while (s->at < s->in.n && ascii_isblank(s->in.p[s->at]))
        s->at++;
    if (s->at == s->in.n)
        return WORD_END;
    char c;
    int rc;
    while ((rc = next_char(s, &c, e)) > 0)
        buf_putc(word, c);
    if (word->failed)
        err_set(e, "a word of it is too long");
    return rc < 0 || word->failed ? WORD_BAD : WORD_MORE;
}

/* names NULL: as it is. */
static bool filled_word(struct buf *to, struct span word, const struct delivery_names *names,
                        struct err *e)
{
    buf_reset(to);
    if (!names) {
        buf_puts(to, word);
        return true;
    }
    fill_in(to, word, names);
    bool option = word.n > 1 && word.p[0] == '%' && to->len && buf_span(to).p[0] == '-';
    bool nul = span_find(buf_span(to), '\0') < to->len;
    if (option || nul || to->failed)
        err_set(e, option ? "\"%.*s\" would be taken for an option"
                          : "\"%.*s\" cannot be an argument", SPAN_ARG(buf_span(to)));
    return !option && !nul && !to->failed;
}

bool delivery_command(struct span command, const struct delivery_names *names, struct arena *a,
                      const char *words_r[DELIVERY_WORDS_MAX + 1], struct err *e)
{
    struct scan s = { .in = command };
    struct buf word, full;
    size_t n = 0;
    int more;
    buf_init(&word, DELIVERY_PATH_MAX);
    buf_init(&full, 2 * DELIVERY_PATH_MAX);
    while ((more = next_word(&s, &word, e)) == WORD_MORE) {
        struct span copy = SPAN_NONE;
        if (n == 0 && !span_starts(buf_span(&word), SPAN("/")))
            break; /* before anything is filled in */
        if (!filled_word(&full, buf_span(&word), names, e))
            more = WORD_BAD;
        else if (n == DELIVERY_WORDS_MAX || !(copy = arena_dup(a, buf_span(&full))).p)
            more = WORD_BAD, err_set(e, "it is too long");
        if (more == WORD_BAD)
            break;
        words_r[n++] = copy.p;
    }
    if (more != WORD_BAD && n == 0) {
        more = WORD_BAD;
        err_set(e, "the program needs its whole path, beginning with /");
    }
    words_r[n] = NULL;
    buf_free(&word);
    buf_free(&full);
    return more == WORD_END;
}
