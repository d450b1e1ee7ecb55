/* bed: an owner for one SMTP server session in tests: it keeps unconsumed input as smtpd does,
 * answers questions by rule, at once or when told, and counts what must balance. */
#ifndef POSTERN_TESTS_DIALOG_BED_H
#define POSTERN_TESTS_DIALOG_BED_H

#include "smtp/server.h"

enum { BED_RULES_MAX = 16, BED_ITEMS_MAX = 128, BED_TEXT_MAX = 256 };

struct bed_rule {
    char key[BED_TEXT_MAX]; /* an address as the envelope has it, or the name of a hook */
    char text[BED_TEXT_MAX];
    struct reply reply;
};

struct bed {
    struct smtp_server_config config;
    struct smtp_server_client client;
    struct smtp_server_time now;
    struct smtp_server *s;

    /* what to do */
    unsigned late;          /* SMTP_ASK bits: answer only when bed_answer is called */
    struct bed_rule rules[BED_RULES_MAX];
    size_t rule_count;
    bool no_lease, hold_commit, bytewise;
    struct bed_rule refuse_commit; /* reply.code 0: it succeeds */
    size_t credit_bytes;    /* content taken before credit is used up */

    /* what happened */
    uint64_t question;      /* the last one's id; open until answered */
    enum smtp_server_hook hook;
    size_t items;
    char keys[BED_ITEMS_MAX][BED_TEXT_MAX]; /* what the rules are looked up by */
    unsigned asked[SMTP_HOOKS];
    uint64_t seq, txn;      /* of the last lease */
    bool committing;
    unsigned leased, accepted, ended[4];
    unsigned handshakes;
    struct buf kept, out, content, head, events;
    uint64_t committed_bytes;
};

void bed_init(struct bed *b);  /* config and client may then be changed */
void bed_start(struct bed *b); /* the connection is there */
void bed_free(struct bed *b);
/* Makes a reply of "CODE ENHANCED TEXT" into r. False: malformed. */
bool bed_rule_set(struct bed_rule *r, struct span key, struct span reply);
bool bed_rule_add(struct bed *b, struct span key, struct span reply);

void bed_input(struct bed *b, struct span bytes);
/* Answers question `id` by the rules; what smtp_server_answer returned. */
bool bed_answer(struct bed *b, uint64_t id);
bool bed_committed(struct bed *b);
bool bed_refused(struct bed *b, const struct bed_rule *why);
bool bed_resume(struct bed *b);
bool bed_tls(struct bed *b);
void bed_clock(struct bed *b, int64_t ms); /* forward, ticking at each deadline on the way */
/* Input that waits is given again, output is taken out. Every call above ends with it. */
void bed_pump(struct bed *b);

#endif
