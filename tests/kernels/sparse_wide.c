/* sparse_wide: the loops as AVX-512 runs them, sixteen floats wide, compiled for any CPU, so that their bounds are
 * tested on machines without it. */
#define LANES 16
#define ACCUMULATORS 24
#define OPS test_sparse_wide
#define NAME "sixteen lanes on any CPU"
#include "sparse_loops.inc"
