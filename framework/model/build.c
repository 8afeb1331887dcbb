/* build: a specification -> layers with names, inputs and shapes. Everything is checked here, with 64-bit numbers and
 * before anything is sized by it; the arena is laid out in model.c. */
#include "build.h"

#include <stdio.h>
#include <string.h>

#include "mem.h"

/* While a model is being built. */
struct build {
    struct ta_model *model;
    const struct ta_model_spec *spec;
    uint32_t entry;                    /* of the specification, now being built */
    bool *attribute;                   /* a layer: it is the activation that the layer before it has as an attribute */
    uint32_t numbered[TA_LAYER_KINDS]; /* names made up so far */
};

enum { LONGEST_NAME = TA_LAYER_NAME_BYTES - 1 - 8 /* "_softmax" */ };

static const struct ta_layer_spec *now(const struct build *b) { return &b->spec->layers[b->entry]; }

/* "model.layers[3] (conv2d)": begins every message about an entry. */
#define AT "model.layers[%u] (%s): "
#define AT_ARGS(b) (b)->entry, ta_layer_kind_name(now(b)->type)

/* --- which keys belong to which layer --- */

enum {
    UNITS = 1,
    FILTERS = 2,
    KERNEL = 4,
    STRIDE = 8,
    POOL = 16,
    PADDING = 32,
    ACTIVATION = 64,
    INIT = 128,
    BIAS = 256,
    RATE = 512,
    MOMENTUM = 1024,
    EPSILON = 2048,
    WITH = 4096
};

static const unsigned keys_of[TA_LAYER_KINDS] = {
    [TA_LAYER_DENSE] = UNITS | ACTIVATION | INIT | BIAS,
    [TA_LAYER_CONV2D] = FILTERS | KERNEL | STRIDE | PADDING | ACTIVATION | INIT | BIAS,
    [TA_LAYER_MAX_POOL] = POOL | STRIDE | PADDING,
    [TA_LAYER_AVG_POOL] = POOL | STRIDE | PADDING,
    [TA_LAYER_BATCH_NORM] = MOMENTUM | EPSILON | ACTIVATION,
    [TA_LAYER_DROPOUT] = RATE,
    [TA_LAYER_ADD] = WITH | ACTIVATION,
};

static const char *const key_names[] = {"units", "filters", "kernel", "stride",   "pool",    "padding", "activation",
                                        "init",  "no_bias", "rate",   "momentum", "epsilon", "with"};

static unsigned keys_given(const struct ta_layer_spec *s) {
    return (s->units ? UNITS : 0u) | (s->filters ? FILTERS : 0u) | (s->kernel ? KERNEL : 0u) |
           (s->stride ? STRIDE : 0u) | (s->pool ? POOL : 0u) | (s->padding ? PADDING : 0u) |
           (s->activation ? ACTIVATION : 0u) | (s->init ? INIT : 0u) | (s->no_bias ? BIAS : 0u) |
           (s->rate != 0 ? RATE : 0u) | (s->momentum != 0 ? MOMENTUM : 0u) | (s->epsilon != 0 ? EPSILON : 0u) |
           (s->with ? WITH : 0u);
}

static ta_status check_keys(const struct build *b) {
    unsigned wrong = keys_given(now(b)) & ~keys_of[now(b)->type];
    if (wrong == 0) return TA_OK;
    unsigned first = (unsigned)__builtin_ctz(wrong);
    return ta_fail(TA_CONFIG, AT "'%s' means nothing to a %s layer; remove it", AT_ARGS(b), key_names[first],
                   ta_layer_kind_name(now(b)->type));
}

/* --- names --- */

static int32_t find_layer(const struct ta_model *model, const char *name) {
    for (uint32_t i = 0; i < model->n_layers; i++)
        if (strcmp(model->layers[i].name, name) == 0) return (int32_t)i;
    return TA_FROM_NONE;
}

