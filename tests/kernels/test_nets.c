/* Whole nets: against the reference, the same bits twice, any batch, two makes in two threads. */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "clock.h"
#include "compare.h"

static void test_whole_nets(void **state) {
    (void)state;
    struct test_net t;
    test_cifar_cnn(&t, 3);
    test_against_reference(&t, 1, 2e-5);
    test_residual_net(&t, 3);
    test_against_reference(&t, 2, 2e-4);
    test_finite_differences(&t, 2, 60, 1e-4);
}

/* A batch that passes in slices (24 = 2 x 12; few parameters, large images), through every layer that may be sliced. */
static void test_slices(void **state) {
    (void)state;
    struct test_net t;
    test_net_begin(&t, (struct ta_shape){12, 12, 1}, TA_LOSS_CROSS_ENTROPY, 24);
    int a = test_conv(&t, 4, test_square(3, 1, 1), true);
    int b = test_dropout(&t, 0.4F);
    test_add(&t, a, b);
    test_pool(&t, TA_LAYER_AVG_POOL, test_square(2, 2, 0));
    test_conv(&t, 5, test_square(3, 1, 1), true);
    test_pool(&t, TA_LAYER_MAX_POOL, test_square(2, 2, 0));
    test_plain(&t, TA_LAYER_SIGMOID);
    test_conv(&t, 6, test_square(2, 1, 0), false);
    test_plain(&t, TA_LAYER_GLOBAL_AVG_POOL);
    test_dense(&t, 4, true);
    test_against_reference(&t, 4, 2e-5);
    test_finite_differences(&t, 4, 60, 1e-4);
}

/* A mean over the batch: the gradient of 40 records is the mean of those of five times 8 (no batch_norm in this net).
 */
static void test_batches_add_up(void **state) {
    (void)state;
    enum { WHOLE = 40, PART = 8 };
    struct test_net whole, part;
    test_cifar_cnn(&whole, WHOLE);
    test_cifar_cnn(&part, PART);
    struct test_run a, b;
    test_run_begin(&a, &ta_kernels_cpu, &whole, 3);
    test_run_begin(&b, &ta_kernels_cpu, &part, 3);
    test_train(&a, 1);
    size_t n = whole.spec.n_params, record = ta_shape_count(whole.spec.input);
    float *sum = test_calloc(n, sizeof *sum);
    for (unsigned p = 0; p < WHOLE / PART; p++) {
        memcpy(b.x, a.x + p * PART * record, PART * record * sizeof *b.x);
        memcpy(b.classes, a.classes + p * PART, PART * sizeof *b.classes);
        test_train(&b, 1);
        assert_true(test_distance(PART, b.losses, a.losses + p * PART) < 1e-5);
        for (size_t i = 0; i < n; i++) sum[i] += b.grad[i] * PART / WHOLE;
    }
    assert_true(test_distance(n, sum, a.grad) < 1e-5);
    test_free(sum);
    test_run_end(&a);
    test_run_end(&b);
}

static void test_same_bits_twice(void **state) {
    (void)state;
    for (int which = 0; which < 2; which++) {
        struct test_net t;
        which == 0 ? test_cifar_cnn(&t, 24) : test_residual_net(&t, 24);
        struct test_run a, b;
        test_run_begin(&a, &ta_kernels_cpu, &t, 5);
        test_run_begin(&b, &ta_kernels_cpu, &t, 5);
        test_train(&a, 1);
        test_train(&b, 2); /* another step in between must leave nothing behind */
        test_predict(&b);
        test_train(&b, 1);
        assert_memory_equal(a.grad, b.grad, t.spec.n_params * sizeof(float));
        assert_memory_equal(a.predictions, b.predictions, t.spec.batch * test_outputs(&t) * sizeof(float));
        test_run_end(&a);
        test_run_end(&b);
    }
}

