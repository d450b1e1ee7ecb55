#include "alarm/alarm.h"

#include "base/list.h"
#include "base/must.h"

#include <stdlib.h>

struct item {
    struct list node;
    enum alarm_kind kind;
    struct span subject, text; /* our own memory */
    unsigned bad, good;        /* in a row */
    bool seen;                 /* since the last round */
    bool raised, over;         /* over: raised, and its all-clear is to be told */
    bool restored;             /* and not looked at since */
    uint64_t number;           /* in order of raising */
    uint64_t told;
    int64_t since_ms, since_wall_ms, told_ms, told_wall_ms;
};

struct alarms {
    struct alarms_config config;
    struct list items; /* raised ones in the order of their numbers, behind those that are not */
    size_t count;
    uint64_t next_number, lost;
};

static const struct {
    const char *name, *title;
} kinds[ALARM_KINDS] = {
    [ALARM_SITE_AGE] = { "site_age", "old mail" },
    [ALARM_EXPIRY] = { "expiry", "mail that does not expire" },
    [ALARM_GROWTH] = { "queue_growth", "the queue grows" },
    [ALARM_DISK] = { "disk_space", "little disk space" },
    [ALARM_INODES] = { "disk_inodes", "few inodes" },
    [ALARM_CRASHES] = { "crashes", "a process that ends again and again" },
    [ALARM_DNS] = { "dns", "the DNS does not answer" },
    [ALARM_LISTENER] = { "listener", "a listener that does not answer" },
    [ALARM_NEXT_HOP] = { "next_hop", "the next hop does not answer" },
    [ALARM_QMGR] = { "queue_silent", "the queue manager does not answer" },
    [ALARM_CHECK] = { "check", "a check that fails" },
    [ALARM_CLOCK] = { "clock", "a clock that is not believed" },
};

const char *alarm_kind_name(enum alarm_kind kind) { return kinds[kind].name; }
const char *alarm_kind_title(enum alarm_kind kind) { return kinds[kind].title; }

bool alarm_kind_of(struct span name, enum alarm_kind *kind_r)
{
    for (int i = 0; i < ALARM_KINDS; i++) {
        if (!span_eq(name, span_str(kinds[i].name)))
            continue;
        *kind_r = (enum alarm_kind)i;
        return true;
    }
    return false;
}

struct alarms *alarms_new(const struct alarms_config *c)
{
    struct alarms *a = NEW(struct alarms);
    list_init(&a->items);
    alarms_configure(a, c);
    return a;
}

void alarms_configure(struct alarms *a, const struct alarms_config *c)
{
    MUST(c->raise_after && c->clear_after);
    a->config = *c;
}

static void item_free(struct alarms *a, struct item *it)
{
    list_remove(&it->node);
    free((char *)it->subject.p);
    free((char *)it->text.p);
    free(it);
    a->count--;
}

void alarms_free(struct alarms **ap)
{
    struct alarms *a = *ap;
    if (!a)
        return;
    LIST_EACH(n, &a->items)
        item_free(a, CONTAINER(n, struct item, node));
    free(a);
    *ap = NULL;
}

static struct span copy(struct span s, size_t max)
{
    s = span_to(s, max);
    return s.n ? span_of(must_strndup(s.p, s.n), s.n) : SPAN_NONE;
}

static struct item *find(struct alarms *a, enum alarm_kind kind, struct span subject)
{
    subject = span_to(subject, ALARM_SUBJECT_MAX);
    LIST_EACH(n, &a->items) {
        struct item *it = CONTAINER(n, struct item, node);
        if (it->kind == kind && span_eq(it->subject, subject))
            return it;
    }
    return NULL;
}

static struct item *make(struct alarms *a, enum alarm_kind kind, struct span subject)
{
    if (a->count >= ALARMS_MAX) {
        a->lost++;
        return NULL;
    }
    struct item *it = NEW(struct item);
    it->kind = kind;
    it->subject = copy(subject, ALARM_SUBJECT_MAX);
    list_prepend(&a->items, &it->node);
    a->count++;
    return it;
}

static void set_text(struct item *it, struct span text)
{
    free((char *)it->text.p);
    it->text = copy(text, ALARM_TEXT_MAX);
}

static void set_raised(struct alarms *a, struct item *it)
{
    it->raised = true;
    it->number = ++a->next_number;
    list_remove(&it->node);
    list_append(&a->items, &it->node);
}

