/* hddm_a: Hoeffding's bound on the difference between the mean and its best; see detector.h. */
#include <math.h>

#include "detector_ops.h"

struct state {
    struct ta_detector_mean all, least, most; /* so far; where it was surely lowest and highest */
    double drifted;
};

/* What of the bounds depends on the spec alone. */
struct table {
    double cut, warning, drift; /* log(1 / drift), log(2 / warning), log(2 / drift) */
};

static ta_status fill(const struct ta_detector_spec *in, struct ta_detector_spec *out, size_t *state_bytes,
                      size_t *table_bytes) {
    *state_bytes = sizeof(struct state);
    *table_bytes = sizeof(struct table);
    out->hddm_a.warning = ta_detector_or(in->hddm_a.warning, .005);
    out->hddm_a.drift = ta_detector_or(in->hddm_a.drift, .001);
    ta_status status = ta_detector_open_range("hddm_a.drift", out->hddm_a.drift, 0, 1);
    if (status == TA_OK) status = ta_detector_range("hddm_a.warning", out->hddm_a.warning, out->hddm_a.drift, 1);
    return status;
}

static void open(struct ta_detector *d) {
    double warning = d->spec.hddm_a.warning, drift = d->spec.hddm_a.drift;
    *(struct table *)d->table = (struct table){log(1 / drift), log(2 / warning), log(2 / drift)};
}

/* The best point so far moves here when the bounds around both means say so. */
static void move_cuts(struct state *s, double cut) {
    if (s->least.n == 0) s->least = s->all;
    if (s->most.n == 0) s->most = s->all;
    double here = sqrt(1 / (2 * s->all.n) * cut);
    if (s->least.mean + sqrt(1 / (2 * s->least.n) * cut) >= s->all.mean + here) s->least = s->all;
    if (s->most.mean - sqrt(1 / (2 * s->most.n) * cut) <= s->all.mean - here) s->most = s->all;
}

/* Is |mean of all - mean at the cut| beyond the bound? `log_term` is log(2 / confidence). */
static bool beyond(double difference, double n, double n_cut, double log_term) {
    if (n_cut == n) return false;
    double m = (n - n_cut) / n_cut * (1 / n);
    return difference >= sqrt(m / 2 * log_term);
}

static enum ta_detector_verdict update(struct ta_detector *d, double x) {
    struct state *s = d->state;
    const struct table *t = d->table;
    if (s->drifted != 0) *s = (struct state){0};
    ta_detector_mean_add(&s->all, x);
    move_cuts(s, t->cut);
    double rise = s->all.mean - s->least.mean, fall = s->most.mean - s->all.mean, n = s->all.n;
    bool both = d->spec.side == TA_DETECTOR_BOTH;
    if (beyond(rise, n, s->least.n, t->drift) || (both && beyond(fall, n, s->most.n, t->drift))) {
        s->drifted = 1;
        return TA_DETECTOR_DRIFT;
    }
    bool warns = beyond(rise, n, s->least.n, t->warning) || (both && beyond(fall, n, s->most.n, t->warning));
    return warns ? TA_DETECTOR_WARNING : TA_DETECTOR_OK;
}

const struct ta_detector_ops ta_detector_hddm_a = {
    .name = "hddm_a",
    .summary = "Hoeffding's bound on the difference of means (Frias-Blanco et al. 2015)",
    .type = TA_DETECTOR_HDDM_A,
    .errors = true,
    .sides = 1u << TA_DETECTOR_RISE | 1u << TA_DETECTOR_BOTH,
    .fill = fill,
    .open = open,
    .update = update,
};
