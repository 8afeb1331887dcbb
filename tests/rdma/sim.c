/* The simulated fabric: repeatable from a seed, torn on purpose, cut, healed, full and killed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mem.h"
#include "sim.h"
#include "transport.h"

enum { MAX_RANKS = 8, WINDOW = 4096, WORDS = 200 };

static const struct ta_transport_ops *const ops = &ta_transport_sim;

struct world {
    struct ta_sim_fabric *fabric;
    unsigned n;
    struct ta_transport *t[MAX_RANKS];
    struct ta_window window[MAX_RANKS];
    int64_t now_ns;
};

static void join(struct world *w, unsigned rank) {
    struct ta_transport_config config = {.rank = rank, .n_ranks = w->n, .run_id = 9, .fabric = w->fabric};
    assert_int_equal(ops->open(&config, &w->t[rank]), TA_OK);
    assert_int_equal(ops->window_create(w->t[rank], WINDOW, &w->window[rank]), TA_OK);
}

static void meet(struct world *w, unsigned from, unsigned to) {
    struct ta_key key;
    assert_int_equal(ops->key_make(w->t[to], from, &key), TA_OK);
    assert_int_equal(ops->connect(w->t[from], to, &key), TA_OK);
}

static void world_open(struct world *w, const struct ta_sim_config *config) {
    *w = (struct world){.n = config->n_ranks};
    assert_int_equal(ta_sim_create(config, &w->fabric), TA_OK);
    for (unsigned i = 0; i < w->n; i++) join(w, i);
    for (unsigned i = 0; i < w->n; i++)
        for (unsigned j = 0; j < w->n; j++)
            if (i != j) meet(w, i, j);
}

static void world_close(struct world *w) {
    for (unsigned i = 0; i < w->n; i++) ops->close(w->t[i]);
    ta_sim_destroy(w->fabric);
}

/* To the next delivery. False: nothing is under way. */
static bool step(struct world *w) {
    int64_t next = ta_sim_next_ns(w->fabric);
    if (next == INT64_MAX) return false;
    assert_true(next >= w->now_ns);
    w->now_ns = next;
    for (unsigned i = 0; i < w->n; i++)
        if (w->t[i] != NULL) ops->progress(w->t[i], w->now_ns);
    return true;
}

static uint64_t mix(uint64_t hash, const void *data, size_t bytes) {
    for (const uint64_t *at = data; bytes >= sizeof *at; bytes -= sizeof *at) {
        hash = (hash ^ *at++) * 0x9e3779b97f4a7c15;
        hash ^= hash >> 29;
    }
    return hash;
}

struct outcome {
    uint64_t history; /* hash of all windows after every delivery */
    unsigned torn;    /* deliveries after which a body held two versions at once */
    unsigned deliveries;
};

/* Everyone puts its live, changing state to everyone, for a while. */
static struct outcome storm(const struct ta_sim_config *config) {
    static uint32_t live[MAX_RANKS][WORDS];
    struct world w;
    struct outcome o = {.history = 0xcbf29ce484222325};
    world_open(&w, config);
    memset(live, 0, sizeof live);
    for (uint32_t version = 1; version <= 40; version++) {
        for (unsigned i = 0; i < w.n; i++) {
            for (unsigned k = 0; k < WORDS; k++) live[i][k] = version;
            for (unsigned j = 0; j < w.n; j++) {
                struct ta_put_segment body = {live[i], sizeof live[i], i * sizeof live[i]};
                if (i != j) (void)ops->put(w.t[i], j, &body, 1); /* BUSY: the next one carries more */
            }
        }
        for (int n = 0; n < 30 && step(&w); n++, o.deliveries++)
            for (unsigned j = 0; j < w.n; j++) {
                o.history = mix(o.history, w.window[j].base, w.n * sizeof live[0]);
                const uint32_t *seen = w.window[j].base;
                for (unsigned k = 1; k < WORDS; k++)
                    if (seen[((j + 1) % w.n) * WORDS + k] != seen[((j + 1) % w.n) * WORDS]) {
                        o.torn++;
                        break;
                    }
            }
    }
    world_close(&w);
    return o;
}

static void same_seed_same_bits(void **state) {
    (void)state;
    struct ta_sim_config config = {.n_ranks = 4, .latency_ns = 1000, .bytes_per_ns = 4, .jitter = 1, .duplicate = 0.2};
    uint64_t histories[8];
    for (uint64_t seed = 0; seed < 8; seed++) {
        config.seed = seed;
        struct outcome first = storm(&config), second = storm(&config);
        assert_true(first.history == second.history);
        assert_true(first.torn > 50); /* bodies are seen half old, half new: that is what it is for */
        histories[seed] = first.history;
        for (uint64_t other = 0; other < seed; other++) assert_true(histories[other] != histories[seed]);
    }
}

