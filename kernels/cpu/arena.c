/* arena: the loops over flat parameters: optimizers, the apply of the exchange, moving averages, the norm.
 *
 * One pass each, bound by memory. This file is compiled without contraction into fused multiply-adds, and each element
 * is computed by itself in the order written, so that every machine rounds alike whatever its vectors are. On x86-64
 * gcc makes each loop for AVX-512, AVX2 and the baseline, and the loader takes the best.
 */
#include <math.h>
#include <string.h>

#include "net.h"
#include "widest.h"

enum { LANES = 16 };

/* Sixteen running sums in a fixed order: vectorisable, and the same bits everywhere. */
WIDEST
static double sum_of_squares(size_t n, const float *x) {
    double lane[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t j = 0; j < LANES; j++) lane[j] += (double)x[i + j] * x[i + j];
    for (size_t j = 0; i < n; i++, j++) lane[j] += (double)x[i] * x[i];
    double sum = 0;
    for (size_t j = 0; j < LANES; j++) sum += lane[j];
    return sum;
}

ta_status ta_arena_grad_norm2(struct ta_kernels *k, size_t n, const float *grad, double *norm2) {
    (void)k;
    *norm2 = sum_of_squares(n, grad);
    return TA_OK;
}

/* The gradient as the direction sees it: scaled, clamped (a NaN stays), with weight decay. */
struct shaped {
    float scale, clip, decay;
};

static inline float shape(const struct shaped *s, float g, float w) {
    g *= s->scale;
    g = g > s->clip ? s->clip : g;
    g = g < -s->clip ? -s->clip : g;
    return g + s->decay * w;
}

/* What all optimizers do at the end: u = -rate * direction - rate * decay * w (decoupled), delta += scale * u. */
struct step {
    float rate, scale, decoupled;
};

static inline float moved(const struct step *s, float delta, float direction, float w) {
    float u = -s->rate * direction - s->decoupled * w;
    return delta + s->scale * u;
}

WIDEST
static void sgd(size_t n, struct shaped g, struct step s, const float *restrict grad, const float *restrict w,
                float *restrict delta) {
    for (size_t i = 0; i < n; i++) delta[i] = moved(&s, delta[i], shape(&g, grad[i], w[i]), w[i]);
}

struct momentum {
    struct shaped g;
    struct step s;
    float momentum, ahead; /* direction = ahead_g * g + ahead * m */
    float ahead_g;
};

WIDEST
static void momentum(size_t n, struct momentum a, const float *restrict grad, const float *restrict w,
                     float *restrict m, float *restrict delta) {
    for (size_t i = 0; i < n; i++) {
        float g = shape(&a.g, grad[i], w[i]);
        m[i] = a.momentum * m[i] + g;
        delta[i] = moved(&a.s, delta[i], a.ahead_g * g + a.ahead * m[i], w[i]);
    }
}

struct adam {
    struct shaped g;
    struct step s;
    float beta1, beta2, correct1, correct2, epsilon;
};

WIDEST
static void adam(size_t n, struct adam a, const float *restrict grad, const float *restrict w, float *restrict m,
                 float *restrict v, float *restrict delta) {
    for (size_t i = 0; i < n; i++) {
        float g = shape(&a.g, grad[i], w[i]);
        m[i] = a.beta1 * m[i] + (1 - a.beta1) * g;
        v[i] = a.beta2 * v[i] + (1 - a.beta2) * (g * g);
        float direction = m[i] * a.correct1 / (sqrtf(v[i] * a.correct2) + a.epsilon);
        delta[i] = moved(&a.s, delta[i], direction, w[i]);
    }
}

WIDEST
static void adagrad(size_t n, struct adam a, const float *restrict grad, const float *restrict w, float *restrict v,
                    float *restrict delta) {
    for (size_t i = 0; i < n; i++) {
        float g = shape(&a.g, grad[i], w[i]);
        v[i] += g * g;
        delta[i] = moved(&a.s, delta[i], g / (sqrtf(v[i]) + a.epsilon), w[i]);
    }
}

