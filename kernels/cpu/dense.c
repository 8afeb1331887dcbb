/* dense by oneDNN's inner product: x [n][in] * kernel [in][out] + bias [out] -> [n][out]. The kernel and its gradient
 * are used where they lie in the arena. */
#include "mem.h"
#include "net.h"
#include "prim.h"

struct dense {
    struct ta_prim forward, backward_data, backward_weights;
    int src, dst, kernel, bias;
    int data_diff_dst, data_diff_src, data_kernel;
    int weights_src, weights_diff_dst, weights_kernel, weights_bias;
};

struct shape {
    dnnl_memory_desc_t src, dst, kernel, bias;
    bool has_bias;
};

static ta_status describe(const struct ta_net *net, const struct ta_layer *l, struct shape *s) {
    *s = (struct shape){.has_bias = l->bias.count > 0};
    dnnl_dims_t src = {net->slice, l->in.c}, dst = {net->slice, l->out.c}, kernel = {l->out.c, l->in.c},
                bias = {l->out.c};
    ta_status status = ta_md_tag(&s->src, 2, src, dnnl_nc);
    if (status == TA_OK) status = ta_md_tag(&s->dst, 2, dst, dnnl_nc);
    if (status == TA_OK) status = ta_md_tag(&s->kernel, 2, kernel, dnnl_io);
    if (status == TA_OK && s->has_bias) status = ta_md_tag(&s->bias, 1, bias, dnnl_x);
    return status;
}

static ta_status create_forward(struct ta_net *net, struct dense *d, const struct shape *s,
                                dnnl_primitive_desc_t *desc) {
    dnnl_inner_product_desc_t op;
    dnnl_prop_kind_t prop = net->spec.predict_only ? dnnl_forward_inference : dnnl_forward_training;
    const dnnl_memory_desc_t *bias = s->has_bias ? &s->bias : NULL;
    ta_status status = ta_dnnl(dnnl_inner_product_forward_desc_init(&op, prop, &s->src, &s->kernel, bias, &s->dst),
                               "dense forward");
    if (status == TA_OK) status = ta_prim_describe(net, &op, NULL, "dense forward", desc);
    if (status == TA_OK) status = ta_prim_create(net, &d->forward, *desc, "dense forward");
    if (status == TA_OK) status = ta_prim_arg(net, &d->forward, DNNL_ARG_SRC, &s->src, NULL, &d->src);
    if (status == TA_OK) status = ta_prim_arg(net, &d->forward, DNNL_ARG_DST, &s->dst, NULL, &d->dst);
    if (status == TA_OK) status = ta_prim_arg(net, &d->forward, DNNL_ARG_WEIGHTS, &s->kernel, NULL, &d->kernel);
    if (status == TA_OK && s->has_bias) status = ta_prim_arg(net, &d->forward, DNNL_ARG_BIAS, &s->bias, NULL, &d->bias);
    return status;
}

static ta_status create_data(struct ta_net *net, struct dense *d, const struct shape *s, dnnl_primitive_desc_t hint) {
    dnnl_inner_product_desc_t op;
    dnnl_primitive_desc_t desc = NULL;
    ta_status status = ta_dnnl(dnnl_inner_product_backward_data_desc_init(&op, &s->src, &s->kernel, &s->dst),
                               "dense backward data");
    if (status == TA_OK) status = ta_prim_describe(net, &op, hint, "dense backward data", &desc);
    if (status != TA_OK) return status;
    struct ta_prim *prim = &d->backward_data;
    status = ta_prim_create(net, prim, desc, "dense backward data");
    if (status == TA_OK) status = ta_prim_arg(net, prim, DNNL_ARG_DIFF_DST, &s->dst, NULL, &d->data_diff_dst);
    if (status == TA_OK) status = ta_prim_arg(net, prim, DNNL_ARG_DIFF_SRC, &s->src, NULL, &d->data_diff_src);
    if (status == TA_OK) status = ta_prim_arg(net, prim, DNNL_ARG_WEIGHTS, &s->kernel, NULL, &d->data_kernel);
    dnnl_primitive_desc_destroy(desc);
    return status;
}

