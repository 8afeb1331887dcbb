/* replica_resume: what a life starts from: weights drawn or pretrained, or a checkpoint of as many replicas, or of
 * another number. */
#include <inttypes.h>
#include <string.h>

#include "mem.h"
#include "pretrained.h"
#include "replica_internal.h"

void ta_restart_free(struct ta_restart *restart, unsigned n_ranks) {
    for (unsigned i = 0; restart->deltas != NULL && i < n_ranks; i++) ta_mem_free(restart->deltas[i]);
    ta_mem_free(restart->deltas);
    ta_mem_free(restart->peer_steps);
    ta_mem_free(restart->w0);
    ta_frontier_free(&restart->done);
    ta_snapshot_free(&restart->own);
    *restart = (struct ta_restart){0};
}

/* What every replica's file must agree on with this run. */
static ta_status check_fits(const struct ta_replica *r, const struct ta_checkpoint_info *info,
                            const struct ta_snapshot *s) {
    if (s->batch != r->run->stream.batch)
        return ta_fail(TA_CONFIG,
                       "%s was made with stream.batch %" PRIu32 ", now it is %" PRIu32 ": what was trained is counted "
                       "in batches, so it must stay",
                       info->path, s->batch, r->run->stream.batch);
    if (s->seed != r->run->run.seed)
        ta_log_warn(r->config.log, "%s was made with run.seed %" PRIu64 ", now it is %" PRIu64, info->path, s->seed,
                    r->run->run.seed);
    return TA_OK;
}

/* As many replicas as before, all there: every register as it was. */
static ta_status load_exact(struct ta_replica *r, const struct ta_checkpoint_info *info, struct ta_restart *out) {
    unsigned n = r->config.n_ranks, founders = ta_replica_founders(r);
    out->exact = true;
    out->base_steps = info->total_steps;
    out->base_records = info->total_records;
    ta_status status = TA_NEW(&out->deltas, n, "the registers");
    if (status == TA_OK) status = TA_NEW(&out->peer_steps, n, "the peers' steps");
    for (unsigned rank = 0; status == TA_OK && rank < founders; rank++) {
        struct ta_snapshot s = {0};
        bool own = rank == (ta_replica_is_spare(r) ? 0 : r->config.rank); /* a spare needs the weights all began with */
        status = ta_checkpoint_load(info, &r->model, rank, own, &s);
        if (status == TA_OK) status = check_fits(r, info, &s);
        if (status == TA_OK) status = ta_frontier_merge(&out->done, &s.done);
        if (status != TA_OK) {
            ta_snapshot_free(&s);
            break;
        }
        out->deltas[rank] = s.delta;
        out->peer_steps[rank] = s.steps;
        out->base_steps -= s.steps;
        s.delta = NULL;
        if (!own) {
            ta_snapshot_free(&s);
            continue;
        }
        bool alone = ta_replica_of_words(r) && n == 1; /* w is all there is */
        out->w0 = alone ? s.w : s.w0;
        out->table_seed = s.table_seed;
        if (alone) s.w = NULL;
        else s.w0 = NULL;
        out->own = s;
    }
    if (status == TA_OK) ta_replica_words_restore(r, &out->own.names, out->w0);
    return status;
}

/* Another number of replicas: the weights are the new origin, what each one has counted goes to old rank mod n, the
 * optimizer's state of rank r comes from the old rank r mod old n. */
static ta_status load_dealt_anew(struct ta_replica *r, const struct ta_checkpoint_info *info, struct ta_restart *out) {
    out->base_steps = info->total_steps;
    out->base_records = info->total_records;
    uint64_t records = 0, hits = 0, lossless = 0, dropped = 0, waiting_dropped = 0;
    struct ta_snapshot_waiting waiting = {0};
    double loss_sum = 0;
    ta_status status = TA_OK;
    for (unsigned i = 0; status == TA_OK && i < info->n_writers; i++) {
        struct ta_snapshot s = {0};
        bool ours = i == r->config.rank % info->n_writers;
        status = ta_checkpoint_load(info, &r->model, info->writers[i], ours, &s);
        if (status == TA_OK) status = check_fits(r, info, &s);
        if (status == TA_OK) status = ta_frontier_merge(&out->done, &s.done);
        if (status == TA_OK && i % ta_replica_founders(r) == r->config.rank) {
            records += s.score_records;
            hits += s.score_hits;
            lossless += s.score_lossless;
            loss_sum += s.score_loss_sum;
            dropped += s.dropped_records;
            waiting_dropped += s.waiting_dropped;
            status = ta_snapshot_waiting_append(&waiting, &s.waiting);
        }
        if (status != TA_OK || !ours) {
            ta_snapshot_free(&s);
            continue;
        }
        out->w0 = s.w;
        s.w = NULL;
        out->own = s;
    }
    ta_snapshot_waiting_free(&out->own.waiting);
    out->own.waiting = waiting;
    if (status != TA_OK) return status;
    ta_replica_words_restore(r, &out->own.names, out->w0);
    out->own.score_records = records;
    out->own.score_hits = hits;
    out->own.score_lossless = lossless;
    out->own.score_loss_sum = loss_sum;
    out->own.dropped_records = dropped;
    out->own.waiting_dropped = waiting_dropped;
    return TA_OK;
}

/* With sync all make the same update, so all need the same moments; other exchanges leave each replica its own. */
static bool all_update_alike(const struct ta_replica *r) {
    const struct ta_exchange_ops *ops;
    return ta_exchange_find(&r->run->exchange.spec, &ops) == TA_OK && ops == &ta_exchange_sync;
}

static bool same_floats(const float *a, const float *b, size_t n) {
    if (a == NULL || b == NULL) return a == b;
    return memcmp(a, b, n * sizeof *a) == 0;
}

