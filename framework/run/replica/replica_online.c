/* replica_online: batches, labels, the cycle. Answers to drift are in replica_answer.c, the step in replica_train.c. */
#include "replica_online.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "clock.h"
#include "mem.h"
#include "replica_internal.h"

static size_t inputs(const struct ta_replica *r) { return (size_t)r->info.h * r->info.w * r->info.c; }

static bool of_classes(const struct ta_replica *r) { return r->info.label_kind == TA_LABEL_CLASS; }

static size_t late_label_bytes(const struct ta_replica *r) {
    size_t targets = r->model.loss == TA_LOSS_CROSS_ENTROPY ? 0 : r->model.outputs;
    return sizeof(struct ta_late_label) + targets * sizeof(float);
}

/* --- opening --- */

struct ta_predictions_kind ta_replica_predictions_kind(const struct ta_stream_info *info,
                                                       const struct ta_model *model) {
    bool unlabelled = info->label_kind == TA_LABEL_NONE;
    bool classes = info->label_kind == TA_LABEL_CLASS || (unlabelled && model->loss == TA_LOSS_CROSS_ENTROPY);
    return (struct ta_predictions_kind){.classes = classes, .outputs = model->outputs, .targets = info->targets};
}

static ta_status open_batch(struct ta_replica *r, struct ta_late_batch *b) {
    size_t batch = r->run->stream.batch;
    ta_status status = TA_NEW(&b->x, batch * inputs(r), "records trained on late");
    if (status == TA_OK) status = TA_NEW(&b->classes, batch, "records trained on late");
    if (status == TA_OK) status = TA_NEW(&b->targets, batch * r->model.outputs, "records trained on late");
    if (status == TA_OK) status = TA_NEW(&b->numbers, batch, "records trained on late");
    return status;
}

static void close_batch(struct ta_late_batch *b) {
    ta_mem_free(b->x);
    ta_mem_free(b->classes);
    ta_mem_free(b->targets);
    ta_mem_free(b->numbers);
}

static ta_status open_log(struct ta_replica *r) {
    char path[4096];
    struct ta_predictions_config config = {.path = path,
                                           .rank = r->config.rank,
                                           .life = r->epoch,
                                           .kind = ta_replica_predictions_kind(&r->info, &r->model)};
    ta_status status = ta_predictions_log_path(path, sizeof path, r->config.run_dir, config.life, config.rank);
    return status == TA_OK ? ta_predictions_open(&config, &r->online.log) : status;
}

static ta_status open_rehearsal(struct ta_replica *r, const struct ta_answer *a) {
    struct ta_rehearsal_config config = {.policy = a->policy,
                                         .room = a->room,
                                         .x_bytes = inputs(r) * sizeof(float),
                                         .label_bytes = late_label_bytes(r),
                                         .classes = of_classes(r) ? r->info.classes : 0,
                                         .seed = r->run->run.seed + r->config.rank};
    ta_status status = ta_rehearsal_init(&r->online.rehearsal, &config);
    return status == TA_OK ? open_batch(r, &r->online.again) : status;
}

/* Records whose labels come late make a step when there are enough of them: more than one at once, or none. */
static ta_status check_late(const struct ta_replica *r) {
    bool late = r->info.has_delay || r->waited.n > 0;
    if (!late || r->run->online.mode == TA_MODE_PREDICT || !ta_run_config_lock_step(r->run)) return TA_OK;
    return ta_fail(TA_CONFIG,
                   "exchange.type sync, and max_staleness 0, make one step for each of the others', but %s come "
                   "late: use live or dasgd without that bound, or a stream without delays",
                   r->info.has_delay ? "labels of this stream (/label_delay)" : "labels that the checkpoint waits for");
}

