/* share: which batches of a run are this replica's, which were trained, and how the rest is dealt again.
 *
 * Batches are dealt round-robin: of the batches that nobody had trained when the run (or its present life) began, in
 * order, the k-th goes to rank k mod n_ranks. That set is a `frontier`: all batches below `base` are done, and above it
 * those in a bitmap. At a checkpoint the frontiers of all replicas are merged; a later life with any number of replicas
 * deals what is left, so that nothing is trained twice or left out.
 *
 * Threads: one at a time (the replayer's reader keeps a cursor of its own, a copy).
 */
#ifndef TA_SHARE_H
#define TA_SHARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "status.h"

/* A set of batch numbers: everything below base, and base + i for each set bit i (bit i % 64 of bits[i / 64]). Zero is
 * the empty set. Grows as needed: one bit a batch above base. After every call base is the first batch not in the set,
 * so equal sets have equal bases; `words` may count zero words at the end. A call that fails has changed nothing. */
struct ta_frontier {
    uint64_t base;
    uint64_t *bits; /* words of 64; owned, from ta_mem_alloc */
    size_t words;
};

void ta_frontier_free(struct ta_frontier *f);
ta_status ta_frontier_add(struct ta_frontier *f, uint64_t batch); /* NO_MEMORY; moves base on while it can */
bool ta_frontier_has(const struct ta_frontier *f, uint64_t batch);
ta_status ta_frontier_merge(struct ta_frontier *into, const struct ta_frontier *from); /* union; NO_MEMORY */
ta_status ta_frontier_copy(struct ta_frontier *into, const struct ta_frontier *from);  /* replaces `into`; NO_MEMORY */
uint64_t ta_frontier_count(const struct ta_frontier *f);                               /* batches in the set */
/* `start` and, of the batches below `end` that were dealt from it to n shares, the first counts[i] of share i: into
 * `done`, which is replaced. Errors: NO_MEMORY, INVALID (n is 0). */
ta_status ta_frontier_dealt(struct ta_frontier *done, const struct ta_frontier *start, const uint64_t *counts,
                            unsigned n, uint64_t end);

struct ta_share {
    unsigned rank, n_ranks;
    struct ta_frontier start; /* what was done when this life began; the dealing follows from it */
    struct ta_frontier done;  /* start + what this replica has trained or dropped since */
    uint64_t cursor;          /* next batch number to look at */
    uint64_t dealt;           /* batches not in `start` seen below cursor */
};

/* `start` may be NULL (nothing done yet); it is copied. Errors: NO_MEMORY, INVALID (rank is not below n_ranks). A share
 * that failed is empty and may be freed. */
ta_status ta_share_init(struct ta_share *share, unsigned rank, unsigned n_ranks, const struct ta_frontier *start);
void ta_share_free(struct ta_share *share);
/* The next batch of this rank, below `end`; false: none left. Looks at n_ranks batches on average. */
bool ta_share_next(struct ta_share *share, uint64_t end, uint64_t *batch);
/* This replica trained (or dropped) `batch`: into `done`. Errors: NO_MEMORY. */
ta_status ta_share_done(struct ta_share *share, uint64_t batch);

#endif
