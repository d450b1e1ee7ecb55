#include "config/bind.h"

#include "base/must.h"
#include "config/check.h"

#include <stdlib.h>

static size_t row_of(const struct config_option *o)
{
    size_t n;
    return (size_t)(o - config_options(&n));
}

const struct config_setting *setting_find(const struct config_setting *v, size_t n,
                                          const struct config_option *o, size_t listen)
{
    for (size_t i = 0; i < n; i++)
        if (v[i].option == row_of(o) && v[i].listen == listen)
            return &v[i];
    return NULL;
}

void bind_init(struct bind *b, struct config *cfg, struct config_report *report)
{
    *b = (struct bind){ .cfg = cfg, .report = report };
    for (enum config_of of = CONFIG_OF_ALL + 1; of < CONFIG_OFS; of++)
        MUST(config_items_room(cfg, of, CONFIG_ITEMS_MAX));
}

void bind_free(struct bind *b)
{
    free(b->settings);
    b->settings = NULL;
}

static void error_at(struct bind *b, const struct token *t, const char *what)
{
    config_report_add(b->report, CONFIG_ERROR, t->pos, NULL, "%s", what);
}

/* Which listener (rule, check) the current section is; the spare ones have numbers beyond all. */
static size_t item_number(const struct bind *b)
{
    if (!b->item)
        return 0;
    if (b->item == (const void *)&b->spare)
        return CONFIG_ITEMS_MAX + b->spares;
    size_t i = 0;
    while (config_item(b->cfg, b->of, i) != b->item)
        i++;
    return i;
}

static void *spare_item(struct bind *b)
{
    memset(&b->spare, 0, sizeof b->spare);
    if (b->spares < UINT16_MAX - CONFIG_ITEMS_MAX)
        b->spares++;
    return &b->spare;
}

static bool label_good(struct bind *b, const struct token *name, const struct token *label)
{
    const char *what = config_of_name(b->of);
    struct err e;
    if (!label) {
        config_report_add(b->report, CONFIG_ERROR, name->pos, NULL,
                          "a %s needs a name: %.*s \"%s\" {", what, SHOWN(name->text),
                          config_of_label(b->of));
        return false;
    }
    if (label->bad)
        return false;
    if (!check_label(label->text, &e)) {
        config_report_add(b->report, CONFIG_ERROR, label->pos, NULL, "%s name \"%.*s\" %s", what,
                          SHOWN(label->text), e.text);
        return false;
    }
    for (size_t i = 0; i < config_items(b->cfg, b->of); i++)
        if (span_eq(config_item_name(config_item(b->cfg, b->of, i)), label->text)) {
            config_report_add(b->report, CONFIG_ERROR, label->pos, NULL,
                              "%s \"%.*s\" exists already, since line %u", what,
                              SHOWN(label->text), (unsigned)b->item_pos[b->of][i].line);
            return false;
        }
    return true;
}

static void *open_item(struct bind *b, const struct token *name, const struct token *label)
{
    struct config *cfg = b->cfg;
    if (!label_good(b, name, label))
        return spare_item(b);
    size_t n = config_items(cfg, b->of);
    if (n == CONFIG_ITEMS_MAX) {
        config_report_add(b->report, CONFIG_ERROR, name->pos, NULL,
                          "too many %ss: %d are allowed", config_of_name(b->of),
                          CONFIG_ITEMS_MAX);
        return spare_item(b);
    }
    b->item_pos[b->of][n] = name->pos;
    *config_items_count(cfg, b->of) = n + 1;
    struct span *its_name = config_item(cfg, b->of, n);
    *its_name = arena_dup(cfg->arena, label->text);
    return its_name;
}

void bind_open(struct bind *b, const struct token *name, const struct token *label)
{
    size_t n;
    const struct config_section *s = config_section_find(name->text);
    b->section = s;
    b->skip = !s;
    b->item = NULL;
    b->of = s ? config_section_of(s->name) : CONFIG_OF_ALL;
    if (!s) {
        config_report_add(b->report, CONFIG_ERROR, name->pos, config_suggest_section(name->text),
                          "unknown section \"%.*s\"", SHOWN(name->text));
        return;
    }
    if (s->named) {
        b->item = open_item(b, name, label);
        return;
    }
    if (label)
        error_at(b, label, "this section has no name: only listen, delivery_rule and check do");
    struct config_pos *first = &b->opened[s - config_sections(&n)];
    MUST(n <= BIND_SECTIONS_MAX);
    if (first->line)
        config_report_add(b->report, CONFIG_ERROR, name->pos, NULL,
                          "section %s exists already, since line %u: put them together", s->name,
                          (unsigned)first->line);
    else
        *first = name->pos;
}

