/* live_join: how a spare comes into a run, without anybody being in charge.
 *
 *     outside    it is connected, both ways, by whoever finds it, and gets a full put of each. Nobody waits for it; it
 *                makes no step, so its register is zero, and who counts it has the same weights as who does not.
 *     welcome    a member that is not at rest counts on it from now on, says so on its board (to all) and behind its
 *                acknowledgement (to the spare), and never comes to rest without it again. The spare says at once that
 *                it is in every round that is asked for, and done with it: it has no step that could be missing.
 *     inside     welcomed by all that are live, and by all spares on whom one of those counts; with all they have, and
 *                what the gone left; when no round is under way. It takes over a share of the stream, and may step.
 *
 * So a spare steps only when everybody waits for it in a round, and a rest in which it was not counted is over by then
 * for all: a member that rests welcomes nobody.
 *
 * Two spares that come at once: of any two members one may welcome them in another order than the other. A member that
 * welcomes the second has the first on its board by then, and the board is delivered before the welcome. So of two
 * spares at least one knows of the other before it is inside, and needs its welcome; with which comes what share the
 * other has, or else the knowledge that the other knows of it, too: then the lower one chooses first.
 *
 * A share has belonged to its own rank, and then to one spare after another. It is free when all of these are dead, and
 * goes on after the last of their positions: part of what survivors agree on (estate.h).
 */
#include "live.h"

ta_status ta_live_outside(const struct ta_live *l, const char *what) {
    return ta_fail(TA_INVALID, "exchange: spare %u %s before it was in the run", l->self.rank, what);
}

ta_status ta_live_look_outside(struct ta_live *l) {
    struct ta_membership *m = &l->members;
    if (l->self.n_ranks == l->founders) return TA_OK;
    if (m->stranded)
        return ta_fail(TA_PEER, "spare %u cannot join: it has heard nothing of peer %u for too long", l->self.rank,
                       m->silent);
    if (m->outside) ta_live_pass_rounds(l);
    bool rests = l->at_rest || l->said.entered > l->said.done || l->said.done_final || l->said.left;
    if (!rests) l->stale |= ta_membership_welcome(m);
    return TA_OK;
}

/* Of all that `peer` has made there was a full put: a header that claims no step, though there are some, comes while
 * rows of its tables are still on their way. */
static bool is_whole(const struct ta_live *l, unsigned peer) {
    const char *control = l->window + ta_slot_control(&l->layout, l->self.rank, peer);
    return l->members.member[peer].known.steps > 0 || ta_slot_made(control + TA_SLOT_HEADER) == 0;
}

/* Somebody who is in the run: spares that are outside do not make one. */
static bool is_inside(const struct ta_live *l, unsigned peer) {
    const struct ta_member *member = &l->members.member[peer];
    return peer != l->self.rank && ta_member_counts(member) && (peer < l->founders || member->share != 0);
}

static bool is_complete(const struct ta_live *l) {
    unsigned with_us = 0;
    for (unsigned p = 0; p < l->self.n_ranks; p++) {
        const struct ta_member *member = &l->members.member[p];
        if (p == l->self.rank || ta_member_gone(member)) continue;
        if (member->expected) return false;
        if (!ta_member_counts(member)) continue;
        if (!member->connected || !member->heard || !member->welcome || !is_whole(l, p)) return false;
        if (!ta_live_is_done(member, l->said.entered)) return false;
        with_us += is_inside(l, p);
    }
    return with_us > 0 && ta_estates_agreed(l);
}

/* All that are left wait for the last rest, or there is nobody. */
static bool is_over(const struct ta_live *l) {
    for (unsigned p = 0; p < l->self.n_ranks; p++)
        if (is_inside(l, p) && !l->members.member[p].known.finished) return false;
    return true;
}

/* Whether the share of `rank` is free, and after how many of its batches. */
static bool is_free(const struct ta_live *l, unsigned rank, uint64_t *position) {
    const struct ta_estates *e = &l->estates;
    if (l->members.member[rank].life != TA_PEER_DEAD) return false;
    *position = e->estate[rank].position;
    for (unsigned p = l->founders; p < l->self.n_ranks; p++) {
        const struct ta_member *member = &l->members.member[p];
        if (p == l->self.rank) continue;
        if (ta_member_counts(member) && member->share == rank + 1) return false;
        if (!ta_member_gone(member) || e->estate[p].share != rank + 1) continue;
        if (e->estate[p].position > *position) *position = e->estate[p].position;
    }
    return true;
}

static bool choose(const struct ta_live *l, struct ta_exchange_entry *out) {
    for (unsigned p = l->founders; p < l->self.rank; p++)
        if (ta_member_counts(&l->members.member[p]) && l->members.member[p].share == 0) return false;
    for (unsigned rank = 0; rank < l->founders; rank++) {
        out->share = rank;
        if (is_free(l, rank, &out->position)) return true;
    }
    return false;
}

/* Moving statistics start from what the others have: nobody has counted ours yet. */
static ta_status start_statistics(struct ta_live *l) {
    struct ta_exchange *x = &l->base;
    ta_status status = l->stale ? ta_live_apply(l) : TA_OK;
    for (unsigned s = 0; s < x->model->n_segments && status == TA_OK; s++) {
        const struct ta_segment *segment = &x->model->segments[s];
        if (segment->kind != TA_SEGMENT_MEAN) continue;
        const float *from = x->w + segment->offset;
        status = l->kernel_ops->mean(l->kernels, segment->count, x->delta + segment->offset, &from, 1);
    }
    for (unsigned p = 0; p < l->self.n_ranks; p++) /* the body goes out again */
        l->outboxes.outbox[p].body_steps = l->outboxes.outbox[p].put_steps = UINT64_MAX;
    return status;
}

ta_status ta_live_enter(struct ta_exchange *x, int64_t now_ns, struct ta_exchange_entry *out) {
    struct ta_live *l = ta_live_of(x);
    *out = (struct ta_exchange_entry){0};
    if (!l->members.outside)
        return ta_fail(TA_INVALID, "exchange: rank %u is in the run: only ranks from %u on can join, once", x->rank,
                       l->founders);
    if (l->members.accused) return ta_live_accused(l);
    out->complete = is_complete(l);
    if (!out->complete && is_over(l))
        return ta_fail(TA_PEER, "spare %u came too late: the run is about to end", x->rank);
    if (!out->complete || !choose(l, out)) return TA_AGAIN;
    ta_status status = start_statistics(l);
    if (status != TA_OK) return status;
    out->round = l->said.entered;
    for (unsigned p = 0; p < x->n_ranks; p++) ta_live_bound_join(l, p);
    l->members.outside = false;
    l->share = out->share + 1;
    x->position = out->position;
    l->said_version++;
    ta_log_info(l->log, "in the run, with the share of rank %u after its batch %llu", out->share,
                (unsigned long long)out->position);
    ta_outboxes_flush(l, now_ns);
    return TA_OK;
}
