/* The promises of the paper's protocol one by one: lock-step against synchronous SGD in double, exact staleness,
 * damping, what a message holds, bounded memory, damage, resuming, what is refused. */
#include <math.h>

#include "expect.h"

#include "dasgd_world.h"

static const struct ta_exchange_ops *const dasgd = &ta_exchange_dasgd;
static const struct ta_sim_config calm = {.latency_ns = 300, .jitter = 1, .duplicate = 0.2, .depth = 2};

static struct dw world;

static void open_world(unsigned n_ranks, size_t n_params, const struct ta_exchange_spec *spec) {
    struct dw_config config = {.seed = 11, .n_ranks = n_ranks, .n_params = n_params, .spec = *spec, .fabric = calm};
    config.spec.heartbeat_s = 1e-5;
    config.spec.dead_after_s = 1e-3;
    dw_open(&world, &config);
}

static const float *delta_of(unsigned rank) { return dw_delta(&world, rank); }

/* --- lock-step: replica r pulls w towards its own centre, f = |w - c_r|^2 / 2 --- */

enum { PULL_RANKS = 3, PULL_PARAMS = 37, PULL_STEPS = 40 };

struct pull {
    float velocity[PULL_RANKS][PULL_PARAMS]; /* of momentum */
    float momentum;
};

static const float RATE = 0.1F;
static unsigned pulling; /* whose optimizer is called: the one that is polled or asked */
static struct pull pulls;

static ta_status pull_update(void *owner, const float *grad, const float *w, float scale, float *delta) {
    struct pull *p = owner;
    (void)w;
    for (unsigned i = 0; i < PULL_PARAMS; i++) {
        p->velocity[pulling][i] = p->momentum * p->velocity[pulling][i] + grad[i];
        delta[i] += -RATE * scale * p->velocity[pulling][i];
    }
    return TA_OK;
}

static float centre(unsigned rank, unsigned i) { return sinf((float)(rank * 100 + i)); }

static void pull_all(float momentum, bool mean) {
    char bound[] = "0";
    struct dw_config config = {.seed = 5, .n_ranks = PULL_RANKS, .n_params = PULL_PARAMS, .fabric = calm,
                               .spec = {.max_staleness = bound, .scale_mean = mean, .gradients_per_push = 3},
                               .updater = {pull_update, &pulls}};
    memset(&pulls, 0, sizeof pulls);
    pulls.momentum = momentum;
    dw_open(&world, &config);
    unsigned done = 0;
    for (unsigned tries = 0; done < PULL_RANKS * PULL_STEPS; tries++) {
        assert_true(tries < 100000);
        world.now_ns += 150;
        for (pulling = 0; pulling < PULL_RANKS; pulling++) {
            struct ta_exchange *x = world.replica[pulling].x;
            float grad[PULL_PARAMS];
            assert_ok(dasgd->poll(x, world.now_ns));
            if (x->steps == PULL_STEPS || dasgd->ready(x, world.now_ns) != TA_OK) continue;
            for (unsigned i = 0; i < PULL_PARAMS; i++) grad[i] = x->w[i] - centre(pulling, i);
            assert_ok(dasgd->step(x, grad, 1, world.now_ns));
            done++;
        }
    }
    for (unsigned i = 0; i < 2000; i++) {
        world.now_ns += 150;
        for (pulling = 0; pulling < PULL_RANKS; pulling++)
            assert_ok(dasgd->poll(world.replica[pulling].x, world.now_ns));
    }
}

/* Everybody computes step k on the same weights, from which the updates of all of step k follow. */
static void lock_step_is_synchronous_sgd(void **state) {
    (void)state;
    for (unsigned mean = 0; mean < 2; mean++) {
        double w[PULL_PARAMS] = {0};
        pull_all(0, mean);
        for (unsigned k = 0; k < PULL_STEPS; k++)
            for (unsigned i = 0; i < PULL_PARAMS; i++) {
                double all = 0;
                for (unsigned r = 0; r < PULL_RANKS; r++) all += w[i] - (double)centre(r, i);
                w[i] -= (double)RATE * all / (mean ? PULL_RANKS : 1);
            }
        for (unsigned r = 0; r < PULL_RANKS; r++)
            for (unsigned i = 0; i < PULL_PARAMS; i++)
                if (fabs(w[i] - (double)world.replica[r].x->w[i]) > 1e-5)
                    fail_msg("rank %u has %.8g at %u, not %.8g", r, (double)world.replica[r].x->w[i], i, w[i]);
        dw_close(&world);
    }
}

