/* As much of m4 as macro files need. Input is a stack of texts: the file at the bottom, the text
 * that a macro stands for on top, read again as if it had been written there. Quotes are ` and ',
 * comments run from # to the end of the line and are copied, as in m4.
 *
 * Two deviations, both for better messages: the name in define(NAME, ...) is never expanded, and
 * after a quote or a list of arguments that does not end, reading goes on at the next line. */
#include "mc/impl.h"

enum tok { TOK_END, TOK_WORD, TOK_STRING, TOK_COMMENT, TOK_CHAR, TOK_OPEN_QUOTE };

/* --- input --- */

static struct mc_frame *top(struct mc *m)
{
    while (m->n_frames > 1 && m->frames[m->n_frames - 1].rest.n == 0) {
        m->n_frames--;
        if (m->frames[m->n_frames].file.n)
            m->includes--;
    }
    return &m->frames[m->n_frames - 1];
}

static int peek(struct mc *m)
{
    struct mc_frame *f = top(m);
    return f->rest.n ? (unsigned char)f->rest.p[0] : -1;
}

static int take(struct mc *m)
{
    struct mc_frame *f = top(m);
    if (f->rest.n == 0)
        return -1;
    int c = (unsigned char)f->rest.p[0];
    f->rest = span_from(f->rest, 1);
    if (c == '\n')
        f->line++;
    return c;
}

static size_t offset(const struct mc *m) { return m->text.n - m->frames[0].rest.n; }

/* Of what is read next. */
static struct mc_place here(struct mc *m)
{
    struct mc_frame *f = top(m);
    if (f == &m->frames[0])
        return (struct mc_place){ .from = offset(m), .to = offset(m) + 1 };
    struct mc_place p = f->place;
    if (f->file.n && f->in_line != f->line) {
        f->in = mc_format(m, "%.*s:%u", SPAN_ARG(f->file), (unsigned)f->line);
        f->in_line = f->line;
    }
    if (f->file.n)
        p.in = f->in;
    return p;
}

/* Up to where has been read by now. */
static void reach(struct mc *m, struct mc_place *p)
{
    if (p->in.n == 0 && offset(m) > p->to)
        p->to = offset(m);
}

static struct mc_frame *push(struct mc *m, struct span s, struct mc_place place)
{
    top(m);
    if (m->n_frames == MC_FRAMES_MAX) {
        mc_limit(m, place, "macros stand for one another without end");
        return NULL;
    }
    struct mc_frame *f = &m->frames[m->n_frames++];
    *f = (struct mc_frame){ .rest = s, .place = place, .line = 1 };
    return f;
}

void m4_push(struct mc *m, struct span s, struct mc_place place)
{
    if (s.n && !m->stop)
        push(m, s, place);
}

void m4_end_input(struct mc *m)
{
    m->n_frames = 1;
    m->includes = 0;
    m->frames[0].rest = span_from(m->frames[0].rest, m->frames[0].rest.n);
}

/* After a mistake that swallowed the rest of the file: on with the line behind its beginning. */
static void resume(struct mc *m, size_t at)
{
    struct span rest = span_from(m->text, at);
    m->n_frames = 1;
    m->includes = 0;
    m->frames[0].rest = span_from(rest, span_find(rest, '\n') + 1);
}

struct span m4_skip_line(struct mc *m, struct mc_place *place)
{
    buf_reset(&m->token);
    while (peek(m) >= 0 && peek(m) != '\n')
        buf_putc(&m->token, (char)take(m));
    reach(m, place);
    take(m);
    return mc_dup(m, buf_span(&m->token));
}

/* --- tokens --- */

static bool starts_word(int c) { return c == '_' || (c > 0 && ascii_isalpha((char)c)); }
static bool in_word(int c) { return starts_word(c) || (c > 0 && ascii_isdigit((char)c)); }

/* What stands between the quotes, inner quotes with it. False: no end. */
static bool read_string(struct mc *m)
{
    for (unsigned depth = 1;;) {
        int c = take(m);
        if (c < 0)
            return false;
        depth += c == '`';
        depth -= c == '\'';
        if (depth == 0)
            return true;
        buf_putc(&m->token, (char)c);
    }
}

/* The text of the token is in m->token. TOK_OPEN_QUOTE: a string without end. */
static enum tok next(struct mc *m)
{
    int c = take(m);
    buf_reset(&m->token);
    if (c < 0)
        return TOK_END;
    if (c == '`')
        return read_string(m) ? TOK_STRING : TOK_OPEN_QUOTE;
    buf_putc(&m->token, (char)c);
    if (c == '#') {
        while (peek(m) >= 0 && peek(m) != '\n')
            buf_putc(&m->token, (char)take(m));
        return TOK_COMMENT;
    }
    if (!starts_word(c))
        return TOK_CHAR;
    while (in_word(peek(m)))
        buf_putc(&m->token, (char)take(m));
    return TOK_WORD;
}

