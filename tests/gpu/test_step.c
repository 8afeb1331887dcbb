/* Steps of the CUDA make in pieces: what stage, begin, ready, end and an update on the device promise; what a step costs the
 * host; what happens when memory runs out or the device is lost. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compare.h"
#include "cuda.h"
#include "hosted.h"
#include "mem.h"
#include "net.h"
#ifndef TA_REAL_GPU
#include "fake_gpu.h"
#endif

static const struct ta_kernels_ops *const ops = &ta_kernels_cuda;

static void ok(ta_status status) {
    if (status != TA_OK) fail_msg("%s: %s", ta_status_name(status), ta_why());
}

static void device(const char *options) {
#ifdef TA_REAL_GPU
    (void)options;
#else
    ta_fake_gpu_reset(options);
#endif
}

enum { BATCH = 6, ARENAS = 6 };

/* A net on the device with all that an update needs, and the same in host memory for the CPU make. */
struct learner {
    struct test_net t;
    struct hosted h;
    struct ta_net *net;
    float *w, *grad, *m, *v, *delta, *base; /* on the device */
    struct test_run cpu;                    /* w, x, labels of the host */
    float *cpu_m, *cpu_v, *cpu_delta, *cpu_base;
    struct ta_param trained[16];
    uint32_t n_trained;
};

static void shape(struct test_net *t) {
    test_net_begin(t, (struct ta_shape){5, 5, 2}, TA_LOSS_CROSS_ENTROPY, BATCH);
    test_conv(t, 4, test_square(3, 1, 1), true);
    test_plain(t, TA_LAYER_RELU);
    test_norm(t, true, true);
    test_pool(t, TA_LAYER_MAX_POOL, test_square(2, 2, 0));
    test_dropout(t, 0.2F);
    test_plain(t, TA_LAYER_FLATTEN);
    test_dense(t, 8, true);
    test_plain(t, TA_LAYER_TANH);
    test_dense(t, 3, true);
}

static float *room(struct learner *l, const float *from) {
    void *out;
    size_t bytes = l->t.spec.n_params * sizeof(float);
    ok(ops->alloc(l->h.kernels, bytes, "a test's arena", &out));
    if (from != NULL) ok(ops->copy_in(l->h.kernels, out, from, bytes));
    return out;
}

static void learner_open(struct learner *l, bool timed) {
    memset(l, 0, sizeof *l);
    shape(&l->t);
    l->t.spec.timed = timed;
    ok(hosted_open(&l->h));
    ok(ops->net_create(l->h.kernels, &l->t.spec, &l->net));
    l->t.spec.timed = false;
    test_run_begin(&l->cpu, &ta_kernels_cpu, &l->t, 3);
    float **host[] = {&l->cpu_m, &l->cpu_v, &l->cpu_delta, &l->cpu_base};
    for (unsigned i = 0; i < 4; i++) ok(TA_NEW(host[i], l->t.spec.n_params, "a test's arena"));
    for (uint32_t i = 0; i < l->t.spec.n_layers; i++) { /* statistics are a register's own, as in a replica */
        const struct ta_layer *y = &l->t.layer[i];
        memcpy(l->cpu_delta + y->mean.offset, l->cpu.w + y->mean.offset, y->mean.count * sizeof(float));
        memcpy(l->cpu_delta + y->variance.offset, l->cpu.w + y->variance.offset, y->variance.count * sizeof(float));
        const struct ta_param tensors[] = {y->kernel, y->bias, y->gamma, y->beta};
        for (unsigned j = 0; j < 4; j++)
            if (tensors[j].count > 0) l->trained[l->n_trained++] = tensors[j];
    }
    memcpy(l->cpu_base, l->cpu.w, l->t.spec.n_params * sizeof(float));
    l->w = room(l, l->cpu.w);
    l->base = room(l, l->cpu.w);
    l->delta = room(l, l->cpu_delta);
    l->grad = room(l, NULL), l->m = room(l, NULL), l->v = room(l, NULL);
}

static void learner_close(struct learner *l) {
    float *blocks[ARENAS] = {l->w, l->grad, l->m, l->v, l->delta, l->base};
    ops->net_destroy(l->net);
    for (unsigned i = 0; i < ARENAS; i++) ops->free(l->h.kernels, blocks[i]);
    hosted_close(&l->h);
    void *host[] = {l->cpu_m, l->cpu_v, l->cpu_delta, l->cpu_base};
    for (unsigned i = 0; i < 4; i++) ta_mem_free(host[i]);
    test_run_end(&l->cpu);
}

