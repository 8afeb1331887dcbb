/* element by element: relu, tanh, sigmoid, softmax, add, dropout, flatten. Backward of all of them reads their output
 * at most, so that they may run in place. */
#include "mem.h"
#include "net.h"

static ta_status copy(struct ta_net *net, struct ta_node *node, cudaStream_t stream, void *to, const void *from) {
    if (to == NULL || to == from) return TA_OK;
    size_t bytes = ta_node_out_count(net, node) * ta_flat_bytes(net->type);
    return ta_node_said(net, node, cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream));
}

static ta_status act_forward(struct ta_net *net, struct ta_node *node, const struct ta_pass *pass,
                             enum ta_flat_act act) {
    struct ta_flat_matrix m = ta_node_out_matrix(net, node);
    return ta_node_said(net, node, ta_flat_bias_act(pass->stream, &m, act, NULL, node->in[0], node->out));
}

static ta_status act_backward(struct ta_net *net, struct ta_node *node, const struct ta_pass *pass,
                              enum ta_flat_act act) {
    if (node->grad_in[0] == NULL) return TA_OK;
    struct ta_flat_matrix m = ta_node_out_matrix(net, node);
    struct ta_flat_act_grad g = {
        .act = act, .out = node->out, .grad_out = node->grad_out, .grad_in = node->grad_in[0]};
    return ta_node_said(net, node, ta_flat_act_backward(pass->stream, &m, &g));
}

#define ACTIVATION(name, act)                                                                                          \
    static ta_status name##_forward(struct ta_net *net, struct ta_node *node, const struct ta_pass *pass) {            \
        return act_forward(net, node, pass, act);                                                                      \
    }                                                                                                                  \
    static ta_status name##_backward(struct ta_net *net, struct ta_node *node, const struct ta_pass *pass) {           \
        return act_backward(net, node, pass, act);                                                                     \
    }                                                                                                                  \
    const struct ta_node_ops ta_cuda_node_##name = {NULL, name##_forward, name##_backward, NULL};
ACTIVATION(relu, TA_FLAT_RELU)
ACTIVATION(tanh, TA_FLAT_TANH)
ACTIVATION(sigmoid, TA_FLAT_SIGMOID)
#undef ACTIVATION

ta_status ta_node_back_through_act(struct ta_net *net, struct ta_node *node, const struct ta_pass *pass) {
    const struct ta_param bias = node->work->bias;
    if (!node->relu && bias.count == 0) return TA_OK;
    struct ta_flat_matrix m = ta_node_out_matrix(net, node);
    struct ta_flat_act_grad g = {.act = node->relu ? TA_FLAT_RELU : TA_FLAT_NONE,
                                 .out = node->out,
                                 .grad_out = node->grad_out,
                                 .grad_in = node->relu ? node->grad_out : NULL,
                                 .bias_grad = bias.count > 0 ? pass->grad + bias.offset : NULL,
                                 .scratch = net->workspace};
    return ta_node_said(net, node, ta_flat_act_backward(pass->stream, &m, &g));
}

static ta_status softmax_forward(struct ta_net *net, struct ta_node *node, const struct ta_pass *pass) {
    struct ta_flat_matrix m = ta_node_out_matrix(net, node);
    return ta_node_said(net, node, ta_flat_softmax(pass->stream, &m, node->in[0], node->out));
}

static ta_status softmax_backward(struct ta_net *net, struct ta_node *node, const struct ta_pass *pass) {
    if (node->grad_in[0] == NULL) return TA_OK;
    struct ta_flat_matrix m = ta_node_out_matrix(net, node);
    return ta_node_said(net, node, ta_flat_softmax_backward(pass->stream, &m, node->out, node->grad_out,
                                                            node->grad_in[0]));
}

const struct ta_node_ops ta_cuda_node_softmax = {NULL, softmax_forward, softmax_backward, NULL};

static ta_status add_forward(struct ta_net *net, struct ta_node *node, const struct ta_pass *pass) {
    return ta_node_said(net, node, ta_flat_add(pass->stream, net->type, ta_node_out_count(net, node), node->in[0],
                                               node->in[1], node->out));
}

static ta_status add_backward(struct ta_net *net, struct ta_node *node, const struct ta_pass *pass) {
    ta_status status = copy(net, node, pass->stream, node->grad_in[0], node->grad_out);
    return status == TA_OK ? copy(net, node, pass->stream, node->grad_in[1], node->grad_out) : status;
}

const struct ta_node_ops ta_cuda_node_add = {NULL, add_forward, add_backward, NULL};

static ta_status copy_forward(struct ta_net *net, struct ta_node *node, const struct ta_pass *pass) {
    return copy(net, node, pass->stream, node->out, node->in[0]);
}

static ta_status copy_backward(struct ta_net *net, struct ta_node *node, const struct ta_pass *pass) {
    return copy(net, node, pass->stream, node->grad_in[0], node->grad_out);
}

const struct ta_node_ops ta_cuda_node_copy = {NULL, copy_forward, copy_backward, NULL};
const struct ta_node_ops ta_cuda_node_alias = {NULL, NULL, NULL, NULL}; /* input and output are the same memory */

static ta_status drop(struct ta_net *net, struct ta_node *node, const struct ta_pass *pass, const void *in, void *out) {
    const struct ta_numbers *numbers = (const struct ta_numbers *)pass->slot->device;
    struct ta_flat_dropout d = {.seed = net->spec.seed,
                                .layer = node->index,
                                .step = &numbers->step,
                                .n = ta_node_out_count(net, node),
                                .rate = node->layer->rate,
                                .type = net->type,
                                .in = in,
                                .out = out};
    return ta_node_said(net, node, ta_flat_dropout_run(pass->stream, &d));
}

static ta_status dropout_forward(struct ta_net *net, struct ta_node *node, const struct ta_pass *pass) {
    if (pass->grad == NULL) return copy(net, node, pass->stream, node->out, node->in[0]);
    return drop(net, node, pass, node->in[0], node->out);
}

static ta_status dropout_backward(struct ta_net *net, struct ta_node *node, const struct ta_pass *pass) {
    return node->grad_in[0] == NULL ? TA_OK : drop(net, node, pass, node->grad_out, node->grad_in[0]);
}

const struct ta_node_ops ta_cuda_node_dropout = {NULL, dropout_forward, dropout_backward, NULL};
