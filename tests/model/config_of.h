/* config_of: `model:` and `optimizer:` as the tests of this folder write them, in YAML. */
#ifndef TA_TEST_CONFIG_OF_H
#define TA_TEST_CONFIG_OF_H

#include "names.h"
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

/* The same for a word model; `names` NULL: words are found in the stream. */
ta_status words_of(const char *text, const struct ta_names *names, struct ta_model *model);
/* So many words: one without letters, one of more than ASCII, one as long as a row of names can hold, then w3, w4,
 * ... */
void some_names(struct ta_names *names, size_t count);

/* Weights in which nothing is zero or one by chance: initial ones, and every bias, beta, gamma and statistic shaken. */
void shaken_weights(const struct ta_model *model, uint64_t seed, float *w);

#endif
