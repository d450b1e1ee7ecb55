/* outlet: where one message ends up on this host: a Maildir, an mbox file, a program's input.
 *
 *   o = maildir_new(...); outlet_open(o);  then, while o->state says so:
 *   OUTLET_OPENING  nothing may be given yet (a lock is waited for)
 *   OUTLET_OPEN     outlet_write, as long as o->full is false; outlet_finish ends the message
 *   OUTLET_DONE     the reply stands in code, enhanced and text: a 250 only once every byte is on
 *                   stable storage (or the program has said so by ending well)
 *
 * What changes later, from the loop, is told by `changed`, never from inside a call. Content has
 * LF line ends and is never looked at but for what the form of an mbox demands. outlet_free before
 * OUTLET_DONE takes back what was written; a process that is killed leaves at most a file in
 * Maildir's tmp, or a part of a message at the end of an mbox. */
#ifndef POSTERN_LOCAL_OUTLET_H
#define POSTERN_LOCAL_OUTLET_H

#include "base/err.h"
#include "loop/loop.h"

enum outlet_state { OUTLET_OPENING, OUTLET_OPEN, OUTLET_DONE };
enum { OUTLET_TEXT_MAX = 400, OUTLET_WRITE_BYTES = 64 << 10 };

struct outlet;

struct outlet_ops {
    void (*open)(struct outlet *o);
    void (*write)(struct outlet *o, struct span lf_text);
    void (*finish)(struct outlet *o);
    void (*free)(struct outlet *o);
};

struct outlet {
    const struct outlet_ops *ops;
    struct loop *loop;
    void (*changed)(void *ctx);
    void *ctx;
    enum outlet_state state;
    bool full; /* not now: wait for `changed` */
    unsigned code;
    char enhanced[12];
    char text[OUTLET_TEXT_MAX];
};

static inline void outlet_open(struct outlet *o) { o->ops->open(o); }
void outlet_write(struct outlet *o, struct span lf_text); /* nothing unless OUTLET_OPEN */
void outlet_finish(struct outlet *o);                     /* likewise */
void outlet_free(struct outlet **o);                      /* accepts NULL in *o */

/* For those who implement one. */
void outlet_done(struct outlet *o, unsigned code, const char *enhanced, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* By errno: a full disk or quota is 452 4.2.2, everything else 451 4.2.0: people mend it. */
void outlet_errno(struct outlet *o, int error, const char *what, const char *path);
bool outlet_put(int fd, struct span bytes); /* all of it; false: errno */
bool outlet_sync_dir(int at, const char *path); /* from `at`, as openat(2); false: errno */

/* host: for the file's name. */
struct outlet *maildir_new(struct loop *l, const char *path, const char *host);
/* from_line: "From SENDER DATE\n". lock_wait_ms: for both locks together. */
struct outlet *mbox_new(struct loop *l, const char *path, const char *from_line,
                        int64_t lock_wait_ms);
/* words and env: NULL at their ends, to live as long as the outlet. dir: where it is run ("/"
 * when it cannot be entered). first: goes in before the content. */
struct outlet *program_new(struct loop *l, const char *const *words, const char *const *env,
                           const char *dir, const char *first);

#endif
