#include "mail/headerwalk.h"

#include "base/must.h"

enum { LINE_START, NAME, VALUE, SKIP }; /* SKIP: the rest of a line of no interest */
enum { OTHER, RECEIVED, MESSAGE_ID };

static const char mark[] = "(postern "; /* what received.c writes before the instance id */

bool headerwalk_instance_ok(struct span s)
{
    if (s.n == 0 || s.n > HEADERWALK_INSTANCE_MAX)
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (!ascii_isalnum(s.p[i]) && s.p[i] != '.' && s.p[i] != '-')
            return false;
    return true;
}

void headerwalk_init(struct headerwalk *w, struct span instance)
{
    MUST(headerwalk_instance_ok(instance));
    *w = (struct headerwalk){ .instance = instance };
}

/* The i-th character of "(postern INSTANCE)". */
static char mark_char(const struct headerwalk *w, size_t i)
{
    enum { N = sizeof mark - 1 };
    return i < N ? mark[i] : i < N + w->instance.n ? w->instance.p[i - N] : ')';
}

/* "(" stands in the mark only at its front, so after a mismatch the match begins anew there. Runs
 * of white space, folds included, count as one blank. */
static void match_mark(struct headerwalk *w, char c)
{
    if (c != mark_char(w, w->mark_at))
        w->mark_at = 0;
    if (c == mark_char(w, w->mark_at))
        w->mark_at++;
    if (w->mark_at == sizeof mark - 1 + w->instance.n + 1) {
        w->ours += !w->marked; /* once for each field */
        w->marked = true;
        w->mark_at = 0;
    }
}

static void value_char(struct headerwalk *w, char c)
{
    if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
        w->blank = true;
        return;
    }
    if (w->field == RECEIVED) {
        if (w->blank)
            match_mark(w, ' ');
        match_mark(w, c);
    } else if (w->msgid_len < HEADERWALK_MSGID_MAX) {
        if (w->blank && w->msgid_len > 0)
            w->msgid[w->msgid_len++] = ' ';
        if (w->msgid_len < HEADERWALK_MSGID_MAX)
            w->msgid[w->msgid_len++] = c;
    }
    w->blank = false;
}

/* The name is complete: which field is it? */
static void begin_field(struct headerwalk *w)
{
    struct span name = span_trim(span_of(w->name, w->name_len));
    w->state = SKIP;
    w->marked = w->blank = false;
    w->mark_at = 0;
    if (span_ieq(name, SPAN("Received"))) {
        w->received++;
        w->field = RECEIVED;
        w->state = VALUE;
    } else if (span_ieq(name, SPAN("Message-Id")) && !w->msgid_seen) {
        w->msgid_seen = true;
        w->field = MESSAGE_ID;
        w->state = VALUE;
    }
}

static void line_start(struct headerwalk *w, char c)
{
    if (ascii_isblank(c)) { /* a folded line goes on with the field before it */
        w->state = w->field == OTHER ? SKIP : VALUE;
        return;
    }
    w->field = OTHER;
    w->name_len = 0;
    w->state = NAME;
}

static void name_char(struct headerwalk *w, char c)
{
    if (c == '\n')
        w->done = true; /* the empty line, or a line that is no field */
    else if (c == ':')
        begin_field(w);
    else if (w->name_len < sizeof w->name)
        w->name[w->name_len++] = c;
    else
        w->name[0] = ':'; /* longer than any name we look for */
}

/* The rest of an uninteresting line in one step. */
static size_t skip_line(struct headerwalk *w, struct span s)
{
    size_t n = span_find(s, '\n');
    if (n == s.n)
        return n;
    w->state = LINE_START;
    return n + 1;
}

size_t headerwalk_input(struct headerwalk *w, struct span s)
{
    size_t i = 0;
    while (i < s.n && !w->done) {
        char c = s.p[i];
        if (w->state == SKIP) {
            i += skip_line(w, span_from(s, i));
            continue;
        }
        if (w->state == LINE_START)
            line_start(w, c);
        if (w->state == NAME) {
            name_char(w, c);
        } else if (w->state == VALUE) {
            value_char(w, c);
            if (c == '\n')
                w->state = LINE_START;
        }
        i++;
    }
    w->header_bytes += i;
    return i;
}
