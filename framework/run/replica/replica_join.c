/* replica_join: all peers are met (replica_paths.c makes the paths), the clock starts. A spare meets whom it finds,
 * asks to be let in (exchange.h: enter), and goes on where a lost replica stopped: at the position in its share of the
 * stream that the survivors agree on. So what the lost one had trained, and told, is not trained again, and the rest
 * is. */
#include <inttypes.h>
#include <stdio.h>

#include "clock.h"
#include "mem.h"
#include "replica_internal.h"

static bool ended(const struct ta_replica *r, unsigned peer) {
    return atomic_load_explicit(&r->config.board->rows[peer].ended, memory_order_acquire) != 0;
}

/* OK: met (or known to be gone). AGAIN: not yet. */
static ta_status meet(struct ta_replica *r, unsigned peer, int64_t now_ns) {
    ta_status status = ta_replica_path_make(r, peer, now_ns);
    if (status == TA_OK) {
        r->met[peer] = TA_MEETING_DONE;
        return TA_OK;
    }
    if ((status == TA_AGAIN || status == TA_PEER) && ended(r, peer)) {
        r->met[peer] = TA_MEETING_GONE;
        r->exchange_ops->peer_lost(r->x, peer, now_ns);
        ta_log_warn(r->config.log, "peer %u ended before we met: going on without it", peer);
        return TA_OK;
    }
    return status == TA_PEER && !r->store_gone ? TA_AGAIN : status;
}

/* The stream of a spare is as far as that of the others. */
static int64_t stream_start(const struct ta_replica *r, int64_t now_ns) {
    int64_t first_ns = now_ns;
    for (unsigned rank = 0; rank < ta_replica_founders(r) && ta_replica_is_spare(r); rank++) {
        int64_t its_ns = ta_board_get(r->config.board->rows[rank].started_ns);
        if (its_ns != 0 && its_ns < first_ns) first_ns = its_ns;
    }
    return first_ns;
}

static void start_clock(struct ta_replica *r, int64_t now_ns) {
    ta_mem_trim();
    r->start_ns = now_ns;
    r->metrics.start_ns = now_ns;
    r->report_ns = r->reported_ns = now_ns;
    r->report_ns += (int64_t)(r->run->metrics.every_seconds * TA_NS_PER_S);
    r->checkpoint_ns = now_ns;
    r->checkpoint_records = ta_replica_total_records(r);
    for (int i = 0; i < TA_PHASES; i++) r->phase_ns[i] = 0;
    char *said = r->config.board->texts[r->config.rank];
    r->transport_ops->describe(r->transport, said, TA_BOARD_TEXT_BYTES);
    atomic_store_explicit(&ta_replica_row(r)->started_ns, now_ns, memory_order_release);
    ta_replayer_start(r->replayer, stream_start(r, now_ns));
    ta_replica_latency_start(r);
    ta_replica_event(r, now_ns, "start", "training as rank %u of %u, life %u, %llu records so far", r->config.rank,
                     r->config.n_ranks, r->epoch, (unsigned long long)r->score.records);
    if (r->config.n_ranks > 1) ta_replica_event(r, now_ns, "transport", "%s: %s", r->transport_ops->name, said);
    r->state = TA_REPLICA_TRAINING;
}

bool ta_replica_spare_came(struct ta_replica *r, unsigned peer) {
    if (peer < ta_replica_founders(r) || r->met[peer] != TA_MEETING_OPEN || r->life[peer] == TA_PEER_DEAD) return false;
    struct ta_key key;
    uint32_t generation;
    ta_status status = ta_rendezvous_lookup(r->rendezvous, peer, &generation, &key);
    if (status == TA_AGAIN || status == TA_PEER) return false;
    r->met[peer] = TA_MEETING_DONE; /* what is wrong with its key, if anything, is told when the path is made */
    return true;
}

/* Goes on with the share of a lost rank: what that rank and its heirs have done of it counts as done by us. */
static ta_status take_over(struct ta_replica *r, const struct ta_exchange_entry *entry) {
    r->share.rank = entry->share;
    ta_share_free(&r->walk);
    ta_status status = ta_share_init(&r->walk, entry->share, r->share.n_ranks, &r->share.start);
    uint64_t batch;
    for (uint64_t i = 0; i < entry->position && status == TA_OK && ta_share_next(&r->walk, UINT64_MAX, &batch); i++)
        status = ta_share_done(&r->share, batch);
    if (status == TA_OK) status = ta_replica_open_stream(r);
    r->round = entry->round;
    return status;
}

