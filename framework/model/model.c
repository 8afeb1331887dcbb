/* model: the arena's map, initial weights and the questions others ask of a model. How a specification becomes layers
 * with shapes is in build.c; word models are built in build_words.c. */
#include "model.h"

#include <math.h>
#include <string.h>
#include <xxhash.h>

#include "build.h"
#include "mem.h"
#include "rng.h"

/* --- the arena --- */

static uint64_t align_up(uint64_t floats) { return (floats + TA_PARAM_ALIGN - 1) / TA_PARAM_ALIGN * TA_PARAM_ALIGN; }

/* Gives the tensor its place and moves the end on; counts were set with the shapes. */
static void place(struct ta_param *param, uint64_t *end) {
    if (param->count == 0) return;
    param->offset = *end;
    *end = align_up(*end + param->count);
}

static ta_status layout(struct ta_model *model) {
    uint64_t end = 0, weights = 0;
    for (uint32_t i = 0; i < model->n_layers; i++) {
        struct ta_layer *l = &model->layers[i];
        place(&l->kernel, &end);
        place(&l->bias, &end);
        place(&l->gamma, &end);
        place(&l->beta, &end);
        weights += l->kernel.count + l->bias.count + l->gamma.count + l->beta.count + l->mean.count + l->variance.count;
        if (end > TA_MAX_COUNT || weights > TA_MAX_COUNT)
            return ta_fail(TA_CONFIG,
                           "model: %llu parameters up to layer '%s' are more than the %llu that fit; use fewer or "
                           "smaller layers",
                           (unsigned long long)weights, l->name, (unsigned long long)TA_MAX_COUNT);
    }
    if (end == 0)
        return ta_fail(TA_CONFIG, "model: no layer has weights, so there is nothing to train; add a dense layer");
    model->segments[model->n_segments++] = (struct ta_segment){.kind = TA_SEGMENT_SUM, .count = end};
    uint64_t first_mean = end;
    for (uint32_t i = 0; i < model->n_layers; i++) {
        place(&model->layers[i].mean, &end);
        place(&model->layers[i].variance, &end);
    }
    if (end > first_mean)
        model->segments[model->n_segments++] =
            (struct ta_segment){.kind = TA_SEGMENT_MEAN, .offset = first_mean, .count = end - first_mean};
    model->n_params = end;
    model->n_weights = weights;
    return TA_OK;
}

/* --- the fingerprint --- */

static uint64_t float_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

enum { FINGERPRINT_WORDS = 19 };

/* Everything that decides what a number in the arena means, as little-endian words; names do not. */
static void fingerprint_words(const struct ta_layer *l, uint64_t words[FINGERPRINT_WORDS]) {
    const uint64_t all[FINGERPRINT_WORDS] = {(uint64_t)l->kind,
                                             (uint64_t)(int64_t)l->input[0],
                                             (uint64_t)(int64_t)l->input[1],
                                             l->in.h,
                                             l->in.w,
                                             l->in.c,
                                             l->out.h,
                                             l->out.w,
                                             l->out.c,
                                             (uint64_t)l->kernel_h << 32 | l->kernel_w,
                                             (uint64_t)l->stride_h << 32 | l->stride_w,
                                             (uint64_t)l->pad_top << 32 | l->pad_bottom,
                                             (uint64_t)l->pad_left << 32 | l->pad_right,
                                             float_bits(l->rate),
                                             float_bits(l->epsilon),
                                             float_bits(l->momentum),
                                             l->kernel.count,
                                             l->bias.count,
                                             l->gamma.count};
    memcpy(words, all, sizeof all);
}

static uint64_t fingerprint(const struct ta_model *model) {
    uint64_t hash = XXH3_64bits_withSeed(&(uint64_t){(uint64_t)model->loss}, sizeof(uint64_t), model->n_params);
    for (uint32_t i = 0; i < model->n_layers; i++) {
        uint64_t words[FINGERPRINT_WORDS];
        fingerprint_words(&model->layers[i], words);
        hash = XXH3_64bits_withSeed(words, sizeof words, hash);
    }
    return hash;
}

/* --- building --- */

