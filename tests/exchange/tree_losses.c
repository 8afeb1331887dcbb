/* tree_losses: replicas of a tree die: leaves, inner ones, the root, at any moment, in a rest too. The others go on,
 * rest on the same bits, and every update of each of them is there once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "mem.h"
#include "tree_world.h"

enum { SEEDS = 150, SEEDS_FAR = 30 };

static unsigned n_seeds = SEEDS;

static bool died(const struct tree_world *w, unsigned rank) { return w->replica[rank].killed; }

/* All that live go on; nobody has ended. */
static void check_nobody_ended(struct tree_world *w) {
    for (unsigned r = 0; r < w->config.n_ranks; r++)
        if (!died(w, r) && w->replica[r].ended != TA_OK)
            tree_fail(w, "rank %u ended: %s", r, w->replica[r].why);
}

static void kill_one(struct tree_world *w, bool in_rest) {
    unsigned victim = ta_rng_below(&w->rng, w->config.n_ranks);
    if (w->n_killed + 2 > w->config.n_ranks || died(w, victim)) return;
    w->killed_in_rest |= in_rest;
    tree_world_kill(w, victim);
}

/* More are lost around one replica than it has slots for: it would end the run. Counted, as it is to be rare. */
static bool is_crowded(const struct tree_world *w) {
    if (w->n_killed < 2) return false;
    for (unsigned r = 0; r < w->config.n_ranks; r++)
        if (!died(w, r) && ta_tree_of(w->replica[r].x)->crowded_ns != 0) return true;
    return false;
}

/* False: there is no room. */
static bool rest_of_survivors(struct tree_world *w, uint32_t round) {
    bool settled = tree_world_settle(w, round, 20000);
    check_nobody_ended(w);
    if (!settled && is_crowded(w)) return false;
    if (!settled) tree_fail(w, "round %u does not settle without the lost", round);
    tree_world_check_rest(w);
    bool resumed = tree_world_resume(w, round, 20000);
    check_nobody_ended(w);
    if (!resumed) tree_fail(w, "round %u does not resume without the lost", round);
    return true;
}

static void open_with_losses(struct tree_world *w, uint64_t seed) {
    struct ta_rng rng = ta_rng_make(seed, 5);
    struct tree_config config = {.seed = seed, .n_ranks = 3 + ta_rng_below(&rng, 12),
                                 .fan_out = 1 + ta_rng_below(&rng, 3),
                                 .per_node = ta_rng_below(&rng, 2) * ta_rng_below(&rng, 5), .n_params = 16,
                                 .in_flight = 1 + ta_rng_below(&rng, 2), .statistics = ta_rng_below(&rng, 2) != 0,
                                 .fabric = {.latency_ns = 300 + ta_rng_below(&rng, 3000),
                                            .jitter = ta_rng_uniform(&rng),
                                            .duplicate = ta_rng_below(&rng, 2) ? 0.3 : 0}};
    tree_world_open(w, &config);
    w->notice_ns = 1 + ta_rng_below(&rng, 30000);
}

/* Leaves, inner ones, the root; one after another, two at once. */
static void test_survivors_go_on(void **state) {
    (void)state;
    unsigned crowded = 0;
    for (uint64_t seed = 1; seed <= n_seeds; seed++) {
        struct tree_world w;
        open_with_losses(&w, seed);
        tree_world_play(&w, 30, 0.3, 400);
        if (seed % 2 == 0) (void)rest_of_survivors(&w, 1);
        tree_world_play(&w, ta_rng_below(&w.rng, 30), 0.3, 400);
        kill_one(&w, false);
        if (seed % 3 == 0) kill_one(&w, false);
        tree_world_play(&w, ta_rng_below(&w.rng, 100), 0.3, 400);
        if (seed % 5 == 0) kill_one(&w, false);
        tree_world_play(&w, 100, 0.3, 400);
        bool rested = rest_of_survivors(&w, 2);
        tree_world_play(&w, 30, 0.3, 400);
        if (rested) (void)rest_of_survivors(&w, TA_ROUND_FINAL);
        crowded += !rested;
        tree_world_close(&w);
    }
    assert_true(crowded * 100 <= SEEDS);
}

/* In the midst of a rest, on the way to it and out of it. */
static void test_lost_in_a_rest(void **state) {
    (void)state;
    unsigned crowded = 0;
    for (uint64_t seed = 1; seed <= n_seeds; seed++) {
        struct tree_world w;
        open_with_losses(&w, seed);
        tree_world_play(&w, 40, 0.3, 400);
        if (!tree_world_settle(&w, 1, ta_rng_below(&w.rng, 120))) {
            kill_one(&w, true);
            if (seed % 3 == 0) kill_one(&w, true);
        } else {
            tree_world_check_rest(&w);
            (void)tree_world_resume(&w, 1, ta_rng_below(&w.rng, 60));
            kill_one(&w, true);
        }
        bool rested = rest_of_survivors(&w, 2);
        tree_world_play(&w, 40, 0.3, 400);
        if (rested) (void)rest_of_survivors(&w, 3);
        crowded += !rested;
        tree_world_close(&w);
    }
    assert_true(crowded * 100 <= SEEDS);
}

/* So many times 50 ms; on lazy GPUs, where a put takes some polls, with more of them. */
static void pass(struct tree_world *w, unsigned turns, double steps) {
    unsigned finer = tree_world_far ? 10 : 1;
    tree_world_play(w, turns * finer, steps / finer, 50000000 / finer);
}

