/* check: one pass over the layers, before anything is allocated or computed. */
#include "check.h"

#include <math.h>

#include "mem.h"

enum { MAX_WINDOW = 65535 }; /* sums of windows, strides and images stay far from 2^32 */

static const char *const kind_names[TA_LAYER_KINDS] = {
    [TA_LAYER_DENSE] = "dense",
    [TA_LAYER_CONV2D] = "conv2d",
    [TA_LAYER_MAX_POOL] = "max_pool",
    [TA_LAYER_AVG_POOL] = "avg_pool",
    [TA_LAYER_GLOBAL_AVG_POOL] = "global_avg_pool",
    [TA_LAYER_BATCH_NORM] = "batch_norm",
    [TA_LAYER_DROPOUT] = "dropout",
    [TA_LAYER_FLATTEN] = "flatten",
    [TA_LAYER_ADD] = "add",
    [TA_LAYER_RELU] = "relu",
    [TA_LAYER_TANH] = "tanh",
    [TA_LAYER_SIGMOID] = "sigmoid",
    [TA_LAYER_SOFTMAX] = "softmax",
};

const char *ta_layer_kind_name(enum ta_layer_kind kind) {
    return (unsigned)kind < TA_LAYER_KINDS ? kind_names[kind] : "unknown";
}

struct ta_shape ta_net_input_shape(const struct ta_net_spec *spec, uint32_t i, unsigned which) {
    int32_t from = spec->layers[i].input[which];
    return from == TA_FROM_INPUT ? spec->input : spec->layers[from].out;
}

bool ta_net_loss_takes_last(const struct ta_net_spec *spec) {
    enum ta_layer_kind last = spec->layers[spec->n_layers - 1].kind;
    return (spec->loss == TA_LOSS_CROSS_ENTROPY && last == TA_LAYER_SOFTMAX) ||
           (spec->loss == TA_LOSS_BINARY_CROSS_ENTROPY && last == TA_LAYER_SIGMOID);
}

static bool same(struct ta_shape a, struct ta_shape b) { return a.h == b.h && a.w == b.w && a.c == b.c; }

/* The product without overflow, 0 when it is 0 or beyond the limit. */
static size_t bounded_count(size_t a, size_t b, size_t c) {
    size_t ab, abc;
    if (__builtin_mul_overflow(a, b, &ab) || __builtin_mul_overflow(ab, c, &abc)) return 0;
    return abc <= TA_NET_MAX_ELEMENTS ? abc : 0;
}

static ta_status check_shape(const struct ta_net_spec *spec, uint32_t i, struct ta_shape found, struct ta_shape right) {
    const struct ta_layer *l = &spec->layers[i];
    if (same(found, right)) return TA_OK;
    return ta_fail(TA_CONFIG,
                   "layer %u '%s' (%s): its output is given as %ux%ux%u but follows as %ux%ux%u from its input", i,
                   l->name, ta_layer_kind_name(l->kind), found.h, found.w, found.c, right.h, right.w, right.c);
}

static ta_status check_param(const struct ta_net_spec *spec, uint32_t i, const char *what, struct ta_param p,
                             size_t need) {
    const struct ta_layer *l = &spec->layers[i];
    if (need == 0)
        return ta_fail(TA_CONFIG, "layer %u '%s': its %s would hold more than %zu numbers; make the layer smaller", i,
                       l->name, what, (size_t)TA_NET_MAX_ELEMENTS);
    if (p.count != need)
        return ta_fail(TA_CONFIG, "layer %u '%s': its %s holds %zu numbers but needs %zu", i, l->name, what, p.count,
                       need);
    if (p.offset > spec->n_params || p.count > spec->n_params - p.offset)
        return ta_fail(TA_CONFIG, "layer %u '%s': its %s ends at %zu, beyond the arena of %zu parameters", i, l->name,
                       what, p.offset + p.count, spec->n_params);
    return TA_OK;
}

static ta_status check_optional(const struct ta_net_spec *spec, uint32_t i, const char *what, struct ta_param p,
                                size_t need) {
    return p.count == 0 ? TA_OK : check_param(spec, i, what, p, need);
}

