/* What log.events still knows of a message that is not in the queue any more. */
#include "cli/why.h"

#include "cli/ctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { READ_BACK_BYTES = 64 << 20, EVENTS_SHOWN = 200 };

static void keep(json_t *list, const char *line, size_t n)
{
    json_t *row = ctl_json(span_of(line, n), 1 << 20);
    if (row)
        json_array_append_new(list, row);
    if (json_array_size(list) > EVENTS_SHOWN)
        json_array_remove(list, 0);
}

json_t *why_log(const char *path, const char *id, bool *all_r)
{
    FILE *f = fopen(path, "re");
    char *line = NULL;
    size_t room = 0;
    ssize_t n;
    char member[64];
    if (!f)
        return NULL;
    json_t *list = json_array();
    snprintf(member, sizeof member, "\"id\":\"%.32s\"", id);
    bool sized = fseeko(f, 0, SEEK_END) == 0;
    off_t size = sized ? ftello(f) : -1;
    *all_r = size <= READ_BACK_BYTES;
    bool placed = size >= 0 && fseeko(f, *all_r ? 0 : size - READ_BACK_BYTES, SEEK_SET) == 0;
    while (placed && (n = getline(&line, &room, f)) > 0)
        if (strstr(line, member))
            keep(list, line, (size_t)n);
    free(line);
    fclose(f);
    return list;
}