void bind_close(struct bind *b)
{
    b->section = NULL;
    b->skip = false;
    b->item = NULL;
    b->of = CONFIG_OF_ALL;
}

static struct span section_name(const struct bind *b)
{
    return b->section ? span_str(b->section->name) : SPAN("");
}

/* The same name elsewhere is worth more than a similar name here. */
static void unknown_option(struct bind *b, const struct token *name)
{
    struct span here = section_name(b);
    const char *close = config_suggest_option(here, name->text);
    const struct config_option *elsewhere = config_option_named(name->text);
    const char *in = here.n ? " in section " : "";
    const struct config_section *section = config_section_find(name->text);
    const char *label = section && section->named
                            ? config_of_label(config_section_of(section->name)) : NULL;
    if (section)
        config_report_add(b->report, CONFIG_ERROR, name->pos, NULL,
                          "%s is a section: write %s%s%s%s { ... }", section->name, section->name,
                          label ? " \"" : "", label ? label : "", label ? "\"" : "");
    else if (elsewhere && span_find(name->text, '.') < name->text.n)
        config_report_add(b->report, CONFIG_ERROR, name->pos, NULL,
                          "unknown option \"%.*s\"%s%.*s: write %s { %s = ... }",
                          SHOWN(name->text), in, SPAN_ARG(here), elsewhere->section,
                          elsewhere->name);
    else if (elsewhere && elsewhere->section[0])
        config_report_add(b->report, CONFIG_ERROR, name->pos, NULL,
                          "unknown option \"%.*s\"%s%.*s: it belongs in section %s",
                          SHOWN(name->text), in, SPAN_ARG(here), elsewhere->section);
    else if (elsewhere)
        config_report_add(b->report, CONFIG_ERROR, name->pos, NULL,
                          "unknown option \"%.*s\"%s%.*s: it belongs outside of all sections",
                          SHOWN(name->text), in, SPAN_ARG(here));
    else
        config_report_add(b->report, CONFIG_ERROR, name->pos, close,
                          "unknown option \"%.*s\"%s%.*s", SHOWN(name->text), in,
                          SPAN_ARG(here));
}

static struct config_setting *add_setting(struct bind *b, const struct config_option *o,
                                          struct config_pos pos)
{
    if (b->n == b->cap) {
        b->cap = b->cap ? b->cap * 2 : 64;
        b->settings = must_realloc(b->settings, must_mul(b->cap, sizeof *b->settings));
    }
    b->settings[b->n] = (struct config_setting){
        .option = (uint16_t)row_of(o),
        .listen = (uint16_t)item_number(b),
        .line = pos.line,
        .col = pos.col,
    };
    return &b->settings[b->n++];
}

void bind_option(struct bind *b, const struct token *name, const struct value *value)
{
    if (b->skip)
        return;
    const struct config_option *o = config_option_find(section_name(b), name->text);
    if (!o) {
        unknown_option(b, name);
        if (b->item && item_number(b) < CONFIG_ITEMS_MAX)
            b->mistyped[b->of][item_number(b)] = true;
        return;
    }
    const struct config_setting *first = setting_find(b->settings, b->n, o, item_number(b));
    if (first) {
        config_report_add(b->report, CONFIG_ERROR, name->pos, NULL,
                          "%s is set already, on line %u", o->name, (unsigned)first->line);
        return;
    }
    struct config_setting *s = add_setting(b, o, value ? value->pos : name->pos);
    void *field = (void *)config_option_value(o, b->cfg, b->item);
    s->bad = !value || !value_set(o, value, field, b->cfg->arena, b->report) || value->bad;
}

static void set_default(const struct config_option *o, void *field, struct arena *arena)
{
    struct config_report *report = config_report_new();
    struct tokens t;
    lex(&t, span_str(o->fallback), arena, report);
    bool list = t.v[0].kind == TOKEN_OPEN;
    struct token items[8];
    struct value v = { .list = list, .items = items };
    for (size_t i = 0; i < t.n; i++)
        if (t.v[i].kind == TOKEN_WORD || t.v[i].kind == TOKEN_STRING) {
            MUST(v.n < sizeof items / sizeof *items);
            items[v.n++] = t.v[i];
        }
    MUST(config_report_errors(report) == 0 && value_set(o, &v, field, arena, report));
    tokens_free(&t);
    config_report_free(&report);
}

