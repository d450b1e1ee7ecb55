/* qmgr alone between played peers: an smtpd that hands it mail, a router that sends all of it to
 * one hub, a deliver that does with each recipient what the recipient's name says. Simulated
 * time, a disk that fails as told, and a ledger of what was said and done about every address.
 *
 *   ok...    delivered                     bad...   refused at RCPT with 550
 *   tmpN...  put off N times, delivered    none...  the router knows no way: 550
 *   down...  no host answers
 *   slow...  answered only by rig_answer_slow, for the first recipient of each job
 *   ...@DOMAIN.mx  goes to that domain's MX hosts, which a played resolver knows (rig_resolver)
 */
#ifndef POSTERN_TESTS_UNIT_QMGR_RIG_H
#define POSTERN_TESTS_UNIT_QMGR_RIG_H

#include "proto/qmgr_deliver.h"
#include "proto/qmgr_resolver.h"
#include "proto/smtpd_qmgr.h"
#include "qmgr/inside.h"
#include "vfs/vfs_faulty.h"

enum { RIG_MAILS_MAX = 256, RIG_RCPTS_MAX = 4, RIG_ADDRESSES_MAX = 1024, RIG_SLOW_MAX = 256 };

struct rig_mail {
    uint64_t txn, seq;
    const char *sender;
    const char *rcpts[RIG_RCPTS_MAX];
    unsigned rcpt_count;
    uint8_t notify, flags[RIG_RCPTS_MAX]; /* enum envelope_rcpt_flag */
    uint32_t envelope_flags;
    const char *hold; /* quarantined for that */
    size_t extra_bytes; /* content beyond a few lines; streamed when it is large */
    bool sent, committed, refused;
    unsigned code; /* of the refusal */
};

struct rig_address {
    char text[128];
    unsigned delivered, reported, delayed, success, tries;
};

struct rig_slow {
    uint64_t job;
    struct rig_address *address;
};

struct rig {
    struct loop *l;
    struct vfs *disk;
    const char *postmaster;
    struct role_env env;
    struct qmgr *q; /* NULL: not running */
    struct channel *smtpd, *router, *resolver, *deliver, *stranger;
    const char *more; /* of the configuration */
    const char *site; /* of every domain; "": none has one; NULL: resolver does not answer */
    uint32_t ttl_s;
    unsigned sites_asked;
    bool done;
    uint64_t ids, ids_left, next_txn;
    struct rig_mail mails[RIG_MAILS_MAX];
    size_t mail_count;
    struct rig_address addresses[RIG_ADDRESSES_MAX];
    size_t address_count;
    struct rig_slow slow_jobs[RIG_SLOW_MAX]; /* they wait for rig_answer_slow */
    size_t slow_count;
    uint64_t extent_bytes, taken_bytes; /* sent by our smtpd; said by qmgr to be taken */
    char report[32768]; /* the last one that was delivered */
    bool mute;  /* router does not say who gets a report */
    bool silent; /* deliver does not say where its jobs are */
    bool drips; /* router answers one question per 10 ms, the last first */
    struct { uint64_t q; struct span rcpt; } drops[RIG_SLOW_MAX];
    size_t drop_count;
    struct loop_timer drip;
    unsigned jobs;
    unsigned altered; /* deliveries whose content was not what was sent */
};

struct rig *rig_new(uint64_t seed);
struct rig *rig_new_with(uint64_t seed, const char *postmaster);
struct rig *rig_new_config(uint64_t seed, const char *more); /* and so much more of it */
void rig_free(struct rig **r);

void rig_start(struct rig *r);  /* qmgr and its peers; false in r->q when the spool cannot open */
void rig_kill(struct rig *r);   /* kill -9 */
void rig_new_deliver(struct rig *r); /* the old one died */
void rig_new_router(struct rig *r);
void rig_resolver(struct rig *r);    /* there is one from now on, until rig_kill */
void rig_reboot(struct rig *r, uint64_t seed); /* power failure, then kill and start */

struct rig_mail *rig_mail(struct rig *r, const char *sender, const char *rcpt);
void rig_also(struct rig_mail *m, const char *rcpt);
bool rig_send(struct rig *r, struct rig_mail *m); /* false: no id can be had */
void rig_run(struct rig *r, int64_t ms);          /* simulated */
void rig_turn(struct rig *r);
void rig_answer_slow(struct rig *r, uint8_t result); /* enum smtp_result */
/* Another smtpd or deliver, which says what the test lets it say. */
struct channel *rig_stranger(struct rig *r, enum role_id role);

struct rig_address *rig_address(struct rig *r, const char *text);
/* NULL, or the first address of an accepted message that is neither delivered nor reported; or of
 * a refused one that went out. */
const char *rig_wrong(struct rig *r);
/* As rig_wrong, and nothing more than once. */
const char *rig_twice(struct rig *r);

#endif
