/* damping: the formulas, and that the exchange applies them to the staleness it measures: two replicas, one of which
 * steps while the other computes. */
#include <math.h>

#include "expect.h"

#include "damping.h"
#include "world.h"

enum { PARAMS = 16 };

static struct world world;
static float scale_seen, grad_seen[PARAMS];

static void test_formulas(void **state) {
    (void)state;
    struct ta_model model = {.n_segments = 1, .segments = {{.kind = TA_SEGMENT_SUM, .count = 4}}};
    struct ta_exchange_spec spec = {0};
    struct ta_damping_rule rule;
    assert_ok(ta_damping_make(&spec, &model, &rule));
    for (uint64_t tau = 0; tau < 1000; tau += 37) assert_true(ta_damping_scale(&rule, tau) == 1);
    spec.damping = TA_DAMPING_INVERSE;
    assert_ok(ta_damping_make(&spec, &model, &rule));
    for (uint64_t tau = 0; tau < 1000; tau += 37)
        assert_float_equal(ta_damping_scale(&rule, tau), 1.0F / (1 + (float)tau), 1e-7F);
    spec = (struct ta_exchange_spec){.damping = TA_DAMPING_EXPONENTIAL, .damping_rate = 0.5};
    assert_ok(ta_damping_make(&spec, &model, &rule));
    assert_float_equal(ta_damping_scale(&rule, 3), expf(-1.5F), 1e-7F);
    for (uint64_t tau = 1; tau < 200; tau++)
        assert_true(ta_damping_scale(&rule, tau) <= ta_damping_scale(&rule, tau - 1));
    assert_true(ta_damping_scale(&rule, UINT64_MAX) > 0);
    spec.damping = TA_DAMPING_COMPENSATED;
    assert_ok(ta_damping_make(&spec, &model, &rule));
    assert_true(ta_damping_scale(&rule, 9) == 1 && rule.rate == 0.5);
}

static void test_what_is_refused(void **state) {
    (void)state;
    struct ta_model model = {.n_segments = 1, .segments = {{.kind = TA_SEGMENT_ROWS, .count = 4}}};
    struct ta_exchange_spec spec = {.damping = TA_DAMPING_INVERSE};
    struct ta_damping_rule rule;
    assert_fails(TA_CONFIG, "word model", ta_damping_make(&spec, &model, &rule));
    model.segments[0].kind = TA_SEGMENT_SUM;
    static const double bad[] = {-1, NAN, INFINITY};
    for (unsigned i = 0; i < 3; i++) {
        spec.damping_rate = bad[i];
        assert_fails(TA_CONFIG, "exchange.damping_rate", ta_damping_make(&spec, &model, &rule));
    }
}

static ta_status spy(void *owner, const float *grad, const float *w, float scale, float *delta) {
    (void)owner, (void)w;
    scale_seen = scale;
    memcpy(grad_seen, grad, sizeof grad_seen);
    for (unsigned i = 0; i < PARAMS; i++) delta[i] -= scale * grad[i];
    return TA_OK;
}

static void open_two(struct ta_exchange_spec spec) {
    struct world_config config = {
        .seed = 3, .n_ranks = 2, .n_params = PARAMS, .no_mean = true, .epoch = 1, .heartbeat_s = 1e-5,
        .dead_after_s = 1e-3, .fabric = {.latency_ns = 100}, .exchange = spec,
    };
    world_open(&world, &config);
    world_connect_all(&world);
    for (unsigned r = 0; r < 2; r++) ta_live_of(world.replica[r].x)->updater.update = spy;
    world_run(&world, world.now_ns + 2000, 50);
}

/* Rank 0 has its weights; rank 1 makes `steps` steps, which arrive; then the gradient is ready. */
static void step_beside(unsigned steps, float *grad, float *basis) {
    struct ta_exchange *x = world.replica[0].x;
    memcpy(basis, x->w, PARAMS * sizeof *basis);
    for (unsigned i = 0; i < steps; i++) {
        world_step(&world, 1);
        for (unsigned k = 0; k < 40; k++) {
            world.now_ns += 50;
            world_must(&world, world_poll(&world, 1));
        }
    }
    assert_memory_equal(basis, x->w, PARAMS * sizeof *basis);
    assert_ok(ta_exchange_live.step(x, grad, 8, world.now_ns));
}

static void test_updates_are_scaled(void **state) {
    (void)state;
    for (unsigned steps = 0; steps < 6; steps++) {
        float grad[PARAMS] = {1, -2, 3}, basis[PARAMS];
        open_two((struct ta_exchange_spec){.damping = TA_DAMPING_INVERSE});
        step_beside(steps, grad, basis);
        assert_float_equal(scale_seen, 1.0F / (float)(1 + steps), 1e-7F);
        assert_true(grad_seen[1] == -2);
        assert_int_equal(world.replica[0].x->staleness->max, steps);
        assert_int_equal(world.replica[0].x->staleness->count, 1);
        world_close(&world);
    }
}

static void test_delay_is_compensated(void **state) {
    (void)state;
    for (unsigned steps = 0; steps < 6; steps++) {
        float grad[PARAMS], raw[PARAMS], basis[PARAMS];
        for (unsigned i = 0; i < PARAMS; i++) grad[i] = raw[i] = 0.25F * (float)i - 1;
        open_two((struct ta_exchange_spec){.damping = TA_DAMPING_COMPENSATED, .damping_rate = 0.5});
        struct ta_exchange *x = world.replica[0].x;
        assert_int_equal(x->n_registers, 6); /* w0, delta, w, gradient, one inbox, and the basis */
        step_beside(steps, grad, basis);
        assert_true(scale_seen == 1);
        bool moved = false;
        for (unsigned i = 0; i < PARAMS; i++) {
            float now = x->w[i], wanted = raw[i] + 0.5F * raw[i] * raw[i] * (now - basis[i]);
            assert_float_equal(grad_seen[i], wanted, 1e-5F);
            assert_true(now == world.w0[i] + world.replica[1].x->delta[i]); /* it was taken in first */
            moved |= now != basis[i];
        }
        assert_true(moved == (steps > 0));
        assert_int_equal(x->staleness->max, steps);
        world_close(&world);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formulas),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_updates_are_scaled),
        cmocka_unit_test(test_delay_is_compensated),
    };
    return cmocka_run_group_tests_name("exchange: damping", tests, NULL, NULL);
}