static void see_bad(struct alarms *a, struct item *it, const struct alarm_look *look,
                    struct alarm_now now)
{
    unsigned raise_after = look->raise_after ? look->raise_after : a->config.raise_after;
    set_text(it, look->text);
    it->good = 0;
    if (!it->bad && !it->raised) {
        it->since_ms = now.mono_ms;
        it->since_wall_ms = now.wall_ms;
    }
    it->bad += it->bad < raise_after;
    it->over = false; /* bad again before anybody was told that it is over */
    if (!it->raised && it->bad >= raise_after)
        set_raised(a, it);
}

/* May free it. */
static void see_good(struct alarms *a, struct item *it, unsigned clear_after)
{
    it->bad = 0;
    if (!it->raised)
        item_free(a, it);
    else if (++it->good >= (clear_after ? clear_after : a->config.clear_after))
        it->over = true;
}

void alarms_look(struct alarms *a, const struct alarm_look *look, struct alarm_now now)
{
    struct item *it = find(a, look->kind, look->subject);
    if (!it && look->bad)
        it = make(a, look->kind, look->subject);
    if (it) {
        it->restored = false;
        it->seen = true;
    }
    if (it && look->bad)
        see_bad(a, it, look, now);
    else if (it)
        see_good(a, it, look->clear_after);
}

void alarms_seen(struct alarms *a, enum alarm_kind kind, struct span subject, bool bad,
                 struct span text, struct alarm_now now)
{
    struct alarm_look look = { .kind = kind, .subject = subject, .text = text, .bad = bad };
    alarms_look(a, &look, now);
}

void alarms_round(struct alarms *a, enum alarm_kind kind)
{
    LIST_EACH(n, &a->items) {
        struct item *it = CONTAINER(n, struct item, node);
        bool seen = it->seen;
        if (it->kind != kind)
            continue;
        it->seen = it->restored = false;
        if (!seen)
            see_good(a, it, 0);
    }
}

static void say_unwatched(struct item *it)
{
    static const char words[] = " (not watched any more)";
    struct buf b;
    buf_init(&b, ALARM_TEXT_MAX);
    buf_puts(&b, span_to(it->text, ALARM_TEXT_MAX - sizeof words));
    buf_putz(&b, words);
    set_text(it, buf_span(&b));
    buf_free(&b);
}

void alarms_unwatched(struct alarms *a, enum alarm_kind kind,
                      bool (*still)(void *ctx, struct span subject), void *ctx)
{
    LIST_EACH(n, &a->items) {
        struct item *it = CONTAINER(n, struct item, node);
        if (it->kind != kind || (still && still(ctx, it->subject)))
            continue;
        if (!it->told) {
            item_free(a, it);
            continue;
        }
        it->over = true;
        say_unwatched(it);
    }
}

static struct alarm alarm_of(const struct item *it)
{
    return (struct alarm){ .kind = it->kind,
                           .subject = it->subject,
                           .text = it->text,
                           .since_ms = it->since_ms,
                           .since_wall_ms = it->since_wall_ms,
                           .told = it->told,
                           .told_wall_ms = it->told_wall_ms };
}

/* What is over and was told of is freed by the next call, as its spans are looked at until then. */
static enum alarm_news news_of(const struct alarms *a, struct item *it, struct alarm_now now)
{
    if (!it->raised)
        return ALARM_NONE;
    if (it->over)
        return it->told ? ALARM_CLEARED : ALARM_NONE;
    if (!it->told)
        return ALARM_RAISED;
    bool lasts = !it->good && !it->restored; /* seen bad by the last who looked */
    bool again = a->config.repeat_ms && now.mono_ms - it->told_ms >= a->config.repeat_ms && lasts;
    return again ? ALARM_REPEATED : ALARM_NONE;
}

enum alarm_news alarms_news(struct alarms *a, struct alarm_now now, struct alarm *alarm_r)
{
    LIST_EACH(n, &a->items) {
        struct item *it = CONTAINER(n, struct item, node);
        enum alarm_news news = news_of(a, it, now);
        if (news == ALARM_NONE) {
            if (it->raised && it->over)
                item_free(a, it);
            continue;
        }
        *alarm_r = alarm_of(it);
        alarm_r->told = ++it->told;
        it->told_ms = now.mono_ms;
        it->told_wall_ms = now.wall_ms;
        if (news == ALARM_CLEARED)
            it->told = 0; /* the end of it */
        return news;
    }
    return ALARM_NONE;
}

