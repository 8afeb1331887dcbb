/* bench_apply: the passes of the exchange over 25 million parameters, beside a copy within the device in the same run:
 * the sum of w0, the own delta and 8 inboxes (11 arrays of traffic), and the update with momentum and decay (6). Every
 * element of the sum is compared with the CPU's, bit for bit. */
#include <stdio.h>
#include <string.h>

#include "bench.h"
#include "mem.h"

enum { REGISTERS = 9, ARRAYS = REGISTERS + 2, ROUNDS = 15, REPEATS = 8 };

struct apply {
    struct bench_gpu *b;
    const struct ta_kernels_ops *ops;
    struct ta_kernels *kernels;
    float *arrays[ARRAYS]; /* base, registers, w */
    float *host;           /* [n] the pattern that all arrays begin with, turned by a step each */
    size_t n;
    struct ta_update how;
};

static ta_status queue_sum(void *self, unsigned repeat) {
    struct apply *a = self;
    (void)repeat;
    return a->ops->sum(a->kernels, a->n, a->arrays[ARRAYS - 1], a->arrays[0], (const float *const *)&a->arrays[1],
                       REGISTERS);
}

/* grad, w; m and delta to and fro. */
static ta_status queue_update(void *self, unsigned repeat) {
    struct apply *a = self;
    a->how.step = repeat + 1;
    return a->ops->update(a->kernels, &a->how, a->n, a->arrays[1], a->arrays[2], a->arrays[3], NULL, a->arrays[4]);
}

static ta_status queue_copy(void *self, unsigned repeat) {
    struct apply *a = self;
    unsigned pair = repeat % (ARRAYS / 2); /* in turns, so that no cache holds them */
    return a->b->gpu_ops->copy(a->b->gpu, TA_GPU_APPLY, a->arrays[2 * pair + 1], a->arrays[2 * pair],
                               a->n * sizeof(float));
}

static size_t turned(const struct apply *a, unsigned array, size_t i) { return (i + (size_t)array * 4099) % a->n; }

static ta_status fill(struct apply *a) {
    uint32_t state = 12345;
    for (size_t i = 0; i < a->n; i++) {
        state = state * 1664525u + 1013904223u;
        a->host[i] = ((float)(state >> 8) - 8388608.0F) * 1e-9F;
    }
    ta_status status = TA_OK;
    for (unsigned r = 0; r < ARRAYS - 1 && status == TA_OK; r++) {
        size_t first = turned(a, r, 0);
        status = a->ops->copy_in(a->kernels, a->arrays[r], a->host + first, (a->n - first) * sizeof(float));
        if (status == TA_OK && first > 0)
            status = a->ops->copy_in(a->kernels, a->arrays[r] + (a->n - first), a->host, first * sizeof(float));
    }
    return status;
}

static ta_status check(struct apply *a) {
    float *got = NULL;
    size_t wrong = 0;
    ta_status status = TA_NEW(&got, a->n, "sums");
    if (status == TA_OK) status = queue_sum(a, 0);
    if (status == TA_OK) status = a->ops->copy_out(a->kernels, got, a->arrays[ARRAYS - 1], a->n * sizeof(float));
    for (size_t i = 0; i < a->n && status == TA_OK; i++) {
        float sum = a->host[turned(a, 0, i)];
        for (unsigned r = 1; r <= REGISTERS; r++) sum += a->host[turned(a, r, i)];
        wrong += memcmp(&sum, &got[i], sizeof sum) != 0;
    }
    ta_mem_free(got);
    if (status == TA_OK) bench_figure("apply_wrong_elements", (double)wrong, "elements");
    if (status == TA_OK && wrong > 0)
        return ta_fail(TA_FAILED, "%zu of %zu elements of the sum differ from the CPU's", wrong, a->n);
    return status;
}

static ta_status measure(struct apply *a) {
    struct bench_work sum = {.queue = queue_sum, .self = a, .repeats = REPEATS};
    struct bench_work copy = {.queue = queue_copy, .self = a, .repeats = REPEATS};
    struct bench_work update = {.queue = queue_update, .self = a, .repeats = REPEATS};
    struct bench_work *turns[] = {&sum, &copy, &update};
    unsigned rounds = a->b->quick ? 1 : ROUNDS;
    ta_status status = bench_turns(a->b, turns, 3, rounds);
    if (status != TA_OK) return status;
    double array = 1e-9 * (double)(a->n * sizeof(float));
    double copied = 2 * array / bench_median(copy.seconds, rounds);
    double summed = ARRAYS * array / bench_median(sum.seconds, rounds);
    double updated = 6 * array / bench_median(update.seconds, rounds);
    bench_figure("apply_copy_GBps", copied, "GB/s");
    bench_figure("apply_8_inboxes_GBps", summed, "GB/s");
    bench_figure("apply_8_inboxes_vs_copy", summed / copied, "ratio");
    bench_figure("update_momentum_GBps", updated, "GB/s");
    bench_figure("update_momentum_vs_copy", updated / copied, "ratio");
    return TA_OK;
}

int main(int argc, char **argv) {
    struct bench_gpu b = {0};
    ta_status status = bench_open(&b, argc, argv);
    struct apply a = {.b = &b, .n = b.quick ? 10007 : 25000000};
    a.how = (struct ta_update){
        .kind = TA_MOMENTUM, .rate = 1e-6F, .scale = 1, .grad_scale = 1, .weight_decay = 1e-4F, .momentum = 0.9F};
    if (status == TA_OK) status = ta_kernels_find("cuda", &a.ops);
    if (status == TA_OK)
        status = a.ops->open(&(struct ta_kernels_config){.gpu_ops = b.gpu_ops, .gpu = b.gpu}, &a.kernels);
    for (unsigned i = 0; i < ARRAYS && status == TA_OK; i++)
        status = a.ops->alloc(a.kernels, a.n * sizeof(float), "an array", (void **)&a.arrays[i]);
    if (status == TA_OK) status = TA_NEW(&a.host, a.n, "a pattern");
    if (status == TA_OK) status = fill(&a);
    if (status == TA_OK) status = check(&a);
    if (status == TA_OK) status = measure(&a);
    if (a.kernels != NULL) {
        for (unsigned i = 0; i < ARRAYS; i++) a.ops->free(a.kernels, a.arrays[i]);
        a.ops->close(a.kernels);
    }
    ta_mem_free(a.host);
    return bench_end(&b, status);
}