static void a_live_source_is_read_when_it_travels(void **state) {
    (void)state;
    struct world w;
    struct ta_sim_config config = {.n_ranks = 2, .seed = 5, .latency_ns = 10000};
    uint32_t live[WORDS] = {0};
    world_open(&w, &config);
    for (unsigned k = 0; k < WORDS; k++) live[k] = 1;
    struct ta_put_segment body = {live, sizeof live, 0};
    assert_int_equal(ops->put(w.t[0], 1, &body, 1), TA_OK);
    for (int n = 0; n < 20; n++) step(&w);
    for (unsigned k = 0; k < WORDS; k++) live[k] = 2;
    while (step(&w)) continue;
    unsigned ones = 0, twos = 0;
    for (unsigned k = 0; k < WORDS; k++) {
        uint32_t seen = ((uint32_t *)w.window[1].base)[k];
        ones += seen == 1;
        twos += seen == 2;
    }
    assert_true(ones > 0 && twos > 0 && ones + twos == WORDS);
    assert_int_equal(w.now_ns, 10000); /* no limit, no jitter: delivered after exactly one latency */
    world_close(&w);
}

enum { ROW_WORDS = 20, ROWS = 45, LATENCY_NS = 100000000 };

/* The rows of a put are read when they travel, by words, so that old and new ones mix in a row; what is not
 * listed does not travel. With `repeats` they travel, and are read, a second time. */
static void rows_travel(uint64_t seed, bool repeats, unsigned *mixed_rows) {
    struct world w;
    struct ta_sim_config config = {.n_ranks = 2, .seed = seed, .latency_ns = LATENCY_NS, .duplicate = repeats};
    uint32_t live[ROWS * ROW_WORDS], list[ROWS / 2];
    world_open(&w, &config);
    for (unsigned i = 0; i < ROWS / 2; i++) list[i] = (i * 7 + 3) % (ROWS / 2) * 2; /* even ones, out of order */
    for (unsigned k = 0; k < ROWS * ROW_WORDS; k++) live[k] = 1;
    struct ta_put_segment rows = {live, 4 * ROW_WORDS, 0, list, ROWS / 2};
    assert_int_equal(ops->put(w.t[0], 1, &rows, 1), TA_OK);
    for (int n = 0; n < 20; n++) step(&w);
    for (unsigned k = 0; k < ROWS * ROW_WORDS; k++) live[k] = 2;
    bool travels = true;
    while (travels && w.now_ns < LATENCY_NS) travels = step(&w);
    assert_int_equal(w.now_ns, LATENCY_NS);
    assert_int_equal(ops->in_flight(w.t[0], 1), repeats);
    const uint32_t *seen = w.window[1].base;
    unsigned ones = 0, twos = 0;
    for (unsigned r = 0; r < ROWS; r++) {
        unsigned before = ones, listed = r % 2 == 0 && r < ROWS / 2 * 2;
        for (unsigned k = 0; k < ROW_WORDS; k++) {
            uint32_t word = seen[r * ROW_WORDS + k];
            ones += word == 1;
            twos += word == 2;
            if (!listed) assert_int_equal(word, 0);
        }
        *mixed_rows += ones > before && ones < before + ROW_WORDS;
    }
    assert_true(ones > 0 && twos > 0 && ones + twos == ROWS / 2 * ROW_WORDS);
    for (unsigned k = 0; k < ROWS * ROW_WORDS; k++) live[k] = 3;
    while (step(&w)) continue;
    assert_int_equal(ops->in_flight(w.t[0], 1), 0);
    assert_true((w.now_ns > LATENCY_NS) == repeats);
    for (unsigned i = 0; i < ROWS / 2 * ROW_WORDS && repeats; i++)
        assert_int_equal(seen[list[i / ROW_WORDS] * ROW_WORDS + i % ROW_WORDS], 3);
    world_close(&w);
}

static void rows_are_read_when_they_travel(void **state) {
    (void)state;
    unsigned mixed_rows = 0;
    for (uint64_t seed = 0; seed < 40; seed++) rows_travel(seed, seed % 2, &mixed_rows);
    assert_true(mixed_rows > 40); /* rows are torn too, not only tables */
}

static void a_full_queue_is_busy(void **state) {
    (void)state;
    struct world w;
    struct ta_sim_config config = {.n_ranks = 3, .seed = 6, .latency_ns = 1000, .depth = 3};
    uint64_t source = 1;
    struct ta_put_segment s = {&source, sizeof source, 0};
    world_open(&w, &config);
    for (unsigned i = 0; i < 3; i++) assert_int_equal(ops->put(w.t[0], 1, &s, 1), TA_OK);
    assert_int_equal(ops->in_flight(w.t[0], 1), 3);
    assert_int_equal(ops->put(w.t[0], 1, &s, 1), TA_BUSY);
    assert_int_equal(ops->in_flight(w.t[0], 1), 3);
    assert_int_equal(ops->put(w.t[0], 2, &s, 1), TA_OK); /* another peer has its own room */
    assert_int_equal(ops->put(w.t[1], 0, &s, 1), TA_OK);
    while (step(&w)) continue;
    assert_int_equal(ops->in_flight(w.t[0], 1), 0);
    assert_int_equal(ops->put(w.t[0], 1, &s, 1), TA_OK);
    world_close(&w);
}

