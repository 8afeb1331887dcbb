// pointwise: bias and activation, their gradients, sums of two, softmax.
#include "columns.cuh"

static __device__ __forceinline__ float act_of(ta_flat_act act, float x) {
    if (act == TA_FLAT_RELU) return x < 0 ? 0 : x;
    if (act == TA_FLAT_TANH) return tanhf(x);
    if (act == TA_FLAT_SIGMOID) return 1 / (1 + expf(-x));
    return x;
}

// By what came out.
static __device__ __forceinline__ float slope_of(ta_flat_act act, float out, float grad) {
    if (act == TA_FLAT_RELU) return out <= 0 ? 0 : grad;
    if (act == TA_FLAT_TANH) return grad * (1 - out * out);
    if (act == TA_FLAT_SIGMOID) return grad * (out * (1 - out));
    return grad;
}

// Several elements at a time, where rows and arrays allow it.
template <class T> constexpr int lanes = 16 / (int)sizeof(T);

template <class T> static bool packs(uint32_t cols, const void *a, const void *b, const void *c) {
    return cols % lanes<T> == 0 && ta_aligned(a, 16) && ta_aligned(b, 16) && ta_aligned(c, 16);
}

template <class T, int L> static __global__ void __launch_bounds__(TA_FLAT_BLOCK)
    bias_act_kernel(size_t rows, uint32_t cols, ta_flat_act act, const float *bias, const T *in, T *out) {
    const uint32_t column = TA_WALK_COLUMN(L);
    if (column >= cols) return;
    float b[L];
    for (int e = 0; e < L; e++) b[e] = bias != NULL ? bias[column + e] : 0;
    TA_WALK_ROWS(row, rows) {
        const size_t at = row * cols + column;
        ta_pack<T, L> x = ta_load<L>(in + at);
        for (int e = 0; e < L; e++) {
            float v = ta_get(x.e[e]);
            x.e[e] = ta_put<T>(act_of(act, bias != NULL ? v + b[e] : v));
        }
        ta_store<L>(out + at, x);
    }
}

template <class T> static cudaError_t bias_act(cudaStream_t stream, const ta_flat_matrix &m, ta_flat_act act,
                                               const float *bias, const void *in, void *out) {
    constexpr int L = lanes<T>;
    const bool wide = packs<T>(m.cols, in, out, NULL);
    const ta_walk walk = ta_walk_of(m.rows, m.cols, wide ? L : 1);
    auto kernel = wide ? bias_act_kernel<T, L> : bias_act_kernel<T, 1>;
    TA_LAUNCH(kernel, walk.grid, walk.block, 0, stream, m.rows, m.cols, act, bias, (const T *)in, (T *)out);
    return cudaGetLastError();
}

cudaError_t ta_flat_bias_act(cudaStream_t stream, const ta_flat_matrix *m, ta_flat_act act, const float *bias,
                             const void *in, void *out) {
    if (m->rows == 0 || m->cols == 0) return cudaSuccess;
    if (act == TA_FLAT_NONE && bias == NULL) {
        if (in == out) return cudaSuccess;
        size_t bytes = m->rows * m->cols * ta_flat_bytes(m->type);
        return cudaMemcpyAsync(out, in, bytes, cudaMemcpyDeviceToDevice, stream);
    }
    return m->type == TA_FLAT_BF16 ? bias_act<ta_bf16>(stream, *m, act, bias, in, out)
                                   : bias_act<float>(stream, *m, act, bias, in, out);
}

// --- the way back ---

template <class T, int L> struct slopes {
    ta_flat_act act;
    const T *out, *grad_out;
    T *grad_in;
    __device__ __forceinline__ void operator()(size_t at, uint32_t, float *a, float *) const {
        ta_pack<T, L> g = ta_load<L>(grad_out + at), y = {};
        if (act != TA_FLAT_NONE) y = ta_load<L>(out + at);
        for (int e = 0; e < L; e++) {
            float x = slope_of(act, ta_get(y.e[e]), ta_get(g.e[e]));
            g.e[e] = ta_put<T>(x);
            a[e] += x;
        }
        if (grad_in != NULL) ta_store<L>(grad_in + at, g);
    }
};

