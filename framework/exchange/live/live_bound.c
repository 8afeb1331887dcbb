/* live_bound: how far a replica may go ahead of the others (exchange.max_staleness), and the lock-step of bound 0.
 *
 * Who is more than N steps ahead of a peer that still steps waits. A peer in a round, finished, gone, or a spare that
 * is not in yet makes no steps that could be waited for. So nobody waits for ever: of all that step, the one with the
 * fewest steps never waits.
 *
 * With N = 0 gradient k + 1 is computed on exactly the steps up to k of all. A body is state, so a peer's step k + 1
 * would overwrite its step k, which somebody may not have seen yet. Therefore
 *
 *     - a body goes to a peer only when the peer has made more steps than it holds of ours: until then a header says
 *       that there is more (slot.h), at once, and claims nothing;
 *     - `ready` waits until step k of all is in w, ours has been put to all, and no such put still reads our register,
 *       which the next step changes.
 *
 * A skipped step (exchange.h: stepped with 0 records) counts as a step, of zero, where there is a bound: else a replica
 * without labels, or whose gradients are not finite, would hold up the others. One that waits for its data holds
 * them up: that is what a bound means. On a new path a peer is put what there is, and a round begins where each one is:
 * one that was a step behind then makes that step on weights that hold one more step of the others, the only
 * exceptions.
 *
 * Steps are compared as made since the start of this life, or since a spare came in: `level` of ours are as many as 0
 * of the peer's. A member notes it when it hears that the spare is in, the spare earlier, when it comes in: so both
 * see the other at least as far as it sees itself, and never wait for each other.
 */
#include "live.h"
#include "mem.h"

static bool lock_step(const struct ta_live *l) { return l->bound.most == 0; }

ta_status ta_live_bound_open(struct ta_live *l, const struct ta_exchange_spec *spec,
                             const struct ta_exchange_start *start) {
    struct ta_live_bound *b = &l->bound;
    ta_status status = ta_exchange_bound(spec, &b->most);
    if (l->base.model->n_segments == 0) b->most = -1; /* control.h */
    if (status == TA_OK && b->most == 0 && l->rows.n_tables > 0)
        return ta_fail(TA_CONFIG, "exchange.max_staleness 0: tables of rows are put row by row, over many steps, so no "
                       "peer holds a step as a whole: bound a word model by 1 or more");
    if (status != TA_OK || b->most < 0) return status;
    status = TA_NEW(&b->level, l->self.n_ranks, "steps of peers at the start");
    if (status == TA_OK) status = TA_NEW(&b->known, l->self.n_ranks, "spares that are in");
    for (unsigned p = 0; status == TA_OK && p < l->founders; p++) {
        uint64_t its = start->peer_steps != NULL ? start->peer_steps[p] : 0;
        b->level[p] = (int64_t)start->steps - (int64_t)its;
        b->known[p] = l->self.rank < l->founders;
    }
    l->held_bytes += l->self.n_ranks * (sizeof *b->level + sizeof *b->known);
    return status;
}

void ta_live_bound_close(struct ta_live *l) {
    ta_mem_free(l->bound.known);
    ta_mem_free(l->bound.level);
    l->bound = (struct ta_live_bound){.most = -1};
}

uint64_t ta_live_made(const struct ta_live *l, unsigned peer) {
    const struct ta_member *member = &l->members.member[peer];
    if (!member->heard || ta_member_gone(member)) return member->known.steps;
    uint64_t made = ta_slot_made(l->window + ta_slot_control(&l->layout, l->self.rank, peer) + TA_SLOT_HEADER);
    return made > member->known.steps ? made : member->known.steps;
}

/* Steps of the peer, counted as ours are. */
static int64_t level_with(const struct ta_live *l, unsigned peer, uint64_t steps) {
    return (int64_t)steps + l->bound.level[peer];
}

void ta_live_bound_join(struct ta_live *l, unsigned peer) {
    struct ta_live_bound *b = &l->bound;
    if (b->most < 0 || b->known[peer] || (peer >= l->founders && l->members.member[peer].share == 0)) return;
    /* Not less what a spare has made since it came in: then it might be seen further back than it sees us. */
    b->level[peer] = l->members.outside ? -(int64_t)ta_live_made(l, peer) : (int64_t)l->base.steps;
    b->known[peer] = true;
}

uint64_t ta_live_made_before(const struct ta_live *l, unsigned peer) {
    uint64_t made = ta_live_made(l, peer);
    if (!lock_step(l) || !l->bound.known[peer]) return made;
    int64_t level = (int64_t)l->base.steps - l->bound.level[peer]; /* steps of the peer that come before ours */
    return level < 0 ? 0 : (uint64_t)level < made ? (uint64_t)level : made;
}

/* It makes steps, as far as we know. */
static bool steps_on(const struct ta_live *l, unsigned peer) {
    const struct ta_member *member = &l->members.member[peer];
    const struct ta_slot_said *said = &member->known;
    bool rests = said->finished || said->done_final || said->left || said->entered > said->done;
    return peer != l->self.rank && ta_member_counts(member) && !rests && (peer < l->founders || member->share != 0);
}

bool ta_live_withholds(const struct ta_live *l, unsigned peer) {
    if (!lock_step(l) || !steps_on(l, peer) || !l->bound.known[peer]) return false;
    const struct ta_outbox *out = &l->outboxes.outbox[peer];
    if (!out->joined || out->put_steps == UINT64_MAX || out->put_steps == l->base.steps) return false;
    return (int64_t)out->put_steps >= level_with(l, peer, ta_live_made(l, peer));
}

ta_status ta_live_ready(struct ta_exchange *x, int64_t now_ns) {
    (void)now_ns;
    struct ta_live *l = ta_live_of(x);
    if (l->bound.most < 0) return TA_OK;
    if (lock_step(l) && l->stale && x->n_ranks > 1) return TA_AGAIN; /* poll makes w of what is here */
    for (unsigned p = 0; p < x->n_ranks; p++) {
        if (!steps_on(l, p)) continue;
        ta_live_bound_join(l, p);
        if ((int64_t)x->steps - level_with(l, p, ta_live_made(l, p)) > l->bound.most) return TA_AGAIN;
        if (!lock_step(l)) continue;
        const struct ta_outbox *out = &l->outboxes.outbox[p];
        if (level_with(l, p, l->staleness.basis[p]) < (int64_t)x->steps) return TA_AGAIN;
        if (out->put_steps != x->steps || ta_outbox_reads_body(l, p)) return TA_AGAIN;
    }
    return TA_OK;
}