static ta_status open_dense(struct ta_replica *r) {
    const struct ta_online_section *o = &r->run->online;
    struct ta_replica_online *s = &r->online;
    ta_status status = check_late(r);
    if (status == TA_OK) status = ta_mem_alloc(1, late_label_bytes(r), "a label", (void **)&s->label);
    if (status == TA_OK && of_classes(r))
        status = ta_agreement_init(&s->agreement, r->info.classes, r->run->metrics.window);
    if (status == TA_OK && (o->label_delay > 0 || r->info.has_delay || r->waited.n > 0)) {
        status = ta_waiting_init(&s->waiting, o->waiting, inputs(r) * sizeof(float), late_label_bytes(r));
        if (status == TA_OK) status = open_batch(r, &s->late);
        if (status == TA_OK) ta_replica_waiting_restore(r, &r->waited);
        s->waiting.dropped += r->waited_dropped;
        ta_snapshot_waiting_free(&r->waited);
    }
    for (unsigned i = 0; i < o->answers_count && status == TA_OK; i++)
        if (o->answers[i].type == TA_ANSWER_REHEARSE && s->rehearsal.config.room == 0)
            status = open_rehearsal(r, &o->answers[i]);
    if (status == TA_OK && o->predictions && r->config.run_dir != NULL) status = open_log(r);
    bool scored = r->run->stream.spec.inject_count > 0 && of_classes(r);
    if (scored) s->trail.length = ta_drift_trail_length(r->run->metrics.window);
    return status;
}

ta_status ta_replica_online_open(struct ta_replica *r) {
    const struct ta_online_section *o = &r->run->online;
    struct ta_cycle_spec spec = {.mode = o->mode,
                                 .watch_errors = o->watch != 0,
                                 .plateau = o->plateau,
                                 .cool_down = o->cool_down,
                                 .average = o->average};
    spec.detector.type = TA_DETECTOR_NEVER;
    if (o->detector != NULL) spec.detector = *o->detector;
    r->online.watches = o->mode == TA_MODE_AUTO || spec.detector.type != TA_DETECTOR_NEVER;
    ta_status status = ta_cycle_init(&r->online.cycle, &spec);
    if (status != TA_OK) return status;
    if (r->cycle > 0) ta_cycle_resume(&r->online.cycle, r->cycle);
    if (!ta_replica_of_words(r)) return open_dense(r);
    if (o->mode != TA_MODE_TRAIN || o->label_delay > 0 || o->answers_count > 0 || o->predictions ||
        o->watch != 0)
        return ta_fail(TA_CONFIG,
                       "online: a word model predicts its own contexts: mode, label_delay, watch, predictions and "
                       "answers mean nothing to it; only detector may be given");
    return TA_OK;
}

void ta_replica_online_close(struct ta_replica *r) {
    struct ta_replica_online *s = &r->online;
    if (ta_predictions_close(s->log) != TA_OK) ta_log_error(r->config.log, "predictions: %s", ta_why());
    ta_cycle_free(&s->cycle);
    ta_agreement_free(&s->agreement);
    ta_waiting_free(&s->waiting);
    ta_rehearsal_free(&s->rehearsal);
    ta_mem_free(s->label);
    close_batch(&s->late);
    close_batch(&s->again);
}

/* --- the cycle --- */

static void turned(struct ta_replica *r, uint64_t before, const char *why, int64_t now_ns) {
    struct ta_replica_online *s = &r->online;
    bool drift = s->cycle.number % 2 == 0;
    const char *now = s->cycle.spec.mode == TA_MODE_AUTO ? (drift ? "training" : "predicting") : "as before";
    ta_replica_event(r, now_ns, "mode", "change %" PRIu64 " (from %" PRIu64 "): %s, %s", s->cycle.number, before, now,
                     why);
    ta_replica_tell_mode(r, now_ns);
    if (drift) ta_replica_answer(r, now_ns);
}

static void news(struct ta_replica *r, enum ta_cycle_news what, uint64_t before, uint64_t record, int64_t now_ns) {
    uint64_t number = r->online.cycle.number;
    switch (what) {
        case TA_CYCLE_NOTHING: return;
        case TA_CYCLE_WARNING: ta_replica_event(r, now_ns, "drift_warning", "at record %" PRIu64, record); return;
        case TA_CYCLE_CONVERGED:
            ta_replica_event(r, now_ns, "converged", "at record %" PRIu64 ", since change %" PRIu64, record, number);
            return;
        case TA_CYCLE_DRIFT:
            ta_replica_alarm(r, record, now_ns);
            turned(r, before, "our own alarm", now_ns);
            return;
    }
}

