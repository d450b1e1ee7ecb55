/* Nobody listens, or only says "later": the letter goes into the submission spool, by our own
 * hand where we may write there, else by that of the set-gid helper. */
#include "cli/sendmail_letter.h"

#include "base/must.h"
#include "submit/drop.h"
#include "submit/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef POSTERN_LIBEXECDIR
#define POSTERN_LIBEXECDIR "/usr/libexec/postern"
#endif
#define HELPER "postern-drop"

enum { PIECE_BYTES = 64 << 10, PATH_BYTES = 4096 };

static bool put_head(const struct letter *l, struct store *to)
{
    struct buf head;
    struct envelope_rcpt *rcpts = must_calloc(l->rcpt_count + 1, sizeof *rcpts);
    struct submit_file file = { .sender = l->sender, .envid = l->envid, .flags = l->flags,
                                .rcpts = rcpts, .size_bytes = l->header.len + l->body.size };
    for (size_t i = 0; i < l->rcpt_count; i++)
        if (l->rcpts[i].state == LETTER_OPEN)
            rcpts[file.rcpt_count++] = l->rcpts[i].rcpt;
    buf_init(&head, SUBMIT_HEAD_MAX);
    bool ok = submit_file_put(&head, &file) && store_put(to, buf_span(&head));
    buf_free(&head);
    free(rcpts);
    return ok;
}

static bool put_content(const struct letter *l, struct store *to)
{
    char bytes[PIECE_BYTES];
    uint64_t at = 0;
    for (;;) {
        ssize_t n = letter_read(l, at, bytes, sizeof bytes);
        if (n <= 0)
            return n == 0;
        if (!store_put(to, span_of(bytes, (size_t)n)))
            return false;
        at += (uint64_t)n;
    }
}

/* A descriptor that stands at the beginning of it all. */
static int as_file(struct store *s)
{
    int fd = s->fd;
    if (fd < 0) {
        fd = memfd_create("submission", MFD_CLOEXEC);
        if (fd < 0 || write(fd, buf_span(&s->mem).p, s->mem.len) != (ssize_t)s->mem.len)
            return fd >= 0 ? (close(fd), -1) : -1;
        s->fd = fd;
    }
    return lseek(fd, 0, SEEK_SET) == 0 ? fd : -1;
}

/* The installed helper; where nothing is installed, the one built beside this program. */
static void run_helper(const char *directory)
{
    char self[PATH_BYTES], path[PATH_BYTES + sizeof HELPER];
    char *const args[] = { (char *)HELPER, (char *)directory, NULL };
    char *const none[] = { NULL };
    execve(POSTERN_LIBEXECDIR "/" HELPER, args, none);
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(self, '/');
    if (slash) {
        *slash = '\0';
        snprintf(path, sizeof path, "%s/%s", self, HELPER);
        execve(path, args, none);
    }
    _exit(127);
}

static bool by_helper(const char *directory, int from, struct err *err)
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        dup2(from, STDIN_FILENO);
        run_helper(directory);
    }
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return true;
    if (pid < 0)
        err_errno(err, "fork");
    else if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        err_set(err, "%s is not writable for this user, and " HELPER " is not installed",
                directory);
    else
        err_set(err, HELPER " could not write to %s", directory);
    return false;
}

static bool drop(const char *directory, int from, struct err *err)
{
    if (access(directory, R_OK | W_OK | X_OK) == 0)
        return drop_message(directory, from, 0, err);
    if (errno == EACCES)
        return by_helper(directory, from, err);
    err_errno(err, "%s", directory);
    return false;
}

bool letter_drop(struct letter *l, struct err *err)
{
    struct store all;
    store_init(&all);
    int fd = put_head(l, &all) && put_content(l, &all) ? as_file(&all) : -1;
    bool ok = false;
    if (fd < 0)
        err_errno(err, "the message cannot be written");
    else
        ok = drop(l->conf->directory, fd, err);
    for (size_t i = 0; ok && i < l->rcpt_count; i++) {
        if (l->rcpts[i].state != LETTER_OPEN)
            continue;
        l->rcpts[i].state = LETTER_TAKEN;
        if (l->f->verbose)
            printf("%.*s... queued in %s\n", SPAN_ARG(l->rcpts[i].rcpt.addr), l->conf->directory);
    }
    store_free(&all);
    return ok;
}
