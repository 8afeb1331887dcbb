/* rng: Random123's Philox behind five verbs. */
#include "rng.h"

#include <Random123/philox.h>
#include <math.h>

struct ta_rng ta_rng_make(uint64_t seed, uint64_t stream) { return (struct ta_rng){.seed = seed, .stream = stream}; }

void ta_rng_block(uint64_t seed, uint64_t stream, uint64_t block, uint32_t out[4]) {
    philox4x32_ctr_t counter = {
        {(uint32_t)block, (uint32_t)(block >> 32), (uint32_t)stream, (uint32_t)(stream >> 32)}};
    philox4x32_key_t key = {{(uint32_t)seed, (uint32_t)(seed >> 32)}};
    philox4x32_ctr_t r = philox4x32(counter, key);
    for (int i = 0; i < 4; i++) out[i] = r.v[i];
}

uint32_t ta_rng_u32(struct ta_rng *rng) {
    uint32_t four[4];
    ta_rng_block(rng->seed, rng->stream, rng->position / 4, four);
    return four[rng->position++ % 4];
}

uint32_t ta_rng_below(struct ta_rng *rng, uint32_t n) {
    /* Lemire's multiply-shift with rejection (ACM TOMACS 29:1, 2019). */
    uint64_t product = (uint64_t)ta_rng_u32(rng) * n;
    if ((uint32_t)product < n) {
        uint32_t floor = (uint32_t)-n % n;
        while ((uint32_t)product < floor) product = (uint64_t)ta_rng_u32(rng) * n;
    }
    return (uint32_t)(product >> 32);
}

double ta_rng_uniform(struct ta_rng *rng) {
    uint64_t high = ta_rng_u32(rng);
    uint64_t bits = high << 32 | ta_rng_u32(rng);
    return (double)(bits >> 11) * 0x1p-53;
}

double ta_rng_exponential(struct ta_rng *rng) { return -log1p(-ta_rng_uniform(rng)); }

double ta_rng_normal(struct ta_rng *rng) {
    double radius = sqrt(2 * ta_rng_exponential(rng));
    return radius * cos(6.283185307179586 * ta_rng_uniform(rng));
}