/* A labelled record that was predicted: scored, and shown to the cycle. */
static void observe(struct ta_replica *r, const struct ta_late_label *l, int64_t now_ns) {
    struct ta_replica_online *s = &r->online;
    bool hit = l->said == l->label && l->label >= 0;
    ta_score_count(&r->score, hit, l->loss);
    if (s->agreement.classes > 0) ta_agreement_add(&s->agreement, l->said, l->label);
    uint64_t trained = r->x->records - r->start_records - r->rehearsed;
    ta_drift_trail_add(&s->trail, &r->metrics, l->record, hit, trained, now_ns);
    if (!s->watches) return;
    uint64_t before = s->cycle.number;
    news(r, ta_cycle_add(&s->cycle, l->loss, hit), before, l->record, now_ns);
}

void ta_replica_online_loss(struct ta_replica *r, uint32_t records, double loss, uint64_t last_record, int64_t now_ns) {
    for (uint32_t i = 0; i < records && !isnan(loss); i++) ta_score_count(&r->score, false, (float)loss);
    if (!r->online.watches || isnan(loss)) return;
    uint64_t before = r->online.cycle.number;
    news(r, ta_cycle_add(&r->online.cycle, loss, false), before, last_record, now_ns);
}

static bool all_converged(struct ta_replica *r) {
    for (unsigned peer = 0; peer < r->config.n_ranks; peer++) {
        uint64_t note = peer == r->config.rank ? 0 : r->exchange_ops->peer_note(r->x, peer);
        if (peer == r->config.rank || r->life[peer] == TA_PEER_DEAD || r->life[peer] == TA_PEER_LEFT) continue;
        if (r->life[peer] == TA_PEER_ABSENT) continue;
        if (note != r->online.cycle.number * 2 + 1) return false;
    }
    return r->online.cycle.converged;
}

/* What a replica tells of its loss: the mean over its window, and how many changes that has seen. */
union told_loss {
    struct {
        float mean;
        uint32_t change; /* 1 more than the number; 0: nothing was told */
    } is;
    uint64_t gauge;
};

static void tell_loss(struct ta_replica *r) {
    double mean = ta_score_window_loss(&r->score);
    union told_loss told = {.is = {.mean = (float)mean, .change = (uint32_t)r->online.cycle.number + 1}};
    if (isfinite(mean) && r->config.n_ranks > 1) r->exchange_ops->gauge(r->x, told.gauge);
}

/* Added up over the live peers that have told theirs; `change`: only those after so many changes, 0: all. */
static uint32_t others_losses(struct ta_replica *r, uint32_t change, double *sum) {
    uint32_t others = 0;
    *sum = 0;
    for (unsigned peer = 0; peer < r->config.n_ranks; peer++) {
        if (peer == r->config.rank || r->life[peer] != TA_PEER_LIVE) continue;
        union told_loss told = {.gauge = r->exchange_ops->peer_gauge(r->x, peer)};
        if (told.is.change == 0 || (change != 0 && told.is.change != change) || !isfinite(told.is.mean)) continue;
        *sum += (double)told.is.mean;
        others++;
    }
    return others;
}

double ta_replica_online_mean_loss(struct ta_replica *r) {
    double sum, own = ta_score_window_loss(&r->score);
    uint32_t others = others_losses(r, 0, &sum);
    return isfinite(own) ? (own + sum) / (1 + others) : sum / others;
}

