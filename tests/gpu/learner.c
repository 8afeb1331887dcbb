/* learner: see the header. */
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

void learner_ok(ta_status status) {
    if (status != TA_OK) fail_msg("%s: %s", ta_status_name(status), ta_why());
}

void learner_shape(struct test_net *t) {
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
    learner_ok(ops->alloc(l->h.kernels, bytes, "a test's arena", &out));
    if (from != NULL) learner_ok(ops->copy_in(l->h.kernels, out, from, bytes));
    return out;
}

void learner_open(struct learner *l, bool timed) {
    memset(l, 0, sizeof *l);
    learner_shape(&l->t);
    l->t.spec.timed = timed;
    learner_ok(hosted_open(&l->h));
    learner_ok(ops->net_create(l->h.kernels, &l->t.spec, &l->net));
    l->t.spec.timed = false;
    test_run_begin(&l->cpu, &ta_kernels_cpu, &l->t, 3);
    float **host[] = {&l->cpu_m, &l->cpu_v, &l->cpu_delta, &l->cpu_base};
    for (unsigned i = 0; i < 4; i++) learner_ok(TA_NEW(host[i], l->t.spec.n_params, "a test's arena"));
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

void learner_close_device(struct learner *l) {
    float *blocks[ARENAS] = {l->w, l->grad, l->m, l->v, l->delta, l->base};
    ops->net_destroy(l->net);
    for (unsigned i = 0; i < ARENAS; i++) ops->free(l->h.kernels, blocks[i]);
    hosted_close(&l->h);
}

void learner_close_host(struct learner *l) {
    void *host[] = {l->cpu_m, l->cpu_v, l->cpu_delta, l->cpu_base};
    for (unsigned i = 0; i < 4; i++) ta_mem_free(host[i]);
    test_run_end(&l->cpu);
}

void learner_close(struct learner *l) {
    learner_close_device(l);
    learner_close_host(l);
}

/* Another batch for every step. */
void learner_batch(struct learner *l, uint64_t step) {
    test_fill(BATCH * ta_shape_count(l->t.spec.input), 100 + step, -1, 1, l->cpu.x);
    test_fill_classes(BATCH, 200 + step, 3, l->cpu.classes);
    if (step % 3 == 1) l->cpu.classes[step % BATCH] = -1;
}

struct ta_net_update learner_update(const struct learner *l, enum ta_optimizer_kind kind, uint64_t step) {
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
static void apply_by(struct learner *l, const struct ta_kernels_ops *make, struct ta_kernels *k, float *w,
                     const float *base, const float *delta) {
    for (uint32_t i = 0; i < l->n_trained; i++) {
        struct ta_param p = l->trained[i];
        const float *registers[] = {delta + p.offset};
        learner_ok(make->sum(k, p.count, w + p.offset, base + p.offset, registers, 1));
    }
    for (uint32_t i = 0; i < l->t.spec.n_layers; i++) {
        const struct ta_param both[] = {l->t.layer[i].mean, l->t.layer[i].variance};
        for (unsigned j = 0; j < 2; j++) {
            const float *registers[] = {delta + both[j].offset};
            if (both[j].count > 0) learner_ok(make->mean(k, both[j].count, w + both[j].offset, registers, 1));
        }
    }
}

void learner_apply(struct learner *l) { apply_by(l, ops, l->h.kernels, l->w, l->base, l->delta); }

/* The same step by the CPU make: gradient, norm, update, moving statistics, one after the other. */
static double step_of_cpu(struct learner *l, const struct ta_net_update *u, uint64_t step) {
    double norm2 = 0, part;
    struct test_run *c = &l->cpu;
    struct ta_update how = u->how;
    test_train(c, step);
    for (uint32_t i = 0; i < l->n_trained; i++) {
        learner_ok(c->ops->grad_norm2(c->kernels, l->trained[i].count, c->grad + l->trained[i].offset, &part));
        norm2 += part;
    }
    how.grad_scale = sqrt(norm2) > (double)u->clip_norm ? (float)((double)u->clip_norm / sqrt(norm2)) : 1;
    for (uint32_t i = 0; i < l->n_trained; i++) {
        size_t at = l->trained[i].offset;
        learner_ok(c->ops->update(c->kernels, &how, l->trained[i].count, c->grad + at, c->w + at, l->cpu_m + at,
                                  l->cpu_v + at, l->cpu_delta + at));
    }
    for (uint32_t i = 0; i < l->t.spec.n_layers; i++) {
        const struct ta_layer *y = &l->t.layer[i];
        if (y->kind != TA_LAYER_BATCH_NORM) continue;
        learner_ok(c->ops->moving(c->kernels, y->mean.count, y->momentum, c->grad + y->mean.offset,
                          l->cpu_delta + y->mean.offset));
        learner_ok(c->ops->moving(c->kernels, y->variance.count, y->momentum, c->grad + y->variance.offset,
                          l->cpu_delta + y->variance.offset));
    }
    return norm2;
}

void learner_compare(struct learner *l, double tolerance, const char *what) {
    size_t n = l->t.spec.n_params;
    float *got;
    learner_ok(TA_NEW(&got, n, "what the device holds"));
    learner_ok(ops->copy_out(l->h.kernels, got, l->delta, n * sizeof *got));
    double off = test_distance(n, got, l->cpu_delta);
    if (!(off <= tolerance)) fail_msg("%s: delta is off by %g", what, off);
    learner_ok(ops->copy_out(l->h.kernels, got, l->w, n * sizeof *got));
    off = test_distance(n, got, l->cpu.w);
    if (!(off <= tolerance)) fail_msg("%s: weights are off by %g", what, off);
    ta_mem_free(got);
}

ta_status learner_step(struct learner *l, enum ta_optimizer_kind kind, uint64_t step, float *losses,
                       struct ta_net_outcome *outcome) {
    struct ta_net_update u = learner_update(l, kind, step);
    ta_status status = ops->stage(l->net, l->cpu.x, &l->cpu.labels);
    if (status == TA_OK)
        status = ops->begin(l->net, &(struct ta_net_step){.w = l->w, .grad = l->grad, .step = step, .update = &u});
    return status == TA_OK ? ops->end(l->net, l->cpu.predictions, losses, outcome) : status;
}

void learner_learn(enum ta_optimizer_kind kind, unsigned steps) {
    struct learner l;
    learner_open(&l, false);
    float losses[BATCH], predictions[BATCH * 3];
    learner_batch(&l, 1);
    learner_ok(ops->stage(l.net, l.cpu.x, &l.cpu.labels));
    for (uint64_t step = 1; step <= steps; step++) {
        struct ta_net_update u = learner_update(&l, kind, step);
        struct ta_net_outcome outcome;
        learner_ok(ops->begin(l.net, &(struct ta_net_step){.w = l.w, .grad = l.grad, .step = step, .update = &u}));
        apply_by(&l, ops, l.h.kernels, l.w, l.base, l.delta);
        double norm2 = step_of_cpu(&l, &u, step);
        apply_by(&l, l.cpu.ops, l.cpu.kernels, l.cpu.w, l.cpu_base, l.cpu_delta);
        learner_batch(&l, step + 1);
        learner_ok(ops->stage(l.net, l.cpu.x, &l.cpu.labels));
        learner_ok(ops->end(l.net, predictions, losses, &outcome));
        assert_true(outcome.finite);
        if (fabs(outcome.norm2 - norm2) > 2e-3 * norm2) fail_msg("norm2 %g, not %g", outcome.norm2, norm2);
        if (test_distance(BATCH * 3, predictions, l.cpu.predictions) > 2e-3)
            fail_msg("predictions of step %d", (int)step);
        for (unsigned r = 0; r < BATCH; r++) assert_int_equal(isnan(losses[r]) != 0, isnan(l.cpu.losses[r]) != 0);
    }
    learner_compare(&l, 1e-3, "after all steps");
    assert_string_equal(ops->net_note(l.net), "");
    learner_close(&l);
}

