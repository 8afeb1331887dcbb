/* stepd: are the errors of the last few numbers in proportion to those before? See detector.h. */
#include <math.h>
#include <string.h>

#include "detector_ops.h"

struct state {
    uint64_t old_n, old_errors; /* before the window */
    uint64_t n, errors;         /* in it */
    uint64_t head;              /* the oldest of a full window */
    uint64_t drifted;
    uint8_t ring[]; /* [window] 0 or 1 */
};

static ta_status fill(const struct ta_detector_spec *in, struct ta_detector_spec *out, size_t *state_bytes,
                      size_t *table_bytes) {
    (void)table_bytes;
    out->stepd.warning = ta_detector_or(in->stepd.warning, .05);
    out->stepd.drift = ta_detector_or(in->stepd.drift, .003);
    out->stepd.window = in->stepd.window == 0 ? 30 : in->stepd.window;
    ta_status status = ta_detector_open_range("stepd.drift", out->stepd.drift, 0, 1);
    if (status == TA_OK) status = ta_detector_range("stepd.warning", out->stepd.warning, out->stepd.drift, 1);
    if (status == TA_OK) status = ta_detector_range("stepd.window", (double)out->stepd.window, 2, 1e6);
    *state_bytes = sizeof(struct state) + out->stepd.window;
    return status;
}

static void take(struct state *s, uint64_t window, uint64_t error) {
    uint64_t at = s->n;
    if (s->n == window) {
        at = s->head;
        s->old_n++;
        s->old_errors += s->ring[at];
        s->errors -= s->ring[at];
        s->head = at + 1 == window ? 0 : at + 1;
    } else {
        s->n++;
    }
    s->ring[at] = (uint8_t)error;
    s->errors += error;
}

static enum ta_detector_verdict update(struct ta_detector *d, double x) {
    struct state *s = d->state;
    uint64_t window = d->spec.stepd.window;
    if (s->drifted != 0) memset(s, 0, sizeof *s);
    take(s, window, x >= .5);
    if (s->old_n < window) return TA_DETECTOR_OK;
    double old_n = (double)s->old_n, n = (double)s->n;
    double old_right = old_n - (double)s->old_errors, right = n - (double)s->errors;
    double inverse = 1 / old_n + 1 / n, p = (old_right + right) / (old_n + n);
    double difference = old_right / old_n - right / n;
    double z = fabs(fabs(difference) - inverse / 2) / sqrt(p * (1 - p) * inverse);
    if (!isfinite(z) && d->spec.code != TA_DETECTOR_MOA) return TA_DETECTOR_OK;
    if (d->spec.side == TA_DETECTOR_RISE && difference <= 0) return TA_DETECTOR_OK;
    if (d->spec.side == TA_DETECTOR_FALL && difference >= 0) return TA_DETECTOR_OK;
    double likelihood = erfc(z * M_SQRT1_2); /* two-sided: 2 (1 - Phi(z)) */
    if (likelihood < d->spec.stepd.drift) {
        s->drifted = 1;
        return TA_DETECTOR_DRIFT;
    }
    return likelihood < d->spec.stepd.warning ? TA_DETECTOR_WARNING : TA_DETECTOR_OK;
}

static bool sane(const struct ta_detector *d, const void *state) {
    const struct state *s = state;
    uint64_t window = d->spec.stepd.window, errors = 0;
    for (uint64_t i = 0; i < window; i++) {
        if (s->ring[i] > 1) return false;
        if (i < s->n) errors += s->ring[i];
    }
    return s->n <= window && s->head < window && s->errors == errors && s->old_errors <= s->old_n && s->drifted <= 1;
}

const struct ta_detector_ops ta_detector_stepd = {
    .name = "stepd",
    .summary = "equal proportions of errors, recent and before (Nishida, Yamauchi 2007)",
    .type = TA_DETECTOR_STEPD,
    .errors = true,
    .sides = 1u << TA_DETECTOR_RISE | 1u << TA_DETECTOR_FALL | 1u << TA_DETECTOR_BOTH,
    .codes = 1u << TA_DETECTOR_MOA,
    .fill = fill,
    .update = update,
    .sane = sane,
};
