/* norm: batch normalisation in training. Inference is a scale and a shift a channel, which kernels of our own do. */
#include "graph.h"

static ta_desc channels(struct ta_cudnn_graph *g, enum ta_cudnn_role role, uint32_t c) {
    return ta_graph_tensor(g, role, CUDNN_DATA_FLOAT, 1, (struct ta_shape){1, 1, c});
}

static void forward(struct ta_cudnn_graph *g, const struct ta_cudnn_spec *s) {
    const struct ta_layer *l = s->layer;
    cudnnDataType_t type = ta_cudnn_type(s->compute);
    cudnnBackendNormMode_t mode = CUDNN_BATCH_NORM;
    cudnnBackendNormFwdPhase_t phase = CUDNN_NORM_FWD_TRAINING;
    ta_desc x = ta_graph_tensor(g, TA_CUDNN_X, type, s->batch, l->in);
    ta_desc y = ta_graph_tensor(g, TA_CUDNN_Y, type, s->batch, l->in);
    ta_desc gamma = channels(g, TA_CUDNN_GAMMA, l->in.c), beta = channels(g, TA_CUDNN_BETA, l->in.c);
    ta_desc mean = channels(g, TA_CUDNN_MEAN, l->in.c), inverse = channels(g, TA_CUDNN_INVERSE, l->in.c);
    ta_desc epsilon = ta_graph_epsilon(g, l->epsilon);
    ta_desc d = ta_graph_make(g, CUDNN_BACKEND_OPERATION_NORM_FORWARD_DESCRIPTOR);
    ta_graph_set(g, d, CUDNN_ATTR_OPERATION_NORM_FWD_MODE, CUDNN_TYPE_NORM_MODE, 1, &mode);
    ta_graph_set(g, d, CUDNN_ATTR_OPERATION_NORM_FWD_PHASE, CUDNN_TYPE_NORM_FWD_PHASE, 1, &phase);
    ta_graph_desc(g, d, CUDNN_ATTR_OPERATION_NORM_FWD_XDESC, x);
    ta_graph_desc(g, d, CUDNN_ATTR_OPERATION_NORM_FWD_MEAN_DESC, mean);
    ta_graph_desc(g, d, CUDNN_ATTR_OPERATION_NORM_FWD_INV_VARIANCE_DESC, inverse);
    ta_graph_desc(g, d, CUDNN_ATTR_OPERATION_NORM_FWD_SCALE_DESC, gamma);
    ta_graph_desc(g, d, CUDNN_ATTR_OPERATION_NORM_FWD_BIAS_DESC, beta);
    ta_graph_desc(g, d, CUDNN_ATTR_OPERATION_NORM_FWD_EPSILON_DESC, epsilon);
    ta_graph_desc(g, d, CUDNN_ATTR_OPERATION_NORM_FWD_YDESC, y);
    ta_graph_append(g, d, "a batch normalisation");
}

static void backward(struct ta_cudnn_graph *g, const struct ta_cudnn_spec *s) {
    const struct ta_layer *l = s->layer;
    cudnnDataType_t type = ta_cudnn_type(s->compute);
    cudnnBackendNormMode_t mode = CUDNN_BATCH_NORM;
    ta_desc x = ta_graph_tensor(g, TA_CUDNN_X, type, s->batch, l->in);
    ta_desc dy = ta_graph_tensor(g, TA_CUDNN_DY, type, s->batch, l->in);
    ta_desc dx = ta_graph_tensor(g, TA_CUDNN_DX, type, s->batch, l->in);
    ta_desc gamma = channels(g, TA_CUDNN_GAMMA, l->in.c);
    ta_desc mean = channels(g, TA_CUDNN_MEAN, l->in.c), inverse = channels(g, TA_CUDNN_INVERSE, l->in.c);
    ta_desc dgamma = channels(g, TA_CUDNN_DGAMMA, l->in.c), dbeta = channels(g, TA_CUDNN_DBETA, l->in.c);
    ta_desc d = ta_graph_make(g, CUDNN_BACKEND_OPERATION_NORM_BACKWARD_DESCRIPTOR);
    ta_graph_set(g, d, CUDNN_ATTR_OPERATION_NORM_BWD_MODE, CUDNN_TYPE_NORM_MODE, 1, &mode);
    ta_graph_desc(g, d, CUDNN_ATTR_OPERATION_NORM_BWD_XDESC, x);
    ta_graph_desc(g, d, CUDNN_ATTR_OPERATION_NORM_BWD_DYDESC, dy);
    ta_graph_desc(g, d, CUDNN_ATTR_OPERATION_NORM_BWD_SCALE_DESC, gamma);
    ta_graph_desc(g, d, CUDNN_ATTR_OPERATION_NORM_BWD_MEAN_DESC, mean);
    ta_graph_desc(g, d, CUDNN_ATTR_OPERATION_NORM_BWD_INV_VARIANCE_DESC, inverse);
    ta_graph_desc(g, d, CUDNN_ATTR_OPERATION_NORM_BWD_DSCALE_DESC, dgamma);
    ta_graph_desc(g, d, CUDNN_ATTR_OPERATION_NORM_BWD_DBIAS_DESC, dbeta);
    ta_graph_desc(g, d, CUDNN_ATTR_OPERATION_NORM_BWD_DXDESC, dx);
    ta_graph_append(g, d, "the gradient of a batch normalisation");
}

void ta_graph_norm(struct ta_cudnn_graph *g, const struct ta_cudnn_spec *spec) {
    if (spec->kind == TA_CUDNN_NORM_FORWARD) forward(g, spec);
    else backward(g, spec);
}
