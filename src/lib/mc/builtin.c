/* The macros of m4 itself that macro files use. */
#include "mc/impl.h"

static struct span arg(const struct mc_call *c, size_t i)
{
    return i <= c->n ? c->v[i] : SPAN_NONE;
}

static void do_dnl(struct mc *m, const struct mc_call *c)
{
    struct mc_place place = c->place;
    struct span s = m4_skip_line(m, &place);
    struct span own = span_trim(s);
    if (span_starts(own, SPAN("postern:")))
        mc_remark(m, span_trim(span_from(own, 8)), place);
}

static void do_define(struct mc *m, const struct mc_call *c)
{
    struct span name = arg(c, 1);
    if (name.n == 0) {
        mc_say(m, CONFIG_ERROR, c->place, SPAN_NONE, NULL, "define has no name to define");
        return;
    }
    mc_one_argument(m, c, 2);
    mc_define_check(m, name, c->place);
    m4_define(m, name, arg(c, 2), c->place);
}

static void do_undefine(struct mc *m, const struct mc_call *c)
{
    mc_define_check(m, arg(c, 1), c->place);
    struct mc_macro *u = m4_find(m, arg(c, 1));
    if (u)
        u->gone = true;
}

static bool is_defined(struct mc *m, struct span name)
{
    const struct mc_macro *u = m4_find(m, name);
    return (u && !u->gone) || mc_builtin(name) || mc_macro_find(name);
}

static void do_ifdef(struct mc *m, const struct mc_call *c)
{
    m4_push(m, arg(c, is_defined(m, arg(c, 1)) ? 2 : 3), c->place);
}

static void do_ifelse(struct mc *m, const struct mc_call *c)
{
    size_t i = 1;
    for (; i + 2 <= c->n; i += 3) {
        if (span_eq(arg(c, i), arg(c, i + 1))) {
            m4_push(m, arg(c, i + 2), c->place);
            return;
        }
    }
    if (c->n > 3)
        m4_push(m, arg(c, i), c->place);
}

static void do_defn(struct mc *m, const struct mc_call *c)
{
    const struct mc_macro *u = m4_find(m, arg(c, 1));
    if (u && !u->gone)
        m4_push(m, mc_format(m, "`%.*s'", SPAN_ARG(u->value)), c->place);
}

static void do_divert(struct mc *m, const struct mc_call *c)
{
    struct span n = span_trim(arg(c, 1));
    m->divert = span_starts(n, SPAN("-")) ? -1 : 0;
}

static void do_include(struct mc *m, const struct mc_call *c)
{
    struct span path = arg(c, 1);
    size_t slash = span_rfind(path, '/');
    struct span last = slash < path.n ? span_from(path, slash + 1) : path;
    if (span_eq(last, SPAN("cf.m4"))) /* sendmail's own beginning: what it does is known here */
        return;
    m4_include(m, c, c->v[0].p[0] == 's');
}

static void do_nothing(struct mc *m, const struct mc_call *c)
{
    (void)m;
    (void)c;
}

static void do_refuse(struct mc *m, const struct mc_call *c)
{
    mc_say(m, CONFIG_ERROR, c->place, SPAN_NONE, NULL,
           "m4's %.*s is not known here: only what macro files for mail need is", SHOWN(c->v[0]));
}

static void do_command(struct mc *m, const struct mc_call *c)
{
    mc_say(m, CONFIG_ERROR, c->place, SPAN_NONE, NULL,
           "%.*s runs a command: a configuration that is read never does", SHOWN(c->v[0]));
}

static const struct mc_known builtins[] = {
    { .name = "dnl", .fn = do_dnl, .bare = true },
    { .name = "define", .fn = do_define, .needs_args = true },
    { .name = "undefine", .fn = do_undefine, .needs_args = true },
    { .name = "pushdef", .fn = do_define, .needs_args = true },
    { .name = "popdef", .fn = do_undefine, .needs_args = true },
    { .name = "ifdef", .fn = do_ifdef, .needs_args = true },
    { .name = "ifelse", .fn = do_ifelse, .needs_args = true },
    { .name = "defn", .fn = do_defn, .needs_args = true },
    { .name = "divert", .fn = do_divert },
    { .name = "undivert", .fn = do_nothing, .needs_args = true },
    { .name = "include", .fn = do_include, .needs_args = true },
    { .name = "sinclude", .fn = do_include, .needs_args = true },
    { .name = "errprint", .fn = do_nothing, .needs_args = true },
    { .name = "changequote", .fn = do_refuse, .needs_args = true },
    { .name = "changecom", .fn = do_refuse, .needs_args = true },
    { .name = "eval", .fn = do_refuse, .needs_args = true },
    { .name = "incr", .fn = do_refuse, .needs_args = true },
    { .name = "substr", .fn = do_refuse, .needs_args = true },
    { .name = "translit", .fn = do_refuse, .needs_args = true },
    { .name = "format", .fn = do_refuse, .needs_args = true },
    { .name = "syscmd", .fn = do_command, .needs_args = true },
    { .name = "esyscmd", .fn = do_command, .needs_args = true },
};

const struct mc_known *mc_builtin(struct span name)
{
    for (size_t i = 0; i < sizeof builtins / sizeof *builtins; i++)
        if (span_eq(span_str(builtins[i].name), name))
            return &builtins[i];
    return NULL;
}
