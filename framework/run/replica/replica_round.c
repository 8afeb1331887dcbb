/* replica_round: how replicas come to rest together, take a snapshot, and go on or leave.
 *
 * The number of a round says what it is for: a multiple of four is a checkpoint, other even ones are rests without one
 * (to deal the stream anew: replica_takeover.c), odd is a checkpoint and then the end. So two replicas that ask for
 * different things at the same moment cannot be understood differently by the others: the highest number wins, and who
 * wanted the other asks again.
 */
#include <inttypes.h>
#include <stdio.h>

#include "clock.h"
#include "replica_internal.h"

enum { REASON_CHECKPOINT = 1, REASON_STOP = 2, REASON_TAKEOVER = 3 };

static bool is_rest_only(uint32_t round) { return round % 4 == 2; }

/* True when this replica, the lowest live one, finds that a checkpoint is due. */
static bool checkpoint_due(struct ta_replica *r, int64_t now_ns) {
    const struct ta_checkpoint_section *c = &r->run->checkpoint;
    if (r->writer == NULL) return false;
    bool due = c->every_seconds > 0 && (double)(now_ns - r->checkpoint_ns) >= c->every_seconds * TA_NS_PER_S;
    if (c->every_records > 0 && !due)
        due = ta_replica_total_records(r) - r->checkpoint_records >= c->every_records;
    if (!due || ta_replica_lowest_live(r) != r->config.rank) return false;
    /* The last one is still on its way to the disk, or waits for the file of somebody who died: training does not. */
    ta_status status = ta_checkpoint_poll(r->writer, NULL, 0);
    if (status != TA_OK && status != TA_BUSY) ta_replica_event(r, now_ns, "checkpoint_failed", "%s", ta_why());
    return status != TA_BUSY;
}

/* Somebody who has trained has come to an orderly end, with all that he counted on, and we have not: he held us for
 * dead, and could not tell us. */
static bool is_left_behind(const struct ta_replica *r) {
    for (unsigned rank = 0; rank < r->config.n_ranks; rank++) {
        const struct ta_board_row *row = &r->config.board->rows[rank];
        if (rank != r->config.rank && ta_board_get(row->finished) != 0 && ta_board_get(row->started_ns) != 0)
            return true;
    }
    return false;
}

static ta_status look_behind(const struct ta_replica *r) {
    if (!is_left_behind(r)) return TA_OK;
    return ta_fail(TA_PEER,
                   "the others have ended the run without rank %u: it was silent for too long; if it was only slow, "
                   "raise exchange.dead_after",
                   r->config.rank);
}

ta_status ta_replica_look(struct ta_replica *r, int64_t now_ns) {
    r->looked = now_ns >= r->look_ns;
    if (!r->looked) return TA_OK;
    unsigned quarters = 1 + r->config.n_ranks / 256; /* what it costs grows with the replicas */
    r->look_ns = now_ns + quarters * (TA_NS_PER_S / 4);
    ta_replica_look_at_peers(r, now_ns);
    return r->state == TA_REPLICA_SNAPSHOT ? TA_OK : look_behind(r); /* they may go before us, when we have said all */
}

bool ta_replica_round_due(struct ta_replica *r, int64_t now_ns) {
    uint32_t reason = 0, asked = r->exchange_ops->requested(r->x, &reason);
    if (r->stop && !(asked > r->round && ta_replica_is_stop(asked))) {
        uint32_t above = asked > r->round ? asked : r->round;
        r->exchange_ops->request(r->x, (above + 1) | 1, REASON_STOP);
        ta_replica_event(r, now_ns, "stop", "asked to checkpoint and stop");
    } else if (asked <= r->round && checkpoint_due(r, now_ns)) {
        r->exchange_ops->request(r->x, (r->round / 4 + 1) * 4, REASON_CHECKPOINT);
    } else if (asked <= r->round && r->looked && r->state == TA_REPLICA_TRAINING && ta_replica_takeover_due(r)) {
        r->exchange_ops->request(r->x, (r->round + 2) / 4 * 4 + 2, REASON_TAKEOVER);
    }
    asked = r->exchange_ops->requested(r->x, &reason);
    if (asked <= r->round || asked == TA_ROUND_FINAL) return false;
    r->target = asked;
    r->after = r->state;
    r->state = TA_REPLICA_SETTLING;
    ta_replica_position_drop(r);
    return true;
}

