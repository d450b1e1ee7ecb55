/* err: one message for a person, filled by the place that knows what is wrong. */
#ifndef POSTERN_BASE_ERR_H
#define POSTERN_BASE_ERR_H

enum { ERR_TEXT_MAX = 512 };

struct err {
    char text[ERR_TEXT_MAX]; /* NUL-terminated, cut when too long; "" = none */
};

void err_set(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* "what: strerror(errno)" */
void err_errno(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
