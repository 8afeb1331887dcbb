/* engines: which of cuDNN's engines runs a graph. Heuristics propose configurations of engines, best first; those that
 * break a promise of kernels.h are left out, and the first that can be made into a plan is taken. */
#include <stdio.h>
#include <string.h>

#include "graph.h"

enum { PROPOSALS = 64 };

/* What one list of proposals was, and what became of it. */
struct search {
    struct ta_cudnn *c;
    struct ta_cudnn_plans *plans;
    enum ta_compute compute;
    int64_t workspace_limit;
    unsigned wanted, broken, too_large; /* broken: proposals that break a promise */
    cudnnStatus_t refused;              /* the last refusal */
    char message[256];
};

static void refuse(struct search *s, cudnnStatus_t status) {
    s->refused = status;
    s->message[0] = '\0';
    cudnnGetLastErrorString(s->message, sizeof s->message);
}

/* Not a refusal of what was asked for, but a machine that does not work. A failed execution is none yet: what one
 * engine compiles may not load (EXECUTION_FAILED_CUDA_DRIVER) where another has its kernels ready. */
static bool is_failure(cudnnStatus_t status) {
    return status == CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED ||
           status == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED || status == CUDNN_STATUS_NOT_INITIALIZED;
}

static bool breaks_promise(const struct search *s, cudnnBackendNumericalNote_t note) {
    switch (note) {
    case CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC:
    case CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION:
    case CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_6x6: /* they lose digits that float32 and TF32 still have */
    case CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13: return true;
    case CUDNN_NUMERICAL_NOTE_TENSOR_CORE: return s->compute == TA_COMPUTE_FLOAT32; /* by TF32 */
    case CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS: return s->compute != TA_COMPUTE_BFLOAT16;
    default: return false;
    }
}

/* The engine's number and whether it keeps the promises. */
static cudnnStatus_t look(const struct search *s, ta_desc config, int64_t *number, bool *good) {
    cudnnBackendNumericalNote_t notes[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
    int64_t n = 0, one = 0;
    ta_desc engine = NULL;
    cudnnStatus_t status = cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINE_DESCRIPTOR, &engine);
    if (status == CUDNN_STATUS_SUCCESS)
        status = cudnnBackendGetAttribute(config, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &one,
                                          &engine);
    if (status == CUDNN_STATUS_SUCCESS)
        status = cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &one, number);
    if (status == CUDNN_STATUS_SUCCESS)
        status = cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                                          CUDNN_NUMERICAL_NOTE_TYPE_COUNT, &n, notes);
    *good = status == CUDNN_STATUS_SUCCESS;
    for (int64_t i = 0; i < n && i < CUDNN_NUMERICAL_NOTE_TYPE_COUNT && *good; i++)
        *good = !breaks_promise(s, notes[i]);
    if (engine != NULL) (void)cudnnBackendDestroyDescriptor(engine);
    return status;
}

static cudnnStatus_t make_plan(struct search *s, ta_desc config, ta_desc *plan, int64_t *workspace) {
    struct ta_cudnn *c = s->c;
    int64_t one = 0;
    cudnnStatus_t status = cudnnBackendCreateDescriptor(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, plan);
    if (status == CUDNN_STATUS_SUCCESS)
        status = cudnnBackendSetAttribute(*plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                                          1, &config);
    if (status == CUDNN_STATUS_SUCCESS && c->handle != NULL)
        status = cudnnBackendSetAttribute(*plan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &c->handle);
    if (status == CUDNN_STATUS_SUCCESS && c->device != NULL)
        status = cudnnBackendSetAttribute(*plan, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                                          &c->device);
    if (status == CUDNN_STATUS_SUCCESS) status = cudnnBackendFinalize(*plan);
    if (status == CUDNN_STATUS_SUCCESS)
        status = cudnnBackendGetAttribute(*plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &one,
                                          workspace);
    return status;
}

