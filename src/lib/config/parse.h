/* parse: the grammar, and how to go on after a mistake so that one mistake is one message.
 *
 *   file    = { option | section }
 *   section = NAME [ "LABEL" ] "{" { option } "}"
 *   option  = NAME "=" ( WORD | "TEXT" | "{" [ item { "," item } [ "," ] ] "}" )
 *
 * Line ends mean nothing to a correct file; after a mistake they tell what belongs together. */
#ifndef POSTERN_CONFIG_PARSE_H
#define POSTERN_CONFIG_PARSE_H

#include "config/bind.h"

void parse(const struct tokens *t, struct bind *b, struct config_report *report);

#endif
