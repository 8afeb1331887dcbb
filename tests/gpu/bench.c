/* bench: see bench.h. */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "plugin.h"

ta_status bench_open(struct bench_gpu *b, int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--quick") != 0)
            return ta_fail(TA_USAGE, "'%s' is not known; there is only --quick", argv[i]);
        b->quick = true;
    }
    unsigned n = 0;
    ta_status status = ta_gpu_find(&b->gpu_ops);
    if (status == TA_OK) status = b->gpu_ops->count(&n);
    if (status == TA_OK && n == 0) status = ta_fail(TA_DEVICE, "the driver shows no GPU");
    return status == TA_OK ? b->gpu_ops->open(0, &b->gpu) : status;
}

int bench_end(struct bench_gpu *b, ta_status status) {
    bool opened = b->gpu != NULL;
    if (status != TA_OK)
        fprintf(stderr, "%s%s\n", !opened && (status == TA_DEVICE || status == TA_NOT_BUILT) ? "SKIPPED: " : "",
                ta_why());
    if (opened) b->gpu_ops->close(b->gpu);
    if (status == TA_OK) return 0;
    return !opened && (status == TA_DEVICE || status == TA_NOT_BUILT) ? BENCH_SKIPPED : 1;
}

static ta_status round_of(struct bench_gpu *b, const struct bench_work *work, double *seconds) {
    ta_status status = b->gpu_ops->drain(b->gpu);
    int64_t start = ta_clock_now_ns();
    for (unsigned i = 0; i < work->repeats && status == TA_OK; i++) status = work->queue(work->self, i);
    if (status == TA_OK) status = b->gpu_ops->drain(b->gpu);
    *seconds = (double)(ta_clock_now_ns() - start) * 1e-9 / work->repeats;
    return status;
}

ta_status bench_turns(struct bench_gpu *b, struct bench_work *const *works, unsigned n, unsigned rounds) {
    if (rounds > BENCH_ROUNDS) rounds = BENCH_ROUNDS;
    double warm;
    ta_status status = TA_OK;
    for (unsigned i = 0; i < n && status == TA_OK; i++) status = round_of(b, works[i], &warm);
    for (unsigned r = 0; r < rounds && status == TA_OK; r++)
        for (unsigned i = 0; i < n && status == TA_OK; i++) status = round_of(b, works[i], &works[i]->seconds[r]);
    return status;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

double bench_median(const double *values, unsigned n) {
    double sorted[BENCH_ROUNDS];
    if (n > BENCH_ROUNDS) n = BENCH_ROUNDS;
    memcpy(sorted, values, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, ascending);
    return n % 2 ? sorted[n / 2] : 0.5 * (sorted[n / 2 - 1] + sorted[n / 2]);
}

void bench_figure(const char *name, double value, const char *unit) {
    printf("FIGURE %s %.6g %s\n", name, value, unit);
    fflush(stdout);
}
