/* config_of: `model:` and `optimizer:` as the tests of this folder write them, in YAML. */
#ifndef TA_TEST_CONFIG_OF_H
#define TA_TEST_CONFIG_OF_H

#include "optimizer.h"
#include "spec.h"

struct whole {
    struct ta_model_spec model;
    struct ta_optimizer_spec optimizer;
};

extern const cyaml_schema_value_t whole_schema;

/* Parses text; freed by ta_config_free(w, &whole_schema). */
ta_status whole_parse(const char *text, struct whole **w);
/* Parses `model: ...` and builds it; what fails is returned with its message. */
ta_status model_of(const char *text, struct ta_shape stream, uint32_t outputs, struct ta_model *model);

/* Weights in which nothing is zero or one by chance: initial ones, and every bias, beta, gamma and statistic shaken. */
void shaken_weights(const struct ta_model *model, uint64_t seed, float *w);

#endif
