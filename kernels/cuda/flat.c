/* flat: what the host works out for the kernels of flat.h. */
#include "flat.h"

#include <math.h>

void ta_flat_scalars_of(const struct ta_update *how, float clip_norm, struct ta_flat_scalars *out) {
    double step = (double)how->step;
    bool nesterov = how->kind == TA_MOMENTUM && how->nesterov;
    *out = (struct ta_flat_scalars){
        .rate = how->rate,
        .scale = how->scale,
        .grad_scale = how->grad_scale,
        .clip = how->clip_value > 0 ? how->clip_value : INFINITY,
        .decay = how->decoupled ? 0 : how->weight_decay,
        .decoupled = how->decoupled ? how->rate * how->weight_decay : 0,
        .momentum = how->momentum,
        .ahead = nesterov ? how->momentum : 1,
        .ahead_g = nesterov ? 1 : 0,
        .beta1 = how->beta1,
        .beta2 = how->beta2,
        .correct1 = (float)(1 / (1 - pow(how->beta1, step))),
        .correct2 = (float)(1 / (1 - pow(how->beta2, step))),
        .epsilon = how->epsilon,
        .clip_norm = clip_norm,
    };
}
