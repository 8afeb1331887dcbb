/* tree: replicas joined to a tree or to clusters, on a simulated fabric: shapes, every update everywhere once,
 * rests on the same bits, what it costs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "expect.h"
#include "mem.h"
#include "tree_world.h"

enum { MOST_EDGES = 128 };

/* Both ends agree on every edge, and from everybody to everybody leads a way of edges that ends. */
static void check_shape(const struct ta_tree_shape *s) {
    struct ta_tree_edge edges[MOST_EDGES];
    unsigned links = 0;
    for (unsigned r = 0; r < s->n_ranks; r++) {
        unsigned degree = ta_tree_degree(s, r), groups = ta_tree_edges(s, r, edges);
        assert_true(degree <= MOST_EDGES);
        assert_true(degree < s->per_node + s->fan_out + 1);
        links += degree;
        for (unsigned i = 0; i < degree; i++) {
            assert_int_equal(ta_tree_place(s, r, edges[i].rank), i);
            assert_true(ta_tree_place(s, edges[i].rank, r) < ta_tree_degree(s, edges[i].rank));
            assert_int_equal(ta_tree_via(s, r, edges[i].rank), edges[i].rank);
            assert_int_equal(edges[i].parent, ta_tree_parent(s, r) == edges[i].rank);
            assert_int_equal(edges[i].child, ta_tree_parent(s, edges[i].rank) == r);
            assert_true(edges[i].group < groups);
        }
        /* Whoever is not a neighbour is reached in ever fewer steps: the way ends. */
        for (unsigned other = 0; other < s->n_ranks; other++) {
            unsigned at = r, hops = 0;
            for (; at != other && hops <= s->n_ranks; hops++) at = ta_tree_via(s, at, other);
            assert_int_equal(at, other);
            bool near = r != other && ta_tree_place(s, r, other) < degree;
            assert_int_equal(near, hops == 1);
        }
    }
    assert_int_equal(links % 2, 0);
    if (s->per_node == 1) assert_int_equal(links / 2, s->n_ranks - 1); /* a tree */
}

static void test_shapes(void **state) {
    (void)state;
    for (unsigned n = 1; n <= 40; n++)
        for (unsigned k = 1; k <= 5; k++)
            for (unsigned m = 1; m <= 7; m += 2)
                check_shape(&(struct ta_tree_shape){.n_ranks = n, .per_node = m, .fan_out = k});
}

static void open_random(struct tree_world *w, uint64_t seed, unsigned most) {
    struct ta_rng rng = ta_rng_make(seed, 3);
    struct tree_config config = {
        .seed = seed,
        .n_ranks = 1 + ta_rng_below(&rng, most),
        .fan_out = 1 + ta_rng_below(&rng, 5),
        .per_node = ta_rng_below(&rng, 2) * ta_rng_below(&rng, 6),
        .n_params = 16 + ta_rng_below(&rng, 40),
        .in_flight = 1 + ta_rng_below(&rng, 2),
        .statistics = ta_rng_below(&rng, 2) != 0,
        .fabric = {.latency_ns = 300 + ta_rng_below(&rng, 3000),
                   .bytes_per_ns = ta_rng_below(&rng, 2) ? 0.2 : 0,
                   .jitter = ta_rng_uniform(&rng) * 2,
                   .duplicate = ta_rng_below(&rng, 2) ? 0.3 : 0,
                   .depth = 1 + ta_rng_below(&rng, 3)}};
    tree_world_open(w, &config);
}

/* Rests until whoever stands in it may go on, and what was made meanwhile arrives. */
static void rest(struct tree_world *w, uint32_t round) {
    if (!tree_world_settle(w, round, 20000)) tree_fail(w, "round %u does not settle", round);
    tree_world_check_rest(w);
    if (!tree_world_resume(w, round, 20000)) tree_fail(w, "round %u does not resume", round);
}

static void test_lives(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct tree_world w;
        open_random(&w, seed, 24);
        for (uint32_t round = 1; round <= 3; round++) {
            tree_world_play(&w, 40, 0.3, 400);
            if (round == 2) tree_world_play(&w, 40, 0, 400);
            rest(&w, round);
        }
        tree_world_play(&w, 10, 0.5, 400);
        rest(&w, TA_ROUND_FINAL);
        tree_world_close(&w);
    }
}

