/* replica_open: everything a replica owns, from the bottom up. Unwinding is ta_replica_close's. */
#include <stdio.h>

#include "clock.h"
#include "mem.h"
#include "replay.h"
#include "replica_internal.h"

/* Which labels go with which loss, before anything large is allocated. */
static ta_status check_labels(const struct ta_stream_info *info, const struct ta_model *model) {
    bool classes = info->label_kind == TA_LABEL_CLASS, cross = model->loss == TA_LOSS_CROSS_ENTROPY;
    if (cross && info->label_kind == TA_LABEL_VALUE)
        return ta_fail(TA_CONFIG, "model.loss: cross_entropy needs classes, but the stream's labels are %u values: use "
                                  "squared_error or binary_cross_entropy", info->targets);
    if (classes && !cross && model->outputs != info->classes && !(model->outputs == 1 && info->classes == 2))
        return ta_fail(TA_CONFIG, "model: the last layer has %u outputs, but the stream has %u classes%s",
                       model->outputs, info->classes, info->classes == 2 ? " (1 or 2 outputs would do)" : "");
    return TA_OK;
}

static ta_status word_model(const struct ta_run_config *run, const struct ta_stream_info *info, struct ta_model *out) {
    if (info->element != TA_ELEMENT_I32 && !info->text)
        return ta_fail(TA_CONFIG,
                       "model.type: a word model needs a stream of text or of word numbers; this one has %u x %u x %u "
                       "numbers a record (make one by tensair data import text)",
                       info->h, info->w, info->c);
    if (info->text) return ta_model_build_words(&run->model, NULL, out);
    struct ta_names names = {0};
    ta_status status = TA_OK;
    if (info->label_kind != TA_LABEL_VALUE) status = ta_stream_names(run->stream.spec.file, &names);
    /* Pairs come with numbers alone: rows without a name. */
    for (uint32_t i = 0; status == TA_OK && i < info->vocabulary && info->label_kind == TA_LABEL_VALUE; i++)
        status = ta_names_add(&names, "", 0, 0);
    if (status == TA_OK) status = ta_model_build_words(&run->model, &names, out);
    ta_names_free(&names);
    return status;
}

ta_status ta_replica_model(const struct ta_run_config *run, const struct ta_stream_info *info, struct ta_model *out) {
    if (run->model.type != TA_MODEL_LAYERS) return word_model(run, info, out);
    if (info->element == TA_ELEMENT_I32 || info->text)
        return ta_fail(TA_CONFIG,
                       "model: the stream holds %s, which layers cannot read; set model.type: skipgram (or cbow)",
                       info->text ? "text" : "word numbers");
    bool cross = run->model.loss == TA_LOSS_CROSS_ENTROPY;
    uint32_t outputs = 0;
    if (info->label_kind == TA_LABEL_CLASS && cross) outputs = info->classes;
    if (info->label_kind == TA_LABEL_VALUE && !cross) outputs = info->targets;
    struct ta_shape shape = {info->h, info->w, info->c};
    ta_status status = ta_model_build(&run->model, shape, outputs, out);
    return status == TA_OK ? check_labels(info, out) : status;
}

static ta_status open_model(struct ta_replica *r) {
    const struct ta_replica_shared *shared = r->config.shared;
    ta_status status = TA_OK;
    if (shared != NULL) r->stream = shared->stream;
    else status = ta_stream_open(&r->run->stream.spec, &r->stream);
    if (status != TA_OK) return status;
    r->info = r->stream->info;
    return ta_replica_model(r->run, &r->info, &r->model);
}

/* Each replica drops out other units: the masks' seed takes the rank in. */
static uint64_t mask_seed(const struct ta_replica *r) {
    return r->run->run.seed + UINT64_C(0x9E3779B97F4A7C15) * r->config.rank;
}

