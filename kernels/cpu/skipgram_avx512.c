/* skipgram_avx512: the loops of skipgram_loops.inc for vectors of 16 floats and 32 registers. */
#define LANES 16
#define BLOCK 4
#define LOOPS ta_skipgram_loops_avx512
#define NAME "avx512"
#include "skipgram_loops.inc"
