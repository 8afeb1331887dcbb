/* gpu_cuda: gpu.h by CUDA's runtime, and what the rest of the plugin shares: errors of CUDA as ta_status. */
#ifndef TA_GPU_CUDA_H
#define TA_GPU_CUDA_H

#include <cuda_runtime_api.h>

#include "gpu.h"

extern const struct ta_gpu_ops ta_gpu_cuda;

/* TA_OK, or DEVICE with what CUDA says of `error`, what was being done, and the cure; a loss of the GPU is remembered.
 * `gpu` may be NULL. */
ta_status ta_gpu_said(struct ta_gpu *gpu, cudaError_t error, const char *what);

static inline cudaStream_t ta_gpu_cuda_stream(struct ta_gpu *gpu, enum ta_gpu_stream stream) {
    return (cudaStream_t)ta_gpu_cuda.stream(gpu, stream);
}

#endif
