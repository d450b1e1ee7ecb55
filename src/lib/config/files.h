/* files: the only part of config that touches the machine: reading the file, and looking whether
 * what it points to is there (`config check --files`). */
#ifndef POSTERN_CONFIG_FILES_H
#define POSTERN_CONFIG_FILES_H

#include "config/config.h"

/* The whole file, CONFIG_FILE_MAX bytes at most, into text. False fills e. */
bool config_read_file(const char *path, struct buf *text, struct err *e);

/* The directories, certificates, maps and users named by options: those that are missing or
 * cannot be read by this process are errors in the report, where they were named. Users and the
 * chroot directory are only looked at when running as root. */
void config_check_files(const struct config *cfg, struct config_report *report);

#endif
