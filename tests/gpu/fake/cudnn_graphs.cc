/* cudnn_graphs: what the make-believe cuDNN accepts: descriptors that make sense, graphs that it has engines for. */
#include "cudnn_fake.h"

namespace ta_fake {

std::vector<int64_t> Descriptor::integers(int name) const {
    const Attribute &a = attributes.at(name);
    std::vector<int64_t> out((size_t)a.n);
    __builtin_memcpy(out.data(), a.bytes.data(), a.bytes.size());
    return out;
}

Tensor tensor_of(const Descriptor &d) {
    std::vector<int64_t> dims = d.integers(CUDNN_ATTR_TENSOR_DIMENSIONS);
    Tensor t;
    t.uid = d.get<int64_t>(CUDNN_ATTR_TENSOR_UNIQUE_ID);
    t.n = dims[0], t.c = dims[1], t.h = dims[2], t.w = dims[3];
    t.type = d.get<cudnnDataType_t>(CUDNN_ATTR_TENSOR_DATA_TYPE);
    t.hidden = d.has(CUDNN_ATTR_TENSOR_IS_VIRTUAL) && d.get<bool>(CUDNN_ATTR_TENSOR_IS_VIRTUAL);
    t.by_value = d.has(CUDNN_ATTR_TENSOR_IS_BY_VALUE) && d.get<bool>(CUDNN_ATTR_TENSOR_IS_BY_VALUE);
    return t;
}

namespace {

bool is_tensor(const Descriptor &d, int name) { return d.ref(name).type == CUDNN_BACKEND_TENSOR_DESCRIPTOR; }

cudnnStatus_t check_tensor(const Descriptor &d) {
    std::vector<int64_t> dims = d.integers(CUDNN_ATTR_TENSOR_DIMENSIONS);
    std::vector<int64_t> strides = d.integers(CUDNN_ATTR_TENSOR_STRIDES);
    int64_t alignment = d.get<int64_t>(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT);
    cudnnDataType_t type = d.get<cudnnDataType_t>(CUDNN_ATTR_TENSOR_DATA_TYPE);
    if (alignment < 1 || (alignment & (alignment - 1)) != 0) return CUDNN_STATUS_BAD_PARAM;
    if (dims.size() != strides.size()) return CUDNN_STATUS_BAD_PARAM;
    bool known = type == CUDNN_DATA_FLOAT || type == CUDNN_DATA_BFLOAT16;
    if (dims.size() != 4 || !known) return CUDNN_STATUS_NOT_SUPPORTED;
    for (int64_t dim : dims)
        if (dim < 1) return CUDNN_STATUS_BAD_PARAM;
    bool packed = strides[1] == 1 && strides[3] == dims[1] && strides[2] == dims[3] * strides[3] &&
                  strides[0] == dims[2] * strides[2];
    return packed ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_NOT_SUPPORTED_LAYOUT;
}

/* The sides of a window's operation. */
cudnnStatus_t check_sides(const Tensor &in, const Tensor &out, const std::vector<int64_t> &window,
                          const std::vector<int64_t> &stride, const std::vector<int64_t> &before,
                          const std::vector<int64_t> &after) {
    int64_t ins[] = {in.h, in.w}, outs[] = {out.h, out.w};
    if (in.n != out.n) return CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH;
    for (size_t i = 0; i < 2; i++) {
        if (stride[i] < 1 || before[i] < 0 || after[i] < 0 || window[i] < 1) return CUDNN_STATUS_BAD_PARAM;
        int64_t room = ins[i] + before[i] + after[i] - window[i];
        if (room < 0 || outs[i] != room / stride[i] + 1) return CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH;
    }
    return CUDNN_STATUS_SUCCESS;
}

struct ConvNames {
    cudnnBackendDescriptorType_t type;
    int how, x, w, y, alpha, beta;
    Kind kind;
};

const ConvNames conv_names[] = {
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, FORWARD},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA, DATA},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA, FILTER},
};

const ConvNames *conv_of(const Descriptor &d) {
    for (const ConvNames &c : conv_names)
        if (c.type == d.type) return &c;
    return nullptr;
}

