/* cublaslt: products of matrices, made believe: what the house asks of cuBLASLt, by plain loops in double, in stream
 * order.
 *
 * Strict where the documentation is: types that belong together, dimensions, leading dimensions, addresses on the
 * device and at the alignment that was promised. TENSAIR_FAKE_GPU="cublaslt=nobias" has no algorithm with a bias,
 * "norelu" none with a ReLU, "nothing" none at all. */
#include <cublasLt.h>
#include <cuda_bf16.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "fake.h"

namespace {

struct Desc {
    cublasComputeType_t compute;
    cudaDataType_t scale;
    int32_t transposed_a = CUBLAS_OP_N, transposed_b = CUBLAS_OP_N, bias_type = -1;
    uint32_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
    const void *bias = nullptr;
};

struct Layout {
    cudaDataType_t type;
    uint64_t rows, cols;
    int64_t leading;
    size_t width() const { return type == CUDA_R_16BF ? 2 : 4; }
    size_t bytes() const { return width() * (cols == 0 ? 0 : (cols - 1) * (size_t)leading + rows); }
};

struct Preference {
    uint64_t workspace = 0;
    uint32_t reduction = CUBLASLT_REDUCTION_SCHEME_MASK, alignment[4] = {256, 256, 256, 256};
};

/* What is asked for, by value: work may run long after the descriptors are gone. */
struct Product {
    Desc desc;
    Layout a, b, d;
    const unsigned char *at_a, *at_b;
    unsigned char *at_d;
};

const uint64_t MAGIC = 0x7461626c61736c74;
enum { WORKSPACE = 4096, ALIGNED = 16 };

double load(const void *base, cudaDataType_t type, size_t i) {
    if (type == CUDA_R_32F) {
        float x;
        memcpy(&x, static_cast<const char *>(base) + i * 4, 4);
        return (double)x;
    }
    uint16_t half;
    memcpy(&half, static_cast<const char *>(base) + i * 2, 2);
    uint32_t bits = (uint32_t)half << 16;
    float x;
    memcpy(&x, &bits, 4);
    return (double)x;
}

void store(void *base, cudaDataType_t type, size_t i, double value) {
    float x = (float)value;
    if (type == CUDA_R_32F) {
        memcpy(static_cast<char *>(base) + i * 4, &x, 4);
        return;
    }
    __nv_bfloat16 half = __float2bfloat16(x);
    memcpy(static_cast<char *>(base) + i * 2, &half, 2);
}

size_t at(const Layout &l, uint64_t row, uint64_t col) { return (size_t)(col * (uint64_t)l.leading + row); }

/* A factor in double, [outer][inner] as the product reads it, so that the innermost loop runs over neighbours. */
std::vector<double> factor(const Layout &l, const void *base, bool inner_is_rows) {
    uint64_t outer = inner_is_rows ? l.cols : l.rows, inner = inner_is_rows ? l.rows : l.cols;
    std::vector<double> out(outer * inner);
    for (uint64_t o = 0; o < outer; o++)
        for (uint64_t i = 0; i < inner; i++)
            out[o * inner + i] = load(base, l.type, inner_is_rows ? at(l, i, o) : at(l, o, i));
    return out;
}

void run(const Product &p) {
    uint64_t m = p.d.rows, n = p.d.cols, k = p.desc.transposed_a == CUBLAS_OP_N ? p.a.cols : p.a.rows;
    std::vector<double> a = factor(p.a, p.at_a, p.desc.transposed_a == CUBLAS_OP_T);
    std::vector<double> b = factor(p.b, p.at_b, p.desc.transposed_b == CUBLAS_OP_N);
    for (uint64_t col = 0; col < n; col++) {
        for (uint64_t row = 0; row < m; row++) {
            double sum = 0;
            for (uint64_t i = 0; i < k; i++) sum += a[row * k + i] * b[col * k + i];
            if (p.desc.epilogue & CUBLASLT_EPILOGUE_BIAS)
                sum += load(p.desc.bias, (cudaDataType_t)p.desc.bias_type, row);
            if (p.desc.epilogue & CUBLASLT_EPILOGUE_RELU) sum = sum < 0 ? 0 : sum; /* a NaN stays */
            store(p.at_d, p.d.type, at(p.d, row, col), sum);
        }
    }
}

bool fits(const Desc &d, const Layout &a, const Layout &b, const Layout &c, const Layout &out) {
    uint64_t m = d.transposed_a == CUBLAS_OP_N ? a.rows : a.cols, k = d.transposed_a == CUBLAS_OP_N ? a.cols : a.rows;
    uint64_t kb = d.transposed_b == CUBLAS_OP_N ? b.rows : b.cols, n = d.transposed_b == CUBLAS_OP_N ? b.cols : b.rows;
    bool shapes = out.rows == m && out.cols == n && kb == k && c.rows == m && c.cols == n && m > 0 && n > 0 && k > 0;
    bool leading = a.leading >= (int64_t)a.rows && b.leading >= (int64_t)b.rows && out.leading >= (int64_t)out.rows;
    bool types = a.type == b.type && c.type == out.type &&
                 (a.type == CUDA_R_32F ? out.type == CUDA_R_32F : a.type == CUDA_R_16BF) && d.scale == CUDA_R_32F;
    types = types &&
            (d.compute == CUBLAS_COMPUTE_32F || (d.compute == CUBLAS_COMPUTE_32F_FAST_TF32 && a.type == CUDA_R_32F));
    /* cublasLtMatmul's table of types: the bias is of D's type. */
    if (d.epilogue & CUBLASLT_EPILOGUE_BIAS) types = types && (d.bias_type < 0 || d.bias_type == (int32_t)out.type);
    return shapes && leading && types;
}

bool known(uint32_t epilogue) {
    return epilogue == CUBLASLT_EPILOGUE_DEFAULT || epilogue == CUBLASLT_EPILOGUE_BIAS ||
           epilogue == CUBLASLT_EPILOGUE_RELU_BIAS;
}

template <class T> T &as(void *opaque) { return *static_cast<T *>(opaque); }
template <class T> const T &as(const void *opaque) { return *static_cast<const T *>(opaque); }

template <class T> cublasStatus_t take(const void *value, size_t bytes, T *out) {
    if (bytes != sizeof(T) || value == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(out, value, bytes);
    return CUBLAS_STATUS_SUCCESS;
}

bool lies(const void *base, size_t bytes) {
    return (uintptr_t)base % ALIGNED == 0 && ta_fake::is_device(base, bytes);
}

} // namespace

extern "C" {

const char *cublasLtGetStatusName(cublasStatus_t status) {
    switch (status) {
    case CUBLAS_STATUS_SUCCESS: return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_SUPPORTED: return "CUBLAS_STATUS_NOT_SUPPORTED";
    case CUBLAS_STATUS_INVALID_VALUE: return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_ALLOC_FAILED: return "CUBLAS_STATUS_ALLOC_FAILED";
    default: return "CUBLAS_STATUS_EXECUTION_FAILED";
    }
}

const char *cublasLtGetStatusString(cublasStatus_t) { return "as cuBLASLt would say"; }

cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle) {
    if (ta_fake::sticky() != cudaSuccess) return CUBLAS_STATUS_NOT_INITIALIZED;
    *handle = reinterpret_cast<cublasLtHandle_t>(new uint64_t(MAGIC));
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
    delete reinterpret_cast<uint64_t *>(handle);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *out, cublasComputeType_t compute, cudaDataType_t scale) {
    Desc *desc = new Desc;
    desc->compute = compute;
    desc->scale = scale;
    *out = reinterpret_cast<cublasLtMatmulDesc_t>(desc);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc) {
    delete reinterpret_cast<Desc *>(desc);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t opaque, cublasLtMatmulDescAttributes_t which,
                                              const void *value, size_t bytes) {
    Desc &desc = as<Desc>(opaque);
    switch (which) {
    case CUBLASLT_MATMUL_DESC_TRANSA: return take(value, bytes, &desc.transposed_a);
    case CUBLASLT_MATMUL_DESC_TRANSB: return take(value, bytes, &desc.transposed_b);
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE: return take(value, bytes, &desc.bias_type);
    case CUBLASLT_MATMUL_DESC_EPILOGUE: return take(value, bytes, &desc.epilogue);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER: return take(value, bytes, &desc.bias);
    default: return CUBLAS_STATUS_NOT_SUPPORTED;
    }
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *out, cudaDataType type, uint64_t rows, uint64_t cols,
                                          int64_t leading) {
    if (type != CUDA_R_32F && type != CUDA_R_16BF) return CUBLAS_STATUS_NOT_SUPPORTED;
    *out = reinterpret_cast<cublasLtMatrixLayout_t>(new Layout{type, rows, cols, leading});
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
    delete reinterpret_cast<Layout *>(layout);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *out) {
    *out = reinterpret_cast<cublasLtMatmulPreference_t>(new Preference);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
    delete reinterpret_cast<Preference *>(preference);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t opaque,
                                                    cublasLtMatmulPreferenceAttributes_t which, const void *value,
                                                    size_t bytes) {
    Preference &p = as<Preference>(opaque);
    switch (which) {
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES: return take(value, bytes, &p.workspace);
    case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK: return take(value, bytes, &p.reduction);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES: return take(value, bytes, &p.alignment[0]);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES: return take(value, bytes, &p.alignment[1]);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES: return take(value, bytes, &p.alignment[2]);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES: return take(value, bytes, &p.alignment[3]);
    default: return CUBLAS_STATUS_NOT_SUPPORTED;
    }
}

/* One algorithm a product, which needs some workspace; the algorithm remembers the epilogue that it was found for. */
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t opaque, cublasLtMatrixLayout_t a,
                                              cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c,
                                              cublasLtMatrixLayout_t d, cublasLtMatmulPreference_t preference,
                                              int asked, cublasLtMatmulHeuristicResult_t found[], int *n) {
    const Desc &desc = as<Desc>(opaque);
    const Preference &p = as<Preference>(preference);
    const std::string option = ta_fake::option("cublaslt", "");
    *n = 0;
    if (asked < 1 || !known(desc.epilogue)) return CUBLAS_STATUS_INVALID_VALUE;
    if (!fits(desc, as<Layout>(a), as<Layout>(b), as<Layout>(c), as<Layout>(d))) return CUBLAS_STATUS_INVALID_VALUE;
    bool bias = desc.epilogue & CUBLASLT_EPILOGUE_BIAS, relu = desc.epilogue & CUBLASLT_EPILOGUE_RELU;
    if (bias && desc.bias == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
    if (option == "nothing" || (bias && option == "nobias") || (relu && option == "norelu"))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    if (*std::max_element(p.alignment, p.alignment + 4) > ALIGNED) return CUBLAS_STATUS_NOT_SUPPORTED;
    found[0] = cublasLtMatmulHeuristicResult_t{};
    found[0].algo.data[0] = MAGIC;
    found[0].algo.data[1] = desc.epilogue;
    found[0].workspaceSize = p.workspace >= WORKSPACE ? WORKSPACE : 0;
    found[0].state = CUBLAS_STATUS_SUCCESS;
    *n = 1;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t opaque, const void *alpha, const void *a,
                              cublasLtMatrixLayout_t a_layout, const void *b, cublasLtMatrixLayout_t b_layout,
                              const void *beta, const void *c, cublasLtMatrixLayout_t c_layout, void *d,
                              cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t *algo, void *workspace,
                              size_t workspace_bytes, cudaStream_t stream) {
    Product p = {as<Desc>(opaque), as<Layout>(a_layout), as<Layout>(b_layout), as<Layout>(d_layout),
                 static_cast<const unsigned char *>(a), static_cast<const unsigned char *>(b),
                 static_cast<unsigned char *>(d)};
    if (handle == nullptr || *reinterpret_cast<uint64_t *>(handle) != MAGIC) return CUBLAS_STATUS_NOT_INITIALIZED;
    if (*static_cast<const float *>(alpha) != 1 || *static_cast<const float *>(beta) != 0)
        return CUBLAS_STATUS_NOT_SUPPORTED;
    if (!fits(p.desc, p.a, p.b, as<Layout>(c_layout), p.d)) return CUBLAS_STATUS_INVALID_VALUE;
    if (algo == nullptr || algo->data[0] != MAGIC || algo->data[1] != p.desc.epilogue)
        return CUBLAS_STATUS_NOT_SUPPORTED;
    bool there = lies(a, p.a.bytes()) && lies(b, p.b.bytes()) && lies(d, p.d.bytes()) && c == d;
    if (p.desc.epilogue & CUBLASLT_EPILOGUE_BIAS) {
        if (p.desc.bias_type < 0) p.desc.bias_type = p.d.type;
        there = there && lies(p.desc.bias, p.d.rows * p.d.width());
    }
    if (workspace_bytes > 0) there = there && lies(workspace, workspace_bytes);
    if (!there) ta_fake::misuse("cublasLtMatmul: an address is not on the device, or not at %d bytes", (int)ALIGNED);
    cudaError_t error = ta_fake::queue(stream, "cublasLtMatmul", [p] { run(p); });
    return error == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}

size_t cublasLtGetVersion(void) { return CUBLAS_VERSION; }

} // extern "C"