/* With state of its own in every optimizer replicas still agree, bit for bit: all make the same updates. */
static void lock_step_keeps_optimizers_together(void **state) {
    (void)state;
    uint64_t sum[PULL_RANKS];
    pull_all(0.5F, true);
    for (unsigned r = 0; r < PULL_RANKS; r++) {
        assert_ok(dasgd->checksum(world.replica[r].x, &sum[r]));
        assert_int_equal(world.replica[r].x->staleness->count, (PULL_RANKS - 1) * PULL_STEPS);
        assert_int_equal(world.replica[r].x->staleness->max, 0);
    }
    assert_true(sum[0] == sum[1] && sum[1] == sum[2]);
    assert_memory_equal(pulls.velocity[0], pulls.velocity[2], sizeof pulls.velocity[0]);
    dw_close(&world);
}

/* --- staleness --- */

static void stale_gradient(const struct ta_exchange_spec *spec) {
    open_world(3, 16, spec);
    struct ta_exchange *x1 = world.replica[1].x;
    assert_ok(dasgd->ready(x1, world.now_ns));
    for (unsigned i = 0; i < 3; i++) assert_true(dw_step(&world, 0));
    assert_true(dw_step(&world, 2));
    dw_run(&world, 400);
    /* Computed on weights that had none of those: 3 of rank 0 and 1 of rank 2 are missing at both. */
    dw_gradient(&world, 1, 1, world.replica[1].grad);
    assert_ok(dasgd->step(x1, world.replica[1].grad, 1, world.now_ns));
    dw_run(&world, 400);
}

static void staleness_is_exact(void **state) {
    (void)state;
    stale_gradient(&(struct ta_exchange_spec){.slots = 3});
    struct ta_peer_stats stats;
    dasgd->peer_stats(world.replica[0].x, 1, &stats);
    assert_int_equal(stats.staleness.count, 1);
    assert_int_equal(stats.staleness.max, 4);
    dasgd->peer_stats(world.replica[2].x, 1, &stats);
    assert_int_equal(stats.staleness.max, 4);
    dasgd->peer_stats(world.replica[1].x, 0, &stats);
    assert_int_equal(stats.staleness.count, 3);
    assert_true(stats.staleness.max <= 1); /* rank 2's may have come first */
    assert_int_equal(world.replica[0].x->staleness->count, 2);
    uint64_t steps[] = {3, 1, 1};
    for (unsigned r = 0; r < 3; r++) dw_check(&world, r, steps);
    dw_close(&world);
}

static void damping_scales_what_is_stale(void **state) {
    (void)state;
    stale_gradient(&(struct ta_exchange_spec){.damping = TA_DAMPING_INVERSE, .damping_rate = 0.25, .slots = 3});
    float expected[16], grad[16];
    memset(expected, 0, sizeof expected);
    for (uint64_t k = 1; k <= 3; k++) {
        dw_gradient(&world, 0, k, grad);
        for (unsigned i = 0; i < 16; i++) expected[i] += grad[i];
    }
    struct ta_peer_stats stats;
    dasgd->peer_stats(world.replica[0].x, 2, &stats); /* of rank 0's three steps, none was in rank 2's gradient */
    dw_gradient(&world, 2, 1, grad);
    for (unsigned i = 0; i < 16; i++) expected[i] += grad[i] / (1 + 0.25F * (float)stats.staleness.max);
    dw_gradient(&world, 1, 1, grad);
    for (unsigned i = 0; i < 16; i++) expected[i] += grad[i] / 2;
    for (unsigned i = 0; i < 16; i++) assert_true(fabsf(expected[i] - delta_of(0)[i]) < 1e-5F);
    assert_true(stats.staleness.max > 0);
    dw_close(&world);
}

/* --- messages --- */

static void several_gradients_are_one_message(void **state) {
    (void)state;
    float one[8], two[8];
    struct dw_config config = {.seed = 3, .n_ranks = 2, .n_params = 8, .mean_segment = true, .fabric = calm,
                               .spec = {.gradients_per_push = 2, .heartbeat_s = 1e-5, .dead_after_s = 1e-3}};
    dw_open(&world, &config);
    assert_true(dw_step(&world, 0));
    dw_run(&world, 200);
    for (unsigned i = 0; i < 8; i++) assert_true(delta_of(1)[i] == 0);
    assert_true(dw_step(&world, 0));
    dw_run(&world, 200);
    dw_gradient(&world, 0, 1, one);
    dw_gradient(&world, 0, 2, two);
    for (unsigned i = 0; i < 6; i++) assert_true(delta_of(1)[i] == one[i] + two[i]);
    for (unsigned i = 6; i < 8; i++) assert_true(delta_of(1)[i] == (one[i] + two[i]) / 2); /* statistics: the mean */
    assert_int_equal(ta_dasgd_of(world.replica[1].x)->in[0].consumed, 1);
    assert_true(dw_step(&world, 0)); /* half a message: a round sends it */
    dw_settle(&world, 3, 2);
    assert_int_equal(dw_applied(&world, 1, 0), 3);
    dw_resume(&world, 3, 2);
    dw_close(&world);
}

