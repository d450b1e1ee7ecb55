/* name: interned strings with a count of references: a million recipients in ten thousand
 * domains hold ten thousand domain names. */
#ifndef POSTERN_SCHED_NAME_H
#define POSTERN_SCHED_NAME_H

#include "base/hash.h"

struct sched_name {
    struct hash_node node; /* node.key is the text */
    uint32_t refs;
    bool frozen;    /* of a recipients' domain: by a person */
    uint16_t shown; /* bytes; of a decision's reason more follow: LF, and the reason before it */
    struct sched_name *class; /* of a reason: held by it; in the table `classes` */
    struct hash *classes;
    char text[];
};

/* One more reference; NULL when the table is full and does not have it. */
struct sched_name *sched_name_get(struct hash *h, struct span text);
/* The one it has, without a reference more; NULL: none. */
struct sched_name *sched_name_find(const struct hash *h, struct span text);
void sched_name_put(struct hash *h, struct sched_name *name); /* accepts NULL */
static inline struct sched_name *sched_name_ref(struct sched_name *name)
{
    name->refs++;
    return name;
}
static inline struct span sched_name_span(const struct sched_name *name)
{
    return name ? span_of(name->text, name->shown) : SPAN_NONE;
}
/* Of one table: another text has another one (a keyed hash). 0: no name. */
static inline uint64_t sched_name_hash(const struct sched_name *name)
{
    return name ? name->node.hash : 0;
}
static inline struct span sched_name_before(const struct sched_name *name)
{
    return name ? span_from(name->node.key, (size_t)name->shown + 1) : SPAN_NONE;
}

#endif
