/* train: the members of the table that make steps: in three calls, in one, and predictions. */
#include "check.h"
#include "net.h"

enum { ALIGNMENT = 16 };

static struct ta_slot *oldest(struct ta_net *net, enum ta_slot_state state) {
    struct ta_slot *found = NULL;
    for (unsigned i = 0; i < TA_SLOT_PREDICT; i++) {
        struct ta_slot *slot = &net->slots[i];
        if (slot->state == state && (found == NULL || slot->turn < found->turn)) found = slot;
    }
    return found;
}

static ta_status check_training(const struct ta_net *net, const struct ta_labels *labels) {
    if (net->spec.predict_only) return ta_fail(TA_INVALID, "a net that was created to predict cannot train");
    if (labels == NULL) return ta_fail(TA_INVALID, "training needs labels");
    return ta_labels_check(&net->spec, labels);
}

static ta_status check_arrays(const float *w, const float *grad) {
    if ((uintptr_t)w % ALIGNMENT == 0 && (uintptr_t)grad % ALIGNMENT == 0) return TA_OK;
    return ta_fail(TA_INVALID, "weights at %p and gradients at %p must begin at %d bytes", (const void *)w,
                   (const void *)grad, (int)ALIGNMENT);
}

ta_status ta_cuda_stage(struct ta_net *net, const float *x, const struct ta_labels *labels) {
    ta_status status = check_training(net, labels);
    if (status != TA_OK) return status;
    struct ta_slot *slot = oldest(net, TA_SLOT_FREE);
    return slot != NULL ? ta_slot_stage(net, slot, x, labels) : TA_AGAIN;
}

ta_status ta_cuda_begin(struct ta_net *net, const struct ta_net_step *step) {
    struct ta_slot *slot = oldest(net, TA_SLOT_STAGED);
    if (slot == NULL) return ta_fail(TA_INVALID, "a step was begun, but no batch is staged");
    ta_status status = check_arrays(step->w, step->grad);
    if (status != TA_OK) return status;
    struct ta_pass pass = {.w = step->w, .grad = step->grad, .update = step->update};
    const struct ta_net_update *u = step->update;
    if (u != NULL) {
        bool needs_m = u->how.kind == TA_MOMENTUM || u->how.kind == TA_ADAM;
        bool needs_v = u->how.kind == TA_ADAM || u->how.kind == TA_ADAGRAD;
        if ((unsigned)u->how.kind > TA_ADAGRAD || (needs_m && u->m == NULL) || (needs_v && u->v == NULL))
            return ta_fail(TA_INVALID, "optimizer %d does not exist, or needs state that was not given",
                           (int)u->how.kind);
    }
    return ta_slot_begin(net, slot, &pass, step->step);
}

ta_status ta_cuda_ready(struct ta_net *net) {
    struct ta_slot *slot = oldest(net, TA_SLOT_BEGUN);
    if (slot == NULL) return ta_fail(TA_INVALID, "no step was begun");
    cudaError_t error = cudaEventQuery(slot->done);
    return error == cudaErrorNotReady ? TA_AGAIN : ta_gpu_said(net->kernels->gpu, error, "looking for a step's end");
}

ta_status ta_cuda_end(struct ta_net *net, float *predictions, float *losses, struct ta_net_outcome *outcome) {
    struct ta_slot *slot = oldest(net, TA_SLOT_BEGUN);
    if (slot == NULL) return ta_fail(TA_INVALID, "no step was begun");
    return ta_slot_end(net, slot, predictions, losses, outcome);
}

ta_status ta_cuda_train(struct ta_net *net, const float *w, const float *x, const struct ta_labels *labels,
                        uint64_t step, float *grad, float *predictions, float *losses) {
    if (oldest(net, TA_SLOT_STAGED) != NULL || oldest(net, TA_SLOT_BEGUN) != NULL)
        return ta_fail(TA_INVALID, "a step in one call between the calls of another one; end that first");
    ta_status status = check_arrays(w, grad);
    if (status == TA_OK) status = ta_cuda_stage(net, x, labels);
    if (status == TA_OK) status = ta_cuda_begin(net, &(struct ta_net_step){.w = w, .grad = grad, .step = step});
    return status == TA_OK ? ta_cuda_end(net, predictions, losses, NULL) : status;
}

ta_status ta_cuda_predict(struct ta_net *net, const float *w, const float *x, const struct ta_labels *labels,
                          float *predictions, float *losses) {
    if (labels == NULL && losses != NULL) return ta_fail(TA_INVALID, "losses need labels");
    ta_status status = labels == NULL ? TA_OK : ta_labels_check(&net->spec, labels);
    if (status == TA_OK) status = check_arrays(w, NULL);
    struct ta_slot *slot = &net->slots[TA_SLOT_PREDICT];
    struct ta_pass pass = {.w = w};
    if (status == TA_OK) status = ta_slot_stage(net, slot, x, labels);
    if (status == TA_OK) status = ta_slot_begin(net, slot, &pass, 0);
    return status == TA_OK ? ta_slot_end(net, slot, predictions, losses, NULL) : status;
}
