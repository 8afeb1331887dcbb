/* tables: what the live exchange promises of tables of rows and names, one promise a test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "mem.h"
#include "lazy_gpu.h"
#include "tables_world.h"

/* A row is put once it has changed so often, with the step it did so in; a rest puts the others. */
static void test_rows_after(void **state) {
    (void)state;
    open_calm(2, plain);
    uint64_t before = world_stats(&world, 0, 1).rows;
    for (int i = 0; i < 7; i++) {
        if (i < 3) add(0, 1, 5, 1);
        add(0, 1, 6, 1);
        step(0);
        world_run(&world, world.now_ns + 1000, 50);
    }
    assert_int_equal(world_stats(&world, 0, 1).rows - before, 1);
    assert_true(first_of(1, 1, 6) == 4);
    assert_true(first_of(1, 1, 5) == 0);
    assert_int_equal(world_stats(&world, 1, 0).steps_applied, 0); /* none is there wholly */
    assert_true(world_settle(&world, 3, 1));
    assert_int_equal(world_stats(&world, 0, 1).rows - before, 3);
    assert_true(first_of(1, 1, 6) == 7 && first_of(1, 1, 5) == 3);
    assert_int_equal(world_stats(&world, 1, 0).steps_applied, 7);
    assert_memory_equal(x_of(0)->w, x_of(1)->w, world.model.n_params * sizeof(float));
    world_close(&world);
}

/* At the latest after so long. */
static void test_rows_within(void **state) {
    (void)state;
    struct world_tables tables = plain;
    tables.within_s = 50e-6;
    open_calm(2, tables);
    add(0, 1, 5, 1);
    step(0);
    world_run(&world, world.now_ns + 30000, 50);
    assert_true(first_of(1, 1, 5) == 0);
    world_run(&world, world.now_ns + 30000, 50);
    assert_true(first_of(1, 1, 5) == 1);
    assert_int_equal(world_stats(&world, 1, 0).steps_applied, 1);
    assert_int_equal(world_stats(&world, 0, 1).steps_acked, 1);
    world_close(&world);
}

/* Steps of which rows are still here count as missing elsewhere. */
static void test_staleness(void **state) {
    (void)state;
    open_calm(2, plain);
    for (int i = 0; i < 3; i++) {
        add(1, 1, 5, 1);
        step(1);
        world_run(&world, world.now_ns + 1000, 50);
    }
    add(0, 1, 9, 1);
    step(0);
    struct ta_peer_stats stats = world_stats(&world, 0, 1);
    assert_int_equal(stats.staleness.count, 1);
    assert_int_equal(stats.staleness.max, 3);
    assert_true(world_settle(&world, 3, 1));
    assert_true(world_resume(&world, 3, 1));
    add(0, 1, 9, 1);
    step(0);
    stats = world_stats(&world, 0, 1);
    assert_int_equal(stats.staleness.count, 2);
    assert_true(ta_hist_mean(&stats.staleness) == 1.5);
    world_close(&world);
}

/* What is put follows the rows that were touched, not the table. */
static void test_bytes(void **state) {
    (void)state;
    struct world_tables tables = plain;
    tables.rows = 20000;
    tables.after = 1;
    struct world_config config = calm(2, tables);
    config.max_versions = 1;
    world_open(&world, &config);
    world_connect_all(&world);
    world_run(&world, world.now_ns + 2000, 50);
    enum { HEADER = 64 + 8 + 24 * 2, LOG = 16 };
    for (uint32_t touched = 1; touched <= 1000; touched *= 10) {
        struct ta_peer_stats before = world_stats(&world, 0, 1);
        for (uint32_t i = 0; i < touched; i++) add(0, i % 2, 19 * i, 1);
        step(0);
        struct ta_peer_stats after = world_stats(&world, 0, 1);
        assert_int_equal(after.puts - before.puts, 1);
        assert_int_equal(after.rows - before.rows, touched);
        size_t asked = touched * (STRIDE * sizeof(float) + sizeof(uint32_t));
        assert_in_range(after.bytes - before.bytes, asked, asked + HEADER + LOG);
        world_run(&world, world.now_ns + 5000, 50);
        assert_true(first_of(1, (touched - 1) % 2, 19 * (touched - 1)) > 0.5F);
    }
    /* Nothing to say: a heartbeat has no rows. */
    uint64_t rows = world_stats(&world, 0, 1).rows;
    world_run(&world, world.now_ns + 100000, 500);
    assert_int_equal(world_stats(&world, 0, 1).rows, rows);
    world_close(&world);
}

