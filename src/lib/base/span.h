/* span: a read-only view of bytes, never NUL-terminated, never owned.
 * Whoever hands out a span says how long the bytes behind it live. */
#ifndef POSTERN_BASE_SPAN_H
#define POSTERN_BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
    const char *p;
    size_t n;
};

#define SPAN(lit) ((struct span){ "" lit, sizeof(lit) - 1 })
#define SPAN_NONE ((struct span){ NULL, 0 })
/* For printf-like calls: "%.*s", SPAN_ARG(s). */
#define SPAN_ARG(s) (int)(s).n, (s).p ? (s).p : ""

static inline struct span span_of(const void *p, size_t n) { return (struct span){ p, n }; }
static inline struct span span_str(const char *s) { return (struct span){ s, s ? strlen(s) : 0 }; }

static inline bool span_eq(struct span a, struct span b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* ASCII-only case folding: mail's keywords and domain names are ASCII (RFC 5321 2.4). */
static inline char ascii_lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c; }
static inline char ascii_upper(char c) { return c >= 'a' && c <= 'z' ? (char)(c - 32) : c; }
static inline bool ascii_isdigit(char c) { return c >= '0' && c <= '9'; }
static inline bool ascii_isalpha(char c) { c = ascii_lower(c); return c >= 'a' && c <= 'z'; }
static inline bool ascii_isalnum(char c) { return ascii_isdigit(c) || ascii_isalpha(c); }
static inline bool ascii_isblank(char c) { return c == ' ' || c == '\t'; }

bool span_ieq(struct span a, struct span b);
bool span_starts(struct span s, struct span prefix);
bool span_istarts(struct span s, struct span prefix);
bool span_ends(struct span s, struct span suffix);
bool span_iends(struct span s, struct span suffix);
bool span_is_ascii(struct span s);

/* Offset of the first `c`, or s.n when there is none. */
size_t span_find(struct span s, char c);
size_t span_rfind(struct span s, char c); /* last one, or s.n */

/* From offset `from` to the end; an offset beyond the end gives an empty span. */
struct span span_from(struct span s, size_t from);
struct span span_to(struct span s, size_t to);

/* Blanks (SP, HT; also CR and LF when `lines`) cut from both ends. */
struct span span_trim(struct span s);
struct span span_trim_lines(struct span s);

/* Takes the next word separated by blanks off the front of *s; empty at the end. */
struct span span_word(struct span *s);

/* Ordering as memcmp, shorter first. */
int span_cmp(struct span a, struct span b);

#endif
