/* cublaslt: see the header. The only file of the product that includes cublasLt.h. */
#include <cublasLt.h>
#include <stdio.h>

#include "cublaslt_ops.h"
#include "gpu_cuda.h"
#include "mem.h"

enum { ALIGNMENT = 16, CANDIDATES = 8 };

struct ta_cublaslt {
    struct ta_gpu *gpu;
    cublasLtHandle_t handle;
};

struct ta_product {
    struct ta_cublaslt *owner;
    cublasLtMatmulDesc_t desc;
    cublasLtMatrixLayout_t b, a, d; /* in cuBLASLt's order: its first factor is our second */
    cublasLtMatmulAlgo_t algorithm;
    size_t workspace;
    enum ta_product_behind behind;
    char what[TA_LAYER_NAME_BYTES + 32];
};

static ta_status said(cublasStatus_t status, const char *what) {
    if (status == CUBLAS_STATUS_SUCCESS) return TA_OK;
    const char *cure = status == CUBLAS_STATUS_ALLOC_FAILED || status == CUBLAS_STATUS_NOT_INITIALIZED
                           ? "; lower stream.batch, or start fewer replicas on this GPU"
                           : "; see `tensair doctor`";
    return ta_fail(TA_DEVICE, "%s: cuBLASLt says '%s' (%s)%s", what, cublasLtGetStatusName(status),
                   cublasLtGetStatusString(status), cure);
}

ta_status ta_cublaslt_open(struct ta_gpu *gpu, struct ta_cublaslt **out) {
    *out = NULL;
    struct ta_cublaslt *c;
    ta_status status = TA_NEW(&c, 1, "cuBLASLt");
    if (status != TA_OK) return status;
    c->gpu = gpu;
    status = said(cublasLtCreate(&c->handle), "opening cuBLASLt");
    if (status == TA_OK)
        *out = c;
    else
        ta_mem_free(c);
    return status;
}

void ta_cublaslt_close(struct ta_cublaslt *c) {
    if (c == NULL) return;
    cublasLtDestroy(c->handle);
    ta_mem_free(c);
}

static ta_status set(struct ta_product *p, cublasLtMatmulDescAttributes_t which, const void *value, size_t bytes) {
    return said(cublasLtMatmulDescSetAttribute(p->desc, which, value, bytes), p->what);
}

/* A matrix of ours, [rows][cols], is one of cuBLASLt's with cols rows. */
static ta_status lay_out(struct ta_product *p, cudaDataType_t type, uint64_t rows, uint64_t cols,
                         cublasLtMatrixLayout_t *out) {
    return said(cublasLtMatrixLayoutCreate(out, type, cols, rows, (int64_t)cols), p->what);
}

static ta_status describe(struct ta_product *p, const struct ta_product_spec *s) {
    cudaDataType_t type = s->compute == TA_COMPUTE_BFLOAT16 ? CUDA_R_16BF : CUDA_R_32F;
    cudaDataType_t type_d = s->float32_d ? CUDA_R_32F : type;
    cublasComputeType_t compute = s->compute == TA_COMPUTE_TF32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    const int32_t first = s->transposed_b ? CUBLAS_OP_T : CUBLAS_OP_N;
    const int32_t second = s->transposed_a ? CUBLAS_OP_T : CUBLAS_OP_N;
    const int32_t bias_type = (int32_t)type_d;
    ta_status status = said(cublasLtMatmulDescCreate(&p->desc, compute, CUDA_R_32F), p->what);
    if (status == TA_OK) status = set(p, CUBLASLT_MATMUL_DESC_TRANSA, &first, sizeof first);
    if (status == TA_OK) status = set(p, CUBLASLT_MATMUL_DESC_TRANSB, &second, sizeof second);
    if (status == TA_OK && s->behind != TA_PRODUCT_NOTHING)
        status = set(p, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, &bias_type, sizeof bias_type);
    uint64_t b_rows = s->transposed_b ? s->n : s->k, b_cols = s->transposed_b ? s->k : s->n;
    uint64_t a_rows = s->transposed_a ? s->k : s->m, a_cols = s->transposed_a ? s->m : s->k;
    if (status == TA_OK) status = lay_out(p, type, b_rows, b_cols, &p->b);
    if (status == TA_OK) status = lay_out(p, type, a_rows, a_cols, &p->a);
    if (status == TA_OK) status = lay_out(p, type_d, s->m, s->n, &p->d);
    return status;
}

