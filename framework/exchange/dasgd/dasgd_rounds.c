/* dasgd_rounds: when a gradient may be computed, what becomes of it, and how replicas come to rest.
 *
 * A replica enters a round (of control) once every peer that counts has consumed all it has sent, and then sends
 * nothing until the round is over. So when all have entered, all messages are applied everywhere.
 */
#include "dasgd.h"

static bool too_far_ahead(const struct ta_dasgd *d) {
    for (unsigned p = 0; p < d->base.n_ranks; p++) {
        if (p == d->base.rank || !ta_control_counts(&d->control, p)) continue;
        if (d->lock_step ? ta_dasgd_pending(d, p) : d->base.steps - d->out[p].steps_acked > (uint64_t)d->bound)
            return true;
    }
    return d->holds;
}

ta_status ta_dasgd_ready(struct ta_exchange *x, int64_t now_ns) {
    struct ta_dasgd *d = ta_dasgd_of(x);
    if (d->spoilt) {
        d->spoilt = false;
        return ta_fail(TA_NUMERIC, "rank %u: gradients of a peer were not finite once summed, so they were dropped; "
                       "lower optimizer.rate, or set optimizer.clip_norm", x->rank);
    }
    if (d->bound >= 0 && too_far_ahead(d)) {
        d->urged = true; /* nobody can apply what is still being summed up */
        ta_status status = ta_dasgd_send(d, now_ns);
        return status == TA_OK ? TA_AGAIN : status;
    }
    ta_status status = ta_dasgd_refresh(d);
    ta_dasgd_base(d);
    d->urged = false;
    return status;
}

static ta_status must_not_rest(const struct ta_dasgd *d) {
    if (!d->settling) return TA_OK;
    return ta_fail(TA_INVALID, "exchange: replica %u stepped between settle and resume of a round", d->base.rank);
}

/* Into the tick, when its turn comes: what is not finite must not get to the peers. */
static ta_status hold(struct ta_dasgd *d, const float *grad) {
    struct ta_exchange *x = &d->base;
    double norm2;
    if (d->holds)
        return ta_fail(TA_INVALID, "exchange: replica %u stepped again in tick %llu: `ready` had said AGAIN", x->rank,
                       (unsigned long long)d->tick + 1);
    ta_status status = d->kernel_ops->grad_norm2(d->kernels, x->model->n_params, grad, &norm2);
    if (status == TA_OK && !(norm2 - norm2 == 0)) {
        status = d->updater.update(d->updater.owner, grad, x->w, x->scale, d->delta); /* it counts, and has the words */
        return status == TA_OK ? ta_fail(TA_NUMERIC, "rank %u: a gradient is too large to be summed", x->rank) : status;
    }
    if (status == TA_OK) status = d->kernel_ops->mean(d->kernels, x->model->n_params, d->held, &grad, 1);
    d->holds = status == TA_OK;
    d->held_empty = false;
    return status;
}

ta_status ta_dasgd_step(struct ta_exchange *x, float *grad, uint64_t records, int64_t now_ns) {
    struct ta_dasgd *d = ta_dasgd_of(x);
    if (records == 0) return ta_dasgd_stepped(x, 0, now_ns);
    ta_status status = must_not_rest(d);
    if (status == TA_OK) status = ta_dasgd_refresh(d);
    if (status == TA_OK) status = d->lock_step ? hold(d, grad) : ta_dasgd_update(d, grad, 1);
    if (status != TA_OK) return status;
    x->steps++;
    x->records += records;
    status = ta_dasgd_push(d, grad);
    return status == TA_OK ? ta_dasgd_send(d, now_ns) : status;
}

ta_status ta_dasgd_stepped(struct ta_exchange *x, uint64_t records, int64_t now_ns) {
    struct ta_dasgd *d = ta_dasgd_of(x);
    if (records > 0)
        return ta_fail(TA_INVALID, "exchange.type dasgd: a step of %llu records without its gradient cannot be sent",
                       (unsigned long long)records);
    if (!d->lock_step || d->holds || d->settling) return TA_OK;
    d->holds = d->held_empty = true;
    ta_status status = ta_dasgd_push(d, NULL);
    return status == TA_OK ? ta_dasgd_send(d, now_ns) : status;
}

static void move_again(struct ta_dasgd *d) {
    d->at_rest = false;
    d->base.delta = d->delta;
}

ta_status ta_dasgd_settle(struct ta_exchange *x, uint32_t round, int64_t now_ns) {
    struct ta_dasgd *d = ta_dasgd_of(x);
    struct ta_exchange *inner = d->control.x;
    d->settling = d->urged = true;
    ta_status status = ta_dasgd_send(d, now_ns);
    if (status != TA_OK) return status;
    if (d->holds || !ta_dasgd_all_consumed(d)) return TA_AGAIN;
    status = inner->ops->settle(inner, round, now_ns);
    if (status == TA_AGAIN) move_again(d); /* another round than the last one */
    if (status != TA_OK) return status;
    d->at_rest = true;
    status = ta_dasgd_refresh(d);
    return status == TA_OK ? ta_dasgd_show(d) : status;
}

ta_status ta_dasgd_resume(struct ta_exchange *x, uint32_t round, int64_t now_ns) {
    struct ta_dasgd *d = ta_dasgd_of(x);
    ta_status status = d->control.x->ops->resume(d->control.x, round, now_ns);
    if (status != TA_OK) return status;
    move_again(d);
    d->settling = d->urged = false;
    return TA_OK;
}