void bind_defaults(struct config *cfg, struct config_listen *listen)
{
    size_t n;
    const struct config_option *o = config_options(&n);
    for (size_t i = 0; i < n; i++)
        if (config_section_of(o[i].section) == (listen ? CONFIG_OF_LISTEN : CONFIG_OF_ALL) &&
            !(o[i].flags & CONFIG_REQUIRED))
            set_default(&o[i], (void *)config_option_value(&o[i], cfg, listen), cfg->arena);
}

static void default_or_missing(struct bind *b, const struct config_option *o, size_t number)
{
    struct config *cfg = b->cfg;
    enum config_of of = config_section_of(o->section);
    void *item = config_item(cfg, of, number);
    const struct config_setting *s = setting_find(b->settings, b->n, o, number);
    if (s && !s->bad)
        return;
    if (!(o->flags & CONFIG_REQUIRED))
        set_default(o, (void *)config_option_value(o, cfg, item), cfg->arena);
    else if (!s && item)
        config_report_add(b->report, CONFIG_ERROR, b->item_pos[of][number], NULL,
                          "%s \"%.*s\" has no %s", config_of_name(of),
                          SPAN_ARG(config_item_name(item)), o->name);
    else if (!s)
        config_report_add(b->report, CONFIG_ERROR, (struct config_pos){ 0 }, NULL,
                          "%s is not set: %s", o->name, o->help);
}

static bool at_default(const struct config_option *o, const void *field)
{
    struct buf b;
    buf_init(&b, CONFIG_WIRE_MAX);
    value_put(&b, o, field);
    bool same = span_eq(buf_span(&b), span_str(o->fallback));
    buf_free(&b);
    return same;
}

/* What is used though its capability is missing: NULL, or what it would do. */
static const char *later(const struct config_option *o, const void *field)
{
    unsigned word;
    if (o->later)
        return o->later;
    if (o->type != CONFIG_WORD)
        return NULL;
    memcpy(&word, field, sizeof word);
    return o->words[word].later;
}

static void notice(struct bind *b, const struct config_setting *s)
{
    size_t n;
    struct config *cfg = b->cfg;
    const struct config_option *o = &config_options(&n)[s->option];
    const void *item = config_item(cfg, config_section_of(o->section), s->listen);
    const void *field = config_option_value(o, cfg, item);
    const char *what = later(o, field);
    if (!what || at_default(o, field))
        return;
    struct buf name, text;
    buf_init(&name, 256);
    buf_init(&text, 1024);
    config_option_put_name(&name, o);
    buf_printf(&text, "not yet in this release: %s; it is not obeyed", what);
    config_report_add(b->report, CONFIG_NOTICE, (struct config_pos){ s->line, s->col }, NULL,
                      "%s: %s", buf_cstr(&name), buf_cstr(&text));
    cfg->notices[cfg->n_notices++] = (struct config_notice){
        .name = arena_dup(cfg->arena, buf_span(&name)),
        .text = arena_dup(cfg->arena, buf_span(&text)),
        .line = s->line,
    };
    buf_free(&text);
    buf_free(&name);
}

/* Settings of real listeners, rules, checks and of struct config, without those of spare ones. */
static void keep_settings(struct bind *b)
{
    struct config *cfg = b->cfg;
    cfg->settings = arena_alloc(cfg->arena, must_mul(b->n, sizeof *cfg->settings));
    cfg->notices = arena_alloc(cfg->arena, must_mul(b->n, sizeof *cfg->notices));
    MUST(cfg->settings && cfg->notices);
    for (size_t i = 0; i < b->n; i++)
        if (b->settings[i].listen < CONFIG_ITEMS_MAX)
            cfg->settings[cfg->n_settings++] = b->settings[i];
}

void bind_finish(struct bind *b)
{
    size_t n;
    struct config *cfg = b->cfg;
    const struct config_option *o = config_options(&n);
    for (size_t i = 0; i < n; i++) {
        size_t times = config_items(cfg, config_section_of(o[i].section));
        for (size_t l = 0; l < times; l++)
            default_or_missing(b, &o[i], l);
    }
    keep_settings(b);
    for (size_t i = 0; i < cfg->n_settings; i++)
        if (!cfg->settings[i].bad)
            notice(b, &cfg->settings[i]);
}
