/* launcher_replica: what this program does as a replica that a launcher has started. */
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

static ta_status run_replica(const struct ta_launch *l, struct ta_job *j, unsigned rank, int fd) {
    unsigned spares = j->config->run.spares, replicas = j->config->run.replicas + spares;
    char path[TA_RUN_DIR_BYTES + 32], server[TA_RUN_DIR_BYTES + 16];
    ta_status status = ta_board_attach(&j->board, replicas, fd);
    if (status != TA_OK) return status;
    snprintf(path, sizeof path, "%.2000s/log/rank-%05u.log", l->run_dir, rank);
    status = ta_log_open(&j->log, ta_job_log_level(j->config), (int)rank, rank % ta_job_per_node(j) == 0 || rank >= replicas - spares, path);
    if (status != TA_OK) return status;
    snprintf(server, sizeof server, "%.2000s/rendezvous", l->run_dir);
    struct ta_worker worker = {
        .replica = {.run = j->config,
                    .rank = rank,
                    .n_ranks = replicas,
                    .spares = spares,
                    .per_node = j->nodes > 1 ? ta_job_per_node(j) : 0,
                    .per_host = j->per_host,
                    .fenced = true,
                    .server = j->nodes > 1 ? server : NULL,
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
    struct ta_job j = {.launch = launch};
    uint64_t rank = 0, size = 0, fd = 0, life = 0, nodes = 0, per_host = 0;
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
    if (status == TA_OK) status = run_replica(launch, &j, (unsigned)rank, (int)fd);
    *interrupted = j.interrupted;
    char why[1024];
    snprintf(why, sizeof why, "%s", ta_why());
    ta_job_close(&j);
    return status == TA_OK ? TA_OK : ta_fail(status, "rank %" PRIu64 ": %s", rank, why);
}