/* Another batch for every step. */
static void fresh(struct learner *l, uint64_t step) {
    test_fill(BATCH * ta_shape_count(l->t.spec.input), 100 + step, -1, 1, l->cpu.x);
    test_fill_classes(BATCH, 200 + step, 3, l->cpu.classes);
    if (step % 3 == 1) l->cpu.classes[step % BATCH] = -1;
}

static struct ta_net_update update_of(const struct learner *l, enum ta_optimizer_kind kind, uint64_t step) {
    struct ta_net_update u = {.how = {.kind = kind,
                                      .step = step,
                                      .rate = kind == TA_ADAM ? 0.01F : 0.1F / (float)(1 + step / 10),
                                      .scale = 0.5F,
                                      .grad_scale = 1,
                                      .clip_value = 0.5F,
                                      .weight_decay = 1e-3F,
                                      .momentum = 0.9F,
                                      .beta1 = 0.9F,
                                      .beta2 = 0.99F,
                                      .epsilon = 1e-4F,
                                      .nesterov = step % 2 == 0,
                                      .decoupled = kind == TA_ADAM},
                              .clip_norm = 0.3F,
                              .trained = l->trained,
                              .n_trained = l->n_trained,
                              .delta = l->delta};
    if (kind == TA_MOMENTUM || kind == TA_ADAM) u.m = l->m;
    if (kind == TA_ADAM || kind == TA_ADAGRAD) u.v = l->v;
    return u;
}

/* w = base + delta, but for statistics, of which delta is the value itself. */
static void apply(struct learner *l, const struct ta_kernels_ops *make, struct ta_kernels *k, float *w, const float *base,
                  const float *delta) {
    for (uint32_t i = 0; i < l->n_trained; i++) {
        struct ta_param p = l->trained[i];
        const float *registers[] = {delta + p.offset};
        ok(make->sum(k, p.count, w + p.offset, base + p.offset, registers, 1));
    }
    for (uint32_t i = 0; i < l->t.spec.n_layers; i++) {
        const struct ta_param both[] = {l->t.layer[i].mean, l->t.layer[i].variance};
        for (unsigned j = 0; j < 2; j++) {
            const float *registers[] = {delta + both[j].offset};
            if (both[j].count > 0) ok(make->mean(k, both[j].count, w + both[j].offset, registers, 1));
        }
    }
}

/* The same step by the CPU make: gradient, norm, update, moving statistics, one after the other. */
static double step_of_cpu(struct learner *l, const struct ta_net_update *u, uint64_t step) {
    double norm2 = 0, part;
    struct test_run *c = &l->cpu;
    struct ta_update how = u->how;
    test_train(c, step);
    for (uint32_t i = 0; i < l->n_trained; i++) {
        ok(c->ops->grad_norm2(c->kernels, l->trained[i].count, c->grad + l->trained[i].offset, &part));
        norm2 += part;
    }
    how.grad_scale = sqrt(norm2) > (double)u->clip_norm ? (float)((double)u->clip_norm / sqrt(norm2)) : 1;
    for (uint32_t i = 0; i < l->n_trained; i++) {
        size_t at = l->trained[i].offset;
        ok(c->ops->update(c->kernels, &how, l->trained[i].count, c->grad + at, c->w + at, l->cpu_m + at, l->cpu_v + at,
                          l->cpu_delta + at));
    }
    for (uint32_t i = 0; i < l->t.spec.n_layers; i++) {
        const struct ta_layer *y = &l->t.layer[i];
        if (y->kind != TA_LAYER_BATCH_NORM) continue;
        ok(c->ops->moving(c->kernels, y->mean.count, y->momentum, c->grad + y->mean.offset,
                          l->cpu_delta + y->mean.offset));
        ok(c->ops->moving(c->kernels, y->variance.count, y->momentum, c->grad + y->variance.offset,
                          l->cpu_delta + y->variance.offset));
    }
    return norm2;
}

static void same_state(struct learner *l, double tolerance, const char *what) {
    size_t n = l->t.spec.n_params;
    float *got;
    ok(TA_NEW(&got, n, "what the device holds"));
    ok(ops->copy_out(l->h.kernels, got, l->delta, n * sizeof *got));
    double off = test_distance(n, got, l->cpu_delta);
    if (!(off <= tolerance)) fail_msg("%s: delta is off by %g", what, off);
    ok(ops->copy_out(l->h.kernels, got, l->w, n * sizeof *got));
    off = test_distance(n, got, l->cpu.w);
    if (!(off <= tolerance)) fail_msg("%s: weights are off by %g", what, off);
    ta_mem_free(got);
}

/* Steps of every optimizer with everything on: what the CPU make does one call after the other. Every step is begun before
 * the apply of the one before is known to be done, and its batch is staged before that. */
