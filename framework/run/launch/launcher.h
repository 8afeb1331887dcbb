/* launcher: runs a job of N replicas, or this machine's part of it, from a configuration to its summary.
 *
 * One replica runs in this process. More run as processes of their own (forked, or this program again: children.h;
 * with TENSAIR_RANK, TENSAIR_WORLD_SIZE, TENSAIR_RUN_ID and TENSAIR_BOARD set), each on its own core(s), in a process
 * group of their own, killed by the kernel when the launcher dies however it dies. Signals are passed on (signals.h).
 * A replica that dies is named with how, and the others are told. One that its peers have dropped and that does not end
 * by itself within 10 s is killed.
 *
 * Exit status of a job, the first that applies: 128 + SIGINT after a second SIGINT; 1 when a replica failed; 2 when one
 * was configured wrongly; 74 when one could not read or write; 69 when one was lost (killed, dropped by its peers, met
 * nobody); 75 when it was stopped after a checkpoint; 0 when all finished.
 *
 * Over several nodes this runs once on each (nodes.h), node K with ranks K * N / nodes and on, and the same rule makes
 * the exit status over all replicas of all nodes, as far as each node comes to know. Node 0 tells the end: summary and
 * manifest.
 */
#ifndef TA_LAUNCHER_H
#define TA_LAUNCHER_H

#include <stdbool.h>
#include <stddef.h>

#include "status.h"

struct ta_launch {
    int argc;                    /* the command line, for the manifest */
    char **argv;
    const char *config_path;
    const char *const *overrides; /* "key=value" */
    size_t n_overrides;
    const char *run_dir;         /* NULL: TENSAIR_RUN_DIR, else the configuration's, else runs/NAME-JOBID in a Slurm
                                    job, else runs/NAME-UTC */
    const char *resume;          /* "auto", "never", or a checkpoint; NULL: auto */
    const char *again;           /* the command that goes on after a stop; NULL: tensair train ... */
    bool quiet;                  /* no progress */
    long nodes, node;            /* how many, and which one this is; -1: TENSAIR_NODES, TENSAIR_NODE, else what a
                                    launcher of tasks says (job.h), else one */
    long join;                   /* this spare is to join the run in run_dir; -1: a run of its own */
};

/* The whole job. *interrupted: a second SIGINT ended it (all replicas are gone): the program should end by SIGINT. */
ta_status ta_launch(const struct ta_launch *launch, bool *interrupted);

/* One replica that joins a run (launcher_join.h): until it has ended. */
ta_status ta_launch_join(const struct ta_launch *launch, bool *interrupted);

/* True in a process that a launcher started: then ta_launch_replica runs this one replica of its job. */
bool ta_launch_is_replica(void);
ta_status ta_launch_replica(const struct ta_launch *launch, bool *interrupted);

#endif
