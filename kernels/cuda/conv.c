/* conv by cuDNN: convolution, bias and ReLU, as much in one as cuDNN takes; the rest by kernels of our own. */
#include "image.h"
#include "mem.h"
#include "net.h"

struct conv {
    struct ta_cudnn_conv ops;
    struct ta_tensor kernel, bias, kernel_grad;
    struct ta_image_pads pad;
    void *padded; /* the input with its pads, then its gradient; NULL: cuDNN pads */
};

static ta_status create_ops(struct ta_net *net, struct ta_node *node) {
    struct conv *c = node->state;
    struct ta_cudnn_conv_spec spec = {.layer = node->work,
                                      .batch = net->spec.batch,
                                      .compute = net->kernels->compute,
                                      .data = node->grad_in[0] != NULL,
                                      .filter = node->grad_out != NULL};
    if (node->work->bias.count > 0) spec.behind = node->relu ? TA_CUDNN_BIAS_RELU : TA_CUDNN_BIAS;
    ta_status status = ta_cudnn_conv_create(net->kernels->cudnn, &spec, &c->ops);
    if (status != TA_OK) return status;
    const struct ta_cudnn_op *ops[] = {c->ops.forward, c->ops.data, c->ops.filter};
    for (unsigned i = 0; i < 3; i++)
        if (ops[i] != NULL) ta_net_want_workspace(net, ta_cudnn_op_workspace(ops[i]));
    return TA_OK;
}

static ta_status conv_create(struct ta_net *net, struct ta_node *node) {
    ta_status status = ta_node_state(node, sizeof(struct conv));
    if (status == TA_OK) status = create_ops(net, node);
    if (status != TA_OK) return status;
    struct conv *c = node->state;
    const struct ta_layer *l = node->work;
    if (l->bias.count > 0) ta_net_want_workspace(net, ta_flat_columns_scratch(l->out.c));
    c->pad = (struct ta_image_pads){net->type,     net->spec.batch, l->in,       l->pad_top,
                                   l->pad_bottom, l->pad_left,     l->pad_right};
    if (c->ops.padded) {
        size_t pixels = ((size_t)l->in.h + l->pad_top + l->pad_bottom) * ((size_t)l->in.w + l->pad_left + l->pad_right);
        status = ta_net_want(net, net->spec.batch * pixels * l->in.c * ta_flat_bytes(net->type), &c->padded);
    }
    c->kernel = (struct ta_tensor){.param = l->kernel,
                                   .taps = l->kernel_h * l->kernel_w,
                                   .in = l->in.c,
                                   .out = l->out.c,
                                   .krsc = true,
                                   .type = net->type};
    c->bias = (struct ta_tensor){.param = l->bias, .taps = 1, .in = 1, .out = l->out.c, .type = TA_FLAT_FLOAT};
    c->kernel_grad = c->kernel;
    if (c->ops.float32_dw) c->kernel_grad.type = TA_FLAT_FLOAT;
    if (status == TA_OK) status = ta_tensor_state(&net->weights, &c->kernel);
    if (status == TA_OK && c->ops.behind != TA_CUDNN_NOTHING) status = ta_tensor_state(&net->weights, &c->bias);
    if (status == TA_OK && node->grad_out != NULL) status = ta_tensor_state(&net->gradients, &c->kernel_grad);
    return status;
}

static ta_status conv_forward(struct ta_net *net, struct ta_node *node, const struct ta_pass *pass) {
    struct conv *c = node->state;
    const struct ta_layer *l = node->work;
    void *x = node->in[0], *tensors[TA_CUDNN_ROLES] = {0};
    ta_status status = TA_OK;
    if (c->padded != NULL) {
        status = ta_node_said(net, node, ta_image_pad(pass->stream, &c->pad, x, c->padded));
        x = c->padded;
    }
    tensors[TA_CUDNN_X] = x;
    tensors[TA_CUDNN_W] = (void *)(uintptr_t)ta_weight(net, pass, &c->kernel);
    tensors[TA_CUDNN_Y] = node->out;
    if (c->ops.behind != TA_CUDNN_NOTHING)
        tensors[TA_CUDNN_BIAS_OF] = (void *)(uintptr_t)ta_weight(net, pass, &c->bias);
    if (status == TA_OK) status = ta_cudnn_op_run(c->ops.forward, tensors, net->workspace);
    const float *left = l->bias.count > 0 && c->ops.behind == TA_CUDNN_NOTHING ? pass->w + l->bias.offset : NULL;
    bool relu = node->relu && c->ops.behind != TA_CUDNN_BIAS_RELU;
    if (status != TA_OK || (left == NULL && !relu)) return status;
    struct ta_flat_matrix m = ta_node_out_matrix(net, node);
    return ta_node_said(
        net, node, ta_flat_bias_act(pass->stream, &m, relu ? TA_FLAT_RELU : TA_FLAT_NONE, left, node->out, node->out));
}

static ta_status conv_backward(struct ta_net *net, struct ta_node *node, const struct ta_pass *pass) {
    struct conv *c = node->state;
    void *tensors[TA_CUDNN_ROLES] = {0};
    tensors[TA_CUDNN_X] = c->padded != NULL ? c->padded : node->in[0];
    tensors[TA_CUDNN_DY] = node->grad_out;
    tensors[TA_CUDNN_DW] = ta_gradient(net, pass, &c->kernel_grad);
    ta_status status = ta_node_back_through_act(net, node, pass);
    if (status == TA_OK) status = ta_cudnn_op_run(c->ops.filter, tensors, net->workspace);
    if (status != TA_OK || node->grad_in[0] == NULL) return status;
    tensors[TA_CUDNN_W] = (void *)(uintptr_t)ta_weight(net, pass, &c->kernel);
    tensors[TA_CUDNN_DX] = c->padded != NULL ? c->padded : node->grad_in[0];
    status = ta_cudnn_op_run(c->ops.data, tensors, net->workspace);
    if (status != TA_OK || c->padded == NULL) return status;
    return ta_node_said(net, node, ta_image_crop(pass->stream, &c->pad, c->padded, node->grad_in[0]));
}

static void conv_destroy(struct ta_node *node) {
    struct conv *c = node->state;
    if (c == NULL) return;
    ta_cudnn_conv_destroy(&c->ops);
    ta_mem_free(c);
}

const struct ta_node_ops ta_cuda_node_conv = {conv_create, conv_forward, conv_backward, conv_destroy};
