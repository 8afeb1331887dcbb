/* pools. Max-pooling is our own loop over channels (a NaN wins, as in PyTorch, so that it cannot hide); averages are
 * oneDNN's, without the padding. */
#include <math.h>
#include <string.h>

#include "mem.h"
#include "net.h"
#include "prim.h"

/* The part of the input that output position (oy, ox) looks at. */
struct window {
    uint32_t y0, y1, x0, x1;
};

static uint32_t low(uint32_t at, uint32_t pad) { return at > pad ? at - pad : 0; }
static uint32_t high(uint32_t at, uint32_t pad, uint32_t limit) { return at > pad + limit ? limit : at - pad; }

static struct window window_at(const struct ta_layer *l, uint32_t oy, uint32_t ox) {
    return (struct window){low(oy * l->stride_h, l->pad_top), high(oy * l->stride_h + l->kernel_h, l->pad_top, l->in.h),
                           low(ox * l->stride_w, l->pad_left),
                           high(ox * l->stride_w + l->kernel_w, l->pad_left, l->in.w)};
}

static void take_max(uint32_t c, float *restrict best, const float *restrict with) {
    for (uint32_t i = 0; i < c; i++) best[i] = with[i] > best[i] || with[i] != with[i] ? with[i] : best[i];
}

static ta_status max_forward(struct ta_net *net, struct ta_node *node, const struct ta_pass *pass) {
    (void)pass;
    const struct ta_layer *l = node->layer;
    uint32_t c = l->in.c;
    float *out = node->out;
    for (uint32_t r = 0; r < net->slice; r++) {
        const float *in = node->in[0] + r * ta_shape_count(l->in);
        for (uint32_t oy = 0; oy < l->out.h; oy++) {
            for (uint32_t ox = 0; ox < l->out.w; ox++, out += c) {
                struct window s = window_at(l, oy, ox);
                memcpy(out, in + ((size_t)s.y0 * l->in.w + s.x0) * c, c * sizeof *out);
                for (uint32_t y = s.y0; y < s.y1; y++)
                    for (uint32_t x = s.x0; x < s.x1; x++) take_max(c, out, in + ((size_t)y * l->in.w + x) * c);
            }
        }
    }
    return TA_OK;
}

/* The gradient goes to the first place in the window that holds the maximum; `left` is what has not found its place. */
static void give_back(uint32_t c, const float *restrict in, const float *restrict out, float *restrict left,
                      float *restrict grad_in) {
    for (uint32_t i = 0; i < c; i++) {
        float g = in[i] < out[i] ? 0 : left[i]; /* a NaN is taken for the maximum */
        grad_in[i] += g;
        left[i] = in[i] < out[i] ? left[i] : 0;
    }
}

static ta_status max_backward(struct ta_net *net, struct ta_node *node, const struct ta_pass *pass) {
    (void)pass;
    if (node->grad_in[0] == NULL) return TA_OK;
    const struct ta_layer *l = node->layer;
    uint32_t c = l->in.c;
    memset(node->grad_in[0], 0, ta_node_in_count(net, node) * sizeof(float));
    const float *out = node->out;
    float *left = node->grad_out; /* used up: nobody reads it after us */
    for (uint32_t r = 0; r < net->slice; r++) {
        size_t record = r * ta_shape_count(l->in);
        for (uint32_t oy = 0; oy < l->out.h; oy++) {
            for (uint32_t ox = 0; ox < l->out.w; ox++, out += c, left += c) {
                struct window s = window_at(l, oy, ox);
                for (uint32_t y = s.y0; y < s.y1; y++) {
                    for (uint32_t x = s.x0; x < s.x1; x++) {
                        size_t at = record + ((size_t)y * l->in.w + x) * c;
                        give_back(c, node->in[0] + at, out, left, node->grad_in[0] + at);
                    }
                }
            }
        }
    }
    return TA_OK;
}

const struct ta_node_ops ta_node_max_pool = {NULL, max_forward, max_backward, NULL};

struct average {
    struct ta_prim forward, backward;
    int src, dst, diff_src, diff_dst;
};

