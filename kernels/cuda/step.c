/* step: a slot's way: a batch is staged (copied by COPY while COMPUTE works on the one before), its pass begun (a
 * graph, once there is one), its results taken when the one event behind it was reached. */
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "mem.h"
#include "net.h"

enum { PLACE = 256 };
_Static_assert(sizeof(struct ta_numbers) <= PLACE, "the numbers of a step");
_Static_assert(sizeof(struct ta_flat_outcome) <= PLACE, "the outcome of a step");

static size_t after(size_t at, size_t bytes) { return (at + bytes + PLACE - 1) / PLACE * PLACE; }

static struct ta_slot_layout layout_of(const struct ta_net_spec *spec) {
    size_t batch = spec->batch, outputs = ta_shape_count(spec->layers[spec->n_layers - 1].out);
    size_t label = spec->loss == TA_LOSS_CROSS_ENTROPY ? sizeof(int32_t) : outputs * sizeof(float);
    struct ta_slot_layout at = {.x = PLACE};
    at.labels = after(at.x, batch * ta_shape_count(spec->input) * sizeof(float));
    at.outcome = after(at.labels, batch * label);
    at.losses = after(at.outcome, sizeof(struct ta_flat_outcome));
    at.predictions = after(at.losses, batch * sizeof(float));
    at.end = after(at.predictions, batch * outputs * sizeof(float));
    return at;
}

static bool used(const struct ta_net *net, unsigned slot) { return !net->spec.predict_only || slot == TA_SLOT_PREDICT; }

ta_status ta_slots_want(struct ta_net *net) {
    ta_status status = TA_OK;
    net->layout = layout_of(&net->spec);
    for (unsigned i = 0; i < TA_SLOTS && status == TA_OK; i++)
        if (used(net, i)) status = ta_net_want(net, net->layout.end, &net->slots[i].device);
    return status;
}

static ta_status open_events(struct ta_net *net, struct ta_slot *slot) {
    struct ta_gpu *gpu = net->kernels->gpu;
    cudaError_t error = cudaEventCreateWithFlags(&slot->staged, cudaEventDisableTiming);
    if (error == cudaSuccess) error = cudaEventCreateWithFlags(&slot->done, cudaEventDisableTiming);
    ta_status status = ta_gpu_said(gpu, error, "making events");
    if (status != TA_OK || !net->spec.timed) return status;
    uint32_t marks = 2 * net->spec.n_layers + 2;
    status = TA_NEW(&slot->marks, marks, "the clocks of layers");
    for (uint32_t i = 0; i < marks && status == TA_OK; i++)
        status = ta_gpu_said(gpu, cudaEventCreate(&slot->marks[i]), "making events");
    return status;
}

ta_status ta_slots_open(struct ta_net *net) {
    struct ta_kernels *k = net->kernels;
    ta_status status = TA_OK;
    for (unsigned i = 0; i < TA_SLOTS && status == TA_OK; i++) {
        if (!used(net, i)) continue;
        struct ta_slot *slot = &net->slots[i];
        status =
            k->gpu_ops->host_alloc(k->gpu, net->layout.end, "a batch on its way to the GPU", (void **)&slot->pinned);
        if (status == TA_OK) status = open_events(net, slot);
    }
    return status;
}

static void drop_graph(struct ta_slot *slot) {
    if (slot->graph != NULL) cudaGraphExecDestroy(slot->graph);
    slot->graph = NULL;
}

void ta_slots_close(struct ta_net *net) {
    for (unsigned i = 0; i < TA_SLOTS; i++) {
        struct ta_slot *slot = &net->slots[i];
        drop_graph(slot);
        for (uint32_t m = 0; slot->marks != NULL && m < 2 * net->spec.n_layers + 2; m++)
            if (slot->marks[m] != NULL) cudaEventDestroy(slot->marks[m]);
        ta_mem_free(slot->marks);
        if (slot->staged != NULL) cudaEventDestroy(slot->staged);
        if (slot->done != NULL) cudaEventDestroy(slot->done);
        if (slot->pinned != NULL) net->kernels->gpu_ops->host_free(net->kernels->gpu, slot->pinned);
    }
}

