/* optimizer: what is refused, the schedule, the guard against gradients that are not finite, moving statistics. The
 * numbers of the updates themselves are held to PyTorch's by optimizer_torch.py. */
#include <math.h>

#include "config_of.h"
#include "scratch.h"

struct bench {
    struct ta_model model;
    struct ta_kernels *k;
    float *grad, *w, *delta;
};

static void bench_open(struct bench *b) {
    assert_ok(model_of("model: {input: [5], loss: squared_error, layers: [{type: dense, units: 3},"
                       "{type: batch_norm, momentum: 0.75}]}",
                       (struct ta_shape){0, 0, 0}, 3, &b->model));
    assert_ok(ta_kernels_cpu.open(&(struct ta_kernels_config){.threads = 1}, &b->k));
    float **all[] = {&b->grad, &b->w, &b->delta};
    for (int i = 0; i < 3; i++)
        assert_ok(ta_kernels_cpu.alloc(b->k, b->model.n_params * sizeof(float), "arena", (void **)all[i]));
}

static void bench_close(struct bench *b) {
    ta_kernels_cpu.free(b->k, b->grad);
    ta_kernels_cpu.free(b->k, b->w);
    ta_kernels_cpu.free(b->k, b->delta);
    ta_kernels_cpu.close(b->k);
    ta_model_free(&b->model);
}

static ta_status open_text(struct bench *b, const char *text, struct ta_optimizer *o) {
    char whole[256];
    struct whole *w;
    *o = (struct ta_optimizer){0};
    snprintf(whole, sizeof whole, "optimizer: {%s}", text);
    ta_status status = whole_parse(whole, &w);
    if (status != TA_OK) return status;
    status = ta_optimizer_open(o, &w->optimizer, &b->model, &ta_kernels_cpu, b->k);
    ta_config_free(w, &whole_schema);
    return status;
}

static void what_is_wrong_is_said(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"type: sgd, momentum: 0.9", "momentum means nothing to type: sgd; use type: momentum"},
        {"type: adam, nesterov: true", "nesterov means nothing to type: adam"},
        {"type: momentum, beta1: 0.9", "beta1 means nothing"},
        {"type: sgd, epsilon: 0.1", "epsilon means nothing"},
        {"type: sgd, rate: -0.1", "optimizer.rate: -0.1; it must be more than 0"},
        {"type: sgd, rate: .nan", "rate"},
        {"type: sgd, rate: 1e9", "at most 1e6"},
        {"type: momentum, momentum: 1", "less than 1"},
        {"type: adam, beta2: 1", "less than 1"},
        {"type: adam, epsilon: -1", "epsilon"},
        {"type: adam, weight_decay: 2", "between 0 and 1"},
        {"type: adam, decoupled: true", "decoupled"},
        {"type: sgd, clip_norm: -1", "clip_norm: -1; it must be 0 or more"},
        {"type: sgd, clip_value: -1", "clip_value"},
        {"type: sgd, schedule_steps: 10", "schedule is constant"},
        {"type: sgd, schedule: step, schedule_factor: 0.5", "schedule_steps is missing"},
        {"type: sgd, schedule: step, schedule_steps: 5", "schedule_factor: 0; it must be more than 0"},
        {"type: sgd, schedule: exponential, schedule_steps: 5, schedule_factor: 1.5", "at most 1"},
        {"type: sgd, schedule: cosine, schedule_steps: 5, schedule_factor: 1.5", "least share"},
        {"type: sgd, schedule: inverse, schedule_steps: 5, schedule_factor: 0.5", "means nothing"},
        {"type: sdg", "sgd"},
        {"type: adam, schedule: cosin", "cosine"},
    };
    struct bench b;
    struct ta_optimizer o;
    bench_open(&b);
    size_t before = ta_mem_held_bytes();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ta_status status = open_text(&b, cases[i][0], &o);
        if (status != TA_CONFIG) fail_msg("{%s} gave %s %s", cases[i][0], ta_status_name(status), ta_why());
        if (strstr(ta_why(), cases[i][1]) == NULL) fail_msg("{%s} said '%s'", cases[i][0], ta_why());
        assert_int_equal(ta_mem_held_bytes(), before);
    }
    for (unsigned nth = 1; nth <= 2; nth++) { /* m, then v */
        struct ta_optimizer_spec spec = {.type = TA_ADAM};
        ta_mem_fail_nth(nth);
        ta_status status = ta_optimizer_open(&o, &spec, &b.model, &ta_kernels_cpu, b.k);
        ta_mem_fail_nth(0);
        assert_int_equal(status, TA_NO_MEMORY);
        assert_int_equal(ta_mem_held_bytes(), before);
    }
    assert_ok(open_text(&b, "type: adam", &o));
    assert_int_equal(ta_optimizer_bytes(&o), 2 * b.model.n_params * sizeof(float));
    assert_true(o.spec.rate == .001f && o.spec.beta1 == .9f && o.spec.epsilon == 1e-7f);
    ta_optimizer_close(&o);
    bench_close(&b);
}