static ta_status check_name(const struct build *b, const char *name) {
    const char *letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
    size_t length = strlen(name), good = strspn(name, letters);
    if (length == 0 || length > LONGEST_NAME)
        return ta_fail(TA_CONFIG, AT "a name of %zu bytes; 1 to %d are allowed", AT_ARGS(b), length, LONGEST_NAME);
    if (good != length || name[0] == '.')
        return ta_fail(TA_CONFIG, AT "name '%s': only letters, digits, '_', '-' and '.' (not first) are allowed",
                       AT_ARGS(b), name);
    if (strcmp(name, "input") == 0)
        return ta_fail(TA_CONFIG, AT "the name 'input' is the model's input; choose another", AT_ARGS(b));
    if (find_layer(b->model, name) >= 0)
        return ta_fail(TA_CONFIG, AT "the name '%s' is taken by an earlier layer; choose another", AT_ARGS(b), name);
    return TA_OK;
}

/* Keras' way: conv2d, conv2d_1, conv2d_2, ... passing over names that were given to others. */
static void number_name(struct build *b, enum ta_layer_kind kind, char name[TA_LAYER_NAME_BYTES]) {
    do {
        uint32_t n = b->numbered[kind]++;
        if (n == 0) snprintf(name, TA_LAYER_NAME_BYTES, "%s", ta_layer_kind_name(kind));
        else snprintf(name, TA_LAYER_NAME_BYTES, "%s_%u", ta_layer_kind_name(kind), n);
    } while (find_layer(b->model, name) >= 0);
}

static ta_status no_source(const struct build *b, const char *key, const char *name) {
    for (uint32_t i = b->entry; i < b->spec->layers_count; i++)
        if (b->spec->layers[i].name != NULL && strcmp(b->spec->layers[i].name, name) == 0)
            return ta_fail(TA_CONFIG, AT "%s: '%s' is layers[%u]; a layer reads only those before it", AT_ARGS(b), key,
                           name, i);
    const char *names[64];
    size_t n = 0;
    for (uint32_t i = b->model->n_layers; i-- > 0 && n < sizeof names / sizeof *names;)
        names[n++] = b->model->layers[i].name;
    const char *near = ta_config_nearest(name, names, n);
    if (near != NULL)
        return ta_fail(TA_CONFIG, AT "%s: there is no layer '%s'; did you mean '%s'?", AT_ARGS(b), key, name, near);
    return ta_fail(TA_CONFIG, AT "%s: there is no layer '%s'; give the layer it shall read that name", AT_ARGS(b), key,
                   name);
}

/* The layer that gives what `name` gives: one with an activation as an attribute stands for what comes out of that. */
static ta_status find_source(const struct build *b, const char *key, const char *name, int32_t *out) {
    *out = TA_FROM_INPUT;
    if (strcmp(name, "input") == 0) return TA_OK;
    *out = find_layer(b->model, name);
    if (*out < 0) return no_source(b, key, name);
    uint32_t next = (uint32_t)*out + 1;
    if (next < b->model->n_layers && b->attribute[next]) *out = (int32_t)next;
    return TA_OK;
}

static struct ta_shape shape_of(const struct build *b, int32_t source) {
    return source == TA_FROM_INPUT ? b->model->input : b->model->layers[source].out;
}

/* --- shapes --- */

/* One direction of a window that slides: what comes out and what is padded (TensorFlow's rule for `same`: out =
 * ceil(in / stride), the odd element of padding at the end). */
struct slide {
    uint64_t out, before, after;
};

static struct slide slide(uint64_t in, uint64_t window, uint64_t stride, enum ta_padding padding) {
    if (padding == TA_PADDING_VALID) return (struct slide){(in - window) / stride + 1, 0, 0};
    uint64_t out = (in + stride - 1) / stride, reach = (out - 1) * stride + window;
    uint64_t pad = reach > in ? reach - in : 0;
    return (struct slide){out, pad / 2, pad - pad / 2};
}