static ta_status create_weights(struct ta_net *net, struct dense *d, const struct shape *s,
                                dnnl_primitive_desc_t hint) {
    dnnl_inner_product_desc_t op;
    dnnl_primitive_desc_t desc = NULL;
    const dnnl_memory_desc_t *bias = s->has_bias ? &s->bias : NULL;
    ta_status status = ta_dnnl(dnnl_inner_product_backward_weights_desc_init(&op, &s->src, &s->kernel, bias, &s->dst),
                               "dense backward weights");
    if (status == TA_OK) status = ta_prim_describe(net, &op, hint, "dense backward weights", &desc);
    if (status != TA_OK) return status;
    struct ta_prim *prim = &d->backward_weights;
    status = ta_prim_create(net, prim, desc, "dense backward weights");
    if (status == TA_OK) status = ta_prim_arg(net, prim, DNNL_ARG_SRC, &s->src, NULL, &d->weights_src);
    if (status == TA_OK) status = ta_prim_arg(net, prim, DNNL_ARG_DIFF_DST, &s->dst, NULL, &d->weights_diff_dst);
    if (status == TA_OK) status = ta_prim_arg(net, prim, DNNL_ARG_DIFF_WEIGHTS, &s->kernel, NULL, &d->weights_kernel);
    if (status == TA_OK && s->has_bias)
        status = ta_prim_arg(net, prim, DNNL_ARG_DIFF_BIAS, &s->bias, NULL, &d->weights_bias);
    dnnl_primitive_desc_destroy(desc);
    return status;
}

static ta_status dense_create(struct ta_net *net, struct ta_node *node) {
    ta_status status = ta_node_alloc(net, 1, sizeof(struct dense), "a dense layer", &node->state);
    if (status != TA_OK) return status;
    struct shape s;
    dnnl_primitive_desc_t forward = NULL;
    status = describe(net, node->layer, &s);
    if (status == TA_OK) status = create_forward(net, node->state, &s, &forward);
    if (status == TA_OK && node->grad_in[0] != NULL) status = create_data(net, node->state, &s, forward);
    if (status == TA_OK && node->grad_out != NULL) status = create_weights(net, node->state, &s, forward);
    if (forward != NULL) dnnl_primitive_desc_destroy(forward);
    return status;
}

static ta_status dense_forward(struct ta_net *net, struct ta_node *node, const struct ta_pass *pass) {
    struct dense *d = node->state;
    const struct ta_layer *l = node->layer;
    ta_status status = ta_prim_bind(&d->forward, d->src, node->in[0]);
    if (status == TA_OK) status = ta_prim_bind(&d->forward, d->dst, node->out);
    if (status == TA_OK) status = ta_prim_bind(&d->forward, d->kernel, pass->w + l->kernel.offset);
    if (status == TA_OK && l->bias.count > 0) status = ta_prim_bind(&d->forward, d->bias, pass->w + l->bias.offset);
    return status == TA_OK ? ta_prim_run(net, &d->forward) : status;
}

static ta_status backward_weights(struct ta_net *net, struct ta_node *node, const struct ta_pass *pass) {
    struct dense *d = node->state;
    const struct ta_layer *l = node->layer;
    struct ta_prim *prim = &d->backward_weights;
    bool aside = pass->first != 0;
    float *kernel = pass->grad + l->kernel.offset, *bias = pass->grad + l->bias.offset;
    float *bias_aside = net->param_grad + l->kernel.count;
    ta_status status = ta_prim_bind(prim, d->weights_src, node->in[0]);
    if (status == TA_OK) status = ta_prim_bind(prim, d->weights_diff_dst, node->grad_out);
    if (status == TA_OK) status = ta_prim_bind(prim, d->weights_kernel, aside ? net->param_grad : kernel);
    if (status == TA_OK && l->bias.count > 0) status = ta_prim_bind(prim, d->weights_bias, aside ? bias_aside : bias);
    if (status == TA_OK) status = ta_prim_run(net, prim);
    if (status != TA_OK || !aside) return status;
    ta_accumulate(l->kernel.count, kernel, net->param_grad);
    ta_accumulate(l->bias.count, bias, bias_aside);
    return TA_OK;
}

static ta_status dense_backward(struct ta_net *net, struct ta_node *node, const struct ta_pass *pass) {
    struct dense *d = node->state;
    ta_status status = backward_weights(net, node, pass);
    if (status != TA_OK || node->grad_in[0] == NULL) return status;
    status = ta_prim_bind(&d->backward_data, d->data_diff_dst, node->grad_out);
    if (status == TA_OK) status = ta_prim_bind(&d->backward_data, d->data_diff_src, node->grad_in[0]);
    if (status == TA_OK) status = ta_prim_bind(&d->backward_data, d->data_kernel, pass->w + node->layer->kernel.offset);
    return status == TA_OK ? ta_prim_run(net, &d->backward_data) : status;
}

static void dense_destroy(struct ta_node *node) {
    struct dense *d = node->state;
    if (d == NULL) return;
    ta_prim_destroy(&d->forward);
    ta_prim_destroy(&d->backward_data);
    ta_prim_destroy(&d->backward_weights);
    ta_mem_free(d);
}

const struct ta_node_ops ta_node_dense = {dense_create, dense_forward, dense_backward, dense_destroy};
