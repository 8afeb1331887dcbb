/* cudnn_ops: opening cuDNN; an op from its graph to its runs. */
#include "cudnn_ops.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph.h"
#include "mem.h"

enum { DEFAULT_WORKSPACE = 1 << 30, TUNE_RUNS = 4 };

size_t ta_cudnn_version(void) { return cudnnGetVersion(); }

ta_status ta_cudnn_said(struct ta_cudnn *c, cudnnStatus_t status, const char *what) {
    char message[512] = "";
    if (status == CUDNN_STATUS_SUCCESS) return TA_OK;
    cudnnGetLastErrorString(message, sizeof message);
    /* A lost GPU shows as a failed execution; CUDA knows better, and remembers it for the whole GPU. */
    cudaError_t error = cudaSuccess;
    if (CUDNN_STATUS_CATEGORY(status) == CUDNN_STATUS_EXECUTION_FAILED) error = cudaPeekAtLastError();
    if (error != cudaSuccess) return ta_gpu_said(c != NULL ? c->gpu : NULL, error, what);
    const char *cure = "";
    if (status == CUDNN_STATUS_SUBLIBRARY_VERSION_MISMATCH || status == CUDNN_STATUS_SUBLIBRARY_LOADING_FAILED)
        cure = "; all files of cuDNN must be of one version, where the loader finds them (package libcudnn9-cuda-13)";
    if (status == CUDNN_STATUS_NOT_INITIALIZED)
        cure = "; is the driver new enough for this cuDNN, and is there memory left on the GPU?";
    return ta_fail(TA_DEVICE, "%s: cuDNN %zu says '%s'%s%s%s", what, cudnnGetVersion(), cudnnGetErrorString(status),
                   message[0] != '\0' ? ": " : "", message, cure);
}

static ta_status check_version(void) {
    size_t found = cudnnGetVersion(), built = CUDNN_VERSION;
    if (found / 10000 == built / 10000) return TA_OK;
    return ta_fail(TA_DEVICE, "cuDNN: this program was built with version %zu and found version %zu; install cuDNN %zu "
                   "(package libcudnn9-cuda-13), or build again with the one that is there", built, found,
                   built / 10000);
}

/* Properties of a device that is not here. */
static ta_status describe_device(struct ta_cudnn *c, const char *json) {
    cudnnStatus_t status = cudnnBackendCreateDescriptor(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, &c->device);
    if (status == CUDNN_STATUS_SUCCESS)
        status = cudnnBackendSetAttribute(c->device, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
                                          (int64_t)strlen(json), json);
    if (status == CUDNN_STATUS_SUCCESS) status = cudnnBackendFinalize(c->device);
    return ta_cudnn_said(c, status, "the properties of a device");
}

static ta_status connect(struct ta_cudnn *c) {
    c->stream = ta_gpu_cuda_stream(c->gpu, TA_GPU_COMPUTE);
    cudnnStatus_t status = cudnnCreate(&c->handle);
    if (status == CUDNN_STATUS_SUCCESS) status = cudnnSetStream(c->handle, c->stream);
    return ta_cudnn_said(c, status, "opening cuDNN");
}

static unsigned candidates(const struct ta_cudnn_config *config) {
    const char *asked = getenv("TENSAIR_AUTOTUNE");
    unsigned long n = config->candidates;
    if (n == 0 && asked != NULL) n = strtoul(asked, NULL, 10);
    if (n > TA_CUDNN_CANDIDATES) return TA_CUDNN_CANDIDATES;
    return n > 0 ? (unsigned)n : 1;
}

ta_status ta_cudnn_open(const struct ta_cudnn_config *config, struct ta_cudnn **out) {
    struct ta_cudnn *c = NULL;
    *out = NULL;
    if (config->gpu == NULL && config->device == NULL)
        return ta_fail(TA_INVALID, "cuDNN: neither a GPU nor its description");
    ta_status status = check_version();
    if (status == TA_OK) status = TA_NEW(&c, 1, "cuDNN");
    if (status != TA_OK) return status;
    c->gpu = config->gpu;
    c->workspace = config->workspace > 0 ? (int64_t)config->workspace : DEFAULT_WORKSPACE;
    c->candidates = candidates(config);
    status = c->gpu != NULL ? connect(c) : describe_device(c, config->device);
    if (status != TA_OK) {
        ta_cudnn_close(c);
        return status;
    }
    *out = c;
    return TA_OK;
}

void ta_cudnn_close(struct ta_cudnn *c) {
    if (c == NULL) return;
    ta_cudnn_plans_destroy(c);
    if (c->handle != NULL) (void)cudnnDestroy(c->handle);
    if (c->device != NULL) (void)cudnnBackendDestroyDescriptor(c->device);
    ta_mem_free(c);
}

ta_status ta_cudnn_op_create(struct ta_cudnn *c, const struct ta_cudnn_spec *spec, struct ta_cudnn_op **out) {
    struct ta_cudnn_op *op;
    struct ta_cudnn_plans *plans;
    *out = NULL;
    ta_status status = ta_cudnn_plans_find(c, spec, &plans);
    if (status != TA_OK) return status;
    if (plans->n == 0) {
        (void)ta_fail(TA_DEVICE, "%s", plans->says);
        return TA_OK;
    }
    status = TA_NEW(&op, 1, "an operation of cuDNN");
    if (status != TA_OK) return status;
    op->c = c;
    op->plans = plans;
    *out = op;
    return TA_OK;
}

void ta_cudnn_op_destroy(struct ta_cudnn_op *op) {
    if (op == NULL) return;
    if (op->pack != NULL) (void)cudnnBackendDestroyDescriptor(op->pack);
    ta_mem_free(op);
}