static ta_status window_shape(const struct build *b, struct ta_layer *l, uint32_t window, uint32_t stride,
                              const char *key) {
    const struct ta_layer_spec *s = now(b);
    bool fits = window <= l->in.h && window <= l->in.w;
    if (!fits && (s->padding == TA_PADDING_VALID || s->type != TA_LAYER_CONV2D))
        return ta_fail(TA_CONFIG, AT "%s %u is larger than its input of %u x %u; use a smaller one%s", AT_ARGS(b), key,
                       window, l->in.h, l->in.w, s->type == TA_LAYER_CONV2D ? " or padding: same" : "");
    if (window > 1024 && !fits) return ta_fail(TA_CONFIG, AT "%s %u; at most 1024 is allowed", AT_ARGS(b), key, window);
    struct slide h = slide(l->in.h, window, stride, s->padding), w = slide(l->in.w, window, stride, s->padding);
    l->kernel_h = l->kernel_w = window;
    l->stride_h = l->stride_w = stride;
    l->pad_top = (uint32_t)h.before;
    l->pad_bottom = (uint32_t)h.after;
    l->pad_left = (uint32_t)w.before;
    l->pad_right = (uint32_t)w.after;
    l->out = (struct ta_shape){(uint32_t)h.out, (uint32_t)w.out, l->in.c};
    return TA_OK;
}

static ta_status too_large(const struct build *b, const char *what, uint64_t n) {
    return ta_fail(TA_CONFIG, AT "%llu %s are more than the %llu that fit; make it smaller", AT_ARGS(b),
                   (unsigned long long)n, what, (unsigned long long)TA_MAX_COUNT);
}

static ta_status dense_shape(const struct build *b, struct ta_layer *l) {
    uint32_t units = now(b)->units;
    if (units == 0)
        return ta_fail(TA_CONFIG, AT "'units' is missing; say how many numbers it gives, at least 1", AT_ARGS(b));
    if (l->in.h != 1 || l->in.w != 1)
        return ta_fail(TA_CONFIG, AT "reads an image of %u x %u x %u; put {type: flatten} before it", AT_ARGS(b),
                       l->in.h, l->in.w, l->in.c);
    uint64_t kernel = (uint64_t)l->in.c * units;
    if (kernel > TA_MAX_COUNT) return too_large(b, "weights", kernel);
    l->out = (struct ta_shape){1, 1, units};
    l->kernel.count = kernel;
    l->bias.count = now(b)->no_bias ? 0 : units;
    return TA_OK;
}

static ta_status conv2d_shape(const struct build *b, struct ta_layer *l) {
    const struct ta_layer_spec *s = now(b);
    if (s->filters == 0 || s->kernel == 0)
        return ta_fail(TA_CONFIG, AT "'%s' is missing; it must be at least 1", AT_ARGS(b),
                       s->filters == 0 ? "filters" : "kernel");
    ta_status status = window_shape(b, l, s->kernel, s->stride == 0 ? 1 : s->stride, "kernel");
    if (status != TA_OK) return status;
    uint64_t kernel;
    if (__builtin_mul_overflow((uint64_t)s->kernel * s->kernel, (uint64_t)l->in.c, &kernel) ||
        __builtin_mul_overflow(kernel, (uint64_t)s->filters, &kernel))
        kernel = UINT64_MAX;
    if (kernel > TA_MAX_COUNT) return too_large(b, "weights", kernel);
    l->out.c = s->filters;
    l->kernel.count = kernel;
    l->bias.count = s->no_bias ? 0 : s->filters;
    return TA_OK;
}

static ta_status pool_shape(const struct build *b, struct ta_layer *l) {
    uint32_t pool = now(b)->pool == 0 ? 2 : now(b)->pool;
    return window_shape(b, l, pool, now(b)->stride == 0 ? pool : now(b)->stride, "pool");
}

