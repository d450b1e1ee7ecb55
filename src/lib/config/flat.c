/* The flattened configuration, as it travels from the process that parses to the roles:
 *
 *   u32 "PCF1", u32 checksum of the table (names, types and sizes of all rows)
 *   bytes file
 *   the values of all options outside of listeners and rules, in the table's order
 *   u32 number of listeners; for each: bytes name, the values of its options
 *   u32 number of rules; likewise; of checks; likewise
 *   what the command line forces: u64 queue.run, u8 deliveries, u32 delivery
 *   u32 number of notices;   for each: bytes name, bytes text, u32 line
 *   u32 number of settings;  for each: u16 option, u16 listener, u32 line, u32 column
 *
 * A value is bytes, u64 (numbers, durations, sizes), u8 (bool), u32 (word), or u32 number of
 * items and the items. Both ends are the same program: there is no version but the checksum. */
#include "base/crc32c.h"
#include "base/must.h"
#include "config/bind.h"

static const uint32_t magic = 0x31464350; /* "PCF1" */

static uint32_t table_sum(void)
{
    size_t n;
    uint32_t crc = 0;
    const struct config_option *o = config_options(&n);
    for (size_t i = 0; i < n; i++) {
        uint8_t type = (uint8_t)o[i].type;
        crc = crc32c(crc, o[i].section, strlen(o[i].section) + 1);
        crc = crc32c(crc, o[i].name, strlen(o[i].name) + 1);
        crc = crc32c(crc, &type, 1);
        for (const struct config_word *w = o[i].words; w && w->word; w++)
            crc = crc32c(crc, w->word, strlen(w->word) + 1);
    }
    return crc;
}

static void put_texts(struct buf *b, const struct config_texts *l)
{
    wire_put_u32(b, (uint32_t)l->n);
    for (size_t i = 0; i < l->n; i++)
        wire_put_bytes(b, l->v[i]);
}

static void put_addrs(struct buf *b, const struct config_addrs *l)
{
    wire_put_u32(b, (uint32_t)l->n);
    for (size_t i = 0; i < l->n; i++)
        netaddr_put_wire(b, &l->v[i]);
}

static void put_cidrs(struct buf *b, const struct config_cidrs *l)
{
    wire_put_u32(b, (uint32_t)l->n);
    for (size_t i = 0; i < l->n; i++)
        cidr_put_wire(b, &l->v[i]);
}

static void put_value(struct buf *b, const struct config_option *o, const void *field)
{
    unsigned word;
    switch (o->type) {
    case CONFIG_TEXT:
        wire_put_bytes(b, *(const struct span *)field);
        break;
    case CONFIG_NUMBER:
    case CONFIG_SIZE:
    case CONFIG_DURATION:
        wire_put_u64(b, *(const uint64_t *)field);
        break;
    case CONFIG_BOOL:
        wire_put_u8(b, *(const bool *)field);
        break;
    case CONFIG_WORD:
        memcpy(&word, field, sizeof word);
        wire_put_u32(b, word);
        break;
    case CONFIG_TEXTS:
        put_texts(b, field);
        break;
    case CONFIG_ADDRS:
        put_addrs(b, field);
        break;
    case CONFIG_CIDRS:
        put_cidrs(b, field);
        break;
    }
}

static void put_values(struct buf *b, const struct config *cfg, enum config_of of,
                       const void *item)
{
    size_t n;
    const struct config_option *o = config_options(&n);
    for (size_t i = 0; i < n; i++)
        if (config_section_of(o[i].section) == of)
            put_value(b, &o[i], config_option_value(&o[i], cfg, item));
}

