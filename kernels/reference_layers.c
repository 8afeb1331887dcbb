/* reference_layers: forward and backward of each layer by its definition. */
#include <math.h>

#include "reference.h"

static size_t at(struct ta_shape s, uint32_t r, uint32_t y, uint32_t x) {
    return (((size_t)r * s.h + y) * s.w + x) * s.c;
}

/* Visits every (output place, input place inside the image) of a window. */
struct place {
    uint32_t r, oy, ox, ky, kx;
    size_t in, out; /* index of channel 0 */
};

static bool look(const struct ta_layer *l, struct place *p) {
    int64_t y = (int64_t)p->oy * l->stride_h + p->ky - l->pad_top,
            x = (int64_t)p->ox * l->stride_w + p->kx - l->pad_left;
    if (y < 0 || x < 0 || y >= l->in.h || x >= l->in.w) return false;
    p->in = at(l->in, p->r, (uint32_t)y, (uint32_t)x);
    p->out = at(l->out, p->r, p->oy, p->ox);
    return true;
}

#define FOR_WINDOWS(a, p)                                                                                              \
    for (struct place p = {0}; p.r < (a)->batch; p.r++)                                                                \
        for (p.oy = 0; p.oy < (a)->l->out.h; p.oy++)                                                                   \
            for (p.ox = 0; p.ox < (a)->l->out.w; p.ox++)
#define FOR_KERNEL(a, p)                                                                                               \
    for (p.ky = 0; p.ky < (a)->l->kernel_h; p.ky++)                                                                    \
        for (p.kx = 0; p.kx < (a)->l->kernel_w; p.kx++)                                                                \
            if (look((a)->l, &p))

static void conv_forward(struct ta_reference_layer *a) {
    const struct ta_layer *l = a->l;
    FOR_WINDOWS(a, p) {
        for (uint32_t o = 0; o < l->out.c; o++) {
            double sum = l->bias.count > 0 ? a->w[l->bias.offset + o] : 0;
            FOR_KERNEL(a, p) {
                const float *k = a->w + l->kernel.offset + ((size_t)p.ky * l->kernel_w + p.kx) * l->in.c * l->out.c;
                for (uint32_t i = 0; i < l->in.c; i++) sum += a->in[0][p.in + i] * k[(size_t)i * l->out.c + o];
            }
            a->out[at(l->out, p.r, p.oy, p.ox) + o] = sum;
        }
    }
}

static void conv_backward(struct ta_reference_layer *a) {
    const struct ta_layer *l = a->l;
    FOR_WINDOWS(a, p) {
        for (uint32_t o = 0; o < l->out.c; o++) {
            double g = a->grad_out[at(l->out, p.r, p.oy, p.ox) + o];
            if (l->bias.count > 0) a->grad[l->bias.offset + o] += g;
            FOR_KERNEL(a, p) {
                size_t k = l->kernel.offset + ((size_t)p.ky * l->kernel_w + p.kx) * l->in.c * l->out.c;
                for (uint32_t i = 0; i < l->in.c; i++) {
                    a->grad[k + (size_t)i * l->out.c + o] += g * a->in[0][p.in + i];
                    if (a->grad_in[0] != NULL) a->grad_in[0][p.in + i] += g * a->w[k + (size_t)i * l->out.c + o];
                }
            }
        }
    }
}

static void dense(struct ta_reference_layer *a, bool backward) {
    const struct ta_layer *l = a->l;
    uint32_t ic = l->in.c, oc = l->out.c;
    for (uint32_t r = 0; r < a->batch; r++) {
        for (uint32_t o = 0; o < oc; o++) {
            double sum = l->bias.count > 0 ? a->w[l->bias.offset + o] : 0;
            double g = backward ? a->grad_out[(size_t)r * oc + o] : 0;
            if (backward && l->bias.count > 0) a->grad[l->bias.offset + o] += g;
            for (uint32_t i = 0; i < ic; i++) {
                size_t k = l->kernel.offset + (size_t)i * oc + o;
                double x = a->in[0][(size_t)r * ic + i];
                sum += x * a->w[k];
                if (!backward) continue;
                a->grad[k] += g * x;
                if (a->grad_in[0] != NULL) a->grad_in[0][(size_t)r * ic + i] += g * a->w[k];
            }
            if (!backward) a->out[(size_t)r * oc + o] = sum;
        }
    }
}

