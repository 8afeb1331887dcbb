/* replica_train: the next batch, and a step: gradient, update, exchange. What is done with predictions and labels is in
 * replica_online.c. */
#include <math.h>
#include <string.h>

#include "check.h"
#include "clock.h"
#include "mem.h"
#include "replay.h"
#include "replica_internal.h"

/* Classes as the targets of a loss over values: one output holds the class itself (0 or 1), more hold one-hot; NaN
 * where there is none. */
static ta_status classes_to_targets(struct ta_replica *r, struct ta_step *step) {
    uint32_t outputs = r->model.outputs;
    ta_status status = TA_OK;
    if (r->bench.targets == NULL) status = TA_NEW(&r->bench.targets, (size_t)r->run->stream.batch * outputs, "targets");
    if (status != TA_OK) return status;
    memset(r->bench.targets, 0, (size_t)step->records * outputs * sizeof(float));
    for (uint32_t i = 0; i < step->records; i++) {
        float *row = r->bench.targets + (size_t)i * outputs;
        int32_t class = step->labels.classes[i];
        if (class < 0) row[0] = NAN;
        else if (outputs == 1) row[0] = (float)class;
        else if ((uint32_t)class < outputs) row[class] = 1;
    }
    step->labels.targets = r->bench.targets;
    return TA_OK;
}

ta_status ta_replica_step_labels(struct ta_replica *r, struct ta_step *step) {
    ta_status status = TA_OK;
    if (step->labels.classes != NULL && r->model.loss != TA_LOSS_CROSS_ENTROPY) status = classes_to_targets(r, step);
    step->labelled = 0;
    bool any = step->labels.classes != NULL || step->labels.targets != NULL;
    for (uint32_t i = 0; i < step->records && any && status == TA_OK; i++)
        step->labelled += ta_label_is_given(&step->labels, r->model.outputs, i);
    return status;
}

/* The net for so many records: the usual one, or one made for this size (the last batch). */
static ta_status net_for(struct ta_replica *r, uint32_t records, struct ta_net **out) {
    *out = r->net;
    if (records == r->run->stream.batch) return TA_OK;
    if (r->short_net == NULL || r->short_batch != records) {
        if (r->short_net != NULL) r->kernel_ops->net_destroy(r->short_net);
        r->short_net = NULL;
        struct ta_net_spec spec = ta_model_net_spec(&r->model, records, r->run->run.seed + r->config.rank, false);
        ta_status status = r->kernel_ops->net_create(r->kernels, &spec, &r->short_net);
        if (status != TA_OK) return status;
        r->short_batch = records;
    }
    *out = r->short_net;
    return TA_OK;
}

ta_status ta_replica_predict(struct ta_replica *r, const struct ta_step *step) {
    struct ta_net *net;
    ta_status status = net_for(r, step->records, &net);
    bool labels = step->labelled > 0;
    if (status == TA_OK)
        status = r->kernel_ops->predict(net, r->x->w, step->x, labels ? &step->labels : NULL, r->bench.predictions,
                                        labels ? r->bench.losses : NULL);
    ta_replica_phase(r, TA_PHASE_PREDICT);
    r->predicted_ns = r->mark_ns;
    return status;
}

ta_status ta_replica_step(struct ta_replica *r, const struct ta_step *step, int64_t now_ns) {
    struct ta_bench *b = &r->bench;
    struct ta_net *net;
    bool ask = step->wants_predictions, own = ask && r->own_prediction;
    ta_status status = own ? ta_replica_predict(r, step) : TA_OK;
    if (status == TA_OK) status = net_for(r, step->records, &net);
    if (status == TA_OK && r->online.reset_head) status = ta_replica_answer_head(r);
    if (status != TA_OK) return status;
    struct ta_net_outcome outcome;
    bool tell = ask && !own, apart = ta_replica_steps_apart(r);
    uint64_t masks = r->optimizer.step + r->optimizer.skipped;
    if (apart) status = ta_replica_compute_apart(r, net, step, tell, &outcome);
    else
        status = r->kernel_ops->train(net, r->x->w, step->x, &step->labels, masks, r->grad,
                                      tell ? b->predictions : NULL, tell ? b->losses : NULL);
    if (status != TA_OK) return status;
    ta_replica_slow(r);
    ta_replica_phase(r, TA_PHASE_COMPUTE);
    if (tell) r->predicted_ns = r->mark_ns;
    int64_t trained_ns = r->trained_ns;
    if (apart && r->x->owner_updates) status = ta_replica_made_apart(r, &outcome, step->labelled, now_ns);
    else status = r->exchange_ops->step(r->x, r->grad, step->labelled, now_ns);
    bool made = status == TA_OK;
    if (!ask) r->trained_ns = trained_ns; /* of the batch, not of what is trained on late or again */
    else r->update_waits = made && r->trained_ns == 0;
    r->gave_step |= made;
    if (status == TA_NUMERIC) status = ta_replica_bad_step(r);
    else if (made) r->bad_steps = 0;
    if (made && step->again) r->rehearsed += step->labelled;
    ta_replica_phase(r, TA_PHASE_PUT);
    return status;
}