cudnnStatus_t check_conv(const Descriptor &d, const ConvNames &c) {
    if (d.ref(c.how).type != CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR || !is_tensor(d, c.x) || !is_tensor(d, c.w) ||
        !is_tensor(d, c.y))
        return CUDNN_STATUS_BAD_PARAM_DESCRIPTOR_TYPE;
    const Descriptor &how = d.ref(c.how);
    Tensor x = tensor_of(d.ref(c.x)), w = tensor_of(d.ref(c.w)), y = tensor_of(d.ref(c.y));
    if (w.c != x.c || w.n != y.c) return CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH;
    for (int64_t dilation : how.integers(CUDNN_ATTR_CONVOLUTION_DILATIONS))
        if (dilation != 1) return CUDNN_STATUS_NOT_SUPPORTED;
    if (how.get<cudnnConvolutionMode_t>(CUDNN_ATTR_CONVOLUTION_CONV_MODE) != CUDNN_CROSS_CORRELATION ||
        how.get<cudnnDataType_t>(CUDNN_ATTR_CONVOLUTION_COMP_TYPE) != CUDNN_DATA_FLOAT || d.get<float>(c.alpha) != 1 ||
        d.get<float>(c.beta) != 0)
        return CUDNN_STATUS_NOT_SUPPORTED;
    return check_sides(x, y, {w.h, w.w}, how.integers(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES),
                       how.integers(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS),
                       how.integers(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS));
}

cudnnStatus_t check_pool(const Descriptor &d, int how_name, int in_name, int out_name) {
    const Descriptor &how = d.ref(how_name);
    if (how.type != CUDNN_BACKEND_RESAMPLE_DESCRIPTOR) return CUDNN_STATUS_BAD_PARAM_DESCRIPTOR_TYPE;
    Tensor in = tensor_of(d.ref(in_name)), out = tensor_of(d.ref(out_name));
    if (in.c != out.c) return CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH;
    return check_sides(in, out, how.integers(CUDNN_ATTR_RESAMPLE_WINDOW_DIMS),
                       how.integers(CUDNN_ATTR_RESAMPLE_STRIDES), how.integers(CUDNN_ATTR_RESAMPLE_PRE_PADDINGS),
                       how.integers(CUDNN_ATTR_RESAMPLE_POST_PADDINGS));
}

} // namespace

cudnnStatus_t check(const Descriptor &d) {
    if (d.type == CUDNN_BACKEND_TENSOR_DESCRIPTOR) return check_tensor(d);
    if (const ConvNames *c = conv_of(d)) return check_conv(d, *c);
    if (d.type == CUDNN_BACKEND_OPERATION_RESAMPLE_FWD_DESCRIPTOR)
        return check_pool(d, CUDNN_ATTR_OPERATION_RESAMPLE_FWD_DESC, CUDNN_ATTR_OPERATION_RESAMPLE_FWD_XDESC,
                          CUDNN_ATTR_OPERATION_RESAMPLE_FWD_YDESC);
    if (d.type == CUDNN_BACKEND_OPERATION_RESAMPLE_BWD_DESCRIPTOR)
        return check_pool(d, CUDNN_ATTR_OPERATION_RESAMPLE_BWD_DESC, CUDNN_ATTR_OPERATION_RESAMPLE_BWD_DXDESC,
                          CUDNN_ATTR_OPERATION_RESAMPLE_BWD_DYDESC);
    if (d.type == CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR) {
        const Descriptor &ops = d.ref(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);
        if (!ops.has(CUDNN_ATTR_OPERATIONGRAPH_HANDLE) && !d.has(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP))
            return CUDNN_STATUS_BAD_PARAM; /* for which device? */
        Graph g;
        return understand(ops, &g);
    }
    if (d.type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR && !d.has(CUDNN_ATTR_EXECUTION_PLAN_HANDLE) &&
        !d.has(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP))
        return CUDNN_STATUS_BAD_PARAM;
    if (d.type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR && told("unloadable") &&
        d.ref(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG).engine != 5)
        return CUDNN_STATUS_EXECUTION_FAILED_CUDA_DRIVER;
    if (d.type == CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR) {
        int64_t uids = d.attributes.at(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS).n;
        if (uids != d.attributes.at(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS).n) return CUDNN_STATUS_BAD_PARAM;
    }
    if (d.type == CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR &&
        d.get<char>(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION) != '{')
        return CUDNN_STATUS_BAD_PARAM;
    return CUDNN_STATUS_SUCCESS;
}