static void put_remarks(struct buf *b, const struct config *cfg)
{
    wire_put_u32(b, (uint32_t)cfg->n_notices);
    for (size_t i = 0; i < cfg->n_notices; i++) {
        wire_put_bytes(b, cfg->notices[i].name);
        wire_put_bytes(b, cfg->notices[i].text);
        wire_put_u32(b, cfg->notices[i].line);
    }
    wire_put_u32(b, (uint32_t)cfg->n_settings);
    for (size_t i = 0; i < cfg->n_settings; i++) {
        const struct config_setting *s = &cfg->settings[i];
        wire_put_u16(b, s->option);
        wire_put_u16(b, s->listen);
        wire_put_u32(b, s->line);
        wire_put_u32(b, s->col);
    }
}

void config_put(struct buf *b, const struct config *cfg)
{
    wire_put_u32(b, magic);
    wire_put_u32(b, table_sum());
    wire_put_bytes(b, cfg->file);
    put_values(b, cfg, CONFIG_OF_ALL, NULL);
    for (enum config_of of = CONFIG_OF_ALL + 1; of < CONFIG_OFS; of++) {
        wire_put_u32(b, (uint32_t)config_items(cfg, of));
        for (size_t i = 0; i < config_items(cfg, of); i++) {
            wire_put_bytes(b, config_item_name(config_item(cfg, of, i)));
            put_values(b, cfg, of, config_item(cfg, of, i));
        }
    }
    wire_put_u64(b, (uint64_t)cfg->forced.queue_run_ms);
    wire_put_u8(b, cfg->forced.deliveries);
    wire_put_u32(b, cfg->forced.delivery);
    put_remarks(b, cfg);
}

/* Room for n things that each took at least one byte of what is left: a number alone cannot
 * make us allocate. */
static void *get_room(struct wire *w, struct arena *a, size_t n, size_t max, size_t size)
{
    void *p = NULL;
    if (!w->bad && n <= max && n <= w->rest.n)
        p = arena_alloc(a, must_mul(n, size));
    if (!p)
        w->bad = true;
    return p;
}

static struct span get_text(struct wire *w, struct arena *a)
{
    struct span s = arena_dup(a, wire_get_bytes(w, CONFIG_TEXT_MAX));
    if (!s.p)
        w->bad = true;
    return s;
}

static void get_texts(struct wire *w, struct arena *a, struct config_texts *to)
{
    uint32_t n = wire_get_u32(w);
    struct span *v = get_room(w, a, n, CONFIG_LIST_MAX, sizeof *v);
    for (size_t i = 0; v && i < n; i++)
        v[i] = get_text(w, a);
    *to = (struct config_texts){ v, v ? n : 0 };
}

static void get_addrs(struct wire *w, struct arena *a, struct config_addrs *to)
{
    uint32_t n = wire_get_u32(w);
    struct netaddr *v = get_room(w, a, n, CONFIG_LIST_MAX, sizeof *v);
    for (size_t i = 0; v && i < n; i++) {
        v[i] = netaddr_get_wire(w);
        w->bad |= v[i].family == NETADDR_NONE;
    }
    *to = (struct config_addrs){ v, v ? n : 0 };
}

static void get_cidrs(struct wire *w, struct arena *a, struct config_cidrs *to)
{
    uint32_t n = wire_get_u32(w);
    struct cidr *v = get_room(w, a, n, CONFIG_LIST_MAX, sizeof *v);
    for (size_t i = 0; v && i < n; i++)
        v[i] = cidr_get_wire(w);
    *to = (struct config_cidrs){ v, v ? n : 0 };
}

static void get_value(struct wire *w, struct arena *a, const struct config_option *o, void *field)
{
    unsigned word;
    uint8_t byte;
    switch (o->type) {
    case CONFIG_TEXT:
        *(struct span *)field = get_text(w, a);
        break;
    case CONFIG_NUMBER:
    case CONFIG_SIZE:
    case CONFIG_DURATION:
        *(uint64_t *)field = wire_get_u64(w);
        break;
    case CONFIG_BOOL:
        byte = wire_get_u8(w);
        *(bool *)field = byte == 1;
        w->bad |= byte > 1;
        break;
    case CONFIG_WORD:
        word = wire_get_u32(w);
        memcpy(field, &word, sizeof word);
        break;
    case CONFIG_TEXTS:
        get_texts(w, a, field);
        break;
    case CONFIG_ADDRS:
        get_addrs(w, a, field);
        break;
    case CONFIG_CIDRS:
        get_cidrs(w, a, field);
        break;
    }
    w->bad = w->bad || !value_good(o, field);
}

