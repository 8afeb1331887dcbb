/* Quantiles against SciPy's and closed forms; OPTWIN's table against published points and against its own equation. */
#include <math.h>
#include <stdbool.h>

#include "detector_cuts.h"
#include "detector_quantile.h"
#include "expect.h"

static const char *folder;

static void assert_close(double ours, double theirs, double most, const char *what) {
    double off = fabs(ours - theirs) / fabs(theirs);
    if (!(off <= most)) fail_msg("%s: %.17g, not %.17g: off by %g", what, ours, theirs, off);
}

static void quantiles_are_scipys(void **state) {
    (void)state;
    char path[512], law, what[96];
    snprintf(path, sizeof path, "%s/quantiles.txt", folder);
    FILE *file = fopen(path, "r");
    if (file == NULL) fail_msg("cannot read %s", path);
    double tail, df1, df2, value;
    int lines = 0;
    for (; fscanf(file, " %c %lf %lf %lf %lf", &law, &tail, &df1, &df2, &value) == 5; lines++) {
        snprintf(what, sizeof what, "%c at %g for %g, %g", law, tail, df1, df2);
        double ours = law == 't' ? ta_t_quantile(tail, df1, 0) : ta_f_quantile(tail, df1, df2, 0);
        assert_close(ours, value, 1e-10, what);
        /* A guess, good or bad, changes nothing but the cost. */
        for (double guess = value / 50; guess < value * 60 && value > 0; guess *= 7) {
            double again = law == 't' ? ta_t_quantile(tail, df1, guess) : ta_f_quantile(tail, df1, df2, guess);
            assert_close(again, ours, 5e-11, what);
        }
    }
    fclose(file);
    assert_int_equal(lines, 7 * (8 + 13));
}

static void far_tails_have_closed_forms(void **state) {
    (void)state;
    for (double tail = .45; tail > 1e-30; tail /= 3.7) {
        assert_close(ta_t_quantile(tail, 1, 0), 1 / tan(M_PI * tail), 1e-12, "Cauchy");
        /* P(T > t) = 1/2 - t / (2 sqrt(2 + t^2)) for 2 degrees of freedom. */
        double c = 4 * tail * (1 - tail);
        assert_close(ta_t_quantile(tail, 2, 0), 2 * (.5 - tail) * sqrt(2 / c), 1e-12, "t of 2");
        for (double df1 = .5; df1 < 2e4; df1 *= 11) {
            /* P(F > f) = 1 - (1 + 2 / (df1 f))^(-df1 / 2) for 2 degrees of freedom below. */
            double f = 2 / (df1 * expm1(-2 / df1 * log1p(-tail)));
            assert_close(ta_f_quantile(tail, df1, 2, 0), f, 1e-11, "F over 2");
            assert_close(ta_f_tail(f, df1, 2), tail, 1e-10, "tail of F over 2");
        }
    }
    assert_true(ta_t_tail(0, 5) == .5 && ta_f_tail(0, 3, 4) == 1);
    assert_close(ta_t_tail(-1.5, 9) + ta_t_tail(1.5, 9), 1, 1e-15, "both tails");
}

static struct ta_optwin_cut *table_of(double confidence, double rho, uint32_t most, enum ta_optwin_variant variant) {
    struct ta_detector_spec spec = {.type = TA_DETECTOR_OPTWIN,
                                    .variant = variant,
                                    .optwin = {confidence, rho, .98, 1e-6, 30, most}};
    struct ta_optwin_cut *cuts;
    assert_ok(TA_NEW(&cuts, most + 1, "table"));
    ta_optwin_cuts(&spec, cuts);
    return cuts;
}

static void the_table_has_the_published_points(void **state) {
    (void)state;
    static const struct {
        uint32_t length, new;
        double f, t;
    } points[] = {
        {30, 14, 5.168, 3.242},  {200, 80, 1.814, 2.839},   {300, 68, 1.807, 2.837},
        {1000, 62, 1.789, 2.877}, {25000, 61, 1.776, 2.912},
    };
    struct ta_optwin_cut *cuts = table_of(.99, .5, 25000, TA_OPTWIN_PUBLISHED);
    for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
        const struct ta_optwin_cut *cut = &cuts[points[i].length];
        assert_int_equal(points[i].length - cut->old, points[i].new);
        assert_true(fabs(cut->f - points[i].f) < .00051 && fabs(cut->t - points[i].t) < .00051);
    }
    ta_mem_free(cuts);
}

/* rho less what the cut can tell, by quantiles without a guess. */
static double spare(double delta, double rho, double length, double old, bool welch) {
    double n = old, m = length - old, f = ta_f_quantile(1 - delta, n - 1, m - 1, 0);
    double ratio = welch ? f : 1 / (f * f), sum = 1 / n + ratio / m;
    double df = sum * sum / (1 / (n * n * (n - 1)) + ratio * ratio / (m * m * (m - 1)));
    return rho - ta_t_quantile(1 - delta, df, 0) * sqrt(1 / n + f / m);
}

/* Every window of a few tables, by a search from the far end that believes in nothing. */
static void cuts_are_the_last_that_tell(void **state) {
    (void)state;
    static const double rhos[] = {.2, .5, 1, 3}, confidences[] = {.9, .99, .9999};
    for (int i = 0; i < 24; i++) {
        double rho = rhos[i % 4], confidence = confidences[i / 4 % 3], delta = pow(confidence, .25);
        bool welch = i >= 12;
        struct ta_optwin_cut *cuts = table_of(confidence, rho, 700, welch ? TA_OPTWIN_WELCH : TA_OPTWIN_PUBLISHED);
        for (uint32_t length = 30; length <= 700; length += length < 60 ? 1 : 67) {
            uint32_t old = length - 2;
            while (old >= 2 && spare(delta, rho, length, old, welch) < 0) old--;
            if (old < 2) old = length / 2 + 1;
            if (cuts[length].old != old)
                fail_msg("rho %g, confidence %g, |W| %u: cut at %u, not %u", rho, confidence, length,
                         cuts[length].old, old);
            assert_close(cuts[length].f, ta_f_quantile(1 - delta, old - 1, length - old - 1, 0), 1e-11, "F");
            assert_true(cuts[length].t_warning > 1.9 && cuts[length].t > 0);
        }
        ta_mem_free(cuts);
    }
}

int main(int count, char **args) {
    if (count != 2) return 2;
    folder = args[1];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantiles_are_scipys),
        cmocka_unit_test(far_tails_have_closed_forms),
        cmocka_unit_test(the_table_has_the_published_points),
        cmocka_unit_test(cuts_are_the_last_that_tell),
    };
    return cmocka_run_group_tests_name("quantiles", tests, NULL, NULL);
}