/* More rows at once than a put takes, and more than the log holds: nothing is missing. */
static void test_overflow(void **state) {
    (void)state;
    struct world_tables tables = plain;
    tables.after = 1;
    tables.limits = (struct ta_live_limits){.log_entries = 16, .put_rows = 10};
    open_calm(3, tables);
    for (uint32_t row = 0; row < ROWS; row++) add(0, 1, row, (float)row);
    step(0);
    for (int i = 0; i < 1000; i++, world.now_ns += 50) { /* rank 1 does not look while all of them come */
        assert_int_equal(world_poll(&world, 0), TA_OK);
        assert_int_equal(world_poll(&world, 2), TA_OK);
    }
    assert_true(world_stats(&world, 0, 1).puts > ROWS / 10);
    assert_int_equal(world_poll(&world, 1), TA_OK);
    for (uint32_t row = 0; row < ROWS; row++)
        assert_true(first_of(1, 1, row) == (float)row && first_of(2, 1, row) == (float)row);
    world_close(&world);
}

/* Our own updates round as they come, and as they are folded (large here, then small again); at rest the row is what
 * the registers make it, on every replica. */
static void test_own_rows_at_rest(void **state) {
    (void)state;
    open_calm(2, plain);
    float *copy;
    assert_int_equal(TA_NEW(&copy, world.model.n_params, "copy"), TA_OK);
    for (int i = 0; i < 4; i++) add(0, 0, 3, 250.013F);
    step(0);
    add(0, 0, 3, -1000);
    step(0);
    size_t at = table_of(0)->offset + 3 * STRIDE;
    assert_int_equal(ta_exchange_live.register_copy(x_of(0), 0, copy), TA_OK); /* with all that was named */
    float exact = 0.01F * ta_rng_cell(5, at) + copy[at];
    assert_true(copy[at] > 0.04F && copy[at] < 0.06F);
    assert_true(x_of(0)->w[at] != exact); /* else this test shows nothing */
    assert_true(world_settle(&world, 3, 1));
    assert_true(x_of(0)->w[at] == exact && x_of(1)->w[at] == exact);
    assert_true(x_of(0)->delta[at] == copy[at]);
    ta_mem_free(copy);
    world_close(&world);
}

/* What a peer has added to a row that we are changing is never taken for ours, and ours is there once. */
static void test_both_change_a_row(void **state) {
    (void)state;
    struct world_tables tables = plain;
    tables.after = 3;
    open_calm(2, tables);
    float made[2] = {0, 0};
    for (int i = 0; i < 40; i++) {
        for (unsigned r = 0; r < 2; r++) {
            float update = (float)(i % 5) + 16 * (float)r;
            if ((i + (int)r) % 3 == 0) continue;
            add(r, 1, 7, update);
            made[r] += update;
            step(r);
        }
        world_run(&world, world.now_ns + 200, 50);
        for (unsigned r = 0; r < 2; r++) assert_true(x_of(r)->delta[table_of(1)->offset + 7 * STRIDE] <= made[r]);
        assert_true(first_of(0, 1, 7) >= made[0] && first_of(1, 1, 7) >= made[1]);
    }
    assert_true(world_settle(&world, 3, 1));
    for (unsigned r = 0; r < 2; r++) {
        assert_true(x_of(r)->delta[table_of(1)->offset + 7 * STRIDE] == made[r]);
        assert_true(first_of(r, 1, 7) == made[0] + made[1]);
    }
    world_close(&world);
}

