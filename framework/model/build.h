/* build: what model.c and build.c share while a model is made; private to this folder. */
#ifndef TA_BUILD_H
#define TA_BUILD_H

#include "model.h"

enum {
    TA_MAX_LAYERS = 4096, /* in a specification; with activations the model may have up to twice as many */
    TA_PARAM_ALIGN = 16,  /* floats: a tensor starts on a cache line */
};
#define TA_MAX_COUNT (UINT64_C(1) << 31) /* parameters of a model, activations of a record */

/* Appends layers of `spec` with names, inputs and shapes to model->layers (room for 2 * layers_count + 1). */
ta_status ta_build_layers(struct ta_model *model, const struct ta_model_spec *spec);

#endif
