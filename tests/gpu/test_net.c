/* Nets of the CUDA make against the reference: every kind of layer, whole nets, bfloat16, every fallback. On the
 * make-believe device in its lazy order and in some drawn at random. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compare.h"
#include "hosted.h"
#include "rng.h"
#ifndef TA_REAL_GPU
#include "fake_gpu.h"
#endif

#ifdef TA_REAL_GPU
enum { TRIALS = 24 };
static void device(const char *options) { (void)options; }
#else
enum { TRIALS = 6 };
static void device(const char *options) { ta_fake_gpu_reset(options); }
#endif

static const double tolerance = 1e-4;

static uint32_t between(struct ta_rng *rng, uint32_t least, uint32_t most) {
    return least + ta_rng_below(rng, most - least + 1);
}

static struct test_window window(struct ta_rng *rng, struct ta_shape in) {
    struct test_window w;
    w.kernel_h = between(rng, 1, in.h < 3 ? in.h : 3);
    w.kernel_w = between(rng, 1, in.w < 3 ? in.w : 3);
    w.stride_h = between(rng, 1, 2), w.stride_w = between(rng, 1, 2);
    w.pad_top = between(rng, 0, w.kernel_h - 1), w.pad_bottom = between(rng, 0, w.kernel_h - 1);
    w.pad_left = between(rng, 0, w.kernel_w - 1), w.pad_right = between(rng, 0, w.kernel_w - 1);
    return w;
}

/* A first layer with parameters, so that a gradient must pass all that follow. */
static void begin(struct test_net *t, struct ta_rng *rng) {
    struct ta_shape in = {between(rng, 2, 7), between(rng, 2, 7), between(rng, 1, 4)};
    test_net_begin(t, in, TA_LOSS_SQUARED_ERROR, between(rng, 1, 4));
    test_conv(t, between(rng, 1, 5), test_square(1, 1, 0), between(rng, 0, 1));
}

static struct ta_shape last(const struct test_net *t) { return t->layer[t->spec.n_layers - 1].out; }

static void finish(const struct test_net *t, uint64_t seed) {
    test_make_against_reference(&ta_kernels_hosted, t, seed, tolerance);
}

static void test_convolutions(void **state) {
    (void)state;
    struct ta_rng rng = ta_rng_make(1, 1);
    for (int i = 0; i < TRIALS; i++) {
        struct test_net t;
        begin(&t, &rng);
        if (i % 3 == 1) test_plain(&t, TA_LAYER_RELU);
        test_conv(&t, between(&rng, 1, 6), window(&rng, last(&t)), i % 2 == 0);
        if (i % 3 != 0) test_plain(&t, TA_LAYER_RELU);
        test_conv(&t, between(&rng, 1, 3), window(&rng, last(&t)), true);
        finish(&t, (uint64_t)i);
    }
}

static void test_dense_layers(void **state) {
    (void)state;
    struct ta_rng rng = ta_rng_make(2, 1);
    for (int i = 0; i < TRIALS; i++) {
        struct test_net t;
        begin(&t, &rng);
        test_plain(&t, TA_LAYER_FLATTEN);
        test_dense(&t, between(&rng, 1, 9), i % 2 == 0);
        test_plain(&t, i % 3 == 0 ? TA_LAYER_RELU : TA_LAYER_TANH);
        test_dense(&t, between(&rng, 1, 20), i % 4 < 2);
        if (i % 2 == 1) test_plain(&t, TA_LAYER_RELU);
        finish(&t, (uint64_t)i);
    }
}

static void test_pools_and_norms(void **state) {
    (void)state;
    struct ta_rng rng = ta_rng_make(3, 1);
    const enum ta_layer_kind kinds[] = {TA_LAYER_MAX_POOL, TA_LAYER_AVG_POOL, TA_LAYER_BATCH_NORM,
                                        TA_LAYER_GLOBAL_AVG_POOL};
    for (int i = 0; i < 2 * TRIALS; i++) {
        struct test_net t;
        begin(&t, &rng);
        if (i % 2 == 0) test_plain(&t, TA_LAYER_TANH);
        enum ta_layer_kind kind = kinds[i % 4];
        if (kind == TA_LAYER_BATCH_NORM) test_norm(&t, i % 8 < 4, i % 8 != 6);
        if (kind == TA_LAYER_GLOBAL_AVG_POOL) test_plain(&t, kind);
        if (kind == TA_LAYER_MAX_POOL || kind == TA_LAYER_AVG_POOL) test_pool(&t, kind, window(&rng, last(&t)));
        test_plain(&t, i % 3 == 0 ? TA_LAYER_RELU : TA_LAYER_SIGMOID);
        test_conv(&t, 3, test_square(1, 1, 0), true);
        finish(&t, (uint64_t)i);
    }
}

