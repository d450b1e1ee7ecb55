/* domain: the names of mail domains in one form, so that two spellings of one are the same text. */
#ifndef POSTERN_BASE_DOMAIN_H
#define POSTERN_BASE_DOMAIN_H

#include "base/span.h"

/* A name in UTF-8 as A-labels (IDNA 2008 by UTS 46, non-transitional, as browsers and other mailers
 * do by now: ß stays ß), in lower case. The bytes put, or 0: it is ASCII as it is, no such name, or
 * too long. */
size_t domain_to_ascii(struct span utf8, char *out, size_t cap);

/* What is not compared as it is written, in lower case: A-labels for a name in UTF-8, the one form
 * of an address literal. The bytes put, or 0: it is neither, or has no room. */
size_t domain_rewritten(struct span name, char *out, size_t cap);

/* In the form in which names are compared: A-labels, in lower case; an address literal in its one
 * form. What is neither, or has no room then, stays as it is but for ASCII letters; it must have
 * room so. The bytes put. */
size_t domain_fold(struct span name, char *out, size_t cap);

/* The name with its A-labels as people read them. The bytes put, or 0: it has none, or no room. */
size_t domain_to_utf8(struct span name, char *out, size_t cap);

/* An address, a domain, a host or an id without what stands around it in a log, a mail or the
 * answer of a name server: "<user@dom>", "ID:", "dom.". Points into what is given. */
struct span domain_bare(struct span name);

/* Two spellings of one name. */
bool domain_same(struct span a, struct span b);

#endif
