/* skipgram_narrow: the loops four floats wide, one context at a time. */
#define LANES 4
#define BLOCK 1
#define LOOPS test_loops_4
#define NAME "four lanes"
#include "skipgram_loops.inc"