static void swap(float **a, float **b) {
    float *other = *a;
    *a = *b;
    *b = other;
}

/* The optimizer's state of the lowest rank, for whatever rank: of a checkpoint that was made with sync too, nothing
 * changes. */
static ta_status take_first_moments(struct ta_replica *r, const struct ta_checkpoint_info *info,
                                    struct ta_snapshot *own) {
    struct ta_snapshot first;
    ta_status status = ta_checkpoint_load(info, &r->model, info->writers[0], false, &first);
    if (status != TA_OK) return status;
    bool same = own->optimizer_step == first.optimizer_step && own->optimizer_reset_at == first.optimizer_reset_at &&
                same_floats(own->m, first.m, r->model.n_params) && same_floats(own->v, first.v, r->model.n_params);
    if (!same || own->raised_left > 0)
        ta_log_warn(r->config.log,
                    "%s was made by another exchange, where each replica's optimizer went its own way: with "
                    "exchange.type sync all go on with that of rank %u, at the usual rate",
                    info->path, info->writers[0]);
    swap(&own->m, &first.m);
    swap(&own->v, &first.v);
    own->optimizer_step = first.optimizer_step;
    own->optimizer_skipped = first.optimizer_skipped;
    own->optimizer_reset_at = first.optimizer_reset_at;
    own->raised_left = 0;
    ta_snapshot_free(&first);
    return TA_OK;
}

ta_status ta_restart_prepare(struct ta_replica *r, struct ta_restart *out) {
    *out = (struct ta_restart){.epoch = r->config.life > 0 ? r->config.life : 1, .table_seed = r->run->run.seed};
    if (r->config.resume == NULL && ta_replica_of_words(r)) return TA_OK;
    if (r->config.resume == NULL) {
        ta_status status = TA_NEW(&out->w0, r->model.n_params, "the initial weights");
        if (status == TA_OK && r->run->run.from == NULL) ta_model_init(&r->model, r->run->run.seed, out->w0);
        else if (status == TA_OK)
            status = ta_pretrained_load(r->run, &r->info, &r->model, r->config.log, out->w0, &out->base_steps);
        return status;
    }
    struct ta_checkpoint_info *info;
    ta_status status = TA_NEW(&info, 1, "the checkpoint");
    if (status != TA_OK) return status;
    status = ta_checkpoint_check(r->config.resume, info);
    if (status == TA_OK) {
        out->resumed = true;
        if (r->config.life == 0) out->epoch = info->epoch + 1;
        unsigned founders = ta_replica_founders(r);
        bool same = info->n_ranks == r->config.n_ranks && info->n_writers == founders &&
                    info->writers[founders - 1] == founders - 1; /* nobody was lost, nobody has joined */
        status = same ? load_exact(r, info, out) : load_dealt_anew(r, info, out);
        if (status == TA_OK && all_update_alike(r)) status = take_first_moments(r, info, &out->own);
    }
    if (status == TA_OK)
        ta_log_info(r->config.log, "going on from %s: %" PRIu64 " steps of %u replicas%s", info->path,
                    info->total_steps, info->n_ranks, out->exact ? "" : ", dealt anew");
    ta_mem_free(info);
    return status;
}

static ta_status restore_optimizer(struct ta_replica *r, const struct ta_snapshot *s) {
    size_t bytes = r->model.n_params * sizeof(float);
    struct ta_optimizer *o = &r->optimizer;
    if ((o->m == NULL) != (s->m == NULL) || (o->v == NULL) != (s->v == NULL))
        ta_log_warn(r->config.log, "the checkpoint was made by another kind of optimizer: its state starts anew");
    ta_status status = TA_OK;
    if (o->m != NULL && s->m != NULL) status = r->kernel_ops->copy_in(r->kernels, o->m, s->m, bytes);
    if (status == TA_OK && o->v != NULL && s->v != NULL) status = r->kernel_ops->copy_in(r->kernels, o->v, s->v, bytes);
    o->step = s->optimizer_step;
    o->skipped = s->optimizer_skipped;
    o->reset_at = s->optimizer_reset_at;
    return status;
}

ta_status ta_restart_apply(struct ta_replica *r, struct ta_restart *restart) {
    r->epoch = restart->epoch;
    r->table_seed = restart->table_seed;
    r->base_steps = restart->base_steps;
    r->base_records = restart->base_records;
    r->start_records = r->x->records;
    unsigned founders = ta_replica_founders(r);
    ta_status status = ta_share_init(&r->share, r->config.rank % founders, founders,
                                     restart->resumed ? &restart->done : NULL);
    if (status != TA_OK || !restart->resumed || ta_replica_is_spare(r)) return status;
    const struct ta_snapshot *s = &restart->own;
    r->base_dropped = s->dropped_records;
    r->stream_ns = s->stream_ns;
    r->cycle = s->cycle;
    r->score.records = s->score_records;
    r->score.hits = s->score_hits;
    r->score.lossless = s->score_lossless;
    r->score.loss_sum = s->score_loss_sum;
    r->score.fade_hits = s->score_fade_hits;
    r->score.fade_loss = s->score_fade_loss;
    r->score.fade_weight = s->score_fade_weight;
    r->online.raised_left = s->raised_left;
    if (s->raised_left > 0) r->optimizer.raised = (float)s->raised;
    r->waited = s->waiting;
    r->waited_dropped = s->waiting_dropped;
    restart->own.waiting = (struct ta_snapshot_waiting){0}; /* it has moved */
    status = restore_optimizer(r, s);
    if (status == TA_OK) r->saved_steps = ta_replica_total_steps(r);
    return status;
}
