/* sendmail: the face that sendmail's callers know: its flags, texts and exit codes.
 *
 *   sendmail.c         the modes, and who does them
 *   sendmail_flags.c   the command line
 *   sendmail_options.c the names of its options
 *   sendmail_conf.c    what is taken from the gateway's configuration
 *   sendmail_take.c    the message is read, its recipients and header are settled
 *   sendmail_give.c    it is handed to the gateway's socket, else into the submission spool
 *   sendmail_fail.c    what cannot go: said, mailed back, dead.letter
 *   sendmail_bs.c      -bs; sendmail_bs_away.c: without a gateway
 *   sendmail_daemon.c  -bd, -bD */
#ifndef POSTERN_CLI_SENDMAIL_H
#define POSTERN_CLI_SENDMAIL_H

#include "base/buf.h"

#include <stdint.h>

enum sendmail_mode {
    SENDMAIL_MAIL = 'm',       /* -bm: submit standard input */
    SENDMAIL_SMTP = 's',       /* -bs: SMTP on standard input and output */
    SENDMAIL_VERIFY = 'v',     /* -bv */
    SENDMAIL_QUEUE = 'p',      /* -bp: mailq */
    SENDMAIL_QUEUE_COUNT = 'P',
    SENDMAIL_TEST = 't',       /* -bt */
    SENDMAIL_ALIASES = 'i',    /* -bi: newaliases */
    SENDMAIL_DAEMON = 'd',     /* -bd: into the background */
    SENDMAIL_FOREGROUND = 'D', /* -bD */
    SENDMAIL_HOSTS = 'h',      /* -bh: hoststat */
    SENDMAIL_HOSTS_PURGE = 'H',
};

enum { SENDMAIL_OPTIONS_MAX = 256, SENDMAIL_MATCHES_MAX = 64 };

/* Which messages a queue run takes: -qRsub, -qSsub, -qIsub, -qQsub, each possibly !sub. */
struct sendmail_match {
    char what;        /* R S I Q */
    bool not;
    const char *text; /* of the command line */
};

/* Everything the command line says; texts point into argv. */
struct sendmail_flags {
    const char *name;   /* the program's own name, for messages */
    enum sendmail_mode mode;
    const char *config; /* -C; NULL: the usual one */
    bool verbose;       /* -v */

    /* submission */
    bool recipients_from_header; /* -t */
    bool dot_is_text;            /* -i, -oi */
    const char *sender;          /* -f, -r: as given, without <>; NULL: the caller */
    const char *full_name;       /* -F */
    const char *envid;           /* -V */
    uint8_t notify;              /* -N: enum envelope_notify */
    uint32_t flags;              /* -R -B: ENVELOPE_RET_FULL, _RET_HDRS, _8BITMIME */
    char error_mode;             /* -oe?, -e?: p m e q w */
    char delivery_mode;          /* -od?: b i q d; 0: the configuration says */
    unsigned hops;               /* -h */
    const char *traffic_log;     /* -X */
    const char *tag;             /* -L */
    const char *debug_file;      /* -D */
    bool extract_only;           /* -G: relayed, nothing is to be repaired */

    /* queue: run_asked when any -q was given */
    bool run_asked;
    int64_t run_every_ms;        /* -q30m; 0: one run now */
    bool run_persistent;         /* -qp... */
    bool run_foreground;         /* -qf */
    const char *run_group;       /* -qGname */
    bool run_quarantined;        /* -qQ: those that are held */
    bool quarantine;             /* -Q: hold or (NULL reason) release those that match */
    const char *quarantine_reason;
    struct sendmail_match matches[SENDMAIL_MATCHES_MAX];
    unsigned match_count;

    const char *options[SENDMAIL_OPTIONS_MAX]; /* -O name=value, in order */
    unsigned option_count;
    char *const *args;           /* what is no option; ends with NULL */
    int arg_count;
};

/* Reads argv. EX_OK, or a status of sysexits.h with everything said. */
int sendmail_flags_read(struct sendmail_flags *f, const char *name, int argc, char **argv);
/* -O NAME: EX_OK when sendmail has an option of that name, else it is said that it has not. */
int sendmail_option_known(struct span name);
/* Whether `postern ARG...` is sendmail's command line and no verb of ours. */
bool sendmail_flags_meant(int argc, char **argv);

/* argv[0] counts: sendmail, mailq, newaliases, hoststat, purgestat, smtpd. */
int cli_sendmail(int argc, char **argv);

int sendmail_submit(const struct sendmail_flags *f);
int sendmail_bs(const struct sendmail_flags *f);
int sendmail_daemon(const struct sendmail_flags *f);

#endif
