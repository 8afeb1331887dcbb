// flat.cuh: what the kernels of flat.h share: elements of two types, several at a time, sums over a warp, Philox,
// grids.
#ifndef TA_CUDA_FLAT_CUH
#define TA_CUDA_FLAT_CUH

#include "flat.h"
#include "launch.cuh"

enum { TA_FLAT_BLOCK = 256, TA_WARP = 32 };
static const unsigned ta_all_lanes = 0xffffffffU;

#ifdef __CUDACC__
#define TA_UNROLL _Pragma("unroll")
#define TA_UNROLL_BY(n) TA_UNROLL_BY_(unroll n)
#define TA_UNROLL_BY_(text) _Pragma(#text)
#else
#define TA_UNROLL
#define TA_UNROLL_BY(n)
#endif

// Blocks for `n` threads; a loop over the grid does what is more.
static inline unsigned ta_flat_grid(size_t n, unsigned block) {
    size_t blocks = (n + block - 1) / block;
    return blocks < 1 ? 1 : blocks > (1U << 20) ? 1U << 20 : (unsigned)blocks;
}

// --- elements ---

struct ta_bf16 {
    uint16_t bits;
};

static __device__ __forceinline__ float ta_get(float x) { return x; }
static __device__ __forceinline__ float ta_get(ta_bf16 x) {
    union {
        uint32_t bits;
        float value;
    } u;
    u.bits = (uint32_t)x.bits << 16;
    return u.value;
}

template <class T> static __device__ __forceinline__ T ta_put(float x);
template <> __device__ __forceinline__ float ta_put<float>(float x) { return x; }
// To nearest, ties to even; a NaN stays one.
template <> __device__ __forceinline__ ta_bf16 ta_put<ta_bf16>(float x) {
    union {
        float value;
        uint32_t bits;
    } u;
    u.value = x;
    uint32_t rounded = u.bits + 0x7fffU + (u.bits >> 16 & 1);
    ta_bf16 to;
    to.bits = (uint16_t)((x == x ? rounded : u.bits | 0x400000U) >> 16);
    return to;
}

// L elements that lie at a multiple of their size: one access to memory.
template <class T, int L> struct alignas(sizeof(T) * L) ta_pack { T e[L]; };

template <int L, class T> static __device__ __forceinline__ ta_pack<T, L> ta_load(const T *from) {
    return *reinterpret_cast<const ta_pack<T, L> *>(from);
}
template <int L, class T> static __device__ __forceinline__ void ta_store(T *to, const ta_pack<T, L> &pack) {
    *reinterpret_cast<ta_pack<T, L> *>(to) = pack;
}

// What is read once in a while: each word once, whole, past the caches' older half.
template <int L> static __device__ __forceinline__ ta_pack<float, L> ta_load_once(const float *from) {
#ifdef __CUDA_ARCH__
    ta_pack<float, L> pack;
    if (L == 4) {
        float4 x = __ldcs(reinterpret_cast<const float4 *>(from));
        pack.e[0] = x.x, pack.e[1 % L] = x.y, pack.e[2 % L] = x.z, pack.e[3 % L] = x.w;
    } else {
        for (int i = 0; i < L; i++) pack.e[i] = __ldcs(from + i);
    }
    return pack;
#else
    return ta_load<L>(from);
#endif
}

static inline bool ta_aligned(const void *p, size_t bytes) { return (uintptr_t)p % bytes == 0; }

// --- warps: every lane gets the result, in an order that is always the same ---

static __device__ __forceinline__ float ta_warp_sum(float x) {
    for (int step = TA_WARP / 2; step > 0; step /= 2) x += __shfl_xor_sync(ta_all_lanes, x, step);
    return x;
}
static __device__ __forceinline__ double ta_warp_sum(double x) {
    for (int step = TA_WARP / 2; step > 0; step /= 2) x += __shfl_xor_sync(ta_all_lanes, x, step);
    return x;
}
static __device__ __forceinline__ float ta_warp_max(float x) {
    for (int step = TA_WARP / 2; step > 0; step /= 2) x = fmaxf(x, __shfl_xor_sync(ta_all_lanes, x, step));
    return x;
}

// --- random numbers: the bits of framework/base/rng.h ---

// ta_rng_block: Philox 4x32-10.
static __device__ __forceinline__ void ta_philox(uint64_t seed, uint64_t stream, uint64_t block, uint32_t out[4]) {
    uint32_t key0 = (uint32_t)seed, key1 = (uint32_t)(seed >> 32);
    uint32_t x0 = (uint32_t)block, x1 = (uint32_t)(block >> 32), x2 = (uint32_t)stream, x3 = (uint32_t)(stream >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)0xD2511F53U * x0, b = (uint64_t)0xCD9E8D57U * x2;
        x0 = (uint32_t)(b >> 32) ^ x1 ^ key0;
        x1 = (uint32_t)b;
        x2 = (uint32_t)(a >> 32) ^ x3 ^ key1;
        x3 = (uint32_t)a;
        key0 += 0x9E3779B9U;
        key1 += 0xBB67AE85U;
    }
    out[0] = x0, out[1] = x1, out[2] = x2, out[3] = x3;
}

// ta_rng_cell.
static __device__ __forceinline__ float ta_cell(uint64_t seed, uint64_t place) {
    uint32_t x = (uint32_t)place ^ (uint32_t)seed;
    x ^= x >> 16;
    x *= 0x7feb352dU;
    x ^= x >> 15;
    x *= 0x846ca68bU;
    x ^= x >> 16;
    x += (uint32_t)(seed >> 32) + (uint32_t)(place >> 32) * 0x9e3779b9U;
    x ^= x >> 16;
    x *= 0x7feb352dU;
    x ^= x >> 15;
    x *= 0x846ca68bU;
    x ^= x >> 16;
    return (float)(int32_t)(x >> 8) * 5.9604644775390625e-8F - .5F;
}

// --- ranges of an arena, cut into tiles: a tile is a block's work ---

enum { TA_RANGES = 96, TA_TILE = 4 * TA_FLAT_BLOCK };

struct ta_ranges {
    uint32_t n;
    uint32_t tile_end[TA_RANGES]; // tiles of the ranges up to this one
    size_t offset[TA_RANGES], count[TA_RANGES];
};

// The part of a range that is tile number `tile` of all.
static __device__ __forceinline__ uint32_t ta_tile_of(const ta_ranges &r, uint32_t tile, size_t *at,
                                                      uint32_t *count) {
    uint32_t low = 0, high = r.n - 1;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (tile < r.tile_end[middle])
            high = middle;
        else
            low = middle + 1;
    }
    size_t first = (size_t)(tile - (low == 0 ? 0 : r.tile_end[low - 1])) * TA_TILE, left = r.count[low] - first;
    *at = r.offset[low] + first;
    *count = left < TA_TILE ? (uint32_t)left : (uint32_t)TA_TILE;
    return low;
}

static inline uint32_t ta_tiles(const ta_ranges &r) { return r.n == 0 ? 0 : r.tile_end[r.n - 1]; }

// Adds a range; false: the table is full. Empty ranges need no place.
static inline bool ta_ranges_add(ta_ranges &r, size_t offset, size_t count) {
    size_t tiles = (count + TA_TILE - 1) / TA_TILE;
    if (count == 0) return true;
    if (r.n == TA_RANGES || ta_tiles(r) + tiles > INT32_MAX) return false;
    r.offset[r.n] = offset;
    r.count[r.n] = count;
    r.tile_end[r.n] = ta_tiles(r) + (uint32_t)tiles;
    r.n++;
    return true;
}

#endif
