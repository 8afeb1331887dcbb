/* element by element: relu, add, copy (our own loops), tanh, sigmoid, softmax (oneDNN). All of them read only their
 * output in backward, so that they may run in place. */
#include <string.h>

#include "mem.h"
#include "net.h"
#include "prim.h"

void ta_accumulate(size_t n, float *into, const float *from) {
    for (size_t i = 0; i < n; i++) into[i] += from[i];
}

/* max(x, 0), but a NaN stays: it must not hide behind a zero. */
static ta_status relu_forward(struct ta_net *net, struct ta_node *node, const struct ta_pass *pass) {
    (void)pass;
    size_t n = ta_node_out_count(net, node);
    const float *in = node->in[0];
    float *out = node->out;
    for (size_t i = 0; i < n; i++) {
        float x = in[i];
        out[i] = x < 0 ? 0 : x;
    }
    return TA_OK;
}

static ta_status relu_backward(struct ta_net *net, struct ta_node *node, const struct ta_pass *pass) {
    (void)pass;
    if (node->grad_in[0] == NULL) return TA_OK;
    size_t n = ta_node_out_count(net, node);
    const float *out = node->out, *grad_out = node->grad_out;
    float *grad_in = node->grad_in[0];
    for (size_t i = 0; i < n; i++) {
        float g = grad_out[i]; /* read in any case: a load that is not conditional makes vectors */
        grad_in[i] = out[i] <= 0 ? 0 : g;
    }
    return TA_OK;
}

const struct ta_node_ops ta_node_relu = {NULL, relu_forward, relu_backward, NULL};

static ta_status add_forward(struct ta_net *net, struct ta_node *node, const struct ta_pass *pass) {
    (void)pass;
    size_t n = ta_node_out_count(net, node);
    const float *a = node->in[0], *b = node->in[1];
    float *out = node->out;
    for (size_t i = 0; i < n; i++) out[i] = a[i] + b[i];
    return TA_OK;
}

static ta_status add_backward(struct ta_net *net, struct ta_node *node, const struct ta_pass *pass) {
    (void)pass;
    size_t bytes = ta_node_out_count(net, node) * sizeof(float);
    for (unsigned k = 0; k < 2; k++) {
        if (node->grad_in[k] != NULL) memcpy(node->grad_in[k], node->grad_out, bytes);
    }
    return TA_OK;
}

const struct ta_node_ops ta_node_add = {NULL, add_forward, add_backward, NULL};

static ta_status copy_forward(struct ta_net *net, struct ta_node *node, const struct ta_pass *pass) {
    (void)pass;
    memcpy(node->out, node->in[0], ta_node_out_count(net, node) * sizeof(float));
    return TA_OK;
}

static ta_status copy_backward(struct ta_net *net, struct ta_node *node, const struct ta_pass *pass) {
    (void)pass;
    if (node->grad_in[0] != NULL)
        memcpy(node->grad_in[0], node->grad_out, ta_node_out_count(net, node) * sizeof(float));
    return TA_OK;
}

const struct ta_node_ops ta_node_copy = {NULL, copy_forward, copy_backward, NULL};
const struct ta_node_ops ta_node_alias = {NULL, NULL, NULL, NULL}; /* input and output are the same memory */

/* A oneDNN primitive with one input, one output, and a backward that reads the output. */
struct unary {
    struct ta_prim forward, backward;
    int src, dst, diff_src, diff_dst, back_dst;
};

static ta_status unary_prims(struct ta_net *net, struct ta_node *node, const_dnnl_op_desc_t forward,
                             const_dnnl_op_desc_t backward, const dnnl_memory_desc_t *md) {
    struct unary *u = node->state;
    dnnl_primitive_desc_t fd = NULL, bd = NULL;
    ta_status status = ta_prim_describe(net, forward, NULL, "activation", &fd);
    if (status == TA_OK) status = ta_prim_create(net, &u->forward, fd, "activation");
    if (status == TA_OK) status = ta_prim_arg(net, &u->forward, DNNL_ARG_SRC, md, NULL, &u->src);
    if (status == TA_OK) status = ta_prim_arg(net, &u->forward, DNNL_ARG_DST, md, NULL, &u->dst);
    if (status == TA_OK && node->grad_in[0] != NULL) {
        status = ta_prim_describe(net, backward, fd, "activation backward", &bd);
        if (status == TA_OK) status = ta_prim_create(net, &u->backward, bd, "activation backward");
        if (status == TA_OK) status = ta_prim_arg(net, &u->backward, DNNL_ARG_DST, md, NULL, &u->back_dst);
        if (status == TA_OK) status = ta_prim_arg(net, &u->backward, DNNL_ARG_DIFF_DST, md, NULL, &u->diff_dst);
        if (status == TA_OK) status = ta_prim_arg(net, &u->backward, DNNL_ARG_DIFF_SRC, md, NULL, &u->diff_src);
    }
    if (fd != NULL) dnnl_primitive_desc_destroy(fd);
    if (bd != NULL) dnnl_primitive_desc_destroy(bd);
    return status;
}

