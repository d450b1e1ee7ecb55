#include "alarm/letter.h"

#include "mail/date.h"

enum { WORDS_MAX = 200, SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE,
       DAY = 24 * HOUR };

/* For people: bytes of strangers made harmless, everything beyond ASCII as \xHH. */
static void alarm_put_text(struct buf *out, struct span s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c >= ' ' && c < 0x7f)
            buf_putc(out, (char)c);
        else
            buf_printf(out, "\\x%02x", c);
    }
}

void alarm_put_age(struct buf *out, int64_t ms)
{
    if (ms < MINUTE)
        buf_printf(out, "%llds", (long long)(ms < 0 ? 0 : ms / SECOND));
    else if (ms < HOUR)
        buf_printf(out, "%lldm%02llds", (long long)(ms / MINUTE),
                   (long long)(ms % MINUTE / SECOND));
    else if (ms < DAY)
        buf_printf(out, "%lldh%02lldm", (long long)(ms / HOUR), (long long)(ms % HOUR / MINUTE));
    else
        buf_printf(out, "%lldd%02lldh", (long long)(ms / DAY), (long long)(ms % DAY / HOUR));
}

void alarm_letter_begin(struct alarm_letter *l, struct buf *body)
{
    l->body = body;
    l->raised = l->repeated = l->cleared = 0;
    buf_init(&l->subject_words, WORDS_MAX);
}

/* A line of ours is never longer than one of mail may be: the texts have limits. */
void alarm_letter_add(struct alarm_letter *l, enum alarm_news news, const struct alarm *a,
                      struct span refusing)
{
    static const char *const heads[] = { [ALARM_NONE] = "", [ALARM_RAISED] = "ALARM",
                                         [ALARM_REPEATED] = "STILL", [ALARM_CLEARED] = "OVER" };
    l->raised += news == ALARM_RAISED;
    l->repeated += news == ALARM_REPEATED;
    l->cleared += news == ALARM_CLEARED;
    if (l->raised + l->repeated + l->cleared > ALARM_LETTER_NEWS)
        return;
    if (l->raised + l->repeated + l->cleared == 1) {
        buf_printf(&l->subject_words, "%s", alarm_kind_title(a->kind));
        if (a->subject.n && a->subject.n <= 80) {
            buf_putz(&l->subject_words, ": ");
            alarm_put_text(&l->subject_words, span_to(a->subject, 30));
        }
        if (refusing.n) {
            buf_putz(&l->subject_words, "; mail is refused by ");
            alarm_put_text(&l->subject_words, span_to(refusing, 30));
        }
    }
    buf_printf(l->body, "%s  %s", heads[news], alarm_kind_title(a->kind));
    if (a->subject.n) {
        buf_putz(l->body, ": ");
        alarm_put_text(l->body, span_to(a->subject, 200));
    }
    buf_printf(l->body, "\r\n       %s: ", news == ALARM_CLEARED ? "it was" : "seen");
    alarm_put_text(l->body, span_to(a->text, 200));
    buf_putz(l->body, "\r\n       since ");
    mail_date_put(l->body, a->since_wall_ms, 0);
    buf_putz(l->body, news == ALARM_CLEARED ? "; it lasted " : "; for ");
    alarm_put_age(l->body, l->now_mono_ms - a->since_ms);
    if (refusing.n) {
        buf_putz(l->body, "\r\n       because of it mail is refused with 421 by listener ");
        alarm_put_text(l->body, span_to(refusing, 200));
    }
    buf_printf(l->body, "\r\n       name: %s\r\n\r\n", alarm_kind_name(a->kind));
}

static void put_subject(struct alarm_letter *l, struct buf *out)
{
    unsigned all = l->raised + l->repeated + l->cleared;
    buf_printf(out, "Subject: [%s] ", l->raised ? "ALARM" : l->repeated ? "still ALARM"
                                                                        : "all clear");
    buf_puts(out, buf_span(&l->subject_words));
    if (all > 1)
        buf_printf(out, ", and %u more", all - 1);
    buf_putz(out, "\r\n");
}

static void put_head(struct alarm_letter *l, struct buf *out)
{
    buf_putz(out, "From: \"Postern at ");
    buf_puts(out, l->hostname);
    buf_putz(out, "\" <postmaster@");
    buf_puts(out, l->hostname);
    buf_putz(out, ">\r\nTo: ");
    buf_puts(out, l->to);
    buf_putz(out, "\r\n");
    put_subject(l, out);
    buf_putz(out, "Date: ");
    mail_date_put(out, l->now_wall_ms, 0);
    buf_printf(out, "\r\nMessage-ID: <alarm.%llx.%016llx@", (unsigned long long)l->now_wall_ms,
               (unsigned long long)l->random);
    buf_puts(out, l->hostname);
    buf_putz(out, ">\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n"
                  "Auto-Submitted: auto-generated\r\n");
    if (l->raised + l->repeated)
        buf_putz(out, "Importance: high\r\n");
    buf_putz(out, "\r\n");
}

bool alarm_letter_end(struct alarm_letter *l, size_t still, struct buf *out)
{
    unsigned all = l->raised + l->repeated + l->cleared;
    put_head(l, out);
    buf_putz(out, "The gateway ");
    buf_puts(out, l->hostname);
    buf_putz(out, " says:\r\n\r\n");
    buf_puts(out, buf_span(l->body));
    if (all > ALARM_LETTER_NEWS)
        buf_printf(out, "... and %u more.\r\n\r\n", all - ALARM_LETTER_NEWS);
    if (still)
        buf_printf(out, "%zu %s now: `postern alarms` lists %s.\r\n", still,
                   still == 1 ? "alarm is present" : "alarms are present",
                   still == 1 ? "it" : "them");
    else
        buf_putz(out, "No alarm is present now.\r\n");
    buf_free(&l->subject_words);
    return all > 0 && !out->failed;
}
