// image: see the header. An element a thread; none of this is where the time goes.
#include "image.h"
#include "launch.cuh"

enum { BLOCK = 256, GRID = 1 << 16 };

static unsigned grid_for(size_t n) {
    size_t blocks = (n + BLOCK - 1) / BLOCK;
    return blocks < 1 ? 1 : blocks > GRID ? (unsigned)GRID : (unsigned)blocks;
}

// Where element i of the inner images lies in the outer ones.
static __device__ __forceinline__ size_t outer_of(const ta_image_pads &p, size_t i) {
    size_t c = i % p.in.c, at = i / p.in.c;
    size_t x = at % p.in.w;
    at /= p.in.w;
    size_t y = at % p.in.h, record = at / p.in.h;
    size_t outer_h = (size_t)p.in.h + p.top + p.bottom, outer_w = (size_t)p.in.w + p.left + p.right;
    return ((record * outer_h + y + p.top) * outer_w + x + p.left) * p.in.c + c;
}

template <class T> __global__ void into_kernel(ta_image_pads p, size_t n, const T *from, T *to) {
    TA_GRID_FOR(i, n) to[outer_of(p, i)] = from[i];
}

template <class T> __global__ void out_of_kernel(ta_image_pads p, size_t n, const T *from, T *to) {
    TA_GRID_FOR(i, n) to[i] = from[outer_of(p, i)];
}

static size_t inner(const ta_image_pads *p) { return (size_t)p->batch * p->in.h * p->in.w * p->in.c; }

static size_t outer(const ta_image_pads *p) {
    return (size_t)p->batch * ((size_t)p->in.h + p->top + p->bottom) * ((size_t)p->in.w + p->left + p->right) * p->in.c;
}

extern "C" cudaError_t ta_image_pad(cudaStream_t stream, const struct ta_image_pads *p, const void *from, void *to) {
    size_t n = inner(p);
    cudaError_t error = cudaMemsetAsync(to, 0, outer(p) * ta_flat_bytes(p->type), stream);
    if (error != cudaSuccess) return error;
    if (p->type == TA_FLAT_BF16)
        TA_LAUNCH(into_kernel<uint16_t>, grid_for(n), BLOCK, 0, stream, *p, n, static_cast<const uint16_t *>(from),
                  static_cast<uint16_t *>(to));
    else
        TA_LAUNCH(into_kernel<float>, grid_for(n), BLOCK, 0, stream, *p, n, static_cast<const float *>(from),
                  static_cast<float *>(to));
    return cudaGetLastError();
}

extern "C" cudaError_t ta_image_crop(cudaStream_t stream, const struct ta_image_pads *p, const void *from, void *to) {
    size_t n = inner(p);
    if (p->type == TA_FLAT_BF16)
        TA_LAUNCH(out_of_kernel<uint16_t>, grid_for(n), BLOCK, 0, stream, *p, n, static_cast<const uint16_t *>(from),
                  static_cast<uint16_t *>(to));
    else
        TA_LAUNCH(out_of_kernel<float>, grid_for(n), BLOCK, 0, stream, *p, n, static_cast<const float *>(from),
                  static_cast<float *>(to));
    return cudaGetLastError();
}

__global__ void statistics_kernel(ta_image_moments s) {
    TA_GRID_FOR(i, s.channels) {
        float variance = 1 / (s.inverse[i] * s.inverse[i]) - s.epsilon;
        s.to_mean[i] = s.mean[i];
        s.to_variance[i] = variance < 0 ? 0 : variance * s.bessel; // a NaN stays
    }
}

extern "C" cudaError_t ta_image_statistics(cudaStream_t stream, const struct ta_image_moments *s) {
    TA_LAUNCH(statistics_kernel, grid_for(s->channels), BLOCK, 0, stream, *s);
    return cudaGetLastError();
}
