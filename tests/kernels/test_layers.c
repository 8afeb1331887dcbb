/* Every kind of layer against the naive reference on random shapes, and the reference against finite differences. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "compare.h"
#include "rng.h"

enum { TRIALS = 12 };

static uint32_t between(struct ta_rng *rng, uint32_t least, uint32_t most) {
    return least + ta_rng_below(rng, most - least + 1);
}

static struct test_window random_window(struct ta_rng *rng, struct ta_shape in, bool padding) {
    struct test_window s;
    s.kernel_h = between(rng, 1, in.h < 5 ? in.h : 5);
    s.kernel_w = between(rng, 1, in.w < 5 ? in.w : 5);
    s.stride_h = between(rng, 1, 3);
    s.stride_w = between(rng, 1, 3);
    s.pad_top = padding ? between(rng, 0, s.kernel_h - 1) : 0;
    s.pad_bottom = padding ? between(rng, 0, s.kernel_h - 1) : 0;
    s.pad_left = padding ? between(rng, 0, s.kernel_w - 1) : 0;
    s.pad_right = padding ? between(rng, 0, s.kernel_w - 1) : 0;
    return s;
}

/* A net whose first layer is a small convolution, so that the gradient must pass through what is tested. */
static struct ta_shape begin(struct test_net *t, struct ta_rng *rng, enum ta_loss loss) {
    static const uint32_t channels[] = {1, 3, 7, 8, 13, 16, 24, 33};
    struct ta_shape in = {between(rng, 1, 11), between(rng, 1, 11), between(rng, 1, 4)};
    test_net_begin(t, in, loss, between(rng, 1, 5));
    test_conv(t, channels[ta_rng_below(rng, 8)], test_square(1, 1, 0), true);
    return t->layer[0].out;
}

static void finish(struct test_net *t, uint64_t seed, double tolerance) {
    test_against_reference(t, seed, tolerance);
    test_finite_differences(t, seed, 40, 1e-4);
}

static void test_conv2d(void **state) {
    (void)state;
    static const uint32_t filters[] = {1, 5, 8, 10, 16, 32, 40};
    struct ta_rng rng = ta_rng_make(1, 1);
    for (int i = 0; i < 3 * TRIALS; i++) {
        struct test_net t;
        struct ta_shape in = begin(&t, &rng, TA_LOSS_SQUARED_ERROR);
        test_conv(&t, filters[ta_rng_below(&rng, 7)], random_window(&rng, in, i % 2 == 0), i % 3 != 0);
        finish(&t, (uint64_t)i, 2e-5);
    }
}

static void test_dense_layer(void **state) {
    (void)state;
    struct ta_rng rng = ta_rng_make(2, 1);
    for (int i = 0; i < TRIALS; i++) {
        struct test_net t;
        test_net_begin(&t, (struct ta_shape){1, 1, between(&rng, 1, 40)}, TA_LOSS_SQUARED_ERROR, between(&rng, 1, 9));
        test_dense(&t, between(&rng, 1, 40), true);
        test_dense(&t, between(&rng, 1, 20), i % 2 == 0);
        finish(&t, (uint64_t)i, 2e-5);
    }
}

static void test_pools(void **state) {
    (void)state;
    struct ta_rng rng = ta_rng_make(3, 1);
    const enum ta_layer_kind kinds[] = {TA_LAYER_MAX_POOL, TA_LAYER_AVG_POOL};
    for (int i = 0; i < 3 * TRIALS; i++) {
        struct test_net t;
        struct ta_shape in = begin(&t, &rng, TA_LOSS_SQUARED_ERROR);
        test_pool(&t, kinds[i % 2], random_window(&rng, in, i % 3 != 0));
        finish(&t, (uint64_t)i, 2e-5);
    }
}

/* The chain that runs as one node, with every kind of window, padding and stride; and behind another convolution, so
 * that the gradient by its input is needed too. */
static void test_conv_then_pool(void **state) {
    (void)state;
    static const uint32_t filters[] = {1, 5, 8, 16, 33, 64};
    struct ta_rng rng = ta_rng_make(9, 1);
    for (int i = 0; i < 4 * TRIALS; i++) {
        struct test_net t;
        struct ta_shape in = {between(&rng, 4, 14), between(&rng, 4, 14), between(&rng, 1, 4)};
        test_net_begin(&t, in, TA_LOSS_SQUARED_ERROR, between(&rng, 1, 5));
        if (i % 2 == 0) test_conv(&t, filters[ta_rng_below(&rng, 6)], test_square(1, 1, 0), true);
        test_conv(&t, filters[ta_rng_below(&rng, 6)], random_window(&rng, in, i % 4 < 2), i % 5 != 0);
        if (i % 3 != 0) test_plain(&t, TA_LAYER_RELU);
        struct test_window w = random_window(&rng, t.layer[t.spec.n_layers - 1].out, i % 6 < 3);
        if (i % 8 == 0 && t.layer[t.spec.n_layers - 1].out.h > 3 && t.layer[t.spec.n_layers - 1].out.w > 3)
            w = test_square(2, 2, 0);
        test_pool(&t, TA_LAYER_MAX_POOL, w);
        if (i % 7 == 0) test_plain(&t, TA_LAYER_TANH);
        finish(&t, (uint64_t)i, 2e-5);
    }
}

