/* drift_trail: what a replica writes down while drift is made to order, so that its cost can be told afterwards.
 *
 * A line of the metrics, kind "stretch", for every so many records scored: `first` and `record` (the lowest and highest
 * record number in it), `records`, `hits`, `trained` (records trained on meanwhile), `due_s` (when the last batch was
 * due; null with pace max). The records behind the last whole stretch are not told.
 *
 * A plain value; the replica's thread.
 */
#ifndef TA_DRIFT_TRAIL_H
#define TA_DRIFT_TRAIL_H

#include <stdbool.h>

#include "metrics.h"

struct ta_drift_trail {
    uint32_t length;            /* records of a stretch; 0: nothing is written */
    uint64_t record;            /* last one predicted, */
    int64_t due_ns;             /* and when its batch was due; -1: unknown */
    uint64_t first, last, told; /* of this stretch; records trained on when it began */
    uint32_t records, hits;
};

/* Stretches are a tenth of the window that accuracy is told over. */
uint32_t ta_drift_trail_length(uint32_t window);
/* One record was scored; `trained`: records trained on so far, all in all. */
void ta_drift_trail_add(struct ta_drift_trail *t, struct ta_metrics *m, uint64_t record, bool hit, uint64_t trained,
                        int64_t now_ns);

#endif
