/* The format of a file in the submission spool.
 *
 *   postern-submit 1
 *   sender <a@b>
 *   flags 8bitmime smtputf8 ret=full ret=hdrs queue_only defer     (those that hold; may be absent)
 *   envid XTEXT                                                    (may be absent)
 *   rcpt <c@d> [notify=never | notify=success,failure,delay] [orcpt=TYPE;XTEXT]   (one or more)
 *   size N
 *                                                                  (an empty line)
 *   N bytes of content, lines ended by CRLF; then the file ends
 *
 * Lines end in LF. The order is the one above. A file exists for its reader when it has a name
 * that begins with "m-": it is written under "tmp-...", flushed, then renamed (drop.c), so that a
 * file that does not end where it says is not a crash but damage or somebody's joke: it is set
 * aside. Whose mail it is says the file's owner, never the file. */
#include "submit/file.h"

#include "base/num.h"
#include "mail/address.h"

static const struct {
    const char *word;
    uint32_t flag;
} flag_words[] = {
    { "8bitmime", ENVELOPE_8BITMIME },     { "smtputf8", ENVELOPE_SMTPUTF8 },
    { "ret=full", ENVELOPE_RET_FULL },     { "ret=hdrs", ENVELOPE_RET_HDRS },
    { "queue_only", ENVELOPE_QUEUE_ONLY }, { "defer", ENVELOPE_DEFER },
};
enum { FLAG_WORDS = sizeof flag_words / sizeof *flag_words };

static const struct {
    const char *word;
    uint8_t bit;
} notify_words[] = {
    { "never", NOTIFY_NEVER },
    { "success", NOTIFY_SUCCESS },
    { "failure", NOTIFY_FAILURE },
    { "delay", NOTIFY_DELAY },
};
enum { NOTIFY_WORDS = sizeof notify_words / sizeof *notify_words };

/* --- writing --- */

static bool put_address(struct buf *b, const char *key, struct span addr)
{
    for (size_t i = 0; i < addr.n; i++)
        if ((unsigned char)addr.p[i] < ' ' || addr.p[i] == 0x7f)
            return false;
    buf_putz(b, key);
    buf_putz(b, " <");
    buf_puts(b, addr);
    return buf_putc(b, '>');
}

static bool is_word(struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] <= ' ' || s.p[i] == 0x7f)
            return false;
    return true;
}

static bool put_rcpt(struct buf *b, const struct envelope_rcpt *r)
{
    const char *before = " notify=";
    if (!put_address(b, "rcpt", r->addr) || !is_word(r->orcpt))
        return false;
    for (size_t i = 0; i < NOTIFY_WORDS; i++)
        if (r->notify & notify_words[i].bit) {
            buf_putz(b, before);
            buf_putz(b, notify_words[i].word);
            before = ",";
        }
    if (r->orcpt.n) {
        buf_putz(b, " orcpt=");
        buf_puts(b, r->orcpt);
    }
    return buf_putc(b, '\n');
}

bool submit_file_put(struct buf *b, const struct submit_file *f)
{
    buf_putz(b, "postern-submit 1\n");
    if (!put_address(b, "sender", f->sender) || !is_word(f->envid))
        return false;
    const char *before = "\nflags ";
    for (size_t i = 0; i < FLAG_WORDS; i++)
        if (f->flags & flag_words[i].flag) {
            buf_putz(b, before);
            buf_putz(b, flag_words[i].word);
            before = " ";
        }
    buf_putz(b, "\n");
    if (f->envid.n)
        buf_printf(b, "envid %.*s\n", SPAN_ARG(f->envid));
    for (size_t i = 0; i < f->rcpt_count; i++)
        if (!put_rcpt(b, &f->rcpts[i]))
            return false;
    buf_putz(b, "size ");
    buf_putu(b, f->size_bytes);
    return buf_putz(b, "\n\n");
}

/* --- reading --- */

struct reading {
    struct arena *arena;
    struct submit_file *f;
    size_t room;
    const char *why;
};

static bool fail(struct reading *r, const char *why)
{
    r->why = why;
    return false;
}

/* "<a@b>" off the front of *line. */
static bool get_address(struct reading *r, struct span *line, struct span *addr_r)
{
    struct address a;
    if (line->n == 0 || line->p[0] != '<' || address_take(line, &a) != ADDRESS_OK)
        return fail(r, "an address cannot be read");
    *addr_r = address_normal(r->arena, &a);
    return addr_r->p ? true : fail(r, "too many addresses");
}

static bool get_flags(struct reading *r, struct span line)
{
    for (struct span word; (word = span_word(&line)).n > 0;) {
        size_t i = 0;
        while (i < FLAG_WORDS && !span_eq(word, span_str(flag_words[i].word)))
            i++;
        if (i == FLAG_WORDS)
            return fail(r, "an unknown flag");
        r->f->flags |= flag_words[i].flag;
    }
    return true;
}

