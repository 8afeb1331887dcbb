/* sparse: which of the builds of the loops this CPU can run. */
#include "sparse.h"

const struct ta_sparse_ops *ta_sparse_best(void) {
#if defined(TA_SPARSE_X86)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq"))
        return &ta_sparse_avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return &ta_sparse_avx2;
#endif
    return &ta_sparse_base;
}
