/* launcher_nodes: what a launcher does because there are others. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "launcher_internal.h"
#include "mem.h"

/* -1: not given. */
static ta_status number_of(const char *name, long *out) {
    const char *text = getenv(name);
    char *end;
    *out = -1;
    if (text == NULL || *text == '\0') return TA_OK;
    *out = strtol(text, &end, 10);
    if (*end == '\0' && *out >= 0 && *out <= TA_MAX_REPLICAS) return TA_OK;
    return ta_fail(TA_CONFIG, "%s: '%s' is not a number from 0 to %d", name, text, TA_MAX_REPLICAS);
}

/* The batch job that is around, and, where neither flags nor TENSAIR_* say more, which launcher this is in it. */
static const char *batch_alone(void *context, const char *name) {
    return strncmp(name, "SLURM", strlen("SLURM")) == 0 ? ta_job_getenv(context, name) : NULL;
}

static ta_status ask_environment(struct ta_job *j, bool is_said) {
    struct ta_job_place *place = &j->place;
    ta_status status = ta_job_find(is_said ? batch_alone : ta_job_getenv, NULL, place);
    if (is_said) {
        place->origin = TA_JOB_TENSAIR;
        place->local_size = place->per_host = 0;
        place->rank = j->node;
        place->size = j->nodes;
        return TA_OK;
    }
    j->node = place->rank;
    j->nodes = place->size;
    return status;
}

/* One replica a launcher, where nobody asks for more: `replicas: 1` of a configuration is what one launcher starts. */
static void count_replicas(struct ta_job *j) {
    for (size_t i = 0; i < j->launch->n_overrides; i++)
        if (strncmp(j->launch->overrides[i], "run.replicas=", strlen("run.replicas=")) == 0) return;
    if (j->config->run.replicas == 1) j->config->run.replicas = j->nodes;
}

static ta_status check_place(const struct ta_job *j) {
    unsigned replicas = j->config->run.replicas;
    if (replicas > TA_MAX_REPLICAS)
        return ta_fail(TA_CONFIG, "%u launchers with a replica each are more than the %d replicas a run may have: "
                       "start fewer tasks", replicas, TA_MAX_REPLICAS);
    if (replicas + j->config->run.spares > TA_MAX_REPLICAS || (replicas == 1 && j->config->run.spares > 0))
        return ta_fail(TA_CONFIG,
                       "run.spares: %u beside %u replicas: a run that can be joined has 2 to %d, spares included",
                       j->config->run.spares, replicas, TA_MAX_REPLICAS);
    if (replicas % j->nodes != 0)
        return ta_fail(TA_CONFIG, "%u replicas cannot be dealt evenly to %u nodes: give a multiple of %u to -n",
                       replicas, j->nodes, j->nodes);
    if (j->nodes > 1 && j->run_dir[0] == '\0')
        return ta_fail(TA_CONFIG, "%u nodes need one run directory that all of them see: give --run-dir", j->nodes);
    return TA_OK;
}

/* What was said, else runs/NAME-JOBID in a Slurm job, so that a requeued life finds what the last one left. "": by
 * time. */
static ta_status choose_run_dir(struct ta_job *j) {
    const char *said = j->launch->run_dir, *path = j->launch->config_path;
    if (said == NULL && (said = getenv("TENSAIR_RUN_DIR")) != NULL && said[0] == '\0') said = NULL;
    if (said == NULL) said = j->config->run.run_dir;
    int length = 0;
    if (said != NULL) {
        if (said[0] == '\0') return ta_fail(TA_CONFIG, "the run directory has an empty name");
        length = snprintf(j->run_dir, sizeof j->run_dir, "%s", said);
    } else if (j->place.in_slurm) {
        const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path, *dot = strrchr(name, '.');
        length = snprintf(j->run_dir, sizeof j->run_dir, "runs/%.*s-%" PRIu64,
                          dot == NULL || dot == name ? 200 : (int)(dot - name), name, j->place.job_id);
    }
    return (size_t)length < sizeof j->run_dir ? TA_OK : ta_fail(TA_IO, "%.200s...: the path is too long", j->run_dir);
}