/* Output length of a sliding window along one axis; 0: it does not fit. */
static uint32_t slide(uint32_t in, uint32_t before, uint32_t after, uint32_t kernel, uint32_t stride) {
    uint64_t padded = (uint64_t)in + before + after;
    if (kernel == 0 || stride == 0 || padded < kernel) return 0;
    return (uint32_t)((padded - kernel) / stride + 1);
}

static ta_status check_window(const struct ta_net_spec *spec, uint32_t i, uint32_t channels) {
    const struct ta_layer *l = &spec->layers[i];
    if (l->kernel_h > MAX_WINDOW || l->kernel_w > MAX_WINDOW || l->stride_h > MAX_WINDOW || l->stride_w > MAX_WINDOW)
        return ta_fail(TA_CONFIG, "layer %u '%s' (%s): a window of %ux%u with strides %ux%u is more than %d", i,
                       l->name, ta_layer_kind_name(l->kind), l->kernel_h, l->kernel_w, l->stride_h, l->stride_w,
                       MAX_WINDOW);
    /* A window that sees nothing but padding has no maximum and no average, and teaches a kernel nothing. */
    if (l->kernel_h > 0 && l->kernel_w > 0 &&
        (l->pad_top >= l->kernel_h || l->pad_bottom >= l->kernel_h || l->pad_left >= l->kernel_w ||
         l->pad_right >= l->kernel_w))
        return ta_fail(TA_CONFIG, "layer %u '%s' (%s): padding of %u,%u,%u,%u must be smaller than the window of %ux%u",
                       i, l->name, ta_layer_kind_name(l->kind), l->pad_top, l->pad_bottom, l->pad_left, l->pad_right,
                       l->kernel_h, l->kernel_w);
    struct ta_shape right = {slide(l->in.h, l->pad_top, l->pad_bottom, l->kernel_h, l->stride_h),
                             slide(l->in.w, l->pad_left, l->pad_right, l->kernel_w, l->stride_w), channels};
    if (right.h == 0 || right.w == 0)
        return ta_fail(TA_CONFIG,
                       "layer %u '%s' (%s): a window of %ux%u with strides %ux%u does not fit into %ux%u; make the "
                       "window smaller or pad",
                       i, l->name, ta_layer_kind_name(l->kind), l->kernel_h, l->kernel_w, l->stride_h, l->stride_w,
                       l->in.h, l->in.w);
    return check_shape(spec, i, l->out, right);
}

static ta_status check_dense(const struct ta_net_spec *spec, uint32_t i) {
    const struct ta_layer *l = &spec->layers[i];
    if (l->in.h != 1 || l->in.w != 1)
        return ta_fail(TA_CONFIG, "layer %u '%s' (dense): its input is %ux%ux%u; put a flatten before it", i, l->name,
                       l->in.h, l->in.w, l->in.c);
    ta_status status = check_shape(spec, i, l->out, (struct ta_shape){1, 1, l->out.c});
    if (status == TA_OK) status = check_param(spec, i, "kernel", l->kernel, bounded_count(l->in.c, l->out.c, 1));
    if (status == TA_OK) status = check_optional(spec, i, "bias", l->bias, l->out.c);
    return status;
}

static ta_status check_conv(const struct ta_net_spec *spec, uint32_t i) {
    const struct ta_layer *l = &spec->layers[i];
    ta_status status = check_window(spec, i, l->out.c);
    size_t window = bounded_count(l->kernel_h, l->kernel_w, l->in.c);
    if (status == TA_OK) status = check_param(spec, i, "kernel", l->kernel, bounded_count(window, l->out.c, 1));
    if (status == TA_OK) status = check_optional(spec, i, "bias", l->bias, l->out.c);
    return status;
}

