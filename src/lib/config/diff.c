/* What a reload would change. Values are compared as they are written. */
#include "config/value.h"

struct diff {
    const struct config *a, *b;
    config_change_fn *each;
    void *arg;
    struct buf name, old_text, new_text;
    size_t dead; /* changes that are not live */
};

static void tell(struct diff *d, bool live)
{
    struct config_change change = {
        .name = buf_span(&d->name),
        .old_text = buf_span(&d->old_text),
        .new_text = buf_span(&d->new_text),
        .live = live,
    };
    d->dead += !live;
    if (d->each)
        d->each(d->arg, &change);
}

static void name_item(struct diff *d, enum config_of of, const void *item)
{
    buf_reset(&d->name);
    buf_printf(&d->name, "%s.%.*s", config_of_section(of),
               SPAN_ARG(config_item_name(item)));
}

static void compare(struct diff *d, const struct config_option *o, const void *la,
                    const void *lb)
{
    buf_reset(&d->old_text);
    buf_reset(&d->new_text);
    value_put(&d->old_text, o, config_option_value(o, d->a, la));
    value_put(&d->new_text, o, config_option_value(o, d->b, lb));
    if (span_eq(buf_span(&d->old_text), buf_span(&d->new_text)))
        return;
    buf_reset(&d->name);
    if (la) {
        name_item(d, config_section_of(o->section), la);
        buf_printf(&d->name, ".%s", o->name);
    } else {
        config_option_put_name(&d->name, o);
    }
    tell(d, o->flags & CONFIG_LIVE);
}

static const void *item_of(const struct config *cfg, enum config_of of, struct span name)
{
    for (size_t i = 0; i < config_items(cfg, of); i++)
        if (span_eq(config_item_name(config_item(cfg, of, i)), name))
            return config_item(cfg, of, i);
    return NULL;
}

/* A listener, rule or check that only one has: a listener with its addresses as the text. */
static void came_or_went(struct diff *d, enum config_of of, const void *item, bool came)
{
    const struct config_option *o = config_option_find(SPAN("listen"), SPAN("address"));
    struct buf *text = came ? &d->new_text : &d->old_text;
    buf_reset(&d->old_text);
    buf_reset(&d->new_text);
    if (of == CONFIG_OF_LISTEN)
        value_put(text, o, &((const struct config_listen *)item)->address);
    else
        buf_putz(text, "{ ... }");
    name_item(d, of, item);
    tell(d, true);
}

static void compare_items(struct diff *d, enum config_of of, const struct config_option *o,
                          size_t n)
{
    for (size_t i = 0; i < config_items(d->a, of); i++) {
        const void *ia = config_item(d->a, of, i);
        const void *ib = item_of(d->b, of, config_item_name(ia));
        if (!ib)
            came_or_went(d, of, ia, false);
        for (size_t j = 0; ib && j < n; j++)
            if (config_section_of(o[j].section) == of)
                compare(d, &o[j], ia, ib);
    }
    for (size_t i = 0; i < config_items(d->b, of); i++)
        if (!item_of(d->a, of, config_item_name(config_item(d->b, of, i))))
            came_or_went(d, of, config_item(d->b, of, i), true);
}

size_t config_diff(const struct config *a, const struct config *b, config_change_fn *each,
                   void *arg)
{
    size_t n;
    const struct config_option *o = config_options(&n);
    struct diff d = { .a = a, .b = b, .each = each, .arg = arg };
    buf_init(&d.name, 1024);
    buf_init(&d.old_text, CONFIG_WIRE_MAX);
    buf_init(&d.new_text, CONFIG_WIRE_MAX);
    for (size_t i = 0; i < n; i++)
        if (config_section_of(o[i].section) == CONFIG_OF_ALL)
            compare(&d, &o[i], NULL, NULL);
    for (enum config_of of = CONFIG_OF_ALL + 1; of < CONFIG_OFS; of++)
        compare_items(&d, of, o, n);
    buf_free(&d.name);
    buf_free(&d.old_text);
    buf_free(&d.new_text);
    return d.dead;
}
