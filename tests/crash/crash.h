/* What the crash tests have in common: NAME [--long] [--seed N] [--only OP FAULT SEED] [TEST].
 * The same seed gives the same run. */
#ifndef POSTERN_TESTS_CRASH_CRASH_H
#define POSTERN_TESTS_CRASH_CRASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct crash_test {
    const char *name;
    bool (*run)(uint64_t seed, bool longer);
};

/* `only`: one run again, argv begins with OP; NULL: there is no such thing. */
int crash_main(int argc, char **argv, const struct crash_test *tests, size_t count,
               int (*only)(uint64_t seed, char **argv));

uint64_t crash_roll(uint64_t *rng, uint64_t n); /* below n */

#endif
