/* sparse_base: the loops of sparse_loops.inc for vectors of 4 floats. */
#define LANES 4
#define ACCUMULATORS 12
#define OPS ta_sparse_base
#define NAME "base"
#include "sparse_loops.inc"
