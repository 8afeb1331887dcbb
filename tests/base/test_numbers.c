/* rng, hist, score: against published vectors, chi-square, exact sorting, and brute force. */
#include <math.h>

#include "check.h"
#include "hist.h"
#include "rng.h"
#include "score.h"

/* Known answers of Philox 4x32-10 from Random123's kat_vectors: counter, key, result. */
static void philox_gives_the_known_answers(void **state) {
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], result[4];
    } known[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (int i = 0; i < 3; i++) {
        const uint32_t *c = known[i].counter, *k = known[i].key;
        uint32_t out[4];
        ta_rng_block((uint64_t)k[1] << 32 | k[0], (uint64_t)c[3] << 32 | c[2], (uint64_t)c[1] << 32 | c[0], out);
        assert_memory_equal(out, known[i].result, sizeof out);
    }
}

static void a_generator_can_be_put_anywhere(void **state) {
    (void)state;
    struct ta_rng rng = ta_rng_make(42, 7), other = ta_rng_make(42, 8);
    uint32_t first[100], block[4];
    unsigned same = 0;
    for (int i = 0; i < 100; i++) {
        first[i] = ta_rng_u32(&rng);
        same += first[i] == ta_rng_u32(&other);
    }
    assert_true(same < 3);
    for (uint64_t at = 100; at-- > 0;) {
        rng.position = at;
        assert_int_equal(ta_rng_u32(&rng), first[at]);
        ta_rng_block(42, 7, at / 4, block);
        assert_int_equal(block[at % 4], first[at]);
    }
}

static void numbers_below_n_are_uniform(void **state) {
    (void)state;
    enum { N = 17, DRAWS = 170000 };
    unsigned seen[N] = {0};
    struct ta_rng rng = ta_rng_make(1, 1);
    for (int i = 0; i < DRAWS; i++) {
        uint32_t v = ta_rng_below(&rng, N);
        assert_true(v < N);
        seen[v]++;
    }
    double chi = 0, expected = (double)DRAWS / N;
    for (int i = 0; i < N; i++) chi += (seen[i] - expected) * (seen[i] - expected) / expected;
    assert_true(chi > 5.1 && chi < 39.3); /* 16 degrees of freedom, 0.5 % and 99.9 % */
    assert_int_equal(ta_rng_below(&rng, 1), 0);
    unsigned high = 0; /* a modulo would favour the lower half here: 3 * 2^30 does not divide 2^32 */
    for (int i = 0; i < 30000; i++) high += ta_rng_below(&rng, 3u << 30) >= 1u << 31;
    assert_in_range(high, 9600, 10400); /* a third, 5 sigma */
}

static void distributions_have_their_moments(void **state) {
    (void)state;
    enum { DRAWS = 200000 };
    struct ta_rng rng = ta_rng_make(3, 0);
    double u = 0, u2 = 0, n = 0, n2 = 0, n4 = 0, e = 0, e2 = 0;
    for (int i = 0; i < DRAWS; i++) {
        double x = ta_rng_uniform(&rng), y = ta_rng_normal(&rng), z = ta_rng_exponential(&rng);
        assert_true(x >= 0 && x < 1 && isfinite(y) && z >= 0 && isfinite(z));
        u += x, u2 += x * x, n += y, n2 += y * y, n4 += y * y * y * y, e += z, e2 += z * z;
    }
    assert_true(fabs(u / DRAWS - 0.5) < 0.004 && fabs(u2 / DRAWS - 1.0 / 3) < 0.004);
    assert_true(fabs(n / DRAWS) < 0.012 && fabs(n2 / DRAWS - 1) < 0.02 && fabs(n4 / DRAWS - 3) < 0.15);
    assert_true(fabs(e / DRAWS - 1) < 0.012 && fabs(e2 / DRAWS - 2) < 0.06);
    struct ta_rng seek = ta_rng_make(3, 0);
    ta_rng_uniform(&seek);
    assert_int_equal(seek.position, 2);
    ta_rng_normal(&seek);
    assert_int_equal(seek.position, 6);
    ta_rng_exponential(&seek);
    assert_int_equal(seek.position, 8);
}

