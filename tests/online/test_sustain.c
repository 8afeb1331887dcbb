/* The search for the highest rate kept, on queues whose capacity is known: a verdict is right on either side of it, and
 * the bracket holds it whatever the estimate, the noise and the batches are. */
#include <math.h>

#include "expect.h"
#include "rng.h"
#include "sustain.h"

enum { MOST_SAMPLES = 20000 };

/* One server, batches at equal distances or at random, service times that vary, and now and then a stall. */
struct queue {
    double capacity, batch, noise, stall_s, stalls_per_s;
    bool random;
};

struct probe {
    double t[MOST_SAMPLES], lag[MOST_SAMPLES];
    size_t n;
};

/* A sample whenever a batch is begun, as a replica takes it. */
static void offer(const struct queue *q, double rate, double seconds, struct ta_rng *rng, struct probe *out) {
    double due = 0, free_at = 0;
    for (out->n = 0; out->n < MOST_SAMPLES;) {
        double gap = 0;
        if (q->random && q->batch <= 8)
            for (int i = 0; i < (int)q->batch; i++) gap += ta_rng_exponential(rng) / rate;
        else gap = (q->batch + (q->random ? sqrt(q->batch) * ta_rng_normal(rng) : 0)) / rate; /* nearly its law */
        due += gap > 0 ? gap : 0;
        double begun = due > free_at ? due : free_at;
        if (begun > seconds) return;
        out->t[out->n] = begun;
        out->lag[out->n++] = begun - due;
        double service = q->batch / q->capacity * (1 + q->noise * (2 * ta_rng_uniform(rng) - 1));
        if (ta_rng_uniform(rng) < q->stalls_per_s * service) service += q->stall_s;
        free_at = begun + service;
    }
}

static struct ta_sustain_judge judge_of(double seconds) {
    return (struct ta_sustain_judge){.tolerance = .01, .confidence = .95, .from_s = seconds / 4, .until_s = seconds};
}

static bool is_kept(const struct queue *q, double rate, double seconds, struct ta_rng *rng) {
    static struct probe p;
    struct ta_sustain_judge judge = judge_of(seconds);
    struct ta_sustain_verdict verdict;
    offer(q, rate, seconds, rng, &p);
    assert_ok(ta_sustain_judge(&judge, p.t, p.lag, p.n, &verdict));
    return verdict.kept;
}

static void verdicts_on_either_side(void **state) {
    (void)state;
    struct ta_rng rng = ta_rng_make(3, 0);
    for (int i = 0; i < 100; i++) {
        struct queue q = {
            .capacity = exp(log(100) + ta_rng_uniform(&rng) * log(1e4)), .batch = 32, .noise = .3, .random = i % 2};
        q.batch = ceil(q.capacity / 300);
        assert_true(is_kept(&q, q.capacity * .9, 6, &rng));
        assert_false(is_kept(&q, q.capacity * 1.1, 6, &rng));
    }
}

/* The slope is the share of what is offered that is not served. */
static void slope_is_the_share_unserved(void **state) {
    (void)state;
    static struct probe p;
    struct ta_rng rng = ta_rng_make(5, 0);
    for (double over = 1.02; over < 4; over *= 1.2) {
        struct queue q = {.capacity = 10000, .batch = 32, .noise = .05};
        struct ta_sustain_judge judge = judge_of(5);
        struct ta_sustain_verdict v;
        offer(&q, over * q.capacity, 5, &rng, &p);
        assert_ok(ta_sustain_judge(&judge, p.t, p.lag, p.n, &v));
        assert_true(fabs(v.trend.slope - (1 - 1 / over)) < .005);
        assert_true(v.trend.low <= v.trend.slope && v.trend.slope <= v.trend.high);
    }
}

/* Runs a whole search; the number of probes it took. */
static unsigned search(const struct queue *q, const struct ta_sustain_spec *spec, double seconds, struct ta_rng *rng,
                       struct ta_sustain *s) {
    struct ta_sustain_probe probe;
    unsigned probes = 0;
    ta_status status;
    assert_ok(ta_sustain_begin(s, spec));
    while ((status = ta_sustain_next(s, &probe)) == TA_OK) {
        assert_true(probe.seed < spec->seeds);
        assert_true(++probes < 500);
        ta_sustain_tell(s, is_kept(q, probe.rate, seconds, rng));
    }
    assert_int_equal(status, TA_END);
    return probes;
}

static void finds_the_capacity(void **state) {
    (void)state;
    struct ta_rng rng = ta_rng_make(7, 0);
    for (int i = 0; i < 24; i++) {
        struct queue q = {.capacity = exp(log(500) + ta_rng_uniform(&rng) * log(1e3)),
                          .noise = ta_rng_uniform(&rng) * .5,
                          .stall_s = ta_rng_uniform(&rng) * .02,
                          .stalls_per_s = ta_rng_uniform(&rng),
                          .random = i % 2};
        q.batch = ceil(q.capacity / 400);
        double served = q.capacity / (1 + q.stall_s * q.stalls_per_s);
        struct ta_sustain_spec spec = {.estimate = q.capacity * (.8 + ta_rng_uniform(&rng) * .4),
                                       .precision = .02,
                                       .seeds = 1 + 2 * (unsigned)(i % 2)};
        struct ta_sustain s;
        search(&q, &spec, 8, &rng, &s);
        assert_true(s.low < s.high && s.high <= s.low * 1.02 + 1e-9);
        if (s.high < served * .95 || s.low > served * 1.05)
            fail_msg("queue %d serves %g/s, found %g..%g", i, served, s.low, s.high);
    }
}

