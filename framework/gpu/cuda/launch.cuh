// launch: how a kernel is started, on a device or on the make-believe one of the tests (tests/gpu/fake), for which the
// same source is compiled by the C++ compiler. A .cu file includes this and nothing else of CUDA, but for cuda_bf16.h.
//
//     __global__ void scale_kernel(size_t n, float by, float *x) { TA_GRID_FOR(i, n) x[i] *= by; }
//     TA_LAUNCH(scale_kernel, grid, block, shared_bytes, stream, n, by, x);
//
// In kernels: __syncthreads, __shfl_*_sync, __ballot_sync, atomicAdd, __shared__ (fixed sizes; at file scope of the
// kernel), TA_DYNAMIC_SHARED(type, name) for what the launch sizes, __ldg, __ldcg/__stcg, and plain arithmetic. No inline
// PTX without an #ifdef __CUDA_ARCH__ and a plain branch beside it.
#ifndef TA_LAUNCH_CUH
#define TA_LAUNCH_CUH

#include <stddef.h>
#include <stdint.h>

#ifdef __CUDACC__
#include <cuda_runtime.h>
#define TA_LAUNCH(kernel, grid, block, shared, stream, ...) kernel<<<(grid), (block), (shared), (stream)>>>(__VA_ARGS__)
#define TA_DYNAMIC_SHARED(type, name)                              \
    extern __shared__ __align__(16) unsigned char ta_dynamic_shared[]; \
    type *name = reinterpret_cast<type *>(ta_dynamic_shared)
#else
#include "fake_device.h"
#endif

// A loop over 0 .. n - 1, spread over all threads of the grid.
#define TA_GRID_FOR(i, n)                                                                        \
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < (size_t)(n); \
         i += (size_t)gridDim.x * blockDim.x)

#endif
