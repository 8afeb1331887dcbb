/* tables_start: what tables start from, alone, in company and after a former life, and the memory they take. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "mem.h"
#include "tables_world.h"

/* No peers: w is all there is, and nobody touches it but the caller. */
static void test_alone(void **state) {
    (void)state;
    struct world_tables tables = plain;
    tables.names = true;
    for (int stored = 0; stored < 2; stored++) {
        tables.stored = stored != 0;
        struct world_config config = calm(1, tables);
        world_open(&world, &config);
        struct ta_exchange *x = x_of(0);
        assert_null(x->delta);
        assert_null(x->w0);
        size_t d = world.model.n_params * sizeof(float);
        assert_in_range(ta_exchange_live.bytes(x), d, d + 150000);
        for (uint32_t row = 0; row < ROWS; row++) {
            size_t at = table_of(0)->offset + (size_t)row * STRIDE;
            float start = stored ? world.w0[at] : 0.01F * ta_rng_cell(5, at);
            assert_true(x->w[at] == start);
        }
        float before = first_of(0, 0, 7);
        add(0, 0, 7, 0.1F);
        step(0);
        assert_int_equal(x->steps, 1);
        assert_true(first_of(0, 0, 7) == before + 0.1F);
        assert_int_equal(ta_exchange_live.settle(x, 1, 1), TA_OK);
        assert_true(first_of(0, 0, 7) == before + 0.1F);
        assert_int_equal(ta_exchange_live.resume(x, 1, 1), TA_OK);
        const uint32_t rows[2] = {7, 9};
        assert_int_equal(ta_exchange_live.reset_rows(x, 0, rows, 2), TA_OK);
        assert_true(first_of(0, 0, 7) == 0.01F * ta_rng_cell(5, 7 * STRIDE));
        memset(&x->w[table_of(2)->offset + 9 * STRIDE], 'a', 8);
        assert_int_equal(ta_exchange_live.reset_rows(x, 2, &rows[1], 1), TA_OK);
        assert_memory_equal(&x->w[table_of(2)->offset + 9 * STRIDE], "aaaaaaaa", 8);
        assert_int_equal(ta_exchange_live.renamed(x, NULL, 0), 0);
        float copy[1];
        assert_int_equal(ta_exchange_live.register_copy(x, 0, copy), TA_INVALID);
        world_close(&world);
    }
}

/* What a former life left as registers is summed up into the one arena. */
static void test_alone_after_others(void **state) {
    (void)state;
    struct world_config config = calm(1, plain);
    static float w0[4096], delta[4096];
    const float *deltas[1] = {delta};
    for (int i = 0; i < 4096; i++) w0[i] = (float)i, delta[i] = 0.25F;
    struct ta_exchange_start starts[2] = {{.w0 = w0, .deltas = deltas, .steps = 4}, {.seed = 9, .deltas = deltas}};
    for (int i = 0; i < 2; i++) {
        config.start = &starts[i];
        world_open(&world, &config);
        struct ta_exchange *x = x_of(0);
        assert_true(world.model.n_params <= 4096 && x->delta == NULL && x->w0 == NULL);
        for (uint32_t row = 0; row < ROWS; row++) {
            size_t at = table_of(0)->offset + (size_t)row * STRIDE + 2;
            assert_true(x->w[at] == (i == 0 ? w0[at] : 0.01F * ta_rng_cell(9, at)) + 0.25F);
        }
        assert_in_range(ta_exchange_live.bytes(x), 1, world.model.n_params * sizeof(float) + 150000);
        world_close(&world);
    }
}