static void learn(enum ta_optimizer_kind kind, unsigned steps) {
    struct learner l;
    learner_open(&l, false);
    float losses[BATCH], predictions[BATCH * 3];
    fresh(&l, 1);
    ok(ops->stage(l.net, l.cpu.x, &l.cpu.labels));
    for (uint64_t step = 1; step <= steps; step++) {
        struct ta_net_update u = update_of(&l, kind, step);
        struct ta_net_outcome outcome;
        ok(ops->begin(l.net, &(struct ta_net_step){.w = l.w, .grad = l.grad, .step = step, .update = &u}));
        apply(&l, ops, l.h.kernels, l.w, l.base, l.delta);
        double norm2 = step_of_cpu(&l, &u, step);
        apply(&l, l.cpu.ops, l.cpu.kernels, l.cpu.w, l.cpu_base, l.cpu_delta);
        fresh(&l, step + 1);
        ok(ops->stage(l.net, l.cpu.x, &l.cpu.labels));
        ok(ops->end(l.net, predictions, losses, &outcome));
        assert_true(outcome.finite);
        if (fabs(outcome.norm2 - norm2) > 2e-3 * norm2) fail_msg("norm2 %g, not %g", outcome.norm2, norm2);
        if (test_distance(BATCH * 3, predictions, l.cpu.predictions) > 2e-3) fail_msg("predictions of step %d", (int)step);
        for (unsigned r = 0; r < BATCH; r++) assert_int_equal(isnan(losses[r]) != 0, isnan(l.cpu.losses[r]) != 0);
    }
    same_state(&l, 1e-3, "after all steps");
    assert_string_equal(ta_cuda_net_plain(l.net), "");
    learner_close(&l);
}

static void test_learning(void **state) {
    (void)state;
    learn(TA_SGD, 100);
    learn(TA_MOMENTUM, 12);
    learn(TA_ADAM, 12);
    learn(TA_ADAGRAD, 12);
}

/* The same bits however a step is made: in one call or in three, by a graph or not. */
static void test_pieces(void **state) {
    (void)state;
    struct learner l;
    learner_open(&l, false);
    size_t n = l.t.spec.n_params;
    float *first, *again, losses[2][BATCH];
    ok(TA_NEW(&first, n, "a gradient"));
    ok(TA_NEW(&again, n, "a gradient"));
    fresh(&l, 1);
    ok(ops->train(l.net, l.w, l.cpu.x, &l.cpu.labels, 7, l.grad, NULL, losses[0]));
    ok(ops->copy_out(l.h.kernels, first, l.grad, n * sizeof *first));
    struct ta_net_step step = {.w = l.w, .grad = l.grad, .step = 7};
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(ops->begin(l.net, &step), TA_INVALID);
        assert_int_equal(ops->ready(l.net), TA_INVALID);
        assert_int_equal(ops->end(l.net, NULL, NULL, NULL), TA_INVALID);
        fresh(&l, 1);
        ok(ops->stage(l.net, l.cpu.x, &l.cpu.labels));
        l.cpu.x[0] = NAN; /* copied: it is the caller's again */
        fresh(&l, 2);
        ok(ops->stage(l.net, l.cpu.x, &l.cpu.labels));
        assert_int_equal(ops->stage(l.net, l.cpu.x, &l.cpu.labels), TA_AGAIN);
        assert_int_equal(ops->train(l.net, l.w, l.cpu.x, &l.cpu.labels, 7, l.grad, NULL, NULL), TA_INVALID);
        ok(ops->begin(l.net, &step));
        while (ops->ready(l.net) == TA_AGAIN) {}
        ok(ops->ready(l.net));
        ok(ops->end(l.net, NULL, losses[1], NULL));
        ok(ops->copy_out(l.h.kernels, again, l.grad, n * sizeof *again));
        assert_memory_equal(first, again, n * sizeof *first);
        assert_memory_equal(losses[0], losses[1], sizeof losses[0]);
        ok(ops->begin(l.net, &(struct ta_net_step){.w = l.w, .grad = l.grad, .step = 8}));
        ok(ops->predict(l.net, l.w, l.cpu.x, NULL, l.cpu.predictions, NULL));
        ok(ops->end(l.net, NULL, NULL, NULL));
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
        struct ta_net_update u = update_of(&l, TA_ADAM, step);
        struct ta_net_outcome outcome;
        fresh(&l, step);
        l.cpu.classes[1] = 0;
        l.cpu.x[ta_shape_count(l.t.spec.input) + 3] = step % 2 == 0 ? NAN : INFINITY;
        ok(ops->stage(l.net, l.cpu.x, &l.cpu.labels));
        ok(ops->begin(l.net, &(struct ta_net_step){.w = l.w, .grad = l.grad, .step = step, .update = &u}));
        ok(ops->end(l.net, NULL, NULL, &outcome));
        assert_false(outcome.finite);
    }
    same_state(&l, 0, "steps that must not count");
    learner_close(&l);
}

