/* ecdd: an exponentially weighted error rate against the mean one; see detector.h. */
#include <math.h>

#include "detector_ops.h"

struct state {
    double n, errors;
    double weighted; /* the faded rate */
    double left;     /* (1 - lambda)^(2 n): what is left of the start */
    double drifted;
};

/* The control limit as a function of the rate: L(p) = c0 + c1 p + c3 p^3 + c5 p^5 + c7 p^7 (Ross et al., table 1). */
static const double limits[3][5] = {
    {2.76, -6.23, 18.12, -312.45, 1002.18}, /* one false alarm in 100 numbers */
    {3.97, -6.56, 48.73, -330.13, 848.18},  /* 400 */
    {1.17, 7.56, -21.24, 112.12, -987.23},  /* 1000 */
};

static ta_status fill(const struct ta_detector_spec *in, struct ta_detector_spec *out, size_t *state_bytes,
                      size_t *table_bytes) {
    (void)table_bytes;
    *state_bytes = sizeof(struct state);
    out->ecdd.lambda = ta_detector_or(in->ecdd.lambda, .2);
    out->ecdd.warm_start = in->ecdd.warm_start == 0 ? 30 : in->ecdd.warm_start;
    out->ecdd.arl = in->ecdd.arl == 0 ? 400 : in->ecdd.arl;
    if (out->ecdd.arl != 100 && out->ecdd.arl != 400 && out->ecdd.arl != 1000)
        return ta_fail(TA_CONFIG, "detector.ecdd.arl: %u; limits are known for 100, 400 and 1000", out->ecdd.arl);
    return ta_detector_open_range("ecdd.lambda", out->ecdd.lambda, 0, 1);
}

static void reset(struct ta_detector *d) {
    struct state *s = d->state;
    *s = (struct state){.left = 1};
}

static enum ta_detector_verdict update(struct ta_detector *d, double x) {
    struct state *s = d->state;
    if (s->drifted != 0) reset(d);
    double lambda = d->spec.ecdd.lambda;
    s->n += 1;
    s->errors += x;
    s->left *= (1 - lambda) * (1 - lambda);
    s->weighted += lambda * (x - s->weighted);
    double warm = d->spec.ecdd.warm_start; /* MOA counts the number to come as well: warnings are due one earlier */
    if (s->n < warm - 1) return TA_DETECTOR_OK;
    double p = s->errors / s->n, square = p * p;
    double deviation = sqrt(p * (1 - p) * lambda * (1 - s->left) / (2 - lambda));
    const double *c = limits[d->spec.ecdd.arl == 100 ? 0 : d->spec.ecdd.arl == 400 ? 1 : 2];
    double limit = c[0] + c[1] * p + p * square * (c[2] + square * (c[3] + square * c[4]));
    if (s->weighted > p + limit * deviation && s->n >= warm) {
        s->drifted = 1;
        return TA_DETECTOR_DRIFT;
    }
    return s->weighted > p + .5 * limit * deviation ? TA_DETECTOR_WARNING : TA_DETECTOR_OK;
}

const struct ta_detector_ops ta_detector_ecdd = {
    .name = "ecdd",
    .summary = "an exponentially weighted error rate against the mean (Ross et al. 2012)",
    .type = TA_DETECTOR_ECDD,
    .errors = true,
    .sides = 1u << TA_DETECTOR_RISE,
    .fill = fill,
    .reset = reset,
    .update = update,
};