/* At rest: the weights are the same bits everywhere until all have resumed. */
static ta_status at_rest(struct ta_replica *r, int64_t now_ns) {
    uint64_t checksum;
    ta_replica_look_at_peers(r, now_ns);
    ta_status status = look_behind(r);
    if (status == TA_OK) status = r->exchange_ops->checksum(r->x, &checksum);
    if (status != TA_OK) return status;
    struct ta_board_row *row = ta_replica_row(r);
    atomic_store(&row->rest_round, 0); /* nobody is to take this checksum for that of the round before */
    ta_board_set(row->checksum, checksum);
    if (r->exchange_ops->agrees) atomic_store_explicit(&row->rest_round, r->target, memory_order_release);
    uint64_t steps = ta_replica_total_steps(r);
    char round[24] = "last round";
    if (r->target != TA_ROUND_FINAL) snprintf(round, sizeof round, "round %" PRIu32, r->target);
    ta_replica_event(r, now_ns, "rest", "%s, %" PRIu64 " steps, weights %016" PRIx64, round, steps, checksum);
    if (r->target == TA_ROUND_FINAL) status = ta_replica_count_done(r, now_ns);
    else if (!ta_replica_is_stop(r->target)) status = ta_replica_take_over(r, now_ns);
    if (status != TA_OK) return status;
    r->rest_ns = now_ns;
    r->state = TA_REPLICA_SNAPSHOT;
    r->snapshot_waits = false;
    if (r->target != TA_ROUND_FINAL && is_rest_only(r->target)) return TA_OK;
    r->checkpoint_ns = now_ns;
    r->checkpoint_records = ta_replica_total_records(r);
    /* The stream goes on without steps too: while only predicting, and while labels are waited for. */
    bool moves = steps != r->saved_steps || r->run->online.mode != TA_MODE_TRAIN || r->online.waiting.room > 0;
    r->snapshot_waits = r->writer != NULL && moves;
    return TA_OK;
}

static bool overtaken(struct ta_replica *r) {
    uint32_t reason, asked = r->exchange_ops->requested(r->x, &reason);
    if (r->target == TA_ROUND_FINAL || asked <= r->target || asked == TA_ROUND_FINAL) return false;
    r->target = asked;
    return true;
}

ta_status ta_replica_settle(struct ta_replica *r, int64_t now_ns) {
    (void)overtaken(r);
    ta_status status = r->exchange_ops->settle(r->x, r->target, now_ns);
    if (status == TA_OK) status = at_rest(r, now_ns);
    ta_replica_phase(r, TA_PHASE_REST);
    return status;
}

/* Takes the copy once, then offers it until the writer takes it. */
static ta_status hand_over(struct ta_replica *r) {
    unsigned writers[TA_MAX_REPLICAS], n_writers = 0;
    ta_status status = ta_replica_copy_state(r, &r->snapshot, writers, &n_writers);
    if (status != TA_OK) return status;
    uint64_t steps = r->snapshot.total_steps;
    status = ta_checkpoint_submit(r->writer, &r->snapshot, writers, n_writers);
    if (status != TA_OK) ta_snapshot_free(&r->snapshot);
    if (status == TA_BUSY) return TA_AGAIN;
    if (status != TA_OK) return status;
    r->saved_steps = steps;
    r->snapshot_waits = false;
    return TA_OK;
}

/* A writer that is still busy is asked again before anything is copied. */
static ta_status save_snapshot(struct ta_replica *r, int64_t now_ns) {
    ta_status status = ta_checkpoint_poll(r->writer, NULL, 0);
    if (status == TA_BUSY) return TA_AGAIN;
    if (status != TA_OK) ta_replica_event(r, now_ns, "checkpoint_failed", "%s", ta_why());
    return hand_over(r);
}

/* All live replicas must have come to rest on the same bits: what the exchange promises, checked where it matters. */
static ta_status compare_rest(struct ta_replica *r, int64_t now_ns) {
    uint64_t mine = ta_board_get(ta_replica_row(r)->checksum);
    for (unsigned peer = 0; peer < r->config.n_ranks; peer++) {
        const struct ta_board_row *row = &r->config.board->rows[peer];
        if (peer == r->config.rank || r->life[peer] == TA_PEER_DEAD) continue;
        if (atomic_load_explicit(&row->rest_round, memory_order_acquire) != r->target) continue;
        uint64_t its = ta_board_get(row->checksum);
        if (its == mine) continue;
        ta_replica_event(r, now_ns, "disagreement",
                         "round %" PRIu32 ": rank %u rests on %016" PRIx64 ", we on %016" PRIx64, r->target, peer, its,
                         mine);
        return ta_fail(TA_FAILED,
                       "replicas %u and %u disagree at rest (%016" PRIx64 ", %016" PRIx64 "): a fault of the "
                       "exchange or of memory; the last checkpoint is good",
                       r->config.rank, peer, mine, its);
    }
    return TA_OK;
}

