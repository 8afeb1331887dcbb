/* replica_train: one batch: predict and score it, then train on it, then hand the step to the exchange. */
#include <math.h>
#include <string.h>

#include "clock.h"
#include "mem.h"
#include "replica_internal.h"

enum { MOST_BAD_STEPS = 1000 };

/* What goes through the net for a batch: the batch itself, or a compacted copy of its labelled records. */
struct feed {
    const float *x;
    struct ta_labels labels;
    const int32_t *classes; /* for the score; NULL: values */
    uint32_t records;
};

static bool labelled(const struct ta_replica *r, const struct ta_batch *b, uint32_t i) {
    if (b->classes != NULL) return b->classes[i] >= 0;
    if (b->targets == NULL) return false;
    for (uint32_t t = 0; t < r->info.targets; t++)
        if (isnan(b->targets[(size_t)i * r->info.targets + t])) return false;
    return true;
}

/* Classes as the targets of a loss over values: one output holds the class itself (0 or 1), more hold one-hot. */
static ta_status classes_to_targets(struct ta_replica *r, struct feed *f) {
    uint32_t outputs = r->model.outputs;
    ta_status status = TA_OK;
    if (r->bench.targets == NULL) status = TA_NEW(&r->bench.targets, (size_t)r->run->stream.batch * outputs, "targets");
    if (status != TA_OK) return status;
    memset(r->bench.targets, 0, (size_t)f->records * outputs * sizeof(float));
    for (uint32_t i = 0; i < f->records; i++) {
        if (outputs == 1) r->bench.targets[i] = (float)f->classes[i];
        else if ((uint32_t)f->classes[i] < outputs) r->bench.targets[(size_t)i * outputs + (uint32_t)f->classes[i]] = 1;
    }
    f->labels = (struct ta_labels){.targets = r->bench.targets};
    return TA_OK;
}

static ta_status copy_labelled(struct ta_replica *r, const struct ta_batch *b, struct feed *f) {
    size_t row = (size_t)r->info.h * r->info.w * r->info.c, batch = r->run->stream.batch, n_targets = r->info.targets;
    ta_status status = TA_OK;
    if (r->bench.x == NULL) status = TA_NEW(&r->bench.x, batch * row, "a batch");
    if (status == TA_OK && b->classes != NULL && r->bench.classes == NULL)
        status = TA_NEW(&r->bench.classes, batch, "classes");
    if (status == TA_OK && b->targets != NULL && r->bench.targets == NULL)
        status = TA_NEW(&r->bench.targets, batch * n_targets, "targets");
    if (status != TA_OK) return status;
    uint32_t n = 0;
    for (uint32_t i = 0; i < b->records; i++) {
        if (!labelled(r, b, i)) continue;
        memcpy(r->bench.x + n * row, b->x + i * row, row * sizeof(float));
        if (b->classes != NULL) r->bench.classes[n] = b->classes[i];
        if (b->targets != NULL)
            memcpy(r->bench.targets + n * n_targets, b->targets + i * n_targets, n_targets * sizeof(float));
        n++;
    }
    f->x = r->bench.x;
    f->classes = b->classes != NULL ? r->bench.classes : NULL;
    f->labels = (struct ta_labels){.classes = f->classes, .targets = b->targets != NULL ? r->bench.targets : NULL};
    return TA_OK;
}

static ta_status make_feed(struct ta_replica *r, const struct ta_batch *b, struct feed *f) {
    *f = (struct feed){.x = b->x, .classes = b->classes, .labels = {.classes = b->classes, .targets = b->targets}};
    for (uint32_t i = 0; i < b->records; i++) f->records += labelled(r, b, i);
    ta_status status = TA_OK;
    if (f->records > 0 && f->records < b->records) status = copy_labelled(r, b, f);
    if (status == TA_OK && f->records > 0 && f->classes != NULL && r->model.loss != TA_LOSS_CROSS_ENTROPY)
        status = classes_to_targets(r, f);
    return status;
}

/* The net for so many records: the usual one, or one made for this size (the last batch, or one with records left out). */
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

static void score(struct ta_replica *r, const struct feed *f) {
    uint32_t outputs = r->model.outputs;
    for (uint32_t i = 0; i < f->records; i++) {
        const float *p = r->bench.predictions + (size_t)i * outputs;
        int32_t label = f->classes != NULL ? f->classes[i] : -1;
        float two[2] = {1 - p[0], p[0]};
        bool one_of_two = label >= 0 && outputs == 1;
        ta_score_add(&r->score, one_of_two ? two : p, one_of_two ? 2 : outputs, label, r->bench.losses[i]);
    }
}

/* A step whose gradient was not finite has changed nothing; a run made of such steps is no run. */
static ta_status bad_step(struct ta_replica *r) {
    r->bad_steps++;
    uint64_t all = r->optimizer.skipped;
    if ((all & (all - 1)) == 0)
        ta_log_warn(r->config.log, "the gradient is not finite: step dropped (%llu so far): lower optimizer.rate, or set "
                                   "optimizer.clip_norm", (unsigned long long)all);
    if (r->bad_steps < MOST_BAD_STEPS) return TA_OK;
    return ta_fail(TA_NUMERIC, "rank %u: the last %u gradients were not finite: lower optimizer.rate (%g), set "
                               "optimizer.clip_norm, or look at the scale of the data", r->config.rank, r->bad_steps,
                   (double)r->optimizer.spec.rate);
}

