#include "cli/queue_words.h"

#include "base/domain.h"
#include "envelope/queueid.h"

#include <string.h>

enum { VALUE_MAX = 1024 };

static const struct {
    const char *option, *field;
    char op; /* '=' unless the value begins with another; '>' for amounts */
} options[] = {
    { "--id", "id", '=' },         { "--to", "to", '=' },
    { "--from", "from", '=' },     { "--domain", "domain", '=' },
    { "--site", "site", '=' },     { "--client", "client", '=' },
    { "--reason", "reason", '~' }, { "--listener", "listener", '=' },
    { "--state", "state", '=' },   { "--age", "age", '>' },
    { "--size", "size", '>' },
};

bool queue_words_plain(struct queue_words *w, const char *word)
{
    if (w->n == QUEUE_WORDS_MAX)
        return false;
    w->v[w->n++] = word;
    return true;
}

/* The parts one after another, as one word. */
static bool add_parts(struct queue_words *w, const char *const *parts, size_t n)
{
    size_t begun = w->used;
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(parts[i]);
        if (len >= sizeof w->text - w->used) {
            w->used = begun;
            return false;
        }
        memcpy(w->text + w->used, parts[i], len);
        w->used += len;
    }
    w->text[w->used++] = '\0';
    return queue_words_plain(w, w->text + begun);
}

bool queue_words_add(struct queue_words *w, const char *name, const char *value)
{
    return add_parts(w, (const char *const[]){ name, "=", value }, 3);
}

bool queue_words_id(struct queue_words *w, const char *id)
{
    size_t begun = w->used, n = strlen(id);
    bool colon = n > 1 && id[n - 1] == ':';
    if (!add_parts(w, &id, 1))
        return false;
    w->text[begun + n - colon] = '\0';
    return true;
}

/* Several with commas, where a comma is no part of such a value: as several options. Of a state
 * qmgr reads them itself. */
static bool has_several(const char *field, const char *value)
{
    static const char *const some[] = { "id", "to", "from", "domain", "client", "listener" };
    for (size_t i = 0; i < sizeof some / sizeof *some; i++)
        if (strcmp(field, some[i]) == 0)
            return !strchr(value, '"');
    return false;
}

static bool add_condition(struct queue_words *w, bool negated, const char *field, const char *op,
                          const char *value)
{
    while (has_several(field, value) && strchr(value, ',')) {
        char one[VALUE_MAX];
        size_t n = strcspn(value, ",");
        if (n >= sizeof one)
            return false;
        memcpy(one, value, n);
        one[n] = '\0';
        value += n + 1;
        if (n && !add_parts(w, (const char *const[]){ negated ? "!" : "", field, op, one }, 4))
            return false;
    }
    return add_parts(w, (const char *const[]){ negated ? "!" : "", field, op, value }, 4);
}

int queue_words_option(struct queue_words *w, const char *option, const char *value)
{
    option = strcmp(option, "--rcpt") == 0 ? "--to" : option;
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        if (strcmp(option, options[i].option) != 0)
            continue;
        if (!value)
            return -1;
        bool negated = *value == '!', amount = options[i].op == '>';
        char op[2] = { options[i].op, '\0' };
        value += negated;
        if (*value && strchr(amount ? "<>" : "~=", *value))
            op[0] = *value++;
        else if (op[0] == '~' && strchr(value, '*'))
            op[0] = '='; /* a pattern is for the whole text */
        w->filters++;
        return add_condition(w, negated, options[i].field, op, value) ? 1 : -1;
    }
    return 0;
}

bool queue_words_about(const struct queue_words *w, const char *field)
{
    size_t n = strlen(field);
    for (size_t i = 0; i < w->n; i++) {
        const char *word = w->v[i] + (w->v[i][0] == '!');
        if (strncmp(word, field, n) == 0 && word[n] == '=')
            return true;
    }
    return false;
}

bool queue_words_by_site(const struct queue_words *w)
{
    uint64_t seq;
    for (size_t i = 0; i < w->n; i++) {
        struct span target = span_str(w->v[i]);
        if (!span_starts(target, SPAN("target=")))
            continue;
        target = domain_bare(span_from(target, 7));
        if (!queueid_seq(target, &seq) && span_find(target, '@') == target.n)
            return true;
    }
    return queue_words_about(w, "site");
}
