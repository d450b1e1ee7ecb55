/* For tests: a verb of the command line as it is called: what it prints where, and its status. */
#ifndef POSTERN_TESTS_UNIT_VERB_H
#define POSTERN_TESTS_UNIT_VERB_H

#include "base/must.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OUTPUT_MAX = 1 << 18 };

struct run {
    int status; /* -1: it did not exit */
    char out[OUTPUT_MAX], err[OUTPUT_MAX]; /* NUL-terminated */
};

static void take_output(FILE *f, char *to)
{
    rewind(f);
    to[fread(to, 1, OUTPUT_MAX - 1, f)] = '\0';
    fclose(f);
}

/* Calls the verb in a child; args ends with NULL. Valid until the next call. */
static struct run *run(int (*verb)(int, char **), const char *const *args)
{
    static struct run r;
    FILE *out = tmpfile(), *err = tmpfile();
    int argc = 0, status = 0;
    MUST(out && err);
    while (args[argc])
        argc++;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(fileno(out), 1);
        dup2(fileno(err), 2);
        int rc = verb(argc, (char **)args);
        fflush(stdout);
        _exit(rc);
    }
    waitpid(pid, &status, 0);
    r.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    take_output(out, r.out);
    take_output(err, r.err);
    return &r;
}

#endif
