#include "tls/sessions.h"

#include "base/list.h"
#include "base/must.h"

#include <stdlib.h>

struct session {
    struct hash_node node;
    struct list used; /* most recently used first */
    char *key;
    SSL_SESSION *session;
};

struct sessions {
    struct hash by_key;
    struct list used;
    size_t n, max;
};

struct sessions *sessions_new(size_t max, uint64_t seed)
{
    struct sessions *s = NEW(struct sessions);
    MUST(max > 0);
    s->max = max;
    hash_init(&s->by_key, seed, max);
    list_init(&s->used);
    return s;
}

static void drop(struct sessions *s, struct session *e)
{
    hash_remove(&s->by_key, &e->node);
    list_remove(&e->used);
    SSL_SESSION_free(e->session);
    free(e->key);
    free(e);
    s->n--;
}

void sessions_free(struct sessions **s)
{
    if (!*s)
        return;
    LIST_EACH (node, &(*s)->used)
        drop(*s, CONTAINER(node, struct session, used));
    hash_free(&(*s)->by_key);
    free(*s);
    *s = NULL;
}

size_t sessions_count(const struct sessions *s) { return s->n; }

static struct session *find(const struct sessions *s, const char *key)
{
    struct hash_node *node = hash_get(&s->by_key, span_str(key));
    return node ? CONTAINER(node, struct session, node) : NULL;
}

void sessions_keep(struct sessions *s, const char *key, SSL_SESSION *session)
{
    struct session *e = find(s, key);
    if (e)
        drop(s, e);
    if (s->n == s->max)
        drop(s, CONTAINER(s->used.prev, struct session, used));
    e = NEW(struct session);
    e->key = must_strndup(key, strlen(key));
    e->session = session;
    MUST(hash_add(&s->by_key, &e->node, span_str(e->key)));
    list_prepend(&s->used, &e->used);
    s->n++;
}

SSL_SESSION *sessions_get(struct sessions *s, const char *key)
{
    struct session *e = find(s, key);
    if (!e)
        return NULL;
    if (!SSL_SESSION_is_resumable(e->session)) {
        drop(s, e);
        return NULL;
    }
    list_remove(&e->used);
    list_prepend(&s->used, &e->used);
    return e->session;
}

void sessions_renewed(struct sessions *s, const char *key, SSL *ssl)
{
    SSL_SESSION *session = SSL_get1_session(ssl);
    if (session && SSL_SESSION_is_resumable(session))
        sessions_keep(s, key, session);
    else
        SSL_SESSION_free(session);
}

void sessions_drop(struct sessions *s, const char *key)
{
    struct session *e = find(s, key);
    if (e)
        drop(s, e);
}