static ta_status batch_norm_shape(const struct build *b, struct ta_layer *l) {
    const struct ta_layer_spec *s = now(b);
    l->momentum = s->momentum == 0 ? .99f : s->momentum;
    l->epsilon = s->epsilon == 0 ? .001f : s->epsilon;
    if (!(l->momentum > 0 && l->momentum < 1))
        return ta_fail(TA_CONFIG, AT "momentum %g; it must lie between 0 and 1", AT_ARGS(b), (double)l->momentum);
    if (!(l->epsilon > 0 && l->epsilon < 1))
        return ta_fail(TA_CONFIG, AT "epsilon %g; it must lie between 0 and 1", AT_ARGS(b), (double)l->epsilon);
    l->gamma.count = l->beta.count = l->mean.count = l->variance.count = l->in.c;
    return TA_OK;
}

static ta_status add_shape(const struct build *b, struct ta_layer *l) {
    if (now(b)->with == NULL)
        return ta_fail(TA_CONFIG, AT "'with' is missing; name the layer whose output is added", AT_ARGS(b));
    ta_status status = find_source(b, "with", now(b)->with, &l->input[1]);
    if (status != TA_OK) return status;
    struct ta_shape other = shape_of(b, l->input[1]);
    if (other.h != l->in.h || other.w != l->in.w || other.c != l->in.c)
        return ta_fail(TA_CONFIG, AT "adds %u x %u x %u and %u x %u x %u of '%s'; the shapes must be equal", AT_ARGS(b),
                       l->in.h, l->in.w, l->in.c, other.h, other.w, other.c, now(b)->with);
    return TA_OK;
}

static ta_status infer(const struct build *b, struct ta_layer *l) {
    l->in = shape_of(b, l->input[0]);
    l->out = l->in;
    switch (l->kind) {
    case TA_LAYER_DENSE: return dense_shape(b, l);
    case TA_LAYER_CONV2D: return conv2d_shape(b, l);
    case TA_LAYER_MAX_POOL:
    case TA_LAYER_AVG_POOL: return pool_shape(b, l);
    case TA_LAYER_GLOBAL_AVG_POOL: l->out = (struct ta_shape){1, 1, l->in.c}; return TA_OK;
    case TA_LAYER_FLATTEN: l->out = (struct ta_shape){1, 1, (uint32_t)ta_shape_count(l->in)}; return TA_OK;
    case TA_LAYER_BATCH_NORM: return batch_norm_shape(b, l);
    case TA_LAYER_ADD: return add_shape(b, l);
    case TA_LAYER_DROPOUT:
        l->rate = now(b)->rate;
        if (l->rate >= 0 && l->rate < 1) return TA_OK;
        return ta_fail(TA_CONFIG, AT "rate %g; the share that is dropped must be 0 or more and less than 1", AT_ARGS(b),
                       (double)l->rate);
    default: return TA_OK;
    }
}

/* --- layer by layer --- */

static struct ta_layer *append(struct build *b, enum ta_layer_kind kind, int32_t from) {
    struct ta_layer *l = &b->model->layers[b->model->n_layers];
    *l = (struct ta_layer){.kind = kind, .input = {from, TA_FROM_NONE}};
    return l;
}

/* A layer that changes no shape and has no weights, named after the one it follows. */
static ta_status append_activation(struct build *b, enum ta_layer_kind kind) {
    int32_t from = (int32_t)b->model->n_layers - 1;
    char before[TA_LAYER_NAME_BYTES];
    memcpy(before, b->model->layers[from].name, sizeof before);
    struct ta_layer *l = append(b, kind, from);
    l->in = l->out = b->model->layers[from].out;
    b->attribute[b->model->n_layers] = true;
    snprintf(l->name, sizeof l->name, "%.*s_%s", LONGEST_NAME, before, ta_layer_kind_name(kind));
    if (find_layer(b->model, l->name) >= 0)
        return ta_fail(TA_CONFIG, AT "its activation would be named '%s', which is taken; rename one of them",
                       AT_ARGS(b), l->name);
    b->model->n_layers++;
    return TA_OK;
}

