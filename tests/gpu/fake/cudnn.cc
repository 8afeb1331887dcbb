/* cudnn: cuDNN's handles and backend descriptors, made believe. */
#include <string.h>

#include <algorithm>
#include <string>

#include "cudnn_fake.h"

using namespace ta_fake;

struct cudnnContext {
    cudaStream_t stream = nullptr;
};

namespace {

thread_local std::string why;

cudnnStatus_t fail(cudnnStatus_t status, const char *message) {
    why = message;
    return status;
}

/* type 0..n of an attribute; count: the most; 0: as many as fit. `needed`: finalize asks for it. */
struct Rule {
    cudnnBackendDescriptorType_t descriptor;
    int name;
    cudnnBackendAttributeType_t type;
    int64_t most;
    bool needed;
};

#define DESC CUDNN_TYPE_BACKEND_DESCRIPTOR
#define CONV_OP(D, P)                                                                                          \
    {D, P##ALPHA, CUDNN_TYPE_FLOAT, 1, true}, {D, P##BETA, CUDNN_TYPE_FLOAT, 1, true}, {D, P##CONV_DESC, DESC, 1, true}
const cudnnBackendDescriptorType_t TENSOR = CUDNN_BACKEND_TENSOR_DESCRIPTOR,
    CONV = CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR,
    CONV_FWD = CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
    CONV_DATA = CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
    CONV_FILTER = CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
    POINT = CUDNN_BACKEND_POINTWISE_DESCRIPTOR, POINT_OP = CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR,
    RESAMPLE = CUDNN_BACKEND_RESAMPLE_DESCRIPTOR, RESAMPLE_FWD = CUDNN_BACKEND_OPERATION_RESAMPLE_FWD_DESCRIPTOR,
    RESAMPLE_BWD = CUDNN_BACKEND_OPERATION_RESAMPLE_BWD_DESCRIPTOR,
    NORM_FWD = CUDNN_BACKEND_OPERATION_NORM_FORWARD_DESCRIPTOR,
    NORM_BWD = CUDNN_BACKEND_OPERATION_NORM_BACKWARD_DESCRIPTOR, OPS = CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR,
    HEUR = CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, PLAN = CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR,
    PACK = CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, PROP = CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR;

const Rule rules[] = {
    {TENSOR, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, true},
    {TENSOR, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, CUDNN_DIM_MAX, true},
    {TENSOR, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, CUDNN_DIM_MAX, true},
    {TENSOR, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, true},
    {TENSOR, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, true},
    {TENSOR, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, false},
    {TENSOR, CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, 1, false},
    {CONV, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, true},
    {CONV, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, true},
    {CONV, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, true},
    {CONV, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, true},
    {CONV, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, true},
    {CONV, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, true},
    {CONV, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, true},
    CONV_OP(CONV_FWD, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_),
    {CONV_FWD, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, DESC, 1, true},
    {CONV_FWD, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, DESC, 1, true},
    {CONV_FWD, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, DESC, 1, true},
    CONV_OP(CONV_DATA, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_),
    {CONV_DATA, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W, DESC, 1, true},
    {CONV_DATA, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, DESC, 1, true},
    {CONV_DATA, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY, DESC, 1, true},
    CONV_OP(CONV_FILTER, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_),
    {CONV_FILTER, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW, DESC, 1, true},
    {CONV_FILTER, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X, DESC, 1, true},
    {CONV_FILTER, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY, DESC, 1, true},
    {POINT, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, true},
    {POINT, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, true},
    {POINT, CUDNN_ATTR_POINTWISE_NAN_PROPAGATION, CUDNN_TYPE_NAN_PROPOGATION, 1, false},
    {POINT_OP, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, DESC, 1, true},
    {POINT_OP, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, DESC, 1, true},
    {POINT_OP, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, DESC, 1, false},
    {POINT_OP, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, DESC, 1, true},
    {RESAMPLE, CUDNN_ATTR_RESAMPLE_MODE, CUDNN_TYPE_RESAMPLE_MODE, 1, true},
    {RESAMPLE, CUDNN_ATTR_RESAMPLE_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, true},
    {RESAMPLE, CUDNN_ATTR_RESAMPLE_PADDING_MODE, CUDNN_TYPE_PADDING_MODE, 1, true},
    {RESAMPLE, CUDNN_ATTR_RESAMPLE_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, true},
    {RESAMPLE, CUDNN_ATTR_RESAMPLE_WINDOW_DIMS, CUDNN_TYPE_INT64, 2, true},
    {RESAMPLE, CUDNN_ATTR_RESAMPLE_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, true},
    {RESAMPLE, CUDNN_ATTR_RESAMPLE_POST_PADDINGS, CUDNN_TYPE_INT64, 2, true},
    {RESAMPLE, CUDNN_ATTR_RESAMPLE_STRIDES, CUDNN_TYPE_INT64, 2, true},
    {RESAMPLE_FWD, CUDNN_ATTR_OPERATION_RESAMPLE_FWD_DESC, DESC, 1, true},
    {RESAMPLE_FWD, CUDNN_ATTR_OPERATION_RESAMPLE_FWD_XDESC, DESC, 1, true},
    {RESAMPLE_FWD, CUDNN_ATTR_OPERATION_RESAMPLE_FWD_YDESC, DESC, 1, true},
    {RESAMPLE_BWD, CUDNN_ATTR_OPERATION_RESAMPLE_BWD_DESC, DESC, 1, true},
    {RESAMPLE_BWD, CUDNN_ATTR_OPERATION_RESAMPLE_BWD_DXDESC, DESC, 1, true},
    {RESAMPLE_BWD, CUDNN_ATTR_OPERATION_RESAMPLE_BWD_DYDESC, DESC, 1, true},
    {NORM_FWD, CUDNN_ATTR_OPERATION_NORM_FWD_MODE, CUDNN_TYPE_NORM_MODE, 1, true},
    {NORM_FWD, CUDNN_ATTR_OPERATION_NORM_FWD_PHASE, CUDNN_TYPE_NORM_FWD_PHASE, 1, true},
    {NORM_FWD, CUDNN_ATTR_OPERATION_NORM_FWD_XDESC, DESC, 1, true},
    {NORM_FWD, CUDNN_ATTR_OPERATION_NORM_FWD_MEAN_DESC, DESC, 1, true},
    {NORM_FWD, CUDNN_ATTR_OPERATION_NORM_FWD_INV_VARIANCE_DESC, DESC, 1, true},
    {NORM_FWD, CUDNN_ATTR_OPERATION_NORM_FWD_SCALE_DESC, DESC, 1, true},
    {NORM_FWD, CUDNN_ATTR_OPERATION_NORM_FWD_BIAS_DESC, DESC, 1, true},
    {NORM_FWD, CUDNN_ATTR_OPERATION_NORM_FWD_EPSILON_DESC, DESC, 1, true},
    {NORM_FWD, CUDNN_ATTR_OPERATION_NORM_FWD_YDESC, DESC, 1, true},
    {NORM_BWD, CUDNN_ATTR_OPERATION_NORM_BWD_MODE, CUDNN_TYPE_NORM_MODE, 1, true},
    {NORM_BWD, CUDNN_ATTR_OPERATION_NORM_BWD_XDESC, DESC, 1, true},
    {NORM_BWD, CUDNN_ATTR_OPERATION_NORM_BWD_DYDESC, DESC, 1, true},
    {NORM_BWD, CUDNN_ATTR_OPERATION_NORM_BWD_SCALE_DESC, DESC, 1, true},
    {NORM_BWD, CUDNN_ATTR_OPERATION_NORM_BWD_MEAN_DESC, DESC, 1, true},
    {NORM_BWD, CUDNN_ATTR_OPERATION_NORM_BWD_INV_VARIANCE_DESC, DESC, 1, true},
    {NORM_BWD, CUDNN_ATTR_OPERATION_NORM_BWD_DSCALE_DESC, DESC, 1, true},
    {NORM_BWD, CUDNN_ATTR_OPERATION_NORM_BWD_DBIAS_DESC, DESC, 1, true},
    {NORM_BWD, CUDNN_ATTR_OPERATION_NORM_BWD_DXDESC, DESC, 1, true},
    {OPS, CUDNN_ATTR_OPERATIONGRAPH_OPS, DESC, 16, true},
    {OPS, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, false},
    {HEUR, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, DESC, 1, true},
    {HEUR, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, true},
    {HEUR, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, DESC, 1, false},
    {PLAN, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, DESC, 1, true},
    {PLAN, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, false},
    {PLAN, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, DESC, 1, false},
    {PACK, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, 64, true},
    {PACK, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, 64, true},
    {PACK, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, false},
    {PROP, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, 1 << 20, true},
};

size_t width(cudnnBackendAttributeType_t type) {
    switch (type) {
    case CUDNN_TYPE_HANDLE:
    case CUDNN_TYPE_INT64:
    case CUDNN_TYPE_DOUBLE:
    case CUDNN_TYPE_VOID_PTR:
    case CUDNN_TYPE_BACKEND_DESCRIPTOR: return 8;
    case CUDNN_TYPE_BOOLEAN:
    case CUDNN_TYPE_CHAR: return 1;
    default: return 4; /* enumerations, float */
    }
}

Ref &ref_of(void *opaque) { return *static_cast<Ref *>(opaque); }

} // namespace

bool ta_fake::told(const char *word) {
    return ("+" + option("cudnn", "") + "+").find("+" + std::string(word) + "+") != std::string::npos;
}

extern "C" {

size_t cudnnGetVersion(void) { return told("old") ? 8907 : CUDNN_VERSION; }

const char *cudnnGetErrorString(cudnnStatus_t status) {
    switch (CUDNN_STATUS_CATEGORY(status)) {
    case 0: return "CUDNN_STATUS_SUCCESS";
    case CUDNN_STATUS_BAD_PARAM: return "CUDNN_STATUS_BAD_PARAM";
    case CUDNN_STATUS_NOT_SUPPORTED: return "CUDNN_STATUS_NOT_SUPPORTED";
    case CUDNN_STATUS_EXECUTION_FAILED: return "CUDNN_STATUS_EXECUTION_FAILED";
    default: return "CUDNN_STATUS_INTERNAL_ERROR";
    }
}

void cudnnGetLastErrorString(char *message, size_t most) {
    if (most == 0) return;
    strncpy(message, why.c_str(), most - 1);
    message[most - 1] = '\0';
    why.clear();
}

cudnnStatus_t cudnnCreate(cudnnHandle_t *out) {
    if (told("closed") || sticky() != cudaSuccess) return fail(CUDNN_STATUS_NOT_INITIALIZED, "no device");
    *out = new cudnnContext;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnDestroy(cudnnHandle_t handle) {
    delete handle;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
    handle->stream = stream;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t *out) {
    Ref made = std::make_shared<Descriptor>();
    made->type = type;
    *out = new Ref(made);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t opaque) {
    delete static_cast<Ref *>(opaque);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t opaque, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t n, const void *values) {
    if (opaque == nullptr || values == nullptr) return fail(CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "a null pointer");
    Descriptor &d = *ref_of(opaque);
    const Rule *rule = std::find_if(std::begin(rules), std::end(rules), [&](const Rule &r) {
        return r.descriptor == d.type && r.name == name;
    });
    if (rule == std::end(rules)) return fail(CUDNN_STATUS_NOT_SUPPORTED, "an attribute that it does not know");
    if (d.final) return fail(CUDNN_STATUS_NOT_INITIALIZED, "it was finalised already");
    if (rule->type != type) return fail(CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE, "the wrong type of attribute");
    if (n < 1 || n > rule->most) return fail(CUDNN_STATUS_BAD_PARAM, "the wrong number of elements");
    Attribute a{type, n, {}, {}};
    const unsigned char *bytes = static_cast<const unsigned char *>(values);
    a.bytes.assign(bytes, bytes + (size_t)n * width(type));
    for (int64_t i = 0; i < n && type == DESC; i++) {
        void *inner;
        memcpy(&inner, bytes + i * 8, 8);
        if (inner == nullptr || !ref_of(inner)->final)
            return fail(CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED, "a descriptor that was not finalised");
        a.refs.push_back(ref_of(inner));
    }
    d.attributes[name] = a;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t opaque) {
    if (opaque == nullptr) return fail(CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "a null pointer");
    Descriptor &d = *ref_of(opaque);
    for (const Rule &r : rules)
        if (r.descriptor == d.type && r.needed && !d.has(r.name))
            return fail(CUDNN_STATUS_BAD_PARAM, "an attribute is missing");
    cudnnStatus_t status = check(d);
    if (status != CUDNN_STATUS_SUCCESS) return fail(status, "finalize");
    d.final = true;
    return CUDNN_STATUS_SUCCESS;
}

} // extern "C"

namespace {

/* What the heuristics propose, best first. */
std::vector<int> proposals(const Descriptor &heuristic) {
    auto mode = heuristic.get<cudnnBackendHeurMode_t>(CUDNN_ATTR_ENGINEHEUR_MODE);
    bool last = mode == CUDNN_HEUR_MODE_FALLBACK;
    Graph g;
    if (understand(heuristic.ref(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH), &g) != CUDNN_STATUS_SUCCESS) return {};
    if (told("noisy")) return {1};
    if (told("fallback") && !last) return {};
    if (last) return {5};
    return {1, 2, 3, 4};
}

int64_t workspace_of(int engine) {
    static const int64_t bytes[] = {0, 0, 4096, INT64_C(1) << 40, 1000, 0};
    return bytes[engine];
}

template <class T> cudnnStatus_t give(const std::vector<T> &values, int64_t most, int64_t *n, void *out) {
    if (n != nullptr) *n = (int64_t)values.size();
    size_t count = std::min((size_t)most, values.size());
    if (count > 0) memcpy(out, values.data(), count * sizeof(T));
    return CUDNN_STATUS_SUCCESS;
}

} // namespace

extern "C" {

cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t opaque, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t most, int64_t *n, void *out) {
    if (opaque == nullptr) return fail(CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "a null pointer");
    Descriptor &d = *ref_of(opaque);
    if (!d.final) return fail(CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED, "it was not finalised");
    void **inner = static_cast<void **>(out);
    if (name == CUDNN_ATTR_ENGINEHEUR_RESULTS && d.type == HEUR && type == DESC) {
        std::vector<int> found = proposals(d);
        if (n != nullptr) *n = (int64_t)found.size();
        for (int64_t i = 0; i < most && i < (int64_t)found.size(); i++) {
            Descriptor &config = *ref_of(inner[i]);
            if (config.type != CUDNN_BACKEND_ENGINECFG_DESCRIPTOR) return fail(CUDNN_STATUS_BAD_PARAM, "not a config");
            config.engine = found[(size_t)i];
            config.graph = d.attributes.at(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH).refs[0];
            config.final = true;
        }
        return CUDNN_STATUS_SUCCESS;
    }
    if (name == CUDNN_ATTR_ENGINECFG_ENGINE && d.type == CUDNN_BACKEND_ENGINECFG_DESCRIPTOR && most == 1) {
        Descriptor &engine = *ref_of(inner[0]);
        if (engine.type != CUDNN_BACKEND_ENGINE_DESCRIPTOR) return fail(CUDNN_STATUS_BAD_PARAM, "not an engine");
        engine.engine = d.engine;
        engine.final = true;
        *n = 1;
        return CUDNN_STATUS_SUCCESS;
    }
    if (name == CUDNN_ATTR_ENGINE_GLOBAL_INDEX && type == CUDNN_TYPE_INT64)
        return give(std::vector<int64_t>{d.engine}, most, n, out);
    if (name == CUDNN_ATTR_ENGINE_NUMERICAL_NOTE && type == CUDNN_TYPE_NUMERICAL_NOTE) {
        std::vector<cudnnBackendNumericalNote_t> notes;
        if (d.engine == 1) notes.push_back(CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC);
        if (d.engine <= 2) notes.push_back(CUDNN_NUMERICAL_NOTE_TENSOR_CORE);
        return give(notes, most, n, out);
    }
    if (name == CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE && d.type == PLAN && type == CUDNN_TYPE_INT64)
        return give(std::vector<int64_t>{workspace_of(d.ref(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG).engine)}, most, n,
                    out);
    return fail(CUDNN_STATUS_NOT_SUPPORTED, "an attribute that it does not know");
}

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan, cudnnBackendDescriptor_t pack) {
    if (handle == nullptr || plan == nullptr || pack == nullptr)
        return fail(CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "a null pointer");
    const Descriptor &p = *ref_of(plan), &v = *ref_of(pack);
    if (!p.final || !v.final) return fail(CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED, "a descriptor that was not finalised");
    if (sticky() != cudaSuccess) return fail(CUDNN_STATUS_EXECUTION_FAILED_CUDART, "an earlier error");
    if (told("fails")) return fail(CUDNN_STATUS_EXECUTION_FAILED, "as it was told");
    const Descriptor &config = p.ref(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
    Graph g;
    cudnnStatus_t status = understand(*config.graph, &g);
    if (status != CUDNN_STATUS_SUCCESS) return fail(status, "a graph");
    std::map<int64_t, void *> addresses;
    std::vector<int64_t> uids = v.integers(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
    for (size_t i = 0; i < uids.size(); i++)
        addresses[uids[i]] = v.get<void *>(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, i);
    float epsilon = 0;
    for (const Tensor &t : g.tensors) {
        if (t.hidden) continue;
        if (addresses.count(t.uid) == 0) return fail(CUDNN_STATUS_BAD_PARAM, "a tensor has no address");
        void *at = addresses[t.uid];
        if (t.by_value) memcpy(&epsilon, at, sizeof epsilon);
        else if ((uintptr_t)at % 16 != 0) return fail(CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER, "an address");
        else if (!is_device(at, t.bytes())) misuse("cudnnBackendExecute: tensor %d is not device memory", (int)t.uid);
    }
    size_t bytes = (size_t)workspace_of(config.engine);
    void *workspace = nullptr;
    if (v.has(CUDNN_ATTR_VARIANT_PACK_WORKSPACE)) workspace = v.get<void *>(CUDNN_ATTR_VARIANT_PACK_WORKSPACE);
    if (bytes > 0 && !is_device(workspace, bytes)) misuse("cudnnBackendExecute: the workspace is not device memory");
    int engine = config.engine;
    cudaError_t error = queue(handle->stream, "cudnnBackendExecute", [g, engine, addresses, epsilon, workspace, bytes] {
        if (bytes > 0) memset(workspace, 0xff, bytes); /* nobody else's at this moment */
        run(g, engine, addresses, epsilon);
    });
    return error == cudaSuccess ? CUDNN_STATUS_SUCCESS : fail(CUDNN_STATUS_EXECUTION_FAILED_CUDART, "a launch");
}

} // extern "C"