static void test_norm_first(void **state) {
    (void)state;
    struct test_net t;
    test_net_begin(&t, (struct ta_shape){3, 4, 5}, TA_LOSS_SQUARED_ERROR, 3);
    test_norm(&t, true, true);
    test_plain(&t, TA_LAYER_RELU);
    test_conv(&t, 2, test_square(2, 1, 1), true);
    finish(&t, 1);
}

/* Layers that feed several others, and the net's input added to something: gradients that are handed on, and summed. */
static void test_shared_inputs(void **state) {
    (void)state;
    struct ta_rng rng = ta_rng_make(7, 1);
    for (int i = 0; i < TRIALS; i++) {
        struct test_net t;
        struct ta_shape in = {between(&rng, 2, 6), between(&rng, 2, 6), 3};
        test_net_begin(&t, in, TA_LOSS_SQUARED_ERROR, between(&rng, 1, 4));
        int a = test_conv(&t, 3, test_square(1, 1, 0), true);
        int b = test_add(&t, a, TA_FROM_INPUT);
        int c = test_plain(&t, TA_LAYER_RELU);
        test_from(&t, b);
        int d = test_plain(&t, TA_LAYER_TANH);
        test_from(&t, a);
        int e = test_conv(&t, 3, test_square(1, 1, 0), false);
        int f = test_add(&t, c, d);
        int g = i % 2 == 0 ? test_add(&t, f, e) : test_add(&t, e, f);
        int h = test_add(&t, g, i % 3 == 0 ? a : g);
        test_from(&t, h);
        if (i % 2 == 0) test_plain(&t, TA_LAYER_FLATTEN);
        if (i == 3) test_dropout(&t, 0.5F);
        finish(&t, (uint64_t)i);
    }
}

static void test_losses(void **state) {
    (void)state;
    const enum ta_loss losses[] = {TA_LOSS_CROSS_ENTROPY, TA_LOSS_BINARY_CROSS_ENTROPY, TA_LOSS_SQUARED_ERROR};
    const int ends[] = {TA_LAYER_SOFTMAX, TA_LAYER_SIGMOID, TA_LAYER_TANH, -1};
    for (int i = 0; i < 12; i++) { /* every loss with every end, its own and others' */
        struct test_net t;
        test_net_begin(&t, (struct ta_shape){1, 1, 6}, losses[i / 4], 1 + (uint32_t)i % 5);
        test_dense(&t, 2 + (uint32_t)i % 7, true);
        if (ends[i % 4] >= 0) test_plain(&t, (enum ta_layer_kind)ends[i % 4]);
        finish(&t, (uint64_t)i);
    }
}

/* The masks of dropout are those of the other makes, element by element. */
static void test_dropouts(void **state) {
    (void)state;
    const float rates[] = {0, 0.1F, 0.5F, 0.9F};
    for (int i = 0; i < 4; i++) {
        struct test_net t;
        test_net_begin(&t, (struct ta_shape){3, 5, 3}, TA_LOSS_SQUARED_ERROR, 3);
        test_conv(&t, 3, test_square(1, 1, 0), true);
        test_dropout(&t, rates[i]);
        test_plain(&t, TA_LAYER_TANH);
        test_dropout(&t, rates[3 - i]);
        finish(&t, (uint64_t)i);
    }
}

/* Finite differences of this make's own loss: nothing of another make decides here. */
static void test_slopes(void **state) {
    (void)state;
    struct test_net t;
    test_cifar_cnn(&t, 2);
    test_make_slopes(&ta_kernels_hosted, &t, 3, 0.02);
    test_residual_net(&t, 3);
    test_make_slopes(&ta_kernels_hosted, &t, 4, 0.02);
}

static void test_whole_nets(void **state) {
    (void)state;
    struct test_net t;
    test_cifar_cnn(&t, 2);
    finish(&t, 1);
    test_residual_net(&t, 3);
    test_make_against_reference(&ta_kernels_hosted, &t, 2, 2e-4);
}

