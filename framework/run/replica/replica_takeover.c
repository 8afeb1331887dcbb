/* replica_takeover: what a lost replica has left of its share of the stream is dealt anew, to those who are there.
 *
 * In a round, so that nobody is in the midst of a batch. At rest all know the same of all ranks: how many batches of
 * their shares they have done, who is lost (and had not come to this rest), who waits in the last round. From that each
 * computes, alone, what the run has done so far, and deals the rest round-robin to those who are there and have not
 * finished, as for a later life with fewer replicas: nothing that is known to be trained on is trained on again. What
 * no survivor has heard of is. Of a put that its writer's death cut short the body may be there and the position not,
 * since the position follows it: such a batch counts twice rather than never.
 *
 * Our position is a deal's number (that of the round it was made in) and, behind it, batches of our share in that deal.
 * So it only rises, survivors agree on it, and whoever dies next is settled in the same way.
 *
 * A round may be passed over by somebody who goes straight to a later one; then nobody has made a step in between. So a
 * deal in which nobody has made a step is taken back at the next rest, and made again there, by all alike.
 */
#include <inttypes.h>
#include <stdio.h>

#include "clock.h"
#include "mem.h"
#include "replica_internal.h"

enum { COUNT_BITS = 40 }; /* of a position: batches. A round has 24 (slot.h) */

/* What all know of a rank at rest. */
struct standing {
    uint32_t deal;
    uint64_t count;              /* batches done of its share in that deal */
    unsigned share;              /* 1 more than it; 0: none */
    bool there, gone, finished;  /* there: at this rest, or gone since */
};

static uint64_t position_of(uint32_t deal, uint64_t count) { return (uint64_t)deal << COUNT_BITS | count; }
static uint32_t deal_of(uint64_t position) { return (uint32_t)(position >> COUNT_BITS); }
static uint64_t count_of(uint64_t position) { return position & ((UINT64_C(1) << COUNT_BITS) - 1); }

/* --- our position --- */

static void add_to_position(struct ta_replica *r, uint64_t batches) {
    uint64_t count = deal_of(r->x->position) == r->deal.number ? count_of(r->x->position) : 0;
    r->x->position = position_of(r->deal.number, count + batches);
}

void ta_replica_position_move(struct ta_replica *r, uint64_t number) {
    uint64_t batch = 0, batches = 0;
    do {
        if (!ta_share_next(&r->walk, number + 1, &batch)) break;
        batches++;
    } while (batch < number);
    if (batches > 0) add_to_position(r, batches);
}

void ta_replica_position_drop(struct ta_replica *r) {
    for (;;) {
        struct ta_share ahead = r->walk; /* borrows the sets; looking on moves only its own cursor */
        uint64_t batch;
        if (!ta_share_next(&ahead, UINT64_MAX, &batch) || !ta_frontier_has(&r->share.done, batch)) return;
        r->walk.cursor = ahead.cursor;
        r->walk.dealt = ahead.dealt;
        add_to_position(r, 1);
    }
}

/* --- a deal --- */

static void deal_free(struct ta_replica_deal *deal) {
    ta_mem_free(deal->share_of);
    ta_frontier_free(&deal->start);
    *deal = (struct ta_replica_deal){0};
}

ta_status ta_replica_deal_open(struct ta_replica *r) {
    r->deal.n = r->share.n_ranks;
    return ta_frontier_copy(&r->deal.start, &r->share.start);
}

void ta_replica_deal_close(struct ta_replica *r) {
    deal_free(&r->deal);
    deal_free(&r->before);
}

bool ta_replica_takes_over(const struct ta_replica *r) {
    return r->run->run.takeover != TA_TAKEOVER_NO && r->config.spares == 0 && r->exchange_ops->hands_down;
}

/* Batches of the run; a stream that has no end: as many as there are numbers. */
static uint64_t batches_of_run(const struct ta_replica *r) {
    uint64_t goal = ta_run_config_goal(r->run, &r->info), batch = r->run->stream.batch;
    return goal == 0 ? UINT64_MAX : goal / batch + (goal % batch != 0);
}

