/* check: what texts may look like, by kind. Each is a config_check_fn (table.h): it completes
 * the sentence "NAME ...". */
#ifndef POSTERN_CONFIG_CHECK_H
#define POSTERN_CONFIG_CHECK_H

#include "base/err.h"
#include "base/span.h"

bool check_host(struct span s, struct err *e);    /* a domain name: mx1.example.net */
bool check_domain(struct span s, struct err *e);  /* the same, also ".example.net" */
bool check_mailbox(struct span s, struct err *e); /* postmaster@example.net, or postmaster */
bool check_path(struct span s, struct err *e);    /* absolute */
bool check_map(struct span s, struct err *e);     /* "text:/path" */
bool check_users(struct span s, struct err *e);   /* passwd, any, or a map */
bool check_next_hop(struct span s, struct err *e); /* [host]:port, host:port, [1.2.3.4] */
bool check_user(struct span s, struct err *e);
bool check_delivery(struct span s, struct err *e); /* mail/delivery.h */
bool check_label(struct span s, struct err *e);   /* of a section; log tag */
bool check_instance(struct span s, struct err *e); /* what may stand in our Received lines */
bool check_connect(struct span s, struct err *e); /* host:port, [1.2.3.4]:port */
bool check_webhook(struct span s, struct err *e); /* http://..., https://... */
bool check_printable(struct span s, struct err *e); /* one line of ASCII text */

#endif
