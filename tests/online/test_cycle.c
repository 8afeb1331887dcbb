/* What the cycle of training, predicting and training again is decided by: plateau, alarms, rehearsal. */
#include "expect.h"

#include <math.h>

#include "alarms.h"
#include "plateau.h"
#include "rehearsal.h"
#include "rng.h"

enum { MOST = 4000 };

/* --- plateau --- */

/* The rule as it stands in the header, over the whole history. */
static bool by_hand(const double *losses, unsigned n, const struct ta_plateau_spec *s) {
    if (n % s->stretch != 0 || n / s->stretch < s->patience) return false;
    double newest = 0, highest = 0;
    for (unsigned k = 0; k < s->patience; k++) {
        double sum = 0;
        for (unsigned i = n - (k + 1) * s->stretch; i < n - k * s->stretch; i++) sum += losses[i];
        if (k == 0) newest = sum / s->stretch;
        if (sum / s->stretch > highest) highest = sum / s->stretch;
    }
    return highest + s->floor <= s->factor * (newest + s->floor);
}

static void a_plateau_is_one(void **state) {
    (void)state;
    static double losses[MOST];
    unsigned converged = 0, not_yet = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct ta_rng rng = ta_rng_make(seed, 7);
        struct ta_plateau_spec spec = {.stretch = 1 + ta_rng_below(&rng, 30), .patience = 2 + ta_rng_below(&rng, 8),
                                       .factor = 1 + (1 + ta_rng_below(&rng, 20)) / 100., .floor = 1e-4};
        double half_life = 100 + ta_rng_below(&rng, 1000), noise = ta_rng_below(&rng, 3) * .01;
        struct ta_plateau p;
        assert_ok(ta_plateau_init(&p, &spec));
        for (unsigned n = 0; n < MOST; n++) {
            losses[n] = .1 + exp2(-(double)n / half_life) + noise * ta_rng_uniform(&rng);
            bool wanted = by_hand(losses, n + 1, &spec);
            assert_int_equal(ta_plateau_add(&p, losses[n]), wanted);
            if ((n + 1) % spec.stretch == 0) *(wanted ? &converged : &not_yet) += 1;
        }
        ta_plateau_free(&p);
    }
    assert_true(converged > 1000 && not_yet > 1000);
}

static void a_plateau_survives_nonsense(void **state) {
    (void)state;
    struct ta_plateau p;
    assert_fails(TA_CONFIG, "patience 1", ta_plateau_init(&p, &(struct ta_plateau_spec){.patience = 1}));
    assert_fails(TA_CONFIG, "factor 1", ta_plateau_init(&p, &(struct ta_plateau_spec){.factor = 1}));
    assert_fails(TA_CONFIG, "floor", ta_plateau_init(&p, &(struct ta_plateau_spec){.floor = NAN}));
    assert_ok(ta_plateau_init(&p, &(struct ta_plateau_spec){.stretch = 2, .patience = 2}));
    const double losses[] = {1, 1, 1, NAN, 1, 1, INFINITY, 1, 0, 0};
    for (unsigned i = 0; i < 10; i++) assert_false(ta_plateau_add(&p, losses[i]));
    assert_false(ta_plateau_add(&p, 0));
    assert_true(ta_plateau_add(&p, 0)); /* nothing to gain below 0 */
    ta_plateau_restart(&p);
    for (unsigned i = 0; i < 3; i++) assert_false(ta_plateau_add(&p, 0));
    assert_true(ta_plateau_add(&p, 0));
    ta_plateau_free(&p);
    assert_int_equal(ta_mem_held_bytes(), 0);
}

/* --- alarms --- */