static int by_size(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static struct ta_hist whole, halves[2];

static void percentiles_are_those_of_the_sorted_values(void **state) {
    (void)state;
    enum { N = 20000 };
    static uint64_t values[N];
    static const double percents[] = {0, 0.1, 1, 25, 50, 75, 90, 99, 99.9, 99.99, 100};
    for (int kind = 0; kind < 3; kind++) {
        struct ta_rng rng = ta_rng_make(9, (uint64_t)kind);
        double sum = 0;
        ta_hist_clear(&whole);
        ta_hist_clear(&halves[0]);
        ta_hist_clear(&halves[1]);
        for (int i = 0; i < N; i++) {
            uint64_t wide = (uint64_t)ta_rng_u32(&rng) << 31 | ta_rng_u32(&rng) >> 1;
            values[i] = kind == 0 ? ta_rng_below(&rng, 256) : kind == 1 ? wide >> ta_rng_below(&rng, 63)
                                  : (uint64_t)(1e5 * ta_rng_exponential(&rng));
            sum += (double)values[i];
            ta_hist_add(&whole, values[i]);
            ta_hist_add(&halves[i % 2], values[i]);
        }
        qsort(values, N, sizeof values[0], by_size);
        for (size_t p = 0; p < sizeof percents / sizeof percents[0]; p++) {
            size_t rank = (size_t)ceil(percents[p] / 100 * N);
            uint64_t exact = values[rank == 0 ? 0 : rank - 1], got = ta_hist_percentile(&whole, percents[p]);
            assert_true(got >= exact && got - exact <= exact / 128);
            if (kind == 0) assert_int_equal(got, exact);
        }
        assert_int_equal(ta_hist_percentile(&whole, 100), values[N - 1]);
        assert_true(fabs(ta_hist_mean(&whole) - sum / N) <= 1e-12 * sum);
        ta_hist_merge(&halves[0], &halves[1]);
        halves[0].sum = whole.sum; /* added in another order */
        assert_memory_equal(&halves[0], &whole, sizeof whole);
    }
}

static void a_histogram_takes_every_value(void **state) {
    (void)state;
    ta_hist_clear(&whole);
    assert_int_equal(ta_hist_percentile(&whole, 50), 0);
    assert_true(ta_hist_mean(&whole) == 0);
    static const uint64_t edges[] = {0, 255, 256, 257, UINT64_C(1) << 62, INT64_MAX, UINT64_MAX};
    for (size_t i = 0; i < sizeof edges / sizeof edges[0]; i++) {
        ta_hist_clear(&whole);
        ta_hist_add(&whole, edges[i]);
        assert_true(ta_hist_percentile(&whole, 50) == edges[i] && whole.max == edges[i] && whole.count == 1);
    }
    for (unsigned bit = 0; bit < 63; bit++) { /* no bucket overlaps the next */
        uint64_t value = UINT64_C(1) << bit;
        ta_hist_clear(&whole);
        ta_hist_add(&whole, value - 1);
        ta_hist_add(&whole, value);
        assert_true(ta_hist_percentile(&whole, 50) == value - 1);
    }
}

static void a_score_is_what_brute_force_counts(void **state) {
    (void)state;
    enum { N = 1000, WINDOW = 37, CLASSES = 4 };
    static float losses[N];
    static int hits[N];
    struct ta_score score;
    struct ta_rng rng = ta_rng_make(5, 5);
    const double alpha = 0.99;
    size_t before = ta_mem_held_bytes();
    assert_ok(ta_score_init(&score, WINDOW, alpha));
    assert_true(isnan(ta_score_accuracy(&score)) && isnan(ta_score_window_loss(&score)));
    for (int t = 0; t < N; t++) {
        float p[CLASSES];
        int best = 0, label = (int)ta_rng_below(&rng, CLASSES);
        for (int c = 0; c < CLASSES; c++) {
            p[c] = (float)ta_rng_below(&rng, 5); /* ties are common */
            if (p[c] > p[best]) best = c;
        }
        losses[t] = (float)ta_rng_exponential(&rng);
        hits[t] = best == label;
        ta_score_add(&score, p, CLASSES, label, losses[t]);
        double all = 0, in_window = 0, loss = 0, window_loss = 0, fade_hits = 0, fade_weight = 0;
        int size = t + 1 < WINDOW ? t + 1 : WINDOW;
        for (int i = 0; i <= t; i++) {
            double weight = pow(alpha, t - i);
            all += hits[i], loss += losses[i], fade_hits += weight * hits[i], fade_weight += weight;
            if (i > t - size) in_window += hits[i], window_loss += losses[i];
        }
        assert_true(ta_score_accuracy(&score) == all / (t + 1));
        assert_true(ta_score_window_accuracy(&score) == in_window / size);
        assert_true(fabs(ta_score_loss(&score) - loss / (t + 1)) < 1e-9);
        assert_true(fabs(ta_score_window_loss(&score) - window_loss / size) < 1e-9);
        assert_true(fabs(ta_score_fading_accuracy(&score) - fade_hits / fade_weight) < 1e-9);
    }
    ta_score_free(&score);
    assert_int_equal(ta_mem_held_bytes(), before);
}

static void odd_predictions_and_bad_settings(void **state) {
    (void)state;
    struct ta_score score;
    const float nans[3] = {NAN, 1, 2}, low = 0.2f, high = 0.8f;
    assert_ok(ta_score_init(&score, 2, 1));
    ta_score_add(&score, nans, 3, 0, NAN);
    assert_int_equal(score.hits, 0);
    ta_score_add(&score, nans, 3, -1, 1);
    assert_int_equal(score.hits, 0);
    ta_score_add(&score, &high, 1, 1, 1);
    ta_score_add(&score, &low, 1, 0, 1);
    ta_score_add(&score, &low, 1, 1, 1);
    ta_score_add(&score, &high, 1, 0, 1);
    assert_int_equal(score.hits, 2);
    assert_true(ta_score_window_loss(&score) == 1); /* the NaN has left the window */
    assert_true(ta_score_loss(&score) == 1 && score.lossless == 1 && score.records == 6);
    const float odd[] = {INFINITY, -INFINITY, NAN};
    for (unsigned i = 0; i < 3; i++) ta_score_count(&score, 1, odd[i]);
    assert_true(ta_score_loss(&score) == 1 && score.hits == 5 && isfinite(score.fade_loss) &&
                isnan(ta_score_window_loss(&score)));
    ta_score_count(&score, 0, 3);
    assert_true(ta_score_window_loss(&score) == 3 && score.window_lossless == 1 && isfinite(score.loss_sum));
    ta_score_free(&score);
    assert_fails(TA_CONFIG, "at least 1 record", ta_score_init(&score, 0, 0.9));
    assert_fails(TA_CONFIG, "not 1.5", ta_score_init(&score, 10, 1.5));
    assert_fails(TA_CONFIG, "not nan", ta_score_init(&score, 10, NAN));
    size_t before = ta_mem_held_bytes();
    for (unsigned n = 1; n <= 2; n++) {
        ta_mem_fail_nth(n);
        assert_int_equal(ta_score_init(&score, 10, 0.9), TA_NO_MEMORY);
        ta_mem_fail_nth(0);
        assert_int_equal(ta_mem_held_bytes(), before);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_gives_the_known_answers),
        cmocka_unit_test(a_generator_can_be_put_anywhere),
        cmocka_unit_test(numbers_below_n_are_uniform),
        cmocka_unit_test(distributions_have_their_moments),
        cmocka_unit_test(percentiles_are_those_of_the_sorted_values),
        cmocka_unit_test(a_histogram_takes_every_value),
        cmocka_unit_test(a_score_is_what_brute_force_counts),
        cmocka_unit_test(odd_predictions_and_bad_settings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
