/* What is left of a .mc when its macros are expanded: sendmail would take it as lines of its
 * .cf. Blank lines and comments are nothing; the rest is rewrite rules and raw options, which
 * have no meaning here, or a misspelt macro. */
#include "mc/impl.h"

#include "config/table.h"

static void raw_line(struct mc *m, struct span line)
{
    struct span word = line;
    word = span_word(&word);
    if (!m->section) {
        mc_say(m, CONFIG_NOTICE, m->line_place, SPAN_NONE, NULL,
               "\"%.*s\" is a raw line for sendmail.cf, and not carried over", SHOWN(line));
    } else if (strcmp(m->section, "LOCAL_CONFIG") == 0) {
        struct span names = span_from(line, 2);
        if (span_starts(line, SPAN("Cw")))
            mc_words(m, names, m->line_place, "Cw", mc_local_name);
        else if (span_starts(line, SPAN("CR")))
            mc_words(m, names, m->line_place, "CR", mc_relay_name);
        else
            mc_say(m, CONFIG_NOTICE, m->line_place, SPAN_NONE, NULL,
                   "LOCAL_CONFIG: \"%.*s\" is not carried over: there is no sendmail.cf",
                   SHOWN(line));
    } else if (!m->section_said) {
        mc_say(m, CONFIG_NOTICE, m->line_place, SPAN_NONE, NULL,
               "%s: its lines are not carried over: there are no rewrite rules here", m->section);
    }
    m->section_said = true;
}

/* Lines of a .cf begin with one of these letters; a text that does not was meant otherwise. */
static bool could_be_cf(struct span line)
{
    return line.p[0] && strchr("CDEFHKLMOPQRSTVX", line.p[0]) != NULL;
}

static void end_line(struct mc *m)
{
    struct span line = span_trim(buf_span(&m->line));
    struct span word = line;
    word = span_word(&word);
    const char *meant = word.n > 3 || span_eq(word, line) ? mc_suggest_macro(word) : NULL;
    if (line.n == 0 || line.p[0] == '#' || m->line_bad)
        ;
    else if (m->section || (could_be_cf(line) && !meant))
        raw_line(m, line);
    else
        mc_say(m, CONFIG_ERROR, m->line_place, SPAN_NONE, meant,
               "\"%.*s\" is no macro of sendmail's, and no comment", SHOWN(line));
    buf_reset(&m->line);
    m->line_bad = false;
}

void mc_text(struct mc *m, struct span s, struct mc_place place)
{
    if (m->divert < 0)
        return;
    while (s.n) {
        size_t nl = span_find(s, '\n');
        struct span part = span_to(s, nl);
        if (span_trim(buf_span(&m->line)).n == 0 && span_trim(part).n)
            m->line_place = place;
        buf_puts(&m->line, part);
        if (nl == s.n)
            break;
        end_line(m);
        s = span_from(s, nl + 1);
    }
}

void mc_text_end(struct mc *m) { end_line(m); }

void mc_text_call(struct mc *m, struct span word, struct mc_place place)
{
    if (m->divert < 0 || m->section || span_trim(buf_span(&m->line)).n)
        return;
    mc_say(m, CONFIG_ERROR, place, SPAN_NONE, mc_suggest_macro(word),
           "%.*s is no macro of sendmail's", SHOWN(word));
    m->line_bad = true;
}

/* "spool.free_min = 1G", "listen.tls = off" (every listener), "listen.sm-cap.tls = off". */
void mc_remark(struct mc *m, struct span s, struct mc_place place)
{
    size_t eq = span_find(s, '=');
    struct span name = span_trim(span_to(s, eq)), value = span_trim(span_from(s, eq + 1));
    size_t dot = span_find(name, '.'), last = span_rfind(name, '.');
    struct span section = dot < name.n ? span_to(name, dot) : SPAN_NONE;
    struct span option = dot < name.n ? span_from(name, last + 1) : name;
    const struct config_option *o = config_option_find(section, option);
    if (eq == s.n || value.n == 0 || !o || (last > dot && !config_option_listens(o))) {
        struct buf meant;
        buf_init(&meant, 256);
        config_suggest_dotted(&meant, name);
        mc_say(m, CONFIG_ERROR, place, name, buf_cstr(&meant),
               eq == s.n || value.n == 0 ? "\"%.*s\" is no option with its value: write "
                                           "dnl postern: section.name = value"
                                         : "there is no option \"%.*s\"",
               SHOWN(name));
        buf_free(&meant);
        return;
    }
    mc_set(m, "", value, place, "postern:");
    struct mc_item *it = &m->items[m->n_items - 1];
    if (m->stop)
        return;
    it->section = o->section;
    it->name = o->name;
    it->own = true;
    if (last > dot)
        it->label = span_from(span_to(name, last), dot + 1);
}
