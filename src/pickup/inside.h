/* The inside of pickup, for the files of this folder.
 *
 *   pickup.c   the role; connections of local users are let in and handed to smtpd
 *   users.c    what a user is called
 *   scan.c     the submission spool: which files are there
 *   mail.c     one of them on its way to smtpd
 *   report.c   what its owner is told when it is refused */
#ifndef POSTERN_PICKUP_INSIDE_H
#define POSTERN_PICKUP_INSIDE_H

#include "base/hash.h"
#include "config/config.h"
#include "events/events.h"
#include "ipc/channel.h"
#include "loop/loop.h"
#include "proto/pickup_smtpd.h"
#include "role/role.h"
#include "smtp/client.h"
#include "submit/drop.h"
#include "submit/file.h"

#include <sys/stat.h>
#include <sys/types.h>

enum {
    SMTPDS_MAX = 32,
    NAMES_MAX = 4096,     /* names of one reading of the directory; then it is read again */
    MAILS_MAX = 8,        /* on their way at once */
    PARTLY_MAX = 1024,    /* remembered with the recipients that have it already */
    SCAN_MS = 30 * 1000,  /* when nothing tells of new files, and after a temporary refusal */
    AWAY_MS = 500,        /* while no smtpd is there; after the first refusal, then doubled */
    CONTENT_BYTES = 64 << 10,
    TMP_STALE_S = 24 * 3600, /* left over by who was killed: removed */
};

struct pickup;

struct smtpd_peer {
    struct pickup *p;
    struct channel *channel;
};

/* One file of the submission spool. `done` of its recipients is kept in memory only: a crash
 * repeats what was not removed. */
struct mail {
    struct list node;
    struct hash_node by_name;
    struct pickup *p;
    char name[DROP_NAME_MAX];
    int fd;
    struct stat st;
    struct arena *arena;
    struct buf head;
    struct submit_file file;
    size_t head_bytes;
    struct envelope_rcpt *now; /* of this attempt, and where each stands in file.rcpts */
    size_t *at, now_count;
    enum { MAIL_OPEN, MAIL_DONE, MAIL_FAILED } *state; /* of each recipient */
    struct span *reply;        /* what was said to those that failed */
    uint64_t sent_bytes;
    bool partly, again, later, over;
    struct smtp_client *client;
    int socket;
    struct loop_io io;
    struct loop_timer timer;
};

struct users;

struct pickup {
    struct role_env *env;
    struct config *config;
    struct smtpd_peer smtpds[SMTPDS_MAX];
    size_t turn; /* of smtpds */
    int listener, dir, notify;
    struct loop_io listen_io, notify_io;
    struct loop_timer scan;
    int64_t retry_ms; /* 0: the last one went well */
    struct loop_hook work;
    struct users *users;
    struct list waiting, sending, partly; /* struct mail */
    size_t sending_count, partly_count;
    struct hash names;
    bool started, finishing, more; /* more: than one reading took */
    struct smtp_client_config client;
    struct list ended; /* struct mail, to be freed in pickup_work */
};

/* pickup.c */
bool pickup_hand_over(struct pickup *p, int fd, uid_t uid); /* owns fd; false: no smtpd */
void pickup_work(struct pickup *p); /* soon: looks at what is to be done */

/* users.c */
struct users *users_new(void);
void users_free(struct users **u);
/* The name of a user by /etc/passwd, "uid123" where that has none; valid until the next call. */
struct span users_name(struct users *u, uid_t uid);

/* scan.c */
bool scan_open(struct pickup *p, struct err *err);
void scan_read(struct pickup *p);
void scan_close(struct pickup *p);
void scan_set_aside(struct pickup *p, const char *name, const char *why);

/* mail.c */
void mail_begin(struct mail *m);
void mail_free(struct mail *m);

/* report.c: false: it could not be written, the message stays. */
bool report_failures(struct mail *m);

#endif
