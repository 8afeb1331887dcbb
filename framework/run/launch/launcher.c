/* launcher: the job from configuration to summary. The other files of the launcher: launcher_internal.h. */
#include "launcher.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "device.h"
#include "devices.h"
#include "launcher_internal.h"
#include "mem.h"
#include "optimizer.h"
#include "pretrained.h"
#include "replica_online.h"
#include "summary.h"
#include "worker.h"

uint64_t ta_job_goal(const struct ta_job *j) {
    uint64_t goal = ta_run_config_goal(j->config, &j->stream);
    uint64_t done = j->resumed != NULL ? j->resumed->total_records : 0;
    return goal > done ? goal - done : 0;
}

/* Opens stream, model and optimizer once, so that what is wrong with them is said once and before any replica is
 * started. */
static ta_status look_ahead(struct ta_job *j) {
    struct ta_stream *stream;
    ta_status status = ta_stream_open(&j->config->stream.spec, &stream);
    if (status != TA_OK) return status;
    j->stream = stream->info;
    ta_stream_close(stream);
    status = ta_replica_model(j->config, &j->stream, &j->model);
    if (status == TA_CONFIG && j->config->run.from != NULL) return ta_pretrained_misfit(j->config, &j->stream);
    if (status == TA_OK) status = ta_pretrained_try(j->config, &j->stream, &j->model);
    if (status != TA_OK || j->config->run.replicas == 1) return status; /* one replica says the rest itself */
    if (j->model.words.rows > 0) {
        struct ta_optimizer_spec spec = j->config->optimizer;
        return ta_optimizer_check_words(&spec, j->model.words.type, ta_job_goal(j) > 0);
    }
    const struct ta_kernels_ops *ops;
    struct ta_kernels *kernels = NULL;
    struct ta_optimizer optimizer = {0};
    status = ta_kernels_find("cpu", &ops);
    if (status == TA_OK) status = ops->open(&(struct ta_kernels_config){.threads = 1}, &kernels);
    if (status != TA_OK) return status;
    status = ta_optimizer_open(&optimizer, &j->config->optimizer, &j->model, ops, kernels);
    if (status == TA_OK) ta_optimizer_close(&optimizer);
    ops->close(kernels);
    return status;
}

/* The one file over what all replicas of this life, and of those before it, have predicted. */
static ta_status open_predictions(struct ta_job *j) {
    if (!j->config->online.predictions) return TA_OK;
    struct ta_predictions_kind kind = ta_replica_predictions_kind(&j->stream, &j->model);
    return ta_predictions_view_make(j->dir.path, &kind, j->life, j->config->run.replicas + j->config->run.spares);
}

/* What node 0 keeps for all, and the metrics of this node. */
static ta_status open_files(struct ta_job *j) {
    char path[TA_RUN_DIR_BYTES + 32];
    ta_metrics_path(path, sizeof path, j->dir.path, j->node);
    ta_status status = ta_metrics_open(&j->metrics, path, -1);
    j->metrics.epoch = j->life;
    if (status != TA_OK || j->node != 0) return status;
    status = ta_config_print(j->config, &ta_run_schema, &j->config_text);
    if (status == TA_OK) status = ta_run_dir_write(&j->dir, "config.yaml", j->config_text);
    if (status == TA_OK) status = open_predictions(j);
    if (status != TA_OK) return status;
    j->manifest = (struct ta_manifest){
        .argc = j->launch->argc,
        .argv = j->launch->argv,
        .dir = &j->dir,
        .seed = j->config->run.seed,
        .replicas = j->config->run.replicas,
        .nodes = j->nodes,
        .stream = &j->stream,
        .model = &j->model,
        .config = j->config_text,
        .resumed = j->resumed != NULL ? j->resumed->path : NULL,
        .transport = j->transport != NULL ? j->transport : "auto", /* several nodes choose when they have met */
        .why = j->why,
    };
    status = ta_drift_truth_write(&j->dir, &j->config->stream.spec, j->stream.records,
                                  ta_run_config_goal(j->config, &j->stream));
    if (status != TA_OK) return status;
    return ta_manifest_start(&j->manifest, &j->manifest_json);
}

enum ta_log_level ta_job_log_level(const struct ta_run_config *config) {
    enum ta_log_level level = TA_LOG_WARN;
    if (config->run.log_level != NULL) (void)ta_log_level_parse(config->run.log_level, &level);
    return level;
}

