/* replica: the state machine. What happens in each state lies in replica_*.c. */
#include "replica.h"

#include <stdio.h>

#include "clock.h"
#include "mem.h"
#include "replica_internal.h"

static const char *const state_names[] = {"joining",   "training", "settling", "snapshot",
                                          "finishing", "saving",   "done"};

const char *ta_replica_state_name(enum ta_replica_state state) {
    return (unsigned)state < sizeof state_names / sizeof state_names[0] ? state_names[state] : "unknown";
}

enum ta_replica_state ta_replica_state(const struct ta_replica *r) { return r->state; }

/* Measures only: what happens follows from tick's argument. */
int64_t ta_replica_clock_ns(const struct ta_replica *r) {
    const struct ta_replica_shared *shared = r->config.shared;
    return shared != NULL ? shared->clock_ns(shared->owner) : ta_clock_now_ns();
}

void ta_replica_phase(struct ta_replica *r, enum ta_phase phase) {
    int64_t now_ns = ta_replica_clock_ns(r);
    if (r->mark_ns != 0) r->phase_ns[phase] += now_ns - r->mark_ns;
    r->mark_ns = now_ns;
}

ta_status ta_replica_open(const struct ta_replica_config *config, struct ta_replica **out) {
    *out = NULL;
    if (config->rank >= config->n_ranks || config->board->n_rows != config->n_ranks)
        return ta_fail(TA_CONFIG, "rank %u of %u replicas with a board of %u", config->rank, config->n_ranks,
                       config->board->n_rows);
    if (config->spares >= config->n_ranks)
        return ta_fail(TA_CONFIG, "%u spares of %u ranks leave nobody to start with", config->spares, config->n_ranks);
    if (config->run_dir == NULL && config->n_ranks > 1 && config->shared == NULL)
        return ta_fail(TA_CONFIG, "%u replicas need a run directory to meet in", config->n_ranks);
    struct ta_replica *r;
    ta_status status = TA_NEW(&r, 1, "a replica");
    if (status != TA_OK) return status;
    r->config = *config;
    r->run = config->run;
    r->metrics.fd = -1;
    r->saved_steps = UINT64_MAX;
    status = ta_replica_build(r);
    if (status != TA_OK) {
        ta_replica_close(r);
        return status;
    }
    *out = r;
    return TA_OK;
}

static void close_net(struct ta_replica *r) {
    ta_replica_words_close(&r->words);
    if (r->kernels == NULL) return;
    if (r->net != NULL) r->kernel_ops->net_destroy(r->net);
    if (r->short_net != NULL) r->kernel_ops->net_destroy(r->short_net);
    if (r->grad != NULL) r->kernel_ops->free(r->kernels, r->grad);
    ta_optimizer_close(&r->optimizer);
}

void ta_replica_close(struct ta_replica *r) {
    if (r == NULL) return;
    ta_replayer_close(r->replayer); /* first: its thread uses the stream and the share */
    ta_share_free(&r->share);
    ta_share_free(&r->walk);
    ta_replica_deal_close(r);
    if (r->config.shared == NULL) ta_stream_close(r->stream);
    (void)ta_checkpoint_close(r->writer); /* a failure of the last one was told by SAVING */
    ta_snapshot_free(&r->snapshot);
    ta_rendezvous_close(r->rendezvous);
    ta_store_close(r->store);
    close_net(r);
    if (r->x != NULL) r->exchange_ops->close(r->x);
    ta_replica_record_close(r);
    if (r->transport != NULL) r->transport_ops->close(r->transport);
    ta_device_close(&r->device);
    ta_model_free(&r->model);
    ta_score_free(&r->score);
    ta_metrics_close(&r->metrics);
    ta_latency_close(&r->latency);
    ta_replica_online_close(r);
    ta_snapshot_waiting_free(&r->waited);
    ta_mem_free(r->bench.targets);
    ta_mem_free(r->bench.predictions);
    ta_mem_free(r->bench.losses);
    ta_mem_free(r->path);
    ta_mem_free(r->met);
    ta_mem_free(r->life);
    ta_mem_free(r);
}

