/* pass: what a step, or a prediction, queues: numbers in, weights into the libraries' order, forwards, loss, backwards,
 * gradients back into the arena's order, update, results out. No call here waits, allocates or looks at a result, and
 * all addresses are the slot's and the net's own: so it may be captured. */
#include "net.h"

ta_status ta_node_said(const struct ta_net *net, const struct ta_node *node, cudaError_t error) {
    return error == cudaSuccess ? TA_OK : ta_gpu_said(net->kernels->gpu, error, node->layer->name);
}

static ta_status mark(const struct ta_net *net, const struct ta_pass *pass, uint32_t which) {
    if (!net->spec.timed) return TA_OK;
    return ta_gpu_said(net->kernels->gpu, cudaEventRecord(pass->slot->marks[which], pass->stream), "timing a layer");
}

/* The batch as the first layers read it. */
static ta_status feed(struct ta_net *net, const struct ta_pass *pass) {
    void *x = pass->slot->device + net->layout.x;
    cudaError_t error = cudaSuccess;
    if (net->input != NULL) {
        size_t n = net->spec.batch * ta_shape_count(net->spec.input);
        error = ta_flat_cast(pass->stream, n, TA_FLAT_FLOAT, x, net->type, net->input);
        x = net->input;
    }
    for (uint32_t i = 0; i < net->spec.n_layers; i++)
        for (unsigned k = 0; k < 2; k++)
            if (net->nodes[i].from[k] == TA_FROM_INPUT) net->nodes[i].in[k] = x;
    return ta_gpu_said(net->kernels->gpu, error, "bringing a batch into bfloat16");
}

static ta_status forward(struct ta_net *net, const struct ta_pass *pass) {
    ta_status status = TA_OK;
    for (uint32_t i = 0; i < net->spec.n_layers && status == TA_OK; i++) {
        struct ta_node *node = &net->nodes[i];
        status = mark(net, pass, i);
        if (status == TA_OK && node->ops != NULL && node->ops->forward != NULL)
            status = node->ops->forward(net, node, pass);
    }
    return status == TA_OK ? mark(net, pass, net->spec.n_layers) : status;
}

static ta_status run_loss(struct ta_net *net, const struct ta_pass *pass) {
    const struct ta_net_spec *spec = &net->spec;
    const struct ta_slot *slot = pass->slot;
    const struct ta_slot_layout *at = &net->layout;
    void *input = net->input != NULL ? net->input : slot->device + at->x;
    const char *labels = slot->labels ? slot->device + at->labels : NULL;
    bool classes = spec->loss == TA_LOSS_CROSS_ENTROPY;
    struct ta_flat_loss args = {
        .kind = spec->loss,
        .records = spec->batch,
        .outputs = (uint32_t)ta_shape_count(spec->layers[spec->n_layers - 1].out),
        .type = net->type,
        .z = net->logits >= 0 ? net->nodes[net->logits].out : input,
        .classes = classes ? (const int32_t *)labels : NULL,
        .targets = classes ? NULL : (const float *)labels,
        .share = &((const struct ta_numbers *)slot->device)->share,
        .predictions = (float *)(slot->device + at->predictions),
        .losses = slot->labels ? (float *)(slot->device + at->losses) : NULL,
        .grad = pass->grad != NULL ? net->logits_grad : NULL,
    };
    return ta_gpu_said(net->kernels->gpu, ta_flat_loss_run(pass->stream, &args), "the loss");
}

static ta_status back_through(struct ta_net *net, struct ta_node *node, const struct ta_pass *pass) {
    if (node->ops == NULL || node->ops->backward == NULL || node->grad_out == NULL) return TA_OK;
    ta_status status = node->ops->backward(net, node, pass);
    for (unsigned k = 0; k < 2 && status == TA_OK; k++) {
        if (node->add_into[k] == NULL) continue;
        size_t n = net->spec.batch * ta_shape_count(net->spec.layers[node->from[k]].out);
        status = ta_node_said(net, node, ta_flat_add(pass->stream, net->type, n, node->add_into[k], node->grad_in[k],
                                                     node->add_into[k]));
    }
    return status;
}

static ta_status backward(struct ta_net *net, const struct ta_pass *pass) {
    uint32_t n = net->spec.n_layers;
    ta_status status = TA_OK;
    for (uint32_t i = n; i-- > 0 && status == TA_OK;) {
        status = mark(net, pass, 2 * n - i);
        if (status == TA_OK) status = back_through(net, &net->nodes[i], pass);
    }
    return status == TA_OK ? mark(net, pass, 2 * n + 1) : status;
}

static ta_status update(struct ta_net *net, const struct ta_pass *pass) {
    const struct ta_net_update *u = pass->update;
    const struct ta_flat_scalars *how = &((const struct ta_numbers *)pass->slot->device)->update;
    struct ta_flat_outcome *outcome = (struct ta_flat_outcome *)(pass->slot->device + net->layout.outcome);
    struct ta_flat_norm norm = {.grad = pass->grad,
                                .trained = net->trained,
                                .statistics = net->statistics,
                                .n_trained = net->n_trained,
                                .n_statistics = net->n_moving,
                                .how = how,
                                .scratch = net->norm_scratch,
                                .outcome = outcome};
    struct ta_flat_ranges ranges = {.kind = u->how.kind,
                                    .how = how,
                                    .outcome = outcome,
                                    .trained = net->trained,
                                    .n_trained = net->n_trained,
                                    .arena = {pass->grad, pass->w, u->m, u->v, u->delta}};
    cudaError_t error = ta_flat_norm2(pass->stream, &norm);
    if (error == cudaSuccess) error = ta_flat_update_ranges(pass->stream, &ranges);
    if (error == cudaSuccess && net->n_moving > 0)
        error = ta_flat_moving_ranges(pass->stream, outcome, net->moving, net->n_moving, pass->grad, u->delta);
    return ta_gpu_said(net->kernels->gpu, error, "the update");
}

ta_status ta_pass_queue(struct ta_net *net, const struct ta_pass *pass) {
    struct ta_slot *slot = pass->slot;
    struct ta_gpu *gpu = net->kernels->gpu;
    cudaError_t error = cudaMemcpyAsync(slot->device, slot->pinned, sizeof(struct ta_numbers), cudaMemcpyHostToDevice,
                                        pass->stream);
    /* What belongs to no layer must be 0; the rest is written behind. */
    if (error == cudaSuccess && pass->grad != NULL)
        error = cudaMemsetAsync(pass->grad, 0, net->spec.n_params * sizeof(float), pass->stream);
    ta_status status = ta_gpu_said(gpu, error, "the start of a step");
    if (status == TA_OK) status = ta_weights_load(net, pass);
    if (status == TA_OK) status = feed(net, pass);
    if (status == TA_OK) status = forward(net, pass);
    if (status == TA_OK) status = run_loss(net, pass);
    if (status == TA_OK && pass->grad != NULL) status = backward(net, pass);
    if (status == TA_OK && pass->grad != NULL) status = ta_gradients_store(net, pass);
    if (status == TA_OK && pass->update != NULL) status = update(net, pass);
    if (status != TA_OK) return status;
    size_t from = net->layout.outcome;
    return ta_gpu_said(gpu, cudaMemcpyAsync(slot->pinned + from, slot->device + from, net->layout.end - from,
                                            cudaMemcpyDeviceToHost, pass->stream), "the results of a step");
}
