/* Bad specs, bad labels, numbers that are not numbers, memory that runs out. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compare.h"
#include "mem.h"
#include "reference.h"

static void refused(const struct test_net *t, const char *says) {
    struct ta_kernels *k;
    struct ta_net *net = NULL;
    assert_int_equal(ta_kernels_cpu.open(&(struct ta_kernels_config){0}, &k), TA_OK);
    size_t held = ta_mem_held_bytes();
    assert_int_equal(ta_kernels_cpu.net_create(k, &t->spec, &net), TA_CONFIG);
    assert_null(net);
    assert_int_equal(ta_mem_held_bytes(), held);
    if (strstr(ta_why(), says) == NULL) fail_msg("'%s' is not in '%s'", says, ta_why());
    ta_kernels_cpu.close(k);
}

static void test_bad_specs(void **state) {
    (void)state;
    struct test_net t;
#define BREAK(change, says)                                                                                            \
    do {                                                                                                               \
        test_residual_net(&t, 2);                                                                                      \
        change;                                                                                                        \
        refused(&t, says);                                                                                             \
    } while (0)
    BREAK(t.spec.n_layers = 0, "no layers");
    BREAK(t.spec.batch = 0, "batch");
    BREAK(t.spec.batch = 4000000000U, "batch");
    BREAK(t.spec.loss = (enum ta_loss)9, "loss 9");
    BREAK(t.layer[3].kind = (enum ta_layer_kind)77, "layer 3");
    BREAK(t.layer[3].kind = (enum ta_layer_kind) - 1, "layer 3");
    BREAK(t.layer[3].input[0] = 3, "input 0 is layer 3");
    BREAK(t.layer[3].input[0] = 1000, "layer 1000");
    BREAK(t.layer[7].input[1] = TA_FROM_NONE, "layer 7");
    BREAK(t.layer[7].input[1] = TA_FROM_INPUT, "12x12x3");
    BREAK(t.layer[3].in.c = 17, "layer 3");
    BREAK(t.layer[3].out.h = 13, "13x12x16");
    BREAK(t.layer[3].kernel_h = 0, "does not fit");
    BREAK(t.layer[3].stride_w = 0, "does not fit");
    BREAK(t.layer[9].kernel_h = 13, "does not fit");
    BREAK(t.layer[9].pad_top = 2, "padding");
    BREAK(t.layer[3].pad_right = 3, "padding");
    BREAK((t.layer[3].kernel_w = 4000000000U, t.layer[3].pad_left = 3999999999U), "more than 65535");
    BREAK(t.layer[3].stride_h = 65536, "more than 65535");
    BREAK(t.layer[3].kernel.count--, "kernel");
    BREAK(t.layer[3].kernel.offset = t.spec.n_params - 1, "arena");
    BREAK(t.layer[3].kernel.offset = SIZE_MAX, "arena");
    BREAK(t.layer[6].bias.count = 3, "bias");
    BREAK(t.layer[1].mean.count = 0, "moving_mean");
    BREAK(t.layer[1].epsilon = 0, "epsilon");
    BREAK(t.layer[1].epsilon = NAN, "epsilon");
    BREAK(t.layer[12].rate = 1, "rate");
    BREAK(t.layer[12].rate = NAN, "rate");
    BREAK(t.layer[8].input[0] = 6, "nobody reads");
    BREAK(t.spec.n_layers = 12, "cross_entropy needs");
    BREAK((t.spec.input.h = 65536, t.spec.input.w = 65536), "layer 0");
    BREAK((t.layer[0].in.h = t.layer[0].in.w = t.spec.input.h = t.spec.input.w = 4000000000U), "layer 0");
#undef BREAK
    test_net_begin(&t, (struct ta_shape){4, 4, 1}, TA_LOSS_SQUARED_ERROR, 1);
    test_dense(&t, 2, true);
    refused(&t, "flatten");
}

static void test_bad_labels(void **state) {
    (void)state;
    struct test_net t;
    struct test_run r;
    test_cifar_cnn(&t, 4);
    test_run_begin(&r, &ta_kernels_cpu, &t, 1);
    const int32_t wrong[] = {-2, 10, INT32_MIN, INT32_MAX};
    for (int i = 0; i < 4; i++) {
        r.classes[2] = wrong[i];
        r.grad[0] = 42;
        assert_int_equal(r.ops->train(r.net, r.w, r.x, &r.labels, 1, r.grad, NULL, NULL), TA_CONFIG);
        assert_non_null(strstr(ta_why(), "record 2"));
        assert_true(r.grad[0] == 42); /* nothing was computed */
        assert_int_equal(r.ops->predict(r.net, r.w, r.x, &r.labels, NULL, NULL), TA_CONFIG);
    }
    struct ta_labels none = {0};
    assert_int_equal(r.ops->train(r.net, r.w, r.x, &none, 1, r.grad, NULL, NULL), TA_INVALID);
    assert_int_equal(r.ops->train(r.net, r.w, r.x, NULL, 1, r.grad, NULL, NULL), TA_INVALID);
    assert_int_equal(r.ops->predict(r.net, r.w, r.x, NULL, NULL, r.losses), TA_INVALID);
    test_run_end(&r);
}

