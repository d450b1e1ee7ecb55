/* The inside of smtpd, for the files of this folder.
 *
 *   smtpd.c       the role: what master gives, reload, finish
 *   generation.c  one configuration with what is made of it; sessions keep theirs to their end
 *   listener.c    accepting, and the limits on connections
 *   session.c     one connection: socket <-> TLS <-> smtp/server
 *   ask.c         the channel to router: the client, and the flights of MAIL and RCPT
 *   targets.c     what recipients have become, from RCPT to the commit
 *   rewrite.c     senders as others are to see them, in the envelope and the header
 *   backend.c     the channels to qmgr and keyring, and who waits for an answer
 *   local.c       users of this machine, whom pickup lets in
 *   say.c         log lines and events */
#ifndef POSTERN_SMTPD_INSIDE_H
#define POSTERN_SMTPD_INSIDE_H

#include "base/hash.h"
#include "config/config.h"
#include "events/events.h"
#include "ipc/channel.h"
#include "loop/loop.h"
#include "proto/master_child.h"
#include "proto/pickup_smtpd.h"
#include "proto/smtpd_keyring.h"
#include "proto/smtpd_qmgr.h"
#include "proto/smtpd_router.h"
#include "role/role.h"
#include "smtp/server.h"
#include "tls/server.h"

enum {
    READ_BYTES = 64 << 10,  /* one read from a client */
    LARGE_BYTES = 16 << 10,
    EXTENT_BYTES = 64 << 10, /* content beyond inline_max goes to qmgr in such pieces */
    REWRITE_BYTES = 512 << 10, /* a header that is kept back, what came with it, what it grows by */
    TURN_BYTES = 256 << 10, /* read in one turn from those in the middle of large messages */
    LEASE_COUNT = 1024,     /* queue ids asked for at once */
    LEASE_LOW = 512,
    LISTEN_LATE_MS = 2000,
    ACCEPT_AT_ONCE = 64,
    ACCEPT_AGAIN_MS = 200, /* after having run out of descriptors */
    CERTS_MAX = TLS_SERVER_CERTS_MAX,
    CERT_FILE_MAX = 256 << 10,
    CHECKS_MAX = 80,       /* that fail at once: those of the configuration, and ours */
};

struct smtpd;

struct generation {
    struct list node;
    struct smtpd *d;
    uint64_t number;
    unsigned refs;
    struct config *config;
    struct smtp_server_config *servers; /* one per listen section, then that of local users */
    struct config_listen submit;        /* what stands for a section to local users */
    struct tls_server_ctx *tls;         /* NULL: no certificate */
};

struct listener {
    struct list node;
    struct smtpd *d;
    int fd;
    struct loop_io io;
    struct netaddr address;
    char section[LISTEN_NAME_MAX + 1];
    bool open; /* watched */
    bool keep; /* while the listeners change */
};

/* How many sessions one client address has. */
struct client_count {
    struct hash_node node;
    struct netaddr address;
    unsigned count;
};

/* A session waits for one answer at most: of router (a question) or of qmgr (a commit). */
struct session {
    struct list node;
    struct smtpd *d;
    struct generation *gen;
    const struct config_listen *listen;
    int fd;
    struct loop_io io;
    struct loop_timer timer, pause; /* pause: server.greeting_pause */
    struct {
        uint64_t question;
        bool pausing, asking; /* what the greeting waits for */
        unsigned code;        /* it is a refusal: with "5.7.1 text" */
        struct buf text;
    } greet;
    char *name;               /* the client's, verified; NULL = none */
    uint8_t name_state;       /* enum route_client_name */
    struct targets *targets;  /* of the transaction; NULL: all recipients are themselves */
    struct rewriting *rewriting; /* of the transaction; NULL: all addresses stay as they are */
    size_t rcpt_count;        /* of the envelope that was committed */
    struct smtp_server *server;
    struct tls *tls;
    bool tls_told, tls_pending; /* the handshake was reported; 220 is still to be written */
    int64_t tls_until_ms;       /* the handshake has its own clock */
    struct buf in; /* read (and decrypted), not consumed yet */
    struct netaddr client;
    struct client_count *count;
    char ip[NETADDR_TEXT_MAX + 1];    /* "" of a user of this machine */
    char user[LOCAL_USER_MAX + 1];    /* who that is, or "" */
    bool trusted;                     /* he may name any sender */
    struct hash_node q_node;   /* by q */
    uint64_t q, question_id;   /* 0: none */
    struct hash_node txn_node; /* by txn */
    uint64_t txn, seq;         /* 0: none */
    struct buf content;        /* of the transaction, not handed to qmgr yet */
    uint64_t streamed_bytes;   /* handed over in extents */
    uint64_t size_bytes, stored_bytes; /* as it came; with our headers */
    bool lost; /* extents went to a qmgr that has died */
    bool committing, no_credit, dead, busy, shut;
    bool eof;  /* the client says no more; what it asked is answered */
    bool gone; /* the connection is broken */
    int64_t closing_until_ms;
    struct list credit_node;   /* among those that wait for qmgr to take extents */
    int64_t begun_ns, commit_ns;
    unsigned accepted;
    unsigned char msgid_len;
    char msgid[HEADERWALK_MSGID_MAX];
};

