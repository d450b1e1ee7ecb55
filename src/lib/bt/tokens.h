/* tokens: an address cut into words as sendmail's rules see it: the operators . : % @ ! ^ / [ ] +
 * and < > ( ) , ; stand alone, a quoted string is one word, blanks only separate. */
#ifndef POSTERN_BT_TOKENS_H
#define POSTERN_BT_TOKENS_H

#include "base/arena.h"
#include "base/buf.h"

enum { BT_TOKENS_MAX = 1000 };

struct toks {
    const struct span *v;
    size_t n;
};

/* Words of s, which lives as long as they do. Beyond BT_TOKENS_MAX the rest is dropped. */
struct toks toks_of(struct arena *a, struct span s);
struct toks toks_cat(struct arena *a, struct toks x, struct toks y);
static inline struct toks toks_from(struct toks t, size_t at)
{
    at = at < t.n ? at : t.n;
    return (struct toks){ t.v ? t.v + at : NULL, t.n - at };
}
static inline struct toks toks_to(struct toks t, size_t n)
{
    return (struct toks){ t.v, n < t.n ? n : t.n };
}
static inline bool toks_is(struct toks t, size_t at, const char *word)
{
    return at < t.n && span_ieq(t.v[at], span_str(word));
}
size_t toks_find(struct toks t, const char *word); /* t.n when it is not there */
size_t toks_rfind(struct toks t, const char *word);

/* " user < @ gmail . com . >", each with a blank in front. */
void toks_put(struct buf *out, struct toks t);
/* "user@gmail.com": the words as they would be written; two that need it get a blank between. */
struct span toks_join(struct arena *a, struct toks t);
/* The same in lower case, for keys. */
struct span toks_lower(struct arena *a, struct toks t);

#endif