/* One number that is none, anywhere in the data or the weights, must show in the norm of the gradient. */
static void test_not_a_number_is_seen(void **state) {
    (void)state;
    const float evil[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 6; i++) {
        struct test_net t;
        struct test_run r;
        i % 2 == 0 ? test_cifar_cnn(&t, 4) : test_residual_net(&t, 4);
        test_run_begin(&r, &ta_kernels_cpu, &t, 1);
        r.x[ta_shape_count(t.spec.input) + 200] = evil[i / 2];
        test_train(&r, 1);
        double norm2;
        assert_int_equal(r.ops->grad_norm2(r.kernels, t.spec.n_params, r.grad, &norm2), TA_OK);
        assert_false(isfinite(norm2));
        test_run_end(&r);
    }
}

/* Logits of +-1e4: losses stay finite and right. */
static void test_extreme_logits(void **state) {
    (void)state;
    const enum ta_loss losses[] = {TA_LOSS_CROSS_ENTROPY, TA_LOSS_BINARY_CROSS_ENTROPY};
    for (int i = 0; i < 2; i++) {
        struct test_net t;
        struct test_run r;
        test_net_begin(&t, (struct ta_shape){1, 1, 2}, losses[i], 2);
        test_dense(&t, 2, false);
        test_run_begin(&r, &ta_kernels_cpu, &t, 1);
        const float w[4] = {1e4F, 0, 0, 1e4F}, x[4] = {1, -1, -1, 1}, y[4] = {1, 0, 1, 0};
        memcpy(r.w, w, sizeof w);
        memcpy(r.x, x, sizeof x);
        memcpy(r.targets, y, sizeof y);
        r.classes[0] = 0, r.classes[1] = 0;
        test_train(&r, 1);
        assert_true(r.losses[0] == 0);
        assert_true(fabsf(r.losses[1] - (i == 0 ? 2e4F : 1e4F)) < 1);
        double norm2;
        assert_int_equal(r.ops->grad_norm2(r.kernels, 4, r.grad, &norm2), TA_OK);
        assert_true(isfinite(norm2));
        test_run_end(&r);
    }
}

static void small_net(struct test_net *t, enum ta_loss loss, uint32_t batch) {
    test_net_begin(t, (struct ta_shape){1, 1, 5}, loss, batch);
    test_dense(t, 4, true);
    test_plain(t, TA_LAYER_TANH);
    test_dense(t, 3, true);
}

