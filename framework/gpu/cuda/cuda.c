/* cuda: gpu.h by CUDA's runtime. */
#include "gpu_cuda.h"

static ta_status count(unsigned *n) {
    int found = 0;
    cudaError_t error = cudaGetDeviceCount(&found);
    *n = error == cudaSuccess ? (unsigned)found : 0;
    return error == cudaErrorNoDevice ? TA_OK : ta_gpu_said(NULL, error, "looking for GPUs");
}

ta_status ta_gpu_said(struct ta_gpu *gpu, cudaError_t error, const char *what) {
    (void)gpu;
    if (error == cudaSuccess) return TA_OK;
    return ta_fail(TA_DEVICE, "%s: CUDA says '%s'", what, cudaGetErrorString(error));
}

const struct ta_gpu_ops ta_gpu_cuda = {.name = "cuda", .count = count};
