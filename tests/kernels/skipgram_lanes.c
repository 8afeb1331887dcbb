/* skipgram_lanes: the loops as AVX-512 runs them, sixteen floats wide, compiled for any CPU, so that their logic is
 * tested on machines without it. */
#define LANES 16
#define BLOCK 4
#define LOOPS test_loops_16
#define NAME "sixteen lanes on any CPU"
#include "skipgram_loops.inc"
