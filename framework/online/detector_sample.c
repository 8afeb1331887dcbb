/* detector_sample: MT19937 and the two ways of CPython's sample(). */
#include "detector_sample.h"

#include <string.h>

enum { WORDS = 624, SHIFT = 397 };

static void seed_plain(struct ta_twister *t, uint32_t seed) {
    t->word[0] = seed;
    for (uint32_t i = 1; i < WORDS; i++)
        t->word[i] = UINT32_C(1812433253) * (t->word[i - 1] ^ (t->word[i - 1] >> 30)) + i;
}

void ta_twister_seed(struct ta_twister *t, uint64_t seed) {
    uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)}, words = key[1] != 0 ? 2 : 1, i = 1, j = 0;
    seed_plain(t, UINT32_C(19650218));
    for (int k = 0; k < WORDS; k++) {
        uint32_t before = t->word[i - 1] ^ (t->word[i - 1] >> 30);
        t->word[i] = (t->word[i] ^ (before * UINT32_C(1664525))) + key[j] + j;
        j = j + 1 == words ? 0 : j + 1;
        if (++i == WORDS) {
            t->word[0] = t->word[WORDS - 1];
            i = 1;
        }
    }
    for (int k = 0; k < WORDS - 1; k++) {
        uint32_t before = t->word[i - 1] ^ (t->word[i - 1] >> 30);
        t->word[i] = (t->word[i] ^ (before * UINT32_C(1566083941))) - i;
        if (++i == WORDS) {
            t->word[0] = t->word[WORDS - 1];
            i = 1;
        }
    }
    t->word[0] = UINT32_C(0x80000000);
    t->at = WORDS;
}

static void turn(struct ta_twister *t) {
    for (int i = 0; i < WORDS; i++) {
        uint32_t y = (t->word[i] & UINT32_C(0x80000000)) | (t->word[(i + 1) % WORDS] & UINT32_C(0x7fffffff));
        t->word[i] = t->word[(i + SHIFT) % WORDS] ^ (y >> 1) ^ ((y & 1) != 0 ? UINT32_C(0x9908b0df) : 0);
    }
    t->at = 0;
}

uint32_t ta_twister_u32(struct ta_twister *t) {
    if (t->at >= WORDS) turn(t);
    uint32_t y = t->word[t->at++];
    y ^= y >> 11;
    y ^= (y << 7) & UINT32_C(0x9d2c5680);
    y ^= (y << 15) & UINT32_C(0xefc60000);
    return y ^ (y >> 18);
}

/* Uniform below n by rejection of as many bits as n has. */
static uint32_t below(struct ta_twister *t, uint32_t n) {
    int bits = 32 - __builtin_clz(n);
    uint32_t r = ta_twister_u32(t) >> (32 - bits);
    while (r >= n) r = ta_twister_u32(t) >> (32 - bits);
    return r;
}

void ta_twister_sample(struct ta_twister *t, uint32_t n, uint32_t k, uint32_t *scratch, uint32_t *out) {
    /* CPython guesses what a set of k costs: 21 words, and for k > 5 the power of 4 that holds 3 k as well. */
    uint64_t set = 21, power = 1;
    if (k > 5) {
        while (power < 3 * (uint64_t)k) power *= 4;
        set += power;
    }
    if (n <= set) {
        for (uint32_t i = 0; i < n; i++) scratch[i] = i;
        for (uint32_t i = 0; i < k; i++) {
            uint32_t j = below(t, n - i);
            out[i] = scratch[j];
            scratch[j] = scratch[n - i - 1];
        }
        return;
    }
    memset(scratch, 0, n * sizeof *scratch);
    for (uint32_t i = 0; i < k; i++) {
        uint32_t j = below(t, n);
        while (scratch[j] != 0) j = below(t, n);
        scratch[j] = 1;
        out[i] = j;
    }
}