static ta_status prefer(struct ta_product *p, cublasLtMatmulPreference_t preference) {
    const uint64_t workspace = TA_PRODUCT_WORKSPACE;
    const uint32_t reduction = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE, alignment = ALIGNMENT;
    const cublasLtMatmulPreferenceAttributes_t aligned[] = {
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
    cublasStatus_t status = cublasLtMatmulPreferenceSetAttribute(
        preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                                                      &reduction, sizeof reduction);
    for (unsigned i = 0; i < 4 && status == CUBLAS_STATUS_SUCCESS; i++)
        status = cublasLtMatmulPreferenceSetAttribute(preference, aligned[i], &alignment, sizeof alignment);
    return said(status, p->what);
}

static ta_status set_behind(struct ta_product *p, enum ta_product_behind behind) {
    static const uint32_t epilogue[] = {[TA_PRODUCT_NOTHING] = CUBLASLT_EPILOGUE_DEFAULT,
                                        [TA_PRODUCT_BIAS] = CUBLASLT_EPILOGUE_BIAS,
                                        [TA_PRODUCT_BIAS_RELU] = CUBLASLT_EPILOGUE_RELU_BIAS};
    /* An algorithm is chosen by how the bias is aligned, not by where it lies. */
    const void *somewhere = behind == TA_PRODUCT_NOTHING ? NULL : (const void *)(uintptr_t)ALIGNMENT;
    p->behind = behind;
    ta_status status = set(p, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue[behind], sizeof epilogue[behind]);
    if (status != TA_OK) return status;
    return set(p, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &somewhere, sizeof(void *));
}

/* The best algorithm there is with this epilogue, if any: AGAIN if none. */
static ta_status choose(struct ta_product *p, cublasLtMatmulPreference_t preference) {
    cublasLtMatmulHeuristicResult_t found[CANDIDATES];
    int n = 0;
    cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(p->owner->handle, p->desc, p->b, p->a, p->d, p->d,
                                                           preference, CANDIDATES, found, &n);
    if (status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_INVALID_VALUE) return TA_AGAIN;
    if (status != CUBLAS_STATUS_SUCCESS) return said(status, p->what);
    for (int i = 0; i < n; i++) {
        if (found[i].state != CUBLAS_STATUS_SUCCESS || found[i].workspaceSize > TA_PRODUCT_WORKSPACE) continue;
        p->algorithm = found[i].algo;
        p->workspace = found[i].workspaceSize;
        return TA_OK;
    }
    return TA_AGAIN;
}

static ta_status build(struct ta_product *p, const struct ta_product_spec *s) {
    cublasLtMatmulPreference_t preference;
    ta_status status = describe(p, s);
    if (status == TA_OK) status = said(cublasLtMatmulPreferenceCreate(&preference), p->what);
    if (status != TA_OK) return status;
    status = prefer(p, preference);
    for (int behind = (int)s->behind; status == TA_OK && behind >= 0; behind--) {
        status = set_behind(p, (enum ta_product_behind)behind);
        if (status == TA_OK) status = choose(p, preference);
        if (status != TA_AGAIN) break;
        status = behind > 0
                     ? TA_OK
                     : ta_fail(TA_DEVICE,
                               "%s: cuBLASLt has no algorithm for a product of %llux%llu by %llux%llu on this GPU; "
                               "use device.type: cpu, or another device.compute",
                               p->what, (unsigned long long)s->m, (unsigned long long)s->k, (unsigned long long)s->k,
                               (unsigned long long)s->n);
    }
    cublasLtMatmulPreferenceDestroy(preference);
    return status;
}

ta_status ta_product_create(struct ta_cublaslt *c, const struct ta_product_spec *spec, struct ta_product **out) {
    *out = NULL;
    struct ta_product *p;
    ta_status status = TA_NEW(&p, 1, "a product of matrices");
    if (status != TA_OK) return status;
    p->owner = c;
    snprintf(p->what, sizeof p->what, "%s", spec->what);
    status = build(p, spec);
    if (status == TA_OK)
        *out = p;
    else
        ta_product_destroy(p);
    return status;
}

void ta_product_destroy(struct ta_product *p) {
    if (p == NULL) return;
    if (p->d != NULL) cublasLtMatrixLayoutDestroy(p->d);
    if (p->a != NULL) cublasLtMatrixLayoutDestroy(p->a);
    if (p->b != NULL) cublasLtMatrixLayoutDestroy(p->b);
    if (p->desc != NULL) cublasLtMatmulDescDestroy(p->desc);
    ta_mem_free(p);
}

enum ta_product_behind ta_product_behind(const struct ta_product *p) { return p->behind; }
size_t ta_product_workspace(const struct ta_product *p) { return p->workspace; }

ta_status ta_product_run(struct ta_product *p, const void *a, const void *b, const void *bias, void *d,
                         void *workspace) {
    const float one = 1, zero = 0;
    if (p->behind != TA_PRODUCT_NOTHING) {
        ta_status status = set(p, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof(void *));
        if (status != TA_OK) return status;
    }
    cudaStream_t stream = ta_gpu_cuda_stream(p->owner->gpu, TA_GPU_COMPUTE);
    return said(cublasLtMatmul(p->owner->handle, p->desc, &one, b, p->b, a, p->a, &zero, d, p->d, d, p->d,
                               &p->algorithm, workspace, p->workspace, stream),
                p->what);
}
