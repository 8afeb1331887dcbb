/* launcher_join: a replica that joins a run that is under way: `tensair train CONFIG --join K` starts rank N + K of it,
 * N being the replicas it was started with.
 *
 * A run with spares says what a newcomer must know in RUN_DIR/rendezvous/run (mode 0600, while it runs). On the machine
 * of the launcher the newcomer gets the same board, so that the run counts it; on another one it has a
 * board of its own, and tells the nodes of the run by their store (nodes_spare.h). The process that was started here
 * stays until its replica has ended.
 */
#ifndef TA_LAUNCHER_JOIN_H
#define TA_LAUNCHER_JOIN_H

#include <stdbool.h>

#include "launcher_internal.h"

/* Launcher of node 0, before its replicas are started: writes that file. Nothing without spares. Errors: IO. */
ta_status ta_job_invite(const struct ta_job *j);
/* Whether a spare that has joined still works, as the board knows. */
bool ta_job_has_spares_at_work(const struct ta_job *j);

#endif
