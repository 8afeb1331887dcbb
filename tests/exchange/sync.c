/* The synchronous exchange: the same bits after every reduction, nothing lost or counted twice, no deadlock; whole
 * lives by seed on a simulated fabric, with delays, duplicates, breaks and a loss; its traffic; what it refuses. */
#include <math.h>

#include "expect.h"

#include "kernels.h"
#include "sync_world.h"

static struct sync_config lively(uint64_t seed) {
    struct ta_rng rng = ta_rng_make(seed, 1);
    struct sync_config c = {
        .seed = seed,
        .n_ranks = 2 + ta_rng_below(&rng, SYNC_MOST_RANKS - 1),
        .d = 1 + ta_rng_below(&rng, 150),
        .rounds = ta_rng_below(&rng, 4),
        .drops = ta_rng_below(&rng, 3) == 0 ? .1 : 0,
        .scale_mean = ta_rng_below(&rng, 3) == 0,
        .fabric = {.latency_ns = 200 + ta_rng_below(&rng, 2000), .bytes_per_ns = ta_rng_below(&rng, 2), .jitter = 2,
                   .duplicate = .2, .depth = 1 + ta_rng_below(&rng, 3)},
    };
    unsigned steps = 1 + ta_rng_below(&rng, 12);
    for (unsigned r = 0; r < c.n_ranks; r++) c.steps[r] = steps + ta_rng_below(&rng, 3);
    if (ta_rng_below(&rng, 4) == 0) c.steps[ta_rng_below(&rng, c.n_ranks)] = 0;
    return c;
}

static void all_agree_whatever_the_network_does(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct sync_world w;
        struct sync_config c = lively(seed);
        sync_open_world(&w, &c);
        sync_run(&w);
        sync_check(&w);
        sync_close_world(&w);
    }
}

static void paths_may_break(void **state) {
    (void)state;
    for (uint64_t seed = 1000; seed < 1012; seed++) {
        struct sync_world w;
        struct sync_config c = lively(seed);
        sync_open_world(&w, &c);
        for (unsigned turn = 0; !sync_turn(&w); turn++) {
            if (turn > 100000) sync_fail(&w, "it never ends");
            unsigned a = ta_rng_below(&w.rng, c.n_ranks), b = ta_rng_below(&w.rng, c.n_ranks);
            if (turn < 600 && turn % 40 == 0 && a != b) sync_flap(&w, a, b);
        }
        sync_check(&w);
        sync_close_world(&w);
    }
}

static void survivors_go_on(void **state) {
    (void)state;
    unsigned after = 0;
    for (uint64_t seed = 2000; seed < 2040; seed++) {
        struct sync_world w;
        struct sync_config c = lively(seed);
        sync_open_world(&w, &c);
        unsigned when = ta_rng_below(&w.rng, 500), who = ta_rng_below(&w.rng, c.n_ranks), turn = 0;
        bool over = false;
        for (; turn < when && !over; turn++) over = sync_turn(&w);
        if (!over && w.replica[who].state != SYNC_GONE) sync_kill(&w, who);
        sync_run(&w);
        sync_check(&w);
        after += w.replica[who].killed;
        sync_close_world(&w);
    }
    assert_true(after > 12);
}

/* Against sums in double, statistics too. */
static void updates_are_those_of_a_reference(void **state) {
    (void)state;
    enum { D = 40, STEPS = 20, N = 3 };
    struct sync_world w;
    struct sync_config c = {.seed = 9, .n_ranks = N, .d = D, .steps = {STEPS, STEPS, STEPS}, .ragged = true,
                            .fabric = {.latency_ns = 300, .jitter = 1, .depth = 2}};
    sync_open_world(&w, &c);
    sync_run(&w);
    sync_check(&w);
    assert_int_equal(w.replica[0].updates, STEPS);
    double statistics[D] = {0};
    for (size_t i = 0; i < D; i++) {
        double sum = 0, all = 0;
        for (unsigned u = 0; u < STEPS; u++) {
            sum = 0;
            for (unsigned r = 0; r < N; r++)
                sum += w.replica[r].given[(u + 1) * D + i] - w.replica[r].given[u * D + i];
            double wanted = i < D - D / 4 ? sum : sum / N;
            assert_true(fabs((double)w.replica[1].got[u * D + i] - wanted) < 1e-5 * wanted);
            all += sum;
            statistics[i] = .9 * statistics[i] + .1 * sum / N;
        }
        double weight = (double)w.replica[2].x->w[i], wanted = i < D - D / 4 ? -all : statistics[i];
        assert_true(fabs(weight - wanted) < 1e-5 * fabs(wanted));
    }
    sync_close_world(&w);
}

/* 2 (n - 1) / n * d floats out of each replica a step, the least there is; 16 bytes a message for its words; and what
 * the control says to each peer. Nothing is stale. */
static void traffic_is_that_of_a_ring(void **state) {
    (void)state;
    enum { D = 48000, STEPS = 8, N = 4, CONTROL = 400, CONTROL_BYTES = 400000 };
    struct sync_world w;
    struct sync_config c = {.seed = 4, .n_ranks = N, .d = D, .steps = {STEPS, STEPS, STEPS, STEPS}, .whole = true,
                            .fabric = {.latency_ns = 300, .depth = 2}};
    sync_open_world(&w, &c);
    sync_run(&w);
    for (unsigned r = 0; r < N; r++) {
        uint64_t bytes = 0, puts = 0;
        for (unsigned p = 0; p < N; p++) {
            struct ta_peer_stats stats;
            if (p == r) continue;
            w.replica[r].x->ops->peer_stats(w.replica[r].x, p, &stats);
            bytes += stats.bytes;
            puts += stats.puts;
            assert_int_equal(stats.staleness.max, 0);
            assert_int_equal(stats.steps_applied, STEPS);
        }
        uint64_t body = 2 * (N - 1) * (uint64_t)D / N * sizeof(float) * STEPS;
        assert_true(bytes >= body && bytes < body + puts * CONTROL);
        assert_true(bytes < body + body / 20);
        assert_int_equal(w.replica[r].x->ops->steps_visible(w.replica[r].x), STEPS);
    }
    struct ta_exchange *x = w.replica[0].x;
    assert_true(x->ops->bytes(x) < (size_t)x->n_registers * D * sizeof(float) + CONTROL_BYTES);
    sync_close_world(&w);
}