namespace {

Window window_of(const std::vector<int64_t> &size, const std::vector<int64_t> &stride,
                 const std::vector<int64_t> &before) {
    return Window{size[0], size[1], stride[0], stride[1], before[0], before[1]};
}

/* Element-wise operations behind a convolution: + bias, + ReLU. `flows`: what the one before wrote. */
cudnnStatus_t add_pointwise(const Descriptor &op, Tensor *flows, Graph *g) {
    if (op.type != CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR) return CUDNN_STATUS_NOT_SUPPORTED_GRAPH_PATTERN;
    const Descriptor &how = op.ref(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR);
    auto mode = how.get<cudnnPointwiseMode_t>(CUDNN_ATTR_POINTWISE_MODE);
    Tensor x = tensor_of(op.ref(CUDNN_ATTR_OPERATION_POINTWISE_XDESC));
    Tensor y = tensor_of(op.ref(CUDNN_ATTR_OPERATION_POINTWISE_YDESC));
    if (!flows->hidden || x.uid != flows->uid || x.count() != y.count())
        return CUDNN_STATUS_NOT_SUPPORTED_GRAPH_PATTERN;
    if (mode == CUDNN_POINTWISE_ADD && !g->bias && op.has(CUDNN_ATTR_OPERATION_POINTWISE_BDESC)) {
        Tensor b = tensor_of(op.ref(CUDNN_ATTR_OPERATION_POINTWISE_BDESC));
        if (b.n != 1 || b.h != 1 || b.w != 1 || b.c != y.c) return CUDNN_STATUS_NOT_SUPPORTED_SHAPE;
        g->bias = true;
        g->tensors.push_back(b);
    } else if (mode == CUDNN_POINTWISE_RELU_FWD && g->bias && !g->relu) {
        /* Without it max(x, 0), which makes 0 of a NaN. */
        if (!how.has(CUDNN_ATTR_POINTWISE_NAN_PROPAGATION) ||
            how.get<int32_t>(CUDNN_ATTR_POINTWISE_NAN_PROPAGATION) != 1)
            return CUDNN_STATUS_NOT_SUPPORTED;
        g->relu = true;
    } else {
        return CUDNN_STATUS_NOT_SUPPORTED_GRAPH_PATTERN;
    }
    *flows = y;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t understand_conv(const std::vector<Ref> &ops, const ConvNames &c, Graph *g) {
    const Descriptor &op = *ops[0], &how = op.ref(c.how);
    Tensor x = tensor_of(op.ref(c.x)), w = tensor_of(op.ref(c.w)), y = tensor_of(op.ref(c.y));
    std::vector<int64_t> before = how.integers(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS);
    if (told("nopads") && before != how.integers(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS))
        return CUDNN_STATUS_NOT_SUPPORTED_PADDING;
    g->kind = c.kind;
    g->window = window_of({w.h, w.w}, how.integers(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES), before);
    g->tensors = {x, w, y};
    Tensor flows = y;
    for (size_t i = 1; i < ops.size(); i++) {
        cudnnStatus_t status = c.kind == FORWARD ? add_pointwise(*ops[i], &flows, g) : CUDNN_STATUS_NOT_SUPPORTED;
        if (status != CUDNN_STATUS_SUCCESS) return status;
    }
    g->tensors[2] = flows;
    if ((told("nobias") && g->bias) || (told("norelu") && g->relu))
        return CUDNN_STATUS_NOT_SUPPORTED_GRAPH_PATTERN;
    bool types = x.type == flows.type && (w.type == x.type || (c.kind == FILTER && told("wide")));
    return types && !flows.hidden ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_NOT_SUPPORTED_DATA_TYPE;
}

cudnnStatus_t understand_pool(const Descriptor &op, bool back, Graph *g) {
    int in = CUDNN_ATTR_OPERATION_RESAMPLE_FWD_XDESC, out = CUDNN_ATTR_OPERATION_RESAMPLE_FWD_YDESC;
    if (back) in = CUDNN_ATTR_OPERATION_RESAMPLE_BWD_DXDESC, out = CUDNN_ATTR_OPERATION_RESAMPLE_BWD_DYDESC;
    const Descriptor &how =
        op.ref(back ? CUDNN_ATTR_OPERATION_RESAMPLE_BWD_DESC : CUDNN_ATTR_OPERATION_RESAMPLE_FWD_DESC);
    auto mode = how.get<cudnnResampleMode_t>(CUDNN_ATTR_RESAMPLE_MODE);
    if (told("nopool") || mode != CUDNN_RESAMPLE_AVGPOOL_EXCLUDE_PADDING)
        return CUDNN_STATUS_NOT_SUPPORTED;
    g->kind = back ? POOL_BACK : POOL;
    g->window = window_of(how.integers(CUDNN_ATTR_RESAMPLE_WINDOW_DIMS), how.integers(CUDNN_ATTR_RESAMPLE_STRIDES),
                          how.integers(CUDNN_ATTR_RESAMPLE_PRE_PADDINGS));
    g->tensors = {tensor_of(op.ref(in)), tensor_of(op.ref(out))};
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t understand_norm(const Descriptor &op, bool back, Graph *g) {
    static const int forward[] = {CUDNN_ATTR_OPERATION_NORM_FWD_XDESC, CUDNN_ATTR_OPERATION_NORM_FWD_YDESC,
                                  CUDNN_ATTR_OPERATION_NORM_FWD_SCALE_DESC, CUDNN_ATTR_OPERATION_NORM_FWD_BIAS_DESC,
                                  CUDNN_ATTR_OPERATION_NORM_FWD_MEAN_DESC,
                                  CUDNN_ATTR_OPERATION_NORM_FWD_INV_VARIANCE_DESC,
                                  CUDNN_ATTR_OPERATION_NORM_FWD_EPSILON_DESC};
    static const int backward[] = {CUDNN_ATTR_OPERATION_NORM_BWD_XDESC, CUDNN_ATTR_OPERATION_NORM_BWD_DYDESC,
                                   CUDNN_ATTR_OPERATION_NORM_BWD_SCALE_DESC, CUDNN_ATTR_OPERATION_NORM_BWD_DXDESC,
                                   CUDNN_ATTR_OPERATION_NORM_BWD_MEAN_DESC,
                                   CUDNN_ATTR_OPERATION_NORM_BWD_INV_VARIANCE_DESC,
                                   CUDNN_ATTR_OPERATION_NORM_BWD_DSCALE_DESC, CUDNN_ATTR_OPERATION_NORM_BWD_DBIAS_DESC};
    int mode = op.get<int32_t>(back ? CUDNN_ATTR_OPERATION_NORM_BWD_MODE : CUDNN_ATTR_OPERATION_NORM_FWD_MODE);
    if (told("nonorm") || mode != CUDNN_BATCH_NORM)
        return CUDNN_STATUS_NOT_SUPPORTED;
    g->kind = back ? NORM_BACK : NORM;
    g->tensors.clear();
    for (int name : back ? std::vector<int>(std::begin(backward), std::end(backward))
                         : std::vector<int>(std::begin(forward), std::end(forward)))
        g->tensors.push_back(tensor_of(op.ref(name)));
    for (const Tensor &t : g->tensors)
        if (!t.by_value && t.c != g->tensors[0].c) return CUDNN_STATUS_NOT_SUPPORTED_SHAPE;
    return CUDNN_STATUS_SUCCESS;
}

} // namespace

cudnnStatus_t understand(const Descriptor &graph, Graph *out) {
    const std::vector<Ref> &ops = graph.attributes.at(CUDNN_ATTR_OPERATIONGRAPH_OPS).refs;
    if (told("nothing")) return CUDNN_STATUS_NOT_SUPPORTED;
    if (const ConvNames *c = conv_of(*ops[0])) return understand_conv(ops, *c, out);
    if (ops.size() != 1) return CUDNN_STATUS_NOT_SUPPORTED_GRAPH_PATTERN;
    switch (ops[0]->type) {
    case CUDNN_BACKEND_OPERATION_RESAMPLE_FWD_DESCRIPTOR: return understand_pool(*ops[0], false, out);
    case CUDNN_BACKEND_OPERATION_RESAMPLE_BWD_DESCRIPTOR: return understand_pool(*ops[0], true, out);
    case CUDNN_BACKEND_OPERATION_NORM_FORWARD_DESCRIPTOR: return understand_norm(*ops[0], false, out);
    case CUDNN_BACKEND_OPERATION_NORM_BACKWARD_DESCRIPTOR: return understand_norm(*ops[0], true, out);
    default: return CUDNN_STATUS_NOT_SUPPORTED_GRAPH_PATTERN;
    }
}

} // namespace ta_fake
