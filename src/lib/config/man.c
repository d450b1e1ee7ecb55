/* The options as they stand in postern.conf(5), in mdoc. */
#include "config/show.h"
#include "config/value.h"

/* Text of ours in a macro's argument or a text line: quotes and backslashes get their names. */
static void put_mdoc(struct buf *b, struct span s)
{
    if (s.n && (s.p[0] == '.' || s.p[0] == '\''))
        buf_putz(b, "\\&");
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '"')
            buf_putz(b, "\\(dq");
        else if (s.p[i] == '\\')
            buf_putz(b, "\\e");
        else
            buf_putc(b, s.p[i]);
    }
}

/* A sentence, in lines of a decent length, with its capital and its stop. */
static void put_sentence(struct buf *b, const char *text)
{
    struct span rest = span_str(text), word;
    size_t width = 0;
    bool first = true;
    while ((word = span_word(&rest)).n) {
        if (!first)
            buf_putc(b, width + word.n > 72 ? '\n' : ' ');
        width = width + word.n > 72 ? word.n : width + word.n + 1;
        if (first) {
            buf_putc(b, ascii_upper(word.p[0]));
            word = span_from(word, 1);
        }
        put_mdoc(b, word);
        first = false;
    }
    buf_putz(b, ".\n");
}

static const char *argument(const struct config_option *o)
{
    static const char *const names[] = {
        [CONFIG_TEXT] = "text",   [CONFIG_NUMBER] = "number", [CONFIG_DURATION] = "duration",
        [CONFIG_SIZE] = "size",   [CONFIG_BOOL] = "on | off", [CONFIG_WORD] = "",
        [CONFIG_TEXTS] = "list of texts", [CONFIG_ADDRS] = "list of addresses",
        [CONFIG_CIDRS] = "list of networks",
    };
    return names[o->type];
}

static void put_head(struct buf *b, const struct config_option *o)
{
    buf_printf(b, ".It Ic %s No =", o->name);
    if (!o->words)
        buf_printf(b, " Ar %s", argument(o));
    for (const struct config_word *w = o->words; w && w->word; w++)
        buf_printf(b, "%s Cm %s", w == o->words ? "" : " |", w->word);
    buf_putc(b, '\n');
}

static void put_range(struct buf *b, const struct config_option *o)
{
    if (o->max == 0)
        return;
    buf_putz(b, o->zero ? "Allowed: 0, or " : "Allowed: ");
    value_put_number(b, o, o->min);
    buf_putz(b, " to ");
    value_put_number(b, o, o->max);
    buf_putz(b, ".\n");
}

static void put_option(struct buf *b, const struct config_option *o)
{
    put_head(b, o);
    put_sentence(b, o->help);
    put_range(b, o);
    if (o->flags & CONFIG_REQUIRED) {
        buf_putz(b, "It must be set.\n");
    } else {
        buf_putz(b, "The default is\n.Ql ");
        put_mdoc(b, span_str(o->fallback));
        buf_putz(b, " .\n");
    }
    if (!(o->flags & CONFIG_LIVE))
        buf_putz(b, "A change needs a restart.\n");
    if (o->later)
        buf_printf(b, "Not yet in this release\n(%s): using it gives a notice.\n", o->later);
}

void config_show_mdoc(struct buf *b)
{
    size_t n, m;
    const struct config_section *s = config_sections(&n);
    const struct config_option *o = config_options(&m);
    for (size_t i = 0; i < n; i++) {
        buf_putz(b, ".Ss ");
        if (!s[i].name[0])
            buf_putz(b, "Outside of sections");
        else
            buf_printf(b, "%s%s { }: %s", s[i].name, s[i].named ? " \\(dqNAME\\(dq" : "",
                       s[i].help);
        buf_putz(b, "\n.Bl -tag -width Ds\n");
        for (size_t j = 0; j < m; j++)
            if (strcmp(o[j].section, s[i].name) == 0)
                put_option(b, &o[j]);
        buf_putz(b, ".El\n");
    }
}