/* Without a rest: what was made has flowed everywhere, once. */
static void test_flows_without_a_rest(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct tree_world w;
        open_random(&w, seed, 12);
        tree_world_play(&w, 60, 0.3, 400);
        if (seed % 2 == 0) {
            rest(&w, 1);
            tree_world_play(&w, 60, 0.3, 400);
        }
        tree_world_play(&w, 3000, 0, 400);
        for (unsigned r = 0; r < w.config.n_ranks; r++)
            for (size_t i = 0; i < w.model.segments[0].count; i++) {
                const float *weights = lazy_gpu_at(w.replica[r].x->w);
                double is = (double)weights[i], should = (double)w.w0[i] + (double)w.truth[i];
                if (is != should) tree_fail(&w, "rank %u: w[%zu] is %g, all updates make %g", r, i, is, should);
            }
        tree_world_close(&w);
    }
}

static void test_paths_break(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct tree_world w;
        open_random(&w, seed, 10);
        for (uint32_t round = 1; round <= 4; round++) {
            for (unsigned i = 0; i < 4 && w.config.n_ranks > 1; i++) {
                tree_world_play(&w, ta_rng_below(&w.rng, 12), 0.3, 400);
                unsigned a = 1 + ta_rng_below(&w.rng, w.config.n_ranks - 1);
                tree_world_break(&w, a, ta_tree_parent(&ta_tree_of(w.replica[a].x)->shape, a));
            }
            /* In the middle of a rest too. */
            for (unsigned i = 0; i < 20 && w.config.n_ranks > 1; i++) {
                if (tree_world_settle(&w, round, 8 + ta_rng_below(&w.rng, 8))) break;
                unsigned a = 1 + ta_rng_below(&w.rng, w.config.n_ranks - 1);
                tree_world_break(&w, a, ta_tree_parent(&ta_tree_of(w.replica[a].x)->shape, a));
            }
            rest(&w, round);
        }
        tree_world_close(&w);
    }
}

/* A stop overtakes a checkpoint: nobody is left behind in the round before. */
static void test_rounds_overtake(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct tree_world w;
        open_random(&w, seed, 10);
        tree_world_play(&w, 30, 0.3, 400);
        (void)tree_world_settle(&w, 2, 1 + ta_rng_below(&w.rng, 60));
        rest(&w, 5);
        tree_world_play(&w, 30, 0.3, 400);
        rest(&w, 6);
        tree_world_close(&w);
    }
}

static void test_notes_and_requests_reach_all(void **state) {
    (void)state;
    struct tree_world w;
    struct tree_config config = {.seed = 5, .n_ranks = 20, .fan_out = 2, .n_params = 16, .fabric = {.latency_ns = 500}};
    tree_world_open(&w, &config);
    for (unsigned r = 0; r < 20; r++) ta_exchange_tree.note(w.replica[r].x, 100 + r);
    ta_exchange_tree.request(w.replica[19].x, 4, 2);
    ta_exchange_tree.gauge(w.replica[0].x, 77);
    tree_world_play(&w, 200, 0.1, 400);
    for (unsigned r = 0; r < 20; r++) {
        uint32_t reason;
        assert_int_equal(ta_exchange_tree.requested(w.replica[r].x, &reason), 4);
        assert_int_equal(reason, 2);
        for (unsigned p = 0; p < 20; p++)
            if (p != r) assert_int_equal(ta_exchange_tree.peer_note(w.replica[r].x, p), 100 + p);
    }
    assert_int_equal(ta_exchange_tree.peer_gauge(w.replica[1].x, 0), 77);
    assert_int_equal(ta_exchange_tree.peer_gauge(w.replica[19].x, 0), 0);
    tree_world_close(&w);
}

