/* pools: maxima by a kernel of our own (where a tie's gradient goes is a promise), averages by cuDNN where it takes
 * them. */
#include "mem.h"
#include "net.h"

struct pool {
    struct ta_flat_pool how;
    struct ta_cudnn_op *forward, *backward; /* both or none */
    void *arg;                              /* of maxima, when training */
};

static ta_status pool_create(struct ta_net *net, struct ta_node *node) {
    ta_status status = ta_node_state(node, sizeof(struct pool));
    if (status != TA_OK) return status;
    struct pool *p = node->state;
    const struct ta_layer *l = node->layer;
    p->how = (struct ta_flat_pool){net->type,    net->spec.batch, l->in,        l->out,     l->kernel_h,
                                   l->kernel_w, l->stride_h,     l->stride_w, l->pad_top, l->pad_left};
    if (l->kind == TA_LAYER_GLOBAL_AVG_POOL) {
        p->how.kernel_h = l->in.h, p->how.kernel_w = l->in.w;
        p->how.stride_h = p->how.stride_w = 1;
        p->how.pad_top = p->how.pad_left = 0;
    }
    return TA_OK;
}

static ta_status max_create(struct ta_net *net, struct ta_node *node) {
    ta_status status = pool_create(net, node);
    if (status != TA_OK || node->grad_in[0] == NULL) return status;
    struct pool *p = node->state;
    return ta_net_want(net, ta_node_out_count(net, node) * ta_flat_pool_arg_bytes(&p->how), &p->arg);
}

static ta_status max_forward(struct ta_net *net, struct ta_node *node, const struct ta_pass *pass) {
    struct pool *p = node->state;
    void *arg = pass->grad != NULL ? p->arg : NULL;
    return ta_node_said(net, node, ta_flat_max_pool(pass->stream, &p->how, node->in[0], node->out, arg));
}

static ta_status max_backward(struct ta_net *net, struct ta_node *node, const struct ta_pass *pass) {
    struct pool *p = node->state;
    if (node->grad_in[0] == NULL) return TA_OK;
    return ta_node_said(net, node, ta_flat_max_pool_backward(pass->stream, &p->how, p->arg, node->grad_out,
                                                             node->grad_in[0]));
}

static ta_status avg_create(struct ta_net *net, struct ta_node *node) {
    ta_status status = pool_create(net, node);
    if (status != TA_OK) return status;
    struct pool *p = node->state;
    struct ta_cudnn_spec spec = {.kind = TA_CUDNN_POOL_FORWARD,
                                 .layer = node->layer,
                                 .batch = net->spec.batch,
                                 .compute = net->kernels->compute};
    status = ta_cudnn_op_create(net->kernels->cudnn, &spec, &p->forward);
    if (status != TA_OK || p->forward == NULL) return status;
    ta_net_want_workspace(net, ta_cudnn_op_workspace(p->forward));
    if (node->grad_in[0] == NULL) return TA_OK;
    spec.kind = TA_CUDNN_POOL_BACKWARD;
    status = ta_cudnn_op_create(net->kernels->cudnn, &spec, &p->backward);
    if (p->backward != NULL) ta_net_want_workspace(net, ta_cudnn_op_workspace(p->backward));
    return status;
}

static ta_status avg_forward(struct ta_net *net, struct ta_node *node, const struct ta_pass *pass) {
    struct pool *p = node->state;
    if (p->forward == NULL)
        return ta_node_said(net, node, ta_flat_avg_pool(pass->stream, &p->how, node->in[0], node->out));
    void *tensors[TA_CUDNN_ROLES] = {[TA_CUDNN_X] = node->in[0], [TA_CUDNN_Y] = node->out};
    return ta_cudnn_op_run(p->forward, tensors, net->workspace);
}

static ta_status avg_backward(struct ta_net *net, struct ta_node *node, const struct ta_pass *pass) {
    struct pool *p = node->state;
    if (node->grad_in[0] == NULL) return TA_OK;
    if (p->backward == NULL)
        return ta_node_said(net, node,
                            ta_flat_avg_pool_backward(pass->stream, &p->how, node->grad_out, node->grad_in[0]));
    void *tensors[TA_CUDNN_ROLES] = {[TA_CUDNN_DY] = node->grad_out, [TA_CUDNN_DX] = node->grad_in[0]};
    return ta_cudnn_op_run(p->backward, tensors, net->workspace);
}

static void pool_destroy(struct ta_node *node) {
    struct pool *p = node->state;
    if (p == NULL) return;
    ta_cudnn_op_destroy(p->forward);
    ta_cudnn_op_destroy(p->backward);
    ta_mem_free(p);
}

const struct ta_node_ops ta_cuda_node_max_pool = {max_create, max_forward, max_backward, pool_destroy};
const struct ta_node_ops ta_cuda_node_avg_pool = {avg_create, avg_forward, avg_backward, pool_destroy};