/* Even an estimate that is off by a hundred, in as many probes as doubling steps and halvings take. */
static void survives_a_bad_estimate(void **state) {
    (void)state;
    struct ta_rng rng = ta_rng_make(9, 0);
    for (double off = .01; off < 101; off *= 10) {
        struct queue q = {.capacity = 5000, .batch = 16, .noise = .1};
        struct ta_sustain_spec spec = {.estimate = q.capacity * off, .precision = .02, .seeds = 1};
        struct ta_sustain s;
        assert_true(search(&q, &spec, 4, &rng, &s) <= 20);
        assert_true(s.low < q.capacity * 1.03 && s.high > q.capacity * .97);
    }
}

static void good_estimates_take_as_many_probes_as_planned(void **state) {
    (void)state;
    struct ta_rng rng = ta_rng_make(11, 0);
    for (unsigned seeds = 1; seeds <= 5; seeds++) {
        struct queue q = {.capacity = 8000, .batch = 16};
        struct ta_sustain_spec spec = {.estimate = q.capacity, .precision = .01 + .01 * seeds, .seeds = seeds};
        struct ta_sustain s;
        assert_true(search(&q, &spec, 4, &rng, &s) <= ta_sustain_most_probes(&spec));
    }
}

static void votes(void **state) {
    (void)state;
    struct ta_sustain s;
    struct ta_sustain_probe p;
    assert_ok(ta_sustain_begin(&s, &(struct ta_sustain_spec){.estimate = 100, .precision = .1, .seeds = 3}));
    assert_ok(ta_sustain_next(&s, &p));
    assert_true(p.rate == 95 && p.seed == 0);
    ta_sustain_tell(&s, false);
    assert_ok(ta_sustain_next(&s, &p));
    assert_true(p.rate == 95 && p.seed == 1);
    ta_sustain_tell(&s, true);
    ta_sustain_tell(&s, true); /* two of three */
    assert_true(s.low == 95 && s.high == 0);
    assert_ok(ta_sustain_next(&s, &p));
    assert_true(fabs(p.rate - 99.75) < 1e-9 && p.seed == 0);
    ta_sustain_tell(&s, false);
    ta_sustain_tell(&s, false); /* the third is not asked */
    assert_true(s.low == 95 && fabs(s.high - 99.75) < 1e-9);
    assert_int_equal(ta_sustain_next(&s, &p), TA_END);
}

static void nothing_and_everything(void **state) {
    (void)state;
    struct ta_sustain s;
    struct ta_sustain_probe p;
    for (int kept = 0; kept < 2; kept++) {
        ta_status status;
        unsigned rates = 0;
        assert_ok(ta_sustain_begin(&s, &(struct ta_sustain_spec){.estimate = 1e5, .precision = .02, .seeds = 1}));
        for (; (status = ta_sustain_next(&s, &p)) == TA_OK; rates++) ta_sustain_tell(&s, kept != 0);
        assert_int_equal(status, TA_FAILED);
        assert_non_null(strstr(ta_why(), kept ? "all rates were sustained" : "no rate was sustained"));
        assert_true(rates < 16);
    }
}

static void bad_input(void **state) {
    (void)state;
    struct ta_sustain s;
    static const struct ta_sustain_spec bad[] = {
        {0, .1, 1}, {-1, .1, 1}, {NAN, .1, 1}, {INFINITY, .1, 1}, {1, 0, 1}, {1, 1, 1}, {1, NAN, 1}, {1, .1, 0}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_fails(TA_INVALID, "sustain", ta_sustain_begin(&s, &bad[i]));
    struct ta_sustain_verdict v;
    struct ta_sustain_judge judge = judge_of(10);
    double t[10], lag[10];
    for (int i = 0; i < 10; i++) t[i] = i, lag[i] = .1;
    assert_fails(TA_AGAIN, "measure longer", ta_sustain_judge(&judge, t, lag, 0, &v));
    assert_fails(TA_AGAIN, "measure longer", ta_sustain_judge(&judge, t, lag, 5, &v)); /* two after the warm-up */
    assert_ok(ta_sustain_judge(&judge, t, lag, 6, &v));
    assert_true(v.silent && !v.kept); /* nothing after second 5 */
    assert_ok(ta_sustain_judge(&judge, t, lag, 10, &v));
    assert_true(!v.silent && v.kept);
    judge.dropped = 1;
    assert_ok(ta_sustain_judge(&judge, t, lag, 10, &v));
    assert_false(v.kept);
    judge.tolerance = 0;
    assert_fails(TA_INVALID, "tolerance", ta_sustain_judge(&judge, t, lag, 10, &v));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verdicts_on_either_side),
        cmocka_unit_test(slope_is_the_share_unserved),
        cmocka_unit_test(finds_the_capacity),
        cmocka_unit_test(survives_a_bad_estimate),
        cmocka_unit_test(good_estimates_take_as_many_probes_as_planned),
        cmocka_unit_test(votes),
        cmocka_unit_test(nothing_and_everything),
        cmocka_unit_test(bad_input),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