/* A note is the number of changes, and whether we have converged since: it only rises. */
void ta_replica_online_listen(struct ta_replica *r, int64_t now_ns) {
    struct ta_cycle *c = &r->online.cycle;
    tell_loss(r);
    if (!r->online.watches) return;
    double sum;
    uint32_t others = others_losses(r, (uint32_t)c->number + 1, &sum);
    ta_cycle_others(c, sum, others);
    for (unsigned peer = 0; peer < r->config.n_ranks; peer++) {
        if (peer == r->config.rank) continue;
        uint64_t before = c->number;
        char why[48];
        snprintf(why, sizeof why, "as rank %u says", peer);
        if (ta_cycle_hear(c, r->exchange_ops->peer_note(r->x, peer) / 2)) turned(r, before, why, now_ns);
    }
    uint64_t before = c->number;
    if (c->converged && ta_replica_lowest_live(r) == r->config.rank && all_converged(r) && ta_cycle_rest(c))
        turned(r, before, "all have converged", now_ns);
    uint64_t note = c->number * 2 + c->converged;
    if (note != r->online.told) r->exchange_ops->note(r->x, note);
    r->online.told = note;
}

/* --- batches --- */

ta_status ta_replica_online_ready(struct ta_replica *r) {
    if (r->online.log == NULL || ta_predictions_room(r->online.log) >= r->run->stream.batch) return TA_OK;
    return TA_AGAIN;
}

static ta_status log_batch(struct ta_replica *r, const struct ta_batch *b) {
    if (r->online.log == NULL) return TA_OK;
    struct ta_predictions_rows rows = {.first_record = b->first_record,
                                       .due_ns = b->due_each_ns,
                                       .answered_ns = ta_clock_now_ns() - ta_replayer_origin_ns(r->replayer),
                                       .version = ta_replica_total_steps(r),
                                       .predictions = r->bench.predictions,
                                       .classes = b->classes,
                                       .targets = b->targets};
    return ta_predictions_add(r->online.log, b->records, &rows);
}

static void label_of(struct ta_replica *r, const struct ta_batch *b, const struct ta_labels *labels,
                                   uint32_t i, struct ta_late_label *out) {
    uint32_t outputs = r->model.outputs;
    *out = (struct ta_late_label){.record = b->first_record + i,
                               .label = b->classes != NULL ? b->classes[i] : -1,
                               .said = ta_agreement_class_of(r->bench.predictions + (size_t)i * outputs, outputs),
                               .loss = r->bench.losses[i]};
    if (r->model.loss != TA_LOSS_CROSS_ENTROPY)
        memcpy(out->targets, labels->targets + (size_t)i * outputs, outputs * sizeof(float));
}

static void gather(struct ta_replica *r, struct ta_late_batch *to, const float *x, const struct ta_late_label *l) {
    size_t in = inputs(r), outputs = r->model.outputs;
    memcpy(to->x + to->records * in, x, in * sizeof(float));
    to->classes[to->records] = l->label;
    to->numbers[to->records] = l->record;
    if (r->model.loss != TA_LOSS_CROSS_ENTROPY)
        memcpy(to->targets + to->records * outputs, l->targets, outputs * sizeof(float));
    to->records++;
}

/* What is not filled has no label: it is computed on, and counts for nothing. */
static ta_status train_gathered(struct ta_replica *r, struct ta_late_batch *b, bool again, int64_t now_ns) {
    uint32_t n = b->records, batch = r->run->stream.batch;
    size_t in = inputs(r), outputs = r->model.outputs;
    memset(b->x + n * in, 0, (batch - n) * in * sizeof(float));
    for (uint32_t i = n; i < batch; i++) b->classes[i] = -1;
    for (size_t i = n * outputs; i < batch * outputs; i++) b->targets[i] = NAN;
    b->records = 0;
    struct ta_step step = {.x = b->x,
                           .labels = {.classes = b->classes, .targets = b->targets},
                           .records = batch,
                           .labelled = n,
                           .again = again};
    if (r->model.loss == TA_LOSS_CROSS_ENTROPY) step.labels.targets = NULL;
    return ta_replica_step(r, &step, now_ns);
}

/* A step on remembered records, as many as a batch, after each step on new ones. */
static ta_status rehearse(struct ta_replica *r, uint32_t trained, int64_t now_ns) {
    struct ta_replica_online *s = &r->online;
    if (s->rehearse_left == 0 || s->rehearsal.held == 0) return TA_OK;
    s->rehearse_left -= trained < s->rehearse_left ? trained : s->rehearse_left;
    while (s->again.records < r->run->stream.batch) {
        const void *x, *label;
        ta_rehearsal_draw(&s->rehearsal, &x, &label);
        gather(r, &s->again, x, label);
    }
    return train_gathered(r, &s->again, true, now_ns);
}