/* Every pair is predicted before it is trained on; a record's loss is the mean over its batch. */
static ta_status use_words(struct ta_replica *r, const struct ta_batch *batch, int64_t now_ns) {
    uint32_t records;
    double loss;
    ta_status status = ta_replica_words_train(r, batch, &records, &loss);
    ta_replica_slow(r);
    ta_replica_phase(r, TA_PHASE_COMPUTE);
    r->predicted_ns = r->trained_ns = r->mark_ns;
    if (status != TA_OK) return status;
    ta_replica_online_loss(r, records, loss, batch->first_record + batch->records - 1, now_ns);
    status = r->exchange_ops->stepped(r->x, records, now_ns);
    ta_replica_phase(r, TA_PHASE_PUT);
    return status;
}

static void show(struct ta_replica *r) {
    struct ta_board_row *row = ta_replica_row(r);
    ta_board_set(row->records, r->score.records);
    ta_board_set(row->hits, r->score.hits);
    /* What adds up over replicas to a mean over all records: of one without a finite loss the mean of the others stands
     * in. */
    double loss = r->score.records > r->score.lossless ? ta_score_loss(&r->score) : 0;
    ta_board_set(row->loss_sum, loss * (double)r->score.records);
    ta_board_set(row->trained, r->x->records - r->start_records - r->rehearsed);
    ta_board_set(row->life_records, r->life_records);
    ta_board_set(row->unlabelled, r->unlabelled);
    ta_board_set(row->steps, r->x->steps);
    ta_board_set(row->words, r->words.words);
    ta_board_set(row->skipped_steps, r->optimizer.skipped);
    ta_board_set(row->window_accuracy, ta_score_window_accuracy(&r->score));
    ta_board_set(row->window_loss, ta_score_window_loss(&r->score));
}

/* AGAIN: the exchange wants us to wait for others. */
static ta_status may_step(struct ta_replica *r, int64_t now_ns) {
    ta_status status = r->exchange_ops->ready(r->x, now_ns);
    if (status == TA_NUMERIC) status = ta_replica_bad_step(r);
    r->waits = status == TA_AGAIN;
    return status;
}

/* By the clock, or as it was recorded. */
static bool is_over(const struct ta_replica *r, int64_t now_ns) {
    double limit_s = r->run->run.max_seconds;
    if (r->config.replay != NULL) return ta_replay_is_over(r->config.replay, r->config.rank);
    return limit_s != 0 && (double)(now_ns - r->start_ns) >= limit_s * TA_NS_PER_S;
}

/* A batch that had come too late when this was recorded. */
static ta_status drop(struct ta_replica *r, const struct ta_batch *batch) {
    uint64_t number = batch->number;
    ta_replayer_release(r->replayer, batch);
    return ta_share_done(&r->share, number);
}

ta_status ta_replica_train(struct ta_replica *r, int64_t now_ns) {
    const struct ta_batch *batch = NULL;
    ta_replica_online_listen(r, now_ns);
    ta_status status = ta_replica_online_ready(r);
    if (status == TA_OK) status = may_step(r, now_ns);
    if (status != TA_OK) return status;
    status = TA_END;
    if (!is_over(r, now_ns)) status = ta_replica_ahead_take(r, now_ns, &batch);
    ta_replica_phase(r, TA_PHASE_STREAM);
    if (status == TA_END) {
        r->state = TA_REPLICA_FINISHING;
        ta_replica_position_drop(r);
        status = ta_replica_online_end(r, now_ns);
        show(r);
        return status;
    }
    if (status != TA_OK) return status;
    uint64_t steps = r->x->steps;
    r->gave_step = ta_replica_of_words(r);
    ta_replica_latency_handed(r, batch, now_ns);
    ta_replica_position_move(r, batch->number);
    if (r->config.replay != NULL && ta_replay_drops(r->config.replay, r->config.rank)) return drop(r, batch);
    status = ta_replica_of_words(r) ? use_words(r, batch, now_ns) : ta_replica_online_batch(r, batch, now_ns);
    ta_replica_latency_used(r, batch, steps);
    /* Predicted only, no label, no finite gradient. */
    if (status == TA_OK && !r->gave_step) status = r->exchange_ops->stepped(r->x, 0, now_ns);
    uint64_t number = batch->number;
    if (batch->due_ns > r->stream_ns) r->stream_ns = batch->due_ns; /* after a takeover older batches may come */
    r->life_records += batch->records;
    ta_replayer_release(r->replayer, batch);
    if (status == TA_OK) status = ta_share_done(&r->share, number);
    show(r);
    ta_replica_phase(r, TA_PHASE_STREAM);
    return status;
}
