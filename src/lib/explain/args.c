#include "explain/args.h"

struct known {
    const char *name;
    struct span *value; /* NULL: it has none */
    bool *flag;         /* set when it is there; may be NULL */
};

static bool take(struct span arg, const struct known *known, size_t n, struct err *e)
{
    size_t eq = span_find(arg, '=');
    for (size_t i = 0; i < n; i++) {
        const struct known *k = &known[i];
        if (!span_eq(span_to(arg, eq), span_str(k->name)) || !k->value != (eq == arg.n))
            continue;
        if (k->value)
            *k->value = span_from(arg, eq + 1);
        if (k->flag)
            *k->flag = true;
        return true;
    }
    err_set(e, "not understood: \"%.*s\"", (int)(arg.n > 60 ? 60 : arg.n), arg.p ? arg.p : "");
    return false;
}

bool explain_args_get(struct wire *w, struct explain_args *a, struct err *e)
{
    const struct known known[] = {
        { "rcpt", &a->rcpt, &a->has_rcpt }, { "from", &a->from, NULL },
        { "client", &a->client, NULL },     { "host", &a->host, NULL },
        { "auth", &a->auth, NULL },         { "canon", &a->canon, &a->has_canon },
        { "table", &a->table, NULL },       { "key", &a->key, &a->has_key },
        { "hops", &a->hops, NULL },         { "name", &a->name, NULL },
        { "type", &a->type, NULL },         { "expanded", NULL, &a->expanded },
        { "released", NULL, &a->released },
    };
    *a = (struct explain_args){ .rcpt = SPAN_NONE };
    while (!w->bad && w->rest.n) {
        struct span arg = wire_get_bytes(w, EXPLAIN_ARG_MAX);
        if (!w->bad && !take(arg, known, sizeof known / sizeof *known, e))
            return false;
    }
    if (w->bad)
        err_set(e, "an argument is too long");
    return !w->bad;
}