static ta_status describe(struct ta_net *net, struct ta_node *node, struct average *a, dnnl_primitive_desc_t *forward,
                          dnnl_primitive_desc_t *backward) {
    const struct ta_layer *l = node->layer;
    bool global = l->kind == TA_LAYER_GLOBAL_AVG_POOL;
    dnnl_memory_desc_t src, dst;
    dnnl_dims_t strides = {global ? 1 : l->stride_h, global ? 1 : l->stride_w};
    dnnl_dims_t kernel = {global ? l->in.h : l->kernel_h, global ? l->in.w : l->kernel_w};
    dnnl_dims_t before = {global ? 0 : l->pad_top, global ? 0 : l->pad_left};
    dnnl_dims_t after = {global ? 0 : l->pad_bottom, global ? 0 : l->pad_right};
    dnnl_pooling_desc_t op;
    const dnnl_alg_kind_t alg = dnnl_pooling_avg_exclude_padding;
    dnnl_prop_kind_t prop = net->spec.predict_only ? dnnl_forward_inference : dnnl_forward_training;
    ta_status status = ta_md_image(&src, net->slice, l->in);
    if (status == TA_OK) status = ta_md_image(&dst, net->slice, l->out);
    if (status == TA_OK)
        status = ta_dnnl(dnnl_pooling_forward_desc_init(&op, prop, alg, &src, &dst, strides, kernel, before, after),
                         "average pooling");
    if (status == TA_OK) status = ta_prim_describe(net, &op, NULL, "average pooling", forward);
    if (status == TA_OK) status = ta_prim_create(net, &a->forward, *forward, "average pooling");
    if (status == TA_OK) status = ta_prim_arg(net, &a->forward, DNNL_ARG_SRC, &src, NULL, &a->src);
    if (status == TA_OK) status = ta_prim_arg(net, &a->forward, DNNL_ARG_DST, &dst, NULL, &a->dst);
    if (status != TA_OK || node->grad_in[0] == NULL) return status;
    status = ta_dnnl(dnnl_pooling_backward_desc_init(&op, alg, &src, &dst, strides, kernel, before, after),
                     "average pooling backward");
    if (status == TA_OK) status = ta_prim_describe(net, &op, *forward, "average pooling backward", backward);
    if (status == TA_OK) status = ta_prim_create(net, &a->backward, *backward, "average pooling backward");
    if (status == TA_OK) status = ta_prim_arg(net, &a->backward, DNNL_ARG_DIFF_SRC, &src, NULL, &a->diff_src);
    if (status == TA_OK) status = ta_prim_arg(net, &a->backward, DNNL_ARG_DIFF_DST, &dst, NULL, &a->diff_dst);
    return status;
}

static ta_status avg_create(struct ta_net *net, struct ta_node *node) {
    ta_status status = ta_node_alloc(net, 1, sizeof(struct average), "an average pool", &node->state);
    if (status != TA_OK) return status;
    dnnl_primitive_desc_t forward = NULL, backward = NULL;
    status = describe(net, node, node->state, &forward, &backward);
    if (forward != NULL) dnnl_primitive_desc_destroy(forward);
    if (backward != NULL) dnnl_primitive_desc_destroy(backward);
    return status;
}

static ta_status avg_forward(struct ta_net *net, struct ta_node *node, const struct ta_pass *pass) {
    (void)pass;
    struct average *a = node->state;
    ta_status status = ta_prim_bind(&a->forward, a->src, node->in[0]);
    if (status == TA_OK) status = ta_prim_bind(&a->forward, a->dst, node->out);
    return status == TA_OK ? ta_prim_run(net, &a->forward) : status;
}

static ta_status avg_backward(struct ta_net *net, struct ta_node *node, const struct ta_pass *pass) {
    (void)pass;
    struct average *a = node->state;
    if (node->grad_in[0] == NULL) return TA_OK;
    ta_status status = ta_prim_bind(&a->backward, a->diff_src, node->grad_in[0]);
    if (status == TA_OK) status = ta_prim_bind(&a->backward, a->diff_dst, node->grad_out);
    return status == TA_OK ? ta_prim_run(net, &a->backward) : status;
}

static void avg_destroy(struct ta_node *node) {
    struct average *a = node->state;
    if (a == NULL) return;
    ta_prim_destroy(&a->forward);
    ta_prim_destroy(&a->backward);
    ta_mem_free(a);
}

const struct ta_node_ops ta_node_avg_pool = {avg_create, avg_forward, avg_backward, avg_destroy};
