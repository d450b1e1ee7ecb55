#include "config/report.h"

#include "base/json.h"
#include "base/must.h"

#include <stdlib.h>

enum {
    TEXT_MAX = 400,    /* of one message; what it quotes is cut by its writer */
    CONFIG_REPORT_TEXT_MAX = 64 << 10,
    EXCERPT_MAX = 100, /* bytes shown of a source line */
};

struct config_report {
    struct config_entry *v;
    size_t n;
    size_t errors, notices; /* all */
    char *file;
    char *text;
    size_t text_n;
};

struct config_report *config_report_new(void)
{
    struct config_report *r = NEW(struct config_report);
    r->v = must_calloc(CONFIG_REPORT_MAX, sizeof *r->v);
    r->file = must_strndup("", 0);
    return r;
}

void config_report_free(struct config_report **r)
{
    if (!*r)
        return;
    for (size_t i = 0; i < (*r)->n; i++) {
        free((char *)(*r)->v[i].text);
        free((char *)(*r)->v[i].hint);
    }
    free((*r)->v);
    free((*r)->file);
    free((*r)->text);
    free(*r);
    *r = NULL;
}

void config_report_source(struct config_report *r, struct span file, struct span text)
{
    free(r->file);
    free(r->text);
    r->file = must_strndup(file.n ? file.p : "", file.n);
    r->text = must_strndup(text.n ? text.p : "", text.n);
    r->text_n = text.n;
}

void config_report_add(struct config_report *r, enum config_level level, struct config_pos pos,
                       const char *hint, const char *fmt, ...)
{
    size_t *count = level == CONFIG_ERROR ? &r->errors : &r->notices;
    (*count)++;
    if (r->n == CONFIG_REPORT_MAX)
        return;
    va_list ap;
    va_start(ap, fmt);
    struct buf b;
    buf_init(&b, CONFIG_REPORT_TEXT_MAX);
    buf_vprintf(&b, fmt, ap);
    va_end(ap);
    if (b.len > TEXT_MAX)
        buf_cut(&b, TEXT_MAX);
    const char *text = buf_cstr(&b);
    r->v[r->n++] = (struct config_entry){
        .level = level,
        .pos = pos,
        .text = must_strndup(text, strlen(text)),
        .hint = must_strndup(hint ? hint : "", hint ? strlen(hint) : 0),
    };
    buf_free(&b);
}

size_t config_report_errors(const struct config_report *r) { return r->errors; }
size_t config_report_notices(const struct config_report *r) { return r->notices; }
size_t config_report_count(const struct config_report *r) { return r->n; }

const struct config_entry *config_report_at(const struct config_report *r, size_t i)
{
    MUST(i < r->n);
    return &r->v[i];
}

/* By place; what was found first stays first. The entries are few. */
static void sort(struct config_report *r)
{
    for (size_t i = 1; i < r->n; i++) {
        struct config_entry e = r->v[i];
        size_t j = i;
        while (j > 0 && (r->v[j - 1].pos.line > e.pos.line ||
                         (r->v[j - 1].pos.line == e.pos.line && r->v[j - 1].pos.col > e.pos.col))) {
            r->v[j] = r->v[j - 1];
            j--;
        }
        r->v[j] = e;
    }
}

static struct span source_line(const struct config_report *r, uint32_t line)
{
    struct span s = span_of(r->text, r->text_n);
    while (line-- > 1)
        s = span_from(s, span_find(s, '\n') + 1);
    return span_to(s, span_find(s, '\n'));
}

/* The line around the column, and a caret below it. What a terminal could take for a command is
 * shown as "?"; a tab stays one in both lines, so that the caret stands where it should. */
static void put_excerpt(struct buf *b, const struct config_report *r, struct config_pos pos)
{
    struct span line = source_line(r, pos.line);
    size_t at = pos.col - 1, from = at > EXCERPT_MAX * 3 / 4 ? at - EXCERPT_MAX / 2 : 0;
    struct span shown = span_to(span_from(line, from), EXCERPT_MAX);
    if (span_ends(shown, SPAN("\r")))
        shown.n--;
    if (shown.n == 0)
        return;
    buf_putz(b, "    ");
    for (size_t i = 0; i < shown.n; i++) {
        char c = shown.p[i];
        buf_putc(b, ((unsigned char)c < ' ' && c != '\t') || c == 0x7f ? '?' : c);
    }
    buf_putz(b, "\n    ");
    for (size_t i = from; i < at; i++) {
        char c = i - from < shown.n ? shown.p[i - from] : ' ';
        if (((unsigned char)c & 0xc0) != 0x80) /* one column for all bytes of a UTF-8 character */
            buf_putc(b, c == '\t' ? '\t' : ' ');
    }
    buf_putz(b, "^\n");
}

static void put_entry(struct buf *b, const struct config_report *r, const struct config_entry *e)
{
    buf_putz(b, r->file);
    if (e->pos.line)
        buf_printf(b, ":%u:%u", (unsigned)e->pos.line, (unsigned)e->pos.col);
    buf_printf(b, ": %s%s", e->level == CONFIG_NOTICE ? "notice: " : "", e->text);
    if (e->hint[0])
        buf_printf(b, "; did you mean \"%s\"?", e->hint);
    buf_putc(b, '\n');
    if (e->pos.line)
        put_excerpt(b, r, e->pos);
}

void config_report_put_text(struct buf *b, struct config_report *r)
{
    sort(r);
    for (size_t i = 0; i < r->n; i++)
        put_entry(b, r, &r->v[i]);
    if (r->errors + r->notices > r->n)
        buf_printf(b, "%s: %zu more are not shown\n", r->file, r->errors + r->notices - r->n);
}

static void put_json_level(struct json *j, const struct config_report *r, enum config_level level)
{
    json_open_array(j, level == CONFIG_ERROR ? "errors" : "notices");
    for (size_t i = 0; i < r->n; i++) {
        const struct config_entry *e = &r->v[i];
        if (e->level != level)
            continue;
        json_open(j, NULL);
        json_uint(j, "line", e->pos.line);
        json_uint(j, "column", e->pos.col);
        json_str(j, "text", span_str(e->text));
        if (e->hint[0])
            json_str(j, "did_you_mean", span_str(e->hint));
        json_close(j);
    }
    json_close_array(j);
}

void config_report_put_json(struct buf *b, struct config_report *r)
{
    struct json j = json_writer(b);
    sort(r);
    json_open(&j, NULL);
    json_str(&j, "file", span_str(r->file));
    json_bool(&j, "ok", r->errors == 0);
    json_uint(&j, "error_count", r->errors);
    put_json_level(&j, r, CONFIG_ERROR);
    put_json_level(&j, r, CONFIG_NOTICE);
    json_close(&j);
}