static void alarms_are_told_apart(void **state) {
    (void)state;
    struct ta_alarm_score s;
    uint64_t delays[3];
    const uint64_t drifts[] = {100, 200, 300}, alarms[] = {50, 99, 110, 120, 199, 350, 351};
    ta_alarms_score(drifts, 3, alarms, 7, 0, &s, delays);
    assert_true(s.drifts == 3 && s.found == 2 && s.missed == 1 && s.false_alarms == 5);
    assert_true(delays[0] == 10 && delays[1] == UINT64_MAX && delays[2] == 50 && s.delay == 30 && s.worst_delay == 50);
    ta_alarms_score(drifts, 3, alarms, 7, 20, &s, delays);
    assert_true(s.found == 1 && s.missed == 2 && s.false_alarms == 6 && delays[2] == UINT64_MAX);
    ta_alarms_score(NULL, 0, alarms, 7, 0, &s, NULL);
    assert_true(s.false_alarms == 7 && s.drifts == 0 && s.missed == 0 && isnan(s.delay));
    ta_alarms_score(drifts, 3, NULL, 0, 0, &s, NULL);
    assert_true(s.false_alarms == 0 && s.missed == 3 && isnan(s.delay));
    ta_alarms_score(drifts, 3, drifts, 3, 0, &s, NULL);
    assert_true(s.found == 3 && s.false_alarms == 0 && s.delay == 0);
}

/* Every alarm is the one of some drift or false; every drift is found by the first alarm of its own span. */
static void alarms_by_definition(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 3000; seed++) {
        struct ta_rng rng = ta_rng_make(seed, 9);
        uint64_t drifts[20], alarms[40], at = 0, within = ta_rng_below(&rng, 3) == 0 ? 1 + ta_rng_below(&rng, 40) : 0;
        unsigned n = ta_rng_below(&rng, 20), m = ta_rng_below(&rng, 40), found = 0;
        for (unsigned i = 0; i < n; i++) drifts[i] = at += 1 + ta_rng_below(&rng, 60);
        at = 0;
        for (unsigned i = 0; i < m; i++) alarms[i] = at += 1 + ta_rng_below(&rng, 30);
        double sum = 0;
        for (unsigned d = 0; d < n; d++) {
            uint64_t first = UINT64_MAX, end = d + 1 < n ? drifts[d + 1] : UINT64_MAX;
            for (unsigned i = m; i-- > 0;)
                if (alarms[i] >= drifts[d] && alarms[i] < end) first = alarms[i];
            if (first == UINT64_MAX || (within > 0 && first - drifts[d] > within)) continue;
            found++;
            sum += (double)(first - drifts[d]);
        }
        struct ta_alarm_score s;
        ta_alarms_score(drifts, n, alarms, m, within, &s, NULL);
        assert_true(s.found == found && s.missed == n - found && s.false_alarms == m - found);
        assert_true(found == 0 ? isnan(s.delay) : fabs(s.delay - sum / found) < 1e-9);
    }
}

/* --- rehearsal --- */

struct record {
    uint32_t number;
    int32_t label;
};

static void add(struct ta_rehearsal *r, uint32_t number, int32_t label) {
    struct record record = {number, label};
    ta_rehearsal_add(r, &record, &record.label, (uint32_t)label);
}

static const struct record *held(const struct ta_rehearsal *r, uint32_t i) {
    const struct record *record = (const struct record *)r->x + i;
    assert_true(i < r->held && record->label == ((const int32_t *)r->labels)[i]);
    return record;
}

static void open_rehearsal(struct ta_rehearsal *r, enum ta_rehearsal_policy policy, uint32_t room, uint64_t seed) {
    assert_ok(ta_rehearsal_init(r, &(struct ta_rehearsal_config){policy, room, sizeof(struct record), sizeof(int32_t), 5, seed}));
}

static void fifo_holds_the_newest(void **state) {
    (void)state;
    struct ta_rehearsal r;
    open_rehearsal(&r, TA_REHEARSAL_FIFO, 10, 1);
    for (uint32_t n = 0; n < 95; n++) {
        add(&r, n, (int32_t)n % 3);
        unsigned char there[95] = {0};
        for (uint32_t i = 0; i < r.held; i++) there[held(&r, i)->number] = 1;
        for (uint32_t i = 0; i <= n; i++) assert_int_equal(there[i], i + 10 > n);
    }
    ta_rehearsal_clear(&r);
    const void *x, *label;
    ta_rehearsal_draw(&r, &x, &label);
    assert_null(x);
    ta_rehearsal_free(&r);
}

/* Each of 200 records is held with chance 20/200; 2000 runs; within six standard deviations everywhere, and chi-square
 * over all of them. So is each of those drawn. */