/* What tree.h says of memory and traffic, of a large model, whatever the number of replicas. */
static void test_cost(void **state) {
    (void)state;
    for (unsigned n = 7; n <= 127; n = 2 * n + 1) {
        struct tree_world w;
        enum { D = 4096 };
        struct tree_config config = {.seed = n, .n_ranks = n, .fan_out = 2, .n_params = D,
                                     .fabric = {.latency_ns = 100}};
        tree_world_open(&w, &config);
        tree_world_play(&w, 3, 0, 2000);
        for (unsigned r = 0; r < n; r++) {
            struct ta_exchange *x = w.replica[r].x;
            unsigned neighbours = (r > 0) + (2 * r + 1 < n) + (2 * r + 2 < n);
            unsigned slots = neighbours + 2 < n - 1 ? neighbours + 2 : n - 1;
            assert_int_equal(x->n_registers, slots + 4 + (neighbours > 1 ? neighbours : 0));
            assert_true(x->n_registers <= 3 * 2 + 6);
            size_t arenas = (x->n_registers - 1) * D * sizeof(float), held = ta_exchange_tree.bytes(x);
            assert_in_range(held, arenas, arenas + sizeof(struct ta_tree) +
                                              slots * sizeof(struct ta_tree_neighbour) + 32768 + n * 384);
        }
        tree_world_step(&w, n - 1); /* one step of a leaf: a body over every edge of the tree, once */
        tree_world_play(&w, 200, 0, 2000);
        uint64_t bytes = 0, puts = 0;
        for (unsigned r = 0; r < n; r++)
            for (unsigned p = 0; p < n; p++) {
                struct ta_peer_stats stats;
                ta_exchange_tree.peer_stats(w.replica[r].x, p, &stats);
                bytes += stats.bytes - stats.puts * TA_TREE_HEADER_BYTES;
                puts += stats.puts;
            }
        uint64_t notes = 2 * (n - 1) * (uint64_t)n * 8; /* once, when they were joined */
        assert_int_equal(bytes, (n - 1) * (uint64_t)D * sizeof(float) + notes);
        assert_true(puts < 8 * n);
        tree_world_close(&w);
    }
}

static ta_status remember_scale(void *owner, const float *grad, const float *w, float scale, float *delta) {
    (void)grad, (void)w, (void)delta;
    *(float *)owner = scale;
    return TA_OK;
}

/* By all that is missing, of whomever: three steps of a grandchild. */
static void test_damping(void **state) {
    (void)state;
    struct tree_world w;
    float scale = 0, grad[16] = {0};
    struct tree_config config = {.seed = 4, .n_ranks = 4, .fan_out = 1, .n_params = 16, .damping = TA_DAMPING_INVERSE,
                                 .updater = {remember_scale, &scale}, .fabric = {.latency_ns = 100}};
    tree_world_open(&w, &config);
    tree_world_play(&w, 20, 0, 400);
    for (unsigned i = 0; i < 3; i++) {
        tree_world_step(&w, 2);
        w.now_ns += 400;
        for (unsigned r = 1; r < 4; r++) tree_world_poll(&w, r);
    }
    for (unsigned i = 0; i < 20; i++) {
        w.now_ns += 400;
        for (unsigned r = 1; r < 4; r++) tree_world_poll(&w, r);
    }
    tree_must(&w, ta_exchange_tree.step(w.replica[0].x, grad, 1, w.now_ns));
    assert_float_equal(scale, 1.0F / (1 + 3), 1e-6);
    assert_int_equal(w.replica[0].x->staleness->count, 1);
    assert_int_equal(w.replica[0].x->staleness->max, 3);
    tree_world_poll(&w, 0);
    tree_must(&w, ta_exchange_tree.step(w.replica[0].x, grad, 1, w.now_ns));
    assert_float_equal(scale, 1, 1e-6);
    tree_world_close(&w);
}

static void test_thousand(void **state) {
    (void)state;
    struct tree_world w;
    struct tree_config config = {.seed = 1, .n_ranks = 1024, .fan_out = 4, .n_params = 16, .statistics = true,
                                 .fabric = {.latency_ns = 1000, .jitter = 0.5}};
    tree_world_open(&w, &config);
    tree_world_play(&w, 10, 0.5, 2000);
    if (!tree_world_settle(&w, 1, 2000)) tree_fail(&w, "1,024 replicas do not settle");
    tree_world_check_rest(&w);
    tree_world_close(&w);
}

