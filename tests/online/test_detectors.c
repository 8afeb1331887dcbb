/* What holds for every detector: bad numbers, constants, saving at any point, damaged states, memory, bad specs. */
#include <math.h>
#include <stdbool.h>

#include "detector.h"
#include "expect.h"
#include "streams.h"

/* Every make, small, and with other codes and sides. */
static const struct ta_detector_spec specs[] = {
    {.type = TA_DETECTOR_OPTWIN, .optwin.window_max = 90},
    {.type = TA_DETECTOR_OPTWIN, .code = TA_DETECTOR_CAPYMOA, .optwin = {.rho = .2, .window_max = 300}},
    {.type = TA_DETECTOR_OPTWIN, .variant = TA_OPTWIN_WELCH, .optwin = {.window_min = 10, .window_max = 64}},
    {.type = TA_DETECTOR_ADWIN},
    {.type = TA_DETECTOR_ADWIN, .side = TA_DETECTOR_FALL, .adwin = {.delta = .1, .clock = 3, .max_buckets = 2}},
    {.type = TA_DETECTOR_ADWIN, .code = TA_DETECTOR_MOA},
    {.type = TA_DETECTOR_DDM},
    {.type = TA_DETECTOR_DDM, .code = TA_DETECTOR_MOA},
    {.type = TA_DETECTOR_EDDM},
    {.type = TA_DETECTOR_EDDM, .code = TA_DETECTOR_MOA},
    {.type = TA_DETECTOR_PAGEHINKLEY, .pagehinkley.threshold = 5},
    {.type = TA_DETECTOR_KSWIN, .kswin = {.window = 40, .recent = 12, .alpha = .01}},
    {.type = TA_DETECTOR_KSWIN, .side = TA_DETECTOR_RISE, .kswin = {.window = 400, .recent = 20}},
    {.type = TA_DETECTOR_STEPD},
    {.type = TA_DETECTOR_STEPD, .side = TA_DETECTOR_RISE, .stepd.window = 10},
    {.type = TA_DETECTOR_ECDD, .ecdd.arl = 100},
    {.type = TA_DETECTOR_HDDM_A},
    {.type = TA_DETECTOR_HDDM_A, .side = TA_DETECTOR_BOTH},
    {.type = TA_DETECTOR_NEVER},
    {.type = TA_DETECTOR_ALWAYS},
};
enum { SPECS = sizeof specs / sizeof *specs, NUMBERS = 3000 };

/* Errors with changes up and down: something happens to every detector. */
static double number(int i) {
    static double x[NUMBERS];
    static bool made;
    struct java r = java_make(5);
    for (int k = 0; k < NUMBERS && !made; k++) x[k] = java_uniform(&r) <= (k / 600 % 2 == 1 ? .6 : .1);
    made = true;
    return x[i];
}

static void bad_numbers_change_nothing(void **state) {
    (void)state;
    static const double bad[] = {NAN, -NAN, INFINITY, -INFINITY, 1.1e100, -1e101, 1e308};
    for (int k = 0; k < SPECS; k++) {
        struct ta_detector clean, dirty;
        assert_ok(ta_detector_open(&clean, &specs[k]));
        assert_ok(ta_detector_open(&dirty, &specs[k]));
        unsigned fed = 0;
        for (int i = 0; i < NUMBERS; i++) {
            if (i % 3 == 0) assert_int_equal(ta_detector_update(&dirty, bad[fed++ % 7]), TA_DETECTOR_OK);
            assert_int_equal(ta_detector_update(&clean, number(i)), ta_detector_update(&dirty, number(i)));
        }
        assert_int_equal(dirty.ignored, fed);
        assert_int_equal(dirty.updates, NUMBERS);
        assert_int_equal(clean.ignored, 0);
        assert_memory_equal(clean.state, dirty.state, clean.state_bytes);
        /* Outside [0, 1] is bad for those that take errors, and fine for the others. */
        bool errors = strchr("\2\3\6\7\10", (int)specs[k].type) != NULL && specs[k].type != 0;
        ta_detector_update(&dirty, 1.5);
        ta_detector_update(&dirty, -1e-9);
        assert_int_equal(dirty.ignored, fed + (errors ? 2 : 0));
        ta_detector_close(&clean);
        ta_detector_close(&dirty);
        ta_detector_close(&dirty);
    }
}

