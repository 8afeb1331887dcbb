/* sync_step: our gradient goes in, everybody's sum comes out, and is one update. */
#include "sync.h"

ta_status ta_sync_apply(struct ta_sync *s) {
    struct ta_exchange *x = &s->base;
    ta_status status = TA_OK;
    for (unsigned n = 0; n < x->model->n_segments && status == TA_OK; n++) {
        const struct ta_segment *segment = &x->model->segments[n];
        const float *delta = s->delta + segment->offset;
        float *w = x->w + segment->offset;
        status = segment->kind == TA_SEGMENT_MEAN
                     ? s->kernel_ops->mean(s->kernels, segment->count, w, &delta, 1)
                     : s->kernel_ops->sum(s->kernels, segment->count, w, x->w0 + segment->offset, &delta, 1);
    }
    return status;
}

/* The inner exchange tells the others, and counts. */
static ta_status tell(struct ta_sync *s, int64_t now_ns) {
    s->control.x->position = s->gradient_position;
    if (s->base.n_ranks > 1) ta_hist_add(&s->staleness, 0); /* all gradients of an update are of the same weights */
    return s->control.x->ops->stepped(s->control.x, s->gradient_records, now_ns);
}

/* An update of w from a sum of gradients, scaled already. */
static ta_status update(struct ta_sync *s, const float *sum, float scale, bool own, int64_t now_ns) {
    struct ta_exchange *x = &s->base;
    ta_status status = s->updater.update(s->updater.owner, sum, x->w, scale, s->delta);
    if (status == TA_OK) status = ta_sync_apply(s);
    if (own) s->pending = false;
    if (own && status == TA_OK) status = tell(s, now_ns);
    if (own && status == TA_NUMERIC) {
        x->steps--;
        x->records -= s->gradient_records;
    }
    return status;
}

/* The result of a reduction is there. */
static ta_status finish(struct ta_sync *s, int64_t now_ns) {
    bool had = s->recovery && (uint32_t)s->completed == s->most;
    s->recovery = false;
    if (had) return TA_OK; /* it was for others */
    s->completed++;
    s->settled_steps = s->base.steps - (s->pending ? 1 : 0);
    const float *sum;
    ta_status status = ta_sync_landed(s, &sum);
    if (status == TA_OK) status = update(s, sum, 1, s->own, now_ns);
    if (status != TA_NUMERIC) return status;
    s->numeric = true;
    return TA_OK;
}

ta_status ta_sync_progress(struct ta_sync *s, int64_t now_ns) {
    ta_status status = TA_OK;
    if (s->base.n_ranks == 1) return TA_OK;
    bool forming = ta_sync_form(s, now_ns);
    bool passive = (s->round != 0 && !s->at_rest) || s->idle;
    if (!forming && !s->busy) {
        if (s->pending) ta_sync_ring_begin(s, s->gradient, true);
        else if (passive && ta_sync_ring_called(s)) ta_sync_ring_begin(s, NULL, false);
    }
    if (!forming && ta_sync_ring_move(s, now_ns)) status = finish(s, now_ns);
    ta_sync_say_all(s);
    return status == TA_OK ? s->put_status : status;
}

ta_status ta_sync_ready(struct ta_exchange *x, int64_t now_ns) {
    struct ta_sync *s = ta_sync_of(x);
    ta_status status = ta_sync_progress(s, now_ns);
    if (status != TA_OK) return status;
    if (s->numeric) {
        s->numeric = false;
        return ta_fail(TA_NUMERIC, "the sum of all gradients of reduction %llu is not finite, so it was dropped; lower "
                       "optimizer.rate, set optimizer.clip_norm, or look for huge numbers in the stream",
                       (unsigned long long)s->completed);
    }
    return s->pending || s->busy || s->forming ? TA_AGAIN : TA_OK;
}

ta_status ta_sync_step(struct ta_exchange *x, float *grad, uint64_t records, int64_t now_ns) {
    struct ta_sync *s = ta_sync_of(x);
    if (s->pending)
        return ta_fail(TA_CONFIG, "exchange.type sync: a second gradient before the first was reduced: labels that "
                       "come late, and rehearsal, make several steps at once; use exchange.type live");
    if (s->round != 0)
        return ta_fail(TA_INVALID, "exchange: replica %u stepped between settle and resume of round %u", x->rank,
                       s->round);
    s->idle = false;
    s->gradient_records = records;
    s->gradient_position = x->position;
    x->steps++;
    x->records += records;
    if (x->n_ranks == 1) {
        s->pending = true;
        return update(s, grad, x->scale, true, now_ns);
    }
    ta_status status = ta_sync_keep(s, grad);
    if (status != TA_OK) return status;
    s->pending = true;
    return ta_sync_progress(s, now_ns);
}

ta_status ta_sync_stepped(struct ta_exchange *x, uint64_t records, int64_t now_ns) {
    struct ta_sync *s = ta_sync_of(x);
    (void)now_ns;
    if (records > 0)
        return ta_fail(TA_INVALID, "exchange: sync makes its updates itself, of gradients: call step, not stepped");
    s->idle = !s->pending;
    return TA_OK;
}