static ta_status check_norm(const struct ta_net_spec *spec, uint32_t i) {
    const struct ta_layer *l = &spec->layers[i];
    if (!(l->epsilon > 0) || !isfinite(l->epsilon))
        return ta_fail(TA_CONFIG, "layer %u '%s' (batch_norm): epsilon is %g; it must be above 0, as 0.001", i, l->name,
                       (double)l->epsilon);
    ta_status status = check_shape(spec, i, l->out, l->in);
    if (status == TA_OK) status = check_optional(spec, i, "gamma", l->gamma, l->in.c);
    if (status == TA_OK) status = check_optional(spec, i, "beta", l->beta, l->in.c);
    if (status == TA_OK) status = check_param(spec, i, "moving_mean", l->mean, l->in.c);
    if (status == TA_OK) status = check_param(spec, i, "moving_variance", l->variance, l->in.c);
    return status;
}

static ta_status check_kind(const struct ta_net_spec *spec, uint32_t i) {
    const struct ta_layer *l = &spec->layers[i];
    switch (l->kind) {
    case TA_LAYER_DENSE: return check_dense(spec, i);
    case TA_LAYER_CONV2D: return check_conv(spec, i);
    case TA_LAYER_MAX_POOL:
    case TA_LAYER_AVG_POOL: return check_window(spec, i, l->in.c);
    case TA_LAYER_GLOBAL_AVG_POOL: return check_shape(spec, i, l->out, (struct ta_shape){1, 1, l->in.c});
    case TA_LAYER_BATCH_NORM: return check_norm(spec, i);
    case TA_LAYER_FLATTEN:
        return check_shape(spec, i, l->out, (struct ta_shape){1, 1, (uint32_t)ta_shape_count(l->in)});
    case TA_LAYER_DROPOUT:
        if (!(l->rate >= 0 && l->rate < 1))
            return ta_fail(TA_CONFIG, "layer %u '%s' (dropout): rate is %g; it must be in [0, 1)", i, l->name,
                           (double)l->rate);
        return check_shape(spec, i, l->out, l->in);
    case TA_LAYER_ADD: {
        struct ta_shape other = ta_net_input_shape(spec, i, 1);
        if (!same(other, l->in))
            return ta_fail(TA_CONFIG, "layer %u '%s' (add): it adds %ux%ux%u and %ux%ux%u; make them equal", i, l->name,
                           l->in.h, l->in.w, l->in.c, other.h, other.w, other.c);
        return check_shape(spec, i, l->out, l->in);
    }
    case TA_LAYER_RELU:
    case TA_LAYER_TANH:
    case TA_LAYER_SIGMOID:
    case TA_LAYER_SOFTMAX: return check_shape(spec, i, l->out, l->in);
    default: return ta_fail(TA_CONFIG, "layer %u '%s': kind %d does not exist", i, l->name, (int)l->kind);
    }
}

static ta_status check_layer(const struct ta_net_spec *spec, uint32_t i, unsigned char *read) {
    const struct ta_layer *l = &spec->layers[i];
    for (unsigned which = 0; which < 2; which++) {
        int32_t from = l->input[which];
        if (which == 1 && l->kind != TA_LAYER_ADD) continue;
        if (from != TA_FROM_INPUT && (from < 0 || (uint32_t)from >= i))
            return ta_fail(TA_CONFIG, "layer %u '%s': input %u is layer %d; it must be one of 0..%d or the net's input",
                           i, l->name, which, from, (int)i - 1);
        if (from >= 0) read[from] = 1;
    }
    struct ta_shape arrives = ta_net_input_shape(spec, i, 0);
    if (!same(arrives, l->in))
        return ta_fail(TA_CONFIG, "layer %u '%s': it expects %ux%ux%u but gets %ux%ux%u", i, l->name, l->in.h, l->in.w,
                       l->in.c, arrives.h, arrives.w, arrives.c);
    if (bounded_count(l->in.h, l->in.w, l->in.c) == 0 || bounded_count(l->out.h, l->out.w, l->out.c) == 0)
        return ta_fail(TA_CONFIG, "layer %u '%s': %ux%ux%u to %ux%ux%u is nothing, or more than %zu numbers a record",
                       i, l->name, l->in.h, l->in.w, l->in.c, l->out.h, l->out.w, l->out.c,
                       (size_t)TA_NET_MAX_ELEMENTS);
    return check_kind(spec, i);
}

