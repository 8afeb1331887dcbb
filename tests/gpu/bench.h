/* bench: what the programs that measure on a GPU share. They load the plugin as the program itself does, so that one
 * build measures a device and, with TENSAIR_PLUGINS, goes through its motions on the make-believe one (where figures
 * mean nothing).
 *
 * Each prints lines of `FIGURE name value unit`, and on failure one line to stderr. Exit status: 0; 1: failed;
 * 77: there is no GPU here, with the reason. Option --quick: sizes that do for a test of the program itself.
 */
#ifndef TA_BENCH_GPU_H
#define TA_BENCH_GPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gpu.h"
#include "kernels.h"
#include "status.h"

struct bench_gpu {
    const struct ta_gpu_ops *gpu_ops;
    struct ta_gpu *gpu;
    bool quick;
};

enum { BENCH_SKIPPED = 77, BENCH_ROUNDS = 64 };

/* Looks at argv for --quick and opens GPU 0. Without one: DEVICE or NOT_BUILT, and bench_end gives 77. */
ta_status bench_open(struct bench_gpu *b, int argc, char **argv);
/* Closes, says why where `status` is an error; the exit status of the program. */
int bench_end(struct bench_gpu *b, ta_status status);

/* One thing that is timed. */
struct bench_work {
    ta_status (*queue)(void *self, unsigned repeat); /* queues its work once, on any stream */
    void *self;
    unsigned repeats;             /* in a round, then all streams are waited for */
    double seconds[BENCH_ROUNDS]; /* of one repeat, a round each */
};

/* `rounds` of each in turns, after one round of each to warm up; fills in seconds. */
ta_status bench_turns(struct bench_gpu *b, struct bench_work *const *works, unsigned n, unsigned rounds);
double bench_median(const double *values, unsigned n); /* n at most BENCH_ROUNDS */

void bench_figure(const char *name, double value, const char *unit);

#endif