struct store_sum {
    float *to;
    __device__ __forceinline__ void operator()(uint32_t column, double a, double) const { to[column] = (float)a; }
};

template <class T, int L> static __global__ void __launch_bounds__(TA_FLAT_BLOCK)
    slopes_kernel(size_t rows, uint32_t cols, slopes<T, L> part) {
    const uint32_t column = TA_WALK_COLUMN(L);
    float unused[L] = {};
    if (column >= cols) return;
    TA_WALK_ROWS(row, rows) part(row * cols + column, column, unused, unused);
}

template <class T, int L>
static cudaError_t act_backward(cudaStream_t stream, const ta_flat_matrix &m, const ta_flat_act_grad &a) {
    slopes<T, L> part = {a.act, (const T *)a.out, (const T *)a.grad_out, (T *)a.grad_in};
    if (a.act == TA_FLAT_NONE && a.grad_in == a.grad_out) part.grad_in = NULL;
    if (a.bias_grad != NULL) return ta_columns_sum<L>(stream, m, part, false, a.scratch, store_sum{a.bias_grad});
    if (part.grad_in == NULL) return cudaSuccess;
    const ta_walk walk = ta_walk_of(m.rows, m.cols, L);
    auto kernel = slopes_kernel<T, L>;
    TA_LAUNCH(kernel, walk.grid, walk.block, 0, stream, m.rows, m.cols, part);
    return cudaGetLastError();
}

cudaError_t ta_flat_act_backward(cudaStream_t stream, const ta_flat_matrix *m, const ta_flat_act_grad *a) {
    if (m->cols == 0) return cudaSuccess;
    if (m->rows == 0)
        return a->bias_grad == NULL ? cudaSuccess : cudaMemsetAsync(a->bias_grad, 0, m->cols * sizeof(float), stream);
    if (m->type == TA_FLAT_BF16)
        return packs<ta_bf16>(m->cols, a->out, a->grad_out, a->grad_in)
                   ? act_backward<ta_bf16, lanes<ta_bf16>>(stream, *m, *a)
                   : act_backward<ta_bf16, 1>(stream, *m, *a);
    return packs<float>(m->cols, a->out, a->grad_out, a->grad_in) ? act_backward<float, lanes<float>>(stream, *m, *a)
                                                                  : act_backward<float, 1>(stream, *m, *a);
}

// Two rows more: norm.cu keeps means there.
size_t ta_flat_columns_scratch(uint32_t cols) {
    return 2 * sizeof(float) * (1 + (size_t)ta_columns_partials(cols)) * cols;
}

// --- a + b ---

template <class T, int L> static __global__ void __launch_bounds__(TA_FLAT_BLOCK)
    add_kernel(size_t first, size_t n, const T *a, const T *b, T *out) {
    TA_GRID_FOR(i, (n - first) / L) {
        const size_t at = first + i * L;
        ta_pack<T, L> x = ta_load<L>(a + at), y = ta_load<L>(b + at);
        for (int e = 0; e < L; e++) x.e[e] = ta_put<T>(ta_get(x.e[e]) + ta_get(y.e[e]));
        ta_store<L>(out + at, x);
    }
}

template <class T> static cudaError_t add(cudaStream_t stream, size_t n, const void *a, const void *b, void *out) {
    constexpr int L = lanes<T>;
    size_t whole = packs<T>(L, a, b, out) ? n / L * L : 0;
    auto wide = add_kernel<T, L>;
    auto single = add_kernel<T, 1>;
    if (whole > 0)
        TA_LAUNCH(wide, ta_flat_grid(whole / L, TA_FLAT_BLOCK), TA_FLAT_BLOCK, 0, stream, (size_t)0, whole,
                  (const T *)a, (const T *)b, (T *)out);
    if (whole < n)
        TA_LAUNCH(single, ta_flat_grid(n - whole, TA_FLAT_BLOCK), TA_FLAT_BLOCK, 0, stream, whole, n, (const T *)a,
                  (const T *)b, (T *)out);
    return cudaGetLastError();
}

