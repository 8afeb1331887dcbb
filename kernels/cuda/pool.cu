// pool: the largest and the mean of windows, channels-last, and their gradients; every input gathers what comes back
// to it from the windows it lies in, so that no two threads add to one place.
#include "columns.cuh"

struct window {
    uint32_t y0, y1, x0, x1; // of the input
};

// One side of it: places [*low, *high) of `limit`.
static __device__ __forceinline__ void side(uint32_t at, uint32_t kernel, uint32_t stride, uint32_t pad,
                                            uint32_t limit, uint32_t *low, uint32_t *high) {
    const int64_t first = (int64_t)at * stride - pad, end = first + kernel;
    *low = first > 0 ? (uint32_t)first : 0;
    *high = end < 0 ? 0 : end > limit ? limit : (uint32_t)end;
}

// A pixel's record, row and column.
struct place {
    uint32_t r, y, x;
};

static __device__ __forceinline__ place place_of(const ta_shape &s, uint32_t pixel) {
    const uint32_t line = pixel / s.w;
    place p = {line / s.h, line % s.h, pixel % s.w};
    return p;
}

static __device__ __forceinline__ window window_at(const ta_flat_pool &p, const place &o) {
    window s;
    side(o.y, p.kernel_h, p.stride_h, p.pad_top, p.in.h, &s.y0, &s.y1);
    side(o.x, p.kernel_w, p.stride_w, p.pad_left, p.in.w, &s.x0, &s.x1);
    return s;
}

// Outputs [*low, *high) whose windows hold input `at`.
static __device__ __forceinline__ void seen_by(uint32_t at, uint32_t kernel, uint32_t stride, uint32_t pad,
                                               uint32_t limit, uint32_t *low, uint32_t *high) {
    const uint32_t behind = at + pad, last = behind / stride + 1;
    *low = behind < kernel ? 0 : (behind - kernel) / stride + 1;
    *high = last < limit ? last : limit;
}

static __device__ __forceinline__ window seen_at(const ta_flat_pool &p, const place &i) {
    window s;
    seen_by(i.y, p.kernel_h, p.stride_h, p.pad_top, p.out.h, &s.y0, &s.y1);
    seen_by(i.x, p.kernel_w, p.stride_w, p.pad_left, p.out.w, &s.x0, &s.x1);
    return s;
}

static __device__ __forceinline__ size_t pixel_at(const ta_shape &s, uint32_t r, uint32_t y, uint32_t x) {
    return (((size_t)r * s.h + y) * s.w + x) * s.c;
}

// Forward walks over outputs, backward over inputs: channels across, pixels down.
#define FOR_PIXELS(pixel, shape)                                                                                     \
    const uint32_t channel = TA_WALK_COLUMN(L);                                                                      \
    if (channel < p.in.c) TA_WALK_ROWS(pixel, (size_t)p.batch *(shape).h *(shape).w)

template <class T, int L, class ARG> static __global__ void __launch_bounds__(TA_FLAT_BLOCK)
    max_kernel(ta_flat_pool p, const T *in, T *out, ARG *arg) {
    FOR_PIXELS(pixel, p.out) {
        const place o = place_of(p.out, (uint32_t)pixel);
        const window s = window_at(p, o);
        const int64_t top = (int64_t)o.y * p.stride_h - p.pad_top, left = (int64_t)o.x * p.stride_w - p.pad_left;
        ta_pack<T, L> best = {};
        ta_pack<ARG, L> where = {};
        bool any = false;
        for (uint32_t y = s.y0; y < s.y1; y++) {
            for (uint32_t x = s.x0; x < s.x1; x++) {
                const ta_pack<T, L> here = ta_load<L>(in + pixel_at(p.in, o.r, y, x) + channel);
                const ARG at = (ARG)((y - top) * p.kernel_w + (x - left));
                for (int e = 0; e < L; e++) {
                    float a = ta_get(here.e[e]), b = ta_get(best.e[e]);
                    if (any && !(a > b) && !(a != a && b == b)) continue;
                    best.e[e] = here.e[e];
                    where.e[e] = at;
                }
                any = true;
            }
        }
        ta_store<L>(out + pixel * p.in.c + channel, best);
        if (arg != NULL) ta_store<L>(arg + pixel * p.in.c + channel, where);
    }
}

