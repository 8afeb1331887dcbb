/* fake_device: CUDA C++ as the C++ compiler can take it: kernels become functions, a launch is work in a stream.
 *
 * How a kernel is tested without a GPU, in ten lines:
 *
 *     __global__ void scale_kernel(size_t n, float by, float *x) { TA_GRID_FOR(i, n) x[i] *= by; }   // in scale.cu
 *     ...
 *     ta_fake_gpu_reset("order=random:7");                           // fake_gpu.h, in a test linked with ta_fake_cuda
 *     cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);     // the legacy default stream is refused
 *     cudaMalloc(&x, n * sizeof(float));                             // NaNs; the CPU faults when it touches it
 *     cudaMemcpyAsync(x, host, n * sizeof(float), cudaMemcpyHostToDevice, stream);
 *     TA_LAUNCH(scale_kernel, 4, 256, 0, stream, n, 2.0f, x);        // queued: runs when something waits for it
 *     cudaMemcpyAsync(host, x, n * sizeof(float), cudaMemcpyDeviceToHost, stream);
 *     cudaStreamSynchronize(stream);                                 // ... as here, block after block
 *
 * The threads of a block are fibers which switch at __syncthreads, __syncwarp and in warp functions only. Blocks run
 * one after another, in an order drawn by the seed where the order is random, as are the threads' turns. Threads that
 * wait for each other at different places end the process with a message. __shared__ is a static variable, with what
 * the last block left in it. Device memory ends at a page nobody may touch; under the address sanitizer the rest of
 * it is poisoned, too.
 *
 * A kernel that is a template is launched with its arguments named, in parentheses where there is a comma:
 * TA_LAUNCH((cast_kernel<float, 4>), ...).
 */
#ifndef TA_FAKE_DEVICE_H
#define TA_FAKE_DEVICE_H

#include <cuda_runtime.h>
#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <functional>
#include <tuple>

#undef __global__
#undef __device__
#undef __host__
#undef __shared__
#undef __constant__
#undef __launch_bounds__
#undef __align__
#define __global__
#define __device__
#define __host__
#define __shared__ static
#define __constant__ static
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))

extern uint3 ta_fake_threadIdx, ta_fake_blockIdx;
extern dim3 ta_fake_blockDim, ta_fake_gridDim;
#define threadIdx ta_fake_threadIdx
#define blockIdx ta_fake_blockIdx
#define blockDim ta_fake_blockDim
#define gridDim ta_fake_gridDim
constexpr int warpSize = 32;

