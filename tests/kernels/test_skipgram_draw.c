/* The choices of word models: negatives, sub-sampling, windows, the pool, each against its distribution. */
#include <math.h>

#include "expect.h"
#include "rng.h"
#include "skipgram_draw.h"
#include "skipgram_loops.h"
#include "skipgram_pool.h"

enum { ROWS = 500 };

/* Counts as in a text (row r: about 1 / r), some of them 0. */
static void make_odds(struct ta_odds *odds, double sample, uint64_t *counts) {
    assert_ok(ta_odds_make(ROWS, odds));
    for (uint32_t r = 0; r < ROWS; r++) counts[r] = r % 7 == 3 ? 0 : 1 + 1000000 / (r + 1);
    assert_ok(ta_odds_set(odds, sample, counts));
}

/* How far `seen` draws are from probabilities p, in standard deviations of chi-square. */
static double chi_square(uint32_t n, const double *p, const uint32_t *seen, double draws) {
    double sum = 0, freedom = -1;
    for (uint32_t i = 0; i < n; i++) {
        if (p[i] == 0) {
            assert_int_equal(seen[i], 0);
            continue;
        }
        sum += (seen[i] - draws * p[i]) * (seen[i] - draws * p[i]) / (draws * p[i]);
        freedom++;
    }
    return (sum - freedom) / sqrt(2 * freedom);
}

static void powers(const uint64_t *counts, double *p) {
    double sum = 0;
    for (uint32_t r = 0; r < ROWS; r++) sum += p[r] = pow((double)counts[r], .75);
    for (uint32_t r = 0; r < ROWS; r++) p[r] /= sum;
}

/* What the table says, added up, and what is drawn from it. */
static void test_negatives(void **state) {
    (void)state;
    enum { DRAWS = 1000000 };
    uint64_t counts[ROWS];
    double p[ROWS], table[ROWS] = {0};
    uint32_t seen[ROWS] = {0};
    struct ta_odds odds;
    make_odds(&odds, 0, counts);
    powers(counts, p);
    for (uint32_t r = 0; r < ROWS; r++) {
        double share = odds.alias[r].share * 0x1p-32;
        table[r] += share / ROWS;
        table[odds.alias[r].other] += (1 - share) / ROWS;
    }
    for (uint32_t r = 0; r < ROWS; r++) assert_true(fabs(table[r] - p[r]) < 1e-9);
    struct ta_draw draw = ta_draw_start(1, 2, ta_draw_negatives);
    for (int i = 0; i < DRAWS; i++) seen[ta_odds_negative(&odds, &draw)]++;
    assert_true(fabs(chi_square(ROWS, p, seen, DRAWS)) < 4);
    ta_odds_free(&odds);
}

/* Whatever the counts, what is drawn was seen. */
static void test_only_seen_are_drawn(void **state) {
    (void)state;
    struct ta_rng rng = ta_rng_make(3, 3);
    for (int trial = 0; trial < 300; trial++) {
        uint32_t rows = 1 + ta_rng_below(&rng, 40);
        uint64_t counts[40] = {0};
        struct ta_odds odds;
        for (uint32_t r = 0; r < rows; r++) counts[r] = ta_rng_below(&rng, 3) == 0 ? 1 + ta_rng_u32(&rng) % 9 : 0;
        counts[ta_rng_below(&rng, rows)] = trial % 2 == 0 ? 1 : UINT64_MAX / 2;
        assert_ok(ta_odds_make(rows, &odds));
        assert_ok(ta_odds_set(&odds, 1e-3, counts));
        struct ta_draw draw = ta_draw_start(trial, 0, 0);
        for (int i = 0; i < 1000; i++) assert_true(counts[ta_odds_negative(&odds, &draw)] > 0);
        ta_odds_free(&odds);
    }
}

static void test_subsampling(void **state) {
    (void)state;
    enum { N = 200000 };
    uint64_t counts[ROWS];
    struct ta_odds odds;
    make_odds(&odds, 1e-3, counts);
    double total = 0;
    for (uint32_t r = 0; r < ROWS; r++) total += (double)counts[r];
    int32_t *words;
    uint32_t *kept;
    assert_ok(TA_NEW(&words, N, "text"));
    assert_ok(TA_NEW(&kept, N, "text"));
    struct ta_draw draw = ta_draw_start(4, 4, 4);
    for (uint32_t r = 0; r < ROWS; r += 3) {
        double t = counts[r] == 0 ? 1 : 1e-3 * total / (double)counts[r], p = fmin(1, sqrt(t) + t);
        for (uint32_t i = 0; i < N; i++) words[i] = i % 2 == 0 ? (int32_t)r : -1;
        uint32_t n = ta_odds_keep(&odds, &draw, N, words, kept);
        assert_true(fabs(n - p * (N / 2.)) <= 4.5 * sqrt(N / 2. * p * (1 - p)));
        for (uint32_t i = 0; i < n; i++) assert_int_equal(kept[i], r);
    }
    /* In order, and without sub-sampling all of them. */
    assert_ok(ta_odds_set(&odds, 0, counts));
    for (uint32_t i = 0; i < N; i++) words[i] = (int32_t)(i % ROWS);
    assert_int_equal(ta_odds_keep(&odds, &draw, N, words, kept), N);
    for (uint32_t i = 0; i < N; i++) assert_int_equal(kept[i], i % ROWS);
    ta_mem_free(words);
    ta_mem_free(kept);
    ta_odds_free(&odds);
}

