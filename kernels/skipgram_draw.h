/* skipgram_draw: the choices of a word model: which words stay, how far a window reaches, which rows are negatives.
 *
 * Every choice is a number from a `ta_draw`, a counter under a 64-bit finaliser (SplitMix64: Steele, Lea, Flood, "Fast
 * splittable pseudorandom number generators", OOPSLA 2014), started from (seed, batch, what for). Negatives come from
 * count^0.75 by the alias method (Walker 1977, Vose 1991): 8 bytes a row and one access a draw, where word2vec.c keeps
 * a table of 400 MB.
 *
 * A `ta_odds` belongs to one thread; the inline calls read it only.
 */
#ifndef TA_SKIPGRAM_DRAW_H
#define TA_SKIPGRAM_DRAW_H

#include <stddef.h>
#include <stdint.h>

#include "status.h"

struct ta_draw {
    uint64_t at;
};

static inline uint64_t ta_draw_mix(uint64_t x) {
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static inline uint64_t ta_draw_u64(struct ta_draw *draw) {
    return ta_draw_mix(draw->at += UINT64_C(0x9e3779b97f4a7c15));
}

/* What the numbers are for: a sentence's number (its words and windows), or the negatives of the whole batch, and
 * who picks which. */
static const uint64_t ta_draw_negatives = UINT64_MAX, ta_draw_picks = UINT64_MAX - 1;

static inline struct ta_draw ta_draw_start(uint64_t seed, uint64_t batch, uint64_t what) {
    uint64_t x = ta_draw_mix(seed + UINT64_C(0x632be59bd9b4e019));
    x = ta_draw_mix(x ^ (batch + UINT64_C(0x8cb92ba72f3d8dd7)));
    return (struct ta_draw){ta_draw_mix(x ^ (what + UINT64_C(0xd6e8feb86659fd93)))};
}

/* How often words are seen, turned into what drawing needs. */
struct ta_alias {
    uint32_t share, other; /* the row itself below share / 2^32, else the other */
};

struct ta_odds {
    uint32_t rows;
    uint32_t *keep;         /* [rows] a word stays when a number is at most this */
    struct ta_alias *alias; /* [rows] */
};

/* Errors: NO_MEMORY. Freed by ta_odds_free, also after a failure. */
ta_status ta_odds_make(uint32_t rows, struct ta_odds *odds);
void ta_odds_free(struct ta_odds *odds);

/* counts [rows]. A word stays with probability sqrt(t) + t, t = sample * total / count (1 at most; all stay when sample
 * is 0), and is drawn with count^0.75 / sum. Errors: CONFIG (all counts are 0), NO_MEMORY; nothing was changed. */
ta_status ta_odds_set(struct ta_odds *odds, double sample, const uint64_t *counts);

/* The words [n] that have a row (not -1) and stay, in order, into kept [n]; returns how many. */
uint32_t ta_odds_keep(const struct ta_odds *odds, struct ta_draw *draw, uint32_t n, const int32_t *words,
                      uint32_t *kept);

/* Where the alias method looks for a number. */
static inline uint32_t ta_odds_place(const struct ta_odds *odds, uint64_t x) {
    return (uint32_t)((x >> 32) * odds->rows >> 32);
}

/* The row of a negative, by its number. */
static inline uint32_t ta_odds_row(const struct ta_odds *odds, uint64_t x) {
    uint32_t row = ta_odds_place(odds, x);
    const struct ta_alias *a = odds->alias + row;
    /* Without a branch: it would be guessed wrong half the time. */
    return a->other ^ ((row ^ a->other) & -(uint32_t)((uint32_t)x < a->share));
}

static inline uint32_t ta_odds_negative(const struct ta_odds *odds, struct ta_draw *draw) {
    return ta_odds_row(odds, ta_draw_u64(draw));
}

/* 1 .. window. */
static inline uint32_t ta_draw_reach(struct ta_draw *draw, uint32_t window) {
    return 1 + (uint32_t)((ta_draw_u64(draw) >> 32) * window >> 32);
}

#endif