/* The first place of the largest; a NaN is larger than all. */
static void max_pool(struct ta_reference_layer *a, bool backward) {
    const struct ta_layer *l = a->l;
    FOR_WINDOWS(a, p) {
        for (uint32_t c = 0; c < l->in.c; c++) {
            double most = -INFINITY;
            size_t where = SIZE_MAX;
            FOR_KERNEL(a, p) {
                double x = a->in[0][p.in + c];
                if (where == SIZE_MAX || x > most || (isnan(x) && !isnan(most))) most = x, where = p.in + c;
            }
            size_t out = at(l->out, p.r, p.oy, p.ox) + c;
            if (!backward) a->out[out] = most;
            if (backward && a->grad_in[0] != NULL) a->grad_in[0][where] += a->grad_out[out];
        }
    }
}

static void avg_pool(struct ta_reference_layer *a, bool backward) {
    const struct ta_layer *l = a->l;
    FOR_WINDOWS(a, p) {
        size_t out = at(l->out, p.r, p.oy, p.ox);
        for (uint32_t c = 0; c < l->in.c; c++) {
            double sum = 0;
            uint32_t seen = 0;
            FOR_KERNEL(a, p) sum += a->in[0][p.in + c], seen++;
            if (!backward) a->out[out + c] = sum / seen;
            if (!backward || a->grad_in[0] == NULL) continue;
            FOR_KERNEL(a, p) a->grad_in[0][p.in + c] += a->grad_out[out + c] / seen;
        }
    }
}

/* A global average is an average over one window as large as the image. */
static void global_avg_pool(struct ta_reference_layer *a, bool backward) {
    struct ta_layer whole = *a->l;
    whole.kernel_h = whole.in.h, whole.kernel_w = whole.in.w;
    whole.stride_h = whole.stride_w = 1;
    whole.pad_top = whole.pad_bottom = whole.pad_left = whole.pad_right = 0;
    struct ta_reference_layer b = *a;
    b.l = &whole;
    avg_pool(&b, backward);
}

static void norm_statistics(struct ta_reference_layer *a, size_t n) {
    const struct ta_layer *l = a->l;
    for (uint32_t c = 0; c < l->in.c; c++) {
        double mean = 0, variance = 0;
        for (size_t i = 0; i < n; i++) mean += a->in[0][i * l->in.c + c] / (double)n;
        for (size_t i = 0; i < n; i++) variance += pow(a->in[0][i * l->in.c + c] - mean, 2) / (double)n;
        a->mean[c] = mean;
        a->variance[c] = variance;
    }
}

static void norm_forward(struct ta_reference_layer *a) {
    const struct ta_layer *l = a->l;
    size_t n = (size_t)a->batch * l->in.h * l->in.w;
    if (a->training) norm_statistics(a, n);
    for (uint32_t c = 0; c < l->in.c; c++) {
        double mean = a->training ? a->mean[c] : a->w[l->mean.offset + c];
        double variance = a->training ? a->variance[c] : a->w[l->variance.offset + c];
        double gamma = l->gamma.count > 0 ? a->w[l->gamma.offset + c] : 1;
        double beta = l->beta.count > 0 ? a->w[l->beta.offset + c] : 0;
        for (size_t i = c; i < n * l->in.c; i += l->in.c)
            a->out[i] = gamma * (a->in[0][i] - mean) / sqrt(variance + l->epsilon) + beta;
    }
}

/* Ioffe and Szegedy 2015, section 3. */
static void norm_backward(struct ta_reference_layer *a) {
    const struct ta_layer *l = a->l;
    size_t n = (size_t)a->batch * l->in.h * l->in.w;
    for (uint32_t c = 0; c < l->in.c; c++) {
        double inverse = 1 / sqrt(a->variance[c] + l->epsilon), sum = 0, sum_x = 0;
        double gamma = l->gamma.count > 0 ? a->w[l->gamma.offset + c] : 1;
        for (size_t i = c; i < n * l->in.c; i += l->in.c) {
            sum += a->grad_out[i];
            sum_x += a->grad_out[i] * (a->in[0][i] - a->mean[c]) * inverse;
        }
        if (l->gamma.count > 0) a->grad[l->gamma.offset + c] += sum_x;
        if (l->beta.count > 0) a->grad[l->beta.offset + c] += sum;
        a->grad[l->mean.offset + c] = a->mean[c];
        a->grad[l->variance.offset + c] = a->variance[c] * (n > 1 ? (double)n / (double)(n - 1) : 1);
        for (size_t i = c; i < n * l->in.c && a->grad_in[0] != NULL; i += l->in.c) {
            double x = (a->in[0][i] - a->mean[c]) * inverse;
            a->grad_in[0][i] += gamma * inverse * (a->grad_out[i] - sum / (double)n - x * sum_x / (double)n);
        }
    }
}

