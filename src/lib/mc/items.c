/* The lines of the native text: gathered in the order of the .mc, written by section. */
#include "mc/impl.h"

#include "base/must.h"
#include "config/table.h"

static struct mc_item *new_item(struct mc *m)
{
    if (m->n_items == MC_ITEMS_MAX) {
        mc_limit(m, (struct mc_place){ 0 }, "it has too many names");
        return NULL;
    }
    if (m->n_items == m->cap_items) {
        size_t cap = m->cap_items ? m->cap_items * 2 : 64;
        struct mc_item *v = arena_alloc(m->arena, cap * sizeof *v);
        if (!v) {
            mc_limit(m, (struct mc_place){ 0 }, "it is too large");
            return NULL;
        }
        if (m->n_items)
            memcpy(v, m->items, m->n_items * sizeof *v);
        m->items = v;
        m->cap_items = cap;
    }
    m->items[m->n_items] = (struct mc_item){ 0 };
    return &m->items[m->n_items++];
}

/* "" names no option yet: the caller fills it in. */
static void name_item(struct mc_item *it, const char *option)
{
    if (!option[0])
        return;
    const struct config_option *o = config_option_named(span_str(option));
    MUST(o); /* tests/unit/test_mc looks at all of them */
    it->section = o->section;
    it->name = o->name;
}

static bool same_option(const struct mc_item *a, const char *section, const char *name)
{
    return a->section && strcmp(a->section, section) == 0 && strcmp(a->name, name) == 0;
}

/* What was set before by the same option gives way. */
static void forget(struct mc *m, const struct mc_item *it)
{
    for (size_t i = 0; i + 1 < m->n_items; i++) {
        struct mc_item *old = &m->items[i];
        if (it->section && same_option(old, it->section, it->name) && !old->own &&
            span_eq(old->label, it->label))
            old->section = NULL, old->what = SPAN_NONE;
    }
}

void mc_set(struct mc *m, const char *option, struct span value, struct mc_place place,
            const char *what)
{
    mc_set_for(m, SPAN_NONE, option, value, place, what);
}

void mc_set_for(struct mc *m, struct span label, const char *option, struct span value,
                struct mc_place place, const char *what)
{
    struct mc_item *it = new_item(m);
    if (!it)
        return;
    name_item(it, option);
    it->label = label;
    it->value = value;
    it->what = span_str(what);
    it->place = place;
    it->placed = true;
    forget(m, it);
}

struct span mc_quoted(struct mc *m, struct span text)
{
    struct buf b;
    buf_init(&b, MC_TOKEN_MAX);
    value_put_text(&b, text);
    struct span s = mc_dup(m, buf_span(&b));
    buf_free(&b);
    return s;
}

void mc_set_text(struct mc *m, const char *option, struct span text, struct mc_place place,
                 const char *what)
{
    mc_set(m, option, mc_quoted(m, text), place, what);
}

static void add(struct mc *m, const char *option, struct span text, struct mc_item made)
{
    name_item(&made, option);
    made.value = mc_quoted(m, text);
    for (size_t i = 0; i < m->n_items; i++)
        if (same_option(&m->items[i], made.section, made.name) &&
            span_ieq(m->items[i].value, made.value))
            return;
    struct mc_item *it = new_item(m);
    if (it)
        *it = made;
}

void mc_add(struct mc *m, const char *option, struct span text, struct mc_place place,
            const char *what)
{
    add(m, option, text, (struct mc_item){
        .what = span_str(what), .place = place, .placed = true, .list = true });
}

void mc_derive_item(struct mc *m, const char *option, struct span text, const char *why)
{
    add(m, option, text, (struct mc_item){ .what = span_str(why), .list = true });
}

void mc_derive(struct mc *m, const char *option, struct span value, const char *why)
{
    struct mc_item *it = new_item(m);
    if (!it)
        return;
    name_item(it, option);
    it->value = value;
    it->what = span_str(why);
}

void mc_derive_text(struct mc *m, const char *option, struct span text, const char *why)
{
    mc_derive(m, option, mc_quoted(m, text), why);
}

bool mc_is_set(const struct mc *m, const char *option)
{
    const struct config_option *o = config_option_named(span_str(option));
    for (size_t i = 0; o && i < m->n_items; i++)
        if (same_option(&m->items[i], o->section, o->name))
            return true;
    return false;
}

void mc_drop(struct mc *m, const char *option)
{
    const struct config_option *o = config_option_named(span_str(option));
    for (size_t i = 0; i < m->n_items; i++)
        if (same_option(&m->items[i], o->section, o->name) && !m->items[i].own) {
            m->items[i].section = NULL;
            m->items[i].what = SPAN_NONE;
        }
}

void mc_same(struct mc *m, const char *name, const char *why, struct mc_place place)
{
    struct mc_item *it = new_item(m);
    if (!it)
        return;
    it->what = mc_format(m, "%s: %s", name, why);
    it->place = place;
    it->placed = true;
}

/* --- writing --- */

struct writer {
    struct mc *m;
    struct buf *out;
    struct mc_lines *lines;
    struct arena *arena;
    size_t cap;
    const char *indent;
};

