/* replica_snapshot: host copies of all that a checkpoint holds, taken while the exchange rests. */
#include <string.h>

#include "mem.h"
#include "replica_internal.h"

/* And has something to save: all agree at rest on whether a spare has made a step yet. */
static bool is_live(struct ta_replica *r, unsigned peer) {
    r->exchange_ops->peer_stats(r->x, peer, &r->peer);
    return r->peer.life == TA_PEER_LIVE && (peer < ta_replica_founders(r) || r->peer.steps_applied > 0);
}

bool ta_replica_has_steps(const struct ta_replica *r) { return !ta_replica_is_spare(r) || r->x->steps > 0; }

unsigned ta_replica_lowest_live(struct ta_replica *r) {
    for (unsigned peer = 0; peer < r->config.rank; peer++)
        if (is_live(r, peer)) return peer;
    return r->config.rank;
}

uint64_t ta_replica_total_steps(struct ta_replica *r) {
    uint64_t total = r->base_steps + r->x->steps;
    for (unsigned peer = 0; peer < r->config.n_ranks; peer++) {
        if (peer == r->config.rank) continue;
        r->exchange_ops->peer_stats(r->x, peer, &r->peer);
        total += r->peer.steps_applied;
    }
    return total;
}

uint64_t ta_replica_total_records(const struct ta_replica *r) {
    uint64_t total = r->base_records;
    for (unsigned rank = 0; rank < r->config.n_ranks; rank++)
        total += ta_board_get(r->config.board->rows[rank].trained);
    return total;
}

/* Who must write for the checkpoint to be whole: every live replica, rising. */
static void list_writers(struct ta_replica *r, unsigned *writers, unsigned *n_writers) {
    *n_writers = 0;
    for (unsigned rank = 0; rank < r->config.n_ranks; rank++)
        if (rank == r->config.rank ? ta_replica_has_steps(r) : is_live(r, rank)) writers[(*n_writers)++] = rank;
    if (*n_writers == 0) writers[(*n_writers)++] = r->config.rank; /* a spare that was left alone */
}

static ta_status copy_array(struct ta_replica *r, const float *from, const char *what, float **out) {
    if (from == NULL) return TA_OK;
    ta_status status = TA_NEW(out, r->model.n_params, what);
    if (status != TA_OK) return status;
    return r->kernel_ops->copy_out(r->kernels, *out, from, r->model.n_params * sizeof(float));
}

static ta_status copy_arrays(struct ta_replica *r, bool with_model, struct ta_snapshot *s) {
    ta_status status = copy_array(r, r->x->delta, "the delta's copy", &s->delta);
    if (status == TA_OK) status = copy_array(r, r->optimizer.m, "the optimizer's copy", &s->m);
    if (status == TA_OK) status = copy_array(r, r->optimizer.v, "the optimizer's copy", &s->v);
    if (status == TA_OK && with_model) status = copy_array(r, r->x->w, "the weights' copy", &s->w);
    if (status == TA_OK && with_model) status = copy_array(r, r->x->w0, "the weights' copy", &s->w0);
    return status;
}

/* The writer reads the CPU's memory. */
static ta_status copy_tables(struct ta_replica *r, bool with_model, struct ta_snapshot *s) {
    s->table_seed = r->table_seed;
    ta_status status = copy_arrays(r, with_model, s);
    return status == TA_OK && with_model ? ta_replica_words_names(r, &s->names) : status;
}

/* Tables are too large to copy: the writer reads them where they lie while we keep still (replica_round.c). */
static ta_status lend_tables(struct ta_replica *r, bool with_model, struct ta_snapshot *s) {
    if (r->kernel_ops->on_gpu) return copy_tables(r, with_model, s);
    s->borrowed = true;
    s->table_seed = r->table_seed;
    s->delta = r->x->delta;
    if (!with_model) return TA_OK;
    s->w = r->x->w;
    s->w0 = r->x->w0;
    s->names_lent = r->words.names.count == r->model.words.rows;
    if (!s->names_lent) return ta_replica_words_names(r, &s->names);
    s->names = r->words.names;
    return TA_OK;
}

static ta_status copy_progress(struct ta_replica *r, struct ta_snapshot *s) {
    ta_status status = TA_NEW(&s->peer_steps, r->config.n_ranks, "the peers' steps");
    for (unsigned peer = 0; status == TA_OK && peer < r->config.n_ranks; peer++) {
        if (peer == r->config.rank) {
            s->peer_steps[peer] = r->x->steps;
            continue;
        }
        r->exchange_ops->peer_stats(r->x, peer, &r->peer);
        s->peer_steps[peer] = r->peer.steps_applied;
    }
    if (status == TA_OK) status = ta_frontier_copy(&s->done, &r->share.done);
    return status;
}

/* What all have trained, the dead too: agreed on at rest, in the weights, and of those in nobody else's file. */
static ta_status add_lost(struct ta_replica *r, struct ta_frontier *done) {
    struct ta_frontier all = {0};
    ta_status status = ta_replica_done_by_all(r, &all);
    if (status == TA_OK) status = ta_frontier_merge(done, &all);
    ta_frontier_free(&all);
    return status;
}

ta_status ta_replica_copy_state(struct ta_replica *r, struct ta_snapshot *out, unsigned *writers, unsigned *n_writers) {
    struct ta_replayer_stats stream;
    ta_replayer_stats(r->replayer, &stream);
    list_writers(r, writers, n_writers);
    *out = (struct ta_snapshot){
        .rank = r->config.rank,
        .n_ranks = r->config.n_ranks,
        .epoch = r->epoch,
        .total_steps = ta_replica_total_steps(r),
        .total_records = ta_replica_total_records(r),
        .steps = r->x->steps,
        .records = r->x->records,
        .optimizer_step = r->optimizer.step,
        .optimizer_skipped = r->optimizer.skipped,
        .optimizer_reset_at = r->optimizer.reset_at,
        .cycle = r->online.cycle.number,
        .raised_left = r->online.raised_left,
        .raised = r->optimizer.raised,
        .waiting_dropped = r->online.waiting.dropped,
        .dropped_records = r->base_dropped + stream.dropped_records,
        .batch = r->run->stream.batch,
        .seed = r->run->run.seed,
        .stream_ns = r->stream_ns,
        .score_records = r->score.records,
        .score_hits = r->score.hits,
        .score_lossless = r->score.lossless,
        .score_loss_sum = r->score.loss_sum,
        .score_fade_hits = r->score.fade_hits,
        .score_fade_loss = r->score.fade_loss,
        .score_fade_weight = r->score.fade_weight,
        .input_scale = r->info.scale,
        .input_offset = r->info.offset,
    };
    bool with_model = writers[0] == r->config.rank;
    ta_status status = ta_replica_of_words(r) ? lend_tables(r, with_model, out) : copy_arrays(r, with_model, out);
    if (status == TA_OK) status = copy_progress(r, out);
    if (status == TA_OK && with_model) status = add_lost(r, &out->done);
    if (status == TA_OK && !ta_replica_of_words(r)) status = ta_replica_waiting_copy(r, &out->waiting);
    if (status != TA_OK) ta_snapshot_free(out);
    return status;
}
