/* nodes: the launchers of one run on several machines, as one of them sees them all.
 *
 * A node is one launcher: started by itself (by hand, pdsh) with the same command but its number, or a task of srun,
 * mpirun or mpiexec (job.h). Several may be on one machine. All see one run directory. Node 0 decides: it holds the
 * lock, serves the store (store.h; RUN_DIR/rendezvous) and puts there
 *
 *     job      what it decided for all: ta_nodes_job, versioned
 *     config   its configuration, to name what differs
 *     node/K   that node K is here, how it ended, or why it refuses
 *     row/R    rank R's row of the board, by its node
 *     lost/K   ranks that replicas of node K have dropped, as bits
 *     over     the last word: exit code, ranks lost
 *
 * The others wait for the server file, or get its text by PMI (pmi.h) where that is there, read the job, refuse what
 * does not fit, and say that they are here and on which machine. When all are here, each knows who shares a machine
 * with whom, chooses the transport that follows (all must come to the same one), and starts its replicas. From then on
 * every launcher puts its rows a few times a second, at once when somebody may wait for what changed, and copies those
 * of the others into its own board: it is as if the board spanned all nodes. Times of another machine's clock are moved
 * to this one's, to within the time a message takes.
 *
 * A node whose value does not change for too long is silent: its ranks count as ended (TA_ENDED_PRESUMED) until it is
 * heard again. When node 0 is gone, so is the store: every other node counts as silent then, its replicas go on by what
 * the exchange knows, and this launcher ends with its own. Whose the run directory is then (incarnation.h): a node
 * takes it over when node 0 has let go of its lock and has not touched it for three seconds. While node 0 does touch
 * it, the network has split: a node whose replicas have dropped all of node 0's is cut off and must end without a word.
 *
 * Threads: one. open waits; nothing else does.
 */
#ifndef TA_NODES_H
#define TA_NODES_H

#include <stdbool.h>
#include <stdint.h>

#include "board.h"
#include "job.h"
#include "log.h"
#include "run_dir.h"
#include "signals.h"

/* What node 0 decides for all. */
struct ta_nodes_job {
    uint64_t run_id;
    uint32_t life;
    uint32_t n_ranks, nodes;
    uint64_t job_id;               /* of Slurm, and how often it was requeued; 0: none */
    uint32_t restart;
    uint64_t digest;               /* XXH3 of the configuration that all must share */
    char transport[32];            /* its name; each node's own */
    char resume[TA_RUN_DIR_BYTES]; /* "": start anew; a path, relative to the run directory where it lies there */
};

/* Where the nodes are. */
struct ta_nodes_hosts {
    unsigned per_host;               /* nodes a machine: node K on machine K / per_host; 1: not dealt evenly, so that
                                        a node's own replicas are all that are near */
    unsigned local_rank, local_size; /* of this node among those on its machine */
};

struct ta_nodes_config {
    unsigned node, nodes, n_ranks; /* n_ranks: a multiple of nodes; node K has ranks K * n_ranks / nodes and on */
    struct ta_run_dir *dir;        /* node 0: locked. Borrowed */
    struct ta_board *board;        /* of all ranks. Borrowed */
    struct ta_signals *signals;    /* looked at while waiting. Borrowed */
    const char *text;              /* the configuration that all must share: printed */
    double join_within_s, dead_after_s;
    const struct ta_job_place *place; /* PMI, the batch job; NULL: neither */
    /* When all are here: which transport. NULL: as the job says. */
    ta_status (*choose)(void *context, const struct ta_nodes_hosts *hosts, char transport[32]);
    void *context;
    int64_t clock_off_ns; /* for tests: added to this node's time of day */
    struct ta_log *log;
};

struct ta_nodes;

/* Returns when all nodes are here. `job`: node 0: what it decided; others: n_ranks, nodes, digest, job_id, restart as
 * this node has them; the rest is filled in, transport by `choose`. Errors: CONFIG (another number of ranks or nodes,
 * another configuration, transport or version, a clock that is off, a run directory that is not node 0's: both named,
 * here and at node 0), IN_USE (this node is in that run already; this is a former life), PEER (which nodes did not
 * appear in time), FORMAT, IO, NO_MEMORY; REQUEUE (a signal, or another node was stopped); FAILED (a second SIGINT). */
ta_status ta_nodes_open(const struct ta_nodes_config *config, struct ta_nodes_job *job, struct ta_nodes **out);
/* Says what happened to who still listens, drops the rest. `status`: how this node ends, should ta_nodes_end not have
 * said so; ta_why tells the others. NULL is fine. */
void ta_nodes_close(struct ta_nodes *n, ta_status status);

/* In a fork of the launcher that is none: frees, without a word to anybody. There is no server here. NULL is fine. */
void ta_nodes_forget(struct ta_nodes *n);

/* Rows out, rows in, who is silent. Cheap; several times a second. */
void ta_nodes_tick(struct ta_nodes *n, int64_t now_ns);

/* One line on what this node's replicas use, for node 0's manifest: taken by the next tick. */
void ta_nodes_describe(struct ta_nodes *n, const char *text);
const char *ta_nodes_description(const struct ta_nodes *n, unsigned node); /* "": not known */

/* All replicas of this node have ended: with this exit code, so many lost. Tick on until `over`. */
void ta_nodes_ended(struct ta_nodes *n, int code, unsigned lost);
/* True when all nodes have ended or are silent, and all that are not have heard so. *code: the worst of all, by
 * ta_children_worse; *lost: replicas of all. */
bool ta_nodes_over(struct ta_nodes *n, int *code, unsigned *lost);

/* Node 0 is gone: this node may have to tell the end. */
bool ta_nodes_headless(const struct ta_nodes *n);
/* Node 0 lives and goes on without us. */
bool ta_nodes_cut_off(const struct ta_nodes *n);
struct ta_nodes_hosts ta_nodes_hosts(const struct ta_nodes *n);

#endif
