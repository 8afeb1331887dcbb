/* pool: averages by cuDNN's resampling. Maxima are left to kernels of our own: which place a tie's gradient goes to,
 * and what a NaN does, is a promise of kernels.h that cuDNN does not make. */
#include "graph.h"

static ta_desc geometry(struct ta_cudnn_graph *g, const struct ta_layer *l) {
    int64_t two = 2;
    int64_t window[] = {l->kernel_h, l->kernel_w}, stride[] = {l->stride_h, l->stride_w};
    int64_t before[] = {l->pad_top, l->pad_left}, after[] = {l->pad_bottom, l->pad_right};
    cudnnDataType_t sums = CUDNN_DATA_FLOAT;
    cudnnResampleMode_t mode = CUDNN_RESAMPLE_AVGPOOL_EXCLUDE_PADDING;
    cudnnPaddingMode_t padding = CUDNN_ZERO_PAD;
    ta_desc d = ta_graph_make(g, CUDNN_BACKEND_RESAMPLE_DESCRIPTOR);
    ta_graph_set(g, d, CUDNN_ATTR_RESAMPLE_MODE, CUDNN_TYPE_RESAMPLE_MODE, 1, &mode);
    ta_graph_set(g, d, CUDNN_ATTR_RESAMPLE_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &sums);
    ta_graph_set(g, d, CUDNN_ATTR_RESAMPLE_PADDING_MODE, CUDNN_TYPE_PADDING_MODE, 1, &padding);
    ta_graph_set(g, d, CUDNN_ATTR_RESAMPLE_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &two);
    ta_graph_set(g, d, CUDNN_ATTR_RESAMPLE_WINDOW_DIMS, CUDNN_TYPE_INT64, 2, window);
    ta_graph_set(g, d, CUDNN_ATTR_RESAMPLE_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, before);
    ta_graph_set(g, d, CUDNN_ATTR_RESAMPLE_POST_PADDINGS, CUDNN_TYPE_INT64, 2, after);
    ta_graph_set(g, d, CUDNN_ATTR_RESAMPLE_STRIDES, CUDNN_TYPE_INT64, 2, stride);
    ta_graph_finalize(g, d, "a pool");
    return d;
}

void ta_graph_pool(struct ta_cudnn_graph *g, const struct ta_cudnn_spec *spec) {
    struct ta_layer l = *spec->layer;
    cudnnDataType_t type = ta_cudnn_type(spec->compute);
    bool forward = spec->kind == TA_CUDNN_POOL_FORWARD;
    if (l.kind == TA_LAYER_GLOBAL_AVG_POOL) {
        l.kernel_h = l.in.h, l.kernel_w = l.in.w;
        l.stride_h = l.stride_w = 1;
        l.pad_top = l.pad_bottom = l.pad_left = l.pad_right = 0;
        l.out = (struct ta_shape){1, 1, l.in.c};
    } else if (l.kind != TA_LAYER_AVG_POOL) {
        g->status = CUDNN_STATUS_NOT_SUPPORTED;
        g->where = "a pool of maxima";
        return;
    }
    ta_desc how = geometry(g, &l);
    ta_desc in = ta_graph_tensor(g, forward ? TA_CUDNN_X : TA_CUDNN_DX, type, spec->batch, l.in);
    ta_desc out = ta_graph_tensor(g, forward ? TA_CUDNN_Y : TA_CUDNN_DY, type, spec->batch, l.out);
    ta_desc d = ta_graph_make(g, forward ? CUDNN_BACKEND_OPERATION_RESAMPLE_FWD_DESCRIPTOR
                                         : CUDNN_BACKEND_OPERATION_RESAMPLE_BWD_DESCRIPTOR);
    ta_graph_desc(g, d, forward ? CUDNN_ATTR_OPERATION_RESAMPLE_FWD_DESC : CUDNN_ATTR_OPERATION_RESAMPLE_BWD_DESC, how);
    ta_graph_desc(g, d, forward ? CUDNN_ATTR_OPERATION_RESAMPLE_FWD_XDESC : CUDNN_ATTR_OPERATION_RESAMPLE_BWD_DXDESC,
                  in);
    ta_graph_desc(g, d, forward ? CUDNN_ATTR_OPERATION_RESAMPLE_FWD_YDESC : CUDNN_ATTR_OPERATION_RESAMPLE_BWD_DYDESC,
                  out);
    ta_graph_append(g, d, "a pool");
}
