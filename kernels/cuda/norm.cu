// norm: batch normalisation over the rows of a matrix: the mean, then the squares about it, then the rows once more.
#include "columns.cuh"

template <class T> constexpr int lanes = 16 / (int)sizeof(T);

template <class T, int L> struct values {
    const T *in;
    __device__ __forceinline__ void operator()(size_t at, uint32_t, float *a, float *) const {
        const ta_pack<T, L> x = ta_load<L>(in + at);
        for (int e = 0; e < L; e++) a[e] += ta_get(x.e[e]);
    }
};

struct store_mean {
    float *mean, *statistic;
    double rows;
    __device__ __forceinline__ void operator()(uint32_t column, double a, double) const {
        mean[column] = (float)(a / rows);
        if (statistic != NULL) statistic[column] = mean[column];
    }
};

template <class T, int L> struct squares {
    const T *in;
    const float *mean;
    __device__ __forceinline__ void operator()(size_t at, uint32_t column, float *a, float *) const {
        const ta_pack<T, L> x = ta_load<L>(in + at);
        for (int e = 0; e < L; e++) {
            float off = ta_get(x.e[e]) - mean[column + e];
            a[e] += off * off;
        }
    }
};

struct store_variance {
    float *inverse, *statistic;
    double rows;
    float epsilon;
    __device__ __forceinline__ void operator()(uint32_t column, double a, double) const {
        inverse[column] = (float)(1 / sqrt(a / rows + (double)epsilon));
        if (statistic != NULL) statistic[column] = (float)(rows > 1 ? a / (rows - 1) : a / rows);
    }
};

// out = (in - mean) * inverse * gamma + beta, or by the moving variance.
struct scaling {
    const float *mean, *inverse, *variance, *gamma, *beta; // variance NULL: inverse is known
    float epsilon;
};

template <class T, int L> static __global__ void __launch_bounds__(TA_FLAT_BLOCK)
    scale_kernel(size_t rows, uint32_t cols, scaling s, const T *in, T *out) {
    const uint32_t column = TA_WALK_COLUMN(L);
    if (column >= cols) return;
    float mean[L], by[L], beta[L];
    for (int e = 0; e < L; e++) {
        const uint32_t c = column + e;
        mean[e] = s.mean[c];
        by[e] = s.variance != NULL ? 1 / sqrtf(s.variance[c] + s.epsilon) : s.inverse[c];
        if (s.gamma != NULL) by[e] *= s.gamma[c];
        beta[e] = s.beta != NULL ? s.beta[c] : 0;
    }
    TA_WALK_ROWS(row, rows) {
        ta_pack<T, L> x = ta_load<L>(in + row * cols + column);
        for (int e = 0; e < L; e++) x.e[e] = ta_put<T>((ta_get(x.e[e]) - mean[e]) * by[e] + beta[e]);
        ta_store<L>(out + row * cols + column, x);
    }
}

template <class T, int L> static cudaError_t scale(cudaStream_t stream, const ta_flat_norm_layer *l, const scaling &s,
                                                   const void *in, void *out) {
    const ta_walk walk = ta_walk_of(l->m.rows, l->m.cols, L);
    auto kernel = scale_kernel<T, L>;
    TA_LAUNCH(kernel, walk.grid, walk.block, 0, stream, l->m.rows, l->m.cols, s, (const T *)in, (T *)out);
    return cudaGetLastError();
}

// What a call passes on to the types it is made for.
struct call {
    cudaStream_t stream;
    const ta_flat_norm_layer *l;
    const void *in;
    void *out;
    float *statistic_mean, *statistic_variance;
    scaling s;
    const ta_flat_norm_grad *grad;
};

template <class T, int L> static cudaError_t train(const call &c) {
    const ta_flat_norm_layer *l = c.l;
    const double rows = (double)l->m.rows;
    const store_mean mean = {l->mean, c.statistic_mean, rows};
    const store_variance variance = {l->inverse, c.statistic_variance, rows, l->epsilon};
    const values<T, L> first = {(const T *)c.in};
    const squares<T, L> second = {(const T *)c.in, l->mean};
    cudaError_t error = ta_columns_sum<L>(c.stream, l->m, first, false, l->scratch, mean);
    if (error == cudaSuccess) error = ta_columns_sum<L>(c.stream, l->m, second, false, l->scratch, variance);
    return error == cudaSuccess ? scale<T, L>(c.stream, l, c.s, c.in, c.out) : error;
}

template <class T, int L> static cudaError_t infer(const call &c) {
    return scale<T, L>(c.stream, c.l, c.s, c.in, c.out);
}

// --- the way back ---

template <class T, int L> struct slopes {
    const T *in, *grad_out;
    const float *mean, *inverse;
    __device__ __forceinline__ void operator()(size_t at, uint32_t column, float *a, float *b) const {
        const ta_pack<T, L> x = ta_load<L>(in + at), g = ta_load<L>(grad_out + at);
        for (int e = 0; e < L; e++) {
            float slope = ta_get(g.e[e]);
            a[e] += slope;
            b[e] += slope * ((ta_get(x.e[e]) - mean[column + e]) * inverse[column + e]);
        }
    }
};

