/* live_step: a gradient becomes an update of our register at once, as strong as its staleness allows, and is put. */
#include "live.h"

/* What was missing from the weights of a gradient that is ready now: counted, peer by peer and together. */
static uint64_t count_missing(struct ta_live *l) {
    const struct ta_exchange *x = &l->base;
    uint64_t missing = 0;
    if (x->n_ranks == 1) return 0;
    for (unsigned p = 0; p < x->n_ranks; p++) {
        const struct ta_member *member = &l->members.member[p];
        if (p == x->rank || !member->heard || !ta_member_counts(member)) continue;
        missing += ta_staleness_count(&l->staleness, p, ta_live_made_before(l, p));
    }
    ta_staleness_count_all(&l->staleness, missing);
    return missing;
}

/* A step is in delta: it goes out. */
static void put_step(struct ta_live *l, uint64_t records, int64_t now_ns) {
    struct ta_exchange *x = &l->base;
    x->steps++;
    x->records += records;
    l->stale |= l->dense; /* tables have the update in w already */
    ta_live_tables_tick(l, now_ns);
    for (unsigned p = 0; p < x->n_ranks; p++) {
        const struct ta_member *member = &l->members.member[p];
        if (p == x->rank || ta_member_gone(member)) continue;
        if (member->connected && !l->members.accused && !ta_outbox_push(l, p, now_ns)) l->outboxes.outbox[p].busy++;
    }
}

static ta_status may_step(const struct ta_live *l) {
    if (l->members.outside) return ta_live_outside(l, "stepped");
    if (!ta_live_resting(l)) return TA_OK;
    return ta_fail(TA_INVALID, "exchange: replica %u stepped between settle and resume of round %u", l->self.rank,
                   l->said.finished ? TA_ROUND_FINAL : l->said.entered);
}

/* Takes in what has arrived, and turns the gradient into what it might be on these weights (damping.h). Moving
 * statistics are measured, not descended: theirs stays. */
static ta_status compensate(struct ta_live *l, float *grad, int64_t now_ns) {
    struct ta_exchange *x = &l->base;
    const float *basis = x->w;
    ta_status status = l->kernel_ops->mean(l->kernels, l->layout.n_params, l->basis, &basis, 1);
    l->stale |= ta_membership_hear(&l->members, now_ns);
    if (status == TA_OK && l->stale) status = ta_live_apply(l);
    for (unsigned s = 0; s < x->model->n_segments && status == TA_OK; s++) {
        const struct ta_segment *segment = &x->model->segments[s];
        if (segment->kind != TA_SEGMENT_SUM) continue;
        status = l->kernel_ops->compensate(l->kernels, segment->count, (float)l->damping.rate, x->w + segment->offset,
                                           l->basis + segment->offset, grad + segment->offset);
    }
    return status;
}

ta_status ta_live_step(struct ta_exchange *x, float *grad, uint64_t records, int64_t now_ns) {
    struct ta_live *l = ta_live_of(x);
    ta_status status = may_step(l);
    if (status != TA_OK) return status;
    uint64_t missing = count_missing(l);
    if (l->basis != NULL && missing > 0) status = compensate(l, grad, now_ns);
    float scale = x->scale * ta_damping_scale(&l->damping, missing);
    if (status == TA_OK) status = l->updater.update(l->updater.owner, grad, x->w, scale, x->delta);
    if (status == TA_OK) put_step(l, records, now_ns);
    return status;
}

ta_status ta_live_stepped(struct ta_exchange *x, uint64_t records, int64_t now_ns) {
    struct ta_live *l = ta_live_of(x);
    if (l->members.outside) return ta_live_outside(l, "stepped");
    if (records == 0 && l->bound.most < 0) return TA_OK; /* delta is as it was */
    ta_status status = may_step(l);
    if (status != TA_OK) return status;
    if (records > 0) (void)count_missing(l);
    put_step(l, records, now_ns);
    return TA_OK;
}