static void constants_never_alarm(void **state) {
    (void)state;
    static const double constants[] = {0, 1, .1, 1. / 3, -7, 1e-300, 100000.1, 1e12 / 7, -3e11};
    for (int k = 0; k < SPECS; k++) {
        struct ta_detector d;
        if (specs[k].type == TA_DETECTOR_ALWAYS) continue;
        assert_ok(ta_detector_open(&d, &specs[k]));
        for (size_t c = 0; c < sizeof constants / sizeof *constants; c++) {
            ta_detector_reset(&d);
            for (int i = 0; i < 5000; i++)
                if (ta_detector_update(&d, constants[c]) == TA_DETECTOR_DRIFT)
                    fail_msg("%s (%d) alarms at number %d of %g", ta_detector_name(specs[k].type), k, i, constants[c]);
        }
        ta_detector_close(&d);
    }
    /* Only MOA's STEPD does, as said. */
    struct ta_detector d;
    assert_ok(ta_detector_open(&d, &(struct ta_detector_spec){.type = TA_DETECTOR_STEPD, .code = TA_DETECTOR_MOA}));
    for (int i = 0; i < 600; i++) assert_int_equal(ta_detector_update(&d, 0) == TA_DETECTOR_DRIFT, i % 60 == 59);
    ta_detector_close(&d);
}

static void a_saved_detector_goes_on_bit_for_bit(void **state) {
    (void)state;
    for (int k = 0; k < SPECS; k++) {
        struct ta_detector one, other;
        assert_ok(ta_detector_open(&one, &specs[k]));
        assert_ok(ta_detector_open(&other, &specs[k]));
        size_t bytes = ta_detector_saved_bytes(&one);
        char *block = malloc(bytes + 1);
        assert_true(ta_detector_bytes(&one) >= one.state_bytes);
        size_t held = ta_mem_held_bytes();
        for (int i = 0; i < NUMBERS; i++) {
            if (i % 37 == 0) {
                ta_detector_save(&one, block + 1); /* at an odd address: no alignment is asked for */
                for (int n = 0; n < 11; n++) ta_detector_update(&other, n % 2);
                assert_ok(ta_detector_load(&other, block + 1, bytes));
                assert_int_equal(other.updates, i);
                assert_int_equal(other.drifts, one.drifts);
            }
            assert_int_equal(ta_detector_update(&one, number(i)), ta_detector_update(&other, number(i)));
        }
        assert_memory_equal(one.state, other.state, one.state_bytes);
        assert_int_equal(ta_mem_held_bytes(), held);
        /* A reset detector is a new one. */
        uint64_t drifts = one.drifts;
        ta_detector_reset(&one);
        for (int i = 0; i < NUMBERS; i++) ta_detector_update(&one, number(i));
        assert_int_equal(one.drifts, drifts);
        assert_memory_equal(one.state, other.state, one.state_bytes);
        bool quiet = specs[k].type == TA_DETECTOR_NEVER;
        assert_true(quiet == (drifts == 0));
        free(block);
        ta_detector_close(&one);
        ta_detector_close(&other);
    }
}

