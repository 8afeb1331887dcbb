// gradient: its norm and whether it is finite; moving averages, compensation, casts.
#include "flat.cuh"

// --- the norm: partial sums by block, then one block over those: the order is fixed by the ranges alone ---

// The sum over a block, in thread 0.
static __device__ double block_sum(double x) {
    __shared__ double warps[TA_FLAT_BLOCK / TA_WARP];
    x = ta_warp_sum(x);
    if (threadIdx.x % TA_WARP == 0) warps[threadIdx.x / TA_WARP] = x;
    __syncthreads();
    double sum = 0;
    for (unsigned i = 0; i < TA_FLAT_BLOCK / TA_WARP; i++) sum += warps[i];
    __syncthreads();
    return sum;
}

static __device__ __forceinline__ double squares(const float *x, uint32_t count) {
    double sum = 0;
    uint32_t whole = (uintptr_t)x % 16 == 0 ? count / 4 * 4 : 0;
    for (uint32_t i = 4 * threadIdx.x; i < whole; i += 4 * blockDim.x) {
        ta_pack<float, 4> p = ta_load<4>(x + i);
        for (int e = 0; e < 4; e++) sum += (double)p.e[e] * p.e[e];
    }
    for (uint32_t i = whole + threadIdx.x; i < count; i += blockDim.x) sum += (double)x[i] * x[i];
    return sum;
}

static __global__ void __launch_bounds__(TA_FLAT_BLOCK)
    squares_kernel(ta_ranges ranges, const float *grad, double *partial) {
    double sum = 0;
    for (uint32_t tile = blockIdx.x; tile < ranges.tile_end[ranges.n - 1]; tile += gridDim.x) {
        size_t at;
        uint32_t count;
        ta_tile_of(ranges, tile, &at, &count);
        sum += squares(grad + at, count);
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) partial[blockIdx.x] += sum;
}

static __global__ void __launch_bounds__(TA_FLAT_BLOCK)
    outcome_kernel(const double *partial, const ta_flat_scalars *how, ta_flat_outcome *outcome) {
    double trained = 0, statistics = 0;
    for (unsigned i = threadIdx.x; i < TA_FLAT_PARTIALS; i += blockDim.x) {
        trained += partial[i];
        statistics += partial[TA_FLAT_PARTIALS + i];
    }
    trained = block_sum(trained);
    statistics = block_sum(statistics);
    if (threadIdx.x != 0) return;
    double norm = sqrt(trained), most = how != NULL ? (double)how->clip_norm : 0;
    outcome->norm2 = trained;
    outcome->finite = isfinite(trained) && isfinite(statistics);
    outcome->grad_scale = most > 0 && norm > most ? (float)(most / norm) : 1;
}

static cudaError_t squares_launch(cudaStream_t stream, const ta_ranges &ranges, const float *grad, double *partial) {
    if (ranges.n == 0) return cudaSuccess;
    uint32_t tiles = ta_tiles(ranges), grid = tiles < TA_FLAT_PARTIALS ? tiles : (uint32_t)TA_FLAT_PARTIALS;
    TA_LAUNCH(squares_kernel, grid, TA_FLAT_BLOCK, 0, stream, ranges, grad, partial);
    return cudaGetLastError();
}

static cudaError_t squares_of(cudaStream_t stream, const ta_param *list, uint32_t n, const float *grad,
                              double *partial) {
    ta_ranges ranges = {};
    for (uint32_t i = 0; i < n; i++) {
        if (ta_ranges_add(ranges, list[i].offset, list[i].count)) continue;
        cudaError_t error = squares_launch(stream, ranges, grad, partial);
        ranges.n = 0;
        if (error != cudaSuccess) return error;
        if (!ta_ranges_add(ranges, list[i].offset, list[i].count)) return cudaErrorInvalidValue;
    }
    return squares_launch(stream, ranges, grad, partial);
}

cudaError_t ta_flat_norm2(cudaStream_t stream, const ta_flat_norm *args) {
    double *partial = (double *)args->scratch;
    cudaError_t error = cudaMemsetAsync(partial, 0, TA_FLAT_NORM_SCRATCH, stream);
    if (error == cudaSuccess) error = squares_of(stream, args->trained, args->n_trained, args->grad, partial);
    if (error == cudaSuccess)
        error = squares_of(stream, args->statistics, args->n_statistics, args->grad, partial + TA_FLAT_PARTIALS);
    if (error != cudaSuccess) return error;
    TA_LAUNCH(outcome_kernel, 1, TA_FLAT_BLOCK, 0, stream, partial, args->how, args->outcome);
    return cudaGetLastError();
}

// --- moving averages, compensation ---

struct momenta {
    float of[TA_RANGES];
};

