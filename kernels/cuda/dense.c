/* dense by cuBLASLt: out = in w + bias, and ReLU behind it. */
#include <stdio.h>

#include "mem.h"
#include "net.h"

struct dense {
    struct ta_product *forward, *data, *filter;
    struct ta_tensor kernel, bias, kernel_grad; /* bias: as the product takes it */
};

static ta_status create_product(struct ta_net *net, struct ta_node *node, const char *what, struct ta_product_spec spec,
                                struct ta_product **out) {
    char text[TA_LAYER_NAME_BYTES + 24];
    snprintf(text, sizeof text, "%s, %s", node->work->name, what);
    spec.what = text;
    spec.compute = net->kernels->compute;
    ta_status status = ta_product_create(net->kernels->cublaslt, &spec, out);
    if (status == TA_OK) ta_net_want_workspace(net, ta_product_workspace(*out));
    return status;
}

static ta_status dense_create(struct ta_net *net, struct ta_node *node) {
    ta_status status = ta_node_state(node, sizeof(struct dense));
    if (status != TA_OK) return status;
    struct dense *d = node->state;
    const struct ta_layer *l = node->work;
    uint64_t batch = net->spec.batch, in = l->in.c, out = l->out.c;
    struct ta_product_spec forward = {.m = batch, .n = out, .k = in};
    if (l->bias.count > 0) forward.behind = node->relu ? TA_PRODUCT_BIAS_RELU : TA_PRODUCT_BIAS;
    struct ta_product_spec data = {.m = batch, .n = in, .k = out, .transposed_b = true};
    struct ta_product_spec filter = {.m = in, .n = out, .k = batch, .transposed_a = true, .float32_d = true};
    status = create_product(net, node, "forward", forward, &d->forward);
    if (status == TA_OK && node->grad_in[0] != NULL) status = create_product(net, node, "backward", data, &d->data);
    if (status == TA_OK && node->grad_out != NULL) status = create_product(net, node, "gradient", filter, &d->filter);
    if (status != TA_OK) return status;
    if (l->bias.count > 0) ta_net_want_workspace(net, ta_flat_columns_scratch(l->out.c));
    enum ta_product_behind took = ta_product_behind(d->forward);
    d->kernel = (struct ta_tensor){.param = l->kernel, .taps = 1, .in = l->in.c, .out = l->out.c, .type = net->type};
    d->bias = (struct ta_tensor){.param = l->bias, .taps = 1, .in = 1, .out = l->out.c, .type = net->type};
    d->kernel_grad = d->kernel;
    d->kernel_grad.type = TA_FLAT_FLOAT;
    status = ta_tensor_state(&net->weights, &d->kernel);
    if (status == TA_OK && took != TA_PRODUCT_NOTHING) status = ta_tensor_state(&net->weights, &d->bias);
    if (status == TA_OK && node->grad_out != NULL) status = ta_tensor_state(&net->gradients, &d->kernel_grad);
    return status;
}

static ta_status dense_forward(struct ta_net *net, struct ta_node *node, const struct ta_pass *pass) {
    struct dense *d = node->state;
    const struct ta_layer *l = node->work;
    enum ta_product_behind took = ta_product_behind(d->forward);
    const void *bias = took != TA_PRODUCT_NOTHING ? ta_weight(net, pass, &d->bias) : NULL;
    ta_status status = ta_product_run(d->forward, node->in[0], ta_weight(net, pass, &d->kernel), bias, node->out,
                                      net->workspace);
    const float *left = l->bias.count > 0 && took == TA_PRODUCT_NOTHING ? pass->w + l->bias.offset : NULL;
    bool relu = node->relu && took != TA_PRODUCT_BIAS_RELU;
    if (status != TA_OK || (left == NULL && !relu)) return status;
    struct ta_flat_matrix m = ta_node_out_matrix(net, node);
    return ta_node_said(
        net, node, ta_flat_bias_act(pass->stream, &m, relu ? TA_FLAT_RELU : TA_FLAT_NONE, left, node->out, node->out));
}

static ta_status dense_backward(struct ta_net *net, struct ta_node *node, const struct ta_pass *pass) {
    struct dense *d = node->state;
    ta_status status = ta_node_back_through_act(net, node, pass);
    if (status == TA_OK)
        status = ta_product_run(d->filter, node->in[0], node->grad_out, NULL, ta_gradient(net, pass, &d->kernel_grad),
                                net->workspace);
    if (status != TA_OK || d->data == NULL) return status;
    return ta_product_run(d->data, node->grad_out, ta_weight(net, pass, &d->kernel), NULL, node->grad_in[0],
                          net->workspace);
}

static void dense_destroy(struct ta_node *node) {
    struct dense *d = node->state;
    if (d == NULL) return;
    ta_product_destroy(d->forward);
    ta_product_destroy(d->data);
    ta_product_destroy(d->filter);
    ta_mem_free(d);
}

const struct ta_node_ops ta_cuda_node_dense = {dense_create, dense_forward, dense_backward, dense_destroy};
