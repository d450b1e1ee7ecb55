/* queue_words: the options of `postern queue` as the words qmgr knows (queue/filter.h). */
#ifndef POSTERN_CLI_QUEUE_WORDS_H
#define POSTERN_CLI_QUEUE_WORDS_H

#include "base/buf.h"

enum { QUEUE_WORDS_MAX = 1000, QUEUE_WORDS_BYTES = 56 << 10 };

struct queue_words {
    const char *v[QUEUE_WORDS_MAX]; /* in text, or of the caller */
    size_t n, filters;              /* so many of them are conditions */
    char text[QUEUE_WORDS_BYTES];
    size_t used;
};

/* An option with its value: 1 taken, 0 it is none of a filter's, -1 no room, or no value.
 * "!value" negates; "~value" is a part of a text. --age and --size mean more than, without a
 * sign. */
int queue_words_option(struct queue_words *w, const char *option, const char *value);
/* What the options are, for a usage. */
#define QUEUE_WORDS_HELP \
    "filters (all have to hold; of several for one thing, also with commas, one; \"!VALUE\"\n" \
    "negates, \"~TEXT\" is a part, \"*\" any text):\n" \
    "  --to --from ADDRESS or DOMAIN (--rcpt is --to)  --domain DOMAIN of the recipient;\n" \
    "                 .DOMAIN: all below it\n" \
    "  --site SITE    as `queue sites` names it, a destination, or a host in it\n" \
    "  --state ready|active|deferred|frozen|waiting|held|quarantined\n" \
    "  --reason TEXT (a part)  --client ADDRESS[/BITS]  --listener NAME  --id ID\n" \
    "  --age '>2h' or '<30m'  --size '>1M' or '<10K'; without a sign: more than\n"
/* "name=value". False: no room. */
bool queue_words_add(struct queue_words *w, const char *name, const char *value);
/* The id alone, also as it stands in a log: with a colon behind it. False: no room. */
bool queue_words_id(struct queue_words *w, const char *id);
/* Whether there is a condition FIELD=VALUE among them, or !FIELD=VALUE. */
bool queue_words_about(const struct queue_words *w, const char *field);
/* Whether they ask for sites, or for hosts in them. */
bool queue_words_by_site(const struct queue_words *w);
/* As it is; borrowed. */
bool queue_words_plain(struct queue_words *w, const char *word);

#endif
