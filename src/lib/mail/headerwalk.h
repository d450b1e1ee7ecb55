/* headerwalk: reads a message's header as it streams by and keeps the few facts the server asks
 * for: how many Received fields there are (RFC 5321 6.3), how many of them bear our own instance
 * id, and the Message-Id. Nothing is stored but those; any input is bounded work and memory. */
#ifndef POSTERN_MAIL_HEADERWALK_H
#define POSTERN_MAIL_HEADERWALK_H

#include "base/span.h"

enum {
    HEADERWALK_MSGID_MAX = 255, /* longer ones are cut, as sendmail's log does */
    HEADERWALK_INSTANCE_MAX = 64,
};

struct headerwalk {
    /* results */
    unsigned received;    /* Received fields so far */
    unsigned ours;        /* of them with "(postern INSTANCE)" */
    size_t header_bytes;  /* up to and with the empty line, once `done`; so far, before */
    bool done;            /* the header has ended */
    unsigned char msgid_len;
    char msgid[HEADERWALK_MSGID_MAX]; /* of the first Message-Id field, trimmed */

    /* inner state */
    struct span instance;
    unsigned char state, field, name_len, mark_at;
    bool blank, marked, msgid_seen;
    char name[16];
};

/* The instance id (1..64 letters, digits, . or -) must outlive the walk. */
void headerwalk_init(struct headerwalk *w, struct span instance);
bool headerwalk_instance_ok(struct span instance);

/* Walks over s, a piece of content cut anywhere, lines ended by CRLF. Returns how many of its
 * bytes belong to the header, the empty line included: all of them until `done`. A line that is
 * no field and continues none ends the header as well, and is then counted as its last line. */
size_t headerwalk_input(struct headerwalk *w, struct span s);

static inline struct span headerwalk_msgid(const struct headerwalk *w)
{
    return span_of(w->msgid, w->msgid_len);
}

#endif
