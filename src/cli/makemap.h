/* `makemap` and `postern makemap`: from sendmail's text format to a compiled table, and back. */
#ifndef POSTERN_CLI_MAKEMAP_H
#define POSTERN_CLI_MAKEMAP_H

/* argv[0] is the verb itself. Returns an exit status of sysexits.h. */
int cli_makemap(int argc, char **argv);

#endif