/* Whoever cannot come in says so: nobody is to wait for it, or to look for the reason of its death. */
static ta_status turn_away(struct ta_replica *r, ta_status status, int64_t now_ns) {
    char why[512];
    snprintf(why, sizeof why, "%s", ta_why());
    r->exchange_ops->leave(r->x, now_ns);
    return ta_fail(status, "%s", why);
}

static ta_status look_for_peers(struct ta_replica *r, int64_t now_ns) {
    ta_replica_poll_store(r);
    for (unsigned peer = 0; peer < ta_replica_founders(r); peer++) {
        if (r->met[peer] != TA_MEETING_OPEN) continue;
        ta_status status = ta_replica_path_make(r, peer, now_ns);
        if (status == TA_OK) r->met[peer] = TA_MEETING_DONE;
        else if (status != TA_AGAIN && status != TA_PEER) return status;
    }
    return TA_OK; /* other spares: replica_paths.c looks for them */
}

/* A rank that was lost may not have been missed yet. */
static ta_status wait_for_share(struct ta_replica *r, int64_t now_ns) {
    if (r->complete_ns == 0) r->complete_ns = now_ns;
    double waited_s = (double)(now_ns - r->complete_ns) / TA_NS_PER_S;
    if (waited_s < r->run->exchange.spec.dead_after_s + 2) return TA_AGAIN;
    return ta_fail(TA_CONFIG,
                   "rank %u has nothing to do in this run: none of its replicas is lost, or others have taken "
                   "over what the lost ones left",
                   r->config.rank);
}

/* All that were in the run have ended, as far as the board knows. */
static bool is_over(const struct ta_replica *r) {
    for (unsigned rank = 0; rank < r->config.n_ranks; rank++) {
        const struct ta_board_row *row = &r->config.board->rows[rank];
        bool was_in = rank < ta_replica_founders(r) || ta_board_get(row->started_ns) != 0;
        if (rank != r->config.rank && was_in && !ended(r, rank) && ta_board_get(row->finished) == 0) return false;
    }
    return true;
}

static ta_status stopped_before(struct ta_replica *r, int64_t now_ns) {
    ta_log_info(r->config.log, "stopped before training began");
    if (ta_replica_is_spare(r)) r->exchange_ops->leave(r->x, now_ns);
    r->state = TA_REPLICA_DONE;
    return r->result = TA_REQUEUE;
}

static ta_status join_late(struct ta_replica *r, int64_t now_ns) {
    struct ta_exchange_entry entry;
    ta_status status = look_for_peers(r, now_ns);
    if (status == TA_OK) status = r->exchange_ops->enter(r->x, now_ns, &entry);
    if (status == TA_AGAIN && entry.complete) status = wait_for_share(r, now_ns);
    else r->complete_ns = 0;
    if (status == TA_AGAIN && is_over(r))
        status = ta_fail(TA_PEER, "rank %u came too late: the run is over", r->config.rank);
    if (status == TA_AGAIN && now_ns >= r->join_until_ns)
        status = ta_fail(TA_PEER, "rank %u was not let into the run in %s within %g s (exchange.join_within)",
                         r->config.rank, r->config.run_dir, r->run->exchange.join_within_s);
    if (status == TA_AGAIN) return status;
    if (status != TA_OK) return turn_away(r, status, now_ns);
    if (ta_replica_is_stop(entry.round)) return stopped_before(r, now_ns); /* the others are about to leave */
    status = take_over(r, &entry);
    if (status != TA_OK) return status;
    start_clock(r, now_ns);
    ta_replica_event(r, now_ns, "joined", "with the share of rank %u after its batch %" PRIu64, entry.share,
                     entry.position);
    return TA_OK;
}

ta_status ta_replica_join(struct ta_replica *r, int64_t now_ns) {
    if (r->stop) return stopped_before(r, now_ns);
    if (r->join_until_ns == 0) r->join_until_ns = now_ns + (int64_t)(r->run->exchange.join_within_s * TA_NS_PER_S);
    if (ta_replica_is_spare(r)) return join_late(r, now_ns);
    ta_replica_poll_store(r);
    for (unsigned peer = 0; peer < ta_replica_founders(r); peer++) {
        if (!ta_replica_meets(r, peer) || r->met[peer] != TA_MEETING_OPEN) continue;
        ta_status status = meet(r, peer, now_ns);
        if (status == TA_OK) continue;
        if (status != TA_AGAIN) return status;
        if (now_ns < r->join_until_ns) return TA_AGAIN;
        return ta_fail(TA_PEER, "rank %u: peer %u did not appear in %s/rendezvous within %g s (exchange.join_within)",
                       r->config.rank, peer, r->config.run_dir, r->run->exchange.join_within_s);
    }
    start_clock(r, now_ns);
    return TA_OK;
}
