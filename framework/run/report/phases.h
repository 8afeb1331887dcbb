/* phases: where the time of a replica goes, and what to do when it goes to the wrong place. Plain values. */
#ifndef TA_PHASES_H
#define TA_PHASES_H

#include <stdbool.h>
#include <stddef.h>

enum ta_phase {
    TA_PHASE_STREAM,
    TA_PHASE_PREDICT,
    TA_PHASE_COMPUTE,
    TA_PHASE_APPLY, /* the exchange's poll: progress and the sum of the registers */
    TA_PHASE_PUT,
    TA_PHASE_WAIT,  /* for others, as the exchange wants it */
    TA_PHASE_REST,  /* rounds, snapshots, the wait for others in the end */
    TA_PHASE_IDLE,  /* nothing was due, or read */
    TA_PHASES
};

extern const char *const ta_phase_names[TA_PHASES]; /* "stream" */

/* Times in any unit -> "compute 81 %, put 9 %, apply 6 %, stream 4 %": what takes half a percent or more, largest
 * first; "" when there is no time at all. */
void ta_phases_print(const double times[TA_PHASES], char *out, size_t bytes);

/* What keeps it from computing, and the cure; "" when there is nothing worth saying: at least 80 % went into the
 * model, or, where records have due times (`paced`), it was idle between them. */
void ta_phases_advise(const double times[TA_PHASES], bool paced, char *out, size_t bytes);

#endif
