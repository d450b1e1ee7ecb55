/* Nothing waits for it: what is known of it all the same, and what the log says. */
#include "cli/log_parts.h"
#include "cli/term.h"
#include "cli/why_words.h"

#include "cli/term.h"

enum { LINES_OF_NAME = 20 };

static void put_event(struct why_show *s, const json_t *e)
{
    static const char *const keys[] = { "id",     "from", "to",     "relay", "dsn",   "stat",
                                        "reply",  "reason", "text", "route", "client" };
    buf_putz(s->out, "    ");
    if (row_text(e, "line").n) {
        why_put(s, row_text(e, "line"));
        buf_putc(s->out, '\n');
        return;
    }
    if (log_event_ms(row_text(e, "time")))
        why_put_clock(s, log_event_ms(row_text(e, "time")));
    else
        why_put(s, row_text(e, "time"));
    buf_putz(s->out, "  " WHY_HANG);
    why_put(s, row_text(e, "event"));
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        struct span v = row_text(e, keys[i]);
        if (!v.n || span_eq(v, span_str(s->w->target)))
            continue;
        buf_printf(s->out, " %s=", keys[i]);
        why_put(s, v);
    }
    buf_putc(s->out, '\n');
}

static void put_file(struct why_show *s, const json_t *f)
{
    why_put(s, row_text(f, "path"));
    if (row_text(f, "why").n) {
        buf_putz(s->out, " (");
        why_put(s, row_text(f, "why"));
        buf_putc(s->out, ')');
    }
}

/* Where was looked; unread: only what could not be read, or not to its end. */
static void put_files(struct why_show *s, const char *words, bool unread)
{
    const json_t *files = s->w->log.files;
    size_t shown = 0;
    for (size_t i = 0; i < json_array_size(files); i++) {
        const json_t *f = json_array_get(files, i);
        if (unread && row_true(f, "read"))
            continue;
        buf_putz(s->out, shown++ ? ", " : words);
        put_file(s, f);
    }
    if (shown)
        buf_putz(s->out, ".\n");
}

static void put_log(struct why_show *s)
{
    const struct why_log *l = &s->w->log;
    size_t n = json_array_size(l->events);
    if (!l->kept) {
        buf_putz(s->out, "  What was delivered, returned or deleted stands in the log; no file of "
                         "it is kept (log.events, log.file), so look where syslog keeps it.\n");
        return;
    }
    if (!n) {
        put_files(s, "  The log says nothing of it; looked through: ", false);
        return;
    }
    bool id = why_log_kind(span_str(s->w->target)) == WHY_LOG_ID;
    buf_printf(s->out, "  The log says of it%s:\n", id ? "" : ", at last");
    for (size_t i = id || n < LINES_OF_NAME ? 0 : n - LINES_OF_NAME; i < n; i++)
        put_event(s, json_array_get(l->events, i));
    put_files(s, "  Not read, or not all of it: ", true);
}

/* Its mail is not called by its name, and that it refuses mail is said elsewhere. */
static void put_listener(struct why_show *s, struct span target)
{
    const struct config *cfg = s->k ? ask_config(s->k) : NULL;
    for (size_t i = 0; cfg && i < cfg->n_listens; i++) {
        if (!span_eq(cfg->listens[i].name, target))
            continue;
        buf_putz(s->out, "  It is a listener of this gateway: what came by it and waits is shown "
                         "by postern queue --listener ");
        term_put_shell(s->out, target);
        buf_putz(s->out, cfg->listens[i].refuse_when.n
                             ? ", whether it refuses mail now by postern alarms.\n" : ".\n");
    }
}

/* What was typed may be a part of an id, or one with a letter wrong. */
static bool looks_like_id(struct span word)
{
    enum { SHORT = 10, LONG = 18 };
    bool digit = false, letter = false;
    for (size_t i = 0; i < word.n; i++) {
        if (!ascii_isalnum(word.p[i]))
            return false;
        digit |= ascii_isdigit(word.p[i]);
        letter |= ascii_isalpha(word.p[i]);
    }
    return digit && letter && word.n >= SHORT && word.n <= LONG;
}

/* Where nothing waits, it is worth telling of a place only what would hold mail back there. */
static bool is_troubled(const json_t *place)
{
    const char *const gates[] = { "destination", "site" };
    bool any = why_frozen(place).n > 0;
    for (size_t i = 0; i < 2; i++) {
        const json_t *gate = json_object_get(place, gates[i]);
        any |= row_int(gate, "down_until_ms") || row_int(gate, "slowed") ||
               row_int(gate, "paced_until_ms") || row_text(gate, "why").n;
    }
    return any;
}

static void put_stands_for(struct why_show *s)
{
    for (size_t i = 0; i < json_array_size(s->w->stands_for); i++) {
        const json_t *at = json_array_get(s->w->stands_for, i);
        int64_t n = row_int(at, "messages");
        buf_putz(s->out, i ? "  and for " : "  It stands for ");
        why_put_addr(s, row_text(at, "address"));
        buf_putz(s->out, ", for whom ");
        if (n) {
            why_put_number(s, n, "message waits", "messages wait");
            buf_putz(s->out, ": postern why ");
            term_put_shell(s->out, row_text(at, "address"));
        } else {
            buf_putz(s->out, "nothing waits");
        }
        buf_putc(s->out, '\n');
    }
}

/* Mail from it, not for it. */
static void put_from(struct why_show *s, int64_t n, const char *option)
{
    if (!n)
        return;
    buf_putz(s->out, "  ");
    why_put_number(s, n, "message from it waits", "messages from it wait");
    buf_printf(s->out, ": postern queue %s ", option);
    term_put_shell(s->out, span_str(s->w->target));
    buf_putc(s->out, '\n');
}

void why_show_gone(struct why_show *s)
{
    const struct why *w = s->w;
    struct span target = span_str(w->target);
    bool id = why_log_kind(target) == WHY_LOG_ID;
    why_put(s, target);
    buf_putz(s->out, id && json_array_size(w->log.events) ? ": it is not in the queue any more.\n"
                     : id ? ": no such message is in the queue.\n"
                          : ": nothing in the queue is for it.\n");
    int64_t unsited = row_int(w->now, "site_unknown");
    if (unsited && !id && span_find(target, '@') == target.n) {
        buf_putz(s->out, "  " WHY_WARN "But ");
        term_put_unsited(s->out, unsited);
    }
    put_listener(s, target);
    put_stands_for(s);
    why_show_fate(s);
    if (looks_like_id(target) && !id)
        buf_putz(s->out, "  If it is to be a queue id: these have 14 characters, 0-9, A-Z and a to "
                         "x.\n");
    put_from(s, w->sent, "--from");
    put_from(s, w->from_client, "--client");
    if (w->frozen) {
        buf_putz(s->out, "  " WHY_WARN "It is frozen");
        why_put_who(s, row_text(w->frozen, "who"), row_int(w->frozen, "since_ms"));
        buf_putz(s->out, ": mail for it would wait (postern queue thaw lets it go).\n");
    }
    if (w->rule) {
        buf_putz(s->out, "  " WHY_WARN "Its mail is sent another way, to ");
        why_put(s, row_text(w->rule, "nexthop"));
        why_put_who(s, row_text(w->rule, "who"), row_int(w->rule, "since_ms"));
        buf_putz(s->out, " (postern queue reroute --remove withdraws it).\n");
    }
    for (size_t i = 0; i < json_array_size(w->places); i++)
        if (is_troubled(json_array_get(w->places, i)))
            why_show_place(s, json_array_get(w->places, i), false);
    why_show_gateway(s);
    why_show_hosts(s);
    put_log(s);
}
