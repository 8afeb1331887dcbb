/* pagehinkley: cumulative deviations from the mean, up and down; see detector.h. */
#include <math.h>

#include "detector_ops.h"

struct state {
    struct ta_detector_mean mean;
    double rise, fall; /* faded sums of x - mean, less and plus delta */
    double rise_min, fall_max;
    double drifted;
};

static ta_status fill(const struct ta_detector_spec *in, struct ta_detector_spec *out, size_t *state_bytes,
                      size_t *table_bytes) {
    (void)table_bytes;
    *state_bytes = sizeof(struct state);
    out->pagehinkley.delta = ta_detector_or(in->pagehinkley.delta, .005);
    out->pagehinkley.threshold = ta_detector_or(in->pagehinkley.threshold, 50);
    out->pagehinkley.alpha = ta_detector_or(in->pagehinkley.alpha, 1 - .0001);
    out->pagehinkley.warm_start = in->pagehinkley.warm_start == 0 ? 30 : in->pagehinkley.warm_start;
    ta_status status = ta_detector_range("pagehinkley.delta", out->pagehinkley.delta, 0, 1e100);
    if (status == TA_OK) status = ta_detector_open_range("pagehinkley.threshold", out->pagehinkley.threshold, 0, 1e100);
    if (status == TA_OK) status = ta_detector_range("pagehinkley.alpha", out->pagehinkley.alpha, 1e-9, 1);
    return status;
}

static void reset(struct ta_detector *d) {
    struct state *s = d->state;
    *s = (struct state){.rise_min = INFINITY, .fall_max = -1};
}

static enum ta_detector_verdict update(struct ta_detector *d, double x) {
    struct state *s = d->state;
    if (s->drifted != 0) reset(d);
    double delta = d->spec.pagehinkley.delta, alpha = d->spec.pagehinkley.alpha;
    double threshold = d->spec.pagehinkley.threshold;
    ta_detector_mean_add(&s->mean, x);
    double off = x - s->mean.mean;
    s->rise = alpha * s->rise + off - delta;
    s->fall = alpha * s->fall + off + delta;
    if (s->rise < s->rise_min) s->rise_min = s->rise;
    if (s->fall > s->fall_max) s->fall_max = s->fall;
    if (s->mean.n < (double)d->spec.pagehinkley.warm_start) return TA_DETECTOR_OK;
    enum ta_detector_side side = d->spec.side;
    if ((side != TA_DETECTOR_FALL && s->rise - s->rise_min > threshold) ||
        (side != TA_DETECTOR_RISE && s->fall_max - s->fall > threshold)) {
        s->drifted = 1;
        return TA_DETECTOR_DRIFT;
    }
    return TA_DETECTOR_OK;
}

const struct ta_detector_ops ta_detector_pagehinkley = {
    .name = "pagehinkley",
    .summary = "cumulative deviations from the mean (Page 1954)",
    .type = TA_DETECTOR_PAGEHINKLEY,
    .sides = 1u << TA_DETECTOR_RISE | 1u << TA_DETECTOR_FALL | 1u << TA_DETECTOR_BOTH,
    .fill = fill,
    .reset = reset,
    .update = update,
};
