/* Links that flap: a path between two replicas breaks, at any moment, and is made anew. Nothing is lost by it. */
#include "replica_world.h"

enum { RECORDS = 3200, STEPS = 200 };

static void check_all_trained(struct world *w) {
    struct ta_board_sum sum;
    ta_board_add_up(&w->board, &sum);
    assert_int_equal(sum.records, RECORDS);
    assert_int_equal(sum.steps, STEPS);
    assert_int_equal(sum.finished, w->n);
    assert_int_equal(world_events(w, "peer_lost"), 0);
    assert_int_equal(world_events(w, "disagreement"), 0);
}

/* Once, at a moment anywhere from before the first meeting to the last rest. */
static void one_flap(void **state) {
    (void)state;
    unsigned broken = 0, restored = 0;
    for (unsigned moment = 0; moment < 40; moment++) {
        struct world w;
        world_begin(&w, 3, &(struct ta_sim_config){.seed = moment, .latency_ns = 200000, .jitter = 1}, NULL);
        unsigned turns = moment < 20 ? moment * 2 : moment * 12;
        for (unsigned i = 0; i < turns; i++) world_turn(&w);
        unsigned a = moment % 3;
        ta_sim_break(w.fabric, a, (a + 1) % 3, w.now_ns);
        world_run(&w);
        world_agree(&w, TA_END);
        check_all_trained(&w);
        broken += world_events(&w, "path_broken");
        restored += world_events(&w, "path_restored");
        world_end(&w);
    }
    assert_true(broken > 20); /* it did happen, on both sides, */
    assert_true(restored > 20);
    assert_true(restored <= broken);
}

/* Again and again, several at a time, while the run lasts. */
static void many_flaps(void **state) {
    (void)state;
    for (unsigned seed = 1; seed <= 6; seed++) {
        struct world w;
        struct ta_sim_config sim = {.seed = seed, .latency_ns = 300000, .jitter = 2, .duplicate = 0.1, .depth = 2};
        world_begin(&w, MOST, &sim, "pace={type: constant, rate: 3200}");
        uint64_t random = seed;
        bool running = true;
        for (unsigned turn = 0; running && turn < 20000; turn++) {
            running = world_turn(&w);
            random = random * UINT64_C(6364136223846793005) + 1442695040888963407U;
            if (random >> 54 != 0) continue;
            unsigned a = (unsigned)(random >> 40) % MOST, b = (unsigned)(random >> 30) % MOST;
            if (a != b) ta_sim_break(w.fabric, a, b, w.now_ns);
        }
        world_run(&w);
        world_agree(&w, TA_END);
        check_all_trained(&w);
        assert_true(world_events(&w, "path_restored") > 0);
        world_end(&w);
    }
}

/* The other side is gone and nobody says so: no new path comes to stand, and its silence is its death. */
static void no_way_back(void **state) {
    (void)state;
    struct world w;
    world_begin(&w, 3, &(struct ta_sim_config){.seed = 5, .latency_ns = 200000}, "exchange.dead_after=1");
    for (unsigned i = 0; i < 40; i++) world_turn(&w);
    int64_t broke_ns = w.now_ns;
    ta_sim_break(w.fabric, 0, 1, w.now_ns);
    w.killed = 1U << 1; /* it is not ticked any more: a process that hangs */
    while (world_events(&w, "peer_lost") == 0 && w.now_ns - broke_ns < INT64_C(3000000000))
        for (unsigned i = 0; i < 100; i++) world_turn(&w);
    assert_int_equal(world_events(&w, "peer_lost") > 0, 1);
    assert_true(w.now_ns - broke_ns < INT64_C(2300000000)); /* its patience, and until the next line of metrics */
    atomic_store(&w.board.rows[1].ended, TA_ENDED_KNOWN);   /* the launcher would kill it */
    world_run(&w);
    world_agree(&w, TA_END);
    assert_int_equal(world_events(&w, "path_restored"), 0);
    world_end(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_flap),
        cmocka_unit_test(many_flaps),
        cmocka_unit_test(no_way_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
