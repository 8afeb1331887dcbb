/* sparse_avx2: the loops of sparse_loops.inc for vectors of 8 floats. */
#define LANES 8
#define ACCUMULATORS 12
#define OPS ta_sparse_avx2
#define NAME "avx2"
#include "sparse_loops.inc"
