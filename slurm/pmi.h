/* pmi: one small text from launcher 0 to all others, by PMI-1's wire protocol on the descriptor that srun --mpi=pmi2 or
 * mpiexec.hydra hands down in PMI_FD (job.h). No library: a few lines of text each way.
 *
 *     cmd=init pmi_version=1 pmi_subversion=1      cmd=response_to_init ... rc=0
 *     cmd=get_maxes                                cmd=maxes kvsname_max=K keylen_max=K vallen_max=V
 *     cmd=get_my_kvsname                           cmd=my_kvsname kvsname=NAME
 *     cmd=put kvsname=NAME key=tensair value=TEXT  cmd=put_result rc=0           (launcher 0)
 *     cmd=barrier_in                               cmd=barrier_out               (when all are there)
 *     cmd=get kvsname=NAME key=tensair             cmd=get_result rc=0 value=TEXT  (the others)
 *     cmd=finalize                                 cmd=finalize_ack
 *
 * It is finalized at once: a launcher of tasks that sees a connected client die takes the whole step down with it.
 * What comes from the other side is checked: an answer is one line of bounded length that says what was asked for.
 *
 * Source: MPICH, src/pmi/simple; Slurm 22.05, src/plugins/mpi/pmi2/pmi1.c.
 *
 * Threads: no state of its own; one call at a time on one object, from any thread.
 */
#ifndef TA_SLURM_PMI_H
#define TA_SLURM_PMI_H

#include "status.h"

enum { TA_PMI_VALUE_BYTES = 1024 };

struct ta_pmi_config {
    int fd;            /* PMI_FD. Stays open; use it once */
    unsigned rank;     /* 0 puts, all others get */
    double within_s;   /* for all of it, the wait for the others included */
    int stop_fd;       /* readable: give up (a signalfd); -1: none. Nothing is read from it */
};

/* Waits until all launchers take part. `value`, of printable characters without blanks: launcher 0: what all shall get;
 * others: filled in. Errors: INVALID (no such text), FORMAT (an answer that is none, or a value that is too long for
 * this PMI: its limit is named), PEER (the other side closed, or time is over), REQUEUE (stop_fd), IO. After any of them
 * the descriptor is of no use for PMI any more, and the others may wait in vain. */
ta_status ta_pmi_share(const struct ta_pmi_config *config, char value[TA_PMI_VALUE_BYTES]);

#endif
