/* spec: a model and an optimizer as a person writes them in YAML; plain data, no decisions.
 *
 *     model:
 *       input: [28, 28, 1]
 *       loss: cross_entropy
 *       layers:
 *         - {type: conv2d, filters: 32, kernel: 3, activation: relu}
 *         - {type: max_pool, pool: 2}
 *         - {type: flatten}
 *         - {type: dense, units: 10, activation: softmax}
 *
 * or a word model:
 *
 *     model: {type: skipgram, dim: 100, window: 5, negative: 5, sample: 1e-4}       or: cbow
 *
 * Zero means "not given" for every field whose zero makes no sense. A key that means nothing to the layer or optimizer
 * it is given to is an error. `from` and `with` name an earlier layer, or "input"; a layer with an activation as an
 * attribute gives what comes out of that. Padding `same` is TensorFlow's: out = ceil(in / stride), the odd element at
 * the end.
 */
#ifndef TA_SPEC_H
#define TA_SPEC_H

#include <stdint.h>

#include "config.h"
#include "kernels.h"

enum ta_model_type { TA_MODEL_LAYERS, TA_MODEL_SKIPGRAM, TA_MODEL_CBOW };
enum ta_padding { TA_PADDING_VALID, TA_PADDING_SAME };
enum ta_activation {
    TA_ACTIVATION_NONE,
    TA_ACTIVATION_RELU,
    TA_ACTIVATION_TANH,
    TA_ACTIVATION_SIGMOID,
    TA_ACTIVATION_SOFTMAX,
};
enum ta_init { TA_INIT_GLOROT_UNIFORM, TA_INIT_HE_NORMAL, TA_INIT_HE_UNIFORM, TA_INIT_ZEROS };

struct ta_layer_spec {
    enum ta_layer_kind type;
    char *name;                    /* NULL: type and a number, as Keras: conv2d, conv2d_1 */
    char *from;                    /* name of the layer it reads; NULL: the one before */
    char *with;                    /* add: name of the second input */
    uint32_t units;                /* dense */
    uint32_t filters;              /* conv2d */
    uint32_t kernel, stride, pool; /* square; stride 0: 1 (conv2d), pool (pools); pool 0: 2 */
    enum ta_padding padding;       /* conv2d and pools */
    enum ta_activation activation; /* dense, conv2d, batch_norm, add: becomes a layer of its own */
    enum ta_init init;
    int no_bias;
    float rate;              /* dropout */
    float momentum, epsilon; /* batch_norm; 0: .99, .001 as Keras */
};

struct ta_model_spec {
    enum ta_model_type type;
    uint32_t *input; /* 1 (vector) or 3 (h, w, c) numbers; 0 numbers: taken from the stream */
    unsigned input_count;
    enum ta_loss loss;
    struct ta_layer_spec *layers;
    unsigned layers_count;
    /* skipgram and cbow alone; the others belong to `layers` alone */
    uint32_t dim;        /* 0: 100 */
    uint32_t window;     /* most words to either side; 0: 5 */
    uint32_t negative;   /* words drawn against each; 0: 5 */
    float sample;        /* sub-sampling of frequent words; 0: 1e-4; -1: none */
    uint32_t vocabulary; /* rows. A text stream: how many words to hold. A stream of word numbers, whose words have a
                            row each: 0, or the most that it may have */
    uint32_t admit;      /* text stream: times a word is seen before it gets a row; 0: 5 */
};

enum ta_schedule {
    TA_SCHEDULE_CONSTANT,
    TA_SCHEDULE_STEP,        /* rate * factor^floor(t / schedule_steps), t: updates since the warm-up */
    TA_SCHEDULE_EXPONENTIAL, /* rate * factor^(t / schedule_steps) */
    TA_SCHEDULE_COSINE,  /* rate * (factor + (1 - factor) * (1 + cos(pi * t / schedule_steps)) / 2), then rate * factor
                          */
    TA_SCHEDULE_INVERSE, /* rate / (1 + t / schedule_steps) */
    TA_SCHEDULE_LINEAR,  /* word models: rate * max(1 - share of the run's records done, schedule_factor or 1e-4) */
};

/* What a gradient that is not finite does: its step is dropped and counted; or it ends the run. */
enum ta_on_nan { TA_ON_NAN_SKIP, TA_ON_NAN_STOP };

struct ta_optimizer_spec {
    enum ta_optimizer_kind type;
    float rate;                            /* 0: .01 (sgd, momentum, adagrad), .001 (adam) */
    float momentum, beta1, beta2, epsilon; /* 0: .9, .9, .999, 1e-7 (as Keras) */
    int nesterov;
    float weight_decay;
    int decoupled;
    float clip_norm, clip_value; /* 0: none */
    enum ta_schedule schedule;
    uint64_t warmup_steps;   /* the rate rises linearly from 0 over so many steps */
    uint64_t schedule_steps; /* step: every so many; exponential, inverse: the unit; cosine: the length */
    enum ta_on_nan on_nan;
    float schedule_factor;   /* step, exponential: multiplier; cosine: the floor as a share of rate */
};

/* libcyaml's fields of the mappings `model:` and `optimizer:`. */
extern const cyaml_schema_field_t ta_model_schema[];
extern const cyaml_schema_field_t ta_optimizer_schema[];

#endif
