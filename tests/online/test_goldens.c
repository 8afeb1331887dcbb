/* Alarms of all detectors, at every position, against those of River, CapyMOA and MOA: goldens.txt. */
#include "detector.h"
#include "expect.h"
#include "streams.h"

static const char *folder;

/* The names that make_goldens.py uses, with the same parameters. */
static const struct config {
    const char *name;
    struct ta_detector_spec spec;
} configs[] = {
    {"adwin", {.type = TA_DETECTOR_ADWIN}},
    {"adwin.eager", {.type = TA_DETECTOR_ADWIN, .adwin = {.05, 1, 3, 2, 20}}},
    {"adwin.moa", {.type = TA_DETECTOR_ADWIN, .code = TA_DETECTOR_MOA}},
    {"ddm", {.type = TA_DETECTOR_DDM}},
    {"ddm.eager", {.type = TA_DETECTOR_DDM, .ddm = {1, 2, 10}}},
    {"ddm.moa", {.type = TA_DETECTOR_DDM, .code = TA_DETECTOR_MOA}},
    {"eddm", {.type = TA_DETECTOR_EDDM}},
    {"eddm.lazy", {.type = TA_DETECTOR_EDDM, .eddm = {.9, .8, 50}}},
    {"eddm.moa", {.type = TA_DETECTOR_EDDM, .code = TA_DETECTOR_MOA}},
    {"pagehinkley", {.type = TA_DETECTOR_PAGEHINKLEY}},
    {"pagehinkley.up", {.type = TA_DETECTOR_PAGEHINKLEY, .side = TA_DETECTOR_RISE, .pagehinkley = {.02, 8, .999, 50}}},
    {"pagehinkley.down", {.type = TA_DETECTOR_PAGEHINKLEY, .side = TA_DETECTOR_FALL, .pagehinkley.threshold = 8}},
    {"kswin", {.type = TA_DETECTOR_KSWIN, .kswin.seed = 1}},
    {"kswin.large", {.type = TA_DETECTOR_KSWIN, .kswin = {.001, 600, 40, UINT64_C(0x123456789)}}},
    {"stepd", {.type = TA_DETECTOR_STEPD, .code = TA_DETECTOR_MOA}},
    {"stepd.wide", {.type = TA_DETECTOR_STEPD, .code = TA_DETECTOR_MOA, .stepd = {.01, .001, 60}}},
    {"ecdd", {.type = TA_DETECTOR_ECDD}},
    {"ecdd.slow", {.type = TA_DETECTOR_ECDD, .ecdd = {.1, 60, 400}}},
    {"hddm_a", {.type = TA_DETECTOR_HDDM_A}},
    {"hddm_a.both", {.type = TA_DETECTOR_HDDM_A, .side = TA_DETECTOR_BOTH, .hddm_a = {.05, .01}}},
    {"optwin", {.type = TA_DETECTOR_OPTWIN, .code = TA_DETECTOR_CAPYMOA, .optwin.window_max = 1500}},
    {"optwin.weak", {.type = TA_DETECTOR_OPTWIN,
                     .code = TA_DETECTOR_CAPYMOA,
                     .optwin = {.confidence = .999, .rho = .1, .window_max = 1500}}},
    {"optwin.authors", {.type = TA_DETECTOR_OPTWIN, .optwin = {.rho = 1, .window_max = 1500}}},
    {"optwin.slide", {.type = TA_DETECTOR_OPTWIN, .code = TA_DETECTOR_CAPYMOA, .optwin.window_max = 200}},
};

static const struct config *config_of(const char *name) {
    for (size_t i = 0; i < sizeof configs / sizeof *configs; i++)
        if (strcmp(configs[i].name, name) == 0) return &configs[i];
    fail_msg("goldens.txt names '%s', which is not known here", name);
    return NULL;
}

/* The same line that the script prints. */
static void our_line(const char *stream, const char *name, char *line, size_t size) {
    static double x[STREAM_MOST];
    static unsigned drifts[STREAM_MOST];
    char losses[512];
    snprintf(losses, sizeof losses, "%s/losses.txt", folder);
    size_t n = stream_make(stream, losses, x), n_drifts = 0, n_warnings = 0, sum = 0;
    if (n == 0) fail_msg("there is no stream '%s'", stream);
    struct ta_detector d;
    assert_ok(ta_detector_open(&d, &config_of(name)->spec));
    for (unsigned i = 0; i < n; i++) {
        enum ta_detector_verdict verdict = ta_detector_update(&d, x[i]);
        if (verdict == TA_DETECTOR_DRIFT) drifts[n_drifts++] = i;
        if (verdict == TA_DETECTOR_WARNING) n_warnings++, sum += i;
    }
    assert_int_equal(d.updates, n);
    assert_int_equal(d.drifts, n_drifts);
    assert_int_equal(d.warnings, n_warnings);
    ta_detector_close(&d);
    int at = snprintf(line, size, "%s %s %zu", stream, name, n_drifts);
    for (size_t i = 0; i < n_drifts; i++) at += snprintf(line + at, size - (size_t)at, " %u", drifts[i]);
    snprintf(line + at, size - (size_t)at, " w %zu %zu", n_warnings, sum);
}

static void alarms_are_those_of_the_references(void **state) {
    (void)state;
    static char theirs[60000], ours[60000];
    char path[512], stream[32], name[32];
    snprintf(path, sizeof path, "%s/goldens.txt", folder);
    FILE *file = fopen(path, "r");
    if (file == NULL) fail_msg("cannot read %s", path);
    unsigned lines = 0, different = 0;
    while (fgets(theirs, sizeof theirs, file) != NULL) {
        theirs[strcspn(theirs, "\n")] = '\0';
        assert_int_equal(sscanf(theirs, "%31s %31s", stream, name), 2);
        our_line(stream, name, ours, sizeof ours);
        lines++;
        if (strcmp(ours, theirs) == 0) continue;
        different++;
        print_error("theirs %.1500s\nours   %.1500s\n", theirs, ours);
    }
    fclose(file);
    print_message("%u lists of alarms compared\n", lines);
    assert_true(lines >= 150);
    assert_int_equal(different, 0);
}

int main(int count, char **args) {
    if (count != 2) return 2;
    folder = args[1];
    const struct CMUnitTest tests[] = {cmocka_unit_test(alarms_are_those_of_the_references)};
    return cmocka_run_group_tests_name("goldens", tests, NULL, NULL);
}
