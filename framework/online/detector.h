/* detector: has the thing that makes these numbers changed? Drift detectors over a stream of errors or losses.
 *
 * A detector is a pure function of the numbers it was fed: no clock, no threads, no files, and no random numbers but
 * KSWIN's, which come from its seed. Numbers go in one by one, in order; each gives OK, WARNING or DRIFT. Needs nothing
 * of the house but ta_base (memory, status) and libm.
 *
 *     struct ta_detector d;
 *     struct ta_detector_spec spec = {.type = TA_DETECTOR_OPTWIN, .optwin.rho = .1};
 *     if (ta_detector_open(&d, &spec) != TA_OK) ...
 *     for each loss: if (ta_detector_update(&d, loss) == TA_DETECTOR_DRIFT) retrain();
 *     ta_detector_close(&d);
 *
 * Which numbers. Those marked "errors" take shares of error in [0, 1], mostly 0 (right) and 1 (wrong); EDDM and STEPD
 * count what is at least 1/2 as an error. The others take any number. What a detector cannot use is ignored: it changes
 * nothing, is counted in `ignored`, and gives OK. That is: NaN, infinities, numbers beyond +-1e100 (their squares would
 * spoil every sum they are in), and for "errors" everything outside [0, 1].
 *
 * Which direction. Drift means that the numbers rise: a model that gets better has not met a new concept. Four
 * references also alarm when they fall (ADWIN, Page-Hinkley, KSWIN, STEPD), and their defaults are kept; who watches
 * losses wants `side: TA_DETECTOR_RISE`. A constant stream never alarms, up to magnitudes of 1e12 (`always` and STEPD
 * with code TA_DETECTOR_MOA excepted). A detector fed nothing knows nothing: it has no state but its parameters.
 *
 * After DRIFT the detector begins again by itself with the next number (what it keeps of the past is said with each
 * make). Cost: no allocation after open; memory is fixed by the spec. OPTWIN, ADWIN, DDM, EDDM, Page-Hinkley, ECDD,
 * STEPD and HDDM-A take tens of nanoseconds a number, KSWIN a microsecond or more.
 *
 * References. Two programs call the same detector by one name and differ in detail. `code` picks one:
 * TA_DETECTOR_REFERENCE is River 0.26 (ADWIN, DDM, EDDM, HDDM-A, Page-Hinkley, KSWIN), what the authors ran for their
 * tables (OPTWIN), or the paper as MOA has it (STEPD, ECDD); TA_DETECTOR_MOA is MOA's ADWIN, DDM, EDDM and STEPD to the
 * letter; TA_DETECTOR_CAPYMOA is CapyMOA 0.15's OPTWIN. Alarms are equal at every position (tests/online), except where
 * a reference is wrong, said below.
 *
 * Threads: one detector belongs to one thread; different detectors are independent.
 */
#ifndef TA_DETECTOR_H
#define TA_DETECTOR_H

#include <stddef.h>
#include <stdint.h>

#include "status.h"

/* X(enum name, name in a configuration) */
#define TA_DETECTOR_LIST(X)                                                                                            \
    X(OPTWIN, optwin)                                                                                                  \
    X(ADWIN, adwin)                                                                                                    \
    X(DDM, ddm)                                                                                                        \
    X(EDDM, eddm)                                                                                                      \
    X(PAGEHINKLEY, pagehinkley)                                                                                        \
    X(KSWIN, kswin)                                                                                                    \
    X(STEPD, stepd)                                                                                                    \
    X(ECDD, ecdd)                                                                                                      \
    X(HDDM_A, hddm_a)                                                                                                  \
    X(NEVER, never)                                                                                                    \
    X(ALWAYS, always)

enum ta_detector_type {
#define X(name, text) TA_DETECTOR_##name,
    TA_DETECTOR_LIST(X)
#undef X
        TA_DETECTOR_TYPES
};

enum ta_detector_verdict { TA_DETECTOR_OK, TA_DETECTOR_WARNING, TA_DETECTOR_DRIFT };

enum ta_detector_side {
    TA_DETECTOR_SIDE_DEFAULT, /* the reference's: adwin, pagehinkley, kswin, stepd both, the others rise */
    TA_DETECTOR_RISE,
    TA_DETECTOR_FALL, /* only adwin, pagehinkley, kswin, stepd */
    TA_DETECTOR_BOTH, /* these four and hddm_a */
};

enum ta_detector_code { TA_DETECTOR_REFERENCE, TA_DETECTOR_MOA, TA_DETECTOR_CAPYMOA };

/* What the t-test of OPTWIN divides by: sqrt(s_new / n_new + s_old / n_old) as in its authors' code (and degrees of
 * freedom with the variance ratio 1/F^2), or sqrt(s_new^2 / n_new + s_old^2 / n_old) as Welch's test has it (ratio
 * F). */
enum ta_optwin_variant { TA_OPTWIN_PUBLISHED, TA_OPTWIN_WELCH };

/* 0 is the reference's default everywhere (in brackets). Only the group of the chosen type is looked at. There is no
 * padding in here: a filled-in spec is compared byte by byte when a state is loaded. */
struct ta_detector_spec {
    enum ta_detector_type type;
    enum ta_detector_side side;
    enum ta_detector_code code;
    enum ta_optwin_variant variant; /* of optwin */

