/* Alarms: when they are raised, told again and cleared; the letter that tells of them. */
#include "alarm/letter.h"
#include "test.h"

#include <stdlib.h>

static const struct alarms_config usual = { .raise_after = 2, .clear_after = 3,
                                            .repeat_ms = 4 * 3600 * 1000 };

static struct alarm_now at(int64_t s)
{
    return (struct alarm_now){ s * 1000, 1790000000000 + s * 1000 };
}

static void see(struct alarms *a, bool bad, int64_t s)
{
    alarms_seen(a, ALARM_DNS, SPAN("x"), bad, SPAN("no answer"), at(s));
}

static enum alarm_news news(struct alarms *a, int64_t s)
{
    struct alarm al;
    return alarms_news(a, at(s), &al);
}

static void test_hysteresis(void)
{
    struct alarms *a = alarms_new(&usual);
    for (int s = 0; s < 10; s++) { /* flickers: never twice in a row */
        see(a, s % 2 == 0, s);
        CHECK(news(a, s) == ALARM_NONE);
    }
    see(a, true, 60);
    CHECK(news(a, 60) == ALARM_NONE);
    see(a, true, 120);
    struct alarm al;
    CHECK(alarms_news(a, at(120), &al) == ALARM_RAISED);
    CHECK(al.since_ms == 60000 && al.kind == ALARM_DNS && span_eq(al.text, SPAN("no answer")));
    CHECK(news(a, 120) == ALARM_NONE && alarms_present(a) == 1 && alarms_any(a, ALARM_DNS));
    see(a, false, 180);
    see(a, false, 240);
    see(a, true, 300); /* not three good ones in a row */
    see(a, false, 360);
    see(a, false, 420);
    CHECK(news(a, 420) == ALARM_NONE && alarms_present(a) == 1);
    see(a, false, 480);
    CHECK(alarms_present(a) == 0 && !alarms_any(a, ALARM_DNS));
    CHECK(alarms_news(a, at(480), &al) == ALARM_CLEARED && al.since_ms == 60000);
    CHECK(news(a, 480) == ALARM_NONE); /* one all-clear */
    see(a, false, 540);
    CHECK(news(a, 540) == ALARM_NONE);
    alarms_free(&a);
}

static void test_repeat(void)
{
    struct alarms *a = alarms_new(&usual);
    int raised = 0, repeated = 0;
    int64_t last_s = 0;
    for (int64_t s = 0; s < 24 * 3600; s += 60) {
        see(a, true, s);
        enum alarm_news n = news(a, s);
        raised += n == ALARM_RAISED;
        repeated += n == ALARM_REPEATED;
        if (n == ALARM_REPEATED)
            CHECK(s - last_s == 4 * 3600);
        if (n != ALARM_NONE)
            last_s = s;
    }
    CHECK(raised == 1 && repeated == 5);
    alarms_free(&a);
}

/* A process that comes after goes on with what the one before it told. */
static struct alarms *after(const struct alarms *before, int64_t s)
{
    struct alarms *a = alarms_new(&usual);
    struct alarm al;
    for (uint64_t i = 0; alarms_next_told(before, &i, &al);) {
        al.since_ms = 77; /* another clock */
        alarms_restore(a, &al, (struct alarm_now){ s, at(s).wall_ms });
    }
    return a;
}

static struct alarm_now late(int64_t s)
{
    return (struct alarm_now){ s, at(s).wall_ms }; /* a clock that ran slower */
}

