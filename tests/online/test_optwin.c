/* OPTWIN against its definition: a window kept as a list, summed anew for every number in long double.
 *
 * Where the window slides, where a spike leaves it, and in Welch's variant there is no reference to be had.
 */
#include <math.h>
#include <stdbool.h>

#include "detector.h"
#include "detector_cuts.h"
#include "expect.h"
#include "streams.h"

enum { MOST = 400 };

/* The window, oldest first. */
struct plain {
    double x[MOST + 1];
    uint32_t n;
};

static void mean_and_deviation(const double *x, uint32_t n, double noise, long double *mean, long double *deviation) {
    long double sum = 0, squares = 0;
    for (uint32_t i = 0; i < n; i++) sum += (long double)x[i];
    *mean = sum / n;
    for (uint32_t i = 0; i < n; i++) squares += ((long double)x[i] - *mean) * ((long double)x[i] - *mean);
    *deviation = sqrtl(squares / n) + (long double)noise;
}

/* The verdict by the book; *close is set when rounding may decide. */
static enum ta_detector_verdict by_the_book(struct plain *w, const struct ta_detector *d, double x, bool *close) {
    const struct ta_optwin_cut *cuts = d->table;
    w->x[w->n++] = x;
    *close = false;
    if (w->n > d->spec.optwin.window_max) memmove(w->x, w->x + 1, --w->n * sizeof *w->x);
    if (w->n < d->spec.optwin.window_min) return TA_DETECTOR_OK;
    uint32_t old = cuts[w->n].old, new = w->n - old;
    long double mean_old, mean_new, s_old, s_new;
    mean_and_deviation(w->x, old, d->spec.optwin.noise, &mean_old, &s_old);
    mean_and_deviation(w->x + old, new, d->spec.optwin.noise, &mean_new, &s_new);
    bool welch = d->spec.variant == TA_OPTWIN_WELCH;
    long double error = sqrtl((welch ? s_new * s_new : s_new) / new + (welch ? s_old * s_old : s_old) / old);
    long double t = (mean_new - mean_old) / error, f = s_new * s_new / (s_old * s_old);
    long double edges[] = {t - (long double)cuts[w->n].t, t - (long double)cuts[w->n].t_warning,
                           f / (long double)cuts[w->n].f - 1, (mean_new - mean_old) / (fabsl(mean_old) + 1e-30L)};
    for (int i = 0; i < 4; i++) *close |= fabsl(edges[i]) < 1e-6L;
    bool wider = edges[2] > 0;
    if (edges[0] > 0 || (wider && mean_new > mean_old)) {
        w->n = 0;
        if (d->spec.code == TA_DETECTOR_REFERENCE) w->x[w->n++] = x;
        return TA_DETECTOR_DRIFT;
    }
    if (wider && d->spec.code == TA_DETECTOR_CAPYMOA) {
        w->n = 0;
        return TA_DETECTOR_OK;
    }
    return edges[1] > 0 ? TA_DETECTOR_WARNING : TA_DETECTOR_OK;
}

/* Losses that come down, with changes; with `spikes`, one in 150 a million times as large, or a million million. */
static double loss(struct java *r, int i, bool spikes) {
    double level = 1 + 4 * exp(-i / 300.) + (i / 1000 % 2 == 1) * .8, x = level + .3 * java_normal(r);
    double lot = java_uniform(r);
    if (spikes && lot < 1. / 150) return x * (lot < 1. / 500 ? 1e12 : 1e6);
    return spikes ? x * 1e-3 : x;
}

static void verdicts_are_those_of_the_definition(void **state) {
    (void)state;
    unsigned drifts = 0, warnings = 0, close_calls = 0;
    for (int run = 0; run < 48; run++) {
        struct ta_detector_spec spec = {.type = TA_DETECTOR_OPTWIN,
                                        .variant = run % 2 ? TA_OPTWIN_WELCH : TA_OPTWIN_PUBLISHED,
                                        .code = run / 2 % 2 ? TA_DETECTOR_CAPYMOA : TA_DETECTOR_REFERENCE,
                                        .optwin = {.rho = run / 4 % 3 == 0   ? .2
                                                          : run / 4 % 3 == 1 ? .5
                                                                             : 1,
                                                   .window_max = run / 12 % 2 ? 60 : MOST}};
        struct ta_detector d;
        struct plain w = {.n = 0};
        struct java r = java_make((uint64_t)run + 1);
        assert_ok(ta_detector_open(&d, &spec));
        for (int i = 0; i < 4000; i++) {
            double x = loss(&r, i, run >= 24);
            bool close;
            enum ta_detector_verdict theirs = by_the_book(&w, &d, x, &close), ours = ta_detector_update(&d, x);
            close_calls += close;
            if (ours != theirs && close) break; /* from here on they hold different windows */
            if (ours != theirs) fail_msg("run %d, number %d: %d, not %d", run, i, (int)ours, (int)theirs);
            drifts += ours == TA_DETECTOR_DRIFT;
            warnings += ours == TA_DETECTOR_WARNING;
        }
        ta_detector_close(&d);
    }
    print_message("%u drifts, %u warnings, %u close calls\n", drifts, warnings, close_calls);
    assert_true(drifts > 150 && warnings > 400 && close_calls < 100);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(verdicts_are_those_of_the_definition)};
    return cmocka_run_group_tests_name("optwin", tests, NULL, NULL);
}