static void test_reach(void **state) {
    (void)state;
    enum { WINDOW = 7, DRAWS = 70000 };
    uint32_t seen[WINDOW] = {0};
    double p[WINDOW];
    struct ta_draw draw = ta_draw_start(5, 5, 5);
    for (int i = 0; i < WINDOW; i++) p[i] = 1. / WINDOW;
    for (int i = 0; i < DRAWS; i++) {
        uint32_t reach = ta_draw_reach(&draw, WINDOW);
        assert_in_range(reach, 1, WINDOW);
        seen[reach - 1]++;
    }
    assert_true(fabs(chi_square(WINDOW, p, seen, DRAWS)) < 4);
}

/* Generators of different seeds, batches and purposes have nothing in common. */
static void test_streams(void **state) {
    (void)state;
    enum { N = 4096 };
    uint64_t x[8];
    for (uint64_t i = 0; i < 8; i++) {
        struct ta_draw draw = ta_draw_start(i & 1, i >> 1 & 1, i >> 2);
        x[i] = ta_draw_u64(&draw);
        for (uint64_t k = 0; k < i; k++) assert_true(x[k] != x[i]);
    }
    double agree = 0;
    struct ta_draw a = ta_draw_start(0, 0, 0), b = ta_draw_start(0, 0, 1);
    for (int i = 0; i < N; i++) agree += __builtin_popcountll(ta_draw_u64(&a) ^ ta_draw_u64(&b));
    assert_true(fabs(agree - 32. * N) < 4.5 * sqrt(16. * N));
}

/* What windows pick from the pool is spread like what goes in; entries are picked TA_POOL_USES times, so that the
 * deviations are as many times as large. */
static void test_pool(void **state) {
    (void)state;
    enum { NEGATIVE = 5, WINDOWS = 200000 };
    uint64_t counts[ROWS];
    double p[ROWS];
    uint32_t seen[ROWS] = {0};
    struct ta_odds odds;
    struct ta_near out;
    static struct ta_loops_step step;
    struct ta_table table = {.rows = ROWS, .width = 8, .stride = 8};
    float *w;
    assert_ok(TA_NEW(&w, ROWS * 8, "arena"));
    make_odds(&odds, 0, counts);
    powers(counts, p);
    assert_ok(ta_near_make(&table, ta_pool_room(NEGATIVE), false, &ta_skipgram_loops_plain, &out));
    assert_ok(ta_near_begin(&out, w, 0));
    struct ta_pool pool = {.odds = &odds,
                           .out = &out,
                           .step = &step,
                           .negative = NEGATIVE,
                           .turn = ta_pool_turn_of(NEGATIVE),
                           .room = ta_pool_room(NEGATIVE)};
    ta_pool_begin(&pool, 1, 1);
    for (int i = 0; i < WINDOWS; i++) {
        step.n_fetch = 0;
        ta_pool_turn(&pool);
        uint32_t last = UINT32_MAX;
        for (uint32_t k = 0; k < NEGATIVE; k++) {
            uint32_t entry = ta_pool_pick(&pool, k);
            assert_true(entry < pool.n && (last == UINT32_MAX || entry > last));
            last = entry;
            seen[out.row[pool.slot[entry]]]++;
        }
    }
    assert_int_equal(pool.n, pool.room);
    double off = 0, draws = (double)WINDOWS * NEGATIVE;
    for (uint32_t r = 0; r < ROWS; r++) {
        assert_true(p[r] > 0 || seen[r] == 0);
        if (p[r] > 0) off += (seen[r] - draws * p[r]) * (seen[r] - draws * p[r]) / (draws * p[r]) / (TA_POOL_USES + 1);
    }
    /* Chi-square with about 428 degrees of freedom has a deviation of 29. */
    assert_true(off > 300 && off < 560);
    ta_pool_end(&pool);
    assert_int_equal(out.n_free, out.slots);
    ta_near_free(&out);
    ta_odds_free(&odds);
    ta_mem_free(w);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_negatives),   cmocka_unit_test(test_only_seen_are_drawn),
                                       cmocka_unit_test(test_subsampling), cmocka_unit_test(test_reach),
                                       cmocka_unit_test(test_streams),     cmocka_unit_test(test_pool)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
