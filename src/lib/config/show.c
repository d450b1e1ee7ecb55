#include "config/show.h"

#include "base/json.h"
#include "config/bind.h"

/* One value of one option: listen is the number of the listener or rule, for its options. */
struct item {
    const struct config *cfg;
    const struct config_option *o;
    size_t listen;
};

static const struct config_setting *setting_of(const struct item *it)
{
    return setting_find(it->cfg->settings, it->cfg->n_settings, it->o, it->listen);
}

static const void *item_of(const struct item *it)
{
    return config_item(it->cfg, config_section_of(it->o->section), it->listen);
}

static void put_name(struct buf *b, const struct item *it)
{
    const void *item = item_of(it);
    if (item)
        buf_printf(b, "%s.%.*s.%s", it->o->section, SPAN_ARG(config_item_name(item)), it->o->name);
    else
        config_option_put_name(b, it->o);
}

static void put_value(struct buf *b, const struct item *it)
{
    value_put(b, it->o, config_option_value(it->o, it->cfg, item_of(it)));
}

static void put_line(void *arg, const struct item *it)
{
    struct buf *b = arg;
    const struct config_setting *s = setting_of(it);
    put_name(b, it);
    buf_putz(b, " = ");
    put_value(b, it);
    if (s && s->line)
        buf_printf(b, "  # %.*s:%u\n", SPAN_ARG(it->cfg->file), (unsigned)s->line);
    else if (s) /* derived from the whole of a macro file */
        buf_printf(b, "  # %.*s\n", SPAN_ARG(it->cfg->file));
    else
        buf_putz(b, "  # default\n");
}

static void put_json(void *arg, const struct item *it)
{
    struct json *j = arg;
    const struct config_setting *s = setting_of(it);
    struct buf b;
    buf_init(&b, CONFIG_WIRE_MAX);
    json_open(j, NULL);
    put_name(&b, it);
    json_str(j, "name", buf_span(&b));
    buf_reset(&b);
    put_value(&b, it);
    json_str(j, "value", buf_span(&b));
    json_bool(j, "default", !s);
    if (s)
        json_uint(j, "line", s->line);
    json_close(j);
    buf_free(&b);
}

typedef void item_fn(void *arg, const struct item *it);

static void each_item(const struct config *cfg, item_fn *fn, void *arg)
{
    size_t n;
    const struct config_option *o = config_options(&n);
    for (enum config_of of = CONFIG_OF_ALL; of < CONFIG_OFS; of++)
        for (size_t l = 0; l < config_items(cfg, of); l++)
            for (size_t i = 0; i < n; i++)
                if (config_section_of(o[i].section) == of)
                    fn(arg, &(struct item){ cfg, &o[i], l });
}

void config_show(struct buf *b, const struct config *cfg) { each_item(cfg, put_line, b); }

void config_show_json(struct buf *b, const struct config *cfg)
{
    struct json j = json_writer(b);
    json_open(&j, NULL);
    json_str(&j, "file", cfg->file);
    json_open_array(&j, "options");
    each_item(cfg, put_json, &j);
    json_close_array(&j);
    json_close(&j);
}

/* --- one delivery_rule --- */

static bool rule_next(struct item *it, size_t *i, const struct config_setting **s_r)
{
    size_t n;
    const struct config_option *o = config_options(&n);
    for (; *i < n; ++*i) {
        it->o = &o[*i];
        if (config_section_of(it->o->section) == CONFIG_OF_RULE && (*s_r = setting_of(it))) {
            ++*i;
            return true;
        }
    }
    return false;
}

void config_show_rule(struct buf *b, const struct config *cfg, uint32_t rule)
{
    struct item it = { cfg, NULL, rule - 1 };
    const struct config_setting *set;
    size_t i = 0;
    buf_printf(b, "delivery_rule \"%.*s\"", SPAN_ARG(cfg->rules[rule - 1].name));
    for (bool first = true; rule_next(&it, &i, &set); first = false) {
        if (first && set->line)
            buf_printf(b, " (%.*s:%u)", SPAN_ARG(cfg->file), (unsigned)set->line);
        buf_printf(b, "%s%s = ", first ? ": " : ", ", it.o->name);
        put_value(b, &it);
    }
}

