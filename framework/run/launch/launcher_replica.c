/* launcher_replica: what this program does as a replica that a launcher has started, by exec or by fork alone. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "launcher_internal.h"
#include "worker.h"

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

/* Signals, configuration, board, run and life stand in the job. */
static ta_status run_replica(struct ta_job *j, unsigned rank, const char *run_dir, const char *resume) {
    unsigned spares = j->config->run.spares, replicas = j->config->run.replicas + spares;
    char path[TA_RUN_DIR_BYTES + 32], server[TA_RUN_DIR_BYTES + 16];
    snprintf(path, sizeof path, "%.2000s/log/rank-%05u.log", run_dir, rank);
    bool speaks = rank % ta_job_per_node(j) == 0 || rank >= replicas - spares;
    ta_status status = ta_log_open(&j->log, ta_job_log_level(j->config), (int)rank, speaks, path);
    if (status != TA_OK) return status;
    snprintf(server, sizeof server, "%.2000s/rendezvous", run_dir);
    unsigned own = ta_job_per_node(j), launchers = j->local_size > 0 ? j->local_size : 1;
    bool spare = rank >= replicas - spares;
    struct ta_worker worker = {
        .replica = {.run = j->config,
                    .rank = rank,
                    .local_rank = spare ? rank - (replicas - spares) : j->local_rank * own + rank % own,
                    .local_n = spare ? 0 : launchers * own,
                    .n_ranks = replicas,
                    .spares = spares,
                    .per_node = j->nodes > 1 ? ta_job_per_node(j) : 0,
                    .per_host = j->per_host,
                    .fenced = true,
                    .server = j->nodes > 1 ? server : NULL,
                    .run_id = j->run_id,
                    .life = j->life,
                    .run_dir = run_dir,
                    .resume = resume,
                    .board = &j->board,
                    .log = &j->log},
        .signals = &j->signals,
    };
    status = ta_worker_run(&worker);
    j->interrupted = worker.interrupted;
    return status;
}

/* Gives back what is the launcher's alone; only the lock of the run directory stays, as a descriptor that is held until
 * all who may write there have ended. */
static void leave_launcher(struct ta_job *j) {
    j->dir.lock = -1;
    ta_metrics_close(&j->metrics);
    ta_nodes_forget(j->others);
    j->others = NULL;
    ta_log_close(&j->log);
    j->signals.interrupts = 0;
}

ta_status ta_job_be_replica(struct ta_job *j, const struct ta_children *c, const struct ta_children_config *config) {
    leave_launcher(j);
    j->config->run.replicas = config->replicas;
    ta_status status = run_replica(j, c->rank, j->dir.path, config->resume);
    char why[1024];
    snprintf(why, sizeof why, "%s", ta_why());
    return status == TA_OK ? TA_OK : ta_fail(status, "rank %u: %s", c->rank, why);
}

ta_status ta_launch_replica(const struct ta_launch *launch, bool *interrupted) {
    struct ta_job j = {.launch = launch};
    uint64_t rank = 0, size = 0, fd = 0, life = 0, nodes = 0, per_host = 0, local_rank = 0, local_size = 0;
    j.signals.fd = j.board.fd = j.metrics.fd = j.log.file = j.dir.lock = -1;
    *interrupted = false;
    ta_status status = ta_signals_open(&j.signals);
    if (status == TA_OK) status = number_from("TENSAIR_RANK", TA_MAX_REPLICAS - 1, &rank);
    if (status == TA_OK) status = number_from("TENSAIR_WORLD_SIZE", TA_MAX_REPLICAS, &size);
    if (status == TA_OK) status = number_from("TENSAIR_RUN_ID", UINT64_MAX, &j.run_id);
    if (status == TA_OK) status = number_from("TENSAIR_LIFE", UINT32_MAX, &life);
    if (status == TA_OK) status = number_from("TENSAIR_BOARD", INT_MAX, &fd);
    if (status == TA_OK) status = number_from("TENSAIR_NODES", TA_MAX_REPLICAS, &nodes);
    if (status == TA_OK) status = number_from("TENSAIR_PER_HOST", TA_MAX_REPLICAS, &per_host);
    if (status == TA_OK) status = number_from("TENSAIR_LOCAL_LAUNCHER", TA_MAX_REPLICAS, &local_rank);
    if (status == TA_OK) status = number_from("TENSAIR_LOCAL_LAUNCHERS", TA_MAX_REPLICAS, &local_size);
    j.local_rank = (unsigned)local_rank;
    j.local_size = (unsigned)local_size;
    j.life = (uint32_t)life;
    j.per_host = (unsigned)per_host;
    j.nodes = nodes > 0 ? (unsigned)nodes : 1;
    if (status == TA_OK && (launch->run_dir == NULL || launch->resume == NULL))
        status = ta_fail(TA_USAGE, "TENSAIR_BOARD is set: only a launcher does that; unset it");
    if (status == TA_OK)
        status = ta_run_config_load(launch->config_path, launch->overrides, launch->n_overrides, &j.config);
    if (status == TA_OK && (j.config->run.replicas != size || rank >= size + j.config->run.spares))
        status = ta_fail(TA_CONFIG, "rank %" PRIu64 " of %" PRIu64 " replicas, but run.replicas is %u", rank, size,
                         j.config->run.replicas);
    if (status == TA_OK) status = ta_board_attach(&j.board, j.config->run.replicas + j.config->run.spares, (int)fd);
    if (status == TA_OK) {
        const char *resume = strcmp(launch->resume, "never") == 0 ? NULL : launch->resume;
        status = run_replica(&j, (unsigned)rank, launch->run_dir, resume);
    }
    *interrupted = j.interrupted;
    char why[1024];
    snprintf(why, sizeof why, "%s", ta_why());
    ta_job_close(&j);
    return status == TA_OK ? TA_OK : ta_fail(status, "rank %" PRIu64 ": %s", rank, why);
}