static const enum ta_layer_kind activation_layers[] = {
    [TA_ACTIVATION_RELU] = TA_LAYER_RELU,
    [TA_ACTIVATION_TANH] = TA_LAYER_TANH,
    [TA_ACTIVATION_SIGMOID] = TA_LAYER_SIGMOID,
    [TA_ACTIVATION_SOFTMAX] = TA_LAYER_SOFTMAX,
};

static ta_status build_entry(struct build *b) {
    const struct ta_layer_spec *s = now(b);
    struct ta_model *model = b->model;
    if ((unsigned)s->type >= TA_LAYER_KINDS || (unsigned)s->activation > TA_ACTIVATION_SOFTMAX ||
        (unsigned)s->init > TA_INIT_ZEROS || (unsigned)s->padding > TA_PADDING_SAME)
        return ta_fail(TA_CONFIG, "model.layers[%u]: type, activation, init or padding is not a known one", b->entry);
    ta_status status = check_keys(b);
    if (status == TA_OK && s->name != NULL) status = check_name(b, s->name);
    if (status != TA_OK) return status;
    int32_t from = (int32_t)model->n_layers - 1; /* the first reads the input: TA_FROM_INPUT is -1 */
    if (s->from != NULL) status = find_source(b, "from", s->from, &from);
    if (status != TA_OK) return status;
    struct ta_layer *l = append(b, s->type, from);
    if (s->name != NULL) snprintf(l->name, sizeof l->name, "%s", s->name);
    else number_name(b, s->type, l->name);
    status = infer(b, l);
    if (status != TA_OK) return status;
    uint64_t count;
    if (__builtin_mul_overflow((uint64_t)l->out.h * l->out.w, (uint64_t)l->out.c, &count)) count = UINT64_MAX;
    if (count > TA_MAX_COUNT) return too_large(b, "numbers a record", count);
    model->inits[model->n_layers++] = s->init;
    return s->activation == TA_ACTIVATION_NONE ? TA_OK : append_activation(b, activation_layers[s->activation]);
}

static ta_status check_all_read(const struct ta_model *model) {
    for (uint32_t i = 0; i + 1 < model->n_layers; i++) {
        bool read = false;
        for (uint32_t j = i + 1; j < model->n_layers && !read; j++)
            read = model->layers[j].input[0] == (int32_t)i || model->layers[j].input[1] == (int32_t)i;
        if (!read)
            return ta_fail(TA_CONFIG, "model: no layer reads '%s'; remove it, or name it in `from:` or `with:`",
                           model->layers[i].name);
    }
    return TA_OK;
}

ta_status ta_build_layers(struct ta_model *model, const struct ta_model_spec *spec) {
    struct build b = {.model = model, .spec = spec};
    ta_status status = TA_NEW(&b.attribute, 2 * (size_t)spec->layers_count + 1, "the layers of the model");
    if (status != TA_OK) return status;
    for (; b.entry < spec->layers_count && status == TA_OK; b.entry++) status = build_entry(&b);
    b.entry = spec->layers_count - 1;
    if (status == TA_OK) {
        enum ta_layer_kind last = model->layers[model->n_layers - 1].kind, wanted = last;
        if (model->loss == TA_LOSS_CROSS_ENTROPY) wanted = TA_LAYER_SOFTMAX;
        if (model->loss == TA_LOSS_BINARY_CROSS_ENTROPY) wanted = TA_LAYER_SIGMOID;
        if (wanted != last) status = append_activation(&b, wanted);
    }
    if (status == TA_OK) status = check_all_read(model);
    ta_mem_free(b.attribute);
    return status;
}
