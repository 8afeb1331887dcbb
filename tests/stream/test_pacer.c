/* Due times: exact where they are rational, by statistics where they are drawn, and the same by seek as by walk. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "pacer.h"

static struct ta_pacer open_pacer(const struct ta_pacer_spec *spec) {
    struct ta_pacer pacer;
    assert_int_equal(ta_pacer_init(&pacer, spec), TA_OK);
    return pacer;
}

static int64_t due_of(const struct ta_pacer_spec *spec, uint64_t record) {
    struct ta_pacer pacer = open_pacer(spec);
    ta_pacer_seek(&pacer, record);
    return ta_pacer_due_ns(&pacer, 0);
}

static void constants_are_exact(void **state) {
    (void)state;
    struct ta_pacer_spec spec = {.pace = TA_PACE_CONSTANT, .rate_per_s = 10000};
    assert_int_equal(due_of(&spec, 0), 0);
    assert_int_equal(due_of(&spec, 1), 100000);
    assert_int_equal(due_of(&spec, 12345678901), INT64_C(1234567890100000));
    spec.rate_per_s = 3;
    assert_int_equal(due_of(&spec, 1), 333333333);
    assert_int_equal(due_of(&spec, 3000000000), INT64_C(1000000000000000000));
    spec.rate_per_s = 1e-300; /* absurd, but no overflow */
    assert_int_equal(due_of(&spec, 1), TA_PACER_NEVER_NS);
    spec.pace = TA_PACE_MAX;
    assert_int_equal(due_of(&spec, 1000), 0);
}

static void bursts_come_together(void **state) {
    (void)state;
    struct ta_pacer_spec spec = {.pace = TA_PACE_BURSTS, .rate_per_s = 100, .burst = 50};
    struct ta_pacer pacer = open_pacer(&spec);
    for (uint64_t i = 0; i < 500; i++) assert_int_equal(ta_pacer_due_ns(&pacer, 0), (int64_t)(i / 50) * 500000000);
}

static void traces_follow_the_recording(void **state) {
    (void)state;
    struct ta_pacer_spec spec = {.pace = TA_PACE_TRACE, .speed = 4};
    struct ta_pacer pacer = open_pacer(&spec);
    assert_int_equal(ta_pacer_due_ns(&pacer, 0), 0);
    assert_int_equal(ta_pacer_due_ns(&pacer, 4000), 1000);
    assert_int_equal(ta_pacer_due_ns(&pacer, 3000), 1000); /* never falls */
    assert_int_equal(ta_pacer_due_ns(&pacer, 8000), 2000);
    assert_int_equal(ta_pacer_due_ns(&pacer, INT64_MAX), TA_PACER_NEVER_NS);
}

/* Mean, variance and the Kolmogorov-Smirnov distance of the gaps. */
static void poisson_is_poisson(void **state) {
    (void)state;
    enum { N = 200000 };
    struct ta_pacer_spec spec = {.pace = TA_PACE_POISSON, .rate_per_s = 1000, .seed = 7};
    struct ta_pacer pacer = open_pacer(&spec);
    double sum = 0, squares = 0;
    int64_t before = 0;
    unsigned below[10] = {0}; /* gaps below each decile of the exponential distribution */
    for (int i = 0; i < N; i++) {
        int64_t due = ta_pacer_due_ns(&pacer, 0);
        double gap = (double)(due - before) * 1e-6; /* mean 1 */
        assert_true(due >= before);
        before = due;
        sum += gap;
        squares += gap * gap;
        for (int d = 1; d < 10; d++) below[d] += gap < -log(1 - d / 10.0);
    }
    double mean = sum / N, variance = squares / N - mean * mean;
    assert_true(fabs(mean - 1) < 5 / sqrt(N));
    assert_true(fabs(variance - 1) < 5 * sqrt(8.0 / N));
    for (int d = 1; d < 10; d++) assert_true(fabs(below[d] / (double)N - d / 10.0) < 5 * sqrt(0.25 / N));
}

static const struct ta_pace_piece pieces[] = {{0, 100}, {2, 0}, {5, 1000}, {6, 10}};

static void schedules_integrate_the_rate(void **state) {
    (void)state;
    struct ta_pacer_spec spec = {
        .pace = TA_PACE_CONSTANT, .schedule = (struct ta_pace_piece *)pieces, .schedule_count = 4};
    assert_int_equal(due_of(&spec, 0), 0);
    assert_int_equal(due_of(&spec, 199), 1990000000);
    assert_int_equal(due_of(&spec, 200), 5000000000); /* the pause is over */
    assert_int_equal(due_of(&spec, 700), 5500000000);
    assert_int_equal(due_of(&spec, 1200), 6000000000); /* 200 + 1000 by second 6 */
    assert_int_equal(due_of(&spec, 1201), 6100000000);
    spec.pace = TA_PACE_BURSTS;
    spec.burst = 100;
    assert_int_equal(due_of(&spec, 150), 1000000000);
    assert_int_equal(due_of(&spec, 299), 5000000000);
}