/* bfloat16 learns as float32 does: a task of three classes, until the loss is well below log(3). */
static void test_bfloat16_learns(void **state) {
    (void)state;
    double last[2] = {0};
    for (int which = 0; which < 2; which++) {
        struct learner l;
        hosted_compute(which == 0 ? TA_COMPUTE_FLOAT32 : TA_COMPUTE_BFLOAT16);
        learner_open(&l, false);
        hosted_compute(TA_COMPUTE_FLOAT32);
        fresh(&l, 2);
        for (uint64_t step = 1; step <= 40; step++) {
            float losses[BATCH];
            struct ta_net_update u = update_of(&l, TA_ADAM, step);
            ok(ops->stage(l.net, l.cpu.x, &l.cpu.labels));
            ok(ops->begin(l.net, &(struct ta_net_step){.w = l.w, .grad = l.grad, .step = step, .update = &u}));
            ok(ops->end(l.net, NULL, losses, NULL));
            apply(&l, ops, l.h.kernels, l.w, l.base, l.delta);
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
    fresh(&l, 1);
    for (uint64_t step = 1; step <= 3; step++)
        ok(ops->train(l.net, l.w, l.cpu.x, &l.cpu.labels, step, l.grad, NULL, NULL));
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

#ifndef TA_REAL_GPU
/* A step costs the host two copies, one launch, one wait: nothing is allocated, nothing else waited for. */
static void test_hot_path(void **state) {
    (void)state;
    struct learner l;
    learner_open(&l, false);
    struct ta_fake_gpu_counts before = {0};
    for (uint64_t step = 1; step <= 10; step++) {
        struct ta_net_update u = update_of(&l, TA_ADAM, step);
        if (step == 5) before = ta_fake_gpu_count();
        fresh(&l, step);
        ok(ops->stage(l.net, l.cpu.x, &l.cpu.labels));
        ok(ops->begin(l.net, &(struct ta_net_step){.w = l.w, .grad = l.grad, .step = step, .update = &u}));
        ok(ops->end(l.net, NULL, NULL, NULL));
        apply(&l, ops, l.h.kernels, l.w, l.base, l.delta);
    }
    struct ta_fake_gpu_counts now = ta_fake_gpu_count();
    assert_int_equal(now.allocations, before.allocations);
    assert_int_equal(now.events, before.events);
    assert_int_equal(now.graphs, before.graphs);
    assert_int_equal(now.waits - before.waits, 6); /* the end of each step */
    assert_true(now.graphs >= 2);
    learner_close(&l);
}

/* In every order that streams allow: the same as the CPU. */
static void test_orders(void **state) {
    (void)state;
    for (unsigned seed = 1; seed <= 6; seed++) {
        char options[32];
        snprintf(options, sizeof options, "order=random:%u", seed);
        device(options);
        learn((enum ta_optimizer_kind)(seed % 4), 5);
    }
    device(NULL);
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
    shape(&t);
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
    ok(hosted_open(&h));
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
            struct ta_net_update u = update_of(&l, TA_SGD, step);
            fresh(&l, step);
            status = ops->stage(l.net, l.cpu.x, &l.cpu.labels);
            if (status == TA_OK)
                status = ops->begin(l.net,
                                    &(struct ta_net_step){.w = l.w, .grad = l.grad, .step = step, .update = &u});
            if (status == TA_OK) status = ops->end(l.net, NULL, NULL, NULL);
        }
        if (status != TA_DEVICE) fail_msg("%s: %s", options, ta_why());
        assert_true(ta_gpu_cuda.lost(l.h.gpu));
        assert_int_equal(ops->stage(l.net, l.cpu.x, &l.cpu.labels), TA_DEVICE);
        learner_close(&l);
    }
    device(NULL);
}
#endif

static int as_ever(void **state) {
    (void)state;
    hosted_compute(TA_COMPUTE_FLOAT32);
    ta_mem_fail_nth(0);
    device(NULL);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_learning, as_ever),
        cmocka_unit_test_setup(test_pieces, as_ever),
        cmocka_unit_test_setup(test_not_finite, as_ever),
        cmocka_unit_test_setup(test_bfloat16_learns, as_ever),
        cmocka_unit_test_setup(test_times, as_ever),
#ifndef TA_REAL_GPU
        cmocka_unit_test_setup(test_hot_path, as_ever),
        cmocka_unit_test_setup(test_orders, as_ever),
        cmocka_unit_test_setup(test_memory_runs_out, as_ever),
        cmocka_unit_test_setup(test_says_what_is_too_large, as_ever),
        cmocka_unit_test_setup(test_lost, as_ever),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
