/* procline: the command line and the environment that ps and /proc/PID show of this process.
 *
 * A replica that was forked without exec would show those of its launcher. People and tools look for TENSAIR_RANK
 * there, so it gets its own, as if it had been started with them; getenv sees the same. Where the kernel does not allow
 * this (it needs CONFIG_CHECKPOINT_RESTORE), getenv alone does, and /proc shows the launcher's.
 *
 * Threads: while there is one.
 */
#ifndef TA_PROCLINE_H
#define TA_PROCLINE_H

#include "status.h"

/* Both lists end with NULL, and are copied into memory that belongs to the process until its end. Errors: NO_MEMORY. */
ta_status ta_procline_set(char *const *argv, char *const *environment);

#endif