/* With a schedule, the number that falls into each piece is that of its integral, and nothing falls into a pause. */
static void scheduled_poisson_counts(void **state) {
    (void)state;
    struct ta_pace_piece long_pieces[] = {{0, 20000}, {2, 0}, {5, 5000}, {10, 50000}};
    struct ta_pacer_spec spec = {.pace = TA_PACE_POISSON, .schedule = long_pieces, .schedule_count = 4, .seed = 3};
    struct ta_pacer pacer = open_pacer(&spec);
    unsigned in[4] = {0};
    for (;;) {
        double due_s = (double)ta_pacer_due_ns(&pacer, 0) * 1e-9;
        if (due_s >= 12) break;
        in[due_s < 2 ? 0 : due_s < 5 ? 1 : due_s < 10 ? 2 : 3]++;
    }
    assert_int_equal(in[1], 0);
    assert_true(fabs(in[0] - 40000.0) < 5 * sqrt(40000));
    assert_true(fabs(in[2] - 25000.0) < 5 * sqrt(25000));
    assert_true(fabs(in[3] - 100000.0) < 5 * sqrt(100000));
}

static void seek_is_walk(void **state) {
    (void)state;
    struct ta_pacer_spec specs[] = {
        {.pace = TA_PACE_CONSTANT, .rate_per_s = 333.3},
        {.pace = TA_PACE_POISSON, .rate_per_s = 77, .seed = 5},
        {.pace = TA_PACE_BURSTS, .rate_per_s = 10, .burst = 3.5},
        {.pace = TA_PACE_CONSTANT, .schedule = (struct ta_pace_piece *)pieces, .schedule_count = 4},
        {.pace = TA_PACE_POISSON, .schedule = (struct ta_pace_piece *)pieces, .schedule_count = 4, .seed = 9},
        {.pace = TA_PACE_BURSTS, .burst = 7, .schedule = (struct ta_pace_piece *)pieces, .schedule_count = 4},
    };
    for (size_t s = 0; s < sizeof specs / sizeof *specs; s++) {
        enum { N = 3000 };
        int64_t due[N];
        struct ta_pacer pacer = open_pacer(&specs[s]);
        for (int i = 0; i < N; i++) due[i] = ta_pacer_due_ns(&pacer, 0);
        for (int i = 1; i < N; i++) assert_true(due[i] >= due[i - 1]);
        struct ta_rng rng = ta_rng_make(s, 1);
        for (int i = 0; i < 300; i++) {
            uint32_t at = ta_rng_below(&rng, N - 3);
            ta_pacer_seek(&pacer, at);
            for (uint32_t j = at; j < at + 3; j++) assert_int_equal(ta_pacer_due_ns(&pacer, 0), due[j]);
        }
    }
}

static void refuses(const struct ta_pacer_spec *spec, const char *word) {
    struct ta_pacer pacer;
    assert_int_equal(ta_pacer_init(&pacer, spec), TA_CONFIG);
    if (strstr(ta_why(), word) == NULL) fail_msg("'%s' does not say '%s'", ta_why(), word);
}

static void nonsense_is_refused(void **state) {
    (void)state;
    const double bad[] = {0, -1, NAN, INFINITY};
    for (int i = 0; i < 4; i++) {
        refuses(&(struct ta_pacer_spec){.pace = TA_PACE_CONSTANT, .rate_per_s = bad[i]}, "rate is");
        refuses(&(struct ta_pacer_spec){.pace = TA_PACE_POISSON, .rate_per_s = bad[i]}, "rate is");
        refuses(&(struct ta_pacer_spec){.pace = TA_PACE_BURSTS, .rate_per_s = 1, .burst = bad[i]}, "burst is");
        refuses(&(struct ta_pacer_spec){.pace = TA_PACE_TRACE, .speed = bad[i]}, "speed is");
    }
    refuses(&(struct ta_pacer_spec){.pace = (enum ta_pace)42}, "42");
    struct ta_pace_piece late[] = {{1, 5}}, equal[] = {{0, 5}, {2, 6}, {2, 7}}, dead[] = {{0, 5}, {1, 0}},
                         negative[] = {{0, -5}}, nan[] = {{0, 5}, {NAN, 5}};
    struct ta_pacer_spec spec = {.pace = TA_PACE_CONSTANT};
    spec.schedule = late, spec.schedule_count = 1, refuses(&spec, "schedule[0]");
    spec.schedule = equal, spec.schedule_count = 3, refuses(&spec, "schedule[2]");
    spec.schedule = dead, spec.schedule_count = 2, refuses(&spec, "schedule[1]");
    spec.schedule = negative, spec.schedule_count = 1, refuses(&spec, "rate is -5");
    spec.schedule = nan, spec.schedule_count = 2, refuses(&spec, "schedule[1]");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(constants_are_exact),
        cmocka_unit_test(bursts_come_together),
        cmocka_unit_test(traces_follow_the_recording),
        cmocka_unit_test(poisson_is_poisson),
        cmocka_unit_test(schedules_integrate_the_rate),
        cmocka_unit_test(scheduled_poisson_counts),
        cmocka_unit_test(seek_is_walk),
        cmocka_unit_test(nonsense_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
