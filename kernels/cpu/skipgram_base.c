/* skipgram_base: the loops of skipgram_loops.inc for vectors of 4 floats, which every processor of today has. */
#define LANES 4
#define BLOCK 2
#define LOOPS ta_skipgram_loops_base
#define NAME "base"
#include "skipgram_loops.inc"