/* Masks: a pure function of (seed, layer, step, element), with the right share and scale. */
static void test_dropout_masks(void **state) {
    (void)state;
    struct test_net t;
    test_net_begin(&t, (struct ta_shape){1, 1, 1000}, TA_LOSS_SQUARED_ERROR, 20);
    test_dropout(&t, 0.3F);
    test_dropout(&t, 0);
    struct test_run r;
    test_run_begin(&r, &ta_kernels_cpu, &t, 1);
    for (size_t i = 0; i < 20000; i++) r.x[i] = 1;
    test_train(&r, 1);
    float *first = test_calloc(20000, sizeof *first);
    memcpy(first, r.predictions, 20000 * sizeof *first);
    unsigned kept = 0, same = 0;
    for (size_t i = 0; i < 20000; i++) {
        assert_true(first[i] == 0 || fabsf(first[i] - 1 / 0.7F) < 1e-6F);
        kept += first[i] != 0;
    }
    assert_in_range(kept, 13700, 14300); /* 14,000 +- 4.6 sigma */
    test_train(&r, 2);
    for (size_t i = 0; i < 20000; i++) same += first[i] == r.predictions[i];
    assert_in_range(same, 11300, 11900); /* 0.49 + 0.09 of 20,000 */
    test_predict(&r);
    for (size_t i = 0; i < 20000; i++) assert_true(r.predictions[i] == 1);
    test_free(first);
    test_run_end(&r);
}

/* A net made only to predict says what the training net's predict says, in less memory. */
static void test_predict_only(void **state) {
    (void)state;
    struct test_net t, p;
    test_residual_net(&t, 6);
    test_residual_net(&p, 6);
    p.spec.predict_only = true;
    struct test_run a, b;
    test_run_begin(&a, &ta_kernels_cpu, &t, 5);
    test_run_begin(&b, &ta_kernels_cpu, &p, 5);
    test_predict(&a);
    test_predict(&b);
    assert_true(test_distance(60, a.predictions, b.predictions) < 1e-6);
    assert_true(a.ops->net_bytes(a.net) > 2 * b.ops->net_bytes(b.net));
    assert_int_equal(b.ops->train(b.net, b.w, b.x, &b.labels, 1, b.grad, NULL, NULL), TA_INVALID);
    assert_int_equal(b.ops->predict(b.net, b.w, b.x, NULL, b.predictions, NULL), TA_OK);
    test_run_end(&a);
    test_run_end(&b);
}

struct thread {
    pthread_t id;
    struct test_net t;
    uint64_t seed;
    float *grad;
};

static void *train_alone(void *context) {
    struct thread *a = context;
    const struct ta_kernels_ops *ops = &ta_kernels_cpu;
    struct ta_kernels *k = NULL;
    struct ta_net *net = NULL;
    float *w = calloc(a->t.spec.n_params, sizeof *w), *x = calloc(8 * 3072, sizeof *x);
    int32_t y[8];
    test_fill_weights(&a->t, a->seed, w);
    test_fill(8 * ta_shape_count(a->t.spec.input), a->seed, -1, 1, x);
    test_fill_classes(8, a->seed, 10, y);
    ta_status status = ops->open(&(struct ta_kernels_config){.threads = 1}, &k);
    if (status == TA_OK) status = ops->net_create(k, &a->t.spec, &net);
    for (uint64_t i = 0; i < 5 && status == TA_OK; i++)
        status = ops->train(net, w, x, &(struct ta_labels){.classes = y}, i, a->grad, NULL, NULL);
    ops->net_destroy(net);
    ops->close(k);
    free(w);
    free(x);
    return status == TA_OK ? NULL : a;
}