static void leave(struct ta_replica *r, ta_status result, int64_t now_ns) {
    r->exchange_ops->leave(r->x, now_ns);
    r->result = result;
    r->left_ns = now_ns;
    ta_board_set(ta_replica_row(r)->ended_ns, r->rest_ns);
    r->farewell = true;
    r->state = TA_REPLICA_SAVING;
}

/* Moves our leaving on its way, for a second at most, over new paths where need be; after that peers' going is no news
 * to us. */
static void say_farewell(struct ta_replica *r, int64_t now_ns) {
    (void)r->exchange_ops->poll(r->x, now_ns);
    ta_replica_look_at_paths(r, now_ns);
    r->farewell = false;
    for (unsigned peer = 0; peer < r->config.n_ranks; peer++) {
        if (!ta_replica_meets(r, peer)) continue;
        bool whole = r->path[peer].stands && r->transport_ops->peer_state(r->transport, peer) != TA_PEER_BROKEN;
        bool waits = r->life[peer] == TA_PEER_LIVE && !whole;
        if (waits || r->transport_ops->in_flight(r->transport, peer) > 0) r->farewell = true;
    }
    if (now_ns - r->left_ns > TA_NS_PER_S) r->farewell = false;
}

/* A snapshot that was lent, not copied, must be on disk before anything moves. */
static ta_status wait_for_writer(struct ta_replica *r, int64_t now_ns) {
    if (r->writer == NULL || !ta_replica_of_words(r)) return TA_OK;
    ta_status status = ta_checkpoint_poll(r->writer, NULL, 0);
    if (status == TA_BUSY) return TA_AGAIN;
    if (status == TA_OK) return TA_OK;
    if (r->target == TA_ROUND_FINAL || ta_replica_is_stop(r->target)) return status; /* nobody will try again */
    ta_replica_event(r, now_ns, "checkpoint_failed", "%s", ta_why());
    return TA_OK;
}

/* A spare that has made no step yet has nothing to save, unless nobody else is left. */
static bool saves(struct ta_replica *r) {
    return ta_replica_has_steps(r) || ta_replica_lowest_live(r) == r->config.rank;
}

ta_status ta_replica_snapshot(struct ta_replica *r, int64_t now_ns) {
    ta_status status = TA_OK;
    if (r->snapshot_waits && saves(r)) status = save_snapshot(r, now_ns);
    if (status == TA_OK) status = wait_for_writer(r, now_ns);
    if (status == TA_OK && overtaken(r)) {
        r->state = TA_REPLICA_SETTLING;
        return TA_OK;
    }
    if (status == TA_OK) status = r->exchange_ops->resume(r->x, r->target, now_ns);
    ta_replica_phase(r, TA_PHASE_REST);
    if (status != TA_OK) return status;
    status = compare_rest(r, now_ns);
    if (status != TA_OK) return status;
    if (r->target == TA_ROUND_FINAL) {
        leave(r, TA_END, now_ns);
        return TA_OK;
    }
    r->round = r->target;
    if (ta_replica_is_stop(r->round)) leave(r, TA_REQUEUE, now_ns);
    else r->state = r->after;
    return TA_OK;
}

ta_status ta_replica_finish(struct ta_replica *r, int64_t now_ns) {
    r->target = TA_ROUND_FINAL;
    r->finished = true;
    ta_status status = r->exchange_ops->settle(r->x, TA_ROUND_FINAL, now_ns);
    if (status == TA_OK) status = at_rest(r, now_ns);
    ta_replica_phase(r, TA_PHASE_REST);
    return status;
}

/* Whoever ended without an orderly end writes nothing any more: the last checkpoint need not wait for it. */
static void give_up_lost_writers(struct ta_replica *r) {
    for (unsigned peer = 0; peer < r->config.n_ranks; peer++) {
        const struct ta_board_row *row = &r->config.board->rows[peer];
        bool ended = atomic_load_explicit(&row->ended, memory_order_acquire) == TA_ENDED_KNOWN;
        if (peer != r->config.rank && ended && ta_board_get(row->finished) == 0) ta_checkpoint_lost(r->writer, peer);
    }
}

ta_status ta_replica_save(struct ta_replica *r, int64_t now_ns) {
    if (r->writer != NULL) give_up_lost_writers(r);
    if (r->farewell) say_farewell(r, now_ns);
    ta_status status = r->writer == NULL ? TA_OK : ta_checkpoint_poll(r->writer, NULL, 0);
    if (status == TA_BUSY || r->farewell) return TA_AGAIN;
    r->state = TA_REPLICA_DONE;
    if (status != TA_OK) return r->result = status;
    return r->result = ta_replica_last_word(r);
}