static void remember(struct ta_replica *r, const float *x, const struct ta_late_label *l) {
    if (r->online.rehearsal.config.room > 0) ta_rehearsal_add(&r->online.rehearsal, x, l, (uint32_t)l->label);
}

/* Labels that are known by now: scored, trained on. */
static ta_status take_late(struct ta_replica *r, uint64_t seen, int64_t now_ns) {
    struct ta_replica_online *s = &r->online;
    const void *x, *label;
    ta_status status = TA_OK;
    while (status == TA_OK && ta_waiting_next(&s->waiting, seen, &x, &label)) {
        const struct ta_late_label *l = label;
        if (!l->scored) observe(r, l, now_ns);
        bool trains = ta_cycle_trains(&s->cycle);
        /* Who was gathered before a checkpoint is again; with those of other replicas they may be too many to wait
         * on. */
        if (!trains && (!l->scored || s->late.records + 1 == r->run->stream.batch)) continue;
        gather(r, &s->late, x, l);
        if (!l->scored) remember(r, x, l);
        if (s->late.records < r->run->stream.batch) continue;
        status = train_gathered(r, &s->late, false, now_ns);
        if (status == TA_OK) status = rehearse(r, r->run->stream.batch, now_ns);
    }
    return status;
}

ta_status ta_replica_online_end(struct ta_replica *r, int64_t now_ns) {
    struct ta_replica_online *s = &r->online;
    return s->late.records > 0 && ta_cycle_trains(&s->cycle) ? train_gathered(r, &s->late, false, now_ns) : TA_OK;
}

/* Every labelled record of a batch: to the score, or to those that wait. */
static void hand_labels_on(struct ta_replica *r, const struct ta_batch *b, const struct ta_labels *labels, bool trained,
                           int64_t now_ns) {
    struct ta_late_label *l = r->online.label;
    uint64_t fixed = r->run->online.label_delay;
    for (uint32_t i = 0; i < b->records; i++) {
        if (!ta_label_is_given(labels, r->model.outputs, i)) continue;
        label_of(r, b, labels, i, l);
        const float *x = b->x + i * inputs(r);
        if (r->online.waiting.room == 0) {
            observe(r, l, now_ns);
            if (trained) remember(r, x, l);
        } else {
            uint64_t delay = b->delays != NULL ? (uint64_t)b->delays[i] : fixed;
            ta_waiting_add(&r->online.waiting, l->record + delay, x, l);
        }
    }
}

ta_status ta_replica_online_batch(struct ta_replica *r, const struct ta_batch *b, int64_t now_ns) {
    struct ta_replica_online *s = &r->online;
    struct ta_step step = {.x = b->x,
                           .labels = {.classes = b->classes, .targets = b->targets},
                           .records = b->records,
                           .wants_predictions = true};
    ta_status status = ta_replica_step_labels(r, &step);
    if (status != TA_OK) return status;
    r->unlabelled += b->records - step.labelled;
    s->trail.record = b->first_record + b->records - 1;
    s->trail.due_ns = r->run->pace.pace == TA_PACE_MAX ? -1 : b->due_ns;
    bool late = s->waiting.room > 0, trains = !late && step.labelled > 0 && ta_cycle_trains(&s->cycle);
    status = trains ? ta_replica_step(r, &step, now_ns) : ta_replica_predict(r, &step);
    if (status == TA_OK) status = log_batch(r, b);
    if (status != TA_OK) return status;
    if (step.labelled > 0) hand_labels_on(r, b, &step.labels, trains, now_ns);
    uint64_t last = b->first_record + b->records - 1;
    if (last > s->seen) s->seen = last; /* after a takeover older ones may come */
    if (late) status = take_late(r, s->seen, now_ns);
    else if (trains) status = rehearse(r, step.labelled, now_ns);
    ta_replica_answer_fade(r, step.labelled);
    return status;
}