ta_status ta_job_choose_transport(struct ta_job *j) {
    const struct ta_transport_ops *ops;
    ta_status status = ta_transport_choose(&j->config->transport, j->config->run.replicas + j->config->run.spares,
                                           j->per_host, &ops, j->why, sizeof j->why);
    if (status == TA_OK) j->transport = ops->name;
    return status;
}

static ta_status open_dir(struct ta_job *j) {
    const char *path = j->run_dir[0] != '\0' ? j->run_dir : NULL;
    if (j->node != 0) return ta_run_dir_join(&j->dir, path);
    ta_status status = ta_job_claim_dir(j, path);
    return status == TA_OK ? ta_job_choose_resume(j) : status;
}

static ta_status job_open(struct ta_job *j) {
    const struct ta_launch *l = j->launch;
    ta_status status = ta_signals_open(&j->signals);
    if (status == TA_OK) status = ta_run_config_load(l->config_path, l->overrides, l->n_overrides, &j->config);
    if (status == TA_OK) status = ta_job_find_place(j);
    if (status == TA_OK) status = ta_device_is_built(&j->config->device);
    if (status == TA_OK) status = look_ahead(j);
    if (status == TA_OK) status = ta_log_open(&j->log, ta_job_log_level(j->config), -1, true, NULL);
    if (status == TA_OK && j->nodes == 1) status = ta_job_choose_transport(j);
    if (status == TA_OK) status = open_dir(j);
    if (status == TA_OK)
        status = ta_board_create(&j->board, j->config->run.replicas + j->config->run.spares,
                                 j->config->run.replicas > 1);
    return status == TA_OK ? open_files(j) : status;
}

void ta_job_close(struct ta_job *j) {
    ta_metrics_close(&j->metrics);
    ta_board_close(&j->board);
    ta_run_dir_close(&j->dir);
    ta_mem_free(j->resumed);
    ta_mem_free(j->config_text);
    json_decref(j->manifest_json);
    ta_model_free(&j->model);
    ta_run_config_free(j->config);
    ta_log_close(&j->log);
    ta_signals_close(&j->signals);
}

static ta_status run_here(struct ta_job *j) {
    struct ta_log log;
    char path[TA_RUN_DIR_BYTES + 32];
    snprintf(path, sizeof path, "%s/log/rank-00000.log", j->dir.path);
    ta_status status = ta_log_open(&log, ta_job_log_level(j->config), 0, true, path);
    if (status != TA_OK) return status;
    struct ta_worker worker = {
        .replica = {.run = j->config,
                    .n_ranks = 1,
                    .fenced = true,
                    .run_id = j->run_id,
                    .life = j->life,
                    .run_dir = j->dir.path,
                    .resume = j->resumed != NULL ? j->resumed->path : NULL,
                    .board = &j->board,
                    .log = &log},
        .signals = &j->signals,
        .progress = &j->progress,
    };
    status = ta_deadline_open(&j->place, &j->board, &j->log, &j->deadline);
    if (status == TA_OK) status = ta_worker_run(&worker);
    j->interrupted = worker.interrupted;
    ta_progress_clear(&j->progress);
    ta_log_close(&log);
    return status;
}

/* What each node puts with, as far as it came to say so; into the manifest. */
static json_t *list_paths(struct ta_job *j) {
    json_t *list = json_array();
    for (unsigned i = 0; i < j->nodes; i++) {
        const char *text = j->board.texts[0];
        if (j->others != NULL && i != j->node) text = ta_nodes_description(j->others, i);
        json_array_append_new(list, text[0] != '\0' ? json_string(text) : json_null());
    }
    return list;
}