static void damaged_states_are_refused_or_harmless(void **state) {
    (void)state;
    struct java r = java_make(99);
    for (int k = 0; k < SPECS; k++) {
        struct ta_detector d;
        assert_ok(ta_detector_open(&d, &specs[k]));
        size_t bytes = ta_detector_saved_bytes(&d), head = bytes - d.state_bytes;
        unsigned char *good = malloc(bytes), *bad = malloc(bytes);
        for (int i = 0; i < 700; i++) ta_detector_update(&d, number(i));
        ta_detector_save(&d, good);
        for (size_t cut = 0; cut < bytes; cut += cut < head + 40 ? 1 : 97) {
            unsigned char *part = malloc(cut + 1);
            memcpy(part, good, cut);
            assert_fails(TA_FORMAT, "saved detector", ta_detector_load(&d, part, cut));
            free(part);
        }
        assert_fails(TA_FORMAT, "saved detector", ta_detector_load(&d, good, bytes + 1));
        unsigned taken = 0;
        for (int i = 0; i < 600; i++) {
            memcpy(bad, good, bytes);
            for (int n = 0; n <= i % 5; n++) {
                size_t most = i % 2 == 0 || head + 64 > bytes ? bytes : head + 64;
                size_t at = (size_t)(java_uniform(&r) * (double)most);
                bad[at] = (unsigned char)(java_uniform(&r) < .3 ? 255 : 256 * java_uniform(&r));
            }
            if (ta_detector_load(&d, bad, bytes) != TA_OK) continue;
            taken++;
            for (int n = 0; n < 200; n++) ta_detector_update(&d, number(n));
        }
        assert_true(taken < 600); /* the first bytes are always looked at */
        if (specs[k].type == TA_DETECTOR_KSWIN) { /* a NaN in the window would never be sorted */
            memcpy(bad, good, bytes);
            for (size_t n = 1; n <= specs[k].kswin.window; n++)
                memcpy(bad + bytes - n * sizeof(double), &(double){NAN}, sizeof(double));
            assert_fails(TA_FORMAT, "damaged", ta_detector_load(&d, bad, bytes));
        }
        assert_ok(ta_detector_load(&d, good, bytes));
        assert_int_equal(d.updates, 700);
        free(good);
        free(bad);
        ta_detector_close(&d);
    }
}

static void states_of_others_are_refused(void **state) {
    (void)state;
    struct ta_detector a, b;
    char block[65536];
    for (int i = 0; i < SPECS; i++) {
        for (int k = 0; k < SPECS; k++) {
            if (i == k) continue;
            assert_ok(ta_detector_open(&a, &specs[i]));
            assert_ok(ta_detector_open(&b, &specs[k]));
            assert_true(ta_detector_saved_bytes(&a) < sizeof block);
            ta_detector_save(&a, block);
            assert_fails(TA_FORMAT, "other parameters", ta_detector_load(&b, block, ta_detector_saved_bytes(&a)));
            ta_detector_close(&a);
            ta_detector_close(&b);
        }
    }
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    size_t held = ta_mem_held_bytes();
    for (int k = 0; k < SPECS; k++) {
        ta_status status = TA_NO_MEMORY;
        for (unsigned nth = 1; status != TA_OK; nth++) {
            struct ta_detector d;
            assert_true(nth < 10);
            ta_mem_fail_nth(nth);
            status = ta_detector_open(&d, &specs[k]);
            ta_mem_fail_nth(0);
            if (status != TA_OK) assert_int_equal(status, TA_NO_MEMORY);
            ta_detector_close(&d);
            assert_int_equal(ta_mem_held_bytes(), held);
        }
    }
}

