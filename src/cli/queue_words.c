#include "cli/queue_words.h"

#include <string.h>

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
        w->filters++;
        return add_parts(w, (const char *const[]){ negated ? "!" : "", options[i].field, op,
                                                   value }, 4)
                   ? 1
                   : -1;
    }
    return 0;
}
