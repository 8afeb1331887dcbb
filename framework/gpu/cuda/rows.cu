// rows: rows of a table, copied by a warp each, in the widest words that both sides and the row allow. Words of 4 bytes
// are moved whole where source and target are aligned to it, as one-sided puts promise.
#include "rows.h"

#include "launch.cuh"

namespace {

constexpr size_t WARP = 32, BLOCK = 256, MOST_BLOCKS = 4096;

template <typename word>
__global__ void rows_kernel(word *to, const word *from, size_t words, const uint32_t *rows, size_t n) {
    size_t warps = (size_t)gridDim.x * (blockDim.x / WARP);
    size_t first = (size_t)blockIdx.x * (blockDim.x / WARP) + threadIdx.x / WARP;
    for (size_t i = first; i < n; i += warps) {
        size_t row = (size_t)rows[i] * words;
        for (size_t c = threadIdx.x % WARP; c < words; c += WARP) to[row + c] = from[row + c];
    }
}

template <typename word>
int launch(cudaStream_t stream, void *to, const void *from, size_t bytes, const uint32_t *rows, size_t n) {
    size_t blocks = (n + BLOCK / WARP - 1) / (BLOCK / WARP);
    unsigned grid = (unsigned)(blocks < MOST_BLOCKS ? blocks : MOST_BLOCKS);
    TA_LAUNCH((rows_kernel<word>), grid, (unsigned)BLOCK, 0, stream, (word *)to, (const word *)from,
              bytes / sizeof(word), rows, n);
    return (int)cudaGetLastError();
}

}  // namespace

extern "C" int ta_gpu_rows_launch(void *stream, void *to, const void *from, size_t bytes, const uint32_t *rows,
                                  size_t n) {
    uintptr_t all = (uintptr_t)to | (uintptr_t)from | (uintptr_t)bytes;
    cudaStream_t queue = (cudaStream_t)stream;
    if (n == 0 || bytes == 0) return (int)cudaSuccess;
    if (all % sizeof(uint4) == 0) return launch<uint4>(queue, to, from, bytes, rows, n);
    if (all % sizeof(uint32_t) == 0) return launch<uint32_t>(queue, to, from, bytes, rows, n);
    return launch<unsigned char>(queue, to, from, bytes, rows, n);
}
