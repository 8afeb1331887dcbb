/* skipgram_builds: every build of the loops that this CPU can run. */
#ifndef TA_TEST_SKIPGRAM_BUILDS_H
#define TA_TEST_SKIPGRAM_BUILDS_H

#include "skipgram_loops.h"

extern const struct ta_skipgram_loops test_loops_16;

static const struct ta_skipgram_loops *const test_builds[] = {
    &ta_skipgram_loops_plain, &ta_skipgram_loops_base,   &test_loops_16,
#if defined(__x86_64__)
    &ta_skipgram_loops_avx2,  &ta_skipgram_loops_avx512,
#endif
};

enum { TEST_BUILDS = sizeof test_builds / sizeof test_builds[0] };

/* The build, or NULL where it cannot run. */
static inline const struct ta_skipgram_loops *test_build(unsigned i) {
#if defined(__x86_64__)
    const struct ta_skipgram_loops *b = test_builds[i];
    if (b == &ta_skipgram_loops_avx2 && !(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))) return NULL;
    if (b == &ta_skipgram_loops_avx512 && !(__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                                            __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")))
        return NULL;
#endif
    return test_builds[i];
}

#endif
