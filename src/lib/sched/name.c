#include "sched/name.h"

#include "base/list.h"
#include "base/must.h"

#include <stdlib.h>

struct sched_name *sched_name_find(const struct hash *h, struct span text)
{
    struct hash_node *node = hash_get(h, text);
    return node ? CONTAINER(node, struct sched_name, node) : NULL;
}

struct sched_name *sched_name_get(struct hash *h, struct span text)
{
    struct sched_name *known = sched_name_find(h, text);
    if (known)
        return sched_name_ref(known);
    if (h->max && h->n >= h->max)
        return NULL;
    MUST(text.n <= UINT16_MAX);
    struct sched_name *name = must_alloc(must_add(sizeof *name, text.n));
    if (text.n)
        memcpy(name->text, text.p, text.n);
    name->refs = 1;
    name->shown = (uint16_t)text.n;
    hash_add(h, &name->node, span_of(name->text, text.n));
    return name;
}

void sched_name_put(struct hash *h, struct sched_name *name)
{
    if (!name)
        return;
    MUST(name->refs > 0);
    if (--name->refs)
        return;
    hash_remove(h, &name->node);
    if (name->class)
        sched_name_put(name->classes, name->class);
    free(name);
}
