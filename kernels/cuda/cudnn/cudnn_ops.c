/* cudnn_ops: opening cuDNN; an op from its graph to its runs. */
#include "cudnn_ops.h"

#include <stdio.h>
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
        cure = "; all files of cuDNN must be of one version, where the loader finds them (package cudnn9-cuda-13)";
    if (status == CUDNN_STATUS_NOT_INITIALIZED)
        cure = "; is the driver new enough for this cuDNN, and is there memory left on the GPU?";
    return ta_fail(TA_DEVICE, "%s: cuDNN %zu says '%s'%s%s%s", what, cudnnGetVersion(), cudnnGetErrorString(status),
                   message[0] != '\0' ? ": " : "", message, cure);
}

static ta_status check_version(void) {
    size_t found = cudnnGetVersion(), built = CUDNN_VERSION;
    if (found / 10000 == built / 10000) return TA_OK;
    return ta_fail(TA_DEVICE, "cuDNN: this program was built with version %zu and found version %zu; install cuDNN %zu "
                   "(package cudnn9-cuda-13), or build again with the one that is there", built, found, built / 10000);
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
    c->candidates = config->candidates > 0 ? config->candidates : 1;
    if (c->candidates > TA_CUDNN_CANDIDATES) c->candidates = TA_CUDNN_CANDIDATES;
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
    if (c->handle != NULL) (void)cudnnDestroy(c->handle);
    if (c->device != NULL) (void)cudnnBackendDestroyDescriptor(c->device);
    ta_mem_free(c);
}

static const char *kind_name(enum ta_cudnn_kind kind) {
    static const char *const names[] = {
        [TA_CUDNN_CONV_FORWARD] = "conv_forward", [TA_CUDNN_CONV_DATA] = "conv_data",
        [TA_CUDNN_CONV_FILTER] = "conv_filter",   [TA_CUDNN_POOL_FORWARD] = "pool_forward",
        [TA_CUDNN_POOL_BACKWARD] = "pool_backward", [TA_CUDNN_NORM_FORWARD] = "norm_forward",
        [TA_CUDNN_NORM_BACKWARD] = "norm_backward",
    };
    return kind < TA_CUDNN_KINDS ? names[kind] : "unknown";
}

static void say_shape(struct ta_cudnn_op *op, const struct ta_cudnn_spec *s) {
    static const char *const types[] = {"float32", "tf32", "bfloat16"};
    const struct ta_layer *l = s->layer;
    int n = snprintf(op->shape, sizeof op->shape, "%s %ux%ux%ux%u", kind_name(s->kind), s->batch, l->in.h, l->in.w,
                     l->in.c);
    if (s->kind < TA_CUDNN_NORM_FORWARD && n > 0 && (size_t)n < sizeof op->shape)
        n += snprintf(op->shape + n, sizeof op->shape - (size_t)n, ", %ux%u / %u -> %ux%ux%u", l->kernel_h, l->kernel_w,
                      l->stride_h, l->out.h, l->out.w, l->out.c);
    if (n > 0 && (size_t)n < sizeof op->shape)
        (void)snprintf(op->shape + n, sizeof op->shape - (size_t)n, ", %s%s", types[s->compute],
                       s->behind == TA_CUDNN_NOTHING ? "" : s->behind == TA_CUDNN_BIAS ? ", bias" : ", bias, relu");
}

static void say_engine(struct ta_cudnn_op *op) {
    (void)snprintf(op->says, sizeof op->says, "%s: engine %lld, 1 of %u, %lld bytes of workspace", op->shape,
                   (long long)op->engine[0], op->n_plans, (long long)op->workspace[0]);
}

static ta_status create(struct ta_cudnn_op *op, const struct ta_cudnn_spec *spec) {
    struct ta_cudnn_graph *g = &op->graph;
    if (spec->kind <= TA_CUDNN_CONV_FILTER) ta_graph_conv(g, spec);
    else if (spec->kind <= TA_CUDNN_POOL_BACKWARD) ta_graph_pool(g, spec);
    else ta_graph_norm(g, spec);
    ta_graph_close(g, op->c);
    if (CUDNN_STATUS_CATEGORY(g->status) == CUDNN_STATUS_NOT_SUPPORTED) {
        (void)ta_cudnn_said(op->c, g->status, op->shape);
        return TA_OK;
    }
    if (g->status != CUDNN_STATUS_SUCCESS) {
        char what[TA_CUDNN_SAYS_BYTES];
        (void)snprintf(what, sizeof what, "%s: %s", op->shape, g->where);
        return ta_cudnn_said(op->c, g->status, what);
    }
    return ta_cudnn_engines(op, spec->compute);
}

ta_status ta_cudnn_op_create(struct ta_cudnn *c, const struct ta_cudnn_spec *spec, struct ta_cudnn_op **out) {
    struct ta_cudnn_op *op;
    *out = NULL;
    ta_status status = TA_NEW(&op, 1, "an operation of cuDNN");
    if (status != TA_OK) return status;
    op->c = c;
    say_shape(op, spec);
    status = create(op, spec);
    if (status != TA_OK || op->n_plans == 0) {
        ta_cudnn_op_destroy(op);
        return status;
    }
    say_engine(op);
    *out = op;
    return TA_OK;
}