template <class T, int L, class ARG> static __global__ void __launch_bounds__(TA_FLAT_BLOCK)
    max_back_kernel(ta_flat_pool p, const ARG *arg, const T *grad_out, T *grad_in) {
    FOR_PIXELS(pixel, p.in) {
        const place i = place_of(p.in, (uint32_t)pixel);
        const window s = seen_at(p, i);
        float sum[L] = {};
        for (uint32_t y = s.y0; y < s.y1; y++) {
            for (uint32_t x = s.x0; x < s.x1; x++) {
                const size_t at = pixel_at(p.out, i.r, y, x) + channel;
                const uint32_t mine =
                    (i.y + p.pad_top - y * p.stride_h) * p.kernel_w + (i.x + p.pad_left - x * p.stride_w);
                const ta_pack<ARG, L> where = ta_load<L>(arg + at);
                const ta_pack<T, L> g = ta_load<L>(grad_out + at);
                for (int e = 0; e < L; e++) sum[e] += where.e[e] == mine ? ta_get(g.e[e]) : 0;
            }
        }
        ta_pack<T, L> to;
        for (int e = 0; e < L; e++) to.e[e] = ta_put<T>(sum[e]);
        ta_store<L>(grad_in + pixel * p.in.c + channel, to);
    }
}

template <class T, int L> static __global__ void __launch_bounds__(TA_FLAT_BLOCK)
    avg_kernel(ta_flat_pool p, const T *in, T *out) {
    FOR_PIXELS(pixel, p.out) {
        const place o = place_of(p.out, (uint32_t)pixel);
        const window s = window_at(p, o);
        float sum[L] = {};
        for (uint32_t y = s.y0; y < s.y1; y++) {
            for (uint32_t x = s.x0; x < s.x1; x++) {
                const ta_pack<T, L> here = ta_load<L>(in + pixel_at(p.in, o.r, y, x) + channel);
                for (int e = 0; e < L; e++) sum[e] += ta_get(here.e[e]);
            }
        }
        const float count = (float)((s.y1 - s.y0) * (s.x1 - s.x0));
        ta_pack<T, L> to;
        for (int e = 0; e < L; e++) to.e[e] = ta_put<T>(sum[e] / count);
        ta_store<L>(out + pixel * p.in.c + channel, to);
    }
}

template <class T, int L> static __global__ void __launch_bounds__(TA_FLAT_BLOCK)
    avg_back_kernel(ta_flat_pool p, const T *grad_out, T *grad_in) {
    FOR_PIXELS(pixel, p.in) {
        const place i = place_of(p.in, (uint32_t)pixel);
        const window s = seen_at(p, i);
        float sum[L] = {};
        for (uint32_t y = s.y0; y < s.y1; y++) {
            for (uint32_t x = s.x0; x < s.x1; x++) {
                const place o = {i.r, y, x};
                const window of = window_at(p, o);
                const float count = (float)((of.y1 - of.y0) * (of.x1 - of.x0));
                const ta_pack<T, L> g = ta_load<L>(grad_out + pixel_at(p.out, i.r, y, x) + channel);
                for (int e = 0; e < L; e++) sum[e] += ta_get(g.e[e]) / count;
            }
        }
        ta_pack<T, L> to;
        for (int e = 0; e < L; e++) to.e[e] = ta_put<T>(sum[e]);
        ta_store<L>(grad_in + pixel * p.in.c + channel, to);
    }
}

// --- launches ---

static cudaError_t check(const ta_flat_pool *p) {
    const uint64_t in = (uint64_t)p->batch * p->in.h * p->in.w, out = (uint64_t)p->batch * p->out.h * p->out.w;
    if (in > UINT32_MAX || out > UINT32_MAX || p->in.c != p->out.c) return cudaErrorInvalidValue;
    if ((size_t)p->kernel_h * p->kernel_w > 65536 || p->stride_h == 0 || p->stride_w == 0)
        return cudaErrorInvalidValue;
    return cudaSuccess;
}

// Packs of 16 bytes, where arrays and channels allow it; packs of `arg` lie alike then.
template <class T> static bool packs(const ta_flat_pool *p, const void *a, const void *b, const void *arg) {
    return p->in.c % (16 / sizeof(T)) == 0 && ta_aligned(a, 16) && ta_aligned(b, 16) && ta_aligned(arg, 16);
}

template <class T, int L, class ARG>
static void max_forward(cudaStream_t stream, const ta_flat_pool *p, const void *in, void *out, void *arg) {
    const ta_walk walk = ta_walk_of((size_t)p->batch * p->out.h * p->out.w, p->out.c, L);
    auto kernel = max_kernel<T, L, ARG>;
    TA_LAUNCH(kernel, walk.grid, walk.block, 0, stream, *p, (const T *)in, (T *)out, (ARG *)arg);
}

