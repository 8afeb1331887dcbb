/* conv2d by oneDNN's direct convolutions: x [n][h][w][ic] * kernel [kh][kw][ic][oc] + bias [oc] -> [n][oh][ow][oc].
 *
 * Activations stay channels-last. The kernel is reordered from the arena's HWIO into what each primitive likes, once a
 * step; the gradient is reordered back. */
#include "conv.h"

#include "mem.h"

struct conv {
    struct ta_conv_forward forward;
    struct ta_prim backward_data, backward_weights;
    int data_diff_dst, data_diff_src;
    int weights_src, weights_diff_dst, weights_diff_bias;
    struct ta_prim into_data, out_of; /* reorders of the kernel; empty: used where it lies */
    float *kernel_data, *kernel_grad; /* in the primitives' layouts */
    int data_kernel, grad_kernel;     /* slots, for kernels used where they lie */
};

ta_status ta_conv_describe(uint32_t records, const struct ta_layer *l, struct ta_conv_shape *s) {
    *s = (struct ta_conv_shape){.strides = {l->stride_h, l->stride_w},
                                .before = {l->pad_top, l->pad_left},
                                .after = {l->pad_bottom, l->pad_right},
                                .has_bias = l->bias.count > 0};
    dnnl_dims_t weights = {l->out.c, l->in.c, l->kernel_h, l->kernel_w}, bias = {l->out.c};
    ta_status status = ta_md_image(&s->src, records, l->in);
    if (status == TA_OK) status = ta_md_image(&s->dst, records, l->out);
    if (status == TA_OK) status = ta_md_tag(&s->any, 4, weights, dnnl_format_tag_any);
    if (status == TA_OK) status = ta_md_tag(&s->hwio, 4, weights, dnnl_hwio);
    if (status == TA_OK && s->has_bias) status = ta_md_tag(&s->bias, 1, bias, dnnl_x);
    return status;
}

/* The kernel's argument: where it lies when the layouts agree, else in a buffer of its own that a reorder fills. */
static ta_status kernel_arg(struct ta_net *net, struct ta_prim *prim, int arg, const dnnl_memory_desc_t *layout,
                            const dnnl_memory_desc_t *hwio, float **own, int *slot) {
    if (!dnnl_memory_desc_equal(layout, hwio)) {
        size_t bytes = dnnl_memory_desc_get_size(layout);
        ta_status status = ta_node_alloc(net, bytes, 1, "the kernel of a convolution", (void **)own);
        if (status != TA_OK) return status;
    }
    return ta_prim_arg(net, prim, arg, layout, *own, slot);
}

static ta_status reorder(struct ta_net *net, struct ta_prim *prim, const dnnl_memory_desc_t *from,
                         const float *from_data, const dnnl_memory_desc_t *to, const float *to_data) {
    ta_status status = ta_prim_reorder(net, prim, from, to);
    if (status != TA_OK || prim->primitive == NULL) return status;
    status = ta_prim_arg(net, prim, DNNL_ARG_FROM, from, from_data, NULL);
    return status == TA_OK ? ta_prim_arg(net, prim, DNNL_ARG_TO, to, to_data, NULL) : status;
}

ta_status ta_conv_forward_create(struct ta_net *net, struct ta_conv_forward *f, const struct ta_conv_shape *s,
                                 dnnl_primitive_desc_t *keep) {
    dnnl_convolution_desc_t op;
    dnnl_primitive_desc_t desc = NULL;
    dnnl_prop_kind_t prop = net->spec.predict_only ? dnnl_forward_inference : dnnl_forward_training;
    ta_status status = ta_dnnl(dnnl_dilated_convolution_forward_desc_init(
                                   &op, prop, dnnl_convolution_direct, &s->src, &s->any, s->has_bias ? &s->bias : NULL,
                                   &s->dst, s->strides, s->dilates, s->before, s->after),
                               "conv2d forward");
    if (status == TA_OK) status = ta_prim_describe(net, &op, NULL, "conv2d forward", &desc);
    if (status != TA_OK) return status;
    const dnnl_memory_desc_t *kernel = ta_md_of(desc, dnnl_query_weights_md, 0);
    f->bias = -1;
    status = ta_prim_create(net, &f->run, desc, "conv2d forward");
    if (status == TA_OK)
        status = kernel_arg(net, &f->run, DNNL_ARG_WEIGHTS, kernel, &s->hwio, &f->own_kernel, &f->kernel);
    if (status == TA_OK) status = ta_prim_arg(net, &f->run, DNNL_ARG_SRC, &s->src, NULL, &f->src);
    if (status == TA_OK) status = ta_prim_arg(net, &f->run, DNNL_ARG_DST, &s->dst, NULL, &f->dst);
    if (status == TA_OK && s->has_bias) status = ta_prim_arg(net, &f->run, DNNL_ARG_BIAS, &s->bias, NULL, &f->bias);
    if (status == TA_OK) status = reorder(net, &f->reorder, &s->hwio, NULL, kernel, f->own_kernel);
    if (keep != NULL)
        *keep = desc;
    else
        dnnl_primitive_desc_destroy(desc);
    return status;
}

