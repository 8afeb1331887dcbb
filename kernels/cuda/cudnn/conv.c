/* conv: convolutions as graphs of cuDNN, and the ops of a layer, with as much fused into one as cuDNN takes. */
#include <string.h>

#include "graph.h"

static ta_desc geometry(struct ta_cudnn_graph *g, const struct ta_layer *l) {
    int64_t two = 2, dilation[] = {1, 1}, stride[] = {l->stride_h, l->stride_w};
    int64_t before[] = {l->pad_top, l->pad_left}, after[] = {l->pad_bottom, l->pad_right};
    cudnnDataType_t sums = CUDNN_DATA_FLOAT;
    cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION; /* what the field calls a convolution */
    ta_desc d = ta_graph_make(g, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
    ta_graph_set(g, d, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &two);
    ta_graph_set(g, d, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &sums);
    ta_graph_set(g, d, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
    ta_graph_set(g, d, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, before);
    ta_graph_set(g, d, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, after);
    ta_graph_set(g, d, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, dilation);
    ta_graph_set(g, d, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, stride);
    ta_graph_finalize(g, d, "a convolution");
    return d;
}

/* One element-wise operation in float32; b: NULL, or what is added. */
static void pointwise(struct ta_cudnn_graph *g, cudnnPointwiseMode_t mode, ta_desc x, ta_desc b, ta_desc y) {
    cudnnDataType_t sums = CUDNN_DATA_FLOAT;
    cudnnNanPropagation_t nan = CUDNN_PROPAGATE_NAN;
    ta_desc how = ta_graph_make(g, CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    ta_graph_set(g, how, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
    ta_graph_set(g, how, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &sums);
    if (mode == CUDNN_POINTWISE_RELU_FWD) /* a NaN stays one: max(x, 0) would hide it */
        ta_graph_set(g, how, CUDNN_ATTR_POINTWISE_NAN_PROPAGATION, CUDNN_TYPE_NAN_PROPOGATION, 1, &nan);
    ta_graph_finalize(g, how, "an element-wise operation");
    ta_desc d = ta_graph_make(g, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    ta_graph_desc(g, d, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, how);
    ta_graph_desc(g, d, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x);
    if (b != NULL) ta_graph_desc(g, d, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, b);
    ta_graph_desc(g, d, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y);
    ta_graph_append(g, d, "an element-wise operation");
}

static void forward(struct ta_cudnn_graph *g, const struct ta_cudnn_spec *s, ta_desc how, struct ta_shape window) {
    const struct ta_layer *l = s->layer;
    cudnnDataType_t type = ta_cudnn_type(s->compute);
    float one = 1, zero = 0;
    ta_desc x = ta_graph_tensor(g, TA_CUDNN_X, type, s->batch, l->in);
    ta_desc w = ta_graph_tensor(g, TA_CUDNN_W, type, l->out.c, window);
    ta_desc y = ta_graph_tensor(g, TA_CUDNN_Y, type, s->batch, l->out), bare = y;
    if (s->behind != TA_CUDNN_NOTHING) bare = ta_graph_hidden(g, s->batch, l->out);
    ta_desc d = ta_graph_make(g, CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR);
    ta_graph_desc(g, d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, how);
    ta_graph_desc(g, d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, x);
    ta_graph_desc(g, d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, w);
    ta_graph_desc(g, d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, bare);
    ta_graph_set(g, d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_TYPE_FLOAT, 1, &one);
    ta_graph_set(g, d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, CUDNN_TYPE_FLOAT, 1, &zero);
    ta_graph_append(g, d, "a forward convolution");
    if (s->behind == TA_CUDNN_NOTHING) return;
    ta_desc bias = ta_graph_tensor(g, TA_CUDNN_BIAS_OF, CUDNN_DATA_FLOAT, 1, (struct ta_shape){1, 1, l->out.c});
    bool relu = s->behind == TA_CUDNN_BIAS_RELU;
    ta_desc sum = relu ? ta_graph_hidden(g, s->batch, l->out) : y;
    pointwise(g, CUDNN_POINTWISE_ADD, bare, bias, sum);
    if (relu) pointwise(g, CUDNN_POINTWISE_RELU_FWD, sum, NULL, y);
}

static void data(struct ta_cudnn_graph *g, const struct ta_cudnn_spec *s, ta_desc how, struct ta_shape window) {
    const struct ta_layer *l = s->layer;
    cudnnDataType_t type = ta_cudnn_type(s->compute);
    float one = 1, zero = 0;
    ta_desc dx = ta_graph_tensor(g, TA_CUDNN_DX, type, s->batch, l->in);
    ta_desc w = ta_graph_tensor(g, TA_CUDNN_W, type, l->out.c, window);
    ta_desc dy = ta_graph_tensor(g, TA_CUDNN_DY, type, s->batch, l->out);
    ta_desc d = ta_graph_make(g, CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR);
    ta_graph_desc(g, d, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC, how);
    ta_graph_desc(g, d, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, dx);
    ta_graph_desc(g, d, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W, w);
    ta_graph_desc(g, d, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY, dy);
    ta_graph_set(g, d, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA, CUDNN_TYPE_FLOAT, 1, &one);
    ta_graph_set(g, d, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA, CUDNN_TYPE_FLOAT, 1, &zero);
    ta_graph_append(g, d, "the gradient of a convolution's input");
}

static void filter(struct ta_cudnn_graph *g, const struct ta_cudnn_spec *s, ta_desc how, struct ta_shape window) {
    const struct ta_layer *l = s->layer;
    cudnnDataType_t type = ta_cudnn_type(s->compute);
    float one = 1, zero = 0;
    ta_desc x = ta_graph_tensor(g, TA_CUDNN_X, type, s->batch, l->in);
    ta_desc dw = ta_graph_tensor(g, TA_CUDNN_DW, s->float32_dw ? CUDNN_DATA_FLOAT : type, l->out.c, window);
    ta_desc dy = ta_graph_tensor(g, TA_CUDNN_DY, type, s->batch, l->out);
    ta_desc d = ta_graph_make(g, CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR);
    ta_graph_desc(g, d, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC, how);
    ta_graph_desc(g, d, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X, x);
    ta_graph_desc(g, d, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW, dw);
    ta_graph_desc(g, d, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY, dy);
    ta_graph_set(g, d, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA, CUDNN_TYPE_FLOAT, 1, &one);
    ta_graph_set(g, d, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA, CUDNN_TYPE_FLOAT, 1, &zero);
    ta_graph_append(g, d, "the gradient of a convolution's kernel");
}

void ta_graph_conv(struct ta_cudnn_graph *g, const struct ta_cudnn_spec *spec) {
    const struct ta_layer *l = spec->layer;
    struct ta_shape window = {l->kernel_h, l->kernel_w, l->in.c};
    ta_desc how = geometry(g, l);
    if (spec->kind == TA_CUDNN_CONV_FORWARD) forward(g, spec, how, window);
    if (spec->kind == TA_CUDNN_CONV_DATA) data(g, spec, how, window);
    if (spec->kind == TA_CUDNN_CONV_FILTER) filter(g, spec, how, window);
}

/* Fused, or less so; the first that cuDNN takes. */
static ta_status create_forward(struct ta_cudnn *c, struct ta_cudnn_spec spec, enum ta_cudnn_behind most,
                                struct ta_cudnn_conv *out) {
    ta_status status = TA_OK;
    for (int behind = (int)most; behind >= 0 && out->forward == NULL && status == TA_OK; behind--) {
        spec.kind = TA_CUDNN_CONV_FORWARD;
        out->behind = spec.behind = (enum ta_cudnn_behind)behind;
        status = ta_cudnn_op_create(c, &spec, &out->forward);
    }
    return status;
}

static ta_status create_filter(struct ta_cudnn *c, struct ta_cudnn_spec spec, struct ta_cudnn_conv *out) {
    ta_status status = TA_OK;
    for (int wide = 1; wide >= 0 && out->filter == NULL && status == TA_OK; wide--) {
        if (wide == 0 && spec.compute != TA_COMPUTE_BFLOAT16) break; /* it was asked for already */
        spec.kind = TA_CUDNN_CONV_FILTER;
        out->float32_dw = spec.float32_dw = wide;
        status = ta_cudnn_op_create(c, &spec, &out->filter);
    }
    return status;
}

/* OK with *took false: refused. */
static ta_status create_all(struct ta_cudnn *c, const struct ta_cudnn_conv_spec *spec, const struct ta_layer *l,
                            struct ta_cudnn_conv *out, bool *took) {
    struct ta_cudnn_spec s = {.layer = l, .batch = spec->batch, .compute = spec->compute};
    ta_status status = create_forward(c, s, spec->behind, out);
    if (status == TA_OK && out->forward != NULL && spec->filter) status = create_filter(c, s, out);
    if (status == TA_OK && out->forward != NULL && spec->data) {
        s.kind = TA_CUDNN_CONV_DATA;
        status = ta_cudnn_op_create(c, &s, &out->data);
    }
    *took = out->forward != NULL && (out->filter != NULL || !spec->filter) && (out->data != NULL || !spec->data);
    if (status != TA_OK || !*took) ta_cudnn_conv_destroy(out);
    return status;
}

ta_status ta_cudnn_conv_create(struct ta_cudnn *c, const struct ta_cudnn_conv_spec *spec, struct ta_cudnn_conv *out) {
    struct ta_layer l = *spec->layer;
    bool took = false;
    *out = (struct ta_cudnn_conv){0};
    ta_status status = create_all(c, spec, &l, out, &took);
    if (status != TA_OK || took) return status;
    if (l.pad_top != l.pad_bottom || l.pad_left != l.pad_right) {
        l.in.h += l.pad_top + l.pad_bottom;
        l.in.w += l.pad_left + l.pad_right;
        l.pad_top = l.pad_bottom = l.pad_left = l.pad_right = 0;
        status = create_all(c, spec, &l, out, &took);
        out->padded = took;
        if (status != TA_OK || took) return status;
    }
    char why[512];
    (void)strncpy(why, ta_why(), sizeof why - 1);
    why[sizeof why - 1] = '\0';
    return ta_fail(TA_DEVICE, "layer %s: cuDNN %zu has no way to compute it (%s); try another device.compute, or "
                   "another version of cuDNN", l.name, ta_cudnn_version(), why);
}

void ta_cudnn_conv_destroy(struct ta_cudnn_conv *conv) {
    ta_cudnn_op_destroy(conv->forward);
    ta_cudnn_op_destroy(conv->data);
    ta_cudnn_op_destroy(conv->filter);
    *conv = (struct ta_cudnn_conv){0};
}
