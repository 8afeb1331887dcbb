/* replica_nan: a gradient that is not finite. Its step was dropped, and weights and state are as they were before it;
 * optimizer.on_nan says whether the run goes on. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "replica_internal.h"

enum { MOST_BAD_STEPS = 1000 };

/* The first layer, in order of evaluation, part of whose gradient is not finite; "" when that cannot be told (the sum
 * of squares alone overflows; gradients of others are not finite). */
static void find_layer(const struct ta_replica *r, char *out, size_t bytes) {
    out[0] = '\0';
    for (uint32_t i = 0; r->grad != NULL && i < r->model.n_layers; i++) {
        struct ta_tensor tensors[4];
        unsigned n = ta_layer_tensors(&r->model.layers[i], tensors);
        for (unsigned t = 0; t < n; t++) {
            double norm2 = 0;
            const struct ta_param *p = &tensors[t].param;
            if (r->kernel_ops->grad_norm2(r->kernels, p->count, r->grad + p->offset, &norm2) != TA_OK) return;
            if (isfinite(norm2)) continue;
            snprintf(out, bytes, ", first in layer '%s'", r->model.layers[i].name);
            return;
        }
    }
}

/* The run comes to rest as if it were asked to stop, with a checkpoint of the last finite state; then the reason is
 * told. */
static ta_status stop(struct ta_replica *r) {
    char layer[TA_LAYER_NAME_BYTES + 32];
    if (r->nan_why[0] != '\0') return TA_OK;
    find_layer(r, layer, sizeof layer);
    snprintf(r->nan_why, sizeof r->nan_why,
             "rank %u: the gradient of step %" PRIu64 " is not finite%s, and optimizer.on_nan is stop: lower "
             "optimizer.rate (%g), set optimizer.clip_norm, or look at the scale of the data; the checkpoint is of the "
             "state before it",
             r->config.rank, r->optimizer.step + 1, layer, (double)r->optimizer.spec.rate);
    ta_replica_event(r, ta_replica_clock_ns(r), "nan", "%s", r->nan_why);
    r->stop = true;
    return TA_OK;
}

ta_status ta_replica_bad_step(struct ta_replica *r) {
    r->bad_steps++;
    uint64_t all = r->optimizer.skipped;
    if (r->optimizer.spec.on_nan == TA_ON_NAN_STOP) return stop(r);
    if ((all & (all - 1)) == 0)
        ta_log_warn(r->config.log,
                    "the gradient is not finite: step dropped (%llu so far): lower optimizer.rate, or set "
                    "optimizer.clip_norm",
                    (unsigned long long)all);
    if (r->bad_steps < MOST_BAD_STEPS) return TA_OK;
    return ta_fail(TA_NUMERIC, "rank %u: the last %u gradients were not finite: lower optimizer.rate (%g), set "
                               "optimizer.clip_norm, or look at the scale of the data", r->config.rank, r->bad_steps,
                   (double)r->optimizer.spec.rate);
}

ta_status ta_replica_last_word(struct ta_replica *r) {
    if (r->nan_why[0] != '\0') return ta_fail(TA_NUMERIC, "%s", r->nan_why);
    /* A run every step of which was dropped has trained nothing, however orderly it ended. */
    if (r->result == TA_END && r->optimizer.step == 0 && r->optimizer.skipped > 0)
        return ta_fail(TA_NUMERIC,
                       "rank %u: none of %" PRIu64 " gradients was finite: lower optimizer.rate (%g), or look at "
                       "the scale of the data",
                       r->config.rank, r->optimizer.skipped, (double)r->optimizer.spec.rate);
    return r->result;
}