/* The slot is free, so what was done with its memory has come to its end: COPY need not wait for COMPUTE. */
ta_status ta_slot_stage(struct ta_net *net, struct ta_slot *slot, const float *x, const struct ta_labels *labels) {
    const struct ta_slot_layout *at = &net->layout;
    const struct ta_net_spec *spec = &net->spec;
    struct ta_gpu *gpu = net->kernels->gpu;
    size_t outputs = ta_shape_count(spec->layers[spec->n_layers - 1].out);
    memcpy(slot->pinned + at->x, x, spec->batch * ta_shape_count(spec->input) * sizeof(float));
    slot->labels = labels != NULL;
    if (labels != NULL && spec->loss == TA_LOSS_CROSS_ENTROPY)
        memcpy(slot->pinned + at->labels, labels->classes, spec->batch * sizeof(int32_t));
    else if (labels != NULL)
        memcpy(slot->pinned + at->labels, labels->targets, spec->batch * outputs * sizeof(float));
    uint32_t given = labels != NULL ? ta_labels_given(spec, labels) : 0;
    slot->share = 1.0F / (float)(given > 0 ? given : 1);
    size_t bytes = (labels != NULL ? at->outcome : at->labels) - at->x;
    cudaStream_t stream = ta_gpu_cuda_stream(gpu, TA_GPU_COPY);
    cudaError_t error =
        cudaMemcpyAsync(slot->device + at->x, slot->pinned + at->x, bytes, cudaMemcpyHostToDevice, stream);
    if (error == cudaSuccess) error = cudaEventRecord(slot->staged, stream);
    ta_status status = ta_gpu_said(gpu, error, "a batch on its way to the GPU");
    if (status != TA_OK) return status;
    slot->state = TA_SLOT_STAGED;
    slot->turn = net->turns++;
    return TA_OK;
}

static struct ta_captured captured_of(const struct ta_pass *pass) {
    const struct ta_net_update *u = pass->update;
    struct ta_captured c = {.w = pass->w, .grad = pass->grad, .labels = pass->slot->labels, .update = u != NULL};
    if (u != NULL) c.m = u->m, c.v = u->v, c.delta = u->delta, c.kind = u->how.kind;
    return c;
}

static bool same(const struct ta_captured *a, const struct ta_captured *b) {
    return a->w == b->w && a->grad == b->grad && a->m == b->m && a->v == b->v && a->delta == b->delta &&
           a->update == b->update && a->labels == b->labels && a->kind == b->kind;
}

/* Which kind of pass: something that no pass of its kind has run yet may have to be loaded, which is not for a capture.
 */
static uint32_t kind_of(const struct ta_captured *c) {
    if (c->grad == NULL) return 1;
    return c->update ? 4U << (unsigned)c->kind : 2;
}

static ta_status capture(struct ta_net *net, const struct ta_pass *pass) {
    struct ta_gpu *gpu = net->kernels->gpu;
    cudaGraph_t graph = NULL;
    drop_graph(pass->slot);
    cudaError_t error = cudaStreamBeginCapture(pass->stream, cudaStreamCaptureModeThreadLocal);
    ta_status status = ta_gpu_said(gpu, error, "capturing a step");
    if (status == TA_OK) {
        status = ta_pass_queue(net, pass);
        error = cudaStreamEndCapture(pass->stream, &graph);
        if (status == TA_OK) status = ta_gpu_said(gpu, error, "capturing a step");
    }
    if (status == TA_OK)
        status = ta_gpu_said(gpu, cudaGraphInstantiate(&pass->slot->graph, graph, 0), "making a graph of a step");
    if (graph != NULL) cudaGraphDestroy(graph);
    if (status == TA_OK) return TA_OK;
    pass->slot->graph = NULL;
    snprintf(net->plain, sizeof net->plain, "steps are not launched as graphs: %s", ta_why());
    (void)cudaGetLastError(); /* a capture that failed leaves nothing behind */
    return status;
}

static ta_status launch(struct ta_net *net, const struct ta_pass *pass) {
    struct ta_slot *slot = pass->slot;
    struct ta_captured now = captured_of(pass);
    bool usable = slot->graph != NULL && same(&slot->captured, &now);
    if (!usable && !net->spec.timed && net->plain[0] == '\0' && (net->warm & kind_of(&now)) != 0) {
        slot->captured = now;
        usable = capture(net, pass) == TA_OK;
    }
    if (usable)
        return ta_gpu_said(net->kernels->gpu, cudaGraphLaunch(slot->graph, pass->stream), "launching a step");
    ta_status status = ta_pass_queue(net, pass);
    if (status == TA_OK) net->warm |= kind_of(&now);
    return status;
}

