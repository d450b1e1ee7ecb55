/* What one of our processes reads from another: any bytes through a channel whose types are all
 * messages there are. It must close the channel or decode, and a message that decodes must give
 * the same bytes when it is put again. */
#include "base/must.h"
#include "proto/control.h"
#include "proto/deliver_resolver.h"
#include "proto/lists.h"
#include "proto/master_child.h"
#include "proto/qmgr_deliver.h"
#include "proto/qmgr_router.h"
#include "proto/router_resolver.h"
#include "proto/smtpd_keyring.h"
#include "proto/smtpd_qmgr.h"
#include "proto/smtpd_router.h"

#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define ROUND_TRIP(number, name, FIELDS) \
    static bool handle_##name(void *ctx, struct channel *ch, struct span body, int fd) \
    { \
        struct msg_##name m; \
        struct buf again; \
        (void)ctx; \
        (void)ch; \
        if (fd >= 0 || !msg_##name##_get(body, &m)) \
            return false; \
        buf_init(&again, CHANNEL_FRAME_MAX); \
        msg_##name##_put(&again, &m); \
        MUST(again.len == body.n); \
        buf_free(&again); \
        return true; \
    }
#define ROW(number, name, FIELDS) { number, #name, handle_##name },
#define ALL(M) \
    MASTER_CHILD(M) SMTPD_ROUTER(M) SMTPD_QMGR(M) SMTPD_KEYRING(M) QMGR_ROUTER(M) QMGR_DELIVER(M) \
    DELIVER_RESOLVER(M) ROUTER_RESOLVER(M) CONTROL(M)

ALL(ROUND_TRIP)

static void on_receipt(void *ctx, const struct receipt *r) { *(uint64_t *)ctx += receipt_txn(r); }

static bool handle_committed(void *ctx, struct channel *ch, struct span body, int fd)
{
    (void)ch;
    return fd < 0 && committed_read(body, ctx, on_receipt);
}

static void on_closed(void *ctx, struct channel *ch, const char *why)
{
    (void)ctx;
    (void)ch;
    MUST(why[0]);
}

static const struct channel_type types[] = { ALL(ROW){ MSG_committed, "c", handle_committed } };
static const struct channel_ops ops = { types, sizeof types / sizeof *types, on_closed, NULL };

static void lists(struct span s)
{
    struct wire w = wire_reader(s);
    struct span text;
    struct envelope_rcpt r;
    struct list_verdict v;
    while (list_next_text(&w, &text))
        ;
    w = wire_reader(s);
    while (list_next_rcpt(&w, &r))
        ;
    w = wire_reader(s);
    while (list_next_verdict(&w, &v)) {
        struct wire targets = wire_reader(v.targets);
        while (list_next_target(&targets, &r))
            ;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct loop *l = loop_new();
    uint64_t sum = 0;
    int fds[2];
    lists(span_of(data, n));
    MUST(loop_pair(l, fds) == 0);
    struct channel *ch = channel_new(l, fds[0], "fuzz", &ops, &sum);
    if (n > 100000)
        n = 100000; /* what the socket takes at once */
    MUST(write(fds[1], data, n) == (ssize_t)n);
    shutdown(fds[1], SHUT_WR);
    while (channel_open(ch))
        loop_turn(l, 1000);
    channel_free(&ch);
    close(fds[1]);
    loop_free(&l);
    return 0;
}
