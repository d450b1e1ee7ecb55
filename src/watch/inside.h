/* The inside of watch, for the files of this folder.
 *
 * At each look (alarm.interval) everything is asked; what comes back, or does not, is said to the
 * alarms (lib/alarm); a moment later the news is told: events, log, one mail, the webhook. watch
 * never touches the queue: it asks qmgr, and looks at the file system from outside. */
#ifndef POSTERN_WATCH_INSIDE_H
#define POSTERN_WATCH_INSIDE_H

#include "alarm/alarm.h"
#include "config/config.h"
#include "dns/plan.h"
#include "ipc/channel.h"
#include "loop/loop.h"
#include "role/role.h"
#include "tls/client.h"

enum {
    SMTPDS_MAX = 64,
    SITES_MAX = 1000,     /* looked at in one round */
    SITES_TOLD_MAX = 20,  /* that are an alarm each; the others are one together */
    CELLS_MAX = 4000,     /* that qmgr tells of */
    SITE_NAME_MAX = 260,
    DEATHS_MAX = 8,       /* remembered of a role */
    DEATH_WORDS_MAX = 96,
    GROWTH_SLOTS = 60,    /* minutes */
    GREETS_MAX = 300,     /* connections at once; checks have one each in any case */
    POSTS_MAX = 16,       /* letters that wait */
    ADDRS_MAX = 4,        /* of a name that are tried */
    REFUSALS_MAX = 64,    /* listeners */
};

struct watch;
struct hook;

/* Mail to one site that is old. */
struct old_site {
    char site[SITE_NAME_MAX], domain[SITE_NAME_MAX], reason[SITE_NAME_MAX];
    size_t site_len, domain_len, reason_len;
    bool domains; /* more than that one */
    bool unsited; /* the name is a domain's */
    int64_t age_ms;
    uint64_t old;
    bool told; /* it has an alarm of its own */
};

/* A name that is being looked up. */
struct where_found {
    const struct netaddr *addrs; /* with ports */
    size_t count;
    bool later;                  /* the DNS could not say */
    struct span why;             /* without addresses */
};
typedef void where_fn(void *ctx, const struct where_found *found);
struct where {
    struct list node;
    struct watch *w;
    uint64_t q;
    where_fn *fn;
    void *ctx;
    struct loop_timer late;
};

/* A connection that is to be made, and to say something. */
struct greet;
typedef void greet_fn(void *ctx, struct span subject, bool bad, struct span why);
struct greet_ask {
    struct span subject;         /* copied */
    const struct netaddr *addrs; /* copied; one that answers is enough */
    size_t count;
    int64_t timeout_ms;          /* for each */
    /* A connection, any SMTP reply, a line that begins with `expect`, an answer to `question`
     * (the name exists). Those are in use until the end. */
    enum { GREET_OPEN, GREET_REPLY, GREET_EXPECT, GREET_ANSWER } want;
    struct span expect;
    const struct dns_question *question;
    greet_fn *fn;                /* once, perhaps at once */
    void *ctx;
    struct greet **slot;         /* NULL, or where it is to be found until then */
};

/* A listener that refuses now. */
struct refusal {
    char listener[CONFIG_CHECK_NAME_MAX + 1];
    int64_t since_ms;
};

/* What failed is tried again later each time; {0} after a success. */
struct again {
    int64_t ms, at_ms; /* it waits so long, until then */
};
void again_later(struct again *a, int64_t now_ms, int64_t first_ms);

