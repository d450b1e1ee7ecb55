/* `postern config import`: a .mc as a configuration of our own. */
#ifndef POSTERN_CLI_CONFIG_IMPORT_H
#define POSTERN_CLI_CONFIG_IMPORT_H

/* argv[0] is "import"; file: NULL, or what stood behind a -C before it. Returns a status of
 * sysexits.h. */
int cli_config_import(const char *file, int argc, char **argv);

#endif
