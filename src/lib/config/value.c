#include "config/value.h"

#include "base/must.h"
#include "base/num.h"

struct setting {
    const struct config_option *o;
    struct arena *arena;
    struct config_report *report;
};

static bool wrong(const struct setting *s, struct config_pos pos, const char *hint,
                  const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* "NAME fmt..." */
static bool wrong(const struct setting *s, struct config_pos pos, const char *hint,
                  const char *fmt, ...)
{
    struct buf name, text;
    va_list ap;
    buf_init(&name, 256);
    buf_init(&text, 4096);
    config_option_put_name(&name, s->o);
    va_start(ap, fmt);
    buf_vprintf(&text, fmt, ap);
    va_end(ap);
    config_report_add(s->report, CONFIG_ERROR, pos, hint, "%s %s", buf_cstr(&name),
                      buf_cstr(&text));
    buf_free(&text);
    buf_free(&name);
    return false;
}

/* A word where a text is needed, perhaps in quotes of another kind. */
static bool unquoted(const struct setting *s, const struct token *t)
{
    struct span text = t->text;
    if (text.n > 1 && text.p[0] == '\'' && text.p[text.n - 1] == '\'')
        text = span_from(span_to(text, text.n - 1), 1);
    return wrong(s, t->pos, NULL, "takes %s: write \"%.*s\"", value_kind(s->o), SHOWN(text));
}

static bool kind_wrong(const struct setting *s, const struct token *t)
{
    if (t->kind == TOKEN_STRING)
        return wrong(s, t->pos, NULL, "takes %s, without quotes", value_kind(s->o));
    return wrong(s, t->pos, NULL, "takes %s: \"%.*s\" is none", value_kind(s->o), SHOWN(t->text));
}

static bool in_range(const struct config_option *o, uint64_t v)
{
    return (o->zero && v == 0) || (v >= o->min && (o->max == 0 || v <= o->max));
}

static bool check_range(const struct setting *s, const struct token *t, uint64_t v)
{
    if (in_range(s->o, v))
        return true;
    struct buf min, max;
    buf_init(&min, 64);
    buf_init(&max, 64);
    value_put_number(&min, s->o, s->o->min);
    value_put_number(&max, s->o, s->o->max);
    if (s->o->max)
        wrong(s, t->pos, NULL, "must be %s%s to %s", s->o->zero ? "0, or " : "", buf_cstr(&min),
              buf_cstr(&max));
    else
        wrong(s, t->pos, NULL, "must be %s or more", buf_cstr(&min));
    buf_free(&max);
    buf_free(&min);
    return false;
}

static bool set_number(const struct setting *s, const struct token *t, void *field)
{
    uint64_t v;
    if (t->kind != TOKEN_WORD || !num_u64(t->text, &v))
        return kind_wrong(s, t);
    if (!check_range(s, t, v))
        return false;
    *(uint64_t *)field = v;
    return true;
}

static bool set_size(const struct setting *s, const struct token *t, void *field)
{
    uint64_t v;
    if (t->kind != TOKEN_WORD || !num_size_bytes(t->text, &v))
        return kind_wrong(s, t);
    if (!check_range(s, t, v))
        return false;
    *(uint64_t *)field = v;
    return true;
}

static bool set_duration(const struct setting *s, const struct token *t, void *field)
{
    int64_t ms;
    uint64_t bare;
    if (t->kind == TOKEN_WORD && num_u64(t->text, &bare) && bare != 0)
        return wrong(s, t->pos, NULL, "needs a unit: s m h d or w, as in %.*ss", SHOWN(t->text));
    if (t->kind != TOKEN_WORD || !num_duration_ms(t->text, &ms))
        return kind_wrong(s, t);
    if (!check_range(s, t, (uint64_t)ms))
        return false;
    *(int64_t *)field = ms;
    return true;
}

static bool set_bool(const struct setting *s, const struct token *t, void *field)
{
    static const char *const words[] = { "off", "on", "no", "yes", "false", "true" };
    for (size_t i = 0; t->kind == TOKEN_WORD && i < sizeof words / sizeof *words; i++)
        if (span_eq(t->text, span_str(words[i]))) {
            *(bool *)field = i % 2;
            return true;
        }
    return kind_wrong(s, t);
}

static bool set_word(const struct setting *s, const struct token *t, void *field)
{
    struct buf all;
    bool quoted = t->kind == TOKEN_STRING;
    for (unsigned i = 0; !quoted && s->o->words[i].word; i++)
        if (span_eq(t->text, span_str(s->o->words[i].word))) {
            memcpy(field, &i, sizeof i);
            return true;
        }
    buf_init(&all, 1024);
    for (unsigned i = 0; s->o->words[i].word; i++)
        buf_printf(&all, "%s%s", i ? " | " : "", s->o->words[i].word);
    if (quoted)
        wrong(s, t->pos, NULL, "takes a word without quotes: %s", buf_cstr(&all));
    else
        wrong(s, t->pos, config_suggest_word(s->o, t->text), "cannot be \"%.*s\": it is one of %s",
              SHOWN(t->text), buf_cstr(&all));
    buf_free(&all);
    return false;
}

static bool full(const struct setting *s, const struct token *t)
{
    return wrong(s, t->pos, NULL, "does not fit: the configuration is too large");
}

/* in_list: "" means none where one text stands, and nothing good inside a list. */
static bool set_one_text(const struct setting *s, const struct token *t, bool in_list,
                         struct span *to)
{
    struct err e;
    if (t->kind == TOKEN_WORD)
        return unquoted(s, t);
    if (t->text.n > CONFIG_TEXT_MAX)
        return wrong(s, t->pos, NULL, "is longer than %d bytes", CONFIG_TEXT_MAX);
    if (t->text.n == 0 && (in_list || s->o->flags & CONFIG_NONEMPTY))
        return wrong(s, t->pos, NULL, "must not be empty");
    if (t->text.n && s->o->check && !s->o->check(t->text, &e))
        return wrong(s, t->pos, NULL, "\"%.*s\" %s", SHOWN(t->text), e.text);
    *to = arena_dup(s->arena, t->text);
    if (!to->p)
        return full(s, t);
    for (size_t i = 0; s->o->flags & CONFIG_LOWER && i < to->n; i++)
        ((char *)to->p)[i] = ascii_lower(to->p[i]);
    return true;
}

static bool set_text(const struct setting *s, const struct token *t, void *field)
{
    struct span text;
    if (!set_one_text(s, t, false, &text))
        return false;
    *(struct span *)field = text;
    return true;
}

static bool set_text_item(const struct setting *s, const struct token *t, void *item)
{
    return set_one_text(s, t, true, item);
}

static bool set_addr_item(const struct setting *s, const struct token *t, void *item)
{
    struct err e;
    struct netaddr *a = item;
    if (t->kind == TOKEN_WORD)
        return unquoted(s, t);
    if (s->o->port == 0 && !netaddr_parse_ip(t->text, a))
        return wrong(s, t->pos, NULL, "\"%.*s\" is not an IP address without port",
                     SHOWN(t->text));
    if (s->o->port && !netaddr_parse(t->text, s->o->port, a, &e))
        return wrong(s, t->pos, NULL, "%s", e.text);
    return true;
}

static bool set_cidr_item(const struct setting *s, const struct token *t, void *item)
{
    struct err e;
    if (t->kind == TOKEN_WORD)
        return unquoted(s, t);
    return cidr_parse(t->text, item, &e) || wrong(s, t->pos, NULL, "%s", e.text);
}

typedef bool set_fn(const struct setting *s, const struct token *t, void *to);

/* The three list structs have the same shape: items and their number. */
static const struct {
    set_fn *set;
    size_t item; /* size of one, for lists */
} setters[] = {
    [CONFIG_TEXT] = { set_text, 0 },
    [CONFIG_NUMBER] = { set_number, 0 },
    [CONFIG_DURATION] = { set_duration, 0 },
    [CONFIG_SIZE] = { set_size, 0 },
    [CONFIG_BOOL] = { set_bool, 0 },
    [CONFIG_WORD] = { set_word, 0 },
    [CONFIG_TEXTS] = { set_text_item, sizeof(struct span) },
    [CONFIG_ADDRS] = { set_addr_item, sizeof(struct netaddr) },
    [CONFIG_CIDRS] = { set_cidr_item, sizeof(struct cidr) },
};

static void store_list(const struct config_option *o, void *field, const void *items, size_t n)
{
    if (o->type == CONFIG_TEXTS)
        *(struct config_texts *)field = (struct config_texts){ items, n };
    else if (o->type == CONFIG_ADDRS)
        *(struct config_addrs *)field = (struct config_addrs){ items, n };
    else
        *(struct config_cidrs *)field = (struct config_cidrs){ items, n };
}

static bool set_list(const struct setting *s, const struct value *v, void *field)
{
    size_t item = setters[s->o->type].item;
    bool good = true;
    if (v->n == 0 && s->o->flags & CONFIG_NONEMPTY)
        return wrong(s, v->pos, NULL, "must not be empty");
    char *items = arena_alloc(s->arena, must_mul(v->n, item));
    if (!items)
        return wrong(s, v->pos, NULL, "does not fit: the configuration is too large");
    for (size_t i = 0; i < v->n; i++) /* each wrong item is said */
        if (v->items[i].bad || !setters[s->o->type].set(s, &v->items[i], items + i * item))
            good = false;
    if (good)
        store_list(s->o, field, items, v->n);
    return good;
}

bool value_set(const struct config_option *o, const struct value *v, void *field,
               struct arena *arena, struct config_report *report)
{
    struct setting s = { o, arena, report };
    if (setters[o->type].item)
        return set_list(&s, v, field);
    if (v->list)
        return wrong(&s, v->pos, NULL, "takes %s, not a list", value_kind(o));
    return !v->items[0].bad && setters[o->type].set(&s, &v->items[0], field);
}

static bool texts_good(const struct config_option *o, const struct span *v, size_t n)
{
    struct err e;
    for (size_t i = 0; i < n; i++) {
        bool empty_good = o->type == CONFIG_TEXT && !(o->flags & CONFIG_NONEMPTY);
        if (v[i].n > CONFIG_TEXT_MAX || (v[i].n == 0 && !empty_good))
            return false;
        if (v[i].n && o->check && !o->check(v[i], &e))
            return false;
    }
    return true;
}

bool value_good(const struct config_option *o, const void *field)
{
    unsigned word;
    const struct config_texts *texts = field;
    switch (o->type) {
    case CONFIG_TEXT:
        return texts_good(o, field, 1);
    case CONFIG_TEXTS:
        return texts_good(o, texts->v, texts->n) && (texts->n || !(o->flags & CONFIG_NONEMPTY));
    case CONFIG_NUMBER:
    case CONFIG_SIZE:
    case CONFIG_DURATION:
        return in_range(o, *(const uint64_t *)field);
    case CONFIG_WORD:
        memcpy(&word, field, sizeof word);
        for (unsigned i = 0; o->words[i].word; i++)
            if (i == word)
                return true;
        return false;
    case CONFIG_ADDRS:
    case CONFIG_CIDRS:
    case CONFIG_BOOL:
        return true;
    }
    return false;
}