size_t ta_cudnn_op_workspace(const struct ta_cudnn_op *op) {
    int64_t most = 0;
    const struct ta_cudnn_plans *p = op->plans;
    for (unsigned i = 0; i < p->n; i++) most = p->workspace[i] > most ? p->workspace[i] : most;
    return (size_t)most;
}

const char *ta_cudnn_op_describe(const struct ta_cudnn_op *op) { return op->plans->says; }

/* The addresses as cuDNN wants them; kept while they stay the same. */
static cudnnStatus_t bind(struct ta_cudnn_op *op, void *const tensors[TA_CUDNN_ROLES], void *workspace) {
    int64_t uids[TA_CUDNN_ROLES + 1], n = 0;
    void *addresses[TA_CUDNN_ROLES + 1];
    bool same = op->pack != NULL && op->bound_workspace == workspace;
    for (unsigned r = 0; r < TA_CUDNN_ROLES; r++) {
        if ((op->plans->graph.roles >> r & 1) == 0) continue;
        same = same && op->bound[r] == tensors[r];
        op->bound[r] = tensors[r];
        uids[n] = (int64_t)r + 1;
        addresses[n++] = tensors[r];
    }
    if (same) return CUDNN_STATUS_SUCCESS;
    if (op->plans->graph.has_epsilon) uids[n] = TA_CUDNN_EPSILON_UID, addresses[n++] = &op->plans->graph.epsilon;
    op->bound_workspace = workspace;
    if (op->pack != NULL) (void)cudnnBackendDestroyDescriptor(op->pack);
    op->pack = NULL;
    ta_desc pack = NULL;
    cudnnStatus_t status = cudnnBackendCreateDescriptor(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, &pack);
    if (status != CUDNN_STATUS_SUCCESS) return status;
    status = cudnnBackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, n, addresses);
    if (status == CUDNN_STATUS_SUCCESS)
        status = cudnnBackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, n, uids);
    if (status == CUDNN_STATUS_SUCCESS)
        status = cudnnBackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace);
    if (status == CUDNN_STATUS_SUCCESS) status = cudnnBackendFinalize(pack);
    if (status == CUDNN_STATUS_SUCCESS) op->pack = pack;
    else (void)cudnnBackendDestroyDescriptor(pack);
    return status;
}

/* Milliseconds of plan i, the best of some runs; negative: it does not run here. */
static ta_status time_plan(struct ta_cudnn_op *op, unsigned i, cudaEvent_t from, cudaEvent_t to, float *milliseconds) {
    struct ta_cudnn *c = op->c;
    cudaError_t error = cudaSuccess;
    *milliseconds = -1;
    for (unsigned run = 0; run <= TUNE_RUNS && error == cudaSuccess; run++) {
        float took = 0;
        error = cudaEventRecord(from, c->stream);
        if (error != cudaSuccess) break;
        if (cudnnBackendExecute(c->handle, op->plans->plan[i], op->pack) != CUDNN_STATUS_SUCCESS) {
            *milliseconds = -1;
            break;
        }
        error = cudaEventRecord(to, c->stream);
        if (error == cudaSuccess) error = cudaEventSynchronize(to);
        if (error == cudaSuccess) error = cudaEventElapsedTime(&took, from, to);
        if (run == 0) continue; /* it loads kernels */
        if (*milliseconds < 0 || took < *milliseconds) *milliseconds = took;
    }
    return error == cudaSuccess ? TA_OK : ta_gpu_said(c->gpu, error, op->plans->shape);
}

/* Times the candidates on the tensors bound and keeps the fastest. */
static ta_status tune(struct ta_cudnn_op *op) {
    cudaEvent_t from = NULL, to = NULL;
    float least = -1;
    unsigned best = 0;
    ta_status status = ta_gpu_said(op->c->gpu, cudaEventCreate(&from), "an event");
    if (status == TA_OK) status = ta_gpu_said(op->c->gpu, cudaEventCreate(&to), "an event");
    for (unsigned i = 0; i < op->plans->n && status == TA_OK; i++) {
        float took;
        status = time_plan(op, i, from, to, &took);
        if (status == TA_OK && took >= 0 && (least < 0 || took < least)) least = took, best = i;
    }
    if (status == TA_OK) ta_cudnn_plans_keep(op->plans, best);
    if (from != NULL) (void)cudaEventDestroy(from);
    if (to != NULL) (void)cudaEventDestroy(to);
    return status;
}

static ta_status tune_unless_captured(struct ta_cudnn_op *op) {
    enum cudaStreamCaptureStatus captured = cudaStreamCaptureStatusNone;
    cudaError_t error = cudaStreamIsCapturing(op->c->stream, &captured);
    if (error != cudaSuccess) return ta_gpu_said(op->c->gpu, error, op->plans->shape);
    return captured == cudaStreamCaptureStatusNone ? tune(op) : TA_OK;
}

ta_status ta_cudnn_op_run(struct ta_cudnn_op *op, void *const tensors[TA_CUDNN_ROLES], void *workspace) {
    if (op->c->handle == NULL) return ta_fail(TA_INVALID, "%s: made for a device that is not here", op->plans->shape);
    cudnnStatus_t status = bind(op, tensors, workspace);
    if (status == CUDNN_STATUS_SUCCESS && op->plans->n > 1) {
        ta_status tuned = tune_unless_captured(op);
        if (tuned != TA_OK) return tuned;
    }
    if (status == CUDNN_STATUS_SUCCESS) status = cudnnBackendExecute(op->c->handle, op->plans->plan[0], op->pack);
    return status == CUDNN_STATUS_SUCCESS ? TA_OK : ta_cudnn_said(op->c, status, op->plans->shape);
}