static __global__ void __launch_bounds__(TA_FLAT_BLOCK)
    moving_kernel(ta_ranges ranges, momenta keep, const ta_flat_outcome *outcome, const float *statistic,
                  float *value) {
    if (outcome != NULL && outcome->finite == 0) return;
    for (uint32_t tile = blockIdx.x; tile < ranges.tile_end[ranges.n - 1]; tile += gridDim.x) {
        size_t at;
        uint32_t count;
        const float k = keep.of[ta_tile_of(ranges, tile, &at, &count)], rest = __fadd_rn(1, -k);
        for (uint32_t i = threadIdx.x; i < count; i += blockDim.x)
            value[at + i] = __fadd_rn(__fmul_rn(k, value[at + i]), __fmul_rn(rest, statistic[at + i]));
    }
}

static cudaError_t moving_launch(cudaStream_t stream, const ta_ranges &ranges, const momenta &keep,
                                 const ta_flat_outcome *outcome, const float *statistic, float *value) {
    if (ranges.n == 0) return cudaSuccess;
    TA_LAUNCH(moving_kernel, ta_flat_grid(ta_tiles(ranges), 1), TA_FLAT_BLOCK, 0, stream, ranges, keep, outcome,
              statistic, value);
    return cudaGetLastError();
}

cudaError_t ta_flat_moving_ranges(cudaStream_t stream, const ta_flat_outcome *outcome,
                                  const ta_flat_moving_range *list, uint32_t n, const float *grad, float *delta) {
    ta_ranges ranges = {};
    momenta keep = {};
    for (uint32_t i = 0; i < n; i++) {
        if (list[i].count == 0) continue;
        if (!ta_ranges_add(ranges, list[i].offset, list[i].count)) {
            cudaError_t error = moving_launch(stream, ranges, keep, outcome, grad, delta);
            ranges.n = 0;
            if (error != cudaSuccess) return error;
            if (!ta_ranges_add(ranges, list[i].offset, list[i].count)) return cudaErrorInvalidValue;
        }
        keep.of[ranges.n - 1] = list[i].momentum;
    }
    return moving_launch(stream, ranges, keep, outcome, grad, delta);
}

cudaError_t ta_flat_moving(cudaStream_t stream, size_t n, float momentum, const float *statistic, float *value) {
    const ta_flat_moving_range all = {0, n, momentum};
    return ta_flat_moving_ranges(stream, NULL, &all, 1, statistic, value);
}

static __global__ void compensate_kernel(size_t n, float rate, const float *w, const float *basis, float *grad) {
    TA_GRID_FOR(i, n) {
        float g = grad[i], square = __fmul_rn(__fmul_rn(rate, g), g);
        grad[i] = __fadd_rn(g, __fmul_rn(square, __fadd_rn(w[i], -basis[i])));
    }
}

cudaError_t ta_flat_compensate(cudaStream_t stream, size_t n, float rate, const float *w, const float *basis,
                               float *grad) {
    if (n == 0) return cudaSuccess;
    TA_LAUNCH(compensate_kernel, ta_flat_grid(n, TA_FLAT_BLOCK), TA_FLAT_BLOCK, 0, stream, n, rate, w, basis, grad);
    return cudaGetLastError();
}

// --- casts ---

template <class FROM, class TO, int L> static __global__ void __launch_bounds__(TA_FLAT_BLOCK)
    cast_kernel(size_t first, size_t n, const FROM *from, TO *to) {
    TA_GRID_FOR(i, (n - first) / L) {
        const size_t at = first + i * L;
        ta_pack<FROM, L> x = ta_load<L>(from + at);
        ta_pack<TO, L> y;
        for (int e = 0; e < L; e++) y.e[e] = ta_put<TO>(ta_get(x.e[e]));
        ta_store<L>(to + at, y);
    }
}

template <class FROM, class TO> static cudaError_t cast(cudaStream_t stream, size_t n, const void *from, void *to) {
    const FROM *x = (const FROM *)from;
    TO *y = (TO *)to;
    size_t whole = ta_aligned(x, 4 * sizeof *x) && ta_aligned(y, 4 * sizeof *y) ? n / 4 * 4 : 0;
    auto packs = cast_kernel<FROM, TO, 4>;
    auto single = cast_kernel<FROM, TO, 1>;
    if (whole > 0)
        TA_LAUNCH(packs, ta_flat_grid(whole / 4, TA_FLAT_BLOCK), TA_FLAT_BLOCK, 0, stream, (size_t)0, whole, x, y);
    if (whole < n)
        TA_LAUNCH(single, ta_flat_grid(n - whole, TA_FLAT_BLOCK), TA_FLAT_BLOCK, 0, stream, whole, n, x, y);
    return cudaGetLastError();
}

cudaError_t ta_flat_cast(cudaStream_t stream, size_t n, ta_flat_type from_type, const void *from,
                         ta_flat_type to_type, void *to) {
    if (n == 0) return cudaSuccess;
    if (from_type == to_type)
        return cudaMemcpyAsync(to, from, n * ta_flat_bytes(from_type), cudaMemcpyDeviceToDevice, stream);
    return from_type == TA_FLAT_FLOAT ? cast<float, ta_bf16>(stream, n, from, to)
                                      : cast<ta_bf16, float>(stream, n, from, to);
}
