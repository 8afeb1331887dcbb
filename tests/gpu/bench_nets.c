/* bench_nets: see bench_nets.h. */
#include "bench_nets.h"

#include <stdio.h>
#include <string.h>

enum { RESNET_LAYERS = 192, NAME_BYTES = 16 };

static ta_status cifar10(struct ta_model *out) {
    struct ta_layer_spec layers[] = {
        {.type = TA_LAYER_CONV2D, .filters = 32, .kernel = 3, .activation = TA_ACTIVATION_RELU},
        {.type = TA_LAYER_MAX_POOL, .pool = 2},
        {.type = TA_LAYER_CONV2D, .filters = 64, .kernel = 3, .activation = TA_ACTIVATION_RELU},
        {.type = TA_LAYER_MAX_POOL, .pool = 2},
        {.type = TA_LAYER_CONV2D, .filters = 64, .kernel = 3, .activation = TA_ACTIVATION_RELU},
        {.type = TA_LAYER_FLATTEN},
        {.type = TA_LAYER_DENSE, .units = 64, .activation = TA_ACTIVATION_RELU},
        {.type = TA_LAYER_DENSE, .units = 10, .activation = TA_ACTIVATION_SOFTMAX},
    };
    struct ta_model_spec spec = {
        .loss = TA_LOSS_CROSS_ENTROPY, .layers = layers, .layers_count = sizeof layers / sizeof *layers};
    return ta_model_build(&spec, (struct ta_shape){32, 32, 3}, 10, out);
}

static ta_status tiny(struct ta_model *out) {
    struct ta_layer_spec layers[] = {
        {.type = TA_LAYER_CONV2D, .filters = 8, .kernel = 3, .activation = TA_ACTIVATION_RELU},
        {.type = TA_LAYER_MAX_POOL, .pool = 2},
        {.type = TA_LAYER_FLATTEN},
        {.type = TA_LAYER_DENSE, .units = 4, .activation = TA_ACTIVATION_SOFTMAX},
    };
    struct ta_model_spec spec = {
        .loss = TA_LOSS_CROSS_ENTROPY, .layers = layers, .layers_count = sizeof layers / sizeof *layers};
    return ta_model_build(&spec, (struct ta_shape){8, 8, 3}, 4, out);
}

/* ---- ResNet-50 ---- */

struct resnet {
    struct ta_layer_spec layers[RESNET_LAYERS];
    char names[RESNET_LAYERS][NAME_BYTES];
    unsigned n;
};

static struct ta_layer_spec *add(struct resnet *r, struct ta_layer_spec layer) {
    struct ta_layer_spec *l = &r->layers[r->n];
    *l = layer;
    snprintf(r->names[r->n], NAME_BYTES, "l%u", r->n);
    l->name = r->names[r->n++];
    return l;
}

/* A convolution without bias and the normalisation behind it; `from` NULL: of the layer before. Returns the latter. */
static struct ta_layer_spec *conv(struct resnet *r, char *from, uint32_t filters, uint32_t kernel, uint32_t stride,
                                  bool relu) {
    add(r, (struct ta_layer_spec){.type = TA_LAYER_CONV2D,
                                  .from = from,
                                  .filters = filters,
                                  .kernel = kernel,
                                  .stride = stride,
                                  .padding = TA_PADDING_SAME,
                                  .init = TA_INIT_HE_NORMAL,
                                  .no_bias = 1});
    return add(r, (struct ta_layer_spec){.type = TA_LAYER_BATCH_NORM,
                                         .momentum = 0.9F,
                                         .epsilon = 1e-5F,
                                         .activation = relu ? TA_ACTIVATION_RELU : TA_ACTIVATION_NONE});
}

static char *bottleneck(struct resnet *r, char *from, uint32_t width, uint32_t stride, bool project) {
    char *shortcut = project ? conv(r, from, 4 * width, 1, stride, false)->name : from;
    conv(r, from, width, 1, 1, true);
    conv(r, NULL, width, 3, stride, true);
    conv(r, NULL, 4 * width, 1, 1, false);
    return add(r, (struct ta_layer_spec){.type = TA_LAYER_ADD, .with = shortcut, .activation = TA_ACTIVATION_RELU})
        ->name;
}

/* `same` pads the odd element at the end; here both sides get alike, and the windows still fit as often. */
static void pad_evenly(struct ta_model *model) {
    for (uint32_t i = 0; i < model->n_layers; i++) {
        struct ta_layer *l = &model->layers[i];
        if ((l->kind != TA_LAYER_CONV2D && l->kind != TA_LAYER_MAX_POOL) || l->stride_h != 2 || l->kernel_h < 3)
            continue;
        l->pad_top = l->pad_bottom = (l->kernel_h - 1) / 2;
        l->pad_left = l->pad_right = (l->kernel_w - 1) / 2;
    }
}

static ta_status resnet50(struct ta_model *out) {
    static const unsigned blocks[4] = {3, 4, 6, 3};
    struct resnet r = {.n = 0};
    conv(&r, NULL, 64, 7, 2, true);
    char *at =
        add(&r, (struct ta_layer_spec){.type = TA_LAYER_MAX_POOL, .pool = 3, .stride = 2, .padding = TA_PADDING_SAME})
            ->name;
    for (unsigned stage = 0; stage < 4; stage++)
        for (unsigned i = 0; i < blocks[stage]; i++)
            at = bottleneck(&r, at, 64u << stage, stage > 0 && i == 0 ? 2 : 1, i == 0);
    add(&r, (struct ta_layer_spec){.type = TA_LAYER_GLOBAL_AVG_POOL});
    add(&r, (struct ta_layer_spec){.type = TA_LAYER_DENSE, .units = 1000, .activation = TA_ACTIVATION_SOFTMAX});
    struct ta_model_spec spec = {.loss = TA_LOSS_CROSS_ENTROPY, .layers = r.layers, .layers_count = r.n};
    ta_status status = ta_model_build(&spec, (struct ta_shape){224, 224, 3}, 1000, out);
    if (status == TA_OK) pad_evenly(out);
    return status;
}

size_t bench_nets_trained(const struct ta_model *model) {
    size_t trained = 0;
    for (uint32_t i = 0; i < model->n_layers; i++) {
        struct ta_tensor tensors[4];
        unsigned n = ta_layer_tensors(&model->layers[i], tensors);
        for (unsigned t = 0; t < n; t++) trained += tensors[t].trainable ? tensors[t].param.count : 0;
    }
    return trained;
}

ta_status bench_nets_build(const char *name, struct ta_model *out) {
    static const struct {
        const char *name;
        ta_status (*build)(struct ta_model *out);
        size_t trained;
    } nets[] = {{"cifar10", cifar10, 122570}, {"resnet50", resnet50, 25557032}, {"tiny", tiny, 516}};
    for (unsigned i = 0; i < sizeof nets / sizeof *nets; i++) {
        if (strcmp(name, nets[i].name) != 0) continue;
        ta_status status = nets[i].build(out);
        if (status != TA_OK || bench_nets_trained(out) == nets[i].trained) return status;
        status = ta_fail(TA_FAILED, "%s has %zu parameters that are trained; it must have %zu", name,
                         bench_nets_trained(out), nets[i].trained);
        ta_model_free(out);
        return status;
    }
    return ta_fail(TA_USAGE, "network '%s' is not one of cifar10, resnet50, tiny", name);
}
