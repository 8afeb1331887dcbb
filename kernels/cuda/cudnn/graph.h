/* graph: the inside of this folder: cuDNN's descriptors, gathered into a graph of operations, and the ops made of it.
 */
#ifndef TA_CUDNN_GRAPH_H
#define TA_CUDNN_GRAPH_H

#include <cudnn.h>

#include "cudnn_ops.h"
#include "gpu_cuda.h"

typedef cudnnBackendDescriptor_t ta_desc;

struct ta_cudnn_plans;

struct ta_cudnn {
    cudnnHandle_t handle; /* NULL: the device is `device`, and nothing can be run */
    ta_desc device;       /* properties of a device that is not here; or NULL */
    cudaStream_t stream;
    struct ta_gpu *gpu;
    int64_t workspace;
    unsigned candidates;
    struct ta_cudnn_plans *plans; /* all that were made, until the end: some take a second to compile */
};

enum { TA_CUDNN_DESCS = 40, TA_CUDNN_OPERATIONS = 3, TA_CUDNN_CANDIDATES = 16, TA_CUDNN_SAYS_BYTES = 320 };

/* Descriptors of one graph. The first call that fails is remembered and makes all later ones do nothing. */
struct ta_cudnn_graph {
    ta_desc made[TA_CUDNN_DESCS], operation[TA_CUDNN_OPERATIONS], whole;
    unsigned n_made, n_operations;
    uint32_t roles;   /* bit r: role r is an address that the caller gives */
    int64_t n_hidden; /* tensors between the operations, which lie nowhere */
    float epsilon;    /* what TA_CUDNN_EPSILON_UID stands for */
    bool has_epsilon;
    cudnnStatus_t status;
    const char *where; /* what failed */
};

/* The number of a role's tensor is role + 1. */
enum { TA_CUDNN_EPSILON_UID = 100, TA_CUDNN_HIDDEN_UID = 200 };

ta_desc ta_graph_make(struct ta_cudnn_graph *g, cudnnBackendDescriptorType_t type);
void ta_graph_set(struct ta_cudnn_graph *g, ta_desc d, cudnnBackendAttributeName_t name,
                  cudnnBackendAttributeType_t type, int64_t n, const void *values);
void ta_graph_desc(struct ta_cudnn_graph *g, ta_desc d, cudnnBackendAttributeName_t name, ta_desc value);
void ta_graph_finalize(struct ta_cudnn_graph *g, ta_desc d, const char *what);
/* Finalises an operation and puts it behind the others. */
void ta_graph_append(struct ta_cudnn_graph *g, ta_desc operation, const char *what);
/* `records` images of `shape`, channels last. A kernel is out_c images. */
ta_desc ta_graph_tensor(struct ta_cudnn_graph *g, enum ta_cudnn_role role, cudnnDataType_t type, uint32_t records,
                        struct ta_shape shape);
/* What one operation hands to the next: float32, never in memory. */
ta_desc ta_graph_hidden(struct ta_cudnn_graph *g, uint32_t records, struct ta_shape shape);
ta_desc ta_graph_epsilon(struct ta_cudnn_graph *g, float epsilon);
/* All operations as a graph. */
void ta_graph_close(struct ta_cudnn_graph *g, const struct ta_cudnn *c);
void ta_graph_destroy(struct ta_cudnn_graph *g);

/* What makes two operations the same: bytes to be compared. */
struct ta_cudnn_key {
    int32_t kind, compute, behind, float32_dw, layer;
    uint32_t batch;
    struct ta_shape in, out;
    uint32_t kernel[2], stride[2], pad[4];
    float epsilon;
};

/* How an operation on one shape is run; shared by all ops of that shape. */
struct ta_cudnn_plans {
    struct ta_cudnn_plans *next;
    struct ta_cudnn_key key;
    struct ta_cudnn_graph graph;
    ta_desc plan[TA_CUDNN_CANDIDATES]; /* the first is run */
    int64_t workspace[TA_CUDNN_CANDIDATES], engine[TA_CUDNN_CANDIDATES];
    unsigned n; /* 0: refused */
    char shape[TA_CUDNN_SAYS_BYTES / 2], says[TA_CUDNN_SAYS_BYTES]; /* what it is; its engine, or why it was refused */
};

/* Those of this spec, made when they are first asked for (plans.c); refused ones, too. */
ta_status ta_cudnn_plans_find(struct ta_cudnn *c, const struct ta_cudnn_spec *spec, struct ta_cudnn_plans **out);
/* Leaves only this one. */
void ta_cudnn_plans_keep(struct ta_cudnn_plans *p, unsigned best);
void ta_cudnn_plans_destroy(struct ta_cudnn *c); /* all */

struct ta_cudnn_op {
    struct ta_cudnn *c;
    struct ta_cudnn_plans *plans;
    ta_desc pack; /* the addresses of the last run */
    void *bound[TA_CUDNN_ROLES], *bound_workspace;
};

static inline cudnnDataType_t ta_cudnn_type(enum ta_compute compute) {
    return compute == TA_COMPUTE_BFLOAT16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
}

/* The operations of each kind (conv.c, pool.c, norm.c). */
void ta_graph_conv(struct ta_cudnn_graph *g, const struct ta_cudnn_spec *spec);
void ta_graph_pool(struct ta_cudnn_graph *g, const struct ta_cudnn_spec *spec);
void ta_graph_norm(struct ta_cudnn_graph *g, const struct ta_cudnn_spec *spec);

/* Finds engines for p->graph (engines.c). OK with n 0: cuDNN refuses; ta_why says what it said. */
ta_status ta_cudnn_engines(struct ta_cudnn *c, struct ta_cudnn_plans *p, enum ta_compute compute);

/* TA_OK, or DEVICE with what cuDNN says. */
ta_status ta_cudnn_said(struct ta_cudnn *c, cudnnStatus_t status, const char *what);

#endif