static void test_restored(void)
{
    struct alarms *a = alarms_new(&usual), *b;
    struct alarm al;
    for (int s = 0; s < 3; s++)
        see(a, true, 60 + s);
    CHECK(alarms_present(a) == 1);
    b = after(a, 100); /* nobody was told */
    CHECK(alarms_present(b) == 0);
    alarms_free(&b);
    CHECK(news(a, 62) == ALARM_RAISED);
    b = after(a, 3600);
    CHECK(alarms_present(b) == 1 && alarms_any(b, ALARM_DNS));
    CHECK(alarms_news(b, late(3600), &al) == ALARM_NONE); /* told an hour ago */
    alarms_free(&b);
    b = after(a, 4 * 3600 + 62);
    CHECK(alarms_news(b, late(4 * 3600 + 62), &al) == ALARM_NONE); /* does it last? */
    alarms_seen(b, ALARM_DNS, SPAN("x"), true, SPAN("no answer"), late(4 * 3600 + 62));
    CHECK(alarms_news(b, late(4 * 3600 + 62), &al) == ALARM_REPEATED);
    CHECK(al.told == 2 && al.since_wall_ms == at(60).wall_ms);
    CHECK(span_eq(al.text, SPAN("no answer")));
    CHECK(al.since_ms == 4 * 3600 + 62 - (4 * 3600 + 2) * 1000);
    alarms_free(&b);
    b = after(a, 3600); /* it ended meanwhile */
    for (int i = 0; i < 3; i++) {
        CHECK(alarms_news(b, late(3600 + i), &al) == ALARM_NONE);
        alarms_seen(b, ALARM_DNS, SPAN("x"), false, SPAN_NONE, late(3600 + i));
    }
    CHECK(alarms_news(b, late(3603), &al) == ALARM_CLEARED && al.since_wall_ms == at(60).wall_ms);
    CHECK(alarms_news(b, late(3604), &al) == ALARM_NONE);
    uint64_t i = 0;
    CHECK(!alarms_next_told(b, &i, &al)); /* the end was told */
    alarms_free(&b);
    alarms_free(&a);
}

static void test_restored_by_a_clock_that_was_set(void)
{
    struct alarms *a = alarms_new(&usual);
    struct alarm al;
    struct alarm was = { .kind = ALARM_DNS, .subject = SPAN("x"), .text = SPAN("t"), .told = 1,
                         .since_wall_ms = at(9000).wall_ms, .told_wall_ms = at(9000).wall_ms };
    alarms_restore(a, &was, at(60)); /* told in the future: once too often rather than never */
    see(a, true, 60);
    CHECK(alarms_news(a, at(60), &al) == ALARM_REPEATED && al.since_ms == at(60).mono_ms);
    CHECK(alarms_news(a, at(61), &al) == ALARM_NONE);
    alarms_free(&a);
    a = alarms_new(&usual);
    was.since_wall_ms = was.told_wall_ms = 0; /* set to now meanwhile */
    alarms_restore(a, &was, at(60));
    see(a, true, 60);
    CHECK(alarms_news(a, at(60), &al) == ALARM_REPEATED);
    CHECK(alarms_news(a, at(60 + 4 * 3600 - 1), &al) == ALARM_NONE);
    CHECK(alarms_news(a, at(60 + 4 * 3600), &al) == ALARM_REPEATED);
    alarms_free(&a);
}

/* What came into sight before the restoring keeps its place; what nobody looks at ends. */
static void test_restored_and_seen(void)
{
    struct alarms *a = alarms_new(&usual);
    struct alarm al;
    struct alarm was = { .kind = ALARM_DNS, .subject = SPAN("x"), .text = SPAN("t"), .told = 3,
                         .since_wall_ms = at(10).wall_ms, .told_wall_ms = at(20).wall_ms };
    struct alarm gone = { .kind = ALARM_LISTENER, .subject = SPAN("old"), .text = SPAN("t"),
                          .told = 1, .since_wall_ms = at(1).wall_ms,
                          .told_wall_ms = at(1).wall_ms };
    see(a, true, 30);
    alarms_restore(a, &was, at(31));
    alarms_restore(a, &gone, at(31));
    CHECK(alarms_news(a, at(31), &al) == ALARM_NONE && alarms_present(a) == 2);
    see(a, true, 32);
    alarms_unseen_over(a);
    CHECK(alarms_news(a, at(32), &al) == ALARM_CLEARED && al.kind == ALARM_LISTENER);
    CHECK(alarms_news(a, at(32), &al) == ALARM_NONE && alarms_present(a) == 1);
    uint64_t i = 0;
    CHECK(alarms_next(a, &i, &al) && al.told == 3 && al.since_ms == 10000);
    alarms_free(&a);
    enum alarm_kind kind;
    for (int k = 0; k < ALARM_KINDS; k++)
        CHECK(alarm_kind_of(span_str(alarm_kind_name((enum alarm_kind)k)), &kind) &&
              (int)kind == k);
    CHECK(!alarm_kind_of(SPAN("site_ag"), &kind) && !alarm_kind_of(SPAN_NONE, &kind));
}

