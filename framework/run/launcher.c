/* launcher: the job from configuration to summary. The processes are children's business. */
#include "launcher.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "checkpoint.h"
#include "children.h"
#include "clock.h"
#include "manifest.h"
#include "mem.h"
#include "metrics.h"
#include "model.h"
#include "optimizer.h"
#include "run_config.h"
#include "summary.h"
#include "worker.h"

struct job {
    const struct ta_launch *launch;
    struct ta_run_config *config;
    struct ta_signals signals;
    struct ta_stream_info stream;
    struct ta_model model;
    struct ta_run_dir dir;
    struct ta_board board;
    struct ta_log log;
    struct ta_metrics metrics;
    struct ta_progress progress;
    struct ta_checkpoint_info *resumed; /* NULL: starts anew */
    char *config_text;
    struct ta_manifest manifest;
    json_t *manifest_json;
    uint64_t run_id, goal_records;
    uint32_t life; /* of the run, counted from 1: above that of every checkpoint there is */
    unsigned lost;
    bool stopped, interrupted; /* asked to stop; to leave at once */
};

static uint64_t goal_of(const struct job *j) {
    uint64_t goal = ta_run_config_goal(j->config, &j->stream);
    uint64_t done = j->resumed != NULL ? j->resumed->total_records : 0;
    return goal > done ? goal - done : 0;
}

