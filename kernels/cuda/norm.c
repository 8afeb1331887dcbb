/* batch_norm by cuDNN in training, where it takes the shape and the layer has all it wants; else, and in inference, by
 * kernels of our own. Both keep the mean and 1 / sqrt(variance + epsilon) of the batch from forward to backward. */
#include "image.h"
#include "mem.h"
#include "net.h"

struct norm {
    struct ta_cudnn_op *forward, *backward; /* both or none */
    struct ta_tensor gamma, beta, gamma_grad, beta_grad; /* as cuDNN has them */
    struct ta_flat_norm_layer own;
    float *kept; /* mean, inverse */
    size_t stride; /* floats from mean to inverse */
};

static ta_status create_op(struct ta_net *net, struct ta_node *node, enum ta_cudnn_kind kind,
                           struct ta_cudnn_op **out) {
    struct ta_cudnn_spec spec = {
        .kind = kind, .layer = node->layer, .batch = net->spec.batch, .compute = net->kernels->compute};
    ta_status status = ta_cudnn_op_create(net->kernels->cudnn, &spec, out);
    if (*out != NULL) ta_net_want_workspace(net, ta_cudnn_op_workspace(*out));
    return status;
}

static ta_status create_ops(struct ta_net *net, struct ta_node *node) {
    struct norm *n = node->state;
    const struct ta_layer *l = node->layer;
    /* cuDNN wants scale and shift, and all gradients. */
    if (l->gamma.count == 0 || l->beta.count == 0 || node->grad_out == NULL || node->grad_in[0] == NULL) return TA_OK;
    ta_status status = create_op(net, node, TA_CUDNN_NORM_FORWARD, &n->forward);
    if (status == TA_OK && n->forward != NULL) status = create_op(net, node, TA_CUDNN_NORM_BACKWARD, &n->backward);
    if (status == TA_OK && n->backward == NULL) {
        ta_cudnn_op_destroy(n->forward);
        n->forward = NULL;
    }
    if (status != TA_OK || n->forward == NULL) return status;
    n->gamma = n->gamma_grad = (struct ta_tensor){.param = l->gamma, .taps = 1, .in = 1, .out = l->in.c};
    n->beta = n->beta_grad = (struct ta_tensor){.param = l->beta, .taps = 1, .in = 1, .out = l->in.c};
    status = ta_tensor_state(&net->weights, &n->gamma);
    if (status == TA_OK) status = ta_tensor_state(&net->weights, &n->beta);
    if (status == TA_OK) status = ta_tensor_state(&net->gradients, &n->gamma_grad);
    if (status == TA_OK) status = ta_tensor_state(&net->gradients, &n->beta_grad);
    return status;
}

static ta_status norm_create(struct ta_net *net, struct ta_node *node) {
    ta_status status = ta_node_state(node, sizeof(struct norm));
    if (status != TA_OK) return status;
    struct norm *n = node->state;
    const struct ta_layer *l = node->layer;
    n->own = (struct ta_flat_norm_layer){.m = ta_node_out_matrix(net, node), .epsilon = l->epsilon};
    n->stride = ((size_t)l->in.c + 15) / 16 * 16;
    ta_net_want_workspace(net, ta_flat_columns_scratch(l->in.c));
    status = create_ops(net, node);
    return status == TA_OK ? ta_net_want(net, 2 * n->stride * sizeof(float), &n->kept) : status;
}

/* The layer as the kernels of our own see it in this pass. */
static struct ta_flat_norm_layer own(const struct ta_net *net, const struct ta_node *node, const struct ta_pass *pass) {
    const struct norm *n = node->state;
    const struct ta_layer *l = node->layer;
    struct ta_flat_norm_layer o = n->own;
    o.gamma = l->gamma.count > 0 ? pass->w + l->gamma.offset : NULL;
    o.beta = l->beta.count > 0 ? pass->w + l->beta.offset : NULL;
    o.mean = n->kept;
    o.inverse = n->kept + n->stride;
    o.scratch = net->workspace;
    return o;
}

