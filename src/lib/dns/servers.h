/* servers: whom to ask: dns.servers, or the nameservers of /etc/resolv.conf, whose text is read
 * here and nothing else of it (no search list, no options: host names in mail are whole). */
#ifndef POSTERN_DNS_SERVERS_H
#define POSTERN_DNS_SERVERS_H

#include "base/netaddr.h"

enum { DNS_SERVERS_MAX = 16 };

/* The nameserver lines, each with port 53. Those with a zone (fe80::1%eth0) and nonsense are
 * passed over. No line at all means 127.0.0.1, as resolv.conf(5) says. */
size_t dns_servers_from_resolv_conf(struct span text, struct netaddr servers_r[DNS_SERVERS_MAX]);

/* Reads the file; false and e when it cannot be read. A missing file is 127.0.0.1. */
bool dns_servers_read(const char *path, struct netaddr servers_r[DNS_SERVERS_MAX], size_t *n_r,
                      struct err *e);

#endif