static ta_status eltwise_create(struct ta_net *net, struct ta_node *node, dnnl_alg_kind_t forward,
                                dnnl_alg_kind_t backward) {
    ta_status status = ta_node_alloc(net, 1, sizeof(struct unary), "an activation", &node->state);
    dnnl_memory_desc_t md;
    dnnl_dims_t dims = {(dnnl_dim_t)ta_node_out_count(net, node)};
    dnnl_prop_kind_t prop = net->spec.predict_only ? dnnl_forward_inference : dnnl_forward_training;
    dnnl_eltwise_desc_t f, b;
    if (status == TA_OK) status = ta_md_tag(&md, 1, dims, dnnl_x);
    if (status == TA_OK) status = ta_dnnl(dnnl_eltwise_forward_desc_init(&f, prop, forward, &md, 0, 0), "activation");
    if (status == TA_OK) status = ta_dnnl(dnnl_eltwise_backward_desc_init(&b, backward, &md, &md, 0, 0), "activation");
    return status == TA_OK ? unary_prims(net, node, &f, &b, &md) : status;
}

static ta_status tanh_create(struct ta_net *net, struct ta_node *node) {
    return eltwise_create(net, node, dnnl_eltwise_tanh, dnnl_eltwise_tanh_use_dst_for_bwd);
}

static ta_status sigmoid_create(struct ta_net *net, struct ta_node *node) {
    return eltwise_create(net, node, dnnl_eltwise_logistic, dnnl_eltwise_logistic_use_dst_for_bwd);
}

static ta_status softmax_create(struct ta_net *net, struct ta_node *node) {
    ta_status status = ta_node_alloc(net, 1, sizeof(struct unary), "a softmax", &node->state);
    dnnl_memory_desc_t md;
    struct ta_shape s = node->layer->out;
    dnnl_dims_t dims = {(dnnl_dim_t)net->slice * s.h * s.w, s.c};
    dnnl_prop_kind_t prop = net->spec.predict_only ? dnnl_forward_inference : dnnl_forward_training;
    dnnl_softmax_desc_t f, b;
    if (status == TA_OK) status = ta_md_tag(&md, 2, dims, dnnl_nc);
    if (status == TA_OK) status = ta_dnnl(dnnl_softmax_forward_desc_init(&f, prop, &md, 1), "softmax");
    if (status == TA_OK) status = ta_dnnl(dnnl_softmax_backward_desc_init(&b, &md, &md, 1), "softmax");
    return status == TA_OK ? unary_prims(net, node, &f, &b, &md) : status;
}

static ta_status unary_forward(struct ta_net *net, struct ta_node *node, const struct ta_pass *pass) {
    (void)pass;
    struct unary *u = node->state;
    ta_status status = ta_prim_bind(&u->forward, u->src, node->in[0]);
    if (status == TA_OK) status = ta_prim_bind(&u->forward, u->dst, node->out);
    return status == TA_OK ? ta_prim_run(net, &u->forward) : status;
}

static ta_status unary_backward(struct ta_net *net, struct ta_node *node, const struct ta_pass *pass) {
    (void)pass;
    struct unary *u = node->state;
    if (node->grad_in[0] == NULL) return TA_OK;
    ta_status status = ta_prim_bind(&u->backward, u->back_dst, node->out);
    if (status == TA_OK) status = ta_prim_bind(&u->backward, u->diff_dst, node->grad_out);
    if (status == TA_OK) status = ta_prim_bind(&u->backward, u->diff_src, node->grad_in[0]);
    return status == TA_OK ? ta_prim_run(net, &u->backward) : status;
}

static void unary_destroy(struct ta_node *node) {
    struct unary *u = node->state;
    if (u == NULL) return;
    ta_prim_destroy(&u->forward);
    ta_prim_destroy(&u->backward);
    ta_mem_free(u);
}

const struct ta_node_ops ta_node_tanh = {tanh_create, unary_forward, unary_backward, unary_destroy};
const struct ta_node_ops ta_node_sigmoid = {sigmoid_create, unary_forward, unary_backward, unary_destroy};
const struct ta_node_ops ta_node_softmax = {softmax_create, unary_forward, unary_backward, unary_destroy};