static void test_memory(void **state) {
    (void)state;
    struct world_tables tables = plain;
    tables.rows = 20000;
    for (unsigned n = 1; n <= 3; n++)
        for (int stored = 0; stored < 2; stored++) {
            tables.stored = stored != 0;
            size_t held = ta_mem_held_bytes();
            struct world_config config = calm(n, tables);
            config.max_versions = 1;
            world_open(&world, &config);
            size_t d = world.model.n_params * sizeof(float);
            size_t registers = n == 1 ? 1 : n - 1 + 3 + (size_t)stored;
            size_t bytes = ta_exchange_live.bytes(x_of(0));
            size_t books = 300000 + (n - 1) * 600000; /* logs, lists, counters: their size has a bound */
            assert_in_range(bytes, registers * d, registers * d + books);
            assert_true((x_of(0)->w0 != NULL) == (stored && n > 1) && (x_of(0)->delta != NULL) == (n > 1));
            size_t all = ta_mem_held_bytes() - held;
            size_t ours = 3 * d; /* the world keeps a history, updates and names */
            assert_in_range(all, n * (ours + registers * d), n * (ours + bytes + 20000) + d + 100000);
            world_close(&world);
            assert_int_equal(ta_mem_held_bytes(), held);
        }
}

/* On going on from a checkpoint the register is put whole, once: rank 1 has lost its copy of rank 0's. */
static void test_restart(void **state) {
    (void)state;
    static float d0[4096], d1[4096];
    const float *deltas[2] = {d0, d1}, *less[2] = {NULL, d1};
    const uint64_t steps[2] = {7, 9};
    for (int i = 0; i < 4096; i++) d0[i] = (float)(i % 7), d1[i] = (float)(i % 5);
    struct ta_exchange_start start[2] = {
        {.seed = 3, .deltas = deltas, .steps = 7, .records = 70, .peer_steps = steps},
        {.seed = 3, .deltas = less, .steps = 9, .records = 90, .peer_steps = steps},
    };
    struct world_config config = calm(2, plain);
    config.start = start;
    world_open(&world, &config);
    for (unsigned r = 0; r < 2; r++)
        for (uint32_t i = 0; i < ROWS; i++) {
            size_t at = table_of(0)->offset + (size_t)i * STRIDE;
            assert_true(x_of(r)->w[at] == 0.01F * ta_rng_cell(3, at) + (r == 0 ? d0[at] : 0) + d1[at]);
        }
    world_connect_all(&world);
    world_run(&world, world.now_ns + 20000, 50);
    assert_true(x_of(1)->w[1] == 0.01F * ta_rng_cell(3, 1) + d0[1] + d1[1]); /* it need not rest to hear of it */
    assert_true(world_settle(&world, 3, 1));
    struct ta_peer_stats stats = world_stats(&world, 0, 1);
    assert_int_equal(stats.steps_applied, 9);
    assert_int_equal(stats.rows, 0);
    assert_true(stats.bytes >= world.model.n_params * sizeof(float));
    assert_memory_equal(x_of(0)->w, x_of(1)->w, world.model.n_params * sizeof(float));
    world_close(&world);
}

static void test_out_of_memory(void **state) {
    (void)state;
    open_calm(2, plain);
    struct ta_sim_fabric *fabric;
    struct ta_sim_config sim = {.n_ranks = 2};
    assert_int_equal(ta_sim_create(&sim, &fabric), TA_OK);
    size_t held = ta_mem_held_bytes();
    unsigned nth = 1;
    for (ta_status status = TA_NO_MEMORY; status != TA_OK; nth++) {
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
        status = ta_exchange_live.open(&config, NULL, &x);
        ta_mem_fail_nth(0);
        if (status == TA_OK) ta_exchange_live.close(x);
        else assert_null(x);
        ta_transport_sim.close(transport);
        assert_int_equal(ta_mem_held_bytes(), held);
        if (status != TA_OK) assert_int_equal(status, TA_NO_MEMORY);
    }
    assert_in_range(nth, 16, 60);
    ta_sim_destroy(fabric);
    world_close(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alone),   cmocka_unit_test(test_alone_after_others), cmocka_unit_test(test_memory),
        cmocka_unit_test(test_restart), cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests_name("exchange: tables at the start", tests, NULL, NULL);
}
