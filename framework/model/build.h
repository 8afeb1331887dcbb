/* build: what model.c, build.c and build_words.c share while a model is made; private to this folder. */
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

/* The first key that the spec gives and only a word model has; NULL: none. */
const char *ta_build_word_key(const struct ta_model_spec *spec);
/* What the rows of a table start from: struct ta_table. `w`: the arena, zeroed. */
void ta_build_table(const struct ta_table *table, uint64_t seed, float *w);

#endif
