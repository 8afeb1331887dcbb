// arena: sums of registers, updates, moving averages: kernels/cpu/arena.c to the bit. Each product and sum rounds by
// itself
// (_rn: never fused); square roots and quotients are IEEE's, which is nvcc's default.
#include <string.h>

#include "flat.cuh"

// --- sums of registers ---

// More than these are summed in further passes.
enum { AT_ONCE = 16, LISTED = 64 };

template <int N> struct registers { const float *r[N > 0 ? N : 1]; };

// w = (base + r[0] + ...) [* share]. U packs of a thread are on their way at once.
template <int N, int U> static __global__ void __launch_bounds__(TA_FLAT_BLOCK)
    sum_kernel(size_t n, float *w, const float *base, registers<N> list, float share) {
    const size_t packs = n / 4, tile = (size_t)blockDim.x * U;
    for (size_t first = blockIdx.x * tile + threadIdx.x; first < packs; first += gridDim.x * tile) {
        ta_pack<float, 4> x[U];
        TA_UNROLL
        for (int u = 0; u < U; u++) {
            size_t at = first + (size_t)u * blockDim.x;
            if (at < packs) x[u] = ta_load_once<4>(base + 4 * at);
        }
        TA_UNROLL
        for (int r = 0; r < N; r++) {
            ta_pack<float, 4> y[U];
            TA_UNROLL
            for (int u = 0; u < U; u++) {
                size_t at = first + (size_t)u * blockDim.x;
                if (at < packs) y[u] = ta_load_once<4>(list.r[r] + 4 * at);
            }
            TA_UNROLL
            for (int u = 0; u < U; u++)
                for (int e = 0; e < 4; e++) x[u].e[e] = __fadd_rn(x[u].e[e], y[u].e[e]);
        }
        TA_UNROLL
        for (int u = 0; u < U; u++) {
            size_t at = first + (size_t)u * blockDim.x;
            if (share != 1)
                for (int e = 0; e < 4; e++) x[u].e[e] = __fmul_rn(x[u].e[e], share);
            if (at < packs) ta_store<4>(w + 4 * at, x[u]);
        }
    }
}

// The same for any number up to LISTED, in packs of L, from element `first` on.
template <int L> static __global__ void __launch_bounds__(TA_FLAT_BLOCK)
    sum_many_kernel(size_t first, size_t n, float *w, const float *base, registers<LISTED> list, unsigned n_registers,
                    float share) {
    TA_GRID_FOR(i, (n - first) / L) {
        const size_t at = first + i * L;
        ta_pack<float, L> x = ta_load_once<L>(base + at);
        TA_UNROLL_BY(8)
        for (unsigned r = 0; r < n_registers; r++) {
            ta_pack<float, L> y = ta_load_once<L>(list.r[r] + at);
            for (int e = 0; e < L; e++) x.e[e] = __fadd_rn(x.e[e], y.e[e]);
        }
        if (share != 1)
            for (int e = 0; e < L; e++) x.e[e] = __fmul_rn(x.e[e], share);
        ta_store<L>(w + at, x);
    }
}

struct sum {
    cudaStream_t stream;
    size_t n;
    float *w;
    const float *base;
    const float *const *list;
    unsigned n_registers;
    float share;
};

template <int N> static void sum_few(const sum &s) {
    constexpr int U = N < 3 ? 4 : N < 8 ? 2 : 1;
    registers<N> list = {};
    for (int r = 0; r < N; r++) list.r[r] = s.list[r];
    auto kernel = sum_kernel<N, U>;
    TA_LAUNCH(kernel, ta_flat_grid(s.n / 4, TA_FLAT_BLOCK * U), TA_FLAT_BLOCK, 0, s.stream, s.n, s.w, s.base, list,
              s.share);
}

template <int L> static void sum_many(const sum &s, size_t first) {
    registers<LISTED> list = {};
    for (unsigned r = 0; r < s.n_registers; r++) list.r[r] = s.list[r];
    auto kernel = sum_many_kernel<L>;
    TA_LAUNCH(kernel, ta_flat_grid((s.n - first) / L, TA_FLAT_BLOCK), TA_FLAT_BLOCK, 0, s.stream, first, s.n, s.w,
              s.base, list, s.n_registers, s.share);
}

