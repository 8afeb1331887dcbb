/* takeover: what a lost replica leaves of its share is trained on by the others, with checkpoints on the way, labels
 * that come late, while only predicting; and what nobody is left to do is counted. Over a simulated fabric; by seed in
 * faults_seeds.c. */
#include "replica_world.h"

enum { BATCHES = 200, RECORDS = 3200 };

static uint64_t done_records(const struct world *w) {
    struct ta_board_sum sum;
    ta_board_add_up(&w->board, &sum);
    return sum.done_records;
}

/* Lost after so many turns; says how many takeovers were told. */
static unsigned one_run(unsigned moment, unsigned turns, const char *override) {
    struct world w;
    unsigned victim = moment % 3;
    struct ta_sim_config sim = {.seed = moment, .latency_ns = 100000, .jitter = 1};
    if (turns > 1000) world_begin_paced(&w, 3, &sim, override);
    else world_begin(&w, 3, &sim, override);
    while (ta_replica_state(w.replica[victim]) != TA_REPLICA_TRAINING) world_turn(&w);
    for (unsigned i = 0; i < turns; i++) world_turn(&w);
    if (w.result[victim] == TA_AGAIN) world_lose(&w, victim);
    world_run(&w);
    bool late = w.result[(victim + 1) % 3] == TA_PEER; /* lost between the last rest and its file */
    world_agree(&w, late ? TA_PEER : TA_END);
    unsigned told = world_events(&w, "takeover");
    if (!late) {
        struct ta_frontier done = world_done_in_checkpoint(&w, NULL);
        uint64_t records = ta_frontier_count(&done) * RECORDS / BATCHES;
        assert_int_equal(records, done_records(&w));
        assert_int_equal(world_events(&w, "untrained"), records < RECORDS);
        assert_true(told == 0 || records == RECORDS);
        ta_frontier_free(&done);
    }
    world_end(&w);
    return told;
}

static void with_checkpoints(void **state) {
    (void)state;
    unsigned told = 0;
    for (unsigned moment = 0; moment < 6; moment++) told += one_run(moment, 1 + 7 * moment, NULL);
    assert_true(told >= 4);
}

static void with_late_labels(void **state) {
    (void)state;
    unsigned told = 0;
    for (unsigned moment = 0; moment < 3; moment++)
        told += one_run(moment, 5000 * (moment + 1), "online.label_delay=100");
    assert_true(told == 6);
}

static void while_predicting(void **state) {
    (void)state;
    unsigned told = 0;
    for (unsigned moment = 0; moment < 3; moment++) told += one_run(moment, 4000 * (moment + 1), "online.mode=predict");
    assert_true(told == 6);
}

/* Two are lost one after the other: what the second had taken over is dealt anew, too. */
static void one_after_the_other(void **state) {
    (void)state;
    struct world w;
    world_begin_paced(&w, 4, &(struct ta_sim_config){.seed = 4, .latency_ns = 100000}, "run.max_records=6400");
    while (ta_replica_state(w.replica[0]) != TA_REPLICA_TRAINING) world_turn(&w);
    for (unsigned i = 0; i < 3000; i++) world_turn(&w);
    world_lose(&w, 1);
    while (world_events(&w, "takeover") < 3) assert_true(world_turn(&w));
    for (unsigned i = 0; i < 3000; i++) world_turn(&w);
    world_lose(&w, 3);
    world_run(&w);
    world_agree(&w, TA_END);
    assert_int_equal(world_events(&w, "takeover"), 3 + 2);
    assert_int_equal(done_records(&w), 6400);
    world_end(&w);
}

static void not_wanted(void **state) {
    (void)state;
    assert_int_equal(one_run(1, 10, "run.takeover=no"), 0);
    struct ta_run_config run = {.run = {.spares = 1, .takeover = TA_TAKEOVER_YES}};
    assert_fails(TA_CONFIG, "spares", ta_run_config_check(&run));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(with_checkpoints),    cmocka_unit_test(with_late_labels), cmocka_unit_test(while_predicting),
        cmocka_unit_test(one_after_the_other), cmocka_unit_test(not_wanted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
