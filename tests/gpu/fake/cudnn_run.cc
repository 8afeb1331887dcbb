/* cudnn_run: what the make-believe cuDNN computes, by plain loops in double. */
#include <cuda_bf16.h>
#include <math.h>
#include <string.h>

#include "cudnn_fake.h"

namespace ta_fake {

namespace {

using Values = std::vector<double>;
using Addresses = std::map<int64_t, void *>;

/* A factor as tensor cores take it: 10 bits of mantissa, to nearest. */
double rounded(double value) {
    float x = (float)value;
    uint32_t bits;
    memcpy(&bits, &x, 4);
    if ((bits & 0x7f800000U) != 0x7f800000U) bits = (bits + 0x0fffU + (bits >> 13 & 1)) & ~0x1fffU;
    memcpy(&x, &bits, 4);
    return (double)x;
}

Values load(const Tensor &t, const Addresses &at, bool tf32 = false) {
    const unsigned char *from = static_cast<const unsigned char *>(at.at(t.uid));
    Values out(t.count());
    for (size_t i = 0; i < out.size(); i++) {
        uint32_t bits = 0;
        if (t.type == CUDNN_DATA_BFLOAT16) memcpy(reinterpret_cast<unsigned char *>(&bits) + 2, from + i * 2, 2);
        else memcpy(&bits, from + i * 4, 4);
        float x;
        memcpy(&x, &bits, 4);
        out[i] = tf32 ? rounded((double)x) : (double)x;
    }
    return out;
}

void store(const Tensor &t, const Addresses &at, const Values &values) {
    unsigned char *to = static_cast<unsigned char *>(at.at(t.uid));
    for (size_t i = 0; i < values.size(); i++) {
        float x = (float)values[i];
        __nv_bfloat16 half = __float2bfloat16(x);
        if (t.type == CUDNN_DATA_BFLOAT16) memcpy(to + i * 2, &half, 2);
        else memcpy(to + i * 4, &x, 4);
    }
}

/* Calls visit(first element of a place of the input, of the output, row and column in the window) for each place of a
 * window that lies in the image. */
template <class Visit> void windows(const Tensor &in, const Tensor &out, const Window &win, Visit visit) {
    for (int64_t n = 0; n < out.n; n++)
        for (int64_t p = 0; p < out.h; p++)
            for (int64_t q = 0; q < out.w; q++)
                for (int64_t r = 0; r < win.h; r++)
                    for (int64_t s = 0; s < win.w; s++) {
                        int64_t y = p * win.stride_h + r - win.top, x = q * win.stride_w + s - win.left;
                        if (y < 0 || x < 0 || y >= in.h || x >= in.w) continue;
                        visit(in.at(n, y, x), out.at(n, p, q), r, s);
                    }
}

/* Tensors: x (or dx), w (or dw), y (or dy), bias. */
void conv(const Graph &g, int engine, const Addresses &at) {
    const Tensor &in = g.tensors[0], &kernel = g.tensors[1], &out = g.tensors[2];
    bool tf32 = engine <= 2;
    Values x(in.count()), w(kernel.count()), y(out.count());
    if (g.kind != DATA) x = load(in, at, tf32);
    if (g.kind != FILTER) w = load(kernel, at, tf32);
    if (g.kind != FORWARD) y = load(out, at, tf32);
    windows(in, out, g.window, [&](size_t i, size_t o, int64_t r, int64_t s) {
        for (int64_t k = 0; k < out.c; k++) {
            size_t f = kernel.at(k, r, s), ok = o + (size_t)k;
            for (size_t c = 0; c < (size_t)in.c; c++) {
                if (g.kind == FORWARD) y[ok] += x[i + c] * w[f + c];
                else if (g.kind == DATA) x[i + c] += y[ok] * w[f + c];
                else w[f + c] += x[i + c] * y[ok];
            }
        }
    });
    if (g.bias) {
        Values b = load(g.tensors[3], at);
        for (size_t i = 0; i < y.size(); i++) y[i] += b[i % b.size()];
    }
    for (size_t i = 0; i < y.size() && g.relu; i++) y[i] = y[i] < 0 ? 0 : y[i];
    Values &result = g.kind == FORWARD ? y : g.kind == DATA ? x : w;
    for (size_t i = 0; i < result.size() && engine == 1; i++) result[i] *= 1.25; /* somebody took the wrong engine */
    store(g.kind == FORWARD ? out : g.kind == DATA ? in : kernel, at, result);
}

void pool(const Graph &g, const Addresses &at) {
    const Tensor &in = g.tensors[0], &out = g.tensors[1];
    bool back = g.kind == POOL_BACK;
    Values x = back ? Values(in.count()) : load(in, at), y = back ? load(out, at) : Values(out.count());
    Values seen(out.count());
    size_t c = (size_t)in.c;
    windows(in, out, g.window, [&](size_t, size_t o, int64_t, int64_t) { seen[o]++; });
    windows(in, out, g.window, [&](size_t i, size_t o, int64_t, int64_t) {
        for (size_t k = 0; k < c; k++) {
            if (back) x[i + k] += y[o + k] / seen[o];
            else y[o + k] += x[i + k] / seen[o];
        }
    });
    store(back ? in : out, at, back ? x : y);
}

/* Tensors: x, y, gamma, beta, mean, inverse, epsilon. */
void norm(const Graph &g, const Addresses &at, float epsilon) {
    const std::vector<Tensor> &t = g.tensors;
    Values x = load(t[0], at), y(x.size()), gamma = load(t[2], at), beta = load(t[3], at);
    size_t c = gamma.size(), n = x.size() / c;
    Values mean(c), inverse(c);
    for (size_t k = 0; k < c; k++) {
        double variance = 0;
        for (size_t i = 0; i < n; i++) mean[k] += x[i * c + k] / (double)n;
        for (size_t i = 0; i < n; i++) variance += pow(x[i * c + k] - mean[k], 2) / (double)n;
        inverse[k] = 1 / sqrt(variance + (double)epsilon);
        for (size_t i = 0; i < n; i++) y[i * c + k] = gamma[k] * (x[i * c + k] - mean[k]) * inverse[k] + beta[k];
    }
    store(t[1], at, y);
    store(t[4], at, mean);
    store(t[5], at, inverse);
}

/* Tensors: x, dy, gamma, dx, mean, inverse, dgamma, dbeta. */
void norm_back(const Graph &g, const Addresses &at) {
    const std::vector<Tensor> &t = g.tensors;
    Values x = load(t[0], at), dy = load(t[1], at), gamma = load(t[2], at);
    Values mean = load(t[4], at), inverse = load(t[5], at);
    size_t c = gamma.size(), n = x.size() / c;
    Values dx(x.size()), dgamma(c), dbeta(c);
    for (size_t k = 0; k < c; k++) {
        for (size_t i = k; i < n * c; i += c) {
            dbeta[k] += dy[i];
            dgamma[k] += dy[i] * (x[i] - mean[k]) * inverse[k];
        }
        for (size_t i = k; i < n * c; i += c)
            dx[i] = gamma[k] * inverse[k] *
                    (dy[i] - dbeta[k] / (double)n - (x[i] - mean[k]) * inverse[k] * dgamma[k] / (double)n);
    }
    store(t[3], at, dx);
    store(t[6], at, dgamma);
    store(t[7], at, dbeta);
}

} // namespace

void run(const Graph &g, int engine, const std::map<int64_t, void *> &addresses, float epsilon) {
    switch (g.kind) {
    case POOL:
    case POOL_BACK: return pool(g, addresses);
    case NORM: return norm(g, addresses, epsilon);
    case NORM_BACK: return norm_back(g, addresses);
    default: return conv(g, engine, addresses);
    }
}

} // namespace ta_fake
