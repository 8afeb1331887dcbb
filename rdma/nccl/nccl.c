/* nccl: collective.h by NCCL, without blocking: every call that may be in progress when it returns is polled by state.
 */
#include <nccl.h>
#include <stdio.h>
#include <string.h>

#include "collective.h"
#include "mem.h"

_Static_assert(sizeof(ncclUniqueId) == sizeof(struct ta_collective_id), "an id is 128 bytes");

enum { SCALES = 4 };

struct scaled {
    float by;
    ncclRedOp_t op;
};

struct ta_collective {
    const struct ta_gpu_ops *gpu_ops;
    struct ta_gpu *gpu;
    unsigned rank, n;
    ncclComm_t comm;
    struct scaled scales[SCALES]; /* operators: sums of what was scaled before */
    unsigned n_scales;
    bool queued, marked; /* something is under way; it is launched, and `ticket` stands behind it */
    uint64_t ticket;
    ta_status failed; /* TA_OK, or how it ended */
    char why[512];
};

static int version(void) {
    int found = 0;
    return ncclGetVersion(&found) == ncclSuccess ? found : 0;
}

static ta_status make_id(struct ta_collective_id *out) {
    ncclUniqueId id;
    ncclResult_t said = ncclGetUniqueId(&id);
    memset(out, 0, sizeof *out);
    if (said != ncclSuccess)
        return ta_fail(TA_DEVICE,
                       "NCCL makes no id: %s (%s); it looks for a network interface that NCCL_SOCKET_IFNAME may name",
                       ncclGetErrorString(said), ncclGetLastError(NULL));
    memcpy(out->bytes, &id, sizeof id);
    return TA_OK;
}

/* What NCCL cannot do for a reason on our side is ours; what the system or a remote member did may be a peer's end. */
static ta_status kind_of(ncclResult_t said) {
    return said == ncclRemoteError || said == ncclSystemError ? TA_PEER : TA_DEVICE;
}

static const char *cure_of(ncclResult_t said) {
    switch (said) {
    case ncclRemoteError: return "a member has ended or is not reached any more";
    case ncclSystemError: return "a member has ended, or network or /dev/shm fail; NCCL_DEBUG=WARN says more";
    case ncclInvalidUsage:
        return "each replica of exchange.type sync needs a GPU of its own (not --replicas-per-gpu), and all the same "
               "NCCL; "
               "NCCL_DEBUG=WARN says more";
    case ncclUnhandledCudaError:
        return "look after the GPU (nvidia-smi, dmesg for 'NVRM: Xid'); NCCL_DEBUG=WARN says more";
    default: return "NCCL_DEBUG=WARN says more";
    }
}

/* The first failure is the one that stays. */
static ta_status failed(struct ta_collective *c, ncclResult_t said, const char *what) {
    if (c->failed == TA_OK) {
        const char *more = ncclGetLastError(c->comm);
        c->failed = kind_of(said);
        snprintf(c->why, sizeof c->why, "%s with %u GPUs: NCCL says '%s'%s%s; %s", what, c->n, ncclGetErrorString(said),
                 more != NULL && more[0] != '\0' ? ", last " : "", more != NULL ? more : "", cure_of(said));
    }
    return ta_fail(c->failed, "%s", c->why);
}

static ta_status failed_gpu(struct ta_collective *c, ta_status status) {
    c->failed = status;
    snprintf(c->why, sizeof c->why, "%s", ta_why());
    return status;
}

static void give_up(struct ta_collective *c) {
    if (c == NULL) return;
    (void)c->gpu_ops->stream(c->gpu, TA_GPU_PUT); /* NCCL's calls are about the GPU of this thread */
    if (c->comm != NULL) (void)ncclCommAbort(c->comm);
    ta_mem_free(c);
}

static ta_status open_nccl(const struct ta_collective_config *config, struct ta_collective **out) {
    struct ta_collective *c = NULL;
    ncclUniqueId id;
    ncclConfig_t how = NCCL_CONFIG_INITIALIZER;
    *out = NULL;
    if (config->rank >= config->n)
        return ta_fail(TA_INVALID, "collective: place %u of %u", config->rank, config->n);
    ta_status status = TA_NEW(&c, 1, "a collective");
    if (status != TA_OK) return status;
    c->gpu_ops = config->gpu_ops;
    c->gpu = config->gpu;
    c->rank = config->rank;
    c->n = config->n;
    memcpy(&id, config->id.bytes, sizeof id);
    how.blocking = 0;
    (void)c->gpu_ops->stream(c->gpu, TA_GPU_PUT);
    ncclResult_t said = ncclCommInitRankConfig(&c->comm, (int)c->n, id, (int)c->rank, &how);
    if (said != ncclSuccess && said != ncclInProgress) {
        status = failed(c, said, "coming together");
        give_up(c);
        return status;
    }
    *out = c;
    return TA_OK;
}