static void bad_specs_name_the_key(void **state) {
    (void)state;
    static const struct {
        struct ta_detector_spec spec;
        const char *part;
    } bad[] = {
        {{.type = TA_DETECTOR_TYPES}, "type 11"},
        {{.type = TA_DETECTOR_DDM, .side = (enum ta_detector_side)9}, "side 9"},
        {{.type = TA_DETECTOR_DDM, .side = TA_DETECTOR_FALL}, "fall means nothing to ddm"},
        {{.type = TA_DETECTOR_HDDM_A, .side = TA_DETECTOR_FALL}, "fall means nothing"},
        {{.type = TA_DETECTOR_KSWIN, .code = TA_DETECTOR_MOA}, "moa is not known of kswin"},
        {{.type = TA_DETECTOR_OPTWIN, .code = TA_DETECTOR_MOA}, "moa is not known of optwin"},
        {{.type = TA_DETECTOR_ADWIN, .code = TA_DETECTOR_CAPYMOA}, "capymoa is not known"},
        {{.type = TA_DETECTOR_ADWIN, .variant = TA_OPTWIN_WELCH}, "welch means nothing"},
        {{.type = TA_DETECTOR_OPTWIN, .optwin.confidence = 1}, "optwin.confidence"},
        {{.type = TA_DETECTOR_OPTWIN, .optwin.confidence = NAN}, "optwin.confidence"},
        {{.type = TA_DETECTOR_OPTWIN, .optwin.rho = -1}, "optwin.rho"},
        {{.type = TA_DETECTOR_OPTWIN, .optwin.warning = .4}, "optwin.warning"},
        {{.type = TA_DETECTOR_OPTWIN, .optwin.noise = INFINITY}, "optwin.noise"},
        {{.type = TA_DETECTOR_OPTWIN, .optwin.window_max = 20000000}, "optwin.window_max"},
        {{.type = TA_DETECTOR_OPTWIN, .optwin.window_max = 20}, "optwin.window_min: 30"},
        {{.type = TA_DETECTOR_OPTWIN, .optwin.window_min = 9}, "optwin.window_min"},
        {{.type = TA_DETECTOR_ADWIN, .adwin.delta = 1}, "adwin.delta"},
        {{.type = TA_DETECTOR_ADWIN, .adwin.max_buckets = 1}, "adwin.max_buckets"},
        {{.type = TA_DETECTOR_DDM, .ddm.warning = 4}, "ddm.drift"},
        {{.type = TA_DETECTOR_EDDM, .eddm.drift = .97}, "eddm.warning"},
        {{.type = TA_DETECTOR_PAGEHINKLEY, .pagehinkley.threshold = -1}, "pagehinkley.threshold"},
        {{.type = TA_DETECTOR_PAGEHINKLEY, .pagehinkley.alpha = 1.5}, "pagehinkley.alpha"},
        {{.type = TA_DETECTOR_PAGEHINKLEY, .pagehinkley.delta = -.1}, "pagehinkley.delta"},
        {{.type = TA_DETECTOR_KSWIN, .kswin.window = 50}, "kswin.window"},
        {{.type = TA_DETECTOR_KSWIN, .kswin.recent = 1}, "kswin.recent"},
        {{.type = TA_DETECTOR_KSWIN, .kswin.alpha = 2}, "kswin.alpha"},
        {{.type = TA_DETECTOR_STEPD, .stepd.drift = .06}, "stepd.warning"},
        {{.type = TA_DETECTOR_STEPD, .stepd.window = 1}, "stepd.window"},
        {{.type = TA_DETECTOR_ECDD, .ecdd.arl = 500}, "ecdd.arl: 500"},
        {{.type = TA_DETECTOR_ECDD, .ecdd.lambda = 1}, "ecdd.lambda"},
        {{.type = TA_DETECTOR_HDDM_A, .hddm_a.drift = .01}, "hddm_a.warning"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct ta_detector d;
        assert_fails(TA_CONFIG, bad[i].part, ta_detector_open(&d, &bad[i].spec));
        ta_detector_close(&d);
    }
    for (int type = 0; type < TA_DETECTOR_TYPES; type++)
        assert_non_null(ta_detector_find(ta_detector_name(type)));
    assert_null(ta_detector_find("optwi"));
    assert_null(ta_detector_find(""));
    assert_string_equal(ta_detector_name((enum ta_detector_type)-1), "?");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_numbers_change_nothing),
        cmocka_unit_test(constants_never_alarm),
        cmocka_unit_test(a_saved_detector_goes_on_bit_for_bit),
        cmocka_unit_test(damaged_states_are_refused_or_harmless),
        cmocka_unit_test(states_of_others_are_refused),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(bad_specs_name_the_key),
    };
    return cmocka_run_group_tests_name("detectors", tests, NULL, NULL);
}