template <class T, int L, class ARG> static void max_backward(cudaStream_t stream, const ta_flat_pool *p,
                                                              const void *arg, const void *grad_out, void *grad_in) {
    const ta_walk walk = ta_walk_of((size_t)p->batch * p->in.h * p->in.w, p->in.c, L);
    auto kernel = max_back_kernel<T, L, ARG>;
    TA_LAUNCH(kernel, walk.grid, walk.block, 0, stream, *p, (const ARG *)arg, (const T *)grad_out, (T *)grad_in);
}

template <class T, int L>
static void avg_forward(cudaStream_t stream, const ta_flat_pool *p, const void *in, void *out) {
    const ta_walk walk = ta_walk_of((size_t)p->batch * p->out.h * p->out.w, p->out.c, L);
    auto kernel = avg_kernel<T, L>;
    TA_LAUNCH(kernel, walk.grid, walk.block, 0, stream, *p, (const T *)in, (T *)out);
}

template <class T, int L>
static void avg_backward(cudaStream_t stream, const ta_flat_pool *p, const void *grad_out, void *grad_in) {
    const ta_walk walk = ta_walk_of((size_t)p->batch * p->in.h * p->in.w, p->in.c, L);
    auto kernel = avg_back_kernel<T, L>;
    TA_LAUNCH(kernel, walk.grid, walk.block, 0, stream, *p, (const T *)grad_out, (T *)grad_in);
}

// One of the four: by type and by packs; ... of the eight: also by the size of places.
#define BY_TYPE(call, p, a, b, ...)                                                                                  \
    ((p)->type == TA_FLAT_BF16                                                                                       \
         ? (packs<ta_bf16>(p, a, b, NULL) ? call<ta_bf16, 8>(__VA_ARGS__) : call<ta_bf16, 1>(__VA_ARGS__))           \
         : (packs<float>(p, a, b, NULL) ? call<float, 4>(__VA_ARGS__) : call<float, 1>(__VA_ARGS__)))
#define BY_TYPE_AND_ARG(call, ARG, p, a, b, arg, ...)                                                                \
    ((p)->type == TA_FLAT_BF16                                                                                       \
         ? (packs<ta_bf16>(p, a, b, arg) ? call<ta_bf16, 8, ARG>(__VA_ARGS__) : call<ta_bf16, 1, ARG>(__VA_ARGS__))  \
         : (packs<float>(p, a, b, arg) ? call<float, 4, ARG>(__VA_ARGS__) : call<float, 1, ARG>(__VA_ARGS__)))

cudaError_t ta_flat_max_pool(cudaStream_t stream, const ta_flat_pool *p, const void *in, void *out, void *arg) {
    cudaError_t error = check(p);
    if (error != cudaSuccess || p->batch == 0) return error;
    if (ta_flat_pool_arg_bytes(p) == 1)
        BY_TYPE_AND_ARG(max_forward, uint8_t, p, in, out, arg, stream, p, in, out, arg);
    else
        BY_TYPE_AND_ARG(max_forward, uint16_t, p, in, out, arg, stream, p, in, out, arg);
    return cudaGetLastError();
}

cudaError_t ta_flat_max_pool_backward(cudaStream_t stream, const ta_flat_pool *p, const void *arg,
                                      const void *grad_out, void *grad_in) {
    cudaError_t error = check(p);
    if (error != cudaSuccess || p->batch == 0) return error;
    if (ta_flat_pool_arg_bytes(p) == 1)
        BY_TYPE_AND_ARG(max_backward, uint8_t, p, grad_out, grad_in, arg, stream, p, arg, grad_out, grad_in);
    else
        BY_TYPE_AND_ARG(max_backward, uint16_t, p, grad_out, grad_in, arg, stream, p, arg, grad_out, grad_in);
    return cudaGetLastError();
}

cudaError_t ta_flat_avg_pool(cudaStream_t stream, const ta_flat_pool *p, const void *in, void *out) {
    cudaError_t error = check(p);
    if (error != cudaSuccess || p->batch == 0) return error;
    BY_TYPE(avg_forward, p, in, out, stream, p, in, out);
    return cudaGetLastError();
}

cudaError_t ta_flat_avg_pool_backward(cudaStream_t stream, const ta_flat_pool *p, const void *grad_out,
                                      void *grad_in) {
    cudaError_t error = check(p);
    if (error != cudaSuccess || p->batch == 0) return error;
    BY_TYPE(avg_backward, p, grad_out, grad_in, stream, p, grad_out, grad_in);
    return cudaGetLastError();
}