static void drop_plans(struct ta_cudnn_op *op, unsigned keep) {
    while (op->n_plans > keep) (void)cudnnBackendDestroyDescriptor(op->plan[--op->n_plans]);
}

void ta_cudnn_op_destroy(struct ta_cudnn_op *op) {
    if (op == NULL) return;
    if (op->pack != NULL) (void)cudnnBackendDestroyDescriptor(op->pack);
    drop_plans(op, 0);
    ta_graph_destroy(&op->graph);
    ta_mem_free(op);
}

size_t ta_cudnn_op_workspace(const struct ta_cudnn_op *op) {
    int64_t most = 0;
    for (unsigned i = 0; i < op->n_plans; i++) most = op->workspace[i] > most ? op->workspace[i] : most;
    return (size_t)most;
}

const char *ta_cudnn_op_describe(const struct ta_cudnn_op *op) { return op->says; }

/* The addresses as cuDNN wants them; kept while they stay the same. */
static cudnnStatus_t bind(struct ta_cudnn_op *op, void *const tensors[TA_CUDNN_ROLES], void *workspace) {
    int64_t uids[TA_CUDNN_ROLES + 1], n = 0;
    void *addresses[TA_CUDNN_ROLES + 1];
    bool same = op->pack != NULL && op->bound_workspace == workspace;
    for (unsigned r = 0; r < TA_CUDNN_ROLES; r++) {
        if ((op->graph.roles >> r & 1) == 0) continue;
        same = same && op->bound[r] == tensors[r];
        op->bound[r] = tensors[r];
        uids[n] = (int64_t)r + 1;
        addresses[n++] = tensors[r];
    }
    if (same) return CUDNN_STATUS_SUCCESS;
    if (op->graph.has_epsilon) uids[n] = TA_CUDNN_EPSILON_UID, addresses[n++] = &op->graph.epsilon;
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

ta_status ta_cudnn_op_run(struct ta_cudnn_op *op, void *const tensors[TA_CUDNN_ROLES], void *workspace) {
    if (op->c->handle == NULL) return ta_fail(TA_INVALID, "%s: made for a device that is not here", op->shape);
    cudnnStatus_t status = bind(op, tensors, workspace);
    if (status == CUDNN_STATUS_SUCCESS) status = cudnnBackendExecute(op->c->handle, op->plan[0], op->pack);
    return status == CUDNN_STATUS_SUCCESS ? TA_OK : ta_cudnn_said(op->c, status, op->shape);
}

/* Milliseconds of plan i, the best of some runs; negative: it does not run here. */
static ta_status time_plan(struct ta_cudnn_op *op, unsigned i, cudaEvent_t from, cudaEvent_t to, float *milliseconds) {
    struct ta_cudnn *c = op->c;
    cudaError_t error = cudaSuccess;
    *milliseconds = -1;
    for (unsigned run = 0; run <= TUNE_RUNS && error == cudaSuccess; run++) {
        float took = 0;
        error = cudaEventRecord(from, c->stream);
        if (error == cudaSuccess && cudnnBackendExecute(c->handle, op->plan[i], op->pack) != CUDNN_STATUS_SUCCESS) {
            *milliseconds = -1;
            break;
        }
        if (error == cudaSuccess) error = cudaEventRecord(to, c->stream);
        if (error == cudaSuccess) error = cudaEventSynchronize(to);
        if (error == cudaSuccess) error = cudaEventElapsedTime(&took, from, to);
        if (run == 0) continue; /* it loads kernels */
        if (*milliseconds < 0 || took < *milliseconds) *milliseconds = took;
    }
    return error == cudaSuccess ? TA_OK : ta_gpu_said(c->gpu, error, op->shape);
}

static void prefer(struct ta_cudnn_op *op, unsigned best) {
    ta_desc plan = op->plan[best];
    op->plan[best] = op->plan[0], op->plan[0] = plan;
    op->engine[0] = op->engine[best];
    op->workspace[0] = op->workspace[best];
    unsigned of = op->n_plans;
    drop_plans(op, 1);
    say_engine(op);
    size_t n = strlen(op->says);
    (void)snprintf(op->says + n, sizeof op->says - n, ", the fastest of %u", of);
}

ta_status ta_cudnn_op_tune(struct ta_cudnn_op *op, void *const tensors[TA_CUDNN_ROLES], void *workspace) {
    if (op->c->handle == NULL) return ta_fail(TA_INVALID, "%s: made for a device that is not here", op->shape);
    if (op->n_plans < 2) return TA_OK;
    cudaEvent_t from = NULL, to = NULL;
    float least = -1;
    unsigned best = 0;
    ta_status status = ta_cudnn_said(op->c, bind(op, tensors, workspace), op->shape);
    if (status == TA_OK) status = ta_gpu_said(op->c->gpu, cudaEventCreate(&from), "an event");
    if (status == TA_OK) status = ta_gpu_said(op->c->gpu, cudaEventCreate(&to), "an event");
    for (unsigned i = 0; i < op->n_plans && status == TA_OK; i++) {
        float took;
        status = time_plan(op, i, from, to, &took);
        if (status == TA_OK && took >= 0 && (least < 0 || took < least)) least = took, best = i;
    }
    if (status == TA_OK) prefer(op, best);
    if (from != NULL) (void)cudaEventDestroy(from);
    if (to != NULL) (void)cudaEventDestroy(to);
    return status;
}
