/* rules: what the live exchange promises, one promise a test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <xxhash.h>

#include <cmocka.h>

#include "mem.h"
#include "world.h"

static struct world world;

static struct world_config calm(unsigned n_ranks, size_t n_params) {
    return (struct world_config){
        .seed = 5, .n_ranks = n_ranks, .n_params = n_params, .epoch = 3, .heartbeat_s = 10e-6, .dead_after_s = 1e-3,
        .fabric = {.latency_ns = 100},
    };
}

static ta_status find(const char *type, const struct ta_exchange_ops **ops) {
    struct ta_exchange_spec spec = {.type = (char *)type};
    return ta_exchange_find(&spec, ops);
}

static void open_calm(unsigned n_ranks, size_t n_params) {
    struct world_config config = calm(n_ranks, n_params);
    world_open(&world, &config);
    world_connect_all(&world);
    world_run(&world, world.now_ns + 2000, 50);
}

static struct ta_exchange *x_of(unsigned rank) { return world.replica[rank].x; }

static void test_find(void **state) {
    (void)state;
    const struct ta_exchange_ops *ops;
    assert_int_equal(find("live", &ops), TA_OK);
    assert_ptr_equal(ops, &ta_exchange_live);
    assert_int_equal(find(NULL, &ops), TA_OK);
    assert_int_equal(find("dasgd", &ops), TA_OK);
    assert_ptr_equal(ops, &ta_exchange_dasgd);
    assert_int_equal(find("sync", &ops), TA_OK);
    assert_ptr_equal(ops, &ta_exchange_sync);
    assert_int_equal(find("livee", &ops), TA_CONFIG);
    assert_non_null(strstr(ta_why(), "livee"));
    assert_null(ops);
}

static void test_alone(void **state) {
    (void)state;
    struct world_config config = calm(1, 40);
    world_open(&world, &config);
    for (int i = 0; i < 10; i++) {
        world_step(&world, 0);
        assert_int_equal(world_poll(&world, 0), TA_OK);
        const char *wrong = world_check(&world, 0, 1);
        if (wrong != NULL) fail_msg("%s", wrong);
    }
    assert_memory_equal(x_of(0)->w + 30, x_of(0)->delta + 30, 10 * sizeof(float)); /* the mean of one */
    assert_int_equal(ta_exchange_live.settle(x_of(0), 1, 1), TA_OK);
    uint64_t sum;
    assert_int_equal(ta_exchange_live.checksum(x_of(0), &sum), TA_OK);
    assert_true(sum == XXH3_64bits(x_of(0)->w, 40 * sizeof(float)));
    assert_int_equal(ta_exchange_live.resume(x_of(0), 1, 1), TA_OK);
    assert_int_equal(ta_exchange_live.settle(x_of(0), TA_ROUND_FINAL, 1), TA_OK);
    assert_int_equal(ta_exchange_live.resume(x_of(0), TA_ROUND_FINAL, 1), TA_OK);
    ta_exchange_live.leave(x_of(0), 1);
    world_close(&world);
}

static void test_scale(void **state) {
    (void)state;
    struct world_config config = calm(4, 16);
    world_open(&world, &config);
    assert_true(x_of(0)->scale == 1.0F);
    world_close(&world);
    config.scale_mean = true;
    world_open(&world, &config);
    assert_true(x_of(3)->scale == 0.25F);
    world_close(&world);
}

/* Moving statistics are the mean of those who are with us, and of the same ones everywhere. */
static void check_mean(unsigned ranks) {
    const struct ta_segment *mean = &world.model.segments[1];
    const float *registers[WORLD_MAX_RANKS];
    float expected[64];
    unsigned n = 0;
    for (unsigned r = 0; r < world.config.n_ranks; r++)
        if (ranks >> r & 1) registers[n++] = x_of(r)->delta + mean->offset;
    assert_int_equal(ta_kernels_cpu.mean(world.replica[0].kernels, mean->count, expected, registers, n), TA_OK);
    for (unsigned r = 0; r < world.config.n_ranks; r++)
        if (ranks >> r & 1)
            assert_memory_equal(x_of(r)->w + mean->offset, expected, mean->count * sizeof(float));
}

static void test_mean(void **state) {
    (void)state;
    open_calm(3, 40);
    for (unsigned i = 0; i < 30; i++) world_step(&world, i % 3);
    assert_true(world_settle(&world, 7, 1));
    check_mean(7);
    assert_true(world_resume(&world, 7, 1));
    world_kill(&world, 1, 50);
    world_run(&world, world.now_ns + 5000, 50);
    world_step(&world, 0);
    assert_true(world_settle(&world, 5, 2));
    check_mean(5);
    world_close(&world);
}

