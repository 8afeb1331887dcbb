/* bench: what `tensair bench WHAT` runs, one file each. `argv[0]` is WHAT; rules as in cli.h.
 *
 * Each prints figures with the machine they were taken on beside them; ratios are taken within one run.
 */
#ifndef TA_BENCH_H
#define TA_BENCH_H

#include "status.h"

ta_status ta_bench_kernels(int argc, char **argv); /* bench_kernels.c: layers, steps, GFLOP/s, share of sgemm */
ta_status ta_bench_window(int argc, char **argv);  /* bench_window.c: puts and their visibility */

#endif
