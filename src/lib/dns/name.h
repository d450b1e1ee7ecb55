/* dns_name: a domain name in one canonical form: lower case, A-labels (IDNA 2008), no dot at its
 * end; the root is the empty name. */
#ifndef POSTERN_DNS_NAME_H
#define POSTERN_DNS_NAME_H

#include "base/span.h"

enum { DNS_NAME_MAX = 253, DNS_LABEL_MAX = 63 }; /* RFC 1035 2.3.4 */

struct dns_name {
    uint8_t n;
    char s[DNS_NAME_MAX + 1]; /* NUL behind the name */
};

enum dns_name_error {
    DNS_NAME_OK = 0,
    DNS_NAME_EMPTY,       /* nothing, or only a dot */
    DNS_NAME_LONG,        /* more than 253 bytes */
    DNS_NAME_LABEL_LONG,  /* more than 63 bytes between dots */
    DNS_NAME_LABEL_EMPTY, /* two dots together, or one in front */
    DNS_NAME_CHARACTER,   /* other than letters, digits, - and _ */
    DNS_NAME_IDNA,        /* not a name by IDNA 2008 */
};

static inline struct span dns_name_span(const struct dns_name *n) { return span_of(n->s, n->n); }

/* A host name as people and SMTP write it: one dot at the end is taken off, UTF-8 becomes
 * A-labels. name_r is set only on DNS_NAME_OK. */
enum dns_name_error dns_name_from(struct span s, struct dns_name *name_r);
const char *dns_name_error_text(enum dns_name_error e); /* "a label is longer than 63 bytes" */

bool dns_name_eq(const struct dns_name *a, const struct dns_name *b);
/* name is `zone` or below it. */
bool dns_name_under(const struct dns_name *name, const struct dns_name *zone);

/* Its last label is a number, as of no top-level domain: "1.2.3.400" and "3" are slips. */
bool dns_name_numeric(const struct dns_name *name);

/* Reads one name of a packet at *off, following compression pointers (only backwards, RFC 1035
 * 4.1.4), and moves *off behind it. 1: done; 0: a well-formed name that no host has (bytes other
 * than letters, digits, - _ / *), name_r is then the root; -1: malformed. */
int dns_name_read(struct span packet, size_t *off, struct dns_name *name_r);

#endif