/* Whoever kept them gives them back in any order. */
static void test_restored_in_order(void)
{
    static const struct {
        enum alarm_kind kind;
        const char *subject;
        int64_t since_s;
    } kept[] = { { ALARM_CHECK, "b", 20 }, { ALARM_DNS, "", 30 },   { ALARM_CHECK, "a", 20 },
                 { ALARM_DISK, "/", 20 },  { ALARM_CHECK, "c", 10 } };
    static const char *const order[] = { "c", "/", "a", "b", "", "x" };
    struct alarms *a = alarms_new(&usual);
    struct alarm al;
    for (int s = 31; s < 34; s++)
        see(a, true, s); /* this one is new: "x" */
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        struct alarm was = { .kind = kept[i].kind, .subject = span_str(kept[i].subject),
                             .text = SPAN("t"), .told = 1,
                             .since_wall_ms = at(kept[i].since_s).wall_ms,
                             .told_wall_ms = at(kept[i].since_s).wall_ms };
        alarms_restore(a, &was, at(40));
    }
    size_t n = 0;
    for (uint64_t i = 0; alarms_next(a, &i, &al); n++)
        CHECK(n < 6 && span_eq(al.subject, span_str(order[n])));
    CHECK(n == 6);
    alarms_free(&a);
}

/* What was raised and is over before anybody was told leaves no word, what comes back before the
 * all-clear was told is the same alarm. */
static void test_between_tellings(void)
{
    struct alarms_config quick = { .raise_after = 1, .clear_after = 1 };
    struct alarms *a = alarms_new(&quick);
    see(a, true, 1);
    see(a, false, 2);
    CHECK(news(a, 3) == ALARM_NONE && alarms_present(a) == 0);
    see(a, true, 4);
    CHECK(news(a, 4) == ALARM_RAISED);
    see(a, false, 5);
    see(a, true, 6);
    CHECK(news(a, 6) == ALARM_NONE && alarms_present(a) == 1);
    see(a, false, 7);
    CHECK(news(a, 7) == ALARM_CLEARED);
    see(a, true, 8);
    CHECK(news(a, 8) == ALARM_RAISED); /* a new one */
    alarms_free(&a);
}

static void test_rounds(void)
{
    struct alarms_config quick = { .raise_after = 1, .clear_after = 2 };
    struct alarms *a = alarms_new(&quick);
    struct alarm al;
    uint64_t where = 0;
    alarms_seen(a, ALARM_SITE_AGE, SPAN("one"), true, SPAN("t"), at(1));
    alarms_seen(a, ALARM_SITE_AGE, SPAN("two"), true, SPAN("t"), at(1));
    alarms_seen(a, ALARM_DISK, SPAN("one"), true, SPAN("t"), at(1));
    alarms_round(a, ALARM_SITE_AGE);
    CHECK(alarms_present(a) == 3);
    while (alarms_news(a, at(1), &al) != ALARM_NONE)
        CHECK(al.told == 1);
    for (int round = 0; round < 2; round++) { /* "two" is not seen any more */
        alarms_seen(a, ALARM_SITE_AGE, SPAN("one"), true, SPAN("t2"), at(2));
        alarms_round(a, ALARM_SITE_AGE);
    }
    CHECK(alarms_news(a, at(3), &al) == ALARM_CLEARED && span_eq(al.subject, SPAN("two")));
    CHECK(alarms_news(a, at(3), &al) == ALARM_NONE);
    CHECK(alarms_next(a, &where, &al) && span_eq(al.subject, SPAN("one")) &&
          span_eq(al.text, SPAN("t2")));
    CHECK(alarms_next(a, &where, &al) && al.kind == ALARM_DISK);
    CHECK(!alarms_next(a, &where, &al));
    alarms_free(&a);
}