/* A peer that does not look holds up nobody, and costs no memory: what it misses comes to it as one message. */
static void nobody_waits_for_a_sleeper(void **state) {
    (void)state;
    open_world(2, 32, &(struct ta_exchange_spec){.slots = 2});
    struct ta_exchange *x = world.replica[0].x;
    size_t held = ta_mem_held_bytes(), bytes = dasgd->bytes(x);
    for (unsigned i = 0; i < 50; i++) {
        assert_true(dw_step(&world, 0));
        world.now_ns += 2000;
        assert_ok(dasgd->poll(x, world.now_ns));
    }
    assert_int_equal(ta_mem_held_bytes(), held);
    assert_int_equal(dasgd->bytes(x), bytes);
    struct ta_peer_stats stats;
    dasgd->peer_stats(x, 1, &stats);
    assert_int_equal(stats.steps_acked, 0);
    assert_in_range(stats.busy, 45, 48);
    assert_int_equal(dasgd->steps_visible(x), 0);
    dw_settle(&world, 3, 2);
    uint64_t steps[] = {50, 0};
    dw_check(&world, 1, steps);
    assert_int_equal(ta_dasgd_of(world.replica[1].x)->in[0].consumed, 3);
    assert_int_equal(dasgd->steps_visible(x), 50);
    struct ta_exchange *x1 = world.replica[1].x;
    dasgd->peer_stats(x1, 0, &stats);
    assert_int_equal(stats.staleness.count, 50); /* each gradient counts, in whichever message */
    dw_close(&world);
}

static void damage_is_left_out(void **state) {
    (void)state;
    open_world(2, 8, &(struct ta_exchange_spec){.slots = 2});
    struct ta_dasgd *d = ta_dasgd_of(world.replica[0].x);
    assert_true(dw_step(&world, 0));
    dw_run(&world, 100);
    d->out[1].ring[1].head[TA_DASGD_ID] ^= 1;
    assert_true(dw_step(&world, 0));
    dw_run(&world, 100);
    uint64_t steps[] = {1, 0};
    dw_check(&world, 1, steps);
    struct ta_peer_stats stats;
    dasgd->peer_stats(world.replica[1].x, 0, &stats);
    assert_int_equal(stats.foreign, 1);
    assert_int_equal(stats.steps_applied, 1);
    d->out[1].ring[2].head[TA_DASGD_GRADIENTS] += 5; /* more than it has bases for */
    assert_true(dw_step(&world, 0));
    dw_run(&world, 100);
    dw_check(&world, 1, steps);
    dasgd->peer_stats(world.replica[1].x, 0, &stats);
    assert_int_equal(stats.foreign, 2);
    dw_close(&world);
}

/* --- what is not finite --- */

static ta_status refuse_infinity(void *owner, const float *grad, const float *w, float scale, float *delta) {
    (void)owner, (void)w;
    if (!isfinite(grad[0])) return ta_fail(TA_NUMERIC, "not finite");
    delta[0] += scale * grad[0];
    return TA_OK;
}

static void what_is_not_finite_once_summed_is_said_once(void **state) {
    (void)state;
    float large = 3e38F;
    struct dw_config config = {.seed = 3, .n_ranks = 2, .n_params = 1, .fabric = calm,
                               .updater = {refuse_infinity, NULL},
                               .spec = {.gradients_per_push = 2, .heartbeat_s = 1e-5, .dead_after_s = 1e-3}};
    dw_open(&world, &config);
    struct ta_exchange *x = world.replica[0].x, *x1 = world.replica[1].x;
    for (unsigned i = 0; i < 2; i++) {
        assert_ok(dasgd->ready(x, world.now_ns));
        assert_ok(dasgd->step(x, &large, 1, world.now_ns));
    }
    float infinite = INFINITY;
    assert_fails(TA_NUMERIC, "finite", dasgd->step(x, &infinite, 1, world.now_ns));
    assert_int_equal(x->steps, 2);
    dw_run(&world, 100);
    assert_fails(TA_NUMERIC, "dropped", dasgd->ready(x1, world.now_ns));
    assert_ok(dasgd->ready(x1, world.now_ns));
    assert_true(delta_of(1)[0] == 0);
    dw_close(&world);
}

/* --- lives --- */

