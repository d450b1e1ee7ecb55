/* send_run: one session of `postern send`, for send*.c only. */
#ifndef POSTERN_CLI_SEND_RUN_H
#define POSTERN_CLI_SEND_RUN_H

#include "base/json.h"
#include "base/netaddr.h"
#include "smtp/client.h"

enum { SEND_RCPTS_MAX = 1000, SEND_ADDRS_MAX = 16, SEND_HOST_MAX = 256 };

struct send_options {
    char host[SEND_HOST_MAX];
    struct netaddr addrs[SEND_ADDRS_MAX]; /* tried in order until one connects */
    size_t addr_count;
    struct span sender, helo;
    struct envelope_rcpt rcpts[SEND_RCPTS_MAX];
    size_t rcpt_count;
    struct span content;
    uint32_t flags;          /* ENVELOPE_8BITMIME, ENVELOPE_SMTPUTF8 */
    bool raw, lmtp, bdat, quiet, json;
    enum smtp_client_tls tls;
    int64_t timeout_ms;      /* each step; 0: RFC 5321's */
};

struct send_result {
    enum smtp_result result;
    int code;
    char *text; /* the reply, or our words; owned */
};

/* Fills one result for each recipient (text to be freed); prints the dialogue unless quiet or
 * json; with json, appends its lines as elements of an open array. */
void send_run(const struct send_options *o, struct send_result *results, struct json *steps);

/* The addresses of a host name, asked of DNS (never of NSS); "localhost" is known (RFC 6761).
 * False: `e` says why. */
bool send_lookup(struct send_options *o, const char *name, uint16_t port, struct err *e);

#endif
