/* recovery: what a drift cost: after how many records accuracy was back, and how many records were trained on
 * meanwhile.
 *
 * Scores come in *stretches*: so many records of one replica, between two record numbers of the stream, of which so
 * many were hits. Those of several replicas overlap. A stretch in which a drift begins belongs to neither side of it.
 *
 * Before the drift accuracy was that of the last `window` records. It is back at the first place behind the drift
 * (behind a gradual one: where it is complete) from which on the next `window` records reach `fraction` of that; all of
 * these lie before the next drift. The distance from the drift to that place is the time to recover; 0: no harm was
 * done.
 *
 * Pure functions; one thread.
 */
#ifndef TA_RECOVERY_H
#define TA_RECOVERY_H

#include <stddef.h>
#include <stdint.h>

struct ta_stretch {
    uint64_t first, last;   /* record numbers of the stream */
    uint32_t records, hits; /* scored in it */
    uint64_t trained;       /* records trained on meanwhile */
    double due_s;           /* when its last record was due; NaN: unknown (pace max) */
};

struct ta_recovery_spec {
    uint64_t drift, width, end; /* it begins here, is complete `width` later; the next one (or the end of the run) */
    uint32_t window;            /* records, of all replicas together; 1 or more */
    double fraction;            /* of the accuracy before, above 0 */
};

struct ta_recovery {
    double before;    /* accuracy; NaN: fewer than `window` records came before */
    uint64_t records; /* UINT64_MAX: never, or too little came before or behind to tell */
    double seconds;   /* the same in due times; NaN: never, or unknown */
    uint64_t trained; /* on records from the drift to the end, recovered or not */
};

/* By `first`, rising; what the other function wants. */
void ta_stretches_sort(struct ta_stretch *list, size_t n);
void ta_recovery_find(const struct ta_stretch *list, size_t n, const struct ta_recovery_spec *spec,
                      struct ta_recovery *out);

#endif