/* Six records of which the second and the fifth have no label do what the other four do alone. */
static void without_labels(const struct ta_kernels_ops *ops, enum ta_loss loss) {
    enum { ALL = 6, LEFT = 4, IN = 5, OUT = 3 };
    static const unsigned from[LEFT] = {0, 2, 3, 5};
    struct test_net six, four;
    struct test_run a, b;
    small_net(&six, loss, ALL);
    small_net(&four, loss, LEFT);
    test_run_begin(&a, ops, &six, 1);
    test_run_begin(&b, ops, &four, 1);
    a.classes[1] = a.classes[4] = -1;
    a.targets[1 * OUT + 2] = a.targets[4 * OUT] = NAN;
    for (unsigned i = 0; i < LEFT; i++) {
        memcpy(b.x + i * IN, a.x + from[i] * IN, IN * sizeof(float));
        memcpy(b.targets + i * OUT, a.targets + from[i] * OUT, OUT * sizeof(float));
        b.classes[i] = a.classes[from[i]];
    }
    test_train(&a, 1);
    test_train(&b, 1);
    double off = test_distance(six.spec.n_params, a.grad, b.grad);
    if (!(off < 1e-6)) fail_msg("%s, loss %d: gradients are off by %g", ops->name, (int)loss, off);
    assert_true(isnan(a.losses[1]) && isnan(a.losses[4]));
    for (unsigned i = 0; i < LEFT; i++) {
        assert_true(fabsf(a.losses[from[i]] - b.losses[i]) < 1e-6F);
        assert_true(test_distance(OUT, a.predictions + from[i] * OUT, b.predictions + i * OUT) < 1e-6);
    }
    for (unsigned i = 0; i < ALL * OUT; i++) assert_true(isfinite(a.predictions[i]));
    test_predict(&a);
    assert_true(isnan(a.losses[1]) && isfinite(a.losses[0]) && isfinite(a.predictions[1 * OUT]));
    for (unsigned i = 0; i < ALL; i++) a.classes[i] = -1, a.targets[i * OUT] = NAN;
    test_train(&a, 2);
    for (size_t i = 0; i < six.spec.n_params; i++) assert_true(a.grad[i] == 0);
    test_run_end(&a);
    test_run_end(&b);
}

static void test_records_without_a_label(void **state) {
    (void)state;
    const enum ta_loss losses[] = {TA_LOSS_CROSS_ENTROPY, TA_LOSS_BINARY_CROSS_ENTROPY, TA_LOSS_SQUARED_ERROR};
    for (unsigned i = 0; i < 3; i++) {
        without_labels(&ta_kernels_cpu, losses[i]);
        without_labels(&ta_kernels_reference, losses[i]);
    }
}

static void test_memory_runs_out(void **state) {
    (void)state;
    struct test_net t;
    test_residual_net(&t, 2);
    size_t held = ta_mem_held_bytes();
    bool made = false;
    for (unsigned n = 1; !made; n++) {
        assert_true(n < 500);
        struct ta_kernels *k = NULL;
        struct ta_net *net = NULL;
        ta_mem_fail_nth(n);
        ta_status status = ta_kernels_cpu.open(&(struct ta_kernels_config){.threads = 1}, &k);
        if (status == TA_OK) status = ta_kernels_cpu.net_create(k, &t.spec, &net);
        ta_mem_fail_nth(0);
        made = status == TA_OK;
        assert_true(made || status == TA_NO_MEMORY);
        assert_true(made || net == NULL);
        ta_kernels_cpu.net_destroy(net);
        ta_kernels_cpu.close(k);
        assert_int_equal(ta_mem_held_bytes(), held);
    }
}

static void test_names(void **state) {
    (void)state;
    const struct ta_kernels_ops *ops;
    assert_int_equal(ta_kernels_find("cpu", &ops), TA_OK);
    assert_ptr_equal(ops, &ta_kernels_cpu);
    assert_int_equal(ta_kernels_find("auto", &ops), TA_OK);
    assert_non_null(ops);
    assert_int_equal(ta_kernels_find("tpu", &ops), TA_CONFIG);
    assert_non_null(strstr(ta_why(), "cpu"));
    ta_status cuda = ta_kernels_find("cuda", &ops);
    if (cuda != TA_OK) {
        assert_int_equal(cuda, TA_NOT_BUILT);
        assert_non_null(strstr(ta_why(), "Install"));
        assert_null(ops);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_specs),       cmocka_unit_test(test_bad_labels),
        cmocka_unit_test(test_names),           cmocka_unit_test(test_extreme_logits),
        cmocka_unit_test(test_memory_runs_out), cmocka_unit_test(test_not_a_number_is_seen),
        cmocka_unit_test(test_records_without_a_label),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
