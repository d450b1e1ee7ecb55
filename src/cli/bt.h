/* sendmail -bt and -bv: what would happen to an address, in sendmail's words.
 *
 *   bt.c          the session: prompt, lines, the commands
 *   bt_world.c    what the rules ask: the gateway's tables and DNS
 *   bt_address.c  rule sets on an address, /parse, /try, and where the gateway differs
 *   bv.c          -bv */
#ifndef POSTERN_CLI_BT_H
#define POSTERN_CLI_BT_H

#include "bt/bt.h"
#include "cli/story.h"

/* config NULL: the usual file. argv: the command line, of which -d is read. Reads standard
 * input. Returns a status of sysexits.h. */
int cli_bt(const char *config, const char *sender, int argc, char *const *argv);

/* addrs: what is to be verified. */
int cli_bv(const char *config, const char *sender, bool verbose, char *const *addrs, int n);

/* --- for the files above --- */

enum { BT_LINE_MAX = 4096, BT_MACROS = 64 };

struct bt_macro {
    char name[64];
    char *value;
};

struct bt_session {
    struct cli_args args;
    struct ask *ask;
    struct bt bt;
    struct buf out;
    struct bt_macro macros[BT_MACROS];
    size_t macro_count;
    struct bt_macro classes[BT_MACROS]; /* one value of a class each */
    size_t class_count;
    bool header, sender_side; /* /tryflags */
    signed char has[4];       /* tables in use: -1 unknown */
    int status;               /* what the session ends with */
};

/* EX_OK or a status, said. verb: "sendmail -bt", for messages. */
int bt_session_open(struct bt_session *s, const char *verb, const char *config,
                    const char *sender);
void bt_session_close(struct bt_session *s);

const char *bt_macro(const struct bt_session *s, struct span name); /* NULL: undefined */
void bt_macro_set(struct bt_session *s, struct span name, struct span value);

/* One question to the DNS: {"status",...}, the caller's; NULL: it cannot be asked. */
json_t *bt_dns(struct bt_session *s, struct span name, const char *type);
/* 1 found, 0 not there, -1 cannot say, -2 no such table. Lives as long as the line. */
int bt_find(struct bt_session *s, struct span table, struct span key, struct span *value_r);

void bt_rule_line(struct bt_session *s, struct span sets, struct span addr); /* "3,0" "user@dom" */
void bt_parse_line(struct bt_session *s, struct span addr);
void bt_try_line(struct bt_session *s, struct span args);

/* What a result says: "mailer esmtp, host gmail.com., user user@gmail.com". user is already
 * unfocused. */
struct bt_result {
    struct span mailer, host, user;
};
struct bt_result bt_result_of(struct bt *t, struct toks out);

#endif
