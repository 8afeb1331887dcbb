/* The loops over parameters: every optimizer against the reference, sums and means to the bit. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compare.h"
#include "reference.h"

enum { N = 5003 }; /* odd, and longer than a page of the sum */

static float *vector(uint64_t seed, float least, float most) {
    float *x = test_malloc(N * sizeof *x);
    test_fill(N, seed, least, most, x);
    return x;
}

struct arena {
    float *m, *v, *delta;
};

static struct arena arena(void) { return (struct arena){vector(11, -1, 1), vector(12, 0, 1), vector(13, -1, 1)}; }

static void arena_free(struct arena a) {
    test_free(a.m);
    test_free(a.v);
    test_free(a.delta);
}

static void check_update(struct ta_update how) {
    float *grad = vector(1, -2, 2), *w = vector(2, -1, 1);
    struct arena a = arena(), b = arena();
    for (how.step = 1; how.step <= 3; how.step++) {
        assert_int_equal(ta_kernels_cpu.update(NULL, &how, N, grad, w, a.m, a.v, a.delta), TA_OK);
        assert_int_equal(ta_kernels_reference.update(NULL, &how, N, grad, w, b.m, b.v, b.delta), TA_OK);
    }
    assert_true(test_distance(N, a.delta, b.delta) < 1e-6);
    assert_true(test_distance(N, a.m, b.m) < 1e-6);
    assert_true(test_distance(N, a.v, b.v) < 1e-6);
    arena_free(a);
    arena_free(b);
    test_free(grad);
    test_free(w);
}

static void test_updates(void **state) {
    (void)state;
    for (unsigned i = 0; i < 64; i++) {
        check_update((struct ta_update){.kind = (enum ta_optimizer_kind)(i % 4),
                                        .rate = 0.1F,
                                        .scale = i & 4 ? 0.5F : 1,
                                        .grad_scale = i & 8 ? 0.25F : 1,
                                        .clip_value = i & 16 ? 0.7F : 0,
                                        .weight_decay = i & 32 ? 0.1F : 0,
                                        .momentum = 0.9F,
                                        .beta1 = 0.9F,
                                        .beta2 = 0.999F,
                                        .epsilon = 1e-7F,
                                        .nesterov = i & 4,
                                        .decoupled = i & 8});
    }
}

static void test_update_needs_state(void **state) {
    (void)state;
    struct ta_update how = {.kind = TA_ADAM, .step = 1, .rate = 0.1F, .scale = 1, .grad_scale = 1};
    float one[1] = {0};
    assert_int_equal(ta_kernels_cpu.update(NULL, &how, 1, one, one, NULL, one, one), TA_INVALID);
    how.kind = TA_ADAGRAD;
    assert_int_equal(ta_kernels_cpu.update(NULL, &how, 1, one, one, one, NULL, one), TA_INVALID);
}

/* Clipping by value must not turn a NaN into a number. */
static void test_update_keeps_nan(void **state) {
    (void)state;
    struct ta_update how = {.kind = TA_SGD, .step = 1, .rate = 1, .scale = 1, .grad_scale = 1, .clip_value = 1};
    float grad[3] = {NAN, INFINITY, -INFINITY}, w[3] = {0}, delta[3] = {0};
    assert_int_equal(ta_kernels_cpu.update(NULL, &how, 3, grad, w, NULL, NULL, delta), TA_OK);
    assert_true(isnan(delta[0]));
    assert_true(delta[1] == -1 && delta[2] == 1);
}

