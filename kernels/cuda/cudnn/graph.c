/* graph: descriptors of cuDNN's graph API, one after the other, with one place for their errors. */
#include "graph.h"

static void keep_error(struct ta_cudnn_graph *g, cudnnStatus_t status, const char *where) {
    if (g->status != CUDNN_STATUS_SUCCESS || status == CUDNN_STATUS_SUCCESS) return;
    g->status = status;
    g->where = where;
}

ta_desc ta_graph_make(struct ta_cudnn_graph *g, cudnnBackendDescriptorType_t type) {
    ta_desc d = NULL;
    if (g->n_made == TA_CUDNN_DESCS) keep_error(g, CUDNN_STATUS_BAD_PARAM_OUT_OF_BOUND, "the number of descriptors");
    if (g->status != CUDNN_STATUS_SUCCESS) return NULL;
    keep_error(g, cudnnBackendCreateDescriptor(type, &d), "a descriptor");
    if (d != NULL) g->made[g->n_made++] = d;
    return d;
}

void ta_graph_set(struct ta_cudnn_graph *g, ta_desc d, cudnnBackendAttributeName_t name,
                  cudnnBackendAttributeType_t type, int64_t n, const void *values) {
    if (g->status != CUDNN_STATUS_SUCCESS) return;
    keep_error(g, cudnnBackendSetAttribute(d, name, type, n, values), "an attribute");
}

void ta_graph_desc(struct ta_cudnn_graph *g, ta_desc d, cudnnBackendAttributeName_t name, ta_desc value) {
    ta_graph_set(g, d, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value);
}

void ta_graph_finalize(struct ta_cudnn_graph *g, ta_desc d, const char *what) {
    if (g->status == CUDNN_STATUS_SUCCESS) keep_error(g, cudnnBackendFinalize(d), what);
}

void ta_graph_append(struct ta_cudnn_graph *g, ta_desc operation, const char *what) {
    ta_graph_finalize(g, operation, what);
    if (g->status == CUDNN_STATUS_SUCCESS) g->operation[g->n_operations++] = operation;
}

static ta_desc describe(struct ta_cudnn_graph *g, int64_t uid, cudnnDataType_t type, uint32_t records,
                        struct ta_shape s) {
    int64_t row = (int64_t)s.w * s.c, alignment = 16;
    int64_t dims[] = {records, s.c, s.h, s.w}, strides[] = {row * s.h, 1, row, s.c};
    ta_desc d = ta_graph_make(g, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    ta_graph_set(g, d, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &uid);
    ta_graph_set(g, d, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
    ta_graph_set(g, d, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, dims);
    ta_graph_set(g, d, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, strides);
    ta_graph_set(g, d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment);
    return d;
}

ta_desc ta_graph_tensor(struct ta_cudnn_graph *g, enum ta_cudnn_role role, cudnnDataType_t type, uint32_t records,
                        struct ta_shape shape) {
    ta_desc d = describe(g, (int64_t)role + 1, type, records, shape);
    ta_graph_finalize(g, d, "a tensor");
    g->roles |= UINT32_C(1) << role;
    return d;
}

ta_desc ta_graph_hidden(struct ta_cudnn_graph *g, uint32_t records, struct ta_shape shape) {
    bool yes = true;
    ta_desc d = describe(g, TA_CUDNN_HIDDEN_UID + g->n_hidden++, CUDNN_DATA_FLOAT, records, shape);
    ta_graph_set(g, d, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &yes);
    ta_graph_finalize(g, d, "a tensor");
    return d;
}

ta_desc ta_graph_epsilon(struct ta_cudnn_graph *g, float epsilon) {
    bool yes = true;
    ta_desc d = describe(g, TA_CUDNN_EPSILON_UID, CUDNN_DATA_FLOAT, 1, (struct ta_shape){1, 1, 1});
    ta_graph_set(g, d, CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, 1, &yes);
    ta_graph_finalize(g, d, "a tensor");
    g->epsilon = epsilon;
    g->has_epsilon = true;
    return d;
}

void ta_graph_close(struct ta_cudnn_graph *g, const struct ta_cudnn *c) {
    ta_desc d = g->whole = ta_graph_make(g, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    ta_graph_set(g, d, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, g->n_operations, g->operation);
    if (c->handle != NULL)
        ta_graph_set(g, d, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &c->handle);
    ta_graph_finalize(g, d, "the graph of operations");
}

void ta_graph_destroy(struct ta_cudnn_graph *g) {
    while (g->n_made > 0) (void)cudnnBackendDestroyDescriptor(g->made[--g->n_made]);
}
