/* worker: drives one replica in this process until its end: ticks it, sleeps when it has nothing to do, obeys
 * signals. */
#ifndef TA_WORKER_H
#define TA_WORKER_H

#include "progress.h"
#include "replica.h"
#include "signals.h"

struct ta_worker {
    struct ta_replica_config replica;
    struct ta_signals *signals;
    struct ta_progress *progress; /* NULL: the launcher shows it */
    bool interrupted;             /* out: a second SIGINT said to leave now */
};

/* OK: finished and saved. REQUEUE: checkpointed and stopped. FAILED with interrupted set: left at once. Others: as
 * ta_replica_open and ta_replica_tick. */
ta_status ta_worker_run(struct ta_worker *w);

#endif