static void a_nic_sends_one_after_the_other(void **state) {
    (void)state;
    struct world w;
    struct ta_sim_config config = {.n_ranks = 3, .seed = 7, .latency_ns = 100, .bytes_per_ns = 1, .depth = 8};
    static char source[2000];
    struct ta_put_segment s = {source, sizeof source, 0};
    world_open(&w, &config);
    for (unsigned i = 0; i < 6; i++) assert_int_equal(ops->put(w.t[0], 1 + i % 2, &s, 1), TA_OK);
    while (step(&w)) continue;
    assert_int_equal(w.now_ns, 6 * 2000 + 100);
    /* A row counts as often as it is listed; the list itself costs nothing. */
    struct ta_put_segment rows[2] = {{source, 40, 0, (const uint32_t[]){7, 3, 3, 40, 0}, 5}, s};
    int64_t begin_ns = w.now_ns;
    for (unsigned i = 0; i < 4; i++) assert_int_equal(ops->put(w.t[0], 1 + i % 2, rows, 2), TA_OK);
    while (step(&w)) continue;
    assert_int_equal(w.now_ns - begin_ns, 4 * (2000 + 5 * 40) + 100);
    world_close(&w);
}

static void a_cut_path_waits_and_heals(void **state) {
    (void)state;
    struct world w;
    struct ta_sim_config config = {.n_ranks = 2, .seed = 8, .latency_ns = 1000, .depth = 2};
    uint32_t source[WORDS];
    memset(source, 0xab, sizeof source);
    struct ta_put_segment s = {source, sizeof source, 0};
    world_open(&w, &config);
    assert_int_equal(ops->put(w.t[0], 1, &s, 1), TA_OK);
    for (int n = 0; n < 10; n++) step(&w);
    ta_sim_cut(w.fabric, 0, 1, 1);
    ta_sim_cut(w.fabric, 0, 1, 1);
    ta_sim_cut(w.fabric, 99, 1, 1);
    assert_true(ta_sim_next_ns(w.fabric) == INT64_MAX);
    assert_int_equal(ops->progress(w.t[0], 1000000), TA_OK);
    assert_int_equal(ops->in_flight(w.t[0], 1), 1);
    assert_int_equal(ops->put(w.t[0], 1, &s, 1), TA_OK);
    assert_true(ta_sim_next_ns(w.fabric) == INT64_MAX);
    assert_int_equal(ops->peer_state(w.t[0], 1), TA_PEER_UP);
    assert_int_equal(ops->put(w.t[1], 0, &s, 1), TA_OK); /* the way back is open */
    w.now_ns = 1000000;
    while (step(&w)) continue;
    assert_memory_equal(w.window[0].base, source, sizeof source);
    assert_memory_not_equal(w.window[1].base, source, sizeof source);
    ta_sim_cut(w.fabric, 0, 1, 0);
    while (step(&w)) continue;
    assert_memory_equal(w.window[1].base, source, sizeof source);
    assert_int_equal(ops->in_flight(w.t[0], 1), 0);
    world_close(&w);
}

static void a_killed_rank_stops_where_it_is(void **state) {
    (void)state;
    unsigned partial = 0;
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct world w;
        struct ta_sim_config config = {.n_ranks = 3, .seed = seed, .latency_ns = 1000};
        uint32_t source[WORDS];
        memset(source, 0xcd, sizeof source);
        struct ta_put_segment s = {source, sizeof source, 0};
        world_open(&w, &config);
        assert_int_equal(ops->put(w.t[0], 1, &s, 1), TA_OK);
        for (int n = 0; n < 10; n++) step(&w);
        int64_t death_ns = w.now_ns + 1;
        ta_sim_kill(w.fabric, 0, death_ns, 5000);
        ta_sim_kill(w.fabric, 0, death_ns, 5000);
        assert_true(ta_sim_next_ns(w.fabric) == INT64_MAX);
        unsigned arrived = 0;
        for (unsigned k = 0; k < WORDS; k++) arrived += ((uint32_t *)w.window[1].base)[k] != 0;
        partial += arrived > 0 && arrived < WORDS;
        assert_int_equal(ops->put(w.t[0], 1, &s, 1), TA_PEER);
        assert_int_equal(ops->progress(w.t[0], death_ns), TA_PEER);
        /* Until it is detected a put to it is taken and vanishes. */
        assert_int_equal(ops->put(w.t[1], 0, &s, 1), TA_OK);
        assert_int_equal(ops->progress(w.t[1], death_ns + 4999), TA_OK);
        assert_int_equal(ops->peer_state(w.t[1], 0), TA_PEER_UP);
        assert_int_equal(((uint32_t *)w.window[0].base)[0], 0);
        assert_int_equal(ops->progress(w.t[1], death_ns + 5000), TA_PEER);
        assert_int_equal(ops->progress(w.t[1], death_ns + 5000), TA_OK);
        assert_int_equal(ops->peer_state(w.t[1], 0), TA_PEER_DOWN);
        assert_int_equal(ops->peer_state(w.t[2], 0), TA_PEER_DOWN);
        assert_int_equal(ops->progress(w.t[2], death_ns + 5000), TA_PEER);
        assert_int_equal(ops->put(w.t[1], 0, &s, 1), TA_PEER);
        assert_int_equal(ops->put(w.t[1], 2, &s, 1), TA_OK);
        world_close(&w);
    }
    assert_true(partial > 45);
}

