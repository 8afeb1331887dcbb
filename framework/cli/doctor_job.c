/* doctor_job: who this process is, by flags and environment, and the batch system around it. The first set wins: flags,
 * TENSAIR_*, torchrun's, Slurm's, PMIx's, else one process. `tensair train` is started once a node; what names a
 * rank instead says how to start it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doctor.h"

struct source {
    const char *who;
    const char *rank, *size, *local; /* names of variables; size and local: NULL: there are none */
    const char *node;                /* what counts nodes from 0 there; NULL: nothing does */
};

/* Replicas that the launcher started come first: their rank is decided. */
static const struct source sources[] = {
    {"tensair's launcher", "TENSAIR_RANK", "TENSAIR_WORLD_SIZE", NULL, NULL},
    {"TENSAIR_*", "TENSAIR_NODE", "TENSAIR_NODES", NULL, NULL},
    {"torchrun", "RANK", "WORLD_SIZE", "LOCAL_RANK", "GROUP_RANK"},
    {"Slurm", "SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID", "SLURM_NODEID"},
    {"Open MPI", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK",
     "OMPI_COMM_WORLD_NODE_RANK"},
    {"PMIx", "PMIX_RANK", NULL, "PMIX_LOCAL_RANK", NULL},
    {"PMI", "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", NULL},
};

enum { N_SOURCES = sizeof sources / sizeof sources[0], OURS = 2 /* of them */ };

static const char *value_of(const char *name) {
    const char *value = name != NULL ? getenv(name) : NULL;
    return value != NULL && value[0] != '\0' ? value : NULL;
}

static bool number(const char *text, unsigned *out) {
    char *end;
    if (text == NULL || text[0] < '0' || text[0] > '9') return false;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    *out = (unsigned)value;
    return *end == '\0' && errno == 0 && value <= 1U << 24;
}

static const struct source *who_decides(void) {
    for (size_t i = 0; i < N_SOURCES; i++)
        if (value_of(sources[i].rank) != NULL) return &sources[i];
    return NULL;
}

void ta_doctor_job_size(unsigned *replicas, unsigned *per_node, unsigned *nodes) {
    const struct source *s = who_decides();
    *replicas = *per_node = *nodes = 0;
    if (s == NULL || s->size == NULL) return;
    (void)number(value_of(s->size), s == &sources[1] ? nodes : replicas);
    if (s->size[0] == 'S') (void)number(value_of("SLURM_NNODES"), nodes);
    if (s->size[0] == 'W') (void)number(value_of("LOCAL_WORLD_SIZE"), per_node);
    if (s->size[0] == 'O') (void)number(value_of("OMPI_COMM_WORLD_LOCAL_SIZE"), per_node);
}

/* What a source says, and what follows for `tensair train`. */
static void say_source(const struct ta_doctor *d, const struct source *s, struct ta_findings *list) {
    const char *rank_text = value_of(s->rank), *size_text = value_of(s->size), *local = value_of(s->local);
    const char *unit = s == &sources[1] ? "node" : "rank";
    unsigned rank = 0, size = 0;
    if (!number(rank_text, &rank) || (s->size != NULL && (!number(size_text, &size) || rank >= size))) {
        ta_doctor_say(list, s < &sources[OURS] ? TA_FINDING_WRONG : TA_FINDING_NOTE, "identity",
                      "%s decides: %s=%.40s and %s=%.40s are no %s", s->who, s->rank, rank_text,
                      s->size != NULL ? s->size : "(no size)", size_text != NULL ? size_text : "(not set)", unit);
        ta_doctor_cure(list, "unset %s, or set both: a number from 0, below how many there are", s->rank);
        return;
    }
    bool ours = s < &sources[OURS];
    ta_doctor_say(list, ours ? TA_FINDING_OK : TA_FINDING_NOTE, "identity", "%s decides by %s: %s %u%s%s%s%s%s", s->who,
                  s->rank, unit, rank, size_text != NULL ? " of " : "", size_text != NULL ? size_text : "",
                  local != NULL ? ", local rank " : "", local != NULL ? local : "",
                  ours ? "" : "; tensair train is started once a node");
    if (ours) return;
    if (s->node != NULL && d->nodes > 1)
        ta_doctor_cure(list, "one process a node: tensair train CONFIG -n %u --nodes %u --node $%s", d->replicas,
                       d->nodes, s->node);
    else
        ta_doctor_cure(list, "one process a node, which starts the replicas there: tensair train CONFIG -n %u",
                       d->replicas);
}

static void identity(const struct ta_doctor *d, struct ta_findings *list) {
    const struct source *s = who_decides();
    if (d->node >= 0) ta_doctor_say(list, TA_FINDING_OK, "identity", "flags decide: node %d of %u", d->node, d->nodes);
    else if (s != NULL) say_source(d, s, list);
    else
        ta_doctor_say(list, TA_FINDING_OK, "identity",
                      "neither flags nor the environment say more: one node, number 0 of 1");
    for (size_t i = 0; i < N_SOURCES; i++)
        if ((d->node >= 0 || &sources[i] > s) && s != NULL && value_of(sources[i].rank) != NULL)
            ta_doctor_say(list, TA_FINDING_NOTE, sources[i].who, "%s=%.40s is set too, and does not count",
                          sources[i].rank, value_of(sources[i].rank));
}

static void slurm(struct ta_findings *list) {
    static const char *const programs[] = {"sbatch", "srun", "sinfo"};
    char path[512];
    unsigned there = 0;
    for (size_t i = 0; i < 3; i++) there += ta_doctor_which(programs[i], path, sizeof path);
    ta_doctor_say(list, there == 3 ? TA_FINDING_OK : TA_FINDING_MISSING, "Slurm",
                  "%u of sbatch, srun and sinfo are in PATH", there);
    if (there > 0 && there < 3) ta_doctor_cure(list, "apt-get install slurm-client");
    const char *job = value_of("SLURM_JOB_ID"), *nodes = value_of("SLURM_NNODES");
    if (job == NULL) {
        ta_doctor_say(list, TA_FINDING_OK, "job", "not inside a Slurm job");
        return;
    }
    bool step = value_of("SLURM_STEP_ID") != NULL;
    ta_doctor_say(list, step ? TA_FINDING_OK : TA_FINDING_NOTE, "job", "inside Slurm job %.40s on %.20s nodes%s", job,
                  nodes != NULL ? nodes : "?", step ? "" : ", in its batch script: not one of its tasks");
    if (!step) ta_doctor_cure(list, "srun --ntasks-per-node=1 starts a task a node; SLURM_NODEID counts there");
}

void ta_doctor_job(const struct ta_doctor *d, struct ta_findings *list) {
    identity(d, list);
    slurm(list);
}