/* The end is told once, by node 0; by another one when that is gone. */
static void conclude(struct ta_job *j, ta_status status) {
    if (j->node != 0 && (j->others == NULL || !ta_nodes_headless(j->others))) return;
    struct ta_summary summary = {
        .board = &j->board,
        .dir = &j->dir,
        .classes = j->stream.label_kind == TA_LABEL_CLASS,
        .window = j->config->metrics.window,
        .replicas = j->config->run.replicas,
        .lost = j->lost,
        .exit_code = j->interrupted ? 128 + SIGINT : ta_status_exit_code(status),
    };
    struct ta_board_sum sum;
    ta_board_add_up(&j->board, &sum);
    ta_summary_find_checkpoint(&summary);
    ta_summary_find_latency(&summary, j->life);
    bool whole = !j->stopped && status != TA_REQUEUE && j->config->run.max_seconds == 0;
    uint64_t all = ta_run_config_goal(j->config, &j->stream), done = sum.done_records;
    /* Told at the last rest; if there was none: each that has joined has taken over what one lost replica left. */
    if (done > 0 && whole) summary.untrained = j->lost > 0 && all > done ? all - done : 0;
    else if (j->lost > ta_summary_joined(&summary) && whole && j->goal_records > sum.life_records)
        summary.untrained = j->goal_records - sum.life_records;
    uint64_t before = j->resumed != NULL ? j->resumed->total_records : 0;
    if (ta_drift_report_make(&j->dir, j->config, j->stream.records, before + sum.life_records, &summary.drift) != TA_OK)
        ta_log_warn(&j->log, "%s", ta_why());
    if (sum.started_ns != 0) ta_summary_print(&summary, stdout);
    if (status == TA_REQUEUE && j->launch->again != NULL) printf("stopped      go on with: %s\n", j->launch->again);
    else if (status == TA_REQUEUE)
        printf("stopped      go on with: tensair train %s -n %u --run-dir %s%s\n", j->launch->config_path,
               summary.replicas, j->dir.path, j->nodes > 1 ? " on each node" : "");
    json_t *fields = ta_summary_json(&summary), *line = ta_metrics_line(&j->metrics, "summary", ta_clock_now_ns());
    if (line != NULL && fields != NULL) json_object_update(line, fields);
    ta_metrics_write(&j->metrics, line);
    /* A manifest that cannot be finished must not turn a finished run into a failed one; it says `end: null`. */
    ta_manifest_paths(j->manifest_json, list_paths(j));
    ta_manifest_devices(j->manifest_json, ta_devices_json(&j->board));
    if (ta_manifest_end(&j->manifest, j->manifest_json, fields, summary.exit_code) != TA_OK)
        ta_log_warn(&j->log, "%s", ta_why());
    ta_drift_report_free(&summary.drift);
    j->manifest_json = NULL;
    json_decref(summary.latency);
}

static ta_status job_run(struct ta_job *j) {
    /* What all launchers would say alike, one says, where they share a log. */
    bool quiet = j->launch->quiet || (j->node != 0 && isatty(STDERR_FILENO) == 0);
    if (!quiet && j->nodes > 1)
        fprintf(stderr, "node %u of %u, waiting for the others in %s\n", j->node, j->nodes, j->dir.path);
    ta_status status = j->nodes > 1 ? ta_job_meet(j) : TA_OK;
    if (status != TA_OK) return status;
    if (j->nodes > 1 && j->node == 0) ta_manifest_transport(j->manifest_json, j->transport, j->why);
    j->goal_records = ta_job_goal(j);
    if (!quiet && j->config->run.replicas > 1) fprintf(stderr, "%s\n", j->why);
    ta_progress_open(&j->progress, quiet ? NULL : stderr, j->dir.path, j->goal_records);
    return j->config->run.replicas == 1 ? run_here(j) : ta_job_run_children(j);
}

static ta_status job_end(struct ta_job *j, ta_status status) {
    ta_deadline_close(j->deadline);
    char why[1024];
    snprintf(why, sizeof why, "%s", ta_why());
    ta_status may = ta_job_may_conclude(j);
    if (may == TA_OK) conclude(j, status);
    else snprintf(why, sizeof why, "%s", ta_why());
    if (may != TA_OK) status = may;
    ta_nodes_close(j->others, status);
    return status == TA_OK ? TA_OK : ta_fail(status, "%s", why);
}

ta_status ta_launch(const struct ta_launch *launch, bool *interrupted) {
    struct ta_job *j;
    *interrupted = false;
    ta_status status = TA_NEW(&j, 1, "a job");
    if (status != TA_OK) return status;
    j->launch = launch;
    j->nodes = 1;
    j->signals.fd = j->board.fd = j->metrics.fd = j->log.file = j->dir.lock = -1;
    status = job_open(j);
    bool is_open = status == TA_OK;
    if (is_open) status = job_run(j);
    if (is_open && !j->is_replica) status = job_end(j, status);
    *interrupted = j->interrupted;
    ta_job_close(j);
    ta_mem_free(j);
    return status;
}