static ta_status open_net(struct ta_replica *r) {
    struct ta_net_spec spec = ta_model_net_spec(&r->model, r->run->stream.batch, mask_seed(r), false);
    ta_status status = r->kernel_ops->net_create(r->kernels, &spec, &r->net);
    if (status != TA_OK) return status;
    r->own_prediction = ta_model_needs_own_prediction(&r->model);
    status = r->kernel_ops->alloc(r->kernels, r->model.n_params * sizeof(float), "the gradient", (void **)&r->grad);
    size_t batch = r->run->stream.batch;
    if (status == TA_OK) status = TA_NEW(&r->bench.predictions, batch * r->model.outputs, "predictions");
    if (status == TA_OK) status = TA_NEW(&r->bench.losses, batch, "losses");
    if (status == TA_OK)
        status = ta_optimizer_open(&r->optimizer, &r->run->optimizer, &r->model, r->kernel_ops, r->kernels);
    return status;
}

static ta_status open_kernels(struct ta_replica *r) {
    const struct ta_replica_shared *shared = r->config.shared;
    if (shared != NULL) {
        r->kernel_ops = shared->kernel_ops;
        r->kernels = shared->kernels;
        return TA_OK;
    }
    struct ta_device_place place = {.local_rank = r->config.local_rank,
                                    .local_n = r->config.local_n,
                                    .own_n = r->config.per_node};
    char *text = r->config.board->devices[r->config.rank];
    ta_status status = ta_device_open(r->run, &place, &r->device);
    if (status != TA_OK) return status;
    r->kernel_ops = r->device.kernel_ops;
    r->kernels = r->device.kernels;
    ta_device_describe(&r->device, &r->run->device, text, TA_BOARD_TEXT_BYTES);
    bool fell = r->device.why[0] != '\0';
    ta_log_info(r->config.log, "computes on %s%s%s", text, fell ? ": " : "", r->device.why);
    return TA_OK;
}

static ta_status open_compute(struct ta_replica *r) {
    ta_status status = open_kernels(r);
    if (status == TA_OK) status = ta_score_init(&r->score, r->run->metrics.window, r->run->metrics.fading);
    if (status != TA_OK) return status;
    return ta_replica_of_words(r) ? ta_replica_words_open(r) : open_net(r);
}

/* The exchange calls this when a gradient becomes an update: at once, or when those of the others have come. */
static ta_status update(void *owner, const float *grad, const float *w, float scale, float *delta) {
    struct ta_replica *r = owner;
    ta_replica_phase(r, TA_PHASE_PUT);
    ta_status status = ta_optimizer_step(&r->optimizer, grad, w, scale, delta);
    ta_replica_phase(r, TA_PHASE_COMPUTE);
    if (status == TA_OK) r->trained_ns = r->mark_ns;
    return status;
}

static ta_status open_exchange(struct ta_replica *r, const struct ta_restart *restart) {
    const struct ta_exchange_section *e = &r->run->exchange;
    unsigned n = r->config.n_ranks;
    char why[512];
    ta_status status = ta_transport_choose(&r->run->transport, n, r->config.per_host, &r->transport_ops, why,
                                           sizeof why);
    if (status == TA_OK && n > 1) ta_log_info(r->config.log, "%s", why);
    if (status == TA_OK) status = ta_exchange_find(&e->spec, &r->exchange_ops);
    if (r->config.replay != NULL) r->exchange_ops = &ta_exchange_replay;
    if (status != TA_OK) return status;
    struct ta_transport_config transport = {
        .rank = r->config.rank,
        .n_ranks = n,
        .per_node = r->config.per_host,
        .alone_from = r->config.spares > 0 ? n - r->config.spares : 0,
        .run_id = r->config.run_id,
        .fabric = r->config.fabric,
        .spec = &r->run->transport,
        .gpu_ops = r->device.gpu_ops,
        .gpu = r->device.gpu,
        .log = r->config.log,
    };
    status = ta_transport_open_gpu(r->transport_ops, &transport, &r->transport_ops, &r->transport);
    if (status != TA_OK) return status;
    struct ta_exchange_config config = {
        .spec = &e->spec,
        .updater = {update, r},
        .model = &r->model,
        .kernel_ops = r->kernel_ops,
        .kernels = r->kernels,
        .gpu_ops = r->device.gpu_ops,
        .gpu = r->device.gpu,
        .transport_ops = r->transport_ops,
        .transport = r->transport,
        .rank = r->config.rank,
        .n_ranks = n,
        .per_node = r->config.per_host,
        .spares = r->config.spares,
        .epoch = restart->epoch,
        .log = r->config.log,
    };
    struct ta_exchange_start start = {
        .w0 = restart->w0,
        .seed = restart->table_seed,
        .deltas = (const float *const *)restart->deltas,
        .steps = restart->exact && !ta_replica_is_spare(r) ? restart->own.steps : 0,
        .records = restart->exact && !ta_replica_is_spare(r) ? restart->own.records : 0,
        .peer_steps = restart->peer_steps,
    };
    status = ta_replica_record_open(r, restart->epoch, &start);
    config.recorder = r->recorder;
    config.replay = r->config.replay;
    if (status == TA_OK) status = r->exchange_ops->open(&config, &start, &r->x);
    if (status == TA_OK) status = TA_NEW(&r->met, n, "the list of peers");
    if (status == TA_OK) status = TA_NEW(&r->life, n, "the list of peers");
    for (unsigned rank = ta_replica_founders(r); status == TA_OK && rank < n; rank++) r->life[rank] = TA_PEER_ABSENT;
    return status;
}