static bool get_notify(struct reading *r, struct span words, uint8_t *notify_r)
{
    while (words.n) {
        struct span word = span_to(words, span_find(words, ','));
        size_t i = 0;
        words = span_from(words, word.n + 1);
        while (i < NOTIFY_WORDS && !span_eq(word, span_str(notify_words[i].word)))
            i++;
        if (i == NOTIFY_WORDS)
            return fail(r, "an unknown word in notify");
        *notify_r |= notify_words[i].bit;
    }
    return true;
}

static bool get_rcpt(struct reading *r, struct span line)
{
    struct submit_file *f = r->f;
    struct envelope_rcpt rcpt = { .notify = 0 };
    if (!get_address(r, &line, &rcpt.addr))
        return false;
    if (!rcpt.addr.n)
        return fail(r, "a recipient is empty");
    for (struct span word; (word = span_word(&line)).n > 0;) {
        if (span_starts(word, SPAN("notify="))) {
            if (!get_notify(r, span_from(word, 7), &rcpt.notify))
                return false;
        } else if (span_starts(word, SPAN("orcpt=")) && word.n <= ENVELOPE_TEXT_MAX) {
            rcpt.orcpt = span_from(word, 6);
        } else {
            return fail(r, "an unknown word behind a recipient");
        }
    }
    if (f->rcpt_count == r->room) {
        size_t room = r->room ? 2 * r->room : 16;
        struct envelope_rcpt *grown = arena_alloc(r->arena, room * sizeof *grown);
        if (!grown || f->rcpt_count == SUBMIT_RCPTS_MAX)
            return fail(r, "too many recipients");
        if (f->rcpt_count)
            memcpy(grown, f->rcpts, f->rcpt_count * sizeof *grown);
        f->rcpts = grown;
        r->room = room;
    }
    f->rcpts[f->rcpt_count++] = rcpt;
    return true;
}

enum stage { AT_MAGIC, AT_SENDER, AT_FLAGS, AT_ENVID, AT_RCPT, AT_SIZE, AT_EMPTY };

/* Each line belongs to a stage not before the last one's. */
static bool get_line(struct reading *r, enum stage *stage, struct span line)
{
    struct submit_file *f = r->f;
    struct span key = span_to(line, span_find(line, ' ')), rest = span_from(line, key.n + 1);
    if (*stage == AT_MAGIC) {
        *stage = AT_SENDER;
        return span_eq(line, SPAN("postern-submit 1")) || fail(r, "not a message of ours");
    }
    if (*stage == AT_SENDER) {
        *stage = AT_FLAGS;
        if (!span_eq(key, SPAN("sender")) || !get_address(r, &rest, &f->sender))
            return fail(r, "the sender is missing");
        return rest.n == 0 || fail(r, "something stands behind the sender");
    }
    if (*stage == AT_FLAGS && span_eq(key, SPAN("flags"))) {
        *stage = AT_ENVID;
        return get_flags(r, rest);
    }
    if (*stage <= AT_ENVID && span_eq(key, SPAN("envid"))) {
        *stage = AT_RCPT;
        f->envid = rest;
        return (rest.n <= ENVELOPE_TEXT_MAX && is_word(rest)) || fail(r, "a malformed envid");
    }
    if (*stage <= AT_RCPT && span_eq(key, SPAN("rcpt"))) {
        *stage = AT_RCPT;
        return get_rcpt(r, rest);
    }
    if (*stage <= AT_RCPT && span_eq(key, SPAN("size")) && f->rcpt_count) {
        *stage = AT_EMPTY;
        return num_u64(rest, &f->size_bytes) || fail(r, "a malformed size");
    }
    return fail(r, "a line that does not belong there");
}

int submit_file_get(struct span text, struct arena *a, struct submit_file *f_r, size_t *head_r,
                    const char **why_r)
{
    struct reading r = { .arena = a, .f = f_r };
    enum stage stage = AT_MAGIC;
    size_t at = 0;
    *f_r = (struct submit_file){ .size_bytes = 0 };
    while (at < text.n) {
        struct span line = span_from(text, at);
        size_t lf = span_find(line, '\n');
        if (lf == line.n)
            break;
        line = span_to(line, lf);
        at += lf + 1;
        if (stage == AT_EMPTY && line.n == 0) {
            *head_r = at;
            return 1;
        }
        if (!get_line(&r, &stage, line)) {
            *why_r = r.why;
            return -1;
        }
    }
    *why_r = "its head is too long";
    return text.n >= SUBMIT_HEAD_MAX ? -1 : 0;
}