namespace ta_fake {

struct Place {
    const char *file;
    int line;
};
enum WarpCall { SYNC, SHUFFLE, BALLOT, ADD, MIN, MAX, OR, AND, XOR };

void barrier(Place place);
/* Waits for the lanes in the mask; SHUFFLE: the value of lane `from`; else the mask's values put together. */
uint64_t warp(WarpCall call, unsigned mask, uint64_t value, unsigned from, Place place);
unsigned lane();
unsigned active();
void *dynamic_shared();
struct Shape {
    dim3 grid, block;
    size_t shared; /* bytes of what the launch sizes */
};
cudaError_t launch_kernel(const char *name, const void *kernel, const Shape &shape, cudaStream_t stream,
                          std::function<void()> body);

template <class T> struct same {
    using type = T;
};

template <class... P>
inline void launch(const char *name, void (*kernel)(P...), const Shape &shape, cudaStream_t stream,
                   typename same<P>::type... arguments) {
    std::tuple<P...> kept(arguments...);
    launch_kernel(name, reinterpret_cast<const void *>(kernel), shape, stream,
                  [kernel, kept] { std::apply(kernel, kept); });
}

template <class T> inline uint64_t pack(T value) {
    static_assert(sizeof(T) <= 8, "shuffles move up to 8 bytes");
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    return bits;
}

template <class T> inline T unpack(uint64_t bits) {
    T value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

template <class T> inline T shuffle(unsigned mask, T value, int from, Place place) {
    return unpack<T>(warp(SHUFFLE, mask, pack(value), (unsigned)from, place));
}

} // namespace ta_fake

#define TA_LAUNCH(kernel, grid, block, shared, stream, ...) \
    ta_fake::launch(#kernel, kernel, ta_fake::Shape{(grid), (block), (size_t)(shared)}, (stream), __VA_ARGS__)
#define TA_DYNAMIC_SHARED(type, name) type *name = reinterpret_cast<type *>(ta_fake::dynamic_shared())

#define TA_HERE const char *file = __builtin_FILE(), int line = __builtin_LINE()
#define TA_PLACE ta_fake::Place{file, line}

inline void __syncthreads(TA_HERE) { ta_fake::barrier(TA_PLACE); }
inline void __syncwarp(unsigned mask = 0xffffffffu, TA_HERE) { ta_fake::warp(ta_fake::SYNC, mask, 0, 0, TA_PLACE); }
inline unsigned __activemask() { return ta_fake::active(); }

template <class T> inline T __shfl_sync(unsigned mask, T value, int from, int width = 32, TA_HERE) {
    int lane = (int)ta_fake::lane();
    return ta_fake::shuffle(mask, value, (lane & ~(width - 1)) + (from & (width - 1)), TA_PLACE);
}

template <class T> inline T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32, TA_HERE) {
    int lane = (int)ta_fake::lane(), from = lane - (int)by;
    return ta_fake::shuffle(mask, value, from < (lane & ~(width - 1)) ? lane : from, TA_PLACE);
}

template <class T> inline T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32, TA_HERE) {
    int lane = (int)ta_fake::lane(), from = lane + (int)by;
    return ta_fake::shuffle(mask, value, from > (lane | (width - 1)) ? lane : from, TA_PLACE);
}

template <class T> inline T __shfl_xor_sync(unsigned mask, T value, int by, int width = 32, TA_HERE) {
    int lane = (int)ta_fake::lane(), from = lane ^ by;
    return ta_fake::shuffle(mask, value, from > (lane | (width - 1)) ? lane : from, TA_PLACE);
}

inline unsigned __ballot_sync(unsigned mask, int yes, TA_HERE) {
    return (unsigned)ta_fake::warp(ta_fake::BALLOT, mask, yes != 0, 0, TA_PLACE);
}
inline int __any_sync(unsigned mask, int yes, TA_HERE) { return __ballot_sync(mask, yes, file, line) != 0; }
inline int __all_sync(unsigned mask, int yes, TA_HERE) { return __ballot_sync(mask, !yes, file, line) == 0; }

#define TA_REDUCE(name, call)                                                            \
    inline unsigned name(unsigned mask, unsigned value, TA_HERE) {                       \
        return (unsigned)ta_fake::warp(ta_fake::call, mask, value, 0, TA_PLACE);         \
    }
TA_REDUCE(__reduce_add_sync, ADD)
TA_REDUCE(__reduce_min_sync, MIN)
TA_REDUCE(__reduce_max_sync, MAX)
TA_REDUCE(__reduce_or_sync, OR)
TA_REDUCE(__reduce_and_sync, AND)
TA_REDUCE(__reduce_xor_sync, XOR)
inline int __reduce_add_sync(unsigned mask, int value, TA_HERE) {
    return (int)__reduce_add_sync(mask, (unsigned)value, file, line);
}
#undef TA_REDUCE

/* cuda_runtime.h has these for nvcc alone. */
template <class... P> inline cudaError_t cudaFuncSetAttribute(void (*kernel)(P...), cudaFuncAttribute what, int value) {
    return cudaFuncSetAttribute(reinterpret_cast<const void *>(kernel), what, value);
}
template <class... P>
inline cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, void (*kernel)(P...), int threads,
                                                                 size_t shared) {
    const void *address = reinterpret_cast<const void *>(kernel);
    return cudaOccupancyMaxActiveBlocksPerMultiprocessor(blocks, address, threads, shared);
}

#include "fake_math.h"

#endif
