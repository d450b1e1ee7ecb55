/* expand: what the expansion of a recipient is made of; only for files of this room. */
#ifndef POSTERN_ROUTE_EXPAND_H
#define POSTERN_ROUTE_EXPAND_H

#include "route/impl.h"
#include "route/value.h"

/* Takes the next address off the front of a list as aliases and :include: files write it:
 * separated by commas and line ends, in quotes where need be, "Name <address>" too, comments in
 * parentheses and lines that begin with # left out. It may be empty. False: the end. */
bool route_list_next(struct span *list, struct span *item_r);

/* The text of a regular file, at most ROUTE_INCLUDE_MAX bytes. */
bool route_read_file(struct span path, struct buf *text, struct err *e);

#endif