static void a_dead_rank_may_live_again(void **state) {
    (void)state;
    struct world w;
    struct ta_sim_config config = {.n_ranks = 2, .seed = 8, .latency_ns = 1000};
    uint64_t source[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    struct ta_put_segment s = {source, sizeof source, 0};
    struct ta_key old;
    world_open(&w, &config);
    assert_int_equal(ops->key_make(w.t[0], 1, &old), TA_OK);
    assert_int_equal(ops->put(w.t[1], 0, &s, 1), TA_OK);
    ta_sim_kill(w.fabric, 0, 10, INT64_MAX);
    ops->close(w.t[0]);
    join(&w, 0);
    while (step(&w)) continue; /* what was under way to the former life does not reach this one */
    for (unsigned i = 0; i < 8; i++) assert_int_equal(((uint64_t *)w.window[0].base)[i], 0);
    assert_int_equal(ops->peer_state(w.t[1], 0), TA_PEER_DOWN);
    ops->disconnect(w.t[1], 0);
    assert_int_equal(ops->connect(w.t[1], 0, &old), TA_PEER);
    meet(&w, 0, 1);
    meet(&w, 1, 0);
    assert_int_equal(ops->put(w.t[1], 0, &s, 1), TA_OK);
    while (step(&w)) continue;
    assert_memory_equal(w.window[0].base, source, sizeof source);
    world_close(&w);
}

static void wrong_fabrics_are_refused(void **state) {
    (void)state;
    struct ta_sim_fabric *f;
    struct ta_transport *t;
    const struct ta_sim_config wrong[] = {{.n_ranks = 0},
                                          {.n_ranks = 2, .latency_ns = -1},
                                          {.n_ranks = 2, .jitter = -0.5},
                                          {.n_ranks = 2, .bytes_per_ns = -1},
                                          {.n_ranks = 2, .duplicate = 1.5}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(ta_sim_create(&wrong[i], &f), TA_CONFIG);
        assert_null(f);
    }
    struct ta_sim_config config = {.n_ranks = 2};
    for (unsigned n = 1; n < 6; n++) { /* the n-th allocation fails */
        ta_mem_fail_nth(n);
        assert_int_equal(ta_sim_create(&config, &f), TA_NO_MEMORY);
    }
    ta_mem_fail_nth(0);
    assert_int_equal(ta_mem_held_bytes(), 0);
    struct ta_transport_config one = {.n_ranks = 2, .run_id = 1}, wrong_size = {.n_ranks = 3, .run_id = 1};
    struct ta_transport *twice;
    assert_int_equal(ops->open(&one, &t), TA_CONFIG); /* no fabric */
    assert_int_equal(ta_sim_create(&config, &f), TA_OK);
    one.fabric = wrong_size.fabric = f;
    assert_int_equal(ops->open(&wrong_size, &t), TA_CONFIG);
    assert_int_equal(ops->open(&one, &t), TA_OK);
    assert_int_equal(ops->open(&one, &twice), TA_CONFIG);
    ops->close(t);
    ta_sim_destroy(f);
    assert_int_equal(ta_mem_held_bytes(), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_seed_same_bits),        cmocka_unit_test(a_live_source_is_read_when_it_travels),
        cmocka_unit_test(a_full_queue_is_busy),       cmocka_unit_test(a_nic_sends_one_after_the_other),
        cmocka_unit_test(a_cut_path_waits_and_heals), cmocka_unit_test(a_killed_rank_stops_where_it_is),
        cmocka_unit_test(a_dead_rank_may_live_again), cmocka_unit_test(wrong_fabrics_are_refused),
        cmocka_unit_test(rows_are_read_when_they_travel),
    };
    return cmocka_run_group_tests_name("sim", tests, NULL, NULL);
}
