/* sparse_avx512: the loops of sparse_loops.inc for vectors of 16 floats. */
#define LANES 16
#define ACCUMULATORS 24
#define OPS ta_sparse_avx512
#define NAME "avx512"
#include "sparse_loops.inc"
