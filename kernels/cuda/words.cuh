// words.cuh: random choices on the device, to the bit of skipgram_draw.h.
#ifndef TA_CUDA_WORDS_CUH
#define TA_CUDA_WORDS_CUH

#include "flat.cuh"
#include "words.h"

static __device__ __forceinline__ uint64_t ta_words_mix(uint64_t x) {
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
    return x ^ x >> 31;
}

// ta_draw_start.
static __device__ __forceinline__ uint64_t ta_words_start(uint64_t seed, uint64_t batch, uint64_t what) {
    uint64_t x = ta_words_mix(seed + 0x632be59bd9b4e019ULL);
    x = ta_words_mix(x ^ (batch + 0x8cb92ba72f3d8dd7ULL));
    return ta_words_mix(x ^ (what + 0xd6e8feb86659fd93ULL));
}

// Number i (from 0) behind that start.
static __device__ __forceinline__ uint64_t ta_words_number(uint64_t start, uint64_t i) {
    return ta_words_mix(start + (i + 1) * 0x9e3779b97f4a7c15ULL);
}

// ta_odds_row.
static __device__ __forceinline__ uint32_t ta_words_row(const ta_words_model &m, uint64_t x) {
    const uint32_t row = (uint32_t)((x >> 32) * m.out.rows >> 32);
    const ta_words_alias a = m.alias[row];
    return (uint32_t)x < a.share ? row : a.other;
}

#endif