static ta_status pick_input(const struct ta_model_spec *spec, struct ta_shape stream, struct ta_shape *out) {
    const uint32_t *n = spec->input;
    uint64_t stream_count = (uint64_t)stream.h * stream.w * stream.c;
    if (spec->input_count != 0 && spec->input_count != 1 && spec->input_count != 3)
        return ta_fail(TA_CONFIG,
                       "model.input has %u numbers; give 1 (a vector: [features]) or 3 (an image: [height, width, "
                       "channels])",
                       spec->input_count);
    if (spec->input_count == 0) *out = stream;
    if (spec->input_count == 1) *out = (struct ta_shape){1, 1, n[0]};
    if (spec->input_count == 3) *out = (struct ta_shape){n[0], n[1], n[2]};
    uint64_t area, count;
    if (out->h == 0 || out->w == 0 || out->c == 0)
        return ta_fail(TA_CONFIG, "%s",
                       spec->input_count == 0 ? "model.input is not given and no stream says it; add input: [height, "
                                                "width, channels] or [features]"
                                              : "model.input has a zero; every number must be at least 1");
    if (__builtin_mul_overflow((uint64_t)out->h, out->w, &area) || __builtin_mul_overflow(area, out->c, &count) ||
        count > TA_MAX_COUNT)
        return ta_fail(TA_CONFIG, "model.input: %u x %u x %u numbers a record are more than the %llu that fit", out->h,
                       out->w, out->c, (unsigned long long)TA_MAX_COUNT);
    if (spec->input_count != 0 && stream_count != 0 && count != stream_count)
        return ta_fail(TA_CONFIG,
                       "model.input: %u x %u x %u = %llu numbers a record, but the stream has %u x %u x %u = %llu; "
                       "leave input out to take the stream's",
                       out->h, out->w, out->c, (unsigned long long)count, stream.h, stream.w, stream.c,
                       (unsigned long long)stream_count);
    return TA_OK;
}

static ta_status check_outputs(struct ta_model *model, uint32_t outputs) {
    const struct ta_layer *last = &model->layers[model->n_layers - 1];
    struct ta_shape s = last->out;
    if (model->loss == TA_LOSS_CROSS_ENTROPY && (s.h != 1 || s.w != 1))
        return ta_fail(TA_CONFIG,
                       "model: loss cross_entropy needs one number a class, but layer '%s' gives %u x %u x %u; add "
                       "flatten and dense, or global_avg_pool, at the end",
                       last->name, s.h, s.w, s.c);
    model->outputs = (uint32_t)ta_shape_count(s);
    if (model->loss == TA_LOSS_CROSS_ENTROPY && model->outputs < 2)
        return ta_fail(TA_CONFIG,
                       "model: loss cross_entropy needs at least 2 outputs, layer '%s' gives %u; use "
                       "binary_cross_entropy for one yes-or-no output",
                       last->name, model->outputs);
    if (outputs == 0 || outputs == model->outputs) return TA_OK;
    bool classes = model->loss == TA_LOSS_CROSS_ENTROPY;
    return ta_fail(TA_CONFIG,
                   "model: layer '%s' gives %u numbers a record, but the stream has %u %s; give the last dense layer "
                   "units: %u",
                   last->name, model->outputs, outputs, classes ? "classes" : "targets", outputs);
}

ta_status ta_model_build(const struct ta_model_spec *spec, struct ta_shape stream_input, uint32_t outputs,
                         struct ta_model *out) {
    *out = (struct ta_model){.loss = spec->loss};
    if ((unsigned)spec->loss > TA_LOSS_SQUARED_ERROR)
        return ta_fail(TA_CONFIG, "model.loss: %d is no loss; use cross_entropy, binary_cross_entropy or squared_error",
                       (int)spec->loss);
    if (spec->type != TA_MODEL_LAYERS)
        return ta_fail(TA_CONFIG, "model.type: a word model was asked for where only layers can be; say type: layers");
    const char *word_key = ta_build_word_key(spec);
    if (word_key != NULL)
        return ta_fail(TA_CONFIG,
                       "model.%s means nothing to a model of layers; remove it, or say type: skipgram (or cbow)",
                       word_key);
    if (spec->layers_count == 0)
        return ta_fail(TA_CONFIG,
                       "model.layers is missing or is empty; list at least one layer, or say type: skipgram (or cbow) "
                       "for a model of words");
    if (spec->layers_count > TA_MAX_LAYERS)
        return ta_fail(TA_CONFIG, "model.layers has %u entries, at most %d are allowed", spec->layers_count,
                       TA_MAX_LAYERS);
    ta_status status = pick_input(spec, stream_input, &out->input);
    if (status != TA_OK) return status;
    size_t room = 2 * (size_t)spec->layers_count + 1;
    status = TA_NEW(&out->layers, room, "the layers of the model");
    if (status == TA_OK) status = TA_NEW(&out->inits, room, "the layers of the model");
    if (status == TA_OK) status = ta_build_layers(out, spec);
    if (status == TA_OK) status = check_outputs(out, outputs);
    if (status == TA_OK) status = layout(out);
    if (status == TA_OK) out->fingerprint = fingerprint(out);
    else ta_model_free(out);
    return status;
}