static void stand(struct ta_replica *r, const struct ta_replica_deal *deal, unsigned rank, struct standing *out) {
    bool own = rank == r->config.rank;
    struct ta_peer_stats *s = &r->peer;
    unsigned first = ta_replica_is_spare(r) ? r->share.rank : r->config.rank; /* what we have now may be of a later deal */
    if (own) *s = (struct ta_peer_stats){.position = r->x->position, .share = first, .finished = r->finished};
    else r->exchange_ops->peer_stats(r->x, rank, s);
    bool has_share = own ? !ta_replica_is_spare(r) || r->replayer != NULL : s->has_share;
    *out = (struct standing){.deal = deal_of(s->position),
                             .count = count_of(s->position),
                             .share = has_share ? s->share + 1 : 0,
                             .there = own || s->rests,
                             .gone = !own && (s->life == TA_PEER_DEAD || s->life == TA_PEER_LEFT),
                             .finished = s->finished};
    if (deal->share_of != NULL) out->share = deal->share_of[rank];
    if (out->deal != deal->number) out->count = 0; /* it has not begun with its share of this deal */
}

/* The deal that counts: the last in which somebody has made a step. */
static const struct ta_replica_deal *deal_that_counts(struct ta_replica *r) {
    struct standing s;
    for (unsigned rank = 0; rank < r->config.n_ranks && r->deal.number > 0; rank++) {
        stand(r, &r->deal, rank, &s);
        if (s.deal == r->deal.number) return &r->deal;
    }
    return r->deal.number > 0 ? &r->before : &r->deal;
}

static ta_status done_in(struct ta_replica *r, const struct ta_replica_deal *deal, struct ta_frontier *out) {
    uint64_t *counts;
    ta_status status = TA_NEW(&counts, deal->n, "what the replicas have done");
    for (unsigned rank = 0; rank < r->config.n_ranks && status == TA_OK; rank++) {
        struct standing s;
        stand(r, deal, rank, &s);
        if (s.share == 0 || s.share > deal->n) continue;
        /* Of a share that a spare goes on with: what that spare says, which begins with what the lost one had done. */
        if (s.count > counts[s.share - 1]) counts[s.share - 1] = s.count;
    }
    if (status == TA_OK) status = ta_frontier_dealt(out, &deal->start, counts, deal->n, batches_of_run(r));
    ta_mem_free(counts);
    return status;
}

ta_status ta_replica_done_by_all(struct ta_replica *r, struct ta_frontier *out) {
    return done_in(r, deal_that_counts(r), out);
}

/* --- dealing anew --- */

bool ta_replica_takeover_due(struct ta_replica *r) {
    for (unsigned rank = 0; rank < r->config.n_ranks && ta_replica_takes_over(r); rank++) {
        if (rank == r->config.rank || r->life[rank] != TA_PEER_DEAD) continue;
        struct standing s;
        stand(r, &r->deal, rank, &s);
        if (s.share > 0 && !s.finished) return true;
    }
    return false;
}

/* " 3 (37 batches done)" for each of the lost; how many there are. */
static unsigned list_lost(struct ta_replica *r, const struct ta_replica_deal *deal, char *text, size_t bytes) {
    unsigned lost = 0;
    int at = 0;
    text[0] = '\0';
    for (unsigned rank = 0; rank < r->config.n_ranks; rank++) {
        struct standing s;
        stand(r, deal, rank, &s);
        if (s.share == 0 || s.finished || s.there || !s.gone) continue;
        lost++;
        if (at >= 0 && (size_t)at < bytes)
            at += snprintf(text + at, bytes - (size_t)at, " %u (after %" PRIu64 " batches of its share)", rank,
                           s.count);
    }
    return lost;
}

/* To those who are there and have not finished, in rising order. */
static void list_heirs(struct ta_replica *r, struct ta_replica_deal *deal) {
    for (unsigned rank = 0; rank < r->config.n_ranks; rank++) {
        struct standing s;
        stand(r, deal, rank, &s);
        if (s.there && !s.finished) deal->share_of[rank] = (uint16_t)++deal->n;
    }
}

