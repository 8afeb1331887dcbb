/* detector_sample: draws without replacement as Python's random.Random(seed).sample makes them.
 *
 * Mersenne Twister MT19937 (Matsumoto, Nishimura, ACM TOMACS 8:1, 1998), seeded by array as CPython does, and the two
 * ways of sample() (a pool for small populations, rejection for large ones). Only for KSWIN, whose reference draws so;
 * everything else of the house uses rng.h.
 */
#ifndef TA_DETECTOR_SAMPLE_H
#define TA_DETECTOR_SAMPLE_H

#include <stdint.h>

struct ta_twister {
    uint32_t word[624];
    uint32_t at; /* 0 .. 624 */
};

void ta_twister_seed(struct ta_twister *t, uint64_t seed);
uint32_t ta_twister_u32(struct ta_twister *t);

/* k different numbers of 0 .. n-1 into out[k], in the order drawn; 1 <= k <= n. scratch[n]. */
void ta_twister_sample(struct ta_twister *t, uint32_t n, uint32_t k, uint32_t *scratch, uint32_t *out);

#endif