static void test_two_threads(void **state) {
    (void)state;
    struct thread alone[2], together[2];
    for (int i = 0; i < 2; i++) {
        i == 0 ? test_cifar_cnn(&alone[i].t, 8) : test_residual_net(&alone[i].t, 8);
        alone[i].seed = (uint64_t)i + 1;
        size_t bytes = alone[i].t.spec.n_params * sizeof(float);
        together[i] = alone[i];
        together[i].t.spec.layers = together[i].t.layer;
        alone[i].grad = test_malloc(bytes);
        together[i].grad = test_malloc(bytes);
        assert_null(train_alone(&alone[i]));
    }
    for (int i = 0; i < 2; i++) assert_int_equal(pthread_create(&together[i].id, NULL, train_alone, &together[i]), 0);
    for (int i = 0; i < 2; i++) {
        void *failed;
        pthread_join(together[i].id, &failed);
        assert_null(failed);
        assert_memory_equal(alone[i].grad, together[i].grad, alone[i].t.spec.n_params * sizeof(float));
        test_free(alone[i].grad);
        test_free(together[i].grad);
    }
}

/* Two threads in one make: the same gradient to rounding, and the same bits every time. */
static void test_threads_within(void **state) {
    (void)state;
#if defined(__SANITIZE_THREAD__)
    print_message(
        "SKIPPED: the OpenMP library is not built for the thread sanitizer, which takes its barriers for races\n");
    skip();
#endif
    for (int which = 0; which < 2; which++) {
        struct test_net t;
        which == 0 ? test_cifar_cnn(&t, 10) : test_residual_net(&t, 10);
        struct test_run a, b;
        test_run_begin(&a, &ta_kernels_cpu, &t, 5);
        test_run_begin(&b, &ta_kernels_cpu, &t, 5);
        b.ops->net_destroy(b.net);
        b.ops->close(b.kernels);
        assert_int_equal(b.ops->open(&(struct ta_kernels_config){.threads = 2}, &b.kernels), TA_OK);
        assert_int_equal(b.ops->net_create(b.kernels, &t.spec, &b.net), TA_OK);
        size_t n = t.spec.n_params;
        float *first = test_malloc(n * sizeof *first);
        test_train(&a, 1);
        test_train(&b, 1);
        assert_true(test_distance(n, b.grad, a.grad) < 2e-5);
        memcpy(first, b.grad, n * sizeof *first);
        test_train(&b, 1);
        assert_memory_equal(first, b.grad, n * sizeof *first);
        test_free(first);
        test_run_end(&a);
        test_run_end(&b);
    }
}

/* A timed net says where its time went: in the layers that work, and no more than the step took. */
static void test_times(void **state) {
    (void)state;
    struct test_net t;
    test_cifar_cnn(&t, 4);
    t.spec.timed = true;
    struct test_run r;
    test_run_begin(&r, &ta_kernels_cpu, &t, 1);
    int64_t start = ta_clock_now_ns();
    for (uint64_t i = 0; i < 3; i++) test_train(&r, i);
    double whole = (double)(ta_clock_now_ns() - start) * 1e-9, sum = 0;
    for (uint32_t i = 0; i < t.spec.n_layers; i++) {
        struct ta_layer_times spent = r.ops->net_times(r.net, i);
        assert_true(spent.forward_s >= 0 && spent.backward_s >= 0);
        if (t.layer[i].kind == TA_LAYER_DENSE) assert_true(spent.forward_s > 0 && spent.backward_s > 0);
        sum += spent.forward_s + spent.backward_s;
    }
    assert_true(sum > 0.3 * whole && sum <= whole);
    test_run_end(&r);
}

/* Finite differences of this make's own loss, as of every make's. */
static void test_slopes(void **state) {
    (void)state;
    struct test_net t;
    test_residual_net(&t, 6);
    test_make_slopes(&ta_kernels_cpu, &t, 4, 0.02);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_nets),     cmocka_unit_test(test_slices),
        cmocka_unit_test(test_slopes),
        cmocka_unit_test(test_batches_add_up), cmocka_unit_test(test_same_bits_twice),
        cmocka_unit_test(test_dropout_masks),  cmocka_unit_test(test_predict_only),
        cmocka_unit_test(test_two_threads),    cmocka_unit_test(test_threads_within),
        cmocka_unit_test(test_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
