/* lazy_kernels: from addresses of the GPU to those of the CPU. */
#include "lazy_kernels.h"

#include <stdlib.h>

#include "lazy_gpu.h"

enum { MOST_REGISTERS = 64 };

struct ta_kernels {
    struct ta_gpu *gpu;
    struct ta_kernels *cpu;
};

static ta_status lazy_open(const struct ta_kernels_config *config, struct ta_kernels **out) {
    struct ta_kernels *k = calloc(1, sizeof *k);
    *out = NULL;
    if (k == NULL) return ta_fail(TA_NO_MEMORY, "lazy kernels");
    k->gpu = config->gpu;
    ta_status status = ta_kernels_cpu.open(&(struct ta_kernels_config){.threads = 1}, &k->cpu);
    if (status == TA_OK) *out = k;
    else free(k);
    return status;
}

static void lazy_close(struct ta_kernels *k) {
    if (k == NULL) return;
    ta_kernels_cpu.close(k->cpu);
    free(k);
}

static ta_status lazy_alloc(struct ta_kernels *k, size_t bytes, const char *what, void **out) {
    return lazy_gpu_ops.alloc(k->gpu, bytes, what, out);
}

static void lazy_free(struct ta_kernels *k, void *block) { lazy_gpu_ops.free(k->gpu, block); }

static void come(struct ta_kernels *k) {
    lazy_gpu_run(k->gpu, TA_GPU_APPLY);
    lazy_gpu_run(k->gpu, TA_GPU_COMPUTE);
}

static ta_status lazy_copy_in(struct ta_kernels *k, void *device, const void *host, size_t bytes) {
    come(k);
    return ta_kernels_cpu.copy_in(k->cpu, lazy_gpu_at(device), host, bytes);
}

static ta_status lazy_copy_out(struct ta_kernels *k, void *host, const void *device, size_t bytes) {
    come(k);
    return ta_kernels_cpu.copy_out(k->cpu, host, lazy_gpu_at(device), bytes);
}

static const float **translated(const float *const *registers, unsigned n, const float **out) {
    for (unsigned i = 0; i < n; i++) out[i] = lazy_gpu_at(registers[i]);
    return out;
}

/* NULL stays NULL. */
static float *at(const float *address) { return lazy_gpu_at(address); }

static ta_status lazy_sum(struct ta_kernels *k, size_t n, float *w, const float *base, const float *const *registers,
                          unsigned n_registers) {
    const float *list[MOST_REGISTERS];
    come(k);
    return ta_kernels_cpu.sum(k->cpu, n, at(w), at(base), translated(registers, n_registers, list), n_registers);
}

static ta_status lazy_mean(struct ta_kernels *k, size_t n, float *w, const float *const *registers,
                           unsigned n_registers) {
    const float *list[MOST_REGISTERS];
    come(k);
    return ta_kernels_cpu.mean(k->cpu, n, at(w), translated(registers, n_registers, list), n_registers);
}

static ta_status lazy_compensate(struct ta_kernels *k, size_t n, float rate, const float *w, const float *basis,
                                 float *grad) {
    come(k);
    return ta_kernels_cpu.compensate(k->cpu, n, rate, at(w), at(basis), at(grad));
}

static ta_status lazy_rows_sum(struct ta_kernels *k, const struct ta_table *table, uint64_t seed, const uint32_t *rows,
                               size_t n_rows, float *w, const float *base, const float *const *registers,
                               unsigned n_registers) {
    const float *list[MOST_REGISTERS];
    come(k);
    return ta_kernels_cpu.rows_sum(k->cpu, table, seed, rows, n_rows, at(w), at(base),
                                   translated(registers, n_registers, list), n_registers);
}

static ta_status lazy_rows_pick(struct ta_kernels *k, const struct ta_table *table, const uint32_t *rows, size_t n_rows,
                                float *w, const float *base, const float *const *registers, unsigned n_registers) {
    const float *list[MOST_REGISTERS];
    come(k);
    return ta_kernels_cpu.rows_pick(k->cpu, table, rows, n_rows, at(w), at(base),
                                    translated(registers, n_registers, list), n_registers);
}

static ta_status lazy_rows_fold(struct ta_kernels *k, const struct ta_table *table, const uint32_t *rows, size_t n_rows,
                                const float *w, float *folded, float *delta) {
    come(k);
    return ta_kernels_cpu.rows_fold(k->cpu, table, rows, n_rows, at(w), at(folded), at(delta));
}

const struct ta_kernels_ops lazy_kernels_ops = {
    .name = "lazy",
    .package = "",
    .on_gpu = true,
    .open = lazy_open,
    .close = lazy_close,
    .alloc = lazy_alloc,
    .free = lazy_free,
    .copy_in = lazy_copy_in,
    .copy_out = lazy_copy_out,
    .sum = lazy_sum,
    .mean = lazy_mean,
    .compensate = lazy_compensate,
    .rows_sum = lazy_rows_sum,
    .rows_pick = lazy_rows_pick,
    .rows_fold = lazy_rows_fold,
};
