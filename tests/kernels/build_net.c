/* build_net: see the header. */
#include "build_net.h"

#include <math.h>
#include <stdio.h>

#include "rng.h"

void test_net_begin(struct test_net *t, struct ta_shape input, enum ta_loss loss, uint32_t batch) {
    *t = (struct test_net){.spec = {.input = input, .loss = loss, .batch = batch, .seed = 7}};
    t->spec.layers = t->layer;
    t->layer[0].input[0] = TA_FROM_INPUT;
    for (int i = 1; i < TEST_MAX_LAYERS; i++) t->layer[i].input[0] = i - 1;
}

void test_from(struct test_net *t, int from) { t->layer[t->spec.n_layers].input[0] = from; }

static struct ta_shape shape_of(const struct test_net *t, int from) {
    return from == TA_FROM_INPUT ? t->spec.input : t->layer[from].out;
}

static struct ta_layer *next(struct test_net *t, enum ta_layer_kind kind) {
    struct ta_layer *l = &t->layer[t->spec.n_layers++];
    l->kind = kind;
    snprintf(l->name, sizeof l->name, "layer_%u", t->spec.n_layers - 1);
    l->input[1] = TA_FROM_NONE;
    l->in = l->out = shape_of(t, l->input[0]);
    return l;
}

static struct ta_param param(struct test_net *t, size_t count) {
    struct ta_param p = {t->spec.n_params, count};
    t->spec.n_params += (count + 15) / 16 * 16;
    return p;
}

static void slide(struct ta_layer *l, struct test_window s) {
    l->kernel_h = s.kernel_h, l->kernel_w = s.kernel_w, l->stride_h = s.stride_h, l->stride_w = s.stride_w;
    l->pad_top = s.pad_top, l->pad_bottom = s.pad_bottom, l->pad_left = s.pad_left, l->pad_right = s.pad_right;
    l->out.h = (l->in.h + s.pad_top + s.pad_bottom - s.kernel_h) / s.stride_h + 1;
    l->out.w = (l->in.w + s.pad_left + s.pad_right - s.kernel_w) / s.stride_w + 1;
}

int test_conv(struct test_net *t, uint32_t filters, struct test_window window, bool bias) {
    struct ta_layer *l = next(t, TA_LAYER_CONV2D);
    slide(l, window);
    l->out.c = filters;
    l->kernel = param(t, (size_t)window.kernel_h * window.kernel_w * l->in.c * filters);
    if (bias) l->bias = param(t, filters);
    return (int)t->spec.n_layers - 1;
}

int test_dense(struct test_net *t, uint32_t units, bool bias) {
    struct ta_layer *l = next(t, TA_LAYER_DENSE);
    l->out = (struct ta_shape){1, 1, units};
    l->kernel = param(t, (size_t)l->in.c * units);
    if (bias) l->bias = param(t, units);
    return (int)t->spec.n_layers - 1;
}

int test_pool(struct test_net *t, enum ta_layer_kind kind, struct test_window window) {
    slide(next(t, kind), window);
    return (int)t->spec.n_layers - 1;
}

int test_norm(struct test_net *t, bool gamma, bool beta) {
    struct ta_layer *l = next(t, TA_LAYER_BATCH_NORM);
    l->epsilon = 1e-3F;
    l->momentum = 0.9F;
    if (gamma) l->gamma = param(t, l->in.c);
    if (beta) l->beta = param(t, l->in.c);
    l->mean = param(t, l->in.c);
    l->variance = param(t, l->in.c);
    return (int)t->spec.n_layers - 1;
}

int test_dropout(struct test_net *t, float rate) {
    next(t, TA_LAYER_DROPOUT)->rate = rate;
    return (int)t->spec.n_layers - 1;
}

int test_add(struct test_net *t, int a, int b) {
    test_from(t, a);
    next(t, TA_LAYER_ADD)->input[1] = b;
    return (int)t->spec.n_layers - 1;
}