/* What was queued is launched by a thread of NCCL's; only then may a mark be put behind it. */
static ta_status state(struct ta_collective *c) {
    ncclResult_t now = ncclSuccess;
    if (c->failed != TA_OK) return ta_fail(c->failed, "%s", c->why);
    ncclResult_t said = ncclCommGetAsyncError(c->comm, &now);
    if (said == ncclSuccess) said = now;
    if (said == ncclInProgress) return TA_AGAIN;
    if (said != ncclSuccess) return failed(c, said, c->queued ? "exchanging" : "coming together");
    if (!c->queued) return TA_OK;
    ta_status status = TA_OK;
    if (!c->marked) status = c->gpu_ops->mark(c->gpu, TA_GPU_PUT, &c->ticket);
    c->marked = c->marked || status == TA_OK;
    if (status == TA_OK) status = c->gpu_ops->reached(c->gpu, TA_GPU_PUT, c->ticket);
    if (status == TA_AGAIN) return status;
    if (status != TA_OK) return failed_gpu(c, status);
    c->queued = c->marked = false;
    return TA_OK;
}

static ta_status begin(struct ta_collective *c) {
    ta_status status = c->queued ? TA_AGAIN : state(c);
    if (status == TA_AGAIN) return ta_fail(TA_INVALID, "collective: the last one is still under way: ask state first");
    if (status == TA_OK) status = c->gpu_ops->follow(c->gpu, TA_GPU_PUT, TA_GPU_COMPUTE);
    if (status == TA_OK) status = c->gpu_ops->follow(c->gpu, TA_GPU_PUT, TA_GPU_APPLY);
    return status;
}

/* The operator that multiplies by `by`, then sums. Made once; all are given back with the communicator. */
static ncclResult_t op_of(struct ta_collective *c, float by, ncclRedOp_t *out) {
    *out = ncclSum;
    if (by == 1) return ncclSuccess;
    for (unsigned i = 0; i < c->n_scales; i++) {
        *out = c->scales[i].op;
        if (c->scales[i].by == by) return ncclSuccess;
    }
    if (c->n_scales == SCALES) return ncclInvalidArgument;
    ncclResult_t said = ncclRedOpCreatePreMulSum(out, &by, ncclFloat32, ncclScalarHostImmediate, c->comm);
    if (said == ncclSuccess) c->scales[c->n_scales++] = (struct scaled){.by = by, .op = *out};
    return said;
}

static ta_status ended(struct ta_collective *c, ncclResult_t said, const char *what) {
    if (said != ncclSuccess && said != ncclInProgress) return failed(c, said, what);
    c->queued = true;
    return TA_OK;
}

/* In a group, so that all pieces are one launch. */
static ta_status all_reduce(struct ta_collective *c, const struct ta_collective_piece *pieces, size_t n) {
    ta_status status = begin(c);
    if (status != TA_OK) return status;
    ncclRedOp_t op;
    cudaStream_t stream = c->gpu_ops->stream(c->gpu, TA_GPU_PUT);
    for (size_t i = 0; i < n; i++) { /* before the group: making one is no part of it */
        ncclResult_t said = op_of(c, pieces[i].scale, &op);
        if (said != ncclSuccess) return failed(c, said, "scaling a sum");
    }
    ncclResult_t said = ncclGroupStart();
    for (size_t i = 0; i < n && (said == ncclSuccess || said == ncclInProgress); i++) {
        const struct ta_collective_piece *p = &pieces[i];
        if (p->floats == 0) continue;
        (void)op_of(c, p->scale, &op);
        said = ncclAllReduce(p->in, p->out, p->floats, ncclFloat32, op, c->comm, stream);
    }
    ncclResult_t end = ncclGroupEnd();
    if (said == ncclSuccess || said == ncclInProgress) said = end;
    return ended(c, said, "summing");
}

static ta_status broadcast(struct ta_collective *c, float *data, size_t floats, unsigned from) {
    ta_status status = begin(c);
    if (status != TA_OK) return status;
    if (from >= c->n) return ta_fail(TA_INVALID, "collective: a broadcast from place %u of %u", from, c->n);
    cudaStream_t stream = c->gpu_ops->stream(c->gpu, TA_GPU_PUT);
    return ended(c, ncclBroadcast(data, data, floats, ncclFloat32, (int)from, c->comm, stream), "broadcasting");
}

/* ncclCommFinalize would wait for the others, of whom some may be gone; nothing is under way, so there is nothing to
 * finish, and giving up is as good. */
static void close_nccl(struct ta_collective *c) { give_up(c); }

const struct ta_collective_ops ta_collective_nccl = {
    .name = "nccl",
    .version = version,
    .id = make_id,
    .open = open_nccl,
    .state = state,
    .all_reduce = all_reduce,
    .broadcast = broadcast,
    .abort = give_up,
    .close = close_nccl,
};
