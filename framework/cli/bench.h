/* bench: what `tensair bench` can measure; one file each. argv[0] is the name of the measurement. */
#ifndef TA_BENCH_H
#define TA_BENCH_H

#include "status.h"

ta_status ta_bench_window(int argc, char **argv);  /* bench_window.c: puts beside memcpy */
ta_status ta_bench_kernels(int argc, char **argv); /* bench_kernels.c: layers and steps */
ta_status ta_bench_sustain(int argc, char **argv); /* bench_sustain.c: the highest rate at which the lag does not grow */
ta_status ta_bench_words(int argc, char **argv);   /* bench_words.c: words a second beside word2vec's loop */

#endif