static void a_life_goes_on_where_one_ended(void **state) {
    (void)state;
    float w0[4] = {1, 2, 3, 4}, a[4] = {10, 0, 0, 0}, b[4] = {0, 20, 0, 0}, copy[4];
    const float *deltas[] = {a, b};
    const uint64_t peer_steps[] = {5, 7};
    struct ta_exchange_start start[] = {
        {.w0 = w0, .deltas = deltas, .steps = 5, .records = 50, .peer_steps = peer_steps},
        {.w0 = w0, .deltas = deltas, .steps = 7, .records = 70, .peer_steps = peer_steps}};
    struct dw_config config = {.seed = 3, .n_ranks = 2, .n_params = 4, .fabric = calm, .start = start,
                               .spec = {.heartbeat_s = 1e-5, .dead_after_s = 1e-3}};
    dw_open(&world, &config);
    for (unsigned r = 0; r < 2; r++) assert_true(world.replica[r].x->w[0] == 11 && world.replica[r].x->w[1] == 22);
    assert_true(dw_step(&world, 1));
    dw_settle(&world, 3, 2);
    assert_int_equal(dw_applied(&world, 0, 1), 8);
    assert_ok(dasgd->register_copy(world.replica[0].x, 0, copy));
    assert_memory_equal(copy, delta_of(0), sizeof copy);
    assert_ptr_equal(world.replica[0].x->delta, delta_of(0));
    for (unsigned i = 0; i < 4; i++) assert_true(world.replica[1].x->delta[i] == 0); /* registers add up */
    assert_fails(TA_INVALID, "register", dasgd->register_copy(world.replica[0].x, 1, copy));
    assert_fails(TA_INVALID, "between settle and resume", dasgd->step(world.replica[0].x, copy, 1, world.now_ns));
    dw_kill(&world, 0);
    dw_run(&world, 100);
    assert_ptr_equal(world.replica[1].x->delta, delta_of(1)); /* now it is the lowest */
    dw_resume(&world, 2, 2);
    dw_close(&world);
}

static void one_replica_is_plain_sgd(void **state) {
    (void)state;
    char bound[] = "0";
    open_world(1, 8, &(struct ta_exchange_spec){.max_staleness = bound});
    for (unsigned i = 0; i < 5; i++) {
        assert_true(dw_step(&world, 0));
        dw_run(&world, 1);
    }
    uint64_t steps[] = {5};
    dw_settle(&world, 1, TA_ROUND_FINAL);
    dw_check(&world, 0, steps);
    assert_int_equal(dasgd->steps_visible(world.replica[0].x), 5);
    dw_close(&world);
}

/* Memory runs out at every allocation of `open` in turn; what was had is given back. And what cannot be is refused. */
static void open_fails_cleanly(void **state) {
    (void)state;
    open_world(2, 8, &(struct ta_exchange_spec){0});
    dw_shut(&world, 1);
    char bound[] = "0";
    struct ta_transport *transport;
    struct ta_exchange_spec spec = {.max_staleness = bound};
    struct ta_exchange_config config = {.spec = &spec, .model = &world.model, .kernel_ops = &ta_kernels_cpu,
                                        .kernels = world.kernels, .transport_ops = &ta_transport_sim, .rank = 1,
                                        .n_ranks = 2, .epoch = 1};
    struct ta_transport_config open = {.rank = 1, .n_ranks = 2, .run_id = 9, .fabric = world.fabric};
    unsigned failed = 0;
    for (bool whole = false; !whole; failed++) {
        struct ta_exchange *x = NULL;
        assert_ok(ta_transport_sim.open(&open, &transport));
        config.transport = transport;
        size_t held = ta_mem_held_bytes();
        ta_mem_fail_nth(failed + 1);
        ta_status status = dasgd->open(&config, NULL, &x);
        ta_mem_fail_nth(0);
        whole = status == TA_OK;
        if (whole) dasgd->close(x);
        else assert_int_equal(status, TA_NO_MEMORY);
        ta_transport_sim.close(transport);
        assert_true(ta_mem_held_bytes() < held);
    }
    assert_true(failed > 15);
    struct ta_exchange *x;
    spec.damping = TA_DAMPING_COMPENSATED;
    assert_fails(TA_CONFIG, "delay-compensated", dasgd->open(&config, NULL, &x));
    spec.damping = TA_DAMPING_NONE;
    spec.slots = 2000;
    assert_fails(TA_CONFIG, "2000", dasgd->open(&config, NULL, &x));
    assert_null(x);
    dw_close(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lock_step_is_synchronous_sgd),
        cmocka_unit_test(lock_step_keeps_optimizers_together),
        cmocka_unit_test(staleness_is_exact),
        cmocka_unit_test(damping_scales_what_is_stale),
        cmocka_unit_test(several_gradients_are_one_message),
        cmocka_unit_test(nobody_waits_for_a_sleeper),
        cmocka_unit_test(damage_is_left_out),
        cmocka_unit_test(what_is_not_finite_once_summed_is_said_once),
        cmocka_unit_test(a_life_goes_on_where_one_ended),
        cmocka_unit_test(one_replica_is_plain_sgd),
        cmocka_unit_test(open_fails_cleanly),
    };
    return cmocka_run_group_tests_name("dasgd", tests, NULL, NULL);
}
