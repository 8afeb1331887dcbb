/* ddm: the error rate against its own minimum; see detector.h. */
#include <math.h>

#include "detector_ops.h"

struct state {
    struct ta_detector_mean p;
    double p_min, s_min, ps_min;
    double drifted; /* the last number alarmed: begin again */
};

static ta_status fill(const struct ta_detector_spec *in, struct ta_detector_spec *out, size_t *state_bytes,
                      size_t *table_bytes) {
    (void)table_bytes;
    *state_bytes = sizeof(struct state);
    out->ddm.warning = ta_detector_or(in->ddm.warning, 2);
    out->ddm.drift = ta_detector_or(in->ddm.drift, 3);
    out->ddm.warm_start = in->ddm.warm_start == 0 ? 30 : in->ddm.warm_start;
    ta_status status = ta_detector_open_range("ddm.warning", out->ddm.warning, 0, 1e6);
    if (status == TA_OK) status = ta_detector_range("ddm.drift", out->ddm.drift, out->ddm.warning, 1e6);
    return status;
}

static void reset(struct ta_detector *d) {
    struct state *s = d->state;
    *s = (struct state){.ps_min = INFINITY};
}

static enum ta_detector_verdict update(struct ta_detector *d, double x) {
    struct state *s = d->state;
    if (s->drifted != 0) reset(d);
    ta_detector_mean_add(&s->p, x);
    double p = s->p.mean, n = s->p.n, deviation = sqrt(p * (1 - p) / n);
    /* MOA counts from 1: it takes minima one number earlier, and so may warn; it alarms one number earlier too. */
    double warm = (double)d->spec.ddm.warm_start, moa = d->spec.code == TA_DETECTOR_MOA;
    if (n <= warm - 2 * moa) return TA_DETECTOR_OK;
    if (p + deviation <= s->ps_min) {
        s->p_min = p;
        s->s_min = deviation;
        s->ps_min = p + deviation;
    }
    if (p + deviation > s->p_min + d->spec.ddm.drift * s->s_min && n > warm - moa) {
        s->drifted = 1;
        return TA_DETECTOR_DRIFT;
    }
    return p + deviation > s->p_min + d->spec.ddm.warning * s->s_min ? TA_DETECTOR_WARNING : TA_DETECTOR_OK;
}

const struct ta_detector_ops ta_detector_ddm = {
    .name = "ddm",
    .summary = "the error rate against its minimum (Gama et al. 2004)",
    .type = TA_DETECTOR_DDM,
    .errors = true,
    .sides = 1u << TA_DETECTOR_RISE,
    .codes = 1u << TA_DETECTOR_MOA,
    .fill = fill,
    .reset = reset,
    .update = update,
};
