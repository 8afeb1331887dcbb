/* sustain: a verdict on a probe, and the bisection. */
#include "sustain.h"

#include <math.h>

/* --- verdict --- */

ta_status ta_sustain_judge(const struct ta_sustain_judge *judge, const double *t_s, const double *lag_s, size_t n,
                           struct ta_sustain_verdict *out) {
    *out = (struct ta_sustain_verdict){0};
    if (!(judge->tolerance > 0 && judge->tolerance < 1))
        return ta_fail(TA_INVALID, "sustain: tolerance %g (between 0 and 1)", judge->tolerance);
    size_t first = 0;
    while (first < n && t_s[first] < judge->from_s) first++;
    size_t used = n - first;
    double length_s = judge->until_s - judge->from_s;
    /* Means of few samples are the samples. */
    unsigned blocks = used < TA_SUSTAIN_BLOCKS && used >= 3 ? (unsigned)used : TA_SUSTAIN_BLOCKS;
    ta_status status = ta_trend_fit(t_s + first, lag_s + first, used, blocks, judge->confidence, &out->trend);
    if (status != TA_OK) return status;
    out->silent = t_s[n - 1] < judge->until_s - length_s / 5;
    out->kept = !out->silent && judge->dropped == 0 && out->trend.low <= judge->tolerance;
    return TA_OK;
}

/* --- search --- */

static const double first_rate = .95, first_step = .05, farthest = 1000;

ta_status ta_sustain_begin(struct ta_sustain *s, const struct ta_sustain_spec *spec) {
    bool good = spec->estimate > 0 && isfinite(spec->estimate) && spec->precision > 0 && spec->precision < 1;
    if (!good || spec->seeds == 0)
        return ta_fail(TA_INVALID, "sustain: estimate %g (above 0), precision %g (from 0 to 1), %u seeds (1 or more)",
                       spec->estimate, spec->precision, spec->seeds);
    *s = (struct ta_sustain){.spec = *spec, .rate = spec->estimate * first_rate, .step = first_step};
    return TA_OK;
}

ta_status ta_sustain_next(const struct ta_sustain *s, struct ta_sustain_probe *out) {
    if (s->low > 0 && s->high > 0 && s->high <= s->low * (1 + s->spec.precision)) return TA_END;
    if (s->low == 0 && s->rate < s->spec.estimate / farthest)
        return ta_fail(TA_FAILED, "no rate was sustained, not even %.3g records/s, where unpaced it were %.4g: the "
                                  "machine is busy, or stream.on_overload drops what max_lag should let wait",
                       s->high, s->spec.estimate);
    if (s->high == 0 && s->rate > s->spec.estimate * farthest)
        return ta_fail(TA_FAILED, "all rates were sustained, even %.4g records/s, where unpaced it were %.4g: measure "
                                  "longer", s->low, s->spec.estimate);
    *out = (struct ta_sustain_probe){.rate = s->rate, .seed = s->kept + s->lost};
    return TA_OK;
}

static void settle(struct ta_sustain *s, bool kept) {
    s->rates++;
    s->kept = s->lost = 0;
    if (kept) s->low = s->rate;
    else s->high = s->rate;
    if (s->low > 0 && s->high > 0) {
        s->rate = sqrt(s->low * s->high);
        return;
    }
    s->rate *= kept ? 1 + s->step : 1 / (1 + s->step);
    s->step *= 2;
}

void ta_sustain_tell(struct ta_sustain *s, bool kept) {
    if (kept) s->kept++;
    else s->lost++;
    if (2 * s->kept > s->spec.seeds) settle(s, true);
    else if (2 * s->lost >= s->spec.seeds) settle(s, false); /* an even split is not a majority for it */
}

unsigned ta_sustain_most_probes(const struct ta_sustain_spec *spec) {
    /* Kept, kept, not kept: the bracket is the second step. */
    double halvings = ceil(log2(log1p(2 * first_step) / log1p(spec->precision)));
    return (3 + (unsigned)fmax(halvings, 0)) * spec->seeds;
}
