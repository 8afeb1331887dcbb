/* launcher_internal: what the files of the launcher share. Nobody else includes it.
 *
 *     launcher.c          from the configuration to the summary      launcher_resume.c   what to go on from
 *     launcher_watch.c    the replicas of this node, to their end    launcher_replica.c  in a process of a replica
 *     launcher_nodes.c    with the launchers of other nodes        launcher_fence.c    whose the run directory is
 */
#ifndef TA_LAUNCHER_INTERNAL_H
#define TA_LAUNCHER_INTERNAL_H

#include <jansson.h>

#include "checkpoint.h"
#include "children.h"
#include "deadline.h"
#include "job.h"
#include "incarnation.h"
#include "launcher.h"
#include "manifest.h"
#include "metrics.h"
#include "model.h"
#include "nodes.h"
#include "progress.h"
#include "run_config.h"
#include "run_dir.h"
#include "signals.h"
#include "stream.h"
#include "transport.h"

enum { TA_WHY_BYTES = 640 };

struct ta_job {
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
    uint32_t life;           /* of the run, counted from 1: above that of every checkpoint there is */
    struct ta_job_place place; /* what the environment says of this launcher and the batch job around it */
    unsigned nodes, node;    /* nodes: 1 or more */
    char run_dir[TA_RUN_DIR_BYTES]; /* as it was asked for; "": runs/NAME-UTC */
    struct ta_nodes *others; /* the launchers of the other nodes; NULL: there are none */
    unsigned per_host;       /* ranks a machine, for the transport; 0: all are on this one */
    unsigned local_rank, local_size; /* of this launcher among those on this machine */
    unsigned writing_node;   /* node 0: whose replicas write, as it has told */
    int64_t fence_ns;        /* the next look at the incarnation */
    struct ta_deadline *deadline; /* node 0 in a Slurm job; else NULL */
    ta_status fenced;        /* not OK: the run directory is another's, or another side's: nothing is written any more */
    char fenced_why[512];
    const char *transport;   /* its name, */
    char why[TA_WHY_BYTES];  /* and what was chosen for which reason */
    unsigned lost;
    bool stopped, interrupted; /* asked to stop; to leave at once */
    bool is_replica;         /* this process was forked, and is one of its replicas */
};

static inline unsigned ta_job_per_node(const struct ta_job *j) { return j->config->run.replicas / j->nodes; }

/* What a line on stderr must weigh: warnings when nobody asked otherwise, as progress is shown there too. */
enum ta_log_level ta_job_log_level(const struct ta_run_config *config);
/* Records this life trains. */
uint64_t ta_job_goal(const struct ta_job *j);
void ta_job_close(struct ta_job *j);

/* launcher_resume.c: "auto", "never" or a path -> the checkpoint to go on from, and the number of this life. */
ta_status ta_job_choose_resume(struct ta_job *j);

/* By how many ranks share a machine: into `transport` and `why`. */
ta_status ta_job_choose_transport(struct ta_job *j);

/* launcher_nodes.c: how many nodes there are, which one this is, and what follows for replicas and run directory:
 * from the command line, else the environment (job.h). */
ta_status ta_job_find_place(struct ta_job *j);
/* Meets the launchers of the other nodes; where this is not node 0, takes over what that one has decided. */
ta_status ta_job_meet(struct ta_job *j);

/* launcher_fence.c: makes the run directory ours (launcher 0; `path` as ta_run_dir_find), draws the run's id, and says
 * so in its incarnation; looks once a second whether it is still ours; lets the end be told. Errors: IN_USE (whose it
 * is), PEER (whose it has become), IO. */
ta_status ta_job_claim_dir(struct ta_job *j, const char *path);
ta_status ta_job_look_at_fence(struct ta_job *j, int64_t now_ns);
ta_status ta_job_may_conclude(struct ta_job *j);

/* launcher_watch.c: all replicas of this node in processes of their own, until none is left on any node. */
ta_status ta_job_run_children(struct ta_job *j);
/* launcher_replica.c: what a process that ta_children_start has forked does: until its replica has ended. */
ta_status ta_job_be_replica(struct ta_job *j, const struct ta_children *c, const struct ta_children_config *config);
/* What the exit status of replicas means; one that is none of ours: FAILED. */
ta_status ta_job_code_status(int code);

#endif