static void a_reservoir_is_fair(void **state) {
    (void)state;
    enum { RUNS = 2000, SEEN = 200, ROOM = 20 };
    static unsigned kept[SEEN], drawn[ROOM];
    for (uint64_t run = 0; run < RUNS; run++) {
        struct ta_rehearsal r;
        open_rehearsal(&r, TA_REHEARSAL_RESERVOIR, ROOM, run);
        for (uint32_t n = 0; n < SEEN; n++) add(&r, n, 0);
        assert_int_equal(r.held, ROOM);
        for (uint32_t i = 0; i < ROOM; i++) kept[held(&r, i)->number]++;
        const void *x, *label;
        ta_rehearsal_draw(&r, &x, &label);
        drawn[((const unsigned char *)x - r.x) / sizeof(struct record)]++;
        ta_rehearsal_free(&r);
    }
    double mean = RUNS * (double)ROOM / SEEN, chi = 0, chi_drawn = 0;
    for (unsigned i = 0; i < SEEN; i++) {
        assert_true(fabs(kept[i] - mean) < 6 * sqrt(mean));
        chi += (kept[i] - mean) * (kept[i] - mean) / mean;
    }
    for (unsigned i = 0; i < ROOM; i++) chi_drawn += pow(drawn[i] - RUNS / (double)ROOM, 2) * ROOM / RUNS;
    assert_true(chi < SEEN + 6 * sqrt(2. * SEEN) && chi_drawn < ROOM + 6 * sqrt(2. * ROOM));
}

/* Whatever the shares, every class has its part, and inside a class old and new are held alike. */
static void balanced_is_balanced(void **state) {
    (void)state;
    enum { ROOM = 50, SEEN = 3000 };
    double age = 0, rare_held = 0;
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct ta_rehearsal r;
        struct ta_rng rng = ta_rng_make(seed, 3);
        unsigned seen[5] = {0};
        open_rehearsal(&r, TA_REHEARSAL_BALANCED, ROOM, seed);
        for (uint32_t n = 0; n < SEEN; n++) {
            uint32_t u = ta_rng_below(&rng, 1000), class = u < 700 ? 0 : u < 900 ? 1 : u < 990 ? 2 : u < 997 ? 3 : 4;
            seen[class]++;
            add(&r, n, (int32_t)class);
        }
        unsigned count[5] = {0};
        for (uint32_t i = 0; i < r.held; i++) {
            count[held(&r, i)->label]++;
            if (held(&r, i)->label == 0) age += held(&r, i)->number;
        }
        for (unsigned c = 0; c < 5; c++) assert_int_equal(count[c], r.class_held[c]);
        assert_int_equal(r.held, ROOM);
        rare_held += (double)count[4] / (seen[4] < 10 ? seen[4] + (seen[4] == 0) : 10);
        age -= count[0] * SEEN / 2.;
        ta_rehearsal_add(&r, &age, &age, 5); /* no such class */
        assert_int_equal(r.seen, SEEN);
        ta_rehearsal_free(&r);
    }
    assert_true(rare_held / 60 > .9);
    assert_true(fabs(age) < 6 * sqrt(60. * 10 / 12) * SEEN);
}

static void rehearsal_refuses(void **state) {
    (void)state;
    struct ta_rehearsal r;
    assert_fails(TA_CONFIG, "at least 1", ta_rehearsal_init(&r, &(struct ta_rehearsal_config){.x_bytes = 4}));
    struct ta_rehearsal_config config = {.policy = TA_REHEARSAL_BALANCED, .room = 3, .x_bytes = 4, .label_bytes = 4};
    assert_fails(TA_CONFIG, "balanced", ta_rehearsal_init(&r, &config));
    config.classes = 2;
    for (unsigned nth = 1; nth <= 6; nth++) {
        ta_mem_fail_nth(nth);
        assert_int_equal(ta_rehearsal_init(&r, &config), TA_NO_MEMORY);
        ta_mem_fail_nth(0);
        ta_rehearsal_free(&r);
    }
    assert_int_equal(ta_mem_held_bytes(), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plateau_is_one),      cmocka_unit_test(a_plateau_survives_nonsense),
        cmocka_unit_test(alarms_are_told_apart), cmocka_unit_test(alarms_by_definition),
        cmocka_unit_test(fifo_holds_the_newest), cmocka_unit_test(a_reservoir_is_fair),
        cmocka_unit_test(balanced_is_balanced),  cmocka_unit_test(rehearsal_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
