/* doctor_job: which launcher of how many this process is, by flags or environment (job.h), and the batch system around
 * it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "doctor.h"
#include "job.h"

void ta_doctor_job_size(unsigned *replicas, unsigned *per_node, unsigned *nodes) {
    struct ta_job_place place;
    *replicas = *per_node = *nodes = 0;
    if (ta_job_find(ta_job_getenv, NULL, &place) != TA_OK || place.origin == TA_JOB_ALONE) return;
    if (place.origin == TA_JOB_TENSAIR) {
        *nodes = place.size;
        return;
    }
    *replicas = place.size; /* one a launcher, if nobody says otherwise */
    *per_node = place.per_host != 0 ? place.per_host : place.local_size;
    *nodes = place.nodes;
}

static void identity(const struct ta_doctor *d, const struct ta_job_place *place, ta_status found,
                     struct ta_findings *list) {
    if (d->node >= 0) {
        ta_doctor_say(list, TA_FINDING_OK, "identity", "flags decide: node %d of %u", d->node, d->nodes);
    } else if (found != TA_OK) {
        ta_doctor_say(list, TA_FINDING_WRONG, "identity", "%s", ta_why());
        ta_doctor_cure(list, "tensair train refuses to start so");
    } else if (place->origin == TA_JOB_ALONE) {
        ta_doctor_say(list, TA_FINDING_OK, "identity",
                      "neither flags nor the environment say more: one launcher, number 0 of 1");
    } else {
        char local[64] = "";
        if (place->local_size > 0)
            snprintf(local, sizeof local, ", local rank %u of %u", place->local_rank, place->local_size);
        ta_doctor_say(list, TA_FINDING_OK, "identity", "%s decides: launcher %u of %u%s",
                      ta_job_origin_name(place->origin), place->rank, place->size, local);
    }
}

static void slurm(const struct ta_job_place *place, struct ta_findings *list) {
    static const char *const programs[] = {"sbatch", "srun", "sinfo"};
    char path[512];
    unsigned there = 0;
    for (size_t i = 0; i < 3; i++) there += ta_doctor_which(programs[i], path, sizeof path);
    ta_doctor_say(list, there == 3 ? TA_FINDING_OK : TA_FINDING_MISSING, "Slurm",
                  "%u of sbatch, srun and sinfo are in PATH", there);
    if (there > 0 && there < 3) ta_doctor_cure(list, "apt-get install slurm-client");
    if (!place->in_slurm) {
        ta_doctor_say(list, TA_FINDING_OK, "job", "not inside a Slurm job");
        return;
    }
    ta_doctor_say(list, place->in_step ? TA_FINDING_OK : TA_FINDING_NOTE, "job",
                  "inside Slurm job %" PRIu64 ", restart %" PRIu32 ", on %u nodes %.300s%s", place->job_id,
                  place->restart, place->nodes, place->node_list,
                  place->in_step ? "" : ", in its batch script: not one of its tasks");
    if (!place->in_step) ta_doctor_cure(list, "srun tensair train CONFIG starts a launcher a task");
}

void ta_doctor_job(const struct ta_doctor *d, struct ta_findings *list) {
    struct ta_job_place place;
    ta_status found = ta_job_find(ta_job_getenv, NULL, &place);
    identity(d, &place, found, list);
    slurm(&place, list);
}
