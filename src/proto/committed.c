#include "proto/smtpd_qmgr.h"
#include "receipt/mint.h"

void send_committed(struct channel *ch, const struct receipt *r)
{
    struct buf *b = channel_begin(ch, MSG_committed);
    wire_put_u64(b, receipt_txn(r));
    wire_put_u64(b, receipt_seq(r));
    channel_end(ch);
}

bool committed_read(struct span body, void *ctx, void (*fn)(void *ctx, const struct receipt *r))
{
    struct wire w = wire_reader(body);
    uint64_t txn = wire_get_u64(&w), seq = wire_get_u64(&w);
    if (!wire_done(&w))
        return false;
    struct receipt r = receipt_mint(txn, seq);
    fn(ctx, &r);
    return true;
}
