// rows: sums, choices and folds of scattered rows, a warp a row: kernels/cpu/rows.c to the bit. Peers may write
// registers meanwhile: each of their words is read once, whole.
#include "flat.cuh"

struct rows {
    ta_table table;
    uint64_t seed;
    const uint32_t *list; // NULL: 0, 1, ...
    size_t n;
    const float *base;
    unsigned n_registers;
    const float *r[TA_FLAT_ROW_REGISTERS]; // as arguments of a kernel, of which there are 4 KiB
};

#define FOR_ROWS(i, n)                                                                                               \
    for (size_t i = ((size_t)blockIdx.x * blockDim.x + threadIdx.x) / TA_WARP; i < (n);                              \
         i += (size_t)gridDim.x * blockDim.x / TA_WARP)

static __device__ __forceinline__ size_t place_of(const ta_table &t, uint32_t row) {
    return t.offset + (size_t)row * t.stride;
}

// What a place starts from.
static __device__ __forceinline__ float origin(const rows &a, size_t place) {
    if (a.base != NULL) return ta_load_once<1>(a.base + place).e[0];
    return a.table.range == 0 ? 0 : __fmul_rn(a.table.range, ta_cell(a.seed, place));
}

// Packs of 4 columns as far as they go, where all rows begin at 16 bytes.
static __global__ void __launch_bounds__(TA_FLAT_BLOCK) sum_kernel(rows a, bool packs, float *w) {
    const uint32_t lane = threadIdx.x % TA_WARP, width = a.table.width, whole = packs ? width / 4 * 4 : 0;
    FOR_ROWS(i, a.n) {
        const size_t at = place_of(a.table, a.list == NULL ? (uint32_t)i : a.list[i]);
        for (uint32_t c = 4 * lane; c < whole; c += 4 * TA_WARP) {
            ta_pack<float, 4> x;
            if (a.base != NULL)
                x = ta_load_once<4>(a.base + at + c);
            else
                for (int e = 0; e < 4; e++) x.e[e] = origin(a, at + c + e);
            TA_UNROLL_BY(4)
            for (unsigned r = 0; r < a.n_registers; r++) {
                const ta_pack<float, 4> y = ta_load_once<4>(a.r[r] + at + c);
                for (int e = 0; e < 4; e++) x.e[e] = __fadd_rn(x.e[e], y.e[e]);
            }
            ta_store<4>(w + at + c, x);
        }
        for (uint32_t c = whole + lane; c < width; c += TA_WARP) {
            float x = origin(a, at + c);
            TA_UNROLL_BY(4)
            for (unsigned r = 0; r < a.n_registers; r++) x = __fadd_rn(x, ta_load_once<1>(a.r[r] + at + c).e[0]);
            w[at + c] = x;
        }
    }
}

static __device__ __forceinline__ uint32_t word_at(const float *from) {
    return __float_as_uint(ta_load_once<1>(from).e[0]);
}

// The word that decides is the word that is kept: lane 0 reads it once.
static __global__ void __launch_bounds__(TA_FLAT_BLOCK) pick_kernel(rows a, float *w) {
    const uint32_t lane = threadIdx.x % TA_WARP;
    FOR_ROWS(i, a.n) {
        const uint32_t row = a.list == NULL ? (uint32_t)i : a.list[i];
        const size_t at = place_of(a.table, row);
        const float *from = a.n_registers == 0 ? NULL : a.r[row % a.n_registers] + at;
        uint32_t head = from != NULL && lane == 0 ? word_at(from) : 0;
        if (__shfl_sync(ta_all_lanes, head, 0) == 0) {
            from = a.base == NULL ? NULL : a.base + at;
            head = from != NULL && lane == 0 ? word_at(from) : 0;
        }
        uint32_t *to = reinterpret_cast<uint32_t *>(w + at);
        for (uint32_t c = lane; c < a.table.width; c += TA_WARP)
            to[c] = c == 0 ? head : from == NULL ? 0 : word_at(from + c);
    }
}

// Whoever exchanges a word of `folded` for the new one first adds the difference: a row that is listed twice, at work
// in two warps at once, counts once. Peers may read delta meanwhile.
static __global__ void __launch_bounds__(TA_FLAT_BLOCK)
    fold_kernel(rows a, const float *w, float *folded, float *delta) {
    FOR_ROWS(i, a.n) {
        const size_t at = place_of(a.table, a.list == NULL ? (uint32_t)i : a.list[i]);
        for (uint32_t c = threadIdx.x % TA_WARP; c < a.table.width; c += TA_WARP) {
            const float now = w[at + c];
            const float was =
                __uint_as_float(atomicExch(reinterpret_cast<unsigned *>(folded + at + c), __float_as_uint(now)));
            if (__float_as_uint(was) != __float_as_uint(now))
                delta[at + c] = __fadd_rn(delta[at + c], __fadd_rn(now, -was));
        }
    }
}

static bool take(const ta_flat_rows *args, rows *a) {
    if (args->n_registers > TA_FLAT_ROW_REGISTERS) return false;
    *a = {*args->table, args->seed,        args->rows, args->rows == NULL ? args->table->rows : args->n_rows,
          args->base,   args->n_registers, {}};
    for (unsigned r = 0; r < args->n_registers; r++) a->r[r] = args->registers[r];
    return true;
}

static unsigned grid_of(const rows &a) { return ta_flat_grid(a.n * TA_WARP, TA_FLAT_BLOCK); }

cudaError_t ta_flat_rows_sum(cudaStream_t stream, const ta_flat_rows *args, float *w) {
    rows a;
    if (!take(args, &a)) return cudaErrorInvalidValue;
    if (a.n == 0 || a.table.width == 0) return cudaSuccess;
    bool packs = a.table.offset % 4 == 0 && a.table.stride % 4 == 0 && ta_aligned(w, 16) && ta_aligned(a.base, 16);
    for (unsigned r = 0; r < a.n_registers; r++) packs = packs && ta_aligned(a.r[r], 16);
    TA_LAUNCH(sum_kernel, grid_of(a), TA_FLAT_BLOCK, 0, stream, a, packs, w);
    return cudaGetLastError();
}

cudaError_t ta_flat_rows_pick(cudaStream_t stream, const ta_flat_rows *args, float *w) {
    rows a;
    if (!take(args, &a)) return cudaErrorInvalidValue;
    if (a.n == 0 || a.table.width == 0) return cudaSuccess;
    TA_LAUNCH(pick_kernel, grid_of(a), TA_FLAT_BLOCK, 0, stream, a, w);
    return cudaGetLastError();
}

cudaError_t ta_flat_rows_fold(cudaStream_t stream, const ta_flat_rows *args, const float *w, float *folded,
                              float *delta) {
    rows a;
    if (!take(args, &a)) return cudaErrorInvalidValue;
    if (a.n == 0 || a.table.width == 0) return cudaSuccess;
    TA_LAUNCH(fold_kernel, grid_of(a), TA_FLAT_BLOCK, 0, stream, a, w, folded, delta);
    return cudaGetLastError();
}
