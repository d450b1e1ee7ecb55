/* json: the flat writer for events and for --json: one object (or array of them) at a time,
 * straight into a buf, no tree. Bytes that are not UTF-8 and control characters are escaped
 * reversibly: a byte B that is not part of a valid UTF-8 sequence is written as U+DC00+B
 * ("\udcXX", as Python's surrogateescape), so that every logged string can be turned back. */
#ifndef POSTERN_BASE_JSON_H
#define POSTERN_BASE_JSON_H

#include "base/buf.h"

struct json {
    struct buf *out;
    bool comma; /* a member stands before the next one */
};

static inline struct json json_writer(struct buf *out) { return (struct json){ .out = out }; }

/* key NULL: an element of an array (or the outermost value). */
void json_open(struct json *j, const char *key);       /* { */
void json_close(struct json *j);                       /* } */
void json_open_array(struct json *j, const char *key); /* [ */
void json_close_array(struct json *j);
void json_str(struct json *j, const char *key, struct span v);
void json_int(struct json *j, const char *key, int64_t v);
void json_uint(struct json *j, const char *key, uint64_t v);
void json_bool(struct json *j, const char *key, bool v);

/* The quoted, escaped string alone. */
void json_put_string(struct buf *out, struct span v);

/* Length (1..4) of the valid UTF-8 sequence at the start of s; 0 when there is none. */
size_t utf8_length(struct span s);

#endif
