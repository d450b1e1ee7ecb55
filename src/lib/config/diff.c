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

static void name_listener(struct diff *d, const struct config_listen *l)
{
    buf_reset(&d->name);
    buf_printf(&d->name, "listen.%.*s", SPAN_ARG(l->name));
}

static void compare(struct diff *d, const struct config_option *o, const struct config_listen *la,
                    const struct config_listen *lb)
{
    buf_reset(&d->old_text);
    buf_reset(&d->new_text);
    value_put(&d->old_text, o, config_option_value(o, d->a, la));
    value_put(&d->new_text, o, config_option_value(o, d->b, lb));
    if (span_eq(buf_span(&d->old_text), buf_span(&d->new_text)))
        return;
    buf_reset(&d->name);
    if (la) {
        name_listener(d, la);
        buf_printf(&d->name, ".%s", o->name);
    } else {
        config_option_put_name(&d->name, o);
    }
    tell(d, o->flags & CONFIG_LIVE);
}

static const struct config_listen *listener_of(const struct config *cfg, struct span name)
{
    for (size_t i = 0; i < cfg->n_listens; i++)
        if (span_eq(cfg->listens[i].name, name))
            return &cfg->listens[i];
    return NULL;
}

/* A listener that only one of them has, with its addresses as the text. */
static void came_or_went(struct diff *d, const struct config_listen *l, bool came)
{
    const struct config_option *o = config_option_find(SPAN("listen"), SPAN("address"));
    buf_reset(&d->old_text);
    buf_reset(&d->new_text);
    value_put(came ? &d->new_text : &d->old_text, o, &l->address);
    name_listener(d, l);
    tell(d, true);
}

static void compare_listeners(struct diff *d, const struct config_option *o, size_t n)
{
    for (size_t i = 0; i < d->a->n_listens; i++) {
        const struct config_listen *la = &d->a->listens[i];
        const struct config_listen *lb = listener_of(d->b, la->name);
        if (!lb)
            came_or_went(d, la, false);
        for (size_t j = 0; lb && j < n; j++)
            if (config_option_listens(&o[j]))
                compare(d, &o[j], la, lb);
    }
    for (size_t i = 0; i < d->b->n_listens; i++)
        if (!listener_of(d->a, d->b->listens[i].name))
            came_or_went(d, &d->b->listens[i], true);
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
        if (!config_option_listens(&o[i]))
            compare(&d, &o[i], NULL, NULL);
    compare_listeners(&d, o, n);
    buf_free(&d.name);
    buf_free(&d.old_text);
    buf_free(&d.new_text);
    return d.dead;
}