/* The gradient of rank 0 is computed on weights with 2 steps of rank 1, which makes 3 more meanwhile. */
static void test_staleness(void **state) {
    (void)state;
    open_calm(2, 16);
    for (int i = 0; i < 2; i++) world_step(&world, 1);
    world_run(&world, world.now_ns + 2000, 50);
    assert_int_equal(world_stats(&world, 0, 1).steps_applied, 2);
    for (int i = 0; i < 3; i++) {
        world_step(&world, 1);
        for (int k = 0; k < 20; k++, world.now_ns += 50) assert_int_equal(world_poll(&world, 1), TA_OK);
    }
    world_step(&world, 0);
    struct ta_peer_stats stats = world_stats(&world, 0, 1);
    assert_int_equal(stats.staleness.count, 1);
    assert_int_equal(stats.staleness.max, 3);
    assert_int_equal(stats.steps_applied, 2);
    assert_int_equal(world_poll(&world, 0), TA_OK);
    assert_int_equal(world_stats(&world, 0, 1).steps_applied, 5);
    world_step(&world, 0); /* on fresh weights */
    stats = world_stats(&world, 0, 1);
    assert_int_equal(stats.staleness.count, 2);
    assert_true(ta_hist_mean(&stats.staleness) == 1.5);
    assert_int_equal(ta_exchange_live.stepped(x_of(0), 0, world.now_ns), TA_OK); /* skipped: no gradient went in */
    assert_int_equal(world_stats(&world, 0, 1).staleness.count, 2);
    assert_int_equal(x_of(0)->steps, 2);
    world_close(&world);
}

/* Steps while a put is on its way go with the next one; then the peer says that it has them all. */
static void test_coalescing(void **state) {
    (void)state;
    open_calm(2, 16);
    uint64_t puts = world_stats(&world, 0, 1).puts;
    for (int i = 0; i < 10; i++) world_step(&world, 0);
    struct ta_peer_stats stats = world_stats(&world, 0, 1);
    assert_int_equal(stats.puts - puts, 1);
    assert_int_equal(stats.busy, 9);
    assert_true(stats.steps_acked < 10);
    world_run(&world, world.now_ns + 3000, 50);
    stats = world_stats(&world, 0, 1);
    assert_int_equal(stats.steps_acked, 10);
    assert_int_equal(world_stats(&world, 1, 0).steps_applied, 10);
    assert_int_equal(world_stats(&world, 1, 0).records, 320);
    assert_memory_equal(x_of(0)->w, x_of(1)->w, 12 * sizeof(float));
    world_close(&world);
}

static void test_restart(void **state) {
    (void)state;
    enum { N = 16 };
    float w0[N], d0[N], d1[N];
    for (int i = 0; i < N; i++) {
        w0[i] = (float)(i % 13);
        d0[i] = (float)i;
        d1[i] = (float)(100 * i);
    }
    const float *deltas[2] = {d0, d1};
    const uint64_t steps[2] = {7, 9};
    struct ta_exchange_start start[2] = {
        {.w0 = w0, .deltas = deltas, .steps = 7, .records = 70, .peer_steps = steps},
        {.w0 = w0, .deltas = deltas, .steps = 9, .records = 90, .peer_steps = steps},
    };
    struct world_config config = calm(2, N);
    config.start = start;
    world_open(&world, &config);
    for (unsigned r = 0; r < 2; r++) {
        for (int i = 0; i < N - N / 4; i++) assert_true(x_of(r)->w[i] == w0[i] + d0[i] + d1[i]);
        for (int i = N - N / 4; i < N; i++) assert_true(x_of(r)->w[i] == (d0[i] + d1[i]) * 0.5F);
        assert_int_equal(x_of(r)->steps, steps[r]);
        assert_int_equal(world_stats(&world, r, 1 - r).steps_applied, steps[1 - r]);
    }
    world_connect_all(&world);
    assert_true(world_settle(&world, 3, 1));
    assert_int_equal(world_stats(&world, 0, 1).steps_applied, 9);
    world_close(&world);
}

static void test_memory(void **state) {
    (void)state;
    enum { D = 200000 };
    for (unsigned n = 1; n <= 4; n++) {
        size_t held = ta_mem_held_bytes();
        struct world_config config = calm(n, D);
        config.max_versions = 1;
        world_open(&world, &config);
        size_t asked = (n - 1 + 3) * (size_t)D * sizeof(float); /* + the gradient, which is the replica's */
        size_t bytes = ta_exchange_live.bytes(x_of(0));
        assert_in_range(bytes, asked, asked + asked / 10);
        size_t each = bytes + 3 * (size_t)D * sizeof(float); /* the world keeps a history, updates and names */
        size_t all = ta_mem_held_bytes() - held;
        assert_in_range(all, n * (each - asked / 10), n * each + D * sizeof(float) + n * asked / 10);
        world_close(&world);
        assert_int_equal(ta_mem_held_bytes(), held);
    }
}