/* Brings the kernel to a primitive: by a reorder, or just its address. */
static ta_status bring(struct ta_net *net, struct ta_prim *reorder, struct ta_prim *user, int slot,
                       const float *kernel) {
    if (reorder->primitive == NULL) return ta_prim_bind(user, slot, kernel);
    ta_status status = ta_prim_bind(reorder, reorder->n - 2, kernel);
    return status == TA_OK ? ta_prim_run(net, reorder) : status;
}

ta_status ta_conv_forward_load(struct ta_net *net, struct ta_conv_forward *f, const struct ta_layer *l,
                               const float *w) {
    ta_status status = bring(net, &f->reorder, &f->run, f->kernel, w + l->kernel.offset);
    return status == TA_OK && f->bias >= 0 ? ta_prim_bind(&f->run, f->bias, w + l->bias.offset) : status;
}

ta_status ta_conv_forward_run(struct ta_net *net, struct ta_conv_forward *f, const float *src, float *dst) {
    ta_status status = ta_prim_bind(&f->run, f->src, src);
    if (status == TA_OK) status = ta_prim_bind(&f->run, f->dst, dst);
    return status == TA_OK ? ta_prim_run(net, &f->run) : status;
}

void ta_conv_forward_destroy(struct ta_conv_forward *f) {
    ta_prim_destroy(&f->run);
    ta_prim_destroy(&f->reorder);
    ta_mem_free(f->own_kernel);
    f->own_kernel = NULL;
}

static ta_status create_data(struct ta_net *net, struct conv *c, const struct ta_conv_shape *s,
                             dnnl_primitive_desc_t hint) {
    dnnl_convolution_desc_t op;
    dnnl_primitive_desc_t desc = NULL;
    ta_status status = ta_dnnl(dnnl_dilated_convolution_backward_data_desc_init(&op, dnnl_convolution_direct, &s->src,
                                                                                &s->any, &s->dst, s->strides,
                                                                                s->dilates, s->before, s->after),
                               "conv2d backward data");
    if (status == TA_OK) status = ta_prim_describe(net, &op, hint, "conv2d backward data", &desc);
    if (status != TA_OK) return status;
    const dnnl_memory_desc_t *kernel = ta_md_of(desc, dnnl_query_weights_md, 0);
    status = ta_prim_create(net, &c->backward_data, desc, "conv2d backward data");
    if (status == TA_OK)
        status = kernel_arg(net, &c->backward_data, DNNL_ARG_WEIGHTS, kernel, &s->hwio, &c->kernel_data,
                            &c->data_kernel);
    if (status == TA_OK)
        status = ta_prim_arg(net, &c->backward_data, DNNL_ARG_DIFF_DST, &s->dst, NULL, &c->data_diff_dst);
    if (status == TA_OK)
        status = ta_prim_arg(net, &c->backward_data, DNNL_ARG_DIFF_SRC, &s->src, NULL, &c->data_diff_src);
    if (status == TA_OK) status = reorder(net, &c->into_data, &s->hwio, NULL, kernel, c->kernel_data);
    dnnl_primitive_desc_destroy(desc);
    return status;
}

static ta_status create_weights(struct ta_net *net, struct conv *c, const struct ta_conv_shape *s,
                                dnnl_primitive_desc_t hint) {
    dnnl_convolution_desc_t op;
    dnnl_primitive_desc_t desc = NULL;
    ta_status status = ta_dnnl(dnnl_dilated_convolution_backward_weights_desc_init(
                                   &op, dnnl_convolution_direct, &s->src, &s->any, s->has_bias ? &s->bias : NULL,
                                   &s->dst, s->strides, s->dilates, s->before, s->after),
                               "conv2d backward weights");
    if (status == TA_OK) status = ta_prim_describe(net, &op, hint, "conv2d backward weights", &desc);
    if (status != TA_OK) return status;
    const dnnl_memory_desc_t *kernel = ta_md_of(desc, dnnl_query_diff_weights_md, 0);
    struct ta_prim *prim = &c->backward_weights;
    status = ta_prim_create(net, prim, desc, "conv2d backward weights");
    if (status == TA_OK)
        status = kernel_arg(net, prim, DNNL_ARG_DIFF_WEIGHTS, kernel, &s->hwio, &c->kernel_grad, &c->grad_kernel);
    if (status == TA_OK) status = ta_prim_arg(net, prim, DNNL_ARG_SRC, &s->src, NULL, &c->weights_src);
    if (status == TA_OK) status = ta_prim_arg(net, prim, DNNL_ARG_DIFF_DST, &s->dst, NULL, &c->weights_diff_dst);
    if (status == TA_OK && s->has_bias)
        status = ta_prim_arg(net, prim, DNNL_ARG_DIFF_BIAS, &s->bias, NULL, &c->weights_diff_bias);
    if (status == TA_OK) status = reorder(net, &c->out_of, kernel, c->kernel_grad, &s->hwio, NULL);
    dnnl_primitive_desc_destroy(desc);
    return status;
}

