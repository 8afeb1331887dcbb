/* live_rounds: how replicas come to rest together and go on together, without anybody being in charge.
 *
 * Everybody says in its header which round it has entered and which it is done with. A header is never newer than the
 * body before it (nor does it say "entered" while rows of tables are still to come), and a replica that has entered a
 * round does not step, so who reads "entered" has that replica's last body. Once all have entered, everybody holds the
 * same registers; nobody steps before all have said they are done.
 */
#include "live.h"

bool ta_live_resting(const struct ta_live *l) { return l->said.finished || l->said.entered > l->said.done; }

/* Who is done with the last round is beyond every round: it saw everybody finished and only waits to leave. */
static bool is_in(const struct ta_slot_said *said, uint32_t round) {
    if (round == TA_ROUND_FINAL) return said->finished;
    return said->entered >= round || said->done_final;
}

bool ta_live_counts_in_rest(const struct ta_live *l, unsigned rank) {
    /* Decided by what the rank itself had said, which all survivors agree on: a replica may have come to rest, and
     * taken its weights, while this rank was alive and at rest with it; the others must then count it too. */
    const struct ta_estate *e = &l->estates.estate[rank];
    struct ta_slot_said said = {0};
    ta_slot_unpack_state(e->state, &said);
    return e->frozen && is_in(&said, l->rest_round) && (rank < l->founders || said.steps > 0);
}

static void say_request(struct ta_live *l, uint64_t request) {
    if (request <= l->said.request) return;
    l->said.request = request;
    l->said_version++;
}

static uint64_t highest_request(const struct ta_live *l) {
    uint64_t highest = l->said.request;
    for (unsigned r = 0; r < l->self.n_ranks; r++)
        if (l->members.member[r].known.request > highest) highest = l->members.member[r].known.request;
    return highest;
}

void ta_live_request(struct ta_exchange *x, uint32_t round, uint32_t reason) {
    say_request(ta_live_of(x), (uint64_t)round << 32 | reason);
}

uint32_t ta_live_requested(const struct ta_exchange *x, uint32_t *reason) {
    uint64_t highest = highest_request(ta_live_of_const(x));
    if (reason != NULL) *reason = (uint32_t)highest;
    return (uint32_t)(highest >> 32);
}

/* Who has gone on to a later round is done with this one: it does not step in between. */
bool ta_live_is_done(const struct ta_member *member, uint32_t round) {
    if (round == TA_ROUND_FINAL || member->known.done_final) return member->known.done_final;
    return member->known.done >= round || member->known.entered > round;
}

static void enter(struct ta_live *l, uint32_t round) {
    if (round == TA_ROUND_FINAL ? l->said.finished : l->said.entered >= round) return;
    if (round == TA_ROUND_FINAL)
        l->said.finished = true;
    else
        l->said.entered = round;
    l->said_version++;
    /* What somebody who died asked for must be known to all: say it too. */
    say_request(l, highest_request(l));
    if (round != TA_ROUND_FINAL) say_request(l, (uint64_t)round << 32);
}

static bool all_here(const struct ta_live *l, uint32_t round) {
    for (unsigned p = 0; p < l->self.n_ranks; p++) {
        const struct ta_member *member = &l->members.member[p];
        if (p == l->self.rank || !ta_member_counts(member)) continue;
        if (!member->connected || !member->heard || !is_in(&member->known, round)) return false;
        if (member->acked < l->base.steps || l->outboxes.outbox[p].put_steps != l->base.steps) return false;
        if (!ta_rows_all_out(&l->rows, p)) return false;
    }
    return true;
}

ta_status ta_live_settle(struct ta_exchange *x, uint32_t round, int64_t now_ns) {
    struct ta_live *l = ta_live_of(x);
    if (l->members.accused) return ta_live_accused(l);
    if (l->members.outside) return ta_live_outside(l, "came to rest");
    bool falls = round < l->said.entered || round <= l->said.done || round > TA_SLOT_MAX_ROUND;
    if (round == 0 || (round != TA_ROUND_FINAL && falls))
        return ta_fail(TA_INVALID, "exchange: round %u asked for after round %u; rounds rise from 1 to %u", round,
                       l->said.entered, TA_SLOT_MAX_ROUND);
    enter(l, round);
    if (l->rows.n_changed > 0) ta_live_tables_sweep(l);
    if (l->at_rest && l->rest_round == round) return TA_OK;
    l->at_rest = false;
    if (!all_here(l, round) || !ta_estates_agreed(l) || (l->whole != NULL && !ta_whole_is_current(l))) {
        ta_outboxes_flush(l, now_ns);
        return TA_AGAIN;
    }
    l->at_rest = true;
    l->rest_round = round;
    ta_status status = ta_live_apply(l);
    return status == TA_OK && l->whole != NULL ? ta_whole_rest(l, round) : status;
}

ta_status ta_live_resume(struct ta_exchange *x, uint32_t round, int64_t now_ns) {
    struct ta_live *l = ta_live_of(x);
    if (l->members.accused) return ta_live_accused(l);
    if (round == 0 || !(l->rest_round == round))
        return ta_fail(TA_INVALID, "exchange: round %u is not the one this replica settled in (%u)", round,
                       l->rest_round);
    bool final = round == TA_ROUND_FINAL;
    if (final ? !l->said.done_final : l->said.done < round) {
        if (final)
            l->said.done_final = true;
        else
            l->said.done = round;
        l->said_version++;
    }
    ta_outboxes_flush(l, now_ns);
    for (unsigned p = 0; p < l->self.n_ranks; p++) {
        const struct ta_member *member = &l->members.member[p];
        if (p != l->self.rank && ta_member_counts(member) && !ta_live_is_done(member, round)) return TA_AGAIN;
    }
    l->at_rest = false;
    l->stale = true;
    return TA_OK;
}

void ta_live_pass_rounds(struct ta_live *l) {
    uint32_t asked = (uint32_t)(highest_request(l) >> 32);
    if (asked <= l->said.entered || asked > TA_SLOT_MAX_ROUND) return;
    enter(l, asked);
    l->said.done = asked;
}

void ta_live_leave(struct ta_exchange *x, int64_t now_ns) {
    struct ta_live *l = ta_live_of(x);
    if (!l->said.left) l->said_version++;
    l->said.left = true;
    ta_live_tables_sweep(l);
    ta_outboxes_flush(l, now_ns);
}
