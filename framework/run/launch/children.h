/* children: the processes of a job on this node: started, watched, told, and in the end all gone.
 *
 * A replica is this process, forked, where that is safe: as long as it has one thread and has opened no device. Then
 * nothing is loaded and linked again, and all replicas share the pages that nobody writes. Else this program is
 * executed again, with TENSAIR_* set (launcher.h). Either way ps and /proc show the same.
 */
#ifndef TA_CHILDREN_H
#define TA_CHILDREN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "board.h"
#include "launcher.h"
#include "log.h"
#include "run_dir.h"

struct ta_child {
    pid_t pid; /* 0: not running */
    int wait_status;
    int64_t lost_ns; /* when its peers' verdict was first seen; 0: none */
};

struct ta_children {
    unsigned first, count, alive; /* ranks first to first + count - 1 */
    pid_t group;
    struct ta_child *child;       /* [count] */
    struct ta_board *board;       /* of all ranks, those of other nodes too */
    struct ta_log *log;
    bool born;  /* this is no longer the launcher, but the replica of rank `rank`, just forked */
    unsigned rank;
};

struct ta_children_config {
    const struct ta_launch *launch;
    const struct ta_run_dir *dir;
    struct ta_board *board;
    struct ta_log *log;
    uint64_t run_id;
    uint32_t life;
    unsigned replicas, threads; /* replicas: of all nodes */
    unsigned nodes, node;       /* 0 or 1 nodes: all are here */
    unsigned per_host;          /* ranks a machine; 0: all are on this one */
    unsigned local_rank, local_size; /* among the launchers of this machine (pin.h) */
    unsigned spare;             /* not 0: just this rank, above all others, is to be started */
    const char *resume;         /* NULL: start anew */
    bool no_device;             /* none was opened in this process, nor a library of one asked */
};

/* Starts all. On failure those already started are killed. Errors: NO_MEMORY, FAILED (no process, no topology). It also
 * returns in each replica that was forked (`born` is set, nothing else of `c` is of use, errors are the replica's): the
 * caller gives back what is the launcher's alone, and goes on as the replica. */
ta_status ta_children_start(struct ta_children *c, const struct ta_children_config *config);
/* Collects those that ended: says on the log how, when it was not orderly; marks the board. Returns how many. */
unsigned ta_children_reap(struct ta_children *c);
void ta_children_signal(struct ta_children *c, int signal);
/* Kills those their peers have dropped for good. */
void ta_children_kill_lost(struct ta_children *c, int64_t now_ns);
/* Kills what is left, waits for it, frees. */
void ta_children_close(struct ta_children *c);

/* Exit code of the job by the launcher's rule (launcher.h), and how many replicas were lost. */
int ta_children_exit_code(const struct ta_children *c, unsigned *lost);
/* Of two exit codes of replicas or nodes the one that decides. */
int ta_children_worse(int a, int b);

#endif
