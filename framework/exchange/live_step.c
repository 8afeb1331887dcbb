/* live_step: a gradient becomes an update of our register at once, and is put. */
#include "live.h"

ta_status ta_live_ready(struct ta_exchange *x, int64_t now_ns) {
    (void)x, (void)now_ns;
    return TA_OK;
}

ta_status ta_live_step(struct ta_exchange *x, float *grad, uint64_t records, int64_t now_ns) {
    struct ta_live *l = ta_live_of(x);
    ta_status status = l->updater.update(l->updater.owner, grad, x->w, x->scale, x->delta);
    return status == TA_OK ? ta_live_stepped(x, records, now_ns) : status;
}

ta_status ta_live_stepped(struct ta_exchange *x, uint64_t records, int64_t now_ns) {
    struct ta_live *l = ta_live_of(x);
    if (l->members.outside) return ta_live_outside(l, "stepped");
    if (records == 0) return TA_OK; /* delta is as it was */
    if (ta_live_resting(l))
        return ta_fail(TA_INVALID, "exchange: replica %u stepped between settle and resume of round %u", x->rank,
                       l->said.finished ? TA_ROUND_FINAL : l->said.entered);
    x->steps++;
    x->records += records;
    l->stale |= l->dense; /* tables have the update in w already */
    ta_live_tables_tick(l, now_ns);
    for (unsigned p = 0; p < x->n_ranks; p++) {
        const struct ta_member *member = &l->members.member[p];
        if (p == x->rank || ta_member_gone(member)) continue;
        if (member->heard && ta_member_counts(member)) {
            uint64_t now = ta_slot_made(l->window + ta_slot_control(&l->layout, x->rank, p) + TA_SLOT_HEADER);
            ta_staleness_count(&l->staleness, p, now);
        }
        if (member->connected && !l->members.accused && !ta_outbox_push(l, p, now_ns)) l->outboxes.outbox[p].busy++;
    }
    return TA_OK;
}