static void test_goes_on_from_any_checkpoint(void **state) {
    (void)state;
    enum { N = 5, D = 16 };
    float w0[D], deltas[N][D];
    const float *list[N];
    uint64_t steps[N];
    for (unsigned r = 0; r < N; r++) {
        list[r] = deltas[r];
        steps[r] = 10 + r;
        for (unsigned i = 0; i < D; i++) deltas[r][i] = i < 12 ? (float)(r + i) : (float)i;
    }
    for (unsigned i = 0; i < D; i++) w0[i] = (float)i;
    struct ta_exchange_start start = {.w0 = w0, .deltas = list, .peer_steps = steps};
    struct tree_world w;
    struct tree_config config = {.seed = 2, .n_ranks = N, .fan_out = 2, .n_params = D, .statistics = true,
                                 .start = &start, .fabric = {.latency_ns = 100}};
    tree_world_open(&w, &config);
    for (unsigned r = 0; r < N; r++)
        for (unsigned i = 0; i < D; i++) {
            float should = i < 12 ? (float)i + (float)(N * i + 10) : (float)i;
            assert_float_equal(((float *)lazy_gpu_at(w.replica[r].x->w))[i], should, 1e-5);
            assert_float_equal(((float *)lazy_gpu_at(w.replica[r].x->delta))[i], i < 12 ? 0 : (float)i, 1e-5);
        }
    tree_world_close(&w);
}

static ta_status refused(struct ta_exchange_spec spec, unsigned spares, enum ta_segment_kind kind) {
    struct ta_model model = {.n_params = 16, .n_segments = 1, .segments = {{.kind = kind, .count = 16}}};
    struct ta_exchange_config config = {.spec = &spec, .model = &model, .n_ranks = 3, .spares = spares};
    struct ta_exchange *x;
    return ta_exchange_tree.open(&config, NULL, &x);
}

static void test_refusals(void **state) {
    (void)state;
    assert_int_equal(refused((struct ta_exchange_spec){0}, 1, TA_SEGMENT_SUM), TA_CONFIG);
    assert_int_equal(refused((struct ta_exchange_spec){0}, 0, TA_SEGMENT_ROWS), TA_CONFIG);
    assert_int_equal(refused((struct ta_exchange_spec){.max_staleness = (char *)"3"}, 0, TA_SEGMENT_SUM), TA_CONFIG);
    struct ta_exchange_spec compensated = {.damping = TA_DAMPING_COMPENSATED};
    assert_int_equal(refused(compensated, 0, TA_SEGMENT_SUM), TA_CONFIG);
    assert_int_equal(refused((struct ta_exchange_spec){.dead_after_s = 0.1}, 0, TA_SEGMENT_SUM), TA_CONFIG);
    assert_int_equal(refused((struct ta_exchange_spec){.puts_in_flight = 100}, 0, TA_SEGMENT_SUM), TA_CONFIG);
}

/* With "far": what moves bodies, on lazy GPUs. */
int main(int argc, char **argv) {
    tree_world_far = argc > 1 && strcmp(argv[1], "far") == 0;
    const struct CMUnitTest far[] = {
        cmocka_unit_test(test_lives), cmocka_unit_test(test_flows_without_a_rest), cmocka_unit_test(test_paths_break),
        cmocka_unit_test(test_rounds_overtake), cmocka_unit_test(test_goes_on_from_any_checkpoint),
    };
    if (tree_world_far) return cmocka_run_group_tests(far, NULL, NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_lives),
        cmocka_unit_test(test_flows_without_a_rest),
        cmocka_unit_test(test_paths_break),
        cmocka_unit_test(test_rounds_overtake),
        cmocka_unit_test(test_notes_and_requests_reach_all),
        cmocka_unit_test(test_cost),
        cmocka_unit_test(test_damping),
        cmocka_unit_test(test_thousand),
        cmocka_unit_test(test_goes_on_from_any_checkpoint),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