/* The ranges that are trained are written into graphs: another list means other graphs. */
static ta_status keep_trained(struct ta_net *net, const struct ta_net_update *u) {
    size_t bytes = u->n_trained * sizeof *u->trained;
    if (net->n_trained == u->n_trained && (bytes == 0 || memcmp(net->trained, u->trained, bytes) == 0)) return TA_OK;
    ta_status status = ta_cuda_settle(net->kernels);
    for (unsigned i = 0; i < TA_SLOTS; i++)
        if (net->slots[i].captured.update) drop_graph(&net->slots[i]);
    if (status == TA_OK) status = ta_mem_resize((void **)&net->trained, bytes, "the list of what is trained");
    net->n_trained = status == TA_OK ? u->n_trained : 0;
    if (status == TA_OK && bytes > 0) memcpy(net->trained, u->trained, bytes);
    return status;
}

ta_status ta_slot_begin(struct ta_net *net, struct ta_slot *slot, struct ta_pass *pass, uint64_t step) {
    struct ta_numbers *numbers = (struct ta_numbers *)slot->pinned;
    pass->slot = slot;
    slot->update = pass->update != NULL;
    *numbers = (struct ta_numbers){.step = step, .share = slot->share};
    if (pass->update != NULL) ta_flat_scalars_of(&pass->update->how, pass->update->clip_norm, &numbers->update);
    ta_status status = pass->update != NULL ? keep_trained(net, pass->update) : TA_OK;
    if (status == TA_OK) status = ta_cuda_on_compute(net->kernels, &pass->stream);
    if (status == TA_OK)
        status =
            ta_gpu_said(net->kernels->gpu, cudaStreamWaitEvent(pass->stream, slot->staged, 0), "waiting for a batch");
    if (status == TA_OK) status = launch(net, pass);
    if (status == TA_OK)
        status = ta_gpu_said(net->kernels->gpu, cudaEventRecord(slot->done, pass->stream), "the end of a step");
    slot->state = status == TA_OK ? TA_SLOT_BEGUN : TA_SLOT_FREE;
    return status;
}

static double elapsed(const struct ta_slot *slot, uint32_t from) {
    float ms = 0;
    if (cudaEventElapsedTime(&ms, slot->marks[from], slot->marks[from + 1]) != cudaSuccess) return 0;
    return ms * 1e-3;
}

static void count_times(struct ta_net *net, const struct ta_slot *slot, bool trained) {
    uint32_t n = net->spec.n_layers;
    for (uint32_t i = 0; i < n; i++) {
        if (net->nodes[i].ops == NULL) continue;
        net->nodes[i].times.forward_s += elapsed(slot, i);
        if (trained) net->nodes[i].times.backward_s += elapsed(slot, 2 * n - i);
    }
}

ta_status ta_slot_end(struct ta_net *net, struct ta_slot *slot, float *predictions, float *losses,
                      struct ta_net_outcome *outcome) {
    const struct ta_slot_layout *at = &net->layout;
    size_t outputs = ta_shape_count(net->spec.layers[net->spec.n_layers - 1].out);
    ta_status status = ta_gpu_said(net->kernels->gpu, cudaEventSynchronize(slot->done), "waiting for a step");
    slot->state = TA_SLOT_FREE;
    if (status != TA_OK) return status;
    if (predictions != NULL)
        memcpy(predictions, slot->pinned + at->predictions, net->spec.batch * outputs * sizeof(float));
    if (losses != NULL) memcpy(losses, slot->pinned + at->losses, net->spec.batch * sizeof(float));
    if (net->spec.timed) count_times(net, slot, slot != &net->slots[TA_SLOT_PREDICT]);
    if (outcome == NULL) return TA_OK;
    const struct ta_flat_outcome *o = (const struct ta_flat_outcome *)(slot->pinned + at->outcome);
    *outcome = slot->update ? (struct ta_net_outcome){.norm2 = o->norm2, .finite = o->finite != 0}
                            : (struct ta_net_outcome){0};
    return TA_OK;
}