struct watch {
    struct role_env *env;
    struct config *config;
    struct alarms *alarms;
    struct channel *qmgr, *resolver, *control, *smtpds[SMTPDS_MAX];
    struct loop_timer look, tell;
    bool started, finishing;
    int64_t born_ms; /* what this process knows of the past begins here */
    /* keep.c */
    bool restored, keep_due;
    int64_t unseen_at_ms; /* what is restored and was not looked at until then is over; 0: done */
    /* facts.c */
    uint64_t next_q, facts_q;
    bool facts_open; /* asked, not answered */
    int64_t unsited_until_ms; /* a qmgr that began does not know yet where old mail goes */
    struct old_site *sites;
    size_t site_count;
    struct {
        int64_t minute; /* which one; 0: empty */
        uint64_t least; /* messages */
    } growth[GROWTH_SLOTS];
    struct deaths { /* what master has told */
        int64_t at_ms[DEATHS_MAX]; /* in no order */
        size_t count;
        char how[DEATH_WORDS_MAX]; /* of the last one */
    } deaths[ROLE_COUNT];
    struct list wheres;
    struct list checks;
    struct refusal refusals[REFUSALS_MAX];
    size_t refusal_count;
    struct list greets;
    size_t greet_count;
    struct list posts;
    size_t post_count;
    struct again again; /* for those that nobody took */
    unsigned smtpd_turn;
    struct hook *hook;
    struct tls_client_ctx *tls;
};

struct alarm_now watch_now(const struct watch *w);
/* One observation; printf-like what was seen (looked at when bad). */
void watch_saw(struct watch *w, enum alarm_kind kind, struct span subject, bool bad,
               const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* What is news is told in a moment. */
void watch_tell(struct watch *w);

/* check.c */
void checks_begin(struct watch *w);
void checks_reload(struct watch *w, struct config *next); /* takes it, not the old one */
void checks_free(struct watch *w);
void checks_say(struct watch *w, struct channel *smtpd);
void checks_looked(struct watch *w, enum alarm_kind kind); /* for what has no look of its own */
/* Which listeners refuse; quiet: it was said before this process. */
void checks_judge(struct watch *w, bool quiet);
bool checks_still(void *ctx, struct span subject); /* ctx: struct watch */
struct json;
/* The listeners that refuse mail because of an alarm that is present: as "refusing", as "a, b". */
void check_put_refusing(const struct watch *w, const struct alarm *a, struct json *j);
void check_put_refusing_names(const struct watch *w, const struct alarm *a, struct buf *b);

/* disk.c */
void disk_look(struct watch *w);

/* facts.c: what qmgr says */
void facts_look(struct watch *w);
void facts_peer(struct watch *w, int fd);
void facts_free(struct watch *w);

/* keep.c: what was told survives this process, at qmgr */
void keep_peer(struct watch *w); /* qmgr is there */
void keep_changed(struct watch *w);
void keep_send(struct watch *w); /* when it is due: when nobody waits for a letter any more */
void keep_look(struct watch *w); /* at each look */
struct msg_kept;
struct msg_kept_end;
void keep_on_kept(struct watch *w, struct channel *ch, const struct msg_kept *m);
void keep_on_kept_end(struct watch *w, struct channel *ch, const struct msg_kept_end *m);

/* where.c: what resolver says */
void where_peer(struct watch *w, int fd);
/* Answers at once for addresses, else later. port: of a hop that names none. k is in use until
 * then; where_stop ends that without an answer. */
void where_ask(struct watch *w, struct where *k, struct span hop, uint16_t port, where_fn *fn,
               void *ctx);
void where_stop(struct where *k);

/* ask.c: a question to a name server, by TCP: 1 it knows the name, 0 more is needed, -1: *why_r */
void ask_put(struct buf *b, const struct dns_question *q, uint16_t id);
int ask_judge(struct span in, const struct dns_question *q, uint16_t id, const char **why_r);

/* greet.c: connections that wait for a greeting */
void greet_begin(struct watch *w, const struct greet_ask *ask);
void greet_stop(struct greet **slot); /* without an answer; fine when there is none */
void greet_look(struct watch *w);     /* our own listeners */
bool greet_still(void *ctx, struct span subject);
void greets_free(struct watch *w);

/* post.c: letters on their way; text is copied */
void post_send(struct watch *w, struct span text);
void posts_again(struct watch *w); /* those that wait */
void posts_reload(struct watch *w); /* the old configuration is about to go */
void posts_free(struct watch *w);
/* Who gets letters, as in a To field. */
void post_put_to(const struct watch *w, struct buf *b);

/* hook.c: alarm.webhook; json is copied */
struct hook *hook_new(struct watch *w); /* before the process is closed in */
void hook_send(struct hook *h, struct span json);
void hook_again(struct hook *h); /* what failed */
void hook_free(struct hook **h);

#endif
