/* arena: the members of the table that work on flat parameters, queued where they belong. */
#include "cuda.h"
#include "flat.h"
#include "members.h"

ta_status ta_cuda_grad_norm2(struct ta_kernels *k, size_t n, const float *grad, double *norm2) {
    const struct ta_param all = {.count = n};
    struct ta_flat_outcome *outcome = (void *)((char *)k->scratch + TA_FLAT_NORM_SCRATCH), *host = k->pinned;
    const struct ta_flat_norm args = {
        .grad = grad, .trained = &all, .n_trained = 1, .scratch = k->scratch, .outcome = outcome};
    cudaStream_t stream;
    ta_status status = ta_cuda_on_compute(k, &stream);
    if (status == TA_OK) status = ta_gpu_said(k->gpu, ta_flat_norm2(stream, &args), "the gradient's norm");
    if (status == TA_OK)
        status = ta_gpu_said(k->gpu, cudaMemcpyAsync(host, outcome, sizeof *host, cudaMemcpyDeviceToHost, stream),
                             "copying the gradient's norm");
    if (status == TA_OK) status = ta_cuda_settle(k);
    *norm2 = status == TA_OK ? host->norm2 : 0;
    return status;
}

ta_status ta_cuda_update(struct ta_kernels *k, const struct ta_update *how, size_t n, const float *grad, const float *w,
                         float *m, float *v, float *delta) {
    bool needs_m = how->kind == TA_MOMENTUM || how->kind == TA_ADAM;
    bool needs_v = how->kind == TA_ADAM || how->kind == TA_ADAGRAD;
    if ((unsigned)how->kind > TA_ADAGRAD) return ta_fail(TA_INVALID, "optimizer %d does not exist", (int)how->kind);
    if ((needs_m && m == NULL) || (needs_v && v == NULL))
        return ta_fail(TA_INVALID, "optimizer %d needs state that was not given", (int)how->kind);
    struct ta_flat_scalars scalars;
    ta_flat_scalars_of(how, 0, &scalars);
    const struct ta_flat_arena arena = {.grad = grad, .w = w, .m = m, .v = v, .delta = delta};
    cudaStream_t stream;
    ta_status status = ta_cuda_on_compute(k, &stream);
    if (status != TA_OK) return status;
    return ta_gpu_said(k->gpu, ta_flat_update(stream, how->kind, &scalars, n, &arena), "an update");
}

ta_status ta_cuda_moving(struct ta_kernels *k, size_t n, float momentum, const float *statistic, float *value) {
    cudaStream_t stream;
    ta_status status = ta_cuda_on_compute(k, &stream);
    if (status != TA_OK) return status;
    return ta_gpu_said(k->gpu, ta_flat_moving(stream, n, momentum, statistic, value), "a moving average");
}

ta_status ta_cuda_compensate(struct ta_kernels *k, size_t n, float rate, const float *w, const float *basis,
                             float *grad) {
    cudaStream_t stream;
    ta_status status = ta_cuda_on_compute(k, &stream);
    if (status != TA_OK) return status;
    return ta_gpu_said(k->gpu, ta_flat_compensate(stream, n, rate, w, basis, grad), "compensating a delay");
}

ta_status ta_cuda_sum(struct ta_kernels *k, size_t n, float *w, const float *base, const float *const *registers,
                      unsigned n_registers) {
    cudaStream_t stream;
    ta_status status = ta_cuda_on_apply(k, &stream);
    if (status != TA_OK) return status;
    return ta_gpu_said(k->gpu, ta_flat_sum(stream, n, w, base, registers, n_registers), "summing registers");
}

ta_status ta_cuda_mean(struct ta_kernels *k, size_t n, float *w, const float *const *registers, unsigned n_registers) {
    if (n_registers == 0) return ta_fail(TA_INVALID, "the mean of no registers");
    cudaStream_t stream;
    ta_status status = ta_cuda_on_apply(k, &stream);
    if (status != TA_OK) return status;
    return ta_gpu_said(k->gpu, ta_flat_mean(stream, n, w, registers, n_registers), "the mean of registers");
}