static void test_out_of_memory(void **state) {
    (void)state;
    open_calm(2, 32);
    struct ta_sim_fabric *fabric;
    struct ta_sim_config sim = {.n_ranks = 2};
    assert_int_equal(ta_sim_create(&sim, &fabric), TA_OK);
    size_t held = ta_mem_held_bytes();
    unsigned nth = 1;
    for (;; nth++) {
        struct ta_transport *transport;
        struct ta_transport_config t = {.n_ranks = 2, .run_id = 1, .fabric = fabric};
        assert_int_equal(ta_transport_sim.open(&t, &transport), TA_OK);
        struct ta_exchange_config config = {
            .spec = &world.spec, .model = &world.model, .kernel_ops = &ta_kernels_cpu,
            .kernels = world.replica[0].kernels,
            .transport_ops = &ta_transport_sim, .transport = transport, .n_ranks = 2,
        };
        struct ta_exchange *x;
        ta_mem_fail_nth(nth);
        ta_status status = ta_exchange_live.open(&config, NULL, &x);
        ta_mem_fail_nth(0);
        if (status == TA_OK) ta_exchange_live.close(x);
        else assert_null(x);
        ta_transport_sim.close(transport);
        assert_int_equal(ta_mem_held_bytes(), held);
        if (status == TA_OK) break;
        assert_int_equal(status, TA_NO_MEMORY);
    }
    assert_in_range(nth, 8, 40);
    ta_sim_destroy(fabric);
    world_close(&world);
}

static void test_contract(void **state) {
    (void)state;
    open_calm(2, 16);
    struct ta_exchange *x = x_of(0);
    assert_int_equal(ta_exchange_live.settle(x, 0, world.now_ns), TA_INVALID);
    assert_int_equal(ta_exchange_live.resume(x, 1, world.now_ns), TA_INVALID);
    assert_int_equal(ta_exchange_live.settle(x, 2, world.now_ns), TA_AGAIN);
    assert_int_equal(ta_exchange_live.stepped(x, 1, world.now_ns), TA_INVALID);
    assert_int_equal(ta_exchange_live.settle(x, 1, world.now_ns), TA_INVALID);
    assert_int_equal(ta_exchange_live.resume(x, 2, world.now_ns), TA_INVALID); /* not settled yet */
    uint32_t reason = 9;
    world_run(&world, world.now_ns + 3000, 50);
    assert_int_equal(ta_exchange_live.requested(x_of(1), &reason), 2); /* who is in a round asks for it */
    ta_exchange_live.request(x_of(1), 3, 5);
    world_run(&world, world.now_ns + 3000, 50);
    assert_int_equal(ta_exchange_live.requested(x, &reason), 3);
    assert_int_equal(reason, 5);
    assert_true(world_settle(&world, 3, 2));
    assert_true(world_resume(&world, 3, 2));
    assert_int_equal(ta_exchange_live.settle(x, 2, world.now_ns), TA_INVALID);
    assert_int_equal(ta_exchange_live.settle(x, 1U << 24, world.now_ns), TA_INVALID);
    float copy[16];
    assert_int_equal(ta_exchange_live.register_copy(x, 2, copy), TA_INVALID);
    world_close(&world);
}

static void refused(struct ta_exchange_spec spec, unsigned rank, const char *what) {
    struct ta_model model = {.n_params = 16, .n_segments = 1, .segments = {{TA_SEGMENT_SUM, 0, 16}}};
    struct ta_exchange_config config = {.spec = &spec, .model = &model, .rank = rank, .n_ranks = 2};
    struct ta_exchange *x;
    assert_int_equal(ta_exchange_live.open(&config, NULL, &x), TA_CONFIG);
    assert_null(x);
    if (strstr(ta_why(), what) == NULL) fail_msg("'%s' does not name %s", ta_why(), what);
}

static void test_configuration(void **state) {
    (void)state;
    refused((struct ta_exchange_spec){0}, 2, "rank 2");
    refused((struct ta_exchange_spec){.heartbeat_s = -1}, 0, "exchange.heartbeat");
    refused((struct ta_exchange_spec){.dead_after_s = 0.0 / 0.0}, 0, "exchange.dead_after");
    refused((struct ta_exchange_spec){.dead_after_s = 1, .heartbeat_s = 2}, 0, "exchange.dead_after");
    refused((struct ta_exchange_spec){.puts_in_flight = 1000}, 0, "puts_in_flight");
    refused((struct ta_exchange_spec){.rows_after = 256}, 0, "exchange.rows_after");
    refused((struct ta_exchange_spec){.rows_within_s = -1}, 0, "exchange.rows_within");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find),       cmocka_unit_test(test_alone),         cmocka_unit_test(test_scale),
        cmocka_unit_test(test_mean),       cmocka_unit_test(test_staleness),     cmocka_unit_test(test_coalescing),
        cmocka_unit_test(test_restart),    cmocka_unit_test(test_memory),        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_contract),   cmocka_unit_test(test_configuration),
    };
    return cmocka_run_group_tests_name("exchange: rules", tests, NULL, NULL);
}