/* Takes a proposal, or leaves it. Anything but success is a failure. */
static cudnnStatus_t consider(struct search *s, ta_desc config) {
    struct ta_cudnn_plans *p = s->plans;
    ta_desc plan = NULL;
    int64_t number = -1, workspace = 0;
    bool good = false;
    cudnnStatus_t status = look(s, config, &number, &good);
    if (status == CUDNN_STATUS_SUCCESS && !good) {
        s->broken++;
        return CUDNN_STATUS_SUCCESS;
    }
    if (status == CUDNN_STATUS_SUCCESS) status = make_plan(s, config, &plan, &workspace);
    if (status == CUDNN_STATUS_SUCCESS && workspace <= s->workspace_limit) {
        p->plan[p->n] = plan;
        p->engine[p->n] = number;
        p->workspace[p->n++] = workspace;
        return CUDNN_STATUS_SUCCESS;
    }
    if (status != CUDNN_STATUS_SUCCESS) refuse(s, status);
    else s->too_large++;
    if (plan != NULL) (void)cudnnBackendDestroyDescriptor(plan);
    return is_failure(status) ? status : CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t consider_all(struct search *s, ta_desc heuristic) {
    ta_desc proposal[PROPOSALS] = {0};
    int64_t n = 0, made = 0;
    cudnnStatus_t status = CUDNN_STATUS_SUCCESS;
    while (made < PROPOSALS && status == CUDNN_STATUS_SUCCESS) {
        status = cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &proposal[made]);
        if (status == CUDNN_STATUS_SUCCESS) made++;
    }
    if (status == CUDNN_STATUS_SUCCESS)
        status = cudnnBackendGetAttribute(heuristic, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                                          PROPOSALS, &n, proposal);
    if (status != CUDNN_STATUS_SUCCESS) refuse(s, status);
    if (status != CUDNN_STATUS_SUCCESS && !is_failure(status)) n = 0, status = CUDNN_STATUS_SUCCESS;
    for (int64_t i = 0; i < n && i < made && s->plans->n < s->wanted && status == CUDNN_STATUS_SUCCESS; i++)
        status = consider(s, proposal[i]);
    while (made > 0) (void)cudnnBackendDestroyDescriptor(proposal[--made]);
    return status;
}

static cudnnStatus_t ask(struct search *s, cudnnBackendHeurMode_t mode) {
    struct ta_cudnn *c = s->c;
    ta_desc heuristic = NULL;
    cudnnStatus_t status = cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, &heuristic);
    if (status == CUDNN_STATUS_SUCCESS)
        status = cudnnBackendSetAttribute(heuristic, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH,
                                          CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &s->plans->graph.whole);
    if (status == CUDNN_STATUS_SUCCESS)
        status = cudnnBackendSetAttribute(heuristic, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
    if (status == CUDNN_STATUS_SUCCESS && c->device != NULL)
        status = cudnnBackendSetAttribute(heuristic, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                                          &c->device);
    if (status == CUDNN_STATUS_SUCCESS) status = cudnnBackendFinalize(heuristic);
    if (status == CUDNN_STATUS_SUCCESS) status = consider_all(s, heuristic);
    else {
        refuse(s, status);
        if (!is_failure(status)) status = CUDNN_STATUS_SUCCESS;
    }
    if (heuristic != NULL) (void)cudnnBackendDestroyDescriptor(heuristic);
    return status;
}

ta_status ta_cudnn_engines(struct ta_cudnn *c, struct ta_cudnn_plans *p, enum ta_compute compute) {
    static const cudnnBackendHeurMode_t modes[] = {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_B, CUDNN_HEUR_MODE_FALLBACK};
    struct search s = {.c = c, .plans = p, .compute = compute};
    s.workspace_limit = c->workspace;
    s.wanted = c->candidates;
    for (size_t i = 0; i < sizeof modes / sizeof modes[0] && p->n == 0; i++) {
        cudnnStatus_t status = ask(&s, modes[i]);
        if (status != CUDNN_STATUS_SUCCESS) return ta_cudnn_said(c, status, p->shape);
    }
    if (p->n > 0) return TA_OK;
    const char *said = s.refused != CUDNN_STATUS_SUCCESS ? cudnnGetErrorString(s.refused) : "it proposes no other";
    (void)ta_fail(TA_DEVICE, "%s: cuDNN has no engine for it: %u break a promise (the same bits in every run, sums in "
                  "float32), %u need more than %lld bytes of workspace; %s%s%s", p->shape, s.broken, s.too_large,
                  (long long)s.workspace_limit, said, s.message[0] != '\0' ? ": " : "", s.message);
    return TA_OK;
}