static ta_status conv_create(struct ta_net *net, struct ta_node *node) {
    ta_status status = ta_node_alloc(net, 1, sizeof(struct conv), "a convolution", &node->state);
    if (status != TA_OK) return status;
    struct conv *c = node->state;
    struct ta_conv_shape s;
    dnnl_primitive_desc_t forward = NULL;
    status = ta_conv_describe(net->slice, node->layer, &s);
    if (status == TA_OK) status = ta_conv_forward_create(net, &c->forward, &s, &forward);
    if (status == TA_OK && node->grad_in[0] != NULL) status = create_data(net, c, &s, forward);
    if (status == TA_OK && node->grad_out != NULL) status = create_weights(net, c, &s, forward);
    if (forward != NULL) dnnl_primitive_desc_destroy(forward);
    return status;
}

static ta_status conv_forward(struct ta_net *net, struct ta_node *node, const struct ta_pass *pass) {
    struct conv *c = node->state;
    ta_status status = pass->first != 0 ? TA_OK : ta_conv_forward_load(net, &c->forward, node->layer, pass->w);
    return status == TA_OK ? ta_conv_forward_run(net, &c->forward, node->in[0], node->out) : status;
}

static ta_status backward_data(struct ta_net *net, struct ta_node *node, const struct ta_pass *pass) {
    struct conv *c = node->state;
    ta_status status = TA_OK;
    if (pass->first == 0)
        status = bring(net, &c->into_data, &c->backward_data, c->data_kernel, pass->w + node->layer->kernel.offset);
    if (status == TA_OK) status = ta_prim_bind(&c->backward_data, c->data_diff_dst, node->grad_out);
    if (status == TA_OK) status = ta_prim_bind(&c->backward_data, c->data_diff_src, node->grad_in[0]);
    return status == TA_OK ? ta_prim_run(net, &c->backward_data) : status;
}

/* The first slice writes the gradient where it belongs, later ones aside, and add. */
static ta_status backward_weights(struct ta_net *net, struct ta_node *node, const struct ta_pass *pass) {
    struct conv *c = node->state;
    const struct ta_layer *l = node->layer;
    struct ta_prim *prim = &c->backward_weights;
    float *kernel = pass->first == 0 ? pass->grad + l->kernel.offset : net->param_grad;
    float *bias = l->bias.count > 0 ? pass->grad + l->bias.offset : NULL;
    float *bias_aside = pass->first == 0 || bias == NULL ? bias : net->param_grad + l->kernel.count;
    ta_status status = ta_prim_bind(prim, c->weights_src, node->in[0]);
    if (status == TA_OK) status = ta_prim_bind(prim, c->weights_diff_dst, node->grad_out);
    if (status == TA_OK && bias != NULL) status = ta_prim_bind(prim, c->weights_diff_bias, bias_aside);
    if (status == TA_OK && c->kernel_grad == NULL) status = ta_prim_bind(prim, c->grad_kernel, kernel);
    if (status == TA_OK) status = ta_prim_run(net, prim);
    if (status != TA_OK) return status;
    if (bias != bias_aside) ta_accumulate(l->bias.count, bias, bias_aside);
    if (c->out_of.primitive != NULL) {
        status = ta_prim_bind(&c->out_of, c->out_of.n - 1, kernel);
        if (status == TA_OK) status = ta_prim_run(net, &c->out_of);
    }
    if (pass->first != 0) ta_accumulate(l->kernel.count, pass->grad + l->kernel.offset, kernel);
    return status;
}

static ta_status conv_backward(struct ta_net *net, struct ta_node *node, const struct ta_pass *pass) {
    ta_status status = backward_weights(net, node, pass);
    return status == TA_OK && node->grad_in[0] != NULL ? backward_data(net, node, pass) : status;
}

static void conv_destroy(struct ta_node *node) {
    struct conv *c = node->state;
    if (c == NULL) return;
    ta_conv_forward_destroy(&c->forward);
    ta_prim_destroy(&c->backward_data);
    ta_prim_destroy(&c->backward_weights);
    ta_prim_destroy(&c->into_data);
    ta_prim_destroy(&c->out_of);
    ta_mem_free(c->kernel_data);
    ta_mem_free(c->kernel_grad);
    ta_mem_free(c);
}

const struct ta_node_ops ta_node_conv = {conv_create, conv_forward, conv_backward, conv_destroy};
