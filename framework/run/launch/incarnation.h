/* incarnation: whose the run directory is now. A job that Slurm requeues may leave processes of its former life behind
 * (a machine that lost its slurmd), and a network that splits leaves two halves that see one directory: the file
 * RUN_DIR/incarnation says which life of which job may write there, and which node's side of it:
 *
 *     tensair incarnation 1
 *     job 4711            of Slurm; 0: none
 *     restart 1           how often it was requeued
 *     run 0123456789abcdef
 *     node 0
 *     host n1
 *     end
 *
 * The node that holds the lock of the run directory (run_dir.h) writes it, as a whole; it stays when the run ends. Who
 * completes a checkpoint or tells the end of a run looks first: the file must be of its own run, and the node in it
 * must be its own, or have a replica in the same checkpoint. Else it writes nothing. (Between that look and the last
 * rename lies some milliseconds: what a former life renames then is a whole checkpoint of a lower epoch, which nobody
 * takes.)
 *
 * The lock says the rest: its holder touches it every second, so that others see from its times alone that it lives,
 * where flock(2) does not reach across machines.
 *
 * Threads: no state of its own; one call at a time on one object, from any thread.
 */
#ifndef TA_INCARNATION_H
#define TA_INCARNATION_H

#include <stdint.h>

#include "status.h"

enum { TA_INCARNATION_HOST_BYTES = 64 };

struct ta_incarnation {
    uint64_t job_id, run_id;
    uint32_t restart;
    unsigned node; /* whose side writes */
    char host[TA_INCARNATION_HOST_BYTES];
};

/* Errors: AGAIN (no such file), FORMAT, IO. */
ta_status ta_incarnation_read(const char *run_dir, struct ta_incarnation *out);
/* Errors: IO. */
ta_status ta_incarnation_write(const char *run_dir, const struct ta_incarnation *in);
/* "restart 1 of Slurm job 4711 on n1", or "a run on n1". */
void ta_incarnation_describe(const struct ta_incarnation *in, char text[160]);

/* What a writer must know to be let through. */
struct ta_fence {
    const char *run_dir; /* NULL: no fence */
    uint64_t run_id;
    unsigned per_node;   /* ranks a node; 0: all are on node 0 */
    unsigned node;       /* of the writer */
};

/* OK: a checkpoint that these ranks have written may be completed (n_ranks 0: the end may be told). Waits for at most
 * `patience_s` for a side that has lost node 0 to be the one. Errors: PEER: whose the directory is; IO. Any thread. */
ta_status ta_fence_pass(const struct ta_fence *fence, const unsigned *ranks, unsigned n_ranks, double patience_s);

#endif
