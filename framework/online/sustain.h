/* sustain: the highest rate at which a system keeps up, found by offering it rates.
 *
 * After Karimov et al., "Benchmarking Distributed Stream Processing Systems" (ICDE 2018): a rate is sustainable when
 * the delay of what is offered, open loop, does not grow. Offered more than it can serve, c of l records a second, a
 * queue falls behind by 1 - c / l seconds each second: so the slope of the lag is the share of the offered rate that is
 * not served, without a unit, and the tolerance for it is directly an error of the rate.
 *
 * Three pure pieces, used one after another; whoever runs the system is between them (a test: a simulated queue):
 *
 *     ta_sustain_begin(&search, &spec)
 *     while (ta_sustain_next(&search, &probe) == TA_OK) {
 *         ... offer probe.rate, seed probe.seed; sample the lag ...
 *         ta_sustain_judge(&judge, lag samples, &verdict)
 *         ta_sustain_tell(&search, verdict.kept)
 *     }
 *     search.low is the answer, search.high the lowest rate that was not kept
 *
 * The search: rates from just below the estimate, up or down by steps that double, until one is kept and one is not;
 * then bisection (the geometric mean) until they are within `precision` of each other. At each rate seeds vote; what
 * the majority says holds, and is not asked for further once it stands.
 *
 * One thread. No memory.
 */
#ifndef TA_SUSTAIN_H
#define TA_SUSTAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "status.h"
#include "trend.h"

/* --- was a rate kept? --- */

struct ta_sustain_judge {
    double tolerance;  /* of the slope: share of the offered rate that may go unserved, in (0, 1) */
    double confidence; /* of the slope's two-sided interval, in (0, 1) */
    double from_s;     /* the warm-up that is cut off, */
    double until_s;    /* and when the probe ended */
    uint64_t dropped;  /* records that the queue had no room or no time for */
};

struct ta_sustain_verdict {
    bool kept;          /* not dropped, not silent, and trend.low is not above the tolerance */
    bool silent;        /* nothing was served in the last fifth */
    struct ta_trend trend; /* of the lag after the warm-up: s, s / s */
};

enum { TA_SUSTAIN_BLOCKS = 20 };

/* n samples (t_s rising from the start, lag_s). Errors: AGAIN (fewer than three stretches have a sample: measure
 * longer), INVALID (tolerance, confidence). */
ta_status ta_sustain_judge(const struct ta_sustain_judge *judge, const double *t_s, const double *lag_s, size_t n,
                           struct ta_sustain_verdict *out);

/* --- which rate is next? --- */

struct ta_sustain_spec {
    double estimate;  /* of the capacity, > 0: what an unpaced run reaches */
    double precision; /* high / low - 1 at the end, in (0, 1) */
    unsigned seeds;   /* voters a rate, >= 1 */
};

struct ta_sustain {
    struct ta_sustain_spec spec;
    double low, high;  /* highest rate kept (0: none yet), lowest not kept (0: none yet) */
    double rate, step; /* asked now; of the next step up or down, as a factor less 1 */
    unsigned kept, lost; /* votes on `rate` */
    unsigned rates;    /* settled so far */
};

struct ta_sustain_probe {
    double rate;
    unsigned seed; /* from 0 */
};

/* Errors: INVALID (which value). */
ta_status ta_sustain_begin(struct ta_sustain *s, const struct ta_sustain_spec *spec);
/* OK; END: low and high are within the precision. FAILED: nothing down to a thousandth of the estimate was kept, or all
 * up to a thousand times of it was. */
ta_status ta_sustain_next(const struct ta_sustain *s, struct ta_sustain_probe *out);
void ta_sustain_tell(struct ta_sustain *s, bool kept);
/* Probes that a search takes when the estimate is good and seeds do not agree at once: for planning. */
unsigned ta_sustain_most_probes(const struct ta_sustain_spec *spec);

#endif