// One pass over at most LISTED registers.
static cudaError_t sum_pass(const sum &s) {
    static void (*const few[AT_ONCE + 1])(const sum &) = {
        sum_few<0>,  sum_few<1>,  sum_few<2>,  sum_few<3>,  sum_few<4>,  sum_few<5>,
        sum_few<6>,  sum_few<7>,  sum_few<8>,  sum_few<9>,  sum_few<10>, sum_few<11>,
        sum_few<12>, sum_few<13>, sum_few<14>, sum_few<15>, sum_few<16>};
    bool aligned = ta_aligned(s.w, 16) && ta_aligned(s.base, 16);
    for (unsigned r = 0; r < s.n_registers; r++) aligned = aligned && ta_aligned(s.list[r], 16);
    size_t whole = aligned ? s.n / 4 * 4 : 0;
    if (whole > 0 && s.n_registers <= AT_ONCE) {
        few[s.n_registers](s);
    } else if (whole > 0) {
        sum_many<4>(s, 0);
    }
    if (whole < s.n) sum_many<1>(s, whole);
    return cudaGetLastError();
}

// share 1: no mean. The list is summed LISTED at a time, each pass onto the last one's result.
static cudaError_t sum_all(sum s) {
    const float share = s.share;
    unsigned left = s.n_registers;
    if (s.n == 0 || (left == 0 && s.w == s.base && share == 1)) return cudaSuccess;
    do {
        s.n_registers = left < LISTED ? left : (unsigned)LISTED;
        left -= s.n_registers;
        s.share = left == 0 ? share : 1;
        cudaError_t error = sum_pass(s);
        if (error != cudaSuccess) return error;
        s.list += s.n_registers;
        s.base = s.w;
    } while (left > 0);
    return cudaSuccess;
}

cudaError_t ta_flat_sum(cudaStream_t stream, size_t n, float *w, const float *base, const float *const *registers,
                        unsigned n_registers) {
    return sum_all({stream, n, w, base, registers, n_registers, 1});
}

cudaError_t ta_flat_mean(cudaStream_t stream, size_t n, float *w, const float *const *registers,
                         unsigned n_registers) {
    if (n_registers == 0) return cudaErrorInvalidValue;
    return sum_all({stream, n, w, registers[0], registers + 1, n_registers - 1, 1.0F / (float)n_registers});
}

// --- updates ---

// One parameter, as kernels/cpu/arena.c: shape, the kind's own, moved.
template <ta_optimizer_kind KIND> static __device__ __forceinline__ void
update_one(const ta_flat_scalars &u, float scale, float g, float w, float &m, float &v, float &delta) {
    g = __fmul_rn(g, scale);
    g = g > u.clip ? u.clip : g;
    g = g < -u.clip ? -u.clip : g;
    g = __fadd_rn(g, __fmul_rn(u.decay, w));
    float direction = g;
    if (KIND == TA_MOMENTUM) {
        m = __fadd_rn(__fmul_rn(u.momentum, m), g);
        direction = __fadd_rn(__fmul_rn(u.ahead_g, g), __fmul_rn(u.ahead, m));
    } else if (KIND == TA_ADAM) {
        m = __fadd_rn(__fmul_rn(u.beta1, m), __fmul_rn(__fadd_rn(1, -u.beta1), g));
        v = __fadd_rn(__fmul_rn(u.beta2, v), __fmul_rn(__fadd_rn(1, -u.beta2), __fmul_rn(g, g)));
        direction = __fmul_rn(m, u.correct1) / __fadd_rn(sqrtf(__fmul_rn(v, u.correct2)), u.epsilon);
    } else if (KIND == TA_ADAGRAD) {
        v = __fadd_rn(v, __fmul_rn(g, g));
        direction = g / __fadd_rn(sqrtf(v), u.epsilon);
    }
    float step = __fadd_rn(__fmul_rn(-u.rate, direction), -__fmul_rn(u.decoupled, w));
    delta = __fadd_rn(delta, __fmul_rn(u.scale, step));
}

