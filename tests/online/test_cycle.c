/* What the cycle of training, predicting and training again is decided by: plateau, detector, what the others say. */
#include "expect.h"

#include <math.h>

#include "alarms.h"
#include "cycle.h"
#include "plateau.h"
#include "rng.h"

enum { MOST = 4000 };

/* --- plateau --- */

/* The rule as it stands in the header, over the whole history. */
static bool by_hand(const double *losses, unsigned n, const struct ta_plateau_spec *s) {
    if (n % s->stretch != 0 || n / s->stretch < s->patience) return false;
    double newest = 0, highest = 0, lowest = INFINITY;
    for (unsigned k = 0; k < s->patience; k++) {
        double sum = 0;
        for (unsigned i = n - (k + 1) * s->stretch; i < n - k * s->stretch; i++) sum += losses[i];
        if (k == 0) newest = sum / s->stretch;
        highest = fmax(highest, sum / s->stretch);
        lowest = fmin(lowest, sum / s->stretch);
    }
    return highest + s->floor <= s->factor * (newest + s->floor) &&
           newest + s->floor <= s->factor * (lowest + s->floor);
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

/* Three learners, each with its own noise and the others' last stretches: all judge as one that sees the mean of
 * them. */
static void a_plateau_of_several(void **state) {
    (void)state;
    enum { STRETCHES = 200, STRETCH = 5, LEARNERS = 3 };
    unsigned converged = 0, differs = 0;
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct ta_rng rng = ta_rng_make(seed, 8);
        struct ta_plateau_spec spec = {.stretch = STRETCH, .patience = 4, .factor = 1.05};
        struct ta_plateau p[LEARNERS], alone, whole;
        for (unsigned i = 0; i < LEARNERS; i++) assert_ok(ta_plateau_init(&p[i], &spec));
        assert_ok(ta_plateau_init(&alone, &spec));
        assert_ok(ta_plateau_init(&whole, &spec));
        for (unsigned s = 0; s < STRETCHES; s++) {
            double loss[LEARNERS], sum = 0, level = .5 + exp2(-(double)s / 10), push = .1 * ta_rng_normal(&rng);
            const double share[LEARNERS] = {push, -push, .01 * ta_rng_uniform(&rng)};
            for (unsigned i = 0; i < LEARNERS; i++) sum += loss[i] = level + share[i];
            for (unsigned n = 0; n < STRETCH; n++) {
                bool wanted = ta_plateau_add(&whole, sum / LEARNERS);
                for (unsigned i = 0; i < LEARNERS; i++) {
                    ta_plateau_others(&p[i], sum - loss[i], LEARNERS - 1);
                    assert_int_equal(ta_plateau_add(&p[i], loss[i]), wanted);
                }
                converged += wanted;
                differs += wanted != ta_plateau_add(&alone, loss[0]);
            }
        }
        ta_plateau_restart(&p[0]);
        assert_true(p[0].others == 0);
        for (unsigned i = 0; i < LEARNERS; i++) ta_plateau_free(&p[i]);
        ta_plateau_free(&alone);
        ta_plateau_free(&whole);
    }
    assert_true(converged > 1000 && differs > 1000);
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

/* --- the cycle, several replicas together --- */

enum { REPLICAS = 4 };

struct company {
    struct ta_cycle cycle[REPLICAS];
    uint64_t said[REPLICAS][REPLICAS]; /* [to][from] number, and whether it had converged: late, never lost for good */
    bool converged[REPLICAS][REPLICAS];
    unsigned changes[REPLICAS];
};

static void company_open(struct company *m, enum ta_mode mode) {
    *m = (struct company){0};
    struct ta_cycle_spec spec = {
        .mode = mode,
        .cool_down = 20,
        .detector = {.type = TA_DETECTOR_PAGEHINKLEY, .pagehinkley = {.delta = .02, .threshold = 2}},
        .plateau = {.stretch = 50, .patience = 4, .factor = 1.05}};
    for (unsigned i = 0; i < REPLICAS; i++) assert_ok(ta_cycle_init(&m->cycle[i], &spec));
}

static void company_close(struct company *m) {
    for (unsigned i = 0; i < REPLICAS; i++) ta_cycle_free(&m->cycle[i]);
    assert_int_equal(ta_mem_held_bytes(), 0);
}

static void hear_others(struct company *m, unsigned i) {
    struct ta_cycle *c = &m->cycle[i];
    bool all = true;
    for (unsigned from = 0; from < REPLICAS; from++) {
        if (from == i) continue;
        m->changes[i] += ta_cycle_hear(c, m->said[i][from]);
        all &= m->converged[i][from] && m->said[i][from] == c->number;
    }
    if (i == 0 && all) m->changes[i] += ta_cycle_rest(c);
}

/* One record of one replica, after some of what the others said has come through. */
static enum ta_cycle_news company_step(struct company *m, unsigned i, double loss, struct ta_rng *rng) {
    for (unsigned from = 0; from < REPLICAS; from++) {
        if (from == i || ta_rng_below(rng, 5) > 0) continue;
        m->said[i][from] = m->cycle[from].number;
        m->converged[i][from] = m->cycle[from].converged;
    }
    hear_others(m, i);
    enum ta_cycle_news news = ta_cycle_add(&m->cycle[i], loss, true);
    m->changes[i] += news == TA_CYCLE_DRIFT;
    return news;
}

static void finish_talking(struct company *m) {
    for (unsigned round = 0; round < 3; round++)
        for (unsigned i = 0; i < REPLICAS; i++) {
            for (unsigned from = 0; from < REPLICAS; from++) {
                m->said[i][from] = m->cycle[from].number;
                m->converged[i][from] = m->cycle[from].converged;
            }
            hear_others(m, i);
        }
}

/* Three worlds, one after the other; in each the loss comes down while trained. All replicas end up where they should,
 * together, whoever was first to see it. */
static void replicas_turn_together(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 40; seed++) {
        struct company m;
        struct ta_rng rng = ta_rng_make(seed, 11);
        double level = 1;
        company_open(&m, TA_MODE_AUTO);
        for (unsigned world = 0; world < 3; world++) {
            level = 1;
            for (unsigned n = 0; n < 12000; n++) {
                unsigned i = ta_rng_below(&rng, REPLICAS);
                bool trains = ta_cycle_trains(&m.cycle[i]);
                if (trains) level = .1 + (level - .1) * .999;
                (void)company_step(&m, i, level + .02 * ta_rng_normal(&rng), &rng);
            }
            finish_talking(&m);
            for (unsigned i = 0; i < REPLICAS; i++) {
                assert_true(m.cycle[i].number == 2 * world + 1);
                assert_false(ta_cycle_trains(&m.cycle[i]));
            }
            assert_true(level < .12);
        }
        uint64_t alarms = 0;
        for (unsigned i = 0; i < REPLICAS; i++) alarms += m.cycle[i].alarms;
        assert_true(alarms >= 2); /* two at once are one change: the numbers above say so */
        company_close(&m);
    }
}