static ta_status train_by_cudnn(struct ta_net *net, struct ta_node *node, const struct ta_pass *pass) {
    struct norm *n = node->state;
    const struct ta_layer *l = node->layer;
    void *tensors[TA_CUDNN_ROLES] = {
        [TA_CUDNN_X] = node->in[0],
        [TA_CUDNN_Y] = node->out,
        [TA_CUDNN_GAMMA] = (void *)(uintptr_t)ta_weight(net, pass, &n->gamma),
        [TA_CUDNN_BETA] = (void *)(uintptr_t)ta_weight(net, pass, &n->beta),
        [TA_CUDNN_MEAN] = n->kept,
        [TA_CUDNN_INVERSE] = n->kept + n->stride,
    };
    ta_status status = ta_cudnn_op_run(n->forward, tensors, net->workspace);
    double count = (double)net->spec.batch * l->in.h * l->in.w;
    struct ta_image_moments s = {.channels = l->in.c,
                                    .epsilon = l->epsilon,
                                    .bessel = (float)(count > 1 ? count / (count - 1) : 1),
                                    .mean = n->kept,
                                    .inverse = n->kept + n->stride,
                                    .to_mean = pass->grad + l->mean.offset,
                                    .to_variance = pass->grad + l->variance.offset};
    return status == TA_OK ? ta_node_said(net, node, ta_image_statistics(pass->stream, &s)) : status;
}

static ta_status norm_forward(struct ta_net *net, struct ta_node *node, const struct ta_pass *pass) {
    const struct norm *n = node->state;
    const struct ta_layer *l = node->layer;
    if (pass->grad != NULL && n->forward != NULL) return train_by_cudnn(net, node, pass);
    struct ta_flat_norm_layer o = own(net, node, pass);
    cudaError_t error;
    if (pass->grad != NULL)
        error = ta_flat_norm_train(pass->stream, &o, node->in[0], node->out, pass->grad + l->mean.offset,
                                   pass->grad + l->variance.offset);
    else
        error = ta_flat_norm_infer(pass->stream, &o, pass->w + l->mean.offset, pass->w + l->variance.offset,
                                   node->in[0], node->out);
    return ta_node_said(net, node, error);
}

static ta_status norm_backward(struct ta_net *net, struct ta_node *node, const struct ta_pass *pass) {
    struct norm *n = node->state;
    const struct ta_layer *l = node->layer;
    if (n->backward == NULL) {
        struct ta_flat_norm_layer o = own(net, node, pass);
        struct ta_flat_norm_grad g = {.in = node->in[0],
                                      .grad_out = node->grad_out,
                                      .grad_in = node->grad_in[0],
                                      .gamma_grad = l->gamma.count > 0 ? pass->grad + l->gamma.offset : NULL,
                                      .beta_grad = l->beta.count > 0 ? pass->grad + l->beta.offset : NULL};
        return ta_node_said(net, node, ta_flat_norm_backward(pass->stream, &o, &g));
    }
    void *tensors[TA_CUDNN_ROLES] = {
        [TA_CUDNN_X] = node->in[0],
        [TA_CUDNN_DY] = node->grad_out,
        [TA_CUDNN_DX] = node->grad_in[0],
        [TA_CUDNN_GAMMA] = (void *)(uintptr_t)ta_weight(net, pass, &n->gamma),
        [TA_CUDNN_MEAN] = n->kept,
        [TA_CUDNN_INVERSE] = n->kept + n->stride,
        [TA_CUDNN_DGAMMA] = ta_gradient(net, pass, &n->gamma_grad),
        [TA_CUDNN_DBETA] = ta_gradient(net, pass, &n->beta_grad),
    };
    return ta_cudnn_op_run(n->backward, tensors, net->workspace);
}

static void norm_destroy(struct ta_node *node) {
    struct norm *n = node->state;
    if (n == NULL) return;
    ta_cudnn_op_destroy(n->forward);
    ta_cudnn_op_destroy(n->backward);
    ta_mem_free(n);
}

const struct ta_node_ops ta_cuda_node_norm = {norm_create, norm_forward, norm_backward, norm_destroy};
