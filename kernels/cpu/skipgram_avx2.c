/* skipgram_avx2: the loops of skipgram_loops.inc for vectors of 8 floats and 16 registers. */
#define LANES 8
#define BLOCK 2
#define LOOPS ta_skipgram_loops_avx2
#define NAME "avx2"
#include "skipgram_loops.inc"
