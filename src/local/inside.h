/* The inside of local, for the files of this folder.
 *
 *   local.c      the role: whose mailbox, becoming that user
 *   session.c    LMTP (RFC 2033) with deliver, over the descriptor master made
 *   pump.c       between deliver and a next hop's socket in the file system
 *   outlet.h     maildir.c, mbox.c, program.c: where the message ends up */
#ifndef POSTERN_LOCAL_INSIDE_H
#define POSTERN_LOCAL_INSIDE_H

#include "base/arena.h"
#include "base/buf.h"
#include "config/config.h"
#include "events/events.h"
#include "local/outlet.h"
#include "mail/delivery.h"
#include "proto/master_child.h"
#include "role/role.h"
#include "smtp/data.h"
#include "sys/userdb.h"

enum {
    IN_MAX = 64 << 10,     /* what was read from deliver and not looked at yet */
    HEADER_MAX = 256 << 10, /* looked through for Delivered-To, before anything is written */
    PRELUDE_MAX = 16 << 10,
    ENV_MAX = 16,
};

enum session_state { SESSION_COMMANDS, SESSION_CONTENT, SESSION_WAIT, SESSION_OVER };

struct local {
    struct role_env *env;
    struct config *config;
    struct arena *arena;
    int fd; /* to deliver */
    struct loop_io io;
    struct loop_timer deadline;

    /* what master was asked for; spans in the arena */
    struct msg_local_job job;
    struct user user;
    struct delivery how;
    struct span path;          /* of a Maildir, mbox, file or socket, filled in */
    unsigned code;             /* not 0: nothing can be delivered, and this is why */
    char enhanced[12];
    char text[OUTLET_TEXT_MAX];

    /* session.c */
    enum session_state state;
    struct buf in, out, line, head, lf;
    struct data_scan scan;
    char *sender;
    bool have_mail, have_rcpt, header_over, ended, peer_gone;
    struct outlet *outlet;
    const char *words[DELIVERY_WORDS_MAX + 1];
    const char *environ[ENV_MAX];

    /* pump.c */
    int socket;
    struct loop_io socket_io;
    struct buf to_socket, from_socket;
    bool socket_gone;
};

/* "CODE ENHANCED text" for all that comes; the first one stays. */
void local_refuse(struct local *l, unsigned code, const char *enhanced, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void local_over(struct local *l); /* the process may end */

void lmtp_begin(struct local *l);
void lmtp_free(struct local *l);
/* The lines in front of the message; prelude.c. False: it has been here before. */
void prelude_put(struct local *l, struct buf *b);
void prelude_from_line(struct local *l, struct buf *b);
bool prelude_seen(const struct local *l, struct span header);
void prelude_environment(struct local *l);

void pump_begin(struct local *l); /* connects; then the process is locked up */
void pump_free(struct local *l);

#endif