static void test_sum_and_mean(void **state) {
    (void)state;
    float *base = vector(1, -1, 1), *a = vector(9, 0, 0), *b = vector(9, 0, 0);
    const float *registers[5];
    for (uint64_t r = 0; r < 5; r++) registers[r] = vector(r + 20, -1, 1);
    for (unsigned n = 0; n <= 5; n++) {
        assert_int_equal(ta_kernels_cpu.sum(NULL, N, a, base, registers, n), TA_OK);
        assert_int_equal(ta_kernels_reference.sum(NULL, N, b, base, registers, n), TA_OK);
        assert_memory_equal(a, b, N * sizeof *a);
        assert_int_equal(ta_kernels_cpu.mean(NULL, N, a, registers, n), n == 0 ? TA_INVALID : TA_OK);
        if (n == 0) continue;
        assert_int_equal(ta_kernels_reference.mean(NULL, N, b, registers, n), TA_OK);
        assert_memory_equal(a, b, N * sizeof *a);
    }
    for (unsigned n = 0; n <= 5; n++) { /* onto itself */
        assert_int_equal(ta_kernels_reference.sum(NULL, N, b, base, registers, n), TA_OK);
        memcpy(a, base, N * sizeof *a);
        assert_int_equal(ta_kernels_cpu.sum(NULL, N, a, a, registers, n), TA_OK);
        assert_memory_equal(a, b, N * sizeof *a);
        memcpy(a, base, N * sizeof *a);
        assert_int_equal(ta_kernels_reference.sum(NULL, N, a, a, registers, n), TA_OK);
        assert_memory_equal(a, b, N * sizeof *a);
    }
    for (unsigned r = 0; r < 5; r++) test_free((void *)(uintptr_t)registers[r]);
    test_free(base);
    test_free(a);
    test_free(b);
}

static void test_norm2(void **state) {
    (void)state;
    float *x = vector(3, -1, 1);
    double a, b;
    assert_int_equal(ta_kernels_cpu.grad_norm2(NULL, N, x, &a), TA_OK);
    assert_int_equal(ta_kernels_reference.grad_norm2(NULL, N, x, &b), TA_OK);
    assert_true(fabs(a - b) < 1e-12 * b);
    x[N - 1] = NAN;
    assert_int_equal(ta_kernels_cpu.grad_norm2(NULL, N, x, &a), TA_OK);
    assert_true(isnan(a));
    x[N - 1] = -INFINITY;
    assert_int_equal(ta_kernels_cpu.grad_norm2(NULL, N, x, &a), TA_OK);
    assert_false(isfinite(a));
    for (int i = 0; i < N; i++) x[i] = 1e30F; /* beyond float's range when squared: double holds it */
    assert_int_equal(ta_kernels_cpu.grad_norm2(NULL, N, x, &a), TA_OK);
    assert_true(isfinite(a));
    test_free(x);
}

static void test_moving_average(void **state) {
    (void)state;
    float *s = vector(1, -1, 1), *a = vector(2, -1, 1), *b = vector(2, -1, 1);
    assert_int_equal(ta_kernels_cpu.moving(NULL, N, 0.99F, s, a), TA_OK);
    assert_int_equal(ta_kernels_reference.moving(NULL, N, 0.99F, s, b), TA_OK);
    assert_memory_equal(a, b, N * sizeof *a);
    test_free(s);
    test_free(a);
    test_free(b);
}

/* To a rounding of each of its four operations. */
static void test_compensate(void **state) {
    (void)state;
    float *w = vector(1, -1, 1), *basis = vector(2, -1, 1), *a = vector(3, -2, 2), *b = vector(3, -2, 2);
    assert_int_equal(ta_kernels_cpu.compensate(NULL, N, 0.3F, w, basis, a), TA_OK);
    assert_int_equal(ta_kernels_reference.compensate(NULL, N, 0.3F, w, basis, b), TA_OK);
    for (int i = 0; i < N; i++) assert_true(fabsf(a[i] - b[i]) <= 1e-6F * (1 + fabsf(b[i])));
    assert_int_equal(ta_kernels_cpu.compensate(NULL, N, 0.3F, w, w, a), TA_OK); /* nothing moved: nothing to do */
    for (int i = 0; i < N; i++) assert_true(fabsf(a[i] - b[i]) <= 1e-6F * (1 + fabsf(b[i])));
    a[0] = NAN; /* stays one, for the guard */
    assert_int_equal(ta_kernels_cpu.compensate(NULL, N, 0.3F, w, basis, a), TA_OK);
    assert_true(isnan(a[0]));
    test_free(w);
    test_free(basis);
    test_free(a);
    test_free(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_updates),
        cmocka_unit_test(test_update_needs_state),
        cmocka_unit_test(test_update_keeps_nan),
        cmocka_unit_test(test_sum_and_mean),
        cmocka_unit_test(test_norm2),
        cmocka_unit_test(test_moving_average),
        cmocka_unit_test(test_compensate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
