/* cuda: the inside of the CUDA make, shared by the files of this folder only.
 *
 *     cuda.c        the table, opening and closing           net.h       nets and their steps
 *     flat.h        kernels of our own: flat parameters, pointwise layers, losses
 *     members.h     the members of the table that work on flat parameters and rows
 *     cudnn/        convolutions, averages, batch_norm       cublaslt/   products of matrices
 *
 * All that computes on activations or gradients is queued on COMPUTE; the apply of the exchange on APPLY. Both see the
 * weights, so whoever queues something asks ta_cuda_on_compute or ta_cuda_on_apply for the stream, which lets it begin
 * behind all that was queued on the other. */
#ifndef TA_KERNELS_CUDA_H
#define TA_KERNELS_CUDA_H

#include "gpu_cuda.h"
#include "kernels.h"

struct ta_cudnn;
struct ta_cublaslt;
struct ta_rows_ring; /* rows.c: numbers of rows on their way to the device */

enum { TA_CUDA_SCRATCH_BYTES = 1 << 20, TA_CUDA_PINNED_BYTES = 4096 };

struct ta_kernels {
    const struct ta_gpu_ops *gpu_ops;
    struct ta_gpu *gpu;
    struct ta_cudnn *cudnn;       /* both opened with the first net */
    struct ta_cublaslt *cublaslt;
    enum ta_compute compute;
    uint32_t multiprocessors;
    bool compute_ahead, apply_ahead; /* has work that the other stream does not wait for yet */
    void *scratch;                   /* TA_CUDA_SCRATCH_BYTES of the device, for partial sums on COMPUTE */
    void *pinned;                    /* TA_CUDA_PINNED_BYTES of the host, for results that a call waits for */
    struct ta_rows_ring *rows;       /* made by rows.c when first needed; closed by ta_cuda_rows_close */
};

/* What is queued on *stream from now on begins when everything is done that was queued on both so far. The GPU is that
 * of the calling thread from then on. */
static inline ta_status ta_cuda_on_compute(struct ta_kernels *k, cudaStream_t *stream) {
    *stream = ta_gpu_cuda_stream(k->gpu, TA_GPU_COMPUTE);
    k->compute_ahead = true;
    if (!k->apply_ahead) return TA_OK;
    k->apply_ahead = false;
    return k->gpu_ops->follow(k->gpu, TA_GPU_COMPUTE, TA_GPU_APPLY);
}

static inline ta_status ta_cuda_on_apply(struct ta_kernels *k, cudaStream_t *stream) {
    *stream = ta_gpu_cuda_stream(k->gpu, TA_GPU_APPLY);
    k->apply_ahead = true;
    if (!k->compute_ahead) return TA_OK;
    k->compute_ahead = false;
    return k->gpu_ops->follow(k->gpu, TA_GPU_APPLY, TA_GPU_COMPUTE);
}

/* Opens what nets need of vendors' libraries, once. */
ta_status ta_cuda_libraries(struct ta_kernels *k);
/* Waits until all that was queued on both is done. */
static inline ta_status ta_cuda_settle(struct ta_kernels *k) {
    cudaStream_t stream;
    ta_status status = ta_cuda_on_compute(k, &stream);
    return status == TA_OK ? ta_gpu_said(k->gpu, cudaStreamSynchronize(stream), "waiting for the kernels") : status;
}

extern const struct ta_kernels_ops ta_kernels_cuda;

#endif