static double pointwise(enum ta_layer_kind kind, double x) {
    switch (kind) {
    case TA_LAYER_RELU: return x < 0 ? 0 : x;
    case TA_LAYER_TANH: return tanh(x);
    case TA_LAYER_SIGMOID: return 1 / (1 + exp(-x));
    default: return x;
    }
}

static double slope(enum ta_layer_kind kind, double y) {
    switch (kind) {
    case TA_LAYER_RELU: return y <= 0 ? 0 : 1;
    case TA_LAYER_TANH: return 1 - y * y;
    case TA_LAYER_SIGMOID: return y * (1 - y);
    default: return 1;
    }
}

static void softmax(struct ta_reference_layer *a, bool backward) {
    uint32_t c = a->l->out.c;
    size_t rows = a->batch * ta_shape_count(a->l->out) / c;
    for (size_t r = 0; r < rows; r++) {
        const double *x = a->in[0] + r * c;
        double *y = a->out + r * c, most = x[0], sum = 0, dot = 0;
        for (uint32_t i = 0; i < c; i++) most = x[i] > most ? x[i] : most;
        for (uint32_t i = 0; i < c; i++) sum += exp(x[i] - most);
        for (uint32_t i = 0; i < c && !backward; i++) y[i] = exp(x[i] - most) / sum;
        for (uint32_t i = 0; i < c && backward; i++) dot += a->grad_out[r * c + i] * y[i];
        for (uint32_t i = 0; i < c && backward && a->grad_in[0] != NULL; i++)
            a->grad_in[0][r * c + i] += y[i] * (a->grad_out[r * c + i] - dot);
    }
}

static double dropout_factor(const struct ta_reference_layer *a, size_t i) {
    if (a->l->kind != TA_LAYER_DROPOUT || a->kept == NULL) return 1;
    return a->kept[i] ? 1 / (1 - (double)a->l->rate) : 0;
}

void ta_reference_forward(struct ta_reference_layer *a) {
    size_t n = a->batch * ta_shape_count(a->l->out);
    switch (a->l->kind) {
    case TA_LAYER_DENSE: dense(a, false); return;
    case TA_LAYER_CONV2D: conv_forward(a); return;
    case TA_LAYER_MAX_POOL: max_pool(a, false); return;
    case TA_LAYER_AVG_POOL: avg_pool(a, false); return;
    case TA_LAYER_GLOBAL_AVG_POOL: global_avg_pool(a, false); return;
    case TA_LAYER_BATCH_NORM: norm_forward(a); return;
    case TA_LAYER_SOFTMAX: softmax(a, false); return;
    case TA_LAYER_ADD:
        for (size_t i = 0; i < n; i++) a->out[i] = a->in[0][i] + a->in[1][i];
        return;
    default:
        for (size_t i = 0; i < n; i++) a->out[i] = pointwise(a->l->kind, a->in[0][i]) * dropout_factor(a, i);
    }
}

void ta_reference_backward(struct ta_reference_layer *a) {
    size_t n = a->batch * ta_shape_count(a->l->out);
    switch (a->l->kind) {
    case TA_LAYER_DENSE: dense(a, true); return;
    case TA_LAYER_CONV2D: conv_backward(a); return;
    case TA_LAYER_MAX_POOL: max_pool(a, true); return;
    case TA_LAYER_AVG_POOL: avg_pool(a, true); return;
    case TA_LAYER_GLOBAL_AVG_POOL: global_avg_pool(a, true); return;
    case TA_LAYER_BATCH_NORM: norm_backward(a); return;
    case TA_LAYER_SOFTMAX: softmax(a, true); return;
    default:
        for (unsigned k = 0; k < (a->l->kind == TA_LAYER_ADD ? 2U : 1U); k++) {
            for (size_t i = 0; i < n && a->grad_in[k] != NULL; i++)
                a->grad_in[k][i] += a->grad_out[i] * slope(a->l->kind, a->out[i]) * dropout_factor(a, i);
        }
    }
}