/* Ends the line, and notes where it comes from. */
static void end(struct writer *w, const struct mc_item *it)
{
    struct mc_lines *l = w->lines;
    if (l->n == w->cap) {
        size_t cap = w->cap ? w->cap * 2 : 128;
        struct config_pos *v = arena_alloc(w->arena, cap * sizeof *v);
        MUST(v);
        if (l->n)
            memcpy(v, l->v, l->n * sizeof *v);
        l->v = v;
        w->cap = cap;
    }
    struct span near = it && it->value.n > 2 && it->value.p[0] == '"'
                           ? span_from(span_to(it->value, it->value.n - 1), 1)
                           : SPAN_NONE;
    struct config_pos pos = { 0 };
    if (it && it->placed)
        pos = mc_pos(w->m, it->place, near);
    l->v[l->n++] = pos;
    buf_putc(w->out, '\n');
}

/* A comment may have no line end and no control character of the file in it. */
static void put_plain(struct buf *b, struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        buf_putc(b, (unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f ? '?' : s.p[i]);
}

static void put_origin(struct writer *w, const struct mc_item *it)
{
    buf_putz(w->out, it->section ? "  # " : "# ");
    if (it->placed && it->place.in.n) {
        put_plain(w->out, it->place.in);
        buf_putz(w->out, ": ");
    } else if (it->placed) {
        size_t slash = span_rfind(w->m->file, '/');
        put_plain(w->out, slash < w->m->file.n ? span_from(w->m->file, slash + 1) : w->m->file);
        buf_printf(w->out, ":%u: ", (unsigned)mc_pos(w->m, it->place, SPAN_NONE).line);
    }
    put_plain(w->out, it->what);
    end(w, it);
}

/* What is written as an option of ours wins, then what is said of one listener. */
static bool overruled(const struct mc *m, const struct mc_item *of, struct span label)
{
    for (size_t i = 0; i < m->n_items; i++) {
        const struct mc_item *it = &m->items[i];
        if (!same_option(it, of->section, of->name) || (it->label.n && !span_eq(it->label, label)))
            continue;
        if ((it->own && !of->own) || (it->own == of->own && it->label.n && !of->label.n))
            return true;
    }
    return false;
}

static void put_list(struct writer *w, size_t first)
{
    const struct mc_item *of = &w->m->items[first];
    buf_printf(w->out, "%s%s = {", w->indent, of->name);
    end(w, NULL);
    for (size_t i = first; i < w->m->n_items; i++) {
        const struct mc_item *it = &w->m->items[i];
        if (!it->list || !same_option(it, of->section, of->name))
            continue;
        buf_printf(w->out, "%s    %.*s,", w->indent, SPAN_ARG(it->value));
        put_origin(w, it);
    }
    buf_printf(w->out, "%s}", w->indent);
    end(w, NULL);
}

static bool first_of_list(const struct mc *m, size_t i)
{
    for (size_t j = 0; j < i; j++)
        if (m->items[j].list && same_option(&m->items[j], m->items[i].section, m->items[i].name))
            return false;
    return true;
}

/* label: of the listener that is written, "" outside of them. */
static void put_section(struct writer *w, const char *section, struct span label)
{
    const struct mc *m = w->m;
    for (size_t i = 0; i < m->n_items; i++) {
        const struct mc_item *it = &m->items[i];
        if (!it->section || strcmp(it->section, section) != 0 ||
            (it->label.n && !span_eq(it->label, label)))
            continue;
        if (overruled(m, it, label))
            continue;
        if (it->list) {
            if (first_of_list(m, i))
                put_list(w, i);
            continue;
        }
        buf_printf(w->out, "%s%s = %.*s", w->indent, it->name, SPAN_ARG(it->value));
        put_origin(w, it);
    }
}

static bool in_use(const struct mc *m, const char *section)
{
    for (size_t i = 0; i < m->n_items; i++)
        if (m->items[i].section && strcmp(m->items[i].section, section) == 0)
            return true;
    return false;
}

static void open_section(struct writer *w, const char *name, const struct span *label)
{
    end(w, NULL);
    buf_putz(w->out, name);
    if (label) {
        buf_putc(w->out, ' ');
        value_put_text(w->out, *label);
    }
    buf_putz(w->out, " {");
    end(w, NULL);
    w->indent = "    ";
}

static void close_section(struct writer *w)
{
    buf_putc(w->out, '}');
    end(w, NULL);
    w->indent = "";
}

static void put_remarks(struct writer *w)
{
    for (size_t i = 0; i < w->m->n_items; i++) {
        const struct mc_item *it = &w->m->items[i];
        if (!it->section && it->what.n)
            put_origin(w, it);
    }
}

void mc_put(struct mc *m, struct buf *native, struct mc_lines *lines, struct arena *a)
{
    struct writer w = { .m = m, .out = native, .lines = lines, .arena = a, .indent = "" };
    size_t n;
    const struct config_section *s = config_sections(&n);
    buf_putz(native, "# Made from ");
    put_plain(native, m->file);
    end(&w, NULL);
    put_remarks(&w);
    put_section(&w, "", SPAN_NONE);
    for (size_t i = 1; i < n; i++) {
        if (config_section_of(s[i].name) == CONFIG_OF_LISTEN) {
            for (size_t l = 0; l < m->n_listeners; l++) {
                open_section(&w, s[i].name, &m->listeners[l].name);
                put_section(&w, s[i].name, m->listeners[l].name);
                close_section(&w);
            }
        } else if (!s[i].named && in_use(m, s[i].name)) {
            open_section(&w, s[i].name, NULL);
            put_section(&w, s[i].name, SPAN_NONE);
            close_section(&w);
        }
    }
    if (native->failed)
        mc_limit(m, (struct mc_place){ 0 }, "it is too large");
}
