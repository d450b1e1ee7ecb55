/* why_words: what the files that write `postern why` for people have in common. */
#ifndef POSTERN_CLI_WHY_WORDS_H
#define POSTERN_CLI_WHY_WORDS_H

#include "cli/why.h"

struct why_show {
    struct buf *out;
    const struct why *w;
    const struct ask *k;
    bool verbose; /* the dialogue of every attempt, not of the last one alone */
    enum why_part part;
};

/* Signs within the text, which why_layout makes colours and columns of. Nothing that why_put
 * writes has any of them. */
#define WHY_HEAD "\001"  /* to the end of the line: a heading */
#define WHY_WARN "\002"  /* to the end of the line: what is to be noticed */
#define WHY_HANG "\003"  /* where the rest of a line that is too long goes on */

void why_put(struct why_show *s, struct span text); /* made harmless */
void why_put_number(struct why_show *s, int64_t n, const char *one, const char *many);
void why_put_clock(struct why_show *s, int64_t wall_ms); /* "12:31:05", with the day of another */
void why_put_when(struct why_show *s, int64_t wall_ms); /* "in 22m (12:31:05)", "3h ago (...)" */
void why_put_size(struct why_show *s, int64_t bytes); /* "178 bytes", "12K" */
void why_put_addr(struct why_show *s, struct span addr); /* <a@b> */
/* ", by root, 3h ago (...)" */
void why_put_who(struct why_show *s, struct span who, int64_t at_ms);
bool why_is(const json_t *row, const char *key, const char *word);
/* Whom the end of a message would be told, of all its recipients that wait. */
enum why_tells {
    WHY_TELLS_SENDER,
    WHY_TELLS_NOBODY, /* NOTIFY says so */
    WHY_TELLS_POSTMASTER,
    WHY_TELLS_ALARM,  /* not even him: it is held, with an alarm */
    WHY_TELLS_SOME,   /* not the same of each */
};
enum why_tells why_tells(const struct why *w);
int64_t why_sum(const json_t *numbers); /* of an object's members */

/* Breaks lines that are longer than width (in columns) between words; a word is never broken. */
void why_layout(struct buf *out, struct span text, unsigned width, bool colour);

/* why_ask.c: of the oldest message only what the group's name means stays. */
void why_keep_asked(struct why *w);

/* why_place.c: what holds mail back at the destination and site of a row "place". others: it was
 * said of the site already. */
void why_show_place(struct why_show *s, const json_t *place, bool others);
/* All of them: each site once, and once what many destinations have in common. */
void why_show_places(struct why_show *s);
/* Both destinations are left alone, each by itself and for the same class of reasons. */
bool why_same_trouble(const json_t *place, const json_t *other);
void why_show_gateway(struct why_show *s);
void why_show_hosts(struct why_show *s);
/* " as NAME, by root, 3h ago", of a row that says so */
void why_put_frozen(struct why_show *s, const json_t *row);
/* The destination is a name of ours, under which mail of a frozen domain waits. */
bool why_parks_frozen(struct span destination);
/* The name under which the place is frozen; empty: it is not. */
struct span why_frozen(const json_t *place);

/* why_way.c: what is under way: at which host, what it waits for, since when */
void why_show_way(struct why_show *s);

/* why_attempts.c */
void why_show_attempts(struct why_show *s);
enum why_dns {
    WHY_DNS_UNKNOWN, /* nothing to compare */
    WHY_DNS_SAME,
    WHY_DNS_OTHER,   /* other hosts, addresses or preferences */
    WHY_DNS_BACK,    /* it answers now */
    WHY_DNS_GONE,    /* it says now that there is no such place */
    WHY_DNS_SILENT,  /* it does not answer now */
};
const char *why_dns_name(enum why_dns what); /* "same" ...; NULL: unknown */
/* What the DNS says now beside what it said at the last attempt. */
enum why_dns why_dns_now(const struct why *w, const struct why_route *r, const json_t **then_r);
/* What is other than at the last attempt, for the beginning. */
void why_show_news(struct why_show *s);
bool why_is_about(const json_t *attempt, int64_t rcpt);
void why_show_dns(struct why_show *s, const struct why_route *r);
/* "no MX; a.example is an alias of b.example: the address itself is tried" */
void why_put_alias(struct why_show *s, const json_t *dns, const char *tried);

/* why_dns.c: what the name servers say themselves, where the gateway has no answer from them. */
void why_show_servers(struct why_show *s);

/* why_hints.c: what can be done: {"do", "what"}; the caller's */
json_t *why_hints(const struct why *w, const struct ask *k);
void why_show_hints(struct why_show *s);

/* why_gone.c: nothing waits for it */
void why_show_gone(struct why_show *s);

/* why_fate.c: how what is gone came and what became of it, as far as the log knows */
void why_show_fate(struct why_show *s);

#endif
