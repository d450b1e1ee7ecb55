/* What became of mail that is gone, in plain words: read out of the events that the log has. */
#include "cli/log_parts.h"
#include "cli/term.h"
#include "cli/why_words.h"

enum { FATES_SHOWN = 12, NAMES_SHOWN = 5 };

static bool is_end(const json_t *e)
{
    return why_is(e, "event", "delivered") || why_is(e, "event", "failed");
}

/* What is known of a recipient, the later of two. */
static bool is_word(const json_t *e)
{
    static const char *const names[] = { "delivered", "failed", "deferred", "outcome_unknown",
                                         "held",      "routed", "discarded" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (why_is(e, "event", names[i]))
            return true;
    return false;
}

static bool same_one(const json_t *a, const json_t *b)
{
    return span_eq(row_text(a, "id"), row_text(b, "id")) &&
           span_eq(row_text(a, "to"), row_text(b, "to"));
}

/* The last event of this kind about the message; NULL: there is none. */
static const json_t *find(const struct why_show *s, const char *event, struct span id)
{
    const json_t *events = s->w->log.events;
    for (size_t i = json_array_size(events); i > 0; i--) {
        const json_t *e = json_array_get(events, i - 1);
        if (why_is(e, "event", event) && span_eq(row_text(e, "id"), id))
            return e;
    }
    return NULL;
}

/* Each recipient's last word, in the order of the log: borrowed events; the caller's. */
static json_t *last_words(const struct why_show *s)
{
    const json_t *events = s->w->log.events;
    json_t *list = json_array();
    for (size_t i = 0; i < json_array_size(events); i++) {
        json_t *e = json_array_get(events, i);
        if (!is_word(e) || !row_text(e, "to").n)
            continue;
        for (size_t k = json_array_size(list); k > 0; k--)
            if (same_one(json_array_get(list, k - 1), e))
                json_array_remove(list, k - 1);
        json_array_append(list, e);
    }
    return list;
}

static void put_when(struct why_show *s, const json_t *e)
{
    int64_t at_ms = log_event_ms(row_text(e, "time"));
    buf_putc(s->out, ' ');
    if (at_ms)
        why_put_when(s, at_ms);
    else
        why_put(s, row_text(e, "time"));
}

/* The "reason" of a failure was said by nobody there. */
static struct span words_of(const json_t *e)
{
    static const char *const keys[] = { "reply", "stat", "reason", "text" };
    bool failed = why_is(e, "event", "failed");
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (row_text(e, keys[i]).n && !(failed && i > 1))
            return row_text(e, keys[i]);
    return SPAN_NONE;
}

static void put_said(struct why_show *s, const json_t *e)
{
    struct span said = words_of(e);
    bool ours = said.n && !row_text(e, "reply").n;
    if (ours && said.p[said.n - 1] == '.') /* the sentence goes on */
        said = span_to(said, said.n - 1);
    if (said.n) {
        buf_putz(s->out, ": ");
        why_put(s, said);
    }
}

static void put_at(struct why_show *s, const json_t *e, const char *before)
{
    struct span relay = row_text(e, "relay");
    if (!relay.n)
        return;
    buf_putz(s->out, before);
    why_put(s, relay);
}

static void put_delivered(struct why_show *s, const json_t *e)
{
    bool expanded = why_is(e, "mailer", "expanded");
    buf_putz(s->out, expanded ? " was expanded" : " was delivered");
    put_when(s, e);
    if (expanded) {
        put_said(s, e);
        return;
    }
    if (row_text(e, "relay").n) {
        put_at(s, e, " to ");
    } else if (row_text(e, "mailer").n) {
        buf_putz(s->out, " by ");
        why_put(s, row_text(e, "mailer"));
    }
    put_said(s, e);
}

/* True: nobody there has refused it, it was somebody's wish, or its time was over. */
static bool put_end(struct why_show *s, const json_t *e)
{
    struct span why = row_text(e, "reason");
    const json_t *by = find(s, "admin_bounced", row_text(e, "id"));
    by = by ? by : find(s, "admin_expired", row_text(e, "id"));
    bool wanted = span_starts(why, SPAN("wanted by ")) || (!why.n && by);
    bool over = !wanted && why_is(e, "dsn", "4.4.7");
    if (wanted && why.n) {
        buf_putz(s->out, ", as ");
        why_put(s, why);
    } else if (wanted) {
        buf_putz(s->out, " as ");
        why_put(s, row_text(by, "text"));
        buf_putz(s->out, " wanted");
    } else if (over) {
        buf_putz(s->out, ", as its time was over after ");
        term_put_age(s->out, row_int(e, "delay_ms"));
        buf_putz(s->out, why.n ? " (" : "");
        why_put(s, why);
        buf_putz(s->out, why.n ? ")" : "");
    }
    return wanted || over;
}

/* Reports of delay are dsn_sent as well: who hears of this end stands in its own event. */
static void put_told(struct why_show *s, const json_t *e)
{
    bool postmaster = why_is(e, "told", "postmaster");
    const json_t *told = find(s, postmaster ? "double_bounce" : "dsn_sent", row_text(e, "id"));
    if (why_is(e, "told", "nobody")) {
        buf_putz(s->out, "; nobody was told, as its sender had asked");
    } else if (why_is(e, "told", "alarm")) {
        buf_putz(s->out, "; nobody is left who could be told");
    } else if (told) {
        buf_putz(s->out, postmaster ? "; as it has no sender, the postmaster <"
                                    : "; its sender <");
        why_put(s, row_text(told, "to"));
        buf_putz(s->out, "> was told, by ");
        why_put(s, row_text(told, "text"));
    }
}

static void put_failed(struct why_show *s, const json_t *e)
{
    buf_putz(s->out, " was given up");
    put_when(s, e);
    if (!put_end(s, e)) {
        put_at(s, e, ", by what was said at ");
        put_said(s, e);
    } else if (row_text(e, "relay").n) {
        put_at(s, e, "; what was said last, at ");
        put_said(s, e);
    } else if (words_of(e).n && !span_starts(row_text(e, "reason"), SPAN("wanted by "))) {
        buf_putz(s->out, "; the last word");
        put_said(s, e);
    }
    put_told(s, e);
}

static void put_deleted(struct why_show *s, const json_t *by)
{
    buf_putz(s->out, " was deleted by ");
    why_put(s, row_text(by, "text"));
    put_when(s, by);
    buf_putz(s->out, "; its sender was not told");
}

static void put_fate(struct why_show *s, const json_t *e)
{
    const json_t *deleted = find(s, "admin_deleted", row_text(e, "id"));
    why_put_addr(s, row_text(e, "to"));
    if (why_is(e, "event", "delivered")) {
        put_delivered(s, e);
    } else if (why_is(e, "event", "failed")) {
        put_failed(s, e);
    } else if (deleted) {
        put_deleted(s, deleted);
    } else {
        buf_putz(s->out, ": no end of it is known; ");
        why_put(s, row_text(e, "event"));
        put_when(s, e);
        put_said(s, e);
    }
    buf_putc(s->out, '\n');
}

static void put_received(struct why_show *s, const json_t *e)
{
    buf_putz(s->out, "  It came");
    put_when(s, e);
    buf_putz(s->out, " from ");
    why_put_addr(s, row_text(e, "from"));
    if (row_text(e, "client").n) {
        buf_putz(s->out, ", given by ");
        why_put(s, row_text(e, "client"));
    }
    int64_t bytes = row_int(e, row_int(e, "stored") ? "stored" : "size");
    if (bytes) {
        buf_putz(s->out, ", ");
        why_put_size(s, bytes); /* as while it was there */
    }
    if (row_int(e, "nrcpts")) {
        buf_putz(s->out, ", to ");
        why_put_number(s, row_int(e, "nrcpts"), "recipient", "recipients");
    }
    buf_putc(s->out, '\n');
}

/* Of one message: how it came and what became of each recipient. */
static void put_message(struct why_show *s, const json_t *words)
{
    struct span id = span_str(s->w->target);
    const json_t *received = find(s, "received", id), *deleted = find(s, "admin_deleted", id);
    const json_t *discarded = find(s, "discarded", id);
    size_t n = json_array_size(words);
    if (received)
        put_received(s, received);
    if (discarded && !n) {
        buf_putz(s->out, "  It was taken and thrown away, as the tables say,");
        put_when(s, discarded);
        buf_putc(s->out, '\n');
    }
    if (deleted && !n) {
        buf_putz(s->out, "  It");
        put_deleted(s, deleted);
        buf_putc(s->out, '\n');
    }
    for (size_t i = 0; i < n && i < FATES_SHOWN; i++) {
        buf_putz(s->out, "  " WHY_HANG);
        put_fate(s, json_array_get(words, i));
    }
    if (n > FATES_SHOWN)
        buf_printf(s->out, "  (%zu more recipients: --json)\n", n - FATES_SHOWN);
}

/* Of a name: the last of those that came to an end. */
static void put_last(struct why_show *s, const json_t *words)
{
    size_t shown = 0;
    for (size_t i = json_array_size(words); i > 0 && shown < NAMES_SHOWN; i--) {
        const json_t *e = json_array_get(words, i - 1);
        if (!is_end(e) && !find(s, "admin_deleted", row_text(e, "id")))
            continue;
        buf_putz(s->out, shown++ ? "" : "  What was for it last, as the log has it:\n");
        buf_putz(s->out, "    ");
        why_put(s, row_text(e, "id"));
        buf_putz(s->out, ": " WHY_HANG);
        put_fate(s, e);
    }
}

void why_show_fate(struct why_show *s)
{
    json_t *words = last_words(s);
    if (why_log_kind(span_str(s->w->target)) == WHY_LOG_ID)
        put_message(s, words);
    else
        put_last(s, words);
    json_decref(words);
}
