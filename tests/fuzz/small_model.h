/* small_model: the models whose checkpoints the seeds hold and the fuzzer reads. */
#ifndef TA_FUZZ_SMALL_MODEL_H
#define TA_FUZZ_SMALL_MODEL_H

#include "model.h"

static inline ta_status small_model(struct ta_model *model) {
    uint32_t input[] = {6, 6, 1};
    struct ta_layer_spec layers[] = {
        {.type = TA_LAYER_CONV2D, .filters = 2, .kernel = 3, .activation = TA_ACTIVATION_RELU},
        {.type = TA_LAYER_BATCH_NORM},
        {.type = TA_LAYER_FLATTEN},
        {.type = TA_LAYER_DENSE, .units = 3, .activation = TA_ACTIVATION_SOFTMAX},
    };
    struct ta_model_spec spec = {.input = input, .input_count = 3, .layers = layers, .layers_count = 4};
    return ta_model_build(&spec, (struct ta_shape){6, 6, 1}, 3, model);
}

/* With names, and padding in every table. */
static inline ta_status small_word_model(struct ta_model *model) {
    const struct ta_model_spec spec = {.type = TA_MODEL_CBOW, .dim = 20, .vocabulary = 9};
    return ta_model_build_words(&spec, NULL, model);
}

#endif
