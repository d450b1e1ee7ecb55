/* story: all there is to know about one recipient: taken in, expanded, and for each address it
 * becomes the next hop and what the DNS says of it. Collected for `postern route`, `sendmail -bv`
 * and -bt. */
#ifndef POSTERN_CLI_STORY_H
#define POSTERN_CLI_STORY_H

#include "cli/ask.h"

enum story_end {
    STORY_DELIVER, /* by SMTP or LMTP to the first address of the plan */
    STORY_LOCAL,   /* a user, a program, a file of this host */
    STORY_WAITS,   /* held, or waits for a queue run */
    STORY_DISCARD,
    STORY_REFUSED, /* 5yz, when it is taken in or at the attempt */
    STORY_LATER,   /* 4yz: put off */
};

struct story_target {
    json_t *given;  /* of accept's targets: borrowed from the story */
    json_t *canon;  /* what the DNS said of its canonical name; NULL: nobody had to ask */
    json_t *route;  /* "route"'s row */
    json_t *lookup; /* "lookup"'s row; NULL: no next hop */
    enum story_end end;
    int exit;       /* 0, or sysexits.h as sendmail -bv has it */
    char why[1200]; /* the closing words */
};

struct story {
    const char *sender, *rcpt;
    json_t *client; /* the client's name in the DNS: {"name","state"}; NULL: not looked for */
    json_t *accept;
    struct story_target *targets;
    size_t n;
    enum story_end end; /* of the whole: the worst */
    int exit;
    char why[1200];
};

struct story_question {
    const char *sender, *rcpt;
    const char *client; /* NULL: a program of this host */
    const char *listener; /* the name of the one it came in by; NULL: not known */
    bool no_lookup;     /* -bv asks for no next hop's addresses */
};

/* False: the question failed, said by a->verb. story_free in either case. */
bool story_ask(struct ask *k, const struct cli_args *a, const struct story_question *q,
               struct story *s_r);
void story_free(struct story *s);

/* Where mail to an address that is in the queue already would go now: nothing is taken in nor
 * expanded again. flags: of "route" (explain/args.h). False: said in ask_text. */
struct story_queued {
    const char *sender, *rcpt;
    bool expanded, released;
};
bool story_target_ask(struct ask *k, const struct story_queued *q, struct story_target *t_r);
/* What the DNS says now of the next hops in hops ("lookup"); none: a socket's file. */
bool story_hops_ask(struct ask *k, struct span hops, struct story_target *t_r);
void story_target_free(struct story_target *t);

/* "5.1.1" (or "4.4.3", or "nouser") as a status of sysexits.h. */
int story_exit_of(struct span code);

#endif