static ta_status check_output(const struct ta_net_spec *spec, const unsigned char *read) {
    uint32_t last = spec->n_layers - 1;
    for (uint32_t i = 0; i < last; i++) {
        if (!read[i])
            return ta_fail(TA_CONFIG, "layer %u '%s': nobody reads its output; remove it or name it as an input", i,
                           spec->layers[i].name);
    }
    const struct ta_shape out = spec->layers[last].out;
    if (spec->loss == TA_LOSS_CROSS_ENTROPY && (out.h != 1 || out.w != 1))
        return ta_fail(TA_CONFIG,
                       "layer %u '%s': cross_entropy needs one number a class but the output is %ux%ux%u; end with "
                       "flatten or global_avg_pool and dense",
                       last, spec->layers[last].name, out.h, out.w, out.c);
    return TA_OK;
}

ta_status ta_net_check(const struct ta_net_spec *spec) {
    if (spec->n_layers == 0) return ta_fail(TA_CONFIG, "the model has no layers; give it at least one");
    if (spec->batch == 0) return ta_fail(TA_CONFIG, "the batch is 0 records; it must be at least 1");
    if ((unsigned)spec->loss > TA_LOSS_SQUARED_ERROR)
        return ta_fail(TA_CONFIG, "loss %d does not exist", (int)spec->loss);
    unsigned char *read;
    ta_status status = ta_mem_alloc(spec->n_layers, 1, "the check of a net", (void **)&read);
    if (status != TA_OK) return status;
    for (uint32_t i = 0; i < spec->n_layers && status == TA_OK; i++) {
        status = check_layer(spec, i, read);
        const struct ta_layer *l = &spec->layers[i];
        if (status == TA_OK && (bounded_count(spec->batch, ta_shape_count(l->in), 1) == 0 ||
                                bounded_count(spec->batch, ta_shape_count(l->out), 1) == 0))
            status = ta_fail(TA_CONFIG,
                             "layer %u '%s': a batch of %u records of %zu numbers is more than %zu; make the batch "
                             "smaller",
                             i, l->name, spec->batch, ta_shape_count(l->out), (size_t)TA_NET_MAX_ELEMENTS);
    }
    if (status == TA_OK) status = check_output(spec, read);
    ta_mem_free(read);
    return status;
}

ta_status ta_labels_check(const struct ta_net_spec *spec, const struct ta_labels *labels) {
    if (spec->loss != TA_LOSS_CROSS_ENTROPY)
        return labels->targets != NULL ? TA_OK : ta_fail(TA_INVALID, "this loss needs targets, and none were given");
    if (labels->classes == NULL) return ta_fail(TA_INVALID, "cross_entropy needs classes, and none were given");
    int32_t outputs = (int32_t)spec->layers[spec->n_layers - 1].out.c;
    for (uint32_t r = 0; r < spec->batch; r++) {
        int32_t y = labels->classes[r];
        if (y < -1 || y >= outputs)
            return ta_fail(TA_CONFIG,
                           "record %u of the batch has class %d, but the model predicts classes 0..%d (-1: no label); "
                           "check the labels or the units of the last layer",
                           r, y, outputs - 1);
    }
    return TA_OK;
}

bool ta_label_is_given(const struct ta_labels *labels, uint32_t outputs, uint32_t record) {
    if (labels->targets == NULL) return labels->classes[record] >= 0;
    for (uint32_t j = 0; j < outputs; j++)
        if (isnan(labels->targets[(size_t)record * outputs + j])) return false;
    return true;
}

uint32_t ta_labels_given(const struct ta_net_spec *spec, const struct ta_labels *labels) {
    uint32_t outputs = (uint32_t)ta_shape_count(spec->layers[spec->n_layers - 1].out), given = 0;
    struct ta_labels used = {.classes = labels->classes};
    if (spec->loss != TA_LOSS_CROSS_ENTROPY) used.targets = labels->targets;
    for (uint32_t r = 0; r < spec->batch; r++) given += ta_label_is_given(&used, outputs, r);
    return given;
}