ta_status ta_arena_update(struct ta_kernels *k, const struct ta_update *how, size_t n, const float *grad,
                          const float *w, float *m, float *v, float *delta) {
    (void)k;
    bool needs_m = how->kind == TA_MOMENTUM || how->kind == TA_ADAM;
    bool needs_v = how->kind == TA_ADAM || how->kind == TA_ADAGRAD;
    if ((needs_m && m == NULL) || (needs_v && v == NULL))
        return ta_fail(TA_INVALID, "optimizer %d needs state that was not given", (int)how->kind);
    struct shaped g = {how->grad_scale, how->clip_value > 0 ? how->clip_value : INFINITY,
                       how->decoupled ? 0 : how->weight_decay};
    struct step s = {how->rate, how->scale, how->decoupled ? how->rate * how->weight_decay : 0};
    switch (how->kind) {
    case TA_SGD: sgd(n, g, s, grad, w, delta); return TA_OK;
    case TA_MOMENTUM: {
        struct momentum a = {g, s, how->momentum, how->nesterov ? how->momentum : 1, how->nesterov ? 1 : 0};
        momentum(n, a, grad, w, m, delta);
        return TA_OK;
    }
    case TA_ADAM: {
        double step = (double)how->step;
        struct adam a = {g,
                         s,
                         how->beta1,
                         how->beta2,
                         (float)(1 / (1 - pow(how->beta1, step))),
                         (float)(1 / (1 - pow(how->beta2, step))),
                         how->epsilon};
        adam(n, a, grad, w, m, v, delta);
        return TA_OK;
    }
    case TA_ADAGRAD:
        adagrad(n, (struct adam){.g = g, .s = s, .epsilon = how->epsilon}, grad, w, v, delta);
        return TA_OK;
    }
    return ta_fail(TA_INVALID, "optimizer %d does not exist", (int)how->kind);
}

WIDEST
static void moving(size_t n, float keep, const float *restrict statistic, float *restrict value) {
    for (size_t i = 0; i < n; i++) value[i] = keep * value[i] + (1 - keep) * statistic[i];
}

ta_status ta_arena_moving(struct ta_kernels *k, size_t n, float momentum, const float *statistic, float *value) {
    (void)k;
    moving(n, momentum, statistic, value);
    return TA_OK;
}

WIDEST
static void compensate(size_t n, float rate, const float *restrict w, const float *restrict basis, float *restrict grad) {
    for (size_t i = 0; i < n; i++) grad[i] += rate * grad[i] * grad[i] * (w[i] - basis[i]);
}

ta_status ta_arena_compensate(struct ta_kernels *k, size_t n, float rate, const float *w, const float *basis, float *grad) {
    (void)k;
    compensate(n, rate, w, basis, grad);
    return TA_OK;
}

/* Registers are summed into w a page at a time, so that w is read and written in the cache however many there are.
 * Peers may write a register meanwhile: each of its words is read once, by a plain aligned load. That race is the
 * design of the exchange, so the thread sanitizer is told not to look at these three loops. */
enum { PAGE = 1024 };

#define RACES_BY_DESIGN __attribute__((no_sanitize("thread")))

WIDEST RACES_BY_DESIGN static void add_two(size_t n, float *w, const float *a, const float *b) {
    for (size_t i = 0; i < n; i++) w[i] = a[i] + b[i];
}

WIDEST RACES_BY_DESIGN static void add_register(size_t n, float *restrict w, const float *restrict r) {
    for (size_t i = 0; i < n; i++) w[i] += r[i];
}

WIDEST RACES_BY_DESIGN static void times(size_t n, float *w, const float *r, float factor) {
    for (size_t i = 0; i < n; i++) w[i] = r[i] * factor;
}

ta_status ta_arena_sum(struct ta_kernels *k, size_t n, float *w, const float *base, const float *const *registers,
                       unsigned n_registers) {
    (void)k;
    if (n_registers == 0) memmove(w, base, n * sizeof *w);
    for (size_t at = 0; at < n && n_registers > 0; at += PAGE) {
        size_t count = n - at < PAGE ? n - at : PAGE;
        add_two(count, w + at, base + at, registers[0] + at);
        for (unsigned r = 1; r < n_registers; r++) add_register(count, w + at, registers[r] + at);
    }
    return TA_OK;
}

ta_status ta_arena_mean(struct ta_kernels *k, size_t n, float *w, const float *const *registers, unsigned n_registers) {
    (void)k;
    if (n_registers == 0) return ta_fail(TA_INVALID, "the mean of no registers");
    float share = 1.0F / (float)n_registers;
    for (size_t at = 0; at < n; at += PAGE) {
        size_t count = n - at < PAGE ? n - at : PAGE;
        if (n_registers > 1) add_two(count, w + at, registers[0] + at, registers[1] + at);
        for (unsigned r = 2; r < n_registers; r++) add_register(count, w + at, registers[r] + at);
        times(count, w + at, n_registers > 1 ? w + at : registers[0] + at, share);
    }
    return TA_OK;
}