static void get_values(struct wire *w, struct config *cfg, enum config_of of, void *item)
{
    size_t n;
    const struct config_option *o = config_options(&n);
    for (size_t i = 0; i < n && !w->bad; i++)
        if (config_section_of(o[i].section) == of)
            get_value(w, cfg->arena, &o[i], (void *)config_option_value(&o[i], cfg, item));
}

static void get_items(struct wire *w, struct config *cfg, enum config_of of)
{
    uint32_t n = wire_get_u32(w);
    size_t *n_r = config_items_count(cfg, of);
    w->bad = w->bad || n > CONFIG_ITEMS_MAX || n > w->rest.n || !config_items_room(cfg, of, n);
    for (size_t i = 0; i < n && !w->bad; i++) {
        struct span *item = config_item(cfg, of, i); /* it begins with its name */
        *item = get_text(w, cfg->arena);
        get_values(w, cfg, of, item);
        ++*n_r;
    }
}

static void get_forced(struct wire *w, struct config *cfg)
{
    cfg->forced.queue_run_ms = (int64_t)wire_get_u64(w);
    cfg->forced.deliveries = wire_get_u8(w) != 0;
    uint32_t delivery = wire_get_u32(w);
    w->bad |= delivery > CONFIG_HOLD;
    cfg->forced.delivery = w->bad ? CONFIG_DELIVER : (enum config_delivery)delivery;
}

static void get_notices(struct wire *w, struct config *cfg)
{
    uint32_t n = wire_get_u32(w);
    cfg->notices = get_room(w, cfg->arena, n, CONFIG_LIST_MAX, sizeof *cfg->notices);
    for (size_t i = 0; i < n && !w->bad; i++) {
        struct config_notice *to = &cfg->notices[cfg->n_notices++];
        to->name = get_text(w, cfg->arena);
        to->text = get_text(w, cfg->arena);
        to->line = wire_get_u32(w);
    }
}

static void get_settings(struct wire *w, struct config *cfg)
{
    size_t options;
    uint32_t n = wire_get_u32(w);
    config_options(&options);
    cfg->settings = get_room(w, cfg->arena, n, CONFIG_ITEMS_MAX * options,
                             sizeof *cfg->settings);
    for (size_t i = 0; i < n && !w->bad; i++) {
        struct config_setting *s = &cfg->settings[cfg->n_settings++];
        s->option = wire_get_u16(w);
        s->listen = wire_get_u16(w);
        s->line = wire_get_u32(w);
        s->col = wire_get_u32(w);
        const struct config_option *o = config_options(&options);
        w->bad |= s->option >= options;
        w->bad |= s->listen && !w->bad &&
                  s->listen >= config_items(cfg, config_section_of(o[s->option].section));
    }
}

struct config *config_get(struct wire *w)
{
    if (wire_get_u32(w) != magic || wire_get_u32(w) != table_sum())
        w->bad = true;
    struct arena *a = arena_new(CONFIG_WIRE_MAX * 4);
    struct config *cfg = arena_alloc(a, sizeof *cfg);
    cfg->arena = a;
    cfg->file = get_text(w, a);
    get_values(w, cfg, CONFIG_OF_ALL, NULL);
    for (enum config_of of = CONFIG_OF_ALL + 1; of < CONFIG_OFS; of++)
        get_items(w, cfg, of);
    get_forced(w, cfg);
    get_notices(w, cfg);
    get_settings(w, cfg);
    if (!wire_done(w)) {
        w->bad = true;
        config_free(&cfg);
    }
    return cfg;
}
