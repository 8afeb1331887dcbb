// columns.cuh: sums over the rows of a matrix, column by column, two at a time, in an order that the shape alone
// decides.
//
// A block has 32 lanes across (of L columns each) and 8 rows down; it walks down the rows in strides and writes one
// row of partial sums; then one block for 32 columns adds those up and hands each column's sums to `End`.
#ifndef TA_CUDA_COLUMNS_CUH
#define TA_CUDA_COLUMNS_CUH

#include "flat.cuh"

enum { TA_COLUMNS_DOWN = 8, TA_COLUMNS_END = 16, TA_COLUMNS_MOST = 256 };

// Rows of partial sums at most: about a thousand blocks, whatever the width.
static inline uint32_t ta_columns_partials(uint32_t cols) {
    uint32_t across = (cols + 255) / 256, many = 1024 / (across < 1 ? 1 : across);
    return many < 8 ? 8 : many > TA_COLUMNS_MOST ? (uint32_t)TA_COLUMNS_MOST : many;
}

// PART: void operator()(size_t at, uint32_t column, float *a, float *b) const for L elements from `at` on: adds to a,
// b [L].
template <int L, class PART> static __global__ void __launch_bounds__(TA_WARP *TA_COLUMNS_DOWN)
    columns_kernel(size_t rows, uint32_t cols, PART part, float *partial_a, float *partial_b) {
    __shared__ float sums[TA_COLUMNS_DOWN][2 * L][TA_WARP];
    const uint32_t column = (blockIdx.x * TA_WARP + threadIdx.x) * L;
    float a[L] = {}, b[L] = {};
    if (column < cols)
        for (size_t row = (size_t)blockIdx.y * TA_COLUMNS_DOWN + threadIdx.y; row < rows;
             row += (size_t)gridDim.y * TA_COLUMNS_DOWN)
            part(row * cols + column, column, a, b);
    for (int e = 0; e < L; e++) {
        sums[threadIdx.y][2 * e][threadIdx.x] = a[e];
        sums[threadIdx.y][2 * e + 1][threadIdx.x] = b[e];
    }
    __syncthreads();
    if (threadIdx.y != 0 || column >= cols) return;
    for (int e = 0; e < L; e++) {
        float sum_a = 0, sum_b = 0;
        for (int y = 0; y < TA_COLUMNS_DOWN; y++) {
            sum_a += sums[y][2 * e][threadIdx.x];
            sum_b += sums[y][2 * e + 1][threadIdx.x];
        }
        partial_a[(size_t)blockIdx.y * cols + column + e] = sum_a;
        if (partial_b != NULL) partial_b[(size_t)blockIdx.y * cols + column + e] = sum_b;
    }
}

// END: void operator()(uint32_t column, double a, double b) const.
template <class END> static __global__ void __launch_bounds__(TA_WARP *TA_COLUMNS_END)
    columns_end_kernel(uint32_t cols, uint32_t partials, const float *partial_a, const float *partial_b, END end) {
    __shared__ double sums[2][TA_COLUMNS_END][TA_WARP];
    const uint32_t column = blockIdx.x * TA_WARP + threadIdx.x;
    double a = 0, b = 0;
    if (column < cols) {
        for (uint32_t p = threadIdx.y; p < partials; p += TA_COLUMNS_END) {
            a += partial_a[(size_t)p * cols + column];
            if (partial_b != NULL) b += partial_b[(size_t)p * cols + column];
        }
    }
    sums[0][threadIdx.y][threadIdx.x] = a;
    sums[1][threadIdx.y][threadIdx.x] = b;
    __syncthreads();
    if (threadIdx.y != 0 || column >= cols) return;
    for (int y = 1; y < TA_COLUMNS_END; y++) {
        a += sums[0][y][threadIdx.x];
        b += sums[1][y][threadIdx.x];
    }
    end(column, a, b);
}

// `both`: PART adds to b, too.
template <int L, class PART, class END> static cudaError_t ta_columns_sum(cudaStream_t stream,
                                                                          const ta_flat_matrix &m, const PART &part,
                                                                          bool both, void *scratch, const END &end) {
    const size_t down = (m.rows + 4 * TA_COLUMNS_DOWN - 1) / (4 * TA_COLUMNS_DOWN); // some rows a thread
    const uint32_t most = ta_columns_partials(m.cols), partials = down < most ? (uint32_t)down : most;
    float *a = (float *)scratch, *b = both ? a + (size_t)most * m.cols : NULL;
    const dim3 grid((m.cols + L * TA_WARP - 1) / (L * TA_WARP), partials);
    auto sum = columns_kernel<L, PART>;
    TA_LAUNCH(sum, grid, dim3(TA_WARP, TA_COLUMNS_DOWN), 0, stream, m.rows, m.cols, part, a, b);
    cudaError_t error = cudaGetLastError();
    if (error != cudaSuccess) return error;
    auto finish = columns_end_kernel<END>;
    TA_LAUNCH(finish, (m.cols + TA_WARP - 1) / TA_WARP, dim3(TA_WARP, TA_COLUMNS_END), 0, stream, m.cols, partials, a,
              b, end);
    return cudaGetLastError();
}

// --- walks over a matrix without sums: lanes across, rows down ---

struct ta_walk {
    dim3 grid, block;
};

static inline ta_walk ta_walk_of(size_t rows, uint32_t cols, int L) {
    uint32_t across = (cols + L - 1) / L, x = 1;
    while (x < across && x < TA_WARP) x *= 2;
    uint32_t y = TA_FLAT_BLOCK / x;
    size_t down = (rows + y - 1) / y;
    ta_walk walk = {dim3((across + x - 1) / x, down < 65535 ? (unsigned)down : 65535U), dim3(x, y)};
    return walk;
}

// A loop over the rows that are this thread's; `column` its first column: if (column < cols) ...
#define TA_WALK_COLUMN(L) ((blockIdx.x * blockDim.x + threadIdx.x) * (L))
#define TA_WALK_ROWS(row, rows)                                                                                      \
    for (size_t row = (size_t)blockIdx.y * blockDim.y + threadIdx.y; row < (rows);                                   \
         row += (size_t)gridDim.y * blockDim.y)

#endif