int test_plain(struct test_net *t, enum ta_layer_kind kind) {
    struct ta_layer *l = next(t, kind);
    if (kind == TA_LAYER_FLATTEN) l->out = (struct ta_shape){1, 1, (uint32_t)ta_shape_count(l->in)};
    if (kind == TA_LAYER_GLOBAL_AVG_POOL) l->out = (struct ta_shape){1, 1, l->in.c};
    return (int)t->spec.n_layers - 1;
}

void test_cifar_cnn(struct test_net *t, uint32_t batch) {
    test_net_begin(t, (struct ta_shape){32, 32, 3}, TA_LOSS_CROSS_ENTROPY, batch);
    const uint32_t filters[] = {32, 64, 64};
    for (int i = 0; i < 3; i++) {
        test_conv(t, filters[i], test_square(3, 1, 0), true);
        test_plain(t, TA_LAYER_RELU);
        if (i < 2) test_pool(t, TA_LAYER_MAX_POOL, test_square(2, 2, 0));
    }
    test_plain(t, TA_LAYER_FLATTEN);
    test_dense(t, 64, true);
    test_plain(t, TA_LAYER_RELU);
    test_dense(t, 10, true);
    test_plain(t, TA_LAYER_SOFTMAX);
}

void test_residual_net(struct test_net *t, uint32_t batch) {
    test_net_begin(t, (struct ta_shape){12, 12, 3}, TA_LOSS_CROSS_ENTROPY, batch);
    test_conv(t, 16, test_square(3, 1, 1), false);
    test_norm(t, true, true);
    int trunk = test_plain(t, TA_LAYER_RELU);
    test_conv(t, 16, test_square(3, 1, 1), false);
    test_norm(t, true, true);
    test_plain(t, TA_LAYER_RELU);
    int branch = test_conv(t, 16, test_square(3, 1, 1), true);
    test_add(t, trunk, branch);
    test_plain(t, TA_LAYER_RELU);
    test_pool(t, TA_LAYER_MAX_POOL, test_square(2, 2, 0));
    test_conv(t, 24, test_square(3, 2, 1), true);
    test_plain(t, TA_LAYER_TANH);
    test_dropout(t, 0);
    test_plain(t, TA_LAYER_GLOBAL_AVG_POOL);
    test_dense(t, 10, true);
    test_plain(t, TA_LAYER_SOFTMAX);
}

void test_fill(size_t n, uint64_t seed, float least, float most, float *x) {
    struct ta_rng rng = ta_rng_make(seed, 1);
    for (size_t i = 0; i < n; i++) x[i] = least + (most - least) * (float)ta_rng_uniform(&rng);
}

void test_fill_classes(uint32_t n, uint64_t seed, uint32_t classes, int32_t *y) {
    struct ta_rng rng = ta_rng_make(seed, 2);
    for (uint32_t i = 0; i < n; i++) y[i] = (int32_t)ta_rng_below(&rng, classes);
}

void test_fill_weights(const struct test_net *t, uint64_t seed, float *w) {
    for (uint32_t i = 0; i < t->spec.n_layers; i++) {
        const struct ta_layer *l = &t->layer[i];
        uint64_t s = seed * 1000 + i * 8;
        if (l->kernel.count > 0) {
            size_t fan_in = l->kernel.count / l->out.c;
            float most = sqrtf(3.0F / (float)fan_in);
            test_fill(l->kernel.count, s, -most, most, w + l->kernel.offset);
        }
        test_fill(l->bias.count, s + 1, -0.1F, 0.1F, w + l->bias.offset);
        test_fill(l->gamma.count, s + 2, 0.5F, 1.5F, w + l->gamma.offset);
        test_fill(l->beta.count, s + 3, -0.2F, 0.2F, w + l->beta.offset);
        test_fill(l->mean.count, s + 4, -0.2F, 0.2F, w + l->mean.offset);
        test_fill(l->variance.count, s + 5, 0.5F, 1.5F, w + l->variance.offset);
    }
}
