/* replica_join: all peers are met (replica_paths.c makes the paths), the clock starts. */
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
    ta_replayer_start(r->replayer, now_ns);
    ta_replica_latency_start(r);
    ta_replica_event(r, now_ns, "start", "training as rank %u of %u, life %u, %llu records so far", r->config.rank,
                     r->config.n_ranks, r->epoch, (unsigned long long)r->score.records);
    if (r->config.n_ranks > 1) ta_replica_event(r, now_ns, "transport", "%s: %s", r->transport_ops->name, said);
    r->state = TA_REPLICA_TRAINING;
}

ta_status ta_replica_join(struct ta_replica *r, int64_t now_ns) {
    if (r->stop) {
        ta_log_info(r->config.log, "stopped before training began");
        r->state = TA_REPLICA_DONE;
        return r->result = TA_REQUEUE;
    }
    if (r->join_until_ns == 0) r->join_until_ns = now_ns + (int64_t)(r->run->exchange.join_within_s * TA_NS_PER_S);
    ta_replica_poll_store(r);
    for (unsigned peer = 0; peer < r->config.n_ranks; peer++) {
        if (peer == r->config.rank || r->met[peer] != TA_MEETING_OPEN) continue;
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