void ta_model_free(struct ta_model *model) {
    if (model == NULL) return;
    ta_mem_free(model->layers);
    ta_mem_free(model->inits);
    *model = (struct ta_model){0};
}

/* --- initial weights --- */

/* Within two standard deviations, as Keras' he_normal; the divisor restores the variance that the cut takes. */
static double truncated_normal(struct ta_rng *rng) {
    double z;
    do z = ta_rng_normal(rng);
    while (fabs(z) > 2);
    return z / .87962566103423978;
}

static void init_kernel(const struct ta_layer *l, enum ta_init init, struct ta_rng *rng, float *w) {
    double field = l->kind == TA_LAYER_CONV2D ? (double)l->kernel_h * l->kernel_w : 1;
    double fan_in = field * (l->kind == TA_LAYER_CONV2D ? l->in.c : (double)ta_shape_count(l->in));
    double fan_out = field * l->out.c;
    double limit = init == TA_INIT_GLOROT_UNIFORM ? sqrt(6 / (fan_in + fan_out)) : sqrt(6 / fan_in);
    double sigma = sqrt(2 / fan_in);
    for (size_t i = 0; i < l->kernel.count; i++) {
        if (init == TA_INIT_ZEROS) w[i] = 0;
        else if (init == TA_INIT_HE_NORMAL) w[i] = (float)(sigma * truncated_normal(rng));
        else w[i] = (float)(limit * (2 * ta_rng_uniform(rng) - 1));
    }
}

static void fill(float *w, struct ta_param param, float value) {
    for (size_t i = 0; i < param.count; i++) w[param.offset + i] = value;
}

void ta_model_init(const struct ta_model *model, uint64_t seed, float *w) {
    const uint64_t purpose = UINT64_C(0x696e6974) << 32; /* "init": apart from every other use of the seed */
    memset(w, 0, model->n_params * sizeof *w);
    for (uint32_t i = 0; i < model->n_layers; i++) {
        const struct ta_layer *l = &model->layers[i];
        struct ta_rng rng = ta_rng_make(seed, purpose | i);
        if (l->kernel.count > 0) init_kernel(l, model->inits[i], &rng, w + l->kernel.offset);
        fill(w, l->gamma, 1);
        fill(w, l->variance, 1);
    }
    for (unsigned i = 0; i < model->n_segments; i++)
        if (model->segments[i].kind == TA_SEGMENT_ROWS) ta_build_table(&model->segments[i].table, seed, w);
}

/* --- questions --- */

static void add_tensor(struct ta_tensor *out, unsigned *n, const char *name, struct ta_param param, bool trainable) {
    if (param.count == 0) return;
    out[(*n)++] =
        (struct ta_tensor){.name = name, .param = param, .rank = 1, .dims = {param.count}, .trainable = trainable};
}

unsigned ta_layer_tensors(const struct ta_layer *layer, struct ta_tensor out[4]) {
    unsigned n = 0;
    add_tensor(out, &n, "kernel", layer->kernel, true);
    if (n == 1 && layer->kind == TA_LAYER_CONV2D) {
        out[0].rank = 4;
        const uint64_t dims[4] = {layer->kernel_h, layer->kernel_w, layer->in.c, layer->out.c};
        memcpy(out[0].dims, dims, sizeof dims);
    } else if (n == 1) {
        out[0].rank = 2;
        out[0].dims[0] = ta_shape_count(layer->in);
        out[0].dims[1] = layer->out.c;
    }
    add_tensor(out, &n, "bias", layer->bias, true);
    add_tensor(out, &n, "gamma", layer->gamma, true);
    add_tensor(out, &n, "beta", layer->beta, true);
    add_tensor(out, &n, "moving_mean", layer->mean, false);
    add_tensor(out, &n, "moving_variance", layer->variance, false);
    return n;
}

struct ta_net_spec ta_model_net_spec(const struct ta_model *model, uint32_t batch, uint64_t seed, bool predict_only) {
    return (struct ta_net_spec){.layers = model->layers,
                                .n_layers = model->n_layers,
                                .input = model->input,
                                .loss = model->loss,
                                .batch = batch,
                                .n_params = model->n_params,
                                .seed = seed,
                                .predict_only = predict_only};
}

bool ta_model_needs_own_prediction(const struct ta_model *model) {
    for (uint32_t i = 0; i < model->n_layers; i++) {
        const struct ta_layer *l = &model->layers[i];
        if (l->kind == TA_LAYER_BATCH_NORM || (l->kind == TA_LAYER_DROPOUT && l->rate > 0)) return true;
    }
    return false;
}