static void test_pointwise(void **state) {
    (void)state;
    struct ta_rng rng = ta_rng_make(4, 1);
    const enum ta_layer_kind kinds[] = {TA_LAYER_RELU,    TA_LAYER_TANH,    TA_LAYER_SIGMOID,
                                        TA_LAYER_SOFTMAX, TA_LAYER_FLATTEN, TA_LAYER_GLOBAL_AVG_POOL};
    for (int i = 0; i < 3 * TRIALS; i++) {
        struct test_net t;
        begin(&t, &rng, TA_LOSS_SQUARED_ERROR);
        test_plain(&t, kinds[i % 6]);
        if (i % 2 == 0) test_conv(&t, 3, test_square(1, 1, 0), true);
        finish(&t, (uint64_t)i, 2e-5);
    }
}

static void test_batch_norm(void **state) {
    (void)state;
    struct ta_rng rng = ta_rng_make(5, 1);
    for (int i = 0; i < TRIALS; i++) {
        struct test_net t;
        begin(&t, &rng, TA_LOSS_SQUARED_ERROR);
        test_norm(&t, i % 4 < 2, i % 2 == 0);
        if (i % 3 == 0) test_plain(&t, TA_LAYER_RELU);
        test_conv(&t, 4, test_square(1, 1, 0), true);
        finish(&t, (uint64_t)i, 2e-4);
    }
}

static void test_dropout_layer(void **state) {
    (void)state;
    struct ta_rng rng = ta_rng_make(6, 1);
    const float rates[] = {0, 0.1F, 0.5F, 0.9F};
    for (int i = 0; i < TRIALS; i++) {
        struct test_net t;
        begin(&t, &rng, TA_LOSS_SQUARED_ERROR);
        test_dropout(&t, rates[i % 4]);
        if (i % 2 == 0) test_plain(&t, TA_LAYER_TANH);
        finish(&t, (uint64_t)i, 2e-5);
    }
}

/* Layers that feed several others, and the net's input added to something. */
static void test_shared_inputs(void **state) {
    (void)state;
    struct ta_rng rng = ta_rng_make(7, 1);
    for (int i = 0; i < TRIALS; i++) {
        struct test_net t;
        struct ta_shape in = {between(&rng, 2, 9), between(&rng, 2, 9), 3};
        test_net_begin(&t, in, TA_LOSS_SQUARED_ERROR, between(&rng, 1, 4));
        int a = test_conv(&t, 3, test_square(1, 1, 0), true);
        int b = test_add(&t, a, TA_FROM_INPUT);
        int c = test_plain(&t, TA_LAYER_RELU);
        test_from(&t, b);
        int d = test_plain(&t, TA_LAYER_TANH);
        test_from(&t, a);
        int e = test_conv(&t, 3, test_square(1, 1, 0), false);
        int f = test_add(&t, c, d);
        int g = test_add(&t, f, e);
        int h = test_add(&t, g, g);
        test_from(&t, h);
        if (i % 2 == 0) test_plain(&t, TA_LAYER_FLATTEN);
        finish(&t, (uint64_t)i, 2e-5);
    }
}

static void test_losses(void **state) {
    (void)state;
    struct ta_rng rng = ta_rng_make(8, 1);
    const enum ta_loss losses[] = {TA_LOSS_CROSS_ENTROPY, TA_LOSS_BINARY_CROSS_ENTROPY, TA_LOSS_SQUARED_ERROR};
    const int ends[] = {TA_LAYER_SOFTMAX, TA_LAYER_SIGMOID, TA_LAYER_TANH, -1};
    for (int i = 0; i < 12; i++) { /* every loss with every end, its own and others' */
        struct test_net t;
        test_net_begin(&t, (struct ta_shape){1, 1, 6}, losses[i / 4], between(&rng, 1, 7));
        test_dense(&t, between(&rng, 2, 9), true);
        if (ends[i % 4] >= 0) test_plain(&t, (enum ta_layer_kind)ends[i % 4]);
        finish(&t, (uint64_t)i, 2e-5);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conv2d),         cmocka_unit_test(test_dense_layer),   cmocka_unit_test(test_pools),
        cmocka_unit_test(test_conv_then_pool), cmocka_unit_test(test_pointwise),     cmocka_unit_test(test_batch_norm),
        cmocka_unit_test(test_dropout_layer),  cmocka_unit_test(test_shared_inputs), cmocka_unit_test(test_losses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