cudaError_t ta_flat_add(cudaStream_t stream, ta_flat_type type, size_t n, const void *a, const void *b, void *out) {
    if (n == 0) return cudaSuccess;
    return type == TA_FLAT_BF16 ? add<ta_bf16>(stream, n, a, b, out) : add<float>(stream, n, a, b, out);
}

// --- softmax: a warp a row ---

#define FOR_WARP_ROWS(row, rows)                                                                                     \
    for (size_t row = ((size_t)blockIdx.x * blockDim.x + threadIdx.x) / TA_WARP; row < (rows);                       \
         row += (size_t)gridDim.x * blockDim.x / TA_WARP)

template <class T> static __global__ void __launch_bounds__(TA_FLAT_BLOCK)
    softmax_kernel(size_t rows, uint32_t cols, const T *in, T *out) {
    FOR_WARP_ROWS(row, rows) {
        const T *z = in + row * cols;
        float most = -INFINITY, sum = 0;
        for (uint32_t j = threadIdx.x % TA_WARP; j < cols; j += TA_WARP) most = fmaxf(most, ta_get(z[j]));
        most = ta_warp_max(most);
        for (uint32_t j = threadIdx.x % TA_WARP; j < cols; j += TA_WARP) sum += expf(ta_get(z[j]) - most);
        sum = ta_warp_sum(sum);
        for (uint32_t j = threadIdx.x % TA_WARP; j < cols; j += TA_WARP)
            out[row * cols + j] = ta_put<T>(expf(ta_get(z[j]) - most) / sum);
    }
}

template <class T> static __global__ void __launch_bounds__(TA_FLAT_BLOCK)
    softmax_backward_kernel(size_t rows, uint32_t cols, const T *out, const T *grad_out, T *grad_in) {
    FOR_WARP_ROWS(row, rows) {
        const T *y = out + row * cols, *g = grad_out + row * cols;
        float sum = 0;
        for (uint32_t j = threadIdx.x % TA_WARP; j < cols; j += TA_WARP) sum += ta_get(y[j]) * ta_get(g[j]);
        sum = ta_warp_sum(sum);
        for (uint32_t j = threadIdx.x % TA_WARP; j < cols; j += TA_WARP)
            grad_in[row * cols + j] = ta_put<T>(ta_get(y[j]) * (ta_get(g[j]) - sum));
    }
}

cudaError_t ta_flat_softmax(cudaStream_t stream, const ta_flat_matrix *m, const void *in, void *out) {
    if (m->rows == 0 || m->cols == 0) return cudaSuccess;
    unsigned grid = ta_flat_grid(m->rows * TA_WARP, TA_FLAT_BLOCK);
    if (m->type == TA_FLAT_BF16)
        TA_LAUNCH(softmax_kernel<ta_bf16>, grid, TA_FLAT_BLOCK, 0, stream, m->rows, m->cols, (const ta_bf16 *)in,
                  (ta_bf16 *)out);
    else
        TA_LAUNCH(softmax_kernel<float>, grid, TA_FLAT_BLOCK, 0, stream, m->rows, m->cols, (const float *)in,
                  (float *)out);
    return cudaGetLastError();
}

cudaError_t ta_flat_softmax_backward(cudaStream_t stream, const ta_flat_matrix *m, const void *out,
                                     const void *grad_out, void *grad_in) {
    if (m->rows == 0 || m->cols == 0) return cudaSuccess;
    unsigned grid = ta_flat_grid(m->rows * TA_WARP, TA_FLAT_BLOCK);
    if (m->type == TA_FLAT_BF16)
        TA_LAUNCH(softmax_backward_kernel<ta_bf16>, grid, TA_FLAT_BLOCK, 0, stream, m->rows, m->cols,
                  (const ta_bf16 *)out, (const ta_bf16 *)grad_out, (ta_bf16 *)grad_in);
    else
        TA_LAUNCH(softmax_backward_kernel<float>, grid, TA_FLAT_BLOCK, 0, stream, m->rows, m->cols,
                  (const float *)out, (const float *)grad_out, (float *)grad_in);
    return cudaGetLastError();
}