/* Nobody says a word, and no transport knows why; then the one who was silent wakes up, and leaves. */
static void test_silence(void **state) {
    (void)state;
    for (unsigned victim = 0; victim < 7; victim++) {
        struct tree_world w;
        struct tree_config config = {.seed = 3 + victim, .n_ranks = 7, .fan_out = 2, .n_params = 16, .dead_after_s = 1,
                                     .fabric = {.latency_ns = 1000}};
        tree_world_open(&w, &config);
        tree_world_play(&w, 20, 0.3, 400);
        w.replica[victim].killed = true; /* stopped, not dead */
        w.n_killed = 1;
        pass(&w, 34, 0);
        for (unsigned r = 0; r < 7; r++) {
            struct ta_peer_stats stats;
            ta_exchange_tree.peer_stats(w.replica[r].x, victim, &stats);
            if (r != victim) assert_int_equal(stats.life, TA_PEER_DEAD);
        }
        pass(&w, 40, 0.1);
        check_nobody_ended(&w);
        w.replica[victim].killed = false;
        pass(&w, 5, 0.1);
        w.replica[victim].killed = true;
        assert_int_equal(w.replica[victim].ended, TA_PEER);
        assert_non_null(strstr(w.replica[victim].why, "was given up by the others"));
        assert_true(rest_of_survivors(&w, 1));
        tree_world_close(&w);
    }
}

/* As a replica does at its end: waits in the last round, is done with it, leaves. True: it has left. */
static bool come_to_the_end(struct tree_world *w, unsigned rank, bool *settled, uint64_t *weights) {
    struct ta_exchange *x = w->replica[rank].x;
    ta_status status = TA_OK;
    if (!*settled) status = ta_exchange_tree.settle(x, TA_ROUND_FINAL, w->now_ns);
    if (status == TA_OK) {
        *settled = true;
        status = ta_exchange_tree.resume(x, TA_ROUND_FINAL, w->now_ns);
    }
    if (status == TA_AGAIN) return false;
    tree_must(w, status);
    tree_must(w, ta_exchange_tree.checksum(x, weights));
    ta_exchange_tree.leave(x, w->now_ns);
    return true;
}

/* Of those who have left all have the same weights, and nobody waits for ever; only who lost sight of those that have
 * left in the midst of it may end with PEER. */
static void test_lost_in_the_last_rest(void **state) {
    (void)state;
    unsigned peers = 0, all = 0;
    for (uint64_t seed = 1; seed <= n_seeds; seed++) {
        struct tree_world w;
        bool settled[16] = {false}, left[16] = {false};
        uint64_t weights[16];
        open_with_losses(&w, seed);
        tree_world_play(&w, 40, 0.3, 400);
        unsigned when = ta_rng_below(&w.rng, 150), n = w.config.n_ranks, waiting = n;
        for (unsigned turn = 0; waiting > 0; turn++) {
            if (turn == when) kill_one(&w, true);
            if (turn > 4000) tree_fail(&w, "%u replicas do not come to the end", waiting);
            tree_world_play(&w, 1, 0, turn < 1500 ? 500 : 50000000);
            waiting = 0;
            for (unsigned r = 0; r < n; r++) {
                if (died(&w, r) || left[r] || w.replica[r].ended != TA_OK) continue;
                left[r] = come_to_the_end(&w, r, &settled[r], &weights[r]);
                waiting += !left[r];
            }
        }
        unsigned first = n;
        for (unsigned r = 0; r < n; r++) {
            peers += !died(&w, r) && !left[r];
            all += !died(&w, r);
            if (!left[r] || died(&w, r)) continue;
            if (first == n) first = r;
            if (weights[r] != weights[first]) tree_fail(&w, "ranks %u and %u have ended with other bits", first, r);
        }
        if (first == n) tree_fail(&w, "nobody has come to the end");
        tree_world_close(&w);
    }
    assert_true(peers * 50 <= all);
}

/* Around the root of a tree of 15 all three that are between it and five others: it has four slots. */
static void test_no_room(void **state) {
    (void)state;
    struct tree_world w;
    struct tree_config config = {.seed = 1, .n_ranks = 15, .fan_out = 2, .n_params = 16, .dead_after_s = 1,
                                 .fabric = {.latency_ns = 1000}};
    tree_world_open(&w, &config);
    w.notice_ns = 1000;
    tree_world_play(&w, 20, 0.3, 400);
    for (unsigned victim = 1; victim <= 3; victim++) tree_world_kill(&w, victim);
    for (unsigned i = 0; i < 60 && w.replica[0].ended == TA_OK; i++) tree_world_play(&w, 1, 0, 50000000);
    assert_int_equal(w.replica[0].ended, TA_PEER);
    assert_non_null(strstr(w.replica[0].why, "there is no room for peer"));
    tree_world_close(&w);
}

/* With "far": on lazy GPUs. */
int main(int argc, char **argv) {
    tree_world_far = argc > 1 && strcmp(argv[1], "far") == 0;
    if (tree_world_far) n_seeds = SEEDS_FAR;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_survivors_go_on),
        cmocka_unit_test(test_lost_in_a_rest),
        cmocka_unit_test(test_lost_in_the_last_rest),
        cmocka_unit_test(test_silence),
        cmocka_unit_test(test_no_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
