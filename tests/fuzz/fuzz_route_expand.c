/* Aliases and virtual addresses of any content: the expansion ends, within its bounds, with
 * targets that each have a decision, or with a refusal in words. What an :include: file says
 * never becomes a program. */
#include "base/must.h"
#include "route/route.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { TARGETS = 20 };

struct files {
    struct span text;
};

static bool read_file(void *ctx, struct span path, struct buf *text, struct err *e)
{
    struct files *f = ctx;
    if (path.n % 3 == 0) {
        err_set(e, "not there");
        return false;
    }
    return buf_puts(text, f->text);
}

/* Lines: the recipient; the text of every :include: file; then "name: value" (an alias) or
 * "user@domain value" (virtusertable). */
static struct route_tables *tables_of(struct span s, struct files *f, struct map *m[2])
{
    struct map_report r;
    struct route_params p = { .aliases = m[0], .virtusertable = m[1], .alias_targets = TARGETS,
                              .world = { .read_file = read_file, .ctx = f } };
    while (s.n) {
        struct span line = span_to(s, span_find(s, '\n')), key = span_word(&line);
        s = span_from(s, span_find(s, '\n') + 1);
        struct span value = span_trim(line);
        if (key.n < 2 || key.n > 200 || memmem(value.p, value.n, "FROMFILE", 8))
            continue;
        if (key.p[key.n - 1] == ':')
            map_ram_set(m[0], span_to(key, key.n - 1), value, 1);
        else
            map_ram_set(m[1], key, value, 1);
    }
    map_report_init(&r);
    struct route_tables *t = route_tables_new(&p, &r);
    map_report_free(&r);
    MUST(t);
    return t;
}

static void look_at(const struct route_tables *t, const struct route_accept *out,
                    struct arena *a)
{
    MUST(out->target_count >= 1 && out->target_count <= TARGETS);
    for (size_t i = 0; i < out->target_count; i++) {
        const struct route_target *target = &out->targets[i];
        struct route_dest d;
        struct route_ask ask = { .rcpt = target->addr, .rcpt_flags = target->flags,
                                 .canon_known = true };
        MUST(target->addr.n && target->addr.n <= 1024);
        MUST(route_find(t, &ask, a, NULL, &d));
        if (d.mailer == ROUTE_PROGRAM || d.mailer == ROUTE_FILE)
            MUST((target->flags & ROUTE_EXPANDED) && !span_istarts(d.path, SPAN("FROMFILE")));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct span s = span_of(data, n);
    struct arena *a = arena_new(4 << 20);
    struct span rcpt = span_to(s, span_find(s, '\n'));
    s = span_from(s, rcpt.n + 1);
    struct files f = { span_to(s, span_find(s, '\n')) };
    struct map *m[2] = { map_ram_new(SPAN("aliases"), 1), map_ram_new(SPAN("virtual"), 1) };
    struct route_tables *t = tables_of(span_from(s, f.text.n + 1), &f, m);
    struct route_client own = { .ip = { .family = NETADDR_NONE } };
    struct route_accept out;
    if (route_accept_rcpt(t, &own, SPAN("s@x.example"), rcpt, a, NULL, &out))
        look_at(t, &out, a);
    else
        MUST(out.refused && out.reply.reply >= 400 && out.reply.reply < 600 && out.reply.text.n);
    route_tables_free(&t);
    map_free(&m[0]);
    map_free(&m[1]);
    arena_free(&a);
    return 0;
}
