/* spec: the keys of `model:` and `optimizer:` as libcyaml tables. What the values must be is checked where they are
 * used, in build.c, build_words.c and optimizer.c. */
#include "spec.h"

static const cyaml_strval_t layer_kinds[] = {
    {"dense", TA_LAYER_DENSE},
    {"conv2d", TA_LAYER_CONV2D},
    {"max_pool", TA_LAYER_MAX_POOL},
    {"avg_pool", TA_LAYER_AVG_POOL},
    {"global_avg_pool", TA_LAYER_GLOBAL_AVG_POOL},
    {"batch_norm", TA_LAYER_BATCH_NORM},
    {"dropout", TA_LAYER_DROPOUT},
    {"flatten", TA_LAYER_FLATTEN},
    {"add", TA_LAYER_ADD},
    {"relu", TA_LAYER_RELU},
    {"tanh", TA_LAYER_TANH},
    {"sigmoid", TA_LAYER_SIGMOID},
    {"softmax", TA_LAYER_SOFTMAX},
};

static const cyaml_strval_t paddings[] = {{"valid", TA_PADDING_VALID}, {"same", TA_PADDING_SAME}};

static const cyaml_strval_t activations[] = {
    {"none", TA_ACTIVATION_NONE}, {"linear", TA_ACTIVATION_NONE},     {"relu", TA_ACTIVATION_RELU},
    {"tanh", TA_ACTIVATION_TANH}, {"sigmoid", TA_ACTIVATION_SIGMOID}, {"softmax", TA_ACTIVATION_SOFTMAX},
};

static const cyaml_strval_t inits[] = {
    {"glorot_uniform", TA_INIT_GLOROT_UNIFORM},
    {"he_normal", TA_INIT_HE_NORMAL},
    {"he_uniform", TA_INIT_HE_UNIFORM},
    {"zeros", TA_INIT_ZEROS},
};

static const cyaml_strval_t losses[] = {
    {"cross_entropy", TA_LOSS_CROSS_ENTROPY},
    {"binary_cross_entropy", TA_LOSS_BINARY_CROSS_ENTROPY},
    {"squared_error", TA_LOSS_SQUARED_ERROR},
};

static const cyaml_strval_t model_types[] = {
    {"layers", TA_MODEL_LAYERS}, {"skipgram", TA_MODEL_SKIPGRAM}, {"cbow", TA_MODEL_CBOW}};

#define ENUM(key, type, member, table)                                                                                 \
    CYAML_FIELD_ENUM(key, CYAML_FLAG_OPTIONAL | CYAML_FLAG_STRICT, type, member, table, CYAML_ARRAY_LEN(table))
#define UINT(type, member) CYAML_FIELD_UINT(#member, CYAML_FLAG_OPTIONAL, type, member)
#define BOOL(type, member) CYAML_FIELD_BOOL(#member, CYAML_FLAG_OPTIONAL, type, member)
#define FLOAT(type, member) CYAML_FIELD_FLOAT(#member, CYAML_FLAG_OPTIONAL | CYAML_FLAG_STRICT, type, member)
#define TEXT(type, member)                                                                                             \
    CYAML_FIELD_STRING_PTR(#member, CYAML_FLAG_OPTIONAL | CYAML_FLAG_POINTER, type, member, 0, CYAML_UNLIMITED)

static const cyaml_schema_field_t layer_fields[] = {
    CYAML_FIELD_ENUM("type", CYAML_FLAG_STRICT, struct ta_layer_spec, type, layer_kinds, CYAML_ARRAY_LEN(layer_kinds)),
    TEXT(struct ta_layer_spec, name),
    TEXT(struct ta_layer_spec, from),
    TEXT(struct ta_layer_spec, with),
    UINT(struct ta_layer_spec, units),
    UINT(struct ta_layer_spec, filters),
    UINT(struct ta_layer_spec, kernel),
    UINT(struct ta_layer_spec, stride),
    UINT(struct ta_layer_spec, pool),
    ENUM("padding", struct ta_layer_spec, padding, paddings),
    ENUM("activation", struct ta_layer_spec, activation, activations),
    ENUM("init", struct ta_layer_spec, init, inits),
    BOOL(struct ta_layer_spec, no_bias),
    FLOAT(struct ta_layer_spec, rate),
    FLOAT(struct ta_layer_spec, momentum),
    FLOAT(struct ta_layer_spec, epsilon),
    CYAML_FIELD_END,
};

static const cyaml_schema_value_t layer_entry = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct ta_layer_spec, layer_fields)};
static const cyaml_schema_value_t number_entry = {CYAML_VALUE_UINT(CYAML_FLAG_DEFAULT, uint32_t)};

/* The bounds of the lists are wide here and narrow in build.c, which can say in a sentence what is wrong. */
const cyaml_schema_field_t ta_model_schema[] = {
    ENUM("type", struct ta_model_spec, type, model_types),
    CYAML_FIELD_SEQUENCE("input", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL | CYAML_FLAG_FLOW, struct ta_model_spec,
                         input, &number_entry, 0, 64),
    ENUM("loss", struct ta_model_spec, loss, losses),
    CYAML_FIELD_SEQUENCE("layers", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct ta_model_spec, layers, &layer_entry,
                         0, 65536),
    UINT(struct ta_model_spec, dim),
    UINT(struct ta_model_spec, window),
    UINT(struct ta_model_spec, negative),
    FLOAT(struct ta_model_spec, sample),
    UINT(struct ta_model_spec, vocabulary),
    UINT(struct ta_model_spec, admit),
    CYAML_FIELD_END,
};

static const cyaml_strval_t optimizers[] = {
    {"sgd", TA_SGD}, {"momentum", TA_MOMENTUM}, {"adam", TA_ADAM}, {"adagrad", TA_ADAGRAD}};

static const cyaml_strval_t schedules[] = {
    {"constant", TA_SCHEDULE_CONSTANT}, {"step", TA_SCHEDULE_STEP},       {"exponential", TA_SCHEDULE_EXPONENTIAL},
    {"cosine", TA_SCHEDULE_COSINE},     {"inverse", TA_SCHEDULE_INVERSE}, {"linear", TA_SCHEDULE_LINEAR},
};

static const cyaml_strval_t on_nans[] = {{"skip", TA_ON_NAN_SKIP}, {"stop", TA_ON_NAN_STOP}};

const cyaml_schema_field_t ta_optimizer_schema[] = {
    ENUM("type", struct ta_optimizer_spec, type, optimizers),
    FLOAT(struct ta_optimizer_spec, rate),
    FLOAT(struct ta_optimizer_spec, momentum),
    FLOAT(struct ta_optimizer_spec, beta1),
    FLOAT(struct ta_optimizer_spec, beta2),
    FLOAT(struct ta_optimizer_spec, epsilon),
    BOOL(struct ta_optimizer_spec, nesterov),
    FLOAT(struct ta_optimizer_spec, weight_decay),
    BOOL(struct ta_optimizer_spec, decoupled),
    FLOAT(struct ta_optimizer_spec, clip_norm),
    FLOAT(struct ta_optimizer_spec, clip_value),
    ENUM("schedule", struct ta_optimizer_spec, schedule, schedules),
    UINT(struct ta_optimizer_spec, warmup_steps),
    UINT(struct ta_optimizer_spec, schedule_steps),
    FLOAT(struct ta_optimizer_spec, schedule_factor),
    ENUM("on_nan", struct ta_optimizer_spec, on_nan, on_nans),
    CYAML_FIELD_END,
};
