#include "dns/servers.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

size_t dns_servers_from_resolv_conf(struct span text, struct netaddr servers[DNS_SERVERS_MAX])
{
    size_t n = 0;
    while (text.n && n < DNS_SERVERS_MAX) {
        size_t end = span_find(text, '\n');
        struct span line = span_trim_lines(span_to(text, end));
        text = span_from(text, end + 1);
        if (!span_eq(span_word(&line), SPAN("nameserver")))
            continue;
        if (netaddr_parse_ip(span_word(&line), &servers[n])) {
            servers[n].port = 53;
            n++;
        }
    }
    if (!n) {
        netaddr_parse(SPAN("127.0.0.1"), 53, &servers[0], NULL);
        n = 1;
    }
    return n;
}

bool dns_servers_read(const char *path, struct netaddr servers[DNS_SERVERS_MAX], size_t *n_r,
                      struct err *e)
{
    char text[16384];
    ssize_t n = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        n = read(fd, text, sizeof text); /* a longer file is none a resolver wrote */
        close(fd);
    }
    if (n < 0 || (fd < 0 && errno != ENOENT)) {
        err_errno(e, "%s", path);
        return false;
    }
    *n_r = dns_servers_from_resolv_conf(span_of(text, (size_t)n), servers);
    return true;
}