    /* OPTWIN (Tosi, Theobald, arXiv 2305.11942). A window of at most window_max [25000] numbers is cut into old and
     * new where a difference of rho [.5] standard deviations can just be told with `confidence` [.99]; the cut and
     * the critical values of t and F for every length stand in a table made at open. Drift: t above its critical
     * value, or the spread grew beyond F's while the mean rose. WARNING: t above the quantile `warning` [.98].
     * Nothing happens below window_min [30] numbers. `noise` [1e-6] is added to both standard deviations. After
     * DRIFT the window holds the number that alarmed (CAPYMOA: nothing). CAPYMOA also empties it, without alarm,
     * when the spread grew while the mean fell; that throws away drifts of a loss that is still coming down, so
     * prefer the default. Departure: when the window is full and slides, both programs put the wrong number (one
     * behind the cut) on the old side, and CapyMOA takes the wrong one off it; here the right ones move. */
    struct {
        double confidence, rho, warning, noise;
        uint32_t window_min, window_max; /* 10 .. window_max, .. 10,000,000 */
    } optwin;

    /* ADWIN (Bifet, Gavalda, SDM 2007). delta [.002], looked at every `clock` [32] numbers, when more than `grace`
     * [10] are there; max_buckets [5] of a size; neither side of a cut shorter than min_window [5]. No warnings.
     * After DRIFT it begins empty; on code MOA, or when the change was to the side not asked for, what is left of
     * the window stays. */
    struct {
        double delta;
        uint32_t clock, max_buckets, min_window, grace;
    } adwin;

    /* DDM (Gama et al., SBIA 2004). Errors. The rate p + s against its minimum + `warning` [2] and `drift` [3]
     * deviations, after warm_start [30] numbers. */
    struct {
        double warning, drift;
        uint64_t warm_start;
    } ddm;

    /* EDDM (Baena-Garcia et al., IWKDDS 2006). Errors. Distances between errors shrink below `warning` [.95] and
     * `drift` [.9] of their best, after warm_start [30] errors. */
    struct {
        double warning, drift;
        uint64_t warm_start;
    } eddm;

    /* Page-Hinkley (Page, Biometrika 41, 1954). The sum of deviations from the mean, less `delta` [.005] each,
     * forgotten by alpha [.9999], against `threshold` [50], after warm_start [30] numbers. No warnings. Scale
     * matters: give a threshold for your losses. */
    struct {
        double delta, threshold, alpha;
        uint64_t warm_start;
    } pagehinkley;

    /* KSWIN (Raab et al., Neurocomputing 416, 2020). Kolmogorov-Smirnov: the last `recent` [30] of the last `window`
     * [100] numbers against as many drawn from the rest, at level alpha [.005]. Draws are Python's
     * random.Random(seed).sample, so that they are River's too. No warnings. */
    struct {
        double alpha;
        uint32_t window, recent;
        uint64_t seed; /* 0 is a seed like any other */
    } kswin;

    /* STEPD (Nishida, Yamauchi, DS 2007). Errors. Equal proportions in the last `window` [30] and all before, at
     * levels `warning` [.05] and `drift` [.003]. Departure: with no error at all, or nothing but errors, there is
     * nothing to test and no alarm; MOA divides 0 by 0 there and alarms every 60 numbers (so does code MOA). */
    struct {
        double warning, drift;
        uint64_t window;
    } stepd;

    /* ECDD (Ross et al., Pattern Recognition Letters 33, 2012). Errors. An exponentially weighted rate (lambda [.2])
     * against the mean rate + L(p) deviations, where L is the paper's polynomial for one false alarm in `arl` [400]
     * numbers (100, 400 or 1000); WARNING at L/2; after warm_start [30]. */
    struct {
        double lambda;
        uint32_t warm_start, arl;
    } ecdd;

    /* HDDM-A (Frias-Blanco et al., TKDE 27, 2015). Errors. Hoeffding's bound on the difference of means, at `warning`
     * [.005] and `drift` [.001]. */
    struct {
        double warning, drift;
    } hddm_a;
};

struct ta_detector_ops;

struct ta_detector {
    const struct ta_detector_ops *ops; /* NULL when closed */
    struct ta_detector_spec spec;      /* filled in; groups of other types are 0 */
    void *state;                       /* owned; what is saved */
    void *table;                       /* owned or NULL; a function of the spec, and scratch */
    size_t state_bytes, table_bytes;
    uint64_t updates; /* numbers used */
    uint64_t ignored; /* numbers it could not use */
    uint64_t drifts, warnings;
};

/* A make by its name in a configuration; NULL when there is none. ops->name, ->summary and ->type may be read. */
const struct ta_detector_ops *ta_detector_find(const char *name);
const char *ta_detector_name(enum ta_detector_type type); /* "optwin"; "?" for no type */

/* Checks the spec, fills in defaults, makes the table (OPTWIN: a tenth of a second for the default window). Errors:
 * CONFIG (key, value, allowed range), NO_MEMORY. *d may be closed after any of them. */
ta_status ta_detector_open(struct ta_detector *d, const struct ta_detector_spec *spec);
void ta_detector_close(struct ta_detector *d); /* again is fine */

/* The next number. Never fails, never allocates. */
enum ta_detector_verdict ta_detector_update(struct ta_detector *d, double x);

/* As after open, counters too. */
void ta_detector_reset(struct ta_detector *d);

/* Memory held beside the struct itself. */
size_t ta_detector_bytes(const struct ta_detector *d);

/* State to bytes and back, for checkpoints: a detector opened with the same spec that loads what another saved goes
 * on bit for bit as the other. The bytes are this machine's own (order, alignment); they are checked when loaded, so
 * that no bytes whatsoever lead to more than a wrong alarm. `bytes` must be ta_detector_saved_bytes(d). Errors of
 * load: FORMAT (not a saved detector, cut short, other version, other spec, damaged), NO_MEMORY; the detector is
 * then as it was. */
size_t ta_detector_saved_bytes(const struct ta_detector *d);
void ta_detector_save(const struct ta_detector *d, void *out);
ta_status ta_detector_load(struct ta_detector *d, const void *saved, size_t bytes);

#endif
