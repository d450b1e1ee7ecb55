/* test: the smallest frame for unit tests. A test program lists functions, runs them and prints
 * one "ok NAME" or "not ok NAME: FILE:LINE: what" line each, which tests/run counts. */
#ifndef POSTERN_TESTS_UNIT_TEST_H
#define POSTERN_TESTS_UNIT_TEST_H

#include "base/span.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct test {
    const char *name;
    void (*run)(void);
};

static const char *test_now;
static int test_failed, test_skipped;

#define TEST_FAIL(...) \
    do { \
        printf("not ok %s: %s:%d: ", test_now, __FILE__, __LINE__); \
        printf(__VA_ARGS__); \
        printf("\n"); \
        fflush(stdout); \
        test_failed++; \
        return; \
    } while (0)

/* Ends the running test function: this system lacks what it needs. */
#define TEST_SKIP(why) \
    do { \
        printf("skip %s: %s\n", test_now, why); \
        fflush(stdout); \
        test_skipped++; \
        return; \
    } while (0)

/* Each ends the running test function when it does not hold. */
#define CHECK(cond) \
    do { \
        if (!(cond)) \
            TEST_FAIL("%s", #cond); \
    } while (0)
#define CHECK_INT(got, want) \
    do { \
        long long got_ = (long long)(got), want_ = (long long)(want); \
        if (got_ != want_) \
            TEST_FAIL("%s is %lld, want %lld", #got, got_, want_); \
    } while (0)
#define CHECK_SPAN(got, want) \
    do { \
        struct span got_ = (got), want_ = (want); \
        if (!span_eq(got_, want_)) \
            TEST_FAIL("%s is \"%.*s\", want \"%.*s\"", #got, SPAN_ARG(got_), SPAN_ARG(want_)); \
    } while (0)

static inline int test_main(const struct test *tests, size_t n, int argc, char **argv)
{
    for (size_t i = 0; i < n; i++) {
        if (argc > 1 && strcmp(argv[1], tests[i].name) != 0)
            continue;
        int before = test_failed + test_skipped;
        test_now = tests[i].name;
        tests[i].run();
        if (test_failed + test_skipped == before)
            printf("ok %s\n", test_now);
        fflush(stdout);
    }
    return test_failed ? 1 : 0;
}

/* static const struct test tests[] = { TEST(foo), ... }; TEST_MAIN(tests) */
#define TEST(fn) { #fn, fn }
#define TEST_MAIN(tests) \
    int main(int argc, char **argv) \
    { \
        return test_main(tests, sizeof(tests) / sizeof *(tests), argc, argv); \
    }

#endif