bool alarms_have_news(const struct alarms *a, struct alarm_now now)
{
    LIST_EACH(n, &a->items)
        if (news_of(a, CONTAINER(n, struct item, node), now) != ALARM_NONE)
            return true;
    return false;
}

static bool present(const struct item *it) { return it->raised && !it->over; }

bool alarms_next(const struct alarms *a, uint64_t *at, struct alarm *alarm_r)
{
    LIST_EACH(n, &a->items) {
        const struct item *it = CONTAINER(n, struct item, node);
        if (!present(it) || it->number <= *at)
            continue;
        *at = it->number;
        *alarm_r = alarm_of(it);
        return true;
    }
    return false;
}

bool alarms_next_told(const struct alarms *a, uint64_t *at, struct alarm *alarm_r)
{
    LIST_EACH(n, &a->items) {
        const struct item *it = CONTAINER(n, struct item, node);
        if (!it->raised || !it->told || it->number <= *at)
            continue;
        *at = it->number;
        *alarm_r = alarm_of(it);
        return true;
    }
    return false;
}

/* Clocks of two processes have the wall's in common, and that may have been set. */
static int64_t elapsed_ms(int64_t then_wall_ms, struct alarm_now now, int64_t otherwise_ms)
{
    return then_wall_ms <= now.wall_ms ? now.wall_ms - then_wall_ms : otherwise_ms;
}

/* They come in any order: the oldest first, and of one moment by what they are about. */
static bool began_before(const struct item *x, const struct item *y)
{
    if (x->since_wall_ms != y->since_wall_ms)
        return x->since_wall_ms < y->since_wall_ms;
    return x->kind != y->kind ? x->kind < y->kind : span_cmp(x->subject, y->subject) < 0;
}

static void set_in_order(struct alarms *a, struct item *it)
{
    struct list *before = NULL;
    LIST_EACH(n, &a->items) {
        struct item *other = CONTAINER(n, struct item, node);
        if (!before && other != it && other->raised && began_before(it, other))
            before = n;
    }
    if (!before)
        return;
    list_remove(&it->node);
    list_append(before, &it->node); /* in front of it */
    a->next_number = 0;
    LIST_EACH(n, &a->items) {
        struct item *other = CONTAINER(n, struct item, node);
        if (other->raised)
            other->number = ++a->next_number;
    }
}

void alarms_restore(struct alarms *a, const struct alarm *was, struct alarm_now now)
{
    struct item *it = find(a, was->kind, was->subject);
    if (!it && (it = make(a, was->kind, was->subject)) != NULL)
        it->restored = true;
    if (!it)
        return;
    if (!it->text.n)
        set_text(it, was->text);
    it->bad = a->config.raise_after;
    it->since_ms = now.mono_ms - elapsed_ms(was->since_wall_ms, now, 0);
    it->since_wall_ms = was->since_wall_ms;
    if (!it->told) {
        it->told_ms = now.mono_ms - elapsed_ms(was->told_wall_ms, now, a->config.repeat_ms);
        it->told_wall_ms = was->told_wall_ms;
    }
    it->told += was->told;
    if (!it->raised)
        set_raised(a, it);
    set_in_order(a, it);
}

void alarms_unknown(struct alarms *a, enum alarm_kind kind)
{
    LIST_EACH(n, &a->items) {
        struct item *it = CONTAINER(n, struct item, node);
        it->restored &= it->kind != kind;
    }
}

void alarms_unseen_over(struct alarms *a)
{
    LIST_EACH(n, &a->items) {
        struct item *it = CONTAINER(n, struct item, node);
        it->over |= it->restored;
    }
}

size_t alarms_present(const struct alarms *a)
{
    size_t count = 0;
    LIST_EACH(n, &a->items)
        count += present(CONTAINER(n, struct item, node));
    return count;
}

bool alarms_any(const struct alarms *a, enum alarm_kind kind)
{
    struct alarm ignored;
    return alarms_find(a, kind, NULL, &ignored);
}

bool alarms_find(const struct alarms *a, enum alarm_kind kind, const struct span *subject,
                 struct alarm *alarm_r)
{
    LIST_EACH(n, &a->items) {
        const struct item *it = CONTAINER(n, struct item, node);
        if (it->kind != kind || !present(it) || (subject && !span_eq(*subject, it->subject)))
            continue;
        *alarm_r = alarm_of(it);
        return true;
    }
    return false;
}

uint64_t alarms_lost(const struct alarms *a) { return a->lost; }