static void a_sum_that_is_not_finite_is_dropped_by_all(void **state) {
    (void)state;
    struct sync_world w;
    struct sync_config c = {.seed = 6, .n_ranks = 3, .d = 20, .steps = {6, 6, 6},
                            .fabric = {.latency_ns = 300, .depth = 2}};
    sync_open_world(&w, &c);
    w.poison_at = 2;
    sync_run(&w);
    sync_check(&w);
    for (unsigned r = 0; r < 3; r++) {
        assert_int_equal(w.replica[r].refused, 1);
        assert_int_equal(w.replica[r].x->steps, 5);
        assert_int_equal(w.replica[r].x->records, 50);
        assert_true(isfinite(w.replica[r].x->w[10]));
    }
    sync_close_world(&w);
}

static void alone_it_descends(void **state) {
    (void)state;
    struct sync_world w;
    struct sync_config c = {.seed = 7, .n_ranks = 1, .d = 20, .steps = {9}, .fabric = {.depth = 1}};
    sync_open_world(&w, &c);
    sync_run(&w);
    sync_check(&w);
    assert_int_equal(w.replica[0].updates, 9);
    sync_close_world(&w);
}

/* At rest the registers of all sum to the weights, whoever goes on from them. */
static void registers_sum_to_the_weights(void **state) {
    (void)state;
    enum { D = 32, N = 3 };
    struct sync_world w;
    float copy[D];
    struct sync_config c = {.seed = 8, .n_ranks = N, .d = D, .steps = {5, 5, 5},
                            .fabric = {.latency_ns = 300, .depth = 2}};
    sync_open_world(&w, &c);
    w.replica[1].x->ops->request(w.replica[1].x, 2, 1);
    for (bool rests = false; !rests;) {
        assert_false(sync_turn(&w));
        rests = true;
        for (unsigned r = 0; r < N; r++) rests &= w.replica[r].state == SYNC_RESUMING;
    }
    for (size_t i = 0; i < D - D / 4; i++) {
        float own = 0, copies = 0;
        for (unsigned r = 0; r < N; r++) {
            own += w.replica[r].x->delta[i];
            assert_ok(w.replica[0].x->ops->register_copy(w.replica[0].x, r, copy));
            copies += copy[i];
        }
        assert_true(own == w.replica[2].x->w[i] && copies == own);
    }
    assert_fails(TA_INVALID, "register 3 of 3", w.replica[0].x->ops->register_copy(w.replica[0].x, N, copy));
    sync_run(&w);
    sync_check(&w);
    sync_close_world(&w);
}

static void what_makes_no_sense_is_refused(void **state) {
    (void)state;
    const struct ta_exchange_ops *ops;
    struct ta_exchange_spec spec = {.type = (char *)"sync", .max_staleness = (char *)"0", .puts_in_flight = 1};
    assert_ok(ta_exchange_find(&spec, &ops));
    assert_string_equal(ops->name, "sync");
    spec.max_staleness = (char *)"3";
    assert_fails(TA_CONFIG, "max_staleness: 3", ta_exchange_find(&spec, &ops));
    spec = (struct ta_exchange_spec){.type = (char *)"sync", .damping = TA_DAMPING_INVERSE};
    assert_fails(TA_CONFIG, "exchange.damping", ta_exchange_find(&spec, &ops));
    spec = (struct ta_exchange_spec){.type = (char *)"sync", .puts_in_flight = 2};
    assert_fails(TA_CONFIG, "puts_in_flight: 2", ta_exchange_find(&spec, &ops));
    spec = (struct ta_exchange_spec){.type = (char *)"sync", .gradients_per_push = 4};
    assert_fails(TA_CONFIG, "gradients_per_push: 4", ta_exchange_find(&spec, &ops));
    spec = (struct ta_exchange_spec){.type = (char *)"sync", .topology = (char *)"tree"};
    assert_fails(TA_CONFIG, "topology", ta_exchange_find(&spec, &ops));
    spec = (struct ta_exchange_spec){.type = (char *)"sync", .collective = (char *)"mpi"};
    assert_fails(TA_CONFIG, "auto, nccl, ring", ta_exchange_find(&spec, &ops));
    spec = (struct ta_exchange_spec){.type = (char *)"live", .collective = (char *)"nccl"};
    assert_fails(TA_CONFIG, "exchange.collective", ta_exchange_find(&spec, &ops));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_agree_whatever_the_network_does),
        cmocka_unit_test(paths_may_break),
        cmocka_unit_test(survivors_go_on),
        cmocka_unit_test(updates_are_those_of_a_reference),
        cmocka_unit_test(traffic_is_that_of_a_ring),
        cmocka_unit_test(a_sum_that_is_not_finite_is_dropped_by_all),
        cmocka_unit_test(alone_it_descends),
        cmocka_unit_test(registers_sum_to_the_weights),
        cmocka_unit_test(what_makes_no_sense_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
