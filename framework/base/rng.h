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

/* One number in [-1/2, 1/2) for a place: what a table of weights starts from, without storing it. A keyed integer hash
 * (two rounds of Wellons' lowbias32), not Philox: cheap enough to be computed again at every use, and made of 32-bit
 * operations that compilers turn into vectors. 24 bits, exact in a float. */
static inline float ta_rng_cell(uint64_t seed, uint64_t place) {
    uint32_t x = (uint32_t)place ^ (uint32_t)seed;
    x ^= x >> 16;
    x *= UINT32_C(0x7feb352d);
    x ^= x >> 15;
    x *= UINT32_C(0x846ca68b);
    x ^= x >> 16;
    x += (uint32_t)(seed >> 32) + (uint32_t)(place >> 32) * UINT32_C(0x9e3779b9);
    x ^= x >> 16;
    x *= UINT32_C(0x7feb352d);
    x ^= x >> 15;
    x *= UINT32_C(0x846ca68b);
    x ^= x >> 16;
    return (float)(int32_t)(x >> 8) * 0x1p-24F - .5F;
}

/* Four numbers at a time, by block number: the building stone of vectorised users (dropout masks). */
void ta_rng_block(uint64_t seed, uint64_t stream, uint64_t block, uint32_t out[4]);

#endif