#ifndef TA_REAL_GPU
/* What the libraries may refuse, a net does by itself; and no order of what is not ordered changes a result. */
static void test_refusals_and_orders(void **state) {
    (void)state;
    const char *options[] = {"cublaslt=nobias",           "cublaslt=norelu", "cudnn=nofuse",
                             "cudnn=nofuse,order=eager", "order=random:1",  "cublaslt=nobias,order=random:2"};
    for (unsigned i = 0; i < sizeof options / sizeof options[0]; i++) {
        struct test_net t;
        device(options[i]);
        test_net_begin(&t, (struct ta_shape){6, 6, 3}, TA_LOSS_CROSS_ENTROPY, 2);
        int a = test_conv(&t, 4, test_square(3, 1, 1), true);
        test_plain(&t, TA_LAYER_RELU);
        test_norm(&t, true, true);
        int b = test_conv(&t, 4, (struct test_window){2, 3, 1, 1, 0, 1, 2, 0}, true);
        test_add(&t, a, b);
        test_pool(&t, TA_LAYER_AVG_POOL, test_square(2, 2, 0));
        test_plain(&t, TA_LAYER_FLATTEN);
        test_dense(&t, 5, true);
        test_plain(&t, TA_LAYER_RELU);
        test_dense(&t, 3, true);
        finish(&t, i);
    }
    device(NULL);
}
#endif

static void in_bfloat16(const struct test_net *t, uint64_t seed, double within) {
    hosted_compute(TA_COMPUTE_BFLOAT16);
    test_make_against_reference(&ta_kernels_hosted, t, seed, within);
}

/* bfloat16 has 8 bits of mantissa: nets without kinks agree to a few of its roundings. (One maximum of a pool, or one
 * sign before a ReLU, that rounding decides otherwise, would move a gradient by much more.) */
static void test_bfloat16(void **state) {
    (void)state;
    for (uint64_t i = 0; i < 4; i++) {
        struct test_net t;
        test_net_begin(&t, (struct ta_shape){6, 6, 3}, i % 2 == 0 ? TA_LOSS_CROSS_ENTROPY : TA_LOSS_SQUARED_ERROR, 4);
        test_conv(&t, 8, test_square(3, 1, 1), i < 2);
        int a = test_plain(&t, TA_LAYER_TANH);
        if (i == 1) test_dropout(&t, 0.2F);
        if (i == 3) test_norm(&t, true, true);
        int b = test_conv(&t, 8, test_square(1, 1, 0), true);
        test_add(&t, a, b);
        test_pool(&t, TA_LAYER_AVG_POOL, test_square(2, 2, 0));
        test_plain(&t, TA_LAYER_FLATTEN);
        test_dense(&t, 8, true);
        test_plain(&t, TA_LAYER_SIGMOID);
        test_dense(&t, 5, i < 3);
        in_bfloat16(&t, i, 0.04);
    }
    hosted_compute(TA_COMPUTE_FLOAT32);
}

/* Those with kinks learn alike: see test_step.c. Here each kind of layer, a ReLU fused or alone, far from its kinks. */
static void test_bfloat16_kinks(void **state) {
    (void)state;
    struct test_net t;
    test_net_begin(&t, (struct ta_shape){1, 1, 7}, TA_LOSS_SQUARED_ERROR, 3);
    test_plain(&t, TA_LAYER_RELU);
    test_dense(&t, 6, true);
    test_plain(&t, TA_LAYER_RELU);
    test_dense(&t, 4, true);
    test_plain(&t, TA_LAYER_SOFTMAX);
    in_bfloat16(&t, 2, 0.04);
    hosted_compute(TA_COMPUTE_FLOAT32);
}

static int float32_again(void **state) {
    (void)state;
    hosted_compute(TA_COMPUTE_FLOAT32);
    device(NULL);
    return 0;
}

int main(void) {
    device(NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_convolutions),
        cmocka_unit_test(test_dense_layers),
        cmocka_unit_test(test_pools_and_norms),
        cmocka_unit_test(test_norm_first),
        cmocka_unit_test(test_shared_inputs),
        cmocka_unit_test(test_losses),
        cmocka_unit_test(test_dropouts),
        cmocka_unit_test(test_whole_nets),
        cmocka_unit_test(test_slopes),
        cmocka_unit_test_teardown(test_bfloat16, float32_again),
        cmocka_unit_test_teardown(test_bfloat16_kinks, float32_again),
#ifndef TA_REAL_GPU
        cmocka_unit_test_teardown(test_refusals_and_orders, float32_again),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
