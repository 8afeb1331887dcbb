/* bench: what `tensair bench` can measure; one file each. argv[0] is the name of the measurement. */
#ifndef TA_BENCH_H
#define TA_BENCH_H

#include "status.h"

ta_status ta_bench_window(int argc, char **argv); /* bench_window.c: puts beside memcpy */
/* bench_kernels.c: layers and steps. Weak: NULL in a program that was built without that file. */
ta_status ta_bench_kernels(int argc, char **argv) __attribute__((weak));

#endif
