/* postern alarms: what is wrong with the running gateway. */
#ifndef POSTERN_CLI_ALARMS_H
#define POSTERN_CLI_ALARMS_H

int cli_alarms(int argc, char **argv);

#endif