static void rates_follow_the_schedule(void **state) {
    (void)state;
    struct ta_optimizer_spec s = {.type = TA_SGD, .rate = .8f, .warmup_steps = 4};
    assert_true(ta_optimizer_rate(&s, 1) == .2f && ta_optimizer_rate(&s, 4) == .8f && ta_optimizer_rate(&s, 99) == .8f);
    s.schedule = TA_SCHEDULE_STEP, s.schedule_steps = 10, s.schedule_factor = .5f;
    assert_true(ta_optimizer_rate(&s, 14) == .8f && ta_optimizer_rate(&s, 15) == .4f &&
                ta_optimizer_rate(&s, 25) == .2f);
    s.schedule = TA_SCHEDULE_COSINE, s.schedule_factor = .25f;
    assert_true(ta_optimizer_rate(&s, 5) == .8f && fabsf(ta_optimizer_rate(&s, 10) - .5f) < 1e-7f);
    assert_true(ta_optimizer_rate(&s, 15) == .2f && ta_optimizer_rate(&s, UINT64_MAX) == .2f);
    s.schedule = TA_SCHEDULE_INVERSE;
    assert_true(ta_optimizer_rate(&s, 15) == .4f);
    assert_true(ta_optimizer_rate(&(struct ta_optimizer_spec){.type = TA_ADAM}, 1) == .001f);
}

static void a_gradient_that_is_not_finite_changes_nothing(void **state) {
    (void)state;
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    struct bench b;
    struct ta_optimizer o;
    bench_open(&b);
    assert_ok(open_text(&b, "type: adam, clip_norm: 1, clip_value: 1", &o));
    const struct ta_layer *l = b.model.layers;
    const size_t places[] = {l[0].kernel.offset + 7, l[1].beta.offset, l[1].mean.offset, l[1].variance.offset + 2};
    size_t bytes = b.model.n_params * sizeof(float);
    float *before;
    assert_ok(TA_NEW(&before, b.model.n_params, "before"));
    assert_ok(ta_optimizer_step(&o, b.grad, b.w, 1, b.delta));
    memcpy(before, b.delta, bytes);
    for (size_t i = 0; i < 12; i++) {
        size_t at = places[i / 3];
        b.grad[at] = bad[i % 3];
        assert_fails(TA_NUMERIC, "not finite", ta_optimizer_step(&o, b.grad, b.w, 1, b.delta));
        b.grad[at] = 0;
        assert_memory_equal(before, b.delta, bytes);
        assert_true(o.step == 1 && o.skipped == i + 1);
    }
    ta_mem_free(before);
    ta_optimizer_close(&o);
    bench_close(&b);
}

static void statistics_move_and_gaps_stay_zero(void **state) {
    (void)state;
    struct bench b;
    struct ta_optimizer o;
    bench_open(&b);
    assert_ok(open_text(&b, "type: adagrad, weight_decay: 0.5, clip_norm: 0.001", &o));
    const struct ta_layer *bn = &b.model.layers[1];
    bool *used;
    assert_ok(TA_NEW(&used, b.model.n_params, "used"));
    for (uint32_t i = 0; i < b.model.n_layers; i++) {
        struct ta_tensor t[4];
        unsigned n = ta_layer_tensors(&b.model.layers[i], t);
        for (unsigned j = 0; j < n; j++)
            for (size_t k = 0; k < t[j].param.count; k++) {
                size_t at = t[j].param.offset + k;
                used[at] = true;
                b.grad[at] = b.w[at] = 2;
            }
    }
    for (size_t k = 0; k < 3; k++) b.delta[bn->variance.offset + k] = 1;
    assert_ok(ta_optimizer_step(&o, b.grad, b.w, .125f, b.delta)); /* the scale does not touch statistics */
    for (size_t k = 0; k < 3; k++) {
        assert_true(b.delta[bn->mean.offset + k] == .25f * 2);
        assert_true(b.delta[bn->variance.offset + k] == .75f * 1 + .25f * 2);
    }
    /* 24 trained numbers of 2: statistics do not count in the norm. */
    assert_true(fabs(o.last_norm - sqrt(24 * 4.)) < 1e-6);
    for (size_t i = 0; i < b.model.n_params; i++)
        if (!used[i] && b.delta[i] != 0) fail_msg("the gap at %zu became %g", i, (double)b.delta[i]);
    ta_mem_free(used);
    ta_optimizer_close(&o);
    bench_close(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_wrong_is_said),
        cmocka_unit_test(rates_follow_the_schedule),
        cmocka_unit_test(a_gradient_that_is_not_finite_changes_nothing),
        cmocka_unit_test(statistics_move_and_gaps_stay_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
