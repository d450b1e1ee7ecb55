/* SMTP servers of the simulation: one connection is a hop, and what the server says otherwise
 * than it should is its owner's, who is asked at each stage. */
#ifndef POSTERN_TESTS_SIM_HOP_H
#define POSTERN_TESTS_SIM_HOP_H

#include "world.h"

enum { HOP_RCPTS_MAX = 16 };

/* AT_END: all of the content is there; AT_TAKEN: and the server has it now. */
enum stage { AT_CONNECT, AT_HELO, AT_MAIL, AT_RCPT, AT_DATA, AT_END, AT_TAKEN, STAGES };

/* What happens in place of the ordinary reply. */
struct deed {
    const char *reply; /* with CRLF; NULL: none */
    bool stall;        /* what comes is read and not listened to any more */
    bool deaf;         /* nor read */
    bool close;        /* when the reply is out */
    bool reset;        /* at once */
};

struct hop_server;

struct hop {
    struct list node; /* in server->hops */
    struct hop_server *server;
    int fd;
    struct loop_io io;
    struct loop_timer timer, thought, sip;
    struct buf in, out, content;
    bool in_mail, in_data, stalled, deaf, closing;
    bool thinks; /* what it has to say waits */
    bool sips;   /* nothing is read for a while */
    bool leaves; /* gone without a word after the next message */
    size_t chunk_left;
    bool in_chunk, chunk_last;
    char sender[256];
    char rcpts[HOP_RCPTS_MAX][ADDRESS_MAX]; /* AT_RCPT the last one is asked about */
    size_t rcpt_count;
    int own[2]; /* the owner's */
};

struct hop_ops {
    void (*begin)(struct hop *h); /* may be NULL */
    bool (*at)(struct hop *h, enum stage at, struct deed *d_r); /* false: as it should be */
    void (*taken)(struct hop *h);
    int64_t (*think_ms)(struct hop *h); /* before this answer; may be NULL */
};

struct hop_server {
    struct world *w;
    const struct hop_ops *ops;
    void *owner;
    const char *extensions; /* lines of EHLO's reply behind the first; NULL: HELO only */
    size_t sip_bytes;       /* read at a time, once in sip_ms; 0: no limit */
    int64_t sip_ms;
    struct netaddr at;
    int fd; /* -1: nobody listens */
    struct loop_io io;
    struct list hops;
};

/* The fields up to sip_ms are the caller's to fill in before. */
void hop_server_open(struct hop_server *k, const struct netaddr *at);
void hop_server_close(struct hop_server *k); /* with all connections; may be opened again */
/* Connections the other side has not closed. */
unsigned hop_server_connections(const struct hop_server *k);

#endif
