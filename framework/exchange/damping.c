/* damping: three formulas. */
#include "damping.h"

#include <float.h>
#include <math.h>

static const double default_rate[] = {
    [TA_DAMPING_NONE] = 0,          [TA_DAMPING_INVERSE] = 1,
    [TA_DAMPING_EXPONENTIAL] = 0.1, [TA_DAMPING_COMPENSATED] = 0.04,
};

ta_status ta_damping_make(const struct ta_exchange_spec *spec, const struct ta_model *model,
                          struct ta_damping_rule *out) {
    *out = (struct ta_damping_rule){.kind = spec->damping, .rate = spec->damping_rate};
    if (spec->damping == TA_DAMPING_NONE) return TA_OK;
    if (!(out->rate >= 0 && out->rate <= DBL_MAX))
        return ta_fail(TA_CONFIG, "exchange.damping_rate: %g is no rate; leave it out for %g", out->rate,
                       default_rate[spec->damping]);
    if (out->rate == 0) out->rate = default_rate[spec->damping];
    for (unsigned s = 0; s < model->n_segments; s++)
        if (model->segments[s].kind == TA_SEGMENT_ROWS || model->segments[s].kind == TA_SEGMENT_NAMES)
            return ta_fail(TA_CONFIG, "exchange.damping: steps of a word model are in its tables before their "
                           "staleness is known: leave damping out, or bound staleness by exchange.max_staleness");
    return TA_OK;
}

float ta_damping_scale(const struct ta_damping_rule *rule, uint64_t tau) {
    double scale = 1;
    if (rule->kind == TA_DAMPING_INVERSE) scale = 1 / (1 + rule->rate * (double)tau);
    if (rule->kind == TA_DAMPING_EXPONENTIAL) scale = exp(-rule->rate * (double)tau);
    return scale > FLT_MIN ? (float)scale : FLT_MIN; /* a step that leaves no trace at all would be lost */
}
