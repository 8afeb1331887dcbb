/* replay_history: registers as they were after steps that somebody still needs. While one rank is replayed it goes on
 * from step to step; whoever's weights were computed on an earlier one finds that here. Which are needed, and by how
 * many, the recordings say beforehand; a register that nobody needs any more is freed.
 *
 * Plain values; one thread.
 */
#ifndef TA_REPLAY_HISTORY_H
#define TA_REPLAY_HISTORY_H

#include "record_read.h"

struct ta_kept {
    float *values; /* NULL: not kept */
    uint32_t uses; /* still to come, or under way */
};

struct ta_history {
    unsigned n_ranks;
    size_t n_params;
    uint64_t *first;       /* [n_ranks] steps of each before its recording */
    uint64_t *last;        /* [n_ranks] in it */
    struct ta_kept **kept; /* [n_ranks][last - first + 1] */
    size_t n_kept, most_kept;
};

/* Reads all recordings once. Errors: NO_MEMORY; FORMAT (one needs what was before another's beginning). */
ta_status ta_history_open(struct ta_history *h, const struct ta_record *records, unsigned n_ranks);
void ta_history_close(struct ta_history *h); /* zeroed: fine */

/* `rank` goes on from `steps`: its register as it is is kept if somebody needs it. Errors: NO_MEMORY. */
ta_status ta_history_keep(struct ta_history *h, unsigned rank, uint64_t steps, const float *values);
/* The register kept; NULL: there is none (the rank stands there still, or has not come there). */
const float *ta_history_find(const struct ta_history *h, unsigned rank, uint64_t steps);
/* One of those who needed it does not any more. */
void ta_history_release(struct ta_history *h, unsigned rank, uint64_t steps);

#endif
