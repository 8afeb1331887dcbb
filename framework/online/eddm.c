/* eddm: the distances between errors against their best; see detector.h. */
#include <math.h>

#include "detector_ops.h"

struct state {
    struct ta_detector_mean distance;
    double squares;    /* sum of squared deviations of the distances */
    double n, last;    /* numbers since the start; at which the last error was */
    double best;       /* largest mean + 2 deviations */
    uint64_t verdict;  /* of the last error: holds until the next one */
};

static ta_status fill(const struct ta_detector_spec *in, struct ta_detector_spec *out, size_t *state_bytes,
                      size_t *table_bytes) {
    (void)table_bytes;
    *state_bytes = sizeof(struct state);
    out->eddm.warning = ta_detector_or(in->eddm.warning, .95);
    out->eddm.drift = ta_detector_or(in->eddm.drift, .9);
    out->eddm.warm_start = in->eddm.warm_start == 0 ? 30 : in->eddm.warm_start;
    ta_status status = ta_detector_open_range("eddm.drift", out->eddm.drift, 0, 1);
    if (status == TA_OK) status = ta_detector_range("eddm.warning", out->eddm.warning, out->eddm.drift, 1);
    return status;
}

static void reset(struct ta_detector *d) {
    struct state *s = d->state;
    *s = (struct state){.best = d->spec.code == TA_DETECTOR_MOA ? 0 : -1};
}

static enum ta_detector_verdict update(struct ta_detector *d, double x) {
    struct state *s = d->state;
    if (s->verdict == TA_DETECTOR_DRIFT) reset(d);
    s->n += 1;
    if (x < .5) return (enum ta_detector_verdict)s->verdict;
    double gap = s->n - s->last, old_mean = s->distance.mean;
    ta_detector_mean_add(&s->distance, gap);
    s->squares += (gap - old_mean) * (gap - s->distance.mean);
    s->last = s->n;
    /* River's variance is the unbiased one; MOA divides by n, and looks one number earlier. */
    double errors = s->distance.n, moa = d->spec.code == TA_DETECTOR_MOA, freedom = errors - 1 + moa;
    double spread = s->distance.mean + 2 * (freedom > 0 ? sqrt(s->squares / freedom) : 0);
    double warm = (double)d->spec.eddm.warm_start;
    if (moa != 0) s->verdict = TA_DETECTOR_OK;
    if (s->n <= warm - moa) return (enum ta_detector_verdict)s->verdict;
    if (spread > s->best) {
        s->best = spread;
    } else if (errors > warm) {
        double level = spread / s->best;
        s->verdict = level < d->spec.eddm.drift     ? TA_DETECTOR_DRIFT
                     : level < d->spec.eddm.warning ? TA_DETECTOR_WARNING
                                                    : TA_DETECTOR_OK;
    }
    return (enum ta_detector_verdict)s->verdict;
}

static bool sane(const struct ta_detector *d, const void *state) {
    (void)d;
    const struct state *s = state;
    return s->verdict <= TA_DETECTOR_DRIFT;
}

const struct ta_detector_ops ta_detector_eddm = {
    .name = "eddm",
    .summary = "the distances between errors against their best (Baena-Garcia et al. 2006)",
    .type = TA_DETECTOR_EDDM,
    .errors = true,
    .sides = 1u << TA_DETECTOR_RISE,
    .codes = 1u << TA_DETECTOR_MOA,
    .fill = fill,
    .reset = reset,
    .update = update,
    .sane = sane,
};
