/* replica: one is lost, a spare joins and goes on where that one stopped; over a simulated fabric, in virtual time. */
#include <inttypes.h>

#include "checkpoint.h"
#include "replica_world.h"
#include "run_config.h"

enum { BATCHES = 200 };

/* What an event of the metrics says after `before`: "joined", "after its batch ". */
static bool number_in(const struct world *w, const char *event, unsigned rank, const char *before, uint64_t *out) {
    char path[128], wanted[64], line[8192], by[32];
    snprintf(path, sizeof path, "%s/metrics.jsonl", w->folder);
    snprintf(wanted, sizeof wanted, "\"event\":\"%s\"", event);
    snprintf(by, sizeof by, "\"rank\":%u,", rank);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    bool found = false;
    while (!found && fgets(line, sizeof line, file) != NULL) {
        const char *at = strstr(line, before);
        if (at == NULL || strstr(line, wanted) == NULL || strstr(line, by) == NULL) continue;
        found = sscanf(at + strlen(before), "%" SCNu64, out) == 1;
    }
    fclose(file);
    return found;
}

static uint64_t batches_of(unsigned share, unsigned founders) {
    return BATCHES / founders + (share < BATCHES % founders);
}

/* All batches are in the last checkpoint as done; a spare has made just what was left of the share it took over. */
static void check_all_trained(struct world *w, unsigned founders) {
    struct ta_frontier done = world_done_in_checkpoint(w, NULL);
    assert_int_equal(done.base, BATCHES);
    ta_frontier_free(&done);
    for (unsigned r = founders; r < w->n; r++) {
        uint64_t share, from;
        if ((w->killed >> r & 1) || !number_in(w, "joined", r, "share of rank ", &share)) continue;
        assert_true(number_in(w, "joined", r, "after its batch ", &from));
        assert_int_equal(atomic_load(&w->board.rows[r].steps), batches_of((unsigned)share, founders) - from);
        assert_true(from <= batches_of((unsigned)share, founders));
    }
}

static void turns(struct world *w, unsigned n) {
    for (unsigned i = 0; i < n; i++) world_turn(w);
}

static bool is_training(const struct world *w, unsigned rank) {
    return ta_replica_state(w->replica[rank]) == TA_REPLICA_TRAINING;
}

/* Lost at another moment each time: before a step, in training, at the end. */
static void takes_over(void **state) {
    (void)state;
    unsigned joined = 0;
    for (unsigned moment = 0; moment < 8; moment++) {
        struct world w;
        unsigned victim = moment % 3;
        world_begin_with_spares(&w, 3, 2, &(struct ta_sim_config){.seed = moment, .latency_ns = 100000, .jitter = 1},
                                NULL);
        while (!is_training(&w, victim)) world_turn(&w);
        turns(&w, 1800 * moment);
        if (w.result[victim] == TA_AGAIN) {
            world_lose(&w, victim);
            turns(&w, moment % 2 ? 0 : 100);
            world_join(&w, 3);
        }
        world_run(&w);
        bool late = w.result[3] == TA_PEER; /* the others had come to the end */
        if (late) w.killed |= 1U << 3;
        if (w.result[(victim + 1) % 3] == TA_END && !late && w.replica[3] != NULL) {
            world_agree(&w, TA_END);
            check_all_trained(&w, 3);
            joined++;
        }
        world_end(&w);
    }
    assert_true(joined >= 4);
}

/* The heir is lost too: a second spare goes on where that one stopped. */
static void heir_of_an_heir(void **state) {
    (void)state;
    struct world w;
    world_begin_with_spares(&w, 3, 2, &(struct ta_sim_config){.seed = 7, .latency_ns = 100000}, NULL);
    while (!is_training(&w, 1)) world_turn(&w);
    turns(&w, 300);
    world_lose(&w, 1);
    world_join(&w, 3);
    while (!is_training(&w, 3)) assert_true(world_turn(&w));
    turns(&w, 300);
    world_lose(&w, 3);
    world_join(&w, 4);
    world_run(&w);
    world_agree(&w, TA_END);
    uint64_t first, second, share;
    assert_true(number_in(&w, "joined", 3, "after its batch ", &first));
    assert_true(number_in(&w, "joined", 4, "after its batch ", &second));
    assert_true(number_in(&w, "joined", 4, "share of rank ", &share));
    assert_int_equal(share, 1);
    assert_true(second > first);
    check_all_trained(&w, 3);
    world_end(&w);
}

/* Two at once take two shares. */
static void two_at_once(void **state) {
    (void)state;
    for (unsigned seed = 0; seed < 3; seed++) {
        struct world w;
        world_begin_with_spares(&w, 3, 2, &(struct ta_sim_config){.seed = seed, .latency_ns = 100000, .jitter = 2},
                                NULL);
        while (!is_training(&w, 0)) world_turn(&w);
        turns(&w, 200);
        world_lose(&w, 0);
        world_lose(&w, 2);
        world_join(&w, 4);
        turns(&w, seed);
        world_join(&w, 3);
        world_run(&w);
        world_agree(&w, TA_END);
        uint64_t a, b;
        assert_true(number_in(&w, "joined", 3, "share of rank ", &a) &&
                    number_in(&w, "joined", 4, "share of rank ", &b));
        assert_int_equal(a + b, 2);
        check_all_trained(&w, 3);
        world_end(&w);
    }
}

/* Nobody takes over: what the lost one had trained is done, and what it had not is left to a later life. */
static void left_undone(void **state) {
    (void)state;
    struct world w;
    static struct ta_checkpoint_info info;
    world_begin_with_spares(&w, 3, 1, &(struct ta_sim_config){.seed = 5, .latency_ns = 100000}, NULL);
    while (!is_training(&w, 1)) world_turn(&w);
    turns(&w, 5000);
    world_lose(&w, 1);
    world_run(&w);
    world_agree(&w, TA_END);
    struct ta_frontier done = world_done_in_checkpoint(&w, &info);
    uint64_t count = ta_frontier_count(&done), others = batches_of(0, 3) + batches_of(2, 3);
    assert_true(count > others + 5 && count < BATCHES);
    assert_in_range(count, info.total_steps, info.total_steps + 1); /* a step may be told by half */
    ta_frontier_free(&done);
    world_end(&w);
}

/* Nobody was lost: it is told so, and the others do not notice. */
static void nothing_to_do(void **state) {
    (void)state;
    struct world w;
    world_begin_with_spares(&w, 3, 1, &(struct ta_sim_config){.seed = 1, .latency_ns = 100000},
                            "run.max_records=100000000");
    while (!is_training(&w, 0)) world_turn(&w);
    world_join(&w, 3);
    while (w.result[3] == TA_AGAIN) assert_true(world_turn(&w));
    assert_int_equal(w.result[3], TA_CONFIG);
    assert_non_null(strstr(ta_why(), "none of its replicas is lost"));
    w.killed = 1U << 3;
    ta_replica_stop(w.replica[1]);
    world_run(&w);
    world_agree(&w, TA_REQUEUE);
    assert_int_equal(world_events(&w, "peer_lost"), 0);
    world_end(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_over),
        cmocka_unit_test(heir_of_an_heir),
        cmocka_unit_test(two_at_once),
        cmocka_unit_test(left_undone),
        cmocka_unit_test(nothing_to_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