/* Opens stream, model and optimizer once, so that what is wrong with them is said once and before any replica is started. */
static ta_status look_ahead(struct job *j) {
    struct ta_stream *stream;
    ta_status status = ta_stream_open(&j->config->stream.spec, &stream);
    if (status != TA_OK) return status;
    j->stream = stream->info;
    ta_stream_close(stream);
    status = ta_replica_model(j->config, &j->stream, &j->model);
    if (status != TA_OK || j->config->run.replicas == 1) return status; /* one replica says the rest itself */
    if (j->model.words.rows > 0) {
        struct ta_optimizer_spec spec = j->config->optimizer;
        return ta_optimizer_check_words(&spec, j->model.words.type, goal_of(j) > 0);
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

/* "auto", "never" or a path -> the checkpoint to go on from, and the number of this life. Going on from an older checkpoint
 * than the newest leaves a branch behind: this life must still count as newer than that. */
static ta_status choose_resume(struct job *j) {
    const char *said = j->launch->resume != NULL ? j->launch->resume : "auto";
    bool automatic = strcmp(said, "auto") == 0, never = strcmp(said, "never") == 0;
    char folder[TA_RUN_DIR_BYTES + 16];
    snprintf(folder, sizeof folder, "%s/checkpoint", j->dir.path);
    struct ta_checkpoint_info *newest;
    ta_status status = TA_NEW(&newest, 1, "the checkpoint");
    if (status != TA_OK) return status;
    status = access(folder, F_OK) == 0 ? ta_checkpoint_latest(folder, &j->log, newest) : TA_AGAIN;
    j->life = status == TA_OK ? newest->epoch + 1 : 1;
    if (status == TA_OK && never)
        status = ta_fail(TA_CONFIG, "%s holds a run with checkpoints: go on with --resume auto, or give another --run-dir",
                         j->dir.path);
    if (status == TA_AGAIN && !automatic) status = TA_OK;
    if (status == TA_OK && !automatic && !never) {
        status = ta_checkpoint_check(said, newest);
        if (newest->epoch >= j->life) j->life = newest->epoch + 1;
    }
    if (status == TA_OK && !never) {
        j->resumed = newest;
        return TA_OK;
    }
    ta_mem_free(newest);
    return status == TA_AGAIN ? TA_OK : status;
}

static ta_status open_files(struct job *j) {
    char path[TA_RUN_DIR_BYTES + 32];
    snprintf(path, sizeof path, "%s/metrics.jsonl", j->dir.path);
    ta_status status = ta_metrics_open(&j->metrics, path, -1);
    if (status == TA_OK) status = ta_config_print(j->config, &ta_run_schema, &j->config_text);
    if (status == TA_OK) status = ta_run_dir_write(&j->dir, "config.yaml", j->config_text);
    if (status != TA_OK) return status;
    j->metrics.epoch = j->life;
    j->manifest = (struct ta_manifest){
        .argc = j->launch->argc,
        .argv = j->launch->argv,
        .dir = &j->dir,
        .seed = j->config->run.seed,
        .replicas = j->config->run.replicas,
        .stream = &j->stream,
        .model = &j->model,
        .config = j->config_text,
        .resumed = j->resumed != NULL ? j->resumed->path : NULL,
    };
    return ta_manifest_start(&j->manifest, &j->manifest_json);
}

/* What a line on stderr must weigh: warnings when nobody asked otherwise, as progress is shown there too. */
static enum ta_log_level level_of(const struct ta_run_config *config) {
    enum ta_log_level level = TA_LOG_WARN;
    if (config->run.log_level != NULL) (void)ta_log_level_parse(config->run.log_level, &level);
    return level;
}

static ta_status job_open(struct job *j) {
    const struct ta_launch *l = j->launch;
    ta_status status = ta_signals_open(&j->signals);
    if (status == TA_OK) status = ta_run_config_load(l->config_path, l->overrides, l->n_overrides, &j->config);
    if (status == TA_OK) status = look_ahead(j);
    if (status == TA_OK) status = ta_log_open(&j->log, level_of(j->config), -1, true, NULL);
    const char *run_dir = l->run_dir != NULL || status != TA_OK ? l->run_dir : j->config->run.run_dir;
    if (status == TA_OK) status = ta_run_dir_open(&j->dir, run_dir, l->config_path);
    if (status == TA_OK) status = choose_resume(j);
    if (status == TA_OK) status = ta_board_create(&j->board, j->config->run.replicas, j->config->run.replicas > 1);
    if (status == TA_OK) status = open_files(j);
    if (status == TA_OK && getrandom(&j->run_id, sizeof j->run_id, 0) != sizeof j->run_id)
        status = ta_fail_errno(TA_FAILED, "no random numbers from the system");
    j->goal_records = status == TA_OK ? goal_of(j) : 0;
    if (status == TA_OK) ta_progress_open(&j->progress, l->quiet ? NULL : stderr, j->dir.path, j->goal_records);
    return status;
}

static void job_close(struct job *j) {
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

static ta_status run_here(struct job *j) {
    struct ta_log log;
    char path[TA_RUN_DIR_BYTES + 32];
    snprintf(path, sizeof path, "%s/log/rank-00000.log", j->dir.path);
    ta_status status = ta_log_open(&log, level_of(j->config), 0, true, path);
    if (status != TA_OK) return status;
    struct ta_worker worker = {
        .replica = {.run = j->config,
                    .n_ranks = 1,
                    .run_id = j->run_id,
                    .life = j->life,
                    .run_dir = j->dir.path,
                    .resume = j->resumed != NULL ? j->resumed->path : NULL,
                    .board = &j->board,
                    .log = &log},
        .signals = &j->signals,
        .progress = &j->progress,
    };
    status = ta_worker_run(&worker);
    j->interrupted = worker.interrupted;
    ta_progress_clear(&j->progress);
    ta_log_close(&log);
    return status;
}

static const char *code_meaning(int code) {
    static const ta_status all[] = {TA_FAILED, TA_CONFIG, TA_PEER, TA_IO, TA_REQUEUE};
    for (unsigned i = 0; i < sizeof all / sizeof all[0]; i++)
        if (ta_status_exit_code(all[i]) == code) return ta_status_meaning(all[i]);
    return "failed";
}

static ta_status code_status(int code) {
    static const ta_status all[] = {TA_CONFIG, TA_PEER, TA_IO, TA_REQUEUE};
    for (unsigned i = 0; i < sizeof all / sizeof all[0]; i++)
        if (ta_status_exit_code(all[i]) == code) return all[i];
    return TA_FAILED;
}

/* Watches the replicas until none is left. */
static void watch(struct job *j, struct ta_children *c) {
    while (c->alive > 0) {
        ta_signals_wait(&j->signals, TA_NS_PER_S / 5);
        unsigned asked = ta_signals_read(&j->signals);
        int64_t now_ns = ta_clock_now_ns();
        if (asked & TA_ASKED_LEAVE) {
            j->interrupted = true;
            return;
        }
        if (asked & TA_ASKED_STOP) {
            j->stopped = true;
            ta_children_signal(c, SIGTERM);
        }
        if (asked & TA_ASKED_STATE) ta_children_signal(c, SIGUSR2);
        if (asked & (TA_ASKED_CHILD | TA_ASKED_STATE)) ta_progress_clear(&j->progress);
        (void)ta_children_reap(c);
        ta_children_kill_lost(c, now_ns);
        ta_progress_tick(&j->progress, &j->board, now_ns);
    }
}

static ta_status run_children(struct job *j) {
    struct ta_children children;
    struct ta_children_config config = {
        .launch = j->launch,
        .dir = &j->dir,
        .board = &j->board,
        .log = &j->log,
        .run_id = j->run_id,
        .life = j->life,
        .replicas = j->config->run.replicas,
        .threads = j->config->device.threads,
        .resume = j->resumed != NULL ? j->resumed->path : NULL,
    };
    ta_status status = ta_children_start(&children, &config);
    if (status != TA_OK) return status;
    watch(j, &children);
    ta_progress_clear(&j->progress);
    int code = ta_children_exit_code(&children, &j->lost);
    bool interrupted = j->interrupted;
    ta_children_close(&children);
    if (interrupted) return ta_fail(TA_FAILED, "interrupted twice: left without a checkpoint");
    if (code == 0) return TA_OK;
    if (code_status(code) == TA_REQUEUE) return TA_REQUEUE;
    return ta_fail(code_status(code), "%u of %u replicas did not finish: %s; their logs are in %s/log", j->lost,
                   config.replicas, code_meaning(code), j->dir.path);
}

static void conclude(struct job *j, ta_status status) {
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
    bool whole = !j->stopped && j->config->run.max_seconds == 0;
    if (j->lost > 0 && whole && j->goal_records > sum.life_records)
        summary.untrained = j->goal_records - sum.life_records;
    if (sum.started_ns != 0) ta_summary_print(&summary, stdout);
    if (status == TA_REQUEUE) printf("stopped      go on with: tensair train %s -n %u --run-dir %s\n", j->launch->config_path,
                                     summary.replicas, j->dir.path);
    json_t *fields = ta_summary_json(&summary), *line = ta_metrics_line(&j->metrics, "summary", ta_clock_now_ns());
    if (line != NULL && fields != NULL) json_object_update(line, fields);
    ta_metrics_write(&j->metrics, line);
    /* A manifest that cannot be finished must not turn a finished run into a failed one; it says `end: null`. */
    if (ta_manifest_end(&j->manifest, j->manifest_json, fields, summary.exit_code) != TA_OK)
        ta_log_warn(&j->log, "%s", ta_why());
    j->manifest_json = NULL;
}

ta_status ta_launch(const struct ta_launch *launch, bool *interrupted) {
    struct job *j;
    *interrupted = false;
    ta_status status = TA_NEW(&j, 1, "a job");
    if (status != TA_OK) return status;
    j->launch = launch;
    j->signals.fd = j->board.fd = j->metrics.fd = j->log.file = j->dir.lock = -1;
    status = job_open(j);
    if (status == TA_OK) {
        status = j->config->run.replicas == 1 ? run_here(j) : run_children(j);
        char why[1024];
        snprintf(why, sizeof why, "%s", ta_why());
        conclude(j, status);
        if (status != TA_OK) status = ta_fail(status, "%s", why);
    }
    *interrupted = j->interrupted;
    job_close(j);
    ta_mem_free(j);
    return status;
}

bool ta_launch_is_replica(void) { return getenv("TENSAIR_BOARD") != NULL; }

static ta_status number_from(const char *name, uint64_t most, uint64_t *out) {
    const char *text = getenv(name);
    char *end;
    errno = 0;
    unsigned long long value = text != NULL ? strtoull(text, &end, 10) : 0;
    if (text == NULL || *text == '\0' || *end != '\0' || errno != 0 || value > most)
        return ta_fail(TA_CONFIG, "%s: '%s' is not a number up to %" PRIu64 ": only a launcher sets it", name,
                       text != NULL ? text : "", most);
    *out = value;
    return TA_OK;
}

static ta_status run_replica(const struct ta_launch *l, struct job *j, unsigned rank, int fd) {
    unsigned replicas = j->config->run.replicas;
    char path[TA_RUN_DIR_BYTES + 32];
    ta_status status = ta_board_attach(&j->board, replicas, fd);
    if (status != TA_OK) return status;
    snprintf(path, sizeof path, "%.2000s/log/rank-%05u.log", l->run_dir, rank);
    status = ta_log_open(&j->log, level_of(j->config), (int)rank, rank == 0, path);
    if (status != TA_OK) return status;
    struct ta_worker worker = {
        .replica = {.run = j->config,
                    .rank = rank,
                    .n_ranks = replicas,
                    .run_id = j->run_id,
                    .life = j->life,
                    .run_dir = l->run_dir,
                    .resume = strcmp(l->resume, "never") == 0 ? NULL : l->resume,
                    .board = &j->board,
                    .log = &j->log},
        .signals = &j->signals,
    };
    status = ta_worker_run(&worker);
    j->interrupted = worker.interrupted;
    return status;
}

ta_status ta_launch_replica(const struct ta_launch *launch, bool *interrupted) {
    struct job j = {.launch = launch};
    uint64_t rank = 0, size = 0, fd = 0, life = 0;
    j.signals.fd = j.board.fd = j.metrics.fd = j.log.file = j.dir.lock = -1;
    *interrupted = false;
    ta_status status = ta_signals_open(&j.signals);
    if (status == TA_OK) status = number_from("TENSAIR_RANK", TA_MAX_REPLICAS - 1, &rank);
    if (status == TA_OK) status = number_from("TENSAIR_WORLD_SIZE", TA_MAX_REPLICAS, &size);
    if (status == TA_OK) status = number_from("TENSAIR_RUN_ID", UINT64_MAX, &j.run_id);
    if (status == TA_OK) status = number_from("TENSAIR_LIFE", UINT32_MAX, &life);
    if (status == TA_OK) status = number_from("TENSAIR_BOARD", INT_MAX, &fd);
    j.life = (uint32_t)life;
    if (status == TA_OK && (launch->run_dir == NULL || launch->resume == NULL))
        status = ta_fail(TA_USAGE, "TENSAIR_BOARD is set: only a launcher does that; unset it");
    if (status == TA_OK)
        status = ta_run_config_load(launch->config_path, launch->overrides, launch->n_overrides, &j.config);
    if (status == TA_OK && (j.config->run.replicas != size || rank >= size))
        status = ta_fail(TA_CONFIG, "rank %" PRIu64 " of %" PRIu64 " replicas, but run.replicas is %u", rank, size,
                         j.config->run.replicas);
    if (status == TA_OK) status = run_replica(launch, &j, (unsigned)rank, (int)fd);
    *interrupted = j.interrupted;
    char why[1024];
    snprintf(why, sizeof why, "%s", ta_why());
    job_close(&j);
    return status == TA_OK ? TA_OK : ta_fail(status, "rank %" PRIu64 ": %s", rank, why);
}