/* One turn in the present state. */
static ta_status turn(struct ta_replica *r, int64_t now_ns) {
    bool meets = r->state >= TA_REPLICA_TRAINING && r->state <= TA_REPLICA_FINISHING;
    ta_status status = meets ? ta_replica_look(r, now_ns) : TA_OK;
    if (status != TA_OK) return status;
    switch (r->state) {
        case TA_REPLICA_JOINING: return ta_replica_join(r, now_ns);
        case TA_REPLICA_TRAINING:
            if (ta_replica_round_due(r, now_ns)) return TA_OK;
            return ta_replica_train(r, now_ns);
        case TA_REPLICA_SETTLING: return ta_replica_settle(r, now_ns);
        case TA_REPLICA_SNAPSHOT: return ta_replica_snapshot(r, now_ns);
        case TA_REPLICA_FINISHING:
            if (ta_replica_round_due(r, now_ns)) return TA_OK;
            return ta_replica_finish(r, now_ns);
        case TA_REPLICA_SAVING: return ta_replica_save(r, now_ns);
        case TA_REPLICA_DONE: break;
    }
    return r->result;
}

static bool report_due(const struct ta_replica *r, int64_t now_ns) {
    uint64_t every = r->run->metrics.every_records;
    return r->start_ns != 0 &&
           (now_ns >= r->report_ns || (every > 0 && r->life_records - r->reported_records >= every));
}

/* The last word: what happened until now is in the metrics whatever follows. */
static void tell_end(struct ta_replica *r, int64_t now_ns) {
    ta_replica_look_at_peers(r, now_ns);
    ta_replica_report(r, now_ns);
    ta_replica_latency_end(r);
}

ta_status ta_replica_tick(struct ta_replica *r, int64_t now_ns) {
    bool rests = !r->was_idle || r->state != TA_REPLICA_TRAINING;
    ta_replica_phase(r, rests ? TA_PHASE_REST : r->waits ? TA_PHASE_WAIT : TA_PHASE_IDLE);
    ta_status status = TA_OK;
    if (r->state != TA_REPLICA_SAVING && r->state != TA_REPLICA_DONE) {
        status = r->exchange_ops->poll(r->x, now_ns);
        ta_replica_phase(r, TA_PHASE_APPLY);
        ta_replica_latency_seen(r);
        if (status == TA_OK) ta_replica_look_at_paths(r, now_ns);
    }
    if (status == TA_OK) status = turn(r, now_ns);
    r->was_idle = status == TA_AGAIN;
    if (report_due(r, now_ns)) {
        ta_replica_look_at_peers(r, now_ns);
        ta_replica_report(r, now_ns);
    }
    if (status == TA_OK || status == TA_AGAIN) {
        ta_board_set(ta_replica_row(r)->state, r->state);
        return status;
    }
    char why[512]; /* of the end: what is told below may fail for reasons of its own */
    snprintf(why, sizeof why, "%s", ta_why());
    if (r->start_ns != 0) tell_end(r, now_ns);
    if (r->left_ns == 0) ta_board_set(ta_replica_row(r)->ended_ns, now_ns);
    bool orderly = status == TA_END || status == TA_REQUEUE;
    bool saved = r->state == TA_REPLICA_DONE && r->nan_why[0] != '\0'; /* with the others, if not for a good reason */
    if (orderly || saved) ta_board_set(ta_replica_row(r)->finished, 1);
    return orderly ? status : ta_fail(status, "%s", why);
}

int64_t ta_replica_wake_ns(struct ta_replica *r, int64_t now_ns) {
    if (r->state == TA_REPLICA_TRAINING) {
        if (r->ahead.batch != NULL) return now_ns;
        int64_t wake_ns = ta_replayer_wake_ns(r->replayer, now_ns);
        return wake_ns > r->report_ns ? r->report_ns : wake_ns;
    }
    return now_ns;
}

void ta_replica_stop(struct ta_replica *r) { r->stop = true; }