/* A peer tells at once of more rows than a CPU takes in one go, and we are changing all of them: on a GPU it is one go. */
static void test_many_rows_far(void **state) {
    (void)state;
    enum { MANY = 150 };
    struct world_tables tables = plain;
    tables.after = 2;
    struct world_config config = calm(2, tables);
    config.far = true;
    world_open(&world, &config);
    world_connect_all(&world);
    world_run(&world, world.now_ns + 2000, 50);
    for (unsigned r = 0; r < 2; r++)
        for (uint32_t i = 0; i < MANY * (1 + r); i++) { /* the peer's are due, ours are not */
            struct ta_exchange *x = x_of(r);
            uint32_t row = i % MANY;
            float *w = lazy_gpu_at(x->w);
            w[table_of(1)->offset + (size_t)row * STRIDE] += 1;
            ta_exchange_live.touched(x, 1, &row, 1);
        }
    step(1);
    world_run(&world, world.now_ns + 100000, 50); /* lazy GPUs copy a row or two a poll */
    assert_true(*(float *)lazy_gpu_at(&x_of(0)->w[table_of(1)->offset]) == 3); /* while ours waits */
    assert_true(*(float *)lazy_gpu_at(&x_of(1)->w[table_of(1)->offset]) == 2);
    step(0);
    assert_true(world_settle(&world, 3, 1));
    for (unsigned r = 0; r < 2; r++) {
        const float *w = lazy_gpu_at(x_of(r)->w);
        for (uint32_t row = 0; row < MANY; row++) assert_true(w[table_of(1)->offset + (size_t)row * STRIDE] == 3);
    }
    world_close(&world);
}

/* Rows of one replica start again, while a peer changes them: its share stays, and all agree. */
static void test_reset(void **state) {
    (void)state;
    open_calm(3, plain);
    const uint32_t rows[2] = {3, 8};
    for (unsigned r = 0; r < 3; r++)
        for (unsigned i = 0; i < 2; i++) add(r, 1, rows[i], 10 + (float)r);
    assert_true(world_settle(&world, 7, 1));
    assert_true(world_resume(&world, 7, 1));
    assert_true(first_of(0, 1, 3) == 33);
    assert_int_equal(ta_exchange_live.reset_rows(x_of(0), 1, rows, 2), TA_OK);
    assert_true(first_of(0, 1, 3) == 23);
    add(1, 1, 3, 1);
    world_run(&world, world.now_ns + 2000, 50);
    assert_true(first_of(2, 1, 3) == 23); /* the reset did not wait, rank 1's change does */
    assert_true(world_settle(&world, 7, 2));
    for (unsigned r = 0; r < 3; r++) assert_true(first_of(r, 1, 3) == 24 && first_of(r, 1, 8) == 23);
    assert_true(world_resume(&world, 7, 2));
    for (unsigned r = 0; r < 3; r++) assert_int_equal(ta_exchange_live.reset_rows(x_of(r), 1, rows, 2), TA_OK);
    assert_true(world_settle(&world, 7, 3));
    for (unsigned r = 0; r < 3; r++) assert_true(first_of(r, 1, 3) == 0 && first_of(r, 1, 8) == 0);
    world_close(&world);
}

/* A replica does not rest while rows that it has reset are still to go out, though no step is. */
static void test_reset_goes_first(void **state) {
    (void)state;
    struct world_tables tables = plain;
    tables.limits.put_rows = 1;
    open_calm(2, tables);
    const uint32_t rows[3] = {1, 2, 3};
    assert_int_equal(ta_exchange_live.settle(x_of(1), 1, world.now_ns), TA_AGAIN);
    world_run(&world, world.now_ns + 2000, 50);
    ta_sim_cut(world.fabric, 0, 1, 1);
    assert_int_equal(ta_exchange_live.reset_rows(x_of(0), 0, rows, 3), TA_OK);
    for (int i = 0; i < 20; i++) {
        world_run(&world, world.now_ns + 1000, 50);
        assert_int_equal(ta_exchange_live.settle(x_of(0), 1, world.now_ns), TA_AGAIN);
    }
    ta_sim_cut(world.fabric, 0, 1, 0);
    assert_true(world_settle(&world, 3, 1));
    world_close(&world);
}

