#include "explain/route.h"

#include "base/netaddr.h"
#include "route/address.h"

struct answer {
    const struct route_tables *tables;
    const struct explain_args *args;
    struct arena *arena;
    struct json j;
    struct trail *trail;
    struct err *e;
};

/* --- accept --- */

static bool read_client(const struct explain_args *args, struct route_client *c, struct err *e)
{
    static const struct {
        const char *word;
        enum route_client_name name;
    } names[] = { { "good", ROUTE_NAME_GOOD }, { "failed", ROUTE_NAME_FAILED },
                  { "forged", ROUTE_NAME_FORGED } };
    *c = (struct route_client){ .auth = args->auth, .host = args->host };
    if (args->client.n && !netaddr_parse_ip(args->client, &c->ip)) {
        err_set(e, "\"%.*s\" is not an address", SPAN_ARG(args->client));
        return false;
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (span_eq(args->name, span_str(names[i].word)))
            c->name = names[i].name;
    return true;
}

static void put_targets(struct json *j, const struct route_accept *out)
{
    json_open_array(j, "targets");
    for (size_t i = 0; i < out->target_count; i++) {
        const struct route_target *t = &out->targets[i];
        json_open(j, NULL);
        json_str(j, "address", t->addr);
        json_bool(j, "expanded", t->flags & ROUTE_EXPANDED);
        if (t->own_sender)
            json_str(j, "sender", t->sender);
        json_close(j);
    }
    json_close_array(j);
}

/* The sender as others are to see it, in the header and in the envelope. */
static void put_shown(struct answer *w, const struct route_client *client)
{
    struct span from = w->args->from;
    if (!from.n || !route_rewrites(w->tables, client))
        return;
    struct trail *trail = trail_new(TRAIL_STEPS_MAX);
    json_open(&w->j, "shown");
    json_str(&w->j, "header", route_rewrite_sender(w->tables, ROUTE_HEADER_SENDER, from, w->arena,
                                                   trail));
    json_str(&w->j, "envelope", route_rewrite_sender(w->tables, ROUTE_ENVELOPE_SENDER, from,
                                                     w->arena, NULL));
    trail_json(&w->j, "trail", trail);
    json_close(&w->j);
    trail_free(&trail);
}

static bool say_accept(struct answer *w)
{
    struct route_client client;
    struct route_accept out = { .refused = false }, sender = out, rcpt = out;
    if (!read_client(w->args, &client, w->e))
        return false;
    if (!route_accept_client(w->tables, &client, w->arena, w->trail, &out))
        ;
    else if (!route_accept_sender(w->tables, &client, w->args->from, w->arena, w->trail, &sender))
        out = sender;
    else {
        route_accept_rcpt(w->tables, &client, w->args->from, w->args->rcpt, w->arena, w->trail,
                          &rcpt);
        rcpt.discard |= out.discard | sender.discard;
        if (!rcpt.quarantine.n)
            rcpt.quarantine = sender.quarantine.n ? sender.quarantine : out.quarantine;
        out = rcpt;
    }
    json_bool(&w->j, "accepted", !out.refused);
    if (out.refused) {
        json_uint(&w->j, "reply", out.reply.reply);
        json_str(&w->j, "code", out.reply.code);
        json_str(&w->j, "text", out.reply.text);
    }
    json_bool(&w->j, "discard", out.discard);
    if (out.quarantine.n)
        json_str(&w->j, "quarantine", out.quarantine);
    put_targets(&w->j, &out);
    if (!out.refused)
        put_shown(w, &client);
    return true;
}

/* --- route --- */

static bool say_route(struct answer *w)
{
    struct route_dest d;
    struct route_ask ask = { .sender = w->args->from, .rcpt = w->args->rcpt,
                             .rcpt_flags = w->args->expanded ? ROUTE_EXPANDED : 0,
                             .released = w->args->released,
                             .canon_known = w->args->has_canon, .canon = w->args->canon,
                             .canon_why = w->args->canon_why };
    if (!route_find(w->tables, &ask, w->arena, w->trail, &d)) {
        struct route_address a = route_address(w->args->rcpt);
        json_str(&w->j, "need_canon", dns_name_span(&a.name));
        return true;
    }
    route_dest_show_json(&w->j, &d);
    return true;
}

/* --- one table --- */

static bool say_map(struct answer *w)
{
    struct map *m = NULL;
    struct map_hit hit = { .line = 0 };
    bool known = false;
    for (enum route_table i = 0; i < ROUTE_TABLES; i++) {
        if (!span_eq(w->args->table, span_str(route_table_name(i))))
            continue;
        known = true;
        m = route_map(w->tables, i);
    }
    if (!known) {
        err_set(w->e, "there is no table of this name");
        return false;
    }
    json_str(&w->j, "table", w->args->table);
    json_bool(&w->j, "in_use", m != NULL);
    if (!m)
        return true;
    json_str(&w->j, "source", map_source(m));
    json_str(&w->j, "type", span_str(map_type(m)));
    if (!w->args->has_key)
        return true;
    int found = w->args->key.n <= MAP_KEY_MAX ? map_lookup(m, w->args->key, &hit) : 0;
    json_int(&w->j, "found", found);
    if (found == 1) {
        json_str(&w->j, "value", hit.value);
        json_uint(&w->j, "line", hit.line);
    }
    return true;
}

static bool say_ours(struct answer *w)
{
    json_bool(&w->j, "local", route_is_local_address(w->tables, w->args->rcpt));
    json_bool(&w->j, "virtual", route_is_virtual_address(w->tables, w->args->rcpt));
    return true;
}

static bool say_rewrite(struct answer *w)
{
    static const struct {
        const char *word;
        enum route_place place;
    } places[] = { { "ES", ROUTE_ENVELOPE_SENDER }, { "HS", ROUTE_HEADER_SENDER },
                   { "ER", ROUTE_ENVELOPE_RCPT },   { "HR", ROUTE_HEADER_RCPT } };
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        if (!span_eq(w->args->type, span_str(places[i].word)))
            continue;
        json_str(&w->j, "address", route_rewrite_sender(w->tables, places[i].place, w->args->rcpt,
                                                        w->arena, w->trail));
        return true;
    }
    err_set(w->e, "type is one of ES HS ER HR");
    return false;
}

bool explain_route(const struct route_tables *tables, struct span verb,
                   const struct explain_args *args, struct arena *a, struct buf *json,
                   struct err *e)
{
    static const struct {
        const char *verb;
        bool rcpt, trail;
        bool (*fn)(struct answer *w);
    } verbs[] = {
#define VERB(name, rcpt, trail) { #name, rcpt, trail, say_##name },
        EXPLAIN_ROUTE_VERBS(VERB)
#undef VERB
    };
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        if (!span_eq(verb, span_str(verbs[i].verb)))
            continue;
        if (verbs[i].rcpt && !args->has_rcpt) {
            err_set(e, "rcpt= is missing");
            return false;
        }
        struct answer w = { tables, args, a, json_writer(json), trail_new(TRAIL_STEPS_MAX), e };
        json_open(&w.j, NULL);
        bool good = verbs[i].fn(&w);
        if (good && verbs[i].trail)
            trail_json(&w.j, "trail", w.trail);
        json_close(&w.j);
        trail_free(&w.trail);
        return good;
    }
    err_set(e, "the router does not know this");
    return false;
}