/* A directory that is looked at by itself and is of a round as well: each look is one. */
static void test_round_of_good_ones(void)
{
    struct alarms *a = alarms_new(&usual);
    struct alarm al;
    for (int look = 0; look < 2; look++) {
        alarms_seen(a, ALARM_DISK, SPAN("/spool"), true, SPAN("full"), at(look));
        alarms_round(a, ALARM_DISK);
    }
    CHECK(alarms_news(a, at(2), &al) == ALARM_RAISED);
    for (unsigned look = 1; look <= usual.clear_after; look++) {
        CHECK(alarms_present(a) == 1);
        alarms_seen(a, ALARM_DISK, SPAN("/spool"), false, SPAN_NONE, at(10 + look));
        alarms_round(a, ALARM_DISK);
    }
    CHECK(alarms_present(a) == 0 && alarms_news(a, at(20), &al) == ALARM_CLEARED);
    alarms_free(&a);
}

static bool is_one(void *ctx, struct span subject)
{
    return span_eq(subject, span_str(ctx));
}

/* What is not watched any more: one all-clear that says so; what is watched stays as it was. */
static void test_unwatched(void)
{
    struct alarms_config quick = { .raise_after = 2, .clear_after = 2 };
    struct alarms *a = alarms_new(&quick);
    struct alarm al;
    char one[] = "one";
    const char *subjects[] = { "one", "two", "new" };
    for (int i = 0; i < 5; i++)
        alarms_seen(a, ALARM_LISTENER, span_str(subjects[i / 2]), true, SPAN("mute"), at(i));
    CHECK(alarms_have_news(a, at(5)));
    while (alarms_news(a, at(5), &al) != ALARM_NONE)
        CHECK(al.told == 1);
    CHECK(alarms_present(a) == 2 && !alarms_have_news(a, at(5)));
    alarms_unwatched(a, ALARM_LISTENER, is_one, one);
    CHECK(alarms_present(a) == 1 && alarms_have_news(a, at(6)));
    CHECK(alarms_news(a, at(6), &al) == ALARM_CLEARED && span_eq(al.subject, SPAN("two")) &&
          span_eq(al.text, SPAN("mute (not watched any more)")));
    CHECK(alarms_news(a, at(6), &al) == ALARM_NONE);
    alarms_seen(a, ALARM_LISTENER, SPAN("new"), true, SPAN("mute"), at(7));
    CHECK(alarms_present(a) == 1); /* begun anew */
    alarms_unwatched(a, ALARM_LISTENER, NULL, NULL);
    CHECK(alarms_news(a, at(8), &al) == ALARM_CLEARED && alarms_present(a) == 0);
    alarms_free(&a);
}

/* One that has limits of its own. */
static void test_own_limits(void)
{
    struct alarms *a = alarms_new(&usual);
    struct alarm_look look = { .kind = ALARM_CHECK, .subject = SPAN("f"), .text = SPAN("t"),
                               .bad = true, .raise_after = 3, .clear_after = 1 };
    struct alarm al;
    struct span other = SPAN("g");
    for (int i = 0; i < 3; i++) {
        CHECK(!alarms_any(a, ALARM_CHECK));
        alarms_look(a, &look, at(i));
    }
    CHECK(alarms_find(a, ALARM_CHECK, &look.subject, &al) && span_eq(al.text, SPAN("t")));
    CHECK(!alarms_find(a, ALARM_CHECK, &other, &al));
    CHECK(news(a, 3) == ALARM_RAISED);
    look.bad = false;
    alarms_look(a, &look, at(4));
    CHECK(!alarms_any(a, ALARM_CHECK) && news(a, 4) == ALARM_CLEARED);
    alarms_free(&a);
}

