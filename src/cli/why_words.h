/* why_words: what the files that write `postern why` for people have in common. */
#ifndef POSTERN_CLI_WHY_WORDS_H
#define POSTERN_CLI_WHY_WORDS_H

#include "cli/why.h"

struct why_show {
    struct buf *out;
    const struct why *w;
    const struct ask *k;
    bool verbose; /* the dialogue of every attempt, not of the last one alone */
};

void why_put(struct why_show *s, struct span text); /* made harmless */
void why_put_number(struct why_show *s, int64_t n, const char *one, const char *many);
void why_put_time(struct why_show *s, int64_t wall_ms); /* "12:31:05", with its day when far */
void why_put_when(struct why_show *s, int64_t wall_ms); /* "in 22m (12:31:05)", "3h ago (...)" */
void why_put_addr(struct why_show *s, struct span addr); /* <a@b> */
bool why_is(const json_t *row, const char *key, const char *word);

/* why_attempts.c */
void why_show_attempts(struct why_show *s);
/* Whether the DNS says something else than it did at the last attempt; 0: nothing to compare,
 * 1: the same, 2: other hosts or addresses, 3: it answers now. */
int why_dns_now(const struct why *w, const struct why_route *r, const json_t **then_r);
void why_show_dns(struct why_show *s, const struct why_route *r);

#endif
