#include "crash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int crash_main(int argc, char **argv, const struct crash_test *tests, size_t count,
               int (*only)(uint64_t seed, char **argv))
{
    uint64_t seed = 1;
    bool longer = false;
    const char *name = NULL;
    int failed = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--long") == 0)
            longer = true;
        else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
            seed = strtoull(argv[++i], NULL, 10);
        else if (only && strcmp(argv[i], "--only") == 0 && i + 3 < argc)
            return only(seed, argv + i + 1);
        else
            name = argv[i];
    }
    for (size_t i = 0; i < count; i++) {
        if (name && strcmp(name, tests[i].name) != 0)
            continue;
        bool good = tests[i].run(seed, longer);
        printf("%s %s\n", good ? "ok" : "not ok", tests[i].name);
        fflush(stdout);
        failed += !good;
    }
    return failed ? 1 : 0;
}

uint64_t crash_roll(uint64_t *rng, uint64_t n)
{
    uint64_t z = *rng += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % n;
}
