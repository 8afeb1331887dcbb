// pack: tensors of the arena in a library's layout and type, and gradients back: all of a list in a launch or a few.
//
// The arena holds [taps][in][out]; seen as a matrix of taps * in rows and out columns, [out][taps][in] is its
// transpose.
#include "flat.cuh"

enum { TENSORS = 32, EDGE = 32, DEPTH = 8, PLAIN = 1024 };

struct tensors {
    uint32_t n;
    uint32_t tile_end[TENSORS];
    ta_flat_tensor of[TENSORS];
};

struct spot {
    ta_flat_tensor t;
    uint32_t tile; // in the tensor
};

static __device__ __forceinline__ spot find(const tensors &list, uint32_t tile) {
    uint32_t i = 0;
    while (tile >= list.tile_end[i]) i++;
    spot s = {list.of[i], tile - (i == 0 ? 0 : list.tile_end[i - 1])};
    return s;
}

// Row of the arena's matrix behind row `padded` of the packed one; false: that row is padding.
template <class INDEX>
static __device__ __forceinline__ bool row_of(const ta_flat_tensor &t, INDEX padded, INDEX *row) {
    *row = padded;
    if (t.in == t.in_padded) return true;
    INDEX tap = padded / t.in_padded, channel = padded % t.in_padded;
    *row = tap * t.in + channel;
    return channel < t.in;
}

// Element by element: both sides in the same order, but for the padding.
template <class T, bool BACK, class INDEX>
static __device__ __forceinline__ void copy_plain(const spot &s, float *arena, T *packed, INDEX first, INDEX end) {
    for (INDEX i = first + threadIdx.y * EDGE + threadIdx.x; i < end; i += EDGE * DEPTH) {
        INDEX row, column = s.t.out == 1 ? 0 : i % s.t.out;
        bool there = row_of<INDEX>(s.t, s.t.out == 1 ? i : i / s.t.out, &row);
        float *mine = arena + (size_t)row * s.t.out + column;
        if (BACK && there) *mine = ta_get(packed[i]);
        if (!BACK) packed[i] = ta_put<T>(there ? *mine : 0);
    }
}

// A square of the matrix, through shared memory, so that both sides are read and written along their rows.
template <class T, bool BACK>
static __device__ __forceinline__ void transpose(const spot &s, float (*square)[EDGE + 1], float *arena, T *packed) {
    const uint32_t x = threadIdx.x, rows = s.t.taps * s.t.in_padded, across = (s.t.out + EDGE - 1) / EDGE;
    const uint32_t row0 = s.tile / across * EDGE, column0 = s.tile % across * EDGE;
    for (uint32_t y = threadIdx.y; y < EDGE; y += DEPTH) {
        uint32_t padded = BACK ? row0 + x : row0 + y, column = BACK ? column0 + y : column0 + x, row;
        if (padded >= rows || column >= s.t.out) continue;
        if (BACK)
            square[y][x] = ta_get(packed[(size_t)column * rows + padded]);
        else
            square[y][x] = row_of(s.t, padded, &row) ? arena[(size_t)row * s.t.out + column] : 0;
    }
    __syncthreads();
    for (uint32_t y = threadIdx.y; y < EDGE; y += DEPTH) {
        uint32_t padded = BACK ? row0 + y : row0 + x, column = BACK ? column0 + x : column0 + y, row;
        if (padded >= rows || column >= s.t.out) continue;
        if (!BACK)
            packed[(size_t)column * rows + padded] = ta_put<T>(square[x][y]);
        else if (row_of(s.t, padded, &row))
            arena[(size_t)row * s.t.out + column] = square[x][y];
    }
    __syncthreads();
}

template <class T, bool BACK>
static __device__ __forceinline__ void move(const spot &s, float (*square)[EDGE + 1], float *arena, void *buffer) {
    T *packed = (T *)((unsigned char *)buffer + s.t.packed);
    arena += s.t.arena;
    if (s.t.krsc) {
        transpose<T, BACK>(s, square, arena, packed);
        return;
    }
    size_t count = (size_t)s.t.taps * s.t.in_padded * s.t.out, first = (size_t)s.tile * PLAIN;
    size_t end = count - first < PLAIN ? count : first + PLAIN;
    if (count <= UINT32_MAX / 2)
        copy_plain<T, BACK, uint32_t>(s, arena, packed, (uint32_t)first, (uint32_t)end);
    else
        copy_plain<T, BACK, size_t>(s, arena, packed, first, end);
}

template <bool BACK> static __global__ void __launch_bounds__(EDGE * DEPTH)
    pack_kernel(tensors list, float *arena, void *packed) {
    __shared__ float square[EDGE][EDGE + 1];
    for (uint32_t tile = blockIdx.x; tile < list.tile_end[list.n - 1]; tile += gridDim.x) {
        const spot s = find(list, tile);
        if (s.t.type == TA_FLAT_BF16)
            move<ta_bf16, BACK>(s, square, arena, packed);
        else
            move<float, BACK>(s, square, arena, packed);
    }
}

static size_t tiles_of(const ta_flat_tensor &t) {
    size_t rows = (size_t)t.taps * t.in_padded;
    if (t.krsc) return (rows + EDGE - 1) / EDGE * (((size_t)t.out + EDGE - 1) / EDGE);
    return (rows * t.out + PLAIN - 1) / PLAIN;
}

static cudaError_t launch(cudaStream_t stream, bool back, const tensors &list, float *arena, void *packed) {
    if (list.n == 0) return cudaSuccess;
    unsigned grid = ta_flat_grid(list.tile_end[list.n - 1], 1);
    auto kernel = back ? pack_kernel<true> : pack_kernel<false>;
    TA_LAUNCH(kernel, grid, dim3(EDGE, DEPTH), 0, stream, list, arena, packed);
    return cudaGetLastError();
}

static cudaError_t pack(cudaStream_t stream, bool back, const ta_flat_tensor *all, uint32_t n, float *arena,
                        void *packed) {
    tensors list = {};
    for (uint32_t i = 0; i < n; i++) {
        ta_flat_tensor t = all[i];
        if (t.in_padded == 0) t.in_padded = t.in;
        if (t.in_padded < t.in || (size_t)t.taps * t.in_padded > UINT32_MAX) return cudaErrorInvalidValue;
        if (t.out == 1) t.krsc = false; // the same order
        size_t tiles = tiles_of(t), before = list.n == 0 ? 0 : list.tile_end[list.n - 1];
        if (tiles == 0) continue;
        if (tiles > INT32_MAX) return cudaErrorInvalidValue;
        if (list.n == TENSORS || before + tiles > INT32_MAX) {
            cudaError_t error = launch(stream, back, list, arena, packed);
            if (error != cudaSuccess) return error;
            list.n = 0;
            before = 0;
        }
        list.of[list.n] = t;
        list.tile_end[list.n++] = (uint32_t)(before + tiles);
    }
    return launch(stream, back, list, arena, packed);
}

cudaError_t ta_flat_pack(cudaStream_t stream, const ta_flat_tensor *tensors, uint32_t n_tensors, const float *arena,
                         void *packed) {
    return pack(stream, false, tensors, n_tensors, (float *)(uintptr_t)arena, packed);
}

cudaError_t ta_flat_unpack(cudaStream_t stream, const ta_flat_tensor *tensors, uint32_t n_tensors, const void *packed,
                           float *arena) {
    return pack(stream, true, tensors, n_tensors, arena, (void *)(uintptr_t)packed);
}