void config_show_rule_json(struct json *j, const char *key, const struct config *cfg,
                           uint32_t rule)
{
    struct item it = { cfg, NULL, rule - 1 };
    const struct config_setting *set;
    size_t i = 0;
    struct buf b;
    buf_init(&b, CONFIG_WIRE_MAX);
    json_open(j, key);
    json_str(j, "name", cfg->rules[rule - 1].name);
    json_str(j, "file", cfg->file);
    for (bool first = true; rule_next(&it, &i, &set); first = false) {
        if (first)
            json_uint(j, "line", set->line);
        buf_reset(&b);
        put_value(&b, &it);
        json_str(j, it.o->name, buf_span(&b));
    }
    json_close(j);
    buf_free(&b);
}

/* --- a whole file --- */

static void put_section(struct buf *b, const struct config *cfg, const char *section,
                        size_t listen)
{
    size_t n;
    const struct config_option *o = config_options(&n);
    for (size_t i = 0; i < n; i++) {
        struct item it = { cfg, &o[i], listen };
        if (strcmp(o[i].section, section) != 0)
            continue;
        buf_printf(b, "%s%s = ", section[0] ? "    " : "", o[i].name);
        put_value(b, &it);
        buf_putc(b, '\n');
    }
}

void config_show_file(struct buf *b, const struct config *cfg)
{
    size_t n;
    const struct config_section *s = config_sections(&n);
    put_section(b, cfg, "", 0);
    for (size_t i = 1; i < n; i++)
        for (size_t l = 0; l < config_items(cfg, config_section_of(s[i].name)); l++) {
            buf_printf(b, "\n%s", s[i].name);
            if (s[i].named)
                buf_printf(b, " \"%.*s\"",
                           SPAN_ARG(config_item_name(
                               config_item(cfg, config_section_of(s[i].name), l))));
            buf_putz(b, " {\n");
            put_section(b, cfg, s[i].name, l);
            buf_putz(b, "}\n");
        }
}

static void put_range(struct buf *b, const struct config_option *o)
{
    if (o->words)
        for (const struct config_word *w = o->words; w->word; w++)
            buf_printf(b, "%s%s", w == o->words ? "one of " : ", ", w->word);
    else
        buf_putz(b, value_kind(o));
    if (o->max == 0)
        return;
    buf_putz(b, o->zero ? "; 0, or " : "; ");
    value_put_number(b, o, o->min);
    buf_putz(b, " to ");
    value_put_number(b, o, o->max);
}

static void put_now(void *arg, const struct item *it)
{
    struct buf *b = ((void **)arg)[0];
    if (it->o != ((void **)arg)[1])
        return;
    buf_putz(b, "  now      ");
    put_line(b, it);
}

void config_explain(struct buf *b, const struct config_option *o, const struct config *cfg)
{
    config_option_put_name(b, o);
    buf_printf(b, "\n  %s\n  takes    ", o->help);
    put_range(b, o);
    if (o->flags & CONFIG_REQUIRED)
        buf_putz(b, "\n  default  none: it must be set");
    else
        buf_printf(b, "\n  default  %s", o->fallback);
    buf_printf(b, "\n  reload   %s\n",
               o->flags & CONFIG_LIVE ? "takes effect" : "needs a restart");
    if (o->later)
        buf_printf(b, "  notice   not yet in this release: %s\n", o->later);
    if (cfg)
        each_item(cfg, put_now, (void *[]){ b, (void *)o });
}

static void put_now_json(void *arg, const struct item *it)
{
    if (it->o == ((void **)arg)[1])
        put_json(((void **)arg)[0], it);
}

void config_explain_json(struct buf *b, const struct config_option *o, const struct config *cfg)
{
    struct json j = json_writer(b);
    struct buf text;
    buf_init(&text, 1024);
    json_open(&j, NULL);
    config_option_put_name(&text, o);
    json_str(&j, "name", buf_span(&text));
    json_str(&j, "help", span_str(o->help));
    buf_reset(&text);
    put_range(&text, o);
    json_str(&j, "takes", buf_span(&text));
    json_bool(&j, "required", o->flags & CONFIG_REQUIRED);
    json_str(&j, "default", span_str(o->fallback));
    json_bool(&j, "live", o->flags & CONFIG_LIVE);
    if (o->later)
        json_str(&j, "not_yet", span_str(o->later));
    json_open_array(&j, "now");
    if (cfg)
        each_item(cfg, put_now_json, (void *[]){ &j, (void *)o });
    json_close_array(&j);
    json_close(&j);
    buf_free(&text);
}
