/* replica: several in one thread over a simulated fabric, in virtual time; killed, stopped, starved of memory. */
#include "checkpoint.h"
#include "replica_world.h"

enum { DETECT_NS = 5 * 1000 * 1000 };

static void finish_together(void **state) {
    (void)state;
    const struct ta_sim_config fabrics[] = {
        {.seed = 1, .latency_ns = 1000},
        {.seed = 2, .latency_ns = 300000, .jitter = 3, .bytes_per_ns = 0.01, .duplicate = 0.2},
        {.seed = 3, .latency_ns = 2000000, .jitter = 1, .duplicate = 0.1, .depth = 2},
    };
    for (unsigned f = 0; f < sizeof fabrics / sizeof fabrics[0]; f++) {
        for (unsigned n = 2; n <= 4; n += 2) {
            struct world w;
            world_begin(&w, n, &fabrics[f], NULL);
            world_run(&w);
            world_agree(&w, TA_END);
            struct ta_board_sum sum;
            ta_board_add_up(&w.board, &sum);
            assert_int_equal(sum.records, 3200);
            assert_int_equal(sum.steps, 200);
            assert_int_equal(sum.finished, n);
            char path[128];
            snprintf(path, sizeof path, "%s/checkpoint", w.folder);
            static struct ta_checkpoint_info info;
            assert_int_equal(ta_checkpoint_latest(path, NULL, &info), TA_OK);
            assert_int_equal(info.total_steps, 200);
            assert_int_equal(info.n_writers, n);
            world_end(&w);
        }
    }
}

static void killed(void **state) {
    (void)state;
    for (unsigned moment = 0; moment < 12; moment++) {
        struct world w;
        world_begin(&w, 3, &(struct ta_sim_config){.seed = moment, .latency_ns = 200000, .jitter = 1}, NULL);
        for (unsigned i = 0; i < 1 + moment * 12; i++) world_turn(&w);
        bool was_running = w.result[moment % 3] == TA_AGAIN;
        ta_sim_kill(w.fabric, moment % 3, w.now_ns, DETECT_NS);
        w.killed = was_running ? 1U << moment % 3 : 0;
        atomic_store(&w.board.rows[moment % 3].ended, 1);
        world_run(&w);
        /* Killed between the last rest and its file: the last checkpoint cannot become whole, and PEER says so. */
        bool late = w.result[(moment + 1) % 3] == TA_PEER;
        world_agree(&w, late ? TA_PEER : TA_END);
        world_end(&w);
    }
}

static void stopped(void **state) {
    (void)state;
    for (unsigned moment = 0; moment < 10; moment++) {
        struct world w;
        world_begin(&w, 3, &(struct ta_sim_config){.seed = moment, .latency_ns = 100000, .jitter = 2},
                    "run.max_records=1000000");
        for (unsigned i = 0; i < 30 + moment * 7; i++) world_turn(&w);
        ta_replica_stop(w.replica[moment % 3]);
        world_run(&w);
        world_agree(&w, TA_REQUEUE);
        world_end(&w);
    }
}

/* Whatever allocation fails while a replica is opened: NO_MEMORY, and everything is given back. */
static void no_memory(void **state) {
    (void)state;
    struct world w = {0};
    snprintf(w.folder, sizeof w.folder, "/tmp/tensair-replica-XXXXXX");
    assert_non_null(mkdtemp(w.folder));
    const char *overrides[] = {"transport.type=self"};
    world_load(&w, overrides, 1);
    assert_int_equal(ta_board_create(&w.board, 1, 0), TA_OK);
    struct ta_replica_config config = {.run = w.config, .n_ranks = 1, .run_id = 1, .board = &w.board};
    size_t held = ta_mem_held_bytes();
    unsigned n = 1;
    for (;; n++) {
        struct ta_replica *r = NULL;
        ta_mem_fail_nth(n);
        ta_status status = ta_replica_open(&config, &r);
        ta_mem_fail_nth(0);
        ta_replica_close(r);
        assert_int_equal(ta_mem_held_bytes(), held);
        if (status == TA_OK) break;
        assert_int_equal(status, TA_NO_MEMORY);
        assert_true(n < 1000);
    }
    assert_true(n > 10); /* it did fail on the way */
    world_end(&w);
}

static void wrong_use(void **state) {
    (void)state;
    struct ta_board board;
    struct ta_replica *r;
    struct ta_run_config run = {0};
    assert_int_equal(ta_board_create(&board, 2, 0), TA_OK);
    struct ta_replica_config config = {.run = &run, .rank = 2, .n_ranks = 2, .board = &board};
    assert_int_equal(ta_replica_open(&config, &r), TA_CONFIG);
    config.rank = 0; /* several replicas, and nowhere to meet */
    assert_int_equal(ta_replica_open(&config, &r), TA_CONFIG);
    ta_board_close(&board);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finish_together), cmocka_unit_test(killed),    cmocka_unit_test(stopped),
        cmocka_unit_test(no_memory),       cmocka_unit_test(wrong_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