// Sums of the gradient, and of the gradient by the normalised input: to the gradients of beta and gamma, and by rows
// into the scratch's two last rows, for the kernel behind.
struct store_slopes {
    float *beta, *gamma, *mean_a, *mean_b;
    double rows;
    __device__ __forceinline__ void operator()(uint32_t column, double a, double b) const {
        if (beta != NULL) beta[column] = (float)a;
        if (gamma != NULL) gamma[column] = (float)b;
        mean_a[column] = (float)(a / rows);
        mean_b[column] = (float)(b / rows);
    }
};

// grad_in = gamma * inverse * (g - mean(g) - xhat * mean(g * xhat)).
template <class T, int L> static __global__ void __launch_bounds__(TA_FLAT_BLOCK)
    back_kernel(size_t rows, uint32_t cols, slopes<T, L> s, const float *gamma, const float *mean_a,
                const float *mean_b, T *grad_in) {
    const uint32_t column = TA_WALK_COLUMN(L);
    if (column >= cols) return;
    float mean[L], inverse[L], by[L], a[L], b[L];
    for (int e = 0; e < L; e++) {
        const uint32_t c = column + e;
        mean[e] = s.mean[c];
        inverse[e] = s.inverse[c];
        by[e] = gamma != NULL ? gamma[c] * inverse[e] : inverse[e];
        a[e] = mean_a[c];
        b[e] = mean_b[c];
    }
    TA_WALK_ROWS(row, rows) {
        const size_t at = row * cols + column;
        const ta_pack<T, L> x = ta_load<L>(s.in + at);
        ta_pack<T, L> g = ta_load<L>(s.grad_out + at);
        for (int e = 0; e < L; e++) {
            float xhat = (ta_get(x.e[e]) - mean[e]) * inverse[e];
            g.e[e] = ta_put<T>(by[e] * (ta_get(g.e[e]) - a[e] - xhat * b[e]));
        }
        ta_store<L>(grad_in + at, g);
    }
}

template <class T, int L> static cudaError_t backward(const call &c) {
    const ta_flat_norm_layer *l = c.l;
    const uint32_t cols = l->m.cols;
    float *mean_a = (float *)l->scratch + 2 * (size_t)ta_columns_partials(cols) * cols, *mean_b = mean_a + cols;
    const slopes<T, L> part = {(const T *)c.grad->in, (const T *)c.grad->grad_out, l->mean, l->inverse};
    const store_slopes end = {c.grad->beta_grad, c.grad->gamma_grad, mean_a, mean_b, (double)l->m.rows};
    cudaError_t error = ta_columns_sum<L>(c.stream, l->m, part, true, l->scratch, end);
    if (error != cudaSuccess || c.grad->grad_in == NULL) return error;
    const ta_walk walk = ta_walk_of(l->m.rows, cols, L);
    auto kernel = back_kernel<T, L>;
    TA_LAUNCH(kernel, walk.grid, walk.block, 0, c.stream, l->m.rows, cols, part, l->gamma, mean_a, mean_b,
              (T *)c.grad->grad_in);
    return cudaGetLastError();
}

template <class T> static bool packs(const call &c) {
    const void *third = c.grad != NULL ? c.grad->grad_in : NULL;
    return c.l->m.cols % lanes<T> == 0 && ta_aligned(c.in, 16) && ta_aligned(c.out, 16) && ta_aligned(third, 16);
}

#define BY_TYPE(what, c)                                                                                             \
    ((c).l->m.rows == 0 || (c).l->m.cols == 0 ? cudaSuccess                                                          \
     : (c).l->m.type == TA_FLAT_BF16 ? (packs<ta_bf16>(c) ? what<ta_bf16, lanes<ta_bf16>>(c) : what<ta_bf16, 1>(c))  \
                                     : (packs<float>(c) ? what<float, lanes<float>>(c) : what<float, 1>(c)))

cudaError_t ta_flat_norm_train(cudaStream_t stream, const ta_flat_norm_layer *l, const void *in, void *out,
                               float *statistic_mean, float *statistic_variance) {
    const scaling s = {l->mean, l->inverse, NULL, l->gamma, l->beta, l->epsilon};
    const call c = {stream, l, in, out, statistic_mean, statistic_variance, s, NULL};
    return BY_TYPE(train, c);
}

cudaError_t ta_flat_norm_infer(cudaStream_t stream, const ta_flat_norm_layer *l, const float *moving_mean,
                               const float *moving_variance, const void *in, void *out) {
    const scaling s = {moving_mean, NULL, moving_variance, l->gamma, l->beta, l->epsilon};
    const call c = {stream, l, in, out, NULL, NULL, s, NULL};
    return BY_TYPE(infer, c);
}

cudaError_t ta_flat_norm_backward(cudaStream_t stream, const ta_flat_norm_layer *l, const ta_flat_norm_grad *args) {
    const call c = {stream, l, args->in, (void *)(uintptr_t)args->grad_out, NULL, NULL, {}, args};
    return BY_TYPE(backward, c);
}