/* A reader of our new share; the clock of the stream goes on as it was. */
static ta_status open_share_anew(struct ta_replica *r) {
    struct ta_replayer_stats stats;
    int64_t origin_ns = ta_replayer_origin_ns(r->replayer);
    ta_replayer_stats(r->replayer, &stats);
    r->base_dropped += stats.dropped_records;
    ta_replica_ahead_forget(r);
    ta_replayer_close(r->replayer); /* what it has read ahead is not done, so it is dealt again */
    r->replayer = NULL;
    ta_status status = ta_replica_open_stream(r);
    if (status != TA_OK) return status;
    ta_replayer_start(r->replayer, 0);
    ta_replayer_start(r->replayer, origin_ns - ta_replayer_origin_ns(r->replayer));
    return TA_OK;
}

static ta_status begin_share(struct ta_replica *r) {
    unsigned own = r->deal.share_of[r->config.rank];
    struct ta_share share, walk;
    if (own == 0) return ta_frontier_copy(&r->share.done, &r->deal.start);
    ta_status status = ta_share_init(&share, own - 1, r->deal.n, &r->deal.start);
    if (status != TA_OK) return status;
    status = ta_share_init(&walk, own - 1, r->deal.n, &r->deal.start);
    if (status != TA_OK) {
        ta_share_free(&share);
        return status;
    }
    ta_share_free(&r->share);
    ta_share_free(&r->walk);
    r->share = share;
    r->walk = walk;
    r->after = TA_REPLICA_TRAINING;
    return open_share_anew(r);
}

static void tell(struct ta_replica *r, const char *lost, uint64_t done, int64_t now_ns) {
    unsigned own = r->deal.share_of[r->config.rank];
    char left[64] = "the rest", ours[64] = "we have finished";
    uint64_t end = batches_of_run(r);
    if (end != UINT64_MAX)
        snprintf(left, sizeof left, "%" PRIu64 " of %" PRIu64 " batches", end > done ? end - done : 0, end);
    if (own > 0) snprintf(ours, sizeof ours, "we take share %u", own - 1);
    ta_replica_event(r, now_ns, "takeover", "lost:%s; %s dealt to %u, %s", lost, left, r->deal.n, ours);
}

ta_status ta_replica_take_over(struct ta_replica *r, int64_t now_ns) {
    if (!ta_replica_takes_over(r)) return TA_OK;
    const struct ta_replica_deal *base = deal_that_counts(r);
    char lost[256];
    if (list_lost(r, base, lost, sizeof lost) == 0) return TA_OK;
    struct ta_replica_deal next = {.number = r->target};
    ta_status status = TA_NEW(&next.share_of, r->config.n_ranks, "who has what share of the stream");
    if (status == TA_OK) status = done_in(r, base, &next.start);
    if (status == TA_OK) list_heirs(r, &next);
    if (status != TA_OK || next.n == 0) { /* nobody is left to deal to: counted in the end */
        deal_free(&next);
        return status;
    }
    if (base == &r->deal) {
        deal_free(&r->before);
        r->before = r->deal;
    } else {
        deal_free(&r->deal);
    }
    r->deal = next;
    status = begin_share(r);
    if (status == TA_OK) tell(r, lost, ta_frontier_count(&r->deal.start), now_ns);
    return status;
}

ta_status ta_replica_count_done(struct ta_replica *r, int64_t now_ns) {
    struct ta_frontier done = {0};
    uint64_t goal = ta_run_config_goal(r->run, &r->info), batch = r->run->stream.batch;
    if (goal == 0 || !r->exchange_ops->hands_down) return TA_OK;
    ta_status status = ta_replica_done_by_all(r, &done);
    if (status != TA_OK) return status;
    uint64_t end = batches_of_run(r), records = ta_frontier_count(&done) * batch;
    if (ta_frontier_has(&done, end - 1)) records -= end * batch - goal; /* the last one is shorter */
    ta_frontier_free(&done);
    ta_board_set(ta_replica_row(r)->done_records, records);
    if (records < goal && ta_replica_lowest_live(r) == r->config.rank)
        ta_replica_event(r, now_ns, "untrained", "%" PRIu64 " records of %" PRIu64 " that nobody has trained on",
                         goal - records, goal);
    return TA_OK;
}
