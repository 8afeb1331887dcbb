/* time_left: how long a Slurm job may still run, asked of Slurm: `squeue -h -j JOB -o '%A %L'`.
 *
 * Slurm 22.05 does not tell a task when its job ends; newer ones do, but the limit may be changed while it runs
 * (scontrol update). Source: squeue(1), %L; secs2time_str in Slurm's sources.
 */
#ifndef TA_SLURM_TIME_LEFT_H
#define TA_SLURM_TIME_LEFT_H

#include <stdint.h>

#include "job.h"
#include "status.h"

/* Seconds this job may still run, to the second: INFINITY where it has no limit, 0 when it is over its limit already.
 * Starts a process and waits for it, some milliseconds and ten seconds at most: not for a thread that trains; once a minute
 * is often enough.
 * Errors: AGAIN (not known yet); INVALID (not in a Slurm job); DEVICE (no squeue on this node); PEER (the controller does not
 * answer, or does not know the job any more); FORMAT (what it said); FAILED. */
ta_status ta_job_time_left(const struct ta_job_place *place, double *seconds);

/* One %L: "M:SS", "H:MM:SS", "D-HH:MM:SS", "UNLIMITED", "INVALID" (over its limit), "NOT_SET". Blanks around it are
 * skipped. Errors: AGAIN (NOT_SET, or empty), FORMAT. Pure. */
ta_status ta_time_left_parse(const char *text, double *seconds);

/* What squeue printed, of several jobs (an array has one line a task): the line of this one. Errors: as above; PEER (the
 * job is not among them). Pure. */
ta_status ta_time_left_pick(const char *printed, uint64_t job_id, double *seconds);

#endif