ta_status ta_job_find_place(struct ta_job *j) {
    long nodes = j->launch->nodes, node = j->launch->node;
    ta_status status = TA_OK;
    if (nodes < 0) status = number_of("TENSAIR_NODES", &nodes);
    if (status == TA_OK && node < 0) status = number_of("TENSAIR_NODE", &node);
    if (status != TA_OK) return status;
    j->nodes = nodes < 0 ? 1 : (unsigned)nodes;
    j->node = node < 0 ? 0 : (unsigned)node;
    if (nodes < 0 && node > 0) return ta_fail(TA_CONFIG, "--node %ld needs --nodes: of how many?", node);
    if (nodes == 0 || j->node >= j->nodes)
        return ta_fail(TA_CONFIG, "--node %u of --nodes %u: nodes count from 0 to %d", j->node, j->nodes,
                       (int)j->nodes - 1);
    if (j->nodes > 1 && node < 0)
        return ta_fail(TA_CONFIG, "--nodes %u needs --node K, from 0 to %u: which of them this is", j->nodes,
                       j->nodes - 1);
    status = ask_environment(j, nodes >= 0 || node >= 0);
    if (status != TA_OK) return status;
    count_replicas(j);
    status = choose_run_dir(j);
    return status == TA_OK ? check_place(j) : status;
}

/* The configuration without what may well differ between machines. */
static ta_status shared_text(const struct ta_job *j, char **out) {
    struct ta_run_config shared = *j->config;
    char file[32];
    snprintf(file, sizeof file, "%016llx", (unsigned long long)j->stream.checksum);
    shared.run.run_dir = shared.run.log_level = NULL;
    if (shared.stream.spec.file != NULL) shared.stream.spec.file = file; /* lies anywhere, but holds the same */
    shared.device = (struct ta_device_section){0};
    shared.transport.device = shared.transport.gid = NULL;
    return ta_config_print(&shared, &ta_run_schema, out);
}

/* A path under the run directory is said from there: it may be mounted elsewhere. */
static const char *said_from(const struct ta_run_dir *dir, const char *path) {
    size_t length = strlen(dir->path);
    return strncmp(path, dir->path, length) == 0 && path[length] == '/' ? path + length + 1 : path;
}

static ta_status take_resume(struct ta_job *j, const char *said) {
    if (said[0] == '\0') return TA_OK;
    char path[2 * TA_RUN_DIR_BYTES + 2];
    if (said[0] == '/') snprintf(path, sizeof path, "%s", said);
    else snprintf(path, sizeof path, "%s/%s", j->dir.path, said);
    ta_status status = TA_NEW(&j->resumed, 1, "the checkpoint");
    return status == TA_OK ? ta_checkpoint_check(path, j->resumed) : status;
}

/* Nodes of one machine share memory where they are dealt to machines in equal blocks; else the replicas of each. */
static ta_status choose(void *context, const struct ta_nodes_hosts *hosts, char transport[32]) {
    struct ta_job *j = context;
    j->per_host = hosts->per_host * ta_job_per_node(j);
    ta_status status = ta_job_choose_transport(j);
    size_t length = strlen(j->why);
    if (status == TA_OK && hosts->per_host == 1 && hosts->local_size > 1)
        snprintf(j->why + length, sizeof j->why - length,
                 "; nor shm between the %u launchers of this machine, as they are "
                 "not dealt to machines in equal blocks (srun --ntasks-per-node=%u --distribution=block deals so)",
                 hosts->local_size, hosts->local_size);
    if (status == TA_OK) snprintf(transport, 32, "%s", j->transport);
    return status;
}

ta_status ta_job_meet(struct ta_job *j) {
    char *text = NULL;
    ta_status status = shared_text(j, &text);
    if (status != TA_OK) return status;
    struct ta_nodes_job job = {
        .run_id = j->run_id,
        .life = j->life,
        .n_ranks = j->config->run.replicas,
        .nodes = j->nodes,
        .job_id = j->place.job_id,
        .restart = j->place.restart,
        .digest = XXH3_64bits(text, strlen(text)),
    };
    const char *from = j->resumed != NULL ? said_from(&j->dir, j->resumed->path) : "";
    if ((size_t)snprintf(job.resume, sizeof job.resume, "%s", from) >= sizeof job.resume)
        status = ta_fail(TA_CONFIG, "%s: the path is too long for the other nodes", from);
    struct ta_nodes_config config = {
        .node = j->node,
        .nodes = j->nodes,
        .n_ranks = job.n_ranks,
        .dir = &j->dir,
        .board = &j->board,
        .signals = &j->signals,
        .text = text,
        .join_within_s = j->config->exchange.join_within_s,
        .dead_after_s = j->config->exchange.spec.dead_after_s,
        .place = &j->place,
        .choose = choose,
        .context = j,
        .log = &j->log,
    };
    if (status == TA_OK) status = ta_nodes_open(&config, &job, &j->others);
    if (status == TA_OK) {
        j->local_rank = ta_nodes_hosts(j->others).local_rank;
        j->local_size = ta_nodes_hosts(j->others).local_size;
    }
    if (status == TA_OK && j->node != 0) {
        j->run_id = job.run_id;
        j->life = j->metrics.epoch = job.life;
        status = take_resume(j, job.resume);
    }
    ta_mem_free(text);
    return status;
}
