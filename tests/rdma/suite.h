/* suite: runs a list of tests once for each kind of pair, under its name. A test finds its kind in *state. */
#ifndef TA_TEST_SUITE_H
#define TA_TEST_SUITE_H

#include <stdio.h>

#include "pair.h"

struct suite_test {
    const char *name;
    CMUnitTestFunction run;
    bool needs_peers; /* not for self */
};

enum { SUITE_MAX_TESTS = 32 };

static inline int suite_run(const struct suite_test *tests, size_t n_tests) {
    int failed = 0;
    size_t n_kinds;
    const struct pair_kind *kinds = pair_kinds(&n_kinds);
    for (size_t k = 0; k < n_kinds; k++) {
        struct CMUnitTest units[SUITE_MAX_TESTS] = {{0}};
        char names[SUITE_MAX_TESTS][128];
        size_t n = 0;
        for (size_t i = 0; i < n_tests; i++) {
            if (tests[i].needs_peers && !kinds[k].has_peers) continue;
            snprintf(names[n], sizeof names[n], "%s: %s", kinds[k].name, tests[i].name);
            units[n].name = names[n];
            units[n].test_func = tests[i].run;
            units[n].initial_state = (void *)&kinds[k];
            n++;
        }
        failed += _cmocka_run_group_tests(kinds[k].name, units, n, NULL, NULL);
    }
    return failed;
}

#endif
