/* postern retry: tries what waits for a domain, an address or by an id now, and shows it. */
#ifndef POSTERN_CLI_RETRY_H
#define POSTERN_CLI_RETRY_H

int cli_retry(int argc, char **argv);

#endif
