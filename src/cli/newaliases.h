/* `newaliases`, and `sendmail -bi`: reads the aliases and says what is wrong with them. There is
 * nothing to build: the gateway reads the text. */
#ifndef POSTERN_CLI_NEWALIASES_H
#define POSTERN_CLI_NEWALIASES_H

/* argv[0] is the name it was called by; -bi among the arguments is passed over. Returns an exit
 * status of sysexits.h: EX_SOFTWARE when lines were bad, as sendmail does. */
int cli_newaliases(int argc, char **argv);

#endif