ta_status ta_replica_open_stream(struct ta_replica *r) {
    const struct ta_run_config *c = r->run;
    struct ta_replayer_config config = {
        .stream = r->stream,
        .pace = c->pace,
        .share = &r->share,
        .batch = c->stream.batch,
        .epochs = c->run.epochs < 0 ? 0 : c->run.epochs,
        .max_records = c->run.max_records,
        .ring = c->stream.ring,
        .on_overload = c->stream.on_overload,
        .max_lag_s = c->stream.max_lag_s,
        .in_line = r->config.shared != NULL,
    };
    return ta_replayer_open(&config, &r->replayer);
}

static ta_status open_files(struct ta_replica *r) {
    if (r->config.run_dir == NULL) return TA_OK;
    char path[4096];
    unsigned node = r->config.per_node > 0 ? r->config.rank / r->config.per_node : 0;
    ta_metrics_path(path, sizeof path, r->config.run_dir, node);
    ta_status status = ta_metrics_open(&r->metrics, path, (int)r->config.rank);
    if (status != TA_OK) return status;
    r->metrics.epoch = r->epoch;
    if (r->run->checkpoint.off) return TA_OK;
    snprintf(path, sizeof path, "%s/checkpoint", r->config.run_dir);
    r->fence = (struct ta_fence){.run_dir = r->config.fenced ? r->config.run_dir : NULL,
                                 .run_id = r->config.run_id,
                                 .per_node = r->config.per_node,
                                 .node = node};
    struct ta_checkpoint_config config = {
        .directory = path,
        .fence = &r->fence,
        .took_ns = &ta_replica_row(r)->save_ns,
        .model = &r->model,
        .keep = r->run->checkpoint.keep,
        .hold = r->config.spares > 0 ? r->config.resume : NULL, /* who joins begins with what all began with */
        .patience_s = 10 + r->run->exchange.spec.dead_after_s,
        .log = r->config.log};
    return ta_checkpoint_open(&config, &r->writer);
}

ta_status ta_replica_build(struct ta_replica *r) {
    struct ta_restart restart = {0};
    ta_status status = open_model(r);
    if (status == TA_OK) status = open_compute(r);
    if (status == TA_OK) status = ta_restart_prepare(r, &restart);
    if (status == TA_OK) status = open_exchange(r, &restart);
    if (status == TA_OK) status = ta_replica_warm_up(r);
    if (status == TA_OK) status = ta_restart_apply(r, &restart);
    if (status == TA_OK) status = ta_replica_deal_open(r);
    if (status == TA_OK) status = ta_replica_online_open(r);
    if (status == TA_OK) status = ta_share_init(&r->walk, r->share.rank, r->share.n_ranks, &r->share.start);
    if (status == TA_OK && !ta_replica_is_spare(r)) status = ta_replica_open_stream(r);
    if (status == TA_OK) status = ta_replica_latency_open(r);
    if (status == TA_OK) status = open_files(r);
    if (status == TA_OK) status = ta_replica_publish(r);
    ta_restart_free(&restart, r->config.n_ranks);
    return status;
}