static void the_other_modes(void **state) {
    (void)state;
    struct company m;
    struct ta_rng rng = ta_rng_make(1, 12);
    for (int mode = TA_MODE_TRAIN; mode <= TA_MODE_PREDICT; mode++) {
        company_open(&m, (enum ta_mode)mode);
        for (unsigned n = 0; n < 20000; n++) {
            double loss = (n < 10000 ? .1 : .5) + .02 * ta_rng_normal(&rng);
            (void)company_step(&m, n % REPLICAS, loss, &rng);
            assert_int_equal(ta_cycle_trains(&m.cycle[n % REPLICAS]), mode == TA_MODE_TRAIN);
            if (n == 9999) assert_true(m.cycle[0].number == 0);
        }
        finish_talking(&m);
        for (unsigned i = 0; i < REPLICAS; i++) assert_true(m.cycle[i].number == 2 && m.changes[i] == 1);
        assert_false(ta_cycle_rest(&m.cycle[0]));
        ta_cycle_resume(&m.cycle[0], 6);
        assert_true(m.cycle[0].number == 6 && !ta_cycle_hear(&m.cycle[0], 6) && ta_cycle_hear(&m.cycle[0], 8));
        company_close(&m);
    }
    struct ta_cycle c;
    assert_fails(TA_CONFIG, "rho", ta_cycle_init(&c, &(struct ta_cycle_spec){.detector = {.optwin = {.rho = -1}}}));
    ta_cycle_free(&c);
    struct ta_cycle_spec errors = {.watch_errors = true, .detector = {.type = TA_DETECTOR_DDM}};
    assert_ok(ta_cycle_init(&c, &errors));
    unsigned warnings = 0, drifts = 0;
    for (unsigned n = 0; n < 3000; n++) { /* losses that say nothing, errors that do */
        enum ta_cycle_news news = ta_cycle_add(&c, NAN, ta_rng_uniform(&rng) > (n < 1500 ? .05 : .4));
        warnings += news == TA_CYCLE_WARNING;
        drifts += news == TA_CYCLE_DRIFT;
    }
    assert_true(drifts >= 1 && drifts < 4 && warnings >= 1 && warnings < 40 && c.warnings == warnings &&
                c.alarms == drifts);
    ta_cycle_free(&c);
}

/* The detector sees one number for so many records; what was begun is forgotten with each change and in the
 * cool-down. */
static void means_of_several(void **state) {
    (void)state;
    struct ta_cycle_spec spec = {
        .mode = TA_MODE_TRAIN, .cool_down = 5, .average = 8, .detector = {.type = TA_DETECTOR_ALWAYS}};
    struct ta_cycle c;
    assert_ok(ta_cycle_init(&c, &spec));
    for (unsigned n = 1; n <= 8 + 4 * 13; n++) {
        bool due = n >= 8 && (n - 8) % 13 == 0;
        assert_int_equal(ta_cycle_add(&c, n == 3 ? NAN : 1, true), due && n > 8 ? TA_CYCLE_DRIFT : TA_CYCLE_NOTHING);
        if (n == 8) { /* the mean of NaN was no number; the next one is whole */
            assert_int_equal(c.detector.ignored, 1);
            ta_cycle_free(&c);
            assert_ok(ta_cycle_init(&c, &spec));
            for (unsigned k = 1; k <= 8; k++)
                assert_int_equal(ta_cycle_add(&c, 1, true), k == 8 ? TA_CYCLE_DRIFT : TA_CYCLE_NOTHING);
        }
    }
    assert_int_equal(c.alarms, 5);
    ta_cycle_free(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plateau_is_one),      cmocka_unit_test(a_plateau_survives_nonsense),
        cmocka_unit_test(a_plateau_of_several),
        cmocka_unit_test(alarms_are_told_apart), cmocka_unit_test(alarms_by_definition),
        cmocka_unit_test(replicas_turn_together), cmocka_unit_test(the_other_modes),
        cmocka_unit_test(means_of_several),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
