/* Steps of the CUDA make in pieces: what stage, begin, ready, end and an update on the device promise. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "learner.h"
#include "mem.h"

static const struct ta_kernels_ops *const ops = &ta_kernels_cuda;

static void test_learning(void **state) {
    (void)state;
    learner_learn(TA_SGD, 100);
    learner_learn(TA_MOMENTUM, 12);
    learner_learn(TA_ADAM, 12);
    learner_learn(TA_ADAGRAD, 12);
}

/* The same bits however a step is made: in one call or in three, by a graph or not. */
static void test_pieces(void **state) {
    (void)state;
    struct learner l;
    learner_open(&l, false);
    size_t n = l.t.spec.n_params;
    float *first, *again, losses[2][BATCH];
    learner_ok(TA_NEW(&first, n, "a gradient"));
    learner_ok(TA_NEW(&again, n, "a gradient"));
    learner_batch(&l, 1);
    learner_ok(ops->train(l.net, l.w, l.cpu.x, &l.cpu.labels, 7, l.grad, NULL, losses[0]));
    learner_ok(ops->copy_out(l.h.kernels, first, l.grad, n * sizeof *first));
    struct ta_net_step step = {.w = l.w, .grad = l.grad, .step = 7};
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(ops->begin(l.net, &step), TA_INVALID);
        assert_int_equal(ops->ready(l.net), TA_INVALID);
        assert_int_equal(ops->end(l.net, NULL, NULL, NULL), TA_INVALID);
        learner_batch(&l, 1);
        learner_ok(ops->stage(l.net, l.cpu.x, &l.cpu.labels));
        l.cpu.x[0] = NAN; /* copied: it is the caller's again */
        learner_batch(&l, 2);
        learner_ok(ops->stage(l.net, l.cpu.x, &l.cpu.labels));
        assert_int_equal(ops->stage(l.net, l.cpu.x, &l.cpu.labels), TA_AGAIN);
        assert_int_equal(ops->train(l.net, l.w, l.cpu.x, &l.cpu.labels, 7, l.grad, NULL, NULL), TA_INVALID);
        learner_ok(ops->begin(l.net, &step));
        while (ops->ready(l.net) == TA_AGAIN) {}
        learner_ok(ops->ready(l.net));
        learner_ok(ops->end(l.net, NULL, losses[1], NULL));
        learner_ok(ops->copy_out(l.h.kernels, again, l.grad, n * sizeof *again));
        assert_memory_equal(first, again, n * sizeof *first);
        assert_memory_equal(losses[0], losses[1], sizeof losses[0]);
        learner_ok(ops->begin(l.net, &(struct ta_net_step){.w = l.w, .grad = l.grad, .step = 8}));
        learner_ok(ops->predict(l.net, l.w, l.cpu.x, NULL, l.cpu.predictions, NULL));
        learner_ok(ops->end(l.net, NULL, NULL, NULL));
    }
    l.cpu.classes[2] = 3;
    assert_int_equal(ops->stage(l.net, l.cpu.x, &l.cpu.labels), TA_CONFIG);
    assert_non_null(strstr(ta_why(), "record 2"));
    ta_mem_free(first);
    ta_mem_free(again);
    learner_close(&l);
}

/* A batch that is not finite updates nothing, and says so. */
static void test_not_finite(void **state) {
    (void)state;
    struct learner l;
    learner_open(&l, false);
    for (uint64_t step = 1; step <= 4; step++) {
        struct ta_net_outcome outcome;
        learner_batch(&l, step);
        l.cpu.classes[1] = 0;
        l.cpu.x[ta_shape_count(l.t.spec.input) + 3] = step % 2 == 0 ? NAN : INFINITY;
        learner_ok(learner_step(&l, TA_ADAM, step, NULL, &outcome));
        assert_false(outcome.finite);
    }
    learner_compare(&l, 0, "steps that must not count");
    learner_close(&l);
}

/* bfloat16 learns as float32 does: a batch by heart, until the loss is well below log(3). */
static void test_bfloat16_learns(void **state) {
    (void)state;
    double last[2] = {0};
    for (int which = 0; which < 2; which++) {
        struct learner l;
        hosted_compute(which == 0 ? TA_COMPUTE_FLOAT32 : TA_COMPUTE_BFLOAT16);
        learner_open(&l, false);
        learner_batch(&l, 2);
        for (uint64_t step = 1; step <= 40; step++) {
            float losses[BATCH];
            learner_ok(learner_step(&l, TA_ADAM, step, losses, NULL));
            learner_apply(&l);
            last[which] = 0;
            for (unsigned r = 0; r < BATCH; r++) last[which] += (double)losses[r] / BATCH;
        }
        learner_close(&l);
    }
    if (!(last[0] < 0.7 && fabs(last[0] - last[1]) < 0.15)) fail_msg("losses %g and %g", last[0], last[1]);
}

/* Seconds of each layer; no graph then. */
static void test_times(void **state) {
    (void)state;
    struct learner l;
    learner_open(&l, true);
    learner_batch(&l, 1);
    for (uint64_t step = 1; step <= 3; step++)
        learner_ok(ops->train(l.net, l.w, l.cpu.x, &l.cpu.labels, step, l.grad, NULL, NULL));
    double all = 0;
    for (uint32_t i = 0; i < l.t.spec.n_layers; i++) {
        struct ta_layer_times t = ops->net_times(l.net, i);
        assert_true(t.forward_s >= 0 && t.backward_s >= 0);
        all += t.forward_s + t.backward_s;
    }
    assert_true(all > 0);
    assert_true(ops->net_times(l.net, 0).forward_s == 0); /* fused with the ReLU behind it */
    learner_close(&l);
}

static int as_ever(void **state) {
    (void)state;
    hosted_compute(TA_COMPUTE_FLOAT32);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_learning),   cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_not_finite), cmocka_unit_test_teardown(test_bfloat16_learns, as_ever),
        cmocka_unit_test(test_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