template <ta_optimizer_kind KIND, int L> static __device__ __forceinline__ void
update_pack(const ta_flat_scalars &u, float scale, const ta_flat_arena &a, size_t at) {
    constexpr bool HAS_M = KIND == TA_MOMENTUM || KIND == TA_ADAM, HAS_V = KIND == TA_ADAM || KIND == TA_ADAGRAD;
    ta_pack<float, L> g = ta_load<L>(a.grad + at), w = ta_load<L>(a.w + at), delta = ta_load<L>(a.delta + at), m = {},
                      v = {};
    if (HAS_M) m = ta_load<L>(a.m + at);
    if (HAS_V) v = ta_load<L>(a.v + at);
    for (int e = 0; e < L; e++) update_one<KIND>(u, scale, g.e[e], w.e[e], m.e[e], v.e[e], delta.e[e]);
    if (HAS_M) ta_store<L>(a.m + at, m);
    if (HAS_V) ta_store<L>(a.v + at, v);
    ta_store<L>(a.delta + at, delta);
}

// `outcome` NULL: the scalars are `given`; else they are in GPU memory.
template <ta_optimizer_kind KIND> static __global__ void __launch_bounds__(TA_FLAT_BLOCK)
    update_kernel(ta_ranges ranges, bool aligned, ta_flat_scalars given, const ta_flat_scalars *how,
                  const ta_flat_outcome *outcome, ta_flat_arena arena) {
    if (outcome != NULL && outcome->finite == 0) return;
    const ta_flat_scalars u = outcome != NULL ? *how : given;
    const float scale = outcome != NULL ? outcome->grad_scale : u.grad_scale;
    for (uint32_t tile = blockIdx.x; tile < ranges.tile_end[ranges.n - 1]; tile += gridDim.x) {
        size_t at;
        uint32_t count, whole = 0;
        ta_tile_of(ranges, tile, &at, &count);
        if (aligned && at % 4 == 0) {
            whole = count / 4 * 4;
            for (uint32_t i = 4 * threadIdx.x; i < whole; i += 4 * blockDim.x)
                update_pack<KIND, 4>(u, scale, arena, at + i);
        }
        for (uint32_t i = whole + threadIdx.x; i < count; i += blockDim.x)
            update_pack<KIND, 1>(u, scale, arena, at + i);
    }
}

static cudaError_t update_launch(cudaStream_t stream, const ta_ranges &ranges, const ta_flat_scalars &given,
                                 const ta_flat_ranges &a) {
    const ta_flat_arena &arena = a.arena;
    bool aligned = ta_aligned(arena.grad, 16) && ta_aligned(arena.w, 16) && ta_aligned(arena.m, 16) &&
                   ta_aligned(arena.v, 16) && ta_aligned(arena.delta, 16);
    bool needs_m = a.kind == TA_MOMENTUM || a.kind == TA_ADAM, needs_v = a.kind == TA_ADAM || a.kind == TA_ADAGRAD;
    if ((needs_m && arena.m == NULL) || (needs_v && arena.v == NULL)) return cudaErrorInvalidValue;
    if (ranges.n == 0) return cudaSuccess;
    auto kernel = a.kind == TA_ADAM       ? update_kernel<TA_ADAM>
                  : a.kind == TA_ADAGRAD  ? update_kernel<TA_ADAGRAD>
                  : a.kind == TA_MOMENTUM ? update_kernel<TA_MOMENTUM>
                                          : update_kernel<TA_SGD>;
    TA_LAUNCH(kernel, ta_flat_grid(ta_tiles(ranges), 1), TA_FLAT_BLOCK, 0, stream, ranges, aligned, given, a.how,
              a.outcome, arena);
    return cudaGetLastError();
}

cudaError_t ta_flat_update(cudaStream_t stream, ta_optimizer_kind kind, const ta_flat_scalars *how, size_t n,
                           const ta_flat_arena *arena) {
    ta_flat_ranges a = {kind, NULL, NULL, NULL, 0, *arena};
    ta_ranges ranges = {};
    return ta_ranges_add(ranges, 0, n) ? update_launch(stream, ranges, *how, a) : cudaErrorInvalidValue;
}

cudaError_t ta_flat_update_ranges(cudaStream_t stream, const ta_flat_ranges *args) {
    ta_ranges ranges = {};
    for (uint32_t i = 0; i < args->n_trained; i++) {
        const ta_param &p = args->trained[i];
        if (ta_ranges_add(ranges, p.offset, p.count)) continue;
        cudaError_t error = update_launch(stream, ranges, {}, *args);
        ranges.n = 0;
        if (error != cudaSuccess) return error;
        if (!ta_ranges_add(ranges, p.offset, p.count)) return cudaErrorInvalidValue;
    }
    return update_launch(stream, ranges, {}, *args);
}
