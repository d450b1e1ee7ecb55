#include "submit/where.h"

/* PATH's directory and "submit"; where the last part is not the usual one it stays in the name:
 * there may be others of its kind beside it. */
static void put_beside(struct buf *b, struct span path, bool usual)
{
    size_t slash = span_rfind(path, '/');
    if (usual) {
        buf_puts(b, span_to(path, slash + 1));
        buf_putz(b, "submit");
    } else {
        buf_puts(b, path);
        buf_putz(b, ".submit");
    }
}

void submit_put_socket(struct buf *b, const struct config *cfg)
{
    struct span socket = cfg->control.socket;
    if (cfg->submit.socket.n)
        buf_puts(b, cfg->submit.socket);
    else
        put_beside(b, socket, span_ends(socket, SPAN("/control")));
}

void submit_put_directory(struct buf *b, const struct config *cfg)
{
    if (cfg->submit.directory.n) {
        buf_puts(b, cfg->submit.directory);
        return;
    }
    struct span first = cfg->spool.directories.n ? cfg->spool.directories.v[0] : SPAN_NONE;
    while (first.n > 1 && first.p[first.n - 1] == '/')
        first.n--;
    struct span last = span_from(first, span_rfind(first, '/') + 1);
    if (span_starts(last, SPAN("*"))) { /* "submit" would be one of the spool's */
        buf_puts(b, span_to(first, first.n - last.n));
        buf_putz(b, ".submit");
        return;
    }
    put_beside(b, first, span_starts(last, SPAN("q")) || span_find(last, '*') < last.n);
}