static ta_status learn(struct ta_replica *r, struct ta_net *net, const struct feed *f, int64_t now_ns) {
    struct ta_bench *b = &r->bench;
    bool own = r->own_prediction;
    ta_status status = TA_OK;
    if (own) {
        status = r->kernel_ops->predict(net, r->x->w, f->x, &f->labels, b->predictions, b->losses);
        ta_replica_phase(r, TA_PHASE_PREDICT);
        if (status != TA_OK) return status;
    }
    uint64_t masks = r->optimizer.step + r->optimizer.skipped;
    status = r->kernel_ops->train(net, r->x->w, f->x, &f->labels, masks, r->grad, own ? NULL : b->predictions,
                                  own ? NULL : b->losses);
    if (status != TA_OK) return status;
    score(r, f);
    status = ta_optimizer_step(&r->optimizer, r->grad, r->x->w, r->x->scale, r->x->delta);
    ta_replica_phase(r, TA_PHASE_COMPUTE);
    bool made = status == TA_OK;
    if (status == TA_NUMERIC) status = bad_step(r);
    else if (made) r->bad_steps = 0;
    if (status == TA_OK) status = r->exchange_ops->stepped(r->x, made ? f->records : 0, now_ns);
    ta_replica_phase(r, TA_PHASE_PUT);
    return status;
}

static ta_status use(struct ta_replica *r, const struct ta_batch *batch, int64_t now_ns) {
    struct feed feed;
    struct ta_net *net;
    ta_status status = make_feed(r, batch, &feed);
    if (status != TA_OK) return status;
    r->unlabelled += batch->records - feed.records;
    if (feed.records == 0) { /* nothing to learn from: what it predicts is all there is */
        status = net_for(r, batch->records, &net);
        if (status == TA_OK)
            status = r->kernel_ops->predict(net, r->x->w, batch->x, NULL, r->bench.predictions, NULL);
        ta_replica_phase(r, TA_PHASE_PREDICT);
        return status;
    }
    status = net_for(r, feed.records, &net);
    return status == TA_OK ? learn(r, net, &feed, now_ns) : status;
}

/* Every pair is predicted before it is trained on; a record's loss is the mean over its batch. */
static ta_status use_words(struct ta_replica *r, const struct ta_batch *batch, int64_t now_ns) {
    uint32_t records;
    double loss;
    ta_status status = ta_replica_words_train(r, batch, &records, &loss);
    ta_replica_phase(r, TA_PHASE_COMPUTE);
    if (status != TA_OK) return status;
    const float none = 0;
    for (uint32_t i = 0; i < records && !isnan(loss); i++) ta_score_add(&r->score, &none, 1, -1, (float)loss);
    status = r->exchange_ops->stepped(r->x, records, now_ns);
    ta_replica_phase(r, TA_PHASE_PUT);
    return status;
}

static void show(struct ta_replica *r) {
    struct ta_board_row *row = ta_replica_row(r);
    ta_board_set(row->records, r->score.records);
    ta_board_set(row->hits, r->score.hits);
    ta_board_set(row->loss_sum, r->score.loss_sum);
    ta_board_set(row->trained, r->x->records - r->start_records);
    ta_board_set(row->life_records, r->life_records);
    ta_board_set(row->unlabelled, r->unlabelled);
    ta_board_set(row->steps, r->x->steps);
    ta_board_set(row->words, r->words.words);
    ta_board_set(row->skipped_steps, r->optimizer.skipped);
    ta_board_set(row->window_accuracy, ta_score_window_accuracy(&r->score));
    ta_board_set(row->window_loss, ta_score_window_loss(&r->score));
}

ta_status ta_replica_train(struct ta_replica *r, int64_t now_ns) {
    double limit_s = r->run->run.max_seconds;
    const struct ta_batch *batch = NULL;
    ta_status status = TA_END;
    if (limit_s == 0 || (double)(now_ns - r->start_ns) < limit_s * TA_NS_PER_S)
        status = ta_replayer_next(r->replayer, now_ns, &batch);
    ta_replica_phase(r, TA_PHASE_STREAM);
    if (status == TA_END) {
        r->state = TA_REPLICA_FINISHING;
        return TA_OK;
    }
    if (status != TA_OK) return status;
    status = ta_replica_of_words(r) ? use_words(r, batch, now_ns) : use(r, batch, now_ns);
    uint64_t number = batch->number;
    r->stream_ns = batch->due_ns;
    r->life_records += batch->records;
    ta_replayer_release(r->replayer, batch);
    if (status == TA_OK) status = ta_share_done(&r->share, number);
    show(r);
    ta_replica_phase(r, TA_PHASE_STREAM);
    return status;
}
