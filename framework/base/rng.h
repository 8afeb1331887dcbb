/* rng: random numbers that are a pure function of (seed, stream, position).
 *
 * Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011) by Random123. A generator is
 * four numbers, so it can be written into a checkpoint, moved to any position in O(1), and repeated on a GPU (cuRAND
 * has the same family). One generator belongs to one thread; use a different `stream` for each purpose.
 */
#ifndef TA_RNG_H
#define TA_RNG_H

#include <stdint.h>

struct ta_rng {
    uint64_t seed;     /* of the run */
    uint64_t stream;   /* what the numbers are for: an arbitrary label */
    uint64_t position; /* how many 32-bit numbers were drawn; may be set to seek */
};

struct ta_rng ta_rng_make(uint64_t seed, uint64_t stream);

uint32_t ta_rng_u32(struct ta_rng *rng);              /* uniform over all 32-bit numbers */
uint32_t ta_rng_below(struct ta_rng *rng, uint32_t n); /* uniform over 0 .. n-1, no bias; n >= 1 */
double ta_rng_uniform(struct ta_rng *rng);            /* [0, 1), 53 bits; draws two numbers */
double ta_rng_normal(struct ta_rng *rng);             /* mean 0, variance 1 (Box-Muller); draws four numbers */
double ta_rng_exponential(struct ta_rng *rng);        /* mean 1; draws two numbers */

/* Four numbers at a time, by block number: the building stone of vectorised users (dropout masks). */
void ta_rng_block(uint64_t seed, uint64_t stream, uint64_t block, uint32_t out[4]);

#endif
