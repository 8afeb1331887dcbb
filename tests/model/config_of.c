/* config_of: see the header. */
#include "config_of.h"

#include <string.h>

#include "expect.h"
#include "rng.h"

static const cyaml_schema_field_t whole_fields[] = {
    CYAML_FIELD_MAPPING("model", CYAML_FLAG_OPTIONAL, struct whole, model, ta_model_schema),
    CYAML_FIELD_MAPPING("optimizer", CYAML_FLAG_OPTIONAL, struct whole, optimizer, ta_optimizer_schema),
    CYAML_FIELD_END,
};
const cyaml_schema_value_t whole_schema = {CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct whole, whole_fields)};

ta_status whole_parse(const char *text, struct whole **w) {
    return ta_config_parse("test.yaml", text, strlen(text), &whole_schema, NULL, 0, (void **)w);
}

ta_status model_of(const char *text, struct ta_shape stream, uint32_t outputs, struct ta_model *model) {
    struct whole *w;
    *model = (struct ta_model){0};
    ta_status status = whole_parse(text, &w);
    if (status != TA_OK) return status;
    status = ta_model_build(&w->model, stream, outputs, model);
    ta_config_free(w, &whole_schema);
    return status;
}

ta_status words_of(const char *text, const struct ta_names *names, struct ta_model *model) {
    struct whole *w;
    *model = (struct ta_model){0};
    ta_status status = whole_parse(text, &w);
    if (status != TA_OK) return status;
    status = ta_model_build_words(&w->model, names, model);
    ta_config_free(w, &whole_schema);
    return status;
}

void some_names(struct ta_names *names, size_t count) {
    *names = (struct ta_names){0};
    for (size_t i = 0; i < count; i++) {
        char text[TA_NAME_BYTES];
        int bytes = snprintf(text, sizeof text, "w%zu", i);
        const char *word = i == 0 ? "" : i == 1 ? "\xc3\xbc" "bung" : i == 2 ? "abcdefghijklmnopqrstuvwxyz01234" : text;
        assert_ok(ta_names_add(names, word, i < 3 ? strlen(word) : (size_t)bytes, 7 * count - i));
    }
}

void shaken_weights(const struct ta_model *model, uint64_t seed, float *w) {
    struct ta_rng rng = ta_rng_make(seed, 99);
    ta_model_init(model, seed, w);
    for (uint32_t i = 0; i < model->n_layers; i++) {
        struct ta_tensor t[4];
        unsigned n = ta_layer_tensors(&model->layers[i], t);
        for (unsigned j = 0; j < n; j++)
            for (size_t k = 0; k < t[j].param.count; k++) w[t[j].param.offset + k] += .3f * (float)ta_rng_uniform(&rng);
    }
    for (unsigned i = 0; i < model->n_segments; i++) {
        const struct ta_table *t = &model->segments[i].table;
        for (uint32_t r = 0; model->segments[i].kind == TA_SEGMENT_ROWS && r < t->rows; r++)
            for (uint32_t c = 0; c < t->width; c++)
                w[t->offset + (size_t)r * t->stride + c] += .3f * (float)ta_rng_uniform(&rng);
    }
}
