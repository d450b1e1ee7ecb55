/* postern why: where a message is and why, what happened, what holds it back, what would happen
 * now, and what can be done. */
#ifndef POSTERN_CLI_WHY_H
#define POSTERN_CLI_WHY_H

#include "cli/story.h"
#include "cli/why_log.h"

int cli_why(int argc, char **argv);

enum { WHY_ROUTES_MAX = 8, WHY_TEXT_MAX = 1200 };

/* What router and DNS say now of recipients that had the same destination. */
struct why_route {
    json_t *rcpt; /* the first of them: borrowed from the rows */
    struct story_target target;
    bool asked;   /* else `error` says why there is no answer */
    bool late;    /* ... as it was not waited for any longer */
    char error[WHY_TEXT_MAX];
    bool moved;   /* the next hop is another than before */
    bool forced;  /* an administrator has rerouted it: the tables were not asked */
};

struct why {
    const char *target;
    json_t *now, *message, *group;       /* rows of qmgr (qmgr/admin_why.c); one of the last two */
    json_t *frozen; /* row; when nothing waits for it */
    json_t *rule;   /* row; its mail is sent another way */
    json_t *rerouted; /* the log's event: who sent the message another way; or NULL */
    json_t *to_hold, *to_delete; /* ... who wants that when its attempt has ended */
    json_t *servers; /* array: {"server", "type", "name", "said"}; NULL: not asked */
    /* arrays of rows */
    json_t *rcpts, *reasons, *places, *attempts, *deliveries, *hosts, *domains;
    struct why_route routes[WHY_ROUTES_MAX];
    size_t route_count;
    json_t *stands_for; /* array of {"address","messages"}: of an alias; NULL: not asked */
    int64_t sent; /* messages in the queue from an address that nothing waits for */
    int64_t from_client; /* ... from a client's IP address */
    bool resolver_away, gateway_silent; /* seen while asking */
    bool log_read;
    struct why_log log; /* what it says of what is not in the queue */
    int64_t now_ms;
    int exit;
};

/* why_ask.c. False: said, with w->exit. why_free in either case. slow is called when all is known
 * but where it would go now, and the DNS or tables do not say that at once; NULL: nobody waits. */
bool why_ask(struct ask *k, const struct cli_args *a, const char *target, struct why *w_r,
             void (*slow)(void *ctx), void *ctx);
void why_free(struct why *w);
json_t *why_json(const struct why *w, const struct ask *k);

/* why_dns.c: blocks for two seconds at most; the caller's. */
json_t *why_ask_servers(const struct why *w, const struct config *cfg);

/* why_show.c. What came before the slow part is shown, or comes after it, or all. */
enum why_part { WHY_WHOLE, WHY_FACTS, WHY_REST };
struct why_page {
    unsigned width; /* in columns */
    bool colour, verbose;
    enum why_part part;
};
void why_show(struct buf *out, const struct why *w, const struct ask *k,
              const struct why_page *page);

#endif