/* A health check that fails, and how long that is worth something. */
struct check_state {
    char name[CONFIG_CHECK_NAME_MAX + 1];
    int64_t until_ms;
};

struct smtpd {
    struct role_env *env;
    struct generation *gen;
    uint64_t generation_count;
    struct list generations, listeners, next_listeners;
    struct list sessions, waiting_credit;
    size_t session_count;
    struct hash clients, questions, txns;
    struct channel *router, *qmgr, *keyring, *pickup, *watch;
    struct check_state failing[CHECKS_MAX];
    size_t failing_count;
    uint64_t next_q, next_txn;
    uint64_t ids_first, ids_left;
    uint64_t untaken_bytes; /* of extents sent to qmgr */
    size_t turn_bytes;      /* read in this turn, see TURN_BYTES */
    struct loop_hook turn_over;
    bool lease_asked, full, started, finishing;
    char *certs[CERTS_MAX]; /* PEM chains as read from what master opened */
    size_t cert_bytes[CERTS_MAX];
    struct buf tickets;
    struct buf read_buf; /* shared: a read is consumed or kept before the next */
    struct loop_timer finish, listen_late, accept_again;
};

/* generation.c */
struct generation *generation_new(struct smtpd *d, struct config *cfg, struct err *err);
struct generation *generation_hold(struct generation *g);
void generation_drop(struct generation **g);

/* listener.c */
void listener_add(struct smtpd *d, int fd, const struct netaddr *a, struct span section);
void smtpd_listen(struct smtpd *d);  /* the given ones replace the present ones */
void smtpd_unlisten(struct smtpd *d);
void smtpd_accept_again(void *ctx);
void client_uncount(struct smtpd *d, struct client_count **c);

/* session.c; user: of this machine, or NULL */
struct session_user {
    struct span name;
    bool trusted;
};
void session_new(struct smtpd *d, int fd, const struct netaddr *peer,
                 const struct config_listen *listen, size_t section, struct client_count *count,
                 const struct session_user *user);
/* Whatever may have unblocked it: moves bytes until nothing moves; may free it. */
void session_run(struct session *s);
void session_free(struct session *s);
struct smtp_server_time session_now(const struct session *s);

/* backend.c */
extern const struct smtp_server_ops session_ops;
void backend_router(struct smtpd *d, int fd);
void backend_qmgr(struct smtpd *d, int fd);
void backend_keyring(struct smtpd *d, int fd);
void backend_want_ids(struct smtpd *d);
void backend_sign(void *arg, uint64_t request_id, struct span request);
void backend_forget(struct session *s);
/* What was kept back for its header goes on its way. */
void backend_release(struct session *s);

/* ask.c */
extern const struct reply ask_away; /* 451: who should answer is not there */
/* "5.7.1 text" of another process as a reply. */
struct reply ask_refusal(unsigned code, struct span text);
void ask_question(void *ctx, const struct smtp_server_question *q);
void ask_pause_over(void *ctx); /* session->pause */
void ask_expired(struct session *s); /* the engine waits for it no more */
void ask_forget(struct session *s);

/* targets.c */
struct list_verdict;
/* A recipient that is accepted, but not as itself. False: no room for all that. */
bool targets_add(struct session *s, const struct list_verdict *v);
/* All recipients accepted so far are thrown away: so may be the content. */
bool targets_discard_all(const struct session *s);
/* The envelope as it is to be stored; without recipients: not at all. False: too large. It lives
 * until targets_free. */
bool targets_apply(struct session *s, const struct envelope *env, struct envelope *env_r);
void targets_free(struct session *s);

/* rewrite.c */
bool rewrite_wanted(const struct config *cfg); /* there may be something to rewrite */
void rewrite_begin(struct session *s);         /* in this transaction */
/* Its content is to be kept here: its header has not come, or router has not answered. What comes
 * is kept too where this held before. */
bool rewrite_holds(const struct session *s);
/* The header has come: asks router. 0: there is nothing to be asked. */
uint64_t rewrite_ask(struct session *s, const struct smtp_server_question *q);
/* Puts what router says in its places; false: nobody waits for that. */
bool rewrite_answer(struct session *s, const struct msg_rewritten *m);
void rewrite_over(struct session *s); /* nothing is kept back from here on */
void rewrite_envelope(struct session *s, struct envelope *env);
struct span rewrite_note(const struct session *s); /* as envelope.rewritten */
void rewrite_free(struct session *s);

/* local.c */
void backend_pickup(struct smtpd *d, int fd);
void backend_watch(struct smtpd *d, int fd);
/* The header field that says whose word a sender is; nothing where that needs no saying. */
void local_put_warning(struct buf *b, const struct session *s, const struct envelope *env);

/* say.c */
void say_connected(struct session *s);
/* check: which fails, or empty */
void say_refused(struct smtpd *d, const struct netaddr *client, struct span listener,
                 struct span check, struct span reply);
void say_client_refused(struct session *s, unsigned code, struct span text);
void say_discarded(struct session *s); /* a message that was accepted and thrown away */
void say_received(struct session *s);
void say_not_received(struct session *s, unsigned code, struct span text);
void say_event(struct session *s, const struct smtp_server_event *e);
void say_tls(struct session *s);
void say_tls_failed(struct session *s);
void say_lost_peer(struct smtpd *d, const char *peer, const char *why);

#endif
