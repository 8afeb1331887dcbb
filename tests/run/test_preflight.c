/* The pre-flight's own reckoning: who meets whom, who stands out, whose clock is off. */
#include "expect.h"

#include "doctor_slurm.h"
#include "rng.h"

/* In each round all are with one other or alone, and in all rounds each is once with each. */
static void everyone_meets_everyone(void **state) {
    (void)state;
    for (unsigned n = 1; n <= 41; n++) {
        bool met[41][41] = {{false}};
        for (unsigned round = 0; round < ta_matrix_rounds(n); round++) {
            unsigned alone = 0;
            for (unsigned node = 0; node < n; node++) {
                unsigned other = ta_matrix_partner(node, round, n);
                assert_true(other < n);
                assert_int_equal(ta_matrix_partner(other, round, n), node);
                alone += other == node;
                if (other != node) assert_false(met[node][other]);
                met[node][other] = true;
            }
            assert_int_equal(alone, n % 2);
        }
        for (unsigned a = 0; a < n; a++)
            for (unsigned b = 0; b < n; b++) assert_true(a == b || met[a][b]);
    }
}

static void fill(struct ta_pair *pairs, unsigned n, struct ta_rng *rng) {
    for (unsigned i = 0; i < n * n; i++)
        pairs[i] = (struct ta_pair){.state = i / n == i % n ? TA_PAIR_NONE : TA_PAIR_MEASURED,
                                    .gb_per_s = 10 + ta_rng_below(rng, 200) / 100.0};
}

static void the_odd_one(void **state) {
    (void)state;
    enum { N = 7 };
    struct ta_pair pairs[N * N];
    bool odd[N];
    double median;
    struct ta_rng rng = ta_rng_make(3, 3);
    for (unsigned trial = 0; trial < 50; trial++) {
        unsigned slow = ta_rng_below(&rng, N), other = (slow + 1 + ta_rng_below(&rng, N - 1)) % N;
        fill(pairs, N, &rng);
        assert_ok(ta_matrix_judge(pairs, N, &median, odd));
        assert_true(median >= 10 && median <= 12);
        for (unsigned i = 0; i < N; i++) assert_false(odd[i]); /* all are alike */
        for (unsigned i = 0; i < N * N; i++) assert_false(ta_matrix_pair_is_odd(&pairs[i], median));
        /* One pair is slow: neither of its nodes is, for that. */
        pairs[slow * N + other].gb_per_s = 1;
        assert_ok(ta_matrix_judge(pairs, N, &median, odd));
        for (unsigned i = 0; i < N; i++) assert_false(odd[i]);
        for (unsigned i = 0; i < N * N; i++)
            assert_int_equal(ta_matrix_pair_is_odd(&pairs[i], median), i == slow * N + other);
        /* All pairs of a node are, or have failed: it is the odd one, and no other. */
        for (unsigned i = 0; i < N; i++) {
            if (i == slow) continue;
            pairs[slow * N + i].gb_per_s = pairs[i * N + slow].gb_per_s = 3;
            if (trial % 2 == 0) pairs[slow * N + i].state = TA_PAIR_FAILED;
        }
        assert_ok(ta_matrix_judge(pairs, N, &median, odd));
        for (unsigned i = 0; i < N; i++) assert_int_equal(odd[i], i == slow);
    }
    pairs[0].state = TA_PAIR_NONE;
    assert_ok(ta_matrix_judge(pairs, 1, &median, odd));
    assert_true(median == 0 && !odd[0]);
    ta_mem_fail_nth(1);
    assert_int_equal(ta_matrix_judge(pairs, N, &median, odd), TA_NO_MEMORY);
    ta_mem_fail_nth(0);
}

/* The truth lies within what is said, however the delays fall: there and back are each anything. */
static void clocks(void **state) {
    (void)state;
    struct ta_rng rng = ta_rng_make(5, 5);
    for (unsigned trial = 0; trial < 300; trial++) {
        struct ta_clock_sample samples[16];
        int64_t truth = (int64_t)ta_rng_below(&rng, 2000000000) - 1000000000, now = 1000000000000, ahead, sure;
        int64_t least = INT64_MAX;
        for (unsigned i = 0; i < 16; i++) {
            int64_t there = 1000 + ta_rng_below(&rng, 1000000), back = 1000 + ta_rng_below(&rng, 1000000);
            samples[i] = (struct ta_clock_sample){now, now + there + truth, now + there + back};
            now += 5000000;
            if (there + back < least) least = there + back;
        }
        ta_clock_offset(samples, 16, &ahead, &sure);
        assert_int_equal(sure, least / 2);
        assert_true(ahead - truth <= sure + 1 && truth - ahead <= sure + 1);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everyone_meets_everyone),
        cmocka_unit_test(the_odd_one),
        cmocka_unit_test(clocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
