#include "master/inside.h"

#include <stdio.h>
#include <string.h>

enum { BACKLOG = 1024 };

static struct listener *find(struct master *m, const struct netaddr *a)
{
    for (size_t i = 0; i < m->listener_count; i++)
        if (netaddr_eq(&m->listeners[i].address, a))
            return &m->listeners[i];
    return NULL;
}

static bool open_one(struct master *m, const struct netaddr *a, struct span section,
                     struct err *err)
{
    struct listener *l = find(m, a);
    if (!l) {
        if (m->listener_count == LISTENERS_MAX) {
            err_set(err, "more than %d listening addresses", LISTENERS_MAX);
            return false;
        }
        int fd = loop_listen(m->loop, a, BACKLOG, err);
        if (fd < 0)
            return false;
        l = &m->listeners[m->listener_count++];
        *l = (struct listener){ .fd = fd, .address = *a };
    }
    l->keep = true;
    snprintf(l->next_section, sizeof l->next_section, "%.*s", SPAN_ARG(section));
    return true;
}

/* Opens what `cfg` wants and we do not have; sockets that stay are never closed in between, so
 * no connection is refused by a reload. */
bool listeners_open(struct master *m, const struct config *cfg, struct err *err)
{
    size_t before = m->listener_count;
    for (size_t i = 0; i < m->listener_count; i++)
        m->listeners[i].keep = false;
    for (size_t i = 0; i < cfg->n_listens; i++) {
        const struct config_listen *s = &cfg->listens[i];
        for (size_t k = 0; k < s->address.n; k++) {
            if (!open_one(m, &s->address.v[k], s->name, err)) {
                while (m->listener_count > before)
                    loop_close(m->loop, m->listeners[--m->listener_count].fd);
                return false;
            }
        }
    }
    return true;
}

void listeners_settle(struct master *m)
{
    size_t n = 0;
    for (size_t i = 0; i < m->listener_count; i++) {
        struct listener *l = &m->listeners[i];
        memcpy(l->section, l->next_section, sizeof l->section);
        if (l->keep)
            m->listeners[n++] = *l;
        else
            loop_close(m->loop, l->fd);
    }
    m->listener_count = n;
}

void listeners_close(struct master *m)
{
    while (m->listener_count)
        loop_close(m->loop, m->listeners[--m->listener_count].fd);
}
