/* What a step costs the host, in which order things may happen, and what happens when something cannot be captured,
 * memory runs out or the device is lost: on the make-believe device alone. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_gpu.h"
#include "learner.h"
#include "mem.h"

static const struct ta_kernels_ops *const ops = &ta_kernels_cuda;

static void device(const char *options) { ta_fake_gpu_reset(options); }

/* A step is one launch and one wait: nothing is allocated, nothing else waited for. */
static void test_hot_path(void **state) {
    (void)state;
    struct learner l;
    learner_open(&l, false);
    struct ta_fake_gpu_counts before = {0};
    for (uint64_t step = 1; step <= 10; step++) {
        if (step == 5) before = ta_fake_gpu_count();
        learner_batch(&l, step);
        learner_ok(learner_step(&l, TA_ADAM, step, NULL, NULL));
        learner_apply(&l);
    }
    struct ta_fake_gpu_counts now = ta_fake_gpu_count();
    assert_int_equal(now.allocations, before.allocations);
    assert_int_equal(now.events, before.events);
    assert_int_equal(now.graphs, before.graphs);
    assert_int_equal(now.waits - before.waits, 6); /* the end of each step */
    assert_true(now.graphs > 0);
    learner_close(&l);
}

/* Where nothing can be captured, steps are launched one by one, with the same results, and the net says why. */
static void test_without_graphs(void **state) {
    (void)state;
    struct learner l[2];
    for (unsigned which = 0; which < 2; which++) {
        struct learner *one = &l[which];
        device(which == 0 ? NULL : "no_graphs");
        learner_open(one, false);
        for (uint64_t step = 1; step <= 5; step++) {
            learner_batch(one, step);
            learner_ok(learner_step(one, TA_MOMENTUM, step, NULL, NULL));
        }
        learner_ok(ops->copy_out(one->h.kernels, one->cpu_delta, one->delta, one->t.spec.n_params * sizeof(float)));
        assert_int_equal(strlen(ops->net_note(one->net)) > 0, which);
        learner_close_device(one);
    }
    assert_memory_equal(l[0].cpu_delta, l[1].cpu_delta, l[0].t.spec.n_params * sizeof(float));
    assert_memory_equal(l[0].cpu.predictions, l[1].cpu.predictions, BATCH * 3 * sizeof(float));
    learner_close_host(&l[0]);
    learner_close_host(&l[1]);
}

/* In every order that streams allow: the same as the CPU. */
static void test_orders(void **state) {
    (void)state;
    for (unsigned seed = 1; seed <= 6; seed++) {
        char options[32];
        snprintf(options, sizeof options, "order=random:%u", seed);
        device(options);
        learner_learn((enum ta_optimizer_kind)(seed % 4), 5);
    }
}

static bool makes_net(const struct test_net *t) {
    struct hosted h;
    struct ta_net *net = NULL;
    bool made = false;
    ta_status status = hosted_open(&h);
    if (status == TA_OK) {
        status = ops->net_create(h.kernels, &t->spec, &net);
        made = status == TA_OK;
        assert_true(made == (net != NULL));
        ops->net_destroy(net);
        hosted_close(&h);
    }
    if (status != TA_OK && status != TA_NO_MEMORY) fail_msg("%s: %s", ta_status_name(status), ta_why());
    return made;
}

/* Memory of the device, then of the host, runs out at every place: nothing is left behind. */
static void test_memory_runs_out(void **state) {
    (void)state;
    struct test_net t;
    learner_shape(&t);
    size_t held = ta_mem_held_bytes();
    bool made = false;
    for (unsigned n = 0; !made; n++) {
        char options[32];
        assert_true(n < 100);
        snprintf(options, sizeof options, "oom_after=%u", n);
        device(options);
        made = makes_net(&t);
        assert_int_equal(ta_mem_held_bytes(), held);
        assert_int_equal(ta_fake_gpu_count().blocks, 0);
    }
    device(NULL);
    made = false;
    for (unsigned n = 1; !made; n++) {
        assert_true(n < 500);
        ta_mem_fail_nth(n);
        made = makes_net(&t);
        ta_mem_fail_nth(0);
        assert_int_equal(ta_mem_held_bytes(), held);
        assert_int_equal(ta_fake_gpu_count().blocks, 0);
        assert_int_equal(ta_fake_gpu_count().events, 0);
    }
}

static void test_says_what_is_too_large(void **state) {
    (void)state;
    struct test_net t;
    struct hosted h;
    struct ta_net *net;
    device("memory=64M");
    test_cifar_cnn(&t, 4096);
    learner_ok(hosted_open(&h));
    assert_int_equal(ops->net_create(h.kernels, &t.spec, &net), TA_NO_MEMORY);
    const char *says[] = {"4096 records", "layer_1", "stream.batch"};
    for (unsigned i = 0; i < 3; i++)
        if (strstr(ta_why(), says[i]) == NULL) fail_msg("'%s' is not in '%s'", says[i], ta_why());
    hosted_close(&h);
    device(NULL);
}

/* The device is lost while a step runs: the step's end says so, and so does all that follows. */
static void test_lost(void **state) {
    (void)state;
    static const unsigned when[] = {5, 27, 40, 60}; /* in the first step, launch by launch; then steps are graphs */
    for (unsigned i = 0; i < sizeof when / sizeof when[0]; i++) {
        char options[32];
        struct learner l;
        ta_status status = TA_OK;
        snprintf(options, sizeof options, "lose_after=%u", when[i]);
        device(options);
        learner_open(&l, false);
        for (uint64_t step = 1; step <= 60 && status == TA_OK; step++) {
            learner_batch(&l, step);
            status = learner_step(&l, TA_SGD, step, NULL, NULL);
        }
        if (status != TA_DEVICE) fail_msg("%s: %s", options, ta_why());
        assert_true(ta_gpu_cuda.lost(l.h.gpu));
        assert_int_equal(ops->stage(l.net, l.cpu.x, &l.cpu.labels), TA_DEVICE);
        learner_close(&l);
    }
}

static int as_ever(void **state) {
    (void)state;
    ta_mem_fail_nth(0);
    device(NULL);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_hot_path, as_ever),        cmocka_unit_test_setup(test_without_graphs, as_ever),
        cmocka_unit_test_setup(test_orders, as_ever),          cmocka_unit_test_setup(test_memory_runs_out, as_ever),
        cmocka_unit_test_setup(test_says_what_is_too_large, as_ever), cmocka_unit_test_setup(test_lost, as_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
