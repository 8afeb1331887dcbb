/* job: what the environment says of who started this process: which launcher of how many it is, on which host, in which
 * life of which batch job. Pure: it reads what `lookup` gives and nothing else, so that captured environments test it.
 *
 * A task of srun, mpirun, mpiexec.hydra or torchrun is one launcher of a run (launcher.h). The first of these that is
 * there decides:
 *
 *     TENSAIR   TENSAIR_NODE of TENSAIR_NODES (flags come before, by the caller)
 *     PMI       PMI_FD and PMI_RANK of PMI_SIZE: srun --mpi=pmi2, mpiexec.hydra
 *     TORCHRUN  RANK of WORLD_SIZE, with LOCAL_RANK
 *     OPENMPI   OMPI_COMM_WORLD_RANK of OMPI_COMM_WORLD_SIZE: mpirun
 *     PMIX      PMIX_RANK, of a Slurm step's tasks: srun --mpi=pmix
 *     SLURM     SLURM_PROCID of SLURM_STEP_NUM_TASKS, where SLURM_STEP_ID is set: srun --mpi=none
 *     ALONE     nothing of these: one launcher
 *
 * What misleads: a batch script has SLURM_PROCID=0 and SLURM_NTASKS, but no step: it is alone. Under mpirun and hydra the
 * step's variables belong to the daemon that started us, and several ranks share them: they count last. A step named
 * `batch`, `extern` or `interactive` has one process, whatever the number of tasks. All numbers of a heterogeneous step
 * are totals over its components, and JOB_ID is the first one's: used as they are.
 *
 * Source: the manual pages of srun and sbatch (Slurm 22.05), what they were seen to set (tests/slurm/environments).
 *
 * Threads: no state of its own; one call at a time on one object, from any thread.
 */
#ifndef TA_SLURM_JOB_H
#define TA_SLURM_JOB_H

#include <stdbool.h>
#include <stdint.h>

#include "status.h"

enum ta_job_origin {
    TA_JOB_ALONE,
    TA_JOB_TENSAIR,
    TA_JOB_TORCHRUN,
    TA_JOB_PMI,
    TA_JOB_PMIX,
    TA_JOB_OPENMPI,
    TA_JOB_SLURM,
};

enum { TA_JOB_HOST_BYTES = 64, TA_JOB_LIST_BYTES = 1024, TA_JOB_MOST = 1 << 20 /* launchers */ };

struct ta_job_place {
    enum ta_job_origin origin;
    unsigned rank, size;             /* launcher `rank` of `size`; alone: 0 of 1 */
    unsigned local_rank, local_size; /* among those on this host; local_size 0: the environment does not say */
    unsigned per_host; /* launchers a host where they are dealt in equal blocks (rank r on host r / per_host), as far as
                          this host can know; else 0 */
    int pmi_fd;        /* descriptor that speaks PMI-1 (pmi.h); -1: none */
    bool in_slurm;     /* inside a Slurm job, as a task, its batch script, or below another launcher there: */
    bool in_step;      /* a process of a step that srun (or a launcher's srun) started */
    uint64_t job_id;   /* 0: not in Slurm. Of the job array's task, of the first component of a heterogeneous job */
    uint32_t restart;  /* how often Slurm has requeued it */
    uint64_t epoch;    /* of this life of that job: both numbers, mixed; 0: not in Slurm */
    unsigned nodes;    /* of the step, else of the job; 0: not known */
    char host[TA_JOB_HOST_BYTES];      /* Slurm's name of this node; "": not known, or not to be trusted */
    char node_list[TA_JOB_LIST_BYTES]; /* "n[1-4]", of the step, else of the job; "": not known, or too long */
};

/* As getenv: NULL when the variable is not set. An empty value counts as not set. */
typedef const char *(*ta_getenv_fn)(void *context, const char *name);

/* The environment of this process. */
const char *ta_job_getenv(void *unused, const char *name);

/* Errors: CONFIG: who decides says a rank that is not below its size, or only one of the two, or no number: the variables
 * and values are named, with the cure. *out is zeroed then, but for pmi_fd (-1). */
ta_status ta_job_find(ta_getenv_fn lookup, void *context, struct ta_job_place *out);

/* "srun (SLURM_PROCID)", "mpirun (OMPI_COMM_WORLD_RANK)": who decided and by which variable. Any value is accepted. */
const char *ta_job_origin_name(enum ta_job_origin origin);

/* The epoch of a life of a job: never 0, and another one for every job and every restart. */
uint64_t ta_job_epoch(uint64_t job_id, uint32_t restart);

#endif