static void test_bounds(void)
{
    struct alarms_config quick = { .raise_after = 1, .clear_after = 1 };
    struct alarms *a = alarms_new(&quick);
    char long_text[2000];
    memset(long_text, 'x', sizeof long_text);
    for (int i = 0; i < ALARMS_MAX + 10; i++) {
        memcpy(long_text, &i, sizeof i);
        alarms_seen(a, ALARM_SITE_AGE, span_of(long_text, sizeof long_text), true,
                    span_of(long_text, sizeof long_text), at(1));
    }
    CHECK(alarms_present(a) == ALARMS_MAX && alarms_lost(a) == 10);
    struct alarm al;
    CHECK(alarms_news(a, at(1), &al) == ALARM_RAISED && al.subject.n == ALARM_SUBJECT_MAX &&
          al.text.n == ALARM_TEXT_MAX);
    alarms_free(&a);
}

static size_t longest_line(struct span s)
{
    size_t most = 0;
    while (s.n) {
        size_t n = span_find(s, '\n');
        most = n > most ? n : most;
        s = span_from(s, n + 1);
    }
    return most;
}

static void test_letter(void)
{
    struct buf body, out;
    buf_init(&body, ALARM_LETTER_MAX);
    buf_init(&out, 2 * ALARM_LETTER_MAX);
    struct alarm_letter l = { .hostname = SPAN("mx.example"), .to = SPAN("a@b.example"),
                              .now_wall_ms = 1790000000000, .now_mono_ms = 7300000 };
    alarm_letter_begin(&l, &body);
    CHECK(!alarm_letter_end(&l, 0, &out)); /* nothing to tell */
    buf_reset(&out);
    buf_reset(&body);
    alarm_letter_begin(&l, &body);
    struct alarm evil = { .kind = ALARM_SITE_AGE,
                          .subject = SPAN("mx:a.example\r\nBcc: x@y.example"),
                          .text = SPAN("550 \x1b[2J\r\n.\r\nMAIL FROM:<> \xff"),
                          .since_ms = 100000 };
    alarm_letter_add(&l, ALARM_RAISED, &evil, SPAN("mx, in\r\nside"));
    char wide[ALARM_TEXT_MAX];
    memset(wide, 0xfe, sizeof wide);
    struct alarm wide_one = { .kind = ALARM_DISK, .subject = span_of(wide, ALARM_SUBJECT_MAX),
                              .text = span_of(wide, sizeof wide) };
    for (int i = 0; i < ALARM_LETTER_NEWS + 5; i++)
        alarm_letter_add(&l, ALARM_REPEATED, &wide_one, i ? SPAN_NONE : wide_one.text);
    CHECK(alarm_letter_end(&l, 2, &out));
    struct span s = buf_span(&out);
    CHECK(longest_line(s) <= 999);
    const char *text = buf_cstr(&out);
    CHECK(strstr(text, "Subject: [ALARM] old mail: mx:a.example\\x0d\\x0aBcc: x@y") != NULL);
    CHECK(!strstr(text, "\r\nBcc") && !strstr(text, "\r\n.\r\n") && !strstr(text, "\x1b"));
    CHECK(strstr(text, "; mail is refused by mx, in\\x0d\\x0aside") != NULL);
    CHECK(strstr(text, "because of it mail is refused with 421 by listener mx, in\\x0d") != NULL);
    CHECK(strstr(text, "2h00m") && strstr(text, "... and 6 more"));
    for (size_t i = 0; i < s.n; i++) {
        CHECK((unsigned char)s.p[i] < 0x7f && (s.p[i] >= ' ' || strchr("\r\n\t", s.p[i])));
        CHECK(s.p[i] != '\n' || (i && s.p[i - 1] == '\r'));
    }
    buf_free(&body);
    buf_free(&out);
}

static const struct test tests[] = {
    { "hysteresis", test_hysteresis }, { "repeated", test_repeat },
    { "between two tellings", test_between_tellings }, { "rounds", test_rounds },
    { "rounds of what is looked at by itself", test_round_of_good_ones },
    { "not watched any more", test_unwatched }, { "own limits", test_own_limits },
    { "bounds", test_bounds }, { "letter", test_letter },
    { "restored", test_restored }, { "restored and seen", test_restored_and_seen },
    { "restored in order", test_restored_in_order },
    { "restored by a clock that was set", test_restored_by_a_clock_that_was_set },
};

int main(int argc, char **argv)
{
    return test_main(tests, sizeof tests / sizeof *tests, argc, argv);
}
