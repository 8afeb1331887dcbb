/* The published rows for streams of Bernoulli errors, made again: 30 seeds of MOA's change generators, 10,000
 * records.
 *
 * Rows are those of the authors' notebooks (maurodlt/OptWin, dd-abrupt_binary and dd-gradual_binary), and counted as
 * there: abrupt looks at the first 1,998 records, with the change at record 1,000; gradual at all, where the rate
 * rises from record 2,000 on and every alarm up to record 2,998 is a true one. A change that is never seen has delay
 * 0. The streams are MOA's own (java.util.Random, seeds 1 to 30), so that nothing is left to chance: rows must agree
 * to the last digit.
 */
#include <math.h>
#include <stdbool.h>

#include "detector.h"
#include "expect.h"
#include "streams.h"

enum { SEEDS = 30, RECORDS = 10000 };

struct row {
    double false_alarms, delay;
};

static const struct method {
    const char *name;
    struct ta_detector_spec spec;
    struct row published[2]; /* abrupt, gradual; negative: no row was published */
} methods[] = {
    {"OPTWIN .1", {.type = TA_DETECTOR_OPTWIN, .optwin.rho = .1}, {{.20, 75}, {.30, 328}}},
    {"OPTWIN .5", {.type = TA_DETECTOR_OPTWIN, .optwin.rho = .5}, {{.10, 28}, {.10, 279}}},
    {"OPTWIN 1.0", {.type = TA_DETECTOR_OPTWIN, .optwin.rho = 1}, {{.67, 18}, {-1, -1}}},
    {"ADWIN", {.type = TA_DETECTOR_ADWIN, .code = TA_DETECTOR_MOA}, {{1.87, 46}, {1.63, 280}}},
    {"DDM", {.type = TA_DETECTOR_DDM, .code = TA_DETECTOR_MOA}, {{.20, 65}, {.37, 365}}},
    {"EDDM", {.type = TA_DETECTOR_EDDM, .code = TA_DETECTOR_MOA}, {{6.57, 27}, {6.33, 148}}},
    {"STEPD", {.type = TA_DETECTOR_STEPD, .code = TA_DETECTOR_MOA}, {{.40, 13}, {8.0, 181}}},
    {"ECDD", {.type = TA_DETECTOR_ECDD}, {{2.67, 5.5}, {5.37, 118}}},
    /* What nobody published: other codes and sides, and the foils. */
    {"  OPTWIN CapyMOA", {.type = TA_DETECTOR_OPTWIN, .code = TA_DETECTOR_CAPYMOA}, {{-1, -1}, {-1, -1}}},
    {"  OPTWIN welch", {.type = TA_DETECTOR_OPTWIN, .variant = TA_OPTWIN_WELCH}, {{-1, -1}, {-1, -1}}},
    {"  ADWIN rise", {.type = TA_DETECTOR_ADWIN, .side = TA_DETECTOR_RISE}, {{-1, -1}, {-1, -1}}},
    {"  DDM", {.type = TA_DETECTOR_DDM}, {{-1, -1}, {-1, -1}}},
    {"  EDDM", {.type = TA_DETECTOR_EDDM}, {{-1, -1}, {-1, -1}}},
    {"  STEPD rise", {.type = TA_DETECTOR_STEPD, .side = TA_DETECTOR_RISE}, {{-1, -1}, {-1, -1}}},
    {"  HDDM-A", {.type = TA_DETECTOR_HDDM_A}, {{-1, -1}, {-1, -1}}},
    {"  Page-Hinkley", {.type = TA_DETECTOR_PAGEHINKLEY, .side = TA_DETECTOR_RISE}, {{-1, -1}, {-1, -1}}},
    {"  never", {.type = TA_DETECTOR_NEVER}, {{-1, -1}, {-1, -1}}},
    {"  always", {.type = TA_DETECTOR_ALWAYS}, {{-1, -1}, {-1, -1}}},
};

static void one_run(struct ta_detector *d, int gradual, uint64_t seed, struct row *sum) {
    static double x[RECORDS];
    unsigned change = gradual ? 2000 : 1000, last = gradual ? RECORDS - 1 : 1998, true_alarms = 0;
    stream_moa(seed, gradual, 2000, RECORDS, x);
    ta_detector_reset(d);
    for (unsigned record = 1; record <= last; record++) {
        if (ta_detector_update(d, x[record - 1]) != TA_DETECTOR_DRIFT) continue;
        bool seen = record >= change;
        if (seen && true_alarms == 0) sum->delay += record + 1 - change; /* MOA asks before it feeds: one later */
        bool counts = gradual ? record + 1 >= 2000 && record + 1 < 3000 : seen && true_alarms == 0;
        true_alarms += seen;
        if (!counts) sum->false_alarms++;
    }
}

static struct row measure(const struct method *m, int gradual) {
    struct ta_detector d;
    struct row sum = {0, 0};
    assert_ok(ta_detector_open(&d, &m->spec));
    for (uint64_t seed = 1; seed <= SEEDS; seed++) one_run(&d, gradual, seed, &sum);
    ta_detector_close(&d);
    return (struct row){sum.false_alarms / SEEDS, sum.delay / SEEDS};
}

static void rows_are_the_published_ones(void **state) {
    (void)state;
    unsigned wrong = 0;
    printf("%-16s %21s   %21s   (false alarms / delay; published in brackets)\n", "", "abrupt", "gradual");
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        const struct method *m = &methods[i];
        printf("%-16s", m->name);
        for (int gradual = 0; gradual < 2; gradual++) {
            struct row ours = measure(m, gradual), theirs = m->published[gradual];
            printf(" %9.2f /%6.1f", ours.false_alarms, ours.delay);
            if (theirs.delay < 0) {
                printf(" %14s", "");
                continue;
            }
            printf(" (%5.2f /%4.*f)", theirs.false_alarms, theirs.delay == 5.5, theirs.delay);
            /* As many digits as were published. */
            wrong += fabs(ours.false_alarms - theirs.false_alarms) > .0051;
            wrong += fabs(ours.delay - theirs.delay) > (theirs.delay == 5.5 ? .051 : .51);
        }
        printf("\n");
    }
    assert_int_equal(wrong, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(rows_are_the_published_ones)};
    return cmocka_run_group_tests_name("published", tests, NULL, NULL);
}