static void no_end_of_string(struct mc *m, struct mc_place p)
{
    mc_say(m, CONFIG_ERROR, p, SPAN_NONE, NULL,
           "a quote (`) is opened here and never closed (')");
    resume(m, p.from);
}

/* --- macros --- */

struct mc_macro *m4_find(struct mc *m, struct span name)
{
    for (size_t i = m->n_macros; i-- > 0;)
        if (span_eq(m->macros[i].name, name))
            return &m->macros[i];
    return NULL;
}

static bool has_word(struct span s, struct span word)
{
    for (size_t i = 0; i + word.n <= s.n; i++) {
        bool begins = i == 0 || !in_word((unsigned char)s.p[i - 1]);
        bool ends = i + word.n == s.n || !in_word((unsigned char)s.p[i + word.n]);
        if (begins && ends && span_eq(span_of(s.p + i, word.n), word))
            return true;
    }
    return false;
}

void m4_define(struct mc *m, struct span name, struct span value, struct mc_place place)
{
    struct mc_macro *old = m4_find(m, name);
    struct mc_macro made = { .name = name, .value = value, .place = place,
                             .text_only = has_word(value, name) };
    if (old) {
        made.used = old->used;
        *old = made;
        return;
    }
    if (m->n_macros == MC_MACROS_MAX) {
        mc_limit(m, place, "too many names are defined");
        return;
    }
    if (m->n_macros == m->cap_macros) {
        size_t cap = m->cap_macros ? m->cap_macros * 2 : 64;
        struct mc_macro *v = arena_alloc(m->arena, cap * sizeof *v);
        if (!v) {
            mc_limit(m, place, "it is too large");
            return;
        }
        if (m->n_macros)
            memcpy(v, m->macros, m->n_macros * sizeof *v);
        m->macros = v;
        m->cap_macros = cap;
    }
    m->macros[m->n_macros++] = made;
}

static bool expand_word(struct mc *m, struct span word, struct mc_place place);

static bool name_is_literal(struct span macro)
{
    return span_eq(macro, SPAN("define")) || span_eq(macro, SPAN("undefine")) ||
           span_eq(macro, SPAN("ifdef")) || span_eq(macro, SPAN("defn")) ||
           span_eq(macro, SPAN("pushdef")) || span_eq(macro, SPAN("popdef"));
}

/* One argument, up to its , or ) which is returned; 0: the input ended, which is said. */
static int collect_one(struct mc *m, struct mc_call *c, struct buf *arg)
{
    bool literal = c->n == 1 && name_is_literal(c->v[0]);
    unsigned depth = 0;
    while (peek(m) >= 0 && strchr(" \t\n", peek(m)) && peek(m) != 0)
        take(m);
    while (!m->stop) {
        struct mc_place at = here(m);
        enum tok t = next(m);
        struct span s = buf_span(&m->token);
        if (t == TOK_END) {
            mc_say(m, CONFIG_ERROR, c->place, SPAN_NONE, NULL,
                   "the arguments of %.*s have no closing parenthesis", SHOWN(c->v[0]));
            resume(m, c->place.from);
            return 0;
        }
        if (t == TOK_OPEN_QUOTE) {
            no_end_of_string(m, at);
            return 0;
        }
        if (t == TOK_CHAR && depth == 0 && (s.p[0] == ',' || s.p[0] == ')'))
            return s.p[0];
        if (t == TOK_CHAR && s.p[0] == '(')
            depth++;
        if (t == TOK_CHAR && s.p[0] == ')')
            depth--;
        if (t == TOK_WORD && !literal && expand_word(m, mc_dup(m, s), at))
            continue;
        buf_puts(arg, s);
    }
    return 0;
}

/* Behind the opening parenthesis. */
static bool collect(struct mc *m, struct mc_call *c)
{
    struct buf arg;
    buf_init(&arg, MC_TOKEN_MAX);
    for (int end = ','; end == ',';) {
        buf_reset(&arg);
        c->n++;
        end = collect_one(m, c, &arg);
        if (end == 0)
            break;
        if (c->n <= MC_ARGS_MAX)
            c->v[c->n] = mc_dup(m, buf_span(&arg));
        else
            c->n = MC_ARGS_MAX; /* none of sendmail's has so many */
        if (end == ')') {
            buf_free(&arg);
            reach(m, &c->place);
            return true;
        }
    }
    buf_free(&arg);
    return false;
}