static void rename_to(unsigned rank, uint32_t row, const char *name) {
    struct ta_exchange *x = x_of(rank);
    strncpy((char *)(x->delta + table_of(2)->offset + (size_t)row * STRIDE), name, 31);
    world_must(&world, ta_exchange_live.reset_rows(x, 2, &row, 1));
}

static const char *name_of(unsigned rank, uint32_t row) {
    return (const char *)(x_of(rank)->w + table_of(2)->offset + (size_t)row * STRIDE);
}

static void test_names(void **state) {
    (void)state;
    struct world_tables tables = plain;
    tables.names = true;
    open_calm(3, tables);
    uint32_t rows[4];
    for (unsigned r = 0; r < 3; r++) assert_int_equal(ta_exchange_live.renamed(x_of(r), rows, 4), 0);
    rename_to(1, 4, "lynx");
    assert_string_equal(name_of(1, 4), "lynx");
    assert_int_equal(ta_exchange_live.renamed(x_of(1), rows, 4), 0); /* our own are no news */
    world_run(&world, world.now_ns + 2000, 50);
    assert_string_equal(name_of(0, 4), "lynx");
    assert_int_equal(ta_exchange_live.renamed(x_of(0), rows, 4), 1);
    assert_int_equal(rows[0], 4);
    assert_int_equal(ta_exchange_live.renamed(x_of(0), rows, 4), 0);
    for (uint32_t i = 0; i < 5; i++) rename_to(2, 2 + 3 * i * 13, "owl");
    world_run(&world, world.now_ns + 2000, 50);
    assert_true(ta_exchange_live.renamed(x_of(0), rows, 4) > 4);
    assert_int_equal(ta_exchange_live.renamed(x_of(0), rows, 4), 0);
    uint32_t five[5];
    assert_int_equal(ta_exchange_live.renamed(x_of(1), five, 5), 5);
    for (uint32_t i = 0; i < 5; i++) assert_int_equal(five[i], 2 + 3 * i * 13);
    world_kill(&world, 2, 50);
    assert_true(world_settle(&world, 3, 1));
    assert_string_equal(name_of(0, 2), "owl"); /* what the dead one named stays */
    assert_string_equal(name_of(1, 2), "owl");
    assert_true(ta_exchange_live.renamed(x_of(0), rows, 4) > 4); /* all was looked at again */
    const uint32_t foreign = 5;
    assert_int_equal(ta_exchange_live.reset_rows(x_of(0), 2, &foreign, 1), TA_INVALID);
    world_close(&world);
}

static void test_contract(void **state) {
    (void)state;
    struct world_tables tables = plain;
    open_calm(2, tables);
    struct ta_exchange *x = x_of(0);
    uint32_t row = ROWS;
    assert_int_equal(ta_exchange_live.reset_rows(x, 7, &row, 1), TA_INVALID);
    assert_int_equal(ta_exchange_live.reset_rows(x, 0, &row, 1), TA_INVALID);
    assert_non_null(strstr(ta_why(), "row 200"));
    ta_exchange_live.touched(x, 0, &row, 1);
    assert_int_equal(world_poll(&world, 0), TA_INVALID);
    world_close(&world);
    open_calm(2, tables);
    row = 1;
    assert_true(world_settle(&world, 3, 1));
    assert_int_equal(ta_exchange_live.reset_rows(x_of(0), 0, &row, 1), TA_INVALID);
    world_close(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_after), cmocka_unit_test(test_rows_within), cmocka_unit_test(test_staleness),
        cmocka_unit_test(test_bytes),      cmocka_unit_test(test_overflow),    cmocka_unit_test(test_own_rows_at_rest),
        cmocka_unit_test(test_both_change_a_row), cmocka_unit_test(test_many_rows_far),
        cmocka_unit_test(test_reset),      cmocka_unit_test(test_names),       cmocka_unit_test(test_reset_goes_first),
        cmocka_unit_test(test_contract),
    };
    return cmocka_run_group_tests_name("exchange: tables", tests, NULL, NULL);
}
