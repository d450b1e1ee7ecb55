/* sessions: what a client remembers of servers, to open the next connection with a short
 * handshake. Bounded; the least recently used goes first. */
#ifndef POSTERN_TLS_SESSIONS_H
#define POSTERN_TLS_SESSIONS_H

#include "tls/internal.h"

struct sessions *sessions_new(size_t max, uint64_t seed);
void sessions_free(struct sessions **s);
size_t sessions_count(const struct sessions *s);

/* Takes over one reference to `session`; what was remembered under the key is replaced. */
void sessions_keep(struct sessions *s, const char *key, SSL_SESSION *session);
/* The session stays the cache's (the caller takes a reference of its own by using it); NULL. */
SSL_SESSION *sessions_get(struct sessions *s, const char *key);

#endif