/* The text of a macro with its arguments put in. */
static struct span with_args(struct mc *m, struct span value, const struct mc_call *c)
{
    if (span_find(value, '$') == value.n)
        return value;
    struct buf b;
    buf_init(&b, MC_TOKEN_MAX);
    for (size_t i = 0; i < value.n; i++) {
        char n = i + 1 < value.n ? value.p[i + 1] : 0;
        bool mark = value.p[i] == '$' && (ascii_isdigit(n) || n == '#' || n == '*' || n == '@');
        if (!mark) {
            buf_putc(&b, value.p[i]);
            continue;
        }
        i++;
        if (n == '#')
            buf_putu(&b, c->n);
        else if (ascii_isdigit(n) && (size_t)(n - '0') <= c->n)
            buf_puts(&b, c->v[n - '0']);
        for (size_t a = 1; (n == '*' || n == '@') && a <= c->n; a++)
            buf_printf(&b, "%s%s%.*s%s", a > 1 ? "," : "", n == '@' ? "`" : "",
                       SPAN_ARG(c->v[a]), n == '@' ? "'" : "");
    }
    struct span s = mc_dup(m, buf_span(&b));
    if (b.failed)
        mc_limit(m, c->place, "a macro is too long");
    buf_free(&b);
    return s;
}

/* True: the word was a macro; its text, if it has one, comes next in the input. */
static bool expand_word(struct mc *m, struct span word, struct mc_place place)
{
    struct mc_macro *user = m4_find(m, word);
    const struct mc_known *known = mc_builtin(word);
    if (user && (user->gone || user->text_only)) {
        user->used = true;
        user = NULL;
    }
    if (!known)
        known = mc_macro_find(word);
    bool call = peek(m) == '(' && !(known && known->bare);
    if (!user && (!known || (known->needs_args && !call)))
        return false;
    struct mc_call c = { .place = place, .v[0] = word };
    reach(m, &c.place);
    if (++m->expansions > MC_EXPANSIONS_MAX || m->nesting == MC_NESTING_MAX) {
        mc_limit(m, place, "macros stand for one another without end");
        return true;
    }
    if (call) {
        take(m);
        m->nesting++;
        bool whole = collect(m, &c);
        m->nesting--;
        if (!whole)
            return true;
    }
    if (user) {
        user->used = true;
        m4_push(m, with_args(m, user->value, &c), c.place);
    } else {
        known->fn(m, &c);
    }
    return true;
}

/* --- files within the file --- */

static struct span beside(struct mc *m, struct span name)
{
    size_t slash = span_rfind(m->file, '/');
    if (span_starts(name, SPAN("/")) || slash == m->file.n)
        return name;
    return mc_format(m, "%.*s/%.*s", SPAN_ARG(span_to(m->file, slash)), SPAN_ARG(name));
}

bool m4_include(struct mc *m, const struct mc_call *c, bool silent)
{
    struct buf text;
    struct err e = { "there are no files here" };
    if (m->includes == MC_INCLUDE_DEPTH) {
        mc_limit(m, c->place, "files include one another without end");
        return false;
    }
    struct span path = beside(m, c->v[1]);
    buf_init(&text, CONFIG_FILE_MAX);
    bool good = memchr(path.p, 0, path.n) == NULL && m->world->read &&
                m->world->read(m->world->ctx, path.p, &text, &e);
    if (good) {
        struct span s = mc_dup(m, buf_span(&text));
        struct mc_frame *f = s.n ? push(m, s, c->place) : NULL;
        if (f) {
            f->file = path;
            m->includes++;
        }
    } else if (!silent) {
        mc_say(m, CONFIG_ERROR, c->place, c->v[1], NULL, "%.*s: %s", SPAN_ARG(c->v[0]), e.text);
    }
    buf_free(&text);
    return good;
}

/* --- the whole --- */

void m4_run(struct mc *m)
{
    while (!m->stop) {
        struct mc_place at = here(m);
        enum tok t = next(m);
        if (t == TOK_END)
            break;
        if (t == TOK_OPEN_QUOTE) {
            no_end_of_string(m, at);
            continue;
        }
        struct span s = buf_span(&m->token);
        if (t == TOK_WORD) {
            struct span word = mc_dup(m, s);
            reach(m, &at);
            if (expand_word(m, word, at))
                continue;
            if (peek(m) == '(')
                mc_text_call(m, word, at);
            s = word;
        }
        mc_text(m, s, at);
    }
    if (!m->stop)
        mc_text_end(m);
}

struct span m4_expand(struct mc *m, struct span s, struct mc_place place)
{
    struct buf out;
    buf_init(&out, MC_TOKEN_MAX);
    m4_push(m, s, place);
    while (!m->stop) {
        enum tok t = next(m);
        if (t == TOK_END || t == TOK_OPEN_QUOTE)
            break;
        struct span word = mc_dup(m, buf_span(&m->token));
        if (t == TOK_WORD && !mc_macro_find(word) && expand_word(m, word, place))
            continue;
        buf_puts(&out, word);
    }
    struct span r = mc_dup(m, buf_span(&out));
    buf_free(&out);
    return r;
}
