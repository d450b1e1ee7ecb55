/* dest: where a recipient goes, the result of a route. */
#ifndef POSTERN_ROUTE_DEST_H
#define POSTERN_ROUTE_DEST_H

#include "base/arena.h"
#include "base/json.h"
#include "base/wire.h"
#include "dns/hop.h"

enum route_mailer {
    ROUTE_RELAY,   /* SMTP to a hop we were told; as esmtp */
    ROUTE_ESMTP,   /* SMTP with EHLO */
    ROUTE_SMTP,    /* SMTP with HELO only */
    ROUTE_SMTP8,   /* as esmtp */
    ROUTE_DSMTP,   /* as esmtp */
    ROUTE_LMTP,    /* LMTP: hops (with port 24 where none is written), or the socket `path` */
    ROUTE_LOCAL,   /* delivered on this host */
    ROUTE_PROGRAM, /* |program of an alias */
    ROUTE_FILE,    /* /file of an alias */
    ROUTE_ERROR,   /* refused (5yz) or put off (4yz) with a text of the admin's */
    ROUTE_DISCARD, /* accepted and thrown away */
    ROUTE_HOLD,    /* parked until somebody releases it */
    ROUTE_MAILERS
};

enum { ROUTE_TEXT_MAX = 1024, ROUTE_KEY_MAX = DNS_HOPS_TEXT_MAX + 16 };

struct route_dest {
    enum route_mailer mailer;
    struct dns_hop *hops;  /* RELAY ... LMTP: to be tried from left to right */
    size_t hop_count;
    struct span user;      /* LOCAL: to whom, without quotes */
    struct span detail;    /* LOCAL: what stood behind the "+" of user+detail */
    struct span path;      /* LMTP: a UNIX socket, no hops; FILE; PROGRAM: its command line */
    uint16_t reply;        /* ERROR: 550, 451 ... */
    struct span code;      /* ERROR: "5.7.1" */
    struct span text;      /* ERROR: what the sender reads; HOLD: the reason */
    struct span matched;   /* what decided: "mailertable gmail.com", "smart_host", "mx" ... */
    /* One key for all recipients that may share a queue and a connection: "mx:gmail.com",
     * "host:[127.0.0.1]:2600", "list:[a]:[b]", "smtp+mx:old.example", "lmtp+host:[a]:24",
     * "lmtp:/run/lmtp", "listener:capture", "local:ann+list",
     * "hold" ... */
    struct span queue;
    /* The first next hop is this listener of ours: nothing is sent, the mail waits as mail that
     * came by that listener does. Empty = no. */
    struct span own_listener;
    uint8_t own_delivery;  /* enum config_delivery of that listener, never CONFIG_DELIVER */
};

/* SMTP or LMTP to hops (or to d->path). */
static inline bool route_dest_has_hops(const struct route_dest *d)
{
    return d->mailer <= ROUTE_LMTP;
}

const char *route_mailer_name(enum route_mailer m); /* "relay" ... */
bool route_mailer_from(struct span name, enum route_mailer *m_r); /* any case */

/* "relay:[a]:[b]", "error:5.7.1:550 text": can be read again by route_value. */
void route_dest_put_value(struct buf *out, const struct route_dest *d);
/* The members "dest", "hops" (to ask the resolver about) and "value" of an answer about a route. */
void route_dest_show_json(struct json *j, const struct route_dest *d);

/* Sets d->queue from the rest. False: a is full. */
bool route_dest_make_queue(struct route_dest *d, struct arena *a);

/* The binary form. */
void route_dest_put(struct buf *out, const struct route_dest *d);
/* Spans point into w's bytes or a. False: malformed, or a is full. */
bool route_dest_get(struct wire *w, struct arena *a, struct route_dest *d_r);

#endif
