/* net: life of a net: its nodes, its memory, its slots. */
#include "net.h"

#include <stdio.h>
#include <string.h>

#include "check.h"
#include "mem.h"

enum { PLACE = 512 };

ta_status ta_node_state(struct ta_node *node, size_t bytes) {
    return ta_mem_alloc(bytes, 1, "a layer of a net", &node->state);
}

ta_status ta_net_want(struct ta_net *net, size_t bytes, void *where) {
    if (net->n_wants == net->wants_room) {
        uint32_t room = net->wants_room == 0 ? 32 : 2 * net->wants_room;
        ta_status status = ta_mem_resize((void **)&net->wants, room * sizeof *net->wants, "the memory of a net");
        if (status != TA_OK) return status;
        net->wants_room = room;
    }
    net->wants[net->n_wants++] = (struct ta_want){where, (bytes + PLACE - 1) / PLACE * PLACE};
    net->block_bytes += net->wants[net->n_wants - 1].bytes;
    return TA_OK;
}

void ta_net_want_workspace(struct ta_net *net, size_t bytes) {
    if (bytes > net->workspace_bytes) net->workspace_bytes = bytes;
}

static ta_status find_statistics(struct ta_net *net) {
    uint32_t norms = 0;
    for (uint32_t i = 0; i < net->spec.n_layers; i++) norms += net->spec.layers[i].kind == TA_LAYER_BATCH_NORM;
    ta_status status = TA_NEW(&net->statistics, 2 * (size_t)norms, "the statistics of a net");
    if (status == TA_OK) status = TA_NEW(&net->moving, 2 * (size_t)norms, "the statistics of a net");
    for (uint32_t i = 0; i < net->spec.n_layers && status == TA_OK; i++) {
        const struct ta_layer *l = &net->spec.layers[i];
        if (l->kind != TA_LAYER_BATCH_NORM) continue;
        const struct ta_param both[] = {l->mean, l->variance};
        for (unsigned j = 0; j < 2; j++) {
            net->statistics[net->n_moving] = both[j];
            net->moving[net->n_moving++] = (struct ta_flat_moving_range){both[j].offset, both[j].count, l->momentum};
        }
    }
    return status;
}

static ta_status create_nodes(struct ta_net *net) {
    ta_status status = TA_OK;
    for (uint32_t i = 0; i < net->spec.n_layers && status == TA_OK; i++) {
        struct ta_node *node = &net->nodes[i];
        if (node->ops != NULL && node->ops->create != NULL) status = node->ops->create(net, node);
    }
    return status;
}

/* All that was asked for, in one piece. */
static ta_status allocate(struct ta_net *net) {
    size_t input = net->spec.batch * ta_shape_count(net->spec.input) * ta_flat_bytes(net->type);
    ta_status status = ta_slots_want(net);
    if (status == TA_OK) status = ta_net_want(net, net->workspace_bytes, &net->workspace);
    if (status == TA_OK) status = ta_net_want(net, net->weights.bytes, &net->weights.copies);
    if (status == TA_OK) status = ta_net_want(net, net->gradients.bytes, &net->gradients.copies);
    if (status == TA_OK && net->type != TA_FLAT_FLOAT) status = ta_net_want(net, input, &net->input);
    if (status == TA_OK && !net->spec.predict_only)
        status = ta_net_want(net, TA_FLAT_NORM_SCRATCH, &net->norm_scratch);
    if (status != TA_OK) return status;
    char what[160];
    snprintf(what, sizeof what, "batches of %u records, copies of weights, and %zu bytes of workspace of a net",
             net->spec.batch, net->workspace_bytes);
    status = net->kernels->gpu_ops->alloc(net->kernels->gpu, net->block_bytes, what, &net->block);
    char *at = net->block;
    for (uint32_t i = 0; i < net->n_wants && status == TA_OK; i++) {
        void *here = net->wants[i].bytes > 0 ? at : NULL;
        memcpy(net->wants[i].where, &here, sizeof here);
        at += net->wants[i].bytes;
    }
    return status;
}

static ta_status build(struct ta_net *net) {
    ta_status status = TA_NEW(&net->nodes, net->spec.n_layers, "the layers of a net");
    if (status == TA_OK) status = ta_cuda_libraries(net->kernels);
    if (status == TA_OK) status = ta_cuda_plan(net);
    if (status == TA_OK) status = create_nodes(net);
    if (status == TA_OK) status = find_statistics(net);
    if (status == TA_OK) status = allocate(net);
    return status == TA_OK ? ta_slots_open(net) : status;
}

ta_status ta_cuda_net_create(struct ta_kernels *k, const struct ta_net_spec *spec, struct ta_net **out) {
    *out = NULL;
    ta_status status = ta_net_check(spec);
    if (status != TA_OK) return status;
    struct ta_net *net;
    status = TA_NEW(&net, 1, "a net");
    if (status != TA_OK) return status;
    net->kernels = k;
    net->spec = *spec;
    net->type = k->compute == TA_COMPUTE_BFLOAT16 ? TA_FLAT_BF16 : TA_FLAT_FLOAT;
    status = build(net);
    if (status != TA_OK) {
        ta_cuda_net_destroy(net);
        return status;
    }
    *out = net;
    return TA_OK;
}

void ta_cuda_net_destroy(struct ta_net *net) {
    if (net == NULL) return;
    const struct ta_gpu_ops *ops = net->kernels->gpu_ops;
    (void)ta_cuda_settle(net->kernels);
    ta_slots_close(net);
    for (uint32_t i = 0; net->nodes != NULL && i < net->spec.n_layers; i++) {
        const struct ta_node_ops *node_ops = net->nodes[i].ops;
        if (node_ops != NULL && node_ops->destroy != NULL) node_ops->destroy(&net->nodes[i]);
    }
    if (net->block != NULL) ops->free(net->kernels->gpu, net->block);
    if (net->arena != NULL) ops->free(net->kernels->gpu, net->arena);
    void *lists[] = {net->weights.list, net->gradients.list, net->wants, net->statistics, net->moving, net->trained,
                     net->nodes};
    for (unsigned i = 0; i < sizeof lists / sizeof lists[0]; i++) ta_mem_free(lists[i]);
    ta_mem_free(net);
}

size_t ta_cuda_net_bytes(const struct ta_net *net) {
    unsigned slots = net->spec.predict_only ? 1 : TA_SLOTS;
    return sizeof *net + net->spec.n_layers * sizeof *net->nodes + net->arena_bytes + net->block_bytes +
           slots * net->layout.end;
}

struct ta_layer_times ta_cuda_net_times(const struct ta_net *net, uint32_t layer) { return net->nodes[layer].times; }

const char *ta_cuda_net_note(const struct ta_net *net) { return net->plain; }
