/* staleness: how many updates made elsewhere were missing from the weights a gradient was computed on.
 *
 * The "gradient spoilness" of the TensAIR paper, per peer: when a gradient is ready, the steps a peer is known to have
 * made by now, less those that were in the weights the gradient was computed on. 0 is a gradient on fresh weights. The
 * sum over peers is the staleness of the gradient: its mean over all gradients is S_avg, the highest S_max. Plain
 * values; one thread.
 */
#ifndef TA_STALENESS_H
#define TA_STALENESS_H

#include <stdint.h>

#include "hist.h"
#include "status.h"

struct ta_staleness {
    unsigned n_ranks;
    uint64_t *basis;      /* [n_ranks] steps of each rank in the weights now computed on */
    struct ta_hist *hist; /* [n_ranks] towards each, */
    struct ta_hist *all;  /* and of all together: one entry a gradient */
};

ta_status ta_staleness_open(struct ta_staleness *s, unsigned n_ranks); /* NO_MEMORY */
void ta_staleness_close(struct ta_staleness *s);

/* The weights have just been computed, with so many steps of `rank` in them. */
void ta_staleness_based_on(struct ta_staleness *s, unsigned rank, uint64_t steps);
/* A gradient computed on those weights is ready, and `rank` is now known to have made so many steps (in lock-step: up
 * to the number of ours). Returns how many were missing. */
uint64_t ta_staleness_count(struct ta_staleness *s, unsigned rank, uint64_t steps);
/* So many were missing from its weights over all peers. */
void ta_staleness_count_all(struct ta_staleness *s, uint64_t missing);

#endif
