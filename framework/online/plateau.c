/* plateau: a ring of mean losses. */
#include "plateau.h"

#include <math.h>

#include "mem.h"

ta_status ta_plateau_init(struct ta_plateau *p, const struct ta_plateau_spec *spec) {
    *p = (struct ta_plateau){.spec = *spec};
    struct ta_plateau_spec *s = &p->spec;
    if (s->stretch == 0) s->stretch = 1000;
    if (s->patience == 0) s->patience = 10;
    if (s->factor == 0) s->factor = 1.02;
    if (s->floor == 0) s->floor = 1e-4;
    if (s->patience < 2 || s->patience > 10000)
        return ta_fail(TA_CONFIG, "plateau: patience %u: 2 to 10000 stretches can be compared", s->patience);
    if (!(s->factor > 1) || !isfinite(s->factor))
        return ta_fail(TA_CONFIG, "plateau: factor %g: must be above 1", s->factor);
    if (!(s->floor >= 0) || !isfinite(s->floor))
        return ta_fail(TA_CONFIG, "plateau: floor %g: must not be below 0", s->floor);
    return TA_NEW(&p->means, s->patience, "the losses of a plateau");
}

void ta_plateau_free(struct ta_plateau *p) {
    ta_mem_free(p->means);
    p->means = NULL;
}

void ta_plateau_restart(struct ta_plateau *p) {
    p->stretches = 0;
    p->sum = 0;
    p->records = 0;
    ta_plateau_others(p, 0, 0);
}

void ta_plateau_others(struct ta_plateau *p, double sum, uint32_t others) {
    p->others_sum = sum;
    p->others = others;
}

static bool converged(const struct ta_plateau *p, double newest) {
    if (p->stretches < p->spec.patience) return false;
    double factor = p->spec.factor, now = newest + p->spec.floor;
    for (uint32_t i = 0; i < p->spec.patience; i++) {
        double then = p->means[i] + p->spec.floor;
        if (then > factor * now || now > factor * then) return false;
    }
    return true;
}

bool ta_plateau_add(struct ta_plateau *p, double loss) {
    p->sum += loss;
    if (++p->records < p->spec.stretch) return false;
    double mean = (p->sum / p->records + p->others_sum) / (1 + p->others);
    p->sum = 0;
    p->records = 0;
    if (!isfinite(mean)) {
        ta_plateau_restart(p);
        return false;
    }
    p->means[p->stretches++ % p->spec.patience] = mean;
    return converged(p, mean);
}
