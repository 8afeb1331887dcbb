/* deadline: the end of the batch job's time, asked of Slurm by a thread of its own (time_left.h), so that the last
 * checkpoint is begun while there is time to complete it: twice what the longest of the last checkpoints took, and ten
 * seconds, before the end. Then this process gets SIGTERM, as if Slurm had sent it: checkpoint and stop.
 *
 * Asked once at the start and then as often as it makes sense: limits are changed while jobs run. What Slurm does not
 * say changes nothing; it is told once.
 */
#ifndef TA_DEADLINE_H
#define TA_DEADLINE_H

#include "board.h"
#include "job.h"
#include "log.h"

struct ta_deadline;

/* `place`, `board` (whose rows say how long checkpoints took) and `log` outlive it. Outside of Slurm there is none:
 * *out is NULL. Errors: NO_MEMORY, FAILED (no thread). */
ta_status ta_deadline_open(const struct ta_job_place *place, const struct ta_board *board, struct ta_log *log,
                           struct ta_deadline **out);
void ta_deadline_close(struct ta_deadline *d); /* NULL is fine */

/* Seconds before the end at which to begin the last checkpoint. */
double ta_deadline_margin_s(const struct ta_board *board);

#endif
